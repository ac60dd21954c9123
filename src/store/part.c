/* store: partition files. */
#include "store/part.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_DAY (INT64_C(86400) * TD_NS_PER_S)
#define NS_PER_HOUR (INT64_C(3600) * TD_NS_PER_S)

enum { SPAN_DAYS_MOST = 30 };

/* ---- names ---- */

/* Days since 1970 to year, month, day (Gregorian; Hinnant's algorithm). */
static void civil_of_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

static int64_t days_of_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void td_part_path(const struct td_parts *parts, int64_t start, char *out, size_t size)
{
    int year, month, day;
    civil_of_days(start, &year, &month, &day);
    (void)snprintf(out, size, "%s/raw-%04d%02d%02d.0.db", parts->dir, year, month, day);
}

static bool digits(td_slice s, size_t at, size_t n, int64_t *out)
{
    int64_t v = 0;
    for (size_t i = at; i < at + n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        v = v * 10 + (s.p[i] - '0');
    }
    *out = v;
    return true;
}

bool td_part_name(td_slice name, int64_t *start_day)
{
    int64_t year, month, day;
    if (name.n != 17 || !td_slice_starts(name, TD_STR("raw-")) ||
        !td_slice_eq(td_slice_skip(name, 12), TD_STR(".0.db")) || !digits(name, 4, 4, &year) ||
        !digits(name, 8, 2, &month) || !digits(name, 10, 2, &day) || year < 1970) {
        return false;
    }
    *start_day = days_of_civil(year, month, day);
    return true;
}

enum td_err td_part_list(const struct td_parts *parts, int64_t **days, size_t *count)
{
    struct td_buf names;
    td_buf_init(&names, 1 << 24);
    struct td_sys *sys = parts->vfs->sys;
    enum td_err err = sys->list(sys, parts->dir, &names);
    err = err == TD_ENOENT ? TD_OK : err;
    int64_t *found = td_alloc((names.n / 17 + 1) * sizeof *found);
    size_t n = 0;
    for (td_slice rest = td_buf_slice(&names); err == TD_OK && rest.n > 0;) {
        td_slice name = td_slice_head(rest, td_slice_find(rest, 0));
        rest = td_slice_skip(rest, name.n + 1);
        n += td_part_name(name, &found[n]);
    }
    td_buf_fini(&names);
    *days = found; /* names sort as their days */
    *count = n;
    return err;
}

static enum td_err part_db(const struct td_parts *parts, int64_t start_day, unsigned how,
                           sqlite3 **out)
{
    char path[TD_STORE_PATH_MAX];
    td_part_path(parts, start_day, path, sizeof path);
    return td_db_open(parts->vfs, path, how, out);
}

/* ---- writing ---- */

struct writer {
    sqlite3 *db;
    sqlite3_stmt *chunk, *stream, *col, *dirty, *grp;
    struct td_buf dir;
    struct td_chunk_ref before;
    int64_t t0, t1;
    struct td_part_written *written;
    enum td_err err;
};

static enum td_err schema_make(sqlite3 *db, uint32_t days)
{
    char meta[160];
    (void)snprintf(meta, sizeof meta,
                   "INSERT OR IGNORE INTO meta VALUES('format', 1);"
                   "INSERT OR IGNORE INTO meta VALUES('span_days', %u);",
                   (unsigned)days);
    enum td_err err = td_db_exec(
        db, "PRAGMA page_size = 16384;"
            "PRAGMA journal_mode = PERSIST;"
            "PRAGMA synchronous = FULL;"
            "BEGIN IMMEDIATE;"
            "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value);"
            "CREATE TABLE IF NOT EXISTS stream(id INTEGER PRIMARY KEY, name TEXT, tags TEXT);"
            "CREATE TABLE IF NOT EXISTS col(stream INTEGER, id INTEGER, name TEXT, type TEXT,"
            " unit TEXT, PRIMARY KEY(stream, id)) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS chunk(id INTEGER PRIMARY KEY, stream INTEGER, t0 INTEGER,"
            " t1 INTEGER, n INTEGER, seq INTEGER, head BLOB, data BLOB);"
            "CREATE TABLE IF NOT EXISTS grp(id INTEGER PRIMARY KEY, t0 INTEGER, t1 INTEGER,"
            " dir BLOB);"
            "CREATE TABLE IF NOT EXISTS dirty(stream INTEGER, hour INTEGER,"
            " PRIMARY KEY(stream, hour)) WITHOUT ROWID;");
    return err == TD_OK ? td_db_exec(db, meta) : err;
}

