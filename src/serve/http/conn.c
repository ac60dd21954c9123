/* serve/http: connections. One request at a time: what comes behind it stays in the socket until it
 * is answered, so a client that does not read cannot make us hold more than one answer for it.
 *
 *   HEAD --head--> BODY --body--> handle --> ANSWER --written--> HEAD
 *                                   `--> WAIT --store--> ANSWER
 *
 * Every phase has a deadline: 10 s for a head, 10 s between bytes of a body and 60 s for all of it,
 * 10 s without progress while writing. */
#include <stdlib.h>

#include "serve/http/inside.h"
#include "serve/stage.h"
#include "serve/mqtt/mqttd.h"

enum {
    SILENT_MS = 10000, /* a head, the next bytes of a body, the next bytes written */
    BODY_MS = 60000,   /* a whole body */
    IDLE_MS = 60000,   /* between requests */
    WAIT_MS = 30000,   /* for the store; its own deadline is earlier */
    LIVE_MS = 30000,   /* a feed that cannot be written to */
    LINGER_MS = 2000
};

static struct td_sys *sys_of(const struct td_httpd_conn *c)
{
    return c->d->parts->sys;
}

/* ---- birth and death ---- */

void td_httpd_conn_until(struct td_httpd_conn *c, td_mono at)
{
    td_heap_set(&c->d->timers, &c->timer, at);
}

static void conn_free(struct td_httpd_conn *c)
{
    struct td_httpd *d = c->d;
    td_httpd_live_free(c);
    td_httpd_who_drop(c);
    d->stats.unsent_bytes -= td_httpd_conn_unsent(c);
    d->waiting -= c->phase == TD_HTTPD_WAIT && !c->asking;
    d->stats.connections--;
    td_heap_set(&d->timers, &c->timer, TD_NEVER);
    *c->link = c->next;
    if (c->next != NULL) {
        c->next->link = c->link;
    }
    td_buf_fini(&c->in);
    td_buf_fini(&c->body);
    td_buf_fini(&c->out);
    td_listener_unref(c->listener);
    free(c);
}

void td_httpd_conn_close(struct td_httpd_conn *c)
{
    if (c->phase == TD_HTTPD_WAIT && c->asking && c->login == NULL) {
        td_store_cancel(c->d->parts->store, c->ticket);
    }
    sys_of(c)->close(sys_of(c), c->stream);
    conn_free(c);
}

static void conn_ready(struct td_owner *owner, const struct td_sys_event *event, td_mono now);

static void conn_new(struct td_httpd *d, struct td_listener *l, int stream, td_mono now)
{
    struct td_httpd_conn *c = td_alloc(sizeof *c);
    c->owner.ready = conn_ready;
    c->d = d;
    c->listener = td_listener_ref(l);
    c->stream = stream;
    td_http_init(&c->reader, TD_HTTP_SERVER, d->config.body_bytes_max);
    td_buf_init(&c->in, TD_HTTPD_IN_BYTES);
    td_buf_init(&c->body, d->config.body_bytes_max);
    td_buf_init(&c->out, SIZE_MAX); /* its bound is looked at where answers and frames are queued */
    c->next = d->first;
    c->link = &d->first;
    if (c->next != NULL) {
        c->next->link = &c->next;
    }
    d->first = c;
    d->stats.connections++;
    d->stats.connections_total++;
    d->parts->sys->owner_set(d->parts->sys, stream, c);
    td_httpd_conn_until(c, td_mono_after(now, SILENT_MS));
}

static void listener_ready(struct td_owner *owner, const struct td_sys_event *event, td_mono now)
{
    struct td_listener *l = TD_CONTAINER(owner, struct td_listener, owner);
    struct td_httpd *d = l->of;
    struct td_sys *sys = d->parts->sys;
    int stream;
    while (sys->accept(sys, event->stream, l, &stream) == TD_OK) {
        if (d->stats.connections >= d->config.connections_max) {
            d->stats.refused++;
            sys->close(sys, stream);
            continue;
        }
        conn_new(d, l, stream, now);
    }
}

/* ---- writing ---- */

size_t td_httpd_conn_unsent(const struct td_httpd_conn *c)
{
    return c->out.n - c->out_sent + c->tail.n;
}

