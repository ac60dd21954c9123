/* app, private: the certificates of the listeners. */
#ifndef TD_APP_SECURE_H
#define TD_APP_SECURE_H

#include "app/config.h"

/* Reads the files of all listeners with TLS and puts what came of them into serve.listeners; after
 * td_config_check(). On failure `why` says which file of which listener, and nothing is kept. */
enum td_err td_app_secure_open(struct td_config *config, struct td_buf *why);
/* After the last connection has gone. */
void td_app_secure_close(struct td_config *config);

#endif
