/* store: rows as bytes, in the log's records of kind ROWS and HEAD_ROWS, and single values, which
 * chunks use too.
 *
 *   rows  := row*
 *   row   := varint (zz(stream - previous stream) << 3 | dense << 2 | unit)
 *            varint zz((ts - previous ts) / unit)      unit 0..3: ns, us, ms, s
 *            varint count
 *            (dense ? value : varint column, value) * count        dense: columns 0..count-1
 *   value := u8 tag, then by tag & 7:
 *            0 none   1 false   2 true   3 varint zz(int)
 *            4 varint zz(k): the double k / 10^(tag >> 3)   5 8 bytes: a double, little-endian
 *            6 lump: text
 *
 * Deltas begin at 0 in each record, so a record is readable alone. A double takes form 4 only if
 * that gives its bits back. */
#ifndef TD_STORE_ROWS_H
#define TD_STORE_ROWS_H

#include "base/base.h"
#include "store/store.h"

struct td_row {
    uint32_t stream;
    td_wall ts;
    const struct td_cell *cells;
    size_t count;
};

/* What the next row is a difference to; zeroed at the start of a record. */
struct td_rows_state {
    uint32_t stream;
    td_wall ts;
};

/* Appends a row to `out`. Errors of the buffer. */
enum td_err td_rows_encode(struct td_buf *out, struct td_rows_state *state,
                           const struct td_row *row);
/* The next row; its cells stand in `cells`, texts are borrowed. False: the end, or c->err. A row
 * names at most TD_STORE_COLUMNS_MAX columns. */
bool td_rows_next(struct td_cursor *c, struct td_rows_state *state,
                  struct td_cell cells[TD_STORE_COLUMNS_MAX], struct td_row *out);

enum td_err td_value_encode(struct td_buf *out, struct td_value v);
/* On a broken value c->err is set and a value of type none given. */
struct td_value td_value_decode(struct td_cursor *c);

/* v as k / 10^e with the least e <= 9 that gives v's bits back; false: none does. */
bool td_decimal_of(double v, int64_t *k, unsigned *e);
/* k / 10^e, e <= 22. */
double td_decimal_value(int64_t k, unsigned e);

/* A double's bits and back. */
uint64_t td_bits_of(double v);
double td_bits_value(uint64_t bits);

#endif
