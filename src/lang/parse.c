/* lang: statements. Which clause may stand where is said by one function a kind; what two kinds
 * share lies in parse_act.c and parse_field.c. */
#include "lang/parse.h"

#include <stdio.h>

/* ---- tokens ---- */

void td_lang_advance(struct td_lang_parser *p)
{
    const struct td_lang_token *t = &p->tok;
    p->last = t->place;
    if (t->kind != TOK_END) {
        td_slice text = td_slice_head(td_slice_skip(p->lexer.text, t->place.at), t->place.n);
        p->hash = td_hash(t->kw != KW_NONE ? td_slice_of(td_lang_kw_name(t->kw)) : text, p->hash);
        p->braces += (t->kind == TOK_CHAR && t->c == '{') - (t->kind == TOK_CHAR && t->c == '}');
    }
    p->tok = p->ahead;
    p->lexer.quiet = p->bad || p->tok.kind == TOK_BAD;
    td_lang_lex(&p->lexer, &p->ahead);
    if (p->tok.kind == TOK_BAD) {
        p->bad = true;
    }
}

bool td_lang_at(const struct td_lang_parser *p, enum td_lang_kw kw)
{
    return p->tok.kind == TOK_WORD && p->tok.kw == kw;
}

bool td_lang_at_char(const struct td_lang_parser *p, char c)
{
    return p->tok.kind == TOK_CHAR && p->tok.c == c;
}

bool td_lang_take(struct td_lang_parser *p, enum td_lang_kw kw)
{
    bool here = !p->bad && td_lang_at(p, kw);
    if (here) {
        td_lang_advance(p);
    }
    return here;
}

bool td_lang_take_char(struct td_lang_parser *p, char c)
{
    bool here = !p->bad && td_lang_at_char(p, c);
    if (here) {
        td_lang_advance(p);
    }
    return here;
}

void td_lang_parse_error(struct td_lang_parser *p, struct td_lang_place at, const char *text,
                         const char *remedy)
{
    if (!p->bad) {
        p->bad = true;
        td_lang_error(p->diag, at, "%s", text);
        if (remedy != NULL) {
            td_lang_try(p->diag, "%s", remedy);
        }
    }
}

static td_slice found(const struct td_lang_parser *p)
{
    td_slice text = td_slice_head(td_slice_skip(p->lexer.text, p->tok.place.at), p->tok.place.n);
    return p->tok.kind == TOK_END ? TD_STR("the end of the file") : td_slice_head(text, 40);
}

/* A word where a keyword was expected is often a misspelt one. */
static void suggest_keyword(struct td_lang_parser *p)
{
    td_slice words[KW_COUNT_];
    for (size_t i = 0; i < KW_COUNT_; i++) {
        words[i] = td_slice_of(td_lang_kw_name((enum td_lang_kw)i));
    }
    if (p->tok.kind == TOK_WORD && p->tok.kw == KW_NONE) {
        td_slice near = td_lang_nearest(p->tok.text, words, TD_COUNT(words));
        if (near.n > 0) {
            td_lang_try(p->diag, "did you mean %.*s?", TD_LANG_S(near));
        }
    } else if (p->tok.kind == TOK_WORD) {
        td_lang_why(p->diag, "%s is a keyword", td_lang_kw_name(p->tok.kw));
    }
}

/* A statement's first word at the head of a line, outside of braces: what stands before it was
 * never closed. */
static bool at_next_statement(const struct td_lang_parser *p)
{
    td_slice before = td_slice_head(p->lexer.text, p->tok.place.at);
    while (before.n > 0 && (before.p[before.n - 1] == ' ' || before.p[before.n - 1] == '\t')) {
        before.n--;
    }
    return p->braces <= 0 && td_lang_starts_statement(p) && before.n > 0 &&
           before.p[before.n - 1] == '\n' && p->last.n > 0;
}

void td_lang_expected(struct td_lang_parser *p, const char *what)
{
    if (p->bad) {
        return;
    }
    if (at_next_statement(p)) {
        struct td_lang_place behind = {p->last.file, p->last.at + p->last.n, 1};
        p->unclosed = true;
        td_lang_parse_error(p, behind, "the statement does not end here", "put a ; behind it");
        return;
    }
    if (p->tok.kind == TOK_END && p->last.n > 0) {
        struct td_lang_place behind = {p->last.file, p->last.at + p->last.n, 1};
        td_lang_parse_error(p, behind, "the file ends before the statement does",
                            "put a ; behind it");
        return;
    }
    p->bad = true;
    td_lang_error(p->diag, p->tok.place, "expected %s, found %.*s", what, TD_LANG_S(found(p)));
    suggest_keyword(p);
}

