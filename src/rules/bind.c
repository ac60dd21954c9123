/* rules: what a name in an expression means: a LET, a key of the statement, a field of a source. A
 * source that has keys which the statement has not must be picked (door['s', 'd']) or folded
 * (ANY(door)). */
#include "rules/set.h"

#include <stdlib.h>

static bool unknown_name(struct td_builder *b, const struct td_lang_expr *e)
{
    struct td_rules *r = b->r;
    size_t max = r->source_count + TD_KEYS_MAX + TD_LETS_MAX + 1, n = 0;
    td_slice *all = td_alloc(max * sizeof *all);
    for (const struct td_source *s = r->sources; s != NULL; s = s->next) {
        all[n++] = s->name;
    }
    for (uint8_t i = 0; i < b->st->key_count; i++) {
        all[n++] = b->st->keys[i];
    }
    for (const struct td_lang_let *l = b->ast != NULL ? b->ast->lets : NULL; l != NULL && n < max;
         l = l->next) {
        all[n++] = l->name.name;
    }
    td_lang_error(b->diag, e->place, "there is nothing called %.*s", TD_LANG_S(e->text));
    td_slice near = td_lang_nearest(e->text, all, n);
    if (near.n > 0) {
        td_lang_try(b->diag, "did you mean %.*s?", TD_LANG_S(near));
    } else {
        td_lang_why(b->diag,
                    "a name is declared by STREAM, PARAM, ACTUATOR, ALARM, MACHINE or LET, "
                    "or is a key of the statement");
    }
    free(all);
    return false;
}

static bool unknown_field(struct td_builder *b, const struct td_lang_expr *e,
                          const struct td_source *s)
{
    td_slice all[TD_FIELDS_MAX] = {{NULL, 0}};
    for (uint16_t i = 0; i < s->field_count; i++) {
        all[i] = s->fields[i].name;
    }
    if (e->field.n == 0) {
        td_lang_error(b->diag, e->place, "%.*s has %u fields, so say which", TD_LANG_S(s->name),
                      s->field_count);
        td_lang_try(b->diag, "write %.*s.%.*s", TD_LANG_S(s->name), TD_LANG_S(all[0]));
        return false;
    }
    td_lang_error(b->diag, e->place, "%.*s has no field %.*s", TD_LANG_S(s->name),
                  TD_LANG_S(e->field));
    td_slice near = td_lang_nearest(e->field, all, s->field_count);
    td_lang_try(b->diag, "did you mean %.*s.%.*s?", TD_LANG_S(s->name),
                TD_LANG_S(near.n > 0 ? near : all[0]));
    return false;
}

/* ---- keys ---- */

static int key_find(const td_slice *keys, uint8_t count, td_slice name)
{
    for (uint8_t i = 0; i < count; i++) {
        if (td_slice_eq(keys[i], name)) {
            return i;
        }
    }
    return -1;
}

static bool pick(struct td_builder *b, const struct td_lang_expr *e, const struct td_source *s,
                 struct td_input *in)
{
    uint8_t n = 0;
    for (const struct td_lang_expr *k = e->keys; k != NULL; k = k->next, n++) {
        int at = k->field.n > 0 ? key_find(s->pattern.keys, s->pattern.key_count, k->field) : n;
        if (at < 0 || at >= s->pattern.key_count) {
            td_lang_error(b->diag, k->place, "%.*s has %u keys, this is none of them",
                          TD_LANG_S(s->name), s->pattern.key_count);
            if (s->pattern.key_count > 0) {
                td_lang_try(b->diag, "its first key is %.*s", TD_LANG_S(s->pattern.keys[0]));
            }
            return false;
        }
        in->literal[at] = k->text;
    }
    if (e->keys != NULL && e->keys->field.n == 0 && n != s->pattern.key_count) {
        td_lang_error(b->diag, e->place, "%.*s has %u keys, here are %u", TD_LANG_S(s->name),
                      s->pattern.key_count, n);
        td_lang_try(b->diag, "give all in the order of its topic, or name them: [%.*s: 'x']",
                    TD_LANG_S(s->pattern.keys[0]));
        return false;
    }
    return true;
}

bool td_bind_keys(struct td_builder *b, const struct td_lang_expr *e, struct td_source *s,
                  struct td_input *in, td_slice *extra, uint8_t *extra_count)
{
    *in = (struct td_input){.source = s};
    *extra_count = 0;
    if (!pick(b, e, s, in)) {
        return false;
    }
    for (uint8_t i = 0; i < s->pattern.key_count; i++) {
        in->from[i] = UINT8_MAX;
        if (in->literal[i].p != NULL) {
            continue;
        }
        int at = key_find(b->st->keys, b->st->key_count, s->pattern.keys[i]);
        if (at >= 0) {
            in->from[i] = (uint8_t)at;
        } else if ((*extra_count)++ == 0) {
            *extra = s->pattern.keys[i];
        }
    }
    return true;
}

