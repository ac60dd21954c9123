/* serve/http: what the rows of api.def answer. What changes or asks the store may wait; the rest is
 * answered from what serve/ knows now. */
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "serve/decide.h"
#include "serve/http/inside.h"
#include "serve/record.h"

static void bad(struct td_httpd_conn *c, const char *thing, td_slice value, const char *rule,
                const char *remedy)
{
    td_httpd_problem(
        c, &(struct td_httpd_problem){
               .status = 400, .thing = thing, .value = value, .rule = rule, .remedy = remedy});
}

/* ---- parameters ---- */

/* The query parameter, unquoted into c->body; false: it is not there, or it was answered as bad
 * (*broken). Its slice stands until the next call. */
static bool param(struct td_httpd_conn *c, const char *name, td_slice *out, bool *broken)
{
    td_slice raw;
    size_t n;
    *broken = false;
    if (!td_http_query(c->head.query, td_slice_of(name), &raw)) {
        return false;
    }
    td_buf_clear(&c->body);
    if (td_buf_reserve(&c->body, raw.n + 1) != TD_OK ||
        td_http_unquote(raw, true, c->body.p, &n) != TD_OK) {
        bad(c, name, raw, "a % must stand before two hex digits", "quote % as %25");
        *broken = true;
        return false;
    }
    *out = (td_slice){c->body.p, n};
    return true;
}

/* False: answered as bad. */
static bool param_time(struct td_httpd_conn *c, const char *name, td_wall now, td_wall *at)
{
    td_slice text;
    bool broken;
    if (!param(c, name, &text, &broken)) {
        return !broken;
    }
    if (td_time_parse(text, now, at) != TD_OK) {
        bad(c, name, text, "not a time",
            "give RFC 3339, milliseconds since 1970, or a span before now such as -1h");
        return false;
    }
    return true;
}

static bool param_number(struct td_httpd_conn *c, const char *name, int64_t least, int64_t most,
                         const char *rule, int64_t *out)
{
    td_slice text;
    bool broken, is_int = false;
    double real;
    int64_t v = 0;
    if (!param(c, name, &text, &broken)) {
        return !broken;
    }
    if (td_json_number(text, &real, &v, &is_int) != TD_OK || !is_int || v < least || v > most) {
        bad(c, name, text, rule, "give a whole number within these bounds");
        return false;
    }
    *out = v;
    return true;
}

/* ---- values ---- */

static void add_value(struct td_json_out *o, struct td_value v)
{
    switch (v.type) {
    case TD_VALUE_NONE:
        td_json_raw(o, "null");
        break;
    case TD_VALUE_BOOL:
        td_json_raw(o, v.as.b ? "true" : "false");
        break;
    case TD_VALUE_INT:
        td_json_int(o, v.as.i);
        break;
    case TD_VALUE_FLOAT:
        td_json_real(o, v.as.f);
        break;
    case TD_VALUE_TEXT:
        td_json_string(o, v.as.text);
        break;
    }
}

static void add_time(struct td_json_out *o, td_wall at)
{
    char text[TD_TIME_TEXT_BYTES];
    td_time_text(at, text);
    td_json_string(o, (td_slice){(const uint8_t *)text, sizeof text});
}

/* ---- things ---- */

/* "things/<thing>/..." is <thing>; else the topic without its last level. */
static td_slice thing_of(td_slice topic)
{
    if (td_slice_starts(topic, TD_STR("things/"))) {
        td_slice rest = td_slice_skip(topic, 7);
        return td_slice_head(rest, td_slice_find(rest, '/'));
    }
    for (size_t n = topic.n; n > 1; n--) {
        if (topic.p[n - 1] == '/') {
            return td_slice_head(topic, n - 1);
        }
    }
    return topic;
}

static int by_thing(const void *a, const void *b)
{
    const struct td_current *x = *(const struct td_current *const *)a;
    const struct td_current *y = *(const struct td_current *const *)b;
    int order = td_slice_cmp(thing_of(x->topic), thing_of(y->topic));
    order = order != 0 ? order : td_slice_cmp(x->topic, y->topic);
    return order != 0 ? order : td_slice_cmp(x->field, y->field);
}

