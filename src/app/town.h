/* app, private: the physics of the sample town: a vending machine's slot, a room with a heater, a
 * crossing. Pure: a state, a span of time and chance in, a new state out. No topics, no clock. */
#ifndef TD_APP_TOWN_H
#define TD_APP_TOWN_H

#include "base/base.h"

/* ---- chance ---- */

/* How many of something that happens `rate` times a second happen within `dt` seconds (Poisson). */
unsigned td_town_arrivals(struct td_rng *rng, double rate, double dt);

/* ---- a slot of a vending machine ---- */

struct td_town_slot {
    int stock, cap;
    uint64_t sold, missed; /* missed: customers who found it empty */
    double rate;           /* customers a second */
};

/* Customers of dt seconds buy one each while there is something. True: something changed. */
bool td_town_slot_step(struct td_town_slot *s, struct td_rng *rng, double dt);
/* A delivery; what does not fit goes back. Gives how many went in. */
int td_town_slot_fill(struct td_town_slot *s, int count);

/* ---- a room ---- */

struct td_town_room {
    double air_c, wall_c; /* the walls hold most of the heat */
    double sensor_c;      /* what the thermometer shows, a few seconds late */
    double outside_c;
    bool heater, window;
};

/* How the room goes on for dt seconds (at most 1 a call, for the sake of stability). */
void td_town_room_step(struct td_town_room *r, double dt);
/* The weather at a time of the sample day, which has ten minutes. */
double td_town_outside_c(double time_s);

/* ---- a crossing ---- */

enum td_town_arm { TD_TOWN_NS, TD_TOWN_EW, TD_TOWN_ARMS };

/* What a signal shows: 'R' red, 'Y' yellow, 'G' green, 'F' flashing yellow. */
struct td_town_signal {
    char arm[TD_TOWN_ARMS];
};

struct td_town_crossing {
    struct td_town_signal shows;
    double green_s[TD_TOWN_ARMS];   /* how long it has been green */
    double flow[TD_TOWN_ARMS];      /* vehicles that could have left, beyond whole ones */
    uint64_t counted[TD_TOWN_ARMS]; /* by the loop in the road, ever */
    uint64_t left[TD_TOWN_ARMS];
    unsigned queue[TD_TOWN_ARMS];
};

/* Vehicles a second on an arm at a time: two rush hours that take turns. */
double td_town_traffic(enum td_town_arm arm, double time_s);
/* Vehicles come, queue, and leave on green; on flashing yellow they leave slowly. */
void td_town_crossing_step(struct td_town_crossing *x, struct td_rng *rng, double time_s,
                           double dt);
/* Obeys a command, unless both arms would have the right of way: then it flashes. False: it was
 * such a command, or one with unknown letters. */
bool td_town_crossing_set(struct td_town_crossing *x, struct td_town_signal wanted);

#endif
