/* store over the simulator's disk: what was acknowledged is there after every crash, and only what
 * was ever given is. A run gives batches of the state map and rows of streams to a store with a
 * tiny ring, so that segments are reused, heads sealed and the map applied all the time; the power
 * fails at a random call to the disk; the next start must find a beginning of the run that holds
 * all that was durable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/store_rig.h"

enum { HEAD_ROWS_MOST = 1024, KEYS = 40, BATCHES_MAX = 4000, ROWS_MAX = 8000 };

/* The state map after each batch, and all rows, as they were given. */
struct model_row {
    uint32_t stream;
    td_wall ts;
    double a;
    int64_t b;
    uint64_t lsn;
    bool gone; /* a crash took it before it was durable */
};

struct model {
    uint32_t (*maps)[KEYS]; /* after batch i; 0: the key is not there */
    uint64_t *lsns;
    size_t batches;
    struct model_row *rows;
    size_t row_count;
    uint32_t next_value;
    td_wall clock;
};

/* ---- the model ---- */

static void model_init(struct model *m)
{
    *m = (struct model){.next_value = 1, .clock = INT64_C(1795510800) * TD_NS_PER_S};
    m->maps = td_alloc(BATCHES_MAX * sizeof *m->maps);
    m->lsns = td_alloc(BATCHES_MAX * sizeof *m->lsns);
    m->rows = td_alloc(ROWS_MAX * sizeof *m->rows);
    m->batches = 1; /* batch 0: the empty map */
}

static void model_fini(struct model *m)
{
    free(m->maps);
    free(m->lsns);
    free(m->rows);
}

/* A value's bytes follow from its number, so a found one can be checked whole. */
static td_slice value_bytes(uint32_t number, uint8_t *out)
{
    struct td_rng rng;
    td_rng_init(&rng, number);
    size_t n = 4 + (size_t)td_rng_below(&rng, number % 31 == 0 ? 30000 : 200);
    (void)td_put_u32(out, number);
    for (size_t i = 4; i < n; i++) {
        out[i] = (uint8_t)td_rng_next(&rng);
    }
    return (td_slice){out, n};
}

static void batch_give(struct rig *r, struct model *m)
{
    static uint8_t bytes[32768];
    uint32_t *map = m->maps[m->batches];
    memcpy(map, m->maps[m->batches - 1], sizeof m->maps[0]);
    size_t ops = 1 + (size_t)sim_below(r->w, SIM_LOAD, 4);
    for (size_t i = 0; i < ops; i++) {
        uint32_t key = (uint32_t)sim_below(r->w, SIM_LOAD, KEYS);
        uint8_t name[4];
        (void)td_put_u32(name, key);
        if (sim_below(r->w, SIM_LOAD, 3) == 0) {
            map[key] = 0;
            td_store_del(r->store, TD_STATE_SESSION, (td_slice){name, 4});
        } else {
            map[key] = m->next_value++;
            td_store_put(r->store, TD_STATE_SESSION, (td_slice){name, 4},
                         value_bytes(map[key], bytes));
        }
    }
    m->lsns[m->batches] = td_store_batch_end(r->store, TD_STORE_NOW);
    m->batches++;
}

static void row_give(struct rig *r, struct model *m)
{
    struct model_row *row = &m->rows[m->row_count];
    uint64_t bits = td_rng_next(&r->w->rng[SIM_LOAD]);
    m->clock += (td_wall)sim_below(r->w, SIM_LOAD, 1000) * TD_NS_PER_MS + 1000;
    row->stream = (uint32_t)sim_below(r->w, SIM_LOAD, RIG_STREAMS);
    row->ts = m->clock;
    if (sim_below(r->w, SIM_LOAD, 10) == 0) { /* a late one, in another partition now and then */
        row->ts -= (td_wall)sim_below(r->w, SIM_LOAD, 200000) * TD_NS_PER_S + 7;
    }
    memcpy(&row->a, &bits, sizeof row->a); /* any bits: also NaN payloads */
    row->b = (int64_t)m->row_count;
    row->lsn = rig_row(r, row->stream, row->ts, row->a, row->b);
    m->row_count++;
}

/* ---- checking ---- */

