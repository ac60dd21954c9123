/* sim: streams. A wire is both ends of a stream and lives until both are closed and nothing is
 * under way; a listener is an end of its own with a queue of wires that nobody has accepted. */
#include "sim/net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    READ_MAX = 1 << 26,
    TINY_WINDOW = 1024,
    LISTENERS_MAX = 16,
    BACKLOG_MAX = 256,
    PORT_FIRST = 40000
};

enum segment_kind { SYN, SYNACK, DATA, FIN, RST };

struct segment {
    struct sim_event event; /* first */
    struct sim_end *to;
    enum segment_kind kind;
    uint64_t order;              /* of what goes to that end */
    struct segment *next, *prev; /* all under way on this wire, newest first */
    size_t n;
    uint8_t bytes[];
};

struct sim_end {
    struct sim_machine *m;
    struct wire *wire; /* NULL: a listener */
    struct sim_end *peer;
    uint64_t number; /* in the world */
    void *owner;
    int handle; /* -1: closed by its program, or not accepted yet */
    unsigned watch;
    bool connected, ended_in, ended_out, reset, closed, silent;
    bool released;          /* by its machine, and not adopted yet */
    struct td_buf in;       /* arrived, not read */
    size_t under_way;       /* bytes to the peer */
    td_mono last_arrival;   /* of what we sent: order is kept */
    uint64_t sent, arrived; /* segments to us, by order */
    char address[64];
    struct sim_end *backlog[BACKLOG_MAX]; /* of a listener */
    size_t backlog_count;
};

struct wire {
    struct sim_end *end[2];
    struct wire *next;
    struct sim_world *world;
    struct segment *segments;
    td_mono latency_min, latency_max, blocked_until;
    uint32_t window, segment_max;
    uint64_t number;
};

struct sim_net {
    struct sim_net_options options;
    struct sim_end *listeners[LISTENERS_MAX];
    size_t listener_count;
    struct wire *wires; /* newest first */
    size_t wire_count;
    uint64_t numbers;
    struct td_buf gather; /* the parts of one write */
};

static struct sim_machine *of(struct td_sys *sys)
{
    return TD_CONTAINER(sys, struct sim_machine, sys);
}

struct sim_net *sim_net_new(struct sim_world *w)
{
    (void)w;
    struct sim_net *net = td_alloc(sizeof *net);
    td_buf_init(&net->gather, READ_MAX);
    net->options = (struct sim_net_options){.latency_min = 50000,
                                            .latency_max = 500000,
                                            .window_min = 65536,
                                            .window_max = 65536,
                                            .segment_max = 1460};
    return net;
}

struct sim_net_options *sim_net_options(struct sim_world *w)
{
    return &w->net->options;
}

size_t sim_net_stream_count(const struct sim_world *w)
{
    return w->net->wire_count;
}

/* ---- ends ---- */

static struct sim_end *end_new(struct sim_machine *m, struct wire *wire)
{
    struct sim_end *e = td_alloc(sizeof *e);
    e->m = m;
    e->wire = wire;
    e->handle = -1;
    e->number = ++m->world->net->numbers;
    td_buf_init(&e->in, READ_MAX);
    return e;
}

static void end_free(struct sim_end *e)
{
    td_buf_fini(&e->in);
    free(e);
}

static int handle_give(struct sim_machine *m, struct sim_end *e)
{
    size_t i = 0;
    while (i < m->stream_cap && m->streams[i] != NULL) {
        i++; /* the least free one, as descriptors are */
    }
    if (i == m->stream_cap) {
        m->stream_cap = m->stream_cap == 0 ? 16 : m->stream_cap * 2;
        m->streams = td_realloc(m->streams, m->stream_cap * sizeof(struct sim_end *));
        memset(m->streams + i, 0, (m->stream_cap - i) * sizeof(struct sim_end *));
    }
    m->streams[i] = e;
    return (int)i;
}

static struct sim_end *end_of(struct sim_machine *m, int handle)
{
    td_assert(handle >= 0 && (size_t)handle < m->stream_cap && m->streams[handle] != NULL);
    return m->streams[handle];
}

