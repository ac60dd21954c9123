/* rules, private: a compiled set and what it knows.
 *
 *   td_source     where values come from: a STREAM, and what statements give back (PARAM, ACTUATOR,
 *                 ALARM, MACHINE): read and depended on in the same way
 *   td_row        its last values for one key tuple
 *   td_group      the rows of a source that agree in some keys: what ANY, SUM, .. go over
 *   td_statement  RULE, ALARM, MACHINE, ACTUATOR, .. compiled
 *   td_inst       a statement for one key tuple: memory, deadline, and links from the rows it reads
 *
 * Files: topic.c patterns | load.c bind.c build.c text to set | cycle.c who sets off whom
 * row.c rows, groups, instances | extract.c payloads | run.c turns and queue | out.c outputs
 * act.c rule.c alarm.c machine.c actuator.c what statements do | state.c leave and come back
 * info.c for people | test.c test_run.c TEST blocks. */
#ifndef TD_RULES_SET_H
#define TD_RULES_SET_H

#include "lang/lang.h"
#include "rules/rules.h"

enum {
    TD_KEYS_MAX = 8,    /* of a stream or statement */
    TD_FIELDS_MAX = 64, /* of a stream */
    TD_INPUTS_MAX = 64, /* of a statement */
    TD_GROUPS_MAX = 32, /* of a statement */
    TD_LETS_MAX = 64,   /* of a statement */
    TD_EXPECTS_MAX = 8, /* of a statement */
    TD_PATH_MAX = 8,    /* parts of a JSON path */
    TD_SLOTS = 16,      /* of an actuator's field */
    TD_HOPS_MAX = 8,
    TD_TEXT_BYTES_MAX = 256, /* of a value */
    TD_LAST_ACTION_MAX = 512,
    TD_OUT_BYTES_MAX = 16 << 20, /* outputs of a turn */
    TD_STATEMENTS_MAX = 20000,
    TD_ROUTES_MAX = 1 << 18, /* topics whose rows are remembered */
    TD_ENTRY_SLOT = 16       /* a bid of no priority of its own: RULE 12, ALARM 5, MACHINE 10 */
};

/* ---- topics ---- */

struct td_level {
    td_slice text; /* literal; of a wildcard: the key's name, n 0: none */
    char wild;     /* 0, '+' or '#' */
    int8_t key;    /* which key it binds, -1: none */
};

struct td_pattern {
    struct td_level *levels;
    uint16_t count;
    td_slice keys[TD_KEYS_MAX];
    uint8_t key_count;
};

/* ---- sources ---- */

enum td_source_kind {
    TD_SOURCE_STREAM,
    TD_SOURCE_PARAM,
    TD_SOURCE_ACTUATOR,
    TD_SOURCE_ALARM,
    TD_SOURCE_MACHINE,
    TD_SOURCE_CONFIRM, /* reports of an actuator's device */
    TD_SOURCE_SELECT   /* FROM of CREATE RULE: one row, nothing is kept */
};

struct td_path_part {
    td_slice key; /* n 0 with index >= 0: an array's element */
    int32_t index;
};

struct td_field {
    td_slice name;
    enum td_lang_field_type type;
    struct td_lang_type lang;
    const struct td_lang_words *words;
    struct td_path_part path[TD_PATH_MAX];
    uint8_t path_count;
    double scale, offset; /* payload * scale + offset */
    bool has_range;
    double least, most;
    struct td_lang_value fallback; /* DEFAULT, a PARAM's value, an ALARM's FALSE; UNKNOWN: none */
    struct td_lang_value failsafe;
    td_mono min_on, min_off, min_hold;
    double max_count; /* MAX max_count / max_per; 0: none */
    td_mono max_per;
};

struct td_statement;
struct td_inst;

/* A statement whose key tuples a source's rows bring. */
struct td_creator {
    struct td_creator *next;
    struct td_statement *statement;
    uint8_t from[TD_KEYS_MAX];     /* for each key of the statement: the source's key */
    td_slice literal[TD_KEYS_MAX]; /* for each key of the source: must be this; p NULL: any */
};

/* Rows of a source by some of its keys. */
struct td_grouping {
    struct td_grouping *next;
    uint8_t at[TD_KEYS_MAX]; /* the keys, in the source's order */
    uint8_t count, index;
    struct td_map groups;
};

