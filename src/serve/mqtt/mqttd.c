/* serve/mqtt: the door. Birth, the turn, death. */
#include "serve/mqtt/mqttd.h"

#include <stdlib.h>

#include "serve/mqtt/inner.h"

enum { ROUNDS_MAX = 8 }; /* of pumping and writing in one turn; the rest goes in the next */

static uint32_t least(uint64_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

static struct td_mqttd *make(struct td_parts *parts, const struct td_serve_mqtt_config *config)
{
    struct td_mqttd *d = td_alloc(sizeof *d);
    uint64_t seed;
    parts->sys->random(parts->sys, &seed, sizeof seed);
    d->parts = parts;
    d->config = *config;
    d->limits = (struct td_mqtt_limits)TD_MQTT_LIMITS_DEFAULT;
    /* One publish may put its message three times into a batch: as retained, for the sessions, and
     * for those that have it by a group as well. The rest is for the routes. */
    uint64_t fits = td_stage_max(parts) / 8 * 7 / 3;
    d->limits.packet_bytes_max = least(fits, config->packet_bytes_max);
    d->limits.connect_bytes_max = least(fits, d->limits.connect_bytes_max);
    d->limits.receive_max = config->receive_max;
    d->limits.alias_max = config->alias_max;
    d->stride = parts->loop == NULL ? 1 : td_loop_count(parts->loop);
    d->next_session = UINT64_MAX / 2; /* while restoring: nobody's; see td_mqttd_keep_restore() */
    d->now = parts->sys->mono(parts->sys);
    d->read = td_alloc(READ_BYTES);
    td_map_init(&d->sessions, seed);
    td_map_init(&d->by_id, seed);
    td_map_init(&d->by_number, seed);
    td_heap_init(&d->conn_timers);
    td_heap_init(&d->session_timers);
    td_buf_init(&d->scratch, SIZE_MAX);
    td_buf_init(&d->key, SIZE_MAX);
    td_buf_init(&d->record, SIZE_MAX);
    td_mqttd_trace_init(d);
    d->memory.read_max = UINT32_MAX;
    td_heap_init(&d->delays);
    td_map_init(&d->hosts, seed);
    td_map_init(&d->principals, seed);
    td_heap_init(&d->toll_timers);
    return d;
}

enum td_err td_mqttd_new(struct td_parts *parts, const struct td_serve_mqtt_config *config,
                         const struct td_serve_listeners *listeners, struct td_mqttd **out,
                         struct td_buf *why)
{
    struct td_mqttd *d = make(parts, config);
    const struct td_listener_plan plan = {parts->sys, TD_SERVE_MQTT, td_mqttd_conn_accept, d};
    enum td_err err = TD_OK;
    parts->mqttd = d;
    if (parts->loop != NULL && td_loop_number(parts->loop) != 0) {
        td_listeners_copy(&plan, listeners, &d->listeners);
    } else {
        err = td_mqttd_keep_restore(d, d->now, why);
        err = err == TD_OK ? td_listeners_open(&plan, listeners, &d->listeners, why) : err;
    }
    if (err != TD_OK) {
        td_listeners_close(parts->sys, &d->listeners);
        td_mqttd_free(d);
        parts->mqttd = NULL;
        return err;
    }
    *out = d;
    return TD_OK;
}

void td_mqttd_shutdown(struct td_mqttd *d, td_mono now)
{
    d->now = now;
    td_listeners_close(d->parts->sys, &d->listeners);
    for (struct conn *c = d->conns, *next; c != NULL; c = next) {
        next = c->next;
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_SERVER_SHUTTING_DOWN, NULL, now);
    }
    td_mqttd_conns_flush(d, now);
    while (d->conns != NULL) {
        td_mqttd_conn_close(d->conns, now);
    }
}

void td_mqttd_free(struct td_mqttd *d)
{
    while (d->conns != NULL) {
        struct conn *c = d->conns;
        d->conns = c->next;
        td_mqttd_conn_free(c);
    }
    d->touched = d->waiting = d->moving = NULL;
    td_mqttd_conns_reap(d);
    td_mqttd_sessions_free(d);
    td_mqttd_delays_free(d);
    while (d->spare_count > 0) {
        td_buf_fini(&d->spare[--d->spare_count]);
    }
    td_listeners_free(&d->listeners);
    td_map_fini(&d->sessions);
    td_map_fini(&d->by_id);
    td_map_fini(&d->by_number);
    if (d->verdicts != NULL) {
        td_guard_cache_free(d->verdicts);
    }
    td_heap_fini(&d->conn_timers);
    td_heap_fini(&d->session_timers);
    td_buf_fini(&d->scratch);
    td_buf_fini(&d->key);
    td_buf_fini(&d->record);
    td_mqttd_trace_fini(d);
    td_mqttd_limits_fini(d);
    free(d->routed);
    free(d->routed_to);
    free(d->read);
    free(d);
}

void td_mqttd_turn(struct td_mqttd *d, td_mono now)
{
    d->now = now;
    td_mqttd_conns_expire(d, now);
    td_mqttd_sessions_expire(d, now);
    td_mqttd_delays_expire(d, now);
    td_mqttd_tolls_turn(d, now);
    td_mqttd_memory_turn(d, now);
    td_mqttd_conns_settle(d, now);
    for (int i = 0; i < ROUNDS_MAX; i++) { /* what is written makes room for what waits */
        td_mqttd_sessions_pump(d);
        if (d->touched == NULL) {
            break;
        }
        td_mqttd_conns_flush(d, now);
    }
    if (d->parts->loop != NULL) {
        td_mqttd_loops_turn(d);
    }
    td_mqttd_conns_reap(d);
    td_mqttd_sessions_reap(d);
}

static td_mono first_of(const struct td_heap *heap)
{
    const struct td_timer *t = td_heap_first(heap);
    return t == NULL ? TD_NEVER : t->at;
}

td_mono td_mqttd_deadline(const struct td_mqttd *d)
{
    if (d->pump != NULL || d->touched != NULL) {
        return d->now;
    }
    td_mono at = td_mono_min(first_of(&d->conn_timers), first_of(&d->session_timers));
    at = td_mono_min(at, td_mqttd_memory_deadline(d));
    at = td_mono_min(at, td_mqttd_delays_deadline(d));
    return td_mono_min(at, first_of(&d->toll_timers));
}

const struct td_mqttd_stats *td_mqttd_stats(const struct td_mqttd *d)
{
    return &d->stats;
}

bool td_mqttd_address(const struct td_mqttd *d, size_t i, char out[64])
{
    return td_listeners_address(d->parts->sys, d->listeners, i, out);
}
