/* app: `tandem query`. Asks a running hub over HTTP, or, when none has the directory open, reads
 * the data directory itself; prints the answer as an aligned table, CSV or JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/fetch.h"
#include "app/file.h"
#include "base/json.h"
#include "store/store.h"

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024, COLUMNS_MAX = 200, WAIT_MS = 60000 };

struct query {
    const char *sql, *dir, *http;
    bool csv, json;
    struct td_linux *l;
    bool answered;
    int status;
};

static int failed(td_slice why)
{
    (void)fprintf(stderr, "tandem query: %.*s\n", (int)why.n, (const char *)why.p);
    return TD_CLI_FAILED;
}

/* ---- printing ---- */

static void add_value(struct td_buf *out, struct td_value v, bool json)
{
    switch (v.type) {
    case TD_VALUE_NONE:
        (void)td_buf_printf(out, "%s", json ? "null" : "");
        break;
    case TD_VALUE_BOOL:
        (void)td_buf_printf(out, "%s", v.as.b ? "true" : "false");
        break;
    case TD_VALUE_INT:
        (void)td_json_add_int(out, v.as.i);
        break;
    case TD_VALUE_FLOAT:
        (void)td_json_add_number(out, v.as.f);
        break;
    case TD_VALUE_TEXT:
        (void)(json ? td_json_add_string(out, v.as.text) : td_buf_add(out, v.as.text));
        break;
    }
}

static void flush(struct td_buf *out)
{
    (void)td_app_file_write(
        stdout, td_buf_slice(out)); /* a closed pipe ends us with the exit status below */
    td_buf_clear(out);
}

static void print_json(const struct td_table *t, struct td_buf *out)
{
    (void)td_buf_printf(out, "[");
    for (size_t row = 0; row < t->row_count; row++) {
        (void)td_buf_printf(out, row == 0 ? "\n{" : ",\n{");
        for (size_t i = 0; i < t->column_count; i++) {
            (void)td_buf_printf(out, i == 0 ? "" : ",");
            (void)td_json_add_string(out, t->columns[i]);
            (void)td_buf_add_u8(out, ':');
            add_value(out, t->cells[row * t->column_count + i], true);
        }
        (void)td_buf_add_u8(out, '}');
        flush(out);
    }
    (void)td_buf_printf(out, "\n]\n");
    flush(out);
}

/* RFC 4180: quotes where they are needed, doubled inside. */
static void add_csv(struct td_buf *out, td_slice s)
{
    static const uint8_t special[] = {',', '"', '\n', '\r'};
    bool quote = false;
    for (size_t i = 0; i < sizeof special; i++) {
        quote = quote || td_slice_find(s, special[i]) < s.n;
    }
    if (!quote) {
        (void)td_buf_add(out, s);
        return;
    }
    (void)td_buf_add_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        (void)td_buf_add(out, s.p[i] == '"' ? TD_STR("\"\"") : (td_slice){s.p + i, 1});
    }
    (void)td_buf_add_u8(out, '"');
}

static void print_csv(const struct td_table *t, struct td_buf *out)
{
    struct td_buf cell;
    td_buf_init(&cell, ANSWER_BYTES_MAX);
    for (size_t i = 0; i < t->column_count; i++) {
        (void)td_buf_printf(out, i == 0 ? "" : ",");
        add_csv(out, t->columns[i]);
    }
    (void)td_buf_printf(out, "\r\n");
    for (size_t row = 0; row < t->row_count; row++) {
        for (size_t i = 0; i < t->column_count; i++) {
            td_buf_clear(&cell);
            add_value(&cell, t->cells[row * t->column_count + i], false);
            (void)td_buf_printf(out, i == 0 ? "" : ",");
            add_csv(out, td_buf_slice(&cell));
        }
        (void)td_buf_printf(out, "\r\n");
        flush(out);
    }
    td_buf_fini(&cell);
    flush(out);
}

