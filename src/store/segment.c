/* store: encoding and reading one log segment. Pure functions over bytes. */
#include "store/segment.h"

enum { HEAD_BYTES = 48, HEAD_COPY_AT = 256 };

static const uint8_t magic[6] = {'T', 'D', 'L', 'O', 'G', 0};

void td_segment_head_encode(const struct td_segment_head *head, uint8_t *out)
{
    memset(out, 0, TD_SEGMENT_HEAD);
    uint8_t *p = td_put_bytes(out, (td_slice){magic, sizeof magic});
    p = td_put_u16(p, TD_SEGMENT_VERSION);
    p = td_put_u64(p, head->number);
    p = td_put_u64(p, head->first_lsn);
    p = td_put_u64(p, head->prev_end);
    p = td_put_u64(p, head->keep);
    p = td_put_u32(p, head->bytes);
    p = td_put_u32(p, td_crc32c(0, (td_slice){out, HEAD_BYTES - 4}));
    td_assert(p == out + HEAD_BYTES);
    memcpy(out + HEAD_COPY_AT, out, HEAD_BYTES);
}

static enum td_err head_at(const uint8_t *p, struct td_segment_head *out)
{
    struct td_cursor c = td_cursor_of((td_slice){p, HEAD_BYTES});
    td_slice found = td_cursor_bytes(&c, sizeof magic);
    uint16_t version = td_cursor_u16(&c);
    struct td_segment_head head;
    head.number = td_cursor_u64(&c);
    head.first_lsn = td_cursor_u64(&c);
    head.prev_end = td_cursor_u64(&c);
    head.keep = td_cursor_u64(&c);
    head.bytes = td_cursor_u32(&c);
    if (!td_slice_eq(found, (td_slice){magic, sizeof magic}) ||
        td_cursor_u32(&c) != td_crc32c(0, (td_slice){p, HEAD_BYTES - 4})) {
        return TD_ECORRUPT;
    }
    if (version != TD_SEGMENT_VERSION) {
        return TD_EUNSUPPORTED;
    }
    if (head.number == 0 || head.keep > head.number || head.bytes < TD_SEGMENT_HEAD ||
        head.first_lsn > UINT64_MAX / 2) { /* so that no sum below wraps */
        return TD_ECORRUPT;
    }
    *out = head;
    return TD_OK;
}

enum td_err td_segment_head_decode(td_slice in, struct td_segment_head *out)
{
    if (in.n < TD_SEGMENT_HEAD) {
        return TD_ECORRUPT;
    }
    enum td_err err = head_at(in.p, out);
    return err == TD_ECORRUPT ? head_at(in.p + HEAD_COPY_AT, out) : err;
}

static uint32_t record_crc(uint64_t segment, td_slice behind)
{
    uint8_t seed[8];
    (void)td_put_u64(seed, segment);
    return td_crc32c(td_crc32c(0, (td_slice){seed, sizeof seed}), behind);
}

void td_record_seal(uint8_t *record, uint64_t segment, uint8_t kind, uint64_t lsn, size_t len)
{
    td_assert(len <= 0xFFFFFF);
    uint8_t *p = td_put_u24(record + 4, (uint32_t)len);
    p = td_put_u8(p, kind);
    (void)td_put_u64(p, lsn);
    (void)td_put_u32(record, record_crc(segment, (td_slice){record + 4, TD_RECORD_HEAD - 4 + len}));
}

/* ---- reading ---- */

void td_segment_read(struct td_segment_reader *r, td_slice bytes,
                     const struct td_segment_head *head, uint64_t end_lsn)
{
    size_t limit = bytes.n;
    if (end_lsn > head->first_lsn && end_lsn - head->first_lsn < limit) {
        limit = (size_t)(end_lsn - head->first_lsn);
    }
    *r = (struct td_segment_reader){.bytes = bytes,
                                    .head = *head,
                                    .at = TD_SEGMENT_HEAD,
                                    .limit = limit,
                                    .newest = end_lsn == 0};
}

/* The record at an offset, if a good one stands there. */
static bool record_at(const struct td_segment_reader *r, size_t at, struct td_record *out)
{
    if (at > r->limit || r->limit - at < TD_RECORD_HEAD) {
        return false;
    }
    struct td_cursor c = td_cursor_of((td_slice){r->bytes.p + at, r->limit - at});
    uint32_t crc = td_cursor_u32(&c);
    size_t len = td_cursor_u24(&c);
    uint8_t kind = td_cursor_u8(&c);
    uint64_t lsn = td_cursor_u64(&c);
    if (lsn != r->head.first_lsn + at || len > r->limit - at - TD_RECORD_HEAD ||
        crc !=
            record_crc(r->head.number, (td_slice){r->bytes.p + at + 4, TD_RECORD_HEAD - 4 + len})) {
        return false;
    }
    *out = (struct td_record){kind, lsn, lsn + TD_RECORD_HEAD + len, td_cursor_bytes(&c, len)};
    return true;
}

/* The first good record at or behind `at`. Its LSN names its place, so nearly all places are ruled
 * out by one comparison. */
static bool record_from(const struct td_segment_reader *r, size_t at, struct td_record *out)
{
    for (; at + TD_RECORD_HEAD <= r->limit; at++) {
        uint8_t lsn[8];
        (void)td_put_u64(lsn, r->head.first_lsn + at);
        if (memcmp(r->bytes.p + at + 8, lsn, sizeof lsn) == 0 && record_at(r, at, out)) {
            return true;
        }
    }
    return false;
}

static size_t place_of(const struct td_segment_reader *r, uint64_t lsn)
{
    return (size_t)(lsn - r->head.first_lsn);
}

/* Whether a commit that began behind `bad` was written: then `bad` was durable once. */
static bool was_durable(struct td_segment_reader *r, size_t bad)
{
    struct td_record rec;
    if (r->proven_lsn > r->head.first_lsn + bad) {
        return true;
    }
    for (size_t at = bad + 1; record_from(r, at, &rec); at = place_of(r, rec.end)) {
        struct td_cursor c = td_cursor_of(rec.payload);
        uint64_t began = td_cursor_u64(&c);
        if (rec.kind == TD_RECORD_COMMIT && c.err == TD_OK && began > r->head.first_lsn + bad) {
            r->proven_lsn = began;
            return true;
        }
    }
    return false;
}

/* Steps over a bad place; false: nothing good follows, or only the rest of a torn commit. */
static bool step_over(struct td_segment_reader *r)
{
    bool at_end = r->limit - r->at < TD_RECORD_HEAD;
    if (at_end || (r->newest && !was_durable(r, r->at))) {
        r->limit = r->at;
        return false;
    }
    r->damaged++;
    r->bad_lsn = r->head.first_lsn + r->at;
    struct td_record next;
    r->at = record_from(r, r->at + 1, &next) ? place_of(r, next.lsn) : r->limit;
    return true;
}

bool td_segment_next(struct td_segment_reader *r, struct td_record *out)
{
    for (;;) {
        struct td_record rec;
        if (r->at > r->limit) {
            return false;
        }
        if (!record_at(r, r->at, &rec)) {
            if (!step_over(r)) {
                return false;
            }
            continue;
        }
        r->at = place_of(r, rec.end);
        if (rec.kind != TD_RECORD_COMMIT) {
            *out = rec;
            return true;
        }
    }
}
