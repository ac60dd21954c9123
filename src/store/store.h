/* store: what the hub remembers.
 *
 *   put/del, rows --> staged bytes --commit--> log/NN.tlog          durable from here on
 *                          |                      | segment about to be reused
 *                          v                      v
 *                     heads in RAM --seal--> hist/raw-<day>.<gen>.db    state table in tandem.db
 *
 *   segment.c  the bytes of the log: records, headers, reading what a crash or a bad disk left
 *   log.c      the ring of segments, group commit            recover.c  start
 *   state.c    the keyed state map and its way into SQLite    vfs.c db.c SQLite over the seam
 *   keeper.c   sealing, applying, releasing segments
 *   rows.c block.c hist.c   streams, rows, heads              codec.c chunk.c part.c  sealed chunks
 *   scan.c query.c sql.c    questions                         check.c rescue.c    the doctor
 *
 * One log for all that is durable. An LSN is a byte position in the endless log; whoever must
 * acknowledge something keeps the LSN it was given and waits until td_store_durable() has reached
 * it. Two kinds of things are kept: a *keyed state map*, (kind, key) -> value, changed by atomic
 * batches, and *points*, rows of streams.
 *
 * One thread (the loop's) makes all calls. Slow work runs as td_work: serve hands the event of an
 * ended work to work->done, then calls td_store_turn(). */
#ifndef TD_STORE_H
#define TD_STORE_H

#include "base/value.h"
#include "sys/sys.h"

struct td_store;

/* ---- opening and closing ---- */

/* A zero takes the default in brackets. */
struct td_store_config {
    const char *dir;           /* made if absent */
    bool existing;             /* TD_ENOENT instead of making one; the ring's shape stays */
    uint32_t segment_bytes;    /* of the log [4 MB], a multiple of 4096 */
    uint32_t segment_count;    /* in the ring [16], at least 4 */
    uint32_t commit_bytes;     /* commit when so much is staged, whatever the class [64 KB] */
    uint32_t staged_bytes_max; /* the store fails beyond; callers must wait at 1/8 [32 MB] */
    uint64_t head_bytes_max;  /* rows in RAM; beyond, heads are sealed, then rows refused [64 MB] */
    uint32_t streams_max;     /* [200,000] */
    uint32_t partition_days;  /* a history file's span [1] */
    uint32_t keep_days;       /* history older than this is deleted [0: never] */
    uint64_t query_bytes_max; /* memory of one question and its answer [16 MB] */
    uint32_t query_rows_max;  /* rows of an answer [100,000] */
    td_ms query_ms_max;       /* a question's deadline [10,000] */
};

/* Locks the directory, recovers, is ready. Damage never fails a start: it is set aside and told in
 * td_store_stats().damage. TD_EEXIST: another process has the directory; TD_ENOENT, TD_EDENIED,
 * TD_EIO. On failure `why` holds a message for people. */
enum td_err td_store_open(const struct td_store_config *config, struct td_sys *sys,
                          struct td_store **out, struct td_buf *why);
/* Begins the end: commits what is staged, starts nothing new. Call it once a turn until it gives
 * true: no work is under way, all is durable (or the store has failed). */
bool td_store_stop(struct td_store *store, td_mono now);
/* After td_store_stop() has given true. */
void td_store_close(struct td_store *store);
/* The simulator's crash: frees memory, makes no call of the seam. Works under way never run. */
void td_store_abandon(struct td_store *store);

/* ---- turns ---- */

/* Starts what is due: a commit, sealing, applying. Once a turn, after all else. */
void td_store_turn(struct td_store *store, td_mono now);
td_mono td_store_deadline(const struct td_store *store);
/* Everything with lsn <= this survives power loss. */
uint64_t td_store_durable(const struct td_store *store);
/* A write or sync of the log has failed: td_store_durable() never moves again. */
bool td_store_failed(const struct td_store *store);
/* Why, for people; empty if it has not failed. */
const char *td_store_failure(const struct td_store *store);
/* True while staged bytes or the ring are over their bound: stop reading from clients until it is
 * false again. */
bool td_store_pressure(const struct td_store *store);

struct td_store_stats {
    uint64_t commits, commit_bytes; /* group commits, bytes written for them */
    uint64_t records, rows, points; /* since the start */
    uint64_t rows_refused;          /* over a bound, or too far ahead in time */
    uint64_t chunks, chunk_bytes, chunk_failures;
    uint64_t applies, apply_failures; /* of the state map to tandem.db */
    uint64_t queries, queries_refused;
    uint64_t staged_bytes, head_bytes; /* now */
    uint64_t streams;
    uint32_t segments_used, segment_count;
    uint64_t recovered_records, recovered_rows, recovered_state;
    uint64_t damaged; /* damaged places found at the start */
    td_slice damage;  /* one line each, for people */
};

/* Counted since the start; lives as long as the store. */
/* Lives as long as the store; brought up to date by the call. */
const struct td_store_stats *td_store_stats(struct td_store *store);

/* ---- the state map ---- */

/* State kinds; the store itself uses those under 16. */
enum {
    TD_STATE_SESSION = 16,
    TD_STATE_SUBSCRIPTION = 17,
    TD_STATE_RETAINED = 18,
    TD_STATE_MESSAGE = 19,
    TD_STATE_ROUTE = 20,
    TD_STATE_QOS2_IN = 21,
    TD_STATE_DELAYED = 22,
    TD_STATE_RULE = 24,
    TD_STATE_SETTING = 25,
    TD_STATE_AUDIT = 26,
    TD_STATE_AUDIT_HEAD = 27
};

