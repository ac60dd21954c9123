/* app: `tandem serve`. Reads what was asked for, assembles the hub over linux/, and turns until a
 * signal ends it. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/config.h"
#include "app/demo.h"
#include "app/file.h"
#include "app/judge.h"
#include "app/loop.h"
#include "app/secure.h"

enum { FILE_BYTES_MAX = 16 * 1024 * 1024, ACCESS_BYTES_MAX = 64 * 1024 * 1024 };

struct run {
    const char *config_file, *data;
    struct td_cli_list mqtt, http, rules;
    bool demo;
    struct td_config config;
    struct td_serve_file *files; /* rules of configuration and command line, read */
    struct td_buf *texts;
    size_t file_count;
    struct td_buf users, grants, jwt_keys; /* these files */
    struct td_buf why;
};

/* ---- what was asked for ---- */

static enum td_err read_config(struct run *r, struct td_config *config)
{
    struct td_buf text;
    if (r->config_file == NULL) {
        return TD_OK;
    }
    td_buf_init(&text, FILE_BYTES_MAX);
    enum td_err err = td_app_file_read(r->config_file, &text, &r->why);
    if (err == TD_OK) {
        err = td_config_read(config, r->config_file, td_buf_slice(&text), &r->why);
    }
    td_buf_fini(&text);
    return err;
}

static void override(const struct run *r, struct td_config *config)
{
    struct td_serve_config *serve = &config->serve;
    serve->data_dir = r->data != NULL ? r->data : serve->data_dir;
    td_config_listen(config, TD_SERVE_MQTT, &(struct td_serve_texts){r->mqtt.at, r->mqtt.count});
    td_config_listen(config, TD_SERVE_HTTP, &(struct td_serve_texts){r->http.at, r->http.count});
    serve->version = TD_VERSION;
    uint64_t *memory_max = &serve->mqtt.limits.memory_max;
    *memory_max = *memory_max != 0 ? *memory_max : td_linux_memory_total() / 4 * 3;
}

static enum td_err read_rule(struct run *r, const char *path)
{
    struct td_buf *text = &r->texts[r->file_count];
    td_buf_init(text, FILE_BYTES_MAX);
    enum td_err err = td_app_file_read(path, text, &r->why);
    r->files[r->file_count++] = (struct td_serve_file){path, td_buf_slice(text)};
    return err;
}

static enum td_err read_rules(struct run *r)
{
    size_t most = r->config.rules.count + r->rules.count + 1;
    enum td_err err = TD_OK;
    r->files = td_alloc(most * sizeof *r->files);
    r->texts = td_alloc(most * sizeof *r->texts);
    for (size_t i = 0; i < r->config.rules.count && err == TD_OK; i++) {
        err = read_rule(r, r->config.rules.at[i]);
    }
    for (size_t i = 0; i < r->rules.count && err == TD_OK; i++) {
        err = read_rule(r, r->rules.at[i]);
    }
    if (r->demo) {
        td_buf_init(&r->texts[r->file_count], 0);
        r->files[r->file_count++] = (struct td_serve_file){"town.td", td_app_town};
    }
    r->config.serve.rules = r->files;
    r->config.serve.rule_count = r->file_count;
    return err;
}

static enum td_err read_one(const char *path, struct td_buf *text, struct td_serve_file *out,
                            struct td_buf *why)
{
    td_buf_clear(text);
    *out = (struct td_serve_file){path, {NULL, 0}};
    enum td_err err = path == NULL ? TD_OK : td_app_file_read(path, text, why);
    out->text = td_buf_slice(text);
    return err;
}

static enum td_err read_access(struct run *r)
{
    struct td_serve_access_config *access = &r->config.serve.access;
    if (r->config.password_url != NULL && !td_app_judge_valid(r->config.password_url)) {
        (void)td_buf_printf(&r->why,
                            "[access] password_url = \"%s\": write a numeric address with port and "
                            "path, such as http://127.0.0.1:9000/login",
                            r->config.password_url);
        return TD_ESYNTAX;
    }
    if (r->config.password_url != NULL) {
        access->judge = td_app_judge;
        access->judge_ctx = (void *)(uintptr_t)r->config.password_url; /* it only reads it */
    }
    enum td_err err = read_one(r->config.users, &r->users, &access->users, &r->why);
    err = err == TD_OK ? read_one(r->config.grants, &r->grants, &access->grants, &r->why) : err;
    return err == TD_OK ? read_one(r->config.jwt_keys, &r->jwt_keys, &access->jwt_keys, &r->why)
                        : err;
}

