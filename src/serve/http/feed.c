/* serve/http: what a live feed gets: binary frames, little-endian, varint = LEB128, lump = varint
 * length and bytes:
 *
 *     frame := u8 kind | u32 seq | i64 time_us | entry*
 *     kind 1 values:   varint series | u8 form(4) quality(3) changed(1) | varint age_ms | value
 *     kind 2 names:    varint series | lump topic | lump field | u8 form
 *     kind 3 event:    JSON
 *     kind 4 snapshot: what was known is void; names and values of all that is watched follow
 *
 * Every 100 ms a feed gets what was said since it last got something, the newest value of each
 * series. A socket that is not writable gets nothing, and later the newest state: what waits for a
 * page is bounded by what it watches. Only an event can be lost; then seq has a gap. */
#include <stdlib.h>

#include "base/time.h"
#include "serve/decide.h"
#include "serve/http/feed.h"
#include "serve/record.h"

enum { HEAD_BYTES = 13 };

enum frame { FRAME_VALUES = 1, FRAME_NAMES = 2, FRAME_EVENT = 3, FRAME_SNAPSHOT = 4 };

/* ---- which series ---- */

/* The byte at `i` of "topic field". */
static uint8_t text_at(const struct td_current *v, size_t i)
{
    return i < v->topic.n ? v->topic.p[i] : i == v->topic.n ? ' ' : v->field.p[i - v->topic.n - 1];
}

/* ? is any byte, * any bytes; on a mismatch the last * takes one byte more. */
static bool glob_matches(const char *glob, const struct td_current *v)
{
    size_t n = v->topic.n + 1 + v->field.n, at = 0, star_at = 0;
    const char *star = NULL;
    while (at < n) {
        if (*glob == '*') {
            star = ++glob;
            star_at = at;
        } else if (*glob != 0 && (*glob == '?' || (uint8_t)*glob == text_at(v, at))) {
            glob++;
            at++;
        } else if (star != NULL) {
            glob = star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*glob == '*') {
        glob++;
    }
    return *glob == 0;
}

static bool watched(const struct td_live *live, const struct td_current *v)
{
    for (size_t at = 0; at < live->glob_bytes; at += strlen(live->globs + at) + 1) {
        if (glob_matches(live->globs + at, v)) {
            return true;
        }
    }
    return false;
}

static uint32_t *named_slot(const struct td_live *live, uint32_t series)
{
    uint32_t at = (series * UINT32_C(2654435769)) & (live->named_slots - 1);
    while (live->named[at] != 0 && live->named[at] != series + 1) {
        at = (at + 1) & (live->named_slots - 1);
    }
    return &live->named[at];
}

static void named_grow(struct td_live *live)
{
    struct td_live old = *live;
    if (live->named_count * 2 < live->named_slots) {
        return;
    }
    live->named_slots = old.named_slots == 0 ? 64 : old.named_slots * 2;
    live->named = td_alloc(live->named_slots * sizeof *live->named);
    for (uint32_t i = 0; i < old.named_slots; i++) {
        if (old.named[i] != 0) {
            *named_slot(live, old.named[i] - 1) = old.named[i];
        }
    }
    free(old.named);
}

/* ---- frames ---- */

static uint8_t *put_le(uint8_t *p, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        *p++ = (uint8_t)(v >> (8 * i));
    }
    return p;
}

/* Entries of one slice on their way into frames. */
struct slice {
    struct td_httpd_conn *c;
    struct td_buf *names, *values;
    td_wall wall;
    bool snapshot;
    uint64_t count;
};

static uint8_t form_of(enum td_value_type type)
{
    static const uint8_t forms[] = {[TD_VALUE_NONE] = 0,
                                    [TD_VALUE_BOOL] = 4,
                                    [TD_VALUE_INT] = 3,
                                    [TD_VALUE_FLOAT] = 1,
                                    [TD_VALUE_TEXT] = 5};
    return forms[type];
}

static enum td_err add_payload(struct td_buf *b, struct td_value v)
{
    uint8_t le[8];
    uint64_t bits = 0;
    switch (v.type) {
    case TD_VALUE_NONE:
        return TD_OK;
    case TD_VALUE_BOOL:
        return td_buf_add_u8(b, v.as.b);
    case TD_VALUE_INT:
        put_le(le, (uint64_t)v.as.i, 8);
        return td_buf_add(b, (td_slice){le, 8});
    case TD_VALUE_FLOAT:
        memcpy(&bits, &v.as.f, sizeof bits);
        put_le(le, bits, 8);
        return td_buf_add(b, (td_slice){le, 8});
    case TD_VALUE_TEXT:
        return td_buf_add_lump(b, v.as.text);
    }
    return TD_OK;
}

