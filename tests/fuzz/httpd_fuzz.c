/* Two connections to httpd in one input, over a seam made of arrays: bytes in any portions, clients
 * that do not read, time that passes, values and events that are said, questions that are answered.
 *
 *     input := options (op length payload)*      op: bit 0 which connection, bits 1..3 what
 *
 * Nothing may be left when all is closed, and what comes out begins as HTTP does. What httpd stands
 * on is stood in for, so that the store's threads and files stay out of it. */
#include <stdlib.h>

#include "serve/audit.h"
#include "serve/decide.h"
#include "serve/http/inside.h"
#include "serve/loop.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* ---- what httpd stands on ---- */

static struct {
    td_mono now;
    uint64_t version, durable, lsn, events;
    bool failed;
    td_store_answer *answer;
    void *asker;
} world;

uint64_t td_record_version(const struct td_record *record)
{
    (void)record;
    return world.version;
}

/* Series 1 and 2 take turns. */
static struct td_current current_of(uint64_t version)
{
    return (struct td_current){.series = (uint32_t)(version % 2) + 1,
                               .topic = TD_STR("a/b"),
                               .field = version % 2 ? TD_STR("x") : TD_STR("y"),
                               .value = version % 3 ? td_value_int((int64_t)version)
                                                    : td_value_text(TD_STR("text")),
                               .version = version};
}

void td_record_changes(const struct td_record *record, uint64_t since,
                       bool (*fn)(void *ctx, const struct td_current *now), void *ctx)
{
    (void)record;
    for (uint64_t v = world.version; v > since && v + 2 > world.version; v--) {
        struct td_current now = current_of(v);
        if (!fn(ctx, &now)) {
            return;
        }
    }
}

void td_record_each(const struct td_record *record,
                    bool (*fn)(void *ctx, const struct td_current *now), void *ctx)
{
    static struct td_current now[2];
    (void)record;
    for (size_t i = 0; i < 2; i++) {
        now[i] = current_of(i + 1);
        if (!fn(ctx, &now[i])) {
            return;
        }
    }
}

const struct td_record_stats *td_record_stats(const struct td_record *record)
{
    static const struct td_record_stats stats;
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
    (void)d, (void)m;
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
    static const struct td_mqttd_stats stats;
    (void)d;
    return &stats;
}

bool td_mqttd_has_room(const struct td_mqttd *d)
{
    (void)d;
    return true;
}

uint64_t td_decide_event_count(const struct td_decide *d)
{
    (void)d;
    return world.events;
}

const struct td_decide_event *td_decide_event(const struct td_decide *d, uint64_t i)
{
    static const struct td_decide_event event = {
        0, {(const uint8_t *)"r", 1}, {(const uint8_t *)"k", 1}, {(const uint8_t *)"t", 1}};
    (void)d;
    return i % 7 == 6 ? NULL : &event;
}

struct td_rules *td_decide_rules(const struct td_decide *d)
{
    static struct td_rules *rules;
    struct td_buf why;
    struct td_rules_file file = {TD_STR("f"), TD_STR("STREAM s FROM 'a/+k' (x INT);\n"
                                                     "RULE r PER k WHEN s.x > 1 SEND 'o' {k};")};
    struct td_rules_config config = {.files = &file, .file_count = 1};
    (void)d;
    if (rules == NULL) { /* once a process */
        td_buf_init(&why, 10000);
        td_assert(td_rules_load(&config, &rules, &why) == TD_OK);
        td_buf_fini(&why);
    }
    return rules;
}

const struct td_decide_stats *td_decide_stats(const struct td_decide *d)
{
    static const struct td_decide_stats stats;
    (void)d;
    return &stats;
}

uint64_t td_publish(struct td_parts *parts, struct td_message *m)
{
    (void)parts;
    td_assert(td_topic_valid(m->topic) && m->qos <= 2);
    return ++world.lsn;
}

const struct td_store_stats *td_store_stats(struct td_store *store)
{
    static const struct td_store_stats stats;
    (void)store;
    return &stats;
}

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

bool td_store_failed(const struct td_store *store)
{
    (void)store;
    return world.failed;
}

const char *td_store_failure(const struct td_store *store)
{
    (void)store;
    return "the disk is gone";
}

uint64_t td_store_batch_end(struct td_store *store, enum td_store_class c)
{
    (void)store, (void)c;
    return world.durable + 1;
}

size_t td_store_batch_bytes(const struct td_store *store)
{
    (void)store;
    return 0;
}

size_t td_store_batch_max(const struct td_store *store)
{
    (void)store;
    return 1 << 20;
}

uint64_t td_store_durable(const struct td_store *store)
{
    (void)store;
    return world.durable;
}

bool td_store_series_name(const struct td_store *store, uint32_t series, td_slice *stream,
                          td_slice *field)
{
    (void)store;
    *stream = TD_STR("a/b");
    *field = TD_STR("x");
    return series <= 2;
}

