/* app: the configuration file. Each setting is a row of config.def; what no file says has the row's
 * default. A file with anything unknown or out of bounds is refused as a whole. */
#ifndef TD_APP_CONFIG_H
#define TD_APP_CONFIG_H

#include "linux/linux.h"
#include "serve/serve.h"

/* What a listener on a network needs to be told. */
struct td_config_word {
    bool insecure, plaintext;
};

/* A [[listener]]. */
struct td_config_listener {
    struct td_serve_listener is;
    struct td_config_word word;
    struct td_linux_tls_config tls;
    struct td_serve_listener *listed; /* its place in the list of all, once that is made */
};

enum { TD_CONFIG_LISTENERS_MAX = 64 };

struct td_config {
    struct td_serve_config serve; /* as set, but for the rules' text and the version */
    struct td_serve_texts listen[TD_SERVE_HTTP + 1]; /* the short way, by kind */
    struct td_config_word word[TD_SERVE_HTTP + 1];   /* for these */
    const char *password_url;
    const char *users, *grants, *jwt_keys; /* paths; NULL: none */
    struct td_config_listener *listeners;  /* room for the maximum once there is one */
    size_t listener_count;
    struct td_serve_listener *all; /* behind serve.listeners, once that is made */
    struct td_serve_texts rules;
    struct td_arena arena; /* holds all texts */
};

/* All defaults. Free with td_config_fini(). */
void td_config_init(struct td_config *config);
void td_config_fini(struct td_config *config);
/* Takes what a file says over the defaults; `name` is for messages. TD_ESYNTAX: `why` says where,
 * what, which rule, what to do; the configuration is then half set and of no use. */
enum td_err td_config_read(struct td_config *config, const char *name, td_slice text,
                           struct td_buf *why);
/* Puts addresses of the command line in place of what the file says in [mqtt] or [http] listen; the
 * texts are borrowed for life. "off": none. */
void td_config_listen(struct td_config *config, enum td_serve_kind kind,
                      const struct td_serve_texts *addresses);
/* Last, when the command line has had its say: makes the list of all listeners in serve.listeners.
 * A listener on a network must be wanted in so many words. TD_EDENIED: it is not; TD_EFULL: too
 * many; `why` says what to do. */
enum td_err td_config_check(struct td_config *config, struct td_buf *why);

/* Is TLS spoken there? */
static inline bool td_config_listener_secure(const struct td_config_listener *l)
{
    return l->tls.certificate != NULL || l->tls.psk != NULL;
}
/* What a page about listeners says. */
void td_config_listen_document(struct td_buf *out);
/* The rows as text: for --help, and as docs/configuration.md. */
void td_config_help(struct td_buf *out);
void td_config_document(struct td_buf *out);

#endif
