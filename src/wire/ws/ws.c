/* ws: the frame reader and writer.
 *
 * A head is gathered into a few bytes of its own, so it may come in any portions; then its payload
 * is handed out as it comes. Control frames, which may stand between the frames of a message, are
 * gathered whole (125 bytes at most). */
#include "wire/ws/ws.h"

void td_ws_init(struct td_ws *ws, enum td_ws_role role, uint64_t message_bytes_max)
{
    *ws = (struct td_ws){.message_bytes_max = message_bytes_max, .client = role == TD_WS_CLIENT};
}

static enum td_ws_got broken(struct td_ws *ws, struct td_ws_event *out, uint16_t code,
                             const char *rule)
{
    ws->over = true;
    *out = (struct td_ws_event){.code = code, .rule = rule};
    return TD_WS_BROKEN;
}

/* ---- UTF-8 that may be cut anywhere (8.1) ---- */

/* What may follow a lead byte; need 0 for a byte that cannot lead. */
static struct td_ws_utf8 lead(uint8_t c)
{
    if (td_in(c, 0xC2, 0xDF)) {
        return (struct td_ws_utf8){1, 0x80, 0xBF};
    }
    if (td_in(c, 0xE0, 0xEF)) { /* neither overlong nor surrogates */
        return (struct td_ws_utf8){2, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF};
    }
    if (td_in(c, 0xF0, 0xF4)) { /* neither overlong nor beyond U+10FFFF */
        return (struct td_ws_utf8){3, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF};
    }
    return (struct td_ws_utf8){0, 0, 0};
}

static bool utf8_goes_on(struct td_ws_utf8 *u, td_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (u->need > 0) {
            if (!td_in(c, u->low, u->high)) {
                return false;
            }
            *u = (struct td_ws_utf8){(uint8_t)(u->need - 1), 0x80, 0xBF};
        } else if (c >= 0x80) {
            *u = lead(c);
            if (u->need == 0) {
                return false;
            }
        }
    }
    return true;
}

/* ---- heads ---- */

static size_t head_size(const struct td_ws *ws)
{
    if (ws->head_count < 2) {
        return 2;
    }
    unsigned length = ws->head[1] & 0x7F;
    size_t more = length == 127 ? 8 : length == 126 ? 2 : 0;
    return 2 + more + (ws->head[1] & 0x80 ? 4 : 0);
}

static bool is_control(unsigned opcode)
{
    return opcode >= 8;
}

static bool is_known(unsigned opcode)
{
    return opcode <= TD_WS_BINARY || td_in(opcode, TD_WS_CLOSE, TD_WS_PONG);
}

/* The length as told, UINT64_MAX if it is not in its shortest form (5.2). */
static uint64_t length_of(const uint8_t *head)
{
    struct td_cursor c = td_cursor_of((td_slice){head + 2, 8});
    unsigned length = head[1] & 0x7F;
    uint64_t long_one = length == 127 ? td_cursor_u64(&c) : length == 126 ? td_cursor_u16(&c) : 0;
    if (length < 126) {
        return length;
    }
    return td_in(long_one, length == 126 ? 126 : 0x10000, INT64_MAX) ? long_one : UINT64_MAX;
}

/* What is wrong with a head, NULL if it is right (5.2, 5.4, 5.5). */
static const char *head_rule(const struct td_ws *ws, unsigned opcode, uint64_t length)
{
    bool masked = ws->head[1] & 0x80, fin = ws->head[0] & 0x80;
    if (ws->head[0] & 0x70) {
        return "no extension was agreed, the RSV bits must be 0";
    }
    if (!is_known(opcode)) {
        return "not an opcode";
    }
    if (masked == ws->client) {
        return ws->client ? "a server must not mask" : "a client must mask";
    }
    if (length == UINT64_MAX) {
        return "a length must be in its shortest form";
    }
    if (is_control(opcode)) {
        return fin && length <= TD_WS_CONTROL_BYTES_MAX
                   ? NULL
                   : "a control frame is whole and has at most 125 bytes";
    }
    if ((opcode == TD_WS_CONTINUATION) != (ws->message != 0)) {
        return ws->message ? "a message must be continued before another begins"
                           : "a continuation needs a message that was begun";
    }
    return NULL;
}

/* The head is complete. */
static enum td_ws_got frame_begins(struct td_ws *ws, struct td_ws_event *out)
{
    unsigned opcode = ws->head[0] & 0x0F;
    uint64_t length = length_of(ws->head);
    const char *rule = head_rule(ws, opcode, length);
    if (rule != NULL) {
        return broken(ws, out, TD_WS_CODE_PROTOCOL, rule);
    }
    if (!is_control(opcode)) {
        if (opcode != TD_WS_CONTINUATION) {
            ws->message = (uint8_t)opcode;
            ws->message_bytes = 0;
            ws->utf8 = (struct td_ws_utf8){0, 0, 0};
        }
        if (length > ws->message_bytes_max - ws->message_bytes) {
            return broken(ws, out, TD_WS_CODE_TOO_BIG, "the message is longer than allowed here");
        }
        ws->message_bytes += length;
    }
    if (!ws->client) {
        memcpy(ws->key, ws->head + head_size(ws) - 4, 4);
    }
    ws->opcode = (uint8_t)opcode;
    ws->fin = ws->head[0] & 0x80;
    ws->left = length;
    ws->place = 0;
    ws->control_count = 0;
    ws->head_count = 0;
    ws->in_frame = true;
    return TD_WS_MORE;
}

/* ---- payload ---- */

