/* sim: virtual time, randomness, machines and their works. */
#include "sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/disk.h"

enum { WALL_START_S = 1700000000 };

struct sim_world *sim_world_new(uint64_t seed)
{
    struct sim_world *w = td_alloc(sizeof *w);
    struct td_rng root;
    td_rng_init(&root, seed);
    for (size_t i = 0; i < SIM_RNGS; i++) {
        td_rng_init(&w->rng[i], td_rng_next(&root));
    }
    w->seed = seed;
    w->trace = seed;
    w->wall_offset = WALL_START_S * TD_NS_PER_S;
    td_heap_init(&w->heap);
    w->net = sim_net_new(w);
    return w;
}

void sim_world_free(struct sim_world *w)
{
    sim_net_free(w->net);
    td_heap_fini(&w->heap);
    free(w);
}

/* ---- what happens when ---- */

void sim_set(struct sim_world *w, struct sim_event *e, td_mono at)
{
    td_assert(at >= w->now);
    td_heap_set(&w->heap, &e->timer, at);
}

bool sim_step(struct sim_world *w)
{
    struct td_timer *t = td_heap_first(&w->heap);
    if (t == NULL) {
        return false;
    }
    w->now = t->at;
    w->steps++;
    td_heap_set(&w->heap, t, TD_NEVER);
    struct sim_event *e = TD_CONTAINER(t, struct sim_event, timer);
    e->fire(e);
    return true;
}

bool sim_run(struct sim_world *w, td_mono until)
{
    for (;;) {
        const struct td_timer *t = td_heap_first(&w->heap);
        if (w->failed) {
            return false;
        }
        if (t == NULL || t->at > until) {
            w->now = until;
            return t != NULL;
        }
        (void)sim_step(w); /* there is one */
    }
}

uint64_t sim_below(struct sim_world *w, enum sim_rng from, uint64_t bound)
{
    return td_rng_below(&w->rng[from], bound);
}

uint64_t sim_between(struct sim_world *w, enum sim_rng from, uint64_t least, uint64_t most)
{
    return least + td_rng_below(&w->rng[from], most - least + 1);
}

bool sim_chance(struct sim_world *w, enum sim_rng from, uint32_t ppm)
{
    return ppm != 0 && td_rng_below(&w->rng[from], 1000000) < ppm;
}

void sim_trace(struct sim_world *w, const char *what, uint64_t a, uint64_t b, td_slice bytes)
{
    uint64_t facts[] = {(uint64_t)w->now, a, b, td_hash(bytes, bytes.n)};
    uint64_t h = td_hash((td_slice){(const uint8_t *)facts, sizeof facts}, w->trace);
    w->trace = td_hash(td_slice_of(what), h);
    if (w->verbose) {
        (void)printf("%12.6f %-10s %8" PRIu64 " %8" PRIu64 " n=%zu %016" PRIx64,
                     (double)w->now / 1e9, what, a, b, bytes.n, w->trace);
        for (size_t i = 0; i < bytes.n && i < 24; i++) {
            (void)printf(i == 0 ? "  %02x" : "%02x", bytes.p[i]);
        }
        (void)printf("\n");
    }
}

void sim_fail(struct sim_world *w, const char *format, ...)
{
    if (w->failed) {
        return;
    }
    w->failed = true;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->failure, sizeof w->failure, format, args);
    va_end(args);
}

/* ---- clock, keys ---- */

static struct sim_machine *of(struct td_sys *sys)
{
    return TD_CONTAINER(sys, struct sim_machine, sys);
}

td_mono sim_machine_mono(const struct sim_machine *m)
{
    return m->world->now - m->boot;
}

bool sim_machine_alive(const struct sim_machine *m)
{
    return !m->dead && (m->disk == NULL || !sim_disk_stopped(m->disk));
}

static td_mono sys_mono(struct td_sys *sys)
{
    return sim_machine_mono(of(sys));
}

static td_wall sys_wall(struct td_sys *sys)
{
    return of(sys)->world->now + of(sys)->world->wall_offset;
}

static uint64_t sys_memory(struct td_sys *sys, bool trim)
{
    (void)sys, (void)trim;
    return 0; /* the hub goes by its own tables */
}

static void sys_random(struct td_sys *sys, void *p, size_t n)
{
    uint8_t *bytes = p;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)td_rng_next(&of(sys)->world->rng[SIM_KEYS]);
    }
}

/* ---- works: one lane runs one after another. A work's effects on the disk come about at one
 * instant; its end is told when the disk's time for them has passed. ---- */

static void lane_begin(struct sim_lane *lane)
{
    struct sim_world *w = lane->machine->world;
    sim_set(w, &lane->event, w->now + (td_mono)sim_between(w, SIM_SCHED, 1000, 200000));
}

static void lane_run(struct sim_lane *lane)
{
    struct sim_machine *m = lane->machine;
    struct td_work *work = lane->first;
    td_mono cost = 0;
    if (m->disk != NULL) {
        (void)sim_disk_time_take(m->disk); /* what the loop itself did does not count here */
    }
    lane->first = work->next;
    if (lane->first == NULL) {
        lane->end = &lane->first;
    }
    sim_trace(m->world, "work", m->number, work->lane, (td_slice){0});
    work->run(work);
    if (m->dead) { /* the power failed inside; whoever crashes us has emptied the lanes */
        return;
    }
    if (m->disk != NULL) {
        cost = sim_disk_time_take(m->disk);
    }
    lane->running = work;
    sim_set(m->world, &lane->event, m->world->now + cost);
}

