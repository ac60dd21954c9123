/* lang: expressions by table, and random ones three ways: compiled and run, walked as a tree, and
 * with what the verifier thinks of programs that nobody compiled. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lang/vm.h"

/* A little world: input 0 has fields a b c (plain), t (°C), p (%), d (s), x y (BOOL), w (TEXT);
 * group 0 holds rows of the same fields, named g.a, .. */
enum { A, B, C, T, P, D, X, Y, W, FIELDS };

static const char *const names[FIELDS] = {"a", "b", "c", "t", "p", "d", "x", "y", "w"};

struct world {
    struct td_arena arena;
    struct td_buf said;
    struct td_lang_source source;
    struct td_lang_diag diag;
    struct td_lang_scope scope;
    struct td_lang_slot slots[4][FIELDS];
    struct td_lang_row rows[4]; /* 0: the input, 1..3: the group */
    struct td_lang_row *at[4];
    struct td_lang_group group;
    struct td_lang_group *groups[1];
    struct td_lang_cell cells[64], twins[64];
    struct td_lang_env env;
    struct td_lang_expr *tree;
    struct td_lang_code code;
    char rule[2048];
};

static struct td_lang_type type_of(int field)
{
    struct td_lang_type t = {.kind = TD_LANG_NUM, .unit = td_lang_unit_one};
    bool lone;
    if (field == X || field == Y) {
        t.kind = TD_LANG_BOOL;
    } else if (field == W) {
        t.kind = TD_LANG_TEXT;
    } else if (field == T) {
        (void)td_lang_unit_read(TD_STR("°C"), &t.unit, &lone);
    } else if (field == P) {
        (void)td_lang_unit_read(TD_STR("%"), &t.unit, &lone);
    } else if (field == D) {
        t.unit = td_lang_unit_second;
    }
    return t;
}

static bool resolve(void *ctx, struct td_lang_expr *e, struct td_lang_expr *fold, bool stream)
{
    (void)ctx;
    bool in_group = td_slice_eq(e->text, TD_STR("g"));
    td_slice name = in_group || stream ? e->field : e->text;
    for (int f = 0; f < FIELDS; f++) {
        if (td_slice_eq(name, td_slice_of(names[f])) || stream) {
            e->slot = (uint16_t)(stream ? 0 : f);
            e->type = type_of(e->slot);
            e->bind = in_group ? TD_LANG_BIND_ROW : TD_LANG_BIND_FIELD;
            if (in_group && fold != NULL) {
                fold->input = 0;
            }
            return !in_group || fold != NULL;
        }
    }
    return false;
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    td_arena_init(&w->arena, 0);
    td_buf_init(&w->said, 1 << 16);
    w->diag = (struct td_lang_diag){.sources = &w->source, .out = &w->said};
    w->scope = (struct td_lang_scope){
        .arena = &w->arena, .diag = &w->diag, .resolve = resolve, .elapsed = true};
    for (int r = 0; r < 4; r++) {
        w->rows[r] = (struct td_lang_row){.slots = w->slots[r], .stale_at = TD_NEVER, .seen = true};
        w->at[r] = &w->rows[r];
        for (int f = 0; f < FIELDS; f++) {
            w->slots[r][f].now = w->slots[r][f].was = td_lang_unknown();
        }
    }
    w->group = (struct td_lang_group){.rows = w->at + 1, .count = 3};
    w->groups[0] = &w->group;
    w->env = (struct td_lang_env){.rows = w->at,
                                  .groups = w->groups,
                                  .cells = w->cells,
                                  .now = 1000 * TD_NS_PER_S,
                                  .turn = 1,
                                  .deadline = TD_NEVER};
}

static void world_fini(struct world *w)
{
    td_arena_fini(&w->arena);
    td_buf_fini(&w->said);
}

static struct td_lang_bounds bounds_of(const struct world *w)
{
    static const uint16_t slots[1] = {FIELDS};
    return (struct td_lang_bounds){.inputs = 1,
                                   .groups = 1,
                                   .cells = w->scope.cells,
                                   .input_slots = slots,
                                   .group_slots = slots};
}

