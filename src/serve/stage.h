/* serve/stage: the way to the store's state map, as sessions and rules go it.
 *
 * With one loop these are the store's own calls. With more, only loop 0 has the store: the others'
 * batches go to it by ring, and what stands here for an LSN is a ticket of the loop's own
 * (serve/loop.h). Either way: put and del go into the open batch, end closes it and gives the LSN
 * to wait for (0: nothing to wait for), and done says whether it has come. */
#ifndef TD_SERVE_STAGE_H
#define TD_SERVE_STAGE_H

#include "serve/loop.h"
#include "serve/serve.h"
#include "store/store.h"

static inline void td_stage_put(struct td_parts *p, uint8_t kind, td_slice key, td_slice value)
{
    if (p->loop == NULL) {
        td_store_put(p->store, kind, key, value);
    } else {
        td_loop_put(p->loop, kind, key, value);
    }
}

static inline void td_stage_del(struct td_parts *p, uint8_t kind, td_slice key)
{
    if (p->loop == NULL) {
        td_store_del(p->store, kind, key);
    } else {
        td_loop_del(p->loop, kind, key);
    }
}

static inline uint64_t td_stage_end(struct td_parts *p, enum td_store_class c)
{
    return p->loop == NULL ? td_store_batch_end(p->store, c) : td_loop_end(p->loop, c);
}

/* Bytes in the open batch, and how many it may have. */
static inline size_t td_stage_bytes(const struct td_parts *p)
{
    return p->loop == NULL ? td_store_batch_bytes(p->store) : td_loop_bytes(p->loop);
}

static inline size_t td_stage_max(const struct td_parts *p)
{
    return p->loop == NULL ? td_store_batch_max(p->store) : td_loop_max(p->loop);
}

static inline bool td_stage_done(const struct td_parts *p, uint64_t lsn)
{
    return p->loop == NULL ? lsn <= td_store_durable(p->store) : td_loop_done(p->loop, lsn);
}

/* Another number whenever something has become durable since. */
static inline uint64_t td_stage_clock(const struct td_parts *p)
{
    return p->loop == NULL ? td_store_durable(p->store) : td_loop_clock(p->loop);
}

/* As td_store_pressure() and td_store_failed(); pressure also while another loop does not keep up
 * with this one. */
static inline bool td_stage_pressure(const struct td_parts *p)
{
    return p->loop == NULL ? td_store_pressure(p->store) : td_loop_pressure(p->loop);
}

static inline bool td_stage_failed(const struct td_parts *p)
{
    return p->loop == NULL ? td_store_failed(p->store) : td_loop_failed(p->loop);
}

/* What comes now must stand in a batch of its own if the message under way is a part of one that
 * several loops commit together. */
static inline void td_stage_part(struct td_parts *p)
{
    if (p->loop != NULL) {
        td_loop_part(p->loop);
    }
}

/* What is delivered from here to joined, and what is put meanwhile, is one batch, whatever loops
 * get it. */
static inline void td_stage_join(struct td_parts *p)
{
    if (p->loop != NULL) {
        td_loop_join(p->loop);
    }
}

static inline uint64_t td_stage_joined(struct td_parts *p)
{
    return p->loop == NULL ? td_store_batch_end(p->store, TD_STORE_NOW) : td_loop_joined(p->loop);
}

/* The group commit whose part the open batch is; 0: of none. */
static inline uint64_t td_stage_commit(const struct td_parts *p)
{
    return p->loop == NULL ? 0 : td_loop_commit(p->loop);
}

/* The LSN to wait for so that also all other loops know of the subscriptions made last. */
static inline uint64_t td_stage_interest(struct td_parts *p, uint64_t lsn)
{
    return p->loop == NULL ? lsn : td_loop_interest(p->loop, lsn);
}

#endif
