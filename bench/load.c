/* load: options and main. See load.h; `load -h` lists the options. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct options opt = {
    .publishers = 50,
    .subscribers = 50,
    .filters = 100000,
    .batch = 1,
    .payload_bytes = 64,
    .count = 5000,
    .seconds = 1,
    .warmup = 0.2,
};

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fflush(stdout);
    (void)fprintf(stderr, "load %s: ", opt.scenario == NULL ? "" : opt.scenario);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) {
        fail("the server's process %d is gone", (int)opt.pid);
    }
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t server_cpu_ns(void)
{
    clockid_t clock;
    if (opt.pid == 0) {
        return 0;
    }
    if (clock_getcpuclockid(opt.pid, &clock) != 0) {
        fail("the server's process %d is gone", (int)opt.pid);
    }
    return clock_ns(clock);
}

/* ---- options ---- */

static void run_pairs(void)
{
    flow_run(SHAPE_PAIRS);
}

static void run_fanout(void)
{
    flow_run(SHAPE_FANOUT);
}

static void run_fanin(void)
{
    flow_run(SHAPE_FANIN);
}

static void run_wild(void)
{
    flow_run(SHAPE_WILD);
}

static const struct {
    const char *name;
    unsigned publishers, subscribers; /* what it starts from */
    void (*run)(void);
} scenarios[] = {
    {"pairs", 50, 50, run_pairs},       {"fanout", 1, 500, run_fanout},
    {"fanin", 200, 1, run_fanin},       {"wild", 50, 1000, run_wild},
    {"connect", 0, 0, crowd_connect},   {"idle", 0, 0, crowd_idle},
    {"retained", 0, 0, crowd_retained},
};

static _Noreturn void usage(void)
{
    (void)fprintf(stderr,
                  "usage: load SCENARIO -a PORT [-i PID] [options]\n"
                  "SCENARIO  pairs fanout fanin wild connect idle retained\n"
                  "  -a PORT  the server's port on 127.0.0.1\n"
                  "  -i PID   whose CPU time and memory count\n"
                  "  -p N     publishers          -s N  subscribers     -f N  filters (wild)\n"
                  "  -q 0-2   QoS                 -b N  messages a write\n"
                  "  -w N     messages in flight per publisher, at least and by default -b\n"
                  "  -R N     messages a second, of all publishers, at fixed times\n"
                  "  -n N     payload bytes       -j    payload is JSON\n"
                  "  -t S     seconds             -u S  warm-up seconds\n"
                  "  -c N     connections (connect, idle), messages (retained)\n"
                  "  -d       durable subscribers -x    a rule answers bench/in/N on bench/out/N\n"
                  "  -r       the other side is bench/relay\n");
    exit(2);
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || v < least || v > most) {
        fail("'%s' is not a number from %u to %u", text, least, most);
    }
    return (unsigned)v;
}

static void option(int letter, const char *text)
{
    switch (letter) {
    case 'a':
        opt.server = (struct sockaddr_in){.sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                          .sin_port = htons((uint16_t)number(text, 1, 65535))};
        break;
    case 'i':
        opt.pid = (pid_t)number(text, 1, INT32_MAX);
        break;
    case 'p':
        opt.publishers = number(text, 1, 10000);
        break;
    case 's':
        opt.subscribers = number(text, 1, 10000);
        break;
    case 'f':
        opt.filters = number(text, 1, 10000000);
        break;
    case 'q':
        opt.qos = number(text, 0, 2);
        break;
    case 'b':
        opt.batch = number(text, 1, 1000);
        break;
    case 'w':
        opt.window = number(text, 1, 30000);
        break;
    case 'n':
        opt.payload_bytes = number(text, 16, 65536);
        break;
    case 'R':
        opt.rate = number(text, 1, 10000000);
        break;
    case 'c':
        opt.count = number(text, 1, 1000000);
        break;
    case 't':
        opt.seconds = number(text, 1, 600);
        break;
    case 'u':
        opt.warmup = number(text, 0, 60);
        break;
    case 'j':
        opt.form = PAYLOAD_JSON;
        break;
    case 'd':
        opt.durable = true;
        break;
    case 'x':
        opt.ruled = true;
        break;
    case 'r':
        opt.relay = true;
        break;
    default:
        usage();
    }
}

static void options_check(void)
{
    if (opt.server.sin_port == 0) {
        usage();
    }
    if (opt.window < opt.batch) {
        opt.window = opt.batch;
    }
    if (opt.form == PAYLOAD_JSON && opt.payload_bytes < 48) {
        fail("-j needs a payload of at least 48 bytes, -n says %u", opt.payload_bytes);
    }
    if (opt.rate > 0 && opt.batch > 1) {
        fail("-R %u paces single messages, -b says %u a write", opt.rate, opt.batch);
    }
    if (opt.filters < opt.subscribers) {
        fail("-f %u filters do not reach for -s %u subscribers", opt.filters, opt.subscribers);
    }
}

static void files_raise(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r); /* a refused connection will say so */
    }
}

int main(int argc, char **argv)
{
    size_t at = 0, count = sizeof scenarios / sizeof *scenarios;
    while (argc > 1 && at < count && strcmp(argv[1], scenarios[at].name) != 0) {
        at++;
    }
    if (argc < 2 || at == count) {
        usage();
    }
    opt.scenario = argv[1];
    if (scenarios[at].publishers > 0) {
        opt.publishers = scenarios[at].publishers;
        opt.subscribers = scenarios[at].subscribers;
    }
    for (int letter;
         (letter = getopt(argc - 1, argv + 1, "a:i:p:s:f:q:b:w:n:c:t:u:R:jdxrh")) != -1;) {
        option(letter, optarg);
    }
    options_check();
    files_raise();
    net_init();
    scenarios[at].run();
    return 0;
}
