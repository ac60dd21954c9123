/* app: `tandem serve`. Reads what was asked for, assembles the hub over linux/, and turns until a
 * signal ends it. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/loop.h"
#include "serve/serve.h"

static const char *const usage = "[OPTION]...";

struct options {
    const char *data, *mqtt, *http;
    struct td_cli_list rules;
};

static void print_ready(const struct td_serve *serve, const char *data, td_ms ms)
{
    char mqtt[64], http[64];
    td_serve_addresses(serve, mqtt, http);
    printf("ready mqtt=%s http=%s data=%s ms=%lld\n", mqtt, http, data, (long long)ms);
    (void)fflush(stdout); /* whoever started us waits for this line */
}

static void events(struct td_linux *l, struct td_serve *serve)
{
    struct td_sys *sys = td_linux_sys(l);
    struct td_sys_event event;
    while (td_linux_next(l, &event)) {
        td_serve_event(serve, &event, sys->mono(sys));
    }
}

static void turn_until_ended(struct td_linux *l, struct td_serve *serve)
{
    struct td_sys *sys = td_linux_sys(l);
    do {
        events(l, serve);
        td_serve_turn(serve, sys->mono(sys));
    } while (td_app_loop_wait(l, td_serve_deadline(serve)));
    while (!td_serve_stop(serve, sys->mono(sys))) {
        td_linux_wait(l, TD_NEVER);
        events(l, serve);
    }
}

static int serve_with(struct td_linux *l, const struct options *o)
{
    struct td_sys *sys = td_linux_sys(l);
    struct td_serve_config config;
    struct td_serve *serve;
    struct td_buf why;
    td_mono begin = sys->mono(sys);
    td_serve_config_default(&config);
    config.data_dir = o->data;
    config.mqtt_address = o->mqtt;
    config.http_address = o->http;
    config.version = TD_VERSION;
    td_buf_init(&why, 64 * 1024);
    enum td_err err = td_serve_new(sys, &config, &serve, &why);
    if (err != TD_OK) {
        fprintf(stderr, "tandem serve: %.*s\n", (int)why.n, (const char *)why.p);
        td_buf_fini(&why);
        return TD_CLI_FAILED;
    }
    td_buf_fini(&why);
    print_ready(serve, o->data, (sys->mono(sys) - begin) / TD_NS_PER_MS);
    turn_until_ended(l, serve);
    td_serve_close(serve);
    return TD_CLI_OK;
}

int td_app_serve(int argc, char **argv)
{
    struct options o = {.data = "data", .mqtt = "127.0.0.1:1883", .http = "127.0.0.1:8080"};
    const struct td_cli_option rows[] = {
        {"--data", 'd', TD_CLI_TEXT, &o.data, "DIR", "where everything is kept [data]", 0, 0},
        {"--mqtt", 0, TD_CLI_TEXT, &o.mqtt, "ADDR:PORT", "MQTT listens here [127.0.0.1:1883]", 0,
         0},
        {"--http", 0, TD_CLI_TEXT, &o.http, "ADDR:PORT", "the page and the API [127.0.0.1:8080]", 0,
         0},
        {"--rules", 'r', TD_CLI_LIST, &o.rules, "FILE", "rules to run; may be repeated", 0, 0},
    };
    int status;
    if (!td_cli_parse("serve", usage, rows, TD_COUNT(rows), NULL, argc, argv, NULL, &status)) {
        return status;
    }
    struct td_linux *l = td_app_loop_new();
    if (l == NULL) {
        return TD_CLI_FAILED;
    }
    status = serve_with(l, &o);
    td_app_loop_free(l);
    return status;
}
