/* app: `tandem pub`. Publishes what the command line, a file or standard input says, waits until it
 * is acknowledged, and leaves.
 *
 * Standard input is read by a work on the query lane, one piece at a time, so that the connection
 * lives on while nobody types. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/dial.h"
#include "app/loop.h"

enum {
    PAYLOAD_MAX = 256 * 1024 * 1024 - 128 * 1024, /* what MQTT can carry beside a long topic */
    PIECE = 64 * 1024,
    LINE_MAX_BYTES = 1024 * 1024,
    BESIDE = 128 * 1024, /* topic and properties, at most */
    SLOTS = 1024,
    HELD_LEAST = 4 * 1024 * 1024
};

/* One read of standard input, off the loop. */
struct reading {
    struct td_work work; /* first */
    struct pub *pub;
    uint8_t bytes[PIECE];
    size_t n;
    bool busy, ended, failed;
};

struct pub {
    struct td_app_dial dial;
    struct td_app_peer peer;
    struct td_sys *sys;
    const char *topic, *text, *file;
    bool null, all_input, lines, retain;
    int64_t qos, repeat;
    double repeat_delay_s;
    struct td_buf payload; /* the message; with -l what was read and not yet published */
    struct reading reading;
    td_mono next_at; /* when the next repetition is due */
    uint64_t said, through;
    bool open, leaving, over;
    int status;
};

static void say(const struct pub *u, const char *what, const char *why)
{
    if (!u->dial.quiet) {
        (void)fprintf(stderr, "tandem pub: %s: %s\n", what, why);
    }
}

static void fail(struct pub *u, const char *what, const char *why, td_mono now)
{
    say(u, what, why);
    u->status = TD_CLI_FAILED;
    u->leaving = true;
    td_app_peer_leave(&u->peer, TD_MQTT_REASON_SUCCESS, now);
}

/* ---- publishing ---- */

/* False: not now, or never (then it failed). */
static bool publish(struct pub *u, td_slice payload, td_mono now)
{
    struct td_mqtt_client_message m = {
        .topic = td_slice_of(u->topic),
        .payload = payload,
        .props = u->dial.publish_props,
        .qos = (uint8_t)u->qos,
        .retain = u->retain,
    };
    uint16_t id;
    enum td_err err = td_mqtt_client_publish(&u->peer.client, &m, now, &id);
    if (err == TD_ERANGE) {
        fail(u, u->topic, "the server does not take it: size, QoS or retain", now);
    }
    if (err != TD_OK) {
        return false;
    }
    u->said++;
    u->through += u->qos == 0;
    return true;
}

/* Publishes whole lines of what was read, and at the end the last one without its newline. */
static void publish_lines(struct pub *u, td_mono now)
{
    size_t used = 0;
    for (;;) {
        td_slice rest = td_slice_skip(td_buf_slice(&u->payload), used);
        size_t n = td_slice_find(rest, '\n');
        bool whole = n < rest.n || (u->reading.ended && rest.n > 0);
        if (!whole || u->leaving || !publish(u, td_slice_head(rest, n), now)) {
            break;
        }
        used += n < rest.n ? n + 1 : n;
    }
    td_buf_drop(&u->payload, used);
}

static void publish_repeated(struct pub *u, td_mono now)
{
    while (!u->leaving && u->said < (uint64_t)u->repeat && now >= u->next_at &&
           publish(u, td_buf_slice(&u->payload), now)) {
        u->next_at = td_mono_after(now, (td_ms)(u->repeat_delay_s * 1000));
    }
}

static bool all_said(const struct pub *u)
{
    return u->lines ? u->reading.ended && u->payload.n == 0 : u->said >= (uint64_t)u->repeat;
}

static void read_more(struct pub *u);

static void go_on(struct pub *u, td_mono now)
{
    if (!u->open || u->leaving) {
        return;
    }
    if (u->lines) {
        publish_lines(u, now);
        read_more(u);
    } else {
        publish_repeated(u, now);
    }
    if (all_said(u) && u->through == u->said && !u->leaving) {
        u->leaving = true;
        td_app_peer_leave(&u->peer, TD_MQTT_REASON_SUCCESS, now);
    }
}

/* ---- standard input ---- */

static void reading_run(struct td_work *work)
{
    struct reading *r = (struct reading *)(void *)work;
    ssize_t got;
    do {
        got = read(STDIN_FILENO, r->bytes, sizeof r->bytes);
    } while (got < 0 && errno == EINTR);
    r->failed = got < 0;
    r->n = got > 0 ? (size_t)got : 0;
}

