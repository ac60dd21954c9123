/* guard: JSON Web Tokens (RFC 7519, RFC 8725) of an issuer that the configuration names.
 *
 *     base64url(header) . base64url(claims) . base64url(signature)
 *
 * A token counts if its algorithm is listed, a key of the key file that belongs to this algorithm
 * has signed it, it is meant for us (aud), comes from the issuer (iss, if one is set), is not over
 * (exp, which it must have) and has begun (nbf). Then its subject (sub) is the user. Keys in the
 * token, and addresses of keys, are not looked at. */
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "base/json.h"
#include "guard/inside.h"

enum {
    KEYS_MAX = 16,
    TOKEN_BYTES_MAX = 8192,
    LEEWAY_S = 30, /* clocks differ */
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192
};

struct td_guard_jwt {
    EVP_PKEY *keys[KEYS_MAX];
    size_t key_count;
    char *audience, *issuer; /* issuer NULL: any */
    unsigned algorithms;
};

static const struct {
    const char *name;
    unsigned bit;
    int type;          /* of the key */
    const char *group; /* of an EC key */
} algorithms[] = {{"RS256", TD_GUARD_RS256, EVP_PKEY_RSA, NULL},
                  {"ES256", TD_GUARD_ES256, EVP_PKEY_EC, "prime256v1"},
                  {"EdDSA", TD_GUARD_EDDSA, EVP_PKEY_ED25519, NULL}};

unsigned td_guard_algorithm_of(td_slice name)
{
    for (size_t i = 0; i < TD_COUNT(algorithms); i++) {
        if (td_slice_eq(name, td_slice_of(algorithms[i].name))) {
            return algorithms[i].bit;
        }
    }
    return 0;
}

/* ---- keys ---- */

void td_guard_jwt_free(struct td_guard_jwt *jwt)
{
    if (jwt != NULL) {
        for (size_t i = 0; i < jwt->key_count; i++) {
            EVP_PKEY_free(jwt->keys[i]);
        }
        free(jwt->audience);
        free(jwt->issuer);
        free(jwt);
    }
}

static bool fits(EVP_PKEY *key, unsigned bit)
{
    for (size_t i = 0; i < TD_COUNT(algorithms); i++) {
        if (algorithms[i].bit == bit && EVP_PKEY_get_base_id(key) == algorithms[i].type) {
            char group[64] = "";
            size_t n = 0;
            (void)EVP_PKEY_get_group_name(key, group, sizeof group, &n); /* EC keys have one */
            return algorithms[i].group == NULL || strcmp(group, algorithms[i].group) == 0;
        }
    }
    return false;
}

static bool key_good(EVP_PKEY *key, unsigned listed)
{
    int bits = EVP_PKEY_get_bits(key);
    for (size_t i = 0; i < TD_COUNT(algorithms); i++) {
        if ((listed & algorithms[i].bit) != 0 && fits(key, algorithms[i].bit)) {
            return algorithms[i].type != EVP_PKEY_RSA ||
                   (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX);
        }
    }
    return false;
}

/* Gives what is wrong, NULL: nothing. */
static const char *keys_read(struct td_guard_jwt *jwt, td_slice text)
{
    const char *wrong = NULL;
    BIO *bio = BIO_new_mem_buf(text.n > 0 ? (const void *)text.p : "", (int)text.n);
    td_assert(bio != NULL);
    while (wrong == NULL) {
        EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        if (key == NULL) {
            break;
        }
        if (jwt->key_count == KEYS_MAX || !key_good(key, jwt->algorithms)) {
            wrong = jwt->key_count == KEYS_MAX
                        ? "it holds more than 16 keys"
                        : "a key belongs to no listed algorithm: RS256 has RSA of 2048 bits or "
                          "more, ES256 has P-256, EdDSA has Ed25519";
            EVP_PKEY_free(key);
        } else {
            jwt->keys[jwt->key_count++] = key;
        }
    }
    ERR_clear_error(); /* the end of the file is one */
    BIO_free(bio);
    return wrong != NULL || jwt->key_count > 0
               ? wrong
               : "no public key in it; PEM, -----BEGIN PUBLIC KEY-----";
}

enum td_err td_guard_jwt_load(struct td_guard *g, const struct td_guard_file *keys,
                              const struct td_guard_jwt_config *config, struct td_buf *why)
{
    struct td_guard_jwt *jwt = NULL;
    const char *wrong = NULL;
    if (keys->name != NULL) {
        bool meant = config->audience != NULL && config->algorithms != 0;
        jwt = td_alloc(sizeof *jwt);
        jwt->algorithms = config->algorithms;
        jwt->audience = meant ? td_strdup(td_slice_of(config->audience)) : NULL;
        jwt->issuer = config->issuer == NULL ? NULL : td_strdup(td_slice_of(config->issuer));
        wrong = meant ? keys_read(jwt, keys->text)
                      : "tokens need jwt_audience and jwt_algorithms in [access]";
    }
    if (wrong != NULL) {
        (void)td_buf_printf(why, "%s: %s", keys->name, wrong);
        td_guard_jwt_free(jwt);
        return TD_ESYNTAX;
    }
    td_guard_jwt_free(g->jwt);
    g->jwt = jwt;
    return TD_OK;
}

