/* spec: frames. */
#include "spec/frames.h"

enum { FRAME_MOST = 7, BINARY = 0x82, CLOSE = 0x88, PONG = 0x8A };

/* The example of RFC 6455, 1.3: a key and what must come back for it. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void put(struct td_buf *out, td_slice bytes)
{
    td_assert(td_buf_add(out, bytes) == TD_OK);
}

void spec_frames_begin(struct spec_line *line, td_slice protocol)
{
    line->upgraded = false;
    put(&line->wire, TD_STR("GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                            "Sec-WebSocket-Key: " KEY "\r\n"));
    if (protocol.n > 0) {
        put(&line->wire, TD_STR("Sec-WebSocket-Protocol: "));
        put(&line->wire, protocol);
        put(&line->wire, TD_STR("\r\n"));
    }
    put(&line->wire, TD_STR("\r\n"));
}

void spec_frames_put(struct spec_line *line, uint8_t first, td_slice payload)
{
    static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    td_assert(payload.n < 126);
    uint8_t head[2] = {first, (uint8_t)(0x80 | payload.n)};
    put(&line->wire, (td_slice){head, sizeof head});
    put(&line->wire, (td_slice){mask, sizeof mask});
    for (size_t i = 0; i < payload.n; i++) {
        uint8_t byte = payload.p[i] ^ mask[i & 3];
        put(&line->wire, (td_slice){&byte, 1});
    }
}

void spec_frames_wrap(struct spec_line *line)
{
    td_slice rest = td_buf_slice(&line->out);
    for (; rest.n > 0; rest = td_slice_skip(rest, FRAME_MOST)) {
        spec_frames_put(line, BINARY, td_slice_head(rest, FRAME_MOST));
    }
    td_buf_clear(&line->out);
}

static size_t find(td_slice in, td_slice part)
{
    for (size_t i = 0; i + part.n <= in.n; i++) {
        if (memcmp(in.p + i, part.p, part.n) == 0) {
            return i;
        }
    }
    return in.n;
}

static bool contains(td_slice in, const char *part)
{
    return find(in, td_slice_of(part)) < in.n;
}

/* False: it is no upgrade to MQTT. */
static bool answer_take(struct spec_line *line)
{
    td_slice in = td_buf_slice(&line->raw);
    size_t end = find(in, TD_STR("\r\n\r\n"));
    if (end == in.n) {
        return true;
    }
    td_slice head = td_slice_head(in, end + 2);
    bool good = td_slice_starts(head, TD_STR("HTTP/1.1 101 ")) && contains(head, ACCEPT) &&
                (contains(head, "Sec-WebSocket-Protocol: mqtt\r\n") ||
                 contains(head, "sec-websocket-protocol: mqtt\r\n"));
    line->upgraded = good;
    td_buf_drop(&line->raw, end + 4);
    return good;
}

/* Bytes of the frame at the front, with its head in *head; 0: not whole. */
static size_t frame_whole(td_slice in, size_t *head)
{
    if (in.n < 2) {
        return 0;
    }
    size_t n = in.p[1] & 0x7F;
    *head = n < 126 ? 2 : n == 126 ? 4 : 10;
    if (in.n < *head) {
        return 0;
    }
    for (size_t i = 2, wide = 0; n >= 126 && i <= *head; i++) {
        if (i == *head) {
            n = wide;
            break;
        }
        wide = wide << 8 | in.p[i];
    }
    return in.n < *head + n ? 0 : *head + n;
}

bool spec_frames_unwrap(struct spec_line *line)
{
    size_t n, head;
    if (!line->upgraded && !answer_take(line)) {
        return false;
    }
    while (line->upgraded && (n = frame_whole(td_buf_slice(&line->raw), &head)) > 0) {
        uint8_t first = line->raw.p[0];
        bool masked = (line->raw.p[1] & 0x80) != 0;
        if (masked || (first != BINARY && first != CLOSE && first != PONG)) {
            return false;
        }
        if (first == BINARY) {
            put(&line->in, (td_slice){line->raw.p + head, n - head});
        }
        td_buf_drop(&line->raw, n);
    }
    return true;
}
