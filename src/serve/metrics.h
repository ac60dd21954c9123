/* serve/metrics: the counters of all parts, rows of metrics.def, in one list: /metrics,
 * /api/v1/system and $SYS are ways to write it. */
#ifndef TD_SERVE_METRICS_H
#define TD_SERVE_METRICS_H

#include "serve/mqtt/mqttd.h"

enum {
    TD_METRIC_COUNT = 0
#define METRIC(section, field, kind, help) +1
#include "serve/metrics.def"
#undef METRIC
};

struct td_metric {
    const char *section, *name, *help; /* live for ever */
    bool counter;                      /* only grows; else a gauge */
    uint64_t value;
};

/* What all loops have counted; the others tell loop 0 once a second. */
struct td_metrics_loops {
    struct td_hub_stats hub;
    struct td_mqttd_stats mqttd;
};

void td_metrics_loops(const struct td_parts *parts, struct td_metrics_loops *out);
/* Reads all, in the order of the rows; those of one section stand together. The rows of a part that
 * is not there (no HTTP) are left out: gives how many there are. */
size_t td_metrics_read(const struct td_parts *parts, struct td_metric out[TD_METRIC_COUNT]);

#endif
