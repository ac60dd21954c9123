/* serve/mqtt: sessions. What a session is owed stands in `waiting` until the window has a packet
 * id for it, then in `sending` until it is written on this connection; the window keeps it until
 * the client has acknowledged it.
 *
 *   deliver -> waiting --id--> sending --LSN durable, room in out--> socket
 *                                 |            window keeps it until PUBACK / PUBCOMP
 *                                 v
 *                        connection gone: stays in the window, sent again at resume
 *
 * QoS 0 goes straight into the connection's write buffer, or nowhere; but a QoS 2 message waits for
 * its commit whatever the subscription's QoS, or a crash would bring it twice. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

/* ---- entries and queues ---- */

struct entry *td_mqttd_entry_new(struct session *s, struct td_message *m,
                                 const struct td_delivery *delivery, uint8_t qos, bool retain)
{
    uint16_t id_count = delivery->id_count;
    struct entry *e = td_alloc(sizeof *e + id_count * sizeof e->ids[0]);
    e->m = td_message_ref(m);
    e->qos = qos;
    e->retain = retain;
    e->group = delivery->group;
    e->lasting = delivery->group_durable;
    s->shared_owed += e->group != 0;
    e->id_count = id_count;
    for (uint16_t i = 0; i < id_count; i++) {
        e->ids[i] = delivery->ids[i];
    }
    return e;
}

static void entry_free(struct session *s, struct entry *e)
{
    s->shared_owed -= e->group != 0;
    if (e->m != NULL) {
        td_message_unref(e->m);
    }
    free(e);
}

/* Frees it without a word to the store. */
static void entry_forget(struct session *s, struct entry *e)
{
    if (e->kept != NULL && td_mqttd_kept_drop(e->kept)) {
        free(e->kept);
    }
    entry_free(s, e);
}

static void queue_init(struct queue *q)
{
    *q = (struct queue){.end = &q->first};
}

void td_mqttd_queue_add(struct queue *q, struct entry *e)
{
    e->next = NULL;
    e->queued = true;
    *q->end = e;
    q->end = &e->next;
    q->count++;
    q->bytes += e->m == NULL ? 0 : td_message_bytes(e->m);
}

struct entry *td_mqttd_queue_take(struct queue *q)
{
    struct entry *e = q->first;
    q->first = e->next;
    if (q->first == NULL) {
        q->end = &q->first;
    }
    q->count--;
    q->bytes -= e->m == NULL ? 0 : td_message_bytes(e->m);
    e->queued = false;
    return e;
}

void td_mqttd_waiting_add(struct session *s, struct entry *e)
{
    s->d->stats.queued++;
    s->d->stats.queued_bytes += td_message_bytes(e->m);
    td_mqttd_queue_add(&s->waiting, e);
}

struct entry *td_mqttd_waiting_take(struct session *s)
{
    struct entry *e = td_mqttd_queue_take(&s->waiting);
    s->d->stats.queued--;
    s->d->stats.queued_bytes -= td_message_bytes(e->m);
    return e;
}

void td_mqttd_entry_end(struct session *s, struct entry *e)
{
    if (e->kept != NULL) {
        td_mqttd_keep_route_gone(s, e);
    }
    entry_free(s, e);
}

/* ---- finding, making ---- */

static void session_deliver(struct td_subscriber *sub, struct td_message *m,
                            const struct td_delivery *delivery);
static uint32_t session_load(const struct td_subscriber *sub);

static const struct td_subscriber_type session_type = {session_deliver, session_load};

struct session *td_mqttd_session_of(struct td_subscriber *sub)
{
    return sub->type == &session_type ? TD_CONTAINER(sub, struct session, sub) : NULL;
}

td_slice td_mqttd_session_key(struct td_mqttd *d, td_slice principal, td_slice client_id)
{
    td_buf_clear(&d->key);
    td_assert(td_buf_add(&d->key, principal) == TD_OK && td_buf_add_u8(&d->key, 0) == TD_OK &&
              td_buf_add(&d->key, client_id) == TD_OK);
    return td_buf_slice(&d->key);
}

struct session *td_mqttd_session_find(const struct td_mqttd *d, td_slice key)
{
    return td_map_find(&d->sessions, key);
}

