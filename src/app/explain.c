/* app: `tandem explain`. Asks a running hub who gets what is published on a topic, or why one
 * client does not, and prints what it says. */
#include <stdio.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/fetch.h"
#include "base/json.h"

enum { ANSWER_BYTES_MAX = 16 * 1024 * 1024, WAIT_MS = 30000, MEMBERS_MAX = 16 };

/* ---- one object of the answer, flat ---- */

struct object {
    struct td_json_token keys[MEMBERS_MAX], values[MEMBERS_MAX];
    size_t count;
};

/* Reads the members behind OBJECT; what is nested is left out. */
static void object_read(struct td_json *j, struct object *o)
{
    struct td_json_token key, value;
    o->count = 0;
    while (td_json_next(j, &key) == TD_JSON_KEY) {
        (void)td_json_next(j, &value);
        if (value.kind == TD_JSON_OBJECT || value.kind == TD_JSON_ARRAY) {
            (void)td_json_skip(j, &value);
        } else if (o->count < MEMBERS_MAX) {
            o->keys[o->count] = key;
            o->values[o->count++] = value;
        }
    }
}

/* What a member says, as text that may be printed; `missing`: it is not there, or null. */
static td_slice text_of(const struct object *o, const char *name, const char *missing,
                        struct td_buf *room)
{
    size_t from = room->n;
    for (size_t i = 0; i < o->count; i++) {
        const struct td_json_token *v = &o->values[i];
        if (td_json_is(&o->keys[i], td_slice_of(name)) && v->kind != TD_JSON_NULL) {
            (void)(v->kind == TD_JSON_STRING ? td_json_unescape(v, room)
                                             : td_buf_add(room, v->span));
            for (size_t k = from; k < room->n; k++) { /* what would move the cursor */
                room->p[k] = room->p[k] < 0x20 || room->p[k] == 0x7F ? '?' : room->p[k];
            }
            return td_slice_skip(td_buf_slice(room), from);
        }
    }
    return td_slice_of(missing);
}

static bool is_true(const struct object *o, const char *name)
{
    for (size_t i = 0; i < o->count; i++) {
        if (td_json_is(&o->keys[i], td_slice_of(name))) {
            return o->values[i].kind == TD_JSON_TRUE;
        }
    }
    return false;
}

/* ---- printing ---- */

/* {name} in `format` stands for a member. */
static void print(const struct object *o, const char *format)
{
    struct td_buf room;
    char name[32];
    td_buf_init(&room, 1 << 20);
    td_assert(td_buf_reserve(&room, 1 << 18) == TD_OK); /* so that it does not move */
    for (td_slice rest = td_slice_of(format); rest.n > 0;) {
        size_t n = td_slice_find(rest, '{');
        printf("%.*s", (int)n, (const char *)rest.p);
        rest = td_slice_skip(rest, n + 1);
        if (rest.n > 0) {
            size_t end = td_slice_find(rest, '}');
            (void)snprintf(name, sizeof name, "%.*s", (int)end, (const char *)rest.p);
            td_slice text = text_of(o, name, "the hub", &room);
            printf("%.*s", (int)text.n, (const char *)text.p);
            rest = td_slice_skip(rest, end + 1);
        }
    }
    td_buf_fini(&room);
}

static void hearer_print(const struct object *o)
{
    struct td_buf room;
    td_buf_init(&room, 1 << 20);
    bool shared = text_of(o, "group", "", &room).n > 0;
    print(o, "  {client} (principal {principal}), QoS {qos} at most");
    print(o, shared ? ", if group {group} chooses it" : "");
    print(o, is_true(o, "no_local") ? ", not its own (No Local)" : "");
    print(o, is_true(o, "connected") ? "" : ", not connected");
    print(o, "; queued {queued}, unsent {unsent_bytes} B, dropped {dropped}\n");
    td_buf_fini(&room);
}

static void trace_print(const struct object *o)
{
    struct td_buf room;
    td_buf_init(&room, 1 << 20);
    td_slice kind = text_of(o, "kind", "", &room);
    print(
        o,
        td_slice_eq(kind, TD_STR("publish"))
            ? "  {age_ms} ms ago: published by {from} with QoS {qos}, reached {reached} sessions\n"
        : td_slice_eq(kind, TD_STR("shared"))
            ? "  {age_ms} ms ago: a shared group chose {member}\n"
            : "  {age_ms} ms ago: dropped for {client}: {why}, with {queued} in its queue\n");
    td_buf_fini(&room);
}

static void subscription_print(const struct object *o)
{
    print(o,
          is_true(o, "matches") ? "  {filter} matches, QoS {qos}" : "  {filter} does not: {why}");
    print(o, is_true(o, "matches") && is_true(o, "no_local") ? ", No Local\n" : "\n");
}

