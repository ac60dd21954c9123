/* sim: the book of who said, wanted and got what. */
#include "sim/naive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "hub/hub.h"

#define NOBODY UINT32_MAX /* no enum: ISO C keeps those within int */
enum { EXPIRY_SLACK_S = 2 };

struct session {
    bool tried, ever;    /* a CONNECT went out; one before the present one did */
    bool clean, durable; /* of the connect under way or last */
    bool online;
    uint32_t expiry_s;
    td_mono heard;
    td_mono sure_until; /* the hub must have the session; 0: need not */
};

/* Order is kept by publisher, topic, and QoS as sent and as delivered. */
struct last {
    uint32_t number[SIM_CLIENTS_MAX][SIM_TOPICS_MAX][3][3]; /* + 1, 0: none yet */
};

struct sim_book {
    struct sim_world *w;
    const char *const *topics;
    size_t topic_count;
    struct sim_said *said;
    size_t said_count, said_cap;
    struct sim_want *wants;
    size_t want_count, want_cap;
    struct session sessions[SIM_CLIENTS_MAX];
    struct last *last[SIM_CLIENTS_MAX];
    uint32_t retained[SIM_TOPICS_MAX]; /* what the auditor got, + 1 */
    uint32_t auditor;                  /* NOBODY */
    struct sim_book_doubts doubts;
    uint64_t musts;
};

struct sim_book *sim_book_new(struct sim_world *w, const char *const *topics, size_t count)
{
    struct sim_book *b = td_alloc(sizeof *b);
    td_assert(count <= SIM_TOPICS_MAX);
    b->w = w;
    b->topics = topics;
    b->topic_count = count;
    b->auditor = NOBODY;
    return b;
}

void sim_book_free(struct sim_book *b)
{
    for (size_t i = 0; i < b->said_count; i++) {
        free((void *)(uintptr_t)b->said[i].payload.p);
    }
    for (size_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        free(b->last[i]);
    }
    free(b->said);
    free(b->wants);
    free(b);
}

struct sim_book_doubts *sim_book_doubts(struct sim_book *b)
{
    return &b->doubts;
}

td_slice sim_book_topic(const struct sim_book *b, uint32_t topic)
{
    return td_slice_of(b->topics[topic]);
}

/* ---- publishers ---- */

/* Each payload names its message: {"n":12,"v":0.5}, "n=12 ....", or 0xFF and 4 bytes. */
static td_slice payload_make(const struct sim_said *s, uint32_t number, size_t padding)
{
    struct td_buf buf;
    td_buf_init(&buf, 1 << 24);
    enum td_err err = TD_OK;
    uint8_t head[5] = {0xFF};
    switch (s->form) {
    case SIM_JSON:
        err = td_buf_printf(&buf, "{\"n\":%" PRIu32 ",\"v\":", number);
        err = err == TD_OK ? td_json_add_number(&buf, s->value) : err;
        err = err == TD_OK ? td_buf_add(&buf, TD_STR("}")) : err;
        break;
    case SIM_TEXT:
        err = td_buf_printf(&buf, "n=%" PRIu32 " ", number);
        break;
    case SIM_BINARY:
        (void)td_put_u32(head + 1, number);
        err = td_buf_add(&buf, (td_slice){head, sizeof head});
        break;
    case SIM_EMPTY:
    case SIM_FORMS:
        break;
    }
    for (size_t i = 0; (s->form == SIM_TEXT || s->form == SIM_BINARY) && i < padding; i++) {
        err = err == TD_OK ? td_buf_add_u8(&buf, (uint8_t)('a' + (i + number) % 26)) : err;
    }
    td_assert(err == TD_OK);
    return td_buf_slice(&buf);
}

static uint32_t number_of(td_slice payload)
{
    if (payload.n >= 5 && payload.p[0] == 0xFF) {
        struct td_cursor c = td_cursor_of(td_slice_skip(payload, 1));
        return td_cursor_u32(&c);
    }
    size_t skip = td_slice_starts(payload, TD_STR("{\"n\":")) ? 5
                  : td_slice_starts(payload, TD_STR("n="))    ? 2
                                                              : 0;
    uint32_t number = 0;
    td_slice rest = td_slice_skip(payload, skip);
    for (size_t i = 0; i < rest.n && i < 9 && rest.p[i] >= '0' && rest.p[i] <= '9'; i++) {
        number = number * 10 + (uint32_t)(rest.p[i] - '0');
    }
    return skip == 0 ? NOBODY : number;
}

