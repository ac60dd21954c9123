/* Properties: every one of the table in every packet, twice, out of range; user properties and
 * identifiers; what travels on. */
#include "hex.h"

#include "wire/mqtt/packet.h"

/* One value of each property, and the packets that take it, written down apart from props.def. */
static const struct {
    unsigned id;
    const char *bytes;
    const char *packets; /* C CONNECT W will K CONNACK P PUBLISH a acks S s U u D X */
    const char *wrong;   /* a value out of its range, NULL if all are in it */
} rows[] = {
    {1, "01 01", "PW", "01 02"},
    {2, "02 00000001", "PW", NULL},
    {3, "03 0001 'x'", "PW", NULL},
    {8, "08 0001 'x'", "PW", "08 0001 '#'"},
    {9, "09 0001 FF", "PW", NULL},
    {11, "0B 01", "PS", "0B 00"},
    {17, "11 00000001", "CKD", NULL},
    {18, "12 0001 'x'", "K", NULL},
    {19, "13 0001", "K", NULL},
    {21, "15 0001 'x'", "CKX", NULL},
    {22, "16 0001 'x'", "CKX", NULL},
    {23, "17 00", "C", "17 02"},
    {24, "18 00000001", "W", NULL},
    {25, "19 01", "C", "19 02"},
    {26, "1A 0001 'x'", "K", NULL},
    {28, "1C 0001 'x'", "KD", NULL},
    {31, "1F 0001 'x'", "KasuDX", NULL},
    {33, "21 0001", "CK", "21 0000"},
    {34, "22 0000", "CK", NULL},
    {35, "23 0001", "P", NULL},
    {36, "24 01", "K", "24 02"},
    {37, "25 01", "K", "25 02"},
    {38, "26 0001 'k' 0000", "CWKPaSsUuDX", NULL},
    {39, "27 00000001", "CK", "27 00000000"},
    {40, "28 00", "K", "28 02"},
    {41, "29 00", "K", "29 02"},
    {42, "2A 00", "K", "2A 02"},
};

static const char letters[] = "WCKPaaaaSsUu  DX"; /* by packet type */

static unsigned decode(const struct hex *block, unsigned type, struct td_mqtt_props *out)
{
    struct td_mqtt_fault fault = {NULL, 0};
    uint8_t bytes[1100];
    uint8_t *end = td_put_bytes(td_put_varint28(bytes, (uint32_t)block->n), hex_slice(block));
    struct td_cursor c = td_cursor_of((td_slice){bytes, (size_t)(end - bytes)});
    td_mqtt_props_decode(&c, type, out, &fault);
    assert_int_equal(TD_OK, c.err);
    out->raw = hex_slice(block); /* `bytes` is gone in a moment */
    return fault.rule == NULL ? 0 : fault.reason;
}

static void each_property_is_taken_by_its_packets_and_no_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(rows); i++) {
        struct hex h = hex_of(rows[i].bytes);
        for (unsigned type = 0; type < 16; type++) {
            struct td_mqtt_props p;
            bool fits = letters[type] != ' ' && strchr(rows[i].packets, letters[type]) != NULL;
            unsigned reason = decode(&h, type, &p);
            if (reason != (fits ? 0u : 0x81u)) {
                fail_msg("property %u in type %u: 0x%02x", rows[i].id, type, reason);
            }
            if (fits) {
                uint8_t back[64];
                assert_int_equal(UINT64_C(1) << rows[i].id, p.has);
                assert_int_equal(h.n, td_mqtt_props_size(&p, type));
                assert_ptr_equal(back + h.n, td_mqtt_props_put(back, &p, type));
                assert_memory_equal(h.bytes, back, h.n);
            }
        }
    }
}

static unsigned first_type(const char *packets)
{
    unsigned type = 0;
    while (letters[type] != packets[0]) {
        type++;
    }
    return type;
}

static void twice_is_an_error_except_for_user_properties_and_identifiers_of_publish(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(rows); i++) {
        struct hex h = hex_of(rows[i].bytes);
        struct td_mqtt_props p;
        memcpy(h.bytes + h.n, h.bytes, h.n);
        h.n *= 2;
        bool may = rows[i].id == 11 || rows[i].id == 38;
        assert_int_equal(may ? 0 : 0x82, decode(&h, first_type(rows[i].packets), &p));
        if (rows[i].id == 11) {
            assert_int_equal(0x82, decode(&h, TD_MQTT_SUBSCRIBE, &p));
        }
    }
}

static void a_value_out_of_its_range_is_a_protocol_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(rows); i++) {
        if (rows[i].wrong != NULL) {
            struct hex h = hex_of(rows[i].wrong);
            struct td_mqtt_props p;
            assert_int_equal(0x82, decode(&h, first_type(rows[i].packets), &p));
        }
    }
}

static void a_block_that_ends_inside_a_property_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(rows); i++) {
        struct hex h = hex_of(rows[i].bytes);
        struct td_mqtt_props p;
        for (h.n--; h.n > 0; h.n--) {
            assert_int_equal(0x81, decode(&h, first_type(rows[i].packets), &p));
        }
    }
    struct hex none = {.n = 0};
    struct td_mqtt_props p = {.has = 1};
    assert_int_equal(0, decode(&none, TD_MQTT_PUBLISH, &p));
    assert_int_equal(0, p.has);
}

