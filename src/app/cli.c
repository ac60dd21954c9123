/* app: the command line from its rows. */
#include "app/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- nearest name: edit distance over short words ---- */

enum { WORD_MAX = 32, FAR = 3 };

static size_t distance(td_slice a, td_slice b)
{
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= b.n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t replace = diagonal + (a.p[i - 1] != b.p[j - 1]);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replace < shorter ? replace : shorter;
        }
    }
    return row[b.n];
}

const char *td_cli_nearest(const char *word, const char *const *candidates, size_t count)
{
    td_slice w = td_slice_of(word);
    const char *best = NULL;
    size_t best_far = FAR;
    for (size_t i = 0; i < count; i++) {
        td_slice c = td_slice_of(candidates[i]);
        if (w.n <= WORD_MAX && c.n <= WORD_MAX) {
            size_t far = td_slice_starts(c, w) && w.n > 1 ? 1 : distance(w, c);
            if (far < best_far && far < c.n) {
                best = candidates[i];
                best_far = far;
            }
        }
    }
    return best;
}

/* ---- options ---- */

struct parse {
    const char *command, *usage, *more;
    const struct td_cli_option *options;
    size_t count;
    int argc, at; /* at: the argument looked at */
    char **argv;
    struct td_cli_list *words;
    bool only_words; /* behind "--" */
};

static void print_help(const struct parse *p)
{
    printf("usage: tandem %s %s\n", p->command, p->usage);
    for (size_t i = 0; i < p->count; i++) {
        const struct td_cli_option *o = &p->options[i];
        char left[64];
        char letter[4] = {'-', o->letter, o->name == NULL ? '\0' : ',', '\0'};
        (void)snprintf(left, sizeof left, "%-3s %s %s", o->letter == 0 ? "" : letter,
                       o->name == NULL ? "" : o->name, o->value == NULL ? "" : o->value);
        printf("  %-26s %s\n", left, o->help);
    }
    printf("%s%s", p->more == NULL ? "" : "\n", p->more == NULL ? "" : p->more);
}

static bool complain(const struct parse *p, const char *what, const char *thing, const char *remedy)
{
    (void)fprintf(stderr, "tandem %s: %s: %s; %s\n", p->command, thing, what, remedy);
    return false;
}

static bool take_number(const struct parse *p, const struct td_cli_option *o, const char *text,
                        const char *shown)
{
    char *end, rule[96];
    errno = 0;
    long long whole = 0;
    double real = 0;
    if (o->kind == TD_CLI_NUMBER) {
        whole = strtoll(text, &end, 10);
        real = (double)whole;
    } else {
        real = strtod(text, &end);
    }
    if (end == text || *end != '\0' || errno != 0 || !(real >= (double)o->least) ||
        !(real <= (double)o->most)) {
        (void)snprintf(rule, sizeof rule, "give a number from %lld to %lld", (long long)o->least,
                       (long long)o->most);
        char what[96];
        (void)snprintf(what, sizeof what, "\"%.60s\" does not fit", text);
        return complain(p, what, shown, rule);
    }
    if (o->kind == TD_CLI_NUMBER) {
        *(int64_t *)o->into = whole;
    } else {
        *(double *)o->into = real;
    }
    return true;
}

static bool list_add(const struct parse *p, struct td_cli_list *list, const char *text,
                     const char *shown)
{
    if (list->count == TD_CLI_LIST_MAX) {
        return complain(p, "too many of them", shown, "at most 64 are taken");
    }
    list->at[list->count++] = text;
    return true;
}

static bool take_value(const struct parse *p, const struct td_cli_option *o, const char *text,
                       const char *shown)
{
    switch (o->kind) {
    case TD_CLI_TEXT:
        *(const char **)o->into = text;
        return true;
    case TD_CLI_LIST:
        return list_add(p, o->into, text, shown);
    case TD_CLI_NUMBER:
    case TD_CLI_REAL:
        return take_number(p, o, text, shown);
    case TD_CLI_FLAG:
    case TD_CLI_COUNT:
        break;
    }
    return complain(p, "takes no value", shown, "write it alone");
}

static bool is_flag(const struct td_cli_option *o)
{
    return o->kind == TD_CLI_FLAG || o->kind == TD_CLI_COUNT;
}

static void raise_flag(const struct td_cli_option *o)
{
    if (o->kind == TD_CLI_FLAG) {
        *(bool *)o->into = true;
    } else {
        ++*(int *)o->into;
    }
}

