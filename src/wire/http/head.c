/* http: heads. The end of a head is looked for byte by byte as it comes in; only a whole one is
 * taken apart, field by field, by a table of the fields that mean something to the machine. */
#include "wire/http/http.h"
#include "wire/http/inside.h"

static enum td_err broken(struct td_http *h, unsigned status, const char *rule)
{
    h->status = (uint16_t)status;
    h->rule = rule;
    return TD_EPROTO;
}

/* ---- bytes ---- */

/* RFC 9110, 5.6.2: tchar. */
static bool is_token(td_slice s)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (!td_in(c | 0x20, 'a', 'z') && !td_in(c, '0', '9') &&
            (c == 0 || memchr(extra, c, sizeof extra - 1) == NULL)) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_visible(td_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!td_in(s.p[i], 0x21, 0x7E)) {
            return false;
        }
    }
    return s.n > 0;
}

/* RFC 9110, 5.5: visible, obs-text, space and tab. */
static bool is_value(td_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            return false;
        }
    }
    return true;
}

/* uri-host [ ":" port ]: what a name, an address, or an address in brackets is made of. */
static bool is_host(td_slice s)
{
    static const char extra[] = ".-_~:[]%!$&'()*+,;=";
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (!td_in(c | 0x20, 'a', 'z') && !td_in(c, '0', '9') &&
            (c == 0 || memchr(extra, c, sizeof extra - 1) == NULL)) {
            return false;
        }
    }
    return s.n <= 255;
}

static td_slice trim(td_slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = td_slice_skip(s, 1);
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* What stands before the first `byte`; *rest goes on behind it (or is empty). */
static td_slice before(td_slice *rest, uint8_t byte)
{
    td_slice part = td_slice_head(*rest, td_slice_find(*rest, byte));
    *rest = td_slice_skip(*rest, part.n + 1);
    return part;
}

/* 1..19 digits. */
static bool number(td_slice s, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!td_in(s.p[i], '0', '9')) {
            return false;
        }
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return td_in(s.n, 1, 19);
}

/* ---- fields that mean something to the machine ---- */

/* What was met while reading the fields of one head. */
struct met {
    struct td_http *h;
    struct td_http_head *head;
    unsigned hosts, lengths, codings;
    bool close, keep, upgrade, websocket;
};

static enum td_err on_host(struct met *m, td_slice value)
{
    if (m->hosts++ > 0 || !is_host(value)) {
        return broken(m->h, 400, "one Host with a name or an address (RFC 9112, 3.2)");
    }
    m->head->host = value;
    return TD_OK;
}

static enum td_err on_length(struct met *m, td_slice value)
{
    if (m->lengths++ > 0 || !number(value, &m->head->length)) {
        return broken(m->h, 400, "one Content-Length, digits only (RFC 9112, 6.3)");
    }
    return TD_OK;
}

static enum td_err on_coding(struct met *m, td_slice value)
{
    if (m->codings++ > 0 || m->head->minor == 0) {
        return broken(m->h, 400, "one Transfer-Encoding, from HTTP/1.1 on (RFC 9112, 6.1)");
    }
    if (!td_http_same(value, TD_STR("chunked"))) {
        return broken(m->h, 501, "Transfer-Encoding can only be chunked");
    }
    return TD_OK;
}

static enum td_err on_connection(struct met *m, td_slice value)
{
    m->close |= td_http_list_has(value, TD_STR("close"));
    m->keep |= td_http_list_has(value, TD_STR("keep-alive"));
    m->upgrade |= td_http_list_has(value, TD_STR("upgrade"));
    return TD_OK;
}

static enum td_err on_upgrade(struct met *m, td_slice value)
{
    m->websocket |= td_http_list_has(value, TD_STR("websocket"));
    return TD_OK;
}

static enum td_err on_expect(struct met *m, td_slice value)
{
    if (!td_http_same(value, TD_STR("100-continue"))) {
        return broken(m->h, 417, "Expect can only be 100-continue");
    }
    m->head->expect_continue = m->head->minor > 0;
    return TD_OK;
}

/* clang-format off */
static const struct {
    const char *name;
    enum td_err (*met)(struct met *m, td_slice value);
} meanings[] = {
    {"host",              on_host},
    {"content-length",    on_length},
    {"transfer-encoding", on_coding},
    {"connection",        on_connection},
    {"upgrade",           on_upgrade},
    {"expect",            on_expect},
};
/* clang-format on */

