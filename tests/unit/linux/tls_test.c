/* TLS below the seam: both ends over real sockets. The certificates are made by tests/certs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "linux/linux.h"

static char dir[64];

/* "server.pem" -> its path; NULL stays. */
static const char *at(const char *name)
{
    static char paths[8][128];
    static size_t next;
    if (name == NULL) {
        return NULL;
    }
    char *path = paths[next++ % 8];
    (void)snprintf(path, 128, "%s/%s", dir, name);
    return path;
}

struct end {
    int stream; /* -1: not there, or closed */
    bool ended; /* the other side has ended */
    bool failed;
    size_t chunk; /* read and write so much at once */
    struct td_buf in, out;
    struct td_sys_peer peer; /* as it was at the first byte, or at the failure */
};

struct bed {
    struct td_linux *l;
    struct td_sys *sys;
    struct td_sys_tls *accepts, *dials;
    int listener;
    struct end server, client;
    char address[64];
};

static struct td_sys_tls *context(const struct td_linux_tls_config *config)
{
    struct td_sys_tls *tls = NULL;
    struct td_buf why;
    td_buf_init(&why, 1000);
    if (td_linux_tls_context_new(config, &tls, &why) != TD_OK) {
        fail_msg("%.*s", (int)why.n, (char *)why.p);
    }
    td_buf_fini(&why);
    return tls;
}

static void end_init(struct end *e)
{
    *e = (struct end){.stream = -1, .chunk = 4096};
    td_buf_init(&e->in, 4 << 20);
    td_buf_init(&e->out, 4 << 20);
}

static void make(struct bed *b, const struct td_linux_tls_config *server)
{
    *b = (struct bed){.dials = NULL};
    assert_int_equal(TD_OK, td_linux_new(&b->l));
    b->sys = td_linux_sys(b->l);
    b->accepts = context(server);
    assert_int_equal(TD_OK, b->sys->listen(b->sys,
                                           &(struct td_sys_listen){.address = TD_STR("127.0.0.1:0"),
                                                                   .owner = &b->listener,
                                                                   .tls = b->accepts},
                                           &b->listener));
    b->sys->address(b->sys, b->listener, false, b->address);
    end_init(&b->server);
    end_init(&b->client);
}

static void dial(struct bed *b, const struct td_linux_tls_config *client, const char *name)
{
    td_linux_tls_context_free(b->dials);
    b->dials = client == NULL ? NULL : context(client);
    assert_int_equal(TD_OK, b->sys->connect(b->sys,
                                            &(struct td_sys_connect){td_slice_of(b->address),
                                                                     &b->client, b->dials, name},
                                            &b->client.stream));
}

static void end_close(struct bed *b, struct end *e)
{
    if (e->stream >= 0) {
        b->sys->close(b->sys, e->stream);
        e->stream = -1;
    }
}

static void end_reset(struct bed *b, struct end *e)
{
    end_close(b, e);
    td_buf_fini(&e->in);
    td_buf_fini(&e->out);
    end_init(e);
}

static void done(struct bed *b)
{
    end_reset(b, &b->server);
    end_reset(b, &b->client);
    td_linux_free(b->l);
    td_linux_tls_context_free(b->accepts);
    td_linux_tls_context_free(b->dials);
}

static void end_fail(struct bed *b, struct end *e)
{
    b->sys->peer(b->sys, e->stream, &e->peer);
    e->failed = true;
    end_close(b, e);
}

static void end_read(struct bed *b, struct end *e)
{
    size_t got = 0;
    assert_int_equal(TD_OK, td_buf_reserve(&e->in, e->chunk));
    enum td_err err = b->sys->read(b->sys, e->stream, e->in.p + e->in.n, e->chunk, &got);
    if (err == TD_OK && e->in.n == 0) {
        b->sys->peer(b->sys, e->stream, &e->peer);
    }
    e->in.n += err == TD_OK ? got : 0;
    e->ended = e->ended || err == TD_ECLOSED;
    if (err == TD_EIO) {
        end_fail(b, e);
    } else if (e->ended) {
        b->sys->watch(b->sys, e->stream, 0);
    }
}

