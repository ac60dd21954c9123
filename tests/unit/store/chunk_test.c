/* store: rows and chunks give back what they were given, bit for bit, and believe no byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/chunk.h"
#include "store/codec.h"

/* One way to make up a column's values. */
enum shape {
    SHAPE_CONST,
    SHAPE_BOOL,
    SHAPE_COUNTER,
    SHAPE_INT_ANY,
    SHAPE_DECIMAL,
    SHAPE_DOUBLE,
    SHAPE_ANY_BITS,
    SHAPE_TEXT,
    SHAPE_STATES,
    SHAPE_INT_AND_DOUBLE,
    SHAPE_BIG_INT_AND_DOUBLE,
    SHAPE_MIXED,
    SHAPE_SPECIAL,
    SHAPE_COUNT
};

static struct td_value any_bits(struct td_rng *rng)
{
    return td_value_float(td_bits_value(td_rng_next(rng)));
}

static struct td_value any_text(struct td_rng *rng)
{
    static uint8_t bytes[300];
    size_t n = (size_t)td_rng_below(rng, 40);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)td_rng_next(rng);
    }
    return td_value_text((td_slice){bytes, n});
}

static struct td_value special(struct td_rng *rng)
{
    static const uint64_t bits[] = {
        0,
        UINT64_C(0x8000000000000000), /* -0 */
        UINT64_C(0x7FF0000000000000), /* inf */
        UINT64_C(0xFFF0000000000000),
        UINT64_C(0x7FF8000000000000), /* NaN */
        UINT64_C(0x7FF8DEADBEEF0001), /* NaN with a payload */
        UINT64_C(0x7FF0000000000001), /* signalling */
        1,                            /* denormal */
        UINT64_C(0x7FEFFFFFFFFFFFFF), /* DBL_MAX */
    };
    return td_value_float(td_bits_value(bits[td_rng_below(rng, TD_COUNT(bits))]));
}

static struct td_value made(enum shape shape, struct td_rng *rng, int64_t i)
{
    static const char *const states[] = {"idle", "running", "stopped", ""};
    int64_t any = (int64_t)td_rng_next(rng);
    switch (shape) {
    case SHAPE_CONST:
        return td_value_float(21.5);
    case SHAPE_BOOL:
        return td_value_bool((any & 1) != 0);
    case SHAPE_COUNTER:
        return td_value_int(i * 3 + (any & 1));
    case SHAPE_INT_ANY:
        return td_value_int(any);
    case SHAPE_DECIMAL:
        return td_value_float((double)(any % 100000) / 100);
    case SHAPE_DOUBLE:
        return td_value_float((double)any / 3e7);
    case SHAPE_ANY_BITS:
        return any_bits(rng);
    case SHAPE_TEXT:
        return any_text(rng);
    case SHAPE_STATES:
        return td_value_text(td_slice_of(states[any & 3]));
    case SHAPE_INT_AND_DOUBLE:
        return (any & 1) != 0 ? td_value_int(any % 1000) : td_value_float((double)(any % 77) / 8);
    case SHAPE_BIG_INT_AND_DOUBLE:
        return (any & 1) != 0 ? td_value_int(any | INT64_C(1) << 60) : any_bits(rng);
    case SHAPE_MIXED:
        return made((enum shape)(any & 7), rng, i);
    case SHAPE_SPECIAL:
        return special(rng);
    case SHAPE_COUNT:
        break;
    }
    return td_value_none();
}

/* Ints among doubles may come back as the doubles they equal; all else is the same. */
static bool kept(struct td_value given, struct td_value back)
{
    if (given.type == TD_VALUE_INT && back.type == TD_VALUE_FLOAT) {
        return (double)given.as.i == back.as.f && (int64_t)back.as.f == given.as.i;
    }
    return td_value_same(given, back);
}

static struct td_block *block_make(struct td_rng *rng, uint32_t n, uint32_t columns, bool sparse)
{
    struct td_block *b = td_block_new();
    td_wall ts = INT64_C(1795510800000000000);
    for (uint32_t i = 0; i < n; i++) {
        struct td_cell cells[8];
        size_t count = 0;
        ts += sparse ? (td_wall)td_rng_below(rng, 5000000000) : 1000000000;
        for (uint32_t c = 0; c < columns; c++) {
            if (!sparse || td_rng_below(rng, 3) > 0) {
                enum shape shape = (enum shape)((c * 7 + n) % SHAPE_COUNT);
                cells[count++] = (struct td_cell){c, made(shape, rng, i)};
                if (cells[count - 1].value.type == TD_VALUE_TEXT) {
                    break; /* the maker's text buffer holds one */
                }
            }
        }
        const struct td_row row = {0, ts, cells, count};
        td_block_add(&b, &row, i + 1);
    }
    return b;
}

