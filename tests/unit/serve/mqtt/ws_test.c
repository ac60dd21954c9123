/* MQTT over WebSocket: the filter between a socket and MQTT. The other end are golden bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve/mqtt/ws.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="        /* RFC 6455, 1.3, */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* and its answer */

static const char asked[] = "GET /any HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, mqtt\r\n";

struct bed {
    struct td_mqttd_ws *w;
    struct td_buf to;  /* from the client, masked */
    struct td_buf got; /* MQTT's bytes that came in */
    struct td_buf out; /* MQTT's bytes to go */
    struct td_buf sent;
    struct td_serve_texts origins;
};

static void make(struct bed *b, const char *const *origins, size_t count)
{
    static const char local[64] = "10.1.2.3:9001";
    *b = (struct bed){.origins = {origins, count}};
    td_buf_init(&b->to, 1 << 20);
    td_buf_init(&b->got, 1 << 20);
    td_buf_init(&b->out, 1 << 20);
    td_buf_init(&b->sent, 1 << 20);
    b->w = td_mqttd_ws_new(&b->origins, local);
}

static void done(struct bed *b)
{
    td_mqttd_ws_free(b->w);
    td_buf_fini(&b->to);
    td_buf_fini(&b->got);
    td_buf_fini(&b->out);
    td_buf_fini(&b->sent);
}

static void say(struct bed *b, const char *text)
{
    assert_int_equal(TD_OK, td_buf_add(&b->to, td_slice_of(text)));
}

/* A frame of the client's, masked. `head` has FIN and opcode. */
static void say_frame(struct bed *b, uint8_t head, td_slice payload)
{
    static const uint8_t key[4] = {1, 2, 3, 4};
    uint8_t raw[200];
    td_assert(payload.n < 126);
    uint8_t *end = td_put_u8(td_put_u8(raw, head), (uint8_t)(0x80 | payload.n));
    end = td_put_bytes(end, (td_slice){key, 4});
    uint8_t *at = end;
    end = td_put_bytes(end, payload);
    td_ws_mask(at, payload.n, key, 0);
    assert_int_equal(TD_OK, td_buf_add(&b->to, (td_slice){raw, (size_t)(end - raw)}));
}

/* What the client has said arrives in portions of `step` bytes, each at a place of its own. */
static void arrive(struct bed *b, size_t step)
{
    td_slice in = td_buf_slice(&b->to);
    while (in.n > 0) {
        td_slice part = td_slice_head(in, step);
        uint8_t *copy = malloc(part.n);
        assert_non_null(copy);
        td_put_bytes(copy, part);
        size_t n = td_mqttd_ws_in(b->w, copy, part.n);
        assert_true(n <= part.n);
        assert_int_equal(TD_OK, td_buf_add(&b->got, (td_slice){copy, n}));
        free(copy);
        in = td_slice_skip(in, part.n);
    }
    td_buf_clear(&b->to);
}

/* Writes all that is to be written, `step` bytes at a time. */
static void leave(struct bed *b, size_t step)
{
    while (td_mqttd_ws_pending(b->w, b->out.n)) {
        td_slice parts[2];
        size_t n = td_mqttd_ws_parts(b->w, td_buf_slice(&b->out), parts), left = step;
        assert_true(n >= 1 && n <= 2);
        for (size_t i = 0; i < n; i++) {
            td_slice part = td_slice_head(parts[i], left);
            assert_int_equal(TD_OK, td_buf_add(&b->sent, part));
            left -= part.n;
        }
        td_buf_drop(&b->out, td_mqttd_ws_sent(b->w, step - left));
    }
}

static void sent_is(const struct bed *b, const void *want, size_t n)
{
    assert_int_equal(n, b->sent.n);
    assert_memory_equal(want, b->sent.p, n);
}

static void shaken(struct bed *b)
{
    say(b, asked);
    say(b, "\r\n");
    arrive(b, SIZE_MAX);
    leave(b, SIZE_MAX);
    assert_null(b->w->shake);
    td_buf_clear(&b->sent);
}

