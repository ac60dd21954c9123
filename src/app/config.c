/* app: configuration. Sections and settings are found in one table; a row's kind says how its value
 * is read, and defaults are read by the same code from the same text that help shows. */
#include "app/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/cli.h"
#include "base/toml.h"

enum kind {
    ADDRESSES,
    ADDRESS,
    TEXT,
    LIST,
    ALGORITHMS,
    WAYS,
    FLAG,
    COUNT,
    BYTES,
    SECONDS,
    PERMIT,
    PROTOCOL,
    OVER,
    ASK,
    VERSION
};

#define LISTENER_SECTION "listener"

static const struct setting {
    const char *section, *name;
    enum kind kind;
    size_t offset, bytes; /* of the field in struct td_config, or td_config_listener */
    uint64_t least, most; /* of numbers */
    const char *value;    /* the default, as TOML */
    const char *help;
} settings[] = {
#define SETTING(section, name, kind, field, least, most, value, help)                              \
    {#section,                                                                                     \
     #name,                                                                                        \
     kind,                                                                                         \
     offsetof(struct td_config, field),                                                            \
     sizeof(((struct td_config *)0)->field),                                                       \
     least,                                                                                        \
     most,                                                                                         \
     value,                                                                                        \
     help},
#define LISTENER(name, kind, field, least, most, value, help)                                      \
    {LISTENER_SECTION,                                                                             \
     #name,                                                                                        \
     kind,                                                                                         \
     offsetof(struct td_config_listener, field),                                                   \
     sizeof(((struct td_config_listener *)0)->field),                                              \
     least,                                                                                        \
     most,                                                                                         \
     value,                                                                                        \
     help},
#include "app/config.def"
#undef SETTING
#undef LISTENER
};

/* ---- values ---- */

/* Why a value is not taken; the words for its kind are in `takes`. */
static const char *const takes[] = {
    [ADDRESSES] = "an address and port in quotes, such as \"127.0.0.1:1883\", or \"off\"",
    [ADDRESS] = "an address in quotes, such as \"127.0.0.1:1883\" or \"unix:/run/tandem.sock\"",
    [TEXT] = "text in quotes",
    [LIST] = "an array of texts, such as [\"a\", \"b\"]",
    [ALGORITHMS] = "an array of \"RS256\", \"ES256\", \"EdDSA\"",
    [WAYS] = ("an array of \"password\", \"scram\", \"token\", \"certificate\", \"psk\", "
              "\"anonymous\", \"local\""),
    [FLAG] = "true or false",
    [COUNT] = "a whole number",
    [BYTES] = "a whole number of bytes, or text such as \"16 MB\"",
    [SECONDS] = "a whole number of seconds, or text such as \"30d\"",
    [PERMIT] = "octal digits in quotes, such as \"0660\"",
    [PROTOCOL] = "\"mqtt\" or \"http\"",
    [OVER] = "\"wait\", \"refuse\" or \"close\"",
    [ASK] = "\"none\", \"optional\" or \"required\"",
    [VERSION] = "\"1.2\" or \"1.3\""};

/* The words of a kind, in the order of their enum. */
static const char *const words[][8] = {
    [ALGORITHMS] = {"RS256", "ES256", "EdDSA"},
    [WAYS] = {"password", "scram", "token", "certificate", "psk", "anonymous", "local"},
    [PROTOCOL] = {"mqtt", "http"},
    [OVER] = {"wait", "refuse", "close"},
    [ASK] = {"none", "optional", "required"},
    [VERSION] = {"1.2", "1.3"}};