struct session *td_mqttd_session_new(struct td_mqttd *d, td_slice key, struct td_principal *who)
{
    if (td_mqttd_sessions_all(d) >= d->config.sessions_max) {
        return NULL;
    }
    struct session *s = td_alloc(sizeof *s + key.n);
    s->d = d;
    s->principal = who;
    s->trusted = who->all;
    s->sub.type = &session_type;
    s->key_n = (uint32_t)key.n;
    s->principal_n = (uint8_t)td_slice_find(key, '\0');
    (void)td_put_bytes(s->key, key);
    s->will_at = s->ends_at = TD_NEVER;
    queue_init(&s->waiting);
    queue_init(&s->sending);
    td_mqtt_window_init(&s->window, 0);
    td_mqtt_ids_init(&s->ids);
    (void)td_map_put(&d->sessions, session_key(s), s);
    td_mqttd_id_add(s);
    d->next_session += d->stride;
    td_mqttd_session_number_set(s, d->next_session);
    d->stats.sessions++;
    return s;
}

struct session *td_mqttd_session_ghost(struct td_mqttd *d)
{
    struct session *s = td_alloc(sizeof *s);
    s->d = d;
    queue_init(&s->waiting);
    queue_init(&s->sending);
    return s;
}

void td_mqttd_session_expiry_set(struct session *s, uint32_t expiry_s)
{
    s->expiry_s = expiry_s;
    s->sub.durable = expiry_s > 0;
}

void td_mqttd_session_ids_lend(struct session *s)
{
    size_t want = td_mqtt_ids_want(&s->ids);
    if (want != s->ids.cap) {
        uint16_t *old = s->ids.slots;
        td_mqtt_ids_lend(&s->ids, td_alloc(want * sizeof *old), want);
        free(old);
    }
}

/* False: the window has its largest size and is full. */
static bool window_lend(struct session *s)
{
    size_t want = td_mqtt_window_want(&s->window);
    if (want > s->window.cap) {
        struct td_mqtt_slot *old = s->window.slots;
        td_mqtt_window_lend(&s->window, td_alloc(want * sizeof *old), want);
        free(old);
    }
    return want > 0;
}

/* ---- delivery ---- */

static uint32_t expiry_left_s(const struct td_message *m, td_mono now)
{
    if (m->expires == TD_NEVER) {
        return UINT32_MAX;
    }
    return (uint32_t)((m->expires - now + TD_NS_PER_S - 1) / TD_NS_PER_S);
}

static bool expired(const struct td_message *m, td_mono now)
{
    return m->expires <= now;
}

enum sent { SENT, SENT_LATER, SENT_TOO_LARGE, SENT_DENIED };

/* An alias that is told with its topic makes a packet longer: not too long. */
static size_t size_with_alias(struct conn *c, struct td_mqtt_publish *p)
{
    td_mqttd_alias_pick(c, p);
    size_t n = td_mqtt_publish_size(p);
    if (p->alias != 0 && p->topic.n > 0 && (n == 0 || n > c->m.peer_packet_bytes_max)) {
        p->alias = 0;
        n = td_mqtt_publish_size(p);
    }
    return n;
}

/* Encodes a PUBLISH if the client takes its size and out has room below `most`. */
static enum sent publish_write(struct session *s, struct td_mqtt_publish *p, size_t most)
{
    struct conn *c = s->conn;
    size_t n = c->m.peer_alias_max > 0 ? size_with_alias(c, p) : td_mqtt_publish_size(p);
    if (n == 0 || n > c->m.peer_packet_bytes_max) {
        td_mqttd_drop(s, p->topic, TD_DROP_TOO_LARGE);
        return SENT_TOO_LARGE;
    }
    if (conn_unsent(c) > 0 && conn_unsent(c) + n > most) {
        return SENT_LATER;
    }
    conn_wrote(c, td_mqtt_publish_put(td_mqttd_conn_room(c, n), p));
    if (p->alias != 0) {
        td_mqttd_alias_sent(c, p);
    }
    c->d->stats.publish_out++;
    c->d->stats.publish_bytes_out += p->payload.n;
    c->d->stats.packets_out++;
    s->tally.messages_out++;
    return SENT;
}