static size_t space_of(const struct sim_end *e)
{
    size_t used = e->under_way + e->peer->in.n;
    return used >= e->wire->window ? 0 : e->wire->window - used;
}

static unsigned ready_of(const struct sim_end *e)
{
    unsigned ready = 0;
    if (e->released) {
        return 0;
    }
    if (e->wire == NULL) {
        return e->backlog_count > 0 ? e->watch & TD_SYS_READ : 0;
    }
    if (e->in.n > 0 || e->ended_in || e->reset) {
        ready |= e->watch & TD_SYS_READ;
    }
    if ((e->connected && !e->ended_out && space_of(e) > 0) || e->reset) {
        ready |= e->watch & TD_SYS_WRITE;
    }
    if (e->reset || (e->ended_in && e->ended_out)) {
        ready |= TD_SYS_HANGUP;
    }
    return ready;
}

static void stir(struct sim_end *e)
{
    if (e->handle >= 0 && ready_of(e) != 0) {
        sim_machine_wake(e->m);
    }
}

/* ---- segments ---- */

static void arrive(struct sim_event *event);

static void wire_settle(struct wire *wire);

static void send(struct sim_end *from, enum segment_kind kind, td_slice bytes)
{
    struct wire *wire = from->wire;
    struct sim_world *w = wire->world;
    const struct sim_net_options *o = &w->net->options;
    struct segment *s = td_alloc(sizeof *s + bytes.n);
    s->event.fire = arrive;
    s->to = from->peer;
    s->kind = kind;
    s->n = bytes.n;
    (void)td_put_bytes(s->bytes, bytes);
    s->order = kind == RST ? 0 : s->to->sent++;
    s->next = wire->segments;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    wire->segments = s;
    td_mono at = w->now + (td_mono)sim_between(w, SIM_NET, (uint64_t)wire->latency_min,
                                               (uint64_t)wire->latency_max);
    if (sim_chance(w, SIM_NET, o->stall_ppm)) {
        at += (td_mono)sim_below(w, SIM_NET, (uint64_t)o->stall_max + 1);
    }
    if (kind != RST || sim_chance(w, SIM_NET, 500000)) { /* a reset may overtake */
        at = at < from->last_arrival ? from->last_arrival : at;
        from->last_arrival = at;
    }
    sim_set(w, &s->event, at);
}

static void segment_unlink(struct wire *wire, const struct segment *s)
{
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    if (s->prev != NULL) {
        s->prev->next = s->next;
    } else {
        wire->segments = s->next;
    }
}

static struct sim_end *listener_find(const struct sim_net *net, const char *address)
{
    for (size_t i = 0; i < net->listener_count; i++) {
        if (strcmp(net->listeners[i]->address, address) == 0) {
            return net->listeners[i];
        }
    }
    return NULL;
}

static void arrive_syn(struct sim_end *e)
{
    struct sim_end *listener = listener_find(e->wire->world->net, e->address);
    if (listener == NULL || listener->backlog_count == BACKLOG_MAX) {
        e->closed = true;
        send(e, RST, (td_slice){0});
        return;
    }
    e->m = listener->m;
    e->connected = true;
    listener->backlog[listener->backlog_count++] = e;
    send(e, SYNACK, (td_slice){0});
    stir(listener);
}

static void arrive_bytes(struct sim_end *e, const struct segment *s)
{
    struct sim_world *w = e->wire->world;
    e->peer->under_way -= s->n;
    if (sim_chance(w, SIM_NET, w->net->options.reset_ppm)) {
        e->reset = e->peer->reset = true;
        sim_trace(w, "break", e->number, 0, (td_slice){0});
        stir(e->peer);
        return;
    }
    if (e->closed) {
        send(e, RST, (td_slice){0});
        return;
    }
    if (!e->reset && !e->ended_in) {
        td_assert(td_buf_add(&e->in, (td_slice){s->bytes, s->n}) == TD_OK);
    }
}

