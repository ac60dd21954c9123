/* serve/decide: the glue between rules, hub and store. */
#include "serve/decide.h"

#include <stdlib.h>

#include "serve/stage.h"

enum { WAITING_MAX = 100000, WAITING_BYTES_MAX = 64 << 20, EVENT_BYTES_MAX = 512, ORDER_TAG = 'S' };

/* A message that a rule wants sent. */
struct order {
    struct order *next;
    uint64_t turn;   /* which order it was */
    uint64_t number; /* of a durable one: its key in the store; 0: not kept there */
    uint64_t lsn;    /* when that is durable it may go */
    td_slice topic, payload;
    td_ms expiry_ms;
    uint8_t qos, hops;
    bool retain;
};

/* First come, first go. */
struct line {
    struct order *first, **end;
};

struct event {
    struct td_decide_event seen;
    uint8_t bytes[EVENT_BYTES_MAX];
};

struct td_decide {
    struct td_subscriber who;
    struct td_parts *parts;
    struct td_rules *rules;
    struct line ready; /* may go */
    struct line held;  /* their batch has ended, it is not durable yet; LSNs rise along the line */
    struct line fresh; /* their batch has not ended */
    uint64_t turns;
    size_t order_bytes;
    uint64_t next_number;
    bool staged, started;
    struct td_buf gone; /* keys that no statement knows any more, lumps */
    struct event events[TD_DECIDE_EVENTS];
    uint64_t event_count;
    struct td_decide_stats stats;
};

/* ---- orders ---- */

static void line_init(struct line *l)
{
    *l = (struct line){.end = &l->first};
}

static void line_add(struct line *l, struct order *o)
{
    o->next = NULL;
    *l->end = o;
    l->end = &o->next;
}

static struct order *line_take(struct line *l)
{
    struct order *o = l->first;
    l->first = o->next;
    l->end = l->first == NULL ? &l->first : l->end;
    return o;
}

/* It stands in no line yet. NULL: too many wait. */
static struct order *order_new(struct td_decide *d, td_slice topic, td_slice payload)
{
    size_t bytes = sizeof(struct order) + topic.n + payload.n;
    if (d->stats.waiting >= WAITING_MAX || bytes > WAITING_BYTES_MAX - d->order_bytes) {
        d->stats.send_refused++;
        return NULL;
    }
    struct order *o = td_alloc(bytes);
    uint8_t *p = (uint8_t *)(o + 1);
    td_put_bytes(td_put_bytes(p, topic), payload);
    o->topic = (td_slice){p, topic.n};
    o->payload = (td_slice){p + topic.n, payload.n};
    o->turn = d->turns++;
    d->order_bytes += bytes;
    d->stats.waiting++;
    return o;
}

static void order_free(struct td_decide *d, struct order *o)
{
    d->order_bytes -= sizeof *o + o->topic.n + o->payload.n;
    d->stats.waiting--;
    free(o);
}

static td_slice order_key(uint64_t number, uint8_t bytes[9])
{
    bytes[0] = ORDER_TAG;
    td_put_u64(bytes + 1, number);
    return (td_slice){bytes, 9};
}

static void order_keep(struct td_decide *d, struct order *o)
{
    struct td_buf value;
    uint8_t key[9];
    o->number = d->next_number++;
    td_buf_init(&value, o->topic.n + o->payload.n + 64);
    (void)td_buf_add_u8(&value, o->qos); /* it fits: the bound was made for it */
    (void)td_buf_add_u8(&value, o->retain);
    (void)td_buf_add_u8(&value, o->hops);
    (void)td_buf_add_varint(&value, (uint64_t)o->expiry_ms);
    (void)td_buf_add_lump(&value, o->topic);
    (void)td_buf_add_lump(&value, o->payload);
    td_stage_put(d->parts, TD_STATE_RULE, order_key(o->number, key), td_buf_slice(&value));
    td_buf_fini(&value);
    d->staged = true;
}

static void order_restore(struct td_decide *d, td_slice key, td_slice value)
{
    struct td_cursor k = td_cursor_of(td_slice_skip(key, 1)), c = td_cursor_of(value);
    uint64_t number = td_cursor_u64(&k);
    uint8_t qos = td_cursor_u8(&c), retain = td_cursor_u8(&c), hops = td_cursor_u8(&c);
    uint64_t expiry = td_cursor_varint64(&c);
    td_slice topic = td_cursor_lump(&c), payload = td_cursor_lump(&c);
    struct order *o = k.err == TD_OK && c.err == TD_OK ? order_new(d, topic, payload) : NULL;
    if (o != NULL) {
        o->number = number;
        o->qos = qos;
        o->retain = retain != 0;
        o->hops = hops;
        o->expiry_ms = (td_ms)expiry;
        line_add(&d->ready, o);
    }
    d->next_number = number >= d->next_number ? number + 1 : d->next_number;
}

