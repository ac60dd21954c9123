/* time: dates both ways, over every day, and what is not a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/time.h"

static const td_wall now = INT64_C(1795510800) * TD_NS_PER_S; /* 2026-11-24T09:00:00Z */

static void times_are_read_as_people_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"2026-11-24T09:00:00Z", INT64_C(1795510800000)},
        {"2026-11-24t09:00:00z", INT64_C(1795510800000)},
        {"2026-11-24 09:00", INT64_C(1795510800000)},
        {"2026-11-24T10:00:00.25+01:00", INT64_C(1795510800250)},
        {"2026-11-23T23:30:00-09:30", INT64_C(1795510800000)},
        {"2026-11-24", INT64_C(1795478400000)},
        {"2024-02-29", INT64_C(1709164800000)},
        {"1970-01-01T00:00:00Z", 0},
        {"1795510800000", INT64_C(1795510800000)},
        {"0", 0},
        {"now", INT64_C(1795510800000)},
        {"-90s", INT64_C(1795510710000)},
        {"-15m", INT64_C(1795509900000)},
        {"-1h", INT64_C(1795507200000)},
        {"-7d", INT64_C(1794906000000)},
        {"-1w", INT64_C(1794906000000)},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        td_wall at = -1;
        assert_int_equal(TD_OK, td_time_parse(td_slice_of(cases[i].text), now, &at));
        assert_int_equal(cases[i].ms, at / TD_NS_PER_MS);
    }
}

static void what_is_not_a_time_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum td_err want;
    } cases[] = {
        {"", TD_ESYNTAX},
        {"yesterday", TD_ESYNTAX},
        {"2026", TD_OK}, /* milliseconds */
        {"2026-11", TD_ESYNTAX},
        {"2026-11-24T", TD_ESYNTAX},
        {"2026-11-24T09", TD_ESYNTAX},
        {"2026-11-24T09:00:00.Z", TD_ESYNTAX},
        {"2026-11-24T09:00:00Zx", TD_ESYNTAX},
        {"2026-11-24T09:00:00+1", TD_ESYNTAX},
        {"2026-11-24T09:00:00+25:00", TD_ERANGE},
        {"2026-13-01", TD_ERANGE},
        {"2026-00-01", TD_ERANGE},
        {"2026-02-29", TD_ERANGE},
        {"1900-01-01", TD_ERANGE},
        {"2262-01-01", TD_ERANGE},
        {"2026-11-24T24:00:00", TD_ERANGE},
        {"-1", TD_ESYNTAX},
        {"-h", TD_ESYNTAX},
        {"-1y", TD_ESYNTAX},
        {"-99999999999999999999d", TD_ERANGE},
        {"-60000d", TD_ERANGE},
        {"99999999999999999999", TD_ERANGE},
        {"12x", TD_ESYNTAX},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        td_wall at = 42;
        assert_int_equal(cases[i].want, td_time_parse(td_slice_of(cases[i].text), now, &at));
        assert_true(cases[i].want == TD_OK || at == 42);
    }
}

static void every_day_survives_the_round_trip_and_follows_the_one_before(void **state)
{
    (void)state;
    char before[TD_TIME_TEXT_BYTES] = "1969";
    for (int64_t day = 0; day < 106000; day++) {
        char text[TD_TIME_TEXT_BYTES];
        td_wall at = day * 86400 * TD_NS_PER_S + 123 * TD_NS_PER_MS, back = 0;
        td_time_text(at, text);
        assert_true(memcmp(before, text, sizeof text) < 0);
        memcpy(before, text, sizeof text);
        td_slice s = {(const uint8_t *)text, sizeof text};
        assert_int_equal(TD_OK, td_time_parse(s, 0, &back));
        assert_int_equal(at, back);
    }
    assert_memory_equal("2260-03-2", before, 9);
}

static void http_has_its_own_form_of_a_time(void **state)
{
    (void)state;
    static const struct {
        td_wall at;
        const char *want;
    } cases[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {INT64_C(784111777) * TD_NS_PER_S, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* the RFC's */
        {INT64_C(1795510800) * TD_NS_PER_S, "Tue, 24 Nov 2026 09:00:00 GMT"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        char text[TD_TIME_HTTP_BYTES];
        td_time_http(cases[i].at, text);
        assert_memory_equal(cases[i].want, text, sizeof text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_as_people_write_them),
        cmocka_unit_test(what_is_not_a_time_is_refused),
        cmocka_unit_test(http_has_its_own_form_of_a_time),
        cmocka_unit_test(every_day_survives_the_round_trip_and_follows_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
