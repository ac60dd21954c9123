/* rules: statements to programs. */
#include "rules/set.h"

static const struct td_lang_type a_bool = {.kind = TD_LANG_BOOL};
static const struct td_lang_type a_duration = {.kind = TD_LANG_NUM,
                                               .unit = {.scale = 1, .dim = {0, 0, 1}}};

static bool says(struct td_builder *b, struct td_lang_place at, const char *what,
                 const char *remedy)
{
    td_lang_error(b->diag, at, "%s", what);
    if (remedy != NULL) {
        td_lang_try(b->diag, "%s", remedy);
    }
    return false;
}

static void *make(struct td_builder *b, size_t bytes)
{
    void *p = td_arena_alloc(&b->r->arena, bytes);
    if (p == NULL && b->diag->errors == 0) {
        b->diag->errors++;
        (void)td_buf_printf(b->diag->out, "error: the rule files are too large\n");
    }
    return p;
}

void td_builder_init(struct td_builder *b, struct td_rules *r, struct td_lang_diag *diag,
                     struct td_statement *st)
{
    *b = (struct td_builder){.r = r, .diag = diag, .st = st, .ast = st != NULL ? st->stmt : NULL};
    b->scope.arena = &r->arena;
    b->scope.diag = diag;
    b->scope.resolve = td_bind;
    b->scope.ctx = b;
    if (st == NULL) { /* constants only: names lead nowhere */
        b->st = r->none;
    }
    b->st->inputs = r->lent_inputs;
    b->st->groups = r->lent_groups;
    b->st->input_count = b->st->group_count = 0;
}

static bool verified(struct td_builder *b, const struct td_lang_code *code)
{
    uint16_t inputs[TD_INPUTS_MAX + 1], groups[TD_GROUPS_MAX + 1];
    const struct td_statement *st = b->st;
    for (uint16_t i = 0; i < st->input_count; i++) {
        inputs[i] = st->inputs[i].source->field_count;
    }
    for (uint16_t i = 0; i < st->group_count; i++) {
        groups[i] = st->groups[i].source->field_count;
    }
    struct td_lang_bounds bounds = {.inputs = st->input_count,
                                    .groups = st->group_count,
                                    .keys = st->key_count,
                                    .locals = TD_LETS_MAX,
                                    .cells = b->scope.cells,
                                    .input_slots = inputs,
                                    .group_slots = groups};
    return td_lang_verify(code, &bounds) == TD_OK;
}

bool td_build_code(struct td_builder *b, struct td_lang_expr *e, const struct td_lang_type *want,
                   const char *what, struct td_code *out)
{
    if (e == NULL) {
        return true;
    }
    if (!td_lang_check(&b->scope, &e, want, what)) {
        return false;
    }
    out->there = true;
    out->pulse = e->pulse;
    if (td_lang_compile(&b->r->arena, e, &out->lang) != TD_OK || !verified(b, &out->lang)) {
        return says(b, e->place, "the expression is too large", "name parts of it with LET");
    }
    return true;
}

static bool duration(struct td_builder *b, struct td_lang_expr *e, const char *what, td_mono *out)
{
    struct td_lang_value v;
    if (e == NULL) {
        return true;
    }
    if (!td_lang_constant(&b->scope, e, &a_duration, what, &v)) {
        return false;
    }
    if (!(v.num >= 0.001 && v.num <= 366 * 86400.0)) {
        td_lang_error(b->diag, e->place, "%s is 1 ms to 366 d", what);
        return false;
    }
    *out = (td_mono)(v.num * (double)TD_NS_PER_S);
    return true;
}

/* ---- fields ---- */

static bool field_value(struct td_builder *b, struct td_lang_expr *e, const struct td_field *f,
                        const char *what, struct td_lang_value *out)
{
    return e == NULL || td_lang_constant(&b->scope, e, &f->lang, what, out);
}

