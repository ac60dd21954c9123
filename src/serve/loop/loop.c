/* serve/loop: the life of N loops. */
#include <stdlib.h>

#include "serve/loop/inner.h"

enum { SIGHT_MS = 1000 };

/* ---- birth ---- */

static struct link *link_new(void)
{
    struct link *link = td_alloc(sizeof *link);
    td_ring_init(&link->ring, LINK_PLACES);
    atomic_init(&link->taken_bytes, 0);
    return link;
}

static struct td_loop *loop_new(struct td_loops *all, unsigned number, struct td_sys *sys)
{
    struct td_loop *l = td_alloc(sizeof *l);
    uint64_t seed;
    sys->random(sys, &seed, sizeof seed);
    l->parts.sys = sys;
    l->parts.loop = l;
    l->all = all;
    l->number = number;
    l->batch_clock = l->peer_clock = UINT64_MAX;
    td_buf_init(&l->changes, SIZE_MAX);
    td_leaves_init(&l->leaves);
    td_map_init(&l->live, seed);
    td_map_init(&l->members, seed);
    for (unsigned i = 0; i < TD_HUB_LOOPS_MAX; i++) {
        l->out[i].to = i;
        l->out[i].end = &l->out[i].first;
    }
    if (number == 0) {
        l->ledger = td_alloc(sizeof *l->ledger);
        l->ledger->end = &l->ledger->first;
        l->sights = td_alloc(all->count * sizeof *l->sights);
    }
    return l;
}

struct td_loops *td_loops_new(struct td_sys *const *sys, unsigned count)
{
    struct td_loops *all = td_alloc(sizeof *all);
    td_assert(count > 1 && count <= TD_HUB_LOOPS_MAX);
    all->count = count;
    for (unsigned i = 0; i < count; i++) {
        all->at[i] = loop_new(all, i, sys[i]);
        atomic_init(&all->seats[i].asleep, false);
    }
    for (unsigned from = 0; from < count; from++) {
        for (unsigned to = 0; to < count; to++) {
            if (from != to) {
                all->links[from][to] = link_new();
                all->at[from]->out[to].link = all->links[from][to];
                all->at[to]->in[from] = all->links[from][to];
            }
        }
    }
    return all;
}

struct td_loop *td_loops_at(struct td_loops *all, unsigned number)
{
    return all->at[number];
}

struct td_parts *td_loop_parts(struct td_loop *l)
{
    return &l->parts;
}

unsigned td_loops_count(const struct td_loops *all)
{
    return all->count;
}

void td_loops_join(struct td_loops *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        struct td_loop *l = all->at[i];
        td_hub_watch(l->parts.hub, i != 0, td_loop_interest_changed, l);
    }
}

void td_loop_commit_set(struct td_loop *l, uint64_t number)
{
    l->ledger->commit = l->ledger->commit_durable = number;
}

static bool mail_under_way(const struct td_loops *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        if (td_loop_mail_waits(all->at[i]) || td_loop_mail_written(all->at[i])) {
            return true;
        }
    }
    return false;
}

void td_loops_settle(struct td_loops *all)
{
    while (mail_under_way(all)) {
        for (unsigned i = 0; i < all->count; i++) {
            td_loop_mail_send(all->at[i]);
            td_loop_mail_read(all->at[i]);
        }
    }
}

void td_loop_settle(struct td_loop *l)
{
    td_loops_settle(l->all);
}

/* ---- death ---- */

static void parcel_free(struct parcel *p)
{
    const uint8_t *at = (const uint8_t *)p->bytes, *end = at + p->n;
    while (at < end) {
        const struct note *n = (const struct note *)(const void *)at;
        if (n->kind == NOTE_CONN) {
            struct td_loop_moved moved;
            memcpy(&moved, at + sizeof *n, sizeof moved);
            td_mqttd_lost(&moved);
        }
        at += sizeof *n + ((n->bytes + 7u) & ~7u);
    }
    free(p);
}

static void outbox_drop(struct outbox *o)
{
    while (o->first != NULL) {
        struct parcel *p = o->first;
        o->first = p->next;
        parcel_free(p);
    }
    o->end = &o->first;
}

static void link_drop(struct link *link)
{
    for (struct parcel *p; (p = td_ring_take(&link->ring)) != NULL;) {
        parcel_free(p);
    }
}

void td_loops_drop_mail(struct td_loops *all)
{
    for (unsigned from = 0; from < all->count; from++) {
        for (unsigned to = 0; to < all->count; to++) {
            outbox_drop(&all->at[from]->out[to]);
            if (from != to) {
                link_drop(all->links[from][to]);
            }
        }
    }
}

static void loop_free(struct td_loop *l)
{
    for (unsigned i = 0; i < l->all->count; i++) {
        if (l->in[i] != NULL) {
            td_ring_fini(&l->in[i]->ring);
            free(l->in[i]);
        }
        td_pairs_fini(&l->debts[i]);
    }
    td_loop_live_clear(l);
    td_map_fini(&l->live);
    td_map_fini(&l->members);
    td_leaves_fini(&l->leaves);
    td_buf_fini(&l->changes);
    if (l->ledger != NULL) {
        td_ledger_free(l->ledger);
    }
    free(l->sights);
    free(l);
}

