/* json: the tokenizer, strings, and their writer. Numbers: number.c.
 *
 * What may come next is one small state; the kinds of the open levels are one bit each, so the
 * machine is a few words and needs no stack. */
#include "base/json.h"

enum want {
    WANT_VALUE,        /* at the start, behind a key, behind a comma in an array */
    WANT_VALUE_OR_END, /* behind [ */
    WANT_KEY,          /* behind a comma in an object */
    WANT_KEY_OR_END,   /* behind { */
    WANT_MORE_OR_END,  /* behind a value inside an object or array */
    WANT_NOTHING,      /* behind the one value */
    WANT_ERROR
};

static enum td_json_kind fail(struct td_json *j, struct td_json_token *out, const char *rule)
{
    j->want = WANT_ERROR;
    j->rule = rule;
    *out = (struct td_json_token){.kind = TD_JSON_ERROR,
                                  .depth = j->depth,
                                  .offset = (size_t)(j->at - j->start),
                                  .rule = rule};
    return TD_JSON_ERROR;
}

/* ---- strings ---- */

/* The value of a hex digit, 16 if it is none. */
static unsigned hex(uint8_t c)
{
    if (td_in(c, '0', '9')) {
        return c - (unsigned)'0';
    }
    c |= 0x20;
    return td_in(c, 'a', 'f') ? c - (unsigned)'a' + 10 : 16;
}

/* Four hex digits at p; above 0xFFFF: they are not there. */
static uint32_t hex4(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 4) {
        return UINT32_MAX;
    }
    uint32_t v = 0, bad = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = hex(p[i]);
        bad |= digit & 16;
        v = v << 4 | (digit & 15);
    }
    return bad ? UINT32_MAX : v;
}

/* p is behind a backslash. Reads one escape as a code point and moves behind it; NULL: broken. */
static const uint8_t *escape(const uint8_t *p, const uint8_t *end, uint32_t *code)
{
    static const uint8_t plain[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                       ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    if (p == end) {
        return NULL;
    }
    if (*p != 'u') {
        *code = plain[*p];
        return *code == 0 ? NULL : p + 1;
    }
    uint32_t high = hex4(p + 1, end);
    if (high > 0xFFFF || td_in(high, 0xDC00, 0xDFFF)) {
        return NULL;
    }
    p += 5;
    if (td_in(high, 0xD800, 0xDBFF)) {
        uint32_t low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : 0;
        if (!td_in(low, 0xDC00, 0xDFFF)) {
            return NULL;
        }
        high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *code = high;
    return p;
}

/* j->at is behind the opening quote. Moves behind the closing one; NULL or what is broken. */
static const char *read_string(struct td_json *j, struct td_json_token *out)
{
    const uint8_t *p = j->at;
    uint8_t seen = 0;
    bool escaped = false;
    while (p < j->end && *p != '"') {
        uint32_t code;
        seen |= *p;
        if (*p < 0x20) {
            j->at = p;
            return "a control character in a string must be escaped";
        }
        if (*p++ != '\\') {
            continue;
        }
        escaped = true;
        const uint8_t *behind = escape(p, j->end, &code);
        if (behind == NULL) {
            j->at = p - 1;
            return "not an escape sequence of JSON";
        }
        p = behind;
    }
    out->span = (td_slice){j->at, (size_t)(p - j->at)};
    out->escaped = escaped;
    if (seen >= 0x80 && !td_utf8_valid(out->span)) {
        return "a string must be UTF-8";
    }
    j->at = p;
    if (p == j->end) {
        return "the text ends inside a string";
    }
    j->at++;
    return NULL;
}

static size_t utf8_put(uint8_t out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (uint8_t)(lead[n] | code);
    return n;
}

/* The next stretch of a string's meaning: plain bytes of the span, or one escape put into `room`.
 * Moves *at; an empty slice is the end. */
static td_slice stretch(const uint8_t **at, const uint8_t *end, uint8_t room[4])
{
    const uint8_t *p = *at;
    uint32_t code = 0;
    if (p < end && *p == '\\') {
        const uint8_t *behind = escape(p + 1, end, &code);
        td_assert(behind != NULL); /* the tokenizer has looked at it */
        *at = behind;
        return (td_slice){room, utf8_put(room, code)};
    }
    while (p < end && *p != '\\') {
        p++;
    }
    td_slice plain = {*at, (size_t)(p - *at)};
    *at = p;
    return plain;
}

enum td_err td_json_unescape(const struct td_json_token *token, struct td_buf *out)
{
    if (!token->escaped) {
        return td_buf_add(out, token->span);
    }
    const uint8_t *at = token->span.p, *end = at + token->span.n;
    enum td_err err = TD_OK;
    while (at < end && err == TD_OK) {
        uint8_t room[4];
        err = td_buf_add(out, stretch(&at, end, room));
    }
    return err;
}

bool td_json_is(const struct td_json_token *token, td_slice text)
{
    if (!token->escaped) {
        return td_slice_eq(token->span, text);
    }
    const uint8_t *at = token->span.p, *end = at + token->span.n;
    while (at < end) {
        uint8_t room[4];
        td_slice part = stretch(&at, end, room);
        if (!td_slice_starts(text, part)) {
            return false;
        }
        text = td_slice_skip(text, part.n);
    }
    return text.n == 0;
}

/* ---- numbers and words ---- */

static const uint8_t *digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && td_in(*p, '0', '9')) {
        p++;
    }
    return p;
}

