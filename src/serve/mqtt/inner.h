/* serve/mqtt, private: what its files share. */
#ifndef TD_SERVE_MQTT_INNER_H
#define TD_SERVE_MQTT_INNER_H

#include <stdatomic.h>

#include "serve/listen.h"
#include "guard/guard.h"
#include "serve/audit.h"
#include "serve/mqtt/mqttd.h"
#include "serve/mqtt/ws.h"
#include "serve/stage.h"
#include "wire/mqtt/mqtt.h"
#include "wire/mqtt/window.h"

enum {
    READ_BYTES = 64 * 1024,       /* one read of a socket */
    WRITE_HIGH_BYTES = 64 * 1024, /* unsent: queued messages wait, QoS 0 goes on to the maximum */
    WRITES_MAX = 64,              /* connections written to by one call */
    SPARE_MAX = 256,              /* write buffers kept for reuse */
    SPARE_BYTES_MAX = 256 * 1024, /* a larger one is freed */
    TLS_TOLD_MS = 1000,           /* between two lines of the log about failed handshakes */
    LAST_WORD_MS = 1000,          /* from our last word to close: unread input turns close() into
                                   * a reset, which eats the word */
    ANSWERS_MORE = 64             /* SUBACKs and the like that may wait beside receive_max acks */
};

/* ---- connections (conn.c) ---- */

/* An answer that waits for a commit. */
struct answer {
    uint64_t lsn;
    uint32_t bytes; /* of an encoded one in answers.bytes; 0: an acknowledgement */
    uint16_t id;
    uint8_t type, reason;
};

struct answers {
    struct answer *at; /* a ring, cap a power of two */
    uint32_t first, count, cap;
    struct td_buf bytes;
};

struct conn {
    struct td_owner owner; /* first */
    struct td_mqttd *d;
    struct td_listener *listener; /* it came by this one */
    struct session *session;      /* NULL: before CONNECT, and when it has lost it */
    struct conn *next, *prev;
    struct conn *next_touched, *next_waiting, *next_moving;
    struct td_mqtt m;
    struct td_buf in;  /* the beginning of a packet whose end has not come, or unfed bytes */
    struct td_buf out; /* to be written from out_sent on */
    size_t out_sent;
    struct answers *answers;         /* NULL: none waits */
    struct aliases_out *aliases_out; /* NULL: the client takes none, or nothing came twice yet */
    struct td_mqttd_ws *ws;          /* NULL: MQTT's bytes stand in the stream as they are */
    struct conn_login *login;        /* it is saying who it is; NULL: no */
    struct half *half;               /* NULL: it has said CONNECT */
    struct toll *toll;               /* NULL: there are no limits, or no session yet */
    struct td_timer timer;
    uint32_t look, look_bytes; /* read since memory was looked at the look-th time */
    int stream;                /* -1: closed, freed when the turn ends */
    bool open;                 /* CONNACK stands in out: the session may speak */
    bool touched;              /* in d->touched: to be flushed or acknowledged when the turn ends */
    bool waiting;              /* in d->waiting: has answers, or stopped reading */
    bool stopped;              /* reads no more for now */
    bool held;                 /* its password is being looked at: the same until then */
    bool blocked;              /* the socket is full */
    bool last_word;            /* closes when out is written */
    bool draining;             /* the last word is out */
    bool moving;               /* in d->moving */
    bool arrived;              /* its loop is known: */
    uint8_t to;                /* that one */
};

void td_mqttd_conn_accept(struct td_owner *listener, const struct td_sys_event *event, td_mono now);
/* Room for n bytes behind out; they are written when the turn ends. Sizes are checked by the
 * caller: this never fails. */
uint8_t *td_mqttd_conn_room(struct conn *c, size_t n);
static inline void conn_wrote(struct conn *c, const uint8_t *end)
{
    c->out.n = (size_t)(end - c->out.p);
}
static inline size_t conn_unsent(const struct conn *c)
{
    return c->out.n - c->out_sent;
}
/* Encodes a packet to leave when `lsn` is durable. One that is larger than the client takes is its
 * end: c->session is NULL then. */