static enum td_err question(td_store_answer *answer, void *ctx, uint64_t *ticket)
{
    if (world.answer != NULL) {
        return TD_EFULL;
    }
    world.answer = answer;
    world.asker = ctx;
    *ticket = 1;
    return TD_OK;
}

enum td_err td_store_sql(struct td_store *store, td_slice sql, td_store_answer *answer, void *ctx,
                         uint64_t *ticket)
{
    (void)store;
    (void)sql;
    return question(answer, ctx, ticket);
}

enum td_err td_store_scan(struct td_store *store, uint32_t series, td_wall from, td_wall to,
                          uint32_t px, td_store_answer *answer, void *ctx, uint64_t *ticket)
{
    (void)store;
    td_assert(series <= 2 && from < to && td_in(px, 1, 4000));
    return question(answer, ctx, ticket);
}

void td_store_cancel(struct td_store *store, uint64_t ticket)
{
    (void)store;
    td_assert(ticket == 1 && world.answer != NULL);
    world.answer = NULL;
}

static void answer_question(unsigned how)
{
    static const td_slice columns[] = {{(const uint8_t *)"ts", 2}, {(const uint8_t *)"value", 5}};
    struct td_value cells[] = {td_value_int(1000000), td_value_float(0.5)};
    struct td_table table = {
        .columns = columns, .column_count = 2, .cells = cells, .row_count = 1, .cut = how & 1};
    static const enum td_err errors[] = {TD_OK, TD_ESYNTAX, TD_EFULL, TD_EIO};
    td_store_answer *answer = world.answer;
    if (answer != NULL) {
        enum td_err err = errors[how >> 1 & 3];
        world.answer = NULL;
        answer(world.asker, err, err == TD_OK ? &table : NULL, TD_STR("why not"));
    }
}

/* ---- the seam ---- */

struct end {
    struct td_buf in; /* to be read */
    size_t read;
    void *owner;
    unsigned watch;
    bool open, deaf, ended;
    uint64_t written;
    uint8_t first[9]; /* of what was written */
};

static struct {
    struct td_sys sys; /* first */
    struct end ends[2];
    void *listener;
    int to_accept;
} seam;

static struct end *end_of(int stream)
{
    td_assert(td_in((uint64_t)stream, 1, 2) && seam.ends[stream - 1].open);
    return &seam.ends[stream - 1];
}

static td_wall sys_wall(struct td_sys *sys)
{
    (void)sys;
    return world.now;
}

static enum td_err sys_listen(struct td_sys *sys, const struct td_sys_listen *ask, int *out)
{
    (void)sys;
    seam.listener = ask->owner;
    *out = 0;
    return TD_OK;
}

static enum td_err sys_accept(struct td_sys *sys, int listener, void *owner, int *out)
{
    (void)sys;
    (void)listener;
    if (seam.to_accept == 0) {
        return TD_EAGAIN;
    }
    *out = seam.to_accept;
    seam.to_accept = 0;
    seam.ends[*out - 1].owner = owner;
    seam.ends[*out - 1].open = true;
    seam.ends[*out - 1].watch = TD_SYS_READ;
    return TD_OK;
}

static void sys_owner_set(struct td_sys *sys, int stream, void *owner)
{
    (void)sys;
    end_of(stream)->owner = owner;
}

static void sys_address(struct td_sys *sys, int stream, bool peer, char out[64])
{
    (void)sys;
    (void)stream;
    (void)peer;
    memcpy(out, "10.0.0.1:80", 12);
}

static enum td_err sys_read(struct td_sys *sys, int stream, uint8_t *p, size_t max, size_t *got)
{
    struct end *e = end_of(stream);
    size_t n = e->in.n - e->read < max ? e->in.n - e->read : max;
    (void)sys;
    if (n == 0) {
        return e->ended ? TD_ECLOSED : TD_EAGAIN;
    }
    memcpy(p, e->in.p + e->read, n);
    e->read += n;
    *got = n;
    return TD_OK;
}

static enum td_err sys_write(struct td_sys *sys, int stream, const td_slice *parts, size_t count,
                             size_t *sent)
{
    struct end *e = end_of(stream);
    (void)sys;
    if (e->deaf) {
        return TD_EAGAIN;
    }
    *sent = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < parts[i].n; k++, e->written++) {
            if (e->written < sizeof e->first) {
                e->first[e->written] = parts[i].p[k];
            }
        }
        *sent += parts[i].n;
    }
    return TD_OK;
}

static void sys_watch(struct td_sys *sys, int stream, unsigned ready)
{
    (void)sys;
    end_of(stream)->watch = ready;
}

static void sys_shutdown(struct td_sys *sys, int stream)
{
    (void)sys;
    (void)end_of(stream);
}

static void sys_close(struct td_sys *sys, int stream)
{
    (void)sys;
    if (stream > 0) {
        end_of(stream)->open = false;
    }
}

