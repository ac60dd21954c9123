/* base: td_map against a slow, obvious model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

enum { KEYS = 512 };

struct item {
    char name[16];
    bool there;
};

static void the_map_agrees_with_an_array_over_a_random_walk(void **state)
{
    (void)state;
    static struct item items[KEYS];
    struct td_map map;
    struct td_rng rng;
    size_t count = 0;
    td_map_init(&map, 7);
    td_rng_init(&rng, 42);
    for (size_t i = 0; i < KEYS; i++) {
        (void)snprintf(items[i].name, sizeof items[i].name, "key/%zu", i);
    }
    for (int step = 0; step < 20000; step++) {
        struct item *it = &items[td_rng_below(&rng, KEYS)];
        td_slice key = td_slice_of(it->name);
        assert_ptr_equal(it->there ? it : NULL, td_map_find(&map, key));
        if (td_rng_below(&rng, 2) == 0) {
            assert_ptr_equal(it->there ? it : NULL, td_map_put(&map, key, it));
            count += !it->there;
            it->there = true;
        } else {
            assert_ptr_equal(it->there ? it : NULL, td_map_remove(&map, key));
            count -= it->there;
            it->there = false;
        }
        assert_int_equal(count, map.count);
    }
    for (size_t i = 0; i < KEYS; i++) {
        assert_ptr_equal(items[i].there ? &items[i] : NULL,
                         td_map_find(&map, td_slice_of(items[i].name)));
    }
    td_map_fini(&map);
}

static void an_empty_map_finds_and_removes_nothing(void **state)
{
    (void)state;
    struct td_map map;
    td_map_init(&map, 0);
    assert_null(td_map_find(&map, TD_STR("a")));
    assert_null(td_map_remove(&map, TD_STR("a")));
    assert_null(td_map_put(&map, TD_STR(""), &map)); /* the empty key is a key */
    assert_ptr_equal(&map, td_map_find(&map, TD_STR("")));
    td_map_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_agrees_with_an_array_over_a_random_walk),
        cmocka_unit_test(an_empty_map_finds_and_removes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
