/* linux: the seam for real. epoll for streams, POSIX files, one thread a lane for slow work.
 *
 *   for (;;) {
 *       td_linux_wait(l, deadline);
 *       while (td_linux_next(l, &event)) { ... }
 *   }
 *
 * Events are pulled one by one, so a stream that is closed while an earlier event of the same wait
 * is handled never shows up again. One thread owns a td_linux; td_linux_wake may be called from
 * signal handlers and other threads. */
#ifndef TD_LINUX_H
#define TD_LINUX_H

#include "sys/sys.h"

struct td_linux;

/* Opens epoll and the wake-up. Free with td_linux_free(). */
enum td_err td_linux_new(struct td_linux **out);
/* Waits for works under way, closes all streams that are still open. */
void td_linux_free(struct td_linux *l);
/* The seam; lives as long as l. */
struct td_sys *td_linux_sys(struct td_linux *l);

/* Waits until something is ready, `deadline` has come, or td_linux_wake() was called. A deadline
 * in the past polls. */
void td_linux_wait(struct td_linux *l, td_mono deadline);
/* The next event of the last wait; false when there are no more. */
bool td_linux_next(struct td_linux *l, struct td_sys_event *out);
/* Ends the current or the next wait. Async-signal-safe. */
void td_linux_wake(struct td_linux *l);

/* Bytes of memory that the machine has, or the control group that we are in. */
uint64_t td_linux_memory_total(void);
/* Whether it is an address as sys->connect takes it. */
bool td_linux_address_valid(td_slice text);
/* Connects, writes the question, appends what comes until the other side closes; for works, which
 * may wait. TD_EIO: not within wait_ms; TD_EFULL: more than `answer` may hold. */
enum td_err td_linux_exchange(td_slice address, td_slice question, td_ms wait_ms,
                              struct td_buf *answer);

/* ---- TLS ---- */

enum td_linux_tls_ask {
    TD_LINUX_TLS_ASK_NONE,
    TD_LINUX_TLS_ASK_OPTIONAL,
    TD_LINUX_TLS_ASK_REQUIRED
};
enum td_linux_tls_version { TD_LINUX_TLS_1_2, TD_LINUX_TLS_1_3 };

/* Files are PEM; NULL: none. Without a certificate there must be a PSK. */
struct td_linux_tls_config {
    bool dials;              /* for connect; else for listen */
    const char *certificate; /* our own, those above it behind */
    const char *key;         /* NULL: in the same file */
    const char *ca;          /* who may vouch for the other end; for connect NULL is the system's */
    const char *crl;         /* of all authorities in a chain */
    enum td_linux_tls_ask ask; /* listen: for a certificate of the client */
    const char *psk; /* listen: a file, "identity:hex" a line; connect: such a line, not a file */
    enum td_linux_tls_version least;
};

/* Reads the files. For sys->listen and sys->connect, of any loop; free when no stream uses it.
 * On failure `why` says which file, what is wrong with it, and what to do. */
enum td_err td_linux_tls_context_new(const struct td_linux_tls_config *config,
                                     struct td_sys_tls **out, struct td_buf *why);
/* What was read for `other`, of which no stream was made, is for streams that begin from now on by
 * `context`, and the other way round; no ticket of before is taken. Certificates of clients that
 * were good before are looked at again by sys->peer. From any thread. */
void td_linux_tls_context_swap(struct td_sys_tls *context, struct td_sys_tls *other);
void td_linux_tls_context_free(struct td_sys_tls *context);

/* ---- the parts, for this room only ---- */

/* Fills in the rows of the seam that are about files. */
void td_linux_files_fill(struct td_sys *sys);
/* The same, about memory. */
void td_linux_memory_fill(struct td_sys *sys);

#endif
