/* sys: the seam. All that is not deterministic comes through this table: clock, randomness,
 * streams, files, work that takes long. linux/ implements it for real, tests/sim from a seed.
 *
 * The seam has no "wait": whoever owns the loop (app/ on linux/, or the simulator) waits, and hands
 * each event to the hub as one turn. So the hub is a function from events to effects. All calls
 * are made by the loop's thread, except that a work's run() may use the file calls (only those)
 * from its own thread. */
#ifndef TD_SYS_H
#define TD_SYS_H

#include "base/base.h"

enum td_sys_ready {
    TD_SYS_READ = 1,  /* bytes (or a connection) wait, or the other side has closed */
    TD_SYS_WRITE = 2, /* there is room to write again; connect() has come through */
    TD_SYS_HANGUP = 4 /* the stream failed; the next read or write says why */
};

struct td_sys_event {
    void *owner;    /* as given to listen, accept or connect */
    int stream;     /* < 0: a work has ended, owner is the struct td_work */
    unsigned ready; /* enum td_sys_ready, or'ed */
};

/* Something slow, run off the loop: commits, chunk writes, queries. Embedded in its owner, which
 * keeps it untouched until the event that says it has ended. Works of one `lane` run one after
 * another in the order they were given; lanes run beside each other. */
struct td_work {
    void (*run)(struct td_work *w);
    void (*done)(struct td_work *w); /* on the loop's thread, after run */
    unsigned lane;                   /* enum td_sys_lane */
    struct td_work *next;            /* the seam's own */
};

enum td_sys_lane {
    TD_LANE_COMMIT,
    TD_LANE_CHUNK,
    TD_LANE_QUERY,
    TD_LANE_LOGIN, /* passwords are slow on purpose: two at a time, beside each other */
    TD_LANE_LOGIN_TOO,
    TD_LANE_COUNT
};

/* Certificates and keys for TLS, made by who implements the seam. */
struct td_sys_tls;

/* What to listen on, and how. */
struct td_sys_listen {
    td_slice address;       /* as below */
    void *owner;            /* told of connections that wait */
    unsigned mode;          /* of a unix socket's file, such as 0660; 0: 0600 */
    struct td_sys_tls *tls; /* NULL: plain. Read and write carry plain text all the same */
};

/* Whom to call, and how. */
struct td_sys_connect {
    td_slice address;
    void *owner;
    struct td_sys_tls *tls; /* NULL: plain */
    const char *name;       /* with TLS: whom the certificate has to be for; NULL: anybody */
};

/* What is known of the other end of a stream beyond its address. */
struct td_sys_peer {
    bool process; /* a unix socket's: who connected, as the kernel tells */
    uint32_t uid, gid;
    int64_t pid;
    bool tls;                /* TLS protects the stream, its handshake is through */
    bool certificate;        /* it has shown one; our CA vouches for it, no CRL takes it back */
    bool withdrawn;          /* it has shown one that was good then and is not any more */
    char subject[256];       /* the certificate's common name; too long or with a NUL: empty */
    char alternatives[1024]; /* "URI:..." and "DNS:...", each with a NUL behind; an empty one ends
                               * the list; what is too long is left out */
    uint8_t key_sha256[32];  /* of its public key (SubjectPublicKeyInfo) */
    char refused[120];       /* TLS has failed: why */
    char psk_identity[256];  /* it knows the key that goes with this name; empty: no PSK */
};

enum td_sys_open {
    TD_SYS_OPEN_READ = 0,
    TD_SYS_OPEN_WRITE = 1,  /* read and write */
    TD_SYS_OPEN_CREATE = 2, /* with WRITE: make it if absent, mode 0600 */
    TD_SYS_OPEN_TRUNCATE = 4
};

/* One of several writes, see write_many. */
struct td_sys_write {
    int stream;
    td_slice bytes;
    enum td_err err; /* the outcome, as of write() */
    size_t sent;
};

struct td_sys {
    /* Clock and randomness. random() is fit for keys on linux/. */
    td_mono (*mono)(struct td_sys *);
    td_wall (*wall)(struct td_sys *);
    void (*random)(struct td_sys *, void *p, size_t n);