static void chunk_check(const struct td_block *b)
{
    struct td_chunk chunk;
    struct td_block *back;
    td_chunk_encode(b, 0, b->n, &chunk);
    uint32_t n;
    uint32_t *order = td_block_order(b, 0, b->n, &n);
    assert_int_equal(n, chunk.n);
    assert_int_equal(b->lsn[b->n - 1], chunk.seq);
    assert_int_equal(
        TD_OK, td_chunk_decode(td_buf_slice(&chunk.head), td_buf_slice(&chunk.data), n, &back));
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(b->ts[order[i]], back->ts[i]);
        for (uint32_t c = 0; c < 8; c++) {
            assert_true(kept(td_block_get(b, order[i], c), td_block_get(back, i, c)));
        }
    }
    free(order);
    td_block_unref(back);
    td_chunk_fini(&chunk);
}

static void chunks_give_back_every_bit(void **state)
{
    (void)state;
    struct td_rng rng;
    td_rng_init(&rng, 42);
    for (uint32_t round = 0; round < 400; round++) {
        uint32_t n = 1 + (uint32_t)td_rng_below(&rng, round % 10 == 0 ? 1024 : 80);
        struct td_block *b = block_make(&rng, n, 1 + round % 8, round % 2 == 1);
        chunk_check(b);
        td_block_unref(b);
    }
}

static void late_rows_are_sorted_and_the_later_of_two_stands(void **state)
{
    (void)state;
    struct td_block *b = td_block_new(), *back;
    static const td_wall ts[] = {50, 10, 30, 10, 50, 20};
    for (size_t i = 0; i < TD_COUNT(ts); i++) {
        const struct td_cell cell = {0, td_value_int((int64_t)i)};
        const struct td_row row = {0, ts[i], &cell, 1};
        td_block_add(&b, &row, i + 1);
    }
    struct td_chunk chunk;
    td_chunk_encode(b, 0, b->n, &chunk);
    assert_int_equal(4, chunk.n);
    assert_int_equal(
        TD_OK, td_chunk_decode(td_buf_slice(&chunk.head), td_buf_slice(&chunk.data), 4, &back));
    static const int64_t want[4][2] = {{10, 3}, {20, 5}, {30, 2}, {50, 4}};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(want[i][0], back->ts[i]);
        assert_int_equal(want[i][1], td_block_get(back, i, 0).as.i);
    }
    td_block_unref(back);
    td_block_unref(b);
    td_chunk_fini(&chunk);
}

static void every_flipped_bit_and_truncation_of_a_chunk_is_found(void **state)
{
    (void)state;
    struct td_rng rng;
    td_rng_init(&rng, 7);
    struct td_block *b = block_make(&rng, 60, 5, true), *back;
    struct td_chunk chunk;
    td_chunk_encode(b, 0, b->n, &chunk);
    td_slice head = td_buf_slice(&chunk.head), data = td_buf_slice(&chunk.data);
    for (size_t i = 0; i < (head.n + data.n) * 8; i++) {
        uint8_t *byte = i / 8 < head.n ? chunk.head.p + i / 8 : chunk.data.p + (i / 8 - head.n);
        *byte ^= (uint8_t)(1u << (i % 8));
        enum td_err err = td_chunk_decode(head, data, chunk.n, &back);
        assert_true(err == TD_ECORRUPT || err == TD_EUNSUPPORTED);
        *byte ^= (uint8_t)(1u << (i % 8));
    }
    for (size_t n = 0; n < head.n; n++) {
        assert_int_not_equal(TD_OK, td_chunk_decode(td_slice_head(head, n), data, chunk.n, &back));
    }
    for (size_t n = 0; n < data.n; n++) {
        assert_int_not_equal(TD_OK, td_chunk_decode(head, td_slice_head(data, n), chunk.n, &back));
    }
    for (uint32_t n = 0; n < 200; n++) {
        if (n != chunk.n) {
            assert_int_not_equal(TD_OK, td_chunk_decode(head, data, n, &back));
        }
    }
    td_block_unref(b);
    td_chunk_fini(&chunk);
}

