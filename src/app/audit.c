/* app: `tandem audit`. Reads the audit log of a directory that no hub has open, proves its chain,
 * or shows what a running hub has noted lately. */
#include <stdio.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/fetch.h"
#include "app/file.h"
#include "base/json.h"
#include "serve/serve.h"

enum { ANSWER_BYTES_MAX = 16 * 1024 * 1024, WAIT_MS = 30000 };

struct audit {
    const char *dir, *http;
    int64_t limit;
    bool show;
};

static void line_print(void *ctx, td_slice line)
{
    (void)ctx;
    (void)td_app_file_write(stdout, line); /* a closed pipe ends us */
    (void)td_app_file_write(stdout, TD_STR("\n"));
}

static int sum_print(enum td_err err, const struct td_serve_audit_sum *sum,
                     const struct td_buf *why)
{
    char end[65];
    if (err != TD_OK) {
        (void)fprintf(stderr, "tandem audit: %.*s\n", (int)why->n, (const char *)why->p);
        return TD_CLI_FAILED;
    }
    for (size_t i = 0; i < sizeof sum->end; i++) {
        (void)snprintf(end + 2 * i, 3, "%02x", sum->end[i]);
    }
    printf("records %llu to %llu: the chain is whole, its end is %s\n",
           (unsigned long long)sum->first, (unsigned long long)sum->last, end);
    return TD_CLI_OK;
}

static int read_directory(struct td_linux *l, const struct audit *a)
{
    struct td_serve_audit_sum sum = {.last = 0};
    struct td_buf why;
    td_buf_init(&why, 4096);
    enum td_err err =
        td_serve_audit_read(td_linux_sys(l), a->dir, a->show ? line_print : NULL, NULL, &sum, &why);
    int status = a->show && err == TD_OK ? TD_CLI_OK : sum_print(err, &sum, &why);
    td_buf_fini(&why);
    return status;
}

/* The records stand one a line in the answer's array. */
static int ask_hub(struct td_linux *l, const struct audit *a)
{
    struct td_buf out, path;
    int status = TD_CLI_FAILED;
    td_buf_init(&out, ANSWER_BYTES_MAX);
    td_buf_init(&path, 256);
    (void)td_buf_printf(&path, "/api/v1/audit?limit=%lld", (long long)a->limit);
    const struct td_app_request request = {
        .address = a->http, .method = "GET", .path = td_buf_slice(&path), .wait_ms = WAIT_MS};
    if (td_app_fetch_or_say(l, &request, "audit", &out)) {
        struct td_json j;
        struct td_json_token t;
        td_slice body = td_buf_slice(&out);
        td_json_init(&j, body);
        while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
            if (t.kind == TD_JSON_OBJECT && t.depth == 2) {
                size_t from = t.offset;
                (void)td_json_skip(&j, &t);
                line_print(NULL, (td_slice){body.p + from, (size_t)(j.at - j.start) - from});
            }
        }
        status = TD_CLI_OK;
    }
    td_buf_fini(&out);
    td_buf_fini(&path);
    return status;
}

int td_app_audit(int argc, char **argv)
{
    struct audit a = {.http = "127.0.0.1:8080", .limit = 50};
    struct td_cli_list words = {.count = 0};
    int status = TD_CLI_USAGE;
    const struct td_cli_option options[] = {
        {"--data", 0, TD_CLI_TEXT, &a.dir, "DIR", "read this directory, which no hub has open", 0,
         0},
        {"--http", 0, TD_CLI_TEXT, &a.http, "ADDR:PORT", "or ask this hub [127.0.0.1:8080]", 0, 0},
        {"--limit", 'n', TD_CLI_NUMBER, &a.limit, "N", "of a hub: its last N records [50]", 1, 256},
    };
    static const char more[] = "show: the records, one a line. verify: proves that no record was "
                               "changed or taken out;\nneeds --data. Exit status 1: one was.\n";
    if (!td_cli_parse("audit", "show|verify [OPTION]...", options, TD_COUNT(options), more, argc,
                      argv, &words, &status)) {
        return status;
    }
    td_slice word = words.count == 1 ? td_slice_of(words.at[0]) : TD_STR("");
    a.show = td_slice_eq(word, TD_STR("show"));
    if ((!a.show && !td_slice_eq(word, TD_STR("verify"))) || (!a.show && a.dir == NULL)) {
        (void)fprintf(stderr, "tandem audit: say show, or verify with --data DIR; see tandem audit "
                              "--help\n");
        return TD_CLI_USAGE;
    }
    struct td_linux *l = td_app_loop_new();
    if (l != NULL) {
        status = a.dir != NULL ? read_directory(l, &a) : ask_hub(l, &a);
        td_app_loop_free(l);
    }
    return status;
}
