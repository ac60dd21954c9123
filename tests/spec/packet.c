/* spec: the codec. Properties are one table, read both ways. */
#include "spec/packet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { BYTE, TWO, FOUR, VARINT, TEXT, PAIR };

static const struct property {
    uint8_t id, kind;
    const char *name;
} properties[] = {
    {1, BYTE, "format"},
    {2, FOUR, "expires"},
    {3, TEXT, "content-type"},
    {8, TEXT, "response"},
    {9, TEXT, "correlation"},
    {11, VARINT, "sub-id"},
    {17, FOUR, "expiry"},
    {18, TEXT, "assigned"},
    {19, TWO, "server-keep"},
    {21, TEXT, "method"},
    {22, TEXT, "data"},
    {23, BYTE, "problem-info"},
    {24, FOUR, "delay"},
    {25, BYTE, "response-info"},
    {26, TEXT, "response-base"},
    {28, TEXT, "server-reference"},
    {31, TEXT, "reason-string"},
    {33, TWO, "receive-max"},
    {34, TWO, "alias-max"},
    {35, TWO, "alias"},
    {36, BYTE, "qos-max"},
    {37, BYTE, "retain-available"},
    {38, PAIR, "user"},
    {39, FOUR, "packet-max"},
    {40, BYTE, "wildcards-available"},
    {41, BYTE, "sub-ids-available"},
    {42, BYTE, "shared-available"},
};

/* ---- fields ---- */

void spec_fields_init(struct spec_fields *f)
{
    memset(f, 0, sizeof *f);
    td_buf_init(&f->bytes, SPEC_FIELD_BYTES_MAX);
    /* slices point into it: it must not move */
    td_assert(td_buf_reserve(&f->bytes, SPEC_FIELD_BYTES_MAX / 2) == TD_OK);
}

void spec_fields_fini(struct spec_fields *f)
{
    td_buf_fini(&f->bytes);
}

static td_slice kept(struct spec_fields *f, td_slice bytes)
{
    size_t at = f->bytes.n;
    td_assert(at + bytes.n <= f->bytes.cap);
    td_assert(td_buf_add(&f->bytes, bytes) == TD_OK);
    return (td_slice){f->bytes.p + at, bytes.n};
}

bool spec_fields_add(struct spec_fields *f, const char *name, td_slice value)
{
    struct spec_field *old = (struct spec_field *)(uintptr_t)spec_fields_find(f, name);
    if (old != NULL && *name != '\0') {
        td_slice joined = kept(f, old->value);
        (void)kept(f, TD_STR(","));
        (void)kept(f, value);
        old->value = (td_slice){joined.p, joined.n + 1 + value.n};
        return true;
    }
    if (f->count == SPEC_FIELDS_MAX) {
        return false;
    }
    f->at[f->count++] = (struct spec_field){kept(f, td_slice_of(name)), kept(f, value)};
    return true;
}

const struct spec_field *spec_fields_find(const struct spec_fields *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (td_slice_eq(f->at[i].name, td_slice_of(name))) {
            return &f->at[i];
        }
    }
    return NULL;
}

static uint8_t hex_byte(const uint8_t *p)
{
    char digits[3] = {(char)p[0], (char)p[1], '\0'};
    return (uint8_t)strtoul(digits, NULL, 16);
}

/* One word from the front of *rest, its escapes resolved, into f->bytes. */
static bool word_read(struct spec_fields *f, td_slice *rest, td_slice *word, size_t *equals)
{
    const uint8_t *p = rest->p, *end = rest->p + rest->n;
    size_t at = f->bytes.n;
    bool quoted = false;
    *equals = SIZE_MAX;
    for (; p < end && (quoted || *p != ' '); p++) {
        uint8_t byte = *p;
        if (byte == '"') {
            quoted = !quoted;
            continue;
        }
        if (byte == '=' && *equals == SIZE_MAX) {
            *equals = f->bytes.n - at;
        } else if (byte == '\\' && end - p > 3 && p[1] == 'x') {
            byte = hex_byte(p + 2);
            p += 3;
        }
        (void)kept(f, (td_slice){&byte, 1});
    }
    *rest = (td_slice){p, (size_t)(end - p)};
    *word = (td_slice){f->bytes.p + at, f->bytes.n - at};
    return !quoted;
}

