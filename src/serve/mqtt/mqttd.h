/* serve/mqtt: MQTT clients and their sessions. The glue between the machine of wire/mqtt, the hub,
 * and what the store keeps.
 *
 *   conn.c      a connection: read, feed, answers that wait for a commit, one write a turn
 *   packets.c   what each packet does, one function a type
 *   alias.c     topic aliases on their way out
 *   shared.c    what a member of a shared group does not deliver goes to another
 *   auth.c      enhanced authentication: SCRAM-SHA-256
 *   admit.c     who a client is, what it may, what ends when that changes
 *   session.c   a session: its queue, packet ids, QoS flows, will, life and end
 *   clients.c   clients, one by one: their counters
 *   limit.c     how fast a client may send, how many may come at once
 *   memory.c    how much is held, and what gives way when it is too much
 *   retain.c    the retained messages that a subscription asks for
 *   delay.c     messages that are to be published later
 *   trace.c     what happened to messages lately; why a client got one, or not
 *   keep.c      what of sessions and messages goes to the store, and comes back at start
 *
 * Acknowledge after commit: an answer carries the LSN of what it promises and leaves when that is
 * durable; answers of one connection leave in the order of their causes. A QoS 2 message leaves
 * when message and packet id are durable, a QoS 1 message at once. */
#ifndef TD_SERVE_MQTTD_H
#define TD_SERVE_MQTTD_H

#include "serve/serve.h"

struct td_mqttd;

/* Who comes to a hub that has no users. */
#define TD_MQTTD_LOCAL "local"

/* Why a session did not get a message. */
#define TD_DROPS(D)                                                                                \
    D(QUEUE_FULL, queue_full, "the oldest of a full queue")                                        \
    D(SLOW, slow, "QoS 0 to a client that does not read")                                          \
    D(OFFLINE, offline, "QoS 0 to an absent client")                                               \
    D(TOO_LARGE, too_large, "over the client's maximum packet size")                               \
    D(EXPIRED, expired, "message expiry")                                                          \
    D(REFUSED, refused, "the client's PUBACK or PUBREC said no")                                   \
    D(SESSION_END, session_end, "still queued when its session ended")                             \
    D(DENIED, denied, "the client may not read it")                                                \
    D(REVOKED, revoked, "its author is gone")                                                      \
    D(MEMORY, memory, "the hub's memory is full, and the session held much of it")                 \
    D(RATE, rate, "its own message: it was over the client's rate, and went to nobody")

enum td_drop {
#define D(NAME, name, text) TD_DROP_##NAME,
    TD_DROPS(D)
#undef D
        TD_DROP_COUNT
};

/* "queue_full" */
const char *td_drop_name(enum td_drop why);

