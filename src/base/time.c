/* time: days to dates and back by the era arithmetic of 400 years that count from 1 March, so that
 * the leap day is the last day of a year. */
#include "base/time.h"

#include <stdio.h>

#define NS_PER_DAY (INT64_C(86400) * TD_NS_PER_S)

struct date {
    int64_t year;
    unsigned month, day;
};

/* Days since 1970-01-01. */
static int64_t days_of(struct date d)
{
    int64_t year = d.month <= 2 ? d.year - 1 : d.year;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t month = d.month > 2 ? d.month - 3 : d.month + 9;
    int64_t of_year = (153 * month + 2) / 5 + d.day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct date date_of(int64_t days)
{
    days += 719468;
    int64_t era = days / 146097, of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    struct date d = {.year = year + era * 400 + (month >= 10),
                     .month = (unsigned)(month < 10 ? month + 3 : month - 9),
                     .day = (unsigned)(of_year - (153 * month + 2) / 5 + 1)};
    return d;
}

static unsigned days_in(struct date d)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
    return days[d.month - 1] + (d.month == 2 && leap ? 1U : 0U);
}

void td_time_text(td_wall at, char out[TD_TIME_TEXT_BYTES])
{
    char text[64];
    int64_t ms = at < 0 ? 0 : at / TD_NS_PER_MS, s = ms / 1000;
    struct date d = date_of(s / 86400);
    (void)snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", (int)d.year, d.month,
                   d.day, (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60),
                   (int)(ms % 1000));
    memcpy(out, text, TD_TIME_TEXT_BYTES);
}

void td_time_http(td_wall at, char out[TD_TIME_HTTP_BYTES])
{
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char text[64];
    int64_t s = at < 0 ? 0 : at / TD_NS_PER_S, day = s / 86400;
    struct date d = date_of(day);
    (void)snprintf(text, sizeof text, "%.3s, %02u %.3s %04d %02d:%02d:%02d GMT",
                   days + 3 * (day % 7), d.day, months + 3 * (size_t)(d.month - 1), (int)d.year,
                   (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60));
    memcpy(out, text, TD_TIME_HTTP_BYTES);
}

/* ---- reading ---- */

static bool digit(td_slice s)
{
    return s.n > 0 && td_in(s.p[0], '0', '9');
}

/* Exactly `count` digits; false: they are not there. */
static bool number(td_slice *s, size_t count, unsigned *out)
{
    unsigned v = 0;
    for (size_t i = 0; i < count; i++) {
        if (!digit(*s)) {
            return false;
        }
        v = v * 10 + (s->p[0] - (unsigned)'0');
        *s = td_slice_skip(*s, 1);
    }
    *out = v;
    return true;
}

static bool character(td_slice *s, const char *any)
{
    if (s->n == 0 || s->p[0] == 0 || strchr(any, s->p[0]) == NULL) {
        return false;
    }
    *s = td_slice_skip(*s, 1);
    return true;
}

/* Behind the seconds' point: digits, of which nine count. */
static bool fraction(td_slice *s, int64_t *ns)
{
    int64_t unit = TD_NS_PER_S / 10;
    if (!digit(*s)) {
        return false;
    }
    for (*ns = 0; digit(*s); *s = td_slice_skip(*s, 1)) {
        *ns += unit * (s->p[0] - '0');
        unit /= 10;
    }
    return true;
}

/* "Z", "+01:00" or nothing; *offset in seconds. */
static enum td_err zone(td_slice *s, int64_t *offset)
{
    unsigned hours, minutes;
    *offset = 0;
    if (s->n == 0 || character(s, "Zz")) {
        return TD_OK;
    }
    bool west = s->p[0] == '-';
    if (!character(s, "+-") || !number(s, 2, &hours) || !character(s, ":") ||
        !number(s, 2, &minutes)) {
        return TD_ESYNTAX;
    }
    *offset = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return hours < 24 && minutes < 60 ? TD_OK : TD_ERANGE;
}

struct clock {
    unsigned hour, minute, second;
    int64_t ns, offset;
};

/* "09:00", "09:00:00.5", with a zone. */
static enum td_err clock_of(td_slice *s, struct clock *c)
{
    if (!number(s, 2, &c->hour) || !character(s, ":") || !number(s, 2, &c->minute)) {
        return TD_ESYNTAX;
    }
    if (character(s, ":")) {
        if (!number(s, 2, &c->second) || (character(s, ".") && !fraction(s, &c->ns))) {
            return TD_ESYNTAX;
        }
    }
    enum td_err err = zone(s, &c->offset);
    bool exists = c->hour < 24 && c->minute < 60 && c->second < 61; /* 60: a leap second */
    return err != TD_OK ? err : exists ? TD_OK : TD_ERANGE;
}

static enum td_err rfc3339(td_slice s, td_wall *out)
{
    unsigned year;
    struct date d;
    struct clock c = {0};
    if (!number(&s, 4, &year) || !character(&s, "-") || !number(&s, 2, &d.month) ||
        !character(&s, "-") || !number(&s, 2, &d.day)) {
        return TD_ESYNTAX;
    }
    d.year = year;
    if (s.n > 0) {
        enum td_err err = character(&s, "Tt ") ? clock_of(&s, &c) : TD_ESYNTAX;
        if (err != TD_OK || s.n > 0) {
            return err != TD_OK ? err : TD_ESYNTAX;
        }
    }
    if (!td_in(year, 1970, 2261) || !td_in(d.month, 1, 12) || !td_in(d.day, 1, days_in(d))) {
        return TD_ERANGE;
    }
    int64_t s_of_day = (int64_t)c.hour * 3600 + (int64_t)c.minute * 60 + c.second - c.offset;
    *out = days_of(d) * NS_PER_DAY + s_of_day * TD_NS_PER_S + c.ns;
    return TD_OK;
}

/* Digits to the end or to one letter; false: something else. */
static bool count_and_unit(td_slice s, int64_t *count, uint8_t *unit)
{
    int64_t v = 0;
    bool any = digit(s);
    for (; digit(s); s = td_slice_skip(s, 1)) {
        v = v < INT64_MAX / 100 ? v * 10 + (s.p[0] - '0') : INT64_MAX;
    }
    *count = v;
    *unit = s.n > 0 ? s.p[0] : 0;
    return any && s.n <= 1;
}

static enum td_err ago(td_slice s, td_wall now, td_wall *out)
{
    static const struct {
        uint8_t letter;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    int64_t count, span;
    uint8_t letter;
    if (!count_and_unit(s, &count, &letter)) {
        return TD_ESYNTAX;
    }
    for (size_t i = 0; i < TD_COUNT(units); i++) {
        if (units[i].letter == letter) {
            bool fits = !__builtin_mul_overflow(count, units[i].seconds * TD_NS_PER_S, &span) &&
                        span <= now;
            *out = fits ? now - span : *out;
            return fits ? TD_OK : TD_ERANGE;
        }
    }
    return TD_ESYNTAX;
}

enum td_err td_time_parse(td_slice text, td_wall now, td_wall *out)
{
    int64_t ms, ns;
    uint8_t unit;
    if (td_slice_eq(text, TD_STR("now"))) {
        *out = now;
        return TD_OK;
    }
    if (text.n > 0 && text.p[0] == '-') {
        return ago(td_slice_skip(text, 1), now, out);
    }
    if (!count_and_unit(text, &ms, &unit) || unit != 0) {
        return rfc3339(text, out);
    }
    if (__builtin_mul_overflow(ms, TD_NS_PER_MS, &ns)) {
        return TD_ERANGE;
    }
    *out = ns;
    return TD_OK;
}
