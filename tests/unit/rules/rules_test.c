/* rules: what TEST blocks cannot say: payloads as they come, bounds, crashes in between, time that
 * goes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rules/rules.h"

static const td_wall wall_zero = INT64_C(1767225600) * TD_NS_PER_S;

/* A set, what it sent, and what it wants kept. */
struct set {
    struct td_rules *r;
    td_mono now;
    char sent[2048]; /* "topic payload\n" each */
    size_t sent_n;
    uint32_t sends, fired, states;
    struct td_buf kept; /* lumps: key, value, .. in the order they left */
    struct td_rules_out last;
};

static void load(struct set *s, const char *text, uint32_t keys_max)
{
    struct td_rules_file file = {TD_STR("t.td"), td_slice_of(text)};
    struct td_rules_config config = {
        .files = &file, .file_count = 1, .seed = 3, .keys_max = keys_max};
    struct td_buf why;
    td_buf_init(&why, 1 << 16);
    s->r = NULL;
    if (td_rules_load(&config, &s->r, &why) != TD_OK) {
        fail_msg("%.*s", (int)why.n, (const char *)why.p);
    }
    td_buf_fini(&why);
}

static void drain(struct set *s)
{
    struct td_rules_out o;
    while (td_rules_next(s->r, &o)) {
        if (o.kind == TD_RULES_STATE) {
            s->states++;
            assert_int_equal(TD_OK, td_buf_add_lump(&s->kept, o.key));
            assert_int_equal(TD_OK, td_buf_add_lump(&s->kept, o.payload));
        } else if (o.kind == TD_RULES_FIRED) {
            s->fired++;
        } else {
            s->sends++;
            s->last = o;
            int n = snprintf(s->sent + s->sent_n, sizeof s->sent - s->sent_n, "%.*s %.*s\n",
                             (int)o.topic.n, (const char *)o.topic.p, (int)o.payload.n,
                             (const char *)o.payload.p);
            s->sent_n += (size_t)n < sizeof s->sent - s->sent_n ? (size_t)n : 0;
        }
    }
}

static void begin(struct set *s, const char *text)
{
    *s = (struct set){.now = 1000 * TD_NS_PER_S};
    td_buf_init(&s->kept, 1 << 20);
    load(s, text, 0);
    td_rules_start(s->r, s->now, wall_zero + s->now);
    drain(s);
}

static void end(struct set *s)
{
    td_rules_free(s->r);
    td_buf_fini(&s->kept);
}

static void say_as(struct set *s, const char *topic, const char *payload, uint8_t hops,
                   bool retained)
{
    struct td_rules_message m = {td_slice_of(topic), td_slice_of(payload), hops, retained};
    td_rules_message(s->r, &m, s->now, wall_zero + s->now);
    drain(s);
}

static void say(struct set *s, const char *topic, const char *payload)
{
    say_as(s, topic, payload, 0, false);
}

static void wait_s(struct set *s, int64_t seconds)
{
    td_mono until = s->now + seconds * TD_NS_PER_S;
    while (td_rules_deadline(s->r) <= until) {
        s->now = td_rules_deadline(s->r) > s->now ? td_rules_deadline(s->r) : s->now;
        td_rules_expire(s->r, s->now, wall_zero + s->now);
        drain(s);
    }
    s->now = until;
}

static void sent_is(struct set *s, const char *want)
{
    s->sent[s->sent_n] = 0;
    assert_string_equal(want, s->sent);
    s->sent_n = 0;
}

/* ---- payloads ---- */

