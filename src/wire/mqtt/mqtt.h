/* wire/mqtt: MQTT 3.1, 3.1.1 and 5.0 as a machine without I/O. Bytes and a time go in, whole
 * packets, bytes and one deadline come out. No heap, no clock, no pointer into the outside but
 * what the caller lends.
 *
 *   packet.c    decoding one packet, table-driven     encode.c    sizes and bytes of each packet
 *   props.c     properties of 5.0, from props.def     name.c      topic names and filters
 *   machine.c   who may say what when, keep alive, receive maximum, inbound topic aliases
 *   window.h    outgoing packet ids, QoS states       client.h    a complete client over all this
 *
 *     socket bytes -> td_mqtt_next() -> struct td_mqtt_packet (slices borrow from those bytes)
 *     reserve td_mqtt_*_size() bytes -> td_mqtt_*_put() -> socket
 *
 * One owner and one thread per struct. A broken rule is named by its id in the 5.0 specification
 * and in words: "MQTT-3.1.0-1: the first packet is CONNECT"; by the section where it has no id. */
#ifndef TD_WIRE_MQTT_H
#define TD_WIRE_MQTT_H

#include "bits/bits.h"

/* ---- words of the specification ---- */

enum td_mqtt_type {
    TD_MQTT_CONNECT = 1,
    TD_MQTT_CONNACK,
    TD_MQTT_PUBLISH,
    TD_MQTT_PUBACK,
    TD_MQTT_PUBREC,
    TD_MQTT_PUBREL,
    TD_MQTT_PUBCOMP,
    TD_MQTT_SUBSCRIBE,
    TD_MQTT_SUBACK,
    TD_MQTT_UNSUBSCRIBE,
    TD_MQTT_UNSUBACK,
    TD_MQTT_PINGREQ,
    TD_MQTT_PINGRESP,
    TD_MQTT_DISCONNECT,
    TD_MQTT_AUTH
};

enum td_mqtt_version { TD_MQTT_V31 = 3, TD_MQTT_V311 = 4, TD_MQTT_V5 = 5 };

enum td_mqtt_reason {
#define REASON(name, value, packets, text) TD_MQTT_REASON_##name = value,
#include "wire/mqtt/reason.def"
#undef REASON
};

enum td_mqtt_prop {
#define PROP(name, id, member, kind, least, packets) TD_MQTT_PROP_##name = id,
#include "wire/mqtt/props.def"
#undef PROP
};

enum {
    TD_MQTT_REMAINING_MAX = 268435455, /* of the remaining length */
    TD_MQTT_HEAD_MAX = 5,              /* bytes of a fixed header */
    TD_MQTT_STRING_MAX = 65535,
    TD_MQTT_USERS_MAX = 64, /* user properties of one packet; 0x95 */
    TD_MQTT_ACK_MAX = 5,    /* bytes td_mqtt_ack() writes at most */
    TD_MQTT_WORD_MAX = 128  /* bytes td_mqtt_word() writes at most */
};

/* "PUBLISH", "quota exceeded"; static, never NULL. */
const char *td_mqtt_type_name(unsigned type);
const char *td_mqtt_reason_text(unsigned reason);
/* The return code of a 3.x CONNACK (1..5) for a reason, 0 if none fits. */
uint8_t td_mqtt_reason_v3(unsigned reason);

/* ---- properties of 5.0 ---- */

/* The bit of a property in `has`. */
#define TD_MQTT_HAS(name) (UINT64_C(1) << TD_MQTT_PROP_##name)

/* A member means something only when its bit is set in `has`, and only what is set is encoded. */
struct td_mqtt_props {
    uint64_t has; /* or'ed TD_MQTT_HAS(...) */
    td_slice raw; /* the encoded block without its length: user properties and all subscription
                   * identifiers are read from here, by the iterators below; borrowed */
    td_slice content_type, response_topic, correlation_data;
    td_slice assigned_client_id, auth_method, auth_data;
    td_slice response_information, server_reference, reason_string;
    uint32_t message_expiry_s, session_expiry_s, will_delay_s, maximum_packet_size;
    uint32_t subscription_id; /* the first */
    uint16_t server_keep_alive_s, receive_maximum, topic_alias_maximum, topic_alias;
    uint8_t payload_format, request_problem, request_response, maximum_qos, retain_available;
    uint8_t wildcard_available, subscription_ids_available, shared_available;
};

