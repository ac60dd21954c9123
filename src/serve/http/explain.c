/* serve/http: why a message got there, or not. Of a topic: who hears it now, and what happened
 * lately. Of a topic and a client: each of its subscriptions with the level where it fails, and one
 * sentence that says how it stands. */
#include <stdio.h>
#include <stdlib.h>

#include "serve/http/inside.h"
#include "serve/mqtt/mqttd.h"

enum { HEARERS_MAX = 100, TRACES_MAX = 50, TEXT_BYTES = 320 };

static void add_int(struct td_json_out *o, const char *key, uint64_t value)
{
    td_json_key(o, key);
    td_json_int(o, (int64_t)value);
}

static void add_text(struct td_json_out *o, const char *key, td_slice text)
{
    td_json_key(o, key);
    td_json_string(o, text);
}

static void add_bool(struct td_json_out *o, const char *key, bool value)
{
    td_json_key(o, key);
    td_json_raw(o, value ? "true" : "false");
}

/* ---- who hears it ---- */

static void add_hearer(struct td_json_out *o, const struct td_mqttd_hearer *h)
{
    td_json_open(o, '{');
    add_text(o, "client", h->client.client_id);
    add_text(o, "principal", h->client.principal);
    add_bool(o, "connected", h->client.connected);
    add_int(o, "qos", h->qos);
    if (h->group.n > 0) {
        add_text(o, "group", h->group);
    }
    if (h->no_local) {
        add_bool(o, "no_local", true);
    }
    add_int(o, "queued", h->client.queued);
    add_int(o, "unsent_bytes", h->client.unsent_bytes);
    add_int(o, "dropped", h->client.dropped);
    td_json_close(o, '}');
}

static void add_hearers(struct td_json_out *o, struct td_mqttd *d, td_slice topic, td_mono now)
{
    struct td_mqttd_hearer *hearers = td_alloc(HEARERS_MAX * sizeof *hearers);
    size_t all, n = td_mqttd_hearers(d, topic, now, hearers, HEARERS_MAX, &all);
    add_int(o, "hearers", all);
    td_json_key(o, "clients");
    td_json_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        add_hearer(o, &hearers[i]);
    }
    td_json_close(o, ']');
    free(hearers);
}

/* ---- what happened ---- */

static void add_trace(struct td_json_out *o, const struct td_mqttd_trace *t)
{
    static const char *const kinds[] = {"publish", "shared", "drop"};
    static const char *const whose[] = {"from", "member", "client"};
    static const char *const counts[] = {"reached", "queued", "queued"};
    td_json_open(o, '{');
    add_text(o, "kind", td_slice_of(kinds[t->kind]));
    add_int(o, "age_ms", t->age_ms);
    td_json_key(o, whose[t->kind]);
    if (t->client_id.n > 0) {
        td_json_string(o, t->client_id);
    } else {
        td_json_raw(o, "null");
    }
    add_int(o, counts[t->kind], t->count);
    if (t->kind == TD_MQTTD_TRACE_DROP) {
        add_text(o, "why", td_slice_of(td_drop_name(t->why)));
    } else {
        add_int(o, "qos", t->qos);
    }
    if (t->retain) {
        add_bool(o, "retain", true);
    }
    td_json_close(o, '}');
}

/* `only`: the rows of one client and the publishes; n 0: all rows. */
static void add_traces(struct td_json_out *o, const struct td_mqttd *d, td_slice topic,
                       td_slice only, td_mono now)
{
    struct td_mqttd_trace *traces = td_alloc(TRACES_MAX * sizeof *traces);
    size_t n = td_mqttd_trace(d, topic, now, traces, TRACES_MAX);
    td_json_key(o, "recent");
    td_json_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        if (only.n == 0 || traces[i].kind == TD_MQTTD_TRACE_PUBLISH ||
            td_slice_eq(traces[i].client_id, only)) {
            add_trace(o, &traces[i]);
        }
    }
    td_json_close(o, ']');
    free(traces);
}

/* ---- one client ---- */

struct hearing {
    struct td_json_out *o;
    unsigned count, matching, own, local; /* own: matching and not shared; local: of those, with
                                           * No Local */
    uint8_t qos;                          /* the highest of the matching */
};

static td_slice miss_text(const struct td_filter_miss *m, char out[TEXT_BYTES])
{
    const int most = 80;
    int want = m->want.n < 80 ? (int)m->want.n : most,
        have = m->have.n < 80 ? (int)m->have.n : most;
    const char *w = want > 0 ? (const char *)m->want.p : "";
    const char *h = have > 0 ? (const char *)m->have.p : "";
    int n = 0;
    switch (m->why) {
    case TD_MISS_LEVEL:
        n = snprintf(out, TEXT_BYTES, "level %zu: the filter wants '%.*s', the topic has '%.*s'",
                     m->level, want, w, have, h);
        break;
    case TD_MISS_TOPIC_ENDS:
        n = snprintf(out, TEXT_BYTES, "level %zu: the filter wants '%.*s', the topic has ended",
                     m->level, want, w);
        break;
    case TD_MISS_FILTER_ENDS:
        n = snprintf(out, TEXT_BYTES, "level %zu: the filter has ended, the topic has '%.*s'",
                     m->level, have, h);
        break;
    case TD_MISS_DOLLAR:
        n = snprintf(out, TEXT_BYTES,
                     "level 1: '%.*s' does not stand for a name that begins with $, as '%.*s'",
                     want, w, have, h);
        break;
    }
    return (td_slice){(const uint8_t *)out, (size_t)n};
}

