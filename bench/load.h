/* load: the load generator. One process, one thread, one epoll; loopback only.
 *
 *   frames.c   the packets
 *   net.c      connections: buffers, one send a batch, opening many without a SYN storm
 *   flow.c     messages from publishers to subscribers, each checked for loss, repeat, order
 *   crowd.c    connections for their own sake: connect cycles, memory of idle ones
 *   retained.c retained messages: memory of them, CPU of asking for them
 *   load.c     options, main
 *
 * A run prints one line of JSON and ends with status 0. A lost, repeated, reordered or unasked
 * message, or a server that does not answer in time, ends it with status 1 and a line on stderr. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <sys/types.h>
#include <time.h>

#include "frames.h"

enum shape { SHAPE_PAIRS, SHAPE_FANOUT, SHAPE_FANIN, SHAPE_WILD };
enum payload { PAYLOAD_BINARY, PAYLOAD_JSON };

struct options {
    const char *scenario;
    struct sockaddr_in server;
    pid_t pid;    /* whose CPU time counts; 0: nobody's */
    bool relay;   /* the other side is bench/relay, not a broker */
    bool durable; /* subscribers keep their session */
    bool ruled;   /* a rule of the server answers on another topic */
    enum payload form;
    unsigned publishers, subscribers, filters;
    unsigned qos, batch, window, payload_bytes;
    unsigned rate;  /* messages a second of all publishers; 0: as fast as the window allows */
    unsigned count; /* of crowd scenarios */
    double seconds, warmup;
};

extern struct options opt;

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t now_ns(void);
/* The time of the read that is being handled. */
extern int64_t read_at_ns;
/* CPU time of the server so far, all threads, user and system, exact to the ns. */
int64_t server_cpu_ns(void);

/* What the server's process has resident now. */
struct memory {
    long rss_kb, pss_kb;
};
struct memory memory_now(void);

/* ---- net ---- */

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_OPEN };

struct conn {
    int fd;
    enum conn_state state;
    bool want_write;
    unsigned index;   /* of its kind */
    struct bytes in;  /* the front of a packet that has not come whole */
    struct bytes out; /* what a send left over */
    /* Called for each whole packet; for the end of the stream with NULL. */
    void (*hear)(struct conn *c, const struct frame *f);
    /* Called when all packets of one read were given: the time to answer with one send. */
    void (*heard)(struct conn *c);
    /* Called when connect() has come through. */
    void (*opened)(struct conn *c);
    bool ready; /* its owner's word: subscribed or connected, counts in net_open_all */
    uint64_t sent, acked, delivered; /* a publisher's, in messages; see flow.c */
    uint16_t last_id, rec_id, ack_id;
    bool queued;
};

extern unsigned net_ready; /* how many have called net_is_ready() */

void net_init(void);
void net_connect(struct conn *c);
void net_is_ready(struct conn *c);
/* Opens `count` connections, at most 32 under way, until all are ready. */
void net_open_all(struct conn *conns, unsigned count);
/* Sends all of `b` in one call as far as it fits, keeps the rest. `b` is empty afterwards. */
void net_send(struct conn *c, struct bytes *b);
void net_close(struct conn *c);
/* Handles what is there, waiting at most wait_ns for it. */
void net_turn(int64_t wait_ns);

/* ---- scenarios ---- */

void flow_run(enum shape shape);
void crowd_connect(void);
void crowd_idle(void);
void crowd_retained(void);

#endif
