/* serve: the parts put together. Born from the bottom up (store, hub, then who uses them), dead the
 * other way round. */
#include "serve/serve.h"

#include <stdlib.h>

#include "guard/guard.h"
#include "serve/audit.h"
#include "serve/decide.h"
#include "serve/http.h"
#include "serve/login.h"
#include "serve/loop.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"
#include "serve/stage.h"
#include "serve/status.h"
#include "store/store.h"

struct td_serve {
    struct td_parts *parts; /* of loop 0 */
    struct td_parts only;   /* of the only loop */
    struct td_loops *loops; /* NULL: there is only one */
    unsigned loop_count;
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
                 .delayed_messages_max = 100000,
                 .delayed_bytes_max = UINT64_C(64) << 20,
                 .connections_max = 100000,
                 .sessions_max = 1000000,
                 .limits = {.burst_s = 2, .half_open_max = 4096, .half_open_host_max = 64}},
        .http = {.connections_max = 256,
                 .live_max = 128,
                 .body_bytes_max = UINT32_C(1) << 20,
                 .write_bytes_max = UINT32_C(4) << 20},
        .series_max = 100000,
        .status_s = 10,
        .audit_max = 100000,
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
    return td_store_open(&store, s->parts->sys, &s->parts->store, why);
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
    if (err == TD_OK && access->judge == NULL && td_guard_wants_judge(trial)) {
        (void)td_buf_printf(why,
                            "%s: a user's password is to be judged by another program ($http$), "
                            "but no password_url in [access] says which",
                            users.name);
        err = TD_ESYNTAX;
    }
    td_guard_free(trial);
    err = err == TD_OK ? td_guard_jwt_load(p->guard, &keys, &jwt, why) : err;
    err = err == TD_OK ? td_guard_load(p->guard, &users, &grants, why) : err;
    if (err == TD_OK) {
        td_logins_judge_set(p->logins, access->judge, access->judge_ctx);
        p->anonymous = access->anonymous;
        p->hub_wide = access->hub_wide;
    }
    return err;
}

static struct td_parts *parts_of(const struct td_serve *s, unsigned loop)
{
    return s->loops == NULL ? s->parts : td_loop_parts(td_loops_at(s->loops, loop));
}

/* Each loop has its own: what they say of anybody is the same. */
static enum td_err build_guards(struct td_serve *s, const struct td_serve_config *config,
                                struct td_buf *why)
{
    enum td_err err = TD_OK;
    for (unsigned i = 0; i < s->loop_count; i++) {
        struct td_parts *p = parts_of(s, i);
        p->guard = td_guard_new();
        p->logins = td_logins_new(p->sys, p->guard);
        err = err == TD_OK ? guard_load(p, &config->access, why) : err;
    }
    return err;
}

static enum td_err build_http(struct td_serve *s, const struct td_serve_config *config,
                              struct td_buf *why)
{
    struct td_parts *p = s->parts;
    size_t fits = td_store_batch_max(p->store) / 4; /* a publish of its may stand there thrice */
    s->http = config->http;
    s->http.body_bytes_max =
        s->http.body_bytes_max < fits ? s->http.body_bytes_max : (uint32_t)fits;
    return td_httpd_new(p, &config->listeners, &s->http, &p->httpd, why);
}

/* The topic trees; from here on each loop hears what the others subscribe to. */
static void build_hubs(struct td_serve *s, const struct td_serve_config *config)
{
    for (unsigned i = 0; i < s->loop_count; i++) {
        struct td_parts *p = parts_of(s, i);
        uint64_t seed;
        p->sys->random(p->sys, &seed, sizeof seed);
        p->hub = td_hub_new(&config->hub, seed);
    }
    if (s->loops != NULL) {
        td_loops_join(s->loops);
    }
}

/* Loop 0 comes last: it brings back the sessions of all. */
static enum td_err build_mqtt(struct td_serve *s, const struct td_serve_config *config,
                              struct td_buf *why)
{
    enum td_err err = TD_OK;
    for (unsigned i = s->loop_count; i-- > 0 && err == TD_OK;) {
        struct td_parts *p = parts_of(s, i);
        err = td_mqttd_new(p, &config->mqtt, &config->listeners, &p->mqttd, why);
    }
    return err;
}

static void audit_self(struct td_parts *p, enum td_audit_action action)
{
    td_audit_note(p, &(struct td_audit_event){
                         .action = action, .object = td_slice_of(p->version), .stream = -1});
}

