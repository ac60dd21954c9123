/* store: heads and the queue of frozen runs. */
#include "store/hist.h"

#include <stdlib.h>

#define NS_PER_DAY (INT64_C(86400) * TD_NS_PER_S)

static void runs_init(struct td_runs *runs)
{
    *runs = (struct td_runs){.end = &runs->first};
}

void td_hist_init(struct td_hist *h, uint32_t partition_days, uint64_t seed)
{
    *h = (struct td_hist){.span = partition_days * NS_PER_DAY};
    runs_init(&h->frozen);
    runs_init(&h->writing);
    td_rng_init(&h->rng, seed);
}

int64_t td_hist_partition(const struct td_hist *h, td_wall ts)
{
    return ts / h->span; /* rows before 1970 are refused */
}

/* ---- heads ---- */

static void head_link(struct td_hist *h, struct td_head *head)
{
    head->next = NULL;
    head->prev = h->last;
    *(h->last != NULL ? &h->last->next : &h->first) = head;
    h->last = head;
}

static void head_unlink(struct td_hist *h, struct td_head *head)
{
    *(head->prev != NULL ? &head->prev->next : &h->first) = head->next;
    *(head->next != NULL ? &head->next->prev : &h->last) = head->prev;
}

static struct td_head *head_find(const struct td_stream *s, int64_t partition)
{
    struct td_head *head = s->heads;
    while (head != NULL && head->partition != partition) {
        head = head->sibling;
    }
    return head;
}

static struct td_head *head_new(struct td_hist *h, struct td_stream *s, int64_t partition,
                                td_mono now)
{
    struct td_head *head = td_alloc(sizeof *head);
    head->stream = s;
    head->partition = partition;
    head->block = td_block_new();
    head->born = now;
    head->target = TD_HEAD_ROWS;
    if (!s->sealed_once) { /* else streams that began together fill up together for ever */
        head->target = TD_HEAD_ROWS / 2 + (uint32_t)td_rng_below(&h->rng, TD_HEAD_ROWS / 2);
    }
    head->sibling = s->heads;
    s->heads = head;
    head_link(h, head);
    h->bytes += sizeof *head + head->block->bytes;
    h->head_count++;
    return head;
}

/* Takes the head out of all lists and frees it; its block is the caller's. */
static struct td_block *head_free(struct td_hist *h, struct td_head *head)
{
    struct td_block *block = head->block;
    struct td_head **at = &head->stream->heads;
    while (*at != head) {
        at = &(*at)->sibling;
    }
    *at = head->sibling;
    head_unlink(h, head);
    h->bytes -= sizeof *head;
    h->head_count--;
    free(head);
    return block;
}

void td_hist_add(struct td_hist *h, struct td_stream *s, const struct td_row *row, uint64_t lsn,
                 td_mono now)
{
    int64_t partition = td_hist_partition(h, row->ts);
    struct td_head *head = head_find(s, partition);
    if (head == NULL) {
        head = head_new(h, s, partition, now);
    }
    h->bytes -= head->block->bytes;
    td_block_add(&head->block, row, lsn);
    h->bytes += head->block->bytes;
    if (head->block->n >= head->target) {
        td_hist_freeze(h, head, now);
    }
}

void td_hist_replace(struct td_hist *h, struct td_stream *s, int64_t partition)
{
    struct td_head *head = head_find(s, partition);
    if (head != NULL) {
        struct td_block *block = head_free(h, head);
        h->bytes -= block->bytes;
        td_block_unref(block);
    }
}

void td_hist_relogged(struct td_hist *h, struct td_head *head, uint64_t lsn)
{
    struct td_block *twin = td_block_tail(head->block, 0); /* readers may share the old one */
    for (uint32_t i = 0; i < twin->n; i++) {
        twin->lsn[i] = lsn;
    }
    h->bytes += twin->bytes;
    h->bytes -= head->block->bytes;
    td_block_unref(head->block);
    head->block = twin;
}

void td_hist_age(struct td_hist *h, td_mono now)
{
    while (h->first != NULL && td_mono_after(h->first->born, TD_HEAD_AGE_MS) <= now) {
        td_hist_freeze(h, h->first, now);
    }
}

