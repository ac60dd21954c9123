/* sim: httpd in the simulated net over a real store: every row's answers, deadlines and bounds
 * against clients that are slow, rude or silent, and the live feed. Recorder and publishing are
 * plain stand-ins, so that what they hold is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guard/guard.h"
#include "serve/audit.h"
#include "serve/decide.h"
#include "serve/http.h"
#include "serve/loop.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"
#include "serve/web.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "store/store.h"

enum { CURRENT_MAX = 32, CLIENTS_MAX = 300 };

/* ---- stand-ins ---- */

static struct td_current current[CURRENT_MAX]; /* oldest first */
static size_t current_count;
static struct td_store *deleted_from;
static uint64_t version;
static struct {
    char topic[64], payload[64];
    unsigned qos;
    bool retain;
    uint64_t lsn; /* to give */
} published;

uint64_t td_record_version(const struct td_record *record)
{
    (void)record;
    return version;
}

void td_record_changes(const struct td_record *record, uint64_t since,
                       bool (*fn)(void *ctx, const struct td_current *now), void *ctx)
{
    (void)record;
    for (size_t i = current_count; i > 0 && current[i - 1].version > since; i--) {
        if (!fn(ctx, &current[i - 1])) {
            return;
        }
    }
}

void td_record_each(const struct td_record *record,
                    bool (*fn)(void *ctx, const struct td_current *now), void *ctx)
{
    (void)record;
    for (size_t i = 0; i < current_count && fn(ctx, &current[i]); i++) {
    }
}

const struct td_record_stats *td_record_stats(const struct td_record *record)
{
    static const struct td_record_stats stats = {.rows = 4711};
    (void)record;
    return &stats;
}

size_t td_mqttd_clients(const struct td_mqttd *d, enum td_mqttd_sort by, td_mono now,
                        struct td_mqttd_client *out, size_t max)
{
    (void)d, (void)by, (void)now, (void)max;
    out[0] = (struct td_mqttd_client){.client_id = TD_STR("c"), .stream = -1, .dropped = 3};
    return 1;
}

size_t td_mqttd_clients_find(struct td_mqttd *d, td_slice principal, td_slice client_id,
                             td_mono now, struct td_mqttd_client *out, size_t max)
{
    (void)principal, (void)client_id;
    return td_mqttd_clients(d, TD_MQTTD_SORT_NONE, now, out, max);
}

size_t td_mqttd_clients_close(struct td_mqttd *d, td_slice principal, td_slice client_id,
                              td_mono now)
{
    (void)d, (void)principal, (void)now;
    return td_slice_eq(client_id, TD_STR("c/1"));
}

bool td_mqttd_has_room(const struct td_mqttd *d)
{
    (void)d;
    return true;
}

/* There is no MQTT here: a socket that becomes its own is closed. */
void td_mqttd_upgrade(struct td_mqttd *d, struct td_listener *listener, int stream, td_slice key,
                      td_slice rest, td_mono now)
{
    (void)d, (void)listener, (void)stream, (void)key, (void)rest, (void)now;
}

size_t td_mqttd_trace(const struct td_mqttd *d, td_slice topic, td_mono now,
                      struct td_mqttd_trace *out, size_t max)
{
    (void)d, (void)topic, (void)now, (void)max;
    out[0] = (struct td_mqttd_trace){.kind = TD_MQTTD_TRACE_DROP, .client_id = TD_STR("c")};
    return 1;
}

bool td_mqttd_hearings(struct td_mqttd *d, td_slice principal, td_slice client_id, td_slice topic,
                       void (*fn)(void *ctx, const struct td_mqttd_hearing *h), void *ctx)
{
    struct td_mqttd_hearing h = {.filter = TD_STR("a/x")};
    (void)d, (void)principal, (void)client_id;
    h.matches = td_filter_explain(h.filter, topic, &h.miss);
    fn(ctx, &h);
    return true;
}

void td_mqttd_owed(struct td_mqttd *d, td_slice principal, td_slice client_id, td_slice topic,
                   struct td_mqttd_owed *out)
{
    (void)d, (void)principal, (void)client_id, (void)topic;
    *out = (struct td_mqttd_owed){.waiting = 0};
}

size_t td_mqttd_hearers(struct td_mqttd *d, td_slice topic, td_mono now,
                        struct td_mqttd_hearer *out, size_t max, size_t *all)
{
    (void)d, (void)topic, (void)now, (void)max;
    out[0] = (struct td_mqttd_hearer){.client = {.client_id = TD_STR("c")}, .qos = 1};
    *all = 1;
    return 1;
}

void td_mqttd_delayed_each(const struct td_mqttd *d,
                           void (*fn)(void *ctx, const struct td_mqttd_delayed *m), void *ctx)
{
    (void)d;
    for (uint64_t number = 5; number > 0; number--) {
        struct td_mqttd_delayed m;
        (void)td_mqttd_delayed_find(d, number, &m);
        fn(ctx, &m);
    }
}

bool td_mqttd_delayed_find(const struct td_mqttd *d, uint64_t number, struct td_mqttd_delayed *out)
{
    (void)d;
    *out = (struct td_mqttd_delayed){.number = number,
                                     .topic = TD_STR("a/b"),
                                     .principal = TD_STR("p"),
                                     .client_id = TD_STR("c"),
                                     .payload_bytes = 2,
                                     .qos = 1};
    return number <= 5;
}

uint64_t td_mqttd_delayed_cancel(struct td_mqttd *d, uint64_t number)
{
    (void)d, (void)number;
    return 0;
}

void td_mqttd_retain_put(struct td_mqttd *d, const struct td_message *m)
{
    (void)d;
    assert_int_equal(0, m->payload.n);
    td_store_del(deleted_from, TD_STATE_RETAINED, m->topic);
}

void td_audit_note(struct td_parts *parts, const struct td_audit_event *event)
{
    (void)parts, (void)event;
}

size_t td_audit_last(const struct td_audit *audit, td_slice *out, size_t max)
{
    (void)audit, (void)max;
    out[0] = TD_STR("{\"n\":1}");
    return 1;
}

const char *td_drop_name(enum td_drop why)
{
    (void)why;
    return "slow";
}

const struct td_mqttd_stats *td_mqttd_stats(const struct td_mqttd *d)
{
    static const struct td_mqttd_stats stats = {.sessions = 815};
    (void)d;
    return &stats;
}

uint64_t td_publish(struct td_parts *parts, struct td_message *m)
{
    (void)parts;
    snprintf(published.topic, sizeof published.topic, "%.*s", (int)m->topic.n,
             (const char *)m->topic.p);
    snprintf(published.payload, sizeof published.payload, "%.*s", (int)m->payload.n,
             m->payload.n > 0 ? (const char *)m->payload.p : "");
    published.qos = m->qos;
    published.retain = m->retain;
    return published.lsn;
}

