/* linux: streams over real sockets, loopback and unix only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "linux/linux.h"

struct bed {
    struct td_linux *l;
    struct td_sys *sys;
    char dir[32], address[64];
};

static void make(struct bed *b)
{
    assert_int_equal(TD_OK, td_linux_new(&b->l));
    b->sys = td_linux_sys(b->l);
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/td-streams-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    (void)snprintf(b->address, sizeof b->address, "unix:%s/s", b->dir);
}

static void done(struct bed *b)
{
    td_linux_free(b->l);
    (void)unlink(b->address + 5);
    assert_int_equal(0, rmdir(b->dir));
}

static enum td_err listen_there(struct bed *b, unsigned mode, int *out)
{
    return b->sys->listen(
        b->sys,
        &(struct td_sys_listen){.address = td_slice_of(b->address), .owner = b, .mode = mode}, out);
}

static void a_unix_socket_has_its_mode_and_goes_when_it_is_closed(void **state)
{
    (void)state;
    static const unsigned modes[][2] = {{0, 0600}, {0660, 0660}, {0777, 0777}};
    for (size_t i = 0; i < TD_COUNT(modes); i++) {
        struct bed b;
        struct stat is;
        int listener;
        make(&b);
        assert_int_equal(TD_OK, listen_there(&b, modes[i][0], &listener));
        assert_int_equal(0, stat(b.address + 5, &is));
        assert_int_equal(modes[i][1], is.st_mode & 0777);
        b.sys->close(b.sys, listener);
        assert_int_equal(-1, stat(b.address + 5, &is));
        done(&b);
    }
}

static void only_what_a_dead_process_left_is_replaced(void **state)
{
    (void)state;
    struct bed b;
    int one, two;
    make(&b);
    assert_int_equal(TD_OK, listen_there(&b, 0, &one));
    assert_int_equal(TD_EEXIST, listen_there(&b, 0, &two));
    td_linux_free(b.l); /* as a dead process does, it leaves the file */
    assert_int_equal(TD_OK, td_linux_new(&b.l));
    b.sys = td_linux_sys(b.l);
    assert_int_equal(TD_OK, listen_there(&b, 0, &one));
    b.sys->close(b.sys, one);
    FILE *file = fopen(b.address + 5, "w");
    assert_non_null(file);
    assert_int_equal(0, fclose(file));
    assert_int_equal(TD_EEXIST, listen_there(&b, 0, &two));
    done(&b);
}

static void the_kernel_tells_who_connects_to_a_unix_socket(void **state)
{
    (void)state;
    struct bed b;
    int listener, client, server;
    struct td_sys_peer peer;
    char address[64];
    make(&b);
    assert_int_equal(TD_OK, listen_there(&b, 0, &listener));
    assert_int_equal(
        TD_OK, b.sys->connect(
                   b.sys, &(struct td_sys_connect){.address = td_slice_of(b.address), .owner = &b},
                   &client));
    assert_int_equal(TD_OK, b.sys->accept(b.sys, listener, &b, &server));
    b.sys->peer(b.sys, server, &peer);
    assert_true(peer.process && !peer.tls && !peer.certificate);
    assert_int_equal(getuid(), peer.uid);
    assert_int_equal(getgid(), peer.gid);
    assert_int_equal(getpid(), peer.pid);
    b.sys->address(b.sys, server, false, address);
    assert_string_equal(b.address, address);
    b.sys->address(b.sys, server, true, address);
    assert_string_equal("unix", address);
    done(&b);
}

static void nothing_is_known_of_who_comes_by_tcp(void **state)
{
    (void)state;
    struct bed b;
    int listener, client, server;
    struct td_sys_peer peer;
    static const struct td_sys_peer none;
    make(&b);
    assert_int_equal(
        TD_OK,
        b.sys->listen(b.sys, &(struct td_sys_listen){.address = TD_STR("127.0.0.1:0"), .owner = &b},
                      &listener));
    b.sys->address(b.sys, listener, false, b.address);
    assert_int_equal(
        TD_OK, b.sys->connect(
                   b.sys, &(struct td_sys_connect){.address = td_slice_of(b.address), .owner = &b},
                   &client));
    assert_int_equal(TD_OK, b.sys->accept(b.sys, listener, &b, &server));
    memset(&peer, 1, sizeof peer);
    b.sys->peer(b.sys, server, &peer);
    assert_memory_equal(&none, &peer, sizeof peer);
    done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unix_socket_has_its_mode_and_goes_when_it_is_closed),
        cmocka_unit_test(only_what_a_dead_process_left_is_replaced),
        cmocka_unit_test(the_kernel_tells_who_connects_to_a_unix_socket),
        cmocka_unit_test(nothing_is_known_of_who_comes_by_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
