/* serve/mqtt/delay.c over the simulator, in virtual time: messages that are to be published later
 * wait, survive, come once, and are refused where they must be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/hub.h"
#include "sim/net.h"
#include "store/store.h"
#include "wire/mqtt/mqtt.h"

#define ADDRESS "127.0.0.1:1883"

struct bed {
    struct sim_world *w;
    struct sim_hub *hub;
    struct sim_machine *outside;
};

/* A client that acknowledges all it gets and notes it as text. */
struct peer {
    struct bed *b;
    int stream; /* -1: none */
    struct td_mqtt m;
    struct td_buf in, out, log;
    bool received[65536]; /* QoS 2 ids between PUBLISH and PUBREL */
    uint16_t next_id;
};

static const struct td_mqtt_limits limits = TD_MQTT_LIMITS_DEFAULT;

/* ---- the client ---- */

static void say(struct peer *p, const struct td_mqtt_packet *packet)
{
    size_t n = td_mqtt_packet_size(packet);
    assert_true(n > 0);
    assert_int_equal(TD_OK, td_buf_reserve(&p->out, n));
    (void)td_mqtt_packet_put(p->out.p + p->out.n, packet);
    p->out.n += n;
    p->b->outside->sys.watch(&p->b->outside->sys, p->stream, TD_SYS_READ | TD_SYS_WRITE);
}

static void ack(struct peer *p, uint8_t type, uint16_t id)
{
    say(p, &(struct td_mqtt_packet){.type = type, .version = TD_MQTT_V5, .id = id});
}

static void note(struct peer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct peer *p, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_int_equal(TD_OK, td_buf_add(&p->log, (td_slice){(uint8_t *)text, (size_t)n}));
}

static void hear(struct peer *p, const struct td_mqtt_packet *packet)
{
    if (packet->type == TD_MQTT_PUBLISH) {
        if (packet->qos != 2 || !p->received[packet->id]) {
            note(p, "%.*s=%.*s ", (int)packet->topic.n, (const char *)packet->topic.p,
                 (int)packet->payload.n, (const char *)packet->payload.p);
        }
        if (packet->qos > 0) {
            p->received[packet->id] = packet->qos == 2;
            ack(p, packet->qos == 1 ? TD_MQTT_PUBACK : TD_MQTT_PUBREC, packet->id);
        }
    } else if (packet->type == TD_MQTT_PUBREL) {
        p->received[packet->id] = false;
        ack(p, TD_MQTT_PUBCOMP, packet->id);
    } else if (packet->type == TD_MQTT_PUBREC) {
        note(p, "PUBREC:%02x ", packet->reason);
        if (packet->reason < 0x80) {
            ack(p, TD_MQTT_PUBREL, packet->id);
        }
    } else if (packet->type == TD_MQTT_PUBACK || packet->type == TD_MQTT_CONNACK) {
        note(p, "%s:%02x ", packet->type == TD_MQTT_PUBACK ? "PUBACK" : "CONNACK", packet->reason);
    }
}

static void peer_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct peer *p = e->owner;
    struct td_sys *sys = &p->b->outside->sys;
    size_t n = 0;
    (void)ctx;
    td_slice part = td_buf_slice(&p->out);
    if (part.n > 0 && sys->write(sys, e->stream, &part, 1, &n) == TD_OK) {
        td_buf_drop(&p->out, n);
    }
    assert_int_equal(TD_OK, td_buf_reserve(&p->in, 4096));
    enum td_err err = sys->read(sys, e->stream, p->in.p + p->in.n, 4096, &n);
    if (err == TD_OK) {
        struct td_mqtt_packet packet;
        p->in.n += n;
        td_slice in = td_buf_slice(&p->in);
        while (td_mqtt_next(&p->m, &in, now, &packet) == TD_MQTT_GOT_PACKET) {
            hear(p, &packet);
        }
        td_buf_drop(&p->in, p->in.n - in.n);
    } else if (err != TD_EAGAIN) {
        sys->close(sys, p->stream);
        p->stream = -1;
        return;
    }
    sys->watch(sys, e->stream, TD_SYS_READ | (p->out.n > 0 ? (unsigned)TD_SYS_WRITE : 0U));
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

static const struct sim_program outside_program = {peer_event, no_turn, no_deadline};

