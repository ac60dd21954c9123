/* config: every row has a good default, files are taken or refused with their place, and the
 * documentation is what the table says. To write it anew: TD_WRITE=1 and run this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/config.h"

static enum td_err read_text(struct td_config *c, const char *text, struct td_buf *why)
{
    td_config_init(c);
    td_buf_init(why, 4096);
    enum td_err err = td_config_read(c, "tandem.toml", td_slice_of(text), why);
    assert_int_equal(TD_OK, td_buf_add_u8(why, 0));
    return err;
}

static void defaults_are_what_the_rows_say(void **state)
{
    (void)state;
    struct td_config c;
    td_config_init(&c);
    struct td_buf why;
    td_buf_init(&why, 1000);
    assert_int_equal(TD_OK, td_config_check(&c, &why));
    assert_int_equal(2, c.serve.listeners.count);
    assert_string_equal("127.0.0.1:1883", c.serve.listeners.at[0].address);
    assert_int_equal(TD_SERVE_MQTT, c.serve.listeners.at[0].kind);
    assert_string_equal("127.0.0.1:8080", c.serve.listeners.at[1].address);
    assert_int_equal(TD_SERVE_HTTP, c.serve.listeners.at[1].kind);
    assert_string_equal("data", c.serve.data_dir);
    assert_int_equal(16 << 20, c.serve.mqtt.packet_bytes_max);
    assert_int_equal(30 * 86400, c.serve.mqtt.session_expiry_s);
    assert_int_equal(1024, c.serve.mqtt.receive_max);
    assert_int_equal(UINT64_C(64) << 20, c.serve.mqtt.queue_bytes_max);
    assert_int_equal(4 << 20, c.serve.store.segment_bytes);
    assert_int_equal(0, c.rules.count);
    td_config_fini(&c);
}

/* Field by field: what lies between the fields is anybody's. */
#define SAME(field) assert_int_equal(d.field, c.serve.field)

static void the_simulator_runs_with_the_same_defaults(void **state)
{
    (void)state;
    struct td_config c;
    struct td_serve_config d;
    td_config_init(&c);
    td_serve_config_default(&d);
    SAME(mqtt.packet_bytes_max);
    SAME(mqtt.receive_max);
    SAME(mqtt.alias_max);
    SAME(mqtt.session_expiry_s);
    SAME(mqtt.keepalive_max_s);
    SAME(mqtt.queue_messages_max);
    SAME(mqtt.delayed_messages_max);
    SAME(mqtt.delayed_bytes_max);
    SAME(mqtt.queue_bytes_max);
    SAME(mqtt.write_bytes_max);
    SAME(mqtt.connections_max);
    SAME(mqtt.sessions_max);
    SAME(hub.nodes_max);
    SAME(hub.subscriptions_max);
    SAME(hub.retained_max);
    SAME(hub.retained_bytes_max);
    SAME(http.connections_max);
    SAME(http.live_max);
    SAME(http.body_bytes_max);
    SAME(http.write_bytes_max);
    SAME(series_max);
    td_config_fini(&c);
}

static void a_file_goes_over_the_defaults(void **state)
{
    (void)state;
    struct td_config c;
    struct td_buf why;
    enum td_err err = read_text(&c,
                                "mqtt.listen = \"off\"\n"
                                "[http]\nlisten = \"127.0.0.1:0\"\nhosts = [\"hub.local\", \"x\"]\n"
                                "body_max = \"64 KB\"\nlive_max = 7\n"
                                "[data]\ndir = \"/var/lib/tandem\"\n"
                                "[rules]\nfiles = ['a.td']\n",
                                &why);
    assert_string_equal("", (char *)why.p);
    assert_int_equal(TD_OK, err);
    assert_int_equal(0, c.listen[TD_SERVE_MQTT].count);
    assert_int_equal(1, c.listen[TD_SERVE_HTTP].count);
    assert_string_equal("127.0.0.1:0", c.listen[TD_SERVE_HTTP].at[0]);
    assert_int_equal(2, c.serve.http.hosts.count);
    assert_string_equal("hub.local", c.serve.http.hosts.at[0]);
    assert_int_equal(65536, c.serve.http.body_bytes_max);
    assert_int_equal(7, c.serve.http.live_max);
    assert_string_equal("/var/lib/tandem", c.serve.data_dir);
    assert_int_equal(1, c.rules.count);
    assert_string_equal("a.td", c.rules.at[0]);
    td_buf_fini(&why);
    td_config_fini(&c);
}

