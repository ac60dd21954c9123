/* lang: characters to tokens. A number takes the unit that touches it: `35%`, `0.5K`, `1h30m`. */
#include "lang/lex.h"

#include "base/json.h"

static const char *const kw_names[] = {
    "",
#define KW(word) #word,
#include "lang/keywords.def"
#undef KW
};

const char *td_lang_kw_name(enum td_lang_kw kw)
{
    return kw < KW_COUNT_ ? kw_names[kw] : "";
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static uint8_t peek(const struct td_lang_lexer *lx, uint32_t ahead)
{
    return lx->at + ahead < lx->text.n ? lx->text.p[lx->at + ahead] : 0;
}

static td_slice rest(const struct td_lang_lexer *lx)
{
    return td_slice_skip(lx->text, lx->at);
}

static void skip_blank(struct td_lang_lexer *lx)
{
    for (;;) {
        uint8_t c = peek(lx, 0);
        if (c == '-' && peek(lx, 1) == '-') {
            lx->at += (uint32_t)td_slice_find(rest(lx), '\n');
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            lx->at++;
        } else {
            return;
        }
    }
}

/* Binary search by the upper-cased word: the table is sorted. */
static enum td_lang_kw kw_find(td_slice word)
{
    char upper[16];
    if (word.n >= sizeof upper) {
        return KW_NONE;
    }
    for (size_t i = 0; i < word.n; i++) {
        uint8_t c = word.p[i];
        upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    td_slice key = {(const uint8_t *)upper, word.n};
    size_t low = 1, high = KW_COUNT_;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = td_slice_cmp(key, td_slice_of(kw_names[mid]));
        if (order == 0) {
            return (enum td_lang_kw)mid;
        }
        if (order < 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return KW_NONE;
}

static void bad(struct td_lang_lexer *lx, struct td_lang_token *t, uint32_t n, const char *what,
                const char *remedy)
{
    lx->at += n;
    t->kind = TOK_BAD;
    t->place.n = n;
    if (!lx->quiet) {
        td_lang_error(lx->diag, t->place, "%s", what);
        td_lang_try(lx->diag, "%s", remedy);
    }
}

static void lex_word(struct td_lang_lexer *lx, struct td_lang_token *t)
{
    uint32_t n = 1;
    while (is_letter(peek(lx, n)) || is_digit(peek(lx, n))) {
        n++;
    }
    t->kind = TOK_WORD;
    t->text = td_slice_head(rest(lx), n);
    t->kw = kw_find(t->text);
    lx->at += n;
}

/* Digits, a fraction that is not the `..` of a range, an exponent. */
static uint32_t number_bytes(const struct td_lang_lexer *lx)
{
    uint32_t n = 0;
    while (is_digit(peek(lx, n))) {
        n++;
    }
    if (peek(lx, n) == '.' && is_digit(peek(lx, n + 1))) {
        n++;
        while (is_digit(peek(lx, n))) {
            n++;
        }
    }
    uint32_t e = n + 1;
    if (peek(lx, n) == 'e' || peek(lx, n) == 'E') {
        e += peek(lx, e) == '+' || peek(lx, e) == '-';
        if (is_digit(peek(lx, e))) {
            for (n = e; is_digit(peek(lx, n)); n++) {
            }
        }
    }
    return n;
}

static bool take_number(struct td_lang_lexer *lx, double *out)
{
    uint32_t n = number_bytes(lx);
    td_slice digits = td_slice_head(rest(lx), n);
    int64_t whole;
    bool is_int;
    while (digits.n > 1 && digits.p[0] == '0' && is_digit(digits.p[1])) {
        digits = td_slice_skip(digits, 1); /* JSON forbids leading zeros, we do not mind */
    }
    lx->at += n;
    return td_json_number(digits, out, &whole, &is_int) == TD_OK;
}

/* The further parts of 1h30m. */
static void take_duration(struct td_lang_lexer *lx, struct td_lang_token *t)
{
    t->is_duration = true;
    t->num *= t->unit.scale;
    t->unit = td_lang_unit_second;
    while (is_digit(peek(lx, 0))) {
        struct td_lang_lexer ahead = *lx;
        struct td_lang_unit unit;
        double num;
        bool lone_m;
        if (!take_number(&ahead, &num)) {
            return;
        }
        size_t n = td_lang_unit_read(rest(&ahead), &unit, &lone_m);
        if (n == 0 || (!lone_m && !td_lang_unit_same_dim(&unit, &td_lang_unit_second))) {
            return;
        }
        t->num += num * (lone_m ? 60 : unit.scale);
        lx->at = ahead.at + (uint32_t)n;
    }
}

static void lex_unit(struct td_lang_lexer *lx, struct td_lang_token *t)
{
    bool lone_m;
    size_t n = td_lang_unit_read(rest(lx), &t->unit, &lone_m);
    if (n == 0) {
        if (is_letter(peek(lx, 0)) || peek(lx, 0) >= 0x80 || peek(lx, 0) == '%') {
            uint32_t end = 1;
            while (is_letter(peek(lx, end)) || peek(lx, end) >= 0x80) {
                end++;
            }
            t->place.at = lx->at;
            bad(lx, t, end, "this is no unit",
                "write a unit like s, m, h, %, K, °C, kWh, l/min directly behind the number");
        }
        return;
    }
    lx->at += (uint32_t)n;
    t->has_unit = true;
    if (lone_m) {
        t->unit = td_lang_unit_second;
        t->unit.scale = 60;
    }
    if (td_lang_unit_same_dim(&t->unit, &td_lang_unit_second)) {
        take_duration(lx, t);
    }
}

static void lex_number(struct td_lang_lexer *lx, struct td_lang_token *t)
{
    t->kind = TOK_NUM;
    uint32_t n = number_bytes(lx);
    if (n <= 2 && peek(lx, n) == ':' && is_digit(peek(lx, n + 1)) && is_digit(peek(lx, n + 2)) &&
        !is_digit(peek(lx, n + 3))) {
        t->kind = TOK_TOD;
        lx->at += n + 3;
        return;
    }
    if (!take_number(lx, &t->num)) {
        bad(lx, t, n, "the number is too large", "numbers go up to 1.8e308");
        return;
    }
    lex_unit(lx, t);
}

static void lex_string(struct td_lang_lexer *lx, struct td_lang_token *t)
{
    uint32_t n = 1;
    for (;; n++) {
        uint8_t c = peek(lx, n);
        if (lx->at + n >= lx->text.n || c == '\n') {
            bad(lx, t, n, "the text does not end in this line", "close it with '");
            return;
        }
        if (c == '\'' && peek(lx, n + 1) != '\'') {
            break;
        }
        if (c == '\'') {
            t->escaped = true;
            n++;
        }
    }
    t->kind = TOK_STR;
    t->text = (td_slice){lx->text.p + lx->at + 1, n - 1};
    lx->at += n + 1;
    if (!td_utf8_valid(t->text)) {
        lx->at -= n + 1;
        bad(lx, t, n + 1, "the text is not UTF-8", "save the file as UTF-8");
    }
}

static void lex_path(struct td_lang_lexer *lx, struct td_lang_token *t)
{
    uint32_t n = 1;
    for (;;) {
        uint32_t from = n;
        if (peek(lx, n) == '.' && is_letter(peek(lx, n + 1))) {
            for (n += 2; is_letter(peek(lx, n)) || is_digit(peek(lx, n)); n++) {
            }
        } else if (peek(lx, n) == '[' && is_digit(peek(lx, n + 1))) {
            for (n += 2; is_digit(peek(lx, n)); n++) {
            }
            n += peek(lx, n) == ']';
        }
        if (n == from) {
            break;
        }
    }
    t->kind = TOK_PATH;
    t->text = td_slice_head(rest(lx), n);
    lx->at += n;
}

static void lex_sign(struct td_lang_lexer *lx, struct td_lang_token *t)
{
    static const struct {
        char a, b;
        enum td_lang_tok kind;
    } pairs[] = {{'.', '.', TOK_RANGE}, {'<', '=', TOK_LE}, {'>', '=', TOK_GE}, {'<', '>', TOK_NE}};
    uint8_t c = peek(lx, 0);
    for (size_t i = 0; i < TD_COUNT(pairs); i++) {
        if (c == (uint8_t)pairs[i].a && peek(lx, 1) == (uint8_t)pairs[i].b) {
            t->kind = pairs[i].kind;
            lx->at += 2;
            return;
        }
    }
    if (c != 0 && strchr("()[]{},;:.=<>+-*/", c) != NULL) {
        t->kind = TOK_CHAR;
        t->c = (char)c;
        lx->at++;
        return;
    }
    bool lone_m;
    size_t unit = td_lang_unit_read(rest(lx), &t->unit, &lone_m);
    if (unit > 0) { /* where no type stands the parser will not like it */
        t->kind = TOK_UNIT;
        lx->at += (uint32_t)unit;
        return;
    }
    if (c == '!' && peek(lx, 1) == '=') {
        bad(lx, t, 2, "there is no !=", "write <>");
    } else if (c == '"') {
        bad(lx, t, 1, "texts stand in single quotes", "write 'text'");
    } else {
        uint32_t n = 1;
        while ((peek(lx, n) & 0xC0) == 0x80) {
            n++;
        }
        bad(lx, t, n, "this character has no meaning here", "take it out, or put text into quotes");
    }
}

void td_lang_lex(struct td_lang_lexer *lx, struct td_lang_token *out)
{
    skip_blank(lx);
    *out = (struct td_lang_token){.place = {lx->file, lx->at, 0}};
    if (lx->at >= lx->text.n) {
        return;
    }
    uint8_t c = peek(lx, 0);
    if (is_letter(c)) {
        lex_word(lx, out);
    } else if (is_digit(c)) {
        lex_number(lx, out);
    } else if (c == '\'') {
        lex_string(lx, out);
    } else if (c == '$') {
        lex_path(lx, out);
    } else {
        lex_sign(lx, out);
    }
    if (out->kind != TOK_BAD) {
        out->place.n = lx->at - out->place.at;
    }
}