struct list {
    const struct td_current **at;
    size_t count;
};

static bool list_add(void *ctx, const struct td_current *now)
{
    struct list *list = ctx;
    if (list->at != NULL) {
        list->at[list->count] = now;
    }
    list->count++;
    return true;
}

static void add_series(struct td_json_out *o, const struct td_current *now, td_wall wall)
{
    static const char *const qualities[] = {"good", "stale", "unknown"};
    td_json_open(o, '{');
    td_json_key(o, "id");
    td_json_int(o, now->series);
    td_json_key(o, "topic");
    td_json_string(o, now->topic);
    td_json_key(o, "field");
    td_json_string(o, now->field);
    td_json_key(o, "type");
    td_json_string(o, td_slice_of(td_value_type_name(now->value.type)));
    td_json_key(o, "value");
    add_value(o, now->value);
    td_json_key(o, "time");
    add_time(o, now->at);
    td_json_key(o, "age_ms");
    td_json_int(o, now->at < wall ? (wall - now->at) / TD_NS_PER_MS : 0);
    td_json_key(o, "quality");
    td_json_string(o, td_slice_of(qualities[now->quality]));
    td_json_close(o, '}');
}

/* One thing from list[i] on; gives the index behind it. */
static size_t add_thing(struct td_json_out *o, const struct list *list, size_t i, td_wall wall)
{
    td_slice thing = thing_of(list->at[i]->topic);
    size_t end = i;
    bool online = false;
    for (; end < list->count && td_slice_eq(thing, thing_of(list->at[end]->topic)); end++) {
        online |= list->at[end]->quality == TD_QUALITY_GOOD;
    }
    td_json_open(o, '{');
    td_json_key(o, "thing");
    td_json_string(o, thing);
    td_json_key(o, "online");
    td_json_raw(o, online ? "true" : "false");
    td_json_key(o, "series");
    td_json_open(o, '[');
    for (; i < end; i++) {
        add_series(o, list->at[i], wall);
    }
    td_json_close(o, ']');
    td_json_close(o, '}');
    return end;
}

void td_httpd_things(struct td_httpd_conn *c, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    td_wall wall = parts->sys->wall(parts->sys);
    struct list list = {NULL, 0};
    (void)now;
    td_record_each(parts->record, list_add, &list);
    list.at = td_alloc((list.count + 1) * sizeof *list.at);
    list.count = 0;
    td_record_each(parts->record, list_add, &list);
    qsort(list.at, list.count, sizeof *list.at, by_thing);
    struct td_json_out o = td_httpd_json(c->d);
    td_json_open(&o, '{');
    td_json_key(&o, "things");
    td_json_open(&o, '[');
    for (size_t i = 0; i < list.count && o.err == TD_OK;) {
        i = add_thing(&o, &list, i, wall);
    }
    td_json_close(&o, ']');
    td_json_close(&o, '}');
    free(list.at);
    td_httpd_answer_json(c, 200, &o);
}

/* ---- rules ---- */

static void add_text(struct td_json_out *o, const char *key, td_slice text)
{
    td_json_key(o, key);
    if (text.n > 0) {
        td_json_string(o, text);
    } else {
        td_json_raw(o, "null");
    }
}

static void add_rule(struct td_json_out *o, const struct td_rules_info *rule)
{
    td_json_open(o, '{');
    add_text(o, "name", rule->name);
    add_text(o, "kind", rule->kind);
    add_text(o, "file", rule->file);
    td_json_key(o, "line");
    td_json_int(o, rule->line);
    add_text(o, "text", rule->text);
    td_json_key(o, "keys");
    td_json_int(o, rule->keys);
    td_json_key(o, "fired");
    td_json_int(o, (int64_t)rule->fired);
    td_json_key(o, "refused");
    td_json_int(o, (int64_t)rule->refused);
    td_json_key(o, "last_fired");
    if (rule->last_fired > 0) {
        add_time(o, rule->last_fired);
    } else {
        td_json_raw(o, "null");
    }
    add_text(o, "last_action", rule->last_action);
    add_text(o, "state", rule->state);
    td_json_close(o, '}');
}

