/* lang: functions, folds over keys, windows over time. */
#include "lang/check.h"

enum law { LAW_SAME, LAW_FIRST, LAW_PLAIN, LAW_OWN };

static const enum law laws[] = {
#define FUNC(name, least, most, law, help) LAW_##law,
#include "lang/functions.def"
#undef FUNC
};

static void inherit(struct td_lang_expr *e, const struct td_lang_expr *from)
{
    e->pulse |= from->pulse;
    e->state |= from->state;
}

/* The second and later arguments take the unit of the first that has one. */
static bool check_same(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr **from)
{
    struct td_lang_expr **lead = from;
    td_assert(*lead != NULL); /* the parser has counted */
    for (struct td_lang_expr **at = from; *at != NULL; at = &(*at)->next) {
        if ((*at)->type.kind != (*lead)->type.kind && (*at)->type.kind != TD_LANG_ANY &&
            (*lead)->type.kind != TD_LANG_ANY) {
            return td_lang_check_want(s, at, &(*lead)->type, "this value");
        }
        bool numbers = td_lang_check_numeric(*at) && td_lang_check_numeric(*lead);
        if (at != lead && numbers && !td_lang_check_unify(s, lead, at, "these values")) {
            return false;
        }
        if ((*lead)->type.kind == TD_LANG_ANY || ((*lead)->type.bare && !(*at)->type.bare)) {
            lead = at;
        }
    }
    e->type = (*lead)->type;
    e->type.counter = false;
    return true;
}

static bool numbers_only(struct td_lang_scope *s, struct td_lang_expr *e)
{
    for (struct td_lang_expr **at = &e->list; *at != NULL; at = &(*at)->next) {
        if (!td_lang_check_numeric(*at)) {
            return td_lang_check_number(s, *at, "this value");
        }
    }
    return true;
}

static bool check_hyst(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    e->type = td_lang_type_bool;
    return td_lang_check_want(s, &e->list, &td_lang_type_bool, "the first value of HYST") &&
           td_lang_check_want(s, &e->list->next, &td_lang_type_bool, "the second value of HYST") &&
           td_lang_check_cell(s, e, fold);
}

static bool check_last(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    td_assert(e->list != NULL);
    e->type = e->list->type;
    e->type.counter = false;
    if (e->type.kind == TD_LANG_TEXT) {
        return td_lang_check_says(s, e, "LAST of a TEXT is not built yet",
                                  "COALESCE works with TEXT");
    }
    return td_lang_check_cell(s, e, fold);
}

/* STEP(x, v0, b1, v1, ..): bounds go with x, values with each other. */
static bool check_step(struct td_lang_scope *s, struct td_lang_expr *e)
{
    td_assert(e->list != NULL && e->list->next != NULL);
    struct td_lang_expr **value = &e->list->next;
    size_t n = 1;
    if (!numbers_only(s, e)) {
        return false;
    }
    for (struct td_lang_expr **at = &e->list->next; *at != NULL; at = &(*at)->next, n++) {
        bool bound = n % 2 == 0;
        if (!td_lang_check_unify(s, bound ? &e->list : value, at, "STEP")) {
            return false;
        }
    }
    td_assert(*value != NULL);
    e->type = (*value)->type;
    return n % 2 == 0 || td_lang_check_says(s, e, "STEP ends with a value behind the last bound",
                                            "STEP(x, v0, b1, v1, b2, v2)");
}

static bool check_own(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    switch ((int)e->func) {
    case TD_LANG_FUNC_HYST:
        return check_hyst(s, e, fold);
    case TD_LANG_FUNC_LAST:
        return check_last(s, e, fold);
    case TD_LANG_FUNC_STEP:
        return check_step(s, e);
    case TD_LANG_FUNC_IF:
        td_assert(e->list != NULL && e->list->next != NULL);
        return td_lang_check_want(s, &e->list, &td_lang_type_bool, "the first value of IF") &&
               check_same(s, e, &e->list->next);
    default:
        return false; /* folds and windows do not come here */
    }
}

static bool check_plain(struct td_lang_scope *s, struct td_lang_expr **from)
{
    for (struct td_lang_expr **at = from; *at != NULL; at = &(*at)->next) {
        if (!td_lang_check_want(s, at, &td_lang_type_plain, "this value")) {
            return false;
        }
    }
    return true;
}

static bool check_function(struct td_lang_scope *s, struct td_lang_expr *e,
                           struct td_lang_expr *fold)
{
    switch (laws[e->func]) {
    case LAW_SAME:
        return (e->func == TD_LANG_FUNC_COALESCE || numbers_only(s, e)) &&
               check_same(s, e, &e->list);
    case LAW_FIRST:
        td_assert(e->list != NULL);
        e->type = e->list->type;
        e->type.counter = false;
        return numbers_only(s, e) && check_plain(s, &e->list->next);
    case LAW_PLAIN:
        e->type = td_lang_type_plain;
        return check_plain(s, &e->list);
    case LAW_OWN:
        break;
    }
    return check_own(s, e, fold);
}

/* ---- folds ---- */

static bool folds(const struct td_lang_expr *e)
{
    return e->func >= TD_LANG_FUNC_ANY && e->func != TD_LANG_FUNC_RATE && e->list->next == NULL;
}

