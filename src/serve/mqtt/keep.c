/* serve/mqtt: what the store keeps, as entries of its state map. Numbers in keys are big-endian, so
 * that key order is the order of birth.
 *
 *   SESSION       principal NUL id     -> flags, number, expiry, ends at, will
 *   SUBSCRIPTION  session, filter      -> options
 *   MESSAGE       number               -> message, routes: what each session is owed
 *   ROUTE         message, session     -> a route since: its packet id, received, gone
 *   QOS2_IN       session, packet id   -> (there or not)
 *   RETAINED      topic                -> message
 *   DELAYED       number               -> principal NUL id, when, message (delay.c)
 *
 * Moments are wall times in the store and monotonic ones in memory. The functions put into the
 * open batch; callers end it. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

enum { RESTART_WILL_MS = 30000 }; /* after a crash a will waits at least so long for its client */

enum route_state { ROUTE_SENT = 1, ROUTE_RECEIVED = 2, ROUTE_GONE = 3 };

enum { HAS_WILL = 1, WILL_RETAIN = 2 };

enum { HAS_AUTHOR = 1 << 11, HAS_COMMIT = 1 << 12 }; /* in a message's flags, above its hops */

/* ---- moments ---- */

static td_wall wall_of(const struct td_mqttd *d, td_mono at, td_mono now)
{
    if (at == TD_NEVER) {
        return 0;
    }
    td_wall wall = d->parts->sys->wall(d->parts->sys);
    return at - now > INT64_MAX - wall ? 0 : wall + (at - now);
}

static td_mono mono_of(const struct td_mqttd *d, td_wall at, td_mono now)
{
    if (at == 0) {
        return TD_NEVER;
    }
    td_wall wall = d->parts->sys->wall(d->parts->sys);
    return at <= wall ? now : now + (at - wall);
}

/* ---- building keys and values in the d->key and d->scratch buffers ---- */

static void add_u64(struct td_buf *b, uint64_t v)
{
    td_assert(td_buf_reserve(b, 8) == TD_OK);
    (void)td_put_u64(b->p + b->n, v);
    b->n += 8;
}

static void add_varint(struct td_buf *b, uint64_t v)
{
    td_assert(td_buf_add_varint(b, v) == TD_OK);
}

static void add_lump(struct td_buf *b, td_slice s)
{
    td_assert(td_buf_add_lump(b, s) == TD_OK);
}

static td_slice key_u64s(struct td_mqttd *d, uint64_t first, const uint64_t *second)
{
    td_buf_clear(&d->key);
    add_u64(&d->key, first);
    if (second != NULL) {
        add_u64(&d->key, *second);
    }
    return td_buf_slice(&d->key);
}

static td_slice key_subscription(struct session *s, td_slice filter)
{
    struct td_buf *key = &s->d->key;
    (void)key_u64s(s->d, s->number, NULL);
    td_assert(td_buf_add(key, filter) == TD_OK);
    return td_buf_slice(key);
}

static td_slice key_id(struct session *s, uint16_t packet_id)
{
    uint8_t id[2];
    (void)td_put_u16(id, packet_id);
    return key_subscription(s, (td_slice){id, sizeof id});
}

static void put(struct td_mqttd *d, uint8_t kind, td_slice key)
{
    td_stage_put(d->parts, kind, key, td_buf_slice(&d->record));
}

/* ---- messages ---- */

/* `commit`: of several loops, see serve/loop/ledger.c; 0: none. */
static void add_message(const struct td_mqttd *d, struct td_buf *b, const struct td_message *m,
                        td_wall expires, uint64_t commit)
{
    td_slice author = td_guard_name(d->parts->guard, m->author);
    bool named = author.n > 0 && !td_slice_eq(author, TD_STR(TD_GUARD_LOCAL));
    add_varint(b, (uint64_t)m->qos | (m->retain ? 4u : 0u) | (uint64_t)m->hops << 3 |
                      (named ? HAS_AUTHOR : 0u) | (commit != 0 ? HAS_COMMIT : 0u));
    if (commit != 0) {
        add_varint(b, commit);
    }
    add_varint(b, (uint64_t)expires);
    add_varint(b, (uint64_t)m->at);
    add_varint(b, m->origin);
    if (named) {
        add_lump(b, author);
    }
    add_lump(b, m->topic);
    add_lump(b, m->props);
    add_lump(b, m->payload);
}