static enum td_err build(struct td_serve *s, const struct td_serve_config *config,
                         struct td_buf *why)
{
    struct td_parts *p = s->parts;
    enum td_err err = build_guards(s, config, why);
    if (err == TD_OK) {
        err = open_store(s, config, why);
    }
    if (err != TD_OK) {
        return err;
    }
    build_hubs(s, config);
    struct td_record_limits limits = {config->series_max};
    err = td_record_new(p->sys, p->hub, p->store, &limits, &p->record);
    td_assert(err == TD_OK); /* an empty hub has room for one subscription */
    err = td_audit_new(p, config->audit_max, &p->audit, why);
    if (err == TD_OK) {
        err = td_decide_new(p, config->rules, config->rule_count, &p->decide, why);
    }
    if (err == TD_OK) {
        err = build_mqtt(s, config, why);
    }
    if (err == TD_OK && wants_http(&config->listeners)) {
        err = build_http(s, config, why);
    }
    if (err == TD_OK) {
        p->status = td_status_new(p, config->status_s);
        audit_self(p, TD_AUDIT_START);
        td_decide_start(p->decide, p->sys->mono(p->sys));
    }
    if (err == TD_OK && s->loops != NULL) {
        td_loops_settle(s->loops);
    }
    return err;
}

/* Frees what build() made, as far as it came. */
static void demolish(struct td_serve *s)
{
    struct td_parts *p = s->parts;
    if (s->loops != NULL) {
        td_loops_drop_mail(s->loops);
    }
    if (p->status != NULL) {
        td_status_free(p->status);
    }
    if (p->httpd != NULL) {
        td_httpd_free(p->httpd);
    }
    for (unsigned i = 0; i < s->loop_count; i++) {
        if (parts_of(s, i)->mqttd != NULL) {
            td_mqttd_free(parts_of(s, i)->mqttd);
        }
    }
    if (p->decide != NULL) {
        td_decide_free(p->decide);
    }
    if (p->audit != NULL) {
        td_audit_free(p->audit);
    }
    if (p->record != NULL) {
        td_record_free(p->record);
    }
    if (s->loops != NULL) {
        td_loops_part(s->loops);
    }
    for (unsigned i = 0; i < s->loop_count; i++) {
        if (parts_of(s, i)->hub != NULL) {
            td_hub_free(parts_of(s, i)->hub);
        }
        td_logins_free(parts_of(s, i)->logins);
        td_guard_free(parts_of(s, i)->guard);
    }
}

static void serve_free(struct td_serve *s)
{
    if (s->loops != NULL) {
        td_loops_free(s->loops);
    }
    free(s);
}

enum td_err td_serve_new_loops(struct td_sys *const *sys, unsigned count,
                               const struct td_serve_config *config, struct td_serve **out,
                               struct td_buf *why)
{
    struct td_serve *s = td_alloc(sizeof *s);
    s->loop_count = count;
    s->loops = count > 1 ? td_loops_new(sys, count) : NULL;
    s->parts = count > 1 ? parts_of(s, 0) : &s->only;
    for (unsigned i = 0; i < count; i++) {
        struct td_parts *p = parts_of(s, i);
        p->sys = sys[i];
        p->version = config->version;
        p->now = p->started = sys[i]->mono(sys[i]);
        p->wall = sys[i]->wall(sys[i]);
    }
    enum td_err err = build(s, config, why);
    if (err != TD_OK) {
        struct td_store *store = s->parts->store;
        demolish(s);
        if (store != NULL) {
            td_store_abandon(store);
        }
        serve_free(s);
        return err;
    }
    *out = s;
    return TD_OK;
}