/* Reads the file, and the certificates that it names. */
static enum td_err settle(struct run *r, struct td_config *config)
{
    enum td_err err = read_config(r, config);
    if (err == TD_OK) {
        override(r, config);
        err = td_config_check(config, &r->why);
    }
    return err == TD_OK ? td_app_secure_open(config, &r->why) : err;
}

static enum td_err prepare(struct run *r)
{
    enum td_err err = settle(r, &r->config);
    err = err == TD_OK ? read_access(r) : err;
    return err == TD_OK ? read_rules(r) : err;
}

static int complain(const struct run *r)
{
    (void)fprintf(stderr, "tandem serve: %.*s\n", (int)r->why.n, (const char *)r->why.p);
    return TD_CLI_FAILED;
}

/* ---- the loop ---- */

static void events(struct td_linux *l, struct td_serve *serve)
{
    struct td_sys *sys = td_linux_sys(l);
    struct td_sys_event event;
    td_mono now = sys->mono(sys); /* one moment for all that one wait brought */
    while (td_linux_next(l, &event)) {
        td_serve_event(serve, &event, now);
    }
}

/* Users and grants as the files say now; what is wrong changes nothing. */
/* All is read before anything changes. Certificates go first, so that who shows one that is not
 * good any more is seen when the rights are looked at; and back again if those are not good. */
static enum td_err renew(struct run *r, struct td_config *next, struct td_serve *serve, td_mono now)
{
    enum td_err err = settle(r, next);
    err = err == TD_OK ? read_access(r) : err;
    if (err != TD_OK) {
        return err;
    }
    td_app_secure_swap(&r->config, next);
    err = td_serve_access(serve, &r->config.serve.access, now, &r->why);
    if (err != TD_OK) {
        td_app_secure_swap(&r->config, next);
    } else if (!td_app_secure_same(&r->config, next)) {
        td_log("app", TD_LOG_WARN, "restart_needed", "for=\"other listeners\"");
    }
    return err;
}

static void reload(struct run *r, struct td_serve *serve, td_mono now)
{
    struct td_config next;
    td_buf_clear(&r->why);
    td_config_init(&next);
    if (renew(r, &next, serve, now) == TD_OK) {
        td_log("app", TD_LOG_INFO, "reloaded", "users=%s grants=%s",
               r->config.users == NULL ? "none" : r->config.users,
               r->config.grants == NULL ? "none" : r->config.grants);
    } else {
        td_log("app", TD_LOG_ERROR, "not_reloaded", "why=\"%.*s\"", (int)r->why.n,
               (const char *)r->why.p);
    }
    td_app_secure_close(&next);
    td_config_fini(&next);
}

static void turn_until_ended(struct td_linux *l, struct run *r, struct td_serve *serve)
{
    struct td_sys *sys = td_linux_sys(l);
    do {
        events(l, serve);
        if (td_app_loop_reload()) {
            reload(r, serve, sys->mono(sys));
        }
        td_serve_turn(serve, sys->mono(sys));
    } while (td_app_loop_wait(l, td_serve_deadline(serve)));
    td_app_demo_stop();
    while (!td_serve_stop(serve, sys->mono(sys))) {
        td_linux_wait(l, td_serve_deadline(serve));
        events(l, serve);
    }
}

/* What is spoken there, if it is not plain: "tls:", "ws:", "wss:". */
static const char *scheme(const struct td_serve_listener *l)
{
    return l->websocket ? (l->tls != NULL ? "wss:" : "ws:") : l->tls != NULL ? "tls:" : "";
}

