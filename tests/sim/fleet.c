/* sim: the clients. Each has a line (its connection), a session (td_mqtt_client), and a clock that
 * makes it act. Whatever it does is written into the book before it can reach the hub, whatever
 * comes back after it was understood. */
#include "sim/fleet.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/rude.h"
#include "wire/mqtt/client.h"

enum {
    OUT_BYTES = 256 * 1024,
    HELD_BYTES = 512 * 1024,
    SLOTS = 64,
    IDS = 4096,
    ALIAS_BYTES = 4096,
    IN_BYTES_MAX = 1 << 20,
    READ_BYTES = 4096,
    WANTS_MAX = 6, /* subscriptions of one client at a time */
    NONE = -1
};

const char *const sim_topics[] = {"a/x", "a/y", "b/x",    "b/y/z",  "c",      "a//x",  "/",
                                  "a/",  "d/é", "lamp/1", "lamp/2", "will/1", "will/2"};
const size_t sim_topic_count = TD_COUNT(sim_topics);
enum { FIRST_WILL_TOPIC = 11 };

static const char *const filters[] = {"#",   "a/#",   "+/x",    "a/+",   "b/y/z", "c",
                                      "+",   "/#",    "+/+",    "a/x",   "b/#",   "a//x",
                                      "d/é", "+/+/+", "lamp/#", "will/+"};
static const char *const shared_filters[] = {"$share/g/a/#", "$share/g/+/x", "$share/h/#",
                                             "$share/h/lamp/+"};

struct client {
    struct sim_fleet *fleet;
    uint32_t number;
    struct sim_event tick;
    struct td_mqtt_client mqtt;
    struct td_mqtt_client_options options;
    struct td_mqtt_client_memory memory;
    char id[16];
    int line;  /* its connection, NONE */
    int ghost; /* one it left open and forgot, NONE */
    bool through, connected;
    bool goodbye; /* said DISCONNECT: no will */
    struct sim_hello hello;
    struct td_buf in;
    td_mono deaf_until;
    uint32_t will;        /* number of the message, with options.connect.has_will */
    uint32_t *said_of_id; /* by packet id: number of the message + 1 */
    struct {
        bool used, gone; /* gone: unsubscribing */
        uint16_t packet; /* of the request under way, 0: none */
        uint32_t want;
    } wants[WANTS_MAX];
    bool auditor;
};

struct sim_fleet {
    struct sim_world *w;
    struct sim_book *book;
    struct sim_fleet_plan plan;
    struct sim_machine *machine;
    struct sim_rude *rude;
    const char *address;
    struct client *clients[SIM_CLIENTS_MAX];
    uint32_t count;
    bool calm;
    td_mono last_got;
    struct sim_fleet_counts counts;
};

static uint64_t below(const struct client *c, uint64_t bound)
{
    return sim_below(c->fleet->w, SIM_LOAD, bound);
}

static bool chance(const struct client *c, uint32_t ppm)
{
    return sim_chance(c->fleet->w, SIM_LOAD, ppm);
}

static struct td_sys *sys_of(const struct client *c)
{
    return &c->fleet->machine->sys;
}

static td_mono now_of(const struct client *c)
{
    return sim_machine_mono(c->fleet->machine);
}

/* ---- the line ---- */

static void act_later(struct client *c, td_mono least, td_mono most)
{
    struct sim_world *w = c->fleet->w;
    sim_set(w, &c->tick,
            w->now + (td_mono)sim_between(w, SIM_LOAD, (uint64_t)least, (uint64_t)most));
}

static void watch(struct client *c)
{
    unsigned want = td_mqtt_client_take(&c->mqtt).n > 0 || !c->through ? TD_SYS_WRITE : 0;
    if (c->deaf_until <= c->fleet->w->now) {
        want |= TD_SYS_READ;
    }
    sys_of(c)->watch(sys_of(c), c->line, want);
}

static void ghost_close(struct client *c)
{
    if (c->ghost != NONE) {
        sys_of(c)->close(sys_of(c), c->ghost);
        c->ghost = NONE;
    }
}