void td_mqttd_upgrade(struct td_mqttd *d, struct td_listener *listener, int stream, td_slice key,
                      td_slice rest, td_mono now)
{
    (void)d;
    (void)now;
    td_assert(listener->is.kind == TD_SERVE_HTTP && key.n == 24 && rest.n <= 16384);
    seam.sys.close(&seam.sys, stream);
}

/* ---- the run ---- */

static void ready(void *owner, int stream, unsigned how)
{
    struct td_sys_event event = {owner, stream, how};
    struct td_owner *o = owner;
    o->ready(o, &event, world.now);
}

static void step(int stream)
{
    struct end *e = &seam.ends[stream - 1];
    if (!e->open) {
        td_buf_clear(&e->in);
        e->read = 0;
        e->written = 0;
        e->ended = e->deaf = false;
        seam.to_accept = stream;
        ready(seam.listener, 0, TD_SYS_READ);
        return;
    }
    unsigned how = e->watch & (e->deaf ? TD_SYS_READ : TD_SYS_READ | TD_SYS_WRITE);
    if (how != 0) {
        ready(e->owner, stream, how);
    }
}

enum { DATA, DATA_TOO, TIME, VALUE, ANSWER, DEAF, END, DURABLE };

static void act(unsigned what, int stream, td_slice payload)
{
    struct end *e = &seam.ends[stream - 1];
    unsigned how = payload.n > 0 ? payload.p[0] : 0;
    switch (what) {
    case DATA:
    case DATA_TOO:
        if (e->open && e->in.n < 100000) {
            td_assert(td_buf_add(&e->in, payload) == TD_OK);
        }
        break;
    case TIME:
        world.now += (td_mono)how * how * TD_NS_PER_MS;
        break;
    case VALUE:
        world.version++;
        world.events += how & 3;
        break;
    case ANSWER:
        answer_question(how);
        break;
    case DEAF:
        e->deaf = how & 1;
        break;
    case END:
        e->ended = true;
        break;
    default:
        world.durable = world.lsn;
        world.failed |= how == 255;
        break;
    }
    step(stream);
}

static void check(const struct end *e)
{
    td_assert(e->written < sizeof e->first || memcmp(e->first, "HTTP/1.1 ", 9) == 0);
}

static void run(struct td_httpd *d, td_slice in)
{
    while (in.n >= 2) {
        unsigned op = in.p[0];
        td_slice payload = td_slice_head(td_slice_skip(in, 2), in.p[1]);
        in = td_slice_skip(in, 2 + payload.n);
        act(op >> 1 & 7, 1 + (int)(op & 1), payload);
        td_httpd_turn(d, world.now);
        td_assert(td_httpd_deadline(d) > world.now - 1);
        check(&seam.ends[0]);
        check(&seam.ends[1]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct td_serve_http_config config = {
        .connections_max = 2, .live_max = 1, .body_bytes_max = 3000, .write_bytes_max = 65536};
    static const struct td_hub_limits limits = {
        .nodes_max = 100, .subscriptions_max = 10, .retained_max = 10, .retained_bytes_max = 1000};
    static struct td_hub *hub;
    hub =
        hub != NULL ? hub : td_hub_new(&limits, 1); /* once a process: only its counters are read */
    struct td_parts parts = {.sys = &seam.sys, .guard = td_guard_new(), .version = "1", .hub = hub};
    parts.mqttd = (struct td_mqttd *)(void *)&parts; /* something */
    struct td_buf why;
    memset(&seam, 0, sizeof seam);
    memset(&world, 0, sizeof world);
    seam.sys = (struct td_sys){.wall = sys_wall,
                               .listen = sys_listen,
                               .accept = sys_accept,
                               .owner_set = sys_owner_set,
                               .address = sys_address,
                               .read = sys_read,
                               .write = sys_write,
                               .watch = sys_watch,
                               .shutdown = sys_shutdown,
                               .close = sys_close};
    td_buf_init(&seam.ends[0].in, 200000);
    td_buf_init(&seam.ends[1].in, 200000);
    td_buf_init(&why, 1000);
    struct td_serve_listener listener = {.address = "x", .kind = TD_SERVE_HTTP};
    struct td_serve_listeners listeners = {&listener, 1};
    td_assert(td_httpd_new(&parts, &listeners, &config, &parts.httpd, &why) == TD_OK);
    run(parts.httpd, (td_slice){data, n});
    td_httpd_shutdown(parts.httpd);
    td_assert(parts.httpd->stats.connections == 0 && parts.httpd->stats.live == 0);
    td_assert(parts.httpd->stats.unsent_bytes == 0 && parts.httpd->waiting == 0);
    td_assert(world.answer == NULL);
    td_httpd_free(parts.httpd);
    td_guard_free(parts.guard);
    td_buf_fini(&seam.ends[0].in);
    td_buf_fini(&seam.ends[1].in);
    td_buf_fini(&why);
    return 0;
}
