/* sim: the swarm. One seed makes a plan (who comes, what breaks), lets it happen, calms down, and
 * checks that nothing that was promised is missing and nothing happened that was not to.
 *
 *     sim [SEED=n] [COUNT=k] [UNTIL=seconds] [TRACE=1] [TWICE=1] [HASH=1] [HISTORY=0]
 *         [LOOPS=n]
 *
 * runs the seeds n, n + 1, .. (n: by the clock, printed). A failure prints how to replay it. TWICE
 * runs each seed two times and compares the traces; HASH prints the trace's hash of each. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/fleet.h"
#include "sim/history.h"
#include "sim/hub.h"
#include "sim/net.h"

#define ADDRESS "127.0.0.1:1883"

/* SILENCE_S: until everybody has noticed that the other side is gone without a word. */
enum {
    CALM_S_MAX = 300,
    SILENCE_S = 25,
    END_S_MAX = 20,
    TURNS_PER_S_MAX = 5000,
    CAUSES_PER_S_MAX = 20000000
};

struct options {
    uint64_t seed, count;
    unsigned loops; /* 0: another number in each life */
    double until;   /* seconds, 0: to the end */
    bool trace, twice, hash, history;
};

struct plan {
    td_mono span; /* of the storm */
    td_mono chaos_min, chaos_max;
    uint32_t crash_ppm, net_ppm, clock_ppm; /* of the chaos */
    uint32_t error_ppm;                     /* calls of the disk that fail */
    bool full;                              /* the disk has no room for a while */
    struct sim_fleet_plan fleet;
    struct td_serve_config hub;
};

struct run {
    struct sim_world *w;
    struct sim_hub *hub;
    struct sim_book *book;
    struct sim_fleet *fleet;
    struct plan plan;
    struct sim_event chaos, restart;
    bool calm, ending, history;
    unsigned loops; /* as was asked for */
};

struct totals {
    uint64_t seeds, failures, steps, crashes, musts;
    struct sim_fleet_counts fleet;
};

static uint64_t current_seed; /* for the signal handler */
static unsigned current_loops;

/* ---- the plan ---- */

static uint64_t pick(struct sim_world *w, uint64_t least, uint64_t most)
{
    return sim_between(w, SIM_CONFIG, least, most);
}

static bool maybe(struct sim_world *w, unsigned percent)
{
    return sim_chance(w, SIM_CONFIG, percent * 10000);
}

static void plan_net(struct sim_world *w)
{
    struct sim_net_options *o = sim_net_options(w);
    o->latency_max = (td_mono)pick(w, 50000, 20000000);
    o->window_min = maybe(w, 30) ? 64 : 4096;
    o->tiny_ppm = maybe(w, 30) ? 200000 : 0;
    o->segment_max = maybe(w, 30) ? 100 : 1460;
    o->stall_ppm = maybe(w, 30) ? 2000 : 0;
    o->stall_max = TD_NS_PER_S;
    o->reset_ppm = maybe(w, 30) ? 500 : 0;
}

static void plan_hub(struct sim_world *w, struct td_serve_config *c)
{
    static const struct td_serve_listener listener = {.address = ADDRESS, .kind = TD_SERVE_MQTT};
    td_serve_config_default(c);
    c->data_dir = "data";
    c->listeners = (struct td_serve_listeners){&listener, 1};
    c->version = "sim";
    c->store.segment_bytes = (uint32_t)pick(w, 16, 64) * 4096;
    c->store.segments = (uint32_t)pick(w, 4, 6);
    c->mqtt.receive_max = (uint16_t)(maybe(w, 50) ? pick(w, 1, 30) : 1024);
    if (maybe(w, 20)) {
        c->mqtt.queue_messages_max = (uint32_t)pick(w, 5, 50);
    }
}

static void plan_fleet(struct sim_world *w, struct sim_fleet_plan *f)
{
    *f = (struct sim_fleet_plan){
        .clients = (uint32_t)pick(w, 2, 10),
        .rude = maybe(w, 30) ? (uint32_t)pick(w, 1, 4) : 0,
        .tick_min = 1000000,
        .tick_max = (td_mono)pick(w, 10, 400) * TD_NS_PER_MS,
        .leave_ppm = maybe(w, 70) ? (uint32_t)pick(w, 1000, 80000) : 0,
        .change_ppm = (uint32_t)pick(w, 10000, 200000),
        .deaf_ppm = maybe(w, 40) ? 20000 : 0,
        .payload_max = maybe(w, 10)   ? 180000
                       : maybe(w, 30) ? 12000
                                      : 500,
        .shared = maybe(w, 40),
        .wills = maybe(w, 40),
        .retained = maybe(w, 70),
        .expiry = maybe(w, 30),
        .all_durable = maybe(w, 50),
    };
}

