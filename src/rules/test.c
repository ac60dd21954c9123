/* rules: TEST blocks to steps; test_run.c runs them. They are compiled with every load, so that
 * `tandem check` finds what is wrong in them. */
#include "rules/test.h"

static const struct td_lang_type a_bool = {.kind = TD_LANG_BOOL};
static const struct td_lang_type a_duration = {.kind = TD_LANG_NUM,
                                               .unit = {.scale = 1, .dim = {0, 0, 1}}};

static bool says(struct td_builder *b, struct td_lang_place at, const char *what,
                 const char *remedy)
{
    td_lang_error(b->diag, at, "%s", what);
    td_lang_try(b->diag, "%s", remedy);
    return false;
}

static bool time_of(struct td_builder *b, struct td_lang_expr *e, td_mono *out)
{
    struct td_lang_value v;
    if (e == NULL) {
        return true;
    }
    if (!td_lang_constant(&b->scope, e, &a_duration, "the time of a step", &v)) {
        return false;
    }
    if (!(v.num >= 0 && v.num <= 3660 * 86400.0)) {
        return says(b, e->place, "a test lasts ten years at most", "shorten it");
    }
    *out = (td_mono)(v.num * (double)TD_NS_PER_S);
    return true;
}

/* Steps without a time happen at that of the step before. */
static bool build_time(struct td_builder *b, struct td_step *step, td_mono before)
{
    const struct td_lang_step *s = step->ast;
    step->from = before;
    if (!time_of(b, s->from, &step->from)) {
        return false;
    }
    step->to = step->from;
    if (!time_of(b, s->to, &step->to) || !time_of(b, s->every, &step->every)) {
        return false;
    }
    if (s->every != NULL && step->every < TD_NS_PER_MS) {
        return says(b, s->every->place, "EVERY is at least 1ms", "write a longer time");
    }
    bool many = s->every != NULL && (step->to - step->from) / step->every > 1000000;
    return !many ||
           says(b, s->place, "this makes more than a million steps", "write a longer EVERY");
}

/* The row that a reference in brackets names: all keys are given. */
static struct td_source *row_of(struct td_builder *b, const struct td_lang_expr *ref,
                                struct td_input *at)
{
    td_slice extra;
    uint8_t extra_count;
    struct td_source *s = td_source_find(b->r, ref->text);
    if (s == NULL) {
        struct td_lang_expr copy = *ref;
        (void)td_bind(b, &copy, NULL, true); /* tells what is near */
        return NULL;
    }
    if (!td_bind_keys(b, ref, s, at, &extra, &extra_count)) {
        return NULL;
    }
    if (extra_count > 0) {
        td_lang_error(b->diag, ref->place, "which %.*s?", TD_LANG_S(s->name));
        td_lang_try(b->diag, "a test names all keys: %.*s['..'] for %.*s", TD_LANG_S(s->name),
                    TD_LANG_S(extra));
        return NULL;
    }
    return s;
}

static bool add_assign(struct td_builder *b, struct td_step *step, const struct td_source *s,
                       td_slice name, struct td_lang_place place, struct td_lang_expr *value)
{
    struct td_assign *a = td_arena_alloc(&b->r->arena, sizeof *a);
    td_slice all[TD_FIELDS_MAX] = {{NULL, 0}};
    int field = name.n == 0 && s->field_count == 1 ? 0 : -1;
    for (uint16_t i = 0; i < s->field_count; i++) {
        field = td_slice_eq(s->fields[i].name, name) ? i : field;
        all[i] = s->fields[i].name;
    }
    if (field < 0) {
        td_lang_error(b->diag, place, "%.*s has no field %.*s", TD_LANG_S(s->name),
                      TD_LANG_S(name.n > 0 ? name : TD_STR("of its own: it has several")));
        td_slice near = td_lang_nearest(name, all, s->field_count);
        td_lang_try(b->diag, "write {%.*s: ..}", TD_LANG_S(near.n > 0 ? near : all[0]));
        return false;
    }
    if (a == NULL || value == NULL) {
        return says(b, place, "a field is one value, not an object", "give it a number, text, ..");
    }
    a->field = (uint16_t)field;
    a->next = step->assigns;
    step->assigns = a;
    return td_build_code(b, value, &s->fields[field].lang, "the value", &a->code);
}

