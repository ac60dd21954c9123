/* rules: for people. */
#include "rules/set.h"

size_t td_rules_count(const struct td_rules *r)
{
    return r->statement_count;
}

const struct td_rules_stats *td_rules_stats(const struct td_rules *r)
{
    return &r->stats;
}

enum { KEYS_SHOWN = 20 };

static void actuator_text(const struct td_rules *r, const struct td_inst *inst, struct td_buf *out)
{
    const struct td_source *s = inst->statement->self;
    (void)r;
    for (uint16_t i = 0; i < s->field_count; i++) {
        const struct td_act_field *f = &inst->fields[i];
        (void)td_buf_printf(out, "%s%.*s=", i > 0 ? " " : "", TD_LANG_S(s->fields[i].name));
        (void)td_lang_value_print(out, f->now);
        const struct td_statement *holder =
            f->winner > 0 && inst->statement->holders != NULL
                ? inst->statement->holders[(size_t)i * (TD_SLOTS + 1) + f->winner]
                : NULL;
        if (holder == NULL) {
            (void)td_buf_printf(out, " (default)");
        } else {
            (void)td_buf_printf(out, " (%.*s, slot %u%s)", TD_LANG_S(holder->name), f->winner,
                                f->slots[f->winner].failsafe ? ", fail-safe" : "");
        }
    }
}

static void inst_text(const struct td_rules *r, const struct td_inst *inst, struct td_buf *out)
{
    const struct td_statement *st = inst->statement;
    switch (st->kind) {
    case TD_LANG_ACTUATOR:
        actuator_text(r, inst, out);
        return;
    case TD_LANG_ALARM:
        (void)td_buf_printf(out, inst->active ? "active" : "normal");
        return;
    case TD_LANG_MACHINE:
        (void)td_buf_printf(out, "%.*s", TD_LANG_S(st->states[inst->state].name));
        return;
    case TD_LANG_RULE:
    case TD_LANG_INTERLOCK:
        (void)td_buf_printf(out, inst->once                          ? "fired, waits for UNTIL"
                                 : st->when.there && inst->last != 0 ? "condition is TRUE"
                                 : inst->last != 0                   ? "holds"
                                                                     : "idle");
        return;
    case TD_LANG_CREATE:
    case TD_LANG_STREAM:
    case TD_LANG_PARAM:
    case TD_LANG_TEST:
        break;
    }
}

void td_state_text(struct td_rules *r, const struct td_statement *st, struct td_buf *out)
{
    size_t shown = st->insts.count < KEYS_SHOWN ? st->insts.count : KEYS_SHOWN;
    if (st->kind == TD_LANG_CREATE) {
        return;
    }
    for (size_t i = 0; i < shown; i++) {
        const struct td_inst *inst = st->insts.entries[i].value;
        (void)td_buf_printf(out, i > 0 ? "; " : "");
        td_key_print(inst->keys, st->key_count, out);
        (void)td_buf_printf(out, st->key_count > 0 ? ": " : "");
        inst_text(r, inst, out);
    }
    if (shown < st->insts.count) {
        (void)td_buf_printf(out, "; and %zu more", st->insts.count - shown);
    }
}

void td_rules_info(struct td_rules *r, size_t i, struct td_rules_info *out)
{
    const struct td_statement *st = r->by_index[i];
    *out = (struct td_rules_info){.name = st->name,
                                  .kind = td_slice_of(td_lang_stmt_name(st->kind)),
                                  .keys = (uint32_t)st->insts.count,
                                  .fired = st->fired,
                                  .refused = st->refused,
                                  .last_fired = st->last_fired,
                                  .last_action = {st->last_action, st->last_action_bytes}};
    if (st->stmt != NULL) {
        const struct td_lang_source *file = &r->files[st->stmt->place.file];
        uint32_t column;
        out->file = file->name;
        out->text = td_slice_head(td_slice_skip(file->text, st->stmt->place.at), st->stmt->place.n);
        td_lang_line_of(file->text, st->stmt->place.at, &out->line, &column);
    }
    td_buf_clear(&r->scratch);
    td_state_text(r, st, &r->scratch);
    out->state = td_buf_slice(&r->scratch);
}
