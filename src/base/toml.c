/* toml: documents, tables, keys. A tree grows along three kinds of paths ([a.b], [[a.b]], a.b = ..)
 * that may cross only as the specification allows; what a node was made by decides. */
#include "base/toml_inside.h"

#include <stdio.h>

/* ---- errors and places ---- */

static void place_of(struct td_toml_parser *p, const uint8_t *at, uint32_t *line, uint32_t *column)
{
    if (at < p->seen) {
        p->seen = p->seen_start = p->start;
        p->seen_line = 1;
    }
    for (; p->seen < at; p->seen++) {
        if (*p->seen == '\n') {
            p->seen_line++;
            p->seen_start = p->seen + 1;
        }
    }
    *line = p->seen_line;
    *column = (uint32_t)(at - p->seen_start) + 1;
}

bool td_toml_fail_at(struct td_toml_parser *p, const uint8_t *at, const char *text)
{
    if (p->err == TD_OK) {
        p->err = TD_ESYNTAX;
        place_of(p, at, &p->error->line, &p->error->column);
        (void)snprintf(p->error->text, sizeof p->error->text, "%s", text);
    }
    return false;
}

bool td_toml_fail(struct td_toml_parser *p, const char *text)
{
    return td_toml_fail_at(p, p->at, text);
}

bool td_toml_full(struct td_toml_parser *p)
{
    td_toml_fail(p, "the document is larger than what is read here");
    p->err = TD_EFULL;
    return false;
}

static bool fail_key(struct td_toml_parser *p, const uint8_t *at, td_slice key, const char *text)
{
    char all[200];
    (void)snprintf(all, sizeof all, "'%.*s' %s", (int)(key.n < 60 ? key.n : 60),
                   key.n > 0 ? (const char *)key.p : "", text);
    return td_toml_fail_at(p, at, all);
}

void td_toml_explain(const char *name, td_slice document, const struct td_toml_error *error,
                     struct td_buf *out)
{
    td_slice rest = document, line;
    for (uint32_t i = 1; i < error->line; i++) {
        rest = td_slice_skip(rest, td_slice_find(rest, '\n') + 1);
    }
    line = td_slice_head(rest, td_slice_find(rest, '\n'));
    line.n -= line.n > 0 && line.p[line.n - 1] == '\r';
    /* A message for people: if it does not fit, what fits has to do. */
    (void)td_buf_printf(out, "%s:%u:%u: %s\n", name, error->line, error->column, error->text);
    (void)td_buf_add(out, TD_STR("    "));
    (void)td_buf_add(out, line);
    (void)td_buf_add(out, TD_STR("\n    "));
    for (size_t i = 0; i + 1 < error->column && i < line.n; i++) {
        (void)td_buf_add_u8(out, line.p[i] == '\t' ? '\t' : ' ');
    }
    (void)td_buf_add(out, TD_STR("^\n"));
}

/* ---- the text ---- */

uint8_t td_toml_peek(const struct td_toml_parser *p, size_t ahead)
{
    return (size_t)(p->end - p->at) > ahead ? p->at[ahead] : 0;
}

void td_toml_space(struct td_toml_parser *p)
{
    while (td_toml_peek(p, 0) == ' ' || td_toml_peek(p, 0) == '\t') {
        p->at++;
    }
}

/* A comment, if one is here, up to its line's end. */
static bool comment(struct td_toml_parser *p)
{
    if (td_toml_peek(p, 0) != '#') {
        return true;
    }
    for (; p->at < p->end && *p->at != '\n'; p->at++) {
        bool line_end = *p->at == '\r' && td_toml_peek(p, 1) == '\n';
        if ((*p->at < 0x20 && *p->at != '\t' && !line_end) || *p->at == 0x7F) {
            return td_toml_fail(p, "a comment must not hold control characters");
        }
    }
    return true;
}

/* LF or CR LF; false: neither is here (no failure). */
static bool newline(struct td_toml_parser *p)
{
    size_t n = td_toml_peek(p, 0) == '\r' ? 1 : 0;
    if (td_toml_peek(p, n) != '\n') {
        return false;
    }
    p->at += n + 1;
    return true;
}

bool td_toml_lines(struct td_toml_parser *p)
{
    do {
        td_toml_space(p);
        if (!comment(p)) {
            return false;
        }
    } while (newline(p));
    return true;
}

/* Behind a pair or a header nothing may follow but a comment. */
static bool line_end(struct td_toml_parser *p)
{
    td_toml_space(p);
    if (!comment(p)) {
        return false;
    }
    return p->at == p->end || newline(p) ||
           td_toml_fail(p, "the line must end here: one key or header a line");
}

/* ---- nodes ---- */

struct td_toml *td_toml_node(struct td_toml_parser *p, enum td_toml_type type, const uint8_t *at)
{
    struct td_toml *node = td_arena_alloc(p->arena, sizeof *node);
    if (node == NULL) {
        td_toml_full(p);
        return NULL;
    }
    node->type = type;
    place_of(p, at, &node->line, &node->column);
    return node;
}

