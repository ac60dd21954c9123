/* store over Linux: commits, sealing, applying and questions on their own threads while the loop
 * goes on (what a race detector wants to see), on real files that SQLite's own shell could open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "linux/linux.h"
#include "store/store.h"

enum { STREAMS = 20, ROWS = 60000 };

struct rig {
    char dir[64];
    struct td_linux *l;
    struct td_sys *sys;
    struct td_store *store;
    size_t answers;
    bool over;
    int64_t last; /* first cell of the last answer */
    uint32_t streams[STREAMS];
};

static void up(struct rig *r)
{
    const struct td_store_config config = {
        .dir = r->dir, .segment_bytes = 65536, .segment_count = 8};
    struct td_buf why;
    td_buf_init(&why, 1024);
    assert_int_equal(TD_OK, td_linux_new(&r->l));
    r->sys = td_linux_sys(r->l);
    enum td_err err = td_store_open(&config, r->sys, &r->store, &why);
    if (err != TD_OK) {
        fail_msg("%.*s", (int)why.n, (const char *)why.p);
    }
    td_buf_fini(&why);
    for (uint32_t i = 0; i < STREAMS; i++) {
        char name[32];
        uint32_t column;
        (void)snprintf(name, sizeof name, "s/%u", i);
        assert_int_equal(TD_OK, td_store_stream(r->store, td_slice_of(name), &r->streams[i]));
        assert_int_equal(TD_OK, td_store_column(r->store, r->streams[i], TD_STR("v"), &column));
    }
}

/* One turn of a loop; waits for what the store waits for, at most until `deadline`. */
static void turn(struct rig *r, td_mono deadline)
{
    struct td_sys_event e;
    td_store_turn(r->store, r->sys->mono(r->sys));
    td_linux_wait(r->l, td_mono_min(deadline, td_store_deadline(r->store)));
    while (td_linux_next(r->l, &e)) {
        struct td_work *w = e.owner;
        w->done(w);
    }
}

static void down(struct rig *r)
{
    while (!td_store_stop(r->store, r->sys->mono(r->sys))) {
        turn(r, TD_NEVER);
    }
    td_store_close(r->store);
    td_linux_free(r->l);
}

static void on_answer(void *ctx, enum td_err err, const struct td_table *table, td_slice why)
{
    struct rig *r = ctx;
    if (err != TD_OK) {
        fail_msg("%.*s", (int)why.n, (const char *)why.p);
    }
    r->answers++;
    r->last = table->row_count > 0 ? table->cells[0].as.i : -1;
}

static void on_last(void *ctx, enum td_err err, const struct td_table *table, td_slice why)
{
    struct rig *r = ctx;
    on_answer(ctx, err, table, why);
    r->over = true;
}

static void ask(struct rig *r, uint32_t i, td_wall now)
{
    static const char *const questions[] = {
        "SELECT count(*) FROM points",
        "SELECT count(*) FROM (SELECT stream, min(value), max(time) FROM points GROUP BY 1)",
        "SELECT count(*) FROM points WHERE stream GLOB 's/1*'",
    };
    uint64_t ticket;
    /* Too many wait at times; that is an answer too. */
    (void)td_store_sql(r->store, td_slice_of(questions[i % TD_COUNT(questions)]), on_answer, r,
                       &ticket);
    (void)td_store_scan(r->store, td_series_of(r->streams[i % STREAMS], 0), 0, now, 100, on_answer,
                        r, &ticket);
}

static void give(struct rig *r, uint32_t i, td_wall now)
{
    uint8_t key[4], value[40] = {0};
    uint64_t lsn;
    const struct td_cell cell = {0, i % 5 == 0 ? td_value_text(TD_STR("text")) : td_value_int(i)};
    assert_int_equal(TD_OK, td_store_row(r->store, r->streams[i % STREAMS], now, now, &cell, 1,
                                         TD_STORE_1S, &lsn));
    (void)td_put_u32(key, i % 1000);
    td_store_put(r->store, TD_STATE_MESSAGE, (td_slice){key, 4}, (td_slice){value, sizeof value});
    (void)td_put_u32(key, (i + 500) % 1000);
    td_store_del(r->store, TD_STATE_MESSAGE, (td_slice){key, 4});
    assert_true(td_store_batch_end(r->store, TD_STORE_NOW) > 0);
}

static void all_lanes_run_beside_the_loop(void **state)
{
    (void)state;
    struct rig r = {.dir = "/tmp/tandem-store-XXXXXX"};
    assert_non_null(mkdtemp(r.dir));
    up(&r);
    td_wall now = r.sys->wall(r.sys) - ROWS * INT64_C(1000000);
    for (uint32_t i = 0; i < ROWS; i++) {
        give(&r, i, now += 1000000);
        if (i % 3000 == 0) {
            ask(&r, i / 3000, now);
        }
        if (i % 50 == 0) {
            turn(&r, 0);
        }
        while (td_store_pressure(r.store)) {
            turn(&r, TD_NEVER);
        }
    }
    const struct td_store_stats *s = td_store_stats(r.store);
    assert_true(s->applies > 0 && s->chunks > 0 && s->commits > 0);
    assert_int_equal(0, s->apply_failures + s->chunk_failures);
    uint64_t ticket;
    while (td_store_sql(r.store, TD_STR("SELECT count(*) FROM points"), on_last, &r, &ticket) !=
           TD_OK) {
        turn(&r, TD_NEVER); /* too many wait */
    }
    while (!r.over) {
        turn(&r, TD_NEVER);
    }
    assert_int_equal(ROWS, r.last);
    assert_true(r.answers > 5);
    down(&r);
    struct td_store_health health;
    struct td_buf report;
    td_buf_init(&report, 4096);
    assert_int_equal(TD_OK, td_linux_new(&r.l));
    assert_int_equal(TD_OK, td_store_check(td_linux_sys(r.l), r.dir, &report, &health));
    assert_int_equal(0, health.damage);
    td_linux_free(r.l);
    td_buf_fini(&report);
    char remove[128];
    (void)snprintf(remove, sizeof remove, "rm -rf %s", r.dir);
    assert_int_equal(0, system(remove));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_lanes_run_beside_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