static void list_print(struct td_json *j, const char *head, void (*fn)(const struct object *))
{
    struct td_json_token t;
    struct object o;
    for (bool first = true; td_json_next(j, &t) == TD_JSON_OBJECT; first = false) {
        object_read(j, &o);
        printf("%s", first ? head : "");
        fn(&o);
    }
}

/* The document's members, and those of its `client`, one after another. */
static bool answer_print(td_slice body)
{
    static const struct {
        const char *name, *head;
        void (*fn)(const struct object *);
    } lists[] = {{"clients", "It goes to:\n", hearer_print},
                 {"subscriptions", "Subscriptions:\n", subscription_print},
                 {"recent", "Lately:\n", trace_print}};
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, body);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        for (size_t i = 0; i < TD_COUNT(lists) && t.kind == TD_JSON_KEY; i++) {
            if (td_json_is(&t, td_slice_of(lists[i].name))) {
                (void)td_json_next(&j, &t); /* [ */
                list_print(&j, lists[i].head, lists[i].fn);
                t.kind = TD_JSON_ARRAY_END;
            }
        }
        if (t.kind == TD_JSON_KEY && td_json_is(&t, TD_STR("verdict"))) {
            struct object o = {.count = 1, .keys = {t}};
            (void)td_json_next(&j, &o.values[0]);
            print(&o, "Verdict: {verdict}\n");
        } else if (t.kind == TD_JSON_KEY && td_json_is(&t, TD_STR("hearers"))) {
            (void)td_json_next(&j, &t);
            printf("%.*s clients hear it.\n", (int)t.span.n, (const char *)t.span.p);
        } else if (t.kind == TD_JSON_KEY && td_json_is(&t, TD_STR("retained"))) {
            (void)td_json_next(&j, &t);
            printf("%s", t.kind == TD_JSON_TRUE ? "A message is retained there.\n" : "");
        }
    }
    return t.kind == TD_JSON_END;
}

/* ---- asking ---- */

struct asked {
    const char *topic, *client, *principal, *http;
    bool json;
};

static int ask(struct td_linux *l, const struct asked *a)
{
    const struct {
        const char *name, *value;
    } params[] = {{"?topic=", a->topic}, {"&client=", a->client}, {"&principal=", a->principal}};
    struct td_buf path, out;
    int status = TD_CLI_FAILED;
    td_buf_init(&path, 1 << 18);
    td_buf_init(&out, ANSWER_BYTES_MAX);
    (void)td_buf_add(&path, TD_STR("/api/v1/explain"));
    for (size_t i = 0; i < TD_COUNT(params); i++) {
        if (params[i].value != NULL) {
            (void)td_buf_add(&path, td_slice_of(params[i].name));
            td_app_quote(&path, td_slice_of(params[i].value));
        }
    }
    const struct td_app_request request = {
        .address = a->http, .method = "GET", .path = td_buf_slice(&path), .wait_ms = WAIT_MS};
    if (td_app_fetch_or_say(l, &request, "explain", &out)) {
        status = TD_CLI_OK;
        if (a->json) {
            printf("%.*s\n", (int)out.n, (const char *)out.p);
        } else if (!answer_print(td_buf_slice(&out))) {
            status = TD_CLI_FAILED;
        }
    }
    td_buf_fini(&path);
    td_buf_fini(&out);
    return status;
}

int td_app_explain(int argc, char **argv)
{
    struct asked a = {.http = "127.0.0.1:8080"};
    struct td_cli_list words = {.count = 0};
    int status = TD_CLI_FAILED;
    const struct td_cli_option options[] = {
        {"--client", 0, TD_CLI_TEXT, &a.client, "ID", "why does this client get it, or not?", 0, 0},
        {"--principal", 0, TD_CLI_TEXT, &a.principal, "NAME", "whose client it is [local]", 0, 0},
        {"--json", 0, TD_CLI_FLAG, &a.json, NULL, "print the API's answer", 0, 0},
        {"--http", 0, TD_CLI_TEXT, &a.http, "ADDR:PORT", "the hub to ask [127.0.0.1:8080]", 0, 0},
    };
    if (!td_cli_parse("explain", "TOPIC [OPTION]...", options, TD_COUNT(options), NULL, argc, argv,
                      &words, &status)) {
        return status;
    }
    if (words.count != 1) {
        (void)fprintf(stderr, "tandem explain: give one topic; see tandem explain --help\n");
        return TD_CLI_USAGE;
    }
    a.topic = words.at[0];
    struct td_linux *l = td_app_loop_new();
    if (l != NULL) {
        status = ask(l, &a);
        td_app_loop_free(l);
    }
    return status;
}
