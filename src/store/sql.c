/* store: SQL over points.
 *
 * A private in-memory connection that sees two virtual tables and nothing else; an authorizer lets
 * only reading through. Equal streams and fields, globs of streams and spans of ts are pushed down;
 * SQLite tests all conditions again, so pushing down may give too much but never too little.
 *
 *   points(stream, ts, field, value, time)    streams(stream, field, series) */
#include <math.h>
#include <stdlib.h>

#include "base/time.h"
#include "store/impl.h"

enum { STEPS_A_LOOK = 2000 };

struct sql {
    struct td_question *q;
    struct td_reader *reader;
    struct td_map names; /* stream name -> &snap stream; filled at first use */
    bool declaring;
    sqlite3_int64 memory_start;
    bool memory_over;
};

struct table {
    sqlite3_vtab base; /* first */
    struct sql *sql;
};

static struct table *table_of(sqlite3_vtab *t)
{
    return (struct table *)(void *)t;
}

/* ---- pushing down ---- */

enum { POINTS_STREAM, POINTS_TS, POINTS_FIELD, POINTS_VALUE, POINTS_TIME };

/* What a constraint is good for; bit i of idxNum says that its value comes, in this order. */
enum push {
    PUSH_STREAM,
    PUSH_GLOB,
    PUSH_FIELD,
    PUSH_TS_EQ,
    PUSH_TS_LOW,
    PUSH_TS_HIGH,
    PUSH_TIME_LOW,
    PUSH_TIME_HIGH,
    PUSH_COUNT
};

static const struct {
    int column, op;
    enum push push;
} pushes[] = {
    {POINTS_STREAM, SQLITE_INDEX_CONSTRAINT_EQ, PUSH_STREAM},
    {POINTS_STREAM, SQLITE_INDEX_CONSTRAINT_GLOB, PUSH_GLOB},
    {POINTS_FIELD, SQLITE_INDEX_CONSTRAINT_EQ, PUSH_FIELD},
    {POINTS_TS, SQLITE_INDEX_CONSTRAINT_EQ, PUSH_TS_EQ},
    {POINTS_TS, SQLITE_INDEX_CONSTRAINT_GE, PUSH_TS_LOW},
    {POINTS_TS, SQLITE_INDEX_CONSTRAINT_GT, PUSH_TS_LOW},
    {POINTS_TS, SQLITE_INDEX_CONSTRAINT_LE, PUSH_TS_HIGH},
    {POINTS_TS, SQLITE_INDEX_CONSTRAINT_LT, PUSH_TS_HIGH},
    {POINTS_TIME, SQLITE_INDEX_CONSTRAINT_GE, PUSH_TIME_LOW},
    {POINTS_TIME, SQLITE_INDEX_CONSTRAINT_GT, PUSH_TIME_LOW},
    {POINTS_TIME, SQLITE_INDEX_CONSTRAINT_LE, PUSH_TIME_HIGH},
    {POINTS_TIME, SQLITE_INDEX_CONSTRAINT_LT, PUSH_TIME_HIGH},
};

/* A name must be equal by bytes: under another collation more would be. */
static bool usable(sqlite3_index_info *info, int i)
{
    bool binary = info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ ||
                  sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") == 0;
    return info->aConstraint[i].usable && binary;
}

static int points_best(sqlite3_vtab *t, sqlite3_index_info *info)
{
    (void)t;
    int at[PUSH_COUNT];
    memset(at, -1, sizeof at);
    for (int i = 0; i < info->nConstraint; i++) {
        for (size_t p = 0; p < TD_COUNT(pushes) && usable(info, i); p++) {
            if (info->aConstraint[i].iColumn == pushes[p].column &&
                info->aConstraint[i].op == pushes[p].op && at[pushes[p].push] < 0) {
                at[pushes[p].push] = i;
            }
        }
    }
    double rows = 1e7;
    static const double keeps[PUSH_COUNT] = {1e-3, 0.1, 0.2, 1e-4, 0.5, 0.5, 0.5, 0.5};
    int argv = 0;
    info->idxNum = 0;
    for (int p = 0; p < PUSH_COUNT; p++) {
        if (at[p] >= 0) {
            info->aConstraintUsage[at[p]].argvIndex = ++argv;
            info->idxNum |= 1 << p;
            rows *= keeps[p];
        }
    }
    info->estimatedRows = (sqlite3_int64)rows + 1;
    info->estimatedCost = rows + 10;
    return SQLITE_OK;
}

