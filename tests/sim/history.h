/* sim: what the history says after all, read by the store's own questions from the disk that the
 * last crash left, compared with the book. */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include "sim/disk.h"
#include "sim/naive.h"

/* Every acknowledged JSON message is there as a row with its number and its value, bit for bit;
 * no row is there that nobody sent. `dir` is the data directory. Runs the world meanwhile. */
void sim_history_check(struct sim_world *w, struct sim_disk *disk, const char *dir,
                       struct sim_book *b);

#endif