struct seen {
    uint32_t map[KEYS];
    bool sound;
};

static void on_state(void *ctx, td_slice key, td_slice value)
{
    static uint8_t bytes[32768];
    struct seen *seen = ctx;
    struct td_cursor k = td_cursor_of(key), v = td_cursor_of(value);
    uint32_t at = td_cursor_u32(&k), number = td_cursor_u32(&v);
    seen->sound = seen->sound && at < KEYS && v.err == TD_OK &&
                  td_slice_eq(value, value_bytes(number, bytes));
    seen->map[at % KEYS] = number;
}

/* The map found is that after some batch, at or behind the last durable one. */
static void state_check(struct rig *r, struct model *m, uint64_t durable)
{
    struct seen seen = {.sound = true};
    assert_int_equal(TD_OK, td_store_state_each(r->store, TD_STATE_SESSION, on_state, &seen));
    assert_true(seen.sound);
    size_t least = 0, found = SIZE_MAX;
    for (size_t i = 0; i < m->batches; i++) {
        least = m->lsns[i] <= durable ? i : least;
    }
    for (size_t i = least; i < m->batches && found == SIZE_MAX; i++) {
        found = memcmp(m->maps[i], seen.map, sizeof seen.map) == 0 ? i : found;
    }
    assert_true(found != SIZE_MAX);
    /* What came after it never was: the run goes on from here. */
    m->batches = found + 1;
    m->lsns[found] = 0;
}

static int by_ts(const void *a, const void *b)
{
    const struct model_row *const *x = a, *const *y = b;
    return (*x)->ts < (*y)->ts ? -1 : (*x)->ts > (*y)->ts;
}

/* Each durable row of a stream is there bit for bit, and no row that was not given. */
static void stream_check(struct rig *r, struct model *m, uint32_t stream, uint64_t durable)
{
    uint64_t ticket;
    struct model_row **rows = td_alloc((m->row_count + 1) * sizeof *rows);
    size_t n = 0, at = 0;
    for (size_t i = 0; i < m->row_count; i++) {
        if (m->rows[i].stream == stream && !m->rows[i].gone) {
            rows[n++] = &m->rows[i];
        }
    }
    qsort(rows, n, sizeof *rows, by_ts);
    assert_int_equal(TD_OK, td_store_scan(r->store, td_series_of(r->streams[stream], 0), 0,
                                          INT64_MAX, 0, rig_answered, r, &ticket));
    rig_answer(r);
    assert_int_equal(TD_OK, r->err);
    for (size_t i = 0; i < n; i++) {
        bool there = at < r->row_count && r->cells[2 * at].as.i == rows[i]->ts;
        assert_true(there || rows[i]->lsn > durable);
        rows[i]->gone = !there;
        rows[i]->lsn = 0; /* it has been seen: now it must stay */
        if (there) {
            assert_int_equal(TD_VALUE_FLOAT, r->cells[2 * at + 1].type);
            assert_memory_equal(&rows[i]->a, &r->cells[2 * at + 1].as.f, sizeof(double));
            at++;
        }
    }
    assert_int_equal(at, r->row_count);
    free(rows);
}

static void rows_check(struct rig *r, struct model *m, uint64_t durable)
{
    for (uint32_t s = 0; s < RIG_STREAMS; s++) {
        stream_check(r, m, s, durable);
    }
}

static size_t rows_left(const struct model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->row_count; i++) {
        n += !m->rows[i].gone;
    }
    return n;
}

/* ---- tests ---- */

static void what_was_put_is_there_after_a_clean_restart(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 1);
    assert_int_equal(TD_OK, rig_open(&r));
    (void)rig_put(&r, "a", "1");
    (void)rig_put(&r, "b", "2");
    uint64_t lsn = rig_put(&r, "a", "3");
    rig_wait(&r, lsn);
    rig_close(&r);
    assert_int_equal(TD_OK, rig_open(&r));
    const struct td_store_stats *s = td_store_stats(r.store);
    assert_int_equal(0, s->damaged);
    rig_end(&r);
}

