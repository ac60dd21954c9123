/* serve/http: the live feed as a connection (subprotocol tandem.live.1): the handshake, and what
 * the page says, as text:
 *
 *     {"watch":["*", "vend/? stock"], "every_ms":100}      globs over "topic field"
 *
 * What it gets: feed.c. */
#include <stdlib.h>

#include "serve/http/feed.h"
#include "serve/mqtt/mqttd.h"
#include "serve/upgrade.h"

enum {
    SLICE_MS_MAX = 60000,
    GLOBS_MAX = 64,           /* of one feed */
    MESSAGE_BYTES_MAX = 8192, /* from the page */
};

/* ---- what the page says ---- */

static void close_with(struct td_httpd_conn *c, uint16_t code, const char *reason)
{
    td_assert(td_buf_reserve(&c->out, 127) == TD_OK);
    uint8_t *start = c->out.p + c->out.n;
    size_t n = (size_t)(td_ws_close_put(start, code, td_slice_of(reason)) - start);
    c->out.n += n;
    c->d->stats.unsent_bytes += n;
    td_httpd_live_free(c);
    c->close_after = true;
    c->phase = TD_HTTPD_ANSWER;
}

/* The globs of ["..", ".."]; gives what is wrong, NULL: nothing. */
static const char *globs_read(struct td_json *j, struct td_live *live)
{
    struct td_json_token t;
    size_t count = 0;
    struct td_buf glob;
    const char *wrong = NULL;
    live->glob_bytes = 0;
    if (td_json_next(j, &t) != TD_JSON_ARRAY) {
        return "watch is a list of globs";
    }
    td_buf_init(&glob, TD_FEED_GLOB_BYTES_MAX - 1);
    while (wrong == NULL && td_json_next(j, &t) == TD_JSON_STRING) {
        td_buf_clear(&glob);
        if (++count > GLOBS_MAX || td_json_unescape(&t, &glob) != TD_OK ||
            live->glob_bytes + glob.n + 1 > TD_FEED_GLOB_BYTES_MAX) {
            wrong = "at most 64 globs of together 4096 bytes";
        } else {
            td_put_u8(td_put_bytes((uint8_t *)live->globs + live->glob_bytes, td_buf_slice(&glob)),
                      0);
            live->glob_bytes += glob.n + 1;
        }
    }
    td_buf_fini(&glob);
    return wrong != NULL || t.kind == TD_JSON_ARRAY_END ? wrong : "watch is a list of globs";
}

static const char *every_read(struct td_json *j, struct td_live *live)
{
    struct td_json_token t;
    double real;
    int64_t ms = 0;
    bool is_int = false;
    if (td_json_next(j, &t) != TD_JSON_NUMBER ||
        td_json_number(t.span, &real, &ms, &is_int) != TD_OK || ms < TD_FEED_SLICE_MS ||
        ms > SLICE_MS_MAX) {
        return "every_ms is a number of 100 to 60000";
    }
    live->every_ms = ms;
    return NULL;
}

/* Gives what is wrong with a message, NULL: nothing. */
static const char *wish_read(td_slice text, struct td_live *live)
{
    struct td_json j;
    struct td_json_token t;
    const char *wrong = NULL;
    td_json_init(&j, text);
    if (td_json_next(&j, &t) != TD_JSON_OBJECT) {
        return "a message is an object: {\"watch\":[\"*\"]}";
    }
    while (wrong == NULL && td_json_next(&j, &t) == TD_JSON_KEY) {
        wrong = td_json_is(&t, TD_STR("watch"))      ? globs_read(&j, live)
                : td_json_is(&t, TD_STR("every_ms")) ? every_read(&j, live)
                                                     : "a message has watch and every_ms only";
    }
    if (wrong == NULL && (t.kind != TD_JSON_OBJECT_END || td_json_next(&j, &t) != TD_JSON_END)) {
        wrong = "a message is one JSON object";
    }
    return wrong;
}

/* A whole message: what to watch from now on, answered with a snapshot. */
static void wish(struct td_httpd_conn *c, td_mono now)
{
    struct td_live *live = c->live;
    live->every_ms = TD_FEED_SLICE_MS;
    const char *wrong = wish_read(td_buf_slice(&c->body), live);
    td_buf_clear(&c->body);
    if (wrong != NULL) {
        close_with(c, TD_WS_CODE_POLICY, wrong);
        return;
    }
    if (td_httpd_conn_unsent(c) > c->d->config.write_bytes_max ||
        c->d->stats.unsent_bytes > TD_HTTPD_UNSENT_BYTES_MAX) {
        close_with(c, TD_WS_CODE_TRY_LATER, "too many bytes wait to be read");
        return;
    }
    td_httpd_feed_snapshot(c, now);
}

static void piece(struct td_httpd_conn *c, const struct td_ws_event *e, td_mono now)
{
    if (e->opcode != TD_WS_TEXT) {
        close_with(c, TD_WS_CODE_UNSUPPORTED, "the page speaks text");
        return;
    }
    td_assert(td_buf_add(&c->body, e->payload) == TD_OK); /* the reader keeps the bound */
    if (e->end) {
        wish(c, now);
    }
}