const struct td_web_file td_web_files[] = {
    {.path = "/",
     .type = "text/html; charset=utf-8",
     .etag = "\"e1\"",
     .plain = (const uint8_t *)"<html>plain",
     .plain_n = 11,
     .gzip = (const uint8_t *)"gzipped",
     .gzip_n = 7,
     .brotli = (const uint8_t *)"broti",
     .brotli_n = 5},
    {.path = "/assets/main-1.js",
     .type = "text/javascript",
     .etag = "\"e2\"",
     .plain = (const uint8_t *)"js",
     .plain_n = 2,
     .immutable = true},
};
const size_t td_web_file_count = 2;

static struct td_decide_event event; /* every event looks like this */
static uint64_t event_count, events_lost;
static struct td_rules *rules;

uint64_t td_decide_event_count(const struct td_decide *d)
{
    (void)d;
    return event_count;
}

const struct td_decide_event *td_decide_event(const struct td_decide *d, uint64_t i)
{
    (void)d;
    return i < events_lost ? NULL : &event;
}

struct td_rules *td_decide_rules(const struct td_decide *d)
{
    (void)d;
    return rules;
}

const struct td_decide_stats *td_decide_stats(const struct td_decide *d)
{
    static const struct td_decide_stats stats = {.fired = 12};
    (void)d;
    return &stats;
}

/* Says a value: it becomes the newest. */
static void tell(uint32_t series, const char *topic, const char *field, struct td_value value,
                 td_wall at)
{
    size_t i = 0;
    while (i < current_count && current[i].series != series) {
        i++;
    }
    if (i == current_count) {
        assert_true(current_count < CURRENT_MAX);
        current_count++;
    }
    for (; i + 1 < current_count; i++) {
        current[i] = current[i + 1];
    }
    current[i] = (struct td_current){.series = series,
                                     .topic = td_slice_of(topic),
                                     .field = td_slice_of(field),
                                     .value = value,
                                     .at = at,
                                     .version = ++version};
}

/* It runs on one loop. */
bool td_loop_done(const struct td_loop *l, uint64_t lsn)
{
    (void)l;
    (void)lsn;
    return true;
}

uint64_t td_loop_end(struct td_loop *l, enum td_store_class c)
{
    (void)l;
    (void)c;
    return 0;
}

size_t td_loop_bytes(const struct td_loop *l)
{
    (void)l;
    return 0;
}

size_t td_loop_max(const struct td_loop *l)
{
    (void)l;
    return 0;
}

void td_loop_hub_sum(const struct td_loop *l, struct td_hub_stats *out)
{
    (void)l;
    *out = (struct td_hub_stats){0};
}

void td_loop_mqttd_sum(const struct td_loop *l, struct td_mqttd_stats *out)
{
    (void)l;
    *out = (struct td_mqttd_stats){0};
}

bool td_loop_failed(const struct td_loop *l)
{
    (void)l;
    return false;
}

/* ---- a hub's HTTP part and its clients ---- */

struct client {
    int stream;
    struct td_buf to_send, got;
    bool closed, deaf; /* deaf: does not read */
};

struct bed {
    struct sim_world *w;
    struct sim_disk *disk;
    struct sim_machine *hub, *outside;
    struct td_parts parts;
    struct client clients[CLIENTS_MAX];
    size_t client_count;
    struct client *poker; /* makes the hub turn */
};

static void hub_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    (void)ctx;
    if (e->stream < 0) {
        struct td_work *work = e->owner;
        work->done(work);
    } else {
        struct td_owner *owner = e->owner;
        owner->ready(owner, e, now);
    }
}

static void hub_turn(void *ctx, td_mono now)
{
    struct bed *b = ctx;
    td_httpd_turn(b->parts.httpd, now);
    td_store_turn(b->parts.store, now);
}

static td_mono hub_deadline(void *ctx)
{
    struct bed *b = ctx;
    return td_mono_min(td_httpd_deadline(b->parts.httpd), td_store_deadline(b->parts.store));
}

static void client_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct bed *b = ctx;
    struct client *c = e->owner;
    struct td_sys *sys = &b->outside->sys;
    size_t n = 0;
    (void)now;
    td_slice part = td_buf_slice(&c->to_send);
    if (part.n > 0 && sys->write(sys, c->stream, &part, 1, &n) == TD_OK) {
        td_buf_drop(&c->to_send, n);
    }
    enum td_err err = TD_EAGAIN;
    while (!c->deaf) {
        assert_int_equal(TD_OK, td_buf_reserve(&c->got, 4096));
        err = sys->read(sys, c->stream, c->got.p + c->got.n, 4096, &n);
        if (err != TD_OK) {
            break;
        }
        c->got.n += n;
    }
    if (err == TD_ECLOSED || err == TD_EIO || (e->ready & TD_SYS_HANGUP) != 0) {
        c->closed = true;
        sys->close(sys, c->stream);
        return;
    }
    unsigned reads = c->deaf ? 0 : TD_SYS_READ;
    sys->watch(sys, c->stream, reads | (c->to_send.n > 0 ? (unsigned)TD_SYS_WRITE : 0U));
}

static void no_turn(void *ctx, td_mono now)
{
    (void)ctx;
    (void)now;
}

static td_mono no_deadline(void *ctx)
{
    (void)ctx;
    return TD_NEVER;
}

static const struct sim_program hub_program = {hub_event, hub_turn, hub_deadline};
static const struct sim_program outside_program = {client_event, no_turn, no_deadline};

static void bed_make(struct bed *b, uint64_t seed)
{
    static const char *const hosts[] = {"hub.example"};
    struct td_serve_http_config config = {.hosts = {hosts, 1},
                                          .connections_max = 20,
                                          .live_max = 2,
                                          .body_bytes_max = 10000,
                                          .write_bytes_max = 1 << 20};
    struct td_hub_limits limits = {.nodes_max = 1000,
                                   .subscriptions_max = 10,
                                   .retained_max = 10,
                                   .retained_bytes_max = 10000};
    struct td_buf why;
    memset(b, 0, sizeof *b);
    current_count = 0;
    version = 0;
    event_count = events_lost = 0;
    memset(&published, 0, sizeof published);
    b->w = sim_world_new(seed);
    b->w->wall_offset = INT64_C(1795510800) * TD_NS_PER_S; /* 2026-11-24T09:00:00Z */
    b->disk = sim_disk_new(b->w);
    b->hub = sim_machine_new(b->w, "hub", b->disk);
    b->outside = sim_machine_new(b->w, "outside", NULL);
    td_buf_init(&why, 1000);
    b->parts = (struct td_parts){.sys = &b->hub->sys, .guard = td_guard_new(), .version = "1.2.3"};
    b->parts.hub = td_hub_new(&limits, 1);
    struct td_store_config store = {.dir = "data", .segment_bytes = 65536, .segment_count = 4};
    assert_int_equal(TD_OK, td_store_open(&store, b->parts.sys, &b->parts.store, &why));
    deleted_from = b->parts.store;
    struct td_rules_file file = {
        TD_STR("home.td"),
        TD_STR("STREAM room FROM 'room/+r' (temp FLOAT);\n"
               "RULE warm PER r WHEN room.temp > 25 SEND 'room/window' {open: true};\n")};
    struct td_rules_config rule_config = {.files = &file, .file_count = 1, .seed = 1};
    if (td_rules_load(&rule_config, &rules, &why) != TD_OK) {
        fail_msg("%.*s", (int)why.n, (const char *)why.p);
    }
    struct td_serve_listener listener = {.address = "127.0.0.1:80", .kind = TD_SERVE_HTTP};
    assert_int_equal(TD_OK, td_httpd_new(&b->parts, &(struct td_serve_listeners){&listener, 1},
                                         &config, &b->parts.httpd, &why));
    sim_machine_program(b->hub, &hub_program, b);
    sim_machine_program(b->outside, &outside_program, b);
    td_buf_fini(&why);
}