void td_toml_append(struct td_toml *parent, struct td_toml *child)
{
    if (parent->last != NULL) {
        parent->last->next = child;
    } else {
        parent->first = child;
    }
    parent->last = child;
    parent->count++;
}

static struct td_toml *find(const struct td_toml *table, td_slice key)
{
    struct td_toml *child = table->first;
    while (child != NULL && !td_slice_eq(child->key, key)) {
        child = child->next;
    }
    return child;
}

const struct td_toml *td_toml_get(const struct td_toml *table, td_slice key)
{
    return find(table, key);
}

/* ---- keys ---- */

struct path {
    td_slice part[TD_TOML_DEPTH_MAX];
    const uint8_t *at[TD_TOML_DEPTH_MAX];
    size_t count;
};

static bool is_bare(uint8_t c)
{
    return td_in(c | 0x20, 'a', 'z') || td_in(c, '0', '9') || c == '_' || c == '-';
}

static bool key_part(struct td_toml_parser *p, td_slice *out)
{
    const uint8_t *from = p->at;
    uint8_t c = td_toml_peek(p, 0);
    if (c == '"' || c == '\'') {
        return td_toml_string(p, false, out);
    }
    while (is_bare(td_toml_peek(p, 0))) {
        p->at++;
    }
    if (p->at == from) {
        return td_toml_fail(p, "a key must come here: letters, digits, _ and -, or quoted");
    }
    *out = td_arena_copy(p->arena, (td_slice){from, (size_t)(p->at - from)});
    return out->p != NULL || td_toml_full(p);
}

/* a . "b" . c */
static bool read_path(struct td_toml_parser *p, struct path *path)
{
    path->count = 0;
    do {
        td_toml_space(p);
        if (path->count == TD_TOML_DEPTH_MAX) {
            return td_toml_fail(p, "a key has at most 32 parts");
        }
        path->at[path->count] = p->at;
        if (!key_part(p, &path->part[path->count])) {
            return false;
        }
        path->count++;
        td_toml_space(p);
    } while (td_toml_peek(p, 0) == '.' && p->at++);
    return true;
}

static struct td_toml *add(struct td_toml_parser *p, struct td_toml *table, enum td_toml_type type,
                           const struct path *path, size_t i, enum td_toml_made made)
{
    struct td_toml *node = td_toml_node(p, type, path->at[i]);
    if (node != NULL) {
        node->key = path->part[i];
        node->made = (uint8_t)made;
        td_toml_append(table, node);
    }
    return node;
}

/* ---- key = value ---- */

/* The table that a.b of a.b.c = ... names, made if absent; NULL: failed. */
static struct td_toml *dotted(struct td_toml_parser *p, struct td_toml *table,
                              const struct path *path)
{
    for (size_t i = 0; i + 1 < path->count && table != NULL; i++) {
        struct td_toml *child = find(table, path->part[i]);
        if (child == NULL) {
            table = add(p, table, TD_TOML_TABLE, path, i, TD_TOML_DOTTED);
        } else if (child->type == TD_TOML_TABLE &&
                   (child->made == TD_TOML_DOTTED || child->made == TD_TOML_IMPLIED)) {
            child->made = TD_TOML_DOTTED;
            table = child;
        } else {
            fail_key(p, path->at[i], path->part[i],
                     child->type == TD_TOML_TABLE ? "is a table that is complete already"
                                                  : "has a value already, it is not a table");
            return NULL;
        }
    }
    return table;
}

bool td_toml_pair(struct td_toml_parser *p, struct td_toml *table)
{
    struct path path = {.count = 0};
    if (!read_path(p, &path)) {
        return false;
    }
    size_t last = path.count - 1;
    if (td_toml_peek(p, 0) != '=') {
        return td_toml_fail(p, "a key needs = and a value");
    }
    p->at++;
    td_toml_space(p);
    table = dotted(p, table, &path);
    if (table == NULL) {
        return false;
    }
    if (find(table, path.part[last]) != NULL) {
        return fail_key(p, path.at[last], path.part[last], "is given twice");
    }
    struct td_toml *value = td_toml_value(p, path.at[last]);
    if (value == NULL) {
        return false;
    }
    value->key = path.part[last];
    td_toml_append(table, value);
    return true;
}

/* ---- [table] and [[array of tables]] ---- */

/* The way to a header's last part; in an array of tables the last one is meant. NULL: failed. */
static struct td_toml *way(struct td_toml_parser *p, const struct path *path)
{
    struct td_toml *table = p->root;
    for (size_t i = 0; i + 1 < path->count && table != NULL; i++) {
        struct td_toml *child = find(table, path->part[i]);
        if (child == NULL) {
            table = add(p, table, TD_TOML_TABLE, path, i, TD_TOML_IMPLIED);
        } else if (child->made == TD_TOML_VALUE) {
            fail_key(p, path->at[i], path->part[i], "has a value already, nothing can be added");
            return NULL;
        } else {
            table = child->type == TD_TOML_ARRAY ? child->last : child;
        }
    }
    return table;
}

