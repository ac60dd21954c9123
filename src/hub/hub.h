/* hub: what the hub knows. One topic space: whoever says something publishes a message on a topic,
 * whoever wants to hear it is a subscriber (a session, the rules, the recorder, a page).
 *
 *   message.c   immutable, shared by reference; borrowed bytes become kept ones on demand
 *   tree.c      the topic tree: subscriptions, shared groups and retained messages on its nodes
 *   match.c     topic -> merged deliveries, remembered while no filter that could matter changes
 *   hub.c       the door: publish, subscribe, retain, counters
 *
 * It knows no packet, socket, clock or file. One thread owns a hub. */
#ifndef TD_HUB_H
#define TD_HUB_H

#include "base/base.h"

enum { TD_TOPIC_LEVELS_MAX = 128 };

/* ---- messages ---- */

/* Published once, then never changed. The slices of a message made by a caller on its stack borrow
 * from the caller; whoever needs them after the call takes td_message_ref(). */
struct td_message {
    td_slice topic, payload;
    td_slice props;  /* MQTT 5 properties that travel with it, encoded, without their length */
    td_mono expires; /* TD_NEVER: stays */
    td_wall at;      /* when it was received */
    uint64_t lsn;    /* where it stands in the log; 0: not logged */
    uint64_t origin; /* the subscriber id of its sender, for No Local; 0: the hub */
    uint32_t author; /* the principal that said it, by its number; 0: the hub */
    uint64_t owner;  /* whose quota of retained messages it counts for; 0: nobody's */
    uint8_t qos;     /* as published */
    uint8_t hops;    /* how often rules and bridges have handed it on */
    bool retain;     /* as published */
    bool kept;       /* the slices belong to the message: it is on the heap */
    uint32_t refs;   /* of a kept one */
    struct td_message *copy; /* of a borrowed one: its kept twin, made at the first ref */
};

/* A message that may be held: m itself if it is kept, else its kept twin (made once, shared by all
 * who ask before td_message_done()). Release with td_message_unref(). */
struct td_message *td_message_ref(struct td_message *m);
void td_message_unref(struct td_message *m);
/* The maker of a borrowed message is through with it. */
void td_message_done(struct td_message *m);
/* Bytes that a kept message holds, for queue limits. */
size_t td_message_bytes(const struct td_message *m);

/* ---- subscribers ---- */

struct td_subscriber;
struct td_hub;

/* What a subscriber gets beside the message; `ids` are the subscription identifiers of all its
 * filters that matched. */
struct td_delivery {
    struct td_subscriber *to;
    const uint32_t *ids;
    uint16_t id_count;
    uint8_t qos;              /* the highest granted among its filters */
    bool retain_as_published; /* if any of its filters asked for it */
    bool no_local, local;     /* some of its filters have No Local, some have not */
    uint32_t group;           /* the key of the shared group that chose it; 0: none did */
    bool group_durable; /* a member of that is durable, so a crash must not lose the message */
};

enum { TD_LOAD_ABSENT = 1 << 30 };

struct td_subscriber_type {
    /* Hears a message. Must not subscribe, unsubscribe or publish from inside; what must close,
     * closes after the turn. */
    void (*deliver)(struct td_subscriber *s, struct td_message *m, const struct td_delivery *d);
    /* For shared groups: how much it has in hand; TD_LOAD_ABSENT and more: it is not there, but
     * may be given more for when it is back; UINT32_MAX: it cannot take any more. */
    uint32_t (*load)(const struct td_subscriber *s);
};

/* Embedded in its owner. */
struct td_subscriber {
    const struct td_subscriber_type *type;
    uint64_t id;                   /* unique, not 0 */
    bool durable;                  /* what it is owed survives a crash */
    bool near;                     /* hears what is published here; no interest of this loop */
    struct td_subscription *first; /* its subscriptions; td_hub_subscribe keeps the list */
    uint32_t subscription_count;
    uint32_t merge_at; /* the matcher's own */
    uint64_t merge_stamp;
};

struct td_subscribe_options {
    uint32_t id; /* subscription identifier, 0: none */
    uint8_t qos;
    bool no_local, retain_as_published;
    uint8_t retain_handling; /* 0 send, 1 send if new, 2 do not send */
};

