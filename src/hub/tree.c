/* hub: the topic tree. All nodes stand in one hash table keyed by (parent, level), so a node costs
 * the same however many children it has; siblings are linked for those who walk. */
#include "hub/tree.h"

#include <stdlib.h>

void td_subs_add(struct td_subs *l, struct td_subscription *s)
{
    if (l->count == 0 && l->cap == 0) {
        l->one = s;
        l->count = 1;
        return;
    }
    if (l->cap == 0) {
        struct td_subscription *first = l->one;
        l->cap = 4;
        l->many = td_alloc(l->cap * sizeof(struct td_subscription *));
        l->many[0] = first;
    } else if (l->count == l->cap) {
        l->cap *= 2;
        l->many = td_realloc(l->many, l->cap * sizeof(struct td_subscription *));
    }
    l->many[l->count++] = s;
}

void td_subs_remove(struct td_subs *l, const struct td_subscription *s)
{
    uint32_t at = 0;
    while (td_subs_at(l, at) != s) {
        at++;
    }
    l->count--;
    if (l->cap > 0) {
        l->many[at] = l->many[l->count];
    }
}

void td_subs_fini(struct td_subs *l)
{
    if (l->cap > 0) {
        free(l->many);
    }
}

static uint64_t key_of(const struct td_tree *t, const struct td_node *parent, td_slice level)
{
    return td_hash(level, t->seed ^ ((uint64_t)parent->id * UINT64_C(0x9E3779B97F4A7C15)));
}

static struct td_node *node_new(struct td_tree *t, td_slice level)
{
    struct td_node *n = td_alloc(sizeof *n + level.n);
    n->id = t->next_id++;
    n->level_n = (uint16_t)level.n;
    (void)td_put_bytes(n->level, level);
    return n;
}

void td_tree_init(struct td_tree *t, size_t nodes_max, uint64_t seed)
{
    *t = (struct td_tree){.nodes_max = nodes_max, .seed = seed};
    t->root = node_new(t, TD_STR(""));
}

void td_tree_fini(struct td_tree *t)
{
    td_assert(t->count == 0);
    free(t->root);
    free(t->slots);
}

static bool is(const struct td_node *n, td_slice level)
{
    return td_slice_eq(level, (td_slice){n->level, n->level_n});
}

struct td_node *td_tree_child(const struct td_tree *t, const struct td_node *parent, td_slice level)
{
    struct td_node *first = parent->first_child;
    if (first == NULL || first->next == NULL) { /* so it is in long thin branches */
        return first != NULL && is(first, level) ? first : NULL;
    }
    uint64_t key = key_of(t, parent, level);
    for (size_t at = (size_t)key & (t->slot_count - 1);; at = (at + 1) & (t->slot_count - 1)) {
        struct td_node *n = t->slots[at];
        if (n == NULL || (n->key == key && n->parent == parent && is(n, level))) {
            return n;
        }
    }
}

static void slot_put(struct td_tree *t, struct td_node *n)
{
    size_t at = (size_t)n->key & (t->slot_count - 1);
    while (t->slots[at] != NULL) {
        at = (at + 1) & (t->slot_count - 1);
    }
    t->slots[at] = n;
}

static void slot_remove(struct td_tree *t, const struct td_node *n)
{
    size_t mask = t->slot_count - 1, hole = (size_t)n->key & mask;
    while (t->slots[hole] != n) {
        hole = (hole + 1) & mask;
    }
    t->slots[hole] = NULL;
    for (size_t at = (hole + 1) & mask; t->slots[at] != NULL; at = (at + 1) & mask) {
        size_t home = (size_t)t->slots[at]->key & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            t->slots[hole] = t->slots[at];
            t->slots[at] = NULL;
            hole = at;
        }
    }
}

static void slots_grow(struct td_tree *t)
{
    if ((t->count + 1) * 4 <= t->slot_count * 3) {
        return;
    }
    struct td_node **old = t->slots;
    size_t old_count = t->slot_count;
    t->slot_count = old_count == 0 ? 64 : old_count * 2;
    t->slots = td_alloc(t->slot_count * sizeof(struct td_node *));
    for (size_t i = 0; i < old_count; i++) {
        if (old[i] != NULL) {
            slot_put(t, old[i]);
        }
    }
    free(old);
}

static struct td_node *child_make(struct td_tree *t, struct td_node *parent, td_slice level)
{
    struct td_node *n = td_tree_child(t, parent, level);
    if (n != NULL) {
        return n;
    }
    if (t->count >= t->nodes_max) {
        return NULL;
    }
    slots_grow(t);
    n = node_new(t, level);
    n->key = key_of(t, parent, level);
    n->parent = parent;
    n->next = parent->first_child;
    if (n->next != NULL) {
        n->next->prev = n;
    }
    parent->first_child = n;
    if (td_slice_eq(level, TD_STR("+"))) {
        parent->plus = n;
    } else if (td_slice_eq(level, TD_STR("#"))) {
        parent->hash = n;
    }
    slot_put(t, n);
    t->count++;
    return n;
}

struct td_node *td_tree_make(struct td_tree *t, td_slice path)
{
    td_slice levels[TD_TOPIC_LEVELS_MAX];
    size_t count = td_topic_split(path, levels);
    struct td_node *n = t->root;
    for (size_t i = 0; i < count; i++) {
        struct td_node *child = child_make(t, n, levels[i]);
        if (child == NULL) {
            td_tree_prune(t, n);
            return NULL;
        }
        n = child;
    }
    return n;
}

struct td_node *td_tree_make_anyway(struct td_tree *t, td_slice path)
{
    size_t nodes_max = t->nodes_max;
    t->nodes_max = SIZE_MAX;
    struct td_node *n = td_tree_make(t, path);
    t->nodes_max = nodes_max;
    return n;
}

struct td_node *td_tree_find(const struct td_tree *t, td_slice path)
{
    td_slice levels[TD_TOPIC_LEVELS_MAX];
    size_t count = td_topic_split(path, levels);
    struct td_node *n = count == 0 ? NULL : t->root;
    for (size_t i = 0; i < count && n != NULL; i++) {
        n = td_tree_child(t, n, levels[i]);
    }
    return n;
}

static bool idle(const struct td_node *n)
{
    return n->first_child == NULL && n->subs.count == 0 && n->groups == NULL &&
           n->retained == NULL && n->loops == 0;
}

static void unlink_node(struct td_tree *t, struct td_node *n)
{
    struct td_node *parent = n->parent;
    slot_remove(t, n);
    if (n->prev != NULL) {
        n->prev->next = n->next;
    } else {
        parent->first_child = n->next;
    }
    if (n->next != NULL) {
        n->next->prev = n->prev;
    }
    parent->plus = parent->plus == n ? NULL : parent->plus;
    parent->hash = parent->hash == n ? NULL : parent->hash;
    t->count--;
}

void td_tree_prune(struct td_tree *t, struct td_node *n)
{
    while (n != t->root && idle(n)) {
        struct td_node *parent = n->parent;
        unlink_node(t, n);
        td_subs_fini(&n->subs);
        free(n);
        n = parent;
    }
}
