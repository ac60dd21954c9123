/* store: what all users of SQLite here share. */
#include "store/db.h"

#include <stdlib.h>

static enum td_err file_rewrite(struct td_sys *sys, int file, uint64_t most)
{
    enum { PIECE = 65536 };
    uint8_t *piece = td_alloc(PIECE);
    enum td_err err = TD_OK;
    size_t got = PIECE;
    for (uint64_t at = 0; err == TD_OK && at < most && got == PIECE; at += got) {
        err =
            sys->pread(sys, file, piece, PIECE < most - at ? PIECE : (size_t)(most - at), at, &got);
        err = err == TD_OK ? sys->pwrite(sys, file, (td_slice){piece, got}, at) : err;
    }
    free(piece);
    return err == TD_OK ? sys->datasync(sys, file) : err;
}

enum td_err td_file_prove(struct td_sys *sys, const char *path, uint64_t most)
{
    int file;
    enum td_err err = sys->open(sys, path, TD_SYS_OPEN_WRITE, &file);
    if (err != TD_OK) {
        return err == TD_ENOENT ? TD_OK : err;
    }
    err = file_rewrite(sys, file, most);
    sys->file_close(sys, file);
    return err;
}

enum td_err td_db_err(int rc)
{
    switch (rc & 0xFF) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return TD_OK;
    case SQLITE_FULL:
        return TD_EFULL;
    case SQLITE_NOMEM:
        return TD_ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return TD_ECORRUPT;
    case SQLITE_CANTOPEN:
        return TD_ENOENT;
    case SQLITE_INTERRUPT:
        return TD_EAGAIN;
    default:
        return TD_EIO;
    }
}

enum td_err td_db_open(struct td_vfs *vfs, const char *path, unsigned how, sqlite3 **out)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    flags |= (how & TD_DB_CREATE) != 0 ? SQLITE_OPEN_CREATE : 0;
    flags |= (how & TD_DB_MEMORY) != 0 ? SQLITE_OPEN_MEMORY : 0;
    sqlite3 *db = NULL;
    enum td_err err = td_db_err(sqlite3_open_v2(path, &db, flags, vfs->name));
    if (err == TD_OK) {
        err = td_db_exec(db, "PRAGMA temp_store = MEMORY");
    }
    if (err != TD_OK) {
        (void)sqlite3_close_v2(db); /* nothing was written */
        return err;
    }
    *out = db;
    return TD_OK;
}

enum td_err td_db_exec(sqlite3 *db, const char *sql)
{
    return td_db_err(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

sqlite3_stmt *td_db_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    (void)sqlite3_prepare_v2(db, sql, -1, &stmt, NULL); /* NULL on failure */
    return stmt;
}

enum td_err td_db_run(sqlite3_stmt *stmt)
{
    int rc;
    do {
        rc = sqlite3_step(stmt);
    } while (rc == SQLITE_ROW);
    (void)sqlite3_reset(stmt); /* repeats the step's code */
    return td_db_err(rc);
}

enum td_err td_db_bind_slice(sqlite3_stmt *stmt, int at, td_slice s)
{
    static const uint8_t none[1];
    return td_db_err(sqlite3_bind_blob64(stmt, at, s.p != NULL ? s.p : none, s.n, SQLITE_STATIC));
}

td_slice td_db_column_slice(sqlite3_stmt *stmt, int at)
{
    const void *p = sqlite3_column_blob(stmt, at);
    return (td_slice){p, (size_t)sqlite3_column_bytes(stmt, at)};
}
