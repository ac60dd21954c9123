/* store: heads, the rows of each stream that are not on their way to a chunk yet.
 *
 *   row -> head (stream, partition) --full, old, in the way--> frozen (queue) --> writing --> chunk
 *
 * A head is a block of rows in order of arrival, whatever their ts; its chunk is sorted. Runs of
 * rows wait in the queue and are written in its order, so what a (stream, partition) has in chunks
 * is always a beginning of what it got: seq, the highest LSN in its chunks, says how far, and
 * recovery skips all rows up to it. Only durable rows are written; a run that is not yet all
 * durable is written in part. All of it stays readable until its chunk is committed. */
#ifndef TD_STORE_HIST_H
#define TD_STORE_HIST_H

#include "store/block.h"
#include "store/dict.h"

enum {
    TD_HEAD_ROWS = 1024,
    TD_HEAD_RELOG_ROWS = 32,  /* fewer are logged again rather than sealed */
    TD_HIST_BATCH = 512,      /* chunks that make a transaction worth it */
    TD_HIST_WAIT_MS = 300000, /* or the first of them waited so long */
    TD_HEAD_AGE_MS = 3600000
};

struct td_head {
    struct td_head *prev, *next; /* all heads, oldest born first */
    struct td_head *sibling;     /* the same stream's, another partition */
    struct td_stream *stream;
    int64_t partition;
    struct td_block *block;
    td_mono born;
    uint32_t target; /* rows at which it is full */
};

/* Rows from..to-1 of a block, on their way to a chunk. */
struct td_run {
    struct td_run *next;
    struct td_stream *stream;
    td_slice *fields; /* the stream's, as of when it was frozen */
    uint32_t columns;
    int64_t partition;
    struct td_block *block;
    uint32_t from, to;
    uint32_t upto; /* in a job: rows before this one are durable and to be written */
    bool written;  /* by the job: the chunk is committed */
    td_mono frozen_at;
};

struct td_runs {
    struct td_run *first, **end;
    size_t count;
};

struct td_hist {
    struct td_head *first, *last;
    struct td_runs frozen, writing;
    int64_t span; /* ns of a partition */
    uint64_t bytes, head_count;
    struct td_rng rng;
};

void td_hist_init(struct td_hist *h, uint32_t partition_days, uint64_t seed);
void td_hist_fini(struct td_hist *h); /* before the dictionary's */
int64_t td_hist_partition(const struct td_hist *h, td_wall ts);

/* Adds a row; a head that becomes full is frozen. */
void td_hist_add(struct td_hist *h, struct td_stream *s, const struct td_row *row, uint64_t lsn,
                 td_mono now);
/* On replay: the head of (stream, partition) begins anew. */
void td_hist_replace(struct td_hist *h, struct td_stream *s, int64_t partition);
void td_hist_freeze(struct td_hist *h, struct td_head *head, td_mono now);
/* After its rows were logged again, all at `lsn`. */
void td_hist_relogged(struct td_hist *h, struct td_head *head, uint64_t lsn);
/* Freezes heads over TD_HEAD_AGE_MS. */
void td_hist_age(struct td_hist *h, td_mono now);
/* Freezes oldest heads until those left hold at most `bytes`. */
void td_hist_shrink(struct td_hist *h, uint64_t bytes, td_mono now);
/* The LSN behind the oldest row that is in no chunk; UINT64_MAX: there is none. */
uint64_t td_hist_oldest(const struct td_hist *h);
/* Takes what may be written now out of the queue into `writing`; false: nothing. */
bool td_hist_take(struct td_hist *h, uint64_t durable);
/* The job ended: what was written goes, the rest returns to the front of the queue. */
void td_hist_return(struct td_hist *h);
/* When the queue is worth a transaction by age; TD_NEVER: it is empty. */
td_mono td_hist_due(const struct td_hist *h);

#endif
