/* flow: messages from publishers to subscribers.
 *
 *   pairs    publisher i -> subscriber i, one topic each
 *   fanout   one publisher -> all subscribers
 *   fanin    all publishers -> one subscriber with a wildcard
 *   wild     many wildcard filters, spread over the subscribers; each topic matches one of them,
 *            those of one write all of the same subscriber
 *
 * The load is open as far as a window allows: a publisher sends its next batch (one send of
 * `batch` messages) when at most window - batch of its messages have not come through (delivered
 * to all, and with QoS 1 and 2 acknowledged). So nothing needs to be dropped, and a server that
 * merges writes is not helped by a queue. With window = batch each pair goes in lockstep. Or it is
 * paced: one message each 1/rate s, publishers in turn, for latencies at a given load.
 *
 * Each payload carries publisher, number and sending time. A subscriber wants the numbers of each
 * publisher one after another: a gap is a loss, a step back a repeat; both end the run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum {
    JSON_P = 5,
    JSON_S = 15,
    JSON_T = 30,
    JSON_BYTES = 47, /* where the numbers begin, see stamp() */
    TOPIC_BYTES = 64,
    FILTERS_A_PACKET = 100,
    STALL_SECONDS = 5,
    STEPS = 16, /* of the histogram, per power of two */
    BUCKETS = 48 * STEPS
};

static enum shape shape;
static struct conn *pubs, *subs;
static struct bytes batch, reply; /* scratch: what goes out next */
static uint32_t *next_seq;        /* of each stream, see stream_of() */
static uint32_t *want_seq;
static unsigned *turn;       /* wild: messages so far, for choosing subscriber and topic */
static struct conn **credit; /* publishers that may send */
static unsigned credit_n;
static bool sending;
static uint64_t delivered, delivered_bytes;
static int64_t turn_now;
static int64_t due_at; /* paced: when the next message is to leave */
static unsigned due_pub;
static uint64_t histogram[BUCKETS], latencies;

/* A stream has one sender and one order: in a wild run one per subscriber, else one per publisher
 * (at the receiving end a fan-out has one per subscriber). */
static unsigned stream_in(unsigned sub, unsigned pub)
{
    return shape == SHAPE_FANIN ? pub : sub;
}

static unsigned fan(void)
{
    return shape == SHAPE_FANOUT ? opt.subscribers : 1;
}

/* ---- latency ---- */

static void latency_add(int64_t ns)
{
    uint64_t v = ns < STEPS ? STEPS : (uint64_t)ns;
    unsigned top = 63 - (unsigned)__builtin_clzll(v);
    unsigned at = (top - 4) * STEPS + (unsigned)(v >> (top - 4) & (STEPS - 1));
    histogram[at < BUCKETS ? at : BUCKETS - 1]++;
    latencies++;
}

static double latency_us(double part)
{
    uint64_t below = 0, want = (uint64_t)(part * (double)latencies);
    unsigned at = 0;
    while (at + 1 < BUCKETS && (below += histogram[at]) <= want) {
        at++;
    }
    uint64_t v = (uint64_t)(STEPS + at % STEPS) << (at / STEPS);
    return (double)v / 1000.0;
}

/* ---- payloads ---- */

struct stamp {
    uint32_t pub, seq;
    int64_t at;
};

static void stamp_put(uint8_t *payload, const struct stamp *s)
{
    if (opt.form == PAYLOAD_BINARY) {
        memcpy(payload, s, sizeof *s); /* the same machine reads it */
        return;
    }
    char text[JSON_BYTES + 1];
    (void)snprintf(text, sizeof text, "{\"p\":%5u,\"s\":%10u,\"t\":%16lld}", s->pub, s->seq,
                   (long long)s->at);
    memcpy(payload, text, JSON_BYTES);
}

static uint64_t number_at(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] >= '0' && p[i] <= '9') {
            v = v * 10 + (uint64_t)(p[i] - '0');
        }
    }
    return v;
}

/* A rule's answer is {"s":<number>} on bench/out/<publisher>; it carries no time. */
static struct stamp stamp_ruled(const struct frame *f)
{
    return (struct stamp){(uint32_t)number_at(f->topic, f->topic_n),
                          (uint32_t)number_at(f->payload, f->payload_n), read_at_ns};
}

