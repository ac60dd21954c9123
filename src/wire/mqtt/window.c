/* wire/mqtt: the packet ids of a session.
 *
 * Outgoing: slot = id & (cap - 1). Ids are given out in turn, the next one whose slot is free, so
 * that finding a slot by id is one masked load and an id is not used again soon. Growing keeps
 * every entry apart from the others: two ids that differ in the low bits still do.
 * Incoming: open addressing with linear probing; a removal closes the gap behind it. */
#include "wire/mqtt/window.h"

/* ---- outgoing ---- */

void td_mqtt_window_init(struct td_mqtt_window *w, uint16_t last_id)
{
    *w = (struct td_mqtt_window){.last_id = last_id};
}

static bool is_publish(unsigned state)
{
    return state == TD_MQTT_QOS1 || state == TD_MQTT_QOS2;
}

static bool is_request(unsigned state)
{
    return state == TD_MQTT_SUBSCRIBING || state == TD_MQTT_UNSUBSCRIBING;
}

static struct td_mqtt_slot *slot_at(const struct td_mqtt_window *w, unsigned id)
{
    return &w->slots[id & (w->cap - 1u)];
}

static void slot_free(struct td_mqtt_window *w, struct td_mqtt_slot *s)
{
    if (s->counts) { /* MQTT-4.9.0-2; not what a PUBREL sent again ends: it took nothing */
        w->quota++;
    }
    if (!s->sent && !is_request(s->state)) {
        w->unsent--;
    }
    s->state = TD_MQTT_FREE;
    w->used--;
}

void td_mqtt_window_resume(struct td_mqtt_window *w, uint16_t receive_max)
{
    w->quota_max = receive_max < TD_MQTT_WINDOW_MAX ? receive_max : TD_MQTT_WINDOW_MAX;
    w->quota = w->quota_max;
    w->unsent = 0;
    for (unsigned i = 0; i < w->cap; i++) {
        struct td_mqtt_slot *s = &w->slots[i];
        if (is_request(s->state)) {
            slot_free(w, s);
        } else if (s->state != TD_MQTT_FREE) {
            s->sent = s->counts = false;
            w->unsent++;
        }
    }
}

size_t td_mqtt_window_want(const struct td_mqtt_window *w)
{
    if (w->used < w->cap) {
        return w->cap;
    }
    return w->cap == 0 ? TD_MQTT_WINDOW_FIRST : w->cap < TD_MQTT_WINDOW_MAX ? w->cap * 2u : 0;
}

void td_mqtt_window_lend(struct td_mqtt_window *w, struct td_mqtt_slot *slots, size_t cap)
{
    td_assert(cap >= w->cap && cap <= (size_t)2 * TD_MQTT_WINDOW_MAX && cap > 0 &&
              (cap & (cap - 1)) == 0);
    memset(slots, 0, cap * sizeof *slots);
    for (unsigned i = 0; i < w->cap; i++) {
        if (w->slots[i].state != TD_MQTT_FREE) {
            slots[w->slots[i].id & (cap - 1)] = w->slots[i];
        }
    }
    w->slots = slots;
    w->cap = (uint16_t)cap;
}

bool td_mqtt_window_open(const struct td_mqtt_window *w)
{
    return w->quota > 0 && w->unsent == 0;
}

/* The next id whose slot is free; there is one. */
static uint16_t id_next(struct td_mqtt_window *w)
{
    do {
        w->last_id++;
    } while (w->last_id == 0 || slot_at(w, w->last_id)->state != TD_MQTT_FREE);
    return w->last_id;
}

static struct td_mqtt_slot *occupy(struct td_mqtt_window *w, enum td_mqtt_flight state, uint16_t id,
                                   uint64_t body)
{
    struct td_mqtt_slot *s = slot_at(w, id);
    *s =
        (struct td_mqtt_slot){.body = body, .order = w->order++, .id = id, .state = (uint8_t)state};
    w->used++;
    return s;
}

enum td_err td_mqtt_window_take(struct td_mqtt_window *w, enum td_mqtt_flight state, uint64_t body,
                                uint16_t *id)
{
    td_assert(is_publish(state) || is_request(state));
    if (is_publish(state) && !td_mqtt_window_open(w)) {
        return TD_EFULL;
    }
    if (w->used == w->cap) {
        return TD_ENOMEM;
    }
    *id = id_next(w);
    struct td_mqtt_slot *s = occupy(w, state, *id, body);
    s->sent = true;
    s->counts = is_publish(state);
    w->quota = (uint16_t)(w->quota - s->counts);
    return TD_OK;
}

