/* serve/http: which row of api.def a request is, and who may ask.
 *
 * A page of another site, open in the same browser, must not reach us: the Host must be a name we
 * go by (a stranger's name that resolves to our address is DNS rebinding), and what changes
 * something or opens a feed must come from our own origin. No CORS field is ever sent. */
#include "serve/http/inside.h"
#include "serve/upgrade.h"
#include "serve/web.h"

const struct td_httpd_route td_httpd_routes[] = {
#define ROUTE(method, path, handler, params, gives)                                                \
    {method, path, td_httpd_##handler, params, gives},
#include "serve/http/api.def"
#undef ROUTE
};
const size_t td_httpd_route_count = TD_COUNT(td_httpd_routes);

static bool refuse(struct td_httpd_conn *c, unsigned status, const char *thing, td_slice value,
                   const char *rule, const char *remedy)
{
    td_httpd_problem(
        c, &(struct td_httpd_problem){
               .status = status, .thing = thing, .value = value, .rule = rule, .remedy = remedy});
    return false;
}

/* ---- who may ask ---- */

static bool is_ours(const struct td_httpd_conn *c, td_slice host)
{
    const struct td_serve_texts *hosts = &c->d->config.hosts;
    struct td_sys *sys = c->d->parts->sys;
    char local[64];
    sys->address(sys, c->stream, false, local);
    if (td_host_is_local(host, td_slice_of(local))) {
        return true;
    }
    for (size_t i = 0; i < hosts->count; i++) {
        if (td_http_same(td_host_without_port(host), td_slice_of(hosts->at[i]))) {
            return true;
        }
    }
    return false;
}

/* For MQTT other sites may be listed; the live feed and the API are for our own page. */
static bool origin_fine(const struct td_httpd_conn *c)
{
    bool mqtt = td_slice_eq(c->head.path, TD_STR("/mqtt"));
    return td_origin_is_same(&c->head) ||
           (mqtt && td_origin_is_listed(&c->head, &c->listener->is.origins));
}

static bool may_ask(struct td_httpd_conn *c)
{
    td_slice origin = {NULL, 0};
    bool reads =
        td_slice_eq(c->head.method, TD_STR("GET")) || td_slice_eq(c->head.method, TD_STR("HEAD"));
    if (!is_ours(c, c->head.host)) {
        return refuse(c, 421, "Host", c->head.host, "not a name that this hub goes by",
                      "use its address, or add the name to hosts in section [http]");
    }
    if ((!reads || c->head.upgrade_websocket) && !origin_fine(c)) {
        (void)td_http_field(&c->head, TD_STR("Origin"), &origin);
        return refuse(c, 403, "Origin", origin, "a page of another site may not do this",
                      "ask from the hub's own page or from a program");
    }
    return true;
}

/* ---- which row ---- */

/* A row's path may end in {name}: there stands any text without '/', see td_httpd_rest(). */
static bool is_path(td_slice path, td_slice row)
{
    size_t fixed = td_slice_find(row, '{');
    if (fixed == row.n) {
        return td_slice_eq(path, row);
    }
    td_slice rest = td_slice_skip(path, fixed);
    return td_slice_starts(path, td_slice_head(row, fixed)) && rest.n > 0 &&
           td_slice_find(rest, '/') == rest.n;
}

td_slice td_httpd_rest(const struct td_httpd_conn *c)
{
    return td_slice_skip(c->head.path, td_slice_find(td_slice_of(c->route->path), '{'));
}

/* The methods that a path knows, as "GET, POST"; 0: the path is in no row. */
static size_t methods_of(td_slice path, char out[64])
{
    size_t n = 0;
    for (size_t i = 0; i < td_httpd_route_count; i++) {
        const struct td_httpd_route *r = &td_httpd_routes[i];
        if (is_path(path, td_slice_of(r->path))) {
            size_t more = strlen(r->method);
            td_assert(n + more + 8 < 64);
            if (n > 0) {
                memcpy(out + n, ", ", 2);
                n += 2;
            }
            memcpy(out + n, r->method, more);
            n += more;
        }
    }
    return n;
}

static const struct td_httpd_route *row_of(td_slice method, td_slice path)
{
    td_slice wanted = td_slice_eq(method, TD_STR("HEAD")) ? TD_STR("GET") : method;
    for (size_t i = 0; i < td_httpd_route_count; i++) {
        const struct td_httpd_route *r = &td_httpd_routes[i];
        if (td_slice_eq(wanted, td_slice_of(r->method)) && is_path(path, td_slice_of(r->path))) {
            return r;
        }
    }
    return NULL;
}

static bool wrong_method(struct td_httpd_conn *c, const char *methods, size_t n)
{
    td_slice allow = {(const uint8_t *)methods, n};
    td_httpd_problem(c, &(struct td_httpd_problem){.status = 405,
                                                   .thing = "method",
                                                   .value = c->head.method,
                                                   .rule = "this path does not know it",
                                                   .remedy = "use one that the field Allow names",
                                                   .field = {TD_STR("Allow"), allow}});
    return false;
}

/* Is `name` one of the words in `params`, which has a space behind each? */
static bool is_param(const char *params, td_slice name)
{
    td_slice rest = td_slice_of(params);
    while (rest.n > 0) {
        td_slice word = td_slice_head(rest, td_slice_find(rest, ' '));
        if (td_slice_eq(word, name)) {
            return true;
        }
        rest = td_slice_skip(rest, word.n + 1);
    }
    return false;
}

static bool params_known(struct td_httpd_conn *c)
{
    td_slice query = c->head.query;
    while (query.n > 0) {
        td_slice pair = td_slice_head(query, td_slice_find(query, '&'));
        td_slice name = td_slice_head(pair, td_slice_find(pair, '='));
        query = td_slice_skip(query, pair.n + 1);
        if (name.n > 0 && !is_param(c->route->params, name)) {
            return refuse(c, 400, "parameter", name, "this path does not know it",
                          c->route->params[0] ? c->route->params : "ask without parameters");
        }
    }
    return true;
}

/* A body can only be JSON: no form of another site can send that type without being asked first. */
static bool type_known(struct td_httpd_conn *c)
{
    td_slice type = {NULL, 0};
    if (!td_slice_eq(c->head.method, TD_STR("POST"))) {
        return true;
    }
    if (td_http_field(&c->head, TD_STR("Content-Type"), &type) != 1 ||
        !td_http_list_has(type, TD_STR("application/json"))) {
        return refuse(c, 415, "Content-Type", type, "only application/json is taken here",
                      "send -H 'Content-Type: application/json'");
    }
    return true;
}

bool td_httpd_route(struct td_httpd_conn *c)
{
    char methods[64];
    if (!may_ask(c)) {
        return false;
    }
    c->route = row_of(c->head.method, c->head.path);
    if (c->route != NULL) {
        return params_known(c) && type_known(c);
    }
    size_t n = methods_of(c->head.path, methods);
    if (n > 0) {
        return wrong_method(c, methods, n);
    }
    if (!td_slice_eq(c->head.method, TD_STR("GET")) &&
        !td_slice_eq(c->head.method, TD_STR("HEAD"))) {
        return wrong_method(c, "GET, HEAD", 9);
    }
    return true; /* a file of the page, or nothing */
}

void td_httpd_handle(struct td_httpd_conn *c, td_mono now)
{
    if (td_httpd_admit(c, now)) {
        td_httpd_dispatch(c, now);
    }
}

void td_httpd_dispatch(struct td_httpd_conn *c, td_mono now)
{
    if (c->route == NULL) {
        td_httpd_page(c);
    } else {
        c->route->handle(c, now);
    }
}

/* ---- the page's files ---- */

static bool unchanged(const struct td_httpd_conn *c, const struct td_web_file *file)
{
    td_slice have = {NULL, 0};
    return td_http_field(&c->head, TD_STR("If-None-Match"), &have) == 1 &&
           td_http_list_has(have, td_slice_of(file->etag));
}

/* The smallest form that the client takes. */
static td_slice form_of(const struct td_httpd_conn *c, const struct td_web_file *file,
                        const char **coding)
{
    td_slice accepts = {NULL, 0};
    (void)td_http_field(&c->head, TD_STR("Accept-Encoding"), &accepts); /* none: plain only */
    if (file->brotli != NULL && td_http_list_has(accepts, TD_STR("br"))) {
        *coding = "br";
        return (td_slice){file->brotli, file->brotli_n};
    }
    if (file->gzip != NULL && td_http_list_has(accepts, TD_STR("gzip"))) {
        *coding = "gzip";
        return (td_slice){file->gzip, file->gzip_n};
    }
    *coding = NULL;
    return (td_slice){file->plain, file->plain_n};
}

static void file_answer(struct td_httpd_conn *c, const struct td_web_file *file)
{
    const char *coding = NULL;
    struct td_httpd_answer a = {.status = 304, .cache = "no-cache"};
    a.fields[a.field_count++] = (struct td_http_field){TD_STR("ETag"), td_slice_of(file->etag)};
    a.fields[a.field_count++] = (struct td_http_field){TD_STR("Vary"), TD_STR("Accept-Encoding")};
    if (file->immutable) {
        a.cache = "public, max-age=31536000, immutable";
    }
    if (!unchanged(c, file)) {
        a.status = 200;
        a.type = file->type;
        a.tail = form_of(c, file, &coding);
        if (coding != NULL) {
            a.fields[a.field_count++] =
                (struct td_http_field){TD_STR("Content-Encoding"), td_slice_of(coding)};
        }
    }
    td_httpd_answer(c, &a);
}

void td_httpd_page(struct td_httpd_conn *c)
{
    for (size_t i = 0; i < td_web_file_count; i++) {
        if (td_slice_eq(c->head.path, td_slice_of(td_web_files[i].path))) {
            file_answer(c, &td_web_files[i]);
            return;
        }
    }
    (void)refuse(c, 404, "path", c->head.path, "nothing is there",
                 "docs/api.md names the paths; the page is at /");
}
