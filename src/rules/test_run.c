/* rules: TEST blocks in virtual time. Around the set stands a little world: what is sent comes back
 * if a stream listens to it, as over the hub; devices confirm unless muted; what leaves as STATE is
 * kept, and is all that a RESTART gives back. */
#include "rules/test.h"

#include <stdlib.h>

#include "base/json.h"

enum { FEEDBACK_MAX = 10000, TURNS_MAX = 5000000 };

static const td_wall test_began = INT64_C(1767225600) * TD_NS_PER_S; /* 2026-01-01T00:00:00Z */
static const td_mono test_mono = INT64_C(1000) * TD_NS_PER_S;

/* Something with bytes of its own, in a list. */
struct kept {
    struct kept *next;
    td_slice a, b; /* topic, payload; key, value */
    uint8_t hops;
    bool muted;
};

struct world {
    const struct td_rules_config *config;
    struct td_rules *r;
    struct td_test *test;
    uint32_t number; /* of the test in the files */
    td_mono now;     /* since the test began */
    struct td_map state;
    struct kept *sent, **sent_tail;
    struct kept *mutes;
    struct td_lang_diag diag;
    uint32_t failures;
    uint32_t turns; /* run by time; TURNS_MAX ends the test */
};

static struct kept *keep(td_slice a, td_slice b)
{
    struct kept *k = td_alloc(sizeof *k + a.n + b.n);
    uint8_t *p = (uint8_t *)(k + 1);
    td_put_bytes(td_put_bytes(p, a), b);
    k->a = (td_slice){p, a.n};
    k->b = (td_slice){p + a.n, b.n};
    return k;
}

static void free_list(struct kept *k)
{
    while (k != NULL) {
        struct kept *next = k->next;
        free(k);
        k = next;
    }
}

static td_mono mono(const struct world *w)
{
    return test_mono + w->now;
}

static td_wall wall(const struct world *w)
{
    return test_began + w->now;
}

/* ---- what comes out ---- */

static void take_state(struct world *w, const struct td_rules_out *o)
{
    struct kept *k = keep(o->key, o->payload);
    free(o->payload.n > 0 ? td_map_put(&w->state, k->a, k) : td_map_remove(&w->state, o->key));
    if (o->payload.n == 0) {
        free(k);
    }
}

static bool muted(const struct world *w, td_slice topic)
{
    for (const struct kept *k = w->mutes; k != NULL; k = k->next) {
        if (td_slice_eq(k->a, topic)) {
            return true;
        }
    }
    return false;
}

/* The report of a device that has done as it was told. */
static struct kept *report(struct world *w, const struct td_rules_out *o)
{
    td_slice keys[TD_KEYS_MAX];
    struct td_buf topic;
    for (struct td_statement *st = w->r->statements; st != NULL; st = st->next) {
        if (st->kind != TD_LANG_ACTUATOR || st->confirm == NULL || muted(w, o->topic) ||
            !td_slice_eq(st->name, o->rule) || !td_pattern_match(&st->topic, o->topic, keys)) {
            continue;
        }
        td_buf_init(&topic, 4096);
        td_pattern_fill(&st->confirm->pattern, keys, &topic);
        struct kept *k = keep(td_buf_slice(&topic), o->payload);
        td_buf_fini(&topic);
        return k;
    }
    return NULL;
}

/* Takes all outputs and hands back what somebody listens to, until it is quiet. */
static void settle(struct world *w)
{
    struct kept *back = NULL, **tail = &back;
    for (int n = 0; n < FEEDBACK_MAX; n++) {
        struct td_rules_out o;
        while (td_rules_next(w->r, &o)) {
            if (o.kind == TD_RULES_STATE) {
                take_state(w, &o);
            } else if (o.kind == TD_RULES_SEND) {
                struct kept *k = keep(o.topic, o.payload);
                *w->sent_tail = k;
                w->sent_tail = &k->next;
                *tail = keep(o.topic, o.payload); // NOLINT(clang-analyzer-unix.Malloc)
                (*tail)->hops = o.hops;
                tail = &(*tail)->next;
                *tail = report(w, &o);
                tail = *tail != NULL ? &(*tail)->next : tail;
            }
        }
        struct kept *k = back;
        if (k == NULL) {
            return;
        }
        struct td_rules_message m = {.topic = k->a, .payload = k->b, .hops = k->hops};
        td_rules_message(w->r, &m, mono(w), wall(w));
        back = k->next;
        tail = back == NULL ? &back : tail;
        free(k);
    }
    free_list(back);
}

