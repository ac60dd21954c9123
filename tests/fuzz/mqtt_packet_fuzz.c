/* encode(decode(x)): what decodes encodes, decodes again, and is the same bytes from then on. */
#include <stdlib.h>

#include "base/base.h"
#include "wire/mqtt/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool decode(unsigned version, td_slice bytes, struct td_mqtt_packet *out)
{
    struct td_mqtt_fault fault;
    struct td_cursor c = td_cursor_of(td_slice_skip(bytes, 1));
    uint32_t body = td_cursor_varint28(&c);
    td_assert(c.err == TD_OK && body == td_cursor_left(&c));
    return td_mqtt_packet_decode(version, bytes.p[0], (td_slice){c.p, body}, out, &fault);
}

static void walk(const struct td_mqtt_packet *p)
{
    struct td_mqtt_filter f;
    td_slice rest = p->list, name, value;
    uint32_t id, count = 0;
    if (p->type == TD_MQTT_SUBSCRIBE || p->type == TD_MQTT_UNSUBSCRIBE) {
        while (td_mqtt_filter_next(p, &rest, &f)) {
            td_assert(td_mqtt_filter_valid(f.filter) && f.qos < 3);
            count++;
        }
        td_assert(count == p->list_count);
    }
    rest = p->props.raw;
    while (td_mqtt_user_next(&rest, &name, &value)) {
        td_assert(td_utf8_mqtt(name) && td_utf8_mqtt(value));
    }
    rest = p->props.raw;
    while (td_mqtt_subscription_id_next(&rest, &id)) {
        td_assert(id > 0);
    }
    uint8_t *room = malloc(p->props.raw.n + 1);
    td_slice travels = td_mqtt_props_travel(&p->props, room);
    td_assert(travels.n <= p->props.raw.n);
    td_assert((travels.n > 0 && travels.p == room) == td_mqtt_props_travel_gathers(&p->props));
    free(room);
}

static uint8_t *encode(const struct td_mqtt_packet *p, size_t *n)
{
    *n = td_mqtt_packet_size(p);
    td_assert(*n > 0);
    uint8_t *bytes = malloc(*n);
    td_assert(td_mqtt_packet_put(bytes, p) == bytes + *n);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct td_mqtt_fault fault;
    struct td_mqtt_packet one, two;
    if (n < 2) {
        return 0;
    }
    unsigned version = 3 + data[0] % 3;
    if (!td_mqtt_packet_decode(version, data[1], (td_slice){data + 2, n - 2}, &one, &fault)) {
        td_assert(fault.reason >= 0x80 && fault.rule != NULL);
        return 0;
    }
    if (one.type != TD_MQTT_PUBLISH && !(one.version == TD_MQTT_V5 && one.type <= TD_MQTT_AUTH)) {
        one.props.has = 0; /* PINGREQ and the like do not set it */
        one.props.raw = (td_slice){NULL, 0};
    }
    if (one.type == TD_MQTT_PINGREQ || one.type == TD_MQTT_PINGRESP) {
        return 0;
    }
    walk(&one);
    size_t first_n, second_n;
    uint8_t *first = encode(&one, &first_n);
    td_assert(decode(one.version, (td_slice){first, first_n}, &two));
    td_assert(two.type == one.type && two.version == one.version);
    uint8_t *second = encode(&two, &second_n);
    td_assert(td_slice_eq((td_slice){first, first_n}, (td_slice){second, second_n}));
    free(first);
    free(second);
    return 0;
}
