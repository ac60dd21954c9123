/* base: the ring between two threads: what is seen when, full, and in order. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/ring.h"

static void what_was_put_is_seen_when_it_is_published(void **state)
{
    (void)state;
    struct td_ring r;
    int a, b;
    td_ring_init(&r, 4);
    assert_true(td_ring_empty(&r));
    assert_false(td_ring_publish(&r));
    assert_true(td_ring_put(&r, &a));
    assert_true(td_ring_put(&r, &b));
    assert_null(td_ring_take(&r));
    assert_true(td_ring_empty(&r));
    assert_true(td_ring_publish(&r));
    assert_false(td_ring_publish(&r));
    assert_false(td_ring_empty(&r));
    assert_ptr_equal(&a, td_ring_take(&r));
    assert_ptr_equal(&b, td_ring_take(&r));
    assert_null(td_ring_take(&r));
    td_ring_fini(&r);
}

static void a_full_ring_says_so_until_the_consumer_is_done(void **state)
{
    (void)state;
    struct td_ring r;
    int x[4], more;
    td_ring_init(&r, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(td_ring_put(&r, &x[i]));
    }
    assert_false(td_ring_put(&r, &more));
    (void)td_ring_publish(&r);
    assert_ptr_equal(&x[0], td_ring_take(&r));
    assert_ptr_equal(&x[1], td_ring_take(&r));
    assert_false(td_ring_put(&r, &more)); /* taken, but it may still be looked at */
    td_ring_done(&r);
    assert_true(td_ring_put(&r, &more));
    assert_true(td_ring_put(&r, &more));
    assert_false(td_ring_put(&r, &more));
    td_ring_fini(&r);
}

static void indices_go_on_beyond_their_type(void **state)
{
    (void)state;
    struct td_ring r;
    int x;
    td_ring_init(&r, 2);
    r.put = r.freed_seen = r.taken = r.published_seen = UINT32_MAX;
    atomic_store(&r.published, UINT32_MAX);
    atomic_store(&r.freed, UINT32_MAX);
    for (int i = 0; i < 5; i++) {
        assert_true(td_ring_put(&r, &x));
        assert_true(td_ring_put(&r, &x));
        assert_false(td_ring_put(&r, &x));
        assert_true(td_ring_publish(&r));
        assert_ptr_equal(&x, td_ring_take(&r));
        assert_ptr_equal(&x, td_ring_take(&r));
        assert_null(td_ring_take(&r));
        td_ring_done(&r);
    }
    td_ring_fini(&r);
}

enum { COUNT = 200000 };

static void *produce(void *arg)
{
    struct td_ring *r = arg;
    for (size_t i = 0; i < COUNT; i++) {
        size_t *p = td_alloc(sizeof *p);
        *p = i;
        while (!td_ring_put(r, p)) {
            (void)td_ring_publish(r);
            (void)sched_yield();
        }
        if (i % 7 == 0) {
            (void)td_ring_publish(r);
        }
    }
    (void)td_ring_publish(r);
    return NULL;
}

/* Under ThreadSanitizer this also shows that the indices alone order the bytes. */
static void two_threads_pass_all_on_in_order(void **state)
{
    (void)state;
    struct td_ring r;
    pthread_t thread;
    td_ring_init(&r, 64);
    assert_int_equal(0, pthread_create(&thread, NULL, produce, &r));
    for (size_t i = 0; i < COUNT;) {
        size_t *p = td_ring_take(&r);
        if (p == NULL) {
            td_ring_done(&r);
            (void)sched_yield();
            continue;
        }
        assert_int_equal(i, *p);
        free(p);
        i++;
        if (i % 5 == 0) {
            td_ring_done(&r);
        }
    }
    assert_int_equal(0, pthread_join(thread, NULL));
    assert_true(td_ring_empty(&r));
    td_ring_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_seen_when_it_is_published),
        cmocka_unit_test(a_full_ring_says_so_until_the_consumer_is_done),
        cmocka_unit_test(indices_go_on_beyond_their_type),
        cmocka_unit_test(two_threads_pass_all_on_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
