/* app: one MQTT client over a td_sys.
 *
 *     AWAY --turn, retry_at--> DIALING --WRITE--> UP --leave--> LEAVING --closed, 1 s--> AWAY
 *       ^--------- HANGUP, error, end, CLOSED event ----------'
 *
 * LEAVING shuts our direction down and waits for the other side to close: close() with unread
 * input would become a reset, which can destroy what we said last. */
#include "app/peer.h"

#include <stdlib.h>

enum { READ_BYTES = 16 * 1024, RETRY_MS_MAX = 30000, LEAVE_MS = 1000, ALIAS_BYTES = 16 * 1024 };

void td_app_peer_init(struct td_app_peer *p, struct td_sys *sys,
                      const struct td_app_peer_config *config)
{
    *p = (struct td_app_peer){.config = *config, .sys = sys, .stream = -1};
    size_t out = config->packet_bytes_max + TD_MQTT_CLIENT_OUT_MIN;
    p->memory = (struct td_mqtt_client_memory){
        .out = td_alloc(out),
        .out_bytes = out,
        .held = config->held_bytes == 0 ? NULL : td_alloc(config->held_bytes),
        .held_bytes = config->held_bytes,
        .slots = config->slots == 0 ? NULL : td_alloc(config->slots * sizeof(struct td_mqtt_slot)),
        .slot_count = config->slots,
        .ids = config->ids == 0 ? NULL : td_alloc(config->ids * sizeof(uint16_t)),
        .id_count = config->ids,
        .aliases = td_alloc(ALIAS_BYTES),
        .alias_bytes = ALIAS_BYTES,
    };
    td_mqtt_client_init(&p->client, config->mqtt, &p->memory);
    td_buf_init(&p->in, config->packet_bytes_max + READ_BYTES);
    p->retry_ms = config->retry_ms;
    p->retry_at = INT64_MIN; /* at once */
}

void td_app_peer_fini(struct td_app_peer *p)
{
    if (p->stream >= 0) {
        p->sys->close(p->sys, p->stream);
    }
    td_buf_fini(&p->in);
    free(p->memory.out);
    free(p->memory.held);
    free(p->memory.slots);
    free(p->memory.ids);
    free(p->memory.aliases);
}

/* ---- coming and going ---- */

/* Between half and all of the pause, so that a fleet does not come back in step. */
static td_ms jittered(struct td_app_peer *p, td_ms ms)
{
    uint32_t random;
    p->sys->random(p->sys, &random, sizeof random);
    return ms / 2 + random % (uint32_t)(ms / 2 + 1);
}

/* The connection is no more: because of TLS? */
static const char *broken(struct td_app_peer *p, const char *why)
{
    struct td_sys_peer peer;
    if (p->config.tls == NULL) {
        return why;
    }
    p->sys->peer(p->sys, p->stream, &peer);
    memcpy(p->refused, peer.refused, sizeof p->refused);
    return p->refused[0] != '\0' ? p->refused : why;
}

static void gone(struct td_app_peer *p, const char *why, td_mono now)
{
    bool left = p->state == TD_APP_PEER_LEAVING;
    bool dialing = p->state == TD_APP_PEER_DIALING;
    if (p->stream >= 0) {
        p->sys->close(p->sys, p->stream);
        p->stream = -1;
    }
    td_mqtt_client_lost(&p->client);
    td_buf_clear(&p->in);
    p->state = TD_APP_PEER_AWAY;
    p->why = why;
    p->address_at = (p->address_at + 1) % p->config.address_count;
    if (dialing && ++p->tried < p->config.address_count) {
        p->retry_at = now; /* the next address of the same host */
        return;
    }
    p->tried = 0;
    if (left || p->config.retry_ms == 0) {
        p->retry_at = TD_NEVER;
    } else {
        p->retry_at = td_mono_after(now, jittered(p, p->retry_ms));
        p->retry_ms = p->retry_ms * 2 < RETRY_MS_MAX ? p->retry_ms * 2 : RETRY_MS_MAX;
    }
    p->config.heard(p, NULL, now);
}

static void dial(struct td_app_peer *p, td_mono now)
{
    td_slice address = td_slice_of(p->config.addresses[p->address_at]);
    enum td_err err = p->sys->connect(
        p->sys,
        &(struct td_sys_connect){
            .address = address, .owner = p, .tls = p->config.tls, .name = p->config.tls_name},
        &p->stream);
    p->state = TD_APP_PEER_DIALING;
    if (err == TD_OK) {
        p->sys->watch(p->sys, p->stream, TD_SYS_READ | TD_SYS_WRITE);
    } else {
        p->stream = -1;
        gone(p, td_err_text(err), now);
    }
}

void td_app_peer_leave(struct td_app_peer *p, unsigned reason, td_mono now)
{
    if (p->state != TD_APP_PEER_UP) {
        p->retry_at = TD_NEVER;
        p->config.retry_ms = 0;
        return;
    }
    (void)td_mqtt_client_disconnect(&p->client, reason,
                                    now); /* full: then it goes without a word */
    p->state = TD_APP_PEER_LEAVING;
    p->leave_until = td_mono_after(now, LEAVE_MS);
}

/* ---- bytes ---- */

