/* store: questions. The loop takes a snapshot when it hands one over, so only the one under way
 * holds blocks; the work fills a result; the answer is given on the loop's thread. */
#include <math.h>
#include <stdlib.h>

#include "store/impl.h"

enum { SQL_BYTES_MAX = 65536, PX_MAX = 100000 };

static void work_run(struct td_work *w);
static void work_done(struct td_work *w);

/* ---- result ---- */

void td_result_init(struct td_result *r, size_t bytes_max, size_t rows_max)
{
    *r = (struct td_result){.bytes_max = bytes_max, .rows_max = rows_max};
    td_arena_init(&r->arena, bytes_max);
}

void td_result_fini(struct td_result *r)
{
    td_arena_fini(&r->arena);
    free(r->columns);
    free(r->cells);
}

void td_result_columns(struct td_result *r, const td_slice *names, size_t count)
{
    r->columns = td_alloc((count + 1) * sizeof *r->columns);
    r->column_count = count;
    for (size_t i = 0; i < count; i++) {
        r->columns[i] = td_arena_copy(&r->arena, names[i]); /* empty if over the bound */
    }
}

static bool cells_grow(struct td_result *r)
{
    size_t cap = r->cell_cap == 0 ? 256 : r->cell_cap * 2;
    if (cap * sizeof *r->cells + r->arena.used > r->bytes_max * 2) {
        return false;
    }
    r->cells = td_realloc(r->cells, cap * sizeof *r->cells);
    r->cell_cap = cap;
    return true;
}

bool td_result_cell(struct td_result *r, struct td_value v)
{
    bool over = r->cut || r->cell_count >= r->rows_max * r->column_count ||
                (r->cell_count == r->cell_cap && !cells_grow(r));
    if (!over && v.type == TD_VALUE_TEXT) {
        v.as.text = td_arena_copy(&r->arena, v.as.text);
        over = v.as.text.p == NULL;
    }
    if (over) {
        r->cut = true;
        r->cell_count -= r->cell_count % r->column_count;
        return false;
    }
    r->cells[r->cell_count++] = v;
    return true;
}

/* ---- queue ---- */

void td_questions_init(struct td_questions *q)
{
    *q = (struct td_questions){.end = &q->first};
}

static struct td_question *question_pop(struct td_questions *q)
{
    struct td_question *one = q->first;
    q->first = one->next;
    q->end = q->first == NULL ? &q->first : q->end;
    q->count--;
    return one;
}

static void question_free(struct td_question *one)
{
    td_snapshot_free(&one->snap);
    td_result_fini(&one->result);
    td_buf_fini(&one->why);
    free(one->sql);
    free(one);
}

void td_questions_fini(struct td_questions *q)
{
    while (q->first != NULL) {
        question_free(question_pop(q));
    }
}

static enum td_err question_add(struct td_store *store, const struct td_question *like,
                                uint64_t *ticket)
{
    struct td_questions *q = &store->questions;
    if (q->count >= TD_QUESTIONS_MAX || store->stopping) {
        store->stats.queries_refused++;
        return TD_EFULL;
    }
    struct td_question *one = td_alloc(sizeof *one);
    one->work = (struct td_work){.run = work_run, .done = work_done, .lane = TD_LANE_QUERY};
    one->store = store;
    one->answer = like->answer;
    one->ctx = like->ctx;
    one->sql = like->sql;
    one->series = like->series;
    one->px = like->px;
    one->from = like->from;
    one->to = like->to;
    one->deadline = TD_NEVER;
    one->ticket = ++q->ticket;
    atomic_init(&one->stop, false);
    td_result_init(&one->result, (size_t)store->config.query_bytes_max,
                   store->config.query_rows_max);
    td_buf_init(&one->why, 4096);
    *q->end = one;
    q->end = &one->next;
    q->count++;
    *ticket = one->ticket;
    store->stats.queries++;
    return TD_OK;
}

enum td_err td_store_sql(struct td_store *store, td_slice sql, td_store_answer *answer, void *ctx,
                         uint64_t *ticket)
{
    if (sql.n > SQL_BYTES_MAX) {
        return TD_ERANGE;
    }
    const struct td_question like = {.answer = answer, .ctx = ctx, .sql = td_strdup(sql)};
    enum td_err err = question_add(store, &like, ticket);
    if (err != TD_OK) {
        free(like.sql);
    }
    return err;
}

