/* The client, against a script: what the server says, what the client answers. */
#include "hex.h"

#include <stdlib.h>

#include "base/base.h"
#include "wire/mqtt/client.h"

struct desk {
    struct td_mqtt_client c;
    struct td_mqtt_client_options options;
    struct td_mqtt_slot slots[8];
    uint16_t ids[8];
    uint8_t out[600], aliases[512];
    _Alignas(8) uint8_t held[512];
    struct td_mqtt_client_event event;
    struct hex said; /* events borrow from it */
};

static void sit_down(struct desk *d, unsigned version)
{
    memset(d, 0, sizeof *d);
    d->options.version = (uint8_t)version;
    d->options.connect = (struct td_mqtt_connect){
        .client_id = TD_STR("c"), .keep_alive_s = 10, .clean_start = false};
    const struct td_mqtt_client_memory memory = {
        d->out, sizeof d->out, d->held, sizeof d->held, d->slots,
        8,      d->ids,        8,       d->aliases,     sizeof d->aliases};
    td_mqtt_client_init(&d->c, &d->options, &memory);
}

/* What the client sends now, all of it. */
static void sends(struct desk *d, const char *bytes)
{
    struct hex h = hex_of(bytes);
    td_slice out = td_mqtt_client_take(&d->c);
    assert_int_equal(h.n, out.n);
    assert_memory_equal(h.bytes, out.p, h.n);
    td_mqtt_client_sent(&d->c, out.n);
}

/* The server says these bytes: one event, or none (-1). */
static int hears(struct desk *d, const char *bytes)
{
    d->said = hex_of(bytes);
    td_slice in = hex_slice(&d->said);
    return td_mqtt_client_next(&d->c, &in, 1, &d->event) ? (int)d->event.what : -1;
}

static void connected(struct desk *d, bool session_present)
{
    assert_int_equal(TD_OK, td_mqtt_client_connect(&d->c, 0));
    td_mqtt_client_sent(&d->c, td_mqtt_client_take(&d->c).n);
    const char *v5 = session_present ? "20 03 01 00 00" : "20 03 00 00 00";
    const char *v3 = session_present ? "20 02 01 00" : "20 02 00 00";
    assert_int_equal(TD_MQTT_EVENT_CONNECTED, hears(d, d->options.version == 5 ? v5 : v3));
}

static enum td_err publish(struct desk *d, unsigned qos, const char *payload, uint16_t *id)
{
    struct td_mqtt_client_message m = {
        .topic = TD_STR("a"), .payload = td_slice_of(payload), .qos = (uint8_t)qos};
    return td_mqtt_client_publish(&d->c, &m, 1, id);
}

static void a_conversation_in_3_1_1(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    sit_down(&d, 4);
    assert_int_equal(TD_EAGAIN, publish(&d, 0, "x", &id));
    assert_int_equal(TD_OK, td_mqtt_client_connect(&d.c, 0));
    sends(&d, "10 0D 0004 'MQTT' 04 00 000A 0001 'c'");
    assert_int_equal(TD_MQTT_EVENT_CONNECTED, hears(&d, "20 02 00 00"));
    struct td_mqtt_filter f = {.filter = TD_STR("a/#"), .qos = 1, .no_local = true};
    assert_int_equal(TD_OK, td_mqtt_client_subscribe(&d.c, &f, 1, NULL, 1, &id));
    sends(&d, "82 08 0001 0003 'a/#' 01");
    assert_int_equal(TD_MQTT_EVENT_SUBSCRIBED, hears(&d, "90 03 0001 01"));
    assert_int_equal(1, d.event.id);
    assert_int_equal(1, d.event.reason);
    assert_int_equal(TD_OK, publish(&d, 0, "x", &id));
    sends(&d, "30 04 0001 'a' 'x'");
    assert_int_equal(TD_OK, publish(&d, 1, "y", &id));
    sends(&d, "32 06 0001 'a' 0002 'y'");
    assert_int_equal(TD_OK, publish(&d, 2, "z", &id));
    sends(&d, "34 06 0001 'a' 0003 'z'");
    assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "40 02 0002"));
    assert_int_equal(2, d.event.id);
    assert_int_equal(-1, hears(&d, "50 02 0003"));
    sends(&d, "62 02 0003");
    assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "70 02 0003"));
    assert_int_equal(0, td_mqtt_client_in_flight(&d.c));
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "31 06 0003 'a/b' 'm'"));
    assert_slice("a/b", d.event.packet.topic);
    assert_slice("m", d.event.packet.payload);
    td_slice filter = TD_STR("a/#");
    assert_int_equal(TD_OK, td_mqtt_client_unsubscribe(&d.c, &filter, 1, 1, &id));
    sends(&d, "A2 07 0004 0003 'a/#'");
    assert_int_equal(TD_MQTT_EVENT_UNSUBSCRIBED, hears(&d, "B0 02 0004"));
    assert_int_equal(TD_OK, td_mqtt_client_disconnect(&d.c, 0, 1));
    sends(&d, "E0 00");
    assert_int_equal(-1, hears(&d, "30 04 0001 'a' 'x'"));
}

