/* serve/loop: messages, interest, retained messages and shared groups between loops.
 *
 * Order: MQTT wants it by topic and QoS from one client. QoS 0 goes straight from its loop to each
 * other, QoS 1 and 2 by loop 0; each way is a row of rings, and rings keep order.
 *
 * Retained messages stand in loop 0's tree. A session of another loop asks for them; meanwhile its
 * loop notes what was retained at QoS 0 and came straight, as the copy in the answer may be older.
 * What was retained at QoS 1 or 2 came by loop 0, as the answer does.
 *
 * A shared group stands in loop 0's tree too, with a member there for each session elsewhere. */
#include <stdlib.h>

#include "guard/guard.h"
#include "serve/audit.h"
#include "serve/decide.h"
#include "serve/loop/inner.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"

enum { LIVE_MAX = 10000 }; /* topics; beyond, an older copy may come behind a newer one */

/* ---- messages as bytes ---- */

/* Each loop has numbers of its own for principals, so names travel; mostly it is the same one. */
static td_slice author_name(struct td_loop *l, uint32_t number)
{
    struct author *a = &l->author_out;
    uint32_t generation = td_guard_generation(l->parts.guard);
    if (a->number != number || a->generation != generation) {
        td_slice name = td_slice_head(td_guard_name(l->parts.guard, number), sizeof a->name);
        name = number != 0 && name.n == 0 ? TD_STR("#") : name; /* gone: nobody's name */
        *a = (struct author){.number = number, .generation = generation, .n = (uint8_t)name.n};
        (void)td_put_bytes(a->name, name);
    }
    return (td_slice){a->name, a->n};
}

/* A number that td_guard_author_gone() takes for gone, if there is no such principal here. */
static uint32_t author_number(struct td_loop *l, td_slice name)
{
    struct author *a = &l->author_in;
    uint32_t generation = td_guard_generation(l->parts.guard);
    if (name.n == 0) {
        return 0;
    }
    if (a->generation != generation || !td_slice_eq(name, (td_slice){a->name, a->n})) {
        struct td_principal *p = td_guard_principal(l->parts.guard, name);
        *a = (struct author){.number = p == NULL ? UINT32_MAX : p->number,
                             .generation = generation,
                             .n = (uint8_t)name.n};
        (void)td_put_bytes(a->name, name);
        if (p != NULL) {
            td_principal_unref(l->parts.guard, p); /* what is known stays */
        }
    }
    return a->number;
}

static size_t said_bytes(struct td_loop *l, const struct td_message *m)
{
    return sizeof(struct said) + author_name(l, m->author).n + m->topic.n + m->props.n +
           m->payload.n;
}

static uint8_t *said_put(struct td_loop *l, uint8_t *at, const struct td_message *m)
{
    td_slice author = author_name(l, m->author);
    struct said s = {.expires = m->expires,
                     .at = m->at,
                     .origin = m->origin,
                     .owner = m->owner,
                     .topic_n = (uint32_t)m->topic.n,
                     .props_n = (uint32_t)m->props.n,
                     .payload_n = (uint32_t)m->payload.n,
                     .qos = m->qos,
                     .hops = m->hops,
                     .retain = m->retain,
                     .author_n = (uint8_t)author.n};
    at = td_put_bytes(at, (td_slice){(const uint8_t *)&s, sizeof s});
    at = td_put_bytes(at, author);
    at = td_put_bytes(at, m->topic);
    at = td_put_bytes(at, m->props);
    return td_put_bytes(at, m->payload);
}

/* The message borrows from `body`; gives what stands behind it. */
static td_slice said_read(struct td_loop *l, td_slice body, struct td_message *out)
{
    struct said s;
    memcpy(&s, body.p, sizeof s);
    td_slice rest = td_slice_skip(body, sizeof s);
    *out = (struct td_message){.expires = s.expires,
                               .at = s.at,
                               .origin = s.origin,
                               .owner = s.owner,
                               .qos = s.qos,
                               .hops = s.hops,
                               .retain = s.retain != 0};
    out->author = author_number(l, td_slice_head(rest, s.author_n));
    rest = td_slice_skip(rest, s.author_n);
    out->topic = td_slice_head(rest, s.topic_n);
    rest = td_slice_skip(rest, s.topic_n);
    out->props = td_slice_head(rest, s.props_n);
    rest = td_slice_skip(rest, s.props_n);
    out->payload = td_slice_head(rest, s.payload_n);
    return td_slice_skip(rest, s.payload_n);
}

