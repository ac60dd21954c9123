/* sim: a store on a simulated machine, for tests. */
#include "sim/store_rig.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- running a store on a machine ---- */

static void on_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    (void)ctx;
    (void)now;
    struct td_work *w = e->owner;
    w->done(w);
}

static void on_turn(void *ctx, td_mono now)
{
    struct rig *r = ctx;
    if (r->store != NULL) {
        td_store_turn(r->store, now);
    }
}

static td_mono on_deadline(void *ctx)
{
    struct rig *r = ctx;
    return r->store != NULL ? td_store_deadline(r->store) : TD_NEVER;
}

static const struct sim_program program = {on_event, on_turn, on_deadline};

static void rig_boot(struct rig *r)
{
    r->m = sim_machine_new(r->w, "hub", r->d);
    sim_machine_program(r->m, &program, r);
}

enum td_err rig_open(struct rig *r)
{
    struct td_buf why;
    td_buf_init(&why, 4096);
    enum td_err err = td_store_open(&r->config, &r->m->sys, &r->store, &why);
    (void)snprintf(r->why, sizeof r->why, "%.*s", (int)why.n, (const char *)why.p);
    td_buf_fini(&why);
    if (err != TD_OK) {
        r->store = NULL;
    }
    return err;
}

void rig_begin(struct rig *r, uint64_t seed)
{
    *r = (struct rig){.w = sim_world_new(seed)};
    r->w->wall_offset = INT64_C(1795510800) * TD_NS_PER_S;
    r->d = sim_disk_new(r->w);
    r->config = (struct td_store_config){
        .dir = "data", .segment_bytes = 16384, .segment_count = 6, .commit_bytes = 4096};
    rig_boot(r);
}

void rig_end(struct rig *r)
{
    if (r->store != NULL) {
        td_store_abandon(r->store);
    }
    sim_machine_crash(r->m, true);
    sim_machine_free(r->m);
    sim_disk_free(r->d);
    sim_world_free(r->w);
    free(r->cells);
}

static void rig_die(struct rig *r, bool killed)
{
    sim_machine_crash(r->m, killed);
    if (r->store != NULL) {
        td_store_abandon(r->store);
        r->store = NULL;
    }
}

void rig_crash(struct rig *r, enum sim_cut how)
{
    rig_die(r, false);
    sim_disk_cut(r->d, how);
    sim_machine_free(r->m);
    rig_boot(r);
}

void rig_kill(struct rig *r)
{
    rig_die(r, true);
    sim_disk_killed(r->d);
    sim_machine_free(r->m);
    rig_boot(r);
}

void rig_close(struct rig *r)
{
    while (!td_store_stop(r->store, sim_machine_mono(r->m))) {
        td_assert(sim_step(r->w));
    }
    td_store_close(r->store);
    r->store = NULL;
    sim_machine_crash(r->m, true);
    sim_machine_free(r->m);
    rig_boot(r);
}

void rig_wait(struct rig *r, uint64_t lsn)
{
    sim_machine_wake(r->m);
    while (td_store_durable(r->store) < lsn && !td_store_failed(r->store)) {
        td_assert(sim_step(r->w));
    }
}

void rig_run(struct rig *r, td_ms ms)
{
    sim_machine_wake(r->m);
    (void)sim_run(r->w, r->w->now + ms * TD_NS_PER_MS); /* nothing left to happen is fine */
}

uint64_t rig_put(struct rig *r, const char *key, const char *value)
{
    td_store_put(r->store, TD_STATE_SETTING, td_slice_of(key), td_slice_of(value));
    return td_store_batch_end(r->store, TD_STORE_NOW);
}

bool rig_holds(td_slice s, const char *text)
{
    for (; s.n > 0; s = td_slice_skip(s, 1)) {
        if (td_slice_starts(s, td_slice_of(text))) {
            return true;
        }
    }
    return false;
}

/* ---- asking ---- */

void rig_answered(void *ctx, enum td_err err, const struct td_table *table, td_slice why)
{
    struct rig *r = ctx;
    r->answered = true;
    r->err = err;
    r->row_count = r->column_count = 0;
    (void)snprintf(r->why, sizeof r->why, "%.*s", (int)why.n, (const char *)why.p);
    if (err == TD_OK) {
        size_t n = table->row_count * table->column_count;
        r->row_count = table->row_count;
        r->column_count = table->column_count;
        r->cells = td_realloc(r->cells, (n + 1) * sizeof *r->cells);
        for (size_t i = 0; i < n; i++) {
            r->cells[i] = table->cells[i];
        }
    }
}

void rig_answer(struct rig *r)
{
    r->answered = false;
    sim_machine_wake(r->m);
    while (!r->answered) {
        td_assert(sim_step(r->w));
    }
}

void rig_sql(struct rig *r, const char *sql)
{
    uint64_t ticket;
    td_assert((td_store_sql(r->store, td_slice_of(sql), rig_answered, r, &ticket)) == (TD_OK));
    rig_answer(r);
    if (r->err != TD_OK) {
        (void)printf("%s: %s\n", sql, r->why);
    }
}

int64_t rig_sql_int(struct rig *r, const char *sql)
{
    rig_sql(r, sql);
    td_assert((r->err) == (TD_OK));
    td_assert((r->row_count) == (1));
    td_assert((r->cells[0].type) == (TD_VALUE_INT));
    return r->cells[0].as.i;
}

/* ---- rows ---- */

void rig_streams(struct rig *r)
{
    for (uint32_t i = 0; i < RIG_STREAMS; i++) {
        char name[32];
        uint32_t a, b;
        (void)snprintf(name, sizeof name, "plant/%u", i);
        td_assert((td_store_stream(r->store, td_slice_of(name), &r->streams[i])) == (TD_OK));
        td_assert((td_store_column(r->store, r->streams[i], TD_STR("a"), &a)) == (TD_OK));
        td_assert((td_store_column(r->store, r->streams[i], TD_STR("b"), &b)) == (TD_OK));
        td_assert((a) == (0));
        td_assert((b) == (1));
    }
}

uint64_t rig_row(struct rig *r, uint32_t stream, td_wall ts, double a, int64_t b)
{
    const struct td_cell cells[2] = {{0, td_value_float(a)}, {1, td_value_int(b)}};
    uint64_t lsn = 0;
    enum td_err err = td_store_row(r->store, r->streams[stream], ts, r->m->sys.wall(&r->m->sys),
                                   cells, 2, TD_STORE_1S, &lsn);
    return err == TD_OK ? lsn : UINT64_MAX;
}
