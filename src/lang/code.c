/* lang: from the checked tree to instructions. */
#include "lang/vm.h"

struct emitter {
    struct td_buf ins, consts;
    bool full;
};

static uint32_t here(const struct emitter *em)
{
    return (uint32_t)(em->ins.n / sizeof(struct td_lang_ins));
}

static uint32_t put(struct emitter *em, enum td_lang_opcode op, unsigned x, unsigned y, uint32_t z)
{
    struct td_lang_ins i = {(uint8_t)op, (uint8_t)x, (uint16_t)y, z};
    uint32_t at = here(em);
    em->full |= td_buf_add(&em->ins, (td_slice){(const uint8_t *)&i, sizeof i}) != TD_OK;
    return at;
}

/* Points the jump or fold at `at` to the next instruction. */
static void land(struct emitter *em, uint32_t at)
{
    if (!em->full) {
        struct td_lang_ins i;
        uint8_t *p = em->ins.p + at * sizeof i;
        memcpy(&i, p, sizeof i);
        i.z = here(em);
        memcpy(p, &i, sizeof i);
    }
}

static uint32_t constant(struct emitter *em, struct td_lang_value v)
{
    uint32_t at = (uint32_t)(em->consts.n / sizeof v);
    em->full |= td_buf_add(&em->consts, (td_slice){(const uint8_t *)&v, sizeof v}) != TD_OK;
    return at;
}

static void put_const(struct emitter *em, struct td_lang_value v)
{
    put(em, INS_CONST, 0, 0, constant(em, v));
}

static void emit(struct emitter *em, const struct td_lang_expr *e);

static unsigned emit_list(struct emitter *em, const struct td_lang_expr *list)
{
    unsigned n = 0;
    for (; list != NULL; list = list->next) {
        emit(em, list);
        n++;
    }
    return n;
}

static void emit_ref(struct emitter *em, const struct td_lang_expr *e)
{
    switch (e->bind) {
    case TD_LANG_BIND_FIELD:
        put(em, INS_FIELD, 0, e->input, e->slot);
        return;
    case TD_LANG_BIND_ROW:
        put(em, INS_ROWFIELD, 0, 0, e->slot);
        return;
    case TD_LANG_BIND_KEY:
        put(em, INS_KEY, 0, e->input, 0);
        return;
    case TD_LANG_BIND_LOCAL:
        put(em, INS_LOCAL, 0, e->input, 0);
        return;
    case TD_LANG_BIND_NONE:
        break;
    }
    td_assert(false); /* the checker has bound every name */
}

/* The right side is skipped when the left one decides, unless it has a memory to keep. */
static void emit_logic(struct emitter *em, const struct td_lang_expr *e)
{
    bool and = e->op == TD_LANG_OP_AND;
    uint32_t jump = 0;
    emit(em, e->a);
    if (!e->b->state) {
        jump = put(em, and? INS_JUMP_FALSE : INS_JUMP_TRUE, 0, 0, 0);
    }
    emit(em, e->b);
    put(em, INS_BINARY, e->op, 0, 0);
    if (!e->b->state) {
        land(em, jump);
    }
}

static void emit_edge(struct emitter *em, const struct td_lang_expr *e)
{
    bool direct = e->a->op == TD_LANG_OP_REF &&
                  (e->a->bind == TD_LANG_BIND_FIELD || e->a->bind == TD_LANG_BIND_ROW);
    if (!direct) {
        emit(em, e->a);
    }
    if (e->b != NULL) {
        emit(em, e->b);
    } else {
        put_const(em, td_lang_unknown());
    }
    if (!direct) {
        put(em, INS_EDGE, e->op, e->cell, 0);
    } else if (e->a->bind == TD_LANG_BIND_FIELD) {
        put(em, INS_FIELDEDGE, e->op, e->a->input, e->a->slot);
    } else {
        put(em, INS_ROWEDGE, e->op, 0, e->a->slot);
    }
}

static void emit_call(struct emitter *em, const struct td_lang_expr *e)
{
    unsigned n = emit_list(em, e->list);
    if (e->func == TD_LANG_FUNC_HYST) {
        put(em, INS_HYST, 0, e->cell, 0);
    } else if (e->func == TD_LANG_FUNC_LAST) {
        put(em, INS_LAST, 0, e->cell, 0);
    } else {
        put(em, INS_CALL, e->func, n, 0);
    }
}

static void emit_fold(struct emitter *em, const struct td_lang_expr *e)
{
    uint32_t head = put(em, INS_FOLD, e->func, e->input, 0);
    emit(em, e->a);
    land(em, head);
    put(em, INS_FOLDEND, 0, 0, 0);
}

static void emit_leaf(struct emitter *em, const struct td_lang_expr *e)
{
    switch ((int)e->op) {
    case TD_LANG_OP_NUM:
        put_const(em, td_lang_num(e->num));
        return;
    case TD_LANG_OP_TEXT:
        put_const(em, td_lang_text(e->text));
        return;
    case TD_LANG_OP_TRUE:
    case TD_LANG_OP_FALSE:
        put_const(em, td_lang_truth(e->op == TD_LANG_OP_TRUE));
        return;
    case TD_LANG_OP_UNKNOWN:
        put_const(em, td_lang_unknown());
        return;
    case TD_LANG_OP_ELAPSED:
        put(em, INS_ELAPSED, 0, 0, 0);
        return;
    default:
        emit_ref(em, e);
        return;
    }
}

