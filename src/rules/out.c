/* rules: outputs. What is sent and told waits in two buffers until next has given it away; STATE
 * outputs are made while they are pulled, so a key that changes ten times in a turn leaves once. */
#include "rules/set.h"

#include "base/json.h"

void td_out_json(struct td_buf *out, struct td_lang_value v)
{
    if (v.quality == TD_LANG_UNKNOWN || v.kind == TD_LANG_ANY) {
        (void)td_buf_add(out, TD_STR("null")); /* full buffers are noticed by who sends */
    } else if (v.kind == TD_LANG_BOOL) {
        (void)td_buf_add(out, v.truth ? TD_STR("true") : TD_STR("false"));
    } else if (v.kind == TD_LANG_NUM) {
        (void)td_json_add_number(out, v.num);
    } else {
        (void)td_json_add_string(out, v.text);
    }
}

void td_out_object(struct td_buf *out, const struct td_obj *o, struct td_lang_env *env, uint64_t id)
{
    bool first = true;
    (void)td_buf_add_u8(out, '{');
    for (; o != NULL; o = o->next) {
        (void)td_buf_add(out, first ? TD_STR("") : TD_STR(","));
        first = false;
        (void)td_json_add_string(out, o->key);
        (void)td_buf_add_u8(out, ':');
        if (o->nested) {
            td_out_object(out, o->members, env, 0);
        } else {
            td_out_json(out, td_eval(env, &o->code));
        }
    }
    if (id != 0) {
        (void)td_buf_printf(out, "%s\"id\":\"%016llx\"", first ? "" : ",", (unsigned long long)id);
    }
    (void)td_buf_add_u8(out, '}');
}

/* Appends to out_bytes and gives the offset; false: full. */
static bool put(struct td_rules *r, td_slice s, size_t *at, size_t *n)
{
    *at = r->out_bytes.n;
    *n = s.n;
    return td_buf_add(&r->out_bytes, s) == TD_OK;
}

static void put_out(struct td_rules *r, const struct td_out *out, bool fits)
{
    td_slice bytes = {(const uint8_t *)out, sizeof *out};
    if (!fits || td_buf_add(&r->outs, bytes) != TD_OK) {
        r->stats.outputs_dropped++;
    }
}

static bool put_key(struct td_rules *r, const struct td_inst *inst, struct td_out *out)
{
    td_buf_clear(&r->key_text);
    if (inst->keys != NULL) {
        td_key_print(inst->keys, inst->statement->key_count, &r->key_text);
    }
    return put(r, td_buf_slice(&r->key_text), &out->key, &out->key_n);
}

static void last_action(struct td_statement *st, td_slice text)
{
    text = td_slice_head(text, TD_LAST_ACTION_MAX);
    st->last_action_bytes = text.n;
    if (text.n > 0) {
        memcpy(st->last_action, text.p, text.n);
    }
}

void td_out_send(struct td_rules *r, struct td_inst *inst, const struct td_send *send)
{
    struct td_out out = {.kind = TD_RULES_SEND,
                         .statement = inst->statement->index,
                         .id = send->id,
                         .expiry_ms = send->expiry_ms,
                         .qos = send->qos,
                         .retain = send->retain,
                         .hops = (uint8_t)(r->hops + 1)};
    td_buf_clear(&r->key_text);
    td_pattern_fill(send->topic, inst->keys, &r->key_text);
    bool fits = put(r, td_buf_slice(&r->key_text), &out.topic, &out.topic_n) &&
                put(r, send->payload, &out.payload, &out.payload_n) && put_key(r, inst, &out);
    put_out(r, &out, fits);
    td_buf_clear(&r->key_text);
    (void)td_buf_add(&r->key_text, TD_STR("SEND "));
    td_pattern_fill(send->topic, inst->keys, &r->key_text);
    (void)td_buf_add_u8(&r->key_text, ' ');
    (void)td_buf_add(&r->key_text, send->payload);
    last_action(inst->statement, td_buf_slice(&r->key_text));
}

void td_out_fired(struct td_rules *r, struct td_inst *inst, td_slice text)
{
    struct td_out out = {.kind = TD_RULES_FIRED, .statement = inst->statement->index};
    bool fits = put(r, text, &out.payload, &out.payload_n) && put_key(r, inst, &out);
    put_out(r, &out, fits);
    if (inst->statement->kind == TD_LANG_RULE || inst->statement->kind == TD_LANG_INTERLOCK ||
        inst->statement->kind == TD_LANG_MACHINE) {
        last_action(inst->statement, text); /* of the others the message is more telling */
    }
    inst->statement->fired++;
    inst->statement->last_fired = r->wall;
    r->stats.fired++;
}

/* ---- pulling ---- */

static bool next_inst(struct td_rules *r, struct td_rules_out *out)
{
    struct td_inst *inst = r->dirty;
    if (inst == NULL) {
        return false;
    }
    r->dirty = inst->dirty_next;
    inst->dirty = false;
    td_buf_clear(&r->key_text);
    td_buf_clear(&r->encoded);
    td_state_of_inst(r, inst, &r->key_text, &r->encoded);
    *out = (struct td_rules_out){.kind = TD_RULES_STATE, .rule = inst->statement->name};
    return true;
}

static bool next_row(struct td_rules *r, struct td_rules_out *out)
{
    struct td_row *row = r->urgent ? r->dirty_rows : NULL;
    if (row == NULL) {
        return false;
    }
    r->dirty_rows = row->dirty_next;
    row->dirty = false;
    td_buf_clear(&r->key_text);
    td_buf_clear(&r->encoded);
    td_state_of_row(r, row, &r->key_text, &r->encoded);
    *out = (struct td_rules_out){.kind = TD_RULES_STATE, .rule = row->source->name};
    return true;
}

static td_slice part(const struct td_rules *r, size_t at, size_t n)
{
    return (td_slice){r->out_bytes.p + at, n};
}

bool td_rules_next(struct td_rules *r, struct td_rules_out *out)
{
    if (next_inst(r, out) || next_row(r, out)) {
        out->key = td_buf_slice(&r->key_text);
        out->payload = td_buf_slice(&r->encoded);
        return true;
    }
    if (r->urgent) {
        r->urgent = false;
        td_heap_set(&r->heap, &r->rows_due.timer, TD_NEVER);
    }
    if ((r->out_at + 1) * sizeof(struct td_out) > r->outs.n) {
        return false;
    }
    struct td_out o;
    memcpy(&o, r->outs.p + r->out_at++ * sizeof o, sizeof o);
    *out = (struct td_rules_out){.kind = o.kind,
                                 .rule = r->by_index[o.statement]->name,
                                 .key = part(r, o.key, o.key_n),
                                 .topic = part(r, o.topic, o.topic_n),
                                 .payload = part(r, o.payload, o.payload_n),
                                 .id = o.id,
                                 .expiry_ms = o.expiry_ms,
                                 .qos = o.qos,
                                 .hops = o.hops,
                                 .retain = o.retain};
    return true;
}
