/* serve/status: $SYS, how the hub is, as retained messages: mosquitto's names below $SYS/broker/,
 * so that what is made for mosquitto shows us too, and each row of metrics.def as
 * $SYS/tandem/<section>/<name>.
 *
 * They go the way of all messages, with QoS 0, every few seconds, only when they have changed. `#`
 * does not match them (MQTT-4.7.2-1), so they are not recorded; they are not stored either. */
#ifndef TD_SERVE_STATUS_H
#define TD_SERVE_STATUS_H

#include "serve/serve.h"

/* Tells every `interval_s` seconds, first in the first turn; 0: never. `parts` is borrowed for
 * life. Free with td_status_free(). */
struct td_status *td_status_new(struct td_parts *parts, uint32_t interval_s);
void td_status_free(struct td_status *status);
/* Tells what is due. */
void td_status_turn(struct td_status *status, td_mono now);
td_mono td_status_deadline(const struct td_status *status);

#endif
