/* app: `tandem sub`. Subscribes and prints what comes, until it has enough or is told to end. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/dial.h"
#include "app/file.h"
#include "app/format.h"
#include "app/loop.h"

enum {
    PACKET_MAX = 16 * 1024 * 1024,
    LINE_MAX_BYTES = 4 * PACKET_MAX,
    SLOTS = 128,
    IDS = 128 * 1024 /* all there are */
};

struct sub {
    struct td_app_dial dial;
    struct td_app_peer peer;
    struct td_sys *sys;
    struct td_cli_list topics, without, unsubscribe;
    const char *format;
    int64_t qos, count, wait_s;
    bool verbose, no_newline, no_retained, retained_only, remove_retained, as_published;
    bool exit_subscribed;
    struct td_buf line;
    uint64_t printed;
    td_mono until; /* -W */
    bool leaving, over;
    int status;
};

static void say(const struct sub *u, const char *what, const char *why)
{
    if (!u->dial.quiet) {
        (void)fprintf(stderr, "tandem sub: %s: %s\n", what, why);
    }
}

static void leave(struct sub *u, td_mono now)
{
    if (!u->leaving) {
        u->leaving = true;
        td_app_peer_leave(&u->peer, TD_MQTT_REASON_SUCCESS, now);
    }
}

/* ---- subscribing ---- */

static void subscribe(struct sub *u, td_mono now)
{
    struct td_mqtt_filter filters[TD_CLI_LIST_MAX];
    td_slice gone[TD_CLI_LIST_MAX];
    uint16_t id;
    for (size_t i = 0; i < u->topics.count; i++) {
        filters[i] = (struct td_mqtt_filter){
            .filter = td_slice_of(u->topics.at[i]),
            .qos = (uint8_t)u->qos,
            .retain_as_published = u->as_published,
            .retain_handling = u->no_retained ? 2 : 0,
        };
    }
    for (size_t i = 0; i < u->unsubscribe.count; i++) {
        gone[i] = td_slice_of(u->unsubscribe.at[i]);
    }
    bool good = td_mqtt_client_subscribe(&u->peer.client, filters, u->topics.count,
                                         &u->dial.subscribe_props, now, &id) == TD_OK;
    if (good && u->unsubscribe.count > 0) {
        good = td_mqtt_client_unsubscribe(&u->peer.client, gone, u->unsubscribe.count, now, &id) ==
               TD_OK;
    }
    if (!good) {
        say(u, "SUBSCRIBE", "the topics together are too long for this server");
        u->status = TD_CLI_FAILED;
        leave(u, now);
    }
}

static void subscribed(struct sub *u, const struct td_mqtt_client_event *e, td_mono now)
{
    size_t refused = 0;
    for (size_t i = 0; i < e->packet.list.n && i < u->topics.count; i++) {
        if (e->packet.list.p[i] >= 0x80) {
            say(u, u->topics.at[i], td_mqtt_reason_text(e->packet.list.p[i]));
            refused++;
        }
    }
    if (refused == u->topics.count) {
        u->status = TD_CLI_FAILED;
    }
    if (refused == u->topics.count || u->exit_subscribed) {
        leave(u, now);
    }
}

/* ---- printing ---- */

static bool level_matches(td_slice filter, td_slice topic)
{
    return td_slice_eq(filter, topic) || td_slice_eq(filter, TD_STR("+"));
}

static bool matches(td_slice filter, td_slice topic)
{
    for (;;) {
        size_t fn = td_slice_find(filter, '/'), tn = td_slice_find(topic, '/');
        td_slice level = td_slice_head(filter, fn);
        if (td_slice_eq(level, TD_STR("#"))) {
            return true;
        }
        if (!level_matches(level, td_slice_head(topic, tn))) {
            return false;
        }
        if (fn == filter.n || tn == topic.n) {
            return fn == filter.n && tn == topic.n;
        }
        filter = td_slice_skip(filter, fn + 1);
        topic = td_slice_skip(topic, tn + 1);
    }
}

static bool wanted(const struct sub *u, const struct td_mqtt_packet *m)
{
    if ((u->no_retained && m->retain) || (u->retained_only && !m->retain)) {
        return false;
    }
    for (size_t i = 0; i < u->without.count; i++) {
        if (matches(td_slice_of(u->without.at[i]), m->topic)) {
            return false;
        }
    }
    return true;
}

