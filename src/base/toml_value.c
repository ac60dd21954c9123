/* toml: values. Strings, arrays and inline tables are told by their first byte; all else is one
 * word, and its form says what it is. */
#include "base/json.h"
#include "base/toml_inside.h"

/* ---- strings ---- */

static unsigned hex(uint8_t c)
{
    if (td_in(c, '0', '9')) {
        return c - (unsigned)'0';
    }
    c |= 0x20;
    return td_in(c, 'a', 'f') ? c - (unsigned)'a' + 10 : 16;
}

static size_t utf8_put(uint8_t out[4], uint32_t code)
{
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (uint8_t)(lead[n] | code);
    return n;
}

static bool put(struct td_toml_parser *p, td_slice bytes)
{
    return td_buf_add(&p->scratch, bytes) == TD_OK || td_toml_full(p);
}

/* Behind \u or \U: so many hex digits, a character that exists. */
static bool unicode(struct td_toml_parser *p, size_t digits)
{
    uint8_t utf8[4];
    uint32_t code = 0;
    const uint8_t *from = p->at - 2;
    for (size_t i = 0; i < digits; i++) {
        unsigned digit = hex(td_toml_peek(p, 0));
        if (digit > 15) {
            return td_toml_fail_at(p, from, "\\u needs 4 hex digits, \\U needs 8");
        }
        code = code << 4 | digit;
        p->at++;
    }
    if (code > 0x10FFFF || td_in(code, 0xD800, 0xDFFF)) {
        return td_toml_fail_at(p, from, "there is no such character in Unicode");
    }
    return put(p, (td_slice){utf8, utf8_put(utf8, code)});
}

/* A backslash that ends its line takes the line end and all white space behind it. False: it does
 * not, p->at stays. */
static bool line_continues(struct td_toml_parser *p)
{
    const uint8_t *at = p->at;
    td_toml_space(p);
    bool ends =
        td_toml_peek(p, 0) == '\n' || (td_toml_peek(p, 0) == '\r' && td_toml_peek(p, 1) == '\n');
    if (!ends) {
        p->at = at;
        return false;
    }
    for (;;) {
        uint8_t c = td_toml_peek(p, 0);
        if (c != ' ' && c != '\t' && c != '\n' && !(c == '\r' && td_toml_peek(p, 1) == '\n')) {
            return true;
        }
        p->at++;
    }
}

/* p->at is behind a backslash. */
static bool escape(struct td_toml_parser *p, bool multi)
{
    static const uint8_t plain[256] = {['b'] = '\b', ['t'] = '\t', ['n'] = '\n', ['f'] = '\f',
                                       ['r'] = '\r', ['"'] = '"',  ['\\'] = '\\'};
    if (multi && line_continues(p)) {
        return true;
    }
    uint8_t c = td_toml_peek(p, 0);
    p->at++;
    if (c == 'u' || c == 'U') {
        return unicode(p, c == 'u' ? 4 : 8);
    }
    if (plain[c] == 0) {
        return td_toml_fail_at(p, p->at - 2,
                               "not an escape: \\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX \\UXXXXXXXX, "
                               "or '...' for text as it is");
    }
    return put(p, (td_slice){&plain[c], 1});
}

/* What a string may not hold. Line ends: within multi-line ones. */
static bool character_fine(struct td_toml_parser *p, bool multi)
{
    uint8_t c = *p->at;
    if (c == '\n' || (c == '\r' && td_toml_peek(p, 1) == '\n')) {
        return multi || td_toml_fail(p, "the string must end on its line; \"\"\" may go on");
    }
    return (c >= 0x20 && c != 0x7F) || c == '\t' ||
           td_toml_fail(p, "a control character in a string must be escaped");
}

/* How many quotes stand here. */
static size_t quotes_at(const struct td_toml_parser *p, uint8_t quote, size_t most)
{
    size_t n = 0;
    while (n < most && td_toml_peek(p, n) == quote) {
        n++;
    }
    return n;
}