static void reading_done(struct td_work *work)
{
    struct reading *r = (struct reading *)(void *)work;
    struct pub *u = r->pub;
    td_mono now = u->sys->mono(u->sys);
    r->busy = false;
    r->ended = r->n == 0;
    if (r->failed) {
        fail(u, "standard input", "it cannot be read", now);
    } else if (td_buf_add(&u->payload, (td_slice){r->bytes, r->n}) != TD_OK) {
        fail(u, "standard input", "a line is longer than 1 MB", now);
    }
}

static void read_more(struct pub *u)
{
    struct reading *r = &u->reading;
    bool room = u->payload.n + PIECE <= u->payload.bytes_max;
    if (!r->busy && !r->ended && room &&
        td_slice_find(td_buf_slice(&u->payload), '\n') == u->payload.n) {
        r->busy = true;
        u->sys->work(u->sys, &r->work);
    }
}

/* ---- what the client says ---- */

static void heard(struct td_app_peer *p, const struct td_mqtt_client_event *event, td_mono now)
{
    struct pub *u = p->config.ctx;
    td_app_dial_debug(&u->dial, event, p->why);
    if (event == NULL) {
        if (!u->leaving) {
            say(u, td_app_dial_name(&u->dial), p->why);
            u->status = TD_CLI_FAILED;
        }
        u->over = true;
        return;
    }
    switch (event->what) {
    case TD_MQTT_EVENT_CONNECTED:
        u->open = true;
        break;
    case TD_MQTT_EVENT_PUBLISHED:
        u->through++;
        if (event->reason >= 0x80) {
            say(u, u->topic, td_mqtt_reason_text(event->reason));
            u->status = TD_CLI_FAILED;
        }
        break;
    case TD_MQTT_EVENT_REFUSED:
    case TD_MQTT_EVENT_MESSAGE:
    case TD_MQTT_EVENT_SUBSCRIBED:
    case TD_MQTT_EVENT_UNSUBSCRIBED:
    case TD_MQTT_EVENT_CLOSED:
        break; /* the end follows, with its reason; or it does not concern us */
    }
    (void)now;
}

/* ---- the message ---- */

static bool read_stream(struct td_buf *out, FILE *f)
{
    for (;;) {
        if (td_buf_reserve(out, PIECE) != TD_OK) {
            return false;
        }
        size_t got = fread(out->p + out->n, 1, PIECE, f);
        out->n += got;
        if (got < PIECE) {
            return ferror(f) == 0;
        }
    }
}

static bool payload_load(struct pub *u)
{
    if (u->text != NULL) {
        return td_buf_add(&u->payload, td_slice_of(u->text)) == TD_OK;
    }
    if (u->all_input) {
        return read_stream(&u->payload, stdin);
    }
    if (u->file == NULL) {
        return true;
    }
    FILE *f = fopen(u->file, "rb");
    bool good = f != NULL && read_stream(&u->payload, f);
    if (f != NULL) {
        (void)fclose(f);
    }
    return good;
}

static bool check(struct pub *u, int *status)
{
    int sources = (u->text != NULL) + (u->file != NULL) + u->null + u->all_input + u->lines;
    const char *wrong = NULL;
    if (u->topic == NULL) {
        wrong = "-t TOPIC is missing: where to publish";
    } else if (!td_mqtt_topic_valid(td_slice_of(u->topic))) {
        wrong = "-t: a topic has 1 to 65535 bytes of UTF-8 and no + or #";
    } else if (sources != 1) {
        wrong = "say what to publish: one of -m TEXT, -f FILE, -n (nothing), -s or -l (input)";
    } else if (u->lines && u->repeat != 1) {
        wrong = "--repeat does not go with -l";
    }
    if (wrong != NULL) {
        (void)fprintf(stderr, "tandem pub: %s\n", wrong);
        *status = TD_CLI_USAGE;
        return false;
    }
    td_buf_init(&u->payload, u->lines ? LINE_MAX_BYTES : PAYLOAD_MAX);
    if (!payload_load(u)) {
        (void)fprintf(stderr, "tandem pub: %s cannot be read, or has more than 255 MB\n",
                      u->file != NULL ? u->file : "standard input");
        *status = TD_CLI_FAILED;
        return false;
    }
    return true;
}

/* ---- the loop ---- */

