/* toml: TOML 1.0 into a small tree.
 *
 *     [mqtt]                      root table
 *     listen = "127.0.0.1:1883"     `- mqtt: table
 *     limits.packet = 1024              |- listen: string
 *     [[profile]]                       `- limits: table `- packet: int
 *     name = "meter"                `- profile: array of tables `- table `- name: string
 *
 * Every node knows where it stands in the text, so that whoever reads the tree can point at it.
 * Dates and times are checked and kept as text. Bounds: 32 levels, and the arena's.
 * Stricter than the specification in one thing: a float beyond the largest double is an error. */
#ifndef TD_BASE_TOML_H
#define TD_BASE_TOML_H

#include "base/base.h"

enum { TD_TOML_DEPTH_MAX = 32 };

enum td_toml_type {
    TD_TOML_TABLE,
    TD_TOML_ARRAY,
    TD_TOML_STRING,
    TD_TOML_INT,
    TD_TOML_FLOAT,
    TD_TOML_BOOL,
    TD_TOML_TIME /* a date, a time, or both: `text` as it was written */
};

struct td_toml {
    enum td_toml_type type;
    td_slice key;          /* in its table; empty for the root and in arrays */
    uint32_t line, column; /* of its key, or of itself in an array; from 1, columns in bytes */
    unsigned char made;    /* how it came to be: the parser's own */
    struct td_toml *first, *last, *next; /* children in order; the next child of the parent */
    size_t count;                        /* of children */
    td_slice text;                       /* STRING, TIME; with a NUL behind it */
    int64_t integer;                     /* INT */
    double real;                         /* FLOAT, and INT as a double */
    bool boolean;                        /* BOOL */
};

struct td_toml_error {
    uint32_t line, column;
    char text[240];
};

/* Reads a whole document. The tree is made in `arena` and borrows nothing. TD_ESYNTAX: *error says
 * what is wrong and where; TD_EFULL: the arena's bound. On failure *out is untouched. */
enum td_err td_toml_parse(td_slice document, struct td_arena *arena, struct td_toml **out,
                          struct td_toml_error *error);
/* The child of that name, NULL: none. */
const struct td_toml *td_toml_get(const struct td_toml *table, td_slice key);
/* "table", "array", "string", "integer", "float", "true or false", "date or time". */
const char *td_toml_type_name(enum td_toml_type type);

/* Appends "name:line:column: text", the line and a caret, as compilers do. */
void td_toml_explain(const char *name, td_slice document, const struct td_toml_error *error,
                     struct td_buf *out);

#endif