static void a_second_process_is_told_who_has_the_directory(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 2);
    assert_int_equal(TD_OK, rig_open(&r));
    struct td_store *other = NULL;
    struct td_buf why;
    td_buf_init(&why, 4096);
    assert_int_equal(TD_EEXIST, td_store_open(&r.config, &r.m->sys, &other, &why));
    assert_true(rig_holds(td_buf_slice(&why), "another tandem"));
    td_buf_fini(&why);
    rig_end(&r);
}

static void an_absent_directory_is_named_when_it_must_exist(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 3);
    r.config.existing = true;
    assert_int_equal(TD_ENOENT, rig_open(&r));
    assert_non_null(strstr(r.why, "data/tandem.db"));
    rig_end(&r);
}

static void a_failed_sync_is_never_followed_by_an_acknowledgement(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 4);
    assert_int_equal(TD_OK, rig_open(&r));
    rig_wait(&r, rig_put(&r, "a", "1"));
    uint64_t before = td_store_durable(r.store);
    sim_disk_faults(r.d)->sync_ppm = 1000000;
    rig_wait(&r, rig_put(&r, "a", "2"));
    assert_true(td_store_failed(r.store));
    sim_disk_faults(r.d)->sync_ppm = 0;
    (void)rig_put(&r, "a", "3");
    rig_run(&r, 10000);
    assert_int_equal(before, td_store_durable(r.store));
    assert_non_null(strstr(td_store_failure(r.store), "log"));
    rig_end(&r);
}

static void on_setting(void *ctx, td_slice key, td_slice value)
{
    (void)key;
    *(bool *)ctx = td_slice_eq(value, TD_STR("1"));
}

/* Names that the dead process made but did not sync are the next one's to sync: to it they look
 * like all others. */
static void a_first_start_that_died_at_any_call_is_made_good_by_the_next(void **state)
{
    (void)state;
    struct rig r;
    for (uint64_t at = 1, steps = 1; at <= steps; at++) {
        bool there = false;
        rig_begin(&r, 5);
        sim_disk_stop_at(r.d, at);
        steps = rig_open(&r) == TD_OK ? sim_disk_steps(r.d) : at + 1;
        rig_kill(&r);
        assert_int_equal(TD_OK, rig_open(&r));
        rig_wait(&r, rig_put(&r, "a", "1"));
        rig_crash(&r, SIM_CUT_LOST);
        assert_int_equal(TD_OK, rig_open(&r));
        assert_int_equal(TD_OK, td_store_state_each(r.store, TD_STATE_SETTING, on_setting, &there));
        if (!there) {
            fail_msg("it died at its call %u", (unsigned)at);
        }
        rig_end(&r);
    }
}

static void points_are_found_in_heads_and_in_chunks(void **state)
{
    (void)state;
    struct rig r;
    struct model m;
    rig_begin(&r, 5);
    model_init(&m);
    assert_int_equal(TD_OK, rig_open(&r));
    rig_streams(&r);
    for (size_t i = 0; i < 6000; i++) {
        row_give(&r, &m);
        if (i % 50 == 0) {
            rig_wait(&r, m.rows[i].lsn);
        }
    }
    rig_run(&r, 2000);
    assert_true(td_store_stats(r.store)->chunks > 0);
    assert_int_equal(6000, rig_sql_int(&r, "SELECT count(*) FROM points WHERE field = 'b'"));
    assert_int_equal(5999, rig_sql_int(&r, "SELECT max(value) FROM points WHERE field = 'b'"));
    rows_check(&r, &m, UINT64_MAX - 1);
    assert_int_equal(6000, rows_left(&m));
    rig_close(&r);
    assert_int_equal(TD_OK, rig_open(&r));
    rows_check(&r, &m, UINT64_MAX - 1);
    assert_int_equal(6000, rows_left(&m));
    rig_end(&r);
    model_fini(&m);
}

