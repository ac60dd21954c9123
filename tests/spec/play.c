/* spec: one case played. A client is a letter; what it sends leaves at once, what it expects is the
 * next packet that comes to it, and has some patience to come. */
#include "spec/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/packet.h"
#include "spec/scram.h"

enum {
    PATIENCE_MS = 3000, /* for a program; the hub in its own world has to be quick */
    PATIENCE_OURS_MS = 250,
    QUIET_MS = 300, /* "silent" without a span */
    SETTLE_MS = 20, /* behind what is sent, so that it gets there before another's */
    BUF_MAX = 1 << 24,
    VARS_MAX = 16,
    AUTO_ID_FIRST = 1000,
    REAL_TIME_MAX_MS = 30000 /* longer waits are for virtual time only */
};

struct client {
    struct spec_line line;
    bool opened; /* CONNACK with success has come on this connection */
    bool held;   /* the next packet goes along with the last */
    uint16_t next_id;
};

static struct {
    const struct spec_link *link;
    unsigned version;
    struct client clients[SPEC_LINES_MAX];
    struct spec_fields words, got;
    const char *got_word;
    struct {
        char name[16];
        struct td_buf value;
    } vars[VARS_MAX];
    size_t var_count;
    struct td_buf *said;
    const struct spec_step *step;
    bool skipped;
} play;

static bool fail(const char *what, td_slice more)
{
    (void)td_buf_printf(play.said, "line %u: %.*s\n    %s%s", play.step->line,
                        (int)play.step->text.n, (const char *)play.step->text.p, what,
                        more.n > 0 ? ": " : "");
    (void)td_buf_add(play.said, more);
    return false;
}

/* ---- what came ---- */

static void describe(struct td_buf *out, const struct client *c)
{
    size_t n = spec_packet_whole(td_buf_slice(&c->line.in));
    if (n == 0) {
        (void)td_buf_printf(out, c->line.ended      ? "the end"
                                 : c->line.in.n > 0 ? "half a packet"
                                                    : "nothing");
        return;
    }
    const char *why;
    (void)spec_packet_decode((td_slice){c->line.in.p, n}, play.version, &play.got_word, &play.got,
                             &why);
    (void)td_buf_printf(out, "%s", play.got_word == NULL ? "?" : play.got_word);
    for (size_t i = 0; i < play.got.count; i++) {
        const struct spec_field *f = &play.got.at[i];
        (void)td_buf_printf(out, " %.*s=%.*s%s", (int)f->name.n, (const char *)f->name.p,
                            f->value.n > 60 ? 60 : (int)f->value.n, (const char *)f->value.p,
                            f->value.n > 60 ? "..." : "");
    }
}

static bool fail_got(const char *what, const struct client *c)
{
    struct td_buf text;
    td_buf_init(&text, BUF_MAX);
    describe(&text, c);
    (void)fail(what, td_buf_slice(&text));
    td_buf_fini(&text);
    return false;
}

static td_ms patience_ms(void)
{
    return play.link->ours ? PATIENCE_OURS_MS : PATIENCE_MS;
}

/* A whole packet stands at the front of in, or the line has ended. */
static void await(struct client *c)
{
    for (td_ms spent = 0; spent < patience_ms(); spent++) {
        if (spec_packet_whole(td_buf_slice(&c->line.in)) > 0 || c->line.ended) {
            return;
        }
        play.link->pass(1);
    }
}

/* ---- values ---- */

static struct td_buf *var_find(td_slice name)
{
    for (size_t i = 0; i < play.var_count; i++) {
        if (td_slice_eq(td_slice_of(play.vars[i].name), name)) {
            return &play.vars[i].value;
        }
    }
    return NULL;
}

static void var_set(td_slice name, td_slice value)
{
    td_assert(play.var_count < VARS_MAX && name.n < sizeof play.vars[0].name);
    memcpy(play.vars[play.var_count].name, name.p, name.n);
    play.vars[play.var_count].name[name.n] = '\0';
    td_buf_init(&play.vars[play.var_count].value, BUF_MAX);
    td_assert(td_buf_add(&play.vars[play.var_count].value, value) == TD_OK);
    play.var_count++;
}

