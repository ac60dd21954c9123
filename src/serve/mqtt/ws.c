/* serve/mqtt: MQTT over WebSocket. */
#include "serve/mqtt/ws.h"

#include <stdlib.h>

enum {
    BETWEEN_BYTES_MAX = 4096, /* then pings are not answered: who sends them does not read */
    KEPT_BYTES_MAX = 64       /* a larger buffer is freed once it is written */
};

static const td_slice protocol = {(const uint8_t *)"mqtt", 4};

struct td_mqttd_ws *td_mqttd_ws_new(const struct td_serve_texts *origins, const char local[64])
{
    struct td_mqttd_ws *w = td_alloc(sizeof *w);
    w->shake = td_alloc(sizeof *w->shake);
    td_http_init(&w->shake->http, TD_HTTP_SERVER, 0);
    td_buf_init(&w->shake->head, TD_HTTP_HEAD_BYTES_MAX);
    w->shake->origins = origins;
    memcpy(w->shake->local, local, sizeof w->shake->local);
    td_ws_init(&w->ws, TD_WS_SERVER, UINT64_MAX); /* MQTT's machine has the bounds */
    td_buf_init(&w->between, SIZE_MAX);
    td_buf_init(&w->ahead, SIZE_MAX);
    return w;
}

static void shake_free(struct td_mqttd_ws *w)
{
    if (w->shake != NULL) {
        td_buf_fini(&w->shake->head);
        free(w->shake);
        w->shake = NULL;
    }
}

void td_mqttd_ws_free(struct td_mqttd_ws *w)
{
    shake_free(w);
    td_buf_fini(&w->between);
    td_buf_fini(&w->ahead);
    free(w);
}

/* ---- the handshake ---- */

static void answer(struct td_mqttd_ws *w, const struct td_http_send *send, td_slice body)
{
    size_t n = td_http_send_size(send) + body.n;
    td_assert(td_buf_reserve(&w->between, n) == TD_OK);
    td_put_bytes(td_http_send_put(w->between.p + w->between.n, send), body);
    w->between.n += n;
}

static void refuse(struct td_mqttd_ws *w, const struct td_upgrade_refusal *why)
{
    uint8_t body[256];
    uint8_t *end = td_put_bytes(body, td_slice_of(why->thing));
    end = td_put_bytes(td_put_bytes(end, TD_STR(": ")), td_slice_of(why->rule));
    end = td_put_bytes(end, TD_STR("; open a WebSocket with subprotocol mqtt\n"));
    struct td_http_field fields[] = {{TD_STR("Content-Type"), TD_STR("text/plain")}, why->field};
    struct td_http_send send = {.status = (uint16_t)why->status,
                                .body = TD_HTTP_BODY_LENGTH,
                                .length = (size_t)(end - body),
                                .close = true,
                                .fields = fields,
                                .field_count = why->field.name.n > 0 ? 2 : 1};
    answer(w, &send, (td_slice){body, (size_t)(end - body)});
    w->over = w->closed = true;
}

void td_mqttd_ws_open(struct td_mqttd_ws *w, td_slice key)
{
    uint8_t accept[TD_WS_ACCEPT_BYTES];
    struct td_http_field fields[TD_UPGRADE_FIELDS];
    td_ws_accept(key, accept);
    td_upgrade_fields((td_slice){accept, sizeof accept}, protocol, fields);
    struct td_http_send send = {.status = 101,
                                .body = TD_HTTP_BODY_NONE,
                                .fields = fields,
                                .field_count = TD_COUNT(fields)};
    answer(w, &send, (td_slice){NULL, 0});
    shake_free(w);
}

static void head_came(struct td_mqttd_ws *w, const struct td_http_head *head)
{
    struct td_upgrade_refusal why = {.status = 403,
                                     .thing = "Origin",
                                     .rule = "a page of another site has to stand in the "
                                             "listener's list of origins"};
    td_slice key = {NULL, 0};
    bool ours =
        td_origin_is_same(head) && td_host_is_local(head->host, td_slice_of(w->shake->local));
    if ((ours || td_origin_is_listed(head, w->shake->origins)) &&
        td_upgrade_asked(head, protocol, &key, &why)) {
        td_mqttd_ws_open(w, key);
    } else {
        refuse(w, &why);
    }
}

/* Gathers the head; gives how many bytes of p were used for it. */
static size_t shake(struct td_mqttd_ws *w, const uint8_t *p, size_t n)
{
    struct td_mqttd_shake *s = w->shake;
    struct td_http_head head;
    size_t had = s->head.n;
    size_t fits = n < s->head.bytes_max - had ? n : s->head.bytes_max - had;
    td_assert(td_buf_add(&s->head, (td_slice){p, fits}) == TD_OK);
    enum td_http_got got = td_http_head_next(&s->http, td_buf_slice(&s->head), &head);
    if (got == TD_HTTP_HEAD) {
        size_t used = head.bytes - had;
        head_came(w, &head);
        return used;
    }
    if (got == TD_HTTP_BROKEN || fits < n) {
        bool broken = got == TD_HTTP_BROKEN;
        refuse(w, &(struct td_upgrade_refusal){.status = broken ? s->http.status : 431,
                                               .thing = "request",
                                               .rule =
                                                   broken ? s->http.rule : "its head is too long"});
    }
    return n;
}

