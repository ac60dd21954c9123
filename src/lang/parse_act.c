/* lang: what statements do (HOLD, SEND, EXPECT) and the clauses that several kinds share. */
#include "lang/parse.h"

struct td_lang_object *td_lang_parse_object(struct td_lang_parser *p)
{
    struct td_lang_object *list = NULL;
    if (!td_lang_want_char(p, '{', "and members") || ++p->depth > TD_LANG_DEPTH_MAX) {
        td_lang_parse_error(p, p->last, "the object is nested too deep", "flatten it");
        return NULL;
    }
    while (!p->bad && !td_lang_at_char(p, '}')) {
        struct td_lang_object *o = TD_LANG_NEW(p, struct td_lang_object);
        if (o == NULL) {
            return NULL;
        }
        struct td_lang_name key = td_lang_want_word(p, "a member's name");
        o->key = key.name;
        o->place = key.place;
        if (!td_lang_take_char(p, ':')) { /* {vm} stands for {vm: vm} */
            o->value = td_lang_expr_new(p, TD_LANG_OP_REF, key.place);
            if (o->value != NULL) {
                o->value->text = key.name;
            }
        } else if (td_lang_at_char(p, '{')) {
            o->members = td_lang_parse_object(p);
        } else {
            o->value = td_lang_parse_expr(p);
        }
        td_lang_append(&list, o);
        if (!td_lang_take_char(p, ',')) {
            break;
        }
    }
    td_lang_want_char(p, '}', "behind the members");
    p->depth--;
    return list;
}

struct td_lang_assign *td_lang_parse_assign(struct td_lang_parser *p)
{
    struct td_lang_assign *a = TD_LANG_NEW(p, struct td_lang_assign);
    if (a == NULL) {
        return NULL;
    }
    a->ref = td_lang_parse_ref(p);
    td_lang_want_char(p, '=', "and a value");
    if (td_lang_at_char(p, '{')) {
        a->object = td_lang_parse_object(p);
    } else {
        a->value = td_lang_parse_sum(p);
        bool compared = td_lang_at_char(p, '<') || td_lang_at_char(p, '>') ||
                        p->tok.kind == TOK_LE || p->tok.kind == TOK_GE || p->tok.kind == TOK_NE;
        if (compared) {
            td_lang_parse_error(p, p->tok.place, "a comparison as a value needs brackets around it",
                                "write = (a < b)");
        }
    }
    return a;
}

bool td_lang_parse_priority(struct td_lang_parser *p, unsigned *out)
{
    struct td_lang_place at = p->tok.place;
    if (!td_lang_take(p, KW_PRIORITY)) {
        return false;
    }
    if (td_lang_want_nat(p, "the priority", 16, out) && (*out == 0 || *out == 6)) {
        td_lang_parse_error(p, at, "this slot is not for rules",
                            "1 is the strongest, 16 the weakest; 6 belongs to minimum times");
    }
    return true;
}

static void parse_hold(struct td_lang_parser *p, struct td_lang_act *act)
{
    do {
        struct td_lang_assign *a = td_lang_parse_assign(p);
        if (p->bad) {
            return;
        }
        td_lang_append(&act->assigns, a);
    } while (td_lang_take_char(p, ','));
    if (td_lang_take(p, KW_FOR)) {
        act->term = td_lang_parse_sum(p);
    }
    (void)td_lang_parse_priority(p, &act->priority);
}

static bool parse_send_option(struct td_lang_parser *p, struct td_lang_act *act)
{
    if (td_lang_take(p, KW_QOS)) {
        td_lang_want_nat(p, "the QoS", 2, &act->qos);
    } else if (td_lang_take(p, KW_RETAIN)) {
        act->retain = true;
    } else if (td_lang_take(p, KW_IDEMPOTENT)) {
        act->idempotent = true;
    } else if (td_lang_take(p, KW_DURABLE)) {
        act->durable = true;
    } else if (td_lang_at(p, KW_FORMAT)) {
        td_lang_not_yet(p, "FORMAT", "SEND writes JSON");
    } else {
        return false;
    }
    return true;
}

