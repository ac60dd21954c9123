/* toml: what is a document and what comes out of it, by tables; what is none, and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/toml.h"

/* The tree as JSON, so that a table of cases can say what it wants. */
static void dump(const struct td_toml *node, struct td_json_out *o)
{
    bool table = node->type == TD_TOML_TABLE;
    char key[64];
    if (table || node->type == TD_TOML_ARRAY) {
        td_json_open(o, table ? '{' : '[');
        for (const struct td_toml *child = node->first; child != NULL; child = child->next) {
            if (table) {
                snprintf(key, sizeof key, "%.*s", (int)child->key.n, (const char *)child->key.p);
                td_json_key(o, key);
            }
            dump(child, o);
        }
        td_json_close(o, table ? '}' : ']');
    } else if (node->type == TD_TOML_INT) {
        td_json_int(o, node->integer);
    } else if (node->type == TD_TOML_FLOAT) {
        td_json_real(o, node->real);
    } else if (node->type == TD_TOML_BOOL) {
        td_json_raw(o, node->boolean ? "true" : "false");
    } else {
        td_json_string(o, node->text);
    }
}

static enum td_err parse(td_slice text, struct td_arena *arena, char *out, size_t room,
                         struct td_toml_error *error)
{
    struct td_toml *root = NULL;
    struct td_buf b;
    td_arena_init(arena, 0);
    enum td_err err = td_toml_parse(text, arena, &root, error);
    if (err == TD_OK) {
        td_buf_init(&b, room - 1);
        struct td_json_out o = td_json_out(&b);
        dump(root, &o);
        assert_int_equal(TD_OK, o.err);
        memcpy(out, b.p, b.n);
        out[b.n] = 0;
        td_buf_fini(&b);
    }
    td_arena_fini(arena);
    return err;
}

