/* linux: clock, randomness, streams over epoll, and the lanes' threads. Files stand in files.c.
 *
 * A stream's handle is its descriptor; `streams` holds what we know of each. The epoll data
 * carries (generation, descriptor): a descriptor that was closed and given out again does not
 * get its predecessor's events. */
#include "linux/linux.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "linux/acks.h"
#include "linux/address.h"
#include "linux/ring.h"
#include "linux/tls.h"

enum {
    BATCH = 512,
    PARTS_MAX = 64,
    RING_LEAST = 4,   /* fewer writes are made one by one */
    SHAKES_MAX = 1024 /* TLS handshakes under way; who comes then waits in the backlog */
};

struct stream {
    void *owner;
    uint32_t generation;
    uint8_t watch; /* TD_SYS_READ | TD_SYS_WRITE as epoll has it */
    bool open, listener;
    bool unread; /* an event said that there is something, and it was not read to its end */
    bool ended;  /* the end of it has come, behind what there is to read */
    bool again;  /* in l->again */
    struct td_linux_ack ack;
    struct td_linux_tls *tls;   /* NULL: plain */
    struct td_sys_tls *context; /* a listener's: for who comes by it; NULL: plain */
};

/* Streams by handle, each at most once. */
struct handles {
    int *at;
    size_t n, cap;
};

struct lane {
    struct td_linux *l;
    pthread_t thread;
    bool started;
    struct td_work *first, **end; /* guarded by l->lock */
};

struct td_linux {
    struct td_sys sys; /* first: the seam's calls get back to us by it */
    int epoll, wake;
    struct stream *streams;
    size_t stream_cap;
    struct epoll_event batch[BATCH];
    int batch_n, batch_at;
    td_mono woke;         /* when the last wait ended */
    int told;             /* whose event was given out last; -1 */
    struct handles again; /* to be told again, though epoll will not: unread is set */
    size_t again_left;    /* of them, in this wait */
    struct handles acks;  /* owed an acknowledgement */
    struct td_linux_ring ring;
    size_t shakes;        /* TLS handshakes under way */
    bool held;            /* listeners for TLS are not watched: there are too many */
    pthread_mutex_t lock; /* guards the lanes' queues, ended, stopping */
    pthread_cond_t given;
    struct td_work *ended, **ended_end;
    bool stopping;
    struct lane lanes[TD_LANE_COUNT];
};

static struct td_linux *of(struct td_sys *sys)
{
    return TD_CONTAINER(sys, struct td_linux, sys);
}

/* ---- clock, randomness ---- */

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t); /* cannot fail with these clocks */
    return (int64_t)t.tv_sec * TD_NS_PER_S + t.tv_nsec;
}

static td_mono sys_mono(struct td_sys *sys)
{
    (void)sys;
    return clock_ns(CLOCK_MONOTONIC);
}

static td_wall sys_wall(struct td_sys *sys)
{
    (void)sys;
    return clock_ns(CLOCK_REALTIME);
}

static void sys_random(struct td_sys *sys, void *p, size_t n)
{
    (void)sys;
    uint8_t *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        } else {
            td_assert(errno == EINTR);
        }
    }
}

/* ---- streams ---- */

static struct stream *stream_of(struct td_linux *l, int fd)
{
    td_assert(fd >= 0 && (size_t)fd < l->stream_cap && l->streams[fd].open);
    return &l->streams[fd];
}

static void handles_add(struct handles *h, int fd)
{
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 64 : h->cap * 2;
        h->at = td_realloc(h->at, h->cap * sizeof *h->at);
    }
    h->at[h->n++] = fd;
}

