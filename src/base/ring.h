/* base/ring: a bounded ring of pointers from one thread to one other.
 *
 *     producer:  put, put, put, publish ----------> consumer:  take, take, take, done
 *                         one release store a turn                 one release store a turn
 *
 * What was put is seen by the other side when it is published; places are free again when the
 * consumer is done with them. Each side keeps what it last knew of the other, so it looks at the
 * other's cache line only when that is used up. No locks, no waiting: a full ring says so, and the
 * producer decides what that means. Waking a sleeping consumer is not the ring's business. */
#ifndef TD_RING_H
#define TD_RING_H

#include <stdatomic.h>

#include "base/base.h"

enum { TD_RING_LINE = 128 }; /* two cache lines: the prefetcher takes pairs */

struct td_ring {
    void **at;
    uint32_t mask;
    char pad_shape[TD_RING_LINE];
    _Atomic uint32_t published; /* released by the producer, acquired by the consumer */
    char pad_published[TD_RING_LINE];
    _Atomic uint32_t freed; /* released by the consumer, acquired by the producer */
    char pad_freed[TD_RING_LINE];
    uint32_t put, freed_seen; /* the producer's own */
    char pad_producer[TD_RING_LINE];
    uint32_t taken, published_seen; /* the consumer's own */
};

/* `places`: a power of two up to 2^30. Before the second thread begins, and after it has ended:
 * what stands in the ring at fini is the caller's. */
void td_ring_init(struct td_ring *r, uint32_t places);
void td_ring_fini(struct td_ring *r);

/* ---- the producer's thread ---- */

/* False: full. `p` is not NULL; the consumer sees it once it is published. */
bool td_ring_put(struct td_ring *r, void *p);
/* Shows what was put since the last time; false: nothing was. */
bool td_ring_publish(struct td_ring *r);

/* ---- the consumer's thread ---- */

/* The oldest that was published; NULL: there is none. */
void *td_ring_take(struct td_ring *r);
/* Gives back the places of what was taken. */
void td_ring_done(struct td_ring *r);
/* Whether take would give NULL. */
bool td_ring_empty(const struct td_ring *r);

#endif