enum td_err td_mqtt_window_hold(struct td_mqtt_window *w, enum td_mqtt_flight state, uint64_t body,
                                uint16_t *id)
{
    td_assert(is_publish(state));
    if (w->used == w->cap) {
        return TD_ENOMEM;
    }
    *id = id_next(w);
    (void)occupy(w, state, *id, body);
    w->unsent++;
    return TD_OK;
}

enum td_err td_mqtt_window_restore(struct td_mqtt_window *w, enum td_mqtt_flight state, uint16_t id,
                                   uint64_t body)
{
    td_assert(!is_request(state) && state != TD_MQTT_FREE && id != 0);
    if (w->used == w->cap || slot_at(w, id)->state != TD_MQTT_FREE) {
        return TD_ENOMEM;
    }
    (void)occupy(w, state, id, body);
    w->unsent++;
    return TD_OK;
}

struct td_mqtt_slot *td_mqtt_window_find(const struct td_mqtt_window *w, uint16_t id)
{
    if (w->cap == 0) {
        return NULL;
    }
    struct td_mqtt_slot *s = slot_at(w, id);
    return s->state != TD_MQTT_FREE && s->id == id ? s : NULL;
}

static enum td_mqtt_acked done(struct td_mqtt_window *w, struct td_mqtt_slot *s, uint64_t *body)
{
    *body = s->body;
    slot_free(w, s);
    return TD_MQTT_ACK_DONE;
}

static enum td_mqtt_acked pubrec(struct td_mqtt_window *w, struct td_mqtt_slot *s, unsigned reason,
                                 uint64_t *body)
{
    if (reason >= 0x80) {
        return s->state == TD_MQTT_QOS2 ? done(w, s, body) : TD_MQTT_ACK_WRONG;
    }
    if (s->state == TD_MQTT_RELEASED) {
        return TD_MQTT_ACK_AGAIN;
    }
    *body = s->body;
    s->state = TD_MQTT_RELEASED;
    return TD_MQTT_ACK_RELEASE;
}

/* Which state an acknowledgement ends, beside RELEASED for PUBREC. */
static enum td_mqtt_flight ends(unsigned type)
{
    switch (type) {
    case TD_MQTT_PUBACK:
        return TD_MQTT_QOS1;
    case TD_MQTT_PUBREC:
        return TD_MQTT_QOS2;
    case TD_MQTT_PUBCOMP:
        return TD_MQTT_RELEASED;
    case TD_MQTT_SUBACK:
        return TD_MQTT_SUBSCRIBING;
    case TD_MQTT_UNSUBACK:
        return TD_MQTT_UNSUBSCRIBING;
    default:
        return TD_MQTT_FREE;
    }
}

enum td_mqtt_acked td_mqtt_window_ack(struct td_mqtt_window *w, unsigned type, uint16_t id,
                                      unsigned reason, uint64_t *body)
{
    struct td_mqtt_slot *s = td_mqtt_window_find(w, id);
    if (s == NULL) {
        return TD_MQTT_ACK_UNKNOWN;
    }
    bool repeats = type == TD_MQTT_PUBREC && s->state == TD_MQTT_RELEASED;
    if (s->state != ends(type) && !repeats) {
        return TD_MQTT_ACK_WRONG;
    }
    if (!s->sent && is_publish(s->state)) {
        return TD_MQTT_ACK_WRONG; /* nobody can acknowledge what was not yet sent again */
    }
    return type == TD_MQTT_PUBREC ? pubrec(w, s, reason, body) : done(w, s, body);
}

void td_mqtt_window_drop(struct td_mqtt_window *w, uint16_t id)
{
    struct td_mqtt_slot *s = td_mqtt_window_find(w, id);
    if (s != NULL) {
        slot_free(w, s);
    }
}

/* Orders wrap; all that are in use lie within half their range. */
static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static struct td_mqtt_slot *earliest(const struct td_mqtt_window *w, const uint32_t *after,
                                     bool unsent_only)
{
    struct td_mqtt_slot *best = NULL;
    for (unsigned i = 0; i < w->cap; i++) {
        struct td_mqtt_slot *s = &w->slots[i];
        if (s->state == TD_MQTT_FREE || (unsent_only && s->sent) ||
            (after != NULL && !before(*after, s->order))) {
            continue;
        }
        best = best == NULL || before(s->order, best->order) ? s : best;
    }
    return best;
}