/* Sets it anew. */
static void var_put(td_slice name, td_slice value)
{
    struct td_buf *old = var_find(name);
    if (old == NULL) {
        var_set(name, value);
        return;
    }
    td_buf_clear(old);
    td_assert(td_buf_add(old, value) == TD_OK);
}

static bool is_var(td_slice value)
{
    return value.n > 1 && value.p[0] == '$' && value.p[1] >= 'a' && value.p[1] <= 'z' &&
           td_slice_find(value, '/') == value.n;
}

/* Words that name what was captured become it. */
static bool vars_resolve(struct spec_fields *words)
{
    for (size_t i = 0; i < words->count; i++) {
        if (is_var(words->at[i].value)) {
            struct td_buf *value = var_find(words->at[i].value);
            if (value == NULL) {
                return fail("was never captured", words->at[i].value);
            }
            words->at[i].value = td_buf_slice(value);
        }
    }
    return true;
}

static unsigned long number_of(td_slice s)
{
    char text[24] = {0};
    memcpy(text, s.p, s.n < 23 ? s.n : 23);
    return strtoul(text, NULL, 0);
}

static bool is_number(td_slice s)
{
    return s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9';
}

static bool value_fits(td_slice want, td_slice got)
{
    if (td_slice_eq(want, TD_STR("*"))) {
        return true;
    }
    if (is_var(want)) {
        struct td_buf *value = var_find(want);
        if (value == NULL) {
            var_set(want, got);
            return true;
        }
        want = td_buf_slice(value);
    }
    size_t dots = td_slice_find(want, '.');
    if (is_number(want) && dots + 1 < want.n && want.p[dots + 1] == '.') {
        unsigned long v = number_of(got);
        return v >= number_of(want) && v <= number_of(td_slice_skip(want, dots + 2));
    }
    if (want.n > 2 && want.p[0] == '0' && want.p[1] == 'x') {
        return is_number(got) && number_of(want) == number_of(got);
    }
    return td_slice_eq(want, got);
}

/* ---- expecting ---- */

/* What may stay unsaid: these are 0, no property is there, but for a CONNACK's. */
static bool unsaid_fits(const struct spec_field *got)
{
    static const char *const zero[] = {"dup", "retain", "qos", "present"};
    static const char *const free_to[] = {"id", "topic", "payload", "codes"};
    for (size_t i = 0; i < TD_COUNT(zero); i++) {
        if (td_slice_eq(got->name, td_slice_of(zero[i]))) {
            return td_slice_eq(got->value, TD_STR("0"));
        }
    }
    for (size_t i = 0; i < TD_COUNT(free_to); i++) {
        if (td_slice_eq(got->name, td_slice_of(free_to[i]))) {
            return true;
        }
    }
    if (td_slice_eq(got->name, TD_STR("reason"))) {
        bool published =
            strcmp(play.got_word, "puback") == 0 || strcmp(play.got_word, "pubrec") == 0;
        return number_of(got->value) == 0 || (published && number_of(got->value) == 0x10);
    }
    return strcmp(play.got_word, "connack") == 0;
}

/* Words from `from` on against what was decoded. */
static bool fits(size_t from)
{
    const struct spec_fields *w = &play.words;
    for (size_t i = from; i < w->count; i++) {
        td_slice name = w->at[i].name, value = w->at[i].value;
        if (name.n == 0) { /* -name: it is not there */
            char text[32] = {0};
            memcpy(text, value.p + 1, value.n < 32 ? value.n - 1 : 31);
            if (value.p[0] != '-' || spec_fields_find(&play.got, text) != NULL) {
                return false;
            }
            continue;
        }
        bool not = name.p[name.n - 1] == '!';
        char text[32] = {0};
        memcpy(text, name.p, name.n - not < 31 ? name.n - not : 31);
        const struct spec_field *f = spec_fields_find(&play.got, text);
        if (f == NULL || value_fits(value, f->value) == not ) {
            return false;
        }
    }
    for (size_t i = 0; i < play.got.count; i++) {
        bool said = false;
        for (size_t k = from; k < w->count; k++) {
            td_slice name = w->at[k].name;
            said = said || td_slice_eq(name, play.got.at[i].name) ||
                   (name.n > 0 && name.p[name.n - 1] == '!' &&
                    td_slice_eq(td_slice_head(name, name.n - 1), play.got.at[i].name));
        }
        if (!said && !unsaid_fits(&play.got.at[i])) {
            return false;
        }
    }
    return true;
}

