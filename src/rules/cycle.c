/* rules: who sets off whom. A rule that hears its own answer, alone or by way of others, is told
 * when the file is loaded; what it does at run time is bounded by hops. */
#include "rules/set.h"

#include <stdlib.h>

enum { CYCLE_STATEMENTS_MAX = 300 };

/* Can one topic be written by `a` and heard by `b`? */
static bool meet(const struct td_pattern *a, const struct td_pattern *b)
{
    for (uint16_t i = 0;; i++) {
        bool a_rest = i < a->count && a->levels[i].wild == '#';
        bool b_rest = i < b->count && b->levels[i].wild == '#';
        if (a_rest || b_rest) {
            return true;
        }
        if (i >= a->count || i >= b->count) {
            return i >= a->count && i >= b->count;
        }
        bool wild = a->levels[i].wild != 0 || b->levels[i].wild != 0;
        if (!wild && !td_slice_eq(a->levels[i].text, b->levels[i].text)) {
            return false;
        }
    }
}

static bool hears(const struct td_statement *st, const struct td_pattern *topic)
{
    if (st->kind == TD_LANG_CREATE) {
        return meet(topic, &st->confirm->pattern);
    }
    for (uint16_t i = 0; i < st->input_count + st->group_count; i++) {
        const struct td_input *in =
            i < st->input_count ? &st->inputs[i] : &st->groups[i - st->input_count];
        if (in->source->kind == TD_SOURCE_STREAM && meet(topic, &in->source->pattern)) {
            return true;
        }
    }
    return false;
}

static bool sends_to(const struct td_act *acts, const struct td_statement *to)
{
    for (; acts != NULL; acts = acts->next) {
        if (acts->kind == TD_LANG_ACT_SEND && hears(to, &acts->topic)) {
            return true;
        }
    }
    return false;
}

static bool sets_off(const struct td_statement *from, const struct td_statement *to)
{
    if (from->kind == TD_LANG_CREATE) {
        return hears(to, &from->topic);
    }
    return sends_to(from->acts, to) || sends_to(from->on_raise, to) || sends_to(from->on_clear, to);
}

/* Follows each way once; 1: on the way we came, 2: done. */
static bool leads_back(struct td_rules *r, uint32_t at, uint32_t goal, uint8_t *seen)
{
    seen[at] = 1;
    for (uint32_t i = 0; i < r->statement_count; i++) {
        if (sets_off(r->by_index[at], r->by_index[i]) &&
            (i == goal || (seen[i] == 0 && leads_back(r, i, goal, seen)))) {
            return true;
        }
    }
    return false;
}

void td_cycles_warn(struct td_rules *r, struct td_lang_diag *diag)
{
    uint32_t n = r->statement_count;
    if (n > CYCLE_STATEMENTS_MAX) {
        return; /* it would take longer than it helps; hops bound them all the same */
    }
    uint8_t *seen = td_alloc(n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const struct td_lang_stmt *stmt = r->by_index[i]->stmt;
        memset(seen, 0, n + 1);
        if (stmt != NULL && leads_back(r, i, i, seen)) {
            td_lang_warning(diag, stmt->name.place, "%.*s hears what it sets off itself",
                            TD_LANG_S(stmt->name.name));
            td_lang_why(diag, "its messages come back to it; after 8 rounds one is dropped");
            td_lang_try(diag, "send to a topic that no rule on the way listens to");
        }
    }
    free(seen);
}
