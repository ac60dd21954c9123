/* app: `tandem retained`. Asks a running hub for its retained messages and prints one a line, or
 * deletes those that a filter matches. */
#include <stdio.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/fetch.h"
#include "base/json.h"

enum {
    ANSWER_BYTES_MAX = 16 * 1024 * 1024,
    PATH_BYTES_MAX = 512 * 1024, /* a filter and a topic, each byte as %XX */
    PAGE = 1000,                 /* messages of one question */
    DELETES = 10000,             /* of one request */
    PAYLOAD_PRINTED_MAX = 60,
    WAIT_MS = 30000
};

struct asked {
    const char *http, *filter;
    int64_t limit;
    bool json;
};

/* ---- printing ---- */

enum { TIME, QOS, BYTES, TOPIC, PAYLOAD, BASE64, MEMBERS };

static const char *const members[MEMBERS] = {"time", "qos", "bytes", "topic", "payload", "base64"};

/* Text from outside: what would move the cursor is not printed. */
static void cell_set(struct td_buf *cell, const struct td_json_token *t)
{
    td_buf_clear(cell);
    if (t->kind == TD_JSON_STRING) {
        (void)td_json_unescape(t, cell);
    } else if (t->kind == TD_JSON_NUMBER) {
        (void)td_buf_add(cell, t->span);
    }
    for (size_t i = 0; i < cell->n; i++) {
        cell->p[i] = cell->p[i] < 0x20 || cell->p[i] == 0x7F ? '?' : cell->p[i];
    }
}

static void cell_print(const struct td_buf *cell, int width, size_t most)
{
    int n = (int)(cell->n < most ? cell->n : most);
    printf("%*.*s", width, n, n > 0 ? (const char *)cell->p : "");
}

static void message_print(struct td_json *j, struct td_buf cells[MEMBERS])
{
    struct td_json_token key, t;
    for (size_t i = 0; i < MEMBERS; i++) {
        td_buf_clear(&cells[i]);
    }
    while (td_json_next(j, &key) == TD_JSON_KEY) {
        (void)td_json_next(j, &t);
        for (size_t i = 0; i < MEMBERS; i++) {
            if (td_json_is(&key, td_slice_of(members[i]))) {
                cell_set(&cells[i], &t);
            }
        }
    }
    cell_print(&cells[TIME], 24, SIZE_MAX);
    cell_print(&cells[QOS], 4, SIZE_MAX);
    cell_print(&cells[BYTES], 9, SIZE_MAX);
    printf("  ");
    cell_print(&cells[TOPIC], 0, SIZE_MAX);
    printf("%s", cells[BASE64].n > 0 ? "  base64 " : "  ");
    cell_print(cells[BASE64].n > 0 ? &cells[BASE64] : &cells[PAYLOAD], 0, PAYLOAD_PRINTED_MAX);
    printf("\n");
}

/* Prints a page; *next is the topic to go on behind, empty at the end. False: not our JSON. */
static bool page_print(td_slice body, int64_t *left, struct td_buf *next)
{
    struct td_buf cells[MEMBERS];
    struct td_json j;
    struct td_json_token t, key = {.kind = TD_JSON_END};
    for (size_t i = 0; i < MEMBERS; i++) {
        td_buf_init(&cells[i], body.n);
    }
    td_buf_clear(next);
    td_json_init(&j, body);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        if (t.kind == TD_JSON_OBJECT && t.depth == 2) {
            message_print(&j, cells);
            --*left;
        } else if (key.kind == TD_JSON_KEY && td_json_is(&key, TD_STR("next"))) {
            if (t.kind == TD_JSON_STRING) {
                (void)td_json_unescape(&t, next); /* as long as what it was made for */
            }
        }
        key = t;
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        td_buf_fini(&cells[i]);
    }
    return t.kind == TD_JSON_END;
}

/* ---- asking ---- */

struct question {
    struct td_linux *l;
    const struct asked *asked;
    struct td_buf path, out, after;
};