static uint32_t epoll_mask(unsigned ready)
{
    return ((ready & TD_SYS_READ) != 0 ? (uint32_t)EPOLLIN | (uint32_t)EPOLLRDHUP : 0u) |
           ((ready & TD_SYS_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0u);
}

static void epoll_set(struct td_linux *l, int op, int fd, unsigned ready)
{
    uint32_t edge = l->streams[fd].listener ? 0u : (uint32_t)EPOLLET;
    struct epoll_event e = {
        .events = epoll_mask(ready) | edge,
        .data.u64 = (uint64_t)l->streams[fd].generation << 32 | (uint32_t)fd,
    };
    td_assert(epoll_ctl(l->epoll, op, fd, &e) == 0);
    l->streams[fd].watch = (uint8_t)ready;
}

/* Listeners are told of as long as somebody waits. The others are told once, when something comes
 * (epoll would look at each of them a second time in the next wait); what is then not read to its
 * end is kept in mind here. */
static struct stream *adopt(struct td_linux *l, int fd, void *owner)
{
    if ((size_t)fd >= l->stream_cap) {
        size_t cap = l->stream_cap == 0 ? 64 : l->stream_cap;
        while (cap <= (size_t)fd) {
            cap *= 2;
        }
        l->streams = td_realloc(l->streams, cap * sizeof *l->streams);
        memset(l->streams + l->stream_cap, 0, (cap - l->stream_cap) * sizeof *l->streams);
        l->stream_cap = cap;
    }
    struct stream *s = &l->streams[fd];
    *s = (struct stream){
        .owner = owner,
        .generation = s->generation + 1,
        .open = true,
    };
    return s;
}

static void adopt_listener(struct td_linux *l, int fd, void *owner)
{
    adopt(l, fd, owner)->listener = true;
    epoll_set(l, EPOLL_CTL_ADD, fd, TD_SYS_READ);
}

static void adopt_stream(struct td_linux *l, int fd, void *owner, bool tcp, unsigned ready)
{
    struct stream *s = adopt(l, fd, owner);
    if (tcp) {
        int on = 1; /* small packets leave at once; failure costs time, not truth */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        td_linux_ack_init(&s->ack, fd);
    }
    epoll_set(l, EPOLL_CTL_ADD, fd, ready);
}

/* ---- TLS (tls.h) ---- */

/* Who listens for TLS is watched while there is room for one more handshake. */
static void listeners_hold(struct td_linux *l)
{
    bool hold = l->shakes >= SHAKES_MAX;
    for (size_t fd = 0; fd < l->stream_cap && hold != l->held; fd++) {
        const struct stream *s = &l->streams[fd];
        if (s->open && s->listener && s->context != NULL) {
            epoll_set(l, EPOLL_CTL_MOD, (int)fd, hold ? 0 : TD_SYS_READ);
        }
    }
    l->held = hold;
}

/* After each call on a stream with TLS: its handshake may be over, what it waits for may be another
 * direction now, and it may hold what the kernel will not tell of. */
static void tls_settle(struct td_linux *l, int fd, bool shook)
{
    struct stream *s = &l->streams[fd];
    struct td_linux_tls *t = s->tls;
    unsigned watch = td_linux_tls_watch(t);
    if (watch != s->watch) {
        epoll_set(l, EPOLL_CTL_MOD, fd, watch);
    }
    if (s->unread && !s->again && (t->asked & TD_SYS_READ) != 0) {
        s->again = true;
        handles_add(&l->again, fd);
    }
    if (t->heard > 0 && td_linux_ack_read(&s->ack, fd, t->heard, l->woke)) {
        handles_add(&l->acks, fd);
    }
    if (t->said) {
        td_linux_ack_written(&s->ack);
    }
    t->heard = 0;
    t->said = false;
    if (shook != t->shaking) {
        l->shakes = t->shaking ? l->shakes + 1 : l->shakes - 1;
        listeners_hold(l);
    }
}

static enum td_err tls_read(struct td_linux *l, int fd, uint8_t *p, size_t max, size_t *got)
{
    struct stream *s = &l->streams[fd];
    bool shook = s->tls->shaking;
    enum td_err err = td_linux_tls_read(s->tls, p, max, got);
    s->unread = td_linux_tls_more(s->tls) || (s->ended && err == TD_OK);
    tls_settle(l, fd, shook);
    return err;
}

/* The handshake may go on in it, and what was read on the way is waited for by nobody else. */
static enum td_err tls_write(struct td_linux *l, int fd, const td_slice *parts, size_t count,
                             size_t *sent)
{
    struct stream *s = &l->streams[fd];
    bool shook = s->tls->shaking;
    enum td_err err = td_linux_tls_write(s->tls, parts, count, sent);
    s->unread = s->unread || td_linux_tls_more(s->tls);
    tls_settle(l, fd, shook);
    return err;
}

/* The last step of a new stream. */
static enum td_err secure(struct td_linux *l, int fd, struct td_sys_tls *context, const char *name,
                          int *out)
{
    struct stream *s = &l->streams[fd];
    if (context != NULL) {
        s->tls = td_linux_tls_new(context, fd, name);
        if (s->tls == NULL) {
            s->open = false;
            (void)close(fd);
            return TD_ENOMEM;
        }
        s->tls->asked = s->watch;
        l->shakes += s->tls->shaking;
        listeners_hold(l);
    }
    *out = fd;
    return TD_OK;
}

static void tls_end(struct td_linux *l, struct stream *s)
{
    bool shook = s->tls->shaking;
    td_linux_tls_free(s->tls);
    s->tls = NULL;
    if (shook) {
        l->shakes--;
        listeners_hold(l);
    }
}

/* ---- streams' beginning and end ---- */

static enum td_err sys_listen(struct td_sys *sys, const struct td_sys_listen *ask, int *out)
{
    int fd;
    enum td_err err = td_linux_listen(ask, &fd);
    if (err == TD_OK) {
        adopt_listener(of(sys), fd, ask->owner);
        stream_of(of(sys), fd)->context = ask->tls;
        *out = fd;
    }
    return err;
}

static enum td_err sys_connect(struct td_sys *sys, const struct td_sys_connect *ask, int *out)
{
    struct td_linux_address a;
    if (!td_linux_address_parse(ask->address, &a)) {
        return TD_ERANGE;
    }
    int fd = socket(a.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return td_linux_err();
    }
    if (connect(fd, (struct sockaddr *)&a.storage, a.n) != 0 && errno != EINPROGRESS) {
        enum td_err err = td_linux_err();
        (void)close(fd);
        return err;
    }
    adopt_stream(of(sys), fd, ask->owner, a.family != AF_UNIX, TD_SYS_READ | TD_SYS_WRITE);
    return secure(of(sys), fd, ask->tls, ask->name, out);
}

static enum td_err sys_accept(struct td_sys *sys, int listener, void *owner, int *out)
{
    struct td_sys_tls *context = stream_of(of(sys), listener)->context;
    struct sockaddr_storage peer = {0};
    socklen_t n = sizeof peer;
    if (of(sys)->held && context != NULL) {
        return TD_EAGAIN;
    }
    int fd = accept4(listener, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return errno == ECONNABORTED ? TD_EAGAIN : td_linux_err();
    }
    adopt_stream(of(sys), fd, owner, peer.ss_family != AF_UNIX, TD_SYS_READ);
    return secure(of(sys), fd, context, NULL, out);
}

static void sys_owner_set(struct td_sys *sys, int fd, void *owner)
{
    stream_of(of(sys), fd)->owner = owner;
}

static void sys_address(struct td_sys *sys, int fd, bool peer, char out[64])
{
    struct sockaddr_storage s = {0};
    socklen_t n = sizeof s;
    (void)sys;
    int bad = peer ? getpeername(fd, (struct sockaddr *)&s, &n)
                   : getsockname(fd, (struct sockaddr *)&s, &n);
    if (bad != 0) {
        (void)snprintf(out, 64, "gone");
    } else {
        td_linux_address_format(&s, n, out);
    }
}

static void sys_peer(struct td_sys *sys, int fd, struct td_sys_peer *out)
{
    const struct td_linux_tls *tls = stream_of(of(sys), fd)->tls;
    memset(out, 0, sizeof *out);
    td_linux_peer_process(fd, out);
    if (tls != NULL) {
        td_linux_tls_peer(tls, out);
    }
}

static enum td_err sys_read(struct td_sys *sys, int fd, uint8_t *p, size_t max, size_t *got)
{
    struct td_linux *l = of(sys);
    struct stream *s = stream_of(l, fd);
    if (s->tls != NULL) {
        return tls_read(l, fd, p, max, got);
    }
    ssize_t n = recv(fd, p, max, 0);
    if (n <= 0) {
        s->unread = n < 0 && errno == EINTR;
        return n == 0 ? TD_ECLOSED : td_linux_err();
    }
    *got = (size_t)n;
    s->unread = s->ended || *got == max;
    if (td_linux_ack_read(&s->ack, fd, *got, l->woke)) {
        handles_add(&l->acks, fd);
    }
    return TD_OK;
}

static enum td_err sys_write(struct td_sys *sys, int fd, const td_slice *parts, size_t count,
                             size_t *sent)
{
    struct iovec v[PARTS_MAX];
    if (stream_of(of(sys), fd)->tls != NULL) {
        return tls_write(of(sys), fd, parts, count, sent);
    }
    count = count > PARTS_MAX ? PARTS_MAX : count;
    for (size_t i = 0; i < count; i++) {
        v[i] = (struct iovec){.iov_base = (void *)(uintptr_t)parts[i].p, .iov_len = parts[i].n};
    }
    struct msghdr m = {.msg_iov = v, .msg_iovlen = count};
    ssize_t n =
        count == 1 ? send(fd, parts[0].p, parts[0].n, MSG_NOSIGNAL) : sendmsg(fd, &m, MSG_NOSIGNAL);
    if (n < 0) {
        return td_linux_err();
    }
    td_linux_ack_written(&stream_of(of(sys), fd)->ack);
    *sent = (size_t)n;
    return TD_OK;
}

static void sys_write_many(struct td_sys *sys, struct td_sys_write *w, size_t count)
{
    struct td_linux *l = of(sys);
    bool ring = count >= RING_LEAST && td_linux_ring_ready(&l->ring);
    for (size_t i = 0; i < count; i++) {
        bool plain = stream_of(l, w[i].stream)->tls == NULL;
        if (ring && plain && td_linux_ring_send(&l->ring, w[i].stream, w[i].bytes, i)) {
            td_linux_ack_written(&stream_of(l, w[i].stream)->ack);
        } else {
            w[i].err = sys_write(sys, w[i].stream, &w[i].bytes, 1, &w[i].sent);
        }
    }
    if (ring) {
        td_linux_ring_finish(&l->ring, w);
    }
}

static void sys_watch(struct td_sys *sys, int fd, unsigned ready)
{
    struct td_linux *l = of(sys);
    struct td_linux_tls *tls = stream_of(l, fd)->tls;
    if (tls != NULL) {
        tls->asked = ready;
        tls_settle(l, fd, tls->shaking);
    } else if (stream_of(l, fd)->watch != ready) {
        epoll_set(l, EPOLL_CTL_MOD, fd, ready);
    }
}

static void sys_shutdown(struct td_sys *sys, int fd)
{
    if (stream_of(of(sys), fd)->tls != NULL) {
        td_linux_tls_shutdown(stream_of(of(sys), fd)->tls);
    }
    (void)shutdown(fd, SHUT_WR); /* already gone is as good */
}

static void sys_close(struct td_sys *sys, int fd)
{
    struct stream *s = stream_of(of(sys), fd);
    s->open = false;
    s->owner = NULL;
    if (s->listener) {
        td_linux_listen_end(fd);
    }
    if (s->tls != NULL) {
        tls_end(of(sys), s);
    }
    (void)close(fd); /* leaves epoll by itself */
}

/* ---- going to another loop ---- */

/* A stream between two loops. */
struct released {
    int fd;
    bool tcp;
    struct td_linux_tls *tls;
};

static void *sys_release(struct td_sys *sys, int fd)
{
    struct td_linux *l = of(sys);
    struct stream *s = stream_of(l, fd);
    struct released *r = td_alloc(sizeof *r);
    *r = (struct released){fd, s->ack.tcp, s->tls};
    if (s->tls != NULL && s->tls->shaking) {
        l->shakes--;
        listeners_hold(l);
    }
    s->tls = NULL;
    td_assert(epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL) == 0);
    s->open = false; /* what this wait has brought of it is dropped; the other epoll tells again */
    s->owner = NULL;
    return r;
}