uint32_t sim_book_say(struct sim_book *b, struct sim_said said, size_t padding)
{
    if (b->said_count == b->said_cap) {
        b->said_cap = b->said_cap == 0 ? 256 : b->said_cap * 2;
        b->said = td_realloc(b->said, b->said_cap * sizeof *b->said);
    }
    uint32_t number = (uint32_t)b->said_count++;
    said.from = b->w->now;
    said.acked = TD_NEVER;
    said.payload = payload_make(&said, number, padding);
    b->said[number] = said;
    return number;
}

void sim_book_unsay(struct sim_book *b, uint32_t number)
{
    td_assert(number + 1 == b->said_count);
    free((void *)(uintptr_t)b->said[number].payload.p);
    b->said_count--;
}

void sim_book_will_due(struct sim_book *b, uint32_t number)
{
    struct sim_said *m = &b->said[number];
    if (!b->doubts.crashes && !b->doubts.late) { /* else the hub may have seen another end */
        m->from = m->acked = b->w->now;
    }
}

struct sim_said *sim_book_said(struct sim_book *b, uint32_t number)
{
    td_assert(number < b->said_count);
    return &b->said[number];
}

size_t sim_book_said_count(const struct sim_book *b)
{
    return b->said_count;
}

/* ---- sessions ---- */

void sim_book_connecting(struct sim_book *b, uint32_t who, const struct sim_hello *hello)
{
    struct session *s = &b->sessions[who];
    sim_trace(b->w, "hello", who, (uint64_t)hello->clean << 1 | hello->durable, (td_slice){0});
    s->ever |= s->tried;
    s->tried = true;
    s->clean = hello->clean;
    if (hello->clean) { /* from now on the old session may be gone at any moment */
        s->sure_until = 0;
        for (size_t i = 0; i < b->want_count; i++) {
            struct sim_want *w = &b->wants[i];
            if (w->who == who) {
                w->until_sure = td_mono_min(w->until_sure, b->w->now);
            }
        }
    }
    s->durable = hello->durable;
    s->expiry_s = hello->expiry_s;
}

static void session_gone(struct sim_book *b, uint32_t who)
{
    for (size_t i = 0; i < b->want_count; i++) {
        struct sim_want *w = &b->wants[i];
        if (w->who == who) {
            w->until_sure = td_mono_min(w->until_sure, b->w->now);
            w->until_possible = td_mono_min(w->until_possible, b->w->now);
        }
    }
}

void sim_book_connected(struct sim_book *b, uint32_t who, bool present)
{
    struct session *s = &b->sessions[who];
    sim_trace(b->w, "connected", who, present, (td_slice){0});
    if (s->clean && present) {
        sim_fail(b->w, "client %u asked for a clean start and was given an old session", who);
    }
    if (!s->ever && present) {
        sim_fail(b->w, "client %u connects for the first time and was given a session", who);
    }
    if (!s->clean && !present && s->sure_until > b->w->now) {
        sim_fail(b->w, "the session of client %u is lost (promised until %.3f s)", who,
                 (double)s->sure_until / 1e9);
    }
    if (!present) {
        session_gone(b, who);
    }
    s->online = true;
    s->heard = b->w->now;
    s->sure_until = s->durable ? TD_NEVER : 0;
}

bool sim_book_expects(const struct sim_book *b, uint32_t who)
{
    return b->sessions[who].sure_until > b->w->now;
}

void sim_book_heard(struct sim_book *b, uint32_t who)
{
    b->sessions[who].heard = b->w->now;
}

void sim_book_lost(struct sim_book *b, uint32_t who)
{
    struct session *s = &b->sessions[who];
    sim_trace(b->w, "lost", who, s->online, (td_slice){0});
    if (!s->online) {
        return;
    }
    s->online = false;
    if (!s->durable) {
        s->sure_until = 0;
        for (size_t i = 0; i < b->want_count; i++) {
            if (b->wants[i].who == who) {
                b->wants[i].until_sure = td_mono_min(b->wants[i].until_sure, s->heard);
            }
        }
    } else if (s->expiry_s < UINT32_MAX) {
        td_mono span = ((td_mono)s->expiry_s - EXPIRY_SLACK_S) * TD_NS_PER_S;
        s->sure_until = b->doubts.late || span <= 0 ? 0 : s->heard + span;
    }
}

