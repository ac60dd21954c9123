/* app, private: the certificates of the listeners. */
#ifndef TD_APP_SECURE_H
#define TD_APP_SECURE_H

#include "app/config.h"

/* Reads the files of all listeners with TLS and puts what came of them into serve.listeners; after
 * td_config_check(). On failure `why` says which file of which listener, and nothing is kept. */
enum td_err td_app_secure_open(struct td_config *config, struct td_buf *why);
/* Exchanges what was read for the listeners of both that have the same address: those of `config`,
 * which listen, have what was read for `next` then. Again: back. */
void td_app_secure_swap(struct td_config *config, struct td_config *next);
/* Do both have the same listeners, but for files and who may come? */
bool td_app_secure_same(const struct td_config *config, const struct td_config *next);
/* After the last connection has gone. */
void td_app_secure_close(struct td_config *config);

#endif
