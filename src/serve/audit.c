/* serve/audit: the chain.
 *
 *   AUDIT       number, big-endian          -> {"n":7,"time":...,"prev":"<SHA-256 of record 6>"}
 *   AUDIT_HEAD  (empty)                     -> varint first | varint last | SHA-256 of the last
 *
 * Both change in one batch, so that after a crash the head is that of the last record. */
#include "serve/audit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/time.h"
#include "guard/guard.h"
#include "serve/loop.h"

enum {
    FOLD_MS = 10000,
    FOLDS_MAX = 256, /* beyond them principals are no longer told apart */
    LAST_MAX = 256,  /* lines at hand */
    OBJECT_MAX = 256,
    PENDING_MAX = 1 << 20 /* bytes noted in one turn; then they are stored at once */
};

static const char *const names[] = {
#define A(NAME, name, text) #name,
    TD_AUDITS(A)
#undef A
};

/* What came lately of one action, result and principal. */
struct fold {
    struct td_timer timer; /* first: when its window ends */
    uint64_t more;         /* since the last record */
    enum td_audit_action action;
    bool refused;
    uint8_t key_n;
    uint8_t key[160]; /* action, result, principal */
};

struct td_audit {
    struct td_parts *parts;
    uint32_t records_max;
    uint64_t first, last;
    uint8_t end[32]; /* SHA-256 of the last */
    uint64_t stored; /* the last that is in the store */
    struct td_map folds;
    struct td_heap windows;
    struct td_buf lines[LAST_MAX]; /* record n stands at n % LAST_MAX */
    struct td_buf key, value;
};

/* ---- the head ---- */

static void head_row(void *ctx, td_slice key, td_slice value)
{
    struct td_serve_audit_sum *sum = ctx;
    struct td_cursor c = td_cursor_of(value);
    struct td_serve_audit_sum read = {.first = td_cursor_varint64(&c)};
    (void)key;
    read.last = td_cursor_varint64(&c);
    td_slice end = td_cursor_bytes(&c, sizeof read.end);
    if (c.err == TD_OK) {
        (void)td_put_bytes(read.end, end);
        *sum = read;
    }
}

enum td_err td_audit_new(struct td_parts *parts, uint32_t records_max, struct td_audit **out,
                         struct td_buf *why)
{
    struct td_serve_audit_sum sum = {.last = 0};
    enum td_err err = td_store_state_each(parts->store, TD_STATE_AUDIT_HEAD, head_row, &sum);
    if (err != TD_OK) {
        (void)td_buf_printf(why, "the audit log cannot be read: %s; run tandem doctor",
                            td_err_text(err));
        return err;
    }
    struct td_audit *a = td_alloc(sizeof *a);
    uint64_t seed;
    parts->sys->random(parts->sys, &seed, sizeof seed);
    a->parts = parts;
    a->records_max = records_max;
    a->first = sum.last == 0 ? 1 : sum.first;
    a->last = a->stored = sum.last;
    memcpy(a->end, sum.end, sizeof a->end);
    td_map_init(&a->folds, seed);
    td_heap_init(&a->windows);
    for (size_t i = 0; i < LAST_MAX; i++) {
        td_buf_init(&a->lines[i], 4096);
    }
    td_buf_init(&a->key, 64);
    td_buf_init(&a->value, 256);
    *out = a;
    return TD_OK;
}

void td_audit_free(struct td_audit *a)
{
    for (size_t i = 0; i < a->folds.count; i++) {
        free(a->folds.entries[i].value);
    }
    td_map_fini(&a->folds);
    td_heap_fini(&a->windows);
    for (size_t i = 0; i < LAST_MAX; i++) {
        td_buf_fini(&a->lines[i]);
    }
    td_buf_fini(&a->key);
    td_buf_fini(&a->value);
    free(a);
}

/* ---- records ---- */

