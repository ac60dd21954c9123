/* Which user a handshake means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "serve/proof.h"

/* The key of user "pinned": 32 bytes of 0xAB. */
#define PINNED "abababababababababababababababababababababababababababababababab"

static struct td_guard *guard_make(void)
{
    static const char users[] = "pump7::\npump8::\npinned::$key$" PINNED "\n";
    struct td_guard_file u = {"users", td_slice_of(users)}, none = {0};
    struct td_guard *g = td_guard_new();
    assert_int_equal(TD_OK, td_guard_load(g, &u, &none, NULL));
    return g;
}

static const struct {
    bool certificate;
    const char *subject, *alternatives; /* | for NUL */
    uint8_t key;
    const char *psk;
    enum td_proof want;
    const char *name;
} cases[] = {
    {false, "pump7", "URI:tandem:pump7|", 0, "", TD_PROOF_NONE, NULL}, /* nobody vouches for it */
    {true, "pump7", "|", 0, "", TD_PROOF_YES, "pump7"},
    {true, "pump7", "DNS:pump8|URI:https://x|", 0, "", TD_PROOF_YES, "pump7"},
    {true, "pump7", "DNS:x|URI:tandem:pump8|", 0, "", TD_PROOF_YES, "pump8"},
    {true, "pump7", "URI:tandem:pump7|URI:tandem:pump8|", 0, "", TD_PROOF_STRANGER, NULL},
    {true, "pump7", "URI:tandem:nobody|", 0, "", TD_PROOF_STRANGER, NULL},
    {true, "", "|", 0, "", TD_PROOF_STRANGER, NULL},
    {true, "local", "|", 0, "", TD_PROOF_STRANGER, NULL},
    {true, "anonymous", "|", 0, "", TD_PROOF_STRANGER, NULL},
    {true, "pump7", "|", 0xAB, "", TD_PROOF_YES, "pinned"},
    {true, "pinned", "|", 0, "", TD_PROOF_STRANGER, NULL}, /* another key */
    {true, "x", "URI:tandem:pinned|", 0, "", TD_PROOF_STRANGER, NULL},
    {false, "", "|", 0, "pump8", TD_PROOF_YES, "pump8"},
    {false, "", "|", 0, "pump9", TD_PROOF_STRANGER, NULL},
    {false, "", "|", 0, "local", TD_PROOF_STRANGER, NULL},
};

static void a_handshake_means_one_user_or_none(void **state)
{
    (void)state;
    struct td_guard *g = guard_make();
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_sys_peer peer = {.certificate = cases[i].certificate};
        struct td_principal *who = NULL;
        (void)snprintf(peer.subject, sizeof peer.subject, "%s", cases[i].subject);
        (void)snprintf(peer.psk_identity, sizeof peer.psk_identity, "%s", cases[i].psk);
        (void)snprintf(peer.alternatives, sizeof peer.alternatives, "%s", cases[i].alternatives);
        for (size_t k = 0; k < sizeof peer.alternatives; k++) {
            peer.alternatives[k] = peer.alternatives[k] == '|' ? '\0' : peer.alternatives[k];
        }
        memset(peer.key_sha256, cases[i].key, sizeof peer.key_sha256);
        enum td_proof got = td_proof_of(g, &peer, &who);
        if (got != cases[i].want) {
            fail_msg("case %zu: %d", i, (int)got);
        }
        if (got == TD_PROOF_YES) {
            assert_string_equal(cases[i].name, who->name);
            td_principal_unref(g, who);
        }
    }
    td_guard_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_handshake_means_one_user_or_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