/* Removes a retained message by publishing an empty one. */
static void remove_retained(struct sub *u, const struct td_mqtt_packet *m, td_mono now)
{
    struct td_mqtt_client_message empty = {.topic = m->topic, .retain = true};
    uint16_t id;
    if (td_mqtt_client_publish(&u->peer.client, &empty, now, &id) != TD_OK) {
        say(u, "--remove-retained", "the server does not take it, or too many at once");
        u->status = TD_CLI_FAILED;
    }
}

static void print(struct sub *u, const struct td_mqtt_packet *m)
{
    td_buf_clear(&u->line);
    if (td_app_format(&u->line, u->format, m, u->sys->wall(u->sys)) != TD_OK) {
        say(u, "a message", "it is too large to print in this format");
    }
    if (!td_app_file_write(stdout, td_buf_slice(&u->line))) {
        u->over = true; /* whoever read us is gone */
    }
}

static void message(struct sub *u, const struct td_mqtt_packet *m, td_mono now)
{
    if (u->leaving || !wanted(u, m)) {
        return;
    }
    print(u, m);
    if (u->remove_retained && m->retain && m->payload.n > 0) {
        remove_retained(u, m, now);
    }
    if (++u->printed == (uint64_t)u->count) {
        leave(u, now);
    }
}

static void heard(struct td_app_peer *p, const struct td_mqtt_client_event *e, td_mono now)
{
    struct sub *u = p->config.ctx;
    td_app_dial_debug(&u->dial, e, p->why);
    if (e == NULL) {
        u->over = u->leaving || p->retry_at == TD_NEVER;
        if (!u->leaving) {
            say(u, td_app_dial_name(&u->dial), p->why);
            u->status = u->over ? TD_CLI_FAILED : u->status;
        }
        return;
    }
    switch (e->what) {
    case TD_MQTT_EVENT_CONNECTED:
        p->config.retry_ms = 1000; /* it was there once: come back when it is lost */
        p->retry_ms = 1000;
        subscribe(u, now);
        break;
    case TD_MQTT_EVENT_SUBSCRIBED:
        subscribed(u, e, now);
        break;
    case TD_MQTT_EVENT_MESSAGE:
        message(u, &e->packet, now);
        break;
    case TD_MQTT_EVENT_REFUSED:
        p->config.retry_ms = 0; /* it would be refused again */
        break;
    case TD_MQTT_EVENT_PUBLISHED:
    case TD_MQTT_EVENT_UNSUBSCRIBED:
    case TD_MQTT_EVENT_CLOSED:
        break;
    }
}

/* ---- the loop ---- */

static bool check(struct sub *u, int *status)
{
    const char *wrong = NULL;
    for (size_t i = 0; i < u->topics.count; i++) {
        if (!td_mqtt_filter_valid(td_slice_of(u->topics.at[i]))) {
            wrong = "-t: + and # each fill a level, # is the last one";
        }
    }
    if (u->topics.count == 0) {
        wrong = "-t TOPIC is missing: what to listen to ('#' for everything)";
    } else if (u->format != NULL && td_app_format_check(u->format) != NULL) {
        wrong = "-F: it has a letter that is not known; see tandem sub --help";
    }
    if (wrong != NULL) {
        (void)fprintf(stderr, "tandem sub: %s\n", wrong);
        *status = TD_CLI_USAGE;
        return false;
    }
    static char format[1024];
    const char *base = u->format != NULL ? u->format : u->verbose ? "%t %p" : "%p";
    (void)snprintf(format, sizeof format, "%s%s", base, u->no_newline ? "" : "\\n");
    u->format = format;
    return true;
}

static td_mono deadline(const struct sub *u)
{
    return td_mono_min(td_app_peer_deadline(&u->peer), u->leaving ? TD_NEVER : u->until);
}

static void turn(struct td_linux *l, struct sub *u)
{
    struct td_sys_event event;
    while (td_linux_next(l, &event)) {
        td_app_peer_ready(&u->peer, &event, u->sys->mono(u->sys));
    }
    td_mono now = u->sys->mono(u->sys);
    if (now >= u->until && !u->leaving) {
        u->status = u->printed < (uint64_t)u->count ? TD_CLI_FAILED : u->status;
        leave(u, now);
        u->over = u->peer.stream < 0;
    }
    td_app_peer_turn(&u->peer, now);
    (void)fflush(stdout); /* once a turn, however many came */
}

