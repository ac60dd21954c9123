/* serve/http: answers. Each is built whole before it is queued, so that its length is known and its
 * bound is looked at once; what all answers say stands in one table. */
#include <stdio.h>

#include "base/time.h"
#include "serve/http/inside.h"
#include "serve/stage.h"

enum { SCRATCH_KEPT_BYTES = 1 << 20 };

#define BYTES_OF(literal)                                                                          \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }
#define FIELD(name, value)                                                                         \
    {                                                                                              \
        BYTES_OF(name), BYTES_OF(value)                                                            \
    }

/* What every answer says: take it as what it is, load nothing from elsewhere, stand in no frame. */
static const struct td_http_field always[] = {
    FIELD("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'"),
    FIELD("X-Content-Type-Options", "nosniff"),
    FIELD("Referrer-Policy", "no-referrer"),
    FIELD("Cross-Origin-Resource-Policy", "same-origin"),
};

struct td_json_out td_httpd_json(struct td_httpd *d)
{
    if (d->scratch.cap > SCRATCH_KEPT_BYTES) {
        td_buf_fini(&d->scratch);
    }
    td_buf_clear(&d->scratch);
    return td_json_out(&d->scratch);
}

static void field_add(struct td_http_field *fields, size_t *n, const char *name, const char *value)
{
    fields[(*n)++] = (struct td_http_field){td_slice_of(name), td_slice_of(value)};
}

void td_httpd_queue(struct td_httpd_conn *c, const struct td_http_send *send, td_slice body,
                    td_slice tail)
{
    size_t head = td_http_send_size(send);
    td_assert(td_buf_reserve(&c->out, head + body.n) == TD_OK);
    td_http_send_put(c->out.p + c->out.n, send);
    c->out.n += head;
    td_assert(td_buf_add(&c->out, body) == TD_OK);
    c->tail = tail;
    c->d->stats.unsent_bytes += head + body.n + tail.n;
}

static void answered(struct td_httpd_conn *c, unsigned status)
{
    c->d->stats.answers_bad += status >= 400;
    c->d->waiting -= c->phase == TD_HTTPD_WAIT && !c->asking;
    c->phase = TD_HTTPD_ANSWER;
}

void td_httpd_answer(struct td_httpd_conn *c, const struct td_httpd_answer *a)
{
    struct td_http_field fields[TD_HTTPD_FIELDS_MAX + TD_COUNT(always) + 3];
    size_t n = TD_COUNT(always);
    char date[TD_TIME_HTTP_BYTES];
    memcpy(fields, always, sizeof always);
    td_time_http(c->d->parts->sys->wall(c->d->parts->sys), date);
    fields[n++] = (struct td_http_field){TD_STR("Date"), {(uint8_t *)date, sizeof date}};
    field_add(fields, &n, "Cache-Control", a->cache != NULL ? a->cache : "no-store");
    if (a->type != NULL) {
        field_add(fields, &n, "Content-Type", a->type);
    }
    for (size_t i = 0; i < a->field_count; i++) {
        fields[n++] = a->fields[i];
    }
    bool to_head = td_slice_eq(c->head.method, TD_STR("HEAD"));
    bool bare = a->status == 304 || a->status == 101;
    struct td_http_send send = {.status = (uint16_t)a->status,
                                .body = bare ? TD_HTTP_BODY_NONE : TD_HTTP_BODY_LENGTH,
                                .length = a->body.n + a->tail.n,
                                .close = c->close_after,
                                .fields = fields,
                                .field_count = n};
    static const td_slice none = {NULL, 0};
    answered(c, a->status);
    td_httpd_queue(c, &send, to_head ? none : a->body, to_head ? none : a->tail);
}

void td_httpd_answer_json(struct td_httpd_conn *c, unsigned status, const struct td_json_out *o)
{
    struct td_httpd *d = c->d;
    if (o->err != TD_OK) {
        td_httpd_problem(c, &(struct td_httpd_problem){
                                .status = 422,
                                .thing = "answer",
                                .rule = "larger than what one answer may be ([http] answer_max)",
                                .remedy = "ask for less: a shorter time, fewer columns, a LIMIT"});
        return;
    }
    if (d->stats.unsent_bytes + o->to->n > TD_HTTPD_UNSENT_BYTES_MAX) {
        td_httpd_problem(c, &(struct td_httpd_problem){
                                .status = 503,
                                .thing = "answer",
                                .rule = "64 MB of answers wait for clients that read slowly",
                                .remedy = "try again"});
        return;
    }
    td_httpd_answer(c, &(struct td_httpd_answer){.status = status,
                                                 .type = "application/json",
                                                 .body = td_buf_slice(o->to)});
}

void td_httpd_answer_when(struct td_httpd_conn *c, uint64_t lsn, td_slice json)
{
    td_buf_clear(&c->body);
    td_assert(td_buf_add(&c->body, json) == TD_OK);
    c->phase = TD_HTTPD_WAIT;
    c->asking = false;
    c->lsn = lsn;
    c->d->waiting++;
}

void td_httpd_committed(struct td_httpd_conn *c)
{
    const struct td_store *store = c->d->parts->store;
    if (!td_stage_done(c->d->parts, c->lsn)) {
        td_httpd_problem(c, &(struct td_httpd_problem){.status = 503,
                                                       .thing = "commit",
                                                       .rule = td_store_failure(store),
                                                       .remedy = "it is done for now, but may be "
                                                                 "forgotten when the hub ends"});
        return;
    }
    td_httpd_answer(c, &(struct td_httpd_answer){.status = 200,
                                                 .type = "application/json",
                                                 .body = td_buf_slice(&c->body)});
}

enum { VALUE_SHOWN_MAX = 200 };

void td_httpd_problem(struct td_httpd_conn *c, const struct td_httpd_problem *p)
{
    struct td_json_out o = td_httpd_json(c->d);
    char detail[1024];
    bool cut = p->value.n > VALUE_SHOWN_MAX;
    td_slice value = td_slice_head(p->value, VALUE_SHOWN_MAX);
    int n = snprintf(detail, sizeof detail, "%s%s%.*s%s: %s; %s", p->thing, value.n > 0 ? " '" : "",
                     (int)value.n, value.n > 0 ? (const char *)value.p : "",
                     value.n == 0 ? ""
                     : cut        ? "...'"
                                  : "'",
                     p->rule, p->remedy);
    td_json_open(&o, '{');
    td_json_key(&o, "type");
    td_json_string(&o, TD_STR("about:blank"));
    td_json_key(&o, "title");
    td_json_string(&o, td_slice_of(td_http_reason(p->status)));
    td_json_key(&o, "status");
    td_json_int(&o, p->status);
    td_json_key(&o, "detail");
    td_json_string(&o, (td_slice){(const uint8_t *)detail, (size_t)n});
    td_json_close(&o, '}');
    struct td_httpd_answer a = {
        .status = p->status, .type = "application/problem+json", .body = td_buf_slice(o.to)};
    if (p->field.name.n > 0) {
        a.fields[a.field_count++] = p->field;
    }
    td_httpd_answer(c, &a);
}
