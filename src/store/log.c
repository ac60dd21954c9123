/* store: the ring of segments and group commit. */
#include "store/log.h"

#include <stdio.h>
#include <stdlib.h>

static void work_run(struct td_work *w);
static void work_done(struct td_work *w);

void td_log_init(struct td_log *log, struct td_sys *sys, const char *dir, uint32_t segment_bytes,
                 uint32_t count, uint32_t commit_bytes, uint32_t staged_max)
{
    *log = (struct td_log){
        .work = {.run = work_run, .done = work_done, .lane = TD_LANE_COMMIT},
        .sys = sys,
        .dir = td_strdup(td_slice_of(dir)),
        .segment_bytes = segment_bytes,
        .count = count,
        .commit_bytes = commit_bytes,
        .staged_max = staged_max,
        .first = 1,
        .due = TD_NEVER,
    };
    log->segment_cap = count + staged_max / (segment_bytes - 2 * TD_SEGMENT_RESERVE) + 8;
    log->segments = td_alloc(log->segment_cap * sizeof *log->segments);
    log->files = td_alloc(count * sizeof *log->files);
    for (uint32_t i = 0; i < count; i++) {
        log->files[i] = -1;
    }
    /* Padding and record heads come on top of what callers stage. */
    td_buf_init(&log->gather.bytes, (size_t)staged_max * 2 + segment_bytes);
    td_buf_init(&log->write.bytes, (size_t)staged_max * 2 + segment_bytes);
}

void td_log_fini(struct td_log *log, bool crashed)
{
    for (uint32_t i = 0; i < log->count && !crashed; i++) {
        if (log->files[i] >= 0) {
            log->sys->file_close(log->sys, log->files[i]);
        }
    }
    td_buf_fini(&log->gather.bytes);
    td_buf_fini(&log->write.bytes);
    free(log->gather.extents);
    free(log->write.extents);
    free(log->segments);
    free(log->files);
    free(log->dir);
}

void td_log_path(const struct td_log *log, uint32_t slot, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%02u.tlog", log->dir, (unsigned)slot);
}

void td_log_fail(struct td_log *log, const char *what, enum td_err err)
{
    if (!log->failed) {
        log->failed = true;
        (void)snprintf(log->failure, sizeof log->failure,
                       "%s: %s; nothing is acknowledged any more; make room or replace the disk, "
                       "then restart",
                       what, td_err_text(err));
    }
}

/* ---- files ---- */

static enum td_err zeros_write(struct td_sys *sys, int file, uint64_t size)
{
    static const uint8_t zeros[65536];
    enum td_err err = TD_OK;
    for (uint64_t at = 0; at < size && err == TD_OK; at += sizeof zeros) {
        uint64_t n = size - at < sizeof zeros ? size - at : sizeof zeros;
        err = sys->pwrite(sys, file, (td_slice){zeros, (size_t)n}, at);
    }
    return err;
}

static enum td_err file_prepare(struct td_log *log, uint32_t slot)
{
    struct td_sys *sys = log->sys;
    char path[TD_LOG_PATH_MAX];
    td_log_path(log, slot, path, sizeof path);
    enum td_err err =
        sys->open(sys, path, TD_SYS_OPEN_WRITE | TD_SYS_OPEN_CREATE, &log->files[slot]);
    uint64_t size = 0;
    if (err == TD_OK) {
        err = sys->size(sys, log->files[slot], &size);
    }
    if (err != TD_OK || size == log->segment_bytes) {
        return err;
    }
    if (size > log->segment_bytes) {
        err = sys->truncate(sys, log->files[slot], log->segment_bytes);
    }
    err = err == TD_OK ? zeros_write(sys, log->files[slot], log->segment_bytes) : err;
    return err == TD_OK ? sys->datasync(sys, log->files[slot]) : err;
}

/* The names are synced even if all were there: an earlier start may have made them and died. */
enum td_err td_log_prepare(struct td_log *log)
{
    enum td_err err = TD_OK;
    for (uint32_t i = 0; i < log->count && err == TD_OK; i++) {
        err = file_prepare(log, i);
    }
    return err == TD_OK ? log->sys->dirsync(log->sys, log->dir) : err;
}

/* ---- segments ---- */

