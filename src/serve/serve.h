/* serve: the hub assembled. Whoever comes to us comes in here (MQTT, the page, the API), and what
 * they say goes one way: publish -> match -> deliver, remember, decide -> acknowledge once durable.
 *
 * It runs over any td_sys: app/run.c drives it over linux/, tests/sim over a world made from a
 * seed. One thread owns it; or it runs on several loops (serve/loop.h), each with a td_sys and a
 * thread of its own, and the calls with a loop's number are made by that thread. */
#ifndef TD_SERVE_H
#define TD_SERVE_H

#include "hub/hub.h"
#include "sys/sys.h"

struct td_serve;

/* First member of whatever owns a stream: events of the stream go to ready(). */
struct td_owner {
    void (*ready)(struct td_owner *owner, const struct td_sys_event *event, td_mono now);
};

/* A rule file, already read. */
struct td_serve_file {
    const char *name;
    td_slice text;
};

/* ---- what to listen on ---- */

enum td_serve_kind {
    TD_SERVE_MQTT,
    TD_SERVE_HTTP /* the page and the API */
};

struct td_serve_texts {
    const char *const *at;
    size_t count;
};

/* How a hub with users lets somebody say who he is. */
enum td_serve_way {
    TD_WAY_PASSWORD = 1,
    TD_WAY_SCRAM = 2, /* MQTT 5.0 */
    TD_WAY_TOKEN = 4,
    TD_WAY_CERTIFICATE = 8,
    TD_WAY_PSK = 16,
    TD_WAY_ANONYMOUS = 32, /* not at all: he is `anonymous` */
    TD_WAY_LOCAL = 64,     /* not at all: he is `local`, who may everything */
    TD_WAY_USUAL = 31
};

struct td_serve_listener {
    const char *address; /* "127.0.0.1:1883", "[::1]:0", "unix:/path" */
    enum td_serve_kind kind;
    unsigned ways;                 /* or'ed td_serve_way; 0: the usual ones, and anonymous if
                                    * td_serve_access_config lets it in */
    unsigned mode;                 /* of a unix socket's file, such as 0660; 0: 0600 */
    bool websocket;                /* MQTT comes in WebSockets; for HTTP it always may, at /mqtt */
    struct td_serve_texts origins; /* of pages of other sites that may open one; "*": any */
    struct td_sys_tls *tls;        /* NULL: plain. Borrowed; outlives its connections */
};

struct td_serve_listeners {
    const struct td_serve_listener *at;
    size_t count;
};

/* ---- settings ---- */

/* What happens to a PUBLISH over its client's rate. */
enum td_serve_over {
    TD_SERVE_OVER_WAIT,   /* nothing, but the client is not read from until it is within its rate */
    TD_SERVE_OVER_REFUSE, /* it goes to nobody; QoS 1 and 2 are answered 0x97 (5.0) */
    TD_SERVE_OVER_CLOSE   /* DISCONNECT 0x96 */
};

struct td_serve_rates {        /* a zero: no bound */
    uint32_t messages, topics; /* a second; topics: that nobody has used before */
    uint64_t bytes;
};

struct td_serve_limits_config {
    struct td_serve_rates client;    /* of each, */
    struct td_serve_rates principal; /* and of all clients of a principal together */
    uint32_t burst_s;                /* so many seconds' worth may come at once */
    enum td_serve_over over;
    uint32_t connects;                          /* CONNECTs a second, of all; 0: no bound */
    uint32_t half_open_max, half_open_host_max; /* connections without CONNECT, of all, of one
                                                 * address when they have been silent for 1 s */
    uint64_t memory_max;                        /* bytes of the whole process; 0: no bound */
};

