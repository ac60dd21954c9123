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

void td_app_secure_close(struct td_config *config)
{
    for (size_t i = 0; i < config->serve.listeners.count; i++) {
        td_linux_tls_context_free(config->all[i].tls);
        config->all[i].tls = NULL;
    }
}
