/* What a server says to a client while that publishes, subscribes, loses its connection and comes
 * back. The input is a program: a byte chooses what happens, lengths and bytes follow. */
#include <stdlib.h>

#include "base/base.h"
#include "wire/mqtt/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { OUT = 700, HELD = 512, SLOTS = 8, IDS = 8, ALIASES = 300 };

struct table {
    struct td_mqtt_client c;
    struct td_mqtt_client_options options;
    struct td_mqtt_slot slots[SLOTS];
    uint16_t ids[IDS];
    uint8_t out[OUT];
    _Alignas(16) uint8_t held[HELD];
    _Alignas(16) uint8_t aliases[ALIASES];
    uint8_t in[2048]; /* what the server said and is not yet heard */
    size_t in_n;
    td_mono now;
};

static void sit_down(struct table *t, uint8_t how)
{
    memset(t, 0, sizeof *t);
    t->options.version = (uint8_t)(3 + how % 3);
    t->options.ack_by_hand = (how & 8) != 0;
    t->options.connect =
        (struct td_mqtt_connect){.client_id = TD_STR("c"), .keep_alive_s = how >> 4};
    t->options.props.has = TD_MQTT_HAS(TOPIC_ALIAS_MAXIMUM);
    t->options.props.topic_alias_maximum = 8;
    const struct td_mqtt_client_memory memory = {t->out, OUT,    t->held, HELD,       t->slots,
                                                 SLOTS,  t->ids, IDS,     t->aliases, ALIASES};
    td_mqtt_client_init(&t->c, &t->options, &memory);
}

static void check(const struct td_mqtt_client *c)
{
    td_assert(c->out_at <= c->out_end && c->out_end <= OUT);
    td_assert(c->held_used <= HELD && c->held_head < HELD && c->held_tail < HELD);
    td_assert(c->window.used <= SLOTS && c->ids.used <= IDS / 2);
    td_assert(c->window.unsent <= c->window.used && c->window.quota <= c->window.quota_max);
}

static void hear(struct table *t, struct td_cursor *program)
{
    td_slice said = td_cursor_bytes(program, td_cursor_u8(program));
    if (said.n > sizeof t->in - t->in_n) {
        t->in_n = 0;
        td_mqtt_client_lost(&t->c);
        return;
    }
    td_slice in = {t->in, t->in_n + said.n};
    (void)td_put_bytes(t->in + t->in_n, said);
    struct td_mqtt_client_event e;
    while (td_mqtt_client_next(&t->c, &in, t->now, &e)) {
        td_assert(e.what != TD_MQTT_EVENT_MESSAGE || td_mqtt_topic_valid(e.packet.topic));
        if (e.what == TD_MQTT_EVENT_MESSAGE && t->options.ack_by_hand && e.packet.qos > 0) {
            (void)td_mqtt_client_ack(&t->c, e.packet.qos, e.id, 0, t->now); /* full: never */
        }
    }
    memmove(t->in, in.p, in.n);
    t->in_n = in.n;
}

static void publish(struct table *t, struct td_cursor *program)
{
    uint8_t how = td_cursor_u8(program);
    struct td_mqtt_client_message m = {
        .topic = TD_STR("a/b"),
        .payload = {t->in, how},
        .qos = how % 3,
        .retain = (how & 0x40) != 0,
    };
    uint16_t id = 0;
    (void)td_mqtt_client_publish(&t->c, &m, t->now, &id); /* any answer will do */
}

static void subscribe(struct table *t)
{
    struct td_mqtt_filter f = {.filter = TD_STR("a/#"), .qos = 2};
    uint16_t id;
    (void)td_mqtt_client_subscribe(&t->c, &f, 1, NULL, t->now, &id); /* any answer will do */
    (void)td_mqtt_client_unsubscribe(&t->c, &f.filter, 1, t->now, &id);
}

static void step(struct table *t, struct td_cursor *program)
{
    switch (td_cursor_u8(program) % 8) {
    case 0:
        t->in_n = 0;
        td_assert(td_mqtt_client_connect(&t->c, t->now) == TD_OK);
        break;
    case 1:
        t->in_n = 0;
        td_mqtt_client_lost(&t->c);
        break;
    case 2:
        publish(t, program);
        break;
    case 3:
        subscribe(t);
        break;
    case 4:
        td_mqtt_client_sent(&t->c, td_mqtt_client_take(&t->c).n);
        break;
    case 5:
        t->now += td_cursor_u8(program) * TD_NS_PER_S;
        (void)td_mqtt_client_expire(&t->c, t->now);
        break;
    default:
        hear(t, program);
        break;
    }
    check(&t->c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct table t;
    if (n < 1) {
        return 0;
    }
    sit_down(&t, data[0]);
    struct td_cursor program = td_cursor_of((td_slice){data + 1, n - 1});
    while (program.err == TD_OK && td_cursor_left(&program) > 0) {
        step(&t, &program);
    }
    return 0;
}
