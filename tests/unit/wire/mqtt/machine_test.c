/* The machine: every cell of the table of types, states, versions and roles; keep alive, receive
 * maximum, aliases, last words. */
#include "hex.h"

#include <stdlib.h>

#include "wire/mqtt/mqtt.h"

static struct td_mqtt_limits limits = TD_MQTT_LIMITS_DEFAULT;

static struct td_mqtt machine(enum td_mqtt_role role, enum td_mqtt_state state, unsigned version)
{
    struct td_mqtt m;
    td_mqtt_init(&m, role, &limits, 0);
    m.state = (uint8_t)state;
    m.version = (uint8_t)version;
    m.authenticates = true;
    return m;
}

static enum td_mqtt_got feed(struct td_mqtt *m, const char *bytes, struct td_mqtt_packet *out)
{
    static struct hex h; /* packets borrow from it */
    h = hex_of(bytes);
    td_slice in = hex_slice(&h);
    return td_mqtt_next(m, &in, 7, out);
}

/* Columns: types 0..15; 'x' may come. One row per state, three versions in it where they differ. */
static const struct {
    enum td_mqtt_role role;
    enum td_mqtt_state state;
    unsigned version; /* 0: all */
    const char *may;  /*  -CKPaRrcSsUuiIDX */
} cells[] = {
    {TD_MQTT_SERVER, TD_MQTT_NEW, 0, ".x.............."},
    {TD_MQTT_SERVER, TD_MQTT_WAIT, 0, "...xxxxxx.x.x.x."},
    {TD_MQTT_SERVER, TD_MQTT_AUTHENTICATING, 3, "................"},
    {TD_MQTT_SERVER, TD_MQTT_AUTHENTICATING, 4, "................"},
    {TD_MQTT_SERVER, TD_MQTT_AUTHENTICATING, 5, "..............xx"},
    {TD_MQTT_SERVER, TD_MQTT_OPEN, 3, "...xxxxxx.x.x.x."},
    {TD_MQTT_SERVER, TD_MQTT_OPEN, 4, "...xxxxxx.x.x.x."},
    {TD_MQTT_SERVER, TD_MQTT_OPEN, 5, "...xxxxxx.x.x.xx"},
    {TD_MQTT_SERVER, TD_MQTT_CLOSED, 0, "................"},
    {TD_MQTT_CLIENT, TD_MQTT_NEW, 0, "................"},
    {TD_MQTT_CLIENT, TD_MQTT_WAIT, 0, "..x............."},
    {TD_MQTT_CLIENT, TD_MQTT_AUTHENTICATING, 3, "................"},
    {TD_MQTT_CLIENT, TD_MQTT_AUTHENTICATING, 4, "................"},
    {TD_MQTT_CLIENT, TD_MQTT_AUTHENTICATING, 5, "..x............x"},
    {TD_MQTT_CLIENT, TD_MQTT_OPEN, 3, "...xxxxx.x.x.x.."},
    {TD_MQTT_CLIENT, TD_MQTT_OPEN, 4, "...xxxxx.x.x.x.."},
    {TD_MQTT_CLIENT, TD_MQTT_OPEN, 5, "...xxxxx.x.x.xxx"},
    {TD_MQTT_CLIENT, TD_MQTT_CLOSED, 0, "................"},
};

static void every_cell_of_the_table_is_judged_by_the_first_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_COUNT(cells); i++) {
        for (unsigned version = 3; version <= 5; version++) {
            if (cells[i].version != 0 && cells[i].version != version) {
                continue;
            }
            for (unsigned type = 0; type < 16; type++) {
                struct td_mqtt m = machine(cells[i].role, cells[i].state, version);
                struct td_mqtt_packet p;
                uint8_t first = (uint8_t)(type << 4);
                td_slice in = {&first, 1};
                bool may = cells[i].may[type] == 'x';
                enum td_mqtt_got got = td_mqtt_next(&m, &in, 1, &p);
                if (got != (may ? TD_MQTT_GOT_NONE : TD_MQTT_GOT_ERROR)) {
                    fail_msg("row %zu, version %u, type %u", i, version, type);
                }
                assert_true(may || m.reason == (type == 0 ? 0x81 : 0x82));
                assert_true(may || m.state == TD_MQTT_CLOSED);
            }
        }
    }
}