static bool contract(struct td_builder *b, struct td_source *s, const struct td_lang_field *in)
{
    bool has = in->failsafe != NULL || in->min_on != NULL || in->min_off != NULL ||
               in->min_hold != NULL || in->max_per != NULL || in->fallback != NULL;
    if (s->kind == TD_SOURCE_ACTUATOR) {
        bool number = in->type == TD_LANG_FIELD_INT || in->type == TD_LANG_FIELD_FLOAT ||
                      in->type == TD_LANG_FIELD_UNIT || in->type == TD_LANG_FIELD_DURATION;
        if (!number && in->type != TD_LANG_FIELD_BOOL && in->type != TD_LANG_FIELD_ENUM) {
            return says(b, in->place, "an actuator's field is BOOL, ENUM or a number",
                        "name the words it may be: ENUM('a', 'b')");
        }
        return (in->min_on == NULL && in->min_off == NULL) || in->type == TD_LANG_FIELD_BOOL ||
               says(b, in->place, "MIN ON and MIN OFF are for BOOL", "write MIN HOLD");
    }
    return !has || s->kind == TD_SOURCE_PARAM || s->kind == TD_SOURCE_CONFIRM ||
           says(b, in->place, "DEFAULT, FAILSAFE, MIN and MAX are for fields of an ACTUATOR",
                "RANGE is what a STREAM's field may have; COALESCE gives a default");
}

static bool field_build(struct td_builder *b, struct td_source *s, const struct td_lang_field *in,
                        struct td_field *f)
{
    struct td_lang_value least = td_lang_num(0), most = td_lang_num(0);
    *f = (struct td_field){.name = in->name,
                           .type = in->type,
                           .words = in->words,
                           .lang = td_lang_type_of_field(in),
                           .fallback = td_lang_unknown(),
                           .failsafe = td_lang_unknown(),
                           .max_count = in->max_count};
    f->scale = in->payload_unit.scale / in->unit.scale;
    f->offset = (in->payload_unit.offset - in->unit.offset) / in->unit.scale;
    if (in->path.n > 0 && !td_path_parse(in->path, f->path, &f->path_count)) {
        return says(b, in->place, "the path is deeper than 8 levels", NULL);
    }
    if (in->path.n == 0) {
        f->path[0] = (struct td_path_part){in->name, -1};
        f->path_count = 1;
    }
    f->has_range = in->least != NULL;
    bool good = contract(b, s, in) && field_value(b, in->least, f, "the least value", &least) &&
                field_value(b, in->most, f, "the greatest value", &most) &&
                field_value(b, in->fallback, f, "the value", &f->fallback) &&
                field_value(b, in->failsafe, f, "FAILSAFE", &f->failsafe) &&
                duration(b, in->min_on, "MIN ON", &f->min_on) &&
                duration(b, in->min_off, "MIN OFF", &f->min_off) &&
                duration(b, in->min_hold, "MIN HOLD", &f->min_hold) &&
                duration(b, in->max_per, "the time of MAX", &f->max_per);
    if (!good || !f->has_range) {
        return good;
    }
    f->least = least.num;
    f->most = most.num;
    if (f->lang.kind != TD_LANG_NUM) {
        return says(b, in->place, "RANGE is for numbers", NULL);
    }
    if (f->least > f->most) {
        return says(b, in->place, "the range is empty", "write the smaller end first");
    }
    bool out = f->fallback.kind == TD_LANG_NUM &&
               !(f->fallback.num >= f->least && f->fallback.num <= f->most);
    return !out || says(b, in->place, "the value lies outside its own RANGE", NULL);
}

bool td_fields_build(struct td_builder *b, struct td_source *s, const struct td_lang_field *list)
{
    size_t count = 0;
    for (const struct td_lang_field *f = list; f != NULL; f = f->next) {
        count++;
    }
    if (count > TD_FIELDS_MAX) {
        return says(b, list->place, "a stream has at most 64 fields", "declare a second one");
    }
    if (count == 0 && s->kind == TD_SOURCE_SELECT) {
        return true; /* as they are named */
    }
    s->fields = make(b, (count + 1) * sizeof *s->fields);
    if (s->fields == NULL) {
        return false;
    }
    if (count == 0) {
        s->fields[0] = (struct td_field){
            .name = TD_STR("value"), .scale = 1, .path_count = 1, .fallback = td_lang_unknown()};
        s->fields[0].path[0] = (struct td_path_part){TD_STR("value"), -1};
        s->field_count = 1;
    }
    bool good = true;
    for (const struct td_lang_field *f = list; f != NULL; f = f->next) {
        good &= field_build(b, s, f, &s->fields[s->field_count]);
        s->field_count++;
        for (uint16_t i = 0; i + 1 < s->field_count; i++) {
            if (td_slice_eq(s->fields[i].name, f->name)) {
                good = says(b, f->place, "two fields have this name",
                            "rename one; = $.path says "
                            "where it comes from");
            }
        }
    }
    return good;
}

