/* lang: the bytecode machine. Programs have been verified, so nothing is checked here but what data
 * can change: kinds and qualities. */
#include "lang/vm.h"

/* The analyzer cannot know what the verifier has proven: that no value is read which was not
 * pushed, and no row outside of a fold.
 * NOLINTBEGIN(clang-analyzer-core.*) */

struct fold {
    enum td_lang_func func;
    const struct td_lang_group *group;
    uint32_t next, body; /* the row after the current one; first instruction of the body */
    enum td_lang_logic logic;
    double sum, best;
    uint64_t count;
};

static bool better(const struct fold *f, double x)
{
    return f->count == 0 || (f->func == TD_LANG_FUNC_MIN ? x < f->best : x > f->best);
}

static void fold_add(struct fold *f, struct td_lang_value v)
{
    if (f->func == TD_LANG_FUNC_ANY || f->func == TD_LANG_FUNC_ALL) {
        enum td_lang_op op = f->func == TD_LANG_FUNC_ANY ? TD_LANG_OP_OR : TD_LANG_OP_AND;
        f->logic = td_lang_logic_of(td_lang_apply(op, td_lang_of_logic(f->logic), v));
    } else if (v.quality != TD_LANG_KNOWN || (v.kind == TD_LANG_BOOL && !v.truth)) {
        return; /* aggregates skip what is not known; COUNT of a condition counts the TRUE ones */
    } else if (f->func == TD_LANG_FUNC_COUNT) {
        f->count++;
    } else if (v.kind == TD_LANG_NUM) {
        f->sum += v.num;
        f->best = better(f, v.num) ? v.num : f->best;
        f->count++;
    }
}

static struct td_lang_value fold_result(const struct fold *f)
{
    switch ((int)f->func) {
    case TD_LANG_FUNC_ANY:
    case TD_LANG_FUNC_ALL:
        return td_lang_of_logic(f->logic);
    case TD_LANG_FUNC_COUNT:
        return td_lang_num((double)f->count);
    case TD_LANG_FUNC_SUM:
        return f->count > 0 ? td_lang_num(f->sum) : td_lang_unknown();
    case TD_LANG_FUNC_AVG:
        return f->count > 0 ? td_lang_num(f->sum / (double)f->count) : td_lang_unknown();
    default:
        return f->count > 0 ? td_lang_num(f->best) : td_lang_unknown();
    }
}

/* The next row that has been heard of; NULL: that was the last. */
static const struct td_lang_row *fold_next(struct fold *f)
{
    while (f->next < f->group->count && f->next < TD_LANG_FOLD_ROWS_MAX) {
        const struct td_lang_row *row = f->group->rows[f->next++];
        if (row->seen) {
            return row;
        }
    }
    return NULL;
}

static struct td_lang_value in_list(const struct td_lang_value *v, size_t count)
{
    struct td_lang_value found = td_lang_truth(false);
    for (size_t i = 1; i < count; i++) {
        found = td_lang_apply(TD_LANG_OP_OR, found, td_lang_apply(TD_LANG_OP_EQ, v[0], v[i]));
    }
    return found;
}

static struct td_lang_value between(const struct td_lang_value *v)
{
    return td_lang_apply(TD_LANG_OP_AND, td_lang_apply(TD_LANG_OP_GE, v[0], v[1]),
                         td_lang_apply(TD_LANG_OP_LE, v[0], v[2]));
}

static struct td_lang_value not_of(struct td_lang_value v)
{
    enum td_lang_logic l = td_lang_logic_of(v);
    return l == LOGIC_UNKNOWN ? td_lang_unknown() : td_lang_truth(l == LOGIC_FALSE);
}

static struct td_lang_value affine_of(const struct td_lang_code *code, uint32_t z,
                                      struct td_lang_value v)
{
    if (v.kind != TD_LANG_NUM) {
        return td_lang_unknown();
    }
    struct td_lang_value r =
        td_lang_num(td_lang_affine(v.num, code->consts[z].num, code->consts[z + 1].num));
    r.quality = r.quality > v.quality ? r.quality : v.quality;
    return r;
}

