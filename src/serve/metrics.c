/* serve/metrics: each row is a field of a part's statistics. */
#include "serve/metrics.h"

#include "serve/decide.h"
#include "serve/http.h"
#include "serve/loop.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"
#include "store/store.h"

enum kind { COUNTER, GAUGE };

/* The sections, in their order, with what their rows are fields of. */
#define SECTIONS(S)                                                                                \
    S(hub, "hub", &all.hub)                                                                        \
    S(mqttd, "mqtt", &all.mqttd)                                                                   \
    S(store, "store", td_store_stats(p->store))                                                    \
    S(record, "record", td_record_stats(p->record))                                                \
    S(decide, "decide", td_decide_stats(p->decide))                                                \
    S(rules, "rules", td_rules_stats(td_decide_rules(p->decide)))                                  \
    S(httpd, "http", p->httpd == NULL ? NULL : td_httpd_stats(p->httpd))

enum section {
#define S(name, text, stats) SECTION_##name,
    SECTIONS(S)
#undef S
        SECTION_COUNT
};

static const char *const section_texts[] = {
#define S(name, text, stats) text,
    SECTIONS(S)
#undef S
};

static const struct row {
    enum section section;
    const char *name;
    enum kind kind;
    size_t offset, bytes; /* of the field, a uint64_t or uint32_t */
    const char *help;
} rows[] = {
#define METRIC(section, field, kind, help)                                                         \
    {SECTION_##section,                                                                            \
     #field,                                                                                       \
     kind,                                                                                         \
     offsetof(struct td_##section##_stats, field),                                                 \
     sizeof(((struct td_##section##_stats *)0)->field),                                            \
     help},
#include "serve/metrics.def"
#undef METRIC
};

static uint64_t value_of(const struct row *row, const uint8_t *source)
{
    uint64_t wide;
    uint32_t narrow;
    if (row->bytes == sizeof narrow) {
        memcpy(&narrow, source + row->offset, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, source + row->offset, sizeof wide);
    return wide;
}

void td_metrics_loops(const struct td_parts *p, struct td_metrics_loops *out)
{
    if (p->loop == NULL) {
        out->hub = *td_hub_stats(p->hub);
        out->mqttd = *td_mqttd_stats(p->mqttd);
    } else {
        td_loop_hub_sum(p->loop, &out->hub);
        td_loop_mqttd_sum(p->loop, &out->mqttd);
    }
}

size_t td_metrics_read(const struct td_parts *p, struct td_metric out[TD_METRIC_COUNT])
{
    const void *sources[SECTION_COUNT];
    struct td_metrics_loops all;
    size_t n = 0;
    td_metrics_loops(p, &all);
#define S(name, text, stats) sources[SECTION_##name] = stats;
    SECTIONS(S)
#undef S
    for (size_t i = 0; i < TD_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        if (sources[row->section] != NULL) {
            out[n++] = (struct td_metric){.section = section_texts[row->section],
                                          .name = row->name,
                                          .help = row->help,
                                          .counter = row->kind == COUNTER,
                                          .value = value_of(row, sources[row->section])};
        }
    }
    return n;
}
