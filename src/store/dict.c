/* store: names of streams and their columns. */
#include "store/dict.h"

#include <stdlib.h>

void td_dict_init(struct td_dict *d, uint32_t streams_max, uint64_t seed)
{
    *d = (struct td_dict){.max = streams_max};
    td_arena_init(&d->arena, 0);
    td_map_init(&d->map, seed);
}

void td_dict_fini(struct td_dict *d)
{
    td_arena_fini(&d->arena);
    td_map_fini(&d->map);
    free(d->streams);
}

struct td_stream *td_dict_find(const struct td_dict *d, td_slice name)
{
    return td_map_find(&d->map, name);
}

struct td_stream *td_dict_get(const struct td_dict *d, uint32_t id)
{
    return id < d->count ? d->streams[id] : NULL;
}

static struct td_stream *stream_new(struct td_dict *d)
{
    if (d->count == d->cap) {
        d->cap = d->cap == 0 ? 64 : d->cap * 2;
        d->streams = td_realloc(d->streams, d->cap * sizeof(struct td_stream *));
    }
    struct td_stream *s = td_arena_alloc(&d->arena, sizeof *s);
    s->id = d->count;
    d->streams[d->count++] = s;
    return s;
}

static void stream_name(struct td_dict *d, struct td_stream *s, td_slice name)
{
    s->name = td_arena_copy(&d->arena, name);
    (void)td_map_put(&d->map, s->name, s); /* names are found before they are added */
}

struct td_stream *td_dict_add(struct td_dict *d, td_slice name)
{
    if (d->count >= d->max) {
        return NULL;
    }
    struct td_stream *s = stream_new(d);
    stream_name(d, s, name);
    return s;
}

bool td_dict_column(const struct td_stream *s, td_slice field, uint32_t *out)
{
    for (uint32_t i = 0; i < s->columns; i++) {
        if (td_slice_eq(s->fields[i], field)) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool td_dict_column_add(struct td_dict *d, struct td_stream *s, td_slice field, uint32_t *out)
{
    if (s->columns == TD_STORE_COLUMNS_MAX) {
        return false;
    }
    if (s->columns == s->column_cap) {
        s->column_cap = s->column_cap == 0 ? 4 : s->column_cap * 2;
        td_slice *fields = td_arena_alloc(&d->arena, s->column_cap * sizeof *fields);
        for (uint32_t i = 0; i < s->columns; i++) {
            fields[i] = s->fields[i];
        }
        s->fields = fields;
    }
    s->fields[s->columns] = td_arena_copy(&d->arena, field);
    *out = s->columns++;
    return true;
}

void td_dict_key(uint32_t id, uint8_t key[4])
{
    (void)td_put_u32(key, id);
}

void td_dict_encode(const struct td_stream *s, struct td_buf *out)
{
    /* The buffer's bound is above what names can take. */
    (void)td_buf_add_lump(out, s->name);
    (void)td_buf_add_varint(out, s->columns);
    for (uint32_t i = 0; i < s->columns; i++) {
        (void)td_buf_add_lump(out, s->fields[i]);
    }
}

enum td_err td_dict_decode(struct td_dict *d, td_slice key, td_slice value)
{
    struct td_cursor k = td_cursor_of(key), c = td_cursor_of(value);
    uint32_t id = td_cursor_u32(&k);
    td_slice name = td_cursor_lump(&c);
    uint64_t columns = td_cursor_varint64(&c);
    td_cursor_in(&c, columns, 0, TD_STORE_COLUMNS_MAX, TD_ECORRUPT);
    td_cursor_in(&k, id, 0, UINT32_MAX >> 8, TD_ECORRUPT);
    if (k.err != TD_OK || c.err != TD_OK) {
        return TD_ECORRUPT;
    }
    while (id >= d->count) {
        (void)stream_new(d);
    }
    struct td_stream *s = d->streams[id];
    if (s->name.p == NULL) {
        stream_name(d, s, name);
    }
    for (uint64_t i = 0; i < columns; i++) {
        td_slice field = td_cursor_lump(&c);
        uint32_t at;
        if (c.err == TD_OK && i >= s->columns) {
            (void)td_dict_column_add(d, s, field, &at); /* columns was tested */
        }
    }
    return c.err == TD_OK ? TD_OK : TD_ECORRUPT;
}
