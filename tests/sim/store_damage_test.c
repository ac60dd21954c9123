/* store: whatever a bad disk did to its files, it starts, tells, and keeps what was not hit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/store_rig.h"

static const td_wall nine = INT64_C(1795510800) * TD_NS_PER_S; /* 2026-11-24T09:00:00Z */
static const char *const today = "data/hist/raw-20261124.0.db";

static size_t entries;

static void count_entry(void *ctx, td_slice key, td_slice value)
{
    (void)ctx;
    (void)key;
    (void)value;
    entries++;
}

static size_t entries_of(struct rig *r)
{
    entries = 0;
    enum td_err err = td_store_state_each(r->store, TD_STATE_SETTING, count_entry, NULL);
    assert_int_equal(TD_OK, err);
    return entries;
}

/* Entries "key00".. and rows, all durable; `rows` of them per stream. */
static void fill(struct rig *r, int keys, int rows)
{
    assert_int_equal(TD_OK, rig_open(r));
    rig_streams(r);
    uint64_t lsn = 0;
    for (int i = 0; i < keys || i < rows; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%03d", i);
        lsn = i < keys ? rig_put(r, key, "a value of some length, to fill the log") : lsn;
        for (uint32_t s = 0; s < RIG_STREAMS && i < rows; s++) {
            lsn = rig_row(r, s, nine + i * TD_NS_PER_S, (double)i / 7, i);
        }
        rig_wait(r, lsn);
    }
    rig_run(r, 100);
}

static void scramble(struct rig *r, const char *path, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        (void)sim_disk_flip(r->d, path, at, (unsigned)(at % 8)); /* behind its end is nothing */
    }
}

static bool damage_says(struct rig *r, const char *text)
{
    return rig_holds(td_store_stats(r->store)->damage, text);
}

static void a_segment_without_a_head_is_read_all_the_same(void **state)
{
    (void)state;
    for (uint64_t segment = 1; segment <= 3; segment++) {
        struct rig r;
        char path[32];
        rig_begin(&r, segment);
        fill(&r, 60, 0); /* into the third segment */
        uint32_t used = td_store_stats(r.store)->segments_used;
        assert_in_range(used, 3, 4);
        rig_crash(&r, SIM_CUT_LOST);
        (void)snprintf(path, sizeof path, "data/log/0%u.tlog", (unsigned)segment);
        scramble(&r, path, 0, 512);
        assert_int_equal(TD_OK, rig_open(&r));
        if (segment > 1) { /* what was before the first is not known any more */
            assert_true(damage_says(&r, "unreadable head"));
            assert_int_equal(60, entries_of(&r));
        } else {
            assert_true(damage_says(&r, "segment 1 is missing"));
        }
        rig_wait(&r, rig_put(&r, "new", "value"));
        assert_false(td_store_failed(r.store));
        rig_end(&r);
    }
}

static void a_database_that_is_none_is_set_aside(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 1);
    fill(&r, 20, 0);
    rig_close(&r);
    scramble(&r, "data/tandem.db", 0, 100000);
    scramble(&r, "data/tandem.db-wal", 0, 100000);
    assert_int_equal(TD_OK, rig_open(&r));
    assert_true(damage_says(&r, "tandem.db"));
    assert_int_equal(20, entries_of(&r)); /* all still in the log */
    assert_true(sim_disk_peek(r.d, "data/damaged/tandem.db").p != NULL);
    rig_wait(&r, rig_put(&r, "new", "value"));
    rig_close(&r);
    assert_int_equal(TD_OK, rig_open(&r));
    assert_int_equal(0, td_store_stats(r.store)->damaged);
    assert_int_equal(21, entries_of(&r));
    rig_end(&r);
}

static void a_database_with_a_broken_page_gives_what_is_on_the_others(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 1);
    assert_int_equal(TD_OK, rig_open(&r));
    for (int i = 0; i < 2000; i++) { /* more than the log holds */
        char key[16];
        (void)snprintf(key, sizeof key, "key%04d", i);
        rig_wait(&r, rig_put(&r, key, "a value of some length, to fill the log and the table"));
    }
    rig_run(&r, 100);
    rig_close(&r);
    assert_true(sim_disk_peek(r.d, "data/tandem.db").n > 20 * 4096);
    scramble(&r, "data/tandem.db", 11 * 4096, 11 * 4096 + 200);
    struct td_store_health health;
    struct td_buf report;
    td_buf_init(&report, 1 << 16);
    assert_int_equal(TD_OK, td_store_check(&r.m->sys, "data", &report, &health));
    assert_true(rig_holds(td_buf_slice(&report), "tandem.db"));
    td_buf_fini(&report);
    assert_int_equal(TD_OK, rig_open(&r));
    assert_true(damage_says(&r, "entries of it were saved"));
    assert_in_range(entries_of(&r), 1900, 1999);
    rig_wait(&r, rig_put(&r, "new", "value"));
    rig_close(&r);
    assert_int_equal(TD_OK, rig_open(&r));
    assert_int_equal(0, td_store_stats(r.store)->damaged);
    rig_end(&r);
}