void td_mqttd_conn_answer(struct conn *c, uint64_t lsn, const struct td_mqtt_packet *packet);
/* PUBACK, PUBREC, PUBREL, PUBCOMP, the same. */
void td_mqttd_conn_ack(struct conn *c, uint64_t lsn, uint8_t type, uint16_t id, uint8_t reason);
/* The last word, for `reason`; its session becomes offline and keeps its will. */
void td_mqttd_conn_refuse(struct conn *c, uint8_t reason, const char *text, td_mono now);
/* The client has said goodbye: closes; a WebSocket is closed in its own way first. */
void td_mqttd_conn_end(struct conn *c, td_mono now);
/* Files of certificates were read anew: refuses those whose certificate is withdrawn. */
void td_mqttd_conns_recheck(struct td_mqttd *d, td_mono now);
/* Closes now, without a word. */
void td_mqttd_conn_close(struct conn *c, td_mono now);
/* Sends what is durable, resumes reading where it may. */
void td_mqttd_conns_settle(struct td_mqttd *d, td_mono now);
void td_mqttd_conns_flush(struct td_mqttd *d, td_mono now);
void td_mqttd_conns_expire(struct td_mqttd *d, td_mono now);
void td_mqttd_conns_reap(struct td_mqttd *d);
void td_mqttd_conn_free(struct conn *c);
/* It is closed, or on its way out: what it has read goes, and what it can write no more. */
void td_mqttd_conn_buffers_drop(struct conn *c);
void td_mqttd_conn_timer_set(struct conn *c);
/* Goes on reading in this turn, if it may. */
void td_mqttd_conn_wait(struct conn *c);

/* ---- topic aliases that we give (alias.c) ---- */

/* For a client that takes aliases: sets p->alias if the topic has one or gets one now, and empties
 * p->topic if the client knows it. */
void td_mqttd_alias_pick(struct conn *c, struct td_mqtt_publish *p);
/* That packet, with p->alias > 0, stands in out. */
void td_mqttd_alias_sent(struct conn *c, const struct td_mqtt_publish *p);
void td_mqttd_aliases_free(struct conn *c);

/* ---- other loops (loops.c) ---- */

/* The first packet of a connection: true if another loop is the
 * place for it, and it goes there when the turn ends. */
bool td_mqttd_conn_moves(struct conn *c, const struct td_mqtt_packet *packet);
/* When the turn ends: connections go, loop 0 hears what members of groups have in hand. */
void td_mqttd_loops_turn(struct td_mqttd *d);
/* Reads what a connection brought along. */
void td_mqttd_conn_begin(struct conn *c, td_mono now);
/* Puts it into the list of its loop, takes it out. */
void td_mqttd_conn_link(struct conn *c);
void td_mqttd_conn_unlink(struct conn *c);

/* ---- packets (packets.c) ---- */

void td_mqttd_packet_handle(struct conn *c, const struct td_mqtt_packet *packet, td_mono now);
/* A CONNECT whose client is `who`, whose reference is the callee's. */
void td_mqttd_packet_admitted(struct conn *c, const struct td_mqtt_packet *packet,
                              struct td_principal *who, td_mono now);
/* The CONNACK stands in out. */
void td_mqttd_conn_opened(struct conn *c, td_mono now);

/* ---- sessions (session.c) ---- */

/* A message that the store keeps for sessions: gone when no session is owed it any more. */
struct kept {
    uint64_t number; /* its key */
    uint32_t route_count;
    _Atomic uint32_t routes_left; /* of one loop unless `apart`: then see td_mqttd_kept_drop() */
    bool apart; /* on several loops: there were more or fewer of them when it was stored */
    struct route {
        uint64_t session; /* number */
        bool row;         /* the store has a row for it, to be deleted with the message */
    } routes[];
};