static struct td_log_segment *segment_at(const struct td_log *log, uint64_t number)
{
    return &log->segments[number % log->segment_cap];
}

const struct td_log_segment *td_log_segment(const struct td_log *log, uint64_t number)
{
    return segment_at(log, number);
}

static void segments_grow(struct td_log *log)
{
    size_t cap = log->segment_cap * 2;
    struct td_log_segment *all = td_alloc(cap * sizeof *all);
    for (uint64_t n = log->first; n <= log->last; n++) {
        all[n % cap] = *segment_at(log, n);
    }
    free(log->segments);
    log->segments = all;
    log->segment_cap = cap;
}

void td_log_found(struct td_log *log, uint64_t number, const struct td_log_segment *segment)
{
    if (log->first > log->last) {
        log->first = number;
    }
    while (number - log->first >= log->segment_cap) { /* the ring was longer before */
        segments_grow(log);
    }
    log->last = number;
    *segment_at(log, number) = *segment;
    log->at = segment->end_lsn;
}

uint64_t td_log_used(const struct td_log *log)
{
    return log->last + 1 - log->first;
}

static bool segment_free(const struct td_log *log, uint64_t number)
{
    return number - log->first < log->count;
}

void td_log_release(struct td_log *log, uint64_t lsn)
{
    while (log->first < log->last && segment_at(log, log->first)->end_lsn <= lsn) {
        log->first++;
    }
}

/* ---- staging ---- */

static void bytes_reserve(struct td_log *log, size_t more)
{
    if (td_buf_reserve(&log->gather.bytes, more) != TD_OK) {
        /* staged_max was tested before; what remains is a machine without memory. */
        (void)td_realloc(NULL, SIZE_MAX / 2);
    }
}

static struct td_log_extent *extent_add(struct td_log_batch *b)
{
    if (b->count == b->cap) {
        b->cap = b->cap == 0 ? 8 : b->cap * 2;
        b->extents = td_realloc(b->extents, b->cap * sizeof *b->extents);
    }
    struct td_log_extent *e = &b->extents[b->count++];
    *e = (struct td_log_extent){.from = b->bytes.n, .to = b->bytes.n};
    return e;
}

static void extent_grow(struct td_log *log, size_t n)
{
    log->gather.bytes.n += n;
    log->gather.extents[log->gather.count - 1].to = log->gather.bytes.n;
    log->at += n;
    segment_at(log, log->last)->end_lsn = log->at;
}

static void record_close(struct td_log *log)
{
    if (log->open_record == 0) {
        return;
    }
    uint8_t *record = log->gather.bytes.p + log->open_record - 1;
    size_t size = log->gather.bytes.n - (log->open_record - 1);
    td_record_seal(record, log->last, log->open_kind, log->at - size, size - TD_RECORD_HEAD);
    log->open_record = 0;
}

/* Ends the open piece with a commit record up to a sector boundary. */
static void piece_close(struct td_log *log)
{
    record_close(log);
    if (log->piece_lsn == 0) {
        return;
    }
    uint64_t offset = log->at - segment_at(log, log->last)->first_lsn;
    size_t gap = TD_SEGMENT_SECTOR - (size_t)(offset % TD_SEGMENT_SECTOR);
    gap += gap < TD_COMMIT_LEAST ? TD_SEGMENT_SECTOR : 0;
    bytes_reserve(log, gap);
    uint8_t *record = log->gather.bytes.p + log->gather.bytes.n;
    memset(record, 0, gap);
    (void)td_put_u64(record + TD_RECORD_HEAD, log->piece_lsn);
    td_record_seal(record, log->last, TD_RECORD_COMMIT, log->at, gap - TD_RECORD_HEAD);
    extent_grow(log, gap);
    log->piece_lsn = 0;
}