enum td_err td_store_scan(struct td_store *store, uint32_t series, td_wall from, td_wall to,
                          uint32_t px, td_store_answer *answer, void *ctx, uint64_t *ticket)
{
    if (td_dict_get(&store->dict, series >> 8) == NULL) {
        return TD_ENOENT;
    }
    if (from >= to || px > PX_MAX) {
        return TD_ERANGE;
    }
    const struct td_question like = {
        .answer = answer, .ctx = ctx, .series = series, .px = px, .from = from, .to = to};
    return question_add(store, &like, ticket);
}

void td_store_cancel(struct td_store *store, uint64_t ticket)
{
    for (struct td_question *one = store->questions.first; one != NULL; one = one->next) {
        if (one->ticket == ticket) {
            one->answer = NULL;
            atomic_store_explicit(&one->stop, true, memory_order_relaxed);
        }
    }
}

static void question_start(struct td_store *store, struct td_question *one, td_mono now)
{
    const struct td_stream *only =
        one->sql == NULL ? td_dict_get(&store->dict, one->series >> 8) : NULL;
    td_snapshot_take(&one->snap, &store->dict, &store->hist, only);
    one->now = store->sys->wall(store->sys);
    store->vfs.now = one->now; /* no other question runs */
    one->deadline = td_mono_after(now, store->config.query_ms_max);
    store->questions.busy = true;
    store->sys->work(store->sys, &one->work);
}

void td_questions_turn(struct td_store *store, td_mono now)
{
    struct td_questions *q = &store->questions;
    while (!q->busy && q->first != NULL) {
        if (q->first->answer == NULL) {
            question_free(question_pop(q));
            continue;
        }
        question_start(store, q->first, now);
    }
    if (q->busy && q->first->deadline <= now) {
        atomic_store_explicit(&q->first->stop, true, memory_order_relaxed);
        q->first->deadline = TD_NEVER;
    }
}

td_mono td_questions_deadline(const struct td_questions *q)
{
    return q->busy ? q->first->deadline : q->first != NULL ? 0 : TD_NEVER;
}

static void answer_give(struct td_question *one)
{
    const struct td_result *r = &one->result;
    const struct td_table table = {
        .columns = r->columns,
        .column_count = r->column_count,
        .cells = r->cells,
        .row_count = r->column_count > 0 ? r->cell_count / r->column_count : 0,
        .cut = r->cut,
        .damaged = one->damaged,
    };
    if (one->answer != NULL) {
        one->answer(one->ctx, one->err, one->err == TD_OK ? &table : NULL, td_buf_slice(&one->why));
    }
    question_free(one);
}

void td_questions_refuse(struct td_store *store)
{
    struct td_questions *q = &store->questions;
    if (q->busy) {
        atomic_store_explicit(&q->first->stop, true, memory_order_relaxed);
    }
    while (q->count > (q->busy ? 1u : 0u)) {
        struct td_question **at = q->busy ? &q->first->next : &q->first;
        struct td_question *one = *at;
        *at = one->next;
        q->count--;
        q->end = one->next == NULL ? at : q->end;
        one->err = TD_ECLOSED;
        (void)td_buf_printf(&one->why, "the hub is stopping; ask again when it runs");
        answer_give(one);
    }
}

static void work_done(struct td_work *w)
{
    struct td_question *one = TD_CONTAINER(w, struct td_question, work);
    struct td_questions *q = &one->store->questions;
    q->busy = false;
    td_assert(q->first == one);
    (void)question_pop(q);
    answer_give(one);
}

/* ---- a series, on the question's thread ---- */

struct point {
    td_wall ts;
    struct td_value v;
};

/* One part of the span: the points that draw it. */
struct bucket {
    int64_t number; /* -1: empty */
    struct point first, min, max, last;
    bool numeric;
};

struct thinning {
    struct td_question *q;
    struct bucket b;
};

