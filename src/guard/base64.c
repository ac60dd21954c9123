/* guard: base64 (RFC 4648, 4) as credentials come in it: with padding, without line breaks, and
 * one way of writing each text only. */
#include "guard/guard.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t value_of(uint8_t byte)
{
    const char *at = byte == 0 ? NULL : strchr(digits, byte);
    return at == NULL ? 64 : (uint32_t)(at - digits);
}

/* Four digits, of which the last `pads` are padding, to 3 - pads bytes. */
static bool group(const uint8_t *p, unsigned pads, uint8_t out[3])
{
    uint32_t bits = 0, bad = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t v = i < 4 - pads ? value_of(p[i]) : 0;
        bad |= v & 64;
        bits = bits << 6 | (v & 63);
    }
    uint32_t unused = pads == 0 ? 0 : pads == 1 ? 0xFF : 0xFFFF;
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return bad == 0 && (bits & unused) == 0;
}

enum td_err td_guard_base64_decode(td_slice text, struct td_buf *out)
{
    size_t before = out->n;
    if (text.n % 4 != 0) {
        return TD_ESYNTAX;
    }
    for (size_t i = 0; i < text.n; i += 4) {
        bool last = i + 4 == text.n;
        unsigned pads = !last || text.p[i + 3] != '=' ? 0 : text.p[i + 2] == '=' ? 2 : 1;
        uint8_t bytes[3];
        enum td_err err = group(text.p + i, pads, bytes) ? TD_OK : TD_ESYNTAX;
        err = err == TD_OK ? td_buf_add(out, (td_slice){bytes, 3 - pads}) : err;
        if (err != TD_OK) {
            out->n = before;
            return err;
        }
    }
    return TD_OK;
}

enum td_err td_guard_base64url_decode(td_slice text, struct td_buf *out)
{
    struct td_buf usual;
    enum td_err err = TD_OK;
    td_buf_init(&usual, text.n + 3);
    for (size_t i = 0; i < text.n && err == TD_OK; i++) {
        uint8_t byte = text.p[i];
        bool other = byte == '+' || byte == '/' || byte == '=';
        err = other ? TD_ESYNTAX
                    : td_buf_add_u8(&usual, byte == '-'   ? '+'
                                            : byte == '_' ? '/'
                                                          : byte);
    }
    while (err == TD_OK && usual.n % 4 != 0) {
        err = td_buf_add_u8(&usual, '=');
    }
    err = err == TD_OK ? td_guard_base64_decode(td_buf_slice(&usual), out) : err;
    td_buf_fini(&usual);
    return err;
}

enum td_err td_guard_base64_encode(td_slice bytes, struct td_buf *out)
{
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t have = bytes.n - i < 3 ? bytes.n - i : 3;
        uint32_t bits = (uint32_t)bytes.p[i] << 16 |
                        (have > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0) |
                        (have > 2 ? bytes.p[i + 2] : 0U);
        uint8_t four[4] = {(uint8_t)digits[bits >> 18], (uint8_t)digits[bits >> 12 & 63],
                           have > 1 ? (uint8_t)digits[bits >> 6 & 63] : (uint8_t)'=',
                           have > 2 ? (uint8_t)digits[bits & 63] : (uint8_t)'='};
        enum td_err err = td_buf_add(out, (td_slice){four, 4});
        if (err != TD_OK) {
            return err;
        }
    }
    return TD_OK;
}
