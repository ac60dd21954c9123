/* serve/mqtt: connections. Bytes are read into one buffer of the loop and fed from there; only a
 * packet whose end is missing is copied. What a turn produces for a connection is gathered and
 * written by one call when the turn ends; a write buffer is held only while it has bytes.
 *
 *   socket -> read -> td_mqtt_next() -> packet handler -> out -------> write, when the turn ends
 *                                            \-> answers (wait for their LSN) -^ */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

static struct td_sys *sys_of(const struct conn *c)
{
    return c->d->parts->sys;
}

/* ---- lists ---- */

static void touch(struct conn *c)
{
    if (!c->touched) {
        c->touched = true;
        c->next_touched = c->d->touched;
        c->d->touched = c;
    }
}

static void wait_later(struct conn *c)
{
    if (!c->waiting) {
        c->waiting = true;
        c->next_waiting = c->d->waiting;
        c->d->waiting = c;
    }
}

void td_mqttd_conn_wait(struct conn *c)
{
    if (c->stream >= 0) {
        wait_later(c);
        touch(c);
    }
}

/* ---- write buffers ---- */

static void out_give(struct conn *c)
{
    struct td_mqttd *d = c->d;
    c->out.n = c->out_sent = 0;
    if (c->out.p == NULL) {
        return;
    }
    if (d->spare_count < SPARE_MAX && c->out.cap <= SPARE_BYTES_MAX) {
        d->spare[d->spare_count++] = c->out; /* it stays counted as held */
    } else {
        d->memory.held -= c->out.cap;
        td_buf_fini(&c->out);
    }
    td_buf_init(&c->out, SIZE_MAX);
}

uint8_t *td_mqttd_conn_room(struct conn *c, size_t n)
{
    struct td_mqttd *d = c->d;
    if (c->out.p == NULL && d->spare_count > 0) {
        c->out = d->spare[--d->spare_count];
    }
    size_t before = c->out.cap;
    td_assert(td_buf_reserve(&c->out, n) == TD_OK);
    d->memory.held += c->out.cap - before;
    touch(c);
    return c->out.p + c->out.n;
}

static void packet_write(struct conn *c, const struct td_mqtt_packet *packet)
{
    size_t n = td_mqtt_packet_size(packet);
    td_assert(n > 0);
    conn_wrote(c, td_mqtt_packet_put(td_mqttd_conn_room(c, n), packet));
    c->d->stats.packets_out++;
}

/* ---- answers ---- */

static struct answer *answer_add(struct conn *c)
{
    struct answers *a = c->answers;
    if (a == NULL) {
        a = c->answers = td_alloc(sizeof *a);
        td_buf_init(&a->bytes, SIZE_MAX);
    }
    if (a->count == a->cap) {
        uint32_t cap = a->cap == 0 ? 8 : a->cap * 2;
        struct answer *at = td_alloc(cap * sizeof *at);
        for (uint32_t i = 0; i < a->count; i++) {
            at[i] = a->at[(a->first + i) & (a->cap - 1)];
        }
        free(a->at);
        a->at = at;
        a->cap = cap;
        a->first = 0;
    }
    c->d->stats.acks_waiting++;
    wait_later(c);
    return &a->at[(a->first + a->count++) & (a->cap - 1)];
}

static void answers_free(struct conn *c)
{
    if (c->answers != NULL) {
        c->d->stats.acks_waiting -= c->answers->count;
        td_buf_fini(&c->answers->bytes);
        free(c->answers->at);
        free(c->answers);
        c->answers = NULL;
    }
}

static bool goes_at_once(const struct conn *c, uint64_t lsn)
{
    return c->answers == NULL && td_stage_done(c->d->parts, lsn);
}

void td_mqttd_conn_answer(struct conn *c, uint64_t lsn, const struct td_mqtt_packet *packet)
{
    if (td_mqtt_packet_size(packet) > c->m.peer_packet_bytes_max) {
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_PACKET_TOO_LARGE, "MQTT-3.1.2-24", c->d->now);
        return;
    }
    if (goes_at_once(c, lsn)) {
        packet_write(c, packet);
        return;
    }
    struct answer *a = answer_add(c);
    size_t n = td_mqtt_packet_size(packet);
    struct td_buf *bytes = &c->answers->bytes;
    td_assert(n > 0 && n <= UINT32_MAX && td_buf_reserve(bytes, n) == TD_OK);
    (void)td_mqtt_packet_put(bytes->p + bytes->n, packet);
    bytes->n += n;
    *a = (struct answer){.lsn = lsn, .bytes = (uint32_t)n, .type = packet->type};
}

