/* linux: TLS contexts. What the files say is read into a new SSL_CTX; when all of it is good, the
 * new one takes the old one's place, and streams keep what they began with.
 *
 * A ticket lets a client come back without its certificate being looked at again. So the keys of
 * tickets belong to the SSL_CTX: with a new CRL, CA or PSK file no old ticket opens. */
#include "linux/tls.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    TICKET_KEY_S = 12 * 3600, /* a key makes tickets that long, and opens them twice that long */
    PSK_BYTES_MIN = 16,
    PSK_BYTES_MAX = 64,
    PSK_LINE_MAX = 512,
    PSK_COUNT_MAX = 100000
};

/* Perfect forward secrecy and authenticated encryption only; 1.3 has nothing else. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_PSK                                                                                \
    "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-AES128-GCM-SHA256:"             \
    "DHE-PSK-CHACHA20-POLY1305"

/* A pre-shared key goes with SHA-256, so a suite with that has to come first. */
#define SUITES_PSK "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"

struct psk {
    uint8_t key[PSK_BYTES_MAX];
    size_t key_n, identity_n;
    char identity[];
};

struct ticket_key {
    uint8_t name[16], cipher[32], mac[32];
    int64_t made_s; /* 0: not yet */
};

/* What hangs on an SSL_CTX and dies with it. */
struct material {
    pthread_mutex_t lock; /* guards the tickets' keys; loops share contexts */
    struct ticket_key now, before;
    struct td_map psks; /* identity -> struct psk */
};

struct td_sys_tls {
    pthread_mutex_t lock; /* guards ctx */
    SSL_CTX *ctx;
    bool dials;
};

/* ---- errors ---- */

static const char *system_text(int number)
{
    return number == ENOENT                      ? "there is no such file"
           : number == EACCES || number == EPERM ? "it may not be read"
           : number == EISDIR                    ? "it is a directory"
                                                 : "it cannot be read";
}

static enum td_err complain(struct td_buf *why, const char *what, const char *file,
                            const char *remedy)
{
    unsigned long code = ERR_peek_error(); /* the first one is the cause */
    bool nothing =
        ERR_GET_REASON(code) == ERR_R_UNSUPPORTED ||
        (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE);
    const char *reason = code == 0                ? "not what it should be"
                         : nothing                ? "there is nothing of that kind in it"
                         : ERR_SYSTEM_ERROR(code) ? system_text(ERR_GET_REASON(code))
                                                  : ERR_reason_error_string(code);
    (void)td_buf_printf(why, "tls: %s '%s' cannot be used: %s; %s", what, file,
                        reason != NULL ? reason : "OpenSSL does not say why", remedy);
    ERR_clear_error();
    return TD_EIO;
}

/* ---- pre-shared keys ---- */

static void psk_free(struct psk *psk)
{
    OPENSSL_cleanse(psk, sizeof *psk);
    free(psk);
}

static int hex_of(uint8_t c)
{
    return td_in(c, '0', '9')   ? c - '0'
           : td_in(c, 'a', 'f') ? c - 'a' + 10
           : td_in(c, 'A', 'F') ? c - 'A' + 10
                                : -1;
}

/* "identity:hex"; NULL: fine, else what is wrong. */
static const char *psk_parse(td_slice line, struct psk **out)
{
    size_t colon = td_slice_find(line, ':');
    td_slice identity = td_slice_head(line, colon), hex = td_slice_skip(line, colon + 1);
    if (colon == line.n || identity.n == 0 || identity.n > 255 ||
        memchr(identity.p, 0, identity.n) != NULL) {
        return "a line is an identity of 1 to 255 bytes, a colon, and a key in hex";
    }
    if (hex.n % 2 != 0 || !td_in(hex.n / 2, PSK_BYTES_MIN, PSK_BYTES_MAX)) {
        return "a key has 16 to 64 bytes, 32 to 128 hex digits";
    }
    struct psk *psk = td_alloc(sizeof *psk + identity.n + 1);
    for (size_t i = 0; i < hex.n; i += 2) {
        int high = hex_of(hex.p[i]), low = hex_of(hex.p[i + 1]);
        if (high < 0 || low < 0) {
            psk_free(psk);
            return "a key is in hex digits";
        }
        psk->key[psk->key_n++] = (uint8_t)(high << 4 | low);
    }
    psk->identity_n = identity.n;
    memcpy(psk->identity, identity.p, identity.n);
    *out = psk;
    return NULL;
}

