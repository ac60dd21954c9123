/* rules: what shall happen. A set of rule files is compiled once (room lang reads the language) and
 * then fed with messages and time; what it wants done is pulled as outputs.
 *
 *     message ---> rows (last value per stream and key) ---> statements ---> outputs
 *     deadline --/                                            (bytecode)     SEND STATE FIRED
 *
 * A pure function of the calls below: no hub, store, clock, file or randomness behind it, so that
 * TEST blocks in virtual time, the simulator and recovery after a crash run the very same code.
 *
 * Durable state: latches, hold times, ONCE flags, alarms, bids and the last values behind them
 * leave as STATE outputs (a key, a value or "gone") and come back by td_rules_restore(). All STATE
 * outputs of a turn belong into one atomic record, and a SEND with qos >= 1 leaves after it: then a
 * crash neither loses an order nor sends it twice.
 *
 * Bounds: keys a statement (keys_max, refused and counted), outputs a turn, hops (8), firings a
 * second and statement (100, then a breaker opens for 30 s). One thread owns a set. */
#ifndef TD_RULES_H
#define TD_RULES_H

#include "base/base.h"

struct td_rules;

/* A rule file: its name for messages to people, and its text. Both are copied. */
struct td_rules_file {
    td_slice name, text;
};

struct td_rules_config {
    const struct td_rules_file *files;
    size_t file_count;
    uint64_t seed;     /* for hash tables, from the seam */
    uint32_t keys_max; /* key tuples a statement or stream; 0: 100,000 */
};

/* Reads, checks and compiles. TD_ESYNTAX: `why` has the errors for people (file:line:column, the
 * line, a caret, the reason, the remedy), at most 20; *out is untouched. On success `why` may hold
 * warnings. Free with td_rules_free(). */
enum td_err td_rules_load(const struct td_rules_config *config, struct td_rules **out,
                          struct td_buf *why);
void td_rules_free(struct td_rules *r);

/* ---- what it wants to hear ---- */

/* MQTT filters, without duplicates; they stand until free. */
size_t td_rules_filter_count(const struct td_rules *r);
td_slice td_rules_filter(const struct td_rules *r, size_t i);

struct td_rules_message {
    td_slice topic, payload;
    uint8_t hops;  /* how often rules and bridges have handed it on */
    bool retained; /* it is an old one, given because we subscribed: no edge, no arrival */
};

/* ---- the way of life: restore*, start, then (message | expire, next*)* ---- */

/* Gives back what a STATE output said. What belongs to a statement that is gone or has changed is
 * TD_ENOENT, damaged bytes are TD_ECORRUPT; the caller may delete the key. */
enum td_err td_rules_restore(struct td_rules *r, td_slice key, td_slice value, td_mono now,
                             td_wall wall);
/* Once, when all is restored: arms the deadlines, places the bids that stand without input. */
void td_rules_start(struct td_rules *r, td_mono now, td_wall wall);

void td_rules_message(struct td_rules *r, const struct td_rules_message *m, td_mono now,
                      td_wall wall);
/* Runs what is due at `now`. */
void td_rules_expire(struct td_rules *r, td_mono now, td_wall wall);
td_mono td_rules_deadline(const struct td_rules *r);

enum td_rules_out_kind { TD_RULES_SEND, TD_RULES_STATE, TD_RULES_FIRED };

/* Slices are borrowed and stand until the next call of message, expire or free. */
struct td_rules_out {
    enum td_rules_out_kind kind;
    td_slice rule;     /* the statement's name */
    td_slice key;      /* STATE: the key; else the key tuple as text: "v1, cola" */
    td_slice topic;    /* SEND */
    td_slice payload;  /* SEND, STATE (empty: gone), FIRED: what it did, for people */
    uint64_t id;       /* SEND: the same for the same firing, also after a crash; 0: none asked */
    td_ms expiry_ms;   /* SEND: what a command's lease allows; 0: does not expire */
    uint8_t qos, hops; /* SEND */
    bool retain;       /* SEND */
};

/* The next output of what was fed; false: no more. STATE outputs come first. Pull until false
 * before the next message. */
bool td_rules_next(struct td_rules *r, struct td_rules_out *out);

/* ---- looking at it ---- */

struct td_rules_info {
    td_slice name, kind, file; /* kind: "RULE", "ACTUATOR", "ALARM", "MACHINE", "STREAM", "PARAM" */
    uint32_t line;
    td_slice text;           /* its source */
    uint32_t keys;           /* key tuples that live */
    uint64_t fired, refused; /* refused: by the breaker or a bound */
    td_wall last_fired;      /* 0: never */
    td_slice last_action;    /* empty: none yet */
    td_slice state;          /* per key, for people: "r1: on=true (rule heat, slot 12)" */
};

size_t td_rules_count(const struct td_rules *r);
/* Slices of *out are borrowed: until the next call of anything but td_rules_next. */
void td_rules_info(struct td_rules *r, size_t i, struct td_rules_info *out);

struct td_rules_stats {
    uint64_t messages, evaluations, fired;
    uint64_t unparsed;     /* payloads or fields that did not fit their stream */
    uint64_t late;         /* older than what the row had already */
    uint64_t keys_refused; /* over keys_max */
    uint64_t hops_dropped; /* a message went round 8 times */
    uint64_t breaker_opened;
    uint64_t outputs_dropped; /* over the bound of a turn: 16 MB */
};

/* Counted since the rules were loaded; lives as long as r. */
const struct td_rules_stats *td_rules_stats(const struct td_rules *r);

/* ---- TEST blocks ---- */

struct td_rules_tests {
    uint32_t passed, failed;
};

/* Runs every TEST of the files in virtual time and appends a line for each, and for a failed EXPECT
 * the place and the values of its parts. Errors as td_rules_load. */
enum td_err td_rules_test(const struct td_rules_config *config, struct td_rules_tests *out,
                          struct td_buf *report);

#endif