/* Reads only while a request may come in; writes are watched only while bytes wait. */
static void watch(struct td_httpd_conn *c)
{
    bool reads = c->phase != TD_HTTPD_WAIT && c->phase != TD_HTTPD_ANSWER;
    unsigned ready =
        (reads ? TD_SYS_READ : 0U) | (td_httpd_conn_unsent(c) > 0 ? (unsigned)TD_SYS_WRITE : 0U);
    sys_of(c)->watch(sys_of(c), c->stream, ready);
}

static void sent(struct td_httpd_conn *c, size_t n)
{
    size_t of_out = n < c->out.n - c->out_sent ? n : c->out.n - c->out_sent;
    c->out_sent += of_out;
    c->tail = td_slice_skip(c->tail, n - of_out);
    c->d->stats.unsent_bytes -= n;
    if (c->out_sent == c->out.n) {
        td_buf_fini(&c->out); /* held only while it has bytes */
        c->out_sent = 0;
    }
}

bool td_httpd_conn_write(struct td_httpd_conn *c, td_mono now)
{
    bool any = false;
    while (td_httpd_conn_unsent(c) > 0) {
        td_slice parts[] = {{c->out.p + c->out_sent, c->out.n - c->out_sent}, c->tail};
        size_t first = parts[0].n == 0 ? 1 : 0, n = 0;
        enum td_err err =
            sys_of(c)->write(sys_of(c), c->stream, parts + first, 2 - first - (c->tail.n == 0), &n);
        if (err == TD_EAGAIN || (err == TD_OK && n == 0)) {
            break;
        }
        if (err != TD_OK) {
            return false;
        }
        sent(c, n);
        any = true;
    }
    if (td_httpd_conn_unsent(c) == 0) {
        if (c->phase == TD_HTTPD_LIVE && td_httpd_live_watching(c)) {
            td_httpd_conn_until(c, TD_NEVER); /* before it watches, the deadline stands */
        }
    } else if (any || c->timer.place == 0) {
        td_httpd_conn_until(c, td_mono_after(now, c->phase == TD_HTTPD_LIVE ? LIVE_MS : SILENT_MS));
    }
    watch(c);
    return true;
}

/* ---- reading ---- */

/* The bytes of `in` that nothing has used yet. */
static td_slice unread(const struct td_httpd_conn *c)
{
    return td_slice_skip(td_buf_slice(&c->in), c->in_used);
}

static void protocol_problem(struct td_httpd_conn *c)
{
    c->close_after = true; /* where the next request would begin is unknown */
    c->head.method = (td_slice){NULL, 0};
    td_httpd_problem(c, &(struct td_httpd_problem){.status = c->reader.status,
                                                   .thing = "request",
                                                   .rule = c->reader.rule,
                                                   .remedy = "send HTTP/1.1 as RFC 9112 has it"});
}

static void head_came(struct td_httpd_conn *c, td_mono now)
{
    c->in_used = c->head.bytes;
    c->d->stats.requests++;
    /* A refusal comes before the body is read, so it is the last answer. */
    c->close_after = !c->head.keep_alive || c->head.body != TD_HTTP_BODY_NONE;
    if (!td_httpd_route(c)) {
        return;
    }
    c->close_after = !c->head.keep_alive;
    c->phase = TD_HTTPD_BODY;
    c->body_ends = td_mono_after(now, BODY_MS);
    td_httpd_conn_until(c, td_mono_after(now, SILENT_MS));
    if (c->head.expect_continue) {
        td_httpd_queue(c, &(struct td_http_send){.status = 100}, (td_slice){NULL, 0},
                       (td_slice){NULL, 0});
    }
}

/* True: go on with the next phase. */
static bool step_head(struct td_httpd_conn *c, td_mono now)
{
    td_slice in = unread(c);
    enum td_http_got got = td_http_head_next(&c->reader, in, &c->head);
    if (got == TD_HTTP_BROKEN) {
        protocol_problem(c);
    } else if (got == TD_HTTP_HEAD) {
        head_came(c, now);
    }
    return got != TD_HTTP_MORE;
}

static bool step_body(struct td_httpd_conn *c, td_mono now)
{
    td_slice in = unread(c), piece;
    enum td_http_got got;
    while ((got = td_http_body_next(&c->reader, &in, &piece)) == TD_HTTP_PIECE) {
        td_assert(td_buf_add(&c->body, piece) == TD_OK); /* the reader keeps the bound */
    }
    c->in_used = c->in.n - in.n;
    if (got == TD_HTTP_MORE) { /* all of it is used: make room behind the head */
        c->in.n = c->in_used = c->head.bytes;
        return false;
    }
    if (got == TD_HTTP_BROKEN) {
        protocol_problem(c);
    } else {
        td_httpd_conn_until(c, td_mono_after(now, WAIT_MS));
        td_httpd_handle(c, now);
    }
    return true;
}

