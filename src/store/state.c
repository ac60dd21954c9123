/* store: the keyed state map. */
#include "store/state.h"

#include <stdlib.h>

#include "store/dict.h"

/* ---- ops ---- */

enum td_err td_op_encode(struct td_buf *out, const struct td_op *op)
{
    size_t before = out->n;
    enum td_err err = td_buf_add_varint(out, (uint64_t)op->kind << 1 | op->gone);
    err = err == TD_OK ? td_buf_add_lump(out, op->key) : err;
    err = err == TD_OK && !op->gone ? td_buf_add_lump(out, op->value) : err;
    if (err != TD_OK) {
        out->n = before;
    }
    return err;
}

bool td_op_next(struct td_cursor *c, struct td_op *out)
{
    if (c->err != TD_OK || td_cursor_left(c) == 0) {
        return false;
    }
    uint64_t head = td_cursor_varint64(c);
    td_cursor_in(c, head, 0, 0x1FF, TD_EPROTO);
    struct td_op op = {.kind = (uint8_t)(head >> 1), .gone = (head & 1) != 0};
    op.key = td_cursor_lump(c);
    op.value = op.gone ? (td_slice){NULL, 0} : td_cursor_lump(c);
    if (c->err != TD_OK) {
        return false;
    }
    *out = op;
    return true;
}

/* ---- batches out of records ---- */

void td_chain_init(struct td_chain *chain, size_t bytes_max)
{
    *chain = (struct td_chain){.next = 0};
    td_buf_init(&chain->bytes, bytes_max);
}

void td_chain_fini(struct td_chain *chain)
{
    td_buf_fini(&chain->bytes);
}

static bool part_take(struct td_chain *chain, const struct td_record *rec)
{
    struct td_cursor c = td_cursor_of(rec->payload);
    uint64_t index = td_cursor_varint64(&c);
    if (c.err == TD_OK && index == 0) {
        td_buf_clear(&chain->bytes);
        chain->lsn = rec->lsn;
        chain->next = 0;
    } else if (c.err != TD_OK || index != chain->next) {
        chain->next = 0;
        return false;
    }
    td_slice rest = {c.p, td_cursor_left(&c)};
    bool fits = td_buf_add(&chain->bytes, rest) == TD_OK;
    chain->next = fits ? index + 1 : 0;
    return fits;
}

bool td_chain_take(struct td_chain *chain, const struct td_record *rec, uint64_t *lsn,
                   td_slice *batch)
{
    if (rec->kind == TD_RECORD_STATE) {
        *lsn = rec->lsn;
        *batch = rec->payload;
        return true;
    }
    if (rec->kind != TD_RECORD_STATE_PART && rec->kind != TD_RECORD_STATE_END) {
        return false;
    }
    if (!part_take(chain, rec) || rec->kind == TD_RECORD_STATE_PART) {
        return false;
    }
    chain->next = 0;
    *lsn = chain->lsn;
    *batch = td_buf_slice(&chain->bytes);
    return true;
}

/* ---- the tail ---- */

struct td_tail_entry {
    bool gone;
    td_slice key; /* u8 kind in front */
    td_slice value;
};

void td_tail_init(struct td_tail *tail)
{
    td_map_init(&tail->map, 0);
    td_arena_init(&tail->arena, 0);
}

void td_tail_fini(struct td_tail *tail)
{
    td_map_fini(&tail->map);
    td_arena_fini(&tail->arena);
}

/* u8 kind | key, in the arena. */
static td_slice key_copy(struct td_arena *arena, const struct td_op *op)
{
    uint8_t *p = td_arena_alloc(arena, 1 + op->key.n);
    (void)td_put_bytes(td_put_u8(p, op->kind), op->key);
    return (td_slice){p, 1 + op->key.n};
}

enum td_err td_tail_add(struct td_tail *tail, td_slice batch)
{
    struct td_cursor c = td_cursor_of(batch);
    struct td_op op;
    while (td_op_next(&c, &op)) {
        td_slice key = key_copy(&tail->arena, &op);
        struct td_tail_entry *e = td_map_find(&tail->map, key);
        if (e == NULL) {
            e = td_arena_alloc(&tail->arena, sizeof *e);
            e->key = key;
            (void)td_map_put(&tail->map, key, e);
        }
        e->gone = op.gone;
        e->value = op.gone ? (td_slice){NULL, 0} : td_arena_copy(&tail->arena, op.value);
    }
    return c.err;
}

static int entry_cmp(const void *a, const void *b)
{
    const struct td_tail_entry *const *x = a, *const *y = b;
    return td_slice_cmp((*x)->key, (*y)->key);
}