static void run_ms(struct bed *b, td_ms ms)
{
    (void)sim_run(b->w, td_mono_after(b->w->now, ms));
}

static struct client *dial(struct bed *b)
{
    struct td_sys *sys = &b->outside->sys;
    struct client *c = &b->clients[b->client_count++];
    assert_true(b->client_count < CLIENTS_MAX);
    td_buf_init(&c->to_send, 1 << 24);
    td_buf_init(&c->got, 1 << 24);
    assert_int_equal(
        TD_OK,
        sys->connect(sys, &(struct td_sys_connect){.address = TD_STR("127.0.0.1:80"), .owner = c},
                     &c->stream));
    return c;
}

static void send(struct bed *b, struct client *c, const char *text)
{
    struct td_sys *sys = &b->outside->sys;
    assert_int_equal(TD_OK, td_buf_add(&c->to_send, td_slice_of(text)));
    sys->watch(sys, c->stream, (c->deaf ? 0U : (unsigned)TD_SYS_READ) | TD_SYS_WRITE);
}

static void hang_up(struct bed *b, struct client *c)
{
    if (!c->closed) {
        b->outside->sys.close(&b->outside->sys, c->stream);
        c->closed = true;
    }
}

static void bed_end(struct bed *b)
{
    for (size_t i = 0; i < b->client_count; i++) {
        hang_up(b, &b->clients[i]);
        td_buf_fini(&b->clients[i].to_send);
        td_buf_fini(&b->clients[i].got);
    }
    td_httpd_shutdown(b->parts.httpd);
    run_ms(b, 60000);
    assert_int_equal(0, sim_net_stream_count(b->w));
    td_httpd_free(b->parts.httpd);
    td_store_abandon(b->parts.store);
    td_rules_free(rules);
    td_hub_free(b->parts.hub);
    td_guard_free(b->parts.guard);
    sim_machine_crash(b->hub, true);
    sim_machine_free(b->outside);
    sim_machine_free(b->hub);
    sim_disk_free(b->disk);
    sim_world_free(b->w);
}

/* What was got so far, as text. */
static const char *text_of(struct client *c)
{
    assert_int_equal(TD_OK, td_buf_reserve(&c->got, 1));
    c->got.p[c->got.n] = 0;
    return (const char *)c->got.p;
}

static bool has(struct client *c, const char *what)
{
    return strstr(text_of(c), what) != NULL;
}

#define ASSERT_HAS(c, what)                                                                        \
    do {                                                                                           \
        if (!has(c, what)) {                                                                       \
            fail_msg("%s is not in: %s", what, text_of(c));                                        \
        }                                                                                          \
    } while (0)

/* Asks on a connection of its own. */
static struct client *ask(struct bed *b, const char *request)
{
    struct client *c = dial(b);
    send(b, c, request);
    run_ms(b, 2000);
    return c;
}

#define H "Host: localhost:8080\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"
#define DELETE(path) "DELETE " path " HTTP/1.1\r\n" H "\r\n"
#define JSON "Content-Type: application/json\r\n"
#define POST_LENGTH(path, fields, n, body)                                                         \
    "POST " path " HTTP/1.1\r\n" H fields "Content-Length: " #n "\r\n\r\n" body

/* ---- answers ---- */

