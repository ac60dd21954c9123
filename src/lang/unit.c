/* lang: units as factors and powers of the seven SI base units. */
#include "lang/lang.h"

#include <stdio.h>

static const struct named {
    const char *name;
    struct td_lang_unit unit;
} table[] = {
#define UNIT(name, scale, offset, m, kg, s, A, K, mol, cd)                                         \
    {name, {scale, offset, {m, kg, s, A, K, mol, cd}}},
#include "lang/units.def"
#undef UNIT
};

const struct td_lang_unit td_lang_unit_one = {.scale = 1};
const struct td_lang_unit td_lang_unit_second = {.scale = 1, .dim = {0, 0, 1}};

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The longest unit name that ends where a word could end. */
static const struct named *name_read(td_slice text, size_t *bytes)
{
    const struct named *best = NULL;
    *bytes = 0;
    for (size_t i = 0; i < TD_COUNT(table); i++) {
        td_slice name = td_slice_of(table[i].name);
        bool ends = text.n == name.n || !is_letter(text.n > name.n ? text.p[name.n] : 0);
        if (td_slice_starts(text, name) && ends && name.n > *bytes) {
            best = &table[i];
            *bytes = name.n;
        }
    }
    return best;
}

/* ² ³ or a digit 2, 3 directly behind: m2, m³. */
static size_t power_read(td_slice text, int *power)
{
    *power = 1;
    if (td_slice_starts(text, TD_STR("²")) || td_slice_starts(text, TD_STR("³"))) {
        *power = text.p[1] == 0xB2 ? 2 : 3;
        return 2;
    }
    bool digit = text.n > 0 && (text.p[0] == '2' || text.p[0] == '3');
    bool more = text.n > 1 && text.p[1] >= '0' && text.p[1] <= '9';
    bool part = text.n > 1 && (is_letter(text.p[1]) || text.p[1] == '.');
    if (digit && !more && !part) {
        *power = text.p[0] - '0';
        return 1;
    }
    return 0;
}

static bool multiply(struct td_lang_unit *u, const struct td_lang_unit *by, int power)
{
    for (int i = 0; i < (power < 0 ? -power : power); i++) {
        if (!td_lang_unit_mul(u, by, power < 0 ? -1 : 1, u)) {
            return false;
        }
    }
    return true;
}

size_t td_lang_unit_read(td_slice text, struct td_lang_unit *out, bool *lone_m)
{
    struct td_lang_unit u = td_lang_unit_one;
    size_t at = 0, factors = 0;
    int sign = 1;
    *lone_m = false;
    for (;;) {
        size_t n;
        int power;
        const struct named *one = name_read(td_slice_skip(text, at), &n);
        if (one == NULL) {
            break;
        }
        size_t p = power_read(td_slice_skip(text, at + n), &power);
        if (factors == 0 && p == 0) {
            u = one->unit; /* alone it keeps its offset */
            *lone_m = strcmp(one->name, "m") == 0;
        } else {
            u.offset = 0;
            *lone_m = false;
            if (!multiply(&u, &one->unit, sign * power)) {
                return 0;
            }
        }
        *out = u;
        factors++;
        at += n + p;
        uint8_t c = at < text.n ? text.p[at] : 0;
        size_t behind;
        if ((c != '/' && c != '*') || name_read(td_slice_skip(text, at + 1), &behind) == NULL) {
            return at;
        }
        sign = c == '/' ? -1 : sign;
        at++;
    }
    return 0;
}

bool td_lang_unit_same_dim(const struct td_lang_unit *a, const struct td_lang_unit *b)
{
    return memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

static bool near(double a, double b)
{
    double d = a - b, size = a < 0 ? -a : a;
    return d <= size * 1e-12 && -d <= size * 1e-12;
}

bool td_lang_unit_eq(const struct td_lang_unit *a, const struct td_lang_unit *b)
{
    return td_lang_unit_same_dim(a, b) && near(a->scale, b->scale) && near(a->offset, b->offset);
}

bool td_lang_unit_mul(const struct td_lang_unit *a, const struct td_lang_unit *b, int sign,
                      struct td_lang_unit *out)
{
    struct td_lang_unit u = {.scale = sign < 0 ? a->scale / b->scale : a->scale * b->scale};
    for (size_t i = 0; i < TD_LANG_DIMS; i++) {
        int power = a->dim[i] + sign * b->dim[i];
        if (power < -120 || power > 120) {
            return false;
        }
        u.dim[i] = (int8_t)power;
    }
    if (!(u.scale > 1e-300 && u.scale < 1e300)) {
        return false;
    }
    *out = u;
    return true;
}

static void name_build(const struct td_lang_unit *u, char out[TD_LANG_UNIT_NAME])
{
    static const char *const base[TD_LANG_DIMS] = {"m", "kg", "s", "A", "K", "mol", "cd"};
    size_t at = 0;
    out[0] = 0;
    if (!near(u->scale, 1)) {
        at += (size_t)snprintf(out, TD_LANG_UNIT_NAME, "%g", u->scale);
    }
    for (size_t i = 0; i < TD_LANG_DIMS && at < TD_LANG_UNIT_NAME; i++) {
        if (u->dim[i] != 0) {
            at += (size_t)snprintf(out + at, TD_LANG_UNIT_NAME - at,
                                   u->dim[i] == 1 ? "%s%s" : "%s%s%d", at > 0 ? " " : "", base[i],
                                   u->dim[i]);
        }
    }
}

void td_lang_unit_name(const struct td_lang_unit *u, char out[TD_LANG_UNIT_NAME])
{
    if (td_lang_unit_eq(u, &td_lang_unit_one)) {
        (void)snprintf(out, TD_LANG_UNIT_NAME, "plain");
        return;
    }
    for (size_t i = 0; i < TD_COUNT(table); i++) {
        if (td_lang_unit_eq(u, &table[i].unit)) {
            (void)snprintf(out, TD_LANG_UNIT_NAME, "%s", table[i].name);
            return;
        }
    }
    struct td_lang_unit per_second = td_lang_unit_second;
    if (td_lang_unit_mul(&td_lang_unit_one, &td_lang_unit_second, -1, &per_second) &&
        td_lang_unit_eq(u, &per_second)) {
        (void)snprintf(out, TD_LANG_UNIT_NAME, "1/s");
        return;
    }
    name_build(u, out);
}
