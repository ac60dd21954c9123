/* serve/loop, private: what its files share. */
#ifndef TD_SERVE_LOOP_INNER_H
#define TD_SERVE_LOOP_INNER_H

#include "base/ring.h"
#include "guard/guard.h"
#include "serve/leaves.h"
#include "serve/loop.h"
#include "serve/mqtt/mqttd.h"
#include "store/store.h"

/* ---- mail (mail.c) ---- */

enum {
    LINK_PLACES = 1024,        /* parcels in one ring */
    LINK_BYTES_MAX = 4 << 20,  /* and their bytes; one larger parcel may go alone */
    PARCEL_FIRST_BYTES = 2048, /* of a turn's first parcel, */
    PARCEL_BYTES = 64 * 1024,  /* and of further ones */
    UNSENT_MAX = 16,           /* parcels that loop 0 writes while it reads, before it sends */
    RETRY_MS = 1               /* a full ring is tried again */
};

/* What gathers for another loop in a turn: notes, one behind the other. */
struct parcel {
    struct parcel *next;
    size_t n, cap;
    uint64_t bytes[]; /* notes are aligned */
};

/* From one loop to one other. */
struct link {
    struct td_ring ring;
    _Atomic uint64_t taken_bytes; /* released by the reader, acquired by the writer */
};

struct outbox {
    struct link *link; /* NULL: to itself */
    unsigned to;
    struct parcel *first, **end; /* not in the ring yet; the last one is written to */
    uint64_t sent_bytes;
    bool full; /* the ring had no room for all of it when the last turn ended */
};

/* One thing said. The body follows, `bytes` of it; the next note is aligned. */
struct note {
    uint32_t bytes;
    uint8_t kind; /* enum note_kind */
    uint8_t a, b, c;
    uint64_t x, y;
};

/* To: any loop, or loop 0 (>0), or from it (0>). */
enum note_kind {
    NOTE_HAND,     /*      said: a message for subscribers there; x ticket, y group commit */
    NOTE_TARGET,   /* 0>   target, said: for one member of a shared group; as HAND */
    NOTE_PUBLISH,  /* >0   said, changes: a message for loop 0 to pass on; x ticket */
    NOTE_INTEREST, /*      filter: a: on; x ticket */
    NOTE_SETTLED,  /*      what came with tickets up to x is done and durable */
    NOTE_BATCH,    /* >0   changes; a class, x ticket, y group commit */
    NOTE_DURABLE,  /* 0>   batches with tickets up to x, parts up to y */
    NOTE_STATE,    /* 0>   a: the store is under pressure, b: it has failed */
    NOTE_ASK,      /* >0   filter: retained messages for session y; a QoS, x identifier */
    NOTE_RETAINED, /* 0>   said: one of them */
    NOTE_ASKED,    /* 0>   those were all */
    NOTE_JOIN,     /* >0   identifier, filter: session y is a member; a QoS, b as asked; x ticket */
    NOTE_LEAVE,    /* >0   filter: it is no more (empty: of none) */
    NOTE_LOAD,     /* >0   session y has x in hand */
    NOTE_GIVE,     /* >0   struct td_loop_given, said, changes: choose again */
    NOTE_GATHER,   /* 0>   session y gives back what it holds of group x, if it is not there */
    NOTE_CONN,     /* 0>   struct td_loop_moved: a connection */
    NOTE_ACCESS,   /* 0>   users and grants; a, b: anonymous, hub-wide */
    NOTE_SIGHT,    /* >0   sight: counters, for who looks */
    NOTE_AUDIT, /* >0   principal, object, from, lumps: for the audit log; a action, b: refused */
    NOTE_CLOSE, /* 0>   send the clients away */
    NOTE_QUIET, /* >0   they are */
    NOTE_LAST,  /* 0>   nothing more comes from me */
    NOTE_ENDED, /* >0   nor from me */
    NOTE_KINDS
};

/* A message as it travels; its author's name, topic, properties and payload stand behind it. */
struct said {
    td_mono expires;
    td_wall at;
    uint64_t origin, owner;
    uint32_t topic_n, props_n, payload_n;
    uint8_t qos, hops, retain, author_n;
};

/* The member that was chosen. */
struct target {
    uint64_t session;
    uint32_t id;    /* subscription identifier, 0: none */
    uint32_t group; /* td_hub_group_key() */
    uint8_t qos, as_published;
    uint8_t lasting; /* a member of the group is durable */
    uint8_t unused[5];
};