/* Who lost its power says nothing; some time after it is back its system denies the stream. */
static void arrive_silent(struct sim_end *e, const struct segment *s)
{
    struct sim_world *w = e->wire->world;
    if (s->kind == DATA) {
        e->peer->under_way -= s->n;
        e->last_arrival = w->now + (td_mono)sim_between(w, SIM_NET, 300000000, 3000000000);
    }
    if (s->kind == DATA || s->kind == FIN) {
        e->silent = false;
        e->closed = true;
        send(e, RST, (td_slice){0});
    }
}

static void arrive_at(struct sim_end *e, const struct segment *s)
{
    switch (s->kind) {
    case SYN:
        arrive_syn(e);
        break;
    case SYNACK:
        e->connected = true;
        break;
    case DATA:
        arrive_bytes(e, s);
        break;
    case FIN:
        e->ended_in = true;
        break;
    case RST:
        e->reset = true;
        break;
    }
    stir(e);
}

static void arrive(struct sim_event *event)
{
    struct segment *s = TD_CONTAINER(event, struct segment, event);
    struct sim_end *e = s->to;
    struct wire *wire = e->wire;
    if (wire->blocked_until > wire->world->now) {
        sim_set(wire->world, event, wire->blocked_until);
        return;
    }
    if (s->kind != RST && s->order > e->arrived) { /* held back together, in another order */
        sim_set(wire->world, event, wire->world->now + 1000);
        return;
    }
    e->arrived += s->kind != RST;
    sim_trace(wire->world, "arrive", e->number, s->kind, (td_slice){s->bytes, s->n});
    segment_unlink(wire, s);
    if (e->silent) {
        arrive_silent(e, s);
    } else {
        arrive_at(e, s);
    }
    free(s);
    wire_settle(wire);
}

/* ---- wires ---- */

static void wire_free(struct wire *wire)
{
    for (size_t i = 0; i < 2; i++) {
        end_free(wire->end[i]);
    }
    while (wire->segments != NULL) {
        struct segment *next = wire->segments->next;
        sim_set(wire->world, &wire->segments->event, TD_NEVER);
        free(wire->segments);
        wire->segments = next;
    }
    free(wire);
}

/* Both closed, nothing under way: it never was. */
static void wire_settle(struct wire *wire)
{
    if (!wire->end[0]->closed || !wire->end[1]->closed || wire->segments != NULL) {
        return;
    }
    struct sim_net *net = wire->world->net;
    struct wire **at = &net->wires;
    while (*at != wire) {
        at = &(*at)->next;
    }
    *at = wire->next;
    net->wire_count--;
    wire_free(wire);
}

static struct wire *wire_new(struct sim_machine *from, const char *address)
{
    struct sim_world *w = from->world;
    struct sim_net *net = w->net;
    const struct sim_net_options *o = &net->options;
    struct wire *wire = td_alloc(sizeof *wire);
    wire->world = w;
    wire->latency_min = o->latency_min;
    wire->latency_max = o->latency_max;
    wire->window = (uint32_t)sim_between(w, SIM_NET, o->window_min, o->window_max);
    wire->segment_max = o->segment_max;
    if (sim_chance(w, SIM_NET, o->tiny_ppm)) {
        wire->segment_max = 1;
        wire->window = wire->window > TINY_WINDOW ? TINY_WINDOW : wire->window;
    }
    for (size_t i = 0; i < 2; i++) {
        wire->end[i] = end_new(from, wire);
    }
    wire->number = wire->end[0]->number;
    wire->end[0]->peer = wire->end[1];
    wire->end[1]->peer = wire->end[0];
    (void)snprintf(wire->end[0]->address, 64, "127.0.0.1:%" PRIu64,
                   PORT_FIRST + wire->number % 20000);
    (void)snprintf(wire->end[1]->address, 64, "%s", address);
    wire->next = net->wires;
    net->wires = wire;
    net->wire_count++;
    return wire;
}

/* The program is through with an end: the rest of what it sent still goes. */
static void end_close(struct sim_end *e)
{
    e->handle = -1;
    e->closed = true;
    if (!e->reset) {
        if (e->in.n > 0) {
            send(e, RST, (td_slice){0});
        } else if (!e->ended_out) {
            send(e, FIN, (td_slice){0});
        }
    }
    e->ended_out = true;
    e->in.n = 0;
    stir(e->peer);
    wire_settle(e->wire);
}

