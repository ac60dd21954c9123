/* lang: TEST blocks. */
#include "lang/parse.h"

static void parse_sent(struct td_lang_parser *p, struct td_lang_step *step)
{
    struct td_lang_place at;
    step->kind = TD_LANG_STEP_SENT;
    step->count = -1;
    if (p->tok.kind == TOK_NUM) {
        unsigned count = 0;
        td_lang_want_nat(p, "how often", 1000000, &count);
        step->count = count;
    }
    step->topic = td_lang_want_string(p, "the topic in quotes", &at);
    step->is_object = td_lang_at_char(p, '{');
    if (step->is_object) {
        step->object = td_lang_parse_object(p);
    }
}

static void parse_expect(struct td_lang_parser *p, struct td_lang_step *step)
{
    step->kind = TD_LANG_STEP_EXPECT;
    if (td_lang_at(p, KW_NOT) && p->ahead.kind == TOK_WORD && p->ahead.kw == KW_SENT) {
        td_lang_advance(p);
        step->negate = true;
    }
    if (td_lang_take(p, KW_SENT)) {
        parse_sent(p, step);
    } else {
        step->expect = td_lang_parse_expr(p);
    }
}

static void parse_step(struct td_lang_parser *p, struct td_lang_step *step)
{
    static const enum td_lang_kw later[] = {KW_RELOAD, KW_ACK, KW_SHELVE, KW_OVERRIDE};
    for (size_t i = 0; i < TD_COUNT(later); i++) {
        if (td_lang_at(p, later[i])) {
            td_lang_not_yet(p, td_lang_kw_name(later[i]), NULL);
        }
    }
    if (td_lang_take(p, KW_EXPECT)) {
        parse_expect(p, step);
    } else if (td_lang_take(p, KW_RESTART)) {
        step->kind = TD_LANG_STEP_RESTART;
        td_lang_want(p, KW_AFTER, "behind RESTART");
        step->expect = td_lang_parse_sum(p);
    } else if (td_lang_take(p, KW_MUTE)) {
        step->kind = TD_LANG_STEP_MUTE;
        step->expect = td_lang_parse_ref(p);
    } else {
        step->kind = TD_LANG_STEP_ASSIGN;
        step->assign = td_lang_parse_assign(p);
    }
}

static void parse_when(struct td_lang_parser *p, struct td_lang_step *step)
{
    if (td_lang_take(p, KW_AT)) {
        step->from = td_lang_parse_sum(p);
    } else if (td_lang_take(p, KW_FROM)) {
        step->from = td_lang_parse_sum(p);
        td_lang_want(p, KW_TO, "behind FROM");
        step->to = td_lang_parse_sum(p);
        td_lang_want(p, KW_EVERY, "behind TO");
        step->every = td_lang_parse_sum(p);
    }
}

void td_lang_parse_test(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (td_lang_at(p, KW_START) || td_lang_at(p, KW_ZONE) || td_lang_at(p, KW_PLACE)) {
        td_lang_not_yet(p, td_lang_kw_name(p->tok.kw), "a test begins at 0s");
    }
    td_lang_want_char(p, '{', "and the steps of the test");
    while (!p->bad && !td_lang_at_char(p, '}')) {
        struct td_lang_step *step = TD_LANG_NEW(p, struct td_lang_step);
        if (step == NULL) {
            return;
        }
        parse_when(p, step);
        step->place = p->tok.place;
        parse_step(p, step);
        step->place = td_lang_from(p, step->place);
        td_lang_append(&s->steps, step);
        td_lang_want_char(p, ';', "behind the step");
    }
    td_lang_want_char(p, '}', "behind the steps");
}
