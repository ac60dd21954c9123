/* hub: matching, merging, sharing and retaining against the slow, obvious way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hub/hub.h"

static const struct td_hub_limits limits = {
    .nodes_max = 100000,
    .subscriptions_max = 1000,
    .retained_max = 1000,
    .retained_bytes_max = 1 << 20,
};

/* A subscriber that writes down what it hears. */
struct ear {
    struct td_subscriber who;
    uint32_t heard, load;
    struct td_delivery last;
    uint32_t last_ids[8];
};

static void ear_deliver(struct td_subscriber *s, struct td_message *m, const struct td_delivery *d)
{
    struct ear *e = TD_CONTAINER(s, struct ear, who);
    (void)m;
    e->heard++;
    e->last = *d;
    for (uint16_t i = 0; i < d->id_count && i < TD_COUNT(e->last_ids); i++) {
        e->last_ids[i] = d->ids[i];
    }
}

static uint32_t ear_load(const struct td_subscriber *s)
{
    return ((const struct ear *)(const void *)s)->load;
}

static const struct td_subscriber_type ear_type = {ear_deliver, ear_load};

static void ear_init(struct ear *e, uint64_t id)
{
    *e = (struct ear){.who = {.type = &ear_type, .id = id}};
}

static enum td_err listen_to(struct td_hub *hub, struct ear *e, const char *filter, uint8_t qos,
                             uint32_t id)
{
    bool existed;
    struct td_subscribe_options o = {.qos = qos, .id = id};
    return td_hub_subscribe(hub, &e->who, td_slice_of(filter), &o, &existed);
}

static struct td_message say(const char *topic, const char *payload)
{
    return (struct td_message){
        .topic = td_slice_of(topic), .payload = td_slice_of(payload), .expires = TD_NEVER};
}

static void publish(struct td_hub *hub, const char *topic)
{
    struct td_message m = say(topic, "x");
    (void)td_hub_publish(hub, &m);
    td_message_done(&m);
}

static void filters_are_judged_as_the_specification_says(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        bool valid;
    } cases[] = {
        {"a", true},          {"a/b", true},       {"/", true},          {"#", true},
        {"+", true},          {"a/+/b", true},     {"a/#", true},        {"+/+/#", true},
        {"", false},          {"a#", false},       {"a/b#", false},      {"#/a", false},
        {"a+/b", false},      {"a/#/b", false},    {"$share/g/a", true}, {"$share/g/#", true},
        {"$share/g/", false}, {"$share/g", false}, {"$share//a", false}, {"$share/+/a", false},
        {"a\x01", false},     {"\xC0\x80", false}, {"$share/g//", true},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        if (td_filter_valid(td_slice_of(cases[i].filter)) != cases[i].valid) {
            fail_msg("'%s' should be %s", cases[i].filter, cases[i].valid ? "valid" : "invalid");
        }
    }
    assert_false(td_topic_valid(TD_STR("a/+")));
    assert_true(td_topic_valid(TD_STR("/a//b")));
}

/* MQTT-4.7.1-2, -3, 4.7.2-1 as tables. */
static void the_specifications_examples_match(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        bool match;
    } cases[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/#", "sport", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"#", "$SYS/uptime", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/uptime", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_hub *hub = td_hub_new(&limits, 1);
        struct ear e;
        ear_init(&e, 1);
        assert_int_equal(TD_OK, listen_to(hub, &e, cases[i].filter, 0, 0));
        publish(hub, cases[i].topic);
        if (e.heard != cases[i].match ||
            td_filter_matches(td_slice_of(cases[i].filter), td_slice_of(cases[i].topic)) !=
                cases[i].match) {
            fail_msg("%s against %s", cases[i].filter, cases[i].topic);
        }
        td_hub_unsubscribe_all(hub, &e.who);
        td_hub_free(hub);
    }
}