/* ---- subscribers ---- */

uint32_t sim_book_want(struct sim_book *b, struct sim_want want)
{
    if (b->want_count == b->want_cap) {
        b->want_cap = b->want_cap == 0 ? 64 : b->want_cap * 2;
        b->wants = td_realloc(b->wants, b->want_cap * sizeof *b->wants);
    }
    want.asked = b->w->now;
    want.from = want.until_sure = want.until_possible = TD_NEVER;
    b->wants[b->want_count] = want;
    return (uint32_t)b->want_count++;
}

struct sim_want *sim_book_wanted(struct sim_book *b, uint32_t want)
{
    td_assert(want < b->want_count);
    return &b->wants[want];
}

void sim_book_granted(struct sim_book *b, uint32_t want)
{
    b->wants[want].from = b->w->now;
}

void sim_book_unwant(struct sim_book *b, uint32_t want)
{
    struct sim_want *w = &b->wants[want];
    w->until_sure = td_mono_min(w->until_sure, b->w->now);
}

void sim_book_unwanted(struct sim_book *b, uint32_t want)
{
    struct sim_want *w = &b->wants[want];
    w->until_possible = td_mono_min(w->until_possible, b->w->now);
}

static bool want_matches(const struct sim_want *w, td_slice topic)
{
    td_slice group, inner = w->filter;
    (void)td_filter_shared(w->filter, &group, &inner);
    return td_filter_matches(inner, topic);
}

/* What the wants of one client that were possibly in force say of one message. */
struct verdict {
    unsigned count, shared, not_local;
    int qos_most;  /* -1: none matches */
    int qos_least; /* by those surely in force from before the message until now */
    bool as_published;
};

static struct verdict judge(const struct sim_book *b, uint32_t who, const struct sim_said *m,
                            td_slice topic, bool retained)
{
    struct verdict v = {.qos_most = -1, .qos_least = -1};
    for (size_t i = 0; i < b->want_count; i++) {
        const struct sim_want *w = &b->wants[i];
        if (w->who != who || (!retained && w->until_possible < m->from) ||
            !want_matches(w, topic)) {
            continue;
        }
        int qos = w->options.qos < m->qos ? w->options.qos : m->qos;
        bool own = w->options.no_local && m->by == who && !retained;
        v.count++;
        v.shared += w->shared;
        v.not_local += !w->options.no_local;
        v.as_published |= w->options.retain_as_published;
        v.qos_most = qos > v.qos_most && !own ? qos : v.qos_most;
        if (w->from <= m->from && w->until_sure == TD_NEVER && !own && qos > v.qos_least) {
            v.qos_least = qos;
        }
    }
    return v;
}

static void check_order(struct sim_book *b, uint32_t who, const struct sim_said *m, uint32_t number,
                        uint8_t qos)
{
    if (b->last[who] == NULL) {
        b->last[who] = td_alloc(sizeof *b->last[who]);
    }
    uint32_t *last = &b->last[who]->number[m->by][m->topic][m->qos][qos];
    if (*last > number + 1) {
        sim_fail(b->w,
                 "client %u got message %u of client %u on %s behind its later one %u (sent at QoS"
                 " %u, delivered at %u)",
                 who, number, m->by, b->topics[m->topic], *last - 1, m->qos, qos);
    }
    *last = number + 1;
}

static void count(uint8_t *n)
{
    *n = (uint8_t)(*n + (*n < UINT8_MAX));
}