static td_slice repeated(struct spec_fields *f, td_slice value)
{
    char digits[16] = {0};
    memcpy(digits, value.p + 1, value.n - 1 < 15 ? value.n - 1 : 15);
    size_t n = strtoul(digits, NULL, 10);
    td_assert(f->bytes.n + n <= f->bytes.cap);
    td_slice all = {f->bytes.p + f->bytes.n, n};
    memset(f->bytes.p + f->bytes.n, 'x', n);
    f->bytes.n += n;
    return all;
}

bool spec_fields_parse(struct spec_fields *f, td_slice line)
{
    f->count = 0;
    td_buf_clear(&f->bytes);
    while (line.n > 0) {
        if (*line.p == ' ') {
            line = td_slice_skip(line, 1);
            continue;
        }
        td_slice word;
        size_t equals;
        if (!word_read(f, &line, &word, &equals) || f->count == SPEC_FIELDS_MAX) {
            return false;
        }
        struct spec_field *field = &f->at[f->count++];
        field->name = equals == SIZE_MAX ? (td_slice){NULL, 0} : td_slice_head(word, equals);
        field->value = equals == SIZE_MAX ? word : td_slice_skip(word, equals + 1);
        if (equals != SIZE_MAX && field->value.n > 1 && field->value.p[0] == '@') {
            field->value = repeated(f, field->value);
        }
    }
    return true;
}

/* ---- encoding ---- */

static void put(struct td_buf *out, td_slice bytes)
{
    td_assert(td_buf_add(out, bytes) == TD_OK);
}

static void put_number(struct td_buf *out, uint32_t v, size_t bytes)
{
    for (size_t i = bytes; i-- > 0;) {
        uint8_t byte = (uint8_t)(v >> (8 * i));
        put(out, (td_slice){&byte, 1});
    }
}

static void put_varint(struct td_buf *out, uint32_t v)
{
    do {
        put_number(out, (v & 0x7F) | (v > 0x7F ? 0x80u : 0), 1);
        v >>= 7;
    } while (v > 0);
}

static void put_text(struct td_buf *out, td_slice text)
{
    put_number(out, (uint32_t)text.n, 2);
    put(out, text);
}

static uint32_t number_of(td_slice value)
{
    char text[16] = {0};
    memcpy(text, value.p, value.n < 15 ? value.n : 15);
    return (uint32_t)strtoul(text, NULL, 0);
}

static uint32_t number(const struct spec_fields *w, const char *name, uint32_t otherwise)
{
    const struct spec_field *f = spec_fields_find(w, name);
    return f == NULL ? otherwise : number_of(f->value);
}

static td_slice text(const struct spec_fields *w, const char *name)
{
    const struct spec_field *f = spec_fields_find(w, name);
    return f == NULL ? (td_slice){NULL, 0} : f->value;
}

static bool has(const struct spec_fields *w, const char *name)
{
    return spec_fields_find(w, name) != NULL;
}

static void put_property(struct td_buf *out, const struct property *p, td_slice value)
{
    put_number(out, p->id, 1);
    switch ((enum kind)p->kind) {
    case BYTE:
        put_number(out, number_of(value), 1);
        break;
    case TWO:
        put_number(out, number_of(value), 2);
        break;
    case FOUR:
        put_number(out, number_of(value), 4);
        break;
    case VARINT:
        put_varint(out, number_of(value));
        break;
    case TEXT:
        put_text(out, value);
        break;
    case PAIR: {
        size_t n = td_slice_find(value, ':');
        put_text(out, td_slice_head(value, n));
        put_text(out, td_slice_skip(value, n + 1));
        break;
    }
    }
}