static struct stamp stamp_get(const struct frame *f)
{
    struct stamp s;
    if (opt.ruled) {
        return stamp_ruled(f);
    }
    if (f->payload_n != opt.payload_bytes) {
        fail("a payload of %zu bytes came, %u were sent", f->payload_n, opt.payload_bytes);
    }
    if (opt.form == PAYLOAD_BINARY) {
        memcpy(&s, f->payload, sizeof s);
        return s;
    }
    return (struct stamp){(uint32_t)number_at(f->payload + JSON_P, 5),
                          (uint32_t)number_at(f->payload + JSON_S, 10),
                          (int64_t)number_at(f->payload + JSON_T, 16)};
}

/* ---- publishers ---- */

static void credit_look(struct conn *p)
{
    uint64_t room = (uint64_t)(opt.window - opt.batch);
    bool through = p->sent * fan() - p->delivered <= room * fan();
    bool acked = opt.qos == 0 || p->sent - p->acked <= room;
    if (sending && opt.rate == 0 && through && acked && !p->queued) {
        p->queued = true;
        credit[credit_n++] = p;
    }
}

/* The topic of a publisher's next message; gives the stream it belongs to. */
static uint32_t topic_put(char out[TOPIC_BYTES], unsigned pub)
{
    unsigned own = pub;
    switch (shape) {
    case SHAPE_PAIRS:
        (void)snprintf(out, TOPIC_BYTES, opt.ruled ? "bench/in/%u" : "bench/pair/%u", pub);
        break;
    case SHAPE_FANOUT:
        (void)snprintf(out, TOPIC_BYTES, "bench/all");
        break;
    case SHAPE_FANIN:
        (void)snprintf(out, TOPIC_BYTES, "bench/in/%u/v", pub);
        break;
    case SHAPE_WILD:
        own = turn[pub]++ / opt.batch % (opt.subscribers / opt.publishers) * opt.publishers + pub;
        (void)snprintf(out, TOPIC_BYTES, "bench/w/%u/x/%u", own,
                       (turn[pub] * 2654435761u >> 8) % (opt.filters / opt.subscribers));
        break;
    }
    return own;
}

static void send_batch(struct conn *p)
{
    static uint8_t payload[65536]; /* behind the stamp: spaces in JSON, else no text */
    char topic[TOPIC_BYTES];
    if (payload[sizeof payload - 1] == 0) {
        memset(payload, opt.form == PAYLOAD_JSON ? ' ' : 0xA5, sizeof payload);
    }
    for (unsigned i = 0; i < opt.batch; i++) {
        uint32_t stream = topic_put(topic, p->index);
        struct stamp s = {p->index, next_seq[stream]++, opt.rate > 0 ? due_at : turn_now};
        stamp_put(payload, &s);
        p->last_id = p->last_id == UINT16_MAX ? 1 : (uint16_t)(p->last_id + 1);
        frame_publish(&batch, topic, opt.qos, p->last_id, payload, opt.payload_bytes);
    }
    p->sent += opt.batch;
    net_send(p, &batch);
}

/* Paced: a message leaves at its time, whatever came of the ones before, and its latency counts
 * from that time: a server that stalls does not get fewer questions meanwhile. */
static void send_due(void)
{
    for (; due_at <= turn_now; due_at += NS_PER_S / opt.rate) {
        send_batch(&pubs[due_pub++ % opt.publishers]);
    }
}