/* What the hub takes in one message depends on the ring of its log; 3.1.1 has no word to say so. */
static size_t message_max(const struct td_serve_config *c)
{
    size_t ring = c->store.segments < 6 ? 1 : c->store.segments / 2 - 1;
    return c->store.segment_bytes * ring / 4 - 4096;
}

static void plan_make(struct sim_world *w, struct plan *p)
{
    memset(p, 0, sizeof *p);
    p->span = (td_mono)pick(w, 1, 12) * TD_NS_PER_S;
    p->chaos_min = 10 * TD_NS_PER_MS;
    p->chaos_max = (td_mono)pick(w, 100, 3000) * TD_NS_PER_MS;
    p->crash_ppm = maybe(w, 65) ? 400000 : 0;
    p->net_ppm = maybe(w, 60) ? 400000 : 0;
    p->clock_ppm = maybe(w, 15) ? 100000 : 0;
    p->error_ppm = p->crash_ppm != 0 && maybe(w, 10) ? (uint32_t)pick(w, 100, 5000) : 0;
    p->full = p->crash_ppm != 0 && maybe(w, 10);
    if (p->net_ppm != 0) {
        plan_net(w);
    }
    plan_hub(w, &p->hub);
    plan_fleet(w, &p->fleet);
    size_t most = message_max(&p->hub);
    p->fleet.payload_max = p->fleet.payload_max > most ? most : p->fleet.payload_max;
}

/* ---- chaos ---- */

static void restart_later(struct run *r, td_mono most)
{
    sim_set(r->w, &r->restart,
            r->w->now + (td_mono)sim_between(r->w, SIM_FAULT, 1000000, (uint64_t)most));
}

static bool disk_ill(const struct run *r)
{
    return !r->calm && (r->plan.error_ppm != 0 || r->plan.full);
}

static void disk_faults(struct run *r)
{
    struct sim_disk *disk = sim_hub_disk(r->hub);
    struct sim_disk_faults *f = sim_disk_faults(disk);
    f->write_ppm = f->sync_ppm = f->open_ppm = r->calm ? 0 : r->plan.error_ppm;
    f->read_ppm = f->write_ppm / 10;
    f->space_bytes = 0;
    if (r->plan.full && !r->calm && sim_chance(r->w, SIM_FAULT, 500000)) {
        f->space_bytes = sim_disk_used(disk) + sim_below(r->w, SIM_FAULT, 200000);
    }
}

/* LOOPS=0: each life of the hub has its own number of loops. The choice has a source of its own, so
 * that what else a seed holds does not depend on it. */
static void loops_choose(struct run *r)
{
    struct td_rng rng;
    td_rng_init(&rng, r->w->seed * 31 + sim_hub_counts(r->hub)->starts);
    unsigned own = 1 + (unsigned)td_rng_below(&rng, 3);
    sim_hub_loops(r->hub, r->loops != 0 ? r->loops : own);
}

static void restart(struct sim_event *e)
{
    struct run *r = TD_CONTAINER(e, struct run, restart);
    if (sim_hub_up(r->hub)) {
        return;
    }
    bool stop = !r->calm && r->plan.crash_ppm != 0 && sim_chance(r->w, SIM_FAULT, 100000);
    uint64_t steps = sim_disk_steps(sim_hub_disk(r->hub));
    disk_faults(r);
    if (stop) { /* the power fails again while it recovers */
        sim_disk_stop_at(sim_hub_disk(r->hub), steps + sim_between(r->w, SIM_FAULT, 1, 60));
    }
    loops_choose(r);
    if (sim_hub_start(r->hub)) {
        return;
    }
    if (!stop && !disk_ill(r)) {
        sim_fail(r->w, "the hub does not start: %s", sim_hub_why(r->hub));
    }
    restart_later(r, TD_NS_PER_S);
}

