/* wire/mqtt: decoding one whole packet. PUBLISH, which comes most, has its own straight path; all
 * others go by a table of small readers over one cursor. */
#include "wire/mqtt/packet.h"

#define MALFORMED TD_MQTT_REASON_MALFORMED_PACKET
#define PROTOCOL TD_MQTT_REASON_PROTOCOL_ERROR

/* What a reader works on. */
struct in {
    struct td_cursor c;
    struct td_mqtt_fault *fault;
    struct td_mqtt_packet *out;
    uint8_t flags; /* low half of the first byte */
    bool v5;
};

static inline void demand(struct in *in, bool holds, unsigned reason, const char *rule)
{
    if (!holds) {
        td_mqtt_fault_set(in->fault, reason, rule);
    }
}

static td_slice text_read(struct in *in)
{
    td_slice s = td_cursor_string16(&in->c);
    demand(in, td_utf8_mqtt(s), MALFORMED, "MQTT-1.5.4-1: a text is UTF-8 without controls");
    return s;
}

static void id_read(struct in *in)
{
    in->out->id = td_cursor_u16(&in->c);
    demand(in, in->out->id != 0 || in->c.err != TD_OK, PROTOCOL,
           "MQTT-2.2.1-3: a packet identifier is not 0");
}

static void props_read(struct in *in, unsigned type, struct td_mqtt_props *out)
{
    out->has = 0;
    out->raw = (td_slice){NULL, 0};
    if (in->v5) {
        td_mqtt_props_decode(&in->c, type, out, in->fault);
    }
}

static td_slice rest_read(struct in *in)
{
    return td_cursor_bytes(&in->c, td_cursor_left(&in->c));
}

/* ---- CONNECT ---- */

/* Protocol name and level together say what is spoken (MQTT-3.1.2-1, -2). */
static void protocol_read(struct in *in)
{
    td_slice name = td_cursor_string16(&in->c);
    uint8_t level = td_cursor_u8(&in->c);
    bool old = td_slice_eq(name, TD_STR("MQIsdp"));
    in->out->version = 0;
    if (in->c.err != TD_OK) {
        return;
    }
    if (!old && !td_slice_eq(name, TD_STR("MQTT"))) {
        demand(in, false, TD_MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION,
               "MQTT-3.1.2-1: the protocol name is MQTT");
        return;
    }
    bool known = old ? level == TD_MQTT_V31 : td_in(level, TD_MQTT_V311, TD_MQTT_V5);
    /* 0x83, 0x84 are mosquitto's bridges: refused in 3.x words they come back without the bit. */
    bool later = level > TD_MQTT_V5 && (level & 0x7F) > TD_MQTT_V311;
    in->out->version = known ? level : later ? TD_MQTT_V5 : TD_MQTT_V311;
    demand(in, known, TD_MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION,
           "MQTT-3.1.2-2: the protocol level is 3, 4 or 5");
    in->v5 = in->out->version == TD_MQTT_V5;
}

static void connect_flags_read(struct in *in)
{
    struct td_mqtt_connect *k = &in->out->connect;
    uint8_t flags = td_cursor_u8(&in->c);
    k->clean_start = (flags & 0x02) != 0;
    k->has_will = (flags & 0x04) != 0;
    k->will_qos = flags >> 3 & 3;
    k->will_retain = (flags & 0x20) != 0;
    k->has_password = (flags & 0x40) != 0;
    k->has_user = (flags & 0x80) != 0;
    if (in->out->version == TD_MQTT_V31) {
        k->will_qos = k->has_will ? k->will_qos : 0;
        k->will_retain = k->has_will && k->will_retain;
        k->has_password = k->has_password && k->has_user;
    }
    demand(in, (flags & 1) == 0 || in->out->version == TD_MQTT_V31, MALFORMED,
           "MQTT-3.1.2-3: the reserved connect flag is 0");
    demand(in, k->has_will || k->will_qos == 0, MALFORMED,
           "MQTT-3.1.2-11: without a will its QoS is 0");
    demand(in, k->will_qos < 3, MALFORMED, "MQTT-3.1.2-12: the QoS of a will is 0, 1 or 2");
    demand(in, k->has_will || !k->will_retain, MALFORMED,
           "MQTT-3.1.2-13: without a will its retain flag is 0");
    demand(in, in->v5 || k->has_user || !k->has_password, MALFORMED,
           "MQTT311-3.1.2-22: no password without a user name");
}

