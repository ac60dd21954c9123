/* bits: the freestanding floor that hub, simulator, fuzzers and microcontrollers share.
 *
 *   slice    borrowed bytes, by value             cursor   reader whose first failure sticks
 *   put      big-endian writers                   varint   MQTT (7 bits a byte, 4 at most), LEB128
 *   utf8     validation                           crc32c   Castagnoli, table or SSE 4.2
 *   time     td_mono, td_wall, td_ms              err      one enum for all rooms
 *
 * No heap, clock, I/O, and of libc only mem*. */
#ifndef TD_BITS_H
#define TD_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- errors ---- */

enum td_err {
#define ERR(name, value, text) name = value,
#include "bits/err.def"
#undef ERR
};

/* "TD_EMORE" and "more bytes needed"; a static text, never NULL. */
const char *td_err_name(enum td_err err);
const char *td_err_text(enum td_err err);

/* For programmers' errors, also in release builds; peers' bytes never reach it. */
#define td_assert(cond) ((cond) ? (void)0 : td_assert_fail(#cond, __FILE__, __LINE__))
/* Hosted builds print and abort, a microcontroller resets: whoever links bits provides it. */
_Noreturn void td_assert_fail(const char *cond, const char *file, int line);

/* ---- time: three units that do not mix ---- */

typedef int64_t td_mono; /* ns on a clock that never goes back; its zero means nothing */
typedef int64_t td_wall; /* ns since 1970-01-01 UTC; may jump */
typedef int64_t td_ms;   /* a span in ms */

#define TD_NEVER INT64_MAX /* a deadline that is not set */
#define TD_NS_PER_MS INT64_C(1000000)
#define TD_NS_PER_S INT64_C(1000000000)

/* now + ms, TD_NEVER when that overflows. */
static inline td_mono td_mono_after(td_mono now, td_ms ms)
{
    int64_t ns;
    td_mono at;
    if (__builtin_mul_overflow(ms, TD_NS_PER_MS, &ns) || __builtin_add_overflow(now, ns, &at)) {
        return TD_NEVER;
    }
    return at;
}

static inline td_mono td_mono_min(td_mono a, td_mono b)
{
    return a < b ? a : b;
}

/* ---- sizes ---- */

/* *sum = a + b, false (and *sum untouched) if it does not fit. */
static inline bool td_add_ok(size_t a, size_t b, size_t *sum)
{
    size_t s;
    if (__builtin_add_overflow(a, b, &s)) {
        return false;
    }
    *sum = s;
    return true;
}

static inline bool td_mul_ok(size_t a, size_t b, size_t *product)
{
    size_t s;
    if (__builtin_mul_overflow(a, b, &s)) {
        return false;
    }
    *product = s;
    return true;
}

/* least <= value <= most, without the compiler's "always true" for unsigned and 0. */
static inline bool td_in(uint64_t value, uint64_t least, uint64_t most)
{
    return value - least <= most - least;
}

#define TD_COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- slice: borrowed bytes ---- */

typedef struct td_slice {
    const uint8_t *p; /* may be NULL when n is 0 */
    size_t n;
} td_slice;

/* A slice of a string literal, without its NUL. */
#define TD_STR(literal) ((td_slice){(const uint8_t *)("" literal ""), sizeof(literal) - 1})

/* A slice of a NUL-terminated string, without its NUL. */
td_slice td_slice_of(const char *text);