static void the_handshake_is_answered_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t step = 1; step < 400; step++) {
        struct bed b;
        make(&b, NULL, 0);
        say(&b, asked);
        say(&b, "\r\n");
        say_frame(&b, 0x82, TD_STR("\x10\x00")); /* right behind it */
        arrive(&b, step);
        leave(&b, step);
        td_slice text = td_buf_slice(&b.sent);
        assert_true(td_slice_starts(text, TD_STR("HTTP/1.1 101 ")));
        assert_int_equal(TD_OK, td_buf_add_u8(&b.sent, 0));
        assert_non_null(strstr((char *)b.sent.p, "Sec-WebSocket-Accept: " ACCEPT "\r\n"));
        assert_non_null(strstr((char *)b.sent.p, "Sec-WebSocket-Protocol: mqtt\r\n"));
        assert_int_equal(2, b.got.n);
        assert_memory_equal("\x10\x00", b.got.p, 2);
        done(&b);
    }
}

static void what_is_no_handshake_is_refused_and_over(void **state)
{
    (void)state;
    static const char *const listed[] = {"https://app.example"};
    static const struct {
        const char *head, *more, *want; /* head NULL: the one above */
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n", "", "HTTP/1.1 426 "},
        {"nonsense\r\n", "", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n",
         "Sec-WebSocket-Protocol: chat\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 12\r\n",
         "Sec-WebSocket-Protocol: mqtt\r\n", "HTTP/1.1 426 "},
        {NULL, "Origin: http://evil.example\r\n", "HTTP/1.1 403 "},
        {NULL, "Origin: http://127.0.0.1:9002\r\n", "HTTP/1.1 403 "},
        {NULL, "Origin: null\r\n", "HTTP/1.1 403 "},
        {NULL, "Origin: https://app.example.evil\r\n", "HTTP/1.1 403 "},
        {NULL, "Origin: https://app.example\r\nOrigin: https://app.example\r\n", "HTTP/1.1 403 "},
        {NULL, "Origin: https://app.example\r\n", "HTTP/1.1 101 "},
        {NULL, "Origin: http://127.0.0.1:9001\r\n", "HTTP/1.1 101 "},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct bed b;
        make(&b, listed, 1);
        say(&b, cases[i].head != NULL ? cases[i].head : asked);
        say(&b, cases[i].more);
        say(&b, "\r\n");
        say_frame(&b, 0x82, TD_STR("\x10\x00"));
        arrive(&b, 7);
        leave(&b, 7);
        if (!td_slice_starts(td_buf_slice(&b.sent), td_slice_of(cases[i].want))) {
            fail_msg("%zu: %.*s", i, (int)b.sent.n, (char *)b.sent.p);
        }
        bool fine = strcmp(cases[i].want, "HTTP/1.1 101 ") == 0;
        assert_int_equal(!fine, b.w->over);
        assert_int_equal(fine ? 2 : 0, b.got.n);
        done(&b);
    }
}

/* evil.example resolves to our address: Host and Origin agree, and are a stranger's anyway. */
static void a_name_that_is_not_ours_makes_no_origin_ours(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool fine;
    } cases[] = {{"evil.example:9001", false}, {"10.1.2.3:9001", true}, {"localhost:9001", true}};
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct bed b;
        char head[500];
        make(&b, NULL, 0);
        (void)snprintf(head, sizeof head,
                       "GET / HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
                       cases[i].host, cases[i].host);
        say(&b, head);
        arrive(&b, SIZE_MAX);
        assert_int_equal(cases[i].fine, b.w->shake == NULL);
        done(&b);
    }
}

static void a_head_without_end_is_refused_at_its_bound(void **state)
{
    (void)state;
    struct bed b;
    make(&b, NULL, 0);
    say(&b, "GET / HTTP/1.1\r\n");
    while (!b.w->over) {
        say(&b, "X: ........................................................\r\n");
        arrive(&b, 100);
        assert_true(b.w->over || b.w->shake->head.n <= TD_HTTP_HEAD_BYTES_MAX);
    }
    leave(&b, 100);
    assert_true(td_slice_starts(td_buf_slice(&b.sent), TD_STR("HTTP/1.1 431 ")));
    done(&b);
}