static void sql_knows_streams_buckets_and_times(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 6);
    assert_int_equal(TD_OK, rig_open(&r));
    rig_streams(&r);
    const td_wall start = INT64_C(1795510800) * TD_NS_PER_S; /* 2026-11-24T09:00:00Z */
    r.w->wall_offset = start + 86400 * TD_NS_PER_S;
    for (int64_t i = 0; i < 600; i++) {
        (void)rig_row(&r, 0, start + i * 6 * TD_NS_PER_S, (double)i / 4, i);
    }
    assert_int_equal(
        4, rig_sql_int(&r, "SELECT count(*) FROM (SELECT time_bucket('15m', ts) b FROM points "
                           "WHERE stream = 'plant/0' AND field = 'b' GROUP BY b)"));
    assert_int_equal(10, rig_sql_int(&r, "SELECT count(*) FROM points WHERE field = 'b' AND ts < "
                                         "ts('2026-11-24T09:01:00Z')"));
    assert_int_equal(10, rig_sql_int(&r, "SELECT count(*) FROM points WHERE field = 'b' AND "
                                         "time < '2026-11-24T09:01'"));
    assert_int_equal(590, rig_sql_int(&r, "SELECT count(*) FROM points WHERE field = 'b' AND "
                                          "stream GLOB 'plant/*' AND ts >= 1795510860000000000"));
    assert_int_equal(0, rig_sql_int(&r, "SELECT count(*) FROM points WHERE stream = 'none'"));
    assert_int_equal(600, rig_sql_int(&r, "SELECT count(*) FROM points WHERE stream = 'PLANT/0' "
                                          "COLLATE NOCASE AND field = 'a'"));
    assert_int_equal(10, rig_sql_int(&r, "SELECT count(*) FROM streams"));
    assert_int_equal(1200, rig_sql_int(&r, "SELECT count(*) FROM points JOIN streams "
                                           "USING (stream, field)"));
    rig_end(&r);
}

static void sql_that_is_wrong_or_writes_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 7);
    assert_int_equal(TD_OK, rig_open(&r));
    static const char *const bad[] = {
        "SELEC 1",
        "SELECT nothing FROM points",
        "CREATE TABLE x(y)",
        "ATTACH 'data/tandem.db' AS t",
        "PRAGMA page_size",
        "SELECT 1; SELECT 2",
        "",
        "SELECT time_bucket('soon', 1)",
        "SELECT * FROM state",
        "SELECT load_extension('x')",
        "DELETE FROM points",
    };
    for (size_t i = 0; i < TD_COUNT(bad); i++) {
        uint64_t ticket;
        assert_int_equal(TD_OK,
                         td_store_sql(r.store, td_slice_of(bad[i]), rig_answered, &r, &ticket));
        rig_answer(&r);
        assert_int_equal(TD_ESYNTAX, r.err);
        assert_true(strlen(r.why) > 10);
    }
    rig_sql(&r, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) "
                "SELECT i FROM n");
    assert_int_equal(TD_OK, r.err);
    assert_int_equal(100000, r.row_count); /* query_rows_max */
    uint64_t ticket;
    const char *big = "WITH RECURSIVE n(i, t) AS (SELECT 1, hex(zeroblob(400000)) UNION ALL SELECT "
                      "i + 1, t FROM n LIMIT 2000) SELECT i FROM n ORDER BY t";
    assert_int_equal(TD_OK, td_store_sql(r.store, td_slice_of(big), rig_answered, &r, &ticket));
    rig_answer(&r);
    assert_int_equal(TD_EFULL, r.err);
    rig_end(&r);
}

static void a_chart_gets_four_points_a_column_and_all_extremes(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 8);
    assert_int_equal(TD_OK, rig_open(&r));
    rig_streams(&r);
    const td_wall start = INT64_C(1795510800) * TD_NS_PER_S;
    r.w->wall_offset = start + 86400 * TD_NS_PER_S;
    for (int64_t i = 0; i < 5000; i++) {
        (void)rig_row(&r, 1, start + i * TD_NS_PER_S, i == 1234 ? -99 : (double)(i % 7), i);
    }
    uint64_t ticket;
    assert_int_equal(TD_OK,
                     td_store_scan(r.store, td_series_of(r.streams[1], 0), start,
                                   start + 5000 * TD_NS_PER_S, 50, rig_answered, &r, &ticket));
    rig_answer(&r);
    assert_int_equal(TD_OK, r.err);
    assert_in_range(r.row_count, 150, 200);
    bool seen = false;
    td_wall before = 0;
    for (size_t i = 0; i < r.row_count; i++) {
        assert_true(r.cells[2 * i].as.i > before);
        before = r.cells[2 * i].as.i;
        seen = seen || r.cells[2 * i + 1].as.f < -98;
    }
    assert_true(seen);
    rig_end(&r);
}