/* ---- points ---- */

struct points {
    sqlite3_vtab_cursor base; /* first */
    struct sql *sql;
    struct td_scan scan;
    bool scanning, end;
    uint32_t *streams; /* NULL: all */
    char *field;       /* NULL: all; else with its length */
    size_t field_n;
    struct td_scan_row row;
    uint32_t column, columns; /* of the row: where we are, and how many may be there */
    sqlite3_int64 number;
};

static struct points *points_of(sqlite3_vtab_cursor *c)
{
    return (struct points *)(void *)c;
}

static int points_open(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
    struct points *p = td_alloc(sizeof *p);
    p->sql = table_of(t)->sql;
    *out = &p->base;
    return SQLITE_OK;
}

static void points_reset(struct points *p)
{
    if (p->scanning) {
        td_scan_fini(&p->scan);
        p->scanning = false;
    }
    free(p->streams);
    free(p->field);
    p->streams = NULL;
    p->field = NULL;
}

static int points_close(sqlite3_vtab_cursor *c)
{
    points_reset(points_of(c));
    free(c);
    return SQLITE_OK;
}

static td_slice value_text(sqlite3_value *v)
{
    const uint8_t *text = sqlite3_value_text(v);
    return (td_slice){text, text != NULL ? (size_t)sqlite3_value_bytes(v) : 0};
}

static const struct td_snap_stream *stream_find(struct sql *sql, td_slice name)
{
    const struct td_snapshot *snap = &sql->q->snap;
    if (sql->names.count == 0) {
        for (uint32_t i = 0; i < snap->stream_count; i++) {
            if (snap->streams[i].stream->name.p != NULL) {
                (void)td_map_put(&sql->names, snap->streams[i].stream->name, &snap->streams[i]);
            }
        }
    }
    return td_map_find(&sql->names, name);
}

/* The streams a question wants, by name or glob. */
static size_t streams_choose(struct points *p, sqlite3_value *name, sqlite3_value *glob)
{
    const struct td_snapshot *snap = &p->sql->q->snap;
    size_t count = 0;
    if (name != NULL) {
        const struct td_snap_stream *s = stream_find(p->sql, value_text(name));
        p->streams = td_alloc(sizeof *p->streams);
        if (s != NULL) {
            p->streams[count++] = s->stream->id;
        }
        return count;
    }
    if (glob == NULL || sqlite3_value_type(glob) == SQLITE_NULL) {
        return 0;
    }
    const char *pattern = (const char *)sqlite3_value_text(glob);
    p->streams = td_alloc((snap->stream_count + 1) * sizeof *p->streams);
    for (uint32_t i = 0; i < snap->stream_count; i++) {
        const char *s = (const char *)snap->streams[i].stream->name.p; /* ends with a NUL */
        if (s != NULL && sqlite3_strglob(pattern, s) == 0) {
            p->streams[count++] = i;
        }
    }
    return count;
}

/* A number as a bound of ts, wide enough; other types give no bound. */
static void bound_of(sqlite3_value *v, bool low, td_wall *io)
{
    int type = sqlite3_value_type(v);
    double d = sqlite3_value_double(v);
    td_wall at = *io;
    if (type == SQLITE_INTEGER) {
        at = sqlite3_value_int64(v);
    } else if (type == SQLITE_FLOAT && d > -9e18 && d < 9e18) {
        at = (td_wall)d + (low ? -1024 : 1024); /* doubles of this size are so far apart */
    }
    *io = low ? (at > *io ? at : *io) : (at < *io ? at : *io);
}

