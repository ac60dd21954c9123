/* base: the ring. Indices count without end and wrap with their type; the difference of two of them
 * is a number of places. */
#include "base/ring.h"

#include <stdlib.h>

void td_ring_init(struct td_ring *r, uint32_t places)
{
    td_assert(places > 0 && places <= UINT32_C(1) << 30 && (places & (places - 1)) == 0);
    memset(r, 0, sizeof *r);
    r->at = td_alloc(places * sizeof *r->at);
    r->mask = places - 1;
    atomic_init(&r->published, 0);
    atomic_init(&r->freed, 0);
}

void td_ring_fini(struct td_ring *r)
{
    free(r->at);
    r->at = NULL;
}

bool td_ring_put(struct td_ring *r, void *p)
{
    td_assert(p != NULL);
    if (r->put - r->freed_seen > r->mask) {
        /* with td_ring_done(): what the consumer has read is no longer needed in its place */
        r->freed_seen = atomic_load_explicit(&r->freed, memory_order_acquire);
        if (r->put - r->freed_seen > r->mask) {
            return false;
        }
    }
    r->at[r->put++ & r->mask] = p;
    return true;
}

bool td_ring_publish(struct td_ring *r)
{
    if (r->put == atomic_load_explicit(&r->published, memory_order_relaxed)) { /* our own store */
        return false;
    }
    /* with the load in take and empty: the pointers and what they point to are there before */
    atomic_store_explicit(&r->published, r->put, memory_order_release);
    return true;
}

void *td_ring_take(struct td_ring *r)
{
    if (r->taken == r->published_seen) {
        r->published_seen = atomic_load_explicit(&r->published, memory_order_acquire);
        if (r->taken == r->published_seen) {
            return NULL;
        }
    }
    return r->at[r->taken++ & r->mask];
}

void td_ring_done(struct td_ring *r)
{
    if (r->taken != atomic_load_explicit(&r->freed, memory_order_relaxed)) { /* our own store */
        atomic_store_explicit(&r->freed, r->taken, memory_order_release); /* with the load in put */
    }
}

bool td_ring_empty(const struct td_ring *r)
{
    return r->taken == atomic_load_explicit(&r->published, memory_order_acquire);
}
