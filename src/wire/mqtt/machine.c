/* wire/mqtt: one end of one connection. Which packet may come when is one table; what follows from
 * a packet alone happens here, the rest is the caller's.
 *
 *     server:  NEW --CONNECT--> WAIT or AUTHENTICATING --td_mqtt_accepted()--> OPEN
 *     client:  NEW --td_mqtt_connecting()--> WAIT or AUTHENTICATING --CONNACK--> OPEN
 *     both:    any --DISCONNECT, error, td_mqtt_word()--> CLOSED */
#include "wire/mqtt/packet.h"

/* ---- who may say what when ---- */

#define B(type) TD_MQTT_BIT(TD_MQTT_##type)
#define ACKS (B(PUBACK) | B(PUBREC) | B(PUBREL) | B(PUBCOMP))
#define FROM_CLIENT (B(PUBLISH) | ACKS | B(SUBSCRIBE) | B(UNSUBSCRIBE) | B(PINGREQ) | B(DISCONNECT))
#define FROM_SERVER (B(PUBLISH) | ACKS | B(SUBACK) | B(UNSUBACK) | B(PINGRESP))

/* clang-format off */
static const uint16_t legal[2][5][3] = {
    /* a client may follow CONNECT at once with whatever it likes (MQTT-3.1.4-5) */
    [TD_MQTT_SERVER] = {                 /* 3.1            3.1.1          5.0 */
        [TD_MQTT_NEW]            = {B(CONNECT),     B(CONNECT),    B(CONNECT)},
        [TD_MQTT_WAIT]           = {FROM_CLIENT,    FROM_CLIENT,   FROM_CLIENT},
        [TD_MQTT_AUTHENTICATING] = {0,              0,             B(AUTH) | B(DISCONNECT)},
        [TD_MQTT_OPEN]           = {FROM_CLIENT,    FROM_CLIENT,   FROM_CLIENT | B(AUTH)},
        [TD_MQTT_CLOSED]         = {0,              0,             0},
    },
    [TD_MQTT_CLIENT] = {
        [TD_MQTT_NEW]            = {0,              0,             0},
        [TD_MQTT_WAIT]           = {B(CONNACK),     B(CONNACK),    B(CONNACK)},
        [TD_MQTT_AUTHENTICATING] = {0,              0,             B(CONNACK) | B(AUTH)},
        [TD_MQTT_OPEN]           = {FROM_SERVER,    FROM_SERVER,
                                    FROM_SERVER | B(AUTH) | B(DISCONNECT)},
        [TD_MQTT_CLOSED]         = {0,              0,             0},
    },
};

/* The remaining length of each type: least and most in 3.x, least in 5.0. */
static const struct {
    uint8_t least;
    uint32_t most;
    uint8_t least_v5;
    uint32_t most_v5;
} lengths[16] = {
    [TD_MQTT_CONNECT]     = {12, UINT32_MAX, 12, UINT32_MAX}, /* the version is not known yet */
    [TD_MQTT_CONNACK]     = {2,  2,          3,  UINT32_MAX},
    [TD_MQTT_PUBLISH]     = {3,  UINT32_MAX, 3,  UINT32_MAX},
    [TD_MQTT_PUBACK]      = {2,  2,          2,  UINT32_MAX},
    [TD_MQTT_PUBREC]      = {2,  2,          2,  UINT32_MAX},
    [TD_MQTT_PUBREL]      = {2,  2,          2,  UINT32_MAX},
    [TD_MQTT_PUBCOMP]     = {2,  2,          2,  UINT32_MAX},
    [TD_MQTT_SUBSCRIBE]   = {2,  UINT32_MAX, 3,  UINT32_MAX},
    [TD_MQTT_SUBACK]      = {3,  UINT32_MAX, 4,  UINT32_MAX},
    [TD_MQTT_UNSUBSCRIBE] = {2,  UINT32_MAX, 3,  UINT32_MAX},
    [TD_MQTT_UNSUBACK]    = {2,  2,          4,  UINT32_MAX},
    [TD_MQTT_PINGREQ]     = {0,  0,          0,  0},
    [TD_MQTT_PINGRESP]    = {0,  0,          0,  0},
    [TD_MQTT_DISCONNECT]  = {0,  0,          0,  UINT32_MAX},
    [TD_MQTT_AUTH]        = {0,  0,          0,  UINT32_MAX},
};
/* clang-format on */