/* ---- handing over ---- */

static void hand(struct td_loop *l, unsigned to, const struct td_message *m,
                 const struct target *target)
{
    struct passing *p = &l->passing;
    if (p->waits && p->ticket == 0) {
        p->ticket = ++l->peer_ticket;
    }
    if (p->together && p->commit == 0) {
        p->commit = ++l->ledger->commit;
    }
    p->parts++;
    size_t n = said_bytes(l, m) + (target == NULL ? 0 : sizeof *target);
    const struct note head = {.bytes = (uint32_t)n,
                              .kind = target == NULL ? NOTE_HAND : NOTE_TARGET,
                              .x = p->ticket,
                              .y = p->commit};
    uint8_t *at = td_loop_note(l, to, &head);
    if (target != NULL) {
        at = td_put_bytes(at, (td_slice){(const uint8_t *)target, sizeof *target});
    }
    (void)said_put(l, at, m);
    if (p->ticket != 0) {
        td_loop_handed(l, to, p->ticket);
    }
    l->stats.handed++;
}

static void hand_all(struct td_loop *l, uint32_t loops, const struct td_message *m)
{
    for (unsigned i = 0; loops != 0; i++, loops >>= 1) {
        if ((loops & 1) != 0) {
            hand(l, i, m, NULL);
        }
    }
}

/* ---- retained at QoS 0, while somebody waits for retained messages ---- */

struct live {
    size_t n;
    uint8_t topic[];
};

static void live_note(struct td_loop *l, const struct td_message *m)
{
    if (l->asked == 0 || !m->retain || l->live.count >= LIVE_MAX ||
        td_map_find(&l->live, m->topic) != NULL) {
        return;
    }
    struct live *t = td_alloc(sizeof *t + m->topic.n);
    t->n = m->topic.n;
    (void)td_put_bytes(t->topic, m->topic);
    (void)td_map_put(&l->live, (td_slice){t->topic, t->n}, t);
}

void td_loop_live_clear(struct td_loop *l)
{
    while (l->live.count > 0) {
        struct live *t = l->live.entries[l->live.count - 1].value;
        (void)td_map_remove(&l->live, (td_slice){t->topic, t->n});
        free(t);
    }
}

/* ---- publishing ---- */

/* Loop 0 keeps what is retained and records what has values. */
static bool loop_0_needs(struct td_loop *l, const struct td_message *m)
{
    if (m->retain) {
        return true;
    }
    if (m->topic.p[0] == '$') {
        return false;
    }
    bool has = td_leaves_read(&l->leaves, m->payload) == TD_LEAVES_GOOD;
    l->stats.unrecorded += !has;
    return has;
}

/* QoS 0 on another loop than 0. */
static void publish_straight(struct td_loop *l, struct td_message *m)
{
    (void)td_loop_end(l, TD_STORE_1S); /* a will's session, perhaps */
    uint32_t loops = td_hub_pass(l->parts.hub, m)->loops;
    if ((loops & 1) == 0 && loop_0_needs(l, m)) {
        loops |= 1;
    }
    l->passing = (struct passing){0};
    hand_all(l, loops, m);
    live_note(l, m);
}

/* QoS 1 and 2 on another loop than 0: the open batch goes along. */
static uint64_t publish_by_0(struct td_loop *l, const struct td_message *m)
{
    uint64_t ticket = ++l->peer_ticket;
    const struct note head = {
        .bytes = (uint32_t)(said_bytes(l, m) + l->changes.n), .kind = NOTE_PUBLISH, .x = ticket};
    uint8_t *at = said_put(l, td_loop_note(l, 0, &head), m);
    (void)td_put_bytes(at, td_buf_slice(&l->changes));
    td_buf_clear(&l->changes);
    td_loop_handed(l, 0, ticket);
    l->stats.handed++;
    td_mqttd_reached_elsewhere(l->parts.mqttd);
    return td_loop_peer_lsn(ticket);
}

