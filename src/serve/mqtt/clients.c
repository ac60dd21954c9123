/* serve/mqtt: clients, one by one: what each has sent, got, not got, and how long it takes. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

/* ---- counting ---- */

const char *td_drop_name(enum td_drop why)
{
    static const char *const names[] = {
#define D(NAME, name, text) #name,
        TD_DROPS(D)
#undef D
    };
    return names[why];
}

static uint64_t *dropped_of_all(struct td_mqttd_stats *stats, enum td_drop why)
{
    uint64_t *const fields[] = {
#define D(NAME, name, text) &stats->dropped_##name,
        TD_DROPS(D)
#undef D
    };
    return fields[why];
}

void td_mqttd_drop(struct session *s, td_slice topic, enum td_drop why)
{
    struct tally *t = &s->tally;
    trace_add(&s->d->drops, (struct trace_row){.topic = td_hub_topic_hash(s->d->parts->hub, topic),
                                               .who = s->number,
                                               .at = s->d->now,
                                               .count = s->waiting.count,
                                               .kind = TD_MQTTD_TRACE_DROP,
                                               .why = (uint8_t)why});
    ++*dropped_of_all(&s->d->stats, why);
    if (t->drops == NULL) {
        t->drops = td_alloc(TD_DROP_COUNT * sizeof *t->drops);
    }
    t->drops[why]++;
}

void td_mqttd_tally_ack(struct session *s, const struct entry *e)
{
    struct tally *t = &s->tally;
    uint32_t took = (uint32_t)(s->d->now / 1000) - e->sent_us; /* right for 71 minutes */
    t->ack_us = t->ack_us == 0 ? took : t->ack_us - t->ack_us / 8 + took / 8;
    t->ack_us_max = took > t->ack_us_max ? took : t->ack_us_max;
}

/* ---- what the audit log is told ---- */

void td_mqttd_audit(const struct session *s, enum td_audit_action action, bool refused,
                    td_slice object)
{
    const struct td_audit_event e = {.action = action,
                                     .refused = refused,
                                     .principal = session_principal(s),
                                     .object = object,
                                     .stream = s->conn == NULL ? -1 : s->conn->stream};
    td_audit_note(s->d->parts, &e);
}

void td_mqttd_login_refused(const struct conn *c, td_slice user)
{
    const struct td_audit_event e = {
        .action = TD_AUDIT_LOGIN, .refused = true, .object = user, .stream = c->stream};
    c->d->stats.logins_refused++;
    td_audit_note(c->d->parts, &e);
}

/* ---- asking ---- */

void td_mqttd_client_read(const struct session *s, td_mono now, struct td_mqttd_client *out)
{
    const struct tally *t = &s->tally;
    const struct conn *c = s->conn;
    *out = (struct td_mqttd_client){
        .principal = session_principal(s),
        .client_id = session_client_id(s),
        .connected = c != NULL,
        .version = c != NULL ? c->m.version : 0,
        .keep_alive_s = c != NULL ? c->m.keep_alive_s : 0,
        .stream = c != NULL ? c->stream : -1,
        .expiry_s = s->expiry_s,
        .since_ms = (uint64_t)(now > t->since ? (now - t->since) / TD_NS_PER_MS : 0),
        .subscriptions = s->sub.subscription_count,
        .messages_in = t->messages_in,
        .messages_out = t->messages_out,
        .bytes_in = t->bytes_in,
        .bytes_out = t->bytes_out,
        .queued = s->waiting.count,
        .queued_bytes = s->waiting.bytes,
        .unsent_bytes = c != NULL ? conn_unsent(c) : 0,
        .window = s->window.used,
        .window_max = c != NULL ? c->m.peer_receive_max : 0,
        .ack_us = t->ack_us,
        .ack_us_max = t->ack_us_max};
    for (size_t i = 0; i < TD_DROP_COUNT && t->drops != NULL; i++) {
        out->drops[i] = t->drops[i];
        out->dropped += t->drops[i];
    }
}

static uint64_t drops_of(const struct session *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < TD_DROP_COUNT && s->tally.drops != NULL; i++) {
        sum += s->tally.drops[i];
    }
    return sum;
}