static void listener_close(struct sim_net *net, struct sim_end *listener)
{
    for (size_t i = 0; i < listener->backlog_count; i++) {
        struct sim_end *e = listener->backlog[i];
        send(e, RST, (td_slice){0});
        e->closed = true;
    }
    size_t i = 0;
    while (net->listeners[i] != listener) {
        i++;
    }
    net->listener_count--;
    memmove(net->listeners + i, net->listeners + i + 1,
            (net->listener_count - i) * sizeof net->listeners[0]);
    end_free(listener);
}

/* ---- the seam ---- */

static enum td_err address_copy(td_slice address, char out[64])
{
    if (address.n == 0 || address.n >= 64 || td_slice_find(address, ':') == address.n) {
        return TD_ERANGE;
    }
    memcpy(out, address.p, address.n);
    out[address.n] = '\0';
    return TD_OK;
}

static enum td_err sys_listen(struct td_sys *sys, const struct td_sys_listen *ask, int *out)
{
    struct sim_machine *m = of(sys);
    struct sim_net *net = m->world->net;
    char text[64];
    enum td_err err = address_copy(ask->address, text);
    if (err != TD_OK) {
        return err;
    }
    if (ask->address.n > 2 && strcmp(text + ask->address.n - 2, ":0") == 0) {
        (void)snprintf(text, sizeof text, "127.0.0.1:%" PRIu64, 30000 + ++net->numbers % 10000);
    }
    if (listener_find(net, text) != NULL) {
        return TD_EEXIST;
    }
    td_assert(net->listener_count < LISTENERS_MAX);
    struct sim_end *e = end_new(m, NULL);
    memcpy(e->address, text, sizeof text);
    e->owner = ask->owner;
    e->watch = TD_SYS_READ;
    e->handle = handle_give(m, e);
    net->listeners[net->listener_count++] = e;
    *out = e->handle;
    return TD_OK;
}

static enum td_err sys_connect(struct td_sys *sys, const struct td_sys_connect *ask, int *out)
{
    struct sim_machine *m = of(sys);
    char text[64];
    enum td_err err = address_copy(ask->address, text);
    if (err != TD_OK) {
        return err;
    }
    struct sim_end *e = wire_new(m, text)->end[0];
    e->owner = ask->owner;
    e->watch = TD_SYS_READ | TD_SYS_WRITE;
    e->handle = handle_give(m, e);
    send(e, SYN, (td_slice){0});
    *out = e->handle;
    return TD_OK;
}

static enum td_err sys_accept(struct td_sys *sys, int handle, void *owner, int *out)
{
    struct sim_machine *m = of(sys);
    struct sim_end *listener = end_of(m, handle);
    if (listener->backlog_count == 0 || !sim_machine_alive(m)) {
        return TD_EAGAIN;
    }
    struct sim_end *e = listener->backlog[0];
    listener->backlog_count--;
    memmove(listener->backlog, listener->backlog + 1, listener->backlog_count * sizeof listener);
    e->owner = owner;
    e->watch = TD_SYS_READ;
    e->handle = handle_give(m, e);
    *out = e->handle;
    return TD_OK;
}

static void sys_owner_set(struct td_sys *sys, int handle, void *owner)
{
    end_of(of(sys), handle)->owner = owner;
}

static void sys_address(struct td_sys *sys, int handle, bool peer, char out[64])
{
    const struct sim_end *e = end_of(of(sys), handle);
    (void)snprintf(out, 64, "%s", peer && e->wire != NULL ? e->peer->address : e->address);
}

static void sys_peer(struct td_sys *sys, int handle, struct td_sys_peer *out)
{
    (void)end_of(of(sys), handle);
    memset(out, 0, sizeof *out); /* nobody proves anything here */
}