/* ---- reading ---- */

static void pong(struct td_mqttd_ws *w, td_slice payload)
{
    size_t n = td_ws_head_size(payload.n, false) + payload.n;
    if (w->between.n + n <= BETWEEN_BYTES_MAX) {
        td_assert(td_buf_reserve(&w->between, n) == TD_OK);
        td_put_bytes(td_ws_head_put(w->between.p + w->between.n, TD_WS_PONG, payload.n, NULL),
                     payload);
        w->between.n += n;
    }
}

void td_mqttd_ws_close(struct td_mqttd_ws *w, uint16_t code)
{
    w->code = w->code == 0 ? code : w->code;
    w->over = true;
}

/* One frame's event; gives the bytes of MQTT that it moved to `to`. */
static size_t event(struct td_mqttd_ws *w, enum td_ws_got got, const struct td_ws_event *e,
                    uint8_t *to)
{
    switch (got) {
    case TD_WS_MORE:
        break;
    case TD_WS_MESSAGE:
        if (e->opcode != TD_WS_BINARY) { /* MQTT-6.0.0-1 */
            td_mqttd_ws_close(w, TD_WS_CODE_UNSUPPORTED);
            break;
        }
        if (e->payload.n > 0) {
            memmove(to, e->payload.p, e->payload.n);
        }
        return e->payload.n;
    case TD_WS_CONTROL:
        if (e->opcode == TD_WS_PING) {
            pong(w, e->payload);
        }
        break;
    case TD_WS_CLOSED:
        td_mqttd_ws_close(w, e->code == TD_WS_CODE_NONE ? (uint16_t)TD_WS_CODE_NORMAL : e->code);
        break;
    case TD_WS_BROKEN: /* text is not wanted, whether it is UTF-8 or not */
        td_mqttd_ws_close(w,
                          w->ws.message == TD_WS_TEXT ? (uint16_t)TD_WS_CODE_UNSUPPORTED : e->code);
        break;
    }
    return 0;
}

size_t td_mqttd_ws_in(struct td_mqttd_ws *w, uint8_t *p, size_t n)
{
    size_t at = w->shake != NULL && !w->over ? shake(w, p, n) : 0, payload = 0;
    while (w->shake == NULL && !w->over) {
        struct td_ws_event e;
        size_t used = 0;
        enum td_ws_got got = td_ws_next(&w->ws, p + at, n - at, &used, &e);
        at += used;
        payload += event(w, got, &e, p + payload);
        if (got == TD_WS_MORE) {
            break;
        }
    }
    return payload;
}

/* ---- writing ---- */

static bool must_close(const struct td_mqttd_ws *w, size_t unsent)
{
    return w->shake == NULL && w->code != 0 && !w->closed && unsent == 0;
}

bool td_mqttd_ws_pending(const struct td_mqttd_ws *w, size_t unsent)
{
    return w->ahead.n > 0 || w->between.n > 0 || (w->shake == NULL && unsent > 0) ||
           must_close(w, unsent);
}

/* What was under way has gone: frames that stand between come next, then all that is unsent. */
static void begin(struct td_mqttd_ws *w, size_t unsent)
{
    struct td_buf empty = w->ahead;
    w->ahead = w->between;
    w->between = empty;
    td_assert(td_buf_reserve(&w->ahead, TD_WS_HEAD_BYTES_MAX) == TD_OK); /* or a close frame */
    uint8_t *end = w->ahead.p + w->ahead.n;
    if (w->shake == NULL && unsent > 0) {
        end = td_ws_head_put(end, TD_WS_BINARY, unsent, NULL);
        w->frame_left = unsent;
    } else if (must_close(w, unsent)) {
        end = td_ws_close_put(end, w->code, (td_slice){NULL, 0});
        w->closed = true;
    }
    w->ahead.n = (size_t)(end - w->ahead.p);
}

size_t td_mqttd_ws_parts(struct td_mqttd_ws *w, td_slice out, td_slice parts[2])
{
    size_t n = 0;
    if (w->frame_left == 0 && w->ahead.n == 0) {
        begin(w, out.n);
    }
    if (w->ahead.n > 0) {
        parts[n++] = td_slice_skip(td_buf_slice(&w->ahead), w->ahead_sent);
    }
    if (w->frame_left > 0) {
        td_assert(w->frame_left <= out.n);
        parts[n++] = td_slice_head(out, w->frame_left);
    }
    return n;
}

size_t td_mqttd_ws_sent(struct td_mqttd_ws *w, size_t n)
{
    size_t ahead = w->ahead.n - w->ahead_sent;
    ahead = n < ahead ? n : ahead;
    w->ahead_sent += ahead;
    if (w->ahead_sent == w->ahead.n) {
        w->ahead_sent = 0;
        td_buf_clear(&w->ahead);
        if (w->ahead.cap > KEPT_BYTES_MAX) {
            td_buf_fini(&w->ahead);
            td_buf_init(&w->ahead, SIZE_MAX);
        }
    }
    w->frame_left -= n - ahead;
    return n - ahead;
}
