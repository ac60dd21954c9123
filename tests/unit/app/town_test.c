/* The sample town's physics: nothing is lost, nothing runs away, and the rules' loops close in the
 * time a spectator has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/town.h"

static void as_many_come_as_the_rate_says(void **state)
{
    (void)state;
    struct td_rng rng;
    uint64_t n = 0;
    td_rng_init(&rng, 1);
    for (int i = 0; i < 100000; i++) {
        n += td_town_arrivals(&rng, 0.5, 0.1);
    }
    assert_in_range(n, 4800, 5200);
    assert_int_equal(0, td_town_arrivals(&rng, 0, 1));
}

static void a_slot_sells_what_it_has_and_no_more(void **state)
{
    (void)state;
    struct td_rng rng;
    struct td_town_slot s = {.stock = 12, .cap = 20, .rate = 0.25};
    td_rng_init(&rng, 2);
    int filled = 12;
    for (int i = 0; i < 20000; i++) {
        int before = s.stock;
        bool changed = td_town_slot_step(&s, &rng, 0.1);
        assert_true(changed || before == s.stock);
        assert_in_range(s.stock, 0, 20);
        assert_int_equal(filled, s.stock + (int)s.sold);
        if (s.stock == 0 && i % 100 == 0) {
            filled += td_town_slot_fill(&s, 25);
            assert_int_equal(20, s.stock);
        }
    }
    assert_true(s.missed > 0 && s.sold > 100);
    assert_int_equal(0, td_town_slot_fill(&s, -5));
}

/* Seconds until the thermometer passes `to`. */
static double seconds_to(struct td_town_room *r, double to)
{
    bool up = r->sensor_c < to;
    double s = 0;
    while (s < 600 && (up ? r->sensor_c < to : r->sensor_c > to)) {
        td_town_room_step(r, 0.1);
        s += 0.1;
    }
    return s;
}

static void the_room_follows_its_heater_within_half_a_minute(void **state)
{
    (void)state;
    static const double outside[] = {1, 11};
    for (size_t i = 0; i < TD_COUNT(outside); i++) {
        struct td_town_room r = {20.7, 19.5, 20.7, outside[i], true, false};
        double up = seconds_to(&r, 21.3);
        r.heater = false;
        double down = seconds_to(&r, 20.7);
        assert_true(up > 5 && up < 40);
        assert_true(down > 5 && down < 40);
    }
}

static void an_open_window_cools_faster_than_the_heater_heats(void **state)
{
    (void)state;
    struct td_town_room r = {21, 20, 21, 5, true, true};
    assert_true(seconds_to(&r, 20.5) < 10);
}

static void without_heat_the_room_ends_at_the_temperature_outside(void **state)
{
    (void)state;
    struct td_town_room r = {21, 20, 21, 5, false, false};
    for (int i = 0; i < 1000000; i++) {
        td_town_room_step(&r, 0.1);
        assert_true(r.air_c > 4.99 && r.air_c <= 21);
    }
    assert_true(r.air_c < 5.1 && r.wall_c < 5.1 && r.sensor_c < 5.1);
    assert_true(td_town_outside_c(0) < 1.01 && td_town_outside_c(300) > 10.99);
}

static void vehicles_leave_on_green_only_and_none_is_lost(void **state)
{
    (void)state;
    struct td_rng rng;
    struct td_town_crossing x = {.shows = {{'R', 'R'}}};
    td_rng_init(&rng, 3);
    for (int i = 0; i < 600; i++) {
        td_town_crossing_step(&x, &rng, i * 0.1, 0.1);
    }
    assert_int_equal(0, x.left[TD_TOWN_NS] + x.left[TD_TOWN_EW]);
    assert_true(x.queue[TD_TOWN_NS] > 2);
    assert_true(td_town_crossing_set(&x, (struct td_town_signal){{'G', 'R'}}));
    for (int i = 600; i < 3000; i++) {
        td_town_crossing_step(&x, &rng, i * 0.1, 0.1);
    }
    assert_int_equal(0, x.left[TD_TOWN_EW]);
    assert_true(x.queue[TD_TOWN_NS] < 4);
    for (enum td_town_arm arm = TD_TOWN_NS; arm < TD_TOWN_ARMS; arm++) {
        assert_int_equal(x.counted[arm], x.left[arm] + x.queue[arm]);
    }
}

static void the_signal_never_gives_both_arms_the_right_of_way(void **state)
{
    (void)state;
    static const char lights[] = "RYGFx";
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 5; k++) {
            struct td_town_crossing x = {.shows = {{'R', 'R'}}};
            bool good = td_town_crossing_set(&x, (struct td_town_signal){{lights[i], lights[k]}});
            bool goes = lights[i] == 'G' || lights[i] == 'Y';
            bool other = lights[k] == 'G' || lights[k] == 'Y';
            bool wanted =
                i < 4 && k < 4 && !(goes && lights[k] != 'R') && !(other && lights[i] != 'R');
            assert_int_equal(wanted, good);
            assert_int_equal(good ? lights[i] : 'F', x.shows.arm[TD_TOWN_NS]);
        }
    }
}

static void the_rush_moves_from_one_road_to_the_other(void **state)
{
    (void)state;
    assert_true(td_town_traffic(TD_TOWN_NS, 60) > 2 * td_town_traffic(TD_TOWN_EW, 60));
    assert_true(td_town_traffic(TD_TOWN_EW, 180) > 2 * td_town_traffic(TD_TOWN_NS, 180));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_come_as_the_rate_says),
        cmocka_unit_test(a_slot_sells_what_it_has_and_no_more),
        cmocka_unit_test(the_room_follows_its_heater_within_half_a_minute),
        cmocka_unit_test(an_open_window_cools_faster_than_the_heater_heats),
        cmocka_unit_test(without_heat_the_room_ends_at_the_temperature_outside),
        cmocka_unit_test(vehicles_leave_on_green_only_and_none_is_lost),
        cmocka_unit_test(the_signal_never_gives_both_arms_the_right_of_way),
        cmocka_unit_test(the_rush_moves_from_one_road_to_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