static void pong(struct td_httpd_conn *c, td_slice payload)
{
    if (td_httpd_conn_unsent(c) > TD_FEED_EVENT_UNSENT_MAX) {
        return; /* pings without reading: it does not want to know */
    }
    size_t n = td_ws_head_size(payload.n, false) + payload.n;
    td_assert(td_buf_reserve(&c->out, n) == TD_OK);
    td_put_bytes(td_ws_head_put(c->out.p + c->out.n, TD_WS_PONG, payload.n, NULL), payload);
    c->out.n += n;
    c->d->stats.unsent_bytes += n;
}

bool td_httpd_live_feed(struct td_httpd_conn *c, uint8_t *p, size_t n, td_mono now)
{
    enum td_ws_got got;
    do {
        struct td_ws_event e;
        size_t used;
        got = td_ws_next(&c->live->ws, p, n, &used, &e);
        p += used;
        n -= used;
        switch (got) {
        case TD_WS_MORE:
            break;
        case TD_WS_MESSAGE:
            piece(c, &e, now);
            break;
        case TD_WS_CONTROL:
            if (e.opcode == TD_WS_PING) {
                pong(c, e.payload);
            }
            break;
        case TD_WS_CLOSED:
            close_with(c, e.code == TD_WS_CODE_NONE ? TD_WS_CODE_NORMAL : e.code, "");
            break;
        case TD_WS_BROKEN:
            close_with(c, e.code, e.rule);
            break;
        }
    } while (got != TD_WS_MORE && c->phase == TD_HTTPD_LIVE);
    return true;
}

/* ---- the handshake (RFC 6455, 4.2) ---- */

static void refuse(struct td_httpd_conn *c, const struct td_upgrade_refusal *why,
                   const char *remedy)
{
    td_httpd_problem(c, &(struct td_httpd_problem){.status = why->status,
                                                   .thing = why->thing,
                                                   .rule = why->rule,
                                                   .remedy = remedy,
                                                   .field = why->field});
}

static void live_new(struct td_httpd_conn *c, td_mono now)
{
    struct td_httpd *d = c->d;
    c->live = td_alloc(sizeof *c->live);
    td_ws_init(&c->live->ws, TD_WS_SERVER, MESSAGE_BYTES_MAX);
    td_buf_fini(&c->body);
    td_buf_init(&c->body, MESSAGE_BYTES_MAX);
    td_buf_drop(&c->in, c->in_used); /* the head; frames may stand behind it already */
    c->in_used = 0;
    c->phase = TD_HTTPD_LIVE;
    if (d->stats.live++ == 0) {
        d->slice_at = now;
        d->beat_at = td_mono_after(now, TD_FEED_BEAT_MS);
    }
}

void td_httpd_live(struct td_httpd_conn *c, td_mono now)
{
    static const td_slice protocol = {(const uint8_t *)"tandem.live.1", 13};
    struct td_upgrade_refusal why = {.status = 503,
                                     .thing = "live feeds",
                                     .rule = "there are as many as there may be ([http] live_max)"};
    td_slice key = {NULL, 0};
    uint8_t accept[TD_WS_ACCEPT_BYTES];
    if (!td_upgrade_asked(&c->head, protocol, &key, &why) ||
        c->d->stats.live >= c->d->config.live_max) {
        refuse(c, &why, "open a WebSocket with subprotocol tandem.live.1");
        return;
    }
    td_ws_accept(key, accept);
    c->close_after = false; /* the answer's Connection field is the one below */
    struct td_httpd_answer a = {.status = 101, .field_count = TD_UPGRADE_FIELDS};
    td_upgrade_fields((td_slice){accept, sizeof accept}, protocol, a.fields);
    td_httpd_answer(c, &a);
    live_new(c, now);
}

/* MQTT answers by itself, so nothing of ours may be under way. */
void td_httpd_mqtt(struct td_httpd_conn *c, td_mono now)
{
    struct td_upgrade_refusal why = {
        .status = 503,
        .thing = "MQTT",
        .rule = "there are as many connections as there may be ([mqtt] connections_max)"};
    (void)now;
    if (td_upgrade_asked(&c->head, TD_STR("mqtt"), &c->upgrade_key, &why) &&
        c->d->parts->mqttd != NULL && td_mqttd_has_room(c->d->parts->mqttd) &&
        td_httpd_conn_unsent(c) == 0) {
        c->phase = TD_HTTPD_MQTT;
    } else {
        refuse(c, &why, "open a WebSocket with subprotocol mqtt");
    }
}

bool td_httpd_live_watching(const struct td_httpd_conn *c)
{
    return c->live->watching;
}

void td_httpd_live_free(struct td_httpd_conn *c)
{
    if (c->live != NULL) {
        free(c->live->named);
        free(c->live);
        c->live = NULL;
        c->d->stats.live--;
    }
}
