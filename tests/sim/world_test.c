/* sim: streams deliver bytes whole and in order under every net that is not broken, ends and
 * resets are told, works run in their lane's order, and one seed is one run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/disk.h"
#include "sim/net.h"

enum { MESSAGE = 20000 };

/* A server that sends back what it reads, and a client that checks it. */
struct echo {
    struct sim_world *w;
    struct sim_machine *server, *client;
    int listener, at_server, at_client;
    uint8_t waiting[MESSAGE]; /* at the server, to be sent back */
    size_t wait_n, sent, received;
    bool server_ended, client_ended, wrong;
};

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static void server_write(struct echo *e)
{
    struct td_sys *sys = &e->server->sys;
    size_t sent = 0;
    td_slice parts[2] = {{e->waiting, e->wait_n / 2},
                         {e->waiting + e->wait_n / 2, e->wait_n - e->wait_n / 2}};
    if (e->wait_n > 0 && sys->write(sys, e->at_server, parts, 2, &sent) == TD_OK) {
        memmove(e->waiting, e->waiting + sent, e->wait_n - sent);
        e->wait_n -= sent;
    }
    sys->watch(sys, e->at_server, e->wait_n > 0 ? TD_SYS_READ | TD_SYS_WRITE : TD_SYS_READ);
}

static void server_event(void *ctx, const struct td_sys_event *ev, td_mono now)
{
    struct echo *e = ctx;
    struct td_sys *sys = &e->server->sys;
    (void)now;
    if (ev->stream == e->listener) {
        assert_int_equal(TD_OK, sys->accept(sys, e->listener, e, &e->at_server));
        return;
    }
    size_t got;
    enum td_err err = sys->read(sys, ev->stream, e->waiting + e->wait_n, MESSAGE - e->wait_n, &got);
    if (err == TD_OK) {
        e->wait_n += got;
    }
    server_write(e);
    if (err == TD_ECLOSED && (e->wait_n == 0 || (ev->ready & TD_SYS_HANGUP) != 0)) {
        e->server_ended = true;
        sys->close(sys, ev->stream);
    }
}

static void client_event(void *ctx, const struct td_sys_event *ev, td_mono now)
{
    struct echo *e = ctx;
    struct td_sys *sys = &e->client->sys;
    uint8_t bytes[700];
    size_t got;
    (void)now;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = byte_at(e->sent + i);
    }
    size_t left = MESSAGE - e->sent, sent = 0;
    td_slice part = {bytes, left < sizeof bytes ? left : sizeof bytes};
    if ((ev->ready & TD_SYS_WRITE) != 0 && left > 0 &&
        sys->write(sys, ev->stream, &part, 1, &sent) == TD_OK) {
        e->sent += sent;
        if (e->sent == MESSAGE) {
            sys->shutdown(sys, ev->stream);
            sys->watch(sys, ev->stream, TD_SYS_READ);
        }
    }
    enum td_err err = sys->read(sys, ev->stream, bytes, sizeof bytes, &got);
    for (size_t i = 0; err == TD_OK && i < got; i++) {
        e->wrong |= bytes[i] != byte_at(e->received++);
    }
    if (err == TD_ECLOSED) {
        e->client_ended = true;
        sys->close(sys, ev->stream);
    }
}

static void no_turn(void *ctx, td_mono now)
{
    (void)ctx;
    (void)now;
}

static td_mono no_deadline(void *ctx)
{
    (void)ctx;
    return TD_NEVER;
}

static const struct sim_program server_program = {server_event, no_turn, no_deadline};
static const struct sim_program client_program = {client_event, no_turn, no_deadline};

static void echo_begin(struct echo *e, uint64_t seed)
{
    memset(e, 0, sizeof *e);
    e->w = sim_world_new(seed);
    struct sim_net_options *o = sim_net_options(e->w);
    o->window_min = 10;
    o->tiny_ppm = 300000;
    o->stall_ppm = 10000;
    o->stall_max = TD_NS_PER_S;
    e->server = sim_machine_new(e->w, "server", NULL);
    e->client = sim_machine_new(e->w, "client", NULL);
    sim_machine_program(e->server, &server_program, e);
    sim_machine_program(e->client, &client_program, e);
    struct td_sys *s = &e->server->sys, *c = &e->client->sys;
    assert_int_equal(
        TD_OK, s->listen(s, &(struct td_sys_listen){.address = TD_STR("127.0.0.1:1"), .owner = e},
                         &e->listener));
    assert_int_equal(
        TD_EEXIST,
        s->listen(s, &(struct td_sys_listen){.address = TD_STR("127.0.0.1:1"), .owner = e},
                  &e->listener));
    assert_int_equal(
        TD_OK, c->connect(c, &(struct td_sys_connect){.address = TD_STR("127.0.0.1:1"), .owner = e},
                          &e->at_client));
}

static void echo_end(struct echo *e)
{
    sim_machine_free(e->server);
    sim_machine_free(e->client);
    sim_world_free(e->w);
}