struct td_source {
    struct td_source *next;
    uint32_t index;
    enum td_source_kind kind;
    td_slice name;
    const struct td_lang_stmt *stmt; /* NULL: an alarm that nobody declared */
    struct td_statement *statement;  /* whose values these are; of CONFIRM: the actuator */
    struct td_pattern pattern;       /* STREAM, SELECT, CONFIRM; the keys of all */
    bool keys_known;                 /* while loading: of statements without PER */
    bool read;                       /* by a statement: its rows must survive a crash */
    struct td_field *fields;
    uint16_t field_count;
    td_mono stale_after; /* 0: never */
    struct td_path_part time_path[TD_PATH_MAX];
    uint8_t time_count;
    double time_scale;
    struct td_map rows;
    struct td_grouping *groupings;
    uint8_t grouping_count;
    struct td_creator *creators;
};

/* ---- statements ---- */

/* Which row a program reads: each of the source's keys is one of the statement's or a literal. */
struct td_input {
    struct td_source *source;
    struct td_grouping *grouping; /* a group instead of a row */
    uint8_t from[TD_KEYS_MAX];    /* UINT8_MAX: the literal */
    td_slice literal[TD_KEYS_MAX];
};

struct td_code {
    struct td_lang_code lang;
    bool there, pulse;
};

struct td_obj {
    struct td_obj *next, *members;
    td_slice key;
    struct td_code code;
    bool nested;
};

struct td_assign {
    struct td_assign *next;
    uint16_t field;
    struct td_code code;
};

struct td_act {
    struct td_act *next;
    enum td_lang_act_kind kind;
    struct td_statement *target; /* HOLD: the actuator; EXPECT: the alarm */
    struct td_input at;          /* HOLD: which of its instances */
    struct td_assign *assigns;
    struct td_code term;
    uint8_t slot;
    struct td_pattern topic; /* SEND */
    struct td_obj *object;
    struct td_code value; /* SEND; EXPECT */
    struct td_code within;
    bool is_object, retain, idempotent, durable, abort;
    uint8_t qos, expect; /* expect: its place in the instance */
};

struct td_go {
    struct td_go *next;
    uint16_t target;
    struct td_code when, after;
};

struct td_state {
    td_slice name;
    struct td_code min;
    struct td_act *acts;
    struct td_go *gos;
    uint16_t cell_from, cell_to; /* memories that begin anew when it is entered */
};

struct td_item {
    struct td_item *next;
    td_slice name;
    struct td_code code;
};

struct td_statement {
    struct td_statement *next;
    uint32_t index;
    enum td_lang_stmt_kind kind;
    td_slice name;
    const struct td_lang_stmt *stmt; /* NULL: an alarm that nobody declared */
    uint64_t hash;
    td_slice keys[TD_KEYS_MAX];
    uint8_t key_count;
    bool keys_known;
    struct td_source *self; /* ACTUATOR, ALARM, MACHINE: what others read of it */
    struct td_source *confirm;
    struct td_input *inputs, *groups; /* while building: lent by the set */
    uint16_t input_count, group_count;
    uint16_t cell_count;
    struct td_lang_span *spans;
    uint16_t span_count;
    struct td_code *lets;
    bool *let_pulse;
    uint16_t let_count;
    struct td_code when, while_, unless, once, clear;
    td_mono every;
    double max_count;
    td_mono max_per;
    struct td_act *acts, *on_raise, *on_clear, *while_active;
    uint8_t expect_count;
    struct td_state *states;
    uint16_t state_count;
    struct td_go *always;
    struct td_item *items;
    struct td_pattern topic; /* ACTUATOR, CREATE: where it sends; ALARM: its own */
    td_mono lease, confirm_within;
    struct td_statement *confirm_alarm;
    struct td_statement **holders; /* ACTUATOR: who has which slot of which field */
    unsigned severity;
    struct td_map insts;
    /* what happened */
    uint64_t fired, refused;
    td_wall last_fired;
    uint8_t last_action[TD_LAST_ACTION_MAX];
    size_t last_action_bytes;
    double tokens; /* the breaker's: 100/s */
    td_mono tokens_at, open_until;
};

/* ---- what lives ---- */

enum td_due_kind { TD_DUE_INST, TD_DUE_ROW, TD_DUE_ROWS };

struct td_due {
    struct td_timer timer;
    enum td_due_kind kind;
};

struct td_subs {
    struct td_inst **at;
    uint32_t count, cap;
};