/* How many places a text takes: one a code point is near enough. */
static size_t width_of(td_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += (s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

/* Control characters of data must not reach the terminal. */
static void add_plain(struct td_buf *out, td_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        (void)td_buf_add_u8(out, s.p[i] < 0x20 || s.p[i] == 0x7F ? '.' : s.p[i]);
    }
}

static void add_padded(struct td_buf *out, td_slice s, size_t width, bool right, bool last)
{
    size_t pad = width - width_of(s);
    for (size_t i = 0; right && i < pad; i++) {
        (void)td_buf_add_u8(out, ' ');
    }
    add_plain(out, s);
    for (size_t i = 0; !right && !last && i < pad; i++) {
        (void)td_buf_add_u8(out, ' ');
    }
    (void)td_buf_printf(out, last ? "\n" : "  ");
}

static void widths_measure(const struct td_table *t, size_t widths[COLUMNS_MAX])
{
    struct td_buf cell;
    td_buf_init(&cell, ANSWER_BYTES_MAX);
    for (size_t i = 0; i < t->column_count; i++) {
        widths[i] = width_of(t->columns[i]);
        for (size_t row = 0; row < t->row_count; row++) {
            td_buf_clear(&cell);
            add_value(&cell, t->cells[row * t->column_count + i], false);
            size_t n = width_of(td_buf_slice(&cell));
            widths[i] = n > widths[i] ? n : widths[i];
        }
    }
    td_buf_fini(&cell);
}

static void print_aligned(const struct td_table *t, struct td_buf *out)
{
    size_t widths[COLUMNS_MAX];
    struct td_buf cell;
    td_buf_init(&cell, ANSWER_BYTES_MAX);
    widths_measure(t, widths);
    for (size_t i = 0; i < t->column_count; i++) {
        add_padded(out, t->columns[i], widths[i], false, i + 1 == t->column_count);
    }
    for (size_t row = 0; row < t->row_count; row++) {
        for (size_t i = 0; i < t->column_count; i++) {
            struct td_value v = t->cells[row * t->column_count + i];
            td_buf_clear(&cell);
            add_value(&cell, v, false);
            add_padded(out, td_buf_slice(&cell), widths[i],
                       v.type == TD_VALUE_INT || v.type == TD_VALUE_FLOAT,
                       i + 1 == t->column_count);
        }
        flush(out);
    }
    td_buf_fini(&cell);
    flush(out);
}

static int print_table(const struct query *q, const struct td_table *t)
{
    struct td_buf out;
    td_buf_init(&out, ANSWER_BYTES_MAX);
    (q->json ? print_json : q->csv ? print_csv : print_aligned)(t, &out);
    td_buf_fini(&out);
    if (t->cut) {
        (void)fprintf(stderr,
                      "tandem query: the answer was cut at %zu rows; add a LIMIT, a shorter time "
                      "or an aggregate\n",
                      t->row_count);
    }
    if (t->damaged > 0) {
        (void)fprintf(stderr,
                      "tandem query: %llu damaged chunks were left out; `tandem doctor` names "
                      "them\n",
                      (unsigned long long)t->damaged);
    }
    return fflush(stdout) == 0 ? TD_CLI_OK : TD_CLI_FAILED;
}

/* ---- offline ---- */

static void on_answer(void *ctx, enum td_err err, const struct td_table *table, td_slice why)
{
    struct query *q = ctx;
    q->answered = true;
    q->status = err == TD_OK ? print_table(q, table) : failed(why);
}

/* Waits once and takes in the works that have ended. */
static void works_wait(struct query *q, struct td_store *store)
{
    struct td_sys_event e;
    td_linux_wait(q->l, td_store_deadline(store));
    while (td_linux_next(q->l, &e)) {
        struct td_work *w = e.owner;
        w->done(w);
    }
}

static int ask_directory(struct query *q, struct td_store *store)
{
    uint64_t ticket;
    struct td_sys *sys = td_linux_sys(q->l);
    enum td_err err = td_store_sql(store, td_slice_of(q->sql), on_answer, q, &ticket);
    if (err != TD_OK) {
        return failed(TD_STR("the question is longer than 64 KB"));
    }
    td_store_turn(store, sys->mono(sys));
    while (!q->answered && !td_app_loop_ended()) {
        works_wait(q, store);
        td_store_turn(store, sys->mono(sys));
    }
    while (!td_store_stop(store, sys->mono(sys))) {
        works_wait(q, store);
    }
    return q->status;
}

/* ---- over HTTP ---- */

/* An answer of the API as a table. */
struct parsed {
    struct td_arena arena;
    td_slice columns[COLUMNS_MAX];
    size_t column_count;
    struct td_value *cells;
    size_t count, cap;
    bool cut;
};

static td_slice text_of(struct parsed *p, const struct td_json_token *t)
{
    struct td_buf plain;
    td_buf_init(&plain, t->span.n + 1);
    (void)td_json_unescape(t, &plain); /* never longer than its span */
    td_slice kept = td_arena_copy(&p->arena, td_buf_slice(&plain));
    td_buf_fini(&plain);
    return kept;
}

static struct td_value value_of(struct parsed *p, const struct td_json_token *t)
{
    double number;
    int64_t integer;
    bool is_int;
    if (t->kind == TD_JSON_STRING) {
        return td_value_text(text_of(p, t));
    }
    if (t->kind == TD_JSON_TRUE || t->kind == TD_JSON_FALSE) {
        return td_value_bool(t->kind == TD_JSON_TRUE);
    }
    if (t->kind == TD_JSON_NUMBER && td_json_number(t->span, &number, &integer, &is_int) == TD_OK) {
        return is_int ? td_value_int(integer) : td_value_float(number);
    }
    return td_value_none();
}

static void cell_add(struct parsed *p, struct td_value v)
{
    if (p->count == p->cap) {
        p->cap = p->cap == 0 ? 1024 : p->cap * 2;
        p->cells = td_realloc(p->cells, p->cap * sizeof *p->cells);
    }
    p->cells[p->count++] = v;
}

/* {"columns":[..],"rows":[[..],..],"truncated":false}: strings at depth 2 under columns are names,
 * what stands at depth 3 under rows are cells. */
static bool answer_parse(struct parsed *p, td_slice body)
{
    struct td_json j;
    struct td_json_token t, key = {.kind = TD_JSON_END};
    td_json_init(&j, body);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        bool ends = t.kind == TD_JSON_OBJECT_END || t.kind == TD_JSON_ARRAY_END;
        if (t.kind == TD_JSON_KEY && t.depth == 1) {
            key = t;
        } else if (key.kind != TD_JSON_KEY || ends) {
            continue;
        } else if (td_json_is(&key, TD_STR("columns")) && t.kind == TD_JSON_STRING &&
                   p->column_count < COLUMNS_MAX) {
            p->columns[p->column_count++] = text_of(p, &t);
        } else if (td_json_is(&key, TD_STR("rows")) && t.kind != TD_JSON_ARRAY) {
            cell_add(p, value_of(p, &t));
        } else if (td_json_is(&key, TD_STR("truncated"))) {
            p->cut = t.kind == TD_JSON_TRUE;
        }
    }
    return t.kind == TD_JSON_END && p->column_count > 0 && p->count % p->column_count == 0;
}

