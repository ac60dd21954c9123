/* store, private: the parts together. */
#ifndef TD_STORE_IMPL_H
#define TD_STORE_IMPL_H

#include <stdatomic.h>

#include "store/log.h"
#include "store/scan.h"
#include "store/state.h"
#include "store/store.h"

/* ---- keeper: from log and heads to SQLite, one td_work at a time on the CHUNK lane ---- */

struct td_keeper {
    struct td_work work; /* first */
    struct td_store *store;
    bool busy;
    /* The order. */
    struct td_state_apply apply; /* to == 0: nothing */
    struct td_segment_view *views;
    td_wall expire_before; /* 0: nothing */
    /* The outcome. */
    struct td_part_written written;
    enum td_err chunk_err, apply_err;
    uint64_t set_aside; /* partition files that were damaged */
    /* Between works. */
    uint64_t applied;  /* tandem.db has all batches before this LSN */
    uint64_t relogged; /* the LSN behind the rows that were logged again */
    td_mono retry_at, expire_at, wait_at;
};

void td_keeper_init(struct td_keeper *k, struct td_store *store);
void td_keeper_fini(struct td_keeper *k);
void td_keeper_turn(struct td_keeper *k, td_mono now);
td_mono td_keeper_deadline(const struct td_keeper *k);
/* While starting: all of the log into SQLite, at once. */
enum td_err td_keeper_flush(struct td_keeper *k);

/* ---- questions: a queue, one td_work at a time on the QUERY lane ---- */

enum { TD_QUESTIONS_MAX = 16 };

struct td_result {
    struct td_arena arena; /* texts, column names */
    td_slice *columns;
    size_t column_count;
    struct td_value *cells;
    size_t cell_count, cell_cap;
    size_t bytes_max, rows_max;
    bool cut;
};

struct td_question {
    struct td_work work; /* first */
    struct td_question *next;
    struct td_store *store;
    uint64_t ticket;
    td_store_answer *answer; /* NULL: cancelled */
    void *ctx;
    char *sql; /* NULL: a scan of one series */
    uint32_t series, px;
    td_wall from, to, now;
    struct td_snapshot snap;
    struct td_result result;
    enum td_err err;
    struct td_buf why;
    uint64_t damaged;
    td_mono deadline;
    /* Set by the loop when the deadline has come, read by the question's thread now and then; it
     * orders nothing else. */
    atomic_bool stop;
};

struct td_questions {
    struct td_question *first, **end; /* the first is under way when `busy` */
    size_t count;
    bool busy;
    uint64_t ticket;
};

void td_questions_init(struct td_questions *q);
/* Drops all without an answer. */
void td_questions_fini(struct td_questions *q);
void td_questions_turn(struct td_store *store, td_mono now);
td_mono td_questions_deadline(const struct td_questions *q);
/* Tells those that wait that there will be no answer. */
void td_questions_refuse(struct td_store *store);

void td_result_init(struct td_result *r, size_t bytes_max, size_t rows_max);
void td_result_fini(struct td_result *r);
void td_result_columns(struct td_result *r, const td_slice *names, size_t count);
/* Adds a cell, copying its text; false: a bound is reached, the answer is cut before this row. */
bool td_result_cell(struct td_result *r, struct td_value v);

/* Runs a question's SQL on the question's thread. */
void td_sql_run(struct td_question *q, struct td_reader *reader);

/* ---- the store ---- */

struct td_store {
    struct td_sys *sys;
    struct td_store_config config; /* defaults filled in */
    char *dir;
    char hist_dir[TD_STORE_PATH_MAX], damaged_dir[TD_STORE_PATH_MAX];
    int lock_file;
    struct td_vfs vfs;
    sqlite3 *db; /* tandem.db: the loop's while starting, then the CHUNK lane's */
    struct td_parts parts;
    struct td_log log;
    struct td_buf batch; /* the open batch of the state map */
    bool starting;       /* the tail is still there */
    struct td_tail tail;
    struct td_dict dict;
    struct td_hist hist;
    struct td_rows_state rows_state; /* of the log's open record */
    struct td_buf scratch;
    struct td_keeper keeper;
    struct td_questions questions;
    struct td_store_stats stats;
    struct td_buf damage;
    td_mono now; /* of the last turn */
    bool stopping;
};

/* The shape of the ring that a directory has; untouched if there is none. */
void td_store_shape(struct td_sys *sys, const char *log_dir, uint32_t *segment_bytes,
                    uint32_t *segment_count);
/* Reads the log; on failure `why` holds a message. */
enum td_err td_store_recover(struct td_store *store, struct td_buf *why);
typedef enum td_err td_store_opener(struct td_store *store);

/* Opens tandem.db with `opener`; one that cannot be read is set aside and a new one gets what can
 * be saved of it. */
enum td_err td_store_db_ready(struct td_store *store, td_store_opener *opener);
/* One line into the damage report. */
void td_store_damage(struct td_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A batch as one or more records. */
uint64_t td_store_batch_write(struct td_store *store, td_slice batch, td_mono due);
/* Logs a head again as one record; false: it is too big for that. */
bool td_store_relog(struct td_store *store, struct td_head *head);

#endif
