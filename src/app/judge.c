/* app: another program that judges passwords, asked by HTTP from a lane that may wait:
 *
 *     POST /path   {"user":"anna","password":"...","address":"127.0.0.1"}
 *     200: it is right; anything else, or no answer within 3 s: it is not
 *
 * Plain HTTP to a numeric address: it is meant for a program on this machine. */
#include "app/judge.h"

#include "base/json.h"
#include "guard/guard.h"
#include "linux/linux.h"
#include "wire/http/http.h"

enum { WAIT_MS = 3000, QUESTION_BYTES_MAX = 64 * 1024, ANSWER_BYTES_MAX = 64 * 1024 };

/* "http://ADDRESS:PORT/PATH" */
static bool url_split(const char *url, td_slice *address, td_slice *path)
{
    td_slice u = td_slice_of(url), rest = td_slice_skip(u, 7);
    *address = td_slice_head(rest, td_slice_find(rest, '/'));
    *path = td_slice_skip(rest, address->n);
    return td_slice_starts(u, TD_STR("http://")) && path->n > 0;
}

bool td_app_judge_valid(const char *url)
{
    td_slice address, path;
    return url_split(url, &address, &path) && td_linux_address_valid(address);
}

static enum td_err question_make(td_slice address, td_slice path, td_slice body, struct td_buf *out)
{
    const struct td_http_field fields[] = {{TD_STR("Content-Type"), TD_STR("application/json")}};
    const struct td_http_send send = {.method = TD_STR("POST"),
                                      .target = path,
                                      .host = address,
                                      .body = TD_HTTP_BODY_LENGTH,
                                      .length = body.n,
                                      .close = true,
                                      .fields = fields,
                                      .field_count = TD_COUNT(fields)};
    size_t n = td_http_send_size(&send);
    enum td_err err = td_buf_reserve(out, n + body.n);
    if (err == TD_OK) {
        (void)td_http_send_put(out->p, &send);
        out->n = n;
        err = td_buf_add(out, body);
    }
    return err;
}

static bool answer_is_yes(td_slice answer)
{
    struct td_http http;
    struct td_http_head head;
    td_http_init(&http, TD_HTTP_CLIENT, ANSWER_BYTES_MAX);
    return td_http_head_next(&http, answer, &head) == TD_HTTP_HEAD && head.status == 200;
}

static enum td_err body_make(td_slice name, td_slice password, td_slice address, struct td_buf *out)
{
    struct td_json_out o = td_json_out(out);
    td_json_open(&o, '{');
    td_json_key(&o, "user");
    td_json_string(&o, name);
    td_json_key(&o, "password");
    td_json_string(&o, password);
    td_json_key(&o, "address");
    td_json_string(&o, address);
    td_json_close(&o, '}');
    return o.err;
}

bool td_app_judge(void *url, td_slice name, td_slice password, td_slice from)
{
    struct td_buf body, question, answer;
    td_slice address, path;
    bool yes = false;
    if (!url_split(url, &address, &path) || !td_utf8_valid(password)) { /* JSON is UTF-8 */
        return false;
    }
    td_buf_init(&body, QUESTION_BYTES_MAX);
    td_buf_init(&question, QUESTION_BYTES_MAX);
    td_buf_init(&answer, ANSWER_BYTES_MAX);
    if (body_make(name, password, from, &body) == TD_OK &&
        question_make(address, path, td_buf_slice(&body), &question) == TD_OK &&
        td_linux_exchange(address, td_buf_slice(&question), WAIT_MS, &answer) == TD_OK) {
        yes = answer_is_yes(td_buf_slice(&answer));
    }
    td_guard_forget(body.p, body.n);
    td_guard_forget(question.p, question.n);
    td_buf_fini(&body);
    td_buf_fini(&question);
    td_buf_fini(&answer);
    return yes;
}
