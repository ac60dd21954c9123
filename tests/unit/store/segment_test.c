/* store: the bytes of a log segment, whole, torn and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/segment.h"

enum { BYTES = 16384, NUMBER = 7 };

static const struct td_segment_head head = {
    .number = NUMBER, .first_lsn = 700000, .prev_end = 699000, .keep = 3, .bytes = BYTES};

/* A segment with commits of so many records each; gives where commits ended. */
struct built {
    uint8_t bytes[BYTES];
    size_t ends[16]; /* of records, commit records not counted */
    size_t starts[16];
    size_t records, end;
};

static void record_add(struct built *b, uint8_t kind, size_t len, uint8_t fill)
{
    memset(b->bytes + b->end + TD_RECORD_HEAD, fill, len);
    td_record_seal(b->bytes + b->end, NUMBER, kind, head.first_lsn + b->end, len);
    if (kind != TD_RECORD_COMMIT) {
        b->starts[b->records] = b->end;
        b->ends[b->records++] = b->end + TD_RECORD_HEAD + len;
    }
    b->end += TD_RECORD_HEAD + len;
}

static void commit_add(struct built *b, size_t began)
{
    size_t gap = 512 - b->end % 512;
    gap += gap < TD_COMMIT_LEAST ? 512 : 0;
    memset(b->bytes + b->end, 0, gap);
    (void)td_put_u64(b->bytes + b->end + TD_RECORD_HEAD, head.first_lsn + began);
    td_record_seal(b->bytes + b->end, NUMBER, TD_RECORD_COMMIT, head.first_lsn + b->end,
                   gap - TD_RECORD_HEAD);
    b->end += gap;
}

/* Three commits: records 0..2, 3..4, 5..7. */
static void build(struct built *b)
{
    memset(b, 0xEE, sizeof *b); /* what an earlier round left */
    b->records = 0;
    b->end = TD_SEGMENT_HEAD;
    td_segment_head_encode(&head, b->bytes);
    static const size_t lens[8] = {10, 700, 0, 300, 200, 1, 40, 512};
    static const size_t last[3] = {2, 4, 7};
    for (size_t i = 0, commit = 0, began = b->end; i < 8; i++) {
        record_add(b, TD_RECORD_STATE, lens[i], (uint8_t)i);
        if (i == last[commit]) {
            commit_add(b, began);
            began = b->end;
            commit++;
        }
    }
}

/* Reads all; gives the number of records and of damaged places. */
static size_t read_all(const struct built *b, uint64_t end_lsn, uint64_t *damaged, size_t *end)
{
    struct td_segment_reader r;
    struct td_record rec;
    size_t n = 0;
    td_segment_read(&r, (td_slice){b->bytes, BYTES}, &head, end_lsn);
    while (td_segment_next(&r, &rec)) {
        assert_int_equal(TD_RECORD_STATE, rec.kind);
        assert_true(rec.payload.n == 0 || rec.payload.p[0] < 8);
        n++;
    }
    *damaged = r.damaged;
    *end = r.limit;
    return n;
}

static void a_head_survives_the_round_trip_and_the_loss_of_one_copy(void **state)
{
    (void)state;
    uint8_t bytes[TD_SEGMENT_HEAD];
    struct td_segment_head back;
    td_segment_head_encode(&head, bytes);
    for (size_t i = 0; i <= sizeof bytes; i++) {
        uint8_t hurt[TD_SEGMENT_HEAD];
        memcpy(hurt, bytes, sizeof hurt);
        if (i < sizeof hurt) {
            hurt[i] ^= 0x10;
        }
        assert_int_equal(TD_OK, td_segment_head_decode((td_slice){hurt, sizeof hurt}, &back));
        assert_int_equal(head.number, back.number);
        assert_int_equal(head.first_lsn, back.first_lsn);
        assert_int_equal(head.prev_end, back.prev_end);
        assert_int_equal(head.keep, back.keep);
    }
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(TD_ECORRUPT, td_segment_head_decode((td_slice){bytes, sizeof bytes}, &back));
}

