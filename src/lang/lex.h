/* lang, private: tokens. */
#ifndef TD_LANG_LEX_H
#define TD_LANG_LEX_H

#include "lang/lang.h"

enum td_lang_kw {
    KW_NONE,
#define KW(word) KW_##word,
#include "lang/keywords.def"
#undef KW
    KW_COUNT_
};

enum td_lang_tok {
    TOK_END,
    TOK_WORD,  /* kw says whether it is reserved */
    TOK_NUM,   /* num, and unit if has_unit */
    TOK_TOD,   /* 06:30 */
    TOK_STR,   /* text: without quotes; '' inside stands for ' */
    TOK_PATH,  /* $.a.b[0] */
    TOK_UNIT,  /* one that begins with no letter: °C, % */
    TOK_RANGE, /* .. */
    TOK_LE,
    TOK_GE,
    TOK_NE,
    TOK_CHAR, /* c: ( ) [ ] { } , ; : . = < > + - * / */
    TOK_BAD   /* told to diag already */
};

struct td_lang_token {
    enum td_lang_tok kind;
    enum td_lang_kw kw;
    char c;
    bool has_unit, is_duration, escaped;
    double num;
    struct td_lang_unit unit;
    td_slice text;
    struct td_lang_place place;
};

struct td_lang_lexer {
    struct td_lang_diag *diag;
    td_slice text;
    uint32_t file, at;
    bool quiet; /* the statement is given up: its further errors are not told */
};

/* The next token; errors are told to diag and give TOK_BAD. Behind the last one: TOK_END. */
void td_lang_lex(struct td_lang_lexer *lx, struct td_lang_token *out);
const char *td_lang_kw_name(enum td_lang_kw kw);

#endif