static void run_ms(struct bed *b, td_ms ms)
{
    (void)sim_run(b->w, td_mono_after(b->w->now, ms));
}

static struct peer *peer_new(struct bed *b)
{
    struct peer *p = td_alloc(sizeof *p);
    p->b = b;
    p->stream = -1;
    td_buf_init(&p->in, 65536);
    td_buf_init(&p->out, 1 << 20);
    td_buf_init(&p->log, 1 << 20);
    return p;
}

static void hang_up(struct peer *p)
{
    if (p->stream >= 0) {
        p->b->outside->sys.close(&p->b->outside->sys, p->stream);
        p->stream = -1;
    }
    td_buf_clear(&p->in);
    td_buf_clear(&p->out);
}

static void peer_free(struct peer *p)
{
    hang_up(p);
    td_buf_fini(&p->in);
    td_buf_fini(&p->out);
    td_buf_fini(&p->log);
    free(p);
}

static void dial(struct peer *p, const struct td_mqtt_packet *connect)
{
    struct td_sys *sys = &p->b->outside->sys;
    hang_up(p);
    td_mqtt_init(&p->m, TD_MQTT_CLIENT, &limits, p->b->w->now);
    td_mqtt_connecting(&p->m, connect, p->b->w->now);
    const struct td_sys_connect ask = {.address = TD_STR(ADDRESS), .owner = p};
    assert_int_equal(TD_OK, sys->connect(sys, &ask, &p->stream));
    say(p, connect);
    run_ms(p->b, 200);
}

static void come(struct peer *p, const char *id, bool clean)
{
    struct td_mqtt_packet connect = {.type = TD_MQTT_CONNECT, .version = TD_MQTT_V5};
    connect.props.has = TD_MQTT_HAS(SESSION_EXPIRY);
    connect.props.session_expiry_s = 3600;
    connect.connect.client_id = td_slice_of(id);
    connect.connect.clean_start = clean;
    dial(p, &connect);
}

static void subscribe(struct peer *p, const char *filter, uint8_t qos)
{
    uint8_t list[64];
    struct td_mqtt_filter f = {.filter = td_slice_of(filter), .qos = qos};
    size_t n = td_mqtt_filter_size(TD_MQTT_SUBSCRIBE, &f);
    (void)td_mqtt_filter_put(list, TD_MQTT_SUBSCRIBE, TD_MQTT_V5, &f);
    say(p, &(struct td_mqtt_packet){.type = TD_MQTT_SUBSCRIBE,
                                    .version = TD_MQTT_V5,
                                    .id = ++p->next_id,
                                    .list = {list, n},
                                    .list_count = 1});
    run_ms(p->b, 200);
}

/* delay: the user property; NULL: none. */
static void publish(struct peer *p, const char *topic, const char *payload, uint8_t qos,
                    const char *delay)
{
    uint8_t raw[64];
    struct td_mqtt_packet packet = {.type = TD_MQTT_PUBLISH,
                                    .version = TD_MQTT_V5,
                                    .qos = qos,
                                    .topic = td_slice_of(topic),
                                    .payload = td_slice_of(payload)};
    packet.id = qos > 0 ? ++p->next_id : 0;
    if (delay != NULL) {
        packet.props.has = TD_MQTT_HAS(USER_PROPERTY);
        packet.props.raw.n = td_mqtt_user_size(TD_STR("delay"), td_slice_of(delay));
        packet.props.raw.p = raw;
        (void)td_mqtt_user_put(raw, TD_STR("delay"), td_slice_of(delay));
    }
    say(p, &packet);
    run_ms(p->b, 200);
}

/* What p has noted since it was asked last. */
#define ASSERT_HEARD(peer, what)                                                                   \
    do {                                                                                           \
        assert_int_equal(TD_OK, td_buf_add_u8(&(peer)->log, 0));                                   \
        assert_string_equal(what, (const char *)(peer)->log.p);                                    \
        td_buf_clear(&(peer)->log);                                                                \
    } while (0)

/* ---- the bed ---- */

