/* json: numbers to doubles and back, exactly and whatever the locale says.
 *
 * Reading. A decimal is digits x 10^exponent. Up to 15 digits and small powers are two exact
 * doubles and one correctly rounded operation (Clinger 1990). The rest goes to strtod() rewritten
 * as "digits e exponent": without a radix point the locale has no say.
 *
 * Writing. Values as machines send them have few decimals: find the least k for which v x 10^k is
 * within 15 digits and divides back to v. Any two decimals of 15 digits are different doubles, so
 * that is the shortest. The rest tries 15, 16, 17 digits with snprintf(). A table-driven algorithm
 * (Ryu, Schubfach) would serve the rest faster for 10 KB of table; the rest is rare here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

enum {
    EXACT_DIGITS = 15,        /* any integer of so many digits is exact as a double */
    DIGITS_MAX = 768,         /* more never change a double, beyond "something followed" */
    EXPONENT_MAX = 1000000000 /* clamps absurd exponents before they overflow */
};

/* ---- reading ---- */

struct decimal {
    bool negative, whole; /* whole: neither fraction nor exponent */
    char digits[DIGITS_MAX + 1];
    size_t count;     /* of digits, leading zeros left out */
    int64_t exponent; /* digits as an integer x 10^exponent */
};

static void digit(struct decimal *d, uint8_t c, bool fraction)
{
    if (d->count == 0 && c == '0') {
        d->exponent -= fraction;
    } else if (d->count < DIGITS_MAX) {
        d->digits[d->count++] = (char)c;
        d->exponent -= fraction;
    } else {
        d->exponent += !fraction;
        if (c != '0') { /* sticky: the last digit kept says that something followed */
            d->digits[DIGITS_MAX] = '1';
        }
    }
}

static size_t run(td_slice s, size_t at, struct decimal *d, bool fraction)
{
    while (at < s.n && td_in(s.p[at], '0', '9')) {
        digit(d, s.p[at++], fraction);
    }
    return at;
}

static int64_t exponent_of(td_slice s, size_t at)
{
    bool negative = s.p[at] == '-';
    int64_t e = 0;
    for (at += s.p[at] == '-' || s.p[at] == '+'; at < s.n; at++) {
        e = e < EXPONENT_MAX ? e * 10 + (s.p[at] - '0') : e;
    }
    return negative ? -e : e;
}

/* s is one JSON number. */
static void decimal_of(td_slice s, struct decimal *d)
{
    d->negative = s.p[0] == '-';
    d->count = 0;
    d->exponent = 0;
    d->digits[DIGITS_MAX] = 0;
    size_t at = run(s, d->negative, d, false);
    d->whole = at == s.n;
    if (at < s.n && s.p[at] == '.') {
        at = run(s, at + 1, d, true);
    }
    if (at < s.n) {
        d->exponent += exponent_of(s, at + 1);
    }
    if (d->digits[DIGITS_MAX] != 0) {
        d->count = DIGITS_MAX + 1;
        d->exponent--;
    }
}

/* The digits as an integer; false: more than uint64 holds. */
static bool integer_of(const struct decimal *d, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < d->count; i++) {
        uint64_t c = (uint64_t)(d->digits[i] - '0');
        if (v > (UINT64_MAX - c) / 10) {
            return false;
        }
        v = v * 10 + c;
    }
    *out = v;
    return true;
}

static double slow(const struct decimal *d)
{
    char text[DIGITS_MAX + 32];
    int64_t e = d->exponent > EXPONENT_MAX    ? EXPONENT_MAX
                : d->exponent < -EXPONENT_MAX ? -EXPONENT_MAX
                                              : d->exponent;
    (void)snprintf(text, sizeof text, "%.*se%d", (int)d->count, d->digits, (int)e);
    return strtod(text, NULL);
}

static double magnitude(const struct decimal *d)
{
    uint64_t m;
    if (d->count == 0) {
        return 0;
    }
    if (d->count <= EXACT_DIGITS && d->exponent >= -22 && d->exponent <= 22 && integer_of(d, &m)) {
        return d->exponent < 0 ? (double)m / powers[-d->exponent] : (double)m * powers[d->exponent];
    }
    return slow(d);
}

/* False: beyond int64. */
static bool int64_of(const struct decimal *d, int64_t *out)
{
    uint64_t m;
    if (!integer_of(d, &m) || m > (uint64_t)INT64_MAX + d->negative) {
        return false;
    }
    *out = d->negative ? (int64_t)(0 - m) : (int64_t)m;
    return true;
}