static void what_is_wrong_is_refused_with_place_rule_and_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"[mqt]\n", "tandem.toml:1:2: 'mqt' is not known here; did you mean 'mqtt'?\n    [mqt]\n"
                    "     ^\n"},
        {"[mqtt]\nlissen = \"x\"", "tandem.toml:2:1: 'lissen' is not known here; did you mean "
                                   "'listen'?\n"},
        {"[mqtt]\nzzzzzzzz = 1", "tandem.toml:2:1: 'zzzzzzzz' is not known here; `tandem serve "
                                 "--help` lists what is\n"},
        {"mqtt = 1", "tandem.toml:1:1: mqtt is a section: write [mqtt] and its settings below\n"},
        {"[mqtt]\nlisten = 1883", "tandem.toml:2:1: listen takes an address and port in quotes"},
        {"[mqtt]\nlisten = \"\"", "tandem.toml:2:1: listen takes an address"},
        {"[mqtt]\nreceive_max = 0", "tandem.toml:2:1: receive_max: 0 is outside 1 to 65535\n"},
        {"[mqtt]\nreceive_max = 65536", "tandem.toml:2:1: receive_max: 65536 is outside"},
        {"[mqtt]\nreceive_max = -1", "tandem.toml:2:1: receive_max takes a whole number\n"},
        {"[mqtt]\nreceive_max = 1.5", "tandem.toml:2:1: receive_max takes a whole number\n"},
        {"[mqtt]\nreceive_max = \"1\"", "tandem.toml:2:1: receive_max takes a whole number\n"},
        {"[mqtt]\npacket_max = \"16 XB\"", "tandem.toml:2:1: packet_max takes a whole number of b"},
        {"[mqtt]\npacket_max = \"MB\"", "tandem.toml:2:1: packet_max takes"},
        {"[mqtt]\npacket_max = \"999999999999999999999 GB\"", "tandem.toml:2:1: packet_max takes"},
        {"[mqtt]\npacket_max = \"1 GB\"", "tandem.toml:2:1: packet_max: 1073741824 is outside"},
        {"[mqtt]\nkeepalive_max = \"1w\"", "tandem.toml:2:1: keepalive_max takes"},
        {"[mqtt]\ninsecure = \"yes\"", "tandem.toml:2:1: insecure takes true or false\n"},
        {"[[listener]]\nkind = \"mqtt\"", "tandem.toml:1:3: this listener needs an address"},
        {"[[listener]]\naddres = \"x\"", "tandem.toml:2:1: 'addres' is not known here; did you"},
        {"[[listener]]\nkind = \"coap\"", "tandem.toml:2:1: kind takes \"mqtt\" or \"http\"\n"},
        {"[[listener]]\nmode = \"0689\"", "tandem.toml:2:1: mode takes octal digits in quotes"},
        {"[[listener]]\nmode = \"1777\"", "tandem.toml:2:1: mode takes octal digits in quotes"},
        {"[[listener]]\nmode = \"000\"", "tandem.toml:2:1: mode takes octal digits in quotes"},
        {"[listener]\nmode = \"0660\"", "tandem.toml:1:2: there may be many listeners: write"},
        {"listener = [1]", "tandem.toml:1:13: write [[listener]] and its settings below"},
        {"[rules]\nfiles = \"a\"", "tandem.toml:2:1: files takes an array of texts"},
        {"[rules]\nfiles = [1]", "tandem.toml:2:1: files takes an array of texts"},
        {"[mqtt\n", "tandem.toml:1:6: ] must close it\n"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_config c;
        struct td_buf why;
        assert_int_equal(TD_ESYNTAX, read_text(&c, cases[i].text, &why));
        if (strncmp((char *)why.p, cases[i].want, strlen(cases[i].want)) != 0) {
            fail_msg("%s: %s", cases[i].text, (char *)why.p);
        }
        td_buf_fini(&why);
        td_config_fini(&c);
    }
}