static void client_id_read(struct in *in)
{
    struct td_mqtt_connect *k = &in->out->connect;
    k->client_id = text_read(in);
    bool may_be_empty = in->v5 || (in->out->version == TD_MQTT_V311 && k->clean_start);
    demand(in, k->client_id.n > 0 || may_be_empty || in->c.err != TD_OK,
           TD_MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID,
           "MQTT311-3.1.3-8: an empty client identifier needs a clean session");
}

static void will_read(struct in *in)
{
    struct td_mqtt_connect *k = &in->out->connect;
    props_read(in, TD_MQTT_WILL, &k->will_props);
    k->will_topic = text_read(in);
    k->will_payload = td_cursor_string16(&in->c);
    demand(in, td_mqtt_topic_valid(k->will_topic) || in->c.err != TD_OK,
           TD_MQTT_REASON_TOPIC_NAME_INVALID, "MQTT-3.3.2-2: a will topic has no wildcards");
}

/* 3.1 allows to leave out a user name and password that the flags announce. */
static bool left_out(const struct in *in)
{
    return in->out->version == TD_MQTT_V31 && td_cursor_left(&in->c) == 0;
}

static void connect_read(struct in *in)
{
    struct td_mqtt_connect *k = &in->out->connect;
    protocol_read(in);
    if (in->fault->rule != NULL || in->c.err != TD_OK) {
        return;
    }
    connect_flags_read(in);
    k->keep_alive_s = td_cursor_u16(&in->c);
    props_read(in, TD_MQTT_CONNECT, &in->out->props);
    client_id_read(in);
    k->will_topic = k->will_payload = k->user = k->password = (td_slice){NULL, 0};
    k->will_props.has = 0;
    k->will_props.raw = (td_slice){NULL, 0};
    if (k->has_will) {
        will_read(in);
    }
    k->has_user = k->has_user && !left_out(in);
    if (k->has_user) {
        k->user = text_read(in);
    }
    k->has_password = k->has_password && !left_out(in);
    if (k->has_password) {
        k->password = td_cursor_string16(&in->c);
    }
    const struct td_mqtt_props *p = &in->out->props;
    demand(in, td_mqtt_has(p, TD_MQTT_PROP_AUTH_METHOD) || !td_mqtt_has(p, TD_MQTT_PROP_AUTH_DATA),
           PROTOCOL, "MQTT 3.1.2.11.10: authentication data needs a method");
}

/* ---- CONNACK ---- */

static uint8_t reason_of_v3(struct in *in, uint8_t code)
{
    static const uint8_t reasons[] = {
        TD_MQTT_REASON_SUCCESS,
        TD_MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION,
        TD_MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID,
        TD_MQTT_REASON_SERVER_UNAVAILABLE,
        TD_MQTT_REASON_BAD_USER_NAME_OR_PASSWORD,
        TD_MQTT_REASON_NOT_AUTHORIZED,
    };
    demand(in, code < TD_COUNT(reasons), MALFORMED, "MQTT311-3.2.2.3: an unknown return code");
    return code < TD_COUNT(reasons) ? reasons[code] : 0;
}

static void reason_check(struct in *in, unsigned reason)
{
    demand(in, td_mqtt_reason_fits(reason, in->out->type, true), PROTOCOL,
           "MQTT 2.4: this packet has no such reason code");
}