static void overlapping_filters_make_one_delivery_with_the_highest_qos_and_all_ids(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    struct ear e;
    ear_init(&e, 1);
    assert_int_equal(TD_OK, listen_to(hub, &e, "a/#", 0, 7));
    assert_int_equal(TD_OK, listen_to(hub, &e, "a/+", 2, 8));
    assert_int_equal(TD_OK, listen_to(hub, &e, "a/b", 1, 0));
    for (int i = 1; i <= 4; i++) { /* fresh, admitted, and twice from memory */
        publish(hub, "a/b");
        assert_int_equal(i, e.heard);
        assert_int_equal(2, e.last.qos);
        assert_int_equal(2, e.last.id_count);
        assert_int_equal(15, e.last_ids[0] + e.last_ids[1]);
    }
    assert_int_equal(2, td_hub_stats(hub)->cache_hits);
    assert_int_equal(TD_OK, td_hub_unsubscribe(hub, &e.who, TD_STR("a/+")));
    publish(hub, "a/b");
    assert_int_equal(1, e.last.qos);
    assert_int_equal(1, e.last.id_count);
    td_hub_unsubscribe_all(hub, &e.who);
    publish(hub, "a/b");
    assert_int_equal(5, e.heard);
    td_hub_free(hub);
}

static void random_path(struct td_rng *rng, bool filter, char out[32])
{
    size_t n = 0, levels = 1 + td_rng_below(rng, 4);
    for (size_t i = 0; i < levels; i++) {
        uint64_t pick = td_rng_below(rng, filter ? 6 : 3);
        out[n++] = "abc++#"[pick];
        if (out[n - 1] == '#') {
            break;
        }
        out[n++] = '/';
    }
    n -= out[n - 1] == '/';
    out[n] = '\0';
}

static void the_tree_agrees_with_the_obvious_way_while_filters_come_and_go(void **state)
{
    (void)state;
    enum { EARS = 20 };
    static struct ear ears[EARS];
    struct td_hub *hub = td_hub_new(&limits, 99);
    struct td_rng rng;
    char path[32];
    td_rng_init(&rng, 5);
    for (size_t i = 0; i < EARS; i++) {
        ear_init(&ears[i], i + 1);
    }
    for (int step = 0; step < 20000; step++) {
        struct ear *e = &ears[td_rng_below(&rng, EARS)];
        random_path(&rng, true, path);
        if (td_rng_below(&rng, 3) == 0) {
            (void)td_hub_unsubscribe(hub, &e->who, td_slice_of(path));
        } else if (td_rng_below(&rng, 4) == 0) {
            assert_int_equal(TD_OK, listen_to(hub, e, path, 0, 0));
        }
        random_path(&rng, false, path);
        uint32_t want[EARS], before[EARS];
        for (size_t i = 0; i < EARS; i++) {
            want[i] = 0;
            before[i] = ears[i].heard;
            for (const struct td_subscription *s = ears[i].who.first; s != NULL; s = s->next) {
                want[i] |= td_filter_matches(s->filter, td_slice_of(path));
            }
        }
        publish(hub, path);
        for (size_t i = 0; i < EARS; i++) {
            assert_int_equal(want[i], ears[i].heard - before[i]);
        }
    }
    assert_true(td_hub_stats(hub)->cache_hits > 0);
    for (size_t i = 0; i < EARS; i++) {
        td_hub_unsubscribe_all(hub, &ears[i].who);
    }
    assert_int_equal(0, td_hub_stats(hub)->nodes);
    td_hub_free(hub);
}

static void a_shared_group_hands_each_message_to_its_least_loaded_member(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    struct ear e[3];
    for (size_t i = 0; i < TD_COUNT(e); i++) {
        ear_init(&e[i], i + 1);
        assert_int_equal(TD_OK, listen_to(hub, &e[i], "$share/g/a/#", 1, 0));
    }
    for (int i = 0; i < 9; i++) {
        publish(hub, "a/b");
    }
    assert_int_equal(3, e[0].heard);
    assert_int_equal(3, e[1].heard);
    e[0].load = e[1].load = UINT32_MAX;
    publish(hub, "a/b");
    assert_int_equal(4, e[2].heard);
    e[2].load = UINT32_MAX;
    publish(hub, "a/b");
    assert_int_equal(1, td_hub_stats(hub)->shared_stuck);
    for (size_t i = 0; i < TD_COUNT(e); i++) {
        td_hub_unsubscribe_all(hub, &e[i].who);
    }
    td_hub_free(hub);
}