/* Parses, checks, compiles, verifies; false: refused. */
static bool build(struct world *w, const char *text)
{
    struct td_lang_stmt *list = NULL;
    (void)snprintf(w->rule, sizeof w->rule, "CREATE RULE r AS SELECT %s AS v FROM 'x' INTO 'y';",
                   text);
    w->source = (struct td_lang_source){TD_STR("e"), td_slice_of(w->rule)};
    if (td_lang_parse(&w->arena, &w->diag, 0, &list) != TD_OK || list == NULL) {
        return false;
    }
    w->tree = list->items->value;
    if (!td_lang_check(&w->scope, &w->tree, NULL, "it")) {
        return false;
    }
    assert_int_equal(TD_OK, td_lang_compile(&w->arena, w->tree, &w->code));
    struct td_lang_bounds bounds = bounds_of(w);
    if (td_lang_verify(&w->code, &bounds) != TD_OK) {
        fail_msg("the verifier refuses what was compiled from: %s", text);
    }
    return true;
}

static void put(struct world *w, int row, int field, struct td_lang_value v)
{
    w->slots[row][field].now = v;
}

/* ---- by table ---- */

static void expressions_give_what_they_should(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"1 + 2 * 3", "7"},
        {"(1 + 2) * 3", "9"},
        {"10 - 4 - 3", "3"},
        {"-a + 1", "-4"},
        {"a / 0", "UNKNOWN"},
        {"c + 1", "UNKNOWN"},
        {"b + 1", "11 (STALE)"},
        {"b > 1", "UNKNOWN"},
        {"a > 1", "TRUE"},
        {"a > 1 OR c > 1", "TRUE"},
        {"c > 1 OR a > 1", "TRUE"},
        {"a < 1 AND c > 1", "FALSE"},
        {"c > 1 AND a > 1", "UNKNOWN"},
        {"NOT c > 1", "UNKNOWN"},
        {"NOT NOT x", "TRUE"},
        {"x AND NOT y", "TRUE"},
        {"a IN (1, 5, 7)", "TRUE"},
        {"a NOT IN (1, 5, 7)", "FALSE"},
        {"a IN (1, c)", "UNKNOWN"},
        {"a IN 1..5", "TRUE"},
        {"a NOT IN 1..4", "TRUE"},
        {"w = 'hello'", "TRUE"},
        {"w IN ('a', 'hello')", "TRUE"},
        {"w <> 'hello'", "FALSE"},
        {"a IS KNOWN", "TRUE"},
        {"b IS STALE", "TRUE"},
        {"c IS UNKNOWN", "TRUE"},
        {"c IS NOT UNKNOWN", "FALSE"},
        {"COALESCE(c, b, a)", "5"},
        {"COALESCE(c, c)", "UNKNOWN"},
        {"IF(x, 1, 2)", "1"},
        {"IF(c > 1, 1, 2)", "UNKNOWN"},
        {"CLAMP(a, 6, 9)", "6"},
        {"CLAMP(a, 1, 3)", "3"},
        {"LEAST(a, 3, 9)", "3"},
        {"GREATEST(a, c)", "UNKNOWN"},
        {"MAX(a, 9)", "9"},
        {"ROUND(2.567, 1)", "2.6"},
        {"ROUND(-2.5)", "-3"},
        {"FLOOR(-2.5)", "-3"},
        {"CEIL(2.1)", "3"},
        {"ABS(-3)", "3"},
        {"SQRT(-1)", "UNKNOWN"},
        {"LN(EXP(2))", "2"},
        {"STEP(a, 1, 5, 2, 8, 3)", "2"},
        {"STEP(c, 1, 5, 2)", "UNKNOWN"},
        {"t > 68°F", "TRUE"},
        {"t - 10°C", "15"},
        {"t + 5K", "30"},
        {"t - 0.5", "24.5"},
        {"p * p", "0.25"},
        {"p > 40", "TRUE"},
        {"p * 2", "100"},
        {"d > 1m", "TRUE"},
        {"d / 1s", "90"},
        {"1h30m / 1m", "90"},
        {"36km/h / 1m/s", "10"},
        {"ELAPSED / 1s", "0"},
        {"SUM(g.a)", "3"},
        {"AVG(g.a)", "1.5"},
        {"MIN(g.a)", "1"},
        {"MAX(g.a)", "2"},
        {"COUNT(g)", "3"},
        {"COUNT(g.a)", "2"},
        {"COUNT(g.a > 1)", "1"},
        {"ANY(g.a > 1)", "TRUE"},
        {"ANY(g.a > 2)", "UNKNOWN"},
        {"ALL(g.a > 1)", "FALSE"},
        {"ALL(g.a > 0)", "UNKNOWN"},
        {"ANY(g.a = a - 3)", "TRUE"},
        {"SUM(g.b)", "UNKNOWN"},
        {"COUNT(g.b)", "0"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        static struct world w;
        struct td_buf out;
        world_init(&w);
        td_buf_init(&out, 100);
        if (!build(&w, cases[i].text)) {
            fail_msg("%s: %.*s", cases[i].text, (int)w.said.n, (const char *)w.said.p);
        }
        put(&w, 0, A, td_lang_num(5));
        put(&w, 0, B, td_lang_num(10));
        w.slots[0][B].now.quality = TD_LANG_STALE;
        put(&w, 0, T, td_lang_num(25));
        put(&w, 0, P, td_lang_num(50));
        put(&w, 0, D, td_lang_num(90));
        put(&w, 0, X, td_lang_truth(true));
        put(&w, 0, Y, td_lang_truth(false));
        put(&w, 0, W, td_lang_text(TD_STR("hello")));
        put(&w, 1, A, td_lang_num(1));
        put(&w, 3, A, td_lang_num(2));
        assert_int_equal(TD_OK, td_lang_value_print(&out, td_lang_run(&w.code, &w.env)));
        if (!td_slice_eq(td_buf_slice(&out), td_slice_of(cases[i].value))) {
            fail_msg("%s = %.*s, not %s", cases[i].text, (int)out.n, (const char *)out.p,
                     cases[i].value);
        }
        td_buf_fini(&out);
        world_fini(&w);
    }
}