/* A number that td_guard_author_gone() takes for gone, if there is no such principal now. */
static uint32_t author_of(const struct td_mqttd *d, td_slice name)
{
    struct td_principal *p = td_guard_principal(d->parts->guard, name);
    if (p == NULL) {
        return UINT32_MAX;
    }
    td_principal_unref(d->parts->guard, p); /* what is known stays */
    return p->number;
}

/* The slices borrow from the record. */
static td_wall read_message(const struct td_mqttd *d, struct td_cursor *c, struct td_message *out,
                            uint64_t *commit)
{
    uint64_t flags = td_cursor_varint64(c);
    *commit = (flags & HAS_COMMIT) != 0 ? td_cursor_varint64(c) : 0;
    td_wall expires = (td_wall)td_cursor_varint64(c);
    *out = (struct td_message){.qos = flags & 3, .retain = (flags & 4) != 0, .expires = TD_NEVER};
    out->hops = (uint8_t)(flags >> 3);
    out->at = (td_wall)td_cursor_varint64(c);
    out->origin = td_cursor_varint64(c);
    if ((flags & HAS_AUTHOR) != 0) {
        out->author = author_of(d, td_cursor_lump(c));
    }
    out->topic = td_cursor_lump(c);
    out->props = td_cursor_lump(c);
    out->payload = td_cursor_lump(c);
    return expires;
}

void td_mqttd_keep_message_add(const struct td_mqttd *d, struct td_buf *b,
                               const struct td_message *m, td_wall expires)
{
    add_message(d, b, m, expires, 0);
}

td_wall td_mqttd_keep_message_read(const struct td_mqttd *d, struct td_cursor *c,
                                   struct td_message *out)
{
    uint64_t commit;
    return read_message(d, c, out, &commit);
}

void td_mqttd_keep_retained(struct td_mqttd *d, const struct td_message *m)
{
    if (m->payload.n == 0) {
        td_stage_del(d->parts, TD_STATE_RETAINED, m->topic);
        return;
    }
    struct td_message kept = *m;
    kept.origin = m->owner; /* a session's number means nothing after a restart */
    td_buf_clear(&d->record);
    add_message(d, &d->record, &kept, wall_of(d, m->expires, d->now), 0);
    put(d, TD_STATE_RETAINED, m->topic);
}

void td_mqttd_retain_put(struct td_mqttd *d, const struct td_message *m)
{
    td_mqttd_keep_retained(d, m);
}

void td_mqttd_retain_forget(struct td_mqttd *d, td_slice topic)
{
    td_stage_del(d->parts, TD_STATE_RETAINED, topic);
    td_mqttd_keep_piece(d);
}

/* ---- sessions ---- */

static void add_will(struct session *s, struct td_buf *b, td_mono now)
{
    const struct td_message *m = s->will.m;
    td_wall span = m->expires == TD_NEVER ? 0 : m->expires;
    add_varint(b, s->will.delay_s);
    add_varint(b, (uint64_t)wall_of(s->d, s->will_at, now));
    add_message(s->d, b, m, span, 0);
}

void td_mqttd_keep_session(struct session *s, td_mono now)
{
    struct td_buf *b = &s->d->record;
    td_buf_clear(b);
    add_varint(b, s->will.m != NULL ? HAS_WILL : 0);
    add_varint(b, s->number);
    add_varint(b, s->expiry_s);
    add_varint(b, (uint64_t)wall_of(s->d, s->ends_at, now));
    if (s->will.m != NULL) {
        add_will(s, b, now);
    }
    put(s->d, TD_STATE_SESSION, session_key(s));
    s->recorded = true;
}

void td_mqttd_keep_session_gone(struct session *s)
{
    struct td_parts *parts = s->d->parts;
    if (!s->recorded) {
        return;
    }
    s->recorded = false;
    td_stage_del(parts, TD_STATE_SESSION, session_key(s));
    for (const struct td_subscription *sub = s->sub.first; sub != NULL; sub = sub->next) {
        td_stage_del(parts, TD_STATE_SUBSCRIPTION, key_subscription(s, sub->filter));
    }
    uint32_t at = 0;
    for (uint16_t id; (id = td_mqtt_ids_next(&s->ids, &at)) != 0;) {
        td_mqttd_keep_id_gone(s, id);
    }
}