/* A copy sent because the message was published, not because it is retained. */
static void got_live(struct sim_book *b, uint32_t who, uint32_t number, struct sim_said *m,
                     const struct verdict *v, const struct td_mqtt_packet *p)
{
    if (v->not_local == 0 && m->by == who) {
        sim_fail(b->w, "client %u got its own message %u in spite of No Local", who, number);
    }
    if (p->qos < v->qos_least && v->shared == 0 && !m->will) {
        sim_fail(b->w, "client %u got message %u with QoS %u, %d was granted", who, number, p->qos,
                 v->qos_least);
    }
    /* Only what was surely to be delivered, with this QoS, when it was first sent: the rest may be
     * lost or expire at first and come when its sender, not having been acknowledged, sends it
     * again. */
    bool sure =
        v->qos_least == p->qos && (p->qos > 0 || m->qos == 0) && v->shared == 0 && !m->expires;
    if (m->got[who] == 0 && sure && !m->will && !b->doubts.queues_full) {
        check_order(b, who, m, number, p->qos);
    }
    count(&m->got[who]);
    if (p->qos != 1) {
        count(&m->once[who]);
    }
    if (m->qos != 1 && p->qos != 1 && !m->twice && m->once[who] > 1 + v->shared &&
        !(m->will && b->doubts.crashes)) {
        sim_fail(b->w, "client %u got message %u (QoS %u of client %u, topic %s) twice at QoS %u",
                 who, number, m->qos, m->by, b->topics[m->topic], p->qos);
    }
}

static void got_known(struct sim_book *b, uint32_t who, uint32_t number,
                      const struct td_mqtt_packet *p)
{
    struct sim_said *m = &b->said[number];
    td_slice topic = sim_book_topic(b, m->topic);
    if (!td_slice_eq(topic, p->topic) || !td_slice_eq(m->payload, p->payload)) {
        sim_fail(b->w, "client %u got message %u with another topic or other bytes", who, number);
        return;
    }
    struct verdict v = judge(b, who, m, topic, p->retain);
    if (v.count == 0) {
        sim_fail(b->w, "client %u got message %u on %s and has no subscription for it", who, number,
                 b->topics[m->topic]);
        return;
    }
    if (p->qos > v.qos_most) {
        sim_fail(b->w, "client %u got message %u with QoS %u, at most %d was granted", who, number,
                 p->qos, v.qos_most);
    }
    if (p->retain && !m->retain) {
        sim_fail(b->w, "client %u got message %u as retained, which it is not", who, number);
    }
    if (!p->retain) {
        got_live(b, who, number, m, &v, p);
    } else if (v.as_published) { /* may be either kind */
        count(&m->got[who]);
    }
}

static uint32_t topic_find(const struct sim_book *b, td_slice topic)
{
    for (uint32_t i = 0; i < b->topic_count; i++) {
        if (td_slice_eq(topic, sim_book_topic(b, i))) {
            return i;
        }
    }
    return NOBODY;
}

static void got_empty(struct sim_book *b, uint32_t who, const struct td_mqtt_packet *p)
{
    for (size_t i = 0; i < b->said_count; i++) {
        if (b->said[i].form == SIM_EMPTY &&
            td_slice_eq(sim_book_topic(b, b->said[i].topic), p->topic)) {
            return; /* any of them: they bear no name */
        }
    }
    sim_fail(b->w, "client %u got an empty message that nobody sent", who);
}

void sim_book_got(struct sim_book *b, uint32_t who, const struct td_mqtt_packet *p)
{
    sim_trace(b->w, "got", who, p->id, p->payload);
    if (p->payload.n == 0) {
        got_empty(b, who, p);
        return;
    }
    uint32_t number = number_of(p->payload);
    if (number >= b->said_count) {
        sim_fail(b->w, "client %u got a message on %.*s that nobody sent", who, (int)p->topic.n,
                 (const char *)p->topic.p);
        return;
    }
    got_known(b, who, number, p);
    uint32_t topic = topic_find(b, p->topic);
    if (p->retain && topic != NOBODY && who == b->auditor) {
        b->retained[topic] = number + 1;
    }
}

/* ---- at the end ---- */

static bool must(const struct sim_said *m, const struct sim_want *w)
{
    return m->qos > 0 && w->options.qos > 0 && m->acked != TD_NEVER && !m->refused && !m->expires &&
           !m->will && m->form != SIM_EMPTY && w->from <= m->from && w->until_sure == TD_NEVER &&
           !(w->options.no_local && w->who == m->by);
}