static void crash(struct run *r)
{
    switch (sim_below(r->w, SIM_FAULT, 4)) {
    case 0:
        sim_hub_crash(r->hub, SIM_KILLED);
        break;
    case 1:
        sim_hub_crash(r->hub, SIM_POWER);
        break;
    case 2:
        sim_hub_close(r->hub);
        break;
    default:
        sim_disk_stop_at(sim_hub_disk(r->hub), sim_disk_steps(sim_hub_disk(r->hub)) +
                                                   sim_between(r->w, SIM_FAULT, 1, 20));
        break;
    }
    restart_later(r, 3 * TD_NS_PER_S);
}

static void trouble_net(struct run *r)
{
    td_mono span = (td_mono)sim_between(r->w, SIM_FAULT, 1000000, 20 * (uint64_t)TD_NS_PER_S);
    switch (sim_below(r->w, SIM_FAULT, 3)) {
    case 0:
        sim_net_partition(r->w, span);
        break;
    case 1:
        sim_net_partition_all(r->w, span / 8);
        break;
    default:
        sim_net_break(r->w);
        break;
    }
}

static void chaos(struct sim_event *e)
{
    struct run *r = TD_CONTAINER(e, struct run, chaos);
    const struct plan *p = &r->plan;
    if (r->calm) {
        return;
    }
    if (sim_hub_up(r->hub) && sim_chance(r->w, SIM_FAULT, p->crash_ppm)) {
        crash(r);
    }
    if (sim_chance(r->w, SIM_FAULT, p->net_ppm)) {
        trouble_net(r);
    }
    if (sim_chance(r->w, SIM_FAULT, p->clock_ppm)) {
        td_mono hours = sim_chance(r->w, SIM_FAULT, 200000) ? 100 : 1;
        td_mono most = hours * 3600;
        r->w->wall_offset +=
            ((td_mono)sim_below(r->w, SIM_FAULT, (uint64_t)most * 2) - most) * TD_NS_PER_S;
    }
    sim_set(r->w, e,
            r->w->now + (td_mono)sim_between(r->w, SIM_FAULT, (uint64_t)p->chaos_min,
                                             (uint64_t)p->chaos_max));
}

/* ---- a run ---- */

/* What happened in the second under way. */
struct second {
    td_mono from;
    uint64_t steps, turns;
};

static struct second second_begin(const struct sim_world *w)
{
    return (struct second){w->now, w->steps, w->turns};
}

/* A turn has a cause: bytes that came or went, a work that ended, a moment that was waited for. Big
 * messages in tiny segments are much work for all; turns without causes are a loop that spins. */
static void spin_look(struct sim_world *w, const struct second *s)
{
    uint64_t turns = w->turns - s->turns, causes = w->steps - s->steps - turns;
    if (turns > TURNS_PER_S_MAX + 2 * causes) {
        sim_fail(w, "%" PRIu64 " turns in one second, for %" PRIu64 " causes: a loop spins", turns,
                 causes);
    } else if (causes > CAUSES_PER_S_MAX) {
        sim_fail(w, "%" PRIu64 " events in one second: one causes itself", causes);
    }
}

/* Until `until` or a failure. */
static void go(struct run *r, td_mono until)
{
    struct sim_world *w = r->w;
    struct second second = second_begin(w);
    for (;;) {
        const struct td_timer *t = td_heap_first(&w->heap);
        if (w->failed || t == NULL || t->at > until) {
            w->now = w->failed || w->now > until ? w->now : until;
            return;
        }
        (void)sim_step(w); /* there is one */
        sim_hub_look(r->hub);
        if (!sim_hub_up(r->hub) && r->restart.timer.place == 0 && !r->ending) {
            restart_later(r, 3 * TD_NS_PER_S);
        }
        if (w->now - second.from >= TD_NS_PER_S) {
            second = second_begin(w);
        }
        spin_look(w, &second);
    }
}

static void calm(struct run *r)
{
    struct sim_net_options *o = sim_net_options(r->w);
    r->calm = true;
    o->stall_ppm = o->reset_ppm = 0;
    if (!r->w->failed && sim_hub_up(r->hub) && (r->plan.error_ppm != 0 || r->plan.full)) {
        sim_hub_crash(r->hub, SIM_KILLED); /* a store that failed stays so until a restart */
    }
    disk_faults(r);
    sim_disk_stop_at(sim_hub_disk(r->hub), 0);
    if (!sim_hub_up(r->hub)) {
        restart_later(r, TD_NS_PER_S);
    }
    sim_fleet_calm(r->fleet);
}