static void documents_give_their_trees(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "{}"},
        {"# only this", "{}"},
        {"a=1", "{\"a\":1}"},
        {" a = 1 # one\r\n\tb='x'\r\n", "{\"a\":1,\"b\":\"x\"}"},
        {"\"a b\" = 1\n'c.d' = 2\n\"\" = 3\n1234 = 4\n-_- = 5",
         "{\"a b\":1,\"c.d\":2,\"\":3,\"1234\":4,\"-_-\":5}"},
        {"a . b.\"c\" = 1\na.d = 2", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}"},
        {"3.14 = 1", "{\"3\":{\"14\":1}}"},
        /* strings */
        {"a = \"x\\t\\\"\\\\\\u00e9\\U0001F600\"",
         "{\"a\":\"x\\t\\\"\\\\\xC3\xA9\xF0\x9F\x98\x80\"}"},
        {"a = 'C:\\n'", "{\"a\":\"C:\\\\n\"}"},
        {"a = \"\"\"\nx\ny\"\"\"", "{\"a\":\"x\\ny\"}"},
        {"a = \"\"\"\r\nx\r\ny\"\"\"", "{\"a\":\"x\\ny\"}"},
        {"a = \"\"\"x \\\n   \n  y\"\"\"", "{\"a\":\"x y\"}"},
        {"a = \"\"\"x \\  \n y\"\"\"", "{\"a\":\"x y\"}"},
        {"a = \"\"\"\"two\"\"\"\"\"", "{\"a\":\"\\\"two\\\"\\\"\"}"},
        {"a = \"\"\"one\"two\"\"three\"\"\"", "{\"a\":\"one\\\"two\\\"\\\"three\"}"},
        {"a = '''\n'it's\\'''", "{\"a\":\"'it's\\\\\"}"},
        {"a = \"\"\"\"\"\"", "{\"a\":\"\"}"},
        {"a = \"\"", "{\"a\":\"\"}"},
        {"a = \"x\\\\\"\nb = \"y\"", "{\"a\":\"x\\\\\",\"b\":\"y\"}"},
        /* numbers */
        {"a=[+1,-0,1_000,0xDEAD_beef,0o755,0b1_01,9223372036854775807,-9223372036854775808]",
         "{\"a\":[1,0,1000,3735928559,493,5,9223372036854775807,-9223372036854775808]}"},
        {"a=[1.5,+1e3,-2E-2,6.02_2e+23,0e0,1e06,-0.0]",
         "{\"a\":[1.5,1000,-0.02,6.022e+23,0,1000000,-0]}"},
        {"a=[inf,-inf,+nan,true,false]", "{\"a\":[null,null,null,true,false]}"},
        /* dates and times stay text */
        {"a=1979-05-27T07:32:00Z\nb=1979-05-27 07:32:00.999-07:00\nc=1979-05-27\nd=07:32:00.5",
         "{\"a\":\"1979-05-27T07:32:00Z\",\"b\":\"1979-05-27 07:32:00.999-07:00\","
         "\"c\":\"1979-05-27\",\"d\":\"07:32:00.5\"}"},
        {"a=1979-05-27 # date", "{\"a\":\"1979-05-27\"}"},
        {"a=2024-02-29", "{\"a\":\"2024-02-29\"}"},
        /* arrays */
        {"a = [ 1, # one\n\n 'x' ,\n [ ] , ]", "{\"a\":[1,\"x\",[]]}"},
        {"a = [{x=1},{}]", "{\"a\":[{\"x\":1},{}]}"},
        /* inline tables */
        {"a = { b.c = 1, 'd' = [1,\n2] }", "{\"a\":{\"b\":{\"c\":1},\"d\":[1,2]}}"},
        /* tables */
        {"[a]\nx=1\n[b.c]\ny=2\n[b]\nz=3", "{\"a\":{\"x\":1},\"b\":{\"c\":{\"y\":2},\"z\":3}}"},
        {"[ a . 'b' ]", "{\"a\":{\"b\":{}}}"},
        {"a.b=1\n[c]\n[a.d]\n", "{\"a\":{\"b\":1,\"d\":{}},\"c\":{}}"},
        {"[a]\nb.c=1\n[a.b.d]\nx=1", "{\"a\":{\"b\":{\"c\":1,\"d\":{\"x\":1}}}}"},
        {"[[a]]\nx=1\n[[a]]\n[a.b]\ny=2\n[[a.c]]\n[[a.c]]\nz=3",
         "{\"a\":[{\"x\":1},{\"b\":{\"y\":2},\"c\":[{},{\"z\":3}]}]}"},
        {"[a.b.c]\n[a]\nb.x=1", "{\"a\":{\"b\":{\"c\":{},\"x\":1}}}"},
        {"[[a.b]]\n[a]\nc=1", "{\"a\":{\"b\":[{}],\"c\":1}}"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_arena arena;
        struct td_toml_error error = {0};
        char got[512];
        enum td_err err = parse(td_slice_of(cases[i].text), &arena, got, sizeof got, &error);
        assert_string_equal("", error.text);
        assert_int_equal(TD_OK, err);
        assert_string_equal(cases[i].want, got);
    }
}

