/* store: SQLite over the seam.
 *
 * vfs.c makes every file SQLite touches a file of td_sys, so the simulator's disk faults reach it.
 * Its locks do nothing: tandem.db has one connection, and those on history files take turns by the
 * store's gate. db.c is the little that all users of SQLite here share. */
#ifndef TD_STORE_DB_H
#define TD_STORE_DB_H

#include <sqlite3.h>

#include "base/base.h"
#include "sys/sys.h"

/* Of any file in the data directory, NUL included; td_store_open() refuses longer names. */
enum { TD_STORE_PATH_MAX = 1024 };

/* ---- vfs ---- */

struct td_vfs {
    sqlite3_vfs base;
    struct td_sys *sys;
    bool dead;   /* a crash is simulated: no call reaches the seam */
    td_wall now; /* what SQL sees as now; set before a question starts */
    char name[32];
};

/* Registers it under a name of its own. */
void td_vfs_init(struct td_vfs *vfs, struct td_sys *sys);
void td_vfs_fini(struct td_vfs *vfs);

/* ---- files ---- */

/* What a dead process left in the system's cache counts only when it is on the disk. A sync is not
 * enough for that: after one that failed, the system takes the bytes for clean and never writes
 * them. So the first `most` bytes of a file are written again, the same ones, and synced. A file
 * that does not exist is proven. TD_EIO, TD_EFULL. */
enum td_err td_file_prove(struct td_sys *sys, const char *path, uint64_t most);

/* ---- databases ---- */

enum td_db_open { TD_DB_CREATE = 1, TD_DB_MEMORY = 2 };

/* Opens a file (not made unless TD_DB_CREATE) for the use of one thread at a time. TD_ENOENT,
 * TD_EIO. */
enum td_err td_db_open(struct td_vfs *vfs, const char *path, unsigned how, sqlite3 **out);
/* Runs statements without results. */
enum td_err td_db_exec(sqlite3 *db, const char *sql);
/* Prepares one statement; NULL on failure (sqlite3_errmsg says why). */
sqlite3_stmt *td_db_prepare(sqlite3 *db, const char *sql);
/* Steps a statement to its end, then resets it. */
enum td_err td_db_run(sqlite3_stmt *stmt);
enum td_err td_db_bind_slice(sqlite3_stmt *stmt, int at, td_slice s);
td_slice td_db_column_slice(sqlite3_stmt *stmt, int at);
enum td_err td_db_err(int rc);

#endif
