/* app, private: whole files, and whole answers. */
#ifndef TD_APP_FILE_H
#define TD_APP_FILE_H

#include <stdio.h>

#include "base/base.h"

/* Appends the file's bytes. On failure `why` names the file and the reason. TD_EFULL: larger than
 * the buffer may grow. */
enum td_err td_app_file_read(const char *path, struct td_buf *out, struct td_buf *why);

/* Writes all of it; nothing if it is empty (then it may have no bytes to point to). False: the
 * stream has failed. */
bool td_app_file_write(FILE *to, td_slice text);

#endif
