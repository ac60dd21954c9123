/* toml, private: what toml.c (documents, tables, keys) and toml_value.c share. */
#ifndef TD_BASE_TOML_INSIDE_H
#define TD_BASE_TOML_INSIDE_H

#include "base/toml.h"

struct td_toml_parser {
    const uint8_t *start, *at, *end;
    struct td_arena *arena;
    struct td_toml_error *error;
    enum td_err err;              /* the first failure sticks */
    struct td_toml *root, *table; /* the one whose keys are being read */
    unsigned depth;
    struct td_buf scratch; /* a string on its way into the arena */
    /* Where places were last asked for: places are asked for in order, mostly. */
    const uint8_t *seen, *seen_start; /* seen_start: of its line */
    uint32_t seen_line;
};

/* How a node came to be, which decides who may add to it. */
enum td_toml_made {
    TD_TOML_IMPLIED, /* on the way of [a.b]: may be opened once, and be added to */
    TD_TOML_OPENED,  /* by [a] or [[a]] */
    TD_TOML_DOTTED,  /* by a.b = ...: may be added to by keys of the same table */
    TD_TOML_VALUE    /* by a value: nobody may add to it */
};

/* Fails at p->at, or at another place. Gives false. */
bool td_toml_fail(struct td_toml_parser *p, const char *text);
bool td_toml_fail_at(struct td_toml_parser *p, const uint8_t *at, const char *text);
bool td_toml_full(struct td_toml_parser *p);
/* The byte at p->at + ahead, 0 at the end (a 0 in the text is refused beforehand). */
uint8_t td_toml_peek(const struct td_toml_parser *p, size_t ahead);
void td_toml_space(struct td_toml_parser *p); /* spaces and tabs */
bool td_toml_lines(struct td_toml_parser *p); /* those, comments and line ends */
/* A node at `at`; NULL: full. */
struct td_toml *td_toml_node(struct td_toml_parser *p, enum td_toml_type type, const uint8_t *at);
void td_toml_append(struct td_toml *parent, struct td_toml *child);

/* "key = value" into `table`. */
bool td_toml_pair(struct td_toml_parser *p, struct td_toml *table);
/* The value at p->at; NULL: failed. `at` is where to point later. */
struct td_toml *td_toml_value(struct td_toml_parser *p, const uint8_t *at);
/* A string in quotes at p->at; multi: """ and ''' are fine too. */
bool td_toml_string(struct td_toml_parser *p, bool multi, td_slice *out);

#endif
