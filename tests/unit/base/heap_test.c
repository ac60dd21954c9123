/* base: td_heap gives deadlines in order whatever is set, moved and removed meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

enum { TIMERS = 300 };

static void the_first_is_always_the_least_of_a_random_walk(void **state)
{
    (void)state;
    static struct td_timer timers[TIMERS];
    static td_mono model[TIMERS];
    struct td_heap heap;
    struct td_rng rng;
    td_heap_init(&heap);
    td_rng_init(&rng, 1);
    for (size_t i = 0; i < TIMERS; i++) {
        model[i] = TD_NEVER;
    }
    for (int step = 0; step < 20000; step++) {
        size_t i = (size_t)td_rng_below(&rng, TIMERS);
        model[i] = td_rng_below(&rng, 4) == 0 ? TD_NEVER : (td_mono)td_rng_below(&rng, 1000);
        td_heap_set(&heap, &timers[i], model[i]);
        td_mono least = TD_NEVER;
        for (size_t k = 0; k < TIMERS; k++) {
            least = td_mono_min(least, model[k]);
        }
        const struct td_timer *first = td_heap_first(&heap);
        assert_true((first == NULL ? TD_NEVER : first->at) == least);
    }
    td_heap_fini(&heap);
}

static void equal_deadlines_come_in_the_order_they_were_set(void **state)
{
    (void)state;
    struct td_timer t[40] = {{0}};
    struct td_heap heap;
    td_heap_init(&heap);
    for (size_t i = 0; i < TD_COUNT(t); i++) {
        td_heap_set(&heap, &t[i], 5);
    }
    for (size_t i = 0; i < TD_COUNT(t); i++) {
        assert_ptr_equal(&t[i], td_heap_first(&heap));
        td_heap_set(&heap, &t[i], TD_NEVER);
        assert_int_equal(0, t[i].place);
    }
    assert_null(td_heap_first(&heap));
    td_heap_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_always_the_least_of_a_random_walk),
        cmocka_unit_test(equal_deadlines_come_in_the_order_they_were_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
