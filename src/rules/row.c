/* rules: rows, groups and instances, and the links from what is read to who reads it. An instance
 * finds its rows once, when it is made; from then on a message costs no look-up. */
#include "rules/set.h"

#include <stdlib.h>

void td_key_encode(const td_slice *keys, size_t count, struct td_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)td_buf_add_lump(out, keys[i]); /* topics are bounded, so is this */
    }
}

void td_key_print(const td_slice *keys, size_t count, struct td_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)td_buf_printf(out, i > 0 ? ", %.*s" : "%.*s", TD_LANG_S(keys[i]));
    }
}

/* ---- slots ---- */

static td_slice keep_text(struct td_row *row, size_t slot, td_slice text)
{
    struct td_lang_slot *s = &row->lang.slots[slot];
    if (row->texts == NULL) {
        row->texts = td_alloc((size_t)row->source->field_count * 2 * TD_TEXT_BYTES_MAX);
    }
    uint8_t *pair = row->texts + slot * 2 * TD_TEXT_BYTES_MAX;
    bool first = s->was.kind == TD_LANG_TEXT && s->was.text.p == pair;
    uint8_t *p = first ? pair + TD_TEXT_BYTES_MAX : pair; /* the one `was` does not use */
    size_t n = text.n < TD_TEXT_BYTES_MAX ? text.n : TD_TEXT_BYTES_MAX;
    if (n > 0) {
        memcpy(p, text.p, n);
    }
    return (td_slice){p, n};
}

void td_slot_set(struct td_row *row, size_t slot, struct td_lang_value v)
{
    struct td_lang_slot *s = &row->lang.slots[slot];
    s->was = s->now;
    if (v.kind == TD_LANG_TEXT) {
        v.text = keep_text(row, slot, v.text);
    }
    s->now = v;
}

/* ---- groups ---- */

static void subscribe(struct td_subs *subs, struct td_inst *inst)
{
    if (subs->count > 0 && subs->at[subs->count - 1] == inst) {
        return; /* it reads the same thing twice */
    }
    if (subs->count == subs->cap) {
        subs->cap = subs->cap == 0 ? 2 : subs->cap * 2;
        subs->at = td_realloc(subs->at, subs->cap * sizeof(struct td_inst *));
    }
    subs->at[subs->count++] = inst;
}

/* Bytes behind a struct of `size`, for its key and what follows. */
static void *with_key(size_t size, struct td_buf *encoded, td_slice *key)
{
    uint8_t *p = td_alloc(size + encoded->n + 1);
    if (encoded->n > 0) {
        memcpy(p + size, encoded->p, encoded->n);
    }
    *key = (td_slice){p + size, encoded->n};
    return p;
}

/* Where the key's parts lie in its encoded form. */
static void split_key(td_slice encoded, td_slice *keys, size_t count)
{
    struct td_cursor c = td_cursor_of(encoded);
    for (size_t i = 0; i < count; i++) {
        keys[i] = td_cursor_lump(&c);
    }
}

static struct td_group *group_get(struct td_rules *r, struct td_grouping *g, const td_slice *keys)
{
    td_buf_clear(&r->scratch);
    for (uint8_t i = 0; i < g->count; i++) {
        td_key_encode(&keys[g->at[i]], 1, &r->scratch);
    }
    struct td_group *group = td_map_find(&g->groups, td_buf_slice(&r->scratch));
    if (group == NULL) {
        td_slice key;
        group = with_key(sizeof *group, &r->scratch, &key);
        group->key = key;
        td_map_put(&g->groups, group->key, group);
    }
    return group;
}

static void group_add(struct td_group *group, struct td_row *row)
{
    if (group->lang.count == group->cap) {
        group->cap = group->cap == 0 ? 4 : group->cap * 2;
        group->lang.rows = td_realloc(group->lang.rows, group->cap * sizeof(struct td_lang_row *));
    }
    group->lang.rows[group->lang.count++] = &row->lang;
}

/* ---- rows ---- */