struct td_serve_mqtt_config {
    uint32_t packet_bytes_max;     /* 1 KB .. 256 MB: what a client may send; lowered to what the
                                  * log's ring takes */
    uint16_t receive_max;          /* 1..65535: unacknowledged QoS 1/2 publishes of one client */
    uint16_t alias_max;            /* topic aliases a client may set */
    uint32_t session_expiry_s;     /* longest; 3.1.1 sessions that are not clean get it */
    uint16_t keepalive_max_s;      /* longer wishes are lowered (5.0); 0: no bound */
    uint32_t queue_messages_max;   /* of one session; the oldest goes */
    uint64_t queue_bytes_max;      /* of one session; the oldest goes */
    uint32_t write_bytes_max;      /* unsent bytes of one connection; then QoS 0 is dropped */
    uint32_t delayed_messages_max; /* to be published later; 0: no client may */
    uint64_t delayed_bytes_max;
    uint32_t connections_max;
    uint32_t sessions_max;
    struct td_serve_limits_config limits;
};

struct td_serve_store_config { /* a zero takes the store's own default */
    uint32_t segment_bytes;    /* of the log's ring */
    uint32_t segments;
    uint64_t head_bytes_max; /* rows in memory */
    uint32_t streams_max;
    uint32_t keep_days;       /* older history is deleted; 0: never */
    uint64_t query_bytes_max; /* memory of one question */
    uint32_t query_rows_max;  /* of an answer */
    td_ms query_ms_max;       /* a question's deadline */
};

struct td_serve_http_config {
    struct td_serve_texts hosts; /* names that requests may use beside the loopback ones */
    uint32_t connections_max;    /* further ones are closed */
    uint32_t live_max;           /* of them, live feeds */
    uint32_t body_bytes_max;     /* of a request */
    uint32_t write_bytes_max;    /* unsent bytes of one connection */
};

/* Who may come, and what they may do. */
struct td_serve_access_config {
    struct td_serve_file users, grants; /* read; name NULL: there is none */
    struct td_serve_file jwt_keys;      /* the same */
    /* Another program judges the passwords of users whose credential is $http$. Called from works,
     * may take seconds; NULL: there is none. */
    bool (*judge)(void *ctx, td_slice name, td_slice password, td_slice address);
    void *judge_ctx;
    const char *jwt_audience, *jwt_issuer;
    unsigned jwt_algorithms; /* or'ed TD_GUARD_... of guard/guard.h */
    bool anonymous;          /* with users: who brings no credentials may come too */
    bool hub_wide;           /* a client id belongs to one principal at a time */
};

struct td_serve_config {
    const char *data_dir;
    struct td_serve_access_config access;
    struct td_serve_listeners listeners;
    const struct td_serve_file *rules;
    size_t rule_count;
    struct td_hub_limits hub;
    struct td_serve_mqtt_config mqtt;
    struct td_serve_http_config http;
    struct td_serve_store_config store;
    uint32_t series_max; /* current values at hand; what comes beyond is stored all the same */
    uint32_t status_s;   /* how often $SYS is told; 0: never */
    uint32_t audit_max;  /* records of the audit log; then the oldest go */
    const char *version;
};

/* Sensible values for all but the listeners and the directory. */
void td_serve_config_default(struct td_serve_config *config);

/* Opens the store, recovers, loads the rules, listens. On failure `why` says in words for people
 * what stood in the way and what to do. `config` is borrowed for the call, its strings for life. */
enum td_err td_serve_new(struct td_sys *sys, const struct td_serve_config *config,
                         struct td_serve **out, struct td_buf *why);
/* The same on `count` loops, 1..TD_HUB_LOOPS_MAX, one a seam; by one thread, before others begin.
 * The seams must agree about the time, and only the first one's files are used. */
enum td_err td_serve_new_loops(struct td_sys *const *sys, unsigned count,
                               const struct td_serve_config *config, struct td_serve **out,
                               struct td_buf *why);
/* As the calls of the same names below, for each loop. */
void td_serve_loop_event(struct td_serve *serve, unsigned loop, const struct td_sys_event *event,
                         td_mono now);
void td_serve_loop_turn(struct td_serve *serve, unsigned loop, td_mono now);
td_mono td_serve_loop_deadline(struct td_serve *serve, unsigned loop);
/* Whether a loop (not 0) has come to its end, which td_serve_stop() on loop 0 begins: it wants no
 * further turn. Loop 0's td_serve_stop() does not give true before. */
bool td_serve_loop_ended(const struct td_serve *serve, unsigned loop);