static void bed_make_loops(struct bed *b, uint32_t messages_max, unsigned loops)
{
    static const struct td_serve_listener listener = {.address = ADDRESS, .kind = TD_SERVE_MQTT};
    struct td_serve_config config;
    td_serve_config_default(&config);
    config.data_dir = "data";
    config.version = "sim";
    config.listeners = (struct td_serve_listeners){&listener, 1};
    config.store.segment_bytes = 65536;
    config.store.segments = 4;
    config.mqtt.delayed_messages_max = messages_max;
    *b = (struct bed){.w = sim_world_new(1)};
    b->w->wall_offset = INT64_C(1795510800) * TD_NS_PER_S;
    b->hub = sim_hub_new(b->w, &config);
    sim_hub_loops(b->hub, loops);
    b->outside = sim_machine_new(b->w, "outside", NULL);
    sim_machine_program(b->outside, &outside_program, b);
    assert_true(sim_hub_start(b->hub));
}

static void bed_make(struct bed *b, uint32_t messages_max)
{
    bed_make_loops(b, messages_max, 1);
}

static void bed_end(struct bed *b)
{
    sim_hub_free(b->hub);
    sim_machine_free(b->outside);
    sim_world_free(b->w);
}

/* ---- the tests ---- */

static void a_message_waits_for_its_time(void **state)
{
    (void)state;
    struct bed b;
    bed_make(&b, 10);
    struct peer *p = peer_new(&b);
    come(p, "p", true);
    subscribe(p, "#", 1);
    publish(p, "$delayed/10/a/b", "topic", 1, NULL);
    publish(p, "a/c", "property", 2, "20");
    publish(p, "$delayed/15//d", "none", 0, NULL);
    publish(p, "$delayed/0/a/now", "0", 1, NULL);
    ASSERT_HEARD(p, "CONNACK:00 PUBACK:00 PUBREC:00 a/now=0 PUBACK:00 ");
    run_ms(&b, 8500);
    ASSERT_HEARD(p, "");
    run_ms(&b, 1500);
    ASSERT_HEARD(p, "a/b=topic ");
    run_ms(&b, 5000);
    ASSERT_HEARD(p, "/d=none ");
    run_ms(&b, 5000);
    ASSERT_HEARD(p, "a/c=property ");
    peer_free(p);
    bed_end(&b);
}

static void messages_of_one_moment_keep_their_order(void **state)
{
    (void)state;
    struct bed b;
    bed_make(&b, 100);
    struct peer *p = peer_new(&b);
    come(p, "p", true);
    subscribe(p, "a", 1);
    for (char c = 'a'; c <= 'f'; c++) {
        publish(p, "$delayed/5/a", (char[]){c, 0}, 1, NULL);
    }
    td_buf_clear(&p->log);
    run_ms(&b, 6000);
    ASSERT_HEARD(p, "a=a a=b a=c a=d a=e a=f ");
    peer_free(p);
    bed_end(&b);
}

static void survive(unsigned loops, unsigned loops_later)
{
    struct bed b;
    bed_make_loops(&b, 10, loops);
    struct peer *p = peer_new(&b);
    come(p, "p", true);
    subscribe(p, "a/#", 1);
    publish(p, "$delayed/60/a/1", "later", 1, NULL);
    publish(p, "$delayed/20/a/2", "second", 1, NULL);
    publish(p, "$delayed/10/a/3", "first", 2, NULL);
    ASSERT_HEARD(p, "CONNACK:00 PUBACK:00 PUBACK:00 PUBREC:00 ");
    sim_hub_crash(b.hub, SIM_POWER);
    sim_hub_loops(b.hub, loops_later);
    hang_up(p);
    run_ms(&b, 30000); /* two of them are due while it is down */
    assert_true(sim_hub_start(b.hub));
    run_ms(&b, 1000);
    come(p, "p", false);
    run_ms(&b, 1000);
    ASSERT_HEARD(p, "CONNACK:00 a/3=first a/2=second ");
    sim_hub_crash(b.hub, SIM_POWER); /* what was published is gone for good */
    hang_up(p);
    assert_true(sim_hub_start(b.hub));
    come(p, "p", false);
    run_ms(&b, 20000);
    ASSERT_HEARD(p, "CONNACK:00 ");
    run_ms(&b, 15000);
    ASSERT_HEARD(p, "a/1=later ");
    peer_free(p);
    bed_end(&b);
}

static void what_was_acknowledged_survives_a_power_cut(void **state)
{
    (void)state;
    survive(1, 1);
    survive(1, 3);
    survive(4, 2);
}

