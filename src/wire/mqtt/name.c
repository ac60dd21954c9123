/* wire/mqtt: topic names and filters (4.7, 4.8.2), and the names of types and reasons. */
#include "wire/mqtt/mqtt.h"

/* ---- topic names: nearly all are plain ASCII, so eight bytes at a time ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* High bits where a byte of `v` is `byte`; above a true one also false ones. */
static inline uint64_t is8(uint64_t v, uint8_t byte)
{
    uint64_t zero = v ^ EACH(byte);
    return (zero - EACH(1)) & ~zero;
}

/* Nonzero if one of eight bytes is no plain letter of a topic: a control character, DEL, beyond
 * ASCII, + or #. */
static inline uint64_t odd8(uint64_t v)
{
    return (v | (v + EACH(1)) | (v - EACH(0x20)) | is8(v, '+') | is8(v, '#')) & EACH(0x80);
}

static inline uint64_t load8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint64_t load4(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* 1..7 bytes, some of them twice, filled up to eight. */
static inline uint64_t load_short(const uint8_t *p, size_t n)
{
    if (n >= 4) {
        return load4(p) | load4(p + n - 4) << 32;
    }
    return EACH(' ') << 24 | p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
}

static inline bool plain(td_slice s)
{
    if (s.n < 8) {
        return odd8(load_short(s.p, s.n)) == 0;
    }
    uint64_t odd = odd8(load8(s.p + s.n - 8));
    for (size_t i = 0; i + 8 < s.n; i += 8) {
        odd |= odd8(load8(s.p + i));
    }
    return odd == 0;
}

static bool has_wildcard(td_slice s)
{
    return td_slice_find(s, '+') < s.n || td_slice_find(s, '#') < s.n;
}

bool td_mqtt_topic_valid(td_slice topic)
{
    if (!td_in(topic.n, 1, TD_MQTT_STRING_MAX)) {
        return false;
    }
    return plain(topic) || (td_utf8_mqtt(topic) && !has_wildcard(topic));
}

/* ---- filters ---- */

/* MQTT-4.7.1-1, -2: a wildcard fills its level, # is the last. */
static bool wildcards_ok(td_slice filter)
{
    for (size_t i = 0; i < filter.n; i++) {
        uint8_t byte = filter.p[i];
        if (byte != '+' && byte != '#') {
            continue;
        }
        bool starts = i == 0 || filter.p[i - 1] == '/';
        bool ends = i + 1 == filter.n || (byte == '+' && filter.p[i + 1] == '/');
        if (!starts || !ends) {
            return false;
        }
    }
    return true;
}

bool td_mqtt_filter_shared(td_slice filter, td_slice *group, td_slice *inner)
{
    if (!td_slice_starts(filter, TD_STR("$share/"))) {
        return false;
    }
    td_slice rest = td_slice_skip(filter, 7);
    size_t n = td_slice_find(rest, '/');
    *group = td_slice_head(rest, n);
    *inner = td_slice_skip(rest, n + 1);
    return true;
}

bool td_mqtt_filter_valid(td_slice filter)
{
    td_slice group, inner = filter;
    if (!td_in(filter.n, 1, TD_MQTT_STRING_MAX) || !td_utf8_mqtt(filter)) {
        return false;
    }
    if (td_mqtt_filter_shared(filter, &group, &inner) && /* MQTT-4.8.2-1, -2 */
        (group.n == 0 || has_wildcard(group) || inner.n == 0)) {
        return false;
    }
    return wildcards_ok(inner);
}

/* ---- names ---- */

const char *td_mqtt_type_name(unsigned type)
{
    static const char *const names[] = {
        "reserved", "CONNECT",  "CONNACK",    "PUBLISH", "PUBACK",      "PUBREC",
        "PUBREL",   "PUBCOMP",  "SUBSCRIBE",  "SUBACK",  "UNSUBSCRIBE", "UNSUBACK",
        "PINGREQ",  "PINGRESP", "DISCONNECT", "AUTH",
    };
    return type < TD_COUNT(names) ? names[type] : "no packet";
}

const char *td_mqtt_reason_text(unsigned reason)
{
    switch (reason) {
#define REASON(name, value, packets, text)                                                         \
    case value:                                                                                    \
        return text;
#include "wire/mqtt/reason.def"
#undef REASON
    default:
        return "unknown reason";
    }
}

uint8_t td_mqtt_reason_v3(unsigned reason)
{
    switch (reason) {
    case TD_MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION:
        return 1;
    case TD_MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID:
        return 2;
    case TD_MQTT_REASON_SERVER_UNAVAILABLE:
    case TD_MQTT_REASON_SERVER_BUSY:
    case TD_MQTT_REASON_QUOTA_EXCEEDED:
    case TD_MQTT_REASON_CONNECTION_RATE_EXCEEDED:
    case TD_MQTT_REASON_USE_ANOTHER_SERVER:
    case TD_MQTT_REASON_SERVER_MOVED:
        return 3;
    case TD_MQTT_REASON_BAD_USER_NAME_OR_PASSWORD:
    case TD_MQTT_REASON_BAD_AUTHENTICATION_METHOD:
        return 4;
    case TD_MQTT_REASON_NOT_AUTHORIZED:
    case TD_MQTT_REASON_BANNED:
        return 5;
    default:
        return 0;
    }
}
