/* store: the doctor. Reads everything there is, by the code that reads it when running, and says
 * what cannot be read, where, and what to do. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/dict.h"
#include "store/part.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/store.h"

struct check {
    struct td_sys *sys;
    const char *dir;
    struct td_vfs vfs;
    struct td_buf *report;
    struct td_store_health *health;
};

__attribute__((format(printf, 2, 3))) static void found(struct check *c, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->health->damage++;
    (void)td_buf_printf(c->report, "%s\n", line); /* over its bound the count remains */
}

/* ---- log ---- */

struct segment {
    struct td_segment_head head;
    char path[TD_STORE_PATH_MAX];
};

struct segments {
    struct segment *at;
    size_t count;
};

static int segment_cmp(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return x->head.number < y->head.number ? -1 : x->head.number > y->head.number;
}

static bool all_zero(td_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != 0) {
            return false;
        }
    }
    return true;
}

static void segment_look(struct check *c, td_slice name, struct segments *all)
{
    struct segment s;
    (void)snprintf(s.path, sizeof s.path, "%s/log/%.*s", c->dir, (int)name.n, (const char *)name.p);
    struct td_buf bytes;
    td_buf_init(&bytes, TD_SEGMENT_HEAD);
    enum td_err err = td_segment_load(c->sys, s.path, TD_SEGMENT_HEAD, &bytes);
    if (err != TD_OK) {
        found(c, "%s: %s; check the disk", s.path, td_err_text(err));
    } else if (td_segment_head_decode(td_buf_slice(&bytes), &s.head) == TD_OK) {
        all->at = td_realloc(all->at, (all->count + 1) * sizeof *all->at);
        all->at[all->count++] = s;
    } else if (!all_zero(td_buf_slice(&bytes))) {
        found(c,
              "%s: its head cannot be read; the next start reads its records if it is still "
              "needed",
              s.path);
    }
    td_buf_fini(&bytes);
}

/* Whether a record's payload is what its kind says. */
static bool payload_sound(const struct td_record *rec, struct td_cell *cells)
{
    struct td_cursor c = td_cursor_of(rec->payload);
    if (rec->kind == TD_RECORD_ROWS || rec->kind == TD_RECORD_HEAD_ROWS) {
        struct td_rows_state state = {0};
        struct td_row row;
        while (td_rows_next(&c, &state, cells, &row)) {
        }
    } else if (rec->kind == TD_RECORD_STATE) {
        for (struct td_op op; td_op_next(&c, &op);) {
        }
    }
    return c.err == TD_OK;
}

static void segment_check(struct check *c, const struct segment *s, const struct segment *next,
                          struct td_cell *cells)
{
    struct td_buf bytes;
    td_buf_init(&bytes, UINT32_MAX);
    enum td_err err = td_segment_load(c->sys, s->path, s->head.bytes, &bytes);
    if (err != TD_OK) {
        found(c, "%s: %s; check the disk", s->path, td_err_text(err));
    } else {
        struct td_segment_reader r;
        struct td_record rec;
        bool follows = next != NULL && next->head.number == s->head.number + 1;
        td_segment_read(&r, td_buf_slice(&bytes), &s->head,
                        follows        ? next->head.prev_end
                        : next != NULL ? UINT64_MAX
                                       : 0);
        while (td_segment_next(&r, &rec)) {
            c->health->records++;
            if (!payload_sound(&rec, cells)) {
                found(c, "%s: the record at LSN %llu ends early; the rest of it is lost", s->path,
                      (unsigned long long)rec.lsn);
            }
        }
        if (r.damaged > 0) {
            found(c,
                  "%s: %llu unreadable places, the last at LSN %llu; the next start keeps a "
                  "copy in damaged/ and reads the rest",
                  s->path, (unsigned long long)r.damaged, (unsigned long long)r.bad_lsn);
        }
        c->health->segments++;
    }
    td_buf_fini(&bytes);
}

