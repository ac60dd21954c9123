/* spec: the cases of the MQTT specifications, played against the hub in the simulator's world, or
 * against a broker's program.
 *
 *     spec VERSION=5                        all cases of 5.0 (4: 3.1.1, 3: 3.1)
 *     spec VERSION=5 ONLY=3.1.2-4           those whose header has that text
 *     spec VERSION=5 OVER=websocket         all of them in WebSockets
 *     spec VERSION=5 PROGRAM=mosquitto PORT=33010
 *     spec VERSION=5 LIST=1                 the statements and their cases
 *
 * statements.txt has every normative statement; one without a case, a case without a statement and
 * a case that does not come true make it fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/play.h"

enum { STATEMENTS_MAX = 512, CASES_MAX = 1024, STEPS_MAX = 16384, TEXT_MAX = 1 << 22 };

struct statement {
    td_slice id, binds, words, why_not; /* why_not: why no case can show it at a server */
    unsigned version;
    unsigned cases;
};

struct spec_case {
    const char *file;
    unsigned line;
    td_slice header, words;
    size_t first, count; /* steps */
};

static struct statement statements[STATEMENTS_MAX];
static struct spec_case cases[CASES_MAX];
static struct spec_step steps[STEPS_MAX];
static size_t statement_count, case_count, step_count;
static unsigned version = 5, errors;

static const char *version_name(void)
{
    return version == 5 ? "MQTT 5.0" : version == 4 ? "MQTT 3.1.1" : "MQTT 3.1";
}

static td_slice trimmed(td_slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\r')) {
        s = td_slice_skip(s, 1);
    }
    while (s.n > 0 && s.p[s.n - 1] == ' ') {
        s.n--;
    }
    return s;
}

static td_slice cut(td_slice *rest, uint8_t at)
{
    size_t n = td_slice_find(*rest, at);
    td_slice head = td_slice_head(*rest, n);
    *rest = td_slice_skip(*rest, n + 1);
    return trimmed(head);
}

static td_slice file_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct td_buf b;
    uint8_t bytes[4096];
    size_t n;
    if (f == NULL) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    td_buf_init(&b, TEXT_MAX);
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0) {
        td_assert(td_buf_add(&b, (td_slice){bytes, n}) == TD_OK);
    }
    (void)fclose(f);
    return td_buf_slice(&b); /* stays to the end */
}

/* ---- the table ---- */

static unsigned version_of(td_slice s)
{
    return td_slice_eq(s, TD_STR("5")) ? 5 : td_slice_eq(s, TD_STR("311")) ? 4 : 3;
}

static void statements_load(const char *path)
{
    td_slice all = file_read(path);
    while (all.n > 0) {
        td_slice line = cut(&all, '\n');
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        td_assert(statement_count < STATEMENTS_MAX);
        struct statement *s = &statements[statement_count++];
        s->version = version_of(cut(&line, '|'));
        s->id = cut(&line, '|');
        s->binds = cut(&line, '|');
        s->words = cut(&line, '|');
        s->why_not = cut(&line, '|');
    }
}

static struct statement *statement_find(unsigned of, td_slice id)
{
    for (size_t i = 0; i < statement_count; i++) {
        if (statements[i].version == of && td_slice_eq(statements[i].id, id)) {
            return &statements[i];
        }
    }
    return NULL;
}

/* ---- cases ---- */

static void cases_load(const char *path)
{
    td_slice all = file_read(path);
    for (unsigned line_number = 1; all.n > 0; line_number++) {
        td_slice line = cut(&all, '\n');
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        if (td_slice_starts(line, TD_STR("case "))) {
            td_assert(case_count < CASES_MAX);
            struct spec_case *c = &cases[case_count++];
            td_slice rest = td_slice_skip(line, 5);
            *c = (struct spec_case){.file = path, .line = line_number, .first = step_count};
            c->header = cut(&rest, '|');
            c->words = trimmed(rest);
        } else {
            td_assert(case_count > 0 && step_count < STEPS_MAX);
            cases[case_count - 1].count++;
            steps[step_count++] = (struct spec_step){line_number, line};
        }
    }
}

/* A header's words are versions and statements: "5:MQTT-3.1.2-4 311:MQTT-3.1.2-6 31". True: the
 * case is one of this version's; its statements are counted. */
static bool case_is_ours(const struct spec_case *c)
{
    bool ours = false;
    for (td_slice rest = c->header; rest.n > 0;) {
        td_slice id = cut(&rest, ' ');
        unsigned of = version_of(cut(&id, ':'));
        if (of != version) {
            continue;
        }
        ours = true;
        if (id.n == 0) {
            continue;
        }
        struct statement *s = statement_find(of, id);
        if (s == NULL) {
            (void)printf("%s:%u: no statement %.*s\n", c->file, c->line, (int)id.n,
                         (const char *)id.p);
            errors++;
        } else {
            s->cases++;
        }
    }
    return ours;
}