static void a_listener_on_a_network_must_be_wanted_in_so_many_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum td_err want;
    } cases[] = {
        {"", TD_OK},
        {"[mqtt]\nlisten=\"127.1.2.3:1883\"\n[http]\nlisten=\"[::1]:80\"", TD_OK},
        {"[mqtt]\nlisten=\"unix:/run/x\"\n[http]\nlisten=\"localhost:80\"", TD_OK},
        {"[mqtt]\nlisten=\"0.0.0.0:1883\"", TD_EDENIED},
        {"[mqtt]\nlisten=\"[::]:1883\"", TD_EDENIED},
        {"[mqtt]\nlisten=\"192.168.1.1:1883\"\ninsecure=true", TD_EDENIED},
        {"[mqtt]\nlisten=\"192.168.1.1:1883\"\nplaintext=true", TD_EDENIED},
        {"[mqtt]\nlisten=\"192.168.1.1:1883\"\nplaintext=true\ninsecure=true", TD_OK},
        {"[http]\nlisten=\"192.168.1.1:80\"\n[mqtt]\nplaintext=true\ninsecure=true", TD_EDENIED},
        {"[mqtt]\nlisten=\"off\"", TD_OK},
        {"[mqtt]\nlisten=[\"127.0.0.1:1\", \"0.0.0.0:1\"]", TD_EDENIED},
        {"[[listener]]\naddress=\"127.0.0.1:1\"\n[[listener]]\naddress=\"[::]:1\"", TD_EDENIED},
        {"[mqtt]\ninsecure=true\nplaintext=true\n[[listener]]\naddress=\"[::]:1\"", TD_EDENIED},
        {"[[listener]]\naddress=\"[::]:1\"\ninsecure=true\nplaintext=true", TD_OK},
        {"[[listener]]\naddress=\"[::]:1\"\ncertificate=\"c\"", TD_EDENIED},
        {"[[listener]]\naddress=\"[::]:1\"\ncertificate=\"c\"\ninsecure=true", TD_OK},
        {"[access]\nusers=\"u\"\n[[listener]]\naddress=\"[::]:1\"\ncertificate=\"c\"", TD_OK},
        {"[access]\nusers=\"u\"\n[[listener]]\naddress=\"[::]:1\"", TD_EDENIED},
        {"[[listener]]\naddress=\"[::]:1\"\npsk=\"k\"", TD_OK},
        {"[[listener]]\naddress=\"[::]:1\"\npsk=\"k\"\ncertificate=\"c\"", TD_EDENIED},
        {"[[listener]]\naddress=\"[::]:1\"\ncertificate=\"c\"\nclient_ca=\"a\"\n"
         "client_certificate=\"required\"",
         TD_OK},
        {"[[listener]]\naddress=\"[::]:1\"\ncertificate=\"c\"\nclient_ca=\"a\"\n"
         "client_certificate=\"optional\"",
         TD_EDENIED},
        {"[[listener]]\naddress=\"[::1]:1\"\nclient_ca=\"a\"", TD_EDENIED},
        {"[[listener]]\naddress=\"[::1]:1\"\nkey=\"a\"", TD_EDENIED},
        {"[[listener]]\naddress=\"[::1]:1\"\nclient_crl=\"a\"", TD_EDENIED},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_config c;
        struct td_buf why;
        assert_int_equal(TD_OK, read_text(&c, cases[i].text, &why));
        td_buf_clear(&why);
        assert_int_equal(cases[i].want, td_config_check(&c, &why));
        assert_int_equal(cases[i].want == TD_EDENIED, why.n > 0);
        td_buf_fini(&why);
        td_config_fini(&c);
    }
}

/* What the list says: "mqtt ADDRESS MODE, ...". */
static void list_text(const struct td_config *c, struct td_buf *out)
{
    td_buf_clear(out);
    for (size_t i = 0; i < c->serve.listeners.count; i++) {
        const struct td_serve_listener *l = &c->serve.listeners.at[i];
        assert_int_equal(TD_OK, td_buf_printf(out, "%s%s %s %o", i > 0 ? ", " : "",
                                              l->kind == TD_SERVE_MQTT ? "mqtt" : "http",
                                              l->address, l->mode));
    }
    assert_int_equal(TD_OK, td_buf_add_u8(out, 0));
}

