/* serve/mqtt: who a client is, what its session may, and what ends when that changes.
 *
 *   CONNECT -> admit: no users: `local` | name and password: a login, which may take its time |
 *                     a token | a method: auth.c | a certificate, a pre-shared key: who that
 *                     means | nothing: `anonymous`, if the configuration lets it in
 *
 * A session remembers its principal. What it may is asked when it acts: at SUBSCRIBE, PUBLISH, for
 * its will at CONNECT and again when that is sent, and for each message that is on its way to it.
 * A principal that may everything costs one flag. */
#include <stdlib.h>

#include "guard/guard.h"
#include "serve/login.h"
#include "serve/mqtt/inner.h"
#include "serve/proof.h"

/* ---- rights ---- */

bool td_mqttd_may(struct session *s, unsigned action, td_slice topic)
{
    struct td_mqttd *d = s->d;
    if (d->verdicts == NULL) {
        uint64_t seed;
        d->parts->sys->random(d->parts->sys, &seed, sizeof seed);
        d->verdicts = td_guard_cache_new(seed);
    }
    return td_guard_may_cached(d->verdicts, s->principal, session_client_id(s), action, topic);
}

bool td_mqttd_may_filter(const struct session *s, td_slice filter)
{
    td_slice group, inner = filter, id = session_client_id(s);
    /* What a member of a group must not read would be lost to the others. */
    bool shared = td_filter_shared(filter, &group, &inner);
    return td_guard_may_filter(s->principal, id, TD_GUARD_SUBSCRIBE, inner) &&
           (!shared || td_guard_may_filter(s->principal, id, TD_GUARD_READ, inner));
}

bool td_mqttd_may_say(struct session *s, td_slice topic, bool retain)
{
    return s->trusted || (td_mqttd_may(s, TD_GUARD_PUBLISH, topic) &&
                          (!retain || td_mqttd_may(s, TD_GUARD_WRITE, topic)));
}

/* ---- who comes ---- */

void td_mqttd_conn_login_new(struct conn *c, const struct td_mqtt_packet *connect)
{
    struct conn_login *login = c->login = td_alloc(sizeof *c->login);
    td_guard_scram_init(&login->scram);
    td_buf_init(&login->first, SIZE_MAX);
    td_buf_init(&login->connect, SIZE_MAX);
    if (connect != NULL) {
        size_t n = td_mqtt_packet_size(connect);
        td_assert(n > 0 && td_buf_reserve(&login->connect, n) == TD_OK);
        (void)td_mqtt_packet_put(login->connect.p, connect);
        login->connect.n = n;
    }
}

static void login_free(struct conn_login *login)
{
    td_guard_forget(login->connect.p, login->connect.n); /* the password is in it */
    td_buf_fini(&login->connect);
    td_buf_fini(&login->first);
    td_guard_scram_fini(&login->scram);
    free(login);
}

void td_mqttd_conn_login_drop(struct conn *c)
{
    struct conn_login *login = c->login;
    c->login = NULL;
    c->held = false;
    if (login != NULL) {
        if (login->login != NULL) {
            td_login_forget(login->login);
        }
        login_free(login);
    }
}

/* The packet is as it was, read again from the copy that was kept. */
void td_mqttd_conn_login_over(struct conn *c, struct td_principal *who, td_slice proof, td_mono now)
{
    struct td_mqtt machine;
    struct td_mqtt_packet packet;
    struct conn_login *login = c->login;
    td_slice in = td_buf_slice(&login->connect);
    c->login = NULL;
    c->held = false;
    td_mqtt_init(&machine, TD_MQTT_SERVER, &c->d->limits, now);
    td_assert(td_mqtt_next(&machine, &in, now, &packet) == TD_MQTT_GOT_PACKET);
    packet.props.auth_data = proof; /* what the CONNACK says instead of what the CONNECT said */
    td_mqttd_packet_admitted(c, &packet, who, now);
    login_free(login);
}

static void login_done(void *ctx, struct td_principal *who, td_mono now)
{
    struct conn *c = ctx;
    c->d->now = now;
    c->login->login = NULL;
    if (who == NULL) {
        td_mqttd_login_refused(c, (td_slice){NULL, 0});
        td_mqttd_conn_login_drop(c);
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_BAD_USER_NAME_OR_PASSWORD, NULL, now);
        return;
    }
    td_mqttd_conn_login_over(c, who, (td_slice){NULL, 0}, now);
    td_mqttd_conn_wait(c); /* it may have said more, which was not read so far */
}

