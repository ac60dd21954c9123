/* wire/mqtt: packets as bytes. Control packets go through one walk over a sink that either counts
 * or writes, so size and bytes cannot disagree. PUBLISH has its own path, because a hub writes
 * millions of them. */
#include "wire/mqtt/packet.h"

/* ---- sink ---- */

struct sink {
    uint8_t *p; /* NULL: count only */
    size_t n;
    bool fits; /* all strings so far keep to 65,535 bytes */
};

static uint8_t *place(struct sink *s, size_t n)
{
    uint8_t *at = s->p == NULL ? NULL : s->p + s->n;
    s->n += n;
    return at;
}

static void out_u8(struct sink *s, unsigned v)
{
    uint8_t *at = place(s, 1);
    if (at != NULL) {
        *at = (uint8_t)v;
    }
}

static void out_u16(struct sink *s, unsigned v)
{
    uint8_t *at = place(s, 2);
    if (at != NULL) {
        (void)td_put_u16(at, (uint16_t)v);
    }
}

static void out_bytes(struct sink *s, td_slice v)
{
    uint8_t *at = place(s, v.n);
    if (at != NULL) {
        (void)td_put_bytes(at, v);
    }
}

static void out_string(struct sink *s, td_slice v)
{
    s->fits = s->fits && v.n <= TD_MQTT_STRING_MAX;
    out_u16(s, (unsigned)v.n);
    out_bytes(s, v);
}

static bool props_fit(const struct td_mqtt_props *p)
{
    const td_slice all[] = {
        p->content_type,         p->response_topic,   p->correlation_data,
        p->assigned_client_id,   p->auth_method,      p->auth_data,
        p->response_information, p->server_reference, p->reason_string,
    };
    for (size_t i = 0; i < TD_COUNT(all); i++) {
        if (all[i].n > TD_MQTT_STRING_MAX) {
            return false;
        }
    }
    return true;
}

static void out_props(struct sink *s, unsigned version, unsigned type,
                      const struct td_mqtt_props *props)
{
    if (version != TD_MQTT_V5) {
        return;
    }
    s->fits = s->fits && (props->has == 0 || props_fit(props));
    size_t n = s->fits ? td_mqtt_props_size(props, type) : 0;
    if (n > TD_MQTT_REMAINING_MAX) {
        s->fits = false;
        return;
    }
    uint8_t *at = place(s, td_varint28_size((uint32_t)n) + n);
    if (at != NULL) {
        (void)td_mqtt_props_put(td_put_varint28(at, (uint32_t)n), props, type);
    }
}

/* ---- bodies ---- */

static void connect_out(struct sink *s, const struct td_mqtt_packet *p)
{
    const struct td_mqtt_connect *k = &p->connect;
    bool will = k->has_will;
    out_string(s, p->version == TD_MQTT_V31 ? TD_STR("MQIsdp") : TD_STR("MQTT"));
    out_u8(s, p->version);
    out_u8(s, (k->clean_start ? 0x02u : 0) | (will ? 0x04u | (unsigned)k->will_qos << 3 : 0) |
                  (will && k->will_retain ? 0x20u : 0) | (k->has_password ? 0x40u : 0) |
                  (k->has_user ? 0x80u : 0));
    out_u16(s, k->keep_alive_s);
    out_props(s, p->version, TD_MQTT_CONNECT, &p->props);
    out_string(s, k->client_id);
    if (will) {
        out_props(s, p->version, TD_MQTT_WILL, &k->will_props);
        out_string(s, k->will_topic);
        out_string(s, k->will_payload);
    }
    if (k->has_user) {
        out_string(s, k->user);
    }
    if (k->has_password) {
        out_string(s, k->password);
    }
}

static unsigned code_of_v3(unsigned reason)
{
    uint8_t code = td_mqtt_reason_v3(reason);
    return reason == TD_MQTT_REASON_SUCCESS ? 0 : code != 0 ? code : 3u;
}

static void connack_out(struct sink *s, const struct td_mqtt_packet *p)
{
    out_u8(s, p->session_present && p->version != TD_MQTT_V31);
    out_u8(s, p->version == TD_MQTT_V5 ? p->reason : code_of_v3(p->reason));
    out_props(s, p->version, TD_MQTT_CONNACK, &p->props);
}