/* Gives the first plain address of that kind, "" if there is none. */
static void print_addresses(const struct run *r, const struct td_serve *serve,
                            enum td_serve_kind kind, char plain[64])
{
    const struct td_serve_listeners *all = &r->config.serve.listeners;
    char address[64];
    size_t n = 0;
    plain[0] = '\0';
    for (size_t i = 0; i < all->count; i++) {
        const struct td_serve_listener *l = &all->at[i];
        if (l->kind != kind || !td_serve_address(serve, kind, n, address)) {
            continue;
        }
        printf("%s%s%s", n++ > 0 ? "," : "", scheme(l), address);
        if (plain[0] == '\0' && scheme(l)[0] == '\0' && strncmp(address, "unix:", 5) != 0) {
            memcpy(plain, address, 64);
        }
    }
}

static void print_ready(const struct run *r, const struct td_serve *serve, td_ms ms)
{
    char mqtt[64], http[64];
    printf("ready mqtt=");
    print_addresses(r, serve, TD_SERVE_MQTT, mqtt);
    printf(" http=");
    print_addresses(r, serve, TD_SERVE_HTTP, http);
    printf(" data=%s ms=%lld\n", r->config.serve.data_dir, (long long)ms);
    (void)fflush(stdout); /* whoever started us waits for this line */
    if (r->demo && mqtt[0] != '\0' && http[0] != '\0') { /* the devices speak plain MQTT */
        td_app_demo_start(mqtt);
        td_app_demo_print(mqtt, http);
    }
}

static int serve_over(struct td_linux *l, struct run *r)
{
    struct td_sys *sys = td_linux_sys(l);
    struct td_serve *serve;
    td_mono begin = sys->mono(sys);
    if (td_serve_new(sys, &r->config.serve, &serve, &r->why) != TD_OK) {
        return complain(r);
    }
    td_app_loop_reloads();
    print_ready(r, serve, (sys->mono(sys) - begin) / TD_NS_PER_MS);
    turn_until_ended(l, r, serve);
    td_serve_close(serve);
    return TD_CLI_OK;
}

static int run(struct run *r)
{
    if (prepare(r) != TD_OK) {
        return complain(r);
    }
    struct td_linux *l = td_app_loop_new();
    if (l == NULL) {
        return TD_CLI_FAILED;
    }
    int status = serve_over(l, r);
    td_app_loop_free(l);
    return status;
}

static void run_fini(struct run *r)
{
    for (size_t i = 0; i < r->file_count; i++) {
        td_buf_fini(&r->texts[i]);
    }
    free(r->files);
    free(r->texts);
    td_buf_fini(&r->users);
    td_buf_fini(&r->grants);
    td_buf_fini(&r->jwt_keys);
    td_buf_fini(&r->why);
    td_app_secure_close(&r->config);
    td_config_fini(&r->config);
}

int td_app_serve(int argc, char **argv)
{
    struct run r = {0};
    struct td_buf more;
    const struct td_cli_option rows[] = {
        {"--config", 'c', TD_CLI_TEXT, &r.config_file, "FILE", "settings, TOML (see below)", 0, 0},
        {"--data", 'd', TD_CLI_TEXT, &r.data, "DIR", "where everything is kept", 0, 0},
        {"--mqtt", 0, TD_CLI_LIST, &r.mqtt, "ADDRESS",
         "MQTT listens here: 127.0.0.1:1883, unix:/path; may be repeated", 0, 0},
        {"--http", 0, TD_CLI_LIST, &r.http, "ADDRESS", "the page and the API", 0, 0},
        {"--rules", 'r', TD_CLI_LIST, &r.rules, "FILE", "rules to run; may be repeated", 0, 0},
        {"--demo", 0, TD_CLI_FLAG, &r.demo, NULL, "run the sample town: devices and rules", 0, 0},
    };
    int status = TD_CLI_OK;
    td_config_init(&r.config);
    td_buf_init(&r.why, 64 * 1024);
    td_buf_init(&r.users, ACCESS_BYTES_MAX);
    td_buf_init(&r.grants, ACCESS_BYTES_MAX);
    td_buf_init(&r.jwt_keys, ACCESS_BYTES_MAX);
    td_buf_init(&more, 64 * 1024);
    td_config_help(&more);
    if (td_buf_add_u8(&more, '\0') == TD_OK &&
        td_cli_parse("serve", "[OPTION]...", rows, TD_COUNT(rows), (const char *)more.p, argc, argv,
                     NULL, &status)) {
        status = run(&r);
    }
    td_buf_fini(&more);
    run_fini(&r);
    return status;
}
