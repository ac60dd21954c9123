/* base: td_buf and td_arena keep their bounds, td_rng its promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

static void a_buffer_never_grows_past_its_maximum_and_keeps_what_it_had(void **state)
{
    (void)state;
    struct td_buf b;
    uint8_t block[60] = {1, 2, 3};
    td_buf_init(&b, 100);
    assert_int_equal(TD_OK, td_buf_add(&b, (td_slice){block, sizeof block}));
    assert_int_equal(TD_EFULL, td_buf_add(&b, (td_slice){block, sizeof block}));
    assert_int_equal(TD_EFULL, td_buf_add_lump(&b, (td_slice){block, 40}));
    assert_int_equal(60, b.n);
    assert_int_equal(TD_OK, td_buf_reserve(&b, 40));
    assert_int_equal(TD_EFULL, td_buf_reserve(&b, SIZE_MAX));
    assert_true(b.cap <= 100);
    assert_memory_equal(block, b.p, sizeof block);
    td_buf_fini(&b);
}

static void a_lump_reads_back_as_it_was_added(void **state)
{
    (void)state;
    struct td_buf b;
    td_buf_init(&b, 4096);
    uint8_t big[300] = {9};
    assert_int_equal(TD_OK, td_buf_add_lump(&b, TD_STR("ab")));
    assert_int_equal(TD_OK, td_buf_add_lump(&b, (td_slice){big, sizeof big}));
    assert_int_equal(TD_OK, td_buf_add_lump(&b, TD_STR("")));
    struct td_cursor c = td_cursor_of(td_buf_slice(&b));
    assert_true(td_slice_eq(TD_STR("ab"), td_cursor_lump(&c)));
    assert_true(td_slice_eq(((td_slice){big, sizeof big}), td_cursor_lump(&c)));
    assert_int_equal(0, td_cursor_lump(&c).n);
    assert_int_equal(TD_OK, c.err);
    (void)td_cursor_lump(&c);
    assert_int_equal(TD_EMORE, c.err);
    td_buf_fini(&b);
}

static void printf_appends_without_its_nul(void **state)
{
    (void)state;
    struct td_buf b;
    td_buf_init(&b, 64);
    assert_int_equal(TD_OK, td_buf_printf(&b, "%s=%d", "a", 1));
    assert_int_equal(TD_OK, td_buf_printf(&b, ";"));
    assert_true(td_slice_eq(TD_STR("a=1;"), td_buf_slice(&b)));
    td_buf_drop(&b, 2);
    assert_true(td_slice_eq(TD_STR("1;"), td_buf_slice(&b)));
    td_buf_fini(&b);
}

static void an_arena_gives_zeroed_aligned_memory_up_to_its_bound(void **state)
{
    (void)state;
    struct td_arena a;
    td_arena_init(&a, 10000);
    for (size_t n = 1; n < 100; n++) {
        uint8_t *p = td_arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal(0, (uintptr_t)p % _Alignof(max_align_t));
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(0, p[i]);
            p[i] = 0xFF;
        }
    }
    assert_null(td_arena_alloc(&a, 10000));
    assert_null(td_arena_alloc(&a, SIZE_MAX));
    td_slice copy = td_arena_copy(&a, TD_STR("name"));
    assert_string_equal("name", (const char *)copy.p);
    td_arena_fini(&a);
}

static void random_numbers_repeat_from_their_seed_and_stay_below_their_bound(void **state)
{
    (void)state;
    struct td_rng a, b;
    td_rng_init(&a, 3);
    td_rng_init(&b, 3);
    size_t seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t v = td_rng_below(&a, TD_COUNT(seen));
        assert_int_equal(v, td_rng_below(&b, TD_COUNT(seen)));
        assert_in_range(v, 0, 6);
        seen[v]++;
        double unit = td_rng_unit(&a);
        assert_true(unit >= 0 && unit < 1);
        (void)td_rng_unit(&b);
    }
    for (size_t i = 0; i < TD_COUNT(seen); i++) {
        assert_in_range(seen[i], 850, 1150);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_never_grows_past_its_maximum_and_keeps_what_it_had),
        cmocka_unit_test(a_lump_reads_back_as_it_was_added),
        cmocka_unit_test(printf_appends_without_its_nul),
        cmocka_unit_test(an_arena_gives_zeroed_aligned_memory_up_to_its_bound),
        cmocka_unit_test(random_numbers_repeat_from_their_seed_and_stay_below_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