/* A reason and properties at the packet's end: left out as far as they say nothing. */
static void reason_out(struct sink *s, const struct td_mqtt_packet *p)
{
    bool props = p->props.has != 0;
    if (p->version != TD_MQTT_V5 || (p->reason == TD_MQTT_REASON_SUCCESS && !props)) {
        return;
    }
    out_u8(s, p->reason);
    if (props) {
        out_props(s, p->version, p->type, &p->props);
    }
}

static void ack_out(struct sink *s, const struct td_mqtt_packet *p)
{
    out_u16(s, p->id);
    reason_out(s, p);
}

static void list_out(struct sink *s, const struct td_mqtt_packet *p)
{
    out_u16(s, p->id);
    out_props(s, p->version, p->type, &p->props);
    if (p->type != TD_MQTT_UNSUBACK || p->version == TD_MQTT_V5) {
        out_bytes(s, p->list);
    }
}

static void publish_out(struct sink *s, const struct td_mqtt_packet *p)
{
    out_string(s, p->topic);
    if (p->qos > 0) {
        out_u16(s, p->id);
    }
    out_props(s, p->version, TD_MQTT_PUBLISH, &p->props);
    out_bytes(s, p->payload);
}

static void nothing_out(struct sink *s, const struct td_mqtt_packet *p)
{
    (void)s;
    (void)p;
}

typedef void writer(struct sink *s, const struct td_mqtt_packet *p);

static void body_out(struct sink *s, const struct td_mqtt_packet *p)
{
    static writer *const writers[16] = {
        [TD_MQTT_CONNECT] = connect_out,  [TD_MQTT_CONNACK] = connack_out,
        [TD_MQTT_PUBLISH] = publish_out,  [TD_MQTT_PUBACK] = ack_out,
        [TD_MQTT_PUBREC] = ack_out,       [TD_MQTT_PUBREL] = ack_out,
        [TD_MQTT_PUBCOMP] = ack_out,      [TD_MQTT_SUBSCRIBE] = list_out,
        [TD_MQTT_SUBACK] = list_out,      [TD_MQTT_UNSUBSCRIBE] = list_out,
        [TD_MQTT_UNSUBACK] = list_out,    [TD_MQTT_PINGREQ] = nothing_out,
        [TD_MQTT_PINGRESP] = nothing_out, [TD_MQTT_DISCONNECT] = reason_out,
        [TD_MQTT_AUTH] = reason_out,
    };
    td_assert(td_in(p->type, TD_MQTT_CONNECT, TD_MQTT_AUTH));
    writers[p->type](s, p);
}

/* ---- any packet ---- */

static unsigned first_byte(const struct td_mqtt_packet *p)
{
    unsigned flags = 0;
    if (p->type == TD_MQTT_PUBLISH) {
        flags = (p->dup ? 8u : 0) | (unsigned)p->qos << 1 | (p->retain ? 1u : 0);
    } else if (p->type == TD_MQTT_PUBREL || p->type == TD_MQTT_SUBSCRIBE ||
               p->type == TD_MQTT_UNSUBSCRIBE) {
        flags = 2;
    }
    return (unsigned)p->type << 4 | flags;
}

size_t td_mqtt_packet_size(const struct td_mqtt_packet *packet)
{
    struct sink s = {.fits = true};
    body_out(&s, packet);
    if (!s.fits || s.n > TD_MQTT_REMAINING_MAX) {
        return 0;
    }
    return 1 + td_varint28_size((uint32_t)s.n) + s.n;
}

uint8_t *td_mqtt_packet_put(uint8_t *p, const struct td_mqtt_packet *packet)
{
    struct sink count = {.fits = true};
    body_out(&count, packet);
    td_assert(count.fits && count.n <= TD_MQTT_REMAINING_MAX);
    p = td_put_u8(p, (uint8_t)first_byte(packet));
    struct sink s = {.p = td_put_varint28(p, (uint32_t)count.n), .fits = true};
    body_out(&s, packet);
    return s.p + s.n;
}

size_t td_mqtt_filter_size(unsigned type, const struct td_mqtt_filter *f)
{
    return 2 + f->filter.n + (type == TD_MQTT_SUBSCRIBE ? 1 : 0);
}

uint8_t *td_mqtt_filter_put(uint8_t *p, unsigned type, unsigned version,
                            const struct td_mqtt_filter *f)
{
    p = td_put_string16(p, f->filter);
    if (type != TD_MQTT_SUBSCRIBE) {
        return p;
    }
    unsigned more = (f->no_local ? 4u : 0) | (f->retain_as_published ? 8u : 0) |
                    (unsigned)f->retain_handling << 4;
    return td_put_u8(p, (uint8_t)(f->qos | (version == TD_MQTT_V5 ? more : 0)));
}

