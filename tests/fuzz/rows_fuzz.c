/* fuzz: rows, ops of the state map, and definitions of streams. What is read as rows can be written
 * and read again to the same. */
#include "store/dict.h"
#include "store/rows.h"
#include "store/state.h"

static void rows_read(td_slice in)
{
    static struct td_cell cells[TD_STORE_COLUMNS_MAX], again[TD_STORE_COLUMNS_MAX];
    struct td_cursor c = td_cursor_of(in);
    struct td_rows_state state = {0};
    struct td_row row, back;
    struct td_buf out;
    td_buf_init(&out, 1 << 24);
    while (td_rows_next(&c, &state, cells, &row)) {
        struct td_rows_state put = {0}, get = {0};
        td_buf_clear(&out);
        td_assert(td_rows_encode(&out, &put, &row) == TD_OK);
        struct td_cursor twice = td_cursor_of(td_buf_slice(&out));
        td_assert(td_rows_next(&twice, &get, again, &back));
        td_assert(back.stream == row.stream && back.ts == row.ts && back.count == row.count);
        for (size_t i = 0; i < row.count; i++) {
            td_assert(cells[i].column == again[i].column);
            td_assert(td_value_same(cells[i].value, again[i].value));
        }
    }
    td_buf_fini(&out);
}

static void ops_read(td_slice in)
{
    struct td_cursor c = td_cursor_of(in);
    struct td_tail tail;
    for (struct td_op op; td_op_next(&c, &op);) {
    }
    td_tail_init(&tail);
    (void)td_tail_add(&tail, in); /* whatever it says */
    td_tail_fini(&tail);
}

static void definition_read(td_slice in)
{
    struct td_dict dict;
    uint8_t key[4] = {0, 0, 0, in.n > 0 ? in.p[0] : 0};
    td_dict_init(&dict, 1000, 1);
    (void)td_dict_decode(&dict, (td_slice){key, sizeof key}, in); /* good or not */
    td_dict_fini(&dict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    td_slice in = {data, n};
    rows_read(in);
    ops_read(in);
    definition_read(in);
    return 0;
}
