/* base: td_map. Dense entries in insertion order, and a table of indexes into them (linear
 * probing, at most 3/4 full; half the hash stands beside the index, so that probing leaves the
 * entries of other keys alone); removal closes the probe run by shifting back, so there are no
 * tombstones. */
#include "base/base.h"

#include <stdlib.h>

void td_map_init(struct td_map *m, uint64_t seed)
{
    *m = (struct td_map){.seed = seed};
}

void td_map_fini(struct td_map *m)
{
    free(m->entries);
    free(m->slots);
    *m = (struct td_map){.seed = m->seed};
}

/* The slot that holds the key, or the free one where it belongs. */
static size_t slot_of(const struct td_map *m, td_slice key, uint64_t hash)
{
    size_t mask = m->slot_count - 1, at = (size_t)hash & mask;
    for (; m->slots[at].index != 0; at = (at + 1) & mask) {
        const struct td_map_entry *e = &m->entries[m->slots[at].index - 1];
        if (m->slots[at].hash == (uint32_t)hash && e->hash == hash && td_slice_eq(e->key, key)) {
            break;
        }
    }
    return at;
}

static size_t slot_of_index(const struct td_map *m, uint32_t index)
{
    size_t mask = m->slot_count - 1, at = (size_t)m->entries[index].hash & mask;
    while (m->slots[at].index != index + 1) {
        at = (at + 1) & mask;
    }
    return at;
}

static void rehash(struct td_map *m, size_t slot_count)
{
    free(m->slots);
    m->slots = td_alloc(slot_count * sizeof *m->slots);
    m->slot_count = slot_count;
    for (size_t i = 0; i < m->count; i++) {
        uint64_t hash = m->entries[i].hash;
        size_t at = (size_t)hash & (slot_count - 1);
        while (m->slots[at].index != 0) {
            at = (at + 1) & (slot_count - 1);
        }
        m->slots[at] = (struct td_map_slot){(uint32_t)i + 1, (uint32_t)hash};
    }
}

static void grow(struct td_map *m)
{
    if (m->count == m->entry_cap) {
        td_assert(m->count < UINT32_MAX / 4); /* a slot's half hash reaches over the table */
        m->entry_cap = m->entry_cap == 0 ? 8 : m->entry_cap * 2;
        m->entries = td_realloc(m->entries, m->entry_cap * sizeof *m->entries);
    }
    if ((m->count + 1) * 4 > m->slot_count * 3) {
        rehash(m, m->slot_count == 0 ? 16 : m->slot_count * 2);
    }
}

void *td_map_find(const struct td_map *m, td_slice key)
{
    if (m->count == 0) {
        return NULL;
    }
    size_t at = slot_of(m, key, td_hash(key, m->seed));
    return m->slots[at].index == 0 ? NULL : m->entries[m->slots[at].index - 1].value;
}

void *td_map_put(struct td_map *m, td_slice key, void *value)
{
    grow(m);
    uint64_t hash = td_hash(key, m->seed);
    size_t at = slot_of(m, key, hash);
    if (m->slots[at].index != 0) {
        struct td_map_entry *e = &m->entries[m->slots[at].index - 1];
        void *old = e->value;
        e->key = key;
        e->value = value;
        return old;
    }
    m->entries[m->count] = (struct td_map_entry){key, value, hash};
    m->slots[at] = (struct td_map_slot){(uint32_t)++m->count, (uint32_t)hash};
    return NULL;
}

static void close_run(struct td_map *m, size_t hole)
{
    size_t mask = m->slot_count - 1;
    m->slots[hole].index = 0;
    for (size_t at = (hole + 1) & mask; m->slots[at].index != 0; at = (at + 1) & mask) {
        size_t home = (size_t)m->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            m->slots[hole] = m->slots[at];
            m->slots[at].index = 0;
            hole = at;
        }
    }
}

void *td_map_remove(struct td_map *m, td_slice key)
{
    if (m->count == 0) {
        return NULL;
    }
    size_t at = slot_of(m, key, td_hash(key, m->seed));
    if (m->slots[at].index == 0) {
        return NULL;
    }
    uint32_t index = m->slots[at].index - 1, last = (uint32_t)m->count - 1;
    void *old = m->entries[index].value;
    if (index != last) { /* the last entry moves into the hole */
        m->slots[slot_of_index(m, last)].index = index + 1;
        m->entries[index] = m->entries[last];
        m->entries[last].hash = 0;
    }
    m->count--;
    close_run(m, at);
    return old;
}
