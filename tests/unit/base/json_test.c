/* json: the grammar by tables of good and bad texts, numbers against strtod(), strings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"

/* One letter a token: { } [ ] k s n t f z . and ! for an error. */
static void letters_of(td_slice text, char *out, size_t room)
{
    static const char letters[] = ".{}[]ksntfz!";
    struct td_json j;
    struct td_json_token t;
    size_t n = 0;
    td_json_init(&j, text);
    do {
        td_json_next(&j, &t);
        assert_true(n + 1 < room);
        out[n++] = letters[t.kind];
    } while (t.kind != TD_JSON_END && t.kind != TD_JSON_ERROR);
    out[n] = 0;
}

static void texts_give_their_tokens_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{\"a\":[1,\"x\\n\"]}", "{k[ns]}."},
        {" \t\r\n[ ] ", "[]."},
        {"{}", "{}."},
        {"{ }", "{}."},
        {"[[],{},[[1]]]", "[[]{}[[n]]]."},
        {"true", "t."},
        {"false", "f."},
        {"null", "z."},
        {"-0", "n."},
        {"0.5e-7", "n."},
        {"1E+2", "n."},
        {"\"\"", "s."},
        {"{\"\":null , \"b\" : -1.5}", "{kzkn}."},
        {"\"\\ud83d\\ude00\\u0000\"", "s."},
        {"\"\xF0\x9F\x98\x80\"", "s."},
        {"", "!"},
        {" ", "!"},
        {"{", "{!"},
        {"[", "[!"},
        {"[1,]", "[n!"},
        {"[,1]", "[!"},
        {"[1 2]", "[n!"},
        {"[1}", "[n!"},
        {"{\"a\":1]", "{kn!"},
        {"{\"a\" 1}", "{!"},
        {"{\"a\":}", "{k!"},
        {"{\"a\":1,}", "{kn!"},
        {"{a:1}", "{!"},
        {"{'a':1}", "{!"},
        {"{1:1}", "{!"},
        {"]", "!"},
        {"1 1", "n!"},
        {"[] []", "[]!"},
        {"nul", "!"},
        {"nulll", "z!"},
        {"True", "!"},
        {"NaN", "!"},
        {"Infinity", "!"},
        {"+1", "!"},
        {"-", "!"},
        {"01", "!"},
        {"-01", "!"},
        {"1.", "!"},
        {".5", "!"},
        {"1e", "!"},
        {"1e+", "!"},
        {"0x1", "n!"},
        {"1_000", "n!"},
        {"\"a", "!"},
        {"\"\\\"", "!"},
        {"\"\\x\"", "!"},
        {"\"\\u12\"", "!"},
        {"\"\\u12g4\"", "!"},
        {"\"\\ud83d\"", "!"},
        {"\"\\ud83d\\u0041\"", "!"},
        {"\"\\ude00\"", "!"},
        {"\"\t\"", "!"},
        {"\"\n\"", "!"},
        {"\"\xC0\xAF\"", "!"},
        {"\"\xED\xA0\x80\"", "!"},
        {"\"\xFF\"", "!"},
        {"\xEF\xBB\xBF{}", "!"},
        {"[1]//", "[n]!"},
        {"/**/1", "!"},
        {"\f1", "!"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[64];
        letters_of(td_slice_of(cases[i].text), got, sizeof got);
        assert_string_equal(cases[i].want, got);
        bool good = strchr(got, '!') == NULL;
        assert_int_equal(good, td_json_valid(td_slice_of(cases[i].text)));
    }
}

static void a_byte_of_zero_is_nothing_that_json_knows(void **state)
{
    (void)state;
    assert_false(td_json_valid((td_slice){(const uint8_t *)"1\0", 2}));
    assert_false(td_json_valid((td_slice){(const uint8_t *)"\0", 1}));
    assert_false(td_json_valid((td_slice){(const uint8_t *)"\"\0\"", 3}));
    assert_false(td_json_valid((td_slice){NULL, 0}));
}

static const char document[] =
    "{\"name\":\"vend\\/v1 \\u00e9\",\"stock\":[12,-3.5e2,true,{\"x\":null}],\"o\":{}}";

static void every_truncation_is_an_error_with_its_place(void **state)
{
    (void)state;
    assert_true(td_json_valid(td_slice_of(document)));
    for (size_t n = 0; n < sizeof document - 1; n++) {
        uint8_t *copy = malloc(n + 1); /* its own block, so that ASan sees a step too far */
        memcpy(copy, document, n);
        struct td_json j;
        struct td_json_token t;
        td_json_init(&j, (td_slice){copy, n});
        while (td_json_next(&j, &t) != TD_JSON_ERROR) {
            assert_int_not_equal(TD_JSON_END, t.kind);
        }
        assert_non_null(t.rule);
        assert_true(t.offset <= n);
        assert_int_equal(TD_JSON_ERROR, td_json_next(&j, &t));
        assert_non_null(t.rule);
        free(copy);
    }
}

