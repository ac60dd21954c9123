/* serve/http: rows of api.def about MQTT clients: who they are, what each has sent, got and not
 * got; closing one. */
#include <stdlib.h>

#include "serve/http/inside.h"
#include "serve/mqtt/mqttd.h"

enum { CLIENTS_MAX = 1000, CLIENTS_DEFAULT = 100 };

/* ---- writing ---- */

static void add_int(struct td_json_out *o, const char *key, uint64_t value)
{
    td_json_key(o, key);
    td_json_int(o, (int64_t)value);
}

static void add_connection(struct td_json_out *o, struct td_sys *sys,
                           const struct td_mqttd_client *c)
{
    char address[64];
    td_json_key(o, "address");
    if (c->stream >= 0) {
        sys->address(sys, c->stream, true, address);
        td_json_string(o, td_slice_of(address));
    } else {
        td_json_raw(o, "null");
    }
    add_int(o, "version", c->version);
    add_int(o, "keep_alive_s", c->keep_alive_s);
}

static void add_drops(struct td_json_out *o, const struct td_mqttd_client *c)
{
    add_int(o, "dropped", c->dropped);
    td_json_key(o, "drops");
    td_json_open(o, '{');
    for (unsigned i = 0; i < TD_DROP_COUNT; i++) {
        if (c->drops[i] > 0) {
            add_int(o, td_drop_name((enum td_drop)i), c->drops[i]);
        }
    }
    td_json_close(o, '}');
}

static void add_client(struct td_json_out *o, struct td_sys *sys, const struct td_mqttd_client *c)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"since_ms", c->since_ms},
        {"expiry_s", c->expiry_s},
        {"subscriptions", c->subscriptions},
        {"messages_in", c->messages_in},
        {"messages_out", c->messages_out},
        {"bytes_in", c->bytes_in},
        {"bytes_out", c->bytes_out},
        {"queued", c->queued},
        {"queued_bytes", c->queued_bytes},
        {"unsent_bytes", c->unsent_bytes},
        {"window", c->window},
        {"window_max", c->window_max},
        {"ack_us", c->ack_us},
        {"ack_us_max", c->ack_us_max},
    };
    td_json_open(o, '{');
    td_json_key(o, "client");
    td_json_string(o, c->client_id);
    td_json_key(o, "principal");
    td_json_string(o, c->principal);
    td_json_key(o, "connected");
    td_json_raw(o, c->connected ? "true" : "false");
    add_connection(o, sys, c);
    for (size_t i = 0; i < TD_COUNT(numbers); i++) {
        add_int(o, numbers[i].key, numbers[i].value);
    }
    add_drops(o, c);
    td_json_close(o, '}');
}

static void answer(struct td_httpd_conn *c, const struct td_mqttd_client *clients, size_t count)
{
    const struct td_parts *parts = c->d->parts;
    struct td_json_out o = td_httpd_json(c->d);
    td_json_open(&o, '{');
    add_int(&o, "sessions", td_mqttd_stats(parts->mqttd)->sessions);
    td_json_key(&o, "clients");
    td_json_open(&o, '[');
    for (size_t i = 0; i < count && o.err == TD_OK; i++) {
        add_client(&o, parts->sys, &clients[i]);
    }
    td_json_close(&o, ']');
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}

/* ---- the rows ---- */

static bool sort_of(struct td_httpd_conn *c, enum td_mqttd_sort *by)
{
    static const struct {
        const char *name;
        enum td_mqttd_sort by;
    } sorts[] = {{"queue", TD_MQTTD_SORT_QUEUE},   {"drops", TD_MQTTD_SORT_DROPS},
                 {"unsent", TD_MQTTD_SORT_UNSENT}, {"ack", TD_MQTTD_SORT_ACK},
                 {"in", TD_MQTTD_SORT_IN},         {"out", TD_MQTTD_SORT_OUT}};
    td_slice text;
    bool broken;
    *by = TD_MQTTD_SORT_NONE;
    if (!td_httpd_param(c, "sort", &text, &broken)) {
        return !broken;
    }
    for (size_t i = 0; i < TD_COUNT(sorts); i++) {
        if (td_slice_eq(text, td_slice_of(sorts[i].name))) {
            *by = sorts[i].by;
            return true;
        }
    }
    td_httpd_bad(c, "sort", text, "not an order that is known here",
                 "give queue, drops, unsent, ack, in or out");
    return false;
}