static void ack_write(struct conn *c, uint8_t type, uint16_t id, uint8_t reason)
{
    conn_wrote(c, td_mqtt_ack(&c->m, td_mqttd_conn_room(c, TD_MQTT_ACK_MAX), type, id, reason));
    c->d->stats.packets_out++;
}

void td_mqttd_conn_ack(struct conn *c, uint64_t lsn, uint8_t type, uint16_t id, uint8_t reason)
{
    if (goes_at_once(c, lsn)) {
        ack_write(c, type, id, reason);
    } else {
        *answer_add(c) = (struct answer){.lsn = lsn, .id = id, .type = type, .reason = reason};
    }
}

static void answer_write(struct conn *c, const struct answer *a)
{
    if (a->bytes == 0) {
        ack_write(c, a->type, a->id, a->reason);
        return;
    }
    struct td_buf *bytes = &c->answers->bytes;
    conn_wrote(c, td_put_bytes(td_mqttd_conn_room(c, a->bytes), (td_slice){bytes->p, a->bytes}));
    td_buf_drop(bytes, a->bytes);
    c->d->stats.packets_out++;
}

/* Writes the answers whose LSN is durable, in order. */
static void answers_settle(struct conn *c, td_mono now)
{
    while (c->answers != NULL && c->answers->count > 0) {
        struct answer a = c->answers->at[c->answers->first];
        if (!td_stage_done(c->d->parts, a.lsn)) {
            return;
        }
        answer_write(c, &a);
        c->answers->first = (c->answers->first + 1) & (c->answers->cap - 1);
        c->answers->count--;
        c->d->stats.acks_waiting--;
        if (a.type == TD_MQTT_CONNACK) {
            td_mqttd_conn_opened(c, now);
        }
    }
    answers_free(c);
}

/* ---- closing ---- */

void td_mqttd_conn_close(struct conn *c, td_mono now)
{
    struct td_mqttd *d = c->d;
    if (c->stream < 0) {
        return;
    }
    if (c->session != NULL) {
        struct session *s = c->session;
        c->session = NULL;
        td_mqttd_session_offline(s, true, now);
    }
    td_mqttd_conn_login_drop(c);
    sys_of(c)->close(sys_of(c), c->stream);
    c->stream = -1;
    td_heap_set(&d->conn_timers, &c->timer, TD_NEVER);
    td_mqttd_half_done(c);
    td_mqttd_toll_end(c);
    answers_free(c);
    td_mqttd_conn_unlink(c);
    c->next = d->gone;
    d->gone = c;
}

/* Nothing more comes from this client; what is in out is its last. */
static void say_goodbye(struct conn *c, td_mono now)
{
    c->last_word = true;
    td_mqttd_half_done(c);
    answers_free(c);
    td_mqttd_conn_login_drop(c);
    if (c->session != NULL) {
        struct session *s = c->session;
        c->session = NULL;
        td_mqttd_session_offline(s, true, now);
    }
    td_heap_set(&c->d->conn_timers, &c->timer, td_mono_after(now, LAST_WORD_MS));
    touch(c);
}

void td_mqttd_conn_refuse(struct conn *c, uint8_t reason, const char *text, td_mono now)
{
    if (c->stream < 0 || c->last_word) {
        return;
    }
    uint8_t *p = td_mqttd_conn_room(c, TD_MQTT_WORD_MAX);
    size_t n = td_mqtt_word(&c->m, reason, text, p);
    c->out.n += n;
    c->d->stats.packets_out += n > 0;
    say_goodbye(c, now);
}

void td_mqttd_conn_end(struct conn *c, td_mono now)
{
    if (c->ws != NULL) {
        say_goodbye(c, now);
    } else {
        td_mqttd_conn_close(c, now);
    }
}

static void in_free(struct conn *c)
{
    c->d->memory.held -= c->in.cap;
    td_buf_fini(&c->in);
    td_buf_init(&c->in, SIZE_MAX);
}

void td_mqttd_conn_buffers_drop(struct conn *c)
{
    in_free(c);
    if (c->stream < 0 && c->out.p != NULL) {
        c->d->memory.held -= c->out.cap;
        td_buf_fini(&c->out);
        td_buf_init(&c->out, SIZE_MAX);
        c->out_sent = 0;
    }
}

