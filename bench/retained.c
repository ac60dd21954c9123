/* retained: `count` retained messages are set, then subscribers ask for all of them by a wildcard,
 * one after another: memory a topic, CPU a delivery. Each must come to each subscriber exactly
 * once; the payload says which it is. At the end they are removed again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { ASKERS = 3, CHUNK = 1000, STALL_SECONDS = 20, TOPIC_BYTES = 48 };

static struct bytes out;
static bool *seen;
static unsigned seen_count;
static bool pinged;

static void nothing(struct conn *c)
{
    (void)c;
}

static void opened(struct conn *c)
{
    char id[32];
    (void)snprintf(id, sizeof id, "bench-retained-%u", c->index);
    frame_connect(&out, id, true);
    net_send(c, &out);
}

static void publisher_hear(struct conn *c, const struct frame *f)
{
    if (f == NULL) {
        fail("the server closed the publisher");
    }
    if (f->type == F_CONNACK) {
        net_is_ready(c);
    }
    pinged = pinged || f->type == F_PINGRESP;
}

static void retained_hear(const struct frame *f)
{
    uint32_t which = UINT32_MAX;
    if (f->payload_n == opt.payload_bytes) {
        memcpy(&which, f->payload, sizeof which);
    }
    if (which >= opt.count || (f->flags & 1) == 0) {
        fail("something came that is none of the retained messages");
    }
    if (seen[which]) {
        fail("retained message %u came twice", which);
    }
    seen[which] = true;
    seen_count++;
}

static void asker_hear(struct conn *c, const struct frame *f)
{
    if (f == NULL) {
        fail("the server closed subscriber %u", c->index);
    }
    if (f->type == F_CONNACK) {
        net_is_ready(c);
    } else if (f->type == F_PUBLISH) {
        retained_hear(f);
    }
}

static void wait_for_ping(struct conn *c)
{
    int64_t end = now_ns() + STALL_SECONDS * NS_PER_S;
    pinged = false;
    frame_ping(&out);
    net_send(c, &out);
    while (!pinged) {
        net_turn(100 * NS_PER_MS);
        if (now_ns() > end) {
            fail("PINGREQ behind %d retained messages was not answered", CHUNK);
        }
    }
}

/* Sets all with `payload_bytes`, or removes them with 0. */
static void set_all(struct conn *c, unsigned payload_bytes)
{
    static uint8_t payload[65536];
    char topic[TOPIC_BYTES];
    for (uint32_t i = 0; i < opt.count; i++) {
        memcpy(payload, &i, sizeof i);
        (void)snprintf(topic, sizeof topic, "bench/retained/%u/v", i);
        size_t at = out.n;
        frame_publish(&out, topic, 0, 0, payload, payload_bytes);
        out.p[at] |= 1; /* RETAIN */
        if (i % CHUNK == CHUNK - 1 || i + 1 == opt.count) {
            net_send(c, &out);
            wait_for_ping(c);
        }
    }
}

static void ask(struct conn *c)
{
    const char *filter = "bench/retained/+/v";
    int64_t end = now_ns() + STALL_SECONDS * NS_PER_S;
    memset(seen, 0, opt.count * sizeof *seen);
    seen_count = 0;
    frame_subscribe(&out, 1, &filter, 1, 0);
    net_send(c, &out);
    while (seen_count < opt.count) {
        net_turn(100 * NS_PER_MS);
        if (now_ns() > end) {
            fail("%u of %u retained messages came", seen_count, opt.count);
        }
    }
}

void crowd_retained(void)
{
    static struct conn conns[ASKERS + 1];
    seen = calloc(opt.count, sizeof *seen);
    if (seen == NULL) {
        fail("no memory for %u retained messages", opt.count);
    }
    for (unsigned i = 0; i <= ASKERS; i++) {
        conns[i] = (struct conn){.index = i,
                                 .opened = opened,
                                 .hear = i == 0 ? publisher_hear : asker_hear,
                                 .heard = nothing};
    }
    net_open_all(conns, ASKERS + 1);
    struct memory before = memory_now();
    set_all(&conns[0], opt.payload_bytes);
    struct memory with = memory_now();
    int64_t cpu = server_cpu_ns(), at = now_ns();
    for (unsigned i = 1; i <= ASKERS; i++) {
        ask(&conns[i]);
        net_close(&conns[i]);
    }
    cpu = server_cpu_ns() - cpu;
    at = now_ns() - at;
    double n = (double)opt.count;
    set_all(&conns[0], 0);
    printf("{\"topics\":%u,\"us_per_delivery\":%.4f,\"deliveries_per_s\":%.0f,"
           "\"bytes_per_topic\":%.0f}\n",
           opt.count, (double)cpu / 1000.0 / (n * ASKERS), n * ASKERS * 1e9 / (double)at,
           (double)(with.rss_kb - before.rss_kb) * 1024 / n);
}
