/* app: `tandem simulate`. The devices of the sample town: real MQTT clients around the physics of
 * town.c. What they say and hear is written at the head of examples/town.td.
 *
 *     machine, depot     sells, reports its stock; hears orders, confirms, delivers
 *     room               reports temperature and window, obeys the heater's command
 *     crossing           counts vehicles, obeys the signal's command, reports what it shows
 *
 * Each device is one client with an id of its own. Model time runs `speed` times as fast as ours,
 * in steps of a tenth of a second. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/loop.h"
#include "app/peer.h"
#include "app/town.h"
#include "base/json.h"

enum {
    PACKET_MAX = 64 * 1024,
    HELD = 64 * 1024,
    SLOTS = 64,
    ORDERS_MAX = 16,
    KNOWN_MAX = 64,
    STEPS_MAX = 10000, /* a turn: who was stopped for long does not catch up all at once */
    TEXT_MAX = 256
};

static const double STEP_S = 0.1, REPORT_S = 10, LEAD_S = 5;
static const double HEATER_LEASE_S = 60, SIGNAL_LEASE_S = 10;

struct town;
struct device;

struct device_type {
    const char *name;                /* of the group that starts it */
    const char *id;                  /* client id */
    const char *hears[2];            /* filters, NULL: no more */
    void (*greet)(struct device *d); /* connected */
    void (*hear)(struct device *d, const struct td_mqtt_packet *m);
    void (*step)(struct device *d);
};

struct device {
    const struct device_type *type;
    struct town *town;
    struct td_app_peer peer;
    struct td_mqtt_client_options options;
    td_mono now;
    bool open, subscribed, told;
};

struct product {
    const char *sku;
    struct td_town_slot slot;
    int low;
    double report_at_s;
};

struct order {
    struct product *product;
    int count;
    double due_s;
};

enum { PRODUCTS = 3, DEVICES = 4 };

struct town {
    struct td_rng rng;
    double time_s, speed;
    bool verbose;
    struct product products[PRODUCTS];
    struct order orders[ORDERS_MAX];
    size_t order_count;
    uint64_t known[KNOWN_MAX]; /* orders taken, by the hash of their id; the oldest goes */
    size_t known_count;
    struct td_town_room room;
    double window_until_s, window_next_s, window_report_s, temp_at_s, heater_heard_s;
    struct td_town_crossing crossing;
    double count_at_s, signal_heard_s;
    struct device devices[DEVICES];
    size_t device_count;
    bool ended;
};

/* ---- saying ---- */

static void say(struct device *d, unsigned qos, bool retain, const char *topic, const char *payload)
{
    struct td_mqtt_client_message m = {
        .topic = td_slice_of(topic),
        .payload = td_slice_of(payload),
        .qos = (uint8_t)qos,
        .retain = retain,
    };
    uint16_t id;
    /* A reading that nobody takes now is worth nothing later. */
    if (d->open && td_mqtt_client_publish(&d->peer.client, &m, d->now, &id) == TD_OK &&
        d->town->verbose) {
        printf("%s %s\n", topic, payload);
    }
}

/* ---- hearing: a field of a flat JSON object ---- */

static bool field(const struct td_mqtt_packet *m, const char *name, struct td_json_token *out)
{
    struct td_json json;
    struct td_json_token key;
    td_json_init(&json, m->payload);
    if (td_json_next(&json, &key) != TD_JSON_OBJECT) {
        return false;
    }
    while (td_json_next(&json, &key) == TD_JSON_KEY) {
        bool found = td_json_is(&key, td_slice_of(name));
        enum td_json_kind kind = td_json_next(&json, out);
        if (kind == TD_JSON_ERROR || found || !td_json_skip(&json, out)) {
            return found && kind != TD_JSON_ERROR;
        }
    }
    return false;
}

static bool field_number(const struct td_mqtt_packet *m, const char *name, double *out)
{
    struct td_json_token t;
    int64_t integer;
    bool is_int;
    return field(m, name, &t) && t.kind == TD_JSON_NUMBER &&
           td_json_number(t.span, out, &integer, &is_int) == TD_OK;
}

static bool field_is(const struct td_mqtt_packet *m, const char *name, const char *text)
{
    struct td_json_token t;
    return field(m, name, &t) && t.kind == TD_JSON_STRING && td_json_is(&t, td_slice_of(text));
}