/* The line is no more ours; whatever happens to it is not our business. */
static void line_forget(struct client *c)
{
    const struct td_mqtt_connect *k = &c->options.connect;
    if (k->has_will && c->connected && !c->goodbye && k->will_props.has == 0) {
        sim_book_will_due(c->fleet->book, c->will);
    }
    c->goodbye = false;
    c->line = NONE;
    c->through = c->connected = false;
    td_buf_clear(&c->in);
    td_mqtt_client_lost(&c->mqtt);
    for (size_t i = 0; i < WANTS_MAX; i++) { /* answers under way will not come */
        c->wants[i].packet = 0;
    }
    sim_book_lost(c->fleet->book, c->number);
    c->fleet->counts.lost++;
}

static void line_close(struct client *c)
{
    sys_of(c)->close(sys_of(c), c->line);
    line_forget(c);
    td_mono most = c->fleet->calm ? TD_NS_PER_S : 2 * TD_NS_PER_S;
    act_later(c, 1000000, most);
}

static void flush(struct client *c)
{
    while (c->line != NONE && c->through) {
        td_slice part = td_mqtt_client_take(&c->mqtt);
        size_t sent = 0;
        if (part.n == 0 || sys_of(c)->write(sys_of(c), c->line, &part, 1, &sent) != TD_OK) {
            break;
        }
        td_mqtt_client_sent(&c->mqtt, sent);
    }
    if (c->line != NONE) {
        watch(c);
    }
}

static bool is_clean(const struct client *c)
{
    return c->options.connect.clean_start;
}

/* Each connection has a will of its own, so that what comes of it can be told apart. */
static void will_make(struct client *c)
{
    struct td_mqtt_connect *k = &c->options.connect;
    if (!k->has_will) {
        return;
    }
    uint32_t topic = FIRST_WILL_TOPIC + c->number % 2;
    c->will = sim_book_say(c->fleet->book,
                           (struct sim_said){.by = c->number,
                                             .topic = topic,
                                             .form = SIM_TEXT,
                                             .qos = k->will_qos,
                                             .retain = k->will_retain,
                                             .will = true},
                           10);
    k->will_topic = sim_book_topic(c->fleet->book, topic);
    k->will_payload = sim_book_said(c->fleet->book, c->will)->payload;
}

static void line_open(struct client *c)
{
    struct sim_fleet *f = c->fleet;
    bool v5 = c->options.version == TD_MQTT_V5; /* before it, clean says durable too */
    if (v5 && !f->plan.all_durable && !f->calm && chance(c, 100000)) {
        c->options.connect.clean_start = !is_clean(c);
    }
    if (f->calm && c->hello.durable) {
        c->options.connect.clean_start = false; /* what is owed is to be had */
    }
    will_make(c);
    td_assert(
        sys_of(c)->connect(sys_of(c),
                           &(struct td_sys_connect){.address = td_slice_of(f->address), .owner = c},
                           &c->line) == TD_OK);
    c->through = false;
}

/* To the hub what is under way is new once the session that sent it is gone. */
static void flight_repeats(struct client *c)
{
    for (uint32_t id = 1; id <= UINT16_MAX; id++) {
        if (c->said_of_id[id] != 0) {
            sim_book_said(c->fleet->book, c->said_of_id[id] - 1)->twice = true;
        }
    }
}

static void line_through(struct client *c)
{
    c->through = true;
    c->hello.clean = is_clean(c);
    if (c->hello.clean) { /* the session may be gone, even if no answer comes that says so */
        flight_repeats(c);
    }
    sim_book_connecting(c->fleet->book, c->number, &c->hello);
    enum td_err err = td_mqtt_client_connect(&c->mqtt, now_of(c));
    if (err != TD_OK) {
        sim_fail(c->fleet->w, "client %u cannot say CONNECT: %s", c->number, td_err_name(err));
    }
}

/* ---- what comes back ---- */

static void on_connected(struct client *c, const struct td_mqtt_client_event *e)
{
    /* 3.1 has no word for it, so it is as promised. */
    bool present = c->options.version == TD_MQTT_V31
                       ? !is_clean(c) && sim_book_expects(c->fleet->book, c->number)
                       : e->packet.session_present;
    c->connected = true;
    c->fleet->counts.connects++;
    sim_book_connected(c->fleet->book, c->number, present);
    if (present) {
        return;
    }
    for (size_t i = 0; i < WANTS_MAX; i++) {
        c->wants[i].used = false;
    }
    flight_repeats(c);
}