static void deliver_now(struct session *s, const struct td_message *m,
                        const struct td_delivery *delivery)
{
    struct td_mqttd *d = s->d;
    struct conn *c = s->conn;
    if (c == NULL || !c->open) {
        td_mqttd_drop(s, m->topic, TD_DROP_OFFLINE);
        return;
    }
    struct td_mqtt_publish p = {.topic = m->topic,
                                .props = m->props,
                                .payload = m->payload,
                                .ids = delivery->ids,
                                .id_count = delivery->id_count,
                                .expiry_s = expiry_left_s(m, d->now),
                                .version = c->m.version,
                                .retain = m->retain && delivery->retain_as_published};
    size_t most = d->memory.level >= BUSY ? WRITE_HIGH_BYTES : d->config.write_bytes_max;
    if (d->memory.level == FULL && !td_mqttd_memory_has(d, m->payload.n)) {
        td_mqttd_drop(s, m->topic, TD_DROP_MEMORY);
    } else if (publish_write(s, &p, most) == SENT_LATER) {
        td_mqttd_drop(s, m->topic, TD_DROP_SLOW);
    }
}

static bool queue_full(const struct session *s, size_t more)
{
    return s->waiting.count >= s->d->config.queue_messages_max ||
           s->waiting.bytes + more > s->d->config.queue_bytes_max;
}

static void routed_add(struct session *s, struct entry *e)
{
    struct td_mqttd *d = s->d;
    if (d->routed_count == d->routed_cap) {
        d->routed_cap = d->routed_cap == 0 ? 16 : d->routed_cap * 2;
        d->routed = td_realloc(d->routed, d->routed_cap * sizeof(struct entry *));
        d->routed_to = td_realloc(d->routed_to, d->routed_cap * sizeof(struct session *));
    }
    e->routed = true;
    d->routed_to[d->routed_count] = s;
    d->routed[d->routed_count++] = e;
}

/* Queue full: the oldest that has no packet id yet goes, but none of the publish under way. */
static void make_room(struct session *s, size_t more)
{
    while (s->waiting.count > 0 && queue_full(s, more) && !s->waiting.first->routed) {
        td_mqttd_drop(s, s->waiting.first->m->topic, TD_DROP_QUEUE_FULL);
        td_mqttd_entry_end(s, td_mqttd_waiting_take(s));
    }
}

static void trace_shared(const struct session *s, const struct td_message *m)
{
    struct td_mqttd *d = s->d;
    trace_add(&d->publishes, (struct trace_row){.topic = td_hub_matched_hash(d->parts->hub),
                                                .who = s->number,
                                                .at = d->now,
                                                .count = s->waiting.count,
                                                .kind = TD_MQTTD_TRACE_SHARED,
                                                .qos = m->qos});
}

void td_mqttd_session_shed(struct session *s)
{
    for (uint32_t n = s->waiting.count / 2 + 1; n > 0 && s->waiting.first != NULL; n--) {
        if (s->waiting.first->routed) {
            return;
        }
        td_mqttd_drop(s, s->waiting.first->m->topic, TD_DROP_MEMORY);
        td_mqttd_entry_end(s, td_mqttd_waiting_take(s));
        td_mqttd_keep_piece(s->d);
    }
    (void)td_stage_end(s->d->parts, TD_STORE_1S);
}

static void session_deliver(struct td_subscriber *sub, struct td_message *m,
                            const struct td_delivery *delivery)
{
    struct session *s = TD_CONTAINER(sub, struct session, sub);
    uint8_t qos = delivery->qos < m->qos ? delivery->qos : m->qos;
    if (!s->trusted && !td_mqttd_may(s, TD_GUARD_READ, m->topic)) {
        td_mqttd_drop(s, m->topic, TD_DROP_DENIED);
        return;
    }
    s->d->reached++;
    if (delivery->group != 0) {
        trace_shared(s, m);
    }
    if (expired(m, s->d->now)) {
        td_mqttd_drop(s, m->topic, TD_DROP_EXPIRED);
        return;
    }
    bool absent = s->conn == NULL || !s->conn->open;
    if (qos == 0 && (m->qos < 2 || absent)) {
        deliver_now(s, m, delivery);
        return;
    }
    if (delivery->group == 0) { /* else it was chosen for the room it has */
        make_room(s, td_message_bytes(m));
    }
    struct entry *e =
        td_mqttd_entry_new(s, m, delivery, qos, m->retain && delivery->retain_as_published);
    td_mqttd_waiting_add(s, e);
    routed_add(s, e);
    td_mqttd_session_pump_later(s);
    td_mqttd_session_load_changed(s);
}