struct td_lang_value td_lang_run(const struct td_lang_code *code, struct td_lang_env *env)
{
    struct td_lang_value stack[TD_LANG_STACK_MAX + 1];
    struct td_lang_value *top = stack; /* the next free place */
    struct fold fold = {.func = TD_LANG_FUNC_ANY};
    const struct td_lang_row *row = NULL;
    for (const struct td_lang_ins *i = code->ins;; i++) {
        switch ((enum td_lang_opcode)i->op) {
        case INS_CONST:
            *top++ = code->consts[i->z];
            break;
        case INS_FIELD:
            *top++ = td_lang_row_value(env->rows[i->y], i->z, env->now);
            break;
        case INS_ROWFIELD:
            *top++ = td_lang_row_value(row, i->z, env->now);
            break;
        case INS_KEY:
            *top++ = td_lang_text(env->keys[i->y]);
            break;
        case INS_LOCAL:
            *top++ = env->locals[i->y];
            break;
        case INS_ELAPSED:
            *top++ = td_lang_num((double)env->elapsed / (double)TD_NS_PER_S);
            break;
        case INS_NEG:
            top[-1] = td_lang_apply(TD_LANG_OP_MUL, top[-1], td_lang_num(-1));
            break;
        case INS_NOT:
            top[-1] = not_of(top[-1]);
            break;
        case INS_BINARY:
            top--;
            top[-1] = td_lang_apply((enum td_lang_op)i->x, top[-1], top[0]);
            break;
        case INS_AFFINE:
            top[-1] = affine_of(code, i->z, top[-1]);
            break;
        case INS_JUMP_FALSE:
            i = td_lang_is_false(top[-1]) ? code->ins + i->z - 1 : i;
            break;
        case INS_JUMP_TRUE:
            i = td_lang_is_true(top[-1]) ? code->ins + i->z - 1 : i;
            break;
        case INS_IN:
            top -= i->y - 1;
            top[-1] = in_list(top - 1, i->y);
            break;
        case INS_BETWEEN:
            top -= 2;
            top[-1] = between(top - 1);
            break;
        case INS_IS:
            top[-1] = td_lang_truth(top[-1].quality == i->x);
            break;
        case INS_SILENT:
            top[-1] = td_lang_silent(env->rows[i->y], top[-1], env);
            break;
        case INS_ROWSILENT:
            top[-1] = td_lang_silent(row, top[-1], env);
            break;
        case INS_ARRIVES:
            *top++ = td_lang_truth(env->rows[i->y]->turn == env->turn);
            break;
        case INS_ROWARRIVES:
            *top++ = td_lang_truth(row->turn == env->turn);
            break;
        case INS_FOR:
            top--;
            top[-1] = td_lang_hold_for(&env->cells[i->y], top[-1], top[0], env);
            break;
        case INS_HYST:
            top--;
            top[-1] = td_lang_hyst(&env->cells[i->y], top[-1], top[0], env);
            break;
        case INS_LAST:
            top[-1] = td_lang_last(&env->cells[i->y], top[-1]);
            break;
        case INS_EDGE:
            top--;
            top[-1] = td_lang_edge((enum td_lang_op)i->x, &env->cells[i->y], top[-1], top[0]);
            break;
        case INS_FIELDEDGE:
            top[-1] = td_lang_row_edge((enum td_lang_op)i->x, env->rows[i->y], i->z, top[-1], env);
            break;
        case INS_ROWEDGE:
            top[-1] = td_lang_row_edge((enum td_lang_op)i->x, row, i->z, top[-1], env);
            break;
        case INS_CALL:
            top -= i->y - 1;
            top[-1] = td_lang_call((enum td_lang_func)i->x, top - 1, i->y);
            break;
        case INS_WINDOW:
            *top++ = td_lang_window((enum td_lang_func)i->x, env->cells[i->y].window,
                                    env->rows[i->z >> 16], i->z & 0xFFFF, env);
            break;
        case INS_FOLD:
            fold = (struct fold){.func = (enum td_lang_func)i->x,
                                 .group = env->groups[i->y],
                                 .body = (uint32_t)(i - code->ins),
                                 .logic = i->x == TD_LANG_FUNC_ALL ? LOGIC_TRUE : LOGIC_FALSE};
            row = fold_next(&fold);
            if (row == NULL) {
                *top++ = fold_result(&fold);
                i = code->ins + i->z; /* the loop steps over FOLDEND */
            }
            break;
        case INS_FOLDEND:
            fold_add(&fold, *--top);
            row = fold_next(&fold);
            if (row != NULL) {
                i = code->ins + fold.body;
            } else {
                *top++ = fold_result(&fold);
            }
            break;
        case INS_END:
        case INS_COUNT_:
            return top[-1];
        }
    }
}
/* NOLINTEND(clang-analyzer-core.*) */