static inline bool td_mqtt_has(const struct td_mqtt_props *p, enum td_mqtt_prop prop)
{
    return (p->has >> prop & 1) != 0;
}

/* Walk a valid block: *rest starts as props.raw. False: no more. */
bool td_mqtt_user_next(td_slice *rest, td_slice *name, td_slice *value);
bool td_mqtt_subscription_id_next(td_slice *rest, uint32_t *id);
/* For building props.raw: one user property; name and value at most 65,535 bytes. */
size_t td_mqtt_user_size(td_slice name, td_slice value);
uint8_t *td_mqtt_user_put(uint8_t *p, td_slice name, td_slice value);

/* The properties of a received PUBLISH or will that travel on to subscribers, encoded, without
 * length: payload format, content type, response topic, correlation data, user properties. Not the
 * alias, the subscription identifiers, the will delay, and not the expiry, which is written anew
 * when it is sent. Borrowed from props->raw if they stand there in one piece, else gathered in
 * `room`, which has props->raw.n bytes. */
td_slice td_mqtt_props_travel(const struct td_mqtt_props *props, uint8_t *room);
/* Whether it would need `room`: what there is does not stand in one piece. */
bool td_mqtt_props_travel_gathers(const struct td_mqtt_props *props);

/* ---- packets ---- */

/* What only CONNECT has. */
struct td_mqtt_connect {
    td_slice client_id, user, password;
    td_slice will_topic, will_payload;
    struct td_mqtt_props will_props;
    uint16_t keep_alive_s;
    uint8_t will_qos;
    bool clean_start, has_user, has_password, has_will, will_retain;
};

/* One packet of any type. Only the members of its type are set; slices borrow from the input, or
 * for an aliased topic from the alias table, and stand until the caller moves its input or calls
 * td_mqtt_next() again. */
struct td_mqtt_packet {
    uint8_t type;    /* enum td_mqtt_type */
    uint8_t version; /* enum td_mqtt_version */
    uint8_t qos;     /* PUBLISH */
    bool retain, dup;
    bool session_present;       /* CONNACK */
    uint8_t reason;             /* CONNACK (3.x: as its 5.0 twin), PUBACK.., DISCONNECT, AUTH */
    uint16_t id;                /* PUBLISH with QoS 1, 2; PUBACK.., SUBSCRIBE.., UNSUBACK */
    uint32_t bytes;             /* of the whole packet */
    uint32_t list_count;        /* entries in list */
    td_slice topic;             /* PUBLISH: never empty, aliases are resolved */
    td_slice payload;           /* PUBLISH */
    td_slice list;              /* (UN)SUBSCRIBE: filters; SUBACK, 5.0 UNSUBACK: one code a byte.
                            * Checked; walk filters with td_mqtt_filter_next() */
    struct td_mqtt_props props; /* has == 0 in 3.x */
    struct td_mqtt_connect connect;
};

struct td_mqtt_filter {
    td_slice filter;
    uint8_t qos; /* these four: SUBSCRIBE only */
    bool no_local, retain_as_published;
    uint8_t retain_handling; /* 0, 1, 2 */
};

/* Walks the list of a decoded SUBSCRIBE or UNSUBSCRIBE: *rest starts as packet->list. */
bool td_mqtt_filter_next(const struct td_mqtt_packet *packet, td_slice *rest,
                         struct td_mqtt_filter *out);
/* For building such a list; `type` SUBSCRIBE or UNSUBSCRIBE. */
size_t td_mqtt_filter_size(unsigned type, const struct td_mqtt_filter *f);
uint8_t *td_mqtt_filter_put(uint8_t *p, unsigned type, unsigned version,
                            const struct td_mqtt_filter *f);

/* Any packet as bytes: what decoding gave encodes to its equal. Size 0: it does not fit MQTT's
 * lengths. put writes exactly that many bytes and gives the place behind them. */
size_t td_mqtt_packet_size(const struct td_mqtt_packet *packet);
uint8_t *td_mqtt_packet_put(uint8_t *p, const struct td_mqtt_packet *packet);

/* ---- PUBLISH on its way out, the hot path of a hub ---- */

/* One delivery. What all receivers share is borrowed (topic, props, payload), what is one
 * connection's own is numbers. */