void td_mqttd_conn_free(struct conn *c)
{
    td_mqttd_conn_login_drop(c);
    td_mqttd_half_done(c);
    td_mqttd_toll_end(c);
    answers_free(c);
    td_mqttd_aliases_free(c);
    out_give(c);
    in_free(c);
    if (c->ws != NULL) {
        td_mqttd_ws_free(c->ws);
    }
    free(c->m.aliases);
    if (c->listener != NULL) {
        td_listener_unref(c->listener);
    }
    free(c);
}

/* A closed connection that still stands in a list of the turn stays until the list is through. */
void td_mqttd_conns_reap(struct td_mqttd *d)
{
    struct conn *list = d->gone;
    d->gone = NULL;
    while (list != NULL) {
        struct conn *c = list;
        list = c->next;
        if ((c->touched && d->touched != NULL) || (c->waiting && d->waiting != NULL) ||
            (c->moving && d->moving != NULL)) {
            c->next = d->gone;
            d->gone = c;
        } else {
            td_mqttd_conn_free(c);
        }
    }
}

/* ---- reading ---- */

static void aliases_lend(struct conn *c)
{
    size_t n = td_mqtt_aliases_want(&c->m);
    td_mqtt_aliases_lend(&c->m, td_realloc(c->m.aliases, n), n);
}

static void protocol_error(struct conn *c, td_mono now)
{
    c->d->stats.protocol_errors++;
    td_mqttd_conn_refuse(c, c->m.reason, c->m.rule, now);
}

/* It has sent much while memory is short. */
static inline bool too_loud(const struct conn *c)
{
    return c->look_bytes > c->d->memory.read_max && c->look == c->d->memory.look;
}

/* Answers that wait, or replies the client does not read: then it has to wait as well. */
static bool must_stop(const struct conn *c)
{
    return c->held || too_loud(c) ||
           (c->answers != NULL &&
            c->answers->count >= (uint32_t)c->d->limits.receive_max + ANSWERS_MORE) ||
           (c->blocked && conn_unsent(c) >= WRITE_HIGH_BYTES) ||
           (c->toll != NULL && c->toll->until != 0) ||
           (c->session != NULL && td_mqttd_retained_many(c->session)) ||
           td_stage_pressure(c->d->parts);
}

static void watch(struct conn *c)
{
    unsigned ready = (c->stopped ? 0u : TD_SYS_READ) | (c->blocked ? TD_SYS_WRITE : 0u);
    sys_of(c)->watch(sys_of(c), c->stream, ready);
}

static void stop_reading(struct conn *c)
{
    if (!c->stopped) {
        c->stopped = true;
        watch(c);
        wait_later(c);
    }
}

/* Handles the whole packets at the front of *in, as far as the connection wants any. */
static void feed(struct conn *c, td_slice *in, td_mono now)
{
    struct td_mqtt_packet packet;
    while (c->stream >= 0 && !c->last_word) {
        if (must_stop(c)) {
            stop_reading(c);
            return;
        }
        const td_slice whole = *in;
        switch (td_mqtt_next(&c->m, in, now, &packet)) {
        case TD_MQTT_GOT_NONE:
            return;
        case TD_MQTT_GOT_PACKET:
            if (td_mqttd_conn_moves(c, &packet)) {
                *in = whole;
                return;
            }
            c->d->stats.packets_in++;
            td_mqttd_packet_handle(c, &packet, now);
            break;
        case TD_MQTT_GOT_ERROR:
            protocol_error(c, now);
            return;
        case TD_MQTT_GOT_ALIASES:
            aliases_lend(c);
            break;
        }
    }
}

/* Makes room for n bytes more of a packet whose end has not come. False: the hub's memory is full,
 * and the connection on its way out. */
static bool in_room(struct conn *c, size_t n, td_mono now)
{
    struct td_mqttd *d = c->d;
    size_t before = c->in.cap;
    if (c->in.cap - c->in.n < n && !td_mqttd_memory_has(d, n)) {
        d->stats.memory_closed++;
        td_mqttd_conn_refuse(c, TD_MQTT_REASON_QUOTA_EXCEEDED, "the hub's memory is full", now);
        in_free(c);
        return false;
    }
    td_assert(td_buf_reserve(&c->in, n) == TD_OK);
    d->memory.held += c->in.cap - before;
    return true;
}

