/* sim: peers without manners. They send garbage, halves of packets, forbidden packets, announce
 * lengths and send nothing, subscribe to everything and never read. What they do must cost the
 * hub nothing but their own connection, and none of it reaches anybody. */
#ifndef SIM_RUDE_H
#define SIM_RUDE_H

#include "sim/world.h"

struct sim_rude;

struct sim_rude *sim_rude_new(struct sim_machine *m, uint32_t count, const char *address);
void sim_rude_free(struct sim_rude *r);
/* No new connections; the old ones are closed. */
void sim_rude_stop(struct sim_rude *r);
/* False: the event is not of a rude peer. */
bool sim_rude_event(struct sim_rude *r, const struct td_sys_event *e);

#endif
