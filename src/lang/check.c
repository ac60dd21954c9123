/* lang: types and units. Operands get one unit (a conversion is put into the tree where they
 * differ), a bare literal takes its counterpart's, temperatures on a scale (°C, °F) may be
 * compared, subtracted, and shifted by K, and nothing else. */
#include "lang/check.h"

const struct td_lang_type td_lang_type_bool = {.kind = TD_LANG_BOOL};
const struct td_lang_type td_lang_type_duration = {.kind = TD_LANG_NUM,
                                                   .unit = {.scale = 1, .dim = {0, 0, 1}}};
const struct td_lang_type td_lang_type_plain = {.kind = TD_LANG_NUM, .unit = {.scale = 1}};

/* ---- words ---- */

void td_lang_type_name(const struct td_lang_type *t, struct td_buf *out)
{
    char unit[TD_LANG_UNIT_NAME];
    switch (t->kind) {
    case TD_LANG_ANY:
        (void)td_buf_printf(out, "of unknown type");
        return;
    case TD_LANG_BOOL:
        (void)td_buf_printf(out, "BOOL");
        return;
    case TD_LANG_TEXT:
        (void)td_buf_printf(out, t->words != NULL ? "an ENUM" : "TEXT");
        return;
    case TD_LANG_NUM:
        td_lang_unit_name(&t->unit, unit);
        if (t->bare || td_lang_unit_eq(&t->unit, &td_lang_unit_one)) {
            (void)td_buf_printf(out, "a plain number");
        } else if (td_lang_unit_eq(&t->unit, &td_lang_unit_second)) {
            (void)td_buf_printf(out, "a duration");
        } else {
            (void)td_buf_printf(out, "a number in %s", unit);
        }
        return;
    }
}

static bool mismatch(struct td_lang_scope *s, const struct td_lang_expr *e,
                     const struct td_lang_type *want, const char *what)
{
    struct td_buf is, should;
    td_buf_init(&is, 200);
    td_buf_init(&should, 200);
    td_lang_type_name(&e->type, &is);
    td_lang_type_name(want, &should);
    td_lang_error(s->diag, e->place, "%s must be %.*s", what, TD_LANG_S(td_buf_slice(&should)));
    td_lang_why(s->diag, "this is %.*s", TD_LANG_S(td_buf_slice(&is)));
    if (want->kind == TD_LANG_BOOL && e->type.kind == TD_LANG_NUM) {
        td_lang_try(s->diag, "compare it with something, like x > 0");
    }
    td_buf_fini(&is);
    td_buf_fini(&should);
    return false;
}

bool td_lang_check_says(struct td_lang_scope *s, const struct td_lang_expr *e, const char *what,
                        const char *remedy)
{
    td_lang_error(s->diag, e->place, "%s", what);
    if (remedy != NULL) {
        td_lang_try(s->diag, "%s", remedy);
    }
    return false;
}

/* ---- numbers ---- */

bool td_lang_check_numeric(const struct td_lang_expr *e)
{
    return e->type.kind == TD_LANG_NUM || e->type.kind == TD_LANG_ANY;
}

bool td_lang_check_number(struct td_lang_scope *s, const struct td_lang_expr *e, const char *what)
{
    struct td_buf is;
    if (td_lang_check_numeric(e)) {
        return true;
    }
    td_buf_init(&is, 200);
    td_lang_type_name(&e->type, &is);
    td_lang_error(s->diag, e->place, "%s must be a number", what);
    td_lang_why(s->diag, "this is %.*s", TD_LANG_S(td_buf_slice(&is)));
    td_buf_fini(&is);
    return false;
}

/* Takes whatever unit its counterpart has. */
static bool pliant(const struct td_lang_expr *e)
{
    return e->type.kind == TD_LANG_ANY || e->type.bare;
}

static bool affine(const struct td_lang_expr *e)
{
    return e->type.kind == TD_LANG_NUM && !e->type.bare &&
           (e->type.unit.offset < 0 || e->type.unit.offset > 0);
}

