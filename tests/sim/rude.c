/* sim: rude peers. None ever sends a valid PUBLISH, so nobody may get anything of theirs. */
#include "sim/rude.h"

#include <stdlib.h>

enum { PEERS_MAX = 4, NONE = -1, BYTES_MAX = 256 };

struct peer {
    struct sim_rude *r;
    struct sim_event tick;
    int line;
    bool reads;
    uint8_t bytes[BYTES_MAX];
    size_t n, sent;
};

struct sim_rude {
    struct sim_machine *m;
    const char *address;
    struct peer peers[PEERS_MAX];
    uint32_t count;
    bool stopped;
};

/* 3.1.1, client id "rude", clean session, keep alive 60. */
static const uint8_t hello[] = {0x10, 16, 0,  4, 'M', 'Q', 'T', 'T', 4,
                                2,    0,  60, 0, 4,   'r', 'u', 'd', 'e'};
static const uint8_t subscribe_all[] = {0x82, 6, 0, 1, 0, 1, '#', 1};

/* Each is forbidden behind CONNECT. */
static const struct {
    uint8_t n, bytes[16];
} forbidden[] = {
    {2, {0x00, 0}},                                /* type 0 */
    {2, {0xF0, 0}},                                /* AUTH in 3.1.1 */
    {2, {0x20, 0}},                                /* CONNACK from a client */
    {6, {0x36, 4, 0, 1, 'a', 0}},                  /* QoS 3 */
    {7, {0x30, 5, 0, 3, 'a', '/', '#'}},           /* wildcard in a topic */
    {6, {0x32, 4, 0, 0, 0, 1}},                    /* empty topic */
    {7, {0x32, 5, 0, 1, 'a', 0, 0}},               /* packet id 0 */
    {6, {0x30, 4, 0, 9, 'a', 'b'}},                /* topic longer than the packet */
    {6, {0x30, 4, 0, 2, 0xC0, 0x80}},              /* overlong UTF-8 */
    {8, {0x80, 6, 0, 1, 0, 1, 'a', 0}},            /* SUBSCRIBE with wrong flags */
    {4, {0x82, 2, 0, 1}},                          /* SUBSCRIBE of nothing */
    {8, {0x82, 6, 0, 1, 0, 1, 'a', 3}},            /* QoS 3 again */
    {10, {0x82, 8, 0, 1, 0, 3, 'a', '#', 'b', 1}}, /* # in the middle */
    {4, {0x60, 2, 0, 1}},                          /* PUBREL with wrong flags */
    {5, {0x30, 0xFF, 0xFF, 0xFF, 0xFF}},           /* length of five bytes */
    {5, {0x30, 0xFF, 0xFF, 0xFF, 0x7F}},           /* 256 MB announced */
    {4, {0x62, 2, 0, 9}},                          /* PUBREL of an unknown id: lawful, to no end */
};

static uint64_t below(const struct peer *p, uint64_t bound)
{
    return sim_below(p->r->m->world, SIM_LOAD, bound);
}

static void add(struct peer *p, const uint8_t *bytes, size_t n)
{
    td_assert(p->n + n <= BYTES_MAX);
    memcpy(p->bytes + p->n, bytes, n);
    p->n += n;
}

static void plan(struct peer *p)
{
    p->n = p->sent = 0;
    p->reads = below(p, 2) == 0;
    switch (below(p, 5)) {
    case 0: /* garbage; 0x10 in front now and then, so that it goes further */
        p->n = (size_t)below(p, BYTES_MAX) + 1;
        for (size_t i = 0; i < p->n; i++) {
            p->bytes[i] = (uint8_t)below(p, 256);
        }
        p->bytes[0] = below(p, 2) == 0 ? 0x10 : p->bytes[0];
        break;
    case 1: /* the beginning of a CONNECT, then silence */
        add(p, hello, 1 + (size_t)below(p, sizeof hello - 1));
        break;
    case 2: /* a CONNECT with one wrong byte, not in the client id's length and text */
        add(p, hello, sizeof hello);
        p->bytes[below(p, sizeof hello - 6)] ^= (uint8_t)(1u << below(p, 8));
        break;
    case 3: { /* something forbidden */
        size_t i = (size_t)below(p, TD_COUNT(forbidden));
        add(p, hello, sizeof hello);
        add(p, forbidden[i].bytes, forbidden[i].n);
        break;
    }
    default: /* wants everything and acknowledges nothing, or does not even read */
        add(p, hello, sizeof hello);
        add(p, subscribe_all, sizeof subscribe_all);
        break;
    }
}

static void peer_close(struct peer *p)
{
    struct td_sys *sys = &p->r->m->sys;
    if (p->line != NONE) {
        sys->close(sys, p->line);
        p->line = NONE;
    }
}

static void tick(struct sim_event *e)
{
    struct peer *p = TD_CONTAINER(e, struct peer, tick);
    struct td_sys *sys = &p->r->m->sys;
    struct sim_world *w = p->r->m->world;
    peer_close(p);
    if (p->r->stopped) {
        return;
    }
    plan(p);
    td_assert(sys->connect(
                  sys, &(struct td_sys_connect){.address = td_slice_of(p->r->address), .owner = p},
                  &p->line) == TD_OK);
    sim_set(w, &p->tick, w->now + (td_mono)sim_between(w, SIM_LOAD, 10000000, 8000000000));
}

static void peer_write(struct peer *p)
{
    struct td_sys *sys = &p->r->m->sys;
    td_slice part = {p->bytes + p->sent, p->n - p->sent};
    size_t sent = 0;
    if (part.n > 0 && sys->write(sys, p->line, &part, 1, &sent) == TD_OK) {
        p->sent += sent;
    }
    unsigned want = p->sent < p->n ? TD_SYS_WRITE : 0;
    sys->watch(sys, p->line, p->reads ? want | TD_SYS_READ : want);
}

bool sim_rude_event(struct sim_rude *r, const struct td_sys_event *e)
{
    struct td_sys *sys = &r->m->sys;
    for (uint32_t i = 0; i < r->count; i++) {
        struct peer *p = &r->peers[i];
        if (e->owner != p) {
            continue;
        }
        uint8_t bytes[512];
        size_t got;
        enum td_err err = TD_EAGAIN;
        if ((e->ready & TD_SYS_READ) != 0) {
            err = sys->read(sys, p->line, bytes, sizeof bytes, &got);
        }
        if ((e->ready & TD_SYS_HANGUP) != 0 || (err != TD_OK && err != TD_EAGAIN)) {
            peer_close(p);
        } else {
            peer_write(p);
        }
        return true;
    }
    return false;
}

struct sim_rude *sim_rude_new(struct sim_machine *m, uint32_t count, const char *address)
{
    struct sim_rude *r = td_alloc(sizeof *r);
    td_assert(count <= PEERS_MAX);
    r->m = m;
    r->address = address;
    r->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct peer *p = &r->peers[i];
        p->r = r;
        p->line = NONE;
        p->tick.fire = tick;
        sim_set(m->world, &p->tick,
                m->world->now + (td_mono)sim_below(m->world, SIM_LOAD, 2000000000));
    }
    return r;
}

void sim_rude_free(struct sim_rude *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        sim_set(r->m->world, &r->peers[i].tick, TD_NEVER);
    }
    free(r);
}

void sim_rude_stop(struct sim_rude *r)
{
    r->stopped = true;
    for (uint32_t i = 0; i < r->count; i++) {
        peer_close(&r->peers[i]);
    }
}
