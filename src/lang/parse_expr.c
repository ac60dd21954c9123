/* lang: expressions. One function a level of precedence, weakest first:
 *
 *   OR  AND  NOT .. FOR RISES FALLS CHANGES  = <> < <= > >= IN IS SILENT ARRIVES  + -  * /  - */
#include "lang/parse.h"

struct td_lang_expr *td_lang_expr_new(struct td_lang_parser *p, enum td_lang_op op,
                                      struct td_lang_place place)
{
    struct td_lang_expr *e = TD_LANG_NEW(p, struct td_lang_expr);
    if (e != NULL) {
        e->op = op;
        e->place = place;
    }
    return e;
}

static struct td_lang_expr *join(struct td_lang_parser *p, enum td_lang_op op,
                                 struct td_lang_expr *a, struct td_lang_expr *b)
{
    if (p->bad || a == NULL) {
        return NULL;
    }
    struct td_lang_expr *e = td_lang_expr_new(p, op, td_lang_from(p, a->place));
    if (e != NULL) {
        e->a = a;
        e->b = b;
    }
    return e;
}

static bool deeper(struct td_lang_parser *p)
{
    if (p->depth >= TD_LANG_DEPTH_MAX) {
        td_lang_parse_error(p, p->tok.place, "the expression is nested too deep",
                            "name a part of it with LET");
        return false;
    }
    p->depth++;
    return true;
}

/* ---- references ---- */

static struct td_lang_expr *parse_key(struct td_lang_parser *p)
{
    td_slice label = {NULL, 0};
    if (p->tok.kind == TOK_WORD && p->ahead.kind == TOK_CHAR && p->ahead.c == ':') {
        label = p->tok.text;
        td_lang_advance(p);
        td_lang_advance(p);
    }
    struct td_lang_expr *e = td_lang_parse_sum(p);
    if (!p->bad && e->op != TD_LANG_OP_TEXT) {
        td_lang_parse_error(p, e->place, "a key is picked by a text in quotes",
                            "write ['v1'] or [vm: 'v1']");
    }
    if (!p->bad) {
        e->field = label;
    }
    return e;
}

static void parse_keys(struct td_lang_parser *p, struct td_lang_expr *ref)
{
    if (ref->keys != NULL) {
        td_lang_parse_error(p, p->last, "keys are picked twice", "put all keys into one [ ]");
    }
    do {
        struct td_lang_expr *key = parse_key(p);
        if (p->bad) {
            return;
        }
        struct td_lang_expr **at = &ref->keys;
        while (*at != NULL) {
            at = &(*at)->next;
        }
        *at = key;
    } while (td_lang_take_char(p, ','));
    td_lang_want_char(p, ']', "behind the keys");
}

static struct td_lang_expr *parse_ref_from(struct td_lang_parser *p, struct td_lang_name name)
{
    struct td_lang_expr *e = td_lang_expr_new(p, TD_LANG_OP_REF, name.place);
    if (e == NULL) {
        return NULL;
    }
    e->text = name.name;
    for (;;) {
        if (td_lang_take_char(p, '.')) {
            if (e->field.n > 0) {
                td_lang_parse_error(
                    p, p->last, "a field has no fields of its own",
                    "a value in a nested object is declared by a path: x FLOAT = $.a.b");
            }
            e->field = td_lang_want_word(p, "a field's name").name;
        } else if (td_lang_take_char(p, '[')) {
            parse_keys(p, e);
        } else {
            break;
        }
        if (p->bad) {
            return NULL;
        }
    }
    e->place = td_lang_from(p, e->place);
    return e;
}

struct td_lang_expr *td_lang_parse_ref(struct td_lang_parser *p)
{
    struct td_lang_name name = td_lang_want_name(p, "a name");
    return p->bad ? NULL : parse_ref_from(p, name);
}

/* ---- calls ---- */