/* The answer is written: the next request, or the end. */
static void request_done(struct td_httpd_conn *c, td_mono now)
{
    td_buf_fini(&c->body);
    td_httpd_who_drop(c);
    td_buf_drop(&c->in, c->in_used);
    c->in_used = 0;
    c->phase = TD_HTTPD_HEAD;
    td_httpd_conn_until(c, td_mono_after(now, c->in.n > 0 ? SILENT_MS : IDLE_MS));
    if (c->in.n == 0) {
        td_buf_fini(&c->in);
    }
    if (c->close_after) { /* a close now would throw away what the client has not read yet */
        c->phase = TD_HTTPD_LINGER;
        sys_of(c)->shutdown(sys_of(c), c->stream);
        td_httpd_conn_until(c, td_mono_after(now, LINGER_MS));
    }
}

/* Goes through phases as far as bytes and answers reach. False: broken. */
static bool advance(struct td_httpd_conn *c, td_mono now)
{
    bool more = true;
    while (more) {
        switch (c->phase) {
        case TD_HTTPD_HEAD:
            more = step_head(c, now);
            break;
        case TD_HTTPD_BODY:
            more = step_body(c, now);
            break;
        case TD_HTTPD_ANSWER:
            if (!td_httpd_conn_write(c, now)) {
                return false;
            }
            more = td_httpd_conn_unsent(c) == 0;
            if (more) {
                request_done(c, now);
            }
            break;
        case TD_HTTPD_LIVE: {
            td_slice in = unread(c);
            c->in_used = c->in.n;
            if (in.n > 0 && !td_httpd_live_feed(c, c->in.p + c->in_used - in.n, in.n, now)) {
                return false;
            }
            td_buf_clear(&c->in);
            c->in_used = 0;
            more = c->phase != TD_HTTPD_LIVE;
            break;
        }
        case TD_HTTPD_MQTT:
            return true; /* the caller hands it over */
        case TD_HTTPD_LINGER:
            td_buf_clear(&c->in);
            c->in_used = 0;
            more = false;
            break;
        case TD_HTTPD_WAIT:
            more = false;
            break;
        }
    }
    return td_httpd_conn_write(c, now);
}

/* The socket goes to MQTT; c is gone. */
static void hand_over(struct td_httpd_conn *c, td_mono now)
{
    td_mqttd_upgrade(c->d->parts->mqttd, c->listener, c->stream, c->upgrade_key, unread(c), now);
    conn_free(c);
}

void td_httpd_conn_step(struct td_httpd_conn *c, td_mono now)
{
    if (!advance(c, now)) {
        td_httpd_conn_close(c);
    } else if (c->phase == TD_HTTPD_MQTT) {
        hand_over(c, now);
    }
}

/* False: the other side is gone or we are through with it. */
static bool read_some(struct td_httpd_conn *c, td_mono now)
{
    size_t got;
    if (td_buf_reserve(&c->in, TD_HTTPD_IN_BYTES - c->in.n) != TD_OK) {
        return false;
    }
    size_t room = c->in.cap - c->in.n;
    td_assert(room > 0); /* every phase that reads uses up what it has read */
    enum td_err err = sys_of(c)->read(sys_of(c), c->stream, c->in.p + c->in.n, room, &got);
    if (err == TD_EAGAIN) {
        return true;
    }
    if (err != TD_OK) {
        return false;
    }
    if (c->phase == TD_HTTPD_HEAD && c->in.n == 0) {
        td_httpd_conn_until(c, td_mono_after(now, SILENT_MS)); /* of this head */
    } else if (c->phase == TD_HTTPD_BODY) {
        td_httpd_conn_until(c, td_mono_min(c->body_ends, td_mono_after(now, SILENT_MS)));
    }
    c->in.n += got;
    return true;
}

static void conn_ready(struct td_owner *owner, const struct td_sys_event *event, td_mono now)
{
    struct td_httpd_conn *c = (struct td_httpd_conn *)(void *)owner;
    bool reads = c->phase != TD_HTTPD_WAIT && c->phase != TD_HTTPD_ANSWER;
    bool fine = (event->ready & TD_SYS_HANGUP) == 0;
    if (fine && (event->ready & TD_SYS_READ) && reads) {
        fine = read_some(c, now);
    }
    if (fine) {
        td_httpd_conn_step(c, now);
    } else {
        td_httpd_conn_close(c);
    }
}

