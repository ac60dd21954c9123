/* rules: turns. A turn takes one message or what is due, evaluates whoever reads what has changed,
 * level by level, then settles the actuators whose bids have changed. Outputs are pulled. */
#include "rules/set.h"

#include <stdlib.h>

enum { ROW_STATE_MS = 1000, BREAKER_RATE = 100, BREAKER_OPEN_MS = 30000 };

/* ---- queues ---- */

void td_queue(struct td_rules *r, struct td_inst *inst, uint8_t hops)
{
    if (inst->blind) {
        return;
    }
    if (hops >= TD_HOPS_MAX) {
        r->stats.hops_dropped++;
        return;
    }
    inst->hops = inst->queued && inst->hops > hops ? inst->hops : hops;
    if (!inst->queued) {
        inst->queued = true;
        inst->queue_next = NULL;
        *r->queue_tail = inst;
        r->queue_tail = &inst->queue_next;
    }
}

void td_settle(struct td_rules *r, struct td_inst *actuator)
{
    if (actuator->settling) {
        return;
    }
    actuator->settling = true;
    if (r->settle_count == r->settle_cap) {
        r->settle_cap = r->settle_cap == 0 ? 16 : r->settle_cap * 2;
        r->settle = td_realloc(r->settle, r->settle_cap * sizeof(struct td_inst *));
    }
    r->settle[r->settle_count++] = actuator;
}

void td_dirty(struct td_rules *r, struct td_inst *inst)
{
    r->urgent = true;
    if (!inst->dirty) {
        inst->dirty = true;
        inst->dirty_next = r->dirty;
        r->dirty = inst;
    }
}

void td_row_dirty(struct td_rules *r, struct td_row *row)
{
    if (row->dirty || !row->source->read || row->source->kind != TD_SOURCE_STREAM) {
        return;
    }
    row->dirty = true;
    row->dirty_next = r->dirty_rows;
    r->dirty_rows = row;
    if (r->rows_due.timer.place == 0) {
        td_heap_set(&r->heap, &r->rows_due.timer, td_mono_after(r->now, ROW_STATE_MS));
    }
}

/* ---- turns ---- */

void td_turn_begin(struct td_rules *r, td_mono now, td_wall wall, uint8_t hops)
{
    r->now = now;
    r->wall = wall;
    r->hops = hops;
    r->turn++;
    if (r->out_at * sizeof(struct td_out) >= r->outs.n) {
        r->out_at = 0;
        td_buf_clear(&r->outs);
        td_buf_clear(&r->out_bytes);
    }
}

static struct td_inst *queue_take(struct td_rules *r)
{
    struct td_inst *inst = r->queue;
    if (inst != NULL) {
        r->queue = inst->queue_next;
        if (r->queue == NULL) {
            r->queue_tail = &r->queue;
        }
        inst->queued = false;
    }
    return inst;
}

/* Hops bound the rounds: a level that goes round grows by one each time. */
void td_turn_end(struct td_rules *r)
{
    do {
        for (struct td_inst *inst; (inst = queue_take(r)) != NULL;) {
            r->hops = inst->hops;
            td_eval_inst(r, inst);
        }
        uint32_t count = r->settle_count;
        for (uint32_t i = 0; i < count; i++) {
            r->hops = r->settle[i]->hops;
            r->settle[i]->settling = false;
            td_actuator_settle(r, r->settle[i]);
        }
        r->settle_count -= count;
        if (r->settle_count == 0) {
            continue;
        }
        memmove(r->settle, r->settle + count, r->settle_count * sizeof(struct td_inst *));
    } while (r->queue != NULL || r->settle_count > 0);
}

/* ---- evaluation ---- */

struct td_lang_value td_eval(struct td_lang_env *env, const struct td_code *code)
{
    return td_lang_run(&code->lang, env);
}

void td_env(struct td_rules *r, struct td_inst *inst, struct td_lang_value *locals,
            struct td_lang_env *env)
{
    const struct td_statement *st = inst->statement;
    *env = (struct td_lang_env){.rows = inst->rows,
                                .groups = inst->groups,
                                .keys = inst->keys,
                                .locals = locals,
                                .cells = inst->cells,
                                .now = r->now,
                                .turn = r->turn,
                                .gap = st->stmt != NULL ? st->stmt->gap : TD_LANG_GAP_UNKNOWN,
                                .deadline = TD_NEVER};
    for (uint16_t i = 0; i < st->let_count; i++) {
        locals[i] = td_eval(env, &st->lets[i]);
    }
}

