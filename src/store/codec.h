/* store: one column of a chunk as bytes.
 *
 * A codec is a row of one table; its number stands in the chunk, so the table only ever grows. The
 * encoder tries all that fit and takes the smallest. Decoders believe nothing: lengths, widths and
 * counts are checked, left-over bytes are an error.
 *
 *   CONST    8 bytes                              all values have the same bits
 *   BITS     n bits, least first                  bool
 *   DELTA    varint zz(difference) * n            int
 *   RAW      8 bytes * n, little-endian           any number
 *   XOR      (u8 lead << 4 | bytes, bytes) * n    double: xor with the one before, without the zero
 *                                                 bytes around it
 *   DECIMAL  u8 e, varint zz(difference of k) * n double = k / 10^e, bit for bit
 *   TEXT     (varint length + 1, bytes | 0) * n   0: as the one before
 *   TAGGED   value * n, rows.h                    a column of several types */
#ifndef TD_STORE_CODEC_H
#define TD_STORE_CODEC_H

#include "store/rows.h"

/* Types of a chunk's column: enum td_value_type, and ANY for a mixture. */
enum { TD_COLUMN_ANY = 5 };

enum td_codec_id {
    TD_CODEC_CONST = 1,
    TD_CODEC_BITS,
    TD_CODEC_DELTA,
    TD_CODEC_RAW,
    TD_CODEC_XOR,
    TD_CODEC_DECIMAL,
    TD_CODEC_TEXT,
    TD_CODEC_TAGGED,
    TD_CODEC_COUNT
};

/* The values of a column that are present, densely. */
struct td_column {
    uint8_t type; /* of all, or ANY */
    size_t n, cap;
    uint8_t *tag;   /* enum td_value_type of each */
    uint64_t *bits; /* as in a block: text is offset << 16 | length */
    struct td_buf text;
};

void td_column_init(struct td_column *c, size_t cap);
void td_column_fini(struct td_column *c);
void td_column_add(struct td_column *c, struct td_value v);
struct td_value td_column_get(const struct td_column *c, size_t at);
/* Decides the type and brings the values to it: ints among doubles become doubles if all of them
 * are exact, else the column is ANY. */
void td_column_settle(struct td_column *c);

/* Appends the smallest form to `out`; gives its codec. */
enum td_codec_id td_column_encode(const struct td_column *c, struct td_buf *out);
/* Fills an empty column with n <= cap values of `type`. TD_ECORRUPT. */
enum td_err td_column_decode(struct td_column *c, uint8_t type, unsigned codec, size_t n,
                             td_slice in);
const char *td_codec_name(unsigned codec);

/* Timestamps: u8 exponent outside, varint zz(delta of delta) * n inside. */
void td_times_encode(const int64_t *ts, size_t n, unsigned exponent, struct td_buf *out);
/* The largest of 0, 3, 6, 9 whose power of ten divides all. */
unsigned td_times_exponent(const int64_t *ts, size_t n);
enum td_err td_times_decode(td_slice in, unsigned exponent, int64_t *ts, size_t n);

#endif