/* Keeps what was not fed. `rest` may stand in c->in itself. */
static void keep_rest(struct conn *c, td_slice rest)
{
    if (rest.n == 0 || c->stream < 0 || c->last_word) {
        in_free(c);
    } else if (c->in.n > 0) {
        td_buf_drop(&c->in, c->in.n - rest.n);
    } else if (in_room(c, rest.n, c->d->now)) {
        (void)td_buf_add(&c->in, rest); /* there is room */
    }
}

static void feed_kept(struct conn *c, td_mono now)
{
    td_slice in = td_buf_slice(&c->in);
    feed(c, &in, now);
    keep_rest(c, in);
}

/* Counts what was read, and takes off what stands around MQTT's bytes in p[0..n); gives how many
 * there are now. */
static inline size_t unframed(struct conn *c, uint8_t *p, size_t n)
{
    c->d->stats.bytes_in += n;
    c->look_bytes = c->look == c->d->memory.look ? c->look_bytes + (uint32_t)n : (uint32_t)n;
    c->look = c->d->memory.look;
    if (c->session != NULL) {
        c->session->tally.bytes_in += n;
    }
    return c->ws == NULL ? n : td_mqttd_ws_in(c->ws, p, n);
}

/* Reads once. A connection with the beginning of a packet reads behind it, so that the end of a
 * large packet is never copied twice; memory follows what came, not what was announced. */
static enum td_err read_some(struct conn *c, td_mono now)
{
    size_t got = 0;
    struct td_mqttd *d = c->d;
    enum td_err err;
    if (c->in.n == 0) {
        err = sys_of(c)->read(sys_of(c), c->stream, d->read, READ_BYTES, &got);
        if (err == TD_OK) {
            td_slice in = {d->read, unframed(c, d->read, got)};
            feed(c, &in, now);
            keep_rest(c, in);
        }
        return err;
    }
    size_t more = c->in.n < 512 ? 512 : c->in.n < READ_BYTES ? c->in.n : READ_BYTES;
    if (!in_room(c, more, now)) {
        return TD_OK;
    }
    err = sys_of(c)->read(sys_of(c), c->stream, c->in.p + c->in.n, c->in.cap - c->in.n, &got);
    if (err == TD_OK) {
        c->in.n += unframed(c, c->in.p + c->in.n, got);
        feed_kept(c, now);
    }
    return err;
}

/* The WebSocket was closed, or its frames were wrong: MQTT's last word is not for such an end. */
static void ended_by_ws(struct conn *c, td_mono now)
{
    if (c->ws != NULL && c->ws->over && c->stream >= 0 && !c->last_word) {
        c->d->stats.protocol_errors += c->ws->code != TD_WS_CODE_NORMAL;
        say_goodbye(c, now);
    }
}

static void drain(struct conn *c, td_mono now)
{
    size_t got;
    enum td_err err = sys_of(c)->read(sys_of(c), c->stream, c->d->read, READ_BYTES, &got);
    if (err != TD_OK && err != TD_EAGAIN) {
        td_mqttd_conn_close(c, now);
    }
}

/* Why a client with TLS does not get in, nobody else can say; once a second is enough. */
static void tls_failed(struct conn *c, td_mono now)
{
    struct td_mqttd *d = c->d;
    struct td_sys_peer peer;
    char address[64];
    sys_of(c)->peer(sys_of(c), c->stream, &peer);
    if (c->session != NULL || peer.refused[0] == '\0') {
        return;
    }
    d->stats.tls_failures++;
    if (now >= d->tls_told_at) {
        d->tls_told_at = td_mono_after(now, TLS_TOLD_MS);
        sys_of(c)->address(sys_of(c), c->stream, true, address);
        td_log("mqtt", TD_LOG_WARN, "tls_failed", "peer=%s why=\"%s\" total=%llu", address,
               peer.refused, (unsigned long long)d->stats.tls_failures);
    }
}

void td_mqttd_conns_recheck(struct td_mqttd *d, td_mono now)
{
    struct td_sys *sys = d->parts->sys;
    struct td_sys_peer peer;
    for (struct conn *c = d->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (c->listener->is.tls == NULL || c->stream < 0) {
            continue;
        }
        sys->peer(sys, c->stream, &peer);
        if (peer.withdrawn) {
            td_mqttd_conn_refuse(c, TD_MQTT_REASON_NOT_AUTHORIZED, "the certificate is withdrawn",
                                 now);
        }
    }
}

