/* serve/mqtt: how fast a client may send, and how many may come at once.
 *
 * A rate is one moment (the generic cell rate algorithm, ITU-T I.371): when all that has come would
 * be through at that rate. What has come in time keeps it near now; who is `burst` ahead waits.
 *
 * Before CONNECT a connection costs little, but somebody may open very many and say nothing. All of
 * them together are bounded: the oldest goes, as who means it says CONNECT at once. And those that
 * have been silent for a second are counted by address: a few may be slow, not hundreds. */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

enum { SILENT_MS = 1000 };

/* ---- rates ---- */

/* Adds `cost` at `per_s`. Gives how long to wait until it is within `burst_s` again; 0: it is. */
static td_mono rate_add(struct rate *r, uint64_t cost, uint64_t per_s, uint32_t burst_s,
                        td_mono now)
{
    if (per_s == 0) {
        return 0;
    }
    double span = (double)cost * (double)TD_NS_PER_S / (double)per_s;
    td_mono most = (td_mono)burst_s * TD_NS_PER_S;
    r->at = (r->at > now ? r->at : now) + (span < 3.6e12 ? (td_mono)span : 3600 * TD_NS_PER_S);
    return r->at - now > most ? r->at - now - most : 0;
}

static td_mono later(td_mono a, td_mono b)
{
    return a > b ? a : b;
}

static td_mono meter_publish(struct meter *m, const struct td_serve_rates *rates, uint64_t bytes,
                             uint32_t burst_s, td_mono now)
{
    return later(rate_add(&m->messages, 1, rates->messages, burst_s, now),
                 rate_add(&m->bytes, bytes, rates->bytes, burst_s, now));
}

static bool has_rates(const struct td_serve_rates *r)
{
    return r->messages > 0 || r->bytes > 0 || r->topics > 0;
}

/* Meters of principals stay: there are as many as the hub has accounts. */
static struct meter *principal_meter(struct td_mqttd *d, td_slice name)
{
    struct principal_meter *p = td_map_find(&d->principals, name);
    if (p == NULL) {
        p = td_alloc(sizeof *p + name.n);
        p->n = (uint8_t)name.n;
        (void)td_put_bytes(p->name, name);
        (void)td_map_put(&d->principals, (td_slice){p->name, p->n}, p);
    }
    return &p->meter;
}

void td_mqttd_toll_begin(struct conn *c)
{
    struct td_mqttd *d = c->d;
    const struct td_serve_limits_config *limits = &d->config.limits;
    bool principal = has_rates(&limits->principal);
    if (c->toll != NULL || (!principal && !has_rates(&limits->client))) {
        return;
    }
    c->toll = td_alloc(sizeof *c->toll);
    if (principal) {
        c->toll->principal = principal_meter(d, session_principal(c->session));
    }
}

void td_mqttd_toll_end(struct conn *c)
{
    if (c->toll != NULL) {
        td_heap_set(&c->d->toll_timers, &c->toll->timer, TD_NEVER);
        free(c->toll);
        c->toll = NULL;
    }
}

static void make_wait(struct conn *c, td_mono wait, td_mono now)
{
    struct toll *t = c->toll;
    td_mono until = now + wait;
    c->d->stats.rate_waits += t->until == 0;
    t->until = t->until > until ? t->until : until;
    td_heap_set(&c->d->toll_timers, &t->timer, t->until);
}

bool td_mqttd_toll_publish(struct conn *c, const struct td_mqtt_packet *p, td_mono now)
{
    struct td_mqttd *d = c->d;
    const struct td_serve_limits_config *limits = &d->config.limits;
    struct meter before = c->toll->own;
    uint64_t bytes = p->topic.n + p->payload.n + p->props.raw.n;
    td_mono wait = meter_publish(&c->toll->own, &limits->client, bytes, limits->burst_s, now);
    if (c->toll->principal != NULL) {
        wait = later(wait, meter_publish(c->toll->principal, &limits->principal, bytes,
                                         limits->burst_s, now));
    }
    if (wait == 0) {
        return true;
    }
    if (limits->over == TD_SERVE_OVER_WAIT) {
        make_wait(c, wait, now);
        return true;
    }
    c->toll->own = before; /* what goes to nobody does not count */
    td_mqttd_drop(c->session, p->topic, TD_DROP_RATE);
    if (limits->over == TD_SERVE_OVER_CLOSE) {
        d->stats.rate_closed++;
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_MESSAGE_RATE_TOO_HIGH, "over its rate ([limits])",
                             now);
    }
    return false;
}

