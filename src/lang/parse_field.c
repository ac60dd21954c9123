/* lang: fields, types, units, ranges, rates. */
#include "lang/parse.h"

static const struct {
    enum td_lang_kw kw;
    enum td_lang_field_type type;
} types[] = {
    {KW_BOOL, TD_LANG_FIELD_BOOL},       {KW_INT, TD_LANG_FIELD_INT},
    {KW_FLOAT, TD_LANG_FIELD_FLOAT},     {KW_TEXT, TD_LANG_FIELD_TEXT},
    {KW_TIME, TD_LANG_FIELD_TIME},       {KW_DURATION, TD_LANG_FIELD_DURATION},
    {KW_COUNTER, TD_LANG_FIELD_COUNTER}, {KW_ENUM, TD_LANG_FIELD_ENUM},
};

/* The lexer does not know where a type stands, so a unit is read again from the text. */
struct td_lang_unit td_lang_want_unit(struct td_lang_parser *p)
{
    struct td_lang_unit unit = td_lang_unit_one;
    bool lone_m;
    td_slice text = td_slice_skip(p->lexer.text, p->tok.place.at);
    size_t n = p->tok.kind == TOK_END ? 0 : td_lang_unit_read(text, &unit, &lone_m);
    if (p->bad && p->tok.kind != TOK_BAD) {
        return unit;
    }
    if (n == 0) {
        td_lang_expected(p,
                         "a type (BOOL, INT, FLOAT, TEXT, TIME, DURATION, COUNTER, ENUM) or a unit "
                         "like °C, %, kWh, l/min");
        return unit;
    }
    p->lexer.at = p->tok.place.at + (uint32_t)n;
    p->hash = td_hash(td_slice_head(text, n), p->hash);
    p->last = (struct td_lang_place){p->tok.place.file, p->tok.place.at, (uint32_t)n};
    td_lang_lex(&p->lexer, &p->tok);
    td_lang_lex(&p->lexer, &p->ahead);
    p->bad = p->tok.kind == TOK_BAD;
    return unit;
}

static void parse_enum(struct td_lang_parser *p, struct td_lang_field *f)
{
    td_lang_want_char(p, '(', "behind ENUM");
    do {
        struct td_lang_words *w = TD_LANG_NEW(p, struct td_lang_words);
        struct td_lang_place at;
        if (w == NULL) {
            return;
        }
        w->word = td_lang_want_string(p, "one of its words in quotes", &at);
        td_lang_append(&f->words, w);
    } while (td_lang_take_char(p, ','));
    td_lang_want_char(p, ')', "behind the words of ENUM");
}

void td_lang_parse_type(struct td_lang_parser *p, struct td_lang_field *f)
{
    f->unit = f->payload_unit = td_lang_unit_one;
    for (size_t i = 0; i < TD_COUNT(types); i++) {
        if (td_lang_take(p, types[i].kw)) {
            f->type = types[i].type;
            if (f->type == TD_LANG_FIELD_ENUM) {
                parse_enum(p, f);
            } else if (f->type == TD_LANG_FIELD_TIME || f->type == TD_LANG_FIELD_DURATION) {
                f->unit = f->payload_unit = td_lang_unit_second;
            }
            return;
        }
    }
    if (td_lang_at(p, KW_BYTES) || td_lang_at(p, KW_WAVE)) {
        td_lang_not_yet(p, td_lang_kw_name(p->tok.kw), NULL);
    }
    f->type = TD_LANG_FIELD_UNIT;
    f->unit = f->payload_unit = td_lang_want_unit(p);
}

static void parse_path(struct td_lang_parser *p, struct td_lang_field *f)
{
    if (p->tok.kind != TOK_PATH) {
        td_lang_expected(p, "a path like $.value behind =");
        return;
    }
    f->path = p->tok.text;
    td_lang_advance(p);
    if (td_lang_take(p, KW_AS)) {
        struct td_lang_place at = p->tok.place;
        f->payload_unit = td_lang_want_unit(p);
        if (!p->bad && !td_lang_unit_same_dim(&f->unit, &f->payload_unit)) {
            td_lang_parse_error(
                p, at, "AS names a unit of another kind than the field's",
                "AS is the unit of the number in the message, like t °C = $.f AS °F");
        }
    }
}

bool td_lang_parse_range(struct td_lang_parser *p, struct td_lang_field *f)
{
    if (!td_lang_take(p, KW_RANGE)) {
        return false;
    }
    f->least = td_lang_parse_sum(p);
    if (p->tok.kind != TOK_RANGE) {
        td_lang_expected(p, ".. between the ends of the range");
    }
    td_lang_advance(p);
    f->most = td_lang_parse_sum(p);
    return true;
}

bool td_lang_parse_rate(struct td_lang_parser *p, double *count, struct td_lang_expr **per)
{
    unsigned n;
    if (!td_lang_want_nat(p, "how many", 1000000, &n)) {
        return false;
    }
    *count = n;
    td_lang_want_char(p, '/', "and a duration, like 12/1h");
    *per = td_lang_parse_sum(p);
    if (n == 0) {
        td_lang_parse_error(p, p->last, "a rate of 0 would never let anything through",
                            "write at least 1, or take the statement out");
    }
    return !p->bad;
}

static void parse_min(struct td_lang_parser *p, struct td_lang_field *f)
{
    struct td_lang_expr **out = &f->min_hold;
    if (td_lang_take(p, KW_ON)) {
        out = &f->min_on;
    } else if (td_lang_take(p, KW_OFF)) {
        out = &f->min_off;
    } else {
        td_lang_want(p, KW_HOLD, "(or ON, OFF) behind MIN");
    }
    *out = td_lang_parse_sum(p);
}

static bool parse_option(struct td_lang_parser *p, struct td_lang_field *f)
{
    if (td_lang_take(p, KW_DEFAULT)) {
        f->fallback = td_lang_parse_sum(p);
    } else if (td_lang_take(p, KW_FAILSAFE)) {
        f->failsafe = td_lang_parse_sum(p);
    } else if (td_lang_take(p, KW_MIN)) {
        parse_min(p, f);
    } else if (td_lang_take(p, KW_MAX)) {
        td_lang_parse_rate(p, &f->max_count, &f->max_per);
    } else if (td_lang_at(p, KW_SLEW)) {
        td_lang_not_yet(p, "SLEW", NULL);
    } else {
        return td_lang_parse_range(p, f);
    }
    return true;
}

struct td_lang_field *td_lang_parse_fields(struct td_lang_parser *p)
{
    struct td_lang_field *list = NULL;
    td_lang_want_char(p, '(', "and fields");
    do {
        struct td_lang_field *f = TD_LANG_NEW(p, struct td_lang_field);
        if (f == NULL) {
            return NULL;
        }
        struct td_lang_name name = td_lang_want_word(p, "a field's name");
        f->name = name.name;
        f->place = name.place;
        td_lang_parse_type(p, f);
        if (td_lang_take_char(p, '=')) {
            parse_path(p, f);
        }
        while (!p->bad && parse_option(p, f)) {
        }
        td_lang_append(&list, f);
    } while (td_lang_take_char(p, ','));
    td_lang_want_char(p, ')', "behind the fields");
    return list;
}
