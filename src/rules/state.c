/* rules: what must survive a crash, as records of one key and one value.
 *
 *   key    u8 tag ('I' instance, 'R' row) | lump name | lumps of the key tuple
 *   value  u8 version | u64 hash of the statement's text | fields by kind
 *
 * A statement whose text has changed begins anew. Times are wall times: the monotonic clock does
 * not survive. What the version does not know is not read. */
#include "rules/set.h"

enum { VERSION = 1 };

/* ---- writing ---- */

static void add_u64(struct td_buf *b, uint64_t v)
{
    uint8_t bytes[8];
    td_put_u64(bytes, v);
    (void)td_buf_add(b, (td_slice){bytes, sizeof bytes}); /* bounded by what a statement keeps */
}

static void add_num(struct td_buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    add_u64(b, bits);
}

static void add_value(struct td_buf *b, struct td_lang_value v)
{
    bool known = v.quality != TD_LANG_UNKNOWN && v.kind != TD_LANG_ANY;
    (void)td_buf_add_u8(b, known ? v.kind : TD_LANG_ANY);
    if (known && v.kind == TD_LANG_BOOL) {
        (void)td_buf_add_u8(b, v.truth);
    } else if (known && v.kind == TD_LANG_NUM) {
        add_num(b, v.num);
    } else if (known && v.kind == TD_LANG_TEXT) {
        (void)td_buf_add_lump(b, v.text);
    }
}

/* 0: never; 1: since ever; else ns since 1970. */
static void add_time(struct td_buf *b, const struct td_rules *r, td_mono at)
{
    td_mono since;
    bool far = __builtin_sub_overflow(at, r->now, &since);
    uint64_t wall = far ? 0 : (uint64_t)r->wall + (uint64_t)since;
    add_u64(b, at == TD_NEVER ? 0 : at == INT64_MIN ? 1 : wall);
}

static void add_head(struct td_buf *key, uint8_t tag, td_slice name, td_slice tuple)
{
    (void)td_buf_add_u8(key, tag);
    (void)td_buf_add_lump(key, name);
    (void)td_buf_add(key, tuple);
}

static void add_cells(struct td_buf *b, const struct td_rules *r, const struct td_inst *inst)
{
    uint16_t count = inst->statement->cell_count;
    (void)td_buf_add_varint(b, count);
    for (uint16_t i = 0; i < count; i++) {
        const struct td_lang_cell *c = &inst->cells[i];
        (void)td_buf_add_u8(b, c->state);
        if (c->state != 0) {
            (void)td_buf_add_u8(b, c->kind);
            add_time(b, r, c->since);
            add_num(b, c->num);
        }
    }
}

static void add_actuator(struct td_buf *b, const struct td_rules *r, const struct td_inst *inst)
{
    for (uint16_t i = 0; i < inst->statement->self->field_count; i++) {
        const struct td_act_field *f = &inst->fields[i];
        uint16_t filled = 0;
        add_value(b, f->now);
        add_time(b, r, f->since);
        for (unsigned s = 1; s <= TD_SLOTS; s++) {
            filled = (uint16_t)(filled | f->slots[s].filled << (s - 1));
        }
        (void)td_buf_add_varint(b, filled);
        for (unsigned s = 1; s <= TD_SLOTS; s++) {
            const struct td_bid *bid = &f->slots[s];
            if (bid->filled) {
                add_value(b, bid->value);
                (void)td_buf_add_u8(b, bid->failsafe);
                add_u64(b, bid->owner);
                add_time(b, r, bid->until);
            }
        }
    }
}

void td_state_of_inst(struct td_rules *r, const struct td_inst *inst, struct td_buf *key,
                      struct td_buf *b)
{
    const struct td_statement *st = inst->statement;
    uint8_t flags = (uint8_t)(inst->last | inst->once << 1 | inst->active << 2 | inst->raised << 3 |
                              inst->until << 4);
    add_head(key, 'I', st->name, inst->key);
    (void)td_buf_add_u8(b, VERSION);
    add_u64(b, st->hash);
    (void)td_buf_add_u8(b, flags);
    (void)td_buf_add_varint(b, inst->fired);
    add_u64(b, (uint64_t)inst->every_at);
    add_u64(b, (uint64_t)inst->since_wall);
    (void)td_buf_add_varint(b, inst->state);
    add_time(b, r, inst->entered);
    (void)td_buf_add_varint(b, st->fired);
    add_u64(b, (uint64_t)st->last_fired);
    for (uint8_t i = 0; i < st->expect_count; i++) {
        add_time(b, r, inst->expects[i].pending ? inst->expects[i].due : TD_NEVER);
    }
    add_cells(b, r, inst);
    if (st->kind == TD_LANG_ACTUATOR) {
        add_actuator(b, r, inst);
    }
}

