/* serve: a payload as named values. One pass over the tokens; the path of the open objects and
 * arrays stands in a small buffer, cut back as they close. */
#include "serve/leaves.h"

#include <stdio.h>

#include "base/json.h"

/* Fields and texts of one payload never outgrow this, so slices into the buffer stay. */
enum {
    TEXT_BYTES = TD_LEAVES_MAX * (TD_LEAF_FIELD_MAX + TD_LEAF_TEXT_MAX),
    STRING_MAX = 6 * TD_LEAF_TEXT_MAX /* escaped */
};

struct level {
    bool array;
    uint32_t index; /* of the next element */
    size_t path_n;  /* of the path around it */
};

struct reading {
    struct td_leaves *l;
    uint8_t path[TD_LEAF_FIELD_MAX];
    size_t path_n;
    bool path_over; /* the path is longer than that: its leaves are dropped */
    struct level levels[TD_JSON_DEPTH_MAX + 1];
    size_t depth;
};

void td_leaves_init(struct td_leaves *l)
{
    *l = (struct td_leaves){.count = 0};
    td_buf_init(&l->text, TEXT_BYTES);
}

void td_leaves_fini(struct td_leaves *l)
{
    td_buf_fini(&l->text);
}

static td_slice text_keep(struct td_leaves *l, td_slice s)
{
    size_t at = l->text.n;
    if (td_buf_add(&l->text, s) != TD_OK) {
        return (td_slice){NULL, 0};
    }
    return (td_slice){l->text.p + at, s.n};
}

static void leaf_add(struct td_leaves *l, td_slice field, struct td_value v)
{
    if (l->count == TD_LEAVES_MAX) {
        l->dropped++;
        return;
    }
    if (v.type == TD_VALUE_TEXT) {
        v.as.text = text_keep(l, v.as.text);
    }
    l->at[l->count++] = (struct td_leaf){text_keep(l, field), v};
}

/* ---- paths ---- */

static void path_add(struct reading *r, td_slice part)
{
    bool dot = r->path_n > 0;
    if (r->path_over || part.n > sizeof r->path - r->path_n - dot) {
        r->path_over = true;
        return;
    }
    if (dot) {
        r->path[r->path_n++] = '.';
    }
    (void)td_put_bytes(r->path + r->path_n, part);
    r->path_n += part.n;
}

static void key_take(struct reading *r, const struct td_json_token *t)
{
    struct level *level = &r->levels[r->depth];
    r->path_n = level->path_n;
    r->path_over = false;
    if (!t->escaped) {
        path_add(r, t->span);
        return;
    }
    struct td_buf key;
    td_buf_init(&key, TD_LEAF_FIELD_MAX);
    r->path_over = td_json_unescape(t, &key) != TD_OK;
    path_add(r, td_buf_slice(&key));
    td_buf_fini(&key);
}

/* An element of an array gets its number as its part of the path. */
static void element_begin(struct reading *r)
{
    struct level *level = &r->levels[r->depth];
    if (r->depth == 0 || !level->array) {
        return;
    }
    char number[16];
    int n = snprintf(number, sizeof number, "%u", (unsigned)level->index++);
    r->path_n = level->path_n;
    r->path_over = false;
    path_add(r, (td_slice){(const uint8_t *)number, (size_t)n});
}

static void level_open(struct reading *r, bool array)
{
    r->depth++; /* the tokenizer bounds it */
    r->levels[r->depth] = (struct level){.array = array, .path_n = r->path_n};
}

/* ---- values ---- */

static void value_add(struct reading *r, struct td_value v)
{
    if (r->path_over) {
        r->l->dropped++;
        return;
    }
    td_slice field = r->depth == 0 ? TD_STR("value") : (td_slice){r->path, r->path_n};
    leaf_add(r->l, field, v);
}

static void number_add(struct reading *r, td_slice span)
{
    double number;
    int64_t integer;
    bool is_int;
    if (td_json_number(span, &number, &integer, &is_int) != TD_OK) {
        r->l->dropped++;
        return;
    }
    value_add(r, is_int ? td_value_int(integer) : td_value_float(number));
}

static void string_add(struct reading *r, const struct td_json_token *t)
{
    struct td_buf text;
    td_buf_init(&text, TD_LEAF_TEXT_MAX);
    if (t->span.n > STRING_MAX || td_json_unescape(t, &text) != TD_OK) {
        r->l->dropped++;
    } else {
        value_add(r, td_value_text(td_buf_slice(&text)));
    }
    td_buf_fini(&text);
}

