/* rules: what statements do: HOLD, SEND, EXPECT. */
#include "rules/set.h"

uint64_t td_owner_id(const struct td_statement *s)
{
    return td_hash(s->name, (uint64_t)s->kind + 1);
}

td_mono td_after(td_mono from, struct td_lang_value v)
{
    td_mono at;
    if (v.kind != TD_LANG_NUM || v.quality != TD_LANG_KNOWN || v.num > 9e9) {
        return TD_NEVER;
    }
    double ns = v.num > 0 ? v.num * (double)TD_NS_PER_S : 0;
    return __builtin_add_overflow(from, (td_mono)ns, &at) ? TD_NEVER : at;
}

/* ---- HOLD ---- */

static bool same_bid(const struct td_bid *a, const struct td_bid *b)
{
    return a->filled == b->filled && a->failsafe == b->failsafe && a->until == b->until &&
           (!a->filled || td_lang_value_eq(a->value, b->value));
}

/* False: it stands there already. */
static bool bid_set(struct td_rules *r, struct td_inst *actuator, uint16_t field, uint8_t slot,
                    const struct td_bid *bid)
{
    struct td_bid *at = &actuator->fields[field].slots[slot];
    if (same_bid(at, bid)) {
        return false;
    }
    *at = *bid;
    actuator->hops = r->hops;
    td_settle(r, actuator);
    td_dirty(r, actuator);
    return true;
}

/* A held rule has changed its mind: that is what it does, so it is told. */
static void tell_hold(struct td_rules *r, struct td_inst *inst, const struct td_act *act,
                      const struct td_field *f, const struct td_bid *bid)
{
    struct td_statement *st = inst->statement;
    if (st->kind != TD_LANG_RULE && st->kind != TD_LANG_INTERLOCK) {
        return; /* alarms and machines tell of themselves */
    }
    td_buf_clear(&r->encoded);
    (void)td_buf_printf(&r->encoded, bid->filled ? "HOLD %.*s.%.*s = " : "HOLD no %.*s.%.*s",
                        TD_LANG_S(act->target->name), TD_LANG_S(f->name));
    if (bid->filled) {
        (void)td_lang_value_print(&r->encoded, bid->value);
        (void)td_buf_printf(&r->encoded, bid->failsafe ? " (fail-safe)" : "");
    }
    td_out_fired(r, inst, td_buf_slice(&r->encoded));
}

/* An ENUM's word as the actuator keeps it, so that the bid outlives the message it came from. */
static struct td_lang_value keep(const struct td_field *f, struct td_lang_value v)
{
    if (v.kind != TD_LANG_TEXT) {
        return v;
    }
    for (const struct td_lang_words *w = f->words; w != NULL; w = w->next) {
        if (td_slice_eq(w->word, v.text)) {
            v.text = w->word;
            return v;
        }
    }
    return td_lang_unknown();
}

static struct td_bid bid_of(const struct td_act *act, const struct td_field *f,
                            const struct td_inst *inst, struct td_lang_value v)
{
    struct td_bid bid = {
        .value = v, .filled = true, .until = TD_NEVER, .owner = td_owner_id(inst->statement)};
    (void)act;
    if (v.quality == TD_LANG_KNOWN && v.kind != TD_LANG_ANY) {
        return bid;
    }
    bid.value = f->failsafe;
    bid.failsafe = bid.filled = f->failsafe.quality == TD_LANG_KNOWN;
    return bid;
}

static struct td_inst *target_of(struct td_rules *r, const struct td_act *act,
                                 const struct td_inst *inst)
{
    td_slice keys[TD_KEYS_MAX];
    td_input_keys(&act->at, inst, keys);
    return td_inst_get(r, act->target, keys);
}

void td_hold_level(struct td_rules *r, struct td_inst *inst, const struct td_act *acts,
                   struct td_lang_value on, struct td_lang_env *env)
{
    for (const struct td_act *act = acts; act != NULL; act = act->next) {
        struct td_inst *target = act->kind == TD_LANG_ACT_HOLD ? target_of(r, act, inst) : NULL;
        for (const struct td_assign *a = act->assigns; target != NULL && a != NULL; a = a->next) {
            const struct td_field *f = &act->target->self->fields[a->field];
            struct td_lang_value v = keep(f, td_eval(env, &a->code)); /* always: it may remember */
            struct td_bid bid = {.until = TD_NEVER};
            if (!td_lang_is_false(on)) {
                bid = bid_of(act, f, inst, td_lang_is_true(on) ? v : td_lang_unknown());
            }
            if (bid_set(r, target, a->field, act->slot, &bid)) {
                tell_hold(r, inst, act, f, &bid);
            }
        }
    }
}