static bool topic_is(const struct td_mqtt_packet *m, const char *topic)
{
    return td_slice_eq(m->topic, td_slice_of(topic));
}

/* ---- the vending machine ---- */

static void product_report(struct device *d, struct product *p)
{
    char topic[TEXT_MAX], payload[TEXT_MAX];
    (void)snprintf(topic, sizeof topic, "vend/v1/%s", p->sku);
    (void)snprintf(payload, sizeof payload, "{\"stock\":%d,\"sold\":%llu}", p->slot.stock,
                   (unsigned long long)p->slot.sold);
    say(d, 0, false, topic, payload);
    p->report_at_s = d->town->time_s + REPORT_S;
}

static void machine_step(struct device *d)
{
    struct town *t = d->town;
    for (size_t i = 0; i < PRODUCTS; i++) {
        struct product *p = &t->products[i];
        if (td_town_slot_step(&p->slot, &t->rng, STEP_S) || t->time_s >= p->report_at_s) {
            product_report(d, p);
        }
    }
}

/* ---- the depot ---- */

static void depot_greet(struct device *d)
{
    for (size_t i = 0; i < PRODUCTS; i++) {
        const struct product *p = &d->town->products[i];
        char topic[TEXT_MAX], payload[TEXT_MAX];
        (void)snprintf(topic, sizeof topic, "par/%s", p->sku);
        (void)snprintf(payload, sizeof payload, "{\"low\":%d,\"cap\":%d}", p->low, p->slot.cap);
        say(d, 1, true, topic, payload);
    }
}

/* Orders come at least once: the id tells a repeat. */
static bool order_is_new(struct town *t, const struct td_mqtt_packet *m)
{
    struct td_json_token id;
    uint64_t hash = field(m, "id", &id) ? td_hash(id.span, 1) : td_hash(m->payload, 2);
    for (size_t i = 0; i < t->known_count && i < KNOWN_MAX; i++) {
        if (t->known[i] == hash) {
            return false;
        }
    }
    t->known[t->known_count++ % KNOWN_MAX] = hash;
    return true;
}

static void order_take(struct device *d, struct product *p, const struct td_mqtt_packet *m)
{
    struct town *t = d->town;
    double count;
    if (!field_number(m, "qty", &count) || !(count >= 1 && count <= 1000)) {
        return; /* no answer: the rule raises its alarm */
    }
    if (order_is_new(t, m)) {
        if (t->order_count == ORDERS_MAX) {
            return; /* the depot is at its limit, which is no answer either */
        }
        t->orders[t->order_count++] = (struct order){p, (int)count, t->time_s + LEAD_S};
    }
    char topic[TEXT_MAX], payload[TEXT_MAX];
    (void)snprintf(topic, sizeof topic, "reply/v1/%s", p->sku);
    (void)snprintf(payload, sizeof payload, "{\"eta\":%g}", LEAD_S);
    say(d, 1, false, topic, payload);
}

static void depot_hear(struct device *d, const struct td_mqtt_packet *m)
{
    for (size_t i = 0; i < PRODUCTS; i++) {
        struct product *p = &d->town->products[i];
        if (field_is(m, "vm", "v1") && field_is(m, "sku", p->sku)) {
            order_take(d, p, m);
        }
    }
}

static void depot_step(struct device *d)
{
    struct town *t = d->town;
    for (size_t i = 0; i < t->order_count;) {
        const struct order *o = &t->orders[i];
        if (t->time_s < o->due_s) {
            i++;
            continue;
        }
        (void)td_town_slot_fill(&o->product->slot, o->count); /* the rest goes back */
        o->product->report_at_s = 0;                          /* the machine sees it at once */
        t->orders[i] = t->orders[--t->order_count];
    }
}

/* ---- the room ---- */

static void window_report(struct device *d)
{
    say(d, 0, false, "home/living/win/south",
        d->town->room.window ? "{\"open\":true}" : "{\"open\":false}");
    d->town->window_report_s = d->town->time_s + REPORT_S;
}

static void window_set(struct device *d, bool open)
{
    struct town *t = d->town;
    t->room.window = open;
    t->window_until_s = t->time_s + 15 + 15 * td_rng_unit(&t->rng);
    t->window_next_s = t->window_until_s + 120 + 120 * td_rng_unit(&t->rng);
}