/* In two parts, so that they have to be gathered. */
static void end_write(struct bed *b, struct end *e)
{
    size_t sent = 0;
    td_slice all = td_slice_head(td_buf_slice(&e->out), e->chunk);
    td_slice parts[] = {td_slice_head(all, all.n / 3), td_slice_skip(all, all.n / 3)};
    enum td_err err =
        all.n == 0 ? TD_EAGAIN : b->sys->write(b->sys, e->stream, parts, TD_COUNT(parts), &sent);
    if (err == TD_OK) {
        td_buf_drop(&e->out, sent);
    }
    if (err != TD_OK && err != TD_EAGAIN) {
        end_fail(b, e);
    } else if (!e->ended) {
        b->sys->watch(b->sys, e->stream,
                      TD_SYS_READ | (e->out.n > 0 ? (unsigned)TD_SYS_WRITE : 0u));
    }
}

static void event(struct bed *b, const struct td_sys_event *event)
{
    struct end *e = event->owner;
    if (event->owner == &b->listener) {
        if (b->sys->accept(b->sys, b->listener, &b->server, &b->server.stream) == TD_OK) {
            end_write(b, &b->server);
        }
        return;
    }
    if ((event->ready & TD_SYS_HANGUP) != 0 && e->ended) {
        end_close(b, e);
        return;
    }
    if ((event->ready & (TD_SYS_READ | TD_SYS_HANGUP)) != 0) {
        end_read(b, e);
    }
    if (e->stream >= 0 && (event->ready & TD_SYS_WRITE) != 0) {
        end_write(b, e);
    }
}

/* Turns until nothing has happened for a moment. */
static void run(struct bed *b)
{
    bool any = true;
    while (any) {
        struct td_sys_event e;
        any = false;
        td_linux_wait(b->l, td_mono_after(b->sys->mono(b->sys), 60));
        while (td_linux_next(b->l, &e)) {
            any = true;
            event(b, &e);
        }
    }
}

static void say(struct end *e, const char *text)
{
    assert_int_equal(TD_OK, td_buf_add(&e->out, td_slice_of(text)));
}

static bool heard(const struct end *e, const char *text)
{
    return td_slice_eq(td_buf_slice(&e->in), td_slice_of(text));
}

static const struct td_linux_tls_config *plain_server(void)
{
    static struct td_linux_tls_config c;
    c = (struct td_linux_tls_config){.certificate = at("server.pem"), .key = at("server.key")};
    return &c;
}

static const struct td_linux_tls_config *plain_client(void)
{
    static struct td_linux_tls_config c;
    c = (struct td_linux_tls_config){.dials = true, .ca = at("ca.pem")};
    return &c;
}

/* ---- cases ---- */

static void bytes_go_both_ways_however_they_are_cut(void **state)
{
    (void)state;
    static const size_t chunks[] = {1 << 20, 20000, 4096, 300};
    static const char *const keys[] = {"server", "rsa"};
    for (size_t i = 0; i < TD_COUNT(chunks) * TD_COUNT(keys); i++) {
        struct bed b;
        char name[32];
        struct td_rng rng;
        struct td_linux_tls_config server = {.certificate = NULL};
        (void)snprintf(name, sizeof name, "%s.pem", keys[i % 2]);
        server.certificate = at(name);
        (void)snprintf(name, sizeof name, "%s.key", keys[i % 2]);
        server.key = at(name);
        make(&b, &server);
        td_rng_init(&rng, i);
        b.server.chunk = b.client.chunk = chunks[i / 2];
        for (size_t n = 0; n < 100000; n++) {
            assert_int_equal(TD_OK, td_buf_add_u8(&b.client.out, (uint8_t)td_rng_next(&rng)));
            assert_int_equal(TD_OK, td_buf_add_u8(&b.server.out, (uint8_t)td_rng_next(&rng)));
        }
        struct td_buf up = {0}, down = {0};
        td_buf_init(&up, 1 << 20);
        td_buf_init(&down, 1 << 20);
        assert_int_equal(TD_OK, td_buf_add(&up, td_buf_slice(&b.client.out)));
        assert_int_equal(TD_OK, td_buf_add(&down, td_buf_slice(&b.server.out)));
        dial(&b, plain_client(), "localhost");
        run(&b);
        assert_true(td_slice_eq(td_buf_slice(&up), td_buf_slice(&b.server.in)));
        assert_true(td_slice_eq(td_buf_slice(&down), td_buf_slice(&b.client.in)));
        b.sys->shutdown(b.sys, b.client.stream);
        run(&b);
        assert_true(b.server.ended && !b.server.failed);
        td_buf_fini(&up);
        td_buf_fini(&down);
        done(&b);
    }
}

