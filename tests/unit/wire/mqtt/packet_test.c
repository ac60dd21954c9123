/* Packets of all three versions as the specifications draw them, each cut at every byte, fed one by
 * one, and encoded back. */
#include "hex.h"

#include "wire/mqtt/mqtt.h"

static const struct td_mqtt_limits limits = TD_MQTT_LIMITS_DEFAULT;

/* A machine that is ready for whatever the role may hear in this version. */
static struct td_mqtt ready(enum td_mqtt_role role, unsigned version, unsigned type)
{
    struct td_mqtt m;
    td_mqtt_init(&m, role, &limits, 0);
    m.version = (uint8_t)version;
    m.state = TD_MQTT_OPEN;
    m.authenticates = true;
    if (type == TD_MQTT_CONNECT) {
        m.version = 0;
        m.state = TD_MQTT_NEW;
    } else if (type == TD_MQTT_CONNACK) {
        m.state = TD_MQTT_WAIT;
    }
    return m;
}

/* What the specifications and their non-normative examples give, one of each type at least. */
static const struct {
    enum td_mqtt_role role;
    unsigned version;
    const char *bytes;
    bool same; /* encodes back to exactly these bytes */
} golden[] = {
    /* CONNECT: 3.1.2.11 of 3.1.1 with all flags, then 5.0 with and without properties */
    {TD_MQTT_SERVER, 3, "10 11 0006 'MQIsdp' 03 02 003C 0003 'abc'", true},
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTT' 04 02 003C 0000", true},
    {TD_MQTT_SERVER, 4,
     "10 25 0004 'MQTT' 04 EE 000A 0001 'c' 0003 'w/t' 0005 'gone!' 0004 'user' 0004 'pass'", true},
    {TD_MQTT_SERVER, 5, "10 0D 0004 'MQTT' 05 02 003C 00 0000", true},
    {TD_MQTT_SERVER, 5,
     "10 2D 0004 'MQTT' 05 C6 003C 0B 11 00000E10 21 000A 22 0005 0002 'id' 05 18 00000005 "
     "0001 'w' 0002 'by' 0001 'u' 0001 'p'",
     true},
    {TD_MQTT_SERVER, 5, "10 11 0004 'MQTT' 05 42 0000 00 0000 0002 'pw'", true},
    /* CONNACK */
    {TD_MQTT_CLIENT, 3, "20 02 00 00", true},
    {TD_MQTT_CLIENT, 4, "20 02 01 00", true},
    {TD_MQTT_CLIENT, 4, "20 02 00 05", true},
    {TD_MQTT_CLIENT, 5, "20 03 00 00 00", true},
    {TD_MQTT_CLIENT, 5, "20 0E 00 00 0B 12 0005 'auto1' 13 001E", true},
    {TD_MQTT_CLIENT, 5, "20 03 00 87 00", true},
    /* PUBLISH: figure 3.11 of 5.0 and variants */
    {TD_MQTT_SERVER, 3, "38 05 0003 'a/b'", false},
    {TD_MQTT_SERVER, 4, "30 05 0003 'a/b'", true},
    {TD_MQTT_SERVER, 4, "3D 09 0003 'a/b' 000A 'hi'", true},
    {TD_MQTT_SERVER, 5, "30 06 0003 'a/b' 00", true},
    {TD_MQTT_SERVER, 5, "32 0A 0003 'a/b' 000A 00 'hi'", true},
    {TD_MQTT_SERVER, 5,
     "30 1A 0003 'a/b' 12 01 01 02 00000010 03 0001 't' 26 0001 'k' 0001 'v' 'hi'", true},
    {TD_MQTT_CLIENT, 5, "31 0D 0003 'a/b' 05 0B 01 0B 80 01 'hi'", true},
    /* acknowledgements */
    {TD_MQTT_SERVER, 4, "40 02 000A", true},
    {TD_MQTT_SERVER, 5, "40 02 000A", true},
    {TD_MQTT_SERVER, 5, "40 03 000A 10", true},
    {TD_MQTT_SERVER, 5, "40 04 000A 00 00", false},
    {TD_MQTT_CLIENT, 5, "50 0B 000A 97 07 1F 0004 'full'", true},
    {TD_MQTT_SERVER, 3, "6A 02 000A", false},
    {TD_MQTT_SERVER, 4, "62 02 000A", true},
    {TD_MQTT_SERVER, 5, "62 03 000A 92", true},
    {TD_MQTT_CLIENT, 5, "70 02 FFFF", true},
    /* SUBSCRIBE: figure 3.23 of 3.1.1, options of 5.0 */
    {TD_MQTT_SERVER, 4, "82 0E 000A 0003 'a/b' 01 0003 'c/d' 02", true},
    {TD_MQTT_SERVER, 3, "8A 08 000A 0003 'a/b' 01", false},
    {TD_MQTT_SERVER, 5, "82 0B 000A 02 0B 05 0003 'a/b' 2D", true},
    {TD_MQTT_CLIENT, 4, "90 05 000A 00 02 80", true},
    {TD_MQTT_CLIENT, 5, "90 05 000A 00 01 8F", true},
    {TD_MQTT_SERVER, 4, "A2 0C 000A 0003 'a/b' 0003 'c/d'", true},
    {TD_MQTT_SERVER, 5, "A2 08 000A 00 0003 'a/+'", true},
    {TD_MQTT_CLIENT, 4, "B0 02 000A", true},
    {TD_MQTT_CLIENT, 5, "B0 05 000A 00 00 11", true},
    /* the short ones */
    {TD_MQTT_SERVER, 4, "C0 00", true},
    {TD_MQTT_CLIENT, 4, "D0 00", true},
    {TD_MQTT_SERVER, 4, "E0 00", true},
    {TD_MQTT_SERVER, 5, "E0 00", true},
    {TD_MQTT_SERVER, 5, "E0 01 04", true},
    {TD_MQTT_SERVER, 5, "E0 02 00 00", false},
    {TD_MQTT_CLIENT, 5, "E0 07 8B 05 1F 0002 'by'", true},
    {TD_MQTT_SERVER, 5, "F0 08 18 06 15 0003 'tok'", true},
};

