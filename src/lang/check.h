/* lang, private: what check.c and check_call.c share. */
#ifndef TD_LANG_CHECK_H
#define TD_LANG_CHECK_H

#include "lang/lang.h"

/* Checks *e and what is under it. `fold`: the fold it stands in, or NULL. */
bool td_lang_check_expr(struct td_lang_scope *s, struct td_lang_expr **e,
                        struct td_lang_expr *fold);
/* *e must be (or become) of type `want`; `what` for people. Already checked. */
bool td_lang_check_want(struct td_lang_scope *s, struct td_lang_expr **e,
                        const struct td_lang_type *want, const char *what);
/* Brings two checked numbers to one unit (that of *a, or of the one that has one). */
bool td_lang_check_unify(struct td_lang_scope *s, struct td_lang_expr **a, struct td_lang_expr **b,
                         const char *what);
bool td_lang_check_call(struct td_lang_scope *s, struct td_lang_expr **e,
                        struct td_lang_expr *fold);
bool td_lang_check_window(struct td_lang_scope *s, struct td_lang_expr *e,
                          struct td_lang_expr *fold);
/* Gives e a memory; not inside a fold. */
bool td_lang_check_cell(struct td_lang_scope *s, struct td_lang_expr *e, struct td_lang_expr *fold);
bool td_lang_check_says(struct td_lang_scope *s, const struct td_lang_expr *e, const char *what,
                        const char *remedy);
/* A number (of whatever unit); else told to diag. */
bool td_lang_check_number(struct td_lang_scope *s, const struct td_lang_expr *e, const char *what);
bool td_lang_check_numeric(const struct td_lang_expr *e);

extern const struct td_lang_type td_lang_type_bool, td_lang_type_duration, td_lang_type_plain;

#endif