/* For shared groups: who is connected and has least in hand comes first. */
static uint32_t session_load(const struct td_subscriber *sub)
{
    const struct session *s = (const struct session *)(const void *)sub; /* its first member */
    uint32_t load = s->waiting.count + s->sending.count + s->window.used;
    if (s->dead || queue_full(s, 0)) {
        return UINT32_MAX;
    }
    if (s->conn != NULL && s->conn->open) {
        return load;
    }
    return session_durable(s) ? load + TD_LOAD_ABSENT : UINT32_MAX;
}

static bool route(struct td_mqttd *d, const struct td_message *m);

void td_mqttd_session_owe_retained(struct session *s, struct td_message *m, uint8_t qos,
                                   uint32_t id)
{
    uint8_t least = qos < m->qos ? qos : m->qos;
    if (!s->trusted && !td_mqttd_may(s, TD_GUARD_READ, m->topic)) {
        td_mqttd_drop(s, m->topic, TD_DROP_DENIED);
        return;
    }
    struct td_delivery delivery = {.ids = &id, .id_count = id != 0};
    struct entry *e = td_mqttd_entry_new(s, m, &delivery, least, true);
    td_mqttd_waiting_add(s, e);
    if (least > 0) {
        routed_add(s, e);
        (void)route(s->d, e->m);
        td_mqttd_routed(s->d, td_stage_end(s->d->parts, TD_STORE_NOW));
    }
    td_mqttd_session_pump_later(s);
}

/* ---- routes to the store ---- */

/* Ids for what is being routed, so that one batch keeps message and id. What has waited longer gets
 * its id in the session's own turn, which keeps it: assigned here, it would leave unrecorded, come
 * again under another id after a crash, and a QoS 2 message would be there twice. */
static void assign_fresh(struct session *s)
{
    if (s->waiting.first != NULL && s->waiting.first->routed) {
        td_mqttd_session_assign(s);
    }
}

static void trace_publish(struct td_mqttd *d, const struct td_message *m)
{
    trace_add(&d->publishes, (struct trace_row){.topic = td_hub_matched_hash(d->parts->hub),
                                                .who = m->origin,
                                                .at = d->now,
                                                .count = d->reached - d->traced,
                                                .kind = TD_MQTTD_TRACE_PUBLISH,
                                                .qos = m->qos,
                                                .retain = m->retain});
    d->traced = d->reached;
}

static bool route(struct td_mqttd *d, const struct td_message *m)
{
    bool durable = false;
    for (size_t i = 0; i < d->routed_count; i++) {
        assign_fresh(d->routed_to[i]);
        durable = durable || entry_durable(d->routed[i], d->routed_to[i]);
    }
    if (durable) {
        td_stage_part(d->parts);
        td_mqttd_keep_message(d, m, d->routed, d->routed_to, d->routed_count);
    }
    return durable;
}

bool td_mqttd_route(struct td_mqttd *d, const struct td_message *m)
{
    trace_publish(d, m);
    return route(d, m);
}

void td_mqttd_routed(struct td_mqttd *d, uint64_t lsn)
{
    for (size_t i = 0; i < d->routed_count; i++) {
        struct entry *e = d->routed[i];
        e->routed = false;
        if (e->qos != 1) { /* those of QoS 0 are QoS 2 messages, see session_deliver() */
            e->lsn = lsn;
        }
    }
    d->routed_count = 0;
}

/* ---- sending ---- */

void td_mqttd_session_pump_later(struct session *s)
{
    if (!s->pumped && !s->dead) {
        s->pumped = true;
        s->next_pump = s->d->pump;
        s->d->pump = s;
    }
}

void td_mqttd_session_pump_when_durable(struct session *s)
{
    if (!s->pumped && !s->dead) {
        s->pumped = true;
        s->next_pump = s->d->pump_durable;
        s->d->pump_durable = s;
    }
}

