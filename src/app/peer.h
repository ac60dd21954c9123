/* app, private: one MQTT client over a td_sys. It connects, reads, writes, keeps time and comes
 * back when the connection is lost; what happens is told to heard(). `tandem pub`, `tandem sub` and
 * the simulated devices are made of these. */
#ifndef TD_APP_PEER_H
#define TD_APP_PEER_H

#include "sys/sys.h"
#include "wire/mqtt/client.h"

enum { TD_APP_PEER_ADDRESSES = 8 };

struct td_app_peer;

struct td_app_peer_config {
    const struct td_mqtt_client_options *mqtt; /* outlives the peer */
    char addresses[TD_APP_PEER_ADDRESSES][64]; /* numeric; tried in turn */
    size_t address_count;
    struct td_sys_tls *tls; /* NULL: plain */
    const char *tls_name;   /* with TLS: whom the server's certificate must be for; NULL: anybody */
    size_t packet_bytes_max; /* largest packet to send or to receive */
    size_t held_bytes;       /* for QoS 1 and 2 messages under way; 0: QoS 0 only */
    size_t slots;            /* packet ids at once, a power of two */
    size_t ids;              /* twice the QoS 2 messages to receive at once, a power of two */
    td_ms retry_ms;          /* first pause before coming back, doubling up to 30 s; 0: never */
    /* What the client says (see client.h), and with NULL that the transport is gone: peer->why. */
    void (*heard)(struct td_app_peer *p, const struct td_mqtt_client_event *event, td_mono now);
    void *ctx;
};

enum td_app_peer_state {
    TD_APP_PEER_AWAY,    /* no transport; retry_at says when again */
    TD_APP_PEER_DIALING, /* the transport is being opened */
    TD_APP_PEER_UP,
    TD_APP_PEER_LEAVING /* DISCONNECT is said, the other side is to close */
};

struct td_app_peer {
    struct td_mqtt_client client;
    struct td_app_peer_config config;
    struct td_sys *sys;
    struct td_mqtt_client_memory memory; /* ours */
    struct td_buf in;
    enum td_app_peer_state state;
    int stream;
    size_t address_at;   /* which one is in use */
    size_t tried;        /* addresses that did not answer, since the last that did */
    td_mono retry_at;    /* AWAY: when to dial again */
    td_mono leave_until; /* LEAVING: then close all the same */
    td_ms retry_ms;      /* the next pause */
    const char *why;     /* it is gone; static text, or `refused` */
    char refused[120];   /* why TLS has failed */
};

/* Allocates; dials with the first td_app_peer_turn(). The peer does not move afterwards. Its
 * stream's events have the peer as owner. */
void td_app_peer_init(struct td_app_peer *p, struct td_sys *sys,
                      const struct td_app_peer_config *config);
void td_app_peer_fini(struct td_app_peer *p);

/* An event of its stream. */
void td_app_peer_ready(struct td_app_peer *p, const struct td_sys_event *event, td_mono now);
/* Dials, pings, resends, writes what there is: after events, after verbs, at the deadline. */
void td_app_peer_turn(struct td_app_peer *p, td_mono now);
td_mono td_app_peer_deadline(const struct td_app_peer *p);

/* Says DISCONNECT; it is AWAY for good once that was read, or after a second. */
void td_app_peer_leave(struct td_app_peer *p, unsigned reason, td_mono now);

#endif