struct td_mqtt_publish {
    td_slice topic; /* may be empty when `alias` is known to the peer */
    td_slice props; /* as td_mqtt_props_travel() gave; written in 5.0 only */
    td_slice payload;
    const uint32_t *ids; /* subscription identifiers, 5.0 only; zeros are skipped */
    uint32_t expiry_s;   /* what is left of it, UINT32_MAX: does not expire; 5.0 only */
    uint16_t id_count;
    uint16_t id;    /* packet id, with qos > 0 */
    uint16_t alias; /* 0: none; 5.0 only */
    uint8_t version, qos;
    bool retain, dup;
};

/* The whole packet's bytes, 0: it does not fit MQTT's lengths. */
size_t td_mqtt_publish_size(const struct td_mqtt_publish *m);
/* Writes all of it; gives the place behind it. */
uint8_t *td_mqtt_publish_put(uint8_t *p, const struct td_mqtt_publish *m);
/* The same without the payload's bytes (they are counted in the header): the payload then goes by
 * reference right behind. */
size_t td_mqtt_publish_head_size(const struct td_mqtt_publish *m);
uint8_t *td_mqtt_publish_head_put(uint8_t *p, const struct td_mqtt_publish *m);
/* Where the packet id stands from the first byte on (qos > 0): one encoding can be copied to many
 * receivers that differ in it alone. */
size_t td_mqtt_publish_id_at(const struct td_mqtt_publish *m);

/* ---- names ---- */

/* 1..65,535 bytes of UTF-8 as MQTT wants it, without + and #. Levels are not counted. */
bool td_mqtt_topic_valid(td_slice topic);
/* As above, + and # where they may stand; "$share/<group>/<filter>" whole (MQTT-4.7.1, 4.8.2). */
bool td_mqtt_filter_valid(td_slice filter);
/* Splits "$share/<group>/<filter>"; false: not shared, outputs untouched. */
bool td_mqtt_filter_shared(td_slice filter, td_slice *group, td_slice *inner);

/* ---- the machine: one end of one connection ---- */

enum td_mqtt_role { TD_MQTT_SERVER, TD_MQTT_CLIENT };

enum td_mqtt_state {
    TD_MQTT_NEW,            /* no CONNECT yet */
    TD_MQTT_WAIT,           /* CONNECT seen (server) or sent (client), no CONNACK yet */
    TD_MQTT_AUTHENTICATING, /* the same, with an authentication method: only AUTH may go on */
    TD_MQTT_OPEN,
    TD_MQTT_CLOSED /* DISCONNECT seen, or an error: nothing may follow */
};

/* What we take. Shared by many machines; outlives them. A server announces what differs from the
 * defaults in its CONNACK, a client in its CONNECT. */
struct td_mqtt_limits {
    uint32_t packet_bytes_max;  /* a whole packet: our Maximum Packet Size; 0x95 */
    uint32_t connect_bytes_max; /* a whole CONNECT; judged at its fixed header */
    uint32_t alias_bytes_max;   /* the alias block of one connection; 0x97 */
    uint32_t connect_ms;        /* from the start to CONNECT (server) or CONNACK (client) */
    uint16_t receive_max;       /* QoS 1, 2 under way to us in 5.0: our Receive Maximum; 0x93 */
    uint16_t alias_max;         /* our Topic Alias Maximum; 0x94 */
    uint8_t qos_max;            /* 0x9B */
    bool no_retain;             /* 0x9A */
};

#define TD_MQTT_LIMITS_DEFAULT                                                                     \
    {                                                                                              \
        .packet_bytes_max = 16u << 20, .connect_bytes_max = 256u << 10,                            \
        .alias_bytes_max = 16u << 10, .connect_ms = 10000, .receive_max = 1024, .alias_max = 64,   \
        .qos_max = 2                                                                               \
    }