static void what_breaks_the_rules_is_refused_at_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, column;
    } cases[] = {
        {"a", 1, 2},
        {"= 1", 1, 1},
        {"a =", 1, 4},
        {"a = \n1", 1, 5},
        {"a = 1 b = 2", 1, 7},
        {"a = x", 1, 5},
        {"a = 1\na = 2", 2, 1},
        {"a.b = 1\na.b.c = 2", 2, 3},
        {"a = 1\na.b = 2", 2, 1},
        {"\xC3\xA9 = 1", 1, 1},
        {"\"\"\"a\"\"\" = 1", 1, 3},
        {"a..b = 1", 1, 3},
        {".a = 1", 1, 1},
        {"a. = 1", 1, 4},
        {"a = \"x", 1, 6},
        {"a = \"x\ny\"", 1, 7},
        {"a = 'x\ny'", 1, 7},
        {"a = \"\\x41\"", 1, 6},
        {"a = \"\\u12\"", 1, 6},
        {"a = \"\\ud800\"", 1, 6},
        {"a = \"\\U00110000\"", 1, 6},
        {"a = \"\x01\"", 1, 6},
        {"a = '\x7F'", 1, 6},
        {"a = \"\"\"x", 1, 8},
        {"a = \"\"\"x\"\"\"\"\"\"", 1, 14},
        {"a = \"\"\"x\\ y\"\"\"", 1, 9},
        {"# \x01", 1, 3},
        {"a = 1\rb = 2", 1, 6},
        {"a = 01", 1, 5},
        {"a = +01", 1, 5},
        {"a = 1_", 1, 5},
        {"a = _1", 1, 5},
        {"a = 1__0", 1, 5},
        {"a = 0x", 1, 5},
        {"a = 0xG", 1, 5},
        {"a = +0x1", 1, 5},
        {"a = 0b2", 1, 5},
        {"a = 0x_1", 1, 5},
        {"a = 9223372036854775808", 1, 5},
        {"a = 0xFFFFFFFFFFFFFFFF", 1, 5},
        {"a = 1.", 1, 5},
        {"a = .5", 1, 5},
        {"a = 1._5", 1, 5},
        {"a = 1e", 1, 5},
        {"a = 1e999", 1, 5},
        {"a = +-1", 1, 5},
        {"a = Inf", 1, 5},
        {"a = True", 1, 5},
        {"a = 2023-02-29", 1, 5},
        {"a = 2023-13-01", 1, 5},
        {"a = 2023-01-01T25:00:00Z", 1, 5},
        {"a = 2023-01-01T10:00Z", 1, 5},
        {"a = 2023-01-01T10:00:00+1", 1, 5},
        {"a = 10:00", 1, 5},
        {"a = 10:00:00Z", 1, 5},
        {"a = [1", 1, 7},
        {"a = [1 2]", 1, 8},
        {"a = [,1]", 1, 6},
        {"a = {b=1", 1, 9},
        {"a = {b=1,}", 1, 10},
        {"a = {b=1\n}", 1, 9},
        {"a = {b=1,b=2}", 1, 10},
        {"a = {b=1}\na.c = 2", 2, 1},
        {"a = {b.c=1, b.c.d=2}", 1, 15},
        {"a = {b.c=1}\n[a.b]", 2, 2},
        {"[a]\n[a]", 2, 2},
        {"[a]\nb.c=1\n[a.b]", 3, 4},
        {"[a]\nb=1\n[a.b]", 3, 4},
        {"[a.b]\n[a]\nb.c=1", 3, 1},
        {"[a.b.c]\n[a]\nb.c.t=1", 3, 3},
        {"[a]\nb.c=1\n[x]\n[a.b.d]\n[a.b]", 5, 4},
        {"a=[]\n[[a]]", 2, 3},
        {"[[a]]\n[a]", 2, 2},
        {"[a]\n[[a]]", 2, 3},
        {"[[a.b]]\n[a.b]", 2, 4},
        {"a={}\n[a.b]", 2, 2},
        {"[a", 1, 3},
        {"[]", 1, 2},
        {"[a]]", 1, 4},
        {"[[a]", 1, 4},
        {"[[a] ]", 1, 4},
        {"[a] b=1", 1, 5},
        {"a = \"\xFF\"", 1, 6},
        {"\xEF\xBB\xBF"
         "a=1",
         1, 1},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_arena arena;
        struct td_toml_error error = {0};
        char got[512];
        enum td_err err = parse(td_slice_of(cases[i].text), &arena, got, sizeof got, &error);
        if (err != TD_ESYNTAX || error.line != cases[i].line || error.column != cases[i].column) {
            fail_msg("%s: %d at %u:%u: %s", cases[i].text, err, error.line, error.column,
                     error.text);
        }
        assert_true(error.text[0] != 0);
    }
}

static void a_zero_byte_is_refused(void **state)
{
    (void)state;
    struct td_arena arena;
    struct td_toml_error error;
    char got[64];
    td_slice text = {(const uint8_t *)"a=1\0", 4};
    assert_int_equal(TD_ESYNTAX, parse(text, &arena, got, sizeof got, &error));
    assert_int_equal(4, error.column);
}

static void every_truncation_is_read_or_refused_without_harm(void **state)
{
    (void)state;
    static const char document[] =
        "[a.b]\r\nx = \"\"\"q\\\n  w\"\"\" # c\n[[c]]\ny = {z = [1, 2.5, "
        "1979-05-27 07:32:00Z], w = '''v'''}\n\"k\\u0041\" = 0x1F\n";
    for (size_t n = 0; n < sizeof document; n++) {
        uint8_t *copy = malloc(n + 1);
        struct td_arena arena;
        struct td_toml_error error = {0};
        char got[512];
        memcpy(copy, document, n);
        enum td_err err = parse((td_slice){copy, n}, &arena, got, sizeof got, &error);
        assert_true(err == TD_OK || (err == TD_ESYNTAX && error.line > 0));
        free(copy);
    }
}