static void golden_packets_decode_and_encode_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(golden); i++) {
        struct hex h = hex_of(golden[i].bytes);
        struct td_mqtt m = ready(golden[i].role, golden[i].version, h.bytes[0] >> 4);
        struct td_mqtt_packet p, again;
        td_slice in = hex_slice(&h);
        if (td_mqtt_next(&m, &in, 1, &p) != TD_MQTT_GOT_PACKET) {
            fail_msg("%s: %s", golden[i].bytes, m.rule);
        }
        assert_int_equal(0, in.n);
        assert_int_equal(golden[i].version, p.version);
        assert_int_equal(h.n, p.bytes);
        uint8_t back[1024], twice[1024];
        size_t n = td_mqtt_packet_size(&p);
        assert_ptr_equal(back + n, td_mqtt_packet_put(back, &p));
        if (golden[i].same) {
            assert_int_equal(h.n, n);
            assert_memory_equal(h.bytes, back, n);
        }
        m = ready(golden[i].role, golden[i].version, h.bytes[0] >> 4);
        in = (td_slice){back, n};
        assert_int_equal(TD_MQTT_GOT_PACKET, td_mqtt_next(&m, &in, 1, &again));
        assert_int_equal(n, td_mqtt_packet_size(&again));
        (void)td_mqtt_packet_put(twice, &again);
        assert_memory_equal(back, twice, n);
    }
}

static void every_truncation_waits_and_knows_how_much_it_wants(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(golden); i++) {
        struct hex h = hex_of(golden[i].bytes);
        struct td_mqtt m = ready(golden[i].role, golden[i].version, h.bytes[0] >> 4);
        struct td_mqtt_packet p;
        for (size_t n = 0; n < h.n; n++) {
            td_slice in = {h.bytes, n};
            assert_int_equal(TD_MQTT_GOT_NONE, td_mqtt_next(&m, &in, 1, &p));
            assert_int_equal(n, in.n);
            assert_int_equal(n < 2 ? 0 : h.n, m.want);
            assert_int_equal(0, m.heard);
        }
        td_slice in = hex_slice(&h);
        assert_int_equal(TD_MQTT_GOT_PACKET, td_mqtt_next(&m, &in, 1, &p));
    }
}

/* A body that is shorter than its fields say is an error, wherever it ends. */
static void a_body_that_ends_early_is_an_error_or_another_valid_packet(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(golden); i++) {
        struct hex h = hex_of(golden[i].bytes);
        for (size_t cut = 0; cut + 2 < h.n; cut++) {
            struct td_mqtt m = ready(golden[i].role, golden[i].version, h.bytes[0] >> 4);
            struct td_mqtt_packet p;
            h.bytes[1] = (uint8_t)cut;
            td_slice in = {h.bytes, 2 + cut};
            enum td_mqtt_got got = td_mqtt_next(&m, &in, 1, &p);
            assert_true(got == TD_MQTT_GOT_PACKET || got == TD_MQTT_GOT_ERROR);
            if (got == TD_MQTT_GOT_ERROR) {
                assert_true(m.reason >= 0x80);
                assert_non_null(m.rule);
                assert_int_equal(TD_MQTT_CLOSED, m.state);
            }
        }
    }
}

