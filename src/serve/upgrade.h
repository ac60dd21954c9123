/* serve/upgrade: the opening handshake of a WebSocket (RFC 6455, 4.2) as the page's feed and MQTT
 * share it, and who may ask.
 *
 * A page of another site, open in a browser on a machine that reaches us, must not: its Origin has
 * to be ours or listed, and ours is only trusted under a name that is ours, for a stranger's name
 * may resolve to our address (DNS rebinding). Who sends no Origin is no browser. */
#ifndef TD_SERVE_UPGRADE_H
#define TD_SERVE_UPGRADE_H

#include "serve/serve.h"
#include "wire/http/http.h"
#include "wire/ws/ws.h"

struct td_upgrade_refusal {
    unsigned status;
    const char *thing, *rule;   /* static texts */
    struct td_http_field field; /* one more of the answer; name.n 0: none */
};

/* Is it a handshake that offers `protocol`? True: *key borrows from the head. False: *why. */
bool td_upgrade_asked(const struct td_http_head *head, td_slice protocol, td_slice *key,
                      struct td_upgrade_refusal *why);
enum { TD_UPGRADE_FIELDS = 4 };
/* The fields of the answer 101; `accept` holds what td_ws_accept() gives and outlives them. */
void td_upgrade_fields(td_slice accept, td_slice protocol,
                       struct td_http_field out[TD_UPGRADE_FIELDS]);

/* Does `host`, with or without a port, name a loopback address, or `local`, the address that the
 * client has dialled? */
bool td_host_is_local(td_slice host, td_slice local);
/* "name:8080", "[::1]:8080" -> "name", "[::1]". */
td_slice td_host_without_port(td_slice host);
/* No Origin, or that of this very host and port. */
bool td_origin_is_same(const struct td_http_head *head);
/* No Origin, or one of the list, in which "*" stands for any. */
bool td_origin_is_listed(const struct td_http_head *head, const struct td_serve_texts *origins);

#endif