static const char *psk_add(struct material *m, td_slice line)
{
    struct psk *psk = NULL;
    const char *wrong = psk_parse(line, &psk);
    if (wrong != NULL) {
        return wrong;
    }
    td_slice identity = {(const uint8_t *)psk->identity, psk->identity_n};
    if (td_map_find(&m->psks, identity) != NULL || m->psks.count == PSK_COUNT_MAX) {
        psk_free(psk);
        return m->psks.count == PSK_COUNT_MAX ? "there may be 100000 keys"
                                              : "the identity stands there twice";
    }
    (void)td_map_put(&m->psks, identity, psk);
    return NULL;
}

/* Keys are not told, not even in errors. */
static enum td_err psks_read(struct material *m, const char *file, struct td_buf *why)
{
    char line[PSK_LINE_MAX];
    unsigned number = 0;
    const char *wrong = NULL;
    FILE *in = fopen(file, "re");
    if (in == NULL) {
        (void)td_buf_printf(why,
                            "tls: the file of pre-shared keys '%s' cannot be read: %s; name a file "
                            "with lines of identity:hex",
                            file, system_text(errno));
        return TD_EIO;
    }
    while (wrong == NULL && fgets(line, sizeof line, in) != NULL) {
        td_slice text = td_slice_of(line);
        number++;
        while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) {
            text.n--;
        }
        if (text.n > 0 && text.p[0] != '#') {
            wrong = psk_add(m, text);
        }
    }
    if (wrong == NULL && m->psks.count == 0) {
        wrong = "there is no key in it";
    }
    OPENSSL_cleanse(line, sizeof line);
    (void)fclose(in);
    if (wrong != NULL) {
        (void)td_buf_printf(why, "tls: pre-shared keys '%s', line %u: %s; write identity:hex", file,
                            number, wrong);
        return TD_ESYNTAX;
    }
    return TD_OK;
}

/* ---- what hangs on an SSL_CTX ---- */

static int material_index;
static pthread_once_t started = PTHREAD_ONCE_INIT;

static void material_free(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long argl,
                          void *argp)
{
    struct material *m = p;
    (void)parent, (void)data, (void)index, (void)argl, (void)argp;
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->psks.count; i++) {
        psk_free(m->psks.entries[i].value);
    }
    td_map_fini(&m->psks);
    (void)pthread_mutex_destroy(&m->lock);
    OPENSSL_cleanse(m, sizeof *m);
    free(m);
}

static void start(void)
{
    material_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, material_free);
    td_assert(material_index >= 0);
}

static struct material *material_of(const SSL *ssl)
{
    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), material_index);
}

static struct material *material_new(SSL_CTX *ctx)
{
    uint64_t seed = 0;
    struct material *m = td_alloc(sizeof *m);
    (void)RAND_bytes((uint8_t *)&seed, sizeof seed); /* against chosen identities; no secret */
    td_map_init(&m->psks, seed);
    td_assert(pthread_mutex_init(&m->lock, NULL) == 0);
    td_assert(SSL_CTX_set_ex_data(ctx, material_index, m) == 1);
    return m;
}

/* 1.3. The identity goes with the session, so that it is known when a ticket brings it back; a
 * session that is not taken in the end says nothing. */
