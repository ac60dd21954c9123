/* serve/http: rows of api.def about retained messages: looking through them, a page at a time, and
 * deleting what a filter matches.
 *
 * A page is in the order of the topics' bytes, so that what comes and goes between two pages
 * neither repeats nor hides the rest. The tree has no such order: a page looks at all that the
 * filter matches, and keeps its first ones.
 *
 * Deleting says nothing to anybody. It changes what stays (the right to write), it is not something
 * said on the topic (the right to publish): a rule or a device that takes an empty payload for an
 * order must not act because somebody tidies up, nor ten thousand of them at once. Who wants it
 * heard publishes an empty retained message, which is MQTT's own way. */
#include <stdio.h>
#include <stdlib.h>

#include "serve/http/inside.h"
#include "serve/stage.h"
#include "serve/mqtt/mqttd.h"

enum {
    PAGE_MAX = 1000,
    PAGE_DEFAULT = 100,
    PAYLOAD_SHOWN_MAX = 64 * 1024, /* a longer one is told by its size only */
    DELETE_MAX = 100000,
    DELETE_DEFAULT = 10000,
    DELETE_TOPIC_BYTES = 4 << 20 /* of one request, so that the store's bound is far */
};

/* ---- a page ---- */

struct page {
    struct td_httpd_conn *c;
    td_slice after; /* only topics behind this one; n 0: all */
    size_t max;
    const struct td_message **at; /* room for 2 * max */
    size_t count;
    bool full; /* at[max - 1] bounds what may still come */
    bool more; /* there are others behind the page */
};

static int by_topic(const void *a, const void *b)
{
    return td_slice_cmp((*(const struct td_message *const *)a)->topic,
                        (*(const struct td_message *const *)b)->topic);
}

/* Leaves the first `max`, in order. */
static void page_settle(struct page *page)
{
    qsort(page->at, page->count, sizeof *page->at, by_topic);
    if (page->count >= page->max) {
        page->more = page->more || page->count > page->max;
        page->count = page->max;
        page->full = true;
    }
}

static void page_look(void *ctx, struct td_message *m)
{
    struct page *page = ctx;
    if ((page->after.n > 0 && td_slice_cmp(m->topic, page->after) <= 0) ||
        !td_httpd_may(page->c, TD_GUARD_READ, m->topic)) {
        return;
    }
    if (page->full && td_slice_cmp(m->topic, page->at[page->max - 1]->topic) > 0) {
        page->more = true;
        return;
    }
    page->at[page->count++] = m;
    if (page->count == 2 * page->max) {
        page_settle(page);
    }
}

static void add_int(struct td_json_out *o, const char *key, int64_t value)
{
    td_json_key(o, key);
    td_json_int(o, value);
}

/* As text if it is text, else in base64; the API's size of an answer is for many of them. */
static void add_payload(struct td_json_out *o, td_slice payload)
{
    if (payload.n > PAYLOAD_SHOWN_MAX) {
        td_json_key(o, "payload");
        td_json_raw(o, "null");
        return;
    }
    if (td_utf8_valid(payload)) {
        td_json_key(o, "payload");
        td_json_string(o, payload);
        return;
    }
    struct td_buf text;
    td_buf_init(&text, SIZE_MAX);
    td_assert(td_guard_base64_encode(payload, &text) == TD_OK);
    td_json_key(o, "base64");
    td_json_string(o, td_buf_slice(&text));
    td_buf_fini(&text);
}

static void add_message(struct td_json_out *o, const struct td_parts *parts,
                        const struct td_message *m, td_mono now)
{
    td_json_open(o, '{');
    td_json_key(o, "topic");
    td_json_string(o, m->topic);
    add_payload(o, m->payload);
    add_int(o, "bytes", (int64_t)m->payload.n);
    add_int(o, "qos", m->qos);
    td_json_key(o, "time");
    td_httpd_time(o, m->at);
    td_json_key(o, "expires_s");
    if (m->expires == TD_NEVER) {
        td_json_raw(o, "null");
    } else {
        td_json_int(o, (m->expires - now) / TD_NS_PER_S);
    }
    td_slice author = td_guard_name(parts->guard, m->author);
    td_json_key(o, "principal");
    if (author.n > 0) {
        td_json_string(o, author);
    } else {
        td_json_raw(o, "null");
    }
    td_json_close(o, '}');
}

