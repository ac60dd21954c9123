/* http: bodies (RFC 9112, 6 and 7). The chunked one:
 *
 *     SIZE --digits, extensions, CRLF--> DATA --size bytes--> DATA_END --CRLF--> SIZE ...
 *       `--size 0--> TRAILER --lines--> empty line: IDLE
 *
 * Extensions and trailer fields are passed over, within bounds. */
#include "wire/http/inside.h"

enum state { IDLE, LENGTH, TO_END, SIZE_FIRST, SIZE, EXTENSION, DATA, DATA_END, TRAILER };

void td_http_init(struct td_http *h, enum td_http_role role, uint64_t body_bytes_max)
{
    *h = (struct td_http){.role = role, .body_bytes_max = body_bytes_max};
}

void td_http_body_begin(struct td_http *h, const struct td_http_head *head)
{
    static const unsigned char first[] = {[TD_HTTP_BODY_NONE] = IDLE,
                                          [TD_HTTP_BODY_LENGTH] = LENGTH,
                                          [TD_HTTP_BODY_CHUNKED] = SIZE_FIRST,
                                          [TD_HTTP_BODY_TO_END] = TO_END};
    h->state = first[head->body];
    h->left = head->body == TD_HTTP_BODY_LENGTH ? head->length : 0;
    h->body_bytes = 0;
    h->skipped = 0;
    h->place = 0;
}

static enum td_http_got broken(struct td_http *h, unsigned status, const char *rule)
{
    h->status = (uint16_t)status;
    h->rule = rule;
    return TD_HTTP_BROKEN;
}

static enum td_http_got bad_chunk(struct td_http *h)
{
    return broken(h, 400, "a chunk is its size in hex, CR LF, its bytes, CR LF (RFC 9112, 7.1)");
}

/* Up to `most` bytes of the body. */
static enum td_http_got piece_of(struct td_http *h, td_slice *in, uint64_t most, td_slice *piece)
{
    *piece = most < in->n ? td_slice_head(*in, (size_t)most) : *in;
    *in = td_slice_skip(*in, piece->n);
    h->body_bytes += piece->n;
    if (h->body_bytes > h->body_bytes_max) {
        return broken(h, 413, "the body is larger than what is taken here");
    }
    return TD_HTTP_PIECE;
}

/* Of a CR LF that must come now. True: it is complete. */
static bool line_end(struct td_http *h, uint8_t c, enum td_http_got *got)
{
    if (c != (h->place == 0 ? '\r' : '\n')) {
        *got = bad_chunk(h);
        return false;
    }
    h->place ^= 1;
    return h->place == 0;
}

/* The size is complete and its line has ended. */
static void chunk_begins(struct td_http *h)
{
    h->state = h->left > 0 ? DATA : TRAILER;
    h->skipped = 0;
}

static enum td_http_got size_byte(struct td_http *h, uint8_t c)
{
    enum td_http_got got = TD_HTTP_MORE;
    unsigned digit = td_http_hex(c);
    if (++h->skipped > TD_HTTP_CHUNK_LINE_MAX) {
        return bad_chunk(h);
    }
    if (h->state != EXTENSION && h->place == 0 && digit < 16) {
        if (h->left >> 56) {
            return bad_chunk(h);
        }
        h->left = h->left << 4 | digit;
        h->state = SIZE;
    } else if (h->state == SIZE_FIRST) {
        return bad_chunk(h);
    } else if (h->place > 0 || c == '\r') {
        if (line_end(h, c, &got)) {
            chunk_begins(h);
        }
    } else if (h->state == SIZE && c != ';') {
        return bad_chunk(h);
    } else {
        h->state = EXTENSION;
        got = (c < 0x20 && c != '\t') || c == 0x7F ? bad_chunk(h) : TD_HTTP_MORE;
    }
    if (got == TD_HTTP_MORE && h->state == DATA && h->left > h->body_bytes_max - h->body_bytes) {
        return broken(h, 413, "the body is larger than what is taken here");
    }
    return got;
}

/* Lines until an empty one. `place`: 0 in a line, 1 behind its CR, 2 at the start of one, 3 behind
 * the CR of the empty one. */
static enum td_http_got trailer_byte(struct td_http *h, uint8_t c)
{
    if (++h->skipped > TD_HTTP_TRAILER_BYTES_MAX) {
        return broken(h, 431, "the trailer is longer than what is taken here");
    }
    bool behind_cr = h->place % 2 == 1;
    if ((c == '\n') != behind_cr) {
        return bad_chunk(h);
    }
    if (h->place == 3) {
        h->state = IDLE;
        h->place = 0;
        return TD_HTTP_END;
    }
    h->place = behind_cr ? 2 : c != '\r' ? 0 : h->place == 2 ? 3 : 1;
    return TD_HTTP_MORE;
}

static enum td_http_got chunk_byte(struct td_http *h, uint8_t c)
{
    enum td_http_got got = TD_HTTP_MORE;
    if (h->state == TRAILER) {
        return trailer_byte(h, c);
    }
    if (h->state != DATA_END) {
        got = size_byte(h, c);
        if (h->state == TRAILER) {
            h->place = 2;
        }
    } else if (line_end(h, c, &got)) {
        h->state = SIZE_FIRST;
        h->skipped = 0;
    }
    return got;
}

static enum td_http_got chunked(struct td_http *h, td_slice *in, td_slice *piece)
{
    enum td_http_got got = TD_HTTP_MORE;
    while (in->n > 0 && got == TD_HTTP_MORE) {
        if (h->state == DATA) {
            got = piece_of(h, in, h->left, piece);
            h->left -= piece->n;
            h->state = h->left == 0 ? DATA_END : DATA;
        } else {
            got = chunk_byte(h, in->p[0]);
            *in = td_slice_skip(*in, 1);
        }
    }
    return got;
}

enum td_http_got td_http_body_next(struct td_http *h, td_slice *in, td_slice *piece)
{
    if (h->rule != NULL) {
        return TD_HTTP_BROKEN;
    }
    if (h->state == IDLE || (h->state == LENGTH && h->left == 0)) {
        h->state = IDLE;
        return TD_HTTP_END;
    }
    if (h->state >= SIZE_FIRST) {
        return chunked(h, in, piece);
    }
    if (in->n == 0) {
        return TD_HTTP_MORE;
    }
    enum td_http_got got = piece_of(h, in, h->state == LENGTH ? h->left : UINT64_MAX, piece);
    h->left -= h->state == LENGTH ? piece->n : 0;
    return got;
}

enum td_http_got td_http_closed(struct td_http *h)
{
    if (h->rule == NULL && h->seen == 0 &&
        (h->state == IDLE || h->state == TO_END || (h->state == LENGTH && h->left == 0))) {
        return TD_HTTP_END;
    }
    return broken(h, 400, "the connection was closed inside a message");
}