struct td_row {
    struct td_lang_row lang; /* first: programs see this */
    struct td_source *source;
    td_slice key; /* encoded, for the map */
    td_slice *keys;
    struct td_subs subs;
    struct td_due stale;
    td_wall at_wall, event_at;
    uint8_t *texts; /* two of TD_TEXT_BYTES_MAX a slot, made when needed */
    struct td_row *dirty_next;
    bool dirty;
};

struct td_group {
    struct td_lang_group lang; /* first */
    uint32_t cap;
    td_slice key;
    struct td_subs subs;
};

struct td_bid {
    struct td_lang_value value;
    uint64_t owner; /* name hash of the statement */
    td_mono until;
    bool filled, failsafe;
};

struct td_act_field {
    struct td_bid slots[TD_SLOTS + 1];
    struct td_lang_value now; /* commanded; UNKNOWN: nothing yet */
    td_mono since;            /* of now; INT64_MIN: the first one, not bound by MIN */
    uint8_t winner;           /* slot; 0: DEFAULT */
    double tokens;
    td_mono tokens_at;
};

struct td_expect {
    bool pending;
    td_mono due;
};

struct td_inst {
    struct td_statement *statement;
    td_slice key;
    td_slice *keys;
    struct td_lang_row **rows;
    struct td_lang_group **groups;
    struct td_lang_cell *cells;
    struct td_due timer;
    struct td_inst *queue_next, *dirty_next;
    bool queued, dirty, settling;
    bool blind; /* a row it reads was refused: it never runs */
    uint8_t hops;
    /* pulse rules, alarms */
    uint8_t last; /* of WHEN: was its last known value TRUE? */
    bool once;    /* fired, waits for UNTIL */
    bool until;   /* UNTIL was TRUE */
    uint64_t fired, fired_turn;
    td_wall every_at; /* the last tick of EVERY that was seen */
    double tokens;    /* MAX */
    td_mono tokens_at;
    struct td_expect *expects;
    /* ALARM */
    bool active, raised; /* raised: by an EXPECT or CONFIRM */
    td_wall since_wall;
    /* MACHINE */
    uint16_t state;
    td_mono entered;
    /* ACTUATOR */
    struct td_act_field *fields;
    td_mono sent_at;
    td_mono confirm_due; /* TD_NEVER: nothing awaited */
    /* CREATE: of the message that is looked at */
    td_slice payload;
};

/* Outputs wait as offsets into one buffer, which may move while it grows. */
struct td_out {
    enum td_rules_out_kind kind;
    uint32_t statement;
    size_t key, key_n, topic, topic_n, payload, payload_n;
    uint64_t id;
    td_ms expiry_ms;
    uint8_t qos, hops;
    bool retain;
};

/* Where messages of a topic go; remembered by topic. */
struct td_route {
    td_slice topic;
    bool whole; /* no row was refused: it may be remembered */
    uint32_t count;
    struct td_row *rows[];
};

struct td_rules {
    struct td_arena arena; /* text, trees, programs: all that stands still */
    struct td_lang_source *files;
    uint32_t file_count;
    struct td_lang_stmt *stmts;
    struct td_source *sources, **source_tail;
    struct td_statement *statements, **statement_tail;
    uint32_t source_count, statement_count;
    struct td_statement **by_index;
    struct td_test *tests;
    struct td_map names; /* of sources */
    struct td_map statement_names;
    td_slice *filters;
    size_t filter_count;
    struct td_source **listening; /* sources with a filter */
    uint32_t listening_count;
    struct td_source **selects; /* those of CREATE RULE */
    uint32_t select_count;
    uint64_t seed;
    uint32_t keys_max;
    struct td_map routes;
    /* the turn */
    td_mono now;
    td_wall wall;
    uint64_t turn;
    uint8_t hops;
    bool started;
    struct td_inst *queue, **queue_tail; /* to be evaluated */
    struct td_inst *dirty;               /* state has changed */
    struct td_row *dirty_rows;
    struct td_due rows_due; /* when changed rows leave at the latest */
    bool urgent;            /* they leave with this turn */
    struct td_heap heap;
    struct td_inst **settle; /* actuators that may have to command */
    uint32_t settle_count, settle_cap;
    struct td_buf out_bytes, scratch, key_text, encoded;
    struct td_buf outs; /* of struct td_out */
    size_t out_at;
    struct td_rules_stats stats;
    struct td_input *lent_inputs, *lent_groups; /* while building */
    struct td_statement *none; /* stands for a statement where only constants may be */
};