static void conn_ready(struct td_owner *owner, const struct td_sys_event *event, td_mono now)
{
    struct conn *c = TD_CONTAINER(owner, struct conn, owner);
    c->d->now = now;
    if ((event->ready & TD_SYS_WRITE) != 0) {
        c->blocked = false;
        touch(c);
        if (c->session != NULL) {
            td_mqttd_session_pump_later(c->session);
        }
    }
    if ((event->ready & (TD_SYS_READ | TD_SYS_HANGUP)) == 0) {
        return;
    }
    if (c->last_word) {
        drain(c, now);
        return;
    }
    if (c->moving) {
        return; /* its loop reads on */
    }
    if (c->stopped && (event->ready & TD_SYS_HANGUP) == 0) {
        return;
    }
    enum td_err err = read_some(c, now);
    if (err == TD_OK) {
        ended_by_ws(c, now);
        touch(c);
    } else if (err != TD_EAGAIN) {
        if (c->listener->is.tls != NULL) {
            tls_failed(c, now);
        }
        td_mqttd_conn_close(c, now);
    }
}

/* ---- accepting ---- */

static struct conn *conn_new(struct td_mqttd *d, struct td_listener *l, int stream, td_mono now)
{
    struct conn *c = td_alloc(sizeof *c);
    c->owner.ready = conn_ready;
    c->d = d;
    c->listener = td_listener_ref(l);
    c->stream = stream;
    td_mqttd_conn_link(c);
    td_buf_init(&c->in, SIZE_MAX);
    td_buf_init(&c->out, SIZE_MAX);
    td_mqtt_init(&c->m, TD_MQTT_SERVER, &d->limits, now);
    td_mqttd_half_add(c, now);
    sys_of(c)->owner_set(sys_of(c), stream, &c->owner);
    d->stats.connections_total++;
    if (l->is.websocket || l->is.kind != TD_SERVE_MQTT) {
        char local[64];
        sys_of(c)->address(sys_of(c), stream, false, local);
        c->ws = td_mqttd_ws_new(&l->is.origins, local);
    }
    return c;
}

void td_mqttd_conn_begin(struct conn *c, td_mono now)
{
    td_mqtt_init(&c->m, TD_MQTT_SERVER, &c->d->limits, now);
    td_mqttd_conn_timer_set(c);
    touch(c);
    feed_kept(c, now);
}

void td_mqttd_conn_accept(struct td_owner *listener, const struct td_sys_event *event, td_mono now)
{
    struct td_listener *l = TD_CONTAINER(listener, struct td_listener, owner);
    struct td_mqttd *d = l->of;
    struct td_sys *sys = d->parts->sys;
    int stream;
    d->now = now;
    while (sys->accept(sys, event->stream, &l->owner, &stream) == TD_OK) {
        if (td_mqttd_has_room(d)) {
            (void)conn_new(d, l, stream, now);
        } else {
            d->stats.connections_refused++;
            sys->close(sys, stream);
        }
    }
}

bool td_mqttd_has_room(const struct td_mqttd *d)
{
    const struct td_loop *l = d->parts->loop;
    return (l == NULL ? d->stats.connections : td_loop_conns(l)) < d->config.connections_max;
}

void td_mqttd_upgrade(struct td_mqttd *d, struct td_listener *listener, int stream, td_slice key,
                      td_slice rest, td_mono now)
{
    struct conn *c = conn_new(d, listener, stream, now);
    d->now = now;
    td_mqttd_ws_open(c->ws, key);
    td_assert(rest.n <= READ_BYTES);
    td_put_bytes(d->read, rest);
    td_slice in = {d->read, unframed(c, d->read, rest.n)};
    feed(c, &in, now);
    keep_rest(c, in);
    ended_by_ws(c, now);
    touch(c);
    watch(c);
}

/* ---- the turn ---- */

void td_mqttd_conn_timer_set(struct conn *c)
{
    if (!c->last_word) {
        td_heap_set(&c->d->conn_timers, &c->timer, td_mqtt_deadline(&c->m));
    }
}

void td_mqttd_conns_expire(struct td_mqttd *d, td_mono now)
{
    for (struct td_timer *t; (t = td_heap_first(&d->conn_timers)) != NULL && t->at <= now;) {
        struct conn *c = TD_CONTAINER(t, struct conn, timer);
        if (c->last_word) {
            td_mqttd_conn_close(c, now);
        } else if (c->half != NULL && c->half->host == NULL && !td_mqttd_half_wait(c)) {
            d->stats.half_open_closed++;
            td_mqttd_conn_close(c, now);
        } else if (td_mqtt_expired(&c->m, now)) {
            d->stats.keepalive_timeouts++;
            td_mqttd_conn_refuse(c, c->m.reason, c->m.rule, now);
        } else {
            td_mqttd_conn_timer_set(c);
        }
    }
}