static void publish(struct td_decide *d, const struct order *o, td_mono now)
{
    struct td_message m = {.topic = o->topic,
                           .payload = o->payload,
                           .expires =
                               o->expiry_ms > 0 ? td_mono_after(now, o->expiry_ms) : TD_NEVER,
                           .at = d->parts->wall,
                           .qos = o->qos,
                           .hops = o->hops,
                           .retain = o->retain};
    if (o->number > 0) { /* in one batch with what the message leaves behind */
        uint8_t key[9];
        td_stage_del(d->parts, TD_STATE_RULE, order_key(o->number, key));
    }
    (void)td_publish(d->parts, &m); /* nobody waits for an acknowledgement */
    td_message_done(&m);
    d->stats.sent++;
}

/* ---- outputs ---- */

static void remember(struct td_decide *d, const struct td_rules_out *out)
{
    struct event *e = &d->events[d->event_count++ % TD_DECIDE_EVENTS];
    td_slice rule = td_slice_head(out->rule, 64), key = td_slice_head(out->key, 128);
    td_slice text = td_slice_head(out->payload, EVENT_BYTES_MAX - 192);
    uint8_t *p = e->bytes;
    e->seen = (struct td_decide_event){.at = d->parts->wall,
                                       .rule = {p, rule.n},
                                       .key = {p + rule.n, key.n},
                                       .text = {p + rule.n + key.n, text.n}};
    td_put_bytes(td_put_bytes(td_put_bytes(p, rule), key), text);
    d->stats.fired++;
}

static void send(struct td_decide *d, const struct td_rules_out *out)
{
    struct order *o = order_new(d, out->topic, out->payload);
    if (o == NULL) {
        return;
    }
    o->qos = out->qos;
    o->retain = out->retain;
    o->hops = out->hops;
    o->expiry_ms = out->expiry_ms;
    if (out->qos > 0) {
        order_keep(d, o);
    }
    line_add(out->qos > 0 ? &d->fresh : &d->ready, o);
}

static void state(struct td_decide *d, const struct td_rules_out *out)
{
    if (out->payload.n > 0) {
        td_stage_put(d->parts, TD_STATE_RULE, out->key, out->payload);
    } else {
        td_stage_del(d->parts, TD_STATE_RULE, out->key);
    }
    d->staged = true;
}

static void drain(struct td_decide *d)
{
    static void (*const takers[])(struct td_decide *, const struct td_rules_out *) = {
        [TD_RULES_SEND] = send, [TD_RULES_STATE] = state, [TD_RULES_FIRED] = remember};
    struct td_rules_out out;
    while (td_rules_next(d->rules, &out)) {
        takers[out.kind](d, &out);
    }
}

static void hear(struct td_decide *d, const struct td_message *m, bool retained)
{
    struct td_rules_message in = {
        .topic = m->topic, .payload = m->payload, .hops = m->hops, .retained = retained};
    td_rules_message(d->rules, &in, d->parts->now, d->parts->wall);
    drain(d);
}

static void deliver(struct td_subscriber *s, struct td_message *m, const struct td_delivery *to)
{
    (void)to; /* whatever its QoS, it is heard once */
    hear(TD_CONTAINER(s, struct td_decide, who), m, false);
}

static uint32_t load(const struct td_subscriber *s)
{
    (void)s;
    return 0;
}

static const struct td_subscriber_type rules_type = {deliver, load};

/* ---- birth ---- */

static void restore(void *ctx, td_slice key, td_slice value)
{
    struct td_decide *d = ctx;
    struct td_sys *sys = d->parts->sys;
    if (key.n == 9 && key.p[0] == ORDER_TAG) {
        order_restore(d, key, value);
    } else if (td_rules_restore(d->rules, key, value, sys->mono(sys), sys->wall(sys)) != TD_OK) {
        (void)td_buf_add_lump(&d->gone, key); /* full: they stay until the next start */
    }
}

static enum td_err compile(struct td_decide *d, const struct td_serve_file *files, size_t count,
                           struct td_buf *why)
{
    struct td_rules_file *in = td_alloc((count + 1) * sizeof *in);
    struct td_rules_config config = {.files = in, .file_count = count};
    struct td_sys *sys = d->parts->sys;
    for (size_t i = 0; i < count; i++) {
        in[i] = (struct td_rules_file){td_slice_of(files[i].name), files[i].text};
    }
    sys->random(sys, &config.seed, sizeof config.seed);
    enum td_err err = td_rules_load(&config, &d->rules, why);
    free(in);
    return err;
}

