/* serve/http: what was asked, taken apart: parameters of the query, the JSON object of a body; and
 * how a value is written. */
#include <stdio.h>

#include "base/time.h"
#include "serve/http/inside.h"

void td_httpd_bad(struct td_httpd_conn *c, const char *thing, td_slice value, const char *rule,
                  const char *remedy)
{
    td_httpd_problem(
        c, &(struct td_httpd_problem){
               .status = 400, .thing = thing, .value = value, .rule = rule, .remedy = remedy});
}

/* ---- parameters ---- */

/* The query parameter, unquoted into c->body; false: it is not there, or it was answered as bad
 * (*broken). Its slice stands until the next call. */
bool td_httpd_param(struct td_httpd_conn *c, const char *name, td_slice *out, bool *broken)
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
        td_httpd_bad(c, name, raw, "a % must stand before two hex digits", "quote % as %25");
        *broken = true;
        return false;
    }
    *out = (td_slice){c->body.p, n};
    return true;
}

/* False: answered as bad. */
bool td_httpd_param_time(struct td_httpd_conn *c, const char *name, td_wall now, td_wall *at)
{
    td_slice text;
    bool broken;
    if (!td_httpd_param(c, name, &text, &broken)) {
        return !broken;
    }
    if (td_time_parse(text, now, at) != TD_OK) {
        td_httpd_bad(c, name, text, "not a time",
                     "give RFC 3339, milliseconds since 1970, or a span before now such as -1h");
        return false;
    }
    return true;
}

bool td_httpd_param_number(struct td_httpd_conn *c, const char *name, int64_t least, int64_t most,
                           const char *rule, int64_t *out)
{
    td_slice text;
    bool broken, is_int = false;
    double real;
    int64_t v = 0;
    if (!td_httpd_param(c, name, &text, &broken)) {
        return !broken;
    }
    if (td_json_number(text, &real, &v, &is_int) != TD_OK || !is_int || v < least || v > most) {
        td_httpd_bad(c, name, text, rule, "give a whole number within these bounds");
        return false;
    }
    *out = v;
    return true;
}

bool td_httpd_param_filter(struct td_httpd_conn *c, struct td_arena *arena, td_slice *out)
{
    bool broken;
    td_slice text;
    *out = (td_slice){NULL, 0};
    if (!td_httpd_param(c, "filter", &text, &broken)) {
        return !broken;
    }
    if (!td_filter_valid(text) || td_slice_starts(text, TD_STR("$share/"))) {
        td_httpd_bad(c, "filter", text, "a topic filter as in MQTT, without $share",
                     "give a/b, a/+ or a/#, with # quoted as %23");
        return false;
    }
    *out = td_arena_copy(arena, text);
    return true;
}

/* ---- bodies ---- */

/* Takes the value that comes next. False: broken JSON. */
static bool member_read(struct td_json *j, td_slice body, struct td_arena *arena,
                        struct td_httpd_member *m)
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

static struct td_httpd_member *member_of(struct td_httpd_member *members, size_t count,
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
bool td_httpd_body(struct td_httpd_conn *c, struct td_arena *arena, struct td_httpd_member *members,
                   size_t count)
{
    struct td_json j;
    struct td_json_token t;
    td_slice body = td_buf_slice(&c->body);
    td_json_init(&j, body);
    if (td_json_next(&j, &t) == TD_JSON_OBJECT) {
        while (td_json_next(&j, &t) == TD_JSON_KEY) {
            struct td_httpd_member *m = member_of(members, count, &t);
            if (m == NULL || m->there) {
                td_httpd_bad(c, "member", t.span,
                             m ? "it comes twice" : "this path does not know it",
                             "docs/api.md names the members");
                return false;
            }
            if (!member_read(&j, body, arena, m)) {
                break;
            }
        }
    } else if (t.kind != TD_JSON_ERROR) {
        td_httpd_bad(c, "body", td_slice_head(body, 40), "it must be a JSON object", "send {...}");
        return false;
    }
    if (t.kind == TD_JSON_OBJECT_END) {
        td_json_next(&j, &t);
    }
    if (t.kind != TD_JSON_END) {
        td_json_next(&j, &t); /* the error, which sticks */
        char place[32];
        int n = snprintf(place, sizeof place, "at byte %zu", t.offset);
        td_httpd_bad(c, "body", (td_slice){(uint8_t *)place, (size_t)n},
                     t.rule ? t.rule : "broken JSON", "send one JSON object");
        return false;
    }
    return true;
}

/* ---- values ---- */

void td_httpd_time(struct td_json_out *o, td_wall at)
{
    char text[TD_TIME_TEXT_BYTES];
    td_time_text(at, text);
    td_json_string(o, (td_slice){(const uint8_t *)text, sizeof text});
}

void td_httpd_value(struct td_json_out *o, struct td_value v)
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
