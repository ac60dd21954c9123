/* guard: SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side. The password never comes to us,
 * and what is stored cannot be used to log in elsewhere.
 *
 *   client                          server
 *   n,,n=NAME,r=CNONCE        -->
 *                             <--   r=CNONCE SNONCE,s=SALT,i=ITERATIONS
 *   c=biws,r=NONCE,p=PROOF    -->
 *                             <--   v=SIGNATURE
 *
 * Without channel binding: a client that insists on it (p=...) is refused. Who is not known gets a
 * salt of its own all the same, and fails at the proof. Passwords are taken as the bytes they
 * are, without SASLprep.
 *
 *     $scram-sha-256$i=N$SALT$STOREDKEY$SERVERKEY       in a users file, base64 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "guard/inside.h"

enum { KEY_BYTES = 32, SALT_BYTES_MAX = 64, ITERATIONS = 16384, ITERATIONS_MAX = 1000000 };

struct stored {
    unsigned iterations;
    uint8_t salt[SALT_BYTES_MAX];
    size_t salt_n;
    uint8_t stored_key[KEY_BYTES], server_key[KEY_BYTES];
};

static const char prefix[] = "$scram-sha-256$i=";

/* ---- digests ---- */

static void hmac(const uint8_t *key, td_slice text, uint8_t out[KEY_BYTES])
{
    unsigned n = KEY_BYTES;
    td_assert(HMAC(EVP_sha256(), key, KEY_BYTES, text.p, text.n, out, &n) != NULL);
}

static void hash(const uint8_t in[KEY_BYTES], uint8_t out[KEY_BYTES])
{
    td_guard_digest((td_slice){in, KEY_BYTES}, (td_slice){NULL, 0}, out);
}

/* ---- what is stored ---- */

static bool bytes_read(td_slice text, uint8_t *out, size_t max, size_t *n)
{
    struct td_buf b;
    td_buf_init(&b, max);
    bool good = td_guard_base64_decode(text, &b) == TD_OK && b.n > 0;
    if (good) {
        memcpy(out, b.p, b.n);
        *n = b.n;
    }
    td_buf_fini(&b);
    return good;
}

static td_slice part_next(td_slice *rest, uint8_t separator)
{
    td_slice part = td_slice_head(*rest, td_slice_find(*rest, separator));
    *rest = td_slice_skip(*rest, part.n + 1);
    return part;
}

static bool number_read(td_slice text, unsigned *out)
{
    unsigned v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (!td_in(text.p[i], '0', '9') || v > ITERATIONS_MAX) {
            return false;
        }
        v = v * 10 + (unsigned)(text.p[i] - '0');
    }
    *out = v;
    return text.n > 0;
}

static bool stored_read(td_slice word, struct stored *out)
{
    size_t a = 0, b = 0;
    td_slice rest = td_slice_skip(word, sizeof prefix - 1);
    return td_slice_starts(word, td_slice_of(prefix)) &&
           number_read(part_next(&rest, '$'), &out->iterations) &&
           td_in(out->iterations, 4096, ITERATIONS_MAX) &&
           bytes_read(part_next(&rest, '$'), out->salt, SALT_BYTES_MAX, &out->salt_n) &&
           bytes_read(part_next(&rest, '$'), out->stored_key, KEY_BYTES, &a) && a == KEY_BYTES &&
           bytes_read(part_next(&rest, '$'), out->server_key, KEY_BYTES, &b) && b == KEY_BYTES &&
           rest.n == 0;
}

bool td_guard_scram_valid(td_slice word)
{
    struct stored s;
    return stored_read(word, &s);
}