static void nesting_and_keys_end_at_their_bounds(void **state)
{
    (void)state;
    char text[300];
    for (int deep = TD_TOML_DEPTH_MAX; deep <= TD_TOML_DEPTH_MAX + 1; deep++) {
        struct td_arena arena;
        struct td_toml_error error;
        char got[512];
        enum td_err want = deep == TD_TOML_DEPTH_MAX ? TD_OK : TD_ESYNTAX;
        memset(text, '[', sizeof text);
        memcpy(text, "a=", 2);
        memset(text + 2 + deep, ']', (size_t)deep);
        td_slice s = {(uint8_t *)text, 2 + 2 * (size_t)deep};
        assert_int_equal(want, parse(s, &arena, got, sizeof got, &error));
        for (int i = 0; i < deep; i++) {
            memcpy(text + 2 * i, "k.", 2);
        }
        memcpy(text + 2 * deep - 1, "=1", 2);
        s.n = 2 * (size_t)deep + 1;
        assert_int_equal(want, parse(s, &arena, got, sizeof got, &error));
    }
}

static void the_arena_is_the_bound_of_a_tree(void **state)
{
    (void)state;
    struct td_arena arena;
    struct td_toml *root = NULL;
    struct td_toml_error error;
    for (size_t room = 1; room < 3000; room += 100) {
        td_arena_init(&arena, room);
        enum td_err err =
            td_toml_parse(TD_STR("[a]\nb=\"text\"\nc=[1,2,3]"), &arena, &root, &error);
        assert_true(err == TD_OK || err == TD_EFULL);
        assert_true((err == TD_OK) == (root != NULL));
        root = NULL;
        td_arena_fini(&arena);
    }
}

static void an_error_is_shown_with_its_line_and_a_caret(void **state)
{
    (void)state;
    struct td_arena arena;
    struct td_toml *root;
    struct td_toml_error error;
    struct td_buf b;
    td_slice text = TD_STR("[mqtt]\n\tlisten = localhost\n");
    td_arena_init(&arena, 0);
    td_buf_init(&b, 1000);
    assert_int_equal(TD_ESYNTAX, td_toml_parse(text, &arena, &root, &error));
    td_toml_explain("tandem.toml", text, &error, &b);
    td_slice want =
        TD_STR("tandem.toml:2:11: not a number, date, true or false; text needs quotes\n"
               "    \tlisten = localhost\n    \t         ^\n");
    assert_true(td_slice_eq(want, td_buf_slice(&b)));
    td_buf_fini(&b);
    td_arena_fini(&arena);
}

static void nodes_know_their_place_and_name(void **state)
{
    (void)state;
    struct td_arena arena;
    struct td_toml *root = NULL;
    struct td_toml_error error;
    td_arena_init(&arena, 0);
    td_slice text = TD_STR("[a]\n  b = 1\n[[c]]\n[[c]]\nd = [1,\n 2]");
    assert_int_equal(TD_OK, td_toml_parse(text, &arena, &root, &error));
    const struct td_toml *b = td_toml_get(td_toml_get(root, TD_STR("a")), TD_STR("b"));
    assert_int_equal(2, b->line);
    assert_int_equal(3, b->column);
    assert_string_equal("integer", td_toml_type_name(b->type));
    const struct td_toml *c = td_toml_get(root, TD_STR("c"));
    assert_int_equal(2, c->count);
    assert_int_equal(4, c->last->line);
    const struct td_toml *d = td_toml_get(c->last, TD_STR("d"));
    assert_int_equal(6, d->last->line);
    assert_null(td_toml_get(root, TD_STR("x")));
    td_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_give_their_trees),
        cmocka_unit_test(what_breaks_the_rules_is_refused_at_its_place),
        cmocka_unit_test(a_zero_byte_is_refused),
        cmocka_unit_test(every_truncation_is_read_or_refused_without_harm),
        cmocka_unit_test(nesting_and_keys_end_at_their_bounds),
        cmocka_unit_test(the_arena_is_the_bound_of_a_tree),
        cmocka_unit_test(an_error_is_shown_with_its_line_and_a_caret),
        cmocka_unit_test(nodes_know_their_place_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