static void on_published(struct client *c, const struct td_mqtt_client_event *e)
{
    uint32_t number = c->said_of_id[e->id];
    if (number == 0) {
        sim_fail(c->fleet->w, "client %u got an answer for packet id %u, which it does not use",
                 c->number, e->id);
        return;
    }
    c->said_of_id[e->id] = 0;
    struct sim_said *m = sim_book_said(c->fleet->book, number - 1);
    if (e->reason >= 0x80) {
        m->refused = true;
    } else {
        m->acked = c->fleet->w->now;
        c->fleet->counts.acknowledged++;
        sim_trace(c->fleet->w, "acked", c->number, number - 1, (td_slice){0});
    }
}

static void on_subscribed(struct client *c, const struct td_mqtt_client_event *e)
{
    for (size_t i = 0; i < WANTS_MAX; i++) {
        if (c->wants[i].used && c->wants[i].packet == e->id) {
            c->wants[i].packet = 0;
            if (c->wants[i].gone) {
                sim_book_unwanted(c->fleet->book, c->wants[i].want);
                c->wants[i].used = false;
                continue;
            }
            if (e->packet.list.n != 1 || e->packet.list.p[0] >= 0x80) {
                sim_fail(c->fleet->w, "client %u: a subscription was refused", c->number);
            }
            c->fleet->counts.subscribed++;
            sim_book_granted(c->fleet->book, c->wants[i].want);
        }
    }
}

static void on_closed(struct client *c, const struct td_mqtt_client_event *e)
{
    bool was_connected = c->connected;
    bool silence = e->reason == TD_MQTT_REASON_KEEP_ALIVE_TIMEOUT || !was_connected;
    if (e->rule != NULL && !e->by_server && !silence) {
        sim_fail(c->fleet->w, "the hub broke %s towards client %u", e->rule, c->number);
    }
    if (e->by_server && (e->reason == TD_MQTT_REASON_MALFORMED_PACKET ||
                         e->reason == TD_MQTT_REASON_PROTOCOL_ERROR)) {
        sim_fail(c->fleet->w, "the hub told client %u: %s", c->number,
                 td_mqtt_reason_text(e->reason));
    }
    flush(c);
    line_close(c);
}

static void on_event(struct client *c, const struct td_mqtt_client_event *e)
{
    switch (e->what) {
    case TD_MQTT_EVENT_CONNECTED:
        on_connected(c, e);
        break;
    case TD_MQTT_EVENT_REFUSED:
        if (e->reason != TD_MQTT_REASON_SERVER_UNAVAILABLE) { /* its disk has failed: later again */
            sim_fail(c->fleet->w, "client %u was refused: %s", c->number,
                     td_mqtt_reason_text(e->reason));
        }
        line_close(c);
        break;
    case TD_MQTT_EVENT_MESSAGE:
        c->fleet->counts.got++;
        c->fleet->last_got = c->fleet->w->now;
        sim_book_got(c->fleet->book, c->number, &e->packet);
        break;
    case TD_MQTT_EVENT_PUBLISHED:
        on_published(c, e);
        break;
    case TD_MQTT_EVENT_SUBSCRIBED:
    case TD_MQTT_EVENT_UNSUBSCRIBED:
        on_subscribed(c, e);
        break;
    case TD_MQTT_EVENT_CLOSED:
        on_closed(c, e);
        break;
    }
}

static void understand(struct client *c)
{
    td_slice in = td_buf_slice(&c->in);
    struct td_mqtt_client_event e;
    while (c->line != NONE && td_mqtt_client_next(&c->mqtt, &in, now_of(c), &e)) {
        on_event(c, &e);
        if (c->line != NONE) {
            flush(c);
        }
    }
    if (c->line != NONE) {
        td_buf_drop(&c->in, c->in.n - in.n);
    }
}

