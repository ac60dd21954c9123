/* hub: the door. Subscriptions, shared groups and retained messages come and go on the tree's
 * nodes; every change of a filter moves its generation, so that no remembered match outlives it. */
#include "hub/hub.h"

#include <stdlib.h>

#include "hub/match.h"
#include "hub/tree.h"

struct td_hub {
    struct td_hub_limits limits;
    struct td_hub_stats stats;
    struct td_tree tree;
    struct td_matcher matcher;
    struct td_heap expiries;
    struct td_map accounts; /* struct account by owner */
    bool retain_hold;
    void (*interest)(void *ctx, td_slice filter, bool on); /* NULL: there are no other loops */
    void *interest_ctx;
};

struct td_hub *td_hub_new(const struct td_hub_limits *limits, uint64_t seed)
{
    struct td_hub *hub = td_alloc(sizeof *hub);
    hub->limits = *limits;
    td_tree_init(&hub->tree, limits->nodes_max, seed);
    td_matcher_init(&hub->matcher, &hub->tree, &hub->stats, seed);
    td_heap_init(&hub->expiries);
    td_map_init(&hub->accounts, seed);
    return hub;
}

const struct td_hub_stats *td_hub_stats(const struct td_hub *hub)
{
    return &hub->stats;
}

/* ---- interest ---- */

void td_hub_watch(struct td_hub *hub, bool groups_elsewhere,
                  void (*fn)(void *ctx, td_slice filter, bool on), void *ctx)
{
    hub->matcher.no_groups = groups_elsewhere;
    hub->interest = fn;
    hub->interest_ctx = ctx;
}

void td_hub_interest_set(struct td_hub *hub, td_slice filter, unsigned loop, bool on)
{
    uint32_t bit = UINT32_C(1) << loop;
    struct td_node *n =
        on ? td_tree_make_anyway(&hub->tree, filter) : td_tree_find(&hub->tree, filter);
    if (n == NULL) {
        return; /* nothing to clear */
    }
    n->loops = on ? n->loops | bit : n->loops & ~bit;
    td_matcher_changed(&hub->matcher, filter);
    td_tree_prune(&hub->tree, n);
    hub->stats.nodes = hub->tree.count;
}

/* Whether this loop has interest in the node's filter. One subscriber at most is near: the search
 * is short. */
static bool heard(const struct td_hub *hub, const struct td_node *n)
{
    for (uint32_t i = 0; i < n->subs.count; i++) {
        if (!td_subs_at(&n->subs, i)->who->near) {
            return true;
        }
    }
    return n->groups != NULL && !hub->matcher.no_groups;
}

/* Behind a change of the node's subscriptions. */
static void tell(const struct td_hub *hub, const struct td_node *n, td_slice filter, bool before)
{
    if (hub->interest != NULL && heard(hub, n) != before) {
        hub->interest(hub->interest_ctx, filter, !before);
    }
}

/* ---- subscriptions ---- */

static td_slice inner_of(td_slice filter)
{
    td_slice group, inner;
    return td_filter_shared(filter, &group, &inner) ? inner : filter;
}

static struct td_subscription *own(const struct td_subscriber *who, td_slice filter)
{
    struct td_subscription *s = who->first;
    while (s != NULL && !td_slice_eq(s->filter, filter)) {
        s = s->next;
    }
    return s;
}

static struct td_group *group_make(struct td_node *node, td_slice name, uint32_t key)
{
    for (struct td_group *g = node->groups; g != NULL; g = g->next) {
        if (td_slice_eq(g->name, name)) {
            return g;
        }
    }
    struct td_group *g = td_alloc(sizeof *g + name.n);
    g->key = key;
    g->parked = true; /* after a restart its members may hold some from before */
    g->name = (td_slice){(uint8_t *)(g + 1), name.n};
    (void)td_put_bytes((uint8_t *)(g + 1), name);
    g->node = node;
    g->next = node->groups;
    node->groups = g;
    return g;
}

static struct td_subscription *subscription_new(struct td_subscriber *who, td_slice filter)
{
    struct td_subscription *s = td_alloc(sizeof *s + filter.n);
    s->filter = (td_slice){(uint8_t *)(s + 1), filter.n};
    (void)td_put_bytes((uint8_t *)(s + 1), filter);
    s->who = who;
    s->next = who->first;
    who->first = s;
    who->subscription_count++;
    return s;
}

