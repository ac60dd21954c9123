/* wire/mqtt: a client without I/O. Its parts: `out`, the bytes to send; `held`, a ring of encoded
 * QoS 1 and 2 messages that stay until they are acknowledged; the machine, which reads; the
 * window, which knows what each packet id is for.
 *
 *     held:  | span | n | live | sent | PUBLISH ... | span | n | ...
 *             ^ head, oldest                                 ^ tail
 *
 * A message that cannot go out at once (no connection, quota used up, output full) waits in the
 * window as "unsent"; pump() sends what waits, oldest first, so order holds. */
#include "wire/mqtt/client.h"

/* ---- out ---- */

static size_t out_room(const struct td_mqtt_client *c)
{
    return c->memory.out_bytes - (c->out_end - c->out_at);
}

/* A place for n bytes at the end of what is to be sent; NULL: no room. */
static uint8_t *out_place(struct td_mqtt_client *c, size_t n)
{
    if (out_room(c) < n) {
        return NULL;
    }
    if (c->memory.out_bytes - c->out_end < n) {
        memmove(c->memory.out, c->memory.out + c->out_at, c->out_end - c->out_at);
        c->out_end -= c->out_at;
        c->out_at = 0;
    }
    return c->memory.out + c->out_end;
}

static void out_wrote(struct td_mqtt_client *c, const uint8_t *end, td_mono now)
{
    c->out_end = (size_t)(end - c->memory.out);
    c->wrote = now;
}

static void out_ack(struct td_mqtt_client *c, unsigned type, uint16_t id, unsigned reason,
                    td_mono now)
{
    uint8_t *p = out_place(c, TD_MQTT_ACK_MAX);
    td_assert(p != NULL); /* next() begins only with room for this */
    out_wrote(c, td_mqtt_ack(&c->machine, p, type, id, reason), now);
}

td_slice td_mqtt_client_take(struct td_mqtt_client *c)
{
    return (td_slice){c->memory.out + c->out_at, c->out_end - c->out_at};
}

void td_mqtt_client_sent(struct td_mqtt_client *c, size_t n)
{
    td_assert(n <= c->out_end - c->out_at);
    c->out_at += n;
    if (c->out_at == c->out_end) {
        c->out_at = c->out_end = 0;
    }
}

/* ---- held ---- */

struct record {
    uint32_t span; /* bytes to the next record, header included */
    uint32_t n;    /* of the packet behind this header */
    bool live, sent;
};

/* What is left at the storage's end must have room for a header. */
enum { SPAN = 16 };
_Static_assert(sizeof(struct record) <= SPAN, "a header fits into the least span");

static struct record *record_at(const struct td_mqtt_client *c, size_t at)
{
    return (struct record *)(void *)(c->memory.held + at);
}

static uint8_t *record_bytes(struct record *r)
{
    return (uint8_t *)(r + 1);
}

static size_t span_of(size_t n)
{
    return (sizeof(struct record) + n + SPAN - 1) & ~(size_t)(SPAN - 1);
}

static void record_add(struct td_mqtt_client *c, size_t at, size_t span, size_t n, bool live)
{
    *record_at(c, at) = (struct record){(uint32_t)span, (uint32_t)n, live, false};
    c->held_used += span;
    c->held_tail = at + span == c->memory.held_bytes ? 0 : at + span;
}

/* A live record for n bytes, or NULL. What is left at the storage's end and too short becomes a
 * dead record. */
static struct record *record_new(struct td_mqtt_client *c, size_t n)
{
    if (c->held_used == 0) {
        c->held_head = c->held_tail = 0;
    }
    size_t span = span_of(n);
    size_t to_end = c->memory.held_bytes - c->held_tail;
    size_t skip = to_end >= span ? 0 : to_end;
    if (n > UINT32_MAX / 2 || skip + span > c->memory.held_bytes - c->held_used) {
        return NULL;
    }
    if (skip > 0) {
        record_add(c, c->held_tail, skip, 0, false);
    }
    size_t at = c->held_tail;
    record_add(c, at, span, n, true);
    return record_at(c, at);
}