/* Runs deadlines up to `to`. */
static void pass_time(struct world *w, td_mono to)
{
    for (;;) {
        td_mono due = td_rules_deadline(w->r) - test_mono;
        if (td_rules_deadline(w->r) == TD_NEVER || due > to || w->turns == TURNS_MAX) {
            break;
        }
        w->turns++;
        w->now = due > w->now ? due : w->now;
        td_rules_expire(w->r, mono(w), wall(w));
        settle(w);
    }
    w->now = to > w->now ? to : w->now;
}

/* ---- steps ---- */

/* An environment for the test's own expressions: its inputs are looked up anew each time. */
static void env_of(struct world *w, struct td_lang_row **rows, struct td_lang_group **groups,
                   struct td_lang_cell *cells, struct td_lang_env *env)
{
    const struct td_statement *st = w->test->st;
    struct td_lang_group *none = NULL;
    for (uint16_t i = 0; i < st->input_count; i++) {
        struct td_row *row = td_row_get(w->r, st->inputs[i].source, st->inputs[i].literal);
        rows[i] = row != NULL ? &row->lang : NULL;
    }
    for (uint16_t i = 0; i < st->group_count; i++) {
        groups[i] = none;
    }
    *env = (struct td_lang_env){.rows = rows,
                                .groups = groups,
                                .cells = cells,
                                .now = mono(w),
                                .elapsed = w->now,
                                .deadline = TD_NEVER,
                                .turn = w->r->turn};
}

static struct td_lang_value value_of(struct world *w, const struct td_code *code)
{
    struct td_lang_row *rows[TD_INPUTS_MAX];
    struct td_lang_group *groups[TD_GROUPS_MAX];
    struct td_lang_cell cells[32];
    struct td_lang_env env;
    memset(cells, 0, sizeof cells);
    env_of(w, rows, groups, cells, &env);
    return td_eval(&env, code);
}

static void run_assign(struct world *w, const struct td_step *step)
{
    struct td_lang_value values[TD_FIELDS_MAX];
    struct td_source *s = step->at.source;
    for (uint16_t i = 0; i < s->field_count; i++) {
        values[i] = td_lang_unknown();
    }
    for (const struct td_assign *a = step->assigns; a != NULL; a = a->next) {
        const struct td_field *f = &s->fields[a->field];
        struct td_lang_value v = value_of(w, &a->code);
        bool out =
            f->has_range && v.kind == TD_LANG_NUM && !(v.num >= f->least && v.num <= f->most);
        values[a->field] = out ? td_lang_unknown() : v;
    }
    td_turn_begin(w->r, mono(w), wall(w), 0);
    struct td_row *row = td_row_get(w->r, s, step->at.literal);
    if (row != NULL) {
        td_message_in(w->r, row, values, 0, false);
    }
    td_turn_end(w->r);
}

static void run_restart(struct world *w, const struct td_step *step)
{
    struct td_lang_value after = value_of(w, &step->code);
    td_mono down =
        after.kind == TD_LANG_NUM && after.num > 0 ? (td_mono)(after.num * (double)TD_NS_PER_S) : 0;
    struct td_rules *again;
    struct td_buf why;
    size_t n = 0;
    for (const struct td_step *s = w->test->steps; s != NULL; s = s->next) {
        n++;
    }
    td_mono *dues = td_alloc((n + 1) * sizeof *dues);
    n = 0;
    for (const struct td_step *s = w->test->steps; s != NULL; s = s->next) {
        dues[n++] = s->due;
    }
    td_buf_init(&why, 1 << 16);
    td_assert(td_rules_load(w->config, &again, &why) == TD_OK); /* it was just now */
    td_buf_fini(&why);
    td_rules_free(w->r);
    w->r = again;
    w->test = again->tests;
    for (uint32_t i = 0; i < w->number; i++) {
        w->test = w->test->next;
    }
    n = 0;
    for (struct td_step *s = w->test->steps; s != NULL; s = s->next) {
        s->due = dues[n++];
    }
    free(dues);
    w->diag.sources = again->files;
    w->now += down;
    for (size_t i = 0; i < w->state.count; i++) {
        const struct kept *k = w->state.entries[i].value;
        (void)td_rules_restore(w->r, k->a, k->b, mono(w), wall(w)); /* unknown keys stay behind */
    }
    td_rules_start(w->r, mono(w), wall(w));
}

