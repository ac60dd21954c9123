/* lang: no program runs that was not read here. The compiler makes good ones; the verifier does not
 * believe it. Depths are followed along the one way forward: a jump keeps the top value, so it must
 * land where one value lies deeper than at the jump's own right side began. */
#include "lang/vm.h"

static const int8_t effect[INS_COUNT_][2] = {
#define INS(name, pops, pushes) {pops, pushes},
    TD_LANG_INS(INS)
#undef INS
};

struct walk {
    const struct td_lang_code *code;
    const struct td_lang_bounds *bounds;
    uint32_t fold_end; /* of the fold we are in; 0: none */
    int fold_depth;
    uint16_t fold_slots;
};

static bool operands_ok(const struct walk *w, uint32_t at)
{
    const struct td_lang_ins *i = &w->code->ins[at];
    switch ((enum td_lang_opcode)i->op) {
    case INS_CONST:
        return i->z < w->code->const_count;
    case INS_AFFINE:
        return i->z + 1 < w->code->const_count && i->z + 1 > i->z;
    case INS_FIELD:
    case INS_FIELDEDGE:
        return i->y < w->bounds->inputs && i->z < w->bounds->input_slots[i->y];
    case INS_SILENT:
    case INS_ARRIVES:
        return i->y < w->bounds->inputs;
    case INS_WINDOW:
        return i->z >> 16 < w->bounds->inputs && i->y < w->bounds->cells &&
               (i->z & 0xFFFF) < w->bounds->input_slots[i->z >> 16];
    case INS_KEY:
        return i->y < w->bounds->keys;
    case INS_LOCAL:
        return i->y < w->bounds->locals;
    case INS_FOR:
    case INS_HYST:
    case INS_LAST:
    case INS_EDGE:
        return i->y < w->bounds->cells;
    case INS_FOLD:
        return i->y < w->bounds->groups && i->z > at && i->z < w->code->count &&
               w->code->ins[i->z].op == INS_FOLDEND && w->fold_end == 0;
    case INS_FOLDEND:
        return at == w->fold_end;
    case INS_JUMP_FALSE:
    case INS_JUMP_TRUE:
        return i->z > at && i->z < w->code->count && (w->fold_end == 0 || i->z <= w->fold_end);
    case INS_CALL:
        return i->x < TD_LANG_FUNC_COUNT_ && i->y > 0;
    case INS_IN:
        return i->y > 0;
    case INS_BINARY:
        return i->x >= TD_LANG_OP_ADD && i->x <= TD_LANG_OP_OR;
    case INS_ROWFIELD:
    case INS_ROWEDGE:
        return w->fold_end != 0 && i->z < w->fold_slots;
    case INS_ROWSILENT:
    case INS_ROWARRIVES:
        return w->fold_end != 0;
    case INS_END:
    case INS_ELAPSED:
    case INS_NEG:
    case INS_NOT:
    case INS_BETWEEN:
    case INS_IS:
        return true;
    case INS_COUNT_:
        break;
    }
    return false;
}

/* Depths at which jumps arrive. */
struct landing {
    uint32_t at;
    int depth;
};

enum { LANDINGS_MAX = 256 };

struct landings {
    struct landing all[LANDINGS_MAX];
    size_t count;
};

static bool jumps_fit(const struct landings *l, uint32_t at, int depth)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->all[i].at == at && l->all[i].depth != depth) {
            return false;
        }
    }
    return true;
}

static void drop_past(struct landings *l, uint32_t at)
{
    while (l->count > 0 && l->all[l->count - 1].at <= at) {
        l->count--;
    }
}

static bool note_jump(struct landings *l, uint32_t to, int depth)
{
    if (l->count == LANDINGS_MAX) {
        return false;
    }
    size_t i = l->count++;
    for (; i > 0 && l->all[i - 1].at < to; i--) { /* the nearest stays last */
        l->all[i] = l->all[i - 1];
    }
    l->all[i] = (struct landing){to, depth};
    return true;
}

static bool step(struct walk *w, struct landings *l, uint32_t at, int *depth)
{
    const struct td_lang_ins *i = &w->code->ins[at];
    if (i->op >= INS_COUNT_ || !jumps_fit(l, at, *depth) || !operands_ok(w, at)) {
        return false;
    }
    drop_past(l, at);
    int pops = effect[i->op][0] < 0 ? (int)i->y : effect[i->op][0];
    if (*depth < pops) {
        return false;
    }
    *depth += effect[i->op][1] - pops;
    if (i->op == INS_JUMP_FALSE || i->op == INS_JUMP_TRUE) {
        return *depth > 0 && note_jump(l, i->z, *depth);
    }
    if (i->op == INS_FOLD) {
        w->fold_end = i->z;
        w->fold_slots = w->bounds->group_slots[i->y];
        w->fold_depth = *depth;
    } else if (i->op == INS_FOLDEND) {
        w->fold_end = 0;
        return *depth == w->fold_depth + 1;
    }
    return *depth <= w->code->stack && (w->fold_end == 0 || *depth >= w->fold_depth);
}

enum td_err td_lang_verify(const struct td_lang_code *code, const struct td_lang_bounds *bounds)
{
    struct walk w = {.code = code, .bounds = bounds};
    struct landings l = {.count = 0};
    int depth = 0;
    if (code->count == 0 || code->stack > TD_LANG_STACK_MAX ||
        code->ins[code->count - 1].op != INS_END) {
        return TD_ECORRUPT;
    }
    for (uint32_t at = 0; at < code->count; at++) {
        if ((code->ins[at].op == INS_END) != (at + 1 == code->count) || !step(&w, &l, at, &depth)) {
            return TD_ECORRUPT;
        }
    }
    return depth == 1 && w.fold_end == 0 ? TD_OK : TD_ECORRUPT;
}
