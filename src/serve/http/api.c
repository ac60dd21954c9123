/* serve/http: rows of api.def that are answered from what serve/ knows now: things and rules. */
#include <stdlib.h>

#include "serve/decide.h"
#include "serve/http/inside.h"
#include "serve/record.h"

/* ---- things ---- */

/* "things/<thing>/..." is <thing>; else the topic without its last level. */
static td_slice thing_of(td_slice topic)
{
    if (td_slice_starts(topic, TD_STR("things/"))) {
        td_slice rest = td_slice_skip(topic, 7);
        return td_slice_head(rest, td_slice_find(rest, '/'));
    }
    for (size_t n = topic.n; n > 1; n--) {
        if (topic.p[n - 1] == '/') {
            return td_slice_head(topic, n - 1);
        }
    }
    return topic;
}

static int by_thing(const void *a, const void *b)
{
    const struct td_current *x = *(const struct td_current *const *)a;
    const struct td_current *y = *(const struct td_current *const *)b;
    int order = td_slice_cmp(thing_of(x->topic), thing_of(y->topic));
    order = order != 0 ? order : td_slice_cmp(x->topic, y->topic);
    return order != 0 ? order : td_slice_cmp(x->field, y->field);
}

struct list {
    struct td_httpd_conn *c; /* what it may not read is not in the list */
    const struct td_current **at;
    size_t count;
};

static bool list_add(void *ctx, const struct td_current *now)
{
    struct list *list = ctx;
    if (!td_httpd_may(list->c, TD_GUARD_READ, now->topic)) {
        return true;
    }
    if (list->at != NULL) {
        list->at[list->count] = now;
    }
    list->count++;
    return true;
}

static void add_series(struct td_json_out *o, const struct td_current *now, td_wall wall)
{
    static const char *const qualities[] = {"good", "stale", "unknown"};
    td_json_open(o, '{');
    td_json_key(o, "id");
    td_json_int(o, now->series);
    td_json_key(o, "topic");
    td_json_string(o, now->topic);
    td_json_key(o, "field");
    td_json_string(o, now->field);
    td_json_key(o, "type");
    td_json_string(o, td_slice_of(td_value_type_name(now->value.type)));
    td_json_key(o, "value");
    td_httpd_value(o, now->value);
    td_json_key(o, "time");
    td_httpd_time(o, now->at);
    td_json_key(o, "age_ms");
    td_json_int(o, now->at < wall ? (wall - now->at) / TD_NS_PER_MS : 0);
    td_json_key(o, "quality");
    td_json_string(o, td_slice_of(qualities[now->quality]));
    td_json_close(o, '}');
}

/* One thing from list[i] on; gives the index behind it. */
static size_t add_thing(struct td_json_out *o, const struct list *list, size_t i, td_wall wall)
{
    td_slice thing = thing_of(list->at[i]->topic);
    size_t end = i;
    bool online = false;
    for (; end < list->count && td_slice_eq(thing, thing_of(list->at[end]->topic)); end++) {
        online |= list->at[end]->quality == TD_QUALITY_GOOD;
    }
    td_json_open(o, '{');
    td_json_key(o, "thing");
    td_json_string(o, thing);
    td_json_key(o, "online");
    td_json_raw(o, online ? "true" : "false");
    td_json_key(o, "series");
    td_json_open(o, '[');
    for (; i < end; i++) {
        add_series(o, list->at[i], wall);
    }
    td_json_close(o, ']');
    td_json_close(o, '}');
    return end;
}

void td_httpd_things(struct td_httpd_conn *c, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    td_wall wall = parts->sys->wall(parts->sys);
    struct list list = {c, NULL, 0};
    (void)now;
    td_record_each(parts->record, list_add, &list);
    list.at = td_alloc((list.count + 1) * sizeof *list.at);
    list.count = 0;
    td_record_each(parts->record, list_add, &list);
    qsort(list.at, list.count, sizeof *list.at, by_thing);
    struct td_json_out o = td_httpd_json(c->d);
    td_json_open(&o, '{');
    td_json_key(&o, "things");
    td_json_open(&o, '[');
    for (size_t i = 0; i < list.count && o.err == TD_OK;) {
        i = add_thing(&o, &list, i, wall);
    }
    td_json_close(&o, ']');
    td_json_close(&o, '}');
    free(list.at);
    td_httpd_answer_json(c, 200, &o);
}

/* ---- rules ---- */

static void add_text(struct td_json_out *o, const char *key, td_slice text)
{
    td_json_key(o, key);
    if (text.n > 0) {
        td_json_string(o, text);
    } else {
        td_json_raw(o, "null");
    }
}

static void add_rule(struct td_json_out *o, const struct td_rules_info *rule)
{
    td_json_open(o, '{');
    add_text(o, "name", rule->name);
    add_text(o, "kind", rule->kind);
    add_text(o, "file", rule->file);
    td_json_key(o, "line");
    td_json_int(o, rule->line);
    add_text(o, "text", rule->text);
    td_json_key(o, "keys");
    td_json_int(o, rule->keys);
    td_json_key(o, "fired");
    td_json_int(o, (int64_t)rule->fired);
    td_json_key(o, "refused");
    td_json_int(o, (int64_t)rule->refused);
    td_json_key(o, "last_fired");
    if (rule->last_fired > 0) {
        td_httpd_time(o, rule->last_fired);
    } else {
        td_json_raw(o, "null");
    }
    add_text(o, "last_action", rule->last_action);
    add_text(o, "state", rule->state);
    td_json_close(o, '}');
}

void td_httpd_rules(struct td_httpd_conn *c, td_mono now)
{
    struct td_rules *rules = td_decide_rules(c->d->parts->decide);
    struct td_json_out o = td_httpd_json(c->d);
    (void)now;
    td_json_open(&o, '{');
    td_json_key(&o, "rules");
    td_json_open(&o, '[');
    for (size_t i = 0; i < td_rules_count(rules) && o.err == TD_OK; i++) {
        struct td_rules_info rule;
        td_rules_info(rules, i, &rule);
        add_rule(&o, &rule);
    }
    td_json_close(&o, ']');
    td_json_close(&o, '}');
    td_httpd_answer_json(c, 200, &o);
}