/* *e * mul + add, in the tree or in the literal itself. */
static bool convert(struct td_lang_scope *s, struct td_lang_expr **e, double mul, double add)
{
    struct td_lang_expr *from = *e;
    if (mul - 1 < 1e-14 && 1 - mul < 1e-14 && add < 1e-12 && add > -1e-12) {
        return true;
    }
    if (from->op == TD_LANG_OP_NUM) {
        from->num = td_lang_affine(from->num, mul, add);
        return true;
    }
    struct td_lang_expr *to = td_arena_alloc(s->arena, sizeof *to);
    if (to == NULL) {
        return td_lang_check_says(s, from, "the rule files are too large", NULL);
    }
    *to = (struct td_lang_expr){.op = TD_LANG_OP_CONVERT,
                                .place = from->place,
                                .a = from,
                                .num = mul,
                                .add = add,
                                .type = from->type,
                                .pulse = from->pulse,
                                .state = from->state,
                                .next = from->next};
    from->next = NULL;
    *e = to;
    return true;
}

/* To another unit of the same dimension, as a difference (without offsets) or as a value. */
static bool to_unit(struct td_lang_scope *s, struct td_lang_expr **e, const struct td_lang_unit *to,
                    bool difference)
{
    const struct td_lang_unit from = (*e)->type.unit;
    double add = difference ? 0 : (from.offset - to->offset) / to->scale;
    if (!convert(s, e, from.scale / to->scale, add)) {
        return false;
    }
    (*e)->type.unit = *to;
    return true;
}

static bool other_kind(struct td_lang_scope *s, const struct td_lang_expr *a,
                       const struct td_lang_expr *b, const char *what)
{
    char ua[TD_LANG_UNIT_NAME], ub[TD_LANG_UNIT_NAME];
    td_lang_unit_name(&a->type.unit, ua);
    td_lang_unit_name(&b->type.unit, ub);
    td_lang_error(s->diag, b->place, "%s must measure the same, not %s and %s", what, ua, ub);
    return false;
}

bool td_lang_check_unify(struct td_lang_scope *s, struct td_lang_expr **a, struct td_lang_expr **b,
                         const char *what)
{
    td_assert(*a != NULL && *b != NULL);
    if (!td_lang_check_number(s, *a, what) || !td_lang_check_number(s, *b, what)) {
        return false;
    }
    if (pliant(*b)) {
        (*b)->type = (*a)->type.kind == TD_LANG_NUM ? (*a)->type : (*b)->type;
        return true;
    }
    if (pliant(*a)) {
        (*a)->type = (*b)->type;
        return true;
    }
    if (!td_lang_unit_same_dim(&(*a)->type.unit, &(*b)->type.unit)) {
        return other_kind(s, *a, *b, what);
    }
    if (affine(*a) != affine(*b)) {
        return td_lang_check_says(s, affine(*a) ? *b : *a,
                                  "a temperature difference in K is compared with a temperature",
                                  "write the temperature as 20°C or 68°F");
    }
    return to_unit(s, b, &(*a)->type.unit, false);
}