void td_eval_inst(struct td_rules *r, struct td_inst *inst)
{
    static void (*const evals[])(struct td_rules *, struct td_inst *, struct td_lang_env *) = {
        [TD_LANG_RULE] = td_rule_eval,         [TD_LANG_INTERLOCK] = td_rule_eval,
        [TD_LANG_ALARM] = td_alarm_eval,       [TD_LANG_MACHINE] = td_machine_eval,
        [TD_LANG_ACTUATOR] = td_actuator_eval, [TD_LANG_CREATE] = td_create_eval,
    };
    struct td_lang_value locals[TD_LETS_MAX];
    struct td_lang_env env;
    r->stats.evaluations++;
    td_env(r, inst, locals, &env);
    evals[inst->statement->kind](r, inst, &env);
    if (env.changed) {
        td_dirty(r, inst);
    }
    if (env.deadline <= r->now) {
        env.deadline = td_mono_after(r->now, 1); /* never twice at one time */
    }
    bool set = inst->timer.timer.place != 0;
    if (set ? inst->timer.timer.at != env.deadline : env.deadline != TD_NEVER) {
        td_heap_set(&r->heap, &inst->timer.timer, env.deadline);
    }
}

void td_self_set(struct td_rules *r, struct td_inst *inst, const struct td_lang_value *values,
                 bool quiet)
{
    struct td_row *row = td_row_get(r, inst->statement->self, inst->keys);
    if (row == NULL) {
        return;
    }
    for (uint16_t i = 0; i < row->source->field_count; i++) {
        td_slot_set(row, i, values[i]);
    }
    uint8_t hops = r->hops;
    r->hops = (uint8_t)(hops + 1);
    td_row_arrived(r, row, quiet);
    r->hops = hops;
}

/* ---- bounds on doing ---- */

bool td_tokens_take(double *tokens, td_mono *at, td_mono now, double count, td_mono per,
                    td_mono *next)
{
    double rate = count / (double)per; /* a ns */
    double filled = *tokens + rate * (double)(now - *at);
    *tokens = filled < count ? filled : count;
    *at = now;
    if (*tokens >= 1 - 1e-9) {
        *tokens -= 1;
        return true;
    }
    if (next != NULL) {
        *next = td_mono_min(*next, now + (td_mono)((1 - *tokens) / rate) + 1);
    }
    return false;
}

static void breaker_tell(struct td_rules *r, struct td_statement *s, bool open)
{
    struct td_level levels[] = {{.text = TD_STR("tandem"), .key = -1},
                                {.text = TD_STR("alarm"), .key = -1},
                                {.text = TD_STR("breaker"), .key = -1},
                                {.text = s->name, .key = -1}};
    const struct td_pattern topic = {.levels = levels, .count = 4};
    struct td_inst *any = s->insts.count > 0 ? s->insts.entries[0].value : NULL;
    if (any != NULL) {
        struct td_send send = {.topic = &topic, .qos = 1, .retain = true};
        send.payload = open ? TD_STR("{\"active\":true}") : TD_STR("{\"active\":false}");
        td_out_send(r, any, &send);
    }
}

/* Rules that set each other off are stopped by the hops of their messages; this one catches what
 * goes round outside, through a device. What the world outside says is not counted: MAX bounds
 * it. */
bool td_breaker_pass(struct td_rules *r, struct td_statement *s)
{
    if (r->now < s->open_until) {
        s->refused++;
        return false;
    }
    if (s->open_until > 0) {
        s->open_until = 0;
        breaker_tell(r, s, false);
    }
    if (r->hops == 0 ||
        td_tokens_take(&s->tokens, &s->tokens_at, r->now, BREAKER_RATE, TD_NS_PER_S, NULL)) {
        return true;
    }
    s->open_until = td_mono_after(r->now, BREAKER_OPEN_MS);
    s->refused++;
    r->stats.breaker_opened++;
    breaker_tell(r, s, true);
    return false;
}

/* ---- messages ---- */

/* Wall time to this turn's monotonic time; the future is now. */
static td_mono mono_of(const struct td_rules *r, td_wall at)
{
    td_mono age, then;
    bool sane = !__builtin_sub_overflow(r->wall, at, &age) && age > 0 &&
                !__builtin_sub_overflow(r->now, age, &then);
    return sane ? then : r->now;
}

void td_message_in(struct td_rules *r, struct td_row *row, const struct td_lang_value *values,
                   td_wall event_at, bool retained)
{
    bool trusted = event_at > 0 && event_at <= r->wall + 10 * TD_NS_PER_S;
    if (retained && row->lang.seen) {
        return; /* what we know is not older */
    }
    if (trusted && event_at < row->event_at) {
        r->stats.late++;
        return;
    }
    bool stale = r->now > row->lang.stale_at;
    for (uint16_t i = 0; i < row->source->field_count; i++) {
        if (stale) {
            row->lang.slots[i].now.quality = TD_LANG_STALE; /* so that it makes no edge */
        }
        td_slot_set(row, i, values[i]);
    }
    td_row_arrived(r, row, retained);
    if (trusted) {
        row->event_at = event_at;
        row->at_wall = event_at;
        td_row_age(r, row, mono_of(r, event_at));
    }
    td_row_dirty(r, row);
}

static void select_in(struct td_rules *r, struct td_source *s, const struct td_rules_message *m,
                      const td_slice *keys)
{
    struct td_lang_value values[TD_FIELDS_MAX];
    td_wall event_at;
    struct td_row *row;
    struct td_inst *inst = td_select_get(r, s->statement, &row);
    if (!td_extract(r, s, m->payload, values, &event_at)) {
        r->stats.unparsed++;
    }
    for (uint16_t i = 0; i < s->field_count; i++) {
        row->lang.slots[i].now = values[i]; /* borrowed: it is looked at here and now only */
    }
    td_slice bound[TD_KEYS_MAX];
    memcpy(bound, keys, sizeof bound);
    inst->keys = bound;
    inst->payload = m->payload;
    inst->hops = m->hops;
    td_eval_inst(r, inst);
    inst->keys = NULL;
    inst->payload = (td_slice){NULL, 0};
}