void td_loops_part(struct td_loops *all)
{
    td_loop_members_free(all->at[0]);
}

void td_loops_free(struct td_loops *all)
{
    td_loops_drop_mail(all);
    for (unsigned i = 0; i < all->count; i++) {
        loop_free(all->at[i]);
    }
    free(all);
}

/* ---- where things live ---- */

/* Bounds over all loops need one number; nothing else is read by it, so no order is asked for. */
void td_loop_count_conns(struct td_loop *l, int more)
{
    (void)atomic_fetch_add_explicit(&l->all->conns, (uint64_t)(int64_t)more, memory_order_relaxed);
}

void td_loop_count_sessions(struct td_loop *l, int more)
{
    (void)atomic_fetch_add_explicit(&l->all->sessions, (uint64_t)(int64_t)more,
                                    memory_order_relaxed);
}

uint64_t td_loop_conns(const struct td_loop *l)
{
    return atomic_load_explicit(&l->all->conns, memory_order_relaxed);
}

uint64_t td_loop_sessions(const struct td_loop *l)
{
    return atomic_load_explicit(&l->all->sessions, memory_order_relaxed);
}

unsigned td_loop_number(const struct td_loop *l)
{
    return l->number;
}

unsigned td_loop_count(const struct td_loop *l)
{
    return l->all->count;
}

unsigned td_loop_of(const struct td_loop *l, td_slice client_id)
{
    /* The same at each start; who chooses ids to fill one loop slows none but that one. */
    return (unsigned)(td_hash(client_id, 0) % l->all->count);
}

struct td_mqttd *td_loop_mqttd(const struct td_loop *l, unsigned number)
{
    return l->all->at[number]->parts.mqttd;
}

void td_loop_move(struct td_loop *l, unsigned to, const struct td_loop_moved *moved)
{
    td_loop_tell(l, to, &(struct note){.kind = NOTE_CONN},
                 (td_slice){(const uint8_t *)moved, sizeof *moved});
}

void td_loop_take_conn(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)n;
    struct td_loop_moved moved;
    memcpy(&moved, body.p, sizeof moved);
    td_mqttd_arrived(l->parts.mqttd, &moved);
}

/* ---- who may what ---- */

static void file_add(struct td_buf *b, const struct td_serve_file *f)
{
    td_slice name = f->name == NULL ? TD_STR("") : td_slice_of(f->name);
    td_assert(td_buf_add_lump(b, name) == TD_OK && td_buf_add_lump(b, f->text) == TD_OK);
}

void td_loop_access(struct td_loop *l, const struct td_serve_access_config *access)
{
    struct td_buf b;
    td_buf_init(&b, UINT32_MAX / 2);
    file_add(&b, &access->users);
    file_add(&b, &access->grants);
    for (unsigned i = 1; i < l->all->count; i++) {
        td_loop_tell(
            l, i,
            &(struct note){.kind = NOTE_ACCESS, .a = access->anonymous, .b = access->hub_wide},
            td_buf_slice(&b));
    }
    td_buf_fini(&b);
}

void td_loop_take_access(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    struct td_cursor c = td_cursor_of(body);
    struct td_buf why;
    td_slice users = td_cursor_lump(&c), users_text = td_cursor_lump(&c);
    td_slice grants = td_cursor_lump(&c), grants_text = td_cursor_lump(&c);
    /* Names are for messages only, and loop 0 has found nothing to say. */
    const struct td_serve_access_config access = {
        .users = {users.n > 0 ? "users" : NULL, users_text},
        .grants = {grants.n > 0 ? "grants" : NULL, grants_text},
        .anonymous = n->a != 0,
        .hub_wide = n->b != 0};
    td_buf_init(&why, 4096);
    td_assert(td_parts_access(&l->parts, &access, &why) == TD_OK);
    td_buf_fini(&why);
}

/* ---- turns ---- */

void td_loop_begin(struct td_loop *l, td_mono now)
{
    /* with the exchange in wake() */
    (void)atomic_exchange_explicit(&l->all->seats[l->number].asleep, false, memory_order_acq_rel);
    td_mqttd_clock_set(l->parts.mqttd, now);
    if (l->ledger != NULL) {
        td_loop_ledger_look(l);
    }
    td_loop_mail_read(l);
    td_loop_debts_settle(l);
    l->stamp_seen = l->stamp;
}

static void sight_tell(struct td_loop *l, td_mono now)
{
    if (l->number == 0 || now < td_mono_after(l->told_at, SIGHT_MS)) {
        l->untold = true;
        return;
    }
    struct sight s = {.hub = *td_hub_stats(l->parts.hub),
                      .mqttd = *td_mqttd_stats(l->parts.mqttd),
                      .loop = l->told.loop};
    l->untold = false;
    l->told_at = now;
    if (memcmp(&s, &l->told, sizeof s) != 0) { /* whole words only: no padding */
        s.loop = l->stats;
        l->told = s;
        td_loop_tell(l, 0, &(struct note){.kind = NOTE_SIGHT},
                     (td_slice){(const uint8_t *)&s, sizeof s});
    }
}

