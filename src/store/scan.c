/* store: rows from chunks and RAM as one. */
#include "store/scan.h"

#include <stdlib.h>

#define NS_PER_DAY (INT64_C(86400) * TD_NS_PER_S)

/* ---- snapshot ---- */

static int run_cmp(const void *a, const void *b)
{
    const struct td_snap_run *x = a, *y = b;
    if (x->partition != y->partition) {
        return x->partition < y->partition ? -1 : 1;
    }
    if (x->stream != y->stream) {
        return x->stream < y->stream ? -1 : 1;
    }
    uint64_t lx = x->block->lsn[x->from], ly = y->block->lsn[y->from];
    return lx < ly ? -1 : lx > ly;
}

static void snap_add(struct td_snapshot *snap, const struct td_stream *s, int64_t partition,
                     struct td_block *block, uint32_t from, uint32_t to)
{
    if (from < to) {
        snap->runs[snap->run_count++] =
            (struct td_snap_run){s->id, partition, td_block_ref(block), from, to};
    }
}

static void snap_runs(struct td_snapshot *snap, const struct td_runs *runs,
                      const struct td_stream *only)
{
    for (struct td_run *run = runs->first; run != NULL; run = run->next) {
        if (only == NULL || run->stream == only) {
            snap_add(snap, run->stream, run->partition, run->block, run->from, run->to);
        }
    }
}

void td_snapshot_take(struct td_snapshot *snap, const struct td_dict *dict,
                      const struct td_hist *hist, const struct td_stream *only)
{
    *snap = (struct td_snapshot){.stream_count = only == NULL ? dict->count : 0};
    snap->streams = td_alloc(snap->stream_count * sizeof *snap->streams);
    for (uint32_t i = 0; i < snap->stream_count; i++) {
        const struct td_stream *s = dict->streams[i];
        snap->streams[i] = (struct td_snap_stream){s, s->fields, s->columns};
    }
    size_t most = hist->head_count + hist->frozen.count + hist->writing.count;
    snap->runs = td_alloc(most * sizeof *snap->runs);
    snap_runs(snap, &hist->writing, only);
    snap_runs(snap, &hist->frozen, only);
    for (struct td_head *h = only != NULL ? only->heads : hist->first; h != NULL;
         h = only != NULL ? h->sibling : h->next) {
        snap_add(snap, h->stream, h->partition, h->block, 0, h->block->n);
    }
    qsort(snap->runs, snap->run_count, sizeof *snap->runs, run_cmp);
}

void td_snapshot_free(struct td_snapshot *snap)
{
    for (size_t i = 0; i < snap->run_count; i++) {
        td_block_unref(snap->runs[i].block);
    }
    free(snap->runs);
    free(snap->streams);
    *snap = (struct td_snapshot){0};
}

/* The runs of (partition, stream): *count of them from the result on; stream UINT32_MAX: all of the
 * partition. */
static const struct td_snap_run *snap_find(const struct td_snapshot *snap, int64_t partition,
                                           uint32_t stream, size_t *count)
{
    size_t low = 0, high = snap->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct td_snap_run *r = &snap->runs[middle];
        bool before = r->partition < partition ||
                      (r->partition == partition && stream != UINT32_MAX && r->stream < stream);
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    size_t end = low;
    while (end < snap->run_count && snap->runs[end].partition == partition &&
           (stream == UINT32_MAX || snap->runs[end].stream == stream)) {
        end++;
    }
    *count = end - low;
    return snap->runs + low;
}

/* ---- reader ---- */

enum td_err td_reader_init(struct td_reader *r, const struct td_parts *parts,
                           const struct td_snapshot *snap, size_t bytes_max)
{
    *r = (struct td_reader){.parts = parts, .snap = snap, .bytes_max = bytes_max};
    return td_part_list(parts, &r->days, &r->day_count);
}

void td_reader_fini(struct td_reader *r)
{
    for (size_t i = 0; i < TD_SCAN_PARTS; i++) {
        if (r->open[i].db != NULL) {
            td_part_close(&r->open[i]);
        }
    }
    free(r->days);
}

/* The partition file of a day, opened with its whole directory; NULL: there is none to read. */
static struct td_part *reader_part(struct td_reader *r, int64_t day)
{
    size_t oldest = 0;
    for (size_t i = 0; i < TD_SCAN_PARTS; i++) {
        if (r->open[i].db != NULL && r->open[i].start_day == day) {
            r->used[i] = ++r->uses;
            return &r->open[i];
        }
        oldest = r->used[i] < r->used[oldest] ? i : oldest;
    }
    struct td_part part;
    enum td_err err = td_part_open(r->parts, day, INT64_MIN, INT64_MAX, &part);
    if (err != TD_OK) {
        r->damaged += err != TD_ENOENT;
        return NULL;
    }
    if (r->open[oldest].db != NULL) {
        td_part_close(&r->open[oldest]);
    }
    r->open[oldest] = part;
    r->used[oldest] = ++r->uses;
    return &r->open[oldest];
}

/* ---- scan ---- */