static void unknown_properties_and_bad_texts_are_malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "00 00",      "04 00",          "7F 00",           "80 01 00",       "FF",
        "03 0001 00", "03 0003 EDA080", "26 0001 00 0000", "26 0000 0001 1F"};
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct hex h = hex_of(cases[i]);
        struct td_mqtt_props p;
        assert_int_equal(0x81, decode(&h, TD_MQTT_PUBLISH, &p));
    }
}

static void user_properties_and_identifiers_are_walked_in_order(void **state)
{
    (void)state;
    struct hex h = hex_of("26 0001 'a' 0001 '1' 0B 05 01 00 26 0001 'a' 0001 '2' 0B 80 01");
    struct td_mqtt_props p;
    assert_int_equal(0, decode(&h, TD_MQTT_PUBLISH, &p));
    td_slice rest = p.raw, name, value;
    assert_true(td_mqtt_user_next(&rest, &name, &value));
    assert_slice("a", name);
    assert_slice("1", value);
    assert_true(td_mqtt_user_next(&rest, &name, &value));
    assert_slice("2", value);
    assert_false(td_mqtt_user_next(&rest, &name, &value));
    uint32_t id = 0;
    rest = p.raw;
    assert_true(td_mqtt_subscription_id_next(&rest, &id));
    assert_int_equal(5, id);
    assert_true(td_mqtt_subscription_id_next(&rest, &id));
    assert_int_equal(128, id);
    assert_false(td_mqtt_subscription_id_next(&rest, &id));
}

static void more_than_64_user_properties_are_too_large(void **state)
{
    (void)state;
    for (size_t count = 63; count < 67; count++) {
        uint8_t bytes[1024], block[1024], *p = block;
        for (size_t i = 0; i < count; i++) {
            p = td_mqtt_user_put(p, TD_STR("k"), TD_STR("v"));
        }
        td_slice all = {block, (size_t)(p - block)};
        struct td_cursor c = {.p = bytes};
        c.end = td_put_bytes(td_put_varint28(bytes, (uint32_t)all.n), all);
        struct td_mqtt_fault fault = {NULL, 0};
        struct td_mqtt_props props;
        td_mqtt_props_decode(&c, TD_MQTT_PUBLISH, &props, &fault);
        assert_int_equal(count > TD_MQTT_USERS_MAX, fault.rule != NULL);
        assert_int_equal(fault.rule == NULL ? 0 : TD_MQTT_REASON_PACKET_TOO_LARGE, fault.reason);
    }
}

static void built_user_properties_are_encoded_with_the_rest(void **state)
{
    (void)state;
    uint8_t block[64], out[64];
    uint8_t *end = td_mqtt_user_put(block, TD_STR("k"), TD_STR("v"));
    assert_int_equal(td_mqtt_user_size(TD_STR("k"), TD_STR("v")), end - block);
    struct td_mqtt_props p = {
        .has = TD_MQTT_HAS(USER_PROPERTY) | TD_MQTT_HAS(SUBSCRIPTION_ID) | TD_MQTT_HAS(TOPIC_ALIAS),
        .raw = {block, (size_t)(end - block)},
        .subscription_id = 200,
        .topic_alias = 3,
    };
    struct hex wanted = hex_of("0B C8 01 23 0003 26 0001 'k' 0001 'v'");
    assert_int_equal(wanted.n, td_mqtt_props_size(&p, TD_MQTT_PUBLISH));
    (void)td_mqtt_props_put(out, &p, TD_MQTT_PUBLISH);
    assert_memory_equal(wanted.bytes, out, wanted.n);
    /* what a packet may not carry is left out */
    assert_int_equal(7, td_mqtt_props_size(&p, TD_MQTT_DISCONNECT));
}

static void what_travels_is_borrowed_in_one_piece_or_gathered(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        bool gathers;
    } cases[] = {
        {"", "", false},
        {"01 01 03 0001 't' 26 0001 'k' 0000", "01 01 03 0001 't' 26 0001 'k' 0000", false},
        {"23 0001 02 00000005", "", false},
        {"23 0001 01 01 09 0001 FF", "01 01 09 0001 FF", false},
        {"01 01 08 0001 'r' 23 0001", "01 01 08 0001 'r'", false},
        {"01 01 23 0001 26 0001 'k' 0000", "01 01 26 0001 'k' 0000", true},
        {"26 0000 0000 02 00000005 26 0000 0000 23 0001 01 00", "26 0000 0000 26 0000 0000 01 00",
         true},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct hex in = hex_of(cases[i].in), out = hex_of(cases[i].out);
        struct td_mqtt_props p;
        uint8_t room[128];
        assert_int_equal(0, decode(&in, TD_MQTT_PUBLISH, &p));
        assert_int_equal(cases[i].gathers, td_mqtt_props_travel_gathers(&p));
        td_slice got = td_mqtt_props_travel(&p, room);
        assert_true(td_slice_eq(hex_slice(&out), got));
        assert_int_equal(cases[i].gathers, got.p == room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_property_is_taken_by_its_packets_and_no_others),
        cmocka_unit_test(twice_is_an_error_except_for_user_properties_and_identifiers_of_publish),
        cmocka_unit_test(a_value_out_of_its_range_is_a_protocol_error),
        cmocka_unit_test(a_block_that_ends_inside_a_property_is_malformed),
        cmocka_unit_test(unknown_properties_and_bad_texts_are_malformed),
        cmocka_unit_test(user_properties_and_identifiers_are_walked_in_order),
        cmocka_unit_test(more_than_64_user_properties_are_too_large),
        cmocka_unit_test(built_user_properties_are_encoded_with_the_rest),
        cmocka_unit_test(what_travels_is_borrowed_in_one_piece_or_gathered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
