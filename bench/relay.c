/* relay: the machine's floor. A bare epoll relay that knows no MQTT: whoever connects says with 8
 * bytes on which channel, as which end, and how long a frame is; from then on every whole frame of
 * a channel's publishers is copied to all of its subscribers.
 *
 *     0x90 | 6 | channel u16 | 1 publisher, 0 subscriber | frame bytes u24     (echoed)
 *
 * Per turn of the loop one recv per publisher and one send per subscriber: what any server must at
 * least do. Ends with SIGTERM or when its parent ends.
 *
 * usage: relay PORT [lose | repeat | swap]: with a word it does that to one frame in a thousand, to
 * show that the load generator would notice (bench/check). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

enum {
    CHANNELS = 1024,
    EVENTS = 512,
    HELLO = 8,
    FDS = 16384,
    READ_BYTES = 65536,
    OUT_MAX = 8 << 20
};

struct peer {
    bool open, greeted, publisher, queued;
    unsigned channel;
    size_t frame;
    uint8_t *buf; /* publisher: the front of a cut frame; subscriber: what goes out */
    size_t n, cap;
    int next; /* subscriber of the same channel */
};

static struct peer *peers;
static int first[CHANNELS];
static int due[FDS]; /* subscribers with something to send */
static int due_n, epoll;

static void need(bool good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void grow(struct peer *p, size_t more)
{
    size_t cap = p->cap == 0 ? 4096 : p->cap;
    while (cap - p->n < more) {
        cap *= 2;
    }
    if (cap != p->cap) {
        need(cap <= OUT_MAX, "relay: a subscriber does not read");
        p->buf = realloc(p->buf, cap);
        need(p->buf != NULL, "relay");
        p->cap = cap;
    }
}

static void append(struct peer *p, const uint8_t *bytes, size_t n)
{
    grow(p, n);
    memcpy(p->buf + p->n, bytes, n);
    p->n += n;
}

static void forget(int fd)
{
    struct peer *p = &peers[fd];
    if (p->greeted && !p->publisher) {
        int *at = &first[p->channel];
        while (*at != fd) {
            at = &peers[*at].next;
        }
        *at = p->next;
    }
    free(p->buf);
    *p = (struct peer){0};
    (void)close(fd);
}

static bool greet(int fd)
{
    struct peer *p = &peers[fd];
    uint8_t h[HELLO];
    if (recv(fd, h, sizeof h, 0) != HELLO) {
        return false;
    }
    p->greeted = true;
    p->channel = ((unsigned)h[2] << 8 | h[3]) % CHANNELS;
    p->publisher = h[4] == 1;
    p->frame = (size_t)h[5] << 16 | (size_t)h[6] << 8 | h[7];
    if (!p->publisher) {
        p->next = first[p->channel];
        first[p->channel] = fd;
    }
    return send(fd, h, sizeof h, MSG_NOSIGNAL) == HELLO;
}

static enum { HONEST, LOSE, REPEAT, SWAP } fault;

/* Spoils one of a thousand frames that go by, on its way to `to`. */
static bool spoil(struct peer *to, const uint8_t *frame, size_t n)
{
    static unsigned count;
    if (fault == HONEST || ++count % 1000 != 0) {
        return false;
    }
    if (fault == REPEAT) {
        append(to, frame, n);
        append(to, frame, n);
    }
    if (fault == SWAP) {
        append(to, frame + n, n);
        append(to, frame, n);
    }
    return true;
}

/* Frame by frame; an honest relay does it at once. */
static void append_spoilt(struct peer *to, const uint8_t *bytes, size_t n, size_t frame)
{
    for (size_t at = 0; at < n; at += frame) {
        bool pair = n - at >= 2 * frame;
        if (fault == SWAP && !pair) {
            append(to, bytes + at, frame);
        } else if (!spoil(to, bytes + at, frame)) {
            append(to, bytes + at, frame);
        } else {
            at += fault == SWAP ? frame : 0;
        }
    }
}

static void spread(const struct peer *from, const uint8_t *bytes, size_t n)
{
    for (int fd = first[from->channel]; fd != 0; fd = peers[fd].next) {
        if (fault == HONEST) {
            append(&peers[fd], bytes, n);
        } else {
            append_spoilt(&peers[fd], bytes, n, from->frame);
        }
        if (!peers[fd].queued) {
            peers[fd].queued = true;
            due[due_n++] = fd;
        }
    }
}

static bool copy(int fd)
{
    static uint8_t in[READ_BYTES];
    struct peer *p = &peers[fd];
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    size_t n = (size_t)got;
    if (p->n == 0 && n % p->frame == 0) { /* the common case, without a copy */
        spread(p, in, n);
        return true;
    }
    append(p, in, n);
    size_t whole = p->n - p->n % p->frame;
    spread(p, p->buf, whole);
    memmove(p->buf, p->buf + whole, p->n - whole);
    p->n -= whole;
    return true;
}

static void flush_due(void)
{
    int kept = 0;
    for (int i = 0; i < due_n; i++) {
        struct peer *p = &peers[due[i]];
        ssize_t sent = p->open && p->n > 0 ? send(due[i], p->buf, p->n, MSG_NOSIGNAL) : 0;
        if (sent > 0) {
            p->n -= (size_t)sent;
            memmove(p->buf, p->buf + sent, p->n);
        }
        p->queued = p->open && p->n > 0;
        if (p->queued) {
            due[kept++] = due[i];
        }
    }
    due_n = kept;
}

static void welcome(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int on = 1;
        need(fd < FDS, "relay: too many connections");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        peers[fd].open = true;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        need(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "relay: epoll_ctl");
    }
}

static int listen_on(const char *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    need(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1024) == 0,
         "relay: listen");
    return fd;
}

int main(int argc, char **argv)
{
    static const char *const faults[] = {"", "lose", "repeat", "swap"};
    for (unsigned i = LOSE; i <= SWAP && argc == 3; i++) {
        fault = strcmp(argv[2], faults[i]) == 0 ? i : fault;
    }
    if (argc != 2 && fault == HONEST) {
        (void)fprintf(stderr, "usage: relay PORT [lose | repeat | swap]\n");
        return 2;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    peers = calloc(FDS, sizeof *peers);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    need(peers != NULL && epoll >= 0, "relay");
    int listener = listen_on(argv[1]);
    struct epoll_event events[EVENTS], e = {.events = EPOLLIN, .data.fd = listener};
    need(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) == 0, "relay: epoll_ctl");
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, due_n > 0 ? 1 : -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                welcome(listener);
            } else if (!(peers[fd].greeted ? copy(fd) : greet(fd))) {
                forget(fd);
            }
        }
        flush_due();
    }
}