static void record_free(struct td_mqtt_client *c, uint64_t at)
{
    record_at(c, (size_t)at)->live = false;
    while (c->held_used > 0 && !record_at(c, c->held_head)->live) {
        size_t span = record_at(c, c->held_head)->span;
        c->held_used -= span;
        c->held_head += span;
        if (c->held_head == c->memory.held_bytes) {
            c->held_head = 0;
        }
    }
}

/* ---- life ---- */

/* What there is memory for, unless the options say something else. */
static uint16_t receive_max(const struct td_mqtt_props *p,
                            const struct td_mqtt_client_memory *memory)
{
    size_t room = memory->id_count / 2;
    if (td_mqtt_has(p, TD_MQTT_PROP_RECEIVE_MAXIMUM)) {
        return p->receive_maximum;
    }
    return (uint16_t)(room == 0 ? 1 : room < UINT16_MAX ? room : UINT16_MAX);
}

void td_mqtt_client_init(struct td_mqtt_client *c, const struct td_mqtt_client_options *options,
                         const struct td_mqtt_client_memory *memory)
{
    td_assert(memory->out_bytes >= TD_MQTT_CLIENT_OUT_MIN);
    *c = (struct td_mqtt_client){
        .options = options,
        .memory = *memory,
        .limits = TD_MQTT_LIMITS_DEFAULT,
        .wrote = TD_NEVER,
        .ping_sent = TD_NEVER,
        .closing = true,
        .closed_told = true,
    };
    const struct td_mqtt_props *p = &options->props;
    bool v5 = options->version == 0 || options->version == TD_MQTT_V5;
    c->memory.held_bytes &= ~(size_t)(SPAN - 1);
    c->limits.packet_bytes_max = v5 && td_mqtt_has(p, TD_MQTT_PROP_MAXIMUM_PACKET_SIZE)
                                     ? p->maximum_packet_size
                                     : UINT32_MAX;
    c->limits.receive_max = v5 ? receive_max(p, memory) : UINT16_MAX;
    c->limits.alias_max =
        v5 && td_mqtt_has(p, TD_MQTT_PROP_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0;
    c->limits.alias_bytes_max = (uint32_t)memory->alias_bytes;
    td_mqtt_init(&c->machine, TD_MQTT_CLIENT, &c->limits, 0);
    td_mqtt_window_init(&c->window, 0);
    td_mqtt_ids_init(&c->ids);
    if (memory->slot_count > 0) {
        td_mqtt_window_lend(&c->window, memory->slots, memory->slot_count);
    }
    if (memory->id_count > 0) {
        td_mqtt_ids_lend(&c->ids, memory->ids, memory->id_count);
    }
}

enum td_err td_mqtt_client_connect(struct td_mqtt_client *c, td_mono now)
{
    const struct td_mqtt_client_options *o = c->options;
    struct td_mqtt_packet p = {
        .type = TD_MQTT_CONNECT,
        .version = o->version == 0 ? TD_MQTT_V5 : o->version,
        .props = o->props,
        .connect = o->connect,
    };
    if (c->limits.receive_max < UINT16_MAX) {
        p.props.has |= TD_MQTT_HAS(RECEIVE_MAXIMUM);
        p.props.receive_maximum = c->limits.receive_max;
    }
    size_t n = td_mqtt_packet_size(&p);
    if (n == 0 || n > c->memory.out_bytes) {
        return TD_ERANGE;
    }
    td_mqtt_client_lost(c);
    td_mqtt_init(&c->machine, TD_MQTT_CLIENT, &c->limits, now);
    td_mqtt_connecting(&c->machine, &p, now);
    c->closing = c->closed_told = false;
    out_wrote(c, td_mqtt_packet_put(out_place(c, n), &p), now);
    return TD_OK;
}

void td_mqtt_client_lost(struct td_mqtt_client *c)
{
    c->out_at = c->out_end = 0;
    c->ping_sent = TD_NEVER;
    c->too_large_id = 0;
    c->closing = c->closed_told = true;
}

static bool is_open(const struct td_mqtt_client *c)
{
    return !c->closing && c->machine.state == TD_MQTT_OPEN;
}

/* ---- what waits to be sent ---- */

static bool record_send(struct td_mqtt_client *c, struct record *r, td_mono now)
{
    uint8_t *p = out_place(c, r->n);
    if (p == NULL) {
        return false;
    }
    uint8_t *end = td_put_bytes(p, (td_slice){record_bytes(r), r->n});
    *p = (uint8_t)(r->sent ? *p | 8 : *p & ~8); /* DUP (MQTT-3.3.1-1) */
    r->sent = true;
    out_wrote(c, end, now);
    return true;
}

/* Sends one waiting entry; false: no room, or the server will never take it. */
static bool pump_one(struct td_mqtt_client *c, const struct td_mqtt_slot *s, td_mono now)
{
    if (s->state == TD_MQTT_RELEASED) {
        if (out_room(c) < TD_MQTT_ACK_MAX) {
            return false;
        }
        out_ack(c, TD_MQTT_PUBREL, s->id, TD_MQTT_REASON_SUCCESS, now);
        return true;
    }
    struct record *r = record_at(c, (size_t)s->body);
    if (r->n > c->machine.peer_packet_bytes_max) {
        c->too_large_id = s->id;
        return false;
    }
    return record_send(c, r, now);
}

static void pump(struct td_mqtt_client *c, td_mono now)
{
    struct td_mqtt_slot *s;
    while (is_open(c) && c->too_large_id == 0 && !c->fresh &&
           (s = td_mqtt_window_waiting(&c->window)) != NULL && pump_one(c, s, now)) {
        td_mqtt_window_sent(&c->window, s);
    }
}

/* ---- events out of what came ---- */

static bool tell(struct td_mqtt_client_event *out, enum td_mqtt_client_what what, unsigned id,
                 unsigned reason)
{
    out->what = what;
    out->id = (uint16_t)id;
    out->reason = (uint8_t)reason;
    out->by_server = false;
    out->rule = NULL;
    return true;
}

/* We end it: a last word if there is room, the event follows. */
static bool give_up(struct td_mqtt_client *c, unsigned reason, const char *rule, td_mono now)
{
    uint8_t *p = out_place(c, TD_MQTT_WORD_MAX);
    c->machine.reason = (uint8_t)reason;
    c->machine.rule = rule;
    if (p != NULL) {
        out_wrote(c, p + td_mqtt_word(&c->machine, reason, NULL, p), now);
    }
    c->closing = true;
    return false;
}

static bool closed_event(struct td_mqtt_client *c, struct td_mqtt_client_event *out)
{
    if (c->closed_told) {
        return false;
    }
    c->closed_told = true;
    (void)tell(out, TD_MQTT_EVENT_CLOSED, 0, c->machine.reason);
    out->rule = c->machine.rule;
    return true;
}

/* The server has forgotten our session: what it had taken over (PUBREC) is through and is told by
 * fresh_event(), the rest goes out as new. */
static void session_begin(struct td_mqtt_client *c)
{
    for (struct td_mqtt_slot *s = NULL; (s = td_mqtt_window_next(&c->window, s)) != NULL;) {
        if (s->state == TD_MQTT_RELEASED) {
            c->fresh = true;
        } else {
            record_at(c, (size_t)s->body)->sent = false;
        }
    }
    if (c->memory.id_count > 0) {
        td_mqtt_ids_init(&c->ids);
        td_mqtt_ids_lend(&c->ids, c->memory.ids, c->memory.id_count);
    }
}

static bool connack_event(struct td_mqtt_client *c, struct td_mqtt_client_event *out)
{
    const struct td_mqtt_packet *p = &out->packet;
    if (p->reason >= 0x80) {
        c->closing = c->closed_told = true;
        return tell(out, TD_MQTT_EVENT_REFUSED, 0, p->reason);
    }
    c->server_qos_max = td_mqtt_has(&p->props, TD_MQTT_PROP_MAXIMUM_QOS) ? p->props.maximum_qos : 2;
    c->server_no_retain =
        td_mqtt_has(&p->props, TD_MQTT_PROP_RETAIN_AVAILABLE) && p->props.retain_available == 0;
    td_mqtt_window_resume(&c->window, c->machine.peer_receive_max);
    c->fresh = false;
    /* 3.1 has no word for it: who did not ask for a clean session must believe it was kept. */
    bool kept =
        c->machine.version == TD_MQTT_V31 ? !c->options->connect.clean_start : p->session_present;
    if (!kept) {
        session_begin(c);
    }
    return tell(out, TD_MQTT_EVENT_CONNECTED, 0, p->reason);
}

/* One event a call; false: all are told. */
static bool fresh_event(struct td_mqtt_client *c, struct td_mqtt_client_event *out)
{
    for (struct td_mqtt_slot *s = NULL; (s = td_mqtt_window_next(&c->window, s)) != NULL;) {
        if (s->state == TD_MQTT_RELEASED && !s->sent) {
            uint16_t id = s->id;
            td_mqtt_window_drop(&c->window, id);
            return tell(out, TD_MQTT_EVENT_PUBLISHED, id, TD_MQTT_REASON_SUCCESS);
        }
    }
    c->fresh = false;
    return false;
}

static bool too_large_event(struct td_mqtt_client *c, struct td_mqtt_client_event *out)
{
    uint16_t id = c->too_large_id;
    record_free(c, td_mqtt_window_find(&c->window, id)->body);
    td_mqtt_window_drop(&c->window, id);
    c->too_large_id = 0;
    return tell(out, TD_MQTT_EVENT_PUBLISHED, id, TD_MQTT_REASON_PACKET_TOO_LARGE);
}

static bool publish_event(struct td_mqtt_client *c, td_mono now, struct td_mqtt_client_event *out)
{
    const struct td_mqtt_packet *p = &out->packet;
    bool by_hand = c->options->ack_by_hand;
    if (p->qos == 1 && !by_hand) {
        out_ack(c, TD_MQTT_PUBACK, p->id, TD_MQTT_REASON_SUCCESS, now);
    }
    if (p->qos == 2) {
        enum td_err err = td_mqtt_ids_add(&c->ids, p->id);
        if (err == TD_ENOMEM) {
            return give_up(c, TD_MQTT_REASON_QUOTA_EXCEEDED,
                           "MQTT 4.13: more QoS 2 messages under way than there is memory for",
                           now);
        }
        if (err == TD_EEXIST || !by_hand) {
            out_ack(c, TD_MQTT_PUBREC, p->id, TD_MQTT_REASON_SUCCESS, now);
        }
        if (err == TD_EEXIST) {
            return false;
        }
    }
    c->received++;
    return tell(out, TD_MQTT_EVENT_MESSAGE, p->id, TD_MQTT_REASON_SUCCESS);
}

static bool done_event(struct td_mqtt_client *c, struct td_mqtt_client_event *out, bool held,
                       uint64_t body)
{
    const struct td_mqtt_packet *p = &out->packet;
    if (held) {
        record_free(c, body);
    }
    switch (p->type) {
    case TD_MQTT_SUBACK:
        return tell(out, TD_MQTT_EVENT_SUBSCRIBED, p->id, p->list.p[0]);
    case TD_MQTT_UNSUBACK:
        return tell(out, TD_MQTT_EVENT_UNSUBSCRIBED, p->id, p->list.n > 0 ? p->list.p[0] : 0);
    default:
        return tell(out, TD_MQTT_EVENT_PUBLISHED, p->id, p->reason);
    }
}

/* PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK. */
static bool ack_event(struct td_mqtt_client *c, td_mono now, struct td_mqtt_client_event *out)
{
    const struct td_mqtt_packet *p = &out->packet;
    bool rec = p->type == TD_MQTT_PUBREC;
    bool list = p->type == TD_MQTT_SUBACK || p->type == TD_MQTT_UNSUBACK;
    unsigned reason = list ? TD_MQTT_REASON_SUCCESS : p->reason;
    uint64_t body;
    switch (td_mqtt_window_ack(&c->window, p->type, p->id, reason, &body)) {
    case TD_MQTT_ACK_DONE:
        return done_event(c, out, p->type == TD_MQTT_PUBACK || rec, body);
    case TD_MQTT_ACK_RELEASE:
        record_free(c, body);
        out_ack(c, TD_MQTT_PUBREL, p->id, TD_MQTT_REASON_SUCCESS, now);
        return false;
    case TD_MQTT_ACK_AGAIN:
        out_ack(c, TD_MQTT_PUBREL, p->id, TD_MQTT_REASON_SUCCESS, now);
        return false;
    case TD_MQTT_ACK_UNKNOWN:
        if (rec && p->reason < 0x80) {
            out_ack(c, TD_MQTT_PUBREL, p->id, TD_MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND, now);
        }
        return false;
    case TD_MQTT_ACK_WRONG:
        break;
    }
    return give_up(c, TD_MQTT_REASON_PROTOCOL_ERROR,
                   "MQTT 4.3: an acknowledgement of the wrong kind for its identifier", now);
}

static bool pubrel(struct td_mqtt_client *c, uint16_t id, td_mono now)
{
    bool known = td_mqtt_ids_remove(&c->ids, id);
    out_ack(c, TD_MQTT_PUBCOMP, id,
            known ? TD_MQTT_REASON_SUCCESS : TD_MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND, now);
    return false;
}

static bool packet_event(struct td_mqtt_client *c, td_mono now, struct td_mqtt_client_event *out)
{
    switch (out->packet.type) {
    case TD_MQTT_CONNACK:
        return connack_event(c, out);
    case TD_MQTT_PUBLISH:
        return publish_event(c, now, out);
    case TD_MQTT_PUBREL:
        return pubrel(c, out->packet.id, now);
    case TD_MQTT_PINGRESP:
        c->ping_sent = TD_NEVER;
        return false;
    case TD_MQTT_DISCONNECT:
        c->closing = c->closed_told = true;
        (void)tell(out, TD_MQTT_EVENT_CLOSED, 0, out->packet.reason);
        out->by_server = true;
        return true;
    case TD_MQTT_AUTH:
        return give_up(c, TD_MQTT_REASON_PROTOCOL_ERROR,
                       "MQTT 4.12: this client does not speak enhanced authentication", now);
    default:
        return ack_event(c, now, out);
    }
}

/* Something that does not need input; false: nothing. */
static bool own_event(struct td_mqtt_client *c, td_mono now, struct td_mqtt_client_event *out)
{
    if (c->closing) {
        return closed_event(c, out);
    }
    if (c->fresh && fresh_event(c, out)) {
        return true;
    }
    pump(c, now);
    return c->too_large_id != 0 && too_large_event(c, out);
}

bool td_mqtt_client_next(struct td_mqtt_client *c, td_slice *in, td_mono now,
                         struct td_mqtt_client_event *out)
{
    for (;;) {
        if (own_event(c, now, out)) {
            return true;
        }
        if (c->closing || out_room(c) < TD_MQTT_WORD_MAX) {
            return false;
        }
        switch (td_mqtt_next(&c->machine, in, now, &out->packet)) {
        case TD_MQTT_GOT_NONE:
            return false;
        case TD_MQTT_GOT_PACKET:
            if (packet_event(c, now, out)) {
                return true;
            }
            break;
        case TD_MQTT_GOT_ERROR:
            (void)give_up(c, c->machine.reason, c->machine.rule, now);
            break;
        case TD_MQTT_GOT_ALIASES:
            td_mqtt_aliases_lend(&c->machine, c->memory.aliases, c->memory.alias_bytes);
            break;
        }
    }
}

/* ---- time ---- */

static td_mono keep_alive_after(const struct td_mqtt_client *c, td_mono at)
{
    return td_mono_after(at, c->machine.keep_alive_s * INT64_C(1000));
}

td_mono td_mqtt_client_deadline(const struct td_mqtt_client *c)
{
    if (c->closing) {
        return TD_NEVER;
    }
    if (!is_open(c)) {
        return td_mqtt_deadline(&c->machine);
    }
    if (c->machine.keep_alive_s == 0) {
        return TD_NEVER;
    }
    return keep_alive_after(c, c->ping_sent != TD_NEVER ? c->ping_sent : c->wrote);
}

bool td_mqtt_client_expire(struct td_mqtt_client *c, td_mono now)
{
    if (now < td_mqtt_client_deadline(c)) {
        return false;
    }
    if (!is_open(c)) {
        (void)td_mqtt_expired(&c->machine, now);
        c->closing = true;
        return true;
    }
    if (c->ping_sent != TD_NEVER) {
        (void)give_up(c, TD_MQTT_REASON_KEEP_ALIVE_TIMEOUT,
                      "MQTT 3.1.2.10: no PINGRESP within a keep alive", now);
        return true;
    }
    struct td_mqtt_packet ping = {.type = TD_MQTT_PINGREQ, .version = c->machine.version};
    uint8_t *p = out_place(c, 2);
    if (p != NULL) { /* full: what is there is sign of life enough */
        out_wrote(c, td_mqtt_packet_put(p, &ping), now);
    }
    c->ping_sent = now;
    c->wrote = now;
    return false;
}

/* ---- verbs ---- */

static unsigned version_of(const struct td_mqtt_client *c)
{
    return c->options->version == 0 ? TD_MQTT_V5 : c->options->version;
}

/* The message as a packet; props are copied only if there are any. */
static void packet_of(const struct td_mqtt_client *c, const struct td_mqtt_client_message *m,
                      struct td_mqtt_packet *p)
{
    p->type = TD_MQTT_PUBLISH;
    p->version = (uint8_t)version_of(c);
    p->qos = m->qos;
    p->retain = m->retain;
    p->dup = false;
    p->id = 0;
    p->topic = m->topic;
    p->payload = m->payload;
    p->props.has = 0;
    if (m->props.has != 0) {
        p->props = m->props;
    }
}

static enum td_err publish_now(struct td_mqtt_client *c, const struct td_mqtt_packet *p, size_t n,
                               td_mono now)
{
    uint8_t *at = out_place(c, n);
    if (at == NULL) {
        return TD_EFULL;
    }
    out_wrote(c, td_mqtt_packet_put(at, p), now);
    c->published++;
    return TD_OK;
}

static enum td_err publish_kept(struct td_mqtt_client *c, struct td_mqtt_packet *p, size_t n,
                                td_mono now, uint16_t *id)
{
    if (c->window.used == c->window.cap) {
        return TD_EFULL;
    }
    struct record *r = record_new(c, n);
    if (r == NULL) {
        return TD_EFULL;
    }
    uint64_t body = (uint64_t)((uint8_t *)r - c->memory.held);
    enum td_mqtt_flight flight = p->qos == 1 ? TD_MQTT_QOS1 : TD_MQTT_QOS2;
    td_assert(td_mqtt_window_hold(&c->window, flight, body, id) == TD_OK);
    p->id = *id;
    (void)td_mqtt_packet_put(record_bytes(r), p);
    c->published++;
    pump(c, now);
    return TD_OK;
}

enum td_err td_mqtt_client_publish(struct td_mqtt_client *c, const struct td_mqtt_client_message *m,
                                   td_mono now, uint16_t *id)
{
    struct td_mqtt_packet p;
    packet_of(c, m, &p);
    size_t n = td_mqtt_packet_size(&p);
    if (n == 0 || n > c->memory.out_bytes || !td_mqtt_topic_valid(m->topic) || m->qos > 2) {
        return TD_ERANGE;
    }
    if (is_open(c) && (n > c->machine.peer_packet_bytes_max || m->qos > c->server_qos_max ||
                       (m->retain && c->server_no_retain))) {
        return TD_ERANGE;
    }
    if (m->qos > 0) {
        return publish_kept(c, &p, n, now, id);
    }
    return is_open(c) ? publish_now(c, &p, n, now) : TD_EAGAIN;
}

/* A SUBSCRIBE or UNSUBSCRIBE whose list has `list_n` bytes: room for it in `out`, and, behind that,
 * for the list by itself, which put() copies from there. */
static enum td_err request_begin(struct td_mqtt_client *c, struct td_mqtt_packet *p, size_t list_n,
                                 uint8_t **place, uint8_t **list)
{
    if (!is_open(c)) {
        return TD_EAGAIN;
    }
    if (c->window.used == c->window.cap) {
        return TD_EFULL;
    }
    p->version = c->machine.version;
    size_t n = td_mqtt_packet_size(p); /* still without the list */
    if (n == 0 || 2 * (n + 4 + list_n) > c->memory.out_bytes) {
        return TD_ERANGE;
    }
    if (n + 4 + list_n > c->machine.peer_packet_bytes_max) {
        return TD_ERANGE;
    }
    *place = out_place(c, 2 * (n + 4 + list_n));
    *list = *place == NULL ? NULL : *place + n + 4 + list_n;
    return *place == NULL ? TD_EFULL : TD_OK;
}

static enum td_err request_end(struct td_mqtt_client *c, struct td_mqtt_packet *p, uint8_t *place,
                               td_mono now, uint16_t *id)
{
    enum td_mqtt_flight flight =
        p->type == TD_MQTT_SUBSCRIBE ? TD_MQTT_SUBSCRIBING : TD_MQTT_UNSUBSCRIBING;
    td_assert(td_mqtt_window_take(&c->window, flight, 0, id) == TD_OK);
    p->id = *id;
    out_wrote(c, td_mqtt_packet_put(place, p), now);
    return TD_OK;
}

enum td_err td_mqtt_client_subscribe(struct td_mqtt_client *c, const struct td_mqtt_filter *filters,
                                     size_t count, const struct td_mqtt_props *props, td_mono now,
                                     uint16_t *id)
{
    struct td_mqtt_packet p = {.type = TD_MQTT_SUBSCRIBE};
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!td_mqtt_filter_valid(filters[i].filter) || filters[i].qos > 2) {
            return TD_ERANGE;
        }
        n += td_mqtt_filter_size(TD_MQTT_SUBSCRIBE, &filters[i]);
    }
    if (props != NULL) {
        p.props = *props;
    }
    uint8_t *place, *list;
    enum td_err err = count == 0 ? TD_ERANGE : request_begin(c, &p, n, &place, &list);
    if (err != TD_OK) {
        return err;
    }
    p.list = (td_slice){list, n};
    for (size_t i = 0; i < count; i++) {
        list = td_mqtt_filter_put(list, TD_MQTT_SUBSCRIBE, p.version, &filters[i]);
    }
    return request_end(c, &p, place, now, id);
}