/* Whether the packet at `at` in the line's input is the one that is expected. */
static bool expected_at(const struct client *c, size_t at, size_t n, td_slice word, size_t from)
{
    const char *why;
    td_slice packet = {c->line.in.p + at, n};
    return spec_packet_decode(packet, play.version, &play.got_word, &play.got, &why) &&
           td_slice_eq(word, td_slice_of(play.got_word)) && fits(from);
}

static void take_out(struct client *c, size_t at, size_t n)
{
    struct td_buf *in = &c->line.in;
    memmove(in->p + at, in->p + at + n, in->n - at - n);
    in->n -= n;
}

static void note(struct client *c)
{
    if (strcmp(play.got_word, "connack") == 0) {
        const struct spec_field *reason = spec_fields_find(&play.got, "reason");
        c->opened = td_slice_eq(reason->value, TD_STR("0"));
    }
}

static bool expect(struct client *c, td_slice word, size_t from)
{
    await(c);
    size_t n = spec_packet_whole(td_buf_slice(&c->line.in));
    if (n == 0 || !expected_at(c, 0, n, word, from)) {
        return fail_got("came", c);
    }
    take_out(c, 0, n);
    note(c);
    return true;
}

/* The same, but others may come before it and stay. */
static bool expect_any(struct client *c, td_slice word, size_t from)
{
    for (td_ms spent = 0; spent < patience_ms(); spent++) {
        size_t at = 0, n;
        while ((n = spec_packet_whole(td_slice_skip(td_buf_slice(&c->line.in), at))) > 0) {
            if (expected_at(c, at, n, word, from)) {
                take_out(c, at, n);
                note(c);
                return true;
            }
            at += n;
        }
        play.link->pass(1);
    }
    return fail_got("it did not come; first came", c);
}

static bool expect_end(struct client *c)
{
    await(c);
    return (c->line.ended && c->line.in.n == 0) || fail_got("came", c);
}

static bool expect_silence(struct client *c, td_ms ms)
{
    play.link->pass(ms);
    return (!c->line.ended && c->line.in.n == 0) || fail_got("came", c);
}

/* ---- sending ---- */

static bool transmit(struct client *c, const struct spec_fields *words, size_t from)
{
    const char *why;
    bool begins = td_slice_starts(words->at[from].value, TD_STR("connect"));
    if (c->line.ended && !begins) {
        return fail_got("the line had ended before; there stood", c);
    }
    if (c->line.handle < 0) {
        td_buf_clear(&c->line.in);
        td_buf_clear(&c->line.out);
        c->opened = false;
        play.link->open(&c->line);
    }
    if (!spec_packet_encode(words, from, play.version, &c->line.out, &why)) {
        return fail(why, (td_slice){NULL, 0});
    }
    if (!c->held) {
        play.link->send(&c->line);
        play.link->pass(SETTLE_MS);
    }
    return true;
}

/* Adds words to a line that left them out. */
static void otherwise(struct spec_fields *words, const char *name, td_slice value)
{
    if (spec_fields_find(words, name) == NULL) {
        (void)spec_fields_add(words, name, value);
    }
}

