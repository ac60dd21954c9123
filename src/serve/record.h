/* serve/record: what is said is remembered. A subscriber of # turns messages into rows of the
 * history, and keeps the value that each field has now.
 *
 * A payload that is a JSON object or array gives one value per leaf, its path as the field (`a.b`,
 * `a.0`); a scalar gives the field `value`. What is binary or too large is counted, not kept.
 *
 * Current values stand in a list in order of their last change, so whoever looks again later reads
 * from the newest back to the version it has seen: it costs what has changed, however many look. */
#ifndef TD_SERVE_RECORD_H
#define TD_SERVE_RECORD_H

#include "base/value.h"
#include "serve/serve.h"

struct td_record;

struct td_record_limits {
    uint32_t series_max; /* current values; what comes beyond is stored, but not kept at hand */
};

struct td_record_stats {
    uint64_t rows, values;      /* stored */
    uint64_t binary, oversized; /* payloads that hold no values one could store */
    uint64_t leaves_dropped;    /* over 64 a message, or a name or text over its bound */
    uint64_t refused;           /* rows and columns that the store did not take */
    uint64_t untracked;         /* values over series_max */
    uint64_t series;            /* current values now */
};

/* Subscribes to #, takes over what the store knows of the last hour. What it is given outlives it;
 * free it before the hub. TD_EFULL: the hub takes no more subscriptions. */
enum td_err td_record_new(struct td_sys *sys, struct td_hub *hub, struct td_store *store,
                          const struct td_record_limits *limits, struct td_record **out);
void td_record_free(struct td_record *record);
/* While it is set, topics that were never recorded are not (they count as refused). */
void td_record_hold(struct td_record *record, bool hold);
/* Forgets and gives the LSN behind the rows of all messages since the last call; 0: there was none.
 * Whoever publishes asks afterwards, and does not acknowledge before it is durable. */
uint64_t td_record_take_lsn(struct td_record *record);
const struct td_record_stats *td_record_stats(const struct td_record *record);

enum td_quality {
    TD_QUALITY_GOOD,
    TD_QUALITY_STALE, /* from before the last start, not said again since */
    TD_QUALITY_UNKNOWN
};

/* The value that a series has now. */
struct td_current {
    uint32_t series;       /* td_series_of() */
    td_slice topic, field; /* live as long as the recorder */
    struct td_value value; /* its text: until the next message */
    td_wall at;            /* when it was said */
    uint64_t version;      /* td_record_version() when it was said */
    enum td_quality quality;
};

/* Grows with each value that is said. */
uint64_t td_record_version(const struct td_record *record);
/* Gives what was said after `since`, newest first, until fn gives false. fn must not publish. */
void td_record_changes(const struct td_record *record, uint64_t since,
                       bool (*fn)(void *ctx, const struct td_current *now), void *ctx);
/* Gives all, in the order in which they first came. */
void td_record_each(const struct td_record *record,
                    bool (*fn)(void *ctx, const struct td_current *now), void *ctx);
/* NULL: there is no such series, or it has no value yet. Until the next message. */
const struct td_current *td_record_find(const struct td_record *record, uint32_t series);

#endif
