/* PUBLISH on its way out: every variant decodes to what was meant. */
#include "hex.h"

#include "wire/mqtt/mqtt.h"

static const struct td_mqtt_limits limits = TD_MQTT_LIMITS_DEFAULT;

static struct td_mqtt client_of(unsigned version)
{
    static struct td_mqtt_limits with_aliases = TD_MQTT_LIMITS_DEFAULT;
    struct td_mqtt m;
    td_mqtt_init(&m, TD_MQTT_CLIENT, &with_aliases, 0);
    m.version = (uint8_t)version;
    m.state = TD_MQTT_OPEN;
    return m;
}

static void check(const struct td_mqtt_publish *m)
{
    static uint8_t out[70000], aliases[4096];
    size_t n = td_mqtt_publish_size(m);
    assert_int_equal(n - m->payload.n, td_mqtt_publish_head_size(m));
    assert_ptr_equal(out + n, td_mqtt_publish_put(out, m));
    struct td_mqtt machine = client_of(m->version);
    struct td_mqtt_packet p;
    td_slice in = {out, n};
    enum td_mqtt_got got = td_mqtt_next(&machine, &in, 1, &p);
    if (got == TD_MQTT_GOT_ALIASES) {
        td_mqtt_aliases_lend(&machine, aliases, sizeof aliases);
        got = td_mqtt_next(&machine, &in, 1, &p);
    }
    assert_int_equal(TD_MQTT_GOT_PACKET, got);
    assert_int_equal(n, p.bytes);
    assert_true(td_slice_eq(m->topic, p.topic));
    assert_true(td_slice_eq(m->payload, p.payload));
    assert_int_equal(m->qos, p.qos);
    assert_int_equal(m->retain, p.retain);
    assert_int_equal(m->dup, p.dup);
    assert_int_equal(m->qos > 0 ? m->id : 0, p.id);
    if (m->qos > 0) {
        const uint8_t *id = out + td_mqtt_publish_id_at(m);
        assert_int_equal(m->id, id[0] << 8 | id[1]);
    }
    if (m->version != TD_MQTT_V5) {
        assert_int_equal(0, p.props.has);
        return;
    }
    assert_int_equal(m->alias != 0, td_mqtt_has(&p.props, TD_MQTT_PROP_TOPIC_ALIAS));
    bool expires = m->expiry_s != UINT32_MAX;
    assert_int_equal(expires, td_mqtt_has(&p.props, TD_MQTT_PROP_MESSAGE_EXPIRY));
    assert_true(!expires || p.props.message_expiry_s == m->expiry_s);
    td_slice rest = p.props.raw;
    for (size_t i = 0; i < m->id_count; i++) {
        uint32_t id = 0;
        assert_true(m->ids[i] == 0 || td_mqtt_subscription_id_next(&rest, &id));
        assert_int_equal(m->ids[i], id);
    }
    uint8_t room[256];
    assert_true(td_slice_eq(m->props, td_mqtt_props_travel(&p.props, room)));
}

static void every_variant_decodes_to_what_was_meant(void **state)
{
    (void)state;
    static uint8_t payload[66000];
    static const uint32_t ids[] = {1, 0, 268435455, 200};
    static const size_t sizes[] = {0,   1,   100, 115,   116,   117,  118,
                                   119, 120, 127, 16370, 16384, 66000};
    struct hex props = hex_of("01 01 03 0004 'text' 26 0001 'k' 0001 'v'");
    for (unsigned bits = 0; bits < 256; bits++) {
        for (size_t size = 0; size < TD_COUNT(sizes); size++) {
            struct td_mqtt_publish m = {
                .topic = TD_STR("home/kitchen/temp"),
                .payload = {payload, sizes[size]},
                .props = (bits & 1) != 0 ? hex_slice(&props) : (td_slice){NULL, 0},
                .ids = ids,
                .id_count = (bits & 2) != 0 ? TD_COUNT(ids) : 0,
                .expiry_s = (bits & 4) != 0 ? 77 : UINT32_MAX,
                .alias = (bits & 8) != 0 ? 9 : 0,
                .id = 0x1234,
                .version = (uint8_t)(3 + (bits >> 4 & 3) % 3),
                .qos = (uint8_t)(bits >> 6 & 3) % 3,
                .retain = (bits & 1) != 0,
            };
            m.dup = m.qos > 0 && (bits & 2) != 0;
            check(&m);
        }
    }
}

static void what_does_not_fit_has_size_0(void **state)
{
    (void)state;
    static uint8_t topic[65536];
    memset(topic, 't', sizeof topic);
    struct td_mqtt_publish m = {
        .topic = {topic, 65536}, .expiry_s = UINT32_MAX, .version = TD_MQTT_V5};
    assert_int_equal(0, td_mqtt_publish_size(&m));
    m.topic.n = 65535;
    assert_int_equal(1 + 3 + 2 + 65535 + 1, td_mqtt_publish_size(&m));
    m.payload = (td_slice){topic, TD_MQTT_REMAINING_MAX - 2 - 65535 - 1};
    assert_int_equal(1 + 4 + TD_MQTT_REMAINING_MAX, td_mqtt_publish_size(&m));
    m.payload.n++;
    assert_int_equal(0, td_mqtt_publish_size(&m));
    struct td_mqtt_packet p = {.type = TD_MQTT_CONNECT, .version = TD_MQTT_V5};
    p.connect.client_id = (td_slice){topic, 65536};
    assert_int_equal(0, td_mqtt_packet_size(&p));
    p.connect.client_id.n = 0;
    p.props.has = TD_MQTT_HAS(AUTH_METHOD);
    p.props.auth_method = (td_slice){topic, 65536};
    assert_int_equal(0, td_mqtt_packet_size(&p));
}

static void acknowledgements_are_as_short_as_they_can_be(void **state)
{
    (void)state;
    struct td_mqtt m;
    uint8_t out[TD_MQTT_ACK_MAX];
    td_mqtt_init(&m, TD_MQTT_SERVER, &limits, 0);
    m.version = TD_MQTT_V5;
    m.receiving = 2;
    assert_int_equal(4, td_mqtt_ack(&m, out, TD_MQTT_PUBREC, 0x0102, 0) - out);
    assert_memory_equal("\x50\x02\x01\x02", out, 4);
    assert_int_equal(2, m.receiving);
    assert_int_equal(5, td_mqtt_ack(&m, out, TD_MQTT_PUBREC, 0x0102, 0x97) - out);
    assert_memory_equal("\x50\x03\x01\x02\x97", out, 5);
    assert_int_equal(1, m.receiving);
    assert_int_equal(4, td_mqtt_ack(&m, out, TD_MQTT_PUBREL, 1, 0) - out);
    assert_memory_equal("\x62\x02\x00\x01", out, 4);
    m.version = TD_MQTT_V311;
    assert_int_equal(4, td_mqtt_ack(&m, out, TD_MQTT_PUBACK, 1, 0x87) - out);
    assert_int_equal(0, m.receiving);
    (void)td_mqtt_ack(&m, out, TD_MQTT_PUBCOMP, 1, 0);
    assert_int_equal(0, m.receiving);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_decodes_to_what_was_meant),
        cmocka_unit_test(what_does_not_fit_has_size_0),
        cmocka_unit_test(acknowledgements_are_as_short_as_they_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