static void a_full_connect_gives_all_its_fields(void **state)
{
    (void)state;
    struct hex h = hex_of("10 2D 0004 'MQTT' 05 C6 003C 0B 11 00000E10 21 000A 22 0005 0002 'id' "
                          "05 18 00000005 0001 'w' 0002 'by' 0001 'u' 0001 'p'");
    struct td_mqtt m = ready(TD_MQTT_SERVER, 5, TD_MQTT_CONNECT);
    struct td_mqtt_packet p;
    td_slice in = hex_slice(&h);
    assert_int_equal(TD_MQTT_GOT_PACKET, td_mqtt_next(&m, &in, 1, &p));
    const struct td_mqtt_connect *k = &p.connect;
    assert_true(k->clean_start && k->has_will && k->has_user && k->has_password);
    assert_int_equal(0, k->will_qos);
    assert_false(k->will_retain);
    assert_int_equal(60, k->keep_alive_s);
    assert_slice("id", k->client_id);
    assert_slice("w", k->will_topic);
    assert_slice("by", k->will_payload);
    assert_slice("u", k->user);
    assert_slice("p", k->password);
    assert_int_equal(5, k->will_props.will_delay_s);
    assert_int_equal(3600, p.props.session_expiry_s);
    assert_int_equal(10, m.peer_receive_max);
    assert_int_equal(5, m.peer_alias_max);
    assert_int_equal(UINT32_MAX, m.peer_packet_bytes_max);
    assert_int_equal(60, m.keep_alive_s);
}

static void a_31_connect_may_leave_out_the_user_name_it_announces(void **state)
{
    (void)state;
    struct hex h = hex_of("10 11 0006 'MQIsdp' 03 C2 003C 0003 'abc'");
    struct td_mqtt m = ready(TD_MQTT_SERVER, 3, TD_MQTT_CONNECT);
    struct td_mqtt_packet p;
    td_slice in = hex_slice(&h);
    assert_int_equal(TD_MQTT_GOT_PACKET, td_mqtt_next(&m, &in, 1, &p));
    assert_false(p.connect.has_user || p.connect.has_password);
}

static void filters_and_their_options_are_walked_in_order(void **state)
{
    (void)state;
    struct hex h = hex_of("82 15 000A 00 0003 'a/b' 2D 0001 '#' 02 000A '$share/g/x' 10");
    h.bytes[1] = (uint8_t)(h.n - 2);
    struct td_mqtt m = ready(TD_MQTT_SERVER, 5, TD_MQTT_SUBSCRIBE);
    struct td_mqtt_packet p;
    struct td_mqtt_filter f;
    td_slice in = hex_slice(&h);
    assert_int_equal(TD_MQTT_GOT_PACKET, td_mqtt_next(&m, &in, 1, &p));
    assert_int_equal(3, p.list_count);
    td_slice rest = p.list;
    assert_true(td_mqtt_filter_next(&p, &rest, &f));
    assert_slice("a/b", f.filter);
    assert_int_equal(1, f.qos);
    assert_true(f.no_local && f.retain_as_published);
    assert_int_equal(2, f.retain_handling);
    assert_true(td_mqtt_filter_next(&p, &rest, &f));
    assert_slice("#", f.filter);
    assert_int_equal(2, f.qos);
    assert_true(td_mqtt_filter_next(&p, &rest, &f));
    assert_slice("$share/g/x", f.filter);
    assert_int_equal(1, f.retain_handling);
    assert_false(td_mqtt_filter_next(&p, &rest, &f));
}

