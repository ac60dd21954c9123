/* serve/http, private: what its files share. */
#ifndef TD_SERVE_HTTP_INSIDE_H
#define TD_SERVE_HTTP_INSIDE_H

#include "base/json.h"
#include "guard/guard.h"
#include "serve/audit.h"
#include "serve/http.h"
#include "serve/listen.h"
#include "store/store.h"
#include "wire/http/http.h"
#include "wire/ws/ws.h"

enum {
    TD_HTTPD_IN_BYTES = 16384,            /* a head, and a window on a body */
    TD_HTTPD_UNSENT_BYTES_MAX = 64 << 20, /* of all connections together */
    TD_HTTPD_FIELDS_MAX = 8               /* of an answer, beside the ones that all have */
};

/* One request at a time: HEAD -> [BODY] -> [WAIT] -> ANSWER -> HEAD ..., or LIVE, or the end. */
enum td_httpd_phase {
    TD_HTTPD_HEAD,   /* waits for a request */
    TD_HTTPD_BODY,   /* reads its body */
    TD_HTTPD_WAIT,   /* the answer needs the store: a question, or a commit */
    TD_HTTPD_ANSWER, /* the answer is being written */
    TD_HTTPD_LIVE,   /* a WebSocket */
    TD_HTTPD_MQTT,   /* becomes one of MQTT's connections */
    TD_HTTPD_LINGER  /* all is written and shut down; drains until the other side has seen it */
};

struct td_httpd_route;

struct td_httpd_conn {
    struct td_owner owner; /* first */
    struct td_httpd *d;
    struct td_listener *listener;       /* it came by this one */
    struct td_httpd_conn *next, **link; /* of all */
    struct td_timer timer;
    td_mono body_ends; /* the body must be here by then */
    int stream;
    enum td_httpd_phase phase;
    bool close_after; /* this answer is the last one */
    bool asking;      /* WAIT: for the store's answer to `ticket`; else for `lsn` */
    uint64_t ticket, lsn;
    uint32_t series; /* what the question is about */
    const struct td_httpd_route *route;
    td_slice upgrade_key; /* MQTT: of the handshake; borrows as head does */
    struct td_http reader;
    struct td_http_head head; /* borrows from `in`, which does not move while it is in use */
    struct td_buf in;         /* the head, behind it bytes not yet used from in_used on */
    size_t in_used;
    struct td_buf body; /* of the request; WAIT for a commit: the answer; LIVE: the message that is
                         * being gathered */
    struct td_buf out;  /* to write, from out_sent on */
    size_t out_sent;
    td_slice tail; /* static bytes to write behind `out` */
    struct td_live *live;
    struct td_principal *who; /* of the request; NULL: not known (yet) */
    struct td_login *login;   /* WAIT: his password is being looked at */
};

struct td_httpd {
    struct td_parts *parts;
    struct td_serve_http_config config;
    struct td_listener *listeners;
    struct td_httpd_conn *first;
    struct td_heap timers;
    struct td_buf scratch; /* where answers are built */
    uint32_t waiting;      /* connections that wait for a commit */
    td_mono slice_at;      /* feeds: not before */
    td_mono beat_at;       /* feeds: something by then, so that the page knows we live */
    uint64_t sliced;       /* the version of values that all feeds but the ones behind have seen */
    bool behind;           /* a feed could not be written to */
    uint64_t told;         /* events of the rules that feeds have been told of */
    struct td_guard_cache *verdicts; /* NULL: none was needed so far */
    bool woken; /* a question was answered: its connection goes on in the turn */
    struct td_httpd_stats stats;
};

/* ---- answer.c ---- */

struct td_httpd_answer {
    unsigned status;
    const char *type;  /* Content-Type; NULL: no body */
    td_slice body;     /* copied */
    td_slice tail;     /* instead of body: static bytes, not copied */
    const char *cache; /* Cache-Control; NULL: no-store */
    struct td_http_field fields[TD_HTTPD_FIELDS_MAX];
    size_t field_count;
};