static void send_all(void)
{
    if (opt.rate > 0) {
        send_due();
        return;
    }
    unsigned n = credit_n;
    credit_n = 0;
    turn_now = now_ns();
    for (unsigned i = 0; i < n; i++) {
        credit[i]->queued = false;
        send_batch(credit[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        credit_look(credit[i]); /* a window of several batches */
    }
}

/* Acknowledgements come in the order of sending (MQTT-4.6.0). */
static void in_order(uint16_t *last, const struct frame *f)
{
    uint16_t want = *last == UINT16_MAX ? 1 : (uint16_t)(*last + 1);
    if (f->id != want) {
        fail("packet type %u acknowledges %u, next in order is %u", f->type, f->id, want);
    }
    *last = want;
}

static void pub_hear(struct conn *p, const struct frame *f)
{
    if (f == NULL) {
        fail("the server closed publisher %u", p->index);
    }
    switch (f->type) {
    case F_CONNACK:
    case F_SUBACK: /* the relay's hello */
        net_is_ready(p);
        break;
    case F_PUBREC:
        in_order(&p->rec_id, f);
        frame_ack(&reply, F_PUBREL, f->id);
        break;
    case F_PUBACK:
    case F_PUBCOMP:
        in_order(&p->ack_id, f);
        p->acked++;
        credit_look(p);
        break;
    default:
        fail("a publisher got packet type %u", f->type);
    }
}

static void answer(struct conn *c)
{
    if (reply.n > 0) {
        net_send(c, &reply);
    }
}

/* ---- subscribers ---- */

static void check(const struct conn *c, const struct frame *f)
{
    struct stamp s = stamp_get(f);
    bool known = s.pub < opt.publishers && (shape == SHAPE_FANOUT || shape == SHAPE_FANIN ||
                                            s.pub == c->index % opt.publishers);
    if (!known) {
        fail("subscriber %u got a message of publisher %u, which it did not ask for", c->index,
             s.pub);
    }
    uint32_t *want = &want_seq[stream_in(c->index, s.pub)];
    if (s.seq != *want) {
        fail("subscriber %u, publisher %u: number %u came, %u was next: %s", c->index, s.pub, s.seq,
             *want, s.seq > *want ? "lost or reordered" : "repeated or reordered");
    }
    ++*want;
    latency_add(read_at_ns - s.at);
    delivered++;
    delivered_bytes += f->whole_n;
    pubs[s.pub].delivered++;
    credit_look(&pubs[s.pub]);
}

static void sub_publish(struct conn *c, const struct frame *f)
{
    if (f->qos != opt.qos) {
        fail("QoS %u came, %u was asked for and sent", f->qos, opt.qos);
    }
    check(c, f);
    if (f->qos > 0) {
        frame_ack(&reply, f->qos == 1 ? F_PUBACK : F_PUBREC, f->id);
    }
}

static void suback(struct conn *c, const struct frame *f)
{
    for (size_t i = 2; i < f->body_n && !opt.relay; i++) {
        if (f->body[i] != opt.qos) {
            fail("SUBSCRIBE was answered 0x%02x, QoS %u was asked for", f->body[i], opt.qos);
        }
        c->acked++;
    }
    unsigned all = shape == SHAPE_WILD ? opt.filters / opt.subscribers : 1;
    if (opt.relay || c->acked == all) {
        net_is_ready(c);
    }
}

static void sub_hear(struct conn *c, const struct frame *f)
{
    if (f == NULL) {
        fail("the server closed subscriber %u", c->index);
    }
    switch (f->type) {
    case F_CONNACK:
        break;
    case F_SUBACK:
        suback(c, f);
        break;
    case F_PUBLISH:
        sub_publish(c, f);
        break;
    case F_PUBREL:
        frame_ack(&reply, F_PUBCOMP, f->id);
        break;
    default:
        fail("a subscriber got packet type %u", f->type);
    }
}

/* ---- opening ---- */

static void hello(struct conn *c, bool publisher)
{
    struct bytes one = {0};
    static const uint8_t none[65536];
    char topic[TOPIC_BYTES];
    (void)topic_put(topic, publisher ? c->index : 0);
    frame_publish(&one, topic, 0, 0, none, opt.payload_bytes);
    frame_hello(&batch, shape == SHAPE_PAIRS ? c->index : 0, publisher, one.n);
    net_send(c, &batch);
    bytes_free(&one);
}

static void pub_opened(struct conn *c)
{
    char id[32];
    if (opt.relay) {
        hello(c, true);
        return;
    }
    (void)snprintf(id, sizeof id, "bench-pub-%u", c->index);
    frame_connect(&batch, id, true);
    net_send(c, &batch);
}

static void subscribe_wild(const struct conn *c)
{
    unsigned own = opt.filters / opt.subscribers;
    char filters[FILTERS_A_PACKET][TOPIC_BYTES];
    const char *list[FILTERS_A_PACKET];
    for (unsigned at = 0; at < own; at += FILTERS_A_PACKET) {
        unsigned n = own - at < FILTERS_A_PACKET ? own - at : FILTERS_A_PACKET;
        for (unsigned i = 0; i < n; i++) {
            (void)snprintf(filters[i], TOPIC_BYTES, "bench/w/%u/+/%u", c->index, at + i);
            list[i] = filters[i];
        }
        frame_subscribe(&batch, (uint16_t)(at / FILTERS_A_PACKET + 1), list, n, opt.qos);
    }
}

static void subscribe(const struct conn *c)
{
    char filter[TOPIC_BYTES];
    const char *list = filter;
    if (shape == SHAPE_WILD) {
        subscribe_wild(c);
        return;
    }
    if (shape == SHAPE_PAIRS) {
        (void)snprintf(filter, sizeof filter, opt.ruled ? "bench/out/%u" : "bench/pair/%u",
                       c->index);
    } else {
        (void)snprintf(filter, sizeof filter, shape == SHAPE_FANIN ? "bench/in/+/v" : "bench/all");
    }
    frame_subscribe(&batch, 1, &list, 1, opt.qos);
}

static void sub_opened(struct conn *c)
{
    char id[32];
    if (opt.relay) {
        hello(c, false);
        return;
    }
    (void)snprintf(id, sizeof id, "bench-sub-%u", c->index);
    frame_connect(&batch, id, !opt.durable);
    subscribe(c);
    net_send(c, &batch);
}

static struct conn *conns_new(unsigned count, void (*opened)(struct conn *),
                              void (*hear)(struct conn *, const struct frame *))
{
    struct conn *all = calloc(count, sizeof *all);
    for (unsigned i = 0; i < count && all != NULL; i++) {
        all[i].index = i;
        all[i].opened = opened;
        all[i].hear = hear;
        all[i].heard = answer;
    }
    if (all == NULL) {
        fail("no memory for %u connections", count);
    }
    net_open_all(all, count);
    return all;
}

/* ---- the run ---- */

static void run_until(int64_t end)
{
    uint64_t last = delivered;
    int64_t progress = now_ns();
    while (turn_now < end) {
        int64_t wait = opt.rate > 0 ? due_at - turn_now : 100 * NS_PER_MS;
        net_turn(wait > 0 ? wait : 0);
        turn_now = now_ns();
        send_all();
        if (delivered != last) {
            last = delivered;
            progress = turn_now;
        } else if (turn_now - progress > STALL_SECONDS * NS_PER_S) {
            fail("nothing was delivered for %d s with messages under way", STALL_SECONDS);
        }
    }
}

static uint64_t owed(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < opt.publishers; i++) {
        n += pubs[i].sent * fan() - pubs[i].delivered;
        n += opt.qos > 0 ? pubs[i].sent - pubs[i].acked : 0;
    }
    return n;
}

static void drain(void)
{
    int64_t end = now_ns() + STALL_SECONDS * NS_PER_S;
    sending = false;
    credit_n = 0;
    while (owed() > 0) {
        net_turn(100 * NS_PER_MS);
        turn_now = now_ns();
        if (turn_now > end) {
            fail("%llu deliveries or acknowledgements did not come: lost",
                 (unsigned long long)owed());
        }
    }
    net_turn(50 * NS_PER_MS); /* what must not come would come now */
}

static void tables_make(void)
{
    size_t streams = opt.publishers > opt.subscribers ? opt.publishers : opt.subscribers;
    next_seq = calloc(streams, sizeof *next_seq);
    want_seq = calloc(streams, sizeof *want_seq);
    turn = calloc(opt.publishers, sizeof *turn);
    credit = calloc(opt.publishers, sizeof(struct conn *));
    if (next_seq == NULL || want_seq == NULL || turn == NULL || credit == NULL) {
        fail("no memory for %zu streams", streams);
    }
}

void flow_run(enum shape s)
{
    shape = s;
    tables_make();
    subs = conns_new(opt.subscribers, sub_opened, sub_hear);
    pubs = conns_new(opt.publishers, pub_opened, pub_hear);
    sending = true;
    turn_now = due_at = now_ns();
    for (unsigned i = 0; i < opt.publishers; i++) {
        credit_look(&pubs[i]);
    }
    send_all();
    run_until(turn_now + (int64_t)(opt.warmup * 1e9));
    memset(histogram, 0, sizeof histogram);
    latencies = 0;
    uint64_t delivered0 = delivered, bytes0 = delivered_bytes;
    int64_t cpu0 = server_cpu_ns(), at0 = now_ns();
    run_until(at0 + (int64_t)(opt.seconds * 1e9));
    int64_t cpu = server_cpu_ns() - cpu0, span = now_ns() - at0;
    double n = (double)(delivered - delivered0);
    printf("{\"deliveries\":%.0f,\"us_per_delivery\":%.4f,\"deliveries_per_s\":%.0f,"
           "\"mbyte_per_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"load\":%.3f,",
           n, (double)cpu / 1000.0 / n, n * 1e9 / (double)span,
           (double)(delivered_bytes - bytes0) * 1e3 / (double)span, latency_us(0.5),
           latency_us(0.99), (double)cpu / (double)span);
    drain();
    printf("\"lost\":0,\"repeated\":0,\"reordered\":0}\n");
}