static void payloads_of_all_shapes_find_their_fields(void **state)
{
    (void)state;
    static const struct {
        const char *field, *payload, *value;
    } cases[] = {
        {"(v FLOAT)", "{\"v\":20.5}", "20.5"},
        {"(v FLOAT)", "20.5", "20.5"},
        {"(v FLOAT)", "\"20.5\"", "20.5"},
        {"(v FLOAT)", " 7 ", "7"},
        {"(v FLOAT)", "{\"v\":\"7\"}", "7"},
        {"(v FLOAT)", "{\"v\":null}", "null"},
        {"(v FLOAT)", "{\"w\":1}", "null"},
        {"(v FLOAT)", "{\"v\":1,\"v\":2}", "1"},
        {"(v FLOAT)", "{\"v\":1", "1"},
        {"(v FLOAT)", "nonsense", "null"},
        {"(v FLOAT)", "", "null"},
        {"(v INT)", "{\"v\":3}", "3"},
        {"(v INT)", "{\"v\":3.5}", "null"},
        {"(v INT)", "{\"v\":1e300}", "null"},
        {"(v BOOL)", "{\"v\":true}", "true"},
        {"(v BOOL)", "on", "true"},
        {"(v BOOL)", "OFF", "false"},
        {"(v BOOL)", "0", "false"},
        {"(v BOOL)", "\"open\"", "true"},
        {"(v BOOL)", "maybe", "null"},
        {"(v TEXT)", "{\"v\":\"a\\u00e4\\n\"}", "\"a\xC3\xA4\\n\""},
        {"(v TEXT)", "hello", "\"hello\""},
        {"(v ENUM('a', 'b'))", "\"b\"", "\"b\""},
        {"(v ENUM('a', 'b'))", "\"c\"", "null"},
        {"(v FLOAT = $.a.b[1].c)", "{\"x\":[1],\"a\":{\"b\":[{},{\"c\":4}],\"c\":5}}", "4"},
        {"(v FLOAT = $[2])", "[5,[6],7]", "7"},
        {"(v FLOAT = $.a)", "{\"a\":{\"a\":1},\"b\":2}", "null"},
        {"(v FLOAT = $.a.a)", "{\"a\":1,\"b\":{\"a\":{\"a\":2}}}", "null"},
        {"(v °C = $.v AS °F)", "{\"v\":212}", "100"},
        {"(v kW = $.v AS W)", "{\"v\":1500}", "1.5"},
        {"(v DURATION = $.v AS ms)", "{\"v\":1500}", "1.5"},
        {"(v TIME)", "\"1970-01-01T00:01:00Z\"", "60"},
        {"(v FLOAT RANGE 0..10)", "11", "null"},
        {"(v FLOAT RANGE 0..10)", "10", "10"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct set s;
        char text[512], want[512];
        (void)snprintf(text, sizeof text,
                       "STREAM x FROM 'x' %s; RULE r WHEN x ARRIVES SEND 'y' {v: x};",
                       cases[i].field);
        (void)snprintf(want, sizeof want, "y {\"v\":%s}\n", cases[i].value);
        begin(&s, text);
        say(&s, "x", cases[i].payload);
        s.sent[s.sent_n] = 0;
        if (strcmp(s.sent, want) != 0) {
            fail_msg("%s from %s: %s", cases[i].field, cases[i].payload, s.sent);
        }
        end(&s);
    }
}

static void a_select_passes_and_reshapes(void **state)
{
    (void)state;
    struct set s;
    begin(&s, "CREATE RULE hot AS SELECT temp AS t, id, hum * 2 AS h, pos.x AS x, $.l[0] AS l "
              "FROM 'in/+id/#' WHERE temp > 30 AND hum IS KNOWN INTO 'out/+id';"
              "CREATE RULE copy AS SELECT * FROM 'in/+/raw' INTO 'copy' QOS 1 RETAIN;"
              "CREATE RULE typed AS SELECT i.a, i.b FROM 't' (a °C = $.v AS °F, b TEXT) AS i "
              "WHERE i.a > 20 INTO 'c';");
    assert_int_equal(3, td_rules_filter_count(s.r));
    say(&s, "in/k/raw", "{\"temp\":31,\"hum\":4,\"pos\":{\"x\":9},\"l\":[1]}");
    sent_is(&s, "out/k {\"t\":31,\"id\":\"k\",\"h\":8,\"x\":9,\"l\":1}\n"
                "copy {\"temp\":31,\"hum\":4,\"pos\":{\"x\":9},\"l\":[1]}\n");
    assert_int_equal(1, s.last.qos);
    assert_true(s.last.retain);
    say(&s, "in/k/raw/more", "{\"temp\":30,\"hum\":4}");
    say(&s, "in/k/more", "{\"temp\":\"hot\",\"hum\":4}");
    say(&s, "in/k/more", "{\"temp\":99}");
    sent_is(&s, "");
    say(&s, "t", "{\"v\":86,\"b\":\"x\"}");
    sent_is(&s, "c {\"a\":30,\"b\":\"x\"}\n");
    assert_int_equal(0, s.states); /* it keeps nothing */
    end(&s);
}

/* ---- bounds ---- */

static void keys_are_bounded_refused_and_counted(void **state)
{
    (void)state;
    struct set s = {.now = TD_NS_PER_S};
    td_buf_init(&s.kept, 1 << 20);
    load(&s, "STREAM x FROM 'x/+k'; RULE r WHEN x > 1 SEND 'y/+k' x;", 10);
    td_rules_start(s.r, s.now, wall_zero);
    for (int i = 0; i < 50; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof topic, "x/%d", i);
        say(&s, topic, "5");
    }
    assert_int_equal(10, s.sends);
    assert_int_equal(40, td_rules_stats(s.r)->keys_refused);
    say(&s, "x/3", "0");
    say(&s, "x/3", "7");
    assert_int_equal(11, s.sends);
    end(&s);
}