/* "16 MB", "30d": digits, maybe spaces, a unit of the kind. False: not that. */
static bool number_with_unit(td_slice text, enum kind kind, uint64_t *out)
{
    static const struct {
        const char *unit;
        enum kind kind;
        uint64_t times;
    } units[] = {{"B", BYTES, 1},
                 {"KB", BYTES, UINT64_C(1) << 10},
                 {"MB", BYTES, UINT64_C(1) << 20},
                 {"GB", BYTES, UINT64_C(1) << 30},
                 {"s", SECONDS, 1},
                 {"m", SECONDS, 60},
                 {"h", SECONDS, 3600},
                 {"d", SECONDS, 86400}};
    uint64_t v = 0;
    size_t i = 0;
    for (; i < text.n && td_in(text.p[i], '0', '9'); i++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, text.p[i] - '0', &v)) {
            return false;
        }
    }
    bool any = i > 0;
    while (i < text.n && text.p[i] == ' ') {
        i++;
    }
    for (size_t u = 0; u < TD_COUNT(units) && any; u++) {
        if (units[u].kind == kind &&
            td_slice_eq(td_slice_skip(text, i), td_slice_of(units[u].unit))) {
            return !__builtin_mul_overflow(v, units[u].times, out);
        }
    }
    return false;
}

static bool number_of(const struct setting *s, const struct td_toml *node, uint64_t *out)
{
    if (node->type == TD_TOML_INT && node->integer >= 0) {
        *out = (uint64_t)node->integer;
        return true;
    }
    return node->type == TD_TOML_STRING && number_with_unit(node->text, s->kind, out);
}

/* Little-endian or not, a field is written as what it is. */
static void number_put(void *field, size_t bytes, uint64_t v)
{
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;
    td_assert(bytes == 2 || bytes == 4 || bytes == 8);
    memcpy(field, bytes == 2 ? (const void *)&v16 : bytes == 4 ? (const void *)&v32 : &v, bytes);
}

static bool list_put(struct td_config *config, const struct td_toml *node,
                     struct td_serve_texts *out)
{
    const char **at = td_arena_alloc(&config->arena, (node->count + 1) * sizeof *at);
    size_t n = 0;
    if (node->type != TD_TOML_ARRAY) {
        return false;
    }
    for (const struct td_toml *item = node->first; item != NULL; item = item->next) {
        if (item->type != TD_TOML_STRING || item->text.n == 0) {
            return false;
        }
        at[n++] = (const char *)td_arena_copy(&config->arena, item->text).p;
    }
    *out = (struct td_serve_texts){at, n};
    return true;
}

static bool text_put(struct td_config *config, const struct td_toml *node, const char **out)
{
    if (node->type != TD_TOML_STRING || node->text.n == 0) {
        return false;
    }
    *out = (const char *)td_arena_copy(&config->arena, node->text).p;
    return true;
}

static bool addresses_put(struct td_config *config, const struct td_toml *node,
                          struct td_serve_texts *out)
{
    const char **one = td_arena_alloc(&config->arena, sizeof *one);
    if (node->type != TD_TOML_STRING) {
        return list_put(config, node, out);
    }
    *out = (struct td_serve_texts){one, td_slice_eq(node->text, TD_STR("off")) ? 0 : 1};
    return text_put(config, node, one);
}

static bool permit_put(const struct td_toml *node, uint64_t *out)
{
    if (node->type != TD_TOML_STRING || !td_in(node->text.n, 3, 4)) {
        return false;
    }
    for (size_t i = 0; i < node->text.n; i++) {
        if (!td_in(node->text.p[i], '0', '7')) {
            return false;
        }
        *out = *out * 8 + (node->text.p[i] - '0');
    }
    return true;
}

static bool word_put(const struct setting *s, const struct td_toml *node, uint64_t *out)
{
    for (; node->type == TD_TOML_STRING && words[s->kind][*out] != NULL; (*out)++) {
        if (td_slice_eq(node->text, td_slice_of(words[s->kind][*out]))) {
            return true;
        }
    }
    return false;
}

/* A list of a kind's words, as bits in the order of the words. */
static bool bits_put(const struct setting *s, const struct td_toml *node, uint64_t *out)
{
    for (const struct td_toml *item = node->first; item != NULL; item = item->next) {
        uint64_t bit = 0;
        if (!word_put(s, item, &bit)) {
            return false;
        }
        *out |= UINT64_C(1) << bit;
    }
    return node->type == TD_TOML_ARRAY && *out != 0;
}

