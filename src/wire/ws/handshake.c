/* ws: the key of the opening handshake and its answer (RFC 6455, 4): base64 of SHA-1 of the key and
 * a fixed text. */
#include "wire/ws/ws.h"

/* ---- SHA-1 (RFC 3174) ---- */

static uint32_t rotate(uint32_t v, unsigned by)
{
    return v << by | v >> (32 - by);
}

static uint32_t mix(size_t t, uint32_t b, uint32_t c, uint32_t d)
{
    return t < 20              ? (b & c) | (~b & d)
           : t < 40 || t >= 60 ? b ^ c ^ d
                               : (b & c) | (b & d) | (c & d);
}

static void sha1_block(uint32_t h[5], const uint8_t block[64])
{
    static const uint32_t k[] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    struct td_cursor in = td_cursor_of((td_slice){block, 64});
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (size_t t = 0; t < 80; t++) {
        w[t] = t < 16 ? td_cursor_u32(&in) : rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
        uint32_t next = rotate(a, 5) + mix(t, b, c, d) + e + w[t] + k[t / 20];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void td_ws_sha1(td_slice in, uint8_t out[20])
{
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint64_t bits = (uint64_t)in.n * 8;
    uint8_t last[128] = {0};
    for (; in.n >= 64; in = td_slice_skip(in, 64)) {
        sha1_block(h, in.p);
    }
    td_put_u8(td_put_bytes(last, in), 0x80);
    size_t n = in.n < 56 ? 64 : 128;
    td_put_u64(last + n - 8, bits);
    for (size_t i = 0; i < n; i += 64) {
        sha1_block(h, last + i);
    }
    for (size_t i = 0; i < 5; i++) {
        out = td_put_u32(out, h[i]);
    }
}

/* ---- base64 (RFC 4648) ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 4 letters for each 3 bytes, padded. */
static void base64(td_slice in, uint8_t *out)
{
    for (size_t i = 0; i < in.n; i += 3) {
        size_t n = in.n - i < 3 ? in.n - i : 3;
        uint32_t v = (uint32_t)in.p[i] << 16;
        v |= n > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
        v |= n > 2 ? in.p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            *out++ = (uint8_t)(k <= n ? letters[v >> (18 - 6 * k) & 63] : '=');
        }
    }
}

bool td_ws_key_valid(td_slice key)
{
    if (key.n != 24 || key.p[22] != '=' || key.p[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (memchr(letters, key.p[i], sizeof letters - 1) == NULL) {
            return false;
        }
    }
    return true;
}

void td_ws_accept(td_slice key, uint8_t out[TD_WS_ACCEPT_BYTES])
{
    static const td_slice fixed = {(const uint8_t *)"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36};
    uint8_t text[24 + 36], hash[20];
    td_assert(key.n == 24);
    td_put_bytes(td_put_bytes(text, key), fixed);
    td_ws_sha1((td_slice){text, sizeof text}, hash);
    base64((td_slice){hash, sizeof hash}, out);
}

void td_ws_key(const uint8_t random[16], uint8_t out[24])
{
    base64((td_slice){random, 16}, out);
}
