/* wire/mqtt: a complete client without I/O, over machine and window. Whoever owns the transport
 * does, when it is open and until it is lost:
 *
 *     td_mqtt_client_connect(c, now)
 *     bytes read   -> while (td_mqtt_client_next(c, &in, now, &event)) ...
 *     bytes to send <- td_mqtt_client_take(c), then td_mqtt_client_sent(c, n), then next() again:
 *                     what waited for room goes out now
 *     time         -> td_mqtt_client_expire(c, now) at td_mqtt_client_deadline(c)
 *     transport lost -> td_mqtt_client_lost(c)
 *
 * The session (QoS 1 and 2 under way) lives in the struct and the lent memory, over many
 * connections. Acknowledgements, pings and resends happen by themselves. When the output is full,
 * next() gives nothing and consumes nothing until bytes were taken: back-pressure. */
#ifndef TD_WIRE_MQTT_CLIENT_H
#define TD_WIRE_MQTT_CLIENT_H

#include "wire/mqtt/window.h"

enum { TD_MQTT_CLIENT_OUT_MIN = 256 };

struct td_mqtt_client_options {
    uint8_t version; /* enum td_mqtt_version; 0 means 5 */
    /* Client id, user, password, will, keep alive, clean start, as the packet has them. */
    struct td_mqtt_connect connect;
    struct td_mqtt_props props; /* of CONNECT */
    bool ack_by_hand;           /* QoS 1 and 2 messages are acknowledged by td_mqtt_client_ack() */
};

/* Lent for the client's life. `out` must hold the largest packet to send; `held` keeps QoS 1 and 2
 * messages until they are acknowledged, is aligned to 8, and may be empty for who sends QoS 0
 * only. */
struct td_mqtt_client_memory {
    uint8_t *out;
    size_t out_bytes; /* at least TD_MQTT_CLIENT_OUT_MIN */
    uint8_t *held;
    size_t held_bytes;
    struct td_mqtt_slot *slots; /* a power of two of them */
    size_t slot_count;          /* 0: QoS 0 only, no subscriptions */
    uint16_t *ids;              /* a power of two; half of them may be in use */
    size_t id_count;
    void *aliases; /* aligned as malloc does; may be empty if alias_max is 0 */
    size_t alias_bytes;
};

enum td_mqtt_client_what {
    TD_MQTT_EVENT_CONNECTED,    /* packet: CONNACK */
    TD_MQTT_EVENT_REFUSED,      /* packet: CONNACK; reason: why. Close the transport */
    TD_MQTT_EVENT_MESSAGE,      /* packet: PUBLISH */
    TD_MQTT_EVENT_PUBLISHED,    /* id: of a QoS 1, 2 publish; reason >= 0x80: refused */
    TD_MQTT_EVENT_SUBSCRIBED,   /* id; packet: SUBACK, codes in packet.list */
    TD_MQTT_EVENT_UNSUBSCRIBED, /* id; packet: UNSUBACK */
    TD_MQTT_EVENT_CLOSED /* reason: the server's DISCONNECT (packet), or why we end it (rule):
                                 * send what is left to take, close the transport, say lost */
};

struct td_mqtt_client_event {
    enum td_mqtt_client_what what;
    uint16_t id;
    uint8_t reason;               /* enum td_mqtt_reason */
    bool by_server;               /* CLOSED: the server said so */
    const char *rule;             /* CLOSED by us: the rule broken; else NULL */
    struct td_mqtt_packet packet; /* slices borrow from `in` and stand until it moves */
};

struct td_mqtt_client_message {
    td_slice topic, payload;
    struct td_mqtt_props props; /* 5.0 only */
    uint8_t qos;
    bool retain;
};

/* Stays where it was initialised: it points into itself. */
struct td_mqtt_client {
    struct td_mqtt machine;
    struct td_mqtt_window window;
    struct td_mqtt_ids ids;
    struct td_mqtt_limits limits;
    const struct td_mqtt_client_options *options;
    struct td_mqtt_client_memory memory;
    size_t out_at, out_end;       /* bytes to send */
    size_t held_head, held_tail;  /* the ring of kept messages */
    size_t held_used;             /* bytes of it */
    td_mono wrote;                /* when something was last put into `out` */
    td_mono ping_sent;            /* TD_NEVER: no PINGRESP is awaited */
    uint64_t published, received; /* messages */
    uint16_t too_large_id;        /* a kept message that this server does not take */
    uint8_t server_qos_max;
    bool server_no_retain;
    bool fresh;       /* PUBRECs of a session that the server has forgotten are to be told */
    bool closing;     /* nothing more is said or heard */
    bool closed_told; /* and its event was pulled */
};

/* `options` and all its slices outlive the client. */
void td_mqtt_client_init(struct td_mqtt_client *c, const struct td_mqtt_client_options *options,
                         const struct td_mqtt_client_memory *memory);
/* A fresh transport is open: CONNECT goes out. TD_ERANGE: the options do not fit MQTT's lengths or
 * the output. */
enum td_err td_mqtt_client_connect(struct td_mqtt_client *c, td_mono now);
/* The transport is gone. What was QoS 1 or 2 stays and is sent again after the next connect if the
 * server has kept the session, else as new messages. */
void td_mqtt_client_lost(struct td_mqtt_client *c);

/* Pulls one event, consuming from *in; false: nothing (more) for now. */
bool td_mqtt_client_next(struct td_mqtt_client *c, td_slice *in, td_mono now,
                         struct td_mqtt_client_event *out);
/* What is to be sent; stands until the next call of any verb. */
td_slice td_mqtt_client_take(struct td_mqtt_client *c);
/* The first n of those bytes are on their way. */
void td_mqtt_client_sent(struct td_mqtt_client *c, size_t n);

/* When to call expire: the next ping, a PINGRESP or CONNACK that does not come. */
td_mono td_mqtt_client_deadline(const struct td_mqtt_client *c);
/* True: the connection is dead, the next event is CLOSED. */
bool td_mqtt_client_expire(struct td_mqtt_client *c, td_mono now);

/* The verbs. `now` is for keep alive. TD_EFULL: output, kept messages or window are full, come back
 * after sent() or an event. TD_ERANGE: a name is not valid, a length not MQTT's, or the server does
 * not take it (size, QoS, retain). TD_EAGAIN: not connected (QoS 1, 2 are kept all the same and
 * sent when there is a connection). *id is set for QoS 1, 2 only. */
enum td_err td_mqtt_client_publish(struct td_mqtt_client *c, const struct td_mqtt_client_message *m,
                                   td_mono now, uint16_t *id);
enum td_err td_mqtt_client_subscribe(struct td_mqtt_client *c, const struct td_mqtt_filter *filters,
                                     size_t count, const struct td_mqtt_props *props, td_mono now,
                                     uint16_t *id);
enum td_err td_mqtt_client_unsubscribe(struct td_mqtt_client *c, const td_slice *filters,
                                       size_t count, td_mono now, uint16_t *id);
/* Acknowledges a MESSAGE with QoS 1 or 2 (options.ack_by_hand); TD_EFULL: later. */
enum td_err td_mqtt_client_ack(struct td_mqtt_client *c, unsigned qos, uint16_t id, unsigned reason,
                               td_mono now);
/* Says DISCONNECT. Send what is left, close the transport, call lost. */
enum td_err td_mqtt_client_disconnect(struct td_mqtt_client *c, unsigned reason, td_mono now);
/* Publishes and (un)subscribes that wait for their answer. */
size_t td_mqtt_client_in_flight(const struct td_mqtt_client *c);

#endif
