/* hub, private: the nodes of the topic tree. */
#ifndef TD_HUB_TREE_H
#define TD_HUB_TREE_H

#include "hub/hub.h"

/* Subscriptions in no order. Most filters have one, which needs no list of its own. */
struct td_subs {
    union {
        struct td_subscription *one;   /* cap == 0 */
        struct td_subscription **many; /* cap > 0 */
    };
    uint32_t count, cap;
};

static inline struct td_subscription *td_subs_at(const struct td_subs *l, uint32_t at)
{
    return l->cap == 0 ? l->one : l->many[at];
}

void td_subs_add(struct td_subs *l, struct td_subscription *s);
/* It is in there. */
void td_subs_remove(struct td_subs *l, const struct td_subscription *s);
void td_subs_fini(struct td_subs *l);

struct td_group {
    struct td_group *next; /* of the same node */
    struct td_node *node;
    struct td_subs members;
    uint32_t turn; /* where the search for the least loaded begins */
    uint32_t key;  /* td_hub_group_key() */
    bool parked;   /* a member that is not there may hold some of its messages */
    td_slice name; /* bytes behind the struct */
};

struct td_retained {
    struct td_timer expiry;
    struct td_message *message;
    struct td_node *node;
};

/* A level below its parent. Lives while something hangs on it: a subscription, a group, a retained
 * message, or a child. */
struct td_node {
    struct td_node *parent, *first_child, *next, *prev; /* prev, next: siblings */
    struct td_node *plus, *hash;                        /* the children "+" and "#" */
    struct td_subs subs;
    struct td_group *groups;
    struct td_retained *retained;
    uint64_t key;   /* hash of (parent, level) */
    uint32_t id;    /* unique, what children hash instead of an address */
    uint32_t loops; /* bit n: loop n has interest in this filter */
    uint16_t level_n;
    uint8_t level[];
};

struct td_tree {
    struct td_node *root;
    struct td_node **slots; /* open addressing by key; slot_count a power of two */
    size_t slot_count, count, nodes_max;
    uint32_t next_id;
    uint64_t seed;
};

void td_tree_init(struct td_tree *t, size_t nodes_max, uint64_t seed);
void td_tree_fini(struct td_tree *t); /* nothing may hang on it any more */
/* NULL: no such child. */
struct td_node *td_tree_child(const struct td_tree *t, const struct td_node *parent,
                              td_slice level);
/* The node of a topic or filter, made if absent; NULL: nodes_max is reached. */
struct td_node *td_tree_make(struct td_tree *t, td_slice path);
/* As make, whatever nodes_max says. */
struct td_node *td_tree_make_anyway(struct td_tree *t, td_slice path);
struct td_node *td_tree_find(const struct td_tree *t, td_slice path);
/* Removes the node and its parents as far as nothing hangs on them. */
void td_tree_prune(struct td_tree *t, struct td_node *node);

#endif