static void connack_read(struct in *in)
{
    uint8_t flags = td_cursor_u8(&in->c);
    uint8_t code = td_cursor_u8(&in->c);
    if (in->out->version == TD_MQTT_V31) {
        flags = 0; /* reserved there, not checked */
    }
    in->out->session_present = flags == 1;
    in->out->reason = in->v5 ? code : reason_of_v3(in, code);
    reason_check(in, in->out->reason);
    demand(in, flags <= 1, MALFORMED, "MQTT-3.2.2-1: CONNACK's reserved flags are 0");
    demand(in, flags == 0 || code == 0, PROTOCOL,
           "MQTT-3.2.2-6: a refused connection has no session");
    props_read(in, TD_MQTT_CONNACK, &in->out->props);
}

/* ---- PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH: the end may be left out ---- */

static void reason_read(struct in *in)
{
    in->out->reason = TD_MQTT_REASON_SUCCESS;
    in->out->props.has = 0;
    in->out->props.raw = (td_slice){NULL, 0};
    if (in->v5 && td_cursor_left(&in->c) > 0) {
        in->out->reason = td_cursor_u8(&in->c);
        reason_check(in, in->out->reason);
        if (td_cursor_left(&in->c) > 0) {
            props_read(in, in->out->type, &in->out->props);
        }
    }
}

static void ack_read(struct in *in)
{
    id_read(in);
    reason_read(in);
}

/* ---- SUBSCRIBE, UNSUBSCRIBE, SUBACK, UNSUBACK ---- */

static void options_check(struct in *in, uint8_t options, td_slice filter)
{
    demand(in, (options & 3) < 3, MALFORMED, "MQTT-3.8.3-4: the QoS asked for is 0, 1 or 2");
    demand(in, (options & 0xC0) == 0 && (in->v5 || options < 3), MALFORMED,
           "MQTT-3.8.3-5: reserved subscription options are 0");
    demand(in, (options & 0x30) != 0x30, PROTOCOL, "MQTT 3.8.3.1: retain handling is 0, 1 or 2");
    demand(in, (options & 4) == 0 || !td_slice_starts(filter, TD_STR("$share/")), PROTOCOL,
           "MQTT-3.8.3-4: a shared subscription cannot be no-local");
}

static void filters_read(struct in *in)
{
    id_read(in);
    props_read(in, in->out->type, &in->out->props);
    const uint8_t *from = in->c.p;
    in->out->list_count = 0;
    demand(in, td_cursor_left(&in->c) > 0 || in->c.err != TD_OK, PROTOCOL,
           "MQTT-3.8.3-2: at least one topic filter");
    while (td_cursor_left(&in->c) > 0 && in->c.err == TD_OK && in->fault->rule == NULL) {
        td_slice filter = td_cursor_string16(&in->c);
        demand(in, in->c.err != TD_OK || td_mqtt_filter_valid(filter), MALFORMED,
               "MQTT-4.7.1-1: not a topic filter");
        if (in->out->type == TD_MQTT_SUBSCRIBE) {
            options_check(in, td_cursor_u8(&in->c), filter);
        }
        in->out->list_count++;
    }
    in->out->list = (td_slice){from, (size_t)(in->c.p - from)};
}

static void codes_read(struct in *in)
{
    id_read(in);
    props_read(in, in->out->type, &in->out->props);
    in->out->list = rest_read(in);
    in->out->list_count = (uint32_t)in->out->list.n;
    demand(in, in->out->list.n > 0 || (in->out->type == TD_MQTT_UNSUBACK && !in->v5), PROTOCOL,
           "MQTT-3.9.3-1: one reason code for each topic filter");
    for (size_t i = 0; i < in->out->list.n; i++) {
        uint8_t code = in->out->list.p[i];
        demand(in, in->v5 || code < 3 || code == 0x80, MALFORMED,
               "MQTT311-3.9.3-2: a SUBACK return code is 0, 1, 2 or 0x80");
        reason_check(in, code);
    }
}