static void add_hearing(void *ctx, const struct td_mqttd_hearing *s)
{
    struct hearing *h = ctx;
    char text[TEXT_BYTES];
    h->count++;
    h->matching += s->matches;
    h->own += s->matches && !s->shared;
    h->local += s->matches && !s->shared && s->no_local;
    h->qos = s->matches && s->qos > h->qos ? s->qos : h->qos;
    td_json_open(h->o, '{');
    add_text(h->o, "filter", s->filter);
    add_bool(h->o, "matches", s->matches);
    add_int(h->o, "qos", s->qos);
    if (s->no_local) {
        add_bool(h->o, "no_local", true);
    }
    if (!s->matches) {
        add_int(h->o, "level", s->miss.level);
        add_text(h->o, "why", miss_text(&s->miss, text));
    }
    td_json_close(h->o, '}');
}

/* The sentence. */
static td_slice verdict(const struct hearing *h, const struct td_mqttd_client *c,
                        const struct td_mqttd_owed *owed, char out[TEXT_BYTES])
{
    int n;
    if (c == NULL) {
        n = snprintf(out, TEXT_BYTES, "it does not get it: there is no session of this client id");
    } else if (h->matching == 0) {
        n = snprintf(out, TEXT_BYTES, "it does not get it: none of its %u subscriptions matches",
                     h->count);
    } else if (owed->denied) {
        n = snprintf(out, TEXT_BYTES,
                     "it does not get it: its principal may not read this topic (tandem grants)");
    } else if (owed->waiting > 0) {
        n = snprintf(out, TEXT_BYTES,
                     "it will get it: %u wait in its queue, the first of them as number %u of %u",
                     owed->waiting, owed->position, c->queued);
    } else if (!c->connected && h->qos == 0) {
        n = snprintf(out, TEXT_BYTES,
                     "it does not get it: it is not connected, and its subscription has QoS 0");
    } else if (!c->connected) {
        n = snprintf(out, TEXT_BYTES,
                     "it gets it when it comes back, if it is published with QoS 1 or 2");
    } else if (h->own == 0) {
        n = snprintf(out, TEXT_BYTES, "it gets it when it is the member that its group chooses");
    } else {
        n = snprintf(out, TEXT_BYTES, "it gets it, with QoS %u at most%s%s", h->qos,
                     h->local == h->own ? ", unless it is the sender (No Local)" : "",
                     c->unsent_bytes > 0 ? "; it is slow to read, so QoS 0 may be dropped" : "");
    }
    return (td_slice){(const uint8_t *)out, (size_t)n};
}

static void add_standing(struct td_json_out *o, const struct td_mqttd_client *c,
                         const struct td_mqttd_owed *owed)
{
    add_bool(o, "connected", c->connected);
    add_int(o, "queued", c->queued);
    add_int(o, "unsent_bytes", c->unsent_bytes);
    add_int(o, "dropped", c->dropped);
    td_json_key(o, "owed");
    td_json_open(o, '{');
    add_int(o, "waiting", owed->waiting);
    add_int(o, "position", owed->position);
    add_int(o, "sent", owed->sent);
    td_json_close(o, '}');
}

struct asked {
    td_slice topic, client, principal;
};

static void add_client(struct td_json_out *o, struct td_mqttd *d, const struct asked *a,
                       td_mono now)
{
    struct td_mqttd_client *client = td_alloc(sizeof *client);
    struct td_mqttd_owed owed;
    struct hearing h = {.o = o};
    char text[TEXT_BYTES];
    bool there = td_mqttd_clients_find(d, a->principal, a->client, now, client, 1) == 1;
    td_mqttd_owed(d, a->principal, a->client, a->topic, &owed);
    td_json_key(o, "client");
    td_json_open(o, '{');
    add_text(o, "client", a->client);
    add_text(o, "principal", a->principal);
    td_json_key(o, "subscriptions");
    td_json_open(o, '[');
    (void)td_mqttd_hearings(d, a->principal, a->client, a->topic, add_hearing, &h);
    td_json_close(o, ']');
    if (there) {
        add_standing(o, client, &owed);
    }
    add_text(o, "verdict", verdict(&h, there ? client : NULL, &owed, text));
    td_json_close(o, '}');
    free(client);
}

/* ---- the row ---- */

static bool asked_read(struct td_httpd_conn *c, struct td_arena *arena, struct asked *a)
{
    const struct {
        const char *name;
        td_slice *into;
    } params[] = {{"topic", &a->topic}, {"client", &a->client}, {"principal", &a->principal}};
    *a = (struct asked){.principal = TD_STR(TD_MQTTD_LOCAL)};
    for (size_t i = 0; i < TD_COUNT(params); i++) {
        td_slice text;
        bool broken;
        if (td_httpd_param(c, params[i].name, &text, &broken)) {
            *params[i].into = td_arena_copy(arena, text);
        } else if (broken) {
            return false;
        }
    }
    if (!td_topic_valid(a->topic)) {
        td_httpd_bad(c, "topic", a->topic,
                     "a topic name is a text of 1 to 65535 bytes without + and #", "add topic=a/b");
        return false;
    }
    return true;
}

void td_httpd_explain(struct td_httpd_conn *c, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    struct td_arena arena;
    struct asked a;
    td_arena_init(&arena, 0);
    if (asked_read(c, &arena, &a)) {
        struct td_json_out o = td_httpd_json(c->d);
        td_json_open(&o, '{');
        add_text(&o, "topic", a.topic);
        add_bool(&o, "retained", td_hub_retained_get(parts->hub, a.topic) != NULL);
        if (a.client.n > 0) {
            add_client(&o, parts->mqttd, &a, now);
        } else {
            add_hearers(&o, parts->mqttd, a.topic, now);
        }
        add_traces(&o, parts->mqttd, a.topic, a.client, now);
        td_json_close(&o, '}');
        td_httpd_answer_json(c, 200, &o);
    }
    td_arena_fini(&arena);
}