static enum td_err add_value(struct slice *s, const struct td_current *v)
{
    uint64_t age = v->at < s->wall ? (uint64_t)((s->wall - v->at) / TD_NS_PER_MS) : 0;
    unsigned bits = form_of(v->value.type) | (unsigned)v->quality << 4 | (s->snapshot ? 0U : 0x80U);
    enum td_err err = td_buf_add_varint(s->values, v->series);
    err = err == TD_OK ? td_buf_add_u8(s->values, (uint8_t)bits) : err;
    err = err == TD_OK ? td_buf_add_varint(s->values, age) : err;
    return err == TD_OK ? add_payload(s->values, v->value) : err;
}

static enum td_err add_name(struct slice *s, const struct td_current *v)
{
    enum td_err err = td_buf_add_varint(s->names, v->series);
    err = err == TD_OK ? td_buf_add_lump(s->names, v->topic) : err;
    err = err == TD_OK ? td_buf_add_lump(s->names, v->field) : err;
    return err == TD_OK ? td_buf_add_u8(s->names, form_of(v->value.type)) : err;
}

/* Names it when it is new to the page; false: the page has as many series as it may, or names of
 * as many bytes. */
static bool known(struct slice *s, const struct td_current *v)
{
    struct td_live *live = s->c->live;
    named_grow(live);
    uint32_t *slot = named_slot(live, v->series);
    size_t before = s->names->n;
    if (*slot != 0) {
        return true;
    }
    if (live->named_count == TD_FEED_SERIES_MAX || add_name(s, v) != TD_OK) {
        s->names->n = before;
        return false;
    }
    *slot = v->series + 1;
    live->named_count++;
    return true;
}

static bool slice_add(void *ctx, const struct td_current *v)
{
    struct slice *s = ctx;
    size_t before = s->values->n;
    if (!watched(s->c->live, v) || !td_httpd_may(s->c, TD_GUARD_READ, v->topic)) {
        return true;
    }
    if (!known(s, v) || add_value(s, v) != TD_OK) {
        s->values->n = before;
        s->c->d->stats.live_series_refused++;
        return true;
    }
    s->count++;
    return true;
}

static void frame_add(struct td_httpd_conn *c, enum frame kind, td_slice entries)
{
    struct td_parts *p = c->d->parts;
    uint64_t payload = HEAD_BYTES + entries.n;
    size_t n = td_ws_head_size(payload, false) + (size_t)payload;
    td_assert(td_buf_reserve(&c->out, n) == TD_OK);
    uint8_t *at = td_ws_head_put(c->out.p + c->out.n, TD_WS_BINARY, payload, NULL);
    at = td_put_u8(at, (uint8_t)kind);
    at = put_le(at, c->live->seq++, 4);
    at = put_le(at, (uint64_t)(p->sys->wall(p->sys) / 1000), 8);
    td_put_bytes(at, entries);
    c->out.n += n;
    c->d->stats.unsent_bytes += n;
    c->d->stats.live_frames++;
}

/* Gives c what was said since it last got something. */
static void slice_give(struct td_httpd_conn *c, bool snapshot)
{
    struct td_httpd *d = c->d;
    struct td_buf names, values;
    static const td_slice none = {NULL, 0};
    td_buf_init(&names, d->config.write_bytes_max);
    td_buf_init(&values, d->config.write_bytes_max);
    struct slice s = {.c = c,
                      .names = &names,
                      .values = &values,
                      .wall = d->parts->sys->wall(d->parts->sys),
                      .snapshot = snapshot};
    td_record_changes(d->parts->record, c->live->seen, slice_add, &s);
    c->live->seen = td_record_version(d->parts->record);
    if (snapshot) {
        frame_add(c, FRAME_SNAPSHOT, none);
    }
    if (names.n > 0) {
        frame_add(c, FRAME_NAMES, td_buf_slice(&names));
    }
    if (values.n > 0) {
        frame_add(c, FRAME_VALUES, td_buf_slice(&values));
        d->stats.live_values += s.count;
    }
    td_buf_fini(&names);
    td_buf_fini(&values);
}

