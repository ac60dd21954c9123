/* lang: units, keywords, numbers, the nearest word. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lang/lex.h"

static void units_are_read_as_far_as_they_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        double scale;
        int8_t metre, second;
    } cases[] = {
        {"m", 1, 1, 1, 0},
        {"min", 3, 60, 0, 1},
        {"m/s", 3, 1, 1, -1},
        {"m2", 2, 1, 2, 0},
        {"m³", 3, 1, 3, 0},
        {"km/h", 4, 1000.0 / 3600, 1, -1},
        {"l/min)", 5, 1e-3 / 60, 3, -1},
        {"%", 1, 0.01, 0, 0},
        {"%/s", 3, 0.01, 0, -1},
        {"s/x", 1, 1, 0, 1},
        {"s AND", 1, 1, 0, 1},
        {"parsec", 0, 0, 0, 0},
        {"mm", 2, 1e-3, 1, 0},
        {"°C", 3, 1, 0, 0},
        {"W/m2", 4, 1, 0, -3},
        {"", 0, 0, 0, 0},
        {"/s", 0, 0, 0, 0},
        {"kWh", 3, 3.6e6, 2, -2},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_lang_unit u = {.scale = 0};
        bool lone_m;
        size_t n = td_lang_unit_read(td_slice_of(cases[i].text), &u, &lone_m);
        if (n != cases[i].bytes) {
            fail_msg("%s: %zu bytes", cases[i].text, n);
        }
        assert_true(n == 0 || fabs(u.scale - cases[i].scale) < 1e-12 * cases[i].scale);
        assert_true(n == 0 || (u.dim[0] == cases[i].metre && u.dim[2] == cases[i].second));
        assert_int_equal(strcmp(cases[i].text, "m") == 0, lone_m);
    }
}

static void units_have_the_names_they_are_written_with(void **state)
{
    (void)state;
    static const char *const names[] = {"°C", "%", "s", "kWh", "l", "Pa", "Hz"};
    for (size_t i = 0; i < TD_COUNT(names); i++) {
        struct td_lang_unit u;
        char name[TD_LANG_UNIT_NAME];
        bool lone_m;
        assert_true(td_lang_unit_read(td_slice_of(names[i]), &u, &lone_m) > 0);
        td_lang_unit_name(&u, name);
        assert_string_equal(names[i], name);
    }
    struct td_lang_unit product;
    char name[TD_LANG_UNIT_NAME];
    assert_true(td_lang_unit_mul(&td_lang_unit_second, &td_lang_unit_second, 1, &product));
    td_lang_unit_name(&product, name);
    assert_string_equal("s2", name);
}

static void keywords_stand_in_order_for_the_binary_search(void **state)
{
    (void)state;
    for (int kw = 1; kw < KW_COUNT_; kw++) {
        const char *word = td_lang_kw_name((enum td_lang_kw)kw);
        assert_true(kw == 1 || strcmp(td_lang_kw_name((enum td_lang_kw)(kw - 1)), word) < 0);
        struct td_lang_lexer lx = {.text = td_slice_of(word)};
        struct td_lang_token t;
        td_lang_lex(&lx, &t);
        assert_int_equal(kw, t.kw);
    }
}

static struct td_lang_token first(const char *text, struct td_lang_lexer *lx)
{
    struct td_lang_token t;
    *lx = (struct td_lang_lexer){.text = td_slice_of(text)};
    td_lang_lex(lx, &t);
    return t;
}

static void numbers_take_the_unit_that_touches_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double num, scale;
        bool unit, duration;
        uint32_t bytes;
    } cases[] = {
        {"12", 12, 0, false, false, 2},    {"1.5e3x", 0, 0, false, false, 0},
        {"1e3", 1000, 0, false, false, 3}, {"5..30", 5, 0, false, false, 1},
        {"1h30m", 5400, 1, true, true, 5}, {"500ms", 0.5, 1, true, true, 5},
        {"5m", 300, 1, true, true, 2},     {"5metre", 5, 1, true, false, 6},
        {"10m/s", 10, 1, true, false, 5},  {"1.5min/%", 9000, 1, true, true, 8},
        {"007", 7, 0, false, false, 3},    {"20°C,", 20, 1, true, false, 5},
        {"2d", 172800, 1, true, true, 2},  {"1h 30", 3600, 1, true, true, 2},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_lang_lexer lx;
        struct td_lang_diag diag = {.quiet = false};
        struct td_buf said;
        struct td_lang_source source = {TD_STR("t"), td_slice_of(cases[i].text)};
        td_buf_init(&said, 1000);
        diag.sources = &source;
        diag.out = &said;
        struct td_lang_token t;
        lx = (struct td_lang_lexer){.text = source.text, .diag = &diag};
        td_lang_lex(&lx, &t);
        assert_int_equal(cases[i].bytes == 0 ? TOK_BAD : TOK_NUM, t.kind);
        if (cases[i].bytes > 0) {
            if (fabs(t.num - cases[i].num) > 1e-9) {
                fail_msg("%s: %g", cases[i].text, t.num);
            }
            assert_int_equal(cases[i].bytes, t.place.n);
            assert_int_equal(cases[i].unit, t.has_unit);
            assert_int_equal(cases[i].duration, t.is_duration);
            assert_true(!t.has_unit || fabs(t.unit.scale - cases[i].scale) < 1e-9);
        }
        td_buf_fini(&said);
    }
    struct td_lang_lexer lx;
    assert_int_equal(TOK_TOD, first("06:30", &lx).kind);
    assert_int_equal(TOK_PATH, first("$.a.b[0]", &lx).kind);
    assert_int_equal(8, lx.at);
    assert_int_equal(TOK_END, first("-- nothing", &lx).kind);
}

static void the_nearest_word_is_near(void **state)
{
    (void)state;
    const td_slice words[] = {TD_STR("temp"), TD_STR("window"), TD_STR("setpoint")};
    static const struct {
        const char *word, *near;
    } cases[] = {{"tmep", "temp"},
                 {"TEMP", "temp"},
                 {"windw", "window"},
                 {"setpiont", "setpoint"},
                 {"heater", ""},
                 {"t", ""},
                 {"", ""},
                 {"a very long word that is much too long to be one", ""}};
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        td_slice near = td_lang_nearest(td_slice_of(cases[i].word), words, TD_COUNT(words));
        if (!td_slice_eq(near, td_slice_of(cases[i].near))) {
            fail_msg("%s: %.*s", cases[i].word, (int)near.n, (const char *)near.p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_read_as_far_as_they_go),
        cmocka_unit_test(units_have_the_names_they_are_written_with),
        cmocka_unit_test(keywords_stand_in_order_for_the_binary_search),
        cmocka_unit_test(numbers_take_the_unit_that_touches_them),
        cmocka_unit_test(the_nearest_word_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
