/* sim: the hub's life, many times over. */
#include "sim/hub.h"

#include <stdlib.h>

#include <sqlite3.h>

struct sim_hub {
    struct sim_world *w;
    struct sim_disk *disk;
    struct sim_machine *machine; /* of loop 0; NULL: down */
    struct sim_loop {            /* one a loop: a machine of its own, in one process */
        struct sim_hub *h;
        unsigned number;
        struct sim_machine *machine;
    } loops[TD_HUB_LOOPS_MAX];
    unsigned loop_count;
    struct td_serve *serve;
    bool closing, closed;
    struct td_serve_config config;
    struct sim_hub_counts counts;
    struct td_buf why;
};

static void hub_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct sim_hub *h = ctx;
    td_serve_event(h->serve, e, now);
}

static void hub_turn(void *ctx, td_mono now)
{
    struct sim_hub *h = ctx;
    if (!h->closing) {
        td_serve_turn(h->serve, now);
    } else if (!h->closed) {
        h->closed = td_serve_stop(h->serve, now);
    }
}

static td_mono hub_deadline(void *ctx)
{
    struct sim_hub *h = ctx;
    return td_serve_deadline(h->serve);
}

static const struct sim_program hub_program = {hub_event, hub_turn, hub_deadline};

static void loop_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct sim_loop *l = ctx;
    td_serve_loop_event(l->h->serve, l->number, e, now);
}

static void loop_turn(void *ctx, td_mono now)
{
    struct sim_loop *l = ctx;
    if (!td_serve_loop_ended(l->h->serve, l->number)) {
        td_serve_loop_turn(l->h->serve, l->number, now);
    }
}

static td_mono loop_deadline(void *ctx)
{
    struct sim_loop *l = ctx;
    return td_serve_loop_ended(l->h->serve, l->number)
               ? TD_NEVER
               : td_serve_loop_deadline(l->h->serve, l->number);
}

static const struct sim_program loop_program = {loop_event, loop_turn, loop_deadline};

struct sim_hub *sim_hub_new(struct sim_world *w, const struct td_serve_config *config)
{
    struct sim_hub *h = td_alloc(sizeof *h);
    h->loop_count = 1;
    h->w = w;
    h->config = *config;
    h->disk = sim_disk_new(w);
    td_buf_init(&h->why, 4096);
    /* SQLite's randomness belongs to the process: it begins anew with each run. */
    int seed = (int)(w->seed & INT32_MAX) | 1;
    (void)sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, seed, NULL); /* it cannot fail */
    return h;
}

void sim_hub_free(struct sim_hub *h)
{
    if (h->machine != NULL) {
        sim_hub_crash(h, SIM_KILLED);
    }
    sim_disk_free(h->disk);
    td_buf_fini(&h->why);
    free(h);
}

struct sim_disk *sim_hub_disk(struct sim_hub *h)
{
    return h->disk;
}

void sim_hub_loops(struct sim_hub *h, unsigned count)
{
    h->loop_count = count;
}

/* Machines share a clock, as loops of one process do; each gets its turns by itself. */
static void machines_make(struct sim_hub *h, struct td_sys *sys[TD_HUB_LOOPS_MAX])
{
    for (unsigned i = 0; i < h->loop_count; i++) {
        struct sim_machine *m = sim_machine_new(h->w, "hub", h->disk);
        m->stall_max = (td_mono)sim_between(h->w, SIM_SCHED, 1000, 2000000);
        m->boot = i == 0 ? m->boot : h->loops[0].machine->boot;
        h->loops[i] = (struct sim_loop){h, i, m};
        sys[i] = &m->sys;
    }
    h->machine = h->loops[0].machine;
}

/* The process is gone; what of the disk is left? */
static void down(struct sim_hub *h, enum sim_crash how)
{
    for (unsigned i = 0; i < h->loop_count; i++) {
        sim_machine_crash(h->loops[i].machine, how == SIM_KILLED);
    }
    if (h->serve != NULL) {
        td_serve_abandon(h->serve);
        h->serve = NULL;
    }
    if (how == SIM_KILLED) {
        sim_disk_killed(h->disk);
    } else {
        sim_disk_cut(h->disk, SIM_CUT_ANY);
    }
    for (unsigned i = 0; i < h->loop_count; i++) {
        sim_machine_free(h->loops[i].machine);
    }
    h->machine = NULL;
}

bool sim_hub_start(struct sim_hub *h)
{
    h->counts.starts++;
    h->closing = h->closed = false;
    struct td_sys *sys[TD_HUB_LOOPS_MAX];
    machines_make(h, sys);
    td_buf_clear(&h->why);
    enum td_err err = td_serve_new_loops(sys, h->loop_count, &h->config, &h->serve, &h->why);
    if (err != TD_OK || sim_disk_stopped(h->disk)) {
        h->counts.failed_starts++;
        sim_trace(h->w, "no start", (uint64_t)-err, 0, td_buf_slice(&h->why));
        if (err != TD_OK) {
            h->serve = NULL;
        }
        down(h, sim_disk_stopped(h->disk) ? SIM_POWER : SIM_KILLED);
        return false;
    }
    sim_trace(h->w, "start", h->counts.starts, 0, (td_slice){0});
    sim_machine_program(h->machine, &hub_program, h);
    for (unsigned i = 1; i < h->loop_count; i++) {
        sim_machine_program(h->loops[i].machine, &loop_program, &h->loops[i]);
    }
    return true;
}

bool sim_hub_up(const struct sim_hub *h)
{
    return h->machine != NULL;
}

void sim_hub_crash(struct sim_hub *h, enum sim_crash how)
{
    h->counts.crashes++;
    down(h, how);
}

void sim_hub_look(struct sim_hub *h)
{
    if (h->machine == NULL) {
        return;
    }
    if (sim_disk_stopped(h->disk)) {
        sim_hub_crash(h, SIM_POWER);
    } else if (h->closed) {
        td_serve_close(h->serve);
        h->serve = NULL;
        down(h, SIM_POWER); /* a clean end survives that too */
    }
}

void sim_hub_close(struct sim_hub *h)
{
    h->closing = true;
    sim_machine_wake(h->machine);
}

const struct sim_hub_counts *sim_hub_counts(const struct sim_hub *h)
{
    return &h->counts;
}

const char *sim_hub_why(const struct sim_hub *h)
{
    return h->why.n == 0 ? "(no message)" : (const char *)h->why.p;
}
