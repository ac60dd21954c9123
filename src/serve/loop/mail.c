/* serve/loop: parcels and rings.
 *
 * What a turn has to say to another loop is written into one parcel as it comes, note behind note,
 * and the parcel goes over by one place of the ring when the turn ends. The reader takes messages
 * right out of it, borrowed, as it takes them out of a socket's buffer; who holds one longer makes
 * the one copy of that loop, with a plain count. So nothing is counted across loops, and the bytes
 * come over in one piece, in order.
 *
 * A full ring: parcels stay here, the turn is counted, and td_loop_pressure() stops the reading of
 * clients until they are through. Loop 0 also stops reading mail then, as mail makes it write to
 * others; the other loops always read theirs, so there is no circle of loops that wait. */
#include <stdlib.h>

#include "serve/loop/inner.h"

static size_t aligned(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* ---- writing ---- */

static struct parcel *parcel_new(struct outbox *o, size_t least)
{
    size_t cap = o->first == NULL ? PARCEL_FIRST_BYTES : PARCEL_BYTES;
    cap = aligned(least > cap ? least : cap);
    struct parcel *p = td_realloc(NULL, sizeof *p + cap);
    p->next = NULL;
    p->n = 0;
    p->cap = cap;
    return p;
}

uint8_t *td_loop_note(struct td_loop *l, unsigned to, const struct note *head)
{
    struct outbox *o = &l->out[to];
    size_t n = sizeof *head + aligned(head->bytes);
    struct parcel *p = o->first == NULL ? NULL : TD_CONTAINER(o->end, struct parcel, next);
    if (p == NULL || p->cap - p->n < n) {
        p = parcel_new(o, n);
        l->unsent++;
        *o->end = p;
        o->end = &p->next;
    }
    uint8_t *at = (uint8_t *)p->bytes + p->n;
    memcpy(at, head, sizeof *head);
    p->n += n;
    return at + sizeof *head;
}

void td_loop_tell(struct td_loop *l, unsigned to, const struct note *head, td_slice body)
{
    struct note n = *head;
    n.bytes = (uint32_t)body.n;
    (void)td_put_bytes(td_loop_note(l, to, &n), body);
}

bool td_loop_mail_written(const struct td_loop *l)
{
    for (unsigned i = 0; i < l->all->count; i++) {
        if (l->out[i].first != NULL) {
            return true;
        }
    }
    return false;
}

bool td_loop_mail_blocked(const struct td_loop *l)
{
    for (unsigned i = 0; i < l->all->count; i++) {
        if (l->out[i].full) {
            return true;
        }
    }
    return false;
}

static bool room_for(const struct outbox *o, const struct parcel *p)
{
    /* with the store in mail_read(): those bytes are freed */
    uint64_t taken = atomic_load_explicit(&o->link->taken_bytes, memory_order_acquire);
    return o->sent_bytes == taken || o->sent_bytes - taken + p->n <= LINK_BYTES_MAX;
}

static void wake(struct td_loop *l, unsigned to)
{
    struct td_loop *other = l->all->at[to];
    /* With the exchange in td_loop_deadline(): either it sees the parcels, or we see it asleep. */
    if (atomic_exchange_explicit(&l->all->seats[to].asleep, false, memory_order_acq_rel)) {
        struct td_sys *sys = other->parts.sys; /* does not change while there are threads */
        sys->wake(sys);
        l->stats.wakes++;
    }
}

static void outbox_send(struct td_loop *l, struct outbox *o)
{
    while (o->first != NULL && room_for(o, o->first)) {
        struct parcel *p = o->first, *next = p->next; /* once put, it is the reader's */
        size_t n = p->n;
        if (!td_ring_put(&o->link->ring, p)) {
            break;
        }
        o->sent_bytes += n;
        o->first = next;
        o->end = next == NULL ? &o->first : o->end;
        l->stats.parcels++;
    }
    if (td_ring_publish(&o->link->ring)) {
        wake(l, o->to);
    }
    o->full = o->first != NULL;
    l->stats.ring_full += o->full;
}

void td_loop_mail_send(struct td_loop *l)
{
    l->unsent = 0;
    for (unsigned i = 0; i < l->all->count; i++) {
        if (l->out[i].first != NULL) {
            outbox_send(l, &l->out[i]);
        }
    }
}

/* ---- reading ---- */

bool td_loop_mail_waits(const struct td_loop *l)
{
    for (unsigned i = 0; i < l->all->count; i++) {
        if (l->in[i] != NULL && !td_ring_empty(&l->in[i]->ring)) {
            return true;
        }
    }
    return false;
}

static void parcel_read(struct td_loop *l, unsigned from, const struct parcel *p)
{
    const uint8_t *at = (const uint8_t *)p->bytes, *end = at + p->n;
    while (at < end) {
        const struct note *n = (const struct note *)(const void *)at;
        td_loop_take(l, from, n, (td_slice){at + sizeof *n, n->bytes});
        at += sizeof *n + aligned(n->bytes);
    }
}

static void link_read(struct td_loop *l, unsigned from)
{
    struct link *link = l->in[from];
    uint64_t bytes = 0;
    for (struct parcel *p; (p = td_ring_take(&link->ring)) != NULL;) {
        parcel_read(l, from, p);
        bytes += p->n;
        free(p);
        if (l->number == 0 && l->unsent >= UNSENT_MAX) {
            td_loop_mail_send(l);
            if (td_loop_mail_blocked(l)) {
                break;
            }
        }
    }
    td_ring_done(&link->ring);
    /* only this loop writes it; with the load in room_for() */
    uint64_t taken = atomic_load_explicit(&link->taken_bytes, memory_order_relaxed);
    atomic_store_explicit(&link->taken_bytes, taken + bytes, memory_order_release);
}

void td_loop_mail_read(struct td_loop *l)
{
    for (unsigned i = 0; i < l->all->count; i++) {
        if (l->in[i] != NULL && !(l->number == 0 && td_loop_mail_blocked(l))) {
            link_read(l, i);
        }
    }
}

void td_loop_take(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    static void (*const takers[NOTE_KINDS])(struct td_loop *, unsigned, const struct note *,
                                            td_slice) = {
        [NOTE_HAND] = td_loop_take_hand,       [NOTE_TARGET] = td_loop_take_target,
        [NOTE_PUBLISH] = td_loop_take_publish, [NOTE_INTEREST] = td_loop_take_interest,
        [NOTE_SETTLED] = td_loop_take_settled, [NOTE_BATCH] = td_loop_take_batch,
        [NOTE_DURABLE] = td_loop_take_durable, [NOTE_STATE] = td_loop_take_state,
        [NOTE_ASK] = td_loop_take_ask,         [NOTE_RETAINED] = td_loop_take_retained,
        [NOTE_ASKED] = td_loop_take_asked,     [NOTE_JOIN] = td_loop_take_join,
        [NOTE_LEAVE] = td_loop_take_leave,     [NOTE_LOAD] = td_loop_take_load,
        [NOTE_GIVE] = td_loop_take_give,       [NOTE_GATHER] = td_loop_take_gather,
        [NOTE_CONN] = td_loop_take_conn,       [NOTE_ACCESS] = td_loop_take_access,
        [NOTE_SIGHT] = td_loop_take_sight,     [NOTE_CLOSE] = td_loop_take_close,
        [NOTE_QUIET] = td_loop_take_quiet,     [NOTE_LAST] = td_loop_take_last,
        [NOTE_ENDED] = td_loop_take_ended,     [NOTE_AUDIT] = td_loop_take_audit,
    };
    takers[n->kind](l, from, n, body);
}