struct td_mqtt {
    const struct td_mqtt_limits *limits;
    struct td_mqtt_aliases *aliases; /* lent; NULL until the peer sends a first alias */
    const char *rule;                /* after GOT_ERROR: the rule broken, id and words */
    td_mono heard;                   /* when the last whole packet came; at first: the start */
    uint32_t want; /* after GOT_NONE: bytes of the packet at the front, 0: not known yet */
    uint32_t peer_packet_bytes_max; /* what the peer takes: UINT32_MAX if it did not say */
    uint16_t peer_receive_max;      /* 65,535 if it did not say, and in 3.x */
    uint16_t peer_alias_max;        /* 0 if it did not say, and in 3.x */
    uint16_t keep_alive_s;          /* in force; 0: off */
    uint16_t receiving;             /* QoS 1, 2 PUBLISHes that wait for our last acknowledgement */
    uint8_t role, state, version;   /* version 0: not known yet */
    uint8_t reason;                 /* after GOT_ERROR or expire: enum td_mqtt_reason */
    uint8_t ended_in;               /* CLOSED: the state before; says which last word fits */
    bool problems;      /* the peer asked for reason strings (Request Problem Information 1) */
    bool authenticates; /* CONNECT named an authentication method */
    bool expiry_zero;   /* CONNECT's session expiry was 0 or absent (MQTT-3.14.2-2) */
};

enum td_mqtt_got {
    TD_MQTT_GOT_NONE,   /* no whole packet at the front: come back with more (see want) */
    TD_MQTT_GOT_PACKET, /* *out is set and *in stands behind it */
    TD_MQTT_GOT_ERROR,  /* reason and rule are set: say td_mqtt_word(), close */
    TD_MQTT_GOT_ALIASES /* a PUBLISH waits for memory: td_mqtt_aliases_lend(), call again */
};

/* Keep-alive and limits start with `now`. A client's machine is told of its CONNECT by
 * td_mqtt_connecting(). */
void td_mqtt_init(struct td_mqtt *m, enum td_mqtt_role role, const struct td_mqtt_limits *limits,
                  td_mono now);

/* Takes one packet from the front of *in. Keeps nothing of *in except aliased topics. A type that
 * may not come now, a length over the limit and wrong flags are errors as soon as the fixed header
 * shows them. After GOT_ERROR the machine is CLOSED.
 * It does what follows from a packet alone: version, peer's limits, keep alive, states, counting
 * towards the receive maximum, aliases. It does not know client ids, subscriptions, or packet ids
 * in use, and leaves to the caller that an AUTH names the same method again (MQTT-4.12.0-5). */
enum td_mqtt_got td_mqtt_next(struct td_mqtt *m, td_slice *in, td_mono now,
                              struct td_mqtt_packet *out);

/* Server: a CONNACK with success goes out; keep_alive_s is what holds (Server Keep Alive). */
void td_mqtt_accepted(struct td_mqtt *m, uint16_t keep_alive_s, td_mono now);
/* Client: this CONNECT goes out. */
void td_mqtt_connecting(struct td_mqtt *m, const struct td_mqtt_packet *connect, td_mono now);

/* Writes a PUBACK, PUBREC, PUBREL or PUBCOMP, at most TD_MQTT_ACK_MAX bytes, and takes what it ends
 * from `receiving`. 3.x has no place for a reason, it is left out. */
uint8_t *td_mqtt_ack(struct td_mqtt *m, uint8_t *p, unsigned type, uint16_t id, unsigned reason);

/* What to say before closing for `reason`: CONNACK before the connection is open, if it can
 * carry the reason (in 3.x, if a return code fits), DISCONNECT afterwards in 5.0. Writes at most
 * TD_MQTT_WORD_MAX bytes, gives how many; with a Reason String `text` (may be NULL) if the peer
 * asked for such and it fits. The machine is CLOSED then. */
size_t td_mqtt_word(struct td_mqtt *m, unsigned reason, const char *text, uint8_t *p);

/* When silence gets too long: connect_ms after the start, then 1.5 x keep alive after the last
 * packet; a client's machine: connect_ms for the CONNACK, then never. Moves with each packet, so
 * let a timer that comes early ask again. */
td_mono td_mqtt_deadline(const struct td_mqtt *m);
/* True: it was too long at `now`, reason and rule are set, word and close as after an error. */
bool td_mqtt_expired(struct td_mqtt *m, td_mono now);

/* Inbound topic aliases live in one relocatable block. After GOT_ALIASES: make one of
 * td_mqtt_aliases_want() bytes (at most limits->alias_bytes_max), with the old block's content in
 * front if there was one (as realloc does), aligned as malloc does, and lend it. It is the
 * caller's to free, after the machine is done with. */
size_t td_mqtt_aliases_want(const struct td_mqtt *m);
void td_mqtt_aliases_lend(struct td_mqtt *m, void *block, size_t bytes);

#endif
