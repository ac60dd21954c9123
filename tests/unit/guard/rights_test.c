/* Grants: patterns against a slow, obvious model; files and their errors; a million random
 * questions without a leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard/guard.h"

/* ---- the reference: what a pattern means, the slow way ---- */

struct levels {
    char at[8][24];
    size_t n;
};

static struct levels split(const char *text)
{
    struct levels out = {.n = 1};
    size_t i = 0;
    for (; *text != '\0'; text++) {
        if (*text == '/') {
            out.at[out.n - 1][i] = '\0';
            out.n++;
            i = 0;
        } else {
            out.at[out.n - 1][i++] = *text;
        }
    }
    out.at[out.n - 1][i] = '\0';
    return out;
}

static bool odd(const char *id)
{
    return id[0] == '\0' || strpbrk(id, "+#/") != NULL;
}

static bool level_fits(const char *p, const char *t, const char *user, const char *client,
                       bool deny, bool first)
{
    bool stands = strcmp(p, "%u") == 0 || strcmp(p, "%c") == 0;
    const char *own = strcmp(p, "%u") == 0 ? user : strcmp(p, "%c") == 0 ? client : p;
    if (first && t[0] == '$' && (strcmp(p, "+") == 0 || (stands && !deny))) {
        return false;
    }
    if (stands && odd(own)) {
        return deny;
    }
    return strcmp(p, "+") == 0 || strcmp(own, t) == 0;
}

static bool model(const char *pattern, const char *topic, const char *user, const char *client,
                  bool deny)
{
    struct levels p = split(pattern), t = split(topic);
    for (size_t i = 0; i < p.n; i++) {
        if (strcmp(p.at[i], "#") == 0) {
            return i > 0 || topic[0] != '$';
        }
        if (i >= t.n || !level_fits(p.at[i], t.at[i], user, client, deny, i == 0)) {
            return false;
        }
    }
    return p.n == t.n;
}

/* ---- help ---- */

static td_slice S(const char *text)
{
    return td_slice_of(text);
}

static struct td_guard *guard_of(const char *users, const char *grants)
{
    struct td_guard *g = td_guard_new();
    struct td_guard_file u = {"users", S(users)}, t = {"grants", S(grants)};
    struct td_buf why;
    td_buf_init(&why, 4096);
    enum td_err err = td_guard_load(g, &u, &t, &why);
    if (err != TD_OK) {
        fail_msg("%.*s", (int)why.n, (const char *)why.p);
    }
    td_buf_fini(&why);
    return g;
}

/* ---- patterns ---- */

static void levels_are_compared_whole(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *user, *client, *topic;
        bool allow, deny;
    } cases[] = {
        {"things/%u/#", "pump7", "c", "things/pump7/rpm", true, true},
        {"things/%u/#", "pump7", "c", "things/pump7", true, true},
        {"things/%u/#", "pump7", "c", "things/pump70/rpm", false, false},
        {"%c/x", "u", "+", "a/x", false, true},
        {"%c/x", "u", "#", "a/x", false, true},
        {"%c/x", "u", "a/b", "a/b/x", false, false},
        {"%c/x", "u", "a/b", "a/x", false, true},
        {"%c/#", "u", "$SYS", "$SYS/broker", false, true},
        {"+/x", "u", "c", "$SYS/x", false, false},
        {"#", "u", "c", "$SYS/x", false, false},
        {"$SYS/#", "u", "c", "$SYS/x", true, true},
        {"a//b", "u", "c", "a//b", true, true},
        {"a/+", "u", "c", "a/", true, true},
        {"a/+", "u", "c", "a", false, false},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_arena arena;
        const char *wrong;
        td_arena_init(&arena, 0);
        struct td_guard_pattern *p = td_guard_pattern_parse(S(cases[i].pattern), &arena, &wrong);
        assert_non_null(p);
        for (int deny = 0; deny <= 1; deny++) {
            struct td_guard_who who = {S(cases[i].user), S(cases[i].client), deny != 0};
            bool want = deny ? cases[i].deny : cases[i].allow;
            assert_int_equal(want, td_guard_pattern_matches(p, &who, S(cases[i].topic)));
            assert_int_equal(want, model(cases[i].pattern, cases[i].topic, cases[i].user,
                                         cases[i].client, deny != 0));
        }
        td_arena_fini(&arena);
    }
}