static void what_a_member_gives_back_goes_to_another_of_its_group(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    uint32_t g = td_hub_group_key(TD_STR("$share/g/a/#")),
             h = td_hub_group_key(TD_STR("$share/h/#"));
    struct ear e[3];
    struct td_delivery d;
    assert_true(g != 0 && h != 0 && g != h && td_hub_group_key(TD_STR("a/#")) == 0);
    for (size_t i = 0; i < TD_COUNT(e); i++) {
        ear_init(&e[i], i + 1);
        assert_int_equal(TD_OK, listen_to(hub, &e[i], i < 2 ? "$share/g/a/#" : "$share/h/#", 1, 0));
    }
    e[1].who.durable = true;
    e[0].load = TD_LOAD_ABSENT + 5; /* not there, as the one that gives back */
    assert_true(td_hub_group_again(hub, TD_STR("a/b"), g, TD_LOAD_ABSENT, &d));
    assert_ptr_equal(&e[1].who, d.to);
    assert_true(d.group == g && d.group_durable);
    e[1].load = TD_LOAD_ABSENT;
    assert_false(td_hub_group_again(hub, TD_STR("a/b"), g, TD_LOAD_ABSENT, &d));
    assert_true(td_hub_group_again(hub, TD_STR("a/b"), g, UINT32_MAX, &d));
    assert_ptr_equal(&e[1].who, d.to);
    assert_true(td_hub_group_again(hub, TD_STR("a/b"), h, TD_LOAD_ABSENT, &d));
    assert_true(d.to == &e[2].who && !d.group_durable);
    assert_false(td_hub_group_again(hub, TD_STR("b"), g, UINT32_MAX, &d)); /* does not match */
    for (size_t i = 0; i < TD_COUNT(e); i++) {
        td_hub_unsubscribe_all(hub, &e[i].who);
    }
    td_hub_free(hub);
}

static void count_member(void *ctx, struct td_subscriber *member)
{
    (void)member;
    ++*(unsigned *)ctx;
}

static void a_group_is_searched_only_when_an_absent_member_may_hold_something(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    struct ear e[2];
    unsigned members = 0;
    for (size_t i = 0; i < TD_COUNT(e); i++) {
        ear_init(&e[i], i + 1);
        assert_int_equal(TD_OK, listen_to(hub, &e[i], "$share/g/a", 1, 0));
    }
    td_hub_group_unpark(e[0].who.first, count_member, &members);
    assert_int_equal(2, members); /* a restart may have left something */
    publish(hub, "a");
    td_hub_group_unpark(e[0].who.first, count_member, &members);
    assert_int_equal(2, members);
    e[0].load = e[1].load = TD_LOAD_ABSENT;
    publish(hub, "a"); /* an absent one got it */
    td_hub_group_unpark(e[0].who.first, count_member, &members);
    assert_int_equal(4, members);
    td_hub_group_park(e[1].who.first);
    td_hub_group_unpark(e[0].who.first, count_member, &members);
    assert_int_equal(6, members);
    for (size_t i = 0; i < TD_COUNT(e); i++) {
        td_hub_unsubscribe_all(hub, &e[i].who);
    }
    td_hub_free(hub);
}

static void no_local_withholds_only_the_senders_own(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    struct ear e;
    bool existed;
    struct td_message m = say("a", "x");
    ear_init(&e, 5);
    struct td_subscribe_options o = {.no_local = true};
    assert_int_equal(TD_OK, td_hub_subscribe(hub, &e.who, TD_STR("a"), &o, &existed));
    m.origin = 5;
    (void)td_hub_publish(hub, &m);
    assert_int_equal(0, e.heard);
    m.origin = 6;
    (void)td_hub_publish(hub, &m);
    assert_int_equal(1, e.heard);
    td_hub_unsubscribe_all(hub, &e.who);
    td_hub_free(hub);
}

static void a_filter_with_no_local_gives_the_senders_own_neither_qos_nor_id(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    struct ear e;
    bool existed;
    struct td_message m = say("a", "x");
    ear_init(&e, 5);
    struct td_subscribe_options o = {.no_local = true, .qos = 2, .id = 7};
    assert_int_equal(TD_OK, td_hub_subscribe(hub, &e.who, TD_STR("a"), &o, &existed));
    assert_int_equal(TD_OK, listen_to(hub, &e, "+", 1, 8));
    for (uint64_t origin = 5; origin <= 6; origin++) {
        m.origin = origin;
        (void)td_hub_publish(hub, &m);
        assert_int_equal(origin - 4, e.heard);
        assert_int_equal(origin == 5 ? 1 : 2, e.last.qos);
        assert_int_equal(origin == 5 ? 1 : 2, e.last.id_count);
        assert_int_equal(origin == 5 ? 8 : 7, e.last_ids[0]);
    }
    td_hub_unsubscribe_all(hub, &e.who);
    td_hub_free(hub);
}

