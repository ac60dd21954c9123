/* store: column codecs. */
#include "store/codec.h"

#include <stdlib.h>

struct codec {
    const char *name;
    bool (*fits)(const struct td_column *c);
    void (*encode)(const struct td_column *c, struct td_buf *out);
    void (*decode)(struct td_column *c, struct td_cursor *in, size_t n);
};

/* ---- columns ---- */

void td_column_init(struct td_column *c, size_t cap)
{
    *c = (struct td_column){.cap = cap};
    c->tag = td_alloc(cap);
    c->bits = td_alloc(cap * sizeof *c->bits);
    td_buf_init(&c->text, cap * (size_t)(TD_STORE_TEXT_MAX + 1));
}

void td_column_fini(struct td_column *c)
{
    free(c->tag);
    free(c->bits);
    td_buf_fini(&c->text);
}

void td_column_add(struct td_column *c, struct td_value v)
{
    td_assert(c->n < c->cap);
    c->tag[c->n] = (uint8_t)v.type;
    uint64_t bits = 0;
    switch (v.type) {
    case TD_VALUE_NONE:
        break;
    case TD_VALUE_BOOL:
        bits = v.as.b;
        break;
    case TD_VALUE_INT:
        bits = (uint64_t)v.as.i;
        break;
    case TD_VALUE_FLOAT:
        bits = td_bits_of(v.as.f);
        break;
    case TD_VALUE_TEXT:
        bits = (uint64_t)c->text.n << 16 | v.as.text.n;
        if (td_buf_add(&c->text, v.as.text) != TD_OK) {
            bits = 0; /* only a machine without memory; the row stays, its text is empty */
        }
        break;
    }
    c->bits[c->n++] = bits;
}

struct td_value td_column_get(const struct td_column *c, size_t at)
{
    uint64_t bits = c->bits[at];
    switch ((enum td_value_type)c->tag[at]) {
    case TD_VALUE_NONE:
        break;
    case TD_VALUE_BOOL:
        return td_value_bool(bits != 0);
    case TD_VALUE_INT:
        return td_value_int((int64_t)bits);
    case TD_VALUE_FLOAT:
        return td_value_float(td_bits_value(bits));
    case TD_VALUE_TEXT:
        return td_value_text((td_slice){c->text.p + (bits >> 16), (size_t)(bits & 0xFFFF)});
    }
    return td_value_none();
}

static bool int_is_double(uint64_t bits)
{
    int64_t i = (int64_t)bits;
    return i >= -(INT64_C(1) << 53) && i <= INT64_C(1) << 53;
}

void td_column_settle(struct td_column *c)
{
    unsigned seen = 0;
    bool exact = true;
    for (size_t i = 0; i < c->n; i++) {
        seen |= 1u << c->tag[i];
        exact = exact && (c->tag[i] != TD_VALUE_INT || int_is_double(c->bits[i]));
    }
    const unsigned numbers = 1u << TD_VALUE_INT | 1u << TD_VALUE_FLOAT;
    if (seen == numbers && exact) {
        for (size_t i = 0; i < c->n; i++) {
            if (c->tag[i] == TD_VALUE_INT) {
                c->tag[i] = TD_VALUE_FLOAT;
                c->bits[i] = td_bits_of((double)(int64_t)c->bits[i]);
            }
        }
        seen = 1u << TD_VALUE_FLOAT;
    }
    bool one_type = (seen & (seen - 1)) == 0;
    c->type = c->n == 0 ? TD_VALUE_NONE : one_type ? c->tag[0] : TD_COLUMN_ANY;
}

/* ---- codecs ---- */

static void add_u64(struct td_buf *out, uint64_t v, size_t bytes)
{
    uint8_t le[8];
    for (unsigned i = 0; i < 8; i++) {
        le[i] = (uint8_t)(v >> (8 * i));
    }
    (void)td_buf_add(out, (td_slice){le, bytes}); /* a short buffer is seen at the end */
}

static uint64_t take_u64(struct td_cursor *in, size_t bytes)
{
    td_slice s = td_cursor_bytes(in, bytes);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        v |= (uint64_t)s.p[i] << (8 * i);
    }
    return v;
}