void td_httpd_rules(struct td_httpd_conn *c, td_mono now)
{
    struct td_rules *rules = td_decide_rules(c->d->parts->decide);
    struct td_json_out o = td_httpd_json(c->d);
    (void)now;
    td_json_open(&o, '{');
    td_json_key(&o, "rules");
    td_json_open(&o, '[');
    for (size_t i = 0; i < td_rules_count(rules) && o.err == TD_OK; i++) {
        struct td_rules_info rule;
        td_rules_info(rules, i, &rule);
        add_rule(&o, &rule);
    }
    td_json_close(&o, ']');
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

/* ---- questions to the store ---- */

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
        add_value(&o, table->cells[i * table->column_count + 1]);
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
    if (!param_number(c, "id", 0, UINT32_MAX, "the id of a series, from /api/v1/things", &id) ||
        !param_number(c, "px", 1, 4000, "1 to 4000 columns", &px) ||
        !param_time(c, "from", wall, &from) || !param_time(c, "to", wall, &to)) {
        return;
    }
    if (id < 0) {
        bad(c, "id", none, "it is missing", "add id=, from /api/v1/things");
        return;
    }
    if (from >= to) {
        bad(c, "from", none, "it must be before to", "exchange them");
        return;
    }
    c->series = (uint32_t)id;
    if (!td_store_series_name(parts->store, c->series, &topic, &field)) {
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
            add_value(&o, table->cells[row * table->column_count + i]);
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

/* ---- bodies ---- */

/* One member of the one flat object that a body may be. */
struct member {
    const char *name;
    td_slice text; /* what it says: a string unescaped, anything else as it was written */
    bool is_string;
    bool there;
};

/* Takes the value that comes next. False: broken JSON. */
static bool member_read(struct td_json *j, td_slice body, struct td_arena *arena, struct member *m)
{
    struct td_json_token t;
    struct td_buf plain;
    td_json_next(j, &t);
    m->there = true;
    m->is_string = t.kind == TD_JSON_STRING;
    if (m->is_string) {
        td_buf_init(&plain, body.n);
        td_assert(td_json_unescape(&t, &plain) == TD_OK); /* it cannot become longer */
        m->text = td_arena_copy(arena, td_buf_slice(&plain));
        td_buf_fini(&plain);
        return true;
    }
    size_t start = t.offset;
    bool fine = td_json_skip(j, &t);
    m->text = (td_slice){body.p + start, (size_t)(j->at - j->start) - start};
    return fine;
}

static struct member *member_of(struct member *members, size_t count,
                                const struct td_json_token *key)
{
    for (size_t i = 0; i < count; i++) {
        if (td_json_is(key, td_slice_of(members[i].name))) {
            return &members[i];
        }
    }
    return NULL;
}

/* Reads the body as an object of these members. False: answered as bad. */
static bool body_read(struct td_httpd_conn *c, struct td_arena *arena, struct member *members,
                      size_t count)
{
    struct td_json j;
    struct td_json_token t;
    td_slice body = td_buf_slice(&c->body);
    td_json_init(&j, body);
    if (td_json_next(&j, &t) == TD_JSON_OBJECT) {
        while (td_json_next(&j, &t) == TD_JSON_KEY) {
            struct member *m = member_of(members, count, &t);
            if (m == NULL || m->there) {
                bad(c, "member", t.span, m ? "it comes twice" : "this path does not know it",
                    "docs/api.md names the members");
                return false;
            }
            if (!member_read(&j, body, arena, m)) {
                break;
            }
        }
    } else if (t.kind != TD_JSON_ERROR) {
        bad(c, "body", td_slice_head(body, 40), "it must be a JSON object", "send {...}");
        return false;
    }
    if (t.kind == TD_JSON_OBJECT_END) {
        td_json_next(&j, &t);
    }
    if (t.kind != TD_JSON_END) {
        td_json_next(&j, &t); /* the error, which sticks */
        char place[32];
        int n = snprintf(place, sizeof place, "at byte %zu", t.offset);
        bad(c, "body", (td_slice){(uint8_t *)place, (size_t)n}, t.rule ? t.rule : "broken JSON",
            "send one JSON object");
        return false;
    }
    return true;
}

void td_httpd_query(struct td_httpd_conn *c, td_mono now)
{
    struct member sql = {.name = "sql"};
    struct td_arena arena;
    bool broken = false, asked = td_slice_eq(c->head.method, TD_STR("POST"));
    (void)now;
    td_arena_init(&arena, 0);
    if (asked) {
        broken = !body_read(c, &arena, &sql, 1);
    } else {
        sql.there = sql.is_string = param(c, "sql", &sql.text, &broken);
    }
    if (!broken && !(sql.there && sql.is_string && sql.text.n > 0)) {
        bad(c, "sql", sql.text, "it must be a text with a SELECT",
            "SELECT ts, value FROM points LIMIT 10");
    } else if (!broken) {
        ask(c, sql.text);
    }
    td_arena_fini(&arena);
}

/* ---- messages ---- */

void td_httpd_published(struct td_httpd_conn *c)
{
    struct td_store *store = c->d->parts->store;
    if (c->lsn > td_store_durable(store)) {
        td_httpd_problem(c, &(struct td_httpd_problem){.status = 503,
                                                       .thing = "message",
                                                       .rule = td_store_failure(store),
                                                       .remedy = "it was delivered to who listens "
                                                                 "now, but may be forgotten"});
        return;
    }
    struct td_json_out o = td_httpd_json(c->d);
    td_json_raw(&o, "{\"status\":\"published\"}");
    td_httpd_answer_json(c, 200, &o);
}

enum { TOPIC, PAYLOAD, QOS, RETAIN, MEMBERS };

/* What is wrong with the message; NULL: nothing. */
static const struct member *message_wrong(const struct member *m, const char **rule)
{
    td_slice topic = m[TOPIC].text, qos = m[QOS].text, retain = m[RETAIN].text;
    if (!m[TOPIC].is_string || !td_topic_valid(topic) || td_slice_starts(topic, TD_STR("$"))) {
        *rule = "a topic name is a text of 1 to 65535 bytes without + and #, not beginning with $";
        return &m[TOPIC];
    }
    if (m[QOS].there && (m[QOS].is_string || qos.n != 1 || !td_in(qos.p[0], '0', '2'))) {
        *rule = "it is 0, 1 or 2";
        return &m[QOS];
    }
    if (m[RETAIN].there && (m[RETAIN].is_string || (!td_slice_eq(retain, TD_STR("true")) &&
                                                    !td_slice_eq(retain, TD_STR("false"))))) {
        *rule = "it is true or false";
        return &m[RETAIN];
    }
    return NULL;
}

static void publish(struct td_httpd_conn *c, const struct member *m)
{
    struct td_parts *parts = c->d->parts;
    struct td_message message = {
        .topic = m[TOPIC].text,
        .payload = m[PAYLOAD].text,
        .expires = TD_NEVER,
        .at = parts->sys->wall(parts->sys),
        .qos = m[QOS].there ? (uint8_t)(m[QOS].text.p[0] - '0') : 1,
        .retain = m[RETAIN].there && m[RETAIN].text.p[0] == 't',
    };
    uint64_t lsn = td_publish(parts, &message);
    td_message_done(&message);
    c->phase = TD_HTTPD_WAIT;
    c->asking = false;
    c->lsn = message.qos > 0 ? lsn : 0;
    c->d->waiting++;
}

void td_httpd_messages(struct td_httpd_conn *c, td_mono now)
{
    struct member m[MEMBERS] = {
        {.name = "topic"}, {.name = "payload"}, {.name = "qos"}, {.name = "retain"}};
    struct td_arena arena;
    const char *rule = NULL;
    (void)now;
    td_arena_init(&arena, 0);
    if (body_read(c, &arena, m, MEMBERS)) {
        const struct member *wrong = message_wrong(m, &rule);
        if (wrong != NULL) {
            bad(c, wrong->name, wrong->text, rule,
                "send {\"topic\":\"a/b\",\"payload\":\"42\",\"qos\":1,\"retain\":false}");
        } else {
            publish(c, m);
        }
    }
    td_arena_fini(&arena);
}