/* One character of the string, or an escape. */
static bool character(struct td_toml_parser *p, uint8_t quote, bool multi)
{
    if (!character_fine(p, multi)) {
        return false;
    }
    td_slice c = {p->at++, 1};
    if (*c.p == '\\' && quote == '"') {
        return escape(p, multi);
    }
    return (*c.p == '\r' && td_toml_peek(p, 0) == '\n') || put(p, c); /* a line end is one byte */
}

/* What stands up to the closing quotes into the scratch buffer. */
static bool characters(struct td_toml_parser *p, uint8_t quote, bool multi)
{
    const uint8_t *from = p->at;
    while (p->at < p->end) {
        /* A multi-line string may end with one or two quotes of its own before its three. */
        size_t n = quotes_at(p, quote, multi ? 5 : 1), closing = multi ? 3 : 1;
        bool closes = n >= closing;
        size_t own = closes ? n - closing : n;
        if (!put(p, (td_slice){p->at, own})) {
            return false;
        }
        p->at += n;
        if (closes) {
            return true;
        }
        if (n == 0 && !character(p, quote, multi)) {
            return false;
        }
    }
    return td_toml_fail_at(p, from, "the string is not closed");
}

bool td_toml_string(struct td_toml_parser *p, bool multi, td_slice *out)
{
    uint8_t quote = *p->at;
    bool three = multi && quotes_at(p, quote, 3) == 3;
    p->at += three ? 3 : 1;
    if (three) { /* a line end right behind the quotes is not part of it */
        p->at += td_toml_peek(p, 0) == '\r' && td_toml_peek(p, 1) == '\n' ? 1 : 0;
        p->at += td_toml_peek(p, 0) == '\n' ? 1 : 0;
    }
    td_buf_clear(&p->scratch);
    if (!characters(p, quote, three)) {
        return false;
    }
    *out = td_arena_copy(p->arena, td_buf_slice(&p->scratch));
    return out->p != NULL || td_toml_full(p);
}

/* ---- words: numbers, dates, true and false ---- */

static bool is_word_byte(uint8_t c)
{
    return td_in(c | 0x20, 'a', 'z') || td_in(c, '0', '9') ||
           (c != 0 && strchr("+-._:", c) != NULL);
}

static td_slice word(struct td_toml_parser *p)
{
    const uint8_t *from = p->at;
    while (is_word_byte(td_toml_peek(p, 0))) {
        p->at++;
    }
    return (td_slice){from, (size_t)(p->at - from)};
}

/* Copies without underscores, each of which must stand between two digits; false: one does not. */
static bool without_underscores(td_slice s, char *out, size_t room, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_') {
            if (i == 0 || i + 1 == s.n || hex(s.p[i - 1]) > 15 || hex(s.p[i + 1]) > 15) {
                return false;
            }
        } else if (*n + 1 < room) {
            out[(*n)++] = (char)s.p[i];
        } else {
            return false;
        }
    }
    out[*n] = 0;
    return true;
}