enum td_err td_mqtt_client_unsubscribe(struct td_mqtt_client *c, const td_slice *filters,
                                       size_t count, td_mono now, uint16_t *id)
{
    struct td_mqtt_packet p = {.type = TD_MQTT_UNSUBSCRIBE};
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!td_mqtt_filter_valid(filters[i])) {
            return TD_ERANGE;
        }
        n += 2 + filters[i].n;
    }
    uint8_t *place, *list;
    enum td_err err = count == 0 ? TD_ERANGE : request_begin(c, &p, n, &place, &list);
    if (err != TD_OK) {
        return err;
    }
    p.list = (td_slice){list, n};
    for (size_t i = 0; i < count; i++) {
        list = td_put_string16(list, filters[i]);
    }
    return request_end(c, &p, place, now, id);
}

enum td_err td_mqtt_client_ack(struct td_mqtt_client *c, unsigned qos, uint16_t id, unsigned reason,
                               td_mono now)
{
    if (!is_open(c)) {
        return TD_EAGAIN;
    }
    if (out_room(c) < TD_MQTT_ACK_MAX) {
        return TD_EFULL;
    }
    if (qos == 2 && reason >= 0x80) {
        (void)td_mqtt_ids_remove(&c->ids, id);
    }
    out_ack(c, qos == 2 ? TD_MQTT_PUBREC : TD_MQTT_PUBACK, id, reason, now);
    return TD_OK;
}

enum td_err td_mqtt_client_disconnect(struct td_mqtt_client *c, unsigned reason, td_mono now)
{
    if (c->closing) {
        return TD_EAGAIN;
    }
    uint8_t *p = out_place(c, TD_MQTT_WORD_MAX);
    if (p == NULL) {
        return TD_EFULL;
    }
    out_wrote(c, p + td_mqtt_word(&c->machine, reason, NULL, p), now);
    c->closing = c->closed_told = true;
    return TD_OK;
}

size_t td_mqtt_client_in_flight(const struct td_mqtt_client *c)
{
    return c->window.used;
}
