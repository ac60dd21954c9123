/* Packet ids of a session, against a slow and obvious model. */
#include "hex.h"

#include <stdlib.h>

#include "base/base.h"
#include "wire/mqtt/window.h"

static void lend_more(struct td_mqtt_window *w)
{
    size_t cap = td_mqtt_window_want(w);
    struct td_mqtt_slot *old = w->slots;
    assert_true(cap > w->cap);
    td_mqtt_window_lend(w, malloc(cap * sizeof *old), cap);
    free(old);
}

static uint16_t take(struct td_mqtt_window *w, enum td_mqtt_flight state, uint64_t body)
{
    uint16_t id;
    enum td_err err = td_mqtt_window_take(w, state, body, &id);
    if (err == TD_ENOMEM) {
        lend_more(w);
        err = td_mqtt_window_take(w, state, body, &id);
    }
    assert_int_equal(TD_OK, err);
    return id;
}

static struct td_mqtt_window opened(uint16_t receive_max)
{
    struct td_mqtt_window w;
    td_mqtt_window_init(&w, 0);
    td_mqtt_window_resume(&w, receive_max);
    return w;
}

static void storage_is_wanted_when_it_is_needed_and_doubles(void **state)
{
    (void)state;
    struct td_mqtt_window w = opened(65535);
    uint16_t id;
    assert_int_equal(4, td_mqtt_window_want(&w));
    assert_int_equal(TD_ENOMEM, td_mqtt_window_take(&w, TD_MQTT_QOS1, 0, &id));
    for (unsigned i = 1; i <= TD_MQTT_WINDOW_MAX; i++) {
        assert_int_equal(i, take(&w, TD_MQTT_QOS1, i));
    }
    assert_int_equal(TD_MQTT_WINDOW_MAX, w.cap);
    assert_int_equal(0, td_mqtt_window_want(&w));
    assert_int_equal(TD_EFULL, td_mqtt_window_take(&w, TD_MQTT_QOS1, 0, &id));
    free(w.slots);
}

static void the_receive_maximum_holds_and_acknowledgements_open_it(void **state)
{
    (void)state;
    struct td_mqtt_window w = opened(2);
    uint16_t id, a = take(&w, TD_MQTT_QOS1, 10), b = take(&w, TD_MQTT_QOS2, 20);
    uint64_t body = 0;
    assert_int_equal(TD_EFULL, td_mqtt_window_take(&w, TD_MQTT_QOS1, 0, &id));
    (void)take(&w, TD_MQTT_SUBSCRIBING, 0); /* does not count */
    assert_int_equal(TD_MQTT_ACK_DONE, td_mqtt_window_ack(&w, TD_MQTT_PUBACK, a, 0, &body));
    assert_int_equal(10, body);
    assert_true(td_mqtt_window_open(&w));
    (void)take(&w, TD_MQTT_QOS1, 30);
    assert_int_equal(TD_MQTT_ACK_RELEASE, td_mqtt_window_ack(&w, TD_MQTT_PUBREC, b, 0, &body));
    assert_int_equal(20, body);
    assert_false(td_mqtt_window_open(&w)); /* PUBREC does not give it back (MQTT-4.9.0-2) */
    assert_int_equal(TD_MQTT_ACK_AGAIN, td_mqtt_window_ack(&w, TD_MQTT_PUBREC, b, 0, &body));
    assert_int_equal(TD_MQTT_ACK_DONE, td_mqtt_window_ack(&w, TD_MQTT_PUBCOMP, b, 0, &body));
    assert_true(td_mqtt_window_open(&w));
    free(w.slots);
}

static void acknowledgements_of_the_wrong_kind_change_nothing(void **state)
{
    (void)state;
    static const struct {
        enum td_mqtt_flight flight;
        unsigned type, reason;
        enum td_mqtt_acked wanted;
    } cases[] = {
        {TD_MQTT_QOS1, TD_MQTT_PUBREC, 0, TD_MQTT_ACK_WRONG},
        {TD_MQTT_QOS1, TD_MQTT_PUBCOMP, 0, TD_MQTT_ACK_WRONG},
        {TD_MQTT_QOS1, TD_MQTT_SUBACK, 0, TD_MQTT_ACK_WRONG},
        {TD_MQTT_QOS1, TD_MQTT_PUBACK, 0x87, TD_MQTT_ACK_DONE},
        {TD_MQTT_QOS2, TD_MQTT_PUBACK, 0, TD_MQTT_ACK_WRONG},
        {TD_MQTT_QOS2, TD_MQTT_PUBCOMP, 0, TD_MQTT_ACK_WRONG},
        {TD_MQTT_QOS2, TD_MQTT_PUBREC, 0x97, TD_MQTT_ACK_DONE},
        {TD_MQTT_QOS2, TD_MQTT_PUBREC, 0x10, TD_MQTT_ACK_RELEASE},
        {TD_MQTT_SUBSCRIBING, TD_MQTT_UNSUBACK, 0, TD_MQTT_ACK_WRONG},
        {TD_MQTT_SUBSCRIBING, TD_MQTT_SUBACK, 0, TD_MQTT_ACK_DONE},
        {TD_MQTT_UNSUBSCRIBING, TD_MQTT_PUBACK, 0, TD_MQTT_ACK_WRONG},
        {TD_MQTT_UNSUBSCRIBING, TD_MQTT_UNSUBACK, 0, TD_MQTT_ACK_DONE},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_mqtt_window w = opened(10);
        uint64_t body;
        uint16_t id = take(&w, cases[i].flight, 0);
        enum td_mqtt_acked got = td_mqtt_window_ack(&w, cases[i].type, id, cases[i].reason, &body);
        assert_int_equal(cases[i].wanted, got);
        assert_int_equal(got != TD_MQTT_ACK_DONE, td_mqtt_window_find(&w, id) != NULL);
        assert_int_equal(TD_MQTT_ACK_UNKNOWN,
                         td_mqtt_window_ack(&w, cases[i].type, (uint16_t)(id + 4), 0, &body));
        free(w.slots);
    }
}