static void emit_message_word(struct emitter *em, const struct td_lang_expr *e)
{
    bool row = e->a->bind == TD_LANG_BIND_ROW;
    if (e->op == TD_LANG_OP_SILENT) {
        emit(em, e->b);
        put(em, row ? INS_ROWSILENT : INS_SILENT, 0, e->a->input, 0);
    } else {
        put(em, row ? INS_ROWARRIVES : INS_ARRIVES, 0, e->a->input, 0);
    }
}

static void emit_affine(struct emitter *em, const struct td_lang_expr *e)
{
    emit(em, e->a);
    uint32_t at = constant(em, td_lang_num(e->num));
    constant(em, td_lang_num(e->add));
    put(em, INS_AFFINE, 0, 0, at);
}

static void emit_operator(struct emitter *em, const struct td_lang_expr *e)
{
    emit(em, e->a);
    if (e->b != NULL) {
        emit(em, e->b);
    }
    unsigned n = emit_list(em, e->list);
    switch ((int)e->op) {
    case TD_LANG_OP_NEG:
        put(em, INS_NEG, 0, 0, 0);
        return;
    case TD_LANG_OP_NOT:
        put(em, INS_NOT, 0, 0, 0);
        return;
    case TD_LANG_OP_IN:
        put(em, INS_IN, 0, n + 1, 0);
        break;
    case TD_LANG_OP_BETWEEN:
        put(em, INS_BETWEEN, 0, 0, 0);
        break;
    case TD_LANG_OP_IS:
        put(em, INS_IS, e->quality, 0, 0);
        break;
    case TD_LANG_OP_FOR:
        put(em, INS_FOR, 0, e->cell, 0);
        return;
    default:
        put(em, INS_BINARY, e->op, 0, 0);
        return;
    }
    if (e->negate) {
        put(em, INS_NOT, 0, 0, 0);
    }
}

static void emit(struct emitter *em, const struct td_lang_expr *e)
{
    if (em->full) {
        return;
    }
    switch ((int)e->op) {
    case TD_LANG_OP_AND:
    case TD_LANG_OP_OR:
        emit_logic(em, e);
        return;
    case TD_LANG_OP_RISES:
    case TD_LANG_OP_FALLS:
    case TD_LANG_OP_CHANGES:
        emit_edge(em, e);
        return;
    case TD_LANG_OP_SILENT:
    case TD_LANG_OP_ARRIVES:
        emit_message_word(em, e);
        return;
    case TD_LANG_OP_CALL:
        emit_call(em, e);
        return;
    case TD_LANG_OP_FOLD:
        emit_fold(em, e);
        return;
    case TD_LANG_OP_WINDOW:
        put(em, INS_WINDOW, e->func, e->cell, (uint32_t)e->a->input << 16 | e->a->slot);
        return;
    case TD_LANG_OP_CONVERT:
        emit_affine(em, e);
        return;
    default:
        break;
    }
    if (e->op <= TD_LANG_OP_PATH) {
        emit_leaf(em, e);
    } else {
        emit_operator(em, e);
    }
}

/* The most values on the stack: one pass suffices, for jumps only go where depths agree. */
static uint16_t stack_of(const struct td_lang_ins *ins, uint32_t count)
{
    static const int effect[][2] = {
#define INS(name, pops, pushes) {pops, pushes},
        TD_LANG_INS(INS)
#undef INS
    };
    int depth = 0, most = 1;
    for (uint32_t i = 0; i < count; i++) {
        int pops = effect[ins[i].op][0];
        depth += effect[ins[i].op][1] - (pops < 0 ? (int)ins[i].y : pops);
        most = depth > most ? depth : most;
    }
    return (uint16_t)most;
}

enum td_err td_lang_compile(struct td_arena *arena, const struct td_lang_expr *e,
                            struct td_lang_code *out)
{
    struct emitter em = {.full = false};
    td_buf_init(&em.ins, 60000 * sizeof(struct td_lang_ins));
    td_buf_init(&em.consts, 60000 * sizeof(struct td_lang_value));
    emit(&em, e);
    put(&em, INS_END, 0, 0, 0);
    enum td_err err = em.full ? TD_EFULL : TD_OK;
    if (err == TD_OK) {
        void *ins = td_arena_alloc(arena, em.ins.n);
        void *consts = td_arena_alloc(arena, em.consts.n + 1);
        err = ins == NULL || consts == NULL ? TD_ENOMEM : TD_OK;
        if (err == TD_OK) {
            memcpy(ins, em.ins.p, em.ins.n);
            if (em.consts.n > 0) {
                memcpy(consts, em.consts.p, em.consts.n);
            }
            *out = (struct td_lang_code){.ins = ins, .consts = consts, .count = here(&em)};
            out->const_count = (uint32_t)(em.consts.n / sizeof(struct td_lang_value));
            out->stack = stack_of(ins, out->count);
            out->cost = out->count;
        }
    }
    td_buf_fini(&em.ins);
    td_buf_fini(&em.consts);
    return err;
}
