/* wire/mqtt: what its own files share. Not a door. */
#ifndef TD_WIRE_MQTT_PACKET_H
#define TD_WIRE_MQTT_PACKET_H

#include "wire/mqtt/mqtt.h"

/* What is wrong with a packet; the first thing found stays. */
struct td_mqtt_fault {
    const char *rule; /* NULL: nothing */
    uint8_t reason;
};

static inline void td_mqtt_fault_set(struct td_mqtt_fault *f, unsigned reason, const char *rule)
{
    if (f->rule == NULL) {
        *f = (struct td_mqtt_fault){rule, (uint8_t)reason};
    }
}

/* The bit of a packet type in masks; the will of a CONNECT counts as type 0. */
#define TD_MQTT_BIT(type) (1u << (type))
enum { TD_MQTT_WILL = 0 };

/* Decodes a whole packet: `first` is its first byte, `body` what follows the remaining length;
 * `version` is ignored for CONNECT. False: *fault is set, and *out holds nothing but the version of
 * a CONNECT, if that is known, and the properties that came before the fault. Stateless. */
bool td_mqtt_packet_decode(unsigned version, uint8_t first, td_slice body,
                           struct td_mqtt_packet *out, struct td_mqtt_fault *fault);

/* Reads length and block of properties for `type`. Sets fault or *out. */
void td_mqtt_props_decode(struct td_cursor *c, unsigned type, struct td_mqtt_props *out,
                          struct td_mqtt_fault *fault);
/* Bytes of the block without its length, and the block. */
size_t td_mqtt_props_size(const struct td_mqtt_props *props, unsigned type);
uint8_t *td_mqtt_props_put(uint8_t *p, const struct td_mqtt_props *props, unsigned type);

/* Whether a reason may stand in a packet (5.0). */
bool td_mqtt_reason_fits(unsigned reason, unsigned type, bool by_server);

#endif