bool td_mqtt_filter_next(const struct td_mqtt_packet *packet, td_slice *rest,
                         struct td_mqtt_filter *out)
{
    struct td_cursor c = td_cursor_of(*rest);
    *out = (struct td_mqtt_filter){.filter = td_cursor_string16(&c)};
    if (packet->type == TD_MQTT_SUBSCRIBE) {
        uint8_t options = td_cursor_u8(&c);
        out->qos = options & 3;
        out->no_local = (options & 4) != 0;
        out->retain_as_published = (options & 8) != 0;
        out->retain_handling = options >> 4 & 3;
    }
    *rest = (td_slice){c.p, td_cursor_left(&c)};
    return c.err == TD_OK;
}

/* ---- PUBLISH ---- */

static inline bool publish_fail(struct td_mqtt_fault *f, unsigned reason, const char *rule)
{
    td_mqtt_fault_set(f, reason, rule);
    return false;
}

static bool publish_props(td_slice *rest, struct td_mqtt_packet *out, struct td_mqtt_fault *fault)
{
    struct td_cursor c = td_cursor_of(*rest);
    td_mqtt_props_decode(&c, TD_MQTT_PUBLISH, &out->props, fault);
    if (c.err != TD_OK) {
        return publish_fail(fault, MALFORMED, "MQTT 2.2.2: properties end behind their packet");
    }
    *rest = (td_slice){c.p, td_cursor_left(&c)};
    return fault->rule == NULL;
}

static bool publish_decode(unsigned version, uint8_t flags, td_slice body,
                           struct td_mqtt_packet *out, struct td_mqtt_fault *fault)
{
    unsigned qos = flags >> 1 & 3;
    size_t id_bytes = qos > 0 ? 2 : 0;
    size_t topic_n = body.n < 2 ? 0 : (size_t)body.p[0] << 8 | body.p[1];
    if (body.n < 2 + topic_n + id_bytes) {
        return publish_fail(fault, MALFORMED, "MQTT 3.3: PUBLISH ends inside its topic");
    }
    out->qos = (uint8_t)qos;
    out->retain = (flags & 1) != 0;
    out->dup = (flags & 8) != 0;
    out->topic = (td_slice){body.p + 2, topic_n};
    out->id = 0;
    out->props.has = 0;
    out->props.raw = (td_slice){NULL, 0};
    if (topic_n > 0 ? !td_mqtt_topic_valid(out->topic) : version != TD_MQTT_V5) {
        return publish_fail(fault, MALFORMED,
                            "MQTT-3.3.2-2: a topic name is UTF-8 without wildcards, not empty");
    }
    td_slice rest = {body.p + 2 + topic_n, body.n - 2 - topic_n};
    if (qos > 0) {
        out->id = (uint16_t)(rest.p[0] << 8 | rest.p[1]);
        rest = (td_slice){rest.p + 2, rest.n - 2};
        if (qos == 3) {
            return publish_fail(fault, MALFORMED, "MQTT-3.3.1-4: QoS is 0, 1 or 2");
        }
        if (out->id == 0) {
            return publish_fail(fault, PROTOCOL, "MQTT-2.2.1-3: a packet identifier is not 0");
        }
    } else if (out->dup && version != TD_MQTT_V31) {
        return publish_fail(fault, MALFORMED, "MQTT-3.3.1-2: DUP is 0 with QoS 0");
    }
    if (version == TD_MQTT_V5) {
        if (rest.n > 0 && rest.p[0] == 0) {
            rest = (td_slice){rest.p + 1, rest.n - 1};
        } else if (!publish_props(&rest, out, fault)) {
            return false;
        }
    }
    out->payload = rest;
    return true;
}

/* ---- any packet ---- */

static void nothing_read(struct in *in)
{
    (void)in;
}

typedef void reader(struct in *in);