/* A message that a session is owed. */
struct entry {
    struct entry *next;   /* in the queue */
    struct td_message *m; /* NULL once QoS 2 has been received */
    struct kept *kept;    /* NULL: the store knows nothing of it */
    uint64_t lsn;         /* may go when that is durable */
    uint32_t route;       /* in kept->routes */
    uint32_t group;       /* key of the shared group that chose this session; 0: none did */
    uint16_t packet_id;   /* 0: none yet */
    uint16_t id_count;
    uint8_t qos; /* 0: a retained message that waits for room */
    bool retain : 1;
    bool sent : 1;    /* it may have been before, so the next time is a duplicate */
    bool queued : 1;  /* stands in one of the session's two queues */
    bool routed : 1;  /* in d->routed: the publish under way needs it */
    bool lasting : 1; /* its group must not lose it, whatever becomes of this session */
    uint32_t sent_us; /* when it was written last, cut to 32 bits */
    uint32_t ids[];
};

struct queue {
    struct entry *first, **end;
    uint32_t count;
    uint64_t bytes;
};

struct will {
    struct td_message *m; /* expires: a span from when it goes out, not a moment; TD_NEVER: none */
    uint32_t delay_s;
};

/* What came and went since the session began. */
struct tally {
    uint64_t messages_in, messages_out; /* PUBLISH packets */
    uint64_t bytes_in, bytes_out;
    uint64_t *drops;             /* TD_DROP_COUNT of them; NULL: nothing was dropped yet */
    td_mono since;               /* when its client came or went */
    uint32_t ack_us, ack_us_max; /* from PUBLISH to PUBACK or PUBREC: moving average, longest */
};

struct session {
    struct td_subscriber sub; /* first */
    struct td_mqttd *d;
    struct td_principal *principal;
    struct conn *conn;    /* NULL: offline */
    uint64_t number;      /* its key in the store */
    uint32_t expiry_s;    /* 0: ends with the connection; UINT32_MAX: never */
    uint32_t ask_count;   /* of asks */
    struct ask *asks;     /* for retained messages, not answered yet */
    uint32_t shared_owed; /* of its entries, those that a shared group gave it */
    struct queue waiting; /* no packet id yet */
    struct queue sending; /* has one, stands in the window, not written on this connection */
    struct td_mqtt_window window;
    struct td_mqtt_ids ids; /* QoS 2 on its way in */
    uint64_t in_lsn;        /* of the last QoS 2 id */
    struct tally tally;
    struct will will;
    struct td_timer timer; /* offline: the earlier of the two below */
    td_mono will_at, ends_at;
    struct session *next_pump; /* in d->pump or d->pump_durable */
    bool pumped;               /* in one of them */
    bool recorded;             /* the store has a row */
    bool dead;                 /* in d->dead: freed when the turn ends */
    bool trusted;              /* its principal may everything */
    struct session *next_dead;
    struct session *next_member; /* in d->members */
    bool member;                 /* of a shared group that loop 0 serves */
    bool member_told;            /* its load is to be told: it stands in d->members */
    uint32_t key_n;
    uint8_t principal_n;
    uint8_t key[]; /* principal NUL client id, see session_key() */
};

/* A session belongs to principal and client id: whoever comes with the client id of another
 * principal gets a session of its own. No name holds a NUL (MQTT-1.5.4-2), so the key is one. */
static inline td_slice session_key(const struct session *s)
{
    return (td_slice){s->key, s->key_n};
}

static inline td_slice session_principal(const struct session *s)
{
    return (td_slice){s->key, s->principal_n};
}

static inline td_slice session_client_id(const struct session *s)
{
    return td_slice_skip(session_key(s), s->principal_n + (size_t)1);
}

/* Whose quota a message counts for that this session wants retained: the same for each session of
 * that principal and client id, also after a restart. */