static void token_take(struct reading *r, const struct td_json_token *t)
{
    bool value = t->kind != TD_JSON_KEY && t->kind != TD_JSON_OBJECT_END &&
                 t->kind != TD_JSON_ARRAY_END && t->kind != TD_JSON_END;
    if (value) {
        element_begin(r);
    }
    switch (t->kind) {
    case TD_JSON_OBJECT:
    case TD_JSON_ARRAY:
        level_open(r, t->kind == TD_JSON_ARRAY);
        break;
    case TD_JSON_OBJECT_END:
    case TD_JSON_ARRAY_END:
        r->depth--;
        break;
    case TD_JSON_KEY:
        key_take(r, t);
        break;
    case TD_JSON_STRING:
        string_add(r, t);
        break;
    case TD_JSON_NUMBER:
        number_add(r, t->span);
        break;
    case TD_JSON_TRUE:
    case TD_JSON_FALSE:
        value_add(r, td_value_bool(t->kind == TD_JSON_TRUE));
        break;
    case TD_JSON_NULL:
    case TD_JSON_END:
    case TD_JSON_ERROR:
        break;
    }
}

/* False: it is not JSON. */
static bool json_read(struct td_leaves *l, td_slice payload)
{
    struct reading r; /* its arrays are written before they are read */
    struct td_json json;
    struct td_json_token t;
    uint64_t dropped = l->dropped;
    r.l = l;
    r.path_n = r.depth = 0;
    r.path_over = false;
    td_json_init(&json, payload);
    do {
        (void)td_json_next(&json, &t); /* the same as t.kind */
        token_take(&r, &t);
    } while (t.kind != TD_JSON_END && t.kind != TD_JSON_ERROR);
    if (t.kind == TD_JSON_ERROR) {
        l->count = 0;
        l->dropped = dropped;
        td_buf_clear(&l->text);
    }
    return t.kind == TD_JSON_END;
}

/* What is not JSON is mostly told by its first byte. */
static bool json_begins(uint8_t c)
{
    return c == '{' || c == '[' || c == '"' || c == '-' || (c >= '0' && c <= '9') || c == 't' ||
           c == 'f' || c == 'n';
}

/* ---- what is not JSON ---- */

static td_slice trimmed(td_slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))) {
        s = td_slice_skip(s, 1);
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || (s.p[s.n - 1] >= '\t' && s.p[s.n - 1] <= '\r'))) {
        s.n--;
    }
    return s;
}

static bool same_letters(td_slice s, td_slice lower)
{
    for (size_t i = 0; s.n == lower.n && i < s.n; i++) {
        uint8_t c = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (uint8_t)(s.p[i] | 0x20) : s.p[i];
        if (c != lower.p[i]) {
            return false;
        }
    }
    return s.n == lower.n;
}

static enum td_leaves_kind text_read(struct td_leaves *l, td_slice s)
{
    bool yes = same_letters(s, TD_STR("on")) || same_letters(s, TD_STR("true"));
    bool no = same_letters(s, TD_STR("off")) || same_letters(s, TD_STR("false"));
    if (!td_utf8_mqtt(s)) { /* control characters are no text that anybody reads */
        return TD_LEAVES_BINARY;
    }
    if (s.n > TD_LEAF_TEXT_MAX) {
        return TD_LEAVES_OVERSIZED;
    }
    leaf_add(l, TD_STR("value"), yes || no ? td_value_bool(yes) : td_value_text(s));
    return TD_LEAVES_GOOD;
}

enum td_leaves_kind td_leaves_read(struct td_leaves *l, td_slice payload)
{
    l->count = 0;
    td_buf_clear(&l->text);
    if (payload.n > TD_LEAF_PAYLOAD_MAX ||
        td_buf_reserve(&l->text, TEXT_BYTES) != TD_OK) { /* once; slices must not move */
        return TD_LEAVES_OVERSIZED;
    }
    td_slice s = trimmed(payload);
    if (s.n == 0) {
        return TD_LEAVES_NONE;
    }
    if (json_begins(s.p[0]) && json_read(l, s)) {
        return l->count > 0 ? TD_LEAVES_GOOD : TD_LEAVES_NONE;
    }
    return text_read(l, s);
}