static void each_request_gets_its_status(void **state)
{
    (void)state;
    static const struct {
        const char *request, *status, *also;
    } cases[] = {
        {GET("/health"), "HTTP/1.1 200 OK", "{\"status\":\"ok\",\"uptime_s\":"},
        {GET("/metrics"), "HTTP/1.1 200 OK", "tandem_http_requests_total "},
        {GET("/metrics"), "HTTP/1.1 200 OK",
         "# TYPE tandem_mqtt_sessions gauge\ntandem_mqtt_sessions 815\n"},
        {GET("/metrics"), "HTTP/1.1 200 OK", "tandem_info{version=\"1.2.3\"} 1\n"},
        {GET("/api/v1/system"), "HTTP/1.1 200 OK", "\"hub\":{\"published\":0,"},
        {GET("/api/v1/system"), "HTTP/1.1 200 OK", "\"record\":{\"rows\":4711,"},
        {GET("/api/v1/things"), "HTTP/1.1 200 OK", "{\"things\":[]}"},
        {GET("/api/v1/clients"), "HTTP/1.1 200 OK", "\"client\":\"c\""},
        {GET("/api/v1/clients?sort=x"), "HTTP/1.1 400 ", "queue, drops"},
        {GET("/api/v1/clients?limit=1001"), "HTTP/1.1 400 ", "1 to 1000"},
        {GET("/api/v1/explain"), "HTTP/1.1 400 ", "topic: a topic name"},
        {GET("/api/v1/explain?topic=a/%23"), "HTTP/1.1 400 ", "without + and #"},
        {GET("/api/v1/explain?topic=a/b"), "HTTP/1.1 200 OK", "\"hearers\":1,\"clients\":[{"},
        {GET("/api/v1/explain?topic=a/b&client=c"), "HTTP/1.1 200 OK",
         "level 2: the filter wants 'x', the topic has 'b'"},
        {GET("/api/v1/audit?limit=0"), "HTTP/1.1 400 ", "1 to 256 records"},
        {GET("/api/v1/audit"), "HTTP/1.1 200 OK", "{\"records\":[\n{\"n\":1}]}"},
        {DELETE("/api/v1/clients/c%2F1"), "HTTP/1.1 200 OK", "{\"closed\":1}"},
        {DELETE("/api/v1/clients/c"), "HTTP/1.1 404 ", "no such client"},
        {DELETE("/api/v1/clients/c%2"), "HTTP/1.1 400 ", "hex digits"},
        {DELETE("/api/v1/clients/"), "HTTP/1.1 405 ", "Allow: GET, HEAD"},
        {DELETE("/api/v1/clients/a/b"), "HTTP/1.1 405 ", "Allow: GET, HEAD"},
        {GET("/api/v1/delayed?limit=2&after=1"), "HTTP/1.1 200 OK",
         "{\"delayed\":[{\"id\":2,\"topic\":\"a/b\",\"due\":\"1970"},
        {GET("/api/v1/delayed?limit=2&after=1"), "HTTP/1.1 200 OK", "],\"next\":3}"},
        {GET("/api/v1/delayed?after=3"), "HTTP/1.1 200 OK", "],\"next\":null}"},
        {GET("/api/v1/delayed?filter=b"), "HTTP/1.1 200 OK", "{\"delayed\":[],\"next\":null}"},
        {GET("/api/v1/delayed?after=x"), "HTTP/1.1 400 ", "the next of the page before"},
        {DELETE("/api/v1/delayed/5"), "HTTP/1.1 200 OK", "{\"cancelled\":1}"},
        {DELETE("/api/v1/delayed/6"), "HTTP/1.1 404 ", "no such message waits"},
        {DELETE("/api/v1/delayed/x"), "HTTP/1.1 400 ", "not a message's number"},
        {GET("/api/v1/rules"), "HTTP/1.1 200 OK", "\"name\":\"warm\",\"kind\":\"RULE\",\"file\":"},
        {GET("/api/v1/rules"), "HTTP/1.1 200 OK", "\"last_fired\":null,\"last_action\":null"},
        {GET("/"), "HTTP/1.1 200 OK", "text/html"},
        {"HEAD /health HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200 OK", "Content-Length: "},
        {GET("/nothing"), "HTTP/1.1 404 Not Found", "path '/nothing': nothing is there"},
        {GET("/api/v1/nothing"), "HTTP/1.1 404 Not Found", "application/problem+json"},
        {"DELETE /health HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 405 Method", "Allow: GET\r\n"},
        {"PUT /api/v1/query HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 405", "Allow: GET, POST\r\n"},
        {"POST / HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 405", "Allow: GET, HEAD\r\n"},
        {GET("/health?x=1"), "HTTP/1.1 400 Bad Request", "parameter 'x'"},
        {GET("/api/v1/series"), "HTTP/1.1 400", "id: it is missing"},
        {GET("/api/v1/series?id=x"), "HTTP/1.1 400", "id 'x'"},
        {GET("/api/v1/series?id=1&px=0"), "HTTP/1.1 400", "px '0': 1 to 4000 columns"},
        {GET("/api/v1/series?id=1&from=soon"), "HTTP/1.1 400", "from 'soon': not a time"},
        {GET("/api/v1/series?id=1&from=%zz"), "HTTP/1.1 400", "hex digits"},
        {GET("/api/v1/series?id=1&from=now&to=-1h"), "HTTP/1.1 400", "before to"},
        {GET("/api/v1/series?id=99"), "HTTP/1.1 404", "none of that id"},
        {GET("/api/v1/query"), "HTTP/1.1 400", "it must be a text with a SELECT"},
        {GET("/api/v1/query?sql=SELECT+1+AS+one"), "HTTP/1.1 200",
         "{\"columns\":[\"one\"],\"rows\":[[1]],\"truncated\":false,\"damaged\":0}"},
        {GET("/api/v1/query?sql=SELEC"), "HTTP/1.1 400", "question: "},
        {GET("/api/v1/query?sql=DELETE+FROM+points"), "HTTP/1.1 400", "question: "},
        {POST_LENGTH("/api/v1/query", JSON, 24, "{\"sql\":\"SELECT 2 AS two\"}"), "HTTP/1.1 400",
         "body"},
        {POST_LENGTH("/api/v1/query", JSON, 25, "{\"sql\":\"SELECT 2 AS two\"}"), "HTTP/1.1 200",
         "\"rows\":[[2]]"},
        {POST_LENGTH("/api/v1/messages", JSON, 13, "{\"topic\":\"a\"}"), "HTTP/1.1 200",
         "{\"status\":\"published\"}"},
        {POST_LENGTH("/api/v1/messages", JSON, 15, "{\"topic\":\"a/#\"}"), "HTTP/1.1 400",
         "topic 'a/#'"},
        {POST_LENGTH("/api/v1/messages", JSON, 15, "{\"topic\":\"$SY\"}"), "HTTP/1.1 400",
         "topic '$SY'"},
        {POST_LENGTH("/api/v1/messages", JSON, 2, "{}"), "HTTP/1.1 400", "topic: "},
        {POST_LENGTH("/api/v1/messages", JSON, 21, "{\"topic\":\"a\",\"qos\":3}"), "HTTP/1.1 400",
         "qos '3'"},
        {POST_LENGTH("/api/v1/messages", JSON, 24, "{\"topic\":\"a\",\"retain\":1}"),
         "HTTP/1.1 400", "retain '1'"},
        {POST_LENGTH("/api/v1/messages", JSON, 19, "{\"topic\":\"a\",\"x\":1}"), "HTTP/1.1 400",
         "member 'x'"},
        {POST_LENGTH("/api/v1/messages", JSON, 25, "{\"topic\":\"a\",\"topic\":\"b\"}"),
         "HTTP/1.1 400", "member 'topic': it comes twice"},
        {POST_LENGTH("/api/v1/messages", JSON, 2, "[]"), "HTTP/1.1 400", "a JSON object"},
        {POST_LENGTH("/api/v1/messages", JSON, 5, "{\"a\"}"), "HTTP/1.1 400",
         "followed by a colon"},
        {POST_LENGTH("/api/v1/messages", JSON, 0, ""), "HTTP/1.1 400", "body 'at byte 0'"},
        {POST_LENGTH("/api/v1/messages", "", 2, "{}"), "HTTP/1.1 415", "Content-Type"},
        {POST_LENGTH("/api/v1/messages", "Content-Type: text/plain\r\n", 2, "{}"), "HTTP/1.1 415",
         "Content-Type 'text/plain'"},
        {POST_LENGTH("/api/v1/messages", JSON, 10001, "{}"), "HTTP/1.1 413", "larger than"},
        {POST_LENGTH("/api/v1/messages", JSON "Origin: http://evil.example\r\n", 2, "{}"),
         "HTTP/1.1 403", "Origin 'http://evil.example'"},
        {POST_LENGTH("/api/v1/messages", JSON "Origin: null\r\n", 2, "{}"), "HTTP/1.1 403",
         "Origin"},
        {POST_LENGTH("/api/v1/messages", JSON "Origin: http://localhost:8080\r\n", 13,
                     "{\"topic\":\"a\"}"),
         "HTTP/1.1 200", "published"},
        {"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421",
         "Host 'evil.example'"},
        {"GET /health HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", "HTTP/1.1 421", "Host"},
        {"GET /health HTTP/1.1\r\nHost: hub.example:8080\r\n\r\n", "HTTP/1.1 200", "ok"},
        {"GET /health HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "HTTP/1.1 200", "ok"},
        {"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "HTTP/1.1 200", "ok"},
        {"GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "Host"},
        {"GET /health HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400", "CR LF"},
        {"GET /health HTTP/3.0\r\n" H "\r\n", "HTTP/1.1 505", "HTTP/1.1"},
        {GET("/api/v1/live"), "HTTP/1.1 426", "Upgrade: websocket"},
    };
    static struct bed b;
    for (uint64_t seed = 0; seed < 3; seed++) {
        bed_make(&b, seed);
        sim_net_options(b.w)->tiny_ppm = seed == 1 ? 1000000 : 0; /* every segment one byte */
        for (size_t i = 0; i < TD_COUNT(cases); i++) {
            struct client *c = ask(&b, cases[i].request);
            ASSERT_HAS(c, cases[i].status);
            ASSERT_HAS(c, cases[i].also);
            ASSERT_HAS(c, "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'");
            ASSERT_HAS(c, "X-Content-Type-Options: nosniff");
            ASSERT_HAS(c, "Date: Tue, 24 Nov 2026 09:0");
            assert_false(has(c, "Access-Control"));
            hang_up(&b, c);
        }
        bed_end(&b);
    }
}

static void requests_on_one_connection_are_answered_in_order(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    struct client *c = ask(&b, GET("/health") GET("/api/v1/things")
                                   POST_LENGTH("/api/v1/messages", JSON, 13, "{\"topic\":\"a\"}")
                                       GET("/api/v1/query?sql=SELECT+7+AS+n") GET("/nothing"));
    const char *t = text_of(c);
    const char *marks[] = {"uptime_s", "things", "published", "[[7]]", "nothing is there"};
    for (size_t i = 0; i < TD_COUNT(marks); i++) {
        const char *at = strstr(t, marks[i]);
        assert_non_null(at);
        t = at;
    }
    assert_false(c->closed);
    bed_end(&b);
}

static void a_connection_ends_when_its_client_asks_for_that(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    struct client *c = ask(&b, "GET /health HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    ASSERT_HAS(c, "Connection: close\r\n");
    assert_true(c->closed);
    c = ask(&b, POST_LENGTH("/api/v1/messages", JSON "Expect: 100-continue\r\n", 13, ""));
    ASSERT_HAS(c, "HTTP/1.1 100 Continue\r\n\r\n");
    send(&b, c, "{\"topic\":\"a\"}");
    run_ms(&b, 1000);
    ASSERT_HAS(c, "published");
    bed_end(&b);
}

static void the_page_is_served_in_the_smallest_form_that_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *request, *want;
    } cases[] = {
        {GET("/"), "\r\n\r\n<html>plain"},
        {"GET / HTTP/1.1\r\n" H "Accept-Encoding: gzip, br\r\n\r\n", "\r\n\r\nbroti"},
        {"GET / HTTP/1.1\r\n" H "Accept-Encoding: gzip\r\n\r\n", "Content-Encoding: gzip\r\n"},
        {"GET / HTTP/1.1\r\n" H "If-None-Match: \"e1\"\r\n\r\n", "304 Not Modified"},
        {"GET / HTTP/1.1\r\n" H "If-None-Match: \"e0\"\r\n\r\n", "200 OK"},
        {"HEAD / HTTP/1.1\r\n" H "\r\n", "Content-Length: 11\r\n"},
        {GET("/assets/main-1.js"), "Cache-Control: public, max-age=31536000, immutable\r\n"},
        {GET("/"), "Cache-Control: no-cache\r\n"},
    };
    static struct bed b;
    bed_make(&b, 1);
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        ASSERT_HAS(ask(&b, cases[i].request), cases[i].want);
    }
    bed_end(&b);
}

static void things_are_grouped_and_in_order(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    td_wall at = b.w->wall_offset - TD_NS_PER_S;
    tell(7, "vend/v2/tea", "stock", td_value_int(3), at);
    tell(8, "things/lamp/x/y", "on", td_value_bool(true), at);
    tell(9, "vend/v1/cola", "stock", td_value_float(1.5), at);
    tell(10, "vend/v1/cola", "name", td_value_text(TD_STR("<b>\"")), at);
    tell(11, "single", "value", td_value_none(), at);
    struct client *c = ask(&b, GET("/api/v1/things"));
    ASSERT_HAS(c, "{\"things\":[{\"thing\":\"lamp\",\"online\":true,\"series\":[{\"id\":8,");
    ASSERT_HAS(c, "{\"thing\":\"single\"");
    ASSERT_HAS(c, "{\"thing\":\"vend/v1\",\"online\":true,\"series\":[{\"id\":10,\"topic\":"
                  "\"vend/v1/cola\",\"field\":\"name\",\"type\":\"text\",\"value\":\"<b>\\\"\","
                  "\"time\":\"2026-11-24T08:59:59.000Z\",\"age_ms\":");
    ASSERT_HAS(c, "\"field\":\"stock\",\"type\":\"float\",\"value\":1.5,");
    ASSERT_HAS(c, "\"quality\":\"good\"}]},{\"thing\":\"vend/v2\"");
    bed_end(&b);
}

static void a_series_is_read_from_the_store(void **state)
{
    (void)state;
    static struct bed b;
    uint32_t stream, column;
    uint64_t lsn;
    bed_make(&b, 1);
    td_wall at = b.w->wall_offset - 10 * TD_NS_PER_S;
    struct td_store *store = b.parts.store;
    assert_int_equal(TD_OK, td_store_stream(store, TD_STR("a/b"), &stream));
    assert_int_equal(TD_OK, td_store_column(store, stream, TD_STR("t"), &column));
    for (int i = 0; i < 3; i++) {
        struct td_cell cell = {column, td_value_float(20.5 + i)};
        assert_int_equal(TD_OK, td_store_row(store, stream, at + i * TD_NS_PER_S, at, &cell, 1,
                                             TD_STORE_1S, &lsn));
    }
    char request[200];
    snprintf(request, sizeof request,
             "GET /api/v1/series?id=%u&from=-1m&to=2026-11-24T09:01:00Z HTTP/1.1\r\n" H "\r\n",
             td_series_of(stream, column));
    struct client *c = ask(&b, request);
    ASSERT_HAS(c, "\"topic\":\"a/b\",\"field\":\"t\",\"t\":[1795510790000,1795510791000,"
                  "1795510792000],\"v\":[20.5,21.5,22.5],\"damaged\":0}");
    bed_end(&b);
}

static void a_message_is_acknowledged_when_it_is_durable(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    struct td_store *store = b.parts.store;
    td_store_put(store, TD_STATE_RETAINED, TD_STR("k"), TD_STR("v"));
    published.lsn = td_store_batch_end(store, TD_STORE_1S);
    assert_true(published.lsn > td_store_durable(store));
    struct client *c = dial(&b);
    send(&b, c,
         POST_LENGTH("/api/v1/messages", JSON, 56,
                     "{\"topic\":\"a/b\",\"payload\":{\"x\": 1},\"qos\":2,\"retain\":true}"));
    run_ms(&b, 500);
    assert_string_equal("a/b", published.topic);
    assert_string_equal("{\"x\": 1}", published.payload);
    assert_int_equal(2, published.qos);
    assert_true(published.retain);
    assert_int_equal(0, c->got.n);
    run_ms(&b, 1500);
    ASSERT_HAS(c, "published");
    assert_true(published.lsn <= td_store_durable(store));
    bed_end(&b);
}

static void retain(struct bed *b, const char *topic, td_slice payload)
{
    struct td_message m = {.topic = td_slice_of(topic),
                           .payload = payload,
                           .expires = TD_NEVER,
                           .at = INT64_C(1795510800) * TD_NS_PER_S,
                           .qos = 1,
                           .retain = true};
    assert_int_equal(TD_OK, td_hub_retain(b->parts.hub, &m));
    td_message_done(&m);
}

static void retained_messages_are_shown_in_order_page_by_page(void **state)
{
    (void)state;
    static struct bed b;
    static const char *const topics[] = {"b/2", "a", "b/1", "c", "b/10"};
    static const struct td_hub_limits big_limits = {
        .nodes_max = 1000, .retained_max = 10, .retained_bytes_max = 100000};
    static char big[70000];
    memset(big, 'x', sizeof big);
    bed_make(&b, 1);
    for (size_t i = 0; i < TD_COUNT(topics); i++) {
        retain(&b, topics[i], TD_STR("on \"1\""));
    }
    struct client *c = ask(&b, GET("/api/v1/retained?limit=2"));
    ASSERT_HAS(c, "{\"retained\":[{\"topic\":\"a\",\"payload\":\"on \\\"1\\\"\",\"bytes\":6,"
                  "\"qos\":1,\"time\":\"2026-11-24T09:00:00.000Z\",\"expires_s\":null,");
    ASSERT_HAS(c, "\"topic\":\"b/1\"");
    ASSERT_HAS(c, "],\"next\":\"b/1\"}");
    c = ask(&b, GET("/api/v1/retained?limit=2&after=b%2F1"));
    ASSERT_HAS(c, "{\"retained\":[{\"topic\":\"b/10\"");
    ASSERT_HAS(c, "],\"next\":\"b/2\"}");
    c = ask(&b, GET("/api/v1/retained?limit=2&after=b%2F2"));
    ASSERT_HAS(c, "{\"retained\":[{\"topic\":\"c\"");
    ASSERT_HAS(c, "],\"next\":null}");
    c = ask(&b, GET("/api/v1/retained?filter=b/%2B&limit=3"));
    ASSERT_HAS(c, "{\"retained\":[{\"topic\":\"b/1\"");
    ASSERT_HAS(c, "],\"next\":null}");
    td_hub_free(b.parts.hub); /* with room for a big one */
    b.parts.hub = td_hub_new(&big_limits, 1);
    retain(&b, "bin", (td_slice){(const uint8_t *)"\xff\x00", 2});
    retain(&b, "zbig", (td_slice){(const uint8_t *)big, sizeof big});
    c = ask(&b, GET("/api/v1/retained"));
    ASSERT_HAS(c, "\"topic\":\"bin\",\"base64\":\"/wA=\",\"bytes\":2");
    ASSERT_HAS(c, "\"topic\":\"zbig\",\"payload\":null,\"bytes\":70000");
    bed_end(&b);
}

static void deleting_retained_messages_waits_for_the_commit(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    retain(&b, "a/1", TD_STR("1"));
    retain(&b, "a/2", TD_STR("2"));
    retain(&b, "b", TD_STR("3"));
    retain(&b, "$SYS/x", TD_STR("4"));
    struct client *c = ask(&b, DELETE("/api/v1/retained?filter=a/%23&limit=1"));
    ASSERT_HAS(c, "{\"deleted\":1,\"more\":true}");
    c = ask(&b, DELETE("/api/v1/retained?filter=a/%23"));
    ASSERT_HAS(c, "{\"deleted\":1,\"more\":false}");
    assert_int_equal(2, td_hub_stats(b.parts.hub)->retained);
    ASSERT_HAS(ask(&b, DELETE("/api/v1/retained")), "filter: it is missing");
    ASSERT_HAS(ask(&b, DELETE("/api/v1/retained?filter=$SYS/%23")), "HTTP/1.1 400");
    ASSERT_HAS(ask(&b, DELETE("/api/v1/retained?filter=a/%23/b")), "HTTP/1.1 400");
    ASSERT_HAS(ask(&b, DELETE("/api/v1/retained?filter=$share/g/a")), "without $share");
    sim_disk_faults(b.disk)->sync_ppm = 1000000;
    c = ask(&b, DELETE("/api/v1/retained?filter=%23"));
    ASSERT_HAS(c, "HTTP/1.1 503");
    assert_int_equal(1, td_hub_stats(b.parts.hub)->retained); /* $SYS is not below # */
    bed_end(&b);
}

static void a_failed_store_is_told(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    sim_disk_faults(b.disk)->sync_ppm = 1000000;
    td_store_put(b.parts.store, TD_STATE_RETAINED, TD_STR("k"), TD_STR("v"));
    published.lsn = td_store_batch_end(b.parts.store, TD_STORE_NOW);
    struct client *c = ask(&b, POST_LENGTH("/api/v1/messages", JSON, 13, "{\"topic\":\"a\"}"));
    ASSERT_HAS(c, "HTTP/1.1 503");
    c = ask(&b, GET("/health"));
    ASSERT_HAS(c, "HTTP/1.1 503");
    ASSERT_HAS(c, "\"status\":\"failed\",\"reason\":");
    bed_end(&b);
}

/* ---- bounds and deadlines ---- */

static void slow_heads_and_bodies_end_after_ten_seconds(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    struct client *silent = dial(&b), *head = dial(&b), *body = dial(&b), *steady = dial(&b);
    send(&b, body, POST_LENGTH("/api/v1/messages", JSON, 13, "{"));
    send(&b, steady, POST_LENGTH("/api/v1/messages", JSON, 13, "{"));
    run_ms(&b, 100);
    for (int i = 0; i < 9; i++) {
        send(&b, head, i == 0 ? "GET /" : "x"); /* a byte a second does not help a head */
        send(&b, steady, &"\"topic\":\"a\"}"[i]);
        steady->to_send.n = steady->to_send.n > 0 ? 1 : 0;
        run_ms(&b, 1000);
    }
    assert_false(silent->closed || head->closed || body->closed);
    run_ms(&b, 2500);
    assert_true(silent->closed);
    assert_int_equal(0, silent->got.n);
    ASSERT_HAS(head, "HTTP/1.1 408 Request Timeout");
    ASSERT_HAS(body, "HTTP/1.1 408 Request Timeout");
    assert_true(head->closed && body->closed);
    assert_false(steady->closed);
    bed_end(&b);
}

static void a_client_that_does_not_read_is_left(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    struct client *c = dial(&b);
    c->deaf = true;
    /* 900 KB of answer */
    send(&b, c,
         "GET /api/v1/query?sql=WITH+RECURSIVE+n(i)+AS+(SELECT+1+UNION+ALL+SELECT+i%2B1+FROM+n+"
         "LIMIT+9000)+SELECT+printf('%25.100c','x')+FROM+n HTTP/1.1\r\n" H "\r\n");
    run_ms(&b, 5000);
    struct client *d = ask(&b, GET("/metrics"));
    ASSERT_HAS(d, "tandem_http_connections 2\n");
    assert_false(has(d, "tandem_http_unsent_bytes 0\n"));
    run_ms(&b, 10000);
    d = ask(&b, GET("/metrics"));
    ASSERT_HAS(d, "tandem_http_connections 2\n"); /* both of them this one's */
    ASSERT_HAS(d, "tandem_http_unsent_bytes 0\n");
    ASSERT_HAS(d, "tandem_http_timeouts_total 1\n");
    bed_end(&b);
}

static void an_answer_over_its_bound_says_what_to_do(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    struct client *c = ask(
        &b, "GET /api/v1/query?sql=WITH+RECURSIVE+n(i)+AS+(SELECT+1+UNION+ALL+SELECT+i%2B1+FROM+"
            "n+LIMIT+20000)+SELECT+printf('%25.100c','x')+FROM+n HTTP/1.1\r\n" H "\r\n");
    ASSERT_HAS(c, "HTTP/1.1 422");
    ASSERT_HAS(c, "a LIMIT");
    bed_end(&b);
}

static void connections_over_the_bound_are_closed(void **state)
{
    (void)state;
    static struct bed b;
    bed_make(&b, 1);
    for (int i = 0; i < 25; i++) {
        (void)dial(&b);
    }
    run_ms(&b, 1000);
    size_t closed = 0;
    for (size_t i = 0; i < b.client_count; i++) {
        closed += b.clients[i].closed;
    }
    assert_int_equal(5, closed);
    run_ms(&b, 15000);
    struct client *c = ask(&b, GET("/metrics"));
    ASSERT_HAS(c, "tandem_http_refused_total 5\n");
    ASSERT_HAS(c, "tandem_http_connections 1\n");
    bed_end(&b);
}

/* ---- the live feed ---- */

static void upgrade(struct bed *b, struct client *c)
{
    send(b, c,
         "GET /api/v1/live HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n"
         "Origin: http://localhost:8080\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
         "Sec-WebSocket-Protocol: tandem.live.1\r\n\r\n");
    run_ms(b, 1000);
    ASSERT_HAS(c, "HTTP/1.1 101 Switching Protocols\r\n");
    ASSERT_HAS(c, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    ASSERT_HAS(c, "Sec-WebSocket-Protocol: tandem.live.1\r\n");
    td_buf_clear(&c->got);
}

/* Something said inside the hub ends with a turn of its loop; here a request brings it about. */
static void turn(struct bed *b)
{
    struct client *c = b->poker;
    if (c == NULL || c->closed) {
        c = b->poker = dial(b);
    }
    send(b, c, GET("/health"));
    run_ms(b, 100);
    td_buf_clear(&c->got);
}

/* A text frame with a mask of zeros. */
static void frame(struct bed *b, struct client *c, unsigned opcode, const char *text)
{
    uint8_t head[] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | strlen(text)), 0, 0, 0, 0};
    assert_true(strlen(text) < 126);
    assert_int_equal(TD_OK, td_buf_add(&c->to_send, (td_slice){head, sizeof head}));
    send(b, c, text);
}

