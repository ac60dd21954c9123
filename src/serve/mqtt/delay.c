/* serve/mqtt: messages that are to be published later.
 *
 *   $delayed/<seconds>/<topic>        any version
 *   user property delay: <seconds>    5.0
 *
 * One is accepted like a message of its topic: by the rights to that, and acknowledged when the
 * store has it. It waits in the order of its time, whether its client is there or not. When it is
 * due the rights are asked again; its row goes in the batch that its publish ends, so a crash
 * leaves either the row or what the publish made of it.
 *
 * While the hub runs, the monotonic clock says when it is due; after a restart the wall clock does,
 * and what was due meanwhile goes out at once, in its order. Number and bytes are bounded, and so
 * is how many go out in one turn. They are kept by the loop of their client. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

enum {
    DELAY_S_MAX = 366 * 24 * 3600,
    TURN_MAX = 256 /* of one turn, so that a backlog lets others have theirs */
};

struct delayed {
    struct td_timer timer;
    uint64_t number;      /* its key in the store, in the order of birth */
    td_wall due;          /* as it was when it was accepted */
    struct td_message *m; /* expires: a span from when it goes out; TD_NEVER: none */
    uint32_t who_n;
    uint8_t who[]; /* session_key() of who said it */
};

/* ---- what a PUBLISH asks for ---- */

