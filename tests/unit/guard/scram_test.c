/* SCRAM-SHA-256: the exchange of RFC 7677, and what is not taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guard/guard.h"

static td_slice S(const char *text)
{
    return td_slice_of(text);
}

static const uint8_t key[32] = "0123456789abcdef0123456789abcde";

/* RFC 7677, 3. */
#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define ANSWER                                                                                     \
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define FINAL                                                                                      \
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"                                 \
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct td_guard *guard_of_pencil(void)
{
    static const uint8_t salt[] = {0x5B, 0x6D, 0x99, 0x68, 0x9D, 0x12, 0x35, 0x8E,
                                   0xEC, 0xA0, 0x4B, 0x14, 0x12, 0x36, 0xFA, 0x81};
    char stored[TD_GUARD_PASSWORD_MAX];
    td_guard_scram_make(S("pencil"), (td_slice){salt, sizeof salt}, 4096, stored);
    assert_true(td_guard_credential_valid(S(stored)));
    struct td_buf users;
    td_buf_init(&users, 1000);
    (void)td_buf_printf(&users, "user::%s\nother::\n", stored);
    struct td_guard_file u = {"users", td_buf_slice(&users)}, none = {0};
    struct td_guard *g = td_guard_new();
    assert_int_equal(TD_OK, td_guard_load(g, &u, &none, NULL));
    td_buf_fini(&users);
    return g;
}

static enum td_err talk(const struct td_guard *g, td_slice first, td_slice final,
                        struct td_buf *out)
{
    struct td_guard_scram s;
    td_guard_scram_init(&s);
    td_buf_clear(out);
    enum td_err err = td_guard_scram_first(&s, g, first, S(NONCE), key, out);
    if (err == TD_OK && final.n > 0) {
        td_buf_clear(out);
        err = td_guard_scram_final(&s, g, final, key, out);
    }
    td_guard_scram_fini(&s);
    return err;
}

static void the_exchange_of_the_rfc(void **state)
{
    (void)state;
    struct td_guard *g = guard_of_pencil();
    struct td_buf out;
    td_buf_init(&out, 1000);
    assert_int_equal(TD_OK, talk(g, S(FIRST), S(""), &out));
    assert_true(td_slice_eq(S(ANSWER), td_buf_slice(&out)));
    assert_int_equal(TD_OK, talk(g, S(FIRST), S(FINAL), &out));
    assert_true(td_slice_eq(S(SIGNATURE), td_buf_slice(&out)));
    td_buf_fini(&out);
    td_guard_free(g);
}

static void what_is_cut_or_changed_is_refused(void **state)
{
    (void)state;
    struct td_guard *g = guard_of_pencil();
    struct td_buf out;
    td_buf_init(&out, 1000);
    td_slice first = S(FIRST), final = S(FINAL);
    for (size_t n = 0; n < first.n; n++) {
        (void)talk(g, td_slice_head(first, n), S(""), &out); /* a shorter nonce is one, too */
    }
    for (size_t n = 1; n < final.n; n++) {
        assert_int_not_equal(TD_OK, talk(g, first, td_slice_head(final, n), &out));
        char changed[200];
        memcpy(changed, final.p, final.n);
        changed[n] ^= 1;
        assert_int_not_equal(TD_OK, talk(g, first, (td_slice){(uint8_t *)changed, final.n}, &out));
        assert_int_equal(0, out.n);
    }
    td_buf_fini(&out);
    td_guard_free(g);
}

static void first_messages(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum td_err want;
        const char *name;
    } cases[] = {
        {"y,,n=user,r=abc", TD_OK, "user"},
        {"n,,n=u=3Ds=2Cr,r=abc", TD_OK, "u=s,r"},
        {"n,,n=user,r=abc,x=more", TD_OK, "user"},
        {"p=tls-unique,,n=user,r=abc", TD_ESYNTAX, NULL},
        {"n,a=other,n=user,r=abc", TD_ESYNTAX, NULL},
        {"n,,m=must,n=user,r=abc", TD_ESYNTAX, NULL},
        {"n,,n=u=3,r=abc", TD_ESYNTAX, NULL},
        {"n,,n=,r=abc", TD_ESYNTAX, NULL},
        {"n,,n=user,r=", TD_ESYNTAX, NULL},
        {"n,,n=user,r=a\tb", TD_ESYNTAX, NULL},
        {"", TD_ESYNTAX, NULL},
    };
    struct td_guard *g = guard_of_pencil();
    struct td_buf out;
    td_buf_init(&out, 1000);
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_guard_scram s;
        td_guard_scram_init(&s);
        assert_int_equal(cases[i].want,
                         td_guard_scram_first(&s, g, S(cases[i].text), S(NONCE), key, &out));
        if (cases[i].want == TD_OK) {
            assert_true(td_slice_eq(S(cases[i].name), td_guard_scram_name(&s)));
        }
        td_guard_scram_fini(&s);
    }
    td_buf_fini(&out);
    td_guard_free(g);
}

/* Neither answer shows whether there is such a user. */
static void who_is_not_known_fails_at_the_proof(void **state)
{
    (void)state;
    struct td_guard *g = guard_of_pencil();
    struct td_buf out, again;
    td_buf_init(&out, 1000);
    td_buf_init(&again, 1000);
    static const char *const names[] = {"n,,n=nobody,r=abc", "n,,n=other,r=abc"};
    for (size_t i = 0; i < TD_COUNT(names); i++) {
        assert_int_equal(TD_OK, talk(g, S(names[i]), S(""), &out));
        assert_int_equal(TD_OK, talk(g, S(names[i]), S(""), &again));
        assert_true(td_slice_eq(td_buf_slice(&out), td_buf_slice(&again)));
        assert_int_equal(
            TD_EDENIED,
            talk(g, S(names[i]),
                 S("c=biws,r=abc" NONCE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), &out));
    }
    td_buf_fini(&out);
    td_buf_fini(&again);
    td_guard_free(g);
}

static void what_is_stored_is_checked(void **state)
{
    (void)state;
#define K "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert_true(td_guard_scram_valid(S("$scram-sha-256$i=4096$c2FsdA==$" K "$" K)));
    assert_false(td_guard_scram_valid(S("$scram-sha-256$i=4095$c2FsdA==$" K "$" K)));
    assert_false(td_guard_scram_valid(S("$scram-sha-256$i=9999999999$c2FsdA==$" K "$" K)));
    assert_false(td_guard_scram_valid(S("$scram-sha-256$i=4096$$" K "$" K)));
    assert_false(td_guard_scram_valid(S("$scram-sha-256$i=4096$c2FsdA==$" K "$AAAA")));
    assert_false(td_guard_scram_valid(S("$scram-sha-256$i=4096$c2FsdA==$" K)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exchange_of_the_rfc),
        cmocka_unit_test(what_is_cut_or_changed_is_refused),
        cmocka_unit_test(first_messages),
        cmocka_unit_test(who_is_not_known_fails_at_the_proof),
        cmocka_unit_test(what_is_stored_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