static int sys_adopt(struct td_sys *sys, void *released, void *owner)
{
    struct released r = *(struct released *)released;
    free(released);
    adopt_stream(of(sys), r.fd, owner, r.tcp, TD_SYS_READ);
    if (r.tls != NULL) { /* it may hold what no epoll will tell of */
        struct td_linux *l = of(sys);
        struct stream *s = &l->streams[r.fd];
        s->tls = r.tls;
        s->tls->asked = TD_SYS_READ;
        l->shakes += s->tls->shaking;
        s->unread = true;
        tls_settle(l, r.fd, s->tls->shaking);
    }
    return r.fd;
}

static void sys_wake(struct td_sys *sys)
{
    td_linux_wake(of(sys));
}

/* ---- work: one thread a lane, begun with its first work ---- */

static struct td_work *lane_take(struct lane *lane)
{
    struct td_linux *l = lane->l;
    td_assert(pthread_mutex_lock(&l->lock) == 0);
    while (lane->first == NULL && !l->stopping) {
        td_assert(pthread_cond_wait(&l->given, &l->lock) == 0);
    }
    struct td_work *w = lane->first;
    if (w != NULL) {
        lane->first = w->next;
        if (lane->first == NULL) {
            lane->end = &lane->first;
        }
    }
    td_assert(pthread_mutex_unlock(&l->lock) == 0);
    return w;
}

