/* serve/http: httpd, the page, the API, the live feed and the metrics, on one listener.
 *
 *   http/conn.c     connections: read, one request at a time, write; their bounds and deadlines
 *   http/answer.c   answers and problems, with what all of them say
 *   http/admit.c    who asks, and whether he may
 *   http/route.c    which row of api.def a request is, from where; http/api.c the rows themselves;
 *                   http/history.c questions to the store, http/messages.c publishing
 *   http/live.c     WebSocket feeds: what a page watches; http/feed.c what it gets, every 100 ms
 *   http/metrics.c  the counters as JSON and as Prometheus text
 *
 * Driven by serve/ over any td_sys; the time comes in. */
#ifndef TD_SERVE_HTTP_H
#define TD_SERVE_HTTP_H

#include "serve/serve.h"

struct td_httpd_stats {
    uint64_t connections, live;          /* now */
    uint64_t connections_total, refused; /* refused: over connections_max */
    uint64_t requests, answers_bad;      /* answers_bad: 4xx and 5xx */
    uint64_t timeouts, unsent_bytes;     /* unsent_bytes: now */
    uint64_t live_frames, live_values;   /* written to feeds */
    uint64_t logins_refused, denied;     /* 401, 403 */
    uint64_t retained_deleted;
    uint64_t live_skipped, live_events_dropped, live_series_refused;
};

/* Opens those of `listeners` that are for HTTP. On failure `why` says in words for people what
 * stood in the way. `parts` and the names in `config` are borrowed for life; other parts may come
 * until the first turn. */
enum td_err td_httpd_new(struct td_parts *parts, const struct td_serve_listeners *listeners,
                         const struct td_serve_http_config *config, struct td_httpd **out,
                         struct td_buf *why);
/* Ends a turn: feeds that are due, answers whose commit is through, silent connections. */
void td_httpd_turn(struct td_httpd *httpd, td_mono now);
td_mono td_httpd_deadline(const struct td_httpd *httpd);
/* Users or grants are others now: ends the connections of those who are gone, or have to say anew
 * who they are. */
void td_httpd_rights_changed(struct td_httpd *httpd);
/* Closes the listeners and all connections; their questions to the store are taken back. */
void td_httpd_shutdown(struct td_httpd *httpd);
/* Frees; closes no stream and tells nobody. */
void td_httpd_free(struct td_httpd *httpd);
/* Where its i-th listener listens, as text with NUL; false: there are no more. */
bool td_httpd_address(const struct td_httpd *httpd, size_t i, char out[64]);
const struct td_httpd_stats *td_httpd_stats(const struct td_httpd *httpd);

#endif