/* ---- what goes out ---- */

/* 'a/+room': each place must be a key of the statement. */
static bool build_topic(struct td_builder *b, struct td_lang_place at, td_slice text,
                        struct td_pattern *out)
{
    if (!td_pattern_parse(&b->r->arena, b->diag, at, text, false, out)) {
        return false;
    }
    for (uint16_t i = 0; i < out->count; i++) {
        struct td_level *l = &out->levels[i];
        int key = -1;
        for (uint8_t k = 0; k < b->st->key_count && l->key >= 0; k++) {
            key = td_slice_eq(b->st->keys[k], l->text) ? k : key;
        }
        if (l->key >= 0 && key < 0) {
            td_lang_error(b->diag, at, "%.*s is no key of this statement", TD_LANG_S(l->text));
            td_lang_why(b->diag,
                        "topics are made of keys only, so that it is known beforehand where "
                        "a rule may write");
            td_slice near = td_lang_nearest(l->text, b->st->keys, b->st->key_count);
            if (near.n > 0) {
                td_lang_try(b->diag, "did you mean +%.*s?", TD_LANG_S(near));
            }
            return false;
        }
        l->key = (int8_t)key;
    }
    return true;
}

bool td_build_object(struct td_builder *b, const struct td_lang_object *o, struct td_obj **out)
{
    for (; o != NULL; o = o->next) {
        struct td_obj *x = make(b, sizeof *x);
        if (x == NULL) {
            return false;
        }
        x->key = o->key;
        x->nested = o->value == NULL;
        if (!(x->nested ? td_build_object(b, o->members, &x->members)
                        : td_build_code(b, o->value, NULL, "the member", &x->code))) {
            return false;
        }
        *out = x;
        out = &x->next;
    }
    return true;
}

static bool build_send(struct td_builder *b, const struct td_lang_act *in, struct td_act *act)
{
    act->qos = (uint8_t)in->qos;
    act->retain = in->retain;
    act->durable = in->durable;
    act->idempotent = in->idempotent;
    act->is_object = in->is_object;
    return build_topic(b, in->topic_place, in->topic, &act->topic) &&
           td_build_object(b, in->object, &act->object) &&
           td_build_code(b, in->value, NULL, "what is sent", &act->value);
}

/* ---- HOLD ---- */

static bool hold_target(struct td_builder *b, const struct td_lang_assign *a, struct td_act *act)
{
    td_slice extra;
    uint8_t extra_count, covered = 0;
    struct td_source *s = td_source_find(b->r, a->ref->text);
    if (s == NULL || s->kind != TD_SOURCE_ACTUATOR) {
        td_lang_error(b->diag, a->ref->place, "%.*s is not an actuator", TD_LANG_S(a->ref->text));
        td_lang_why(b->diag, "HOLD places a bid on a field of an ACTUATOR");
        td_lang_try(b->diag, "SEND sends a message to any topic");
        return false;
    }
    if (!td_bind_keys(b, a->ref, s, &act->at, &extra, &extra_count)) {
        return false;
    }
    if (extra_count > 0) {
        td_lang_error(b->diag, a->ref->place, "which %.*s? The statement has no key %.*s",
                      TD_LANG_S(s->name), TD_LANG_S(extra));
        td_lang_try(b->diag, "add PER %.*s, or pick one: %.*s[%.*s: 'x']", TD_LANG_S(extra),
                    TD_LANG_S(s->name), TD_LANG_S(extra));
        return false;
    }
    for (uint8_t i = 0; i < s->pattern.key_count; i++) {
        covered = (uint8_t)(covered + (act->at.from[i] != UINT8_MAX));
    }
    if (covered < b->st->key_count) {
        td_lang_error(b->diag, a->ref->place, "several keys of this statement would hold one %.*s",
                      TD_LANG_S(s->name));
        td_lang_why(b->diag, "each slot of an actuator has one owner");
        td_lang_try(b->diag, "make it a statement PER the keys of %.*s and fold: ANY(..)",
                    TD_LANG_S(s->name));
        return false;
    }
    act->target = s->statement;
    return true;
}