static bool build_assign(struct td_builder *b, struct td_step *step)
{
    const struct td_lang_assign *a = step->ast->assign;
    struct td_source *s = row_of(b, a->ref, &step->at);
    if (s == NULL) {
        return false;
    }
    if (s->kind != TD_SOURCE_STREAM && s->kind != TD_SOURCE_PARAM) {
        return says(b, a->ref->place, "a test sets what comes from outside: streams and parameters",
                    "set what the rules read, EXPECT what they do");
    }
    bool good = a->object != NULL || add_assign(b, step, s, a->ref->field, a->ref->place, a->value);
    for (const struct td_lang_object *o = a->object; good && o != NULL; o = o->next) {
        good = add_assign(b, step, s, o->key, o->place, o->value);
    }
    return good;
}

static bool build_sent(struct td_builder *b, struct td_step *step)
{
    for (const struct td_lang_object *o = step->ast->object; o != NULL; o = o->next) {
        if (o->value == NULL) {
            return says(b, o->place, "SENT looks at the members of the outermost object only",
                        "leave this one out");
        }
    }
    return td_build_object(b, step->ast->object, &step->object);
}

static bool build_step(struct td_builder *b, struct td_step *step)
{
    struct td_source *s;
    switch (step->ast->kind) {
    case TD_LANG_STEP_ASSIGN:
        return build_assign(b, step);
    case TD_LANG_STEP_EXPECT:
        return td_build_code(b, step->ast->expect, &a_bool, "what is expected", &step->code);
    case TD_LANG_STEP_SENT:
        return build_sent(b, step);
    case TD_LANG_STEP_RESTART:
        return td_build_code(b, step->ast->expect, &a_duration, "the time behind AFTER",
                             &step->code);
    case TD_LANG_STEP_MUTE:
        s = row_of(b, step->ast->expect, &step->at);
        return s != NULL && (s->kind == TD_SOURCE_ACTUATOR ||
                             says(b, step->ast->place, "MUTE is for an actuator's device",
                                  "name an ACTUATOR with CONFIRM"));
    }
    return false;
}

static struct td_test *build_test(struct td_rules *r, struct td_lang_diag *diag,
                                  const struct td_lang_stmt *stmt)
{
    struct td_builder b;
    struct td_test *test = td_arena_alloc(&r->arena, sizeof *test);
    struct td_statement *st = td_arena_alloc(&r->arena, sizeof *st);
    td_mono before = 0;
    if (test == NULL || st == NULL) {
        return NULL;
    }
    st->kind = TD_LANG_TEST;
    st->name = stmt->name.name;
    test->stmt = stmt;
    test->st = st;
    td_builder_init(&b, r, diag, st);
    b.scope.elapsed = true;
    struct td_step **tail = &test->steps;
    for (const struct td_lang_step *s = stmt->steps; s != NULL; s = s->next) {
        struct td_step *step = td_arena_alloc(&r->arena, sizeof *step);
        if (step == NULL) {
            return NULL;
        }
        step->ast = s;
        if (!build_time(&b, step, before) || !build_step(&b, step)) {
            return NULL;
        }
        before = step->from;
        *tail = step;
        tail = &step->next;
    }
    return td_builder_done(&b) ? test : NULL;
}

void td_tests_check(struct td_rules *r, struct td_lang_diag *diag)
{
    struct td_test **tail = &r->tests;
    for (const struct td_lang_stmt *s = r->stmts; s != NULL; s = s->next) {
        if (s->kind == TD_LANG_TEST) {
            *tail = build_test(r, diag, s);
            if (*tail == NULL) {
                continue; /* told */
            }
            tail = &(*tail)->next;
        }
    }
}