/* Somebody airs the room now and then, for a quarter or half a minute. */
static void window_step(struct device *d)
{
    struct town *t = d->town;
    bool opens = !t->room.window && t->time_s >= t->window_next_s;
    bool closes = t->room.window && t->time_s >= t->window_until_s;
    if (opens) {
        window_set(d, true);
    } else if (closes) {
        t->room.window = false;
    }
    if (opens || closes || t->time_s >= t->window_report_s) {
        window_report(d);
    }
}

static void room_step(struct device *d)
{
    struct town *t = d->town;
    if (t->time_s - t->heater_heard_s > HEATER_LEASE_S) {
        t->room.heater = false; /* nobody is in charge any more */
    }
    t->room.outside_c = td_town_outside_c(t->time_s);
    td_town_room_step(&t->room, STEP_S);
    window_step(d);
    if (t->time_s >= t->temp_at_s) {
        char payload[TEXT_MAX];
        (void)snprintf(payload, sizeof payload, "{\"value\":%.2f}", t->room.sensor_c);
        say(d, 0, false, "home/living/temp", payload);
        t->temp_at_s = t->time_s + 1;
    }
}

/* The heater's command; or a hand that moves the window, which is anybody's message but ours. */
static void room_hear(struct device *d, const struct td_mqtt_packet *m)
{
    struct td_json_token t;
    const char *name = topic_is(m, "home/living/heater") ? "on" : "open";
    if (!field(m, name, &t) || (t.kind != TD_JSON_TRUE && t.kind != TD_JSON_FALSE)) {
        return;
    }
    bool yes = t.kind == TD_JSON_TRUE;
    if (topic_is(m, "home/living/heater")) {
        d->town->room.heater = yes;
        d->town->heater_heard_s = d->town->time_s;
    } else if (yes != d->town->room.window) {
        window_set(d, yes);
    }
}

/* ---- the crossing ---- */

static void signal_report(struct device *d)
{
    const struct td_town_signal *s = &d->town->crossing.shows;
    char payload[TEXT_MAX];
    (void)snprintf(payload, sizeof payload, "{\"ns\":\"%c\",\"ew\":\"%c\"}", s->arm[TD_TOWN_NS],
                   s->arm[TD_TOWN_EW]);
    say(d, 1, false, "city/main/state", payload);
}

static char light_of(const struct td_mqtt_packet *m, const char *arm)
{
    struct td_json_token t;
    return field(m, arm, &t) && t.kind == TD_JSON_STRING && t.span.n == 1 ? (char)t.span.p[0] : '?';
}

static void crossing_hear(struct device *d, const struct td_mqtt_packet *m)
{
    struct td_town_signal wanted = {{light_of(m, "ns"), light_of(m, "ew")}};
    (void)td_town_crossing_set(&d->town->crossing, wanted); /* refused: it flashes and says so */
    d->town->signal_heard_s = d->town->time_s;
    signal_report(d);
}

static void counts_report(struct device *d)
{
    const struct td_town_crossing *x = &d->town->crossing;
    static const char *const topics[] = {"city/main/det/ns", "city/main/det/ew"};
    char payload[TEXT_MAX];
    for (enum td_town_arm arm = TD_TOWN_NS; arm < TD_TOWN_ARMS; arm++) {
        (void)snprintf(payload, sizeof payload, "{\"n\":%llu}",
                       (unsigned long long)x->counted[arm]);
        say(d, 0, false, topics[arm], payload);
    }
    (void)snprintf(payload, sizeof payload, "{\"ns\":%u,\"ew\":%u}", x->queue[TD_TOWN_NS],
                   x->queue[TD_TOWN_EW]);
    say(d, 0, false, "city/main/queue", payload);
}

static void crossing_step(struct device *d)
{
    struct town *t = d->town;
    static const struct td_town_signal flashing = {{'F', 'F'}};
    bool flashes = memcmp(&t->crossing.shows, &flashing, sizeof flashing) == 0;
    if (!flashes && t->time_s - t->signal_heard_s > SIGNAL_LEASE_S) {
        (void)td_town_crossing_set(&t->crossing, flashing); /* nobody is in charge any more */
        signal_report(d);
    }
    td_town_crossing_step(&t->crossing, &t->rng, t->time_s, STEP_S);
    if (t->time_s >= t->count_at_s) {
        counts_report(d);
        t->count_at_s = t->time_s + 1;
    }
}

/* ---- devices ---- */

static void nothing_heard(struct device *d, const struct td_mqtt_packet *m)
{
    (void)d;
    (void)m;
}

