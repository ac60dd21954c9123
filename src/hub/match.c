/* hub: matching. The walk goes down the tree with the topic's levels and merges what it finds into
 * one delivery a subscriber. The result is remembered in one place per topic hash, stamped with
 * the generations that could change it; a topic is admitted at second sight, or topics that are
 * used once would flush the memory. */
#include "hub/match.h"

#include <stdlib.h>

enum { SLOTS = 4096, TOPIC_REMEMBERED_MAX = 1024 };

struct td_matched {
    struct td_match match;
    uint64_t hash;         /* of the topic; 0: nothing here */
    uint64_t seen;         /* hash of the last topic that asked for this place */
    const uint64_t *first; /* its first level's generation, then as it was */
    uint64_t generation, generation_wild;
    uint8_t *topic; /* bytes of the remembered topic */
    size_t topic_n;
    uint32_t delivery_cap, group_cap;
    uint32_t *ids;      /* of all deliveries, in the order of the walk */
    uint32_t *id_owner; /* delivery index of each */
    uint32_t id_count, id_cap;
};

void td_matcher_init(struct td_matcher *m, struct td_tree *tree, struct td_hub_stats *stats,
                     uint64_t seed)
{
    *m = (struct td_matcher){.tree = tree, .stats = stats, .seed = seed};
    m->slots = td_alloc(SLOTS * sizeof *m->slots);
    m->scratch = td_alloc(sizeof *m->scratch);
}

static void matched_fini(struct td_matched *s)
{
    free(s->match.deliveries);
    free(s->match.groups);
    free(s->topic);
    free(s->ids);
    free(s->id_owner);
}

void td_matcher_fini(struct td_matcher *m)
{
    for (size_t i = 0; i < SLOTS; i++) {
        matched_fini(&m->slots[i]);
    }
    matched_fini(m->scratch);
    free(m->slots);
    free(m->scratch);
}

static uint64_t *generation_of(struct td_matcher *m, td_slice path)
{
    td_slice first = td_slice_head(path, td_slice_find(path, '/'));
    if (first.n == 1 && (first.p[0] == '+' || first.p[0] == '#')) {
        return &m->generation_wild;
    }
    return &m->generation[td_hash(first, m->seed) % TD_GENERATIONS];
}

void td_matcher_changed(struct td_matcher *m, td_slice filter)
{
    ++*generation_of(m, filter);
}

/* ---- collecting ---- */

static void id_add(struct td_matched *out, uint32_t delivery, uint32_t id)
{
    if (out->id_count == out->id_cap) {
        out->id_cap = out->id_cap == 0 ? 4 : out->id_cap * 2;
        out->ids = td_realloc(out->ids, out->id_cap * sizeof *out->ids);
        out->id_owner = td_realloc(out->id_owner, out->id_cap * sizeof *out->id_owner);
    }
    out->ids[out->id_count] = id;
    out->id_owner[out->id_count++] = delivery;
}

static struct td_delivery *delivery_add(struct td_matched *out)
{
    struct td_match *match = &out->match;
    if (match->count == out->delivery_cap) {
        out->delivery_cap = out->delivery_cap == 0 ? 2 : out->delivery_cap * 2;
        match->deliveries =
            td_realloc(match->deliveries, out->delivery_cap * sizeof *match->deliveries);
    }
    return &match->deliveries[match->count++];
}

/* One copy a client: its subscriptions merge (MQTT-3.3.4-2 allows it, and DESIGN wants it). */
static void collect_sub(struct td_matcher *m, struct td_matched *out,
                        const struct td_subscription *s)
{
    struct td_subscriber *who = s->who;
    struct td_delivery *d;
    if (who->merge_stamp != m->stamp) {
        who->merge_stamp = m->stamp;
        who->merge_at = out->match.count;
        d = delivery_add(out);
        *d = (struct td_delivery){.to = who};
        out->match.durable |= who->durable;
    }
    d = &out->match.deliveries[who->merge_at];
    d->qos = s->options.qos > d->qos ? s->options.qos : d->qos;
    d->retain_as_published |= s->options.retain_as_published;
    d->no_local |= s->options.no_local;
    d->local |= !s->options.no_local;
    if (s->options.id != 0) {
        id_add(out, who->merge_at, s->options.id);
    }
}