static bool contains(td_slice s, const char *part)
{
    td_slice p = td_slice_of(part);
    for (size_t i = 0; i + p.n <= s.n; i++) {
        if (memcmp(s.p + i, p.p, p.n) == 0) {
            return true;
        }
    }
    return false;
}

static void case_play(const struct spec_link *link, const struct spec_case *c, size_t played[3])
{
    struct td_buf said;
    td_buf_init(&said, TEXT_MAX);
    enum spec_outcome outcome = spec_play(link, version, &steps[c->first], c->count, &said);
    played[outcome]++;
    if (outcome == SPEC_FAILED) {
        (void)printf("FAILED %s:%u %.*s | %.*s\n  %.*s\n", c->file, c->line, (int)c->header.n,
                     (const char *)c->header.p, (int)c->words.n, (const char *)c->words.p,
                     (int)said.n, (const char *)said.p);
    }
    td_buf_fini(&said);
}

/* ---- the report ---- */

static void statements_check(bool list)
{
    size_t shown = 0, excused = 0, all = 0;
    for (size_t i = 0; i < statement_count; i++) {
        const struct statement *s = &statements[i];
        if (s->version != version) {
            continue;
        }
        all++;
        shown += s->cases > 0;
        excused += s->cases == 0 && s->why_not.n > 0;
        if (list) {
            (void)printf("%.*s %.*s: %.*s: %u cases %.*s\n", (int)s->id.n, (const char *)s->id.p,
                         (int)s->binds.n, (const char *)s->binds.p, (int)s->words.n,
                         (const char *)s->words.p, s->cases, (int)s->why_not.n,
                         (const char *)s->why_not.p);
        }
        if ((s->cases == 0) == (s->why_not.n == 0)) {
            (void)printf("%.*s has %s: %.*s\n", (int)s->id.n, (const char *)s->id.p,
                         s->cases == 0 ? "no case" : "a case and a reason to have none",
                         (int)s->words.n, (const char *)s->words.p);
            errors++;
        }
    }
    (void)printf("%s: %zu statements, %zu shown by cases, %zu not a server's to show\n",
                 version_name(), all, shown, excused);
}

static const char *option(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=') {
            return argv[i] + n + 1;
        }
    }
    return NULL;
}

static void load(const char *dir)
{
    static const char *const files[] = {"connect", "publish",   "subscribe", "session",
                                        "flow",    "names",     "will",      "shared",
                                        "errors",  "websocket", "auth"};
    static char paths[TD_COUNT(files) + 1][512];
    (void)snprintf(paths[0], sizeof paths[0], "%s/statements.txt", dir);
    statements_load(paths[0]);
    for (size_t i = 0; i < TD_COUNT(files); i++) {
        (void)snprintf(paths[i + 1], sizeof paths[0], "%s/cases/%s.txt", dir, files[i]);
        cases_load(paths[i + 1]);
    }
}

int main(int argc, char **argv)
{
    const char *dir = option(argc, argv, "DIR"), *only = option(argc, argv, "ONLY");
    const char *program = option(argc, argv, "PROGRAM"), *of = option(argc, argv, "VERSION");
    const char *port = option(argc, argv, "PORT");
    const struct spec_link *link =
        program == NULL ? &spec_link_sim : spec_link_program(program, port == NULL ? "1883" : port);
    version = of == NULL ? 5 : (unsigned)strtoul(of, NULL, 10);
    load(dir == NULL ? "tests/spec" : dir);
    spec_link_sim_websocket = option(argc, argv, "OVER") != NULL;
    const char *loops = option(argc, argv, "LOOPS");
    spec_link_sim_loops = loops == NULL ? 1 : (unsigned)strtoul(loops, NULL, 10);
    size_t played[3] = {0};
    for (size_t i = 0; i < case_count; i++) {
        if (case_is_ours(&cases[i]) && (only == NULL || contains(cases[i].header, only))) {
            case_play(link, &cases[i], played);
        }
    }
    if (only == NULL) {
        statements_check(option(argc, argv, "LIST") != NULL);
    }
    (void)printf("%s: %zu cases passed, %zu failed, %zu skipped\n", version_name(),
                 played[SPEC_PASSED], played[SPEC_FAILED], played[SPEC_SKIPPED]);
    return errors == 0 && played[SPEC_FAILED] == 0 ? 0 : 1;
}