/* Takes the next frame's payload off what was got; p NULL: none. */
static td_slice take(struct client *c, size_t *at)
{
    td_slice all = td_slice_skip(td_buf_slice(&c->got), *at);
    if (all.n < 2) {
        return (td_slice){NULL, 0};
    }
    size_t n = all.p[1], head = 2;
    if (n == 126) {
        n = (size_t)all.p[2] << 8 | all.p[3];
        head = 4;
    }
    assert_true(all.n >= head + n);
    *at += head + n;
    return (td_slice){all.p + head, n};
}

/* A frame of the feed: kind, seq, and its entries. */
static td_slice take_feed(struct client *c, size_t *at, uint8_t *kind, uint32_t *seq)
{
    td_slice f = take(c, at);
    if (f.n < 13) {
        *kind = 0;
        return f;
    }
    *kind = f.p[0];
    *seq = f.p[1] | (uint32_t)f.p[2] << 8 | (uint32_t)f.p[3] << 16 | (uint32_t)f.p[4] << 24;
    return td_slice_skip(f, 13);
}

static void a_feed_begins_with_a_snapshot_and_then_tells_what_changes(void **state)
{
    (void)state;
    static struct bed b;
    uint8_t kind = 0;
    uint32_t seq = 0;
    size_t at = 0;
    bed_make(&b, 1);
    tell(300, "vend/v1", "stock", td_value_int(-2), b.w->wall_offset);
    tell(5, "other", "value", td_value_float(1.5), b.w->wall_offset);
    struct client *c = dial(&b);
    upgrade(&b, c);
    run_ms(&b, 1000);
    assert_int_equal(0, c->got.n); /* not before it says what it watches */
    frame(&b, c, 1, "{\"watch\":[\"vend/* stock\",\"nothing\"]}");
    run_ms(&b, 300);
    assert_int_equal(0, take_feed(c, &at, &kind, &seq).n);
    assert_int_equal(4, kind);
    td_slice names = take_feed(c, &at, &kind, &seq);
    assert_int_equal(2, kind);
    assert_true(td_slice_eq(names, TD_STR("\xAC\x02\x07vend/v1\x05stock\x03")));
    td_slice values = take_feed(c, &at, &kind, &seq);
    assert_int_equal(1, kind);
    assert_int_equal(2, seq);
    assert_memory_equal("\xAC\x02\x03", values.p, 3); /* int, good, not changed */
    assert_memory_equal("\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", values.p + values.n - 8, 8);
    /* three values within one slice: the last one wins; the other series is not watched */
    for (int i = 0; i < 3; i++) {
        tell(300, "vend/v1", "stock", td_value_int(i), b.w->wall_offset + b.w->now);
        tell(5, "other", "value", td_value_float(2), b.w->wall_offset + b.w->now);
    }
    tell(301, "vend/v2", "stock", td_value_text(TD_STR("low")), b.w->wall_offset + b.w->now);
    turn(&b);
    names = take_feed(c, &at, &kind, &seq);
    assert_true(td_slice_eq(names, TD_STR("\xAD\x02\x07vend/v2\x05stock\x05")));
    values = take_feed(c, &at, &kind, &seq);
    assert_int_equal(4, seq);
    assert_memory_equal("\xAD\x02\x85", values.p, 3); /* the newest first; text, changed */
    assert_memory_equal("\x03low\xAC\x02\x83", values.p + values.n - 16, 7);
    assert_memory_equal("\x02\0\0\0\0\0\0\0", values.p + values.n - 8, 8);
    /* nothing said: an empty frame within 5 s shows that the hub is there */
    run_ms(&b, 5500);
    assert_int_equal(0, take_feed(c, &at, &kind, &seq).n);
    assert_int_equal(1, kind);
    assert_int_equal(at, c->got.n);
    bed_end(&b);
}

