/* bits: the cursor (reads) and the writers, big-endian as the network has it. */
#include "bits/bits.h"

/* ---- cursor ---- */

td_slice td_cursor_bytes(struct td_cursor *c, size_t n)
{
    if (c->err != TD_OK || td_cursor_left(c) < n) {
        td_cursor_fail(c, TD_EMORE);
        return (td_slice){c->p, 0};
    }
    td_slice s = {c->p, n};
    c->p += n;
    return s;
}

static uint64_t read_be(struct td_cursor *c, size_t width)
{
    td_slice s = td_cursor_bytes(c, width);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        v = v << 8 | s.p[i];
    }
    return v;
}

uint8_t td_cursor_u8(struct td_cursor *c)
{
    if (c->err != TD_OK || c->p == c->end) {
        td_cursor_fail(c, TD_EMORE);
        return 0;
    }
    return *c->p++;
}

uint16_t td_cursor_u16(struct td_cursor *c)
{
    return (uint16_t)read_be(c, 2);
}

uint32_t td_cursor_u24(struct td_cursor *c)
{
    return (uint32_t)read_be(c, 3);
}

uint32_t td_cursor_u32(struct td_cursor *c)
{
    return (uint32_t)read_be(c, 4);
}

uint64_t td_cursor_u64(struct td_cursor *c)
{
    return read_be(c, 8);
}

td_slice td_cursor_string16(struct td_cursor *c)
{
    size_t n = td_cursor_u16(c);
    return td_cursor_bytes(c, n);
}

uint32_t td_cursor_varint28(struct td_cursor *c)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift <= 21; shift += 7) {
        uint8_t byte = td_cursor_u8(c);
        v |= (uint32_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            if (byte == 0 && shift > 0) {
                td_cursor_fail(c, TD_EPROTO);
            }
            return c->err == TD_OK ? v : 0;
        }
    }
    td_cursor_fail(c, TD_EPROTO);
    return 0;
}

uint64_t td_cursor_varint64(struct td_cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift <= 63; shift += 7) {
        uint8_t byte = td_cursor_u8(c);
        if (shift == 63 && byte > 1) {
            break;
        }
        v |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            return c->err == TD_OK ? v : 0;
        }
    }
    td_cursor_fail(c, TD_EPROTO);
    return 0;
}

void td_cursor_in(struct td_cursor *c, uint64_t value, uint64_t least, uint64_t most,
                  enum td_err err)
{
    if (!td_in(value, least, most)) {
        td_cursor_fail(c, err);
    }
}

/* ---- put ---- */

static uint8_t *put_be(uint8_t *p, uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        p[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
    }
    return p + width;
}

uint8_t *td_put_u24(uint8_t *p, uint32_t v)
{
    return put_be(p, v, 3);
}

uint8_t *td_put_u32(uint8_t *p, uint32_t v)
{
    return put_be(p, v, 4);
}

uint8_t *td_put_u64(uint8_t *p, uint64_t v)
{
    return put_be(p, v, 8);
}

uint8_t *td_put_bytes(uint8_t *p, td_slice s)
{
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    return p + s.n;
}

uint8_t *td_put_string16(uint8_t *p, td_slice s)
{
    td_assert(s.n <= UINT16_MAX);
    return td_put_bytes(td_put_u16(p, (uint16_t)s.n), s);
}

size_t td_varint28_size(uint32_t v)
{
    return v < 0x80 ? 1 : v < 0x4000 ? 2 : v < 0x200000 ? 3 : 4;
}

uint8_t *td_put_varint28(uint8_t *p, uint32_t v)
{
    td_assert(v < 0x10000000);
    return td_put_varint64(p, v);
}

uint8_t *td_put_varint64(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        *p++ = (uint8_t)(v | 0x80);
    }
    *p++ = (uint8_t)v;
    return p;
}