/* ---- the slow, obvious way ---- */

static enum td_lang_logic walk_logic(struct td_lang_value v)
{
    bool known = v.kind == TD_LANG_BOOL && v.quality == TD_LANG_KNOWN;
    return !known ? LOGIC_UNKNOWN : v.truth ? LOGIC_TRUE : LOGIC_FALSE;
}

static struct td_lang_value walk(struct world *w, const struct td_lang_expr *e,
                                 const struct td_lang_row *row);

static struct td_lang_value walk_ref(struct world *w, const struct td_lang_expr *e,
                                     const struct td_lang_row *row)
{
    const struct td_lang_row *from = e->bind == TD_LANG_BIND_ROW ? row : &w->rows[0];
    struct td_lang_value v = from->slots[e->slot].now;
    if (w->env.now > from->stale_at && v.quality == TD_LANG_KNOWN) {
        v.quality = TD_LANG_STALE;
    }
    return v;
}

static struct td_lang_value walk_fold(struct world *w, const struct td_lang_expr *e)
{
    double sum = 0, best = 0;
    int count = 0, yes = 0, no = 0, open = 0;
    for (uint32_t i = 0; i < w->group.count; i++) {
        const struct td_lang_row *row = w->group.rows[i];
        if (!row->seen) {
            continue;
        }
        struct td_lang_value v = walk(w, e->a, row);
        enum td_lang_logic l = walk_logic(v);
        yes += l == LOGIC_TRUE;
        no += l == LOGIC_FALSE;
        open += l == LOGIC_UNKNOWN;
        if (v.quality == TD_LANG_KNOWN && v.kind == TD_LANG_NUM) {
            bool first = count == 0;
            sum += v.num;
            best =
                first || (e->func == TD_LANG_FUNC_MIN ? v.num < best : v.num > best) ? v.num : best;
        }
        count += v.quality == TD_LANG_KNOWN && v.kind != TD_LANG_BOOL;
    }
    switch ((int)e->func) {
    case TD_LANG_FUNC_ANY:
        return yes > 0 ? td_lang_truth(true) : open > 0 ? td_lang_unknown() : td_lang_truth(false);
    case TD_LANG_FUNC_ALL:
        return no > 0 ? td_lang_truth(false) : open > 0 ? td_lang_unknown() : td_lang_truth(true);
    case TD_LANG_FUNC_COUNT:
        return td_lang_num(count + yes);
    case TD_LANG_FUNC_SUM:
        return count > 0 ? td_lang_num(sum) : td_lang_unknown();
    case TD_LANG_FUNC_AVG:
        return count > 0 ? td_lang_num(sum / count) : td_lang_unknown();
    default:
        return count > 0 ? td_lang_num(best) : td_lang_unknown();
    }
}

