/* serve/status: three tables (numbers, load averages, rows of metrics.def) and what was told last.
 *
 * A load average is mosquitto's: events a minute, with an exponential decay of 1, 5 or 15 minutes,
 * as the kernel's load average has it. */
#include "serve/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve/metrics.h"
#include "serve/mqtt/mqttd.h"

/* What the rows are computed from. */
struct sight {
    const struct td_hub_stats *hub;
    const struct td_mqttd_stats *mqtt;
};

static uint64_t dropped(const struct td_mqttd_stats *m)
{
    return m->dropped_queue_full + m->dropped_slow + m->dropped_offline + m->dropped_too_large +
           m->dropped_expired + m->dropped_refused + m->dropped_session_end;
}

/* ---- the tables ---- */

/* clang-format off */
#define NUMBERS(N) \
    N("clients/connected",           s->mqtt->clients) \
    N("clients/active",              s->mqtt->clients) \
    N("clients/disconnected",        s->mqtt->sessions - s->mqtt->clients) \
    N("clients/inactive",            s->mqtt->sessions - s->mqtt->clients) \
    N("clients/total",               s->mqtt->sessions) \
    N("clients/maximum",             s->mqtt->clients_max) \
    N("clients/expired",             s->mqtt->sessions_expired) \
    N("messages/received",           s->mqtt->packets_in) \
    N("messages/sent",               s->mqtt->packets_out) \
    N("messages/stored",             s->hub->retained + s->mqtt->queued) \
    N("store/messages/count",        s->hub->retained + s->mqtt->queued) \
    N("store/messages/bytes",        s->hub->retained_bytes + s->mqtt->queued_bytes) \
    N("retained messages/count",     s->hub->retained) \
    N("subscriptions/count",         s->hub->subscriptions) \
    N("shared_subscriptions/count",  s->hub->shared) \
    N("publish/messages/received",   s->mqtt->publish_in) \
    N("publish/messages/sent",       s->mqtt->publish_out) \
    N("publish/messages/dropped",    dropped(s->mqtt)) \
    N("publish/bytes/received",      s->mqtt->publish_bytes_in) \
    N("publish/bytes/sent",          s->mqtt->publish_bytes_out) \
    N("bytes/received",              s->mqtt->bytes_in) \
    N("bytes/sent",                  s->mqtt->bytes_out)

#define LOADS(L) \
    L("messages/received",   s->mqtt->packets_in) \
    L("messages/sent",       s->mqtt->packets_out) \
    L("publish/received",    s->mqtt->publish_in) \
    L("publish/sent",        s->mqtt->publish_out) \
    L("publish/dropped",     dropped(s->mqtt)) \
    L("bytes/received",      s->mqtt->bytes_in) \
    L("bytes/sent",          s->mqtt->bytes_out) \
    L("sockets",             s->mqtt->connections_total) \
    L("connections",         s->mqtt->connects)
/* clang-format on */

#define NAME(name, value) name,
#define VALUE(name, value) *out++ = value;

static const char *const number_names[] = {NUMBERS(NAME)};
static const char *const load_names[] = {LOADS(NAME)};
static const unsigned load_minutes[] = {1, 5, 15};

enum {
    NUMBER_COUNT = TD_COUNT(number_names),
    LOAD_COUNT = TD_COUNT(load_names),
    SPAN_COUNT = TD_COUNT(load_minutes),
    TOPIC_BYTES = 128,
    TEXT_BYTES = 64
};

static void numbers_read(const struct sight *s, uint64_t *out)
{
    NUMBERS(VALUE)
}

static void loads_read(const struct sight *s, uint64_t *out)
{
    LOADS(VALUE)
}

/* ---- what was told ---- */

struct td_status {
    struct td_parts *parts;
    td_ms interval_ms; /* 0: never */
    td_mono next_at, told_at;
    bool told;
    uint64_t numbers[NUMBER_COUNT];
    uint64_t counts[LOAD_COUNT]; /* when the averages were taken last */
    double loads[LOAD_COUNT][SPAN_COUNT];
    uint64_t metrics[TD_METRIC_COUNT];
};

struct td_status *td_status_new(struct td_parts *parts, uint32_t interval_s)
{
    struct td_status *s = td_alloc(sizeof *s);
    s->parts = parts;
    s->interval_ms = (td_ms)interval_s * 1000;
    s->told_at = parts->started;
    s->next_at = interval_s == 0 ? TD_NEVER : parts->started;
    return s;
}