    /* Streams. Addresses: "127.0.0.1:1883", "[::1]:0" (0: a free port), "unix:/path". Handles are
     * small non-negative numbers. New streams are watched for READ; every one has TCP_NODELAY.
     * listen: TD_EEXIST address in use, TD_EDENIED, TD_ERANGE not an address. Borrows `ask` for
     * the call. */
    enum td_err (*listen)(struct td_sys *, const struct td_sys_listen *ask, int *out);
    /* Begins to connect; WRITE becomes ready when it is through, HANGUP when it is not. Borrows
     * `ask` for the call. */
    enum td_err (*connect)(struct td_sys *, const struct td_sys_connect *ask, int *out);
    /* TD_EAGAIN: nobody waits. The stream belongs to `owner`. */
    enum td_err (*accept)(struct td_sys *, int listener, void *owner, int *out);
    /* Changes who gets a stream's events. */
    void (*owner_set)(struct td_sys *, int stream, void *owner);
    /* The address of this end (peer false) or the other, as text with NUL into out[64]. */
    void (*address)(struct td_sys *, int stream, bool peer, char out[64]);
    /* Who is at the other end, as far as that is proved; what is not known is zero. */
    void (*peer)(struct td_sys *, int stream, struct td_sys_peer *out);
    /* Reads up to max bytes. TD_OK: *got > 0. TD_EAGAIN: none now. TD_ECLOSED: the end.
     * TD_EIO: broken. */
    enum td_err (*read)(struct td_sys *, int stream, uint8_t *p, size_t max, size_t *got);
    /* Writes what fits of `count` parts. TD_OK with *sent <= total; TD_EAGAIN: nothing fits now;
     * TD_ECLOSED, TD_EIO: broken. */
    enum td_err (*write)(struct td_sys *, int stream, const td_slice *parts, size_t count,
                         size_t *sent);
    /* The same to many streams, each of them once, with fewer system calls where the kernel can. */
    void (*write_many)(struct td_sys *, struct td_sys_write *writes, size_t count);
    /* What to hear of: or'ed READ, WRITE. Cheap when unchanged. */
    void (*watch)(struct td_sys *, int stream, unsigned ready);
    void (*shutdown)(struct td_sys *, int stream); /* ends our direction; reading goes on */
    void (*close)(struct td_sys *, int stream);    /* no event of it comes afterwards */

    /* A stream goes to the loop of another seam of the same kind: release takes it out of this one
     * (no event of it comes afterwards); adopt, called by the other's thread, puts what release
     * gave into that one, watched for READ. Neither fails. */
    void *(*release)(struct td_sys *, int stream);
    int (*adopt)(struct td_sys *, void *released, void *owner);
    /* Ends the present or the next wait of the seam's loop. Any thread may call it. */
    void (*wake)(struct td_sys *);

    /* Files, by descriptor; paths are NUL-terminated. open: TD_ENOENT, TD_EDENIED, TD_EIO. All
     * are safe from works. pread at the end of the file gives *got < max with TD_OK. */
    enum td_err (*open)(struct td_sys *, const char *path, unsigned how, int *out);
    enum td_err (*pread)(struct td_sys *, int file, uint8_t *p, size_t max, uint64_t at,
                         size_t *got);
    enum td_err (*pwrite)(struct td_sys *, int file, td_slice bytes,
                          uint64_t at);                 /* all or error */
    enum td_err (*datasync)(struct td_sys *, int file); /* the bytes and the size are on the disk */
    enum td_err (*truncate)(struct td_sys *, int file, uint64_t size);
    enum td_err (*size)(struct td_sys *, int file, uint64_t *out);
    void (*file_close)(struct td_sys *, int file);
    enum td_err (*rename)(struct td_sys *, const char *from, const char *to);
    enum td_err (*unlink)(struct td_sys *, const char *path);
    enum td_err (*mkdir)(struct td_sys *,
                         const char *path); /* TD_EEXIST is for the caller to like */
    enum td_err (*dirsync)(struct td_sys *, const char *path); /* names in it are on the disk */
    /* The names in a directory, sorted, each NUL-terminated, appended to `out`. */
    enum td_err (*list)(struct td_sys *, const char *path, struct td_buf *out);
    /* An exclusive lock that dies with the process: TD_EEXIST if another process holds it. */
    enum td_err (*lock)(struct td_sys *, int file);
    enum td_err (*free_bytes)(struct td_sys *, const char *path, uint64_t *out); /* space left */

    /* Bytes of memory that the process holds. With `trim` what is free goes back to the kernel
     * first, which takes milliseconds. 0: not known. */
    uint64_t (*memory)(struct td_sys *, bool trim);

    /* Work. */
    void (*work)(struct td_sys *, struct td_work *w);
};

#endif