static inline size_t column(const struct td_mqtt *m)
{
    return m->version == 0 ? 0 : (size_t)(m->version - TD_MQTT_V31);
}

static inline bool may_come(const struct td_mqtt *m, unsigned type)
{
    return (legal[m->role][m->state][column(m)] & TD_MQTT_BIT(type)) != 0;
}

/* ---- beginning and end ---- */

void td_mqtt_init(struct td_mqtt *m, enum td_mqtt_role role, const struct td_mqtt_limits *limits,
                  td_mono now)
{
    *m = (struct td_mqtt){
        .limits = limits,
        .heard = now,
        .peer_packet_bytes_max = UINT32_MAX,
        .peer_receive_max = UINT16_MAX,
        .role = (uint8_t)role,
    };
}

static void close_machine(struct td_mqtt *m, unsigned ended_in)
{
    if (m->state != TD_MQTT_CLOSED) {
        m->state = TD_MQTT_CLOSED;
        m->ended_in = (uint8_t)ended_in;
    }
}

static enum td_mqtt_got fail(struct td_mqtt *m, unsigned reason, const char *rule)
{
    m->reason = (uint8_t)reason;
    m->rule = rule;
    close_machine(m, m->state);
    return TD_MQTT_GOT_ERROR;
}

static enum td_mqtt_got fail_type(struct td_mqtt *m, unsigned type)
{
    const char *rule = "MQTT 2.1.2: this packet must not come now, or never to this side";
    if (m->state == TD_MQTT_CLOSED) {
        rule = "MQTT-3.14.4-1: nothing comes after the end";
    } else if (m->state == TD_MQTT_NEW) {
        rule = "MQTT-3.1.0-1: the first packet is CONNECT";
    } else if (type == TD_MQTT_CONNECT) {
        rule = "MQTT-3.1.0-2: CONNECT comes once";
    } else if (m->state == TD_MQTT_AUTHENTICATING) {
        rule = "MQTT-3.1.2-30: only AUTH and DISCONNECT before CONNACK";
    }
    return fail(m, type == 0 ? TD_MQTT_REASON_MALFORMED_PACKET : TD_MQTT_REASON_PROTOCOL_ERROR,
                rule);
}

/* ---- inbound topic aliases: one block, entries first, then the texts without gaps ---- */

struct td_mqtt_aliases {
    uint32_t bytes, used; /* of the block */
    uint32_t count;       /* entries: alias_max */
    struct {
        uint32_t at, n; /* n 0: not set */
    } entries[];
};

static size_t aliases_head(const struct td_mqtt *m)
{
    return sizeof(struct td_mqtt_aliases) +
           m->limits->alias_max * sizeof(((struct td_mqtt_aliases *)NULL)->entries[0]);
}

size_t td_mqtt_aliases_want(const struct td_mqtt *m)
{
    return m->want;
}

void td_mqtt_aliases_lend(struct td_mqtt *m, void *block, size_t bytes)
{
    bool first = m->aliases == NULL;
    td_assert(bytes >= aliases_head(m) && bytes <= UINT32_MAX);
    m->aliases = block;
    if (first) {
        memset(block, 0, aliases_head(m));
        m->aliases->used = (uint32_t)aliases_head(m);
        m->aliases->count = m->limits->alias_max;
    }
    m->aliases->bytes = (uint32_t)bytes;
}

/* Takes a text out, moving those behind it down. */
static void alias_forget(struct td_mqtt_aliases *a, uint32_t index)
{
    uint32_t at = a->entries[index].at, n = a->entries[index].n;
    uint8_t *base = (uint8_t *)a;
    memmove(base + at, base + at + n, a->used - at - n);
    a->used -= n;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->entries[i].n > 0 && a->entries[i].at > at) {
            a->entries[i].at -= n;
        }
    }
    a->entries[index].n = 0;
}

/* Room for a topic under this alias, or how large the block must become. */
static enum td_mqtt_got alias_room(struct td_mqtt *m, uint32_t index, size_t n)
{
    const struct td_mqtt_aliases *a = m->aliases;
    size_t used = a == NULL ? aliases_head(m) : a->used - a->entries[index].n;
    size_t wanted = used + n;
    if (wanted > m->limits->alias_bytes_max) {
        return fail(m, TD_MQTT_REASON_QUOTA_EXCEEDED,
                    "MQTT 4.13: the topics of all aliases take too much memory");
    }
    if (a != NULL && wanted <= a->bytes) {
        return TD_MQTT_GOT_PACKET;
    }
    size_t roomy = aliases_head(m) + 2 * (wanted - aliases_head(m));
    m->want = (uint32_t)(roomy < m->limits->alias_bytes_max ? roomy : m->limits->alias_bytes_max);
    return TD_MQTT_GOT_ALIASES;
}