static struct td_lang_value walk_pair(enum td_lang_op op, struct td_lang_value a,
                                      struct td_lang_value b)
{
    bool numbers = a.kind == TD_LANG_NUM && b.kind == TD_LANG_NUM;
    if (op == TD_LANG_OP_AND || op == TD_LANG_OP_OR) {
        int x = (int)walk_logic(a), y = (int)walk_logic(b);
        int decides = op == TD_LANG_OP_OR ? LOGIC_TRUE : LOGIC_FALSE;
        bool open = x == LOGIC_UNKNOWN || y == LOGIC_UNKNOWN;
        return x == decides || y == decides ? td_lang_truth(decides == LOGIC_TRUE)
               : open                       ? td_lang_unknown()
                                            : td_lang_truth(decides != LOGIC_TRUE);
    }
    if (op <= TD_LANG_OP_DIV) {
        double r = op == TD_LANG_OP_ADD   ? a.num + b.num
                   : op == TD_LANG_OP_SUB ? a.num - b.num
                   : op == TD_LANG_OP_MUL ? a.num * b.num
                                          : a.num / b.num;
        struct td_lang_value v = numbers ? td_lang_num(r) : td_lang_unknown();
        uint8_t worse = a.quality > b.quality ? a.quality : b.quality;
        v.quality = worse > v.quality ? worse : v.quality;
        return v;
    }
    if (a.quality != TD_LANG_KNOWN || b.quality != TD_LANG_KNOWN || a.kind != b.kind) {
        return td_lang_unknown();
    }
    bool eq = a.kind == TD_LANG_TEXT   ? td_slice_eq(a.text, b.text)
              : a.kind == TD_LANG_BOOL ? a.truth == b.truth
                                       : !(a.num < b.num) && !(a.num > b.num);
    switch ((int)op) {
    case TD_LANG_OP_EQ:
        return td_lang_truth(eq);
    case TD_LANG_OP_NE:
        return td_lang_truth(!eq);
    case TD_LANG_OP_LT:
        return td_lang_truth(a.num < b.num);
    case TD_LANG_OP_LE:
        return td_lang_truth(a.num <= b.num);
    case TD_LANG_OP_GT:
        return td_lang_truth(a.num > b.num);
    default:
        return td_lang_truth(a.num >= b.num);
    }
}

static struct td_lang_value walk_call(struct world *w, const struct td_lang_expr *e,
                                      const struct td_lang_row *row)
{
    struct td_lang_value v[32] = {td_lang_unknown(), td_lang_unknown()};
    size_t n = 0;
    for (const struct td_lang_expr *x = e->list; x != NULL; x = x->next) {
        v[n++] = walk(w, x, row);
    }
    if (e->func == TD_LANG_FUNC_HYST) {
        return td_lang_hyst(&w->twins[e->cell], v[0], v[1], &w->env);
    }
    if (e->func == TD_LANG_FUNC_LAST) {
        return td_lang_last(&w->twins[e->cell], v[0]);
    }
    return td_lang_call(e->func, v, n);
}

static struct td_lang_value walk_edge(struct world *w, const struct td_lang_expr *e,
                                      const struct td_lang_row *row)
{
    struct td_lang_value step = e->b != NULL ? walk(w, e->b, row) : td_lang_unknown();
    if (e->a->op == TD_LANG_OP_REF) {
        const struct td_lang_row *from = e->a->bind == TD_LANG_BIND_ROW ? row : &w->rows[0];
        return td_lang_row_edge(e->op, from, e->a->slot, step, &w->env);
    }
    return td_lang_edge(e->op, &w->twins[e->cell], walk(w, e->a, row), step);
}