/* a + b, a - b with temperatures: the table of rules.md. */
static bool check_shift(struct td_lang_scope *s, struct td_lang_expr *e)
{
    td_assert(e->a != NULL && e->b != NULL);
    bool sub = e->op == TD_LANG_OP_SUB, fa = affine(e->a), fb = affine(e->b);
    if (!td_lang_check_number(s, e->a, "what is added") ||
        !td_lang_check_number(s, e->b, "what is added")) {
        return false;
    }
    if (!fa && !fb) {
        bool good = td_lang_check_unify(s, &e->a, &e->b, "what is added");
        e->type = e->a->type;
        return good;
    }
    if ((fa && fb && !sub) || (!fa && fb && sub)) {
        return td_lang_check_says(s, e, "two temperatures cannot be added",
                                  "add a difference: 20°C + 5K");
    }
    if (fa && fb) {
        bool good = to_unit(s, &e->b, &e->a->type.unit, false);
        e->type = e->a->type;
        e->type.unit.offset = 0;
        return good;
    }
    struct td_lang_expr **diff = fa ? &e->b : &e->a;
    struct td_lang_expr *temp = fa ? e->a : e->b;
    e->type = temp->type;
    if (pliant(*diff)) {
        return true;
    }
    if (!td_lang_unit_same_dim(&(*diff)->type.unit, &temp->type.unit)) {
        return other_kind(s, temp, *diff, "what is added");
    }
    struct td_lang_unit step = temp->type.unit;
    step.offset = 0;
    return to_unit(s, diff, &step, true);
}

static bool check_product(struct td_lang_scope *s, struct td_lang_expr **slot)
{
    struct td_lang_expr *e = *slot;
    struct td_lang_expr *both[2] = {e->a, e->b};
    for (size_t i = 0; i < 2; i++) {
        if (!td_lang_check_number(s, both[i], "what is multiplied or divided")) {
            return false;
        }
        if (affine(both[i])) {
            return td_lang_check_says(s, both[i], "a temperature on a scale cannot be multiplied",
                                      "take the difference to a zero point first: (t - 0°C) * 2");
        }
    }
    const struct td_lang_unit *ua = pliant(e->a) ? &td_lang_unit_one : &e->a->type.unit;
    const struct td_lang_unit *ub = pliant(e->b) ? &td_lang_unit_one : &e->b->type.unit;
    e->type = (struct td_lang_type){.kind = TD_LANG_NUM, .bare = pliant(e->a) && pliant(e->b)};
    if (!td_lang_unit_mul(ua, ub, e->op == TD_LANG_OP_DIV ? -1 : 1, &e->type.unit)) {
        return td_lang_check_says(s, e, "the unit of this product is beyond all bounds", NULL);
    }
    /* 50% * 50% is 0.25, not 2500 of something: what has no dimension becomes plain. */
    if (td_lang_unit_same_dim(&e->type.unit, &td_lang_unit_one) && !pliant(e->a) && !pliant(e->b)) {
        return to_unit(s, slot, &td_lang_unit_one, true);
    }
    return true;
}

/* ---- wants ---- */

static bool want_word(struct td_lang_scope *s, const struct td_lang_expr *e,
                      const struct td_lang_words *words)
{
    td_slice all[64];
    size_t n = 0;
    for (const struct td_lang_words *w = words; w != NULL; w = w->next) {
        if (td_slice_eq(w->word, e->text)) {
            return true;
        }
        if (n < TD_COUNT(all)) {
            all[n++] = w->word;
        }
    }
    td_lang_error(s->diag, e->place, "'%.*s' is not a word of this ENUM", TD_LANG_S(e->text));
    td_slice near = td_lang_nearest(e->text, all, n);
    td_lang_try(s->diag, "did you mean '%.*s'?", TD_LANG_S(near.n > 0 ? near : all[0]));
    return false;
}

bool td_lang_check_want(struct td_lang_scope *s, struct td_lang_expr **e,
                        const struct td_lang_type *want, const char *what)
{
    struct td_lang_expr *x = *e;
    td_assert(x != NULL);
    if (want->kind == TD_LANG_ANY || x->type.kind == TD_LANG_ANY) {
        return true;
    }
    if (want->kind != x->type.kind) {
        return mismatch(s, x, want, what);
    }
    if (want->kind == TD_LANG_TEXT) {
        return want->words == NULL || x->op != TD_LANG_OP_TEXT || want_word(s, x, want->words);
    }
    if (want->kind != TD_LANG_NUM) {
        return true;
    }
    if (x->type.bare) {
        if (td_lang_unit_eq(&want->unit, &td_lang_unit_second) && x->op == TD_LANG_OP_NUM &&
            x->num != 0 && want == &td_lang_type_duration) {
            mismatch(s, x, want, what);
            td_lang_try(s->diag, "write the unit behind the number: %gs, %gm, %gh", x->num, x->num,
                        x->num);
            return false;
        }
        x->type = *want;
        return true;
    }
    bool scale = want->unit.offset < 0 || want->unit.offset > 0;
    if (!td_lang_unit_same_dim(&want->unit, &x->type.unit) || scale != affine(x)) {
        return mismatch(s, x, want, what);
    }
    return to_unit(s, e, &want->unit, false);
}