static void a_filter_must_lie_inside(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *filter;
        bool covers, meets;
    } cases[] = {
        {"a/#", "a/#", true, true},     {"a/#", "a", true, true},
        {"a/#", "a/+/c", true, true},   {"a/#", "+/b", false, true},
        {"a/#", "#", false, true},      {"a/+", "a/#", false, true},
        {"a/+", "a/+", true, true},     {"a/+", "a/b", true, true},
        {"a/b", "a/+", false, true},    {"#", "$SYS/#", false, false},
        {"#", "#", true, true},         {"+/b", "#", false, true},
        {"$SYS/#", "#", false, false},  {"$SYS/#", "+/x", false, false},
        {"a", "a/#", false, true},      {"a", "b/#", false, false},
        {"a/b/c", "a/+", false, false}, {"%u/#", "me/#", true, true},
        {"%u/#", "+/x", false, true},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_arena arena;
        const char *wrong;
        struct td_guard_who who = {S("me"), S("c"), false};
        td_arena_init(&arena, 0);
        struct td_guard_pattern *p = td_guard_pattern_parse(S(cases[i].pattern), &arena, &wrong);
        assert_int_equal(cases[i].covers, td_guard_pattern_covers(p, &who, S(cases[i].filter)));
        assert_int_equal(cases[i].meets, td_guard_pattern_meets(p, &who, S(cases[i].filter)));
        td_arena_fini(&arena);
    }
}

/* ---- a million random grants ---- */

static const char *const words[] = {"a", "b", "$s", "+", "%u", "%c", "u1"};
static const char *const topics[] = {
    "a",    "b",     "$s",   "u1",    "a/a",   "a/b",   "b/a",    "b/b",    "$s/a",  "u1/a",
    "a/u1", "u1/u1", "a/$s", "$s/$s", "a/a/a", "a/b/a", "b/u1/a", "$s/a/b", "a/a/b", "u1/b/u1"};
static const char *const clients[] = {"a", "u1", "+", "#", "a/b", "$s"};

static void random_filter(struct td_rng *r, char out[64], bool pattern)
{
    size_t levels = 1 + td_rng_below(r, 3);
    out[0] = '\0';
    if (td_rng_below(r, 12) == 0) {
        (void)strcat(out, "#");
        return;
    }
    for (size_t i = 0; i < levels; i++) {
        size_t w;
        do {
            w = td_rng_below(r, TD_COUNT(words));
        } while (!pattern && words[w][0] == '%');
        (void)strcat(out, i == 0 ? "" : "/");
        (void)strcat(out, words[w]);
    }
    if (td_rng_below(r, 4) == 0) {
        (void)strcat(out, "/#");
    }
}

enum { GRANTS = 4 };

struct trial {
    char patterns[GRANTS][64];
    bool deny[GRANTS];
    size_t count;
    const char *client;
};

static bool model_may(const struct trial *t, const char *topic)
{
    bool may = false;
    for (size_t i = 0; i < t->count; i++) {
        if (model(t->patterns[i], topic, "u1", t->client, t->deny[i])) {
            if (t->deny[i]) {
                return false;
            }
            may = true;
        }
    }
    return may;
}

static void trial_make(struct td_rng *r, struct trial *t, char text[512])
{
    t->count = 1 + td_rng_below(r, GRANTS);
    t->client = clients[td_rng_below(r, TD_COUNT(clients))];
    text[0] = '\0';
    for (size_t i = 0; i < t->count; i++) {
        random_filter(r, t->patterns[i], true);
        t->deny[i] = td_rng_below(r, 4) == 0;
        size_t n = strlen(text);
        (void)snprintf(text + n, 512 - n, "u1 %s read %s\n", t->deny[i] ? "deny" : "allow",
                       t->patterns[i]);
    }
}