/* 0x, 0o, 0b. */
static bool based(td_slice s, struct td_toml *node)
{
    unsigned base = s.p[1] == 'x' ? 16 : s.p[1] == 'o' ? 8 : 2;
    uint64_t v = 0;
    char digits[72];
    size_t n;
    td_slice rest = td_slice_skip(s, 2);
    if (rest.n == 0 || !without_underscores(rest, digits, sizeof digits, &n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned digit = hex((uint8_t)digits[i]);
        if (digit >= base || v > (uint64_t)INT64_MAX / base) {
            return false;
        }
        v = v * base + digit;
    }
    node->integer = (int64_t)v;
    node->real = (double)v;
    node->type = TD_TOML_INT;
    return v <= INT64_MAX;
}

static bool special(td_slice s, struct td_toml *node)
{
    static const struct {
        const char *word;
        enum td_toml_type type;
        double real;
        bool boolean;
    } words[] = {{"true", TD_TOML_BOOL, 0, true},
                 {"false", TD_TOML_BOOL, 0, false},
                 {"inf", TD_TOML_FLOAT, __builtin_inf(), false},
                 {"+inf", TD_TOML_FLOAT, __builtin_inf(), false},
                 {"-inf", TD_TOML_FLOAT, -__builtin_inf(), false},
                 {"nan", TD_TOML_FLOAT, __builtin_nan(""), false},
                 {"+nan", TD_TOML_FLOAT, __builtin_nan(""), false},
                 {"-nan", TD_TOML_FLOAT, -__builtin_nan(""), false}};
    for (size_t i = 0; i < TD_COUNT(words); i++) {
        if (td_slice_eq(s, td_slice_of(words[i].word))) {
            node->type = words[i].type;
            node->real = words[i].real;
            node->boolean = words[i].boolean;
            return true;
        }
    }
    return false;
}

/* JSON's numbers, with a + before them and underscores between digits. */
static bool number(td_slice s, struct td_toml *node)
{
    char text[256];
    size_t n;
    bool is_int;
    if (s.n > 2 && s.p[0] == '0' && memchr("xob", s.p[1], 3) != NULL) {
        return based(s, node);
    }
    if (s.p[0] == '+') {
        s = td_slice_skip(s, 1);
        if (s.n == 0 || s.p[0] == '-') {
            return false;
        }
    }
    if (!without_underscores(s, text, sizeof text, &n) ||
        td_json_number((td_slice){(uint8_t *)text, n}, &node->real, &node->integer, &is_int) !=
            TD_OK) {
        return false;
    }
    bool whole = strpbrk(text, ".eE") == NULL;
    node->type = whole ? TD_TOML_INT : TD_TOML_FLOAT;
    return is_int || !whole; /* a whole number beyond int64 is none */
}

/* ---- dates and times ---- */

/* Does s begin with the form? 0: a digit, other bytes: themselves. */
static bool has_form(td_slice s, const char *form)
{
    size_t n = strlen(form);
    for (size_t i = 0; i < n; i++) {
        if (s.n <= i || (form[i] == '0' ? !td_in(s.p[i], '0', '9') : s.p[i] != (uint8_t)form[i])) {
            return false;
        }
    }
    return true;
}

static unsigned two(td_slice s, size_t at)
{
    return (s.p[at] - (unsigned)'0') * 10 + (s.p[at + 1] - (unsigned)'0');
}

static bool date_exists(td_slice s)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = two(s, 0) * 100 + two(s, 2), month = two(s, 5), day = two(s, 8);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return td_in(month, 1, 12) && td_in(day, 1, days[month - 1] + (month == 2 && leap ? 1U : 0U));
}

/* hh:mm:ss[.fraction]; moves *s behind it. */
static bool clock_time(td_slice *s)
{
    if (!has_form(*s, "00:00:00") || two(*s, 0) > 23 || two(*s, 3) > 59 || two(*s, 6) > 59) {
        return false;
    }
    *s = td_slice_skip(*s, 8);
    if (s->n > 0 && s->p[0] == '.') {
        *s = td_slice_skip(*s, 1);
        if (!has_form(*s, "0")) {
            return false;
        }
        while (has_form(*s, "0")) {
            *s = td_slice_skip(*s, 1);
        }
    }
    return true;
}

static bool offset(td_slice s)
{
    if (s.n == 0 || (s.n == 1 && (s.p[0] | 0x20) == 'z')) {
        return true;
    }
    return s.n == 6 && (has_form(s, "+00:00") || has_form(s, "-00:00")) && two(s, 1) < 24 &&
           two(s, 4) < 60;
}

static bool time_fine(td_slice s)
{
    if (has_form(s, "00:")) {
        return clock_time(&s) && s.n == 0;
    }
    if (!date_exists(s)) {
        return false;
    }
    s = td_slice_skip(s, 10);
    if (s.n == 0) {
        return true;
    }
    bool parted = (s.p[0] | 0x20) == 't' || s.p[0] == ' ';
    s = td_slice_skip(s, 1);
    return parted && clock_time(&s) && offset(s);
}