static void hear(struct client *c)
{
    struct td_sys *sys = sys_of(c);
    td_assert(td_buf_reserve(&c->in, READ_BYTES) == TD_OK);
    size_t got = 0;
    enum td_err err = sys->read(sys, c->line, c->in.p + c->in.n, READ_BYTES, &got);
    if (err == TD_OK) {
        c->in.n += got;
        sim_book_heard(c->fleet->book, c->number);
        understand(c);
    } else if (err != TD_EAGAIN) {
        line_close(c);
    }
}

static void fleet_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct sim_fleet *f = ctx;
    struct client *c = e->owner;
    (void)now;
    if (sim_rude_event(f->rude, e)) {
        return;
    }
    if (e->stream == c->ghost) {
        ghost_close(c);
        return;
    }
    if (!c->through && (e->ready & TD_SYS_HANGUP) == 0) {
        if ((e->ready & TD_SYS_WRITE) == 0) {
            return;
        }
        line_through(c);
    }
    if ((e->ready & (TD_SYS_READ | TD_SYS_HANGUP)) != 0) {
        hear(c);
    }
    if (c->line != NONE) {
        understand(c); /* there may be room again for what it answers */
    }
    flush(c);
}

static void fleet_turn(void *ctx, td_mono now)
{
    struct sim_fleet *f = ctx;
    for (uint32_t i = 0; i < f->count; i++) {
        struct client *c = f->clients[i];
        if (c->line != NONE && c->through && td_mqtt_client_deadline(&c->mqtt) <= now) {
            (void)td_mqtt_client_expire(&c->mqtt, now); /* understand() tells */
            understand(c);
            flush(c);
        }
    }
}

static td_mono fleet_deadline(void *ctx)
{
    struct sim_fleet *f = ctx;
    td_mono first = TD_NEVER;
    for (uint32_t i = 0; i < f->count; i++) {
        struct client *c = f->clients[i];
        if (c->line != NONE && c->through) {
            first = td_mono_min(first, td_mqtt_client_deadline(&c->mqtt));
        }
    }
    return first;
}

static const struct sim_program fleet_program = {fleet_event, fleet_turn, fleet_deadline};

/* ---- what a client does by itself ---- */

static void say(struct client *c)
{
    struct sim_fleet *f = c->fleet;
    struct sim_said m = {.by = c->number,
                         .topic = (uint32_t)below(c, FIRST_WILL_TOPIC),
                         .qos = (uint8_t)below(c, 3),
                         .form = (enum sim_form)below(c, SIM_EMPTY),
                         .value = (double)(int64_t)below(c, 1000000) / 128};
    m.retain = f->plan.retained && chance(c, 150000);
    m.form = m.retain && chance(c, 200000) ? SIM_EMPTY : m.form;
    m.expires = f->plan.expiry && c->options.version == TD_MQTT_V5 && chance(c, 200000);
    size_t padding = (size_t)below(c, chance(c, 100000) ? f->plan.payload_max + 1 : 30);
    uint32_t number = sim_book_say(f->book, m, padding);
    struct td_mqtt_client_message out = {.topic = sim_book_topic(f->book, m.topic),
                                         .payload = sim_book_said(f->book, number)->payload,
                                         .qos = m.qos,
                                         .retain = m.retain};
    if (m.expires) {
        out.props.has = TD_MQTT_HAS(MESSAGE_EXPIRY);
        out.props.message_expiry_s = (uint32_t)below(c, 10) + 1;
    }
    uint16_t id = 0;
    if (td_mqtt_client_publish(&c->mqtt, &out, now_of(c), &id) != TD_OK) {
        sim_book_unsay(f->book, number); /* no room, or nobody to send it to */
        return;
    }
    f->counts.published++;
    sim_trace(f->w, "said", c->number, number, out.payload);
    if (m.qos > 0) {
        c->said_of_id[id] = number + 1;
    }
}

static bool wanted_already(const struct client *c, const char *filter)
{
    for (size_t i = 0; i < WANTS_MAX; i++) {
        if (c->wants[i].used &&
            td_slice_eq(sim_book_wanted(c->fleet->book, c->wants[i].want)->filter,
                        td_slice_of(filter))) {
            return true;
        }
    }
    return false;
}