/* Adds a note for loop `to`; gives the place of its body, head->bytes long, to fill at once. */
uint8_t *td_loop_note(struct td_loop *l, unsigned to, const struct note *head);
/* The same with its body. */
void td_loop_tell(struct td_loop *l, unsigned to, const struct note *head, td_slice body);
/* Reads all that other loops have handed over. */
void td_loop_mail_read(struct td_loop *l);
/* Hands over what fits, wakes who sleeps. */
void td_loop_mail_send(struct td_loop *l);
/* Whether something waits for room in a ring. */
bool td_loop_mail_blocked(const struct td_loop *l);
/* Whether there is something to hand over. */
bool td_loop_mail_written(const struct td_loop *l);
/* Whether something stands in the rings to it. */
bool td_loop_mail_waits(const struct td_loop *l);
/* Each kind of note has its taker; `from` said it. */
void td_loop_take(struct td_loop *l, unsigned from, const struct note *n, td_slice body);

/* ---- what is owed to others (ledger.c) ---- */

/* Numbers in order, two by two. */
struct pair {
    uint64_t key, value;
};

struct pairs {
    struct pair *at; /* a ring, cap a power of two */
    uint32_t first, count, cap;
};

/* Behind the last one; the first one is looked at and dropped by those below. */
void td_pairs_add(struct pairs *p, uint64_t key, uint64_t value);
void td_pairs_fini(struct pairs *p);
static inline struct pair *td_pairs_first(struct pairs *p)
{
    return p->count == 0 ? NULL : &p->at[p->first];
}
static inline void td_pairs_drop(struct pairs *p)
{
    p->first = (p->first + 1) & (p->cap - 1);
    p->count--;
}

/* Tickets that were given to somebody, and up to which one he is through. */
struct channel {
    uint64_t handed, settled;
};

/* A batch on its way into the log, on loop 0. */
struct item {
    struct item *next;
    uint64_t ticket; /* 0: nobody waits */
    uint64_t commit; /* of a group commit, its number; 0: of none */
    uint64_t lsn;    /* of a row that stands in the log already; then it has no changes */
    uint32_t parts;  /* of the group commit that have not come yet */
    uint32_t loop;   /* whose */
    uint8_t class;
    size_t n;
    uint8_t changes[];
};

/* Loop 0's: the order of the log. */
struct ledger {
    struct item *first, **end; /* wait behind a group commit whose parts have not all come */
    struct pairs owed[TD_HUB_LOOPS_MAX];  /* ticket -> LSN */
    struct pairs parts[TD_HUB_LOOPS_MAX]; /* ticket -> number of the group commit */
    struct pairs commits;                 /* number -> LSN */
    uint64_t commit, commit_durable;      /* numbers: given, durable */
    bool pressure, failed;                /* as was told */
};

/* ---- a message under way ---- */

struct passing {
    uint64_t ticket; /* what the loops that get it settle; 0: none got it, or nobody waits */
    uint64_t commit; /* number of its group commit; 0: none */
    uint32_t parts;  /* notes with it */
    bool together;   /* what stands in the open batch must not be durable without the others' */
    bool waits;      /* QoS 1 or 2 */
};

/* A member of a shared group that lives on another loop; on loop 0. */
struct member {
    struct td_subscriber who; /* first */
    struct td_loop *l;
    uint64_t session;
    unsigned loop;
    uint32_t load; /* as was told, and what it got since */
};

/* The last author whose name was looked up. */
struct author {
    uint32_t number, generation; /* td_guard_generation() */
    uint8_t n, name[TD_GUARD_NAME_MAX];
};

/* A loop's counters, as it told them last. */
struct sight {
    struct td_hub_stats hub;
    struct td_mqttd_stats mqttd;
    struct td_loop_stats loop;
};

struct td_loop {
    struct td_parts parts;
    struct td_loops *all;
    unsigned number;
    struct outbox out[TD_HUB_LOOPS_MAX];
    struct link *in[TD_HUB_LOOPS_MAX];
    struct td_loop_stats stats;
    uint32_t unsent; /* parcels made since the last mail_send() */

    /* the log */
    struct td_buf changes;                   /* the open batch */
    uint64_t ticket;                         /* the last one given for a batch */
    struct channel batch, part;              /* to the log; parts of group commits */
    uint64_t batch_clock, stamp, stamp_seen; /* done up to; moves with each change */
    uint64_t commit;       /* the batch to come is a part of that group commit; 0: of none */
    struct ledger *ledger; /* loop 0's; else NULL */
    bool pressure, failed; /* as loop 0 says; loop 0 asks the store */