static inline uint64_t session_owner_of(td_slice key)
{
    return td_hash(key, 0) | 1;
}

static inline uint64_t session_owner(const struct session *s)
{
    return session_owner_of(session_key(s));
}

/* What the session keeps beyond its connection. */
static inline bool session_durable(const struct session *s)
{
    return s->expiry_s > 0;
}

/* The store must know that the session is owed it. */
static inline bool entry_durable(const struct entry *e, const struct session *s)
{
    return e->qos > 0 && (session_durable(s) || e->lasting);
}

/* The session that a subscriber of the hub is; NULL: it is another part of the hub. */
struct session *td_mqttd_session_of(struct td_subscriber *sub);
/* The key of a session, in d->key: until the next use of that. */
td_slice td_mqttd_session_key(struct td_mqttd *d, td_slice principal, td_slice client_id);
struct session *td_mqttd_session_find(const struct td_mqttd *d, td_slice key);
/* `key` as above gives for who, whose reference it keeps. NULL: sessions_max is reached. */
struct session *td_mqttd_session_new(struct td_mqttd *d, td_slice key, struct td_principal *who);
/* Drops what waits for it and comes from principals that are gone. */
void td_mqttd_session_purge(struct session *s);
/* One that no client and no table knows, to hold entries; free(). */
struct session *td_mqttd_session_ghost(struct td_mqttd *d);
/* Ends it: subscriptions, queue, rows of the store. Freed when the turn ends. */
void td_mqttd_session_end(struct session *s);
/* Its connection is gone. `will`: the client did not say goodbye. */
void td_mqttd_session_offline(struct session *s, bool will, td_mono now);
/* Its connection may speak: sends again what was under way, then what waits. */
void td_mqttd_session_online(struct session *s);
/* Of all loops. */
uint64_t td_mqttd_sessions_all(const struct td_mqttd *d);
/* The number that a session has in the store. */
void td_mqttd_session_number_set(struct session *s, uint64_t number);
/* As td_hub_subscribe() and td_hub_unsubscribe(); loop 0 hears of members of shared groups. */
enum td_err td_mqttd_session_subscribe(struct session *s, td_slice filter,
                                       const struct td_subscribe_options *options, bool *existed);
enum td_err td_mqttd_session_unsubscribe(struct session *s, td_slice filter);
/* Other loops need not find it any more. */
void td_mqttd_session_unlist(struct session *s);
void td_mqttd_session_load_changed(struct session *s);
void td_mqttd_session_expiry_set(struct session *s, uint32_t expiry_s);
void td_mqttd_session_will_clear(struct session *s);
void td_mqttd_session_will_send(struct session *s, td_mono now);
/* A retained message that a subscription asks for. */
void td_mqttd_session_owe_retained(struct session *s, struct td_message *m, uint8_t qos,
                                   uint32_t id);
/* PUBACK, PUBREC, PUBCOMP from the client. */
void td_mqttd_session_acked(struct session *s, const struct td_mqtt_packet *packet);
void td_mqttd_session_pump_later(struct session *s);
/* When something more has become durable. */
void td_mqttd_session_pump_when_durable(struct session *s);
/* Drops the older half of what waits, for lack of memory. */
void td_mqttd_session_shed(struct session *s);
void td_mqttd_sessions_pump(struct td_mqttd *d);
void td_mqttd_sessions_expire(struct td_mqttd *d, td_mono now);
void td_mqttd_sessions_reap(struct td_mqttd *d);
/* All of them, without a word to the store. */
void td_mqttd_sessions_free(struct td_mqttd *d);
void td_mqttd_session_timer_set(struct session *s);
/* A message owed to s, with the delivery's ids copied; m is referenced. `qos` instead of the
 * delivery's. */
struct entry *td_mqttd_entry_new(struct session *s, struct td_message *m,
                                 const struct td_delivery *delivery, uint8_t qos, bool retain);
