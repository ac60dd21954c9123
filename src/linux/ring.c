/* linux: sends through io_uring. */
#include "linux/ring.h"

#include <errno.h>
#include <sys/socket.h>

#include "linux/address.h"

enum { RING_ENTRIES = 128 };

bool td_linux_ring_ready(struct td_linux_ring *r)
{
    if (r->state == TD_RING_NEW) {
        bool made = io_uring_queue_init(RING_ENTRIES, &r->uring, 0) == 0;
        r->state = made ? TD_RING_READY : TD_RING_NONE;
        if (made) {
            (void)io_uring_register_ring_fd(&r->uring); /* a little faster, where there is it */
        }
    }
    return r->state == TD_RING_READY;
}

void td_linux_ring_free(struct td_linux_ring *r)
{
    if (r->state == TD_RING_READY) {
        io_uring_queue_exit(&r->uring);
    }
    r->state = TD_RING_NEW;
}

bool td_linux_ring_send(struct td_linux_ring *r, int fd, td_slice bytes, size_t at)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_send(sqe, fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    io_uring_sqe_set_data64(sqe, at);
    r->under_way++;
    return true;
}

static void send_ended(const struct io_uring_cqe *cqe, struct td_sys_write *writes)
{
    struct td_sys_write *w = &writes[io_uring_cqe_get_data64(cqe)];
    w->sent = cqe->res < 0 ? 0 : (size_t)cqe->res;
    if (cqe->res < 0) {
        errno = -cqe->res;
        w->err = td_linux_err();
    } else {
        w->err = TD_OK;
    }
}

void td_linux_ring_finish(struct td_linux_ring *r, struct td_sys_write *writes)
{
    while (r->under_way > 0) {
        struct io_uring_cqe *cqe;
        unsigned head, ended = 0;
        int err = io_uring_submit_and_wait(&r->uring, r->under_way);
        td_assert(err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY);
        io_uring_for_each_cqe(&r->uring, head, cqe)
        {
            send_ended(cqe, writes);
            ended++;
        }
        io_uring_cq_advance(&r->uring, ended);
        r->under_way -= ended;
    }
}