void td_status_free(struct td_status *s)
{
    free(s);
}

td_mono td_status_deadline(const struct td_status *s)
{
    return s->next_at;
}

static void tell(struct td_status *s, const char *topic, const char *text)
{
    struct td_message m = {.topic = td_slice_of(topic),
                           .payload = td_slice_of(text),
                           .expires = TD_NEVER,
                           .at = s->parts->wall,
                           .retain = true};
    (void)td_publish(s->parts, &m); /* QoS 0: nobody waits for it */
    td_message_done(&m);
}

static void tell_number(struct td_status *s, const char *prefix, const char *name, uint64_t value)
{
    char topic[TOPIC_BYTES], text[TEXT_BYTES];
    (void)snprintf(topic, sizeof topic, "$SYS/%s/%s", prefix, name);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    tell(s, topic, text);
}

static void tell_numbers(struct td_status *s, const struct sight *sight)
{
    uint64_t now[NUMBER_COUNT];
    numbers_read(sight, now);
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        if (!s->told || now[i] != s->numbers[i]) {
            s->numbers[i] = now[i];
            tell_number(s, "broker", number_names[i], now[i]);
        }
    }
}

/* The first average is what happened since the start, told as a minute's worth. */
static double load_after(double before, double per_minute, double elapsed_s, unsigned minutes,
                         bool first)
{
    double decay = exp(-elapsed_s / (60.0 * minutes));
    return first ? per_minute : per_minute + decay * (before - per_minute);
}

static void tell_load(struct td_status *s, size_t row, double per_minute, double elapsed_s)
{
    char topic[TOPIC_BYTES], text[TEXT_BYTES];
    for (size_t i = 0; i < SPAN_COUNT; i++) {
        double before = s->loads[row][i];
        double load = load_after(before, per_minute, elapsed_s, load_minutes[i], !s->told);
        s->loads[row][i] = load;
        if (!s->told || fabs(load - before) >= 0.01) {
            (void)snprintf(topic, sizeof topic, "$SYS/broker/load/%s/%umin", load_names[row],
                           load_minutes[i]);
            (void)snprintf(text, sizeof text, "%.2f", load);
            tell(s, topic, text);
        }
    }
}

static void tell_loads(struct td_status *s, const struct sight *sight, td_mono now)
{
    uint64_t counts[LOAD_COUNT];
    double elapsed_s = (double)(now - s->told_at) / (double)TD_NS_PER_S;
    loads_read(sight, counts);
    for (size_t i = 0; i < LOAD_COUNT; i++) {
        double events = (double)(counts[i] - s->counts[i]);
        s->counts[i] = counts[i];
        tell_load(s, i, elapsed_s > 0 ? events * 60.0 / elapsed_s : 0, elapsed_s);
    }
}

static void tell_metrics(struct td_status *s)
{
    struct td_metric rows[TD_METRIC_COUNT];
    size_t count = td_metrics_read(s->parts, rows);
    char prefix[32];
    for (size_t i = 0; i < count; i++) {
        if (!s->told || rows[i].value != s->metrics[i]) {
            s->metrics[i] = rows[i].value;
            (void)snprintf(prefix, sizeof prefix, "tandem/%s", rows[i].section);
            tell_number(s, prefix, rows[i].name, rows[i].value);
        }
    }
}

void td_status_turn(struct td_status *s, td_mono now)
{
    char text[TEXT_BYTES];
    if (now < s->next_at) {
        return;
    }
    struct td_metrics_loops all;
    td_metrics_loops(s->parts, &all);
    const struct sight sight = {&all.hub, &all.mqttd};
    if (!s->told) {
        (void)snprintf(text, sizeof text, "tandem version %s", s->parts->version);
        tell(s, "$SYS/broker/version", text);
    }
    (void)snprintf(text, sizeof text, "%lld seconds",
                   (long long)((now - s->parts->started) / TD_NS_PER_S));
    tell(s, "$SYS/broker/uptime", text);
    tell_numbers(s, &sight);
    tell_loads(s, &sight, now);
    tell_metrics(s);
    s->told = true;
    s->told_at = now;
    s->next_at = td_mono_after(now, s->interval_ms);
}
