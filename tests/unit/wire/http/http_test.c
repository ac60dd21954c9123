/* wire/http: heads and bodies by tables, smuggling attempts, truncation, one-byte feeding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/http/http.h"

/* What a whole connection's bytes come to, as text: "GET /a [body] POST /b [..] !400". */
struct told {
    char text[2048];
    size_t n;
};

static void tell(struct told *t, td_slice s)
{
    assert_true(t->n + s.n + 1 < sizeof t->text);
    if (s.n > 0) {
        memcpy(t->text + t->n, s.p, s.n);
    }
    t->n += s.n;
    t->text[t->n] = 0;
}

static void tell_head(struct told *t, const struct td_http_head *head)
{
    char status[8];
    snprintf(status, sizeof status, "%u", head->status);
    if (head->status != 0) {
        tell(t, td_slice_of(status));
    } else {
        tell(t, head->method);
        tell(t, TD_STR(" "));
        tell(t, head->path);
    }
    tell(t, TD_STR(" ["));
}

/* A reader as serve/http.c has one: bytes come in portions of `step`, what was not used is kept. */
static void read_all(enum td_http_role role, td_slice in, size_t step, struct told *t)
{
    struct td_http h;
    struct td_http_head head;
    td_http_init(&h, role, 1000);
    t->n = 0;
    t->text[0] = 0;
    bool in_body = false;
    size_t have = 0;
    td_slice left = {in.p, 0};
    for (;;) {
        td_slice piece = {NULL, 0};
        enum td_http_got got =
            in_body ? td_http_body_next(&h, &left, &piece) : td_http_head_next(&h, left, &head);
        if (got == TD_HTTP_HEAD) {
            tell_head(t, &head);
            left = td_slice_skip(left, head.bytes);
            in_body = true;
        } else if (got == TD_HTTP_PIECE) {
            assert_true(piece.n > 0);
            tell(t, piece);
        } else if (got == TD_HTTP_END) {
            tell(t, TD_STR("] "));
            in_body = false;
        } else if (got == TD_HTTP_BROKEN) {
            char status[8];
            snprintf(status, sizeof status, "!%u", h.status);
            tell(t, td_slice_of(status));
            assert_non_null(h.rule);
            return;
        } else if (have == in.n) {
            bool inside = in_body || left.n > 0;
            got = td_http_closed(&h);
            tell(t, !inside ? TD_STR(".") : got == TD_HTTP_END ? TD_STR("]end") : TD_STR("cut"));
            return;
        } else {
            size_t more = step < in.n - have ? step : in.n - have;
            have += more;
            left.n += more;
        }
    }
}

#define H "Host: h\r\n"

struct a_case {
    const char *in, *want;
};

static void run_cases(enum td_http_role role, const struct a_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        td_slice in = td_slice_of(cases[i].in);
        struct told whole, single;
        read_all(role, in, in.n + 1, &whole);
        assert_string_equal(cases[i].want, whole.text);
        read_all(role, in, 1, &single);
        assert_string_equal(cases[i].want, single.text);
    }
}

static void requests_are_read_one_after_another(void **state)
{
    (void)state;
    static const struct a_case cases[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", "GET / [] ."},
        {"GET /a?b=c HTTP/1.1\r\n" H "\r\nGET /d HTTP/1.1\r\n" H "\r\n", "GET /a [] GET /d [] ."},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / [] ."},
        {"GET / HTTP/1.0\r\n\r\n", "GET / [] ."},
        {"GET / HTTP/1.2\r\n" H "\r\n", "GET / [] ."},
        {"GET http://x:1/y HTTP/1.1\r\n" H "\r\n", "GET /y [] ."},
        {"GET / HTTP/1.1\r\nHost:\r\nA:\t b \t\r\nC: \xFF\r\n\r\n", "GET / [] ."},
        {"POST /p HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n" H "\r\n",
         "POST /p [hello] GET / [] ."},
        {"POST /p HTTP/1.1\r\n" H "content-length: 0\r\n\r\n", "POST /p [] ."},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: CHUNKED\r\n\r\n"
         "5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
         "POST / [hello world] GET / [] ."},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "00A\r\n0123456789\r\n0\r\nX: y\r\nZ: w\r\n\r\n",
         "POST / [0123456789] ."},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhell", "POST / [hellcut"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
         "POST / [hellocut"},
        {"GET / HTTP/1.1\r\nHo", "cut"},
        {"", "."},
    };
    run_cases(TD_HTTP_SERVER, cases, TD_COUNT(cases));
}

