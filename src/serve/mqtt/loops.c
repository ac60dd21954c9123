/* serve/mqtt: what connections and sessions have to do with other loops (serve/loop.h). With one
 * loop nothing of this happens.
 *
 * Loop 0 accepts and reads the first packet; CONNECT has the client id, and with it the loop. The
 * connection goes there whole, with what was read of it, and there CONNECT is read again, by a
 * machine that knows nothing yet: so all that CONNECT sets in motion happens on one loop only. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

/* The loop's number; 0 also if there is only one. */
static unsigned number_of(const struct td_mqttd *d)
{
    return d->parts->loop == NULL ? 0 : td_loop_number(d->parts->loop);
}

/* ---- connections ---- */

void td_mqttd_conn_link(struct conn *c)
{
    struct td_mqttd *d = c->d;
    c->prev = NULL;
    c->next = d->conns;
    if (d->conns != NULL) {
        d->conns->prev = c;
    }
    d->conns = c;
    d->stats.connections++;
    if (d->parts->loop != NULL) {
        td_loop_count_conns(d->parts->loop, 1);
    }
}

void td_mqttd_conn_unlink(struct conn *c)
{
    struct td_mqttd *d = c->d;
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        d->conns = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    c->next = c->prev = NULL;
    d->stats.connections--;
    if (d->parts->loop != NULL) {
        td_loop_count_conns(d->parts->loop, -1);
    }
}

static unsigned home_of(struct td_mqttd *d, td_slice client_id)
{
    const struct td_loop *l = d->parts->loop;
    return client_id.n > 0 ? td_loop_of(l, client_id) : d->unnamed++ % td_loop_count(l);
}

bool td_mqttd_conn_moves(struct conn *c, const struct td_mqtt_packet *packet)
{
    struct td_mqttd *d = c->d;
    if (d->parts->loop == NULL || c->arrived || packet->type != TD_MQTT_CONNECT) {
        return false;
    }
    c->arrived = true;
    c->to = (uint8_t)home_of(d, packet->connect.client_id);
    if (c->to == number_of(d)) {
        return false;
    }
    c->moving = true;
    c->next_moving = d->moving;
    d->moving = c;
    return true;
}

/* It stands in no list of the turn any more. */
static void conn_go(struct conn *c)
{
    struct td_mqttd *d = c->d;
    struct td_sys *sys = d->parts->sys;
    struct td_loop_moved moved = {
        .conn = c, .stream = sys->release(sys, c->stream), .listener = c->listener->number};
    td_heap_set(&d->conn_timers, &c->timer, TD_NEVER);
    td_mqttd_half_done(c);
    td_mqttd_conn_unlink(c);
    d->memory.held -= c->in.cap;
    td_listener_unref(c->listener);
    free(c->m.aliases);
    c->m.aliases = NULL;
    c->listener = NULL;
    c->moving = false;
    td_loop_move(d->parts->loop, c->to, &moved);
}

void td_mqttd_arrived(struct td_mqttd *d, const struct td_loop_moved *moved)
{
    struct conn *c = moved->conn;
    struct td_sys *sys = d->parts->sys;
    c->d = d;
    c->stream = sys->adopt(sys, moved->stream, &c->owner);
    c->listener = td_listener_ref(td_listener_at(d->listeners, moved->listener));
    td_mqttd_conn_link(c);
    d->memory.held += c->in.cap;
    td_mqttd_conn_begin(c, d->now);
}

void td_mqttd_lost(const struct td_loop_moved *moved)
{
    td_mqttd_conn_free(moved->conn);
}

static void conns_go(struct td_mqttd *d)
{
    struct conn *c = d->moving;
    d->moving = NULL;
    while (c != NULL) {
        struct conn *next = c->next_moving;
        if (c->touched || c->waiting) { /* the turn was not through */
            c->next_moving = d->moving;
            d->moving = c;
        } else if (c->stream >= 0 && !c->last_word) {
            conn_go(c);
        } else {
            c->moving = false;
        }
        c = next;
    }
}

/* ---- sessions ---- */

uint64_t td_mqttd_sessions_all(const struct td_mqttd *d)
{
    return d->parts->loop == NULL ? d->sessions.count : td_loop_sessions(d->parts->loop);
}

static td_slice number_key(const struct session *s)
{
    return (td_slice){(const uint8_t *)&s->number, sizeof s->number};
}

static struct session *session_at(const struct td_mqttd *d, uint64_t number)
{
    return td_map_find(&d->by_number, (td_slice){(const uint8_t *)&number, sizeof number});
}