static bool same_input(const struct td_input *a, const struct td_input *b)
{
    bool same = a->source == b->source && a->grouping == b->grouping;
    for (uint8_t i = 0; same && i < a->source->pattern.key_count; i++) {
        same = a->from[i] == b->from[i] && td_slice_eq(a->literal[i], b->literal[i]);
    }
    return same;
}

static bool add_input(struct td_builder *b, const struct td_lang_expr *e, struct td_input *list,
                      uint16_t *count, uint16_t max, const struct td_input *in, uint16_t *out)
{
    for (uint16_t i = 0; i < *count; i++) {
        if (same_input(&list[i], in)) {
            *out = i;
            return true;
        }
    }
    if (*count == max) {
        td_lang_error(b->diag, e->place, "the statement reads more than %u things", max);
        td_lang_try(b->diag, "split it");
        return false;
    }
    list[*count] = *in;
    *out = (*count)++;
    return true;
}

/* The grouping of a source by the keys that are settled (a statement's or picked). */
static struct td_grouping *grouping_get(struct td_rules *r, struct td_source *s,
                                        const struct td_input *in)
{
    uint8_t at[TD_KEYS_MAX], n = 0;
    for (uint8_t i = 0; i < s->pattern.key_count; i++) {
        if (in->from[i] != UINT8_MAX || in->literal[i].p != NULL) {
            at[n++] = i;
        }
    }
    for (struct td_grouping *g = s->groupings; g != NULL; g = g->next) {
        if (g->count == n && memcmp(g->at, at, n) == 0) {
            return g;
        }
    }
    struct td_grouping *g = td_arena_alloc(&r->arena, sizeof *g);
    if (g == NULL || s->grouping_count == UINT8_MAX) {
        return NULL;
    }
    memcpy(g->at, at, n);
    g->count = n;
    g->index = s->grouping_count++;
    td_map_init(&g->groups, r->seed);
    g->next = s->groupings;
    s->groupings = g;
    return g;
}

/* ---- sources ---- */

static bool bind_fold_row(struct td_builder *b, struct td_lang_expr *e, struct td_lang_expr *fold,
                          struct td_input *in)
{
    uint16_t group;
    in->grouping = grouping_get(b->r, in->source, in);
    if (in->grouping == NULL) {
        td_lang_error(b->diag, e->place, "the rule files are too large");
        return false;
    }
    if (!add_input(b, e, b->st->groups, &b->st->group_count, TD_GROUPS_MAX, in, &group)) {
        return false;
    }
    if (fold->input != UINT16_MAX && fold->input != group) {
        td_lang_error(b->diag, e->place, "one fold cannot go over two streams");
        td_lang_try(b->diag, "fold each on its own: ANY(a) AND ANY(b)");
        return false;
    }
    fold->input = group;
    e->bind = TD_LANG_BIND_ROW;
    return true;
}

static bool has_extra_keys(struct td_builder *b, const struct td_lang_expr *e,
                           const struct td_source *s, td_slice extra)
{
    td_lang_error(b->diag, e->place, "%.*s has the key %.*s, which this statement has not",
                  TD_LANG_S(s->name), TD_LANG_S(extra));
    td_lang_try(b->diag, "fold it: ANY(%.*s); pick one: %.*s[%.*s: 'x']; or add PER %.*s",
                TD_LANG_S(e->text), TD_LANG_S(e->text), TD_LANG_S(extra), TD_LANG_S(extra));
    return false;
}

