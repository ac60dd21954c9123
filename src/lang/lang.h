/* lang: the rule language.
 *
 *     text --lex.c--> tokens --parse*.c--> tree --check.c--> typed tree --code.c--> bytecode
 *                                                  unit.c                 verify.c -> vm.c
 *
 * It knows no topics, clocks, files. Names come from its caller by struct td_lang_scope; what a
 * program reads and keeps is lent to it in struct td_lang_env. Everything that people did wrong is
 * told by diag.c: place, line, caret, reason, remedy.
 *
 * Three qualities run through it: a datum is KNOWN, STALE (too old) or UNKNOWN (unseen, unreadable,
 * out of range). Arithmetic hands the worse one on; conditions are three-valued (Kleene). */
#ifndef TD_LANG_H
#define TD_LANG_H

#include "base/base.h"

/* ---- places and messages (diag.c) ---- */

struct td_lang_source {
    td_slice name, text;
};

/* Bytes [at, at + n) of a source. */
struct td_lang_place {
    uint32_t file, at, n;
};

enum { TD_LANG_ERRORS_MAX = 20 };

struct td_lang_diag {
    const struct td_lang_source *sources;
    struct td_buf *out;
    unsigned errors, warnings; /* all of them, also those beyond TD_LANG_ERRORS_MAX */
    bool quiet;                /* the last one was not printed: neither are its notes */
};

