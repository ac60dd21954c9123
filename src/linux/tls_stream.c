/* linux: TLS on one stream. OpenSSL gets at the socket by a BIO of ours: it sends without signals,
 * and sees whether a read took all that was there. */
#include "linux/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "linux/address.h"

enum {
    RECORD_BYTES = 16384, /* what one record carries at most */
    DRAIN_READS_MAX = 16
};

/* ---- the socket, as OpenSSL sees it ---- */

static int bio_read(BIO *bio, char *p, size_t max, size_t *got)
{
    struct td_linux_tls *t = BIO_get_data(bio);
    ssize_t n = recv(t->fd, p, max, 0);
    BIO_clear_retry_flags(bio);
    t->drained = n < (ssize_t)max;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        t->drained = errno == EAGAIN;
        BIO_set_retry_read(bio);
    }
    *got = n > 0 ? (size_t)n : 0;
    t->heard += *got;
    if (n == 0) {
        t->drained = false; /* the end is still to be told */
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    }
    return n > 0;
}

static int bio_write(BIO *bio, const char *p, size_t n, size_t *sent)
{
    struct td_linux_tls *t = BIO_get_data(bio);
    ssize_t done = send(t->fd, p, n, MSG_NOSIGNAL);
    BIO_clear_retry_flags(bio);
    if (done < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)) {
        BIO_set_retry_write(bio); /* ENOTCONN: it is still being connected */
    }
    *sent = done > 0 ? (size_t)done : 0;
    t->said = t->said || done > 0;
    return done > 0;
}

static long bio_control(BIO *bio, int what, long number, void *p)
{
    (void)number, (void)p;
    switch (what) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static BIO_METHOD *method;
static pthread_once_t started = PTHREAD_ONCE_INIT;

static void start(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    td_assert(method != NULL);
    td_assert(BIO_meth_set_read_ex(method, bio_read) == 1);
    td_assert(BIO_meth_set_write_ex(method, bio_write) == 1);
    td_assert(BIO_meth_set_ctrl(method, bio_control) == 1);
}

/* ---- birth and death ---- */

/* Whom the certificate has to be for: a host's name or its address. */
static bool name_expect(SSL *ssl, const char *name)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    /* SSL_set_tlsext_host_name() without its cast; the name is copied. */
    return SSL_set1_host(ssl, name) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)name) == 1;
}

/* Makes what OpenSSL needs. For who came to us only once he has said something: the silent cost
 * little. */
static bool begin(struct td_linux_tls *t, const char *name)
{
    SSL *ssl = td_linux_tls_ssl(t->context);
    BIO *bio = BIO_new(method);
    if (ssl == NULL || bio == NULL || (name != NULL && !name_expect(ssl, name))) {
        SSL_free(ssl);
        (void)BIO_free(bio);
        ERR_clear_error();
        t->failed = true;
        return false;
    }
    t->ssl = ssl;
    t->shaking = true;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (td_linux_tls_dials(t->context)) {
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
    }
    return true;
}

struct td_linux_tls *td_linux_tls_new(struct td_sys_tls *context, int fd, const char *name)
{
    td_assert(pthread_once(&started, start) == 0);
    struct td_linux_tls *t = td_alloc(sizeof *t);
    t->context = context;
    t->fd = fd;
    if (td_linux_tls_dials(context) && !begin(t, name)) {
        free(t);
        return NULL;
    }
    return t;
}

void td_linux_tls_shutdown(struct td_linux_tls *t)
{
    if (!t->shut && !t->failed && !t->shaking && t->ssl != NULL) {
        (void)SSL_shutdown(t->ssl); /* what does not fit is not sent: TCP's end says it too */
        ERR_clear_error();
    }
    t->shut = true;
}

void td_linux_tls_free(struct td_linux_tls *t)
{
    uint8_t scrap[1024];
    td_linux_tls_shutdown(t);
    if (t->failed) { /* unread input would turn close() into a reset, which eats the alert */
        (void)shutdown(t->fd, SHUT_WR);
        for (int i = 0; i < DRAIN_READS_MAX && recv(t->fd, scrap, sizeof scrap, 0) > 0; i++) {
        }
    }
    SSL_free(t->ssl);
    free(t);
}