static bool assign_first(struct session *s)
{
    struct entry *e = s->waiting.first;
    if (e->qos > 0) {
        enum td_mqtt_flight state = e->qos == 2 ? TD_MQTT_QOS2 : TD_MQTT_QOS1;
        if (!td_mqtt_window_open(&s->window) || !window_lend(s) ||
            td_mqtt_window_take(&s->window, state, (uintptr_t)e, &e->packet_id) != TD_OK) {
            return false;
        }
    }
    td_mqttd_queue_add(&s->sending, td_mqttd_waiting_take(s));
    return true;
}

void td_mqttd_session_assign(struct session *s)
{
    if (s->conn == NULL || !s->conn->open) {
        return;
    }
    while (s->waiting.first != NULL) {
        if (expired(s->waiting.first->m, s->d->now)) {
            td_mqttd_drop(s, s->waiting.first->m->topic, TD_DROP_EXPIRED);
            td_mqttd_entry_end(s, td_mqttd_waiting_take(s));
        } else if (!assign_first(s)) {
            return;
        }
    }
}

/* Ids given outside of the entry's own publish are committed before the PUBLISH leaves: after a
 * crash the client must see the same id again, or a QoS 2 message comes twice. */
static void assign_and_keep(struct session *s)
{
    struct entry **from = s->sending.end;
    td_mqttd_session_assign(s);
    bool put = false;
    for (struct entry *e = *from; e != NULL; e = e->next) {
        if (e->kept != NULL && e->qos == 2) {
            td_mqttd_keep_route(s, e, false);
            put = true;
        }
    }
    uint64_t lsn = td_stage_end(s->d->parts, TD_STORE_NOW);
    for (struct entry *e = *from; put && e != NULL; e = e->next) {
        e->lsn = e->kept != NULL && e->qos == 2 ? lsn : e->lsn;
    }
}

/* What was under way on an earlier connection. */
static void resend(struct session *s)
{
    for (struct td_mqtt_slot *slot; (slot = td_mqtt_window_resend(&s->window)) != NULL;) {
        struct entry *e = (struct entry *)(uintptr_t)slot->body;
        if (slot->state == TD_MQTT_RELEASED) {
            td_mqttd_conn_ack(s->conn, e->lsn, TD_MQTT_PUBREL, slot->id, TD_MQTT_REASON_SUCCESS);
        } else {
            s->d->stats.redelivered += e->sent;
            td_mqttd_queue_add(&s->sending, e);
        }
    }
}

static void entry_write(struct session *s, struct entry *e)
{
    struct td_mqtt_publish p = {.topic = e->m->topic,
                                .props = e->m->props,
                                .payload = e->m->payload,
                                .ids = e->ids,
                                .id_count = e->id_count,
                                .expiry_s =
                                    expired(e->m, s->d->now) ? 0 : expiry_left_s(e->m, s->d->now),
                                .id = e->packet_id,
                                .version = s->conn->m.version,
                                .qos = e->qos,
                                .retain = e->retain,
                                .dup = e->sent};
    bool denied = !s->trusted && !td_mqttd_may(s, TD_GUARD_READ, p.topic); /* since it waits */
    enum sent sent = denied ? SENT_DENIED : publish_write(s, &p, SIZE_MAX);
    e->sent = true;
    e->sent_us = (uint32_t)(s->d->now / 1000);
    if (denied) {
        td_mqttd_drop(s, e->m->topic, TD_DROP_DENIED);
    }
    if ((sent == SENT_TOO_LARGE || denied) && e->packet_id != 0) {
        td_mqtt_window_drop(&s->window, e->packet_id);
        td_mqttd_entry_end(s, e);
    } else if (e->qos == 0) {
        td_mqttd_entry_end(s, e);
    }
}

static void pump_queues(struct session *s)
{
    assign_and_keep(s);
    while (s->sending.first != NULL && conn_unsent(s->conn) < WRITE_HIGH_BYTES) {
        if (!td_stage_done(s->d->parts, s->sending.first->lsn)) {
            td_mqttd_session_pump_when_durable(s);
            return;
        }
        entry_write(s, td_mqttd_queue_take(&s->sending));
    }
}

static void pump(struct session *s)
{
    if (s->conn == NULL || !s->conn->open) {
        return;
    }
    resend(s);
    do {
        pump_queues(s);
    } while (s->asks != NULL && s->waiting.first == NULL && s->sending.first == NULL &&
             td_mqttd_retained_next(s));
}

