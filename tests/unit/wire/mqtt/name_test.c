/* Topic names and filters: what MQTT 4.7 and 4.8.2 allow, hostile ones included. */
#include "hex.h"

#include "wire/mqtt/mqtt.h"

static bool has_any(td_slice s, const char *bytes)
{
    for (; *bytes != '\0'; bytes++) {
        if (td_slice_find(s, (uint8_t)*bytes) < s.n) {
            return true;
        }
    }
    return false;
}

/* The fast check against the obvious one: every byte value at every place of every length. */
static void each_byte_at_each_place_is_judged_as_the_slow_way_judges_it(void **state)
{
    (void)state;
    uint8_t text[33];
    for (size_t n = 1; n <= sizeof text; n++) {
        for (size_t at = 0; at < n; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memset(text, 'a', sizeof text);
                text[at] = (uint8_t)byte;
                td_slice s = {text, n};
                bool valid = td_utf8_mqtt(s) && !has_any(s, "+#");
                assert_int_equal(valid, td_mqtt_topic_valid(s));
            }
        }
    }
}

static void letters_beyond_ascii_are_fine_where_they_are_well_formed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"haus/k\xC3\xBC"
         "che/temp",
         true},
        {"\xE6\x9D\xB1\xE4\xBA\xAC/\xF0\x9F\x8C\xA1", true},
        {"a/\xC3", false},             /* cut */
        {"a/\xC0\x80/b", false},       /* overlong */
        {"a/\xED\xA0\x80", false},     /* surrogate */
        {"a/\xEF\xBF\xBF", false},     /* non-character */
        {"a/\xC2\x85", false},         /* control */
        {"a/\xF4\x90\x80\x80", false}, /* over U+10FFFF */
        {"k\xC3\xBC"
         "che/+",
         false},
        {"/", true},
        {"//", true},
        {" ", true},
        {"$SYS/x", true},
        {"", false},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        if (td_mqtt_topic_valid(td_slice_of(cases[i].text)) != cases[i].valid) {
            fail_msg("case %zu", i);
        }
    }
}

static void a_name_has_at_most_65535_bytes(void **state)
{
    (void)state;
    static uint8_t text[65536];
    memset(text, 'x', sizeof text);
    assert_true(td_mqtt_topic_valid((td_slice){text, 65535}));
    assert_false(td_mqtt_topic_valid((td_slice){text, 65536}));
    assert_true(td_mqtt_filter_valid((td_slice){text, 65535}));
    assert_false(td_mqtt_filter_valid((td_slice){text, 65536}));
}

static void wildcards_fill_their_level_and_the_hash_is_last(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"#", true},          {"+", true},          {"a/#", true},          {"a/+/b", true},
        {"+/+", true},        {"/+", true},         {"+/", true},           {"/#", true},
        {"a#", false},        {"#a", false},        {"#/a", false},         {"a/#/b", false},
        {"a+", false},        {"+a", false},        {"a/+b/c", false},      {"a/b+/c", false},
        {"##", false},        {"++", false},        {"+#", false},          {"", false},
        {"$share/g/a", true}, {"$share/g/#", true}, {"$share/g/+/b", true}, {"$share/g", false},
        {"$share/g/", false}, {"$share//a", false}, {"$share/+/a", false},  {"$share/g#/a", false},
        {"$share/g//", true}, {"$share", true},     {"$shared/+/a", true},  {"$SYS/#", true},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        if (td_mqtt_filter_valid(td_slice_of(cases[i].text)) != cases[i].valid) {
            fail_msg("%s", cases[i].text);
        }
    }
}

static void every_name_and_reason_has_a_text(void **state)
{
    (void)state;
    assert_string_equal("CONNECT", td_mqtt_type_name(TD_MQTT_CONNECT));
    assert_string_equal("AUTH", td_mqtt_type_name(TD_MQTT_AUTH));
    assert_string_equal("no packet", td_mqtt_type_name(16));
    assert_string_equal("quota exceeded", td_mqtt_reason_text(0x97));
    assert_string_equal("unknown reason", td_mqtt_reason_text(0x03));
    assert_int_equal(5, td_mqtt_reason_v3(TD_MQTT_REASON_NOT_AUTHORIZED));
    assert_int_equal(0, td_mqtt_reason_v3(TD_MQTT_REASON_MALFORMED_PACKET));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_at_each_place_is_judged_as_the_slow_way_judges_it),
        cmocka_unit_test(letters_beyond_ascii_are_fine_where_they_are_well_formed),
        cmocka_unit_test(a_name_has_at_most_65535_bytes),
        cmocka_unit_test(wildcards_fill_their_level_and_the_hash_is_last),
        cmocka_unit_test(every_name_and_reason_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
