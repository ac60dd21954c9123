/* sim: a fleet of MQTT clients, each with its habits, on one machine, all in the book (naive.h).
 *
 * Habits come from the seed: version, clean or durable session, expiry, receive maximum, will,
 * wildcards, shared groups; how often it speaks, changes subscriptions, says goodbye, vanishes,
 * stops reading, takes its own session over from a second connection. A few rude ones send garbage,
 * half packets, forbidden packets, or never read. */
#ifndef SIM_FLEET_H
#define SIM_FLEET_H

#include "sim/naive.h"

struct sim_fleet_plan {
    uint32_t clients;           /* 2.., with the auditor at most SIM_CLIENTS_MAX */
    uint32_t rude;              /* at most 4 */
    td_mono tick_min, tick_max; /* between the actions of one client */
    uint32_t leave_ppm;         /* actions that end the connection in some way */
    uint32_t change_ppm;        /* that change subscriptions */
    uint32_t deaf_ppm;          /* that stop reading for a while */
    size_t payload_max;
    bool shared, wills, retained, expiry; /* features in use */
    bool all_durable;                     /* nobody ever gives up a session */
};

extern const char *const sim_topics[];
extern const size_t sim_topic_count;

struct sim_fleet;

/* Connects to `address` (static). The book's topics are sim_topics. */
struct sim_fleet *sim_fleet_new(struct sim_world *w, struct sim_book *b,
                                const struct sim_fleet_plan *plan, const char *address);
void sim_fleet_free(struct sim_fleet *f);
/* From now on nobody says anything new or leaves; all come back, read, and finish. */
void sim_fleet_calm(struct sim_fleet *f);
/* All are connected and nothing of theirs waits for an answer; if not, who and why. */
bool sim_fleet_settled(const struct sim_fleet *f, char why[128]);
/* One more client comes and subscribes to everything. Gives its number. */
uint32_t sim_fleet_audit(struct sim_fleet *f);
/* When the last message reached anybody. */
td_mono sim_fleet_last_got(const struct sim_fleet *f);

struct sim_fleet_counts {
    uint64_t connects, lost, published, acknowledged, got, subscribed, takeovers, rude;
};

const struct sim_fleet_counts *sim_fleet_counts(const struct sim_fleet *f);

#endif
