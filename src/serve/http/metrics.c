/* serve/http: how the hub is. Each counter is a row of metrics.def; /metrics and /api/v1/system are
 * two ways to write the rows. */
#include "serve/decide.h"
#include "serve/http/inside.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"

enum kind { COUNTER, GAUGE };

/* The sections, in their order, with what their rows are fields of. */
#define SECTIONS(S)                                                                                \
    S(hub, "hub", td_hub_stats(p->hub))                                                            \
    S(mqttd, "mqtt", td_mqttd_stats(p->mqttd))                                                     \
    S(store, "store", td_store_stats(p->store))                                                    \
    S(record, "record", td_record_stats(p->record))                                                \
    S(decide, "decide", td_decide_stats(p->decide))                                                \
    S(rules, "rules", td_rules_stats(td_decide_rules(p->decide)))                                  \
    S(httpd, "http", &p->httpd->stats)

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
#include "serve/http/metrics.def"
#undef METRIC
};

static void sources_of(const struct td_parts *p, const void *out[SECTION_COUNT])
{
#define S(name, text, stats) out[SECTION_##name] = stats;
    SECTIONS(S)
#undef S
}

static uint64_t value_of(const struct row *row, const void *const sources[SECTION_COUNT])
{
    const uint8_t *at = (const uint8_t *)sources[row->section] + row->offset;
    uint64_t wide;
    uint32_t narrow;
    if (row->bytes == sizeof narrow) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, at, sizeof wide);
    return wide;
}

static int64_t uptime_s(const struct td_httpd_conn *c, td_mono now)
{
    return (now - c->d->parts->started) / TD_NS_PER_S;
}

void td_httpd_system(struct td_httpd_conn *c, td_mono now)
{
    const void *sources[SECTION_COUNT];
    struct td_json_out o = td_httpd_json(c->d);
    sources_of(c->d->parts, sources);
    td_json_open(&o, '{');
    td_json_key(&o, "version");
    td_json_string(&o, td_slice_of(c->d->parts->version));
    td_json_key(&o, "uptime_s");
    td_json_int(&o, uptime_s(c, now));
    for (size_t i = 0; i < TD_COUNT(rows); i++) {
        bool first = i == 0 || rows[i - 1].section != rows[i].section;
        bool last = i + 1 == TD_COUNT(rows) || rows[i + 1].section != rows[i].section;
        if (first) {
            td_json_key(&o, section_texts[rows[i].section]);
            td_json_open(&o, '{');
        }
        td_json_key(&o, rows[i].name);
        td_json_int(&o, (int64_t)value_of(&rows[i], sources));
        if (last) {
            td_json_close(&o, '}');
        }
    }
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

/* Prometheus, text format 0.0.4: counters end in _total. */
static enum td_err add_metric(struct td_buf *out, const struct row *row, uint64_t value)
{
    bool named = strlen(row->name) > 6 && strcmp(row->name + strlen(row->name) - 6, "_total") == 0;
    const char *kind = row->kind == COUNTER ? "counter" : "gauge";
    const char *end = row->kind == COUNTER && !named ? "_total" : "";
    const char *section = section_texts[row->section];
    return td_buf_printf(out,
                         "# HELP tandem_%s_%s%s %s\n# TYPE tandem_%s_%s%s %s\n"
                         "tandem_%s_%s%s %llu\n",
                         section, row->name, end, row->help, section, row->name, end, kind, section,
                         row->name, end, (unsigned long long)value);
}

void td_httpd_metrics(struct td_httpd_conn *c, td_mono now)
{
    const void *sources[SECTION_COUNT];
    struct td_json_out o = td_httpd_json(c->d);
    sources_of(c->d->parts, sources);
    o.err = td_buf_printf(o.to,
                          "# HELP tandem_info the version that runs\n# TYPE tandem_info gauge\n"
                          "tandem_info{version=\"%s\"} 1\n"
                          "# HELP tandem_uptime_seconds time since the start\n"
                          "# TYPE tandem_uptime_seconds gauge\ntandem_uptime_seconds %lld\n",
                          c->d->parts->version, (long long)uptime_s(c, now));
    for (size_t i = 0; i < TD_COUNT(rows) && o.err == TD_OK; i++) {
        o.err = add_metric(o.to, &rows[i], value_of(&rows[i], sources));
    }
    if (o.err != TD_OK) {
        td_httpd_answer_json(c, 200, &o); /* says that it is too large */
        return;
    }
    td_httpd_answer(c, &(struct td_httpd_answer){.status = 200,
                                                 .type = "text/plain; version=0.0.4; charset=utf-8",
                                                 .body = td_buf_slice(o.to)});
}

void td_httpd_health(struct td_httpd_conn *c, td_mono now)
{
    const struct td_parts *p = c->d->parts;
    bool failed = td_store_failed(p->store);
    struct td_json_out o = td_httpd_json(c->d);
    td_json_open(&o, '{');
    td_json_key(&o, "status");
    td_json_string(&o, failed ? TD_STR("failed") : TD_STR("ok"));
    if (failed) {
        td_json_key(&o, "reason");
        td_json_string(&o, td_slice_of(td_store_failure(p->store)));
    }
    td_json_key(&o, "uptime_s");
    td_json_int(&o, uptime_s(c, now));
    td_json_key(&o, "version");
    td_json_string(&o, td_slice_of(p->version));
    td_json_close(&o, '}');
    td_httpd_answer_json(c, failed ? 503 : 200, &o);
}
