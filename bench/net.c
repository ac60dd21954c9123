/* net: connections over one epoll. See load.h. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { READ_BYTES = 1 << 20, EVENTS = 256, UNDER_WAY = 32, OPEN_SECONDS = 30 };

unsigned net_ready;
int64_t read_at_ns;
static int epoll = -1;
static uint8_t *scratch; /* one read buffer for all: only a cut packet is kept */

void net_init(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    scratch = malloc(READ_BYTES);
    if (epoll < 0 || scratch == NULL) {
        fail("no epoll or memory: %s", strerror(errno));
    }
}

static void watch(struct conn *c, int op, bool write)
{
    struct epoll_event e = {.events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll, op, c->fd, &e) != 0) {
        fail("epoll_ctl: %s", strerror(errno));
    }
    c->want_write = write;
}

void net_connect(struct conn *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        fail("socket: %s", strerror(errno));
    }
    if (connect(c->fd, (struct sockaddr *)&opt.server, sizeof opt.server) != 0 &&
        errno != EINPROGRESS) {
        fail("connect: %s", strerror(errno));
    }
    c->state = CONN_CONNECTING;
    watch(c, EPOLL_CTL_ADD, true);
}

void net_close(struct conn *c)
{
    (void)close(c->fd);
    bytes_free(&c->in);
    bytes_free(&c->out);
    c->state = CONN_CLOSED;
}

void net_is_ready(struct conn *c)
{
    if (!c->ready) {
        c->ready = true;
        net_ready++;
    }
}

void net_open_all(struct conn *conns, unsigned count)
{
    int64_t end = now_ns() + OPEN_SECONDS * NS_PER_S;
    unsigned before = net_ready, begun = 0;
    while (net_ready - before < count) {
        while (begun < count && begun - (net_ready - before) < UNDER_WAY) {
            net_connect(&conns[begun++]);
        }
        net_turn(100 * NS_PER_MS);
        if (now_ns() > end) {
            fail("only %u of %u connections were accepted in %d s", net_ready - before, count,
                 OPEN_SECONDS);
        }
    }
}

static size_t send_some(struct conn *c, const uint8_t *p, size_t n)
{
    ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        fail("the server closed a connection (%s)", strerror(errno));
    }
    return sent < 0 ? 0 : (size_t)sent;
}

void net_send(struct conn *c, struct bytes *b)
{
    size_t sent = c->out.n > 0 ? 0 : send_some(c, b->p, b->n);
    if (sent < b->n) {
        bytes_add(&c->out, b->p + sent, b->n - sent);
        if (!c->want_write) {
            watch(c, EPOLL_CTL_MOD, true);
        }
    }
    b->n = 0;
}

static void can_write(struct conn *c)
{
    if (c->state == CONN_CONNECTING) {
        int error = 0;
        socklen_t n = sizeof error;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
            fail("connect: %s", strerror(error));
        }
        c->state = CONN_OPEN;
        c->opened(c);
    }
    if (c->out.n > 0) {
        size_t sent = send_some(c, c->out.p, c->out.n);
        memmove(c->out.p, c->out.p + sent, c->out.n - sent);
        c->out.n -= sent;
    }
    if (c->out.n == 0 && c->want_write) {
        watch(c, EPOLL_CTL_MOD, false);
    }
}

/* Gives every whole packet at the front; returns the bytes used. */
static size_t give(struct conn *c, size_t n)
{
    size_t at = 0;
    struct frame f;
    int got;
    while ((got = frame_next(scratch + at, n - at, &f)) == 1) {
        c->hear(c, &f);
        at += f.whole_n;
        if (c->state != CONN_OPEN) {
            return n; /* closed by what it heard */
        }
    }
    if (got < 0) {
        fail("the server sent bytes that are not MQTT 3.1.1 for a client (first byte 0x%02x)",
             scratch[at]);
    }
    return at;
}

static void can_read(struct conn *c)
{
    size_t kept = c->in.n;
    if (kept > 0) {
        memcpy(scratch, c->in.p, kept);
    }
    ssize_t got = recv(c->fd, scratch + kept, READ_BYTES - kept, 0);
    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        c->hear(c, NULL);
        return;
    }
    read_at_ns = now_ns();
    size_t n = kept + (size_t)got, used = give(c, n);
    c->in.n = 0;
    if (used < n) {
        bytes_add(&c->in, scratch + used, n - used);
    }
    if (c->state == CONN_OPEN) {
        c->heard(c);
    }
}

void net_turn(int64_t wait_ns)
{
    struct epoll_event events[EVENTS];
    struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
    int n = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if ((events[i].events & (EPOLLOUT | EPOLLERR)) != 0 && c->state != CONN_CLOSED) {
            can_write(c);
        }
        if ((events[i].events & (EPOLLIN | EPOLLHUP)) != 0 && c->state == CONN_OPEN) {
            can_read(c);
        }
    }
}
