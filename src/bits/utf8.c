/* bits: UTF-8 as RFC 3629 draws it. One pass, ASCII eight bytes at a time. */
#include "bits/bits.h"

/* The code point at *p, moving on; -1 if malformed. */
static int32_t decode(const uint8_t **p, const uint8_t *end)
{
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    const uint8_t *at = *p;
    uint8_t lead = *at++;
    int more = lead < 0x80   ? 0
               : lead < 0xC0 ? -1
               : lead < 0xE0 ? 1
               : lead < 0xF0 ? 2
               : lead < 0xF8 ? 3
                             : -1;
    if (more < 0 || end - at < more) {
        return -1;
    }
    int32_t point = more == 0 ? lead : lead & (0x3F >> more);
    for (int i = 0; i < more; i++) {
        if ((*at & 0xC0) != 0x80) {
            return -1;
        }
        point = point << 6 | (*at++ & 0x3F);
    }
    if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
        return -1;
    }
    *p = at;
    return point;
}

static bool is_control(int32_t point)
{
    return point < 0x20 || (point >= 0x7F && point <= 0x9F);
}

static bool is_noncharacter(int32_t point)
{
    return (point >= 0xFDD0 && point <= 0xFDEF) || (point & 0xFFFE) == 0xFFFE;
}

/* Eight plain printable ASCII bytes: none >= 0x7F, none < 0x20. */
static bool plain8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t over = v + UINT64_C(0x0101010101010101);  /* 0x7F reaches the high bit */
    uint64_t under = v - UINT64_C(0x2020202020202020); /* < 0x20 borrows into it */
    return ((v | over | under) & high) == 0;
}

static bool valid(td_slice s, bool mqtt)
{
    const uint8_t *p = s.p, *end = s.n > 0 ? p + s.n : p; /* NULL + 0 is undefined in C17 */
    while (p < end) {
        if (end - p >= 8 && plain8(p)) {
            p += 8;
            continue;
        }
        int32_t point = decode(&p, end);
        if (point < 0 || (mqtt && (is_control(point) || is_noncharacter(point)))) {
            return false;
        }
    }
    return true;
}

bool td_utf8_valid(td_slice s)
{
    return valid(s, false);
}

bool td_utf8_mqtt(td_slice s)
{
    return valid(s, true);
}
