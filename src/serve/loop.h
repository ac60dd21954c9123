/* serve/loop: N event loops as one hub.
 *
 * Each loop has its own seam, topic tree, connections and sessions. Loop 0 also has what there is
 * once: the log and all that stands on it (recorder, rules, retained messages, choosing in shared
 * groups), HTTP, and the listeners. Loops share nothing but rings (base/ring.h): what one has to
 * say to another gathers in a parcel, which is handed over when the turn ends.
 *
 *     accept on loop 0 --CONNECT--> the loop of hash(client id) -- there the session lives
 *
 *     QoS 0         its loop: match once --> each loop with interest: match its own subscribers
 *     QoS 1, 2      its loop --> loop 0: match, retain, decide, record --> each loop with interest
 *
 * What must be acknowledged goes by loop 0, so all loops see it in one order, the log's. What is
 * retained at QoS 0 goes both ways: straight to who listens, and to loop 0 to be kept.
 *
 *   loop.c     birth, turn, end                mail.c    parcels and rings
 *   pass.c     messages, interest, groups      ledger.c  batches, tickets, what is durable
 *
 * With one loop (td_parts.loop NULL) nothing of this is in use. The functions are for the rest of
 * serve/ and are called by the loop's own thread, except where it says otherwise. */
#ifndef TD_SERVE_LOOP_H
#define TD_SERVE_LOOP_H

#include "hub/hub.h"
#include "serve/serve.h"
#include "store/store.h"

struct td_loop;
struct td_loops;
struct td_mqttd_stats;

#define TD_LOOP_COMMIT_KEY "loops/commit" /* of TD_STATE_SETTING: the last group commit */

/* ---- birth, turns, end: for serve.c ---- */

/* `count` loops (2..TD_HUB_LOOPS_MAX), one a seam. Their parts are the caller's to fill in, in
 * td_loop_parts(). All by one thread, before others begin. */
struct td_loops *td_loops_new(struct td_sys *const *sys, unsigned count);
/* Before anything is freed: nobody reads what is under way. */
void td_loops_drop_mail(struct td_loops *all);
/* Before the hubs are freed: what they have of other loops. */
void td_loops_part(struct td_loops *all);
/* After all else. */
void td_loops_free(struct td_loops *all);
struct td_loop *td_loops_at(struct td_loops *all, unsigned number);
struct td_parts *td_loop_parts(struct td_loop *l);
unsigned td_loops_count(const struct td_loops *all);
/* When the hubs are there and before subscriptions are: the loops hear of each other's. */
void td_loops_join(struct td_loops *all);
/* The number of the last group commit that the store has, found while starting. */
void td_loop_commit_set(struct td_loop *l, uint64_t number);
/* Lets the loops read each other's mail until none is left; the same thread, before others begin:
 * after a restart no message may come before the interest of the sessions that wait for it. */
void td_loops_settle(struct td_loops *all);

/* The same, by any loop. */
void td_loop_settle(struct td_loop *l);

/* Around each turn: first what others say; last what is for them. */
void td_loop_begin(struct td_loop *l, td_mono now);
void td_loop_end_turn(struct td_loop *l, td_mono now);
td_mono td_loop_deadline(struct td_loop *l, td_mono own);

/* The end, in two steps: every loop sends its clients away, then every loop has said its last. On
 * loop 0, once a turn, until it gives true: all mail has been read. */
bool td_loops_stop(struct td_loop *l, td_mono now);
/* Whether the loop (not 0) has been told to send its clients away. */
bool td_loop_closing(const struct td_loop *l);
/* Says that it does so; false: it has said so before. What its clients leave behind goes first, as
 * it is said when the turn ends. */
bool td_loop_quiet(struct td_loop *l);
/* Whether it has said its last. */
bool td_loop_ended(const struct td_loop *l);

/* ---- where things live ---- */

unsigned td_loop_number(const struct td_loop *l);
unsigned td_loop_count(const struct td_loop *l);
/* The loop of a client id. */
unsigned td_loop_of(const struct td_loop *l, td_slice client_id);
/* The sessions of a loop; of another one only before threads begin. */
struct td_mqttd *td_loop_mqttd(const struct td_loop *l, unsigned number);

/* On loop 0: the others take users and grants too, which are right. Copied. */
void td_loop_access(struct td_loop *l, const struct td_serve_access_config *access);

/* ---- messages: for publish.c and mqtt/ ---- */