static const char *const func_names[] = {
#define FUNC(name, least, most, law, help) #name,
#include "lang/functions.def"
#undef FUNC
};

static const struct {
    uint8_t least, most;
} func_counts[] = {
#define FUNC(name, least, most, law, help) {least, most},
#include "lang/functions.def"
#undef FUNC
};

const char *td_lang_func_name(enum td_lang_func func)
{
    return func < TD_LANG_FUNC_COUNT_ ? func_names[func] : "";
}

static bool same_word(td_slice word, const char *upper)
{
    size_t i = 0;
    for (; i < word.n && upper[i] != 0; i++) {
        uint8_t c = word.p[i];
        if ((c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c) != (uint8_t)upper[i]) {
            return false;
        }
    }
    return i == word.n && upper[i] == 0;
}

static bool func_find(struct td_lang_parser *p, const struct td_lang_token *name,
                      enum td_lang_func *out)
{
    td_slice names[TD_LANG_FUNC_COUNT_];
    for (size_t i = 0; i < TD_LANG_FUNC_COUNT_; i++) {
        if (same_word(name->text, func_names[i])) {
            *out = (enum td_lang_func)i;
            return true;
        }
        names[i] = td_slice_of(func_names[i]);
    }
    if (!p->bad) {
        p->bad = true;
        td_lang_error(p->diag, name->place, "there is no function %.*s", TD_LANG_S(name->text));
        td_slice near = td_lang_nearest(name->text, names, TD_COUNT(names));
        if (near.n > 0) {
            td_lang_try(p->diag, "did you mean %.*s?", TD_LANG_S(near));
        } else {
            td_lang_try(p->diag, "docs/rules.md lists the functions");
        }
    }
    return false;
}

static void parse_args(struct td_lang_parser *p, struct td_lang_expr *e)
{
    size_t count = 0;
    struct td_lang_expr **at = &e->list;
    if (td_lang_at_char(p, '*')) {
        td_lang_parse_error(p, p->tok.place, "* has no meaning here",
                            "name a stream: COUNT(window)");
    }
    while (!p->bad && !td_lang_at_char(p, ')') && !td_lang_at(p, KW_OVER)) {
        *at = td_lang_parse_expr(p);
        if (p->bad) {
            return;
        }
        at = &(*at)->next;
        count++;
        if (!td_lang_take_char(p, ',')) {
            break;
        }
    }
    if (count < func_counts[e->func].least || count > func_counts[e->func].most) {
        if (!p->bad) {
            p->bad = true;
            bool exact = func_counts[e->func].least == func_counts[e->func].most;
            td_lang_error(p->diag, e->place, "%s takes %s%u values, here are %zu",
                          func_names[e->func], exact ? "" : "up to ", func_counts[e->func].most,
                          count);
        }
    }
}

static void parse_over(struct td_lang_parser *p, struct td_lang_expr *e)
{
    if (!td_lang_take(p, KW_OVER)) {
        return;
    }
    if (td_lang_at(p, KW_TUMBLING) || td_lang_at(p, KW_HOPPING) || td_lang_at(p, KW_SLIDING) ||
        td_lang_at(p, KW_SESSION) || td_lang_at(p, KW_COUNT)) {
        td_lang_not_yet(p, td_lang_kw_name(p->tok.kw), "OVER takes a duration: AVG(x OVER 1h)");
    }
    e->op = TD_LANG_OP_WINDOW;
    e->a = e->list;
    e->list = NULL;
    e->b = td_lang_parse_sum(p);
    if (!p->bad && e->a->next != NULL) {
        td_lang_parse_error(p, e->place, "OVER works on one value", "take the others out");
    }
}