/* ---- signatures ---- */

/* JWS has r and s, 32 bytes each; OpenSSL wants DER. */
static bool es256_der(td_slice raw, uint8_t **der, int *n)
{
    if (raw.n != 64) {
        return false;
    }
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.p, 32, NULL), *s = BN_bin2bn(raw.p + 32, 32, NULL);
    td_assert(sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1);
    *der = NULL;
    *n = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    return *n > 0;
}

static bool verify(EVP_PKEY *key, unsigned bit, td_slice text, td_slice signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    const EVP_MD *digest = bit == TD_GUARD_EDDSA ? NULL : EVP_sha256();
    uint8_t *der = NULL;
    int n = 0;
    td_assert(md != NULL);
    bool good = bit != TD_GUARD_ES256 || es256_der(signature, &der, &n);
    if (good && der != NULL) {
        signature = (td_slice){der, (size_t)n};
    }
    good = good && EVP_DigestVerifyInit(md, NULL, digest, NULL, key) == 1 &&
           EVP_DigestVerify(md, signature.p, signature.n, text.p, text.n) == 1;
    OPENSSL_free(der);
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return good;
}

static bool signed_by_ours(const struct td_guard_jwt *jwt, unsigned bit, td_slice text,
                           td_slice signature)
{
    for (size_t i = 0; i < jwt->key_count; i++) {
        if (fits(jwt->keys[i], bit) && verify(jwt->keys[i], bit, text, signature)) {
            return true;
        }
    }
    return false;
}

/* ---- JSON ---- */

enum field { ALG, CRIT, SUB, AUD, ISS, EXP, NBF, FIELDS };

static const char *const names[] = {"alg", "crit", "sub", "aud", "iss", "exp", "nbf"};

struct claims {
    struct td_buf text[FIELDS]; /* unescaped; AUD: true if we are among them, as "y" */
    int64_t number[FIELDS];
    bool has[FIELDS];
    td_slice audience;
};

static bool take_text(struct claims *c, enum field f, const struct td_json_token *t)
{
    return t->kind == TD_JSON_STRING && td_json_unescape(t, &c->text[f]) == TD_OK;
}

static bool take_number(struct claims *c, enum field f, const struct td_json_token *t)
{
    double real;
    bool is_int;
    if (t->kind != TD_JSON_NUMBER ||
        td_json_number(t->span, &real, &c->number[f], &is_int) != TD_OK || real < 0 ||
        real > 1e11) {
        return false;
    }
    c->number[f] = is_int ? c->number[f] : (int64_t)real;
    return true;
}

/* A text, or a list of them: is ours among them? */
static bool take_audience(struct claims *c, struct td_json *j, struct td_json_token *t)
{
    struct td_buf one;
    bool list = t->kind == TD_JSON_ARRAY, good = true, ours = false;
    td_buf_init(&one, TOKEN_BYTES_MAX);
    if (list) {
        (void)td_json_next(j, t);
    }
    while (good && !(list && t->kind == TD_JSON_ARRAY_END)) {
        td_buf_clear(&one);
        good = t->kind == TD_JSON_STRING && td_json_unescape(t, &one) == TD_OK;
        ours = ours || (good && td_slice_eq(td_buf_slice(&one), c->audience));
        if (!list) {
            break;
        }
        (void)td_json_next(j, t);
    }
    td_buf_fini(&one);
    return good && (!ours || td_buf_add_u8(&c->text[AUD], 'y') == TD_OK);
}

static bool take(struct claims *c, enum field f, struct td_json *j, struct td_json_token *t)
{
    if (c->has[f]) { /* which of the two counts? */
        return false;
    }
    c->has[f] = true;
    switch (f) {
    case ALG:
    case SUB:
    case ISS:
        return take_text(c, f, t);
    case EXP:
    case NBF:
        return take_number(c, f, t);
    case AUD:
        return take_audience(c, j, t);
    case CRIT: /* something that must be understood, which we do not */
    case FIELDS:
        break;
    }
    return false;
}

static enum field field_of(const struct td_json_token *key, enum field from, enum field to)
{
    for (enum field f = from; f < to; f++) {
        if (td_json_is(key, td_slice_of(names[f]))) {
            return f;
        }
    }
    return FIELDS;
}