void td_mqttd_sessions_pump(struct td_mqttd *d)
{
    if (d->settled != td_stage_clock(d->parts)) {
        d->settled = td_stage_clock(d->parts);
        while (d->pump_durable != NULL) {
            struct session *s = d->pump_durable;
            d->pump_durable = s->next_pump;
            s->pumped = false;
            td_mqttd_session_pump_later(s);
        }
    }
    while (d->pump != NULL) {
        struct session *s = d->pump;
        d->pump = s->next_pump;
        s->pumped = false;
        if (!s->dead) {
            pump(s);
        }
    }
}

/* ---- acknowledgements ---- */

static void acked_done(struct session *s, struct entry *e, const struct td_mqtt_packet *packet)
{
    if (packet->type != TD_MQTT_PUBCOMP) {
        td_mqttd_tally_ack(s, e);
    }
    if (packet->reason >= 0x80) {
        td_slice none = {NULL, 0};
        td_mqttd_drop(s, e->m != NULL ? e->m->topic : none, TD_DROP_REFUSED);
    }
    td_mqttd_entry_end(s, e);
    (void)td_stage_end(s->d->parts, TD_STORE_1S);
    td_mqttd_session_load_changed(s);
    if (s->waiting.first != NULL || s->window.unsent > 0) {
        td_mqttd_session_pump_later(s);
    }
}

/* PUBREC: the message has arrived; that is committed before the PUBREL leaves, else a resend
 * after a crash would bring it twice. */
static void acked_release(struct session *s, struct entry *e, uint16_t id)
{
    td_mqttd_tally_ack(s, e);
    td_message_unref(e->m);
    e->m = NULL;
    if (e->kept != NULL) {
        td_mqttd_keep_route(s, e, true);
        e->lsn = td_stage_end(s->d->parts, TD_STORE_NOW);
    }
    td_mqttd_conn_ack(s->conn, e->lsn, TD_MQTT_PUBREL, id, TD_MQTT_REASON_SUCCESS);
}

void td_mqttd_session_acked(struct session *s, const struct td_mqtt_packet *packet)
{
    const struct td_mqtt_slot *slot = td_mqtt_window_find(&s->window, packet->id);
    struct entry *e = slot == NULL ? NULL : (struct entry *)(uintptr_t)slot->body;
    if (e != NULL && e->queued) { /* acknowledges what was not sent on this connection */
        td_mqttd_conn_refuse(s->conn, TD_MQTT_REASON_PROTOCOL_ERROR, "MQTT-4.3.2-5", s->d->now);
        return;
    }
    uint64_t body;
    switch (td_mqtt_window_ack(&s->window, packet->type, packet->id, packet->reason, &body)) {
    case TD_MQTT_ACK_DONE:
        acked_done(s, e, packet);
        break;
    case TD_MQTT_ACK_RELEASE:
        acked_release(s, e, packet->id);
        break;
    case TD_MQTT_ACK_AGAIN:
        td_mqttd_conn_ack(s->conn, e->lsn, TD_MQTT_PUBREL, packet->id, TD_MQTT_REASON_SUCCESS);
        break;
    case TD_MQTT_ACK_UNKNOWN:
        if (packet->type == TD_MQTT_PUBREC) {
            td_mqttd_conn_ack(s->conn, 0, TD_MQTT_PUBREL, packet->id,
                              TD_MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND);
        }
        break;
    case TD_MQTT_ACK_WRONG:
        td_mqttd_conn_refuse(s->conn, TD_MQTT_REASON_PROTOCOL_ERROR, "MQTT-4.3.3-13", s->d->now);
        break;
    }
}

/* ---- wills ---- */

void td_mqttd_session_will_clear(struct session *s)
{
    s->will_at = TD_NEVER;
    if (s->will.m != NULL) {
        td_message_unref(s->will.m);
        s->will.m = NULL;
    }
}

