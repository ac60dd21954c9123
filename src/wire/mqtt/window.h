/* wire/mqtt: the packet ids of a session. It lives as long as the session, over many connections,
 * and knows no bytes: what a slot stands for is the caller's `body`.
 *
 *   td_mqtt_window   ids that we gave out          slot = id & mask, 16 bytes each
 *   td_mqtt_ids      QoS 2 ids that the peer uses   a small hash set, 2 bytes each
 *
 * Both work in storage that the caller lends and may enlarge at any time; none while idle. */
#ifndef TD_WIRE_MQTT_WINDOW_H
#define TD_WIRE_MQTT_WINDOW_H

#include "wire/mqtt/mqtt.h"

/* ---- outgoing ---- */

enum td_mqtt_flight {
    TD_MQTT_FREE,
    TD_MQTT_QOS1,        /* PUBLISH goes out, PUBACK comes */
    TD_MQTT_QOS2,        /* PUBLISH goes out, PUBREC comes */
    TD_MQTT_RELEASED,    /* PUBREL goes out, PUBCOMP comes */
    TD_MQTT_SUBSCRIBING, /* a client's (UN)SUBSCRIBE; does not count, dies with the connection */
    TD_MQTT_UNSUBSCRIBING
};

struct td_mqtt_slot {
    uint64_t body;  /* the caller's: where the message is */
    uint32_t order; /* of sending; wraps */
    uint16_t id;
    uint8_t state;   /* enum td_mqtt_flight */
    bool sent : 1;   /* on this connection */
    bool counts : 1; /* its PUBLISH was: it takes from the peer's receive maximum */
};

enum { TD_MQTT_WINDOW_MAX = 1024, TD_MQTT_WINDOW_FIRST = 4 };

struct td_mqtt_window {
    struct td_mqtt_slot *slots; /* lent; cap of them */
    uint32_t order;             /* of the next send */
    uint16_t cap;               /* a power of two, 0: nothing lent */
    uint16_t used;              /* slots not FREE */
    uint16_t quota;             /* PUBLISHes that the peer still takes (MQTT-4.9.0-1) */
    uint16_t quota_max;         /* its receive maximum, at most TD_MQTT_WINDOW_MAX */
    uint16_t last_id;
    uint16_t unsent; /* slots that wait for td_mqtt_window_resend() */
};

/* `last_id`: ids go on behind it. A session that starts again after a crash begins 32,768 behind
 * its last known id, so that late acknowledgements hit nothing. */
void td_mqtt_window_init(struct td_mqtt_window *w, uint16_t last_id);
/* A connection begins, the peer's receive maximum is known. What is in flight waits to be sent
 * again; (UN)SUBSCRIBEs in flight are forgotten. */
void td_mqtt_window_resume(struct td_mqtt_window *w, uint16_t receive_max);

/* Slots that storage must have for one more entry: cap if there is room, 2 x cap if not (4 at
 * first), 0 if the window has its largest size. */
size_t td_mqtt_window_want(const struct td_mqtt_window *w);
/* Moves everything into `cap` (a power of two, >= the old one) new slots; the old storage is the
 * caller's again. */
void td_mqtt_window_lend(struct td_mqtt_window *w, struct td_mqtt_slot *slots, size_t cap);
/* Whether a PUBLISH may go out now: quota left and nothing older waits to be sent again. */
bool td_mqtt_window_open(const struct td_mqtt_window *w);

/* Takes the next free id for `state` QOS1, QOS2, SUBSCRIBING or UNSUBSCRIBING, to be sent now.
 * TD_EFULL: not open (does not hold for SUBSCRIBING). TD_ENOMEM: lend more slots. */
enum td_err td_mqtt_window_take(struct td_mqtt_window *w, enum td_mqtt_flight state, uint64_t body,
                                uint16_t *id);
/* As take, without a connection: it waits for the resume. TD_ENOMEM only. */
enum td_err td_mqtt_window_hold(struct td_mqtt_window *w, enum td_mqtt_flight state, uint64_t body,
                                uint16_t *id);
/* Puts back an entry of a restored session, in send order. TD_ENOMEM: its place is taken, lend more
 * slots. */
enum td_err td_mqtt_window_restore(struct td_mqtt_window *w, enum td_mqtt_flight state, uint16_t id,
                                   uint64_t body);
/* The slot of an id, NULL if it is not in use. */
struct td_mqtt_slot *td_mqtt_window_find(const struct td_mqtt_window *w, uint16_t id);

enum td_mqtt_acked {
    TD_MQTT_ACK_DONE,    /* the slot is free again, *body may go (PUBACK, PUBCOMP, PUBREC >= 0x80,
                          * SUBACK, UNSUBACK) */
    TD_MQTT_ACK_RELEASE, /* PUBREC: now RELEASED, *body may go; answer PUBREL */
    TD_MQTT_ACK_AGAIN,   /* PUBREC repeated: answer PUBREL again */
    TD_MQTT_ACK_UNKNOWN, /* no such id: a PUBREC is answered by PUBREL 0x92, others are ignored */
    TD_MQTT_ACK_WRONG    /* the id is in use for something else: protocol error 0x82 */
};

/* An acknowledgement of `type` has come. */
enum td_mqtt_acked td_mqtt_window_ack(struct td_mqtt_window *w, unsigned type, uint16_t id,
                                      unsigned reason, uint64_t *body);
/* Forgets an entry that is not on its way (expired, too big for this peer); its id is free. */
void td_mqtt_window_drop(struct td_mqtt_window *w, uint16_t id);
/* After resume: the next entry to send again, in send order, as PUBLISH with DUP (QOS1, QOS2) or
 * PUBREL (RELEASED); NULL: none, or the quota is used up for now. It counts as sent. */
struct td_mqtt_slot *td_mqtt_window_resend(struct td_mqtt_window *w);
/* The same in two steps, for who first has to see whether there is room: the entry that resend()
 * would give, and that it has gone out now. */
struct td_mqtt_slot *td_mqtt_window_waiting(const struct td_mqtt_window *w);
void td_mqtt_window_sent(struct td_mqtt_window *w, struct td_mqtt_slot *s);
/* Walks all entries in send order: start with NULL. O(cap) a step. */
struct td_mqtt_slot *td_mqtt_window_next(const struct td_mqtt_window *w,
                                         const struct td_mqtt_slot *after);

/* ---- incoming QoS 2 ---- */

struct td_mqtt_ids {
    uint16_t *slots; /* lent; 0 = free */
    uint32_t cap;    /* a power of two, 0: nothing lent */
    uint32_t used;   /* at most half of cap */
};

void td_mqtt_ids_init(struct td_mqtt_ids *s);
/* Slots wanted for one more id: cap if there is room, else twice as many (8 at first). */
size_t td_mqtt_ids_want(const struct td_mqtt_ids *s);
/* Moves all ids into `cap` (a power of two, >= the old one) new slots. */
void td_mqtt_ids_lend(struct td_mqtt_ids *s, uint16_t *slots, size_t cap);
bool td_mqtt_ids_has(const struct td_mqtt_ids *s, uint16_t id);
/* TD_EEXIST: already there. TD_ENOMEM: lend more slots. id is not 0. */
enum td_err td_mqtt_ids_add(struct td_mqtt_ids *s, uint16_t id);
/* False: it was not there. */
bool td_mqtt_ids_remove(struct td_mqtt_ids *s, uint16_t id);
/* Walks: *at starts as 0; gives the next id, 0: no more. */
uint16_t td_mqtt_ids_next(const struct td_mqtt_ids *s, uint32_t *at);

#endif
