/* serve/http: rows of api.def about messages that are to be published later: looking through them,
 * a page at a time in the order of their birth, and cancelling one. Who asks sees what it may read,
 * and its own; it cancels what it may write, and its own. */
#include <stdio.h>
#include <stdlib.h>

#include "serve/http/inside.h"
#include "serve/mqtt/mqttd.h"

enum { PAGE_MAX = 1000, PAGE_DEFAULT = 100 };

struct page {
    struct td_httpd_conn *c;
    td_slice filter; /* n 0: all */
    uint64_t after;  /* only numbers behind this one */
    size_t max;
    struct td_mqttd_delayed *at; /* room for 2 * max */
    size_t count;
    bool full; /* at[max - 1] bounds what may still come */
    bool more; /* there are others behind the page */
};

static bool may(struct td_httpd_conn *c, unsigned action, const struct td_mqttd_delayed *m)
{
    return td_slice_eq(td_principal_name(c->who), m->principal) ||
           td_httpd_may(c, action, m->topic);
}

/* ---- a page ---- */

static int by_number(const void *a, const void *b)
{
    const struct td_mqttd_delayed *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* Leaves the first `max`, in order. */
static void page_settle(struct page *page)
{
    qsort(page->at, page->count, sizeof *page->at, by_number);
    if (page->count >= page->max) {
        page->more = page->more || page->count > page->max;
        page->count = page->max;
        page->full = true;
    }
}

static void page_look(void *ctx, const struct td_mqttd_delayed *m)
{
    struct page *page = ctx;
    if (m->number <= page->after ||
        (page->filter.n > 0 && !td_filter_matches(page->filter, m->topic)) ||
        !may(page->c, TD_GUARD_READ, m)) {
        return;
    }
    if (page->full && m->number > page->at[page->max - 1].number) {
        page->more = true;
        return;
    }
    page->at[page->count++] = *m;
    if (page->count == 2 * page->max) {
        page_settle(page);
    }
}

static void add_int(struct td_json_out *o, const char *key, int64_t value)
{
    td_json_key(o, key);
    td_json_int(o, value);
}

static void add_text(struct td_json_out *o, const char *key, td_slice value)
{
    td_json_key(o, key);
    td_json_string(o, value);
}

static void add_message(struct td_json_out *o, const struct td_mqttd_delayed *m)
{
    td_json_open(o, '{');
    add_int(o, "id", (int64_t)m->number);
    add_text(o, "topic", m->topic);
    td_json_key(o, "due");
    td_httpd_time(o, m->due);
    add_int(o, "bytes", (int64_t)m->payload_bytes);
    add_int(o, "qos", m->qos);
    td_json_key(o, "retain");
    td_json_raw(o, m->retain ? "true" : "false");
    add_text(o, "client", m->client_id);
    add_text(o, "principal", m->principal);
    td_json_close(o, '}');
}

static void page_answer(const struct page *page)
{
    struct td_httpd_conn *c = page->c;
    struct td_json_out o = td_httpd_json(c->d);
    size_t n = 0, bytes_max = c->d->config.write_bytes_max / 4;
    td_json_open(&o, '{');
    td_json_key(&o, "delayed");
    td_json_open(&o, '[');
    for (; n < page->count && o.err == TD_OK && o.to->n < bytes_max; n++) {
        add_message(&o, &page->at[n]);
    }
    td_json_close(&o, ']');
    td_json_key(&o, "next");
    if (n > 0 && (n < page->count || page->more)) {
        td_json_int(&o, (int64_t)page->at[n - 1].number);
    } else {
        td_json_raw(&o, "null");
    }
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

static void list(struct td_httpd_conn *c, struct td_arena *arena)
{
    int64_t limit = PAGE_DEFAULT, after = 0;
    struct page page = {.c = c};
    if (!td_httpd_param_filter(c, arena, &page.filter) ||
        !td_httpd_param_number(c, "limit", 1, PAGE_MAX, "1 to 1000 messages", &limit) ||
        !td_httpd_param_number(c, "after", 0, INT64_MAX, "the next of the page before", &after)) {
        return;
    }
    page.after = (uint64_t)after;
    page.max = (size_t)limit;
    page.at = td_alloc(2 * page.max * sizeof *page.at);
    td_mqttd_delayed_each(c->d->parts->mqttd, page_look, &page);
    page_settle(&page);
    page_answer(&page);
    free(page.at);
}

void td_httpd_delayed(struct td_httpd_conn *c, td_mono now)
{
    struct td_arena arena;
    (void)now;
    td_arena_init(&arena, 0);
    list(c, &arena);
    td_arena_fini(&arena);
}

/* ---- cancelling ---- */

void td_httpd_delayed_cancel(struct td_httpd_conn *c, td_mono now)
{
    struct td_mqttd *d = c->d->parts->mqttd;
    struct td_mqttd_delayed m;
    td_slice id = td_httpd_rest(c);
    double real;
    int64_t number = 0;
    bool is_int = false;
    (void)now;
    if (td_json_number(id, &real, &number, &is_int) != TD_OK || !is_int || number < 1) {
        td_httpd_bad(c, "id", id, "not a message's number", "/api/v1/delayed tells them");
    } else if (!td_mqttd_delayed_find(d, (uint64_t)number, &m) || !may(c, TD_GUARD_READ, &m)) {
        td_httpd_problem(c, &(struct td_httpd_problem){.status = 404,
                                                       .thing = "id",
                                                       .value = id,
                                                       .rule = "no such message waits (any more)",
                                                       .remedy = "/api/v1/delayed tells which do"});
    } else if (!may(c, TD_GUARD_WRITE, &m)) {
        td_httpd_forbidden(c, "id", id, "it needs the right to write the message's topic");
    } else {
        uint64_t lsn = td_mqttd_delayed_cancel(d, (uint64_t)number);
        td_httpd_answer_when(c, lsn, TD_STR("{\"cancelled\":1}"));
    }
}