/* ---- reading and writing ---- */

static void failed(struct td_linux_tls *t)
{
    unsigned long code = ERR_peek_error(); /* the first one is the cause */
    long verdict = SSL_get_verify_result(t->ssl);
    const char *reason = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                         : code == 0          ? "the stream broke"
                                              : ERR_reason_error_string(code);
    t->failed = true;
    (void)snprintf(t->why, sizeof t->why, "%s", reason != NULL ? reason : "unknown");
    ERR_clear_error();
}

/* What became of a call that did not succeed, and which direction it waits for. */
static enum td_err outcome(struct td_linux_tls *t, int status, bool *wants_read, bool *wants_write)
{
    int got_errno = errno;
    switch (SSL_get_error(t->ssl, status)) {
    case SSL_ERROR_WANT_READ:
        *wants_read = true;
        return TD_EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        *wants_write = true;
        return TD_EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return TD_ECLOSED;
    case SSL_ERROR_SYSCALL:
        errno = got_errno;
        failed(t);
        return got_errno == ECONNRESET || got_errno == EPIPE || got_errno == 0 ? TD_ECLOSED
                                                                               : TD_EIO;
    default:
        failed(t);
        return TD_EIO;
    }
}

enum td_err td_linux_tls_read(struct td_linux_tls *t, uint8_t *p, size_t max, size_t *got)
{
    bool wants_read = false;
    if (t->failed || (t->ssl == NULL && !begin(t, NULL))) {
        return TD_EIO;
    }
    ERR_clear_error();
    t->read_wants_write = false;
    int status = SSL_read_ex(t->ssl, p, max, got);
    t->shaking = t->shaking && SSL_is_init_finished(t->ssl) == 0;
    enum td_err err = status == 1 ? TD_OK : outcome(t, status, &wants_read, &t->read_wants_write);
    /* Half a record is pending too, but only the kernel can bring the other half. */
    t->more = !t->drained || (err == TD_OK && SSL_has_pending(t->ssl) == 1);
    return err;
}

/* The bytes that the next record carries: of one part where they are, of several in `room`. */
static td_slice gather(const td_slice *parts, size_t count, size_t skip, uint8_t room[RECORD_BYTES])
{
    size_t n = 0;
    while (count > 0 && skip >= parts->n) {
        skip -= parts->n;
        parts++;
        count--;
    }
    if (count == 0) {
        return (td_slice){NULL, 0};
    }
    td_slice first = td_slice_skip(*parts, skip);
    if (count == 1 || first.n >= RECORD_BYTES) {
        return td_slice_head(first, RECORD_BYTES);
    }
    for (; count > 0 && n < RECORD_BYTES; parts++, count--, skip = 0) {
        td_slice part = td_slice_head(td_slice_skip(*parts, skip), RECORD_BYTES - n);
        td_put_bytes(room + n, part);
        n += part.n;
    }
    return (td_slice){room, n};
}

enum td_err td_linux_tls_write(struct td_linux_tls *t, const td_slice *parts, size_t count,
                               size_t *sent)
{
    static _Thread_local uint8_t room[RECORD_BYTES];
    size_t all = 0;
    bool wants_write = false;
    bool fine = !t->failed && (t->ssl != NULL || begin(t, NULL));
    enum td_err err = fine ? TD_OK : TD_EIO;
    t->write_wants_read = false;
    while (err == TD_OK) {
        td_slice record = gather(parts, count, all, room);
        size_t n = 0;
        if (record.n == 0) {
            break;
        }
        ERR_clear_error();
        int status = SSL_write_ex(t->ssl, record.p, record.n, &n);
        t->shaking = t->shaking && SSL_is_init_finished(t->ssl) == 0;
        err = status == 1 ? TD_OK : outcome(t, status, &t->write_wants_read, &wants_write);
        all += n;
    }
    t->more = fine && (t->more || !t->drained || SSL_has_pending(t->ssl) == 1); /* read() sees */
    *sent = all;
    return all > 0 ? TD_OK : err;
}

/* ---- what to wait for ---- */

bool td_linux_tls_more(const struct td_linux_tls *t)
{
    return !t->failed && t->more;
}