static void *lane_run(void *arg)
{
    struct lane *lane = arg;
    struct td_linux *l = lane->l;
    for (struct td_work *w; (w = lane_take(lane)) != NULL;) {
        w->run(w);
        td_assert(pthread_mutex_lock(&l->lock) == 0);
        w->next = NULL;
        *l->ended_end = w;
        l->ended_end = &w->next;
        td_assert(pthread_mutex_unlock(&l->lock) == 0);
        td_linux_wake(l);
    }
    return NULL;
}

static void sys_work(struct td_sys *sys, struct td_work *w)
{
    struct td_linux *l = of(sys);
    struct lane *lane = &l->lanes[w->lane];
    td_assert(pthread_mutex_lock(&l->lock) == 0);
    w->next = NULL;
    *lane->end = w;
    lane->end = &w->next;
    if (!lane->started) {
        td_assert(pthread_create(&lane->thread, NULL, lane_run, lane) == 0);
        lane->started = true;
    }
    td_assert(pthread_cond_broadcast(&l->given) == 0);
    td_assert(pthread_mutex_unlock(&l->lock) == 0);
}

static struct td_work *ended_take(struct td_linux *l)
{
    td_assert(pthread_mutex_lock(&l->lock) == 0);
    struct td_work *w = l->ended;
    if (w != NULL) {
        l->ended = w->next;
        if (l->ended == NULL) {
            l->ended_end = &l->ended;
        }
    }
    td_assert(pthread_mutex_unlock(&l->lock) == 0);
    return w;
}

