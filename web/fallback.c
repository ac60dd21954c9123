/* web/fallback.c: what `/` shows when the hub was built without its page. */
#include "serve/web.h"

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<title>Tandem</title>\n"
    "<h1>This hub runs, but was built without its page</h1>\n"
    "<p>Everything else works: <a href=\"/health\">health</a>, <a href=\"/metrics\">metrics</a>,\n"
    "<a href=\"/api/v1/things\">things and their values</a>, <a href=\"/api/v1/rules\">rules</a>.\n"
    "<p>To get the page, install Node.js 18 or later with npm (<code>scripts/setup</code> does)\n"
    "and build again with <code>-DTANDEM_WEB=ON</code>.\n";

const struct td_web_file td_web_files[] = {
    {
        .path = "/",
        .type = "text/html; charset=utf-8",
        .etag = "\"no-page-1\"",
        .plain = (const uint8_t *)page,
        .plain_n = sizeof page - 1,
    },
};
const size_t td_web_file_count = sizeof td_web_files / sizeof *td_web_files;