/* Reads one record in each event; gives what came in, in order. */
static void read_one_by_one(struct bed *b, size_t events_max)
{
    struct td_sys_event e;
    td_linux_wait(b->l, td_mono_after(b->sys->mono(b->sys), 60));
    for (size_t i = 0; i < events_max && td_linux_next(b->l, &e); i++) {
        event(b, &e);
    }
}

static void a_record_behind_those_at_hand_is_told_of(void **state)
{
    (void)state;
    struct bed b;
    make(&b, plain_server());
    say(&b.client, "0");
    dial(&b, plain_client(), "localhost");
    run(&b);
    assert_true(heard(&b.server, "0"));
    for (size_t i = 0; i < 3; i++) { /* a record each; one read of the socket takes all */
        say(&b.client, &"123"[i]);
        b.client.out.n = 1;
        end_write(&b, &b.client);
    }
    read_one_by_one(&b, 1);
    assert_true(heard(&b.server, "01"));
    say(&b.client, "4"); /* the kernel tells of it while there is something at hand */
    end_write(&b, &b.client);
    for (size_t i = 0; i < 4; i++) {
        read_one_by_one(&b, SIZE_MAX);
    }
    assert_true(heard(&b.server, "01234"));
    done(&b);
}

static void a_server_is_believed_for_its_authority_and_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *ca, *name, *why; /* why: NULL: believed */
    } cases[] = {
        {"ca.pem", "localhost", NULL},
        {"ca.pem", "127.0.0.1", NULL},
        {"ca.pem", NULL, NULL},
        {"ca.pem", "evil.example", "hostname mismatch"},
        {"ca.pem", "127.0.0.2", "IP address mismatch"},
        {"other-ca.pem", "localhost", "unable to get local issuer certificate"},
        {NULL, "localhost", "unable to get local issuer certificate"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct bed b;
        struct td_linux_tls_config client = {.dials = true, .ca = at(cases[i].ca)};
        make(&b, plain_server());
        say(&b.client, "hello");
        dial(&b, &client, cases[i].name);
        run(&b);
        assert_int_equal(cases[i].why != NULL, b.client.failed);
        assert_int_equal(cases[i].why == NULL, heard(&b.server, "hello"));
        assert_string_equal(cases[i].why == NULL ? "" : cases[i].why, b.client.peer.refused);
        done(&b);
    }
}