static struct td_row *row_new(struct td_rules *r, struct td_source *s)
{
    td_slice key;
    size_t keys = s->pattern.key_count * sizeof(td_slice);
    size_t slots = s->field_count * sizeof(struct td_lang_slot);
    struct td_row *row = with_key(sizeof *row + keys + slots, &r->scratch, &key);
    row->source = s;
    row->key = key;
    row->keys = (td_slice *)(void *)(row + 1);
    split_key(key, row->keys, s->pattern.key_count);
    row->lang.slots = (struct td_lang_slot *)(void *)((uint8_t *)(row + 1) + keys);
    row->stale.kind = TD_DUE_ROW;
    row->lang.stale_at = TD_NEVER;
    row->lang.at = r->now;
    for (uint16_t i = 0; i < s->field_count; i++) {
        struct td_lang_slot *slot = &row->lang.slots[i];
        slot->now = slot->was = td_lang_unknown();
        if (s->kind != TD_SOURCE_STREAM && s->kind != TD_SOURCE_CONFIRM) {
            slot->now = s->fields[i].fallback;
            row->lang.seen = true;
        }
    }
    td_map_put(&s->rows, row->key, row);
    for (struct td_grouping *g = s->groupings; g != NULL; g = g->next) {
        group_add(group_get(r, g, row->keys), row);
    }
    return row;
}

/* Its statements come to life with the first row that brings their keys. */
static void create_insts(struct td_rules *r, const struct td_row *row)
{
    for (const struct td_creator *c = row->source->creators; c != NULL; c = c->next) {
        td_slice keys[TD_KEYS_MAX];
        bool fits = true;
        for (uint8_t i = 0; i < row->source->pattern.key_count; i++) {
            fits &= c->literal[i].p == NULL || td_slice_eq(c->literal[i], row->keys[i]);
        }
        for (uint8_t i = 0; i < c->statement->key_count; i++) {
            keys[i] = row->keys[c->from[i]];
        }
        if (fits) {
            (void)td_inst_get(r, c->statement, keys); /* NULL: refused and counted */
        }
    }
}

struct td_row *td_row_get(struct td_rules *r, struct td_source *s, const td_slice *keys)
{
    td_buf_clear(&r->scratch);
    td_key_encode(keys, s->pattern.key_count, &r->scratch);
    struct td_row *row = td_map_find(&s->rows, td_buf_slice(&r->scratch));
    if (row == NULL && s->rows.count >= r->keys_max) {
        r->stats.keys_refused++;
    } else if (row == NULL) {
        row = row_new(r, s);
        create_insts(r, row);
    }
    return row;
}

void td_row_free(struct td_row *row)
{
    free(row->subs.at);
    free(row->texts);
    free(row);
}

static void queue_subs(struct td_rules *r, const struct td_subs *subs)
{
    for (uint32_t i = 0; i < subs->count; i++) {
        td_queue(r, subs->at[i], r->hops);
    }
}

void td_row_readers(struct td_rules *r, struct td_row *row)
{
    queue_subs(r, &row->subs);
    for (struct td_grouping *g = row->source->groupings; g != NULL; g = g->next) {
        queue_subs(r, &group_get(r, g, row->keys)->subs);
    }
}

/* A timer that is set too early is moved when it goes off, not with each message. */
void td_row_age(struct td_rules *r, struct td_row *row, td_mono at)
{
    struct td_timer *t = &row->stale.timer;
    row->lang.at = at;
    if (row->source->stale_after > 0) {
        row->lang.stale_at = at + row->source->stale_after;
        if (t->place == 0 || t->at > row->lang.stale_at + 1) {
            td_heap_set(&r->heap, t, row->lang.stale_at + 1);
        }
    }
}

void td_row_arrived(struct td_rules *r, struct td_row *row, bool retained)
{
    row->lang.seen = true;
    row->at_wall = r->wall;
    row->lang.turn = retained ? 0 : r->turn;
    td_row_age(r, row, r->now);
    td_row_readers(r, row);
}

/* ---- instances ---- */

void td_input_keys(const struct td_input *in, const struct td_inst *inst, td_slice out[TD_KEYS_MAX])
{
    for (uint8_t i = 0; i < in->source->pattern.key_count; i++) {
        out[i] = in->from[i] == UINT8_MAX ? in->literal[i] : inst->keys[in->from[i]];
    }
}

/* An actuator also hears what its device reports. */
static void link_confirm(struct td_rules *r, struct td_inst *inst)
{
    const struct td_statement *st = inst->statement;
    if (st->kind == TD_LANG_ACTUATOR && st->confirm != NULL) {
        struct td_row *row = td_row_get(r, st->confirm, inst->keys);
        if (row != NULL) {
            inst->rows[0] = &row->lang;
            subscribe(&row->subs, inst);
        }
    }
}