static void subscribe(struct client *c, size_t slot, const char *filter, bool shared)
{
    struct sim_fleet *f = c->fleet;
    bool v5 = c->options.version == TD_MQTT_V5;
    struct sim_want want = {.who = c->number, .filter = td_slice_of(filter), .shared = shared};
    want.options.filter = want.filter;
    want.options.qos = (uint8_t)below(c, 3);
    if (td_slice_starts(want.filter, TD_STR("$share/h/")) && want.options.qos == 0) {
        want.options.qos = 1; /* a group that may lose nothing */
    }
    if (v5) {
        want.options.no_local = !shared && chance(c, 100000);
        want.options.retain_as_published = chance(c, 200000);
        want.options.retain_handling = (uint8_t)below(c, 3);
        want.id = chance(c, 500000) ? (uint32_t)(c->number * 100 + slot + 1) : 0;
    }
    if (c->auditor) {
        want.options = (struct td_mqtt_filter){.filter = want.filter, .qos = 2};
    }
    struct td_mqtt_props props = {0};
    if (want.id != 0) {
        props.has = TD_MQTT_HAS(SUBSCRIPTION_ID);
        props.subscription_id = want.id;
    }
    uint16_t id = 0;
    if (td_mqtt_client_subscribe(&c->mqtt, &want.options, 1, &props, now_of(c), &id) == TD_OK) {
        c->wants[slot].used = true;
        c->wants[slot].gone = false;
        c->wants[slot].packet = id;
        c->wants[slot].want = sim_book_want(f->book, want);
        sim_trace(f->w, "subscribe", c->number, c->wants[slot].want, want.filter);
    }
}

static void unsubscribe(struct client *c, size_t slot)
{
    struct sim_book *b = c->fleet->book;
    td_slice filter = sim_book_wanted(b, c->wants[slot].want)->filter;
    uint16_t id = 0;
    if (td_mqtt_client_unsubscribe(&c->mqtt, &filter, 1, now_of(c), &id) == TD_OK) {
        sim_book_unwant(b, c->wants[slot].want);
        c->wants[slot].gone = true;
        c->wants[slot].packet = id;
    }
}

static void change(struct client *c)
{
    size_t slot = (size_t)below(c, WANTS_MAX);
    bool shared = c->fleet->plan.shared && chance(c, 250000);
    const char *filter = shared ? shared_filters[below(c, TD_COUNT(shared_filters))]
                                : filters[below(c, TD_COUNT(filters))];
    if (!c->wants[slot].used) {
        if (!wanted_already(c, filter)) {
            subscribe(c, slot, filter, shared);
        }
    } else if (c->wants[slot].packet == 0) {
        unsubscribe(c, slot);
    }
}

/* A request whose answer was lost with the connection is made again. */
static void ask_again(struct client *c)
{
    for (size_t i = 0; i < WANTS_MAX; i++) {
        struct sim_want *w =
            c->wants[i].used ? sim_book_wanted(c->fleet->book, c->wants[i].want) : NULL;
        if (w == NULL || c->wants[i].packet != 0) {
            continue;
        }
        if (c->wants[i].gone) {
            unsubscribe(c, i);
        } else if (w->from == TD_NEVER) {
            struct td_mqtt_props props = {0};
            if (w->id != 0) {
                props.has = TD_MQTT_HAS(SUBSCRIPTION_ID);
                props.subscription_id = w->id;
            }
            uint16_t id = 0;
            if (td_mqtt_client_subscribe(&c->mqtt, &w->options, 1, &props, now_of(c), &id) ==
                TD_OK) {
                c->wants[i].packet = id;
            }
        }
    }
}

static void leave(struct client *c)
{
    switch (below(c, 4)) {
    case 0:                                                      /* with a word */
        c->goodbye = true;                                       /* at least, it may be so */
        (void)td_mqtt_client_disconnect(&c->mqtt, 0, now_of(c)); /* no room: without */
        flush(c);
        line_close(c);
        break;
    case 1: /* without */
        line_close(c);
        break;
    case 2: /* to come back at once while the old line still stands */
        ghost_close(c);
        c->ghost = c->line;
        sys_of(c)->watch(sys_of(c), c->ghost, 0);
        line_forget(c);
        line_open(c);
        c->fleet->counts.takeovers++;
        break;
    default: /* half: says no more, but listens until the hub closes */
        sys_of(c)->shutdown(sys_of(c), c->line);
        break;
    }
}

