/* wire/ws: the RFC's own vectors, every rule of frames, any cutting of the input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/ws/ws.h"

#define BYTES(...)                                                                                 \
    ((td_slice){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

/* What came: "t:Hello. p:Hel c1000:bye !1002"; pieces of a message run together. */
struct told {
    char text[1024];
    size_t n;
    bool open;
};

static void tell(struct told *t, const char *text)
{
    size_t n = strlen(text);
    assert_true(t->n + n + 1 < sizeof t->text);
    memcpy(t->text + t->n, text, n + 1);
    t->n += n;
}

static void tell_event(struct told *t, enum td_ws_got got, const struct td_ws_event *e)
{
    char text[300];
    int n = (int)e->payload.n;
    const char *p = n > 0 ? (const char *)e->payload.p : "";
    if (got == TD_WS_MESSAGE) {
        const char *head = t->open ? "" : e->opcode == TD_WS_TEXT ? "t:" : "b:";
        snprintf(text, sizeof text, "%s%.*s%s", head, n, p, e->end ? ". " : "");
        t->open = !e->end;
    } else if (got == TD_WS_CONTROL) {
        snprintf(text, sizeof text, "<%s:%.*s>", e->opcode == TD_WS_PING ? "ping" : "pong", n, p);
    } else if (got == TD_WS_CLOSED) {
        snprintf(text, sizeof text, "c%u:%.*s", e->code, n, p);
    } else {
        assert_non_null(e->rule);
        snprintf(text, sizeof text, "!%u", e->code);
    }
    tell(t, text);
}

static void read_all(enum td_ws_role role, td_slice in, size_t step, struct told *t)
{
    struct td_ws ws;
    td_ws_init(&ws, role, 1000);
    *t = (struct told){.text = ""};
    while (in.n > 0) {
        size_t n = step < in.n ? step : in.n, at = 0;
        uint8_t *portion = malloc(n);
        memcpy(portion, in.p, n);
        for (;;) {
            size_t used = 0;
            struct td_ws_event e = {.code = 0};
            enum td_ws_got got = td_ws_next(&ws, portion + at, n - at, &used, &e);
            at += used;
            if (got == TD_WS_MORE) {
                assert_int_equal(n, at);
                break;
            }
            tell_event(t, got, &e);
        }
        free(portion);
        in = td_slice_skip(in, n);
    }
}

struct a_case {
    td_slice in;
    const char *want;
};

static void run_cases(enum td_ws_role role, const struct a_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t step = 1; step <= cases[i].in.n; step++) {
            struct told t;
            read_all(role, cases[i].in, step, &t);
            assert_string_equal(cases[i].want, t.text);
        }
    }
}

/* RFC 6455, 5.7; the mask 37 fa 21 3d is the RFC's too. */
static void the_examples_of_the_rfc_are_read(void **state)
{
    (void)state;
    const struct a_case server[] = {
        {BYTES(0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58), "t:Hello. "},
        {BYTES(0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58), "<pong:Hello>"},
    };
    const struct a_case client[] = {
        {BYTES(0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f), "t:Hello. "},
        {BYTES(0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f), "t:Hello. "},
        {BYTES(0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f), "<ping:Hello>"},
    };
    run_cases(TD_WS_SERVER, server, TD_COUNT(server));
    run_cases(TD_WS_CLIENT, client, TD_COUNT(client));
}

static void control_frames_stand_between_the_frames_of_a_message(void **state)
{
    (void)state;
    const struct a_case cases[] = {
        {BYTES(0x01, 0x01, 'a', 0x89, 0x01, 'p', 0x00, 0x00, 0x80, 0x01, 'b', 0x82, 0x01, 'c'),
         "t:a<ping:p>b. b:c. "},
        {BYTES(0x81, 0x00, 0x89, 0x00, 0x82, 0x00), "t:. <ping:>b:. "},
        {BYTES(0x02, 0x01, 'a', 0x80, 0x00), "b:a. "},
        {BYTES(0x88, 0x00, 0x81, 0x01, 'x'), "c1005:"},
        {BYTES(0x88, 0x05, 0x03, 0xE8, 'b', 'y', 'e'), "c1000:bye"},
        {BYTES(0x88, 0x02, 0x0F, 0xA0), "c4000:"},
    };
    run_cases(TD_WS_CLIENT, cases, TD_COUNT(cases));
}

