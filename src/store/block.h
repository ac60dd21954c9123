/* store: rows of one stream in RAM, column by column, in order of arrival.
 *
 *   ts[]  lsn[]   column 0: tag[] bits[]   column 1: -   column 2: tag[] bits[] ...   text bytes
 *
 * A block is shared with readers on other threads without locks: rows are only ever added behind
 * those a reader knows of, and whatever would move memory while someone shares it makes a new block
 * instead. References are counted by the loop's thread alone; readers get theirs before their work
 * starts and give it back after it ended. */
#ifndef TD_STORE_BLOCK_H
#define TD_STORE_BLOCK_H

#include "store/rows.h"

enum { TD_BLOCK_ROWS_MAX = 1024 };

struct td_block_column {
    uint8_t *tag;   /* enum td_value_type a row; NULL: no row has this column */
    uint64_t *bits; /* bool, int, double as they are; text: offset << 16 | length */
};

struct td_block {
    uint32_t refs;
    uint32_t n, cap;
    uint32_t columns; /* slots in `column` */
    int64_t *ts;
    uint64_t *lsn; /* behind each row; ascending */
    struct td_block_column *column;
    uint8_t *text;
    size_t text_n, text_cap;
    size_t bytes; /* allocated in all */
};

struct td_block *td_block_new(void);
struct td_block *td_block_ref(struct td_block *b);
void td_block_unref(struct td_block *b);
/* Appends a row; *b may become another block. The row must fit: n < TD_BLOCK_ROWS_MAX. */
void td_block_add(struct td_block **b, const struct td_row *row, uint64_t lsn);
/* A new block with rows from..n-1 of b. */
struct td_block *td_block_tail(const struct td_block *b, uint32_t from);
/* One cell; none if absent. Text is borrowed. */
struct td_value td_block_get(const struct td_block *b, uint32_t row, uint32_t column);
/* The cells of a row that are there, into cells[]; gives their number. */
size_t td_block_row(const struct td_block *b, uint32_t row,
                    struct td_cell cells[TD_STORE_COLUMNS_MAX]);

#endif
