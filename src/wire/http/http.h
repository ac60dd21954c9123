/* wire/http: HTTP/1.1 messages (RFC 9112, RFC 9110) as a machine without I/O.
 *
 *     GET /api/v1/things?x=1 HTTP/1.1 CRLF      request line, or a status line     \
 *     Host: localhost:8080 CRLF                 fields: name, colon, value          > head
 *     CRLF                                                                         /
 *     ...                                       body: by Content-Length, chunked, or to the end
 *
 * One struct td_http follows one direction of one connection: head, body, head, body. A head comes
 * out whole, borrowed from the input; a body comes out in pieces as it arrives. Keeps no bytes.
 *
 * Where the RFC lets a recipient choose between lenient and strict, this is strict, because two
 * readers that disagree about a message's end are how requests are smuggled: lines end with CRLF
 * only, no folded fields, no space before a colon, one Content-Length that is digits only, never
 * beside a Transfer-Encoding, which is "chunked" or nothing.
 *
 * Not here: HTTP/2, content codings, cookies, connections (serve/http.c), routes (serve/api.c). */
#ifndef TD_WIRE_HTTP_H
#define TD_WIRE_HTTP_H

#include "bits/bits.h"

enum {
    TD_HTTP_HEAD_BYTES_MAX = 8192,
    TD_HTTP_FIELDS_MAX = 64,
    TD_HTTP_CHUNK_LINE_MAX = 256, /* a chunk's size with its extensions */
    TD_HTTP_TRAILER_BYTES_MAX = 4096
};

enum td_http_role {
    TD_HTTP_SERVER, /* reads requests */
    TD_HTTP_CLIENT  /* reads responses */
};

enum td_http_got {
    TD_HTTP_MORE,  /* come back with more bytes behind those that are left */
    TD_HTTP_HEAD,  /* a head is complete */
    TD_HTTP_PIECE, /* a part of the body */
    TD_HTTP_END,   /* the body has ended (at once, if there is none) */
    TD_HTTP_BROKEN /* h->status is what to answer, h->rule what is wrong; nothing more is read */
};

enum td_http_body {
    TD_HTTP_BODY_NONE,
    TD_HTTP_BODY_LENGTH,
    TD_HTTP_BODY_CHUNKED,
    TD_HTTP_BODY_TO_END
};

struct td_http_field {
    td_slice name, value; /* the value without the white space around it */
};

/* All slices borrow from the input. */
struct td_http_head {
    td_slice method, target; /* of a request */
    td_slice path, query;    /* the target without and behind its '?' */
    td_slice host;           /* of the Host field or of an absolute target; empty in HTTP/1.0 */
    uint16_t status;         /* of a response */
    uint8_t minor;           /* HTTP/1.minor */
    bool keep_alive;         /* as the sender wishes */
    bool upgrade_websocket;  /* Connection: upgrade with Upgrade: websocket */
    bool expect_continue;    /* waits for "100 Continue" before it sends its body */
    enum td_http_body body;
    uint64_t length; /* with TD_HTTP_BODY_LENGTH */
    size_t bytes;    /* of the head, all of it consumed */
    size_t field_count;
    struct td_http_field fields[TD_HTTP_FIELDS_MAX];
};

struct td_http {
    enum td_http_role role;
    uint64_t body_bytes_max;
    size_t seen;   /* of a head: bytes looked at for its end */
    uint64_t left; /* of the body or chunk; with TO_END nothing */
    uint64_t body_bytes;
    uint16_t skipped;    /* bytes of the chunk line or trailer */
    unsigned char state; /* in the body */
    unsigned char place; /* in a line end: 0 or behind CR; for a head: how much of CRLFCRLF */
    bool to_head;        /* client: the response was to HEAD, it has no body */
    uint16_t status;     /* after BROKEN: 400, 413, 414, 417, 431, 501, 505 */
    const char *rule;    /* after BROKEN: a static text */
};

void td_http_init(struct td_http *h, enum td_http_role role, uint64_t body_bytes_max);
/* Looks for a head at the front of `in`. MORE: call again with the same bytes and more behind
 * them. HEAD: *out is set, its `bytes` are to be consumed, then the body is read. */
enum td_http_got td_http_head_next(struct td_http *h, td_slice in, struct td_http_head *out);
/* Takes from the front of *in: PIECE (*piece, borrowed), END, MORE (*in is used up) or BROKEN.
 * After END the next head may begin. */
enum td_http_got td_http_body_next(struct td_http *h, td_slice *in, td_slice *piece);
/* The other side has closed. END: the message was complete or ends so; BROKEN: it was cut off. */
enum td_http_got td_http_closed(struct td_http *h);

/* ---- looking into a head ---- */

/* How often a field is there; *value: the first one's, untouched if there is none. Names compare
 * without case. */
size_t td_http_field(const struct td_http_head *head, td_slice name, td_slice *value);
/* Is `token` one of the comma-separated elements of `list`, without case, parameters left out? */
bool td_http_list_has(td_slice list, td_slice token);
bool td_http_same(td_slice a, td_slice b); /* without case, ASCII */
/* The first parameter of that name in "a=1&b=2"; false: there is none, *raw untouched. */
bool td_http_query(td_slice query, td_slice name, td_slice *raw);
/* Undoes %XX and, with plus_is_space, '+' into `out`, which has room for raw.n bytes; gives the
 * count. TD_ESYNTAX: a % without two hex digits. */
enum td_err td_http_unquote(td_slice raw, bool plus_is_space, uint8_t *out, size_t *n);

/* ---- writing ---- */

/* A head to send: a response if status != 0, else a request. With TD_HTTP_BODY_NONE no length is
 * told (101, 204, 304, requests without a body). */
struct td_http_send {
    uint16_t status;
    td_slice method, target, host;
    enum td_http_body body;
    uint64_t length;
    bool close; /* adds Connection: close */
    const struct td_http_field *fields;
    size_t field_count;
};

/* "Not Found"; a static text, "" for what is not in the table. */
const char *td_http_reason(unsigned status);
/* Bytes that td_http_send_put() writes. */
size_t td_http_send_size(const struct td_http_send *send);
/* Writes the head; the caller has made room. Fields must not hold CR or LF: the caller's duty.
 * Gives the place behind it. */
uint8_t *td_http_send_put(uint8_t *p, const struct td_http_send *send);

#endif
