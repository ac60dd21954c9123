/* wire/mqtt: the properties of 5.0. One table, made from props.def, is the layout, the law, the
 * decoder and the encoder.
 *
 *     | length (varint) | id | value | id | value ...
 *
 * Time is linear in the bytes, whatever comes. */
#include "wire/mqtt/packet.h"

enum kind { NO_PROP, BOOL, U16, U32, VAR, TEXT, BLOB, PAIR };

struct row {
    uint8_t kind, least;
    uint16_t member; /* offset in struct td_mqtt_props */
    unsigned packets;
};

#define P(type) TD_MQTT_BIT(TD_MQTT_##type)
#define W TD_MQTT_BIT(TD_MQTT_WILL)
static const struct row rows[] = {
#define PROP(name, id, member, kind, least, packets)                                               \
    [id] = {kind, least, offsetof(struct td_mqtt_props, member), packets},
#include "wire/mqtt/props.def"
#undef PROP
};
#undef P
#undef W

#define TRAVELS                                                                                    \
    (TD_MQTT_HAS(PAYLOAD_FORMAT) | TD_MQTT_HAS(CONTENT_TYPE) | TD_MQTT_HAS(RESPONSE_TOPIC) |       \
     TD_MQTT_HAS(CORRELATION_DATA) | TD_MQTT_HAS(USER_PROPERTY))

/* ---- reading one value ---- */

/* A value of any kind: numbers in `number`, bytes in `bytes`, a pair's second half in `second`. */
struct value {
    uint32_t number;
    td_slice bytes, second;
};

static struct value value_read(struct td_cursor *c, enum kind kind)
{
    struct value v = {0};
    switch (kind) {
    case NO_PROP:
        break;
    case BOOL:
        v.number = td_cursor_u8(c);
        break;
    case U16:
        v.number = td_cursor_u16(c);
        break;
    case U32:
        v.number = td_cursor_u32(c);
        break;
    case VAR:
        v.number = td_cursor_varint28(c);
        break;
    case TEXT:
    case BLOB:
        v.bytes = td_cursor_string16(c);
        break;
    case PAIR:
        v.bytes = td_cursor_string16(c);
        v.second = td_cursor_string16(c);
        break;
    }
    return v;
}

static void value_store(struct td_mqtt_props *out, const struct row *row, const struct value *v)
{
    uint8_t *at = (uint8_t *)out + row->member;
    switch ((enum kind)row->kind) {
    case BOOL:
        *at = (uint8_t)v->number;
        break;
    case U16:
        memcpy(at, &(uint16_t){(uint16_t)v->number}, sizeof(uint16_t));
        break;
    case U32:
    case VAR:
        memcpy(at, &v->number, sizeof v->number);
        break;
    case TEXT:
    case BLOB:
        memcpy(at, &v->bytes, sizeof v->bytes);
        break;
    case NO_PROP:
    case PAIR:
        break;
    }
}

/* ---- decoding ---- */

static const struct row *row_of(unsigned id)
{
    static const struct row none = {0};
    return id < TD_COUNT(rows) ? &rows[id] : &none;
}

static void value_check(unsigned id, const struct row *row, const struct value *v,
                        struct td_mqtt_fault *f)
{
    bool text = row->kind == TEXT || row->kind == PAIR;
    if (text && (!td_utf8_mqtt(v->bytes) || !td_utf8_mqtt(v->second))) {
        td_mqtt_fault_set(f, TD_MQTT_REASON_MALFORMED_PACKET,
                          "MQTT-1.5.4-1: a text property is UTF-8 without controls");
    }
    if (v->number < row->least || (row->kind == BOOL && v->number > 1)) {
        td_mqtt_fault_set(f, TD_MQTT_REASON_PROTOCOL_ERROR,
                          "MQTT 2.2.2.2: a property's value is outside its range");
    }
    if (id == TD_MQTT_PROP_RESPONSE_TOPIC && f->rule == NULL && !td_mqtt_topic_valid(v->bytes)) {
        td_mqtt_fault_set(f, TD_MQTT_REASON_PROTOCOL_ERROR,
                          "MQTT-3.3.2-14: a response topic has no wildcards");
    }
}