static void a_question_that_is_cancelled_gets_no_answer(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 9);
    assert_int_equal(TD_OK, rig_open(&r));
    uint64_t ticket[TD_COUNT(r.streams)];
    for (size_t i = 0; i < TD_COUNT(ticket); i++) {
        assert_int_equal(TD_OK,
                         td_store_sql(r.store, TD_STR("SELECT 1"), rig_answered, &r, &ticket[i]));
    }
    for (size_t i = 0; i < TD_COUNT(ticket); i++) {
        td_store_cancel(r.store, ticket[i]);
    }
    rig_run(&r, 1000);
    assert_false(r.answered);
    rig_end(&r);
}

/* Damage in the middle of the log is told and costs no more than it hits. */
static void a_flipped_bit_costs_one_record(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 10);
    r.config.segment_bytes = 65536;
    assert_int_equal(TD_OK, rig_open(&r));
    for (int i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%02d", i);
        rig_wait(&r, rig_put(&r, key, "some value of some length"));
    }
    rig_crash(&r, SIM_CUT_LOST);
    assert_true(sim_disk_flip(r.d, "data/log/01.tlog", 512 + 20 * 512 + 30, 3));
    assert_int_equal(TD_OK, rig_open(&r));
    const struct td_store_stats *s = td_store_stats(r.store);
    assert_int_equal(1, s->damaged);
    assert_true(rig_holds(s->damage, "segment 1"));
    assert_int_equal(49, s->recovered_state);
    rig_end(&r);
}

static void the_ring_may_change_its_shape(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{16384, 6}, {32768, 4}, {8192, 20}, {16384, 6}};
    struct rig r;
    struct model m;
    rig_begin(&r, 11);
    model_init(&m);
    for (size_t i = 0; i < TD_COUNT(shapes); i++) {
        r.config.segment_bytes = shapes[i][0];
        r.config.segment_count = shapes[i][1];
        assert_int_equal(TD_OK, rig_open(&r));
        state_check(&r, &m, UINT64_MAX - 1);
        rig_streams(&r);
        rows_check(&r, &m, UINT64_MAX - 1);
        assert_int_equal(i * 300, rows_left(&m));
        for (int j = 0; j < 300; j++) {
            row_give(&r, &m);
            batch_give(&r, &m);
            rig_wait(&r, m.lsns[m.batches - 1]);
        }
        rig_close(&r);
    }
    rig_end(&r);
    model_fini(&m);
}

/* Gives some, and starts with another ring, which carries all of it to SQLite; that start dies at
 * its call `at`. True: it came to its end before. */
static bool reshape_dies(struct rig *r, struct model *m, uint64_t at)
{
    rig_begin(r, 12);
    model_init(m);
    assert_int_equal(TD_OK, rig_open(r));
    rig_streams(r);
    for (int i = 0; i < 20; i++) {
        row_give(r, m);
        batch_give(r, m);
    }
    rig_wait(r, m->lsns[m->batches - 1]);
    rig_kill(r);
    r->config.segment_bytes = 32768;
    sim_disk_stop_at(r->d, sim_disk_steps(r->d) + at);
    bool whole = rig_open(r) == TD_OK && !sim_disk_stopped(r->d);
    rig_kill(r);
    return whole;
}

/* The next start finds in the system's cache what the dead one has written and not synced. It gives
 * up the log for it, so it must see to it that it is on the disk. */
static void what_a_dead_process_left_in_the_cache_is_proven_before_the_log_goes(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t at = 1; !whole; at++) {
        struct rig r;
        struct model m;
        whole = reshape_dies(&r, &m, at);
        assert_int_equal(TD_OK, rig_open(&r));
        rig_crash(&r, SIM_CUT_LOST);
        assert_int_equal(TD_OK, rig_open(&r));
        state_check(&r, &m, UINT64_MAX - 1);
        rig_streams(&r);
        rows_check(&r, &m, UINT64_MAX - 1);
        rig_end(&r);
        model_fini(&m);
    }
}