static const struct td_field *hold_field(struct td_builder *b, const struct td_act *act,
                                         td_slice name, struct td_lang_place at, uint16_t *index)
{
    const struct td_source *s = act->target->self;
    td_slice all[TD_FIELDS_MAX] = {{NULL, 0}};
    for (uint16_t i = 0; i < s->field_count; i++) {
        if (td_slice_eq(s->fields[i].name, name) || (name.n == 0 && s->field_count == 1)) {
            *index = i;
            return &s->fields[i];
        }
        all[i] = s->fields[i].name;
    }
    td_lang_error(b->diag, at, "%.*s has no field %.*s", TD_LANG_S(s->name),
                  TD_LANG_S(name.n > 0 ? name : TD_STR("of that name")));
    td_slice near = td_lang_nearest(name, all, s->field_count);
    td_lang_try(b->diag, "its fields begin with %.*s", TD_LANG_S(near.n > 0 ? near : all[0]));
    return NULL;
}

/* Two statements that can meet in a slot are refused: who wins must be written down. */
static bool claim(struct td_builder *b, const struct td_act *act, uint16_t field,
                  struct td_lang_place at)
{
    struct td_statement *t = act->target;
    size_t n = (size_t)t->self->field_count * (TD_SLOTS + 1);
    if (t->holders == NULL) {
        t->holders = make(b, n * sizeof(struct td_statement *));
        if (t->holders == NULL) {
            return false;
        }
    }
    struct td_statement **owner = &t->holders[(size_t)field * (TD_SLOTS + 1) + act->slot];
    bool again = *owner == b->st && b->st->kind == TD_LANG_RULE;
    if (*owner != NULL && (*owner != b->st || again)) {
        td_lang_error(b->diag, at, "two bids meet in slot %u of %.*s.%.*s", act->slot,
                      TD_LANG_S(t->name), TD_LANG_S(t->self->fields[field].name));
        td_lang_why(b->diag, "%.*s already holds it there", TD_LANG_S((*owner)->name));
        td_lang_try(b->diag, "say who is stronger: PRIORITY 11 wins over PRIORITY 12");
        return false;
    }
    *owner = b->st;
    return true;
}

static bool add_assign(struct td_builder *b, struct td_act *act, td_slice field,
                       struct td_lang_place at, struct td_lang_expr *value)
{
    struct td_assign *x = make(b, sizeof *x);
    const struct td_field *f = x != NULL ? hold_field(b, act, field, at, &x->field) : NULL;
    if (f == NULL || !claim(b, act, x->field, at)) {
        return false;
    }
    if (value == NULL) {
        return says(b, at, "a field holds one value, not an object", NULL);
    }
    struct td_assign **tail = &act->assigns;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = x;
    return td_build_code(b, value, &f->lang, "the value held", &x->code);
}

static unsigned own_slot(const struct td_statement *st)
{
    static const struct {
        enum td_lang_stmt_kind kind;
        unsigned slot;
    } slots[] = {{TD_LANG_INTERLOCK, 2}, {TD_LANG_ALARM, 5}, {TD_LANG_MACHINE, 10}};
    for (size_t i = 0; i < TD_COUNT(slots); i++) {
        if (slots[i].kind == st->kind) {
            return slots[i].slot;
        }
    }
    return 12;
}

static bool build_hold(struct td_builder *b, const struct td_lang_act *in, struct td_act *act)
{
    unsigned slot = in->priority > 0 ? in->priority : b->ast->priority;
    act->slot = (uint8_t)(slot > 0 ? slot : own_slot(b->st));
    for (const struct td_lang_assign *a = in->assigns; a != NULL; a = a->next) {
        struct td_act one = {.slot = act->slot};
        if (!hold_target(b, a, &one)) {
            return false;
        }
        if (act->target != NULL && act->target != one.target) {
            return says(b, a->ref->place, "one HOLD is for one actuator", "write a second HOLD");
        }
        act->target = one.target;
        act->at = one.at;
        if (a->object == NULL && !add_assign(b, act, a->ref->field, a->ref->place, a->value)) {
            return false;
        }
        for (const struct td_lang_object *o = a->object; o != NULL; o = o->next) {
            if (!add_assign(b, act, o->key, o->place, o->value)) {
                return false;
            }
        }
    }
    return td_build_code(b, in->term, &a_duration, "the term behind FOR", &act->term);
}