static void act_online(struct client *c)
{
    const struct sim_fleet_plan *plan = &c->fleet->plan;
    ask_again(c);
    if (c->auditor && !c->wants[0].used) {
        subscribe(c, 0, "#", false);
    }
    if (c->fleet->calm) {
        return;
    }
    if (chance(c, plan->leave_ppm)) {
        leave(c);
    } else if (chance(c, plan->change_ppm)) {
        change(c);
    } else if (chance(c, plan->deaf_ppm)) {
        c->deaf_until = c->fleet->w->now + (td_mono)below(c, 3 * (uint64_t)TD_NS_PER_S);
    } else {
        for (uint64_t i = below(c, 4); i > 0; i--) {
            say(c);
        }
    }
}

static void tick(struct sim_event *event)
{
    struct client *c = TD_CONTAINER(event, struct client, tick);
    const struct sim_fleet_plan *plan = &c->fleet->plan;
    if (c->fleet->calm) {
        act_later(c, 100 * TD_NS_PER_MS, 500 * TD_NS_PER_MS);
    } else {
        act_later(c, plan->tick_min, plan->tick_max);
    }
    if (c->line == NONE) {
        line_open(c);
        return;
    }
    if (c->connected) {
        act_online(c);
    }
    if (c->line != NONE) {
        flush(c);
    }
}

/* ---- birth and death ---- */

static void habits(struct client *c)
{
    const struct sim_fleet_plan *plan = &c->fleet->plan;
    struct td_mqtt_client_options *o = &c->options;
    static const uint8_t versions[] = {TD_MQTT_V5, TD_MQTT_V5, TD_MQTT_V311, TD_MQTT_V311,
                                       TD_MQTT_V31};
    o->version = versions[below(c, TD_COUNT(versions))];
    c->hello.durable = plan->all_durable || chance(c, 700000);
    o->connect.clean_start = !c->hello.durable && (o->version != TD_MQTT_V5 || chance(c, 500000));
    o->connect.keep_alive_s = (uint16_t)(2 + below(c, 10));
    c->hello.expiry_s = UINT32_MAX;
    if (o->version == TD_MQTT_V5 && c->hello.durable) {
        c->hello.expiry_s =
            plan->all_durable || chance(c, 700000) ? UINT32_MAX : (uint32_t)below(c, 20) + 3;
        o->props.has |= TD_MQTT_HAS(SESSION_EXPIRY);
        o->props.session_expiry_s = c->hello.expiry_s;
    }
    if (o->version == TD_MQTT_V5 && chance(c, 500000)) {
        o->props.has |= TD_MQTT_HAS(RECEIVE_MAXIMUM);
        o->props.receive_maximum = (uint16_t)(1 + below(c, 20));
    }
    if (o->version == TD_MQTT_V5 && chance(c, 400000)) {
        o->props.has |= TD_MQTT_HAS(TOPIC_ALIAS_MAXIMUM);
        o->props.topic_alias_maximum = (uint16_t)(1 + below(c, 8));
    }
    if (plan->wills && chance(c, 400000)) {
        o->connect.has_will = true;
        o->connect.will_qos = (uint8_t)below(c, 3);
        o->connect.will_retain = plan->retained && chance(c, 200000);
        if (o->version == TD_MQTT_V5 && chance(c, 300000)) {
            o->connect.will_props.has = TD_MQTT_HAS(WILL_DELAY);
            o->connect.will_props.will_delay_s = (uint32_t)below(c, 4);
        }
    }
}