static enum td_err subscribe(struct td_decide *d, struct td_buf *why)
{
    const struct td_subscribe_options options = {.qos = 2, .retain_handling = 2};
    for (size_t i = 0; i < td_rules_filter_count(d->rules); i++) {
        bool existed;
        td_slice filter = td_rules_filter(d->rules, i);
        enum td_err err = td_hub_subscribe(d->parts->hub, &d->who, filter, &options, &existed);
        if (err != TD_OK) {
            (void)td_buf_printf(why,
                                "the rules cannot listen to '%.*s': %s; raise the limits of "
                                "subscriptions or split the rules",
                                (int)filter.n, (const char *)filter.p, td_err_text(err));
            return err;
        }
    }
    return TD_OK;
}

enum td_err td_decide_new(struct td_parts *parts, const struct td_serve_file *files, size_t count,
                          struct td_decide **out, struct td_buf *why)
{
    struct td_decide *d = td_alloc(sizeof *d);
    d->parts = parts;
    line_init(&d->ready);
    line_init(&d->held);
    line_init(&d->fresh);
    d->next_number = 1;
    d->who = (struct td_subscriber){.type = &rules_type, .id = UINT64_MAX - 1};
    td_buf_init(&d->gone, 16 << 20);
    enum td_err err = compile(d, files, count, why);
    if (err == TD_OK) {
        err = td_store_state_each(parts->store, TD_STATE_RULE, restore, d);
    }
    if (err == TD_OK) {
        err = subscribe(d, why);
    }
    if (err != TD_OK) {
        td_decide_free(d);
        return err;
    }
    *out = d;
    return TD_OK;
}

void td_decide_free(struct td_decide *d)
{
    td_hub_unsubscribe_all(d->parts->hub, &d->who);
    struct line *const lines[] = {&d->ready, &d->held, &d->fresh};
    for (size_t i = 0; i < TD_COUNT(lines); i++) {
        while (lines[i]->first != NULL) {
            order_free(d, line_take(lines[i]));
        }
    }
    if (d->rules != NULL) {
        td_rules_free(d->rules);
    }
    td_buf_fini(&d->gone);
    free(d);
}

static void hear_retained(void *ctx, struct td_message *m)
{
    hear(ctx, m, true);
}

static void end_batch(struct td_decide *d)
{
    uint64_t lsn = td_stage_end(d->parts, TD_STORE_NOW);
    td_decide_routed(d, lsn);
}

void td_decide_start(struct td_decide *d, td_mono now)
{
    struct td_sys *sys = d->parts->sys;
    struct td_cursor c = td_cursor_of(td_buf_slice(&d->gone));
    while (td_cursor_left(&c) > 0 && c.err == TD_OK) {
        td_stage_del(d->parts, TD_STATE_RULE, td_cursor_lump(&c));
    }
    td_buf_clear(&d->gone);
    td_rules_start(d->rules, now, sys->wall(sys));
    drain(d);
    for (size_t i = 0; i < td_rules_filter_count(d->rules); i++) {
        td_hub_retained_each(d->parts->hub, td_rules_filter(d->rules, i), now, hear_retained, d);
    }
    end_batch(d);
    d->started = true;
}

/* ---- turns ---- */

bool td_decide_staged(const struct td_decide *d)
{
    return d->staged;
}

void td_decide_routed(struct td_decide *d, uint64_t lsn)
{
    if (!d->staged) {
        return;
    }
    d->staged = false;
    while (d->fresh.first != NULL) {
        struct order *o = line_take(&d->fresh);
        o->lsn = lsn;
        line_add(&d->held, o);
    }
}

/* The first order that may go. */
static struct order *order_take(struct td_decide *d)
{
    const struct order *held = d->held.first, *ready = d->ready.first;
    bool durable = held != NULL && td_stage_done(d->parts, held->lsn);
    if (durable && (ready == NULL || held->turn < ready->turn)) {
        return line_take(&d->held);
    }
    return ready == NULL ? NULL : line_take(&d->ready);
}

void td_decide_turn(struct td_decide *d, td_mono now)
{
    if (!d->started) {
        return;
    }
    if (td_rules_deadline(d->rules) <= now) {
        td_rules_expire(d->rules, now, d->parts->wall);
        drain(d);
        end_batch(d);
    }
    for (struct order *o; (o = order_take(d)) != NULL; order_free(d, o)) {
        publish(d, o, now); /* may bring further orders; their hops bound it */
    }
}

td_mono td_decide_deadline(const struct td_decide *d)
{
    return td_rules_deadline(d->rules);
}

/* ---- looking ---- */

struct td_rules *td_decide_rules(const struct td_decide *d)
{
    return d->rules;
}

const struct td_decide_stats *td_decide_stats(const struct td_decide *d)
{
    return &d->stats;
}

uint64_t td_decide_event_count(const struct td_decide *d)
{
    return d->event_count;
}

const struct td_decide_event *td_decide_event(const struct td_decide *d, uint64_t i)
{
    bool kept = i < d->event_count && d->event_count - i <= TD_DECIDE_EVENTS;
    return kept ? &d->events[i % TD_DECIDE_EVENTS].seen : NULL;
}