static void check_want(struct sim_book *b, const struct sim_want *w)
{
    for (uint32_t i = 0; i < b->said_count; i++) {
        const struct sim_said *m = &b->said[i];
        if (!must(m, w) || !want_matches(w, sim_book_topic(b, m->topic))) {
            continue;
        }
        b->musts++;
        if (m->got[w->who] == 0) {
            sim_fail(b->w,
                     "client %u never got message %u (QoS %u of client %u on %s, sent %.6f s,"
                     " acknowledged %.6f s) for '%.*s' (QoS %u, in force from %.6f s)",
                     w->who, i, m->qos, m->by, b->topics[m->topic], (double)m->from / 1e9,
                     (double)m->acked / 1e9, (int)w->filter.n, (const char *)w->filter.p,
                     w->options.qos, (double)w->from / 1e9);
        }
    }
}

/* A shared subscription: some member, if none had it at QoS 0. Who leaves the group or ends its
 * session, in a crash too, gives back what it has not acknowledged, but for QoS 2 once begun. */
static void check_shared(struct sim_book *b, const struct sim_want *w)
{
    bool left = false;
    for (size_t k = 0; k < b->want_count; k++) {
        const struct sim_want *o = &b->wants[k];
        if (td_slice_eq(o->filter, w->filter)) {
            left = left || o->until_sure != TD_NEVER;
            if (o->options.qos == 0) {
                return;
            }
        }
    }
    for (uint32_t i = 0; i < b->said_count; i++) {
        const struct sim_said *m = &b->said[i];
        bool got = false;
        if (!must(m, w) || (left && m->qos == 2) || !want_matches(w, sim_book_topic(b, m->topic))) {
            continue;
        }
        for (size_t k = 0; k < b->want_count; k++) {
            got |= td_slice_eq(b->wants[k].filter, w->filter) && m->got[b->wants[k].who] > 0;
        }
        b->musts++;
        if (!got) {
            sim_fail(b->w, "nobody of '%.*s' got message %u (QoS %u of client %u on %s)",
                     (int)w->filter.n, (const char *)w->filter.p, i, m->qos, m->by,
                     b->topics[m->topic]);
        }
    }
}

void sim_book_check(struct sim_book *b)
{
    for (size_t i = 0; i < b->want_count && !b->doubts.queues_full; i++) {
        const struct sim_want *w = &b->wants[i];
        if (w->from == TD_NEVER || w->until_sure != TD_NEVER) {
            continue;
        }
        if (w->shared) {
            check_shared(b, w);
        } else {
            check_want(b, w);
        }
    }
}

uint64_t sim_book_musts(const struct sim_book *b)
{
    return b->musts;
}

/* Is there an acknowledged retained message on the topic that surely came behind `time`? */
static uint32_t replaced_by(const struct sim_book *b, uint32_t topic, td_mono time)
{
    for (uint32_t i = 0; i < b->said_count; i++) {
        const struct sim_said *m = &b->said[i];
        if (m->topic == topic && m->retain && m->qos > 0 && m->acked != TD_NEVER && !m->refused &&
            m->from > time) {
            return i;
        }
    }
    return NOBODY;
}

static bool may_be_empty(const struct sim_book *b, uint32_t topic)
{
    uint32_t last = replaced_by(b, topic, -1);
    for (uint32_t i = 0; i < b->said_count; i++) {
        const struct sim_said *m = &b->said[i];
        if (m->topic == topic && m->retain && (m->form == SIM_EMPTY || m->expires) &&
            replaced_by(b, topic, m->acked) == NOBODY) {
            return true;
        }
    }
    return last == NOBODY;
}

void sim_book_check_retained(struct sim_book *b, uint32_t auditor)
{
    td_assert(auditor == b->auditor);
    for (uint32_t t = 0; t < b->topic_count; t++) {
        if (b->retained[t] == 0) {
            if (!may_be_empty(b, t)) {
                sim_fail(b->w, "%s has no retained message, message %u at least should be there",
                         b->topics[t], replaced_by(b, t, -1));
            }
            continue;
        }
        const struct sim_said *m = &b->said[b->retained[t] - 1];
        uint32_t later = replaced_by(b, t, m->acked);
        if (m->acked != TD_NEVER && later != NOBODY) {
            sim_fail(b->w, "%s has retained message %u, though %u replaced it", b->topics[t],
                     b->retained[t] - 1, later);
        }
    }
}

void sim_book_audit(struct sim_book *b, uint32_t auditor)
{
    b->auditor = auditor;
}