static bool build_expect(struct td_builder *b, const struct td_lang_act *in, struct td_act *act)
{
    if (b->st->expect_count == TD_EXPECTS_MAX) {
        return says(b, in->place, "a statement has at most 8 EXPECT", "split it");
    }
    act->expect = b->st->expect_count++;
    act->abort = in->abort;
    act->target = td_alarm_implied(b->r, b->diag, &in->alarm, b->st->keys, b->st->key_count);
    return act->target != NULL &&
           td_build_code(b, in->expect, &a_bool, "what is expected", &act->value) &&
           td_build_code(b, in->within, &a_duration, "the time behind WITHIN", &act->within);
}

/* `level`: HOLD lasts while something is TRUE; else what is done once, when it fires. */
static bool build_acts(struct td_builder *b, const struct td_lang_act *in, bool level,
                       struct td_act **out)
{
    for (; in != NULL; in = in->next) {
        struct td_act *act = make(b, sizeof *act);
        if (act == NULL) {
            return false;
        }
        act->kind = in->kind;
        if (level && in->kind != TD_LANG_ACT_HOLD) {
            return says(b, in->place, "this happens at a moment, but nothing says when",
                        "add WHEN or EVERY to the rule");
        }
        if (in->kind == TD_LANG_ACT_HOLD && level != (in->term == NULL)) {
            return level ? says(b, in->place,
                                "this is held while the rule holds, so FOR has no place",
                                "add WHEN or EVERY for a bid with a term")
                         : says(b, in->place, "nothing says how long this is held",
                                "add FOR and a duration, or take WHEN out and use WHILE");
        }
        bool good = in->kind == TD_LANG_ACT_HOLD   ? build_hold(b, in, act)
                    : in->kind == TD_LANG_ACT_SEND ? build_send(b, in, act)
                                                   : build_expect(b, in, act);
        if (!good) {
            return false;
        }
        *out = act;
        out = &act->next;
    }
    return true;
}

/* ---- clauses ---- */

static bool build_lets(struct td_builder *b)
{
    size_t n = 0;
    for (const struct td_lang_let *l = b->ast->lets; l != NULL; l = l->next) {
        if (++n > TD_LETS_MAX) {
            return says(b, l->name.place, "a statement has at most 64 LET", "split it");
        }
    }
    b->st->lets = make(b, (n + 1) * sizeof *b->st->lets);
    if (b->st->lets == NULL) {
        return false;
    }
    for (struct td_lang_let *l = b->ast->lets; l != NULL; l = l->next) {
        struct td_code *code = &b->st->lets[b->st->let_count];
        b->let_end = l;
        if (!td_lang_check(&b->scope, &l->value, NULL, "LET")) {
            return false;
        }
        if (l->value->type.kind == TD_LANG_NUM && l->value->type.bare) {
            l->value->type.bare = false;
        }
        code->there = true;
        code->pulse = l->value->pulse;
        if (td_lang_compile(&b->r->arena, l->value, &code->lang) != TD_OK ||
            !verified(b, &code->lang)) {
            return says(b, l->value->place, "the expression is too large", NULL);
        }
        b->st->let_count++;
    }
    b->let_end = NULL;
    return true;
}

static bool build_rule(struct td_builder *b)
{
    const struct td_lang_stmt *s = b->ast;
    struct td_statement *st = b->st;
    bool pulse = s->when != NULL || s->every != NULL;
    if (s->when != NULL && s->every != NULL) {
        return says(b, s->name.place, "a rule fires WHEN something is so or EVERY so often",
                    "with EVERY, write the condition behind WHILE");
    }
    if (s->once != NULL && s->when == NULL) {
        return says(b, s->once->place, "ONCE UNTIL belongs to WHEN", NULL);
    }
    if (s->acts == NULL) {
        return says(b, s->name.place, "the rule does nothing", "add HOLD or SEND");
    }
    st->max_count = s->max_count;
    return td_build_code(b, s->when, &a_bool, "WHEN", &st->when) &&
           td_build_code(b, s->while_, &a_bool, "WHILE", &st->while_) &&
           td_build_code(b, s->unless, &a_bool, "UNLESS", &st->unless) &&
           td_build_code(b, s->once, &a_bool, "ONCE UNTIL", &st->once) &&
           duration(b, s->every, "the time behind EVERY", &st->every) &&
           duration(b, s->max_per, "the time of MAX", &st->max_per) &&
           build_acts(b, s->acts, !pulse, &st->acts);
}