static void page_answer(const struct page *page, td_mono now)
{
    struct td_httpd_conn *c = page->c;
    struct td_json_out o = td_httpd_json(c->d);
    size_t n = 0, bytes_max = c->d->config.write_bytes_max / 4;
    td_json_open(&o, '{');
    td_json_key(&o, "retained");
    td_json_open(&o, '[');
    for (; n < page->count && o.err == TD_OK && o.to->n < bytes_max; n++) {
        add_message(&o, c->d->parts, page->at[n], now);
    }
    td_json_close(&o, ']');
    td_json_key(&o, "next");
    if (n > 0 && (n < page->count || page->more)) {
        td_json_string(&o, page->at[n - 1]->topic);
    } else {
        td_json_raw(&o, "null");
    }
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

/* ---- what was asked ---- */

static void list(struct td_httpd_conn *c, struct td_arena *arena, td_mono now)
{
    td_slice filter, text;
    bool broken;
    int64_t limit = PAGE_DEFAULT;
    struct page page = {.c = c};
    if (!td_httpd_param_filter(c, arena, &filter) ||
        !td_httpd_param_number(c, "limit", 1, PAGE_MAX, "1 to 1000 messages", &limit)) {
        return;
    }
    if (td_httpd_param(c, "after", &text, &broken)) {
        page.after = td_arena_copy(arena, text);
    } else if (broken) {
        return;
    }
    page.max = (size_t)limit;
    page.at = td_alloc(2 * page.max * sizeof *page.at);
    td_hub_retained_each(c->d->parts->hub, filter.n > 0 ? filter : TD_STR("#"), now, page_look,
                         &page);
    page_settle(&page);
    page_answer(&page, now);
    free(page.at);
}

void td_httpd_retained(struct td_httpd_conn *c, td_mono now)
{
    struct td_arena arena;
    td_arena_init(&arena, 0);
    list(c, &arena, now);
    td_arena_fini(&arena);
}

/* ---- deleting ---- */

struct doomed {
    struct td_httpd_conn *c;
    struct td_buf topics; /* each as a lump */
    int64_t count, max;
    bool more;
};

static void doomed_look(void *ctx, struct td_message *m)
{
    struct doomed *doomed = ctx;
    if (!td_httpd_may(doomed->c, TD_GUARD_WRITE, m->topic)) {
        return;
    }
    if (doomed->count == doomed->max || doomed->topics.n > DELETE_TOPIC_BYTES) {
        doomed->more = true;
        return;
    }
    td_assert(td_buf_add_lump(&doomed->topics, m->topic) == TD_OK);
    doomed->count++;
}

/* Gives the LSN that must be durable before anybody is told. */
static uint64_t doomed_delete(const struct doomed *doomed)
{
    struct td_parts *parts = doomed->c->d->parts;
    struct td_cursor c = td_cursor_of(td_buf_slice(&doomed->topics));
    uint64_t lsn = 0;
    while (td_cursor_left(&c) > 0) {
        struct td_message none = {.topic = td_cursor_lump(&c), .retain = true};
        (void)td_hub_retain(parts->hub, &none); /* to take one out never fails */
        td_mqttd_retain_put(parts->mqttd, &none);
        bool last = td_cursor_left(&c) == 0;
        if (last || td_stage_bytes(parts) > td_stage_max(parts) / 8) {
            lsn = td_stage_end(parts, TD_STORE_NOW);
        }
    }
    return lsn;
}

static void delete_matching(struct td_httpd_conn *c, td_slice filter, int64_t max, td_mono now)
{
    struct doomed doomed = {.c = c, .max = max};
    char json[64];
    td_buf_init(&doomed.topics, SIZE_MAX);
    td_hub_retained_each(c->d->parts->hub, filter, now, doomed_look, &doomed);
    uint64_t lsn = doomed_delete(&doomed);
    td_buf_fini(&doomed.topics);
    c->d->stats.retained_deleted += (uint64_t)doomed.count;
    (void)snprintf(json, sizeof json, "{\"deleted\":%lld,\"more\":%s}", (long long)doomed.count,
                   doomed.more ? "true" : "false");
    td_httpd_answer_when(c, lsn, td_slice_of(json));
}

static void delete_asked(struct td_httpd_conn *c, struct td_arena *arena, td_mono now)
{
    td_slice filter;
    int64_t limit = DELETE_DEFAULT;
    if (!td_httpd_param_filter(c, arena, &filter) ||
        !td_httpd_param_number(c, "limit", 1, DELETE_MAX, "1 to 100000 messages", &limit)) {
        return;
    }
    if (filter.n == 0) {
        td_httpd_bad(c, "filter", filter, "it is missing", "say what to delete, all of it is %23");
        return;
    }
    if (td_slice_eq(td_slice_head(filter, td_slice_find(filter, '/')), TD_STR("$SYS"))) {
        td_httpd_bad(c, "filter", filter, "what stands there is the hub's word",
                     "set sys_interval = 0 in section [mqtt], and it says nothing");
        return;
    }
    td_httpd_audit(c, TD_AUDIT_ERASE, false, filter);
    delete_matching(c, filter, limit, now);
}

void td_httpd_retained_delete(struct td_httpd_conn *c, td_mono now)
{
    struct td_arena arena;
    td_arena_init(&arena, 0);
    delete_asked(c, &arena, now);
    td_arena_fini(&arena);
}
