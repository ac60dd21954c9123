/* store: names of streams and their columns.
 *
 * Streams are numbered 0, 1, .. and never go away; what a stream is called, and its columns below
 * the count a reader has seen, never changes, so readers on other threads share it without locks.
 * A definition is an entry of the state map, kind TD_STATE_STREAM: u32 id -> lump name | varint
 * count | lump field *, written whenever a column comes in. */
#ifndef TD_STORE_DICT_H
#define TD_STORE_DICT_H

#include "base/base.h"
#include "store/store.h"

enum { TD_STATE_STREAM = 2, TD_STORE_FIELD_MAX = 1024 };

struct td_stream {
    td_slice name;
    uint32_t id;
    uint32_t columns, column_cap;
    td_slice *fields;      /* grows into a new array; the old one stays for its readers */
    struct td_head *heads; /* hist.h: one a partition, mostly one */
    uint32_t frozen;       /* runs of its rows on their way to the disk */
    bool sealed_once;
};

struct td_dict {
    struct td_arena arena;
    struct td_map map; /* name -> struct td_stream */
    struct td_stream **streams;
    uint32_t count, cap, max;
};

void td_dict_init(struct td_dict *d, uint32_t streams_max, uint64_t seed);
void td_dict_fini(struct td_dict *d);
/* NULL: there is none. */
struct td_stream *td_dict_find(const struct td_dict *d, td_slice name);
struct td_stream *td_dict_get(const struct td_dict *d, uint32_t id);
/* NULL: streams_max is reached. */
struct td_stream *td_dict_add(struct td_dict *d, td_slice name);
/* False: it has no such column, or there is none left. */
bool td_dict_column(const struct td_stream *s, td_slice field, uint32_t *out);
bool td_dict_column_add(struct td_dict *d, struct td_stream *s, td_slice field, uint32_t *out);
/* The definition as an entry of the state map, and back. */
void td_dict_key(uint32_t id, uint8_t key[4]);
void td_dict_encode(const struct td_stream *s, struct td_buf *out);
/* Makes or completes a stream; ids may come with gaps, which get streams without a name. */
enum td_err td_dict_decode(struct td_dict *d, td_slice key, td_slice value);

#endif