void td_mqttd_keep_subscription(struct session *s, td_slice filter,
                                const struct td_subscribe_options *options)
{
    struct td_buf *b = &s->d->record;
    td_buf_clear(b);
    add_varint(b, (uint64_t)options->qos | (options->no_local ? 4u : 0u) |
                      (options->retain_as_published ? 8u : 0u) |
                      (uint64_t)options->retain_handling << 4);
    add_varint(b, options->id);
    put(s->d, TD_STATE_SUBSCRIPTION, key_subscription(s, filter));
}

void td_mqttd_keep_subscription_gone(struct session *s, td_slice filter)
{
    td_stage_del(s->d->parts, TD_STATE_SUBSCRIPTION, key_subscription(s, filter));
}

void td_mqttd_keep_id(struct session *s, uint16_t packet_id)
{
    td_buf_clear(&s->d->record);
    put(s->d, TD_STATE_QOS2_IN, key_id(s, packet_id));
}

void td_mqttd_keep_id_gone(struct session *s, uint16_t packet_id)
{
    td_stage_del(s->d->parts, TD_STATE_QOS2_IN, key_id(s, packet_id));
}

/* ---- what sessions are owed ---- */

/* A session may stand twice among the routes of one message: by its own subscriptions and as a
 * member of a shared group. The second gets its own message. */
static bool routed_before(struct session **sessions, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (sessions[i] == sessions[at]) {
            return true;
        }
    }
    return false;
}

static void add_route(struct td_buf *b, const struct session *s, const struct entry *e)
{
    add_varint(b, s->number);
    add_varint(b, (uint64_t)e->qos | (e->retain ? 4u : 0u) | (e->group != 0 ? 8u : 0u));
    add_varint(b, e->qos == 2 ? e->packet_id : 0);
    add_varint(b, e->id_count);
    for (uint16_t i = 0; i < e->id_count; i++) {
        add_varint(b, e->ids[i]);
    }
    if (e->group != 0) {
        add_varint(b, e->group);
    }
}

bool td_mqttd_kept_drop(struct kept *k)
{
    if (k->apart) { /* each loop's part of it is behind this; the last one sees all of them */
        return atomic_fetch_sub_explicit(&k->routes_left, 1, memory_order_acq_rel) == 1;
    }
    uint32_t left = atomic_load_explicit(&k->routes_left, memory_order_relaxed) - 1;
    atomic_store_explicit(&k->routes_left, left, memory_order_relaxed);
    return left == 0;
}

static struct kept *kept_new(uint64_t number, size_t routes)
{
    struct kept *k = td_alloc(sizeof *k + routes * sizeof k->routes[0]);
    k->number = number;
    k->route_count = (uint32_t)routes;
    atomic_init(&k->routes_left, (uint32_t)routes);
    return k;
}

/* One MESSAGE entry for the chosen routes; gives how many it took. */
static void keep_group(struct td_mqttd *d, const struct td_message *m, struct entry **entries,
                       struct session **sessions, size_t count, bool again)
{
    size_t routes = 0;
    for (size_t i = 0; i < count; i++) {
        routes += entry_durable(entries[i], sessions[i]) && routed_before(sessions, i) == again;
    }
    if (routes == 0) {
        return;
    }
    d->next_message += d->stride;
    struct kept *k = kept_new(d->next_message, routes);
    uint32_t at = 0;
    td_buf_clear(&d->record);
    add_message(d, &d->record, m, wall_of(d, m->expires, d->now), td_stage_commit(d->parts));
    add_varint(&d->record, routes);
    for (size_t i = 0; i < count; i++) {
        if (entry_durable(entries[i], sessions[i]) && routed_before(sessions, i) == again) {
            k->routes[at].session = sessions[i]->number;
            entries[i]->kept = k;
            entries[i]->route = at++;
            add_route(&d->record, sessions[i], entries[i]);
        }
    }
    put(d, TD_STATE_MESSAGE, key_u64s(d, k->number, NULL));
}