static void a_resumed_session_sends_again_in_order_before_anything_new(void **state)
{
    (void)state;
    struct td_mqtt_window w = opened(10);
    uint16_t id, a = take(&w, TD_MQTT_QOS1, 1), b = take(&w, TD_MQTT_QOS2, 2);
    uint16_t c = take(&w, TD_MQTT_QOS2, 3);
    uint64_t body;
    (void)take(&w, TD_MQTT_SUBSCRIBING, 0);
    (void)td_mqtt_window_ack(&w, TD_MQTT_PUBREC, b, 0, &body);
    td_mqtt_window_resume(&w, 1);
    assert_int_equal(3, w.used); /* the SUBSCRIBE is forgotten */
    assert_int_equal(TD_EFULL, td_mqtt_window_take(&w, TD_MQTT_QOS1, 4, &id));
    assert_int_equal(TD_MQTT_ACK_WRONG, td_mqtt_window_ack(&w, TD_MQTT_PUBACK, a, 0, &body));
    assert_int_equal(a, td_mqtt_window_resend(&w)->id);
    assert_int_equal(b, td_mqtt_window_resend(&w)->id); /* PUBREL needs no quota */
    assert_null(td_mqtt_window_resend(&w));
    assert_int_equal(TD_MQTT_ACK_DONE, td_mqtt_window_ack(&w, TD_MQTT_PUBACK, a, 0, &body));
    assert_int_equal(c, td_mqtt_window_resend(&w)->id);
    assert_null(td_mqtt_window_resend(&w));
    assert_false(td_mqtt_window_open(&w));
    (void)td_mqtt_window_ack(&w, TD_MQTT_PUBREC, c, 0x80, &body);
    assert_true(td_mqtt_window_open(&w));
    free(w.slots);
}

static void a_restored_session_continues_where_it_was(void **state)
{
    (void)state;
    struct td_mqtt_window w;
    td_mqtt_window_init(&w, 40000);
    static const uint16_t ids[] = {7, 65535, 11, 4, 3};
    for (size_t i = 0; i < TD_COUNT(ids); i++) {
        while (td_mqtt_window_restore(&w, TD_MQTT_QOS1, ids[i], i) == TD_ENOMEM) {
            struct td_mqtt_slot *old = w.slots;
            size_t cap = w.cap == 0 ? 4 : w.cap * 2u;
            td_mqtt_window_lend(&w, malloc(cap * sizeof *old), cap);
            free(old);
        }
    }
    td_mqtt_window_resume(&w, 100);
    const struct td_mqtt_slot *s = NULL;
    for (size_t i = 0; i < TD_COUNT(ids); i++) {
        s = td_mqtt_window_next(&w, s);
        assert_int_equal(ids[i], s->id);
        assert_int_equal(i, s->body);
        assert_int_equal(ids[i], td_mqtt_window_resend(&w)->id);
    }
    assert_null(td_mqtt_window_next(&w, s));
    assert_true(take(&w, TD_MQTT_QOS1, 9) > 40000);
    free(w.slots);
}

/* Random use against a list in send order. */
static void random_use_agrees_with_a_list(void **state)
{
    (void)state;
    struct entry {
        uint16_t id;
        uint64_t body;
    } list[64];
    size_t n = 0;
    struct td_mqtt_window w = opened(64);
    struct td_rng rng;
    td_rng_init(&rng, 5);
    w.last_id = 65500; /* ids wrap, orders too */
    w.order = UINT32_MAX - 100;
    for (uint64_t step = 0; step < 20000; step++) {
        if (n < 64 && (n == 0 || td_rng_below(&rng, 2) == 0)) {
            list[n++] = (struct entry){take(&w, TD_MQTT_QOS1, step), step};
            assert_int_not_equal(0, list[n - 1].id);
        } else {
            uint64_t body;
            size_t at = td_rng_below(&rng, n);
            assert_int_equal(TD_MQTT_ACK_DONE,
                             td_mqtt_window_ack(&w, TD_MQTT_PUBACK, list[at].id, 0, &body));
            assert_int_equal(list[at].body, body);
            memmove(&list[at], &list[at + 1], (--n - at) * sizeof *list);
        }
        assert_int_equal(n, w.used);
        assert_int_equal(64 - n, w.quota);
        if (step % 64 == 0) {
            const struct td_mqtt_slot *s = NULL;
            for (size_t i = 0; i < n; i++) {
                s = td_mqtt_window_next(&w, s);
                assert_int_equal(list[i].id, s->id);
            }
        }
    }
    free(w.slots);
}

