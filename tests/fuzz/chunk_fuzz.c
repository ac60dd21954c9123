/* fuzz: a chunk's decoder believes nothing; what it accepts it can encode again to the same values.
 * The input is u16 rows, u16 length of the head, head, data; checksums are put right first. */
#include "store/chunk.h"
#include "store/codec.h"

#include <stdlib.h>

static void put_le32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static bool same_number(struct td_value a, struct td_value b)
{
    if (a.type == TD_VALUE_INT && b.type == TD_VALUE_FLOAT) {
        return (double)a.as.i == b.as.f;
    }
    return td_value_same(a, b);
}

/* Encodes the block and compares what comes back. */
static void round_trip(const struct td_block *b)
{
    struct td_chunk chunk;
    struct td_block *back = NULL;
    uint32_t n;
    uint32_t *order = td_block_order(b, 0, b->n, &n);
    td_chunk_encode(b, 0, b->n, &chunk);
    td_assert(td_chunk_decode(td_buf_slice(&chunk.head), td_buf_slice(&chunk.data), n, &back) ==
              TD_OK);
    for (uint32_t i = 0; i < n; i++) {
        td_assert(back->ts[i] == b->ts[order[i]]);
        for (uint32_t c = 0; c < b->columns; c++) {
            td_assert(same_number(td_block_get(b, order[i], c), td_block_get(back, i, c)));
        }
    }
    free(order);
    td_block_unref(back);
    td_chunk_fini(&chunk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 4 || n > 65536) {
        return 0;
    }
    struct td_cursor c = td_cursor_of((td_slice){data, n});
    uint32_t rows = td_cursor_u16(&c);
    td_slice head = td_cursor_bytes(&c, td_cursor_u16(&c));
    if (c.err != TD_OK || head.n < 12) {
        return 0;
    }
    td_slice body = {c.p, td_cursor_left(&c)};
    uint8_t *copy = malloc(head.n);
    memcpy(copy, head.p, head.n);
    copy[0] = TD_CHUNK_VERSION;
    put_le32(copy + 4, td_crc32c(0, body));
    put_le32(copy + head.n - 4, td_crc32c(0, (td_slice){copy, head.n - 4}));
    struct td_block *b;
    if (td_chunk_decode((td_slice){copy, head.n}, body, rows, &b) == TD_OK) {
        round_trip(b);
        td_block_unref(b);
    }
    free(copy);
    return 0;
}