static void a_million_random_grants_leak_nothing(void **state)
{
    (void)state;
    struct td_rng r;
    size_t yes = 0, no = 0, filters = 0, grants = 0;
    struct td_guard_cache *cache = td_guard_cache_new(7);
    td_rng_init(&r, 4711);
    struct td_guard *g = td_guard_new();
    while (grants < 1000000) {
        struct trial t;
        char text[512], filter[64];
        trial_make(&r, &t, text);
        grants += t.count;
        struct td_guard_file u = {"users", S("u1:none:\n")}, f = {"grants", S(text)};
        assert_int_equal(TD_OK, td_guard_load(g, &u, &f, NULL));
        struct td_principal *p = td_guard_principal(g, S("u1"));
        random_filter(&r, filter, false);
        bool granted = td_guard_may_filter(p, S(t.client), TD_GUARD_READ, S(filter));
        filters += granted;
        for (size_t i = 0; i < TD_COUNT(topics); i++) {
            bool want = model_may(&t, topics[i]);
            yes += want;
            no += !want;
            if (want != td_guard_may_cached(cache, p, S(t.client), TD_GUARD_READ, S(topics[i]))) {
                fail_msg("%s as %s:\n%s", topics[i], t.client, text);
            }
            if (granted && model(filter, topics[i], "", "", false) && !want) {
                fail_msg("%s leaks %s to %s:\n%s", filter, topics[i], t.client, text);
            }
        }
        td_principal_unref(g, p);
    }
    td_guard_free(g);
    td_guard_cache_free(cache);
    assert_true(yes > 1000000 && no > 1000000 && filters > 50000);
}

/* ---- files ---- */

static void a_device_may_speak_below_its_own_name(void **state)
{
    (void)state;
    struct td_guard *g = guard_of("pump7::\nanna:admin:\n", "");
    struct td_principal *p = td_guard_principal(g, S("pump7")),
                        *a = td_guard_principal(g, S("anna"));
    assert_true(td_guard_may(p, S("x"), TD_GUARD_PUBLISH, S("things/pump7/rpm")));
    assert_true(td_guard_may(p, S("x"), TD_GUARD_WRITE, S("things/pump7/rpm")));
    assert_false(td_guard_may(p, S("x"), TD_GUARD_PUBLISH, S("things/pump8/rpm")));
    assert_false(td_guard_may(p, S("x"), TD_GUARD_ADMIN, S("things/pump7/rpm")));
    assert_true(td_guard_may_filter(p, S("x"), TD_GUARD_SUBSCRIBE, S("things/pump7/#")));
    assert_false(td_guard_may_filter(p, S("x"), TD_GUARD_SUBSCRIBE, S("things/+/rpm")));
    assert_true(a->all);
    assert_null(td_guard_principal(g, S("nobody")));
    td_principal_unref(g, p);
    td_principal_unref(g, a);
    td_guard_free(g);
}

static void without_users_everybody_may_everything(void **state)
{
    (void)state;
    struct td_guard *g = td_guard_new();
    struct td_principal *p = td_guard_principal(g, S("local")), *q = td_guard_principal(g, S("x"));
    assert_true(p->all && q->all && p->number != q->number);
    assert_true(td_slice_eq(S("x"), td_guard_name(g, q->number)));
    assert_int_equal(0, td_guard_name(g, 0).n);
    td_principal_unref(g, p);
    td_principal_unref(g, q);
    td_guard_free(g);
}

static void who_is_taken_from_the_file_is_gone(void **state)
{
    (void)state;
    struct td_guard *g =
        guard_of("a::\nb::\nc::$token$"
                 "0123456789012345678901234567890123456789012345678901234567890123\n",
                 "* allow all #\n");
    struct td_principal *a = td_guard_principal(g, S("a")), *b = td_guard_principal(g, S("b"));
    struct td_principal *c = td_guard_principal(g, S("c"));
    struct td_guard_file u = {"users", S("b::\nc::\n")}, t = {"grants", S("* allow read #\n")};
    assert_int_equal(TD_OK, td_guard_load(g, &u, &t, NULL));
    assert_true(a->gone && !b->gone);
    assert_false(td_guard_may(a, S("x"), TD_GUARD_READ, S("x")));
    assert_true(td_guard_may(b, S("x"), TD_GUARD_READ, S("x")));
    assert_false(td_guard_may(b, S("x"), TD_GUARD_PUBLISH, S("x")));
    assert_int_equal(td_guard_generation(g), c->changed);
    assert_int_not_equal(td_guard_generation(g), b->changed);
    assert_null(td_guard_principal(g, S("a")));
    uint32_t number = a->number;
    td_principal_unref(g, a);
    u.text = S("a::\nb::\n");
    assert_int_equal(TD_OK, td_guard_load(g, &u, &t, NULL));
    a = td_guard_principal(g, S("a"));
    assert_int_not_equal(number, a->number);
    td_principal_unref(g, a);
    td_principal_unref(g, b);
    td_principal_unref(g, c);
    td_guard_free(g);
}