/* ---- operators ---- */

static void inherit(struct td_lang_expr *e, const struct td_lang_expr *from)
{
    if (from != NULL) {
        e->pulse |= from->pulse;
        e->state |= from->state;
    }
}

static bool check_two_bools(struct td_lang_scope *s, struct td_lang_expr *e)
{
    const char *what = e->op == TD_LANG_OP_AND ? "each side of AND" : "each side of OR";
    e->type = td_lang_type_bool;
    return td_lang_check_want(s, &e->a, &td_lang_type_bool, what) &&
           td_lang_check_want(s, &e->b, &td_lang_type_bool, what);
}

/* = and <> also compare BOOL and TEXT. */
static bool check_pair(struct td_lang_scope *s, struct td_lang_expr **a, struct td_lang_expr **b,
                       bool equality)
{
    td_assert(*a != NULL && *b != NULL);
    enum td_lang_kind ka = (*a)->type.kind, kb = (*b)->type.kind;
    if (ka == TD_LANG_NUM || kb == TD_LANG_NUM || !equality) {
        return td_lang_check_unify(s, a, b, "what is compared");
    }
    if (ka != TD_LANG_ANY && kb != TD_LANG_ANY && ka != kb) {
        return mismatch(s, *b, &(*a)->type, "the other side");
    }
    if (ka == TD_LANG_TEXT && kb == TD_LANG_TEXT) {
        return td_lang_check_want(s, b, &(*a)->type, "the other side") &&
               td_lang_check_want(s, a, &(*b)->type, "the other side");
    }
    return true;
}

static bool check_in(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    e->type = td_lang_type_bool;
    for (struct td_lang_expr **at = &e->list; *at != NULL; at = &(*at)->next) {
        if (!td_lang_check_expr(s, at, fold) || !check_pair(s, &e->a, at, e->op == TD_LANG_OP_IN)) {
            return false;
        }
        inherit(e, *at);
    }
    return true;
}

bool td_lang_check_cell(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    if (fold != NULL) {
        td_lang_error(s->diag, e->place,
                      "this needs a memory for each key, which %s(..) has not yet",
                      td_lang_func_name(fold->func));
        td_lang_try(s->diag, "put it outside: ANY(x) FOR 5m, or in a statement PER that key");
        return false;
    }
    if (s->cells >= TD_LANG_CELLS_MAX) {
        return td_lang_check_says(s, e, "the statement remembers too much", "split it");
    }
    e->cell = s->cells++;
    e->state = true;
    return true;
}

static bool check_edge(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    bool direct = e->a->bind == TD_LANG_BIND_FIELD || e->a->bind == TD_LANG_BIND_ROW;
    direct = direct && e->a->op == TD_LANG_OP_REF;
    if (e->a->type.kind == TD_LANG_TEXT && (e->op != TD_LANG_OP_CHANGES || !direct)) {
        return td_lang_check_says(s, e->a, "a TEXT neither rises nor falls",
                                  "write CHANGES behind the field itself");
    }
    if (e->b != NULL) {
        struct td_lang_type step = e->a->type;
        step.unit.offset = 0;
        if (!td_lang_check_numeric(e->a) || !td_lang_check_want(s, &e->b, &step, "the step")) {
            return td_lang_check_numeric(e->a)
                       ? false
                       : mismatch(s, e->a, &td_lang_type_plain, "what changes BY a step");
        }
    }
    e->type = td_lang_type_bool;
    e->pulse = true;
    return direct || td_lang_check_cell(s, e, fold);
}