/* ---- deadlines ---- */

static void conn_expire(struct td_httpd_conn *c, td_mono now)
{
    bool told = (c->phase == TD_HTTPD_HEAD && c->in.n > 0) || c->phase == TD_HTTPD_BODY;
    c->d->stats.timeouts += c->phase != TD_HTTPD_LINGER && c->phase != TD_HTTPD_HEAD;
    c->d->stats.timeouts += c->phase == TD_HTTPD_HEAD && c->in.n > 0;
    if (!told) {
        td_httpd_conn_close(c);
        return;
    }
    c->head.method = (td_slice){NULL, 0};
    c->close_after = true;
    td_httpd_problem(c,
                     &(struct td_httpd_problem){
                         .status = 408,
                         .thing = "request",
                         .rule = "a head must be here within 10 s, a body must not pause for 10 s",
                         .remedy = "send it in one go"});
    td_httpd_conn_until(c, td_mono_after(now, SILENT_MS));
    td_httpd_conn_step(c, now);
}

static void commits_through(struct td_httpd *d, td_mono now)
{
    const struct td_parts *p = d->parts;
    for (struct td_httpd_conn *c = d->first, *next; c != NULL && d->waiting > 0; c = next) {
        next = c->next;
        if (c->phase == TD_HTTPD_WAIT && !c->asking &&
            (td_stage_done(p, c->lsn) || td_stage_failed(p))) {
            td_httpd_committed(c);
            td_httpd_conn_step(c, now);
        }
    }
}

void td_httpd_turn(struct td_httpd *d, td_mono now)
{
    struct td_timer *t;
    while ((t = td_heap_first(&d->timers)) != NULL && t->at <= now) {
        conn_expire(TD_CONTAINER(t, struct td_httpd_conn, timer), now);
    }
    commits_through(d, now);
    td_httpd_live_turn(d, now);
    for (struct td_httpd_conn *c = d->first, *next; d->woken && c != NULL; c = next) {
        next = c->next;
        if (c->phase == TD_HTTPD_ANSWER) {
            td_httpd_conn_step(c, now);
        }
    }
    d->woken = false;
}

td_mono td_httpd_deadline(const struct td_httpd *d)
{
    const struct td_timer *t = td_heap_first(&d->timers);
    return td_mono_min(t != NULL ? t->at : TD_NEVER, td_httpd_live_deadline(d));
}

/* ---- the door ---- */

enum td_err td_httpd_new(struct td_parts *parts, const struct td_serve_listeners *listeners,
                         const struct td_serve_http_config *config, struct td_httpd **out,
                         struct td_buf *why)
{
    struct td_httpd *d = td_alloc(sizeof *d);
    struct td_listener_plan plan = {parts->sys, TD_SERVE_HTTP, listener_ready, d};
    enum td_err err = td_listeners_open(&plan, listeners, &d->listeners, why);
    if (err != TD_OK) {
        td_listeners_close(parts->sys, &d->listeners);
        free(d);
        return err;
    }
    d->parts = parts;
    d->config = *config;
    d->slice_at = d->beat_at = TD_NEVER;
    td_heap_init(&d->timers);
    td_buf_init(&d->scratch, config->write_bytes_max);
    *out = d;
    return TD_OK;
}

const struct td_httpd_stats *td_httpd_stats(const struct td_httpd *d)
{
    return &d->stats;
}

bool td_httpd_address(const struct td_httpd *d, size_t i, char out[64])
{
    return td_listeners_address(d->parts->sys, d->listeners, i, out);
}

void td_httpd_shutdown(struct td_httpd *d)
{
    while (d->first != NULL) {
        /* It moves d->first on by c->link, which the analyzer does not follow. */
        td_httpd_conn_close(d->first); // NOLINT(clang-analyzer-unix.Malloc)
    }
    td_listeners_close(d->parts->sys, &d->listeners);
}

void td_httpd_free(struct td_httpd *d)
{
    while (d->first != NULL) {
        conn_free(d->first); // NOLINT(clang-analyzer-unix.Malloc)
    }
    td_listeners_free(&d->listeners);
    td_heap_fini(&d->timers);
    td_buf_fini(&d->scratch);
    if (d->verdicts != NULL) {
        td_guard_cache_free(d->verdicts);
    }
    free(d);
}
