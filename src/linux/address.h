/* linux, private: addresses as text and as the kernel has them, and sockets that listen. */
#ifndef TD_LINUX_ADDRESS_H
#define TD_LINUX_ADDRESS_H

#include <sys/socket.h>

#include "sys/sys.h"

struct td_linux_address {
    struct sockaddr_storage storage;
    socklen_t n;
    int family;
    const char *path; /* of a unix socket, inside storage; else NULL */
};

/* Reads "127.0.0.1:1883", "localhost:1883", "[::1]:1883", "unix:/path". False: not an address. */
bool td_linux_address_parse(td_slice text, struct td_linux_address *out);
/* Writes the same form, with a NUL; a path that is too long is cut. */
void td_linux_address_format(const struct sockaddr_storage *s, socklen_t n, char out[64]);

/* Opens a socket that listens. A unix socket that nobody listens on any more is replaced, any other
 * file in its place stays. Errors as sys->listen. */
enum td_err td_linux_listen(const struct td_sys_listen *ask, int *out);
/* Before a listening socket is closed: removes a unix socket's file. */
void td_linux_listen_end(int fd);

/* Fills in the process at the other end of a unix socket. */
void td_linux_peer_process(int fd, struct td_sys_peer *out);

/* errno as an error of the seam. */
enum td_err td_linux_err(void);

#endif
