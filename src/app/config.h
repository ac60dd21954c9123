/* app: the configuration file. Each setting is a row of config.def; what no file says has the row's
 * default. A file with anything unknown or out of bounds is refused as a whole. */
#ifndef TD_APP_CONFIG_H
#define TD_APP_CONFIG_H

#include "serve/serve.h"

struct td_config_list {
    const char *const *at;
    size_t count;
};

struct td_config {
    struct td_serve_config serve; /* as set, but for the rules' text and the version */
    bool mqtt_insecure, mqtt_plaintext, http_insecure, http_plaintext;
    struct td_config_list hosts, rules; /* hosts: also in serve.http */
    struct td_arena arena;              /* holds all texts */
};

/* All defaults. Free with td_config_fini(). */
void td_config_init(struct td_config *config);
void td_config_fini(struct td_config *config);
/* Takes what a file says over the defaults; `name` is for messages. TD_ESYNTAX: `why` says where,
 * what, which rule, what to do; the configuration is then half set and of no use. */
enum td_err td_config_read(struct td_config *config, const char *name, td_slice text,
                           struct td_buf *why);
/* Last, when the command line has had its say: a listener on a network must be wanted in so many
 * words. TD_EDENIED: it is not; `why` says what to do. */
enum td_err td_config_check(const struct td_config *config, struct td_buf *why);

/* The rows as text: for --help, and as docs/configuration.md. */
void td_config_help(struct td_buf *out);
void td_config_document(struct td_buf *out);

#endif