static void a_conversation_in_5_0(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    sit_down(&d, 5);
    d.options.connect.has_user = true;
    d.options.connect.user = TD_STR("u");
    d.options.props.has = TD_MQTT_HAS(SESSION_EXPIRY);
    d.options.props.session_expiry_s = 60;
    assert_int_equal(TD_OK, td_mqtt_client_connect(&d.c, 0));
    sends(&d, "10 19 0004 'MQTT' 05 80 000A 08 11 0000003C 21 0004 0001 'c' 0001 'u'");
    /* maximum QoS 1, no retain, maximum packet size 20 */
    assert_int_equal(TD_MQTT_EVENT_CONNECTED, hears(&d, "20 0C 00 00 09 24 01 25 00 27 00000014"));
    assert_int_equal(TD_ERANGE, publish(&d, 2, "x", &id));
    assert_int_equal(TD_ERANGE, publish(&d, 1, "0123456789abcdef", &id));
    struct td_mqtt_client_message m = {.topic = TD_STR("a"), .retain = true};
    assert_int_equal(TD_ERANGE, td_mqtt_client_publish(&d.c, &m, 1, &id));
    m = (struct td_mqtt_client_message){.topic = TD_STR("a+"), .qos = 1};
    assert_int_equal(TD_ERANGE, td_mqtt_client_publish(&d.c, &m, 1, &id));
    m = (struct td_mqtt_client_message){.topic = TD_STR("a"), .qos = 1};
    m.props.has = TD_MQTT_HAS(MESSAGE_EXPIRY);
    m.props.message_expiry_s = 9;
    assert_int_equal(TD_OK, td_mqtt_client_publish(&d.c, &m, 1, &id));
    sends(&d, "32 0B 0001 'a' 0001 05 02 00000009");
    assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "40 03 0001 87"));
    assert_int_equal(TD_MQTT_REASON_NOT_AUTHORIZED, d.event.reason);
    struct td_mqtt_props props = {.has = TD_MQTT_HAS(SUBSCRIPTION_ID), .subscription_id = 7};
    struct td_mqtt_filter f = {.filter = TD_STR("a"), .qos = 2, .retain_handling = 2};
    assert_int_equal(TD_OK, td_mqtt_client_subscribe(&d.c, &f, 1, &props, 1, &id));
    sends(&d, "82 09 0002 02 0B 07 0001 'a' 22");
    assert_int_equal(TD_MQTT_EVENT_SUBSCRIBED, hears(&d, "90 04 0002 00 97"));
    assert_int_equal(TD_MQTT_REASON_QUOTA_EXCEEDED, d.event.reason);
    assert_int_equal(TD_MQTT_EVENT_CLOSED, hears(&d, "E0 01 8B"));
    assert_true(d.event.by_server);
    assert_int_equal(TD_MQTT_REASON_SERVER_SHUTTING_DOWN, d.event.reason);
    sends(&d, "");
    assert_int_equal(TD_NEVER, td_mqtt_client_deadline(&d.c));
}

static void a_refusal_is_told_with_its_reason(void **state)
{
    (void)state;
    struct desk d;
    sit_down(&d, 4);
    assert_int_equal(TD_OK, td_mqtt_client_connect(&d.c, 0));
    assert_int_equal(TD_MQTT_EVENT_REFUSED, hears(&d, "20 02 00 05"));
    assert_int_equal(TD_MQTT_REASON_NOT_AUTHORIZED, d.event.reason);
    assert_int_equal(-1, hears(&d, ""));
}

