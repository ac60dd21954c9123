/* serve/mqtt: how much memory is held, and what gives way when it is too much.
 *
 * Buffers are counted as they grow; all else (messages, retained ones, the tree, the store, what
 * the allocator cannot give back) is what the process holds beyond them, looked at ten times a
 * second and whenever much has come in. Between two looks every byte that comes in counts as
 * held.
 *
 *   above 60 %   no further topics are retained or recorded, no messages for later taken: what they
 *                hold stays
 *   above 80 %   no new clients; slow readers lose QoS 0 sooner; who sends most is read less
 *   above 95 %   who holds most is closed, or loses the oldest of its queue, until it is less */
#include <stdlib.h>

#include "serve/mqtt/inner.h"
#include "serve/record.h"

enum {
    LOOK_MS = 100,
    TRIM_MS = 1000,
    TAKEN_MAX = 256, /* from so many at a look */

    SESSION_BYTES = 512, /* where the system does not say what the process holds */
    CONNECTION_BYTES = 1024,
    NODE_BYTES = 128
};

static const struct {
    unsigned percent;
    uint32_t read_max; /* bytes of one connection until the next look */
    const char *word;
} levels[] = {[CALM] = {0, UINT32_MAX, "calm"},
              [TIGHT] = {60, UINT32_MAX, "tight"},
              [BUSY] = {80, 256 * 1024, "busy"},
              [FULL] = {95, 32 * 1024, "full"}};

static uint64_t limit_of(const struct td_mqttd *d)
{
    return d->config.limits.memory_max;
}

/* What is held now, going by what came in and was queued since the last look. */
static uint64_t estimate(const struct td_mqttd *d)
{
    uint64_t queued = d->stats.queued > d->memory.seen_queued
                          ? (d->stats.queued - d->memory.seen_queued) * TD_MQTTD_ENTRY_BYTES
                          : 0;
    return d->memory.slack + d->memory.held + (d->stats.bytes_in - d->memory.seen_in) + queued;
}

bool td_mqttd_memory_has(const struct td_mqttd *d, uint64_t n)
{
    return limit_of(d) == 0 || estimate(d) + n <= limit_of(d);
}

/* Where the system knows nothing (in the simulator), what the tables say. */
static uint64_t counted(const struct td_mqttd *d)
{
    const struct td_hub_stats *hub = td_hub_stats(d->parts->hub);
    return d->memory.held + d->stats.queued * TD_MQTTD_ENTRY_BYTES + d->stats.queued_bytes +
           d->stats.delayed_bytes + hub->retained_bytes + hub->nodes * NODE_BYTES +
           hub->subscriptions * NODE_BYTES + d->stats.sessions * SESSION_BYTES +
           d->stats.connections * CONNECTION_BYTES;
}

static uint64_t percent(const struct td_mqttd *d, unsigned n)
{
    return limit_of(d) / 100 * n;
}

static uint64_t held_by_process(struct td_mqttd *d, td_mono now)
{
    struct td_sys *sys = d->parts->sys;
    uint64_t bytes = sys->memory(sys, false);
    if (bytes >= percent(d, 80) && now >= d->memory.trim_at) {
        d->memory.trim_at = td_mono_after(now, TRIM_MS);
        bytes = sys->memory(sys, true);
    }
    return bytes > 0 ? bytes : counted(d);
}

static void look(struct td_mqttd *d, td_mono now)
{
    uint64_t used = held_by_process(d, now);
    d->memory.slack = used > d->memory.held ? used - d->memory.held : 0;
    d->memory.seen_in = d->stats.bytes_in;
    d->memory.seen_queued = d->stats.queued;
    d->memory.seen_held = d->memory.held;
    d->memory.next_at = td_mono_after(now, LOOK_MS);
    d->memory.look++;
    d->stats.memory = used;
    d->stats.memory_max = limit_of(d);
}

static void spares_free(struct td_mqttd *d)
{
    while (d->spare_count > 0) {
        d->memory.held -= d->spare[--d->spare_count].cap;
        td_buf_fini(&d->spare[d->spare_count]);
    }
}

