/* base: td_heap, a 4-ary heap of deadlines: shallower than a binary one, so fewer cache misses. */
#include "base/base.h"

#include <stdlib.h>

enum { ARITY = 4 };

void td_heap_init(struct td_heap *h)
{
    *h = (struct td_heap){0};
}

void td_heap_fini(struct td_heap *h)
{
    free(h->at);
    *h = (struct td_heap){0};
}

static bool before(const struct td_timer *a, const struct td_timer *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void place(struct td_heap *h, size_t at, struct td_timer *t)
{
    h->at[at] = t;
    t->place = at + 1;
}

static void rise(struct td_heap *h, size_t at, struct td_timer *t)
{
    while (at > 0 && before(t, h->at[(at - 1) / ARITY])) {
        place(h, at, h->at[(at - 1) / ARITY]);
        at = (at - 1) / ARITY;
    }
    place(h, at, t);
}

static void sink(struct td_heap *h, size_t at, struct td_timer *t)
{
    for (;;) {
        size_t first = at * ARITY + 1, least = first;
        if (first >= h->count) {
            break;
        }
        for (size_t i = first + 1; i < h->count && i < first + ARITY; i++) {
            least = before(h->at[i], h->at[least]) ? i : least;
        }
        if (!before(h->at[least], t)) {
            break;
        }
        place(h, at, h->at[least]);
        at = least;
    }
    place(h, at, t);
}

static void drop(struct td_heap *h, struct td_timer *t)
{
    size_t at = t->place - 1;
    struct td_timer *last = h->at[--h->count];
    t->place = 0;
    if (last == t) {
        return;
    }
    if (at > 0 && before(last, h->at[(at - 1) / ARITY])) {
        rise(h, at, last);
    } else {
        sink(h, at, last);
    }
}

void td_heap_set(struct td_heap *h, struct td_timer *t, td_mono at)
{
    if (t->place != 0) {
        if (t->at == at) {
            return;
        }
        drop(h, t);
    }
    if (at == TD_NEVER) {
        return;
    }
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 16 : h->cap * 2;
        h->at = td_realloc(h->at, h->cap * sizeof *h->at);
    }
    t->at = at;
    t->seq = h->seq++;
    rise(h, h->count++, t);
}

struct td_timer *td_heap_first(const struct td_heap *h)
{
    return h->count == 0 ? NULL : h->at[0];
}