static bool seconds_read(td_slice text, uint32_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.n > 10 || !td_in(text.p[i], '0', '9')) {
            return false;
        }
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    if (text.n == 0 || v > DELAY_S_MAX) {
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

static uint8_t topic_read(struct td_mqtt_packet *p, uint32_t *delay_s)
{
    td_slice rest = td_slice_skip(p->topic, strlen(DELAYED));
    size_t n = td_slice_find(rest, '/');
    td_slice topic = td_slice_skip(rest, n + 1);
    if (topic.n == 0 || td_slice_starts(topic, TD_STR(DELAYED)) ||
        !seconds_read(td_slice_head(rest, n), delay_s)) {
        return TD_MQTT_REASON_TOPIC_NAME_INVALID;
    }
    p->topic = topic;
    return TD_MQTT_REASON_SUCCESS;
}

uint8_t td_mqttd_delay_read(const struct td_mqttd *d, struct td_mqtt_packet *p, uint32_t *delay_s)
{
    bool off = d->config.delayed_messages_max == 0;
    td_slice rest = p->props.raw, name, value;
    if (td_slice_starts(p->topic, TD_STR(DELAYED))) {
        return off ? TD_MQTT_REASON_TOPIC_NAME_INVALID : topic_read(p, delay_s);
    }
    while (!off && p->props.has != 0 && td_mqtt_user_next(&rest, &name, &value)) {
        if (td_slice_eq(name, TD_STR("delay"))) {
            return seconds_read(value, delay_s) ? TD_MQTT_REASON_SUCCESS
                                                : TD_MQTT_REASON_IMPLEMENTATION_SPECIFIC_ERROR;
        }
    }
    return TD_MQTT_REASON_SUCCESS;
}

/* ---- waiting ---- */

static size_t bytes_of(const struct delayed *w)
{
    return sizeof *w + w->who_n + td_message_bytes(w->m);
}

/* Each loop has its share of what there is. */
bool td_mqttd_delay_room(struct td_mqttd *d, const struct td_mqtt_packet *p)
{
    struct td_mqttd_stats *stats = &d->stats;
    uint64_t more = sizeof(struct delayed) + sizeof(struct td_message) + p->bytes;
    bool room = d->memory.level < TIGHT &&
                stats->delayed * d->stride < d->config.delayed_messages_max &&
                (stats->delayed_bytes + more) * d->stride <= d->config.delayed_bytes_max;
    stats->delayed_refused += !room;
    return room;
}

static struct delayed *delayed_new(struct td_mqttd *d, uint64_t number, td_slice who,
                                   struct td_message *m)
{
    struct delayed *w = td_alloc(sizeof *w + who.n);
    w->number = number;
    w->m = td_message_ref(m);
    w->who_n = (uint32_t)who.n;
    (void)td_put_bytes(w->who, who);
    d->stats.delayed++;
    d->stats.delayed_bytes += bytes_of(w);
    return w;
}

static void delayed_free(struct td_mqttd *d, struct delayed *w)
{
    d->stats.delayed--;
    d->stats.delayed_bytes -= bytes_of(w);
    td_heap_set(&d->delays, &w->timer, TD_NEVER);
    td_message_unref(w->m);
    free(w);
}

static td_slice key_of(const struct delayed *w, uint8_t key[8])
{
    (void)td_put_u64(key, w->number);
    return (td_slice){key, 8};
}

static void row_delete(struct td_mqttd *d, const struct delayed *w)
{
    uint8_t key[8];
    td_stage_del(d->parts, TD_STATE_DELAYED, key_of(w, key));
}

static void row_put(struct td_mqttd *d, const struct delayed *w)
{
    uint8_t key[8];
    struct td_buf *b = &d->record;
    td_buf_clear(b);
    td_assert(td_buf_add_lump(b, (td_slice){w->who, w->who_n}) == TD_OK &&
              td_buf_add_varint(b, (uint64_t)w->due) == TD_OK);
    td_mqttd_keep_message_add(d, b, w->m, w->m->expires == TD_NEVER ? 0 : w->m->expires);
    td_stage_put(d->parts, TD_STATE_DELAYED, key_of(w, key), td_buf_slice(b));
}

uint64_t td_mqttd_delay(struct session *s, struct td_message *m, uint32_t delay_s)
{
    struct td_mqttd *d = s->d;
    d->next_delayed += d->stride;
    struct delayed *w = delayed_new(d, d->next_delayed, session_key(s), m);
    w->due = d->parts->wall + (td_wall)delay_s * TD_NS_PER_S;
    td_heap_set(&d->delays, &w->timer, td_mono_after(d->parts->now, (td_ms)delay_s * 1000));
    row_put(d, w);
    d->stats.delayed_accepted++;
    return td_stage_end(d->parts, m->qos > 0 ? TD_STORE_NOW : TD_STORE_1S);
}

enum td_err td_mqttd_delay_restore(struct td_mqttd *d, uint64_t number, td_slice value, td_mono now)
{
    struct td_cursor c = td_cursor_of(value);
    struct td_message m;
    td_slice who = td_cursor_lump(&c);
    td_wall due = (td_wall)td_cursor_varint64(&c);
    td_wall span = td_mqttd_keep_message_read(d, &c, &m);
    if (c.err != TD_OK || !td_topic_valid(m.topic) || due < 0 || due > INT64_MAX / 2) {
        return TD_ECORRUPT;
    }
    m.expires = span == 0 ? TD_NEVER : span;
    struct delayed *w = delayed_new(d, number, who, &m);
    td_message_done(&m);
    w->due = due;
    td_wall wall = d->parts->sys->wall(d->parts->sys);
    td_heap_set(&d->delays, &w->timer, due <= wall ? now - (wall - due) : now + (due - wall));
    return TD_OK;
}

/* ---- due ---- */

static td_slice principal_of(const struct delayed *w)
{
    td_slice who = {w->who, w->who_n};
    return td_slice_head(who, td_slice_find(who, '\0'));
}

static td_slice client_of(const struct delayed *w)
{
    return td_slice_skip((td_slice){w->who, w->who_n}, principal_of(w).n + 1);
}

/* Who said it, with a reference; NULL: is gone. */
static struct td_principal *author(const struct td_mqttd *d, const struct delayed *w)
{
    return td_guard_author_gone(d->parts->guard, w->m->author)
               ? NULL
               : td_guard_principal(d->parts->guard, principal_of(w));
}

static bool may_say(const struct td_mqttd *d, const struct delayed *w)
{
    struct td_principal *p = author(d, w);
    if (p == NULL) {
        return false;
    }
    bool may = td_guard_may(p, client_of(w), TD_GUARD_PUBLISH, w->m->topic) &&
               (!w->m->retain || td_guard_may(p, client_of(w), TD_GUARD_WRITE, w->m->topic));
    td_principal_unref(d->parts->guard, p);
    return may;
}

/* The session may have ended since, or be another one of the same client. */
static void publish(struct td_mqttd *d, const struct delayed *w, td_mono now)
{
    const struct td_message *kept = w->m;
    td_slice who = {w->who, w->who_n};
    const struct session *s = td_mqttd_session_find(d, who);
    struct td_message m = {.topic = kept->topic,
                           .payload = kept->payload,
                           .props = kept->props,
                           .expires = kept->expires == TD_NEVER
                                          ? TD_NEVER
                                          : td_mono_after(now, kept->expires / TD_NS_PER_MS),
                           .at = d->parts->wall,
                           .origin = s != NULL ? s->number : 0,
                           .author = kept->author,
                           .owner = kept->retain ? session_owner_of(who) : 0,
                           .qos = kept->qos,
                           .retain = kept->retain};
    (void)td_publish(d->parts, &m);
    td_message_done(&m);
}

void td_mqttd_delays_expire(struct td_mqttd *d, td_mono now)
{
    struct td_timer *t;
    for (int i = 0; i < TURN_MAX && (t = td_heap_first(&d->delays)) != NULL && t->at <= now &&
                    !td_stage_pressure(d->parts);
         i++) {
        struct delayed *w = TD_CONTAINER(t, struct delayed, timer);
        row_delete(d, w);
        if (may_say(d, w)) {
            d->stats.delayed_published++;
            publish(d, w, now);
        } else {
            d->stats.delayed_denied++;
        }
        (void)td_stage_end(d->parts, TD_STORE_1S); /* if no publish has */
        delayed_free(d, w);
    }
}

td_mono td_mqttd_delays_deadline(const struct td_mqttd *d)
{
    const struct td_timer *t = td_heap_first(&d->delays);
    /* Under pressure they wait for the end of a commit, which is an event. */
    return t == NULL || td_stage_pressure(d->parts) ? TD_NEVER : t->at;
}

/* ---- looking, cancelling ---- */

static struct td_mqttd_delayed told(const struct delayed *w)
{
    return (struct td_mqttd_delayed){.number = w->number,
                                     .topic = w->m->topic,
                                     .principal = principal_of(w),
                                     .client_id = client_of(w),
                                     .due = w->due,
                                     .payload_bytes = w->m->payload.n,
                                     .qos = w->m->qos,
                                     .retain = w->m->retain};
}

void td_mqttd_delayed_each(const struct td_mqttd *d,
                           void (*fn)(void *ctx, const struct td_mqttd_delayed *m), void *ctx)
{
    for (size_t i = 0; i < d->delays.count; i++) {
        struct td_mqttd_delayed m = told(TD_CONTAINER(d->delays.at[i], struct delayed, timer));
        fn(ctx, &m);
    }
}

static struct delayed *find(const struct td_mqttd *d, uint64_t number)
{
    for (size_t i = 0; i < d->delays.count; i++) {
        struct delayed *w = TD_CONTAINER(d->delays.at[i], struct delayed, timer);
        if (w->number == number) {
            return w;
        }
    }
    return NULL;
}

bool td_mqttd_delayed_find(const struct td_mqttd *d, uint64_t number, struct td_mqttd_delayed *out)
{
    const struct delayed *w = find(d, number);
    if (w != NULL) {
        *out = told(w);
    }
    return w != NULL;
}

uint64_t td_mqttd_delayed_cancel(struct td_mqttd *d, uint64_t number)
{
    struct delayed *w = find(d, number);
    td_assert(w != NULL);
    row_delete(d, w);
    delayed_free(d, w);
    d->stats.delayed_cancelled++;
    return td_stage_end(d->parts, TD_STORE_NOW);
}

/* They are gathered first, as the heap moves. */
void td_mqttd_delays_purge(struct td_mqttd *d)
{
    size_t count = 0, all = d->delays.count;
    struct delayed **doomed = td_alloc((all + 1) * sizeof(struct delayed *));
    for (size_t i = 0; i < all; i++) {
        struct delayed *w = TD_CONTAINER(d->delays.at[i], struct delayed, timer);
        struct td_principal *p = author(d, w);
        if (p == NULL) {
            doomed[count++] = w;
        } else {
            td_principal_unref(d->parts->guard, p);
        }
    }
    for (size_t i = 0; i < count; i++) {
        row_delete(d, doomed[i]);
        delayed_free(d, doomed[i]);
        d->stats.delayed_denied++;
        td_mqttd_keep_piece(d);
    }
    free(doomed);
}

void td_mqttd_delays_free(struct td_mqttd *d)
{
    while (d->delays.count > 0) {
        delayed_free(d, TD_CONTAINER(d->delays.at[d->delays.count - 1], struct delayed, timer));
    }
    td_heap_fini(&d->delays);
}