static void a_qos_2_message_that_comes_twice_is_given_once(void **state)
{
    (void)state;
    struct desk d;
    sit_down(&d, 4);
    connected(&d, false);
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "34 06 0001 'a' 0009 'x'"));
    sends(&d, "50 02 0009");
    assert_int_equal(-1, hears(&d, "3C 06 0001 'a' 0009 'x'"));
    sends(&d, "50 02 0009");
    connected(&d, true); /* the server has kept the session */
    assert_int_equal(-1, hears(&d, "3C 06 0001 'a' 0009 'x'"));
    sends(&d, "50 02 0009");
    assert_int_equal(-1, hears(&d, "62 02 0009"));
    sends(&d, "70 02 0009");
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "34 06 0001 'a' 0009 'x'"));
    connected(&d, false); /* a new one: the id means nothing any more */
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "34 06 0001 'a' 0009 'x'"));
    sends(&d, "50 02 0009");
}

static void a_kept_session_is_sent_again_with_dup_and_a_new_one_without(void **state)
{
    (void)state;
    for (int present = 0; present < 2; present++) {
        struct desk d;
        uint16_t id;
        sit_down(&d, 4);
        assert_int_equal(TD_OK, publish(&d, 1, "before", &id)); /* not connected: kept */
        connected(&d, false);
        assert_int_equal(-1, hears(&d, ""));
        sends(&d, "32 0B 0001 'a' 0001 'before'");
        assert_int_equal(TD_OK, publish(&d, 2, "2", &id));
        assert_int_equal(TD_OK, publish(&d, 2, "3", &id));
        sends(&d, "34 06 0001 'a' 0002 '2' 34 06 0001 'a' 0003 '3'");
        assert_int_equal(-1, hears(&d, "50 02 0002"));
        sends(&d, "62 02 0002");
        td_mqtt_client_lost(&d.c);
        assert_int_equal(TD_OK, publish(&d, 1, "4", &id));
        connected(&d, present != 0);
        if (present != 0) {
            assert_int_equal(-1, hears(&d, ""));
            sends(&d, "3A 0B 0001 'a' 0001 'before' 62 02 0002 3C 06 0001 'a' 0003 '3' "
                      "32 06 0001 'a' 0004 '4'");
            assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "70 02 0002"));
        } else {
            assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "")); /* it had arrived */
            assert_int_equal(2, d.event.id);
            assert_int_equal(-1, hears(&d, ""));
            sends(&d, "32 0B 0001 'a' 0001 'before' 34 06 0001 'a' 0003 '3' "
                      "32 06 0001 'a' 0004 '4'");
        }
        assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "40 02 0001"));
        assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "40 02 0004"));
        assert_int_equal(1, td_mqtt_client_in_flight(&d.c));
    }
}

static void what_the_receive_maximum_holds_back_goes_out_in_order(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    sit_down(&d, 5);
    assert_int_equal(TD_OK, td_mqtt_client_connect(&d.c, 0));
    td_mqtt_client_sent(&d.c, td_mqtt_client_take(&d.c).n);
    assert_int_equal(TD_MQTT_EVENT_CONNECTED, hears(&d, "20 06 00 00 03 21 0001"));
    assert_int_equal(TD_OK, publish(&d, 1, "1", &id));
    assert_int_equal(TD_OK, publish(&d, 1, "2", &id));
    assert_int_equal(TD_OK, publish(&d, 1, "3", &id));
    sends(&d, "32 07 0001 'a' 0001 00 '1'");
    assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "40 02 0001"));
    assert_int_equal(-1, hears(&d, ""));
    sends(&d, "32 07 0001 'a' 0002 00 '2'");
    assert_int_equal(TD_MQTT_EVENT_CLOSED, hears(&d, "40 02 0003")); /* it was never sent */
    assert_int_equal(TD_MQTT_REASON_PROTOCOL_ERROR, d.event.reason);
    assert_non_null(d.event.rule);
    sends(&d, "E0 01 82");
}