static void count_one(void *ctx, struct td_message *m)
{
    (void)m;
    ++*(size_t *)ctx;
}

static void count_expired(void *ctx, const struct td_message *m)
{
    assert_true(td_slice_eq(TD_STR("a"), m->topic));
    ++*(size_t *)ctx;
}

static size_t retained_count(struct td_hub *hub, const char *filter, td_mono now)
{
    size_t count = 0;
    td_hub_retained_each(hub, td_slice_of(filter), now, count_one, &count);
    return count;
}

static void retain(struct td_hub *hub, const char *topic, const char *payload, td_mono expires)
{
    struct td_message m = say(topic, payload);
    m.retain = true;
    m.expires = expires;
    (void)td_hub_publish(hub, &m);
    td_message_done(&m);
}

static void retained_messages_are_found_replaced_cleared_and_expire(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    retain(hub, "a/b", "1", TD_NEVER);
    retain(hub, "a/b", "2", TD_NEVER);
    retain(hub, "a", "3", 100);
    retain(hub, "$SYS/x", "4", TD_NEVER);
    assert_int_equal(3, td_hub_stats(hub)->retained);
    assert_int_equal(2, retained_count(hub, "a/#", 0));
    assert_int_equal(2, retained_count(hub, "#", 0));
    assert_int_equal(1, retained_count(hub, "+", 0));
    assert_int_equal(0, retained_count(hub, "+", 100));
    assert_int_equal(1, retained_count(hub, "$SYS/#", 0));
    assert_true(td_slice_eq(TD_STR("2"), td_hub_retained_get(hub, TD_STR("a/b"))->payload));
    assert_int_equal(100, td_hub_deadline(hub));
    size_t told = 0;
    td_hub_expire(hub, 100, count_expired, &told);
    assert_int_equal(1, told);
    assert_int_equal(1, td_hub_stats(hub)->retained_expired);
    assert_int_equal(2, td_hub_stats(hub)->retained);
    retain(hub, "a/b", "", TD_NEVER);
    assert_null(td_hub_retained_get(hub, TD_STR("a/b")));
    assert_int_equal(2, td_hub_stats(hub)->nodes); /* $SYS and x */
    td_hub_free(hub);
}

static void limits_hold_and_leave_things_as_they_were(void **state)
{
    (void)state;
    const struct td_hub_limits small = {
        .nodes_max = 4, .subscriptions_max = 2, .retained_max = 1, .retained_bytes_max = 4096};
    struct td_hub *hub = td_hub_new(&small, 1);
    struct ear e;
    ear_init(&e, 1);
    assert_int_equal(TD_EFULL, listen_to(hub, &e, "1/2/3/4/5", 0, 0));
    assert_int_equal(0, td_hub_stats(hub)->nodes);
    assert_int_equal(TD_OK, listen_to(hub, &e, "a", 0, 0));
    assert_int_equal(TD_OK, listen_to(hub, &e, "b", 0, 0));
    assert_int_equal(TD_EFULL, listen_to(hub, &e, "c", 0, 0));
    assert_int_equal(TD_OK, listen_to(hub, &e, "b", 1, 0)); /* changing is not adding */
    retain(hub, "x", "1", TD_NEVER);
    retain(hub, "y", "1", TD_NEVER);
    assert_int_equal(1, td_hub_stats(hub)->retained);
    assert_int_equal(1, td_hub_stats(hub)->retained_refused);
    td_hub_unsubscribe_all(hub, &e.who);
    td_hub_free(hub);
}

/* ---- other loops ---- */

struct told {
    unsigned on, off;
    char last[64];
};

static void told_of(void *ctx, td_slice filter, bool on)
{
    struct told *t = ctx;
    t->on += on;
    t->off += !on;
    assert_true(filter.n < sizeof t->last);
    (void)snprintf(t->last, sizeof t->last, "%.*s", (int)filter.n, (const char *)filter.p);
}

static void unlisten(struct td_hub *hub, struct ear *e, const char *filter)
{
    assert_int_equal(TD_OK, td_hub_unsubscribe(hub, &e->who, td_slice_of(filter)));
}