static int field_find(const struct td_source *s, td_slice name)
{
    for (uint16_t i = 0; i < s->field_count; i++) {
        if (td_slice_eq(s->fields[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static bool bind_source(struct td_builder *b, struct td_lang_expr *e, struct td_lang_expr *fold,
                        struct td_source *s, bool stream)
{
    struct td_input in;
    td_slice extra;
    uint8_t extra_count;
    int field = e->field.n > 0 ? field_find(s, e->field) : s->field_count == 1 ? 0 : -1;
    if (field < 0 && !(stream && e->field.n == 0)) {
        return unknown_field(b, e, s);
    }
    if (!td_bind_keys(b, e, s, &in, &extra, &extra_count)) {
        return false;
    }
    e->slot = (uint16_t)(field < 0 ? 0 : field);
    e->type = s->field_count > 0 ? s->fields[e->slot].lang : (struct td_lang_type){0};
    if (extra_count > 0) {
        return fold != NULL ? bind_fold_row(b, e, fold, &in) : has_extra_keys(b, e, s, extra);
    }
    e->bind = TD_LANG_BIND_FIELD;
    return add_input(b, e, b->st->inputs, &b->st->input_count, TD_INPUTS_MAX, &in, &e->input);
}

/* ---- CREATE RULE: fields as they are named, without a declaration ---- */

static bool add_dynamic(struct td_builder *b, struct td_lang_expr *e, td_slice path)
{
    struct td_source *s = b->from;
    struct td_field f = {.name = path, .scale = 1, .fallback = td_lang_unknown()};
    if (s->field_count == TD_FIELDS_MAX || !td_path_parse(path, f.path, &f.path_count)) {
        td_lang_error(b->diag, e->place, "a SELECT reads at most 64 fields, 8 levels deep");
        return false;
    }
    if ((s->field_count & (s->field_count - 1)) == 0) { /* 0, 1, 2, 4, ..: grow */
        size_t cap = s->field_count == 0 ? 1 : 2u * s->field_count;
        struct td_field *more = td_arena_alloc(&b->r->arena, cap * sizeof *more);
        if (more == NULL) {
            td_lang_error(b->diag, e->place, "the rule files are too large");
            return false;
        }
        if (s->field_count > 0) {
            memcpy(more, s->fields, s->field_count * sizeof *more);
        }
        s->fields = more;
    }
    e->slot = s->field_count;
    s->fields[s->field_count++] = f;
    return true;
}

/* x and a.b as the paths $.x and $.a.b. */
static td_slice path_of(struct td_builder *b, td_slice text, td_slice field)
{
    struct td_buf path;
    td_buf_init(&path, 4096);
    (void)td_buf_printf(&path, field.n > 0 ? "$.%.*s.%.*s" : "$.%.*s", TD_LANG_S(text),
                        TD_LANG_S(field));
    td_slice copy = td_arena_copy(&b->r->arena, td_buf_slice(&path));
    td_buf_fini(&path);
    return copy;
}

static bool bind_select(struct td_builder *b, struct td_lang_expr *e, td_slice path)
{
    struct td_source *s = b->from;
    struct td_input in = {.source = s};
    for (uint8_t i = 0; i < s->pattern.key_count; i++) {
        in.from[i] = i;
    }
    int field = field_find(s, path);
    e->slot = (uint16_t)field;
    if (field < 0 && !add_dynamic(b, e, path)) {
        return false;
    }
    e->type = s->fields[e->slot].lang;
    e->bind = TD_LANG_BIND_FIELD;
    return add_input(b, e, b->st->inputs, &b->st->input_count, TD_INPUTS_MAX, &in, &e->input);
}

static bool bind_from(struct td_builder *b, struct td_lang_expr *e)
{
    bool alias = td_slice_eq(e->text, b->from->stmt->alias.name) && e->field.n > 0;
    td_slice name = alias ? e->field : e->text;
    td_slice field = alias ? (td_slice){NULL, 0} : e->field;
    if (b->from->stmt->fields == NULL) {
        return bind_select(b, e, path_of(b, name, field));
    }
    if (field_find(b->from, name) < 0 || field.n > 0) {
        struct td_lang_expr plain = *e;
        plain.field = name;
        return unknown_field(b, &plain, b->from);
    }
    return bind_select(b, e, name);
}

/* ---- the scope's door ---- */

static bool bind_let(struct td_builder *b, struct td_lang_expr *e)
{
    uint16_t n = 0;
    for (const struct td_lang_let *l = b->ast != NULL ? b->ast->lets : NULL;
         l != NULL && l != b->let_end; l = l->next, n++) {
        if (td_slice_eq(l->name.name, e->text)) {
            e->bind = TD_LANG_BIND_LOCAL;
            e->input = n;
            e->type = l->value->type;
            e->type.bare = false;
            e->pulse = l->value->pulse;
            return true;
        }
    }
    return false;
}

bool td_bind(void *ctx, struct td_lang_expr *e, struct td_lang_expr *fold, bool stream)
{
    struct td_builder *b = ctx;
    if (e->op == TD_LANG_OP_PATH) {
        if (b->from == NULL || b->from->stmt->fields != NULL) {
            td_lang_error(b->diag, e->place, "a path has no meaning here");
            td_lang_try(b->diag, "declare a field for it: STREAM s FROM '..' (x FLOAT = %.*s)",
                        TD_LANG_S(e->text));
            return false;
        }
        return bind_select(b, e, e->text);
    }
    bool plain = e->field.n == 0 && e->keys == NULL && !stream;
    if (plain && bind_let(b, e)) {
        return true;
    }
    int key = plain ? key_find(b->st->keys, b->st->key_count, e->text) : -1;
    if (key >= 0) {
        e->bind = TD_LANG_BIND_KEY;
        e->input = (uint16_t)key;
        e->type = (struct td_lang_type){.kind = TD_LANG_TEXT};
        return true;
    }
    struct td_source *s = td_source_find(b->r, e->text);
    if (b->from != NULL && (s == NULL || e->keys == NULL)) {
        return bind_from(b, e);
    }
    return s != NULL ? bind_source(b, e, fold, s, stream) : unknown_name(b, e);
}