static void prop_decode(struct td_cursor *c, unsigned type, struct td_mqtt_props *out,
                        struct td_mqtt_fault *f)
{
    unsigned id = td_cursor_u8(c);
    const struct row *row = row_of(id);
    if ((row->packets & TD_MQTT_BIT(type)) == 0) {
        td_mqtt_fault_set(f, TD_MQTT_REASON_MALFORMED_PACKET,
                          "MQTT 2.2.2.2: this packet has no such property");
        return;
    }
    bool repeats = row->kind == PAIR || (row->kind == VAR && type == TD_MQTT_PUBLISH);
    bool again = (out->has >> id & 1) != 0;
    if (again && !repeats) {
        td_mqtt_fault_set(f, TD_MQTT_REASON_PROTOCOL_ERROR,
                          "MQTT 2.2.2.2: this property comes once");
    }
    struct value v = value_read(c, row->kind);
    if (c->err != TD_OK) {
        return;
    }
    value_check(id, row, &v, f);
    if (!again) {
        value_store(out, row, &v);
        out->has |= UINT64_C(1) << id;
    }
}

void td_mqtt_props_decode(struct td_cursor *c, unsigned type, struct td_mqtt_props *out,
                          struct td_mqtt_fault *f)
{
    size_t n = td_cursor_varint28(c);
    td_slice block = td_cursor_bytes(c, n);
    if (block.n == 0) {
        out->has = 0;
        out->raw = (td_slice){NULL, 0};
        return;
    }
    *out = (struct td_mqtt_props){.raw = block};
    struct td_cursor inner = td_cursor_of(block);
    unsigned users = 0;
    while (td_cursor_left(&inner) > 0 && inner.err == TD_OK && f->rule == NULL) {
        users += *inner.p == TD_MQTT_PROP_USER_PROPERTY;
        if (users > TD_MQTT_USERS_MAX) {
            td_mqtt_fault_set(f, TD_MQTT_REASON_PACKET_TOO_LARGE,
                              "MQTT 4.13: a packet has at most 64 user properties here");
            return;
        }
        prop_decode(&inner, type, out, f);
    }
    if (inner.err != TD_OK) {
        td_mqtt_fault_set(f, TD_MQTT_REASON_MALFORMED_PACKET,
                          "MQTT 2.2.2: a property ends behind its block");
    }
}

/* ---- walking a valid block ---- */

/* The next property with its id and bytes; false at the end. */
static bool walk(td_slice *rest, unsigned *id, struct value *v, td_slice *whole)
{
    if (rest->n == 0) {
        return false;
    }
    struct td_cursor c = td_cursor_of(*rest);
    *id = td_cursor_u8(&c);
    *v = value_read(&c, row_of(*id)->kind);
    if (c.err != TD_OK || row_of(*id)->kind == NO_PROP) {
        *rest = (td_slice){c.end, 0}; /* the caller's own block is not valid */
        return false;
    }
    *whole = (td_slice){rest->p, (size_t)(c.p - rest->p)};
    *rest = (td_slice){c.p, td_cursor_left(&c)};
    return true;
}

bool td_mqtt_user_next(td_slice *rest, td_slice *name, td_slice *value)
{
    unsigned id;
    struct value v;
    td_slice whole;
    while (walk(rest, &id, &v, &whole)) {
        if (id == TD_MQTT_PROP_USER_PROPERTY) {
            *name = v.bytes;
            *value = v.second;
            return true;
        }
    }
    return false;
}

bool td_mqtt_subscription_id_next(td_slice *rest, uint32_t *out)
{
    unsigned id;
    struct value v;
    td_slice whole;
    while (walk(rest, &id, &v, &whole)) {
        if (id == TD_MQTT_PROP_SUBSCRIPTION_ID) {
            *out = v.number;
            return true;
        }
    }
    return false;
}

size_t td_mqtt_user_size(td_slice name, td_slice value)
{
    return 1 + 2 + name.n + 2 + value.n;
}

uint8_t *td_mqtt_user_put(uint8_t *p, td_slice name, td_slice value)
{
    p = td_put_u8(p, TD_MQTT_PROP_USER_PROPERTY);
    return td_put_string16(td_put_string16(p, name), value);
}

/* ---- what travels on ---- */

/* Gathers into `room` if that is not NULL; gives the bytes, *pieces in how many runs they stand,
 * *first where the first begins. */