void td_lang_not_yet(struct td_lang_parser *p, const char *what, const char *instead)
{
    if (!p->bad) {
        p->bad = true;
        td_lang_error(p->diag, p->tok.place, "%s is not built yet", what);
        td_lang_why(p->diag, "the word is reserved for a later version");
        if (instead != NULL) {
            td_lang_try(p->diag, "%s", instead);
        }
    }
}

bool td_lang_want(struct td_lang_parser *p, enum td_lang_kw kw, const char *where)
{
    if (td_lang_take(p, kw)) {
        return true;
    }
    char what[80];
    (void)snprintf(what, sizeof what, "%s %s", td_lang_kw_name(kw), where);
    td_lang_expected(p, what);
    return false;
}

bool td_lang_want_char(struct td_lang_parser *p, char c, const char *where)
{
    if (td_lang_take_char(p, c)) {
        return true;
    }
    char what[80];
    (void)snprintf(what, sizeof what, "%c %s", c, where);
    td_lang_expected(p, what);
    return false;
}

/* ---- pieces ---- */

void *td_lang_new(struct td_lang_parser *p, size_t bytes)
{
    void *node = td_arena_alloc(p->arena, bytes);
    if (node == NULL) {
        p->bad = p->full = true;
    }
    return node;
}

void td_lang_append(void *head, void *node)
{
    unsigned char *at = head;
    void *next;
    while (memcpy(&next, at, sizeof next), next != NULL) {
        at = next;
    }
    memcpy(at, &node, sizeof node);
}

struct td_lang_place td_lang_from(const struct td_lang_parser *p, struct td_lang_place first)
{
    first.n = p->last.at + p->last.n - first.at;
    return first;
}

struct td_lang_name td_lang_want_word(struct td_lang_parser *p, const char *what)
{
    struct td_lang_name name = {NULL, p->tok.text, p->tok.place};
    if (p->bad || p->tok.kind != TOK_WORD) {
        td_lang_expected(p, what);
        return (struct td_lang_name){.place = p->tok.place};
    }
    td_lang_advance(p);
    return name;
}

struct td_lang_name td_lang_want_name(struct td_lang_parser *p, const char *what)
{
    if (!p->bad && p->tok.kind == TOK_WORD && p->tok.kw != KW_NONE) {
        td_lang_expected(p, what);
        return (struct td_lang_name){.place = p->tok.place};
    }
    return td_lang_want_word(p, what);
}

/* '' inside a text stands for one quote: only then is a copy made. */
static td_slice unquoted(struct td_lang_parser *p, const struct td_lang_token *t)
{
    if (!t->escaped) {
        return t->text;
    }
    uint8_t *copy = td_lang_new(p, t->text.n);
    size_t n = 0;
    for (size_t i = 0; copy != NULL && i < t->text.n; i++) {
        copy[n++] = t->text.p[i];
        i += t->text.p[i] == '\'';
    }
    return (td_slice){copy, n};
}

td_slice td_lang_want_string(struct td_lang_parser *p, const char *what,
                             struct td_lang_place *place)
{
    td_slice text = {NULL, 0};
    *place = p->tok.place;
    if (p->bad || p->tok.kind != TOK_STR) {
        td_lang_expected(p, what);
        return text;
    }
    text = unquoted(p, &p->tok);
    td_lang_advance(p);
    return text;
}

bool td_lang_want_nat(struct td_lang_parser *p, const char *what, unsigned most, unsigned *out)
{
    double num = p->tok.num;
    char text[80];
    (void)snprintf(text, sizeof text, "%s (a whole number, 0 to %u)", what, most);
    if (p->bad || p->tok.kind != TOK_NUM || p->tok.has_unit || num > most ||
        num != (double)(unsigned)num) {
        td_lang_expected(p, text);
        return false;
    }
    *out = (unsigned)num;
    td_lang_advance(p);
    return true;
}

/* ---- statements ---- */

static void twice(struct td_lang_parser *p, struct td_lang_place at, const char *clause)
{
    char text[80];
    (void)snprintf(text, sizeof text, "%s stands here twice", clause);
    td_lang_parse_error(p, at, text, "keep one");
}