void td_loop_take_sight(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)n;
    memcpy(&l->sights[from], body.p, sizeof l->sights[from]);
}

void td_loop_end_turn(struct td_loop *l, td_mono now)
{
    if (l->ledger != NULL) {
        td_loop_ledger_look(l);
    }
    td_loop_debts_settle(l);
    if (l->quieting && !l->quiet_said) {
        l->quiet_said = true;
        td_loop_tell(l, 0, &(struct note){.kind = NOTE_QUIET}, (td_slice){NULL, 0});
    }
    if (!l->quieting) {
        sight_tell(l, now);
    }
    td_loop_mail_send(l);
}

td_mono td_loop_deadline(struct td_loop *l, td_mono own)
{
    td_mono now = l->parts.now;
    if (l->stamp != l->stamp_seen) { /* something came through behind the back of the turn */
        own = now;
    }
    if (td_loop_mail_blocked(l)) {
        own = td_mono_min(own, td_mono_after(now, RETRY_MS));
    }
    if (l->untold && l->number != 0 && !l->quieting) {
        own = td_mono_min(own, td_mono_after(l->told_at, SIGHT_MS));
    }
    /* with the exchange in wake(): either it sees us asleep, or we see its parcels */
    (void)atomic_exchange_explicit(&l->all->seats[l->number].asleep, true, memory_order_acq_rel);
    bool reads = l->number != 0 || !td_loop_mail_blocked(l);
    return reads && td_loop_mail_waits(l) ? now : own;
}

/* ---- the end ---- */

static void tell_all(struct td_loop *l, enum note_kind kind)
{
    for (unsigned i = 1; i < l->all->count; i++) {
        td_loop_tell(l, i, &(struct note){.kind = (uint8_t)kind}, (td_slice){NULL, 0});
    }
}

bool td_loops_stop(struct td_loop *l, td_mono now)
{
    uint32_t others = l->all->count - 1;
    if (!l->close_said) {
        l->close_said = true;
        tell_all(l, NOTE_CLOSE);
    }
    if (l->quiet == others && !l->last_said) {
        l->last_said = true;
        tell_all(l, NOTE_LAST);
    }
    td_loop_end_turn(l, now);
    return l->gone == others;
}

void td_loop_take_close(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)n;
    (void)body;
    l->closing = true;
}

bool td_loop_closing(const struct td_loop *l)
{
    return l->closing;
}

bool td_loop_quiet(struct td_loop *l)
{
    bool first = !l->quieting;
    l->quieting = true;
    return first;
}

void td_loop_take_quiet(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)n;
    (void)body;
    l->quiet++;
}

void td_loop_take_last(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)n;
    (void)body;
    td_loop_tell(l, 0, &(struct note){.kind = NOTE_ENDED}, (td_slice){NULL, 0});
    l->ended = true;
}

void td_loop_take_ended(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)n;
    (void)body;
    l->gone++;
}

bool td_loop_ended(const struct td_loop *l)
{
    return l->ended && !td_loop_mail_blocked(l);
}

/* ---- sight ---- */

const struct td_loop_stats *td_loop_stats(const struct td_loop *l, unsigned number)
{
    return number == l->number ? &l->stats : &l->sights[number].loop;
}

const struct td_mqttd_stats *td_loop_mqttd_stats(const struct td_loop *l, unsigned number)
{
    return number == l->number ? td_mqttd_stats(l->parts.mqttd) : &l->sights[number].mqttd;
}

/* Statistics are rows of uint64_t. */
static void words_add(void *sum, const void *more, size_t bytes)
{
    td_assert(bytes % sizeof(uint64_t) == 0);
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        uint64_t a, b;
        memcpy(&a, (const uint8_t *)sum + at, sizeof a);
        memcpy(&b, (const uint8_t *)more + at, sizeof b);
        a += b;
        memcpy((uint8_t *)sum + at, &a, sizeof a);
    }
}

void td_loop_hub_sum(const struct td_loop *l, struct td_hub_stats *out)
{
    *out = *td_hub_stats(l->parts.hub);
    for (unsigned i = 1; i < l->all->count; i++) {
        words_add(out, &l->sights[i].hub, sizeof *out);
    }
}

void td_loop_mqttd_sum(const struct td_loop *l, struct td_mqttd_stats *out)
{
    *out = *td_mqttd_stats(l->parts.mqttd);
    const struct td_mqttd_stats own = *out;
    for (unsigned i = 1; i < l->all->count; i++) {
        words_add(out, &l->sights[i].mqttd, sizeof *out);
    }
    out->memory = own.memory; /* all see the same process */
    out->memory_max = own.memory_max;
    out->memory_level = own.memory_level;
}