static enum td_err field(struct met *m, td_slice line)
{
    struct td_http_head *head = m->head;
    if (head->field_count == TD_HTTP_FIELDS_MAX) {
        return broken(m->h, 431, "at most 64 fields");
    }
    td_slice value = line, name = before(&value, ':');
    if (name.n == line.n || !is_token(name)) {
        return broken(m->h, 400,
                      "a field is a name, a colon right behind it, a value; no folding "
                      "(RFC 9112, 5)");
    }
    value = trim(value);
    if (!is_value(value)) {
        return broken(m->h, 400, "no control characters in a field (RFC 9110, 5.5)");
    }
    head->fields[head->field_count++] = (struct td_http_field){name, value};
    for (size_t i = 0; i < TD_COUNT(meanings); i++) {
        if (td_http_same(name, td_slice_of(meanings[i].name))) {
            return meanings[i].met(m, value);
        }
    }
    return TD_OK;
}

/* ---- the first line ---- */

/* "HTTP/1." digit; *minor is 0 or 1. */
static enum td_err version(struct td_http *h, td_slice s, uint8_t *minor)
{
    if (s.n != 8 || !td_slice_starts(s, TD_STR("HTTP/")) || !td_in(s.p[5], '0', '9') ||
        s.p[6] != '.' || !td_in(s.p[7], '0', '9')) {
        return broken(h, 400, "the version must be HTTP/1.1 (RFC 9112, 2.3)");
    }
    if (s.p[5] != '1') {
        return broken(h, 505, "only HTTP/1.1 is spoken here");
    }
    *minor = s.p[7] == '0' ? 0 : 1;
    return TD_OK;
}

/* origin-form, or absolute-form whose authority stands for the Host (RFC 9112, 3.2). */
static enum td_err target(struct td_http *h, td_slice s, struct td_http_head *head)
{
    head->target = s;
    if (s.n >= 7 && td_http_same(td_slice_head(s, 7), TD_STR("http://"))) {
        s = td_slice_skip(s, 7);
        size_t host = td_slice_find(s, '/');
        head->host = td_slice_head(s, host);
        s = td_slice_skip(s, host);
        if (head->host.n == 0 || !is_host(head->host)) {
            return broken(h, 400, "an absolute target needs a host");
        }
    }
    if (s.n == 0 || s.p[0] != '/' || td_slice_find(s, '#') < s.n) {
        return broken(h, 400, "the target must begin with / (RFC 9112, 3.2)");
    }
    head->path = before(&s, '?');
    head->query = s;
    return TD_OK;
}

static enum td_err request_line(struct td_http *h, td_slice line, struct td_http_head *head)
{
    head->method = before(&line, ' ');
    td_slice where = before(&line, ' ');
    if (!is_token(head->method) || head->method.n > 32 || !is_visible(where)) {
        return broken(h, 400, "a request line is METHOD, space, target, space, version");
    }
    enum td_err err = version(h, line, &head->minor);
    return err == TD_OK ? target(h, where, head) : err;
}

static enum td_err status_line(struct td_http *h, td_slice line, struct td_http_head *head)
{
    uint64_t status;
    enum td_err err = version(h, before(&line, ' '), &head->minor);
    if (err != TD_OK) {
        return err;
    }
    td_slice code = before(&line, ' ');
    if (code.n != 3 || !number(code, &status) || !td_in(status, 100, 599) || !is_value(line)) {
        return broken(h, 502, "a status line is version, space, three digits, space, reason");
    }
    head->status = (uint16_t)status;
    return TD_OK;
}

/* ---- whole heads ---- */

/* RFC 9112, 6.3: how the end of the body is known. */
static enum td_err body_of(struct td_http *h, const struct met *m)
{
    struct td_http_head *head = m->head;
    if (m->codings > 0 && m->lengths > 0) {
        return broken(h, 400, "Content-Length beside Transfer-Encoding (RFC 9112, 6.3)");
    }
    head->body = m->codings > 0   ? TD_HTTP_BODY_CHUNKED
                 : m->lengths > 0 ? TD_HTTP_BODY_LENGTH
                                  : TD_HTTP_BODY_NONE;
    if (h->role == TD_HTTP_SERVER) {
        if (head->minor > 0 && m->hosts == 0) {
            return broken(h, 400, "a Host field must be there (RFC 9112, 3.2)");
        }
    } else if (h->to_head || head->status < 200 || head->status == 204 || head->status == 304) {
        head->body = TD_HTTP_BODY_NONE;
    } else if (head->body == TD_HTTP_BODY_NONE) {
        head->body = TD_HTTP_BODY_TO_END;
    }
    if (head->body == TD_HTTP_BODY_LENGTH && head->length > h->body_bytes_max) {
        return broken(h, 413, "the body is larger than what is taken here");
    }
    return TD_OK;
}