static void what_two_readers_could_read_differently_is_refused(void **state)
{
    (void)state;
    static const struct a_case cases[] = {
        /* RFC 9112, 2.2 and 11.2: bare LF, bare CR, controls */
        {"GET / HTTP/1.1\n" H "\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: h\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nA: \x01\r\n" H "\r\n", "!400"},
        {"GET / HTTP/1.1\r\nA: \x7F\r\n" H "\r\n", "!400"},
        {"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "!400"},
        /* 5.1, 5.2: space before a colon, folded lines */
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\n" H " folded\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\n" H "\tfolded\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\n" H ": x\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", "!400"},
        /* 6.1, 6.3: lengths */
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "!400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nhello", "!400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nhello", "!400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         "!400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "!501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", "!501"},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
        /* 3.2: Host */
        {"GET / HTTP/1.1\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\n" H H "\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "!400"},
    /* 7.1: chunks */
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
        {CHUNKED "\r\n", "POST / [!400"},
        {CHUNKED "x\r\n", "POST / [!400"},
        {CHUNKED "0x5\r\nhello\r\n", "POST / [!400"},
        {CHUNKED "-5\r\n", "POST / [!400"},
        {CHUNKED "5 \r\nhello\r\n", "POST / [!400"},
        {CHUNKED "5\nhello\r\n", "POST / [!400"},
        {CHUNKED "5;a\nhello\r\n", "POST / [!400"},
        {CHUNKED "5\r\nhelloX\r\n", "POST / [hello!400"},
        {CHUNKED "5\r\nhello\n", "POST / [hello!400"},
        {CHUNKED "fffffffffffffffff\r\n", "POST / [!400"},
        {CHUNKED "3e9\r\n", "POST / [!413"},
        {CHUNKED "0\r\nX: y\n\r\n", "POST / [!400"},
    };
    run_cases(TD_HTTP_SERVER, cases, TD_COUNT(cases));
}

static void a_bad_first_line_has_its_status(void **state)
{
    (void)state;
    static const struct a_case cases[] = {
        {"GET /\r\n" H "\r\n", "!400"},
        {"GET  / HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET / HTTP/1.1 \r\n" H "\r\n", "!400"},
        {" GET / HTTP/1.1\r\n" H "\r\n", "!400"},
        {"G@T / HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET x HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET * HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET /\xC3\xA9 HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET http:///x HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET http://x HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET / http/1.1\r\n" H "\r\n", "!400"},
        {"GET / HTTP/1.11\r\n" H "\r\n", "!400"},
        {"GET / HTTP/2.0\r\n" H "\r\n", "!505"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505"},
        {"GET / HTTP/1.1\r\n" H "Expect: tea\r\n\r\n", "!417"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1001\r\n\r\n", "!413"},
        {"\x16\x03\x01\x02", "!400"},
    };
    run_cases(TD_HTTP_SERVER, cases, TD_COUNT(cases));
}

static void responses_end_as_their_heads_say(void **state)
{
    (void)state;
    static const struct a_case cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 204 No Content\r\n\r\n",
         "200 [hi] 204 [] ."},
        {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "200 [x] ."},
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", "200 [until the end]end"},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "304 [] ."},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
         "100 [] 200 [] ."},
        {"HTTP/1.1 20 OK\r\n\r\n", "!502"},
        {"HTTP/1.1 600 OK\r\n\r\n", "!502"},
        {"HTTP/1.1 abc\r\n\r\n", "!502"},
        {"ICY 200 OK\r\n\r\n", "!400"},
    };
    run_cases(TD_HTTP_CLIENT, cases, TD_COUNT(cases));
}