static void log_check(struct check *c)
{
    char dir[TD_STORE_PATH_MAX];
    struct td_buf names;
    struct segments all = {NULL, 0};
    (void)snprintf(dir, sizeof dir, "%s/log", c->dir);
    td_buf_init(&names, 1 << 20);
    enum td_err err = c->sys->list(c->sys, dir, &names);
    if (err != TD_OK) {
        found(c, "%s: %s; what was not yet in tandem.db and hist/ is lost", dir, td_err_text(err));
    }
    for (td_slice rest = td_buf_slice(&names); err == TD_OK && rest.n > 0;) {
        td_slice name = td_slice_head(rest, td_slice_find(rest, 0));
        rest = td_slice_skip(rest, name.n + 1);
        segment_look(c, name, &all);
    }
    if (all.count > 0) {
        qsort(all.at, all.count, sizeof *all.at, segment_cmp);
    }
    struct td_cell *cells = td_alloc(TD_STORE_COLUMNS_MAX * sizeof *cells);
    uint64_t keep = all.count > 0 ? all.at[all.count - 1].head.keep : 0;
    for (size_t i = 0; i < all.count; i++) {
        if (all.at[i].head.number >= keep) {
            segment_check(c, &all.at[i], i + 1 < all.count ? &all.at[i + 1] : NULL, cells);
        }
    }
    free(cells);
    free(all.at);
    td_buf_fini(&names);
}

/* ---- databases ---- */

/* SQLite's own check; false: it found something, which is told. */
static bool integrity_check(struct check *c, sqlite3 *db, const char *path, const char *remedy)
{
    sqlite3_stmt *stmt = td_db_prepare(db, "PRAGMA integrity_check(1)");
    int rc = stmt != NULL ? sqlite3_step(stmt) : sqlite3_errcode(db);
    td_slice said = rc == SQLITE_ROW ? td_db_column_slice(stmt, 0) : (td_slice){NULL, 0};
    bool sound = td_slice_eq(said, TD_STR("ok"));
    if (!sound) {
        found(c, "%s: %.*s; %s", path, said.n > 0 ? (int)said.n : (int)strlen(sqlite3_errmsg(db)),
              said.n > 0 ? (const char *)said.p : sqlite3_errmsg(db), remedy);
    }
    (void)sqlite3_finalize(stmt); /* repeats the step's code */
    return sound;
}