/* The session is owed it no more: a word to the store, and freed. */
void td_mqttd_entry_end(struct session *s, struct entry *e);
void td_mqttd_queue_add(struct queue *q, struct entry *e);
struct entry *td_mqttd_queue_take(struct queue *q);
/* The same for s->waiting, which is counted. */
void td_mqttd_waiting_add(struct session *s, struct entry *e);
struct entry *td_mqttd_waiting_take(struct session *s);
/* Takes on an entry that the store kept: with a packet id it was on its way (received: its PUBREC
 * had come), else it waits. */
void td_mqttd_session_restore(struct session *s, struct entry *e, bool received);
/* Gives packet ids to what may go next. */
void td_mqttd_session_assign(struct session *s);
/* Makes room in the set of incoming QoS 2 ids. */
void td_mqttd_session_ids_lend(struct session *s);

/* ---- clients, one by one (clients.c) ---- */

/* How it is now. */
void td_mqttd_client_read(const struct session *s, td_mono now, struct td_mqttd_client *out);
/* Tells the audit log what the client of s did, or was refused. */
void td_mqttd_audit(const struct session *s, enum td_audit_action action, bool refused,
                    td_slice object);
/* Counts a login that was refused, and tells it the audit log; `user`: what it called itself. */
void td_mqttd_login_refused(const struct conn *c, td_slice user);
/* Counts that the session does not get a message, for its own and for all. */
void td_mqttd_drop(struct session *s, td_slice topic, enum td_drop why);
/* The message of e was acknowledged. */
void td_mqttd_tally_ack(struct session *s, const struct entry *e);
/* ---- who, and what it may (admit.c) ---- */

/* Who comes by this CONNECT, with a reference. NULL: it was refused, or waits: then
 * td_mqttd_packet_admitted() comes later. */
struct td_principal *td_mqttd_admit(struct conn *c, const struct td_mqtt_packet *p, td_mono now);
/* A client that says who it is, until that is known. */
struct conn_login {
    struct td_login *login;      /* its password is looked at, or it has to wait; NULL: no */
    struct td_guard_scram scram; /* auth.c's */
    struct td_buf first;         /* our first message, while it has to wait */
    struct td_buf connect;       /* the CONNECT, encoded */
};

/* Sets c->login, for that CONNECT or for none. */
void td_mqttd_conn_login_new(struct conn *c, const struct td_mqtt_packet *connect);
/* It is `who`: goes on with the CONNECT, and lets the CONNACK carry `proof` if there is one. */
void td_mqttd_conn_login_over(struct conn *c, struct td_principal *who, td_slice proof,
                              td_mono now);
/* A CONNECT with a method came, and later an AUTH (auth.c). */
void td_mqttd_auth_begin(struct conn *c, const struct td_mqtt_packet *p, td_mono now);
void td_mqttd_auth(struct conn *c, const struct td_mqtt_packet *p, td_mono now);
/* It does not say who it is any more. */
void td_mqttd_conn_login_drop(struct conn *c);
/* For a session that is not trusted: one action of enum td_guard_action on a topic. */
bool td_mqttd_may(struct session *s, unsigned action, td_slice topic);
/* Whether it may subscribe to a filter. */
bool td_mqttd_may_filter(const struct session *s, td_slice filter);
/* Whether it may publish, and retain. */
bool td_mqttd_may_say(struct session *s, td_slice topic, bool retain);
/* After a start: ends the subscriptions that grants of today do not cover. */
void td_mqttd_rights_restored(struct td_mqttd *d);
/* Which session has a client id, where that must be known. */
void td_mqttd_id_add(struct session *s);
void td_mqttd_id_remove(struct session *s);
/* False: it is another principal's, and client ids are hub-wide. Counts such meetings. */
bool td_mqttd_id_free(struct td_mqttd *d, const struct td_principal *who, td_slice client_id);

