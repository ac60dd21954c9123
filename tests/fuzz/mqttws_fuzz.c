/* MQTT over WebSocket: what comes from a socket goes in whole and in portions, which must come to
 * the same; what MQTT has to say, cut the same way, must arrive at a client as it was said. */
#include <stdlib.h>

#include "serve/mqtt/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const td_slice key = {(const uint8_t *)"dGhlIHNhbXBsZSBub25jZQ==", 24};

struct run {
    struct td_buf in, out, sent;
    bool over, open;
    uint16_t code;
};

static void leave(struct td_mqttd_ws *w, struct run *r, size_t step)
{
    if (!td_mqttd_ws_pending(w, r->out.n)) {
        return;
    }
    td_slice parts[2];
    size_t n = td_mqttd_ws_parts(w, td_buf_slice(&r->out), parts), left = step;
    for (size_t i = 0; i < n; i++) {
        td_slice part = td_slice_head(parts[i], left);
        td_assert(td_buf_add(&r->sent, part) == TD_OK);
        left -= part.n;
    }
    td_buf_drop(&r->out, td_mqttd_ws_sent(w, step - left));
}

static void run(struct run *r, td_slice in, size_t step, bool shaken)
{
    static const char *const listed[] = {"https://app.example"};
    struct td_serve_texts origins = {listed, 1};
    static const char local[64] = "127.0.0.1:1";
    struct td_mqttd_ws *w = td_mqttd_ws_new(&origins, local);
    *r = (struct run){.code = 0};
    td_buf_init(&r->in, 1 << 20);
    td_buf_init(&r->out, 1 << 20);
    td_buf_init(&r->sent, 1 << 22);
    if (shaken) {
        td_mqttd_ws_open(w, key);
    }
    while (in.n > 0) {
        td_slice part = td_slice_head(in, step);
        uint8_t *copy = malloc(part.n);
        td_put_bytes(copy, part);
        size_t got = td_mqttd_ws_in(w, copy, part.n);
        td_assert(got <= part.n);
        td_assert(td_buf_add(&r->in, (td_slice){copy, got}) == TD_OK);
        td_assert(td_buf_add(&r->out, (td_slice){copy, got}) == TD_OK);
        free(copy);
        in = td_slice_skip(in, part.n);
        leave(w, r, step);
    }
    r->over = w->over;
    r->open = w->shake == NULL;
    r->code = w->code;
    td_mqttd_ws_close(w, TD_WS_CODE_NORMAL);
    while (td_mqttd_ws_pending(w, r->out.n)) {
        leave(w, r, step);
    }
    td_assert(!r->open || r->out.n == 0);
    td_mqttd_ws_free(w);
}

/* A client reads what was sent behind the handshake: the same bytes of MQTT, and a close. */
static void read_back(const struct run *r)
{
    struct td_ws ws;
    size_t at = 0, same = 0;
    while (at < r->sent.n && (at < 4 || memcmp(r->sent.p + at - 4, "\r\n\r\n", 4) != 0)) {
        at++;
    }
    td_ws_init(&ws, TD_WS_CLIENT, UINT64_MAX);
    for (;;) {
        struct td_ws_event e;
        size_t used;
        enum td_ws_got got = td_ws_next(&ws, r->sent.p + at, r->sent.n - at, &used, &e);
        at += used;
        td_assert(got != TD_WS_BROKEN && got != TD_WS_MORE);
        if (got == TD_WS_MESSAGE) {
            td_assert(e.opcode == TD_WS_BINARY && same + e.payload.n <= r->in.n);
            td_assert(e.payload.n == 0 || memcmp(r->in.p + same, e.payload.p, e.payload.n) == 0);
            same += e.payload.n;
        }
        if (got == TD_WS_CLOSED) {
            td_assert(same == r->in.n && at == r->sent.n);
            return;
        }
    }
}

static void run_fini(struct run *r)
{
    td_buf_fini(&r->in);
    td_buf_fini(&r->out);
    td_buf_fini(&r->sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1) {
        return 0;
    }
    struct run whole, cut;
    td_slice in = {data + 1, n - 1};
    bool shaken = (data[0] & 1) != 0;
    run(&whole, in, SIZE_MAX, shaken);
    run(&cut, in, (size_t)(data[0] >> 1) + 1, shaken);
    td_assert(td_slice_eq(td_buf_slice(&whole.in), td_buf_slice(&cut.in)));
    td_assert(whole.over == cut.over && whole.open == cut.open && whole.code == cut.code);
    if (whole.open) {
        read_back(&whole);
        read_back(&cut);
    }
    run_fini(&whole);
    run_fini(&cut);
    return 0;
}
