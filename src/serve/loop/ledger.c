/* serve/loop: how what loops change becomes durable.
 *
 * Only loop 0 has the store. A loop's batches go to it by ring and enter the log in the order in
 * which they come; the loop gives each batch that somebody waits for a ticket and hears up to which
 * ticket all is durable. An LSN, as mqtt/ and rules keep it, is here
 *
 *     ticket * 2       a batch of this loop: done when it is durable
 *     ticket * 2 + 1   something handed to other loops: done when all who got it say so
 *
 * A loop says so of a message when its own batch with that message is durable. Nobody waits for
 * another's second kind but a source for loop 0, so there is no circle.
 *
 * *Group commits.* The id of an incoming QoS 2 message, an order's record, a will: they must vanish
 * from the store together with what the message leaves on other loops, or a crash between two
 * batches would lose the message or bring it twice. Such a message gets a number. The other loops'
 * batches (its *parts*) carry it and enter the log when they come; loop 0's own batch, with the
 * number in it, enters when all parts have. The log is a sequence, so that batch stands for all.
 * After a crash a part whose number is above the last one committed counts as never said
 * (td_mqttd_keep_restore); its sender was not answered, and says it again. What stands behind loop
 * 0's batch in the log's order waits with it; parts wait for nothing. */
#include <stdlib.h>

#include "serve/loop/inner.h"
#include "serve/mqtt/mqttd.h"

/* ---- pairs ---- */

void td_pairs_add(struct pairs *p, uint64_t key, uint64_t value)
{
    if (p->count == p->cap) {
        uint32_t cap = p->cap == 0 ? 16 : p->cap * 2;
        struct pair *at = td_alloc(cap * sizeof *at);
        for (uint32_t i = 0; i < p->count; i++) {
            at[i] = p->at[(p->first + i) & (p->cap - 1)];
        }
        free(p->at);
        p->at = at;
        p->cap = cap;
        p->first = 0;
    }
    p->at[(p->first + p->count++) & (p->cap - 1)] = (struct pair){key, value};
}

void td_pairs_fini(struct pairs *p)
{
    free(p->at);
    *p = (struct pairs){0};
}

/* ---- clocks ---- */

static uint64_t channel_clock(const struct channel *c)
{
    return c->handed == c->settled ? UINT64_MAX : c->settled;
}

void td_loop_clock_set(struct td_loop *l)
{
    uint64_t batch = channel_clock(&l->batch), part = channel_clock(&l->part);
    batch = batch < part ? batch : part;
    uint64_t peers = UINT64_MAX;
    for (unsigned i = 0; i < l->all->count; i++) {
        uint64_t clock = channel_clock(&l->peers[i]);
        peers = clock < peers ? clock : peers;
    }
    l->stamp += batch > l->batch_clock || peers > l->peer_clock; /* something came through */
    l->batch_clock = batch;
    l->peer_clock = peers;
}

bool td_loop_done(const struct td_loop *l, uint64_t lsn)
{
    return lsn / 2 <= ((lsn & 1) != 0 ? l->peer_clock : l->batch_clock);
}

uint64_t td_loop_clock(const struct td_loop *l)
{
    return l->stamp;
}

/* ---- the open batch ---- */

static void change_add(struct td_loop *l, uint8_t kind, bool put, td_slice key, td_slice value)
{
    struct td_buf *b = &l->changes;
    td_assert(td_buf_reserve(b, key.n + value.n + 32) == TD_OK);
    (void)td_buf_add_u8(b, kind);
    (void)td_buf_add_u8(b, put);
    (void)td_buf_add_lump(b, key);
    (void)td_buf_add_lump(b, value);
}

void td_loop_put(struct td_loop *l, uint8_t kind, td_slice key, td_slice value)
{
    change_add(l, kind, true, key, value);
}

void td_loop_del(struct td_loop *l, uint8_t kind, td_slice key)
{
    change_add(l, kind, false, key, (td_slice){NULL, 0});
}

size_t td_loop_bytes(const struct td_loop *l)
{
    return l->changes.n;
}

size_t td_loop_max(const struct td_loop *l)
{
    return td_store_batch_max(l->all->at[0]->parts.store); /* does not change */
}

static uint64_t batch_ticket(struct td_loop *l, struct channel *c)
{
    c->handed = ++l->ticket;
    td_loop_clock_set(l);
    return c->handed * 2;
}

static void changes_clear(struct td_loop *l)
{
    if (l->changes.cap > (1u << 20)) {
        td_buf_fini(&l->changes);
        td_buf_init(&l->changes, SIZE_MAX);
    }
    td_buf_clear(&l->changes);
}

/* ---- loop 0: the order of the log ---- */