static struct td_principal *admit_password(struct conn *c, const struct td_mqtt_packet *p,
                                           td_mono now)
{
    struct td_sys *sys = c->d->parts->sys;
    struct td_principal *who = NULL;
    struct td_login *login = NULL;
    char address[64];
    sys->address(sys, c->stream, true, address);
    struct td_login_claim claim = {.name = p->connect.user,
                                   .password = p->connect.password,
                                   .address = address,
                                   .done = login_done,
                                   .ctx = c};
    switch (td_login_ask(c->d->parts->logins, &claim, now, &who, &login)) {
    case TD_LOGIN_YES:
        return who;
    case TD_LOGIN_NO:
        td_mqttd_login_refused(c, p->connect.user);
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_BAD_USER_NAME_OR_PASSWORD, NULL, now);
        return NULL;
    case TD_LOGIN_BUSY:
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_CONNECTION_RATE_EXCEEDED,
                             "too many logins are under way", now);
        return NULL;
    case TD_LOGIN_WAIT:
        break;
    }
    td_mqttd_conn_login_new(c, p);
    c->login->login = login;
    c->held = true;
    return NULL;
}

/* A token of an issuer stands in the password; a name, if there is one, must be its subject's. */
static struct td_principal *admit_token(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    const char *wrong = NULL;
    struct td_principal *who =
        td_guard_jwt_principal(parts->guard, p->connect.password, parts->wall, &wrong);
    if (who != NULL && p->connect.user.n > 0 &&
        !td_slice_eq(p->connect.user, td_principal_name(who))) {
        td_principal_unref(parts->guard, who);
        who = NULL;
        wrong = "the token is for another user";
    }
    if (who == NULL) {
        td_mqttd_login_refused(c, p->connect.user);
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_BAD_USER_NAME_OR_PASSWORD, wrong, now);
    }
    return who;
}

static struct td_principal *refuse(struct conn *c, uint8_t reason, const char *why, td_mono now)
{
    td_mqttd_login_refused(c, (td_slice){NULL, 0});
    td_mqttd_conn_refuse(c, reason, why, now);
    return NULL;
}

/* It says nothing: what does its handshake prove, and if nothing, may it come all the same? */
static struct td_principal *admit_silent(struct conn *c, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    struct td_principal *who = NULL;
    switch (td_proof_ask(parts, c->listener, c->stream, &who)) {
    case TD_PROOF_YES:
        return who;
    case TD_PROOF_STRANGER:
        return refuse(c, TD_MQTT_REASON_NOT_AUTHORIZED, "no user has that certificate", now);
    case TD_PROOF_NONE:
        break;
    }
    if (td_listener_takes(c->listener, parts, TD_WAY_LOCAL)) {
        return td_guard_principal(parts->guard, TD_STR(TD_GUARD_LOCAL));
    }
    if (td_listener_takes(c->listener, parts, TD_WAY_ANONYMOUS)) {
        return td_guard_principal(parts->guard, TD_STR(TD_GUARD_ANONYMOUS));
    }
    return refuse(c, TD_MQTT_REASON_NOT_AUTHORIZED, "this listener wants to know who comes", now);
}

/* What a CONNECT says who it is by, as a way that its listener must take. */
static enum td_serve_way way_of(const struct conn *c, const struct td_mqtt_packet *p)
{
    bool token = p->connect.has_password && td_guard_takes_jwt(c->d->parts->guard) &&
                 td_guard_is_jwt(p->connect.password);
    return c->m.authenticates    ? TD_WAY_SCRAM
           : token               ? TD_WAY_TOKEN
           : p->connect.has_user ? TD_WAY_PASSWORD
                                 : TD_WAY_ANONYMOUS;
}

struct td_principal *td_mqttd_admit(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    enum td_serve_way way = way_of(c, p);
    if (!td_guard_has_users(parts->guard) && way != TD_WAY_SCRAM) {
        return td_guard_principal(parts->guard, TD_STR(TD_GUARD_LOCAL));
    }
    if (!td_mqttd_memory_has(c->d, p->bytes)) {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_QUOTA_EXCEEDED, "the hub's memory is full", now);
        return NULL;
    }
    if (way == TD_WAY_ANONYMOUS) {
        return admit_silent(c, now);
    }
    if (!td_listener_takes(c->listener, parts, way)) {
        return refuse(c,
                      way == TD_WAY_SCRAM ? TD_MQTT_REASON_BAD_AUTHENTICATION_METHOD
                                          : TD_MQTT_REASON_NOT_AUTHORIZED,
                      "this listener does not take that", now);
    }
    if (way == TD_WAY_SCRAM) {
        td_mqttd_auth_begin(c, p, now);
        return NULL;
    }
    return way == TD_WAY_TOKEN ? admit_token(c, p, now) : admit_password(c, p, now);
}

/* ---- one client id, several principals ---- */