static void rules_that_set_each_other_off_end_after_eight_hops(void **state)
{
    (void)state;
    struct set s;
    begin(&s, "STREAM a FROM 'a'; STREAM b FROM 'b';"
              "RULE ping WHEN a ARRIVES SEND 'b' 1; RULE pong WHEN b ARRIVES SEND 'a' 1;");
    say(&s, "a", "1");
    for (int i = 0; i < 100 && s.sent_n > 0; i++) { /* the hub brings back what was sent */
        char topic[2] = {s.sent[0], 0};
        s.sent_n = 0;
        say_as(&s, topic, "1", s.last.hops, false);
    }
    assert_int_equal(8, s.sends);
    assert_int_equal(1, td_rules_stats(s.r)->hops_dropped);
    end(&s);
}

static void what_goes_round_through_a_device_meets_the_breaker(void **state)
{
    (void)state;
    struct set s;
    begin(&s, "STREAM a FROM 'a'; RULE r WHEN a ARRIVES SEND 'b' 1;");
    for (int i = 0; i < 150; i++) {
        say_as(&s, "a", "1", 1, false); /* hops 1: a rule's message caused it */
    }
    assert_int_equal(101, s.sends); /* 100, and the alarm of the breaker */
    assert_int_equal(1, td_rules_stats(s.r)->breaker_opened);
    wait_s(&s, 31);
    s.sent_n = 0;
    say_as(&s, "a", "1", 1, false);
    sent_is(&s, "tandem/alarm/breaker/r {\"active\":false}\nb 1\n");
    for (int i = 0; i < 1000; i++) {
        say(&s, "a", "1"); /* from outside: MAX is for that */
    }
    assert_int_equal(1103, s.sends);
    end(&s);
}

static void who_sets_off_itself_is_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned warnings;
    } cases[] = {
        {"STREAM a FROM 'a/+k'; RULE r WHEN a > 1 SEND 'a/x' 1;", 1},
        {"STREAM a FROM 'a/+k'; RULE r WHEN a > 1 SEND 'b/x' 1;", 0},
        {"STREAM a FROM 'a'; STREAM b FROM 'b'; RULE r WHEN a > 1 SEND 'b' 1;"
         "RULE q WHEN b > 1 SEND 'a' 1; RULE p WHEN b > 2 SEND 'c' 1;",
         2},
        {"CREATE RULE c AS SELECT * FROM 'x/#' INTO 'x/y';", 1},
        {"CREATE RULE c AS SELECT * FROM 'x/+/z' INTO 'x/y';", 0},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_rules_file file = {TD_STR("t.td"), td_slice_of(cases[i].text)};
        struct td_rules_config config = {.files = &file, .file_count = 1};
        struct td_rules *r;
        struct td_buf why;
        unsigned warnings = 0;
        td_buf_init(&why, 1 << 16);
        assert_int_equal(TD_OK, td_rules_load(&config, &r, &why));
        for (size_t at = 0; at + 8 < why.n; at++) {
            warnings += memcmp(why.p + at, "warning:", 8) == 0;
        }
        assert_int_equal(cases[i].warnings, warnings);
        td_rules_free(r);
        td_buf_fini(&why);
    }
}

/* ---- retained, late, future ---- */

static void an_old_message_is_a_value_but_no_event(void **state)
{
    (void)state;
    struct set s;
    begin(&s, "STREAM d FROM 'd' (open BOOL); RULE r WHEN d.open RISES SEND 'r' 1;"
              "RULE h WHEN d ARRIVES SEND 'h' 1;");
    say_as(&s, "d", "true", 0, true);
    say_as(&s, "d", "false", 0, true); /* known already: the first one counts */
    sent_is(&s, "");
    say(&s, "d", "true");
    sent_is(&s, "h 1\n");
    say(&s, "d", "false");
    say(&s, "d", "true");
    sent_is(&s, "h 1\nr 1\nh 1\n");
    end(&s);
}