/* One broken byte each, and what it is called. */
static const struct {
    enum td_mqtt_role role;
    unsigned version;
    const char *bytes;
    unsigned reason;
    const char *rule;
} broken[] = {
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTT' 04 03 003C 0000", 0x81, "MQTT-3.1.2-3"},
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTT' 04 0A 003C 0000", 0x81, "MQTT-3.1.2-11"},
    {TD_MQTT_SERVER, 4, "10 12 0004 'MQTT' 04 1E 003C 0000 0001 'w' 0001 'p'", 0x81,
     "MQTT-3.1.2-12"},
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTT' 04 22 003C 0000", 0x81, "MQTT-3.1.2-13"},
    {TD_MQTT_SERVER, 4, "10 0F 0004 'MQTT' 04 42 003C 0000 0001 'p'", 0x81, "MQTT311-3.1.2-22"},
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTT' 04 00 003C 0000", 0x85, "MQTT311-3.1.3-8"},
    {TD_MQTT_SERVER, 3, "10 0E 0006 'MQIsdp' 03 02 003C 0000", 0x85, "MQTT311-3.1.3-8"},
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTX' 04 02 003C 0000", 0x84, "MQTT-3.1.2-1"},
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTT' 03 02 003C 0000", 0x84, "MQTT-3.1.2-2"},
    {TD_MQTT_SERVER, 4, "10 0C 0004 'MQTT' 06 02 003C 0000", 0x84, "MQTT-3.1.2-2"},
    {TD_MQTT_SERVER, 4, "10 0D 0004 'MQTT' 04 02 003C 0000 00", 0x81, "MQTT 1.5"},
    {TD_MQTT_SERVER, 4, "11 0C 0004 'MQTT' 04 02 003C 0000", 0x81, "MQTT-2.1.3-1"},
    {TD_MQTT_SERVER, 4, "10 0D 0004 'MQTT' 04 02 003C 0001 00", 0x81, "MQTT-1.5.4-1"},
    {TD_MQTT_SERVER, 5, "10 13 0004 'MQTT' 05 06 003C 00 0000 00 0001 '#' 0000", 0x90,
     "MQTT-3.3.2-2"},
    {TD_MQTT_SERVER, 5, "10 11 0004 'MQTT' 05 02 003C 04 16 0001 'd' 0000", 0x82,
     "MQTT 3.1.2.11.10"},
    {TD_MQTT_SERVER, 5, "36 08 0003 'a/b' 0001 00", 0x81, "MQTT-3.3.1-4"},
    {TD_MQTT_SERVER, 5, "38 06 0003 'a/b' 00", 0x81, "MQTT-3.3.1-2"},
    {TD_MQTT_SERVER, 5, "32 08 0003 'a/b' 0000 00", 0x82, "MQTT-2.2.1-3"},
    {TD_MQTT_SERVER, 5, "30 06 0003 'a/+' 00", 0x81, "MQTT-3.3.2-2"},
    {TD_MQTT_SERVER, 5, "30 06 0003 'a#b' 00", 0x81, "MQTT-3.3.2-2"},
    {TD_MQTT_SERVER, 5, "30 06 0003 'a' 00 'b' 00", 0x81, "MQTT-3.3.2-2"},
    {TD_MQTT_SERVER, 5, "30 06 0003 EDA080 00", 0x81, "MQTT-3.3.2-2"},
    {TD_MQTT_SERVER, 5, "30 05 0003 'a/b'", 0x81, "MQTT 2.2.2"},
    {TD_MQTT_SERVER, 5, "30 03 0000 00", 0x82, "MQTT-4.7.3-1"},
    {TD_MQTT_SERVER, 4, "30 03 0000 'x'", 0x81, "MQTT-3.3.2-2"},
    {TD_MQTT_SERVER, 4, "30 04 0003 'a/'", 0x81, "MQTT 3.3"},
    {TD_MQTT_SERVER, 5, "30 08 0003 'a/b' 02 0B 05", 0x82, "MQTT-3.3.4-6"},
    {TD_MQTT_SERVER, 5, "42 02 000A", 0x81, "MQTT-2.1.3-1"},
    {TD_MQTT_SERVER, 5, "60 02 000A", 0x81, "MQTT-2.1.3-1"},
    {TD_MQTT_SERVER, 5, "40 02 0000", 0x82, "MQTT-2.2.1-3"},
    {TD_MQTT_SERVER, 5, "40 03 000A 92", 0x82, "MQTT 2.4"},
    {TD_MQTT_SERVER, 4, "40 03 000A 00", 0x81, "MQTT 2.1.4"},
    {TD_MQTT_SERVER, 5, "80 09 000A 00 0003 'a/b' 00", 0x81, "MQTT-2.1.3-1"},
    {TD_MQTT_SERVER, 5, "82 03 000A 00", 0x82, "MQTT-3.8.3-2"},
    {TD_MQTT_SERVER, 5, "82 09 000A 00 0003 'a/b' 03", 0x81, "MQTT-3.8.3-4"},
    {TD_MQTT_SERVER, 5, "82 09 000A 00 0003 'a/b' 40", 0x81, "MQTT-3.8.3-5"},
    {TD_MQTT_SERVER, 4, "82 08 000A 0003 'a/b' 04", 0x81, "MQTT-3.8.3-5"},
    {TD_MQTT_SERVER, 5, "82 09 000A 00 0003 'a/b' 30", 0x82, "MQTT 3.8.3.1"},
    {TD_MQTT_SERVER, 5, "82 10 000A 00 000A '$share/g/x' 04", 0x82, "MQTT-3.8.3-4"},
    {TD_MQTT_SERVER, 5, "82 09 000A 00 0003 'a#/' 00", 0x81, "MQTT-4.7.1-1"},
    {TD_MQTT_SERVER, 5, "A2 03 000A 00", 0x82, "MQTT-3.8.3-2"},
    {TD_MQTT_SERVER, 4, "C0 01 00", 0x81, "MQTT 2.1.4"},
    {TD_MQTT_SERVER, 4, "E0 01 00", 0x81, "MQTT 2.1.4"},
    {TD_MQTT_SERVER, 5, "E0 01 8B", 0x82, "MQTT-3.14.2-1"},
    {TD_MQTT_SERVER, 5, "E0 07 00 05 11 00000001", 0x82, "MQTT-3.14.2-2"},
    {TD_MQTT_SERVER, 5, "E0 06 00 04 1C 0001 'x'", 0x82, "MQTT 3.14.2.2.5"},
    {TD_MQTT_SERVER, 5, "F0 00", 0x82, "MQTT 3.15.2.2.2"},
    {TD_MQTT_SERVER, 4, "00 00", 0x81, "MQTT 2.1.2"},
    {TD_MQTT_SERVER, 4, "30 80 00", 0x81, "MQTT-1.5.5-1"},
    {TD_MQTT_SERVER, 4, "30 FF FF FF FF 01", 0x81, "MQTT-1.5.5-1"},
    {TD_MQTT_SERVER, 4, "30 FF FF FF 7F", 0x95, "MQTT-3.1.2-24"},
    {TD_MQTT_CLIENT, 4, "20 02 02 00", 0x81, "MQTT-3.2.2-1"},
    {TD_MQTT_CLIENT, 4, "20 02 00 06", 0x81, "MQTT311-3.2.2.3"},
    {TD_MQTT_CLIENT, 5, "20 03 01 87 00", 0x82, "MQTT-3.2.2-6"},
    {TD_MQTT_CLIENT, 5, "20 03 00 10 00", 0x82, "MQTT 2.4"},
    {TD_MQTT_CLIENT, 4, "90 03 000A 03", 0x81, "MQTT311-3.9.3-2"},
    {TD_MQTT_CLIENT, 5, "90 03 000A 00", 0x81, "MQTT 2.1.4"},
    {TD_MQTT_CLIENT, 5, "E0 07 00 05 11 00000001", 0x82, "MQTT-3.14.2-2"},
};

