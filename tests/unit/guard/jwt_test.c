/* JSON Web Tokens: the vectors of RFC 7515 and RFC 8037; what a token must not get away with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "guard/guard.h"

static td_slice S(const char *text)
{
    return td_slice_of(text);
}

/* ---- making tokens ---- */

static void url64(td_slice bytes, char *out)
{
    struct td_buf b;
    td_buf_init(&b, 8192);
    assert_int_equal(TD_OK, td_guard_base64_encode(bytes, &b));
    size_t n = 0;
    for (; n < b.n && b.p[n] != '='; n++) {
        out[n] = b.p[n] == '+' ? '-' : b.p[n] == '/' ? '_' : (char)b.p[n];
    }
    out[n] = '\0';
    td_buf_fini(&b);
}

static void sign(EVP_PKEY *key, const EVP_MD *digest, const char *header, const char *claims,
                 char out[4096])
{
    uint8_t signature[1024];
    size_t n = sizeof signature;
    char part[4096];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    url64(S(header), out);
    (void)strcat(out, ".");
    url64(S(claims), part);
    (void)strcat(out, part);
    assert_int_equal(1, EVP_DigestSignInit(md, NULL, digest, NULL, key));
    assert_int_equal(1, EVP_DigestSign(md, signature, &n, (uint8_t *)out, strlen(out)));
    EVP_MD_CTX_free(md);
    (void)strcat(out, ".");
    url64((td_slice){signature, n}, part);
    (void)strcat(out, part);
}

static void pem_of(EVP_PKEY *key, struct td_buf *out)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(1, PEM_write_bio_PUBKEY(bio, key));
    long n = BIO_get_mem_data(bio, &text);
    assert_int_equal(TD_OK, td_buf_add(out, (td_slice){(uint8_t *)text, (size_t)n}));
    BIO_free(bio);
}

static struct td_guard *guard_of(td_slice pem, unsigned algorithms)
{
    struct td_guard_file users = {"users", S("anna::\nbob::\n")}, none = {0}, keys = {"keys", pem};
    struct td_guard_jwt_config config = {"hub", "issuer", algorithms};
    struct td_buf why;
    struct td_guard *g = td_guard_new();
    td_buf_init(&why, 1000);
    assert_int_equal(TD_OK, td_guard_load(g, &users, &none, &why));
    if (td_guard_jwt_load(g, &keys, &config, &why) != TD_OK) {
        fail_msg("%.*s", (int)why.n, (const char *)why.p);
    }
    td_buf_fini(&why);
    return g;
}

static const td_wall now = INT64_C(1700000000) * TD_NS_PER_S;

static const char *judge(struct td_guard *g, td_slice token, const char *name)
{
    const char *wrong = NULL;
    struct td_principal *who = td_guard_jwt_principal(g, token, now, &wrong);
    assert_true((who == NULL) == (wrong != NULL));
    if (who != NULL) {
        assert_string_equal(name, who->name);
        td_principal_unref(g, who);
    }
    return wrong;
}

/* ---- vectors: their claims are not for us, so they fail after the signature ---- */

static const char es256_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                                "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                                "-----END PUBLIC KEY-----\n";
static const char eddsa_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                "-----END PUBLIC KEY-----\n";

static void the_vectors_of_the_rfcs(void **state)
{
    (void)state;
    static const struct {
        const char *key, *token;
        unsigned algorithm;
    } cases[] = {
        {es256_key, /* RFC 7515, A.3 */
         "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"
         "LmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISl"
         "SApmWQxfKTUJqPP3-Kg6NU1Q",
         TD_GUARD_ES256},
        {eddsa_key, /* RFC 8037, A.4 */
         "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PG"
         "cvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
         TD_GUARD_EDDSA},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_guard *g = guard_of(S(cases[i].key), cases[i].algorithm);
        char changed[1000];
        assert_string_equal("the token's claims are not understood",
                            judge(g, S(cases[i].token), NULL));
        (void)snprintf(changed, sizeof changed, "%s", cases[i].token);
        changed[40] = changed[40] == 'A' ? 'B' : 'A';
        assert_string_equal("the token is signed by nobody that is known",
                            judge(g, S(changed), NULL));
        td_guard_free(g);
    }
}

/* ---- claims ---- */

#define GOOD "\"iss\":\"issuer\",\"aud\":\"hub\",\"exp\":1700000100"

