/* hub: topic names and filters (MQTT 4.7). */
#include "hub/hub.h"

size_t td_topic_split(td_slice topic, td_slice levels[TD_TOPIC_LEVELS_MAX])
{
    size_t count = 0;
    for (;;) {
        if (count == TD_TOPIC_LEVELS_MAX) {
            return 0;
        }
        size_t n = td_slice_find(topic, '/');
        levels[count++] = td_slice_head(topic, n);
        if (n == topic.n) {
            return count;
        }
        topic = td_slice_skip(topic, n + 1);
    }
}

static size_t level_count(td_slice s)
{
    size_t count = 1;
    for (size_t i = 0; i < s.n; i++) {
        count += s.p[i] == '/';
    }
    return count;
}

bool td_topic_depth_ok(td_slice topic)
{
    return topic.n < TD_TOPIC_LEVELS_MAX || level_count(topic) <= TD_TOPIC_LEVELS_MAX;
}

static bool name_ok(td_slice s)
{
    return td_in(s.n, 1, TD_TOPIC_BYTES_MAX) && td_utf8_mqtt(s) && td_topic_depth_ok(s);
}

static bool has_wildcard(td_slice s)
{
    return td_slice_find(s, '+') < s.n || td_slice_find(s, '#') < s.n;
}

bool td_topic_valid(td_slice topic)
{
    return name_ok(topic) && !has_wildcard(topic);
}

bool td_filter_shared(td_slice filter, td_slice *group, td_slice *inner)
{
    if (!td_slice_starts(filter, TD_STR("$share/"))) {
        return false;
    }
    td_slice rest = td_slice_skip(filter, 7);
    size_t n = td_slice_find(rest, '/');
    *group = td_slice_head(rest, n);
    *inner = td_slice_skip(rest, n + 1);
    return true;
}

/* MQTT-4.7.1-1, -2: a wildcard fills its level, # is the last. */
static bool wildcards_ok(td_slice filter)
{
    td_slice levels[TD_TOPIC_LEVELS_MAX];
    size_t count = td_topic_split(filter, levels);
    for (size_t i = 0; i < count; i++) {
        if (has_wildcard(levels[i]) &&
            (levels[i].n != 1 || (levels[i].p[0] == '#' && i + 1 < count))) {
            return false;
        }
    }
    return count > 0;
}

bool td_filter_valid(td_slice filter)
{
    td_slice group, inner = filter;
    if (!name_ok(filter)) {
        return false;
    }
    if (td_filter_shared(filter, &group, &inner) && /* MQTT-4.8.2-1, -2 */
        (group.n == 0 || has_wildcard(group) || inner.n == 0)) {
        return false;
    }
    return wildcards_ok(inner);
}

bool td_filter_matches(td_slice filter, td_slice topic)
{
    td_slice f[TD_TOPIC_LEVELS_MAX], t[TD_TOPIC_LEVELS_MAX];
    size_t fn = td_topic_split(filter, f), tn = td_topic_split(topic, t);
    bool wild = fn > 0 && f[0].n == 1 && (f[0].p[0] == '+' || f[0].p[0] == '#');
    if (fn == 0 || tn == 0 || (wild && topic.n > 0 && topic.p[0] == '$')) {
        return false; /* MQTT-4.7.2-1 */
    }
    for (size_t i = 0; i < fn; i++) {
        if (td_slice_eq(f[i], TD_STR("#"))) {
            return true;
        }
        if (i == tn || (!td_slice_eq(f[i], TD_STR("+")) && !td_slice_eq(f[i], t[i]))) {
            return false;
        }
    }
    return fn == tn;
}