static void retain(struct td_loop *l, struct td_message *m)
{
    if (m->retain && td_hub_retain(l->parts.hub, m) == TD_OK &&
        !td_slice_starts(m->topic, TD_STR("$SYS/"))) {
        td_mqttd_retain_put(l->parts.mqttd, m);
    }
}

static void commit_put(struct td_loop *l, uint64_t number)
{
    uint8_t value[8];
    (void)td_put_u64(value, number);
    td_loop_put(l, TD_STATE_SETTING, TD_STR(TD_LOOP_COMMIT_KEY), (td_slice){value, sizeof value});
}

/* Ends the batch of what was passed on, with the others' parts if they must be one. */
static uint64_t passing_end(struct td_loop *l, enum td_store_class c)
{
    const struct passing *p = &l->passing;
    if (p->commit == 0) {
        return td_loop_end(l, c);
    }
    commit_put(l, p->commit);
    return td_loop_end_commit(l, c, p->commit, p->parts);
}

void td_loop_join(struct td_loop *l)
{
    l->passing = (struct passing){.together = true};
}

uint64_t td_loop_joined(struct td_loop *l)
{
    return passing_end(l, TD_STORE_NOW);
}

/* The batch behind a message, on loop 0. */
static uint64_t batch_end(struct td_loop *l, const struct td_message *m)
{
    struct td_parts *p = &l->parts;
    bool routed = td_mqttd_route(p->mqttd, m);
    bool urgent = td_decide_staged(p->decide) || routed || m->qos > 0;
    uint64_t lsn = passing_end(l, urgent ? TD_STORE_NOW : TD_STORE_1S);
    td_mqttd_routed(p->mqttd, lsn);
    td_decide_routed(p->decide, lsn);
    uint64_t row = td_record_take_lsn(p->record);
    return row != 0 && m->qos > 0 ? td_loop_row(l, row) : lsn;
}

/* On loop 0; `pass`: nobody has passed it on to other loops. */
static uint64_t publish_here(struct td_loop *l, struct td_message *m, bool pass)
{
    l->passing = (struct passing){.waits = m->qos > 0, .together = m->qos > 0 && l->changes.n > 0};
    retain(l, m);
    if (pass) {
        hand_all(l, td_hub_pass(l->parts.hub, m)->loops, m);
    } else {
        td_hub_deliver(l->parts.hub, td_hub_match(l->parts.hub, m->topic), m);
    }
    uint64_t lsn = batch_end(l, m);
    uint64_t peers = l->passing.ticket;
    return td_loop_both(l, lsn, peers == 0 ? 0 : td_loop_peer_lsn(peers));
}

uint64_t td_loop_publish(struct td_loop *l, struct td_message *m)
{
    if (l->number == 0) {
        return publish_here(l, m, true);
    }
    if (m->qos > 0) {
        return publish_by_0(l, m);
    }
    publish_straight(l, m);
    return 0;
}

void td_loop_take_publish(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    struct td_message m;
    td_slice changes = said_read(l, body, &m);
    td_assert(td_buf_add(&l->changes, changes) == TD_OK);
    td_loop_owe(l, from, n->x, publish_here(l, &m, true));
    td_message_done(&m);
}

/* ---- taking over ---- */

/* Behind the delivery of a message that came with a note. */
static void taken(struct td_loop *l, unsigned from, const struct note *n,
                  const struct td_message *m)
{
    struct td_mqttd *d = l->parts.mqttd;
    l->commit = n->y;
    td_loop_part(l); /* what went to make room is no part */
    bool routed = td_mqttd_route(d, m);
    uint64_t lsn =
        n->y != 0 ? td_loop_end_part(l) : td_loop_end(l, routed ? TD_STORE_NOW : TD_STORE_1S);
    l->commit = 0;
    td_mqttd_routed(d, lsn);
    if (n->x != 0) {
        td_loop_owe(l, from, n->x, lsn);
    }
}