void td_mqttd_keep_message(struct td_mqttd *d, const struct td_message *m, struct entry **entries,
                           struct session **sessions, size_t count)
{
    keep_group(d, m, entries, sessions, count, false);
    keep_group(d, m, entries, sessions, count, true);
}

static void put_route(struct session *s, const struct entry *e, enum route_state state)
{
    struct td_buf *b = &s->d->record;
    td_buf_clear(b);
    add_varint(b, state);
    add_varint(b, e->packet_id);
    e->kept->routes[e->route].row = true;
    put(s->d, TD_STATE_ROUTE, key_u64s(s->d, e->kept->number, &s->number));
}

void td_mqttd_keep_route(struct session *s, const struct entry *e, bool received)
{
    put_route(s, e, received ? ROUTE_RECEIVED : ROUTE_SENT);
}

void td_mqttd_keep_route_gone(struct session *s, struct entry *e)
{
    struct kept *k = e->kept;
    struct td_parts *parts = s->d->parts;
    if (k->apart || atomic_load_explicit(&k->routes_left, memory_order_relaxed) >
                        1) { /* it may be another loop's in a moment */
        put_route(s, e, ROUTE_GONE);
    }
    e->kept = NULL;
    if (!td_mqttd_kept_drop(k)) {
        return;
    }
    td_stage_del(parts, TD_STATE_MESSAGE, key_u64s(s->d, k->number, NULL));
    for (uint32_t i = 0; i < k->route_count; i++) {
        if (k->routes[i].row) {
            td_stage_del(parts, TD_STATE_ROUTE, key_u64s(s->d, k->number, &k->routes[i].session));
        }
    }
    free(k);
}

void td_mqttd_keep_piece(struct td_mqttd *d)
{
    if (td_stage_bytes(d->parts) > td_stage_max(d->parts) / 8) {
        (void)td_stage_end(d->parts, TD_STORE_1S);
    }
}

/* ---- start ---- */

struct restore {
    struct td_mqttd *d;
    td_mono now;
    struct td_map by_number; /* sessions; keys are numbers inside of them */
    struct td_map routes;    /* struct route_row by (message, session) */
    uint64_t damaged;        /* entries that could not be read */
    uint64_t last_session, last_message, last_delayed; /* numbers */
    uint64_t commit;       /* the last one of several loops that the store has */
    struct td_buf orphans; /* whose session or message is gone: kind and key, to be deleted */
    struct session *ghost; /* has what shared groups had given to sessions that are no more */
};

struct route_row {
    uint8_t key[16];
    uint8_t state;
    uint16_t packet_id;
    bool used;
};

static struct session *by_number(const struct restore *r, uint64_t number)
{
    return td_map_find(&r->by_number, (td_slice){(const uint8_t *)&number, sizeof number});
}

static void orphan(struct restore *r, uint8_t kind, td_slice key)
{
    td_assert(td_buf_add_u8(&r->orphans, kind) == TD_OK);
    add_lump(&r->orphans, key);
}

/* The store gives all rows before it takes the first change. */
static void orphans_delete(struct restore *r)
{
    struct td_cursor c = td_cursor_of(td_buf_slice(&r->orphans));
    while (td_cursor_left(&c) > 0) {
        uint8_t kind = td_cursor_u8(&c);
        td_stage_del(r->d->parts, kind, td_cursor_lump(&c));
        td_mqttd_keep_piece(r->d);
    }
    (void)td_stage_end(r->d->parts, TD_STORE_1S);
    td_buf_fini(&r->orphans);
}

/* Sessions whose rows had keys of the older form get one of today's. */
static void sessions_rename(const struct restore *r, struct td_mqttd *d)
{
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.entries[i].value;
        if (!s->recorded) {
            td_mqttd_keep_session(s, r->now);
            td_mqttd_keep_piece(d);
        }
    }
    (void)td_stage_end(d->parts, TD_STORE_1S);
}