static void segment_enter(struct td_log *log)
{
    piece_close(log);
    bool any = log->first <= log->last;
    uint64_t first_lsn = log->segment_bytes + log->floor, prev_end = 0;
    if (any) {
        const struct td_log_segment *before = segment_at(log, log->last);
        first_lsn = before->first_lsn + before->bytes;
        prev_end = before->end_lsn;
    }
    log->last++;
    log->first = any ? log->first : log->last;
    td_assert(td_log_used(log) <= log->segment_cap);
    *segment_at(log, log->last) =
        (struct td_log_segment){.first_lsn = first_lsn,
                                .end_lsn = first_lsn + TD_SEGMENT_HEAD,
                                .bytes = log->segment_bytes,
                                .slot = (uint32_t)(log->last % log->count)};
    log->at = first_lsn + TD_SEGMENT_HEAD;
    log->entered = true;
    struct td_log_extent *e = extent_add(&log->gather);
    e->segment = log->last;
    e->offset = TD_SEGMENT_HEAD;
    e->enter = true;
    e->head = (struct td_segment_head){log->last, first_lsn, prev_end, 0, log->segment_bytes};
    log->piece_lsn = log->at;
}

static size_t segment_left(const struct td_log *log)
{
    if (!log->entered) {
        return 0;
    }
    size_t used = (size_t)(log->at - segment_at(log, log->last)->first_lsn);
    size_t usable = log->segment_bytes - TD_SEGMENT_RESERVE;
    return used < usable ? usable - used : 0;
}

/* Makes room for `size` bytes in one segment and an open piece to put them in. */
static void room_make(struct td_log *log, size_t size)
{
    if (segment_left(log) < size) {
        segment_enter(log);
    } else if (log->piece_lsn == 0) {
        struct td_log_extent *e = extent_add(&log->gather);
        e->segment = log->last;
        e->offset = (uint32_t)(log->at - segment_at(log, log->last)->first_lsn);
        log->piece_lsn = log->at;
    }
    bytes_reserve(log, size);
}

static bool staged_full(struct td_log *log)
{
    if (log->gather.bytes.n > log->staged_max) {
        td_log_fail(log, "more was staged than log.staged_bytes_max allows", TD_EFULL);
    }
    return log->failed;
}

size_t td_log_payload_max(const struct td_log *log)
{
    return log->segment_bytes - TD_SEGMENT_HEAD - TD_SEGMENT_RESERVE - TD_RECORD_HEAD;
}

uint64_t td_log_append(struct td_log *log, uint8_t kind, td_slice payload, td_mono due)
{
    td_assert(payload.n <= td_log_payload_max(log));
    if (staged_full(log)) {
        return UINT64_MAX;
    }
    record_close(log);
    size_t size = TD_RECORD_HEAD + payload.n;
    room_make(log, size);
    uint8_t *record = log->gather.bytes.p + log->gather.bytes.n;
    (void)td_put_bytes(record + TD_RECORD_HEAD, payload);
    td_record_seal(record, log->last, kind, log->at, payload.n);
    extent_grow(log, size);
    log->due = td_mono_min(log->due, due);
    log->records++;
    return log->at;
}

bool td_log_open(struct td_log *log, uint8_t kind, size_t need)
{
    enum { RECORD_MOST = 65536 };
    bool fits = log->open_record != 0 && log->open_kind == kind && need <= segment_left(log) &&
                log->gather.bytes.n - log->open_record + need < RECORD_MOST;
    if (fits) {
        bytes_reserve(log, need);
        return false;
    }
    record_close(log);
    room_make(log, TD_RECORD_HEAD + need);
    log->open_record = log->gather.bytes.n + 1;
    log->open_kind = kind;
    memset(log->gather.bytes.p + log->gather.bytes.n, 0, TD_RECORD_HEAD);
    extent_grow(log, TD_RECORD_HEAD);
    log->records++;
    return true;
}

uint64_t td_log_extend(struct td_log *log, td_slice bytes, td_mono due)
{
    td_assert(log->open_record != 0);
    (void)td_put_bytes(log->gather.bytes.p + log->gather.bytes.n, bytes);
    extent_grow(log, bytes.n);
    log->due = td_mono_min(log->due, due);
    return staged_full(log) ? UINT64_MAX : log->at;
}

uint64_t td_log_next(const struct td_log *log)
{
    return log->at;
}

void td_log_chain(struct td_log *log, uint64_t from, uint64_t end)
{
    for (uint64_t n = log->first; n < log->last; n++) {
        struct td_log_segment *s = segment_at(log, n);
        if (from < s->end_lsn && end > s->end_lsn) {
            s->chain_end = end;
        }
    }
}