    /* other loops */
    uint64_t peer_ticket, interest_ticket; /* the last ones given */
    struct channel peers[TD_HUB_LOOPS_MAX];
    uint64_t peer_clock;
    struct pairs debts[TD_HUB_LOOPS_MAX]; /* their ticket -> our LSN */
    uint64_t debt_told[TD_HUB_LOOPS_MAX], debt_done[TD_HUB_LOOPS_MAX];
    struct passing passing;
    struct td_leaves leaves; /* whether loop 0 would record it */
    uint32_t asked;          /* questions for retained messages, not answered yet; */
    struct td_map live;      /* meanwhile: topics retained at QoS 0 that went past them */
    struct td_map members;   /* struct member by session; on loop 0 */
    struct author author_out, author_in;

    /* sight */
    struct sight *sights; /* of the others, by number; on loop 0 */
    struct sight told;    /* to loop 0 */
    td_mono told_at;
    bool untold; /* there was a turn since */

    /* the end */
    bool closing, ended;        /* was told to send its clients away; has said its last */
    bool quieting, quiet_said;  /* sends them away; has said so */
    bool close_said, last_said; /* on loop 0 */
    uint32_t quiet, gone;       /* loops that have said so, on loop 0 */
};

/* Waits for both. */
uint64_t td_loop_both(struct td_loop *l, uint64_t lsn, uint64_t peers);
/* A ticket for other loops, and that `to` has it. */
static inline uint64_t td_loop_peer_lsn(uint64_t ticket)
{
    return ticket * 2 + 1;
}
void td_loop_handed(struct td_loop *l, unsigned to, uint64_t ticket);
void td_loop_clock_set(struct td_loop *l);
/* `from` said something with that ticket; it is done when `lsn` is. */
void td_loop_owe(struct td_loop *l, unsigned from, uint64_t ticket, uint64_t lsn);
void td_loop_debts_settle(struct td_loop *l);
/* The open batch as a part of group commit l->commit, also if it is empty. */
uint64_t td_loop_end_part(struct td_loop *l);
/* On loop 0: the open batch ends as group commit `commit`, when `parts` parts have come. */
uint64_t td_loop_end_commit(struct td_loop *l, enum td_store_class c, uint64_t commit,
                            uint32_t parts);
/* On loop 0: an LSN of the store's as one of the loop's. */
uint64_t td_loop_row(struct td_loop *l, uint64_t lsn);
void td_ledger_free(struct ledger *g);
/* On loop 0: what has become durable, how the store is. */
void td_loop_ledger_look(struct td_loop *l);

/* Takers of notes, as td_loop_take() calls them. */
void td_loop_take_settled(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_batch(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_durable(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_state(struct td_loop *l, unsigned from, const struct note *n, td_slice body);

/* ---- messages (pass.c) ---- */

/* The hub's callback of td_hub_watch(). */
void td_loop_interest_changed(void *ctx, td_slice filter, bool on);
void td_loop_members_free(struct td_loop *l);
void td_loop_live_clear(struct td_loop *l);
void td_loop_take_hand(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_target(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_publish(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_interest(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_ask(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_retained(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_asked(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_join(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_leave(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_give(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_gather(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_audit(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_load(struct td_loop *l, unsigned from, const struct note *n, td_slice body);

/* ---- life (loop.c) ---- */

/* Takers of notes. */
void td_loop_take_conn(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_access(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_sight(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_close(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_quiet(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_last(struct td_loop *l, unsigned from, const struct note *n, td_slice body);
void td_loop_take_ended(struct td_loop *l, unsigned from, const struct note *n, td_slice body);

/* ---- all of them (loop.c) ---- */

/* A place to sleep: what others must know of a loop. */
struct seat {
    _Atomic bool asleep; /* set by its loop before it looks a last time, cleared by who wakes it */
    char pad[TD_RING_LINE];
};

struct td_loops {
    unsigned count;
    struct td_loop *at[TD_HUB_LOOPS_MAX];
    struct seat seats[TD_HUB_LOOPS_MAX];
    _Atomic uint64_t conns, sessions; /* of all; relaxed, each loop adds and reads */
    struct link *links[TD_HUB_LOOPS_MAX][TD_HUB_LOOPS_MAX]; /* from, to */
};

#endif