/* All fields whose name is `prefix` and a property's. */
static void put_properties(struct td_buf *out, const struct spec_fields *w, const char *prefix)
{
    struct td_buf block;
    td_slice start = td_slice_of(prefix);
    td_buf_init(&block, SPEC_FIELD_BYTES_MAX);
    for (size_t i = 0; i < w->count; i++) {
        if (!td_slice_starts(w->at[i].name, start)) {
            continue;
        }
        td_slice name = td_slice_skip(w->at[i].name, start.n);
        for (uint32_t n = td_slice_eq(name, TD_STR("users")) ? number_of(w->at[i].value) : 0; n > 0;
             n--) {
            put_property(&block, &(struct property){38, PAIR, "user"}, TD_STR("k:v"));
        }
        for (size_t p = 0; p < TD_COUNT(properties); p++) {
            if (td_slice_eq(name, td_slice_of(properties[p].name))) {
                put_property(&block, &properties[p], w->at[i].value);
            }
        }
    }
    put_varint(out, (uint32_t)block.n);
    put(out, td_buf_slice(&block));
    td_buf_fini(&block);
}

static void connect_put(struct td_buf *out, const struct spec_fields *w, unsigned version)
{
    bool will = has(w, "will");
    put_text(out, has(w, "name") ? text(w, "name")
                  : version == 3 ? TD_STR("MQIsdp")
                                 : TD_STR("MQTT"));
    put_number(out, number(w, "level", version), 1);
    put_number(out,
               number(w, "clean", 1) << 1 | (will ? 4u : 0) | number(w, "will-qos", 0) << 3 |
                   number(w, "will-retain", 0) << 5 | (has(w, "pass") ? 64u : 0) |
                   (has(w, "username") ? 128u : 0),
               1);
    put_number(out, number(w, "keep", 0), 2);
    if (version == 5) {
        put_properties(out, w, "");
    }
    put_text(out, text(w, "id"));
    if (will) {
        if (version == 5) {
            put_properties(out, w, "will-");
        }
        put_text(out, text(w, "will"));
        put_text(out, text(w, "will-payload"));
    }
    if (has(w, "username")) {
        put_text(out, text(w, "username"));
    }
    if (has(w, "pass")) {
        put_text(out, text(w, "pass"));
    }
}

static void publish_put(struct td_buf *out, const struct spec_fields *w, unsigned version)
{
    put_text(out, text(w, "topic"));
    if (number(w, "qos", 0) > 0) {
        put_number(out, number(w, "id", 0), 2);
    }
    if (version == 5) {
        put_properties(out, w, "");
    }
    put(out, text(w, "payload"));
}

/* A reason and properties at the end, left out if there is nothing to say. */
static void reason_put(struct td_buf *out, const struct spec_fields *w, unsigned version)
{
    struct td_buf block;
    td_buf_init(&block, SPEC_FIELD_BYTES_MAX);
    put_properties(&block, w, "");
    if (version == 5 && (block.n > 1 || has(w, "reason"))) {
        put_number(out, number(w, "reason", 0), 1);
        put(out, block.n > 1 ? td_buf_slice(&block) : (td_slice){NULL, 0});
    }
    td_buf_fini(&block);
}

static void ack_put(struct td_buf *out, const struct spec_fields *w, unsigned version)
{
    put_number(out, number(w, "id", 0), 2);
    reason_put(out, w, version);
}

/* "t/a:1nrh2": the filter, then its options. */
static void filter_put(struct td_buf *out, td_slice word, bool options)
{
    size_t colon = word.n;
    while (options && colon > 0 && word.p[colon] != ':') {
        colon--;
    }
    put_text(out, td_slice_head(word, options ? colon : word.n));
    uint32_t byte = 0;
    for (size_t i = colon + 1; i < word.n; i++) {
        uint8_t c = word.p[i];
        byte |= c == 'n' ? 4u : c == 'r' ? 8u : 0;
        if (c == 'h' && i + 1 < word.n) {
            byte |= (uint32_t)(word.p[++i] - '0') << 4;
        } else if (c >= '0' && c <= '3') {
            byte |= (uint32_t)(c - '0');
        }
    }
    if (options) {
        put_number(out, byte, 1);
    }
}

