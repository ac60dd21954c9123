/* serve/mqtt: what each packet does. The machine has checked what a packet alone can show; here is
 * what needs the hub, the session and the store. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve/mqtt/inner.h"
#include "serve/proof.h"

static struct td_parts *parts_of(const struct conn *c)
{
    return c->d->parts;
}

/* ---- messages ---- */

/* Properties that travel, gathered in d->scratch if they do not stand in one piece. */
static td_slice travelling(struct td_mqttd *d, const struct td_mqtt_props *props)
{
    if (props->has == 0) {
        return (td_slice){NULL, 0};
    }
    td_buf_clear(&d->scratch);
    if (td_mqtt_props_travel_gathers(props)) {
        td_assert(td_buf_reserve(&d->scratch, props->raw.n) == TD_OK);
    }
    return td_mqtt_props_travel(props, d->scratch.p);
}

static td_mono expiry_at(const struct td_mqtt_props *props, td_mono now)
{
    return td_mqtt_has(props, TD_MQTT_PROP_MESSAGE_EXPIRY)
               ? td_mono_after(now, (td_ms)props->message_expiry_s * 1000)
               : TD_NEVER;
}

/* ---- CONNECT ---- */

/* What the client gets and does not know yet. */
struct accept {
    struct session *session;
    uint32_t expiry_s;
    uint16_t keep_alive_s;
    bool resumed;
    bool response;          /* it asked where answers to it may go */
    char assigned[33];      /* empty: it brought its own id */
    char base[33];          /* that place */
    td_slice method, proof; /* of enhanced authentication; empty: none */
};