void td_guard_scram_make(td_slice password, td_slice salt, unsigned iterations,
                         char out[TD_GUARD_PASSWORD_MAX])
{
    uint8_t salted[KEY_BYTES], client_key[KEY_BYTES], stored_key[KEY_BYTES], server_key[KEY_BYTES];
    struct td_buf text;
    iterations = iterations == 0 ? ITERATIONS : iterations;
    td_assert(PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt.p, (int)salt.n,
                                (int)iterations, EVP_sha256(), KEY_BYTES, salted) == 1);
    hmac(salted, TD_STR("Client Key"), client_key);
    hmac(salted, TD_STR("Server Key"), server_key);
    hash(client_key, stored_key);
    td_buf_init(&text, TD_GUARD_PASSWORD_MAX - 1);
    enum td_err err = td_buf_printf(&text, "%s%u$", prefix, iterations);
    err = err == TD_OK ? td_guard_base64_encode(salt, &text) : err;
    err = err == TD_OK ? td_buf_add_u8(&text, '$') : err;
    err = err == TD_OK ? td_guard_base64_encode((td_slice){stored_key, KEY_BYTES}, &text) : err;
    err = err == TD_OK ? td_buf_add_u8(&text, '$') : err;
    err = err == TD_OK ? td_guard_base64_encode((td_slice){server_key, KEY_BYTES}, &text) : err;
    td_assert(err == TD_OK);
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    td_guard_forget(salted, sizeof salted);
    td_guard_forget(client_key, sizeof client_key);
    td_buf_fini(&text);
}

/* The user's, or one that fits nobody: its salt is always the same for a name. */
static bool stored_of(const struct td_guard *g, td_slice name, const uint8_t key[KEY_BYTES],
                      struct stored *out)
{
    const struct td_guard_user *user = td_guard_user_find(g->set, name);
    td_slice rest = user == NULL ? (td_slice){NULL, 0} : user->credentials;
    while (rest.n > 0) {
        if (stored_read(td_guard_word_next(&rest), out)) {
            return true;
        }
    }
    uint8_t salt[KEY_BYTES];
    hmac(key, name, salt);
    *out = (struct stored){.iterations = ITERATIONS, .salt_n = TD_GUARD_SALT_BYTES};
    memcpy(out->salt, salt, TD_GUARD_SALT_BYTES);
    return false;
}

/* ---- the exchange ---- */

void td_guard_scram_init(struct td_guard_scram *s)
{
    *s = (struct td_guard_scram){.name_n = 0};
    td_buf_init(&s->said, 4096);
}

void td_guard_scram_fini(struct td_guard_scram *s)
{
    td_buf_fini(&s->said);
}

/* "=2C" is a comma, "=3D" an equals sign. */
static bool name_read(struct td_guard_scram *s, td_slice text)
{
    s->name_n = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte = text.p[i];
        if (byte == '=') {
            td_slice code = td_slice_head(td_slice_skip(text, i), 3);
            byte = td_slice_eq(code, TD_STR("=2C"))   ? ','
                   : td_slice_eq(code, TD_STR("=3D")) ? '='
                                                      : 0;
            i += 2;
        }
        if (byte == 0 || s->name_n == TD_GUARD_NAME_MAX) {
            return false;
        }
        s->name[s->name_n++] = byte;
    }
    return s->name_n > 0;
}

static bool nonce_valid(td_slice nonce)
{
    for (size_t i = 0; i < nonce.n; i++) {
        if (!td_in(nonce.p[i], 0x21, 0x7E)) {
            return false;
        }
    }
    return td_in(nonce.n, 1, 256);
}

/* The value of "x=value", false: another attribute. */
static bool attribute(td_slice part, char name, td_slice *out)
{
    *out = td_slice_skip(part, 2);
    return part.n >= 2 && part.p[0] == (uint8_t)name && part.p[1] == '=';
}

/* Behind the fields that are known may stand extensions; a mandatory one (m=) comes first. */
static bool first_read(struct td_guard_scram *s, td_slice text, td_slice *bare, td_slice *nonce)
{
    td_slice rest = text, name;
    td_slice flag = part_next(&rest, ','), authzid = part_next(&rest, ',');
    if ((!td_slice_eq(flag, TD_STR("n")) && !td_slice_eq(flag, TD_STR("y"))) || authzid.n > 0) {
        return false;
    }
    s->binding = flag.p[0];
    *bare = rest;
    return attribute(part_next(&rest, ','), 'n', &name) && name_read(s, name) &&
           attribute(part_next(&rest, ','), 'r', nonce) && nonce_valid(*nonce);
}

