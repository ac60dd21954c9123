/* base: the hosted toolbox.
 *
 *   td_buf    bytes that grow up to a maximum      td_arena  many small things that die together
 *   td_map    byte keys to pointers                td_heap   deadlines, least first
 *   td_rng    seeded random numbers                td_log    one line an event, to stderr
 *
 * Further toolbox headers of their own: base/json.h, base/toml.h. Nothing here is thread-safe: one
 * owner each. What goes from one thread to another goes by base/ring.h. */
#ifndef TD_BASE_H
#define TD_BASE_H

#include "bits/bits.h"

/* ---- buf: born with its maximum ---- */

struct td_buf {
    uint8_t *p;
    size_t n;         /* bytes in use */
    size_t cap;       /* bytes allocated */
    size_t bytes_max; /* never more than this */
};

/* Allocates nothing yet. */
void td_buf_init(struct td_buf *b, size_t bytes_max);
void td_buf_fini(struct td_buf *b);
/* Makes room for `more` bytes behind n. TD_EFULL: over bytes_max; TD_ENOMEM. On failure
 * unchanged. */
enum td_err td_buf_reserve(struct td_buf *b, size_t more);
/* Appends; errors as reserve, then nothing was appended. */
enum td_err td_buf_add(struct td_buf *b, td_slice s);
enum td_err td_buf_add_u8(struct td_buf *b, uint8_t v);
enum td_err td_buf_add_varint(struct td_buf *b, uint64_t v);
/* varint length and the bytes: what td_cursor_lump() reads back. */
enum td_err td_buf_add_lump(struct td_buf *b, td_slice s);
/* printf onto the end; no NUL is counted. */
enum td_err td_buf_printf(struct td_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Forgets the first n bytes, moving the rest down. */
void td_buf_drop(struct td_buf *b, size_t n);
static inline void td_buf_clear(struct td_buf *b)
{
    b->n = 0;
}
static inline td_slice td_buf_slice(const struct td_buf *b)
{
    return (td_slice){b->p, b->n};
}
td_slice td_cursor_lump(struct td_cursor *c);

/* ---- memory ---- */

/* As malloc, realloc, strdup, but never NULL: a hub without memory for its own tables cannot keep
 * its promises and stops with a message. Sizes that peers choose go through td_buf instead.
 * Free with free(). */
void *td_alloc(size_t bytes); /* zeroed */
void *td_realloc(void *p, size_t bytes);
char *td_strdup(td_slice s); /* with a NUL */

/* Bump allocator: blocks grow, all dies with fini. */
struct td_arena {
    struct td_arena_block *head;
    size_t used;      /* bytes handed out */
    size_t bytes_max; /* 0: no bound */
};

void td_arena_init(struct td_arena *a, size_t bytes_max);
void td_arena_fini(struct td_arena *a);
/* Zeroed, aligned for any type; NULL when bytes_max is reached. */
void *td_arena_alloc(struct td_arena *a, size_t bytes);
/* A copy with a NUL behind it (not counted); .p NULL when bytes_max is reached. */
td_slice td_arena_copy(struct td_arena *a, td_slice s);

/* ---- map: open addressing from byte keys to pointers; keys are borrowed, so they live in the
 * value. Iteration follows insertion order as far as removals allow (the last takes the hole), so
 * it never depends on addresses. ---- */

struct td_map_entry {
    td_slice key;
    void *value;
    uint64_t hash;
};

struct td_map_slot {
    uint32_t index; /* + 1 into entries, 0 = free */
    uint32_t hash;  /* the low half */
};

struct td_map {
    struct td_map_entry *entries; /* dense, count of them */
    struct td_map_slot *slots;    /* slot_count, a power of two */
    size_t count, entry_cap, slot_count;
    uint64_t seed;
};

void td_map_init(struct td_map *m, uint64_t seed);
void td_map_fini(struct td_map *m);                      /* frees the table, not keys and values */
void *td_map_find(const struct td_map *m, td_slice key); /* NULL: not there */
/* Puts or replaces; gives the value that was there, or NULL. The old key is replaced too. */
void *td_map_put(struct td_map *m, td_slice key, void *value);
/* Removes; gives the value that was there, or NULL. */
void *td_map_remove(struct td_map *m, td_slice key);

/* ---- heap: deadlines with their place known, so that any can be moved or removed ---- */

struct td_timer {
    td_mono at;
    uint64_t seq; /* ties: first set, first out */
    size_t place; /* in the heap + 1; 0: not set */
};

struct td_heap {
    struct td_timer **at;
    size_t count, cap;
    uint64_t seq;
};

void td_heap_init(struct td_heap *h);
void td_heap_fini(struct td_heap *h);
/* Sets or moves; TD_NEVER removes. The timer is embedded in its owner and outlives its being
 * set. */
void td_heap_set(struct td_heap *h, struct td_timer *t, td_mono at);
/* The earliest, or NULL. */
struct td_timer *td_heap_first(const struct td_heap *h);

#define TD_CONTAINER(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* ---- rng: xoshiro256** (Blackman, Vigna 2018), for load, jitter, simulation; not for keys ---- */

struct td_rng {
    uint64_t s[4];
};

void td_rng_init(struct td_rng *r, uint64_t seed);
uint64_t td_rng_next(struct td_rng *r);
/* Even over 0..bound-1; bound >= 1. */
uint64_t td_rng_below(struct td_rng *r, uint64_t bound);
/* Even over [0, 1). */
double td_rng_unit(struct td_rng *r);

/* ---- log: what happened, one line: "I store recovered points=12 ms=3" ---- */

enum td_log_level { TD_LOG_ERROR, TD_LOG_WARN, TD_LOG_INFO, TD_LOG_DEBUG };

/* What is less urgent than `level` is not written. Default TD_LOG_INFO. */
void td_log_level_set(enum td_log_level level);
/* Area and event are single words, format gives `key=value` pairs; rooms below serve/ return
 * errors and do not call this. Writes to stderr, keeps nothing. */
void td_log(const char *area, enum td_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
