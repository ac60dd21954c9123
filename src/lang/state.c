/* lang: operators with a memory, and what rows say of their messages. */
#include "lang/vm.h"

static td_mono span_of(struct td_lang_value v)
{
    if (v.kind != TD_LANG_NUM || v.quality != TD_LANG_KNOWN) {
        return TD_NEVER;
    }
    double ns = v.num * (double)TD_NS_PER_S;
    return ns < 0 ? 0 : ns > 9e18 ? TD_NEVER : (td_mono)ns;
}

/* at + span without overflow. */
static td_mono after(td_mono at, td_mono span)
{
    td_mono end;
    return __builtin_add_overflow(at, span, &end) ? TD_NEVER : end;
}

static void set(struct td_lang_cell *cell, uint8_t state, struct td_lang_env *env)
{
    if (cell->state != state) {
        cell->state = state;
        cell->since = env->now;
        env->changed = true;
    }
}

/* c FOR d; what a gap does is the statement's choice (ON GAP). */
struct td_lang_value td_lang_hold_for(struct td_lang_cell *cell, struct td_lang_value cond,
                                      struct td_lang_value span, struct td_lang_env *env)
{
    enum td_lang_logic c = td_lang_logic_of(cond);
    td_mono d = span_of(span);
    if (c == LOGIC_UNKNOWN && env->gap == TD_LANG_GAP_HOLD) {
        c = cell->state == 1 ? LOGIC_TRUE : LOGIC_FALSE;
    }
    if (c != LOGIC_TRUE) {
        set(cell, 0, env);
        return c == LOGIC_UNKNOWN && env->gap == TD_LANG_GAP_UNKNOWN ? td_lang_unknown()
                                                                     : td_lang_truth(false);
    }
    set(cell, 1, env);
    if (d == TD_NEVER) {
        return td_lang_unknown();
    }
    td_mono due = after(cell->since, d);
    if (env->now >= due) {
        return td_lang_truth(true);
    }
    env->deadline = td_mono_min(env->deadline, due);
    return td_lang_truth(false);
}

struct td_lang_value td_lang_hyst(struct td_lang_cell *cell, struct td_lang_value on,
                                  struct td_lang_value off, struct td_lang_env *env)
{
    enum td_lang_logic a = td_lang_logic_of(on), b = td_lang_logic_of(off);
    if (a == LOGIC_UNKNOWN || b == LOGIC_UNKNOWN) {
        return td_lang_unknown();
    }
    if (b == LOGIC_TRUE || a == LOGIC_TRUE) {
        set(cell, b == LOGIC_TRUE ? 0 : 1, env);
    }
    return td_lang_truth(cell->state == 1);
}

static struct td_lang_value remembered(const struct td_lang_cell *cell)
{
    if (cell->state == 0) {
        return td_lang_unknown();
    }
    return cell->kind == TD_LANG_BOOL ? td_lang_truth(cell->num > 0.5) : td_lang_num(cell->num);
}

static void remember(struct td_lang_cell *cell, struct td_lang_value v)
{
    bool fit = v.quality == TD_LANG_KNOWN && (v.kind == TD_LANG_BOOL || v.kind == TD_LANG_NUM);
    cell->state = fit ? 1 : 0;
    cell->kind = v.kind;
    cell->num = !fit ? 0 : v.kind == TD_LANG_BOOL ? (double)v.truth : v.num;
}

struct td_lang_value td_lang_last(struct td_lang_cell *cell, struct td_lang_value v)
{
    bool usable = v.kind == TD_LANG_BOOL || v.kind == TD_LANG_NUM;
    if (usable &&
        (v.quality == TD_LANG_KNOWN || (v.quality == TD_LANG_STALE && cell->state == 0))) {
        v.quality = TD_LANG_KNOWN;
        remember(cell, v);
    }
    return remembered(cell);
}

/* Has it gone from `was` to `now` the way `op` says, by at least `step`? */
static bool moved(enum td_lang_op op, struct td_lang_value was, struct td_lang_value now,
                  struct td_lang_value step)
{
    if (was.quality != TD_LANG_KNOWN || now.quality != TD_LANG_KNOWN || was.kind != now.kind) {
        return false;
    }
    if (now.kind == TD_LANG_TEXT) {
        return op == TD_LANG_OP_CHANGES && !td_lang_value_eq(was, now);
    }
    double from = was.kind == TD_LANG_BOOL ? (double)was.truth : was.num;
    double to = now.kind == TD_LANG_BOOL ? (double)now.truth : now.num;
    double up = to - from, least = step.kind == TD_LANG_NUM ? step.num : 0;
    bool rises = up > 0 && up >= least, falls = up < 0 && -up >= least;
    return op == TD_LANG_OP_RISES ? rises : op == TD_LANG_OP_FALLS ? falls : rises || falls;
}

struct td_lang_value td_lang_edge(enum td_lang_op op, struct td_lang_cell *cell,
                                  struct td_lang_value v, struct td_lang_value step)
{
    bool edge = moved(op, remembered(cell), v, step);
    remember(cell, v);
    return td_lang_truth(edge);
}

struct td_lang_value td_lang_row_edge(enum td_lang_op op, const struct td_lang_row *row,
                                      size_t slot, struct td_lang_value step,
                                      const struct td_lang_env *env)
{
    return td_lang_truth(row->turn == env->turn &&
                         moved(op, row->slots[slot].was, row->slots[slot].now, step));
}

struct td_lang_value td_lang_silent(const struct td_lang_row *row, struct td_lang_value span,
                                    struct td_lang_env *env)
{
    td_mono d = span_of(span);
    if (!row->seen || d == TD_NEVER) {
        return td_lang_unknown();
    }
    td_mono due = after(row->at, d);
    if (env->now < due) {
        env->deadline = td_mono_min(env->deadline, due);
    }
    return td_lang_truth(env->now >= due);
}

struct td_lang_value td_lang_row_value(const struct td_lang_row *row, size_t slot, td_mono now)
{
    struct td_lang_value v = row->slots[slot].now;
    if (now > row->stale_at && v.quality == TD_LANG_KNOWN) {
        v.quality = TD_LANG_STALE;
    }
    return v;
}
