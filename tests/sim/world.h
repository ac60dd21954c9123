/* sim: a world in one thread that stands in for Linux under struct td_sys.
 *
 *   world.c   virtual time, the heap of events, randomness, machines, works, the trace
 *   net.c     streams between machines: latency, segments, resets, partitions
 *   disk.c    files whose unsynced bytes and names a crash may keep or lose
 *   fleet.c   simulated MQTT clients        naive.c   the slow, obvious broker to compare with
 *   hub.c     the hub under test, its crashes and restarts
 *
 * All happens in the order of (virtual time, sequence); events of one instant keep the order in
 * which they were set. One seed gives separate random streams to net, disk, load, faults,
 * scheduling and configuration, so that switching one source off leaves the others alone. Nothing
 * asks libc for time or randomness, nothing orders or hashes by address: one seed is one run.
 *
 * A *machine* is one process with a loop. It gets its events as a batch, in random order, a random
 * moment after the first became ready, then one turn: as app/ does over linux/. A crash of a
 * machine may come between any two calls it makes to its disk (disk.h). */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "sys/sys.h"

struct sim_world;
struct sim_machine;
struct sim_disk;
struct sim_net;

/* Something that will happen. Embedded in its owner; the timer is the place in the heap. */
struct sim_event {
    struct td_timer timer; /* first */
    void (*fire)(struct sim_event *e);
};

enum sim_rng { SIM_NET, SIM_DISK, SIM_LOAD, SIM_FAULT, SIM_SCHED, SIM_CONFIG, SIM_KEYS, SIM_RNGS };

struct sim_world {
    td_mono now;         /* virtual, from 0 */
    td_mono wall_offset; /* wall = now + this; jumps */
    struct td_heap heap;
    struct td_rng rng[SIM_RNGS];
    uint64_t seed, trace;  /* trace: hash over all that was observable so far */
    uint64_t steps, turns; /* events so far; those of them that were a machine's turn */
    uint32_t machines;     /* made so far */
    bool verbose;          /* print each trace line */
    struct sim_net *net;
    bool failed;        /* a check has failed: stop, say so */
    char failure[1024]; /* the first one's words */
};

struct sim_world *sim_world_new(uint64_t seed);
/* After its machines and disks. */
void sim_world_free(struct sim_world *w);

/* Sets or moves an event; TD_NEVER takes it back. */
void sim_set(struct sim_world *w, struct sim_event *e, td_mono at);
/* Lets all happen that is due until `until`; false: nothing is left to happen. */
bool sim_run(struct sim_world *w, td_mono until);
/* Lets the next event happen; false: there is none. */
bool sim_step(struct sim_world *w);

uint64_t sim_below(struct sim_world *w, enum sim_rng from, uint64_t bound);
/* least..most, both included. */
uint64_t sim_between(struct sim_world *w, enum sim_rng from, uint64_t least, uint64_t most);
/* True `ppm` times in a million; asks for no random number when ppm is 0. */
bool sim_chance(struct sim_world *w, enum sim_rng from, uint32_t ppm);

/* Adds a fact to the trace. `what` is a static word, bytes may be empty. */
void sim_trace(struct sim_world *w, const char *what, uint64_t a, uint64_t b, td_slice bytes);

/* A check has failed. Keeps the first message; the run may go on a little. */
void sim_fail(struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- machines ---- */

/* What runs on a machine: its loop's turns. deadline is in the machine's own clock. */
struct sim_program {
    void (*event)(void *ctx, const struct td_sys_event *e, td_mono now);
    void (*turn)(void *ctx, td_mono now);
    td_mono (*deadline)(void *ctx);
};

struct sim_lane {
    struct sim_event event;
    struct sim_machine *machine;
    struct td_work *first, **end;
    struct td_work *running; /* has run; its end is yet to be told */
};

struct sim_machine {
    struct td_sys sys; /* first: the seam's calls get back to us by it */
    struct sim_world *world;
    struct sim_disk *disk; /* may be NULL */
    const struct sim_program *program;
    void *ctx;
    const char *name;
    uint32_t number; /* in the world, from 1 */
    td_mono boot;    /* mono = world's now - boot */
    bool dead;       /* crashed: calls do nothing more */
    bool in_turn;
    struct sim_event wake;
    struct sim_lane lanes[TD_LANE_COUNT];
    struct td_work *ended, **ended_end;
    /* net.c's: open streams by handle */
    struct sim_end **streams;
    size_t stream_cap;
    td_mono stall_max; /* the loop may get its turn this late */
};

/* A running machine. `disk` outlives it and may be NULL; one machine at a time uses a disk. The
 * default program (NULL) calls done of works and ignores streams. */
struct sim_machine *sim_machine_new(struct sim_world *w, const char *name, struct sim_disk *disk);
void sim_machine_program(struct sim_machine *m, const struct sim_program *program, void *ctx);
/* The power fails, or (killed) only the process dies: no event comes any more, calls do nothing,
 * works that have not run never will. Peers of its streams learn of it: at once if it was killed,
 * else when they send something after it is back. Then free what ran on it, decide what is left on
 * the disk with sim_disk_crash(), and free the machine. */
void sim_machine_crash(struct sim_machine *m, bool killed);
void sim_machine_free(struct sim_machine *m);
/* The loop has something to do. */
void sim_machine_wake(struct sim_machine *m);
td_mono sim_machine_mono(const struct sim_machine *m);
/* Neither crashed nor without power (sim_disk_stop_at). */
bool sim_machine_alive(const struct sim_machine *m);

/* ---- the parts, for each other ---- */

struct sim_net *sim_net_new(struct sim_world *w);
void sim_net_free(struct sim_net *net);
void sim_net_fill(struct td_sys *sys);
void sim_net_crash(struct sim_machine *m, bool killed);
/* Hands all that is ready to the program, in random order. */
void sim_net_dispatch(struct sim_machine *m);
bool sim_net_ready(struct sim_machine *m);
void sim_disk_fill(struct td_sys *sys);

#endif