static bool unknown(const struct parse *p, const char *arg)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < p->count && n < TD_COUNT(names); i++) {
        if (p->options[i].name != NULL) {
            names[n++] = p->options[i].name;
        }
    }
    const char *near = td_cli_nearest(arg, names, n);
    char remedy[128];
    if (near == NULL) {
        (void)snprintf(remedy, sizeof remedy, "see tandem %s --help", p->command);
    } else {
        (void)snprintf(remedy, sizeof remedy, "did you mean %s?", near);
    }
    return complain(p, "no such option", arg, remedy);
}

/* The value behind an option: joined (`joined` not NULL) or the next argument. */
static bool option_value(struct parse *p, const struct td_cli_option *o, const char *joined,
                         const char *shown)
{
    if (joined == NULL && p->at + 1 >= p->argc) {
        char remedy[64];
        (void)snprintf(remedy, sizeof remedy, "write %s %s", shown, o->value);
        return complain(p, "a value is missing", shown, remedy);
    }
    return take_value(p, o, joined != NULL ? joined : p->argv[++p->at], shown);
}

static bool long_option(struct parse *p, const char *arg)
{
    size_t n = td_slice_find(td_slice_of(arg), '=');
    for (size_t i = 0; i < p->count; i++) {
        const struct td_cli_option *o = &p->options[i];
        if (o->name == NULL ||
            !td_slice_eq(td_slice_of(o->name), td_slice_head(td_slice_of(arg), n))) {
            continue;
        }
        if (is_flag(o) && arg[n] == '\0') {
            raise_flag(o);
            return true;
        }
        return option_value(p, o, arg[n] == '=' ? arg + n + 1 : NULL, o->name);
    }
    return unknown(p, arg);
}

static bool short_options(struct parse *p, const char *arg)
{
    for (const char *c = arg + 1; *c != '\0'; c++) {
        const struct td_cli_option *o = p->options;
        while (o < p->options + p->count && o->letter != *c) {
            o++;
        }
        char shown[3] = {'-', *c, '\0'};
        if (o == p->options + p->count) {
            return unknown(p, shown);
        }
        if (!is_flag(o)) {
            return option_value(p, o, c[1] != '\0' ? c + 1 : NULL, shown);
        }
        raise_flag(o);
    }
    return true;
}

static bool argument(struct parse *p, const char *arg)
{
    if (p->only_words || arg[0] != '-' || arg[1] == '\0') {
        return p->words != NULL ? list_add(p, p->words, arg, arg)
                                : complain(p, "not expected here", arg, "options begin with -");
    }
    if (arg[1] == '-' && arg[2] == '\0') {
        p->only_words = true;
        return true;
    }
    return arg[1] == '-' ? long_option(p, arg) : short_options(p, arg);
}

bool td_cli_parse(const char *command, const char *usage, const struct td_cli_option *options,
                  size_t count, const char *more, int argc, char **argv, struct td_cli_list *words,
                  int *status)
{
    struct parse p = {command, usage, more, options, count, argc, 1, argv, words, false};
    for (; p.at < argc; p.at++) {
        td_slice arg = td_slice_of(argv[p.at]);
        if (!p.only_words && td_slice_eq(arg, TD_STR("--help"))) {
            print_help(&p);
            *status = TD_CLI_OK;
            return false;
        }
        if (!argument(&p, argv[p.at])) {
            *status = TD_CLI_USAGE;
            return false;
        }
    }
    return true;
}

/* ---- subcommands ---- */

static void print_commands(const struct td_cli_command *commands, size_t count, FILE *to)
{
    (void)fprintf(to, "tandem: from a device's bytes to a decision, in one program\n\n"
                      "usage: tandem COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    (void)fprintf(to, "\ntandem COMMAND --help tells more of each.\n");
}

int td_cli_main(const struct td_cli_command *commands, size_t count, int argc, char **argv)
{
    const char *names[64];
    td_assert(count <= TD_COUNT(names));
    if (argc < 2) {
        print_commands(commands, count, stderr);
        return TD_CLI_USAGE;
    }
    td_slice word = td_slice_of(argv[1]);
    if (td_slice_eq(word, TD_STR("--help")) || td_slice_eq(word, TD_STR("help"))) {
        print_commands(commands, count, stdout);
        return TD_CLI_OK;
    }
    bool version = td_slice_eq(word, TD_STR("--version"));
    for (size_t i = 0; i < count; i++) {
        names[i] = commands[i].name;
        if (td_slice_eq(version ? TD_STR("version") : word, td_slice_of(names[i]))) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    const char *near = td_cli_nearest(argv[1], names, count);
    (void)fprintf(stderr, "tandem: %s: no such command; ", argv[1]);
    if (near == NULL) {
        (void)fprintf(stderr, "see tandem --help\n");
    } else {
        (void)fprintf(stderr, "did you mean %s?\n", near);
    }
    return TD_CLI_USAGE;
}