static int answer_print(const struct query *q, td_slice body)
{
    struct parsed p = {.count = 0};
    td_arena_init(&p.arena, 0);
    int status = TD_CLI_FAILED;
    if (answer_parse(&p, body)) {
        const struct td_table t = {.columns = p.columns,
                                   .column_count = p.column_count,
                                   .cells = p.cells,
                                   .row_count = p.count / p.column_count,
                                   .cut = p.cut};
        status = print_table(q, &t);
    } else {
        (void)failed(TD_STR("the hub's answer is not the API's; are both of one version?"));
    }
    free(p.cells);
    td_arena_fini(&p.arena);
    return status;
}

static int ask_hub(struct query *q)
{
    struct td_buf body, out, why;
    unsigned code = 0;
    td_buf_init(&body, 1 << 20);
    td_buf_init(&out, ANSWER_BYTES_MAX);
    td_buf_init(&why, 4096);
    (void)td_buf_printf(&body, "{\"sql\":");
    (void)td_json_add_string(&body, td_slice_of(q->sql));
    (void)td_buf_printf(&body, "}");
    const struct td_app_request request = {.address = q->http,
                                           .method = "POST",
                                           .path = TD_STR("/api/v1/query"),
                                           .body = td_buf_slice(&body),
                                           .wait_ms = WAIT_MS};
    enum td_err err = td_app_fetch(q->l, &request, &out, &code, &why);
    int status = TD_CLI_FAILED;
    if (err != TD_OK) {
        (void)td_buf_printf(&why, " Or give --data DIR to read a directory that no hub has open.");
        status = failed(td_buf_slice(&why));
    } else if (code == 200) {
        status = answer_print(q, td_buf_slice(&out));
    } else {
        td_app_problem_say("query", td_buf_slice(&out), code);
    }
    td_buf_fini(&body);
    td_buf_fini(&out);
    td_buf_fini(&why);
    return status;
}

