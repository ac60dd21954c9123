/* store: what to do when tandem.db cannot be read: it is set aside, and what a walk over its tables
 * from both ends still finds goes into a new one. Entries younger than the last time the state map
 * was applied are in the log anyway. */
#include <stdio.h>

#include "store/impl.h"

/* Walks over all of it, as a start will. */
static enum td_err db_read(sqlite3 *db)
{
    sqlite3_stmt *stmt = td_db_prepare(db, "SELECT sum(length(key) + length(value)) FROM state "
                                           "UNION ALL SELECT count(value) FROM meta");
    enum td_err err = stmt != NULL ? td_db_run(stmt) : td_db_err(sqlite3_errcode(db));
    (void)sqlite3_finalize(stmt); /* repeats the step's code */
    return err;
}

static void db_set_aside(struct td_store *store)
{
    char from[TD_STORE_PATH_MAX], to[TD_STORE_PATH_MAX];
    (void)sqlite3_close_v2(store->db); /* it is given up */
    store->db = NULL;
    (void)store->sys->mkdir(store->sys, store->damaged_dir); /* there, or the rename says so */
    static const char *const suffixes[] = {"", "-wal", "-journal"};
    for (size_t i = 0; i < TD_COUNT(suffixes); i++) {
        (void)snprintf(from, sizeof from, "%s/tandem.db%s", store->dir, suffixes[i]);
        (void)snprintf(to, sizeof to, "%s/damaged/tandem.db%s", store->dir, suffixes[i]);
        (void)store->sys->rename(store->sys, from, to); /* the suffixed ones may not be there */
    }
    (void)store->sys->dirsync(store->sys, store->damaged_dir); /* as safe as a rescue can be */
    (void)store->sys->dirsync(store->sys, store->dir);
}

/* Copies rows until the walk breaks; gives how many were new. */
static uint64_t rows_copy(sqlite3 *from, sqlite3 *to, const char *select, const char *insert)
{
    sqlite3_stmt *get = td_db_prepare(from, select), *put = td_db_prepare(to, insert);
    uint64_t copied = 0;
    while (get != NULL && put != NULL && sqlite3_step(get) == SQLITE_ROW) {
        bool bound = true;
        for (int i = 0; i < sqlite3_column_count(get); i++) {
            bound =
                bound && sqlite3_bind_value(put, i + 1, sqlite3_column_value(get, i)) == SQLITE_OK;
        }
        copied += bound && td_db_run(put) == TD_OK ? (uint64_t)sqlite3_changes(to) : 0;
    }
    (void)sqlite3_finalize(get); /* it broke, as was known */
    (void)sqlite3_finalize(put);
    return copied;
}

static uint64_t state_copy(sqlite3 *from, sqlite3 *to)
{
    static const char insert[] = "INSERT OR IGNORE INTO state VALUES(?1, ?2, ?3)";
    uint64_t copied =
        rows_copy(from, to, "SELECT kind, key, value FROM state ORDER BY kind, key", insert);
    copied += rows_copy(from, to, "SELECT kind, key, value FROM state ORDER BY kind DESC, key DESC",
                        insert);
    (void)rows_copy(from, to, "SELECT key, value FROM meta",
                    "INSERT OR REPLACE INTO meta VALUES(?1, ?2)");
    return copied;
}

static void db_rescue(struct td_store *store)
{
    char path[TD_STORE_PATH_MAX];
    sqlite3 *old;
    uint64_t copied = 0;
    (void)snprintf(path, sizeof path, "%s/damaged/tandem.db", store->dir);
    if (td_db_open(&store->vfs, path, 0, &old) == TD_OK) {
        if (td_db_exec(old, "PRAGMA locking_mode = EXCLUSIVE") == TD_OK &&
            td_db_exec(store->db, "BEGIN") == TD_OK) {
            copied = state_copy(old, store->db);
            (void)td_db_exec(store->db, "COMMIT"); /* else the next reading finds it empty */
        }
        (void)sqlite3_close_v2(old); /* it stays as it is */
    }
    td_store_damage(store,
                    "tandem.db: damaged, moved to %s; %llu entries of it were saved, the others "
                    "are lost unless the log still has them; a backup of tandem.db may hold more",
                    store->damaged_dir, (unsigned long long)copied);
}

enum td_err td_store_db_ready(struct td_store *store, td_store_opener *opener)
{
    enum td_err err = opener(store);
    err = err == TD_OK ? db_read(store->db) : err;
    if (err != TD_ECORRUPT) {
        return err;
    }
    db_set_aside(store);
    err = opener(store);
    if (err == TD_OK) {
        db_rescue(store);
    }
    return err;
}