static int psk_session(SSL *ssl, const unsigned char *identity, size_t n, SSL_SESSION **out)
{
    static const unsigned char sha256_suite[] = {0x13, 0x01}; /* RFC 8446, 4.2.11: the default */
    const struct psk *psk = td_map_find(&material_of(ssl)->psks, (td_slice){identity, n});
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, sha256_suite);
    *out = NULL;
    if (psk == NULL || cipher == NULL) {
        return 1;
    }
    SSL_SESSION *session = SSL_SESSION_new();
    if (session == NULL || SSL_SESSION_set1_master_key(session, psk->key, psk->key_n) != 1 ||
        SSL_SESSION_set_cipher(session, cipher) != 1 ||
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1 ||
        SSL_SESSION_set1_ticket_appdata(session, psk->identity, psk->identity_n) != 1) {
        SSL_SESSION_free(session);
        return 0;
    }
    *out = session;
    return 1;
}

/* 1.2 */
static unsigned psk_server(SSL *ssl, const char *identity, unsigned char *key, unsigned max)
{
    const struct psk *psk = identity == NULL || SSL_version(ssl) != TLS1_2_VERSION
                                ? NULL
                                : td_map_find(&material_of(ssl)->psks, td_slice_of(identity));
    if (psk == NULL || psk->key_n > max) {
        return 0;
    }
    memcpy(key, psk->key, psk->key_n);
    return (unsigned)psk->key_n;
}

/* Who dials has one. */
static unsigned psk_client(SSL *ssl, const char *hint, char *identity, unsigned identity_max,
                           unsigned char *key, unsigned max)
{
    const struct material *m = material_of(ssl);
    const struct psk *psk = m->psks.count == 0 ? NULL : m->psks.entries[0].value;
    (void)hint;
    if (psk == NULL || psk->key_n > max || psk->identity_n >= identity_max) {
        return 0;
    }
    memcpy(identity, psk->identity, psk->identity_n + 1);
    memcpy(key, psk->key, psk->key_n);
    return (unsigned)psk->key_n;
}

/* ---- tickets (RFC 5077; RFC 8446, 4.6.1) ---- */

static int64_t now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (int64_t)t.tv_sec + 1;
}

/* The key to make tickets with; NULL: no randomness. */
static const struct ticket_key *ticket_key_now(struct material *m)
{
    int64_t now = now_s();
    if (m->now.made_s == 0 || now - m->now.made_s >= TICKET_KEY_S) {
        m->before = m->now;
        m->now.made_s = 0;
        if (RAND_bytes(m->now.name, sizeof m->now.name) != 1 ||
            RAND_priv_bytes(m->now.cipher, sizeof m->now.cipher) != 1 ||
            RAND_priv_bytes(m->now.mac, sizeof m->now.mac) != 1) {
            return NULL;
        }
        m->now.made_s = now;
    }
    return &m->now;
}

static bool ticket_key_use(const struct ticket_key *k, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                           EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    uint8_t key[32]; /* the parameters are not const */
    memcpy(key, k->mac, sizeof key);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, sizeof key),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    bool fine = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, encrypt) == 1 &&
                EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return fine;
}

static int ticket_make(struct material *m, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *k = ticket_key_now(m);
    if (k == NULL || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1) {
        return -1;
    }
    memcpy(name, k->name, sizeof k->name);
    return ticket_key_use(k, iv, cipher, mac, 1) ? 1 : -1;
}

static int ticket_open(const struct material *m, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *const keys[] = {&m->now, &m->before};
    for (size_t i = 0; i < TD_COUNT(keys); i++) {
        const struct ticket_key *k = keys[i];
        if (k->made_s != 0 && now_s() - k->made_s < 2 * (int64_t)TICKET_KEY_S &&
            memcmp(name, k->name, sizeof k->name) == 0) {
            int fine = i == 0 ? 1 : 2; /* 2: and give it a new one */
            return ticket_key_use(k, iv, cipher, mac, 0) ? fine : -1;
        }
    }
    return 0;
}

static int ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int encrypt)
{
    struct material *m = material_of(ssl);
    td_assert(pthread_mutex_lock(&m->lock) == 0);
    int status =
        encrypt ? ticket_make(m, name, iv, cipher, mac) : ticket_open(m, name, iv, cipher, mac);
    td_assert(pthread_mutex_unlock(&m->lock) == 0);
    return status;
}

