/* fuzz: whatever stands in a log segment is read without harm. The input is a segment's bytes
 * behind two bytes: flags, and where the next segment's head says it ended. A flag seals what looks
 * like a record, since no fuzzer guesses a checksum. */
#include "store/rows.h"
#include "store/segment.h"
#include "store/state.h"

enum { SEAL = 1, OLDER = 2, BYTES_MAX = 65536 };

/* Gives each place that names a length inside the input a good record head. */
static void records_seal(uint8_t *p, size_t n, const struct td_segment_head *head)
{
    size_t at = TD_SEGMENT_HEAD;
    while (at + TD_RECORD_HEAD <= n) {
        size_t len = (size_t)p[at + 5] << 8 | p[at + 6];
        if (len > n - at - TD_RECORD_HEAD) {
            break;
        }
        if ((p[at] & 3) != 0) { /* one in four stays broken */
            td_record_seal(p + at, head->number, p[at + 7], head->first_lsn + at, len);
        }
        at += TD_RECORD_HEAD + len;
    }
}

static void payload_read(const struct td_record *rec, struct td_cell *cells)
{
    struct td_cursor c = td_cursor_of(rec->payload);
    struct td_rows_state state = {0};
    struct td_row row;
    while (td_rows_next(&c, &state, cells, &row)) {
    }
    c = td_cursor_of(rec->payload);
    for (struct td_op op; td_op_next(&c, &op);) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t bytes[BYTES_MAX];
    static struct td_cell cells[TD_STORE_COLUMNS_MAX];
    if (n < 2 || n - 2 > sizeof bytes) {
        return 0;
    }
    td_slice in = {bytes, n - 2};
    memcpy(bytes, data + 2, in.n);
    struct td_segment_head head = {.number = 5, .first_lsn = 1 << 20, .bytes = (uint32_t)in.n};
    (void)td_segment_head_decode(in, &head); /* else the one above */
    if ((data[0] & SEAL) != 0) {
        records_seal(bytes, in.n, &head);
    }
    struct td_segment_reader r;
    struct td_record rec;
    struct td_chain chain;
    uint64_t lsn, end = head.first_lsn + (uint64_t)data[1] * 256;
    td_slice batch;
    td_chain_init(&chain, BYTES_MAX);
    td_segment_read(&r, in, &head, (data[0] & OLDER) != 0 ? end : 0);
    while (td_segment_next(&r, &rec)) {
        payload_read(&rec, cells);
        (void)td_chain_take(&chain, &rec, &lsn, &batch); /* complete or not */
    }
    td_chain_fini(&chain);
    return 0;
}