static struct td_lang_value walk_not(struct td_lang_value v)
{
    enum td_lang_logic l = walk_logic(v);
    return l == LOGIC_UNKNOWN ? td_lang_unknown() : td_lang_truth(l == LOGIC_FALSE);
}

static struct td_lang_value walk_in(struct world *w, const struct td_lang_expr *e,
                                    const struct td_lang_row *row)
{
    struct td_lang_value a = walk(w, e->a, row), r;
    if (e->op == TD_LANG_OP_BETWEEN) {
        r = walk_pair(TD_LANG_OP_AND, walk_pair(TD_LANG_OP_GE, a, walk(w, e->list, row)),
                      walk_pair(TD_LANG_OP_LE, a, walk(w, e->list->next, row)));
    } else {
        r = td_lang_truth(false);
        for (const struct td_lang_expr *x = e->list; x != NULL; x = x->next) {
            r = walk_pair(TD_LANG_OP_OR, r, walk_pair(TD_LANG_OP_EQ, a, walk(w, x, row)));
        }
    }
    return e->negate ? walk_not(r) : r;
}

static struct td_lang_value walk_convert(const struct td_lang_expr *e, struct td_lang_value v)
{
    if (v.kind != TD_LANG_NUM) {
        return td_lang_unknown();
    }
    struct td_lang_value r = td_lang_num(td_lang_affine(v.num, e->num, e->add));
    r.quality = v.quality > r.quality ? v.quality : r.quality;
    return r;
}

static struct td_lang_value walk(struct world *w, const struct td_lang_expr *e,
                                 const struct td_lang_row *row)
{
    struct td_lang_value v;
    switch ((int)e->op) {
    case TD_LANG_OP_NUM:
        return td_lang_num(e->num);
    case TD_LANG_OP_TEXT:
        return td_lang_text(e->text);
    case TD_LANG_OP_TRUE:
    case TD_LANG_OP_FALSE:
        return td_lang_truth(e->op == TD_LANG_OP_TRUE);
    case TD_LANG_OP_UNKNOWN:
        return td_lang_unknown();
    case TD_LANG_OP_REF:
        return walk_ref(w, e, row);
    case TD_LANG_OP_NEG:
        return walk_pair(TD_LANG_OP_MUL, walk(w, e->a, row), td_lang_num(-1));
    case TD_LANG_OP_NOT:
        return walk_not(walk(w, e->a, row));
    case TD_LANG_OP_IN:
    case TD_LANG_OP_BETWEEN:
        return walk_in(w, e, row);
    case TD_LANG_OP_IS:
        v = td_lang_truth(walk(w, e->a, row).quality == e->quality);
        return e->negate ? td_lang_truth(!v.truth) : v;
    case TD_LANG_OP_FOR:
        v = walk(w, e->a, row);
        return td_lang_hold_for(&w->twins[e->cell], v, walk(w, e->b, row), &w->env);
    case TD_LANG_OP_RISES:
    case TD_LANG_OP_FALLS:
    case TD_LANG_OP_CHANGES:
        return walk_edge(w, e, row);
    case TD_LANG_OP_CALL:
        return walk_call(w, e, row);
    case TD_LANG_OP_FOLD:
        return walk_fold(w, e);
    case TD_LANG_OP_CONVERT:
        return walk_convert(e, walk(w, e->a, row));
    default:
        v = walk(w, e->a, row);
        return walk_pair(e->op, v, walk(w, e->b, row));
    }
}

/* ---- random expressions ---- */

struct writer {
    struct td_rng rng;
    struct td_buf out;
    int depth;
    bool fold;
};

static uint64_t pick(struct writer *g, uint64_t n)
{
    return td_rng_below(&g->rng, n);
}

static void add(struct writer *g, const char *text)
{
    (void)td_buf_add(&g->out, td_slice_of(text)); /* too long: it will not parse, and is left out */
}