static bool point_out(struct td_question *q, const struct point *p)
{
    return td_result_cell(&q->result, td_value_int(p->ts)) && td_result_cell(&q->result, p->v);
}

static bool bucket_out(struct thinning *t)
{
    const struct bucket *b = &t->b;
    if (b->number < 0) {
        return true;
    }
    bool min_first = b->min.ts <= b->max.ts;
    const struct point *inner[2] = {min_first ? &b->min : &b->max, min_first ? &b->max : &b->min};
    td_wall before = b->first.ts;
    bool ok = point_out(t->q, &b->first);
    for (size_t i = 0; i < 2 && b->numeric && ok; i++) {
        if (inner[i]->ts > before && inner[i]->ts < b->last.ts) {
            ok = point_out(t->q, inner[i]);
            before = inner[i]->ts;
        }
    }
    return ok && (b->last.ts == b->first.ts || point_out(t->q, &b->last));
}

static bool bucket_add(struct thinning *t, int64_t number, const struct point *p)
{
    struct bucket *b = &t->b;
    if (b->number != number) {
        if (!bucket_out(t)) {
            return false;
        }
        *b = (struct bucket){.number = number, .first = *p, .min = *p, .max = *p};
    }
    double v, least, most;
    bool is_number = p->v.type != TD_VALUE_BOOL && td_value_number(p->v, &v) && !isnan(v);
    if (is_number) {
        bool known =
            b->numeric && td_value_number(b->min.v, &least) && td_value_number(b->max.v, &most);
        b->min = !known || v < least ? *p : b->min;
        b->max = !known || v > most ? *p : b->max;
        b->numeric = true;
    }
    b->last = *p;
    return true;
}

/* Texts point into blocks that the scan frees: a point that is kept needs its own. */
static struct td_value value_keep(struct td_question *q, struct td_value v)
{
    if (v.type == TD_VALUE_TEXT && q->px > 0) {
        v.as.text = td_arena_copy(&q->result.arena, v.as.text); /* over its bound: cut later */
    }
    return v;
}

static void series_rows(struct td_question *q, struct td_scan *scan)
{
    struct thinning t = {.q = q, .b.number = -1};
    double parts = (double)q->px / (double)(q->to - q->from);
    struct td_scan_row row;
    enum td_err err;
    bool ok = true;
    while (ok && (err = td_scan_next(scan, &row)) == TD_OK) {
        struct point p = {row.ts, td_block_get(row.block, row.row, q->series & 0xFF)};
        if (p.v.type == TD_VALUE_NONE) {
            continue;
        }
        if (q->px == 0) {
            ok = point_out(q, &p);
            continue;
        }
        p.v = value_keep(q, p.v);
        ok = bucket_add(&t, (int64_t)((double)(row.ts - q->from) * parts), &p);
        if (atomic_load_explicit(&q->stop, memory_order_relaxed)) {
            err = TD_EAGAIN;
            break;
        }
    }
    if (ok && err == TD_ENOENT) {
        (void)bucket_out(&t); /* a bound is told by `cut` */
    }
    q->err = !ok || err == TD_ENOENT ? TD_OK : err;
}

static void series_run(struct td_question *q, struct td_reader *reader)
{
    const td_slice names[2] = {TD_STR("ts"), TD_STR("value")};
    td_result_columns(&q->result, names, 2);
    uint32_t stream = q->series >> 8;
    struct td_scan scan;
    td_scan_init(&scan, reader, &stream, 1, q->from, q->to - 1);
    series_rows(q, &scan);
    td_scan_fini(&scan);
}

static void work_run(struct td_work *w)
{
    struct td_question *q = TD_CONTAINER(w, struct td_question, work);
    struct td_reader reader;
    q->err = td_reader_init(&reader, &q->store->parts, &q->snap,
                            (size_t)q->store->config.query_bytes_max * 4);
    if (q->err == TD_OK) {
        if (q->sql != NULL) {
            td_sql_run(q, &reader);
        } else {
            series_run(q, &reader);
        }
    }
    q->damaged = reader.damaged;
    td_reader_fini(&reader);
    if (q->err != TD_OK && q->why.n == 0) {
        (void)td_buf_printf(&q->why, "%s", td_err_text(q->err));
    }
}
