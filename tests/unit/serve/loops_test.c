/* serve: a hub on several loops with real threads, over linux/. What loops say to each other is
 * judged by the simulator; here ThreadSanitizer sees the rings, the wake-ups and the end. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "linux/linux.h"
#include "serve/serve.h"

enum { LOOPS = 3, CLIENTS = 6, ROUNDS = 150 };

struct turner {
    pthread_t thread;
    struct td_linux *l;
    struct bed *bed;
    unsigned loop;
};

struct bed {
    struct td_serve *serve;
    struct turner turners[LOOPS];
    char dir[64], address[64];
    _Atomic bool end;
};

static void *turn(void *arg)
{
    struct turner *t = arg;
    struct td_sys *sys = td_linux_sys(t->l);
    struct td_serve *serve = t->bed->serve;
    for (;;) {
        struct td_sys_event event;
        td_mono now = sys->mono(sys);
        while (td_linux_next(t->l, &event)) {
            td_serve_loop_event(serve, t->loop, &event, now);
        }
        if (t->loop == 0 && t->bed->end) {
            if (td_serve_stop(serve, sys->mono(sys))) {
                return NULL;
            }
        } else {
            td_serve_loop_turn(serve, t->loop, sys->mono(sys));
            if (t->loop != 0 && td_serve_loop_ended(serve, t->loop)) {
                return NULL;
            }
        }
        td_linux_wait(t->l, td_serve_loop_deadline(serve, t->loop));
    }
}

static void bed_make(struct bed *b)
{
    struct td_serve_config config;
    struct td_sys *sys[LOOPS];
    struct td_buf why;
    const struct td_serve_listener listener = {.address = "127.0.0.1:0", .kind = TD_SERVE_MQTT};
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/tandem-loops-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    td_serve_config_default(&config);
    config.data_dir = b->dir;
    config.status_s = 1;
    config.listeners = (struct td_serve_listeners){&listener, 1};
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_int_equal(TD_OK, td_linux_new(&b->turners[i].l));
        sys[i] = td_linux_sys(b->turners[i].l);
    }
    td_buf_init(&why, 4096);
    assert_int_equal(TD_OK, td_serve_new_loops(sys, LOOPS, &config, &b->serve, &why));
    td_buf_fini(&why);
    assert_true(td_serve_address(b->serve, TD_SERVE_MQTT, 0, b->address));
    for (unsigned i = 0; i < LOOPS; i++) {
        b->turners[i].bed = b;
        b->turners[i].loop = i;
        assert_int_equal(0, pthread_create(&b->turners[i].thread, NULL, turn, &b->turners[i]));
    }
}

static void bed_free(struct bed *b)
{
    char command[128];
    b->end = true;
    td_linux_wake(b->turners[0].l);
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_int_equal(0, pthread_join(b->turners[i].thread, NULL));
    }
    td_serve_close(b->serve);
    for (unsigned i = 0; i < LOOPS; i++) {
        td_linux_free(b->turners[i].l);
    }
    (void)snprintf(command, sizeof command, "rm -r %s", b->dir);
    assert_int_equal(0, system(command));
}

/* ---- clients: MQTT 3.1.1 by hand, a thread each ---- */

struct client {
    pthread_t thread;
    struct bed *bed;
    pthread_barrier_t *together;
    uint8_t number;
    int fd;
    unsigned got, next[CLIENTS]; /* messages; the next of each sender */
    unsigned acked;
};

static void put(const struct client *c, const void *bytes, size_t n)
{
    assert_int_equal((ssize_t)n, send(c->fd, bytes, n, MSG_NOSIGNAL));
}

