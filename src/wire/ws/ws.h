/* wire/ws: WebSocket (RFC 6455) as a machine without I/O, for both ends.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     |F|R|R|R| opcode|M| length (7)  | length (16 or 64, if 126, 127)|
 *     |I|S|S|S|  (4)  |A|             |                               |
 *     |N|V|V|V|       |S|             | masking key (if MASK) ...     |
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *
 * The reader unmasks in place and gives payload in pieces as it arrives, control frames whole. It
 * holds no bytes of messages; whoever wants a whole message gathers the pieces. Extensions are not
 * offered and not accepted. The handshake around it is HTTP (wire/http); what is particular to it
 * is here: the key and its answer. */
#ifndef TD_WIRE_WS_H
#define TD_WIRE_WS_H

#include "bits/bits.h"

enum {
    TD_WS_HEAD_BYTES_MAX = 14,
    TD_WS_CONTROL_BYTES_MAX = 125,
    TD_WS_ACCEPT_BYTES = 28 /* of Sec-WebSocket-Accept */
};

enum td_ws_role { TD_WS_SERVER, TD_WS_CLIENT };

enum td_ws_opcode {
    TD_WS_CONTINUATION = 0,
    TD_WS_TEXT = 1,
    TD_WS_BINARY = 2,
    TD_WS_CLOSE = 8,
    TD_WS_PING = 9,
    TD_WS_PONG = 10
};

/* RFC 6455, 7.4.1: the ones that are sent here. */
enum td_ws_code {
    TD_WS_CODE_NORMAL = 1000,
    TD_WS_CODE_GOING_AWAY = 1001,
    TD_WS_CODE_PROTOCOL = 1002,
    TD_WS_CODE_UNSUPPORTED = 1003,
    TD_WS_CODE_NONE = 1005, /* a close frame without a code; never on the wire */
    TD_WS_CODE_NOT_UTF8 = 1007,
    TD_WS_CODE_POLICY = 1008,
    TD_WS_CODE_TOO_BIG = 1009,
    TD_WS_CODE_TRY_LATER = 1013
};

enum td_ws_got {
    TD_WS_MORE,    /* all was used up; come back with more */
    TD_WS_MESSAGE, /* a piece of a message */
    TD_WS_CONTROL, /* a ping or pong, whole */
    TD_WS_CLOSED,  /* a close frame; what follows is not read */
    TD_WS_BROKEN   /* `code` is what to close with, `rule` why */
};

struct td_ws_event {
    enum td_ws_opcode opcode; /* MESSAGE: TEXT or BINARY; CONTROL: PING or PONG */
    bool end;                 /* MESSAGE: with this piece it is complete */
    td_slice payload;         /* unmasked, borrowed from the input; CLOSED: the reason */
    uint16_t code;            /* CLOSED: the peer's; BROKEN: what to close with */
    const char *rule;         /* BROKEN: a static text */
};

struct td_ws_utf8 {
    uint8_t need, low, high; /* bytes that must follow, and the bounds of the next one */
};

struct td_ws {
    uint64_t message_bytes_max;
    uint64_t left;          /* of the frame's payload */
    uint64_t message_bytes; /* of the message so far, with what its frames announce */
    uint64_t place;         /* in the frame's payload, for the mask */
    uint8_t key[4];
    uint8_t head[TD_WS_HEAD_BYTES_MAX];
    uint8_t head_count; /* bytes of the head so far */
    uint8_t opcode;     /* of the frame */
    uint8_t message;    /* opcode of the message that is open, 0: none */
    bool fin, in_frame, over, client;
    uint8_t control[TD_WS_CONTROL_BYTES_MAX];
    uint8_t control_count;
    struct td_ws_utf8 utf8;
};

/* A message may have message_bytes_max bytes; a longer one is refused when it is announced. */
void td_ws_init(struct td_ws *ws, enum td_ws_role role, uint64_t message_bytes_max);
/* Takes from the front of in[0..n), unmasking it in place; *used says how much. Call again with
 * the rest until MORE. After CLOSED or BROKEN nothing more is read. */
enum td_ws_got td_ws_next(struct td_ws *ws, uint8_t *in, size_t n, size_t *used,
                          struct td_ws_event *out);

/* ---- writing ---- */

/* Bytes of a frame's head; masked for clients. */
size_t td_ws_head_size(uint64_t payload_bytes, bool masked);
/* Writes the head of a whole message's frame; key: 4 random bytes for clients, NULL for servers.
 * Gives the place behind it. */
uint8_t *td_ws_head_put(uint8_t *p, enum td_ws_opcode opcode, uint64_t payload_bytes,
                        const uint8_t *key);
/* Masks or unmasks; `place`: of p[0] in the payload. */
void td_ws_mask(uint8_t *p, size_t n, const uint8_t key[4], uint64_t place);
/* Writes a close frame without a mask: code and as much of `reason` as fits; p has room for 127.
 * Gives the place behind it. */
uint8_t *td_ws_close_put(uint8_t *p, uint16_t code, td_slice reason);

/* ---- handshake ---- */

/* Sec-WebSocket-Key: base64 of 16 bytes (4.1). */
bool td_ws_key_valid(td_slice key);
/* The answer to a key (4.2.2). */
void td_ws_accept(td_slice key, uint8_t out[TD_WS_ACCEPT_BYTES]);
/* A client's key from 16 random bytes. */
void td_ws_key(const uint8_t random[16], uint8_t out[24]);

/* SHA-1 (RFC 3174). It proves nothing any more; RFC 6455 asks for it as a checksum. */
void td_ws_sha1(td_slice in, uint8_t out[20]);

#endif