static enum td_mqtt_got alias_set(struct td_mqtt *m, uint32_t index, td_slice topic)
{
    enum td_mqtt_got room = alias_room(m, index, topic.n);
    if (room != TD_MQTT_GOT_PACKET) {
        return room;
    }
    struct td_mqtt_aliases *a = m->aliases;
    if (a->entries[index].n != topic.n) {
        if (a->entries[index].n > 0) {
            alias_forget(a, index);
        }
        a->entries[index].at = a->used;
        a->entries[index].n = (uint32_t)topic.n;
        a->used += (uint32_t)topic.n;
    }
    memcpy((uint8_t *)a + a->entries[index].at, topic.p, topic.n);
    return TD_MQTT_GOT_PACKET;
}

static enum td_mqtt_got alias_resolve(struct td_mqtt *m, struct td_mqtt_packet *p)
{
    uint32_t alias = p->props.topic_alias;
    if (!td_in(alias, 1, m->limits->alias_max)) {
        return fail(m, TD_MQTT_REASON_TOPIC_ALIAS_INVALID,
                    "MQTT-3.3.2-8: a topic alias is 1..Topic Alias Maximum");
    }
    if (p->topic.n > 0) {
        return alias_set(m, alias - 1, p->topic);
    }
    const struct td_mqtt_aliases *a = m->aliases;
    if (a == NULL || a->entries[alias - 1].n == 0) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR,
                    "MQTT 3.3.2.3.4: this topic alias was never set");
    }
    p->topic = (td_slice){(const uint8_t *)a + a->entries[alias - 1].at, a->entries[alias - 1].n};
    return TD_MQTT_GOT_PACKET;
}

/* ---- what follows from a packet ---- */

static enum td_mqtt_got publish_props_apply(struct td_mqtt *m, struct td_mqtt_packet *p)
{
    if (m->role == TD_MQTT_SERVER && td_mqtt_has(&p->props, TD_MQTT_PROP_SUBSCRIPTION_ID)) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR,
                    "MQTT-3.3.4-6: a client sends no subscription identifier");
    }
    if (td_mqtt_has(&p->props, TD_MQTT_PROP_TOPIC_ALIAS)) {
        return alias_resolve(m, p);
    }
    return TD_MQTT_GOT_PACKET;
}

static inline enum td_mqtt_got publish_apply(struct td_mqtt *m, struct td_mqtt_packet *p)
{
    if (p->props.has != 0) {
        enum td_mqtt_got got = publish_props_apply(m, p);
        if (got != TD_MQTT_GOT_PACKET) {
            return got;
        }
    }
    if (p->topic.n == 0) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR,
                    "MQTT-4.7.3-1: an empty topic name needs an alias");
    }
    if (p->qos > m->limits->qos_max) {
        return fail(m, TD_MQTT_REASON_QOS_NOT_SUPPORTED,
                    "MQTT-3.2.2-11: QoS above the announced Maximum QoS");
    }
    if (p->retain && m->limits->no_retain) {
        return fail(m, TD_MQTT_REASON_RETAIN_NOT_SUPPORTED,
                    "MQTT-3.2.2-14: retain was announced as not available");
    }
    if (p->qos > 0) {
        if (m->receiving >= m->limits->receive_max && m->version == TD_MQTT_V5) {
            return fail(m, TD_MQTT_REASON_RECEIVE_MAXIMUM_EXCEEDED,
                        "MQTT-3.3.4-7: more than Receive Maximum not yet acknowledged");
        }
        m->receiving = (uint16_t)(m->receiving + (m->receiving < UINT16_MAX));
    }
    return TD_MQTT_GOT_PACKET;
}

static void peer_learn(struct td_mqtt *m, const struct td_mqtt_props *p)
{
    if (td_mqtt_has(p, TD_MQTT_PROP_RECEIVE_MAXIMUM)) {
        m->peer_receive_max = p->receive_maximum;
    }
    if (td_mqtt_has(p, TD_MQTT_PROP_MAXIMUM_PACKET_SIZE) && p->maximum_packet_size > 0) {
        m->peer_packet_bytes_max = p->maximum_packet_size;
    }
    if (td_mqtt_has(p, TD_MQTT_PROP_TOPIC_ALIAS_MAXIMUM)) {
        m->peer_alias_max = p->topic_alias_maximum;
    }
}