static void take(const struct client *c, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t got = recv(c->fd, p, n, 0);
        assert_true(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

/* All packets here are shorter than 128 bytes. */
static uint8_t packet_take(const struct client *c, uint8_t body[128])
{
    uint8_t head[2];
    take(c, head, 2);
    assert_true(head[1] < 128);
    take(c, body, head[1]);
    return head[0];
}

static void dial(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const uint8_t connect_packet[] = {0x10, 14, 0, 4, 'M', 'Q', 'T', 'T',
                                      4,    2,  0, 0, 0,   2,   'c', (uint8_t)('0' + c->number)};
    const uint8_t subscribe[] = {0x82, 8, 0, 1, 0, 3, 't', '/', '#', 1};
    uint8_t body[128];
    to.sin_port = htons((uint16_t)atoi(strchr(c->bed->address, ':') + 1));
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(0, connect(c->fd, (struct sockaddr *)&to, sizeof to));
    put(c, connect_packet, sizeof connect_packet);
    assert_int_equal(0x20, packet_take(c, body));
    assert_int_equal(0, body[1]);
    put(c, subscribe, sizeof subscribe);
    assert_int_equal(0x90, packet_take(c, body));
    assert_int_equal(1, body[2]);
}

/* QoS 1 with the sender and a number as the payload. */
static void say(const struct client *c, unsigned number)
{
    uint16_t id = (uint16_t)(number + 1);
    const uint8_t publish[] = {0x32,
                               10,
                               0,
                               3,
                               't',
                               '/',
                               'x',
                               (uint8_t)(id >> 8),
                               (uint8_t)id,
                               c->number,
                               (uint8_t)(number >> 8),
                               (uint8_t)number};
    put(c, publish, sizeof publish);
}

static void hear(struct client *c)
{
    uint8_t body[128];
    uint8_t type = packet_take(c, body) & 0xF0;
    if (type == 0x40) {
        c->acked++;
        return;
    }
    assert_int_equal(0x30, type);
    const uint8_t puback[] = {0x40, 2, body[5], body[6]};
    put(c, puback, sizeof puback);
    assert_true(body[7] < CLIENTS);
    assert_int_equal(c->next[body[7]], (unsigned)body[8] << 8 | body[9]); /* in order, once */
    c->next[body[7]]++;
    c->got++;
}

static void *live(void *arg)
{
    struct client *c = arg;
    dial(c);
    (void)pthread_barrier_wait(c->together); /* what is published from here on, all must get */
    for (unsigned i = 0; i < ROUNDS; i++) {
        say(c, i);
        hear(c);
    }
    while (c->got < CLIENTS * ROUNDS || c->acked < ROUNDS) {
        hear(c);
    }
    (void)close(c->fd);
    return NULL;
}

/* $SYS tells what all loops have counted, once a second. */
static void sum_await(struct bed *bed)
{
    struct client c = {.bed = bed, .number = CLIENTS};
    static const char topic[] = "$SYS/broker/publish/messages/received";
    uint8_t subscribe[4 + 2 + sizeof topic] = {0x82, sizeof topic + 4, 0, 2, 0, sizeof topic - 1};
    uint8_t body[128];
    char want[16], got[16] = "";
    (void)snprintf(want, sizeof want, "%d", CLIENTS * ROUNDS);
    memcpy(subscribe + 6, topic, sizeof topic - 1);
    dial(&c);
    put(&c, subscribe, sizeof subscribe);
    while (strcmp(want, got) != 0) {
        uint8_t head[2];
        take(&c, head, 2);
        take(&c, body, head[1]);
        if ((head[0] & 0xF0) == 0x30) {
            size_t at = 2 + sizeof topic - 1;
            (void)snprintf(got, sizeof got, "%.*s", (int)(head[1] - at), (const char *)body + at);
        }
    }
    (void)close(c.fd);
}

static void every_client_gets_all_of_all_in_order(void **state)
{
    (void)state;
    static struct bed bed;
    static struct client clients[CLIENTS];
    pthread_barrier_t together;
    bed_make(&bed);
    assert_int_equal(0, pthread_barrier_init(&together, NULL, CLIENTS));
    for (uint8_t i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.bed = &bed, .together = &together, .number = i};
        assert_int_equal(0, pthread_create(&clients[i].thread, NULL, live, &clients[i]));
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(0, pthread_join(clients[i].thread, NULL));
    }
    (void)pthread_barrier_destroy(&together);
    sum_await(&bed);
    bed_free(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_client_gets_all_of_all_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