static void will_restore(struct restore *r, struct session *s, struct td_cursor *c)
{
    uint32_t delay_s = (uint32_t)td_cursor_varint64(c);
    td_wall at = (td_wall)td_cursor_varint64(c);
    struct td_message m;
    uint64_t commit;
    td_wall span = read_message(s->d, c, &m, &commit);
    if (c->err != TD_OK || !td_topic_valid(m.topic)) {
        td_cursor_fail(c, TD_ECORRUPT);
        return;
    }
    m.expires = span == 0 ? TD_NEVER : span;
    s->will.delay_s = delay_s;
    s->will.m = td_message_ref(&m);
    td_message_done(&m);
    td_mono least = td_mono_after(r->now, RESTART_WILL_MS);
    td_mono due =
        at == 0 ? td_mono_after(r->now, (td_ms)delay_s * 1000) : mono_of(r->d, at, r->now);
    s->will_at = due > least ? due : least;
}

/* The loop where the session of a client id lives. */
static struct td_mqttd *home_of(const struct restore *r, td_slice client_id)
{
    const struct td_loop *l = r->d->parts->loop;
    return l == NULL ? r->d : td_loop_mqttd(l, td_loop_of(l, client_id));
}

static void session_row(void *ctx, td_slice key, td_slice value)
{
    struct restore *r = ctx;
    struct td_cursor c = td_cursor_of(value);
    uint64_t flags = td_cursor_varint64(&c);
    uint64_t number = td_cursor_varint64(&c);
    uint32_t expiry_s = (uint32_t)td_cursor_varint64(&c);
    td_wall ends = (td_wall)td_cursor_varint64(&c);
    size_t principal_n = td_slice_find(key, '\0');
    bool before = principal_n == key.n; /* of a hub that knew no principals: client id alone */
    if (before) {
        orphan(r, TD_STATE_SESSION, key);
        key = td_mqttd_session_key(r->d, TD_STR(TD_GUARD_LOCAL), key);
        principal_n = strlen(TD_GUARD_LOCAL);
    }
    struct td_mqttd *d = home_of(r, td_slice_skip(key, td_slice_find(key, '\0') + 1));
    if (td_mqttd_session_find(d, key) != NULL) { /* a crash came between the two forms */
        return;
    }
    struct td_principal *who = td_guard_principal(d->parts->guard, td_slice_head(key, principal_n));
    if (who == NULL) { /* taken from the users file since */
        orphan(r, TD_STATE_SESSION, key);
        r->d->stats.sessions_revoked++;
        return;
    }
    struct session *s = c.err == TD_OK && principal_n <= UINT8_MAX && key.n <= TD_STORE_KEY_MAX
                            ? td_mqttd_session_new(d, key, who)
                            : NULL;
    if (s == NULL) {
        td_principal_unref(d->parts->guard, who);
        r->damaged++;
        return;
    }
    td_mqttd_session_number_set(s, number);
    r->last_session = number > r->last_session ? number : r->last_session;
    td_mqttd_session_expiry_set(s, expiry_s);
    s->recorded = !before;
    if ((flags & HAS_WILL) != 0) {
        will_restore(r, s, &c);
        r->damaged += c.err != TD_OK;
    }
    s->ends_at = ends != 0                ? mono_of(r->d, ends, r->now)
                 : expiry_s == UINT32_MAX ? TD_NEVER
                                          : td_mono_after(r->now, (td_ms)expiry_s * 1000);
    if (expiry_s == 0) { /* it lives for its will only */
        s->ends_at = s->will_at == TD_NEVER ? r->now : s->will_at;
    }
    td_mqttd_session_timer_set(s);
    td_slice by = {(const uint8_t *)&s->number, sizeof s->number};
    (void)td_map_put(&r->by_number, by, s);
}

static void subscription_row(void *ctx, td_slice key, td_slice value)
{
    struct restore *r = ctx;
    struct td_cursor k = td_cursor_of(key), c = td_cursor_of(value);
    struct session *s = by_number(r, td_cursor_u64(&k));
    uint64_t flags = td_cursor_varint64(&c);
    struct td_subscribe_options options = {.id = (uint32_t)td_cursor_varint64(&c),
                                           .qos = flags & 3,
                                           .no_local = (flags & 4) != 0,
                                           .retain_as_published = (flags & 8) != 0,
                                           .retain_handling = (uint8_t)(flags >> 4 & 3)};
    bool existed;
    if (s == NULL) {
        orphan(r, TD_STATE_SUBSCRIPTION, key);
    } else if (k.err != TD_OK || c.err != TD_OK ||
               td_mqttd_session_subscribe(s, td_slice_skip(key, 8), &options, &existed) != TD_OK) {
        r->damaged++;
    }
}