/* ---- topic.c ---- */

/* "home/+room/#rest" or a topic with {key} places. Errors are told to diag. */
bool td_pattern_parse(struct td_arena *arena, struct td_lang_diag *diag, struct td_lang_place at,
                      td_slice text, bool filter, struct td_pattern *out);
/* As an MQTT filter: names taken off the wildcards. Into the arena. */
td_slice td_pattern_filter(struct td_arena *arena, const struct td_pattern *p);
bool td_pattern_match(const struct td_pattern *p, td_slice topic, td_slice keys[TD_KEYS_MAX]);
/* Writes the topic with the keys' values in their places. */
void td_pattern_fill(const struct td_pattern *p, const td_slice *keys, struct td_buf *out);

/* ---- keys (row.c) ---- */

/* Key tuples as one byte string, for maps and records. */
void td_key_encode(const td_slice *keys, size_t count, struct td_buf *out);
/* "v1, cola" */
void td_key_print(const td_slice *keys, size_t count, struct td_buf *out);

struct td_row *td_row_get(struct td_rules *r, struct td_source *s, const td_slice *keys);
struct td_inst *td_inst_get(struct td_rules *r, struct td_statement *s, const td_slice *keys);
/* The one instance of a CREATE RULE, which keeps nothing; *row is what it reads. */
struct td_inst *td_select_get(struct td_rules *r, struct td_statement *s, struct td_row **row);
/* The keys of what `in` names, seen from an instance. */
void td_input_keys(const struct td_input *in, const struct td_inst *inst,
                   td_slice out[TD_KEYS_MAX]);
void td_row_free(struct td_row *row);
void td_inst_free(struct td_inst *inst);
/* Moves now to was and sets now; texts are copied. */
void td_slot_set(struct td_row *row, size_t slot, struct td_lang_value v);
/* A message (or a new value of a statement) has been written into row's slots: arms its staleness
 * and queues who reads it. */
void td_row_arrived(struct td_rules *r, struct td_row *row, bool retained);
/* Its values are as old as `at`: STALE from there on by its stream's word. */
void td_row_age(struct td_rules *r, struct td_row *row, td_mono at);
/* Queues who reads it. */
void td_row_readers(struct td_rules *r, struct td_row *row);

/* ---- extract.c ---- */

/* Reads what the source wants from a payload into values[], texts into `scratch`. False (counted):
 * not readable at all. *event_at: by TIME, 0: none. */
bool td_extract(struct td_rules *r, const struct td_source *s, td_slice payload,
                struct td_lang_value *values, td_wall *event_at);
bool td_path_parse(td_slice text, struct td_path_part path[TD_PATH_MAX], uint8_t *count);

/* ---- bind.c, build.c, load.c ---- */

struct td_builder {
    struct td_rules *r;
    struct td_lang_diag *diag;
    struct td_statement *st;           /* being compiled */
    const struct td_lang_let *let_end; /* names before this one are in scope; NULL: all */
    const struct td_lang_stmt *ast;
    struct td_lang_scope scope;
    struct td_source *from; /* of CREATE: bare names are its fields */
};

bool td_bind(void *ctx, struct td_lang_expr *e, struct td_lang_expr *fold, bool stream);
struct td_source *td_source_find(const struct td_rules *r, td_slice name);
/* Picks and statement keys to an input; extra keys: *extra is the name of the first. */
bool td_bind_keys(struct td_builder *b, const struct td_lang_expr *e, struct td_source *s,
                  struct td_input *in, td_slice *extra, uint8_t *extra_count);
bool td_build_code(struct td_builder *b, struct td_lang_expr *e, const struct td_lang_type *want,
                   const char *what, struct td_code *out);
bool td_build_object(struct td_builder *b, const struct td_lang_object *o, struct td_obj **out);
bool td_build_statement(struct td_rules *r, struct td_lang_diag *diag, struct td_statement *st);
void td_builder_init(struct td_builder *b, struct td_rules *r, struct td_lang_diag *diag,
                     struct td_statement *st);
bool td_builder_done(struct td_builder *b);
struct td_source *td_source_new(struct td_rules *r, enum td_source_kind kind, td_slice name,
                                const struct td_lang_stmt *stmt);
struct td_statement *td_statement_new(struct td_rules *r, enum td_lang_stmt_kind kind,
                                      td_slice name, const struct td_lang_stmt *stmt);