void td_mqttd_id_add(struct session *s)
{
    struct td_mqttd *d = s->d;
    if (d->parts->hub_wide || td_guard_has_users(d->parts->guard)) {
        (void)td_map_put(&d->by_id, session_client_id(s), s);
    }
}

void td_mqttd_id_remove(struct session *s)
{
    if (td_map_find(&s->d->by_id, session_client_id(s)) == s) {
        (void)td_map_remove(&s->d->by_id, session_client_id(s));
    }
}

bool td_mqttd_id_free(struct td_mqttd *d, const struct td_principal *who, td_slice client_id)
{
    const struct session *s = td_map_find(&d->by_id, client_id);
    if (s == NULL || s->principal == who) {
        return true;
    }
    uint64_t n = ++d->stats.ids_shared;
    if ((n & (n - 1)) == 0) { /* the first ones each, later ones now and then */
        td_log("mqtt", TD_LOG_WARN, "client_id_shared", "principal=%.*s owner=%.*s times=%llu",
               (int)who->name_n, who->name, (int)s->principal->name_n, s->principal->name,
               (unsigned long long)n);
    }
    return !d->parts->hub_wide;
}

/* ---- rights have changed ---- */

static void subscriptions_check(struct session *s)
{
    struct td_mqttd *d = s->d;
    for (struct td_subscription *sub = s->sub.first, *next; sub != NULL; sub = next) {
        next = sub->next;
        if (!td_mqttd_may_filter(s, sub->filter)) {
            if (session_durable(s)) {
                td_mqttd_keep_subscription_gone(s, sub->filter);
                td_mqttd_keep_piece(d);
            }
            d->stats.subscriptions_withdrawn++;
            (void)td_hub_unsubscribe(d->parts->hub, &s->sub, sub->filter);
        }
    }
}

/* The principal is gone, and with it all that the session had. */
static void session_revoke(struct session *s, td_mono now)
{
    struct td_mqttd *d = s->d;
    struct conn *c = s->conn;
    d->stats.sessions_revoked++;
    td_mqttd_audit(s, TD_AUDIT_REVOKE, false, session_client_id(s));
    td_mqttd_session_will_clear(s);
    td_mqttd_session_expiry_set(s, 0); /* it ends with its connection */
    if (c != NULL) {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_NOT_AUTHORIZED, NULL, now);
    } else {
        td_mqttd_session_end(s);
    }
}

static void session_check(struct session *s, td_mono now)
{
    uint32_t generation = td_guard_generation(s->d->parts->guard);
    s->trusted = s->principal->all;
    if (s->principal->gone) {
        session_revoke(s, now);
        return;
    }
    if (!s->trusted) {
        subscriptions_check(s);
    }
    if (s->conn != NULL && s->principal->changed == generation) {
        td_mqttd_conn_refuse(s->conn, TD_MQTT_REASON_NOT_AUTHORIZED, "log in again", now);
    }
}

struct purge {
    struct td_mqttd *d;
    struct td_buf topics; /* each as a lump */
};

static void retained_look(void *ctx, struct td_message *m)
{
    struct purge *p = ctx;
    if (td_guard_author_gone(p->d->parts->guard, m->author)) {
        td_assert(td_buf_add_lump(&p->topics, m->topic) == TD_OK);
    }
}

static void retained_purge(struct td_mqttd *d)
{
    struct purge p = {.d = d};
    td_buf_init(&p.topics, SIZE_MAX);
    td_hub_retained_all(d->parts->hub, retained_look, &p);
    struct td_cursor c = td_cursor_of(td_buf_slice(&p.topics));
    while (td_cursor_left(&c) > 0) {
        struct td_message none = {.topic = td_cursor_lump(&c), .retain = true};
        (void)td_hub_retain(d->parts->hub, &none); /* to take one out never fails */
        td_mqttd_keep_retained(d, &none);
        td_mqttd_keep_piece(d);
        d->stats.retained_revoked++;
    }
    td_buf_fini(&p.topics);
}

void td_mqttd_rights_restored(struct td_mqttd *d)
{
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.entries[i].value;
        if (!s->trusted) {
            subscriptions_check(s);
        }
    }
}

void td_mqttd_rights_changed(struct td_mqttd *d, td_mono now)
{
    d->now = now;
    td_mqttd_conns_recheck(d, now);
    for (size_t i = d->sessions.count; i-- > 0;) {
        if (i < d->sessions.count) { /* the last takes the place of one that ends */
            session_check(d->sessions.entries[i].value, now);
        }
    }
    for (size_t i = 0; i < d->sessions.count; i++) {
        td_mqttd_session_purge(d->sessions.entries[i].value);
    }
    td_mqttd_delays_purge(d);
    retained_purge(d);
    (void)td_stage_end(d->parts, TD_STORE_NOW);
}
