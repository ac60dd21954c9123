/* rules: from files to a set. First all that can be named is declared, then each statement's keys
 * are found, then statements are compiled (build.c). */
#include "rules/set.h"

#include <stdlib.h>

/* ---- small makers ---- */

struct td_source *td_source_find(const struct td_rules *r, td_slice name)
{
    return td_map_find(&r->names, name);
}

struct td_source *td_source_new(struct td_rules *r, enum td_source_kind kind, td_slice name,
                                const struct td_lang_stmt *stmt)
{
    struct td_source *s = td_arena_alloc(&r->arena, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    *s = (struct td_source){.kind = kind, .name = name, .stmt = stmt, .index = r->source_count++};
    td_map_init(&s->rows, r->seed);
    *r->source_tail = s;
    r->source_tail = &s->next;
    if (kind != TD_SOURCE_CONFIRM && kind != TD_SOURCE_SELECT) {
        td_map_put(&r->names, s->name, s);
    }
    return s;
}

struct td_statement *td_statement_new(struct td_rules *r, enum td_lang_stmt_kind kind,
                                      td_slice name, const struct td_lang_stmt *stmt)
{
    struct td_statement *s = td_arena_alloc(&r->arena, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    *s = (struct td_statement){.kind = kind,
                               .name = name,
                               .stmt = stmt,
                               .index = r->statement_count++,
                               .hash = stmt != NULL ? stmt->hash : td_hash(name, 1),
                               .severity = stmt != NULL ? stmt->severity : 500,
                               .tokens = 100};
    td_map_init(&s->insts, r->seed);
    *r->statement_tail = s;
    r->statement_tail = &s->next;
    td_map_put(&r->statement_names, s->name, s);
    return s;
}

/* The one field of what a statement gives back. */
static bool one_field(struct td_rules *r, struct td_source *s, td_slice name,
                      enum td_lang_field_type type, struct td_lang_value fallback)
{
    s->fields = td_arena_alloc(&r->arena, sizeof *s->fields);
    if (s->fields == NULL) {
        return false;
    }
    s->field_count = 1;
    s->fields[0] = (struct td_field){.name = name, .type = type, .scale = 1, .fallback = fallback};
    s->fields[0].lang.kind = type == TD_LANG_FIELD_BOOL ? TD_LANG_BOOL : TD_LANG_TEXT;
    return true;
}

static void keys_set(struct td_statement *st, const td_slice *keys, uint8_t count)
{
    for (uint8_t i = 0; i < count; i++) {
        st->keys[i] = keys[i];
    }
    st->key_count = count;
    st->keys_known = true;
    if (st->self != NULL) {
        for (uint8_t i = 0; i < count; i++) {
            st->self->pattern.keys[i] = keys[i];
        }
        st->self->pattern.key_count = count;
        st->self->keys_known = true;
    }
}

static struct td_statement *alarm_new(struct td_rules *r, td_slice name,
                                      const struct td_lang_stmt *stmt)
{
    struct td_statement *st = td_statement_new(r, TD_LANG_ALARM, name, stmt);
    struct td_source *s = td_source_new(r, TD_SOURCE_ALARM, name, stmt);
    if (st == NULL || s == NULL ||
        !one_field(r, s, TD_STR("active"), TD_LANG_FIELD_BOOL, td_lang_truth(false))) {
        return NULL;
    }
    st->self = s;
    s->statement = st;
    return st;
}

/* ELSE ALARM name: declared, or made here with the keys of who raises it. */
struct td_statement *td_alarm_implied(struct td_rules *r, struct td_lang_diag *diag,
                                      const struct td_lang_name *name, const td_slice *keys,
                                      uint8_t key_count)
{
    struct td_source *s = td_source_find(r, name->name);
    if (s == NULL) {
        struct td_statement *st = alarm_new(r, name->name, NULL);
        if (st != NULL) {
            keys_set(st, keys, key_count);
        }
        return st;
    }
    if (s->kind != TD_SOURCE_ALARM) {
        td_lang_error(diag, name->place, "%.*s is not an alarm", TD_LANG_S(name->name));
        td_lang_try(diag, "choose another name");
        return NULL;
    }
    bool same = s->statement->key_count == key_count || !s->statement->keys_known;
    for (uint8_t i = 0; same && s->statement->keys_known && i < key_count; i++) {
        same = td_slice_eq(s->statement->keys[i], keys[i]);
    }
    if (!same) {
        td_lang_error(diag, name->place, "alarm %.*s has other keys than who raises it",
                      TD_LANG_S(name->name));
        td_lang_try(diag, "give both the same PER, or use two alarms");
        return NULL;
    }
    if (!s->statement->keys_known) {
        keys_set(s->statement, keys, key_count);
    }
    return s->statement;
}

/* ---- declaring ---- */

static bool name_free(struct td_rules *r, struct td_lang_diag *diag,
                      const struct td_lang_stmt *stmt, struct td_map *rules)
{
    struct td_source *s = td_source_find(r, stmt->name.name);
    const struct td_lang_stmt *other = s != NULL ? s->stmt : td_map_find(rules, stmt->name.name);
    if (other == NULL) {
        return true;
    }
    uint32_t line, column;
    td_lang_line_of(r->files[other->place.file].text, other->name.place.at, &line, &column);
    td_lang_error(diag, stmt->name.place, "the name %.*s is taken", TD_LANG_S(stmt->name.name));
    td_lang_why(diag, "a %s of that name stands at %.*s:%u", td_lang_stmt_name(other->kind),
                TD_LANG_S(r->files[other->place.file].name), line);
    return false;
}

static bool per_keys(struct td_lang_diag *diag, const struct td_lang_stmt *stmt,
                     td_slice keys[TD_KEYS_MAX], uint8_t *count)
{
    *count = 0;
    for (const struct td_lang_name *n = stmt->per; n != NULL; n = n->next) {
        if (*count == TD_KEYS_MAX) {
            td_lang_error(diag, n->place, "a statement has at most 8 keys");
            return false;
        }
        keys[(*count)++] = n->name;
    }
    return true;
}

static bool declare_stream(struct td_rules *r, struct td_lang_diag *diag,
                           const struct td_lang_stmt *stmt, enum td_source_kind kind,
                           struct td_source **out)
{
    struct td_source *s = td_source_new(r, kind, stmt->name.name, stmt);
    if (s == NULL) {
        return false;
    }
    s->keys_known = true;
    s->time_scale = stmt->time_scale;
    if (stmt->time_path.n > 0) {
        (void)td_path_parse(stmt->time_path, s->time_path, &s->time_count); /* lexed as a path */
    }
    *out = s;
    return td_pattern_parse(&r->arena, diag, stmt->topic_place, stmt->topic, true, &s->pattern);
}

static bool declare_param(struct td_rules *r, struct td_lang_diag *diag,
                          const struct td_lang_stmt *stmt)
{
    struct td_source *s = td_source_new(r, TD_SOURCE_PARAM, stmt->name.name, stmt);
    if (s == NULL) {
        return false;
    }
    s->keys_known = true;
    return per_keys(diag, stmt, s->pattern.keys, &s->pattern.key_count);
}

static bool declare_actuator(struct td_rules *r, struct td_lang_diag *diag,
                             const struct td_lang_stmt *stmt)
{
    struct td_statement *st = td_statement_new(r, TD_LANG_ACTUATOR, stmt->name.name, stmt);
    struct td_source *s = td_source_new(r, TD_SOURCE_ACTUATOR, stmt->name.name, stmt);
    if (st == NULL || s == NULL) {
        return false;
    }
    st->self = s;
    s->statement = st;
    if (!td_pattern_parse(&r->arena, diag, stmt->topic_place, stmt->topic, false, &st->topic)) {
        return false;
    }
    keys_set(st, st->topic.keys, st->topic.key_count);
    if (stmt->confirm.n == 0) {
        return true;
    }
    struct td_source *c = td_source_new(r, TD_SOURCE_CONFIRM, stmt->name.name, stmt);
    if (c == NULL ||
        !td_pattern_parse(&r->arena, diag, stmt->confirm_place, stmt->confirm, true, &c->pattern)) {
        return false;
    }
    c->keys_known = true;
    c->statement = st;
    st->confirm = c;
    return true;
}

static bool declare_keyed(struct td_rules *r, struct td_lang_diag *diag,
                          const struct td_lang_stmt *stmt)
{
    struct td_statement *st;
    td_slice keys[TD_KEYS_MAX];
    uint8_t count;
    if (stmt->kind == TD_LANG_ALARM) {
        st = alarm_new(r, stmt->name.name, stmt);
    } else {
        st = td_statement_new(r, stmt->kind, stmt->name.name, stmt);
    }
    if (st == NULL || !per_keys(diag, stmt, keys, &count)) {
        return false;
    }
    if (stmt->kind == TD_LANG_MACHINE) {
        struct td_source *s = td_source_new(r, TD_SOURCE_MACHINE, stmt->name.name, stmt);
        if (s == NULL || !one_field(r, s, TD_STR("state"), TD_LANG_FIELD_ENUM,
                                    td_lang_text(stmt->states->name.name))) {
            return false;
        }
        struct td_lang_words *words = NULL, **tail = &words;
        for (const struct td_lang_state *x = stmt->states; x != NULL; x = x->next) {
            *tail = td_arena_alloc(&r->arena, sizeof **tail);
            if (*tail == NULL) {
                return false;
            }
            (*tail)->word = x->name.name;
            tail = &(*tail)->next;
        }
        s->fields[0].words = s->fields[0].lang.words = words;
        st->self = s;
        s->statement = st;
    }
    if (count > 0) {
        keys_set(st, keys, count);
    }
    return true;
}

static bool declare_create(struct td_rules *r, struct td_lang_diag *diag,
                           const struct td_lang_stmt *stmt)
{
    struct td_statement *st = td_statement_new(r, TD_LANG_CREATE, stmt->name.name, stmt);
    struct td_source *s;
    if (st == NULL || !declare_stream(r, diag, stmt, TD_SOURCE_SELECT, &s)) {
        return false;
    }
    s->statement = st;
    st->confirm = s; /* its one input */
    keys_set(st, s->pattern.keys, s->pattern.key_count);
    return true;
}

static bool declare(struct td_rules *r, struct td_lang_diag *diag, const struct td_lang_stmt *stmt)
{
    struct td_source *s;
    if (r->statement_count + r->source_count >= 2 * TD_STATEMENTS_MAX) {
        td_lang_error(diag, stmt->name.place, "there are more than %d statements",
                      TD_STATEMENTS_MAX);
        return false;
    }
    switch (stmt->kind) {
    case TD_LANG_STREAM:
        return declare_stream(r, diag, stmt, TD_SOURCE_STREAM, &s);
    case TD_LANG_PARAM:
        return declare_param(r, diag, stmt);
    case TD_LANG_ACTUATOR:
        return declare_actuator(r, diag, stmt);
    case TD_LANG_CREATE:
        return declare_create(r, diag, stmt);
    case TD_LANG_RULE:
    case TD_LANG_ALARM:
    case TD_LANG_MACHINE:
    case TD_LANG_INTERLOCK:
        return declare_keyed(r, diag, stmt);
    case TD_LANG_TEST:
        break;
    }
    return true;
}

static void declare_all(struct td_rules *r, struct td_lang_diag *diag)
{
    struct td_map rules; /* names that give nothing back */
    td_map_init(&rules, r->seed);
    for (struct td_lang_stmt *s = r->stmts; s != NULL; s = s->next) {
        if (s->kind == TD_LANG_TEST || !name_free(r, diag, s, &rules)) {
            continue;
        }
        (void)declare(r, diag, s); /* told */
        if (td_source_find(r, s->name.name) == NULL) {
            td_map_put(&rules, s->name.name, s);
        }
    }
    td_map_fini(&rules);
}

/* ---- keys of statements without PER: those of what they command, else of what they read ---- */

struct finder {
    struct td_rules *r;
    td_slice keys[TD_KEYS_MAX];
    uint8_t count;
    bool open; /* something is not known yet */
};

/* The largest key set that holds all others wins. */
static void offer(struct finder *f, const struct td_pattern *p)
{
    if (p->key_count > f->count) {
        for (uint8_t i = 0; i < p->key_count; i++) {
            f->keys[i] = p->keys[i];
        }
        f->count = p->key_count;
    }
}

static void find_in(struct finder *f, const struct td_lang_expr *e)
{
    if (e == NULL || (e->op == TD_LANG_OP_CALL && e->list != NULL && e->list->next == NULL &&
                      e->func >= TD_LANG_FUNC_ANY)) {
        return; /* a fold goes over keys, it does not set them */
    }
    if (e->op == TD_LANG_OP_REF) {
        struct td_source *s = td_source_find(f->r, e->text);
        if (s != NULL && e->keys == NULL) {
            f->open |= !s->keys_known;
            offer(f, &s->pattern);
        }
    }
    find_in(f, e->a);
    find_in(f, e->b);
    for (const struct td_lang_expr *x = e->list; x != NULL; x = x->next) {
        find_in(f, x);
    }
}

static void find_in_acts(struct finder *f, const struct td_lang_act *acts, bool holds)
{
    for (; acts != NULL; acts = acts->next) {
        for (const struct td_lang_assign *a = acts->assigns; a != NULL; a = a->next) {
            struct td_source *s = td_source_find(f->r, a->ref->text);
            if (holds && s != NULL && a->ref->keys == NULL) {
                offer(f, &s->pattern);
            } else if (!holds) {
                find_in(f, a->value);
            }
        }
        if (!holds) {
            find_in(f, acts->expect);
        }
    }
}

static void find_keys(struct td_rules *r, struct td_statement *st)
{
    struct finder f = {.r = r};
    const struct td_lang_stmt *s = st->stmt;
    for (int holds = 1; holds >= 0 && f.count == 0; holds--) {
        find_in_acts(&f, s->acts, holds);
        find_in_acts(&f, s->on_raise, holds);
        find_in_acts(&f, s->while_active, holds);
        for (const struct td_lang_state *x = s->states; x != NULL; x = x->next) {
            find_in_acts(&f, x->acts, holds);
        }
    }
    if (f.count == 0) {
        for (const struct td_lang_let *let = s->lets; let != NULL; let = let->next) {
            find_in(&f, let->value);
        }
        find_in(&f, s->when);
        find_in(&f, s->while_);
        find_in(&f, s->unless);
    }
    if (!f.open) {
        keys_set(st, f.keys, f.count);
    }
}

static void imply_alarms(struct td_rules *r, struct td_lang_diag *diag, struct td_statement *st)
{
    const struct td_lang_stmt *s = st->stmt;
    if (s->confirm.n > 0) {
        st->confirm_alarm = td_alarm_implied(r, diag, &s->confirm_alarm, st->keys, st->key_count);
    }
    for (const struct td_lang_act *a = s->acts; a != NULL; a = a->next) {
        if (a->kind == TD_LANG_ACT_EXPECT) {
            (void)td_alarm_implied(r, diag, &a->alarm, st->keys, st->key_count); /* built later */
        }
    }
}

/* Statements may read alarms that others imply, so it goes round until nothing new is found. */
static void find_all_keys(struct td_rules *r, struct td_lang_diag *diag)
{
    for (struct td_statement *st = r->statements; st != NULL; st = st->next) {
        if (st->stmt != NULL && st->keys_known) {
            imply_alarms(r, diag, st);
        }
    }
    for (bool progress = true; progress;) {
        progress = false;
        for (struct td_statement *st = r->statements; st != NULL; st = st->next) {
            if (st->stmt != NULL && !st->keys_known) {
                find_keys(r, st);
                progress |= st->keys_known;
                if (st->keys_known) {
                    imply_alarms(r, diag, st);
                }
            }
        }
    }
    for (struct td_statement *st = r->statements; st != NULL; st = st->next) {
        if (!st->keys_known) {
            td_assert(st->stmt != NULL); /* an implied alarm has the keys of who raises it */
            td_lang_error(diag, st->stmt->name.place, "the keys of %.*s depend on themselves",
                          TD_LANG_S(st->name));
            td_lang_try(diag, "say PER and the names of its keys");
            keys_set(st, st->keys, 0);
        }
    }
}

/* ---- fields of streams and actuators ---- */

static void build_fields(struct td_rules *r, struct td_lang_diag *diag)
{
    for (struct td_source *s = r->sources; s != NULL; s = s->next) {
        struct td_builder b;
        if (s->stmt == NULL || s->kind == TD_SOURCE_ALARM || s->kind == TD_SOURCE_MACHINE) {
            continue;
        }
        td_builder_init(&b, r, diag, NULL);
        (void)td_fields_build(&b, s, s->stmt->fields); /* told */
        if (s->stmt->stale != NULL && s->kind == TD_SOURCE_STREAM) {
            struct td_lang_value v;
            struct td_lang_type duration = {.kind = TD_LANG_NUM, .unit = td_lang_unit_second};
            if (td_lang_constant(&b.scope, s->stmt->stale, &duration, "STALE AFTER", &v)) {
                s->stale_after = (td_mono)(v.num * (double)TD_NS_PER_S);
            }
        }
    }
}

/* ---- who listens to what ---- */

static void add_filter(struct td_rules *r, td_slice filter)
{
    for (size_t i = 0; i < r->filter_count; i++) {
        if (td_slice_eq(r->filters[i], filter)) {
            return;
        }
    }
    r->filters[r->filter_count++] = filter;
}

static void listen(struct td_rules *r)
{
    r->filters = td_alloc((r->source_count + 1) * sizeof *r->filters);
    r->listening = td_alloc((r->source_count + 1) * sizeof(struct td_source *));
    r->selects = td_alloc((r->source_count + 1) * sizeof(struct td_source *));
    for (struct td_source *s = r->sources; s != NULL; s = s->next) {
        if (s->kind == TD_SOURCE_STREAM || s->kind == TD_SOURCE_CONFIRM ||
            s->kind == TD_SOURCE_SELECT) {
            struct td_source **list = s->kind == TD_SOURCE_SELECT ? r->selects : r->listening;
            list[s->kind == TD_SOURCE_SELECT ? r->select_count++ : r->listening_count++] = s;
            add_filter(r, td_pattern_filter(&r->arena, &s->pattern));
        }
    }
    r->by_index = td_alloc((r->statement_count + 1) * sizeof(struct td_statement *));
    for (struct td_statement *st = r->statements; st != NULL; st = st->next) {
        r->by_index[st->index] = st;
    }
}

/* ---- the door ---- */

static struct td_rules *rules_new(const struct td_rules_config *config)
{
    struct td_rules *r = td_alloc(sizeof *r);
    td_arena_init(&r->arena, (size_t)512 << 20);
    r->seed = config->seed;
    r->keys_max = config->keys_max > 0 ? config->keys_max : 100000;
    r->lent_inputs = td_alloc(TD_INPUTS_MAX * sizeof *r->lent_inputs);
    r->lent_groups = td_alloc(TD_GROUPS_MAX * sizeof *r->lent_groups);
    r->none = td_alloc(sizeof *r->none);
    r->source_tail = &r->sources;
    r->statement_tail = &r->statements;
    r->queue_tail = &r->queue;
    td_map_init(&r->names, r->seed);
    td_map_init(&r->statement_names, r->seed);
    td_map_init(&r->routes, r->seed);
    td_heap_init(&r->heap);
    td_buf_init(&r->out_bytes, TD_OUT_BYTES_MAX);
    td_buf_init(&r->outs, TD_OUT_BYTES_MAX);
    td_buf_init(&r->scratch, 1 << 20);
    td_buf_init(&r->key_text, 1 << 16);
    td_buf_init(&r->encoded, 1 << 20);
    return r;
}

static void parse_all(struct td_rules *r, const struct td_rules_config *config,
                      struct td_lang_diag *diag)
{
    r->files = td_arena_alloc(&r->arena, (config->file_count + 1) * sizeof *r->files);
    r->file_count = (uint32_t)config->file_count;
    diag->sources = r->files;
    for (uint32_t i = 0; i < r->file_count; i++) {
        r->files[i].name = td_arena_copy(&r->arena, config->files[i].name);
        r->files[i].text = td_arena_copy(&r->arena, config->files[i].text);
    }
    for (uint32_t i = 0; i < r->file_count; i++) {
        if (td_lang_parse(&r->arena, diag, i, &r->stmts) != TD_OK) {
            diag->errors++;
            (void)td_buf_printf(diag->out, "%.*s: error: the rule files are too large\n",
                                TD_LANG_S(r->files[i].name));
        }
    }
}

static void build_all(struct td_rules *r, struct td_lang_diag *diag)
{
    for (struct td_statement *st = r->statements; st != NULL; st = st->next) {
        (void)td_build_statement(r, diag, st); /* told */
    }
}

enum td_err td_rules_load(const struct td_rules_config *config, struct td_rules **out,
                          struct td_buf *why)
{
    struct td_rules *r = rules_new(config);
    struct td_lang_diag diag = {.out = why};
    parse_all(r, config, &diag);
    declare_all(r, &diag);
    find_all_keys(r, &diag);
    build_fields(r, &diag);
    build_all(r, &diag);
    td_tests_check(r, &diag);
    if (diag.errors > 0) {
        if (diag.errors > TD_LANG_ERRORS_MAX) {
            (void)td_buf_printf(why, "%u more errors\n", diag.errors - TD_LANG_ERRORS_MAX);
        }
        td_rules_free(r);
        return TD_ESYNTAX;
    }
    listen(r);
    td_cycles_warn(r, &diag);
    *out = r;
    return TD_OK;
}

static void free_rows(struct td_source *s)
{
    for (size_t i = 0; i < s->rows.count; i++) {
        td_row_free(s->rows.entries[i].value);
    }
    td_map_fini(&s->rows);
    for (struct td_grouping *g = s->groupings; g != NULL; g = g->next) {
        for (size_t i = 0; i < g->groups.count; i++) {
            struct td_group *group = g->groups.entries[i].value;
            free(group->lang.rows);
            free(group->subs.at);
            free(group);
        }
        td_map_fini(&g->groups);
    }
}

void td_rules_free(struct td_rules *r)
{
    for (struct td_source *s = r->sources; s != NULL; s = s->next) {
        free_rows(s);
    }
    for (struct td_statement *st = r->statements; st != NULL; st = st->next) {
        for (size_t i = 0; i < st->insts.count; i++) {
            td_inst_free(st->insts.entries[i].value);
        }
        td_map_fini(&st->insts);
    }
    for (size_t i = 0; i < r->routes.count; i++) {
        free(r->routes.entries[i].value);
    }
    td_map_fini(&r->routes);
    td_map_fini(&r->names);
    td_map_fini(&r->statement_names);
    td_heap_fini(&r->heap);
    struct td_buf *bufs[] = {&r->out_bytes, &r->outs, &r->scratch, &r->key_text, &r->encoded};
    for (size_t i = 0; i < TD_COUNT(bufs); i++) {
        td_buf_fini(bufs[i]);
    }
    free(r->filters);
    free(r->listening);
    free(r->selects);
    free(r->by_index);
    free(r->settle);
    free(r->lent_inputs);
    free(r->lent_groups);
    free(r->none);
    td_arena_fini(&r->arena);
    free(r);
}

size_t td_rules_filter_count(const struct td_rules *r)
{
    return r->filter_count;
}

td_slice td_rules_filter(const struct td_rules *r, size_t i)
{
    return r->filters[i];
}