enum td_err td_hub_subscribe(struct td_hub *hub, struct td_subscriber *who, td_slice filter,
                             const struct td_subscribe_options *options, bool *existed)
{
    if (!td_filter_valid(filter)) {
        return TD_ESYNTAX;
    }
    struct td_subscription *s = own(who, filter);
    *existed = s != NULL;
    if (s == NULL) {
        td_slice group, inner = inner_of(filter);
        struct td_node *node = who->subscription_count == hub->limits.subscriptions_max
                                   ? NULL
                                   : td_tree_make(&hub->tree, inner);
        if (node == NULL) {
            return TD_EFULL;
        }
        bool before = heard(hub, node);
        s = subscription_new(who, filter);
        s->node = node;
        if (td_filter_shared(filter, &group, &inner)) {
            s->group = group_make(node, group, td_hub_group_key(filter));
            td_subs_add(&s->group->members, s);
        } else {
            td_subs_add(&node->subs, s);
        }
        tell(hub, node, inner_of(filter), before);
        hub->stats.subscriptions++;
        hub->stats.shared += s->group != NULL;
        hub->stats.nodes = hub->tree.count;
    }
    s->options = *options;
    td_matcher_changed(&hub->matcher, inner_of(filter));
    return TD_OK;
}

static void group_leave(struct td_group *g, const struct td_subscription *s)
{
    td_subs_remove(&g->members, s);
    if (g->members.count > 0) {
        return;
    }
    struct td_group **at = &g->node->groups;
    while (*at != g) {
        at = &(*at)->next;
    }
    *at = g->next;
    td_subs_fini(&g->members);
    free(g);
}

static void subscription_free(struct td_hub *hub, struct td_subscription *s)
{
    bool before = heard(hub, s->node);
    td_matcher_changed(&hub->matcher, inner_of(s->filter));
    if (s->group != NULL) {
        hub->stats.shared--;
        group_leave(s->group, s);
    } else {
        td_subs_remove(&s->node->subs, s);
    }
    tell(hub, s->node, inner_of(s->filter), before);
    td_tree_prune(&hub->tree, s->node);
    s->who->subscription_count--;
    hub->stats.subscriptions--;
    hub->stats.nodes = hub->tree.count;
    free(s);
}

enum td_err td_hub_unsubscribe(struct td_hub *hub, struct td_subscriber *who, td_slice filter)
{
    for (struct td_subscription **at = &who->first; *at != NULL; at = &(*at)->next) {
        struct td_subscription *s = *at;
        if (td_slice_eq(s->filter, filter)) {
            *at = s->next;
            subscription_free(hub, s);
            return TD_OK;
        }
    }
    return TD_ENOENT;
}

void td_hub_unsubscribe_all(struct td_hub *hub, struct td_subscriber *who)
{
    while (who->first != NULL) {
        struct td_subscription *s = who->first;
        who->first = s->next;
        subscription_free(hub, s);
    }
}

/* ---- delivery ---- */

const struct td_match *td_hub_match(struct td_hub *hub, td_slice topic)
{
    return td_matcher_match(&hub->matcher, topic);
}

const struct td_subscription *td_hub_group_member(const struct td_group *group, uint32_t i)
{
    return i < group->members.count ? td_subs_at(&group->members, i) : NULL;
}

uint64_t td_hub_topic_hash(const struct td_hub *hub, td_slice topic)
{
    return td_matcher_hash(&hub->matcher, topic);
}

uint64_t td_hub_matched_hash(const struct td_hub *hub)
{
    return hub->matcher.matched;
}

uint32_t td_hub_group_key(td_slice filter)
{
    uint32_t key = td_crc32c(0, filter);
    return !td_slice_starts(filter, TD_STR("$share/")) ? 0 : key != 0 ? key : 1;
}

/* Chooses the least loaded below load_max; false: nobody. */
static bool group_least(struct td_group *g, uint32_t load_max, struct td_delivery *out)
{
    const struct td_subscription *best = NULL;
    uint32_t best_load = load_max;
    bool durable = false;
    for (uint32_t i = 0; i < g->members.count; i++) {
        const struct td_subscription *s = td_subs_at(&g->members, (g->turn + i) % g->members.count);
        uint32_t load = s->who->type->load(s->who);
        durable = durable || s->who->durable;
        if (load < best_load) {
            best = s;
            best_load = load;
        }
    }
    g->turn++;
    if (best == NULL) {
        return false;
    }
    g->parked = g->parked || best_load >= TD_LOAD_ABSENT;
    *out = (struct td_delivery){
        .to = best->who,
        .ids = &best->options.id,
        .id_count = best->options.id != 0,
        .qos = best->options.qos,
        .retain_as_published = best->options.retain_as_published,
        .group = g->key,
        .group_durable = durable,
    };
    return true;
}