/* Takes a value into its field of `base`; gives what is wrong with it, NULL: nothing. */
static const char *take(struct td_config *config, void *base, const struct setting *s,
                        const struct td_toml *node, char room[120])
{
    void *field = (uint8_t *)base + s->offset;
    uint64_t v = 0;
    bool fine = false;
    switch (s->kind) {
    case ADDRESSES:
        fine = addresses_put(config, node, field);
        break;
    case ADDRESS:
    case TEXT:
        fine = text_put(config, node, field);
        break;
    case LIST:
        fine = list_put(config, node, field);
        break;
    case ALGORITHMS:
    case WAYS:
        fine = bits_put(s, node, &v);
        number_put(field, s->bytes, v);
        break;
    case FLAG:
        fine = node->type == TD_TOML_BOOL;
        memcpy(field, &node->boolean, sizeof(bool));
        break;
    case COUNT:
    case BYTES:
    case SECONDS:
        fine = number_of(s, node, &v);
        if (fine && !td_in(v, s->least, s->most)) {
            (void)snprintf(room, 120, "%llu is outside %llu to %llu", (unsigned long long)v,
                           (unsigned long long)s->least, (unsigned long long)s->most);
            return room;
        }
        number_put(field, s->bytes, v);
        break;
    case PERMIT:
        fine = permit_put(node, &v) && td_in(v, s->least, s->most);
        number_put(field, s->bytes, v);
        break;
    case PROTOCOL:
    case OVER:
    case ASK:
    case VERSION:
        fine = word_put(s, node, &v);
        number_put(field, s->bytes, v);
        break;
    }
    return fine ? NULL : takes[s->kind];
}

/* ---- files ---- */

struct reading {
    struct td_config *config;
    const char *file;
    td_slice text;
    struct td_buf *why;
};

__attribute__((format(printf, 3, 4))) static enum td_err
complain(const struct reading *r, const struct td_toml *node, const char *format, ...)
{
    struct td_toml_error error = {.line = node->line, .column = node->column};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error.text, sizeof error.text, format, args); /* what is too long is cut */
    va_end(args);
    td_toml_explain(r->file, r->text, &error, r->why);
    return TD_ESYNTAX;
}

static const struct setting *find(const char *section, td_slice name)
{
    for (size_t i = 0; i < TD_COUNT(settings); i++) {
        if (strcmp(settings[i].section, section) == 0 &&
            td_slice_eq(name, td_slice_of(settings[i].name))) {
            return &settings[i];
        }
    }
    return NULL;
}

/* The sections, or the settings of one (section not NULL). */
static size_t names_of(const char *section, const char *out[TD_COUNT(settings)])
{
    size_t n = 0;
    for (size_t i = 0; i < TD_COUNT(settings); i++) {
        bool first = i == 0 || strcmp(settings[i].section, settings[i - 1].section) != 0;
        if (section == NULL && first) {
            out[n++] = settings[i].section;
        } else if (section != NULL && strcmp(settings[i].section, section) == 0) {
            out[n++] = settings[i].name;
        }
    }
    return n;
}

/* An unknown key: what was it meant to be? */
static enum td_err unknown(const struct reading *r, const struct td_toml *node, const char *section)
{
    const char *names[TD_COUNT(settings)];
    size_t n = names_of(section, names);
    char word[64];
    (void)snprintf(word, sizeof word, "%.*s", (int)(node->key.n < 60 ? node->key.n : 60),
                   (const char *)node->key.p);
    const char *near = td_cli_nearest(word, names, n);
    if (near != NULL) {
        return complain(r, node, "'%s' is not known here; did you mean '%s'?", word, near);
    }
    return complain(r, node, "'%s' is not known here; `tandem serve --help` lists what is", word);
}

static enum td_err read_section(const struct reading *r, void *base, const char *section,
                                const struct td_toml *table)
{
    for (const struct td_toml *node = table->first; node != NULL; node = node->next) {
        const struct setting *s = find(section, node->key);
        char room[120];
        if (s == NULL) {
            return unknown(r, node, section);
        }
        const char *wrong = take(r->config, base, s, node, room);
        if (wrong != NULL) {
            return complain(r, node, "%s%s %s", s->name, wrong == room ? ":" : " takes", wrong);
        }
    }
    return TD_OK;
}

