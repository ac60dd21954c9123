/* linux, private: TLS as a filter on a stream. Its owner reads and writes plain text; the handshake
 * happens inside of read and write. What the socket has to be watched for can differ from what the
 * owner watches, and so can what the owner is told from what the socket says: see watch, ready,
 * more.
 *
 *   tls.c         contexts: what files say, OpenSSL's settings, tickets, reload
 *   tls_stream.c  one stream */
#ifndef TD_LINUX_TLS_H
#define TD_LINUX_TLS_H

#include <openssl/ssl.h>

#include "linux/linux.h"

struct td_linux_tls {
    SSL *ssl;                   /* NULL: who came has not said anything yet */
    struct td_sys_tls *context; /* outlives it */
    int fd;
    unsigned asked;        /* what the owner watches */
    bool drained;          /* the last time, the socket had no more than we took */
    bool more;             /* something may be had that the kernel will not tell of */
    bool read_wants_write; /* to go on reading, TLS has to write first, */
    bool write_wants_read; /* and the other way round: the handshake, above all */
    size_t heard;          /* bytes from the socket, */
    bool said;             /* something to it: reset by who looks at them */
    bool shaking;          /* the handshake is under way; counted in td_linux */
    bool failed;           /* nothing may be sent any more */
    bool shut;             /* we have said that nothing more comes */
    char why[120];         /* it has failed */
};

/* An SSL object with the context's settings of now, for one stream. NULL: no memory. */
SSL *td_linux_tls_ssl(struct td_sys_tls *context);
/* Does it dial? Then it has this name to prove, if any. */
bool td_linux_tls_dials(const struct td_sys_tls *context);

/* Has the context other files since this stream began? */
bool td_linux_tls_renewed(struct td_sys_tls *context, const SSL *ssl);
/* Would a client with this certificate be let in now? */
bool td_linux_tls_still_good(struct td_sys_tls *context, X509 *certificate, STACK_OF(X509) * chain);

/* Begins on a socket that is connected or connecting. `name`: what the server's certificate must be
 * for, NULL: anything; for contexts that dial. Free with td_linux_tls_free(). */
struct td_linux_tls *td_linux_tls_new(struct td_sys_tls *context, int fd, const char *name);
/* Says goodbye if that is possible at once; the socket stays. */
void td_linux_tls_free(struct td_linux_tls *t);

/* As sys->read and sys->write. */
enum td_err td_linux_tls_read(struct td_linux_tls *t, uint8_t *p, size_t max, size_t *got);
enum td_err td_linux_tls_write(struct td_linux_tls *t, const td_slice *parts, size_t count,
                               size_t *sent);
/* Ends our direction; the socket's is ended by the caller. */
void td_linux_tls_shutdown(struct td_linux_tls *t);
/* May there be something to read that the kernel will not tell of? */
bool td_linux_tls_more(const struct td_linux_tls *t);
/* What to watch the socket for. */
unsigned td_linux_tls_watch(const struct td_linux_tls *t);
/* The socket is ready like that, which is told once: gives what to tell the owner. */
unsigned td_linux_tls_ready(struct td_linux_tls *t, unsigned ready);
/* Fills in what the handshake has proved. */
void td_linux_tls_peer(const struct td_linux_tls *t, struct td_sys_peer *out);

#endif