void td_loop_take_hand(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    struct td_message m;
    (void)said_read(l, body, &m);
    if (l->number == 0) { /* QoS 0 */
        (void)publish_here(l, &m, false);
    } else {
        td_hub_deliver(l->parts.hub, td_hub_match(l->parts.hub, m.topic), &m);
        taken(l, from, n, &m);
        if (from != 0) {
            live_note(l, &m);
        }
    }
    td_message_done(&m);
}

void td_loop_take_target(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    struct target t;
    struct td_message m;
    memcpy(&t, body.p, sizeof t);
    (void)said_read(l, td_slice_skip(body, sizeof t), &m);
    const struct td_delivery d = {.ids = &t.id,
                                  .id_count = t.id != 0,
                                  .qos = t.qos,
                                  .retain_as_published = t.as_published != 0,
                                  .group = t.group,
                                  .group_durable = t.lasting != 0};
    td_mqttd_hear(l->parts.mqttd, t.session, &m, &d);
    taken(l, from, n, &m);
    td_message_done(&m);
}

/* ---- interest ---- */

void td_loop_interest_changed(void *ctx, td_slice filter, bool on)
{
    struct td_loop *l = ctx;
    uint64_t ticket = on ? ++l->peer_ticket : 0; /* nobody waits for the end of it */
    l->interest_ticket = on ? ticket : l->interest_ticket;
    for (unsigned i = 0; i < l->all->count; i++) {
        if (i != l->number) {
            td_loop_tell(l, i, &(struct note){.kind = NOTE_INTEREST, .a = on, .x = ticket}, filter);
            if (on) {
                td_loop_handed(l, i, ticket);
            }
        }
    }
}

uint64_t td_loop_interest(struct td_loop *l, uint64_t lsn)
{
    return td_loop_both(l, lsn, l->interest_ticket == 0 ? 0 : td_loop_peer_lsn(l->interest_ticket));
}

void td_loop_take_interest(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    td_hub_interest_set(l->parts.hub, body, from, n->a != 0);
    if (n->x != 0) {
        td_loop_owe(l, from, n->x, 0);
    }
}

/* ---- retained messages for another loop's session ---- */

void td_loop_ask_retained(struct td_loop *l, uint64_t session, td_slice filter, uint8_t qos,
                          uint32_t id)
{
    l->asked++;
    td_loop_tell(l, 0, &(struct note){.kind = NOTE_ASK, .a = qos, .x = id, .y = session}, filter);
}

struct asking {
    struct td_loop *l;
    unsigned from;
    const struct note *question;
};

static void retained_tell(void *ctx, struct td_message *m)
{
    const struct asking *a = ctx;
    struct note head = *a->question;
    head.kind = NOTE_RETAINED;
    head.bytes = (uint32_t)said_bytes(a->l, m);
    (void)said_put(a->l, td_loop_note(a->l, a->from, &head), m);
}

void td_loop_take_ask(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    struct asking a = {l, from, n};
    td_hub_retained_each(l->parts.hub, body, l->parts.now, retained_tell, &a);
    td_loop_tell(l, from, &(struct note){.kind = NOTE_ASKED}, (td_slice){NULL, 0});
}

void td_loop_take_retained(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    struct td_message m;
    (void)said_read(l, body, &m);
    if (td_map_find(&l->live, m.topic) == NULL) {
        td_mqttd_owe_retained(l->parts.mqttd, n->y, &m, n->a, (uint32_t)n->x);
    }
    td_message_done(&m);
}

void td_loop_take_asked(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)n;
    (void)body;
    if (--l->asked == 0) {
        td_loop_live_clear(l);
    }
}

/* ---- members of shared groups on other loops ---- */