static void otherwise_id(struct spec_fields *words, struct client *c)
{
    char text[8];
    int n = snprintf(text, sizeof text, "%u", (unsigned)AUTO_ID_FIRST + c->next_id);
    if (spec_fields_find(words, "id") == NULL) {
        c->next_id++;
        otherwise(words, "id", (td_slice){(const uint8_t *)text, (size_t)n});
    }
}

/* A short packet of our own making. */
static bool say(struct client *c, const char *word, const char *id)
{
    char line[64];
    static struct spec_fields words;
    if (words.bytes.cap == 0) {
        spec_fields_init(&words);
    }
    (void)snprintf(line, sizeof line, "%s id=%s", word, id);
    td_assert(spec_fields_parse(&words, td_slice_of(line)));
    return transmit(c, &words, 0);
}

/* ---- what a line may say of a client ---- */

static bool on_send(struct client *c, size_t at)
{
    td_slice word = play.words.at[at].value;
    if (td_slice_eq(word, TD_STR("publish")) && spec_fields_find(&play.words, "qos") == NULL) {
        return transmit(c, &play.words, at);
    }
    bool numbered = td_slice_eq(word, TD_STR("publish")) ||
                    td_slice_eq(word, TD_STR("subscribe")) ||
                    td_slice_eq(word, TD_STR("unsubscribe"));
    if (numbered) {
        otherwise_id(&play.words, c);
    }
    return transmit(c, &play.words, at);
}

static td_slice client_name(const struct client *c)
{
    static uint8_t name;
    name = (uint8_t)('a' + (c - play.clients));
    return (td_slice){&name, 1};
}

static bool on_connect(struct client *c, size_t at)
{
    otherwise(&play.words, "id", client_name(c));
    return transmit(c, &play.words, at);
}

static bool on_connects(struct client *c, size_t at)
{
    play.words.at[at].value = TD_STR("connect");
    if (!on_connect(c, at)) {
        return false;
    }
    td_assert(spec_fields_parse(&play.words, TD_STR("connack reason=0 present=*")));
    return expect(c, TD_STR("connack"), 1);
}

static bool on_subscribes(struct client *c, size_t at)
{
    play.words.at[at].value = TD_STR("subscribe");
    return on_send(c, at) && spec_fields_parse(&play.words, TD_STR("suback codes!=80 codes!=8f")) &&
           expect(c, TD_STR("suback"), 1);
}

static bool on_unsubscribes(struct client *c, size_t at)
{
    play.words.at[at].value = TD_STR("unsubscribe");
    return on_send(c, at) && spec_fields_parse(&play.words, TD_STR("unsuback")) &&
           expect(c, TD_STR("unsuback"), 1);
}

/* The whole exchange, whatever the QoS. */
static bool on_publishes(struct client *c, size_t at)
{
    play.words.at[at].value = TD_STR("publish");
    const struct spec_field *qos = spec_fields_find(&play.words, "qos");
    unsigned long level = qos == NULL ? 0 : number_of(qos->value);
    if (!on_send(c, at)) {
        return false;
    }
    const struct spec_field *f = spec_fields_find(&play.words, "id");
    char id[8] = {0};
    if (f != NULL) {
        memcpy(id, f->value.p, f->value.n < 7 ? f->value.n : 7);
    }
    (void)spec_fields_parse(&play.words, (td_slice){NULL, 0});
    if (level == 1) {
        return expect_any(c, TD_STR("puback"), 0);
    }
    return level == 0 || (expect_any(c, TD_STR("pubrec"), 0) && say(c, "pubrel", id) &&
                          expect_any(c, TD_STR("pubcomp"), 0));
}

/* Expects a PUBLISH and acknowledges it. */
static bool on_gets(struct client *c, size_t at)
{
    char id[8] = {0};
    if (!expect(c, TD_STR("publish"), at + 1)) {
        return false;
    }
    unsigned long qos = number_of(spec_fields_find(&play.got, "qos")->value);
    const struct spec_field *f = spec_fields_find(&play.got, "id");
    if (f != NULL) {
        memcpy(id, f->value.p, f->value.n < 7 ? f->value.n : 7);
    }
    (void)spec_fields_parse(&play.words, (td_slice){NULL, 0});
    if (qos == 1) {
        return say(c, "puback", id);
    }
    return qos == 0 ||
           (say(c, "pubrec", id) && expect_any(c, TD_STR("pubrel"), 0) && say(c, "pubcomp", id));
}

