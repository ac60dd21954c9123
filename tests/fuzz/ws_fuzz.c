/* One connection's frames, cut as the first byte says; whole and in portions must come to the same
 * messages, and text that is let through is UTF-8. */
#include <stdlib.h>

#include "base/base.h"
#include "wire/ws/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MESSAGE_MAX = 3000 };

struct tally {
    size_t messages, bytes, controls;
    unsigned closed, broken;
};

static void message(const struct td_ws_event *e, struct td_buf *text, struct tally *t)
{
    t->bytes += e->payload.n;
    t->messages += e->end;
    td_assert(td_buf_add(text, e->payload) == TD_OK);
    if (e->end) {
        td_assert(e->opcode == TD_WS_BINARY || td_utf8_valid(td_buf_slice(text)));
        td_buf_clear(text);
    }
}

static struct tally run(enum td_ws_role role, td_slice in, size_t step)
{
    struct td_ws ws;
    struct tally t = {0};
    struct td_buf text;
    uint8_t *copy = malloc(in.n + 1);
    td_put_bytes(copy, in);
    td_buf_init(&text, MESSAGE_MAX);
    td_ws_init(&ws, role, MESSAGE_MAX);
    for (size_t have = 0, at = 0; have < in.n && !ws.over;) {
        have += step < in.n - have ? step : in.n - have;
        enum td_ws_got got;
        do {
            struct td_ws_event e;
            size_t used;
            got = td_ws_next(&ws, copy + at, have - at, &used, &e);
            at += used;
            td_assert(at <= have);
            if (got == TD_WS_MESSAGE) {
                message(&e, &text, &t);
            }
            t.controls += got == TD_WS_CONTROL;
            t.closed = got == TD_WS_CLOSED ? e.code : t.closed;
            t.broken = got == TD_WS_BROKEN ? e.code : t.broken;
        } while (got != TD_WS_MORE);
        td_assert(at == have);
    }
    td_buf_fini(&text);
    free(copy);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1) {
        return 0;
    }
    enum td_ws_role role = data[0] & 1 ? TD_WS_CLIENT : TD_WS_SERVER;
    td_slice in = {data + 1, n - 1};
    struct tally whole = run(role, in, in.n), cut = run(role, in, (size_t)(data[0] >> 1) + 1);
    td_assert(whole.messages == cut.messages && whole.controls == cut.controls);
    td_assert(whole.closed == cut.closed && whole.broken == cut.broken);
    /* A broken text message may have given more or fewer of its bytes before it was seen. */
    td_assert(whole.bytes == cut.bytes || whole.broken == TD_WS_CODE_NOT_UTF8);
    return 0;
}
