/* serve: the parts put together. Born from the bottom up (store, hub, then who uses them), dead the
 * other way round. */
#include "serve/serve.h"

#include <stdlib.h>

#include "guard/guard.h"
#include "serve/decide.h"
#include "serve/http.h"
#include "serve/login.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"
#include "serve/status.h"
#include "store/store.h"

struct td_serve {
    struct td_parts parts;
    struct td_serve_http_config http;
    bool stopping;
};

void td_serve_config_default(struct td_serve_config *config)
{
    *config = (struct td_serve_config){
        .hub = {.nodes_max = 4000000,
                .subscriptions_max = 10000,
                .retained_max = 1000000,
                .retained_bytes_max = UINT64_C(256) << 20,
                .owner_retained_max = 250000,
                .owner_retained_bytes_max = UINT64_C(128) << 20},
        .mqtt = {.packet_bytes_max = UINT32_C(16) << 20,
                 .receive_max = 1024,
                 .alias_max = 64,
                 .session_expiry_s = 30 * 24 * 3600,
                 .keepalive_max_s = 0,
                 .queue_messages_max = 100000,
                 .queue_bytes_max = UINT64_C(64) << 20,
                 .write_bytes_max = UINT32_C(1) << 20,
                 .connections_max = 100000,
                 .sessions_max = 1000000,
                 .limits = {.burst_s = 2, .half_open_max = 4096, .half_open_host_max = 64}},
        .http = {.connections_max = 256,
                 .live_max = 128,
                 .body_bytes_max = UINT32_C(1) << 20,
                 .write_bytes_max = UINT32_C(4) << 20},
        .series_max = 100000,
        .status_s = 10,
        .version = "0",
    };
}

/* ---- birth ---- */

static enum td_err open_store(struct td_serve *s, const struct td_serve_config *config,
                              struct td_buf *why)
{
    struct td_store_config store = {.dir = config->data_dir,
                                    .segment_bytes = config->store.segment_bytes,
                                    .segment_count = config->store.segments,
                                    .head_bytes_max = config->store.head_bytes_max,
                                    .streams_max = config->store.streams_max,
                                    .keep_days = config->store.keep_days,
                                    .query_bytes_max = config->store.query_bytes_max,
                                    .query_rows_max = config->store.query_rows_max,
                                    .query_ms_max = config->store.query_ms_max};
    return td_store_open(&store, s->parts.sys, &s->parts.store, why);
}

static bool wants_http(const struct td_serve_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        if (listeners->at[i].kind == TD_SERVE_HTTP) {
            return true;
        }
    }
    return false;
}

static enum td_err guard_load(struct td_parts *p, const struct td_serve_access_config *access,
                              struct td_buf *why)
{
    struct td_guard_file users = {access->users.name, access->users.text};
    struct td_guard_file grants = {access->grants.name, access->grants.text};
    struct td_guard_file keys = {access->jwt_keys.name, access->jwt_keys.text};
    struct td_guard_jwt_config jwt = {access->jwt_audience, access->jwt_issuer,
                                      access->jwt_algorithms};
    struct td_guard *trial = td_guard_new(); /* all files are good, or nothing changes */
    enum td_err err = td_guard_load(trial, &users, &grants, why);
    td_guard_free(trial);
    err = err == TD_OK ? td_guard_jwt_load(p->guard, &keys, &jwt, why) : err;
    err = err == TD_OK ? td_guard_load(p->guard, &users, &grants, why) : err;
    if (err == TD_OK) {
        p->anonymous = access->anonymous;
        p->hub_wide = access->hub_wide;
    }
    return err;
}

static enum td_err build(struct td_serve *s, const struct td_serve_config *config,
                         struct td_buf *why)
{
    struct td_parts *p = &s->parts;
    uint64_t seed;
    p->guard = td_guard_new();
    p->logins = td_logins_new(p->sys, p->guard);
    enum td_err err = guard_load(p, &config->access, why);
    if (err == TD_OK) {
        err = open_store(s, config, why);
    }
    if (err != TD_OK) {
        return err;
    }
    p->sys->random(p->sys, &seed, sizeof seed);
    p->hub = td_hub_new(&config->hub, seed);
    struct td_record_limits limits = {config->series_max};
    err = td_record_new(p->sys, p->hub, p->store, &limits, &p->record);
    td_assert(err == TD_OK); /* an empty hub has room for one subscription */
    err = td_decide_new(p, config->rules, config->rule_count, &p->decide, why);
    if (err == TD_OK) {
        err = td_mqttd_new(p, &config->mqtt, &config->listeners, &p->mqttd, why);
    }
    if (err == TD_OK && wants_http(&config->listeners)) {
        s->http = config->http;
        size_t fits =
            td_store_batch_max(p->store) / 4; /* a publish of its may stand there thrice */
        s->http.body_bytes_max =
            s->http.body_bytes_max < fits ? s->http.body_bytes_max : (uint32_t)fits;
        err = td_httpd_new(p, &config->listeners, &s->http, &p->httpd, why);
    }
    if (err == TD_OK) {
        p->status = td_status_new(p, config->status_s);
        td_decide_start(p->decide, p->sys->mono(p->sys));
    }
    return err;
}

