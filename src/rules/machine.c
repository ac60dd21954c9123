/* rules: MACHINE. In one state at a time; ways out are looked at in the order written, ALWAYS
 * first; what a state holds stands while the machine is in it. */
#include "rules/set.h"

enum {
    MOVES_MAX = 8
}; /* in one evaluation: a ring of states that are all left at once ends here */

/* Each way's condition is evaluated, whether it may be gone or not: it may have a memory. */
static bool may_go(const struct td_go *go, const struct td_inst *inst, struct td_lang_env *env)
{
    bool go_on = true;
    if (go->when.there) {
        go_on = td_lang_is_true(td_eval(env, &go->when));
    }
    if (go->after.there) {
        td_mono due = td_after(inst->entered, td_eval(env, &go->after));
        if (env->now < due) {
            env->deadline = td_mono_min(env->deadline, due);
            go_on = false;
        }
    }
    return go_on;
}

static const struct td_go *first_way(const struct td_go *gos, const struct td_inst *inst,
                                     struct td_lang_env *env)
{
    const struct td_go *way = NULL;
    for (const struct td_go *go = gos; go != NULL; go = go->next) {
        bool open = may_go(go, inst, env);
        if (open && way == NULL && go->target != inst->state) {
            way = go;
        }
    }
    return way;
}

static const struct td_go *next_way(struct td_inst *inst, struct td_lang_env *env)
{
    const struct td_statement *st = inst->statement;
    const struct td_state *s = &st->states[inst->state];
    const struct td_go *always = first_way(st->always, inst, env);
    const struct td_go *own = first_way(s->gos, inst, env);
    if (always != NULL) {
        return always;
    }
    if (own != NULL && s->min.there) {
        td_mono due = td_after(inst->entered, td_eval(env, &s->min));
        if (env->now < due) {
            env->deadline = td_mono_min(env->deadline, due);
            return NULL;
        }
    }
    return own;
}

static void move(struct td_rules *r, struct td_inst *inst, uint16_t to, struct td_lang_env *env)
{
    const struct td_statement *st = inst->statement;
    td_hold_level(r, inst, st->states[inst->state].acts, td_lang_truth(false), env);
    inst->state = to;
    inst->entered = r->now;
    env->changed = true;
    for (uint16_t c = st->states[to].cell_from; c < st->states[to].cell_to; c++) {
        struct td_lang_window *window = inst->cells[c].window;
        inst->cells[c] = (struct td_lang_cell){.window = window};
    }
    struct td_lang_value name = td_lang_text(st->states[to].name);
    td_self_set(r, inst, &name, false);
    td_buf_clear(&r->encoded);
    (void)td_buf_printf(&r->encoded, "state %.*s", TD_LANG_S(st->states[to].name));
    td_out_fired(r, inst, td_buf_slice(&r->encoded));
    inst->fired++;
}

void td_machine_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    const struct td_statement *st = inst->statement;
    for (int moves = 0; moves < MOVES_MAX; moves++) {
        const struct td_go *way = next_way(inst, env);
        if (way == NULL) {
            break;
        }
        move(r, inst, way->target, env);
    }
    td_hold_level(r, inst, st->states[inst->state].acts, td_lang_truth(true), env);
}

/* ---- INVARIANT: proven over the states when the file is loaded ---- */

struct proof {
    struct td_builder *b;
    struct td_lang_row rows[TD_INPUTS_MAX];
    struct td_lang_row *at[TD_INPUTS_MAX];
};

/* The actuators as a state leaves them: what it holds, else DEFAULT. */
static void assume(struct proof *p, const struct td_state *s)
{
    const struct td_statement *st = p->b->st;
    for (uint16_t i = 0; i < st->input_count; i++) {
        const struct td_source *source = st->inputs[i].source;
        for (uint16_t f = 0; f < source->field_count; f++) {
            bool known = source->kind == TD_SOURCE_ACTUATOR;
            p->rows[i].slots[f].now = known ? source->fields[f].fallback : td_lang_unknown();
        }
    }
    struct td_lang_env env = {.rows = p->at, .deadline = TD_NEVER};
    struct td_lang_value none[TD_LETS_MAX];
    struct td_lang_cell cells[64];
    for (size_t i = 0; i < TD_LETS_MAX; i++) {
        none[i] = td_lang_unknown();
    }
    memset(cells, 0, sizeof cells);
    env.locals = none;
    env.cells = cells;
    for (const struct td_act *act = s->acts; act != NULL; act = act->next) {
        for (const struct td_assign *a = act->assigns; a != NULL; a = a->next) {
            bool memory = p->b->scope.cells > TD_COUNT(cells);
            struct td_lang_value v = memory ? td_lang_unknown() : td_eval(&env, &a->code);
            for (uint16_t i = 0; i < st->input_count; i++) {
                if (st->inputs[i].source == act->target->self) {
                    p->rows[i].slots[a->field].now = v;
                }
            }
        }
    }
}

static void prove(struct proof *p, const struct td_lang_invariant *in, const struct td_code *code)
{
    struct td_statement *st = p->b->st;
    const struct td_lang_state *ast = p->b->ast->states;
    for (uint16_t s = 0; s < st->state_count; s++, ast = ast->next) {
        assume(p, &st->states[s]);
        struct td_lang_env env = {.rows = p->at, .deadline = TD_NEVER};
        struct td_lang_value v = td_eval(&env, code);
        if (td_lang_is_false(v)) {
            td_lang_error(p->b->diag, ast->name.place, "state %.*s breaks an INVARIANT",
                          TD_LANG_S(st->states[s].name));
            uint32_t line, column;
            td_lang_line_of(p->b->r->files[in->value->place.file].text, in->value->place.at, &line,
                            &column);
            td_lang_why(p->b->diag,
                        "the invariant in line %u is FALSE with what this state holds, "
                        "and DEFAULT for the rest",
                        line);
        } else if (!td_lang_is_true(v)) {
            td_lang_warning(p->b->diag, in->value->place, "cannot be proven in state %.*s",
                            TD_LANG_S(st->states[s].name));
            td_lang_why(p->b->diag, "a proof needs constants in HOLD, and actuators only");
        }
    }
}

bool td_invariants_check(struct td_builder *b)
{
    static const struct td_lang_type a_bool = {.kind = TD_LANG_BOOL};
    for (const struct td_lang_invariant *in = b->ast->invariants; in != NULL; in = in->next) {
        struct td_code code = {.there = false};
        struct proof p = {.b = b};
        uint16_t cells = b->scope.cells;
        if (!td_build_code(b, in->value, &a_bool, "INVARIANT", &code)) {
            return false;
        }
        if (b->scope.cells != cells || b->st->group_count > 0) {
            td_lang_error(b->diag, in->value->place, "an INVARIANT looks at the moment only");
            td_lang_try(b->diag, "take folds and words with a memory (FOR, HYST, OVER) out");
            return false;
        }
        for (uint16_t i = 0; i < b->st->input_count; i++) {
            size_t n = b->st->inputs[i].source->field_count;
            p.rows[i] = (struct td_lang_row){.stale_at = TD_NEVER, .seen = true};
            p.rows[i].slots = td_arena_alloc(&b->r->arena, (n + 1) * sizeof(struct td_lang_slot));
            p.at[i] = &p.rows[i];
            if (p.rows[i].slots == NULL) {
                return false;
            }
        }
        prove(&p, in, &code);
    }
    return true;
}
