/* store: rows and values as bytes. */
#include "store/rows.h"

#include <math.h>

enum { TAG_NONE, TAG_FALSE, TAG_TRUE, TAG_INT, TAG_DECIMAL, TAG_DOUBLE, TAG_TEXT };
enum { DECIMAL_E_MAX = 9, DECIMAL_E_DECODE_MAX = 22 };

uint64_t td_bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

double td_bits_value(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Powers of ten up to 22 are exact doubles, so k / 10^e rounds once: the double nearest to the
 * decimal, which is what a parser gave. */
static const double ten[DECIMAL_E_DECODE_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

double td_decimal_value(int64_t k, unsigned e)
{
    return (double)k / ten[e];
}

bool td_decimal_of(double v, int64_t *k, unsigned *e)
{
    if (!(fabs(v) < 9e15)) {
        return false;
    }
    for (unsigned i = 0; i <= DECIMAL_E_MAX; i++) {
        double scaled = v * ten[i];
        if (!(fabs(scaled) < 9e15)) {
            return false;
        }
        int64_t whole = (int64_t)nearbyint(scaled);
        if (td_bits_of(td_decimal_value(whole, i)) == td_bits_of(v)) {
            *k = whole;
            *e = i;
            return true;
        }
    }
    return false;
}

/* ---- values ---- */

static enum td_err tagged_add(struct td_buf *out, unsigned tag, uint64_t v)
{
    enum td_err err = td_buf_add_u8(out, (uint8_t)tag);
    return err == TD_OK ? td_buf_add_varint(out, v) : err;
}

static enum td_err double_encode(struct td_buf *out, double v)
{
    int64_t k;
    unsigned e;
    if (td_decimal_of(v, &k, &e) && k > -(INT64_C(1) << 48) && k < INT64_C(1) << 48) {
        return tagged_add(out, TAG_DECIMAL | e << 3, td_zigzag(k));
    }
    uint8_t bytes[9] = {TAG_DOUBLE};
    uint64_t bits = td_bits_of(v);
    for (unsigned i = 0; i < 8; i++) {
        bytes[1 + i] = (uint8_t)(bits >> (8 * i));
    }
    return td_buf_add(out, (td_slice){bytes, sizeof bytes});
}

enum td_err td_value_encode(struct td_buf *out, struct td_value v)
{
    switch (v.type) {
    case TD_VALUE_NONE:
        return td_buf_add_u8(out, TAG_NONE);
    case TD_VALUE_BOOL:
        return td_buf_add_u8(out, v.as.b ? TAG_TRUE : TAG_FALSE);
    case TD_VALUE_INT:
        return tagged_add(out, TAG_INT, td_zigzag(v.as.i));
    case TD_VALUE_FLOAT:
        return double_encode(out, v.as.f);
    case TD_VALUE_TEXT:
        break;
    }
    enum td_err err = td_buf_add_u8(out, TAG_TEXT);
    return err == TD_OK ? td_buf_add_lump(out, v.as.text) : err;
}

static struct td_value double_decode(struct td_cursor *c)
{
    td_slice s = td_cursor_bytes(c, 8);
    uint64_t bits = 0;
    for (unsigned i = 0; i < s.n; i++) {
        bits |= (uint64_t)s.p[i] << (8 * i);
    }
    return td_value_float(td_bits_value(bits));
}

static struct td_value decimal_decode(struct td_cursor *c, unsigned e)
{
    int64_t k = td_unzigzag(td_cursor_varint64(c));
    td_cursor_in(c, e, 0, DECIMAL_E_DECODE_MAX, TD_EPROTO);
    return c->err == TD_OK ? td_value_float(td_decimal_value(k, e)) : td_value_none();
}

struct td_value td_value_decode(struct td_cursor *c)
{
    uint8_t tag = td_cursor_u8(c);
    struct td_value v = td_value_none();
    switch (tag & 7) {
    case TAG_NONE:
        break;
    case TAG_FALSE:
    case TAG_TRUE:
        v = td_value_bool((tag & 7) == TAG_TRUE);
        break;
    case TAG_INT:
        v = td_value_int(td_unzigzag(td_cursor_varint64(c)));
        break;
    case TAG_DECIMAL:
        return decimal_decode(c, tag >> 3);
    case TAG_DOUBLE:
        v = double_decode(c);
        break;
    case TAG_TEXT:
        v = td_value_text(td_cursor_lump(c));
        if (v.as.text.n > TD_STORE_TEXT_MAX) {
            td_cursor_fail(c, TD_EPROTO);
        }
        break;
    default:
        td_cursor_fail(c, TD_EPROTO);
    }
    if (tag >> 3 != 0) {
        td_cursor_fail(c, TD_EPROTO);
    }
    return c->err == TD_OK ? v : td_value_none();
}

/* ---- rows ---- */

static const int64_t unit_ns[4] = {1, 1000, 1000000, 1000000000};

static bool dense(const struct td_row *row)
{
    for (size_t i = 0; i < row->count; i++) {
        if (row->cells[i].column != i) {
            return false;
        }
    }
    return true;
}

enum td_err td_rows_encode(struct td_buf *out, struct td_rows_state *state,
                           const struct td_row *row)
{
    int64_t delta = (int64_t)((uint64_t)row->ts - (uint64_t)state->ts);
    unsigned unit = 3;
    while (delta % unit_ns[unit] != 0) {
        unit--;
    }
    bool is_dense = dense(row);
    uint64_t head = td_zigzag((int64_t)row->stream - (int64_t)state->stream);
    enum td_err err = td_buf_add_varint(out, head << 3 | (is_dense ? 4u : 0u) | unit);
    err = err == TD_OK ? td_buf_add_varint(out, td_zigzag(delta / unit_ns[unit])) : err;
    err = err == TD_OK ? td_buf_add_varint(out, row->count) : err;
    for (size_t i = 0; i < row->count && err == TD_OK; i++) {
        err = is_dense ? TD_OK : td_buf_add_varint(out, row->cells[i].column);
        err = err == TD_OK ? td_value_encode(out, row->cells[i].value) : err;
    }
    *state = (struct td_rows_state){row->stream, row->ts};
    return err;
}

bool td_rows_next(struct td_cursor *c, struct td_rows_state *state,
                  struct td_cell cells[TD_STORE_COLUMNS_MAX], struct td_row *out)
{
    if (c->err != TD_OK || td_cursor_left(c) == 0) {
        return false;
    }
    uint64_t head = td_cursor_varint64(c);
    int64_t stream = (int64_t)state->stream + td_unzigzag(head >> 3);
    td_cursor_in(c, (uint64_t)stream, 0, UINT32_MAX >> 8, TD_EPROTO);
    uint64_t steps = (uint64_t)td_unzigzag(td_cursor_varint64(c)); /* wraps as it was made */
    int64_t ts = (int64_t)((uint64_t)state->ts + steps * (uint64_t)unit_ns[head & 3]);
    uint64_t count = td_cursor_varint64(c);
    td_cursor_in(c, count, 0, TD_STORE_COLUMNS_MAX, TD_EPROTO);
    for (size_t i = 0; i < count && c->err == TD_OK; i++) {
        uint64_t column = (head & 4) != 0 ? i : td_cursor_varint64(c);
        td_cursor_in(c, column, 0, TD_STORE_COLUMNS_MAX - 1, TD_EPROTO);
        cells[i] = (struct td_cell){(uint32_t)column, td_value_decode(c)};
    }
    if (c->err != TD_OK) {
        return false;
    }
    *state = (struct td_rows_state){(uint32_t)stream, ts};
    *out = (struct td_row){state->stream, ts, cells, (size_t)count};
    return true;
}