static void hold_once(struct td_rules *r, struct td_inst *inst, const struct td_act *act,
                      struct td_lang_env *env)
{
    struct td_inst *target = target_of(r, act, inst);
    td_mono until = td_after(r->now, td_eval(env, &act->term));
    for (const struct td_assign *a = act->assigns; target != NULL && a != NULL; a = a->next) {
        const struct td_field *f = &act->target->self->fields[a->field];
        struct td_bid bid = bid_of(act, f, inst, keep(f, td_eval(env, &a->code)));
        bid.until = until;
        bid.filled &= until > r->now && until != TD_NEVER; /* a term that is not known: no bid */
        (void)bid_set(r, target, a->field, act->slot, &bid);
    }
}

static void hold_end(struct td_rules *r, struct td_inst *inst)
{
    for (const struct td_act *act = inst->statement->acts; act != NULL; act = act->next) {
        struct td_inst *target = act->kind == TD_LANG_ACT_HOLD ? target_of(r, act, inst) : NULL;
        for (const struct td_assign *a = act->assigns; target != NULL && a != NULL; a = a->next) {
            const struct td_bid none = {.until = TD_NEVER};
            (void)bid_set(r, target, a->field, act->slot, &none);
        }
    }
}

/* ---- SEND ---- */

/* The same for the same firing: what a crash makes happen twice has one id. */
static uint64_t firing_id(const struct td_inst *inst)
{
    uint8_t bytes[16];
    uint64_t id = td_hash(inst->key, inst->statement->hash);
    td_put_u64(td_put_u64(bytes, id), inst->fired);
    return td_hash((td_slice){bytes, sizeof bytes}, td_owner_id(inst->statement)) | 1;
}

static void scalar(struct td_buf *out, struct td_lang_value v)
{
    if (v.kind == TD_LANG_TEXT && v.quality != TD_LANG_UNKNOWN) {
        (void)td_buf_add(out, v.text);
    } else {
        td_out_json(out, v);
    }
}

static void send_once(struct td_rules *r, struct td_inst *inst, const struct td_act *act,
                      struct td_lang_env *env)
{
    struct td_send send = {.topic = &act->topic, .retain = act->retain};
    send.qos = act->qos > 0 || !act->durable ? act->qos : 1;
    send.id = act->idempotent ? firing_id(inst) : 0;
    td_buf_clear(&r->encoded);
    if (act->is_object) {
        td_out_object(&r->encoded, act->object, env, send.id);
    } else {
        scalar(&r->encoded, td_eval(env, &act->value));
    }
    send.payload = td_buf_slice(&r->encoded);
    td_out_send(r, inst, &send);
}

/* ---- EXPECT ---- */

static void expect_once(struct td_rules *r, struct td_inst *inst, const struct td_act *act,
                        struct td_lang_env *env)
{
    struct td_expect *x = &inst->expects[act->expect];
    x->due = td_after(r->now, td_eval(env, &act->within));
    x->pending = x->due != TD_NEVER;
    env->deadline = td_mono_min(env->deadline, x->due);
}

/* Met in time: silence. Not met: the alarm. Met late: the alarm clears. */
void td_expects_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    for (const struct td_act *act = inst->statement->acts; act != NULL; act = act->next) {
        if (act->kind != TD_LANG_ACT_EXPECT) {
            continue;
        }
        struct td_expect *x = &inst->expects[act->expect];
        bool met = td_lang_is_true(td_eval(env, &act->value));
        if (met) {
            td_alarm_raise(r, act->target, inst->keys, false);
        }
        if (!x->pending) {
            continue;
        }
        if (met || r->now >= x->due) {
            x->pending = false;
            env->changed = true;
            if (!met) {
                td_alarm_raise(r, act->target, inst->keys, true);
                if (act->abort) {
                    hold_end(r, inst);
                }
            }
        } else {
            env->deadline = td_mono_min(env->deadline, x->due);
        }
    }
}

void td_acts_fire(struct td_rules *r, struct td_inst *inst, const struct td_act *acts,
                  struct td_lang_env *env)
{
    inst->fired++;
    env->changed = true;
    for (const struct td_act *act = acts; act != NULL; act = act->next) {
        switch (act->kind) {
        case TD_LANG_ACT_HOLD:
            hold_once(r, inst, act, env);
            break;
        case TD_LANG_ACT_SEND:
            send_once(r, inst, act, env);
            break;
        case TD_LANG_ACT_EXPECT:
            expect_once(r, inst, act, env);
            break;
        }
    }
}