/* An id whose sessions live on this loop. */
static void assign_id(struct td_mqttd *d, char out[33])
{
    const struct td_loop *l = d->parts->loop;
    uint8_t bytes[16];
    do {
        d->parts->sys->random(d->parts->sys, bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++) {
            (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
        }
    } while (l != NULL && td_loop_of(l, td_slice_of(out)) != td_loop_number(l));
}

static uint32_t expiry_granted(const struct td_mqttd *d, const struct td_mqtt_packet *p)
{
    uint32_t most = d->config.session_expiry_s;
    if (p->version != TD_MQTT_V5) {
        return p->connect.clean_start ? 0 : most;
    }
    uint32_t asked =
        td_mqtt_has(&p->props, TD_MQTT_PROP_SESSION_EXPIRY) ? p->props.session_expiry_s : 0;
    return asked < most ? asked : most;
}

/* Server Keep Alive can be told in 5.0 only; an older client keeps its wish. */
static uint16_t keep_alive_granted(const struct td_mqttd *d, const struct td_mqtt_packet *p)
{
    uint16_t asked = p->connect.keep_alive_s, most = d->config.keepalive_max_s;
    bool too_long = most != 0 && (asked == 0 || asked > most);
    return too_long && p->version == TD_MQTT_V5 ? most : asked;
}

/* The session of that key, taken over from an older connection; NULL: no room. Ending a session
 * uses d->key, so the key is made anew each time. */
static struct session *claim(struct conn *c, const struct td_mqtt_packet *p,
                             struct td_principal *who, td_slice client_id, bool *resumed,
                             td_mono now)
{
    struct td_mqttd *d = c->d;
    td_slice principal = td_principal_name(who);
    struct session *s = td_mqttd_session_find(d, td_mqttd_session_key(d, principal, client_id));
    if (s != NULL && s->conn != NULL) {
        d->stats.takeovers++;
        td_mqttd_conn_refuse(s->conn, TD_MQTT_REASON_SESSION_TAKEN_OVER, NULL, now);
        /* Gone with its connection, if it was not durable. */
        s = td_mqttd_session_find(d, td_mqttd_session_key(d, principal, client_id));
    }
    if (s != NULL && !session_durable(s)) { /* came through a crash for its will only */
        td_mqttd_session_will_clear(s);
    }
    if (s != NULL && (p->connect.clean_start || !session_durable(s))) {
        td_mqttd_session_end(s);
        s = NULL;
    }
    *resumed = s != NULL;
    if (s != NULL) {
        td_principal_unref(d->parts->guard, who); /* the session has its own */
        return s;
    }
    s = td_mqttd_session_new(d, td_mqttd_session_key(d, principal, client_id), who);
    if (s == NULL) {
        td_principal_unref(d->parts->guard, who);
    }
    return s;
}

static void will_set(struct session *s, const struct td_mqtt_packet *p)
{
    const struct td_mqtt_connect *connect = &p->connect;
    td_mqttd_session_will_clear(s);
    if (!connect->has_will) {
        return;
    }
    const struct td_mqtt_props *props = &connect->will_props;
    struct td_message m = {.topic = connect->will_topic,
                           .payload = connect->will_payload,
                           .props = travelling(s->d, props),
                           .expires = expiry_at(props, 0),
                           .origin = s->number,
                           .author = s->principal->number,
                           .qos = connect->will_qos,
                           .retain = connect->will_retain};
    s->will.m = td_message_ref(&m);
    s->will.delay_s = td_mqtt_has(props, TD_MQTT_PROP_WILL_DELAY) ? props->will_delay_s : 0;
    td_message_done(&m);
}

/* Response Information: where others may answer (3.1.2.11.7). Each session has a place of its own,
 * which filters that begin with a wildcard do not see. */
static void response_base(struct td_mqtt_props *props, struct accept *a)
{
    int n = snprintf(a->base, sizeof a->base, "$response/%" PRIx64, a->session->number);
    props->has |= TD_MQTT_HAS(RESPONSE_INFORMATION);
    props->response_information = (td_slice){(const uint8_t *)a->base, (size_t)n};
}

static void connack(struct conn *c, uint64_t lsn, struct accept *a)
{
    const struct td_mqttd *d = c->d;
    struct td_mqtt_packet p = {
        .type = TD_MQTT_CONNACK, .version = c->m.version, .session_present = a->resumed};
    if (c->m.version == TD_MQTT_V5) {
        struct td_mqtt_props *props = &p.props;
        props->has = TD_MQTT_HAS(RECEIVE_MAXIMUM) | TD_MQTT_HAS(MAXIMUM_PACKET_SIZE) |
                     TD_MQTT_HAS(TOPIC_ALIAS_MAXIMUM);
        props->receive_maximum = d->limits.receive_max;
        props->maximum_packet_size = d->limits.packet_bytes_max;
        props->topic_alias_maximum = d->limits.alias_max;
        if (a->assigned[0] != '\0') {
            props->has |= TD_MQTT_HAS(ASSIGNED_CLIENT_ID);
            props->assigned_client_id = td_slice_of(a->assigned);
        }
        if (a->session->expiry_s != a->expiry_s) {
            props->has |= TD_MQTT_HAS(SESSION_EXPIRY);
            props->session_expiry_s = a->session->expiry_s;
        }
        if (a->keep_alive_s != c->m.keep_alive_s) {
            props->has |= TD_MQTT_HAS(SERVER_KEEP_ALIVE);
            props->server_keep_alive_s = a->keep_alive_s;
        }
        if (a->method.n > 0) {
            props->has |= TD_MQTT_HAS(AUTH_METHOD) | TD_MQTT_HAS(AUTH_DATA);
            props->auth_method = a->method;
            props->auth_data = a->proof;
        }
        if (a->response) {
            response_base(props, a);
        }
    }
    td_mqttd_conn_answer(c, lsn, &p);
}

void td_mqttd_conn_opened(struct conn *c, td_mono now)
{
    c->open = true;
    td_mqtt_accepted(&c->m, c->m.keep_alive_s, now); /* until now an error is said by a CONNACK */
    td_mqttd_conn_timer_set(c);
    if (c->session != NULL) {
        td_mqttd_session_online(c->session);
    }
}

/* Ids that must not come from a client: they would not survive the protocol, or our key. */
static uint8_t connect_refusal(const struct conn *c, const struct td_mqtt_packet *p)
{
    if (p->connect.client_id.n == 0 && p->version != TD_MQTT_V5 &&
        (!p->connect.clean_start || p->version == TD_MQTT_V31)) {
        return TD_MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID; /* MQTT311-3.1.3-8 */
    }
    if (p->connect.has_will && !td_topic_valid(p->connect.will_topic)) {
        return TD_MQTT_REASON_TOPIC_NAME_INVALID;
    }
    if (p->connect.has_will && td_slice_starts(p->connect.will_topic, TD_STR(DELAYED))) {
        return TD_MQTT_REASON_TOPIC_NAME_INVALID; /* a will has a delay of its own */
    }
    if (p->connect.has_will && td_slice_starts(p->connect.will_topic, TD_STR("$SYS/"))) {
        return TD_MQTT_REASON_NOT_AUTHORIZED; /* what stands there is the hub's word */
    }
    if (td_stage_failed(c->d->parts)) {
        return TD_MQTT_REASON_SERVER_UNAVAILABLE;
    }
    return TD_MQTT_REASON_SUCCESS;
}

static void client_counted(struct td_mqttd *d)
{
    struct td_mqttd_stats *stats = &d->stats;
    stats->connects++;
    stats->clients++;
    stats->clients_max = stats->clients > stats->clients_max ? stats->clients : stats->clients_max;
}

static void on_connect(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    td_mqttd_half_done(c);
    uint8_t refusal = connect_refusal(c, p);
    refusal = refusal != TD_MQTT_REASON_SUCCESS ? refusal : td_mqttd_connect_limit(c->d, now);
    if (refusal != TD_MQTT_REASON_SUCCESS) {
        td_mqttd_conn_refuse(c, refusal, NULL, now);
        return;
    }
    struct td_principal *who = td_mqttd_admit(c, p, now);
    if (who != NULL) {
        td_mqttd_packet_admitted(c, p, who, now);
    }
}

/* What only the principal's rights say against it. */
static uint8_t rights_refusal(const struct conn *c, const struct td_mqtt_packet *p,
                              const struct td_principal *who, td_slice id)
{
    struct td_mqttd *d = c->d;
    struct td_parts *parts = d->parts;
    const struct td_mqtt_connect *connect = &p->connect;
    if (td_guard_has_users(parts->guard) &&
        td_proof_contradicts(parts, c->listener, c->stream, who)) {
        td_mqttd_login_refused(c, connect->user);
        return TD_MQTT_REASON_NOT_AUTHORIZED; /* two credentials, two principals */
    }
    if (!td_mqttd_id_free(d, who, id)) {
        return TD_MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID;
    }
    if (connect->has_will &&
        (!td_guard_may(who, id, TD_GUARD_PUBLISH, connect->will_topic) ||
         (connect->will_retain && !td_guard_may(who, id, TD_GUARD_WRITE, connect->will_topic)))) {
        d->stats.wills_denied++;
        return TD_MQTT_REASON_NOT_AUTHORIZED;
    }
    return TD_MQTT_REASON_SUCCESS;
}

void td_mqttd_packet_admitted(struct conn *c, const struct td_mqtt_packet *p,
                              struct td_principal *who, td_mono now)
{
    struct td_mqttd *d = c->d;
    struct accept a = {
        .keep_alive_s = keep_alive_granted(d, p),
        .response =
            td_mqtt_has(&p->props, TD_MQTT_PROP_REQUEST_RESPONSE) && p->props.request_response == 1,
        .method = c->m.authenticates ? p->props.auth_method : (td_slice){NULL, 0},
        .proof = p->props.auth_data,
    };
    td_slice id = p->connect.client_id;
    if (id.n == 0) {
        assign_id(d, a.assigned);
        id = td_slice_of(a.assigned);
    }
    uint8_t refusal = rights_refusal(c, p, who, id);
    if (refusal != TD_MQTT_REASON_SUCCESS) {
        td_principal_unref(d->parts->guard, who);
        td_mqttd_conn_refuse(c, refusal, NULL, now);
        return;
    }
    struct session *s = a.session = claim(c, p, who, id, &a.resumed, now);
    if (s == NULL) {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_QUOTA_EXCEEDED, "sessions_max is reached", now);
        return;
    }
    td_mqttd_session_expiry_set(s, expiry_granted(d, p));
    a.expiry_s = td_mqtt_has(&p->props, TD_MQTT_PROP_SESSION_EXPIRY) ? p->props.session_expiry_s
                                                                     : s->expiry_s;
    will_set(s, p);
    s->conn = c;
    c->session = s;
    s->tally.since = now;
    td_mqttd_toll_begin(c);
    client_counted(d);
    td_mqttd_audit(s, TD_AUDIT_LOGIN, false, id);
    s->ends_at = TD_NEVER;
    td_mqttd_session_timer_set(s);
    uint64_t lsn = 0;
    if (session_durable(s) || s->will.m != NULL || s->recorded) {
        td_mqttd_keep_session(s, now); /* a resumed one's old record may say that it ends soon */
        lsn = td_stage_end(parts_of(c), TD_STORE_NOW);
    }
    connack(c, lsn, &a);
    if (c->session == NULL) { /* too large for this client */
        return;
    }
    c->m.keep_alive_s = a.keep_alive_s;
    td_mqttd_conn_timer_set(c);
    if (c->answers == NULL) {
        td_mqttd_conn_opened(c, now);
    }
}