static void run_mute(struct world *w, const struct td_step *step)
{
    struct td_buf topic;
    td_buf_init(&topic, 4096);
    td_pattern_fill(&step->at.source->statement->topic, step->at.literal, &topic);
    struct kept *k = keep(td_buf_slice(&topic), (td_slice){NULL, 0});
    k->next = w->mutes;
    w->mutes = k;
    td_buf_fini(&topic);
}

/* ---- EXPECT ---- */

static void failed(struct world *w, const struct td_step *step, const char *what)
{
    w->failures++;
    td_lang_error(&w->diag, step->ast->place, "%s at %gs", what,
                  (double)w->now / (double)TD_NS_PER_S);
}

/* The values of the names in an expression, one a line. */
static void tell_values(struct world *w, const struct td_lang_expr *e)
{
    if (e == NULL) {
        return;
    }
    if (e->op == TD_LANG_OP_REF && e->bind == TD_LANG_BIND_FIELD) {
        struct td_code code = {.there = true};
        struct td_buf *out = w->diag.out;
        td_slice text = td_slice_skip(w->r->files[e->place.file].text, e->place.at);
        if (td_lang_compile(&w->r->arena, e, &code.lang) == TD_OK) {
            (void)td_buf_printf(out, "  is:  %.*s = ", TD_LANG_S(td_slice_head(text, e->place.n)));
            (void)td_lang_value_print(out, value_of(w, &code));
            (void)td_buf_add_u8(out, '\n');
        }
    }
    tell_values(w, e->a);
    tell_values(w, e->b);
    for (const struct td_lang_expr *x = e->list; x != NULL; x = x->next) {
        tell_values(w, x);
    }
}

static void run_expect(struct world *w, const struct td_step *step)
{
    struct td_lang_value v = value_of(w, &step->code);
    if (td_lang_is_true(v)) {
        return;
    }
    failed(w, step, td_lang_is_false(v) ? "EXPECT is FALSE" : "EXPECT is UNKNOWN");
    if (!w->diag.quiet) {
        tell_values(w, step->ast->expect);
    }
}

static bool token_is(const struct td_json_token *t, struct td_lang_value v)
{
    double x;
    int64_t whole;
    bool is_int;
    switch ((int)t->kind) {
    case TD_JSON_STRING:
        return v.kind == TD_LANG_TEXT && td_json_is(t, v.text);
    case TD_JSON_NUMBER:
        return td_json_number(t->span, &x, &whole, &is_int) == TD_OK &&
               td_lang_value_eq(v, td_lang_num(x));
    case TD_JSON_TRUE:
    case TD_JSON_FALSE:
        return td_lang_value_eq(v, td_lang_truth(t->kind == TD_JSON_TRUE));
    case TD_JSON_NULL:
        return v.quality == TD_LANG_UNKNOWN;
    default:
        return false;
    }
}

static bool member_is(td_slice payload, td_slice key, struct td_lang_value v)
{
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, payload);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        if (t.kind == TD_JSON_KEY && t.depth == 1) {
            bool here = td_json_is(&t, key);
            td_json_next(&j, &t);
            if (here) {
                return token_is(&t, v);
            }
        }
    }
    return false;
}

static bool sent_fits(struct world *w, const struct td_step *step, const struct kept *k)
{
    bool fits = td_slice_eq(k->a, step->ast->topic);
    for (const struct td_obj *o = step->object; fits && o != NULL; o = o->next) {
        fits = member_is(k->b, o->key, value_of(w, &o->code));
    }
    return fits;
}

