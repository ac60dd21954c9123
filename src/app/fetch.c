/* app: one HTTP request over linux/, waited for. */
#include "app/fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "wire/http/http.h"

enum { READ_BYTES = 65536 };

struct fetch {
    struct td_linux *l;
    struct td_sys *sys;
    int stream;
    struct td_buf sent, in; /* the request; what was read and not yet understood */
    size_t sent_n;
    struct td_http http;
    bool in_body, over;
    unsigned status;
    struct td_buf *out;
    enum td_err err;
};

static enum td_err request_make(struct fetch *f, const struct td_app_request *r)
{
    char bearer[256];
    struct td_http_field fields[2] = {{TD_STR("Content-Type"), TD_STR("application/json")}};
    size_t first = r->body.n > 0 ? 0 : 1, count = 1;
    const char *token = getenv("TANDEM_TOKEN");
    if (token != NULL && snprintf(bearer, sizeof bearer, "Bearer %s", token) < 256) {
        fields[count++] = (struct td_http_field){TD_STR("Authorization"), td_slice_of(bearer)};
    }
    const struct td_http_send send = {.method = td_slice_of(r->method),
                                      .target = r->path,
                                      .host = td_slice_of(r->address),
                                      .body =
                                          r->body.n > 0 ? TD_HTTP_BODY_LENGTH : TD_HTTP_BODY_NONE,
                                      .length = r->body.n,
                                      .close = true,
                                      .fields = fields + first,
                                      .field_count = count - first};
    size_t n = td_http_send_size(&send);
    enum td_err err = td_buf_reserve(&f->sent, n + r->body.n);
    if (err == TD_OK) {
        (void)td_http_send_put(f->sent.p, &send); /* as long as it said */
        f->sent.n = n;
        err = td_buf_add(&f->sent, r->body);
    }
    return err;
}

static void request_write(struct fetch *f)
{
    while (f->sent_n < f->sent.n && f->err == TD_OK) {
        td_slice rest = td_slice_skip(td_buf_slice(&f->sent), f->sent_n);
        size_t sent = 0;
        enum td_err err = f->sys->write(f->sys, f->stream, &rest, 1, &sent);
        if (err == TD_EAGAIN) {
            f->sys->watch(f->sys, f->stream, TD_SYS_READ | TD_SYS_WRITE);
            return;
        }
        f->err = err;
        f->sent_n += sent;
    }
    f->sys->watch(f->sys, f->stream, TD_SYS_READ);
}

/* Takes what can be taken from the front of `in`. */
static void response_take(struct fetch *f)
{
    td_slice in = td_buf_slice(&f->in);
    enum td_http_got got = TD_HTTP_PIECE;
    while (!f->over && f->err == TD_OK && (got == TD_HTTP_PIECE || got == TD_HTTP_HEAD)) {
        td_slice piece = {NULL, 0};
        struct td_http_head head;
        if (f->in_body) {
            got = td_http_body_next(&f->http, &in, &piece);
        } else if ((got = td_http_head_next(&f->http, in, &head)) == TD_HTTP_HEAD) {
            in = td_slice_skip(in, head.bytes);
            f->status = head.status;
            f->in_body = true;
        }
        if (got == TD_HTTP_PIECE) {
            f->err = td_buf_add(f->out, piece);
        }
        f->over = got == TD_HTTP_END;
        f->err = got == TD_HTTP_BROKEN ? TD_EPROTO : f->err;
    }
    td_buf_drop(&f->in, f->in.n - in.n);
}

static void response_read(struct fetch *f)
{
    size_t got = 0;
    f->err = td_buf_reserve(&f->in, READ_BYTES);
    enum td_err err = f->err != TD_OK
                          ? f->err
                          : f->sys->read(f->sys, f->stream, f->in.p + f->in.n, READ_BYTES, &got);
    if (err == TD_EAGAIN) {
        return;
    }
    if (err == TD_OK) {
        f->in.n += got;
        response_take(f);
    } else if (f->in_body && td_http_closed(&f->http) == TD_HTTP_END) {
        f->over = true;
    } else {
        f->err = TD_ECLOSED;
    }
}

