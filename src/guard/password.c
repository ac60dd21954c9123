/* guard: what leads to a principal. Passwords are hashed by argon2id (RFC 9106), which takes 19 MiB
 * and two passes on purpose; tokens are 256 random bits, so one SHA-256 of them is enough.
 *
 *     $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH      the PHC string that libargon2 writes
 *     $token$HEX                                    SHA-256 of the token's text
 *     $key$HEX                                      SHA-256 of a certificate's public key
 *     $http$                                        another program judges the password
 *     $scram-sha-256$...                            see scram.c */
#include <argon2.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "guard/inside.h"

enum { PASSES = 2, MEMORY_KB = 19 * 1024, LANES = 1, HASH_BYTES = 32 };

/* What a file may ask of us: 256 MiB, 10 passes. */
enum { MEMORY_KB_MAX = 256 * 1024, PASSES_MAX = 10, LANES_MAX = 4 };

static bool starts_argon2(td_slice word)
{
    return td_slice_starts(word, TD_STR("$argon2id$v=19$m="));
}

/* Takes "m=19456," and the like off the front: the lead, a number within bounds, the end. */
static bool cost_take(td_slice *at, const char *lead, uint32_t least, uint32_t most, char end)
{
    td_slice rest = td_slice_skip(*at, strlen(lead));
    uint32_t value = 0;
    size_t digits = 0;
    if (!td_slice_starts(*at, td_slice_of(lead))) {
        return false;
    }
    while (digits < rest.n && digits < 6 && td_in(rest.p[digits], '0', '9')) {
        value = value * 10 + (uint32_t)(rest.p[digits++] - '0');
    }
    *at = td_slice_skip(rest, digits + 1);
    return digits > 0 && digits < rest.n && rest.p[digits] == end && td_in(value, least, most);
}

static bool argon2_valid(td_slice word)
{
    td_slice at = word;
    return word.n < TD_GUARD_PASSWORD_MAX &&
           cost_take(&at, "$argon2id$v=19$m=", 8, MEMORY_KB_MAX, ',') &&
           cost_take(&at, "t=", 1, PASSES_MAX, ',') && cost_take(&at, "p=", 1, LANES_MAX, '$') &&
           td_slice_find(at, '$') < at.n;
}

/* A kind and SHA-256 as hexadecimal digits. */
static bool hex_valid(td_slice word, td_slice kind)
{
    td_slice hex = td_slice_skip(word, kind.n);
    if (!td_slice_starts(word, kind) || hex.n != 64) {
        return false;
    }
    for (size_t i = 0; i < hex.n; i++) {
        if (!td_in(hex.p[i], '0', '9') && !td_in(hex.p[i], 'a', 'f')) {
            return false;
        }
    }
    return true;
}

bool td_guard_credential_valid(td_slice word)
{
    return argon2_valid(word) || td_slice_eq(word, TD_STR(TD_GUARD_HTTP)) ||
           hex_valid(word, TD_STR("$token$")) || hex_valid(word, TD_STR("$key$")) ||
           td_guard_scram_valid(word);
}

/* ---- passwords ---- */

/* What an unknown name's password is compared with: it takes as long as any other. */
static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmU$"
                             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

void td_guard_password_of(const struct td_guard *g, td_slice name, char out[TD_GUARD_PASSWORD_MAX])
{
    const struct td_guard_user *user = td_guard_user_find(g->set, name);
    td_slice rest = user == NULL ? (td_slice){NULL, 0} : user->credentials;
    memcpy(out, nobody, sizeof nobody);
    while (rest.n > 0) {
        td_slice word = td_guard_word_next(&rest);
        if (starts_argon2(word) || td_slice_eq(word, TD_STR(TD_GUARD_HTTP))) {
            memcpy(out, word.p, word.n); /* its length was checked when the file was read */
            out[word.n] = '\0';
            return;
        }
    }
}

bool td_guard_password_right(const char *stored, td_slice password)
{
    bool same = argon2id_verify(stored, password.p, password.n) == ARGON2_OK;
    return same && strcmp(stored, nobody) != 0;
}

enum td_err td_guard_password_hash(td_slice password, const uint8_t salt[TD_GUARD_SALT_BYTES],
                                   char out[TD_GUARD_PASSWORD_MAX])
{
    int status = argon2id_hash_encoded(PASSES, MEMORY_KB, LANES, password.p, password.n, salt,
                                       TD_GUARD_SALT_BYTES, HASH_BYTES, out, TD_GUARD_PASSWORD_MAX);
    return status == ARGON2_OK ? TD_OK : TD_ENOMEM;
}

void td_guard_forget(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

/* ---- digests ---- */

void td_guard_digest(td_slice a, td_slice b, uint8_t out[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    td_assert(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, a.p, a.n) == 1 && EVP_DigestUpdate(md, b.p, b.n) == 1 &&
              EVP_DigestFinal_ex(md, out, NULL) == 1);
    EVP_MD_CTX_free(md);
}

bool td_guard_same(const uint8_t *a, const uint8_t *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

/* ---- tokens ---- */

static void hex_write(const char *kind, const uint8_t digest[32], char out[TD_GUARD_PASSWORD_MAX])
{
    int n = snprintf(out, TD_GUARD_PASSWORD_MAX, "%s", kind);
    for (size_t i = 0; i < 32; i++) {
        n += snprintf(out + n, TD_GUARD_PASSWORD_MAX - (size_t)n, "%02x", digest[i]);
    }
}

void td_guard_token_hash(td_slice token, char out[TD_GUARD_PASSWORD_MAX])
{
    uint8_t digest[32];
    td_guard_digest(token, (td_slice){NULL, 0}, digest);
    hex_write("$token$", digest, out);
}

static bool has_credential(const struct td_guard_user *user, td_slice wanted)
{
    td_slice rest = user->credentials;
    while (rest.n > 0) {
        td_slice word = td_guard_word_next(&rest);
        if (word.n == wanted.n && td_guard_same(word.p, wanted.p, wanted.n)) {
            return true;
        }
    }
    return false;
}

static struct td_principal *holder(struct td_guard *g, const char *credential)
{
    for (size_t i = 0; i < g->set->users.count; i++) {
        const struct td_guard_user *user = g->set->users.entries[i].value;
        if (has_credential(user, td_slice_of(credential))) {
            return td_guard_principal(g, user->name);
        }
    }
    return NULL;
}

struct td_principal *td_guard_token_principal(struct td_guard *g, td_slice token)
{
    char text[TD_GUARD_PASSWORD_MAX];
    td_guard_token_hash(token, text);
    return holder(g, text);
}

bool td_guard_wants_judge(const struct td_guard *g)
{
    for (size_t i = 0; i < g->set->users.count; i++) {
        if (has_credential(g->set->users.entries[i].value, TD_STR(TD_GUARD_HTTP))) {
            return true;
        }
    }
    return false;
}

/* ---- pinned keys ---- */

struct td_principal *td_guard_key_principal(struct td_guard *g, const uint8_t key_sha256[32])
{
    char text[TD_GUARD_PASSWORD_MAX];
    hex_write("$key$", key_sha256, text);
    return holder(g, text);
}

bool td_guard_pins_keys(const struct td_guard *g, td_slice name)
{
    const struct td_guard_user *user = td_guard_user_find(g->set, name);
    td_slice rest = user == NULL ? (td_slice){NULL, 0} : user->credentials;
    while (rest.n > 0) {
        if (td_slice_starts(td_guard_word_next(&rest), TD_STR("$key$"))) {
            return true;
        }
    }
    return false;
}