static void put(struct td_column *c, uint64_t bits)
{
    c->tag[c->n] = c->type;
    c->bits[c->n++] = bits;
}

static bool is_number(const struct td_column *c)
{
    return c->type == TD_VALUE_BOOL || c->type == TD_VALUE_INT || c->type == TD_VALUE_FLOAT;
}

static bool const_fits(const struct td_column *c)
{
    for (size_t i = 1; i < c->n; i++) {
        if (c->bits[i] != c->bits[0]) {
            return false;
        }
    }
    return is_number(c) && c->n > 0;
}

static void const_encode(const struct td_column *c, struct td_buf *out)
{
    add_u64(out, c->bits[0], 8);
}

static void const_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    uint64_t bits = take_u64(in, 8);
    while (c->n < n) {
        put(c, bits);
    }
}

static bool bits_fits(const struct td_column *c)
{
    return c->type == TD_VALUE_BOOL;
}

static void bits_encode(const struct td_column *c, struct td_buf *out)
{
    for (size_t i = 0; i < c->n; i += 8) {
        unsigned byte = 0;
        for (size_t j = i; j < i + 8 && j < c->n; j++) {
            byte |= (unsigned)c->bits[j] << (j - i);
        }
        add_u64(out, byte, 1);
    }
}

static void bits_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    td_slice s = td_cursor_bytes(in, (n + 7) / 8);
    while (c->n < n && in->err == TD_OK) {
        put(c, (unsigned)s.p[c->n / 8] >> (c->n % 8) & 1u);
    }
}

static bool delta_fits(const struct td_column *c)
{
    return c->type == TD_VALUE_INT;
}

static void delta_encode(const struct td_column *c, struct td_buf *out)
{
    uint64_t before = 0;
    for (size_t i = 0; i < c->n; i++) {
        (void)td_buf_add_varint(out, td_zigzag((int64_t)(c->bits[i] - before)));
        before = c->bits[i];
    }
}

static void delta_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    uint64_t v = 0;
    while (c->n < n && in->err == TD_OK) {
        v += (uint64_t)td_unzigzag(td_cursor_varint64(in));
        put(c, v);
    }
}

static void raw_encode(const struct td_column *c, struct td_buf *out)
{
    for (size_t i = 0; i < c->n; i++) {
        add_u64(out, c->bits[i], 8);
    }
}

static void raw_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    while (c->n < n && in->err == TD_OK) {
        put(c, take_u64(in, 8));
    }
}

static bool is_float(const struct td_column *c)
{
    return c->type == TD_VALUE_FLOAT;
}

static void xor_encode(const struct td_column *c, struct td_buf *out)
{
    uint64_t before = 0;
    for (size_t i = 0; i < c->n; i++) {
        uint64_t x = c->bits[i] ^ before;
        before = c->bits[i];
        unsigned lead = x == 0 ? 0 : (unsigned)__builtin_clzll(x) / 8;
        unsigned tail = x == 0 ? 8 : (unsigned)__builtin_ctzll(x) / 8;
        unsigned bytes = 8 - lead - tail;
        add_u64(out, lead << 4 | bytes, 1);
        add_u64(out, x == 0 ? 0 : x >> (8 * tail), bytes);
    }
}

static void xor_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    uint64_t v = 0;
    while (c->n < n && in->err == TD_OK) {
        unsigned head = td_cursor_u8(in);
        unsigned lead = head >> 4, bytes = head & 15;
        td_cursor_in(in, lead + bytes, 0, 8, TD_ECORRUPT);
        if (in->err == TD_OK && bytes > 0) {
            v ^= take_u64(in, bytes) << (8 * (8 - lead - bytes));
        }
        put(c, v);
    }
}

/* The exponent that all values share; false: there is none. */
static bool decimal_exponent(const struct td_column *c, unsigned *out)
{
    unsigned most = 0;
    int64_t k;
    for (size_t i = 0; i < c->n; i++) {
        unsigned e;
        if (!td_decimal_of(td_bits_value(c->bits[i]), &k, &e)) {
            return false;
        }
        most = e > most ? e : most;
    }
    *out = most;
    return true;
}