/* ---- PUBLISH on its way out ---- */

/* Properties of this one connection: alias, identifiers, what is left of the expiry. */
static size_t own_props_size(const struct td_mqtt_publish *m)
{
    size_t n = (m->alias != 0 ? 3u : 0) + (m->expiry_s != UINT32_MAX ? 5u : 0);
    for (size_t i = 0; i < m->id_count; i++) {
        n += m->ids[i] == 0 ? 0 : 1 + td_varint28_size(m->ids[i]);
    }
    return n;
}

static uint8_t *own_props_put(uint8_t *p, const struct td_mqtt_publish *m)
{
    if (m->alias != 0) {
        p = td_put_u16(td_put_u8(p, TD_MQTT_PROP_TOPIC_ALIAS), m->alias);
    }
    if (m->expiry_s != UINT32_MAX) {
        p = td_put_u32(td_put_u8(p, TD_MQTT_PROP_MESSAGE_EXPIRY), m->expiry_s);
    }
    for (size_t i = 0; i < m->id_count; i++) {
        if (m->ids[i] != 0) {
            p = td_put_varint28(td_put_u8(p, TD_MQTT_PROP_SUBSCRIPTION_ID), m->ids[i]);
        }
    }
    return p;
}

struct layout {
    size_t props;     /* of the block, without its length */
    size_t remaining; /* length, 0: does not fit */
};

static inline struct layout layout_of(const struct td_mqtt_publish *m)
{
    struct layout l = {0};
    size_t n = 2 + m->topic.n + (m->qos > 0 ? 2u : 0);
    if (m->version == TD_MQTT_V5) {
        l.props = own_props_size(m) + m->props.n;
        n += l.props > TD_MQTT_REMAINING_MAX ? 0 : td_varint28_size((uint32_t)l.props);
    }
    if (m->topic.n <= TD_MQTT_STRING_MAX && l.props <= TD_MQTT_REMAINING_MAX &&
        m->payload.n <= TD_MQTT_REMAINING_MAX &&
        n + l.props + m->payload.n <= TD_MQTT_REMAINING_MAX) {
        l.remaining = n + l.props + m->payload.n;
    }
    return l;
}

static inline size_t size_of(const struct td_mqtt_publish *m)
{
    size_t n = layout_of(m).remaining;
    return n == 0 ? 0 : 1 + td_varint28_size((uint32_t)n) + n;
}

size_t td_mqtt_publish_size(const struct td_mqtt_publish *m)
{
    return size_of(m);
}

size_t td_mqtt_publish_head_size(const struct td_mqtt_publish *m)
{
    size_t n = size_of(m);
    return n == 0 ? 0 : n - m->payload.n;
}

static inline uint8_t *put_length(uint8_t *p, uint32_t v)
{
    if (v < 0x80) {
        *p = (uint8_t)v;
        return p + 1;
    }
    return td_put_varint28(p, v);
}

static inline uint8_t *head_put(uint8_t *p, const struct td_mqtt_publish *m)
{
    struct layout l = layout_of(m);
    td_assert(l.remaining > 0);
    *p++ = (uint8_t)(TD_MQTT_PUBLISH << 4 | (m->dup ? 8 : 0) | m->qos << 1 | (m->retain ? 1 : 0));
    p = put_length(p, (uint32_t)l.remaining);
    p = td_put_u16(p, (uint16_t)m->topic.n);
    p = td_put_bytes(p, m->topic);
    if (m->qos > 0) {
        p = td_put_u16(p, m->id);
    }
    if (m->version == TD_MQTT_V5) {
        p = put_length(p, (uint32_t)l.props);
        if (l.props > 0) {
            p = td_put_bytes(own_props_put(p, m), m->props);
        }
    }
    return p;
}

uint8_t *td_mqtt_publish_head_put(uint8_t *p, const struct td_mqtt_publish *m)
{
    return head_put(p, m);
}

uint8_t *td_mqtt_publish_put(uint8_t *p, const struct td_mqtt_publish *m)
{
    return td_put_bytes(head_put(p, m), m->payload);
}

size_t td_mqtt_publish_id_at(const struct td_mqtt_publish *m)
{
    return 1 + td_varint28_size((uint32_t)layout_of(m).remaining) + 2 + m->topic.n;
}