static void changes_apply(struct td_store *store, td_slice changes)
{
    struct td_cursor c = td_cursor_of(changes);
    while (td_cursor_left(&c) > 0 && c.err == TD_OK) {
        uint8_t kind = td_cursor_u8(&c);
        bool put = td_cursor_u8(&c) != 0;
        td_slice key = td_cursor_lump(&c), value = td_cursor_lump(&c);
        if (put) {
            td_store_put(store, kind, key, value);
        } else {
            td_store_del(store, kind, key);
        }
    }
    td_assert(c.err == TD_OK);
}

static void item_enter(struct td_loop *l, const struct item *i, td_slice changes)
{
    struct ledger *g = l->ledger;
    uint64_t lsn = i->lsn;
    if (changes.n > 0) {
        changes_apply(l->parts.store, changes);
        lsn = td_store_batch_end(l->parts.store, (enum td_store_class)i->class);
    }
    if (i->ticket != 0) {
        td_pairs_add(&g->owed[i->loop], i->ticket, lsn);
    }
    if (i->commit != 0) {
        td_pairs_add(&g->commits, i->commit, lsn);
    }
}

static void items_enter(struct td_loop *l)
{
    struct ledger *g = l->ledger;
    while (g->first != NULL && g->first->parts == 0) {
        struct item *i = g->first;
        g->first = i->next;
        g->end = g->first == NULL ? &g->first : g->end;
        item_enter(l, i, (td_slice){i->changes, i->n});
        free(i);
    }
}

static void item_add(struct td_loop *l, const struct item *head, td_slice changes)
{
    struct ledger *g = l->ledger;
    if (g->first == NULL && head->parts == 0) {
        item_enter(l, head, changes);
        return;
    }
    struct item *i = td_alloc(sizeof *i + changes.n);
    *i = *head;
    i->n = changes.n;
    (void)td_put_bytes(i->changes, changes);
    *g->end = i;
    g->end = &i->next;
}

/* A part needs no place in the order: what it puts is new. */
static void part_enter(struct td_loop *l, unsigned from, const struct note *n, td_slice changes)
{
    struct ledger *g = l->ledger;
    if (changes.n > 0) {
        changes_apply(l->parts.store, changes);
        (void)td_store_batch_end(l->parts.store, TD_STORE_NOW);
    }
    td_pairs_add(&g->parts[from], n->x, n->y);
    struct item *i = g->first;
    while (i->commit != n->y) { /* it waits for this part */
        i = i->next;
    }
    i->parts--;
    items_enter(l);
}

void td_loop_take_batch(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    if (n->y != 0) {
        part_enter(l, from, n, body);
    } else {
        item_add(l, &(struct item){.ticket = n->x, .class = n->a, .loop = from}, body);
    }
}

/* ---- ending a batch ---- */

static uint64_t end_here(struct td_loop *l, enum td_store_class c, uint64_t commit, uint32_t parts)
{
    bool waited = c == TD_STORE_NOW; /* nobody waits for what may be late */
    uint64_t lsn = waited ? batch_ticket(l, &l->batch) : 0;
    item_add(
        l, &(struct item){.ticket = lsn / 2, .commit = commit, .parts = parts, .class = (uint8_t)c},
        td_buf_slice(&l->changes));
    changes_clear(l);
    return lsn;
}

uint64_t td_loop_end(struct td_loop *l, enum td_store_class c)
{
    if (l->changes.n == 0) {
        return 0;
    }
    if (l->ledger != NULL) {
        return end_here(l, c, 0, 0);
    }
    uint64_t lsn = c == TD_STORE_NOW ? batch_ticket(l, &l->batch) : 0;
    td_loop_tell(l, 0, &(struct note){.kind = NOTE_BATCH, .a = (uint8_t)c, .x = lsn / 2},
                 td_buf_slice(&l->changes));
    changes_clear(l);
    return lsn;
}

void td_loop_part(struct td_loop *l)
{
    if (l->commit != 0) { /* what went to make room, perhaps */
        (void)td_loop_end(l, TD_STORE_1S);
    }
}

uint64_t td_loop_commit(const struct td_loop *l)
{
    return l->commit;
}

uint64_t td_loop_end_part(struct td_loop *l)
{
    uint64_t lsn = batch_ticket(l, &l->part);
    td_loop_tell(
        l, 0, &(struct note){.kind = NOTE_BATCH, .a = TD_STORE_NOW, .x = lsn / 2, .y = l->commit},
        td_buf_slice(&l->changes));
    changes_clear(l);
    return lsn;
}

uint64_t td_loop_end_commit(struct td_loop *l, enum td_store_class c, uint64_t commit,
                            uint32_t parts)
{
    return end_here(l, c, commit, parts);
}

uint64_t td_loop_row(struct td_loop *l, uint64_t lsn)
{
    uint64_t own = batch_ticket(l, &l->batch);
    item_add(l, &(struct item){.ticket = own / 2, .lsn = lsn}, (td_slice){NULL, 0});
    return own;
}

/* ---- what has become durable ---- */

static uint64_t pairs_through(struct pairs *p, uint64_t through, uint64_t last)
{
    for (struct pair *first; (first = td_pairs_first(p)) != NULL && first->value <= through;) {
        last = first->key;
        td_pairs_drop(p);
    }
    return last;
}

