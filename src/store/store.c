/* store: the door. Opening and closing, turns, the state map, rows. */
#include "store/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/impl.h"

#define NS_PER_DAY (INT64_C(86400) * TD_NS_PER_S)

enum { DIR_BYTES_MAX = TD_STORE_PATH_MAX - 64 };

static const td_ms class_ms[] = {
    [TD_STORE_NOW] = 0, [TD_STORE_1S] = 1000, [TD_STORE_10S] = 10000, [TD_STORE_60S] = 60000};

/* ---- configuration ---- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static struct td_store_config config_of(const struct td_store_config *c)
{
    struct td_store_config out = *c;
    out.segment_bytes = or_default(c->segment_bytes, 4u << 20) & ~4095u;
    out.segment_bytes = out.segment_bytes < 8192 ? 8192 : out.segment_bytes;
    out.segment_bytes = out.segment_bytes > 15u << 20 ? 15u << 20 : out.segment_bytes;
    out.segment_count = or_default(c->segment_count, 16);
    out.segment_count = out.segment_count < 4 ? 4 : out.segment_count;
    out.commit_bytes = or_default(c->commit_bytes, 64u << 10);
    out.staged_bytes_max = or_default(c->staged_bytes_max, 32u << 20);
    out.head_bytes_max = c->head_bytes_max != 0 ? c->head_bytes_max : 64u << 20;
    out.streams_max = or_default(c->streams_max, 200000);
    out.streams_max = out.streams_max > UINT32_MAX >> 8 ? UINT32_MAX >> 8 : out.streams_max;
    out.partition_days = or_default(c->partition_days, 1);
    out.partition_days = out.partition_days > 30 ? 30 : out.partition_days;
    out.query_bytes_max = c->query_bytes_max != 0 ? c->query_bytes_max : 16u << 20;
    out.query_rows_max = or_default(c->query_rows_max, 100000);
    out.query_ms_max = c->query_ms_max != 0 ? c->query_ms_max : 10000;
    return out;
}

/* ---- opening ---- */

static enum td_err told(struct td_buf *why, enum td_err err, const char *path, const char *remedy)
{
    (void)td_buf_printf(why, "%s: %s; %s", path, td_err_text(err), remedy);
    return err;
}

static enum td_err dir_make(struct td_store *store, const char *path, struct td_buf *why)
{
    enum td_err err = store->sys->mkdir(store->sys, path);
    if (err != TD_OK && err != TD_EEXIST) {
        return told(why, err, path, "the data directory must be on a disk that can be written");
    }
    return TD_OK;
}

/* A directory is on the disk when its name in the one above is. */
static enum td_err names_sync(struct td_store *store, struct td_buf *why)
{
    char above[TD_STORE_PATH_MAX];
    (void)snprintf(above, sizeof above, "%s", store->dir);
    size_t n = strlen(above);
    while (n > 1 && above[n - 1] == '/') {
        above[--n] = 0;
    }
    char *slash = strrchr(above, '/');
    const char *parent = slash == NULL ? "." : slash == above ? "/" : above;
    if (slash != NULL) {
        *slash = 0;
    }
    enum td_err err = store->sys->dirsync(store->sys, parent);
    err = err == TD_OK ? store->sys->dirsync(store->sys, store->dir) : err;
    return err == TD_OK ? TD_OK : told(why, err, store->dir, "the disk did not take the directory");
}