static void a_head_is_bounded_in_bytes_and_fields(void **state)
{
    (void)state;
    static char in[TD_HTTP_HEAD_BYTES_MAX + 100];
    struct td_http h;
    struct td_http_head head;
    int n = snprintf(in, sizeof in, "GET / HTTP/1.1\r\n" H "A: ");
    memset(in + n, 'a', sizeof in - (size_t)n);
    memcpy(in + TD_HTTP_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    td_slice whole = {(const uint8_t *)in, sizeof in};
    td_http_init(&h, TD_HTTP_SERVER, 0);
    assert_int_equal(TD_HTTP_HEAD, td_http_head_next(&h, whole, &head));
    memcpy(in + TD_HTTP_HEAD_BYTES_MAX - 4, "aaaaa\r\n\r\n", 9);
    td_http_init(&h, TD_HTTP_SERVER, 0);
    assert_int_equal(TD_HTTP_BROKEN, td_http_head_next(&h, whole, &head));
    assert_int_equal(431, h.status);
    memset(in, 'a', sizeof in);
    td_http_init(&h, TD_HTTP_SERVER, 0);
    assert_int_equal(TD_HTTP_BROKEN, td_http_head_next(&h, whole, &head));
    assert_int_equal(414, h.status);
    for (size_t fields = TD_HTTP_FIELDS_MAX; fields <= TD_HTTP_FIELDS_MAX + 1; fields++) {
        size_t at = (size_t)snprintf(in, sizeof in, "GET / HTTP/1.1\r\n" H);
        for (size_t i = 1; i < fields; i++) {
            at += (size_t)snprintf(in + at, sizeof in - at, "a: b\r\n");
        }
        at += (size_t)snprintf(in + at, sizeof in - at, "\r\n");
        td_http_init(&h, TD_HTTP_SERVER, 0);
        enum td_http_got got = td_http_head_next(&h, (td_slice){whole.p, at}, &head);
        assert_int_equal(fields <= TD_HTTP_FIELDS_MAX ? TD_HTTP_HEAD : TD_HTTP_BROKEN, got);
    }
    assert_int_equal(431, h.status);
}

static void chunk_lines_and_trailers_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *lead;
        size_t allowed;
        unsigned status;
    } cases[] = {{"5;", TD_HTTP_CHUNK_LINE_MAX, 400}, {"0\r\nX: ", TD_HTTP_TRAILER_BYTES_MAX, 431}};
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_http h;
        struct td_http_head head;
        td_slice piece, in = TD_STR("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
        td_http_init(&h, TD_HTTP_SERVER, 1000);
        assert_int_equal(TD_HTTP_HEAD, td_http_head_next(&h, in, &head));
        in = td_slice_of(cases[i].lead);
        assert_int_equal(TD_HTTP_MORE, td_http_body_next(&h, &in, &piece));
        size_t fed = 0;
        do {
            in = TD_STR("a");
            fed++;
        } while (td_http_body_next(&h, &in, &piece) == TD_HTTP_MORE);
        assert_true(fed <= cases[i].allowed);
        assert_int_equal(cases[i].status, h.status);
    }
}

/* ---- what a head says ---- */

static void head_of(const char *text, struct td_http_head *head)
{
    struct td_http h;
    td_http_init(&h, TD_HTTP_SERVER, 1000);
    assert_int_equal(TD_HTTP_HEAD, td_http_head_next(&h, td_slice_of(text), head));
}

static void a_connection_stays_as_its_sender_wishes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool stays, upgrades;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", true, false},
        {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\n" H "Connection: TE , Close\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
         true, true},
        {"GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true, false},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_http_head head;
        head_of(cases[i].text, &head);
        assert_int_equal(cases[i].stays, head.keep_alive);
        assert_int_equal(cases[i].upgrades, head.upgrade_websocket);
    }
}