/* The row's end and what the publish owes a session are one batch: whenever the power fails, a
 * QoS 2 message comes exactly once. */
static void crash_around_it(unsigned loops)
{
    for (td_ms at = 4780; at < 4840; at++) {
        struct bed b;
        bed_make_loops(&b, 10, loops);
        struct peer *p = peer_new(&b), *q = peer_new(&b);
        come(p, "p", true);
        subscribe(p, "a", 2);
        come(q, "another", true);
        publish(q, "$delayed/5/a", "x", 2, NULL);
        ASSERT_HEARD(q, "CONNACK:00 PUBREC:00 ");
        run_ms(&b, at);
        sim_hub_crash(b.hub, SIM_POWER);
        assert_true(sim_hub_start(b.hub));
        come(p, "p", false);
        run_ms(&b, 5000);
        assert_int_equal(TD_OK, td_buf_add_u8(&p->log, 0));
        const char *first = strstr((const char *)p->log.p, "a=x ");
        if (first == NULL || strstr(first + 1, "a=x ") != NULL) {
            fail_msg("crash after %d ms: %s", (int)at, (const char *)p->log.p);
        }
        peer_free(p);
        peer_free(q);
        bed_end(&b);
    }
}

static void around_its_moment_a_crash_neither_loses_nor_doubles_it(void **state)
{
    (void)state;
    crash_around_it(1);
    crash_around_it(2);
    crash_around_it(3);
}

static void what_cannot_be_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *topic, *delay, *heard;
    } cases[] = {
        {"$delayed/x/a", NULL, "PUBACK:90 "},
        {"$delayed//a", NULL, "PUBACK:90 "},
        {"$delayed/5", NULL, "PUBACK:90 "},
        {"$delayed/5/", NULL, "PUBACK:90 "},
        {"$delayed/", NULL, "PUBACK:90 "},
        {"$delayed/-5/a", NULL, "PUBACK:90 "},
        {"$delayed/31622401/a", NULL, "PUBACK:90 "}, /* a year and a day is the most */
        {"$delayed/99999999999999999999/a", NULL, "PUBACK:90 "},
        {"$delayed/5/$delayed/5/a", NULL, "PUBACK:90 "},
        {"$delayed/5/$SYS/a", NULL, "PUBACK:87 "},
        {"a", "1.5", "PUBACK:83 "},
        {"a", "", "PUBACK:83 "},
        {"a", "soon", "PUBACK:83 "},
        {"a", "31622401", "PUBACK:83 "},
        {"$delayed/31622400/a", NULL, "PUBACK:00 "},
        {"a", "5", "PUBACK:00 "},
        {"a", "5", "PUBACK:97 "}, /* two are the most in this bed */
        {"a", NULL, "PUBACK:10 "},
    };
    struct bed b;
    bed_make(&b, 2);
    struct peer *p = peer_new(&b);
    come(p, "p", true);
    ASSERT_HEARD(p, "CONNACK:00 ");
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        publish(p, cases[i].topic, "x", 1, cases[i].delay);
        ASSERT_HEARD(p, cases[i].heard);
    }
    publish(p, "a", "x", 2, "5");
    ASSERT_HEARD(p, "PUBREC:97 ");
    p->next_id--; /* the id is free again */
    publish(p, "a", "x", 2, NULL);
    ASSERT_HEARD(p, "PUBREC:10 ");
    run_ms(&b, 6000);
    publish(p, "a", "x", 2, "5"); /* one has gone: there is room */
    ASSERT_HEARD(p, "PUBREC:00 ");
    struct td_mqtt_packet will = {.type = TD_MQTT_CONNECT, .version = TD_MQTT_V5};
    will.connect.client_id = TD_STR("w");
    will.connect.has_will = true;
    will.connect.will_topic = TD_STR("$delayed/5/a");
    dial(p, &will);
    ASSERT_HEARD(p, "CONNACK:90 ");
    peer_free(p);
    bed_end(&b);
}

static void switched_off_the_property_means_nothing(void **state)
{
    (void)state;
    struct bed b;
    bed_make(&b, 0);
    struct peer *p = peer_new(&b);
    come(p, "p", true);
    subscribe(p, "a", 0);
    publish(p, "a", "x", 1, "5");
    publish(p, "$delayed/5/a", "x", 1, NULL);
    ASSERT_HEARD(p, "CONNACK:00 a=x PUBACK:00 PUBACK:90 ");
    peer_free(p);
    bed_end(&b);
}