/* ---- commit ---- */

bool td_log_blocked(const struct td_log *log)
{
    return log->gather.count > 0 && !segment_free(log, log->gather.extents[0].segment);
}

/* Moves the first `count` extents from gather to write. */
static void batch_take(struct td_log *log, size_t count)
{
    struct td_log_batch taken = log->gather;
    log->gather = log->write;
    log->write = taken;
    log->gather.count = 0;
    td_buf_clear(&log->gather.bytes);
    size_t cut = log->write.extents[count - 1].to;
    for (size_t i = count; i < log->write.count; i++) {
        struct td_log_extent *e = extent_add(&log->gather);
        *e = log->write.extents[i];
        e->from -= cut;
        e->to -= cut;
    }
    bytes_reserve(log, log->write.bytes.n - cut);
    (void)td_buf_add(&log->gather.bytes, td_slice_skip(td_buf_slice(&log->write.bytes), cut));
    log->write.count = count;
    log->write.bytes.n = cut;
}

void td_log_turn(struct td_log *log, td_mono now, bool now_all)
{
    bool due = now_all || log->due <= now || log->gather.bytes.n >= log->commit_bytes;
    if (!due || log->busy || log->failed || log->gather.count == 0 || td_log_blocked(log)) {
        return;
    }
    size_t count = 0;
    while (count < log->gather.count && segment_free(log, log->gather.extents[count].segment)) {
        log->gather.extents[count].head.keep = log->first;
        count++;
    }
    if (count == log->gather.count) {
        piece_close(log);
        log->due = TD_NEVER;
    } else if (log->open_record != 0) {
        record_close(log); /* its place in the buffer is about to change */
    }
    batch_take(log, count);
    log->busy = true;
    log->sys->work(log->sys, &log->work);
}

static enum td_err extent_write(struct td_log *log, const struct td_log_extent *e)
{
    struct td_sys *sys = log->sys;
    int file = log->files[e->segment % log->count];
    enum td_err err = TD_OK;
    if (e->enter) {
        uint8_t head[TD_SEGMENT_HEAD];
        td_segment_head_encode(&e->head, head);
        err = sys->pwrite(sys, file, (td_slice){head, sizeof head}, 0);
        err = err == TD_OK ? sys->datasync(sys, file) : err;
    }
    td_slice bytes = {log->write.bytes.p + e->from, e->to - e->from};
    return err == TD_OK ? sys->pwrite(sys, file, bytes, e->offset) : err;
}

static void work_run(struct td_work *w)
{
    struct td_log *log = TD_CONTAINER(w, struct td_log, work);
    enum td_err err = TD_OK;
    for (size_t i = 0; i < log->write.count && err == TD_OK; i++) {
        const struct td_log_extent *e = &log->write.extents[i];
        err = extent_write(log, e);
        bool last_of_file = i + 1 == log->write.count || e[1].segment != e->segment;
        if (err == TD_OK && last_of_file) {
            err = log->sys->datasync(log->sys, log->files[e->segment % log->count]);
        }
    }
    log->err = err;
}

static void work_done(struct td_work *w)
{
    struct td_log *log = TD_CONTAINER(w, struct td_log, work);
    const struct td_log_extent *last = &log->write.extents[log->write.count - 1];
    log->busy = false;
    if (log->err != TD_OK) {
        td_log_fail(log, "the log could not be written", log->err);
        return;
    }
    uint64_t first_lsn = segment_at(log, last->segment)->first_lsn;
    log->durable = first_lsn + last->offset + (last->to - last->from);
    log->commits++;
    log->commit_bytes_total += log->write.bytes.n;
}

td_mono td_log_deadline(const struct td_log *log)
{
    if (log->busy || log->failed || log->gather.count == 0 || td_log_blocked(log)) {
        return TD_NEVER; /* the end of a work brings the next turn */
    }
    return log->gather.bytes.n >= log->commit_bytes ? 0 : log->due;
}

bool td_log_idle(const struct td_log *log)
{
    return !log->busy && (log->failed || log->gather.count == 0);
}

size_t td_log_staged(const struct td_log *log)
{
    return log->gather.bytes.n + (log->busy ? log->write.bytes.n : 0);
}