static void held_entries_wait_for_a_connection(void **state)
{
    (void)state;
    struct td_mqtt_window w;
    struct td_mqtt_slot slots[4];
    uint16_t a, b;
    td_mqtt_window_init(&w, 0);
    td_mqtt_window_lend(&w, slots, 4);
    assert_int_equal(TD_OK, td_mqtt_window_hold(&w, TD_MQTT_QOS1, 1, &a));
    assert_int_equal(TD_OK, td_mqtt_window_hold(&w, TD_MQTT_QOS2, 2, &b));
    assert_null(td_mqtt_window_waiting(&w)); /* no quota without a connection */
    td_mqtt_window_resume(&w, 5);
    assert_int_equal(a, td_mqtt_window_waiting(&w)->id);
    assert_int_equal(a, td_mqtt_window_resend(&w)->id);
    td_mqtt_window_drop(&w, b);
    assert_null(td_mqtt_window_resend(&w));
    assert_int_equal(4, w.quota);
    assert_true(td_mqtt_window_open(&w));
}

/* ---- incoming QoS 2 ids ---- */

static void ids_come_and_go_as_in_a_bit_set(void **state)
{
    (void)state;
    static bool model[65536];
    struct td_mqtt_ids s;
    struct td_rng rng;
    size_t n = 0;
    td_mqtt_ids_init(&s);
    td_rng_init(&rng, 9);
    assert_false(td_mqtt_ids_has(&s, 1));
    assert_false(td_mqtt_ids_remove(&s, 1));
    for (int step = 0; step < 200000; step++) {
        uint16_t id = (uint16_t)(1 + td_rng_below(&rng, step < 100000 ? 300 : 65535));
        if (td_rng_below(&rng, 2) == 0) {
            enum td_err err = td_mqtt_ids_add(&s, id);
            if (err == TD_ENOMEM) {
                size_t cap = td_mqtt_ids_want(&s);
                uint16_t *old = s.slots;
                td_mqtt_ids_lend(&s, malloc(cap * sizeof *old), cap);
                free(old);
                err = td_mqtt_ids_add(&s, id);
            }
            assert_int_equal(model[id] ? TD_EEXIST : TD_OK, err);
            n += !model[id];
            model[id] = true;
        } else {
            assert_int_equal(model[id], td_mqtt_ids_remove(&s, id));
            n -= model[id];
            model[id] = false;
        }
        assert_int_equal(n, s.used);
    }
    uint32_t at = 0;
    for (uint16_t id; (id = td_mqtt_ids_next(&s, &at)) != 0; n--) {
        assert_true(model[id]);
    }
    assert_int_equal(0, n);
    free(s.slots);
}

static void a_release_sent_again_gives_back_no_more_than_it_took(void **state)
{
    (void)state;
    struct td_mqtt_window w = opened(2);
    uint16_t id, old = take(&w, TD_MQTT_QOS2, 10);
    uint64_t body = 0;
    assert_int_equal(TD_MQTT_ACK_RELEASE, td_mqtt_window_ack(&w, TD_MQTT_PUBREC, old, 0, &body));
    td_mqtt_window_resume(&w, 1);
    assert_int_equal(old, td_mqtt_window_resend(&w)->id); /* the PUBREL */
    (void)take(&w, TD_MQTT_QOS1, 20);
    assert_int_equal(TD_MQTT_ACK_DONE, td_mqtt_window_ack(&w, TD_MQTT_PUBCOMP, old, 0, &body));
    assert_int_equal(TD_EFULL, td_mqtt_window_take(&w, TD_MQTT_QOS1, 30, &id));
    free(w.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storage_is_wanted_when_it_is_needed_and_doubles),
        cmocka_unit_test(the_receive_maximum_holds_and_acknowledgements_open_it),
        cmocka_unit_test(acknowledgements_of_the_wrong_kind_change_nothing),
        cmocka_unit_test(a_resumed_session_sends_again_in_order_before_anything_new),
        cmocka_unit_test(a_restored_session_continues_where_it_was),
        cmocka_unit_test(a_release_sent_again_gives_back_no_more_than_it_took),
        cmocka_unit_test(random_use_agrees_with_a_list),
        cmocka_unit_test(held_entries_wait_for_a_connection),
        cmocka_unit_test(ids_come_and_go_as_in_a_bit_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