/* "town.td:12:7: error: ..." with the line and a caret below it. */
void td_lang_error(struct td_lang_diag *d, struct td_lang_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void td_lang_warning(struct td_lang_diag *d, struct td_lang_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Under the last message: "  why: ..." and "  try: ...". */
void td_lang_why(struct td_lang_diag *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void td_lang_try(struct td_lang_diag *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Line and column (in characters) of a place, from 1. */
void td_lang_line_of(td_slice text, uint32_t at, uint32_t *line, uint32_t *column);
/* The candidate that was most likely meant, at most a third of its letters away; n 0: none is. */
td_slice td_lang_nearest(td_slice word, const td_slice *candidates, size_t count);

/* printf of a slice: printf("%.*s", TD_LANG_S(s)) */
#define TD_LANG_S(s) (int)(s).n, (const char *)((s).n > 0 ? (s).p : (const uint8_t *)"")

/* ---- units (unit.c) ---- */

enum { TD_LANG_DIMS = 7 }; /* m kg s A K mol cd */

/* value in SI = value * scale + offset; only temperatures on a scale (°C, °F) have an offset. */
struct td_lang_unit {
    double scale, offset;
    int8_t dim[TD_LANG_DIMS];
};

extern const struct td_lang_unit td_lang_unit_one, td_lang_unit_second;

/* Reads the longest unit at the front of `text` ("l/min", "°C", "m2"); gives its bytes, 0: none.
 * *lone_m: it was the single letter m, which is the minute behind a number. */
size_t td_lang_unit_read(td_slice text, struct td_lang_unit *out, bool *lone_m);
bool td_lang_unit_same_dim(const struct td_lang_unit *a, const struct td_lang_unit *b);
bool td_lang_unit_eq(const struct td_lang_unit *a, const struct td_lang_unit *b);
/* a * b or a / b; offsets are the caller's business. False: a power beyond +-120. */
bool td_lang_unit_mul(const struct td_lang_unit *a, const struct td_lang_unit *b, int sign,
                      struct td_lang_unit *out);
/* Its name for people, as written where a unit of that value is known, else built ("kg*m/s2").
 * Into out[TD_LANG_UNIT_NAME], with NUL. */
enum { TD_LANG_UNIT_NAME = 48 };
void td_lang_unit_name(const struct td_lang_unit *u, char out[TD_LANG_UNIT_NAME]);

/* ---- types ---- */

enum td_lang_kind { TD_LANG_ANY, TD_LANG_BOOL, TD_LANG_NUM, TD_LANG_TEXT };

struct td_lang_words { /* of an ENUM, in the order written */
    struct td_lang_words *next;
    td_slice word;
};

struct td_lang_type {
    enum td_lang_kind kind;
    bool bare;                         /* NUM: a literal without a unit, takes its counterpart's */
    bool counter;                      /* NUM: only grows, a fall is a reset */
    struct td_lang_unit unit;          /* NUM */
    const struct td_lang_words *words; /* TEXT: one of these; NULL: any */
};

/* ---- the tree (parse*.c); all of it lives in one arena ---- */

enum td_lang_op {
    TD_LANG_OP_NUM,
    TD_LANG_OP_TEXT,
    TD_LANG_OP_TRUE,
    TD_LANG_OP_FALSE,
    TD_LANG_OP_UNKNOWN,
    TD_LANG_OP_ELAPSED,
    TD_LANG_OP_REF,
    TD_LANG_OP_PATH,
    TD_LANG_OP_NEG,
    TD_LANG_OP_NOT,
    TD_LANG_OP_ADD,
    TD_LANG_OP_SUB,
    TD_LANG_OP_MUL,
    TD_LANG_OP_DIV,
    TD_LANG_OP_EQ,
    TD_LANG_OP_NE,
    TD_LANG_OP_LT,
    TD_LANG_OP_LE,
    TD_LANG_OP_GT,
    TD_LANG_OP_GE,
    TD_LANG_OP_AND,
    TD_LANG_OP_OR,
    TD_LANG_OP_IN,      /* a in list */
    TD_LANG_OP_BETWEEN, /* a in list[0]..list[1] */
    TD_LANG_OP_IS,      /* a IS quality */
    TD_LANG_OP_SILENT,  /* a (a stream) SILENT b */
    TD_LANG_OP_ARRIVES, /* a (a stream) */
    TD_LANG_OP_FOR,     /* a FOR b */
    TD_LANG_OP_RISES,
    TD_LANG_OP_FALLS,
    TD_LANG_OP_CHANGES, /* a, BY b */
    TD_LANG_OP_CALL,    /* func(list) */
    TD_LANG_OP_FOLD,    /* func(a) over the rows of a group */
    TD_LANG_OP_WINDOW,  /* func(a) over b */
    TD_LANG_OP_CONVERT  /* a * num + add; put in by the checker */
};

enum td_lang_func {
#define FUNC(name, least, most, law, help) TD_LANG_FUNC_##name,
#include "lang/functions.def"
#undef FUNC
    TD_LANG_FUNC_COUNT_
};

/* What a name was bound to by the scope. */
enum td_lang_bind {
    TD_LANG_BIND_NONE,
    TD_LANG_BIND_FIELD, /* env.rows[input]->slots[field] */
    TD_LANG_BIND_ROW,   /* inside a fold: the current row's slots[field] */
    TD_LANG_BIND_KEY,   /* env.keys[input] */
    TD_LANG_BIND_LOCAL  /* env.locals[input] */
};

struct td_lang_expr {
    enum td_lang_op op;
    struct td_lang_place place;
    struct td_lang_expr *a, *b, *list; /* list: arguments, linked by next */
    struct td_lang_expr *next;
    struct td_lang_expr *keys; /* REF: picked keys, in brackets */
    td_slice text;             /* TEXT value; REF, CALL name; PATH; a picked key's label */
    td_slice field;            /* REF: behind the dot */
    double num, add;
    struct td_lang_unit unit; /* NUM */
    bool has_unit, negate;    /* IS NOT, NOT IN */
    uint8_t quality;          /* IS: enum td_lang_quality */
    enum td_lang_func func;
    /* filled by the checker: */
    struct td_lang_type type;
    enum td_lang_bind bind;
    uint16_t input, slot; /* FOLD: input is the group */
    uint16_t cell;        /* of an operator with a memory */
    bool pulse;           /* TRUE only in the turn of an event */
    bool state;           /* has a memory, must be evaluated each time */
};

struct td_lang_name {
    struct td_lang_name *next;
    td_slice name;
    struct td_lang_place place;
};

enum td_lang_field_type {
    TD_LANG_FIELD_ANY,
    TD_LANG_FIELD_BOOL,
    TD_LANG_FIELD_INT,
    TD_LANG_FIELD_FLOAT,
    TD_LANG_FIELD_TEXT,
    TD_LANG_FIELD_TIME,
    TD_LANG_FIELD_DURATION,
    TD_LANG_FIELD_COUNTER,
    TD_LANG_FIELD_ENUM,
    TD_LANG_FIELD_UNIT
};

struct td_lang_field {
    struct td_lang_field *next;
    td_slice name;
    struct td_lang_place place;
    enum td_lang_field_type type;
    struct td_lang_unit unit, payload_unit; /* UNIT, TIME, DURATION: what is kept, what is sent */
    struct td_lang_words *words;
    td_slice path;                                           /* "$.a.b[0]"; n 0: $.<name> */
    struct td_lang_expr *least, *most, *fallback, *failsafe; /* RANGE, DEFAULT, FAILSAFE */
    struct td_lang_expr *min_on, *min_off, *min_hold;
    struct td_lang_expr *max_per; /* MAX max_count / max_per */
    double max_count;
};

/* What goes out: an object, or one value. */
struct td_lang_object {
    struct td_lang_object *next;
    td_slice key;
    struct td_lang_place place;
    struct td_lang_expr *value;     /* or */
    struct td_lang_object *members; /* a nested object; may be empty if value is NULL */
};

struct td_lang_assign {
    struct td_lang_assign *next;
    struct td_lang_expr *ref; /* REF */
    struct td_lang_expr *value;
    struct td_lang_object *object; /* instead of value */
};

enum td_lang_act_kind { TD_LANG_ACT_HOLD, TD_LANG_ACT_SEND, TD_LANG_ACT_EXPECT };

struct td_lang_act {
    struct td_lang_act *next;
    enum td_lang_act_kind kind;
    struct td_lang_place place;
    struct td_lang_assign *assigns; /* HOLD */
    struct td_lang_expr *term;      /* HOLD .. FOR */
    unsigned priority;              /* 0: the statement's */
    td_slice topic;                 /* SEND */
    struct td_lang_place topic_place;
    struct td_lang_expr *value;
    struct td_lang_object *object;
    bool is_object, retain, idempotent, durable, abort;
    unsigned qos;
    struct td_lang_expr *expect, *within; /* EXPECT */
    struct td_lang_name alarm;
};

struct td_lang_let {
    struct td_lang_let *next;
    struct td_lang_name name;
    struct td_lang_expr *value;
};

struct td_lang_go {
    struct td_lang_go *next;
    struct td_lang_name target;
    struct td_lang_expr *when, *after;
};

struct td_lang_state {
    struct td_lang_state *next;
    struct td_lang_name name;
    struct td_lang_expr *min;
    struct td_lang_act *acts;
    struct td_lang_go *gos;
};

struct td_lang_invariant {
    struct td_lang_invariant *next;
    struct td_lang_expr *value;
};

struct td_lang_item { /* SELECT value AS name */
    struct td_lang_item *next;
    struct td_lang_expr *value;
    td_slice name;
    struct td_lang_place place;
};

enum td_lang_step_kind {
    TD_LANG_STEP_ASSIGN,
    TD_LANG_STEP_EXPECT,
    TD_LANG_STEP_SENT,
    TD_LANG_STEP_RESTART,
    TD_LANG_STEP_MUTE
};

struct td_lang_step {
    struct td_lang_step *next;
    enum td_lang_step_kind kind;
    struct td_lang_place place;
    struct td_lang_expr *from, *to,
        *every; /* AT from; FROM from TO to EVERY every; NULL: as before */
    struct td_lang_assign *assign;
    struct td_lang_expr *expect; /* EXPECT; RESTART AFTER; MUTE's reference */
    td_slice topic;              /* SENT */
    struct td_lang_object *object;
    bool is_object, negate;
    int64_t count; /* SENT: exactly; -1: at least one */
};

enum td_lang_stmt_kind {
    TD_LANG_STREAM,
    TD_LANG_PARAM,
    TD_LANG_ACTUATOR,
    TD_LANG_RULE,
    TD_LANG_ALARM,
    TD_LANG_MACHINE,
    TD_LANG_CREATE,
    TD_LANG_INTERLOCK,
    TD_LANG_TEST
};

enum td_lang_gap { TD_LANG_GAP_UNKNOWN, TD_LANG_GAP_HOLD, TD_LANG_GAP_RESET };

/* One statement of any kind; what its kind has no use for is zero. */
struct td_lang_stmt {
    struct td_lang_stmt *next;
    enum td_lang_stmt_kind kind;
    struct td_lang_name name;
    struct td_lang_place place; /* from the keyword to the semicolon */
    uint64_t hash;              /* of its tokens: the same for the same meaning */
    struct td_lang_name *per;
    unsigned priority;
    enum td_lang_gap gap;
    td_slice topic; /* STREAM, CREATE: filter; ACTUATOR: where commands go */
    struct td_lang_place topic_place;
    struct td_lang_field *fields;
    bool table; /* STREAM FROM TABLE */
    struct td_lang_expr *stale, *lease;
    td_slice time_path;
    double time_scale; /* seconds a unit of TIME */
    td_slice confirm;
    struct td_lang_place confirm_place;
    struct td_lang_expr *confirm_within;
    struct td_lang_name confirm_alarm;
    bool retain;
    unsigned qos;
    struct td_lang_let *lets;
    struct td_lang_expr *when, *while_, *unless, *once, *every, *clear;
    struct td_lang_expr *max_per;
    double max_count;
    struct td_lang_act *acts, *on_raise, *on_clear, *while_active;
    unsigned severity;
    td_slice text; /* ALARM TEXT */
    struct td_lang_state *states;
    struct td_lang_go *always;
    struct td_lang_invariant *invariants;
    struct td_lang_item *items; /* CREATE; none: SELECT * */
    struct td_lang_name alias;
    struct td_lang_expr *where;
    td_slice into;
    struct td_lang_place into_place;
    struct td_lang_step *steps; /* TEST */
};

/* Appends the statements of source number `file` of diag to *list. Errors go to diag; parsing goes
 * on behind the next semicolon, so that several are found in one run. TD_ENOMEM: the arena is
 * full. */
enum td_err td_lang_parse(struct td_arena *arena, struct td_lang_diag *diag, uint32_t file,
                          struct td_lang_stmt **list);

/* The name of a function, keyword or type for people. */
const char *td_lang_func_name(enum td_lang_func func);
const char *td_lang_stmt_name(enum td_lang_stmt_kind kind);

/* ---- values, rows, memory: what a program works on ---- */

enum td_lang_quality { TD_LANG_KNOWN, TD_LANG_STALE, TD_LANG_UNKNOWN };

struct td_lang_value {
    uint8_t kind;    /* enum td_lang_kind; ANY: no value */
    uint8_t quality; /* enum td_lang_quality */
    union {
        bool truth;
        double num;
        td_slice text; /* borrowed from a slot, the program or the keys */
    };
};

static inline struct td_lang_value td_lang_unknown(void)
{
    return (struct td_lang_value){.kind = TD_LANG_ANY, .quality = TD_LANG_UNKNOWN};
}
static inline struct td_lang_value td_lang_truth(bool truth)
{
    return (struct td_lang_value){.kind = TD_LANG_BOOL, .truth = truth};
}
/* x * mul + add. From one temperature scale to the other (add is not 0) what is off by rounding
 * only is set right: 212 °F are 100 °C. */
double td_lang_affine(double x, double mul, double add);
/* Not a finite number: UNKNOWN. */
struct td_lang_value td_lang_num(double num);
static inline struct td_lang_value td_lang_text(td_slice text)
{
    return (struct td_lang_value){.kind = TD_LANG_TEXT, .text = text};
}
static inline bool td_lang_is_true(struct td_lang_value v)
{
    return v.kind == TD_LANG_BOOL && v.quality == TD_LANG_KNOWN && v.truth;
}
static inline bool td_lang_is_false(struct td_lang_value v)
{
    return v.kind == TD_LANG_BOOL && v.quality == TD_LANG_KNOWN && !v.truth;
}
/* Same kind and value; qualities are not looked at. */
bool td_lang_value_eq(struct td_lang_value a, struct td_lang_value b);
/* For people: "21.5", "TRUE", "'red'", "UNKNOWN", "21.5 (STALE)". */
enum td_err td_lang_value_print(struct td_buf *out, struct td_lang_value v);

struct td_lang_slot {
    struct td_lang_value now, was; /* was: before the last message */
};

struct td_lang_row {
    struct td_lang_slot *slots;
    uint64_t turn;    /* in which the last message arrived; 0: none, or an old retained one */
    td_mono at;       /* when it arrived */
    td_mono stale_at; /* STALE when now is beyond it; TD_NEVER */
    bool seen;
};

struct td_lang_group {
    struct td_lang_row **rows;
    uint32_t count;
};

/* The memory of one operator. */
struct td_lang_cell {
    uint8_t state; /* FOR: 0 idle, 1 counting; HYST: 0 off, 1 on; others: have a value */
    uint8_t kind;  /* of the remembered value */
    td_mono since; /* FOR */
    double num;    /* the remembered value, a BOOL as 0 or 1 */
    struct td_lang_window *window;
};

enum { TD_LANG_PANES = 64 }; /* a window slides in steps of 1/64 */

/* Windows of a program's cells are the caller's to make: one for each cell with a span. */
struct td_lang_window *td_lang_window_new(td_mono span);

/* ---- programs (code.c, verify.c, vm.c) ---- */

struct td_lang_ins {
    uint8_t op, x;
    uint16_t y;
    uint32_t z;
};

struct td_lang_code {
    const struct td_lang_ins *ins;
    const struct td_lang_value *consts;
    uint32_t count, const_count;
    uint16_t stack; /* values at most */
    uint32_t cost;  /* instructions at most, a fold's body counted once */
};

/* What the program of a statement may touch; the verifier holds it to that. */
struct td_lang_bounds {
    uint16_t inputs, groups, keys, locals, cells;
    const uint16_t *input_slots, *group_slots; /* how many slots the rows of each have */
};

struct td_lang_span { /* a window's cell and how long it looks back */
    uint16_t cell;
    td_mono span;
};

enum {
    TD_LANG_DEPTH_MAX = 60, /* nesting of an expression */
    TD_LANG_STACK_MAX = 128,
    TD_LANG_CELLS_MAX = 1024, /* of a statement */
    TD_LANG_SPANS_MAX = 64,   /* windows of a statement */
    TD_LANG_FOLD_ROWS_MAX = 100000
};

/* Where names come from. One scope a statement: it counts its cells. */
struct td_lang_scope {
    struct td_arena *arena;
    struct td_lang_diag *diag;
    /* Binds e (REF or PATH): sets bind, input, slot, type. `fold`: the FOLD around it, whose input
     * (group) is set here, NULL outside. `stream`: a whole stream will do (ARRIVES, SILENT).
     * False: told to diag. */
    bool (*resolve)(void *ctx, struct td_lang_expr *e, struct td_lang_expr *fold, bool stream);
    void *ctx;
    uint16_t cells;
    struct td_lang_span spans[TD_LANG_SPANS_MAX];
    uint16_t span_count;
    bool elapsed; /* ELAPSED has a meaning: tests */
};

/* Checks and completes the tree of *e: units are converted, literals typed, cells numbered. `want`
 * (may be NULL): what it must be, converted to; `what` names the place for people ("WHEN"). False:
 * told to diag. */
bool td_lang_check(struct td_lang_scope *scope, struct td_lang_expr **e,
                   const struct td_lang_type *want, const char *what);
/* A literal expression (RANGE, dur, ..) to its number in `unit`; false: told to diag. */
bool td_lang_constant(struct td_lang_scope *scope, struct td_lang_expr *e,
                      const struct td_lang_type *want, const char *what, struct td_lang_value *out);
void td_lang_type_name(const struct td_lang_type *t, struct td_buf *out);
struct td_lang_type td_lang_type_of_field(const struct td_lang_field *f);

/* Compiles a checked tree into the arena. TD_EFULL: too large; TD_ENOMEM. */
enum td_err td_lang_compile(struct td_arena *arena, const struct td_lang_expr *e,
                            struct td_lang_code *out);
/* Reads every instruction: operands within bounds, jumps forward and onto an instruction, stack
 * never under- or overrun, one value left. TD_ECORRUPT: not a program. */
enum td_err td_lang_verify(const struct td_lang_code *code, const struct td_lang_bounds *bounds);

struct td_lang_env {
    struct td_lang_row *const *rows;
    struct td_lang_group *const *groups;
    const td_slice *keys;
    struct td_lang_value *locals;
    struct td_lang_cell *cells;
    td_mono now;
    td_mono elapsed; /* ELAPSED, ns */
    uint64_t turn;   /* of this evaluation: a row with the same turn has just arrived */
    enum td_lang_gap gap;
    /* out: */
    td_mono deadline; /* lowered to when the value may change by time alone */
    bool changed;     /* a memory that must survive a crash has changed */
};

/* Runs a verified program. */
struct td_lang_value td_lang_run(const struct td_lang_code *code, struct td_lang_env *env);

/* Shared by the machine and whoever wants to check it (vm.c, func.c, window.c). */
struct td_lang_value td_lang_apply(enum td_lang_op op, struct td_lang_value a,
                                   struct td_lang_value b);
struct td_lang_value td_lang_call(enum td_lang_func func, const struct td_lang_value *args,
                                  size_t count);

#endif
