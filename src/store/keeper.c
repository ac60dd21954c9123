/* store: the keeper. Makes room: seals heads into chunks, carries the state map into tandem.db,
 * then releases log segments.
 *
 * The loop decides what is to be done (an order) and takes in what was done; the work between runs
 * on the CHUNK lane and touches nothing of the loop's but the order. Chunks and table are committed
 * first, segments released second, so a crash between only repeats work. */
#include "store/impl.h"

#include <stdlib.h>

#define NS_PER_DAY (INT64_C(86400) * TD_NS_PER_S)

enum { RETRY_MS = 10000, WAIT_MS = 1000, EXPIRE_MS = 3600000 };

static void work_run(struct td_work *w);
static void work_done(struct td_work *w);

void td_keeper_init(struct td_keeper *k, struct td_store *store)
{
    *k = (struct td_keeper){
        .work = {.run = work_run, .done = work_done, .lane = TD_LANE_CHUNK},
        .store = store,
        .retry_at = INT64_MIN,
        .expire_at = INT64_MIN,
        .wait_at = INT64_MIN,
    };
}

void td_keeper_fini(struct td_keeper *k)
{
    free(k->views);
    k->views = NULL;
}

/* ---- deciding ---- */

static bool ring_full(const struct td_store *store)
{
    return td_log_used(&store->log) * 4 >= (uint64_t)store->config.segment_count * 3 ||
           td_log_blocked(&store->log);
}

/* The LSN up to which about the older half of the ring can be released; 0: none of it. */
static uint64_t release_target(const struct td_store *store)
{
    const struct td_log *log = &store->log;
    uint64_t half = td_log_used(log) / 2;
    for (uint64_t n = log->first + half; n-- > log->first;) {
        const struct td_log_segment *s = td_log_segment(log, n);
        if (n < log->last && s->end_lsn <= log->durable && s->chain_end <= log->durable) {
            return s->end_lsn;
        }
    }
    return 0;
}

/* Heads with rows up to `lsn` leave: small ones into the log again, the others to the queue. */
static void heads_release(struct td_store *store, uint64_t lsn, td_mono now)
{
    bool room = td_log_used(&store->log) * 8 < (uint64_t)store->config.segment_count * 7 &&
                !td_log_blocked(&store->log) && !store->log.failed;
    struct td_head *next;
    for (struct td_head *h = store->hist.first; h != NULL; h = next) {
        next = h->next;
        if (h->block->lsn[0] > lsn) {
            continue;
        }
        bool small = h->block->n < TD_HEAD_RELOG_ROWS && h->stream->frozen == 0;
        if (small && room && td_store_relog(store, h)) {
            store->keeper.relogged = store->log.at;
        } else {
            td_hist_freeze(&store->hist, h, now);
        }
    }
}

/* Rows that were logged again are safe when that is durable, not before: until then the segment
 * with their first record stays. */
static void segments_release(struct td_keeper *k, uint64_t lsn)
{
    struct td_log *log = &k->store->log;
    if (k->relogged <= log->durable) {
        td_log_release(log, lsn);
    }
}

static void views_make(struct td_keeper *k)
{
    const struct td_log *log = &k->store->log;
    uint64_t used = td_log_used(log);
    k->views = td_realloc(k->views, (size_t)used * sizeof *k->views);
    k->apply.count = 0;
    for (uint64_t n = log->first; n <= log->last; n++) {
        const struct td_log_segment *s = td_log_segment(log, n);
        if (s->first_lsn >= log->durable) {
            break;
        }
        struct td_segment_view *v = &k->views[k->apply.count++];
        v->head =
            (struct td_segment_head){.number = n, .first_lsn = s->first_lsn, .bytes = s->bytes};
        v->end_lsn = s->end_lsn;
        td_log_path(log, s->slot, v->path, sizeof v->path);
    }
    k->apply.views = k->views;
}

static void apply_order(struct td_keeper *k, uint64_t to)
{
    k->apply = (struct td_state_apply){.sys = k->store->sys};
    if (to <= k->applied) {
        return;
    }
    views_make(k);
    k->apply.from = k->applied;
    k->apply.to = to;
    k->apply.durable = k->store->log.durable;
}

static void expire_order(struct td_keeper *k, td_mono now)
{
    const struct td_store *store = k->store;
    k->expire_before = 0;
    if (store->config.keep_days == 0 || now < k->expire_at) {
        return;
    }
    k->expire_at = td_mono_after(now, EXPIRE_MS);
    k->expire_before = store->sys->wall(store->sys) - store->config.keep_days * NS_PER_DAY;
}

static bool heads_over(const struct td_store *store)
{
    return store->hist.bytes > store->config.head_bytes_max / 4 * 3;
}

