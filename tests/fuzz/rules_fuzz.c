/* A rule file of any bytes: it is refused with a message or it runs. Behind a NUL come messages
 * (which filter, payload, time passed), so that what was accepted is also driven: programs, timers,
 * bids, and state that leaves and comes back. */
#include <stdlib.h>

#include "rules/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { STATES_MAX = 64 };

struct state {
    td_slice key, value;
    uint8_t bytes[2048];
};

static struct state states[STATES_MAX];
static size_t state_count;

static void keep(const struct td_rules_out *o)
{
    if (state_count < STATES_MAX && o->key.n + o->payload.n <= sizeof states[0].bytes) {
        struct state *s = &states[state_count++];
        uint8_t *p = s->bytes;
        s->key = (td_slice){p, o->key.n};
        s->value = (td_slice){p + o->key.n, o->payload.n};
        td_put_bytes(td_put_bytes(p, o->key), o->payload);
    }
}

static void drain(struct td_rules *r)
{
    struct td_rules_out o;
    while (td_rules_next(r, &o)) {
        if (o.kind == TD_RULES_STATE) {
            keep(&o);
        }
    }
}

/* A topic that the filter matches: a and b in turn for its wildcards. */
static size_t topic_of(td_slice filter, uint8_t pick, char *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < filter.n && n + 1 < max; i++) {
        bool wild = filter.p[i] == '+' || filter.p[i] == '#';
        out[n++] = wild ? (char)('a' + (pick >> 7)) : (char)filter.p[i];
    }
    return n;
}

static void drive(struct td_rules *r, td_slice script, td_mono *now)
{
    struct td_cursor c = td_cursor_of(script);
    size_t filters = td_rules_filter_count(r);
    const td_wall began = INT64_C(1767225600) * TD_NS_PER_S;
    td_rules_start(r, *now, began + *now);
    drain(r);
    for (int i = 0; i < 200 && td_cursor_left(&c) > 0; i++) {
        char topic[2048];
        uint8_t pick = td_cursor_u8(&c), step = td_cursor_u8(&c);
        td_slice payload = td_cursor_bytes(&c, td_cursor_u8(&c));
        *now += (td_mono)step * step * 100 * TD_NS_PER_MS;
        for (int j = 0; j < 50 && td_rules_deadline(r) <= *now; j++) {
            td_mono due = td_rules_deadline(r);
            td_rules_expire(r, due, began + due);
            drain(r);
        }
        if (filters > 0) {
            struct td_rules_message m = {.payload = payload, .retained = (step & 0x40) != 0};
            m.topic.p = (const uint8_t *)topic;
            m.topic.n =
                topic_of(td_rules_filter(r, (pick & 0x7F) % filters), pick, topic, sizeof topic);
            td_rules_message(r, &m, *now, began + *now);
            drain(r);
        }
    }
    for (size_t i = 0; i < td_rules_count(r); i++) {
        struct td_rules_info info;
        td_rules_info(r, i, &info);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    td_slice all = {data, n}, text = td_slice_head(all, td_slice_find(all, 0));
    td_slice script = td_slice_skip(all, text.n + 1);
    struct td_rules_file file = {TD_STR("fuzz.td"), text};
    struct td_rules_config config = {.files = &file, .file_count = 1, .seed = 1, .keys_max = 16};
    struct td_rules *r, *again;
    struct td_buf why;
    td_mono now = 1000 * TD_NS_PER_S;
    td_buf_init(&why, 1 << 20);
    state_count = 0;
    enum td_err err = td_rules_load(&config, &r, &why);
    td_assert(err == TD_OK || (err == TD_ESYNTAX && why.n > 0));
    if (err == TD_OK) {
        drive(r, script, &now);
        td_rules_free(r);
        td_assert(td_rules_load(&config, &again, &why) == TD_OK);
        for (size_t i = 0; i < state_count; i++) {
            err = td_rules_restore(again, states[i].key, states[i].value, now, now);
            td_assert(err == TD_OK || err == TD_ECORRUPT); /* over keys_max */
            td_slice cut = td_slice_head(states[i].value, script.n % (states[i].value.n + 1));
            (void)td_rules_restore(again, states[i].key, cut, now, now);
        }
        drive(again, td_slice_head(script, 64), &now);
        td_rules_free(again);
    }
    td_buf_fini(&why);
    return 0;
}
