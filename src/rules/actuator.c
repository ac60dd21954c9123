/* rules: ACTUATOR. Of 16 slots the strongest filled one wins, else DEFAULT. Then the contract:
 * RANGE, minimum times (against slots 7 to 16), MAX (waits for its turn). The same value makes no
 * message, but a LEASE repeats it at half its time, so that a device may fall back on its own when
 * the hub is gone. */
#include "rules/set.h"

enum { SLOT_MIN = 6 }; /* where minimum times stand among the slots */

struct wish {
    struct td_lang_value value;
    uint8_t slot; /* 0: DEFAULT */
    bool free;    /* not bound by minimum times and rates */
};

static struct wish winner(struct td_rules *r, struct td_act_field *f, const struct td_field *law,
                          td_mono *next)
{
    struct wish w = {.value = law->fallback};
    for (uint8_t s = TD_SLOTS; s > 0; s--) {
        struct td_bid *bid = &f->slots[s];
        if (bid->filled && bid->until <= r->now) {
            *bid = (struct td_bid){.until = TD_NEVER};
        }
        if (bid->filled) {
            w = (struct wish){bid->value, s, s < SLOT_MIN || bid->failsafe};
            *next = td_mono_min(*next, bid->until);
        }
    }
    if (law->has_range && w.value.kind == TD_LANG_NUM && w.value.quality != TD_LANG_UNKNOWN) {
        w.value.num = w.value.num < law->least ? law->least : w.value.num;
        w.value.num = w.value.num > law->most ? law->most : w.value.num;
    }
    return w;
}

/* When the present value may be left. */
static td_mono bound_until(const struct td_act_field *f, const struct td_field *law)
{
    bool on = td_lang_is_true(f->now), off = td_lang_is_false(f->now);
    td_mono least = law->min_hold;
    least = on && law->min_on > least ? law->min_on : least;
    least = off && law->min_off > least ? law->min_off : least;
    return f->since == INT64_MIN || least == 0 ? INT64_MIN : f->since + least;
}

static bool change(struct td_rules *r, struct td_act_field *f, const struct td_field *law,
                   const struct wish *w, td_mono *next)
{
    bool first = f->now.quality == TD_LANG_UNKNOWN;
    if (w->value.quality == TD_LANG_UNKNOWN || w->value.kind == TD_LANG_ANY ||
        (!first && td_lang_value_eq(w->value, f->now))) {
        f->winner = w->slot;
        return false;
    }
    td_mono bound = bound_until(f, law);
    if (!first && !w->free && r->now < bound) {
        *next = td_mono_min(*next, bound);
        return false;
    }
    if (!first && !w->free && law->max_per > 0 &&
        !td_tokens_take(&f->tokens, &f->tokens_at, r->now, law->max_count, law->max_per, next)) {
        return false;
    }
    f->now = w->value;
    f->now.quality = TD_LANG_KNOWN;
    f->winner = w->slot;
    f->since = first && (w->slot == 0 || w->free) ? INT64_MIN : r->now;
    return true;
}

static void command(struct td_rules *r, struct td_inst *inst)
{
    const struct td_statement *st = inst->statement;
    struct td_send send = {.topic = &st->topic,
                           .retain = st->stmt->retain,
                           .qos = (uint8_t)st->stmt->qos,
                           .expiry_ms = st->lease / TD_NS_PER_MS};
    td_buf_clear(&r->encoded);
    for (uint16_t i = 0; i < st->self->field_count; i++) {
        (void)td_buf_printf(&r->encoded, "%s\"%.*s\":", i == 0 ? "{" : ",",
                            TD_LANG_S(st->self->fields[i].name));
        td_out_json(&r->encoded, inst->fields[i].now);
    }
    (void)td_buf_add_u8(&r->encoded, '}');
    send.payload = td_buf_slice(&r->encoded);
    td_out_send(r, inst, &send);
    inst->sent_at = r->now;
    if (st->confirm != NULL && inst->confirm_due == TD_NEVER) {
        inst->confirm_due = r->now + st->confirm_within;
    }
}

static void tell(struct td_rules *r, struct td_inst *inst)
{
    struct td_lang_value values[TD_FIELDS_MAX];
    for (uint16_t i = 0; i < inst->statement->self->field_count; i++) {
        values[i] = inst->fields[i].now;
    }
    td_buf_clear(&r->scratch);
    (void)td_buf_add(&r->scratch, td_buf_slice(&r->encoded));
    td_out_fired(r, inst, td_buf_slice(&r->scratch));
    td_self_set(r, inst, values, false);
}

static bool confirmed(const struct td_inst *inst)
{
    const struct td_statement *st = inst->statement;
    const struct td_lang_row *report = inst->rows[0];
    for (uint16_t i = 0; i < st->self->field_count; i++) {
        struct td_lang_value v = report->slots[i].now;
        if (v.quality != TD_LANG_KNOWN || !td_lang_value_eq(v, inst->fields[i].now)) {
            return false;
        }
    }
    return true;
}

static void check_report(struct td_rules *r, struct td_inst *inst, td_mono *next)
{
    const struct td_statement *st = inst->statement;
    if (st->confirm == NULL || inst->rows[0] == NULL) {
        return;
    }
    if (inst->rows[0]->turn == r->turn && confirmed(inst)) {
        inst->confirm_due = TD_NEVER;
        td_alarm_raise(r, st->confirm_alarm, inst->keys, false);
    } else if (r->now >= inst->confirm_due) {
        inst->confirm_due = TD_NEVER;
        td_alarm_raise(r, st->confirm_alarm, inst->keys, true);
    }
    *next = td_mono_min(*next, inst->confirm_due);
}

/* Gives the deadline. */
static td_mono settle(struct td_rules *r, struct td_inst *inst)
{
    const struct td_statement *st = inst->statement;
    td_mono next = TD_NEVER;
    bool changed = false, any = false;
    check_report(r, inst, &next);
    for (uint16_t i = 0; i < st->self->field_count; i++) {
        struct td_act_field *f = &inst->fields[i];
        struct wish w = winner(r, f, &st->self->fields[i], &next);
        changed |= change(r, f, &st->self->fields[i], &w, &next);
        any |= f->now.quality == TD_LANG_KNOWN;
    }
    bool repeat = st->lease > 0 && any && r->now >= inst->sent_at + st->lease / 2;
    if (changed || repeat) {
        command(r, inst);
        next = td_mono_min(next, inst->confirm_due);
    }
    if (changed) {
        td_dirty(r, inst);
        tell(r, inst);
    }
    return st->lease > 0 && any ? td_mono_min(next, inst->sent_at + st->lease / 2) : next;
}

void td_actuator_eval(struct td_rules *r, struct td_inst *inst, struct td_lang_env *env)
{
    (void)env; /* when it has settled, its deadline is set anew */
    td_settle(r, inst);
}

void td_actuator_settle(struct td_rules *r, struct td_inst *inst)
{
    td_heap_set(&r->heap, &inst->timer.timer, settle(r, inst));
}