static void a_head_is_looked_into(void **state)
{
    (void)state;
    struct td_http_head head;
    td_slice v = {NULL, 0};
    head_of("GET /q?sql=SELECT+1%2c2&x&id=7 HTTP/1.1\r\nhOST: a.b:80\r\nX-A: 1\r\nx-a: 2\r\n"
            "Expect: 100-Continue\r\n\r\n",
            &head);
    assert_true(td_slice_eq(TD_STR("a.b:80"), head.host));
    assert_true(td_slice_eq(TD_STR("/q"), head.path));
    assert_int_equal(2, td_http_field(&head, TD_STR("X-a"), &v));
    assert_true(td_slice_eq(TD_STR("1"), v));
    assert_int_equal(0, td_http_field(&head, TD_STR("X"), &v));
    assert_true(head.expect_continue);
    assert_true(td_http_query(head.query, TD_STR("id"), &v));
    assert_true(td_slice_eq(TD_STR("7"), v));
    assert_true(td_http_query(head.query, TD_STR("x"), &v));
    assert_int_equal(0, v.n);
    assert_false(td_http_query(head.query, TD_STR("i"), &v));
    assert_true(td_http_query(head.query, TD_STR("sql"), &v));
    uint8_t out[32];
    size_t n = 0;
    assert_int_equal(TD_OK, td_http_unquote(v, true, out, &n));
    assert_true(td_slice_eq(TD_STR("SELECT 1,2"), ((td_slice){out, n})));
    head_of("GET http://x.y:8080/z?q HTTP/1.1\r\nHost: other\r\n\r\n", &head);
    assert_true(td_slice_eq(TD_STR("x.y:8080"), head.host));
    assert_true(td_slice_eq(TD_STR("q"), head.query));
}

static void percent_signs_need_two_digits(void **state)
{
    (void)state;
    static const char *const bad[] = {"%", "%1", "%1g", "%g1", "a%", "%%41"};
    uint8_t out[8];
    size_t n = 42;
    for (size_t i = 0; i < TD_COUNT(bad); i++) {
        assert_int_equal(TD_ESYNTAX, td_http_unquote(td_slice_of(bad[i]), false, out, &n));
        assert_int_equal(42, n);
    }
    assert_int_equal(TD_OK, td_http_unquote(TD_STR("+%41%c3%A9"), false, out, &n));
    assert_true(td_slice_eq(TD_STR("+A\xC3\xA9"), ((td_slice){out, n})));
}

static void lists_are_searched_by_whole_elements(void **state)
{
    (void)state;
    assert_true(td_http_list_has(TD_STR("gzip, br;q=1"), TD_STR("BR")));
    assert_true(td_http_list_has(TD_STR(",, a ,"), TD_STR("a")));
    assert_false(td_http_list_has(TD_STR("gzipped"), TD_STR("gzip")));
    assert_false(td_http_list_has(TD_STR(""), TD_STR("a")));
}

/* ---- writing ---- */

static void heads_are_written_as_measured(void **state)
{
    (void)state;
    static const struct td_http_field fields[] = {
        {{(const uint8_t *)"Content-Type", 12}, {(const uint8_t *)"application/json", 16}}};
    static const struct {
        struct td_http_send send;
        const char *want;
    } cases[] = {
        {{.status = 200,
          .body = TD_HTTP_BODY_LENGTH,
          .length = 1234567,
          .fields = fields,
          .field_count = 1},
         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234567\r\n\r\n"},
        {{.status = 400, .body = TD_HTTP_BODY_LENGTH, .close = true},
         "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
        {{.status = 101}, "HTTP/1.1 101 Switching Protocols\r\n\r\n"},
        {{.status = 200, .body = TD_HTTP_BODY_CHUNKED},
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {{.method = {(const uint8_t *)"GET", 3},
          .target = {(const uint8_t *)"/x", 2},
          .host = {(const uint8_t *)"h:1", 3}},
         "GET /x HTTP/1.1\r\nHost: h:1\r\n\r\n"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        size_t n = td_http_send_size(&cases[i].send);
        uint8_t *out = malloc(n);
        assert_ptr_equal(out + n, td_http_send_put(out, &cases[i].send));
        assert_true(td_slice_eq(td_slice_of(cases[i].want), ((td_slice){out, n})));
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_one_after_another),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(a_bad_first_line_has_its_status),
        cmocka_unit_test(responses_end_as_their_heads_say),
        cmocka_unit_test(a_head_is_bounded_in_bytes_and_fields),
        cmocka_unit_test(chunk_lines_and_trailers_are_bounded),
        cmocka_unit_test(a_connection_stays_as_its_sender_wishes),
        cmocka_unit_test(a_head_is_looked_into),
        cmocka_unit_test(percent_signs_need_two_digits),
        cmocka_unit_test(lists_are_searched_by_whole_elements),
        cmocka_unit_test(heads_are_written_as_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
