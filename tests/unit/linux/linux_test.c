/* linux: streams over real sockets of the loopback. Events come once, when something comes; what
 * is then left unread must be told again all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "linux/linux.h"

enum { PAIRS = 40, WAIT_MS = 2000 };

/* Two ends of one connection, both of the same loop. */
struct pair {
    struct td_linux *l;
    struct td_sys *sys;
    int listener, near, far;
    char owners[3]; /* whose events: the listener's, near's, far's */
};

static bool wait_event(struct pair *p, const void *owner, unsigned ready)
{
    td_mono end = td_mono_after(p->sys->mono(p->sys), WAIT_MS);
    while (p->sys->mono(p->sys) < end) {
        struct td_sys_event e;
        bool found = false;
        td_linux_wait(p->l, end);
        while (td_linux_next(p->l, &e)) {
            found = found || (e.owner == owner && (e.ready & ready) != 0);
        }
        if (found) {
            return true;
        }
    }
    return false;
}

/* Nothing of it for 20 ms. */
static bool quiet(struct pair *p, const void *owner)
{
    td_mono end = td_mono_after(p->sys->mono(p->sys), 20);
    while (p->sys->mono(p->sys) < end) {
        struct td_sys_event e;
        td_linux_wait(p->l, end);
        while (td_linux_next(p->l, &e)) {
            if (e.owner == owner) {
                return false;
            }
        }
    }
    return true;
}

static void connect_one(struct pair *p)
{
    char address[64];
    p->sys->address(p->sys, p->listener, false, address);
    assert_int_equal(p->sys->connect(p->sys,
                                     &(struct td_sys_connect){.address = td_slice_of(address),
                                                              .owner = &p->owners[1]},
                                     &p->near),
                     TD_OK);
    assert_true(wait_event(p, &p->owners[0], TD_SYS_READ));
    assert_int_equal(p->sys->accept(p->sys, p->listener, &p->owners[2], &p->far), TD_OK);
}

static int pair_open(void **state)
{
    static struct pair p;
    assert_int_equal(td_linux_new(&p.l), TD_OK);
    p.sys = td_linux_sys(p.l);
    struct td_sys_listen ask = {.address = TD_STR("127.0.0.1:0"), .owner = &p.owners[0]};
    assert_int_equal(p.sys->listen(p.sys, &ask, &p.listener), TD_OK);
    connect_one(&p);
    *state = &p;
    return 0;
}

static int pair_close(void **state)
{
    struct pair *p = *state;
    td_linux_free(p->l);
    return 0;
}

static void say(struct pair *p, const char *text)
{
    td_slice part = td_slice_of(text);
    size_t sent = 0;
    assert_int_equal(p->sys->write(p->sys, p->near, &part, 1, &sent), TD_OK);
    assert_int_equal(sent, part.n);
}