/* In which words a CONNECT may be refused, also one that breaks off behind its properties. */
static void refusal_note(struct td_mqtt *m, const struct td_mqtt_packet *p)
{
    m->version = p->version;
    m->problems =
        td_mqtt_has(&p->props, TD_MQTT_PROP_REQUEST_PROBLEM) && p->props.request_problem == 1;
}

static void connect_note(struct td_mqtt *m, const struct td_mqtt_packet *p)
{
    refusal_note(m, p);
    m->keep_alive_s = p->connect.keep_alive_s;
    m->authenticates = td_mqtt_has(&p->props, TD_MQTT_PROP_AUTH_METHOD);
    m->expiry_zero =
        !td_mqtt_has(&p->props, TD_MQTT_PROP_SESSION_EXPIRY) || p->props.session_expiry_s == 0;
    m->state = m->authenticates ? TD_MQTT_AUTHENTICATING : TD_MQTT_WAIT;
}

static enum td_mqtt_got connack_apply(struct td_mqtt *m, const struct td_mqtt_packet *p)
{
    peer_learn(m, &p->props);
    if (td_mqtt_has(&p->props, TD_MQTT_PROP_SERVER_KEEP_ALIVE)) {
        m->keep_alive_s = p->props.server_keep_alive_s;
    }
    if (p->reason < 0x80) {
        m->state = TD_MQTT_OPEN;
    } else {
        close_machine(m, TD_MQTT_CLOSED);
    }
    return TD_MQTT_GOT_PACKET;
}

static enum td_mqtt_got disconnect_apply(struct td_mqtt *m, const struct td_mqtt_packet *p)
{
    if (!td_mqtt_reason_fits(p->reason, TD_MQTT_DISCONNECT, m->role == TD_MQTT_CLIENT)) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR,
                    "MQTT-3.14.2-1: a client has no such reason to disconnect");
    }
    if (m->role == TD_MQTT_SERVER && td_mqtt_has(&p->props, TD_MQTT_PROP_SERVER_REFERENCE)) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR,
                    "MQTT 3.14.2.2.5: only a server sends a server reference");
    }
    if (td_mqtt_has(&p->props, TD_MQTT_PROP_SESSION_EXPIRY) &&
        (m->role == TD_MQTT_CLIENT || (m->expiry_zero && p->props.session_expiry_s != 0))) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR,
                    "MQTT-3.14.2-2: a session expiry that was 0 stays 0");
    }
    close_machine(m, TD_MQTT_CLOSED);
    return TD_MQTT_GOT_PACKET;
}

static enum td_mqtt_got auth_apply(struct td_mqtt *m, const struct td_mqtt_packet *p)
{
    if (!m->authenticates) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR,
                    "MQTT-4.12.0-6: AUTH without a method in CONNECT");
    }
    if (!td_mqtt_has(&p->props, TD_MQTT_PROP_AUTH_METHOD)) {
        return fail(m, TD_MQTT_REASON_PROTOCOL_ERROR, "MQTT 3.15.2.2.2: AUTH names its method");
    }
    return TD_MQTT_GOT_PACKET;
}

static enum td_mqtt_got apply(struct td_mqtt *m, struct td_mqtt_packet *p)
{
    switch ((enum td_mqtt_type)p->type) {
    case TD_MQTT_CONNECT:
        connect_note(m, p);
        peer_learn(m, &p->props);
        return TD_MQTT_GOT_PACKET;
    case TD_MQTT_CONNACK:
        return connack_apply(m, p);
    case TD_MQTT_DISCONNECT:
        return disconnect_apply(m, p);
    case TD_MQTT_AUTH:
        return auth_apply(m, p);
    case TD_MQTT_PUBLISH:
        return publish_apply(m, p);
    case TD_MQTT_PUBACK:
    case TD_MQTT_PUBREC:
    case TD_MQTT_PUBREL:
    case TD_MQTT_PUBCOMP:
    case TD_MQTT_SUBSCRIBE:
    case TD_MQTT_SUBACK:
    case TD_MQTT_UNSUBSCRIBE:
    case TD_MQTT_UNSUBACK:
    case TD_MQTT_PINGREQ:
    case TD_MQTT_PINGRESP:
        break;
    }
    return TD_MQTT_GOT_PACKET;
}

