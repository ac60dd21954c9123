/* rules: from a payload to the fields that a stream wants, in one pass. At each value a mask says
 * which fields' paths have led here; what no path wants is skipped. Of a key that comes twice the
 * first one counts. */
#include "rules/set.h"

#include "base/json.h"
#include "base/time.h"

bool td_path_parse(td_slice text, struct td_path_part path[TD_PATH_MAX], uint8_t *count)
{
    *count = 0;
    text = td_slice_skip(text, 1); /* $ */
    while (text.n > 0) {
        if (*count == TD_PATH_MAX) {
            return false;
        }
        struct td_path_part *part = &path[(*count)++];
        size_t n = 1;
        if (text.p[0] == '[') {
            int32_t index = 0;
            for (; n < text.n && text.p[n] != ']' && index < 1000000; n++) {
                index = index * 10 + (text.p[n] - '0');
            }
            *part = (struct td_path_part){{NULL, 0}, index};
            n++;
        } else {
            while (n < text.n && text.p[n] != '.' && text.p[n] != '[') {
                n++;
            }
            *part = (struct td_path_part){{text.p + 1, n - 1}, -1};
        }
        text = td_slice_skip(text, n);
    }
    return true;
}

/* ---- one value ---- */

static bool word_is(td_slice text, const char *word)
{
    size_t i = 0;
    for (; i < text.n && word[i] != 0; i++) {
        uint8_t c = text.p[i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != (uint8_t)word[i]) {
            return false;
        }
    }
    return i == text.n && word[i] == 0;
}

static struct td_lang_value bool_of_text(td_slice text)
{
    static const struct {
        const char *word;
        bool truth;
    } words[] = {{"true", true}, {"false", false}, {"on", true},   {"off", false},
                 {"1", true},    {"0", false},     {"open", true}, {"closed", false},
                 {"yes", true},  {"no", false}};
    for (size_t i = 0; i < TD_COUNT(words); i++) {
        if (word_is(text, words[i].word)) {
            return td_lang_truth(words[i].truth);
        }
    }
    return td_lang_unknown();
}

/* A number as the field wants it: whole, within RANGE, in its unit. */
static struct td_lang_value number(const struct td_field *f, double x)
{
    bool whole = f->type == TD_LANG_FIELD_INT || f->type == TD_LANG_FIELD_COUNTER;
    if (f->type == TD_LANG_FIELD_BOOL) {
        return x > 0 || x < 0 ? td_lang_truth(true) : td_lang_truth(false);
    }
    if (whole && !(x >= -9007199254740992.0 && x <= 9007199254740992.0 &&
                   !(x - (double)(int64_t)x > 0 || x - (double)(int64_t)x < 0))) {
        return td_lang_unknown();
    }
    x = td_lang_affine(x, f->scale, f->offset);
    if (f->has_range && !(x >= f->least && x <= f->most)) {
        return td_lang_unknown();
    }
    return td_lang_num(x);
}

static struct td_lang_value of_text(const struct td_field *f, td_slice text)
{
    double x;
    int64_t whole;
    bool is_int;
    td_wall at;
    switch (f->type) {
    case TD_LANG_FIELD_BOOL:
        return bool_of_text(text);
    case TD_LANG_FIELD_ANY:
    case TD_LANG_FIELD_TEXT:
        return text.n <= TD_TEXT_BYTES_MAX ? td_lang_text(text) : td_lang_unknown();
    case TD_LANG_FIELD_ENUM:
        for (const struct td_lang_words *w = f->words; w != NULL; w = w->next) {
            if (td_slice_eq(w->word, text)) {
                return td_lang_text(w->word);
            }
        }
        return td_lang_unknown();
    case TD_LANG_FIELD_TIME:
        if (td_time_parse(text, 0, &at) == TD_OK) {
            return td_lang_num((double)at / (double)TD_NS_PER_S);
        }
        break;
    case TD_LANG_FIELD_INT:
    case TD_LANG_FIELD_FLOAT:
    case TD_LANG_FIELD_DURATION:
    case TD_LANG_FIELD_COUNTER:
    case TD_LANG_FIELD_UNIT:
        break;
    }
    return td_json_number(text, &x, &whole, &is_int) == TD_OK ? number(f, x) : td_lang_unknown();
}