void td_mqttd_toll_topics(struct conn *c, uint64_t count, td_mono now)
{
    const struct td_serve_limits_config *limits = &c->d->config.limits;
    struct toll *t = c->toll;
    td_mono wait = rate_add(&t->own.topics, count, limits->client.topics, limits->burst_s, now);
    if (t->principal != NULL) {
        wait = later(wait, rate_add(&t->principal->topics, count, limits->principal.topics,
                                    limits->burst_s, now));
    }
    if (wait > 0) { /* they are there now: all that is left is to wait */
        make_wait(c, wait, now);
    }
}

void td_mqttd_tolls_turn(struct td_mqttd *d, td_mono now)
{
    for (struct td_timer *t; (t = td_heap_first(&d->toll_timers)) != NULL && t->at <= now;) {
        TD_CONTAINER(t, struct toll, timer)->until = 0;
        td_heap_set(&d->toll_timers, t, TD_NEVER);
    }
}

/* ---- before CONNECT ---- */

void td_mqttd_half_add(struct conn *c, td_mono now)
{
    struct td_mqttd *d = c->d;
    struct half *h = c->half = td_alloc(sizeof *h);
    h->conn = c;
    h->prev = d->half_last;
    *(d->half_last != NULL ? &d->half_last->next : &d->half_first) = h;
    d->half_last = h;
    td_heap_set(&d->conn_timers, &c->timer, td_mono_after(now, SILENT_MS));
    if (++d->stats.half_open > d->config.limits.half_open_max) {
        d->stats.half_open_closed++;
        td_mqttd_conn_close(d->half_first->conn, now);
    }
}

static void host_leave(struct td_mqttd *d, struct host *host)
{
    if (--host->count == 0) {
        (void)td_map_remove(&d->hosts, (td_slice){host->name, host->n});
        free(host);
    }
}

void td_mqttd_half_done(struct conn *c)
{
    struct td_mqttd *d = c->d;
    struct half *h = c->half;
    if (h == NULL) {
        return;
    }
    c->half = NULL;
    *(h->prev != NULL ? &h->prev->next : &d->half_first) = h->next;
    *(h->next != NULL ? &h->next->prev : &d->half_last) = h->prev;
    d->stats.half_open--;
    if (h->host != NULL) {
        host_leave(d, h->host);
    }
    free(h);
}

/* The address without its port: what one machine has. */
static td_slice host_name(const struct conn *c, char text[64])
{
    struct td_sys *sys = c->d->parts->sys;
    sys->address(sys, c->stream, true, text);
    td_slice all = td_slice_of(text);
    size_t n = all.n;
    while (n > 0 && all.p[n - 1] != ':') {
        n--;
    }
    return n > 0 ? td_slice_head(all, n - 1) : all;
}

bool td_mqttd_half_wait(struct conn *c)
{
    struct td_mqttd *d = c->d;
    char text[64];
    td_slice name = host_name(c, text);
    struct host *host = td_map_find(&d->hosts, name);
    if (host == NULL) {
        host = td_alloc(sizeof *host + name.n);
        host->n = (uint8_t)name.n;
        (void)td_put_bytes(host->name, name);
        (void)td_map_put(&d->hosts, (td_slice){host->name, host->n}, host);
    }
    host->count++;
    c->half->host = host;
    return host->count <= d->config.limits.half_open_host_max;
}

uint8_t td_mqttd_connect_limit(struct td_mqttd *d, td_mono now)
{
    struct rate before = d->connects;
    if (d->memory.level >= BUSY) {
        d->stats.connects_busy++;
        return TD_MQTT_REASON_SERVER_BUSY;
    }
    if (rate_add(&d->connects, 1, d->config.limits.connects, 1, now) > 0) {
        d->connects = before; /* those that are refused do not count */
        d->stats.connects_refused++;
        return TD_MQTT_REASON_CONNECTION_RATE_EXCEEDED;
    }
    return TD_MQTT_REASON_SUCCESS;
}

void td_mqttd_limits_fini(struct td_mqttd *d)
{
    td_assert(d->half_first == NULL && d->hosts.count == 0);
    for (size_t i = 0; i < d->principals.count; i++) {
        free(d->principals.entries[i].value);
    }
    td_map_fini(&d->principals);
    td_map_fini(&d->hosts);
    td_heap_fini(&d->toll_timers);
}
