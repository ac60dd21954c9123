/* rules: ALARM. Active while its own condition holds (from WHEN to CLEAR WHEN) or an EXPECT or
 * CONFIRM has raised it. Each change is published, retained, at tandem/alarm/<name>/<keys>. */
#include "rules/set.h"

#include "base/json.h"
#include "base/time.h"

static void publish(struct td_rules *r, struct td_inst *inst)
{
    struct td_statement *st = inst->statement;
    struct td_level levels[3 + TD_KEYS_MAX] = {{.text = TD_STR("tandem"), .key = -1},
                                               {.text = TD_STR("alarm"), .key = -1},
                                               {.text = st->name, .key = -1}};
    struct td_pattern topic = {.levels = levels, .count = (uint16_t)(3 + st->key_count)};
    char since[TD_TIME_TEXT_BYTES];
    for (uint8_t i = 0; i < st->key_count; i++) {
        levels[3 + i] = (struct td_level){.wild = '+', .key = (int8_t)i};
    }
    td_time_text(inst->since_wall, since);
    td_buf_clear(&r->encoded);
    struct td_buf *b = &r->encoded;
    (void)td_buf_printf(b, "{\"active\":%s,\"severity\":%u,\"since\":\"%.24s\"",
                        inst->active ? "true" : "false", st->severity, since);
    for (uint8_t i = 0; i < st->key_count; i++) {
        (void)td_buf_add_u8(b, ',');
        (void)td_json_add_string(b, st->keys[i]);
        (void)td_buf_add_u8(b, ':');
        (void)td_json_add_string(b, inst->keys[i]);
    }
    if (st->stmt != NULL && st->stmt->text.n > 0) {
        (void)td_buf_add(b, TD_STR(",\"text\":"));
        (void)td_json_add_string(b, st->stmt->text);
    }
    (void)td_buf_add_u8(b, '}');
    struct td_send send = {.topic = &topic, .payload = td_buf_slice(b), .qos = 1, .retain = true};
    td_out_send(r, inst, &send);
}

static void change(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    struct td_lang_value value = td_lang_truth(inst->active);
    inst->since_wall = r->wall;
    env->changed = true;
    publish(r, inst);
    td_acts_fire(r, inst, inst->active ? st->on_raise : st->on_clear, env);
    td_out_fired(r, inst, inst->active ? TD_STR("active") : TD_STR("cleared"));
    td_self_set(r, inst, &value, false);
}

/* `last` is the alarm's own condition, from WHEN to CLEAR WHEN. */
static void own_condition(struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    struct td_lang_value when = td_eval(env, &st->when), clear = td_lang_unknown();
    struct td_lang_value unless = td_lang_truth(false);
    if (st->unless.there) {
        unless = td_eval(env, &st->unless);
    }
    if (st->clear.there) {
        clear = td_eval(env, &st->clear);
    }
    uint8_t last = inst->last;
    if (inst->last == 0) {
        last = td_lang_is_true(when) && td_lang_is_false(unless) ? 1 : 0;
    } else if (st->clear.there ? td_lang_is_true(clear) : td_lang_is_false(when)) {
        last = 0;
    }
    env->changed |= last != inst->last;
    inst->last = last;
}

void td_alarm_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    struct td_statement *st = inst->statement;
    if (st->when.there) {
        own_condition(inst, env);
    }
    bool active = inst->last == 1 || inst->raised;
    if (active != inst->active) {
        inst->active = active;
        change(r, inst, env);
    }
    td_hold_level(r, inst, st->while_active, td_lang_truth(inst->active), env);
}

void td_alarm_raise(struct td_rules *r, struct td_statement *alarm, const td_slice *keys,
                    bool raised)
{
    struct td_inst *inst;
    if (!raised && alarm->insts.count == 0) {
        return; /* it was never raised */
    }
    inst = td_inst_get(r, alarm, keys);
    if (inst != NULL && inst->raised != raised) {
        inst->raised = raised;
        td_dirty(r, inst);
        td_queue(r, inst, (uint8_t)(r->hops + 1));
    }
}