void td_state_of_row(struct td_rules *r, const struct td_row *row, struct td_buf *key,
                     struct td_buf *b)
{
    const struct td_source *s = row->source;
    add_head(key, 'R', s->name, row->key);
    (void)td_buf_add_u8(b, VERSION);
    add_u64(b, s->stmt->hash);
    add_u64(b, (uint64_t)row->at_wall);
    add_u64(b, (uint64_t)row->event_at);
    (void)r;
    for (uint16_t i = 0; i < s->field_count; i++) {
        add_value(b, row->lang.slots[i].now);
    }
}

/* ---- reading ---- */

static double read_num(struct td_cursor *c)
{
    uint64_t bits = td_cursor_u64(c);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static struct td_lang_value read_value(struct td_cursor *c)
{
    switch (td_cursor_u8(c)) {
    case TD_LANG_BOOL:
        return td_lang_truth(td_cursor_u8(c) != 0);
    case TD_LANG_NUM:
        return td_lang_num(read_num(c));
    case TD_LANG_TEXT:
        return td_lang_text(td_cursor_lump(c));
    default:
        return td_lang_unknown();
    }
}

/* How long ago a wall time was, within a century: what is damaged must not overflow. */
static td_mono age_of(const struct td_rules *r, td_wall at)
{
    const td_mono century = INT64_C(100) * 366 * 86400 * TD_NS_PER_S;
    td_mono age;
    if (__builtin_sub_overflow(r->wall, at, &age) || age > century || age < -century) {
        return century;
    }
    return age;
}

static td_mono moved(td_mono now, td_mono age)
{
    td_mono at;
    return __builtin_sub_overflow(now, age, &at) ? INT64_MIN : at;
}

static td_mono read_time(struct td_cursor *c, const struct td_rules *r)
{
    uint64_t wall = td_cursor_u64(c);
    if (wall <= 1) {
        return wall == 0 ? TD_NEVER : INT64_MIN;
    }
    return moved(r->now, age_of(r, (td_wall)wall));
}

/* A time that has been: the wall clock may have been set back since. */
static td_mono read_past(struct td_cursor *c, const struct td_rules *r)
{
    td_mono at = read_time(c, r);
    return at > r->now ? r->now : at;
}

static void read_cells(struct td_cursor *c, const struct td_rules *r, struct td_inst *inst)
{
    if (td_cursor_varint64(c) != inst->statement->cell_count) {
        td_cursor_fail(c, TD_ECORRUPT);
        return;
    }
    for (uint16_t i = 0; i < inst->statement->cell_count; i++) {
        struct td_lang_cell *cell = &inst->cells[i];
        cell->state = td_cursor_u8(c);
        if (cell->state != 0) {
            cell->kind = td_cursor_u8(c);
            cell->since = read_past(c, r);
            cell->num = read_num(c);
        }
    }
}

static struct td_lang_value word_of(const struct td_field *f, struct td_lang_value v)
{
    if (v.kind != TD_LANG_TEXT) {
        return v;
    }
    for (const struct td_lang_words *w = f->words; w != NULL; w = w->next) {
        if (td_slice_eq(w->word, v.text)) {
            return td_lang_text(w->word);
        }
    }
    return td_lang_unknown();
}

/* A bid whose owner is gone or holds the slot no more is dropped. */
static bool owned(const struct td_statement *st, uint16_t field, uint8_t slot, uint64_t owner)
{
    const struct td_statement *holder =
        st->holders != NULL ? st->holders[(size_t)field * (TD_SLOTS + 1) + slot] : NULL;
    return holder != NULL && td_owner_id(holder) == owner;
}

static void read_actuator(struct td_cursor *c, const struct td_rules *r, struct td_inst *inst)
{
    const struct td_statement *st = inst->statement;
    for (uint16_t i = 0; i < st->self->field_count; i++) {
        const struct td_field *law = &st->self->fields[i];
        struct td_act_field *f = &inst->fields[i];
        f->now = word_of(law, read_value(c));
        f->since = read_past(c, r);
        uint64_t filled = td_cursor_varint64(c);
        for (unsigned s = 1; s <= TD_SLOTS; s++) {
            if ((filled >> (s - 1) & 1) == 0) {
                continue;
            }
            struct td_bid bid = {.value = word_of(law, read_value(c)), .filled = true};
            bid.failsafe = td_cursor_u8(c) != 0;
            bid.owner = td_cursor_u64(c);
            bid.until = read_time(c, r);
            if (c->err == TD_OK && owned(st, i, (uint8_t)s, bid.owner) &&
                bid.value.quality == TD_LANG_KNOWN && bid.value.kind == law->lang.kind) {
                f->slots[s] = bid;
            }
        }
    }
    inst->sent_at = r->now - st->lease; /* what has a lease is said again at once */
}

/* What is read of the instance is let be seen by who reads it. */
static void show(struct td_rules *r, struct td_inst *inst)
{
    const struct td_statement *st = inst->statement;
    struct td_lang_value values[TD_FIELDS_MAX];
    if (st->self == NULL) {
        return;
    }
    for (uint16_t i = 0; i < st->self->field_count; i++) {
        values[i] = st->kind == TD_LANG_ACTUATOR ? inst->fields[i].now
                    : st->kind == TD_LANG_ALARM  ? td_lang_truth(inst->active)
                                                 : td_lang_text(st->states[inst->state].name);
    }
    td_self_set(r, inst, values, true);
}

static enum td_err read_inst(struct td_rules *r, struct td_inst *inst, struct td_cursor *c)
{
    struct td_statement *st = inst->statement;
    uint8_t flags = td_cursor_u8(c);
    uint64_t fired = td_cursor_varint64(c);
    td_wall every_at = (td_wall)td_cursor_u64(c), since = (td_wall)td_cursor_u64(c);
    uint64_t state = td_cursor_varint64(c);
    td_mono entered = read_past(c, r);
    uint64_t all_fired = td_cursor_varint64(c);
    td_wall last_fired = (td_wall)td_cursor_u64(c);
    if (c->err != TD_OK || state >= (st->state_count > 0 ? st->state_count : 1u)) {
        return TD_ECORRUPT;
    }
    inst->last = flags & 1;
    inst->once = (flags & 2) != 0;
    inst->active = (flags & 4) != 0;
    inst->raised = (flags & 8) != 0;
    inst->until = (flags & 16) != 0;
    inst->fired = fired;
    inst->every_at = every_at > r->wall ? r->wall : every_at;
    inst->since_wall = since;
    inst->state = (uint16_t)state;
    inst->entered = entered;
    st->fired = all_fired > st->fired ? all_fired : st->fired;
    st->last_fired = last_fired > st->last_fired ? last_fired : st->last_fired;
    for (uint8_t i = 0; i < st->expect_count; i++) {
        inst->expects[i].due = read_time(c, r);
        inst->expects[i].pending = inst->expects[i].due != TD_NEVER;
    }
    read_cells(c, r, inst);
    if (st->kind == TD_LANG_ACTUATOR) {
        read_actuator(c, r, inst);
    }
    if (c->err == TD_OK) {
        show(r, inst);
    }
    return c->err == TD_OK ? TD_OK : TD_ECORRUPT;
}

static enum td_err read_row(struct td_rules *r, struct td_row *row, struct td_cursor *c)
{
    struct td_source *s = row->source;
    td_wall at = (td_wall)td_cursor_u64(c), event_at = (td_wall)td_cursor_u64(c);
    td_mono age = age_of(r, at);
    for (uint16_t i = 0; i < s->field_count; i++) {
        struct td_lang_value v = read_value(c);
        bool fits = v.kind == s->fields[i].lang.kind || s->fields[i].lang.kind == TD_LANG_ANY;
        if (c->err != TD_OK) {
            return TD_ECORRUPT;
        }
        td_slot_set(row, i, fits ? v : td_lang_unknown());
        row->lang.slots[i].was = td_lang_unknown(); /* a restart makes no edge */
    }
    td_row_arrived(r, row, true);
    row->at_wall = at;
    row->event_at = event_at;
    td_row_age(r, row, moved(r->now, age > 0 ? age : 0));
    return TD_OK;
}

static bool read_tuple(struct td_cursor *c, uint8_t count, td_slice keys[TD_KEYS_MAX])
{
    for (uint8_t i = 0; i < count; i++) {
        keys[i] = td_cursor_lump(c);
    }
    return c->err == TD_OK && td_cursor_left(c) == 0;
}

enum td_err td_rules_restore(struct td_rules *r, td_slice key, td_slice value, td_mono now,
                             td_wall wall)
{
    struct td_cursor k = td_cursor_of(key), c = td_cursor_of(value);
    td_slice keys[TD_KEYS_MAX];
    uint8_t tag = td_cursor_u8(&k), version = td_cursor_u8(&c);
    td_slice name = td_cursor_lump(&k);
    uint64_t hash = td_cursor_u64(&c);
    if (k.err != TD_OK || c.err != TD_OK || version != VERSION || (tag != 'I' && tag != 'R')) {
        return TD_ECORRUPT;
    }
    r->now = now;
    r->wall = wall;
    if (tag == 'R') {
        struct td_source *s = td_source_find(r, name);
        if (s == NULL || s->kind != TD_SOURCE_STREAM || s->stmt->hash != hash) {
            return TD_ENOENT;
        }
        struct td_row *row =
            read_tuple(&k, s->pattern.key_count, keys) ? td_row_get(r, s, keys) : NULL;
        return row != NULL ? read_row(r, row, &c) : TD_ECORRUPT;
    }
    struct td_statement *st = td_map_find(&r->statement_names, name);
    if (st == NULL || st->hash != hash || st->kind == TD_LANG_CREATE) {
        return TD_ENOENT;
    }
    struct td_inst *inst = read_tuple(&k, st->key_count, keys) ? td_inst_get(r, st, keys) : NULL;
    return inst != NULL ? read_inst(r, inst, &c) : TD_ECORRUPT;
}