static size_t travel(td_slice raw, uint8_t *room, size_t *pieces, const uint8_t **first)
{
    size_t n = 0;
    const uint8_t *end = NULL;
    unsigned id;
    struct value v;
    td_slice whole;
    *pieces = 0;
    while (walk(&raw, &id, &v, &whole)) {
        if ((TRAVELS >> id & 1) == 0) {
            continue;
        }
        if (whole.p != end) {
            *first = (*pieces)++ == 0 ? whole.p : *first;
        }
        end = whole.p + whole.n;
        if (room != NULL) {
            (void)td_put_bytes(room + n, whole);
        }
        n += whole.n;
    }
    return n;
}

static bool travels_whole_or_not(const struct td_mqtt_props *props)
{
    return (props->has & ~TRAVELS) == 0 || (props->has & TRAVELS) == 0;
}

bool td_mqtt_props_travel_gathers(const struct td_mqtt_props *props)
{
    size_t pieces;
    const uint8_t *first;
    return !travels_whole_or_not(props) && travel(props->raw, NULL, &pieces, &first) > 0 &&
           pieces > 1;
}

td_slice td_mqtt_props_travel(const struct td_mqtt_props *props, uint8_t *room)
{
    if (travels_whole_or_not(props)) {
        return (props->has & TRAVELS) == 0 ? (td_slice){NULL, 0} : props->raw;
    }
    size_t pieces;
    const uint8_t *first = NULL;
    size_t n = travel(props->raw, NULL, &pieces, &first);
    if (pieces == 1) {
        return (td_slice){first, n};
    }
    return (td_slice){room, travel(props->raw, room, &pieces, &first)};
}

/* ---- encoding: once without `p` for the size, once with it ---- */

static size_t value_put(uint8_t *p, unsigned id, const struct row *row, const void *from)
{
    uint16_t u16;
    uint32_t u32;
    td_slice s;
    uint8_t bytes[8]; /* numbers go through here, so that size and bytes have one author */
    uint8_t *end = td_put_u8(bytes, (uint8_t)id);
    switch ((enum kind)row->kind) {
    case BOOL:
        end = td_put_u8(end, *(const uint8_t *)from);
        break;
    case U16:
        memcpy(&u16, from, sizeof u16);
        end = td_put_u16(end, u16);
        break;
    case U32:
        memcpy(&u32, from, sizeof u32);
        end = td_put_u32(end, u32);
        break;
    case VAR:
        memcpy(&u32, from, sizeof u32);
        end = td_put_varint28(end, u32);
        break;
    case TEXT:
    case BLOB:
        memcpy(&s, from, sizeof s);
        if (p != NULL) {
            (void)td_put_string16(td_put_u8(p, (uint8_t)id), s);
        }
        return 3 + s.n;
    case NO_PROP:
    case PAIR:
        return 0;
    }
    size_t n = (size_t)(end - bytes);
    if (p != NULL) {
        memcpy(p, bytes, n);
    }
    return n;
}

/* All properties of one id that stand in raw. */
static size_t raw_put(uint8_t *p, td_slice raw, unsigned wanted)
{
    size_t n = 0;
    unsigned id;
    struct value v;
    td_slice whole;
    while (walk(&raw, &id, &v, &whole)) {
        if (id == wanted) {
            if (p != NULL) {
                memcpy(p + n, whole.p, whole.n);
            }
            n += whole.n;
        }
    }
    return n;
}

static size_t props_put(uint8_t *p, const struct td_mqtt_props *props, unsigned type)
{
    size_t n = 0;
    for (unsigned id = 0; id < TD_COUNT(rows); id++) {
        const struct row *row = &rows[id];
        if ((props->has >> id & 1) == 0 || (row->packets & TD_MQTT_BIT(type)) == 0) {
            continue;
        }
        uint8_t *at = p == NULL ? NULL : p + n;
        size_t more = row->kind == PAIR || row->kind == VAR ? raw_put(at, props->raw, id) : 0;
        n += more > 0 ? more : value_put(at, id, row, (const uint8_t *)props + row->member);
    }
    return n;
}

size_t td_mqtt_props_size(const struct td_mqtt_props *props, unsigned type)
{
    return props->has == 0 ? 0 : props_put(NULL, props, type);
}

uint8_t *td_mqtt_props_put(uint8_t *p, const struct td_mqtt_props *props, unsigned type)
{
    return props->has == 0 ? p : p + props_put(p, props, type);
}
