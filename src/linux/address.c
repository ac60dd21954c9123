/* linux: addresses, and sockets that listen. */
#include "linux/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, UNIX_MODE = 0600 };

enum td_err td_linux_err(void)
{
    switch (errno) {
    case EAGAIN:
    case EINTR:
        return TD_EAGAIN;
    case EADDRINUSE:
        return TD_EEXIST;
    case EACCES:
    case EPERM:
        return TD_EDENIED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return TD_ERANGE;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
        return TD_EFULL;
    case EPIPE:
    case ECONNRESET:
        return TD_ECLOSED;
    default:
        return TD_EIO;
    }
}

/* ---- text ---- */

static bool parse_port(const char *text, in_port_t *out)
{
    char *end;
    errno = 0;
    long port = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || port < 0 || port > UINT16_MAX) {
        return false;
    }
    *out = htons((uint16_t)port);
    return true;
}

static bool parse_unix(const char *path, struct td_linux_address *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out->storage;
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof un->sun_path) {
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n + 1);
    out->family = AF_UNIX;
    out->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    out->path = un->sun_path;
    return true;
}

bool td_linux_address_parse(td_slice text, struct td_linux_address *out)
{
    char copy[256];
    memset(out, 0, sizeof *out);
    if (text.n == 0 || text.n >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (strncmp(copy, "unix:", 5) == 0) {
        return parse_unix(copy + 5, out);
    }
    char *colon = strrchr(copy, ':');
    if (colon == NULL) {
        return false;
    }
    *colon = '\0';
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out->storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&out->storage;
    const char *host = strcmp(copy, "localhost") == 0 ? "127.0.0.1" : copy;
    if (host[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        v6->sin6_family = AF_INET6;
        out->family = AF_INET6;
        out->n = sizeof *v6;
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 &&
               parse_port(colon + 1, &v6->sin6_port);
    }
    v4->sin_family = AF_INET;
    out->family = AF_INET;
    out->n = sizeof *v4;
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 && parse_port(colon + 1, &v4->sin_port);
}

void td_linux_address_format(const struct sockaddr_storage *s, socklen_t n, char out[64])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (s->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)s;
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        (void)snprintf(out, 64, "%s:%u", host, ntohs(v4->sin_port));
    } else if (s->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)s;
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        (void)snprintf(out, 64, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else if (n > offsetof(struct sockaddr_un, sun_path)) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)s;
        (void)snprintf(out, 64, "unix:%.58s", un->sun_path);
    } else { /* a client's end has no name */
        (void)snprintf(out, 64, "unix");
    }
}

/* ---- listening ---- */

/* Makes room for a unix socket: what a dead process left behind goes. TD_EEXIST: somebody listens
 * there, or it is no socket. */
static enum td_err path_free(const struct td_linux_address *a)
{
    struct stat is;
    if (lstat(a->path, &is) != 0) {
        return errno == ENOENT ? TD_OK : td_linux_err();
    }
    if (!S_ISSOCK(is.st_mode)) {
        return TD_EEXIST;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return td_linux_err();
    }
    bool dead =
        connect(fd, (const struct sockaddr *)&a->storage, a->n) != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    if (!dead) {
        return TD_EEXIST;
    }
    return unlink(a->path) == 0 ? TD_OK : td_linux_err();
}

/* On the machine itself there is no congestion to control, and the simplest way of controlling it
 * (which every kernel has, and accepted streams inherit) is the cheapest: others set a timer for
 * each segment. */
static void congestion_ignore(int fd, const struct td_linux_address *a)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&a->storage;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&a->storage;
    if ((a->family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) ||
        (a->family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr))) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
    }
}

static enum td_err begin(int fd, const struct td_linux_address *a, const struct td_sys_listen *ask)
{
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    congestion_ignore(fd, a);
    if (bind(fd, (const struct sockaddr *)&a->storage, a->n) != 0) {
        return td_linux_err();
    }
    /* Nobody can connect before listen(), so the mode stands in time. */
    if (a->path != NULL && chmod(a->path, ask->mode == 0 ? UNIX_MODE : (mode_t)ask->mode) != 0) {
        return td_linux_err();
    }
    return listen(fd, BACKLOG) == 0 ? TD_OK : td_linux_err();
}

enum td_err td_linux_listen(const struct td_sys_listen *ask, int *out)
{
    struct td_linux_address a;
    if (!td_linux_address_parse(ask->address, &a)) {
        return TD_ERANGE;
    }
    enum td_err err = a.path != NULL ? path_free(&a) : TD_OK;
    if (err != TD_OK) {
        return err;
    }
    int fd = socket(a.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return td_linux_err();
    }
    err = begin(fd, &a, ask);
    if (err != TD_OK) {
        (void)close(fd);
        return err;
    }
    *out = fd;
    return TD_OK;
}

void td_linux_listen_end(int fd)
{
    struct sockaddr_storage s = {0};
    socklen_t n = sizeof s;
    if (getsockname(fd, (struct sockaddr *)&s, &n) == 0 && s.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&s;
        (void)unlink(un->sun_path); /* if somebody else was quicker, it is gone all the same */
    }
}

void td_linux_peer_process(int fd, struct td_sys_peer *out)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.pid > 0) { /* TCP: pid 0 */
        out->process = true;
        out->uid = who.uid;
        out->gid = who.gid;
        out->pid = who.pid;
    }
}
