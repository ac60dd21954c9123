/* serve/http: how the hub is. /metrics and /api/v1/system are two ways to write the rows of
 * metrics.def. */
#include "serve/http/inside.h"
#include "serve/metrics.h"

static int64_t uptime_s(const struct td_httpd_conn *c, td_mono now)
{
    return (now - c->d->parts->started) / TD_NS_PER_S;
}

static bool same_section(const struct td_metric *a, const struct td_metric *b)
{
    return strcmp(a->section, b->section) == 0;
}

void td_httpd_system(struct td_httpd_conn *c, td_mono now)
{
    struct td_metric rows[TD_METRIC_COUNT];
    size_t count = td_metrics_read(c->d->parts, rows);
    struct td_json_out o = td_httpd_json(c->d);
    td_json_open(&o, '{');
    td_json_key(&o, "version");
    td_json_string(&o, td_slice_of(c->d->parts->version));
    td_json_key(&o, "uptime_s");
    td_json_int(&o, uptime_s(c, now));
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !same_section(&rows[i], &rows[i - 1])) {
            td_json_key(&o, rows[i].section);
            td_json_open(&o, '{');
        }
        td_json_key(&o, rows[i].name);
        td_json_int(&o, (int64_t)rows[i].value);
        if (i + 1 == count || !same_section(&rows[i], &rows[i + 1])) {
            td_json_close(&o, '}');
        }
    }
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

/* Prometheus, text format 0.0.4: counters end in _total. */
static enum td_err add_metric(struct td_buf *out, const struct td_metric *m)
{
    bool named = strlen(m->name) > 6 && strcmp(m->name + strlen(m->name) - 6, "_total") == 0;
    const char *kind = m->counter ? "counter" : "gauge";
    const char *end = m->counter && !named ? "_total" : "";
    return td_buf_printf(out,
                         "# HELP tandem_%s_%s%s %s\n# TYPE tandem_%s_%s%s %s\n"
                         "tandem_%s_%s%s %llu\n",
                         m->section, m->name, end, m->help, m->section, m->name, end, kind,
                         m->section, m->name, end, (unsigned long long)m->value);
}

void td_httpd_metrics(struct td_httpd_conn *c, td_mono now)
{
    struct td_metric rows[TD_METRIC_COUNT];
    size_t count = td_metrics_read(c->d->parts, rows);
    struct td_json_out o = td_httpd_json(c->d);
    o.err = td_buf_printf(o.to,
                          "# HELP tandem_info the version that runs\n# TYPE tandem_info gauge\n"
                          "tandem_info{version=\"%s\"} 1\n"
                          "# HELP tandem_uptime_seconds time since the start\n"
                          "# TYPE tandem_uptime_seconds gauge\ntandem_uptime_seconds %lld\n",
                          c->d->parts->version, (long long)uptime_s(c, now));
    for (size_t i = 0; i < count && o.err == TD_OK; i++) {
        o.err = add_metric(o.to, &rows[i]);
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
