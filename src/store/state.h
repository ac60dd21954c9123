/* store: the keyed state map.
 *
 *   batch := op*       op := varint (kind << 1 | gone) | lump key | (gone ? nothing : lump value)
 *
 * The log is its journal. While starting, the log's tail lies as a map over the table
 * state(kind, key, value); while running nothing of it is kept in RAM. Before segments are reused,
 * td_state_apply() carries their entries into the table: one pass over the whole tail finds the
 * last op of each key, a second one writes those of the segments to be released. What was put and
 * deleted again within the tail is at most a lookup. The LSN up to which the table is complete is
 * written in the same transaction, so doing it twice is doing it once. */
#ifndef TD_STORE_STATE_H
#define TD_STORE_STATE_H

#include "store/db.h"
#include "store/segment.h"

struct td_op {
    uint8_t kind;
    bool gone;
    td_slice key, value;
};

enum td_err td_op_encode(struct td_buf *out, const struct td_op *op);
/* False: the end, or c->err. */
bool td_op_next(struct td_cursor *c, struct td_op *out);

/* ---- batches out of records ---- */

/* Puts the parts of long batches together again. */
struct td_chain {
    struct td_buf bytes;
    uint64_t lsn;  /* of its first part */
    uint64_t next; /* the part that must follow; 0: none is open */
};

void td_chain_init(struct td_chain *chain, size_t bytes_max);
void td_chain_fini(struct td_chain *chain);
/* True: `rec` completes a batch: *lsn is where it began, *batch its ops (borrowed until the next
 * call). False: not a batch, or parts are missing: those before the end of the tail were applied
 * long ago, or the end of the log cut them off. */
bool td_chain_take(struct td_chain *chain, const struct td_record *rec, uint64_t *lsn,
                   td_slice *batch);

/* ---- the tail, while starting ---- */

struct td_tail {
    struct td_map map; /* kind and key -> struct td_tail_entry */
    struct td_arena arena;
};

void td_tail_init(struct td_tail *tail);
void td_tail_fini(struct td_tail *tail);
/* Lays a batch over it. TD_EPROTO: its bytes are not ops. */
enum td_err td_tail_add(struct td_tail *tail, td_slice batch);
/* Live entries of a kind, table and tail together, in key order. */
enum td_err td_tail_each(const struct td_tail *tail, sqlite3 *db, uint8_t kind,
                         void (*fn)(void *ctx, td_slice key, td_slice value), void *ctx);

/* ---- into the table ---- */

/* A segment as another thread may read it. */
struct td_segment_view {
    struct td_segment_head head;
    uint64_t end_lsn;
    char path[TD_STORE_PATH_MAX];
};

struct td_state_apply {
    struct td_sys *sys;
    const struct td_segment_view *views; /* oldest first, all of the tail */
    size_t count;
    uint64_t from, to; /* batches that began at from <= lsn < to go into the table */
    uint64_t durable;  /* read no further */
};

/* Makes the tables if they are not there. */
enum td_err td_state_schema(sqlite3 *db);
/* The LSN up to which the table is complete; 0: nothing was ever applied. */
enum td_err td_state_applied(sqlite3 *db, uint64_t *out);
/* One transaction; on failure nothing has changed. */
enum td_err td_state_apply(const struct td_state_apply *a, sqlite3 *db);
/* Reads a whole segment file into `out` (its size as in `bytes`). */
enum td_err td_segment_load(struct td_sys *sys, const char *path, uint32_t bytes,
                            struct td_buf *out);

#endif