void td_mqttd_session_will_send(struct session *s, td_mono now)
{
    struct td_message *will = s->will.m;
    if (will == NULL) {
        return;
    }
    s->will.m = NULL;
    s->will_at = TD_NEVER;
    if (s->recorded) { /* in one batch with what the message leaves: it goes out once */
        td_mqttd_keep_session(s, now);
    }
    if (!td_mqttd_may_say(s, will->topic, will->retain)) {
        s->d->stats.wills_denied++;
        td_message_unref(will);
        return;
    }
    s->d->stats.wills++;
    struct td_message m = {.topic = will->topic,
                           .payload = will->payload,
                           .props = will->props,
                           .expires = will->expires == TD_NEVER
                                          ? TD_NEVER
                                          : td_mono_after(now, will->expires / TD_NS_PER_MS),
                           .at = s->d->parts->wall,
                           .origin = s->number,
                           .author = s->principal->number,
                           .owner = will->retain ? session_owner(s) : 0,
                           .qos = will->qos,
                           .retain = will->retain};
    (void)td_publish(s->d->parts, &m);
    td_message_done(&m);
    td_message_unref(will);
}

/* ---- principals that are gone ---- */

static bool is_revoked(const struct session *s, const struct entry *e)
{
    return !e->routed && td_guard_author_gone(s->d->parts->guard, e->m->author);
}

void td_mqttd_session_purge(struct session *s)
{
    for (uint32_t left = s->waiting.count; left > 0; left--) {
        struct entry *e = td_mqttd_waiting_take(s);
        if (is_revoked(s, e)) {
            td_mqttd_drop(s, e->m->topic, TD_DROP_REVOKED);
            td_mqttd_entry_end(s, e);
            td_mqttd_keep_piece(s->d);
        } else {
            td_mqttd_waiting_add(s, e); /* all of them once round: the order stays */
        }
    }
}

/* ---- coming and going ---- */

static void session_free(struct session *s)
{
    td_principal_unref(s->d->parts->guard, s->principal);
    td_mqttd_retained_forget(s);
    free(s->window.slots);
    free(s->ids.slots);
    free(s->tally.drops);
    free(s);
}

void td_mqttd_session_timer_set(struct session *s)
{
    td_heap_set(&s->d->session_timers, &s->timer, td_mono_min(s->will_at, s->ends_at));
}

static void sending_forget(struct session *s)
{
    while (s->sending.first != NULL) {
        struct entry *e = td_mqttd_queue_take(&s->sending);
        if (e->qos == 0) { /* the window keeps the others */
            td_mqttd_entry_end(s, e);
        }
    }
}

void td_mqttd_session_offline(struct session *s, bool will, td_mono now)
{
    s->conn = NULL;
    s->tally.since = now;
    s->d->stats.clients--;
    td_mqttd_session_load_changed(s);
    td_mqttd_shared_return(s, 0, TD_LOAD_ABSENT);
    sending_forget(s);
    if (will && s->will.m != NULL && s->will.delay_s > 0 && s->expiry_s > 0) {
        uint32_t delay_s = s->will.delay_s < s->expiry_s ? s->will.delay_s : s->expiry_s;
        s->will_at = td_mono_after(now, (td_ms)delay_s * 1000);
    } else if (will) {
        td_mqttd_session_will_send(s, now);
    } else {
        td_mqttd_session_will_clear(s);
    }
    if (!session_durable(s)) {
        td_mqttd_session_end(s);
        return;
    }
    s->ends_at =
        s->expiry_s == UINT32_MAX ? TD_NEVER : td_mono_after(now, (td_ms)s->expiry_s * 1000);
    td_mqttd_session_timer_set(s);
    td_mqttd_keep_session(s, now);
    (void)td_stage_end(s->d->parts, TD_STORE_1S);
}

void td_mqttd_session_online(struct session *s)
{
    s->will_at = s->ends_at = TD_NEVER;
    td_mqttd_session_timer_set(s);
    td_mqtt_window_resume(&s->window, s->conn->m.peer_receive_max);
    td_mqttd_session_load_changed(s);
    td_mqttd_session_pump_later(s);
    td_mqttd_shared_gather(s);
}

