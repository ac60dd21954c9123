/* app: reading a configuration or rule file whole. */
#include "app/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { STEP = 16 * 1024 };

static enum td_err read_all(FILE *f, struct td_buf *out)
{
    for (;;) {
        enum td_err err = td_buf_reserve(out, STEP);
        if (err != TD_OK) {
            return err;
        }
        size_t got = fread(out->p + out->n, 1, STEP, f);
        out->n += got;
        if (got < STEP) {
            return ferror(f) != 0 ? TD_EIO : TD_OK;
        }
    }
}

enum td_err td_app_file_read(const char *path, struct td_buf *out, struct td_buf *why)
{
    FILE *f = fopen(path, "rbe");
    enum td_err err = f == NULL ? TD_ENOENT : read_all(f, out);
    if (err == TD_EFULL) {
        (void)td_buf_printf(why, "%s: larger than %zu bytes; is it the right file?", path,
                            out->bytes_max);
    } else if (err != TD_OK) {
        (void)td_buf_printf(why, "%s: %s; give the path of a file that can be read", path,
                            strerror(errno));
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return err;
}

bool td_app_file_write(FILE *to, td_slice text)
{
    return text.n == 0 || fwrite(text.p, 1, text.n, to) == text.n;
}
