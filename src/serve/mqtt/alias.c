/* serve/mqtt: the topic aliases that the hub gives on a connection whose client takes them (5.0,
 * 3.3.2.3.4). A topic gets one when it is sent for the second time while it is remembered, so one
 * that comes once costs nobody an alias; the alias that was not used for longest makes room.
 *
 *     first time    topic            its hash is remembered
 *     second time   topic, alias     the client learns it
 *     from then on  alias
 *
 * A table is made when a connection first has use for it, and ends with it (MQTT-3.3.2-7). */
#include <stdlib.h>

#include "serve/mqtt/inner.h"

enum {
    ALIASES_MAX = 16,
    SEEN_MAX = 32,    /* topics that were sent once, the last ones */
    TOPIC_LEAST = 4,  /* below that the alias is no shorter */
    TOPIC_MOST = 1024 /* bounds a connection's table to 16 KB */
};

struct aliases_out {
    uint64_t hash[ALIASES_MAX]; /* apart from the rest: a search reads only these */
    struct {
        uint8_t *topic;
        uint32_t n;
        uint32_t used; /* when: the value of clock */
    } at[ALIASES_MAX];
    uint64_t seen[SEEN_MAX]; /* hashes, a ring */
    uint32_t clock;
    uint16_t count; /* of at */
    uint16_t max;
    uint8_t seen_next;
};

static struct aliases_out *table_of(struct conn *c)
{
    if (c->aliases_out == NULL) {
        uint16_t most = c->m.peer_alias_max;
        c->aliases_out = td_alloc(sizeof *c->aliases_out);
        c->aliases_out->max = most < ALIASES_MAX ? most : ALIASES_MAX;
    }
    return c->aliases_out;
}

/* The place of a topic, ALIASES_MAX: it has none. */
static size_t find(const struct aliases_out *a, uint64_t hash, td_slice topic)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->hash[i] == hash && td_slice_eq((td_slice){a->at[i].topic, a->at[i].n}, topic)) {
            return i;
        }
    }
    return ALIASES_MAX;
}

static size_t oldest(const struct aliases_out *a)
{
    size_t best = 0;
    for (size_t i = 1; i < a->count; i++) {
        if (a->clock - a->at[i].used > a->clock - a->at[best].used) {
            best = i;
        }
    }
    return best;
}

/* False: it is remembered from now on. Two topics with one hash: the second gets its alias a little
 * early. */
static bool seen_before(struct aliases_out *a, uint64_t hash)
{
    for (size_t i = 0; i < SEEN_MAX; i++) {
        if (a->seen[i] == hash) {
            a->seen[i] = 0;
            return true;
        }
    }
    a->seen[a->seen_next] = hash;
    a->seen_next = (uint8_t)((a->seen_next + 1) % SEEN_MAX);
    return false;
}

void td_mqttd_alias_pick(struct conn *c, struct td_mqtt_publish *p)
{
    if (!td_in(p->topic.n, TOPIC_LEAST, TOPIC_MOST)) {
        return;
    }
    struct aliases_out *a = table_of(c);
    uint64_t hash = td_hash(p->topic, 0);
    size_t i = find(a, hash, p->topic);
    if (i < ALIASES_MAX) {
        p->alias = (uint16_t)(i + 1);
        p->topic = (td_slice){NULL, 0};
    } else if (seen_before(a, hash)) {
        p->alias = (uint16_t)(a->count < a->max ? a->count + 1u : oldest(a) + 1);
    }
}

void td_mqttd_alias_sent(struct conn *c, const struct td_mqtt_publish *p)
{
    struct aliases_out *a = c->aliases_out;
    size_t i = p->alias - (size_t)1;
    a->at[i].used = ++a->clock;
    if (p->topic.n == 0) {
        return;
    }
    a->count = (uint16_t)(i < a->count ? a->count : i + 1);
    a->hash[i] = td_hash(p->topic, 0);
    a->at[i].topic = td_realloc(a->at[i].topic, p->topic.n);
    a->at[i].n = (uint32_t)p->topic.n;
    (void)td_put_bytes(a->at[i].topic, p->topic);
}

void td_mqttd_aliases_free(struct conn *c)
{
    if (c->aliases_out != NULL) {
        for (size_t i = 0; i < c->aliases_out->count; i++) {
            free(c->aliases_out->at[i].topic);
        }
        free(c->aliases_out);
        c->aliases_out = NULL;
    }
}