void td_mqttd_session_end(struct session *s)
{
    struct td_mqttd *d = s->d;
    s->dead = true;
    (void)td_map_remove(&d->sessions, session_key(s));
    td_mqttd_id_remove(s);
    td_mqttd_session_unlist(s);
    td_heap_set(&d->session_timers, &s->timer, TD_NEVER);
    if (s->will_at != TD_NEVER) {
        td_mqttd_session_will_send(s, d->now);
    }
    td_mqttd_session_will_clear(s);
    td_mqttd_shared_end(s);
    /* Now, as what follows may take more than one batch: without its session it is void. */
    td_mqttd_keep_session_gone(s);
    sending_forget(s);
    for (struct td_mqtt_slot *slot; (slot = td_mqtt_window_next(&s->window, NULL)) != NULL;) {
        struct entry *e = (struct entry *)(uintptr_t)slot->body;
        td_mqtt_window_drop(&s->window, slot->id);
        if (e->m != NULL) {
            td_mqttd_drop(s, e->m->topic, TD_DROP_SESSION_END);
        }
        td_mqttd_entry_end(s, e);
    }
    while (s->waiting.first != NULL) {
        td_mqttd_drop(s, s->waiting.first->m->topic, TD_DROP_SESSION_END);
        td_mqttd_entry_end(s, td_mqttd_waiting_take(s));
        td_mqttd_keep_piece(d);
    }
    (void)td_stage_end(d->parts, TD_STORE_1S);
    td_hub_unsubscribe_all(d->parts->hub, &s->sub);
    d->stats.sessions--;
    s->next_dead = d->dead;
    d->dead = s;
}

static struct session *living(struct session *list)
{
    struct session *first = NULL, **end = &first;
    for (; list != NULL; list = list->next_pump) {
        if (!list->dead) {
            *end = list;
            end = &list->next_pump;
        }
    }
    *end = NULL;
    return first;
}

void td_mqttd_sessions_reap(struct td_mqttd *d)
{
    if (d->dead != NULL) {
        d->pump = living(d->pump);
        d->pump_durable = living(d->pump_durable);
    }
    while (d->dead != NULL) {
        struct session *s = d->dead;
        d->dead = s->next_dead;
        session_free(s);
    }
}

void td_mqttd_sessions_expire(struct td_mqttd *d, td_mono now)
{
    for (struct td_timer *t; (t = td_heap_first(&d->session_timers)) != NULL && t->at <= now;) {
        struct session *s = TD_CONTAINER(t, struct session, timer);
        if (s->ends_at <= now) {
            d->stats.sessions_expired++;
            td_mqttd_session_end(s);
        } else {
            td_mqttd_session_will_send(s, now);
            td_mqttd_keep_session(s, now);
            (void)td_stage_end(d->parts, TD_STORE_1S);
            td_mqttd_session_timer_set(s);
        }
    }
}

/* ---- after a restart ---- */

void td_mqttd_session_restore(struct session *s, struct entry *e, bool received)
{
    if (e->packet_id == 0) {
        td_mqttd_waiting_add(s, e);
        return;
    }
    enum td_mqtt_flight state = received      ? TD_MQTT_RELEASED
                                : e->qos == 2 ? TD_MQTT_QOS2
                                              : TD_MQTT_QOS1;
    if (received) {
        td_message_unref(e->m);
        e->m = NULL;
    }
    while (td_mqtt_window_restore(&s->window, state, e->packet_id, (uintptr_t)e) == TD_ENOMEM &&
           s->window.cap < TD_MQTT_WINDOW_MAX) {
        struct td_mqtt_slot *old = s->window.slots;
        size_t cap = s->window.cap == 0 ? TD_MQTT_WINDOW_FIRST : s->window.cap * (size_t)2;
        td_mqtt_window_lend(&s->window, td_alloc(cap * sizeof *old), cap);
        free(old);
    }
}

/* ---- the end of the process ---- */

void td_mqttd_sessions_free(struct td_mqttd *d)
{
    td_mqttd_sessions_reap(d);
    while (d->sessions.count > 0) {
        struct session *s = d->sessions.entries[d->sessions.count - 1].value;
        (void)td_map_remove(&d->sessions, session_key(s));
        sending_forget(s);
        for (struct td_mqtt_slot *slot; (slot = td_mqtt_window_next(&s->window, NULL)) != NULL;) {
            entry_forget(s, (struct entry *)(uintptr_t)slot->body);
            td_mqtt_window_drop(&s->window, slot->id);
        }
        while (s->waiting.first != NULL) {
            entry_forget(s, td_mqttd_waiting_take(s));
        }
        if (s->will.m != NULL) {
            td_message_unref(s->will.m);
        }
        td_hub_unsubscribe_all(d->parts->hub, &s->sub);
        session_free(s);
    }
}