/* number = [ minus ] int [ frac ] [ exp ]; leaves j->at where it is broken. */
static const char *read_number(struct td_json *j, struct td_json_token *out)
{
    const uint8_t *start = j->at, *p = start + (*start == '-');
    j->at = digits(p, j->end);
    if (j->at == p) {
        return "a number needs a digit here";
    }
    if (*p == '0' && j->at - p > 1) {
        j->at = p;
        return "a number must not begin with a needless 0";
    }
    p = j->at;
    if (p < j->end && *p == '.') {
        j->at = digits(++p, j->end);
        if (j->at == p) {
            return "a number needs a digit behind its point";
        }
        p = j->at;
    }
    if (p < j->end && (*p | 0x20) == 'e') {
        p++;
        p += p < j->end && (*p == '+' || *p == '-');
        j->at = digits(p, j->end);
        if (j->at == p) {
            return "a number needs a digit in its exponent";
        }
    }
    out->span = (td_slice){start, (size_t)(j->at - start)};
    return NULL;
}

static const char *read_word(struct td_json *j, struct td_json_token *out)
{
    static const struct {
        td_slice word;
        enum td_json_kind kind;
    } words[] = {{{(const uint8_t *)"true", 4}, TD_JSON_TRUE},
                 {{(const uint8_t *)"false", 5}, TD_JSON_FALSE},
                 {{(const uint8_t *)"null", 4}, TD_JSON_NULL}};
    td_slice rest = {j->at, (size_t)(j->end - j->at)};
    for (size_t i = 0; i < TD_COUNT(words); i++) {
        if (td_slice_starts(rest, words[i].word)) {
            out->kind = words[i].kind;
            out->span = td_slice_head(rest, words[i].word.n);
            j->at += words[i].word.n;
            return NULL;
        }
    }
    return j->at == j->end ? "the text ends where a value must come" : "not a value of JSON";
}

/* ---- the machine ---- */

void td_json_init(struct td_json *j, td_slice text)
{
    static const uint8_t nothing;
    const uint8_t *p = text.p ? text.p : &nothing;
    *j = (struct td_json){.start = p, .at = p, .end = p + text.n, .want = WANT_VALUE};
}

static void skip_space(struct td_json *j)
{
    while (j->at < j->end &&
           (*j->at == ' ' || *j->at == '\n' || *j->at == '\r' || *j->at == '\t')) {
        j->at++;
    }
}

static uint8_t peek(const struct td_json *j)
{
    return j->at < j->end ? *j->at : 0;
}

static bool in_array(const struct td_json *j)
{
    return j->depth > 0 && (j->arrays >> (j->depth - 1) & 1);
}

