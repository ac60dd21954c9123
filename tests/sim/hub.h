/* sim: the hub under test on its machine: started, crashed between any two calls, started again on
 * what the crash left of its disk.
 *
 * A crash is of one of three kinds. *Killed:* the process dies between two events, the disk keeps
 * all it was given. *Power:* the same, and the disk forgets by its rules. *Stopped:* the power
 * fails at a chosen step of the disk, so inside a commit, a start, a checkpoint. */
#ifndef SIM_HUB_H
#define SIM_HUB_H

#include "serve/serve.h"
#include "sim/disk.h"

struct sim_hub;

enum sim_crash { SIM_KILLED, SIM_POWER };

struct sim_hub *sim_hub_new(struct sim_world *w, const struct td_serve_config *config);
void sim_hub_free(struct sim_hub *h);
struct sim_disk *sim_hub_disk(struct sim_hub *h);

/* How many loops its next lives have; 1 at first. */
void sim_hub_loops(struct sim_hub *h, unsigned count);
/* False: it did not start, or the power failed meanwhile; it is down. */
bool sim_hub_start(struct sim_hub *h);
bool sim_hub_up(const struct sim_hub *h);
void sim_hub_crash(struct sim_hub *h, enum sim_crash how);
/* Call it after each step of the world: a disk that stopped takes the hub with it. */
void sim_hub_look(struct sim_hub *h);
/* Begins the clean end; when it is down it has ended, and the power is off. */
void sim_hub_close(struct sim_hub *h);

struct sim_hub_counts {
    uint64_t starts, failed_starts, crashes;
};

const struct sim_hub_counts *sim_hub_counts(const struct sim_hub *h);
const char *sim_hub_why(const struct sim_hub *h); /* the last start failed */

#endif