/* One entry of a subscriber's list. */
struct td_subscription {
    struct td_subscription *next; /* of the same subscriber */
    struct td_subscriber *who;
    struct td_node *node;
    struct td_group *group; /* NULL: not shared */
    struct td_subscribe_options options;
    td_slice filter; /* as it was asked for, with $share/ */
};

/* ---- the door ---- */

struct td_hub_limits {
    uint32_t nodes_max;         /* levels of all filters and retained topics */
    uint32_t subscriptions_max; /* of one subscriber */
    uint32_t retained_max;      /* messages */
    uint64_t retained_bytes_max;
    uint32_t owner_retained_max; /* of one owner; 0: no bound but those above */
    uint64_t owner_retained_bytes_max;
};

struct td_hub_stats {
    uint64_t published, delivered, unmatched; /* messages in, deliveries out */
    uint64_t shared_stuck;                    /* no member of a group could take it */
    uint64_t retained, retained_bytes, retained_refused, retained_expired;
    uint64_t subscriptions, shared, nodes; /* shared: of the subscriptions, those in groups */
    uint64_t cache_hits, cache_misses, nodes_visited;
};

/* Free with td_hub_free(), after all subscribers have gone. */
struct td_hub *td_hub_new(const struct td_hub_limits *limits, uint64_t seed);
void td_hub_free(struct td_hub *hub);
const struct td_hub_stats *td_hub_stats(const struct td_hub *hub);

/* Subscribes or changes the options of a subscription (*existed). The filter (valid by MQTT 4.7,
 * "$share/<group>/<filter>" for shared ones) is copied. TD_EFULL: over a limit, nothing changed.
 * TD_ESYNTAX: not a filter. */
enum td_err td_hub_subscribe(struct td_hub *hub, struct td_subscriber *who, td_slice filter,
                             const struct td_subscribe_options *options, bool *existed);
/* TD_ENOENT: there was no such subscription. */
enum td_err td_hub_unsubscribe(struct td_hub *hub, struct td_subscriber *who, td_slice filter);
void td_hub_unsubscribe_all(struct td_hub *hub, struct td_subscriber *who);

/* Who hears a topic. */
struct td_match {
    struct td_delivery *deliveries; /* one a subscriber */
    uint32_t count;
    struct td_group **groups; /* shared groups: one member of each hears it */
    uint32_t group_count;
    uint32_t loops; /* bit n: loop n has interest in it */
    bool durable;   /* somebody among them must not lose it */
};

/* Matches a valid topic name. Stands until the next call of match, subscribe or unsubscribe. */
const struct td_match *td_hub_match(struct td_hub *hub, td_slice topic);
/* The i-th member of a group, NULL: there are no more. */
const struct td_subscription *td_hub_group_member(const struct td_group *group, uint32_t i);
/* A topic's number in this hub, the same as long as it lives; two topics hardly ever share one. And
 * that of the topic which was matched last, which costs nothing. */
uint64_t td_hub_topic_hash(const struct td_hub *hub, td_slice topic);
uint64_t td_hub_matched_hash(const struct td_hub *hub);
/* Chooses the member of a group that gets the next message: the least loaded, in turn among
 * equals; false (counted): none can take it. */
bool td_hub_group_choose(struct td_hub *hub, struct td_group *group, struct td_delivery *out);
/* Another choice, for what a member was given and has not delivered: of the group with that key
 * among those that a topic matches, below load_max. False: there is none. */
bool td_hub_group_again(struct td_hub *hub, td_slice topic, uint32_t key, uint32_t load_max,
                        struct td_delivery *out);
/* The same for all hubs and times; 0 if the filter is not a shared one. */
uint32_t td_hub_group_key(td_slice filter);
/* A member that is not there holds messages of the group of a shared subscription of its. */
void td_hub_group_park(const struct td_subscription *s);
/* Calls fn with each member of the group of a shared subscription, if any of them may hold messages
 * while it is not there. fn may give them to others, and park, but not subscribe. */
void td_hub_group_unpark(const struct td_subscription *s,
                         void (*fn)(void *ctx, struct td_subscriber *member), void *ctx);
/* Hands a message to all of a match, shared groups included. */
void td_hub_deliver(struct td_hub *hub, const struct td_match *match, struct td_message *m);
/* Matches and delivers. The match stands as that of td_hub_match(). */
const struct td_match *td_hub_pass(struct td_hub *hub, struct td_message *m);
/* Retains it if it asks for that (a refusal is counted), matches, delivers. True: the retained
 * message of its topic is another one now, or gone. */