/* ---- PUBLISH ---- */

/* Answers a PUBLISH that is not passed on. QoS 0 has no answer: the topic was no topic, so nobody
 * could have subscribed to it. */
static void publish_refuse(struct conn *c, const struct td_mqtt_packet *p, uint8_t reason)
{
    if (p->qos > 0) {
        td_mqttd_conn_ack(c, 0, p->qos == 1 ? TD_MQTT_PUBACK : TD_MQTT_PUBREC, p->id, reason);
    }
}

static uint8_t publish_refusal(const struct td_mqtt_packet *p)
{
    if (!td_topic_depth_ok(p->topic)) { /* the rest was checked when it was decoded */
        return TD_MQTT_REASON_TOPIC_NAME_INVALID;
    }
    if (td_slice_starts(p->topic, TD_STR("$SYS/"))) {
        return TD_MQTT_REASON_NOT_AUTHORIZED;
    }
    return TD_MQTT_REASON_SUCCESS;
}

/* The id of a QoS 2 message goes into the batch that its publish will end. False: a repeat. */
static bool qos2_begin(struct session *s, uint16_t id)
{
    td_mqttd_session_ids_lend(s);
    if (td_mqtt_ids_add(&s->ids, id) == TD_EEXIST) {
        return false;
    }
    if (session_durable(s)) {
        td_mqttd_keep_id(s, id);
    }
    return true;
}