/* Writes what there is; false: the connection is broken. */
static bool flush(struct td_app_peer *p, td_mono now)
{
    td_slice out;
    while ((out = td_mqtt_client_take(&p->client)).n > 0) {
        size_t sent = 0;
        enum td_err err = p->sys->write(p->sys, p->stream, &out, 1, &sent);
        if (err != TD_OK && err != TD_EAGAIN) {
            gone(p, broken(p, "the connection broke while sending"), now);
            return false;
        }
        td_mqtt_client_sent(&p->client, sent);
        if (sent < out.n) {
            p->sys->watch(p->sys, p->stream, TD_SYS_READ | TD_SYS_WRITE);
            return true;
        }
    }
    p->sys->watch(p->sys, p->stream, TD_SYS_READ);
    if (p->state == TD_APP_PEER_LEAVING) {
        p->sys->shutdown(p->sys, p->stream);
    }
    return true;
}

/* Gives the client what has come, and the events to heard(). */
static void feed(struct td_app_peer *p, td_mono now)
{
    td_slice in = td_buf_slice(&p->in);
    struct td_mqtt_client_event event;
    while (p->state == TD_APP_PEER_UP && td_mqtt_client_next(&p->client, &in, now, &event)) {
        if (event.what == TD_MQTT_EVENT_CONNECTED) {
            p->retry_ms = p->config.retry_ms;
        }
        p->config.heard(p, &event, now);
        if (event.what == TD_MQTT_EVENT_CLOSED || event.what == TD_MQTT_EVENT_REFUSED) {
            (void)flush(p, now); /* the last word, if any */
            if (p->stream >= 0) {
                gone(p, event.rule != NULL ? event.rule : td_mqtt_reason_text(event.reason), now);
            }
            return;
        }
    }
    if (p->stream >= 0) {
        td_buf_drop(&p->in, p->in.n - in.n);
    }
}

static size_t read_size(const struct td_app_peer *p)
{
    size_t missing = p->client.machine.want > p->in.n ? p->client.machine.want - p->in.n : 0;
    return missing > READ_BYTES ? missing : READ_BYTES;
}

/* Reads once. False: nothing more for now, or gone. */
static bool receive(struct td_app_peer *p, td_mono now)
{
    size_t got, room = read_size(p);
    if (td_buf_reserve(&p->in, room) != TD_OK) {
        gone(p, "the server sent a packet larger than this program takes", now);
        return false;
    }
    enum td_err err = p->sys->read(p->sys, p->stream, p->in.p + p->in.n, room, &got);
    if (err == TD_EAGAIN) {
        return false;
    }
    if (err != TD_OK) {
        gone(p,
             broken(p, err == TD_ECLOSED ? "the server closed the connection"
                                         : "the connection broke"),
             now);
        return false;
    }
    if (p->state == TD_APP_PEER_UP) {
        p->in.n += got;
        feed(p, now);
    }
    return p->stream >= 0 && got == room;
}

/* ---- events and time ---- */

static void dialed(struct td_app_peer *p, td_mono now)
{
    p->state = TD_APP_PEER_UP;
    p->tried = 0;
    if (td_mqtt_client_connect(&p->client, now) != TD_OK) {
        gone(p, "client id, user name, will or properties are too long for a CONNECT", now);
    }
}

void td_app_peer_ready(struct td_app_peer *p, const struct td_sys_event *event, td_mono now)
{
    if (p->stream < 0 || event->stream != p->stream) {
        return;
    }
    if (p->state == TD_APP_PEER_DIALING) {
        if ((event->ready & TD_SYS_HANGUP) != 0) {
            gone(p, "nobody answers there; does `tandem serve` run?", now);
            return;
        }
        if ((event->ready & TD_SYS_WRITE) == 0) {
            return;
        }
        dialed(p, now);
    }
    if ((event->ready & (TD_SYS_READ | TD_SYS_HANGUP)) != 0) {
        for (int reads = 0; reads < 16 && p->stream >= 0 && receive(p, now); reads++) {
        }
    }
}

void td_app_peer_turn(struct td_app_peer *p, td_mono now)
{
    if (p->state == TD_APP_PEER_AWAY && now >= p->retry_at) {
        dial(p, now);
    }
    if (p->state == TD_APP_PEER_LEAVING && now >= p->leave_until) {
        gone(p, "done", now);
    }
    if (p->state != TD_APP_PEER_UP && p->state != TD_APP_PEER_LEAVING) {
        return;
    }
    (void)td_mqtt_client_expire(&p->client, now); /* true: the next event says so */
    feed(p, now);                                 /* also what waited for room in the output */
    if (p->stream >= 0 && flush(p, now) && p->state == TD_APP_PEER_UP) {
        feed(p, now);
        (void)(p->stream >= 0 && flush(p, now));
    }
}

td_mono td_app_peer_deadline(const struct td_app_peer *p)
{
    switch (p->state) {
    case TD_APP_PEER_AWAY:
        return p->retry_at;
    case TD_APP_PEER_LEAVING:
        return p->leave_until;
    case TD_APP_PEER_UP:
        return td_mqtt_client_deadline(&p->client);
    case TD_APP_PEER_DIALING:
        break;
    }
    return TD_NEVER; /* the kernel gives up by itself */
}