static void level_set(struct td_mqttd *d)
{
    uint64_t used = estimate(d);
    uint8_t level = CALM;
    while (level < FULL && used >= percent(d, levels[level + 1].percent)) {
        level++;
    }
    if (level != d->memory.level) {
        td_log("mqtt", level >= BUSY ? TD_LOG_WARN : TD_LOG_INFO, "memory",
               "level=%s bytes=%llu max=%llu", levels[level].word, (unsigned long long)used,
               (unsigned long long)limit_of(d));
    }
    if (level >= BUSY) {
        spares_free(d);
    }
    d->memory.level = level;
    d->memory.read_max = levels[level].read_max;
    d->stats.memory_level = level;
    td_hub_retain_hold(d->parts->hub, level > CALM);
    if (d->parts->record != NULL) { /* of several loops one has it */
        td_record_hold(d->parts->record, level > CALM);
    }
}

/* ---- taking ---- */

static uint64_t held_by_conn(const struct conn *c)
{
    return c->in.cap + c->out.cap +
           (c->answers == NULL ? 0
                               : c->answers->bytes.cap + c->answers->cap * sizeof(struct answer));
}

static uint64_t held_by_session(const struct session *s)
{
    return s->waiting.bytes + s->waiting.count * (uint64_t)TD_MQTTD_ENTRY_BYTES;
}

static struct conn *largest_conn(const struct td_mqttd *d)
{
    struct conn *best = NULL;
    uint64_t most = 64 * 1024; /* what is less helps nobody */
    for (struct conn *c = d->conns; c != NULL; c = c->next) {
        uint64_t held = held_by_conn(c) + (c->session == NULL ? 0 : held_by_session(c->session));
        if (held > most && !c->last_word) {
            most = held;
            best = c;
        }
    }
    return best;
}

static struct session *largest_session(const struct td_mqttd *d)
{
    struct session *best = NULL;
    uint64_t most = 64 * 1024;
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.entries[i].value;
        if (held_by_session(s) > most) {
            most = held_by_session(s);
            best = s;
        }
    }
    return best;
}

/* Its buffers go at once; where its socket takes it, it hears why. */
static void close_holder(struct conn *c, td_mono now)
{
    c->d->stats.memory_closed++;
    if (conn_unsent(c) > 0) {
        td_mqttd_conn_close(c, now);
    } else {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_QUOTA_EXCEEDED, "it held most of the hub's memory",
                             now);
    }
    td_mqttd_conn_buffers_drop(c);
}

/* Takes from the greatest holders; false: nobody holds much. */
static bool take_one(struct td_mqttd *d, td_mono now)
{
    struct conn *c = largest_conn(d);
    struct session *s = largest_session(d);
    if (s != NULL && (c == NULL || held_by_session(s) > held_by_conn(c))) {
        td_mqttd_session_shed(s);
        return true;
    }
    if (c != NULL) {
        close_holder(c, now);
    }
    return c != NULL;
}

/* Sessions that waited for room may look again. */
static void askers_wake(struct td_mqttd *d)
{
    d->memory.asked = false;
    for (struct conn *c = d->conns; c != NULL; c = c->next) {
        if (c->session != NULL && c->session->asks != NULL) {
            td_mqttd_session_pump_later(c->session);
        }
    }
}

void td_mqttd_memory_turn(struct td_mqttd *d, td_mono now)
{
    uint64_t step = limit_of(d) / 64;
    if (limit_of(d) == 0 ||
        (now < d->memory.next_at && d->stats.bytes_in - d->memory.seen_in < step &&
         d->memory.held < d->memory.seen_held + step)) {
        return;
    }
    look(d, now);
    level_set(d);
    if (d->memory.asked) {
        askers_wake(d);
    }
    for (int i = 0; i < TAKEN_MAX && d->memory.level == FULL && take_one(d, now); i++) {
        if (i % 16 == 15) {
            look(d, now);
            level_set(d);
        }
    }
}

td_mono td_mqttd_memory_deadline(const struct td_mqttd *d)
{
    return d->memory.level >= BUSY || d->memory.asked ? d->memory.next_at : TD_NEVER;
}