/* ---- retained messages (retain.c) ---- */

/* A subscription of s asks for what is retained; `lsn`: its SUBACK's. */
void td_mqttd_retained_ask(struct session *s, td_slice filter, uint8_t qos, uint32_t id,
                           uint64_t lsn);
/* It has asked so often that it is not to be read from for now. */
bool td_mqttd_retained_many(const struct session *s);
/* All that was asked for before has been sent: answers the next ask. False: there is none, or no
 * memory for what it might bring; then it is tried again when that has been looked at. */
bool td_mqttd_retained_next(struct session *s);
/* Drops all asks. */
void td_mqttd_retained_forget(struct session *s);

/* ---- what happened lately (trace.c) ---- */

enum { TRACE_PUBLISHES = 8192, TRACE_DROPS = 4096 }; /* powers of two */

/* 32 bytes, one for each publish and each message that a session did not get. */
struct trace_row {
    uint64_t topic; /* td_hub_topic_hash() */
    uint64_t who;   /* PUBLISH: number of its sender's session; else of the session */
    td_mono at;
    uint32_t count;         /* PUBLISH: sessions reached; else messages that wait in the session */
    uint8_t kind, why, qos; /* enum td_mqttd_trace_kind, enum td_drop */
    bool retain;
};

struct trace_ring {
    struct trace_row *rows; /* a power of two of them; `next` is written over next */
    size_t mask, next;
};

static inline void trace_add(struct trace_ring *ring, struct trace_row row)
{
    ring->rows[ring->next++ & ring->mask] = row;
}

/* Makes and frees the rings. */
void td_mqttd_trace_init(struct td_mqttd *d);
void td_mqttd_trace_fini(struct td_mqttd *d);

/* ---- shared subscriptions (shared.c) ---- */

/* Gives what s was not sent to other members of its groups whose load is below load_max: of the
 * group with that key, 0: of all. What nobody takes stays. s itself must not be among them. */
void td_mqttd_shared_return(struct session *s, uint32_t key, uint32_t load_max);
/* Gives one entry, which the caller has taken out of all queues. False: nobody took it. */
bool td_mqttd_shared_hand_over(struct session *s, struct entry *e, uint32_t load_max);
/* The same when its session ends: to whoever is a member, and also QoS 1 that was sent. */
void td_mqttd_shared_end(struct session *s);
/* On another loop than 0: it chooses again. False: this is loop 0, or the only one. */
bool td_mqttd_shared_give_back(struct session *s, struct entry *e, uint32_t load_max);
/* s is there now: it and others take what absent members of its groups hold. */
void td_mqttd_shared_gather(struct session *s);
/* ---- how fast, how many at once (limit.c) ---- */

/* How much of one thing may come: `per_s`, and `burst_s` times that at once. `at` is when what has
 * come would be through at that rate, the later the more has come. */
struct rate {
    td_mono at;
};

/* Of a client, or of all clients of a principal. */
struct meter {
    struct rate messages, bytes, topics;
};

struct principal_meter {
    struct meter meter;
    uint8_t n;
    uint8_t name[];
};

/* A connection with a session, when there are limits. */
struct toll {
    struct meter own;
    struct meter *principal; /* of all of its principal */
    td_mono until;           /* it does not read before; 0: it may */
    struct td_timer timer;   /* in d->toll_timers: at `until` */
};

/* A connection before CONNECT. */
struct half {
    struct conn *conn;
    struct half *next, *prev; /* oldest first */
    struct host *host;        /* it has been silent for a second, and is counted there */
};

/* An address with silent connections. */
struct host {
    uint32_t count;
    uint8_t n;
    uint8_t name[];
};

