/* The peer over simulated nets: all it publishes with QoS 1 arrives, through one-byte segments,
 * stalls and breaks; it comes back, tries all addresses, and leaves in peace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/peer.h"
#include "sim/net.h"

enum { COUNT = 400, STREAMS = 32 };

/* A server that keeps one session, acknowledges, and remembers which messages it has seen. */
struct server {
    struct sim_machine *machine;
    int listener, stream; /* the last connection is the one that counts */
    struct td_mqtt mqtt;
    struct td_buf in;
    bool session, seen[COUNT];
    size_t connects, disconnects;
    uint8_t refuse; /* reason for all that connect */
};

struct client {
    struct sim_world *world;
    struct server server;
    struct sim_machine *machine;
    struct td_mqtt_client_options options;
    struct td_app_peer peer;
    size_t said, through, connects, refusals, gone;
    bool leaving;
};

static const struct td_mqtt_limits limits = TD_MQTT_LIMITS_DEFAULT;

/* ---- the server ---- */

static void server_say(struct server *s, const uint8_t *bytes, size_t n)
{
    struct td_sys *sys = &s->machine->sys;
    td_slice part = {bytes, n};
    size_t sent = 0;
    enum td_err err = sys->write(sys, s->stream, &part, 1, &sent);
    if (err != TD_OK || sent < n) { /* a net this slow: start anew, the session is kept */
        sys->close(sys, s->stream);
        s->stream = -1;
    }
}

static void server_hear(struct server *s, const struct td_mqtt_packet *p)
{
    uint8_t out[64];
    if (p->type == TD_MQTT_CONNECT) {
        struct td_mqtt_packet ack = {.type = TD_MQTT_CONNACK,
                                     .version = p->version,
                                     .reason = s->refuse,
                                     .session_present = s->session && s->refuse == 0};
        s->connects++;
        s->session = true;
        td_mqtt_accepted(&s->mqtt, p->connect.keep_alive_s, s->mqtt.heard);
        server_say(s, out, (size_t)(td_mqtt_packet_put(out, &ack) - out));
    } else if (p->type == TD_MQTT_PUBLISH) {
        size_t number = (size_t)p->payload.p[0] << 8 | p->payload.p[1];
        s->seen[number] = true;
        server_say(s, out, (size_t)(td_mqtt_ack(&s->mqtt, out, TD_MQTT_PUBACK, p->id, 0) - out));
    } else if (p->type == TD_MQTT_PINGREQ) {
        server_say(s, (const uint8_t *)"\xD0\x00", 2);
    } else if (p->type == TD_MQTT_DISCONNECT) {
        s->disconnects++;
    }
}

static void server_accept(struct server *s, td_mono now)
{
    struct td_sys *sys = &s->machine->sys;
    if (s->stream >= 0) { /* the same client again: the old connection is dead */
        sys->close(sys, s->stream);
    }
    assert_int_equal(TD_OK, sys->accept(sys, s->listener, s, &s->stream));
    td_buf_clear(&s->in);
    td_mqtt_init(&s->mqtt, TD_MQTT_SERVER, &limits, now);
}

static void server_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct server *s = &((struct client *)ctx)->server;
    struct td_sys *sys = &s->machine->sys;
    if (e->stream == s->listener) {
        server_accept(s, now);
        return;
    }
    uint8_t bytes[500];
    size_t got = 0;
    enum td_err err =
        e->stream == s->stream ? sys->read(sys, s->stream, bytes, sizeof bytes, &got) : TD_EAGAIN;
    if (err == TD_EAGAIN) {
        return;
    }
    if (err != TD_OK) {
        sys->close(sys, s->stream);
        s->stream = -1;
        return;
    }
    assert_int_equal(TD_OK, td_buf_add(&s->in, (td_slice){bytes, got}));
    td_slice in = td_buf_slice(&s->in);
    struct td_mqtt_packet p;
    enum td_mqtt_got what = TD_MQTT_GOT_NONE;
    while (s->stream >= 0 && (what = td_mqtt_next(&s->mqtt, &in, now, &p)) == TD_MQTT_GOT_PACKET) {
        server_hear(s, &p);
    }
    assert_int_not_equal(TD_MQTT_GOT_ERROR, what);
    td_buf_drop(&s->in, s->in.n - in.n);
}

static void nothing(void *ctx, td_mono now)
{
    (void)ctx;
    (void)now;
}

static td_mono never(void *ctx)
{
    (void)ctx;
    return TD_NEVER;
}

/* ---- the client ---- */

static void heard(struct td_app_peer *p, const struct td_mqtt_client_event *e, td_mono now)
{
    struct client *c = p->config.ctx;
    (void)now;
    if (e == NULL) {
        c->gone++;
        assert_non_null(p->why);
        return;
    }
    c->connects += e->what == TD_MQTT_EVENT_CONNECTED;
    c->refusals += e->what == TD_MQTT_EVENT_REFUSED;
    c->through += e->what == TD_MQTT_EVENT_PUBLISHED;
}

static void client_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct client *c = ctx;
    td_app_peer_ready(&c->peer, e, now);
}

static void client_turn(void *ctx, td_mono now)
{
    struct client *c = ctx;
    while (c->said < COUNT) {
        uint8_t payload[2 + 40] = {(uint8_t)(c->said >> 8), (uint8_t)c->said};
        struct td_mqtt_client_message m = {
            .topic = TD_STR("t"), .payload = {payload, 2 + c->said % 40}, .qos = 1};
        uint16_t id;
        enum td_err err = td_mqtt_client_publish(&c->peer.client, &m, now, &id);
        if (err != TD_OK) {
            assert_int_equal(TD_EFULL, err);
            break;
        }
        c->said++;
    }
    if (c->through == COUNT && !c->leaving) {
        c->leaving = true;
        td_app_peer_leave(&c->peer, TD_MQTT_REASON_SUCCESS, now);
    }
    td_app_peer_turn(&c->peer, now);
}