/* Starts on a disk that fails now and then: some come to nothing, none gives a sound file up. */
static void an_error_of_the_disk_that_goes_away_is_no_damage(void **state)
{
    (void)state;
    struct rig r;
    struct model m;
    (void)reshape_dies(&r, &m, UINT32_MAX);
    struct sim_disk_faults *f = sim_disk_faults(r.d);
    for (int i = 0; i < 200; i++) {
        f->open_ppm = f->read_ppm = 0;
        assert_int_equal(TD_OK, rig_open(&r));
        assert_int_equal(0, td_store_stats(r.store)->damaged);
        rig_streams(&r);
        row_give(&r, &m); /* so that the next start asks what is sealed */
        rig_wait(&r, m.rows[m.row_count - 1].lsn);
        rig_kill(&r);
        f->open_ppm = f->read_ppm = 3000;
        (void)rig_open(&r);
        rig_kill(&r);
    }
    f->open_ppm = f->read_ppm = 0;
    assert_int_equal(TD_OK, rig_open(&r));
    state_check(&r, &m, UINT64_MAX - 1);
    rig_streams(&r);
    rows_check(&r, &m, UINT64_MAX - 1);
    rig_end(&r);
    model_fini(&m);
}

static uint64_t doctor(struct rig *r, struct td_store_health *health)
{
    struct td_buf report;
    td_buf_init(&report, 1 << 16);
    assert_int_equal(TD_OK, td_store_check(&r->m->sys, "data", &report, health));
    if (health->damage > 0) {
        (void)snprintf(r->why, sizeof r->why, "%.*s", (int)report.n, (const char *)report.p);
    }
    td_buf_fini(&report);
    return health->damage;
}

static void a_doctor_names_the_chunk_that_a_flipped_bit_hit(void **state)
{
    (void)state;
    static const char *const chunk_file = "data/hist/raw-20261124.0.db";
    struct rig r;
    struct model m;
    struct td_store_health sound, hurt;
    rig_begin(&r, 12);
    model_init(&m);
    assert_int_equal(TD_OK, rig_open(&r));
    rig_streams(&r);
    for (size_t i = 0; i < 3000; i++) {
        row_give(&r, &m);
        if (i % 20 == 0) {
            rig_wait(&r, m.rows[i].lsn);
        }
    }
    rig_close(&r);
    assert_int_equal(0, doctor(&r, &sound));
    assert_true(sound.chunks > 3 && sound.rows > 1000 && sound.records > 0 && sound.entries > 0);
    td_slice bytes = sim_disk_peek(r.d, chunk_file);
    bool hit = false;
    for (int i = 0; i < 400 && !hit; i++) { /* most bytes of so small a file are unused */
        uint64_t at = sim_below(r.w, SIM_FAULT, bytes.n);
        unsigned bit = (unsigned)sim_below(r.w, SIM_FAULT, 8);
        assert_true(sim_disk_flip(r.d, chunk_file, at, bit));
        hit = doctor(&r, &hurt) == 1 && strstr(r.why, ": chunk ") != NULL;
        assert_true(hit || sim_disk_flip(r.d, chunk_file, at, bit));
    }
    assert_true(hit);
    /* It costs the rows of that chunk; the question is answered. */
    assert_int_equal(TD_OK, rig_open(&r));
    int64_t left = rig_sql_int(&r, "SELECT count(*) FROM points WHERE field = 'b'");
    assert_in_range(left, 3000 - HEAD_ROWS_MOST, 2999);
    rig_end(&r);
    model_fini(&m);
}

