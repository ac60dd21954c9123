/* hub, private: matching, and what is remembered of it. */
#ifndef TD_HUB_MATCH_H
#define TD_HUB_MATCH_H

#include "hub/tree.h"

enum { TD_GENERATIONS = 256 };

struct td_matcher {
    struct td_tree *tree;
    struct td_hub_stats *stats;
    uint64_t seed;
    uint64_t stamp;                      /* of the walk under way, marks merged subscribers */
    uint64_t generation[TD_GENERATIONS]; /* changes of filters by their first level's hash */
    uint64_t generation_wild;            /* changes of filters that begin with a wildcard */
    struct td_matched *slots;            /* the memory: a topic has one place */
    struct td_matched *scratch;          /* for topics seen for the first time */
    bool no_groups;                      /* members of groups are another loop's business */
    uint64_t matched;                    /* hash of the topic matched last */
    td_slice levels[TD_TOPIC_LEVELS_MAX];
    size_t level_count;
};

void td_matcher_init(struct td_matcher *m, struct td_tree *tree, struct td_hub_stats *stats,
                     uint64_t seed);
void td_matcher_fini(struct td_matcher *m);
static inline uint64_t td_matcher_hash(const struct td_matcher *m, td_slice topic)
{
    return td_hash(topic, m->seed) | 1; /* 0 means nothing */
}
const struct td_match *td_matcher_match(struct td_matcher *m, td_slice topic);
/* A filter (without $share/) came, went, or changed its options. */
void td_matcher_changed(struct td_matcher *m, td_slice filter);

#endif
