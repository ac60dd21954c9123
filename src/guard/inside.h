/* guard, private: what its files share. */
#ifndef TD_GUARD_INSIDE_H
#define TD_GUARD_INSIDE_H

#include "guard/guard.h"

/* ---- lines of a file ---- */

struct td_guard_lines {
    const struct td_guard_file *file;
    td_slice rest, line; /* line: without comment line, end and blanks around it */
    uint32_t number;
    struct td_buf *why;
};

/* The next line that says something; false: no more. */
bool td_guard_line_next(struct td_guard_lines *l);
/* "name:line: what", and TD_ESYNTAX. */
enum td_err td_guard_line_wrong(const struct td_guard_lines *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Cuts the first word off the front of *rest, which then begins behind the blanks. */
td_slice td_guard_word_next(td_slice *rest);

/* ---- users.c ---- */

/* Texts are in the set's arena, each with a NUL behind it. */
struct td_guard_user {
    td_slice name;
    td_slice roles;       /* comma between them; empty: device */
    td_slice credentials; /* blanks between them */
    uint32_t line;
};

/* What both files say. */
struct td_guard_set {
    struct td_arena arena;
    struct td_map users; /* name -> struct td_guard_user */
    struct td_grant *first, **end;
    size_t grant_count;
    bool has_users;
};

enum td_err td_guard_users_read(struct td_guard_set *set, const struct td_guard_file *file,
                                struct td_buf *why);
/* NULL: no such user. */
const struct td_guard_user *td_guard_user_find(const struct td_guard_set *set, td_slice name);
bool td_guard_user_has_role(const struct td_guard_user *user, td_slice role);

/* ---- grants.c ---- */

enum td_grant_to { TD_GRANT_EVERYBODY, TD_GRANT_ROLE, TD_GRANT_PRINCIPAL };

struct td_grant {
    struct td_grant *next;
    enum td_grant_to to;
    td_slice who; /* role or principal */
    bool deny;
    uint8_t actions;
    const struct td_guard_pattern *pattern;
    td_slice text; /* of the pattern */
    const char *file;
    uint32_t line; /* 0: built in */
};

enum td_err td_guard_grants_read(struct td_guard_set *set, const struct td_guard_file *file,
                                 struct td_buf *why);
/* What everybody has without a word: role device its own things, role admin everything. */
void td_guard_grants_built_in(struct td_guard_set *set);

/* ---- jwt.c ---- */

struct td_guard_jwt;
/* NULL is fine. */
void td_guard_jwt_free(struct td_guard_jwt *jwt);

struct td_guard {
    struct td_guard_set *set;
    struct td_guard_jwt *jwt;        /* NULL: no tokens of others are taken */
    struct td_map principals;        /* by name; those that are gone are not in it */
    struct td_principal **by_number; /* number_cap of them */
    uint32_t number_cap, last_number;
    uint32_t generation;
};

#endif
