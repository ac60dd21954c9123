/* sim: the disk. A node is a file or a directory; a name binds a path to a node. `names` is what
 * programs see, `kept` what the platter has, `changes` leads from the one to the other, per
 * directory in order. Numbers are few (tens of files), so plain arrays do. */
#include "sim/disk.h"

#include <stdlib.h>

enum {
    SECTOR = 512,
    FILE_BYTES_MAX = 1 << 30,
    WRITES_MAX =
        4096, /* unsynced writes of one file before the system writes half back by itself */
    FILES_MAX = 1024,
    HANDLE_FIRST = 10000 /* apart from streams' handles, so that a mix-up shows */
};

struct write {
    bool truncate;  /* else bytes at `at` */
    bool in_doubt;  /* a datasync failed after it */
    uint64_t at;    /* where; the new size for truncate */
    td_slice bytes; /* owned */
};

struct node {
    bool directory;
    struct node *next;            /* all nodes of the disk, newest first */
    struct td_buf bytes, platter; /* as seen; as kept */
    struct write *writes;         /* since the last datasync */
    size_t write_count, write_cap;
    int locked_by; /* handle, -1: nobody */
    uint64_t number;
};

struct name {
    char *path;
    struct node *node;
};

struct names {
    struct name *at; /* sorted by path */
    size_t count, cap;
};

/* node != NULL: path now names it. NULL: path names nothing any more. from: a rename. */
struct change {
    char *directory, *path, *from, *from_directory; /* the last two: of a rename, else NULL */
    struct node *node;
};

struct sim_disk {
    struct sim_world *world;
    struct sim_disk_faults faults;
    struct names names, kept;
    struct change *changes;
    size_t change_count, change_cap;
    struct node *nodes;
    struct node *open[FILES_MAX];
    bool writable[FILES_MAX];
    uint64_t steps, stop_at, node_count, used;
    bool stopped;
    td_mono time;
};

/* ---- names ---- */

static size_t names_find(const struct names *n, const char *path, bool *found)
{
    size_t low = 0, high = n->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(n->at[mid].path, path);
        if (c == 0) {
            *found = true;
            return mid;
        }
        low = c < 0 ? mid + 1 : low;
        high = c < 0 ? high : mid;
    }
    *found = false;
    return low;
}

static struct node *names_get(const struct names *n, const char *path)
{
    bool found;
    size_t i = names_find(n, path, &found);
    return found ? n->at[i].node : NULL;
}

static void names_put(struct names *n, const char *path, struct node *node)
{
    bool found;
    size_t i = names_find(n, path, &found);
    if (found) {
        n->at[i].node = node;
        return;
    }
    if (n->count == n->cap) {
        n->cap = n->cap == 0 ? 16 : n->cap * 2;
        n->at = td_realloc(n->at, n->cap * sizeof *n->at);
    }
    memmove(n->at + i + 1, n->at + i, (n->count - i) * sizeof *n->at);
    n->at[i] = (struct name){td_strdup(td_slice_of(path)), node};
    n->count++;
}

static void names_remove(struct names *n, const char *path)
{
    bool found;
    size_t i = names_find(n, path, &found);
    if (found) {
        free(n->at[i].path);
        n->count--;
        memmove(n->at + i, n->at + i + 1, (n->count - i) * sizeof *n->at);
    }
}

static void names_clear(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        free(n->at[i].path);
    }
    free(n->at);
    *n = (struct names){0};
}

static void names_copy(struct names *to, const struct names *from)
{
    names_clear(to);
    for (size_t i = 0; i < from->count; i++) {
        names_put(to, from->at[i].path, from->at[i].node);
    }
}

static void names_apply(struct names *n, const struct change *c)
{
    if (c->from != NULL) {
        names_remove(n, c->from);
    }
    if (c->node != NULL) {
        names_put(n, c->path, c->node);
    } else {
        names_remove(n, c->path);
    }
}

