/* app, private: one HTTP request to a hub, waited for. */
#ifndef TD_APP_FETCH_H
#define TD_APP_FETCH_H

#include "app/loop.h"

struct td_app_request {
    const char *address; /* "host:port", numeric */
    const char *method;
    td_slice path; /* with the query */
    td_slice body; /* JSON; n 0: none */
    td_ms wait_ms;
};

/* Asks, with the token in the environment's TANDEM_TOKEN if there is one, and appends the
 * response's body to `out`; *status is its status. On failure `why` holds a message for people:
 * TD_ECLOSED nobody answers there, TD_ERANGE not an address, TD_EAGAIN no answer within
 * `wait_ms`, TD_EPROTO not HTTP, TD_EFULL the answer is longer than `out` may grow. */
enum td_err td_app_fetch(struct td_linux *l, const struct td_app_request *request,
                         struct td_buf *out, unsigned *status, struct td_buf *why);

/* The same for `tandem <command>`: what is not answered with 200 is said on stderr, false. */
bool td_app_fetch_or_say(struct td_linux *l, const struct td_app_request *request,
                         const char *command, struct td_buf *out);
/* Says what a problem document (RFC 9457) says: its detail, or its title. */
void td_app_problem_say(const char *command, td_slice body, unsigned status);

/* Appends text as it may stand in a path or query: %XX for all but letters, digits, "-._~". */
void td_app_quote(struct td_buf *out, td_slice text);

#endif
