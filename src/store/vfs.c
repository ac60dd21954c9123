/* store: a VFS for SQLite whose files are the seam's.
 *
 * Written for what the store needs: whole-file locks belong to the data directory, WAL runs with
 * its index in memory (locking_mode EXCLUSIVE), nothing sleeps, and temporary files do not exist
 * (temp_store MEMORY). A new file's name is synced with its first sync. */
#include "store/db.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct file {
    sqlite3_file base;
    struct td_vfs *vfs;
    int fd;
    bool name_unsynced;
    bool delete_on_close;
    char *path;
};

/* Journals carry a suffix. */
enum { PATH_MAX_BYTES = TD_STORE_PATH_MAX + 16 };

static struct file *file_of(sqlite3_file *f)
{
    return (struct file *)(void *)f;
}

static struct td_vfs *vfs_of(sqlite3_vfs *v)
{
    return v->pAppData;
}

static int io_result(enum td_err err, int failed)
{
    return err == TD_OK ? SQLITE_OK : err == TD_EFULL ? SQLITE_FULL : failed;
}

static enum td_err parent_sync(struct td_vfs *vfs, const char *path)
{
    char dir[PATH_MAX_BYTES];
    (void)snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        return vfs->sys->dirsync(vfs->sys, ".");
    }
    *slash = 0;
    return vfs->sys->dirsync(vfs->sys, dir);
}

/* ---- files ---- */