static const struct {
    const char *header, *claims, *wrong; /* NULL: it is anna's */
} cases[] = {
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"anna\"," GOOD "}", NULL},
    {"{\"typ\":\"JWT\",\"alg\":\"EdDSA\",\"kid\":\"x\"}",
     "{\"x\":{\"sub\":\"bob\"},\"sub\":\"anna\"," GOOD ",\"nbf\":1700000010}", NULL},
    {"{\"alg\":\"EdDSA\"}",
     "{\"sub\":\"anna\",\"iss\":\"issuer\",\"exp\":1.7000001e9,\"aud\":[\"x\",\"hub\"]}", NULL},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"nobody\"," GOOD "}", "the token's subject is no user"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"local\"," GOOD "}", "the token's subject is no user"},
    {"{\"alg\":\"EdDSA\"}", "{" GOOD "}", "the token's claims are not understood"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":7," GOOD "}", "the token's claims are not understood"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"anna\",\"sub\":\"bob\"," GOOD "}",
     "the token's claims are not understood"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"anna\"," GOOD "}x",
     "the token's claims are not understood"},
    {"{\"alg\":\"EdDSA\"}", "[]", "the token's claims are not understood"},
    {"{\"alg\":\"EdDSA\"}",
     "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":\"hub\",\"exp\":1699999960}",
     "the token is over, or does not say when it will be (exp)"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":\"hub\"}",
     "the token is over, or does not say when it will be (exp)"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"anna\"," GOOD ",\"nbf\":1700000050}",
     "the token has not begun yet (nbf)"},
    {"{\"alg\":\"EdDSA\"}",
     "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":[\"x\",\"hubs\"],\"exp\":1700000100}",
     "the token is not meant for this hub (aud)"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"anna\",\"iss\":\"issuer\",\"exp\":1700000100}",
     "the token is not meant for this hub (aud)"},
    {"{\"alg\":\"EdDSA\"}",
     "{\"sub\":\"anna\",\"iss\":\"other\",\"aud\":\"hub\",\"exp\":1700000100}",
     "the token comes from somebody else (iss)"},
    {"{\"alg\":\"EdDSA\"}", "{\"sub\":\"anna\",\"aud\":\"hub\",\"exp\":1700000100}",
     "the token comes from somebody else (iss)"},
    {"{\"alg\":\"none\"}", "{\"sub\":\"anna\"," GOOD "}", "the token's algorithm is not listed"},
    {"{\"alg\":\"HS256\"}", "{\"sub\":\"anna\"," GOOD "}", "the token's algorithm is not listed"},
    {"{\"alg\":\"RS256\"}", "{\"sub\":\"anna\"," GOOD "}",
     "the token is signed by nobody that is known"},
    {"{\"alg\":\"ES256\"}", "{\"sub\":\"anna\"," GOOD "}", "the token's algorithm is not listed"},
    {"{\"alg\":\"EdDSA\",\"crit\":[\"exp\"]}", "{\"sub\":\"anna\"," GOOD "}",
     "the token's header is not understood"},
    {"{\"kid\":\"x\"}", "{\"sub\":\"anna\"," GOOD "}", "the token's algorithm is not listed"},
};

static void claims_are_judged(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    struct td_buf pem;
    char token[4096];
    const char *wrong;
    td_buf_init(&pem, 8192);
    pem_of(key, &pem);
    pem_of(rsa, &pem);
    struct td_guard *g = guard_of(td_buf_slice(&pem), TD_GUARD_EDDSA | TD_GUARD_RS256);
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        sign(key, NULL, cases[i].header, cases[i].claims, token);
        wrong = judge(g, S(token), "anna");
        if ((wrong == NULL) != (cases[i].wrong == NULL) ||
            (wrong != NULL && strcmp(wrong, cases[i].wrong) != 0)) {
            fail_msg("%s %s: %s", cases[i].header, cases[i].claims,
                     wrong == NULL ? "taken" : wrong);
        }
    }
    sign(rsa, EVP_sha256(), "{\"alg\":\"RS256\"}", "{\"sub\":\"bob\"," GOOD "}", token);
    assert_null(judge(g, S(token), "bob"));
    assert_true(td_guard_is_jwt(S(token)));
    sign(other, NULL, cases[0].header, cases[0].claims, token);
    assert_string_equal("the token is signed by nobody that is known", judge(g, S(token), NULL));
    sign(key, NULL, cases[0].header, cases[0].claims, token);
    for (size_t n = 0; n < strlen(token); n++) {
        assert_non_null(judge(g, (td_slice){(uint8_t *)token, n}, NULL));
    }
    td_guard_free(g);
    td_buf_fini(&pem);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    EVP_PKEY_free(rsa);
}

static void key_files_are_judged(void **state)
{
    (void)state;
    EVP_PKEY *small = EVP_RSA_gen(1024), *curve = EVP_EC_gen("P-384");
    struct td_guard_jwt_config all = {"hub", NULL, 7}, ec = {"hub", NULL, TD_GUARD_ES256};
    struct td_guard_jwt_config no_audience = {NULL, NULL, 7};
    struct td_buf pems[2], why;
    struct td_guard *g = td_guard_new();
    td_buf_init(&pems[0], 8192);
    td_buf_init(&pems[1], 8192);
    td_buf_init(&why, 1000);
    pem_of(small, &pems[0]);
    pem_of(curve, &pems[1]);
    const struct {
        td_slice pem;
        const struct td_guard_jwt_config *config;
        const char *says;
    } files[] = {
        {td_buf_slice(&pems[0]), &all, "keys: a key belongs to no listed algorithm"},
        {td_buf_slice(&pems[1]), &all, "keys: a key belongs to no listed algorithm"},
        {S(eddsa_key), &ec, "keys: a key belongs to no listed algorithm"},
        {S("nothing"), &all, "keys: no public key in it"},
        {S(""), &all, "keys: no public key in it"},
        {S(eddsa_key), &no_audience, "keys: tokens need jwt_audience and jwt_algorithms"},
    };
    for (size_t i = 0; i < TD_COUNT(files); i++) {
        struct td_guard_file keys = {"keys", files[i].pem};
        td_buf_clear(&why);
        assert_int_equal(TD_ESYNTAX, td_guard_jwt_load(g, &keys, files[i].config, &why));
        assert_true(td_slice_starts(td_buf_slice(&why), S(files[i].says)));
    }
    td_guard_free(g);
    td_buf_fini(&pems[0]);
    td_buf_fini(&pems[1]);
    td_buf_fini(&why);
    EVP_PKEY_free(small);
    EVP_PKEY_free(curve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfcs),
        cmocka_unit_test(claims_are_judged),
        cmocka_unit_test(key_files_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