static void one_byte_at_a_time_gives_the_same_packets(void **state)
{
    (void)state;
    struct hex h = hex_of("10 0C 0004 'MQTT' 04 02 003C 0000 C0 00 30 05 0003 'a/b' "
                          "82 08 0001 0003 'a/b' 01 E0 00");
    static const uint8_t types[] = {TD_MQTT_CONNECT, TD_MQTT_PINGREQ, TD_MQTT_PUBLISH,
                                    TD_MQTT_SUBSCRIBE, TD_MQTT_DISCONNECT};
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_NEW, 0);
    size_t from = 0, count = 0;
    for (size_t n = 1; n <= h.n; n++) {
        td_slice in = {h.bytes + from, n - from};
        struct td_mqtt_packet p;
        enum td_mqtt_got got = td_mqtt_next(&m, &in, (td_mono)n, &p);
        assert_true(got == TD_MQTT_GOT_NONE || got == TD_MQTT_GOT_PACKET);
        if (got == TD_MQTT_GOT_PACKET) {
            assert_int_equal(types[count++], p.type);
            assert_int_equal(0, in.n);
            assert_int_equal(n, m.heard);
            from = n;
        }
        if (count == 1 && m.state == TD_MQTT_WAIT) {
            td_mqtt_accepted(&m, 60, (td_mono)n);
        }
    }
    assert_int_equal(TD_COUNT(types), count);
    assert_int_equal(TD_MQTT_CLOSED, m.state);
}

static void a_length_over_the_limit_is_refused_at_the_fixed_header(void **state)
{
    (void)state;
    struct td_mqtt_packet p;
    struct td_mqtt_limits small = TD_MQTT_LIMITS_DEFAULT;
    small.connect_bytes_max = 100;
    small.packet_bytes_max = 1000;
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_NEW, 0);
    m.limits = &small;
    assert_int_equal(TD_MQTT_GOT_NONE, feed(&m, "10 62", &p));
    assert_int_equal(100, m.want);
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, "10 63", &p));
    assert_int_equal(TD_MQTT_REASON_PACKET_TOO_LARGE, m.reason);
    m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 5);
    m.limits = &small;
    assert_int_equal(TD_MQTT_GOT_NONE, feed(&m, "30 E5 07", &p));
    assert_int_equal(1000, m.want);
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, "30 E6 07", &p));
    assert_int_equal(TD_MQTT_REASON_PACKET_TOO_LARGE, m.reason);
}

static void silence_closes_after_one_and_a_half_keep_alives(void **state)
{
    (void)state;
    struct td_mqtt_packet p;
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_NEW, 0);
    assert_int_equal(10 * TD_NS_PER_S, td_mqtt_deadline(&m));
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "10 0D 0004 'MQTT' 05 02 003C 00 0000", &p));
    assert_int_equal(TD_NEVER, td_mqtt_deadline(&m)); /* it waits for us */
    td_mqtt_accepted(&m, 10, 100);
    assert_int_equal(100 + 15 * TD_NS_PER_S, td_mqtt_deadline(&m));
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "C0 00", &p)); /* at 7 */
    assert_false(td_mqtt_expired(&m, 6 + 15 * TD_NS_PER_S));
    assert_true(td_mqtt_expired(&m, 7 + 15 * TD_NS_PER_S));
    assert_int_equal(TD_MQTT_REASON_KEEP_ALIVE_TIMEOUT, m.reason);
    uint8_t word[TD_MQTT_WORD_MAX];
    assert_int_equal(3, td_mqtt_word(&m, m.reason, m.rule, word));
    assert_memory_equal("\xE0\x01\x8D", word, 3);
    assert_int_equal(0, td_mqtt_word(&m, m.reason, m.rule, word)); /* once */
    m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 4);
    assert_int_equal(TD_NEVER, td_mqtt_deadline(&m)); /* keep alive 0: off */
}

static void who_does_not_connect_in_time_is_closed_without_a_word(void **state)
{
    (void)state;
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_NEW, 0);
    uint8_t word[TD_MQTT_WORD_MAX];
    assert_false(td_mqtt_expired(&m, 10 * TD_NS_PER_S - 1));
    assert_true(td_mqtt_expired(&m, 10 * TD_NS_PER_S));
    assert_int_equal(0, td_mqtt_word(&m, m.reason, m.rule, word));
}

