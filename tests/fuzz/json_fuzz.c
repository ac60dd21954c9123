/* Any bytes through the tokenizer: order and depth hold, strings unescape and come back, numbers
 * read and write the same double. */
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void string(const struct td_json_token *t)
{
    struct td_buf plain, again, back;
    struct td_json j;
    struct td_json_token u;
    td_buf_init(&plain, 1 << 20);
    td_buf_init(&again, 1 << 20);
    td_buf_init(&back, 1 << 20);
    if (td_json_unescape(t, &plain) == TD_OK &&
        td_json_add_string(&again, td_buf_slice(&plain)) == TD_OK) {
        td_json_init(&j, td_buf_slice(&again));
        td_assert(td_json_next(&j, &u) == TD_JSON_STRING);
        td_assert(td_json_unescape(&u, &back) == TD_OK);
        td_assert(td_slice_eq(td_buf_slice(&plain), td_buf_slice(&back)));
        td_assert(td_json_is(t, td_buf_slice(&plain)));
    }
    td_buf_fini(&plain);
    td_buf_fini(&again);
    td_buf_fini(&back);
}

static void number(const struct td_json_token *t)
{
    double v, back;
    int64_t i;
    bool is_int;
    struct td_buf b;
    enum td_err err = td_json_number(t->span, &v, &i, &is_int);
    td_assert(err == TD_OK || err == TD_ERANGE);
    if (err != TD_OK) {
        return;
    }
    td_buf_init(&b, 64);
    td_assert(td_json_add_number(&b, v) == TD_OK);
    td_assert(td_json_number(td_buf_slice(&b), &back, &i, &is_int) == TD_OK);
    td_assert(memcmp(&v, &back, sizeof v) == 0);
    td_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct td_json j;
    struct td_json_token t;
    size_t open = 0, tokens = 0;
    td_json_init(&j, (td_slice){data, n});
    do {
        td_json_next(&j, &t);
        td_assert(++tokens <= n + 2);
        td_assert(t.offset <= n && t.depth <= TD_JSON_DEPTH_MAX);
        open += t.kind == TD_JSON_OBJECT || t.kind == TD_JSON_ARRAY;
        open -= t.kind == TD_JSON_OBJECT_END || t.kind == TD_JSON_ARRAY_END;
        if (t.kind == TD_JSON_KEY || t.kind == TD_JSON_STRING) {
            string(&t);
        } else if (t.kind == TD_JSON_NUMBER) {
            number(&t);
        }
    } while (t.kind != TD_JSON_END && t.kind != TD_JSON_ERROR);
    td_assert(t.kind == TD_JSON_ERROR || open == 0);
    td_assert((t.kind == TD_JSON_END) == td_json_valid((td_slice){data, n}));
    return 0;
}
