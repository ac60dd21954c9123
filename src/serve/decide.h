/* serve/decide: the rules at the hub. A subscriber feeds them with messages, a deadline with time;
 * what they want kept goes into the store's open batch, what they send goes out as messages.
 *
 *     deliver ---> td_rules_message ---> STATE ---> the batch of the very message that caused it
 *                                   ---> SEND, qos 0 ---> published when the delivery is over
 *                                   ---> SEND, qos 1+ --> into the same batch; published when that
 *                                                        is durable, and with it taken out again
 *
 * So after a crash either the message was never acknowledged and its sender says it again, or latch
 * and order are both there: no order is lost, none is made twice. */
#ifndef TD_SERVE_DECIDE_H
#define TD_SERVE_DECIDE_H

#include "rules/rules.h"
#include "serve/serve.h"

enum { TD_DECIDE_EVENTS = 50 };

/* Something that a rule did. */
struct td_decide_event {
    td_wall at;
    td_slice rule, key, text;
};

struct td_decide_stats {
    uint64_t sent, fired;
    uint64_t waiting;      /* orders that wait for their record to be durable, now */
    uint64_t send_refused; /* over the bound of the queue: 100,000, or 64 MB */
};

/* Compiles the files, brings back what the store kept, subscribes. Changes nothing in the store:
 * call it while starting. TD_ESYNTAX: `why` holds the errors of the files. */
enum td_err td_decide_new(struct td_parts *parts, const struct td_serve_file *files, size_t count,
                          struct td_decide **out, struct td_buf *why);
/* Once, when all parts are there: hears the retained messages, and the rules begin. */
void td_decide_start(struct td_decide *d, td_mono now);
void td_decide_free(struct td_decide *d);

/* Runs what is due and publishes what may go. Before the sessions write. */
void td_decide_turn(struct td_decide *d, td_mono now);
td_mono td_decide_deadline(const struct td_decide *d);

/* ---- for td_publish: around one message ---- */

/* Something was put into the open batch that must not wait. */
bool td_decide_staged(const struct td_decide *d);
/* The batch has ended at `lsn`. */
void td_decide_routed(struct td_decide *d, uint64_t lsn);

/* ---- for those who look ---- */

struct td_rules *td_decide_rules(const struct td_decide *d);
const struct td_decide_stats *td_decide_stats(const struct td_decide *d);
/* How many events there ever were; the last TD_DECIDE_EVENTS are kept. */
uint64_t td_decide_event_count(const struct td_decide *d);
/* Event number `i` (from 0); NULL: not kept any more, or not yet. Until the next turn. */
const struct td_decide_event *td_decide_event(const struct td_decide *d, uint64_t i);

#endif
