/* linux, private: when TCP segments that were read are acknowledged.
 *
 * A peer with Nagle's algorithm on holds back its next small segment until the last one is
 * acknowledged. An answer carries the acknowledgement; without one the kernel waits 40 ms for it,
 * unless it is asked to acknowledge each read by a segment of its own, which is a tenth of what a
 * small message costs. So the peers that need it get it, at the end of the turn; and those that
 * have shown that they do not wait are left to the kernel, which then acknowledges every second
 * segment.
 *
 * How a peer shows it: an acknowledgement is held back for up to a millisecond. A small segment
 * that comes meanwhile was sent while another small one was not acknowledged, which Nagle's
 * algorithm forbids (RFC 896; RFC 1122, 4.2.3.4). Peers that have not shown it are tried again
 * after 2, 4, .. 256 reads. */
#ifndef TD_LINUX_ACKS_H
#define TD_LINUX_ACKS_H

#include "base/base.h"

/* Of one stream. All zero: not TCP, nothing is done. */
struct td_linux_ack {
    td_mono held;  /* since when it is held back */
    uint8_t tries; /* that have not shown anything */
    uint8_t reads; /* since the last one */
    bool tcp;      /* false: the rest means nothing */
    bool frank;    /* does not wait for acknowledgements */
    bool trying;   /* the next one owed is held back */
    bool quick;    /* the kernel acknowledges each small read by itself */
    bool owed;     /* read, and neither answered nor acknowledged */
    bool listed;   /* its stream stands in the list of those owed one */
};

/* A new TCP stream. */
void td_linux_ack_init(struct td_linux_ack *a, int fd);
/* n bytes were read in the turn that began at `now`. True: list it for td_linux_ack_settle(). */
bool td_linux_ack_read(struct td_linux_ack *a, int fd, size_t n, td_mono now);
/* Something was written: it carries the acknowledgement. */
static inline void td_linux_ack_written(struct td_linux_ack *a)
{
    a->owed = false;
    a->quick = false; /* the kernel waits for answers from now on */
}
/* Before waiting, for those listed: acknowledges what is owed. Gives when to come again if it is
 * held back; TD_NEVER: it is off the list. */
td_mono td_linux_ack_settle(struct td_linux_ack *a, int fd, td_mono now);

#endif