/* ---- which of the two ---- */

static int query_run(struct query *q)
{
    if (q->dir == NULL) {
        return ask_hub(q);
    }
    const struct td_store_config config = {.dir = q->dir, .existing = true};
    struct td_store *store;
    struct td_buf why;
    td_buf_init(&why, 4096);
    enum td_err err = td_store_open(&config, td_linux_sys(q->l), &store, &why);
    int status;
    if (err == TD_OK) {
        status = ask_directory(q, store);
        td_store_close(store);
    } else if (err == TD_EEXIST) { /* a hub has it: let the hub answer */
        status = ask_hub(q);
    } else {
        status = failed(td_buf_slice(&why));
    }
    td_buf_fini(&why);
    return status;
}

int td_app_query(int argc, char **argv)
{
    struct query q = {.http = "127.0.0.1:8080", .status = TD_CLI_FAILED};
    struct td_cli_list words = {.count = 0};
    const struct td_cli_option options[] = {
        {"--data", 0, TD_CLI_TEXT, &q.dir, "DIR", "read this directory if no hub has it open", 0,
         0},
        {"--http", 0, TD_CLI_TEXT, &q.http, "ADDR:PORT", "the hub to ask [127.0.0.1:8080]", 0, 0},
        {"--csv", 0, TD_CLI_FLAG, &q.csv, NULL, "print CSV (RFC 4180)", 0, 0},
        {"--json", 0, TD_CLI_FLAG, &q.json, NULL, "print a JSON array of objects", 0, 0},
    };
    static const char more[] =
        "Tables:\n"
        "  points(stream, ts, field, value, time)   ts: ns since 1970, time: ISO text\n"
        "  streams(stream, field, series)\n"
        "Functions: time_bucket('15m', ts), ts('2026-11-24T09:00' or '-1h'), iso(ts)\n"
        "Example:\n"
        "  tandem query \"SELECT iso(time_bucket('1h', ts)) AS hour, avg(value) FROM points\n"
        "    WHERE stream = 'room/temperature' AND ts > ts('-1d') GROUP BY 1\"\n";
    if (!td_cli_parse("query", "SQL [OPTION]...", options, TD_COUNT(options), more, argc, argv,
                      &words, &q.status)) {
        return q.status;
    }
    if (words.count != 1) {
        (void)fprintf(stderr,
                      "tandem query: give one SQL question, in quotes; see tandem query --help\n");
        return TD_CLI_USAGE;
    }
    q.sql = words.at[0];
    q.l = td_app_loop_new();
    if (q.l == NULL) {
        return TD_CLI_FAILED;
    }
    int status = query_run(&q);
    td_app_loop_free(q.l);
    return status;
}