static bool fetch(struct question *q, const char *method, int64_t limit)
{
    td_buf_clear(&q->path);
    td_buf_clear(&q->out);
    (void)td_buf_printf(&q->path, "/api/v1/retained?limit=%lld&filter=", (long long)limit);
    td_app_quote(&q->path, td_slice_of(q->asked->filter));
    if (q->after.n > 0) {
        (void)td_buf_add(&q->path, TD_STR("&after="));
        td_app_quote(&q->path, td_buf_slice(&q->after));
    }
    const struct td_app_request request = {.address = q->asked->http,
                                           .method = method,
                                           .path = td_buf_slice(&q->path),
                                           .wait_ms = WAIT_MS};
    return td_app_fetch_or_say(q->l, &request, "retained", &q->out);
}

static int list(struct question *q)
{
    int64_t left = q->asked->limit;
    do {
        if (!fetch(q, "GET", left < PAGE ? left : PAGE)) {
            return TD_CLI_FAILED;
        }
        if (q->asked->json) {
            printf("%.*s\n", (int)q->out.n, (const char *)q->out.p);
            return TD_CLI_OK;
        }
        if (!page_print(td_buf_slice(&q->out), &left, &q->after)) {
            return TD_CLI_FAILED;
        }
    } while (left > 0 && q->after.n > 0);
    return TD_CLI_OK;
}

/* {"deleted":2,"more":false} */
static bool deleted_read(td_slice body, int64_t *deleted, bool *more)
{
    struct td_json j;
    struct td_json_token t, key = {.kind = TD_JSON_END};
    double real;
    int64_t n = -1;
    bool is_int;
    *more = false;
    td_json_init(&j, body);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        bool value = key.kind == TD_JSON_KEY;
        if (value && td_json_is(&key, TD_STR("deleted"))) {
            (void)td_json_number(t.span, &real, &n, &is_int);
        } else if (value && td_json_is(&key, TD_STR("more"))) {
            *more = t.kind == TD_JSON_TRUE;
        }
        key = t;
    }
    *deleted += n;
    return t.kind == TD_JSON_END && n >= 0;
}

static int delete_all(struct question *q)
{
    int64_t deleted = 0;
    bool more = true;
    while (more) {
        if (!fetch(q, "DELETE", DELETES) || !deleted_read(td_buf_slice(&q->out), &deleted, &more)) {
            return TD_CLI_FAILED;
        }
    }
    printf("deleted %lld\n", (long long)deleted);
    return TD_CLI_OK;
}

static int ask(const struct asked *a, bool deletes)
{
    struct question q = {.l = td_app_loop_new(), .asked = a};
    if (q.l == NULL) {
        return TD_CLI_FAILED;
    }
    td_buf_init(&q.path, PATH_BYTES_MAX);
    td_buf_init(&q.out, ANSWER_BYTES_MAX);
    td_buf_init(&q.after, UINT16_MAX);
    int status = deletes ? delete_all(&q) : list(&q);
    td_buf_fini(&q.path);
    td_buf_fini(&q.out);
    td_buf_fini(&q.after);
    td_app_loop_free(q.l);
    return status;
}

int td_app_retained(int argc, char **argv)
{
    struct asked a = {.http = "127.0.0.1:8080", .limit = 1000};
    struct td_cli_list words = {.count = 0};
    int status = TD_CLI_FAILED;
    const struct td_cli_option options[] = {
        {"--limit", 'n', TD_CLI_NUMBER, &a.limit, "N", "list so many at most [1000]", 1,
         1000000000},
        {"--json", 0, TD_CLI_FLAG, &a.json, NULL, "print the API's answer, one page of it", 0, 0},
        {"--http", 0, TD_CLI_TEXT, &a.http, "ADDR:PORT", "the hub to ask [127.0.0.1:8080]", 0, 0},
    };
    static const char more[] =
        "list prints time, QoS, bytes, topic and the payload's beginning. delete says nothing to\n"
        "subscribers; who shall hear of it gets an empty message by tandem pub -r -n -t TOPIC.\n"
        "All topics: '#'.\n";
    if (!td_cli_parse("retained", "list|delete FILTER [OPTION]...", options, TD_COUNT(options),
                      more, argc, argv, &words, &status)) {
        return status;
    }
    bool deletes = words.count == 2 && strcmp(words.at[0], "delete") == 0;
    if (words.count != 2 || (!deletes && strcmp(words.at[0], "list") != 0)) {
        (void)fprintf(stderr, "tandem retained: write: tandem retained list FILTER, or tandem "
                              "retained delete FILTER; see tandem retained --help\n");
        return TD_CLI_USAGE;
    }
    a.filter = words.at[1];
    return ask(&a, deletes);
}