static struct td_lang_expr *parse_call(struct td_lang_parser *p)
{
    struct td_lang_token name = p->tok;
    struct td_lang_expr *e = td_lang_expr_new(p, TD_LANG_OP_CALL, name.place);
    if (e == NULL || !func_find(p, &name, &e->func)) {
        return NULL;
    }
    td_lang_advance(p);
    td_lang_advance(p); /* the bracket, seen by the caller */
    parse_args(p, e);
    parse_over(p, e);
    td_lang_want_char(p, ')', "behind the values");
    e->place = td_lang_from(p, e->place);
    return e;
}

/* ---- atoms ---- */

static struct td_lang_expr *parse_literal(struct td_lang_parser *p)
{
    const struct td_lang_token *t = &p->tok;
    enum td_lang_op op = t->kind == TOK_NUM    ? TD_LANG_OP_NUM
                         : t->kind == TOK_STR  ? TD_LANG_OP_TEXT
                         : t->kind == TOK_PATH ? TD_LANG_OP_PATH
                         : t->kw == KW_TRUE    ? TD_LANG_OP_TRUE
                         : t->kw == KW_FALSE   ? TD_LANG_OP_FALSE
                         : t->kw == KW_ELAPSED ? TD_LANG_OP_ELAPSED
                                               : TD_LANG_OP_UNKNOWN;
    struct td_lang_expr *e = td_lang_expr_new(p, op, t->place);
    if (e == NULL) {
        return NULL;
    }
    e->num = t->num;
    e->unit = t->has_unit ? t->unit : td_lang_unit_one;
    e->has_unit = t->has_unit;
    if (op == TD_LANG_OP_TEXT) {
        struct td_lang_place at;
        e->text = td_lang_want_string(p, "a text", &at);
    } else {
        e->text = t->text;
        td_lang_advance(p);
    }
    return e;
}

static struct td_lang_expr *parse_atom(struct td_lang_parser *p)
{
    const struct td_lang_token *t = &p->tok;
    bool open = p->ahead.kind == TOK_CHAR && p->ahead.c == '(';
    if (t->kind == TOK_TOD || td_lang_at(p, KW_CLOCK) || td_lang_at(p, KW_SUNRISE) ||
        td_lang_at(p, KW_SUNSET)) {
        td_lang_not_yet(p, "the time of day", NULL);
        return NULL;
    }
    if (t->kind == TOK_NUM || t->kind == TOK_STR || t->kind == TOK_PATH || td_lang_at(p, KW_TRUE) ||
        td_lang_at(p, KW_FALSE) || td_lang_at(p, KW_UNKNOWN) || td_lang_at(p, KW_ELAPSED)) {
        return parse_literal(p);
    }
    if (td_lang_take_char(p, '(')) {
        struct td_lang_expr *e = td_lang_parse_expr(p);
        td_lang_want_char(p, ')', "to close the (");
        return p->bad ? NULL : e;
    }
    if (t->kind == TOK_WORD && open &&
        (t->kw == KW_NONE || t->kw == KW_MIN || t->kw == KW_MAX || t->kw == KW_COUNT ||
         t->kw == KW_ANY || t->kw == KW_ALL)) {
        return parse_call(p);
    }
    struct td_lang_name name = td_lang_want_name(p, "a value");
    return p->bad ? NULL : parse_ref_from(p, name);
}

static struct td_lang_expr *parse_unary(struct td_lang_parser *p)
{
    struct td_lang_place at = p->tok.place;
    if (!td_lang_take_char(p, '-')) {
        return parse_atom(p);
    }
    struct td_lang_expr *a = parse_atom(p);
    if (p->bad) {
        return NULL;
    }
    if (a->op == TD_LANG_OP_NUM) {
        a->num = -a->num;
        a->place = td_lang_from(p, at);
        return a;
    }
    struct td_lang_expr *e = td_lang_expr_new(p, TD_LANG_OP_NEG, td_lang_from(p, at));
    if (e != NULL) {
        e->a = a;
    }
    return e;
}