static bool build_alarm(struct td_builder *b)
{
    const struct td_lang_stmt *s = b->ast;
    struct td_statement *st = b->st;
    if (s->clear != NULL && s->when == NULL) {
        return says(b, s->clear->place, "CLEAR WHEN belongs to WHEN", NULL);
    }
    return td_build_code(b, s->when, &a_bool, "WHEN", &st->when) &&
           td_build_code(b, s->unless, &a_bool, "UNLESS", &st->unless) &&
           td_build_code(b, s->clear, &a_bool, "CLEAR WHEN", &st->clear) &&
           build_acts(b, s->on_raise, false, &st->on_raise) &&
           build_acts(b, s->on_clear, false, &st->on_clear) &&
           build_acts(b, s->while_active, true, &st->while_active);
}

/* ---- MACHINE ---- */

static bool find_state(struct td_builder *b, const struct td_lang_name *name, uint16_t *out)
{
    td_slice all[256];
    uint16_t n = 0;
    for (const struct td_lang_state *s = b->ast->states; s != NULL && n < TD_COUNT(all);
         s = s->next) {
        if (td_slice_eq(s->name.name, name->name)) {
            *out = n;
            return true;
        }
        all[n++] = s->name.name;
    }
    td_lang_error(b->diag, name->place, "the machine has no state %.*s", TD_LANG_S(name->name));
    td_slice near = td_lang_nearest(name->name, all, n);
    if (near.n > 0) {
        td_lang_try(b->diag, "did you mean %.*s?", TD_LANG_S(near));
    }
    return false;
}

static bool build_gos(struct td_builder *b, const struct td_lang_go *in, struct td_go **out)
{
    for (; in != NULL; in = in->next) {
        struct td_go *go = make(b, sizeof *go);
        if (go == NULL || !find_state(b, &in->target, &go->target) ||
            !td_build_code(b, in->when, &a_bool, "WHEN", &go->when) ||
            !td_build_code(b, in->after, &a_duration, "the time behind AFTER", &go->after)) {
            return false;
        }
        *out = go;
        out = &go->next;
    }
    return true;
}

static bool build_state(struct td_builder *b, const struct td_lang_state *in, struct td_state *out)
{
    out->name = in->name.name;
    out->cell_from = b->scope.cells;
    bool good = td_build_code(b, in->min, &a_duration, "the time behind MIN", &out->min) &&
                build_acts(b, in->acts, true, &out->acts) && build_gos(b, in->gos, &out->gos);
    out->cell_to = b->scope.cells;
    return good;
}

static bool build_machine(struct td_builder *b)
{
    struct td_statement *st = b->st;
    size_t n = 0;
    for (const struct td_lang_state *s = b->ast->states; s != NULL; s = s->next) {
        n++;
    }
    if (n > 256) {
        return says(b, st->stmt->name.place, "a machine has at most 256 states", NULL);
    }
    st->states = make(b, n * sizeof *st->states);
    if (st->states == NULL || !build_gos(b, b->ast->always, &st->always)) {
        return false;
    }
    for (const struct td_lang_state *s = b->ast->states; s != NULL; s = s->next) {
        uint16_t at;
        if (!find_state(b, &s->name, &at) || at != st->state_count) {
            return says(b, s->name.place, "two states have this name", "rename one");
        }
        if (!build_state(b, s, &st->states[st->state_count])) {
            return false;
        }
        st->state_count++;
    }
    return td_invariants_check(b);
}

/* ---- ACTUATOR, CREATE ---- */

static bool build_actuator(struct td_builder *b)
{
    const struct td_lang_stmt *s = b->ast;
    struct td_statement *st = b->st;
    struct td_source *c = st->confirm;
    if (c != NULL && (c->pattern.key_count != st->key_count)) {
        return says(b, s->confirm_place, "the report's topic has other keys than the command's",
                    "use the same +names in both");
    }
    for (uint8_t i = 0; c != NULL && i < st->key_count; i++) {
        if (!td_slice_eq(c->pattern.keys[i], st->keys[i])) {
            return says(b, s->confirm_place, "the report's topic has other keys than the command's",
                        "use the same +names in both, in the same order");
        }
    }
    return duration(b, s->lease, "LEASE", &st->lease) &&
           duration(b, s->confirm_within, "the time behind WITHIN", &st->confirm_within);
}

