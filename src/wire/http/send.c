/* http: heads to send. Measured and written by the same walk, so that the two cannot differ. */
#include "wire/http/http.h"

/* clang-format off */
static const struct {
    uint16_t status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};
/* clang-format on */

const char *td_http_reason(unsigned status)
{
    for (size_t i = 0; i < TD_COUNT(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "";
}

/* Where bytes go; p NULL: they are only counted. */
struct sink {
    uint8_t *p;
    size_t n;
};

static void add(struct sink *s, td_slice bytes)
{
    if (s->p != NULL && bytes.n > 0) {
        memcpy(s->p + s->n, bytes.p, bytes.n);
    }
    s->n += bytes.n;
}

static void add_number(struct sink *s, uint64_t v)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    add(s, (td_slice){digits + at, sizeof digits - at});
}

static void add_field(struct sink *s, td_slice name, td_slice value)
{
    add(s, name);
    add(s, TD_STR(": "));
    add(s, value);
    add(s, TD_STR("\r\n"));
}

static void first_line(struct sink *s, const struct td_http_send *send)
{
    if (send->status != 0) {
        add(s, TD_STR("HTTP/1.1 "));
        add_number(s, send->status);
        add(s, TD_STR(" "));
        add(s, td_slice_of(td_http_reason(send->status)));
        add(s, TD_STR("\r\n"));
        return;
    }
    add(s, send->method);
    add(s, TD_STR(" "));
    add(s, send->target);
    add(s, TD_STR(" HTTP/1.1\r\n"));
    add_field(s, TD_STR("Host"), send->host);
}

static void walk(struct sink *s, const struct td_http_send *send)
{
    first_line(s, send);
    for (size_t i = 0; i < send->field_count; i++) {
        add_field(s, send->fields[i].name, send->fields[i].value);
    }
    if (send->body == TD_HTTP_BODY_LENGTH) {
        add(s, TD_STR("Content-Length: "));
        add_number(s, send->length);
        add(s, TD_STR("\r\n"));
    } else if (send->body == TD_HTTP_BODY_CHUNKED) {
        add_field(s, TD_STR("Transfer-Encoding"), TD_STR("chunked"));
    }
    if (send->close) {
        add_field(s, TD_STR("Connection"), TD_STR("close"));
    }
    add(s, TD_STR("\r\n"));
}

size_t td_http_send_size(const struct td_http_send *send)
{
    struct sink s = {NULL, 0};
    walk(&s, send);
    return s.n;
}

uint8_t *td_http_send_put(uint8_t *p, const struct td_http_send *send)
{
    struct sink s = {p, 0};
    walk(&s, send);
    return p + s.n;
}
