/* app: the certificates of the listeners. */
#include "app/secure.h"

enum td_err td_app_secure_open(struct td_config *config, struct td_buf *why)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        struct td_config_listener *l = &config->listeners[i];
        if (!td_config_listener_secure(l)) {
            continue;
        }
        enum td_err err = td_linux_tls_context_new(&l->tls, &l->listed->tls, why);
        if (err != TD_OK) {
            (void)td_buf_printf(why, " (of [[listener]] address = \"%s\")", l->is.address);
            td_app_secure_close(config);
            return err;
        }
    }
    return TD_OK;
}

/* The listener of `config` at the same address, NULL: none. */
static struct td_serve_listener *same_of(const struct td_config *config,
                                         const struct td_serve_listener *l)
{
    for (size_t i = 0; i < config->serve.listeners.count; i++) {
        if (strcmp(config->all[i].address, l->address) == 0) {
            return &config->all[i];
        }
    }
    return NULL;
}

void td_app_secure_swap(struct td_config *config, struct td_config *next)
{
    for (size_t i = 0; i < next->serve.listeners.count; i++) {
        const struct td_serve_listener *l = &next->all[i];
        const struct td_serve_listener *same = same_of(config, l);
        if (same != NULL && same->tls != NULL && l->tls != NULL) {
            td_linux_tls_context_swap(same->tls, l->tls);
        }
    }
}

bool td_app_secure_same(const struct td_config *config, const struct td_config *next)
{
    bool same = config->serve.listeners.count == next->serve.listeners.count;
    for (size_t i = 0; i < next->serve.listeners.count && same; i++) {
        const struct td_serve_listener *l = &next->all[i];
        const struct td_serve_listener *was = same_of(config, l);
        same = was != NULL && was->kind == l->kind && was->mode == l->mode &&
               was->websocket == l->websocket && (was->tls == NULL) == (l->tls == NULL);
    }
    return same;
}

void td_app_secure_close(struct td_config *config)
{
    for (size_t i = 0; i < config->serve.listeners.count; i++) {
        td_linux_tls_context_free(config->all[i].tls);
        config->all[i].tls = NULL;
    }
}
