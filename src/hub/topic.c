/* hub: the levels of topics and filters. What a name may be is MQTT's word: wire/mqtt/name.c. */
#include "hub/hub.h"
#include "wire/mqtt/mqtt.h"

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

bool td_topic_valid(td_slice topic)
{
    return td_mqtt_topic_valid(topic) && td_topic_depth_ok(topic);
}

bool td_filter_valid(td_slice filter)
{
    return td_mqtt_filter_valid(filter) && td_topic_depth_ok(filter);
}

bool td_filter_shared(td_slice filter, td_slice *group, td_slice *inner)
{
    return td_mqtt_filter_shared(filter, group, inner);
}

bool td_filter_explain(td_slice filter, td_slice topic, struct td_filter_miss *miss)
{
    static const td_slice none = {NULL, 0};
    td_slice f[TD_TOPIC_LEVELS_MAX], t[TD_TOPIC_LEVELS_MAX];
    size_t fn = td_topic_split(filter, f), tn = td_topic_split(topic, t);
    bool wild = fn > 0 && f[0].n == 1 && (f[0].p[0] == '+' || f[0].p[0] == '#');
    if (fn == 0 || tn == 0 || (wild && topic.n > 0 && topic.p[0] == '$')) { /* MQTT-4.7.2-1 */
        *miss =
            (struct td_filter_miss){TD_MISS_DOLLAR, 1, fn > 0 ? f[0] : none, tn > 0 ? t[0] : none};
        return false;
    }
    for (size_t i = 0; i < fn; i++) {
        if (td_slice_eq(f[i], TD_STR("#"))) {
            return true;
        }
        if (i == tn) {
            *miss = (struct td_filter_miss){TD_MISS_TOPIC_ENDS, i + 1, f[i], none};
            return false;
        }
        if (!td_slice_eq(f[i], TD_STR("+")) && !td_slice_eq(f[i], t[i])) {
            *miss = (struct td_filter_miss){TD_MISS_LEVEL, i + 1, f[i], t[i]};
            return false;
        }
    }
    if (fn < tn) {
        *miss = (struct td_filter_miss){TD_MISS_FILTER_ENDS, fn + 1, none, t[fn]};
    }
    return fn == tn;
}

bool td_filter_matches(td_slice filter, td_slice topic)
{
    struct td_filter_miss miss;
    return td_filter_explain(filter, topic, &miss);
}
