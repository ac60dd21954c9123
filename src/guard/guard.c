/* guard: principals and the verdict. A principal is made when its name first comes up, with the
 * grants that concern it gathered; after files were read anew all are gathered again. */
#include "guard/inside.h"

#include <stdlib.h>

/* ---- sets ---- */

static struct td_guard_set *set_new(void)
{
    struct td_guard_set *set = td_alloc(sizeof *set);
    td_arena_init(&set->arena, 0);
    td_map_init(&set->users, 0); /* the names are the owner's, not a stranger's */
    set->end = &set->first;
    td_guard_grants_built_in(set);
    return set;
}

static void set_free(struct td_guard_set *set)
{
    td_map_fini(&set->users);
    td_arena_fini(&set->arena);
    free(set);
}

struct td_guard *td_guard_new(void)
{
    struct td_guard *g = td_alloc(sizeof *g);
    td_map_init(&g->principals, 0);
    g->set = set_new();
    g->generation = 1;
    return g;
}

static void principal_free(struct td_guard *g, struct td_principal *p)
{
    g->by_number[p->number] = NULL;
    free(p->grants);
    free(p);
}

void td_guard_free(struct td_guard *g)
{
    for (uint32_t i = 0; i < g->number_cap; i++) {
        if (g->by_number[i] != NULL) {
            principal_free(g, g->by_number[i]);
        }
    }
    td_map_fini(&g->principals);
    free(g->by_number);
    td_guard_jwt_free(g->jwt);
    set_free(g->set);
    free(g);
}

bool td_guard_has_users(const struct td_guard *g)
{
    return g->set->has_users;
}

uint32_t td_guard_generation(const struct td_guard *g)
{
    return g->generation;
}

/* ---- principals ---- */

static bool is_own(td_slice name)
{
    return td_slice_eq(name, TD_STR(TD_GUARD_LOCAL)) ||
           td_slice_eq(name, TD_STR(TD_GUARD_ANONYMOUS));
}

static bool concerns(const struct td_grant *grant, const struct td_guard_user *user, td_slice name)
{
    switch (grant->to) {
    case TD_GRANT_EVERYBODY:
        return true;
    case TD_GRANT_ROLE:
        return user != NULL && td_guard_user_has_role(user, grant->who);
    case TD_GRANT_PRINCIPAL:
        return td_slice_eq(grant->who, name);
    }
    return false;
}

/* Role admin without a denial anywhere: nothing needs to be looked up. */
static bool has_all(const struct td_guard *g, const struct td_principal *p,
                    const struct td_guard_user *user)
{
    td_slice name = td_principal_name(p);
    bool admin = user != NULL && td_guard_user_has_role(user, TD_STR("admin"));
    bool denied = p->grant_count > 0 && p->grants[0]->deny;
    return td_slice_eq(name, TD_STR(TD_GUARD_LOCAL)) || !g->set->has_users || (admin && !denied);
}

static void gather(const struct td_guard *g, struct td_principal *p)
{
    td_slice name = td_principal_name(p);
    const struct td_guard_user *user = td_guard_user_find(g->set, name);
    free(p->grants);
    p->grants = td_alloc((g->set->grant_count + 1) * sizeof *p->grants);
    p->grant_count = 0;
    p->by_client = false;
    for (int allows = 0; allows <= 1; allows++) {
        for (const struct td_grant *grant = g->set->first; grant != NULL; grant = grant->next) {
            if (grant->deny == !allows && concerns(grant, user, name)) {
                p->grants[p->grant_count++] = grant;
                p->by_client = p->by_client || grant->pattern->by_client;
            }
        }
    }
    p->grants = td_realloc(p->grants, (p->grant_count + 1) * sizeof *p->grants);
    p->all = has_all(g, p, user);
}

static struct td_principal *principal_new(struct td_guard *g, td_slice name)
{
    struct td_principal *p = td_alloc(sizeof *p + name.n + 1);
    p->guard = g;
    p->number = ++g->last_number;
    p->name_n = (uint8_t)name.n;
    memcpy(p->name, name.p, name.n);
    if (p->number >= g->number_cap) {
        uint32_t cap = g->number_cap == 0 ? 16 : g->number_cap * 2;
        g->by_number = td_realloc(g->by_number, cap * sizeof(struct td_principal *));
        memset(g->by_number + g->number_cap, 0,
               (cap - g->number_cap) * sizeof(struct td_principal *));
        g->number_cap = cap;
    }
    g->by_number[p->number] = p;
    (void)td_map_put(&g->principals, td_principal_name(p), p);
    gather(g, p);
    return p;
}

struct td_principal *td_guard_principal(struct td_guard *g, td_slice name)
{
    struct td_principal *p = td_map_find(&g->principals, name);
    if (p == NULL) {
        bool known = !g->set->has_users || is_own(name) || td_guard_user_find(g->set, name) != NULL;
        if (!known || !td_guard_name_valid(name)) {
            return NULL;
        }
        p = principal_new(g, name);
    }
    p->refs++;
    return p;
}

struct td_principal *td_guard_user_principal(struct td_guard *g, td_slice name)
{
    return td_guard_user_find(g->set, name) == NULL ? NULL : td_guard_principal(g, name);
}