static void list_put(struct td_buf *out, const struct spec_fields *w, unsigned version, size_t from,
                     bool options)
{
    put_number(out, number(w, "id", 0), 2);
    if (version == 5) {
        put_properties(out, w, "");
    }
    for (size_t i = from; i < w->count; i++) {
        if (w->at[i].name.n == 0) {
            filter_put(out, w->at[i].value, options);
        }
    }
}

/* Bytes as hexadecimal digits; text=... stands with its length, raw=... by itself. */
static void raw_put(struct td_buf *out, const struct spec_fields *w, size_t from)
{
    for (size_t i = from; i < w->count; i++) {
        td_slice v = w->at[i].value;
        if (td_slice_eq(w->at[i].name, TD_STR("text"))) {
            put_text(out, v);
        } else if (td_slice_eq(w->at[i].name, TD_STR("raw"))) {
            put(out, v);
        } else {
            for (size_t at = 0; at + 1 < v.n; at += 2) {
                put_number(out, hex_byte(v.p + at), 1);
            }
        }
    }
}

enum body {
    CONNECT_BODY,
    PUBLISH_BODY,
    ACK_BODY,
    SUBSCRIBE_BODY,
    UNSUBSCRIBE_BODY,
    REASON_BODY,
    NO_BODY,
    RAW_BODY
};

static const struct verb {
    const char *word;
    uint8_t first, body;
} verbs[] = {
    {"connect", 0x10, CONNECT_BODY},
    {"publish", 0x30, PUBLISH_BODY},
    {"puback", 0x40, ACK_BODY},
    {"pubrec", 0x50, ACK_BODY},
    {"pubrel", 0x62, ACK_BODY},
    {"pubcomp", 0x70, ACK_BODY},
    {"subscribe", 0x82, SUBSCRIBE_BODY},
    {"unsubscribe", 0xA2, UNSUBSCRIBE_BODY},
    {"ping", 0xC0, NO_BODY},
    {"disconnect", 0xE0, REASON_BODY},
    {"auth", 0xF0, REASON_BODY},
    {"packet", 0, RAW_BODY},
};

static void body_put(struct td_buf *out, enum body body, const struct spec_fields *w, size_t from,
                     unsigned version)
{
    switch (body) {
    case CONNECT_BODY:
        connect_put(out, w, version);
        break;
    case PUBLISH_BODY:
        publish_put(out, w, version);
        break;
    case ACK_BODY:
        ack_put(out, w, version);
        break;
    case SUBSCRIBE_BODY:
    case UNSUBSCRIBE_BODY:
        list_put(out, w, version, from, body == SUBSCRIBE_BODY);
        break;
    case REASON_BODY:
        reason_put(out, w, version);
        break;
    case NO_BODY:
        break;
    case RAW_BODY:
        raw_put(out, w, from + 1);
        break;
    }
}

bool spec_packet_encode(const struct spec_fields *w, size_t from, unsigned version,
                        struct td_buf *out, const char **why)
{
    if (from < w->count && td_slice_eq(w->at[from].value, TD_STR("bytes"))) {
        raw_put(out, w, from + 1);
        return true;
    }
    for (size_t i = 0; i < TD_COUNT(verbs); i++) {
        const struct verb *v = &verbs[i];
        if (from >= w->count || !td_slice_eq(w->at[from].value, td_slice_of(v->word))) {
            continue;
        }
        struct td_buf body;
        td_buf_init(&body, SPEC_FIELD_BYTES_MAX);
        body_put(&body, v->body, w, from + 1, version);
        uint32_t first = v->first;
        if (v->body == RAW_BODY) {
            first = hex_byte(w->at[from + 1].value.p);
        } else if (v->body == PUBLISH_BODY) {
            first |= number(w, "dup", 0) << 3 | number(w, "qos", 0) << 1 | number(w, "retain", 0);
        }
        put_number(out, has(w, "flags") ? (first & 0xF0) | number(w, "flags", 0) : first, 1);
        put_varint(out, (uint32_t)body.n);
        put(out, td_buf_slice(&body));
        td_buf_fini(&body);
        return true;
    }
    *why = "no such packet";
    return false;
}