static void one_publish_more_than_receive_maximum_is_refused_in_5_0(void **state)
{
    (void)state;
    struct td_mqtt_limits two = TD_MQTT_LIMITS_DEFAULT;
    two.receive_max = 2;
    struct td_mqtt_packet p;
    uint8_t out[TD_MQTT_ACK_MAX];
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 5);
    m.limits = &two;
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "32 06 0001 'a' 0001 00", &p));
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "34 06 0001 'a' 0002 00", &p));
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "30 04 0001 'a' 00", &p)); /* QoS 0 is free */
    (void)td_mqtt_ack(&m, out, TD_MQTT_PUBREC, 2, 0);                        /* goes on */
    assert_int_equal(2, m.receiving);
    (void)td_mqtt_ack(&m, out, TD_MQTT_PUBACK, 1, 0);
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "32 06 0001 'a' 0003 00", &p));
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, "32 06 0001 'a' 0004 00", &p));
    assert_int_equal(TD_MQTT_REASON_RECEIVE_MAXIMUM_EXCEEDED, m.reason);
    m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 4);
    m.limits = &two;
    for (int i = 0; i < 5; i++) { /* 3.1.1 knows no such thing: counted only */
        assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "32 05 0001 'a' 0001", &p));
    }
    assert_int_equal(5, m.receiving);
}

static void what_was_announced_as_not_available_is_refused(void **state)
{
    (void)state;
    struct td_mqtt_limits few = TD_MQTT_LIMITS_DEFAULT;
    struct td_mqtt_packet p;
    few.qos_max = 1;
    few.no_retain = true;
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 5);
    m.limits = &few;
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, "34 06 0001 'a' 0002 00", &p));
    assert_int_equal(TD_MQTT_REASON_QOS_NOT_SUPPORTED, m.reason);
    m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 5);
    m.limits = &few;
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, "31 04 0001 'a' 00", &p));
    assert_int_equal(TD_MQTT_REASON_RETAIN_NOT_SUPPORTED, m.reason);
}

/* ---- aliases ---- */

static enum td_mqtt_got aliased(struct td_mqtt *m, void **block, unsigned alias, td_slice topic,
                                struct td_mqtt_packet *p)
{
    static uint8_t bytes[70000];
    struct td_mqtt_packet out = {.type = TD_MQTT_PUBLISH, .version = 5, .topic = topic};
    out.props.has = TD_MQTT_HAS(TOPIC_ALIAS);
    out.props.topic_alias = (uint16_t)alias;
    td_slice in = {bytes, (size_t)(td_mqtt_packet_put(bytes, &out) - bytes)};
    enum td_mqtt_got got = td_mqtt_next(m, &in, 1, p);
    if (got == TD_MQTT_GOT_ALIASES) {
        size_t n = td_mqtt_aliases_want(m);
        assert_true(n <= m->limits->alias_bytes_max);
        *block = realloc(*block, n);
        td_mqtt_aliases_lend(m, *block, n);
        got = td_mqtt_next(m, &in, 1, p);
        assert_int_not_equal(TD_MQTT_GOT_ALIASES, got);
    }
    return got;
}

static void aliases_give_their_topics_however_they_are_set_again(void **state)
{
    (void)state;
    enum { COUNT = 8, STEPS = 5000 };
    static uint8_t topics[COUNT + 1][200];
    size_t lengths[COUNT + 1] = {0};
    struct td_mqtt_limits few = TD_MQTT_LIMITS_DEFAULT;
    few.alias_max = COUNT;
    few.alias_bytes_max = 2000;
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 5);
    m.limits = &few;
    void *block = NULL;
    unsigned seed = 7;
    for (int i = 0; i < STEPS; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned alias = 1 + (seed >> 16) % COUNT;
        struct td_mqtt_packet p;
        if ((seed >> 24 & 1) != 0 || lengths[alias] == 0) {
            lengths[alias] = 1 + (seed >> 8) % 199;
            memset(topics[alias], 'a' + (int)(seed >> 20) % 26, lengths[alias]);
            td_slice topic = {topics[alias], lengths[alias]};
            assert_int_equal(TD_MQTT_GOT_PACKET, aliased(&m, &block, alias, topic, &p));
        } else {
            td_slice none = {NULL, 0};
            assert_int_equal(TD_MQTT_GOT_PACKET, aliased(&m, &block, alias, none, &p));
        }
        assert_true(td_slice_eq(((td_slice){topics[alias], lengths[alias]}), p.topic));
    }
    free(block);
}

static void a_wrong_alias_is_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned alias;
        const char *topic;
        unsigned reason;
    } cases[] = {{0, "a", 0x94}, {65, "a", 0x94}, {64, "", 0x82}, {1, "", 0x82}};
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 5);
        struct td_mqtt_packet p;
        void *block = NULL;
        td_slice topic = td_slice_of(cases[i].topic);
        assert_int_equal(TD_MQTT_GOT_ERROR, aliased(&m, &block, cases[i].alias, topic, &p));
        assert_int_equal(cases[i].reason, m.reason);
        free(block);
    }
}

