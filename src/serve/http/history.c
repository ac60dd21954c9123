/* serve/http: rows of api.def that ask the store. The question runs beside the loop, its answer
 * comes in a later turn; a client that goes away takes its question back. */
#include <stdio.h>

#include "serve/http/inside.h"

/* The store says no, in words for people. */
static void refused(struct td_httpd_conn *c, enum td_err err, td_slice why)
{
    char rule[512];
    (void)snprintf(rule, sizeof rule, "%.*s", (int)(why.n < 500 ? why.n : 500),
                   why.n > 0 ? (const char *)why.p : "");
    bool theirs = err == TD_ESYNTAX || err == TD_ENOENT;
    bool too_much = err == TD_EFULL || err == TD_EAGAIN;
    td_httpd_problem(c, &(struct td_httpd_problem){
                            .status = theirs     ? 400
                                      : too_much ? 422
                                                 : 500,
                            .thing = "question",
                            .rule = rule[0] ? rule : td_err_text(err),
                            .remedy = theirs     ? "docs/api.md has examples"
                                      : too_much ? "ask for less, or add a LIMIT"
                                                 : "see the hub's log and `tandem doctor`"});
}

static void question_waits(struct td_httpd_conn *c, enum td_err err)
{
    if (err != TD_OK) {
        td_httpd_problem(c, &(struct td_httpd_problem){.status = 503,
                                                       .thing = "question",
                                                       .rule = "too many wait for the store",
                                                       .remedy = "try again"});
        return;
    }
    c->phase = TD_HTTPD_WAIT;
    c->asking = true;
}

/* It was answered; the connection goes on when this turn ends. */
static void question_done(struct td_httpd_conn *c)
{
    c->asking = true; /* answered() must not count it as one that waits for a commit */
    c->d->woken = true;
}

static void series_answered(void *ctx, enum td_err err, const struct td_table *table, td_slice why)
{
    struct td_httpd_conn *c = ctx;
    td_slice topic = {NULL, 0}, field = {NULL, 0};
    question_done(c);
    if (err != TD_OK) {
        refused(c, err, why);
        return;
    }
    struct td_json_out o = td_httpd_json(c->d);
    (void)td_store_series_name(c->d->parts->store, c->series, &topic, &field); /* it was there */
    td_json_open(&o, '{');
    td_json_key(&o, "id");
    td_json_int(&o, c->series);
    td_json_key(&o, "topic");
    td_json_string(&o, topic);
    td_json_key(&o, "field");
    td_json_string(&o, field);
    td_json_key(&o, "t");
    td_json_open(&o, '[');
    for (size_t i = 0; i < table->row_count; i++) {
        td_json_int(&o, table->cells[i * table->column_count].as.i / TD_NS_PER_MS);
    }
    td_json_close(&o, ']');
    td_json_key(&o, "v");
    td_json_open(&o, '[');
    for (size_t i = 0; i < table->row_count; i++) {
        td_httpd_value(&o, table->cells[i * table->column_count + 1]);
    }
    td_json_close(&o, ']');
    td_json_key(&o, "damaged");
    td_json_int(&o, (int64_t)table->damaged);
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

void td_httpd_series(struct td_httpd_conn *c, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    td_wall wall = parts->sys->wall(parts->sys), to = wall, from = wall - 3600 * TD_NS_PER_S;
    int64_t id = -1, px = 1200;
    td_slice topic, field, none = {NULL, 0};
    (void)now;
    if (!td_httpd_param_number(c, "id", 0, UINT32_MAX, "the id of a series, from /api/v1/things",
                               &id) ||
        !td_httpd_param_number(c, "px", 1, 4000, "1 to 4000 columns", &px) ||
        !td_httpd_param_time(c, "from", wall, &from) || !td_httpd_param_time(c, "to", wall, &to)) {
        return;
    }
    if (id < 0) {
        td_httpd_bad(c, "id", none, "it is missing", "add id=, from /api/v1/things");
        return;
    }
    if (from >= to) {
        td_httpd_bad(c, "from", none, "it must be before to", "exchange them");
        return;
    }
    c->series = (uint32_t)id;
    if (!td_store_series_name(parts->store, c->series, &topic, &field) ||
        !td_httpd_may(c, TD_GUARD_READ, topic)) { /* whether there is one is not told either */
        td_httpd_problem(c, &(struct td_httpd_problem){.status = 404,
                                                       .thing = "series",
                                                       .rule = "there is none of that id",
                                                       .remedy = "take one of /api/v1/things"});
        return;
    }
    question_waits(c, td_store_scan(parts->store, c->series, from, to, (uint32_t)px,
                                    series_answered, c, &c->ticket));
}

static void query_answered(void *ctx, enum td_err err, const struct td_table *table, td_slice why)
{
    struct td_httpd_conn *c = ctx;
    question_done(c);
    if (err != TD_OK) {
        refused(c, err, why);
        return;
    }
    struct td_json_out o = td_httpd_json(c->d);
    td_json_open(&o, '{');
    td_json_key(&o, "columns");
    td_json_open(&o, '[');
    for (size_t i = 0; i < table->column_count; i++) {
        td_json_string(&o, table->columns[i]);
    }
    td_json_close(&o, ']');
    td_json_key(&o, "rows");
    td_json_open(&o, '[');
    for (size_t row = 0; row < table->row_count && o.err == TD_OK; row++) {
        td_json_open(&o, '[');
        for (size_t i = 0; i < table->column_count; i++) {
            td_httpd_value(&o, table->cells[row * table->column_count + i]);
        }
        td_json_close(&o, ']');
    }
    td_json_close(&o, ']');
    td_json_key(&o, "truncated");
    td_json_raw(&o, table->cut ? "true" : "false");
    td_json_key(&o, "damaged");
    td_json_int(&o, (int64_t)table->damaged);
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

static void ask(struct td_httpd_conn *c, td_slice sql)
{
    question_waits(c, td_store_sql(c->d->parts->store, sql, query_answered, c, &c->ticket));
}

void td_httpd_query(struct td_httpd_conn *c, td_mono now)
{
    struct td_httpd_member sql = {.name = "sql"};
    struct td_arena arena;
    bool broken = false, asked = td_slice_eq(c->head.method, TD_STR("POST"));
    (void)now;
    td_arena_init(&arena, 0);
    if (asked) {
        broken = !td_httpd_body(c, &arena, &sql, 1);
    } else {
        sql.there = sql.is_string = td_httpd_param(c, "sql", &sql.text, &broken);
    }
    if (!broken && !(sql.there && sql.is_string && sql.text.n > 0)) {
        td_httpd_bad(c, "sql", sql.text, "it must be a text with a SELECT",
                     "SELECT ts, value FROM points LIMIT 10");
    } else if (!broken) {
        ask(c, sql.text);
    }
    td_arena_fini(&arena);
}