static void clients_show_what_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        enum td_linux_tls_ask ask;
        const char *shows, *why; /* shows: NULL: nothing; why: NULL: let in */
        bool proved;
    } cases[] = {
        {TD_LINUX_TLS_ASK_NONE, NULL, NULL, false},
        {TD_LINUX_TLS_ASK_NONE, "client", NULL, false},
        {TD_LINUX_TLS_ASK_OPTIONAL, NULL, NULL, false},
        {TD_LINUX_TLS_ASK_OPTIONAL, "client", NULL, true},
        {TD_LINUX_TLS_ASK_OPTIONAL, "other", "unable to get local issuer certificate", false},
        {TD_LINUX_TLS_ASK_OPTIONAL, "revoked", "certificate revoked", false},
        {TD_LINUX_TLS_ASK_REQUIRED, NULL, "peer did not return a certificate", false},
        {TD_LINUX_TLS_ASK_REQUIRED, "client", NULL, true},
        {TD_LINUX_TLS_ASK_REQUIRED, "other", "unable to get local issuer certificate", false},
        {TD_LINUX_TLS_ASK_REQUIRED, "expired", "certificate has expired", false},
        {TD_LINUX_TLS_ASK_REQUIRED, "revoked", "certificate revoked", false},
        {TD_LINUX_TLS_ASK_REQUIRED, "server", "unsuitable certificate purpose", false},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct bed b;
        char name[32];
        struct td_linux_tls_config server = *plain_server(), client = *plain_client();
        server.ca = at("ca.pem");
        server.crl = at("ca.crl");
        server.ask = cases[i].ask;
        if (cases[i].shows != NULL) {
            (void)snprintf(name, sizeof name, "%s.pem", cases[i].shows);
            client.certificate = at(name);
            (void)snprintf(name, sizeof name, "%s.key", cases[i].shows);
            client.key = at(name);
        }
        make(&b, &server);
        say(&b.client, "hello");
        dial(&b, &client, "localhost");
        run(&b);
        assert_int_equal(cases[i].why != NULL, b.server.failed);
        assert_int_equal(cases[i].why == NULL, heard(&b.server, "hello"));
        assert_string_equal(cases[i].why == NULL ? "" : cases[i].why, b.server.peer.refused);
        assert_int_equal(cases[i].why == NULL, b.server.peer.tls);
        assert_int_equal(cases[i].proved, b.server.peer.certificate);
        assert_string_equal(cases[i].proved ? "dev1" : "", b.server.peer.subject);
        if (cases[i].proved) {
            static const char names[] = "URI:tandem:dev1\0DNS:dev1.example\0";
            assert_memory_equal(names, b.server.peer.alternatives, sizeof names);
        }
        done(&b);
    }
}

static const char *psk_file(const char *text)
{
    const char *path = at("psk");
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(0, fclose(out));
    return path;
}

static void a_key_that_both_know_lets_in_and_names(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        bool in;
    } cases[] = {
        {"lamp:000102030405060708090a0b0c0d0e0f", true},
        {"lamp:000102030405060708090a0b0c0d0e00", false},
        {"Lamp:000102030405060708090a0b0c0d0e0f", false},
        {"heater:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", true},
    };
    for (size_t i = 0; i < TD_COUNT(cases) * 2; i++) {
        struct bed b;
        struct td_linux_tls_config server = {.psk = NULL}, client = {.dials = true};
        if (i % 2 == 1) { /* beside a certificate */
            server = *plain_server();
        }
        server.psk = psk_file("# devices\n\nlamp:000102030405060708090a0b0c0d0e0f\n"
                              "heater:FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
                              "FFFFFFFF\r\n");
        client.psk = cases[i / 2].says;
        make(&b, &server);
        say(&b.client, "hello");
        dial(&b, &client, NULL);
        run(&b);
        assert_int_equal(cases[i / 2].in, heard(&b.server, "hello"));
        assert_int_equal(cases[i / 2].in, strlen(b.server.peer.psk_identity) > 0);
        assert_int_equal(0, strncmp(b.server.peer.psk_identity, cases[i / 2].says,
                                    strlen(b.server.peer.psk_identity)));
        assert_false(b.server.peer.certificate);
        done(&b);
    }
}

static void what_is_no_tls_is_refused(void **state)
{
    (void)state;
    struct bed b;
    make(&b, plain_server());
    say(&b.client, "GET / HTTP/1.1\r\n\r\n");
    dial(&b, NULL, NULL);
    run(&b);
    assert_true(b.server.failed);
    assert_true(strlen(b.server.peer.refused) > 0);
    assert_int_equal(0, b.server.in.n);
    done(&b);
}

/* As a reload does. */
static void renew(struct bed *b, const struct td_linux_tls_config *config)
{
    struct td_sys_tls *other = context(config);
    td_linux_tls_context_swap(b->accepts, other);
    td_linux_tls_context_free(other);
}