static bool check_for(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    if (e->a->pulse) {
        return td_lang_check_says(s, e->a, "an event lasts no time, so it is never TRUE FOR any",
                                  "put a level before FOR, like door.open FOR 5m");
    }
    e->type = td_lang_type_bool;
    return td_lang_check_want(s, &e->a, &td_lang_type_bool, "what stands before FOR") &&
           td_lang_check_want(s, &e->b, &td_lang_type_duration, "the time behind FOR") &&
           td_lang_check_cell(s, e, fold);
}

static bool check_stream_word(struct td_lang_scope *s, struct td_lang_expr *e,
                              struct td_lang_expr *fold)
{
    if (e->a->op != TD_LANG_OP_REF) {
        return td_lang_check_says(s, e->a, "SILENT and ARRIVES are about the messages of a stream",
                                  "write the stream's name before it");
    }
    if (!s->resolve(s->ctx, e->a, fold, true)) {
        return false;
    }
    e->type = td_lang_type_bool;
    e->pulse = e->op == TD_LANG_OP_ARRIVES;
    return e->op == TD_LANG_OP_ARRIVES ||
           (td_lang_check_expr(s, &e->b, fold) &&
            td_lang_check_want(s, &e->b, &td_lang_type_duration, "the time behind SILENT"));
}

static bool check_leaf(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold)
{
    switch ((int)e->op) {
    case TD_LANG_OP_NUM:
        e->type = (struct td_lang_type){.kind = TD_LANG_NUM, .bare = !e->has_unit, .unit = e->unit};
        return true;
    case TD_LANG_OP_TEXT:
        e->type = (struct td_lang_type){.kind = TD_LANG_TEXT};
        return true;
    case TD_LANG_OP_TRUE:
    case TD_LANG_OP_FALSE:
        e->type = td_lang_type_bool;
        return true;
    case TD_LANG_OP_ELAPSED:
        e->type = td_lang_type_duration;
        return s->elapsed || td_lang_check_says(s, e, "ELAPSED has a meaning in TEST only", NULL);
    case TD_LANG_OP_REF:
    case TD_LANG_OP_PATH:
        return s->resolve(s->ctx, e, fold, false);
    default:
        return true; /* UNKNOWN: of any type */
    }
}

static bool check_operator(struct td_lang_scope *s, struct td_lang_expr **slot,
                           struct td_lang_expr *fold)
{
    struct td_lang_expr *e = *slot;
    switch ((int)e->op) {
    case TD_LANG_OP_NEG:
        e->type = e->a->type;
        if (affine(e->a) || !td_lang_check_numeric(e->a)) {
            return mismatch(s, e->a, &td_lang_type_plain, "what stands behind -");
        }
        return true;
    case TD_LANG_OP_NOT:
        e->type = td_lang_type_bool;
        return td_lang_check_want(s, &e->a, &td_lang_type_bool, "what stands behind NOT");
    case TD_LANG_OP_ADD:
    case TD_LANG_OP_SUB:
        return check_shift(s, e);
    case TD_LANG_OP_MUL:
    case TD_LANG_OP_DIV:
        return check_product(s, slot);
    case TD_LANG_OP_EQ:
    case TD_LANG_OP_NE:
        e->type = td_lang_type_bool;
        return check_pair(s, &e->a, &e->b, true);
    case TD_LANG_OP_AND:
    case TD_LANG_OP_OR:
        return check_two_bools(s, e);
    case TD_LANG_OP_IN:
    case TD_LANG_OP_BETWEEN:
        return check_in(s, e, fold);
    case TD_LANG_OP_IS:
        e->type = td_lang_type_bool;
        return true;
    case TD_LANG_OP_FOR:
        return check_for(s, e, fold);
    case TD_LANG_OP_RISES:
    case TD_LANG_OP_FALLS:
    case TD_LANG_OP_CHANGES:
        return check_edge(s, e, fold);
    default: /* < <= > >= */
        e->type = td_lang_type_bool;
        return check_pair(s, &e->a, &e->b, false);
    }
}