/* A space may stand between date and time. */
static td_slice with_time(struct td_toml_parser *p, td_slice date)
{
    if (date.n == 10 && td_toml_peek(p, 0) == ' ' && td_in(td_toml_peek(p, 1), '0', '9')) {
        p->at++;
        date.n += 1 + word(p).n;
    }
    return date;
}

static struct td_toml *read_word(struct td_toml_parser *p, struct td_toml *node)
{
    const uint8_t *from = p->at;
    td_slice s = word(p);
    bool fine;
    if (s.n == 0) {
        td_toml_fail(p, "a value must come here; text needs quotes");
        return NULL;
    }
    if (has_form(s, "0000-00-00") || has_form(s, "00:")) {
        s = with_time(p, s);
        node->type = TD_TOML_TIME;
        node->text = td_arena_copy(p->arena, s);
        fine = time_fine(s);
        if (node->text.p == NULL) {
            td_toml_full(p);
            return NULL;
        }
    } else {
        fine = special(s, node) || number(s, node);
    }
    if (!fine) {
        td_toml_fail_at(p, from, "not a number, date, true or false; text needs quotes");
        return NULL;
    }
    return node;
}

/* ---- arrays and inline tables ---- */

static bool array_items(struct td_toml_parser *p, struct td_toml *array)
{
    const uint8_t *from = p->at++;
    for (;;) {
        if (!td_toml_lines(p)) {
            return false;
        }
        if (td_toml_peek(p, 0) == ']') {
            break;
        }
        struct td_toml *item = p->at < p->end ? td_toml_value(p, p->at) : NULL;
        if (item == NULL) {
            return td_toml_fail_at(p, from, "the array is not closed");
        }
        td_toml_append(array, item);
        if (!td_toml_lines(p)) {
            return false;
        }
        if (td_toml_peek(p, 0) != ',') {
            break;
        }
        p->at++;
    }
    return (td_toml_peek(p, 0) == ']' && p->at++) || td_toml_fail(p, "a comma or ] must come here");
}

/* Nobody may add to what stands inside braces. */
static void freeze(struct td_toml *table)
{
    for (struct td_toml *child = table->first; child != NULL; child = child->next) {
        if (child->made == TD_TOML_DOTTED) {
            child->made = TD_TOML_VALUE;
            freeze(child);
        }
    }
}

static bool inline_pairs(struct td_toml_parser *p, struct td_toml *table)
{
    p->at++;
    td_toml_space(p);
    if (td_toml_peek(p, 0) != '}') {
        do {
            td_toml_space(p);
            if (!td_toml_pair(p, table)) {
                return false;
            }
            td_toml_space(p);
        } while (td_toml_peek(p, 0) == ',' && p->at++);
    }
    freeze(table);
    return (td_toml_peek(p, 0) == '}' && p->at++) ||
           td_toml_fail(p, "a comma or } must come here, on the same line");
}

struct td_toml *td_toml_value(struct td_toml_parser *p, const uint8_t *at)
{
    uint8_t c = td_toml_peek(p, 0);
    struct td_toml *node = td_toml_node(p, TD_TOML_STRING, at);
    if (node == NULL) {
        return NULL;
    }
    node->made = TD_TOML_VALUE;
    if (c == '"' || c == '\'') {
        return td_toml_string(p, true, &node->text) ? node : NULL;
    }
    if (c != '[' && c != '{') {
        return read_word(p, node);
    }
    if (p->depth == TD_TOML_DEPTH_MAX) {
        td_toml_fail(p, "nested deeper than 32 levels");
        return NULL;
    }
    p->depth++;
    node->type = c == '[' ? TD_TOML_ARRAY : TD_TOML_TABLE;
    bool fine = c == '[' ? array_items(p, node) : inline_pairs(p, node);
    p->depth--;
    return fine ? node : NULL;
}