void td_principal_unref(struct td_guard *g, struct td_principal *p)
{
    td_assert(p->refs > 0);
    if (--p->refs == 0 && p->gone) {
        principal_free(g, p);
    }
}

td_slice td_guard_name(const struct td_guard *g, uint32_t number)
{
    const struct td_principal *p = number < g->number_cap ? g->by_number[number] : NULL;
    return p == NULL ? (td_slice){NULL, 0} : td_principal_name(p);
}

bool td_guard_author_gone(const struct td_guard *g, uint32_t number)
{
    if (number == 0) {
        return false;
    }
    return number >= g->number_cap || g->by_number[number] == NULL || g->by_number[number]->gone;
}

/* ---- reading files ---- */

static void retire(struct td_guard *g, struct td_principal *p)
{
    (void)td_map_remove(&g->principals, td_principal_name(p));
    p->gone = true;
    p->all = false;
    p->grant_count = 0;
    p->changed = g->generation;
    if (p->refs == 0) {
        principal_free(g, p);
    }
}

/* Brings a principal up to date with g->set, of which `old` was the one before. */
static void renew(struct td_guard *g, struct td_principal *p, const struct td_guard_set *old)
{
    td_slice name = td_principal_name(p);
    const struct td_guard_user *now = td_guard_user_find(g->set, name);
    const struct td_guard_user *before = td_guard_user_find(old, name);
    if (g->set->has_users && now == NULL && !is_own(name)) {
        retire(g, p);
        return;
    }
    if (g->set->has_users != old->has_users ||
        (now != NULL && before != NULL && !td_slice_eq(now->credentials, before->credentials))) {
        p->changed = g->generation;
    }
    gather(g, p);
}

enum td_err td_guard_load(struct td_guard *g, const struct td_guard_file *users,
                          const struct td_guard_file *grants, struct td_buf *why)
{
    struct td_guard_set *set = set_new();
    enum td_err err = TD_OK;
    if (users->name != NULL) {
        err = td_guard_users_read(set, users, why);
    }
    if (err == TD_OK && grants->name != NULL) {
        err = td_guard_grants_read(set, grants, why);
    }
    if (err != TD_OK) {
        set_free(set);
        return err;
    }
    struct td_guard_set *old = g->set;
    g->set = set;
    g->generation++;
    for (uint32_t i = 1; i <= g->last_number; i++) {
        if (g->by_number[i] != NULL && !g->by_number[i]->gone) {
            renew(g, g->by_number[i], old);
        }
    }
    set_free(old);
    return TD_OK;
}

/* ---- the verdict ---- */

bool td_guard_may_slow(const struct td_principal *p, td_slice client_id, unsigned action,
                       td_slice topic)
{
    struct td_guard_who who = {td_principal_name(p), client_id, false};
    for (uint32_t i = 0; i < p->grant_count; i++) {
        const struct td_grant *grant = p->grants[i];
        who.deny = grant->deny;
        if ((grant->actions & action) != 0 &&
            td_guard_pattern_matches(grant->pattern, &who, topic)) {
            return !grant->deny; /* denials stand first */
        }
    }
    return p->all;
}

bool td_guard_may_filter(const struct td_principal *p, td_slice client_id, unsigned action,
                         td_slice filter)
{
    struct td_guard_who who = {td_principal_name(p), client_id, false};
    for (uint32_t i = 0; i < p->grant_count && !p->all; i++) {
        const struct td_grant *grant = p->grants[i];
        who.deny = grant->deny;
        if ((grant->actions & action) == 0) {
            continue;
        }
        if (grant->deny ? td_guard_pattern_meets(grant->pattern, &who, filter)
                        : td_guard_pattern_covers(grant->pattern, &who, filter)) {
            return !grant->deny;
        }
    }
    return p->all;
}

static void explain_grant(const struct td_grant *grant, struct td_buf *out)
{
    static const char *const to[] = {"everybody", "role ", ""};
    (void)td_buf_printf(out, "  %s for %s%.*s: '%.*s'", grant->deny ? "deny" : "allow",
                        to[grant->to], (int)grant->who.n, (const char *)grant->who.p,
                        (int)grant->text.n, (const char *)grant->text.p);
    if (grant->line > 0) {
        (void)td_buf_printf(out, " (%s:%u)\n", grant->file, (unsigned)grant->line);
    } else {
        (void)td_buf_printf(out, " (%s)\n", grant->file);
    }
}

bool td_guard_explain(const struct td_principal *p, td_slice client_id, unsigned action,
                      td_slice topic, struct td_buf *out)
{
    if (p == NULL) {
        (void)td_buf_printf(out, "no: there is no such principal\n");
        return false;
    }
    bool may = td_guard_may(p, client_id, action, topic), any = false;
    (void)td_buf_printf(out, "%s\n", may ? "yes" : "no");
    for (uint32_t i = 0; i < p->grant_count; i++) {
        const struct td_grant *grant = p->grants[i];
        struct td_guard_who who = {td_principal_name(p), client_id, grant->deny};
        if ((grant->actions & action) != 0 &&
            td_guard_pattern_matches(grant->pattern, &who, topic)) {
            explain_grant(grant, out);
            any = true;
        }
    }
    if (!any) {
        (void)td_buf_printf(out,
                            p->all ? "  it may do everything\n"
                                   : "  no grant for it says so, and what none allows is denied\n");
    }
    return may;
}
