/* spec: lines to a broker. Two ways behind one table: the whole hub in the simulator's world, where
 * time costs nothing, and any broker's program over loopback sockets, to check the cases
 * themselves against somebody else's reading of the specifications. */
#ifndef SPEC_LINK_H
#define SPEC_LINK_H

#include "base/base.h"

enum { SPEC_LINES_MAX = 8 };

/* One client's connection. */
struct spec_line {
    int handle;              /* < 0: none */
    bool ended;              /* the broker closed it, or it broke */
    struct td_buf in, out;   /* packets */
    struct td_buf raw, wire; /* the same in frames, where the line is a WebSocket */
    bool upgraded;           /* it is one */
};

/* What a case asks of the hub's configuration; 0: the default. */
struct spec_wish {
    uint32_t receive_max, alias_max, session_expiry_s, keepalive_max_s, queue_messages_max;
    uint32_t packet_bytes_max, sessions_max;
    uint32_t websocket; /* lines are WebSockets */
    uint32_t users;     /* there is one user, "user", with the password "secret" */
};

struct spec_link {
    /* A broker that knows nothing yet. False: said on stderr. */
    bool (*begin)(const struct spec_wish *wish);
    void (*end)(void);
    void (*open)(struct spec_line *line);
    /* Sends what stands in line->out, in the course of pass(). */
    void (*send)(struct spec_line *line);
    void (*cut)(struct spec_line *line);
    /* Begins a WebSocket whose request names `protocol`, or sends one frame. */
    void (*upgrade)(struct spec_line *line, td_slice protocol);
    void (*frame)(struct spec_line *line, uint8_t first, td_slice payload);
    /* Lets time pass, bytes come and go. */
    void (*pass)(td_ms ms);
    /* The broker dies (kill) or ends, and starts again on what it kept. False: it cannot. */
    bool (*restart)(bool kill);
    bool ours; /* the hub itself: begin() heeds wishes, time costs nothing */
};

extern const struct spec_link spec_link_sim;
extern bool spec_link_sim_websocket; /* all its lines are WebSockets */
/* How many event loops the hub has. */
extern unsigned spec_link_sim_loops;
/* `program` is run for each case with `port` as its last argument. */
const struct spec_link *spec_link_program(const char *program, const char *port);

#endif