static void a_kept_message_too_large_for_the_server_is_given_back(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    sit_down(&d, 5);
    assert_int_equal(TD_OK, publish(&d, 1, "0123456789abcdef", &id));
    assert_int_equal(TD_OK, td_mqtt_client_connect(&d.c, 0));
    td_mqtt_client_sent(&d.c, td_mqtt_client_take(&d.c).n);
    assert_int_equal(TD_MQTT_EVENT_CONNECTED, hears(&d, "20 08 00 00 05 27 00000014"));
    assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, ""));
    assert_int_equal(TD_MQTT_REASON_PACKET_TOO_LARGE, d.event.reason);
    assert_int_equal(0, td_mqtt_client_in_flight(&d.c));
    assert_int_equal(0, d.c.held_used);
}

static void a_silent_client_pings_and_a_silent_server_is_left(void **state)
{
    (void)state;
    struct desk d;
    sit_down(&d, 4);
    connected(&d, false);
    assert_int_equal(10 * TD_NS_PER_S, td_mqtt_client_deadline(&d.c));
    assert_false(td_mqtt_client_expire(&d.c, 10 * TD_NS_PER_S - 1));
    sends(&d, "");
    assert_false(td_mqtt_client_expire(&d.c, 10 * TD_NS_PER_S));
    sends(&d, "C0 00");
    assert_int_equal(-1, hears(&d, "D0 00"));
    assert_false(td_mqtt_client_expire(&d.c, 20 * TD_NS_PER_S));
    sends(&d, "C0 00");
    assert_true(td_mqtt_client_expire(&d.c, 30 * TD_NS_PER_S));
    assert_int_equal(TD_MQTT_EVENT_CLOSED, hears(&d, ""));
    assert_int_equal(TD_MQTT_REASON_KEEP_ALIVE_TIMEOUT, d.event.reason);
    assert_int_equal(-1, hears(&d, ""));
    /* nor does it wait for a CONNACK for ever */
    assert_int_equal(TD_OK, td_mqtt_client_connect(&d.c, 0));
    assert_true(td_mqtt_client_expire(&d.c, td_mqtt_client_deadline(&d.c)));
    assert_int_equal(TD_MQTT_EVENT_CLOSED, hears(&d, ""));
}

static void a_server_that_breaks_the_protocol_is_told_and_left(void **state)
{
    (void)state;
    struct desk d;
    sit_down(&d, 5);
    connected(&d, false);
    assert_int_equal(TD_MQTT_EVENT_CLOSED, hears(&d, "32 06 0001 'a' 0000 00"));
    assert_int_equal(TD_MQTT_REASON_PROTOCOL_ERROR, d.event.reason);
    assert_true(td_slice_starts(td_slice_of(d.event.rule), TD_STR("MQTT-2.2.1-3")));
    sends(&d, "E0 01 82");
}

static void a_full_output_holds_everything_back_until_it_is_taken(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    sit_down(&d, 4);
    connected(&d, false);
    char text[101];
    memset(text, 'x', 100);
    text[100] = '\0';
    size_t count = 0;
    while (publish(&d, 0, text, &id) == TD_OK) {
        count++;
    }
    assert_int_equal(sizeof d.out / 105, count);
    assert_int_equal(TD_EFULL, publish(&d, 0, text, &id));
    assert_int_equal(TD_OK, publish(&d, 1, text, &id)); /* kept, waits */
    struct hex h = hex_of("32 06 0001 'a' 0009 'm'");
    td_slice in = hex_slice(&h);
    assert_false(td_mqtt_client_next(&d.c, &in, 1, &d.event));
    assert_int_equal(h.n, in.n);    /* nothing was consumed */
    td_mqtt_client_sent(&d.c, 300); /* a partial write */
    assert_true(td_mqtt_client_next(&d.c, &in, 1, &d.event));
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, d.event.what);
    td_slice out = td_mqtt_client_take(&d.c);
    assert_int_equal(count * 105 - 300 + 107 + 4, out.n);
    assert_memory_equal("\x40\x02\x00\x09", out.p + out.n - 4, 4);
}