/* ---- one packet from the front ---- */

/* Bytes of the fixed header and of what follows; GOT_NONE: not whole yet. */
static enum td_mqtt_got header_read(struct td_mqtt *m, td_slice in, size_t *head, size_t *body)
{
    size_t n = 0;
    for (size_t i = 1; i < TD_MQTT_HEAD_MAX; i++) {
        if (i >= in.n) {
            return TD_MQTT_GOT_NONE;
        }
        n |= (size_t)(in.p[i] & 0x7F) << (7 * (i - 1));
        if (in.p[i] < 0x80) {
            if (in.p[i] == 0 && i > 1) {
                break;
            }
            *head = i + 1;
            *body = n;
            return TD_MQTT_GOT_PACKET;
        }
    }
    return fail(m, TD_MQTT_REASON_MALFORMED_PACKET,
                "MQTT-1.5.5-1: a length has at most 4 bytes and the fewest possible");
}

static inline bool length_ok(const struct td_mqtt *m, unsigned type, size_t body)
{
    return m->version == TD_MQTT_V5 ? td_in(body, lengths[type].least_v5, lengths[type].most_v5)
                                    : td_in(body, lengths[type].least, lengths[type].most);
}

static enum td_mqtt_got front(struct td_mqtt *m, td_slice in, size_t *head, size_t *body)
{
    if (in.n == 0) {
        return TD_MQTT_GOT_NONE;
    }
    unsigned type = in.p[0] >> 4;
    if (!may_come(m, type)) {
        return fail_type(m, type);
    }
    enum td_mqtt_got got = header_read(m, in, head, body);
    if (got != TD_MQTT_GOT_PACKET) {
        return got;
    }
    uint32_t most =
        type == TD_MQTT_CONNECT ? m->limits->connect_bytes_max : m->limits->packet_bytes_max;
    if (*head + *body > most) {
        return fail(m, TD_MQTT_REASON_PACKET_TOO_LARGE,
                    "MQTT-3.1.2-24: a packet is not larger than Maximum Packet Size");
    }
    if (!length_ok(m, type, *body)) {
        return fail(m, TD_MQTT_REASON_MALFORMED_PACKET,
                    "MQTT 2.1.4: this packet cannot have this length");
    }
    if (in.n < *head + *body) {
        m->want = (uint32_t)(*head + *body);
        return TD_MQTT_GOT_NONE;
    }
    return TD_MQTT_GOT_PACKET;
}

enum td_mqtt_got td_mqtt_next(struct td_mqtt *m, td_slice *in, td_mono now,
                              struct td_mqtt_packet *out)
{
    size_t head, body;
    m->want = 0;
    enum td_mqtt_got got = front(m, *in, &head, &body);
    if (got != TD_MQTT_GOT_PACKET) {
        return got;
    }
    struct td_mqtt_fault fault;
    if (!td_mqtt_packet_decode(m->version, in->p[0], (td_slice){in->p + head, body}, out, &fault)) {
        if (m->state == TD_MQTT_NEW && out->type == TD_MQTT_CONNECT) {
            refusal_note(m, out);
            peer_learn(m, &out->props);
        }
        return fail(m, fault.reason, fault.rule);
    }
    got = out->type == TD_MQTT_PUBLISH ? publish_apply(m, out) : apply(m, out);
    if (got == TD_MQTT_GOT_PACKET) {
        m->heard = now;
        out->bytes = (uint32_t)(head + body);
        in->p += head + body;
        in->n -= head + body;
    }
    return got;
}

/* ---- our side ---- */

void td_mqtt_accepted(struct td_mqtt *m, uint16_t keep_alive_s, td_mono now)
{
    td_assert(m->role == TD_MQTT_SERVER);
    if (m->state == TD_MQTT_WAIT || m->state == TD_MQTT_AUTHENTICATING) {
        m->state = TD_MQTT_OPEN;
        m->keep_alive_s = keep_alive_s;
        m->heard = now;
    }
}

void td_mqtt_connecting(struct td_mqtt *m, const struct td_mqtt_packet *connect, td_mono now)
{
    td_assert(m->role == TD_MQTT_CLIENT && m->state == TD_MQTT_NEW);
    connect_note(m, connect);
    m->heard = now;
}

