/* linux: who among the peers is sent acknowledgements, and when. */
#include "linux/acks.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum {
    HOLD_NS = 1000000,
    SMALL_BYTES = 512, /* from 536 on the kernel acknowledges every second segment */
    TRIES_MAX = 8,     /* 2^8 reads until the next one */
    FRANK_READS = 64   /* the kernel falls back to each read after a pause: told again so often */
};

/* 1: acknowledge what is owed, and each read from now on; 0: let answers carry it. */
static void kernel_tell(int fd, int quick)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &quick, sizeof quick); /* costs time only */
}

void td_linux_ack_init(struct td_linux_ack *a, int fd)
{
    *a = (struct td_linux_ack){.tcp = true, .trying = true};
    kernel_tell(fd, 0);
}

static bool try_is_due(struct td_linux_ack *a)
{
    return a->reads == (1u << a->tries) - 1;
}

/* The read that makes it owed. True: list it. */
static bool owe(struct td_linux_ack *a, td_mono now)
{
    bool list = !a->listed;
    a->owed = a->listed = true;
    a->held = now;
    return list;
}

bool td_linux_ack_read(struct td_linux_ack *a, int fd, size_t n, td_mono now)
{
    if (!a->tcp) {
        return false;
    }
    a->reads++;
    if (a->frank) {
        if (a->reads % FRANK_READS == 0) {
            kernel_tell(fd, 0);
        }
        return false;
    }
    if (a->owed) {
        if (a->trying && n < SMALL_BYTES && now - a->held < HOLD_NS) {
            a->frank = true;
            a->owed = false;
        }
        return false;
    }
    if (!a->quick || n >= SMALL_BYTES) {
        return owe(a, now);
    }
    if (try_is_due(a)) { /* from the next read on */
        kernel_tell(fd, 0);
        a->trying = true;
        a->quick = false;
    }
    return false;
}

td_mono td_linux_ack_settle(struct td_linux_ack *a, int fd, td_mono now)
{
    if (a->owed && a->trying && now - a->held < HOLD_NS) {
        return a->held + HOLD_NS;
    }
    if (a->owed) {
        kernel_tell(fd, 1);
        a->owed = false;
        a->quick = true;
        if (a->trying) {
            a->trying = false;
            a->tries = a->tries < TRIES_MAX ? a->tries + 1 : TRIES_MAX;
            a->reads = 0;
        }
    }
    a->listed = false;
    return TD_NEVER;
}