static void writer_prepare(struct writer *w)
{
    w->chunk = td_db_prepare(w->db, "INSERT INTO chunk(stream, t0, t1, n, seq, head, data) "
                                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    w->stream = td_db_prepare(w->db, "INSERT OR IGNORE INTO stream(id, name) VALUES(?1, ?2)");
    w->col = td_db_prepare(w->db, "INSERT OR IGNORE INTO col(stream, id, name, type) "
                                  "VALUES(?1, ?2, ?3, ?4)");
    w->dirty = td_db_prepare(w->db, "INSERT OR IGNORE INTO dirty VALUES(?1, ?2)");
    w->grp = td_db_prepare(w->db, "INSERT INTO grp(t0, t1, dir) VALUES(?1, ?2, ?3)");
    bool all = w->chunk != NULL && w->stream != NULL && w->col != NULL && w->dirty != NULL &&
               w->grp != NULL;
    w->err = all ? TD_OK : td_db_err(sqlite3_errcode(w->db));
}

static void writer_fini(struct writer *w)
{
    sqlite3_stmt *all[] = {w->chunk, w->stream, w->col, w->dirty, w->grp};
    for (size_t i = 0; i < TD_COUNT(all); i++) {
        (void)sqlite3_finalize(all[i]); /* repeats the step's code */
    }
    td_buf_fini(&w->dir);
}

static void bind_ints(struct writer *w, sqlite3_stmt *stmt, const int64_t *values, int count)
{
    for (int i = 0; i < count && w->err == TD_OK; i++) {
        w->err = td_db_err(sqlite3_bind_int64(stmt, i + 1, values[i]));
    }
}

static void bind_text(struct writer *w, sqlite3_stmt *stmt, int at, td_slice s)
{
    if (w->err == TD_OK) {
        w->err = td_db_err(
            sqlite3_bind_text64(stmt, at, (const char *)s.p, s.n, SQLITE_STATIC, SQLITE_UTF8));
    }
}

static void run_stmt(struct writer *w, sqlite3_stmt *stmt)
{
    if (w->err == TD_OK) {
        w->err = td_db_run(stmt);
    }
}

/* The type a reader of the file sees beside a column's name; chunks have their own. */
static enum td_value_type column_type(const struct td_block *b, uint32_t column)
{
    for (uint32_t i = 0; column < b->columns && b->column[column].tag != NULL && i < b->n; i++) {
        if (b->column[column].tag[i] != TD_VALUE_NONE) {
            return (enum td_value_type)b->column[column].tag[i];
        }
    }
    return TD_VALUE_NONE;
}

static void names_write(struct writer *w, const struct td_run *run)
{
    const int64_t id[2] = {run->stream->id, 0};
    bind_ints(w, w->stream, id, 1);
    bind_text(w, w->stream, 2, run->stream->name);
    run_stmt(w, w->stream);
    for (uint32_t i = 0; i < run->columns && w->err == TD_OK; i++) {
        enum td_value_type type = column_type(run->block, i);
        if (type == TD_VALUE_NONE) {
            continue;
        }
        const int64_t ids[2] = {run->stream->id, i};
        bind_ints(w, w->col, ids, 2);
        bind_text(w, w->col, 3, run->fields[i]);
        bind_text(w, w->col, 4, td_slice_of(td_value_type_name(type)));
        run_stmt(w, w->col);
    }
}

static void hours_mark(struct writer *w, uint32_t stream, const struct td_block *b, uint32_t from,
                       uint32_t to)
{
    int64_t before = -1;
    for (uint32_t i = from; i < to && w->err == TD_OK; i++) {
        int64_t hour = b->ts[i] / NS_PER_HOUR;
        if (hour != before) {
            const int64_t values[2] = {stream, hour};
            bind_ints(w, w->dirty, values, 2);
            run_stmt(w, w->dirty);
        }
        before = hour;
    }
}

static void ref_add(struct writer *w, const struct td_chunk_ref *r)
{
    const uint64_t values[] = {
        (uint64_t)(r->id - w->before.id),
        td_zigzag((int64_t)r->stream - (int64_t)w->before.stream),
        td_zigzag(r->t0 - w->before.t0),
        (uint64_t)(r->t1 - r->t0),
        r->n,
        td_zigzag((int64_t)(r->seq - w->before.seq)),
    };
    for (size_t i = 0; i < TD_COUNT(values) && w->err == TD_OK; i++) {
        w->err = td_buf_add_varint(&w->dir, values[i]);
    }
    w->before = *r;
    w->t0 = r->t0 < w->t0 ? r->t0 : w->t0;
    w->t1 = r->t1 > w->t1 ? r->t1 : w->t1;
}

static void run_write(struct writer *w, const struct td_run *run)
{
    struct td_chunk chunk;
    td_chunk_encode(run->block, run->from, run->upto, &chunk);
    names_write(w, run);
    const int64_t values[] = {run->stream->id, chunk.t0, chunk.t1, chunk.n, (int64_t)chunk.seq};
    bind_ints(w, w->chunk, values, 5);
    w->err = w->err == TD_OK ? td_db_bind_slice(w->chunk, 6, td_buf_slice(&chunk.head)) : w->err;
    w->err = w->err == TD_OK ? td_db_bind_slice(w->chunk, 7, td_buf_slice(&chunk.data)) : w->err;
    run_stmt(w, w->chunk);
    const struct td_chunk_ref ref = {.id = sqlite3_last_insert_rowid(w->db),
                                     .stream = run->stream->id,
                                     .n = chunk.n,
                                     .t0 = chunk.t0,
                                     .t1 = chunk.t1,
                                     .seq = chunk.seq};
    ref_add(w, &ref);
    hours_mark(w, run->stream->id, run->block, run->from, run->upto);
    w->written->chunks++;
    w->written->bytes += chunk.head.n + chunk.data.n;
    td_chunk_fini(&chunk);
}

static void group_write(struct writer *w)
{
    const int64_t values[] = {w->t0, w->t1};
    bind_ints(w, w->grp, values, 2);
    w->err = w->err == TD_OK ? td_db_bind_slice(w->grp, 3, td_buf_slice(&w->dir)) : w->err;
    run_stmt(w, w->grp);
}

static enum td_err partition_write(const struct td_parts *parts, sqlite3 *db, int64_t partition,
                                   struct td_run *runs, struct td_part_written *written)
{
    struct writer w = {.db = db, .t0 = INT64_MAX, .t1 = INT64_MIN, .written = written};
    td_buf_init(&w.dir, 1 << 30);
    w.err = schema_make(db, parts->days);
    if (w.err == TD_OK) {
        writer_prepare(&w);
    }
    for (const struct td_run *run = runs; run != NULL && w.err == TD_OK; run = run->next) {
        if (run->partition == partition) {
            run_write(&w, run);
        }
    }
    if (w.err == TD_OK) {
        group_write(&w);
    }
    writer_fini(&w);
    return w.err == TD_OK ? td_db_exec(db, "COMMIT") : w.err;
}

enum td_err td_part_write(const struct td_parts *parts, int64_t partition, struct td_run *runs,
                          struct td_part_written *out)
{
    struct td_part_written written = {0};
    sqlite3 *db;
    sqlite3_mutex_enter(parts->gate);
    enum td_err err = part_db(parts, partition * parts->days, TD_DB_CREATE, &db);
    if (err == TD_OK) {
        err = partition_write(parts, db, partition, runs, &written);
        (void)sqlite3_close_v2(db); /* rolls back what was not committed */
    }
    sqlite3_mutex_leave(parts->gate);
    for (struct td_run *run = runs; run != NULL && err == TD_OK; run = run->next) {
        run->written = run->written || run->partition == partition;
    }
    if (err == TD_OK) {
        out->chunks += written.chunks;
        out->bytes += written.bytes;
    }
    return err;
}

enum td_err td_part_expire(const struct td_parts *parts, td_wall before)
{
    struct td_sys *sys = parts->vfs->sys;
    int64_t *days;
    size_t count;
    enum td_err err = td_part_list(parts, &days, &count);
    for (size_t i = 0; i < count && err == TD_OK; i++) {
        if ((days[i] + parts->days) * NS_PER_DAY > before) {
            continue;
        }
        char path[TD_STORE_PATH_MAX], journal[TD_STORE_PATH_MAX + 16];
        td_part_path(parts, days[i], path, sizeof path);
        (void)snprintf(journal, sizeof journal, "%s-journal", path);
        sqlite3_mutex_enter(parts->gate);
        err = sys->unlink(sys, path);
        (void)sys->unlink(sys, journal); /* without its file it means nothing */
        sqlite3_mutex_leave(parts->gate);
    }
    free(days);
    return err;
}

enum td_err td_part_prove(const struct td_parts *parts, int64_t start_day)
{
    enum { JOURNAL_HEAD = 512 };
    char path[TD_STORE_PATH_MAX], journal[TD_STORE_PATH_MAX + 16];
    td_part_path(parts, start_day, path, sizeof path);
    (void)snprintf(journal, sizeof journal, "%s-journal", path);
    return td_file_prove(parts->vfs->sys, journal, JOURNAL_HEAD);
}

enum td_err td_part_set_aside(const struct td_parts *parts, int64_t start_day, const char *damaged)
{
    struct td_sys *sys = parts->vfs->sys;
    char from[TD_STORE_PATH_MAX], to[TD_STORE_PATH_MAX];
    td_part_path(parts, start_day, from, sizeof from);
    const char *name = strrchr(from, '/') + 1;
    (void)sys->mkdir(sys, damaged); /* there already, or the rename says so */
    (void)snprintf(to, sizeof to, "%s/%s", damaged, name);
    sqlite3_mutex_enter(parts->gate);
    enum td_err err = sys->rename(sys, from, to);
    char journal[TD_STORE_PATH_MAX + 16];
    (void)snprintf(journal, sizeof journal, "%s-journal", from);
    (void)sys->unlink(sys, journal);  /* it must not meet the next file of this name */
    (void)sys->dirsync(sys, damaged); /* as durable as a rescue can be made */
    (void)sys->dirsync(sys, parts->dir);
    sqlite3_mutex_leave(parts->gate);
    return err;
}

/* ---- reading ---- */

static int ref_cmp(const void *a, const void *b)
{
    const struct td_chunk_ref *x = a, *y = b;
    if (x->stream != y->stream) {
        return x->stream < y->stream ? -1 : 1;
    }
    if (x->t0 != y->t0) {
        return x->t0 < y->t0 ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

struct refs {
    struct td_chunk_ref *at;
    size_t count, cap;
};

static enum td_err dir_read(struct refs *refs, td_slice dir)
{
    struct td_cursor c = td_cursor_of(dir);
    struct td_chunk_ref r = {0};
    while (c.err == TD_OK && td_cursor_left(&c) > 0) {
        r.id += (int64_t)(td_cursor_varint64(&c) & INT32_MAX);
        r.stream = (uint32_t)((int64_t)r.stream + td_unzigzag(td_cursor_varint64(&c)));
        r.t0 = (int64_t)((uint64_t)r.t0 + (uint64_t)td_unzigzag(td_cursor_varint64(&c)));
        r.t1 = (int64_t)((uint64_t)r.t0 + td_cursor_varint64(&c));
        r.n = (uint32_t)td_cursor_varint64(&c);
        r.seq += (uint64_t)td_unzigzag(td_cursor_varint64(&c));
        if (c.err != TD_OK) {
            break;
        }
        if (refs->count == refs->cap) {
            refs->cap = refs->cap == 0 ? 256 : refs->cap * 2;
            refs->at = td_realloc(refs->at, refs->cap * sizeof *refs->at);
        }
        refs->at[refs->count++] = r;
    }
    return c.err == TD_OK ? TD_OK : TD_ECORRUPT;
}

static enum td_err dirs_read(sqlite3 *db, td_wall from, td_wall to, struct refs *refs)
{
    sqlite3_stmt *stmt =
        td_db_prepare(db, "SELECT dir FROM grp WHERE t1 >= ?1 AND t0 <= ?2 ORDER BY id");
    if (stmt == NULL) {
        /* A crash while the file was made leaves it without tables, and nothing was in it. */
        int rc = sqlite3_errcode(db);
        return rc == SQLITE_ERROR ? TD_ENOENT : td_db_err(rc);
    }
    (void)sqlite3_bind_int64(stmt, 1, from); /* the indexes are right */
    (void)sqlite3_bind_int64(stmt, 2, to);
    enum td_err err = TD_OK;
    int rc;
    while (err == TD_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        err = dir_read(refs, td_db_column_slice(stmt, 0));
    }
    (void)sqlite3_finalize(stmt); /* repeats the step's code */
    return err == TD_OK ? td_db_err(rc) : err;
}

enum td_err td_part_open(const struct td_parts *parts, int64_t start_day, td_wall from, td_wall to,
                         struct td_part *out)
{
    if (start_day * NS_PER_DAY > to || (start_day + SPAN_DAYS_MOST + 1) * NS_PER_DAY < from) {
        return TD_ENOENT;
    }
    struct refs refs = {0};
    struct td_part part = {.start_day = start_day};
    sqlite3_mutex_enter(parts->gate);
    enum td_err err = part_db(parts, start_day, 0, &part.db);
    if (err == TD_OK) {
        err = dirs_read(part.db, from, to, &refs);
        part.load = td_db_prepare(part.db, "SELECT head, data FROM chunk WHERE id = ?1");
        err = err == TD_OK && part.load == NULL ? td_db_err(sqlite3_errcode(part.db)) : err;
    }
    sqlite3_mutex_leave(parts->gate);
    part.refs = refs.at;
    part.count = refs.count;
    if (err != TD_OK) {
        td_part_close(&part);
        return err;
    }
    if (part.count > 0) {
        qsort(part.refs, part.count, sizeof *part.refs, ref_cmp);
    }
    *out = part;
    return TD_OK;
}

void td_part_close(struct td_part *part)
{
    (void)sqlite3_finalize(part->load); /* repeats the step's code */
    (void)sqlite3_close_v2(part->db);   /* it only read */
    free(part->refs);
    *part = (struct td_part){0};
}

const struct td_chunk_ref *td_part_stream(const struct td_part *part, uint32_t stream,
                                          size_t *count)
{
    size_t low = 0, high = part->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (part->refs[middle].stream < stream) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    size_t end = low;
    while (end < part->count && part->refs[end].stream == stream) {
        end++;
    }
    *count = end - low;
    return part->refs + low;
}

enum td_err td_part_load(struct td_part *part, const struct td_chunk_ref *ref,
                         struct td_block **out)
{
    (void)sqlite3_bind_int64(part->load, 1, ref->id); /* the index is right */
    int rc = sqlite3_step(part->load);
    enum td_err err = rc == SQLITE_ROW ? TD_OK : rc == SQLITE_DONE ? TD_ECORRUPT : td_db_err(rc);
    if (err == TD_OK) {
        err = td_chunk_decode(td_db_column_slice(part->load, 0), td_db_column_slice(part->load, 1),
                              ref->n, out);
    }
    (void)sqlite3_reset(part->load); /* repeats the step's code */
    return err;
}