static enum td_err dirs_make(struct td_store *store, struct td_buf *why)
{
    char path[TD_STORE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/tandem.db", store->dir);
    int file;
    enum td_err err = store->sys->open(store->sys, path, TD_SYS_OPEN_READ, &file);
    if (err == TD_OK) {
        store->sys->file_close(store->sys, file);
    } else if (store->config.existing) {
        return told(why, err, path, "name the directory that `tandem serve --data` uses");
    }
    err = dir_make(store, store->dir, why);
    err = err == TD_OK ? dir_make(store, store->log.dir, why) : err;
    err = err == TD_OK ? dir_make(store, store->hist_dir, why) : err;
    return err == TD_OK ? names_sync(store, why) : err;
}

static enum td_err lock_take(struct td_store *store, struct td_buf *why)
{
    char path[TD_STORE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/lock", store->dir);
    enum td_err err = store->sys->open(store->sys, path, TD_SYS_OPEN_WRITE | TD_SYS_OPEN_CREATE,
                                       &store->lock_file);
    if (err != TD_OK) {
        return told(why, err, path, "the data directory must be writable");
    }
    err = store->sys->lock(store->sys, store->lock_file);
    if (err == TD_EEXIST) {
        (void)td_buf_printf(why,
                            "%s: another tandem has this data directory open; stop it, or give "
                            "this one its own --data",
                            store->dir);
    } else if (err != TD_OK) {
        (void)told(why, err, path, "the data directory must be on a disk that can lock files");
    }
    return err;
}

/* tandem.db: one connection, WAL with its index in memory, each commit synced. */
static enum td_err db_open(struct td_store *store)
{
    char path[TD_STORE_PATH_MAX], wal[TD_STORE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/tandem.db", store->dir);
    (void)snprintf(wal, sizeof wal, "%s/tandem.db-wal", store->dir);
    enum td_err err = td_file_prove(store->sys, wal, UINT64_MAX);
    err = err == TD_OK ? td_db_open(&store->vfs, path, TD_DB_CREATE, &store->db) : err;
    err = err == TD_OK ? td_db_exec(store->db, "PRAGMA locking_mode = EXCLUSIVE;"
                                               "PRAGMA journal_mode = WAL;"
                                               "PRAGMA synchronous = FULL;")
                       : err;
    return err == TD_OK ? td_state_schema(store->db) : err;
}

static enum td_err db_ready(struct td_store *store, struct td_buf *why)
{
    enum td_err err = td_store_db_ready(store, db_open);
    if (err != TD_OK) {
        (void)sqlite3_close_v2(store->db); /* nothing was written */
        store->db = NULL;
        return told(why, err, store->dir, "tandem.db could not be opened");
    }
    return TD_OK;
}

static struct td_store *store_new(const struct td_store_config *config, struct td_sys *sys)
{
    struct td_store *store = td_alloc(sizeof *store);
    char path[TD_STORE_PATH_MAX];
    uint64_t seed[2];
    sys->random(sys, seed, sizeof seed);
    store->sys = sys;
    store->config = config_of(config);
    store->dir = td_strdup(td_slice_of(config->dir));
    store->lock_file = -1;
    store->now = sys->mono(sys);
    store->starting = true;
    (void)snprintf(store->hist_dir, sizeof store->hist_dir, "%s/hist", store->dir);
    (void)snprintf(store->damaged_dir, sizeof store->damaged_dir, "%s/damaged", store->dir);
    (void)snprintf(path, sizeof path, "%s/log", store->dir);
    if (config->existing) {
        td_store_shape(sys, path, &store->config.segment_bytes, &store->config.segment_count);
    }
    td_vfs_init(&store->vfs, sys);
    store->parts = (struct td_parts){.vfs = &store->vfs,
                                     .dir = store->hist_dir,
                                     .gate = sqlite3_mutex_alloc(SQLITE_MUTEX_FAST),
                                     .days = store->config.partition_days};
    td_log_init(&store->log, sys, path, store->config.segment_bytes, store->config.segment_count,
                store->config.commit_bytes, store->config.staged_bytes_max);
    td_buf_init(&store->batch, SIZE_MAX / 4);
    td_buf_init(&store->scratch, SIZE_MAX / 4);
    td_buf_init(&store->damage, 1 << 16);
    td_tail_init(&store->tail);
    td_dict_init(&store->dict, store->config.streams_max, seed[0]);
    td_hist_init(&store->hist, store->config.partition_days, seed[1]);
    td_keeper_init(&store->keeper, store);
    td_questions_init(&store->questions);
    store->stats.segment_count = store->config.segment_count;
    return store;
}

static void store_free(struct td_store *store, bool crashed)
{
    store->vfs.dead = crashed;
    td_questions_fini(&store->questions);
    td_hist_fini(&store->hist);
    td_dict_fini(&store->dict);
    td_keeper_fini(&store->keeper);
    td_tail_fini(&store->tail);
    (void)sqlite3_close_v2(store->db); /* what counts is committed */
    td_log_fini(&store->log, crashed);
    if (store->lock_file >= 0 && !crashed) {
        store->sys->file_close(store->sys, store->lock_file);
    }
    td_vfs_fini(&store->vfs);
    sqlite3_mutex_free(store->parts.gate);
    td_buf_fini(&store->batch);
    td_buf_fini(&store->scratch);
    td_buf_fini(&store->damage);
    free(store->dir);
    free(store);
}

enum td_err td_store_open(const struct td_store_config *config, struct td_sys *sys,
                          struct td_store **out, struct td_buf *why)
{
    if (strlen(config->dir) > DIR_BYTES_MAX) {
        return told(why, TD_ERANGE, config->dir, "give a data directory with a shorter name");
    }
    struct td_store *store = store_new(config, sys);
    enum td_err err = dirs_make(store, why);
    err = err == TD_OK ? lock_take(store, why) : err;
    err = err == TD_OK ? db_ready(store, why) : err;
    err = err == TD_OK ? td_store_recover(store, why) : err;
    if (err != TD_OK) {
        store_free(store, false);
        return err;
    }
    *out = store;
    return TD_OK;
}

bool td_store_stop(struct td_store *store, td_mono now)
{
    store->stopping = true;
    td_questions_refuse(store);
    td_store_turn(store, now);
    return td_log_idle(&store->log) && !store->keeper.busy && !store->questions.busy;
}

void td_store_close(struct td_store *store)
{
    td_assert(!store->log.busy && !store->keeper.busy && !store->questions.busy);
    store_free(store, false);
}

void td_store_abandon(struct td_store *store)
{
    store_free(store, true);
}

void td_store_damage(struct td_store *store, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    store->stats.damaged++;
    (void)td_buf_printf(&store->damage, "%s\n", line); /* over its bound the counter remains */
}

/* ---- turns ---- */

static void starting_end(struct td_store *store)
{
    if (store->starting) {
        store->starting = false;
        td_tail_fini(&store->tail);
    }
}

void td_store_turn(struct td_store *store, td_mono now)
{
    starting_end(store);
    store->now = now;
    td_keeper_turn(&store->keeper, now);
    td_log_turn(&store->log, now, store->stopping);
    td_questions_turn(store, now);
}

td_mono td_store_deadline(const struct td_store *store)
{
    td_mono at = td_mono_min(td_log_deadline(&store->log), td_keeper_deadline(&store->keeper));
    return td_mono_min(at, td_questions_deadline(&store->questions));
}

uint64_t td_store_durable(const struct td_store *store)
{
    return store->log.durable;
}

bool td_store_failed(const struct td_store *store)
{
    return store->log.failed;
}

const char *td_store_failure(const struct td_store *store)
{
    return store->log.failure;
}

bool td_store_pressure(const struct td_store *store)
{
    return td_log_staged(&store->log) > store->config.staged_bytes_max / 8 ||
           td_log_blocked(&store->log) || store->hist.bytes > store->config.head_bytes_max;
}

const struct td_store_stats *td_store_stats(struct td_store *store)
{
    struct td_store_stats *s = &store->stats; /* some of it is kept elsewhere */
    s->commits = store->log.commits;
    s->commit_bytes = store->log.commit_bytes_total;
    s->records = store->log.records;
    s->staged_bytes = td_log_staged(&store->log);
    s->head_bytes = store->hist.bytes;
    s->streams = store->dict.count;
    s->segments_used = (uint32_t)td_log_used(&store->log);
    s->damage = td_buf_slice(&store->damage);
    return s;
}

/* ---- the state map ---- */

enum td_err td_store_state_each(struct td_store *store, uint8_t kind,
                                void (*fn)(void *ctx, td_slice key, td_slice value), void *ctx)
{
    td_assert(store->starting);
    return td_tail_each(&store->tail, store->db, kind, fn, ctx);
}

/* By the last turn's clock: after a long wait it is in the past, and there was nothing to gather
 * with anyway. */
static td_mono due_of(const struct td_store *store, enum td_store_class c)
{
    return td_mono_after(store->now, class_ms[c]);
}

void td_store_put(struct td_store *store, uint8_t kind, td_slice key, td_slice value)
{
    td_assert(key.n <= TD_STORE_KEY_MAX);
    const struct td_op op = {.kind = kind, .key = key, .value = value};
    if (td_op_encode(&store->batch, &op) != TD_OK) {
        td_log_fail(&store->log, "no memory for a batch", TD_ENOMEM);
    }
}

void td_store_del(struct td_store *store, uint8_t kind, td_slice key)
{
    td_assert(key.n <= TD_STORE_KEY_MAX);
    const struct td_op op = {.kind = kind, .gone = true, .key = key};
    if (td_op_encode(&store->batch, &op) != TD_OK) {
        td_log_fail(&store->log, "no memory for a batch", TD_ENOMEM);
    }
}

size_t td_store_batch_max(const struct td_store *store)
{
    size_t most = td_log_payload_max(&store->log), half = store->config.segment_count / 2;
    return half < 3 ? most : most * (half - 1) - 1;
}

size_t td_store_batch_bytes(const struct td_store *store)
{
    return store->batch.n;
}

/* A batch over one record's length becomes a chain of parts. */
static uint64_t chain_write(struct td_store *store, td_slice batch, td_mono due)
{
    size_t most = td_log_payload_max(&store->log) - 10;
    uint64_t from = 0, end = 0;
    for (uint64_t index = 0; batch.n > 0; index++) {
        td_slice part = td_slice_head(batch, most);
        batch = td_slice_skip(batch, part.n);
        td_buf_clear(&store->scratch);
        (void)td_buf_add_varint(&store->scratch, index); /* the buffer has no bound that matters */
        (void)td_buf_add(&store->scratch, part);
        uint8_t kind = batch.n > 0 ? TD_RECORD_STATE_PART : TD_RECORD_STATE_END;
        end = td_log_append(&store->log, kind, td_buf_slice(&store->scratch), due);
        from = index == 0 ? end - TD_RECORD_HEAD - store->scratch.n : from;
    }
    td_log_chain(&store->log, from, end);
    return end;
}

uint64_t td_store_batch_write(struct td_store *store, td_slice batch, td_mono due)
{
    if (store->log.failed) {
        return UINT64_MAX;
    }
    if (batch.n <= td_log_payload_max(&store->log)) {
        return td_log_append(&store->log, TD_RECORD_STATE, batch, due);
    }
    if (batch.n > td_store_batch_max(store)) {
        td_log_fail(&store->log, "one batch takes more than half of the log (log.segment_count)",
                    TD_EFULL);
        return UINT64_MAX;
    }
    return chain_write(store, batch, due);
}

uint64_t td_store_batch_end(struct td_store *store, enum td_store_class c)
{
    if (store->batch.n == 0) {
        return 0;
    }
    starting_end(store);
    uint64_t lsn = td_store_batch_write(store, td_buf_slice(&store->batch), due_of(store, c));
    td_buf_clear(&store->batch);
    if (store->batch.cap > 1u << 20) { /* one big batch must not stay for ever */
        td_buf_fini(&store->batch);
    }
    return lsn;
}

/* ---- names ---- */

static void definition_log(struct td_store *store, const struct td_stream *s)
{
    struct td_buf value, batch;
    uint8_t key[4];
    td_buf_init(&value, SIZE_MAX / 4);
    td_buf_init(&batch, SIZE_MAX / 4);
    td_dict_key(s->id, key);
    td_dict_encode(s, &value);
    const struct td_op op = {TD_STATE_STREAM, false, {key, sizeof key}, td_buf_slice(&value)};
    (void)td_op_encode(&batch, &op); /* the buffer has no bound that matters */
    starting_end(store);
    (void)td_store_batch_write(store, td_buf_slice(&batch), due_of(store, TD_STORE_60S));
    td_buf_fini(&value);
    td_buf_fini(&batch);
}

enum td_err td_store_stream(struct td_store *store, td_slice name, uint32_t *out)
{
    struct td_stream *s = td_dict_find(&store->dict, name);
    if (s == NULL) {
        if (name.n == 0 || name.n > UINT16_MAX) {
            return TD_ERANGE;
        }
        s = td_dict_add(&store->dict, name);
        if (s == NULL) {
            return TD_EFULL;
        }
        definition_log(store, s);
    }
    *out = s->id;
    return TD_OK;
}

enum td_err td_store_column(struct td_store *store, uint32_t stream, td_slice field, uint32_t *out)
{
    struct td_stream *s = td_dict_get(&store->dict, stream);
    if (s == NULL) {
        return TD_ENOENT;
    }
    if (td_dict_column(s, field, out)) {
        return TD_OK;
    }
    if (field.n > TD_STORE_FIELD_MAX) {
        return TD_ERANGE;
    }
    uint32_t column;
    if (!td_dict_column_add(&store->dict, s, field, &column)) {
        return TD_EFULL;
    }
    definition_log(store, s);
    *out = column;
    return TD_OK;
}

bool td_store_series_name(const struct td_store *store, uint32_t series, td_slice *stream,
                          td_slice *field)
{
    const struct td_stream *s = td_dict_get(&store->dict, series >> 8);
    if (s == NULL || s->name.p == NULL || (series & 0xFF) >= s->columns) {
        return false;
    }
    *stream = s->name;
    *field = s->fields[series & 0xFF];
    return true;
}

/* ---- rows ---- */

static bool row_sound(const struct td_stream *s, td_wall ts, td_wall now,
                      const struct td_cell *cells, size_t count)
{
    if (ts < 0 || (now < INT64_MAX - NS_PER_DAY && ts > now + NS_PER_DAY) ||
        count > TD_STORE_COLUMNS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct td_value *v = &cells[i].value;
        if (cells[i].column >= s->columns ||
            (v->type == TD_VALUE_TEXT && v->as.text.n > TD_STORE_TEXT_MAX)) {
            return false;
        }
    }
    return true;
}

enum td_err td_store_row(struct td_store *store, uint32_t stream, td_wall ts, td_wall now,
                         const struct td_cell *cells, size_t count, enum td_store_class c,
                         uint64_t *lsn)
{
    struct td_stream *s = td_dict_get(&store->dict, stream);
    if (s == NULL || !row_sound(s, ts, now, cells, count)) {
        store->stats.rows_refused++;
        return s == NULL ? TD_ENOENT : TD_ERANGE;
    }
    if (store->hist.bytes > store->config.head_bytes_max + store->config.head_bytes_max / 4) {
        store->stats.rows_refused++;
        return TD_EFULL;
    }
    starting_end(store);
    const struct td_row row = {stream, ts, cells, count};
    struct td_rows_state before = store->rows_state;
    td_buf_clear(&store->scratch);
    (void)td_rows_encode(&store->scratch, &store->rows_state, &row); /* no bound that matters */
    if (store->scratch.n > td_log_payload_max(&store->log) / 2) {
        store->rows_state = before;
        store->stats.rows_refused++;
        return TD_ERANGE;
    }
    if (td_log_open(&store->log, TD_RECORD_ROWS, store->scratch.n + 32)) {
        store->rows_state = (struct td_rows_state){0};
        td_buf_clear(&store->scratch);
        (void)td_rows_encode(&store->scratch, &store->rows_state, &row);
    }
    *lsn = td_log_extend(&store->log, td_buf_slice(&store->scratch), due_of(store, c));
    if (store->log.failed) {
        return TD_EIO;
    }
    td_hist_add(&store->hist, s, &row, *lsn, store->now);
    store->stats.rows++;
    store->stats.points += count;
    return TD_OK;
}

bool td_store_relog(struct td_store *store, struct td_head *head)
{
    struct td_cell cells[TD_STORE_COLUMNS_MAX];
    struct td_rows_state state = {0};
    td_buf_clear(&store->scratch);
    for (uint32_t i = 0; i < head->block->n; i++) {
        const struct td_row row = {head->stream->id, head->block->ts[i], cells,
                                   td_block_row(head->block, i, cells)};
        (void)td_rows_encode(&store->scratch, &state, &row); /* no bound that matters */
    }
    if (store->scratch.n > td_log_payload_max(&store->log) / 2) {
        return false;
    }
    uint64_t lsn = td_log_append(&store->log, TD_RECORD_HEAD_ROWS, td_buf_slice(&store->scratch),
                                 due_of(store, TD_STORE_1S));
    td_hist_relogged(&store->hist, head, lsn);
    return true;
}

/* ---- what is in RAM ---- */

struct latest {
    td_wall ts[TD_STORE_COLUMNS_MAX];
    const struct td_block *block[TD_STORE_COLUMNS_MAX];
    uint32_t row[TD_STORE_COLUMNS_MAX];
};

static void latest_of(struct latest *l, const struct td_block *b, uint32_t from, uint32_t to)
{
    for (uint32_t c = 0; c < b->columns; c++) {
        for (uint32_t i = to; i > from && b->column[c].tag != NULL; i--) {
            bool newer = l->block[c] == NULL || b->ts[i - 1] >= l->ts[c];
            if (newer && b->column[c].tag[i - 1] != TD_VALUE_NONE) {
                l->ts[c] = b->ts[i - 1];
                l->block[c] = b;
                l->row[c] = i - 1;
            }
        }
    }
}

static void latest_runs(struct latest *l, const struct td_runs *runs, const struct td_stream *s)
{
    for (const struct td_run *run = runs->first; run != NULL && s->frozen > 0; run = run->next) {
        if (run->stream == s) {
            latest_of(l, run->block, run->from, run->to);
        }
    }
}

void td_store_latest_each(struct td_store *store,
                          void (*fn)(void *ctx, uint32_t series, td_wall ts, struct td_value value),
                          void *ctx)
{
    struct latest *l = td_alloc(sizeof *l);
    for (uint32_t id = 0; id < store->dict.count; id++) {
        const struct td_stream *s = store->dict.streams[id];
        memset(l->block, 0, s->columns * sizeof l->block[0]); /* all that is looked at */
        latest_runs(l, &store->hist.writing, s);
        latest_runs(l, &store->hist.frozen, s);
        for (const struct td_head *h = s->heads; h != NULL; h = h->sibling) {
            latest_of(l, h->block, 0, h->block->n);
        }
        for (uint32_t c = 0; c < s->columns; c++) {
            if (l->block[c] != NULL) {
                fn(ctx, td_series_of(id, c), l->ts[c], td_block_get(l->block[c], l->row[c], c));
            }
        }
    }
    free(l);
}