static void a_whole_segment_gives_all_records(void **state)
{
    (void)state;
    static struct built b;
    uint64_t damaged;
    size_t end;
    build(&b);
    assert_int_equal(8, read_all(&b, 0, &damaged, &end));
    assert_int_equal(0, damaged);
    assert_int_equal(b.end, end);
    assert_int_equal(8, read_all(&b, head.first_lsn + b.end, &damaged, &end));
    assert_int_equal(0, damaged);
}

static void a_torn_last_commit_ends_the_newest_segment_without_damage(void **state)
{
    (void)state;
    static struct built b;
    uint64_t damaged;
    size_t end;
    for (size_t sector = 0; sector < 8; sector++) {
        build(&b);
        size_t at = (b.starts[5] / 512 + sector) * 512;
        if (at >= b.end) {
            break;
        }
        memset(b.bytes + at, 0, 512); /* one sector of the last commit never came */
        size_t n = read_all(&b, 0, &damaged, &end);
        assert_int_equal(0, damaged);
        assert_in_range(n, 5, 8);
        for (size_t i = 5; i < n; i++) { /* only what is whole before the hole */
            assert_true(b.ends[i] <= at);
        }
    }
}

static void a_flipped_bit_before_the_last_commit_costs_one_record(void **state)
{
    (void)state;
    static struct built b;
    uint64_t damaged;
    size_t end;
    for (size_t record = 0; record < 5; record++) {
        for (size_t at = 0; at < TD_RECORD_HEAD; at++) {
            build(&b);
            b.bytes[b.starts[record] + at] ^= 4;
            assert_int_equal(7, read_all(&b, 0, &damaged, &end));
            assert_int_equal(1, damaged);
            assert_int_equal(b.end, end);
        }
    }
}

static void in_an_older_segment_the_last_commit_counts_as_damage_too(void **state)
{
    (void)state;
    static struct built b;
    uint64_t damaged;
    size_t end;
    build(&b);
    b.bytes[b.starts[6] + 20] ^= 1;
    assert_int_equal(6, read_all(&b, 0, &damaged, &end));
    assert_int_equal(0, damaged);
    assert_int_equal(7, read_all(&b, head.first_lsn + b.end, &damaged, &end));
    assert_int_equal(1, damaged);
}

static void records_of_an_earlier_round_never_pass(void **state)
{
    (void)state;
    static struct built b;
    uint64_t damaged;
    size_t end;
    build(&b);
    /* The same places under another segment number: only the seed differs. */
    td_record_seal(b.bytes + b.starts[5], NUMBER - 4, TD_RECORD_STATE, head.first_lsn + b.starts[5],
                   b.ends[5] - b.starts[5] - TD_RECORD_HEAD);
    assert_int_equal(5, read_all(&b, 0, &damaged, &end));
    assert_int_equal(0, damaged);
}

static void every_truncation_gives_a_beginning(void **state)
{
    (void)state;
    static struct built b;
    build(&b);
    for (size_t n = 0; n <= b.end; n++) {
        struct td_segment_reader r;
        struct td_record rec;
        size_t records = 0;
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, b.bytes, n);
        td_segment_read(&r, (td_slice){copy, n}, &head, 0);
        while (td_segment_next(&r, &rec)) {
            assert_true(b.ends[records] <= n);
            records++;
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_survives_the_round_trip_and_the_loss_of_one_copy),
        cmocka_unit_test(a_whole_segment_gives_all_records),
        cmocka_unit_test(a_torn_last_commit_ends_the_newest_segment_without_damage),
        cmocka_unit_test(a_flipped_bit_before_the_last_commit_costs_one_record),
        cmocka_unit_test(in_an_older_segment_the_last_commit_counts_as_damage_too),
        cmocka_unit_test(records_of_an_earlier_round_never_pass),
        cmocka_unit_test(every_truncation_gives_a_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