static void write_bool(struct writer *g);

static void write_num(struct writer *g)
{
    static const char *const leaves[] = {"a", "b", "c", "3", "-2", "0", "7.5", "a", "b"};
    static const char *const ops[] = {" + ", " - ", " * ", " / "};
    static const char *const folds[] = {"SUM(", "AVG(", "MIN(", "MAX(", "COUNT("};
    if (g->depth <= 0 || pick(g, 4) == 0) {
        add(g, g->fold && pick(g, 2) == 0 ? "g.a" : leaves[pick(g, TD_COUNT(leaves))]);
        return;
    }
    g->depth--;
    switch (pick(g, 6)) {
    case 0:
        add(g, "CLAMP(");
        write_num(g);
        add(g, ", ");
        write_num(g);
        add(g, ", ");
        write_num(g);
        break;
    case 1:
        add(g, "IF(");
        write_bool(g);
        add(g, ", ");
        write_num(g);
        add(g, ", ");
        write_num(g);
        break;
    case 2:
        if (!g->fold) {
            g->fold = true;
            add(g, folds[pick(g, TD_COUNT(folds))]);
            add(g, "g.a + 0 * ");
            write_num(g);
            g->fold = false;
            break;
        }
        /* fall through */
    case 3:
        add(g, g->fold ? "ABS(" : "LAST(");
        write_num(g);
        break;
    default:
        add(g, "(");
        write_num(g);
        add(g, ops[pick(g, TD_COUNT(ops))]);
        write_num(g);
    }
    add(g, ")");
    g->depth++;
}

static void write_bool(struct writer *g)
{
    static const char *const cmps[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};
    static const char *const edges[] = {" RISES", " FALLS", " CHANGES", " RISES BY 2"};
    if (g->depth <= 0 || pick(g, 5) == 0) {
        add(g, pick(g, 2) == 0 ? "x" : pick(g, 2) == 0 ? "y" : "w = 'hello'");
        return;
    }
    g->depth--;
    add(g, "(");
    switch (pick(g, 9)) {
    case 0:
        add(g, "NOT ");
        write_bool(g);
        break;
    case 1:
        write_bool(g);
        add(g, " AND ");
        write_bool(g);
        break;
    case 2:
        write_bool(g);
        add(g, " OR ");
        write_bool(g);
        break;
    case 3:
        write_num(g);
        add(g, " IN 0..5");
        break;
    case 4:
        write_num(g);
        add(g, pick(g, 2) == 0 ? " IS KNOWN" : " IS NOT STALE");
        break;
    case 5:
        add(g, g->fold ? "g.a RISES" : "a");
        add(g, g->fold ? "" : edges[pick(g, TD_COUNT(edges))]);
        break;
    case 6:
        if (!g->fold) {
            g->fold = true;
            add(g, pick(g, 2) == 0 ? "ANY(g.a > 2 AND " : "ALL(g.a > 1 OR ");
            write_bool(g);
            add(g, ")");
            g->fold = false;
            break;
        }
        /* fall through */
    case 7:
        if (!g->fold) {
            add(g, "HYST(");
            write_num(g);
            add(g, " > 3, ");
            write_num(g);
            add(g, " < 1)");
            add(g, pick(g, 2) == 0 ? " FOR 3s" : "");
            break;
        }
        /* fall through */
    default:
        write_num(g);
        add(g, cmps[pick(g, TD_COUNT(cmps))]);
        write_num(g);
    }
    add(g, ")");
    g->depth++;
}

static struct td_lang_value any_value(struct writer *g, int field)
{
    struct td_lang_value v = field == X || field == Y ? td_lang_truth(pick(g, 2) == 0)
                             : field == W
                                 ? td_lang_text(pick(g, 2) == 0 ? TD_STR("hello") : TD_STR("bye"))
                                 : td_lang_num((double)pick(g, 9) - 2);
    uint64_t dice = pick(g, 8);
    return dice == 0 ? td_lang_unknown() : v;
}

