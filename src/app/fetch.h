/* app, private: one HTTP request to a hub, waited for. */
#ifndef TD_APP_FETCH_H
#define TD_APP_FETCH_H

#include "app/loop.h"

/* POSTs a JSON body to "host:port" (numeric) and appends the response's body to `out`; *status is
 * its status. On failure `why` holds a message for people: TD_ECLOSED nobody answers there,
 * TD_ERANGE not an address, TD_EAGAIN no answer within `wait_ms`, TD_EPROTO not HTTP, TD_EFULL the
 * answer is longer than `out` may grow. */
enum td_err td_app_fetch(struct td_linux *l, const char *address, td_slice path, td_slice body,
                         td_ms wait_ms, struct td_buf *out, unsigned *status, struct td_buf *why);

#endif