/* Codes that may stand in a close frame (7.4). */
static bool is_close_code(unsigned code)
{
    return td_in(code, 1000, 1003) || td_in(code, 1007, 1014) || td_in(code, 3000, 4999);
}

static enum td_ws_got closed(struct td_ws *ws, struct td_ws_event *out)
{
    td_slice body = {ws->control, ws->control_count};
    struct td_cursor c = td_cursor_of(body);
    uint16_t code = body.n == 0 ? TD_WS_CODE_NONE : td_cursor_u16(&c);
    if (c.err != TD_OK || (body.n > 0 && !is_close_code(code))) {
        return broken(ws, out, TD_WS_CODE_PROTOCOL, "not a code that a close frame may have");
    }
    td_slice reason = td_slice_skip(body, 2);
    if (!td_utf8_valid(reason)) {
        return broken(ws, out, TD_WS_CODE_NOT_UTF8, "the reason must be UTF-8");
    }
    ws->over = true;
    *out = (struct td_ws_event){.opcode = TD_WS_CLOSE, .payload = reason, .code = code};
    return TD_WS_CLOSED;
}

static enum td_ws_got control(struct td_ws *ws, td_slice part, struct td_ws_event *out)
{
    if (part.n > 0) {
        memcpy(ws->control + ws->control_count, part.p, part.n);
    }
    ws->control_count = (uint8_t)(ws->control_count + part.n);
    if (ws->left > 0) {
        return TD_WS_MORE;
    }
    ws->in_frame = false;
    if (ws->opcode == TD_WS_CLOSE) {
        return closed(ws, out);
    }
    *out = (struct td_ws_event){.opcode = (enum td_ws_opcode)ws->opcode,
                                .end = true,
                                .payload = {ws->control, ws->control_count}};
    return TD_WS_CONTROL;
}

static enum td_ws_got message(struct td_ws *ws, td_slice part, struct td_ws_event *out)
{
    enum td_ws_opcode opcode = (enum td_ws_opcode)ws->message;
    bool frame_ends = ws->left == 0, end = frame_ends && ws->fin;
    if (opcode == TD_WS_TEXT && (!utf8_goes_on(&ws->utf8, part) || (end && ws->utf8.need > 0))) {
        return broken(ws, out, TD_WS_CODE_NOT_UTF8, "a text message must be UTF-8");
    }
    ws->in_frame = !frame_ends;
    ws->message = end ? 0 : ws->message;
    if (part.n == 0 && !end) {
        return TD_WS_MORE; /* an empty frame in the middle says nothing */
    }
    *out = (struct td_ws_event){.opcode = opcode, .end = end, .payload = part};
    return TD_WS_MESSAGE;
}

static enum td_ws_got payload(struct td_ws *ws, uint8_t *in, size_t n, struct td_ws_event *out)
{
    if (!ws->client) {
        td_ws_mask(in, n, ws->key, ws->place);
    }
    ws->place += n;
    ws->left -= n;
    td_slice part = {in, n};
    return is_control(ws->opcode) ? control(ws, part, out) : message(ws, part, out);
}

enum td_ws_got td_ws_next(struct td_ws *ws, uint8_t *in, size_t n, size_t *used,
                          struct td_ws_event *out)
{
    size_t at = 0;
    enum td_ws_got got = TD_WS_MORE;
    if (ws->over) {
        *used = n;
        return TD_WS_MORE;
    }
    while (got == TD_WS_MORE && (at < n || (ws->in_frame && ws->left == 0))) {
        if (ws->in_frame) {
            size_t part = ws->left < n - at ? (size_t)ws->left : n - at;
            got = payload(ws, in + at, part, out);
            at += part;
            continue;
        }
        ws->head[ws->head_count++] = in[at++];
        if (ws->head_count == head_size(ws)) {
            got = frame_begins(ws, out);
        }
    }
    *used = at;
    return got;
}

void td_ws_mask(uint8_t *p, size_t n, const uint8_t key[4], uint64_t place)
{
    for (size_t i = 0; i < n; i++) {
        p[i] ^= key[(place + i) & 3];
    }
}

/* ---- writing ---- */

size_t td_ws_head_size(uint64_t payload_bytes, bool masked)
{
    size_t more = payload_bytes > 0xFFFF ? 8 : payload_bytes > 125 ? 2 : 0;
    return 2 + more + (masked ? 4 : 0);
}

uint8_t *td_ws_head_put(uint8_t *p, enum td_ws_opcode opcode, uint64_t payload_bytes,
                        const uint8_t *key)
{
    unsigned mask = key != NULL ? 0x80 : 0;
    unsigned length = payload_bytes > 0xFFFF ? 127
                      : payload_bytes > 125  ? 126
                                             : (unsigned)payload_bytes;
    p = td_put_u8(p, (uint8_t)(0x80 | (unsigned)opcode));
    p = td_put_u8(p, (uint8_t)(mask | length));
    if (length == 127) {
        p = td_put_u64(p, payload_bytes);
    } else if (length == 126) {
        p = td_put_u16(p, (uint16_t)payload_bytes);
    }
    return key != NULL ? td_put_bytes(p, (td_slice){key, 4}) : p;
}

uint8_t *td_ws_close_put(uint8_t *p, uint16_t code, td_slice reason)
{
    reason = td_slice_head(reason, TD_WS_CONTROL_BYTES_MAX - 2);
    while (!td_utf8_valid(reason)) { /* the cut went through a character */
        reason.n--;
    }
    p = td_ws_head_put(p, TD_WS_CLOSE, 2 + reason.n, NULL);
    p = td_put_u16(p, code);
    return td_put_bytes(p, reason);
}