static void new_files_are_for_new_streams(void **state)
{
    (void)state;
    struct bed b;
    struct td_linux_tls_config next = *plain_server();
    uint8_t first[32];
    make(&b, plain_server());
    say(&b.client, "one");
    say(&b.server, "welcome");
    dial(&b, plain_client(), "localhost");
    run(&b);
    memcpy(first, b.client.peer.key_sha256, 32);
    assert_true(heard(&b.client, "welcome"));
    next.certificate = at("server2.pem");
    next.key = at("server2.key");
    renew(&b, &next);
    say(&b.client, " two"); /* the first stream goes on */
    end_write(&b, &b.client);
    run(&b);
    assert_true(heard(&b.server, "one two"));
    end_reset(&b, &b.client);
    end_reset(&b, &b.server);
    say(&b.client, "three");
    say(&b.server, "welcome");
    dial(&b, plain_client(), "localhost");
    run(&b);
    assert_true(heard(&b.client, "welcome"));
    assert_memory_not_equal(first, b.client.peer.key_sha256, 32);
    done(&b);
}

static void a_certificate_that_is_withdrawn_is_seen_on_streams_that_are(void **state)
{
    (void)state;
    static const char *const names[] = {"client", "revoked"};
    for (size_t i = 0; i < TD_COUNT(names); i++) {
        struct bed b;
        char certificate[32], key[32];
        struct td_sys_peer peer;
        struct td_linux_tls_config server = *plain_server(), client = *plain_client();
        server.ask = TD_LINUX_TLS_ASK_REQUIRED;
        server.ca = at("ca.pem");
        (void)snprintf(certificate, sizeof certificate, "%s.pem", names[i]);
        (void)snprintf(key, sizeof key, "%s.key", names[i]);
        client.certificate = at(certificate);
        client.key = at(key);
        make(&b, &server); /* no list yet */
        say(&b.client, "hello");
        dial(&b, &client, "localhost");
        run(&b);
        assert_true(b.server.peer.certificate && !b.server.peer.withdrawn);
        server.crl = at("ca.crl");
        renew(&b, &server);
        b.sys->peer(b.sys, b.server.stream, &peer);
        assert_int_equal(i == 1, peer.withdrawn);
        assert_int_equal(i == 0, peer.certificate);
        done(&b);
    }
}

static void a_stream_goes_to_another_loop_with_what_it_holds(void **state)
{
    (void)state;
    struct bed b;
    struct td_linux *other;
    struct td_sys_event e;
    make(&b, plain_server());
    say(&b.client, "0");
    dial(&b, plain_client(), "localhost");
    run(&b);
    for (size_t i = 0; i < 2; i++) {
        say(&b.client, i == 0 ? "1" : "2");
        end_write(&b, &b.client);
    }
    td_linux_wait(b.l, td_mono_after(b.sys->mono(b.sys), 60));
    assert_true(td_linux_next(b.l, &e)); /* both are read from the socket, one is taken */
    event(&b, &e);
    assert_true(heard(&b.server, "01"));
    assert_int_equal(TD_OK, td_linux_new(&other));
    struct td_sys *sys = td_linux_sys(other);
    b.server.stream = sys->adopt(sys, b.sys->release(b.sys, b.server.stream), &b.server);
    td_linux_wait(other, td_mono_after(sys->mono(sys), 60));
    while (td_linux_next(other, &e)) {
        size_t got = 0;
        uint8_t byte;
        if (sys->read(sys, b.server.stream, &byte, 1, &got) == TD_OK) {
            assert_int_equal(TD_OK, td_buf_add_u8(&b.server.in, byte));
        }
    }
    assert_true(heard(&b.server, "012"));
    sys->close(sys, b.server.stream);
    b.server.stream = -1;
    td_linux_free(other);
    done(&b);
}

