/* spec: SCRAM's arithmetic, by OpenSSL. */
#include "spec/scram.h"

#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

enum { KEY_BYTES = 32, TEXT_MAX = 4096 };

static void put(struct td_buf *out, td_slice bytes)
{
    td_assert(td_buf_add(out, bytes) == TD_OK);
}

static void put_base64(struct td_buf *out, const uint8_t key[KEY_BYTES])
{
    uint8_t text[64];
    int n = EVP_EncodeBlock(text, key, KEY_BYTES);
    put(out, (td_slice){text, (size_t)n});
}

static void sign(const uint8_t key[KEY_BYTES], td_slice text, uint8_t out[KEY_BYTES])
{
    unsigned n = KEY_BYTES;
    td_assert(HMAC(EVP_sha256(), key, KEY_BYTES, text.p, text.n, out, &n) != NULL);
}

/* The value of "x=" in "a=..,x=..", empty if there is none. */
static td_slice field(td_slice message, uint8_t letter)
{
    while (message.n > 0) {
        size_t n = td_slice_find(message, ',');
        td_slice one = td_slice_head(message, n);
        if (one.n > 2 && one.p[0] == letter && one.p[1] == '=') {
            return td_slice_skip(one, 2);
        }
        message = td_slice_skip(message, n + 1);
    }
    return (td_slice){NULL, 0};
}

static bool salted(td_slice password, td_slice server_first, uint8_t out[KEY_BYTES])
{
    td_slice salt = field(server_first, 's'), rounds = field(server_first, 'i');
    uint8_t bytes[96];
    char digits[16] = {0};
    if (salt.n == 0 || salt.n > 128 || rounds.n == 0 || rounds.n > 15) {
        return false;
    }
    memcpy(digits, rounds.p, rounds.n);
    int n = EVP_DecodeBlock(bytes, salt.p, (int)salt.n);
    for (size_t i = salt.n; n > 0 && i > 0 && salt.p[i - 1] == '='; i--) {
        n--; /* DecodeBlock counts what fills up */
    }
    return n > 0 && PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, bytes, n,
                                      atoi(digits), EVP_sha256(), KEY_BYTES, out) == 1;
}

bool spec_scram_answer(td_slice password, td_slice first_bare, td_slice server_first,
                       struct td_buf *final, struct td_buf *verifier)
{
    uint8_t key[KEY_BYTES], client[KEY_BYTES], stored[KEY_BYTES], mask[KEY_BYTES];
    uint8_t server[KEY_BYTES], signature[KEY_BYTES];
    struct td_buf said;
    if (!salted(password, server_first, key)) {
        return false;
    }
    size_t from = final->n;
    put(final, TD_STR("c=biws,r="));
    put(final, field(server_first, 'r'));
    td_buf_init(&said, TEXT_MAX);
    put(&said, first_bare);
    put(&said, TD_STR(","));
    put(&said, server_first);
    put(&said, TD_STR(","));
    put(&said, td_slice_skip(td_buf_slice(final), from));
    sign(key, TD_STR("Client Key"), client);
    (void)SHA256(client, KEY_BYTES, stored);
    sign(stored, td_buf_slice(&said), mask);
    for (size_t i = 0; i < KEY_BYTES; i++) {
        mask[i] ^= client[i];
    }
    put(final, TD_STR(",p="));
    put_base64(final, mask);
    sign(key, TD_STR("Server Key"), server);
    sign(server, td_buf_slice(&said), signature);
    put(verifier, TD_STR("v="));
    put_base64(verifier, signature);
    td_buf_fini(&said);
    return true;
}