bool td_hub_group_choose(struct td_hub *hub, struct td_group *g, struct td_delivery *out)
{
    bool chosen = group_least(g, UINT32_MAX, out);
    hub->stats.shared_stuck += !chosen;
    return chosen;
}

bool td_hub_group_again(struct td_hub *hub, td_slice topic, uint32_t key, uint32_t load_max,
                        struct td_delivery *out)
{
    const struct td_match *match = td_hub_match(hub, topic);
    for (uint32_t i = 0; i < match->group_count; i++) {
        if (match->groups[i]->key == key) {
            return group_least(match->groups[i], load_max, out);
        }
    }
    return false;
}

void td_hub_group_park(const struct td_subscription *s)
{
    td_assert(s->group != NULL);
    s->group->parked = true;
}

void td_hub_group_unpark(const struct td_subscription *s,
                         void (*fn)(void *ctx, struct td_subscriber *member), void *ctx)
{
    struct td_group *g = s->group;
    td_assert(g != NULL);
    if (!g->parked) {
        return;
    }
    g->parked = false;
    for (uint32_t i = 0; i < g->members.count; i++) {
        fn(ctx, td_subs_at(&g->members, i)->who);
    }
}

static void deliver(struct td_hub *hub, struct td_message *m, const struct td_delivery *d)
{
    hub->stats.delivered++;
    d->to->type->deliver(d->to, m, d);
}

/* The sender's own message, by its filters without No Local: MQTT-3.8.3-3 lets the others give
 * neither QoS nor identifiers. It is rare to have both kinds, so nothing is remembered. */
static void deliver_own(struct td_hub *hub, struct td_message *m, struct td_subscriber *who)
{
    struct td_delivery d = {.to = who, .local = true};
    uint32_t *ids = td_alloc(who->subscription_count * sizeof *ids);
    for (const struct td_subscription *s = who->first; s != NULL; s = s->next) {
        const struct td_subscribe_options *o = &s->options;
        if (s->group == NULL && !o->no_local && td_filter_matches(s->filter, m->topic)) {
            d.qos = o->qos > d.qos ? o->qos : d.qos;
            d.retain_as_published |= o->retain_as_published;
            ids[d.id_count] = o->id;
            d.id_count = (uint16_t)(d.id_count + (o->id != 0));
        }
    }
    d.ids = ids;
    deliver(hub, m, &d);
    free(ids);
}

void td_hub_deliver(struct td_hub *hub, const struct td_match *match, struct td_message *m)
{
    for (uint32_t i = 0; i < match->count; i++) {
        const struct td_delivery *d = &match->deliveries[i];
        if (!d->no_local || d->to->id != m->origin) {
            deliver(hub, m, d);
        } else if (d->local) {
            deliver_own(hub, m, d->to);
        }
    }
    for (uint32_t i = 0; i < match->group_count; i++) {
        struct td_delivery d;
        if (td_hub_group_choose(hub, match->groups[i], &d)) {
            deliver(hub, m, &d);
        }
    }
}

const struct td_match *td_hub_pass(struct td_hub *hub, struct td_message *m)
{
    hub->stats.published++;
    const struct td_match *match = td_hub_match(hub, m->topic);
    hub->stats.unmatched += match->count + match->group_count == 0 && match->loops == 0;
    td_hub_deliver(hub, match, m);
    return match;
}

bool td_hub_publish(struct td_hub *hub, struct td_message *m)
{
    bool retained = m->retain && td_hub_retain(hub, m) == TD_OK; /* refused: counted, delivered */
    (void)td_hub_pass(hub, m);
    return retained;
}

/* ---- retained messages ---- */

/* What the retained messages of one owner come to. It is there while there are any. */
struct account {
    uint64_t owner, count, bytes;
};

static struct account *account_find(const struct td_hub *hub, const uint64_t *owner)
{
    return td_map_find(&hub->accounts, (td_slice){(const uint8_t *)owner, sizeof *owner});
}