uint8_t *td_mqtt_ack(struct td_mqtt *m, uint8_t *p, unsigned type, uint16_t id, unsigned reason)
{
    bool ends = type == TD_MQTT_PUBACK || type == TD_MQTT_PUBCOMP ||
                (type == TD_MQTT_PUBREC && reason >= 0x80);
    bool says = reason != TD_MQTT_REASON_SUCCESS && m->version == TD_MQTT_V5;
    m->receiving = (uint16_t)(m->receiving - (ends && m->receiving > 0));
    *p++ = (uint8_t)(type << 4 | (type == TD_MQTT_PUBREL ? 2u : 0));
    *p++ = says ? 3 : 2;
    p = td_put_u16(p, id);
    return says ? td_put_u8(p, (uint8_t)reason) : p;
}

static size_t word_v5(const struct td_mqtt *m, struct td_mqtt_packet *packet, unsigned reason,
                      const char *text, uint8_t *p)
{
    bool fits = td_mqtt_reason_fits(reason, packet->type, m->role == TD_MQTT_SERVER);
    if (!fits && packet->type == TD_MQTT_CONNACK) {
        return 0; /* "taken over", say: refusing with another reason would mislead */
    }
    packet->reason = (uint8_t)(fits ? reason : TD_MQTT_REASON_UNSPECIFIED_ERROR);
    if (text != NULL && m->problems) {
        packet->props.has = TD_MQTT_HAS(REASON_STRING);
        packet->props.reason_string = td_slice_of(text);
        size_t n = td_mqtt_packet_size(packet);
        if (n == 0 || n > TD_MQTT_WORD_MAX || n > m->peer_packet_bytes_max) {
            packet->props.has = 0;
        }
    }
    if (td_mqtt_packet_size(packet) > m->peer_packet_bytes_max) { /* MQTT-3.1.2-24 */
        return 0;
    }
    return (size_t)(td_mqtt_packet_put(p, packet) - p);
}

size_t td_mqtt_word(struct td_mqtt *m, unsigned reason, const char *text, uint8_t *p)
{
    unsigned in = m->state == TD_MQTT_CLOSED ? m->ended_in : m->state;
    m->state = m->ended_in = TD_MQTT_CLOSED;
    bool opened = in == TD_MQTT_OPEN;
    if (in == TD_MQTT_CLOSED || m->version == 0 || (m->role == TD_MQTT_CLIENT && !opened)) {
        return 0;
    }
    struct td_mqtt_packet packet = {
        .version = m->version,
        .type = opened ? TD_MQTT_DISCONNECT : TD_MQTT_CONNACK,
        .reason = (uint8_t)reason,
    };
    if (m->version == TD_MQTT_V5) {
        return word_v5(m, &packet, reason, text, p);
    }
    /* A 3.x DISCONNECT says that all is well, it takes the will back. */
    bool speaks = opened ? m->role == TD_MQTT_CLIENT && reason == TD_MQTT_REASON_SUCCESS
                         : td_mqtt_reason_v3(reason) != 0;
    return speaks ? (size_t)(td_mqtt_packet_put(p, &packet) - p) : 0;
}

/* ---- time ---- */

td_mono td_mqtt_deadline(const struct td_mqtt *m)
{
    switch ((enum td_mqtt_state)m->state) {
    case TD_MQTT_NEW:
    case TD_MQTT_AUTHENTICATING:
        return td_mono_after(m->heard, m->limits->connect_ms);
    case TD_MQTT_WAIT: /* a server waits for itself here */
        return m->role == TD_MQTT_CLIENT ? td_mono_after(m->heard, m->limits->connect_ms)
                                         : TD_NEVER;
    case TD_MQTT_OPEN:
        return m->role == TD_MQTT_CLIENT || m->keep_alive_s == 0
                   ? TD_NEVER
                   : td_mono_after(m->heard, m->keep_alive_s * INT64_C(1500));
    case TD_MQTT_CLOSED:
        break;
    }
    return TD_NEVER;
}

bool td_mqtt_expired(struct td_mqtt *m, td_mono now)
{
    if (now < td_mqtt_deadline(m)) {
        return false;
    }
    if (m->state == TD_MQTT_OPEN) {
        (void)fail(m, TD_MQTT_REASON_KEEP_ALIVE_TIMEOUT,
                   "MQTT-3.1.2-22: silence for one and a half keep alives");
    } else {
        (void)fail(m, TD_MQTT_REASON_UNSPECIFIED_ERROR, "MQTT 3.1.4: no connection in time");
    }
    return true;
}