/* "a/b" of "a/b/c"; "." when there is no directory in it. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return td_strdup(TD_STR("."));
    }
    size_t n = (size_t)(slash - path);
    return td_strdup(n == 0 ? TD_STR("/") : (td_slice){(const uint8_t *)path, n});
}

static void change_free(struct change *c)
{
    free(c->directory);
    free(c->path);
    free(c->from);
    free(c->from_directory);
}

static void change(struct sim_disk *d, const char *path, const char *from, struct node *node)
{
    if (d->change_count == d->change_cap) {
        d->change_cap = d->change_cap == 0 ? 16 : d->change_cap * 2;
        d->changes = td_realloc(d->changes, d->change_cap * sizeof *d->changes);
    }
    struct change c = {.directory = directory_of(path),
                       .path = td_strdup(td_slice_of(path)),
                       .from = from == NULL ? NULL : td_strdup(td_slice_of(from)),
                       .from_directory = from == NULL ? NULL : directory_of(from),
                       .node = node};
    d->changes[d->change_count++] = c;
    names_apply(&d->names, &c);
}

static bool concerns(const struct change *c, const char *directory)
{
    return strcmp(c->directory, directory) == 0 ||
           (c->from_directory != NULL && strcmp(c->from_directory, directory) == 0);
}

/* The first `most` changes of a directory reach the platter. */
static void changes_keep(struct sim_disk *d, const char *directory, size_t most)
{
    size_t left = 0;
    for (size_t i = 0; i < d->change_count; i++) {
        struct change *c = &d->changes[i];
        if (concerns(c, directory) && most > 0) {
            most--;
            names_apply(&d->kept, c);
            change_free(c);
        } else {
            d->changes[left++] = *c;
        }
    }
    d->change_count = left;
}

/* ---- nodes ---- */

static struct node *node_new(struct sim_disk *d, bool directory)
{
    struct node *n = td_alloc(sizeof *n);
    n->directory = directory;
    n->locked_by = -1;
    n->number = ++d->node_count;
    td_buf_init(&n->bytes, FILE_BYTES_MAX);
    td_buf_init(&n->platter, FILE_BYTES_MAX);
    n->next = d->nodes;
    d->nodes = n;
    return n;
}

static void writes_drop(struct node *n, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)n->writes[i].bytes.p);
    }
    n->write_count -= count;
    if (n->write_count > 0) {
        memmove(n->writes, n->writes + count, n->write_count * sizeof *n->writes);
    }
}

static void node_free(struct node *n)
{
    writes_drop(n, n->write_count);
    free(n->writes);
    td_buf_fini(&n->bytes);
    td_buf_fini(&n->platter);
    free(n);
}

static void resize(struct td_buf *b, uint64_t size)
{
    if (size > b->n) {
        td_assert(td_buf_reserve(b, (size_t)size - b->n) == TD_OK);
        memset(b->p + b->n, 0, (size_t)size - b->n);
    }
    b->n = (size_t)size;
}

static void put(struct td_buf *b, uint64_t at, td_slice bytes)
{
    if (bytes.n > 0) {
        resize(b, at + bytes.n > b->n ? at + bytes.n : b->n);
        memcpy(b->p + at, bytes.p, bytes.n);
    }
}

static void apply(struct td_buf *b, const struct write *w)
{
    if (w->truncate) {
        resize(b, w->at);
    } else {
        put(b, w->at, w->bytes);
    }
}

/* The first `count` writes reach the platter; those in doubt perhaps. */
static void writes_keep(struct sim_disk *d, struct node *n, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!n->writes[i].in_doubt || sim_chance(d->world, SIM_DISK, 500000)) {
            apply(&n->platter, &n->writes[i]);
        }
    }
    writes_drop(n, count);
}