/* Whether texts of `time` sort against this one as times do: a beginning of their own form. */
static bool sorts_as_time(td_slice s)
{
    if (s.n < 10 || s.n > TD_TIME_TEXT_BYTES || s.p[4] != '-' || (s.n > 10 && s.p[10] != 'T')) {
        return false;
    }
    td_slice clock = td_slice_skip(s, 10);
    return td_slice_find(clock, '-') == clock.n && td_slice_find(clock, '+') == clock.n;
}

/* A text compared with `time`: its second and the ones beside it are enough. */
static void time_bound_of(sqlite3_value *v, bool low, td_wall *io)
{
    td_wall at;
    if (sqlite3_value_type(v) != SQLITE_TEXT || !sorts_as_time(value_text(v)) ||
        td_time_parse(value_text(v), 0, &at) != TD_OK) {
        return;
    }
    at += low ? -TD_NS_PER_S : TD_NS_PER_S;
    *io = low ? (at > *io ? at : *io) : (at < *io ? at : *io);
}

static int points_next(sqlite3_vtab_cursor *c);

static int points_filter(sqlite3_vtab_cursor *c, int number, const char *text, int argc,
                         sqlite3_value **argv)
{
    (void)text;
    (void)argc;
    struct points *p = points_of(c);
    points_reset(p);
    sqlite3_value *given[PUSH_COUNT] = {NULL};
    for (int i = 0, at = 0; i < PUSH_COUNT; i++) {
        if ((number >> i & 1) != 0) {
            given[i] = argv[at++];
        }
    }
    td_wall low = INT64_MIN, high = INT64_MAX;
    if (given[PUSH_TS_EQ] != NULL) {
        bound_of(given[PUSH_TS_EQ], true, &low);
        bound_of(given[PUSH_TS_EQ], false, &high);
    }
    if (given[PUSH_TS_LOW] != NULL) {
        bound_of(given[PUSH_TS_LOW], true, &low);
    }
    if (given[PUSH_TS_HIGH] != NULL) {
        bound_of(given[PUSH_TS_HIGH], false, &high);
    }
    if (given[PUSH_TIME_LOW] != NULL) {
        time_bound_of(given[PUSH_TIME_LOW], true, &low);
    }
    if (given[PUSH_TIME_HIGH] != NULL) {
        time_bound_of(given[PUSH_TIME_HIGH], false, &high);
    }
    if (given[PUSH_FIELD] != NULL) {
        td_slice field = value_text(given[PUSH_FIELD]);
        p->field = td_strdup(field);
        p->field_n = field.n;
    }
    size_t count = streams_choose(p, given[PUSH_STREAM], given[PUSH_GLOB]);
    td_scan_init(&p->scan, p->sql->reader, p->streams, count, low, high);
    p->scanning = true;
    p->end = false;
    p->column = p->columns = 0; /* no row yet */
    return points_next(c);
}

static const struct td_snap_stream *stream_now(const struct points *p)
{
    return &p->sql->q->snap.streams[p->row.stream];
}

static bool cell_wanted(const struct points *p)
{
    const struct td_snap_stream *s = stream_now(p);
    if (td_block_get(p->row.block, p->row.row, p->column).type == TD_VALUE_NONE) {
        return false;
    }
    return p->field == NULL ||
           td_slice_eq(s->fields[p->column], (td_slice){(const uint8_t *)p->field, p->field_n});
}

