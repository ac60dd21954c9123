/* Bytes written as hexadecimal digits, with blanks where they help the eye; 'text' between quotes
 * stands for itself. For tests only. */
#ifndef TD_TEST_HEX_H
#define TD_TEST_HEX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bits/bits.h"

struct hex {
    uint8_t bytes[1024];
    size_t n;
};

static inline unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static inline struct hex hex_of(const char *text)
{
    struct hex h = {.n = 0};
    bool quoted = false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            quoted = !quoted;
        } else if (quoted) {
            h.bytes[h.n++] = (uint8_t)*p;
        } else if (*p != ' ') {
            h.bytes[h.n++] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
            p++;
        }
    }
    return h;
}

static inline td_slice hex_slice(const struct hex *h)
{
    return (td_slice){h->bytes, h->n};
}

#define assert_slice(text, slice)                                                                  \
    do {                                                                                           \
        td_slice wanted_ = td_slice_of(text), got_ = (slice);                                      \
        assert_int_equal(wanted_.n, got_.n);                                                       \
        assert_true(td_slice_eq(wanted_, got_));                                                   \
    } while (0)

#endif