/* A connection begins; the oldest of too many that have not said CONNECT is closed. */
void td_mqttd_half_add(struct conn *c, td_mono now);
/* It has said CONNECT, or is gone. */
void td_mqttd_half_done(struct conn *c);
/* It has been silent for a second: false, and its address has too many such already. */
bool td_mqttd_half_wait(struct conn *c);
/* A CONNECT has come: gives the reason to refuse it for, SUCCESS: none. */
uint8_t td_mqttd_connect_limit(struct td_mqttd *d, td_mono now);
/* The session has its connection: from now on its messages are counted. */
void td_mqttd_toll_begin(struct conn *c);
void td_mqttd_toll_end(struct conn *c);
/* A PUBLISH of that many bytes has come. False: it is over a limit, and the message goes to nobody;
 * the connection may be on its way out. */
bool td_mqttd_toll_publish(struct conn *c, const struct td_mqtt_packet *p, td_mono now);
/* It brought so many new topics. */
void td_mqttd_toll_topics(struct conn *c, uint64_t count, td_mono now);
/* Connections that may read again do so when they are settled. */
void td_mqttd_tolls_turn(struct td_mqttd *d, td_mono now);
void td_mqttd_limits_fini(struct td_mqttd *d);

/* ---- how much memory (memory.c) ---- */

enum { TD_MQTTD_ENTRY_BYTES = 64 }; /* of a queued message beside its own, which others may share */

enum { CALM, TIGHT, BUSY, FULL }; /* above 0, 60, 80, 95 % of the limit */

/* Looks at how much is held; when it is too much, takes it from those who hold most. */
void td_mqttd_memory_turn(struct td_mqttd *d, td_mono now);
td_mono td_mqttd_memory_deadline(const struct td_mqttd *d);
/* May n bytes more be held for a client? */
bool td_mqttd_memory_has(const struct td_mqttd *d, uint64_t n);

/* ---- messages for later (delay.c) ---- */

#define DELAYED "$delayed/"

/* Whether to look closer: a delay stands in the topic or in a user property. */
static inline bool delay_asked(const struct td_mqtt_packet *p)
{
    return p->topic.p[0] == '$' || td_mqtt_has(&p->props, TD_MQTT_PROP_USER_PROPERTY);
}
/* Takes the delay out of the packet's topic, or reads the property; *delay_s stays if there is
 * none. Gives the reason to refuse it, or TD_MQTT_REASON_SUCCESS. */
uint8_t td_mqttd_delay_read(const struct td_mqttd *d, struct td_mqtt_packet *p, uint32_t *delay_s);
/* Room for one more; else it is counted as refused. */
bool td_mqttd_delay_room(struct td_mqttd *d, const struct td_mqtt_packet *p);
/* Keeps m, whose expires is a span, to be published in delay_s. Ends the open batch: gives its
 * LSN. */
uint64_t td_mqttd_delay(struct session *s, struct td_message *m, uint32_t delay_s);
/* A row of the store, on the loop that keeps it. TD_ECORRUPT: it cannot be read. */
enum td_err td_mqttd_delay_restore(struct td_mqttd *d, uint64_t number, td_slice value,
                                   td_mono now);
/* Publishes what is due. */
void td_mqttd_delays_expire(struct td_mqttd *d, td_mono now);
td_mono td_mqttd_delays_deadline(const struct td_mqttd *d);
/* Drops those of principals that are gone. */
void td_mqttd_delays_purge(struct td_mqttd *d);
/* Without a word to the store. */
void td_mqttd_delays_free(struct td_mqttd *d);

/* ---- the store (keep.c) ---- */

/* A message as the store has it, at the end of a record; `expires` 0: never. */
void td_mqttd_keep_message_add(const struct td_mqttd *d, struct td_buf *b,
                               const struct td_message *m, td_wall expires);
/* The same read; the slices borrow from the record. Gives `expires`. */
td_wall td_mqttd_keep_message_read(const struct td_mqttd *d, struct td_cursor *c,
                                   struct td_message *out);