static void id_row(void *ctx, td_slice key, td_slice value)
{
    (void)value;
    struct restore *r = ctx;
    struct td_cursor k = td_cursor_of(key);
    struct session *s = by_number(r, td_cursor_u64(&k));
    uint16_t id = td_cursor_u16(&k);
    if (s == NULL || k.err != TD_OK || id == 0) {
        orphan(r, TD_STATE_QOS2_IN, key);
        return;
    }
    td_mqttd_session_ids_lend(s);
    (void)td_mqtt_ids_add(&s->ids, id); /* there already: as good */
}

static void route_row(void *ctx, td_slice key, td_slice value)
{
    struct restore *r = ctx;
    struct td_cursor c = td_cursor_of(value);
    struct route_row *row = td_alloc(sizeof *row);
    row->state = (uint8_t)td_cursor_varint64(&c);
    row->packet_id = (uint16_t)td_cursor_varint64(&c);
    if (c.err != TD_OK || key.n != sizeof row->key) {
        r->damaged++;
        free(row);
        return;
    }
    (void)td_put_bytes(row->key, key);
    free(td_map_put(&r->routes, (td_slice){row->key, sizeof row->key}, row));
}

/* What became of a route; NULL: nothing since the message was stored. */
static struct route_row *route_of(const struct restore *r, uint64_t message, uint64_t session)
{
    uint8_t key[16];
    (void)td_put_u64(td_put_u64(key, message), session);
    return td_map_find(&r->routes, (td_slice){key, sizeof key});
}

enum { IDS_MAX = 1024 }; /* subscription identifiers of one delivery */

/* Reads one route and makes its entry, unless it has come to its end. `home`: where the last one
 * went; loops may have been more or fewer when the message was stored. `author`: as loop 0 knows
 * it. */
static void route_restore(struct restore *r, struct td_cursor *c, struct kept *k, uint32_t at,
                          struct td_message *m, const struct td_mqttd **home, uint32_t author)
{
    uint32_t ids[IDS_MAX];
    uint64_t number = td_cursor_varint64(c);
    uint64_t flags = td_cursor_varint64(c);
    uint16_t packet_id = (uint16_t)td_cursor_varint64(c);
    uint64_t id_count = td_cursor_varint64(c);
    td_cursor_in(c, id_count, 0, IDS_MAX, TD_ECORRUPT);
    for (uint64_t i = 0; i < id_count && c->err == TD_OK; i++) {
        ids[i] = (uint32_t)td_cursor_varint64(c);
    }
    uint32_t group = (flags & 8) != 0 ? (uint32_t)td_cursor_varint64(c) : 0;
    struct session *s = by_number(r, number);
    struct route_row *row = route_of(r, k->number, number);
    k->routes[at] = (struct route){number, row != NULL};
    if (row != NULL) {
        row->used = true;
    }
    packet_id = row != NULL ? row->packet_id : packet_id;
    bool begun = (flags & 3) == 2 && packet_id != 0; /* MQTT-4.8.2-5: goes to nobody else */
    bool stray = s == NULL && group != 0 && !begun;
    if (c->err != TD_OK || (s == NULL && !stray) || (row != NULL && row->state == ROUTE_GONE)) {
        k->routes_left--;
        return;
    }
    if (stray) {
        s = r->ghost;
    }
    if (*home != s->d) { /* each loop has its own copy, and its own numbers of authors */
        k->apart |= *home != NULL;
        td_message_done(m);
        m->author = author == 0 ? 0 : author_of(s->d, td_guard_name(r->d->parts->guard, author));
        *home = s->d;
    }
    struct td_delivery d = {
        .ids = ids, .id_count = (uint16_t)id_count, .group = group, .group_durable = group != 0};
    struct entry *e = td_mqttd_entry_new(s, m, &d, flags & 3, (flags & 4) != 0);
    e->kept = k;
    e->route = at;
    if (stray) {
        td_mqttd_waiting_add(r->ghost, e);
        return;
    }
    e->packet_id = packet_id;
    e->sent = e->qos != 2 || packet_id != 0; /* it may have been; QoS 2 only with a kept id */
    td_mqttd_session_restore(s, e, row != NULL && row->state == ROUTE_RECEIVED);
}