static void others_hear_of_a_filters_first_and_last_subscriber(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    struct told t = {0};
    struct ear a, b, near;
    ear_init(&a, 1);
    ear_init(&b, 2);
    ear_init(&near, 3);
    near.who.near = true;
    td_hub_watch(hub, false, told_of, &t);
    (void)listen_to(hub, &near, "x/+", 0, 0);
    assert_int_equal(0, t.on);
    (void)listen_to(hub, &a, "x/+", 0, 0);
    (void)listen_to(hub, &a, "x/+", 1, 0);
    (void)listen_to(hub, &b, "x/+", 0, 0);
    (void)listen_to(hub, &b, "$share/g/x/+", 0, 0);
    assert_int_equal(1, t.on);
    assert_string_equal("x/+", t.last);
    unlisten(hub, &a, "x/+");
    unlisten(hub, &b, "x/+");
    assert_int_equal(0, t.off);
    td_hub_unsubscribe_all(hub, &b.who);
    assert_int_equal(1, t.off);
    td_hub_unsubscribe_all(hub, &near.who);
    assert_int_equal(1, t.off);
    td_hub_free(hub);
}

static void groups_that_are_elsewhere_are_listed_but_neither_matched_nor_told(void **state)
{
    (void)state;
    struct td_hub *hub = td_hub_new(&limits, 1);
    struct told t = {0};
    struct ear a;
    ear_init(&a, 1);
    td_hub_watch(hub, true, told_of, &t);
    assert_int_equal(TD_OK, listen_to(hub, &a, "$share/g/x", 0, 0));
    assert_int_equal(0, t.on);
    assert_int_equal(0, td_hub_match(hub, TD_STR("x"))->group_count);
    assert_int_equal(1, a.who.subscription_count);
    unlisten(hub, &a, "$share/g/x");
    assert_int_equal(0, t.off);
    td_hub_free(hub);
}

static void a_match_names_the_loops_that_have_interest(void **state)
{
    (void)state;
    const struct td_hub_limits small = {.nodes_max = 1, .subscriptions_max = 2};
    struct td_hub *hub = td_hub_new(&small, 1);
    assert_int_equal(0, td_hub_match(hub, TD_STR("a/b"))->loops);
    td_hub_interest_set(hub, TD_STR("a/+"), 1, true); /* whatever the limits */
    td_hub_interest_set(hub, TD_STR("#"), 31, true);
    td_hub_interest_set(hub, TD_STR("a/b"), 1, true);
    for (int i = 0; i < 3; i++) { /* the third comes from memory */
        assert_int_equal(UINT32_C(1) << 31 | 2, td_hub_match(hub, TD_STR("a/b"))->loops);
    }
    assert_int_equal(0, td_hub_match(hub, TD_STR("$SYS/x"))->loops);
    td_hub_interest_set(hub, TD_STR("a/b"), 1, false);
    assert_int_equal(UINT32_C(1) << 31 | 2, td_hub_match(hub, TD_STR("a/b"))->loops);
    td_hub_interest_set(hub, TD_STR("a/+"), 1, false);
    td_hub_interest_set(hub, TD_STR("a/+"), 1, false);
    assert_int_equal(UINT32_C(1) << 31, td_hub_match(hub, TD_STR("a/b"))->loops);
    td_hub_interest_set(hub, TD_STR("#"), 31, false);
    assert_int_equal(0, td_hub_stats(hub)->nodes);
    td_hub_interest_set(hub, TD_STR("left/over"), 5, true); /* free takes it along */
    td_hub_free(hub);
}

static void a_filter_that_fails_says_at_which_level(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        size_t level; /* 0: it matches */
        enum td_miss why;
        const char *want, *have;
    } cases[] = {
        {"a/+/c", "a/b/c", 0, 0, "", ""},
        {"a/#", "a", 0, 0, "", ""},
        {"a/+/c", "a/b/d", 3, TD_MISS_LEVEL, "c", "d"},
        {"a/b", "x/b", 1, TD_MISS_LEVEL, "a", "x"},
        {"a/+/c", "a/b", 3, TD_MISS_TOPIC_ENDS, "c", ""},
        {"a", "a/b", 2, TD_MISS_FILTER_ENDS, "", "b"},
        {"+", "a/", 2, TD_MISS_FILTER_ENDS, "", ""},
        {"#", "$SYS/x", 1, TD_MISS_DOLLAR, "#", "$SYS"},
        {"$SYS/+", "$SYS/x", 0, 0, "", ""},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_filter_miss miss = {.level = 0};
        td_slice filter = td_slice_of(cases[i].filter), topic = td_slice_of(cases[i].topic);
        assert_int_equal(cases[i].level == 0, td_filter_explain(filter, topic, &miss));
        assert_int_equal(cases[i].level, miss.level);
        if (cases[i].level > 0) {
            assert_int_equal(cases[i].why, miss.why);
            assert_true(td_slice_eq(td_slice_of(cases[i].want), miss.want));
            assert_true(td_slice_eq(td_slice_of(cases[i].have), miss.have));
        }
    }
}