static void parse_send(struct td_lang_parser *p, struct td_lang_act *act)
{
    act->topic = td_lang_want_string(p, "the topic in quotes", &act->topic_place);
    act->is_object = td_lang_at_char(p, '{');
    if (act->is_object) {
        act->object = td_lang_parse_object(p);
    } else {
        act->value = td_lang_parse_sum(p);
    }
    while (!p->bad && parse_send_option(p, act)) {
    }
    if (act->idempotent && !act->is_object) {
        td_lang_parse_error(p, act->topic_place,
                            "IDEMPOTENT adds a member \"id\", so it needs an object",
                            "write SEND 'topic' {value: ..} IDEMPOTENT");
    }
}

static void parse_expect(struct td_lang_parser *p, struct td_lang_act *act)
{
    act->expect = td_lang_parse_expr(p);
    td_lang_want(p, KW_WITHIN, "and a duration behind EXPECT");
    act->within = td_lang_parse_sum(p);
    td_lang_want(p, KW_ELSE, "and an alarm behind WITHIN");
    act->abort = td_lang_take(p, KW_ABORT);
    td_lang_want(p, KW_ALARM, "behind ELSE");
    act->alarm = td_lang_want_name(p, "the alarm's name");
}

bool td_lang_parse_act(struct td_lang_parser *p, struct td_lang_act **list)
{
    static const struct {
        enum td_lang_kw kw;
        enum td_lang_act_kind kind;
        void (*parse)(struct td_lang_parser *, struct td_lang_act *);
    } acts[] = {
        {KW_HOLD, TD_LANG_ACT_HOLD, parse_hold},
        {KW_SEND, TD_LANG_ACT_SEND, parse_send},
        {KW_EXPECT, TD_LANG_ACT_EXPECT, parse_expect},
    };
    struct td_lang_place at = p->tok.place;
    if (td_lang_at(p, KW_LIMIT)) {
        td_lang_not_yet(p, "LIMIT",
                        "give the actuator's field a RANGE, or HOLD at a stronger PRIORITY");
    }
    for (size_t i = 0; i < TD_COUNT(acts); i++) {
        if (td_lang_take(p, acts[i].kw)) {
            struct td_lang_act *act = TD_LANG_NEW(p, struct td_lang_act);
            if (act == NULL) {
                return false;
            }
            act->kind = acts[i].kind;
            acts[i].parse(p, act);
            act->place = td_lang_from(p, at);
            td_lang_append(list, act);
            return !p->bad;
        }
    }
    return false;
}

bool td_lang_parse_per(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (!td_lang_take(p, KW_PER)) {
        return false;
    }
    do {
        struct td_lang_name *name = TD_LANG_NEW(p, struct td_lang_name);
        if (name == NULL) {
            return false;
        }
        *name = td_lang_want_name(p, "a key's name behind PER");
        td_lang_append(&s->per, name);
    } while (td_lang_take_char(p, ','));
    return !p->bad;
}

bool td_lang_parse_let(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (!td_lang_take(p, KW_LET)) {
        return false;
    }
    struct td_lang_let *let = TD_LANG_NEW(p, struct td_lang_let);
    if (let == NULL) {
        return false;
    }
    let->name = td_lang_want_name(p, "a name behind LET");
    td_lang_want_char(p, '=', "and a value behind LET");
    let->value = td_lang_parse_expr(p);
    td_lang_append(&s->lets, let);
    return !p->bad;
}

bool td_lang_parse_gap(struct td_lang_parser *p, struct td_lang_stmt *s)
{
    if (!td_lang_take(p, KW_ON)) {
        return false;
    }
    td_lang_want(p, KW_GAP, "behind ON");
    if (td_lang_take(p, KW_HOLD)) {
        s->gap = TD_LANG_GAP_HOLD;
    } else if (td_lang_take(p, KW_RESET)) {
        s->gap = TD_LANG_GAP_RESET;
    } else {
        td_lang_want(p, KW_UNKNOWN, "(or HOLD, RESET) behind ON GAP");
    }
    return !p->bad;
}