static bool is_number(td_slice span)
{
    struct td_json j;
    struct td_json_token t;
    td_json_init(&j, span);
    return td_json_next(&j, &t) == TD_JSON_NUMBER && t.span.n == span.n;
}

enum td_err td_json_number(td_slice span, double *number, int64_t *integer, bool *is_int)
{
    struct decimal d;
    if (!is_number(span)) {
        return TD_ESYNTAX;
    }
    decimal_of(span, &d);
    double v = magnitude(&d);
    if (!isfinite(v)) {
        return TD_ERANGE;
    }
    int64_t i = 0;
    *is_int = d.whole && int64_of(&d, &i);
    *integer = i;
    *number = d.negative ? -v : v;
    return TD_OK;
}

/* ---- writing ---- */

enum { TEXT_MAX = 40 };

/* Shortest digits of v > 0 into out[18] without trailing zeros; *point: the radix point stands
 * behind so many of them (0.25: "25", 0). Gives their count. */
static size_t shortest(double v, char out[18], int *point)
{
    char text[TEXT_MAX];
    int places = v < 2.3e-308 ? 1 : EXACT_DIGITS; /* subnormals have fewer digits than 15 */
    for (;; places++) {
        (void)snprintf(text, sizeof text, "%.*e", places - 1, v);
        if (places == 17 || strtod(text, NULL) == v) {
            break;
        }
    }
    size_t n = 1;
    out[0] = text[0];
    char *e = strchr(text, 'e');
    for (char *p = text + 2; p < e; p++) { /* behind the radix point, whatever its character */
        out[n++] = *p;
    }
    *point = (int)strtol(e + 1, NULL, 10) + 1;
    while (n > 1 && out[n - 1] == '0') {
        n--;
    }
    return n;
}

/* Digits to text as ECMAScript's Number::toString lays them out. */
static enum td_err lay_out(struct td_buf *out, const char *d, size_t n, int point)
{
    int count = (int)n;
    if (point > 21 || point < -5) {
        return td_buf_printf(out, "%c%s%.*se%+d", d[0], n > 1 ? "." : "", count - 1, d + 1,
                             point - 1);
    }
    if (point <= 0) {
        return td_buf_printf(out, "0.%.*s%.*s", -point, "000000", count, d);
    }
    if (point >= count) {
        return td_buf_printf(out, "%.*s%.*s", count, d, point - count, "000000000000000000000");
    }
    return td_buf_printf(out, "%.*s.%.*s", point, d, count - point, d + point);
}

/* v as an integer of at most 15 digits over 10^places with few places; false: it is none. */
static bool few_decimals(double v, int64_t *scaled, int *places)
{
    for (int k = 0; k <= 9; k++) {
        double m = v * powers[k];
        if (fabs(m) >= 1e15) {
            return false;
        }
        int64_t whole = (int64_t)(m < 0 ? m - 0.5 : m + 0.5);
        if ((double)whole / powers[k] == v) {
            *scaled = whole;
            *places = k;
            return true;
        }
    }
    return false;
}

static enum td_err add_scaled(struct td_buf *out, int64_t scaled, int places)
{
    int64_t unit = (int64_t)powers[places], m = scaled < 0 ? -scaled : scaled;
    const char *sign = scaled < 0 ? "-" : "";
    if (places == 0) {
        return td_buf_printf(out, "%s%lld", sign, (long long)m);
    }
    return td_buf_printf(out, "%s%lld.%0*lld", sign, (long long)(m / unit), places,
                         (long long)(m % unit));
}

enum td_err td_json_add_number(struct td_buf *out, double number)
{
    char digits[18];
    int64_t scaled;
    int places;
    if (!isfinite(number)) {
        return td_buf_add(out, TD_STR("null"));
    }
    if (number == 0) {
        return td_buf_add(out, signbit(number) ? TD_STR("-0") : TD_STR("0"));
    }
    /* Below 1e-6 the layout has an exponent; leave that to the general way. */
    if (fabs(number) >= 1e-6 && few_decimals(number, &scaled, &places)) {
        return add_scaled(out, scaled, places);
    }
    enum td_err err = number < 0 ? td_buf_add_u8(out, '-') : TD_OK;
    size_t n = shortest(fabs(number), digits, &places);
    return err == TD_OK ? lay_out(out, digits, n, places) : err;
}

enum td_err td_json_add_int(struct td_buf *out, int64_t number)
{
    return td_buf_printf(out, "%lld", (long long)number);
}
