/* serve/mqtt: shared subscriptions (5.0, 4.8.2). The hub chooses a member for each message; what
 * that member turns out not to deliver goes back here, so that a group with members loses nothing:
 *
 *   its line breaks     what it was not sent goes to a member that is there; if none is, it stays
 *   a member comes      it and others take what absent ones hold
 *   it leaves the group what it was not sent goes to any other
 *   its session ends    that, and QoS 1 that was sent and not acknowledged
 *
 * QoS 2 that was sent never changes hands (MQTT-4.8.2-4, -5); a PUBACK or PUBREC of 0x80 or more
 * discards (MQTT-4.8.2-6). Each change of hands is one batch of the store: a crash finds a message
 * with one of the two. While a member is durable the store keeps what the others are given as
 * well; what was theirs when the hub died goes to that member at start (keep.c). */
#include "serve/mqtt/inner.h"

bool td_mqttd_shared_hand_over(struct session *s, struct entry *e, uint32_t load_max)
{
    struct td_mqttd *d = s->d;
    struct td_delivery to;
    if (td_mqttd_shared_give_back(s, e, load_max)) {
        return true;
    }
    if (!td_hub_group_again(d->parts->hub, e->m->topic, e->group, load_max, &to)) {
        return false;
    }
    td_assert(to.to != &s->sub && d->routed_count == 0);
    td_stage_join(d->parts);
    to.to->type->deliver(to.to, e->m, &to);
    (void)td_mqttd_route(d, e->m);
    td_mqttd_entry_end(s, e);
    td_mqttd_routed(d, td_stage_joined(d->parts));
    d->stats.redispatched++;
    return true;
}

/* What is given back: of one group, or of all (key 0). Once nobody could take a message of a group
 * the next one is not tried. */
struct giving {
    uint32_t key, load_max, nobody;
};

static bool give(struct session *s, struct giving *g, struct entry *e)
{
    if (e->group == 0 || (g->key != 0 && e->group != g->key) || e->group == g->nobody) {
        return false;
    }
    uint32_t group = e->group;
    if (td_mqttd_shared_hand_over(s, e, g->load_max)) {
        return true;
    }
    g->nobody = group;
    return false;
}

/* Has a packet id, but was not written on any connection. */
static void sending_give(struct session *s, struct giving *g)
{
    for (uint32_t n = s->sending.count; n > 0; n--) {
        struct entry *e = td_mqttd_queue_take(&s->sending);
        uint16_t id = e->packet_id;
        if (e->m == NULL || e->sent || !give(s, g, e)) {
            td_mqttd_queue_add(&s->sending, e);
        } else if (id != 0) {
            td_mqtt_window_drop(&s->window, id);
        }
    }
}

static void waiting_give(struct session *s, struct giving *g)
{
    for (uint32_t n = s->waiting.count; n > 0; n--) {
        struct entry *e = td_mqttd_waiting_take(s);
        if (!give(s, g, e)) {
            td_mqttd_waiting_add(s, e);
        }
    }
}

static void groups_park(struct session *s)
{
    for (struct td_subscription *sub = s->sub.first; sub != NULL; sub = sub->next) {
        if (sub->group != NULL) {
            td_hub_group_park(sub);
        }
    }
}

void td_mqttd_shared_return(struct session *s, uint32_t key, uint32_t load_max)
{
    struct giving g = {key, load_max, 0};
    if (s->shared_owed == 0) {
        return;
    }
    sending_give(s, &g);
    waiting_give(s, &g);
    if (s->shared_owed > 0) {
        groups_park(s);
    }
}

void td_mqttd_shared_end(struct session *s)
{
    struct giving g = {0, UINT32_MAX, 0};
    if (s->shared_owed == 0) {
        return;
    }
    sending_give(s, &g);
    for (struct td_mqtt_slot *slot = NULL, *next;
         (next = td_mqtt_window_next(&s->window, slot)) != NULL;) {
        struct entry *e = (struct entry *)(uintptr_t)next->body;
        uint16_t id = next->id;
        bool may = e->m != NULL && !e->queued && (e->qos == 1 || !e->sent);
        if (may && give(s, &g, e)) {
            td_mqtt_window_drop(&s->window, id);
        } else {
            slot = next;
        }
    }
    waiting_give(s, &g);
}

static void gather_from(void *ctx, struct td_subscriber *member)
{
    struct session *s = td_mqttd_session_of(member);
    if (s == NULL) {
        td_loop_member_gather(member, *(const uint32_t *)ctx);
    } else if (s->conn == NULL || !s->conn->open) {
        td_mqttd_shared_return(s, *(const uint32_t *)ctx, TD_LOAD_ABSENT);
    }
}

void td_mqttd_shared_gather(struct session *s)
{
    const struct td_loop *l = s->d->parts->loop;
    if (l == NULL || td_loop_number(l) == 0) { /* else loop 0 does, when it hears of it */
        td_mqttd_shared_come(&s->sub, NULL);
    }
}

void td_mqttd_shared_come(struct td_subscriber *who, const struct td_subscription *only)
{
    for (struct td_subscription *sub = who->first; sub != NULL; sub = sub->next) {
        if (sub->group != NULL && (only == NULL || sub == only)) {
            uint32_t key = td_hub_group_key(sub->filter);
            td_hub_group_unpark(sub, gather_from, &key);
        }
    }
}