static bool build_create(struct td_builder *b)
{
    const struct td_lang_stmt *s = b->ast;
    struct td_statement *st = b->st;
    struct td_item **tail = &st->items;
    b->from = st->confirm;
    for (const struct td_lang_item *in = s->items; in != NULL; in = in->next) {
        struct td_item *item = make(b, sizeof *item);
        if (item == NULL || !td_build_code(b, in->value, NULL, "the value", &item->code)) {
            return false;
        }
        item->name = in->name;
        *tail = item;
        tail = &item->next;
    }
    return td_build_code(b, s->where, &a_bool, "WHERE", &st->when) &&
           build_topic(b, s->into_place, s->into, &st->topic);
}

/* ---- which rows bring key tuples ---- */

static bool covers(const struct td_statement *st, const struct td_input *in,
                   uint8_t from[TD_KEYS_MAX])
{
    uint8_t found = 0;
    for (uint8_t i = 0; i < in->source->pattern.key_count; i++) {
        if (in->from[i] != UINT8_MAX) {
            from[in->from[i]] = i;
            found++;
        }
    }
    return found == st->key_count;
}

static bool add_creators(struct td_builder *b, const struct td_input *list, uint16_t count)
{
    bool any = false;
    for (uint16_t i = 0; i < count; i++) {
        struct td_creator c = {.statement = b->st};
        if (!covers(b->st, &list[i], c.from)) {
            continue;
        }
        struct td_creator *copy = make(b, sizeof *copy);
        if (copy == NULL) {
            return false;
        }
        *copy = c;
        memcpy(copy->literal, list[i].literal, sizeof copy->literal);
        struct td_creator **tail = &list[i].source->creators;
        while (*tail != NULL) {
            tail = &(*tail)->next;
        }
        *tail = copy;
        any = true;
    }
    return any;
}

static bool creators(struct td_builder *b)
{
    struct td_statement *st = b->st;
    bool made = st->kind == TD_LANG_ACTUATOR || st->kind == TD_LANG_CREATE ||
                (st->kind == TD_LANG_ALARM && st->stmt->when == NULL);
    if (st->key_count == 0 || made) {
        return true; /* one instance, or made by who bids, raises, sends */
    }
    bool rows = add_creators(b, st->inputs, st->input_count);
    bool groups = add_creators(b, st->groups, st->group_count);
    if (!rows && !groups && b->diag->errors == 0) {
        td_lang_error(b->diag, st->stmt->name.place, "nothing brings the keys of %.*s",
                      TD_LANG_S(st->name));
        td_lang_why(b->diag,
                    "it runs for each key tuple that a stream it reads has, and none has all "
                    "of them");
        td_lang_try(b->diag, "read a stream whose topic binds all its keys, or shorten PER");
        return false;
    }
    return true;
}

bool td_builder_done(struct td_builder *b)
{
    struct td_statement *st = b->st;
    st->cell_count = b->scope.cells;
    st->span_count = b->scope.span_count;
    st->spans = make(b, (b->scope.span_count + 1u) * sizeof *st->spans);
    struct td_input *inputs = make(b, (st->input_count + 1u) * sizeof *inputs);
    struct td_input *groups = make(b, (st->group_count + 1u) * sizeof *groups);
    if (st->spans == NULL || inputs == NULL || groups == NULL) {
        return false;
    }
    memcpy(st->spans, b->scope.spans, b->scope.span_count * sizeof *st->spans);
    for (uint16_t i = 0; i < st->input_count; i++) {
        st->inputs[i].source->read = true;
    }
    for (uint16_t i = 0; i < st->group_count; i++) {
        st->groups[i].source->read = true;
    }
    memcpy(inputs, st->inputs, st->input_count * sizeof *inputs);
    memcpy(groups, st->groups, st->group_count * sizeof *groups);
    st->inputs = inputs;
    st->groups = groups;
    return true;
}

bool td_build_statement(struct td_rules *r, struct td_lang_diag *diag, struct td_statement *st)
{
    static bool (*const builders[])(struct td_builder *) = {
        [TD_LANG_RULE] = build_rule,         [TD_LANG_INTERLOCK] = build_rule,
        [TD_LANG_ALARM] = build_alarm,       [TD_LANG_MACHINE] = build_machine,
        [TD_LANG_ACTUATOR] = build_actuator, [TD_LANG_CREATE] = build_create,
    };
    struct td_builder b;
    if (st->stmt == NULL) {
        return true; /* an alarm that nobody declared */
    }
    td_builder_init(&b, r, diag, st);
    return build_lets(&b) && builders[st->kind](&b) && creators(&b) && td_builder_done(&b);
}
