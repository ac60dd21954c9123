/* guard: patterns. A pattern is a topic filter with two more words, which stand for one whole level
 * each: %u is the principal's name, %c the client's id. They are compared as levels, never pasted
 * into the text: an id that holds + # or / is no level, so what is allowed to it is nothing, and
 * what is denied to it is every level.
 *
 *     things/%u/#    matches    things/pump7, things/pump7/rpm     for the principal pump7 */
#include "guard/guard.h"

enum kind { WORD, ONE, REST, USER, CLIENT };

enum { LEVELS_MAX = 128 };

/* ---- reading ---- */

static bool has(td_slice s, uint8_t byte)
{
    return td_slice_find(s, byte) < s.n;
}

static bool holds(td_slice s, td_slice word)
{
    for (size_t i = 0; i + word.n <= s.n; i++) {
        if (memcmp(s.p + i, word.p, word.n) == 0) {
            return true;
        }
    }
    return false;
}

static enum kind kind_of(td_slice level, const char **wrong)
{
    static const struct {
        td_slice word;
        enum kind kind;
    } words[] = {{{(const uint8_t *)"+", 1}, ONE},
                 {{(const uint8_t *)"#", 1}, REST},
                 {{(const uint8_t *)"%u", 2}, USER},
                 {{(const uint8_t *)"%c", 2}, CLIENT}};
    for (size_t i = 0; i < TD_COUNT(words); i++) {
        if (td_slice_eq(level, words[i].word)) {
            return words[i].kind;
        }
        if (holds(level, words[i].word)) {
            *wrong = "+ # %u and %c each stand for a whole level: write them between slashes";
        }
    }
    return WORD;
}

struct td_guard_pattern *td_guard_pattern_parse(td_slice text, struct td_arena *arena,
                                                const char **wrong)
{
    size_t count = 1;
    for (size_t i = 0; i < text.n; i++) {
        count += text.p[i] == '/';
    }
    *wrong = text.n == 0           ? "a pattern has at least one character"
             : !td_utf8_mqtt(text) ? "a topic is UTF-8 without control characters"
             : count > LEVELS_MAX  ? "a topic has at most 128 levels"
             : text.n > UINT16_MAX ? "a topic has at most 65,535 bytes"
                                   : NULL;
    if (*wrong != NULL) {
        return NULL;
    }
    struct td_guard_pattern *p = td_arena_alloc(arena, sizeof *p + count * sizeof p->levels[0]);
    for (size_t i = 0; i < count; i++) {
        td_slice level = td_slice_head(text, td_slice_find(text, '/'));
        text = td_slice_skip(text, level.n + 1);
        enum kind kind = kind_of(level, wrong);
        p->levels[i] = (struct td_guard_level){(uint8_t)kind, level};
        p->by_client = p->by_client || kind == CLIENT;
        if (kind == REST && i + 1 < count) {
            *wrong = "# is the last level";
        }
    }
    p->count = (uint8_t)count;
    return *wrong == NULL ? p : NULL;
}

/* ---- walking a topic or filter, level by level ---- */

struct walk {
    td_slice rest;
    bool ended;
    bool hidden; /* begins with $: no wildcard meets its first level (MQTT-4.7.2-1) */
};

static struct walk walk_of(td_slice text)
{
    return (struct walk){.rest = text, .hidden = text.n > 0 && text.p[0] == '$'};
}

static td_slice walk_next(struct walk *w)
{
    size_t n = td_slice_find(w->rest, '/');
    td_slice level = td_slice_head(w->rest, n);
    w->ended = n == w->rest.n;
    w->rest = td_slice_skip(w->rest, n + 1);
    return level;
}

/* What a level of the pattern stands for, if it is a word. False: for any. */
static bool word_of(const struct td_guard_level *level, const struct td_guard_who *who,
                    td_slice *out, bool *never)
{
    *never = false;
    *out = level->text;
    if (level->kind == WORD) {
        return true;
    }
    if (level->kind == ONE) {
        return false;
    }
    *out = level->kind == USER ? who->principal : who->client_id;
    if (out->n == 0 || has(*out, '+') || has(*out, '#') || has(*out, '/')) {
        *never = !who->deny;
        return false;
    }
    return true;
}

/* Whether one level of the pattern takes one that is no wildcard. `hidden`: it begins with $ and is
 * the first. */
static bool takes(const struct td_guard_level *level, const struct td_guard_who *who, td_slice word,
                  bool hidden)
{
    td_slice own;
    bool never;
    if (hidden && (level->kind == ONE || (level->kind != WORD && !who->deny))) {
        return false;
    }
    return word_of(level, who, &own, &never) ? td_slice_eq(own, word) : !never;
}

bool td_guard_pattern_matches(const struct td_guard_pattern *p, const struct td_guard_who *who,
                              td_slice topic)
{
    struct walk w = walk_of(topic);
    for (size_t i = 0; i < p->count; i++) {
        bool hidden = i == 0 && w.hidden;
        if (p->levels[i].kind == REST) {
            return !hidden;
        }
        if (w.ended || !takes(&p->levels[i], who, walk_next(&w), hidden)) {
            return false;
        }
    }
    return w.ended;
}

bool td_guard_pattern_covers(const struct td_guard_pattern *p, const struct td_guard_who *who,
                             td_slice filter)
{
    struct walk w = walk_of(filter);
    for (size_t i = 0; i < p->count; i++) {
        const struct td_guard_level *level = &p->levels[i];
        bool hidden = i == 0 && w.hidden;
        if (level->kind == REST) {
            return !hidden;
        }
        if (w.ended) {
            return false;
        }
        td_slice word = walk_next(&w);
        bool wild = td_slice_eq(word, TD_STR("+"));
        if (td_slice_eq(word, TD_STR("#")) || (wild && level->kind != ONE) ||
            (!wild && !takes(level, who, word, hidden))) {
            return false;
        }
    }
    return w.ended;
}

/* Whether a + of a filter meets a level of the pattern. */
static bool plus_meets(const struct td_guard_level *level, const struct td_guard_who *who,
                       bool first)
{
    td_slice own;
    bool never;
    if (word_of(level, who, &own, &never)) {
        return !first || own.n == 0 || own.p[0] != '$';
    }
    return !never;
}

bool td_guard_pattern_meets(const struct td_guard_pattern *p, const struct td_guard_who *who,
                            td_slice filter)
{
    struct walk w = walk_of(filter);
    for (size_t i = 0; i < p->count; i++) {
        const struct td_guard_level *level = &p->levels[i];
        bool hidden = i == 0 && w.hidden;
        if (level->kind == REST) {
            return !hidden;
        }
        if (w.ended) {
            return false;
        }
        td_slice word = walk_next(&w);
        if (td_slice_eq(word, TD_STR("#"))) {
            return i > 0 || plus_meets(level, who, true);
        }
        if (td_slice_eq(word, TD_STR("+")) ? !plus_meets(level, who, i == 0)
                                           : !takes(level, who, word, hidden)) {
            return false;
        }
    }
    return w.ended || td_slice_eq(w.rest, TD_STR("#"));
}
