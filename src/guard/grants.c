/* guard: the grants file. A line is a grant:
 *
 *     who             verdict  actions             pattern (to the end of the line)
 *     role:operator   allow    read,subscribe      things/#
 *     anna            deny     publish             things/+/cmd/erase
 *     *               allow    read,subscribe      public/#
 *
 * `who` is a principal, role:NAME, or * for everybody. */
#include <stdarg.h>
#include <stdio.h>

#include "guard/inside.h"

/* ---- lines ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static td_slice trimmed(td_slice s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s = td_slice_skip(s, 1);
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

bool td_guard_line_next(struct td_guard_lines *l)
{
    while (l->rest.n > 0) {
        td_slice line = td_slice_head(l->rest, td_slice_find(l->rest, '\n'));
        l->rest = td_slice_skip(l->rest, line.n + 1);
        l->line = trimmed(line);
        l->number++;
        if (l->line.n > 0 && l->line.p[0] != '#') {
            return true;
        }
    }
    return false;
}

enum td_err td_guard_line_wrong(const struct td_guard_lines *l, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* what is too long is cut */
    va_end(args);
    (void)td_buf_printf(l->why, "%s:%u: %s", l->file->name, (unsigned)l->number, text);
    return TD_ESYNTAX;
}

td_slice td_guard_word_next(td_slice *rest)
{
    size_t n = 0;
    while (n < rest->n && !is_blank(rest->p[n])) {
        n++;
    }
    td_slice word = td_slice_head(*rest, n);
    *rest = trimmed(td_slice_skip(*rest, n));
    return word;
}

/* ---- grants ---- */

static const struct {
    const char *word;
    unsigned actions;
} words[] = {{"publish", TD_GUARD_PUBLISH},
             {"subscribe", TD_GUARD_SUBSCRIBE},
             {"read", TD_GUARD_READ},
             {"write", TD_GUARD_WRITE},
             {"admin", TD_GUARD_ADMIN},
             {"send", TD_GUARD_PUBLISH | TD_GUARD_WRITE},
             {"receive", TD_GUARD_SUBSCRIBE | TD_GUARD_READ},
             {"all", TD_GUARD_ALL}};

enum { ACTION_COUNT = 5 }; /* the rest are several */

unsigned td_guard_action_of(td_slice word)
{
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (td_slice_eq(word, td_slice_of(words[i].word))) {
            return words[i].actions;
        }
    }
    return 0;
}

static unsigned actions_of(td_slice list, td_slice *unknown)
{
    unsigned actions = 0;
    while (list.n > 0) {
        td_slice word = td_slice_head(list, td_slice_find(list, ','));
        size_t i = 0;
        while (i < TD_COUNT(words) && !td_slice_eq(word, td_slice_of(words[i].word))) {
            i++;
        }
        if (i == TD_COUNT(words)) {
            *unknown = word;
            return 0;
        }
        actions |= words[i].actions;
        list = td_slice_skip(list, word.n + 1);
    }
    return actions;
}

static enum td_err who_read(const struct td_guard_lines *l, td_slice word, struct td_grant *out)
{
    if (td_slice_eq(word, TD_STR("*"))) {
        out->to = TD_GRANT_EVERYBODY;
        return TD_OK;
    }
    bool role = td_slice_starts(word, TD_STR("role:"));
    out->to = role ? TD_GRANT_ROLE : TD_GRANT_PRINCIPAL;
    out->who = role ? td_slice_skip(word, 5) : word;
    if (!td_guard_name_valid(out->who)) {
        return td_guard_line_wrong(l,
                                   "'%.*s' is no principal, role:NAME, or *; a name has no blanks "
                                   "and none of + # / : ,",
                                   (int)(word.n < 100 ? word.n : 100), (const char *)word.p);
    }
    return TD_OK;
}

static enum td_err grant_read(const struct td_guard_lines *l, struct td_arena *arena,
                              struct td_grant *out)
{
    td_slice rest = l->line, unknown = {NULL, 0};
    enum td_err err = who_read(l, td_guard_word_next(&rest), out);
    if (err != TD_OK) {
        return err;
    }
    td_slice verdict = td_guard_word_next(&rest), list = td_guard_word_next(&rest);
    out->deny = td_slice_eq(verdict, TD_STR("deny"));
    if (!out->deny && !td_slice_eq(verdict, TD_STR("allow"))) {
        return td_guard_line_wrong(l,
                                   "behind who stands allow or deny, not '%.*s'; a line is: WHO "
                                   "allow|deny ACTIONS PATTERN",
                                   (int)(verdict.n < 60 ? verdict.n : 60), (const char *)verdict.p);
    }
    out->actions = (uint8_t)actions_of(list, &unknown);
    if (out->actions == 0) {
        return td_guard_line_wrong(
            l,
            "'%.*s' is no action; there are publish, subscribe, read, write, "
            "admin, and send, receive, all; commas between them",
            (int)(unknown.n < 60 ? unknown.n : 60), (const char *)unknown.p);
    }
    const char *wrong = NULL;
    out->text = rest;
    out->pattern = td_guard_pattern_parse(rest, arena, &wrong);
    if (out->pattern == NULL) {
        return td_guard_line_wrong(l, "pattern '%.*s': %s", (int)(rest.n < 200 ? rest.n : 200),
                                   (const char *)rest.p, wrong);
    }
    return TD_OK;
}

static void grant_add(struct td_guard_set *set, struct td_grant *grant)
{
    *set->end = grant;
    set->end = &grant->next;
    set->grant_count++;
}

enum td_err td_guard_grants_read(struct td_guard_set *set, const struct td_guard_file *file,
                                 struct td_buf *why)
{
    td_slice text = td_arena_copy(&set->arena, file->text);
    struct td_guard_lines l = {.file = file, .rest = text, .why = why};
    const char *name = (const char *)td_arena_copy(&set->arena, td_slice_of(file->name)).p;
    while (td_guard_line_next(&l)) {
        struct td_grant *grant = td_arena_alloc(&set->arena, sizeof *grant);
        enum td_err err = grant_read(&l, &set->arena, grant);
        if (err != TD_OK) {
            return err;
        }
        grant->line = l.number;
        grant->file = name;
        grant_add(set, grant);
    }
    return TD_OK;
}

static void built_in(struct td_guard_set *set, const char *role, unsigned actions,
                     const char *pattern)
{
    const char *wrong;
    struct td_grant *grant = td_arena_alloc(&set->arena, sizeof *grant);
    *grant = (struct td_grant){.to = TD_GRANT_ROLE,
                               .who = td_slice_of(role),
                               .actions = (uint8_t)actions,
                               .file = "built in",
                               .text = td_slice_of(pattern)};
    grant->pattern = td_guard_pattern_parse(grant->text, &set->arena, &wrong);
    grant_add(set, grant);
}

void td_guard_grants_built_in(struct td_guard_set *set)
{
    built_in(set, "device", TD_GUARD_ALL & ~TD_GUARD_ADMIN, "things/%u/#");
    built_in(set, "admin", TD_GUARD_ALL, "#");
    built_in(set, "admin", TD_GUARD_ALL, "$SYS/#");
}