void td_mqttd_keep_session(struct session *s, td_mono now);
void td_mqttd_keep_session_gone(struct session *s);
void td_mqttd_keep_subscription(struct session *s, td_slice filter,
                                const struct td_subscribe_options *options);
void td_mqttd_keep_subscription_gone(struct session *s, td_slice filter);
void td_mqttd_keep_id(struct session *s, uint16_t packet_id);
void td_mqttd_keep_id_gone(struct session *s, uint16_t packet_id);
/* The route of e has its packet id (received: its PUBREC came). */
void td_mqttd_keep_route(struct session *s, const struct entry *e, bool received);
/* One route less; true: it was the last. */
bool td_mqttd_kept_drop(struct kept *k);
/* The session is owed e no more. */
void td_mqttd_keep_route_gone(struct session *s, struct entry *e);
void td_mqttd_keep_message(struct td_mqttd *d, const struct td_message *m, struct entry **entries,
                           struct session **sessions, size_t count);
/* In a long row of changes that need not be one: ends the batch before it grows too big. */
void td_mqttd_keep_piece(struct td_mqttd *d);
void td_mqttd_keep_retained(struct td_mqttd *d, const struct td_message *m);
enum td_err td_mqttd_keep_restore(struct td_mqttd *d, td_mono now, struct td_buf *why);

/* ---- all of it ---- */

struct td_mqttd {
    struct td_parts *parts;
    struct td_serve_mqtt_config config;
    struct td_mqtt_limits limits;
    struct td_mqttd_stats stats;
    struct td_listener *listeners;
    td_mono now;         /* of the turn */
    td_mono tls_told_at; /* a failed handshake may be told again */
    struct conn *conns, *touched, *waiting, *gone;
    struct td_map sessions;          /* by session_key() */
    struct td_map by_id;             /* by client id; empty while all are one principal's */
    struct td_guard_cache *verdicts; /* NULL: none was needed so far */
    struct session *pump;            /* may have something to send */
    struct session *pump_durable;    /* wait until the store's durable LSN moves */
    struct session *dead;
    struct td_heap conn_timers, session_timers;
    struct td_heap delays;                             /* messages for later, by when */
    uint64_t next_session, next_message, next_delayed; /* the last ones given; */
    uint64_t stride;         /* each loop has its own: numbers apart by how many */
    struct td_map by_number; /* sessions, for other loops; with one loop empty */
    struct conn *moving;     /* to another loop, when the turn ends */
    struct session *members; /* of shared groups, whose load has changed */
    uint32_t unnamed;        /* clients without an id, spread over the loops */
    uint64_t settled;        /* the durable LSN that was acted on */
    struct entry **routed;   /* by the delivery under way, with whose they are */
    struct session **routed_to;
    size_t routed_count, routed_cap;
    uint32_t reached;                    /* sessions that were delivered to, by all publishes, */
    uint32_t traced;                     /* and by those before the one under way */
    struct trace_ring publishes, drops;  /* publishes: choices of shared groups as well */
    struct half *half_first, *half_last; /* oldest first */
    struct td_map hosts;                 /* struct host by address */
    struct td_map principals;            /* struct principal_meter by name */
    struct td_heap toll_timers;
    struct rate connects;
    struct {
        uint64_t held;    /* bytes of read and write buffers, spare ones as well */
        uint64_t slack;   /* all else, when it was looked at */
        uint64_t seen_in; /* stats.bytes_in, stats.queued, and held then */
        uint64_t seen_queued, seen_held;
        bool asked;        /* a session waits for room */
        uint32_t look;     /* how often it was looked at */
        uint32_t read_max; /* of one connection until the next look */
        td_mono next_at, trim_at;
        uint8_t level; /* CALM to FULL */
    } memory;
    struct td_buf spare[SPARE_MAX];
    size_t spare_count;
    struct td_buf scratch;     /* of one packet */
    struct td_buf key, record; /* keep.c's */
    uint8_t *read;             /* READ_BYTES */
};

#endif