static void write_note(struct sim_disk *d, struct node *n, struct write w)
{
    if (n->write_count == WRITES_MAX) {
        writes_keep(d, n, WRITES_MAX / 2);
    }
    if (n->write_count == n->write_cap) {
        n->write_cap = n->write_cap == 0 ? 16 : n->write_cap * 2;
        n->writes = td_realloc(n->writes, n->write_cap * sizeof *n->writes);
    }
    n->writes[n->write_count++] = w;
    size_t before = n->bytes.n;
    apply(&n->bytes, &w);
    d->used += n->bytes.n - before; /* wraps for less, and adds up all the same */
}

/* ---- the cut ---- */

/* keep[s] = how many of the writes that touched sector s are on the platter. */
static uint32_t *cut_plan(struct sim_disk *d, const struct node *n, enum sim_cut how,
                          size_t sectors)
{
    uint32_t *keep = td_alloc((sectors + 1) * sizeof *keep);
    for (size_t i = 0; i < n->write_count; i++) {
        const struct write *w = &n->writes[i];
        for (uint64_t s = w->at / SECTOR; !w->truncate && s * SECTOR < w->at + w->bytes.n; s++) {
            keep[s]++;
        }
    }
    for (size_t s = 0; s < sectors && how != SIM_CUT_KEPT; s++) {
        if (keep[s] > 0) {
            keep[s] =
                how == SIM_CUT_LOST ? 0 : (uint32_t)sim_below(d->world, SIM_DISK, keep[s] + 1);
        }
    }
    return keep;
}

static void cut_write(struct node *n, const struct write *w, uint32_t *keep)
{
    uint64_t end = w->at + w->bytes.n;
    for (uint64_t at = w->at; at < end;) {
        uint64_t next = (at / SECTOR + 1) * SECTOR;
        next = next > end ? end : next;
        if (keep[at / SECTOR] > 0) {
            keep[at / SECTOR]--;
            put(&n->platter, at, (td_slice){w->bytes.p + (at - w->at), (size_t)(next - at)});
        }
        at = next;
    }
}

static uint64_t truncates_of(const struct node *n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n->write_count; i++) {
        count += n->writes[i].truncate;
    }
    return count;
}

static void node_cut(struct sim_disk *d, struct node *n, enum sim_cut how)
{
    uint64_t end = n->bytes.n;
    for (size_t i = 0; i < n->write_count; i++) {
        uint64_t e = n->writes[i].at + n->writes[i].bytes.n;
        end = e > end ? e : end;
    }
    uint64_t truncates = truncates_of(n); /* changes of the size are kept in order */
    if (how != SIM_CUT_KEPT) {
        truncates = how == SIM_CUT_LOST ? 0 : sim_below(d->world, SIM_DISK, truncates + 1);
    }
    uint32_t *keep = cut_plan(d, n, how, (size_t)(end / SECTOR) + 1);
    for (size_t i = 0; i < n->write_count; i++) {
        const struct write *w = &n->writes[i];
        if (!w->truncate) {
            cut_write(n, w, keep);
        } else if (truncates > 0) {
            truncates--;
            resize(&n->platter, w->at);
        }
    }
    free(keep);
    if (how == SIM_CUT_RANDOM && n->platter.n < n->bytes.n &&
        sim_chance(d->world, SIM_DISK, 250000)) {
        resize(&n->platter, n->bytes.n); /* the size came through before the bytes: zeros */
    }
    writes_drop(n, n->write_count);
}

static void names_cut(struct sim_disk *d, enum sim_cut how)
{
    while (d->change_count > 0 && how != SIM_CUT_LOST) {
        char *directory = td_strdup(td_slice_of(d->changes[0].directory));
        size_t count = 0, left = 0;
        for (size_t i = 0; i < d->change_count; i++) {
            count += concerns(&d->changes[i], directory);
        }
        count = how == SIM_CUT_KEPT ? count : (size_t)sim_below(d->world, SIM_DISK, count + 1);
        changes_keep(d, directory, count);
        for (size_t i = 0; i < d->change_count; i++) { /* the rest of them is lost */
            if (concerns(&d->changes[i], directory)) {
                change_free(&d->changes[i]);
            } else {
                d->changes[left++] = d->changes[i];
            }
        }
        d->change_count = left;
        free(directory);
    }
    for (size_t i = 0; i < d->change_count; i++) {
        change_free(&d->changes[i]);
    }
    d->change_count = 0;
}

