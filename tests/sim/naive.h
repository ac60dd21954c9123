/* sim: the naive broker. It does not broker; it keeps book, as seen from the clients, of who said
 * what when, who wanted what when, and who got what, and from that says what a broker may and must
 * have done. No tree, no cache: arrays and td_filter_matches().
 *
 * A client never knows exactly when the hub did something, so each fact has a span. A message is
 * at the hub at some time between `from` (the client gave it away) and `acked`. A subscription is
 * in force surely from its SUBACK on, possibly from its SUBSCRIBE on.
 *
 *   may    what is received was said, by that topic and those bytes; some filter possibly in force
 *          matched it; the QoS fits; QoS 2 and 0 come once; publisher's order is kept
 *   must   an acknowledged QoS 1 or 2 message whose whole span lies after a SUBACK reaches that
 *          subscriber, if its session lived on to the end
 *   also   a session that was promised is there; the retained message of a topic is one that no
 *          acknowledged one surely replaced
 *
 * Times are the world's. */
#ifndef SIM_NAIVE_H
#define SIM_NAIVE_H

#include "sim/world.h"
#include "wire/mqtt/mqtt.h"

enum { SIM_CLIENTS_MAX = 24, SIM_TOPICS_MAX = 64 };

enum sim_form { SIM_JSON, SIM_TEXT, SIM_BINARY, SIM_EMPTY, SIM_FORMS };

struct sim_said {
    uint32_t by;    /* client */
    uint32_t topic; /* index */
    enum sim_form form;
    uint8_t qos;
    bool retain, expires, will;
    bool refused; /* answered with an error: nobody must get it */
    bool twice;   /* its sender had to send it as new: may come twice at QoS 2 */
    bool lost;    /* at QoS 1, 2: its sender gave it up */
    td_mono from, acked;
    double value;                  /* of JSON */
    td_slice payload;              /* owned */
    uint8_t got[SIM_CLIENTS_MAX];  /* live copies, all */
    uint8_t once[SIM_CLIENTS_MAX]; /* those at QoS 0 or 2 */
};

struct sim_want {
    uint32_t who;
    td_slice filter; /* static */
    struct td_mqtt_filter options;
    uint32_t id; /* subscription identifier, 0: none */
    bool shared;
    td_mono asked; /* SUBSCRIBE given away */
    td_mono from;  /* SUBACK seen; TD_NEVER */
    td_mono until_sure, until_possible;
};

struct sim_book;

/* `topics` (static strings, index = topic) are all that is published on. */
struct sim_book *sim_book_new(struct sim_world *w, const char *const *topics, size_t count);
void sim_book_free(struct sim_book *b);
/* What later checks leave out. */
struct sim_book_doubts {
    bool crashes;     /* wills may come twice */
    bool late;        /* the clock jumps, or bytes come long after they were sent: nobody can say
                       * when the expiry of a session began */
    bool queues_full; /* a bounded queue has dropped something: nobody must get anything */
};
struct sim_book_doubts *sim_book_doubts(struct sim_book *b);

/* ---- publishers ---- */

/* A new message; gives its number. Its payload is made up here and names it. */
uint32_t sim_book_say(struct sim_book *b, struct sim_said said, size_t padding);
/* Nobody has sent it after all (the client had no room). */
void sim_book_unsay(struct sim_book *b, uint32_t number);
/* The connection of a will ended without a goodbye: it must be sent. */
void sim_book_will_due(struct sim_book *b, uint32_t number);
struct sim_said *sim_book_said(struct sim_book *b, uint32_t number);
size_t sim_book_said_count(const struct sim_book *b);
td_slice sim_book_topic(const struct sim_book *b, uint32_t topic);

/* ---- sessions ---- */

struct sim_hello {
    bool clean;   /* clean start, or 3.1.1's clean session */
    bool durable; /* the session outlives the connection */
    uint32_t expiry_s;
};

void sim_book_connecting(struct sim_book *b, uint32_t who, const struct sim_hello *hello);
void sim_book_connected(struct sim_book *b, uint32_t who, bool present);
/* The hub must have a session of this client. */
bool sim_book_expects(const struct sim_book *b, uint32_t who);
/* Bytes came from the hub: it lives, and so does the session. */
void sim_book_heard(struct sim_book *b, uint32_t who);
void sim_book_lost(struct sim_book *b, uint32_t who);

/* ---- subscribers ---- */

uint32_t sim_book_want(struct sim_book *b, struct sim_want want);
struct sim_want *sim_book_wanted(struct sim_book *b, uint32_t want);
void sim_book_granted(struct sim_book *b, uint32_t want);
/* UNSUBSCRIBE given away; acknowledged. */
void sim_book_unwant(struct sim_book *b, uint32_t want);
void sim_book_unwanted(struct sim_book *b, uint32_t want);
/* A PUBLISH came: all that it may not be is a failure. */
void sim_book_got(struct sim_book *b, uint32_t who, const struct td_mqtt_packet *packet);

/* ---- at the end ---- */

/* All is quiet, everybody is connected: who has not got what they must have? */
void sim_book_check(struct sim_book *b);
/* This client is a fresh subscriber of everything: what it gets as retained is noted. */
void sim_book_audit(struct sim_book *b, uint32_t auditor);
/* It has got its retained messages by sim_book_got(). */
void sim_book_check_retained(struct sim_book *b, uint32_t auditor);
/* How many deliveries were demanded by sim_book_check(). */
uint64_t sim_book_musts(const struct sim_book *b);

#endif