void td_keeper_turn(struct td_keeper *k, td_mono now)
{
    struct td_store *store = k->store;
    bool full = ring_full(store);
    if (k->busy || now < k->retry_at || (store->stopping && !full)) {
        return;
    }
    td_hist_age(&store->hist, now);
    if (heads_over(store)) {
        td_hist_shrink(&store->hist, store->config.head_bytes_max / 2, now);
    }
    uint64_t target = full ? release_target(store) : 0;
    if (target != 0) {
        heads_release(store, target, now);
    }
    bool due = td_hist_due(&store->hist) <= now || heads_over(store);
    bool runs =
        (full || (due && now >= k->wait_at)) && td_hist_take(&store->hist, store->log.durable);
    if (due && !runs) { /* nothing of it is durable yet */
        k->wait_at = td_mono_after(now, WAIT_MS);
    }
    apply_order(k, target);
    expire_order(k, now);
    if (runs || k->apply.to != 0 || k->expire_before > 0) {
        k->busy = true;
        store->sys->work(store->sys, &k->work);
    } else if (target != 0) {
        segments_release(k, target < td_hist_oldest(&store->hist) ? target : 0);
    }
}

td_mono td_keeper_deadline(const struct td_keeper *k)
{
    const struct td_store *store = k->store;
    if (k->busy) {
        return TD_NEVER;
    }
    td_mono at = td_hist_due(&store->hist);
    if (store->hist.first != NULL) {
        at = td_mono_min(at, td_mono_after(store->hist.first->born, TD_HEAD_AGE_MS));
    }
    if (store->config.keep_days != 0) {
        at = td_mono_min(at, k->expire_at);
    }
    if (k->retry_at > store->now) {
        return k->retry_at;
    }
    return at < k->wait_at ? k->wait_at : at;
}

/* ---- doing, on the CHUNK lane ---- */

static enum td_err partition_write(struct td_keeper *k, int64_t partition)
{
    struct td_store *store = k->store;
    struct td_run *runs = store->hist.writing.first;
    enum td_err err = td_part_write(&store->parts, partition, runs, &k->written);
    if (err == TD_ECORRUPT) {
        k->set_aside++;
        err = td_part_set_aside(&store->parts, partition * store->parts.days, store->damaged_dir);
        err = err == TD_OK ? td_part_write(&store->parts, partition, runs, &k->written) : err;
    }
    return err;
}

static void chunks_write(struct td_keeper *k)
{
    struct td_run *runs = k->store->hist.writing.first;
    for (struct td_run *run = runs; run != NULL; run = run->next) {
        bool tried = false;
        for (struct td_run *before = runs; before != run && !tried; before = before->next) {
            tried = before->partition == run->partition;
        }
        enum td_err err = tried ? TD_OK : partition_write(k, run->partition);
        k->chunk_err = err != TD_OK ? err : k->chunk_err;
    }
}

static void work_run(struct td_work *w)
{
    struct td_keeper *k = TD_CONTAINER(w, struct td_keeper, work);
    k->written = (struct td_part_written){0};
    k->chunk_err = k->apply_err = TD_OK;
    k->set_aside = 0;
    chunks_write(k);
    if (k->apply.to != 0) {
        k->apply_err = td_state_apply(&k->apply, k->store->db);
    }
    if (k->expire_before > 0) {
        (void)td_part_expire(&k->store->parts, k->expire_before); /* tried again in an hour */
    }
}

/* ---- taking in ---- */

static void work_done(struct td_work *w)
{
    struct td_keeper *k = TD_CONTAINER(w, struct td_keeper, work);
    struct td_store *store = k->store;
    struct td_store_stats *stats = &store->stats;
    k->busy = false;
    td_hist_return(&store->hist);
    stats->chunks += k->written.chunks;
    stats->chunk_bytes += k->written.bytes;
    stats->chunk_failures += k->chunk_err != TD_OK;
    if (k->set_aside > 0) {
        td_store_damage(store,
                        "hist: %llu files that SQLite could not read were moved to %s; "
                        "`sqlite3 FILE .recover` may save their chunks",
                        (unsigned long long)k->set_aside, store->damaged_dir);
    }
    if (k->apply.to != 0 && k->apply_err == TD_OK) {
        k->applied = k->apply.to;
        stats->applies++;
    }
    stats->apply_failures += k->apply_err != TD_OK;
    if (k->chunk_err != TD_OK || k->apply_err != TD_OK) {
        k->retry_at = td_mono_after(store->now, RETRY_MS);
    }
    uint64_t oldest = td_hist_oldest(&store->hist);
    uint64_t lsn = oldest - 1 < k->applied ? oldest - 1 : k->applied;
    segments_release(k, lsn);
}

enum td_err td_keeper_flush(struct td_keeper *k)
{
    struct td_store *store = k->store;
    while (store->hist.first != NULL) {
        td_hist_freeze(&store->hist, store->hist.first, store->now);
    }
    (void)td_hist_take(&store->hist, UINT64_MAX); /* nothing to write is fine */
    apply_order(k, store->log.at);
    k->expire_before = 0;
    work_run(&k->work);
    work_done(&k->work);
    return k->chunk_err != TD_OK ? k->chunk_err : k->apply_err;
}