void td_hist_shrink(struct td_hist *h, uint64_t bytes, td_mono now)
{
    uint64_t left = 0;
    for (const struct td_head *head = h->first; head != NULL; head = head->next) {
        left += head->block->bytes + sizeof *head;
    }
    while (h->first != NULL && left > bytes) {
        left -= h->first->block->bytes + sizeof *h->first;
        td_hist_freeze(h, h->first, now);
    }
}

/* ---- the queue ---- */

static void runs_push(struct td_runs *runs, struct td_run *run)
{
    run->next = NULL;
    *runs->end = run;
    runs->end = &run->next;
    runs->count++;
}

static struct td_run *runs_pop(struct td_runs *runs)
{
    struct td_run *run = runs->first;
    runs->first = run->next;
    runs->end = runs->first == NULL ? &runs->first : runs->end;
    runs->count--;
    return run;
}

void td_hist_freeze(struct td_hist *h, struct td_head *head, td_mono now)
{
    struct td_run *run = td_alloc(sizeof *run);
    run->stream = head->stream;
    run->fields = head->stream->fields;
    run->columns = head->stream->columns;
    run->partition = head->partition;
    run->frozen_at = now;
    head->stream->sealed_once = true;
    head->stream->frozen++;
    run->block = head_free(h, head);
    run->to = run->block->n;
    runs_push(&h->frozen, run);
}

static void run_free(struct td_hist *h, struct td_run *run)
{
    run->stream->frozen--;
    h->bytes -= run->block->bytes;
    td_block_unref(run->block);
    free(run);
}

bool td_hist_take(struct td_hist *h, uint64_t durable)
{
    td_assert(h->writing.count == 0);
    struct td_runs rest;
    runs_init(&rest);
    while (h->frozen.count > 0) {
        struct td_run *run = runs_pop(&h->frozen);
        run->upto = run->from;
        while (run->upto < run->to && run->block->lsn[run->upto] <= durable) {
            run->upto++;
        }
        runs_push(run->upto > run->from ? &h->writing : &rest, run);
    }
    while (rest.count > 0) {
        runs_push(&h->frozen, runs_pop(&rest));
    }
    return h->writing.count > 0;
}

void td_hist_return(struct td_hist *h)
{
    struct td_runs rest;
    runs_init(&rest);
    while (h->writing.count > 0) {
        struct td_run *run = runs_pop(&h->writing);
        if (run->written) {
            run->from = run->upto;
            run->written = false;
        }
        if (run->from == run->to) {
            run_free(h, run);
        } else {
            runs_push(&rest, run);
        }
    }
    while (h->frozen.count > 0) { /* frozen meanwhile: behind what returns */
        runs_push(&rest, runs_pop(&h->frozen));
    }
    while (rest.count > 0) {
        runs_push(&h->frozen, runs_pop(&rest));
    }
}

td_mono td_hist_due(const struct td_hist *h)
{
    if (h->frozen.count == 0) {
        return TD_NEVER;
    }
    return h->frozen.count >= TD_HIST_BATCH
               ? 0
               : td_mono_after(h->frozen.first->frozen_at, TD_HIST_WAIT_MS);
}

static uint64_t runs_oldest(const struct td_runs *runs)
{
    uint64_t oldest = UINT64_MAX;
    for (const struct td_run *run = runs->first; run != NULL; run = run->next) {
        uint64_t lsn = run->block->lsn[run->from];
        oldest = lsn < oldest ? lsn : oldest;
    }
    return oldest;
}

uint64_t td_hist_oldest(const struct td_hist *h)
{
    uint64_t oldest = runs_oldest(&h->frozen);
    uint64_t writing = runs_oldest(&h->writing);
    oldest = writing < oldest ? writing : oldest;
    for (const struct td_head *head = h->first; head != NULL; head = head->next) {
        uint64_t lsn = head->block->lsn[0];
        oldest = lsn < oldest ? lsn : oldest;
    }
    return oldest;
}

static void runs_fini(struct td_hist *h, struct td_runs *runs)
{
    while (runs->count > 0) {
        run_free(h, runs_pop(runs));
    }
}

void td_hist_fini(struct td_hist *h)
{
    while (h->first != NULL) {
        struct td_block *block = head_free(h, h->first);
        td_block_unref(block);
    }
    runs_fini(h, &h->frozen);
    runs_fini(h, &h->writing);
}