static int points_next(sqlite3_vtab_cursor *c)
{
    struct points *p = points_of(c);
    p->number++;
    for (;;) {
        while (++p->column < p->columns) {
            if (cell_wanted(p)) {
                return SQLITE_OK;
            }
        }
        enum td_err err = td_scan_next(&p->scan, &p->row);
        if (err == TD_ENOENT) {
            p->end = true;
            return SQLITE_OK;
        }
        if (err != TD_OK) {
            p->sql->memory_over = err == TD_EFULL;
            return err == TD_EFULL ? SQLITE_NOMEM : SQLITE_IOERR;
        }
        if (atomic_load_explicit(&p->sql->q->stop, memory_order_relaxed)) {
            return SQLITE_INTERRUPT;
        }
        uint32_t known = stream_now(p)->columns, held = p->row.block->columns;
        p->columns = known < held ? known : held;
        p->column = UINT32_MAX; /* before the first */
    }
}

static int points_eof(sqlite3_vtab_cursor *c)
{
    return points_of(c)->end;
}

static void text_result(sqlite3_context *ctx, td_slice s, sqlite3_destructor_type life)
{
    sqlite3_result_text64(ctx, (const char *)s.p, s.n, life, SQLITE_UTF8);
}

static void value_result(sqlite3_context *ctx, struct td_value v)
{
    switch (v.type) {
    case TD_VALUE_NONE:
        sqlite3_result_null(ctx);
        break;
    case TD_VALUE_BOOL:
        sqlite3_result_int(ctx, v.as.b);
        break;
    case TD_VALUE_INT:
        sqlite3_result_int64(ctx, v.as.i);
        break;
    case TD_VALUE_FLOAT:
        sqlite3_result_double(ctx, v.as.f); /* NaN becomes NULL */
        break;
    case TD_VALUE_TEXT:
        text_result(ctx, v.as.text, SQLITE_TRANSIENT);
        break;
    }
}

static void time_result(sqlite3_context *ctx, td_wall at)
{
    char text[TD_TIME_TEXT_BYTES];
    td_time_text(at, text);
    text_result(ctx, (td_slice){(const uint8_t *)text, sizeof text}, SQLITE_TRANSIENT);
}

static int points_column(sqlite3_vtab_cursor *c, sqlite3_context *ctx, int column)
{
    const struct points *p = points_of(c);
    switch (column) {
    case POINTS_STREAM:
        text_result(ctx, stream_now(p)->stream->name, SQLITE_STATIC);
        break;
    case POINTS_TS:
        sqlite3_result_int64(ctx, p->row.ts);
        break;
    case POINTS_FIELD:
        text_result(ctx, stream_now(p)->fields[p->column], SQLITE_STATIC);
        break;
    case POINTS_VALUE:
        value_result(ctx, td_block_get(p->row.block, p->row.row, p->column));
        break;
    default:
        time_result(ctx, p->row.ts);
    }
    return SQLITE_OK;
}

static int points_rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *out)
{
    *out = points_of(c)->number;
    return SQLITE_OK;
}

/* ---- streams ---- */

struct names {
    sqlite3_vtab_cursor base; /* first */
    struct sql *sql;
    uint32_t stream, column;
};

static struct names *names_of(sqlite3_vtab_cursor *c)
{
    return (struct names *)(void *)c;
}

static int names_best(sqlite3_vtab *t, sqlite3_index_info *info)
{
    (void)t;
    info->estimatedCost = 1e5;
    return SQLITE_OK;
}

static int names_open(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
    struct names *n = td_alloc(sizeof *n);
    n->sql = table_of(t)->sql;
    *out = &n->base;
    return SQLITE_OK;
}

static int names_close(sqlite3_vtab_cursor *c)
{
    free(c);
    return SQLITE_OK;
}

static void names_skip(struct names *n)
{
    const struct td_snapshot *snap = &n->sql->q->snap;
    while (n->stream < snap->stream_count && (n->column >= snap->streams[n->stream].columns ||
                                              snap->streams[n->stream].stream->name.p == NULL)) {
        n->stream++;
        n->column = 0;
    }
}

static int names_filter(sqlite3_vtab_cursor *c, int number, const char *text, int argc,
                        sqlite3_value **argv)
{
    (void)number;
    (void)text;
    (void)argc;
    (void)argv;
    struct names *n = names_of(c);
    n->stream = n->column = 0;
    names_skip(n);
    return SQLITE_OK;
}