static void defaults(struct td_config *config, void *base, bool listeners)
{
    for (size_t i = 0; i < TD_COUNT(settings); i++) {
        const struct setting *s = &settings[i];
        struct td_arena tree;
        struct td_toml *root = NULL;
        struct td_toml_error error;
        char text[200], room[120];
        if ((strcmp(s->section, LISTENER_SECTION) == 0) != listeners || s->value[0] == '\0') {
            continue;
        }
        td_arena_init(&tree, 0);
        int n = snprintf(text, sizeof text, "%s = %s", s->name, s->value);
        td_slice line = {(uint8_t *)text, (size_t)n};
        td_assert(td_toml_parse(line, &tree, &root, &error) == TD_OK);
        td_assert(take(config, base, s, root->first, room) == NULL);
        td_arena_fini(&tree);
    }
}

static enum td_err read_listener(const struct reading *r, const struct td_toml *table)
{
    struct td_config *c = r->config;
    if (table->type != TD_TOML_TABLE) {
        return complain(r, table, "write [[listener]] and its settings below");
    }
    if (c->listener_count == TD_CONFIG_LISTENERS_MAX) {
        return complain(r, table, "there may be %d listeners; leave some out",
                        TD_CONFIG_LISTENERS_MAX);
    }
    if (c->listeners == NULL) {
        c->listeners = td_arena_alloc(&c->arena, TD_CONFIG_LISTENERS_MAX * sizeof *c->listeners);
    }
    struct td_config_listener *l = &c->listeners[c->listener_count++];
    *l = (struct td_config_listener){.word = {false, false}};
    defaults(c, l, true);
    enum td_err err = read_section(r, l, LISTENER_SECTION, table);
    if (err == TD_OK && l->is.address == NULL) {
        return complain(r, table,
                        "this listener needs an address, such as "
                        "address = \"127.0.0.1:1883\"");
    }
    return err;
}

/* A [[listener]] of a kind takes the place of the kind's default address, not of a said one. */
static void defaults_give_way(struct td_config *c, const struct td_toml *root)
{
    static const char *const sections[] = {[TD_SERVE_MQTT] = "mqtt", [TD_SERVE_HTTP] = "http"};
    for (size_t i = 0; i < c->listener_count; i++) {
        enum td_serve_kind kind = c->listeners[i].is.kind;
        const struct td_toml *section = td_toml_get(root, td_slice_of(sections[kind]));
        if (section == NULL || td_toml_get(section, TD_STR("listen")) == NULL) {
            c->listen[kind].count = 0;
        }
    }
}

static enum td_err read_listeners(const struct reading *r, const struct td_toml *node)
{
    if (node->type != TD_TOML_ARRAY) {
        return complain(r, node,
                        "there may be many listeners: write [[listener]] and its "
                        "settings below");
    }
    enum td_err err = TD_OK;
    for (const struct td_toml *t = node->first; t != NULL && err == TD_OK; t = t->next) {
        err = read_listener(r, t);
    }
    return err;
}

static enum td_err read_all(const struct reading *r, const struct td_toml *root)
{
    const char *sections[TD_COUNT(settings)];
    size_t n = names_of(NULL, sections);
    for (const struct td_toml *node = root->first; node != NULL; node = node->next) {
        size_t i = 0;
        while (i < n && !td_slice_eq(node->key, td_slice_of(sections[i]))) {
            i++;
        }
        if (i == n) {
            return unknown(r, node, NULL);
        }
        enum td_err err;
        if (strcmp(sections[i], LISTENER_SECTION) == 0) {
            err = read_listeners(r, node);
            if (err != TD_OK) {
                return err;
            }
            continue;
        }
        if (node->type != TD_TOML_TABLE) {
            return complain(r, node, "%s is a section: write [%s] and its settings below",
                            sections[i], sections[i]);
        }
        err = read_section(r, r->config, sections[i], node);
        if (err != TD_OK) {
            return err;
        }
    }
    defaults_give_way(r->config, root);
    return TD_OK;
}

