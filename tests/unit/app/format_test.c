/* `tandem sub -F`: each letter, and what is wrong with a format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/format.h"

static void each_letter_prints_its_part_of_the_message(void **state)
{
    (void)state;
    static const struct {
        const char *format, *wanted;
    } cases[] = {
        {"%t %p", "a/b hi"},
        {"%x %X", "6869 6869"},
        {"%q%r%l%m", "1129"},
        {"%I %U", "1970-01-01T00:00:01.500Z 1.500000000"},
        {"[%C][%R][%D][%E]", "[text][re][][7]"},
        {"%P|%S", "k:v|5"},
        {"100%%\\t\\\\", "100%\t\\"},
        {"%j", "{\"tst\":\"1970-01-01T00:00:01.500Z\",\"topic\":\"a/b\",\"qos\":1,\"retain\":1,"
               "\"payloadlen\":2,\"payload\":\"hi\"}"},
    };
    uint8_t raw[64];
    uint8_t *end = td_mqtt_user_put(raw, TD_STR("k"), TD_STR("v"));
    end = td_put_u8(td_put_u8(end, TD_MQTT_PROP_SUBSCRIPTION_ID), 5);
    const struct td_mqtt_packet m = {
        .topic = TD_STR("a/b"),
        .payload = TD_STR("hi"),
        .qos = 1,
        .retain = true,
        .id = 9,
        .props = {.has = TD_MQTT_HAS(CONTENT_TYPE) | TD_MQTT_HAS(RESPONSE_TOPIC) |
                         TD_MQTT_HAS(MESSAGE_EXPIRY) | TD_MQTT_HAS(USER_PROPERTY),
                  .raw = {raw, (size_t)(end - raw)},
                  .content_type = TD_STR("text"),
                  .response_topic = TD_STR("re"),
                  .message_expiry_s = 7},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_buf out;
        td_buf_init(&out, 1000);
        assert_null(td_app_format_check(cases[i].format));
        assert_int_equal(TD_OK, td_app_format(&out, cases[i].format, &m, 1500 * TD_NS_PER_MS));
        if (!td_slice_eq(td_slice_of(cases[i].wanted), td_buf_slice(&out))) {
            fail_msg("%s gives %.*s", cases[i].format, (int)out.n, (const char *)out.p);
        }
        td_buf_fini(&out);
    }
}

static void a_payload_that_is_json_is_nested_and_other_text_is_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *payload, *wanted;
    } cases[] = {{"{\"a\":1}", ",\"payload\":{\"a\":1}}"}, {"{a", ",\"payload\":\"{a\"}"}};
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_mqtt_packet m = {.topic = TD_STR("t"), .payload = td_slice_of(cases[i].payload)};
        struct td_buf out;
        td_buf_init(&out, 1000);
        assert_int_equal(TD_OK, td_app_format(&out, "%J", &m, 0));
        size_t n = td_slice_of(cases[i].wanted).n;
        assert_true(out.n > n);
        assert_memory_equal(cases[i].wanted, out.p + out.n - n, n);
        td_buf_fini(&out);
    }
}

static void unknown_letters_and_loose_ends_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"%", "%z", "a%", "\\", "\\q", "%t\\"};
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        assert_non_null(td_app_format_check(cases[i]));
    }
    assert_null(td_app_format_check(""));
}

static void a_message_over_the_bound_is_an_error(void **state)
{
    (void)state;
    struct td_mqtt_packet m = {.topic = TD_STR("t"), .payload = TD_STR("0123456789")};
    struct td_buf out;
    td_buf_init(&out, 8);
    assert_int_equal(TD_EFULL, td_app_format(&out, "%t%p", &m, 0));
    td_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_letter_prints_its_part_of_the_message),
        cmocka_unit_test(a_payload_that_is_json_is_nested_and_other_text_is_quoted),
        cmocka_unit_test(unknown_letters_and_loose_ends_are_refused),
        cmocka_unit_test(a_message_over_the_bound_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
