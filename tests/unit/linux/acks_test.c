/* linux: when what was read is acknowledged. The descriptor is none: what the kernel is told goes
 * nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "linux/acks.h"

enum { MS = 1000000, NONE = -1 };

static struct td_linux_ack fresh(void)
{
    struct td_linux_ack a;
    td_linux_ack_init(&a, NONE);
    return a;
}

static void one_that_sends_again_unacknowledged_is_frank(void **state)
{
    (void)state;
    struct td_linux_ack a = fresh();
    assert_true(td_linux_ack_read(&a, NONE, 80, 5 * MS));
    assert_int_equal(td_linux_ack_settle(&a, NONE, 5 * MS + 1), 6 * MS);
    assert_false(td_linux_ack_read(&a, NONE, 80, 5 * MS + 300000));
    assert_true(a.frank);
    assert_int_equal(td_linux_ack_settle(&a, NONE, 5 * MS + 300001), TD_NEVER);
    assert_false(td_linux_ack_read(&a, NONE, 80, 60 * MS)); /* never asked for again */
}

static void one_that_waits_gets_it_after_a_millisecond_and_then_with_each_read(void **state)
{
    (void)state;
    struct td_linux_ack a = fresh();
    assert_true(td_linux_ack_read(&a, NONE, 80, 0));
    assert_int_equal(td_linux_ack_settle(&a, NONE, MS), TD_NEVER);
    assert_true(a.quick);
    assert_false(a.frank);
    assert_false(td_linux_ack_read(&a, NONE, 80, 2 * MS)); /* by the kernel; next: a try */
    assert_true(td_linux_ack_read(&a, NONE, 80, 3 * MS));
    assert_int_equal(td_linux_ack_settle(&a, NONE, 3 * MS), 4 * MS);
    assert_int_equal(td_linux_ack_settle(&a, NONE, 4 * MS), TD_NEVER);
    size_t tries = 0;
    for (int i = 0; i < 1000; i++) {
        td_mono now = (10 + 2 * i) * (td_mono)MS;
        bool listed = td_linux_ack_read(&a, NONE, 80, now);
        tries += listed;
        assert_int_equal(td_linux_ack_settle(&a, NONE, now + MS), TD_NEVER);
    }
    assert_in_range(tries, 5, 10); /* rarer and rarer */
    assert_false(a.frank);
}

static void an_answer_carries_it(void **state)
{
    (void)state;
    struct td_linux_ack a = fresh();
    assert_true(td_linux_ack_read(&a, NONE, 80, 0));
    td_linux_ack_written(&a);
    assert_false(a.owed);
    assert_int_equal(td_linux_ack_settle(&a, NONE, 0), TD_NEVER);
    assert_false(a.quick); /* nothing was owed */
    assert_true(td_linux_ack_read(&a, NONE, 80, 0));
    td_linux_ack_written(&a);
    assert_false(td_linux_ack_read(&a, NONE, 80, 10)); /* listed still */
    assert_true(a.owed);
    assert_false(a.frank); /* it had its acknowledgement */
}

static void neither_a_late_nor_a_large_segment_shows_anything(void **state)
{
    (void)state;
    struct td_linux_ack a = fresh();
    assert_true(td_linux_ack_read(&a, NONE, 80, 0));
    assert_false(td_linux_ack_read(&a, NONE, 600, 10));
    assert_false(a.frank);
    assert_false(td_linux_ack_read(&a, NONE, 80, 2 * MS));
    assert_false(a.frank);
}

static void what_is_no_tcp_is_left_alone(void **state)
{
    (void)state;
    struct td_linux_ack a = {0};
    assert_false(td_linux_ack_read(&a, NONE, 80, 0));
    assert_false(a.owed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_sends_again_unacknowledged_is_frank),
        cmocka_unit_test(one_that_waits_gets_it_after_a_millisecond_and_then_with_each_read),
        cmocka_unit_test(an_answer_carries_it),
        cmocka_unit_test(neither_a_late_nor_a_large_segment_shows_anything),
        cmocka_unit_test(what_is_no_tcp_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