static void hex_of(const uint8_t bytes[32], char out[65])
{
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void add_text(struct td_json_out *o, const char *key, td_slice text)
{
    td_json_key(o, key);
    td_json_string(o, text);
}

static void add_number(struct td_json_out *o, const char *key, uint64_t n)
{
    td_json_key(o, key);
    td_json_int(o, (int64_t)n);
}

static void digest(td_slice line, uint8_t out[32])
{
    td_guard_digest(line, (td_slice){NULL, 0}, out);
}

/* Appends the record; it waits for the end of the turn. */
static void record(struct td_audit *a, const struct td_audit_event *e, uint64_t count)
{
    uint64_t n = ++a->last;
    struct td_buf *line = &a->lines[n % LAST_MAX];
    char time[TD_TIME_TEXT_BYTES], prev[65];
    td_time_text(a->parts->wall, time);
    hex_of(a->end, prev);
    td_buf_clear(line);
    struct td_json_out o = td_json_out(line);
    td_json_open(&o, '{');
    add_number(&o, "n", n);
    add_text(&o, "time", (td_slice){(const uint8_t *)time, sizeof time});
    add_text(&o, "action", td_slice_of(names[e->action]));
    add_text(&o, "result", e->refused ? TD_STR("refused") : TD_STR("done"));
    add_text(&o, "principal", e->principal);
    add_text(&o, "from", e->from);
    add_text(&o, "object", td_slice_head(e->object, OBJECT_MAX));
    add_number(&o, "count", count);
    add_text(&o, "prev", td_slice_of(prev));
    td_json_close(&o, '}');
    td_assert(o.err == TD_OK); /* its parts are bounded */
    digest(td_buf_slice(line), a->end);
}

/* No line is written over before it is stored. */
static bool is_full(const struct td_audit *a)
{
    return a->last - a->stored >= LAST_MAX - 1;
}

/* ---- folding ---- */

static size_t fold_key(const struct td_audit *a, const struct td_audit_event *e, uint8_t key[160])
{
    td_slice who = td_slice_head(e->principal, 128);
    key[0] = (uint8_t)e->action;
    key[1] = e->refused;
    if (a->folds.count >= FOLDS_MAX) {
        who = TD_STR("*"); /* no principal has that name */
    }
    (void)td_put_bytes(key + 2, who);
    return 2 + who.n;
}

static struct fold *fold_new(struct td_audit *a, const struct td_audit_event *e, td_slice key)
{
    struct fold *f = td_alloc(sizeof *f);
    f->action = e->action;
    f->refused = e->refused;
    f->key_n = (uint8_t)key.n;
    (void)td_put_bytes(f->key, key);
    (void)td_map_put(&a->folds, (td_slice){f->key, f->key_n}, f);
    td_heap_set(&a->windows, &f->timer, td_mono_after(a->parts->now, FOLD_MS));
    return f;
}

/* `e` has its from. */
static void note(struct td_audit *a, const struct td_audit_event *e)
{
    uint8_t bytes[160];
    td_slice key = {bytes, fold_key(a, e, bytes)};
    struct fold *f = td_map_find(&a->folds, key);
    if (f != NULL) {
        f->more++;
        return;
    }
    f = fold_new(a, e, key);
    if (is_full(a)) { /* so many in one turn: counted, told when its window ends */
        f->more++;
    } else {
        record(a, e, 1);
    }
}

void td_audit_note(struct td_parts *parts, const struct td_audit_event *event)
{
    struct td_audit_event e = *event;
    char from[64] = "";
    if (e.stream >= 0) {
        parts->sys->address(parts->sys, e.stream, true, from);
        e.from = td_slice_of(from);
    }
    if (parts->audit != NULL) {
        note(parts->audit, &e);
    } else if (parts->loop != NULL) {
        td_loop_audit(parts->loop, &e);
    }
}

static void windows_end(struct td_audit *a, td_mono now)
{
    for (struct td_timer *t;
         (t = td_heap_first(&a->windows)) != NULL && t->at <= now && !is_full(a);) {
        struct fold *f = TD_CONTAINER(t, struct fold, timer);
        td_slice key = {f->key, f->key_n};
        if (f->more > 0) {
            struct td_audit_event e = {.action = f->action,
                                       .refused = f->refused,
                                       .principal = td_slice_skip(key, 2),
                                       .stream = -1};
            uint64_t more = f->more;
            f->more = 0;
            td_heap_set(&a->windows, t, td_mono_after(now, FOLD_MS));
            record(a, &e, more);
        } else {
            td_heap_set(&a->windows, t, TD_NEVER);
            (void)td_map_remove(&a->folds, key);
            free(f);
        }
    }
}

/* ---- into the store ---- */

static td_slice number_key(struct td_buf *room, uint64_t n)
{
    td_buf_clear(room);
    td_assert(td_buf_reserve(room, 8) == TD_OK);
    (void)td_put_u64(room->p, n);
    room->n = 8;
    return td_buf_slice(room);
}

static void head_put(struct td_audit *a)
{
    struct td_buf *b = &a->value;
    td_buf_clear(b);
    td_assert(td_buf_add_varint(b, a->first) == TD_OK && td_buf_add_varint(b, a->last) == TD_OK &&
              td_buf_add(b, (td_slice){a->end, sizeof a->end}) == TD_OK);
    td_store_put(a->parts->store, TD_STATE_AUDIT_HEAD, TD_STR("head"), td_buf_slice(b));
}

void td_audit_turn(struct td_audit *a, td_mono now)
{
    struct td_store *store = a->parts->store;
    windows_end(a, now);
    if (a->stored == a->last) {
        return;
    }
    while (a->stored < a->last) {
        uint64_t n = ++a->stored;
        td_store_put(store, TD_STATE_AUDIT, number_key(&a->key, n),
                     td_buf_slice(&a->lines[n % LAST_MAX]));
    }
    for (; a->last - a->first >= a->records_max; a->first++) {
        td_store_del(store, TD_STATE_AUDIT, number_key(&a->key, a->first));
    }
    head_put(a);
    (void)td_store_batch_end(store, TD_STORE_NOW);
}

td_mono td_audit_deadline(const struct td_audit *a)
{
    const struct td_timer *t = td_heap_first(&a->windows);
    return a->stored < a->last ? a->parts->now : t == NULL ? TD_NEVER : t->at;
}

size_t td_audit_last(const struct td_audit *a, td_slice *out, size_t max)
{
    size_t n = 0;
    uint64_t back = max < LAST_MAX ? max : LAST_MAX;
    for (uint64_t at = a->last > back ? a->last - back + 1 : 1; at <= a->last; at++) {
        const struct td_buf *line = &a->lines[at % LAST_MAX];
        if (line->n > 0) { /* of this life */
            out[n++] = td_buf_slice(line);
        }
    }
    return n;
}

/* ---- reading it back ---- */

struct reading {
    void (*fn)(void *ctx, td_slice line);
    void *ctx;
    struct td_buf *why;
    struct td_serve_audit_sum head, sum;
    enum td_err err;
};

static void broken(struct reading *r, uint64_t n, const char *what)
{
    r->err = TD_ECORRUPT;
    (void)td_buf_printf(r->why, "record %llu: %s", (unsigned long long)n, what);
}

/* What a record says was the hash of the one before it. */
static bool says_before(td_slice line, const uint8_t end[32])
{
    char want[65];
    struct td_json j;
    struct td_json_token t;
    hex_of(end, want);
    td_json_init(&j, line);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        if (t.kind == TD_JSON_KEY && t.depth == 1 && td_json_is(&t, TD_STR("prev"))) {
            return td_json_next(&j, &t) == TD_JSON_STRING && td_json_is(&t, td_slice_of(want));
        }
    }
    return false;
}

