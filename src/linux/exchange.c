/* linux: one question and its answer over a stream of its own, waited for. For works, whose lane
 * may wait; the loop has streams that do not. */
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "linux/address.h"
#include "linux/linux.h"

static td_ms now_ms(void)
{
    struct timespec t;
    td_assert(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (td_ms)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* False: not until then. */
static bool ready(int fd, short what, td_ms until)
{
    struct pollfd p = {.fd = fd, .events = what};
    td_ms left = until - now_ms();
    return left > 0 && poll(&p, 1, (int)left) == 1;
}

static bool say(int fd, td_slice text, td_ms until)
{
    while (text.n > 0) {
        ssize_t n = ready(fd, POLLOUT, until) ? send(fd, text.p, text.n, MSG_NOSIGNAL) : -1;
        if (n <= 0) {
            return false;
        }
        text = td_slice_skip(text, (size_t)n);
    }
    return true;
}

static enum td_err hear(int fd, struct td_buf *out, td_ms until)
{
    for (;;) {
        enum td_err err = td_buf_reserve(out, 4096);
        if (err != TD_OK) {
            return err;
        }
        ssize_t n = ready(fd, POLLIN, until) ? recv(fd, out->p + out->n, 4096, 0) : -1;
        if (n <= 0) {
            return n == 0 ? TD_OK : TD_EIO;
        }
        out->n += (size_t)n;
    }
}

bool td_linux_address_valid(td_slice text)
{
    struct td_linux_address at;
    return td_linux_address_parse(text, &at);
}

enum td_err td_linux_exchange(td_slice address, td_slice question, td_ms wait_ms,
                              struct td_buf *answer)
{
    struct td_linux_address at;
    td_ms until = now_ms() + wait_ms;
    if (!td_linux_address_parse(address, &at)) {
        return TD_ERANGE;
    }
    int fd = socket(at.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return TD_EIO;
    }
    (void)connect(fd, (struct sockaddr *)&at.storage, at.n); /* the first write tells */
    enum td_err err = say(fd, question, until) ? hear(fd, answer, until) : TD_EIO;
    (void)close(fd);
    return err;
}