enum td_err td_guard_scram_first(struct td_guard_scram *s, const struct td_guard *g, td_slice text,
                                 td_slice nonce, const uint8_t key[32], struct td_buf *out)
{
    struct stored stored;
    td_slice bare, client_nonce;
    if (text.n > 1024 || !first_read(s, text, &bare, &client_nonce)) {
        return TD_ESYNTAX;
    }
    (void)stored_of(g, td_guard_scram_name(s), key, &stored);
    td_buf_clear(&s->said);
    enum td_err err = td_buf_add(&s->said, bare);
    err = err == TD_OK ? td_buf_add_u8(&s->said, ',') : err;
    size_t mine = s->said.n;
    err = err == TD_OK
              ? td_buf_printf(&s->said, "r=%.*s%.*s,s=", (int)client_nonce.n,
                              (const char *)client_nonce.p, (int)nonce.n, (const char *)nonce.p)
              : err;
    err = err == TD_OK ? td_guard_base64_encode((td_slice){stored.salt, stored.salt_n}, &s->said)
                       : err;
    err = err == TD_OK ? td_buf_printf(&s->said, ",i=%u", stored.iterations) : err;
    s->nonce = (uint32_t)(mine + 2);
    s->nonce_n = (uint32_t)(client_nonce.n + nonce.n);
    td_slice first = td_slice_skip(td_buf_slice(&s->said), mine);
    return err == TD_OK ? td_buf_add(out, first) : err;
}

/* The proof is the client's key, masked by its signature of all that was said. */
static bool proof_right(const struct stored *stored, td_slice said, const uint8_t proof[KEY_BYTES])
{
    uint8_t mask[KEY_BYTES], key[KEY_BYTES], hashed[KEY_BYTES];
    hmac(stored->stored_key, said, mask);
    for (size_t i = 0; i < KEY_BYTES; i++) {
        key[i] = mask[i] ^ proof[i];
    }
    hash(key, hashed);
    td_guard_forget(key, sizeof key);
    return td_guard_same(hashed, stored->stored_key, KEY_BYTES);
}

enum td_err td_guard_scram_final(struct td_guard_scram *s, const struct td_guard *g, td_slice text,
                                 const uint8_t key[32], struct td_buf *out)
{
    struct stored stored;
    uint8_t proof[KEY_BYTES], signature[KEY_BYTES];
    td_slice rest = text, binding, nonce, last = {NULL, 0};
    size_t n = 0, without = 0;
    td_slice want = s->binding == 'y' ? TD_STR("eSws") : TD_STR("biws"); /* "y,,", "n,," */
    if (text.n > 1024 || s->said.n == 0 || !attribute(part_next(&rest, ','), 'c', &binding) ||
        !td_slice_eq(binding, want) || !attribute(part_next(&rest, ','), 'r', &nonce)) {
        return TD_ESYNTAX;
    }
    while (rest.n > 0) { /* extensions may stand before the proof */
        without = text.n - rest.n - 1;
        last = part_next(&rest, ',');
    }
    td_slice proof_text;
    if (!attribute(last, 'p', &proof_text) || !bytes_read(proof_text, proof, KEY_BYTES, &n) ||
        n != KEY_BYTES || !td_slice_eq(nonce, (td_slice){s->said.p + s->nonce, s->nonce_n})) {
        return TD_ESYNTAX;
    }
    bool known = stored_of(g, td_guard_scram_name(s), key, &stored);
    enum td_err err = td_buf_add_u8(&s->said, ',');
    err = err == TD_OK ? td_buf_add(&s->said, td_slice_head(text, without)) : err;
    bool right = err == TD_OK && proof_right(&stored, td_buf_slice(&s->said), proof);
    if (!right || !known) {
        return TD_EDENIED;
    }
    hmac(stored.server_key, td_buf_slice(&s->said), signature);
    err = td_buf_printf(out, "v=");
    return err == TD_OK ? td_guard_base64_encode((td_slice){signature, KEY_BYTES}, out) : err;
}
