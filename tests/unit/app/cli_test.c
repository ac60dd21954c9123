/* The command line: forms of options, errors that name the option, near names. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "app/cli.h"

struct got {
    bool deep;
    int verbose;
    const char *dir;
    int64_t port;
    double rate;
    struct td_cli_list rules, words;
};

static bool parse(struct got *g, int *status, int argc, const char **argv)
{
    const struct td_cli_option rows[] = {
        {"--deep", 'd', TD_CLI_FLAG, &g->deep, NULL, "deep", 0, 0},
        {NULL, 'v', TD_CLI_COUNT, &g->verbose, NULL, "more words", 0, 0},
        {"--data", 0, TD_CLI_TEXT, &g->dir, "DIR", "where", 0, 0},
        {"--port", 'p', TD_CLI_NUMBER, &g->port, "N", "port", 1, 65535},
        {"--rate", 'r', TD_CLI_REAL, &g->rate, "N", "rate", 0, 10},
        {"--rules", 0, TD_CLI_LIST, &g->rules, "FILE", "rules", 0, 0},
    };
    return td_cli_parse("x", "", rows, TD_COUNT(rows), NULL, argc, (char **)(uintptr_t)argv,
                        &g->words, status);
}

static void options_come_joined_apart_and_with_equals(void **state)
{
    (void)state;
    struct got g = {0};
    int status = -1;
    const char *argv[] = {"x", "-dvv", "--data=/d", "-p1883", "--rate", "2.5", "--rules",
                          "a", "in",   "--rules",   "b",      "--",     "-not"};
    assert_true(parse(&g, &status, TD_COUNT(argv), argv));
    assert_true(g.deep);
    assert_int_equal(2, g.verbose);
    assert_string_equal("/d", g.dir);
    assert_int_equal(1883, g.port);
    assert_true(g.rate > 2.4 && g.rate < 2.6);
    assert_int_equal(2, g.rules.count);
    assert_string_equal("b", g.rules.at[1]);
    assert_int_equal(2, g.words.count);
    assert_string_equal("-not", g.words.at[1]);
}

static void bad_options_are_usage_errors(void **state)
{
    (void)state;
    static const char *cases[][3] = {
        {"x", "--nope", NULL},    {"x", "-z", NULL},      {"x", "--port", NULL},
        {"x", "--port", "70000"}, {"x", "--port", "12x"}, {"x", "--rate", "nan"},
        {"x", "--deep=1", NULL},  {"x", "--port", ""},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct got g = {0};
        int status = -1;
        assert_false(parse(&g, &status, cases[i][2] == NULL ? 2 : 3, cases[i]));
        assert_int_equal(TD_CLI_USAGE, status);
    }
}

static void near_names_are_found_and_far_ones_are_not(void **state)
{
    (void)state;
    static const char *const names[] = {"serve", "pub", "sub", "query", "doctor"};
    assert_string_equal("serve", td_cli_nearest("sevre", names, TD_COUNT(names)));
    assert_string_equal("query", td_cli_nearest("qu", names, TD_COUNT(names)));
    assert_null(td_cli_nearest("elephant", names, TD_COUNT(names)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_come_joined_apart_and_with_equals),
        cmocka_unit_test(bad_options_are_usage_errors),
        cmocka_unit_test(near_names_are_found_and_far_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
