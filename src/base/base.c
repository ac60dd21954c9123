/* base: memory, buf, arena, rng, log. The tables stand in map.c and heap.c. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void td_assert_fail(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "tandem: broken invariant: %s at %s:%d\n", cond, file, line);
    abort();
}

/* ---- memory ---- */

static void *alive(void *p, size_t bytes)
{
    if (p == NULL) {
        (void)fprintf(stderr,
                      "tandem: out of memory for %zu bytes; give the machine more, or lower"
                      " the limits in the configuration\n",
                      bytes);
        exit(70); /* EX_SOFTWARE; what was acknowledged is in the log */
    }
    return p;
}

void *td_alloc(size_t bytes)
{
    return alive(calloc(1, bytes == 0 ? 1 : bytes), bytes);
}

void *td_realloc(void *p, size_t bytes)
{
    return alive(realloc(p, bytes == 0 ? 1 : bytes), bytes);
}

char *td_strdup(td_slice s)
{
    char *copy = td_alloc(s.n + 1);
    (void)td_put_bytes((uint8_t *)copy, s);
    return copy;
}

/* ---- buf ---- */

void td_buf_init(struct td_buf *b, size_t bytes_max)
{
    *b = (struct td_buf){.bytes_max = bytes_max};
}

void td_buf_fini(struct td_buf *b)
{
    free(b->p);
    *b = (struct td_buf){.bytes_max = b->bytes_max};
}

enum td_err td_buf_reserve(struct td_buf *b, size_t more)
{
    if (more <= b->cap - b->n) {
        return TD_OK;
    }
    if (more > b->bytes_max - b->n) {
        return TD_EFULL;
    }
    size_t need = b->n + more;
    size_t cap = b->cap < 32 ? 64 : b->cap;
    while (cap < need) {
        cap = cap > b->bytes_max / 2 ? b->bytes_max : cap * 2;
    }
    cap = cap > b->bytes_max ? b->bytes_max : cap;
    uint8_t *p = realloc(b->p, cap);
    if (p == NULL) {
        return TD_ENOMEM;
    }
    b->p = p;
    b->cap = cap;
    return TD_OK;
}

enum td_err td_buf_add(struct td_buf *b, td_slice s)
{
    enum td_err err = td_buf_reserve(b, s.n);
    if (err == TD_OK && s.n > 0) {
        memcpy(b->p + b->n, s.p, s.n);
        b->n += s.n;
    }
    return err;
}

enum td_err td_buf_add_u8(struct td_buf *b, uint8_t v)
{
    return td_buf_add(b, (td_slice){&v, 1});
}

enum td_err td_buf_add_varint(struct td_buf *b, uint64_t v)
{
    uint8_t bytes[10];
    return td_buf_add(b, (td_slice){bytes, (size_t)(td_put_varint64(bytes, v) - bytes)});
}

enum td_err td_buf_add_lump(struct td_buf *b, td_slice s)
{
    size_t before = b->n;
    enum td_err err = td_buf_add_varint(b, s.n);
    if (err == TD_OK) {
        err = td_buf_add(b, s);
    }
    if (err != TD_OK) {
        b->n = before;
    }
    return err;
}

td_slice td_cursor_lump(struct td_cursor *c)
{
    uint64_t n = td_cursor_varint64(c);
    return td_cursor_bytes(c, n > SIZE_MAX ? SIZE_MAX : (size_t)n);
}

enum td_err td_buf_printf(struct td_buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    td_assert(n >= 0);
    enum td_err err = td_buf_reserve(b, (size_t)n + 1);
    if (err == TD_OK) {
        va_start(args, format);
        (void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, format, args);
        va_end(args);
        b->n += (size_t)n;
    }
    return err;
}

void td_buf_drop(struct td_buf *b, size_t n)
{
    td_assert(n <= b->n);
    b->n -= n;
    if (b->n > 0) {
        memmove(b->p, b->p + n, b->n);
    }
}

/* ---- arena ---- */

struct td_arena_block {
    struct td_arena_block *next;
    size_t used, cap;
    max_align_t bytes[];
};

enum { ARENA_BLOCK_BYTES = 4096 };

void td_arena_init(struct td_arena *a, size_t bytes_max)
{
    *a = (struct td_arena){.bytes_max = bytes_max};
}

void td_arena_fini(struct td_arena *a)
{
    while (a->head != NULL) {
        struct td_arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
    a->used = 0;
}

void *td_arena_alloc(struct td_arena *a, size_t bytes)
{
    size_t align = _Alignof(max_align_t);
    size_t whole;
    if (!td_add_ok(bytes, align - 1, &whole)) {
        return NULL;
    }
    whole -= whole % align;
    if (a->bytes_max != 0 && whole > a->bytes_max - a->used) {
        return NULL;
    }
    struct td_arena_block *b = a->head;
    if (b == NULL || whole > b->cap - b->used) {
        size_t cap = whole > ARENA_BLOCK_BYTES ? whole : ARENA_BLOCK_BYTES;
        b = td_alloc(sizeof *b + cap);
        b->cap = cap;
        b->next = a->head;
        a->head = b;
    }
    void *p = (uint8_t *)b->bytes + b->used;
    b->used += whole;
    a->used += whole;
    return p;
}

td_slice td_arena_copy(struct td_arena *a, td_slice s)
{
    uint8_t *p = td_arena_alloc(a, s.n + 1);
    if (p != NULL) {
        (void)td_put_bytes(p, s);
    }
    return (td_slice){p, p == NULL ? 0 : s.n};
}

/* ---- rng ---- */

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t v, int by)
{
    return (v << by) | (v >> (64 - by));
}

void td_rng_init(struct td_rng *r, uint64_t seed)
{
    for (size_t i = 0; i < TD_COUNT(r->s); i++) {
        r->s[i] = splitmix(&seed);
    }
}

uint64_t td_rng_next(struct td_rng *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t td_rng_below(struct td_rng *r, uint64_t bound)
{
    td_assert(bound > 0);
    uint64_t least = (0 - bound) % bound; /* below it the remainder would favour small results */
    uint64_t v;
    do {
        v = td_rng_next(r);
    } while (v < least);
    return v % bound;
}

double td_rng_unit(struct td_rng *r)
{
    return (double)(td_rng_next(r) >> 11) * 0x1p-53;
}

/* ---- log ---- */

static enum td_log_level log_level = TD_LOG_INFO;

void td_log_level_set(enum td_log_level level)
{
    log_level = level;
}

void td_log(const char *area, enum td_log_level level, const char *event, const char *format, ...)
{
    char line[1024];
    if (level > log_level) {
        return;
    }
    int head = snprintf(line, sizeof line, "%c %s %s ", "EWID"[level], area, event);
    if (head < 0 || (size_t)head >= sizeof line - 1) {
        return;
    }
    va_list args;
    va_start(args, format);
    int rest = vsnprintf(line + head, sizeof line - 1 - (size_t)head, format, args);
    va_end(args);
    size_t n = (size_t)head + (size_t)(rest < 0 ? 0 : rest);
    n = n > sizeof line - 2 ? sizeof line - 2 : n;
    for (size_t i = 0; i < n; i++) { /* names come from peers: one event stays one line */
        line[i] = (unsigned char)line[i] < 0x20 ? '?' : line[i];
    }
    line[n] = '\n';
    (void)fwrite(line, 1, n + 1, stderr);
}