/* Takes the fields from..to of an object; false: it is none, or one of them is not as it must
 * be. */
static bool object_read(struct claims *c, td_slice text, enum field from, enum field to)
{
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, text);
    if (td_json_next(&j, &t) != TD_JSON_OBJECT) {
        return false;
    }
    while (td_json_next(&j, &t) == TD_JSON_KEY) {
        enum field f = field_of(&t, from, to);
        (void)td_json_next(&j, &t);
        if (f == FIELDS ? !td_json_skip(&j, &t) : !take(c, f, &j, &t)) {
            return false;
        }
    }
    return t.kind == TD_JSON_OBJECT_END && td_json_next(&j, &t) == TD_JSON_END;
}

/* ---- tokens ---- */

bool td_guard_takes_jwt(const struct td_guard *g)
{
    return g->jwt != NULL;
}

bool td_guard_is_jwt(td_slice token)
{
    size_t dots = 0;
    for (size_t i = 0; i < token.n; i++) {
        dots += token.p[i] == '.';
    }
    return dots == 2 && td_slice_starts(token, TD_STR("eyJ")); /* {" in base64 */
}

static const char *claims_wrong(const struct td_guard_jwt *jwt, const struct claims *c, td_wall now)
{
    int64_t now_s = now / TD_NS_PER_S;
    if (!c->has[EXP] || c->number[EXP] + LEEWAY_S <= now_s) {
        return "the token is over, or does not say when it will be (exp)";
    }
    if (c->has[NBF] && c->number[NBF] - LEEWAY_S > now_s) {
        return "the token has not begun yet (nbf)";
    }
    if (c->text[AUD].n == 0) {
        return "the token is not meant for this hub (aud)";
    }
    if (jwt->issuer != NULL &&
        !td_slice_eq(td_buf_slice(&c->text[ISS]), td_slice_of(jwt->issuer))) {
        return "the token comes from somebody else (iss)";
    }
    return NULL;
}

/* Reads into c; gives what is wrong, NULL: nothing. */
static const char *token_read(const struct td_guard_jwt *jwt, struct claims *c, td_slice token,
                              struct td_buf parts[3], td_wall now)
{
    td_slice rest = token;
    for (size_t i = 0; i < 3; i++) {
        td_slice part = td_slice_head(rest, td_slice_find(rest, '.'));
        rest = td_slice_skip(rest, part.n + 1);
        if (td_guard_base64url_decode(part, &parts[i]) != TD_OK) {
            return "the token is not three parts in base64url";
        }
    }
    if (!object_read(c, td_buf_slice(&parts[0]), ALG, SUB)) {
        return "the token's header is not understood";
    }
    unsigned bit = td_guard_algorithm_of(td_buf_slice(&c->text[ALG]));
    if ((bit & jwt->algorithms) == 0) {
        return "the token's algorithm is not listed";
    }
    size_t last = token.n;
    while (token.p[last - 1] != '.') {
        last--;
    }
    if (!signed_by_ours(jwt, bit, td_slice_head(token, last - 1), td_buf_slice(&parts[2]))) {
        return "the token is signed by nobody that is known";
    }
    if (!object_read(c, td_buf_slice(&parts[1]), SUB, FIELDS) || !c->has[SUB]) {
        return "the token's claims are not understood";
    }
    return claims_wrong(jwt, c, now);
}

struct td_principal *td_guard_jwt_principal(struct td_guard *g, td_slice token, td_wall now,
                                            const char **wrong)
{
    struct claims c = {.number = {0}};
    struct td_buf parts[3];
    struct td_principal *who = NULL;
    *wrong = g->jwt == NULL              ? "tokens of that kind are not taken here"
             : token.n > TOKEN_BYTES_MAX ? "the token is longer than 8192 bytes"
             : !td_guard_is_jwt(token)   ? "the token is not three parts in base64url"
                                         : NULL;
    if (*wrong != NULL) {
        return NULL;
    }
    c.audience = td_slice_of(g->jwt->audience);
    for (size_t i = 0; i < FIELDS; i++) {
        td_buf_init(&c.text[i], TOKEN_BYTES_MAX);
    }
    for (size_t i = 0; i < 3; i++) {
        td_buf_init(&parts[i], TOKEN_BYTES_MAX);
    }
    *wrong = token_read(g->jwt, &c, token, parts, now);
    if (*wrong == NULL) {
        who = td_guard_user_principal(g, td_buf_slice(&c.text[SUB]));
        *wrong = who == NULL ? "the token's subject is no user" : NULL;
    }
    for (size_t i = 0; i < FIELDS; i++) {
        td_buf_fini(&c.text[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        td_buf_fini(&parts[i]);
    }
    return who;
}