static int day_cmp(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* First days of all partitions, on disk or in RAM, that can hold rows of the span. */
static void partitions_find(struct td_scan *scan)
{
    const struct td_reader *r = scan->reader;
    int64_t days = r->parts->days, span_most = 31;
    int64_t *all = td_alloc((r->day_count + r->snap->run_count + 1) * sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < r->day_count; i++) {
        all[n++] = r->days[i];
    }
    for (size_t i = 0; i < r->snap->run_count; i++) {
        int64_t day = r->snap->runs[i].partition * days;
        if (n == 0 || all[n - 1] != day) {
            all[n++] = day;
        }
    }
    qsort(all, n, sizeof *all, day_cmp);
    for (size_t i = 0; i < n; i++) {
        bool again = scan->partition_count > 0 && all[scan->partition_count - 1] == all[i];
        bool meets =
            all[i] * NS_PER_DAY <= scan->to && (all[i] + span_most) * NS_PER_DAY >= scan->from;
        if (meets && !again) {
            all[scan->partition_count++] = all[i];
        }
    }
    scan->partitions = all;
}

static void partition_enter(struct td_scan *scan)
{
    scan->stream_at = 0;
}

void td_scan_init(struct td_scan *scan, struct td_reader *reader, const uint32_t *streams,
                  size_t stream_count, td_wall from, td_wall to)
{
    *scan = (struct td_scan){.reader = reader,
                             .streams = streams,
                             .stream_count =
                                 streams != NULL ? stream_count : reader->snap->stream_count,
                             .from = from,
                             .to = to};
    partitions_find(scan);
    partition_enter(scan);
}

static void group_free(struct td_scan *scan)
{
    for (size_t i = scan->group_first; i < scan->group_end; i++) {
        struct td_scan_piece *p = &scan->pieces[i];
        if (p->in_file && p->block != NULL) {
            td_block_unref(p->block); /* a decoded chunk is nobody else's */
            p->block = NULL;
        }
    }
    scan->group_first = scan->group_end;
    scan->place_count = scan->place_at = 0;
}

void td_scan_fini(struct td_scan *scan)
{
    group_free(scan);
    free(scan->pieces);
    free(scan->places);
    free(scan->partitions);
}

static void piece_add(struct td_scan *scan, const struct td_scan_piece *piece)
{
    if (piece->t1 < scan->from || piece->t0 > scan->to) {
        return;
    }
    if (scan->piece_count == scan->piece_cap) {
        scan->piece_cap = scan->piece_cap == 0 ? 16 : scan->piece_cap * 2;
        scan->pieces = td_realloc(scan->pieces, scan->piece_cap * sizeof *scan->pieces);
    }
    scan->pieces[scan->piece_count++] = *piece;
}

static int piece_cmp(const void *a, const void *b)
{
    const struct td_scan_piece *x = a, *y = b;
    if (x->t0 != y->t0) {
        return x->t0 < y->t0 ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

static void run_piece_add(struct td_scan *scan, const struct td_snap_run *run)
{
    struct td_scan_piece piece = {.t0 = INT64_MAX,
                                  .t1 = INT64_MIN,
                                  .order = run->block->lsn[run->from],
                                  .block = run->block,
                                  .from = run->from,
                                  .to = run->to};
    for (uint32_t i = run->from; i < run->to; i++) {
        piece.t0 = run->block->ts[i] < piece.t0 ? run->block->ts[i] : piece.t0;
        piece.t1 = run->block->ts[i] > piece.t1 ? run->block->ts[i] : piece.t1;
    }
    piece_add(scan, &piece);
}

static void pieces_find(struct td_scan *scan, uint32_t stream)
{
    scan->piece_count = scan->piece_at = scan->group_first = scan->group_end = 0;
    struct td_reader *r = scan->reader;
    int64_t day = scan->partitions[scan->partition_at];
    size_t run_count = 0, ref_count = 0;
    const struct td_snap_run *runs = r->snap->runs;
    if (day % r->parts->days == 0) {
        runs = snap_find(r->snap, day / r->parts->days, stream, &run_count);
    }
    uint64_t in_ram = run_count > 0 ? runs[0].block->lsn[runs[0].from] : UINT64_MAX;
    for (size_t i = 0; i < run_count; i++) {
        run_piece_add(scan, &runs[i]);
    }
    const struct td_part *part = reader_part(r, day);
    const struct td_chunk_ref *refs =
        part != NULL ? td_part_stream(part, stream, &ref_count) : NULL;
    for (size_t i = 0; i < ref_count; i++) {
        if (refs[i].seq < in_ram) {
            const struct td_scan_piece piece = {.t0 = refs[i].t0,
                                                .t1 = refs[i].t1,
                                                .order = refs[i].seq,
                                                .in_file = true,
                                                .ref = refs[i]};
            piece_add(scan, &piece);
        }
    }
    if (scan->piece_count > 1) {
        qsort(scan->pieces, scan->piece_count, sizeof *scan->pieces, piece_cmp);
    }
}

struct merge_place {
    struct td_scan_place place;
    uint64_t order;
};

/* Loads the chunks of the group, a batch a hold of the gate. */
static enum td_err group_load(struct td_scan *scan, size_t *rows)
{
    enum { BATCH = 64 };
    sqlite3_mutex *gate = scan->reader->parts->gate;
    /* Asked again each time: another scan of the question may have taken its place. */
    struct td_part *part = reader_part(scan->reader, scan->partitions[scan->partition_at]);
    size_t bytes = 0;
    enum td_err err = TD_OK;
    *rows = 0;
    sqlite3_mutex_enter(gate);
    for (size_t i = scan->group_first; i < scan->group_end && err == TD_OK; i++) {
        struct td_scan_piece *p = &scan->pieces[i];
        if (p->in_file) {
            if (part == NULL || td_part_load(part, &p->ref, &p->block) != TD_OK) {
                scan->reader->damaged++; /* one chunk is lost, the question goes on */
                continue;
            }
            p->to = p->block->n;
        }
        *rows += p->to - p->from;
        /* A block in RAM is still being filled: its own count is not ours to look at. */
        bytes += (p->in_file ? p->block->bytes : 0) +
                 (size_t)(p->to - p->from) * sizeof(struct merge_place);
        err = bytes > scan->reader->bytes_max && i > scan->group_first ? TD_EFULL : TD_OK;
        if ((i + 1 - scan->group_first) % BATCH == 0) {
            sqlite3_mutex_leave(gate);
            sqlite3_mutex_enter(gate);
        }
    }
    sqlite3_mutex_leave(gate);
    return err;
}

static int merge_cmp(const void *a, const void *b)
{
    const struct merge_place *x = a, *y = b;
    if (x->place.ts != y->place.ts) {
        return x->place.ts < y->place.ts ? -1 : 1;
    }
    if (x->order != y->order) {
        return x->order < y->order ? -1 : 1;
    }
    return x->place.row < y->place.row ? -1 : 1;
}

/* Puts the rows of the group in order, of equal ts the last. */
static void group_merge(struct td_scan *scan, size_t rows)
{
    struct merge_place *all = td_alloc(rows * sizeof *all);
    size_t n = 0;
    bool sorted = true;
    for (size_t i = scan->group_first; i < scan->group_end; i++) {
        const struct td_scan_piece *p = &scan->pieces[i];
        for (uint32_t row = p->from; p->block != NULL && row < p->to; row++) {
            td_wall ts = p->block->ts[row];
            if (ts < scan->from || ts > scan->to) {
                continue;
            }
            all[n] = (struct merge_place){{ts, (uint32_t)i, row}, p->order};
            sorted = sorted && (n == 0 || all[n - 1].place.ts < ts);
            n++;
        }
    }
    if (!sorted) {
        qsort(all, n, sizeof *all, merge_cmp);
    }
    scan->places = td_realloc(scan->places, n * sizeof *scan->places);
    scan->place_count = scan->place_at = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || all[i + 1].place.ts != all[i].place.ts) {
            scan->places[scan->place_count++] = all[i].place;
        }
    }
    free(all);
}

/* The next pieces that overlap; false: there are none left. */
static bool group_next(struct td_scan *scan, enum td_err *err)
{
    group_free(scan);
    if (scan->piece_at == scan->piece_count) {
        return false;
    }
    scan->group_first = scan->piece_at;
    int64_t t1 = scan->pieces[scan->piece_at++].t1;
    while (scan->piece_at < scan->piece_count && scan->pieces[scan->piece_at].t0 <= t1) {
        int64_t other = scan->pieces[scan->piece_at++].t1;
        t1 = other > t1 ? other : t1;
    }
    scan->group_end = scan->piece_at;
    size_t rows;
    *err = group_load(scan, &rows);
    if (*err == TD_OK) {
        group_merge(scan, rows);
    }
    return true;
}

/* The next (partition, stream); false: that was all. */
static bool stream_next(struct td_scan *scan)
{
    while (scan->partition_at < scan->partition_count) {
        if (scan->stream_at < scan->stream_count) {
            size_t at = scan->stream_at++;
            pieces_find(scan, scan->streams != NULL ? scan->streams[at] : (uint32_t)at);
            return true;
        }
        scan->partition_at++;
        partition_enter(scan);
    }
    return false;
}

static uint32_t stream_now(const struct td_scan *scan)
{
    size_t at = scan->stream_at - 1;
    return scan->streams != NULL ? scan->streams[at] : (uint32_t)at;
}

enum td_err td_scan_next(struct td_scan *scan, struct td_scan_row *out)
{
    enum td_err err = TD_OK;
    while (scan->place_at == scan->place_count) {
        if (!group_next(scan, &err) && !stream_next(scan)) {
            return TD_ENOENT;
        }
        if (err != TD_OK) {
            return err;
        }
    }
    const struct td_scan_place *place = &scan->places[scan->place_at++];
    *out = (struct td_scan_row){stream_now(scan), place->ts, scan->pieces[place->piece].block,
                                place->row};
    return TD_OK;
}