static bool on_expect(struct client *c, size_t at)
{
    return expect(c, play.words.at[at + 1].value, at + 2);
}

static bool on_expect_any(struct client *c, size_t at)
{
    return expect_any(c, play.words.at[at + 1].value, at + 2);
}

static bool on_closed(struct client *c, size_t at)
{
    (void)at;
    return expect_end(c);
}

static td_ms span_of(td_slice s)
{
    unsigned long n = number_of(s);
    return s.n > 1 && s.p[s.n - 1] == 's' && s.p[s.n - 2] != 'm' ? (td_ms)n * 1000 : (td_ms)n;
}

static bool too_long(td_ms ms)
{
    play.skipped = play.skipped || (!play.link->ours && ms > REAL_TIME_MAX_MS);
    return play.skipped;
}

static bool on_silent(struct client *c, size_t at)
{
    td_ms ms = at + 1 < play.words.count ? span_of(play.words.at[at + 1].value) : QUIET_MS;
    return !too_long(ms) && expect_silence(c, ms);
}

static bool on_cut(struct client *c, size_t at)
{
    (void)at;
    play.link->cut(&c->line);
    td_buf_clear(&c->line.in);
    play.link->pass(SETTLE_MS);
    return true;
}

static bool on_leaves(struct client *c, size_t at)
{
    play.words.at[at].value = TD_STR("disconnect");
    return transmit(c, &play.words, at) && expect_end(c);
}

static bool on_alive(struct client *c, size_t at)
{
    (void)at;
    (void)spec_fields_parse(&play.words, (td_slice){NULL, 0});
    return say(c, "ping", "") && expect(c, TD_STR("pingresp"), 0);
}

/* refused 0x84/1: the reason of 5.0, in a CONNACK before the connection is open, else in a
 * DISCONNECT; in 3.x the return code behind the slash in a CONNACK, or no word. Then the end. */
static bool on_refused(struct client *c, size_t at)
{
    td_slice how = play.words.at[at + 1].value;
    size_t slash = td_slice_find(how, '/');
    td_slice code = play.version == 5 ? td_slice_head(how, slash) : td_slice_skip(how, slash + 1);
    char line[48];
    if (code.n > 0) {
        bool opened = c->opened;
        (void)snprintf(line, sizeof line, "reason=%.*s reason-string=*", (int)code.n,
                       (const char *)code.p);
        char *more = strstr(line, " reason-string");
        await(c);
        size_t n = spec_packet_whole(td_buf_slice(&c->line.in));
        const char *why;
        bool texted = n > 0 &&
                      spec_packet_decode((td_slice){c->line.in.p, n}, play.version, &play.got_word,
                                         &play.got, &why) &&
                      spec_fields_find(&play.got, "reason-string") != NULL;
        if (!texted) {
            *more = '\0';
        }
        td_assert(spec_fields_parse(&play.words, td_slice_of(line)));
        if (!expect(c, opened ? TD_STR("disconnect") : TD_STR("connack"), 0)) {
            return false;
        }
    }
    return expect_end(c);
}

/* proves password=x first="n=user,r=abc" server=$server: AUTH with SCRAM's last message; $proof is
 * what the server must say then. */