static void a_broken_file_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *users, *grants, *says;
    } cases[] = {
        {"a", "", NULL},
        {"a::\na::\n", "", "users:2: a stands already in line 1"},
        {"a b::\n", "", "users:1: a line is NAME:ROLES:CREDENTIALS"},
        {"# x\n\n a+b::\n", "", "users:3: a line is"},
        {"$a::\n", "", "users:1: a line is"},
        {"local::\n", "", "users:1: local is a name of the hub's own"},
        {"a::secret\n", "", "users:1: 'secret' is no credential"},
        {"a::$argon2id$v=19$m=9999999,t=2,p=1$c2FsdA$aGFzaA\n", "", "users:1: '$argon2id"},
        {"a::$token$12\n", "", "users:1: '$token$12' is no credential"},
        {"", "a permit read #\n", "grants:1: behind who stands allow or deny, not 'permit'"},
        {"", "a allow red #\n", "grants:1: 'red' is no action"},
        {"", "a allow read\n", "grants:1: pattern '': a pattern has at least one character"},
        {"", "\n# c\na allow read #/x\n", "grants:3: pattern '#/x': # is the last level"},
        {"", "a allow read x%u/y\n", "grants:1: pattern 'x%u/y': + # %u and %c each stand"},
        {"", "role: allow read #\n", "grants:1: 'role:' is no principal"},
        {"", "a/b allow read #\n", "grants:1: 'a/b' is no principal"},
        {"", "* deny send,receive a b/# \n", NULL},
    };
    struct td_guard *g = guard_of("keep::\n", "keep allow read x\n");
    struct td_principal *p = td_guard_principal(g, S("keep"));
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_guard_file u = {"users", S(cases[i].users)}, t = {"grants", S(cases[i].grants)};
        struct td_buf why;
        td_buf_init(&why, 4096);
        struct td_guard *other = td_guard_new();
        enum td_err err = td_guard_load(other, &u, &t, &why);
        td_guard_free(other);
        if (cases[i].says == NULL) {
            assert_int_equal(TD_OK, err);
        } else {
            assert_int_equal(TD_ESYNTAX, err);
            assert_true(why.n >= strlen(cases[i].says));
            why.n = strlen(cases[i].says);
            assert_true(td_slice_eq(S(cases[i].says), td_buf_slice(&why)));
            assert_int_equal(TD_ESYNTAX, td_guard_load(g, &u, &t, &why));
            assert_true(td_guard_may(p, S("c"), TD_GUARD_READ, S("x")));
        }
        td_buf_fini(&why);
    }
    td_principal_unref(g, p);
    td_guard_free(g);
}

static void a_question_is_explained(void **state)
{
    (void)state;
    struct td_guard *g = guard_of("a:op:\n", "role:op allow read x/#\na deny read x/y\n");
    struct td_principal *p = td_guard_principal(g, S("a"));
    struct td_buf out;
    td_buf_init(&out, 4096);
    assert_false(td_guard_explain(p, S("c"), TD_GUARD_READ, S("x/y"), &out));
    assert_true(td_slice_eq(S("no\n  deny for a: 'x/y' (grants:2)\n"
                              "  allow for role op: 'x/#' (grants:1)\n"),
                            td_buf_slice(&out)));
    td_buf_fini(&out);
    td_principal_unref(g, p);
    td_guard_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_compared_whole),
        cmocka_unit_test(a_filter_must_lie_inside),
        cmocka_unit_test(a_million_random_grants_leak_nothing),
        cmocka_unit_test(a_device_may_speak_below_its_own_name),
        cmocka_unit_test(without_users_everybody_may_everything),
        cmocka_unit_test(who_is_taken_from_the_file_is_gone),
        cmocka_unit_test(a_broken_file_changes_nothing),
        cmocka_unit_test(a_question_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