/* A topic or filter, and what stands in front of it. */
enum { TD_STORE_KEY_MAX = 65535 + 512 };

/* How long what was staged may wait for its commit. */
enum td_store_class { TD_STORE_NOW, TD_STORE_1S, TD_STORE_10S, TD_STORE_60S };

/* Gives all live entries of a kind in key order. While starting only: before the first put, del,
 * row or turn. The slices live during the call. */
enum td_err td_store_state_each(struct td_store *store, uint8_t kind,
                                void (*fn)(void *ctx, td_slice key, td_slice value), void *ctx);
/* Into the open batch; the last one of a key wins. Key and value are copied; a key has at most
 * TD_STORE_KEY_MAX bytes. */
void td_store_put(struct td_store *store, uint8_t kind, td_slice key, td_slice value);
void td_store_del(struct td_store *store, uint8_t kind, td_slice key);
/* Ends the open batch: after a crash all of it is there or nothing. Gives the LSN behind it; 0: the
 * batch was empty. A failed store gives an LSN that never becomes durable. */
uint64_t td_store_batch_end(struct td_store *store, enum td_store_class c);
/* Bytes that a batch may have, by the shape of the log: a bigger one fails the store for good, so
 * who lets others choose sizes stays below; and the bytes of the open one. */
size_t td_store_batch_max(const struct td_store *store);
size_t td_store_batch_bytes(const struct td_store *store);

/* ---- points ---- */

enum { TD_STORE_COLUMNS_MAX = 240, TD_STORE_TEXT_MAX = 65535 };

/* One value of a row. */
struct td_cell {
    uint32_t column; /* as td_store_column() gave it */
    struct td_value value;
};

/* A series is one column of one stream: what a page draws as one line. */
static inline uint32_t td_series_of(uint32_t stream, uint32_t column)
{
    return stream << 8 | column;
}

/* Finds or makes the stream of a name (a topic), 1..65,535 bytes. TD_EFULL: streams_max. */
enum td_err td_store_stream(struct td_store *store, td_slice name, uint32_t *out);
/* Finds or makes a stream's column. TD_EFULL: it has TD_STORE_COLUMNS_MAX. */
enum td_err td_store_column(struct td_store *store, uint32_t stream, td_slice field, uint32_t *out);
/* False: there is no such series. The slices live as long as the store. */
bool td_store_series_name(const struct td_store *store, uint32_t series, td_slice *stream,
                          td_slice *field);
/* Appends a row; values of type none are left out. Gives the LSN behind it. The values are copied.
 * At equal `ts` in one stream the later row wins. TD_ERANGE: `ts` before 1970 or more than a day
 * ahead of `now`, a text over TD_STORE_TEXT_MAX; TD_EFULL: head_bytes_max. */
enum td_err td_store_row(struct td_store *store, uint32_t stream, td_wall ts, td_wall now,
                         const struct td_cell *cells, size_t count, enum td_store_class c,
                         uint64_t *lsn);
/* The newest value of each series whose rows are still in RAM (the last hour at least), in series
 * order: how a page is filled after a start. */
void td_store_latest_each(struct td_store *store,
                          void (*fn)(void *ctx, uint32_t series, td_wall ts, struct td_value value),
                          void *ctx);

/* ---- questions: answered off the loop's thread, one after another, over a snapshot ---- */

/* An answer as a table; lives during the callback. */
struct td_table {
    const td_slice *columns;
    size_t column_count;
    const struct td_value *cells; /* row after row */
    size_t row_count;
    bool cut;         /* query_rows_max or query_bytes_max ended it early */
    uint64_t damaged; /* chunks that could not be read and are left out */
};

/* err TD_OK: the answer. Else `why` is a message for people: TD_ESYNTAX (the SQL), TD_EFULL (too
 * big), TD_EAGAIN (deadline), TD_ECORRUPT, TD_EIO. */
typedef void td_store_answer(void *ctx, enum td_err err, const struct td_table *table,
                             td_slice why);

/* Asks in SQL, read-only, over
 *   points(stream, ts, field, value, time)   ts in ns since 1970, time as ISO text
 *   streams(stream, field, series)
 * with time_bucket(width, ts) ('15m' or ns), ts(text) ('2026-11-24T09:00', '-1h'), iso(ts).
 * *ticket names the question until `answer` was called. TD_EFULL: too many wait (16). */
enum td_err td_store_sql(struct td_store *store, td_slice sql, td_store_answer *answer, void *ctx,
                         uint64_t *ticket);
/* One series as columns ts, value, from <= ts < to, in order. px > 0: at most 4 points (first, min,
 * max, last) for each of px equal parts of the span; text and bool keep first and last. */
enum td_err td_store_scan(struct td_store *store, uint32_t series, td_wall from, td_wall to,
                          uint32_t px, td_store_answer *answer, void *ctx, uint64_t *ticket);
/* The asker is gone: `answer` will not be called. */
void td_store_cancel(struct td_store *store, uint64_t ticket);

/* ---- the doctor ---- */

struct td_store_health {
    uint64_t segments, records;   /* of the log, read */
    uint64_t entries;             /* of the state map in tandem.db */
    uint64_t files, chunks, rows; /* of the history */
    uint64_t damage;              /* findings */
};

/* Verifies log, state and every chunk of a directory that no hub has open, changing nothing but
 * what SQLite's own crash recovery changes. Each finding is a line in `report`: what, where,
 * remedy. TD_EEXIST: a hub has it open; TD_ENOENT: no such directory; then `report` says so. */
enum td_err td_store_check(struct td_sys *sys, const char *dir, struct td_buf *report,
                           struct td_store_health *out);

#endif