static void a_feed_that_cannot_be_written_to_gets_the_newest_state_later(void **state)
{
    (void)state;
    static struct bed b;
    uint8_t kind = 0;
    uint32_t seq = 0, last_seq = 0;
    size_t at = 0, values = 0;
    int64_t newest = 0;
    bed_make(&b, 1);
    sim_net_options(b.w)->window_min = sim_net_options(b.w)->window_max = 1000;
    struct client *c = dial(&b);
    upgrade(&b, c);
    frame(&b, c, 1, "{\"watch\":[\"*\"]}");
    run_ms(&b, 300);
    c->deaf = true;
    for (int i = 0; i < 200; i++) { /* 20 s */
        tell(1, "a", "n", td_value_int(i), b.w->wall_offset);
        turn(&b);
    }
    c->deaf = false;
    send(&b, c, "");
    run_ms(&b, 500);
    for (td_slice f; (f = take_feed(c, &at, &kind, &seq)).p != NULL && kind != 0; last_seq = seq) {
        assert_true(seq == 0 || seq == last_seq + 1); /* nothing is missing, so no gap */
        if (kind == 1 && f.n > 0) {
            values++;
            memcpy(&newest, f.p + f.n - 8, 8);
        }
    }
    assert_int_equal(199, newest);
    assert_true(values < 120);
    bed_end(&b);
}