/* Everybody is back and everything that waited has gone. */
static void settle(struct run *r)
{
    char why[128] = "";
    td_mono begin = r->w->now, quiet = 5 * TD_NS_PER_S;
    td_mono least = SILENCE_S * TD_NS_PER_S;
    while (!r->w->failed && r->w->now - begin < CALM_S_MAX * TD_NS_PER_S) {
        go(r, r->w->now + TD_NS_PER_S / 2);
        if (sim_fleet_settled(r->fleet, why) && r->w->now - sim_fleet_last_got(r->fleet) > quiet &&
            r->w->now - begin > least) {
            return;
        }
    }
    sim_fail(r->w, "%d s after all trouble ended it is not quiet: %s", CALM_S_MAX,
             why[0] == '\0' ? "messages still come" : why);
}

static void end_cleanly(struct run *r)
{
    td_mono begin = r->w->now;
    sim_hub_close(r->hub);
    while (sim_hub_up(r->hub) && !r->w->failed) {
        go(r, r->w->now + TD_NS_PER_MS * 10);
        if (r->w->now - begin > END_S_MAX * TD_NS_PER_S) {
            sim_fail(r->w, "the hub does not come to its end");
        }
    }
}

static void finish(struct run *r)
{
    calm(r);
    settle(r);
    if (r->w->failed) {
        return;
    }
    sim_book_check(r->book);
    uint32_t auditor = sim_fleet_audit(r->fleet);
    settle(r);
    if (r->w->failed) {
        return;
    }
    sim_book_check_retained(r->book, auditor);
    r->ending = true;
    sim_set(r->w, &r->restart, TD_NEVER);
    if (sim_chance(r->w, SIM_FAULT, 500000)) {
        end_cleanly(r);
    }
    if (sim_hub_up(r->hub)) {
        sim_hub_crash(r->hub, SIM_POWER);
    }
    if (r->history) {
        sim_history_check(r->w, sim_hub_disk(r->hub), r->plan.hub.data_dir, r->book);
    }
}

static void add(struct totals *t, const struct run *r)
{
    const struct sim_fleet_counts *f = sim_fleet_counts(r->fleet);
    t->seeds++;
    t->failures += r->w->failed;
    t->steps += r->w->steps;
    t->crashes += sim_hub_counts(r->hub)->crashes;
    t->musts += sim_book_musts(r->book);
    t->fleet.connects += f->connects;
    t->fleet.published += f->published;
    t->fleet.acknowledged += f->acknowledged;
    t->fleet.got += f->got;
    t->fleet.takeovers += f->takeovers;
}

static void commit_print(void)
{
    char line[64] = "unknown";
    FILE *p = popen("git rev-parse --short HEAD 2>/dev/null", "r");
    if (p != NULL) {
        if (fgets(line, sizeof line, p) == NULL) {
            (void)snprintf(line, sizeof line, "unknown");
        }
        (void)pclose(p);
    }
    line[strcspn(line, "\n")] = '\0';
    (void)printf("  commit %s\n", line);
}

static void report(const struct run *r)
{
    (void)printf("FAILED  %s\n", r->w->failure);
    (void)printf("  make sim SEED=%" PRIu64 " UNTIL=%.6f LOOPS=%u\n", r->w->seed,
                 (double)r->w->now / 1e9, r->loops);
    commit_print();
    (void)printf("  trace %016" PRIx64 "\n", r->w->trace);
    (void)fflush(stdout);
}