/* ---- decoding ---- */

struct reader {
    td_slice rest;
    bool broken;
    uint32_t ids[16]; /* subscription identifiers: their order means nothing, so they are sorted */
    size_t id_count;
};

static uint32_t take_number(struct reader *r, size_t bytes)
{
    uint32_t v = 0;
    if (r->rest.n < bytes) {
        r->broken = true;
        r->rest.n = 0;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        v = v << 8 | r->rest.p[i];
    }
    r->rest = td_slice_skip(r->rest, bytes);
    return v;
}

static td_slice take_bytes(struct reader *r, size_t n)
{
    r->broken = r->broken || n > r->rest.n;
    td_slice bytes = td_slice_head(r->rest, n);
    r->rest = td_slice_skip(r->rest, n);
    return bytes;
}

static td_slice take_text(struct reader *r)
{
    return take_bytes(r, take_number(r, 2));
}

static uint32_t take_varint(struct reader *r)
{
    uint32_t v = 0, byte = 0x80;
    for (unsigned shift = 0; shift < 28 && byte >= 0x80; shift += 7) {
        byte = take_number(r, 1);
        v |= (byte & 0x7F) << shift;
    }
    r->broken = r->broken || byte >= 0x80;
    return v;
}

static void add_number(struct spec_fields *out, const char *name, uint32_t v)
{
    char digits[16];
    int n = snprintf(digits, sizeof digits, "%" PRIu32, v);
    (void)spec_fields_add(out, name, (td_slice){(const uint8_t *)digits, (size_t)n});
}

static void id_note(struct reader *r, uint32_t id)
{
    size_t at = r->id_count;
    if (at == TD_COUNT(r->ids)) {
        r->broken = true;
        return;
    }
    for (; at > 0 && r->ids[at - 1] > id; at--) {
        r->ids[at] = r->ids[at - 1];
    }
    r->ids[at] = id;
    r->id_count++;
}

/* "7,128" */
static void add_ids(const struct reader *r, struct spec_fields *out)
{
    for (size_t i = 0; i < r->id_count; i++) {
        add_number(out, "sub-id", r->ids[i]);
    }
}

static void property_read(struct reader *r, struct spec_fields *out)
{
    uint32_t id = take_number(r, 1);
    for (size_t i = 0; i < TD_COUNT(properties); i++) {
        const struct property *p = &properties[i];
        if (p->id != id) {
            continue;
        }
        static const size_t bytes[] = {[BYTE] = 1, [TWO] = 2, [FOUR] = 4};
        if (p->kind <= FOUR) {
            add_number(out, p->name, take_number(r, bytes[p->kind]));
        } else if (p->kind == VARINT) {
            id_note(r, take_varint(r));
        } else {
            td_slice first = take_text(r), second = p->kind == PAIR ? take_text(r) : first;
            struct td_buf both;
            td_buf_init(&both, SPEC_FIELD_BYTES_MAX);
            put(&both, first);
            if (p->kind == PAIR) {
                put(&both, TD_STR(":"));
                put(&both, second);
            }
            (void)spec_fields_add(out, p->name, td_buf_slice(&both));
            td_buf_fini(&both);
        }
        return;
    }
    r->broken = true;
}