bool td_lang_check_expr(struct td_lang_scope *s, struct td_lang_expr **slot,
                        struct td_lang_expr *fold)
{
    struct td_lang_expr *e = *slot;
    if (e->op <= TD_LANG_OP_PATH) {
        return check_leaf(s, e, fold);
    }
    if (e->op == TD_LANG_OP_CALL) {
        return td_lang_check_call(s, slot, fold);
    }
    if (e->op == TD_LANG_OP_WINDOW) {
        return td_lang_check_window(s, e, fold);
    }
    if (e->op == TD_LANG_OP_SILENT || e->op == TD_LANG_OP_ARRIVES) {
        return check_stream_word(s, e, fold);
    }
    if (!td_lang_check_expr(s, &e->a, fold) ||
        (e->b != NULL && !td_lang_check_expr(s, &e->b, fold))) {
        return false;
    }
    inherit(e, e->a);
    inherit(e, e->b);
    return check_operator(s, slot, fold);
}

/* ---- the door ---- */

bool td_lang_check(struct td_lang_scope *scope, struct td_lang_expr **e,
                   const struct td_lang_type *want, const char *what)
{
    return td_lang_check_expr(scope, e, NULL) &&
           (want == NULL || td_lang_check_want(scope, e, want, what));
}

static bool refers(const struct td_lang_expr *e)
{
    if (e == NULL) {
        return false;
    }
    bool found =
        e->bind != TD_LANG_BIND_NONE || e->state || e->pulse || refers(e->a) || refers(e->b);
    for (const struct td_lang_expr *x = e->list; x != NULL && !found; x = x->next) {
        found = refers(x);
    }
    return found;
}

bool td_lang_constant(struct td_lang_scope *scope, struct td_lang_expr *e,
                      const struct td_lang_type *want, const char *what, struct td_lang_value *out)
{
    struct td_lang_code code;
    struct td_lang_env env = {0};
    const struct td_lang_bounds none = {0};
    if (!td_lang_check(scope, &e, want, what)) {
        return false;
    }
    if (refers(e)) {
        td_lang_error(scope->diag, e->place, "%s must be a constant", what);
        td_lang_why(scope->diag, "it is fixed when the file is loaded");
        return false;
    }
    if (td_lang_compile(scope->arena, e, &code) != TD_OK || td_lang_verify(&code, &none) != TD_OK) {
        return td_lang_check_says(scope, e, "the expression is too large", NULL);
    }
    *out = td_lang_run(&code, &env);
    if (out->quality != TD_LANG_KNOWN) {
        td_lang_error(scope->diag, e->place, "%s has no value", what);
        return false;
    }
    return true;
}

struct td_lang_type td_lang_type_of_field(const struct td_lang_field *f)
{
    switch (f->type) {
    case TD_LANG_FIELD_ANY:
        return (struct td_lang_type){.kind = TD_LANG_ANY};
    case TD_LANG_FIELD_BOOL:
        return td_lang_type_bool;
    case TD_LANG_FIELD_TEXT:
    case TD_LANG_FIELD_ENUM:
        return (struct td_lang_type){.kind = TD_LANG_TEXT, .words = f->words};
    case TD_LANG_FIELD_INT:
    case TD_LANG_FIELD_FLOAT:
    case TD_LANG_FIELD_COUNTER:
    case TD_LANG_FIELD_TIME:
    case TD_LANG_FIELD_DURATION:
    case TD_LANG_FIELD_UNIT:
        break;
    }
    return (struct td_lang_type){
        .kind = TD_LANG_NUM, .counter = f->type == TD_LANG_FIELD_COUNTER, .unit = f->unit};
}
