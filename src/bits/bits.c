/* bits: slices, errors, hashes. The cursor and the writers stand in codec.c, utf8 in utf8.c. */
#include "bits/bits.h"

static const struct {
    enum td_err err;
    const char *name, *text;
} errors[] = {
#define ERR(name, value, text) {name, #name, text},
#include "bits/err.def"
#undef ERR
};

const char *td_err_name(enum td_err err)
{
    size_t at = (size_t)(-(int)err);
    return at < TD_COUNT(errors) ? errors[at].name : "TD_E?";
}

const char *td_err_text(enum td_err err)
{
    size_t at = (size_t)(-(int)err);
    return at < TD_COUNT(errors) ? errors[at].text : "unknown error";
}

td_slice td_slice_of(const char *text)
{
    size_t n = 0;
    while (text[n] != '\0') {
        n++;
    }
    return (td_slice){(const uint8_t *)text, n};
}

int td_slice_cmp(td_slice a, td_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

bool td_slice_starts(td_slice s, td_slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

size_t td_slice_find(td_slice s, uint8_t byte)
{
    const uint8_t *at = s.n == 0 ? NULL : memchr(s.p, byte, s.n);
    return at == NULL ? s.n : (size_t)(at - s.p);
}

td_slice td_slice_head(td_slice s, size_t n)
{
    return (td_slice){s.p, n < s.n ? n : s.n};
}

td_slice td_slice_skip(td_slice s, size_t n)
{
    if (n >= s.n) {
        n = s.n;
    }
    /* NULL + 0 is undefined in C17 */
    return (td_slice){n > 0 ? s.p + n : s.p, s.n - n};
}

/* ---- crc32c: SSE 4.2 where the processor has it, else bit by bit: what a microcontroller checks
 * is short, and a table of 1 KB is not. ---- */

#define CRC32C_POLYNOMIAL 0x82F63B78u /* reversed 0x1EDC6F41 */

static uint32_t crc_bytes(uint32_t crc, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (CRC32C_POLYNOMIAL & (0u - (crc & 1)));
        }
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p,
                                                            size_t n)
{
    uint64_t wide = crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; n > 0; p++, n--) {
        crc = __builtin_ia32_crc32qi(crc, *p);
    }
    return crc;
}
#endif

uint32_t td_crc32c(uint32_t crc, td_slice s)
{
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc_sse42(crc, s.p, s.n);
    }
#endif
    return ~crc_bytes(crc, s.p, s.n);
}

/* ---- hash: the multiply-and-fold of wyhash (public domain idea, Wang Yi 2019) ---- */

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* 1 to 7 bytes, without a call for a copy of unknown size: four and four that overlap, or first,
 * middle, last. */
static uint64_t load_tail(const uint8_t *p, size_t n)
{
    uint32_t low, high;
    if (n < 4) {
        return (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
    }
    memcpy(&low, p, 4);
    memcpy(&high, p + n - 4, 4);
    return (uint64_t)high << 32 | low;
}

uint64_t td_hash(td_slice s, uint64_t seed)
{
    const uint64_t k0 = UINT64_C(0xA0761D6478BD642F), k1 = UINT64_C(0xE7037ED1A0B428DB);
    uint64_t h = seed ^ k0;
    const uint8_t *p = s.p;
    size_t n = s.n;
    for (; n > 16; p += 16, n -= 16) {
        h = fold(load64(p) ^ k1, load64(p + 8) ^ h);
    }
    uint64_t a = 0, b = 0;
    if (n >= 8) {
        a = load64(p);
        b = load64(p + n - 8);
    } else if (n > 0) {
        a = load_tail(p, n);
    }
    return fold(k1 ^ s.n, fold(a ^ k1, b ^ h));
}