static void durable_tell(struct td_loop *l, unsigned to)
{
    struct ledger *g = l->ledger;
    uint64_t batch = pairs_through(&g->owed[to], td_store_durable(l->parts.store), 0);
    uint64_t part = pairs_through(&g->parts[to], g->commit_durable, 0);
    if (to == 0) {
        l->batch.settled = batch != 0 ? batch : l->batch.settled;
        td_loop_clock_set(l);
    } else if (batch != 0 || part != 0) {
        td_loop_tell(l, to, &(struct note){.kind = NOTE_DURABLE, .x = batch, .y = part},
                     (td_slice){NULL, 0});
    }
}

static void state_tell(struct td_loop *l)
{
    struct ledger *g = l->ledger;
    bool pressure = td_store_pressure(l->parts.store), failed = td_store_failed(l->parts.store);
    if (pressure == g->pressure && failed == g->failed) {
        return;
    }
    g->pressure = pressure;
    g->failed = failed;
    for (unsigned i = 1; i < l->all->count; i++) {
        td_loop_tell(l, i, &(struct note){.kind = NOTE_STATE, .a = pressure, .b = failed},
                     (td_slice){NULL, 0});
    }
}

void td_loop_ledger_look(struct td_loop *l)
{
    struct ledger *g = l->ledger;
    g->commit_durable =
        pairs_through(&g->commits, td_store_durable(l->parts.store), g->commit_durable);
    for (unsigned i = 0; i < l->all->count; i++) {
        if (i == 0 || g->owed[i].count > 0 || g->parts[i].count > 0) {
            durable_tell(l, i);
        }
    }
    state_tell(l);
}

void td_loop_take_durable(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)body;
    l->batch.settled = n->x != 0 ? n->x : l->batch.settled;
    l->part.settled = n->y != 0 ? n->y : l->part.settled;
    td_loop_clock_set(l);
}

void td_loop_take_state(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)body;
    l->pressure = n->a != 0;
    l->failed = n->b != 0;
}

bool td_loop_pressure(const struct td_loop *l)
{
    return td_loop_mail_blocked(l) ||
           (l->ledger != NULL ? td_store_pressure(l->parts.store) : l->pressure);
}

bool td_loop_failed(const struct td_loop *l)
{
    return l->ledger != NULL ? td_store_failed(l->parts.store) : l->failed;
}

void td_ledger_free(struct ledger *g)
{
    while (g->first != NULL) {
        struct item *i = g->first;
        g->first = i->next;
        free(i);
    }
    for (unsigned i = 0; i < TD_HUB_LOOPS_MAX; i++) {
        td_pairs_fini(&g->owed[i]);
        td_pairs_fini(&g->parts[i]);
    }
    td_pairs_fini(&g->commits);
    free(g);
}

/* ---- what loops owe each other ---- */

void td_loop_handed(struct td_loop *l, unsigned to, uint64_t ticket)
{
    l->peers[to].handed = ticket;
    td_loop_clock_set(l);
}

uint64_t td_loop_both(struct td_loop *l, uint64_t lsn, uint64_t peers)
{
    if (lsn == 0 || td_loop_done(l, lsn)) {
        return peers;
    }
    if (peers == 0 || td_loop_done(l, peers)) {
        return lsn;
    }
    uint64_t ticket = ++l->peer_ticket;
    td_loop_handed(l, l->number, ticket);
    td_pairs_add(&l->debts[l->number], ticket, lsn);
    return td_loop_peer_lsn(ticket);
}

void td_loop_owe(struct td_loop *l, unsigned from, uint64_t ticket, uint64_t lsn)
{
    if (l->debts[from].count == 0 && td_loop_done(l, lsn)) {
        l->debt_done[from] = ticket;
    } else {
        td_pairs_add(&l->debts[from], ticket, lsn);
    }
}

static void debts_look(struct td_loop *l, unsigned from)
{
    struct pairs *p = &l->debts[from];
    for (struct pair *first;
         (first = td_pairs_first(p)) != NULL && td_loop_done(l, first->value);) {
        l->debt_done[from] = first->key;
        td_pairs_drop(p);
    }
}

void td_loop_debts_settle(struct td_loop *l)
{
    for (unsigned i = 0; i < l->all->count; i++) {
        debts_look(l, i);
        if (l->debt_done[i] == l->debt_told[i]) {
            continue;
        }
        l->debt_told[i] = l->debt_done[i];
        if (i == l->number) {
            l->peers[i].settled = l->debt_done[i];
            td_loop_clock_set(l);
        } else {
            td_loop_tell(l, i, &(struct note){.kind = NOTE_SETTLED, .x = l->debt_done[i]},
                         (td_slice){NULL, 0});
        }
    }
}

void td_loop_take_settled(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)body;
    l->peers[from].settled = n->x;
    td_loop_clock_set(l);
}
