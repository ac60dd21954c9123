/* store: chunks. */
#include "store/chunk.h"

#include <math.h>
#include <stdlib.h>

#include "store/codec.h"

enum { FLAG_STATS = 1, STATS_ROWS = 32, STATS_COUNT = 6 };

/* ---- order ---- */

struct place {
    int64_t ts;
    uint32_t row;
};

static int place_cmp(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->ts != y->ts) {
        return x->ts < y->ts ? -1 : 1;
    }
    return x->row < y->row ? -1 : 1;
}

uint32_t *td_block_order(const struct td_block *b, uint32_t from, uint32_t to, uint32_t *count)
{
    size_t n = to - from;
    struct place *places = td_alloc(n * sizeof *places);
    uint32_t *rows = td_alloc(n * sizeof *rows);
    for (uint32_t i = 0; i < n; i++) {
        places[i] = (struct place){b->ts[from + i], from + i};
    }
    qsort(places, n, sizeof *places, place_cmp);
    uint32_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || places[i + 1].ts != places[i].ts) {
            rows[kept++] = places[i].row;
        }
    }
    free(places);
    *count = kept;
    return rows;
}

/* ---- encoding ---- */

static void add_le(struct td_buf *out, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        (void)td_buf_add_u8(out, (uint8_t)(v >> (8 * i))); /* the buffer has no bound */
    }
}

static void stats_add(struct td_buf *out, const struct td_column *c)
{
    double min = INFINITY, max = -INFINITY, sum = 0, squares = 0, first = NAN, last = NAN;
    for (size_t i = 0; i < c->n; i++) {
        double v;
        if (!td_value_number(td_column_get(c, i), &v) || isnan(v)) {
            continue;
        }
        min = v < min ? v : min;
        max = v > max ? v : max;
        sum += v;
        squares += v * v;
        first = isnan(first) ? v : first;
        last = v;
    }
    const double all[STATS_COUNT] = {min, max, sum, squares, first, last};
    for (size_t i = 0; i < STATS_COUNT; i++) {
        add_le(out, td_bits_of(all[i]), 8);
    }
}

static void presence_add(struct td_buf *out, const struct td_block *b, const uint32_t *rows,
                         uint32_t n, uint32_t column)
{
    for (uint32_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (uint32_t j = i; j < i + 8 && j < n; j++) {
            bool there = b->column[column].tag[rows[j]] != TD_VALUE_NONE;
            byte |= (unsigned)there << (j - i);
        }
        add_le(out, byte, 1);
    }
}

/* Adds one column to head and data; false: no row has it. */
static bool column_add(struct td_chunk *chunk, const struct td_block *b, const uint32_t *rows,
                       uint32_t id)
{
    if (b->column[id].tag == NULL) {
        return false;
    }
    struct td_column c;
    td_column_init(&c, chunk->n);
    for (uint32_t i = 0; i < chunk->n; i++) {
        struct td_value v = td_block_get(b, rows[i], id);
        if (v.type != TD_VALUE_NONE) {
            td_column_add(&c, v);
        }
    }
    bool any = c.n > 0;
    if (any) {
        td_column_settle(&c);
        size_t offset = chunk->data.n;
        if (c.n < chunk->n) {
            presence_add(&chunk->data, b, rows, chunk->n, id);
        }
        enum td_codec_id codec = td_column_encode(&c, &chunk->data);
        add_le(&chunk->head, id, 2);
        add_le(&chunk->head, c.type, 1);
        add_le(&chunk->head, codec, 1);
        add_le(&chunk->head, offset, 4);
        add_le(&chunk->head, chunk->data.n - offset, 4);
        add_le(&chunk->head, c.n, 2);
        if (chunk->n >= STATS_ROWS) {
            stats_add(&chunk->head, &c);
        }
    }
    td_column_fini(&c);
    return any;
}

static void times_add(struct td_chunk *chunk, const struct td_block *b, const uint32_t *rows)
{
    int64_t *ts = td_alloc(chunk->n * sizeof *ts);
    for (uint32_t i = 0; i < chunk->n; i++) {
        ts[i] = b->ts[rows[i]];
    }
    unsigned exponent = td_times_exponent(ts, chunk->n);
    td_times_encode(ts, chunk->n, exponent, &chunk->data);
    add_le(&chunk->head, exponent, 1);
    add_le(&chunk->head, chunk->data.n, 4);
    chunk->t0 = ts[0];
    chunk->t1 = ts[chunk->n - 1];
    free(ts);
}