/* The tail's entries of a kind, sorted; free() the array. */
static const struct td_tail_entry **tail_sorted(const struct td_tail *tail, uint8_t kind,
                                                size_t *count)
{
    const struct td_tail_entry **found = td_alloc((tail->map.count + 1) * sizeof(void *));
    size_t n = 0;
    for (size_t i = 0; i < tail->map.count; i++) {
        const struct td_tail_entry *e = tail->map.entries[i].value;
        if (e->key.p[0] == kind) {
            found[n++] = e;
        }
    }
    qsort(found, n, sizeof(void *), entry_cmp);
    *count = n;
    return found;
}

enum td_err td_tail_each(const struct td_tail *tail, sqlite3 *db, uint8_t kind,
                         void (*fn)(void *ctx, td_slice key, td_slice value), void *ctx)
{
    sqlite3_stmt *stmt = td_db_prepare(db, "SELECT key, value FROM state WHERE kind = ?1 "
                                           "ORDER BY key");
    if (stmt == NULL) {
        return td_db_err(sqlite3_errcode(db));
    }
    (void)sqlite3_bind_int(stmt, 1, kind); /* the index is right */
    size_t count, at = 0;
    const struct td_tail_entry **found = tail_sorted(tail, kind, &count);
    int rc = sqlite3_step(stmt);
    while (rc == SQLITE_ROW || at < count) {
        td_slice row = rc == SQLITE_ROW ? td_db_column_slice(stmt, 0) : (td_slice){NULL, 0};
        td_slice mine = at < count ? td_slice_skip(found[at]->key, 1) : (td_slice){NULL, 0};
        int order = rc != SQLITE_ROW ? 1 : at == count ? -1 : td_slice_cmp(row, mine);
        if (order < 0) {
            fn(ctx, row, td_db_column_slice(stmt, 1));
        } else if (!found[at]->gone) {
            fn(ctx, mine, found[at]->value);
        }
        at += order >= 0;
        rc = order <= 0 ? sqlite3_step(stmt) : rc;
    }
    free(found);
    (void)sqlite3_finalize(stmt); /* repeats the step's code */
    return td_db_err(rc);
}

/* ---- into the table ---- */

enum td_err td_state_schema(sqlite3 *db)
{
    return td_db_exec(db, "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value);"
                          "CREATE TABLE IF NOT EXISTS state(kind INTEGER, key BLOB, value BLOB,"
                          " PRIMARY KEY(kind, key)) WITHOUT ROWID;"
                          "INSERT OR IGNORE INTO meta VALUES('format', 1);"
                          "INSERT OR IGNORE INTO meta VALUES('applied_lsn', 0);");
}

enum td_err td_state_applied(sqlite3 *db, uint64_t *out)
{
    sqlite3_stmt *stmt = td_db_prepare(db, "SELECT value FROM meta WHERE key = 'applied_lsn'");
    if (stmt == NULL) {
        return td_db_err(sqlite3_errcode(db));
    }
    int rc = sqlite3_step(stmt);
    *out = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    (void)sqlite3_finalize(stmt); /* repeats the step's code */
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? TD_OK : td_db_err(rc);
}

enum td_err td_segment_load(struct td_sys *sys, const char *path, uint32_t bytes,
                            struct td_buf *out)
{
    int file;
    td_buf_clear(out);
    enum td_err err = td_buf_reserve(out, bytes);
    err = err == TD_OK ? sys->open(sys, path, TD_SYS_OPEN_READ, &file) : err;
    if (err != TD_OK) {
        return err;
    }
    err = sys->pread(sys, file, out->p, bytes, 0, &out->n);
    sys->file_close(sys, file);
    return err;
}

/* The last op of each key, by a running number of ops. */
struct last_ops {
    struct td_map map; /* kind and key -> struct last_op */
    struct td_arena arena;
};

struct last_op {
    td_slice key;
    uint64_t number;
};

struct apply_pass {
    const struct td_state_apply *a;
    struct last_ops *last;
    sqlite3_stmt *put, *del; /* NULL in the first pass */
    uint64_t number;
    enum td_err err;
};

static struct last_op *last_find(struct last_ops *last, const struct td_op *op)
{
    uint8_t key[4096];
    if (op->key.n >= sizeof key) {
        return td_map_find(&last->map, key_copy(&last->arena, op)); /* rare: long keys */
    }
    uint8_t *end = td_put_bytes(td_put_u8(key, op->kind), op->key);
    return td_map_find(&last->map, (td_slice){key, (size_t)(end - key)});
}

static void op_note(struct apply_pass *pass, const struct td_op *op)
{
    struct last_op *l = last_find(pass->last, op);
    if (l == NULL) {
        l = td_arena_alloc(&pass->last->arena, sizeof *l);
        l->key = key_copy(&pass->last->arena, op);
        (void)td_map_put(&pass->last->map, l->key, l);
    }
    l->number = pass->number;
}

