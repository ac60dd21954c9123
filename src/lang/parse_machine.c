/* lang: MACHINE, its states and ways between them. */
#include "lang/parse.h"

static bool parse_go(struct td_lang_parser *p, struct td_lang_go **list)
{
    if (!td_lang_take(p, KW_GO)) {
        return false;
    }
    struct td_lang_go *go = TD_LANG_NEW(p, struct td_lang_go);
    if (go == NULL) {
        return false;
    }
    go->target = td_lang_want_name(p, "a state's name behind GO");
    for (;;) {
        if (td_lang_take(p, KW_AFTER)) {
            go->after = td_lang_parse_sum(p);
        } else if (!td_lang_parse_clause(p, KW_WHEN, &go->when)) {
            break;
        }
    }
    if (!p->bad && go->when == NULL && go->after == NULL) {
        td_lang_expected(p, "WHEN or AFTER behind the state's name");
    }
    td_lang_append(list, go);
    return !p->bad;
}

static void parse_state(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    struct td_lang_state *st = TD_LANG_NEW(p, struct td_lang_state);
    if (st == NULL) {
        return;
    }
    st->name = td_lang_want_name(p, "the state's name");
    if (td_lang_take(p, KW_MIN)) {
        st->min = td_lang_parse_sum(p);
    }
    while (td_lang_parse_act(p, &st->acts) || parse_go(p, &st->gos)) {
    }
    td_lang_append(&s->states, st);
}

static bool parse_part(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (td_lang_take(p, KW_STATE)) {
        parse_state(p, s);
        return true;
    }
    if (td_lang_take(p, KW_ALWAYS)) {
        if (!parse_go(p, &s->always)) {
            td_lang_expected(p, "GO behind ALWAYS");
        }
        return true;
    }
    if (td_lang_take(p, KW_INVARIANT)) {
        struct td_lang_invariant *v = TD_LANG_NEW(p, struct td_lang_invariant);
        if (v != NULL) {
            v->value = td_lang_parse_expr(p);
            td_lang_append(&s->invariants, v);
        }
        return true;
    }
    return td_lang_parse_let(p, s) || td_lang_parse_gap(p, s);
}

void td_lang_parse_machine(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    while (td_lang_parse_per(p, s) || td_lang_parse_priority(p, &s->priority)) {
    }
    td_lang_want_char(p, '{', "and the states");
    while (!p->bad && !td_lang_at_char(p, '}')) {
        if (!parse_part(p, s)) {
            td_lang_expected(p, "STATE, ALWAYS GO, LET, INVARIANT, ON GAP or }");
        }
        td_lang_want_char(p, ';', "behind this part of the machine");
    }
    td_lang_want_char(p, '}', "behind the states");
    if (!p->bad && s->states == NULL) {
        td_lang_parse_error(p, s->name.place, "the machine has no STATE", "write STATE name GO ..");
    }
}