static void each_broken_packet_is_refused_under_its_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(broken); i++) {
        struct hex h = hex_of(broken[i].bytes);
        struct td_mqtt m = ready(broken[i].role, broken[i].version, h.bytes[0] >> 4);
        struct td_mqtt_packet p;
        td_slice in = hex_slice(&h);
        m.expiry_zero = true;
        enum td_mqtt_got got = td_mqtt_next(&m, &in, 1, &p);
        if (got != TD_MQTT_GOT_ERROR || m.reason != broken[i].reason ||
            !td_slice_starts(td_slice_of(m.rule), td_slice_of(broken[i].rule))) {
            fail_msg("%s: got %d, reason 0x%02x, %s", broken[i].bytes, got, m.reason,
                     m.rule == NULL ? "no rule" : m.rule);
        }
        in = hex_slice(&h);
        assert_int_equal(TD_MQTT_GOT_ERROR, td_mqtt_next(&m, &in, 1, &p));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_packets_decode_and_encode_back),
        cmocka_unit_test(every_truncation_waits_and_knows_how_much_it_wants),
        cmocka_unit_test(a_body_that_ends_early_is_an_error_or_another_valid_packet),
        cmocka_unit_test(a_full_connect_gives_all_its_fields),
        cmocka_unit_test(a_31_connect_may_leave_out_the_user_name_it_announces),
        cmocka_unit_test(filters_and_their_options_are_walked_in_order),
        cmocka_unit_test(each_broken_packet_is_refused_under_its_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