static int file_close(sqlite3_file *f)
{
    struct file *file = file_of(f);
    struct td_vfs *vfs = file->vfs;
    if (!vfs->dead) {
        vfs->sys->file_close(vfs->sys, file->fd);
        if (file->delete_on_close) {
            (void)vfs->sys->unlink(vfs->sys, file->path); /* a leftover is harmless */
        }
    }
    free(file->path);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    struct file *file = file_of(f);
    size_t got = 0;
    if (file->vfs->dead || file->vfs->sys->pread(file->vfs->sys, file->fd, p, (size_t)n,
                                                 (uint64_t)at, &got) != TD_OK) {
        return SQLITE_IOERR_READ;
    }
    if (got < (size_t)n) {
        memset((uint8_t *)p + got, 0, (size_t)n - got);
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

static int file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct file *file = file_of(f);
    if (file->vfs->dead) {
        return SQLITE_IOERR_WRITE;
    }
    td_slice bytes = {p, (size_t)n};
    return io_result(file->vfs->sys->pwrite(file->vfs->sys, file->fd, bytes, (uint64_t)at),
                     SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct file *file = file_of(f);
    if (file->vfs->dead) {
        return SQLITE_IOERR_TRUNCATE;
    }
    return io_result(file->vfs->sys->truncate(file->vfs->sys, file->fd, (uint64_t)size),
                     SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *f, int flags)
{
    (void)flags; /* data and size; SQLite asks for no more */
    struct file *file = file_of(f);
    if (file->vfs->dead) {
        return SQLITE_IOERR_FSYNC;
    }
    enum td_err err = file->vfs->sys->datasync(file->vfs->sys, file->fd);
    if (err == TD_OK && file->name_unsynced) {
        err = parent_sync(file->vfs, file->path);
        file->name_unsynced = err != TD_OK;
    }
    return io_result(err, SQLITE_IOERR_FSYNC);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *out)
{
    struct file *file = file_of(f);
    uint64_t size;
    if (file->vfs->dead || file->vfs->sys->size(file->vfs->sys, file->fd, &size) != TD_OK) {
        return SQLITE_IOERR_FSTAT;
    }
    *out = (sqlite3_int64)size;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *f, int level)
{
    (void)f;
    (void)level;
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *f, int *out)
{
    (void)f;
    *out = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    (void)f;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *f)
{
    (void)f;
    return 4096;
}

static int file_character(sqlite3_file *f)
{
    (void)f;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_character,
};

/* ---- names ---- */

static int vfs_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
    struct td_vfs *vfs = vfs_of(v);
    struct file *file = file_of(f);
    f->pMethods = NULL;
    if (path == NULL || vfs->dead) {
        return SQLITE_CANTOPEN;
    }
    unsigned how = (flags & SQLITE_OPEN_READWRITE) != 0 ? TD_SYS_OPEN_WRITE : TD_SYS_OPEN_READ;
    how |= (flags & SQLITE_OPEN_CREATE) != 0 ? TD_SYS_OPEN_CREATE : 0u;
    int fd;
    enum td_err err = vfs->sys->open(vfs->sys, path, how, &fd);
    if (err != TD_OK) {
        return io_result(err, SQLITE_CANTOPEN);
    }
    *file = (struct file){
        .base.pMethods = &file_methods,
        .vfs = vfs,
        .fd = fd,
        .name_unsynced = (flags & SQLITE_OPEN_CREATE) != 0,
        .delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0,
        .path = td_strdup(td_slice_of(path)),
    };
    if (out_flags != NULL) {
        *out_flags = flags;
    }
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *path, int sync_dir)
{
    struct td_vfs *vfs = vfs_of(v);
    if (vfs->dead) {
        return SQLITE_IOERR_DELETE;
    }
    enum td_err err = vfs->sys->unlink(vfs->sys, path);
    if (err == TD_ENOENT) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    if (err == TD_OK && sync_dir != 0) {
        err = parent_sync(vfs, path);
    }
    return io_result(err, SQLITE_IOERR_DELETE);
}

/* As SQLite's own: an empty file does not count as existing. */
static int vfs_access(sqlite3_vfs *v, const char *path, int flags, int *out)
{
    struct td_vfs *vfs = vfs_of(v);
    int fd;
    uint64_t size = 0;
    if (vfs->dead) {
        return SQLITE_IOERR_ACCESS;
    }
    *out = 0;
    enum td_err err = vfs->sys->open(vfs->sys, path, TD_SYS_OPEN_READ, &fd);
    if (err == TD_ENOENT) {
        return SQLITE_OK;
    }
    if (err != TD_OK) {
        return SQLITE_IOERR_ACCESS;
    }
    err = vfs->sys->size(vfs->sys, fd, &size);
    vfs->sys->file_close(vfs->sys, fd);
    *out = flags != SQLITE_ACCESS_EXISTS || size > 0;
    return io_result(err, SQLITE_IOERR_ACCESS);
}

static int vfs_full_path(sqlite3_vfs *v, const char *path, int n, char *out)
{
    (void)v;
    return snprintf(out, (size_t)n, "%s", path) < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* ---- clock and chance ---- */

static int vfs_random(sqlite3_vfs *v, int n, char *out)
{
    (void)v; /* asked of the default VFS only, which this one never is */
    memset(out, 0, (size_t)n);
    return n;
}

static int vfs_sleep(sqlite3_vfs *v, int us)
{
    (void)v;
    return us;
}

static int vfs_now64(sqlite3_vfs *v, sqlite3_int64 *out)
{
    const sqlite3_int64 epoch_ms = INT64_C(210866760000000); /* 1970 in Julian milliseconds */
    *out = epoch_ms + vfs_of(v)->now / TD_NS_PER_MS;
    return SQLITE_OK;
}

static int vfs_now(sqlite3_vfs *v, double *out)
{
    sqlite3_int64 ms;
    (void)vfs_now64(v, &ms); /* cannot fail */
    *out = (double)ms / 86400000.0;
    return SQLITE_OK;
}

/* Its type is SQLite's. NOLINTNEXTLINE(readability-non-const-parameter) */
static int vfs_last_error(sqlite3_vfs *v, int n, char *out)
{
    (void)v;
    (void)n;
    (void)out;
    return 0;
}

void td_vfs_init(struct td_vfs *vfs, struct td_sys *sys)
{
    /* SQLite's list of VFS is the process's, so each needs a name nobody else has; this counter has
     * no partner and orders nothing. */
    static atomic_uint made;
    *vfs = (struct td_vfs){.sys = sys};
    (void)snprintf(vfs->name, sizeof vfs->name, "tandem-%u",
                   atomic_fetch_add_explicit(&made, 1, memory_order_relaxed));
    vfs->base = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof(struct file),
        .mxPathname = PATH_MAX_BYTES - 1,
        .zName = vfs->name,
        .pAppData = vfs,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_now,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_now64,
    };
    (void)sqlite3_vfs_register(&vfs->base, 0); /* fails only when SQLite cannot start at all */
}

void td_vfs_fini(struct td_vfs *vfs)
{
    (void)sqlite3_vfs_unregister(&vfs->base); /* it was registered */
}