static bool same(struct td_lang_value a, struct td_lang_value b)
{
    if (a.quality != b.quality || a.kind != b.kind) {
        return a.quality == TD_LANG_UNKNOWN && b.quality == TD_LANG_UNKNOWN;
    }
    return a.quality == TD_LANG_UNKNOWN || td_lang_value_eq(a, b);
}

/* Both memories go through the same 20 turns. */
static void drive(struct world *w, struct writer *g)
{
    for (uint64_t turn = 1; turn <= 20; turn++) {
        w->env.turn = turn;
        w->env.now += (td_mono)pick(g, 3) * TD_NS_PER_S;
        for (int r = 0; r < 4; r++) {
            if (pick(g, 2) == 0) {
                continue;
            }
            w->rows[r].turn = turn;
            w->rows[r].stale_at = w->env.now + (td_mono)pick(g, 5) * TD_NS_PER_S;
            w->rows[r].seen = pick(g, 10) > 0 || r == 0;
            for (int f = 0; f < FIELDS; f++) {
                w->slots[r][f].was = w->slots[r][f].now;
                w->slots[r][f].now = any_value(g, f);
            }
        }
        struct td_lang_value fast = td_lang_run(&w->code, &w->env);
        struct td_lang_value slow = walk(w, w->tree, NULL);
        if (!same(fast, slow)) {
            fail_msg("turn %d: machine and tree disagree on %.*s", (int)turn, (int)g->out.n,
                     (const char *)g->out.p);
        }
    }
}

static void the_machine_agrees_with_a_walk_over_the_tree(void **state)
{
    (void)state;
    int built = 0;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct writer g = {.depth = 4};
        static struct world w;
        td_rng_init(&g.rng, seed);
        td_buf_init(&g.out, 1900);
        world_init(&w);
        write_bool(&g);
        assert_int_equal(TD_OK, td_buf_reserve(&g.out, 1));
        g.out.p[g.out.n] = 0;
        if (g.out.n < 1800 && build(&w, (const char *)g.out.p)) {
            built++;
            drive(&w, &g);
        } else if (g.out.n < 1800 && w.diag.errors == 0) {
            fail_msg("refused without a word: %s", (const char *)g.out.p);
        }
        world_fini(&w);
        td_buf_fini(&g.out);
    }
    assert_true(built > 3000);
}

/* ---- the verifier ---- */

/* Programs with one thing turned: refused, or they run without harm (the sanitizers look). */
static void what_the_verifier_passes_runs_without_harm(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "ANY(g.a > 2 AND x) OR a + b * 3 IN (1, 2, c)",
        "HYST(a > 3, b < 1) FOR 3s AND CLAMP(a, 1, 2) > LAST(b)",
        "a RISES BY 2 OR SUM(g.a) IN 1..9 OR t > 68°F",
    };
    struct td_rng rng;
    int refused = 0, passed = 0;
    td_rng_init(&rng, 9);
    for (int i = 0; i < 30000; i++) {
        static struct world w;
        world_init(&w);
        assert_true(build(&w, texts[i % (int)TD_COUNT(texts)]));
        struct td_lang_bounds bounds = bounds_of(&w);
        struct td_lang_ins *copy = td_arena_alloc(&w.arena, w.code.count * sizeof *copy);
        memcpy(copy, w.code.ins, w.code.count * sizeof *copy);
        uint8_t *bytes = (uint8_t *)copy;
        size_t size = w.code.count * sizeof *copy;
        for (uint64_t n = 1 + td_rng_below(&rng, 3); n > 0; n--) {
            bytes[td_rng_below(&rng, size)] = (uint8_t)td_rng_below(&rng, 40);
        }
        w.code.ins = copy;
        w.code.count -= (uint32_t)(td_rng_below(&rng, 10) == 0);
        if (td_lang_verify(&w.code, &bounds) == TD_OK) {
            (void)td_lang_run(&w.code, &w.env); /* any value will do */
            passed++;
        } else {
            refused++;
        }
        world_fini(&w);
    }
    assert_true(refused > 1000 && passed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_give_what_they_should),
        cmocka_unit_test(the_machine_agrees_with_a_walk_over_the_tree),
        cmocka_unit_test(what_the_verifier_passes_runs_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
