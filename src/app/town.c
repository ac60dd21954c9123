/* app: the physics of the sample town. Numbers are chosen so that a spectator sees each loop close
 * within half a minute, and the rules' minimum times still hold. */
#include "app/town.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

/* ---- chance ---- */

unsigned td_town_arrivals(struct td_rng *rng, double rate, double dt)
{
    double limit = exp(-rate * dt), product = td_rng_unit(rng); /* Knuth, for few at a time */
    unsigned n = 0;
    while (product > limit && n < 1000) {
        product *= td_rng_unit(rng);
        n++;
    }
    return n;
}

/* ---- a slot of a vending machine ---- */

bool td_town_slot_step(struct td_town_slot *s, struct td_rng *rng, double dt)
{
    int customers = (int)td_town_arrivals(rng, s->rate, dt);
    int bought = customers < s->stock ? customers : s->stock;
    s->stock -= bought;
    s->sold += (uint64_t)bought;
    s->missed += (uint64_t)(customers - bought);
    return customers > 0;
}

int td_town_slot_fill(struct td_town_slot *s, int count)
{
    int room = s->cap - s->stock;
    int filled = count < 0 ? 0 : count < room ? count : room;
    s->stock += filled;
    return filled;
}

/* ---- a room ----
 *
 *   outside <--- windows, gaps ---> air <---> walls <--- insulation ---> outside
 *                                    ^ heater
 * Times in seconds after which a difference has gone to a third. */

static const double AIR_TO_WALL_S = 60, AIR_TO_OUTSIDE_S = 900, AIR_TO_OPEN_WINDOW_S = 45;
static const double WALL_TO_AIR_S = 600, WALL_TO_OUTSIDE_S = 3600, SENSOR_S = 3;
static const double HEATER_K_PER_S = 0.16;

void td_town_room_step(struct td_town_room *r, double dt)
{
    double out_s = r->window ? AIR_TO_OPEN_WINDOW_S : AIR_TO_OUTSIDE_S;
    double air = (r->wall_c - r->air_c) / AIR_TO_WALL_S + (r->outside_c - r->air_c) / out_s +
                 (r->heater ? HEATER_K_PER_S : 0);
    double wall =
        (r->air_c - r->wall_c) / WALL_TO_AIR_S + (r->outside_c - r->wall_c) / WALL_TO_OUTSIDE_S;
    r->air_c += air * dt;
    r->wall_c += wall * dt;
    r->sensor_c += (r->air_c - r->sensor_c) * (dt < SENSOR_S ? dt / SENSOR_S : 1);
}

double td_town_outside_c(double time_s)
{
    return 6 - 5 * cos(2 * PI * time_s / 600); /* coldest at the start of the day */
}

/* ---- a crossing ---- */

static const double LEAVE_PER_S = 0.5, LEAVE_FLASHING_PER_S = 0.15, START_S = 2;

double td_town_traffic(enum td_town_arm arm, double time_s)
{
    double phase = arm == TD_TOWN_NS ? 0 : PI;
    return 0.12 + 0.09 * sin(2 * PI * time_s / 240 + phase);
}

/* Vehicles an arm lets go, as a rate: nothing in the first two seconds of green, while drivers
 * react. */
static double leaving(const struct td_town_crossing *x, enum td_town_arm arm)
{
    switch (x->shows.arm[arm]) {
    case 'G':
        return x->green_s[arm] < START_S ? 0 : LEAVE_PER_S;
    case 'F':
        return LEAVE_FLASHING_PER_S;
    default:
        return 0;
    }
}

static void arm_step(struct td_town_crossing *x, enum td_town_arm arm, unsigned came, double dt)
{
    x->counted[arm] += came;
    x->queue[arm] += came;
    x->flow[arm] += leaving(x, arm) * dt;
    unsigned may = (unsigned)x->flow[arm];
    unsigned leave = may < x->queue[arm] ? may : x->queue[arm];
    x->flow[arm] -= may;
    x->queue[arm] -= leave;
    x->left[arm] += leave;
    x->green_s[arm] = x->shows.arm[arm] == 'G' ? x->green_s[arm] + dt : 0;
}

void td_town_crossing_step(struct td_town_crossing *x, struct td_rng *rng, double time_s, double dt)
{
    for (enum td_town_arm arm = TD_TOWN_NS; arm < TD_TOWN_ARMS; arm++) {
        arm_step(x, arm, td_town_arrivals(rng, td_town_traffic(arm, time_s), dt), dt);
    }
}

static bool goes(char light)
{
    return light == 'G' || light == 'Y';
}

static bool known(char light)
{
    return light == 'R' || light == 'F' || goes(light);
}

bool td_town_crossing_set(struct td_town_crossing *x, struct td_town_signal wanted)
{
    bool good = known(wanted.arm[TD_TOWN_NS]) && known(wanted.arm[TD_TOWN_EW]) &&
                !(goes(wanted.arm[TD_TOWN_NS]) && wanted.arm[TD_TOWN_EW] != 'R') &&
                !(goes(wanted.arm[TD_TOWN_EW]) && wanted.arm[TD_TOWN_NS] != 'R');
    x->shows = good ? wanted : (struct td_town_signal){{'F', 'F'}};
    return good;
}