void td_loop_member_add(struct td_loop *l, uint64_t session, td_slice filter,
                        const struct td_subscribe_options *o)
{
    l->interest_ticket = ++l->peer_ticket;
    const struct note head = {.bytes = (uint32_t)filter.n + 4,
                              .kind = NOTE_JOIN,
                              .a = o->qos,
                              .b = o->retain_as_published,
                              .x = l->interest_ticket,
                              .y = session};
    (void)td_put_bytes(td_put_u32(td_loop_note(l, 0, &head), o->id), filter);
    td_loop_handed(l, 0, l->interest_ticket);
}

void td_loop_member_del(struct td_loop *l, uint64_t session, td_slice filter)
{
    td_loop_tell(l, 0, &(struct note){.kind = NOTE_LEAVE, .y = session}, filter);
}

void td_loop_member_load(struct td_loop *l, uint64_t session, uint32_t load)
{
    td_loop_tell(l, 0, &(struct note){.kind = NOTE_LOAD, .x = load, .y = session},
                 (td_slice){NULL, 0});
}

static void member_deliver(struct td_subscriber *s, struct td_message *m,
                           const struct td_delivery *d)
{
    struct member *member = TD_CONTAINER(s, struct member, who);
    const struct target t = {.session = member->session,
                             .id = d->id_count > 0 ? d->ids[0] : 0,
                             .group = d->group,
                             .qos = d->qos,
                             .as_published = d->retain_as_published,
                             .lasting = d->group_durable};
    hand(member->l, member->loop, m, &t);
    if (m->qos > 0 && member->load != TD_LOAD_ABSENT - 1 && member->load < UINT32_MAX - 1) {
        member->load++;
    }
}

static uint32_t member_load(const struct td_subscriber *s)
{
    return ((const struct member *)(const void *)s)->load; /* its first member */
}

static const struct td_subscriber_type member_type = {member_deliver, member_load};

static void member_park(const struct member *m)
{
    for (const struct td_subscription *s = m->who.first; s != NULL; s = s->next) {
        td_hub_group_park(s);
    }
}

static struct member *member_find(const struct td_loop *l, uint64_t session)
{
    return td_map_find(&l->members, (td_slice){(const uint8_t *)&session, sizeof session});
}

static struct member *member_make(struct td_loop *l, unsigned loop, uint64_t session)
{
    struct member *m = member_find(l, session);
    if (m == NULL) {
        m = td_alloc(sizeof *m);
        *m = (struct member){.who = {.type = &member_type, .id = session, .durable = true},
                             .l = l,
                             .session = session,
                             .loop = loop,
                             .load = TD_LOAD_ABSENT}; /* until it says how it is */
        td_slice key = {(const uint8_t *)&m->session, sizeof m->session};
        (void)td_map_put(&l->members, key, m);
    }
    return m;
}

static void member_free(struct td_loop *l, struct member *m)
{
    td_hub_unsubscribe_all(l->parts.hub, &m->who);
    (void)td_map_remove(&l->members, (td_slice){(const uint8_t *)&m->session, sizeof m->session});
    free(m);
}

void td_loop_members_free(struct td_loop *l)
{
    while (l->members.count > 0) {
        member_free(l, l->members.entries[l->members.count - 1].value);
    }
}

void td_loop_take_join(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    struct member *m = member_make(l, from, n->y);
    struct td_cursor c = td_cursor_of(body);
    const struct td_subscribe_options o = {
        .id = td_cursor_u32(&c), .qos = n->a, .retain_as_published = n->b != 0};
    td_slice filter = td_slice_skip(body, 4);
    bool existed;
    if (td_hub_subscribe(l->parts.hub, &m->who, filter, &o, &existed) != TD_OK) {
        td_log("loops", TD_LOG_WARN, "group_full", "filter=%.*s", (int)filter.n,
               (const char *)filter.p);
    }
    if (m->load < TD_LOAD_ABSENT) {
        td_mqttd_shared_come(&m->who, m->who.first);
    }
    td_loop_owe(l, from, n->x, td_loop_interest(l, 0));
}