struct td_statement *td_alarm_implied(struct td_rules *r, struct td_lang_diag *diag,
                                      const struct td_lang_name *name, const td_slice *keys,
                                      uint8_t key_count);
bool td_fields_build(struct td_builder *b, struct td_source *s, const struct td_lang_field *list);

/* cycle.c: warns of rules that set off themselves. */
void td_cycles_warn(struct td_rules *r, struct td_lang_diag *diag);

/* ---- test.c: every TEST is compiled at load, so that `check` finds its errors ---- */

/* Errors are told to diag. */
void td_tests_check(struct td_rules *r, struct td_lang_diag *diag);

/* machine.c: every INVARIANT holds in every state. */
bool td_invariants_check(struct td_builder *b);

/* ---- run.c ---- */

void td_turn_begin(struct td_rules *r, td_mono now, td_wall wall, uint8_t hops);
void td_turn_end(struct td_rules *r);
void td_queue(struct td_rules *r, struct td_inst *inst, uint8_t hops);
void td_dirty(struct td_rules *r, struct td_inst *inst);
void td_row_dirty(struct td_rules *r, struct td_row *row);
void td_settle(struct td_rules *r, struct td_inst *actuator);
struct td_lang_value td_eval(struct td_lang_env *env, const struct td_code *code);
void td_env(struct td_rules *r, struct td_inst *inst, struct td_lang_value *locals,
            struct td_lang_env *env);
/* Lets the row of what a statement gives back hear of a new value. */
void td_self_set(struct td_rules *r, struct td_inst *inst, const struct td_lang_value *values,
                 bool quiet);
void td_message_in(struct td_rules *r, struct td_row *row, const struct td_lang_value *values,
                   td_wall event_at, bool retained);
/* false (counted): the statement's breaker is open. */
bool td_breaker_pass(struct td_rules *r, struct td_statement *s);
bool td_tokens_take(double *tokens, td_mono *at, td_mono now, double count, td_mono per,
                    td_mono *next);

/* ---- out.c ---- */

/* Writes a value as JSON: UNKNOWN is null. */
void td_out_json(struct td_buf *out, struct td_lang_value v);
/* An object's members, evaluated, with braces; `id` (0: none) as a last member. */
void td_out_object(struct td_buf *out, const struct td_obj *o, struct td_lang_env *env,
                   uint64_t id);
struct td_send {
    const struct td_pattern *topic;
    td_slice payload;
    uint64_t id;
    td_ms expiry_ms;
    uint8_t qos;
    bool retain;
};

void td_out_send(struct td_rules *r, struct td_inst *inst, const struct td_send *send);
/* "it fired, and this is what it did", for people. */
void td_out_fired(struct td_rules *r, struct td_inst *inst, td_slice text);
void td_state_text(struct td_rules *r, const struct td_statement *st, struct td_buf *out);

/* ---- what statements do ---- */

void td_eval_inst(struct td_rules *r, struct td_inst *inst);
void td_rule_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env);
void td_alarm_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env);
void td_machine_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env);
void td_actuator_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env);
void td_actuator_settle(struct td_rules *r, struct td_inst *inst);
void td_create_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env);
/* HOLDs as levels: `on` TRUE places the bids, FALSE takes them away, UNKNOWN lets FAILSAFE in. */
void td_hold_level(struct td_rules *r, struct td_inst *inst, const struct td_act *acts,
                   struct td_lang_value on, struct td_lang_env *env);
/* What a firing does, once; EXPECTs begin to wait. */
void td_acts_fire(struct td_rules *r, struct td_inst *inst, const struct td_act *acts,
                  struct td_lang_env *env);
void td_expects_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env);
/* An EXPECT or CONFIRM was not met (or is, at last). */
void td_alarm_raise(struct td_rules *r, struct td_statement *alarm, const td_slice *keys,
                    bool raised);
uint64_t td_owner_id(const struct td_statement *s);
/* b, if it is a duration, after `from`. */
td_mono td_after(td_mono from, struct td_lang_value v);

/* ---- state.c ---- */

/* Append the key to `key` and the value of the record to `b`. */
void td_state_of_inst(struct td_rules *r, const struct td_inst *inst, struct td_buf *key,
                      struct td_buf *b);
void td_state_of_row(struct td_rules *r, const struct td_row *row, struct td_buf *key,
                     struct td_buf *b);

#endif