static bool on_proves(struct client *c, size_t at)
{
    const struct spec_fields *w = &play.words;
    const struct spec_field *password = spec_fields_find(w, "password");
    const struct spec_field *first = spec_fields_find(w, "first");
    const struct spec_field *server = spec_fields_find(w, "server");
    struct td_buf final, proof;
    (void)at;
    td_buf_init(&final, BUF_MAX);
    td_buf_init(&proof, BUF_MAX);
    bool good = password != NULL && first != NULL && server != NULL &&
                spec_scram_answer(password->value, first->value, server->value, &final, &proof);
    if (good) {
        var_put(TD_STR("$proof"), td_buf_slice(&proof));
        td_assert(spec_fields_parse(&play.words, TD_STR("auth reason=0x18 method=SCRAM-SHA-256")) &&
                  spec_fields_add(&play.words, "data", td_buf_slice(&final)));
        good = transmit(c, &play.words, 0);
    }
    td_buf_fini(&final);
    td_buf_fini(&proof);
    return good || fail("the server's first message is none", (td_slice){NULL, 0});
}

/* upgrade protocol=x: a WebSocket that names another protocol, or none. */
static bool on_upgrade(struct client *c, size_t at)
{
    const struct spec_field *f = spec_fields_find(&play.words, "protocol");
    (void)at;
    td_buf_clear(&c->line.in);
    c->opened = false;
    play.link->upgrade(&c->line, f == NULL ? (td_slice){NULL, 0} : f->value);
    play.link->pass(SETTLE_MS);
    return true;
}

/* frame 81 raw=x: one frame, its first byte and its payload as bytes, texts, packets. */
static bool on_frame(struct client *c, size_t at)
{
    struct td_buf payload;
    const char *why;
    uint8_t first = (uint8_t)number_of(play.words.at[at + 1].value);
    td_buf_init(&payload, BUF_MAX);
    play.words.at[at + 1].value = TD_STR("bytes");
    bool good = spec_packet_encode(&play.words, at + 1, play.version, &payload, &why);
    td_assert(good);
    play.link->frame(&c->line, first, td_buf_slice(&payload));
    td_buf_fini(&payload);
    play.link->pass(SETTLE_MS);
    return true;
}

static const struct {
    const char *word;
    bool (*act)(struct client *c, size_t at);
} acts[] = {
    {"<", on_expect},
    {"<~", on_expect_any},
    {"closed", on_closed},
    {"silent", on_silent},
    {"cut", on_cut},
    {"leaves", on_leaves},
    {"alive", on_alive},
    {"refused", on_refused},
    {"connect", on_connect},
    {"connects", on_connects},
    {"subscribes", on_subscribes},
    {"unsubscribes", on_unsubscribes},
    {"publishes", on_publishes},
    {"gets", on_gets},
    {"proves", on_proves},
    {"upgrade", on_upgrade},
    {"frame", on_frame},
};

static bool client_step(struct client *c)
{
    struct spec_fields *w = &play.words;
    c->held = w->count > 2 && w->at[w->count - 1].name.n == 0 &&
              td_slice_eq(w->at[w->count - 1].value, TD_STR("+"));
    w->count -= c->held;
    for (size_t i = 0; i < TD_COUNT(acts); i++) {
        if (td_slice_eq(w->at[1].value, td_slice_of(acts[i].word))) {
            bool sends = acts[i].word[0] != '<' && acts[i].act != on_gets;
            return (!sends || vars_resolve(w)) && acts[i].act(c, 1);
        }
    }
    return vars_resolve(w) && on_send(c, 1);
}

/* ---- a case ---- */

static const struct {
    const char *name;
    size_t offset;
} wishes[] = {
    {"receive-max", offsetof(struct spec_wish, receive_max)},
    {"alias-max", offsetof(struct spec_wish, alias_max)},
    {"expiry-max", offsetof(struct spec_wish, session_expiry_s)},
    {"keep-max", offsetof(struct spec_wish, keepalive_max_s)},
    {"queue-max", offsetof(struct spec_wish, queue_messages_max)},
    {"packet-max", offsetof(struct spec_wish, packet_bytes_max)},
    {"sessions-max", offsetof(struct spec_wish, sessions_max)},
    {"websocket", offsetof(struct spec_wish, websocket)},
    {"users", offsetof(struct spec_wish, users)},
};

