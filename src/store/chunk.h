/* store: a chunk, a run of rows of one stream as two blobs.
 *
 *   head   := u8 version | u8 flags | u16 k | u32 crc of data | u8 exponent | u32 ts bytes
 *             | column * k | u32 crc of head
 *   column := u16 id | u8 type | u8 codec | u32 offset | u32 len | u16 present
 *             (flags & 1 ? f64 min max sum sumsq first last : nothing)
 *   data   := ts block | for each column: presence bits if some rows lack it, values
 *
 * Little-endian. `offset` is where the column's bytes stand in data, its presence bits included.
 * Flag 1 (from 32 rows on) gives numeric columns their statistics, NaN left out. The number of rows
 * comes from the directory. Each row keeps what it was given: bits of doubles, ints, texts. */
#ifndef TD_STORE_CHUNK_H
#define TD_STORE_CHUNK_H

#include "store/block.h"

enum { TD_CHUNK_VERSION = 1, TD_CHUNK_ROWS_MAX = 4096 };

struct td_chunk {
    int64_t t0, t1; /* first and last ts */
    uint32_t n;     /* rows: one for each ts */
    uint64_t seq;   /* the highest LSN inside */
    struct td_buf head, data;
};

/* Encodes rows from..to-1 of a block: sorted by ts, of equal ones the last. */
void td_chunk_encode(const struct td_block *b, uint32_t from, uint32_t to, struct td_chunk *out);
void td_chunk_fini(struct td_chunk *chunk);
/* Gives a block of n rows in order of ts. TD_ECORRUPT; TD_EUNSUPPORTED: a later version. */
enum td_err td_chunk_decode(td_slice head, td_slice data, uint32_t n, struct td_block **out);

/* Row numbers from..to-1 in order of ts, of equal ones the last; free() the array. */
uint32_t *td_block_order(const struct td_block *b, uint32_t from, uint32_t to, uint32_t *count);

#endif