/* ---- waiting ---- */

void td_linux_wake(struct td_linux *l)
{
    uint64_t one = 1;
    int saved = errno;
    if (write(l->wake, &one, sizeof one) < 0) {
        /* the counter is full, so the waiter is woken anyway */
    }
    errno = saved;
}

static int timeout_ms(td_mono deadline, td_mono now)
{
    if (deadline <= now) {
        return 0;
    }
    int64_t ms =
        deadline == TD_NEVER ? INT32_MAX : (deadline - now + TD_NS_PER_MS - 1) / TD_NS_PER_MS;
    return deadline == TD_NEVER ? -1 : (int)(ms > INT32_MAX ? INT32_MAX : ms);
}

/* Gives when the first of those held back is due. */
static td_mono acks_settle(struct td_linux *l, td_mono now)
{
    td_mono due = TD_NEVER;
    size_t kept = 0;
    for (size_t i = 0; i < l->acks.n; i++) {
        int fd = l->acks.at[i];
        struct stream *s = &l->streams[fd];
        td_mono at = s->open ? td_linux_ack_settle(&s->ack, fd, now) : TD_NEVER;
        if (at != TD_NEVER) {
            due = td_mono_min(due, at);
            l->acks.at[kept++] = fd;
        }
    }
    l->acks.n = kept;
    return due;
}