/* `text` is a head up to and with its empty line; every LF in it stands behind a CR. */
static enum td_err take_apart(struct td_http *h, td_slice text, struct td_http_head *head)
{
    struct met m = {.h = h, .head = head};
    td_slice line = before(&text, '\r');
    enum td_err err =
        h->role == TD_HTTP_SERVER ? request_line(h, line, head) : status_line(h, line, head);
    td_slice absolute = head->host;
    for (;;) {
        text = td_slice_skip(text, 1); /* the LF */
        line = before(&text, '\r');
        if (err != TD_OK || line.n == 0) {
            break;
        }
        err = field(&m, line);
    }
    err = err == TD_OK ? body_of(h, &m) : err;
    head->host = absolute.n > 0 ? absolute : head->host;
    head->keep_alive = !m.close && (head->minor > 0 || m.keep);
    head->upgrade_websocket = head->minor > 0 && m.upgrade && m.websocket;
    return err;
}

/* Goes on looking for CRLFCRLF; CR and LF must come as pairs. */
static enum td_http_got find_end(struct td_http *h, td_slice in, size_t start)
{
    if (h->seen < start) {
        h->seen = start;
    }
    for (; h->seen < in.n; h->seen++) {
        uint8_t c = in.p[h->seen];
        bool behind_cr = h->place % 2 == 1;
        if (h->seen == TD_HTTP_HEAD_BYTES_MAX) {
            bool in_line = memchr(in.p + start, '\n', h->seen - start) == NULL;
            broken(h, in_line ? 414 : 431, "a head takes at most 8192 bytes");
            return TD_HTTP_BROKEN;
        }
        if ((c == '\n') != behind_cr || (c < 0x20 && c != '\r' && c != '\n' && c != '\t')) {
            broken(h, 400, "lines of a head end with CR LF and hold neither, nor other controls");
            return TD_HTTP_BROKEN;
        }
        h->place = c == '\r' || c == '\n' ? (unsigned char)(h->place + 1) : 0;
        if (h->place == 4) {
            h->place = 0;
            h->seen++;
            return TD_HTTP_HEAD;
        }
    }
    return TD_HTTP_MORE;
}

enum td_http_got td_http_head_next(struct td_http *h, td_slice in, struct td_http_head *out)
{
    if (h->rule != NULL) {
        return TD_HTTP_BROKEN;
    }
    /* One empty line before a request is passed over (RFC 9112, 2.2). */
    size_t start = h->role == TD_HTTP_SERVER && td_slice_starts(in, TD_STR("\r\n")) ? 2 : 0;
    if (h->role == TD_HTTP_SERVER && in.n == 1 && in.p[0] == '\r') {
        return TD_HTTP_MORE;
    }
    enum td_http_got got = find_end(h, in, start);
    if (got != TD_HTTP_HEAD) {
        return got;
    }
    struct td_http_head *head = out;
    *head = (struct td_http_head){.bytes = h->seen};
    h->seen = 0;
    td_slice text = {in.p + start, head->bytes - start};
    if (take_apart(h, text, head) != TD_OK) {
        return TD_HTTP_BROKEN;
    }
    td_http_body_begin(h, head);
    return TD_HTTP_HEAD;
}

/* ---- looking into a head ---- */

static uint8_t lower(uint8_t c)
{
    return td_in(c, 'A', 'Z') ? c | 0x20 : c;
}

bool td_http_same(td_slice a, td_slice b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

size_t td_http_field(const struct td_http_head *head, td_slice name, td_slice *value)
{
    size_t count = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        if (td_http_same(head->fields[i].name, name) && count++ == 0) {
            *value = head->fields[i].value;
        }
    }
    return count;
}

bool td_http_list_has(td_slice list, td_slice token)
{
    while (list.n > 0) {
        td_slice element = before(&list, ',');
        if (td_http_same(trim(before(&element, ';')), token)) {
            return true;
        }
    }
    return false;
}

bool td_http_query(td_slice query, td_slice name, td_slice *raw)
{
    while (query.n > 0) {
        td_slice value = before(&query, '&');
        if (td_slice_eq(before(&value, '='), name)) {
            *raw = value;
            return true;
        }
    }
    return false;
}

unsigned td_http_hex(uint8_t c)
{
    if (td_in(c, '0', '9')) {
        return c - (unsigned)'0';
    }
    c |= 0x20;
    return td_in(c, 'a', 'f') ? c - (unsigned)'a' + 10 : 16;
}

enum td_err td_http_unquote(td_slice raw, bool plus_is_space, uint8_t *out, size_t *n)
{
    size_t count = 0;
    for (size_t i = 0; i < raw.n; i++) {
        uint8_t c = raw.p[i];
        if (c == '%') {
            unsigned high = i + 2 < raw.n ? td_http_hex(raw.p[i + 1]) : 16;
            unsigned low = i + 2 < raw.n ? td_http_hex(raw.p[i + 2]) : 16;
            if ((high | low) > 15) {
                return TD_ESYNTAX;
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[count++] = c;
    }
    *n = count;
    return TD_OK;
}
