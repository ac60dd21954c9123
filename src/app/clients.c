/* app: `tandem clients`. Asks a running hub who its MQTT clients are, and prints a table: busiest,
 * slowest or unluckiest first. */
#include <stdio.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/fetch.h"
#include "base/json.h"

enum { ANSWER_BYTES_MAX = 16 * 1024 * 1024, CELL_BYTES = 128, WAIT_MS = 30000 };

/* ---- the table ---- */

enum { CLIENT, ADDRESS, IN, OUT, QUEUED, UNSENT, WINDOW, ACK_US, DROPS, COLUMNS };

static const struct column {
    const char *member, *head;
    int width; /* negative: to the left */
} columns[COLUMNS] = {
    [CLIENT] = {"client", "CLIENT", -24}, [ADDRESS] = {"address", "ADDRESS", -21},
    [IN] = {"messages_in", "IN", 10},     [OUT] = {"messages_out", "OUT", 10},
    [QUEUED] = {"queued", "QUEUED", 8},   [UNSENT] = {"unsent_bytes", "UNSENT", 9},
    [WINDOW] = {"window", "WINDOW", 7},   [ACK_US] = {"ack_us", "ACK us", 8},
    [DROPS] = {"drops", "DROPPED", -1},
};

/* Text from outside: what would move the cursor is not printed. */
static void cell_add(struct td_buf *cell, td_slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t b = text.p[i];
        (void)td_buf_add_u8(cell, b < 0x20 || b == 0x7F ? '?' : b); /* what is too long is cut */
    }
}

static void row_print(struct td_buf cells[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        int width = columns[i].width;
        printf("%s%*.*s", i == 0 ? "" : " ", width, (int)cells[i].n,
               cells[i].n > 0 ? (const char *)cells[i].p : "");
        td_buf_clear(&cells[i]);
    }
    printf("\n");
}

static void head_print(struct td_buf cells[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        cell_add(&cells[i], td_slice_of(columns[i].head));
    }
    row_print(cells);
}

/* ---- the answer ---- */

static void value_add(struct td_buf *cell, const struct td_json_token *t)
{
    struct td_buf plain;
    if (t->kind == TD_JSON_STRING) {
        td_buf_init(&plain, t->span.n);
        if (td_json_unescape(t, &plain) == TD_OK) {
            cell_add(cell, td_buf_slice(&plain));
        }
        td_buf_fini(&plain);
    } else {
        cell_add(cell, t->kind == TD_JSON_NUMBER ? t->span : TD_STR("-"));
    }
}

/* {"slow":3,"offline":1} -> "slow 3, offline 1" */
static void drops_add(struct td_buf *cell, struct td_json *j)
{
    struct td_json_token t;
    while (td_json_next(j, &t) == TD_JSON_KEY) {
        cell_add(cell, cell->n > 0 ? TD_STR(", ") : TD_STR(""));
        cell_add(cell, t.span);
        cell_add(cell, TD_STR(" "));
        (void)td_json_next(j, &t);
        cell_add(cell, t.span);
    }
}

static void client_print(struct td_json *j, struct td_buf cells[COLUMNS])
{
    struct td_json_token key, t;
    while (td_json_next(j, &key) == TD_JSON_KEY) {
        size_t i = 0;
        while (i < COLUMNS && !td_json_is(&key, td_slice_of(columns[i].member))) {
            i++;
        }
        (void)td_json_next(j, &t);
        if (i == DROPS && t.kind == TD_JSON_OBJECT) {
            drops_add(&cells[i], j);
        } else if (i < COLUMNS) {
            value_add(&cells[i], &t);
        } else {
            (void)td_json_skip(j, &t);
        }
    }
    row_print(cells);
}

static bool answer_print(td_slice body)
{
    struct td_buf cells[COLUMNS];
    struct td_json j;
    struct td_json_token t;
    for (size_t i = 0; i < COLUMNS; i++) {
        td_buf_init(&cells[i], CELL_BYTES);
    }
    head_print(cells);
    td_json_init(&j, body);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        if (t.kind == TD_JSON_OBJECT && t.depth == 2) {
            client_print(&j, cells);
        }
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        td_buf_fini(&cells[i]);
    }
    return t.kind == TD_JSON_END;
}

/* ---- asking ---- */

struct asked {
    const char *http, *sort, *client, *close;
    int64_t limit;
};

static void path_make(const struct asked *a, struct td_buf *path)
{
    if (a->close != NULL) {
        (void)td_buf_add(path, TD_STR("/api/v1/clients/"));
        td_app_quote(path, td_slice_of(a->close));
        return;
    }
    (void)td_buf_printf(path, "/api/v1/clients?limit=%lld", (long long)a->limit);
    if (a->sort != NULL) {
        (void)td_buf_add(path, TD_STR("&sort="));
        td_app_quote(path, td_slice_of(a->sort));
    }
    if (a->client != NULL) {
        (void)td_buf_add(path, TD_STR("&client="));
        td_app_quote(path, td_slice_of(a->client));
    }
}

static int ask(struct td_linux *l, const struct asked *a)
{
    struct td_buf path, out;
    int status = TD_CLI_FAILED;
    td_buf_init(&path, 1 << 16);
    td_buf_init(&out, ANSWER_BYTES_MAX);
    path_make(a, &path);
    const struct td_app_request request = {.address = a->http,
                                           .method = a->close != NULL ? "DELETE" : "GET",
                                           .path = td_buf_slice(&path),
                                           .wait_ms = WAIT_MS};
    if (td_app_fetch_or_say(l, &request, "clients", &out)) {
        status = a->close != NULL || answer_print(td_buf_slice(&out)) ? TD_CLI_OK : TD_CLI_FAILED;
    }
    td_buf_fini(&path);
    td_buf_fini(&out);
    return status;
}

int td_app_clients(int argc, char **argv)
{
    struct asked a = {.http = "127.0.0.1:8080", .limit = 20};
    int status = TD_CLI_FAILED;
    const struct td_cli_option options[] = {
        {"--sort", 's', TD_CLI_TEXT, &a.sort, "WHAT",
         "greatest first: queue, drops, unsent, ack, in, out", 0, 0},
        {"--limit", 'n', TD_CLI_NUMBER, &a.limit, "N", "so many at most [20]", 1, 1000},
        {"--client", 0, TD_CLI_TEXT, &a.client, "ID", "only this one", 0, 0},
        {"--close", 0, TD_CLI_TEXT, &a.close, "ID", "close the connection of this one", 0, 0},
        {"--http", 0, TD_CLI_TEXT, &a.http, "ADDR:PORT", "the hub to ask [127.0.0.1:8080]", 0, 0},
    };
    static const char more[] =
        "Who does not keep up: --sort queue (QoS 1, 2 waiting), --sort unsent (bytes that its\n"
        "socket does not take), --sort ack (slow to acknowledge), --sort drops.\n";
    if (!td_cli_parse("clients", "[OPTION]...", options, TD_COUNT(options), more, argc, argv, NULL,
                      &status)) {
        return status;
    }
    struct td_linux *l = td_app_loop_new();
    if (l != NULL) {
        status = ask(l, &a);
        td_app_loop_free(l);
    }
    return status;
}
