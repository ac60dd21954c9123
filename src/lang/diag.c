/* lang: messages for people. Place, line, caret; then why it is wrong and what to try. */
#include "lang/lang.h"

#include <stdarg.h>
#include <stdio.h>

void td_lang_line_of(td_slice text, uint32_t at, uint32_t *line, uint32_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < at && i < text.n; i++) {
        if (text.p[i] == '\n') {
            (*line)++;
            *column = 1;
        } else if ((text.p[i] & 0xC0) != 0x80) {
            (*column)++;
        }
    }
}

static void __attribute__((format(printf, 2, 0)))
vsay(struct td_buf *out, const char *format, va_list args)
{
    char text[512];
    int n = vsnprintf(text, sizeof text, format, args);
    if (n > 0) {
        size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
        (void)td_buf_add(out, (td_slice){(const uint8_t *)text, len}); /* full: the rest is lost */
    }
}

static size_t chars(td_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += (s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

/* The line of the place with its number, and a caret under the place. Tabs are shown as blanks, so
 * that the caret stands right. */
static void show_line(struct td_buf *out, td_slice text, struct td_lang_place at, uint32_t line)
{
    size_t from = at.at < text.n ? at.at : text.n;
    while (from > 0 && text.p[from - 1] != '\n') {
        from--;
    }
    td_slice all = td_slice_skip(text, from);
    all = td_slice_head(all, td_slice_find(all, '\n'));
    (void)td_buf_printf(out, "%5u | ", line);
    for (size_t i = 0; i < all.n; i++) {
        bool plain = all.p[i] >= 0x20 && all.p[i] != 0x7F;
        (void)td_buf_add_u8(out, plain ? all.p[i] : ' ');
    }
    size_t skip = chars(td_slice_head(all, at.at - from));
    size_t width = chars(td_slice_head(td_slice_skip(all, at.at - from), at.n));
    (void)td_buf_printf(out, "\n      | %*s^", (int)skip, "");
    for (size_t i = 1; i < width; i++) {
        (void)td_buf_add_u8(out, '~');
    }
    (void)td_buf_add_u8(out, '\n');
}

static void __attribute__((format(printf, 4, 0)))
message(struct td_lang_diag *d, struct td_lang_place at, const char *level, const char *format,
        va_list args)
{
    const struct td_lang_source *s = &d->sources[at.file];
    uint32_t line, column;
    td_lang_line_of(s->text, at.at, &line, &column);
    (void)td_buf_printf(d->out, "%.*s:%u:%u: %s: ", TD_LANG_S(s->name), line, column, level);
    vsay(d->out, format, args);
    (void)td_buf_add_u8(d->out, '\n');
    show_line(d->out, s->text, at, line);
}

void td_lang_error(struct td_lang_diag *d, struct td_lang_place at, const char *format, ...)
{
    d->quiet = d->errors++ >= TD_LANG_ERRORS_MAX;
    if (!d->quiet) {
        va_list args;
        va_start(args, format);
        message(d, at, "error", format, args);
        va_end(args);
    }
}

void td_lang_warning(struct td_lang_diag *d, struct td_lang_place at, const char *format, ...)
{
    d->quiet = d->warnings++ >= TD_LANG_ERRORS_MAX;
    if (!d->quiet) {
        va_list args;
        va_start(args, format);
        message(d, at, "warning", format, args);
        va_end(args);
    }
}

static void __attribute__((format(printf, 3, 0)))
note(struct td_lang_diag *d, const char *label, const char *format, va_list args)
{
    if (!d->quiet) {
        (void)td_buf_printf(d->out, "  %s: ", label);
        vsay(d->out, format, args);
        (void)td_buf_add_u8(d->out, '\n');
    }
}

void td_lang_why(struct td_lang_diag *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(d, "why", format, args);
    va_end(args);
}

void td_lang_try(struct td_lang_diag *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(d, "try", format, args);
    va_end(args);
}

/* ---- the nearest name: Levenshtein with swaps, caseless ---- */

enum { WORD_MAX = 32 };

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(td_slice a, td_slice b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++) {
        above[j] = j;
        before[j] = 0;
    }
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            bool same = lower(a.p[i - 1]) == lower(b.p[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
                lower(a.p[i - 2]) == lower(b.p[j - 1])) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[b.n];
}

td_slice td_lang_nearest(td_slice word, const td_slice *candidates, size_t count)
{
    td_slice best = {NULL, 0};
    size_t best_far = word.n / 3 + 1;
    if (word.n > WORD_MAX) {
        return best;
    }
    for (size_t i = 0; i < count; i++) {
        if (candidates[i].n == 0 || candidates[i].n > WORD_MAX) {
            continue;
        }
        size_t far = distance(word, candidates[i]);
        if (far < best_far || (far == best_far && best.n == 0)) {
            best = candidates[i];
            best_far = far;
        }
    }
    return best;
}