bool td_lang_parse_clause(struct td_lang_parser *p, enum td_lang_kw kw, struct td_lang_expr **out)
{
    struct td_lang_place at = p->tok.place;
    if (!td_lang_take(p, kw)) {
        return false;
    }
    if (*out != NULL) {
        twice(p, at, td_lang_kw_name(kw));
    }
    *out = td_lang_parse_expr(p);
    return true;
}

static void parse_time(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (p->tok.kind != TOK_PATH) {
        td_lang_expected(p, "a path like $.ts behind TIME");
        return;
    }
    s->time_path = p->tok.text;
    s->time_scale = 1;
    td_lang_advance(p);
    if (td_lang_take(p, KW_AS)) {
        struct td_lang_place at = p->tok.place;
        struct td_lang_unit u = td_lang_want_unit(p);
        if (!p->bad && !td_lang_unit_same_dim(&u, &td_lang_unit_second)) {
            td_lang_parse_error(p, at, "TIME is counted in units of time", "write AS s or AS ms");
        }
        s->time_scale = u.scale;
    }
}

static void parse_stream(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    td_lang_want(p, KW_FROM, "and the filter of its topics");
    s->table = td_lang_take(p, KW_TABLE);
    s->topic = td_lang_want_string(p, "a filter like 'home/+room/temp'", &s->topic_place);
    if (td_lang_at_char(p, '(')) {
        s->fields = td_lang_parse_fields(p);
    }
    while (!p->bad && !td_lang_at_char(p, ';')) {
        if (td_lang_take(p, KW_STALE)) {
            td_lang_want(p, KW_AFTER, "behind STALE");
            s->stale = td_lang_parse_sum(p);
        } else if (td_lang_take(p, KW_TIME)) {
            parse_time(p, s);
        } else if (td_lang_at(p, KW_LATE)) {
            td_lang_not_yet(p, "LATE", NULL);
        } else if (td_lang_at(p, KW_FORMAT)) {
            td_lang_not_yet(p, "FORMAT", "payloads are JSON, or one number, word or text");
        } else {
            td_lang_expected(p, "STALE AFTER, TIME or ;");
        }
    }
}

static void parse_param(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    struct td_lang_field *f = TD_LANG_NEW(p, struct td_lang_field);
    if (f == NULL) {
        return;
    }
    s->fields = f;
    f->name = TD_STR("value");
    f->place = s->name.place;
    td_lang_parse_type(p, f);
    td_lang_want_char(p, '=', "and the value");
    f->fallback = td_lang_parse_sum(p);
    while (!p->bad && (td_lang_at(p, KW_RANGE) || td_lang_at(p, KW_PER))) {
        if (!td_lang_parse_range(p, f)) {
            td_lang_parse_per(p, s);
        }
    }
}

static void parse_confirm(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    s->confirm = td_lang_want_string(p, "the topic of the device's report", &s->confirm_place);
    td_lang_want(p, KW_WITHIN, "behind the topic of CONFIRM");
    s->confirm_within = td_lang_parse_sum(p);
    td_lang_want(p, KW_ELSE, "and an alarm behind CONFIRM");
    td_lang_want(p, KW_ALARM, "behind ELSE");
    s->confirm_alarm = td_lang_want_name(p, "the alarm's name");
}

static void parse_actuator(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    s->topic = td_lang_want_string(p, "the topic of its commands, like 'home/+room/heater'",
                                   &s->topic_place);
    if (!td_lang_at_char(p, '(')) {
        td_lang_expected(p, "its fields in brackets, like (on BOOL DEFAULT FALSE)");
    }
    s->fields = td_lang_parse_fields(p);
    while (!p->bad && !td_lang_at_char(p, ';')) {
        if (td_lang_take(p, KW_LEASE)) {
            s->lease = td_lang_parse_sum(p);
        } else if (td_lang_take(p, KW_CONFIRM)) {
            parse_confirm(p, s);
        } else if (td_lang_take(p, KW_RETAIN)) {
            s->retain = true;
        } else if (td_lang_take(p, KW_QOS)) {
            td_lang_want_nat(p, "the QoS", 2, &s->qos);
        } else if (td_lang_at(p, KW_FORMAT)) {
            td_lang_not_yet(p, "FORMAT", "commands are JSON objects");
        } else {
            td_lang_expected(p, "LEASE, CONFIRM, QOS, RETAIN or ;");
        }
    }
}