static bool wish_read(struct spec_wish *wish)
{
    for (size_t i = 1; i < play.words.count; i++) {
        size_t k = 0;
        while (k < TD_COUNT(wishes) &&
               !td_slice_eq(play.words.at[i].name, td_slice_of(wishes[k].name))) {
            k++;
        }
        if (k == TD_COUNT(wishes)) {
            return fail("no such wish", play.words.at[i].name);
        }
        uint32_t v = (uint32_t)number_of(play.words.at[i].value);
        memcpy((uint8_t *)wish + wishes[k].offset, &v, sizeof v);
    }
    return true;
}

static bool broker_restart(bool kill)
{
    if (!play.link->restart(kill)) {
        play.skipped = true;
        return false;
    }
    play.link->pass(SETTLE_MS);
    for (size_t i = 0; i < SPEC_LINES_MAX; i++) {
        play.link->cut(&play.clients[i].line);
        td_buf_clear(&play.clients[i].line.in);
    }
    return true;
}

static bool step(const struct spec_step *s)
{
    play.step = s;
    if (!spec_fields_parse(&play.words, s->text)) {
        return fail("this line cannot be read", (td_slice){NULL, 0});
    }
    td_slice first = play.words.at[0].value;
    if (first.n == 1 && first.p[0] >= 'a' && first.p[0] < 'a' + SPEC_LINES_MAX &&
        play.words.count > 1) {
        return client_step(&play.clients[first.p[0] - 'a']);
    }
    if (td_slice_eq(first, TD_STR("wait")) && play.words.count == 2) {
        td_ms ms = span_of(play.words.at[1].value);
        if (!too_long(ms)) {
            play.link->pass(ms);
        }
        return !play.skipped;
    }
    if (td_slice_eq(first, TD_STR("kill")) || td_slice_eq(first, TD_STR("restart"))) {
        return broker_restart(first.p[0] == 'k');
    }
    return fail("this line says nothing that is known", (td_slice){NULL, 0});
}

static void clients_init(void)
{
    if (play.words.bytes.cap == 0) {
        spec_fields_init(&play.words);
        spec_fields_init(&play.got);
    }
    for (size_t i = 0; i < SPEC_LINES_MAX; i++) {
        play.clients[i] = (struct client){.line = {.handle = -1}};
        td_buf_init(&play.clients[i].line.in, BUF_MAX);
        td_buf_init(&play.clients[i].line.out, BUF_MAX);
        td_buf_init(&play.clients[i].line.raw, BUF_MAX);
        td_buf_init(&play.clients[i].line.wire, BUF_MAX);
    }
    play.var_count = 0;
    play.skipped = false;
}

static void clients_fini(void)
{
    for (size_t i = 0; i < SPEC_LINES_MAX; i++) {
        play.link->cut(&play.clients[i].line);
        td_buf_fini(&play.clients[i].line.in);
        td_buf_fini(&play.clients[i].line.out);
        td_buf_fini(&play.clients[i].line.raw);
        td_buf_fini(&play.clients[i].line.wire);
    }
    for (size_t i = 0; i < play.var_count; i++) {
        td_buf_fini(&play.vars[i].value);
    }
}

enum spec_outcome spec_play(const struct spec_link *link, unsigned version,
                            const struct spec_step *steps, size_t count, struct td_buf *said)
{
    struct spec_wish wish = {0};
    play.link = link;
    play.version = version;
    play.said = said;
    clients_init();
    bool good = true;
    if (count > 0 && td_slice_starts(steps[0].text, TD_STR("hub "))) {
        play.step = steps++;
        count--;
        good = spec_fields_parse(&play.words, play.step->text) && wish_read(&wish);
        if (!link->ours) {
            return SPEC_SKIPPED;
        }
    }
    if (!good || !link->begin(&wish)) {
        return SPEC_FAILED;
    }
    for (size_t i = 0; i < count && good; i++) {
        good = step(&steps[i]);
    }
    clients_fini();
    link->end();
    return play.skipped ? SPEC_SKIPPED : good ? SPEC_PASSED : SPEC_FAILED;
}