static void bytes_come_back_whole_and_in_order_and_the_end_behind_them(void **state)
{
    (void)state;
    static struct echo e;
    for (uint64_t seed = 0; seed < 30; seed++) {
        echo_begin(&e, seed);
        for (int i = 1; i <= 20; i++) {
            (void)sim_run(e.w, i * 20 * TD_NS_PER_MS);
            sim_net_partition(e.w, TD_NS_PER_S * (i % 3));
        }
        (void)sim_run(e.w, 3600 * TD_NS_PER_S);
        assert_false(e.wrong);
        assert_int_equal(MESSAGE, e.received);
        assert_true(e.server_ended && e.client_ended);
        assert_int_equal(0, sim_net_stream_count(e.w));
        echo_end(&e);
    }
}

static void a_break_ends_both_sides(void **state)
{
    (void)state;
    static struct echo e;
    for (uint64_t seed = 0; seed < 30; seed++) {
        echo_begin(&e, seed);
        (void)sim_run(e.w, 10 * TD_NS_PER_MS);
        sim_net_break(e.w);
        (void)sim_run(e.w, 3600 * TD_NS_PER_S);
        assert_false(e.wrong);
        assert_true(e.server_ended && e.client_ended);
        assert_int_equal(0, sim_net_stream_count(e.w));
        echo_end(&e);
    }
}

static void peers_of_a_dead_machine_learn_of_it(void **state)
{
    (void)state;
    static struct echo e;
    for (uint64_t seed = 0; seed < 30; seed++) {
        echo_begin(&e, seed);
        (void)sim_run(e.w, 10 * TD_NS_PER_MS);
        sim_machine_crash(e.server, seed % 2 == 0);
        (void)sim_run(e.w, 3600 * TD_NS_PER_S);
        assert_true(e.client_ended);
        echo_end(&e);
    }
}

static void nobody_listening_is_a_hangup(void **state)
{
    (void)state;
    static struct echo e;
    echo_begin(&e, 1);
    sim_machine_crash(e.server, true);
    (void)sim_run(e.w, TD_NS_PER_S);
    assert_true(e.client_ended);
    echo_end(&e);
}

static uint64_t trace_of(uint64_t seed)
{
    static struct echo e;
    echo_begin(&e, seed);
    (void)sim_run(e.w, 3600 * TD_NS_PER_S);
    uint64_t trace = e.w->trace;
    echo_end(&e);
    return trace;
}

static void one_seed_is_one_run(void **state)
{
    (void)state;
    void *shift = malloc(12345); /* other addresses for the second run */
    uint64_t first = trace_of(7);
    free(shift);
    assert_true(first == trace_of(7));
    assert_true(first != trace_of(8));
}

/* ---- works ---- */

struct numbered {
    struct td_work work; /* first */
    int *log;
    size_t *log_n;
    int number;
};

static void numbered_run(struct td_work *w)
{
    struct numbered *n = TD_CONTAINER(w, struct numbered, work);
    n->log[(*n->log_n)++] = n->number;
}

static void numbered_done(struct td_work *w)
{
    struct numbered *n = TD_CONTAINER(w, struct numbered, work);
    n->log[(*n->log_n)++] = -n->number;
}

static void works_of_a_lane_run_in_order_and_end_after_they_ran(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_world *w = sim_world_new(seed);
        struct sim_machine *m = sim_machine_new(w, "m", NULL);
        struct numbered works[6];
        int log[12];
        size_t log_n = 0, at[13] = {0};
        for (int i = 0; i < 6; i++) {
            works[i] = (struct numbered){{.run = numbered_run,
                                          .done = numbered_done,
                                          .lane = i % 2 == 0 ? TD_LANE_COMMIT : TD_LANE_CHUNK},
                                         log,
                                         &log_n,
                                         i + 1};
            m->sys.work(&m->sys, &works[i].work);
        }
        assert_int_equal(0, log_n);
        (void)sim_run(w, TD_NS_PER_S);
        assert_int_equal(12, log_n);
        for (size_t i = 0; i < 12; i++) {
            at[log[i] + 6] = i;
        }
        for (size_t n = 1; n <= 6; n++) {
            assert_true(at[6 + n] < at[6 - n]);               /* ran, then ended */
            assert_true(n <= 2 || at[6 + n - 2] < at[6 + n]); /* after its elder */
        }
        sim_machine_free(m);
        sim_world_free(w);
    }
}

static void works_of_a_crashed_machine_never_run(void **state)
{
    (void)state;
    struct sim_world *w = sim_world_new(1);
    struct sim_machine *m = sim_machine_new(w, "m", NULL);
    int log[2];
    size_t log_n = 0;
    struct numbered n = {{.run = numbered_run, .done = numbered_done}, log, &log_n, 1};
    m->sys.work(&m->sys, &n.work);
    sim_machine_crash(m, false);
    assert_false(sim_run(w, TD_NS_PER_S));
    assert_int_equal(0, log_n);
    sim_machine_free(m);
    sim_world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back_whole_and_in_order_and_the_end_behind_them),
        cmocka_unit_test(a_break_ends_both_sides),
        cmocka_unit_test(peers_of_a_dead_machine_learn_of_it),
        cmocka_unit_test(nobody_listening_is_a_hangup),
        cmocka_unit_test(one_seed_is_one_run),
        cmocka_unit_test(works_of_a_lane_run_in_order_and_end_after_they_ran),
        cmocka_unit_test(works_of_a_crashed_machine_never_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
