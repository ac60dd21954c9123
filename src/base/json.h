/* json: RFC 8259 without a tree.
 *
 * A pull tokenizer over borrowed text: each call gives the next piece, strings and numbers as spans
 * of the text. It knows the whole grammar, so a caller sees well-formed order only: every OBJECT
 * has its OBJECT_END, a KEY is always followed by its value.
 *
 *     {"a":[1,"x\n"]}  ->  OBJECT KEY(a) ARRAY NUMBER(1) STRING(x\n) ARRAY_END OBJECT_END END
 *
 * Stricter than the RFC where it leaves a choice: the text must be UTF-8 without a byte order mark,
 * a \u escape must not name half a surrogate pair, and nesting ends at TD_JSON_DEPTH_MAX. A key may
 * come twice; that is for the caller to judge. Nothing here allocates, except into the caller's
 * td_buf, and nothing depends on the locale.
 *
 * Beside it: exact number reading, unescaping, and writers for strings and numbers. */
#ifndef TD_BASE_JSON_H
#define TD_BASE_JSON_H

#include "base/base.h"

enum { TD_JSON_DEPTH_MAX = 64 };

enum td_json_kind {
    TD_JSON_END,        /* the one value is complete, only white space followed */
    TD_JSON_OBJECT,     /* { */
    TD_JSON_OBJECT_END, /* } */
    TD_JSON_ARRAY,      /* [ */
    TD_JSON_ARRAY_END,  /* ] */
    TD_JSON_KEY,        /* span: between the quotes, still escaped */
    TD_JSON_STRING,     /* the same */
    TD_JSON_NUMBER,     /* span: the digits and signs, for td_json_number() */
    TD_JSON_TRUE,
    TD_JSON_FALSE,
    TD_JSON_NULL,
    TD_JSON_ERROR /* `rule` says what is broken, `offset` where; every later call gives it again */
};

struct td_json_token {
    enum td_json_kind kind;
    bool escaped;     /* KEY, STRING: the span holds a backslash, see td_json_unescape() */
    unsigned depth;   /* objects and arrays around it; those of a pair have the same depth */
    td_slice span;    /* of the text; for ERROR empty */
    size_t offset;    /* of the token in the text */
    const char *rule; /* ERROR: a static text, else NULL */
};

struct td_json {
    const uint8_t *start, *at, *end;
    uint64_t arrays; /* bit i: the level i + 1 is an array */
    unsigned depth;
    unsigned char want;
    const char *rule; /* of the error that was met */
};

/* Begins with `text`, which is borrowed as long as tokens are in use. */
void td_json_init(struct td_json *j, td_slice text);
/* The next token; the same as out->kind. */
enum td_json_kind td_json_next(struct td_json *j, struct td_json_token *out);
/* `begin` is the token that came last; if it opened an object or array, goes on to its end. False:
 * an error was met. */
bool td_json_skip(struct td_json *j, const struct td_json_token *begin);
/* Is the whole of `text` one JSON value? */
bool td_json_valid(td_slice text);

/* Reads the span of a NUMBER (or any text that is one JSON number). *number is the double nearest
 * to it; *is_int: no fraction, no exponent, and within int64, then *integer is exact, else 0.
 * TD_ESYNTAX: not a number; TD_ERANGE: beyond the largest double. */
enum td_err td_json_number(td_slice span, double *number, int64_t *integer, bool *is_int);

/* Appends what a KEY or STRING says. TD_EFULL, TD_ENOMEM: then `out` may hold a part of it. */
enum td_err td_json_unescape(const struct td_json_token *token, struct td_buf *out);
/* Does a KEY or STRING say `text`? */
bool td_json_is(const struct td_json_token *token, td_slice text);

/* Writers, appending. Errors as td_buf_add(), then `out` may hold a part. */

/* With quotes; a byte that is not UTF-8 becomes U+FFFD. */
enum td_err td_json_add_string(struct td_buf *out, td_slice text);
/* The shortest decimal that reads back as the same double, laid out as ECMAScript does (12, 0.1,
 * 1e+21); not a number and the infinities, which JSON lacks, become null. */
enum td_err td_json_add_number(struct td_buf *out, double number);
enum td_err td_json_add_int(struct td_buf *out, int64_t number);

/* A document written piece by piece: commas come by themselves, the first failure sticks and is
 * tested once at the end. Order and nesting are the caller's duty. */
struct td_json_out {
    struct td_buf *to;
    enum td_err err;
    bool comma; /* the next piece needs one before it */
};

/* Appends to `to`. */
struct td_json_out td_json_out(struct td_buf *to);
void td_json_open(struct td_json_out *o, char bracket);  /* '{' or '[' */
void td_json_close(struct td_json_out *o, char bracket); /* '}' or ']' */
void td_json_key(struct td_json_out *o, const char *name);
void td_json_string(struct td_json_out *o, td_slice text);
void td_json_real(struct td_json_out *o, double number);
void td_json_int(struct td_json_out *o, int64_t number);
/* A piece that is JSON already: "null", "true", a number. */
void td_json_raw(struct td_json_out *o, const char *json);

#endif