static uint64_t key_of(const struct session *s, enum td_mqttd_sort by)
{
    switch (by) {
    case TD_MQTTD_SORT_NONE:
        break;
    case TD_MQTTD_SORT_QUEUE:
        return s->waiting.count;
    case TD_MQTTD_SORT_DROPS:
        return drops_of(s);
    case TD_MQTTD_SORT_UNSENT:
        return s->conn == NULL ? 0 : conn_unsent(s->conn);
    case TD_MQTTD_SORT_ACK:
        return s->tally.ack_us;
    case TD_MQTTD_SORT_IN:
        return s->tally.messages_in;
    case TD_MQTTD_SORT_OUT:
        return s->tally.messages_out;
    }
    return UINT64_MAX - s->number;
}

struct place {
    uint64_t key;
    const struct session *s;
};

/* Is a to stand before b? Of equals, the one that was born first. */
static bool before(const struct place *a, const struct place *b)
{
    return a->key != b->key ? a->key > b->key : a->s->number < b->s->number;
}

static int by_place(const void *a, const void *b)
{
    return before(a, b) ? -1 : 1;
}

/* A heap with the last of the chosen on top, which is the next to go. */
static void sink(struct place *heap, size_t n, struct place p)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && before(&heap[child], &heap[child + 1]);
        if (!before(&p, &heap[child])) {
            break;
        }
        heap[at] = heap[child];
    }
    heap[at] = p;
}

static void heap_make(struct place *heap, size_t n)
{
    qsort(heap, n, sizeof *heap, by_place); /* first to last: turned round it is a heap */
    for (size_t i = 0; i < n / 2; i++) {
        struct place p = heap[i];
        heap[i] = heap[n - 1 - i];
        heap[n - 1 - i] = p;
    }
}

static size_t choose(const struct td_mqttd *d, enum td_mqttd_sort by, struct place *chosen,
                     size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < d->sessions.count && max > 0; i++) {
        const struct session *s = d->sessions.entries[i].value;
        struct place p = {key_of(s, by), s};
        if (n < max) {
            chosen[n++] = p;
            if (n == max) {
                heap_make(chosen, n);
            }
        } else if (before(&p, &chosen[0])) {
            sink(chosen, n, p);
        }
    }
    qsort(chosen, n, sizeof *chosen, by_place);
    return n;
}

size_t td_mqttd_clients(const struct td_mqttd *d, enum td_mqttd_sort by, td_mono now,
                        struct td_mqttd_client *out, size_t max)
{
    struct place *chosen = td_alloc((max + 1) * sizeof *chosen);
    size_t n = choose(d, by, chosen, max);
    for (size_t i = 0; i < n; i++) {
        td_mqttd_client_read(chosen[i].s, now, &out[i]);
    }
    free(chosen);
    return n;
}

/* The next session of a client id from *at on; NULL: there are no more. */
static struct session *find_next(struct td_mqttd *d, td_slice principal, td_slice client_id,
                                 size_t *at)
{
    if (principal.n > 0) { /* there is one at most, and the map knows it */
        bool first = (*at)++ == 0;
        td_slice key = td_mqttd_session_key(d, principal, client_id);
        return first ? td_mqttd_session_find(d, key) : NULL;
    }
    while (*at < d->sessions.count) {
        struct session *s = d->sessions.entries[(*at)++].value;
        if (td_slice_eq(session_client_id(s), client_id)) {
            return s;
        }
    }
    return NULL;
}

size_t td_mqttd_clients_find(struct td_mqttd *d, td_slice principal, td_slice client_id,
                             td_mono now, struct td_mqttd_client *out, size_t max)
{
    size_t n = 0, at = 0;
    for (const struct session *s;
         n < max && (s = find_next(d, principal, client_id, &at)) != NULL;) {
        td_mqttd_client_read(s, now, &out[n++]);
    }
    return n;
}

size_t td_mqttd_clients_close(struct td_mqttd *d, td_slice principal, td_slice client_id,
                              td_mono now)
{
    struct conn *conns[16]; /* closing moves sessions about in the map: first find, then close */
    size_t n = 0, at = 0;
    d->now = now;
    for (const struct session *s;
         n < TD_COUNT(conns) && (s = find_next(d, principal, client_id, &at)) != NULL;) {
        if (s->conn != NULL) {
            conns[n++] = s->conn;
        }
    }
    for (size_t i = 0; i < n; i++) {
        td_mqttd_conn_refuse(conns[i], TD_MQTT_REASON_ADMINISTRATIVE_ACTION, "closed by the API",
                             now);
    }
    return n;
}
