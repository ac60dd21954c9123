/* serve/mqtt, private: the filter between a socket and MQTT that makes it MQTT over WebSocket
 * (MQTT 5.0, 6): HTTP's opening handshake, then binary messages whose payloads, joined, are MQTT's
 * bytes. It does no I/O:
 *
 *     bytes read -> td_mqttd_ws_in() -> MQTT's bytes, in the same place
 *     bytes to write: td_mqttd_ws_parts() says which, td_mqttd_ws_sent() how many have gone
 *
 * What is unsent when a frame begins becomes one frame. Pongs, the handshake's answer and the close
 * frame go between frames. */
#ifndef TD_SERVE_MQTT_WS_H
#define TD_SERVE_MQTT_WS_H

#include "serve/upgrade.h"

struct td_mqttd_shake {
    struct td_http http;
    const struct td_serve_texts *origins; /* that may ask beside our own */
    char local[64];                       /* our address, as the client has dialled it */
    struct td_buf head;                   /* of the request, as far as it has come */
};

struct td_mqttd_ws {
    struct td_ws ws;
    struct td_mqttd_shake *shake; /* NULL: the handshake is through */
    struct td_buf between;        /* whole frames (or the answer) to write between MQTT's */
    struct td_buf ahead;          /* under way: what of these goes now, the head of a frame, */
    size_t ahead_sent;
    size_t frame_left; /* and so many bytes of MQTT behind it */
    uint16_t code;     /* what to close with; 0: not yet */
    bool over;         /* nothing more is read */
    bool closed;       /* the close frame is under way, or there will be none */
};

/* `origins` is borrowed until the handshake is through, `local` is copied. Free with
 * td_mqttd_ws_free(). */
struct td_mqttd_ws *td_mqttd_ws_new(const struct td_serve_texts *origins, const char local[64]);
void td_mqttd_ws_free(struct td_mqttd_ws *w);

/* The handshake was read, by this or by somebody else; it had this key. */
void td_mqttd_ws_open(struct td_mqttd_ws *w, td_slice key);
/* Takes p[0..n); gives how many bytes of MQTT now stand at p. Once `over` is set all that follows
 * is dropped: what is ahead is to be written, then the socket closed. */
size_t td_mqttd_ws_in(struct td_mqttd_ws *w, uint8_t *p, size_t n);
/* Closes with `code` (enum td_ws_code) behind what is unsent; the first call counts. */
void td_mqttd_ws_close(struct td_mqttd_ws *w, uint16_t code);

/* Is there something to write, when `unsent` bytes of MQTT wait? */
bool td_mqttd_ws_pending(const struct td_mqttd_ws *w, size_t unsent);
/* What to write next of it and of `out`, MQTT's unsent bytes; gives the number of parts. */
size_t td_mqttd_ws_parts(struct td_mqttd_ws *w, td_slice out, td_slice parts[2]);
/* n bytes of these parts are written; gives how many of them were of `out`. */
size_t td_mqttd_ws_sent(struct td_mqttd_ws *w, size_t n);

#endif