static void broken_frames_end_it_with_the_right_code(void **state)
{
    (void)state;
    const struct a_case cases[] = {
        {BYTES(0xC1, 0x00), "!1002"},             /* RSV1 without an extension */
        {BYTES(0x83, 0x00), "!1002"},             /* opcode 3 */
        {BYTES(0x8B, 0x00), "!1002"},             /* opcode 11 */
        {BYTES(0x81, 0x80, 1, 2, 3, 4), "!1002"}, /* a server must not mask */
        {BYTES(0x09, 0x00), "!1002"},             /* a ping in fragments */
        {BYTES(0x89, 0x7E, 0x00, 0x7E), "!1002"}, /* a ping of 126 bytes */
        {BYTES(0x80, 0x00), "!1002"},             /* a continuation of nothing */
        {BYTES(0x01, 0x00, 0x81, 0x00), "!1002"}, /* a message within a message */
        {BYTES(0x82, 0x7E, 0x00, 0x7D), "!1002"}, /* 125 in the long form */
        {BYTES(0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF), "!1002"},
        {BYTES(0x82, 0x7F, 0x80, 0, 0, 0, 0, 1, 0, 0), "!1002"}, /* the top bit */
        {BYTES(0x82, 0x7E, 0x03, 0xE9), "!1009"}, /* 1001 bytes announced, 1000 allowed */
        {BYTES(0x82, 0x7F, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF), "!1009"},
        {BYTES(0x02, 0x01, 'a', 0x80, 0x7E, 0x03, 0xE8), "b:a!1009"},
        {BYTES(0x88, 0x01, 0x03), "!1002"},             /* half a code */
        {BYTES(0x88, 0x02, 0x03, 0xED), "!1002"},       /* 1005 must not be sent */
        {BYTES(0x88, 0x02, 0x03, 0xE7), "!1002"},       /* 999 */
        {BYTES(0x88, 0x02, 0x13, 0x88), "!1002"},       /* 5000 */
        {BYTES(0x88, 0x03, 0x03, 0xE8, 0xFF), "!1007"}, /* a reason that is not UTF-8 */
    };
    run_cases(TD_WS_CLIENT, cases, TD_COUNT(cases));
    const struct a_case bare[] = {{BYTES(0x81, 0x01, 'x'), "!1002"}};
    run_cases(TD_WS_SERVER, bare, TD_COUNT(bare));
}

static void text_must_be_utf8_wherever_it_is_cut(void **state)
{
    (void)state;
    const struct {
        td_slice text;
        bool good;
    } cases[] = {
        {BYTES(0xC3, 0xA9), true},
        {BYTES(0xE2, 0x82, 0xAC), true},
        {BYTES(0xF0, 0x9F, 0x98, 0x80), true},
        {BYTES(0xF4, 0x8F, 0xBF, 0xBF), true},
        {BYTES(0xED, 0x9F, 0xBF, 0xEE, 0x80, 0x80), true},
        {BYTES(0xC0, 0xAF), false},
        {BYTES(0xC1, 0x80), false},
        {BYTES(0xE0, 0x9F, 0xBF), false},
        {BYTES(0xED, 0xA0, 0x80), false},
        {BYTES(0xF0, 0x8F, 0xBF, 0xBF), false},
        {BYTES(0xF4, 0x90, 0x80, 0x80), false},
        {BYTES(0xF5, 0x80, 0x80, 0x80), false},
        {BYTES(0x80), false},
        {BYTES('a', 0xFF), false},
        {BYTES(0xC3), false},
        {BYTES(0xF0, 0x9F, 0x98), false},
        {BYTES(0xC3, 'a'), false},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        td_slice text = cases[i].text;
        for (size_t cut = 0; cut <= text.n; cut++) { /* two frames */
            uint8_t in[32], *p = in;
            *p++ = 0x01;
            *p++ = (uint8_t)cut;
            p = td_put_bytes(p, td_slice_head(text, cut));
            *p++ = 0x80;
            *p++ = (uint8_t)(text.n - cut);
            p = td_put_bytes(p, td_slice_skip(text, cut));
            for (size_t step = 1; step < 4; step++) {
                struct told t;
                read_all(TD_WS_CLIENT, (td_slice){in, (size_t)(p - in)}, step, &t);
                assert_int_equal(cases[i].good, strstr(t.text, "!1007") == NULL);
            }
        }
    }
}

