/* Rule files as fixtures: those of fixtures/ carry their TEST blocks and must pass; those of
 * golden/ are wrong, and what is said of them stands in the .txt beside each. The examples and what
 * the language reference shows are held to the same. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rules/rules.h"

static void path_of(char out[512], const char *relative)
{
    const char *here = __FILE__; /* .../tests/unit/rules/fixtures_test.c */
    int dir = (int)(strrchr(here, '/') - here);
    (void)snprintf(out, 512, "%.*s/%s", dir, here, relative);
}

static void read_file(const char *relative, struct td_buf *out)
{
    char path[512];
    td_buf_init(out, 4 << 20);
    path_of(path, relative);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fail_msg("%s cannot be read", path);
        return;
    }
    assert_int_equal(TD_OK, td_buf_reserve(out, 1 << 20));
    out->n = fread(out->p, 1, out->cap, f);
    fclose(f);
}

static void passes(const char *name, td_slice text, uint32_t least)
{
    struct td_rules_file file = {td_slice_of(name), text};
    struct td_rules_config config = {.files = &file, .file_count = 1, .seed = 5};
    struct td_rules_tests tests;
    struct td_buf report;
    td_buf_init(&report, 1 << 20);
    enum td_err err = td_rules_test(&config, &tests, &report);
    if (err != TD_OK || tests.failed > 0 || tests.passed < least) {
        fail_msg("%s: %s, %u passed, %u failed\n%.*s", name, td_err_text(err), tests.passed,
                 tests.failed, (int)report.n, (const char *)report.p);
    }
    td_buf_fini(&report);
}

static size_t each(const char *dir, const char *suffix, void (*fn)(const char *relative))
{
    char path[512];
    size_t count = 0;
    path_of(path, dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t n = strlen(e->d_name), s = strlen(suffix);
        if (n > s && strcmp(e->d_name + n - s, suffix) == 0) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            fn(path);
            count++;
        }
    }
    closedir(d);
    return count;
}

static void one_fixture(const char *relative)
{
    struct td_buf text;
    read_file(relative, &text);
    passes(relative, td_buf_slice(&text), 1);
    td_buf_fini(&text);
}

static void every_fixture_passes_its_own_tests(void **state)
{
    (void)state;
    assert_true(each("fixtures", ".td", one_fixture) >= 12);
}

static void every_example_passes_its_own_tests(void **state)
{
    (void)state;
    assert_true(each("../../../examples", ".td", one_fixture) >= 1);
}

static void one_golden(const char *relative)
{
    struct td_buf text, want, why;
    struct td_rules *r = NULL;
    char txt[512];
    const char *name = strrchr(relative, '/') + 1;
    (void)snprintf(txt, sizeof txt, "%.*s.txt", (int)(strlen(relative) - 3), relative);
    read_file(relative, &text);
    read_file(txt, &want);
    td_buf_init(&why, 1 << 20);
    struct td_rules_file file = {td_slice_of(name), td_buf_slice(&text)};
    struct td_rules_config config = {.files = &file, .file_count = 1, .seed = 5};
    assert_int_equal(TD_ESYNTAX, td_rules_load(&config, &r, &why));
    if (!td_slice_eq(td_buf_slice(&want), td_buf_slice(&why))) {
        fail_msg("%s says now:\n%.*s", relative, (int)why.n, (const char *)why.p);
    }
    td_buf_fini(&text);
    td_buf_fini(&want);
    td_buf_fini(&why);
}

static void what_is_wrong_is_told_word_for_word(void **state)
{
    (void)state;
    assert_true(each("golden", ".td", one_golden) >= 5);
}

/* Each block of the reference that is marked td stands for itself. */
static void the_reference_shows_only_what_works(void **state)
{
    (void)state;
    struct td_buf doc;
    read_file("../../../docs/rules.md", &doc);
    td_slice rest = td_buf_slice(&doc);
    size_t blocks = 0;
    while (rest.n > 0) {
        size_t n = td_slice_find(rest, '\n');
        bool opens = td_slice_eq(td_slice_head(rest, n), TD_STR("```td"));
        rest = td_slice_skip(rest, n + 1);
        if (!opens) {
            continue;
        }
        td_slice block = rest;
        while (rest.n > 0 && !td_slice_starts(rest, TD_STR("```"))) {
            rest = td_slice_skip(rest, td_slice_find(rest, '\n') + 1);
        }
        char name[40];
        (void)snprintf(name, sizeof name, "docs/rules.md, block %zu", ++blocks);
        passes(name, td_slice_head(block, block.n - rest.n), 0);
    }
    assert_true(blocks >= 10);
    td_buf_fini(&doc);
}

/* A file cut off anywhere is refused or read, never worse; so is one with a byte turned. */
static void one_truncated(const char *relative)
{
    struct td_buf text, why;
    read_file(relative, &text);
    td_buf_init(&why, 1 << 20);
    for (size_t n = 0; n < 2 * text.n; n += 3) {
        struct td_rules *r = NULL;
        uint8_t *turned = n >= text.n ? &text.p[n - text.n] : NULL;
        if (turned != NULL) {
            *turned ^= 0x15;
        }
        struct td_rules_file file = {TD_STR("cut.td"), {text.p, n < text.n ? n : text.n}};
        struct td_rules_config config = {.files = &file, .file_count = 1};
        td_buf_clear(&why);
        if (td_rules_load(&config, &r, &why) == TD_OK) {
            td_rules_free(r);
        } else {
            assert_true(why.n > 0);
        }
        if (turned != NULL) {
            *turned ^= 0x15;
        }
    }
    td_buf_fini(&text);
    td_buf_fini(&why);
}

static void a_damaged_file_is_refused_or_read(void **state)
{
    (void)state;
    one_truncated("fixtures/order.td");
    one_truncated("fixtures/crossing.td");
    one_truncated("fixtures/actuator.td");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fixture_passes_its_own_tests),
        cmocka_unit_test(every_example_passes_its_own_tests),
        cmocka_unit_test(what_is_wrong_is_told_word_for_word),
        cmocka_unit_test(the_reference_shows_only_what_works),
        cmocka_unit_test(a_damaged_file_is_refused_or_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