static void a_history_file_that_is_none_is_set_aside_at_the_start(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 2);
    fill(&r, 0, 1500);
    assert_true(td_store_stats(r.store)->chunks > 0);
    rig_crash(&r, SIM_CUT_LOST);
    scramble(&r, today, 0, 20000);
    assert_int_equal(TD_OK, rig_open(&r));
    assert_true(damage_says(&r, "raw-20261124.0.db"));
    assert_true(sim_disk_peek(r.d, "data/damaged/raw-20261124.0.db").p != NULL);
    /* What the log still holds is there, and writing goes on. */
    int64_t left = rig_sql_int(&r, "SELECT count(*) FROM points");
    assert_in_range(left, 1, 2 * RIG_STREAMS * 1500);
    rig_streams(&r);
    for (int i = 0; i < 3000; i++) {
        rig_wait(&r, rig_row(&r, 0, nine + (2000 + i) * TD_NS_PER_S, 1, i));
    }
    rig_run(&r, 1000);
    assert_true(td_store_stats(r.store)->chunks > 0);
    assert_int_equal(0, td_store_stats(r.store)->chunk_failures);
    rig_end(&r);
}

static void a_history_file_that_breaks_while_running_is_replaced(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 3);
    fill(&r, 0, 1500);
    scramble(&r, today, 0, 20000);
    for (int i = 0; i < 3000; i++) {
        rig_wait(&r, rig_row(&r, 0, nine + (2000 + i) * TD_NS_PER_S, 1, i));
    }
    rig_run(&r, 1000);
    assert_true(damage_says(&r, "could not read"));
    assert_int_equal(0, td_store_stats(r.store)->chunk_failures);
    assert_int_equal(3000,
                     rig_sql_int(&r, "SELECT count(*) FROM points WHERE stream = 'plant/0' AND "
                                     "field = 'b' AND ts >= ts('2026-11-24T09:33:20')"));
    rig_end(&r);
}

static void new_rows_are_seen_though_the_log_was_taken_away(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 4);
    fill(&r, 0, 2500);
    rig_close(&r);
    int64_t left;
    for (unsigned i = 0; i < 6; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "data/log/0%u.tlog", i);
        assert_int_equal(TD_OK, r.m->sys.unlink(&r.m->sys, path));
    }
    assert_int_equal(TD_OK, rig_open(&r));
    left = rig_sql_int(&r, "SELECT count(*) FROM points WHERE stream = 'plant/0'");
    rig_streams(&r);
    rig_wait(&r, rig_row(&r, 0, nine + 5000 * TD_NS_PER_S, 1, 1));
    rig_crash(&r, SIM_CUT_LOST);
    assert_int_equal(TD_OK, rig_open(&r));
    assert_int_equal(left + 2,
                     rig_sql_int(&r, "SELECT count(*) FROM points WHERE stream = 'plant/0'"));
    rig_end(&r);
}

static void history_past_its_days_is_deleted(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 5);
    fill(&r, 0, 2500);
    assert_true(sim_disk_peek(r.d, today).p != NULL);
    rig_close(&r);
    r.config.keep_days = 3;
    r.w->wall_offset += INT64_C(5) * 86400 * TD_NS_PER_S;
    assert_int_equal(TD_OK, rig_open(&r));
    rig_run(&r, 1000);
    assert_true(sim_disk_peek(r.d, today).p == NULL);
    rig_end(&r);
}

static void rows_over_the_bound_are_sealed_early_or_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 6);
    r.config.head_bytes_max = 200000;
    r.config.segment_bytes = 1 << 20;
    assert_int_equal(TD_OK, rig_open(&r));
    rig_streams(&r);
    for (int i = 0; i < 20000; i++) {
        uint64_t lsn = rig_row(&r, (uint32_t)i % RIG_STREAMS, nine + i * TD_NS_PER_S, i, i);
        assert_true(lsn != UINT64_MAX);
        while (td_store_pressure(r.store)) {
            rig_run(&r, 5);
        }
        if (i % 100 == 0) {
            rig_run(&r, 1100);
        }
    }
    assert_true(td_store_stats(r.store)->chunks > 0);
    assert_true(td_store_stats(r.store)->head_bytes < 300000);
    assert_int_equal(40000, rig_sql_int(&r, "SELECT count(*) FROM points"));
    uint64_t before = td_store_stats(r.store)->rows_refused;
    for (int i = 0; i < 20000; i++) { /* without ever waiting */
        (void)rig_row(&r, (uint32_t)i % RIG_STREAMS, nine + (20000 + i) * TD_NS_PER_S, i, i);
    }
    assert_true(td_store_stats(r.store)->rows_refused > before);
    assert_true(td_store_pressure(r.store));
    assert_true(td_store_stats(r.store)->head_bytes < 300000);
    rig_end(&r);
}