static int names_next(sqlite3_vtab_cursor *c)
{
    names_of(c)->column++;
    names_skip(names_of(c));
    return SQLITE_OK;
}

static int names_eof(sqlite3_vtab_cursor *c)
{
    return names_of(c)->stream >= names_of(c)->sql->q->snap.stream_count;
}

static int names_column(sqlite3_vtab_cursor *c, sqlite3_context *ctx, int column)
{
    const struct names *n = names_of(c);
    const struct td_snap_stream *s = &n->sql->q->snap.streams[n->stream];
    if (column == 0) {
        text_result(ctx, s->stream->name, SQLITE_STATIC);
    } else if (column == 1) {
        text_result(ctx, s->fields[n->column], SQLITE_STATIC);
    } else {
        sqlite3_result_int64(ctx, td_series_of(n->stream, n->column));
    }
    return SQLITE_OK;
}

static int names_rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *out)
{
    *out = td_series_of(names_of(c)->stream, names_of(c)->column);
    return SQLITE_OK;
}

/* ---- modules ---- */

static int table_connect(struct sql *sql, sqlite3 *db, const char *declare, sqlite3_vtab **out)
{
    struct table *t = td_alloc(sizeof *t);
    t->sql = sql;
    *out = &t->base;
    sql->declaring = true;
    int rc = sqlite3_declare_vtab(db, declare);
    sql->declaring = false;
    if (rc != SQLITE_OK) {
        free(t);
        *out = NULL;
    }
    return rc;
}

static int points_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                          sqlite3_vtab **out, char **why)
{
    (void)argc;
    (void)argv;
    (void)why;
    return table_connect(
        aux, db, "CREATE TABLE x(stream TEXT, ts INTEGER, field TEXT, value, time TEXT)", out);
}

static int names_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **why)
{
    (void)argc;
    (void)argv;
    (void)why;
    return table_connect(aux, db, "CREATE TABLE x(stream TEXT, field TEXT, series INTEGER)", out);
}

static int table_disconnect(sqlite3_vtab *t)
{
    free(table_of(t));
    return SQLITE_OK;
}

/* Without xCreate a table is there by its module's name. */
static const sqlite3_module points_module = {
    .xConnect = points_connect,
    .xBestIndex = points_best,
    .xDisconnect = table_disconnect,
    .xOpen = points_open,
    .xClose = points_close,
    .xFilter = points_filter,
    .xNext = points_next,
    .xEof = points_eof,
    .xColumn = points_column,
    .xRowid = points_rowid,
};

static const sqlite3_module names_module = {
    .xConnect = names_connect,
    .xBestIndex = names_best,
    .xDisconnect = table_disconnect,
    .xOpen = names_open,
    .xClose = names_close,
    .xFilter = names_filter,
    .xNext = names_next,
    .xEof = names_eof,
    .xColumn = names_column,
    .xRowid = names_rowid,
};

/* ---- functions ---- */

/* "15m", "1h", or ns; 0: neither. */
static int64_t width_of(sqlite3_value *v)
{
    if (sqlite3_value_type(v) == SQLITE_INTEGER) {
        return sqlite3_value_int64(v);
    }
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ms", TD_NS_PER_MS},
                 {"s", TD_NS_PER_S},
                 {"m", 60 * TD_NS_PER_S},
                 {"h", 3600 * TD_NS_PER_S},
                 {"d", 86400 * TD_NS_PER_S}};
    td_slice s = value_text(v);
    int64_t n = 0;
    size_t at = 0;
    while (at < s.n && at < 7 && s.p[at] >= '0' && s.p[at] <= '9') {
        n = n * 10 + (s.p[at++] - '0');
    }
    for (size_t i = 0; i < TD_COUNT(units) && at > 0; i++) {
        if (td_slice_eq(td_slice_skip(s, at), td_slice_of(units[i].unit)) &&
            n <= INT64_MAX / units[i].ns) {
            return n * units[i].ns;
        }
    }
    return 0;
}