static void lane_end(struct sim_lane *lane)
{
    struct sim_machine *m = lane->machine;
    lane->running->next = NULL;
    *m->ended_end = lane->running;
    m->ended_end = &lane->running->next;
    lane->running = NULL;
    sim_machine_wake(m);
    if (lane->first != NULL) {
        lane_begin(lane);
    }
}

static void lane_fire(struct sim_event *e)
{
    struct sim_lane *lane = TD_CONTAINER(e, struct sim_lane, event);
    if (lane->running != NULL) {
        lane_end(lane);
    } else {
        lane_run(lane);
    }
}

static void sys_work(struct td_sys *sys, struct td_work *work)
{
    struct sim_machine *m = of(sys);
    struct sim_lane *lane = &m->lanes[work->lane];
    if (m->dead) {
        return;
    }
    bool idle = lane->first == NULL && lane->running == NULL;
    work->next = NULL;
    *lane->end = work;
    lane->end = &work->next;
    if (idle) {
        lane_begin(lane);
    }
}

static void works_end(struct sim_machine *m)
{
    while (m->ended != NULL && !m->dead) {
        struct td_work *work = m->ended;
        m->ended = work->next;
        if (m->ended == NULL) {
            m->ended_end = &m->ended;
        }
        struct td_sys_event e = {.owner = work, .stream = -1};
        m->program->event(m->ctx, &e, sim_machine_mono(m));
    }
}

/* ---- machines ---- */

static void idle_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    (void)ctx;
    (void)now;
    if (e->stream < 0) {
        struct td_work *work = e->owner;
        work->done(work);
    }
}

static void idle_turn(void *ctx, td_mono now)
{
    (void)ctx;
    (void)now;
}

static td_mono idle_deadline(void *ctx)
{
    (void)ctx;
    return TD_NEVER;
}

static const struct sim_program idle_program = {idle_event, idle_turn, idle_deadline};

/* The next turn: soon if something is ready, else at the program's deadline. */
static void arm(struct sim_machine *m)
{
    struct sim_world *w = m->world;
    td_mono deadline = m->program->deadline(m->ctx);
    td_mono at = TD_NEVER;
    if (m->ended != NULL || sim_net_ready(m)) {
        at = w->now + 1000 + (td_mono)sim_below(w, SIM_SCHED, (uint64_t)m->stall_max + 1);
    }
    if (deadline != TD_NEVER) {
        td_mono due = deadline + m->boot;
        at = td_mono_min(at, due <= w->now ? w->now + 1000 : due);
    }
    sim_set(w, &m->wake, at);
}

static void wake_fire(struct sim_event *e)
{
    struct sim_machine *m = TD_CONTAINER(e, struct sim_machine, wake);
    m->in_turn = true;
    m->world->turns++;
    sim_trace(m->world, "turn", m->number, 0, (td_slice){0});
    sim_net_dispatch(m);
    works_end(m);
    if (!m->dead) {
        m->program->turn(m->ctx, sim_machine_mono(m));
    }
    m->in_turn = false;
    if (!m->dead) {
        arm(m);
    }
}

void sim_machine_wake(struct sim_machine *m)
{
    if (m->dead || m->in_turn) {
        return; /* the turn's end looks again */
    }
    struct sim_world *w = m->world;
    td_mono soon = w->now + 1000 + (td_mono)sim_below(w, SIM_SCHED, (uint64_t)m->stall_max + 1);
    if (m->wake.timer.place == 0 || m->wake.timer.at > soon) {
        sim_set(w, &m->wake, soon);
    }
}

struct sim_machine *sim_machine_new(struct sim_world *w, const char *name, struct sim_disk *disk)
{
    static const struct td_sys clock = {.mono = sys_mono,
                                        .wall = sys_wall,
                                        .random = sys_random,
                                        .work = sys_work,
                                        .memory = sys_memory};
    struct sim_machine *m = td_alloc(sizeof *m);
    m->sys = clock;
    sim_net_fill(&m->sys);
    sim_disk_fill(&m->sys);
    m->world = w;
    m->disk = disk;
    m->name = name;
    m->number = ++w->machines;
    /* Another zero each time: nobody may compare monotonic times across a restart. */
    m->boot = w->now - (td_mono)sim_below(w, SIM_SCHED, UINT64_C(1000000) * 1000000);
    m->wake.fire = wake_fire;
    m->ended_end = &m->ended;
    m->stall_max = 50000;
    for (size_t i = 0; i < TD_LANE_COUNT; i++) {
        m->lanes[i].event.fire = lane_fire;
        m->lanes[i].machine = m;
        m->lanes[i].end = &m->lanes[i].first;
    }
    sim_machine_program(m, NULL, NULL);
    return m;
}

void sim_machine_program(struct sim_machine *m, const struct sim_program *program, void *ctx)
{
    m->program = program == NULL ? &idle_program : program;
    m->ctx = ctx;
    if (program != NULL) {
        sim_machine_wake(m);
    }
}

void sim_machine_crash(struct sim_machine *m, bool killed)
{
    td_assert(!m->dead);
    m->dead = true;
    sim_trace(m->world, "crash", m->number, killed, (td_slice){0});
    sim_set(m->world, &m->wake, TD_NEVER);
    for (size_t i = 0; i < TD_LANE_COUNT; i++) {
        sim_set(m->world, &m->lanes[i].event, TD_NEVER);
        m->lanes[i].first = NULL;
        m->lanes[i].running = NULL;
    }
    m->ended = NULL;
    sim_net_crash(m, killed);
}

void sim_machine_free(struct sim_machine *m)
{
    if (!m->dead) {
        sim_machine_crash(m, true);
    }
    free(m->streams);
    free(m);
}