static void state_check(struct check *c)
{
    char path[TD_STORE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/tandem.db", c->dir);
    sqlite3 *db;
    enum td_err err = td_db_open(&c->vfs, path, 0, &db);
    err = err == TD_OK ? td_db_exec(db, "PRAGMA locking_mode = EXCLUSIVE") : err;
    if (err != TD_OK) {
        found(c, "%s: %s; restore it from a backup", path, td_err_text(err));
        return;
    }
    const char *remedy = "stop the hub and run `sqlite3 tandem.db .recover` into a new file";
    if (integrity_check(c, db, path, remedy)) {
        sqlite3_stmt *stmt = td_db_prepare(db, "SELECT kind, key, value FROM state");
        struct td_dict dict;
        td_dict_init(&dict, UINT32_MAX, 0);
        while (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW) {
            c->health->entries++;
            if (sqlite3_column_int(stmt, 0) == TD_STATE_STREAM &&
                td_dict_decode(&dict, td_db_column_slice(stmt, 1), td_db_column_slice(stmt, 2)) !=
                    TD_OK) {
                found(c,
                      "%s: the definition of a stream cannot be read; its points show up as "
                      "lost/<number>",
                      path);
            }
        }
        td_dict_fini(&dict);
        (void)sqlite3_finalize(stmt); /* the check above read it all */
    }
    (void)sqlite3_close_v2(db); /* nothing was written */
}

static void chunk_check(struct check *c, sqlite3_stmt *stmt, const char *path)
{
    struct td_block *b;
    int64_t n = sqlite3_column_int64(stmt, 4);
    enum td_err err = n < 1 || n > TD_CHUNK_ROWS_MAX ? TD_ECORRUPT : TD_OK;
    if (err == TD_OK) {
        err = td_chunk_decode(td_db_column_slice(stmt, 5), td_db_column_slice(stmt, 6), (uint32_t)n,
                              &b);
    }
    if (err == TD_OK) {
        bool same = b->ts[0] == sqlite3_column_int64(stmt, 2) &&
                    b->ts[b->n - 1] == sqlite3_column_int64(stmt, 3);
        err = same ? TD_OK : TD_ECORRUPT;
        c->health->rows += b->n;
        td_block_unref(b);
    }
    c->health->chunks++;
    if (err != TD_OK) {
        found(c,
              "%s: chunk %lld of stream %lld: %s; its points are left out of answers, a backup "
              "of the file may hold them",
              path, (long long)sqlite3_column_int64(stmt, 0),
              (long long)sqlite3_column_int64(stmt, 1), td_err_text(err));
    }
}

/* Each chunk must be named in the directory, or no question finds it. */
static void directory_check(struct check *c, const struct td_parts *parts, int64_t day,
                            const char *path, uint64_t chunks)
{
    struct td_part part;
    enum td_err err = td_part_open(parts, day, INT64_MIN, INT64_MAX, &part);
    if (err != TD_OK || part.count != chunks) {
        found(c, "%s: the directory names %llu of %llu chunks; restore the file from a backup",
              path, err == TD_OK ? (unsigned long long)part.count : 0ull,
              (unsigned long long)chunks);
    }
    if (err == TD_OK) {
        td_part_close(&part);
    }
}

static void part_check(struct check *c, const struct td_parts *parts, int64_t day)
{
    char path[TD_STORE_PATH_MAX];
    sqlite3 *db;
    td_part_path(parts, day, path, sizeof path);
    enum td_err err = td_db_open(&c->vfs, path, 0, &db);
    if (err != TD_OK) {
        found(c, "%s: %s; restore it from a backup", path, td_err_text(err));
        return;
    }
    c->health->files++;
    uint64_t before = c->health->chunks;
    if (integrity_check(c, db, path, "`sqlite3 FILE .recover` may save its chunks")) {
        sqlite3_stmt *stmt =
            td_db_prepare(db, "SELECT id, stream, t0, t1, n, head, data FROM chunk");
        while (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW) {
            chunk_check(c, stmt, path);
        }
        bool tables = stmt != NULL;   /* a crash while it was made leaves none */
        (void)sqlite3_finalize(stmt); /* the check above read it all */
        if (tables) {
            directory_check(c, parts, day, path, c->health->chunks - before);
        }
    }
    (void)sqlite3_close_v2(db); /* nothing was written */
}

static void history_check(struct check *c)
{
    char dir[TD_STORE_PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s/hist", c->dir);
    struct td_parts parts = {
        .vfs = &c->vfs, .dir = dir, .gate = sqlite3_mutex_alloc(SQLITE_MUTEX_FAST), .days = 1};
    int64_t *days = NULL;
    size_t count = 0;
    enum td_err err = td_part_list(&parts, &days, &count);
    if (err != TD_OK) {
        found(c, "%s: %s; check the disk", dir, td_err_text(err));
    }
    for (size_t i = 0; i < count; i++) {
        part_check(c, &parts, days[i]);
    }
    free(days);
    sqlite3_mutex_free(parts.gate);
}

/* ---- the door ---- */

static enum td_err lock_take(struct check *c, int *file)
{
    char path[TD_STORE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/lock", c->dir);
    enum td_err err = c->sys->open(c->sys, path, TD_SYS_OPEN_WRITE, file);
    if (err != TD_OK) {
        (void)td_buf_printf(c->report,
                            "%s: %s; name the directory that `tandem serve --data` uses\n", path,
                            td_err_text(err));
        return err;
    }
    err = c->sys->lock(c->sys, *file);
    if (err != TD_OK) {
        c->sys->file_close(c->sys, *file);
        (void)td_buf_printf(c->report, "%s: %s\n", c->dir,
                            err == TD_EEXIST ? "a hub has it open; stop the hub first"
                                             : td_err_text(err));
    }
    return err;
}

enum td_err td_store_check(struct td_sys *sys, const char *dir, struct td_buf *report,
                           struct td_store_health *out)
{
    struct check c = {.sys = sys, .dir = dir, .report = report, .health = out};
    int file;
    *out = (struct td_store_health){0};
    enum td_err err = lock_take(&c, &file);
    if (err != TD_OK) {
        return err;
    }
    td_vfs_init(&c.vfs, sys);
    log_check(&c);
    state_check(&c);
    history_check(&c);
    td_vfs_fini(&c.vfs);
    sys->file_close(sys, file);
    return TD_OK;
}