static void parse_every(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (td_lang_at(p, KW_DAY) || td_lang_at(p, KW_WEEKDAY) || td_lang_at(p, KW_WEEKEND) ||
        td_lang_at(p, KW_MON) || td_lang_at(p, KW_TUE) || td_lang_at(p, KW_WED) ||
        td_lang_at(p, KW_THU) || td_lang_at(p, KW_FRI) || td_lang_at(p, KW_SAT) ||
        td_lang_at(p, KW_SUN)) {
        td_lang_not_yet(p, "EVERY on a calendar", "EVERY takes a duration: EVERY 10m");
    }
    s->every = td_lang_parse_sum(p);
}

static void parse_pattern_end(struct td_lang_parser *p)
{
    if (td_lang_at(p, KW_THEN)) {
        td_lang_not_yet(p, "THEN", "latch the first event with HYST");
    } else if (td_lang_at(p, KW_BUT)) {
        td_lang_not_yet(p, "BUT NOT", NULL);
    }
}

static void parse_once(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    td_lang_want(p, KW_UNTIL, "behind ONCE");
    s->once = td_lang_parse_expr(p);
}

static bool parse_rule_clause(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (td_lang_parse_clause(p, KW_WHEN, &s->when)) {
        parse_pattern_end(p);
        return true;
    }
    if (td_lang_take(p, KW_EVERY)) {
        parse_every(p, s);
        return true;
    }
    if (td_lang_take(p, KW_ONCE)) {
        parse_once(p, s);
        return true;
    }
    if (td_lang_take(p, KW_MAX)) {
        return td_lang_parse_rate(p, &s->max_count, &s->max_per);
    }
    return td_lang_parse_clause(p, KW_WHILE, &s->while_) ||
           td_lang_parse_clause(p, KW_UNLESS, &s->unless) || td_lang_parse_let(p, s) ||
           td_lang_parse_gap(p, s) || td_lang_parse_act(p, &s->acts);
}

static void parse_rule(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    while (td_lang_parse_per(p, s) || td_lang_parse_priority(p, &s->priority)) {
    }
    while (!p->bad && !td_lang_at_char(p, ';')) {
        if (!parse_rule_clause(p, s)) {
            td_lang_expected(p,
                             "a clause of RULE (LET, WHEN, WHILE, EVERY, UNLESS, ONCE UNTIL, MAX, "
                             "HOLD, SEND, EXPECT) or ;");
        }
    }
}

static void parse_interlock(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    while (td_lang_parse_per(p, s) || td_lang_parse_priority(p, &s->priority)) {
    }
    if (td_lang_at(p, KW_FORBID)) {
        td_lang_not_yet(p, "FORBID", "write INTERLOCK name HOLD .. WHILE ..");
    }
    while (!p->bad && !td_lang_at_char(p, ';')) {
        if (!td_lang_parse_clause(p, KW_WHILE, &s->while_) && !td_lang_parse_act(p, &s->acts)) {
            td_lang_expected(p, "HOLD, WHILE or ;");
        }
    }
}

static void parse_on(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    struct td_lang_act **list = &s->on_raise;
    if (td_lang_take(p, KW_GAP)) {
        s->gap = TD_LANG_GAP_UNKNOWN;
        td_lang_not_yet(p, "ON GAP in an ALARM", "the alarm keeps its state while UNKNOWN");
    } else if (td_lang_take(p, KW_CLEAR)) {
        list = &s->on_clear;
    } else if (td_lang_at(p, KW_ACK)) {
        td_lang_not_yet(p, "ON ACK", NULL);
    } else {
        td_lang_want(p, KW_RAISE, "or CLEAR behind ON");
    }
    if (!p->bad && !td_lang_parse_act(p, list)) {
        td_lang_expected(p, "HOLD or SEND");
    }
    while (td_lang_parse_act(p, list)) {
    }
}

static bool parse_alarm_while(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (!td_lang_take(p, KW_WHILE)) {
        return false;
    }
    td_lang_want(p, KW_ACTIVE, "behind WHILE");
    while (td_lang_parse_act(p, &s->while_active)) {
    }
    return true;
}