void td_mqttd_conns_settle(struct td_mqttd *d, td_mono now)
{
    struct conn *c = d->waiting;
    d->waiting = NULL;
    while (c != NULL) {
        struct conn *next = c->next_waiting;
        c->waiting = false;
        if (c->stream >= 0 && !c->last_word) {
            answers_settle(c, now);
            if (c->stopped && !must_stop(c)) {
                c->stopped = false;
                watch(c);
                feed_kept(c, now);
            }
        }
        if (c->stream >= 0 && (c->answers != NULL || c->stopped)) {
            wait_later(c);
        }
        c = next;
    }
}

/* Is there something to be written? */
static inline bool pending(const struct conn *c)
{
    return c->ws == NULL ? conn_unsent(c) > 0 : td_mqttd_ws_pending(c->ws, conn_unsent(c));
}

static void written(struct conn *c)
{
    out_give(c);
    if (c->last_word && !c->draining) {
        c->draining = true;
        sys_of(c)->shutdown(sys_of(c), c->stream);
    }
}

/* So many bytes of MQTT are on their way, and the socket takes no more or there are no more. */
static void flushed(struct conn *c, size_t sent)
{
    c->out_sent += sent;
    c->d->stats.bytes_out += sent;
    if (c->session != NULL) {
        c->session->tally.bytes_out += sent;
    }
    c->blocked = pending(c);
    if (!c->blocked) {
        written(c);
        if (c->session != NULL && c->session->sending.first != NULL) {
            td_mqttd_session_pump_later(c->session);
        }
    }
    watch(c);
}

/* A WebSocket's bytes come in many parts, so each is written to by itself. */
static void flush_ws(struct conn *c, td_mono now)
{
    struct td_sys *sys = sys_of(c);
    size_t sent = 0;
    enum td_err err = TD_OK;
    if (c->last_word) {
        td_mqttd_ws_close(c->ws, TD_WS_CODE_NORMAL);
    }
    while (err == TD_OK && td_mqttd_ws_pending(c->ws, conn_unsent(c) - sent)) {
        td_slice out = {c->out.p + c->out_sent + sent, conn_unsent(c) - sent}, parts[2];
        size_t n = td_mqttd_ws_parts(c->ws, out, parts), all = 0;
        err = sys->write(sys, c->stream, parts, n, &all);
        sent += td_mqttd_ws_sent(c->ws, all);
    }
    if (err != TD_OK && err != TD_EAGAIN) {
        td_mqttd_conn_close(c, now);
    } else {
        flushed(c, sent);
    }
}

/* Takes those that have something to write off the front of the list. The others are done here:
 * they go their own way, were touched for nothing, or for the end of their last word. */
static size_t gather(struct conn **list, struct td_sys_write *w, struct conn **of, td_mono now)
{
    size_t n = 0;
    while (*list != NULL && n < WRITES_MAX) {
        struct conn *c = *list;
        *list = c->next_touched;
        c->touched = false;
        if (c->stream < 0 || c->blocked) {
            continue;
        }
        if (c->ws != NULL) {
            flush_ws(c, now);
        } else if (conn_unsent(c) > 0) {
            of[n] = c;
            w[n++] = (struct td_sys_write){.stream = c->stream,
                                           .bytes = {c->out.p + c->out_sent, conn_unsent(c)}};
        } else if (c->last_word) {
            written(c);
        }
    }
    return n;
}

/* What became of a connection's write. */
static void wrote(struct conn *c, const struct td_sys_write *w, td_mono now)
{
    if (c->stream < 0) {
        return; /* closed meanwhile */
    }
    if (w->err != TD_OK && w->err != TD_EAGAIN) {
        td_mqttd_conn_close(c, now);
    } else {
        flushed(c, w->err == TD_OK ? w->sent : 0);
    }
}

void td_mqttd_conns_flush(struct td_mqttd *d, td_mono now)
{
    struct td_sys *sys = d->parts->sys;
    struct td_sys_write writes[WRITES_MAX];
    struct conn *of[WRITES_MAX], *list = d->touched;
    d->touched = NULL; /* whom the end of another one touches, comes with the next flush */
    for (size_t n; (n = gather(&list, writes, of, now)) > 0;) {
        sys->write_many(sys, writes, n);
        for (size_t i = 0; i < n; i++) {
            wrote(of[i], &writes[i], now);
        }
    }
}
