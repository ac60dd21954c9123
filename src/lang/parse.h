/* lang, private: the parser's hands. Recursive descent, two tokens of look-ahead. The first error
 * of a statement sticks (p->bad): every loop ends on it, later ones of the same statement are its
 * consequences and stay unsaid. */
#ifndef TD_LANG_PARSE_H
#define TD_LANG_PARSE_H

#include "lang/lex.h"

struct td_lang_parser {
    struct td_arena *arena;
    struct td_lang_diag *diag;
    struct td_lang_lexer lexer;
    struct td_lang_token tok, ahead; /* the current one and the one behind it */
    struct td_lang_place last;       /* of the token before */
    uint64_t hash;
    unsigned depth;
    int braces;
    bool bad, full; /* full: the arena is */
    bool unclosed;  /* the next statement began before this one ended */
};

/* Tokens. */
bool td_lang_starts_statement(const struct td_lang_parser *p);
void td_lang_advance(struct td_lang_parser *p);
bool td_lang_at(const struct td_lang_parser *p, enum td_lang_kw kw);
bool td_lang_at_char(const struct td_lang_parser *p, char c);
bool td_lang_take(struct td_lang_parser *p, enum td_lang_kw kw);
bool td_lang_take_char(struct td_lang_parser *p, char c);
bool td_lang_want(struct td_lang_parser *p, enum td_lang_kw kw, const char *where);
bool td_lang_want_char(struct td_lang_parser *p, char c, const char *where);
/* "expected <what>, found 'x'". */
void td_lang_expected(struct td_lang_parser *p, const char *what);
/* "<what> is not built yet" at the current token. */
void td_lang_not_yet(struct td_lang_parser *p, const char *what, const char *instead);
void td_lang_parse_error(struct td_lang_parser *p, struct td_lang_place at, const char *text,
                         const char *remedy);

/* Pieces. NULL, false or an empty name: p->bad. */
void *td_lang_new(struct td_lang_parser *p, size_t bytes);
#define TD_LANG_NEW(p, type) ((type *)td_lang_new((p), sizeof(type)))
struct td_lang_name td_lang_want_name(struct td_lang_parser *p, const char *what);
/* Any word, also a keyword: behind a dot, in objects and fields. */
struct td_lang_name td_lang_want_word(struct td_lang_parser *p, const char *what);
td_slice td_lang_want_string(struct td_lang_parser *p, const char *what,
                             struct td_lang_place *place);
bool td_lang_want_nat(struct td_lang_parser *p, const char *what, unsigned most, unsigned *out);
struct td_lang_place td_lang_from(const struct td_lang_parser *p, struct td_lang_place first);

/* parse_expr.c, parse_act.c. */
struct td_lang_expr *td_lang_parse_expr(struct td_lang_parser *p);
struct td_lang_expr *td_lang_parse_sum(struct td_lang_parser *p);
struct td_lang_expr *td_lang_parse_ref(struct td_lang_parser *p);
struct td_lang_object *td_lang_parse_object(struct td_lang_parser *p);
struct td_lang_assign *td_lang_parse_assign(struct td_lang_parser *p);
struct td_lang_expr *td_lang_expr_new(struct td_lang_parser *p, enum td_lang_op op,
                                      struct td_lang_place place);

/* parse_field.c */
struct td_lang_field *td_lang_parse_fields(struct td_lang_parser *p);
void td_lang_parse_type(struct td_lang_parser *p, struct td_lang_field *f);
bool td_lang_parse_range(struct td_lang_parser *p, struct td_lang_field *f);
bool td_lang_parse_rate(struct td_lang_parser *p, double *count, struct td_lang_expr **per);
struct td_lang_unit td_lang_want_unit(struct td_lang_parser *p);

/* parse_act.c: one action, appended. False: there is none here (or p->bad). */
bool td_lang_parse_act(struct td_lang_parser *p, struct td_lang_act **list);
bool td_lang_parse_per(struct td_lang_parser *p, struct td_lang_stmt *s);
bool td_lang_parse_priority(struct td_lang_parser *p, unsigned *out);
bool td_lang_parse_let(struct td_lang_parser *p, struct td_lang_stmt *s);
bool td_lang_parse_gap(struct td_lang_parser *p, struct td_lang_stmt *s);
/* A clause that may stand once: WORD expr. */
bool td_lang_parse_clause(struct td_lang_parser *p, enum td_lang_kw kw, struct td_lang_expr **out);

/* parse_machine.c, parse_test.c */
void td_lang_parse_machine(struct td_lang_parser *p, struct td_lang_stmt *s);
void td_lang_parse_test(struct td_lang_parser *p, struct td_lang_stmt *s);

/* Appends `node` to the list at `head`: every list node begins with its next pointer. */
void td_lang_append(void *head, void *node);

#endif