/* The message of that id goes to nobody after all: the id is free, as PUBREC will say. */
static void qos2_take_back(struct session *s, const struct td_mqtt_packet *p)
{
    if (p->qos == 2) {
        (void)td_mqtt_ids_remove(&s->ids, p->id);
        if (session_durable(s)) {
            td_mqttd_keep_id_gone(s, p->id);
        }
        (void)td_stage_end(s->d->parts, TD_STORE_1S);
    }
}

/* What a PUBLISH does beyond the message itself, to tell what came of it. */
struct outcome {
    uint32_t reached;
    uint64_t refused, topics;
};

static uint64_t topics_known(const struct td_parts *parts)
{
    uint64_t streams = parts->store == NULL ? 0 : td_store_stats(parts->store)->streams;
    return td_hub_stats(parts->hub)->nodes + streams;
}

static struct outcome outcome_now(const struct td_mqttd *d, bool topics)
{
    return (struct outcome){.reached = d->reached,
                            .refused = td_hub_stats(d->parts->hub)->retained_refused,
                            .topics = topics ? topics_known(d->parts) : 0};
}

static uint8_t publish_reason(const struct td_mqtt_packet *p, const struct outcome *before,
                              const struct outcome *now)
{
    if (p->qos == 1 && now->refused != before->refused) {
        return TD_MQTT_REASON_QUOTA_EXCEEDED; /* it was delivered, but is not retained */
    }
    return now->reached != before->reached ? TD_MQTT_REASON_SUCCESS
                                           : TD_MQTT_REASON_NO_MATCHING_SUBSCRIBERS;
}

