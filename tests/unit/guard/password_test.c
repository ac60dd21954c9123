/* Passwords, tokens, and how long who guesses waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "guard/guard.h"

static td_slice S(const char *text)
{
    return td_slice_of(text);
}

static const uint8_t salt[TD_GUARD_SALT_BYTES] = "0123456789abcde";

static void a_password_is_right_or_not(void **state)
{
    (void)state;
    char stored[TD_GUARD_PASSWORD_MAX];
    assert_int_equal(TD_OK, td_guard_password_hash(S("secret"), salt, stored));
    assert_int_equal(0, strncmp(stored, "$argon2id$v=19$m=19456,t=2,p=1$", 31));
    assert_true(td_guard_credential_valid(S(stored)));
    assert_true(td_guard_password_right(stored, S("secret")));
    assert_false(td_guard_password_right(stored, S("Secret")));
    assert_false(td_guard_password_right(stored, S("")));
}

/* The phc-winner-argon2 distribution's own vector, as it is in RFC 9106's family. */
static void a_hash_of_another_program_is_understood(void **state)
{
    (void)state;
    const char *stored = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
                         "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    assert_true(td_guard_credential_valid(S(stored)));
    assert_true(td_guard_password_right(stored, S("password")));
    assert_false(td_guard_password_right(stored, S("passwore")));
}

static void a_hash_that_costs_too_much_or_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "$argon2id$v=19$m=",
        "$argon2id$v=19$m=256",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
        "$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$nf65",
        "$argon2id$v=19$m=262145,t=2,p=1$c29tZXNhbHQ$nf65",
        "$argon2id$v=19$m=4294967552,t=2,p=1$c29tZXNhbHQ$nf65",
        "$argon2id$v=19$m=256,t=11,p=1$c29tZXNhbHQ$nf65",
        "$argon2id$v=19$m=256,t=2,p=5$c29tZXNhbHQ$nf65",
        "$argon2id$v=19$m=256,t=,p=1$c29tZXNhbHQ$nf65",
        "$argon2id$v=19$m=-1,t=2,p=1$c29tZXNhbHQ$nf65",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65",
    };
    for (size_t i = 0; i < TD_COUNT(wrong); i++) {
        assert_false(td_guard_credential_valid(S(wrong[i])));
    }
}

static void nobody_has_no_password(void **state)
{
    (void)state;
    struct td_guard *g = td_guard_new();
    char stored[TD_GUARD_PASSWORD_MAX];
    td_guard_password_of(g, S("nobody"), stored);
    assert_true(td_guard_credential_valid(S(stored)));
    assert_false(td_guard_password_right(stored, S("")));
    assert_false(td_guard_password_right(stored, S("nobody")));
    td_guard_free(g);
}

static void a_token_leads_to_its_principal(void **state)
{
    (void)state;
    char stored[TD_GUARD_PASSWORD_MAX], line[400];
    struct td_guard *g = td_guard_new();
    td_guard_token_hash(S("abc"), stored); /* FIPS 180-2, B.1 */
    assert_string_equal("$token$ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                        stored);
    struct td_buf users;
    td_buf_init(&users, sizeof line);
    (void)td_buf_printf(&users, "a::\nrobot:admin:%s\n", stored);
    struct td_guard_file u = {"users", td_buf_slice(&users)}, none = {0};
    assert_int_equal(TD_OK, td_guard_load(g, &u, &none, NULL));
    struct td_principal *p = td_guard_token_principal(g, S("abc"));
    assert_true(td_slice_eq(S("robot"), td_principal_name(p)));
    assert_null(td_guard_token_principal(g, S("abd")));
    td_principal_unref(g, p);
    td_buf_fini(&users);
    td_guard_free(g);
}

static void who_guesses_waits_and_nobody_is_locked_out(void **state)
{
    (void)state;
    struct td_guard_delays *d = td_guard_delays_new(1);
    td_mono now = TD_NS_PER_S, at = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(TD_OK, td_guard_delay(d, S("anna"), S("10.0.0.1"), now, &at));
        assert_true(at == now);
        td_guard_delay_failed(d, S("anna"), S("10.0.0.1"), now);
    }
    for (int i = 0; i < 20; i++) {
        td_guard_delay_failed(d, S("anna"), S("10.0.0.1"), now);
    }
    assert_int_equal(TD_OK, td_guard_delay(d, S("anna"), S("10.0.0.2"), now, &at));
    assert_true(at == now + TD_NS_PER_S); /* anna herself, from elsewhere */
    assert_int_equal(TD_OK, td_guard_delay(d, S("bob"), S("10.0.0.1"), now, &at));
    assert_true(at == now + 4 * TD_NS_PER_S);
    assert_int_equal(TD_OK, td_guard_delay(d, S("bob"), S("10.0.0.1"), now, &at));
    assert_true(at == now + 8 * TD_NS_PER_S);
    assert_int_equal(TD_OK, td_guard_delay(d, S("bob"), S("10.0.0.1"), now, &at));
    assert_int_equal(TD_EFULL, td_guard_delay(d, S("bob"), S("10.0.0.1"), now, &at));
    now += 3600 * TD_NS_PER_S;
    assert_int_equal(TD_OK, td_guard_delay(d, S("anna"), S("10.0.0.1"), now, &at));
    assert_true(at == now);
    td_guard_delay_failed(d, S("anna"), S("10.0.0.1"), now);
    td_guard_delay_passed(d, S("anna"));
    td_guard_delays_free(d);
}

/* RFC 4648, 10; and what is not to be read. */
static void base64_is_read_in_one_way_only(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
    } good[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {
        "Z", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z===", "====", "Zm 9", "Zm9-", "Zg\n="};
    struct td_buf b;
    td_buf_init(&b, 100);
    for (size_t i = 0; i < TD_COUNT(good); i++) {
        td_buf_clear(&b);
        assert_int_equal(TD_OK, td_guard_base64_decode(S(good[i].text), &b));
        assert_true(td_slice_eq(S(good[i].bytes), td_buf_slice(&b)));
        td_buf_clear(&b);
        assert_int_equal(TD_OK, td_guard_base64_encode(S(good[i].bytes), &b));
        assert_true(td_slice_eq(S(good[i].text), td_buf_slice(&b)));
    }
    for (size_t i = 0; i < TD_COUNT(bad); i++) {
        td_buf_clear(&b);
        assert_int_equal(TD_ESYNTAX, td_guard_base64_decode(S(bad[i]), &b));
        assert_int_equal(0, b.n);
    }
    td_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_is_right_or_not),
        cmocka_unit_test(a_hash_of_another_program_is_understood),
        cmocka_unit_test(a_hash_that_costs_too_much_or_is_none_is_refused),
        cmocka_unit_test(nobody_has_no_password),
        cmocka_unit_test(a_token_leads_to_its_principal),
        cmocka_unit_test(base64_is_read_in_one_way_only),
        cmocka_unit_test(who_guesses_waits_and_nobody_is_locked_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