static void nothing(struct device *d)
{
    (void)d;
}

static const struct device_type types[DEVICES] = {
    {"vending", "vend-v1", {NULL, NULL}, nothing, nothing_heard, machine_step},
    {"vending", "depot", {"orders", NULL}, depot_greet, depot_hear, depot_step},
    {"thermostat",
     "home-living",
     {"home/living/heater", "home/living/win/+"},
     window_report,
     room_hear,
     room_step},
    {"crossing", "city-main", {"city/main/set", NULL}, signal_report, crossing_hear, crossing_step},
};

/* Once a connection; tried again at each step while unanswered messages fill the window. */
static void subscribe(struct device *d)
{
    struct td_mqtt_filter filters[2];
    uint16_t id;
    size_t n = 0;
    for (; n < 2 && d->type->hears[n] != NULL; n++) {
        filters[n] = (struct td_mqtt_filter){
            .filter = td_slice_of(d->type->hears[n]), .qos = 1, .no_local = true};
    }
    d->subscribed =
        n == 0 || td_mqtt_client_subscribe(&d->peer.client, filters, n, NULL, d->now, &id) == TD_OK;
}

static void connected(struct device *d)
{
    d->open = true;
    d->told = false;
    subscribe(d);
    d->type->greet(d);
}

/* Says once that the hub is away, not at each try. */
static void lost(struct device *d, const char *why)
{
    d->open = false;
    if (!d->told && !d->town->ended) {
        (void)fprintf(stderr, "tandem simulate: %s at %s: %s; trying again\n", d->type->id,
                      d->peer.config.addresses[0], why);
    }
    d->told = true;
}

static void heard(struct td_app_peer *p, const struct td_mqtt_client_event *e, td_mono now)
{
    struct device *d = p->config.ctx;
    d->now = now;
    if (e == NULL) {
        lost(d, p->why);
    } else if (e->what == TD_MQTT_EVENT_CONNECTED) {
        connected(d);
    } else if (e->what == TD_MQTT_EVENT_MESSAGE) {
        d->type->hear(d, &e->packet);
    } else if (e->what == TD_MQTT_EVENT_CLOSED && e->reason == TD_MQTT_REASON_SESSION_TAKEN_OVER) {
        (void)fprintf(stderr, "tandem simulate: another %s has connected; this one ends\n",
                      d->type->id);
        d->town->ended = true;
    }
}

static void device_begin(struct town *t, const struct device_type *type, struct td_sys *sys,
                         const char *address)
{
    struct device *d = &t->devices[t->device_count++];
    *d = (struct device){.type = type, .town = t};
    d->options.connect = (struct td_mqtt_connect){
        .client_id = td_slice_of(type->id), .keep_alive_s = 20, .clean_start = false};
    d->options.props.has = TD_MQTT_HAS(SESSION_EXPIRY);
    d->options.props.session_expiry_s = 3600; /* an order waits for a depot that is away */
    struct td_app_peer_config config = {
        .mqtt = &d->options,
        .address_count = 1,
        .packet_bytes_max = PACKET_MAX,
        .held_bytes = HELD,
        .slots = SLOTS,
        .ids = SLOTS,
        .retry_ms = 500,
        .heard = heard,
        .ctx = d,
    };
    (void)snprintf(config.addresses[0], sizeof config.addresses[0], "%s", address);
    td_app_peer_init(&d->peer, sys, &config);
}

/* ---- the town ---- */

static void town_init(struct town *t, uint64_t seed)
{
    static const struct product products[PRODUCTS] = {
        {"cola", {.stock = 7, .cap = 20, .sold = 100, .rate = 0.22}, 4, 0},
        {"water", {.stock = 17, .cap = 24, .sold = 100, .rate = 0.15}, 6, 0},
        {"snack", {.stock = 9, .cap = 16, .sold = 100, .rate = 0.1}, 3, 0},
    };
    td_rng_init(&t->rng, seed);
    memcpy(t->products, products, sizeof products);
    t->room = (struct td_town_room){.air_c = 20.2, .wall_c = 19.6, .sensor_c = 20.2};
    t->window_next_s = 75;
    t->crossing.shows = (struct td_town_signal){{'F', 'F'}};
}

static void town_step(struct town *t, td_mono now)
{
    t->time_s += STEP_S;
    for (size_t i = 0; i < t->device_count; i++) {
        struct device *d = &t->devices[i];
        d->now = now;
        if (d->open && !d->subscribed) {
            subscribe(d);
        }
        d->type->step(d);
    }
}