static void what_comes_late_does_not_turn_back_time(void **state)
{
    (void)state;
    struct set s;
    char payload[80];
    begin(&s, "STREAM x FROM 'x' (v FLOAT) TIME $.ts AS ms STALE AFTER 10s;"
              "RULE r WHEN x.v CHANGES SEND 'r' x.v; ALARM old WHEN x.v IS STALE;");
    const td_wall base = wall_zero / TD_NS_PER_MS + 1000000;
    static const struct {
        int value, age_ms;
    } said[] = {{1, 0}, {2, 0}, {3, 5000}, {4, -60000}, {5, 0}};
    for (size_t i = 0; i < TD_COUNT(said); i++) {
        s.now += TD_NS_PER_S;
        td_wall ms = base + (td_wall)(i + 1) * 1000 - said[i].age_ms;
        (void)snprintf(payload, sizeof payload, "{\"v\":%d,\"ts\":%lld}", said[i].value,
                       (long long)ms);
        say(&s, "x", payload);
    }
    /* 3 came late and is not seen; 4 says it is from the future and counts as now. */
    sent_is(&s, "r 2\nr 4\nr 5\n");
    assert_int_equal(1, td_rules_stats(s.r)->late);
    (void)snprintf(payload, sizeof payload, "{\"v\":6,\"ts\":%lld}", (long long)base + 6000);
    s.now += 8 * TD_NS_PER_S; /* 7 s old when it comes */
    say(&s, "x", payload);
    wait_s(&s, 2);
    sent_is(&s, "r 6\n");
    wait_s(&s, 2);
    sent_is(&s, "tandem/alarm/old {\"active\":true,\"severity\":500,\"since\":"
                "\"2026-01-01T00:16:56.000Z\"}\n");
    end(&s);
}

/* ---- crashes ---- */

static void restore_all(struct set *s, td_slice kept, enum td_err want)
{
    struct td_cursor c = td_cursor_of(kept);
    while (td_cursor_left(&c) > 0) {
        td_slice key = td_cursor_lump(&c), value = td_cursor_lump(&c);
        assert_int_equal(want, td_rules_restore(s->r, key, value, s->now, wall_zero + s->now));
    }
}

static const char *const ordering = "STREAM s FROM 's/+k' (n INT); STREAM p FROM 'p' (low INT);"
                                    "ACTUATOR lamp 'lamp/+k' (on BOOL DEFAULT FALSE MIN ON 1m);"
                                    "RULE order PER k WHEN s.n < p.low ONCE UNTIL s.n RISES "
                                    "SEND 'order/+k' {k} QOS 1 IDEMPOTENT EXPECT s.n > 10 WITHIN "
                                    "1m ELSE ALARM lost;"
                                    "RULE shine PER k HOLD lamp.on = (s.n < p.low);";

static void an_order_is_made_once_however_often_it_crashes(void **state)
{
    (void)state;
    struct set s;
    begin(&s, ordering);
    say(&s, "p", "4");
    say(&s, "s/a", "3");
    assert_int_equal(2, s.sends); /* the order and the lamp */
    assert_true(s.states >= 4);
    for (int crash = 0; crash < 20; crash++) {
        struct td_buf kept = s.kept;
        td_rules_free(s.r);
        td_buf_init(&s.kept, 1 << 20);
        s.sent_n = 0;
        s.now += 2 * TD_NS_PER_S;
        load(&s, ordering, 0);
        restore_all(&s, td_buf_slice(&kept), TD_OK);
        td_rules_start(s.r, s.now, wall_zero + s.now);
        drain(&s);
        say(&s, "s/a", crash % 2 == 0 ? "2" : "1");
        sent_is(&s, "");
        assert_int_equal(TD_OK, td_buf_add(&kept, td_buf_slice(&s.kept)));
        td_buf_fini(&s.kept);
        s.kept = kept;
    }
    wait_s(&s, 30); /* the minute of EXPECT went on over all crashes */
    assert_true(s.sent_n > 0);
    assert_memory_equal("tandem/alarm/lost/a", s.sent, 19);
    end(&s);
}