static enum td_err sys_read(struct td_sys *sys, int handle, uint8_t *p, size_t max, size_t *got)
{
    struct sim_machine *m = of(sys);
    struct sim_end *e = end_of(m, handle);
    if (e->in.n == 0) {
        return e->reset || e->ended_in ? TD_ECLOSED : TD_EAGAIN;
    }
    size_t n = e->in.n > max ? max : e->in.n;
    if (n == 0) {
        return TD_EAGAIN;
    }
    memcpy(p, e->in.p, n);
    td_buf_drop(&e->in, n);
    stir(e->peer); /* there is room for more */
    sim_trace(m->world, "read", e->number, n, (td_slice){p, n});
    *got = n;
    return TD_OK;
}

static void write_segments(struct sim_end *e, td_slice bytes)
{
    while (bytes.n > 0) {
        struct sim_world *w = e->m->world;
        size_t n = (size_t)sim_between(w, SIM_NET, 1, e->wire->segment_max);
        if (e->wire->segment_max > 1 && sim_chance(w, SIM_NET, 700000)) {
            n = e->wire->segment_max; /* mostly whole, as a kernel would */
        }
        td_slice head = td_slice_head(bytes, n);
        e->under_way += head.n;
        send(e, DATA, head);
        bytes = td_slice_skip(bytes, head.n);
    }
}

static enum td_err sys_write(struct td_sys *sys, int handle, const td_slice *parts, size_t count,
                             size_t *sent)
{
    struct sim_machine *m = of(sys);
    struct sim_end *e = end_of(m, handle);
    if (e->reset || e->ended_out) {
        return TD_ECLOSED;
    }
    if (!e->connected || !sim_machine_alive(m)) {
        return TD_EAGAIN;
    }
    struct td_buf *gather = &m->world->net->gather;
    td_buf_clear(gather);
    for (size_t i = 0; i < count; i++) {
        td_assert(td_buf_add(gather, td_slice_head(parts[i], space_of(e) - gather->n)) == TD_OK);
    }
    if (gather->n == 0) {
        return TD_EAGAIN;
    }
    write_segments(e, td_buf_slice(gather));
    sim_trace(m->world, "write", e->number, gather->n, td_buf_slice(gather));
    *sent = gather->n;
    return TD_OK;
}

static void sys_write_many(struct td_sys *sys, struct td_sys_write *w, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        w[i].err = sys_write(sys, w[i].stream, &w[i].bytes, 1, &w[i].sent);
    }
}

static void sys_watch(struct td_sys *sys, int handle, unsigned ready)
{
    struct sim_end *e = end_of(of(sys), handle);
    e->watch = ready;
    stir(e);
}

static void sys_shutdown(struct td_sys *sys, int handle)
{
    struct sim_machine *m = of(sys);
    struct sim_end *e = end_of(m, handle);
    if (!e->ended_out && !e->reset && e->connected && sim_machine_alive(m)) {
        e->ended_out = true;
        send(e, FIN, (td_slice){0});
        stir(e);
    }
}

static void sys_close(struct td_sys *sys, int handle)
{
    struct sim_machine *m = of(sys);
    struct sim_end *e = end_of(m, handle);
    if (!sim_machine_alive(m)) {
        return;
    }
    m->streams[handle] = NULL;
    if (e->wire == NULL) {
        listener_close(m->world->net, e);
    } else {
        end_close(e);
    }
}

/* ---- to another machine of the same process: until it is adopted it stays in the old one's list,
 * whose crash it shares ---- */

static void *sys_release(struct td_sys *sys, int handle)
{
    struct sim_end *e = end_of(of(sys), handle);
    e->released = true;
    return e;
}

static int sys_adopt(struct td_sys *sys, void *released, void *owner)
{
    struct sim_machine *m = of(sys);
    struct sim_end *e = released;
    e->m->streams[e->handle] = NULL;
    e->m = m;
    e->handle = handle_give(m, e);
    e->owner = owner;
    e->watch = TD_SYS_READ;
    e->released = false;
    stir(e);
    return e->handle;
}

static void sys_wake(struct td_sys *sys)
{
    sim_machine_wake(of(sys));
}

