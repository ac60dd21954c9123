/* serve/http, private: one live feed, shared by live.c (what the page says) and feed.c (what it
 * gets). */
#ifndef TD_SERVE_HTTP_FEED_H
#define TD_SERVE_HTTP_FEED_H

#include "serve/http/inside.h"

enum {
    TD_FEED_SLICE_MS = 100,
    TD_FEED_BEAT_MS = 5000,        /* an empty frame at least so often */
    TD_FEED_SERIES_MAX = 5000,     /* of one feed */
    TD_FEED_GLOB_BYTES_MAX = 4096, /* of all its globs */
    TD_FEED_EVENT_UNSENT_MAX =
        262144 /* more unsent bytes: events are dropped, pings not answered */
};

struct td_live {
    struct td_ws ws;
    uint64_t seen; /* the version of values that it has got */
    uint32_t seq;
    td_mono slice_at;
    td_ms every_ms;
    bool watching;
    char globs[TD_FEED_GLOB_BYTES_MAX]; /* each with a NUL behind it */
    size_t glob_bytes;
    uint32_t *named; /* series that have their names: open addressing, 0 is free, else id + 1 */
    uint32_t named_count, named_slots;
};

/* The page has said what it watches: forgets what it has got, gives it all that is. */
void td_httpd_feed_snapshot(struct td_httpd_conn *c, td_mono now);

#endif