static void an_event_reaches_every_page_and_a_lost_one_leaves_a_gap(void **state)
{
    (void)state;
    static struct bed b;
    uint8_t kind = 0;
    uint32_t seq = 0;
    size_t at = 0;
    static char big[60000];
    bed_make(&b, 1);
    struct client *c = dial(&b);
    upgrade(&b, c);
    frame(&b, c, 1, "{\"watch\":[]}");
    run_ms(&b, 300);
    (void)take_feed(c, &at, &kind, &seq);
    assert_int_equal(4, kind);
    event = (struct td_decide_event){b.w->wall_offset, TD_STR("warm"), TD_STR("r1"), TD_STR("t")};
    event_count = 1;
    turn(&b);
    td_slice json = take_feed(c, &at, &kind, &seq);
    assert_int_equal(3, kind);
    assert_true(td_slice_eq(json, TD_STR("{\"rule\":\"warm\",\"key\":\"r1\",\"text\":\"t\","
                                         "\"time\":\"2026-11-24T09:00:00.000Z\"}")));
    /* the hub keeps the last ones only: what it does not know any more is a gap */
    uint32_t before = seq;
    event_count = 5;
    events_lost = 3;
    turn(&b);
    (void)take_feed(c, &at, &kind, &seq);
    assert_int_equal(3, kind);
    assert_int_equal(before + 3, seq);
    (void)take_feed(c, &at, &kind, &seq);
    c->deaf = true;
    memset(big, 'x', sizeof big);
    event.text = (td_slice){(uint8_t *)big, sizeof big};
    for (int i = 0; i < 10; i++) {
        event_count++;
        turn(&b);
    }
    struct client *m = ask(&b, GET("/api/v1/system"));
    assert_false(has(m, "\"live_events_dropped\":0"));
    bed_end(&b);
}