static bool link_rows(struct td_rules *r, struct td_inst *inst)
{
    const struct td_statement *st = inst->statement;
    td_slice keys[TD_KEYS_MAX];
    for (uint16_t i = 0; i < st->input_count; i++) {
        td_input_keys(&st->inputs[i], inst, keys);
        struct td_row *row = td_row_get(r, st->inputs[i].source, keys);
        if (row == NULL) {
            return false;
        }
        inst->rows[i] = &row->lang;
        subscribe(&row->subs, inst);
    }
    for (uint16_t i = 0; i < st->group_count; i++) {
        td_input_keys(&st->groups[i], inst, keys);
        struct td_group *group = group_get(r, st->groups[i].grouping, keys);
        inst->groups[i] = &group->lang;
        subscribe(&group->subs, inst);
    }
    link_confirm(r, inst);
    return true;
}

static struct td_inst *inst_new(struct td_rules *r, struct td_statement *st)
{
    td_slice key;
    struct td_inst *inst =
        with_key(sizeof *inst + st->key_count * sizeof(td_slice), &r->scratch, &key);
    inst->statement = st;
    inst->key = key;
    inst->keys = (td_slice *)(void *)(inst + 1);
    split_key(key, inst->keys, st->key_count);
    inst->rows = td_alloc((st->input_count + 1u) * sizeof *inst->rows);
    inst->groups = td_alloc((st->group_count + 1u) * sizeof *inst->groups);
    inst->cells = td_alloc((st->cell_count + 1u) * sizeof *inst->cells);
    inst->expects = td_alloc((st->expect_count + 1u) * sizeof *inst->expects);
    for (uint16_t i = 0; i < st->span_count; i++) {
        inst->cells[st->spans[i].cell].window = td_lang_window_new(st->spans[i].span);
    }
    inst->timer.kind = TD_DUE_INST;
    inst->confirm_due = TD_NEVER;
    inst->entered = r->now;
    inst->tokens = st->max_count;
    inst->tokens_at = r->now;
    if (st->kind == TD_LANG_ACTUATOR) {
        uint16_t n = st->self->field_count;
        inst->fields = td_alloc(n * sizeof *inst->fields);
        for (uint16_t i = 0; i < n; i++) {
            inst->fields[i].now = td_lang_unknown();
            inst->fields[i].tokens = st->self->fields[i].max_count;
            inst->fields[i].tokens_at = r->now;
        }
    }
    return inst;
}

struct td_inst *td_inst_get(struct td_rules *r, struct td_statement *st, const td_slice *keys)
{
    td_buf_clear(&r->scratch);
    td_key_encode(keys, st->key_count, &r->scratch);
    struct td_inst *inst = td_map_find(&st->insts, td_buf_slice(&r->scratch));
    if (inst != NULL) {
        return inst;
    }
    if (st->insts.count >= r->keys_max) {
        r->stats.keys_refused++;
        st->refused++;
        return NULL;
    }
    inst = inst_new(r, st);
    td_map_put(&st->insts, inst->key, inst);
    if (!link_rows(r, inst)) {
        /* A row it reads is over the bound. It stays, blind: it is never queued. */
        for (uint16_t i = 0; i < st->input_count; i++) {
            inst->rows[i] = NULL;
        }
        inst->blind = true;
        return NULL;
    }
    td_queue(r, inst, r->hops);
    return inst;
}

struct td_inst *td_select_get(struct td_rules *r, struct td_statement *st, struct td_row **row)
{
    struct td_source *s = st->confirm;
    td_buf_clear(&r->scratch);
    struct td_inst *inst = td_map_find(&st->insts, td_buf_slice(&r->scratch));
    if (inst == NULL) {
        uint8_t keys = st->key_count;
        st->key_count = s->pattern.key_count = 0; /* one row, one instance, whatever the topic */
        *row = row_new(r, s);
        td_buf_clear(&r->scratch);
        inst = inst_new(r, st);
        td_map_put(&st->insts, inst->key, inst);
        st->key_count = s->pattern.key_count = keys;
        for (uint16_t i = 0; i < st->input_count; i++) {
            inst->rows[i] = &(*row)->lang;
        }
    }
    *row = s->rows.entries[0].value;
    return inst;
}

void td_inst_free(struct td_inst *inst)
{
    for (uint16_t i = 0; i < inst->statement->span_count; i++) {
        free(inst->cells[inst->statement->spans[i].cell].window);
    }
    free(inst->rows);
    free(inst->groups);
    free(inst->cells);
    free(inst->expects);
    free(inst->fields);
    free(inst);
}