static void codecs_are_chosen_by_what_is_smallest(void **state)
{
    (void)state;
    static const struct {
        enum shape shape;
        enum td_codec_id codec;
        size_t bytes_most; /* of 1000 values */
    } cases[] = {
        {SHAPE_CONST, TD_CODEC_CONST, 8},      {SHAPE_BOOL, TD_CODEC_BITS, 125},
        {SHAPE_COUNTER, TD_CODEC_DELTA, 1100}, {SHAPE_DECIMAL, TD_CODEC_DECIMAL, 3001},
        {SHAPE_ANY_BITS, TD_CODEC_RAW, 8000},  {SHAPE_INT_ANY, TD_CODEC_RAW, 8000},
        {SHAPE_STATES, TD_CODEC_TEXT, 6000},   {SHAPE_MIXED, TD_CODEC_TAGGED, 20000},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_rng rng;
        struct td_column c;
        struct td_buf out;
        td_rng_init(&rng, i);
        td_column_init(&c, 1000);
        td_buf_init(&out, 1 << 20);
        for (int64_t j = 0; j < 1000; j++) {
            td_column_add(&c, made(cases[i].shape, &rng, j));
        }
        td_column_settle(&c);
        assert_int_equal(cases[i].codec, td_column_encode(&c, &out));
        assert_in_range(out.n, 1, cases[i].bytes_most);
        td_column_fini(&c);
        td_buf_fini(&out);
    }
}

static void rows_survive_the_round_trip_and_every_truncation(void **state)
{
    (void)state;
    struct td_rng rng;
    struct td_buf out;
    td_rng_init(&rng, 3);
    td_buf_init(&out, 1 << 20);
    for (int round = 0; round < 200; round++) {
        struct td_rows_state put = {0}, get = {0};
        static struct td_cell given[4], back[TD_STORE_COLUMNS_MAX];
        struct td_row row, seen;
        td_buf_clear(&out);
        size_t count = (size_t)td_rng_below(&rng, 4);
        for (size_t i = 0; i < count; i++) {
            uint32_t column = round % 2 == 0 ? (uint32_t)i : (uint32_t)td_rng_below(&rng, 240);
            enum shape shape = (enum shape)td_rng_below(&rng, SHAPE_TEXT);
            given[i] = (struct td_cell){column, made(shape, &rng, round)};
        }
        row = (struct td_row){(uint32_t)td_rng_below(&rng, 1u << 24),
                              (td_wall)(td_rng_next(&rng) >> 1), given, count};
        assert_int_equal(TD_OK, td_rows_encode(&out, &put, &row));
        struct td_cursor c = td_cursor_of(td_buf_slice(&out));
        assert_true(td_rows_next(&c, &get, back, &seen));
        assert_int_equal(row.stream, seen.stream);
        assert_int_equal(row.ts, seen.ts);
        assert_int_equal(count, seen.count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(given[i].column, back[i].column);
            assert_true(td_value_same(given[i].value, back[i].value));
        }
        for (size_t n = 1; n < out.n; n++) {
            get = (struct td_rows_state){0};
            c = td_cursor_of(td_slice_head(td_buf_slice(&out), n));
            assert_false(td_rows_next(&c, &get, back, &seen));
            assert_int_not_equal(TD_OK, c.err);
        }
    }
    td_buf_fini(&out);
}

static void a_block_shared_with_a_reader_never_changes_under_it(void **state)
{
    (void)state;
    struct td_block *b = td_block_new();
    for (int64_t i = 0; i < 100; i++) {
        const struct td_cell cells[2] = {{0, td_value_int(i)}, {3, td_value_text(TD_STR("abc"))}};
        const struct td_row row = {0, i, cells, i < 50 ? 1 : 2};
        struct td_block *reader = td_block_ref(b);
        uint32_t n = b->n;
        const int64_t *ts = reader->ts;
        td_block_add(&b, &row, (uint64_t)i + 1);
        assert_ptr_equal(ts, reader->ts); /* nothing it can see has moved */
        for (uint32_t j = 0; j < n; j++) {
            assert_int_equal(j, td_block_get(reader, j, 0).as.i);
        }
        td_block_unref(reader);
    }
    assert_int_equal(100, b->n);
    assert_int_equal(3, td_block_get(b, 99, 3).as.text.n);
    assert_int_equal(TD_VALUE_NONE, td_block_get(b, 49, 3).type);
    td_block_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_give_back_every_bit),
        cmocka_unit_test(late_rows_are_sorted_and_the_later_of_two_stands),
        cmocka_unit_test(every_flipped_bit_and_truncation_of_a_chunk_is_found),
        cmocka_unit_test(codecs_are_chosen_by_what_is_smallest),
        cmocka_unit_test(rows_survive_the_round_trip_and_every_truncation),
        cmocka_unit_test(a_block_shared_with_a_reader_never_changes_under_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