/* One life between two crashes. */
static void life(struct rig *r, struct model *m, bool power)
{
    uint64_t durable = 0;
    size_t steps = (size_t)sim_between(r->w, SIM_LOAD, 1, 400);
    for (size_t i = 0; i < steps && m->batches < BATCHES_MAX && m->row_count < ROWS_MAX - 8; i++) {
        if (td_store_pressure(r->store)) {
            rig_run(r, 5);
        } else if (sim_below(r->w, SIM_LOAD, 2) == 0) {
            batch_give(r, m);
        } else {
            for (size_t n = 1 + (size_t)sim_below(r->w, SIM_LOAD, 6); n > 0; n--) {
                row_give(r, m);
            }
        }
        if (sim_below(r->w, SIM_LOAD, 4) == 0) {
            rig_run(r, (td_ms)sim_below(r->w, SIM_LOAD, 30));
        }
        durable = td_store_durable(r->store);
        if (power && sim_disk_stopped(r->d)) {
            break;
        }
    }
    durable = td_store_durable(r->store);
    if (sim_chance(r->w, SIM_FAULT, 300000)) {
        rig_kill(r); /* what was not synced is there, until the power fails */
    } else {
        rig_crash(r, SIM_CUT_ANY);
    }
    struct td_store_health health;
    if (sim_disk_peek(r->d, "data/lock").p != NULL && doctor(r, &health) > 0) {
        fail_msg("the doctor: %s", r->why);
    }
    assert_int_equal(TD_OK, rig_open(r));
    const struct td_store_stats *s = td_store_stats(r->store);
    if (s->damaged > 0) {
        print_message("%.*s", (int)s->damage.n, (const char *)s->damage.p);
    }
    assert_int_equal(0, s->damaged);
    state_check(r, m, durable);
    rig_streams(r);
    rows_check(r, m, durable);
}

static void run_of_crashes(uint64_t seed)
{
    struct rig r;
    struct model m;
    rig_begin(&r, seed);
    model_init(&m);
    r.config.segment_count = (uint32_t)sim_between(r.w, SIM_CONFIG, 4, 10);
    assert_int_equal(TD_OK, rig_open(&r));
    rig_streams(&r);
    for (int i = 0; i < 6; i++) {
        sim_disk_stop_at(r.d, sim_disk_steps(r.d) + 1 + sim_below(r.w, SIM_FAULT, 1500));
        life(&r, &m, true);
    }
    rig_end(&r);
    model_fini(&m);
}

/* Seed 20247: a head was logged again and the old place of its rows given up; the power failed when
 * the next segment's head was on the disk but the new record was not. */
static void rows_logged_again_keep_their_old_place_until_the_new_one_is_durable(void **state)
{
    (void)state;
    run_of_crashes(20247);
}

static void all_that_was_durable_survives_a_power_cut_at_any_call(void **state)
{
    (void)state;
    const char *more = getenv("STORE_SEEDS");
    uint64_t seeds = more != NULL ? strtoull(more, NULL, 10) : 40;
    const char *from = getenv("STORE_FROM");
    uint64_t first = from != NULL ? strtoull(from, NULL, 10) : 1000;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (more != NULL) {
            print_message("seed %llu\n", (unsigned long long)seed);
        }
        run_of_crashes(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_there_after_a_clean_restart),
        cmocka_unit_test(a_second_process_is_told_who_has_the_directory),
        cmocka_unit_test(an_absent_directory_is_named_when_it_must_exist),
        cmocka_unit_test(a_failed_sync_is_never_followed_by_an_acknowledgement),
        cmocka_unit_test(a_first_start_that_died_at_any_call_is_made_good_by_the_next),
        cmocka_unit_test(points_are_found_in_heads_and_in_chunks),
        cmocka_unit_test(sql_knows_streams_buckets_and_times),
        cmocka_unit_test(sql_that_is_wrong_or_writes_is_refused_with_a_reason),
        cmocka_unit_test(a_chart_gets_four_points_a_column_and_all_extremes),
        cmocka_unit_test(a_question_that_is_cancelled_gets_no_answer),
        cmocka_unit_test(a_flipped_bit_costs_one_record),
        cmocka_unit_test(the_ring_may_change_its_shape),
        cmocka_unit_test(what_a_dead_process_left_in_the_cache_is_proven_before_the_log_goes),
        cmocka_unit_test(an_error_of_the_disk_that_goes_away_is_no_damage),
        cmocka_unit_test(a_doctor_names_the_chunk_that_a_flipped_bit_hit),
        cmocka_unit_test(rows_logged_again_keep_their_old_place_until_the_new_one_is_durable),
        cmocka_unit_test(all_that_was_durable_survives_a_power_cut_at_any_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