static void hear(struct pair *p, const char *text)
{
    uint8_t got[64];
    size_t n = 0;
    assert_int_equal(p->sys->read(p->sys, p->far, got, strlen(text), &n), TD_OK);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

static void what_is_read_in_part_is_told_again(void **state)
{
    struct pair *p = *state;
    say(p, "one two three");
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    hear(p, "one ");
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    hear(p, "two ");
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    uint8_t rest[64];
    size_t n;
    assert_int_equal(p->sys->read(p->sys, p->far, rest, sizeof rest, &n), TD_OK);
    assert_true(quiet(p, &p->owners[2]));
}

static void what_is_not_read_is_told_again(void **state)
{
    struct pair *p = *state;
    say(p, "here");
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    hear(p, "here"); /* to the byte: whether there is more, only the next read can say */
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    uint8_t byte;
    size_t n;
    assert_int_equal(p->sys->read(p->sys, p->far, &byte, 1, &n), TD_EAGAIN);
    assert_true(quiet(p, &p->owners[2]));
}

static void who_does_not_watch_hears_nothing_until_he_does(void **state)
{
    struct pair *p = *state;
    p->sys->watch(p->sys, p->far, 0);
    say(p, "later");
    assert_true(quiet(p, &p->owners[2]));
    p->sys->watch(p->sys, p->far, TD_SYS_READ);
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    p->sys->watch(p->sys, p->far, 0); /* though it was told of and not read */
    assert_true(quiet(p, &p->owners[2]));
    p->sys->watch(p->sys, p->far, TD_SYS_READ);
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    hear(p, "later");
}

static void the_end_behind_bytes_is_told(void **state)
{
    struct pair *p = *state;
    say(p, "last");
    p->sys->shutdown(p->sys, p->near);
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    uint8_t rest[64];
    size_t n;
    assert_int_equal(p->sys->read(p->sys, p->far, rest, sizeof rest, &n), TD_OK);
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    assert_int_equal(p->sys->read(p->sys, p->far, rest, sizeof rest, &n), TD_ECLOSED);
}

static void a_closed_stream_is_never_told_of(void **state)
{
    struct pair *p = *state;
    say(p, "gone");
    assert_true(wait_event(p, &p->owners[2], TD_SYS_READ));
    p->sys->close(p->sys, p->far); /* unread */
    assert_true(quiet(p, &p->owners[2]));
}

/* ---- many writes ---- */

static void many_streams_are_written_to_by_one_call(void **state)
{
    struct pair *p = *state;
    int near[PAIRS], far[PAIRS];
    struct td_sys_write writes[PAIRS] = {0};
    char texts[PAIRS][8];
    for (size_t i = 0; i < PAIRS; i++) {
        connect_one(p);
        near[i] = p->near;
        far[i] = p->far;
        memset(texts[i], (int)('A' + i), sizeof texts[i]);
        writes[i] = (struct td_sys_write){
            .stream = near[i], .bytes = {(const uint8_t *)texts[i], 1 + i % 8}, .err = TD_EIO};
    }
    p->sys->shutdown(p->sys, near[7]); /* this one cannot be written to */
    p->sys->write_many(p->sys, writes, PAIRS);
    for (size_t i = 0; i < PAIRS; i++) {
        uint8_t got[16];
        size_t n = 0;
        assert_int_equal(writes[i].err, i == 7 ? TD_ECLOSED : TD_OK);
        assert_int_equal(writes[i].sent, i == 7 ? 0 : 1 + i % 8);
        if (i != 7) {
            assert_int_equal(p->sys->read(p->sys, far[i], got, sizeof got, &n), TD_OK);
            assert_int_equal(n, writes[i].sent);
            assert_memory_equal(got, texts[i], n);
        }
    }
}

static void a_full_socket_takes_a_part_then_nothing(void **state)
{
    struct pair *p = *state;
    enum { LARGE = 32 << 20 };
    uint8_t *bytes = calloc(1, LARGE);
    struct td_sys_write writes[8];
    assert_non_null(bytes);
    for (size_t i = 0; i < 8; i++) { /* enough of them for one call to be worth it */
        connect_one(p);
        writes[i] = (struct td_sys_write){.stream = p->near, .bytes = {bytes, LARGE}};
    }
    p->sys->write_many(p->sys, writes, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(writes[i].err, TD_OK);
        assert_in_range(writes[i].sent, 1, LARGE - 1);
    }
    td_mono end = td_mono_after(p->sys->mono(p->sys), WAIT_MS);
    do { /* what was under way on the loopback may still make room */
        p->sys->write_many(p->sys, writes, 8);
    } while (writes[0].err == TD_OK && p->sys->mono(p->sys) < end);
    assert_int_equal(writes[0].err, TD_EAGAIN);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_read_in_part_is_told_again, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(what_is_not_read_is_told_again, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(who_does_not_watch_hears_nothing_until_he_does, pair_open,
                                        pair_close),
        cmocka_unit_test_setup_teardown(the_end_behind_bytes_is_told, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(a_closed_stream_is_never_told_of, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(many_streams_are_written_to_by_one_call, pair_open,
                                        pair_close),
        cmocka_unit_test_setup_teardown(a_full_socket_takes_a_part_then_nothing, pair_open,
                                        pair_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