static struct td_lang_value any_number(const struct td_field *f, td_slice span)
{
    double x;
    int64_t whole;
    bool is_int;
    if (f->type == TD_LANG_FIELD_TEXT) {
        return td_lang_text(td_slice_head(span, TD_TEXT_BYTES_MAX));
    }
    if (f->type == TD_LANG_FIELD_ENUM || td_json_number(span, &x, &whole, &is_int) != TD_OK) {
        return td_lang_unknown();
    }
    return number(f, x);
}

static struct td_lang_value of_truth(const struct td_field *f, bool truth)
{
    switch ((int)f->type) {
    case TD_LANG_FIELD_ANY:
    case TD_LANG_FIELD_BOOL:
        return td_lang_truth(truth);
    default:
        return td_lang_unknown();
    }
}

/* ---- the walk ---- */

struct walk {
    const struct td_source *source;
    struct td_lang_value *values;
    struct td_buf *scratch;
    uint64_t found; /* fields that have their value */
    td_wall event_at;
    bool timed;
};

static td_wall wall_of(const struct td_source *s, double x)
{
    double ns = x * s->time_scale * (double)TD_NS_PER_S;
    return ns > 0 && ns < 9e18 ? (td_wall)ns : 0;
}

static td_slice text_of(struct walk *w, const struct td_json_token *t)
{
    if (!t->escaped) {
        return t->span;
    }
    size_t from = w->scratch->n;
    if (td_json_unescape(t, w->scratch) != TD_OK) {
        return (td_slice){NULL, 0};
    }
    return (td_slice){w->scratch->p + from, w->scratch->n - from};
}

static struct td_lang_value value_of(struct walk *w, const struct td_field *f,
                                     const struct td_json_token *t)
{
    switch ((int)t->kind) {
    case TD_JSON_STRING:
        return of_text(f, text_of(w, t));
    case TD_JSON_NUMBER:
        return any_number(f, t->span);
    case TD_JSON_TRUE:
    case TD_JSON_FALSE:
        return of_truth(f, t->kind == TD_JSON_TRUE);
    default:
        return td_lang_unknown();
    }
}

static void take_time(struct walk *w, const struct td_json_token *t)
{
    double x;
    int64_t whole;
    bool is_int;
    if (t->kind == TD_JSON_NUMBER && td_json_number(t->span, &x, &whole, &is_int) == TD_OK) {
        w->event_at = wall_of(w->source, x);
    } else if (t->kind == TD_JSON_STRING && td_time_parse(t->span, 0, &w->event_at) != TD_OK) {
        w->event_at = 0;
    }
}

static void take(struct walk *w, uint64_t here, unsigned depth, const struct td_json_token *t)
{
    const struct td_source *s = w->source;
    for (uint16_t i = 0; i < s->field_count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        if ((here & bit) != 0 && (w->found & bit) == 0 && s->fields[i].path_count == depth) {
            w->values[i] = value_of(w, &s->fields[i], t);
            w->found |= bit;
        }
    }
    if (w->timed && s->time_count == depth) {
        take_time(w, t);
    }
}

/* Which of `mask`'s paths go on with this key or index at `depth`. */
static uint64_t narrow(struct walk *w, uint64_t mask, unsigned depth,
                       const struct td_json_token *key, int32_t index)
{
    const struct td_source *s = w->source;
    uint64_t next = 0;
    for (uint16_t i = 0; i < s->field_count; i++) {
        const struct td_path_part *part = &s->fields[i].path[depth];
        uint64_t bit = (uint64_t)1 << i;
        if ((mask & bit) == 0 || s->fields[i].path_count <= depth) {
            continue;
        }
        bool same = key == NULL        ? part->index == index
                    : part->index >= 0 ? false
                    : key->escaped     ? td_json_is(key, part->key)
                                       : td_slice_eq(key->span, part->key);
        next |= same ? bit : 0;
    }
    return next;
}