static bool open_table(struct td_toml_parser *p, struct td_toml *parent, const struct path *path)
{
    size_t last = path->count - 1;
    struct td_toml *table = find(parent, path->part[last]);
    if (table == NULL) {
        table = add(p, parent, TD_TOML_TABLE, path, last, TD_TOML_OPENED);
    } else if (table->type != TD_TOML_TABLE || table->made != TD_TOML_IMPLIED) {
        return fail_key(p, path->at[last], path->part[last], "is defined twice");
    } else {
        table->made = TD_TOML_OPENED;
    }
    p->table = table;
    return table != NULL;
}

static bool open_element(struct td_toml_parser *p, struct td_toml *parent, const struct path *path)
{
    size_t last = path->count - 1;
    struct td_toml *array = find(parent, path->part[last]);
    if (array == NULL) {
        array = add(p, parent, TD_TOML_ARRAY, path, last, TD_TOML_OPENED);
    } else if (array->type != TD_TOML_ARRAY || array->made != TD_TOML_OPENED) {
        return fail_key(p, path->at[last], path->part[last],
                        "is defined already, and not as an array of tables");
    }
    struct td_toml *table = array != NULL ? td_toml_node(p, TD_TOML_TABLE, path->at[last]) : NULL;
    if (table == NULL) {
        return false;
    }
    table->made = TD_TOML_OPENED;
    td_toml_append(array, table);
    p->table = table;
    return true;
}

/* Tables made by dotted keys may be added to in their own section only. */
static void section_ends(struct td_toml *table)
{
    for (struct td_toml *child = table->first; child != NULL; child = child->next) {
        if (child->type == TD_TOML_TABLE && child->made == TD_TOML_DOTTED) {
            child->made = TD_TOML_OPENED;
            section_ends(child);
        }
    }
}

static bool header(struct td_toml_parser *p)
{
    struct path path = {.count = 0};
    bool element = td_toml_peek(p, 1) == '[';
    p->at += element ? 2 : 1;
    if (!read_path(p, &path)) {
        return false;
    }
    if (td_toml_peek(p, 0) != ']' || (element && td_toml_peek(p, 1) != ']')) {
        return td_toml_fail(p, element ? "]] must close it" : "] must close it");
    }
    p->at += element ? 2 : 1;
    section_ends(p->table);
    struct td_toml *parent = way(p, &path);
    return parent != NULL &&
           (element ? open_element(p, parent, &path) : open_table(p, parent, &path));
}

/* ---- the document ---- */

static bool read_document(struct td_toml_parser *p)
{
    p->root = p->table = td_toml_node(p, TD_TOML_TABLE, p->start);
    if (p->root == NULL) {
        return false;
    }
    while (td_toml_lines(p) && p->at < p->end) {
        bool fine = *p->at == '[' ? header(p) : td_toml_pair(p, p->table);
        if (!fine || !line_end(p)) {
            return false;
        }
    }
    return p->err == TD_OK;
}

/* The first byte that no document may hold, or its end. */
static const uint8_t *first_bad(td_slice document)
{
    for (size_t i = 0; i < document.n; i++) {
        if (document.p[i] == 0) {
            return document.p + i;
        }
        if (document.p[i] >= 0x80) {
            size_t n = 1;
            while (n < 4 && i + n < document.n && (document.p[i + n] & 0xC0) == 0x80) {
                n++;
            }
            if (!td_utf8_valid((td_slice){document.p + i, n})) {
                return document.p + i;
            }
            i += n - 1;
        }
    }
    return document.p + document.n;
}

enum td_err td_toml_parse(td_slice document, struct td_arena *arena, struct td_toml **out,
                          struct td_toml_error *error)
{
    static const uint8_t nothing;
    td_slice text = document.n > 0 ? document : (td_slice){&nothing, 0};
    struct td_toml_parser p = {.start = text.p,
                               .at = text.p,
                               .end = text.p + text.n,
                               .arena = arena,
                               .error = error,
                               .seen = text.p,
                               .seen_start = text.p,
                               .seen_line = 1};
    td_buf_init(&p.scratch, text.n + 1); /* no string says more than it is written with */
    const uint8_t *bad = first_bad(text);
    if (bad < p.end) {
        td_toml_fail_at(&p, bad, "the document must be UTF-8 without zero bytes");
        return p.err;
    }
    bool fine = read_document(&p);
    td_buf_fini(&p.scratch);
    *out = fine ? p.root : *out;
    return p.err;
}

const char *td_toml_type_name(enum td_toml_type type)
{
    static const char *const names[] = {"table", "array",         "string",      "integer",
                                        "float", "true or false", "date or time"};
    return names[type];
}
