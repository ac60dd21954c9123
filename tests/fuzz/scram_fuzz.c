/* SCRAM-SHA-256: a first and a last message, split at 0xFF, from a client that knows nothing. */
#include <stdlib.h>

#include "guard/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[32] = {1};
    td_slice in = {data, size};
    td_slice first = td_slice_head(in, td_slice_find(in, 0xFF));
    td_slice final = td_slice_skip(in, first.n + 1);
    struct td_guard *g = td_guard_new();
    struct td_guard_scram s;
    struct td_buf out;
    td_guard_scram_init(&s);
    td_buf_init(&out, 4096);
    if (td_guard_scram_first(&s, g, first, TD_STR("nonce"), key, &out) == TD_OK) {
        td_assert(out.n > 0 && td_guard_scram_name(&s).n > 0);
        td_buf_clear(&out);
    }
    td_assert(td_guard_scram_final(&s, g, final, key, &out) != TD_OK && out.n == 0);
    td_buf_fini(&out);
    td_guard_scram_fini(&s);
    td_guard_free(g);
    return 0;
}