static struct td_lang_expr *parse_term(struct td_lang_parser *p)
{
    struct td_lang_expr *e = parse_unary(p);
    for (unsigned n = 0; !p->bad && (td_lang_at_char(p, '*') || td_lang_at_char(p, '/')); n++) {
        enum td_lang_op op = p->tok.c == '*' ? TD_LANG_OP_MUL : TD_LANG_OP_DIV;
        td_lang_advance(p);
        e = join(p, op, e, parse_unary(p));
        p->bad |= n > TD_LANG_DEPTH_MAX && !deeper(p);
    }
    return e;
}

struct td_lang_expr *td_lang_parse_sum(struct td_lang_parser *p)
{
    struct td_lang_expr *e = parse_term(p);
    unsigned depth = p->depth;
    while (!p->bad && (td_lang_at_char(p, '+') || td_lang_at_char(p, '-')) && deeper(p)) {
        enum td_lang_op op = p->tok.c == '+' ? TD_LANG_OP_ADD : TD_LANG_OP_SUB;
        td_lang_advance(p);
        e = join(p, op, e, parse_term(p));
    }
    p->depth = depth;
    return e;
}

/* ---- comparisons ---- */

static struct td_lang_expr *parse_in(struct td_lang_parser *p, struct td_lang_expr *a, bool negate)
{
    struct td_lang_expr *e = join(p, TD_LANG_OP_IN, a, NULL);
    if (e == NULL) {
        return NULL;
    }
    e->negate = negate;
    struct td_lang_expr **at = &e->list;
    if (td_lang_take_char(p, '(')) {
        do {
            *at = td_lang_parse_sum(p);
            if (p->bad) {
                return NULL;
            }
            at = &(*at)->next;
        } while (td_lang_take_char(p, ','));
        td_lang_want_char(p, ')', "behind the values of IN");
    } else {
        e->op = TD_LANG_OP_BETWEEN;
        e->list = td_lang_parse_sum(p);
        if (!p->bad && p->tok.kind != TOK_RANGE) {
            td_lang_expected(p, ".. (IN takes a list in brackets or a range)");
        }
        td_lang_advance(p);
        struct td_lang_expr *most = td_lang_parse_sum(p);
        if (p->bad) {
            return NULL;
        }
        e->list->next = most;
    }
    e->place = td_lang_from(p, e->place);
    return e;
}

static struct td_lang_expr *parse_is(struct td_lang_parser *p, struct td_lang_expr *a)
{
    struct td_lang_expr *e = join(p, TD_LANG_OP_IS, a, NULL);
    if (e == NULL) {
        return NULL;
    }
    e->negate = td_lang_take(p, KW_NOT);
    if (td_lang_take(p, KW_STALE)) {
        e->quality = TD_LANG_STALE;
    } else if (td_lang_take(p, KW_UNKNOWN)) {
        e->quality = TD_LANG_UNKNOWN;
    } else {
        td_lang_want(p, KW_KNOWN, "(or UNKNOWN, STALE) behind IS");
    }
    e->place = td_lang_from(p, e->place);
    return e;
}

static bool comparison(const struct td_lang_parser *p, enum td_lang_op *op)
{
    switch (p->tok.kind) {
    case TOK_LE:
        *op = TD_LANG_OP_LE;
        return true;
    case TOK_GE:
        *op = TD_LANG_OP_GE;
        return true;
    case TOK_NE:
        *op = TD_LANG_OP_NE;
        return true;
    case TOK_CHAR:
        *op = p->tok.c == '=' ? TD_LANG_OP_EQ : p->tok.c == '<' ? TD_LANG_OP_LT : TD_LANG_OP_GT;
        return p->tok.c == '=' || p->tok.c == '<' || p->tok.c == '>';
    case TOK_END:
    case TOK_WORD:
    case TOK_NUM:
    case TOK_TOD:
    case TOK_STR:
    case TOK_PATH:
    case TOK_UNIT:
    case TOK_RANGE:
    case TOK_BAD:
        break;
    }
    return false;
}