static uint64_t run_seed(uint64_t seed, const struct options *o, struct totals *t)
{
    struct run r = {.w = sim_world_new(seed),
                    .chaos.fire = chaos,
                    .restart.fire = restart,
                    .history = o->history};
    current_seed = seed;
    current_loops = o->loops;
    r.w->verbose = o->trace;
    plan_make(r.w, &r.plan);
    r.hub = sim_hub_new(r.w, &r.plan.hub);
    r.loops = o->loops;
    loops_choose(&r);
    r.book = sim_book_new(r.w, sim_topics, sim_topic_count);
    *sim_book_doubts(r.book) =
        (struct sim_book_doubts){.crashes = r.plan.crash_ppm != 0,
                                 .late = r.plan.clock_ppm != 0 || r.plan.net_ppm != 0,
                                 .queues_full = r.plan.hub.mqtt.queue_messages_max < 100};
    restart_later(&r, 2000000);
    r.fleet = sim_fleet_new(r.w, r.book, &r.plan.fleet, ADDRESS);
    sim_set(r.w, &r.chaos, TD_NS_PER_S / 2);
    td_mono until = o->until > 0 ? (td_mono)(o->until * 1e9) : TD_NEVER;
    go(&r, td_mono_min(until, r.plan.span));
    if (!r.w->failed && until > r.plan.span) {
        finish(&r);
    }
    if (r.w->failed) {
        report(&r);
    }
    uint64_t trace = r.w->trace;
    add(t, &r);
    sim_fleet_free(r.fleet);
    sim_hub_free(r.hub);
    sim_book_free(r.book);
    sim_world_free(r.w);
    return trace;
}

/* ---- the command ---- */

static void on_abort(int signal_number)
{
    (void)printf("FAILED  signal %d\n  make sim SEED=%" PRIu64 " LOOPS=%u\n", signal_number,
                 current_seed, current_loops);
    commit_print();
    (void)fflush(stdout);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static bool option(struct options *o, const char *arg)
{
    const char *value = strchr(arg, '=');
    if (value == NULL) {
        return false;
    }
    size_t n = (size_t)(value++ - arg);
    td_slice name = {(const uint8_t *)arg, n};
    if (td_slice_eq(name, TD_STR("SEED"))) {
        o->seed = strtoull(value, NULL, 10);
    } else if (td_slice_eq(name, TD_STR("COUNT"))) {
        o->count = strtoull(value, NULL, 10);
    } else if (td_slice_eq(name, TD_STR("LOOPS"))) {
        o->loops = (unsigned)strtoul(value, NULL, 10);
    } else if (td_slice_eq(name, TD_STR("UNTIL"))) {
        o->until = strtod(value, NULL);
    } else if (td_slice_eq(name, TD_STR("TRACE"))) {
        o->trace = *value == '1';
    } else if (td_slice_eq(name, TD_STR("TWICE"))) {
        o->twice = *value == '1';
    } else if (td_slice_eq(name, TD_STR("HISTORY"))) {
        o->history = *value == '1';
    } else if (td_slice_eq(name, TD_STR("HASH"))) {
        o->hash = *value == '1';
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {
        .seed = (uint64_t)time(NULL) * 1000, .count = 1, .history = true, .loops = 1};
    struct totals t = {0};
    for (int i = 1; i < argc; i++) {
        if (!option(&o, argv[i])) {
            (void)fprintf(stderr,
                          "sim: '%s' is not one of SEED=n COUNT=n UNTIL=seconds TRACE=1"
                          " TWICE=1 HASH=1\n",
                          argv[i]);
            return 2;
        }
    }
    td_log_level_set(o.trace ? TD_LOG_DEBUG : TD_LOG_ERROR);
    (void)signal(SIGABRT, on_abort);
    (void)signal(SIGSEGV, on_abort);
    for (uint64_t i = 0; i < o.count; i++) {
        uint64_t trace = run_seed(o.seed + i, &o, &t);
        if (o.twice && run_seed(o.seed + i, &o, &t) != trace) {
            (void)printf("FAILED  two runs of SEED=%" PRIu64 " differ\n", o.seed + i);
            t.failures++;
        }
        if (o.hash) {
            (void)printf("%" PRIu64 " %016" PRIx64 "\n", o.seed + i, trace);
        }
    }
    (void)printf("sim: seeds %" PRIu64 "..%" PRIu64 ", %" PRIu64 " failed; %" PRIu64
                 " steps, %" PRIu64 " crashes, %" PRIu64 " connects, %" PRIu64
                 " takeovers, %" PRIu64 " published, %" PRIu64 " acknowledged, %" PRIu64
                 " received, %" PRIu64 " demanded\n",
                 o.seed, o.seed + o.count - 1, t.failures, t.steps, t.crashes, t.fleet.connects,
                 t.fleet.takeovers, t.fleet.published, t.fleet.acknowledged, t.fleet.got, t.musts);
    return t.failures == 0 ? 0 : 1;
}