static void topics_that_would_fill_the_alias_block_are_a_quota_error(void **state)
{
    (void)state;
    static uint8_t topic[20000];
    memset(topic, 'x', sizeof topic);
    struct td_mqtt m = machine(TD_MQTT_SERVER, TD_MQTT_OPEN, 5);
    struct td_mqtt_packet p;
    void *block = NULL;
    td_slice big = {topic, 10000};
    assert_int_equal(TD_MQTT_GOT_PACKET, aliased(&m, &block, 1, big, &p));
    assert_int_equal(TD_MQTT_GOT_PACKET, aliased(&m, &block, 1, big, &p));
    assert_int_equal(TD_MQTT_GOT_ERROR, aliased(&m, &block, 2, big, &p));
    assert_int_equal(TD_MQTT_REASON_QUOTA_EXCEEDED, m.reason);
    free(block);
}

/* ---- authentication, last words ---- */

static void authentication_lets_only_auth_through_until_connack(void **state)
{
    (void)state;
    struct td_mqtt m;
    struct td_mqtt_packet p;
    td_mqtt_init(&m, TD_MQTT_SERVER, &limits, 0);
    assert_int_equal(TD_MQTT_GOT_PACKET,
                     feed(&m, "10 13 0004 'MQTT' 05 02 003C 06 15 0003 'tok' 0000", &p));
    assert_int_equal(TD_MQTT_AUTHENTICATING, m.state);
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "F0 08 18 06 15 0003 'tok'", &p));
    struct td_mqtt other = m;
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&other, "30 04 0001 'a' 00", &p));
    td_mqtt_accepted(&m, 0, 1);
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "30 04 0001 'a' 00", &p));
    assert_int_equal(TD_MQTT_GOT_PACKET, feed(&m, "F0 08 19 06 15 0003 'tok'", &p));
    m.authenticates = false;
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, "F0 08 19 06 15 0003 'tok'", &p));
}

static void the_last_word_fits_version_state_and_role(void **state)
{
    (void)state;
    static const struct {
        enum td_mqtt_role role;
        enum td_mqtt_state state;
        unsigned version, reason;
        const char *word;
    } cases[] = {
        {TD_MQTT_SERVER, TD_MQTT_NEW, 0, 0x82, ""},
        {TD_MQTT_SERVER, TD_MQTT_WAIT, 5, 0x87, "20 03 00 87 00"},
        {TD_MQTT_SERVER, TD_MQTT_WAIT, 5, 0x8E, ""}, /* CONNACK has no 0x8E */
        {TD_MQTT_SERVER, TD_MQTT_WAIT, 4, 0x87, "20 02 00 05"},
        {TD_MQTT_SERVER, TD_MQTT_WAIT, 4, 0x86, "20 02 00 04"},
        {TD_MQTT_SERVER, TD_MQTT_WAIT, 4, 0x81, ""},
        {TD_MQTT_SERVER, TD_MQTT_OPEN, 5, 0x8E, "E0 01 8E"},
        {TD_MQTT_SERVER, TD_MQTT_OPEN, 4, 0x8E, ""},
        {TD_MQTT_SERVER, TD_MQTT_CLOSED, 5, 0x8E, ""},
        {TD_MQTT_CLIENT, TD_MQTT_WAIT, 5, 0x82, ""},
        {TD_MQTT_CLIENT, TD_MQTT_OPEN, 5, 0x00, "E0 00"},
        {TD_MQTT_CLIENT, TD_MQTT_OPEN, 5, 0x04, "E0 01 04"},
        {TD_MQTT_CLIENT, TD_MQTT_OPEN, 5, 0x8B, "E0 01 80"}, /* only a server shuts down */
        {TD_MQTT_CLIENT, TD_MQTT_OPEN, 4, 0x00, "E0 00"},
        {TD_MQTT_CLIENT, TD_MQTT_OPEN, 4, 0x82, ""}, /* keeps the will */
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_mqtt m = machine(cases[i].role, cases[i].state, cases[i].version);
        m.ended_in = TD_MQTT_CLOSED;
        struct hex wanted = hex_of(cases[i].word);
        uint8_t word[TD_MQTT_WORD_MAX];
        size_t n = td_mqtt_word(&m, cases[i].reason, "why", word);
        if (n != wanted.n || memcmp(word, wanted.bytes, n) != 0) {
            fail_msg("case %zu", i);
        }
        assert_int_equal(TD_MQTT_CLOSED, m.state);
    }
}

