/* rules, private: a compiled TEST. */
#ifndef TD_RULES_TEST_H
#define TD_RULES_TEST_H

#include "rules/set.h"

struct td_step {
    struct td_step *next;
    const struct td_lang_step *ast;
    td_mono from, to, every;   /* every 0: once */
    struct td_input at;        /* ASSIGN, MUTE: whose row */
    struct td_assign *assigns; /* ASSIGN */
    struct td_code code;       /* EXPECT, RESTART AFTER */
    struct td_obj *object;     /* SENT */
    td_mono due;               /* while it runs: when next */
};

struct td_test {
    struct td_test *next;
    const struct td_lang_stmt *stmt;
    struct td_statement *st; /* stands for a statement without keys */
    struct td_step *steps;
    struct td_lang_scope scope;
};

#endif
