/* serve/record: what is said is remembered.
 *
 *   topic -> source (its stream; its fields, each with its column and current value)
 *
 * Fields mostly come in the order of the last message, so a field is looked for first where it
 * stood then. */
#include "serve/record.h"

#include <stdlib.h>

#include "serve/leaves.h"
#include "store/store.h"

/* Sessions count from 1 up. */
#define SUBSCRIBER_ID (UINT64_MAX - 1)

enum { SERIES_DEFAULT = 100000 };

struct entry {
    struct td_current now; /* first */
    struct entry *newer, *older;
    char *text; /* of a text value; TD_LEAF_TEXT_MAX bytes, allocated when there is one */
};

struct field {
    td_slice name; /* the store's */
    uint32_t column;
    struct entry *entry; /* NULL: over series_max */
};

struct source {
    td_slice topic; /* the store's */
    uint32_t stream;
    td_wall newest; /* ts of its newest row */
    td_wall last;   /* ts of the row before: another one if the clock was set back */
    struct field *fields;
    size_t count, cap;
};

struct td_record {
    struct td_subscriber sub; /* first */
    struct td_sys *sys;
    struct td_hub *hub;
    struct td_store *store;
    struct td_record_limits limits;
    struct td_record_stats stats;
    struct td_map sources; /* topic -> struct source */
    struct source **by_stream;
    size_t stream_cap;
    struct entry **entries; /* in the order in which they came */
    size_t entry_cap;
    struct entry *newest;
    uint64_t version, lsn;
    bool hold; /* no new sources */
    struct td_leaves leaves;
};

/* ---- sources ---- */

static void source_keep(struct td_record *r, struct source *s)
{
    (void)td_map_put(&r->sources, s->topic, s); /* it was not there */
    if (s->stream >= r->stream_cap) {
        size_t cap = (size_t)s->stream * 2 + 64;
        r->by_stream = td_realloc(r->by_stream, cap * sizeof *r->by_stream);
        memset(r->by_stream + r->stream_cap, 0, (cap - r->stream_cap) * sizeof *r->by_stream);
        r->stream_cap = cap;
    }
    r->by_stream[s->stream] = s;
}

/* The source of a topic, made if need be; NULL: the store takes no more streams. */
static struct source *source_of(struct td_record *r, td_slice topic)
{
    struct source *s = td_map_find(&r->sources, topic);
    uint32_t stream;
    if (s == NULL && !r->hold && td_store_stream(r->store, topic, &stream) == TD_OK) {
        s = td_alloc(sizeof *s);
        s->stream = stream;
    }
    return s;
}

/* A source without a column has no name that stays: it is not kept. */
static void source_drop_empty(struct source *s)
{
    if (s->count == 0) {
        free(s);
    }
}

static struct entry *entry_new(struct td_record *r, const struct source *s, const struct field *f)
{
    if (r->stats.series >= r->limits.series_max) {
        return NULL;
    }
    if (r->stats.series == r->entry_cap) {
        r->entry_cap = r->entry_cap == 0 ? 64 : r->entry_cap * 2;
        r->entries = td_realloc(r->entries, r->entry_cap * sizeof *r->entries);
    }
    struct entry *e = td_alloc(sizeof *e);
    e->now.series = td_series_of(s->stream, f->column);
    e->now.topic = s->topic;
    e->now.field = f->name;
    r->entries[r->stats.series++] = e;
    return e;
}

/* The field of a name; `hint` is where it stood in the last message. NULL: the store takes no more
 * columns. */
static struct field *field_of(struct td_record *r, struct source *s, td_slice name, size_t hint)
{
    if (hint < s->count && td_slice_eq(s->fields[hint].name, name)) {
        return &s->fields[hint];
    }
    for (size_t i = 0; i < s->count; i++) {
        if (td_slice_eq(s->fields[i].name, name)) {
            return &s->fields[i];
        }
    }
    struct field f;
    if (td_store_column(r->store, s->stream, name, &f.column) != TD_OK) {
        return NULL;
    }
    (void)td_store_series_name(r->store, td_series_of(s->stream, f.column), &s->topic, &f.name);
    if (s->count == 0) { /* from here on the topic has a name that stays */
        source_keep(r, s);
    }
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 2 : s->cap * 2;
        s->fields = td_realloc(s->fields, s->cap * sizeof *s->fields);
    }
    f.entry = entry_new(r, s, &f);
    s->fields[s->count] = f;
    return &s->fields[s->count++];
}