static bool time_leads(const struct td_source *s, unsigned depth, const struct td_json_token *key,
                       int32_t index)
{
    if (depth >= s->time_count) {
        return false;
    }
    const struct td_path_part *part = &s->time_path[depth];
    return key == NULL ? part->index == index : part->index < 0 && td_json_is(key, part->key);
}

struct level {
    uint64_t mask;
    int32_t index; /* of an array's element; -1: an object */
    bool timed;
};

/* The values below an opened object or array. */
static bool walk_json(struct walk *w, struct td_json *j, struct td_json_token *t, uint64_t mask,
                      bool timed)
{
    struct level levels[TD_PATH_MAX + 1];
    unsigned depth = 0;
    levels[0] = (struct level){mask, t->kind == TD_JSON_ARRAY ? 0 : -1, timed};
    for (;;) {
        struct level *l = &levels[depth];
        enum td_json_kind kind = td_json_next(j, t);
        struct td_json_token key = *t;
        bool named = kind == TD_JSON_KEY;
        if (kind == TD_JSON_ERROR || kind == TD_JSON_END) {
            return kind == TD_JSON_END;
        }
        if (kind == TD_JSON_OBJECT_END || kind == TD_JSON_ARRAY_END) {
            if (depth == 0) {
                return true;
            }
            depth--;
            continue;
        }
        if (named && td_json_next(j, t) == TD_JSON_ERROR) {
            return false;
        }
        uint64_t here = narrow(w, l->mask, depth, named ? &key : NULL, l->index);
        w->timed = l->timed && time_leads(w->source, depth, named ? &key : NULL, l->index);
        l->index += l->index >= 0;
        bool opens = t->kind == TD_JSON_OBJECT || t->kind == TD_JSON_ARRAY;
        if (!opens) {
            take(w, here, depth + 1, t);
        } else if ((here == 0 && !w->timed) || depth + 1 > TD_PATH_MAX - 1) {
            if (!td_json_skip(j, t)) {
                return false;
            }
        } else {
            depth++;
            levels[depth] = (struct level){here, t->kind == TD_JSON_ARRAY ? 0 : -1, w->timed};
        }
    }
}

/* A payload that is no object: the value of a one-field stream. */
static void take_scalar(struct walk *w, td_slice payload)
{
    const struct td_field *f = &w->source->fields[0];
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, payload);
    enum td_json_kind kind = td_json_next(&j, &t);
    bool whole = kind == TD_JSON_STRING || kind == TD_JSON_NUMBER || kind == TD_JSON_TRUE ||
                 kind == TD_JSON_FALSE || kind == TD_JSON_NULL;
    struct td_json_token end;
    if (whole && td_json_next(&j, &end) == TD_JSON_END) {
        w->values[0] = value_of(w, f, &t);
    } else {
        w->values[0] = of_text(f, payload); /* on, off, open, a word */
    }
}

bool td_extract(struct td_rules *r, const struct td_source *s, td_slice payload,
                struct td_lang_value *values, td_wall *event_at)
{
    struct walk w = {.source = s, .values = values, .scratch = &r->scratch};
    struct td_json j;
    struct td_json_token t;
    td_buf_clear(&r->scratch);
    for (uint16_t i = 0; i < s->field_count; i++) {
        values[i] = td_lang_unknown();
    }
    *event_at = 0;
    if (td_buf_reserve(&r->scratch, payload.n) != TD_OK) { /* so that it never moves below */
        return false;
    }
    td_json_init(&j, payload);
    enum td_json_kind kind = td_json_next(&j, &t);
    if (kind != TD_JSON_OBJECT && kind != TD_JSON_ARRAY) {
        if (s->field_count == 1 && s->fields[0].path_count <= 1) {
            take_scalar(&w, payload);
            return values[0].quality == TD_LANG_KNOWN;
        }
        return s->field_count == 0;
    }
    bool good = walk_json(&w, &j, &t, ~(uint64_t)0, s->time_count > 0);
    *event_at = w.event_at;
    return good;
}