static void what_a_page_must_not_say_closes_its_feed(void **state)
{
    (void)state;
    static const struct {
        unsigned opcode;
        const char *text;
        unsigned code;
    } cases[] = {
        {1, "{\"watch\":\"*\"}", 1008},
        {1, "{\"watch\":[1]}", 1008},
        {1, "{\"watch\":[\"*\"],\"x\":1}", 1008},
        {1, "{\"watch\":[\"*\"],\"every_ms\":1}", 1008},
        {1, "[]", 1008},
        {1, "{", 1008},
        {1, "{} {}", 1008},
        {1, "\xFF", 1007},
        {2, "x", 1003},
        {3, "x", 1002},
        {8,
         "\x03\xE8"
         "bye",
         1000},
        {8, "", 1000},
    };
    static struct bed b;
    bed_make(&b, 1);
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        size_t at = 0;
        struct client *c = dial(&b);
        upgrade(&b, c);
        frame(&b, c, cases[i].opcode, cases[i].text);
        run_ms(&b, 1000);
        td_slice f = take(c, &at);
        if (f.n < 2) {
            fail_msg("no close frame for %s", cases[i].text);
            break;
        }
        assert_int_equal(cases[i].code, f.p[0] << 8 | f.p[1]);
        run_ms(&b, 3000);
        assert_true(c->closed);
    }
    struct client *m = ask(&b, GET("/api/v1/system"));
    ASSERT_HAS(m, "\"live\":0,");
    bed_end(&b);
}

static void a_ping_is_answered_and_too_many_feeds_are_refused(void **state)
{
    (void)state;
    static struct bed b;
    size_t at = 0;
    bed_make(&b, 1);
    struct client *c = dial(&b);
    upgrade(&b, c);
    frame(&b, c, 9, "hello");
    run_ms(&b, 500);
    assert_true(td_slice_eq(TD_STR("hello"), take(c, &at)));
    assert_int_equal(0x8A, c->got.p[0]);
    struct client *quiet = dial(&b);
    upgrade(&b, quiet);
    static const char *const bad[][2] = {
        {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Protocol: tandem.live.1\r\n",
         "HTTP/1.1 503"},
        {"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Protocol: tandem.live.1\r\n",
         "HTTP/1.1 400"},
        {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n"
         "Sec-WebSocket-Protocol: tandem.live.1\r\n",
         "Sec-WebSocket-Version: 13\r\n"},
        {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
         "HTTP/1.1 400"},
        {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Protocol: tandem.live.1\r\nOrigin: http://evil.example\r\n",
         "HTTP/1.1 403"},
    };
    for (size_t i = 0; i < TD_COUNT(bad); i++) {
        struct client *r = dial(&b);
        send(&b, r,
             "GET /api/v1/live HTTP/1.1\r\n" H "Connection: Upgrade\r\n"
             "Upgrade: websocket\r\n");
        send(&b, r, bad[i][0]);
        send(&b, r, "\r\n");
        run_ms(&b, 500);
        ASSERT_HAS(r, bad[i][1]);
    }
    run_ms(&b, 35000);
    assert_true(quiet->closed); /* it never said what it watches */
    bed_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_gets_its_status),
        cmocka_unit_test(requests_on_one_connection_are_answered_in_order),
        cmocka_unit_test(a_connection_ends_when_its_client_asks_for_that),
        cmocka_unit_test(the_page_is_served_in_the_smallest_form_that_is_taken),
        cmocka_unit_test(things_are_grouped_and_in_order),
        cmocka_unit_test(a_series_is_read_from_the_store),
        cmocka_unit_test(a_message_is_acknowledged_when_it_is_durable),
        cmocka_unit_test(retained_messages_are_shown_in_order_page_by_page),
        cmocka_unit_test(deleting_retained_messages_waits_for_the_commit),
        cmocka_unit_test(a_failed_store_is_told),
        cmocka_unit_test(slow_heads_and_bodies_end_after_ten_seconds),
        cmocka_unit_test(a_client_that_does_not_read_is_left),
        cmocka_unit_test(an_answer_over_its_bound_says_what_to_do),
        cmocka_unit_test(connections_over_the_bound_are_closed),
        cmocka_unit_test(a_feed_begins_with_a_snapshot_and_then_tells_what_changes),
        cmocka_unit_test(a_feed_that_cannot_be_written_to_gets_the_newest_state_later),
        cmocka_unit_test(an_event_reaches_every_page_and_a_lost_one_leaves_a_gap),
        cmocka_unit_test(what_a_page_must_not_say_closes_its_feed),
        cmocka_unit_test(a_ping_is_answered_and_too_many_feeds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
