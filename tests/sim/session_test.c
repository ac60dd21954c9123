/* serve/mqtt over the simulator: what a client was told holds after the power failed at the moment
 * it heard of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/hub.h"
#include "sim/net.h"

#define ADDRESS "127.0.0.1:1883"

enum { CONNACK = 0x20, NOT_PRESENT = 0, PRESENT = 1, NOTHING = -1 };

struct bed {
    struct sim_world *w;
    struct sim_hub *hub;
    struct sim_machine *outside;
    int stream; /* the one client's, -1: none */
    bool through;
    struct td_buf out, in;
};

static void client_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct bed *b = ctx;
    struct td_sys *sys = &b->outside->sys;
    size_t n = 0;
    (void)now;
    td_slice part = td_buf_slice(&b->out);
    if (part.n > 0 && sys->write(sys, e->stream, &part, 1, &n) == TD_OK) {
        td_buf_drop(&b->out, n);
    }
    assert_int_equal(TD_OK, td_buf_reserve(&b->in, 4096));
    if (sys->read(sys, e->stream, b->in.p + b->in.n, 4096, &n) == TD_OK) {
        b->in.n += n;
    }
    sys->watch(sys, e->stream, TD_SYS_READ | (b->out.n > 0 ? (unsigned)TD_SYS_WRITE : 0U));
}

static void client_turn(void *ctx, td_mono now)
{
    (void)ctx;
    (void)now;
}

static td_mono client_deadline(void *ctx)
{
    (void)ctx;
    return TD_NEVER;
}

static const struct sim_program client_program = {client_event, client_turn, client_deadline};

static void bed_make(struct bed *b)
{
    static const struct td_serve_listener listener = {.address = ADDRESS, .kind = TD_SERVE_MQTT};
    struct td_serve_config config;
    td_serve_config_default(&config);
    config.data_dir = "data";
    config.version = "sim";
    config.listeners = (struct td_serve_listeners){&listener, 1};
    config.store.segment_bytes = 65536;
    config.store.segments = 4;
    *b = (struct bed){.w = sim_world_new(1), .stream = -1};
    b->w->wall_offset = INT64_C(1795510800) * TD_NS_PER_S;
    b->hub = sim_hub_new(b->w, &config);
    b->outside = sim_machine_new(b->w, "outside", NULL);
    sim_machine_program(b->outside, &client_program, b);
    td_buf_init(&b->out, 4096);
    td_buf_init(&b->in, 65536);
    assert_true(sim_hub_start(b->hub));
}

static void hang_up(struct bed *b)
{
    if (b->stream >= 0) {
        b->outside->sys.close(&b->outside->sys, b->stream);
        b->stream = -1;
    }
    td_buf_clear(&b->in);
}

static void bed_end(struct bed *b)
{
    hang_up(b);
    sim_hub_free(b->hub);
    sim_machine_free(b->outside);
    td_buf_fini(&b->out);
    td_buf_fini(&b->in);
    sim_world_free(b->w);
}

static void run_ms(struct bed *b, td_ms ms)
{
    (void)sim_run(b->w, td_mono_after(b->w->now, ms));
}

/* MQTT 5.0, client id "c", a session that ends `expiry_s` after its connection. Gives what the
 * CONNACK says the moment it comes. */
static int connect_as_c(struct bed *b, bool clean, uint8_t expiry_s)
{
    const uint8_t packet[] = {0x10, 19,   0, 4, 'M', 'Q',      'T', 'T', 5,  clean ? 2 : 0, 0, 60,
                              5,    0x11, 0, 0, 0,   expiry_s, 0,   1,   'c'};
    struct td_sys *sys = &b->outside->sys;
    assert_int_equal(TD_OK, td_buf_add(&b->out, (td_slice){packet, sizeof packet}));
    assert_int_equal(
        TD_OK, sys->connect(sys, &(struct td_sys_connect){.address = TD_STR(ADDRESS), .owner = b},
                            &b->stream));
    sys->watch(sys, b->stream, TD_SYS_READ | TD_SYS_WRITE);
    for (td_mono until = td_mono_after(b->w->now, 5000); b->w->now < until && b->in.n < 4;) {
        assert_true(sim_step(b->w));
    }
    return b->in.n >= 4 && b->in.p[0] == CONNACK ? b->in.p[2] : NOTHING;
}

/* The record that the old connection left says that the session ends soon. */
static void a_session_that_was_resumed_lives_on_after_a_crash(void **state)
{
    (void)state;
    struct bed b;
    bed_make(&b);
    assert_int_equal(NOT_PRESENT, connect_as_c(&b, true, 6));
    hang_up(&b);
    run_ms(&b, 5000);
    assert_int_equal(PRESENT, connect_as_c(&b, false, 6));
    sim_hub_crash(b.hub, SIM_POWER);
    hang_up(&b);
    run_ms(&b, 3000);
    assert_true(sim_hub_start(b.hub));
    assert_int_equal(PRESENT, connect_as_c(&b, false, 6));
    bed_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_that_was_resumed_lives_on_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