/* The stream told of last goes on the list if it was not read to its end. */
static void again_later(struct td_linux *l)
{
    if (l->told >= 0) {
        struct stream *s = &l->streams[l->told];
        if (s->open && s->unread && !s->again) {
            s->again = true;
            handles_add(&l->again, l->told);
        }
    }
    l->told = -1;
}

void td_linux_wait(struct td_linux *l, td_mono deadline)
{
    again_later(l);
    td_mono now = sys_mono(&l->sys);
    if (l->acks.n > 0) {
        deadline = td_mono_min(deadline, acks_settle(l, now));
    }
    l->again_left = l->again.n;
    int ms = l->again.n > 0 ? 0 : timeout_ms(deadline, now);
    int n = epoll_wait(l->epoll, l->batch, BATCH, ms);
    td_assert(n >= 0 || errno == EINTR);
    l->woke = sys_mono(&l->sys);
    l->batch_n = n < 0 ? 0 : n;
    l->batch_at = 0;
}

static void woken(const struct td_linux *l)
{
    uint64_t count;
    if (read(l->wake, &count, sizeof count) < 0) {
        /* woken twice, read once */
    }
}

static bool epoll_event(struct td_linux *l, const struct epoll_event *e, struct td_sys_event *out)
{
    int fd = (int)(e->data.u64 & UINT32_MAX);
    uint32_t generation = (uint32_t)(e->data.u64 >> 32);
    if (fd == l->wake) {
        woken(l);
        return false;
    }
    struct stream *s = &l->streams[fd];
    if (!s->open || s->generation != generation) {
        return false;
    }
    bool failed = (e->events & (EPOLLERR | EPOLLHUP)) != 0;
    bool reads = (e->events & (EPOLLIN | EPOLLRDHUP)) != 0;
    s->ended = s->ended || failed || (e->events & EPOLLRDHUP) != 0;
    s->unread = !s->listener && (reads || s->unread);
    unsigned ready = (reads ? TD_SYS_READ : 0u) |
                     ((e->events & EPOLLOUT) != 0 ? TD_SYS_WRITE : 0u) |
                     (failed ? TD_SYS_HANGUP : 0u);
    ready = s->tls == NULL ? ready : td_linux_tls_ready(s->tls, ready);
    *out = (struct td_sys_event){s->owner, fd, ready};
    return ready != 0;
}

/* Of those that stood on the list when the wait began; what is added since waits for the next. */
static bool again_event(struct td_linux *l, struct td_sys_event *out)
{
    int fd = l->again.at[--l->again_left];
    struct stream *s = &l->streams[fd];
    l->again.at[l->again_left] = l->again.at[--l->again.n];
    s->again = false;
    *out = (struct td_sys_event){s->owner, fd, TD_SYS_READ};
    unsigned wanted = s->tls == NULL ? s->watch : s->tls->asked;
    return s->open && s->unread && (wanted & TD_SYS_READ) != 0;
}