static td_mono client_deadline(void *ctx)
{
    return td_app_peer_deadline(&((struct client *)ctx)->peer);
}

static const struct sim_program server_program = {server_event, nothing, never};
static const struct sim_program client_program = {client_event, client_turn, client_deadline};

static void begin(struct client *c, uint64_t seed, td_ms retry_ms, const char *first)
{
    memset(c, 0, sizeof *c);
    c->world = sim_world_new(seed);
    c->server.machine = sim_machine_new(c->world, "server", NULL);
    c->machine = sim_machine_new(c->world, "client", NULL);
    sim_machine_program(c->server.machine, &server_program, c);
    c->server.stream = -1;
    td_buf_init(&c->server.in, 100000);
    struct td_sys *sys = &c->server.machine->sys;
    assert_int_equal(
        TD_OK,
        sys->listen(sys, &(struct td_sys_listen){.address = TD_STR("127.0.0.1:1"), .owner = c},
                    &c->server.listener));
    c->options.version = seed % 2 == 0 ? TD_MQTT_V5 : TD_MQTT_V311;
    c->options.connect = (struct td_mqtt_connect){.client_id = TD_STR("c"), .keep_alive_s = 5};
    struct td_app_peer_config config = {.mqtt = &c->options,
                                        .addresses = {"", "127.0.0.1:1"},
                                        .address_count = 2,
                                        .packet_bytes_max = 300,
                                        .held_bytes = 2000,
                                        .slots = 16,
                                        .retry_ms = retry_ms,
                                        .heard = heard,
                                        .ctx = c};
    memcpy(config.addresses[0], first, strlen(first) + 1);
    td_app_peer_init(&c->peer, &c->machine->sys, &config);
    sim_machine_program(c->machine, &client_program, c);
    sim_machine_wake(c->machine);
}

static void end(struct client *c)
{
    td_app_peer_fini(&c->peer);
    td_buf_fini(&c->server.in);
    sim_machine_free(c->machine);
    sim_machine_free(c->server.machine);
    sim_world_free(c->world);
}

static void all_have_arrived(const struct client *c)
{
    assert_int_equal(COUNT, c->said);
    assert_int_equal(COUNT, c->through);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(c->server.seen[i]);
    }
}

static void all_arrives_and_it_leaves_in_peace(void **state)
{
    (void)state;
    static struct client c;
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin(&c, seed, 100, "127.0.0.1:1");
        struct sim_net_options *o = sim_net_options(c.world);
        o->tiny_ppm = 300000;
        o->window_min = 20;
        (void)sim_run(c.world, 600 * TD_NS_PER_S);
        all_have_arrived(&c);
        assert_true(c.server.disconnects >= 1);
        assert_int_equal(TD_APP_PEER_AWAY, c.peer.state);
        assert_int_equal(TD_NEVER, td_app_peer_deadline(&c.peer));
        end(&c);
    }
}

static void all_arrives_though_the_net_breaks_again_and_again(void **state)
{
    (void)state;
    static struct client c;
    size_t connects = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin(&c, seed, 100, "127.0.0.1:9");
        struct sim_net_options *o = sim_net_options(c.world);
        o->tiny_ppm = 300000;
        o->stall_ppm = 20000;
        o->stall_max = TD_NS_PER_S;
        for (td_mono at = 1; at < 100; at++) {
            (void)sim_run(c.world, at * 10 * TD_NS_PER_MS);
            if (at % 7 == 0) {
                sim_net_break(c.world);
            }
            if (at % 31 == 0) {
                sim_net_partition(c.world, 20 * TD_NS_PER_S); /* longer than a ping waits */
            }
        }
        (void)sim_run(c.world, 3600 * TD_NS_PER_S);
        all_have_arrived(&c);
        connects += c.connects;
        end(&c);
    }
    assert_true(connects > 40); /* it did break */
}

static void without_retries_all_addresses_are_tried_once(void **state)
{
    (void)state;
    static struct client c;
    begin(&c, 1, 0, "127.0.0.1:9");
    (void)sim_run(c.world, 60 * TD_NS_PER_S);
    all_have_arrived(&c);
    end(&c);
    begin(&c, 1, 0, "127.0.0.1:9");
    struct td_sys *sys = &c.server.machine->sys;
    sys->close(sys, c.server.listener);
    (void)sim_run(c.world, 60 * TD_NS_PER_S);
    assert_int_equal(1, c.gone);
    assert_int_equal(0, c.connects);
    assert_int_equal(TD_NEVER, td_app_peer_deadline(&c.peer));
    end(&c);
}

static void a_refusal_is_heard_and_tried_again_later(void **state)
{
    (void)state;
    static struct client c;
    begin(&c, 2, 100, "127.0.0.1:1");
    c.server.refuse = TD_MQTT_REASON_NOT_AUTHORIZED;
    (void)sim_run(c.world, 2 * TD_NS_PER_S);
    assert_in_range(c.refusals, 3, 8); /* pauses double */
    c.server.refuse = 0;
    (void)sim_run(c.world, 600 * TD_NS_PER_S);
    all_have_arrived(&c);
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_arrives_and_it_leaves_in_peace),
        cmocka_unit_test(all_arrives_though_the_net_breaks_again_and_again),
        cmocka_unit_test(without_retries_all_addresses_are_tried_once),
        cmocka_unit_test(a_refusal_is_heard_and_tried_again_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