static void packets_go_across_frames_and_frames_across_packets(void **state)
{
    (void)state;
    for (size_t step = 1; step < 60; step++) {
        struct bed b;
        make(&b, NULL, 0);
        shaken(&b);
        say_frame(&b, 0x02, TD_STR("abc")); /* a message of three frames, */
        say_frame(&b, 0x89, TD_STR("p1"));  /* a ping between them */
        say_frame(&b, 0x00, TD_STR(""));
        say_frame(&b, 0x80, TD_STR("def"));
        say_frame(&b, 0x82, TD_STR("ghijklmno"));
        arrive(&b, step);
        assert_int_equal(15, b.got.n);
        assert_memory_equal("abcdefghijklmno", b.got.p, 15);
        leave(&b, step);
        sent_is(&b, "\x8A\x02p1", 4);
        done(&b);
    }
}

static void what_leaves_is_framed_and_pongs_stand_between(void **state)
{
    (void)state;
    struct bed b;
    td_slice parts[2];
    make(&b, NULL, 0);
    shaken(&b);
    assert_int_equal(TD_OK, td_buf_add(&b.out, TD_STR("hello")));
    assert_int_equal(2, td_mqttd_ws_parts(b.w, td_buf_slice(&b.out), parts));
    assert_int_equal(1, td_mqttd_ws_sent(b.w, 3)); /* head and one byte have gone */
    td_buf_drop(&b.out, 1);
    say_frame(&b, 0x89, TD_STR("p")); /* a ping, and more to send: both wait for the frame's end */
    arrive(&b, SIZE_MAX);
    assert_int_equal(TD_OK, td_buf_add(&b.out, TD_STR("more")));
    leave(&b, 2);
    sent_is(&b, "ello\x8A\x01p\x82\x04more", 4 + 3 + 6);
    assert_false(td_mqttd_ws_pending(b.w, 0));
    done(&b);
}

static void it_ends_with_the_code_that_fits(void **state)
{
    (void)state;
    static const struct {
        uint8_t head;
        td_slice payload;
        uint16_t code;
    } cases[] = {
        {0x81, {(const uint8_t *)"text", 4}, TD_WS_CODE_UNSUPPORTED},
        {0x88, {(const uint8_t *)"\x03\xE9", 2}, 1001}, /* as the client has said */
        {0x88, {NULL, 0}, TD_WS_CODE_NORMAL},
        {0x80, {(const uint8_t *)"x", 1}, TD_WS_CODE_PROTOCOL}, /* continues nothing */
        {0xC2, {(const uint8_t *)"x", 1}, TD_WS_CODE_PROTOCOL},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct bed b;
        make(&b, NULL, 0);
        shaken(&b);
        say_frame(&b, 0x82, TD_STR("ok"));
        say_frame(&b, cases[i].head, cases[i].payload);
        say_frame(&b, 0x82, TD_STR("late"));
        arrive(&b, SIZE_MAX);
        assert_true(b.w->over);
        assert_int_equal(2, b.got.n);
        assert_int_equal(TD_OK, td_buf_add(&b.out, TD_STR("bye"))); /* goes before the end */
        leave(&b, SIZE_MAX);
        const uint8_t want[] = {
            0x82, 3, 'b', 'y', 'e', 0x88, 2, (uint8_t)(cases[i].code >> 8), (uint8_t)cases[i].code};
        sent_is(&b, want, sizeof want);
        done(&b);
    }
}

static void pings_of_who_does_not_read_are_not_gathered(void **state)
{
    (void)state;
    struct bed b;
    make(&b, NULL, 0);
    shaken(&b);
    for (int i = 0; i < 10000; i++) {
        say_frame(&b, 0x89, TD_STR("0123456789"));
    }
    arrive(&b, SIZE_MAX);
    assert_true(b.w->between.n <= 4096);
    done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_handshake_is_answered_however_it_is_cut),
        cmocka_unit_test(what_is_no_handshake_is_refused_and_over),
        cmocka_unit_test(a_name_that_is_not_ours_makes_no_origin_ours),
        cmocka_unit_test(a_head_without_end_is_refused_at_its_bound),
        cmocka_unit_test(packets_go_across_frames_and_frames_across_packets),
        cmocka_unit_test(what_leaves_is_framed_and_pongs_stand_between),
        cmocka_unit_test(it_ends_with_the_code_that_fits),
        cmocka_unit_test(pings_of_who_does_not_read_are_not_gathered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
