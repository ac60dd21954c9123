/* serve: a payload as named values.
 *
 *   {"a":1,"b":{"c":true},"d":[2,"x"]}  ->  a=1  b.c=true  d.0=2  d.1="x"
 *   21.5                                ->  value=21.5
 *   on, off, true, false                ->  value, a bool (in any case of letters)
 *   any other text of at most 256 bytes ->  value, a text
 *
 * A JSON null is no value. What is not JSON though it begins like it is a text as any other. */
#ifndef TD_SERVE_LEAVES_H
#define TD_SERVE_LEAVES_H

#include "base/value.h"
#include "base/base.h"

enum {
    TD_LEAVES_MAX = 64,
    TD_LEAF_TEXT_MAX = 256,
    TD_LEAF_FIELD_MAX = 512,
    TD_LEAF_PAYLOAD_MAX = 65536
};

struct td_leaf {
    td_slice field;
    struct td_value value;
};

enum td_leaves_kind {
    TD_LEAVES_GOOD,
    TD_LEAVES_NONE,     /* empty, null, or an object without leaves */
    TD_LEAVES_BINARY,   /* neither JSON nor a short text */
    TD_LEAVES_OVERSIZED /* over TD_LEAF_PAYLOAD_MAX, or a text over TD_LEAF_TEXT_MAX */
};

/* The values of one payload. Fields and texts live in `text` until the next call. */
struct td_leaves {
    struct td_leaf at[TD_LEAVES_MAX];
    size_t count;
    uint64_t dropped; /* leaves over a bound, of all calls */
    struct td_buf text;
};

void td_leaves_init(struct td_leaves *l);
void td_leaves_fini(struct td_leaves *l);
/* Reads a payload anew. */
enum td_leaves_kind td_leaves_read(struct td_leaves *l, td_slice payload);

#endif