static void rows_with_impossible_times_are_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 7);
    assert_int_equal(TD_OK, rig_open(&r));
    rig_streams(&r);
    assert_true(rig_row(&r, 0, -1, 1, 1) == UINT64_MAX);
    assert_true(rig_row(&r, 0, nine + 2 * 86400 * TD_NS_PER_S, 1, 1) == UINT64_MAX);
    assert_int_equal(2, td_store_stats(r.store)->rows_refused);
    rig_end(&r);
}

static void an_existing_directory_keeps_the_shape_of_its_ring(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 8);
    fill(&r, 10, 10);
    rig_close(&r);
    r.config.existing = true;
    r.config.segment_bytes = r.config.segment_count = 0;
    assert_int_equal(TD_OK, rig_open(&r));
    assert_int_equal(10, entries_of(&r));
    assert_int_equal(6, td_store_stats(r.store)->segment_count);
    rig_close(&r);
    assert_int_equal(16384, sim_disk_peek(r.d, "data/log/05.tlog").n);
    assert_true(sim_disk_peek(r.d, "data/log/06.tlog").p == NULL);
    rig_end(&r);
}

/* One flipped bit anywhere: the store starts, answers, and takes new entries. */
static void no_flipped_bit_keeps_it_from_starting(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "data/log/00.tlog",   "data/log/01.tlog",
        "data/log/02.tlog",   "data/log/03.tlog",
        "data/log/04.tlog",   "data/log/05.tlog",
        "data/tandem.db",     "data/hist/raw-20261124.0.db",
        "data/tandem.db-wal", "data/hist/raw-20261124.0.db-journal",
    };
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct rig r;
        rig_begin(&r, seed);
        fill(&r, 100, 300);
        rig_crash(&r, SIM_CUT_ANY);
        const char *path = paths[seed % TD_COUNT(paths)];
        size_t n = sim_disk_peek(r.d, path).n;
        if (n > 0) {
            (void)sim_disk_flip(r.d, path, sim_below(r.w, SIM_FAULT, n),
                                (unsigned)sim_below(r.w, SIM_FAULT, 8));
        }
        assert_int_equal(TD_OK, rig_open(&r));
        rig_streams(&r);
        rig_sql(&r, "SELECT count(*), max(time) FROM points");
        assert_int_equal(TD_OK, r.err);
        rig_wait(&r, rig_put(&r, "new", "value"));
        rig_wait(&r, rig_row(&r, 0, nine + 9000 * TD_NS_PER_S, 1, 1));
        assert_false(td_store_failed(r.store));
        rig_end(&r);
    }
}

/* The disk errs now and then. What was acknowledged meanwhile is there once it is sound. */
static void what_an_erring_disk_acknowledged_is_there(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct rig r;
        rig_begin(&r, 500 + seed);
        assert_int_equal(TD_OK, rig_open(&r));
        rig_streams(&r);
        struct sim_disk_faults *faults = sim_disk_faults(r.d);
        uint32_t ppm = (uint32_t)sim_between(r.w, SIM_CONFIG, 100, 5000);
        faults->write_ppm = seed % 3 == 0 ? ppm : 0;
        faults->sync_ppm = seed % 3 == 1 ? ppm : 0;
        faults->read_ppm = faults->open_ppm = seed % 3 == 2 ? ppm : 0;
        int acknowledged = 0;
        for (int i = 0; i < 1500 && !td_store_failed(r.store); i++) {
            uint64_t lsn = rig_row(&r, 0, nine + i * TD_NS_PER_S, 0.5, i);
            char key[16];
            (void)snprintf(key, sizeof key, "k%d", i % 50);
            lsn = rig_put(&r, key, "value");
            rig_wait(&r, lsn);
            acknowledged += td_store_durable(r.store) >= lsn;
        }
        *faults = (struct sim_disk_faults){0};
        rig_crash(&r, SIM_CUT_ANY);
        assert_int_equal(TD_OK, rig_open(&r));
        assert_true(rig_sql_int(&r, "SELECT count(*) FROM points WHERE field = 'b'") >=
                    acknowledged);
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_without_a_head_is_read_all_the_same),
        cmocka_unit_test(a_database_that_is_none_is_set_aside),
        cmocka_unit_test(a_database_with_a_broken_page_gives_what_is_on_the_others),
        cmocka_unit_test(a_history_file_that_is_none_is_set_aside_at_the_start),
        cmocka_unit_test(a_history_file_that_breaks_while_running_is_replaced),
        cmocka_unit_test(new_rows_are_seen_though_the_log_was_taken_away),
        cmocka_unit_test(history_past_its_days_is_deleted),
        cmocka_unit_test(rows_over_the_bound_are_sealed_early_or_refused),
        cmocka_unit_test(rows_with_impossible_times_are_refused),
        cmocka_unit_test(an_existing_directory_keeps_the_shape_of_its_ring),
        cmocka_unit_test(no_flipped_bit_keeps_it_from_starting),
        cmocka_unit_test(what_an_erring_disk_acknowledged_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