/* ---- current values ---- */

static void entry_front(struct td_record *r, struct entry *e)
{
    if (r->newest == e) {
        return;
    }
    if (e->newer != NULL) {
        e->newer->older = e->older;
    }
    if (e->older != NULL) {
        e->older->newer = e->newer;
    }
    e->newer = NULL;
    e->older = r->newest;
    if (r->newest != NULL) {
        r->newest->newer = e;
    }
    r->newest = e;
}

static void entry_set(struct td_record *r, struct entry *e, struct td_value v, td_wall at,
                      enum td_quality quality)
{
    if (v.type == TD_VALUE_TEXT) {
        e->text = e->text != NULL ? e->text : td_alloc(TD_LEAF_TEXT_MAX);
        v.as.text = td_slice_head(v.as.text, TD_LEAF_TEXT_MAX);
        (void)td_put_bytes((uint8_t *)e->text, v.as.text);
        v.as.text.p = (const uint8_t *)e->text;
    }
    e->now.value = v;
    e->now.at = at;
    e->now.quality = quality;
    e->now.version = ++r->version;
    entry_front(r, e);
}

/* ---- messages ---- */

/* Rows of one stream must not share a ts, or the later would stand for both. Whole milliseconds
 * while they are enough: they take half the bytes. When the clock was set back, rows come to lie
 * among older ones. Those stand at whole microseconds or little behind, so the upper half of each
 * microsecond is free. */
static td_wall ts_of(struct source *s, td_wall at)
{
    td_wall ms = at - at % TD_NS_PER_MS, us = at - at % 1000;
    td_wall ts = ms > s->newest ? ms : us > s->newest ? us : at;
    td_wall before = s->newest;
    if (ts + TD_NS_PER_S <= s->newest) {
        ts = us + 500 + at % 500;
        before = s->last;
    }
    if (ts <= before && before - ts < TD_NS_PER_S) {
        ts = before + 1;
    }
    s->newest = ts > s->newest ? ts : s->newest;
    s->last = ts;
    return ts;
}

static size_t cells_of(struct td_record *r, struct source *s, td_wall at,
                       struct td_cell cells[TD_LEAVES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < r->leaves.count; i++) {
        const struct td_leaf *leaf = &r->leaves.at[i];
        struct field *f = field_of(r, s, leaf->field, i);
        if (f == NULL) {
            r->stats.refused++;
            continue;
        }
        cells[count++] = (struct td_cell){f->column, leaf->value};
        if (f->entry != NULL) {
            entry_set(r, f->entry, leaf->value, at, TD_QUALITY_GOOD);
        } else {
            r->stats.untracked++;
        }
    }
    return count;
}

static void row_add(struct td_record *r, const struct td_message *m)
{
    struct td_cell cells[TD_LEAVES_MAX];
    struct source *s = source_of(r, m->topic);
    if (s == NULL) {
        r->stats.refused++;
        return;
    }
    td_wall ts = ts_of(s, m->at);
    size_t count = cells_of(r, s, m->at, cells);
    enum td_store_class class = m->qos > 0 ? TD_STORE_NOW : TD_STORE_1S;
    uint64_t lsn;
    if (count > 0 &&
        td_store_row(r->store, s->stream, ts, m->at, cells, count, class, &lsn) == TD_OK) {
        r->stats.rows++;
        r->stats.values += count;
        r->lsn = lsn;
    } else {
        r->stats.refused++;
        r->lsn = td_store_failed(r->store) ? UINT64_MAX : r->lsn;
    }
    source_drop_empty(s);
}