unsigned td_linux_tls_watch(const struct td_linux_tls *t)
{
    unsigned ready = t->asked;
    ready |= t->write_wants_read ? (unsigned)TD_SYS_READ : 0u;
    ready |= t->read_wants_write ? (unsigned)TD_SYS_WRITE : 0u;
    return ready;
}

unsigned td_linux_tls_ready(struct td_linux_tls *t, unsigned ready)
{
    if ((ready & (TD_SYS_READ | TD_SYS_HANGUP)) != 0) {
        t->drained = false; /* even if the next record is at hand already */
    }
    unsigned told = ready & (t->asked | (unsigned)TD_SYS_HANGUP);
    if ((ready & TD_SYS_READ) != 0 && t->write_wants_read) {
        told |= TD_SYS_WRITE;
    }
    if ((ready & TD_SYS_WRITE) != 0 && t->read_wants_write) {
        told |= TD_SYS_READ;
    }
    return told;
}

/* ---- what the handshake has proved ---- */

/* The common name, if it is plain text that fits. */
static void subject_of(const X509 *certificate, char out[256])
{
    const X509_NAME *name = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    unsigned char *utf8 = NULL;
    int n = at < 0 ? -1
                   : ASN1_STRING_to_UTF8(&utf8,
                                         X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (n > 0 && n < 256 && memchr(utf8, 0, (size_t)n) == NULL &&
        td_utf8_valid((td_slice){utf8, (size_t)n})) {
        memcpy(out, utf8, (size_t)n);
    }
    OPENSSL_free(utf8);
}

static void alternatives_of(const X509 *certificate, char out[1024])
{
    STACK_OF(GENERAL_NAME) *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t at = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI && name->type != GEN_DNS) {
            continue;
        }
        const ASN1_IA5STRING *text = name->d.ia5;
        size_t n = (size_t)ASN1_STRING_length(text);
        const uint8_t *p = ASN1_STRING_get0_data(text);
        if (n > 0 && n < 1024 && at + n + 6 < 1024 && memchr(p, 0, n) == NULL) {
            memcpy(out + at, name->type == GEN_URI ? "URI:" : "DNS:", 4);
            memcpy(out + at + 4, p, n);
            at += n + 5; /* zeros stand behind it */
        }
    }
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static void certificate_of(X509 *certificate, struct td_sys_peer *out)
{
    unsigned char *key = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    subject_of(certificate, out->subject);
    alternatives_of(certificate, out->alternatives);
    out->certificate =
        n > 0 && EVP_Digest(key, (size_t)n, out->key_sha256, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(key);
}

/* Of a pre-shared key: 1.3 has it with the session (see tls.c), 1.2 by itself. */
static void identity_of(SSL *ssl, char out[256])
{
    void *data = NULL;
    size_t n = 0;
    SSL_SESSION *session = SSL_get0_session(ssl);
    const char *text = SSL_get_psk_identity(ssl);
    if (session != NULL && SSL_SESSION_get0_ticket_appdata(session, &data, &n) == 1 && n > 0) {
        text = data;
    } else {
        n = text == NULL ? 0 : strlen(text);
    }
    if (n > 0 && n < 256) {
        memcpy(out, text, n);
    }
}

void td_linux_tls_peer(const struct td_linux_tls *t, struct td_sys_peer *out)
{
    memcpy(out->refused, t->why, sizeof t->why);
    if (t->failed || t->ssl == NULL || SSL_is_init_finished(t->ssl) == 0) {
        return;
    }
    X509 *certificate = SSL_get0_peer_certificate(t->ssl);
    out->tls = true;
    if (certificate != NULL && SSL_get_verify_result(t->ssl) == X509_V_OK) {
        certificate_of(certificate, out);
        out->withdrawn =
            td_linux_tls_renewed(t->context, t->ssl) && !td_linux_tls_dials(t->context) &&
            !td_linux_tls_still_good(t->context, certificate, SSL_get_peer_cert_chain(t->ssl));
        out->certificate = out->certificate && !out->withdrawn;
    }
    identity_of(t->ssl, out->psk_identity);
    ERR_clear_error();
}
