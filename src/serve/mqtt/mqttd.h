/* serve/mqtt: MQTT clients and their sessions. The glue between the machine of wire/mqtt, the hub,
 * and what the store keeps.
 *
 *   conn.c      a connection: read, feed, answers that wait for a commit, one write a turn
 *   packets.c   what each packet does, one function a type
 *   alias.c     topic aliases on their way out
 *   session.c   a session: its queue, packet ids, QoS flows, will, life and end
 *   keep.c      what of sessions and messages goes to the store, and comes back at start
 *
 * Acknowledge after commit: an answer carries the LSN of what it promises and leaves when that is
 * durable; answers of one connection leave in the order of their causes. A QoS 2 message leaves
 * when message and packet id are durable, a QoS 1 message at once. */
#ifndef TD_SERVE_MQTTD_H
#define TD_SERVE_MQTTD_H

#include "serve/serve.h"

struct td_mqttd;

struct td_mqttd_stats {
    uint64_t connections, connections_total, connections_refused, sessions;
    uint64_t clients, clients_max, connects; /* sessions with a client; CONNECTs accepted */
    uint64_t sessions_expired;
    uint64_t bytes_in, bytes_out, packets_in, packets_out;
    uint64_t publish_in, publish_out;             /* PUBLISH packets */
    uint64_t publish_bytes_in, publish_bytes_out; /* their payloads */
    uint64_t acks_waiting;                        /* answers that wait for a commit, now */
    uint64_t queued, queued_bytes;                /* messages in sessions' queues, now */
    uint64_t dropped_queue_full;                  /* the oldest of a full queue */
    uint64_t dropped_slow;                        /* QoS 0 to a client that does not read */
    uint64_t dropped_offline;                     /* QoS 0 to an absent client */
    uint64_t dropped_too_large;                   /* over the client's maximum packet size */
    uint64_t dropped_expired;                     /* message expiry */
    uint64_t dropped_refused;                     /* the client's PUBACK or PUBREC said no */
    uint64_t dropped_session_end;                 /* still queued when its session ended */
    uint64_t redelivered, takeovers, wills;
    uint64_t protocol_errors, keepalive_timeouts;
};

/* Brings back what the store kept (subscriptions and queues; retained messages into the hub) and
 * opens those of `listeners` that are for MQTT. Errors as td_serve_new. */
enum td_err td_mqttd_new(struct td_parts *parts, const struct td_serve_mqtt_config *config,
                         const struct td_serve_listeners *listeners, struct td_mqttd **out,
                         struct td_buf *why);
/* Says DISCONNECT 0x8B to all and writes what fits; durable sessions stay. */
void td_mqttd_shutdown(struct td_mqttd *d, td_mono now);
/* Frees; closes no stream and tells nobody. */
void td_mqttd_free(struct td_mqttd *d);

/* Ends a turn: answers whose LSN is durable, messages that may go, wills, closings, writes. */
void td_mqttd_turn(struct td_mqttd *d, td_mono now);
td_mono td_mqttd_deadline(const struct td_mqttd *d);
const struct td_mqttd_stats *td_mqttd_stats(const struct td_mqttd *d);
/* Where its i-th listener listens, as text with NUL; false: there are no more. */
bool td_mqttd_address(const struct td_mqttd *d, size_t i, char out[64]);

/* ---- for td_publish: around one message ---- */

/* Behind the hub's delivery of `m`: puts what durable sessions are owed into the store's open
 * batch. True: something was put. */
bool td_mqttd_route(struct td_mqttd *d, const struct td_message *m);
/* The batch has ended at `lsn`: what was routed may go when that is durable. */
void td_mqttd_routed(struct td_mqttd *d, uint64_t lsn);
/* Puts m, which is retained now or removes the retained one, into the open batch. */
void td_mqttd_retain_put(struct td_mqttd *d, const struct td_message *m);

#endif