/* What members that ended with the crash had: to others of their groups. */
static void strays_give(struct restore *r)
{
    struct session *ghost = r->ghost;
    if (r->d->parts->loop != NULL) {
        td_loop_settle(r->d->parts->loop); /* members on other loops make themselves known */
    }
    while (ghost->waiting.first != NULL) {
        struct entry *e = td_mqttd_waiting_take(ghost);
        ghost->number = e->kept->routes[e->route].session; /* whose it was */
        if (!td_mqttd_shared_hand_over(ghost, e, UINT32_MAX)) {
            r->d->stats.dropped_session_end++;
            td_mqttd_entry_end(ghost, e);
            td_mqttd_keep_piece(r->d);
        }
    }
    (void)td_stage_end(r->d->parts, TD_STORE_1S);
    free(ghost);
}

static void message_row(void *ctx, td_slice key, td_slice value)
{
    struct restore *r = ctx;
    struct td_cursor k = td_cursor_of(key), c = td_cursor_of(value);
    struct td_message m;
    uint64_t number = td_cursor_u64(&k);
    uint64_t commit;
    const struct td_mqttd *home = NULL;
    td_wall expires = read_message(r->d, &c, &m, &commit);
    uint64_t routes = td_cursor_varint64(&c);
    td_cursor_in(&c, routes, 1, value.n, TD_ECORRUPT);
    r->last_message = number > r->last_message ? number : r->last_message;
    if (k.err != TD_OK || c.err != TD_OK || !td_topic_valid(m.topic)) {
        r->damaged++;
        return;
    }
    if (commit > r->commit) { /* a part of what never came about; its sender says it again */
        orphan(r, TD_STATE_MESSAGE, key);
        return;
    }
    if (td_guard_author_gone(r->d->parts->guard, m.author)) {
        orphan(r, TD_STATE_MESSAGE, key);
        r->d->stats.dropped_revoked++;
        return;
    }
    m.expires = mono_of(r->d, expires, r->now);
    uint32_t author = m.author;
    struct kept *kept = kept_new(number, (size_t)routes);
    for (uint32_t i = 0; i < routes; i++) {
        route_restore(r, &c, kept, i, &m, &home, author);
    }
    td_message_done(&m);
    if (kept->routes_left == 0) {
        orphan(r, TD_STATE_MESSAGE, key);
        free(kept);
    }
}

static void retained_row(void *ctx, td_slice key, td_slice value)
{
    struct restore *r = ctx;
    struct td_cursor c = td_cursor_of(value);
    struct td_message m;
    uint64_t commit;
    td_wall expires = read_message(r->d, &c, &m, &commit);
    if (c.err != TD_OK || !td_topic_valid(m.topic)) {
        r->damaged++;
        return;
    }
    m.expires = mono_of(r->d, expires, r->now);
    m.retain = true;
    m.owner = m.origin;
    m.origin = 0;
    bool revoked = td_guard_author_gone(r->d->parts->guard, m.author);
    r->d->stats.retained_revoked += revoked;
    if (revoked || m.expires <= r->now || td_hub_retain(r->d->parts->hub, &m) != TD_OK) {
        orphan(r, TD_STATE_RETAINED, key);
    }
    td_message_done(&m);
}

static void delayed_row(void *ctx, td_slice key, td_slice value)
{
    struct restore *r = ctx;
    struct td_cursor k = td_cursor_of(key), c = td_cursor_of(value);
    uint64_t number = td_cursor_u64(&k);
    td_slice who = td_cursor_lump(&c); /* principal NUL client id */
    struct td_mqttd *d = home_of(r, td_slice_skip(who, td_slice_find(who, '\0') + 1));
    r->last_delayed = number > r->last_delayed ? number : r->last_delayed;
    r->damaged += k.err != TD_OK || td_mqttd_delay_restore(d, number, value, r->now) != TD_OK;
}

