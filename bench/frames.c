/* frames: see frames.h. */
#include "frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (b->cap - b->n < n) {
        size_t cap = b->cap == 0 ? 64 : b->cap;
        while (cap - b->n < n) {
            cap *= 2;
        }
        b->p = realloc(b->p, cap);
        if (b->p == NULL) {
            perror("load");
            exit(1);
        }
        b->cap = cap;
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){0};
}

static void add_u8(struct bytes *b, unsigned v)
{
    uint8_t byte = (uint8_t)v;
    bytes_add(b, &byte, 1);
}

static void add_u16(struct bytes *b, size_t v)
{
    uint8_t two[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    bytes_add(b, two, 2);
}

static void add_text(struct bytes *b, const char *text)
{
    size_t n = strlen(text);
    add_u16(b, n);
    bytes_add(b, text, n);
}

static void add_head(struct bytes *b, unsigned first, size_t remaining)
{
    add_u8(b, first);
    do {
        unsigned low = remaining & 0x7F;
        remaining >>= 7;
        add_u8(b, remaining > 0 ? low | 0x80 : low);
    } while (remaining > 0);
}

void frame_connect(struct bytes *out, const char *id, bool clean)
{
    add_head(out, F_CONNECT << 4, 12 + strlen(id));
    add_text(out, "MQTT");
    add_u8(out, 4);
    add_u8(out, clean ? 2 : 0);
    add_u16(out, 0); /* no keep alive: a silent crowd is not to be judged by it */
    add_text(out, id);
}

void frame_subscribe(struct bytes *out, uint16_t id, const char *const *filters, size_t count,
                     unsigned qos)
{
    size_t n = 2;
    for (size_t i = 0; i < count; i++) {
        n += 3 + strlen(filters[i]);
    }
    add_head(out, F_SUBSCRIBE << 4 | 2, n);
    add_u16(out, id);
    for (size_t i = 0; i < count; i++) {
        add_text(out, filters[i]);
        add_u8(out, qos);
    }
}

void frame_publish(struct bytes *out, const char *topic, unsigned qos, uint16_t id,
                   const uint8_t *payload, size_t payload_n)
{
    add_head(out, F_PUBLISH << 4 | qos << 1, 2 + strlen(topic) + (qos > 0 ? 2 : 0) + payload_n);
    add_text(out, topic);
    if (qos > 0) {
        add_u16(out, id);
    }
    bytes_add(out, payload, payload_n);
}

void frame_ack(struct bytes *out, unsigned type, uint16_t id)
{
    add_head(out, type << 4 | (type == F_PUBREL ? 2 : 0), 2);
    add_u16(out, id);
}

void frame_ping(struct bytes *out)
{
    add_head(out, F_PINGREQ << 4, 0);
}

void frame_disconnect(struct bytes *out)
{
    add_head(out, F_DISCONNECT << 4, 0);
}

void frame_hello(struct bytes *out, unsigned channel, bool publisher, size_t frame_bytes)
{
    add_head(out, F_SUBACK << 4, 6);
    add_u16(out, channel);
    add_u8(out, publisher);
    add_u8(out, (unsigned)(frame_bytes >> 16));
    add_u16(out, (unsigned)(frame_bytes & 0xFFFF));
}

static unsigned u16_at(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static bool publish_open(struct frame *f)
{
    f->qos = f->flags >> 1 & 3;
    size_t head = 2 + (f->qos > 0 ? 2 : 0);
    if (f->qos == 3 || f->body_n < head || f->body_n - head < u16_at(f->body)) {
        return false;
    }
    f->topic = f->body + 2;
    f->topic_n = u16_at(f->body);
    f->id = f->qos > 0 ? (uint16_t)u16_at(f->topic + f->topic_n) : 0;
    f->payload = f->body + head + f->topic_n;
    f->payload_n = f->body_n - head - f->topic_n;
    return true;
}

static bool body_open(struct frame *f)
{
    switch (f->type) {
    case F_PUBLISH:
        return publish_open(f);
    case F_CONNACK:
        return f->body_n == 2;
    case F_PUBACK:
    case F_PUBREC:
    case F_PUBREL:
    case F_PUBCOMP:
        f->id = f->body_n == 2 ? (uint16_t)u16_at(f->body) : 0;
        return f->body_n == 2 && f->flags == (f->type == F_PUBREL ? 2u : 0u);
    case F_SUBACK:
        f->id = f->body_n > 2 ? (uint16_t)u16_at(f->body) : 0;
        return f->body_n > 2;
    case F_PINGRESP:
        return f->body_n == 0;
    default:
        return false;
    }
}

int frame_next(const uint8_t *p, size_t n, struct frame *out)
{
    size_t length = 0, at = 1;
    for (unsigned shift = 0;; shift += 7) {
        if (at >= n) {
            return 0;
        }
        length |= (size_t)(p[at] & 0x7F) << shift;
        if ((p[at++] & 0x80) == 0) {
            break;
        }
        if (at > 4) {
            return -1;
        }
    }
    if (n - at < length) {
        return 0;
    }
    *out = (struct frame){.type = p[0] >> 4, .flags = p[0] & 15, .body = p + at, .body_n = length};
    out->whole_n = at + length;
    return body_open(out) ? 1 : -1;
}