static reader *const readers[16] = {
    [TD_MQTT_CONNECT] = connect_read,     [TD_MQTT_CONNACK] = connack_read,
    [TD_MQTT_PUBACK] = ack_read,          [TD_MQTT_PUBREC] = ack_read,
    [TD_MQTT_PUBREL] = ack_read,          [TD_MQTT_PUBCOMP] = ack_read,
    [TD_MQTT_SUBSCRIBE] = filters_read,   [TD_MQTT_SUBACK] = codes_read,
    [TD_MQTT_UNSUBSCRIBE] = filters_read, [TD_MQTT_UNSUBACK] = codes_read,
    [TD_MQTT_PINGREQ] = nothing_read,     [TD_MQTT_PINGRESP] = nothing_read,
    [TD_MQTT_DISCONNECT] = reason_read,   [TD_MQTT_AUTH] = reason_read,
};

/* MQTT-2.1.3-1: what the low half of the first byte must be. 3.1 sets QoS 1 and may set DUP where
 * later versions have 2, and leaves the other types' bits open. */
static void flags_check(struct in *in, unsigned type)
{
    bool two = type == TD_MQTT_PUBREL || type == TD_MQTT_SUBSCRIBE || type == TD_MQTT_UNSUBSCRIBE;
    unsigned mask = in->out->version != TD_MQTT_V31 ? 15 : two ? 6 : 0;
    demand(in, (in->flags & mask) == (two ? 2 : 0), MALFORMED,
           "MQTT-2.1.3-1: the fixed header's flags are those of its type");
}

bool td_mqtt_packet_decode(unsigned version, uint8_t first, td_slice body,
                           struct td_mqtt_packet *out, struct td_mqtt_fault *fault)
{
    unsigned type = first >> 4;
    *fault = (struct td_mqtt_fault){NULL, 0};
    out->type = (uint8_t)type;
    out->version = (uint8_t)version;
    if (type == TD_MQTT_PUBLISH) {
        return publish_decode(version, first & 15, body, out, fault);
    }
    struct in in = {td_cursor_of(body), fault, out, first & 15, version == TD_MQTT_V5};
    demand(&in, readers[type] != NULL, MALFORMED, "MQTT 2.1.2: packet type 0 is reserved");
    if (type == TD_MQTT_CONNECT) {
        out->version = 0; /* until it is read */
        out->props.has = 0;
    }
    flags_check(&in, type);
    if (fault->rule == NULL) {
        readers[type](&in);
    }
    demand(&in, in.c.err == TD_OK, MALFORMED, "MQTT 1.5: the packet ends inside a field");
    demand(&in, td_cursor_left(&in.c) == 0, MALFORMED, "MQTT 1.5: bytes behind the last field");
    return fault->rule == NULL;
}

/* ---- reasons ---- */

bool td_mqtt_reason_fits(unsigned reason, unsigned type, bool by_server)
{
    enum { K = 1, A = 2, L = 4, S = 8, U = 16, D = 32, d = 64, X = 128 };
    static const uint8_t allowed[256] = {
#define REASON(name, value, packets, text) [value] = (packets),
#include "wire/mqtt/reason.def"
#undef REASON
    };
    static const uint8_t of_type[16] = {
        [TD_MQTT_CONNACK] = K,  [TD_MQTT_PUBACK] = A,     [TD_MQTT_PUBREC] = A,
        [TD_MQTT_PUBREL] = L,   [TD_MQTT_PUBCOMP] = L,    [TD_MQTT_SUBACK] = S,
        [TD_MQTT_UNSUBACK] = U, [TD_MQTT_DISCONNECT] = d, [TD_MQTT_AUTH] = X,
    };
    unsigned mask = of_type[type & 15];
    if (type == TD_MQTT_DISCONNECT && by_server) {
        mask |= D;
    }
    return reason < 256 && (allowed[reason] & mask) != 0;
}