static struct td_route *route_new(struct td_rules *r, td_slice topic)
{
    struct td_row *rows[64];
    td_slice keys[TD_KEYS_MAX] = {{NULL, 0}};
    uint32_t n = 0;
    bool all = true;
    for (uint32_t i = 0; i < r->listening_count; i++) {
        struct td_source *s = r->listening[i];
        if (s->kind == TD_SOURCE_SELECT || !td_pattern_match(&s->pattern, topic, keys)) {
            continue;
        }
        struct td_row *row = n < TD_COUNT(rows) ? td_row_get(r, s, keys) : NULL;
        all &= row != NULL;
        if (row != NULL) {
            rows[n++] = row;
        }
    }
    struct td_route *route = td_alloc(sizeof *route + n * sizeof rows[0] + topic.n + 1);
    route->count = n;
    memcpy(route->rows, rows, n * sizeof rows[0]);
    uint8_t *name = (uint8_t *)(route->rows + n);
    memcpy(name, topic.p, topic.n);
    route->topic = (td_slice){name, topic.n};
    route->whole = all && r->routes.count < TD_ROUTES_MAX;
    if (route->whole) {
        td_map_put(&r->routes, route->topic, route);
    }
    return route;
}

static void row_in(struct td_rules *r, struct td_row *row, const struct td_rules_message *m)
{
    struct td_lang_value values[TD_FIELDS_MAX];
    td_wall event_at;
    if (!td_extract(r, row->source, m->payload, values, &event_at)) {
        r->stats.unparsed++;
    }
    td_message_in(r, row, values, event_at, m->retained);
}

void td_rules_message(struct td_rules *r, const struct td_rules_message *m, td_mono now,
                      td_wall wall)
{
    r->stats.messages++;
    if (m->hops >= TD_HOPS_MAX) {
        r->stats.hops_dropped++;
        return;
    }
    td_turn_begin(r, now, wall, m->hops);
    struct td_route *route = td_map_find(&r->routes, m->topic);
    if (route == NULL) {
        route = route_new(r, m->topic);
    }
    for (uint32_t i = 0; i < route->count; i++) {
        r->hops = m->hops;
        row_in(r, route->rows[i], m);
    }
    if (!route->whole) {
        free(route);
    }
    for (uint32_t i = 0; i < r->select_count; i++) {
        td_slice keys[TD_KEYS_MAX] = {{NULL, 0}};
        if (!m->retained && td_pattern_match(&r->selects[i]->pattern, m->topic, keys)) {
            r->hops = m->hops;
            select_in(r, r->selects[i], m, keys);
        }
    }
    td_turn_end(r);
}

/* ---- time ---- */

static void row_due(struct td_rules *r, struct td_row *row)
{
    if (row->lang.stale_at >= r->now) {
        td_heap_set(&r->heap, &row->stale.timer, row->lang.stale_at + 1);
    } else {
        td_row_readers(r, row);
    }
}

void td_rules_expire(struct td_rules *r, td_mono now, td_wall wall)
{
    struct td_timer *t = td_heap_first(&r->heap);
    if (t == NULL || t->at > now) {
        return;
    }
    td_turn_begin(r, now, wall, 0);
    for (; t != NULL && t->at <= now; t = td_heap_first(&r->heap)) {
        struct td_due *due = TD_CONTAINER(t, struct td_due, timer);
        td_heap_set(&r->heap, t, TD_NEVER);
        switch (due->kind) {
        case TD_DUE_INST:
            td_queue(r, TD_CONTAINER(due, struct td_inst, timer), 0);
            break;
        case TD_DUE_ROW:
            row_due(r, TD_CONTAINER(due, struct td_row, stale));
            break;
        case TD_DUE_ROWS:
            r->urgent = true;
            break;
        }
    }
    td_turn_end(r);
}

td_mono td_rules_deadline(const struct td_rules *r)
{
    const struct td_timer *t = td_heap_first(&r->heap);
    return t != NULL ? t->at : TD_NEVER;
}

void td_rules_start(struct td_rules *r, td_mono now, td_wall wall)
{
    td_turn_begin(r, now, wall, 0);
    r->started = true;
    r->rows_due.kind = TD_DUE_ROWS;
    for (struct td_statement *st = r->statements; st != NULL; st = st->next) {
        bool lives = st->kind != TD_LANG_CREATE && st->stmt != NULL;
        if (lives && st->key_count == 0) {
            (void)td_inst_get(r, st, NULL); /* the one instance, unless it was refused */
        }
        for (size_t i = 0; i < st->insts.count; i++) {
            td_queue(r, st->insts.entries[i].value, 0);
        }
    }
    td_turn_end(r);
}