void td_hub_retained_of(const struct td_hub *hub, uint64_t owner, uint64_t *count, uint64_t *bytes)
{
    const struct account *a = account_find(hub, &owner);
    *count = a == NULL ? 0 : a->count;
    *bytes = a == NULL ? 0 : a->bytes;
}

static void account_add(struct td_hub *hub, const struct td_message *m)
{
    struct account *a = account_find(hub, &m->owner);
    if (m->owner == 0) {
        return;
    }
    if (a == NULL) {
        a = td_alloc(sizeof *a);
        a->owner = m->owner;
        (void)td_map_put(&hub->accounts, (td_slice){(uint8_t *)&a->owner, sizeof a->owner}, a);
    }
    a->count++;
    a->bytes += td_message_bytes(m);
}

static void account_take(struct td_hub *hub, const struct td_message *m)
{
    struct account *a = account_find(hub, &m->owner);
    if (a == NULL) {
        return;
    }
    a->bytes -= td_message_bytes(m);
    if (--a->count == 0) {
        (void)td_map_remove(&hub->accounts, (td_slice){(uint8_t *)&a->owner, sizeof a->owner});
        free(a);
    }
}

/* `old`: what it would take the place of, or NULL. */
static bool account_has_room(const struct td_hub *hub, const struct td_message *m,
                             const struct td_message *old)
{
    const struct td_hub_limits *l = &hub->limits;
    const struct account *a = account_find(hub, &m->owner);
    if (a == NULL || l->owner_retained_max == 0) {
        return true;
    }
    bool own = old != NULL && old->owner == m->owner;
    uint64_t freed = own ? td_message_bytes(old) : 0;
    return a->count - own < l->owner_retained_max &&
           a->bytes - freed + td_message_bytes(m) <= l->owner_retained_bytes_max;
}

void td_hub_retain_hold(struct td_hub *hub, bool hold)
{
    hub->retain_hold = hold;
}

static void retained_drop(struct td_hub *hub, struct td_node *node)
{
    struct td_retained *r = node->retained;
    hub->stats.retained--;
    hub->stats.retained_bytes -= td_message_bytes(r->message);
    account_take(hub, r->message);
    td_heap_set(&hub->expiries, &r->expiry, TD_NEVER);
    td_message_unref(r->message);
    free(r);
    node->retained = NULL;
}

static enum td_err retained_refuse(struct td_hub *hub)
{
    hub->stats.retained_refused++;
    return TD_EFULL;
}

enum td_err td_hub_retain(struct td_hub *hub, struct td_message *m)
{
    struct td_node *node = td_tree_find(&hub->tree, m->topic);
    if (m->payload.n == 0) {
        if (node != NULL && node->retained != NULL) {
            retained_drop(hub, node);
            td_tree_prune(&hub->tree, node);
            hub->stats.nodes = hub->tree.count;
        }
        return TD_OK;
    }
    const struct td_retained *old = node == NULL ? NULL : node->retained;
    uint64_t freed = old == NULL ? 0 : td_message_bytes(old->message);
    if ((old == NULL && (hub->retain_hold || hub->stats.retained >= hub->limits.retained_max)) ||
        !account_has_room(hub, m, old == NULL ? NULL : old->message) ||
        hub->stats.retained_bytes - freed + td_message_bytes(m) > hub->limits.retained_bytes_max) {
        return retained_refuse(hub);
    }
    node = node != NULL ? node : td_tree_make(&hub->tree, m->topic);
    if (node == NULL) {
        return retained_refuse(hub);
    }
    if (node->retained != NULL) {
        retained_drop(hub, node);
    }
    struct td_retained *r = td_alloc(sizeof *r);
    r->node = node;
    r->message = td_message_ref(m);
    node->retained = r;
    td_heap_set(&hub->expiries, &r->expiry, m->expires);
    account_add(hub, r->message);
    hub->stats.retained++;
    hub->stats.retained_bytes += td_message_bytes(r->message);
    hub->stats.nodes = hub->tree.count;
    return TD_OK;
}

struct td_message *td_hub_retained_get(struct td_hub *hub, td_slice topic)
{
    const struct td_node *n = td_tree_find(&hub->tree, topic);
    return n == NULL || n->retained == NULL ? NULL : n->retained->message;
}