struct td_mqtt_slot *td_mqtt_window_waiting(const struct td_mqtt_window *w)
{
    struct td_mqtt_slot *s = w->unsent == 0 ? NULL : earliest(w, NULL, true);
    return s != NULL && is_publish(s->state) && w->quota == 0 ? NULL : s;
}

void td_mqtt_window_sent(struct td_mqtt_window *w, struct td_mqtt_slot *s)
{
    td_assert(!s->sent);
    s->sent = true;
    s->counts = is_publish(s->state);
    w->unsent--;
    w->quota = (uint16_t)(w->quota - s->counts);
}

struct td_mqtt_slot *td_mqtt_window_resend(struct td_mqtt_window *w)
{
    struct td_mqtt_slot *s = td_mqtt_window_waiting(w);
    if (s != NULL) {
        td_mqtt_window_sent(w, s);
    }
    return s;
}

struct td_mqtt_slot *td_mqtt_window_next(const struct td_mqtt_window *w,
                                         const struct td_mqtt_slot *after)
{
    return earliest(w, after == NULL ? NULL : &after->order, false);
}

/* ---- incoming QoS 2 ---- */

enum { IDS_FIRST = 8 };

void td_mqtt_ids_init(struct td_mqtt_ids *s)
{
    *s = (struct td_mqtt_ids){0};
}

size_t td_mqtt_ids_want(const struct td_mqtt_ids *s)
{
    if (s->used * 2 < s->cap) {
        return s->cap;
    }
    return s->cap == 0 ? IDS_FIRST : (size_t)s->cap * 2;
}

static uint32_t home(const struct td_mqtt_ids *s, uint16_t id)
{
    return id * UINT32_C(0x9E3779B1) >> 16 & (s->cap - 1);
}

/* Where the id is, or the free place where it belongs. */
static uint32_t probe(const struct td_mqtt_ids *s, uint16_t id)
{
    uint32_t at = home(s, id);
    while (s->slots[at] != 0 && s->slots[at] != id) {
        at = (at + 1) & (s->cap - 1);
    }
    return at;
}

void td_mqtt_ids_lend(struct td_mqtt_ids *s, uint16_t *slots, size_t cap)
{
    td_assert(cap >= s->cap && cap > 1 && cap <= 0x40000 && (cap & (cap - 1)) == 0);
    struct td_mqtt_ids old = *s;
    memset(slots, 0, cap * sizeof *slots);
    s->slots = slots;
    s->cap = (uint32_t)cap;
    for (uint32_t i = 0; i < old.cap; i++) {
        if (old.slots[i] != 0) {
            slots[probe(s, old.slots[i])] = old.slots[i];
        }
    }
}

bool td_mqtt_ids_has(const struct td_mqtt_ids *s, uint16_t id)
{
    return s->used > 0 && s->slots[probe(s, id)] == id;
}

enum td_err td_mqtt_ids_add(struct td_mqtt_ids *s, uint16_t id)
{
    td_assert(id != 0);
    if (td_mqtt_ids_has(s, id)) {
        return TD_EEXIST;
    }
    if (s->used * 2 >= s->cap) {
        return TD_ENOMEM;
    }
    s->slots[probe(s, id)] = id;
    s->used++;
    return TD_OK;
}

bool td_mqtt_ids_remove(struct td_mqtt_ids *s, uint16_t id)
{
    if (id == 0 || !td_mqtt_ids_has(s, id)) {
        return false;
    }
    uint32_t mask = s->cap - 1;
    uint32_t gap = probe(s, id);
    for (uint32_t at = (gap + 1) & mask; s->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t away = (at - home(s, s->slots[at])) & mask; /* from its home to here */
        if (away >= ((at - gap) & mask)) {
            s->slots[gap] = s->slots[at];
            gap = at;
        }
    }
    s->slots[gap] = 0;
    s->used--;
    return true;
}

uint16_t td_mqtt_ids_next(const struct td_mqtt_ids *s, uint32_t *at)
{
    while (*at < s->cap) {
        uint16_t id = s->slots[(*at)++];
        if (id != 0) {
            return id;
        }
    }
    return 0;
}