static void collect_groups(struct td_matched *out, struct td_group *g)
{
    struct td_match *match = &out->match;
    for (; g != NULL; g = g->next) {
        if (match->group_count == out->group_cap) {
            out->group_cap = out->group_cap == 0 ? 2 : out->group_cap * 2;
            match->groups = td_realloc(match->groups, out->group_cap * sizeof(struct td_group *));
        }
        match->groups[match->group_count++] = g;
        for (uint32_t i = 0; i < g->members.count; i++) {
            match->durable |= td_subs_at(&g->members, i)->who->durable;
        }
    }
}

static void collect(struct td_matcher *m, struct td_matched *out, const struct td_node *n)
{
    for (uint32_t i = 0; i < n->subs.count; i++) {
        collect_sub(m, out, td_subs_at(&n->subs, i));
    }
    if (!m->no_groups) {
        collect_groups(out, n->groups);
    }
    out->match.loops |= n->loops;
}

static void walk(struct td_matcher *m, struct td_matched *out, const struct td_node *n, size_t at)
{
    m->stats->nodes_visited++;
    /* MQTT-4.7.2-1: a wildcard at the first level does not match topics that begin with $. */
    bool wild = at > 0 || m->levels[0].n == 0 || m->levels[0].p[0] != '$';
    if (n->hash != NULL && wild) {
        collect(m, out, n->hash);
    }
    if (at == m->level_count) {
        collect(m, out, n);
        return;
    }
    const struct td_node *child = td_tree_child(m->tree, n, m->levels[at]);
    if (child != NULL) {
        walk(m, out, child, at + 1);
    }
    if (n->plus != NULL && wild) {
        walk(m, out, n->plus, at + 1);
    }
}

/* Groups the ids by delivery, then points each delivery at its own. */
static void ids_settle(struct td_matched *out)
{
    for (uint32_t i = 1; i < out->id_count; i++) { /* few: insertion keeps the walk's order */
        uint32_t id = out->ids[i], owner = out->id_owner[i], at = i;
        for (; at > 0 && out->id_owner[at - 1] > owner; at--) {
            out->ids[at] = out->ids[at - 1];
            out->id_owner[at] = out->id_owner[at - 1];
        }
        out->ids[at] = id;
        out->id_owner[at] = owner;
    }
    for (uint32_t i = out->id_count; i-- > 0;) {
        struct td_delivery *d = &out->match.deliveries[out->id_owner[i]];
        d->ids = &out->ids[i];
        d->id_count++;
    }
}

static void match_fresh(struct td_matcher *m, struct td_matched *out, td_slice topic)
{
    out->match.count = out->match.group_count = 0;
    out->match.loops = 0;
    out->match.durable = false;
    out->id_count = 0;
    m->level_count = td_topic_split(topic, m->levels);
    td_assert(m->level_count > 0);
    m->stamp++;
    walk(m, out, m->tree->root, 0);
    ids_settle(out);
}

/* ---- remembering ---- */

static void remember(struct td_matcher *m, struct td_matched *s, td_slice topic, uint64_t hash)
{
    s->topic = td_realloc(s->topic, topic.n);
    (void)td_put_bytes(s->topic, topic);
    s->topic_n = topic.n;
    s->hash = hash;
    s->first = generation_of(m, topic);
    s->generation = *s->first;
    s->generation_wild = m->generation_wild;
}

const struct td_match *td_matcher_match(struct td_matcher *m, td_slice topic)
{
    uint64_t hash = m->matched = td_matcher_hash(m, topic);
    struct td_matched *s = &m->slots[(hash >> 32) % SLOTS];
    bool same = s->hash == hash && td_slice_eq(topic, (td_slice){s->topic, s->topic_n});
    if (same && s->generation == *s->first && s->generation_wild == m->generation_wild) {
        m->stats->cache_hits++;
        return &s->match;
    }
    m->stats->cache_misses++;
    if (same || (s->seen == hash && topic.n <= TOPIC_REMEMBERED_MAX)) {
        match_fresh(m, s, topic);
        remember(m, s, topic, hash);
        return &s->match;
    }
    s->seen = hash;
    match_fresh(m, m->scratch, topic);
    return &m->scratch->match;
}