/* ---- files ---- */

/* A key with a passphrase would ask at the terminal. Its type is OpenSSL's.
 * NOLINTNEXTLINE(readability-non-const-parameter) */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return 0;
}

static enum td_err own_read(SSL_CTX *ctx, const struct td_linux_tls_config *c, struct td_buf *why)
{
    const char *key = c->key != NULL ? c->key : c->certificate;
    if (c->certificate == NULL) {
        return TD_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, c->certificate) != 1) {
        return complain(why, "the certificate", c->certificate,
                        "name a PEM file with the certificate first and those above it behind");
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return complain(why, "the key", key,
                        "name a PEM file with the certificate's private key, without a passphrase");
    }
    return TD_OK;
}

static enum td_err authorities_read(SSL_CTX *ctx, const struct td_linux_tls_config *c,
                                    struct td_buf *why)
{
    if (c->ca == NULL) {
        return TD_OK;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(c->ca);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, c->ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return complain(why, "the CA", c->ca, "name a PEM file with the authorities' certificates");
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* now its own */
    return TD_OK;
}

/* With a CRL every certificate of a chain is looked up; without its authority's list it is not
 * believed. */
static enum td_err revoked_read(SSL_CTX *ctx, const struct td_linux_tls_config *c,
                                struct td_buf *why)
{
    if (c->crl == NULL) {
        return TD_OK;
    }
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (lookup == NULL || X509_load_crl_file(lookup, c->crl, X509_FILETYPE_PEM) < 1) {
        return complain(why, "the CRL", c->crl, "name a PEM file with the authorities' CRLs");
    }
    td_assert(X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1);
    return TD_OK;
}

static enum td_err psk_take(SSL_CTX *ctx, struct material *m, const struct td_linux_tls_config *c,
                            struct td_buf *why)
{
    if (c->dials && c->psk != NULL) {
        const char *wrong = psk_add(m, td_slice_of(c->psk));
        if (wrong != NULL) {
            (void)td_buf_printf(why, "tls: the pre-shared key cannot be used: %s", wrong);
            return TD_ESYNTAX;
        }
        SSL_CTX_set_psk_client_callback(ctx, psk_client);
    } else if (c->psk != NULL) {
        enum td_err err = psks_read(m, c->psk, why);
        if (err != TD_OK) {
            return err;
        }
        SSL_CTX_set_psk_server_callback(ctx, psk_server);
        SSL_CTX_set_psk_find_session_callback(ctx, psk_session);
        td_assert(SSL_CTX_set_ciphersuites(ctx, SUITES_PSK) == 1);
        td_assert(SSL_CTX_set_dh_auto(ctx, 1) == 1);
    }
    return TD_OK;
}

/* ---- settings ---- */

static int verify_mode(const struct td_linux_tls_config *c)
{
    if (c->dials) { /* with a PSK no certificate is shown; one that is must be good */
        return SSL_VERIFY_PEER;
    }
    return c->ask == TD_LINUX_TLS_ASK_NONE ? SSL_VERIFY_NONE
           : c->ask == TD_LINUX_TLS_ASK_OPTIONAL
               ? SSL_VERIFY_PEER
               : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

static void settings(SSL_CTX *ctx, const struct td_linux_tls_config *c)
{
    static const unsigned char name[] = "tandem"; /* sessions with client certificates need one */
    int least = c->least == TD_LINUX_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    td_assert(SSL_CTX_set_min_proto_version(ctx, least) == 1);
    td_assert(SSL_CTX_set_cipher_list(ctx, c->psk != NULL ? CIPHERS ":" CIPHERS_PSK : CIPHERS) ==
              1);
    td_assert(SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF); /* MQTT knows its ends */
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record's head and body by one call */
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_verify(ctx, verify_mode(c), NULL);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory */
    if (!c->dials) {
        td_assert(SSL_CTX_set_session_id_context(ctx, name, sizeof name) == 1);
        td_assert(SSL_CTX_set_num_tickets(ctx, 1) == 1);
        td_assert(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket) == 1);
    }
}

static enum td_err context_fill(SSL_CTX *ctx, const struct td_linux_tls_config *c,
                                struct td_buf *why)
{
    struct material *m = material_new(ctx);
    settings(ctx, c);
    enum td_err err = own_read(ctx, c, why);
    err = err == TD_OK ? authorities_read(ctx, c, why) : err;
    err = err == TD_OK ? revoked_read(ctx, c, why) : err;
    err = err == TD_OK ? psk_take(ctx, m, c, why) : err;
    if (err == TD_OK && c->dials && c->ca == NULL && c->psk == NULL) {
        (void)SSL_CTX_set_default_verify_paths(
            ctx); /* the system's authorities, if there are any */
    }
    return err;
}

static enum td_err context_make(const struct td_linux_tls_config *c, SSL_CTX **out,
                                struct td_buf *why)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(c->dials ? TLS_client_method() : TLS_server_method());
    if (ctx == NULL) {
        (void)td_buf_printf(why, "tls: OpenSSL cannot be started; is there memory?");
        return TD_ENOMEM;
    }
    enum td_err err = context_fill(ctx, c, why);
    if (err != TD_OK) {
        SSL_CTX_free(ctx);
        return err;
    }
    *out = ctx;
    return TD_OK;
}