/* A name whose directory is lost is lost too. */
static void names_prune(struct names *n)
{
    for (size_t i = 0; i < n->count;) {
        char *directory = directory_of(n->at[i].path);
        bool root = strcmp(directory, ".") == 0 || strcmp(directory, "/") == 0;
        const struct node *parent = names_get(n, directory);
        free(directory);
        if (root || (parent != NULL && parent->directory)) {
            i++;
        } else {
            names_remove(n, n->at[i].path);
            i = 0;
        }
    }
}

static bool named(const struct names *n, const struct node *node)
{
    for (size_t i = 0; i < n->count; i++) {
        if (n->at[i].node == node) {
            return true;
        }
    }
    return false;
}

static void nodes_sweep(struct sim_disk *d)
{
    d->used = 0;
    for (struct node **at = &d->nodes; *at != NULL;) {
        struct node *n = *at;
        n->locked_by = -1;
        if (named(&d->names, n) || named(&d->kept, n)) {
            d->used += n->bytes.n;
            at = &n->next;
        } else {
            *at = n->next;
            node_free(n);
        }
    }
}

void sim_disk_cut(struct sim_disk *d, enum sim_cut how)
{
    if (how == SIM_CUT_ANY) {
        how = (enum sim_cut)sim_below(d->world, SIM_DISK, SIM_CUT_ANY);
    }
    names_cut(d, how);
    names_prune(&d->kept);
    names_copy(&d->names, &d->kept);
    for (struct node *n = d->nodes; n != NULL; n = n->next) {
        node_cut(d, n, how);
        resize(&n->bytes, 0);
        put(&n->bytes, 0, td_buf_slice(&n->platter));
    }
    sim_disk_killed(d);
    sim_trace(d->world, "cut", how, d->used, (td_slice){0});
}

void sim_disk_killed(struct sim_disk *d)
{
    memset(d->open, 0, sizeof d->open);
    d->stopped = false;
    d->stop_at = 0;
    d->time = 0;
    bool changing = d->change_count > 0; /* then nodes may still be wanted by a change */
    if (!changing) {
        nodes_sweep(d);
    }
    for (struct node *n = d->nodes; n != NULL; n = n->next) {
        n->locked_by = -1;
    }
}

/* ---- the seam ---- */

static struct sim_disk *of(struct td_sys *sys)
{
    const struct sim_machine *m = TD_CONTAINER(sys, struct sim_machine, sys);
    td_assert(m->disk != NULL);
    return m->disk;
}

static bool dead(struct td_sys *sys)
{
    const struct sim_machine *m = TD_CONTAINER(sys, struct sim_machine, sys);
    return m->dead || of(sys)->stopped;
}

/* Every changing call passes here: the power may fail just before it, or it may fail by itself. */
static enum td_err step(struct td_sys *sys, uint32_t ppm)
{
    struct sim_disk *d = of(sys);
    if (!dead(sys)) {
        d->steps++;
        d->stopped = d->stop_at != 0 && d->steps >= d->stop_at;
    }
    if (dead(sys)) {
        return TD_EIO;
    }
    d->time += 2000;
    return sim_chance(d->world, SIM_DISK, ppm) ? TD_EIO : TD_OK;
}

static struct node *node_of(struct sim_disk *d, int file)
{
    td_assert(file >= HANDLE_FIRST && file < HANDLE_FIRST + FILES_MAX);
    struct node *n = d->open[file - HANDLE_FIRST];
    td_assert(n != NULL); /* a closed or foreign handle */
    return n;
}