static void deliver(struct td_subscriber *sub, struct td_message *m, const struct td_delivery *d)
{
    (void)d;
    struct td_record *r = TD_CONTAINER(sub, struct td_record, sub);
    switch (td_leaves_read(&r->leaves, m->payload)) {
    case TD_LEAVES_GOOD:
        row_add(r, m);
        break;
    case TD_LEAVES_NONE:
        break;
    case TD_LEAVES_BINARY:
        r->stats.binary++;
        break;
    case TD_LEAVES_OVERSIZED:
        r->stats.oversized++;
        break;
    }
    r->stats.leaves_dropped = r->leaves.dropped;
}

/* ---- the door ---- */

static void restore(void *ctx, uint32_t series, td_wall ts, struct td_value value)
{
    struct td_record *r = ctx;
    td_slice topic, name;
    if (!td_store_series_name(r->store, series, &topic, &name)) {
        return;
    }
    struct source *s = source_of(r, topic);
    if (s == NULL) {
        return;
    }
    struct field *f = field_of(r, s, name, s->count);
    if (f != NULL && f->entry != NULL) {
        s->newest = ts > s->newest ? ts : s->newest;
        entry_set(r, f->entry, value, ts, TD_QUALITY_STALE);
    }
    source_drop_empty(s);
}

enum td_err td_record_new(struct td_sys *sys, struct td_hub *hub, struct td_store *store,
                          const struct td_record_limits *limits, struct td_record **out)
{
    static const struct td_subscriber_type type = {.deliver = deliver};
    struct td_record *r = td_alloc(sizeof *r);
    uint64_t seed;
    sys->random(sys, &seed, sizeof seed);
    r->sub.type = &type;
    r->sub.id = SUBSCRIBER_ID;
    r->sub.near = true; /* other loops know what is recorded without being told */
    r->sys = sys;
    r->hub = hub;
    r->store = store;
    r->limits = *limits;
    if (r->limits.series_max == 0) {
        r->limits.series_max = SERIES_DEFAULT;
    }
    td_map_init(&r->sources, seed);
    td_leaves_init(&r->leaves);
    td_store_latest_each(store, restore, r);
    const struct td_subscribe_options options = {.qos = 2};
    bool existed;
    enum td_err err = td_hub_subscribe(hub, &r->sub, TD_STR("#"), &options, &existed);
    if (err != TD_OK) {
        td_record_free(r);
        return err;
    }
    *out = r;
    return TD_OK;
}

void td_record_free(struct td_record *r)
{
    td_hub_unsubscribe_all(r->hub, &r->sub);
    for (size_t i = 0; i < r->sources.count; i++) {
        struct source *s = r->sources.entries[i].value;
        free(s->fields);
        free(s);
    }
    for (size_t i = 0; i < r->stats.series; i++) {
        free(r->entries[i]->text);
        free(r->entries[i]);
    }
    td_map_fini(&r->sources);
    td_leaves_fini(&r->leaves);
    free(r->by_stream);
    free(r->entries);
    free(r);
}

void td_record_hold(struct td_record *r, bool hold)
{
    r->hold = hold;
}

uint64_t td_record_take_lsn(struct td_record *r)
{
    uint64_t lsn = r->lsn;
    r->lsn = 0;
    return lsn;
}

const struct td_record_stats *td_record_stats(const struct td_record *r)
{
    return &r->stats;
}

uint64_t td_record_version(const struct td_record *r)
{
    return r->version;
}

void td_record_changes(const struct td_record *r, uint64_t since,
                       bool (*fn)(void *ctx, const struct td_current *now), void *ctx)
{
    for (const struct entry *e = r->newest; e != NULL && e->now.version > since; e = e->older) {
        if (!fn(ctx, &e->now)) {
            return;
        }
    }
}

void td_record_each(const struct td_record *r, bool (*fn)(void *ctx, const struct td_current *now),
                    void *ctx)
{
    for (size_t i = 0; i < r->stats.series && fn(ctx, &r->entries[i]->now); i++) {
    }
}

const struct td_current *td_record_find(const struct td_record *r, uint32_t series)
{
    size_t stream = series >> 8;
    const struct source *s = stream < r->stream_cap ? r->by_stream[stream] : NULL;
    for (size_t i = 0; s != NULL && i < s->count; i++) {
        if (s->fields[i].column == (series & 0xFF) && s->fields[i].entry != NULL) {
            return &s->fields[i].entry->now;
        }
    }
    return NULL;
}