/* ---- rows ---- */

static void store_turn(void *ctx, td_mono now)
{
    td_store_turn(ctx, now);
}

static td_mono store_deadline(void *ctx)
{
    return td_store_deadline(ctx);
}

static void store_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct td_work *work = e->owner;
    (void)ctx;
    (void)now;
    work->done(work);
}

/* What keep.c says of DELAYED: who, when, message (flags: QoS 1; no expiry, at, origin 0). */
static void row_make(struct td_buf *row, td_wall due)
{
    static const td_slice none = {NULL, 0};
    const uint64_t numbers[] = {1, 0, (uint64_t)due, 0};
    enum td_err err = td_buf_add_lump(row, (td_slice){(const uint8_t *)"local\0p", 7});
    err = err == TD_OK ? td_buf_add_varint(row, (uint64_t)due) : err;
    for (size_t i = 0; i < TD_COUNT(numbers) && err == TD_OK; i++) {
        err = td_buf_add_varint(row, numbers[i]);
    }
    err = err == TD_OK ? td_buf_add_lump(row, TD_STR("a")) : err;
    err = err == TD_OK ? td_buf_add_lump(row, none) : err;
    err = err == TD_OK ? td_buf_add_lump(row, TD_STR("kept")) : err;
    assert_int_equal(TD_OK, err);
}

/* Puts the row cut at each byte, and last as it is, into the store of a hub that is down. */
static void rows_put(struct bed *b, td_slice row)
{
    static const struct sim_program program = {store_event, store_turn, store_deadline};
    struct sim_machine *tool = sim_machine_new(b->w, "tool", sim_hub_disk(b->hub));
    struct td_store_config config = {.dir = "data", .segment_bytes = 65536, .segment_count = 4};
    struct td_store *store;
    struct td_buf why;
    td_buf_init(&why, 1000);
    assert_int_equal(TD_OK, td_store_open(&config, &tool->sys, &store, &why));
    sim_machine_program(tool, &program, store);
    for (size_t n = 0; n <= row.n; n++) {
        uint8_t key[8];
        (void)td_put_u64(key, n + 1);
        td_store_put(store, TD_STATE_DELAYED, (td_slice){key, sizeof key}, td_slice_head(row, n));
    }
    uint64_t lsn = td_store_batch_end(store, TD_STORE_NOW);
    td_store_turn(store, b->w->now);
    run_ms(b, 1000);
    assert_true(lsn <= td_store_durable(store));
    sim_machine_crash(tool, true);
    td_store_abandon(store);
    sim_disk_killed(sim_hub_disk(b->hub));
    sim_machine_free(tool);
    td_buf_fini(&why);
}

static void a_row_that_is_cut_is_left_out_and_the_others_count(void **state)
{
    (void)state;
    struct bed b;
    struct td_buf row;
    bed_make(&b, 100);
    struct peer *p = peer_new(&b);
    come(p, "p", true);
    subscribe(p, "a", 1);
    sim_hub_crash(b.hub, SIM_KILLED);
    td_buf_init(&row, 1000);
    row_make(&row, b.w->wall_offset + b.w->now + 20 * TD_NS_PER_S);
    rows_put(&b, td_buf_slice(&row));
    assert_true(sim_hub_start(b.hub));
    come(p, "p", false);
    run_ms(&b, 10000);
    ASSERT_HEARD(p, "CONNACK:00 CONNACK:00 ");
    run_ms(&b, 15000);
    ASSERT_HEARD(p, "a=kept ");
    td_buf_fini(&row);
    peer_free(p);
    bed_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_waits_for_its_time),
        cmocka_unit_test(messages_of_one_moment_keep_their_order),
        cmocka_unit_test(what_was_acknowledged_survives_a_power_cut),
        cmocka_unit_test(around_its_moment_a_crash_neither_loses_nor_doubles_it),
        cmocka_unit_test(what_cannot_be_is_refused_with_a_reason),
        cmocka_unit_test(switched_off_the_property_means_nothing),
        cmocka_unit_test(a_row_that_is_cut_is_left_out_and_the_others_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
