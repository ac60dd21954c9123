/* linux, private: many sends by one system call, through io_uring. Entering the kernel once instead
 * of once a stream saves a few per cent of what small messages cost. Where the kernel has no
 * io_uring, or forbids it, nothing here is ready and streams are written one by one. */
#ifndef TD_LINUX_RING_H
#define TD_LINUX_RING_H

#include <liburing.h>

#include "sys/sys.h"

struct td_linux_ring {
    enum { TD_RING_NEW, TD_RING_READY, TD_RING_NONE } state;
    struct io_uring uring;
    unsigned under_way;
};

/* Makes it with the first call (by the thread that uses it). False: there is none. */
bool td_linux_ring_ready(struct td_linux_ring *r);
/* Prepares a send; `bytes` stay untouched until td_linux_ring_finish(). `at`: the index that it
 * will fill in. False: the ring is full. */
bool td_linux_ring_send(struct td_linux_ring *r, int fd, td_slice bytes, size_t at);
/* Sends what was prepared; nothing is waited for: what does not fit says TD_EAGAIN. Fills in err
 * and sent of each writes[at]. */
void td_linux_ring_finish(struct td_linux_ring *r, struct td_sys_write *writes);
void td_linux_ring_free(struct td_linux_ring *r);

#endif