static bool parse_alarm_clause(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (td_lang_parse_clause(p, KW_WHEN, &s->when)) {
        parse_pattern_end(p);
        return true;
    }
    if (td_lang_take(p, KW_CLEAR)) {
        return td_lang_at(p, KW_WHEN) ? td_lang_parse_clause(p, KW_WHEN, &s->clear)
                                      : td_lang_want(p, KW_WHEN, "behind CLEAR");
    }
    if (td_lang_take(p, KW_SEVERITY)) {
        return td_lang_want_nat(p, "the severity", 1000, &s->severity);
    }
    if (td_lang_take(p, KW_TEXT)) {
        struct td_lang_place at;
        s->text = td_lang_want_string(p, "the text in quotes", &at);
        return true;
    }
    if (td_lang_take(p, KW_ON)) {
        parse_on(p, s);
        return true;
    }
    return td_lang_parse_clause(p, KW_UNLESS, &s->unless) || parse_alarm_while(p, s) ||
           td_lang_parse_let(p, s);
}

static void parse_alarm(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    static const enum td_lang_kw later[] = {KW_LATCHED, KW_ACK, KW_REALARM, KW_GROUP};
    s->severity = 500;
    td_lang_parse_per(p, s);
    while (!p->bad && !td_lang_at_char(p, ';')) {
        for (size_t i = 0; i < TD_COUNT(later); i++) {
            if (td_lang_at(p, later[i])) {
                td_lang_not_yet(p, td_lang_kw_name(later[i]), NULL);
            }
        }
        if (!p->bad && !parse_alarm_clause(p, s)) {
            td_lang_expected(p, "a clause of ALARM (LET, SEVERITY, TEXT, WHEN, UNLESS, CLEAR WHEN, "
                                "ON RAISE, ON CLEAR, WHILE ACTIVE) or ;");
        }
    }
}

static void parse_select_items(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (td_lang_take_char(p, '*')) {
        return;
    }
    do {
        struct td_lang_item *item = TD_LANG_NEW(p, struct td_lang_item);
        if (item == NULL) {
            return;
        }
        item->place = p->tok.place;
        item->value = td_lang_parse_expr(p);
        item->place = td_lang_from(p, item->place);
        if (td_lang_take(p, KW_AS)) {
            item->name = td_lang_want_word(p, "a name behind AS").name;
        } else if (!p->bad && item->value->op == TD_LANG_OP_REF) {
            item->name = item->value->field.n > 0 ? item->value->field : item->value->text;
        } else {
            td_lang_expected(p, "AS and a name for this value");
        }
        td_lang_append(&s->items, item);
    } while (td_lang_take_char(p, ','));
}

static void parse_create(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    static const enum td_lang_kw later[] = {KW_JOIN, KW_GROUP, KW_EMIT};
    td_lang_want(p, KW_AS, "behind the rule's name");
    td_lang_want(p, KW_SELECT, "behind AS");
    parse_select_items(p, s);
    td_lang_want(p, KW_FROM, "and a filter behind the values");
    s->topic = td_lang_want_string(p, "a filter like 'sensors/+id/data'", &s->topic_place);
    if (td_lang_at_char(p, '(')) {
        s->fields = td_lang_parse_fields(p);
    }
    if (td_lang_take(p, KW_AS)) {
        s->alias = td_lang_want_name(p, "a name behind AS");
    }
    while (!p->bad && !td_lang_at(p, KW_INTO)) {
        for (size_t i = 0; i < TD_COUNT(later); i++) {
            if (td_lang_at(p, later[i])) {
                td_lang_not_yet(p, td_lang_kw_name(later[i]), NULL);
            }
        }
        if (!td_lang_parse_clause(p, KW_WHERE, &s->where)) {
            td_lang_expected(p, "WHERE or INTO");
        }
    }
    td_lang_want(p, KW_INTO, "and a topic");
    s->into = td_lang_want_string(p, "the topic of the results", &s->into_place);
    while (!p->bad && !td_lang_at_char(p, ';')) {
        if (td_lang_take(p, KW_QOS)) {
            td_lang_want_nat(p, "the QoS", 2, &s->qos);
        } else if (td_lang_take(p, KW_RETAIN)) {
            s->retain = true;
        } else {
            td_lang_expected(p, "QOS, RETAIN or ;");
        }
    }
}