static enum td_json_kind open(struct td_json *j, struct td_json_token *out, bool array)
{
    if (j->depth == TD_JSON_DEPTH_MAX) {
        return fail(j, out, "nested deeper than 64 levels");
    }
    uint64_t bit = UINT64_C(1) << j->depth++;
    j->arrays = array ? j->arrays | bit : j->arrays & ~bit;
    j->want = array ? WANT_VALUE_OR_END : WANT_KEY_OR_END;
    out->span = (td_slice){j->at++, 1};
    return out->kind = array ? TD_JSON_ARRAY : TD_JSON_OBJECT;
}

static enum td_json_kind close(struct td_json *j, struct td_json_token *out)
{
    out->kind = in_array(j) ? TD_JSON_ARRAY_END : TD_JSON_OBJECT_END;
    out->span = (td_slice){j->at++, 1};
    out->depth = --j->depth;
    j->want = j->depth == 0 ? WANT_NOTHING : WANT_MORE_OR_END;
    return out->kind;
}

static enum td_json_kind value(struct td_json *j, struct td_json_token *out)
{
    uint8_t c = peek(j);
    const char *rule;
    if (c == '{' || c == '[') {
        return open(j, out, c == '[');
    }
    if (c == '"') {
        j->at++;
        out->kind = TD_JSON_STRING;
        rule = read_string(j, out);
    } else if (c == '-' || td_in(c, '0', '9')) {
        out->kind = TD_JSON_NUMBER;
        rule = read_number(j, out);
    } else {
        rule = read_word(j, out);
    }
    if (rule != NULL) {
        return fail(j, out, rule);
    }
    j->want = j->depth == 0 ? WANT_NOTHING : WANT_MORE_OR_END;
    return out->kind;
}

/* A key with the colon behind it, so that its value is what comes next. */
static enum td_json_kind key(struct td_json *j, struct td_json_token *out)
{
    if (peek(j) != '"') {
        return fail(j, out, "a key in double quotes must come here");
    }
    j->at++;
    const char *rule = read_string(j, out);
    if (rule != NULL) {
        return fail(j, out, rule);
    }
    skip_space(j);
    if (peek(j) != ':') {
        return fail(j, out, "a key must be followed by a colon");
    }
    j->at++;
    j->want = WANT_VALUE;
    return out->kind = TD_JSON_KEY;
}

static enum td_json_kind end(struct td_json *j, struct td_json_token *out)
{
    if (j->at < j->end) {
        return fail(j, out, "only white space may follow the value");
    }
    return out->kind = TD_JSON_END;
}

/* Behind a value: takes the comma, if one is there. False: neither comma nor end. */
static bool comma(struct td_json *j, uint8_t closing)
{
    uint8_t c = peek(j);
    if (c == closing) {
        return true;
    }
    if (c != ',') {
        return false;
    }
    j->at++;
    skip_space(j);
    j->want = in_array(j) ? WANT_VALUE : WANT_KEY;
    return true;
}

enum td_json_kind td_json_next(struct td_json *j, struct td_json_token *out)
{
    if (j->want == WANT_ERROR) {
        return fail(j, out, j->rule);
    }
    skip_space(j);
    uint8_t closing = in_array(j) ? ']' : '}';
    if (j->want == WANT_MORE_OR_END && !comma(j, closing)) {
        return fail(j, out,
                    in_array(j) ? "a comma or ] must come here" : "a comma or } must come here");
    }
    *out = (struct td_json_token){.depth = j->depth, .offset = (size_t)(j->at - j->start)};
    switch ((enum want)j->want) {
    case WANT_VALUE:
        return value(j, out);
    case WANT_VALUE_OR_END:
        return peek(j) == closing ? close(j, out) : value(j, out);
    case WANT_KEY:
        return key(j, out);
    case WANT_KEY_OR_END:
        return peek(j) == closing ? close(j, out) : key(j, out);
    case WANT_MORE_OR_END:
        return close(j, out);
    case WANT_NOTHING:
        return end(j, out);
    case WANT_ERROR:
        break;
    }
    return TD_JSON_ERROR; /* not reached: answered above */
}

