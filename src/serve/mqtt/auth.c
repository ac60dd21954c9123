/* serve/mqtt: enhanced authentication (MQTT 5.0, 4.12) by SCRAM-SHA-256.
 *
 *     CONNECT (method, client-first) -> AUTH 0x18 (server-first) -> AUTH 0x18 (client-final)
 *                                    -> CONNACK (server-final)
 *
 * and again on an open connection, begun by AUTH 0x19 and ended by AUTH 0x00. Who guesses waits
 * before the first answer, as with passwords. */
#include <stdlib.h>

#include "guard/guard.h"
#include "serve/login.h"
#include "serve/mqtt/inner.h"

static const td_slice method = {(const uint8_t *)"SCRAM-SHA-256", 13};

enum { NONCE_BYTES = 18 };

static void auth_say(struct conn *c, uint8_t reason, td_slice data)
{
    struct td_mqtt_packet p = {.type = TD_MQTT_AUTH, .version = c->m.version, .reason = reason};
    p.props.has = TD_MQTT_HAS(AUTH_METHOD) | TD_MQTT_HAS(AUTH_DATA);
    p.props.auth_method = method;
    p.props.auth_data = data;
    td_mqttd_conn_answer(c, 0, &p);
}

static void fail(struct conn *c, td_mono now)
{
    td_mqttd_login_refused(c, (td_slice){NULL, 0});
    td_mqttd_conn_login_drop(c);
    td_mqttd_conn_refuse(c, TD_MQTT_REASON_NOT_AUTHORIZED, NULL, now);
}

/* Our first message. */
static void answer_first(struct conn *c)
{
    struct conn_login *login = c->login;
    auth_say(c, TD_MQTT_REASON_CONTINUE_AUTHENTICATION, td_buf_slice(&login->first));
    td_buf_fini(&login->first);
    td_buf_init(&login->first, SIZE_MAX);
}

static void paused(void *ctx, struct td_principal *who, td_mono now)
{
    struct conn *c = ctx;
    (void)who;
    (void)now;
    c->login->login = NULL;
    c->held = false;
    answer_first(c);
    td_mqttd_conn_wait(c);
}

static bool first_read(struct conn *c, const struct td_mqtt_packet *p)
{
    struct td_parts *parts = c->d->parts;
    struct td_buf nonce;
    uint8_t random[NONCE_BYTES];
    parts->sys->random(parts->sys, random, sizeof random);
    td_buf_init(&nonce, 64);
    bool good = td_guard_base64_encode((td_slice){random, sizeof random}, &nonce) == TD_OK &&
                td_guard_scram_first(&c->login->scram, parts->guard, p->props.auth_data,
                                     td_buf_slice(&nonce), td_logins_key(parts->logins),
                                     &c->login->first) == TD_OK;
    td_buf_fini(&nonce);
    return good;
}

/* c->login stands and knows its CONNECT, if it is for one. */
static void begin(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    struct conn_login *login = c->login;
    char address[64];
    if (!first_read(c, p)) {
        fail(c, now);
        return;
    }
    c->d->parts->sys->address(c->d->parts->sys, c->stream, true, address);
    struct td_login_claim claim = {
        .name = td_guard_scram_name(&login->scram), .address = address, .done = paused, .ctx = c};
    switch (td_login_pause(c->d->parts->logins, &claim, now, &login->login)) {
    case TD_LOGIN_YES:
        answer_first(c);
        break;
    case TD_LOGIN_WAIT:
        c->held = true;
        break;
    case TD_LOGIN_NO:
    case TD_LOGIN_BUSY:
        td_mqttd_conn_login_drop(c);
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_CONNECTION_RATE_EXCEEDED,
                             "too many logins are under way", now);
        break;
    }
}

void td_mqttd_auth_begin(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    bool known =
        td_guard_has_users(c->d->parts->guard) && td_slice_eq(p->props.auth_method, method);
    if (!known) {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_BAD_AUTHENTICATION_METHOD, NULL, now);
        return;
    }
    td_mqttd_conn_login_new(c, p);
    begin(c, p, now);
}

/* The client's last message: who it is now; NULL: it failed. */
static struct td_principal *final_read(struct conn *c, const struct td_mqtt_packet *p,
                                       struct td_buf *proof, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    struct td_guard_scram *scram = &c->login->scram;
    char address[64];
    enum td_err err = td_guard_scram_final(scram, parts->guard, p->props.auth_data,
                                           td_logins_key(parts->logins), proof);
    parts->sys->address(parts->sys, c->stream, true, address);
    td_login_ended(parts->logins, td_guard_scram_name(scram), address, err == TD_OK, now);
    return err == TD_OK ? td_guard_principal(parts->guard, td_guard_scram_name(scram)) : NULL;
}

static void end(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    struct td_guard *guard = c->d->parts->guard;
    struct td_buf proof;
    td_buf_init(&proof, 256);
    struct td_principal *who = final_read(c, p, &proof, now);
    if (who == NULL || (c->session != NULL && who != c->session->principal)) {
        if (who != NULL) {
            td_principal_unref(guard, who);
        }
        fail(c, now);
    } else if (c->session != NULL) { /* once more, on an open connection */
        td_principal_unref(guard, who);
        td_mqttd_conn_login_drop(c);
        auth_say(c, TD_MQTT_REASON_SUCCESS, td_buf_slice(&proof));
    } else {
        td_mqttd_conn_login_over(c, who, td_buf_slice(&proof), now);
    }
    td_buf_fini(&proof);
}

void td_mqttd_auth(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    bool again = p->reason == TD_MQTT_REASON_REAUTHENTICATE;
    if (!td_slice_eq(p->props.auth_method, method)) {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_PROTOCOL_ERROR,
                             "MQTT-4.12.0-5: the method is that of CONNECT", now);
    } else if (again && c->session != NULL && c->login == NULL) {
        td_mqttd_conn_login_new(c, NULL);
        begin(c, p, now);
    } else if (!again && c->login != NULL) {
        end(c, p, now);
    } else {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_PROTOCOL_ERROR,
                             "MQTT 4.12: nothing of that kind is under way", now);
    }
}