enum td_err td_serve_new(struct td_sys *sys, const struct td_serve_config *config,
                         struct td_serve **out, struct td_buf *why)
{
    return td_serve_new_loops(&sys, 1, config, out, why);
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

static void event(struct td_parts *p, const struct td_sys_event *e, td_mono now)
{
    clock_set(p, now);
    if (e->stream < 0) {
        struct td_work *work = e->owner;
        work->done(work);
    } else {
        struct td_owner *owner = e->owner;
        owner->ready(owner, e, now);
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
        (void)td_stage_end(p, TD_STORE_1S);
    }
}

void td_serve_loop_event(struct td_serve *s, unsigned loop, const struct td_sys_event *e,
                         td_mono now)
{
    event(parts_of(s, loop), e, now);
}

void td_serve_event(struct td_serve *s, const struct td_sys_event *e, td_mono now)
{
    event(s->parts, e, now);
}

void td_serve_turn(struct td_serve *s, td_mono now)
{
    struct td_parts *p = s->parts;
    clock_set(p, now);
    if (p->loop != NULL) {
        td_loop_begin(p->loop, now);
    }
    expire(p, now);
    td_logins_turn(p->logins, now);
    td_status_turn(p->status, now);
    td_decide_turn(p->decide, now);
    td_mqttd_turn(p->mqttd, now);
    if (p->httpd != NULL) {
        td_httpd_turn(p->httpd, now);
    }
    td_audit_turn(p->audit, now);
    td_store_turn(p->store, now);
    if (p->loop != NULL) {
        td_loop_end_turn(p->loop, now);
    }
}

/* Of a loop that has clients only. */
static void turn_beside(struct td_parts *p, td_mono now)
{
    clock_set(p, now);
    td_loop_begin(p->loop, now);
    td_logins_turn(p->logins, now);
    if (!td_loop_closing(p->loop)) {
        td_mqttd_turn(p->mqttd, now);
    } else if (td_loop_quiet(p->loop)) {
        td_mqttd_shutdown(p->mqttd, now);
    }
    td_loop_end_turn(p->loop, now);
}

void td_serve_loop_turn(struct td_serve *s, unsigned loop, td_mono now)
{
    if (loop == 0) {
        td_serve_turn(s, now);
    } else {
        turn_beside(parts_of(s, loop), now);
    }
}

static td_mono own_deadline(const struct td_serve *s)
{
    const struct td_parts *p = s->parts;
    td_mono at = td_store_deadline(p->store);
    if (s->stopping) {
        return at; /* the others get no turn any more */
    }
    at = td_mono_min(at, td_mqttd_deadline(p->mqttd));
    at = td_mono_min(at, td_logins_deadline(p->logins));
    at = td_mono_min(at, td_decide_deadline(p->decide));
    at = td_mono_min(at, td_audit_deadline(p->audit));
    at = td_mono_min(at, td_status_deadline(p->status));
    if (p->httpd != NULL) {
        at = td_mono_min(at, td_httpd_deadline(p->httpd));
    }
    return td_mono_min(at, td_hub_deadline(p->hub));
}

td_mono td_serve_deadline(struct td_serve *s)
{
    td_mono at = own_deadline(s);
    return s->loops == NULL ? at : td_loop_deadline(s->parts->loop, at);
}

td_mono td_serve_loop_deadline(struct td_serve *s, unsigned loop)
{
    struct td_parts *p = parts_of(s, loop);
    if (loop == 0) {
        return td_serve_deadline(s);
    }
    td_mono at = td_loop_closing(p->loop)
                     ? TD_NEVER
                     : td_mono_min(td_mqttd_deadline(p->mqttd), td_logins_deadline(p->logins));
    return td_loop_deadline(p->loop, at);
}

bool td_serve_address(const struct td_serve *s, enum td_serve_kind kind, size_t i, char out[64])
{
    out[0] = '\0';
    return kind == TD_SERVE_MQTT
               ? td_mqttd_address(s->parts->mqttd, i, out)
               : s->parts->httpd != NULL && td_httpd_address(s->parts->httpd, i, out);
}

enum td_err td_parts_access(struct td_parts *p, const struct td_serve_access_config *access,
                            struct td_buf *why)
{
    enum td_err err = guard_load(p, access, why);
    if (err == TD_OK) {
        td_mqttd_rights_changed(p->mqttd, p->now);
    }
    return err;
}

enum td_err td_serve_access(struct td_serve *s, const struct td_serve_access_config *access,
                            td_mono now, struct td_buf *why)
{
    struct td_parts *p = s->parts;
    clock_set(p, now);
    enum td_err err = td_parts_access(p, access, why);
    if (err == TD_OK && p->httpd != NULL) {
        td_httpd_rights_changed(p->httpd);
    }
    if (err == TD_OK && p->loop != NULL) {
        td_loop_access(p->loop, access);
    }
    return err;
}

/* ---- death ---- */

bool td_serve_loop_ended(const struct td_serve *s, unsigned loop)
{
    const struct td_parts *p = parts_of(s, loop);
    return td_loop_ended(p->loop) && td_logins_idle(p->logins);
}

static void stop_begin(struct td_serve *s, td_mono now)
{
    s->stopping = true;
    audit_self(s->parts, TD_AUDIT_STOP);
    td_mqttd_shutdown(s->parts->mqttd, now);
    if (s->parts->httpd != NULL) {
        td_httpd_shutdown(s->parts->httpd);
    }
}

bool td_serve_stop(struct td_serve *s, td_mono now)
{
    struct td_parts *p = s->parts;
    clock_set(p, now);
    if (p->loop != NULL) {
        td_loop_begin(p->loop, now);
    }
    if (!s->stopping) {
        stop_begin(s, now);
    }
    if (p->loop != NULL && !td_loops_stop(p->loop, now)) {
        td_store_turn(p->store, now);
        return false;
    }
    td_audit_turn(p->audit, now);
    return td_store_stop(p->store, now) && td_logins_idle(p->logins);
}

void td_serve_close(struct td_serve *s)
{
    struct td_store *store = s->parts->store;
    demolish(s);
    td_store_close(store);
    serve_free(s);
}

void td_serve_abandon(struct td_serve *s)
{
    struct td_store *store = s->parts->store;
    demolish(s);
    td_store_abandon(store);
    serve_free(s);
}
