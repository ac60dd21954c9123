/* serve/proof: names in certificates. */
#include "serve/proof.h"

/* The name behind the only "URI:tandem:NAME". False: there are several. Empty: there is none. */
static bool uri_name(const struct td_sys_peer *peer, td_slice *out)
{
    const char *end = peer->alternatives + sizeof peer->alternatives;
    td_slice found = {NULL, 0};
    for (const char *at = peer->alternatives; at < end && *at != '\0'; at += strlen(at) + 1) {
        td_slice text = td_slice_of(at);
        if (td_slice_starts(text, TD_STR("URI:tandem:"))) {
            if (found.n > 0) {
                return false;
            }
            found = td_slice_skip(text, 11);
        }
    }
    *out = found;
    return true;
}

static struct td_principal *by_certificate(struct td_guard *guard, const struct td_sys_peer *peer)
{
    td_slice name = {NULL, 0};
    struct td_principal *who = td_guard_key_principal(guard, peer->key_sha256);
    if (who != NULL) {
        return who;
    }
    if (!uri_name(peer, &name)) {
        return NULL;
    }
    name = name.n > 0 ? name : td_slice_of(peer->subject);
    return td_guard_pins_keys(guard, name) ? NULL : td_guard_user_principal(guard, name);
}

enum td_proof td_proof_of(struct td_guard *guard, const struct td_sys_peer *peer,
                          struct td_principal **who)
{
    if (!peer->certificate && peer->psk_identity[0] == '\0') {
        return TD_PROOF_NONE;
    }
    *who = peer->certificate ? by_certificate(guard, peer)
                             : td_guard_user_principal(guard, td_slice_of(peer->psk_identity));
    return *who != NULL ? TD_PROOF_YES : TD_PROOF_STRANGER;
}

enum td_proof td_proof_ask(const struct td_parts *parts, const struct td_listener *listener,
                           int stream, struct td_principal **who)
{
    struct td_sys_peer peer;
    parts->sys->peer(parts->sys, stream, &peer);
    peer.certificate = peer.certificate && td_listener_takes(listener, parts, TD_WAY_CERTIFICATE);
    if (!td_listener_takes(listener, parts, TD_WAY_PSK)) {
        peer.psk_identity[0] = '\0';
    }
    return td_proof_of(parts->guard, &peer, who);
}

bool td_proof_contradicts(const struct td_parts *parts, const struct td_listener *listener,
                          int stream, const struct td_principal *who)
{
    struct td_principal *proved = NULL;
    switch (td_proof_ask(parts, listener, stream, &proved)) {
    case TD_PROOF_NONE:
        return false;
    case TD_PROOF_STRANGER:
        return true;
    case TD_PROOF_YES:
        break;
    }
    td_principal_unref(parts->guard, proved);
    return proved != who;
}
