/* serve/upgrade: what a handshake and its head say. */
#include "serve/upgrade.h"

/* ---- the handshake ---- */

static bool refuse(struct td_upgrade_refusal *why, unsigned status, const char *thing,
                   const char *rule, struct td_http_field field)
{
    *why = (struct td_upgrade_refusal){status, thing, rule, field};
    return false;
}

bool td_upgrade_asked(const struct td_http_head *head, td_slice protocol, td_slice *key,
                      struct td_upgrade_refusal *why)
{
    static const struct td_http_field none = {{NULL, 0}, {NULL, 0}};
    td_slice version = {NULL, 0}, protocols = {NULL, 0};
    if (!head->upgrade_websocket) {
        return refuse(why, 426, "Upgrade", "this path is a WebSocket",
                      (struct td_http_field){TD_STR("Upgrade"), TD_STR("websocket")});
    }
    if (td_http_field(head, TD_STR("Sec-WebSocket-Version"), &version) != 1 ||
        !td_slice_eq(version, TD_STR("13"))) {
        return refuse(why, 426, "Sec-WebSocket-Version", "only 13 is spoken here",
                      (struct td_http_field){TD_STR("Sec-WebSocket-Version"), TD_STR("13")});
    }
    if (td_http_field(head, TD_STR("Sec-WebSocket-Key"), key) != 1 || !td_ws_key_valid(*key)) {
        return refuse(why, 400, "Sec-WebSocket-Key", "it is base64 of 16 bytes, once", none);
    }
    if (td_http_field(head, TD_STR("Sec-WebSocket-Protocol"), &protocols) != 1 ||
        !td_http_list_has(protocols, protocol)) {
        return refuse(why, 400, "Sec-WebSocket-Protocol", "it must offer what is spoken here",
                      none);
    }
    return true;
}

void td_upgrade_fields(td_slice accept, td_slice protocol,
                       struct td_http_field out[TD_UPGRADE_FIELDS])
{
    out[0] = (struct td_http_field){TD_STR("Upgrade"), TD_STR("websocket")};
    out[1] = (struct td_http_field){TD_STR("Connection"), TD_STR("Upgrade")};
    out[2] = (struct td_http_field){TD_STR("Sec-WebSocket-Accept"), accept};
    out[3] = (struct td_http_field){TD_STR("Sec-WebSocket-Protocol"), protocol};
}

/* ---- who may ask ---- */

td_slice td_host_without_port(td_slice host)
{
    size_t bracket = td_slice_find(host, ']'), from = bracket < host.n ? bracket : 0;
    return td_slice_head(host, from + td_slice_find(td_slice_skip(host, from), ':'));
}

/* 127.x.y.z as digits and dots: nobody else can own that. */
static bool is_loopback_address(td_slice name)
{
    if (!td_slice_starts(name, TD_STR("127."))) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!td_in(name.p[i], '0', '9') && name.p[i] != '.') {
            return false;
        }
    }
    return true;
}

bool td_host_is_local(td_slice host, td_slice local)
{
    td_slice name = td_host_without_port(host);
    return td_http_same(name, TD_STR("localhost")) || td_slice_eq(name, TD_STR("[::1]")) ||
           is_loopback_address(name) || td_slice_eq(name, td_host_without_port(local));
}

bool td_origin_is_same(const struct td_http_head *head)
{
    td_slice origin = {NULL, 0};
    size_t count = td_http_field(head, TD_STR("Origin"), &origin);
    if (count == 0) {
        return true;
    }
    size_t scheme = td_slice_starts(origin, TD_STR("http://"))    ? 7
                    : td_slice_starts(origin, TD_STR("https://")) ? 8
                                                                  : 0;
    return count == 1 && scheme > 0 && td_http_same(td_slice_skip(origin, scheme), head->host);
}

bool td_origin_is_listed(const struct td_http_head *head, const struct td_serve_texts *origins)
{
    td_slice origin = {NULL, 0};
    size_t count = td_http_field(head, TD_STR("Origin"), &origin);
    for (size_t i = 0; i < origins->count && count == 1; i++) {
        td_slice one = td_slice_of(origins->at[i]);
        if (td_slice_eq(one, TD_STR("*")) || td_http_same(one, origin)) {
            return true;
        }
    }
    return count == 0;
}