static void bucket_function(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    (void)argc;
    int64_t width = width_of(argv[0]);
    if (width <= 0) {
        sqlite3_result_error(ctx,
                             "time_bucket(width, ts): width must be a text like '15m' (units ms, "
                             "s, m, h, d) or ns above 0",
                             -1);
        return;
    }
    if (sqlite3_value_type(argv[1]) == SQLITE_NULL) {
        return;
    }
    int64_t ts = sqlite3_value_int64(argv[1]);
    int64_t rest = ts % width;
    sqlite3_result_int64(ctx, ts - (rest < 0 ? rest + width : rest));
}

static void iso_function(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    (void)argc;
    if (sqlite3_value_type(argv[0]) != SQLITE_NULL) {
        time_result(ctx, sqlite3_value_int64(argv[0]));
    }
}

static void ts_function(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    (void)argc;
    const struct sql *sql = sqlite3_user_data(ctx);
    td_wall at;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) {
        return;
    }
    if (td_time_parse(value_text(argv[0]), sql->q->now, &at) != TD_OK) {
        sqlite3_result_error(ctx, "ts(text): give a time like '2026-11-24T09:00', '-1h' or 'now'",
                             -1);
        return;
    }
    sqlite3_result_int64(ctx, at);
}

/* ---- bounds ---- */

static int may(void *ctx, int action, const char *a, const char *b, const char *c, const char *d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    const struct sql *sql = ctx;
    bool reading = action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION ||
                   action == SQLITE_RECURSIVE;
    return reading || sql->declaring ? SQLITE_OK : SQLITE_DENY;
}

static int look(void *ctx)
{
    struct sql *sql = ctx;
    sqlite3_int64 most = (sqlite3_int64)sql->q->store->config.query_bytes_max;
    sql->memory_over = sqlite3_memory_used() - sql->memory_start > most;
    return sql->memory_over || atomic_load_explicit(&sql->q->stop, memory_order_relaxed);
}

static enum td_err connection_make(struct sql *sql, sqlite3 **out)
{
    sqlite3 *db;
    enum td_err err = td_db_open(&sql->q->store->vfs, ":memory:", TD_DB_MEMORY, &db);
    if (err != TD_OK) {
        return err;
    }
    static const struct {
        int limit, most;
    } limits[] = {{SQLITE_LIMIT_LENGTH, 1 << 20},   {SQLITE_LIMIT_COLUMN, 200},
                  {SQLITE_LIMIT_EXPR_DEPTH, 100},   {SQLITE_LIMIT_COMPOUND_SELECT, 50},
                  {SQLITE_LIMIT_ATTACHED, 0},       {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
                  {SQLITE_LIMIT_FUNCTION_ARG, 100}, {SQLITE_LIMIT_WORKER_THREADS, 0}};
    for (size_t i = 0; i < TD_COUNT(limits); i++) {
        (void)sqlite3_limit(db, limits[i].limit, limits[i].most); /* gives the old one */
    }
    const int how = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
    int rc = sqlite3_create_module(db, "points", &points_module, sql);
    rc |= sqlite3_create_module(db, "streams", &names_module, sql);
    rc |= sqlite3_create_function(db, "time_bucket", 2, how, sql, bucket_function, NULL, NULL);
    rc |= sqlite3_create_function(db, "iso", 1, how, sql, iso_function, NULL, NULL);
    rc |= sqlite3_create_function(db, "ts", 1, how, sql, ts_function, NULL, NULL);
    rc |= sqlite3_set_authorizer(db, may, sql);
    sqlite3_progress_handler(db, STEPS_A_LOOK, look, sql);
    *out = db;
    return td_db_err(rc);
}

/* ---- running ---- */

static struct td_value value_of(sqlite3_stmt *stmt, int column)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return td_value_int(sqlite3_column_int64(stmt, column));
    case SQLITE_FLOAT:
        return td_value_float(sqlite3_column_double(stmt, column));
    case SQLITE_NULL:
        return td_value_none();
    default:
        return td_value_text(td_db_column_slice(stmt, column));
    }
}

