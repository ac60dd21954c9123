/* src/serve/web.h: the page, as bytes in the binary.
 *
 * The build compresses web/ once and writes every file as a row of this table (web/build.mjs), so
 * that serving one is handing out a pointer: no file is opened, nothing is compressed at run time.
 * Without Node.js at build time the table holds web/fallback.c: one plain page that says so. */
#ifndef TD_SERVE_WEB_H
#define TD_SERVE_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All memory is static and lives as long as the program. */
struct td_web_file {
    const char *path;      /* as requested: "/" or "/assets/main-1a2b3c4d.js" */
    const char *type;      /* the Content-Type, with its charset */
    const char *etag;      /* with its quotes, ready for the header; changes with the content */
    const uint8_t *plain;  /* always there */
    const uint8_t *gzip;   /* NULL where it would not be smaller */
    const uint8_t *brotli; /* NULL where it would not be smaller */
    size_t plain_n, gzip_n, brotli_n;
    bool immutable; /* the name holds the content's hash: browsers may keep it for ever */
};

extern const struct td_web_file td_web_files[];
extern const size_t td_web_file_count;

#endif