static bool decimal_at(uint64_t bits, unsigned e, int64_t *k)
{
    static const double ten[10] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    double scaled = td_bits_value(bits) * ten[e];
    if (!(scaled < 9e15 && scaled > -9e15)) {
        return false;
    }
    *k = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    return td_bits_of(td_decimal_value(*k, e)) == bits;
}

static bool decimal_fits(const struct td_column *c)
{
    unsigned e;
    if (!is_float(c) || !decimal_exponent(c, &e)) {
        return false;
    }
    for (size_t i = 0; i < c->n; i++) {
        int64_t k;
        if (!decimal_at(c->bits[i], e, &k)) {
            return false;
        }
    }
    return true;
}

static void decimal_encode(const struct td_column *c, struct td_buf *out)
{
    unsigned e = 0;
    (void)decimal_exponent(c, &e); /* it fits */
    add_u64(out, e, 1);
    uint64_t before = 0;
    for (size_t i = 0; i < c->n; i++) {
        int64_t k = 0;
        (void)decimal_at(c->bits[i], e, &k); /* it fits */
        (void)td_buf_add_varint(out, td_zigzag((int64_t)((uint64_t)k - before)));
        before = (uint64_t)k;
    }
}

static void decimal_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    unsigned e = td_cursor_u8(in);
    td_cursor_in(in, e, 0, 9, TD_ECORRUPT);
    uint64_t k = 0;
    while (c->n < n && in->err == TD_OK) {
        k += (uint64_t)td_unzigzag(td_cursor_varint64(in));
        put(c, td_bits_of(td_decimal_value((int64_t)k, e)));
    }
}

static bool text_fits(const struct td_column *c)
{
    return c->type == TD_VALUE_TEXT;
}

static void text_encode(const struct td_column *c, struct td_buf *out)
{
    td_slice before = {NULL, SIZE_MAX}; /* equal to nothing */
    for (size_t i = 0; i < c->n; i++) {
        td_slice s = td_column_get(c, i).as.text;
        if (before.n == s.n && td_slice_eq(before, s)) {
            (void)td_buf_add_varint(out, 0);
        } else {
            (void)td_buf_add_varint(out, s.n + 1);
            (void)td_buf_add(out, s);
        }
        before = s;
    }
}

static void text_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    while (c->n < n && in->err == TD_OK) {
        uint64_t length = td_cursor_varint64(in);
        if (length == 0) {
            td_cursor_in(in, c->n, 1, SIZE_MAX, TD_ECORRUPT);
            put(c, c->n > 0 ? c->bits[c->n - 1] : 0);
            continue;
        }
        td_cursor_in(in, length - 1, 0, TD_STORE_TEXT_MAX, TD_ECORRUPT);
        td_slice s = in->err == TD_OK ? td_cursor_bytes(in, (size_t)length - 1) : (td_slice){0};
        td_column_add(c, td_value_text(s));
    }
}

static bool tagged_fits(const struct td_column *c)
{
    return c->type == TD_COLUMN_ANY;
}

static void tagged_encode(const struct td_column *c, struct td_buf *out)
{
    for (size_t i = 0; i < c->n; i++) {
        (void)td_value_encode(out, td_column_get(c, i));
    }
}

static void tagged_decode(struct td_column *c, struct td_cursor *in, size_t n)
{
    while (c->n < n && in->err == TD_OK) {
        struct td_value v = td_value_decode(in);
        td_cursor_in(in, v.type, TD_VALUE_BOOL, TD_VALUE_TEXT, TD_ECORRUPT);
        td_column_add(c, v);
    }
}

/* clang-format off */
static const struct codec codecs[TD_CODEC_COUNT] = {
    [TD_CODEC_CONST]   = {"const",   const_fits,   const_encode,   const_decode},
    [TD_CODEC_BITS]    = {"bits",    bits_fits,    bits_encode,    bits_decode},
    [TD_CODEC_DELTA]   = {"delta",   delta_fits,   delta_encode,   delta_decode},
    [TD_CODEC_RAW]     = {"raw",     is_number,    raw_encode,     raw_decode},
    [TD_CODEC_XOR]     = {"xor",     is_float,     xor_encode,     xor_decode},
    [TD_CODEC_DECIMAL] = {"decimal", decimal_fits, decimal_encode, decimal_decode},
    [TD_CODEC_TEXT]    = {"text",    text_fits,    text_encode,    text_decode},
    [TD_CODEC_TAGGED]  = {"tagged",  tagged_fits,  tagged_encode,  tagged_decode},
};
/* clang-format on */