static bool check_fold(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    if (fold != NULL) {
        return td_lang_check_says(s, e, "a fold inside a fold is not built yet",
                                  "name the inner one in a statement of its own");
    }
    e->op = TD_LANG_OP_FOLD;
    e->a = e->list;
    e->list = NULL;
    e->input = UINT16_MAX;
    if (e->func == TD_LANG_FUNC_COUNT && e->a->op == TD_LANG_OP_REF && e->a->field.n == 0) {
        if (!s->resolve(s->ctx, e->a, e, true)) { /* COUNT(stream): how many keys live */
            return false;
        }
        e->a->op = TD_LANG_OP_TRUE;
        e->a->type = td_lang_type_bool;
    } else if (!td_lang_check_expr(s, &e->a, e)) {
        return false;
    }
    if (e->input == UINT16_MAX) {
        td_lang_error(s->diag, e->place, "%s(..) has nothing to go over",
                      td_lang_func_name(e->func));
        td_lang_why(s->diag, "it goes over the keys that a stream has and this statement has not");
        td_lang_try(s->diag, "for a look back in time write %s(x OVER 10m)",
                    td_lang_func_name(e->func));
        return false;
    }
    inherit(e, e->a);
    bool truth = e->func == TD_LANG_FUNC_ANY || e->func == TD_LANG_FUNC_ALL;
    if (truth) {
        e->type = td_lang_type_bool;
        return td_lang_check_want(s, &e->a, &td_lang_type_bool, "what ANY and ALL look at");
    }
    if (e->func == TD_LANG_FUNC_COUNT) {
        e->type = td_lang_type_plain;
        return true;
    }
    e->type = e->a->type;
    e->type.counter = false;
    if (!td_lang_check_numeric(e->a)) {
        return td_lang_check_number(s, e->a, "what is folded");
    }
    if (e->func == TD_LANG_FUNC_SUM && (e->type.unit.offset < 0 || e->type.unit.offset > 0)) {
        return td_lang_check_says(s, e, "temperatures cannot be added up", "AVG can");
    }
    return true;
}

bool td_lang_check_call(struct td_lang_scope *s, struct td_lang_expr **slot,
                        struct td_lang_expr *fold)
{
    struct td_lang_expr *e = *slot;
    td_assert(e->list != NULL); /* the parser has counted */
    if (folds(e)) {
        return check_fold(s, e, fold);
    }
    if (e->func == TD_LANG_FUNC_MIN || e->func == TD_LANG_FUNC_MAX) {
        e->func = e->func == TD_LANG_FUNC_MIN ? TD_LANG_FUNC_LEAST : TD_LANG_FUNC_GREATEST;
    }
    if (e->func == TD_LANG_FUNC_RATE) {
        return td_lang_check_says(s, e, "RATE needs a time to look back", "write RATE(x OVER 10m)");
    }
    for (struct td_lang_expr **at = &e->list; *at != NULL; at = &(*at)->next) {
        if (!td_lang_check_expr(s, at, fold)) {
            return false;
        }
        inherit(e, *at);
    }
    return check_function(s, e, fold);
}

/* ---- windows ---- */

static bool window_type(struct td_lang_scope *s, struct td_lang_expr *e)
{
    switch ((int)e->func) {
    case TD_LANG_FUNC_COUNT:
        e->type = td_lang_type_plain;
        return true;
    case TD_LANG_FUNC_RATE:
        if (!e->a->type.counter) {
            return td_lang_check_says(s, e->a, "RATE is the increase of a COUNTER",
                                      "declare the field as COUNTER if it only ever grows");
        }
        e->type = (struct td_lang_type){.kind = TD_LANG_NUM};
        return td_lang_unit_mul(&e->a->type.unit, &td_lang_unit_second, -1, &e->type.unit);
    case TD_LANG_FUNC_SUM:
        if (e->a->type.unit.offset < 0 || e->a->type.unit.offset > 0) {
            return td_lang_check_says(s, e, "temperatures cannot be added up", "AVG can");
        }
        break;
    case TD_LANG_FUNC_AVG:
    case TD_LANG_FUNC_MIN:
    case TD_LANG_FUNC_MAX:
        break;
    default:
        td_lang_error(s->diag, e->place, "%s OVER a time is not built yet",
                      td_lang_func_name(e->func));
        td_lang_try(s->diag, "AVG, MIN, MAX, SUM, COUNT and RATE are");
        return false;
    }
    e->type = e->a->type;
    e->type.counter = false;
    return td_lang_check_numeric(e->a) ||
           td_lang_check_number(s, e->a, "what is looked at over time");
}

bool td_lang_check_window(struct td_lang_scope *s, struct td_lang_expr *e,
                          struct td_lang_expr *fold)
{
    struct td_lang_value span;
    if (!td_lang_check_expr(s, &e->a, fold)) {
        return false;
    }
    if (e->a->op != TD_LANG_OP_REF || e->a->bind != TD_LANG_BIND_FIELD) {
        return td_lang_check_says(s, e->a, "OVER looks back at a field of a stream only",
                                  "put the field itself before OVER and calculate outside");
    }
    if (!window_type(s, e) ||
        !td_lang_constant(s, e->b, &td_lang_type_duration, "the time behind OVER", &span) ||
        !td_lang_check_cell(s, e, fold)) {
        return false;
    }
    if (!(span.num >= 0.001 && span.num <= 366 * 86400.0)) {
        return td_lang_check_says(s, e->b, "a window is 1 ms to 366 d long", NULL);
    }
    if (s->span_count == TD_LANG_SPANS_MAX) {
        return td_lang_check_says(s, e, "a statement has at most 64 windows", "split it");
    }
    s->spans[s->span_count++] =
        (struct td_lang_span){e->cell, (td_mono)(span.num * (double)TD_NS_PER_S)};
    return true;
}