/* A parameter that may be left out, then its n is 0; a copy. False: answered as bad. */
static bool name_of(struct td_httpd_conn *c, const char *name, struct td_arena *arena,
                    td_slice *out)
{
    bool broken;
    td_slice text;
    *out = (td_slice){NULL, 0};
    if (td_httpd_param(c, name, &text, &broken)) {
        *out = td_arena_copy(arena, text);
    }
    return !broken;
}

static void list(struct td_httpd_conn *c, struct td_arena *arena, td_mono now)
{
    struct td_mqttd *d = c->d->parts->mqttd;
    enum td_mqttd_sort by;
    int64_t limit = CLIENTS_DEFAULT;
    td_slice client, principal;
    if (!sort_of(c, &by) || !name_of(c, "client", arena, &client) ||
        !name_of(c, "principal", arena, &principal) ||
        !td_httpd_param_number(c, "limit", 1, CLIENTS_MAX, "1 to 1000 clients", &limit)) {
        return;
    }
    struct td_mqttd_client *clients = td_alloc((size_t)limit * sizeof *clients);
    size_t n = client.n > 0
                   ? td_mqttd_clients_find(d, principal, client, now, clients, (size_t)limit)
                   : td_mqttd_clients(d, by, now, clients, (size_t)limit);
    answer(c, clients, n);
    free(clients);
}

void td_httpd_clients(struct td_httpd_conn *c, td_mono now)
{
    struct td_arena arena;
    td_arena_init(&arena, 0);
    list(c, &arena, now);
    td_arena_fini(&arena);
}

static void nobody(struct td_httpd_conn *c, td_slice id)
{
    td_httpd_problem(c, &(struct td_httpd_problem){.status = 404,
                                                   .thing = "client",
                                                   .value = id,
                                                   .rule = "no such client is connected",
                                                   .remedy = "/api/v1/clients names who is"});
}

static void close_named(struct td_httpd_conn *c, struct td_arena *arena, td_mono now)
{
    td_slice principal, raw = td_httpd_rest(c);
    struct td_buf id;
    size_t n = 0;
    if (!name_of(c, "principal", arena, &principal)) {
        return;
    }
    td_buf_init(&id, raw.n + 1);
    if (td_buf_reserve(&id, raw.n + 1) != TD_OK || td_http_unquote(raw, false, id.p, &n) != TD_OK) {
        td_httpd_bad(c, "client", raw, "a % must stand before two hex digits", "quote % as %25");
    } else {
        id.n = n;
        td_httpd_audit(c, TD_AUDIT_CLOSE, false, td_buf_slice(&id));
        n = td_mqttd_clients_close(c->d->parts->mqttd, principal, td_buf_slice(&id), now);
        if (n == 0) {
            nobody(c, td_buf_slice(&id));
        } else {
            struct td_json_out o = td_httpd_json(c->d);
            td_json_open(&o, '{');
            add_int(&o, "closed", n);
            td_json_close(&o, '}');
            td_httpd_answer_json(c, 200, &o);
        }
    }
    td_buf_fini(&id);
}

void td_httpd_client_close(struct td_httpd_conn *c, td_mono now)
{
    struct td_arena arena;
    td_arena_init(&arena, 0);
    close_named(c, &arena, now);
    td_arena_fini(&arena);
}

/* ---- who did what ---- */

void td_httpd_audit(struct td_httpd_conn *c, enum td_audit_action action, bool refused,
                    td_slice object)
{
    static const td_slice nobody_known = {NULL, 0};
    const struct td_audit_event e = {.action = action,
                                     .refused = refused,
                                     .principal =
                                         c->who != NULL ? td_principal_name(c->who) : nobody_known,
                                     .object = object,
                                     .stream = c->stream};
    td_audit_note(c->d->parts, &e);
}

enum { RECORDS_MAX = 256 };

void td_httpd_records(struct td_httpd_conn *c, td_mono now)
{
    td_slice lines[RECORDS_MAX];
    int64_t limit = 50;
    (void)now;
    if (!td_httpd_param_number(c, "limit", 1, RECORDS_MAX, "1 to 256 records", &limit)) {
        return;
    }
    size_t n = td_audit_last(c->d->parts->audit, lines, (size_t)limit);
    struct td_json_out o = td_httpd_json(c->d);
    o.err = td_buf_add(o.to, TD_STR("{\"records\":["));
    for (size_t i = 0; i < n && o.err == TD_OK; i++) {
        o.err = td_buf_add(o.to, i == 0 ? TD_STR("\n") : TD_STR(",\n"));
        o.err = o.err == TD_OK ? td_buf_add(o.to, lines[i]) : o.err;
    }
    o.err = o.err == TD_OK ? td_buf_add(o.to, TD_STR("]}")) : o.err;
    td_httpd_answer_json(c, 200, &o);
}