/* A walk along a filter through all topics. */
struct retained_walk {
    struct td_hub *hub;
    td_slice levels[TD_TOPIC_LEVELS_MAX];
    size_t level_count;
    td_mono now;
    void (*fn)(void *ctx, struct td_message *m);
    void *ctx;
};

static void retained_give(const struct retained_walk *w, const struct td_node *n)
{
    if (n->retained != NULL && n->retained->message->expires > w->now) {
        w->fn(w->ctx, n->retained->message);
    }
}

static bool hidden(const struct retained_walk *w, const struct td_node *child)
{
    return child->parent == w->hub->tree.root && child->level_n > 0 && child->level[0] == '$';
}

static void retained_below(const struct retained_walk *w, const struct td_node *n)
{
    retained_give(w, n);
    for (const struct td_node *c = n->first_child; c != NULL; c = c->next) {
        if (!hidden(w, c)) {
            retained_below(w, c);
        }
    }
}

static void retained_walk(const struct retained_walk *w, const struct td_node *n, size_t at)
{
    if (at == w->level_count) {
        retained_give(w, n);
        return;
    }
    td_slice level = w->levels[at];
    if (td_slice_eq(level, TD_STR("#"))) {
        retained_below(w, n);
    } else if (td_slice_eq(level, TD_STR("+"))) {
        for (const struct td_node *c = n->first_child; c != NULL; c = c->next) {
            if (at > 0 || !hidden(w, c)) {
                retained_walk(w, c, at + 1);
            }
        }
    } else {
        const struct td_node *c = td_tree_child(&w->hub->tree, n, level);
        if (c != NULL) {
            retained_walk(w, c, at + 1);
        }
    }
}

void td_hub_retained_each(struct td_hub *hub, td_slice filter, td_mono now,
                          void (*fn)(void *ctx, struct td_message *m), void *ctx)
{
    struct retained_walk w = {.hub = hub, .now = now, .fn = fn, .ctx = ctx};
    w.level_count = td_topic_split(filter, w.levels);
    if (w.level_count > 0) {
        retained_walk(&w, hub->tree.root, 0);
    }
}

static void retained_all(const struct td_node *n, void (*fn)(void *ctx, struct td_message *m),
                         void *ctx)
{
    if (n->retained != NULL) {
        fn(ctx, n->retained->message);
    }
    for (const struct td_node *c = n->first_child; c != NULL; c = c->next) {
        retained_all(c, fn, ctx);
    }
}

void td_hub_retained_all(struct td_hub *hub, void (*fn)(void *ctx, struct td_message *m), void *ctx)
{
    retained_all(hub->tree.root, fn, ctx);
}

void td_hub_expire(struct td_hub *hub, td_mono now,
                   void (*fn)(void *ctx, const struct td_message *m), void *ctx)
{
    for (struct td_timer *t; (t = td_heap_first(&hub->expiries)) != NULL && t->at <= now;) {
        struct td_node *node = TD_CONTAINER(t, struct td_retained, expiry)->node;
        fn(ctx, node->retained->message);
        retained_drop(hub, node);
        hub->stats.retained_expired++;
        td_tree_prune(&hub->tree, node);
    }
    hub->stats.nodes = hub->tree.count;
}

td_mono td_hub_deadline(const struct td_hub *hub)
{
    const struct td_timer *t = td_heap_first(&hub->expiries);
    return t == NULL ? TD_NEVER : t->at;
}

/* ---- death ---- */

/* A leaf: without subscriptions it has a retained message or another loop's interest. */
static struct td_node *any_leaf(const struct td_tree *t)
{
    struct td_node *n = t->root;
    while (n->first_child != NULL) {
        n = n->first_child;
    }
    return n == t->root ? NULL : n;
}

void td_hub_free(struct td_hub *hub)
{
    td_assert(hub->stats.subscriptions == 0);
    for (struct td_node *n; (n = any_leaf(&hub->tree)) != NULL;) {
        n->loops = 0;
        if (n->retained != NULL) {
            retained_drop(hub, n);
        }
        td_tree_prune(&hub->tree, n);
    }
    td_heap_fini(&hub->expiries);
    td_assert(hub->accounts.count == 0);
    td_map_fini(&hub->accounts);
    td_matcher_fini(&hub->matcher);
    td_tree_fini(&hub->tree);
    free(hub);
}