/* Frees what build() made, as far as it came. */
static void demolish(struct td_serve *s)
{
    struct td_parts *p = &s->parts;
    if (p->status != NULL) {
        td_status_free(p->status);
    }
    if (p->httpd != NULL) {
        td_httpd_free(p->httpd);
    }
    if (p->mqttd != NULL) {
        td_mqttd_free(p->mqttd);
    }
    if (p->decide != NULL) {
        td_decide_free(p->decide);
    }
    if (p->record != NULL) {
        td_record_free(p->record);
    }
    if (p->hub != NULL) {
        td_hub_free(p->hub);
    }
    td_logins_free(p->logins);
    td_guard_free(p->guard);
}

enum td_err td_serve_new(struct td_sys *sys, const struct td_serve_config *config,
                         struct td_serve **out, struct td_buf *why)
{
    struct td_serve *s = td_alloc(sizeof *s);
    s->parts = (struct td_parts){.sys = sys, .version = config->version, .started = sys->mono(sys)};
    s->parts.now = s->parts.started;
    s->parts.wall = sys->wall(sys);
    enum td_err err = build(s, config, why);
    if (err != TD_OK) {
        demolish(s);
        if (s->parts.store != NULL) {
            td_store_abandon(s->parts.store);
        }
        free(s);
        return err;
    }
    *out = s;
    return TD_OK;
}

/* ---- life ---- */

/* Events of one wait share a `now`; so the wall clock is asked once for them, not for each of
 * thousands of messages. */
static void clock_set(struct td_parts *p, td_mono now)
{
    if (p->now != now) {
        p->now = now;
        p->wall = p->sys->wall(p->sys);
    }
}

void td_serve_event(struct td_serve *s, const struct td_sys_event *event, td_mono now)
{
    clock_set(&s->parts, now);
    if (event->stream < 0) {
        struct td_work *work = event->owner;
        work->done(work);
    } else {
        struct td_owner *owner = event->owner;
        owner->ready(owner, event, now);
    }
}

static void retained_expired(void *ctx, const struct td_message *m)
{
    const struct td_parts *p = ctx;
    td_mqttd_retain_forget(p->mqttd, m->topic);
}

/* The store forgets an expired message as well, or it would stand there until the next start. */
static void expire(struct td_parts *p, td_mono now)
{
    if (td_hub_deadline(p->hub) <= now) {
        td_hub_expire(p->hub, now, retained_expired, p);
        (void)td_store_batch_end(p->store, TD_STORE_1S);
    }
}

void td_serve_turn(struct td_serve *s, td_mono now)
{
    clock_set(&s->parts, now);
    expire(&s->parts, now);
    td_logins_turn(s->parts.logins, now);
    td_status_turn(s->parts.status, now);
    td_decide_turn(s->parts.decide, now);
    td_mqttd_turn(s->parts.mqttd, now);
    if (s->parts.httpd != NULL) {
        td_httpd_turn(s->parts.httpd, now);
    }
    td_store_turn(s->parts.store, now);
}

td_mono td_serve_deadline(const struct td_serve *s)
{
    td_mono at = td_store_deadline(s->parts.store);
    if (s->stopping) {
        return at; /* the others get no turn any more */
    }
    at = td_mono_min(at, td_mqttd_deadline(s->parts.mqttd));
    at = td_mono_min(at, td_decide_deadline(s->parts.decide));
    at = td_mono_min(at, td_logins_deadline(s->parts.logins));
    at = td_mono_min(at, td_status_deadline(s->parts.status));
    if (s->parts.httpd != NULL) {
        at = td_mono_min(at, td_httpd_deadline(s->parts.httpd));
    }
    return td_mono_min(at, td_hub_deadline(s->parts.hub));
}

bool td_serve_address(const struct td_serve *s, enum td_serve_kind kind, size_t i, char out[64])
{
    out[0] = '\0';
    return kind == TD_SERVE_MQTT
               ? td_mqttd_address(s->parts.mqttd, i, out)
               : s->parts.httpd != NULL && td_httpd_address(s->parts.httpd, i, out);
}

enum td_err td_serve_access(struct td_serve *s, const struct td_serve_access_config *access,
                            td_mono now, struct td_buf *why)
{
    clock_set(&s->parts, now);
    enum td_err err = guard_load(&s->parts, access, why);
    if (err == TD_OK) {
        td_mqttd_rights_changed(s->parts.mqttd, now);
        if (s->parts.httpd != NULL) {
            td_httpd_rights_changed(s->parts.httpd);
        }
    }
    return err;
}

/* ---- death ---- */

bool td_serve_stop(struct td_serve *s, td_mono now)
{
    clock_set(&s->parts, now);
    if (!s->stopping) {
        s->stopping = true;
        td_mqttd_shutdown(s->parts.mqttd, now);
        if (s->parts.httpd != NULL) {
            td_httpd_shutdown(s->parts.httpd);
        }
    }
    return td_store_stop(s->parts.store, now) && td_logins_idle(s->parts.logins);
}

void td_serve_close(struct td_serve *s)
{
    demolish(s);
    td_store_close(s->parts.store);
    free(s);
}

void td_serve_abandon(struct td_serve *s)
{
    demolish(s);
    td_store_abandon(s->parts.store);
    free(s);
}