static void tables_the_short_way_and_the_command_line_become_one_list(void **state)
{
    (void)state;
    static const char *const words[] = {"127.0.0.1:7", "unix:/w"}, *const off[] = {"off"};
    static const char *const unix_table = "[[listener]]\naddress=\"unix:/a\"\nmode=\"0660\"\n";
    static const struct {
        const char *file, *more;
        struct td_serve_texts mqtt;
        const char *want;
    } cases[] = {
        {"", "", {NULL, 0}, "mqtt 127.0.0.1:1883 0, http 127.0.0.1:8080 0"},
        {"", "", {words, 2}, "mqtt 127.0.0.1:7 0, mqtt unix:/w 0, http 127.0.0.1:8080 0"},
        {"", "", {off, 1}, "http 127.0.0.1:8080 0"},
        {"mqtt.listen=[\"127.0.0.1:1\",\"[::1]:2\"]",
         "",
         {NULL, 0},
         "mqtt 127.0.0.1:1 0, mqtt [::1]:2 0, http 127.0.0.1:8080 0"},
        /* a table takes the place of the default address of its kind, */
        {"", unix_table, {NULL, 0}, "http 127.0.0.1:8080 0, mqtt unix:/a 660"},
        /* and stands beside what is said */
        {"mqtt.listen=\"127.0.0.1:1\"\n",
         unix_table,
         {NULL, 0},
         "mqtt 127.0.0.1:1 0, http 127.0.0.1:8080 0, mqtt unix:/a 660"},
        {"mqtt.listen=\"127.0.0.1:1\"\n",
         unix_table,
         {words, 1},
         "mqtt 127.0.0.1:7 0, http 127.0.0.1:8080 0, mqtt unix:/a 660"},
        {"",
         "[[listener]]\naddress=\"127.0.0.1:2\"\nkind=\"http\"\n",
         {NULL, 0},
         "mqtt 127.0.0.1:1883 0, http 127.0.0.1:2 600"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_config c;
        struct td_buf why, text;
        td_buf_init(&text, 4096);
        assert_int_equal(TD_OK, td_buf_printf(&text, "%s%s%c", cases[i].file, cases[i].more, 0));
        assert_int_equal(TD_OK, read_text(&c, (char *)text.p, &why));
        td_config_listen(&c, TD_SERVE_MQTT, &cases[i].mqtt);
        assert_int_equal(TD_OK, td_config_check(&c, &why));
        list_text(&c, &text);
        assert_string_equal(cases[i].want, (char *)text.p);
        td_buf_fini(&text);
        td_buf_fini(&why);
        td_config_fini(&c);
    }
}

static void the_documentation_is_what_the_table_says(void **state)
{
    (void)state;
    static const char *const path = "docs/configuration.md";
    struct td_buf want, have;
    td_buf_init(&want, 1 << 20);
    td_buf_init(&have, 1 << 20);
    td_config_document(&want);
    if (getenv("TD_WRITE") != NULL) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(want.n, fwrite(want.p, 1, want.n, out));
        assert_int_equal(0, fclose(out));
    }
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    assert_int_equal(TD_OK, td_buf_reserve(&have, want.n + 1));
    have.n = fread(have.p, 1, want.n + 1, in);
    assert_int_equal(0, fclose(in));
    assert_true(td_slice_eq(td_buf_slice(&want), td_buf_slice(&have)));
    td_buf_clear(&have);
    td_config_help(&have);
    assert_true(have.n > 1000);
    td_buf_fini(&want);
    td_buf_fini(&have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_what_the_rows_say),
        cmocka_unit_test(the_simulator_runs_with_the_same_defaults),
        cmocka_unit_test(a_file_goes_over_the_defaults),
        cmocka_unit_test(what_is_wrong_is_refused_with_place_rule_and_remedy),
        cmocka_unit_test(a_listener_on_a_network_must_be_wanted_in_so_many_words),
        cmocka_unit_test(tables_the_short_way_and_the_command_line_become_one_list),
        cmocka_unit_test(the_documentation_is_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
