/* lang, private: the instructions. A stack machine: operands are popped, the result is pushed. */
#ifndef TD_LANG_VM_H
#define TD_LANG_VM_H

#include "lang/lang.h"

/* INS(name, pops, pushes): pops of -1 are counted by y. What x, y, z mean stands behind. */
#define TD_LANG_INS(INS)                                                                           \
    INS(END, 0, 0)      /* the value on the stack is the result */                                 \
    INS(CONST, 0, 1)    /* z: constant */                                                          \
    INS(FIELD, 0, 1)    /* y: input, z: slot */                                                    \
    INS(ROWFIELD, 0, 1) /* z: slot of the fold's row */                                            \
    INS(KEY, 0, 1)      /* y: key */                                                               \
    INS(LOCAL, 0, 1)    /* y: local */                                                             \
    INS(ELAPSED, 0, 1)                                                                             \
    INS(NEG, 1, 1)                                                                                 \
    INS(NOT, 1, 1)                                                                                 \
    INS(BINARY, 2, 1)     /* x: enum td_lang_op, ADD .. OR */                                      \
    INS(AFFINE, 1, 1)     /* z: constant mul, z + 1: constant add */                               \
    INS(JUMP_FALSE, 0, 0) /* z: where to go on if the top is FALSE; it stays */                    \
    INS(JUMP_TRUE, 0, 0)  /* the same for TRUE */                                                  \
    INS(IN, -1, 1)        /* y: values and the one that is looked for */                           \
    INS(BETWEEN, 3, 1)                                                                             \
    INS(IS, 1, 1)     /* x: enum td_lang_quality */                                                \
    INS(SILENT, 1, 1) /* y: input */                                                               \
    INS(ROWSILENT, 1, 1)                                                                           \
    INS(ARRIVES, 0, 1) /* y: input */                                                              \
    INS(ROWARRIVES, 0, 1)                                                                          \
    INS(FOR, 2, 1)       /* y: cell */                                                             \
    INS(HYST, 2, 1)      /* y: cell */                                                             \
    INS(LAST, 1, 1)      /* y: cell */                                                             \
    INS(EDGE, 2, 1)      /* x: enum td_lang_op, y: cell; the step is UNKNOWN if there is none */   \
    INS(FIELDEDGE, 1, 1) /* x: op, y: input, z: slot */                                            \
    INS(ROWEDGE, 1, 1)   /* x: op, z: slot */                                                      \
    INS(CALL, -1, 1)     /* x: enum td_lang_func, y: count */                                      \
    INS(WINDOW, 0, 1)    /* x: func, y: cell, z: input << 16 | slot */                             \
    INS(FOLD, 0, 0)      /* x: func, y: group, z: the FOLDEND; pushes for an empty group only */   \
    INS(FOLDEND, 1, 1)   /* takes a row's value; behind the last row pushes the result */

enum td_lang_opcode {
#define INS(name, pops, pushes) INS_##name,
    TD_LANG_INS(INS)
#undef INS
        INS_COUNT_
};

/* Three-valued: a condition's value for logic. */
enum td_lang_logic { LOGIC_FALSE, LOGIC_TRUE, LOGIC_UNKNOWN };

static inline enum td_lang_logic td_lang_logic_of(struct td_lang_value v)
{
    if (v.kind != TD_LANG_BOOL || v.quality != TD_LANG_KNOWN) {
        return LOGIC_UNKNOWN;
    }
    return v.truth ? LOGIC_TRUE : LOGIC_FALSE;
}

static inline struct td_lang_value td_lang_of_logic(enum td_lang_logic l)
{
    return l == LOGIC_UNKNOWN ? td_lang_unknown() : td_lang_truth(l == LOGIC_TRUE);
}

/* state.c: operators with a memory. */
struct td_lang_value td_lang_hold_for(struct td_lang_cell *cell, struct td_lang_value cond,
                                      struct td_lang_value span, struct td_lang_env *env);
struct td_lang_value td_lang_hyst(struct td_lang_cell *cell, struct td_lang_value on,
                                  struct td_lang_value off, struct td_lang_env *env);
struct td_lang_value td_lang_last(struct td_lang_cell *cell, struct td_lang_value v);
struct td_lang_value td_lang_edge(enum td_lang_op op, struct td_lang_cell *cell,
                                  struct td_lang_value v, struct td_lang_value step);
struct td_lang_value td_lang_row_edge(enum td_lang_op op, const struct td_lang_row *row,
                                      size_t slot, struct td_lang_value step,
                                      const struct td_lang_env *env);
struct td_lang_value td_lang_silent(const struct td_lang_row *row, struct td_lang_value span,
                                    struct td_lang_env *env);
/* The field with its quality at env.now. */
struct td_lang_value td_lang_row_value(const struct td_lang_row *row, size_t slot, td_mono now);

/* window.c */
struct td_lang_value td_lang_window(enum td_lang_func func, struct td_lang_window *w,
                                    const struct td_lang_row *row, size_t slot,
                                    struct td_lang_env *env);

#endif