static void run_sent(struct world *w, const struct td_step *step)
{
    const struct td_lang_step *s = step->ast;
    int64_t count = 0;
    for (const struct kept *k = w->sent; k != NULL; k = k->next) {
        count += sent_fits(w, step, k);
    }
    bool good = s->count >= 0 ? count == s->count : count > 0;
    if (good != s->negate) {
        return;
    }
    failed(w, step, "EXPECT SENT is not so");
    if (w->diag.quiet) {
        return;
    }
    (void)td_buf_printf(w->diag.out, "  is:  %lld such messages were sent\n", (long long)count);
    int shown = 0;
    for (const struct kept *k = w->sent; k != NULL && shown < 10; k = k->next) {
        if (td_slice_eq(k->a, s->topic)) {
            (void)td_buf_printf(w->diag.out, "  is:  SENT '%.*s' %.*s\n", TD_LANG_S(k->a),
                                TD_LANG_S(k->b));
            shown++;
        }
    }
}

/* ---- a test ---- */

static void run_step(struct world *w, const struct td_step *step)
{
    switch (step->ast->kind) {
    case TD_LANG_STEP_ASSIGN:
        run_assign(w, step);
        break;
    case TD_LANG_STEP_EXPECT:
        run_expect(w, step);
        break;
    case TD_LANG_STEP_SENT:
        run_sent(w, step);
        break;
    case TD_LANG_STEP_RESTART:
        run_restart(w, step);
        break;
    case TD_LANG_STEP_MUTE:
        run_mute(w, step);
        break;
    }
    settle(w);
}

/* By time, then as written. */
static struct td_step *earliest(struct world *w)
{
    struct td_step *first = NULL;
    for (struct td_step *s = w->test->steps; s != NULL; s = s->next) {
        if (s->due != TD_NEVER && (first == NULL || s->due < first->due)) {
            first = s;
        }
    }
    return first;
}

static void run_test(struct world *w)
{
    for (struct td_step *s = w->test->steps; s != NULL; s = s->next) {
        s->due = s->from;
    }
    td_rules_start(w->r, mono(w), wall(w));
    settle(w);
    for (struct td_step *s; (s = earliest(w)) != NULL;) {
        pass_time(w, s->due);
        s->due = s->every > 0 && s->due + s->every <= s->to ? s->due + s->every : TD_NEVER;
        run_step(w, s);
        if (w->turns == TURNS_MAX) {
            failed(w, s, "five million deadlines have passed, the test ends here");
            td_lang_try(&w->diag, "shorten it, or let the rules run less often");
            return;
        }
    }
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < w->state.count; i++) {
        free(w->state.entries[i].value);
    }
    td_map_fini(&w->state);
    free_list(w->sent);
    free_list(w->mutes);
    td_rules_free(w->r);
}

static void one_test(const struct td_rules_config *config, uint32_t number, struct td_rules *r,
                     struct td_rules_tests *out, struct td_buf *report_to)
{
    struct world w = {.config = config, .r = r, .number = number, .test = r->tests};
    w.diag = (struct td_lang_diag){.sources = r->files, .out = report_to};
    w.sent_tail = &w.sent;
    td_map_init(&w.state, config->seed);
    for (uint32_t i = 0; i < number; i++) {
        w.test = w.test->next;
    }
    run_test(&w);
    uint32_t *count = w.failures == 0 ? &out->passed : &out->failed;
    (*count)++;
    (void)td_buf_printf(report_to, "%s %.*s (%gs of virtual time)\n",
                        w.failures == 0 ? "ok    " : "FAILED", TD_LANG_S(w.test->stmt->name.name),
                        (double)w.now / (double)TD_NS_PER_S);
    world_free(&w);
}

enum td_err td_rules_test(const struct td_rules_config *config, struct td_rules_tests *out,
                          struct td_buf *report_to)
{
    *out = (struct td_rules_tests){0, 0};
    for (uint32_t number = 0;; number++) {
        struct td_rules *r;
        struct td_buf again; /* what there is to say was said the first time */
        td_buf_init(&again, 1 << 20);
        enum td_err err = td_rules_load(config, &r, number == 0 ? report_to : &again);
        td_buf_fini(&again);
        if (err != TD_OK) {
            return err;
        }
        uint32_t count = 0;
        for (const struct td_test *t = r->tests; t != NULL; t = t->next) {
            count++;
        }
        if (number >= count) {
            td_rules_free(r);
            return TD_OK;
        }
        one_test(config, number, r, out, report_to);
    }
}
