/* app, private: whole files. */
#ifndef TD_APP_FILE_H
#define TD_APP_FILE_H

#include "base/base.h"

/* Appends the file's bytes. On failure `why` names the file and the reason. TD_EFULL: larger than
 * the buffer may grow. */
enum td_err td_app_file_read(const char *path, struct td_buf *out, struct td_buf *why);

#endif
