/* serve/listen: sockets that listen, as mqttd and httpd share them. A connection points to the
 * listener it came by; so a listener that is closed stays until its last connection has gone. */
#ifndef TD_SERVE_LISTEN_H
#define TD_SERVE_LISTEN_H

#include "serve/serve.h"

struct td_listener {
    struct td_owner owner;       /* first */
    struct td_serve_listener is; /* as was asked for; the texts stand in `texts` */
    struct td_arena texts;
    void *of; /* the mqttd or httpd whose it is */
    struct td_listener *next;
    uint32_t number; /* among all that were asked for */
    int stream;      /* -1: closed */
    uint32_t users;  /* its connections, and the list while it is in it */
};

/* What each new listener is made with. */
struct td_listener_plan {
    struct td_sys *sys;
    enum td_serve_kind kind;
    void (*ready)(struct td_owner *listener, const struct td_sys_event *event, td_mono now);
    void *of;
};

/* Opens those of `asked` that are of the plan's kind, in order, onto the end of *first. On failure
 * `why` says in words for people what stood in the way; what was opened stays in the list. */
enum td_err td_listeners_open(const struct td_listener_plan *plan,
                              const struct td_serve_listeners *asked, struct td_listener **first,
                              struct td_buf *why);
/* All of `asked`, not opened: for the loops that connections go to. */
void td_listeners_copy(const struct td_listener_plan *plan, const struct td_serve_listeners *asked,
                       struct td_listener **first);
/* The one of that number, which is there. */
struct td_listener *td_listener_at(struct td_listener *first, uint32_t number);
/* Closes all, and frees those without connections. */
void td_listeners_close(struct td_sys *sys, struct td_listener **first);
/* Frees them without closing. */
void td_listeners_free(struct td_listener **first);
/* The address of the i-th as text with NUL; false: there are no more. */
bool td_listeners_address(struct td_sys *sys, const struct td_listener *first, size_t i,
                          char out[64]);

/* Whether who comes by it may say in that way who he is. */
static inline bool td_listener_takes(const struct td_listener *l, const struct td_parts *parts,
                                     enum td_serve_way way)
{
    unsigned usual = TD_WAY_USUAL | (parts->anonymous ? (unsigned)TD_WAY_ANONYMOUS : 0U);
    return ((l->is.ways != 0 ? l->is.ways : usual) & way) != 0;
}

/* A connection that came by it has begun, has gone. */
struct td_listener *td_listener_ref(struct td_listener *l);
void td_listener_unref(struct td_listener *l);

#endif
