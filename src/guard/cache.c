/* guard: verdicts given lately. One slot a hash; whoever comes later takes the slot. A slot says
 * whom it is about by all that the verdict depends on, so a clash of hashes is no leak; the
 * generation makes all slots old when the files are read anew. */
#include "guard/guard.h"

#include <stdlib.h>

enum { SLOTS = 2048, KEY_MAX = 107 };

struct slot {
    uint32_t number, generation;
    uint8_t action, may, client_n, key_n;
    uint8_t key[KEY_MAX]; /* client id if the verdict depends on it, topic */
};

struct td_guard_cache {
    uint64_t seed;
    struct slot slots[SLOTS];
};

struct td_guard_cache *td_guard_cache_new(uint64_t seed)
{
    struct td_guard_cache *cache = td_alloc(sizeof *cache);
    cache->seed = seed;
    return cache;
}

void td_guard_cache_free(struct td_guard_cache *cache)
{
    free(cache);
}

bool td_guard_may_cached(struct td_guard_cache *cache, const struct td_principal *p,
                         td_slice client_id, unsigned action, td_slice topic)
{
    td_slice id = p->by_client ? client_id : (td_slice){NULL, 0};
    if (p->all || p->gone || id.n + topic.n > KEY_MAX) {
        return td_guard_may(p, client_id, action, topic);
    }
    uint64_t hash = td_hash(topic, cache->seed ^ ((uint64_t)p->number << 8 | action));
    hash = id.n == 0 ? hash : td_hash(id, hash);
    struct slot *s = &cache->slots[hash % SLOTS];
    uint32_t generation = td_guard_generation(p->guard);
    if (s->number == p->number && s->generation == generation && s->action == action &&
        s->client_n == id.n && s->key_n == id.n + topic.n &&
        memcmp(s->key + id.n, topic.p, topic.n) == 0 &&
        (id.n == 0 || memcmp(s->key, id.p, id.n) == 0)) {
        return s->may != 0;
    }
    *s = (struct slot){.number = p->number,
                       .generation = generation,
                       .action = (uint8_t)action,
                       .may = td_guard_may_slow(p, client_id, action, topic),
                       .client_n = (uint8_t)id.n,
                       .key_n = (uint8_t)(id.n + topic.n)};
    (void)td_put_bytes(td_put_bytes(s->key, id), topic);
    return s->may != 0;
}