static const struct {
    enum td_lang_kw kw;
    enum td_lang_stmt_kind kind;
    const char *name;
    void (*parse)(struct td_lang_parser *, struct td_lang_stmt *);
} kinds[] = {
    {KW_STREAM, TD_LANG_STREAM, "STREAM", parse_stream},
    {KW_PARAM, TD_LANG_PARAM, "PARAM", parse_param},
    {KW_ACTUATOR, TD_LANG_ACTUATOR, "ACTUATOR", parse_actuator},
    {KW_RULE, TD_LANG_RULE, "RULE", parse_rule},
    {KW_ALARM, TD_LANG_ALARM, "ALARM", parse_alarm},
    {KW_MACHINE, TD_LANG_MACHINE, "MACHINE", td_lang_parse_machine},
    {KW_CREATE, TD_LANG_CREATE, "RULE", parse_create},
    {KW_INTERLOCK, TD_LANG_INTERLOCK, "INTERLOCK", parse_interlock},
    {KW_TEST, TD_LANG_TEST, "TEST", td_lang_parse_test},
};

const char *td_lang_stmt_name(enum td_lang_stmt_kind kind)
{
    for (size_t i = 0; i < TD_COUNT(kinds); i++) {
        if (kinds[i].kind == kind) {
            return kinds[i].name;
        }
    }
    return "";
}

static void parse_body(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    for (size_t i = 0; i < TD_COUNT(kinds); i++) {
        if (td_lang_take(p, kinds[i].kw)) {
            s->kind = kinds[i].kind;
            if (s->kind == TD_LANG_CREATE) {
                td_lang_want(p, KW_RULE, "behind CREATE");
            }
            s->name = td_lang_want_name(p, "a name");
            kinds[i].parse(p, s);
            return;
        }
    }
    if (td_lang_at(p, KW_VIEW) || td_lang_at(p, KW_FUNCTION)) {
        td_lang_not_yet(p, td_lang_kw_name(p->tok.kw), NULL);
    }
    td_lang_expected(p, "a statement (STREAM, PARAM, ACTUATOR, RULE, ALARM, MACHINE, INTERLOCK, "
                        "CREATE RULE, TEST)");
}

bool td_lang_starts_statement(const struct td_lang_parser *p)
{
    for (size_t i = 0; i < TD_COUNT(kinds); i++) {
        if (td_lang_at(p, kinds[i].kw)) {
            return true;
        }
    }
    return false;
}

/* Behind an error: to the semicolon that ends the statement, or to where the next one begins. */
static void recover(struct td_lang_parser *p)
{
    while (p->tok.kind != TOK_END && !(p->braces <= 0 && td_lang_at_char(p, ';')) &&
           !at_next_statement(p)) {
        td_lang_advance(p);
    }
    p->bad = false;
    (void)td_lang_take_char(p, ';');
    p->bad = p->full;
}

static void parse_end(struct td_lang_parser *p)
{
    if (!p->bad && !td_lang_at_char(p, ';')) {
        struct td_lang_place behind = {p->last.file, p->last.at + p->last.n, 1};
        p->unclosed = td_lang_starts_statement(p);
        td_lang_parse_error(p, behind, "the statement does not end here", "put a ; behind it");
    }
    if (p->unclosed) {
        p->bad = p->full; /* the next one may be in order */
    } else if (p->bad) {
        recover(p);
    } else {
        td_lang_advance(p);
    }
}

enum td_err td_lang_parse(struct td_arena *arena, struct td_lang_diag *diag, uint32_t file,
                          struct td_lang_stmt **list)
{
    struct td_lang_parser p = {
        .arena = arena,
        .diag = diag,
        .lexer = {.diag = diag, .text = diag->sources[file].text, .file = file}};
    struct td_lang_stmt **tail = list;
    td_lang_lex(&p.lexer, &p.tok);
    td_lang_lex(&p.lexer, &p.ahead);
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    while (p.tok.kind != TOK_END && !p.full) {
        p.bad = p.tok.kind == TOK_BAD;
        p.hash = 0;
        p.unclosed = false;
        p.last = (struct td_lang_place){0};
        p.braces = 0;
        p.depth = 0;
        struct td_lang_stmt *s = TD_LANG_NEW(&p, struct td_lang_stmt);
        if (s == NULL) {
            break;
        }
        s->place = p.tok.place;
        parse_body(&p, s);
        s->hash = p.hash;
        bool good = !p.bad;
        parse_end(&p);
        s->place = td_lang_from(&p, s->place);
        if (good) {
            *tail = s;
            tail = &s->next;
        }
    }
    return p.full ? TD_ENOMEM : TD_OK;
}