/* Rows of routes whose message is gone. */
static void routes_clean(struct restore *r)
{
    for (size_t i = 0; i < r->routes.count; i++) {
        struct route_row *row = r->routes.entries[i].value;
        if (!row->used) {
            orphan(r, TD_STATE_ROUTE, r->routes.entries[i].key);
        }
        free(row);
    }
}

/* Late acknowledgements for QoS 1 ids given before the crash, which are not stored, must hit
 * nothing: ids go on anywhere else. */
static void windows_move(struct td_mqttd *d)
{
    struct td_sys *sys = d->parts->sys;
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.entries[i].value;
        sys->random(sys, &s->window.last_id, sizeof s->window.last_id);
    }
}

static void setting_row(void *ctx, td_slice key, td_slice value)
{
    struct restore *r = ctx;
    struct td_cursor c = td_cursor_of(value);
    if (td_slice_eq(key, TD_STR(TD_LOOP_COMMIT_KEY))) {
        r->commit = td_cursor_u64(&c);
    }
}

/* Numbers go on behind all that were given, each loop's own, so that none is given twice. */
static void loop_ready(const struct restore *r, struct td_mqttd *d, unsigned number)
{
    d->next_session = r->last_session - r->last_session % d->stride + number;
    d->next_session += d->next_session < r->last_session ? d->stride : 0;
    d->next_message = r->last_message - r->last_message % d->stride + number;
    d->next_message += d->next_message < r->last_message ? d->stride : 0;
    d->next_delayed = r->last_delayed - r->last_delayed % d->stride + number;
    d->next_delayed += d->next_delayed < r->last_delayed ? d->stride : 0;
    sessions_rename(r, d);
    td_mqttd_rights_restored(d);
    windows_move(d);
}

static void loops_ready(const struct restore *r)
{
    struct td_loop *l = r->d->parts->loop;
    loop_ready(r, r->d, 0);
    for (unsigned i = 1; l != NULL && i < td_loop_count(l); i++) {
        loop_ready(r, td_loop_mqttd(l, i), i);
    }
    if (l != NULL) {
        td_loop_commit_set(l, r->commit);
    }
}

enum td_err td_mqttd_keep_restore(struct td_mqttd *d, td_mono now, struct td_buf *why)
{
    static const struct {
        uint8_t kind;
        void (*row)(void *ctx, td_slice key, td_slice value);
    } kinds[] = {
        {TD_STATE_SETTING, setting_row},
        {TD_STATE_SESSION, session_row},
        {TD_STATE_SUBSCRIPTION, subscription_row},
        {TD_STATE_QOS2_IN, id_row},
        {TD_STATE_ROUTE, route_row},
        {TD_STATE_MESSAGE, message_row},
        {TD_STATE_RETAINED, retained_row},
        {TD_STATE_DELAYED, delayed_row},
    };
    uint64_t seed;
    struct restore r = {.d = d, .now = now};
    d->parts->sys->random(d->parts->sys, &seed, sizeof seed);
    td_map_init(&r.by_number, seed);
    td_map_init(&r.routes, seed);
    td_buf_init(&r.orphans, SIZE_MAX);
    r.ghost = td_mqttd_session_ghost(d);
    enum td_err err = TD_OK;
    for (size_t i = 0; i < TD_COUNT(kinds) && err == TD_OK; i++) {
        err = td_store_state_each(d->parts->store, kinds[i].kind, kinds[i].row, &r);
    }
    routes_clean(&r);
    loops_ready(&r);
    orphans_delete(&r);
    strays_give(&r);
    td_map_fini(&r.by_number);
    td_map_fini(&r.routes);
    if (err != TD_OK) {
        (void)td_buf_printf(
            why, "the stored sessions and messages cannot be read: %s; run tandem doctor",
            td_err_text(err));
    } else if (r.damaged > 0) {
        td_log("mqtt", TD_LOG_WARN, "state_damaged", "entries=%llu", (unsigned long long)r.damaged);
    }
    return err;
}
