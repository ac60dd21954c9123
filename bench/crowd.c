/* crowd: connections for their own sake.
 *
 *   connect   connect, subscribe, disconnect, 16 at a time: CPU a cycle, cycles a second
 *             (the relay: connect, eight bytes there and back, close)
 *   idle      memory of the server before and with `count` connections of one subscription each,
 *             then with nine more each: bytes a connection, bytes a subscription */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { AT_ONCE = 16, STALL_SECONDS = 10, MORE = 9, FILTER_BYTES = 48 };

static struct bytes out;
static unsigned begun, ended, granted;

static void nothing(struct conn *c)
{
    (void)c;
}

static void ask(struct conn *c, unsigned serial)
{
    char id[32], filter[FILTER_BYTES];
    const char *list = filter;
    (void)snprintf(id, sizeof id, "crowd-%06u", serial);
    (void)snprintf(filter, sizeof filter, "bench/crowd/%06u", serial);
    frame_connect(&out, id, true);
    frame_subscribe(&out, 1, &list, 1, 0);
    net_send(c, &out);
}

/* ---- connect ---- */

static void cycle_opened(struct conn *c)
{
    if (opt.relay) {
        begun++;
        frame_hello(&out, 0, true, 1);
        net_send(c, &out);
    } else {
        ask(c, begun++);
    }
}

static void cycle_ended(struct conn *c)
{
    net_close(c);
    ended++;
    if (begun < opt.count) {
        net_connect(c);
    }
}

static void cycle_hear(struct conn *c, const struct frame *f)
{
    if (f == NULL) { /* the server has seen our DISCONNECT */
        cycle_ended(c);
    } else if (f->type == F_SUBACK && opt.relay) { /* it never closes first */
        cycle_ended(c);
    } else if (f->type == F_SUBACK) {
        frame_disconnect(&out);
        net_send(c, &out);
    }
}

void crowd_connect(void)
{
    static struct conn conns[AT_ONCE];
    int64_t cpu0 = server_cpu_ns(), at0 = now_ns(), progress = at0;
    unsigned last = 0;
    opt.count = opt.count < AT_ONCE ? AT_ONCE : opt.count;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        conns[i] = (struct conn){.opened = cycle_opened, .hear = cycle_hear, .heard = nothing};
        net_connect(&conns[i]);
    }
    while (ended < opt.count) {
        net_turn(100 * NS_PER_MS);
        if (ended != last) {
            last = ended;
            progress = now_ns();
        } else if (now_ns() - progress > STALL_SECONDS * NS_PER_S) {
            fail("after %u of %u cycles no connection ended for %d s", ended, opt.count,
                 STALL_SECONDS);
        }
    }
    double n = (double)ended;
    int64_t cpu = server_cpu_ns() - cpu0, span = now_ns() - at0;
    printf("{\"cycles\":%.0f,\"us_per_cycle\":%.2f,\"cycles_per_s\":%.0f}\n", n,
           (double)cpu / 1000.0 / n, n * 1e9 / (double)span);
}

/* ---- idle ---- */

static void idle_opened(struct conn *c)
{
    ask(c, c->index);
}

static void idle_hear(struct conn *c, const struct frame *f)
{
    if (f == NULL) {
        fail("the server closed idle connection %u", c->index);
    }
    if (f->type == F_SUBACK) {
        granted += (unsigned)f->body_n - 2;
        net_is_ready(c);
    }
}

struct memory memory_now(void)
{
    char path[64], line[256];
    struct memory m = {0};
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)opt.pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        fail("%s cannot be read: the memory of which process? (-i)", path);
    }
    while (fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "Rss: %ld kB", &m.rss_kb);
        (void)sscanf(line, "Pss: %ld kB", &m.pss_kb);
    }
    (void)fclose(f);
    return m;
}

static void settle(void)
{
    for (int64_t end = now_ns() + 500 * NS_PER_MS; now_ns() < end;) {
        net_turn(50 * NS_PER_MS);
    }
}

static void subscribe_more(struct conn *conns)
{
    char filters[MORE][FILTER_BYTES];
    const char *list[MORE];
    for (unsigned i = 0; i < opt.count; i++) {
        for (unsigned k = 0; k < MORE; k++) {
            (void)snprintf(filters[k], FILTER_BYTES, "bench/crowd/%06u/%u", i, k);
            list[k] = filters[k];
        }
        frame_subscribe(&out, 2, list, MORE, 0);
        net_send(&conns[i], &out);
        if (i % 64 == 0) {
            net_turn(0);
        }
    }
    int64_t end = now_ns() + STALL_SECONDS * NS_PER_S;
    while (granted < opt.count * (MORE + 1)) {
        net_turn(100 * NS_PER_MS);
        if (now_ns() > end) {
            fail("%u of %u subscriptions were answered", granted, opt.count * (MORE + 1));
        }
    }
}

void crowd_idle(void)
{
    struct conn *conns = calloc(opt.count, sizeof *conns);
    if (conns == NULL) {
        fail("no memory for %u connections", opt.count);
    }
    struct memory before = memory_now();
    for (unsigned i = 0; i < opt.count; i++) {
        conns[i] =
            (struct conn){.index = i, .opened = idle_opened, .hear = idle_hear, .heard = nothing};
    }
    net_open_all(conns, opt.count);
    settle();
    struct memory with = memory_now();
    subscribe_more(conns);
    settle();
    struct memory full = memory_now();
    double n = (double)opt.count;
    printf("{\"connections\":%u,\"base_rss_kb\":%ld,\"base_pss_kb\":%ld,"
           "\"rss_bytes_per_connection\":%.0f,\"pss_bytes_per_connection\":%.0f,"
           "\"bytes_per_subscription\":%.0f}\n",
           opt.count, before.rss_kb, before.pss_kb,
           (double)(with.rss_kb - before.rss_kb) * 1024 / n,
           (double)(with.pss_kb - before.pss_kb) * 1024 / n,
           (double)(full.rss_kb - with.rss_kb) * 1024 / (n * MORE));
    free(conns);
}