static bool stream_event(struct td_linux *l, struct td_sys_event *out)
{
    while (l->again_left > 0) {
        if (again_event(l, out)) {
            return true;
        }
    }
    while (l->batch_at < l->batch_n) {
        if (epoll_event(l, &l->batch[l->batch_at++], out)) {
            return true;
        }
    }
    return false;
}

bool td_linux_next(struct td_linux *l, struct td_sys_event *out)
{
    again_later(l);
    if (stream_event(l, out)) {
        l->told = out->stream;
        return true;
    }
    struct td_work *w = ended_take(l);
    if (w != NULL) {
        *out = (struct td_sys_event){w, -1, 0};
    }
    return w != NULL;
}

/* ---- birth and death ---- */

static void lanes_init(struct td_linux *l)
{
    td_assert(pthread_mutex_init(&l->lock, NULL) == 0);
    td_assert(pthread_cond_init(&l->given, NULL) == 0);
    l->ended_end = &l->ended;
    for (size_t i = 0; i < TD_LANE_COUNT; i++) {
        l->lanes[i].l = l;
        l->lanes[i].end = &l->lanes[i].first;
    }
}

static void streams_fill(struct td_sys *sys)
{
    sys->mono = sys_mono;
    sys->wall = sys_wall;
    sys->random = sys_random;
    sys->listen = sys_listen;
    sys->connect = sys_connect;
    sys->accept = sys_accept;
    sys->owner_set = sys_owner_set;
    sys->address = sys_address;
    sys->peer = sys_peer;
    sys->read = sys_read;
    sys->write = sys_write;
    sys->write_many = sys_write_many;
    sys->watch = sys_watch;
    sys->shutdown = sys_shutdown;
    sys->close = sys_close;
    sys->release = sys_release;
    sys->adopt = sys_adopt;
    sys->wake = sys_wake;
    sys->work = sys_work;
    td_linux_memory_fill(sys);
}

enum td_err td_linux_new(struct td_linux **out)
{
    struct td_linux *l = td_alloc(sizeof *l);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint32_t)l->wake};
    if (l->epoll < 0 || l->wake < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &e) != 0) {
        enum td_err err = td_linux_err();
        (void)close(l->epoll);
        (void)close(l->wake);
        free(l);
        return err;
    }
    l->told = -1;
    lanes_init(l);
    streams_fill(&l->sys);
    td_linux_files_fill(&l->sys);
    *out = l;
    return TD_OK;
}

void td_linux_free(struct td_linux *l)
{
    td_assert(pthread_mutex_lock(&l->lock) == 0);
    l->stopping = true;
    td_assert(pthread_cond_broadcast(&l->given) == 0);
    td_assert(pthread_mutex_unlock(&l->lock) == 0);
    for (size_t i = 0; i < TD_LANE_COUNT; i++) {
        if (l->lanes[i].started) {
            td_assert(pthread_join(l->lanes[i].thread, NULL) == 0);
        }
    }
    for (size_t fd = 0; fd < l->stream_cap; fd++) {
        if (l->streams[fd].open) {
            if (l->streams[fd].tls != NULL) {
                td_linux_tls_free(l->streams[fd].tls);
            }
            (void)close((int)fd);
        }
    }
    (void)close(l->wake);
    (void)close(l->epoll);
    (void)pthread_cond_destroy(&l->given);
    (void)pthread_mutex_destroy(&l->lock);
    td_linux_ring_free(&l->ring);
    free(l->streams);
    free(l->again.at);
    free(l->acks.at);
    free(l);
}

struct td_sys *td_linux_sys(struct td_linux *l)
{
    return &l->sys;
}
