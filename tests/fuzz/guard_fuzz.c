/* Users, grants, patterns. A byte 0xFF of the input parts users from grants; what is read is asked
 * a few questions, whose answers must fit together. */
#include <stdlib.h>

#include "guard/guard.h"

static void ask(struct td_guard *g, td_slice name, td_slice topic)
{
    struct td_principal *p = td_guard_principal(g, name);
    if (p == NULL) {
        return;
    }
    for (unsigned action = 1; action < TD_GUARD_ALL; action <<= 1) {
        bool may = td_guard_may(p, name, action, topic);
        td_assert(!td_guard_may_filter(p, name, action, topic) || may);
        td_assert(!td_guard_may_filter(p, name, action, TD_STR("#")) || may || topic.p[0] == '$');
    }
    td_principal_unref(g, p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    td_slice in = {data, size};
    size_t n = td_slice_find(in, 0xFF);
    struct td_guard_file users = {"users", td_slice_head(in, n)};
    struct td_guard_file grants = {"grants", td_slice_skip(in, n + 1)};
    struct td_guard *g = td_guard_new();
    struct td_buf why;
    td_buf_init(&why, 4096);
    if (td_guard_load(g, &users, &grants, &why) == TD_OK) {
        td_assert(why.n == 0);
        ask(g, TD_STR("a"), TD_STR("things/a/b"));
        ask(g, TD_STR("a"), TD_STR("$SYS/x"));
        ask(g, TD_STR("anonymous"), TD_STR("a"));
    } else {
        td_assert(why.n > 0);
    }
    td_buf_fini(&why);
    td_guard_free(g);
    return 0;
}