void td_serve_event(struct td_serve *serve, const struct td_sys_event *event, td_mono now);
/* Ends a turn: what the events since the last turn brought about is written, commits begin. */
void td_serve_turn(struct td_serve *serve, td_mono now);
/* When td_serve_turn(), or td_serve_stop(), wants to run again though nothing happens. */
td_mono td_serve_deadline(struct td_serve *serve);
/* Takes users and grants read anew. What principals that are gone have is gone when it returns:
 * sessions, wills, messages that wait, retained messages (with several loops: when each has had its
 * next turn). On failure nothing has changed, and `why` says what is wrong. */
enum td_err td_serve_access(struct td_serve *serve, const struct td_serve_access_config *access,
                            td_mono now, struct td_buf *why);
/* Begins the end: tells the clients, closes their connections, commits what is staged. Call it
 * after each turn's events, instead of turn, until it gives true. */
bool td_serve_stop(struct td_serve *serve, td_mono now);
/* After td_serve_stop() has given true. Frees. */
void td_serve_close(struct td_serve *serve);
/* The process dies here: memory is freed, nothing is written or sent (simulator only). */
void td_serve_abandon(struct td_serve *serve);

/* Where its i-th listener of that kind listens, as text with NUL (a port of 0 has been chosen by
 * then). False: there are no more, and out is empty. */
bool td_serve_address(const struct td_serve *serve, enum td_serve_kind kind, size_t i,
                      char out[64]);

/* ---- the audit log of a directory that no hub has open ---- */

/* What a reading of all records came to. */
struct td_serve_audit_sum {
    uint64_t first, last; /* numbers; 0: there is none */
    uint8_t end[32];      /* SHA-256 of the last */
};

/* Reads the records, each of them given to fn (NULL: none) as a line of JSON. TD_ECORRUPT: the
 * chain is broken; fn has seen the records before that place. Other errors as td_store_open(). On
 * failure `why` says for people what and where. */
enum td_err td_serve_audit_read(struct td_sys *sys, const char *dir,
                                void (*fn)(void *ctx, td_slice line), void *ctx,
                                struct td_serve_audit_sum *sum, struct td_buf *why);

/* ---- the parts, for this room only ---- */

struct td_guard;  /* guard/guard.h: principals and grants */
struct td_logins; /* serve/login.h: who comes says who it is */
struct td_mqttd;  /* serve/mqttd.h: MQTT clients and their sessions */
struct td_store;
struct td_record; /* serve/record.h: messages -> points, current values */
struct td_decide; /* serve/decide.h: rules */
struct td_httpd;  /* serve/http.h: page, API, live feed, metrics */
struct td_status; /* serve/status.h: $SYS */
struct td_audit;  /* serve/audit.h: who did what */

struct td_loop; /* serve/loop.h: one of several */

/* What there is on a loop. Loops but the first have no store and nothing that stands
 * on it, no HTTP and no status. */
struct td_parts {
    struct td_sys *sys;
    struct td_loop *loop; /* NULL: there is only one */
    struct td_guard *guard;
    struct td_logins *logins;
    struct td_hub *hub;
    struct td_store *store;
    struct td_record *record;
    struct td_decide *decide;
    struct td_mqttd *mqttd;
    struct td_httpd *httpd;   /* NULL: none */
    struct td_status *status; /* NULL: none */
    struct td_audit *audit;   /* NULL: while it starts */
    const char *version;
    bool anonymous, hub_wide; /* td_serve_access_config */
    td_mono started;
    td_mono now;  /* of the event or turn under way, */
    td_wall wall; /* and what the wall clock said then */
};

/* Takes users and grants on this loop, as td_serve_access(). */
enum td_err td_parts_access(struct td_parts *parts, const struct td_serve_access_config *access,
                            struct td_buf *why);

/* The one way of a message: retained, matched, delivered, remembered, decided. Gives the LSN that
 * must be durable before it may be acknowledged; 0: at once. `m` may borrow its bytes. Messages
 * published from inside a delivery (a rule's answer) must wait for the end of it: decide queues
 * them. */
uint64_t td_publish(struct td_parts *parts, struct td_message *m);

#endif