static struct td_lang_expr *parse_cmp(struct td_lang_parser *p)
{
    struct td_lang_expr *a = td_lang_parse_sum(p);
    enum td_lang_op op;
    if (p->bad) {
        return NULL;
    }
    if (comparison(p, &op)) {
        td_lang_advance(p);
        return join(p, op, a, td_lang_parse_sum(p));
    }
    if (td_lang_at(p, KW_NOT) && p->ahead.kind == TOK_WORD && p->ahead.kw == KW_IN) {
        td_lang_advance(p);
        td_lang_advance(p);
        return parse_in(p, a, true);
    }
    if (td_lang_take(p, KW_IN)) {
        return parse_in(p, a, false);
    }
    if (td_lang_take(p, KW_IS)) {
        return parse_is(p, a);
    }
    if (td_lang_take(p, KW_SILENT)) {
        return join(p, TD_LANG_OP_SILENT, a, td_lang_parse_sum(p));
    }
    if (td_lang_take(p, KW_ARRIVES)) {
        return join(p, TD_LANG_OP_ARRIVES, a, NULL);
    }
    return a;
}

static struct td_lang_expr *parse_edge(struct td_lang_parser *p, enum td_lang_op op,
                                       struct td_lang_expr *e)
{
    return join(p, op, e, td_lang_take(p, KW_BY) ? td_lang_parse_sum(p) : NULL);
}

static struct td_lang_expr *parse_held(struct td_lang_parser *p)
{
    struct td_lang_place at = p->tok.place;
    if (td_lang_take(p, KW_NOT)) {
        if (!deeper(p)) {
            return NULL;
        }
        struct td_lang_expr *a = NULL;
        if (td_lang_at(p, KW_NOT)) {
            a = parse_held(p);
        } else {
            a = parse_cmp(p);
        }
        p->depth--;
        struct td_lang_expr *not_a = p->bad ? NULL : td_lang_expr_new(p, TD_LANG_OP_NOT, at);
        if (not_a == NULL) {
            return NULL;
        }
        not_a->a = a;
        not_a->place = td_lang_from(p, at);
        return not_a;
    }
    return parse_cmp(p);
}

static struct td_lang_expr *parse_timed(struct td_lang_parser *p)
{
    struct td_lang_expr *e = parse_held(p);
    unsigned depth = p->depth;
    while (!p->bad) {
        if (td_lang_take(p, KW_FOR)) {
            e = join(p, TD_LANG_OP_FOR, e, td_lang_parse_sum(p));
        } else if (td_lang_take(p, KW_RISES)) {
            e = parse_edge(p, TD_LANG_OP_RISES, e);
        } else if (td_lang_take(p, KW_FALLS)) {
            e = parse_edge(p, TD_LANG_OP_FALLS, e);
        } else if (td_lang_take(p, KW_CHANGES)) {
            e = parse_edge(p, TD_LANG_OP_CHANGES, e);
        } else {
            break;
        }
        (void)deeper(p);
    }
    p->depth = depth;
    return e;
}

static struct td_lang_expr *parse_and(struct td_lang_parser *p)
{
    struct td_lang_expr *e = parse_timed(p);
    unsigned depth = p->depth;
    while (!p->bad && td_lang_take(p, KW_AND) && deeper(p)) {
        e = join(p, TD_LANG_OP_AND, e, parse_timed(p));
    }
    p->depth = depth;
    return e;
}

struct td_lang_expr *td_lang_parse_expr(struct td_lang_parser *p)
{
    if (p->bad || !deeper(p)) {
        return NULL;
    }
    unsigned depth = p->depth;
    struct td_lang_expr *e = parse_and(p);
    while (!p->bad && td_lang_take(p, KW_OR) && deeper(p)) {
        e = join(p, TD_LANG_OP_OR, e, parse_and(p));
    }
    p->depth = depth - 1;
    return e;
}
