/* One connection's bytes, cut as the first byte says: requests or responses, whole and in portions
 * must come to the same heads and the same number of body bytes. */
#include "base/base.h"
#include "wire/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct tally {
    size_t heads, body, ends;
    bool broken;
    unsigned status;
};

static struct tally run(enum td_http_role role, td_slice in, size_t step)
{
    struct td_http h;
    struct td_http_head head;
    struct tally t = {0};
    bool in_body = false;
    size_t have = step < in.n ? step : in.n;
    td_slice left = {in.p, have};
    td_http_init(&h, role, 4096);
    for (;;) {
        td_slice piece = {NULL, 0};
        enum td_http_got got =
            in_body ? td_http_body_next(&h, &left, &piece) : td_http_head_next(&h, left, &head);
        t.body += piece.n;
        if (got == TD_HTTP_HEAD) {
            td_assert(head.bytes <= left.n && head.bytes <= TD_HTTP_HEAD_BYTES_MAX);
            td_assert(head.field_count <= TD_HTTP_FIELDS_MAX);
            td_assert(head.body != TD_HTTP_BODY_LENGTH || head.length <= 4096);
            t.heads++;
            left = td_slice_skip(left, head.bytes);
            in_body = true;
        } else if (got == TD_HTTP_END) {
            t.ends++;
            in_body = false;
        } else if (got == TD_HTTP_BROKEN) {
            td_assert(h.rule != NULL && h.status >= 400);
            t.broken = true;
            t.status = h.status;
            return t;
        } else if (got == TD_HTTP_MORE) {
            if (have == in.n) {
                (void)td_http_closed(&h); /* either answer is right here */
                return t;
            }
            size_t more = step < in.n - have ? step : in.n - have;
            have += more;
            left.n += more;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1) {
        return 0;
    }
    enum td_http_role role = data[0] & 1 ? TD_HTTP_CLIENT : TD_HTTP_SERVER;
    td_slice in = {data + 1, n - 1};
    struct tally whole = run(role, in, in.n), cut = run(role, in, (size_t)(data[0] >> 1) + 1);
    td_assert(whole.heads == cut.heads && whole.ends == cut.ends && whole.body == cut.body);
    td_assert(whole.broken == cut.broken && whole.status == cut.status);
    return 0;
}