static void an_error_names_the_rule_and_the_place(void **state)
{
    (void)state;
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, TD_STR("{\"a\":1 \"b\":2}"));
    while (td_json_next(&j, &t) != TD_JSON_ERROR) {
    }
    assert_int_equal(7, t.offset);
    assert_string_equal("a comma or } must come here", t.rule);
}

static void nesting_ends_at_its_bound(void **state)
{
    (void)state;
    char text[2 * (TD_JSON_DEPTH_MAX + 1)];
    for (size_t depth = TD_JSON_DEPTH_MAX; depth <= TD_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        td_slice s = {(const uint8_t *)text, 2 * depth};
        assert_int_equal(depth == TD_JSON_DEPTH_MAX, td_json_valid(s));
    }
}

static void levels_remember_what_they_are(void **state)
{
    (void)state;
    char got[32];
    letters_of(TD_STR("[{\"a\":[{}]},[]]"), got, sizeof got);
    assert_string_equal("[{k[{}]}[]].", got);
}

static void skipping_a_value_goes_on_behind_it(void **state)
{
    (void)state;
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, TD_STR("{\"a\":{\"x\":[1,{}]},\"b\":7}"));
    td_json_next(&j, &t);
    td_json_next(&j, &t);
    assert_true(td_json_is(&t, TD_STR("a")));
    assert_int_equal(TD_JSON_OBJECT, td_json_next(&j, &t));
    assert_int_equal(1, t.depth);
    assert_true(td_json_skip(&j, &t));
    assert_int_equal(TD_JSON_KEY, td_json_next(&j, &t));
    assert_true(td_json_is(&t, TD_STR("b")));
    assert_int_equal(TD_JSON_NUMBER, td_json_next(&j, &t));
    assert_true(td_json_skip(&j, &t));
    assert_int_equal(TD_JSON_OBJECT_END, td_json_next(&j, &t));
    assert_int_equal(0, t.depth);
    td_json_init(&j, TD_STR("[[1,2"));
    td_json_next(&j, &t);
    assert_false(td_json_skip(&j, &t));
}

/* ---- strings ---- */

static void strings_are_unescaped(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        td_slice want;
    } cases[] = {
        {"\"plain\"", {(const uint8_t *)"plain", 5}},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", {(const uint8_t *)"\"\\/\b\f\n\r\t", 8}},
        {"\"a\\u0000b\"", {(const uint8_t *)"a\0b", 3}},
        {"\"\\u00E9\\u20ac\"", {(const uint8_t *)"\xC3\xA9\xE2\x82\xAC", 5}},
        {"\"\\ud83d\\uDE00!\"", {(const uint8_t *)"\xF0\x9F\x98\x80!", 5}},
        {"\"\\uFFFF\\u07ff\"", {(const uint8_t *)"\xEF\xBF\xBF\xDF\xBF", 5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct td_json j;
        struct td_json_token t;
        struct td_buf b;
        td_buf_init(&b, 100);
        td_json_init(&j, td_slice_of(cases[i].json));
        assert_int_equal(TD_JSON_STRING, td_json_next(&j, &t));
        assert_int_equal(TD_OK, td_json_unescape(&t, &b));
        assert_true(td_slice_eq(cases[i].want, td_buf_slice(&b)));
        assert_true(td_json_is(&t, cases[i].want));
        assert_false(td_json_is(&t, td_slice_head(cases[i].want, cases[i].want.n - 1)));
        assert_false(td_json_is(&t, TD_STR("something else")));
        td_buf_fini(&b);
    }
}