static enum td_err open_node(struct sim_disk *d, const char *path, unsigned how, struct node **out)
{
    struct node *n = names_get(&d->names, path);
    if (n == NULL) {
        char *directory = directory_of(path);
        const struct node *parent = names_get(&d->names, directory);
        bool root = strcmp(directory, ".") == 0 || strcmp(directory, "/") == 0;
        free(directory);
        if ((how & TD_SYS_OPEN_CREATE) == 0 || (!root && (parent == NULL || !parent->directory))) {
            return TD_ENOENT;
        }
        n = node_new(d, false);
        change(d, path, NULL, n);
    } else if (n->directory) {
        return TD_EDENIED;
    } else if ((how & TD_SYS_OPEN_TRUNCATE) != 0 && n->bytes.n > 0) {
        write_note(d, n, (struct write){.truncate = true});
    }
    *out = n;
    return TD_OK;
}

static enum td_err sys_open(struct td_sys *sys, const char *path, unsigned how, int *out)
{
    struct sim_disk *d = of(sys);
    bool changes = (how & (TD_SYS_OPEN_CREATE | TD_SYS_OPEN_TRUNCATE)) != 0;
    enum td_err err = changes ? step(sys, d->faults.open_ppm) : TD_OK;
    if (!changes && sim_chance(d->world, SIM_DISK, d->faults.open_ppm)) {
        err = TD_EIO;
    }
    size_t i = 0;
    while (i < FILES_MAX && d->open[i] != NULL) {
        i++;
    }
    struct node *n = NULL;
    if (err == TD_OK) {
        err = i == FILES_MAX ? TD_EFULL : open_node(d, path, how, &n);
    }
    if (err == TD_OK) {
        d->open[i] = n;
        d->writable[i] = (how & TD_SYS_OPEN_WRITE) != 0;
        *out = (int)i + HANDLE_FIRST;
    }
    sim_trace(d->world, "open", how, (uint64_t)-err, td_slice_of(path));
    return err;
}

static enum td_err sys_pread(struct td_sys *sys, int file, uint8_t *p, size_t max, uint64_t at,
                             size_t *got)
{
    struct sim_disk *d = of(sys);
    const struct node *n = node_of(d, file);
    if (sim_chance(d->world, SIM_DISK, d->faults.read_ppm)) {
        return TD_EIO;
    }
    size_t have = at >= n->bytes.n ? 0 : n->bytes.n - (size_t)at;
    have = have > max ? max : have;
    if (have > 0) {
        memcpy(p, n->bytes.p + at, have);
    }
    d->time += 1000;
    *got = have;
    return TD_OK;
}

static enum td_err sys_pwrite(struct td_sys *sys, int file, td_slice bytes, uint64_t at)
{
    struct sim_disk *d = of(sys);
    struct node *n = node_of(d, file);
    enum td_err err = step(sys, d->faults.write_ppm);
    if (err == TD_OK && !d->writable[file - HANDLE_FIRST]) {
        err = TD_EDENIED;
    }
    uint64_t more = at + bytes.n > n->bytes.n ? at + bytes.n - n->bytes.n : 0;
    if (err == TD_OK && d->faults.space_bytes != 0 && more > 0 &&
        d->used + more > d->faults.space_bytes) {
        err = TD_EFULL;
    }
    size_t n_before = bytes.n;
    if (err == TD_EFULL || err == TD_EIO) { /* some of it may have got there before it failed */
        bytes.n = dead(sys) || err == TD_EFULL || bytes.n == 0
                      ? 0
                      : (size_t)sim_below(d->world, SIM_DISK, bytes.n);
    }
    if (bytes.n > 0) {
        uint8_t *copy = td_alloc(bytes.n);
        memcpy(copy, bytes.p, bytes.n);
        write_note(d, n, (struct write){.at = at, .bytes = {copy, bytes.n}});
    }
    d->time += (td_mono)(n_before / 4);
    sim_trace(d->world, "pwrite", n->number, at, bytes);
    return err;
}