/* Publishes; gives the LSN to wait for. */
static uint64_t publish_on(struct conn *c, const struct td_mqtt_packet *p, td_mono now,
                           uint8_t *reason)
{
    struct td_mqttd *d = c->d;
    struct session *s = c->session;
    struct td_message m = {.topic = p->topic,
                           .payload = p->payload,
                           .props = travelling(d, &p->props),
                           .expires = expiry_at(&p->props, now),
                           .at = d->parts->wall,
                           .origin = s->number,
                           .author = s->principal->number,
                           .owner = p->retain ? session_owner(s) : 0,
                           .qos = p->qos,
                           .retain = p->retain};
    struct outcome before = outcome_now(d, c->toll != NULL);
    uint64_t lsn = td_publish(d->parts, &m);
    td_message_done(&m);
    struct outcome after = outcome_now(d, c->toll != NULL);
    if (c->toll != NULL && after.topics > before.topics) {
        td_mqttd_toll_topics(c, after.topics - before.topics, now);
    }
    *reason = publish_reason(p, &before, &after);
    return lsn;
}

/* Keeps it for later; gives the LSN to wait for. */
static uint64_t delay(struct session *s, const struct td_mqtt_packet *p, uint32_t delay_s)
{
    struct td_message m = {.topic = p->topic,
                           .payload = p->payload,
                           .props = travelling(s->d, &p->props),
                           .expires = expiry_at(&p->props, 0),
                           .at = s->d->parts->wall,
                           .author = s->principal->number,
                           .qos = p->qos,
                           .retain = p->retain};
    uint64_t lsn = td_mqttd_delay(s, &m, delay_s);
    td_message_done(&m);
    return lsn;
}

static void on_publish(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    struct td_mqttd *d = c->d;
    struct session *s = c->session;
    struct td_mqtt_packet later; /* the same without the delay in its topic */
    uint32_t delay_s = 0;
    uint8_t reason = TD_MQTT_REASON_SUCCESS;
    d->stats.publish_in++;
    d->stats.publish_bytes_in += p->payload.n;
    s->tally.messages_in++;
    if (delay_asked(p)) {
        later = *p;
        reason = td_mqttd_delay_read(d, &later, &delay_s);
        p = &later;
    }
    reason = reason == TD_MQTT_REASON_SUCCESS ? publish_refusal(p) : reason;
    if (reason == TD_MQTT_REASON_SUCCESS && !s->trusted &&
        !td_mqttd_may_say(s, p->topic, p->retain)) {
        reason = TD_MQTT_REASON_NOT_AUTHORIZED;
        d->stats.publish_denied++;
        td_mqttd_audit(s, TD_AUDIT_PUBLISH, true, p->topic);
    }
    if (reason != TD_MQTT_REASON_SUCCESS) {
        publish_refuse(c, p, reason);
        return;
    }
    if (p->qos == 2 && !qos2_begin(s, p->id)) {
        td_mqttd_conn_ack(c, s->in_lsn, TD_MQTT_PUBREC, p->id, TD_MQTT_REASON_SUCCESS);
        return;
    }
    if ((c->toll != NULL && !td_mqttd_toll_publish(c, p, now)) ||
        (delay_s > 0 && !td_mqttd_delay_room(d, p))) {
        qos2_take_back(s, p);
        publish_refuse(c, p, TD_MQTT_REASON_QUOTA_EXCEEDED);
        return;
    }
    uint64_t lsn = delay_s > 0 ? delay(s, p, delay_s) : publish_on(c, p, now, &reason);
    if (p->qos == 1) {
        td_mqttd_conn_ack(c, lsn, TD_MQTT_PUBACK, p->id, reason);
    } else if (p->qos == 2) {
        s->in_lsn = lsn;
        td_mqttd_conn_ack(c, lsn, TD_MQTT_PUBREC, p->id, reason);
    }
}

/* PUBCOMP follows the commit of the id's release, else after a crash the reused id would pass for
 * a repeat and its message be lost. */
static void on_pubrel(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    (void)now;
    struct session *s = c->session;
    uint64_t lsn = 0;
    bool known = td_mqtt_ids_remove(&s->ids, p->id);
    if (known && session_durable(s)) {
        td_mqttd_keep_id_gone(s, p->id);
        lsn = td_stage_end(parts_of(c), TD_STORE_NOW);
    }
    td_mqttd_conn_ack(c, lsn, TD_MQTT_PUBCOMP, p->id,
                      known ? TD_MQTT_REASON_SUCCESS : TD_MQTT_REASON_PACKET_IDENTIFIER_NOT_FOUND);
}

