/* store: rows of one stream in RAM. */
#include "store/block.h"

#include <stdlib.h>

enum { ROWS_FIRST = 16 };

struct td_block *td_block_new(void)
{
    struct td_block *b = td_alloc(sizeof *b);
    b->refs = 1;
    b->bytes = sizeof *b;
    return b;
}

struct td_block *td_block_ref(struct td_block *b)
{
    b->refs++;
    return b;
}

void td_block_unref(struct td_block *b)
{
    td_assert(b->refs > 0);
    if (--b->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < b->columns; i++) {
        free(b->column[i].tag);
        free(b->column[i].bits);
    }
    free(b->column);
    free(b->ts);
    free(b->lsn);
    free(b->text);
    free(b);
}

/* ---- making room, only in a block that nobody shares ---- */

static void bytes_count(struct td_block *b)
{
    b->bytes = sizeof *b + (size_t)b->cap * 16 + b->columns * sizeof *b->column + b->text_cap;
    for (uint32_t i = 0; i < b->columns; i++) {
        b->bytes += b->column[i].tag != NULL ? (size_t)b->cap * 9 : 0;
    }
}

static void rows_grow(struct td_block *b, uint32_t cap)
{
    b->ts = td_realloc(b->ts, cap * sizeof *b->ts);
    b->lsn = td_realloc(b->lsn, cap * sizeof *b->lsn);
    for (uint32_t i = 0; i < b->columns; i++) {
        struct td_block_column *c = &b->column[i];
        if (c->tag != NULL) {
            c->tag = td_realloc(c->tag, cap);
            c->bits = td_realloc(c->bits, cap * sizeof *c->bits);
            memset(c->tag + b->cap, TD_VALUE_NONE, cap - b->cap);
        }
    }
    b->cap = cap;
}

static void column_make(struct td_block *b, uint32_t column)
{
    if (column >= b->columns) {
        uint32_t columns = column + 1;
        b->column = td_realloc(b->column, columns * sizeof *b->column);
        memset(b->column + b->columns, 0, (columns - b->columns) * sizeof *b->column);
        b->columns = columns;
    }
    struct td_block_column *c = &b->column[column];
    c->tag = td_alloc(b->cap); /* zeroed: TD_VALUE_NONE */
    c->bits = td_alloc(b->cap * sizeof *c->bits);
}

static bool column_there(const struct td_block *b, uint32_t column)
{
    return column < b->columns && b->column[column].tag != NULL;
}

static size_t text_bytes(const struct td_row *row)
{
    size_t n = 0;
    for (size_t i = 0; i < row->count; i++) {
        n += row->cells[i].value.type == TD_VALUE_TEXT ? row->cells[i].value.as.text.n : 0;
    }
    return n;
}

static bool row_fits(const struct td_block *b, const struct td_row *row)
{
    if (b->n == b->cap || text_bytes(row) > b->text_cap - b->text_n) {
        return false;
    }
    for (size_t i = 0; i < row->count; i++) {
        if (row->cells[i].value.type != TD_VALUE_NONE && !column_there(b, row->cells[i].column)) {
            return false;
        }
    }
    return true;
}

static void room_make(struct td_block *b, const struct td_row *row)
{
    if (b->n == b->cap) {
        rows_grow(b, b->cap == 0 ? ROWS_FIRST : b->cap * 2);
    }
    for (size_t i = 0; i < row->count; i++) {
        if (row->cells[i].value.type != TD_VALUE_NONE && !column_there(b, row->cells[i].column)) {
            column_make(b, row->cells[i].column);
        }
    }
    size_t need = b->text_n + text_bytes(row);
    if (need > b->text_cap) {
        b->text_cap = need * 2;
        b->text = td_realloc(b->text, b->text_cap);
    }
    bytes_count(b);
}

static void row_put(struct td_block *b, const struct td_row *row, uint64_t lsn)
{
    uint32_t at = b->n;
    b->ts[at] = row->ts;
    b->lsn[at] = lsn;
    for (size_t i = 0; i < row->count; i++) {
        struct td_value v = row->cells[i].value;
        if (v.type == TD_VALUE_NONE) {
            continue;
        }
        struct td_block_column *c = &b->column[row->cells[i].column];
        c->tag[at] = (uint8_t)v.type;
        c->bits[at] = v.type == TD_VALUE_BOOL ? v.as.b : (uint64_t)v.as.i;
        if (v.type == TD_VALUE_FLOAT) {
            c->bits[at] = td_bits_of(v.as.f);
        } else if (v.type == TD_VALUE_TEXT) {
            c->bits[at] = (uint64_t)b->text_n << 16 | v.as.text.n;
            (void)td_put_bytes(b->text + b->text_n, v.as.text);
            b->text_n += v.as.text.n;
        }
    }
    b->n++;
}

void td_block_add(struct td_block **b, const struct td_row *row, uint64_t lsn)
{
    td_assert((*b)->n < TD_BLOCK_ROWS_MAX);
    if (!row_fits(*b, row)) {
        if ((*b)->refs > 1) {
            struct td_block *twin = td_block_tail(*b, 0);
            td_block_unref(*b);
            *b = twin;
        }
        room_make(*b, row);
    }
    row_put(*b, row, lsn);
}

struct td_block *td_block_tail(const struct td_block *b, uint32_t from)
{
    struct td_block *tail = td_block_new();
    struct td_cell cells[TD_STORE_COLUMNS_MAX];
    for (uint32_t i = from; i < b->n; i++) {
        struct td_row row = {0, b->ts[i], cells, td_block_row(b, i, cells)};
        td_block_add(&tail, &row, b->lsn[i]);
    }
    return tail;
}

struct td_value td_block_get(const struct td_block *b, uint32_t row, uint32_t column)
{
    if (!column_there(b, column)) {
        return td_value_none();
    }
    uint64_t bits = b->column[column].bits[row];
    switch ((enum td_value_type)b->column[column].tag[row]) {
    case TD_VALUE_NONE:
        break;
    case TD_VALUE_BOOL:
        return td_value_bool(bits != 0);
    case TD_VALUE_INT:
        return td_value_int((int64_t)bits);
    case TD_VALUE_FLOAT:
        return td_value_float(td_bits_value(bits));
    case TD_VALUE_TEXT:
        return td_value_text((td_slice){b->text + (bits >> 16), (size_t)(bits & 0xFFFF)});
    }
    return td_value_none();
}

size_t td_block_row(const struct td_block *b, uint32_t row,
                    struct td_cell cells[TD_STORE_COLUMNS_MAX])
{
    size_t count = 0;
    for (uint32_t i = 0; i < b->columns; i++) {
        struct td_value v = td_block_get(b, row, i);
        if (v.type != TD_VALUE_NONE) {
            cells[count++] = (struct td_cell){i, v};
        }
    }
    return count;
}