/* Messages of random sizes, acknowledged in random order: the ring neither leaks nor mixes. */
static void kept_messages_survive_any_order_of_acknowledgement(void **state)
{
    (void)state;
    struct desk d;
    struct td_rng rng;
    uint16_t ids[8];
    size_t n = 0;
    char text[200];
    sit_down(&d, 4);
    connected(&d, false);
    td_rng_init(&rng, 11);
    for (int step = 0; step < 20000; step++) {
        size_t size = (size_t)td_rng_below(&rng, 150);
        memset(text, 'a' + step % 26, size);
        text[size] = '\0';
        uint16_t id;
        enum td_err err = td_rng_below(&rng, 2) == 0 ? publish(&d, 1, text, &id) : TD_EFULL;
        if (err == TD_OK) {
            ids[n++] = id;
            td_slice out = td_mqtt_client_take(&d.c);
            assert_memory_equal(text, out.p + out.n - size, size);
            td_mqtt_client_sent(&d.c, out.n);
        } else if (n > 0) {
            size_t at = (size_t)td_rng_below(&rng, n);
            uint8_t ack[] = {0x40, 2, (uint8_t)(ids[at] >> 8), (uint8_t)ids[at]};
            td_slice in = {ack, 4};
            assert_true(td_mqtt_client_next(&d.c, &in, 1, &d.event));
            assert_int_equal(ids[at], d.event.id);
            ids[at] = ids[--n];
        }
        assert_true(d.c.held_used <= sizeof d.held);
        assert_true(n > 0 || d.c.held_used == 0);
    }
}

static void options_and_names_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    static uint8_t big[70000];
    memset(big, 'x', sizeof big);
    sit_down(&d, 4);
    d.options.connect.client_id = (td_slice){big, 599};
    assert_int_equal(TD_ERANGE, td_mqtt_client_connect(&d.c, 0));
    d.options.connect.client_id = TD_STR("c");
    connected(&d, false);
    struct td_mqtt_filter f = {.filter = TD_STR("a/#/b")};
    assert_int_equal(TD_ERANGE, td_mqtt_client_subscribe(&d.c, &f, 1, NULL, 1, &id));
    f.filter = (td_slice){big, 400};
    assert_int_equal(TD_ERANGE, td_mqtt_client_subscribe(&d.c, &f, 1, NULL, 1, &id));
    assert_int_equal(TD_ERANGE, td_mqtt_client_subscribe(&d.c, &f, 0, NULL, 1, &id));
    struct td_mqtt_client_message m = {.topic = {big, 65536}};
    assert_int_equal(TD_ERANGE, td_mqtt_client_publish(&d.c, &m, 1, &id));
    sends(&d, "");
}

static void topic_aliases_of_the_server_are_resolved(void **state)
{
    (void)state;
    struct desk d;
    sit_down(&d, 5);
    d.options.props.has = TD_MQTT_HAS(TOPIC_ALIAS_MAXIMUM);
    d.options.props.topic_alias_maximum = 4;
    const struct td_mqtt_client_memory memory = {
        d.out, sizeof d.out, d.held, sizeof d.held, d.slots,
        8,     d.ids,        8,      d.aliases,     sizeof d.aliases};
    td_mqtt_client_init(&d.c, &d.options, &memory);
    connected(&d, false);
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "30 09 0003 'a/b' 03 23 0002"));
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "30 06 0000 03 23 0002"));
    assert_slice("a/b", d.event.packet.topic);
}

static void acknowledging_by_hand_is_up_to_the_caller(void **state)
{
    (void)state;
    struct desk d;
    sit_down(&d, 5);
    d.options.ack_by_hand = true;
    connected(&d, false);
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "32 07 0001 'a' 0001 00 'x'"));
    assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, "34 07 0001 'a' 0002 00 'x'"));
    sends(&d, "");
    assert_int_equal(TD_OK, td_mqtt_client_ack(&d.c, 2, 2, 0, 1));
    assert_int_equal(TD_OK, td_mqtt_client_ack(&d.c, 1, 1, 0x87, 1));
    sends(&d, "50 02 0002 40 03 0001 87");
}

