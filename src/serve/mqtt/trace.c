/* serve/mqtt: what happened to messages lately, and why a client got one, or not.
 *
 * Two rings are written always, 32 bytes a publish and a drop: publishes come by thousands and
 * drops should be rare, so drops have a ring of their own and are remembered longer. A row knows
 * its topic by a hash; it is asked for by a topic, so the hash is enough. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

static void ring_init(struct trace_ring *ring, size_t rows)
{
    *ring =
        (struct trace_ring){.rows = td_alloc(rows * sizeof(struct trace_row)), .mask = rows - 1};
}

void td_mqttd_trace_init(struct td_mqttd *d)
{
    _Static_assert(sizeof(struct trace_row) == 32, "it is written for each message");
    ring_init(&d->publishes, TRACE_PUBLISHES);
    ring_init(&d->drops, TRACE_DROPS);
}

void td_mqttd_trace_fini(struct td_mqttd *d)
{
    free(d->publishes.rows);
    free(d->drops.rows);
}

/* ---- what happened ---- */

static td_slice name_of(const struct td_mqttd *d, uint64_t number)
{
    for (size_t i = 0; number != 0 && i < d->sessions.count; i++) {
        const struct session *s = d->sessions.entries[i].value;
        if (s->number == number) {
            return session_client_id(s);
        }
    }
    return (td_slice){NULL, 0};
}

static struct td_mqttd_trace told(const struct td_mqttd *d, const struct trace_row *row,
                                  td_mono now)
{
    return (struct td_mqttd_trace){
        .kind = (enum td_mqttd_trace_kind)row->kind,
        .age_ms = (uint64_t)(now > row->at ? (now - row->at) / TD_NS_PER_MS : 0),
        .client_id = name_of(d, row->who),
        .count = row->count,
        .qos = row->qos,
        .retain = row->retain,
        .why = (enum td_drop)row->why};
}

static size_t ring_find(const struct td_mqttd *d, const struct trace_ring *ring, uint64_t topic,
                        td_mono now, struct td_mqttd_trace *out, size_t max)
{
    size_t n = 0;
    size_t known = ring->next < ring->mask + 1 ? ring->next : ring->mask + 1;
    for (size_t back = 1; back <= known && n < max; back++) {
        const struct trace_row *row = &ring->rows[(ring->next - back) & ring->mask];
        if (row->topic == topic) {
            out[n++] = told(d, row, now);
        }
    }
    return n;
}

size_t td_mqttd_trace(const struct td_mqttd *d, td_slice topic, td_mono now,
                      struct td_mqttd_trace *out, size_t max)
{
    uint64_t hash = td_hub_topic_hash(d->parts->hub, topic);
    size_t n = ring_find(d, &d->publishes, hash, now, out, max / 2);
    return n + ring_find(d, &d->drops, hash, now, out + n, max - n);
}

/* ---- why a client gets one ---- */

static struct session *find(struct td_mqttd *d, td_slice principal, td_slice client_id)
{
    return td_mqttd_session_find(d, td_mqttd_session_key(d, principal, client_id));
}

bool td_mqttd_hearings(struct td_mqttd *d, td_slice principal, td_slice client_id, td_slice topic,
                       void (*fn)(void *ctx, const struct td_mqttd_hearing *h), void *ctx)
{
    const struct session *s = find(d, principal, client_id);
    if (s == NULL) {
        return false;
    }
    for (const struct td_subscription *sub = s->sub.first; sub != NULL; sub = sub->next) {
        struct td_mqttd_hearing h = {
            .filter = sub->filter, .qos = sub->options.qos, .no_local = sub->options.no_local};
        td_slice group, inner = sub->filter;
        h.shared = td_filter_shared(sub->filter, &group, &inner);
        h.matches = td_filter_explain(inner, topic, &h.miss);
        fn(ctx, &h);
    }
    return true;
}

void td_mqttd_owed(struct td_mqttd *d, td_slice principal, td_slice client_id, td_slice topic,
                   struct td_mqttd_owed *out)
{
    struct session *s = find(d, principal, client_id);
    uint32_t at = 0;
    *out = (struct td_mqttd_owed){.waiting = 0};
    if (s == NULL) {
        return;
    }
    out->denied = !s->trusted && !td_mqttd_may(s, TD_GUARD_READ, topic);
    for (const struct entry *e = s->waiting.first; e != NULL; e = e->next) {
        at++;
        if (td_slice_eq(e->m->topic, topic)) {
            out->position = out->waiting == 0 ? at : out->position;
            out->waiting++;
        }
    }
    for (const struct td_mqtt_slot *slot = NULL;
         (slot = td_mqtt_window_next(&s->window, slot)) != NULL;) {
        const struct entry *e = (const struct entry *)(uintptr_t)slot->body;
        out->sent += e->m != NULL && td_slice_eq(e->m->topic, topic);
    }
}

/* ---- who gets one ---- */

struct hearers {
    struct td_mqttd_hearer *out;
    size_t count, max, all;
    td_mono now;
};

static void hearer_add(struct hearers *h, struct td_subscriber *sub, td_slice group, uint8_t qos,
                       bool no_local)
{
    const struct session *s = td_mqttd_session_of(sub);
    if (s == NULL) {
        return;
    }
    h->all++;
    if (h->count < h->max) {
        struct td_mqttd_hearer *out = &h->out[h->count++];
        *out = (struct td_mqttd_hearer){.group = group, .qos = qos, .no_local = no_local};
        td_mqttd_client_read(s, h->now, &out->client);
    }
}

size_t td_mqttd_hearers(struct td_mqttd *d, td_slice topic, td_mono now,
                        struct td_mqttd_hearer *out, size_t max, size_t *all)
{
    struct hearers h = {.out = out, .max = max, .now = now};
    static const td_slice none = {NULL, 0};
    const struct td_match *match = td_hub_match(d->parts->hub, topic);
    for (uint32_t i = 0; i < match->count; i++) {
        const struct td_delivery *delivery = &match->deliveries[i];
        hearer_add(&h, delivery->to, none, delivery->qos, delivery->no_local);
    }
    for (uint32_t i = 0; i < match->group_count; i++) {
        const struct td_subscription *sub;
        for (uint32_t at = 0; (sub = td_hub_group_member(match->groups[i], at)) != NULL; at++) {
            td_slice group, inner;
            (void)td_filter_shared(sub->filter, &group, &inner); /* it is in a group */
            hearer_add(&h, sub->who, group, sub->options.qos, false);
        }
    }
    *all = h.all;
    return h.count;
}
