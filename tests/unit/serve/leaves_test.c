/* serve: payloads as named values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve/leaves.h"

/* All leaves as text: "a=1 b.c=true d.1='x'". */
static void shown(const struct td_leaves *l, struct td_buf *out)
{
    td_buf_clear(out);
    for (size_t i = 0; i < l->count; i++) {
        const struct td_leaf *f = &l->at[i];
        (void)td_buf_printf(out, "%s%.*s=", i == 0 ? "" : " ", (int)f->field.n,
                            (const char *)f->field.p);
        switch (f->value.type) {
        case TD_VALUE_NONE:
            (void)td_buf_printf(out, "none");
            break;
        case TD_VALUE_BOOL:
            (void)td_buf_printf(out, "%s", f->value.as.b ? "true" : "false");
            break;
        case TD_VALUE_INT:
            (void)td_buf_printf(out, "%lld", (long long)f->value.as.i);
            break;
        case TD_VALUE_FLOAT:
            (void)td_buf_printf(out, "%.17gf", f->value.as.f);
            break;
        case TD_VALUE_TEXT:
            (void)td_buf_printf(out, "'%.*s'", (int)f->value.as.text.n,
                                (const char *)f->value.as.text.p);
            break;
        }
    }
}

static const struct {
    const char *payload;
    enum td_leaves_kind kind;
    const char *leaves;
} cases[] = {
    {"21", TD_LEAVES_GOOD, "value=21"},
    {" 21.5\n", TD_LEAVES_GOOD, "value=21.5f"},
    {"-0", TD_LEAVES_GOOD, NULL},
    {"9223372036854775807", TD_LEAVES_GOOD, "value=9223372036854775807"},
    {"true", TD_LEAVES_GOOD, "value=true"},
    {"ON", TD_LEAVES_GOOD, "value=true"},
    {"Off", TD_LEAVES_GOOD, "value=false"},
    {"\"idle\"", TD_LEAVES_GOOD, "value='idle'"},
    {"idle, waiting", TD_LEAVES_GOOD, "value='idle, waiting'"},
    {"null", TD_LEAVES_NONE, ""},
    {"", TD_LEAVES_NONE, ""},
    {"   ", TD_LEAVES_NONE, ""},
    {"{}", TD_LEAVES_NONE, ""},
    {"[[],{}]", TD_LEAVES_NONE, ""},
    {"{\"a\":1,\"b\":{\"c\":true},\"d\":[2,\"x\"]}", TD_LEAVES_GOOD, "a=1 b.c=true d.0=2 d.1='x'"},
    {"{\"a\":{\"b\":{\"c\":1},\"d\":2},\"e\":3}", TD_LEAVES_GOOD, "a.b.c=1 a.d=2 e=3"},
    {"[[1,2],[3,{\"k\":4}],5]", TD_LEAVES_GOOD, "0.0=1 0.1=2 1.0=3 1.1.k=4 2=5"},
    {"{\"a\":null,\"b\":1}", TD_LEAVES_GOOD, "b=1"},
    {"{\"\\u00e4\":1}", TD_LEAVES_GOOD, "\xc3\xa4=1"},
    {"{\"a\":1", TD_LEAVES_GOOD, "value='{\"a\":1'"},
    {"\x01\x02", TD_LEAVES_BINARY, ""},
    {"\xff\xfe", TD_LEAVES_BINARY, ""},
};

static void payloads_become_the_values_they_name(void **state)
{
    (void)state;
    struct td_leaves *l = td_alloc(sizeof *l);
    struct td_buf text;
    td_leaves_init(l);
    td_buf_init(&text, 1 << 16);
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        assert_int_equal(cases[i].kind, td_leaves_read(l, td_slice_of(cases[i].payload)));
        shown(l, &text);
        if (cases[i].leaves != NULL) {
            assert_int_equal(strlen(cases[i].leaves), text.n);
            assert_memory_equal(cases[i].leaves, text.p, text.n);
        }
    }
    td_buf_fini(&text);
    td_leaves_fini(l);
    free(l);
}

static void leaves_over_the_bounds_are_dropped_and_counted(void **state)
{
    (void)state;
    struct td_leaves *l = td_alloc(sizeof *l);
    struct td_buf json;
    td_leaves_init(l);
    td_buf_init(&json, 1 << 20);
    (void)td_buf_printf(&json, "[0");
    for (int i = 1; i < 70; i++) {
        (void)td_buf_printf(&json, ",%d", i);
    }
    (void)td_buf_printf(&json, "]");
    assert_int_equal(TD_LEAVES_GOOD, td_leaves_read(l, td_buf_slice(&json)));
    assert_int_equal(TD_LEAVES_MAX, l->count);
    assert_int_equal(70 - TD_LEAVES_MAX, l->dropped);
    td_buf_clear(&json);
    (void)td_buf_printf(&json, "{\"%0600d\":1,\"a\":\"%0300d\",\"b\":2}", 7, 7);
    assert_int_equal(TD_LEAVES_GOOD, td_leaves_read(l, td_buf_slice(&json)));
    assert_int_equal(1, l->count);
    td_buf_clear(&json);
    (void)td_buf_printf(&json, "long text %0300d", 7);
    assert_int_equal(TD_LEAVES_OVERSIZED, td_leaves_read(l, td_buf_slice(&json)));
    td_buf_fini(&json);
    td_leaves_fini(l);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_become_the_values_they_name),
        cmocka_unit_test(leaves_over_the_bounds_are_dropped_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