/* Connections and sessions of all loops, counted by each; nearly so while others count. */
void td_loop_count_conns(struct td_loop *l, int more);
void td_loop_count_sessions(struct td_loop *l, int more);
uint64_t td_loop_conns(const struct td_loop *l);
uint64_t td_loop_sessions(const struct td_loop *l);

/* As td_publish(). */
uint64_t td_loop_publish(struct td_loop *l, struct td_message *m);
/* The LSN to wait for: `lsn`, and that every loop knows of the interest that was told last. */
uint64_t td_loop_interest(struct td_loop *l, uint64_t lsn);
/* On another loop than 0: asks for the retained messages of a filter; they come for the session. */
void td_loop_ask_retained(struct td_loop *l, uint64_t session, td_slice filter, uint8_t qos,
                          uint32_t id);
/* On another loop than 0: a session (durable or not) is a member of a shared group ("$share/..")
 * from now on, is no more; of any (filter empty). */
void td_loop_member_add(struct td_loop *l, uint64_t session, td_slice filter,
                        const struct td_subscribe_options *options);
void td_loop_member_del(struct td_loop *l, uint64_t session, td_slice filter);
/* On another loop than 0: a message that a group gave a session, and that was not delivered. */
struct td_loop_given {
    uint64_t session;
    uint32_t load_max; /* who may get it; if there is none, the session again */
    uint32_t group;    /* td_hub_group_key() */
    uint32_t id;       /* subscription identifier, 0: none */
    uint8_t qos, retain, unused[2];
};

/* The open batch goes along. */
void td_loop_give_back(struct td_loop *l, const struct td_message *m,
                       const struct td_loop_given *given);
/* On loop 0: a member, of another loop, gives back what it holds of a group, if it is not there. */
void td_loop_member_gather(struct td_subscriber *member, uint32_t key);
struct td_audit_event;
/* On another loop than 0: tells the audit log. */
void td_loop_audit(struct td_loop *l, const struct td_audit_event *event);
/* What a member has in hand, as td_subscriber_type.load gives it. */
void td_loop_member_load(struct td_loop *l, uint64_t session, uint32_t load);

/* ---- connections: for mqtt/ ---- */

/* A connection on its way. */
struct td_loop_moved {
    void *conn;        /* mqtt's own */
    void *stream;      /* as sys->release() gave it */
    uint32_t listener; /* the number of the one it came by */
    uint32_t unused;
};

/* Sends a connection to its loop; it is the other loop's from here on. */
void td_loop_move(struct td_loop *l, unsigned to, const struct td_loop_moved *moved);

/* ---- the log: for stage.h ---- */

/* As the td_stage_ calls of the same names. */
void td_loop_put(struct td_loop *l, uint8_t kind, td_slice key, td_slice value);
void td_loop_del(struct td_loop *l, uint8_t kind, td_slice key);
uint64_t td_loop_end(struct td_loop *l, enum td_store_class c);
size_t td_loop_bytes(const struct td_loop *l);
size_t td_loop_max(const struct td_loop *l);
bool td_loop_done(const struct td_loop *l, uint64_t lsn);
uint64_t td_loop_clock(const struct td_loop *l);
bool td_loop_pressure(const struct td_loop *l);
bool td_loop_failed(const struct td_loop *l);
void td_loop_part(struct td_loop *l);
void td_loop_join(struct td_loop *l);
uint64_t td_loop_joined(struct td_loop *l);
uint64_t td_loop_commit(const struct td_loop *l);

/* ---- sight ---- */

struct td_loop_stats {
    uint64_t handed;     /* messages to other loops */
    uint64_t parcels;    /* and in how many pieces all that was said went */
    uint64_t wakes;      /* of a sleeping loop */
    uint64_t ring_full;  /* turns that ended with a ring full: the loop's clients are not read */
    uint64_t unrecorded; /* messages without values, which loop 0 need not see */
};

/* Of one loop (by loop 0); the others tell theirs once a second. */
const struct td_loop_stats *td_loop_stats(const struct td_loop *l, unsigned number);
const struct td_mqttd_stats *td_loop_mqttd_stats(const struct td_loop *l, unsigned number);
/* Of all loops together, by loop 0. */
void td_loop_hub_sum(const struct td_loop *l, struct td_hub_stats *out);
void td_loop_mqttd_sum(const struct td_loop *l, struct td_mqttd_stats *out);

#endif