/* Queues the answer of the request that c is at. */
void td_httpd_answer(struct td_httpd_conn *c, const struct td_httpd_answer *a);
/* What was written to the scratch buffer by `o` as JSON; too large is answered as such. */
void td_httpd_answer_json(struct td_httpd_conn *c, unsigned status, const struct td_json_out *o);

/* What is wrong, for people and programs (RFC 9457): the thing, its value, the rule, the remedy. */
struct td_httpd_problem {
    unsigned status;
    const char *thing;
    td_slice value;
    const char *rule, *remedy;
    struct td_http_field field; /* one more field of the head; name.n 0: none */
};

void td_httpd_problem(struct td_httpd_conn *c, const struct td_httpd_problem *p);
/* An empty scratch buffer to build JSON in. */
struct td_json_out td_httpd_json(struct td_httpd *d);

/* The answer is 200 with this JSON (copied, short) once what stands up to `lsn` is durable; a
 * failed store is answered as such. 0: with the next turn. */
void td_httpd_answer_when(struct td_httpd_conn *c, uint64_t lsn, td_slice json);
/* What it waited for is durable (or the store has failed). */
void td_httpd_committed(struct td_httpd_conn *c);

/* Queues a head and what follows it; `body` is copied, `tail` is not. */
void td_httpd_queue(struct td_httpd_conn *c, const struct td_http_send *send, td_slice body,
                    td_slice tail);

/* ---- conn.c ---- */

/* Goes on as far as it goes; c may be gone afterwards. */
void td_httpd_conn_step(struct td_httpd_conn *c, td_mono now);
/* Ends the connection; c is gone. */
void td_httpd_conn_close(struct td_httpd_conn *c);
/* Sets c's one deadline. */
void td_httpd_conn_until(struct td_httpd_conn *c, td_mono at);
/* Writes what fits; false: the connection is broken (the caller closes it or leaves it alone). */
bool td_httpd_conn_write(struct td_httpd_conn *c, td_mono now);
size_t td_httpd_conn_unsent(const struct td_httpd_conn *c);

/* ---- asked.c ---- */

/* Answers 400. */
void td_httpd_bad(struct td_httpd_conn *c, const char *thing, td_slice value, const char *rule,
                  const char *remedy);
/* The query parameter, unquoted into c->body; false: it is not there, or it was answered as bad
 * (*broken). Its slice stands until the next call. */
bool td_httpd_param(struct td_httpd_conn *c, const char *name, td_slice *out, bool *broken);
/* The same as a time or a number; absent: the output stays. False: answered as bad. */
bool td_httpd_param_time(struct td_httpd_conn *c, const char *name, td_wall now, td_wall *at);
bool td_httpd_param_number(struct td_httpd_conn *c, const char *name, int64_t least, int64_t most,
                           const char *rule, int64_t *out);

/* The parameter `filter`, a topic filter without $share/, as a copy; n 0: there is none. False:
 * answered as bad. */
bool td_httpd_param_filter(struct td_httpd_conn *c, struct td_arena *arena, td_slice *out);

/* One member of the one flat object that a body may be. */
struct td_httpd_member {
    const char *name;
    td_slice text; /* what it says: a string unescaped, anything else as it was written */
    bool is_string;
    bool there;
};

/* Reads the body as an object of these members, whose texts go into `arena` or borrow from the
 * body. False: answered as bad. */
bool td_httpd_body(struct td_httpd_conn *c, struct td_arena *arena, struct td_httpd_member *members,
                   size_t count);
/* Writes a value. */
void td_httpd_value(struct td_json_out *o, struct td_value v);
/* Writes a time as text. */
void td_httpd_time(struct td_json_out *o, td_wall at);

/* ---- admit.c ---- */

/* The request is complete: who asks, and may he have this path? True: c->who is set. False: it was
 * answered, or waits and goes on by itself. */