static struct client *client_new(struct sim_fleet *f, bool auditor)
{
    struct client *c = td_alloc(sizeof *c);
    c->fleet = f;
    c->number = f->count;
    c->tick.fire = tick;
    c->line = c->ghost = NONE;
    c->auditor = auditor;
    td_buf_init(&c->in, IN_BYTES_MAX);
    c->said_of_id = td_alloc((UINT16_MAX + 1) * sizeof *c->said_of_id);
    c->memory = (struct td_mqtt_client_memory){
        .out = td_alloc(OUT_BYTES),
        .out_bytes = OUT_BYTES,
        .held = td_alloc(HELD_BYTES),
        .held_bytes = HELD_BYTES,
        .slots = td_alloc(SLOTS * sizeof *c->memory.slots),
        .slot_count = SLOTS,
        .ids = td_alloc(IDS * sizeof *c->memory.ids),
        .id_count = IDS,
        .aliases = td_alloc(ALIAS_BYTES),
        .alias_bytes = ALIAS_BYTES,
    };
    (void)snprintf(c->id, sizeof c->id, auditor ? "auditor" : "client-%u", c->number);
    if (auditor) {
        c->options.version = TD_MQTT_V5;
        c->options.connect.clean_start = true;
    } else {
        habits(c);
    }
    sim_trace(f->w, "client", c->number, c->options.version, (td_slice){0});
    c->options.connect.client_id = td_slice_of(c->id);
    td_mqtt_client_init(&c->mqtt, &c->options, &c->memory);
    f->clients[f->count++] = c;
    act_later(c, 1000, TD_NS_PER_S / 2);
    return c;
}

static void client_free(struct client *c)
{
    sim_set(c->fleet->w, &c->tick, TD_NEVER);
    td_buf_fini(&c->in);
    free(c->said_of_id);
    free(c->memory.out);
    free(c->memory.held);
    free(c->memory.slots);
    free(c->memory.ids);
    free(c->memory.aliases);
    free(c);
}

struct sim_fleet *sim_fleet_new(struct sim_world *w, struct sim_book *b,
                                const struct sim_fleet_plan *plan, const char *address)
{
    struct sim_fleet *f = td_alloc(sizeof *f);
    f->w = w;
    f->book = b;
    f->plan = *plan;
    f->address = address;
    f->machine = sim_machine_new(w, "field", NULL);
    sim_machine_program(f->machine, &fleet_program, f);
    f->rude = sim_rude_new(f->machine, plan->rude, address);
    for (uint32_t i = 0; i < plan->clients; i++) {
        (void)client_new(f, false);
    }
    return f;
}

void sim_fleet_free(struct sim_fleet *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        client_free(f->clients[i]);
    }
    sim_rude_free(f->rude);
    sim_machine_free(f->machine);
    free(f);
}

void sim_fleet_calm(struct sim_fleet *f)
{
    f->calm = true;
    sim_rude_stop(f->rude);
    for (uint32_t i = 0; i < f->count; i++) {
        struct client *c = f->clients[i];
        c->deaf_until = 0;
        ghost_close(c);
        if (c->line != NONE) {
            flush(c);
        }
    }
}

bool sim_fleet_settled(const struct sim_fleet *f, char why[128])
{
    for (uint32_t i = 0; i < f->count; i++) {
        const struct client *c = f->clients[i];
        size_t open = td_mqtt_client_in_flight(&c->mqtt);
        bool asks = false;
        for (size_t k = 0; k < WANTS_MAX; k++) {
            asks |=
                c->wants[k].used && (c->wants[k].packet != 0 || c->wants[k].gone ||
                                     sim_book_wanted(f->book, c->wants[k].want)->from == TD_NEVER);
        }
        asks |= c->auditor && !c->wants[0].used;
        if (!c->connected || open > 0 || asks) {
            (void)snprintf(why, 128, "client %u%s: %zu in flight%s", c->number,
                           c->connected ? "" : " is not connected", open,
                           asks ? ", subscriptions unanswered" : "");
            return false;
        }
    }
    return true;
}

uint32_t sim_fleet_audit(struct sim_fleet *f)
{
    struct client *c = client_new(f, true);
    sim_book_audit(f->book, c->number);
    return c->number;
}

td_mono sim_fleet_last_got(const struct sim_fleet *f)
{
    return f->last_got;
}

const struct sim_fleet_counts *sim_fleet_counts(const struct sim_fleet *f)
{
    return &f->counts;
}