static void what_is_written_is_read_in_all_three_lengths(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
    static const uint8_t key[4] = {0x37, 0xFA, 0x21, 0x3D};
    for (size_t i = 0; i < 2 * TD_COUNT(sizes); i++) {
        size_t n = sizes[i / 2], head = td_ws_head_size(n, i % 2);
        uint8_t *frame = malloc(head + n);
        assert_ptr_equal(frame + head, td_ws_head_put(frame, TD_WS_BINARY, n, i % 2 ? key : NULL));
        memset(frame + head, 'x', n);
        if (i % 2) {
            td_ws_mask(frame + head, n, key, 0);
        }
        struct td_ws ws;
        struct td_ws_event e;
        size_t used = 0;
        td_ws_init(&ws, i % 2 ? TD_WS_SERVER : TD_WS_CLIENT, 70000);
        assert_int_equal(TD_WS_MESSAGE, td_ws_next(&ws, frame, head + n, &used, &e));
        assert_int_equal(head + n, used);
        assert_int_equal(n, e.payload.n);
        assert_true(e.end && (n == 0 || (e.payload.p[0] == 'x' && e.payload.p[n - 1] == 'x')));
        free(frame);
    }
}

static void a_close_frame_keeps_its_bound_between_characters(void **state)
{
    (void)state;
    char reason[200];
    for (size_t i = 0; i < sizeof reason; i += 2) {
        memcpy(reason + i, "\xC3\xA9", 2);
    }
    uint8_t out[127];
    uint8_t *end = td_ws_close_put(out, TD_WS_CODE_POLICY, (td_slice){(uint8_t *)reason, 200});
    assert_int_equal(2 + 2 + 122, end - out);
    struct told t;
    read_all(TD_WS_CLIENT, (td_slice){out, (size_t)(end - out)}, 7, &t);
    assert_memory_equal("c1008:", t.text, 6);
}

static void the_handshake_is_that_of_the_rfc(void **state)
{
    (void)state;
    uint8_t out[TD_WS_ACCEPT_BYTES], key[24];
    td_ws_accept(TD_STR("dGhlIHNhbXBsZSBub25jZQ=="), out);
    assert_memory_equal("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", out, sizeof out);
    td_ws_key((const uint8_t *)"the sample nonce", key);
    assert_memory_equal("dGhlIHNhbXBsZSBub25jZQ==", key, sizeof key);
    assert_true(td_ws_key_valid((td_slice){key, 24}));
    assert_false(td_ws_key_valid((td_slice){key, 23}));
    assert_false(td_ws_key_valid(TD_STR("dGhlIHNhbXBsZSBub25jZQ=a")));
    assert_false(td_ws_key_valid(TD_STR("dGhlIHNhbXBs=SBub25jZQ==")));
}

static void sha1_gives_the_vectors_of_rfc_3174(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t times;
        uint8_t want[4];
    } cases[] = {
        {"abc", 1, {0xA9, 0x99, 0x3E, 0x36}},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, {0x84, 0x98, 0x3E, 0x44}},
        {"0123456701234567012345670123456701234567012345670123456701234567",
         10,
         {0xDE, 0xA3, 0x56, 0xA2}},
        {"", 1, {0xDA, 0x39, 0xA3, 0xEE}},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        uint8_t in[640], hash[20];
        size_t n = strlen(cases[i].text);
        for (size_t k = 0; k < cases[i].times; k++) {
            memcpy(in + k * n, cases[i].text, n);
        }
        td_ws_sha1((td_slice){in, n * cases[i].times}, hash);
        assert_memory_equal(cases[i].want, hash, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc_are_read),
        cmocka_unit_test(control_frames_stand_between_the_frames_of_a_message),
        cmocka_unit_test(broken_frames_end_it_with_the_right_code),
        cmocka_unit_test(text_must_be_utf8_wherever_it_is_cut),
        cmocka_unit_test(what_is_written_is_read_in_all_three_lengths),
        cmocka_unit_test(a_close_frame_keeps_its_bound_between_characters),
        cmocka_unit_test(the_handshake_is_that_of_the_rfc),
        cmocka_unit_test(sha1_gives_the_vectors_of_rfc_3174),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