/* ---- the door ---- */

enum td_err td_linux_tls_context_new(const struct td_linux_tls_config *config,
                                     struct td_sys_tls **out, struct td_buf *why)
{
    SSL_CTX *ctx;
    td_assert(pthread_once(&started, start) == 0);
    enum td_err err = context_make(config, &ctx, why);
    if (err == TD_OK) {
        struct td_sys_tls *t = td_alloc(sizeof *t);
        td_assert(pthread_mutex_init(&t->lock, NULL) == 0);
        t->ctx = ctx;
        t->dials = config->dials;
        *out = t;
    }
    return err;
}

void td_linux_tls_context_swap(struct td_sys_tls *context, struct td_sys_tls *other)
{
    td_assert(pthread_mutex_lock(&context->lock) == 0);
    SSL_CTX *ctx = context->ctx; /* streams have it as long as they need it */
    context->ctx = other->ctx;
    td_assert(pthread_mutex_unlock(&context->lock) == 0);
    other->ctx = ctx;
}

void td_linux_tls_context_free(struct td_sys_tls *context)
{
    if (context != NULL) {
        SSL_CTX_free(context->ctx);
        (void)pthread_mutex_destroy(&context->lock);
        free(context);
    }
}

SSL *td_linux_tls_ssl(struct td_sys_tls *context)
{
    td_assert(pthread_mutex_lock(&context->lock) == 0);
    SSL *ssl = SSL_new(context->ctx);
    td_assert(pthread_mutex_unlock(&context->lock) == 0);
    return ssl;
}

bool td_linux_tls_dials(const struct td_sys_tls *context)
{
    return context->dials;
}

bool td_linux_tls_renewed(struct td_sys_tls *context, const SSL *ssl)
{
    td_assert(pthread_mutex_lock(&context->lock) == 0);
    bool renewed = SSL_get_SSL_CTX(ssl) != context->ctx;
    td_assert(pthread_mutex_unlock(&context->lock) == 0);
    return renewed;
}

bool td_linux_tls_still_good(struct td_sys_tls *context, X509 *certificate, STACK_OF(X509) * chain)
{
    td_assert(pthread_mutex_lock(&context->lock) == 0);
    X509_STORE *store = SSL_CTX_get_cert_store(context->ctx);
    td_assert(X509_STORE_up_ref(store) == 1);
    td_assert(pthread_mutex_unlock(&context->lock) == 0);
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    bool good = check != NULL && X509_STORE_CTX_init(check, store, certificate, chain) == 1 &&
                X509_STORE_CTX_set_default(check, "ssl_client") == 1 &&
                X509_verify_cert(check) == 1;
    X509_STORE_CTX_free(check);
    X509_STORE_free(store);
    return good;
}