static void properties_read(struct reader *r, struct spec_fields *out)
{
    struct reader inner = {.rest = take_bytes(r, take_varint(r))};
    while (inner.rest.n > 0 && !inner.broken) {
        property_read(&inner, out);
    }
    add_ids(&inner, out);
    r->broken = r->broken || inner.broken;
}

static void publish_read(struct reader *r, unsigned flags, unsigned version,
                         struct spec_fields *out)
{
    add_number(out, "dup", flags >> 3 & 1);
    add_number(out, "qos", flags >> 1 & 3);
    add_number(out, "retain", flags & 1);
    (void)spec_fields_add(out, "topic", take_text(r));
    if ((flags >> 1 & 3) > 0) {
        add_number(out, "id", take_number(r, 2));
    }
    if (version == 5) {
        properties_read(r, out);
    }
    (void)spec_fields_add(out, "payload", r->rest);
    r->rest.n = 0;
}

static void reason_read(struct reader *r, unsigned version, struct spec_fields *out)
{
    add_number(out, "reason", version == 5 && r->rest.n > 0 ? take_number(r, 1) : 0);
    if (version == 5 && r->rest.n > 0) {
        properties_read(r, out);
    }
}

static void codes_read(struct reader *r, unsigned type, unsigned version, struct spec_fields *out)
{
    add_number(out, "id", take_number(r, 2));
    if (version == 5) {
        properties_read(r, out);
    }
    while (r->rest.n > 0 && (type == 9 || version == 5)) {
        char code[3];
        (void)snprintf(code, sizeof code, "%02x", (unsigned)take_number(r, 1));
        (void)spec_fields_add(out, "codes", td_slice_of(code));
    }
}

static void connack_read(struct reader *r, unsigned version, struct spec_fields *out)
{
    uint32_t flags = take_number(r, 1);
    r->broken = r->broken || flags > 1;
    add_number(out, "present", flags);
    add_number(out, "reason", take_number(r, 1));
    if (version == 5) {
        properties_read(r, out);
    }
}

size_t spec_packet_whole(td_slice in)
{
    size_t n = 0;
    for (size_t i = 1; i < 5 && i < in.n; i++) {
        n |= (size_t)(in.p[i] & 0x7F) << (7 * (i - 1));
        if (in.p[i] < 0x80) {
            return in.n < 1 + i + n ? 0 : 1 + i + n;
        }
    }
    return 0;
}

/* What a server may send, and the flags that go with it (15: any). */
static const struct {
    const char *word;
    uint8_t flags;
} from_server[16] = {
    [2] = {"connack", 0},   [3] = {"publish", 15},    [4] = {"puback", 0}, [5] = {"pubrec", 0},
    [6] = {"pubrel", 2},    [7] = {"pubcomp", 0},     [9] = {"suback", 0}, [11] = {"unsuback", 0},
    [13] = {"pingresp", 0}, [14] = {"disconnect", 0}, [15] = {"auth", 0},
};

bool spec_packet_decode(td_slice packet, unsigned version, const char **word,
                        struct spec_fields *out, const char **why)
{
    unsigned type = packet.p[0] >> 4, flags = packet.p[0] & 15;
    out->count = 0;
    td_buf_clear(&out->bytes);
    *word = from_server[type].word;
    if (*word == NULL || (from_server[type].flags != 15 && from_server[type].flags != flags)) {
        *why = "no packet of a server, or with wrong flags";
        return false;
    }
    struct reader r = {.rest = td_slice_skip(packet, 1)};
    (void)take_varint(&r);
    if (type == 2) {
        connack_read(&r, version, out);
    } else if (type == 3) {
        publish_read(&r, flags, version, out);
    } else if (type == 9 || type == 11) {
        codes_read(&r, type, version, out);
    } else if (type != 13) {
        if (type < 8) {
            add_number(out, "id", take_number(&r, 2));
        }
        reason_read(&r, version, out);
    }
    *why = "it ends inside a field, or goes on behind the last";
    return !r.broken && r.rest.n == 0;
}