const char *td_codec_name(unsigned codec)
{
    return codec >= 1 && codec < TD_CODEC_COUNT ? codecs[codec].name : "unknown";
}

enum td_codec_id td_column_encode(const struct td_column *c, struct td_buf *out)
{
    size_t start = out->n;
    enum td_codec_id best = 0;
    struct td_buf trial, least;
    td_buf_init(&trial, SIZE_MAX / 2);
    td_buf_init(&least, SIZE_MAX / 2);
    for (unsigned id = 1; id < TD_CODEC_COUNT; id++) {
        if (!codecs[id].fits(c)) {
            continue;
        }
        td_buf_clear(&trial);
        codecs[id].encode(c, &trial);
        if (best == 0 || trial.n < least.n) {
            struct td_buf swap = least;
            least = trial;
            trial = swap;
            best = (enum td_codec_id)id;
        }
    }
    (void)td_buf_add(out, td_buf_slice(&least)); /* the caller tests its buffer's length */
    td_assert(best != 0 && out->n == start + least.n);
    td_buf_fini(&trial);
    td_buf_fini(&least);
    return best;
}

enum td_err td_column_decode(struct td_column *c, uint8_t type, unsigned codec, size_t n,
                             td_slice in)
{
    td_assert(c->n == 0 && n <= c->cap);
    c->type = type;
    if (codec < 1 || codec >= TD_CODEC_COUNT || type < TD_VALUE_BOOL || type > TD_COLUMN_ANY) {
        return TD_ECORRUPT;
    }
    bool texts = codec == TD_CODEC_TEXT, mixed = codec == TD_CODEC_TAGGED;
    if (texts != (type == TD_VALUE_TEXT) || mixed != (type == TD_COLUMN_ANY)) {
        return TD_ECORRUPT;
    }
    struct td_cursor cursor = td_cursor_of(in);
    codecs[codec].decode(c, &cursor, n);
    if (cursor.err != TD_OK || td_cursor_left(&cursor) != 0 || c->n != n) {
        return TD_ECORRUPT;
    }
    return TD_OK;
}

/* ---- times ---- */

static const int64_t power[10] = {1,      10,      100,      1000,      10000,
                                  100000, 1000000, 10000000, 100000000, 1000000000};

unsigned td_times_exponent(const int64_t *ts, size_t n)
{
    unsigned exponent = 9;
    for (size_t i = 0; i < n; i++) {
        while (ts[i] % power[exponent] != 0) {
            exponent -= 3;
        }
    }
    return exponent;
}

void td_times_encode(const int64_t *ts, size_t n, unsigned exponent, struct td_buf *out)
{
    uint64_t before = 0, step = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t t = (uint64_t)(ts[i] / power[exponent]);
        uint64_t delta = t - before;
        (void)td_buf_add_varint(out, td_zigzag((int64_t)(delta - step)));
        step = i == 0 ? 0 : delta;
        before = t;
    }
}

enum td_err td_times_decode(td_slice in, unsigned exponent, int64_t *ts, size_t n)
{
    if (exponent > 9 || exponent % 3 != 0) {
        return TD_ECORRUPT;
    }
    struct td_cursor c = td_cursor_of(in);
    uint64_t t = 0, step = 0;
    for (size_t i = 0; i < n && c.err == TD_OK; i++) {
        uint64_t delta = step + (uint64_t)td_unzigzag(td_cursor_varint64(&c));
        t += delta;
        step = i == 0 ? 0 : delta;
        ts[i] = (int64_t)(t * (uint64_t)power[exponent]);
    }
    return c.err == TD_OK && td_cursor_left(&c) == 0 ? TD_OK : TD_ECORRUPT;
}