static enum td_err sys_datasync(struct td_sys *sys, int file)
{
    struct sim_disk *d = of(sys);
    struct node *n = node_of(d, file);
    enum td_err err = step(sys, d->faults.sync_ppm);
    const struct sim_disk_faults *f = &d->faults;
    if (err == TD_OK) {
        writes_keep(d, n, n->write_count);
    } else if (!dead(sys)) {
        for (size_t i = 0; i < n->write_count; i++) {
            n->writes[i].in_doubt = true;
        }
    }
    d->time +=
        (td_mono)sim_between(d->world, SIM_DISK, (uint64_t)f->sync_min, (uint64_t)f->sync_max);
    sim_trace(d->world, "datasync", n->number, (uint64_t)-err, (td_slice){0});
    return err;
}

static enum td_err sys_truncate(struct td_sys *sys, int file, uint64_t size)
{
    struct sim_disk *d = of(sys);
    struct node *n = node_of(d, file);
    enum td_err err = step(sys, d->faults.write_ppm);
    if (err == TD_OK) {
        write_note(d, n, (struct write){.truncate = true, .at = size});
    }
    sim_trace(d->world, "truncate", n->number, size, (td_slice){0});
    return err;
}

static enum td_err sys_size(struct td_sys *sys, int file, uint64_t *out)
{
    *out = node_of(of(sys), file)->bytes.n;
    return TD_OK;
}

static void sys_file_close(struct td_sys *sys, int file)
{
    struct sim_disk *d = of(sys);
    struct node *n = node_of(d, file);
    if (n->locked_by == file) {
        n->locked_by = -1;
    }
    d->open[file - HANDLE_FIRST] = NULL;
}

static enum td_err sys_rename(struct td_sys *sys, const char *from, const char *to)
{
    struct sim_disk *d = of(sys);
    struct node *n = names_get(&d->names, from);
    enum td_err err = step(sys, d->faults.write_ppm);
    if (err == TD_OK && n == NULL) {
        err = TD_ENOENT;
    }
    if (err == TD_OK) {
        change(d, to, from, n);
    }
    sim_trace(d->world, "rename", (uint64_t)-err, 0, td_slice_of(to));
    return err;
}

static enum td_err sys_unlink(struct td_sys *sys, const char *path)
{
    struct sim_disk *d = of(sys);
    const struct node *n = names_get(&d->names, path);
    enum td_err err = step(sys, d->faults.write_ppm);
    if (err == TD_OK && (n == NULL || n->directory)) {
        err = n == NULL ? TD_ENOENT : TD_EDENIED;
    }
    if (err == TD_OK) {
        d->used -= n->bytes.n;
        change(d, path, NULL, NULL);
    }
    sim_trace(d->world, "unlink", (uint64_t)-err, 0, td_slice_of(path));
    return err;
}

static enum td_err sys_mkdir(struct td_sys *sys, const char *path)
{
    struct sim_disk *d = of(sys);
    enum td_err err = step(sys, d->faults.write_ppm);
    if (err == TD_OK && names_get(&d->names, path) != NULL) {
        err = TD_EEXIST;
    }
    if (err == TD_OK) {
        char *directory = directory_of(path);
        const struct node *parent = names_get(&d->names, directory);
        bool root = strcmp(directory, ".") == 0 || strcmp(directory, "/") == 0;
        free(directory);
        err = root || (parent != NULL && parent->directory) ? TD_OK : TD_ENOENT;
    }
    if (err == TD_OK) {
        change(d, path, NULL, node_new(d, true));
    }
    sim_trace(d->world, "mkdir", (uint64_t)-err, 0, td_slice_of(path));
    return err;
}

static bool directory_known(const struct sim_disk *d, const char *path)
{
    const struct node *n = names_get(&d->names, path);
    return strcmp(path, ".") == 0 || strcmp(path, "/") == 0 || (n != NULL && n->directory);
}