static void unescaping_keeps_the_bound_of_its_buffer(void **state)
{
    (void)state;
    struct td_json j;
    struct td_json_token t;
    struct td_buf b;
    td_buf_init(&b, 4);
    td_json_init(&j, TD_STR("\"abc\\n\\n\""));
    td_json_next(&j, &t);
    assert_int_equal(TD_EFULL, td_json_unescape(&t, &b));
    td_buf_fini(&b);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const struct {
        td_slice text;
        const char *want;
    } cases[] = {
        {{(const uint8_t *)"", 0}, "\"\""},
        {{(const uint8_t *)"a\"\\b", 4}, "\"a\\\"\\\\b\""},
        {{(const uint8_t *)"\b\f\n\r\t\x01\x1f", 7}, "\"\\b\\f\\n\\r\\t\\u0001\\u001f\""},
        {{(const uint8_t *)"\0", 1}, "\"\\u0000\""},
        {{(const uint8_t *)"\xC3\xA9/\x7f", 4}, "\"\xC3\xA9/\x7f\""},
        {{(const uint8_t *)"x\xFFy\xC3", 4}, "\"x\\ufffdy\\ufffd\""},
        {{(const uint8_t *)"\xED\xA0\x80", 3}, "\"\\ufffd\\ufffd\\ufffd\""},
        {{(const uint8_t *)"\xF0\x9F\x98\x80", 4}, "\"\xF0\x9F\x98\x80\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct td_buf b;
        td_buf_init(&b, 1000);
        assert_int_equal(TD_OK, td_json_add_string(&b, cases[i].text));
        assert_true(td_slice_eq(td_slice_of(cases[i].want), td_buf_slice(&b)));
        assert_true(td_json_valid(td_buf_slice(&b)));
        td_buf_fini(&b);
    }
}

static void a_writer_says_when_its_buffer_is_full(void **state)
{
    (void)state;
    for (size_t room = 0; room < 12; room++) {
        struct td_buf b;
        td_buf_init(&b, room);
        enum td_err err = td_json_add_string(&b, TD_STR("abc\ndef\n"));
        assert_int_equal(TD_EFULL, err);
        td_buf_fini(&b);
    }
}

/* ---- numbers ---- */

static double number_of(const char *text)
{
    double v;
    int64_t i;
    bool is_int;
    assert_int_equal(TD_OK, td_json_number(td_slice_of(text), &v, &i, &is_int));
    return v;
}

static void numbers_are_the_nearest_doubles(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "0",
        "-0",
        "1",
        "0.1",
        "0.3",
        "123456789012345678",
        "9007199254740993",
        "1e22",
        "1e23",
        "8.5e-320",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "6.02214076e23",
        "9007199254740992.5",
        "0.500000000000000166533453693773481063544750213623046875",
        "3.518437208883201171875e13",
        "62.5364939768271845828",
        "0.1e1",
        "1e-5",
        "100e-2",
        "0.000000000000000000000000000000000000000001e42",
        "10000000000000000000000000000000e-31",
        "1e-400",
        "0e999999999999",
        "123.456e-30",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double want = strtod(cases[i], NULL), got = number_of(cases[i]);
        assert_memory_equal(&want, &got, sizeof want);
    }
}

static void digits_beyond_all_need_still_decide_a_tie(void **state)
{
    (void)state;
    /* 1 + 2^-53 lies half way; a digit a thousand places later lifts it. */
    char text[1200] = "1.00000000000000011102230246251565404236316680908203125";
    size_t n = strlen(text);
    assert_true(number_of(text) == 1.0);
    memset(text + n, '0', 1000);
    text[n + 1000] = '1';
    assert_true(number_of(text) > 1.0);
    memset(text, '7', 1000);
    memcpy(text + 1000, "e-999", 6);
    assert_true(number_of(text) == 7.777777777777777777777);
}

static void integers_are_exact_within_int64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_int;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-7", true, -7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551616", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double v;
        int64_t got;
        bool is_int;
        td_slice text = td_slice_of(cases[i].text);
        assert_int_equal(TD_OK, td_json_number(text, &v, &got, &is_int));
        assert_int_equal(cases[i].is_int, is_int);
        assert_true(cases[i].want == got);
    }
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",   "-",   "1.", "01",   "1 ",
                                        " 1", "abc", "1e", "0x10", "1,5"};
    double v = 42;
    int64_t n = 42;
    bool is_int = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        td_slice text = td_slice_of(cases[i]);
        enum td_err err = td_json_number(text, &v, &n, &is_int);
        /* White space in front is not part of a number's span. */
        assert_int_equal(TD_ESYNTAX, err);
    }
    assert_int_equal(TD_ERANGE, td_json_number(TD_STR("1e309"), &v, &n, &is_int));
    assert_int_equal(TD_ERANGE, td_json_number(TD_STR("-1e99999999999999999999"), &v, &n, &is_int));
    assert_true(v == 42 && n == 42 && is_int);
}

