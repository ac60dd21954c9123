/* linux: files by descriptor. All calls are thread-safe, since the kernel is. */
#include "linux/linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static enum td_err err_of_errno(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return TD_ENOENT;
    case EACCES:
    case EPERM:
    case EROFS:
        return TD_EDENIED;
    case EEXIST:
        return TD_EEXIST;
    case ENOSPC:
    case EDQUOT:
        return TD_EFULL;
    default:
        return TD_EIO;
    }
}

static enum td_err result(int bad)
{
    return bad == 0 ? TD_OK : err_of_errno();
}

static enum td_err sys_open(struct td_sys *sys, const char *path, unsigned how, int *out)
{
    (void)sys;
    int flags = O_CLOEXEC | ((how & TD_SYS_OPEN_WRITE) != 0 ? O_RDWR : O_RDONLY) |
                ((how & TD_SYS_OPEN_CREATE) != 0 ? O_CREAT : 0) |
                ((how & TD_SYS_OPEN_TRUNCATE) != 0 ? O_TRUNC : 0);
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        return err_of_errno();
    }
    *out = fd;
    return TD_OK;
}

static enum td_err sys_pread(struct td_sys *sys, int file, uint8_t *p, size_t max, uint64_t at,
                             size_t *got)
{
    (void)sys;
    size_t have = 0;
    while (have < max) {
        ssize_t n = pread(file, p + have, max - have, (off_t)(at + have));
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return err_of_errno();
        }
        have += n < 0 ? 0 : (size_t)n;
    }
    *got = have;
    return TD_OK;
}

static enum td_err sys_pwrite(struct td_sys *sys, int file, td_slice bytes, uint64_t at)
{
    (void)sys;
    while (bytes.n > 0) {
        ssize_t n = pwrite(file, bytes.p, bytes.n, (off_t)at);
        if (n < 0 && errno != EINTR) {
            return err_of_errno();
        }
        bytes = td_slice_skip(bytes, n < 0 ? 0 : (size_t)n);
        at += n < 0 ? 0 : (uint64_t)n;
    }
    return TD_OK;
}

static enum td_err sys_datasync(struct td_sys *sys, int file)
{
    (void)sys;
    return result(fdatasync(file));
}

static enum td_err sys_truncate(struct td_sys *sys, int file, uint64_t size)
{
    (void)sys;
    return result(ftruncate(file, (off_t)size));
}

static enum td_err sys_size(struct td_sys *sys, int file, uint64_t *out)
{
    (void)sys;
    struct stat s;
    if (fstat(file, &s) != 0) {
        return err_of_errno();
    }
    *out = (uint64_t)s.st_size;
    return TD_OK;
}

static void sys_file_close(struct td_sys *sys, int file)
{
    (void)sys;
    (void)close(file); /* what matters was synced before */
}

static enum td_err sys_rename(struct td_sys *sys, const char *from, const char *to)
{
    (void)sys;
    return result(rename(from, to));
}

static enum td_err sys_unlink(struct td_sys *sys, const char *path)
{
    (void)sys;
    return result(unlink(path));
}

static enum td_err sys_mkdir(struct td_sys *sys, const char *path)
{
    (void)sys;
    return result(mkdir(path, 0700));
}

static enum td_err sys_dirsync(struct td_sys *sys, const char *path)
{
    (void)sys;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_of_errno();
    }
    enum td_err err = result(fsync(fd));
    (void)close(fd);
    return err;
}

static enum td_err sys_list(struct td_sys *sys, const char *path, struct td_buf *out)
{
    (void)sys;
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    if (count < 0) {
        return err_of_errno();
    }
    enum td_err err = TD_OK;
    for (int i = 0; i < count; i++) {
        td_slice name = td_slice_of(names[i]->d_name);
        if (err == TD_OK && !td_slice_eq(name, TD_STR(".")) && !td_slice_eq(name, TD_STR(".."))) {
            err = td_buf_add(out, (td_slice){name.p, name.n + 1});
        }
        free(names[i]);
    }
    free(names);
    return err;
}

static enum td_err sys_lock(struct td_sys *sys, int file)
{
    (void)sys;
    if (flock(file, LOCK_EX | LOCK_NB) == 0) {
        return TD_OK;
    }
    return errno == EWOULDBLOCK ? TD_EEXIST : err_of_errno();
}

static enum td_err sys_free_bytes(struct td_sys *sys, const char *path, uint64_t *out)
{
    (void)sys;
    struct statvfs s;
    if (statvfs(path, &s) != 0) {
        return err_of_errno();
    }
    *out = (uint64_t)s.f_bavail * s.f_frsize;
    return TD_OK;
}

void td_linux_files_fill(struct td_sys *sys)
{
    sys->open = sys_open;
    sys->pread = sys_pread;
    sys->pwrite = sys_pwrite;
    sys->datasync = sys_datasync;
    sys->truncate = sys_truncate;
    sys->size = sys_size;
    sys->file_close = sys_file_close;
    sys->rename = sys_rename;
    sys->unlink = sys_unlink;
    sys->mkdir = sys_mkdir;
    sys->dirsync = sys_dirsync;
    sys->list = sys_list;
    sys->lock = sys_lock;
    sys->free_bytes = sys_free_bytes;
}
