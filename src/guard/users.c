/* guard: the users file. A line is a principal:
 *
 *     name:roles:credentials
 *     pump7::$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA
 *     anna:admin,operator:$argon2id$...
 *
 * Without roles a user is a device. Several credentials, with blanks between them, lead to the same
 * principal. `tandem user` writes the file; it holds no password that can be read back. */
#include "guard/inside.h"

bool td_guard_name_valid(td_slice name)
{
    if (!td_in(name.n, 1, TD_GUARD_NAME_MAX) || !td_utf8_mqtt(name) || name.p[0] == '$') {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] <= ' ' || memchr("+#/:,", name.p[i], 5) != NULL) {
            return false;
        }
    }
    return true;
}

static td_slice field_next(td_slice *rest)
{
    td_slice field = td_slice_head(*rest, td_slice_find(*rest, ':'));
    *rest = td_slice_skip(*rest, field.n + 1);
    return field;
}

static bool roles_valid(td_slice roles)
{
    while (roles.n > 0) {
        td_slice role = td_slice_head(roles, td_slice_find(roles, ','));
        if (!td_guard_name_valid(role)) {
            return false;
        }
        roles = td_slice_skip(roles, role.n + 1);
    }
    return true;
}

static enum td_err credentials_check(const struct td_guard_lines *l, td_slice rest)
{
    while (rest.n > 0) {
        td_slice word = td_guard_word_next(&rest);
        if (!td_guard_credential_valid(word)) {
            return td_guard_line_wrong(l,
                                       "'%.*s' is no credential of a kind that is known; write "
                                       "it with `tandem user password`",
                                       (int)(word.n < 40 ? word.n : 40), (const char *)word.p);
        }
    }
    return TD_OK;
}

static enum td_err user_read(const struct td_guard_lines *l, struct td_guard_user *out)
{
    td_slice rest = l->line;
    out->line = l->number;
    out->name = field_next(&rest);
    out->roles = field_next(&rest);
    out->credentials = rest;
    if (!td_guard_name_valid(out->name) || !roles_valid(out->roles)) {
        return td_guard_line_wrong(l, "a line is NAME:ROLES:CREDENTIALS, and names have 1 to 128 "
                                      "bytes without blanks and + # / : , and do not begin with $");
    }
    if (td_slice_eq(out->name, TD_STR(TD_GUARD_LOCAL)) ||
        td_slice_eq(out->name, TD_STR(TD_GUARD_ANONYMOUS))) {
        return td_guard_line_wrong(l, "%.*s is a name of the hub's own; take another one",
                                   (int)out->name.n, (const char *)out->name.p);
    }
    return credentials_check(l, rest);
}

enum td_err td_guard_users_read(struct td_guard_set *set, const struct td_guard_file *file,
                                struct td_buf *why)
{
    td_slice text = td_arena_copy(&set->arena, file->text);
    struct td_guard_lines l = {.file = file, .rest = text, .why = why};
    set->has_users = true;
    while (td_guard_line_next(&l)) {
        struct td_guard_user *user = td_arena_alloc(&set->arena, sizeof *user);
        enum td_err err = user_read(&l, user);
        if (err != TD_OK) {
            return err;
        }
        const struct td_guard_user *other = td_map_put(&set->users, user->name, user);
        if (other != NULL) {
            return td_guard_line_wrong(&l, "%.*s stands already in line %u; remove one of them",
                                       (int)user->name.n, (const char *)user->name.p,
                                       (unsigned)other->line);
        }
    }
    return TD_OK;
}

const struct td_guard_user *td_guard_user_find(const struct td_guard_set *set, td_slice name)
{
    return td_map_find(&set->users, name);
}

bool td_guard_user_has_role(const struct td_guard_user *user, td_slice role)
{
    td_slice rest = user->roles;
    if (rest.n == 0) {
        return td_slice_eq(role, TD_STR("device"));
    }
    while (rest.n > 0) {
        td_slice one = td_slice_head(rest, td_slice_find(rest, ','));
        if (td_slice_eq(one, role)) {
            return true;
        }
        rest = td_slice_skip(rest, one.n + 1);
    }
    return false;
}
