/* frames: the little of MQTT 3.1.1 that a load generator speaks, written from the specification
 * and not from src/wire, so that the two check each other.
 *
 * Writers append one packet to a growing buffer; the reader takes one whole packet from the front
 * of what was received. Only what a client sends and gets; no state, no I/O. */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Packet types (MQTT 3.1.1 table 2.1). */
enum {
    F_CONNECT = 1,
    F_CONNACK,
    F_PUBLISH,
    F_PUBACK,
    F_PUBREC,
    F_PUBREL,
    F_PUBCOMP,
    F_SUBSCRIBE,
    F_SUBACK,
    F_PINGREQ = 12,
    F_PINGRESP,
    F_DISCONNECT
};

/* A buffer that grows; zero is empty. Owned by whoever embeds it, bytes_free() ends it. */
struct bytes {
    uint8_t *p;
    size_t n, cap;
};

void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_free(struct bytes *b);

void frame_connect(struct bytes *out, const char *id, bool clean);
/* `count` filters with one wish for all. */
void frame_subscribe(struct bytes *out, uint16_t id, const char *const *filters, size_t count,
                     unsigned qos);
/* The payload is given in `payload_n` bytes; `id` counts for QoS 1 and 2 only. */
void frame_publish(struct bytes *out, const char *topic, unsigned qos, uint16_t id,
                   const uint8_t *payload, size_t payload_n);
/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
void frame_ack(struct bytes *out, unsigned type, uint16_t id);
void frame_ping(struct bytes *out);
void frame_disconnect(struct bytes *out);
/* What the relay wants to know, shaped like a SUBACK so that its echo is one for the reader. */
void frame_hello(struct bytes *out, unsigned channel, bool publisher, size_t frame_bytes);

/* A packet, borrowed from the input. */
struct frame {
    unsigned type, flags;
    const uint8_t *body; /* behind the fixed header */
    size_t body_n;
    size_t whole_n; /* with the fixed header: step this far */
    /* PUBLISH only: */
    unsigned qos;
    const uint8_t *topic, *payload;
    size_t topic_n, payload_n;
    /* PUBLISH with QoS, all acknowledgements, SUBACK: */
    uint16_t id;
};

/* 1: a packet; 0: more bytes needed; -1: not MQTT. */
int frame_next(const uint8_t *p, size_t n, struct frame *out);

#endif