static void a_broken_file_is_named_with_reason_and_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *certificate, *key, *ca, *crl, *psk, *want;
    } cases[] = {
        {"none.pem", NULL, NULL, NULL, NULL,
         "the certificate '%s/none.pem' cannot be used: there is no"},
        {"ca.cnf", NULL, NULL, NULL, NULL,
         "the certificate '%s/ca.cnf' cannot be used: there is no"},
        {"server.pem", NULL, NULL, NULL, NULL,
         "the key '%s/server.pem' cannot be used: there is no"},
        {"server.pem", "client.key", NULL, NULL, NULL,
         "the key '%s/client.key' cannot be used: key va"},
        {"server.pem", "server.key", "none", NULL, NULL,
         "the CA '%s/none' cannot be used: there is no"},
        {"server.pem", "server.key", "ca.cnf", NULL, NULL, "the CA '%s/ca.cnf' cannot be used: "},
        {"server.pem", "server.key", "ca.pem", "none", NULL,
         "the CRL '%s/none' cannot be used: there is no"},
        {"server.pem", "server.key", "ca.pem", "ca.key", NULL,
         "the CRL '%s/ca.key' cannot be used: "},
        {NULL, NULL, NULL, NULL, "none",
         "the file of pre-shared keys '%s/none' cannot be read: there i"},
        {NULL, NULL, NULL, NULL, "ca.cnf",
         "pre-shared keys '%s/ca.cnf', line 1: a line is an identity"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_linux_tls_config c = {.certificate = at(cases[i].certificate),
                                        .key = at(cases[i].key),
                                        .ca = at(cases[i].ca),
                                        .crl = at(cases[i].crl),
                                        .psk = at(cases[i].psk)};
        struct td_sys_tls *tls = NULL;
        struct td_buf why, want;
        td_buf_init(&why, 1000);
        td_buf_init(&want, 1000);
        assert_true(td_linux_tls_context_new(&c, &tls, &why) < 0);
        assert_null(tls);
        td_slice rest = td_slice_of(cases[i].want);
        size_t mark = td_slice_find(rest, '%');
        assert_int_equal(TD_OK, td_buf_printf(&want, "tls: %.*s%s%.*s", (int)mark,
                                              (const char *)rest.p, dir, (int)(rest.n - mark - 2),
                                              (const char *)rest.p + mark + 2));
        if (!td_slice_starts(td_buf_slice(&why), td_buf_slice(&want))) {
            fail_msg("%.*s\n%.*s", (int)why.n, (char *)why.p, (int)want.n, (char *)want.p);
        }
        td_buf_fini(&want);
        td_buf_fini(&why);
    }
}

static void keys_that_are_not_told_are_not_told_in_errors_either(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a:0102030405060708090a0b0c0d0e0f", "line 1: a key has 16 to 64 bytes"},
        {"\na:0102030405060708090a0b0c0d0e0fxx", "line 2: a key is in hex digits"},
        {":000102030405060708090a0b0c0d0e0f", "line 1: a line is an identity"},
        {"a:000102030405060708090a0b0c0d0e0f\na:000102030405060708090a0b0c0d0e0f\n",
         "line 2: the identity stands there twice"},
        {"# none\n", "line 1: there is no key in it"},
    };
    for (size_t i = 0; i < TD_COUNT(cases); i++) {
        struct td_linux_tls_config c = {.psk = psk_file(cases[i].text)};
        struct td_sys_tls *tls = NULL;
        struct td_buf why;
        td_buf_init(&why, 1000);
        assert_int_equal(TD_ESYNTAX, td_linux_tls_context_new(&c, &tls, &why));
        assert_int_equal(TD_OK, td_buf_add_u8(&why, 0));
        assert_non_null(strstr((char *)why.p, cases[i].want));
        assert_null(strstr((char *)why.p, "0102"));
        td_buf_fini(&why);
    }
}

static int certs(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/td-tls-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(command, sizeof command, "tests/certs %s", dir);
    return system(command);
}

static int certs_away(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_however_they_are_cut),
        cmocka_unit_test(a_record_behind_those_at_hand_is_told_of),
        cmocka_unit_test(a_server_is_believed_for_its_authority_and_its_name),
        cmocka_unit_test(clients_show_what_is_asked_for),
        cmocka_unit_test(a_key_that_both_know_lets_in_and_names),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(new_files_are_for_new_streams),
        cmocka_unit_test(a_certificate_that_is_withdrawn_is_seen_on_streams_that_are),
        cmocka_unit_test(a_stream_goes_to_another_loop_with_what_it_holds),
        cmocka_unit_test(a_broken_file_is_named_with_reason_and_remedy),
        cmocka_unit_test(keys_that_are_not_told_are_not_told_in_errors_either),
    };
    return cmocka_run_group_tests(tests, certs, certs_away);
}