struct td_mqttd_stats {
    uint64_t connections, connections_total, connections_refused, sessions;
    uint64_t clients, clients_max, connects; /* sessions with a client; CONNECTs accepted */
    uint64_t sessions_expired;
    uint64_t bytes_in, bytes_out, packets_in, packets_out;
    uint64_t publish_in, publish_out;             /* PUBLISH packets */
    uint64_t publish_bytes_in, publish_bytes_out; /* their payloads */
    uint64_t acks_waiting;                        /* answers that wait for a commit, now */
    uint64_t queued, queued_bytes;                /* messages in sessions' queues, now */
#define D(NAME, name, text) uint64_t dropped_##name;
    TD_DROPS(D)
#undef D
    uint64_t half_open;          /* connections that have not said CONNECT, now */
    uint64_t half_open_closed;   /* of them, closed because there were too many */
    uint64_t connects_refused;   /* CONNECTs over the rate */
    uint64_t connects_busy;      /* CONNECTs refused for lack of memory */
    uint64_t rate_waits;         /* times that a client over its rate was not read from */
    uint64_t rate_closed;        /* clients closed for it */
    uint64_t memory, memory_max; /* bytes in use as seen last, and the bound; 0: none */
    uint64_t memory_level;       /* above 0, 60, 80, 95 % of it: 0 to 3 */
    uint64_t memory_closed;      /* connections closed because they held most */
    uint64_t redelivered, redispatched, takeovers, wills; /* redispatched: in shared groups */
    uint64_t delayed, delayed_bytes;                      /* for later, now */
    uint64_t delayed_accepted, delayed_published, delayed_cancelled;
    uint64_t delayed_refused, delayed_denied; /* no room; not allowed any more when due */
    uint64_t protocol_errors, keepalive_timeouts;
    uint64_t tls_failures;                       /* handshakes */
    uint64_t logins_refused;                     /* CONNECTs without or with wrong credentials */
    uint64_t publish_denied, subscribe_denied;   /* the client has no right to it */
    uint64_t wills_denied;                       /* at CONNECT, or when they were to be sent */
    uint64_t ids_shared;                         /* CONNECTs with another principal's client id */
    uint64_t sessions_revoked, retained_revoked; /* their principal is gone */
    uint64_t subscriptions_withdrawn;            /* the right to them is gone */
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

/* ---- clients, one by one (clients.c) ---- */

/* A session as it is now. */
struct td_mqttd_client {
    td_slice principal, client_id; /* borrowed: until the next event */
    bool connected;
    uint8_t version; /* 3, 4, 5; 0: not connected */
    uint16_t keep_alive_s;
    int stream;        /* -1: not connected */
    uint32_t expiry_s; /* 0: ends with the connection; UINT32_MAX: never */
    uint64_t since_ms; /* it came or went so long ago */
    uint32_t subscriptions;
    uint64_t messages_in, messages_out, bytes_in, bytes_out; /* since the session began */
    uint32_t queued;                                         /* wait for room in the window */
    uint64_t queued_bytes, unsent_bytes; /* unsent: written to a socket that takes no more */
    uint32_t window, window_max;         /* QoS 1, 2 sent and not acknowledged; at most */
    uint32_t ack_us, ack_us_max; /* from a message to its acknowledgement: recent, longest */
    uint64_t dropped;            /* all of the next */
    uint64_t drops[TD_DROP_COUNT];
};

enum td_mqttd_sort {
    TD_MQTTD_SORT_NONE, /* in the order of birth */
    TD_MQTTD_SORT_QUEUE,
    TD_MQTTD_SORT_DROPS,
    TD_MQTTD_SORT_UNSENT,
    TD_MQTTD_SORT_ACK,
    TD_MQTTD_SORT_IN,
    TD_MQTTD_SORT_OUT
};

/* Gives the `max` first by that order, greatest first, into `out`; the count of them. It looks at
 * every session. */
size_t td_mqttd_clients(const struct td_mqttd *d, enum td_mqttd_sort by, td_mono now,
                        struct td_mqttd_client *out, size_t max);
/* The sessions of a client id, of one principal or (principal.n 0) of all, `max` at most. */
size_t td_mqttd_clients_find(struct td_mqttd *d, td_slice principal, td_slice client_id,
                             td_mono now, struct td_mqttd_client *out, size_t max);
/* Says DISCONNECT 0x98 to the clients of that id and closes their connections; gives how many. What
 * the sessions keep stays, wills go out. */
size_t td_mqttd_clients_close(struct td_mqttd *d, td_slice principal, td_slice client_id,
                              td_mono now);
/* ---- for serve/http: a WebSocket at the page's address becomes an MQTT connection ---- */

/* May one more connection come? */
bool td_mqttd_has_room(const struct td_mqttd *d);
struct td_listener;
/* Takes the stream over: answers the handshake that had this key; `rest` (64 KB at most, copied)
 * was read behind it. There must be room. */
void td_mqttd_upgrade(struct td_mqttd *d, struct td_listener *listener, int stream, td_slice key,
                      td_slice rest, td_mono now);
/* Users or grants are others now. What principals that are gone had here is gone when it returns;
 * what the rest may no longer is withdrawn. */
void td_mqttd_rights_changed(struct td_mqttd *d, td_mono now);

/* ---- why did it get there, or not (trace.c) ---- */

enum td_mqttd_trace_kind { TD_MQTTD_TRACE_PUBLISH, TD_MQTTD_TRACE_SHARED, TD_MQTTD_TRACE_DROP };

/* Something that happened to messages of a topic. */
struct td_mqttd_trace {
    enum td_mqttd_trace_kind kind;
    uint64_t age_ms;
    td_slice
        client_id;  /* PUBLISH: of its sender; SHARED: of the member chosen; DROP: of who did not
                         * get it. n 0: the hub itself, or a session that is gone. Borrowed. */
    uint32_t count; /* PUBLISH: sessions reached; else messages that waited in the session */
    uint8_t qos;    /* as published; not of a DROP */
    bool retain;
    enum td_drop why; /* of a DROP */
};

/* The newest rows about a topic, newest first, publishes and choices before drops; gives the count.
 * What is older than the rings reach back is not known any more. */
size_t td_mqttd_trace(const struct td_mqttd *d, td_slice topic, td_mono now,
                      struct td_mqttd_trace *out, size_t max);

/* A session's subscription, and what it makes of a topic. */
struct td_mqttd_hearing {
    td_slice filter; /* as it was asked for, with $share/ */
    bool shared, matches, no_local;
    uint8_t qos;
    struct td_filter_miss miss; /* !matches */
};

/* Calls fn for each subscription of the session of that key. False: there is no such session. */
bool td_mqttd_hearings(struct td_mqttd *d, td_slice principal, td_slice client_id, td_slice topic,
                       void (*fn)(void *ctx, const struct td_mqttd_hearing *h), void *ctx);

/* Messages of a topic that a session is owed. */
struct td_mqttd_owed {
    uint32_t waiting;  /* in the queue */
    uint32_t position; /* of the first of them, the front is 1; 0: there is none */
    uint32_t sent;     /* sent, or about to be, and not acknowledged */
    bool denied;       /* the principal may not read the topic */
};

/* Nothing, if there is no such session. */
void td_mqttd_owed(struct td_mqttd *d, td_slice principal, td_slice client_id, td_slice topic,
                   struct td_mqttd_owed *out);

/* A session that gets what is published on a topic now; a member of a shared group may get it. */
struct td_mqttd_hearer {
    struct td_mqttd_client client;
    td_slice group; /* n 0: by its own subscriptions */
    uint8_t qos;
    bool no_local;
};

/* Gives the first `max`; *all is how many there are. */
size_t td_mqttd_hearers(struct td_mqttd *d, td_slice topic, td_mono now,
                        struct td_mqttd_hearer *out, size_t max, size_t *all);

/* ---- messages for later (delay.c) ---- */

struct td_mqttd_delayed {
    uint64_t number;                      /* its name, in the order of birth */
    td_slice topic, principal, client_id; /* borrowed: until the next event */
    td_wall due;
    size_t payload_bytes;
    uint8_t qos;
    bool retain;
};

/* Calls fn for each, in no order. */
void td_mqttd_delayed_each(const struct td_mqttd *d,
                           void (*fn)(void *ctx, const struct td_mqttd_delayed *m), void *ctx);
bool td_mqttd_delayed_find(const struct td_mqttd *d, uint64_t number, struct td_mqttd_delayed *out);
/* Forgets one that is there. Gives the LSN that must be durable before anybody is told. */
uint64_t td_mqttd_delayed_cancel(struct td_mqttd *d, uint64_t number);

/* ---- for td_publish: around one message ---- */

/* Behind the hub's delivery of `m`: puts what durable sessions are owed into the store's open
 * batch. True: something was put. */
bool td_mqttd_route(struct td_mqttd *d, const struct td_message *m);
/* The batch has ended at `lsn`: what was routed may go when that is durable. */
void td_mqttd_routed(struct td_mqttd *d, uint64_t lsn);
/* Puts m, which is retained now or removes the retained one, into the open batch. */
void td_mqttd_retain_put(struct td_mqttd *d, const struct td_message *m);
/* Removes the retained message of a topic from the store: into the open batch, and in a long row of
 * them the batch is ended now and then. */
void td_mqttd_retain_forget(struct td_mqttd *d, td_slice topic);

/* ---- for serve/loop ---- */

struct td_loop_moved;

/* A connection comes from another loop; `moved` is read during the call. */
void td_mqttd_arrived(struct td_mqttd *d, const struct td_loop_moved *moved);
/* It will never arrive (the process ends): frees it. */
void td_mqttd_lost(const struct td_loop_moved *moved);
/* A session hears a message as the member of a group that was chosen. */
void td_mqttd_hear(struct td_mqttd *d, uint64_t session, struct td_message *m,
                   const struct td_delivery *delivery);
/* What an absent member of a group with that key was not sent goes back to loop 0. */
void td_mqttd_gather(struct td_mqttd *d, uint64_t session, uint32_t key);
/* On loop 0: a member of shared groups is there now, of this loop or another: absent ones give what
 * they hold. Of one of its subscriptions, NULL: of all. */
void td_mqttd_shared_come(struct td_subscriber *who, const struct td_subscription *only);
/* A retained message that a session of the loop asked for. */
void td_mqttd_owe_retained(struct td_mqttd *d, uint64_t session, struct td_message *m, uint8_t qos,
                           uint32_t id);
/* The publish under way goes to loop 0, which knows whom it reaches. */
void td_mqttd_reached_elsewhere(struct td_mqttd *d);
/* What others say is read before the turn's events. */
void td_mqttd_clock_set(struct td_mqttd *d, td_mono now);

#endif