static void fetch_wait(struct fetch *f, td_mono until)
{
    while (!f->over && f->err == TD_OK) {
        struct td_sys_event e;
        if (!td_app_loop_wait(f->l, until) || f->sys->mono(f->sys) >= until) {
            f->err = TD_EAGAIN;
        }
        while (f->err == TD_OK && !f->over && td_linux_next(f->l, &e)) {
            if ((e.ready & TD_SYS_WRITE) != 0) {
                request_write(f);
            }
            if (f->err == TD_OK && (e.ready & (TD_SYS_READ | TD_SYS_HANGUP)) != 0) {
                response_read(f);
            }
        }
    }
}

static void tell(enum td_err err, const char *address, struct td_buf *why)
{
    const char *what = err == TD_ECLOSED || err == TD_EIO ? "nobody answers there"
                       : err == TD_EAGAIN                 ? "no answer in time"
                       : err == TD_EPROTO                 ? "what answers does not speak HTTP"
                                                          : td_err_text(err);
    (void)td_buf_printf(why, "%s: %s; is the hub running there (tandem serve --http %s)?", address,
                        what, address);
}

enum td_err td_app_fetch(struct td_linux *l, const struct td_app_request *r, struct td_buf *out,
                         unsigned *status, struct td_buf *why)
{
    struct fetch f = {.l = l, .sys = td_linux_sys(l), .out = out, .stream = -1};
    td_buf_init(&f.sent, r->body.n + TD_HTTP_HEAD_BYTES_MAX);
    td_buf_init(&f.in, TD_HTTP_HEAD_BYTES_MAX + 2 * READ_BYTES);
    td_http_init(&f.http, TD_HTTP_CLIENT, UINT64_MAX);
    f.err = request_make(&f, r);
    if (f.err == TD_OK) {
        f.err = f.sys->connect(
            f.sys, &(struct td_sys_connect){.address = td_slice_of(r->address), .owner = &f},
            &f.stream);
    }
    if (f.err == TD_OK) {
        f.sys->watch(f.sys, f.stream, TD_SYS_READ | TD_SYS_WRITE);
        fetch_wait(&f, td_mono_after(f.sys->mono(f.sys), r->wait_ms));
    }
    if (f.stream >= 0) {
        f.sys->close(f.sys, f.stream);
    }
    if (f.err != TD_OK) {
        tell(f.err, r->address, why);
    } else {
        *status = f.status;
    }
    td_buf_fini(&f.sent);
    td_buf_fini(&f.in);
    return f.err;
}

/* ---- for commands ---- */

void td_app_problem_say(const char *command, td_slice body, unsigned status)
{
    struct td_json j;
    struct td_json_token t, key = {.kind = TD_JSON_END};
    struct td_buf said;
    td_buf_init(&said, body.n);
    td_json_init(&j, body);
    while (td_json_next(&j, &t) != TD_JSON_END && t.kind != TD_JSON_ERROR) {
        bool detail = key.kind == TD_JSON_KEY && td_json_is(&key, TD_STR("detail"));
        bool title = key.kind == TD_JSON_KEY && td_json_is(&key, TD_STR("title"));
        if (t.kind == TD_JSON_STRING && (detail || (title && said.n == 0))) {
            td_buf_clear(&said);
            (void)td_json_unescape(&t, &said); /* what it says is no longer than the body */
        }
        key = t;
    }
    (void)fprintf(stderr, "tandem %s: %.*s (HTTP status %u)\n", command, (int)said.n,
                  said.n > 0 ? (const char *)said.p : "", status);
    td_buf_fini(&said);
}

bool td_app_fetch_or_say(struct td_linux *l, const struct td_app_request *request,
                         const char *command, struct td_buf *out)
{
    struct td_buf why;
    unsigned status = 0;
    td_buf_init(&why, 4096);
    enum td_err err = td_app_fetch(l, request, out, &status, &why);
    if (err != TD_OK) {
        (void)fprintf(stderr, "tandem %s: %.*s\n", command, (int)why.n, (const char *)why.p);
    } else if (status != 200) {
        td_app_problem_say(command, td_buf_slice(out), status);
    }
    td_buf_fini(&why);
    return err == TD_OK && status == 200;
}

void td_app_quote(struct td_buf *out, td_slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t b = text.p[i];
        bool plain = td_in(b, '0', '9') || td_in(b, 'A', 'Z') || td_in(b, 'a', 'z') || b == '-' ||
                     b == '.' || b == '_' || b == '~';
        (void)(plain ? td_buf_add_u8(out, b) : td_buf_printf(out, "%%%02X", b));
    }
}