static void set_le(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

void td_chunk_encode(const struct td_block *b, uint32_t from, uint32_t to, struct td_chunk *out)
{
    td_assert(from < to && to <= b->n);
    *out = (struct td_chunk){.seq = b->lsn[to - 1]};
    td_buf_init(&out->head, SIZE_MAX / 2);
    td_buf_init(&out->data, SIZE_MAX / 2);
    uint32_t *rows = td_block_order(b, from, to, &out->n);
    add_le(&out->head, TD_CHUNK_VERSION, 1);
    add_le(&out->head, out->n >= STATS_ROWS ? FLAG_STATS : 0, 1);
    add_le(&out->head, 0, 6); /* k and crc, known later */
    times_add(out, b, rows);
    unsigned k = 0;
    for (uint32_t id = 0; id < b->columns; id++) {
        k += column_add(out, b, rows, id);
    }
    free(rows);
    set_le(out->head.p + 2, k, 2);
    set_le(out->head.p + 4, td_crc32c(0, td_buf_slice(&out->data)), 4);
    add_le(&out->head, td_crc32c(0, td_buf_slice(&out->head)), 4);
}

void td_chunk_fini(struct td_chunk *chunk)
{
    td_buf_fini(&chunk->head);
    td_buf_fini(&chunk->data);
}

/* ---- decoding ---- */

static uint64_t take_le(struct td_cursor *c, unsigned bytes)
{
    td_slice s = td_cursor_bytes(c, bytes);
    uint64_t v = 0;
    for (unsigned i = 0; i < s.n; i++) {
        v |= (uint64_t)s.p[i] << (8 * i);
    }
    return v;
}

struct column_head {
    uint32_t id, offset, len, present;
    uint8_t type, codec;
};

static struct column_head column_head_take(struct td_cursor *c, bool stats)
{
    struct column_head h;
    h.id = (uint32_t)take_le(c, 2);
    h.type = (uint8_t)take_le(c, 1);
    h.codec = (uint8_t)take_le(c, 1);
    h.offset = (uint32_t)take_le(c, 4);
    h.len = (uint32_t)take_le(c, 4);
    h.present = (uint32_t)take_le(c, 2);
    (void)td_cursor_bytes(c, stats ? STATS_COUNT * 8 : 0);
    return h;
}

/* Spreads the present values over the rows of the block. False: the bits do not fit the count. */
static bool column_spread(struct td_block *b, const struct td_column *c, uint32_t id, td_slice bits)
{
    struct td_block_column *to = &b->column[id];
    uint64_t text_at = (uint64_t)b->text_n << 16;
    size_t next = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        bool there = bits.n == 0 || ((unsigned)bits.p[i / 8] >> (i % 8) & 1u) != 0;
        if (there && next == c->n) {
            return false;
        }
        if (there) {
            to->tag[i] = c->tag[next];
            to->bits[i] = c->bits[next] + (c->tag[next] == TD_VALUE_TEXT ? text_at : 0);
            next++;
        }
    }
    if (c->text.n > 0) {
        b->text_cap = b->text_n + c->text.n;
        b->text = td_realloc(b->text, b->text_cap);
        (void)td_put_bytes(b->text + b->text_n, td_buf_slice(&c->text));
        b->text_n += c->text.n;
    }
    return next == c->n;
}

static enum td_err column_take(struct td_block *b, const struct column_head *h, td_slice data)
{
    bool fits = h->offset <= data.n && h->len <= data.n - h->offset && h->id < b->columns &&
                h->present > 0 && h->present <= b->n && b->column[h->id].tag == NULL;
    if (!fits) {
        return TD_ECORRUPT;
    }
    struct td_cursor in = td_cursor_of((td_slice){data.p + h->offset, h->len});
    td_slice bits = td_cursor_bytes(&in, h->present < b->n ? (b->n + 7) / 8 : 0);
    if (in.err != TD_OK) {
        return TD_ECORRUPT;
    }
    b->column[h->id].tag = td_alloc(b->n);
    b->column[h->id].bits = td_alloc(b->n * sizeof(uint64_t));
    struct td_column c;
    td_column_init(&c, h->present);
    td_slice rest = {in.p, td_cursor_left(&in)};
    enum td_err err = td_column_decode(&c, h->type, h->codec, h->present, rest);
    if (err == TD_OK && !column_spread(b, &c, h->id, bits)) {
        err = TD_ECORRUPT;
    }
    td_column_fini(&c);
    return err;
}

static struct td_block *block_of_size(uint32_t n)
{
    struct td_block *b = td_block_new();
    b->n = b->cap = n;
    b->ts = td_alloc(n * sizeof *b->ts);
    b->lsn = td_alloc(n * sizeof *b->lsn);
    b->columns = TD_STORE_COLUMNS_MAX;
    b->column = td_alloc(b->columns * sizeof *b->column);
    return b;
}

static enum td_err columns_take(struct td_block *b, struct td_cursor *c, unsigned k, bool stats,
                                td_slice data)
{
    enum td_err err = TD_OK;
    for (unsigned i = 0; i < k && err == TD_OK; i++) {
        struct column_head h = column_head_take(c, stats);
        err = c->err == TD_OK ? column_take(b, &h, data) : TD_ECORRUPT;
    }
    return err == TD_OK && (c->err != TD_OK || td_cursor_left(c) != 0) ? TD_ECORRUPT : err;
}

enum td_err td_chunk_decode(td_slice head, td_slice data, uint32_t n, struct td_block **out)
{
    if (head.n < 17 || n == 0 || n > TD_CHUNK_ROWS_MAX) {
        return TD_ECORRUPT;
    }
    if (head.p[0] != TD_CHUNK_VERSION) {
        return TD_EUNSUPPORTED;
    }
    td_slice body = td_slice_head(head, head.n - 4);
    struct td_cursor tail = td_cursor_of(td_slice_skip(head, head.n - 4));
    struct td_cursor c = td_cursor_of(td_slice_skip(body, 1));
    bool stats = (take_le(&c, 1) & FLAG_STATS) != 0;
    unsigned k = (unsigned)take_le(&c, 2);
    bool sound = take_le(&c, 4) == td_crc32c(0, data) && take_le(&tail, 4) == td_crc32c(0, body);
    unsigned exponent = (unsigned)take_le(&c, 1);
    uint64_t ts_bytes = take_le(&c, 4);
    if (!sound || ts_bytes > data.n) {
        return TD_ECORRUPT;
    }
    struct td_block *b = block_of_size(n);
    enum td_err err = td_times_decode(td_slice_head(data, (size_t)ts_bytes), exponent, b->ts, n);
    err = err == TD_OK ? columns_take(b, &c, k, stats, data) : err;
    if (err != TD_OK) {
        td_block_unref(b);
        return err;
    }
    *out = b;
    return TD_OK;
}