static bool row_take(struct td_question *q, sqlite3_stmt *stmt)
{
    for (int i = 0; i < (int)q->result.column_count; i++) {
        if (!td_result_cell(&q->result, value_of(stmt, i))) {
            return false;
        }
    }
    return true;
}

static void columns_take(struct td_question *q, sqlite3_stmt *stmt)
{
    td_slice names[200];
    int count = sqlite3_column_count(stmt);
    for (int i = 0; i < count && i < (int)TD_COUNT(names); i++) {
        names[i] = td_slice_of(sqlite3_column_name(stmt, i));
    }
    td_result_columns(&q->result, names, (size_t)count);
}

static void failure_tell(struct sql *sql, sqlite3 *db, int rc)
{
    struct td_question *q = sql->q;
    const struct td_store_config *config = &q->store->config;
    if (sql->memory_over) {
        q->err = TD_EFULL;
        (void)td_buf_printf(&q->why,
                            "the question needs more than query.bytes_max (%llu MB) of memory; ask "
                            "for fewer streams or a shorter time, or aggregate",
                            (unsigned long long)(config->query_bytes_max >> 20));
    } else if (rc == SQLITE_INTERRUPT) {
        q->err = TD_EAGAIN;
        (void)td_buf_printf(&q->why,
                            "the question took longer than query.ms_max (%lld ms); ask for fewer "
                            "streams or a shorter time",
                            (long long)config->query_ms_max);
    } else if (rc == SQLITE_ERROR || rc == SQLITE_AUTH || rc == SQLITE_MISUSE) {
        q->err = TD_ESYNTAX;
        (void)td_buf_printf(&q->why,
                            "%s; tables: points(stream, ts, field, value, time) and "
                            "streams(stream, field, series), read-only",
                            rc == SQLITE_AUTH ? "only SELECT is allowed" : sqlite3_errmsg(db));
    } else {
        q->err = td_db_err(rc);
        (void)td_buf_printf(&q->why, "%s", sqlite3_errmsg(db));
    }
}

static void statement_run(struct sql *sql, sqlite3 *db, sqlite3_stmt *stmt)
{
    struct td_question *q = sql->q;
    columns_take(q, stmt);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && row_take(q, stmt)) {
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        failure_tell(sql, db, rc);
    }
}

static bool blank(const char *text)
{
    while (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t' || *text == ';') {
        text++;
    }
    return *text == 0;
}

static void question_run(struct sql *sql, sqlite3 *db)
{
    struct td_question *q = sql->q;
    sqlite3_stmt *stmt = NULL;
    const char *tail = "";
    int rc = sqlite3_prepare_v2(db, q->sql, -1, &stmt, &tail);
    if (rc != SQLITE_OK) {
        failure_tell(sql, db, rc);
    } else if (stmt == NULL || !blank(tail)) {
        q->err = TD_ESYNTAX;
        (void)td_buf_printf(&q->why, stmt == NULL ? "there is no question; give one SELECT"
                                                  : "one SELECT at a time; what follows the first "
                                                    "must go");
    } else {
        statement_run(sql, db, stmt);
    }
    (void)sqlite3_finalize(stmt); /* repeats the step's code */
}

void td_sql_run(struct td_question *q, struct td_reader *reader)
{
    struct sql sql = {.q = q, .reader = reader, .memory_start = sqlite3_memory_used()};
    sqlite3 *db;
    td_map_init(&sql.names, 0);
    q->err = connection_make(&sql, &db);
    if (q->err == TD_OK) {
        question_run(&sql, db);
        (void)sqlite3_close_v2(db); /* nothing is in it */
    }
    td_map_fini(&sql.names);
}