enum td_err td_config_read(struct td_config *config, const char *name, td_slice text,
                           struct td_buf *why)
{
    struct reading r = {config, name, text, why};
    struct td_toml_error error;
    struct td_toml *root;
    struct td_arena tree;
    td_arena_init(&tree, UINT32_C(16) << 20);
    enum td_err err = td_toml_parse(text, &tree, &root, &error);
    if (err == TD_OK) {
        err = read_all(&r, root);
    } else {
        td_toml_explain(name, text, &error, why);
    }
    td_arena_fini(&tree);
    return err == TD_OK ? TD_OK : TD_ESYNTAX;
}

void td_config_init(struct td_config *config)
{
    *config = (struct td_config){.listener_count = 0};
    td_serve_config_default(&config->serve); /* what has no row yet */
    td_arena_init(&config->arena, 0);
    defaults(config, config, false);
}

void td_config_fini(struct td_config *config)
{
    td_arena_fini(&config->arena);
}

/* ---- the table as text ---- */

static bool begins_section(const struct setting *s)
{
    return s == settings || strcmp(s->section, s[-1].section) != 0;
}

static bool of_listener(const struct setting *s)
{
    return strcmp(s->section, LISTENER_SECTION) == 0;
}

/* "[mqtt]", "[[listener]]" */
static void title(struct td_buf *out, const char *before, const struct setting *s)
{
    bool many = of_listener(s);
    (void)td_buf_printf(out, "%s%s%s%s\n", before, many ? "[[" : "[", s->section,
                        many ? "]]" : "]");
}

void td_config_help(struct td_buf *out)
{
    (void)td_buf_printf(out, "\nSettings of the file (-c), with their defaults:\n");
    for (size_t i = 0; i < TD_COUNT(settings); i++) {
        const struct setting *s = &settings[i];
        if (begins_section(s)) {
            title(out, "\n  ", s);
        }
        (void)td_buf_printf(out, "  %s = %s\n        %s\n", s->name,
                            s->value[0] == '\0' ? "..." : s->value, s->help);
    }
}

static void document_bounds(struct td_buf *out, const struct setting *s)
{
    static const char *const units[] = {
        [COUNT] = "", [BYTES] = " bytes", [SECONDS] = " s", [FLAG] = ""};
    if (s->kind == COUNT || s->kind == BYTES || s->kind == SECONDS) {
        (void)td_buf_printf(out, "%llu to %llu%s", (unsigned long long)s->least,
                            (unsigned long long)s->most, units[s->kind]);
    } else {
        (void)td_buf_printf(out, "%s", takes[s->kind]);
    }
}

void td_config_document(struct td_buf *out)
{
    (void)td_buf_printf(
        out,
        "# Configuration\n\n"
        "`tandem serve` runs without a configuration: it listens on this machine only and keeps "
        "its data in `data/`.\n`tandem serve -c tandem.toml` reads a file in "
        "[TOML](https://toml.io/en/v1.0.0); options of the command line go over what it says.\n"
        "A file with an unknown name or a value out of bounds is refused with its line, and "
        "nothing "
        "starts.\n\n"
        "Sizes are bytes, or text with KB, MB, GB (of 1024): `\"16 MB\"`. Times are seconds, or "
        "text "
        "with s, m, h, d: `\"30d\"`.\n\n"
        "This page is written from the same table that the program reads its settings by.\n");
    for (size_t i = 0; i < TD_COUNT(settings); i++) {
        const struct setting *s = &settings[i];
        if (begins_section(s)) {
            title(out, "\n## ", s);
            (void)td_buf_printf(out,
                                "\n%s| setting | default | takes | meaning |\n|---|---|---|---|\n",
                                of_listener(s) ? "There may be many of these.\n\n" : "");
        }
        (void)td_buf_printf(out, "| `%s` | %s%s%s | ", s->name, s->value[0] == '\0' ? "" : "`",
                            s->value, s->value[0] == '\0' ? "" : "`");
        document_bounds(out, s);
        (void)td_buf_printf(out, " | %s |\n", s->help);
    }
    td_config_listen_document(out);
}