static int run(struct td_linux *l, struct sub *u)
{
    struct td_app_peer_config config = {.heard = heard, .ctx = u, .slots = SLOTS, .ids = IDS};
    int status = TD_CLI_OK;
    u->sys = td_linux_sys(l);
    if (!td_app_dial_resolve(&u->dial, "sub", u->sys, &config, &status)) {
        return status;
    }
    config.packet_bytes_max = PACKET_MAX;
    td_app_peer_init(&u->peer, u->sys, &config);
    u->until = u->wait_s == 0 ? TD_NEVER : td_mono_after(u->sys->mono(u->sys), u->wait_s * 1000);
    do {
        turn(l, u);
    } while (!u->over && td_app_loop_wait(l, deadline(u)));
    leave(u, u->sys->mono(u->sys));
    while (!u->over && u->peer.stream >= 0) { /* a signal: the last word still goes out */
        turn(l, u);
        if (!u->over) {
            td_linux_wait(l, td_app_peer_deadline(&u->peer));
        }
    }
    td_app_peer_fini(&u->peer);
    return u->status;
}

int td_app_sub(int argc, char **argv)
{
    struct sub u = {.status = TD_CLI_OK};
    struct td_cli_option rows[TD_APP_DIAL_ROWS + 16];
    int status = TD_CLI_USAGE;
    td_app_dial_init(&u.dial);
    td_buf_init(&u.line, LINE_MAX_BYTES);
    size_t n = td_app_dial_rows(&u.dial, rows);
    const struct td_cli_option own[] = {
        {"--topic", 't', TD_CLI_LIST, &u.topics, "TOPIC", "what to listen to; may be repeated", 0,
         0},
        {"--filter-out", 'T', TD_CLI_LIST, &u.without, "TOPIC", "do not print these", 0, 0},
        {"--unsubscribe", 'U', TD_CLI_LIST, &u.unsubscribe, "TOPIC",
         "end a subscription of the kept session", 0, 0},
        {"--qos", 'q', TD_CLI_NUMBER, &u.qos, "QOS", "0, 1 or 2 [0]", 0, 2},
        {"--verbose", 'v', TD_CLI_FLAG, &u.verbose, NULL, "print the topic too", 0, 0},
        {NULL, 'F', TD_CLI_TEXT, &u.format, "FORMAT", "how to print, see below", 0, 0},
        {NULL, 'N', TD_CLI_FLAG, &u.no_newline, NULL, "no newline behind a message", 0, 0},
        {NULL, 'C', TD_CLI_NUMBER, &u.count, "N", "end after N messages", 1, INT64_MAX},
        {NULL, 'W', TD_CLI_NUMBER, &u.wait_s, "S",
         "end after S seconds, as failed if -C is not reached", 1, 1000000000},
        {NULL, 'E', TD_CLI_FLAG, &u.exit_subscribed, NULL, "end once subscribed", 0, 0},
        {NULL, 'R', TD_CLI_FLAG, &u.no_retained, NULL, "no retained messages", 0, 0},
        {"--retained-only", 0, TD_CLI_FLAG, &u.retained_only, NULL, "only retained messages", 0, 0},
        {"--retain-as-published", 0, TD_CLI_FLAG, &u.as_published, NULL,
         "keep the retain flag (5 only)", 0, 0},
        {"--remove-retained", 0, TD_CLI_FLAG, &u.remove_retained, NULL,
         "remove retained messages that come", 0, 0},
    };
    memcpy(rows + n, own, sizeof own);
    if (td_app_dial_take_props(&u.dial, "sub", &argc, argv) &&
        td_cli_parse("sub", "-t TOPIC [OPTION]...", rows, n + TD_COUNT(own), td_app_format_help,
                     argc, argv, NULL, &status) &&
        check(&u, &status)) {
        struct td_linux *l = td_app_loop_new();
        status = l == NULL ? TD_CLI_FAILED : run(l, &u);
        if (l != NULL) {
            td_app_loop_free(l);
        }
    }
    td_buf_fini(&u.line);
    td_app_dial_fini(&u.dial);
    return status;
}