static void on_ack(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    (void)now;
    td_mqttd_session_acked(c->session, p);
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

/* The codes of a SUBACK or UNSUBACK, one a filter, in d->scratch. 3.x knows one failure
 * (MQTT311-3.9.3-2). */
static void codes_answer(struct conn *c, uint64_t lsn, uint8_t type, uint16_t id)
{
    struct td_buf *codes = &c->d->scratch;
    for (size_t i = 0; c->m.version != TD_MQTT_V5 && i < codes->n; i++) {
        codes->p[i] = codes->p[i] >= 0x80 ? 0x80 : codes->p[i];
    }
    struct td_mqtt_packet answer = {.type = type,
                                    .version = c->m.version,
                                    .id = id,
                                    .list = td_buf_slice(&c->d->scratch),
                                    .list_count = (uint32_t)c->d->scratch.n};
    td_mqttd_conn_answer(c, lsn, &answer);
}

static uint8_t subscribe_one(struct session *s, const struct td_mqtt_filter *f, uint32_t id,
                             bool *existed)
{
    struct td_subscribe_options options = {.id = id,
                                           .qos = f->qos,
                                           .no_local = f->no_local,
                                           .retain_as_published = f->retain_as_published,
                                           .retain_handling = f->retain_handling};
    if (!s->trusted && !td_mqttd_may_filter(s, f->filter)) {
        s->d->stats.subscribe_denied++;
        td_mqttd_audit(s, TD_AUDIT_SUBSCRIBE, true, f->filter);
        return TD_MQTT_REASON_NOT_AUTHORIZED;
    }
    enum td_err err = td_mqttd_session_subscribe(s, f->filter, &options, existed);
    if (err != TD_OK) {
        return err == TD_EFULL ? TD_MQTT_REASON_QUOTA_EXCEEDED
                               : TD_MQTT_REASON_TOPIC_FILTER_INVALID;
    }
    if (session_durable(s)) {
        td_mqttd_keep_subscription(s, f->filter, &options);
    }
    return f->qos;
}

/* Retained messages go behind the SUBACK, filter by filter (MQTT-3.3.1-9 to -11). */
static void retained_owe(struct conn *c, const struct td_mqtt_packet *p, td_slice codes,
                         const bool *existed, uint64_t lsn)
{
    struct td_mqtt_filter f;
    td_slice rest = p->list, group, inner;
    for (size_t i = 0; td_mqtt_filter_next(p, &rest, &f); i++) {
        bool wanted = f.retain_handling == 0 || (f.retain_handling == 1 && !existed[i]);
        if (codes.p[i] <= 2 && wanted && !td_filter_shared(f.filter, &group, &inner)) {
            bool has_id = td_mqtt_has(&p->props, TD_MQTT_PROP_SUBSCRIPTION_ID);
            td_mqttd_retained_ask(c->session, f.filter, codes.p[i],
                                  has_id ? p->props.subscription_id : 0, lsn);
        }
    }
}

static void on_subscribe(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    (void)now;
    struct td_mqttd *d = c->d;
    uint32_t id =
        td_mqtt_has(&p->props, TD_MQTT_PROP_SUBSCRIPTION_ID) ? p->props.subscription_id : 0;
    struct td_buf codes;
    bool *existed = td_alloc(p->list_count * sizeof *existed);
    td_slice rest = p->list;
    struct td_mqtt_filter f;
    td_buf_init(&codes, SIZE_MAX);
    for (size_t i = 0; td_mqtt_filter_next(p, &rest, &f); i++) {
        td_assert(td_buf_add_u8(&codes, subscribe_one(c->session, &f, id, &existed[i])) == TD_OK);
    }
    uint64_t lsn = td_stage_interest(d->parts, td_stage_end(d->parts, TD_STORE_NOW));
    td_buf_clear(&d->scratch);
    td_assert(td_buf_add(&d->scratch, td_buf_slice(&codes)) == TD_OK);
    codes_answer(c, lsn, TD_MQTT_SUBACK, p->id);
    if (c->session != NULL) { /* the SUBACK was not too large for it */
        td_mqttd_shared_gather(c->session);
        retained_owe(c, p, td_buf_slice(&codes), existed, lsn);
    }
    td_buf_fini(&codes);
    free(existed);
}

/* What their other members may have of the groups that were left. It makes batches of its own, so
 * it comes behind the end of the one that the UNSUBACK waits for. */
static void groups_leave(struct session *s, const struct td_mqtt_packet *p, td_slice codes)
{
    struct td_mqtt_filter f;
    td_slice rest = p->list;
    for (size_t i = 0; td_mqtt_filter_next(p, &rest, &f); i++) {
        uint32_t key = td_hub_group_key(f.filter);
        if (codes.p[i] == TD_MQTT_REASON_SUCCESS && key != 0) {
            td_mqttd_shared_return(s, key, UINT32_MAX);
        }
    }
}

static void on_unsubscribe(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    (void)now;
    struct td_mqttd *d = c->d;
    struct session *s = c->session;
    td_slice rest = p->list;
    struct td_mqtt_filter f;
    td_buf_clear(&d->scratch);
    while (td_mqtt_filter_next(p, &rest, &f)) {
        bool existed = td_mqttd_session_unsubscribe(s, f.filter) == TD_OK;
        if (existed && session_durable(s)) {
            td_mqttd_keep_subscription_gone(s, f.filter);
        }
        td_assert(td_buf_add_u8(&d->scratch, existed ? TD_MQTT_REASON_SUCCESS
                                                     : TD_MQTT_REASON_NO_SUBSCRIPTION_EXISTED) ==
                  TD_OK);
    }
    uint64_t lsn = td_stage_end(parts_of(c), TD_STORE_NOW);
    groups_leave(s, p, td_buf_slice(&d->scratch));
    codes_answer(c, lsn, TD_MQTT_UNSUBACK, p->id);
}

/* ---- the rest ---- */

static void on_pingreq(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    (void)now;
    struct td_mqtt_packet answer = {.type = TD_MQTT_PINGRESP, .version = p->version};
    td_mqttd_conn_answer(c, 0, &answer);
}

static void on_disconnect(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    struct session *s = c->session;
    if (td_mqtt_has(&p->props, TD_MQTT_PROP_SESSION_EXPIRY)) {
        uint32_t most = c->d->config.session_expiry_s;
        td_mqttd_session_expiry_set(s, p->props.session_expiry_s < most ? p->props.session_expiry_s
                                                                        : most);
    }
    c->session = NULL;
    td_mqttd_session_offline(s, p->reason != TD_MQTT_REASON_SUCCESS, now);
    td_mqttd_conn_end(c, now);
}

void td_mqttd_packet_handle(struct conn *c, const struct td_mqtt_packet *packet, td_mono now)
{
    static void (*const handlers[16])(struct conn *, const struct td_mqtt_packet *, td_mono) = {
        [TD_MQTT_CONNECT] = on_connect,     [TD_MQTT_PUBLISH] = on_publish,
        [TD_MQTT_PUBACK] = on_ack,          [TD_MQTT_PUBREC] = on_ack,
        [TD_MQTT_PUBREL] = on_pubrel,       [TD_MQTT_PUBCOMP] = on_ack,
        [TD_MQTT_SUBSCRIBE] = on_subscribe, [TD_MQTT_UNSUBSCRIBE] = on_unsubscribe,
        [TD_MQTT_PINGREQ] = on_pingreq,     [TD_MQTT_DISCONNECT] = on_disconnect,
        [TD_MQTT_AUTH] = td_mqttd_auth,
    };
    bool early =
        packet->type == TD_MQTT_CONNECT || (c->login != NULL && packet->type == TD_MQTT_AUTH);
    if (c->login != NULL && c->session == NULL && packet->type == TD_MQTT_DISCONNECT) {
        td_mqttd_conn_end(c, now); /* it has thought better of it */
        return;
    }
    if (handlers[packet->type] == NULL || (!early && c->session == NULL)) {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_PROTOCOL_ERROR, "MQTT-4.13.1-1", now);
        return;
    }
    handlers[packet->type](c, packet, now);
}