/* ---- turns ---- */

/* False: broken. */
static bool live_slice(struct td_httpd_conn *c, bool beat, td_mono now)
{
    struct td_httpd *d = c->d;
    struct td_live *live = c->live;
    bool news = live->seen < td_record_version(d->parts->record);
    if (!live->watching || now < live->slice_at) {
        d->behind |= live->watching && news;
        return true;
    }
    if (td_httpd_conn_unsent(c) > 0 || d->stats.unsent_bytes > TD_HTTPD_UNSENT_BYTES_MAX) {
        d->behind |= news;
        d->stats.live_skipped += news;
        return true;
    }
    live->slice_at = td_mono_after(now, live->every_ms);
    if (news) {
        slice_give(c, false);
    } else if (beat) {
        frame_add(c, FRAME_VALUES, (td_slice){NULL, 0});
    }
    return td_httpd_conn_write(c, now);
}

/* To one feed; false: broken. */
static bool event_give(struct td_httpd_conn *c, td_slice json, td_mono now)
{
    if (json.n == 0 || td_httpd_conn_unsent(c) > TD_FEED_EVENT_UNSENT_MAX) {
        c->live->seq++; /* the gap tells the page */
        c->d->stats.live_events_dropped++;
        return true;
    }
    frame_add(c, FRAME_EVENT, json);
    return td_httpd_conn_write(c, now);
}

/* The event as JSON; empty: it is not kept any more. */
static td_slice event_json(struct td_httpd *d, uint64_t i)
{
    const struct td_decide_event *event = td_decide_event(d->parts->decide, i);
    struct td_json_out o = td_httpd_json(d);
    char text[TD_TIME_TEXT_BYTES];
    if (event == NULL) {
        return (td_slice){NULL, 0};
    }
    td_time_text(event->at, text);
    td_json_open(&o, '{');
    td_json_key(&o, "rule");
    td_json_string(&o, event->rule);
    td_json_key(&o, "key");
    td_json_string(&o, event->key);
    td_json_key(&o, "text");
    td_json_string(&o, event->text);
    td_json_key(&o, "time");
    td_json_string(&o, (td_slice){(const uint8_t *)text, sizeof text});
    td_json_close(&o, '}');
    return o.err == TD_OK ? td_buf_slice(o.to) : (td_slice){NULL, 0};
}

/* What rules did since the last turn goes at once, not with the next slice. */
static void events_give(struct td_httpd *d, td_mono now)
{
    uint64_t count = td_decide_event_count(d->parts->decide);
    for (; d->told < count && d->stats.live > 0; d->told++) {
        td_slice json = event_json(d, d->told);
        for (struct td_httpd_conn *c = d->first, *next; c != NULL; c = next) {
            next = c->next;
            if (c->phase == TD_HTTPD_LIVE && c->live->watching &&
                td_httpd_may_all(c, TD_GUARD_ADMIN) && !event_give(c, json, now)) {
                td_httpd_conn_close(c);
            }
        }
    }
    d->told = count;
}

void td_httpd_live_turn(struct td_httpd *d, td_mono now)
{
    events_give(d, now);
    if (d->stats.live == 0 || now < td_httpd_live_deadline(d)) {
        return;
    }
    bool beat = now >= d->beat_at;
    d->behind = false;
    d->sliced = td_record_version(d->parts->record);
    d->slice_at = td_mono_after(now, TD_FEED_SLICE_MS);
    d->beat_at = beat ? td_mono_after(now, TD_FEED_BEAT_MS) : d->beat_at;
    for (struct td_httpd_conn *c = d->first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->phase == TD_HTTPD_LIVE && !live_slice(c, beat, now)) {
            td_httpd_conn_close(c);
        }
    }
}

td_mono td_httpd_live_deadline(const struct td_httpd *d)
{
    if (d->stats.live == 0) {
        return TD_NEVER;
    }
    bool news = d->behind || d->sliced < td_record_version(d->parts->record);
    return news ? td_mono_min(d->slice_at, d->beat_at) : d->beat_at;
}

void td_httpd_feed_snapshot(struct td_httpd_conn *c, td_mono now)
{
    struct td_live *live = c->live;
    live->watching = true;
    live->seen = 0;
    live->named_count = live->named_slots = 0;
    free(live->named);
    live->named = NULL;
    live->slice_at = td_mono_after(now, live->every_ms);
    slice_give(c, true);
}