static void op_write(struct apply_pass *pass, const struct td_op *op)
{
    const struct last_op *l = last_find(pass->last, op);
    /* Rows in the log between two definitions of a stream need the first one: it is written too. */
    bool last = l != NULL && l->number == pass->number;
    if (!last && op->kind != TD_STATE_STREAM) {
        return;
    }
    sqlite3_stmt *stmt = op->gone ? pass->del : pass->put;
    enum td_err err = td_db_err(sqlite3_bind_int(stmt, 1, op->kind));
    err = err == TD_OK ? td_db_bind_slice(stmt, 2, op->key) : err;
    err = err == TD_OK && !op->gone ? td_db_bind_slice(stmt, 3, op->value) : err;
    pass->err = err == TD_OK ? td_db_run(stmt) : err;
}

static void batch_pass(struct apply_pass *pass, uint64_t lsn, td_slice batch)
{
    bool writes = pass->put != NULL && lsn < pass->a->to;
    struct td_cursor c = td_cursor_of(batch);
    for (struct td_op op; pass->err == TD_OK && td_op_next(&c, &op); pass->number++) {
        if (pass->put == NULL) {
            op_note(pass, &op);
        } else if (writes) {
            op_write(pass, &op);
        }
    }
}

static void views_pass(struct apply_pass *pass)
{
    const struct td_state_apply *a = pass->a;
    struct td_buf bytes;
    struct td_chain chain;
    td_buf_init(&bytes, UINT32_MAX);
    td_chain_init(&chain, UINT32_MAX);
    for (size_t i = 0; i < a->count && pass->err == TD_OK; i++) {
        const struct td_segment_view *v = &a->views[i];
        pass->err = td_segment_load(a->sys, v->path, v->head.bytes, &bytes);
        if (pass->err != TD_OK) {
            break;
        }
        struct td_segment_reader r;
        uint64_t end = v->end_lsn < a->durable ? v->end_lsn : a->durable;
        td_segment_read(&r, td_buf_slice(&bytes), &v->head, end);
        struct td_record rec;
        uint64_t lsn;
        td_slice batch;
        while (pass->err == TD_OK && td_segment_next(&r, &rec)) {
            if (td_chain_take(&chain, &rec, &lsn, &batch) && lsn >= a->from) {
                batch_pass(pass, lsn, batch);
            }
        }
    }
    td_chain_fini(&chain);
    td_buf_fini(&bytes);
}

static enum td_err applied_write(sqlite3 *db, uint64_t lsn)
{
    sqlite3_stmt *stmt = td_db_prepare(db, "UPDATE meta SET value = ?1 WHERE key = 'applied_lsn'");
    if (stmt == NULL) {
        return td_db_err(sqlite3_errcode(db));
    }
    (void)sqlite3_bind_int64(stmt, 1, (sqlite3_int64)lsn); /* the index is right */
    enum td_err err = td_db_run(stmt);
    (void)sqlite3_finalize(stmt); /* repeats the step's code */
    return err;
}

/* Second pass and the new LSN inside an open transaction. */
static enum td_err apply_write(struct apply_pass *pass, sqlite3 *db)
{
    pass->number = 0;
    pass->put = td_db_prepare(db, "INSERT INTO state VALUES(?1, ?2, ?3) ON CONFLICT(kind, key) "
                                  "DO UPDATE SET value = excluded.value");
    pass->del = td_db_prepare(db, "DELETE FROM state WHERE kind = ?1 AND key = ?2");
    if (pass->put == NULL || pass->del == NULL) {
        pass->err = td_db_err(sqlite3_errcode(db));
    } else {
        views_pass(pass);
    }
    (void)sqlite3_finalize(pass->put); /* repeats the step's code */
    (void)sqlite3_finalize(pass->del);
    return pass->err == TD_OK ? applied_write(db, pass->a->to) : pass->err;
}

enum td_err td_state_apply(const struct td_state_apply *a, sqlite3 *db)
{
    struct last_ops last;
    td_map_init(&last.map, 0);
    td_arena_init(&last.arena, 0);
    struct apply_pass pass = {.a = a, .last = &last};
    views_pass(&pass);
    enum td_err err = pass.err == TD_OK ? td_db_exec(db, "BEGIN IMMEDIATE") : pass.err;
    if (err == TD_OK) {
        err = apply_write(&pass, db);
        err = err == TD_OK ? td_db_exec(db, "COMMIT") : err;
        if (err != TD_OK) {
            (void)td_db_exec(db, "ROLLBACK"); /* fails when SQLite has done it already */
        }
    }
    td_map_fini(&last.map);
    td_arena_fini(&last.arena);
    return err;
}
