/* sim: a store on a simulated machine, for tests. What goes wrong here is the test's fault and
 * aborts. */
#ifndef SIM_STORE_RIG_H
#define SIM_STORE_RIG_H

#include "sim/disk.h"
#include "store/store.h"

enum { RIG_STREAMS = 5 };

struct rig {
    struct sim_world *w;
    struct sim_disk *d;
    struct sim_machine *m;
    struct td_store *store;
    struct td_store_config config;
    uint32_t streams[RIG_STREAMS];
    bool answered;
    enum td_err err;
    size_t row_count, column_count;
    struct td_value *cells; /* of the last answer; texts copied */
    char why[512];
};

/* A machine with an empty disk, in November 2026; r->config may be changed before rig_open(). */
void rig_begin(struct rig *r, uint64_t seed);
void rig_end(struct rig *r);
/* On failure r->why says why. */
enum td_err rig_open(struct rig *r);
/* The power fails and comes back; the machine runs again, without a store. */
void rig_crash(struct rig *r, enum sim_cut how);
/* The process dies, the system does not; the machine runs again, without a store. */
void rig_kill(struct rig *r);
/* The clean end; the machine runs again, without a store. */
void rig_close(struct rig *r);
/* Until it is durable, or the store has failed. */
void rig_wait(struct rig *r, uint64_t lsn);
void rig_run(struct rig *r, td_ms ms);

/* One entry of kind TD_STATE_SETTING, committed now. */
uint64_t rig_put(struct rig *r, const char *key, const char *value);
/* Makes (or finds) "plant/0".. with columns a and b. */
void rig_streams(struct rig *r);
/* One row; gives its LSN, UINT64_MAX: refused. */
uint64_t rig_row(struct rig *r, uint32_t stream, td_wall ts, double a, int64_t b);

/* Takes an answer into err, why, cells, row_count, column_count. Texts are not kept. */
void rig_answered(void *ctx, enum td_err err, const struct td_table *table, td_slice why);
/* Waits for the answer to what was asked. */
void rig_answer(struct rig *r);
void rig_sql(struct rig *r, const char *sql);
/* The one number that it gives. */
int64_t rig_sql_int(struct rig *r, const char *sql);

/* Whether `text` stands in s. */
bool rig_holds(td_slice s, const char *text);

#endif