static void a_changed_statement_begins_anew_and_damage_is_told(void **state)
{
    (void)state;
    struct set s, t;
    begin(&s, "STREAM s FROM 's/+k'; RULE r WHEN s > 1 SEND 'y/+k' s;");
    say(&s, "s/a", "3");
    begin(&t, "STREAM s FROM 's/+k' STALE AFTER 1h; RULE r WHEN s > 2 SEND 'y/+k' s;");
    restore_all(&t, td_buf_slice(&s.kept), TD_ENOENT);
    end(&t);
    begin(&t, "STREAM s FROM 's/+k'; -- a comment changes nothing\n"
              "rule  r when s > 1 send 'y/+k' s;");
    restore_all(&t, td_buf_slice(&s.kept), TD_OK);
    struct td_cursor c = td_cursor_of(td_buf_slice(&s.kept));
    while (td_cursor_left(&c) > 0) {
        td_slice key = td_cursor_lump(&c), value = td_cursor_lump(&c);
        for (size_t n = 0; n < value.n; n++) {
            enum td_err err = td_rules_restore(t.r, key, td_slice_head(value, n), t.now, t.now);
            assert_int_equal(TD_ECORRUPT, err);
        }
        for (size_t n = 0; n < key.n; n++) {
            assert_int_not_equal(TD_OK,
                                 td_rules_restore(t.r, td_slice_head(key, n), value, t.now, t.now));
        }
    }
    end(&t);
    end(&s);
}

static void a_row_leaves_once_a_second_unless_something_happens(void **state)
{
    (void)state;
    struct set s;
    begin(&s, "STREAM s FROM 's'; RULE r WHEN s > 100 SEND 'y' s;");
    say(&s, "s", "1");
    uint32_t first = s.states; /* the rule's condition is known now */
    for (int i = 0; i < 100; i++) {
        say(&s, "s", "1");
    }
    assert_int_equal(first, s.states);
    wait_s(&s, 2);
    assert_int_equal(first + 1, s.states);
    say(&s, "s", "101");
    assert_int_equal(first + 3, s.states); /* latch and row, together */
    end(&s);
}

static void the_wall_clock_may_jump(void **state)
{
    (void)state;
    struct set s;
    begin(&s,
          "STREAM s FROM 's'; RULE r EVERY 10s WHILE s > 0 SEND 'y' s; ALARM a WHEN s > 1 FOR 5s;");
    say(&s, "s", "5");
    struct td_rules_message m = {.topic = TD_STR("s"), .payload = TD_STR("6")};
    for (int i = -3; i <= 3; i++) {
        td_rules_message(s.r, &m, s.now, wall_zero + i * INT64_C(86400) * TD_NS_PER_S);
        drain(&s);
        assert_true(td_rules_deadline(s.r) > s.now);
    }
    end(&s);
}

static void looking_tells_what_stands(void **state)
{
    (void)state;
    struct set s;
    struct td_rules_info info;
    begin(&s, "STREAM s FROM 's/+k';\nACTUATOR fan 'fan/+k' (on BOOL DEFAULT FALSE) LEASE 1m;\n"
              "RULE r HOLD fan.on = (s > 1);");
    say(&s, "s/a", "3");
    assert_int_equal(60000, s.last.expiry_ms);
    assert_int_equal(2, td_rules_count(s.r));
    td_rules_info(s.r, 0, &info);
    assert_true(td_slice_eq(TD_STR("a: on=TRUE (r, slot 12)"), info.state));
    assert_true(td_slice_eq(TD_STR("SEND fan/a {\"on\":true}"), info.last_action));
    td_rules_info(s.r, 1, &info);
    assert_true(td_slice_eq(TD_STR("RULE r HOLD fan.on = (s > 1);"), info.text));
    assert_int_equal(3, info.line);
    assert_true(td_slice_eq(TD_STR("a: holds"), info.state));
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_of_all_shapes_find_their_fields),
        cmocka_unit_test(a_select_passes_and_reshapes),
        cmocka_unit_test(keys_are_bounded_refused_and_counted),
        cmocka_unit_test(rules_that_set_each_other_off_end_after_eight_hops),
        cmocka_unit_test(what_goes_round_through_a_device_meets_the_breaker),
        cmocka_unit_test(who_sets_off_itself_is_warned_of),
        cmocka_unit_test(an_old_message_is_a_value_but_no_event),
        cmocka_unit_test(what_comes_late_does_not_turn_back_time),
        cmocka_unit_test(an_order_is_made_once_however_often_it_crashes),
        cmocka_unit_test(a_changed_statement_begins_anew_and_damage_is_told),
        cmocka_unit_test(a_row_leaves_once_a_second_unless_something_happens),
        cmocka_unit_test(the_wall_clock_may_jump),
        cmocka_unit_test(looking_tells_what_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