void td_loop_take_leave(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    struct member *m = member_find(l, n->y);
    if (m == NULL) {
        return;
    }
    if (body.n > 0) {
        (void)td_hub_unsubscribe(l->parts.hub, &m->who, body); /* not there: as good */
    }
    if (body.n == 0 || m->who.subscription_count == 0) {
        member_free(l, m);
    }
}

void td_loop_take_load(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)body;
    struct member *m = member_find(l, n->y);
    if (m == NULL) {
        return;
    }
    bool was_there = m->load < TD_LOAD_ABSENT;
    m->load = (uint32_t)n->x;
    if (m->load >= TD_LOAD_ABSENT) {
        member_park(m);
    } else if (!was_there) {
        td_mqttd_shared_come(&m->who, NULL);
    }
}

/* ---- what the audit log is told ---- */

void td_loop_audit(struct td_loop *l, const struct td_audit_event *e)
{
    const td_slice texts[] = {e->principal, td_slice_head(e->object, 256), e->from};
    struct td_buf b;
    td_buf_init(&b, 4096);
    for (size_t i = 0; i < TD_COUNT(texts); i++) {
        (void)td_buf_add_lump(&b, texts[i]); /* they are short */
    }
    td_loop_tell(l, 0, &(struct note){.kind = NOTE_AUDIT, .a = (uint8_t)e->action, .b = e->refused},
                 td_buf_slice(&b));
    td_buf_fini(&b);
}

void td_loop_take_audit(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    struct td_cursor c = td_cursor_of(body);
    struct td_audit_event e = {
        .action = (enum td_audit_action)n->a, .refused = n->b != 0, .stream = -1};
    (void)from;
    e.principal = td_cursor_lump(&c);
    e.object = td_cursor_lump(&c);
    e.from = td_cursor_lump(&c);
    td_audit_note(&l->parts, &e);
}

/* ---- what a member was given and does not deliver ---- */

void td_loop_give_back(struct td_loop *l, const struct td_message *m,
                       const struct td_loop_given *given)
{
    const struct note head = {.bytes = (uint32_t)(sizeof *given + said_bytes(l, m) + l->changes.n),
                              .kind = NOTE_GIVE};
    uint8_t *at = td_loop_note(l, 0, &head);
    at = td_put_bytes(at, (td_slice){(const uint8_t *)given, sizeof *given});
    at = said_put(l, at, m);
    (void)td_put_bytes(at, td_buf_slice(&l->changes));
    td_buf_clear(&l->changes);
}

void td_loop_take_give(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)n;
    struct td_loop_given g;
    struct td_message m;
    struct td_delivery to;
    memcpy(&g, body.p, sizeof g);
    td_slice changes = said_read(l, td_slice_skip(body, sizeof g), &m);
    td_assert(td_buf_add(&l->changes, changes) == TD_OK);
    td_loop_join(l);
    if (td_hub_group_again(l->parts.hub, m.topic, g.group, g.load_max, &to)) {
        to.to->type->deliver(to.to, &m, &to);
    } else {
        const struct target back = {.session = g.session,
                                    .id = g.id,
                                    .group = g.group,
                                    .qos = g.qos,
                                    .as_published = g.retain,
                                    .lasting = true};
        hand(l, from, &m, &back);
    }
    (void)td_mqttd_route(l->parts.mqttd, &m);
    td_mqttd_routed(l->parts.mqttd, td_loop_joined(l));
    td_message_done(&m);
}

void td_loop_member_gather(struct td_subscriber *member, uint32_t key)
{
    struct member *m = TD_CONTAINER(member, struct member, who);
    if (m->load >= TD_LOAD_ABSENT) {
        td_loop_tell(m->l, m->loop, &(struct note){.kind = NOTE_GATHER, .x = key, .y = m->session},
                     (td_slice){NULL, 0});
        member_park(m); /* what nobody takes comes back to it */
    }
}

void td_loop_take_gather(struct td_loop *l, unsigned from, const struct note *n, td_slice body)
{
    (void)from;
    (void)body;
    td_mqttd_gather(l->parts.mqttd, n->y, (uint32_t)n->x);
}
