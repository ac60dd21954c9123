/* serve/record over hub, store and a simulated disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve/record.h"
#include "sim/disk.h"
#include "store/store.h"

struct rig {
    struct sim_world *w;
    struct sim_disk *d;
    struct sim_machine *m;
    struct td_hub *hub;
    struct td_store *store;
    struct td_record *record;
    size_t changes;
    char last[256];
};

static void on_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    (void)ctx;
    (void)now;
    struct td_work *w = e->owner;
    w->done(w);
}

static void on_turn(void *ctx, td_mono now)
{
    struct rig *r = ctx;
    if (r->store != NULL) {
        td_store_turn(r->store, now);
    }
}

static td_mono on_deadline(void *ctx)
{
    struct rig *r = ctx;
    return r->store != NULL ? td_store_deadline(r->store) : TD_NEVER;
}

static const struct sim_program program = {on_event, on_turn, on_deadline};

static void up(struct rig *r)
{
    static const struct td_hub_limits hub = {1000, 1000, 1000, 1 << 20};
    static const struct td_record_limits limits = {.series_max = 10};
    static const struct td_store_config config = {
        .dir = "data", .segment_bytes = 65536, .segment_count = 4};
    struct td_buf why;
    td_buf_init(&why, 1024);
    r->m = sim_machine_new(r->w, "hub", r->d);
    sim_machine_program(r->m, &program, r);
    r->hub = td_hub_new(&hub, 1);
    assert_int_equal(TD_OK, td_store_open(&config, &r->m->sys, &r->store, &why));
    assert_int_equal(TD_OK, td_record_new(&r->m->sys, r->hub, r->store, &limits, &r->record));
    td_buf_fini(&why);
}

static void down(struct rig *r)
{
    td_record_free(r->record);
    td_hub_free(r->hub);
    sim_machine_crash(r->m, false);
    td_store_abandon(r->store);
    r->store = NULL;
    sim_disk_cut(r->d, SIM_CUT_LOST);
    sim_machine_free(r->m);
}

static void begin(struct rig *r)
{
    *r = (struct rig){.w = sim_world_new(1)};
    r->w->wall_offset = INT64_C(1795510800) * TD_NS_PER_S;
    r->d = sim_disk_new(r->w);
    up(r);
}

static void end(struct rig *r)
{
    down(r);
    sim_disk_free(r->d);
    sim_world_free(r->w);
}

static uint64_t say(struct rig *r, const char *topic, const char *payload, uint8_t qos)
{
    struct td_message m = {.topic = td_slice_of(topic),
                           .payload = td_slice_of(payload),
                           .expires = TD_NEVER,
                           .at = r->m->sys.wall(&r->m->sys),
                           .qos = qos};
    td_hub_publish(r->hub, &m);
    td_message_done(&m);
    return td_record_take_lsn(r->record);
}

static bool changed(void *ctx, const struct td_current *now)
{
    struct rig *r = ctx;
    r->changes++;
    (void)snprintf(r->last, sizeof r->last, "%.*s %.*s", (int)now->topic.n,
                   (const char *)now->topic.p, (int)now->field.n, (const char *)now->field.p);
    return true;
}

static size_t changes_since(struct rig *r, uint64_t version)
{
    r->changes = 0;
    td_record_changes(r->record, version, changed, r);
    return r->changes;
}

static void only_what_changed_is_given_newest_first(void **state)
{
    (void)state;
    struct rig r;
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
    struct rig r;
    begin(&r);
    assert_int_equal(0, say(&r, "a", "\x01\x02", 1));
    assert_int_equal(0, say(&r, "a", "", 1));
    assert_int_equal(1, td_record_stats(r.record)->binary);
    uint64_t lsn = say(&r, "a", "1", 1);
    assert_true(lsn > 0);
    assert_true(td_store_durable(r.store) < lsn);
    sim_machine_wake(r.m);
    (void)sim_run(r.w, r.w->now + 100 * TD_NS_PER_MS);
    assert_true(td_store_durable(r.store) >= lsn);
    assert_int_equal(0, td_record_take_lsn(r.record));
    end(&r);
}

static void values_over_the_bound_are_stored_but_not_at_hand(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    for (int i = 0; i < 15; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t/%d", i);
        assert_true(say(&r, topic, "1", 0) > 0);
    }
    assert_int_equal(10, td_record_stats(r.record)->series);
    assert_int_equal(5, td_record_stats(r.record)->untracked);
    assert_int_equal(15, td_store_stats(r.store)->rows);
    end(&r);
}

static void current_values_come_back_as_stale_after_a_crash(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    (void)say(&r, "a/temp", "21.5", 0);
    (void)say(&r, "a/temp", "22.5", 0);
    (void)say(&r, "a/state", "running", 0);
    sim_machine_wake(r.m);
    (void)sim_run(r.w, r.w->now + 2000 * TD_NS_PER_MS);
    down(&r);
    up(&r);
    assert_int_equal(2, changes_since(&r, 0));
    uint32_t stream;
    assert_int_equal(TD_OK, td_store_stream(r.store, TD_STR("a/temp"), &stream));
    const struct td_current *now = td_record_find(r.record, td_series_of(stream, 0));
    assert_non_null(now);
    assert_int_equal(TD_QUALITY_STALE, now->quality);
    assert_true(now->value.as.f > 22.4);
    (void)say(&r, "a/temp", "23.5", 0);
    assert_int_equal(TD_QUALITY_GOOD, td_record_find(r.record, td_series_of(stream, 0))->quality);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_changed_is_given_newest_first),
        cmocka_unit_test(a_row_has_an_lsn_and_what_is_no_value_has_none),
        cmocka_unit_test(values_over_the_bound_are_stored_but_not_at_hand),
        cmocka_unit_test(current_values_come_back_as_stale_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