bool td_hub_publish(struct td_hub *hub, struct td_message *m);

/* ---- other loops ----
 *
 * N loops with a hub each, numbered from 0, are one topic space when each tells the others what its
 * subscribers want to hear. A hub holds that as one bit a loop on the nodes of its tree. */

enum { TD_HUB_LOOPS_MAX = 32 };

/* From now on `fn` hears of each filter (without $share/) that gets its first subscriber here (on),
 * and of each that loses its last; those that are `near` do not count. With groups_elsewhere the
 * members of shared groups are listed here, but neither matched nor told of: another loop chooses.
 * The filter lives during the call; fn must not subscribe. */
void td_hub_watch(struct td_hub *hub, bool groups_elsewhere,
                  void (*fn)(void *ctx, td_slice filter, bool on), void *ctx);
/* Loop `loop` has interest in what a valid filter (without $share/) matches, or has no more. No
 * limit holds here: the filter has passed that of its own loop. */
void td_hub_interest_set(struct td_hub *hub, td_slice filter, unsigned loop, bool on);

/* ---- retained messages ---- */

/* Sets the retained message of m->topic; an empty payload removes it. TD_EFULL: over a limit, the
 * old one stays. */
enum td_err td_hub_retain(struct td_hub *hub, struct td_message *m);
/* While it is set no further topic gets a retained message; those that have one may get another. */
void td_hub_retain_hold(struct td_hub *hub, bool hold);
/* How many retained messages and bytes count for an owner. */
void td_hub_retained_of(const struct td_hub *hub, uint64_t owner, uint64_t *count, uint64_t *bytes);
/* The retained message of a topic, NULL if none. Borrowed. */
struct td_message *td_hub_retained_get(struct td_hub *hub, td_slice topic);
/* All retained messages that a filter (without $share/) matches and that have not expired at
 * `now`, in tree order. fn must not retain or subscribe. */
void td_hub_retained_each(struct td_hub *hub, td_slice filter, td_mono now,
                          void (*fn)(void *ctx, struct td_message *m), void *ctx);
/* All there are, whatever their topic, expired ones too. The same holds for fn. */
void td_hub_retained_all(struct td_hub *hub, void (*fn)(void *ctx, struct td_message *m),
                         void *ctx);
/* Removes retained messages that have expired, each after a call of fn, which must not retain or
 * subscribe; deadline: when the next one will. */
void td_hub_expire(struct td_hub *hub, td_mono now,
                   void (*fn)(void *ctx, const struct td_message *m), void *ctx);
td_mono td_hub_deadline(const struct td_hub *hub);

/* ---- topics (MQTT 4.7) ---- */

/* 1..65,535 bytes, valid UTF-8 as MQTT wants it, no wildcard, at most 128 levels. */
bool td_topic_valid(td_slice topic);
/* Only the number of levels, for a topic that is known to be valid otherwise. */
bool td_topic_depth_ok(td_slice topic);
/* As above with + and # where they may stand; "$share/<group>/<filter>" has a group without
 * wildcards and a filter. */
bool td_filter_valid(td_slice filter);
/* Whether a filter (without $share/) matches a topic: the slow, obvious way. */
bool td_filter_matches(td_slice filter, td_slice topic);

enum td_miss {
    TD_MISS_LEVEL,       /* two names differ */
    TD_MISS_TOPIC_ENDS,  /* the filter wants a level more */
    TD_MISS_FILTER_ENDS, /* the topic has a level more */
    TD_MISS_DOLLAR       /* a wildcard does not stand for a first level that begins with $ */
};

/* Where a filter fails. The slices are of filter and topic. */
struct td_filter_miss {
    enum td_miss why;
    size_t level;        /* the first one is 1 */
    td_slice want, have; /* that level of filter and topic; empty where one ends */
};

/* As td_filter_matches(); when false, *miss says why. */
bool td_filter_explain(td_slice filter, td_slice topic, struct td_filter_miss *miss);
/* Splits "$share/<group>/<filter>"; false: not shared, outputs untouched. */
bool td_filter_shared(td_slice filter, td_slice *group, td_slice *inner);
/* Splits at '/'; gives the number of levels, 0 if over TD_TOPIC_LEVELS_MAX. */
size_t td_topic_split(td_slice topic, td_slice levels[TD_TOPIC_LEVELS_MAX]);

#endif