static void a_refused_level_is_answered_in_words_that_its_client_knows(void **state)
{
    (void)state;
    static const struct {
        const char *level, *word;
    } cases[] = {
        {"06", "20 03 00 84 00"}, {"FF", "20 03 00 84 00"}, {"02", "20 02 00 01"},
        {"83", "20 02 00 01"},    {"84", "20 02 00 01"},    {"85", "20 03 00 84 00"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        char text[80] = "10 0C 0004 'MQTT' .. 02 003C 0000";
        memcpy(text + 18, cases[i].level, 2);
        struct td_mqtt m;
        struct td_mqtt_packet p;
        uint8_t word[TD_MQTT_WORD_MAX];
        struct hex wanted = hex_of(cases[i].word);
        td_mqtt_init(&m, TD_MQTT_SERVER, &limits, 0);
        assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, text, &p));
        assert_int_equal(wanted.n, td_mqtt_word(&m, m.reason, m.rule, word));
        assert_memory_equal(wanted.bytes, word, wanted.n);
    }
}

static void who_asks_for_problems_is_told_the_rule(void **state)
{
    (void)state;
    struct td_mqtt m;
    struct td_mqtt_packet p;
    uint8_t word[TD_MQTT_WORD_MAX];
    td_mqtt_init(&m, TD_MQTT_SERVER, &limits, 0);
    assert_int_equal(TD_MQTT_GOT_PACKET,
                     feed(&m, "10 0F 0004 'MQTT' 05 02 003C 02 17 01 0000", &p));
    td_mqtt_accepted(&m, 60, 1);
    assert_int_equal(TD_MQTT_GOT_ERROR, feed(&m, "10 0D 0004 'MQTT' 05 02 003C 00 0000", &p));
    size_t n = td_mqtt_word(&m, m.reason, m.rule, word);
    assert_int_equal(0x82, word[2]);
    assert_slice("MQTT-3.1.0-2: CONNECT comes once", ((td_slice){word + 7, n - 7}));
    m.state = TD_MQTT_OPEN;
    m.peer_packet_bytes_max = 20; /* too little for the text */
    assert_int_equal(3, td_mqtt_word(&m, 0x82, m.rule, word));
}

static void a_refused_connect_is_answered_as_it_asked(void **state)
{
    (void)state;
    struct td_mqtt m;
    struct td_mqtt_packet p;
    uint8_t word[TD_MQTT_WORD_MAX];
    td_mqtt_init(&m, TD_MQTT_SERVER, &limits, 0);
    assert_int_equal(TD_MQTT_GOT_ERROR,
                     feed(&m, "10 10 0004 'MQTT' 05 02 003C 02 17 01 0001 00", &p));
    size_t n = td_mqtt_word(&m, m.reason, m.rule, word);
    assert_true(n > 8 && word[0] == 0x20 && word[3] == 0x81);
    assert_slice(m.rule, ((td_slice){word + 8, n - 8}));
    td_mqtt_init(&m, TD_MQTT_SERVER, &limits, 0);
    assert_int_equal(TD_MQTT_GOT_ERROR,
                     feed(&m, "10 13 0004 'MQTT' 05 02 003C 05 27 00000004 0001 00", &p));
    assert_int_equal(0, td_mqtt_word(&m, m.reason, m.rule, word)); /* takes 4 bytes, that has 5 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_of_the_table_is_judged_by_the_first_byte),
        cmocka_unit_test(one_byte_at_a_time_gives_the_same_packets),
        cmocka_unit_test(a_length_over_the_limit_is_refused_at_the_fixed_header),
        cmocka_unit_test(silence_closes_after_one_and_a_half_keep_alives),
        cmocka_unit_test(who_does_not_connect_in_time_is_closed_without_a_word),
        cmocka_unit_test(one_publish_more_than_receive_maximum_is_refused_in_5_0),
        cmocka_unit_test(what_was_announced_as_not_available_is_refused),
        cmocka_unit_test(aliases_give_their_topics_however_they_are_set_again),
        cmocka_unit_test(a_wrong_alias_is_refused),
        cmocka_unit_test(topics_that_would_fill_the_alias_block_are_a_quota_error),
        cmocka_unit_test(authentication_lets_only_auth_through_until_connack),
        cmocka_unit_test(the_last_word_fits_version_state_and_role),
        cmocka_unit_test(a_refused_level_is_answered_in_words_that_its_client_knows),
        cmocka_unit_test(who_asks_for_problems_is_told_the_rule),
        cmocka_unit_test(a_refused_connect_is_answered_as_it_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
