/* sim: a disk that forgets what was not synced.
 *
 * Each file has the bytes that programs see and the bytes that are on the platter, and between
 * them the writes since the last datasync. A power cut decides per 512 byte sector how many of the
 * writes that touched it are there, from none to all, independently of its neighbours: so writes
 * are kept, dropped, torn and reordered, but one sector is never torn. What a truncate or a longer
 * file did to the size may be lost too. Names are on the disk after dirsync of their directory; of
 * the changes since then a power cut keeps the first few. If only the process dies all stays.
 *
 * A failed datasync leaves the writes before it in doubt for ever: a later one that succeeds does
 * not bring them to the platter for sure (as Linux does). Locks die with the machine.
 *
 * Not modelled: damage at rest, hard links, permissions. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim/world.h"

struct sim_disk_faults {
    uint32_t read_ppm, write_ppm, sync_ppm, open_ppm; /* TD_EIO this often in a million */
    uint64_t space_bytes;       /* writes that need more: TD_EFULL; 0: no bound */
    td_mono sync_min, sync_max; /* how long a datasync takes */
};

enum sim_cut {
    SIM_CUT_RANDOM, /* each sector for itself */
    SIM_CUT_LOST,   /* nothing that was not synced */
    SIM_CUT_KEPT,   /* all of it */
    SIM_CUT_ANY     /* one of the above, by chance */
};

struct sim_disk *sim_disk_new(struct sim_world *w);
void sim_disk_free(struct sim_disk *d);
/* All zero: a good disk. Takes 1..5 ms a sync unless told otherwise. */
struct sim_disk_faults *sim_disk_faults(struct sim_disk *d);

/* What the disk holds after the power came back. Call it when the machine is dead. */
void sim_disk_cut(struct sim_disk *d, enum sim_cut how);
/* The process died, the system did not: open files and locks are gone, nothing else. */
void sim_disk_killed(struct sim_disk *d);

/* Calls that change something, counted from the disk's birth. */
uint64_t sim_disk_steps(const struct sim_disk *d);
/* From the step of that number on (the first is 1) the power is off: nothing reaches the disk,
 * changing calls give TD_EIO. 0: never. sim_disk_cut() and _killed() switch it on again. */
void sim_disk_stop_at(struct sim_disk *d, uint64_t at);
bool sim_disk_stopped(const struct sim_disk *d);

/* Bytes of all files, as programs see them. */
uint64_t sim_disk_used(const struct sim_disk *d);

/* Looking in from outside, past all faults: the visible bytes of a file; .p NULL: no such file. */
td_slice sim_disk_peek(const struct sim_disk *d, const char *path);
/* Flips one bit of a file, on the platter too. False: no such file or byte. */
bool sim_disk_flip(struct sim_disk *d, const char *path, uint64_t byte, unsigned bit);

/* The time that the calls since the last take have cost. */
td_mono sim_disk_time_take(struct sim_disk *d);

#endif