static td_mono deadline(const struct pub *u)
{
    td_mono at = td_app_peer_deadline(&u->peer);
    bool more = u->open && !u->leaving && !u->lines && u->said < (uint64_t)u->repeat;
    return more && u->next_at > 0 ? td_mono_min(at, u->next_at) : at;
}

static void turn(struct td_linux *l, struct pub *u)
{
    struct td_sys_event event;
    while (td_linux_next(l, &event)) {
        td_mono now = u->sys->mono(u->sys);
        if (event.stream >= 0) {
            td_app_peer_ready(&u->peer, &event, now);
        } else {
            struct td_work *work = event.owner;
            work->done(work);
        }
    }
    td_mono now = u->sys->mono(u->sys);
    go_on(u, now);
    td_app_peer_turn(&u->peer, now);
    go_on(u, now); /* what acknowledgements and writing have made room for */
    td_app_peer_turn(&u->peer, now);
}

static int run(struct td_linux *l, struct pub *u)
{
    struct td_app_peer_config config = {.heard = heard, .ctx = u, .slots = SLOTS};
    int status = TD_CLI_OK;
    u->sys = td_linux_sys(l);
    if (!td_app_dial_resolve(&u->dial, "pub", u->sys, &config, &status)) {
        return status;
    }
    config.packet_bytes_max = (u->lines ? LINE_MAX_BYTES : u->payload.n) + BESIDE;
    config.held_bytes = u->qos == 0 ? 0 : config.packet_bytes_max + HELD_LEAST;
    td_app_peer_init(&u->peer, u->sys, &config);
    u->reading = (struct reading){
        .work = {.run = reading_run, .done = reading_done, .lane = TD_LANE_QUERY}, .pub = u};
    do {
        turn(l, u);
    } while (!u->over && td_app_loop_wait(l, deadline(u)));
    td_app_peer_fini(&u->peer);
    return u->status;
}

int td_app_pub(int argc, char **argv)
{
    static struct pub u; /* large, and its reading outlives the loop if nobody types */
    struct td_cli_option rows[TD_APP_DIAL_ROWS + 12];
    int status = TD_CLI_USAGE;
    td_app_dial_init(&u.dial);
    u.repeat = 1;
    size_t n = td_app_dial_rows(&u.dial, rows);
    const struct td_cli_option own[] = {
        {"--topic", 't', TD_CLI_TEXT, &u.topic, "TOPIC", "where to publish", 0, 0},
        {"--message", 'm', TD_CLI_TEXT, &u.text, "TEXT", "what to publish", 0, 0},
        {"--file", 'f', TD_CLI_TEXT, &u.file, "FILE", "publish what the file holds", 0, 0},
        {"--null-message", 'n', TD_CLI_FLAG, &u.null, NULL, "publish an empty message", 0, 0},
        {"--stdin-file", 's', TD_CLI_FLAG, &u.all_input, NULL,
         "publish standard input as one message", 0, 0},
        {"--stdin-line", 'l', TD_CLI_FLAG, &u.lines, NULL, "publish each line of standard input", 0,
         0},
        {"--qos", 'q', TD_CLI_NUMBER, &u.qos, "QOS", "0, 1 or 2 [0]", 0, 2},
        {"--retain", 'r', TD_CLI_FLAG, &u.retain, NULL, "the server keeps it for later subscribers",
         0, 0},
        {"--repeat", 0, TD_CLI_NUMBER, &u.repeat, "N", "publish it N times", 1, INT64_MAX},
        {"--repeat-delay", 0, TD_CLI_REAL, &u.repeat_delay_s, "S", "seconds between two times", 0,
         86400},
    };
    memcpy(rows + n, own, sizeof own);
    if (td_app_dial_take_props(&u.dial, "pub", &argc, argv) &&
        td_cli_parse("pub", "-t TOPIC (-m TEXT | -f FILE | -n | -s | -l) [OPTION]...", rows,
                     n + TD_COUNT(own), "-D PACKET PROPERTY VALUE sets a property of MQTT 5.\n",
                     argc, argv, NULL, &status) &&
        check(&u, &status)) {
        struct td_linux *l = td_app_loop_new();
        status = l == NULL ? TD_CLI_FAILED : run(l, &u);
        if (l != NULL && !u.reading.busy) { /* else it would wait for the next line */
            td_app_loop_free(l);
        }
    }
    td_app_dial_fini(&u.dial);
    return status;
}
