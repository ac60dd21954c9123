/* rules: RULE, INTERLOCK and CREATE RULE.
 *
 * A rule with WHEN or EVERY is a pulse: it does something at a moment. Without, it is held: its
 * bids stand while WHILE is TRUE and UNLESS is not. */
#include "rules/set.h"

#include "base/json.h"

static struct td_lang_value negated(struct td_lang_value v)
{
    if (v.kind != TD_LANG_BOOL || v.quality != TD_LANG_KNOWN) {
        return td_lang_unknown();
    }
    return td_lang_truth(!v.truth);
}

/* WHILE and not UNLESS; what is not written does not hinder. Both are always looked at: they may
 * have a memory. */
static struct td_lang_value allowed(const struct td_statement *st, struct td_lang_env *env)
{
    struct td_lang_value on = td_lang_truth(true), unless = td_lang_truth(true);
    if (st->while_.there) {
        on = td_eval(env, &st->while_);
        if (st->kind == TD_LANG_INTERLOCK && !td_lang_is_false(on)) {
            on = td_lang_truth(true); /* to an interlock, not knowing is danger */
        }
    }
    if (st->unless.there) {
        unless = negated(td_eval(env, &st->unless));
    }
    return td_lang_apply(TD_LANG_OP_AND, on, unless);
}

static void told(struct td_rules *r, struct td_inst *inst, size_t from)
{
    td_buf_clear(&r->encoded);
    size_t outs = r->outs.n / sizeof(struct td_out);
    for (size_t i = from; i < outs; i++) {
        struct td_out o;
        memcpy(&o, r->outs.p + i * sizeof o, sizeof o);
        td_slice topic = {r->out_bytes.p + o.topic, o.topic_n};
        td_slice payload = {r->out_bytes.p + o.payload, o.payload_n < 200 ? o.payload_n : 200};
        (void)td_buf_add(&r->encoded, r->encoded.n > 0 ? TD_STR("; SEND ") : TD_STR("SEND "));
        (void)td_buf_add(&r->encoded, topic);
        (void)td_buf_add_u8(&r->encoded, ' ');
        (void)td_buf_add(&r->encoded, payload);
    }
    if (r->encoded.n == 0) {
        (void)td_buf_add(&r->encoded, TD_STR("HOLD"));
    }
    td_out_fired(r, inst, td_buf_slice(&r->encoded));
}

static void fire(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    bool rate_ok = st->max_per == 0 || td_tokens_take(&inst->tokens, &inst->tokens_at, r->now,
                                                      st->max_count, st->max_per, NULL);
    if (!rate_ok) {
        st->refused++;
        return;
    }
    if (!td_breaker_pass(r, st)) {
        return;
    }
    size_t from = r->outs.n / sizeof(struct td_out);
    td_acts_fire(r, inst, st->acts, env);
    inst->once = st->once.there;
    told(r, inst, from);
}

/* Fires on turning TRUE; an event (RISES, ARRIVES) is over as soon as it was. */
static void pulse_when(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    struct td_lang_value w = td_eval(env, &st->when);
    w = td_lang_apply(TD_LANG_OP_AND, w, allowed(st, env));
    if (st->once.there) {
        /* It re-arms on turning TRUE: if it was TRUE when the rule fired, it must go away first. */
        bool until = td_lang_is_true(td_eval(env, &st->once));
        if (inst->once && until && !inst->until) {
            inst->once = false;
            inst->last = 0;
            env->changed = true;
        }
        env->changed |= inst->until != (until && !st->once.pulse);
        inst->until = until && !st->once.pulse;
    }
    bool turned = td_lang_is_true(w) && inst->last == 0 && inst->fired_turn != r->turn;
    uint8_t last = td_lang_is_true(w) ? 1 : td_lang_is_false(w) ? 0 : inst->last;
    if (st->when.pulse) {
        last = 0;
    }
    env->changed |= last != inst->last;
    inst->last = last;
    if (turned && !inst->once) {
        inst->fired_turn = r->turn;
        fire(r, inst, env);
    }
}

/* Ticks lie on a grid of wall time, so a restart does not move them; ticks missed while the hub was
 * down fall due once. */
static void pulse_every(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    td_wall tick = r->wall / st->every * st->every;
    struct td_lang_value on = allowed(st, env);
    if (inst->every_at == 0) {
        inst->every_at = tick; /* it begins with the next one */
        env->changed = true;
    }
    if (tick > inst->every_at) {
        inst->every_at = tick;
        env->changed = true;
        if (td_lang_is_true(on)) {
            fire(r, inst, env);
        }
    }
    env->deadline = td_mono_min(env->deadline, r->now + (tick + st->every - r->wall));
}

void td_rule_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    td_expects_eval(r, inst, env);
    if (st->when.there) {
        pulse_when(r, inst, env);
        return;
    }
    if (st->every > 0) {
        pulse_every(r, inst, env);
        return;
    }
    struct td_lang_value on = allowed(st, env);
    uint8_t last = td_lang_is_true(on) ? 1 : 0;
    td_hold_level(r, inst, st->acts, on, env);
    if (last != inst->last) {
        inst->last = last;
        env->changed = true;
    }
}

/* ---- CREATE RULE ---- */

static void select_payload(struct td_rules *r, const struct td_statement *st,
                           struct td_lang_env *env)
{
    td_buf_clear(&r->encoded);
    (void)td_buf_add_u8(&r->encoded, '{');
    for (const struct td_item *i = st->items; i != NULL; i = i->next) {
        (void)td_buf_add(&r->encoded, i == st->items ? TD_STR("") : TD_STR(","));
        (void)td_json_add_string(&r->encoded, i->name);
        (void)td_buf_add_u8(&r->encoded, ':');
        td_out_json(&r->encoded, td_eval(env, &i->code));
    }
    (void)td_buf_add_u8(&r->encoded, '}');
}

void td_create_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    if (st->when.there && !td_lang_is_true(td_eval(env, &st->when))) {
        return;
    }
    if (!td_breaker_pass(r, st)) {
        return;
    }
    struct td_send send = {.topic = &st->topic,
                           .payload = inst->payload,
                           .qos = (uint8_t)st->stmt->qos,
                           .retain = st->stmt->retain};
    if (st->items != NULL) {
        select_payload(r, st, env);
        send.payload = td_buf_slice(&r->encoded);
    }
    td_out_send(r, inst, &send);
    st->fired++;
    st->last_fired = r->wall;
    r->stats.fired++;
}