static void acknowledgements_that_nobody_waits_for_are_answered_or_ignored(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    sit_down(&d, 5);
    connected(&d, false);
    assert_int_equal(-1, hears(&d, "40 02 0007")); /* ignored */
    sends(&d, "");
    assert_int_equal(-1, hears(&d, "50 02 0007")); /* the server must be able to end it */
    sends(&d, "62 03 0007 92");
    assert_int_equal(-1, hears(&d, "50 03 0007 97"));
    sends(&d, "");
    assert_int_equal(-1, hears(&d, "62 02 0007"));
    sends(&d, "70 03 0007 92");
    assert_int_equal(TD_OK, publish(&d, 2, "x", &id));
    sends(&d, "34 07 0001 'a' 0001 00 'x'");
    assert_int_equal(-1, hears(&d, "50 02 0001 50 02 0001")); /* twice */
    sends(&d, "62 02 0001 62 02 0001");
    assert_int_equal(TD_MQTT_EVENT_PUBLISHED, hears(&d, "70 02 0001"));
    assert_int_equal(TD_MQTT_EVENT_CLOSED, hears(&d, "F0 00"));
}

static void more_qos_2_messages_than_announced_end_the_connection(void **state)
{
    (void)state;
    struct desk d;
    sit_down(&d, 4); /* 3.1.1 cannot be told of the bound of four */
    connected(&d, false);
    for (unsigned i = 1; i <= 4; i++) {
        char bytes[] = "34 06 0001 'a' 000. 'x'";
        bytes[18] = (char)('0' + i);
        assert_int_equal(TD_MQTT_EVENT_MESSAGE, hears(&d, bytes));
    }
    assert_int_equal(TD_MQTT_EVENT_CLOSED, hears(&d, "34 06 0001 'a' 0005 'x'"));
    assert_int_equal(TD_MQTT_REASON_QUOTA_EXCEEDED, d.event.reason);
}

static void verbs_are_refused_while_there_is_no_room_or_no_connection(void **state)
{
    (void)state;
    struct desk d;
    uint16_t id;
    struct td_mqtt_filter f = {.filter = TD_STR("a"), .qos = 1};
    td_slice filter = TD_STR("a");
    sit_down(&d, 5);
    assert_int_equal(TD_EAGAIN, td_mqtt_client_subscribe(&d.c, &f, 1, NULL, 1, &id));
    assert_int_equal(TD_EAGAIN, td_mqtt_client_unsubscribe(&d.c, &filter, 1, 1, &id));
    assert_int_equal(TD_EAGAIN, td_mqtt_client_ack(&d.c, 1, 1, 0, 1));
    assert_int_equal(TD_EAGAIN, td_mqtt_client_disconnect(&d.c, 0, 1));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(TD_OK, publish(&d, 1, "x", &id));
    }
    assert_int_equal(TD_EFULL, publish(&d, 1, "x", &id)); /* all ids are in use */
    connected(&d, false);
    assert_int_equal(TD_EFULL, td_mqtt_client_subscribe(&d.c, &f, 1, NULL, 1, &id));
    filter = TD_STR("a/#/b");
    assert_int_equal(TD_ERANGE, td_mqtt_client_unsubscribe(&d.c, &filter, 1, 1, &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation_in_3_1_1),
        cmocka_unit_test(a_conversation_in_5_0),
        cmocka_unit_test(a_refusal_is_told_with_its_reason),
        cmocka_unit_test(a_qos_2_message_that_comes_twice_is_given_once),
        cmocka_unit_test(a_kept_session_is_sent_again_with_dup_and_a_new_one_without),
        cmocka_unit_test(what_the_receive_maximum_holds_back_goes_out_in_order),
        cmocka_unit_test(a_kept_message_too_large_for_the_server_is_given_back),
        cmocka_unit_test(a_silent_client_pings_and_a_silent_server_is_left),
        cmocka_unit_test(a_server_that_breaks_the_protocol_is_told_and_left),
        cmocka_unit_test(a_full_output_holds_everything_back_until_it_is_taken),
        cmocka_unit_test(kept_messages_survive_any_order_of_acknowledgement),
        cmocka_unit_test(options_and_names_that_do_not_fit_are_refused),
        cmocka_unit_test(topic_aliases_of_the_server_are_resolved),
        cmocka_unit_test(acknowledging_by_hand_is_up_to_the_caller),
        cmocka_unit_test(acknowledgements_that_nobody_waits_for_are_answered_or_ignored),
        cmocka_unit_test(more_qos_2_messages_than_announced_end_the_connection),
        cmocka_unit_test(verbs_are_refused_while_there_is_no_room_or_no_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
