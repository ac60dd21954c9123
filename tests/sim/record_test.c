/* serve/record over hub, store and a simulated disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/record.h"
#include "sim/store_rig.h"

struct recorder {
    struct rig rig;
    struct td_hub *hub;
    struct td_record *record;
    size_t changes;
    char last[256];
};

static void up(struct recorder *r)
{
    static const struct td_hub_limits hub = {.nodes_max = 1000,
                                             .subscriptions_max = 1000,
                                             .retained_max = 1000,
                                             .retained_bytes_max = 1 << 20};
    static const struct td_record_limits limits = {.series_max = 10};
    r->hub = td_hub_new(&hub, 1);
    assert_int_equal(TD_OK, rig_open(&r->rig));
    assert_int_equal(TD_OK,
                     td_record_new(&r->rig.m->sys, r->hub, r->rig.store, &limits, &r->record));
}

static void down(struct recorder *r)
{
    td_record_free(r->record);
    td_hub_free(r->hub);
    rig_crash(&r->rig, SIM_CUT_LOST);
}

static void begin(struct recorder *r)
{
    *r = (struct recorder){0};
    rig_begin(&r->rig, 1);
    up(r);
}

static void end(struct recorder *r)
{
    down(r);
    rig_end(&r->rig);
}

static uint64_t say(struct recorder *r, const char *topic, const char *payload, uint8_t qos)
{
    struct td_message m = {.topic = td_slice_of(topic),
                           .payload = td_slice_of(payload),
                           .expires = TD_NEVER,
                           .at = r->rig.m->sys.wall(&r->rig.m->sys),
                           .qos = qos};
    td_hub_publish(r->hub, &m);
    td_message_done(&m);
    return td_record_take_lsn(r->record);
}

static bool changed(void *ctx, const struct td_current *now)
{
    struct recorder *r = ctx;
    r->changes++;
    (void)snprintf(r->last, sizeof r->last, "%.*s %.*s", (int)now->topic.n,
                   (const char *)now->topic.p, (int)now->field.n, (const char *)now->field.p);
    return true;
}

static size_t changes_since(struct recorder *r, uint64_t version)
{
    r->changes = 0;
    td_record_changes(r->record, version, changed, r);
    return r->changes;
}

static void only_what_changed_is_given_newest_first(void **state)
{
    (void)state;
    struct recorder r;
    begin(&r);
    (void)say(&r, "a/temp", "21.5", 0);
    (void)say(&r, "b", "{\"x\":1,\"y\":\"on fire\"}", 0);
    assert_int_equal(3, changes_since(&r, 0));
    assert_string_equal("a/temp value", r.last);
    uint64_t seen = td_record_version(r.record);
    assert_int_equal(0, changes_since(&r, seen));
    (void)say(&r, "b", "{\"x\":2}", 0);
    assert_int_equal(1, changes_since(&r, seen));
    assert_string_equal("b x", r.last);
    assert_int_equal(3, td_record_stats(r.record)->rows);
    end(&r);
}

static void a_row_has_an_lsn_and_what_is_no_value_has_none(void **state)
{
    (void)state;
    struct recorder r;
    begin(&r);
    assert_int_equal(0, say(&r, "a", "\x01\x02", 1));
    assert_int_equal(0, say(&r, "a", "", 1));
    assert_int_equal(1, td_record_stats(r.record)->binary);
    uint64_t lsn = say(&r, "a", "1", 1);
    assert_true(lsn > 0);
    assert_true(td_store_durable(r.rig.store) < lsn);
    rig_run(&r.rig, 100);
    assert_true(td_store_durable(r.rig.store) >= lsn);
    assert_int_equal(0, td_record_take_lsn(r.record));
    end(&r);
}

static void values_over_the_bound_are_stored_but_not_at_hand(void **state)
{
    (void)state;
    struct recorder r;
    begin(&r);
    for (int i = 0; i < 15; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t/%d", i);
        assert_true(say(&r, topic, "1", 0) > 0);
    }
    assert_int_equal(10, td_record_stats(r.record)->series);
    assert_int_equal(5, td_record_stats(r.record)->untracked);
    assert_int_equal(15, td_store_stats(r.rig.store)->rows);
    end(&r);
}

static void current_values_come_back_as_stale_after_a_crash(void **state)
{
    (void)state;
    struct recorder r;
    begin(&r);
    (void)say(&r, "a/temp", "21.5", 0);
    (void)say(&r, "a/temp", "22.5", 0);
    (void)say(&r, "a/state", "running", 0);
    rig_run(&r.rig, 2000);
    down(&r);
    up(&r);
    assert_int_equal(2, changes_since(&r, 0));
    uint32_t stream;
    assert_int_equal(TD_OK, td_store_stream(r.rig.store, TD_STR("a/temp"), &stream));
    const struct td_current *now = td_record_find(r.record, td_series_of(stream, 0));
    assert_non_null(now);
    assert_int_equal(TD_QUALITY_STALE, now->quality);
    assert_true(now->value.as.f > 22.4);
    (void)say(&r, "a/temp", "23.5", 0);
    assert_int_equal(TD_QUALITY_GOOD, td_record_find(r.record, td_series_of(stream, 0))->quality);
    end(&r);
}

/* The stream's newest row is then later than all that come for a while. */
static void a_clock_that_was_set_back_costs_no_row(void **state)
{
    (void)state;
    struct recorder r;
    begin(&r);
    td_mono here = r.rig.w->wall_offset, ahead = here + 10 * TD_NS_PER_S;
    for (int i = 0; i < 30; i++) {
        (void)say(&r, "a", "1", 1);
        rig_run(&r.rig, 1);
    }
    r.rig.w->wall_offset = ahead;
    (void)say(&r, "a", "2", 1);
    r.rig.w->wall_offset = here - 20 * TD_NS_PER_MS;
    for (int i = 0; i < 30; i++) {
        (void)say(&r, "a", "3", 1);
        (void)say(&r, "a", "4", 1);
        rig_run(&r.rig, 1);
    }
    assert_int_equal(91, rig_sql_int(&r.rig, "SELECT COUNT(*) FROM points"));
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_changed_is_given_newest_first),
        cmocka_unit_test(a_row_has_an_lsn_and_what_is_no_value_has_none),
        cmocka_unit_test(values_over_the_bound_are_stored_but_not_at_hand),
        cmocka_unit_test(current_values_come_back_as_stale_after_a_crash),
        cmocka_unit_test(a_clock_that_was_set_back_costs_no_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