void td_mqttd_session_number_set(struct session *s, uint64_t number)
{
    bool other_loops = s->d->parts->loop != NULL;
    if (other_loops && s->number != 0) {
        (void)td_map_remove(&s->d->by_number, number_key(s));
    } else if (other_loops) {
        td_loop_count_sessions(s->d->parts->loop, 1);
    }
    s->number = s->sub.id = number;
    if (other_loops) {
        (void)td_map_put(&s->d->by_number, number_key(s), s);
    }
}

void td_mqttd_session_unlist(struct session *s)
{
    if (s->d->parts->loop == NULL) {
        return;
    }
    (void)td_map_remove(&s->d->by_number, number_key(s));
    td_loop_count_sessions(s->d->parts->loop, -1);
    if (s->member) {
        td_loop_member_del(s->d->parts->loop, s->number, TD_STR(""));
        s->member = false;
    }
}

void td_mqttd_hear(struct td_mqttd *d, uint64_t session, struct td_message *m,
                   const struct td_delivery *delivery)
{
    struct session *s = session_at(d, session);
    if (s == NULL) { /* it ended while the message was on its way */
        d->stats.dropped_session_end++;
        return;
    }
    struct td_delivery to = *delivery;
    to.to = &s->sub;
    s->sub.type->deliver(&s->sub, m, &to);
}

void td_mqttd_owe_retained(struct td_mqttd *d, uint64_t session, struct td_message *m, uint8_t qos,
                           uint32_t id)
{
    struct session *s = session_at(d, session);
    if (s != NULL) {
        td_mqttd_session_owe_retained(s, m, qos, id);
    }
}

void td_mqttd_reached_elsewhere(struct td_mqttd *d)
{
    d->reached++;
    d->traced = d->reached; /* that loop tells whom it reached */
}

void td_mqttd_clock_set(struct td_mqttd *d, td_mono now)
{
    d->now = now;
}

/* ---- members of shared groups: loop 0 chooses ---- */

static bool far_member(const struct session *s, td_slice filter)
{
    td_slice group, inner;
    return number_of(s->d) != 0 && td_filter_shared(filter, &group, &inner);
}

enum td_err td_mqttd_session_subscribe(struct session *s, td_slice filter,
                                       const struct td_subscribe_options *options, bool *existed)
{
    enum td_err err = td_hub_subscribe(s->d->parts->hub, &s->sub, filter, options, existed);
    if (err == TD_OK && far_member(s, filter)) {
        s->member = true;
        td_loop_member_add(s->d->parts->loop, s->number, filter, options);
        td_mqttd_session_load_changed(s);
    }
    return err;
}

enum td_err td_mqttd_session_unsubscribe(struct session *s, td_slice filter)
{
    enum td_err err = td_hub_unsubscribe(s->d->parts->hub, &s->sub, filter);
    if (err == TD_OK && far_member(s, filter)) {
        td_loop_member_del(s->d->parts->loop, s->number, filter);
    }
    return err;
}

void td_mqttd_session_load_changed(struct session *s)
{
    if (s->member && !s->member_told) {
        s->member_told = true;
        s->next_member = s->d->members;
        s->d->members = s;
    }
}

static void members_tell(struct td_mqttd *d)
{
    while (d->members != NULL) {
        struct session *s = d->members;
        d->members = s->next_member;
        s->member_told = false;
        if (!s->dead) {
            td_loop_member_load(d->parts->loop, s->number, s->sub.type->load(&s->sub));
        }
    }
}

/* Before messages of a group: loop 0 must know whether the member is there. */
static void member_tell(struct session *s)
{
    td_loop_member_load(s->d->parts->loop, s->number, s->sub.type->load(&s->sub));
}

bool td_mqttd_shared_give_back(struct session *s, struct entry *e, uint32_t load_max)
{
    struct td_loop *l = s->d->parts->loop;
    if (number_of(s->d) == 0) {
        return false;
    }
    if (s->member) {
        member_tell(s);
    }
    struct td_message *m = td_message_ref(e->m);
    const struct td_loop_given given = {.session = s->number,
                                        .load_max = load_max,
                                        .group = e->group,
                                        .id = e->id_count > 0 ? e->ids[0] : 0,
                                        .qos = e->qos,
                                        .retain = e->retain};
    td_mqttd_entry_end(s, e);
    td_loop_give_back(l, m, &given);
    td_message_unref(m);
    s->d->stats.redispatched++;
    return true;
}

void td_mqttd_gather(struct td_mqttd *d, uint64_t session, uint32_t key)
{
    struct session *s = session_at(d, session);
    if (s != NULL && (s->conn == NULL || !s->conn->open)) {
        td_mqttd_shared_return(s, key, TD_LOAD_ABSENT);
    }
}

void td_mqttd_loops_turn(struct td_mqttd *d)
{
    members_tell(d);
    conns_go(d);
}