static inline bool td_slice_eq(td_slice a, td_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Order by bytes, then by length: <0, 0, >0. */
int td_slice_cmp(td_slice a, td_slice b);
bool td_slice_starts(td_slice s, td_slice prefix);
/* Position of the first `byte`, s.n if there is none. */
size_t td_slice_find(td_slice s, uint8_t byte);
/* The first n bytes, or all. */
td_slice td_slice_head(td_slice s, size_t n);
/* All but the first n bytes, or none. */
td_slice td_slice_skip(td_slice s, size_t n);

/* ---- cursor: a reader whose first failure sticks, tested once at the end ---- */

struct td_cursor {
    const uint8_t *p, *end;
    enum td_err err; /* TD_OK until the first failure; then every read gives 0 */
};

static inline struct td_cursor td_cursor_of(td_slice s)
{
    return (struct td_cursor){s.p, s.n > 0 ? s.p + s.n : s.p, TD_OK};
}

static inline size_t td_cursor_left(const struct td_cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* Keeps the first error; does nothing for TD_OK. */
static inline void td_cursor_fail(struct td_cursor *c, enum td_err err)
{
    if (c->err == TD_OK) {
        c->err = err;
    }
}

/* Big-endian reads; too few bytes: TD_EMORE. */
uint8_t td_cursor_u8(struct td_cursor *c);
uint16_t td_cursor_u16(struct td_cursor *c);
uint32_t td_cursor_u24(struct td_cursor *c);
uint32_t td_cursor_u32(struct td_cursor *c);
uint64_t td_cursor_u64(struct td_cursor *c);
/* The next n bytes, borrowed from the input. */
td_slice td_cursor_bytes(struct td_cursor *c, size_t n);
/* u16 length and that many bytes (an MQTT string or binary). */
td_slice td_cursor_string16(struct td_cursor *c);
/* MQTT variable byte integer, 0..268,435,455; a fifth byte or an overlong form: TD_EPROTO
 * (MQTT-1.5.5-1). */
uint32_t td_cursor_varint28(struct td_cursor *c);
/* LEB128, up to 10 bytes; beyond 64 bits: TD_EPROTO. */
uint64_t td_cursor_varint64(struct td_cursor *c);
/* Fails with `err` unless least <= value <= most. */
void td_cursor_in(struct td_cursor *c, uint64_t value, uint64_t least, uint64_t most,
                  enum td_err err);

/* ---- put: big-endian writers; the caller has made room; each returns the next place ---- */

static inline uint8_t *td_put_u8(uint8_t *p, uint8_t v)
{
    *p = v;
    return p + 1;
}

static inline uint8_t *td_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

uint8_t *td_put_u24(uint8_t *p, uint32_t v);
uint8_t *td_put_u32(uint8_t *p, uint32_t v);
uint8_t *td_put_u64(uint8_t *p, uint64_t v);
uint8_t *td_put_bytes(uint8_t *p, td_slice s);
/* u16 length and the bytes; s.n <= 65,535 is the caller's duty. */
uint8_t *td_put_string16(uint8_t *p, td_slice s);
/* 1..4 bytes; v <= 268,435,455 is the caller's duty. */
uint8_t *td_put_varint28(uint8_t *p, uint32_t v);
size_t td_varint28_size(uint32_t v);
/* 1..10 bytes. */
uint8_t *td_put_varint64(uint8_t *p, uint64_t v);

/* Signed numbers as unsigned ones, small stays small: 0, -1, 1, -2 -> 0, 1, 2, 3. */
static inline uint64_t td_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t td_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* ---- utf8 ---- */

/* Well-formed UTF-8 without surrogates and overlong forms (RFC 3629). U+0000 counts as valid. */
bool td_utf8_valid(td_slice s);
/* As MQTT demands of its strings: valid, no U+0000 (MQTT-1.5.4-1, -2), and no control character
 * or non-character, which a receiver may refuse (5.0, 1.5.4) and Tandem does. */
bool td_utf8_mqtt(td_slice s);

/* ---- hashes ---- */

/* CRC-32C (RFC 3720, B.4) of s, going on from `crc` (0 to begin). */
uint32_t td_crc32c(uint32_t crc, td_slice s);
/* A fast 64-bit hash for tables, not for secrets; seed comes from the seam so that peers cannot
 * aim at one bucket (wyhash construction). */
uint64_t td_hash(td_slice s, uint64_t seed);

#endif