bool td_httpd_admit(struct td_httpd_conn *c, td_mono now);
/* Forgets who asks. */
void td_httpd_who_drop(struct td_httpd_conn *c);
/* Whether who asks may do one action of enum td_guard_action on a topic; on all of #. */
bool td_httpd_may(struct td_httpd_conn *c, unsigned action, td_slice topic);
bool td_httpd_may_all(const struct td_httpd_conn *c, unsigned action);
/* Answers 403, or 401 where to say who one is could help. */
void td_httpd_forbidden(struct td_httpd_conn *c, const char *thing, td_slice value,
                        const char *rule);

/* ---- route.c ---- */

struct td_httpd_route {
    const char *method, *path;
    void (*handle)(struct td_httpd_conn *c, td_mono now);
    const char *params; /* names of query parameters, each with a space behind */
    const char *gives;
};

extern const struct td_httpd_route td_httpd_routes[];
extern const size_t td_httpd_route_count;

/* The head is complete: finds the route (c->route, NULL: the page's files) and checks what can be
 * checked before the body. False: it was answered with a problem. */
bool td_httpd_route(struct td_httpd_conn *c);
/* The request is complete: answers it now or lets it wait. */
void td_httpd_handle(struct td_httpd_conn *c, td_mono now);
/* The same once it is known who asks. */
void td_httpd_dispatch(struct td_httpd_conn *c, td_mono now);
/* What stands in the path where the route has {name}, as it was written. */
td_slice td_httpd_rest(const struct td_httpd_conn *c);
/* Tells the audit log what the request's sender did, or was refused. */
void td_httpd_audit(struct td_httpd_conn *c, enum td_audit_action action, bool refused,
                    td_slice object);
/* The rows' handlers: metrics.c, api.c, clients.c, retained.c, delayed.c, explain.c, history.c,
 * messages.c, live.c. */
void td_httpd_health(struct td_httpd_conn *c, td_mono now);
void td_httpd_metrics(struct td_httpd_conn *c, td_mono now);
void td_httpd_system(struct td_httpd_conn *c, td_mono now);
void td_httpd_rules(struct td_httpd_conn *c, td_mono now);
void td_httpd_things(struct td_httpd_conn *c, td_mono now);
void td_httpd_series(struct td_httpd_conn *c, td_mono now);
void td_httpd_query(struct td_httpd_conn *c, td_mono now);
void td_httpd_messages(struct td_httpd_conn *c, td_mono now);
void td_httpd_clients(struct td_httpd_conn *c, td_mono now);
void td_httpd_client_close(struct td_httpd_conn *c, td_mono now);
void td_httpd_retained(struct td_httpd_conn *c, td_mono now);
void td_httpd_retained_delete(struct td_httpd_conn *c, td_mono now);
void td_httpd_delayed(struct td_httpd_conn *c, td_mono now);
void td_httpd_delayed_cancel(struct td_httpd_conn *c, td_mono now);
void td_httpd_explain(struct td_httpd_conn *c, td_mono now);
void td_httpd_records(struct td_httpd_conn *c, td_mono now); /* of the audit log */
void td_httpd_live(struct td_httpd_conn *c, td_mono now);    /* the handshake */
void td_httpd_mqtt(struct td_httpd_conn *c, td_mono now);    /* the handshake */
void td_httpd_page(struct td_httpd_conn *c);

/* ---- live.c ---- */

/* Bytes came in; false: close. */
bool td_httpd_live_feed(struct td_httpd_conn *c, uint8_t *p, size_t n, td_mono now);
bool td_httpd_live_watching(const struct td_httpd_conn *c);
void td_httpd_live_free(struct td_httpd_conn *c);
/* feed.c: slices and events that are due. */
void td_httpd_live_turn(struct td_httpd *d, td_mono now);
td_mono td_httpd_live_deadline(const struct td_httpd *d);

#endif