static void numbers_are_written_as_short_as_can_be(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *want;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {12, "12"},
        {-3.5, "-3.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {21.57, "21.57"},
        {-0.05, "-0.05"},
        {1e15, "1000000000000000"},
        {123456789012345680, "123456789012345680"},
        {1e20, "100000000000000000000"},
        {1e21, "1e+21"},
        {1.5e300, "1.5e+300"},
        {1e-6, "0.000001"},
        {1.5e-6, "0.0000015"},
        {1e-7, "1e-7"},
        {1.25e-9, "1.25e-9"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {9007199254740992, "9007199254740992"},
        {1.0 / 3, "0.3333333333333333"},
        {(double)NAN, "null"},
        {(double)INFINITY, "null"},
        {-(double)INFINITY, "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct td_buf b;
        td_buf_init(&b, 100);
        assert_int_equal(TD_OK, td_json_add_number(&b, cases[i].v));
        assert_int_equal(TD_OK, td_buf_add_u8(&b, 0));
        assert_string_equal(cases[i].want, (const char *)b.p);
        td_buf_fini(&b);
    }
}

/* Significant digits: without leading and trailing zeros, point, sign and exponent. */
static int digits_in(td_slice text)
{
    int all = 0, zeros = 0;
    for (size_t i = 0; i < text.n && text.p[i] != 'e'; i++) {
        if (text.p[i] >= '1' && text.p[i] <= '9') {
            all += zeros + 1;
            zeros = 0;
        } else if (text.p[i] == '0' && all > 0) {
            zeros++;
        }
    }
    return all == 0 ? 1 : all;
}

static void any_double_survives_the_round_trip_and_no_shorter_text_would_do(void **state)
{
    (void)state;
    struct td_rng r;
    struct td_buf b;
    td_rng_init(&r, 7);
    td_buf_init(&b, 100);
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = td_rng_next(&r);
        double v, back;
        int64_t n;
        bool is_int;
        memcpy(&v, &bits, sizeof v);
        if (i % 2) { /* values as machines send them */
            v = (double)((int64_t)bits >> 30) / (double)(INT64_C(1) << (i % 20));
        }
        if (!isfinite(v)) {
            continue;
        }
        td_buf_clear(&b);
        assert_int_equal(TD_OK, td_json_add_number(&b, v));
        assert_int_equal(TD_OK, td_json_number(td_buf_slice(&b), &back, &n, &is_int));
        assert_memory_equal(&v, &back, sizeof v);
        char shorter[40];
        int digits = digits_in(td_buf_slice(&b));
        snprintf(shorter, sizeof shorter, "%.*e", digits - 2, v);
        assert_true(digits == 1 || strtod(shorter, NULL) != v);
    }
    td_buf_fini(&b);
}

static void integers_are_written_whole(void **state)
{
    (void)state;
    struct td_buf b;
    td_buf_init(&b, 100);
    assert_int_equal(TD_OK, td_json_add_int(&b, INT64_MIN));
    assert_true(td_slice_eq(TD_STR("-9223372036854775808"), td_buf_slice(&b)));
    td_buf_fini(&b);
}

static void a_document_writes_its_own_commas(void **state)
{
    (void)state;
    struct td_buf b;
    td_buf_init(&b, 100);
    struct td_json_out o = td_json_out(&b);
    td_json_open(&o, '{');
    td_json_key(&o, "a");
    td_json_open(&o, '[');
    td_json_int(&o, 1);
    td_json_real(&o, 0.5);
    td_json_open(&o, '{');
    td_json_close(&o, '}');
    td_json_raw(&o, "null");
    td_json_close(&o, ']');
    td_json_key(&o, "b");
    td_json_string(&o, TD_STR("x"));
    td_json_close(&o, '}');
    assert_int_equal(TD_OK, o.err);
    td_slice want = TD_STR("{\"a\":[1,0.5,{},null],\"b\":\"x\"}");
    assert_true(td_slice_eq(want, td_buf_slice(&b)));
    td_buf_fini(&b);
    td_buf_init(&b, 3);
    o = td_json_out(&b);
    td_json_open(&o, '[');
    td_json_string(&o, TD_STR("long"));
    td_json_int(&o, 1); /* would fit, but the failure sticks */
    assert_int_equal(TD_EFULL, o.err);
    td_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_give_their_tokens_in_order),
        cmocka_unit_test(a_byte_of_zero_is_nothing_that_json_knows),
        cmocka_unit_test(every_truncation_is_an_error_with_its_place),
        cmocka_unit_test(an_error_names_the_rule_and_the_place),
        cmocka_unit_test(nesting_ends_at_its_bound),
        cmocka_unit_test(levels_remember_what_they_are),
        cmocka_unit_test(skipping_a_value_goes_on_behind_it),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(unescaping_keeps_the_bound_of_its_buffer),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(a_writer_says_when_its_buffer_is_full),
        cmocka_unit_test(numbers_are_the_nearest_doubles),
        cmocka_unit_test(digits_beyond_all_need_still_decide_a_tie),
        cmocka_unit_test(integers_are_exact_within_int64),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(numbers_are_written_as_short_as_can_be),
        cmocka_unit_test(any_double_survives_the_round_trip_and_no_shorter_text_would_do),
        cmocka_unit_test(integers_are_written_whole),
        cmocka_unit_test(a_document_writes_its_own_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