static enum td_err retain_as(struct td_hub *hub, uint64_t owner, const char *topic,
                             const char *payload)
{
    struct td_message m = say(topic, payload);
    m.owner = owner;
    m.retain = true;
    enum td_err err = td_hub_retain(hub, &m);
    td_message_done(&m);
    return err;
}

static void an_owners_retained_messages_are_bounded_by_number_and_bytes(void **state)
{
    (void)state;
    struct td_hub_limits l = limits;
    l.owner_retained_max = 2;
    l.owner_retained_bytes_max = 1000;
    struct td_hub *hub = td_hub_new(&l, 1);
    uint64_t count, bytes;
    assert_int_equal(TD_OK, retain_as(hub, 7, "a", "1"));
    assert_int_equal(TD_OK, retain_as(hub, 7, "b", "1"));
    assert_int_equal(TD_EFULL, retain_as(hub, 7, "c", "1"));
    assert_int_equal(TD_OK, retain_as(hub, 7, "b", "2")); /* in the place of its own */
    assert_int_equal(TD_OK, retain_as(hub, 8, "c", "1")); /* of another */
    assert_int_equal(TD_OK, retain_as(hub, 0, "d", "1")); /* of nobody */
    assert_int_equal(TD_EFULL, retain_as(hub, 7, "c", "2"));
    assert_int_equal(TD_OK, retain_as(hub, 8, "b", "3")); /* takes it over: 7 has room again */
    assert_int_equal(TD_OK, retain_as(hub, 7, "e", "1"));
    td_hub_retained_of(hub, 7, &count, &bytes);
    assert_int_equal(2, count);
    assert_true(bytes > 0);
    assert_int_equal(TD_OK, retain_as(hub, 7, "e", ""));
    assert_int_equal(TD_OK, retain_as(hub, 7, "a", ""));
    td_hub_retained_of(hub, 7, &count, &bytes);
    assert_int_equal(0, count + bytes);
    char large[1200];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    assert_int_equal(TD_OK, retain_as(hub, 7, "a", "1"));
    assert_int_equal(TD_EFULL, retain_as(hub, 7, "a", large));
    td_hub_retain_hold(hub, true);
    assert_int_equal(TD_EFULL, retain_as(hub, 7, "z", "1"));
    assert_int_equal(TD_OK, retain_as(hub, 7, "a", "2"));
    td_hub_retain_hold(hub, false);
    assert_int_equal(TD_OK, retain_as(hub, 7, "z", "1"));
    td_hub_free(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owners_retained_messages_are_bounded_by_number_and_bytes),
        cmocka_unit_test(a_filter_that_fails_says_at_which_level),
        cmocka_unit_test(filters_are_judged_as_the_specification_says),
        cmocka_unit_test(the_specifications_examples_match),
        cmocka_unit_test(overlapping_filters_make_one_delivery_with_the_highest_qos_and_all_ids),
        cmocka_unit_test(the_tree_agrees_with_the_obvious_way_while_filters_come_and_go),
        cmocka_unit_test(a_shared_group_hands_each_message_to_its_least_loaded_member),
        cmocka_unit_test(what_a_member_gives_back_goes_to_another_of_its_group),
        cmocka_unit_test(a_group_is_searched_only_when_an_absent_member_may_hold_something),
        cmocka_unit_test(no_local_withholds_only_the_senders_own),
        cmocka_unit_test(a_filter_with_no_local_gives_the_senders_own_neither_qos_nor_id),
        cmocka_unit_test(retained_messages_are_found_replaced_cleared_and_expire),
        cmocka_unit_test(limits_hold_and_leave_things_as_they_were),
        cmocka_unit_test(others_hear_of_a_filters_first_and_last_subscriber),
        cmocka_unit_test(groups_that_are_elsewhere_are_listed_but_neither_matched_nor_told),
        cmocka_unit_test(a_match_names_the_loops_that_have_interest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