bool td_json_skip(struct td_json *j, const struct td_json_token *begin)
{
    if (begin->kind != TD_JSON_OBJECT && begin->kind != TD_JSON_ARRAY) {
        return begin->kind != TD_JSON_ERROR;
    }
    struct td_json_token t;
    do {
        if (td_json_next(j, &t) == TD_JSON_ERROR) {
            return false;
        }
    } while (j->depth > begin->depth);
    return true;
}

bool td_json_valid(td_slice text)
{
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, text);
    do {
        td_json_next(&j, &t);
    } while (t.kind != TD_JSON_ERROR && t.kind != TD_JSON_END);
    return t.kind == TD_JSON_END;
}

/* ---- writer ---- */

/* The length of the well-formed UTF-8 character at the front of s, 0 if there is none. */
static size_t character(td_slice s)
{
    uint8_t lead = s.p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    return n <= s.n && td_utf8_valid(td_slice_head(s, n)) ? n : 0;
}

static enum td_err add_escape(struct td_buf *out, uint8_t c)
{
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (c >= 0x80) {
        return td_buf_add(out, TD_STR("\\ufffd"));
    }
    if (c >= 0x20) { /* " and \ */
        return td_buf_add(out, (td_slice){(const uint8_t[]){'\\', c}, 2});
    }
    return letters[c] ? td_buf_printf(out, "\\%c", letters[c]) : td_buf_printf(out, "\\u%04x", c);
}

/* How many bytes at the front of s can be written as they are. */
static size_t plain_run(td_slice s)
{
    size_t n = 0;
    while (n < s.n) {
        uint8_t c = s.p[n];
        size_t more = c < 0x20 || c == '"' || c == '\\' ? 0
                      : c < 0x80                        ? 1
                                                        : character(td_slice_skip(s, n));
        if (more == 0) {
            break;
        }
        n += more;
    }
    return n;
}

enum td_err td_json_add_string(struct td_buf *out, td_slice text)
{
    enum td_err err = td_buf_add_u8(out, '"');
    while (err == TD_OK && text.n > 0) {
        size_t n = plain_run(text);
        err = td_buf_add(out, td_slice_head(text, n));
        text = td_slice_skip(text, n);
        if (err == TD_OK && text.n > 0) {
            err = add_escape(out, text.p[0]);
            text = td_slice_skip(text, 1);
        }
    }
    return err == TD_OK ? td_buf_add_u8(out, '"') : err;
}

/* ---- documents ---- */

struct td_json_out td_json_out(struct td_buf *to)
{
    return (struct td_json_out){.to = to, .err = TD_OK};
}

/* Before a value or a key: its comma. False: a failure sticks already. */
static bool piece(struct td_json_out *o)
{
    if (o->err == TD_OK && o->comma) {
        o->err = td_buf_add_u8(o->to, ',');
    }
    o->comma = true;
    return o->err == TD_OK;
}

void td_json_open(struct td_json_out *o, char bracket)
{
    if (piece(o)) {
        o->err = td_buf_add_u8(o->to, (uint8_t)bracket);
    }
    o->comma = false;
}

void td_json_close(struct td_json_out *o, char bracket)
{
    if (o->err == TD_OK) {
        o->err = td_buf_add_u8(o->to, (uint8_t)bracket);
    }
    o->comma = true;
}

void td_json_key(struct td_json_out *o, const char *name)
{
    td_json_string(o, td_slice_of(name));
    if (o->err == TD_OK) {
        o->err = td_buf_add_u8(o->to, ':');
    }
    o->comma = false;
}

void td_json_string(struct td_json_out *o, td_slice text)
{
    if (piece(o)) {
        o->err = td_json_add_string(o->to, text);
    }
}

void td_json_real(struct td_json_out *o, double number)
{
    if (piece(o)) {
        o->err = td_json_add_number(o->to, number);
    }
}

void td_json_int(struct td_json_out *o, int64_t number)
{
    if (piece(o)) {
        o->err = td_json_add_int(o->to, number);
    }
}

void td_json_raw(struct td_json_out *o, const char *json)
{
    if (piece(o)) {
        o->err = td_buf_add(o->to, td_slice_of(json));
    }
}