void sim_net_fill(struct td_sys *sys)
{
    sys->listen = sys_listen;
    sys->connect = sys_connect;
    sys->accept = sys_accept;
    sys->owner_set = sys_owner_set;
    sys->address = sys_address;
    sys->peer = sys_peer;
    sys->read = sys_read;
    sys->write = sys_write;
    sys->write_many = sys_write_many;
    sys->watch = sys_watch;
    sys->shutdown = sys_shutdown;
    sys->close = sys_close;
    sys->release = sys_release;
    sys->adopt = sys_adopt;
    sys->wake = sys_wake;
}

/* ---- machines' turns and ends ---- */

bool sim_net_ready(struct sim_machine *m)
{
    for (size_t i = 0; i < m->stream_cap; i++) {
        if (m->streams[i] != NULL && ready_of(m->streams[i]) != 0) {
            return true;
        }
    }
    return false;
}

struct ready {
    int handle;
    uint64_t number;
    unsigned ready;
};

void sim_net_dispatch(struct sim_machine *m)
{
    struct ready *batch = td_alloc(m->stream_cap * sizeof *batch);
    size_t count = 0;
    for (size_t i = 0; i < m->stream_cap; i++) {
        unsigned ready = m->streams[i] == NULL ? 0 : ready_of(m->streams[i]);
        if (ready != 0) {
            size_t at = (size_t)sim_below(m->world, SIM_SCHED, count + 1);
            batch[count++] = batch[at];
            batch[at] = (struct ready){(int)i, m->streams[i]->number, ready};
        }
    }
    for (size_t i = 0; i < count && sim_machine_alive(m); i++) {
        const struct sim_end *e = m->streams[batch[i].handle];
        if (e != NULL && e->number == batch[i].number) {
            struct td_sys_event event = {e->owner, batch[i].handle, batch[i].ready};
            m->program->event(m->ctx, &event, sim_machine_mono(m));
        }
    }
    free(batch);
}

void sim_net_crash(struct sim_machine *m, bool killed)
{
    for (size_t i = 0; i < m->stream_cap; i++) {
        struct sim_end *e = m->streams[i];
        m->streams[i] = NULL;
        if (e == NULL) {
            continue;
        }
        if (e->wire == NULL) {
            listener_close(m->world->net, e);
        } else if (killed) {
            end_close(e);
        } else {
            e->handle = -1;
            e->silent = true;
            e->in.n = 0;
        }
    }
}

/* ---- faults ---- */

static struct wire *wire_any(struct sim_world *w)
{
    if (w->net->wire_count == 0) {
        return NULL;
    }
    struct wire *wire = w->net->wires;
    for (uint64_t i = sim_below(w, SIM_FAULT, w->net->wire_count); i > 0; i--) {
        wire = wire->next;
    }
    return wire;
}

static void block(struct wire *wire, td_mono until)
{
    wire->blocked_until = until > wire->blocked_until ? until : wire->blocked_until;
}

void sim_net_partition(struct sim_world *w, td_mono span)
{
    struct wire *wire = wire_any(w);
    if (wire != NULL) {
        block(wire, w->now + span);
        sim_trace(w, "partition", wire->number, (uint64_t)span, (td_slice){0});
    }
}

void sim_net_partition_all(struct sim_world *w, td_mono span)
{
    for (struct wire *wire = w->net->wires; wire != NULL; wire = wire->next) {
        block(wire, w->now + span);
    }
    sim_trace(w, "partition", 0, (uint64_t)span, (td_slice){0});
}

void sim_net_break(struct sim_world *w)
{
    struct wire *wire = wire_any(w);
    if (wire != NULL) {
        sim_trace(w, "break", wire->number, 0, (td_slice){0});
        for (size_t i = 0; i < 2; i++) {
            wire->end[i]->reset = true;
            stir(wire->end[i]);
        }
    }
}

void sim_net_free(struct sim_net *net)
{
    while (net->wires != NULL) {
        struct wire *next = net->wires->next;
        wire_free(net->wires);
        net->wires = next;
    }
    while (net->listener_count > 0) {
        end_free(net->listeners[--net->listener_count]);
    }
    td_buf_fini(&net->gather);
    free(net);
}
