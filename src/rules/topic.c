/* rules: topics with named places. 'home/+room/temp' is a filter that binds a level as the key
 * room; as the topic of a SEND the same text is filled with the key's value. */
#include "rules/set.h"

static bool complain(struct td_lang_diag *diag, struct td_lang_place at, const char *what,
                     const char *remedy)
{
    td_lang_error(diag, at, "%s", what);
    td_lang_try(diag, "%s", remedy);
    return false;
}

static size_t level_count(td_slice text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++) {
        n += text.p[i] == '/';
    }
    return n;
}

static bool name_ok(td_slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        bool digit = c >= '0' && c <= '9' && i > 0;
        if (!digit && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_') {
            return false;
        }
    }
    return true;
}

static bool add_key(struct td_pattern *p, struct td_level *l)
{
    for (uint8_t i = 0; i < p->key_count; i++) {
        if (td_slice_eq(p->keys[i], l->text)) {
            return false;
        }
    }
    l->key = (int8_t)p->key_count;
    p->keys[p->key_count++] = l->text;
    return true;
}

static bool parse_level(struct td_lang_diag *diag, struct td_lang_place at, td_slice text,
                        bool filter, bool last, struct td_pattern *p)
{
    struct td_level *l = &p->levels[p->count++];
    *l = (struct td_level){.text = text, .key = -1};
    bool wild = text.n > 0 && (text.p[0] == '+' || text.p[0] == '#');
    if (!wild) {
        bool stray = td_slice_find(text, '+') < text.n || td_slice_find(text, '#') < text.n;
        return !stray || complain(diag, at, "a wildcard fills a whole level",
                                  "put it right behind a /: 'a/+name/b'");
    }
    l->wild = (char)text.p[0];
    l->text = td_slice_skip(text, 1);
    if (!name_ok(l->text)) {
        return complain(diag, at, "a key's name has letters, digits and _ only", "like +room");
    }
    if (l->wild == '#' && !last) {
        return complain(diag, at, "# stands for the whole rest of a topic, so nothing follows it",
                        "use + for one level");
    }
    if (l->text.n == 0) {
        return filter || complain(diag, at, "nothing says what goes into this place of the topic",
                                  "name a key of the statement: +room");
    }
    if (p->key_count == TD_KEYS_MAX) {
        return complain(diag, at, "a topic binds at most 8 keys", "leave some wildcards unnamed");
    }
    return add_key(p, l) || complain(diag, at, "this key is bound twice in one topic",
                                     "give each place a name of its own");
}

bool td_pattern_parse(struct td_arena *arena, struct td_lang_diag *diag, struct td_lang_place at,
                      td_slice text, bool filter, struct td_pattern *out)
{
    size_t count = level_count(text);
    *out = (struct td_pattern){.count = 0};
    if (text.n == 0 || text.n > 1024 || count > 64 || !td_utf8_mqtt(text)) {
        return complain(diag, at, "this cannot be a topic",
                        "1 to 1024 bytes, up to 64 levels, no control characters");
    }
    if (text.p[0] == '$') {
        return complain(diag, at, "topics that begin with $ are not for rules",
                        "use a topic of your own");
    }
    out->levels = td_arena_alloc(arena, count * sizeof *out->levels);
    if (out->levels == NULL) {
        return complain(diag, at, "the rule files are too large", "split them");
    }
    for (size_t i = 0; i < count; i++) {
        size_t n = td_slice_find(text, '/');
        if (!parse_level(diag, at, td_slice_head(text, n), filter, i + 1 == count, out)) {
            return false;
        }
        text = td_slice_skip(text, n + 1);
    }
    return true;
}

td_slice td_pattern_filter(struct td_arena *arena, const struct td_pattern *p)
{
    struct td_buf b;
    td_buf_init(&b, 2048);
    for (uint16_t i = 0; i < p->count; i++) {
        const struct td_level *l = &p->levels[i];
        if (i > 0) {
            (void)td_buf_add_u8(&b, '/'); /* 2048 suffice: the text had at most 1024 */
        }
        (void)(l->wild != 0 ? td_buf_add_u8(&b, (uint8_t)l->wild) : td_buf_add(&b, l->text));
    }
    td_slice copy = td_arena_copy(arena, td_buf_slice(&b));
    td_buf_fini(&b);
    return copy;
}

bool td_pattern_match(const struct td_pattern *p, td_slice topic, td_slice keys[TD_KEYS_MAX])
{
    if (topic.n > 0 && topic.p[0] == '$') {
        return false; /* MQTT-4.7.2-1, and no pattern begins with $ */
    }
    bool more = true;
    for (uint16_t i = 0; i < p->count; i++) {
        const struct td_level *l = &p->levels[i];
        if (l->wild == '#') {
            if (l->key >= 0) {
                keys[l->key] = more ? topic : (td_slice){NULL, 0};
            }
            return true;
        }
        if (!more) {
            return false;
        }
        size_t n = td_slice_find(topic, '/');
        td_slice level = td_slice_head(topic, n);
        if (l->wild == 0 && !td_slice_eq(level, l->text)) {
            return false;
        }
        if (l->key >= 0) {
            keys[l->key] = level;
        }
        more = n < topic.n;
        topic = td_slice_skip(topic, n + 1);
    }
    return !more;
}

void td_pattern_fill(const struct td_pattern *p, const td_slice *keys, struct td_buf *out)
{
    for (uint16_t i = 0; i < p->count; i++) {
        const struct td_level *l = &p->levels[i];
        if (i > 0) {
            (void)td_buf_add_u8(out, '/'); /* a full buffer is counted by who reads it */
        }
        (void)td_buf_add(out, l->wild != 0 ? keys[l->key] : l->text);
    }
}