static void events(struct td_linux *l, struct td_sys *sys)
{
    struct td_sys_event event;
    while (td_linux_next(l, &event)) {
        td_app_peer_ready(event.owner, &event, sys->mono(sys));
    }
}

/* Turns every client; gives when the next wants to be turned. */
static td_mono peers_turn(struct town *t, td_mono now)
{
    td_mono at = TD_NEVER;
    for (size_t i = 0; i < t->device_count; i++) {
        td_app_peer_turn(&t->devices[i].peer, now);
        at = td_mono_min(at, td_app_peer_deadline(&t->devices[i].peer));
    }
    return at;
}

static td_mono after_s(td_mono start, double s)
{
    return start + (td_mono)(s * (double)TD_NS_PER_S);
}

static void town_run(struct td_linux *l, struct town *t)
{
    struct td_sys *sys = td_linux_sys(l);
    td_mono start = sys->mono(sys), next;
    do {
        events(l, sys);
        td_mono now = sys->mono(sys);
        int steps = 0;
        while (after_s(start, (t->time_s + STEP_S) / t->speed) <= now && steps++ < STEPS_MAX) {
            town_step(t, now);
        }
        next = td_mono_min(peers_turn(t, now), after_s(start, (t->time_s + STEP_S) / t->speed));
        (void)fflush(stdout);
    } while (!t->ended && td_app_loop_wait(l, next));
}

/* Says good-bye for all and waits until it was read. */
static void town_leave(struct td_linux *l, struct town *t)
{
    struct td_sys *sys = td_linux_sys(l);
    t->ended = true;
    for (size_t i = 0; i < t->device_count; i++) {
        td_app_peer_leave(&t->devices[i].peer, TD_MQTT_REASON_SUCCESS, sys->mono(sys));
    }
    for (td_mono at; (at = peers_turn(t, sys->mono(sys))) != TD_NEVER;) {
        td_linux_wait(l, at);
        events(l, sys);
    }
    for (size_t i = 0; i < t->device_count; i++) {
        td_app_peer_fini(&t->devices[i].peer);
    }
}

/* ---- the command ---- */

static const char *const usage = "vending|thermostat|crossing|town [OPTION]...";

static bool devices_begin(struct town *t, const char *name, struct td_sys *sys, const char *address)
{
    for (size_t i = 0; i < DEVICES; i++) {
        if (strcmp(name, "town") == 0 || strcmp(name, types[i].name) == 0) {
            device_begin(t, &types[i], sys, address);
        }
    }
    return t->device_count > 0;
}

static int simulate(struct town *t, const struct td_cli_list *words, const char *address)
{
    struct td_linux *l = td_app_loop_new();
    if (l == NULL) {
        return TD_CLI_FAILED;
    }
    int status = TD_CLI_OK;
    if (words->count == 1 && devices_begin(t, words->at[0], td_linux_sys(l), address)) {
        town_run(l, t);
        town_leave(l, t);
    } else {
        (void)fprintf(stderr, "tandem simulate: say which: %s\n", usage);
        status = TD_CLI_USAGE;
    }
    td_app_loop_free(l);
    return status;
}

int td_app_simulate(int argc, char **argv)
{
    const char *address = "127.0.0.1:1883";
    int64_t seed = 1;
    struct td_cli_list words = {.count = 0};
    struct town *t = td_alloc(sizeof *t);
    t->speed = 1;
    const struct td_cli_option rows[] = {
        {"--mqtt", 0, TD_CLI_TEXT, &address, "ADDR:PORT", "the hub [127.0.0.1:1883]", 0, 0},
        {"--speed", 0, TD_CLI_REAL, &t->speed, "N", "how fast time runs [1]", 0, 1000},
        {"--seed", 0, TD_CLI_NUMBER, &seed, "N", "of the customers' and drivers' chance [1]", 0,
         INT64_MAX},
        {"--verbose", 'v', TD_CLI_FLAG, &t->verbose, NULL, "print what the devices say", 0, 0},
    };
    int status;
    if (td_cli_parse("simulate", usage, rows, TD_COUNT(rows), NULL, argc, argv, &words, &status)) {
        t->speed = t->speed < 0.001 ? 0.001 : t->speed;
        town_init(t, (uint64_t)seed);
        status = simulate(t, &words, address);
    }
    free(t);
    return status;
}
