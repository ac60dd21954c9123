/* serve/mqtt: the retained messages that a subscription asks for.
 *
 * They go into the session's queue at once when there is room for it. A client that asks again
 * before it has taken what it asked for, or asks for more than memory has room for, waits: its
 * asks stand in a line and are answered one by one, each when what the last one brought has been
 * sent. So what one client can have queued is bounded by what is retained, however often it
 * asks. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

enum { QUEUE_FEW = 1000, ASKS_MAX = 64 };

struct ask {
    struct ask *next;
    uint64_t lsn; /* the SUBACK's, with several loops: until they know of the filter */
    uint32_t id;  /* subscription identifier, 0: none */
    uint8_t qos;
    uint16_t n;
    uint8_t filter[];
};

struct retained_to {
    struct session *session;
    uint8_t qos;
    uint32_t id;
};

static void give(void *ctx, struct td_message *m)
{
    const struct retained_to *to = ctx;
    td_mqttd_session_owe_retained(to->session, m, to->qos, to->id);
}

static void answer(struct session *s, td_slice filter, uint8_t qos, uint32_t id)
{
    struct retained_to to = {s, qos, id};
    struct td_loop *l = s->d->parts->loop;
    if (l != NULL && td_loop_number(l) != 0) { /* they stand on loop 0 */
        td_loop_ask_retained(l, s->number, filter, qos, id);
        return;
    }
    td_hub_retained_each(s->d->parts->hub, filter, s->d->now, give, &to);
}

static bool has_room(const struct session *s)
{
    const struct td_mqttd *d = s->d;
    uint64_t most = td_hub_stats(d->parts->hub)->retained * TD_MQTTD_ENTRY_BYTES;
    return td_mqttd_memory_has(d, most);
}

void td_mqttd_retained_ask(struct session *s, td_slice filter, uint8_t qos, uint32_t id,
                           uint64_t lsn)
{
    lsn = s->d->parts->loop == NULL ? 0 : lsn;
    if (s->asks == NULL && td_stage_done(s->d->parts, lsn) && s->waiting.count < QUEUE_FEW &&
        has_room(s)) {
        answer(s, filter, qos, id);
        return;
    }
    struct ask *a = td_alloc(sizeof *a + filter.n);
    *a = (struct ask){.lsn = lsn, .id = id, .qos = qos, .n = (uint16_t)filter.n};
    (void)td_put_bytes(a->filter, filter);
    struct ask **end = &s->asks;
    while (*end != NULL) { /* few: its client is not read from when there are many */
        end = &(*end)->next;
    }
    *end = a;
    s->ask_count++;
    td_mqttd_session_pump_later(s);
}

bool td_mqttd_retained_many(const struct session *s)
{
    return s->ask_count >= ASKS_MAX;
}

static bool is_subscribed(const struct session *s, td_slice filter)
{
    const struct td_subscription *sub = s->sub.first;
    while (sub != NULL && !td_slice_eq(sub->filter, filter)) {
        sub = sub->next;
    }
    return sub != NULL;
}

static void ask_free_first(struct session *s)
{
    struct ask *a = s->asks;
    s->asks = a->next;
    s->ask_count--;
    free(a);
}

bool td_mqttd_retained_next(struct session *s)
{
    if (s->asks == NULL) {
        return false;
    }
    if (!td_stage_done(s->d->parts, s->asks->lsn)) {
        td_mqttd_session_pump_when_durable(s);
        return false;
    }
    if (!has_room(s)) {
        s->d->memory.asked = true;
        return false;
    }
    td_slice filter = {s->asks->filter, s->asks->n};
    if (is_subscribed(s, filter)) {
        answer(s, filter, s->asks->qos, s->asks->id);
    }
    ask_free_first(s);
    return true;
}

void td_mqttd_retained_forget(struct session *s)
{
    while (s->asks != NULL) {
        ask_free_first(s);
    }
}