static enum td_err sys_dirsync(struct td_sys *sys, const char *path)
{
    struct sim_disk *d = of(sys);
    enum td_err err = step(sys, d->faults.sync_ppm);
    if (err == TD_OK && !directory_known(d, path)) {
        err = TD_ENOENT;
    }
    if (err == TD_OK) {
        changes_keep(d, path, SIZE_MAX);
    }
    d->time += d->faults.sync_min;
    sim_trace(d->world, "dirsync", (uint64_t)-err, 0, td_slice_of(path));
    return err;
}

static enum td_err sys_list(struct td_sys *sys, const char *path, struct td_buf *out)
{
    struct sim_disk *d = of(sys);
    if (!directory_known(d, path)) {
        return TD_ENOENT;
    }
    enum td_err err = TD_OK;
    for (size_t i = 0; i < d->names.count && err == TD_OK; i++) {
        const char *full = d->names.at[i].path;
        char *directory = directory_of(full);
        if (strcmp(directory, path) == 0) {
            const char *slash = strrchr(full, '/');
            td_slice name = td_slice_of(slash == NULL ? full : slash + 1);
            err = td_buf_add(out, (td_slice){name.p, name.n + 1});
        }
        free(directory);
    }
    return err;
}

static enum td_err sys_lock(struct td_sys *sys, int file)
{
    struct node *n = node_of(of(sys), file);
    if (n->locked_by >= 0 && n->locked_by != file) {
        return TD_EEXIST;
    }
    n->locked_by = file;
    return TD_OK;
}

static enum td_err sys_free_bytes(struct td_sys *sys, const char *path, uint64_t *out)
{
    const struct sim_disk *d = of(sys);
    (void)path;
    uint64_t space = d->faults.space_bytes == 0 ? UINT64_C(1) << 40 : d->faults.space_bytes;
    *out = space > d->used ? space - d->used : 0;
    return TD_OK;
}

void sim_disk_fill(struct td_sys *sys)
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

/* ---- from outside ---- */

struct sim_disk *sim_disk_new(struct sim_world *w)
{
    struct sim_disk *d = td_alloc(sizeof *d);
    d->world = w;
    d->faults.sync_min = 1000000;
    d->faults.sync_max = 5000000;
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    names_clear(&d->names);
    names_clear(&d->kept);
    for (size_t i = 0; i < d->change_count; i++) {
        change_free(&d->changes[i]);
    }
    free(d->changes);
    while (d->nodes != NULL) {
        struct node *next = d->nodes->next;
        node_free(d->nodes);
        d->nodes = next;
    }
    free(d);
}

struct sim_disk_faults *sim_disk_faults(struct sim_disk *d)
{
    return &d->faults;
}

uint64_t sim_disk_steps(const struct sim_disk *d)
{
    return d->steps;
}

void sim_disk_stop_at(struct sim_disk *d, uint64_t at)
{
    d->stop_at = at;
}

bool sim_disk_stopped(const struct sim_disk *d)
{
    return d->stopped;
}

uint64_t sim_disk_used(const struct sim_disk *d)
{
    return d->used;
}

td_mono sim_disk_time_take(struct sim_disk *d)
{
    td_mono time = d->time;
    d->time = 0;
    return time;
}

td_slice sim_disk_peek(const struct sim_disk *d, const char *path)
{
    static const uint8_t empty[1];
    const struct node *n = names_get(&d->names, path);
    if (n == NULL || n->directory) {
        return (td_slice){0};
    }
    return n->bytes.n == 0 ? (td_slice){empty, 0} : td_buf_slice(&n->bytes);
}

bool sim_disk_flip(struct sim_disk *d, const char *path, uint64_t byte, unsigned bit)
{
    struct node *n = names_get(&d->names, path);
    if (n == NULL || n->directory || byte >= n->bytes.n) {
        return false;
    }
    n->bytes.p[byte] ^= (uint8_t)(1u << bit % 8);
    if (byte < n->platter.n) {
        n->platter.p[byte] ^= (uint8_t)(1u << bit % 8);
    }
    return true;
}