static void record_row(void *ctx, td_slice key, td_slice value)
{
    struct reading *r = ctx;
    struct td_cursor c = td_cursor_of(key);
    uint64_t n = td_cursor_u64(&c);
    if (r->err != TD_OK) {
        return;
    }
    bool is_first = r->sum.last == 0;
    if (is_first && n != r->head.first) {
        broken(r, r->head.first, "it and others behind it are missing");
    } else if (!is_first && n != r->sum.last + 1) {
        broken(r, r->sum.last + 1, "it is missing");
    } else if ((!is_first || n == 1) && !says_before(value, r->sum.end)) {
        broken(r, n,
               "it does not carry the hash of the record before it: one of the two was "
               "changed");
    } else {
        r->sum.first = is_first ? n : r->sum.first;
        r->sum.last = n;
        digest(value, r->sum.end);
        if (r->fn != NULL) {
            r->fn(r->ctx, value);
        }
    }
}

static enum td_err read_all(struct reading *r, struct td_store *store)
{
    enum td_err err = td_store_state_each(store, TD_STATE_AUDIT_HEAD, head_row, &r->head);
    if (err == TD_OK) {
        err = td_store_state_each(store, TD_STATE_AUDIT, record_row, r);
    }
    if (err != TD_OK) {
        (void)td_buf_printf(r->why, "%s; run tandem doctor", td_err_text(err));
        return err;
    }
    if (r->err == TD_OK && r->sum.last != r->head.last) {
        broken(r, r->sum.last + 1, "it and all behind it are missing");
    } else if (r->err == TD_OK && memcmp(r->sum.end, r->head.end, sizeof r->sum.end) != 0) {
        broken(r, r->sum.last, "its hash is not the one that was noted: it was changed");
    }
    return r->err;
}

enum td_err td_serve_audit_read(struct td_sys *sys, const char *dir,
                                void (*fn)(void *ctx, td_slice line), void *ctx,
                                struct td_serve_audit_sum *sum, struct td_buf *why)
{
    const struct td_store_config config = {.dir = dir, .existing = true};
    struct reading r = {.fn = fn, .ctx = ctx, .why = why};
    struct td_store *store;
    enum td_err err = td_store_open(&config, sys, &store, why);
    if (err == TD_OK) {
        err = read_all(&r, store);
        td_store_close(store);
        *sum = r.sum;
    }
    return err;
}
