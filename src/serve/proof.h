/* serve/proof: who a connection proves to be by its handshake alone. */
#ifndef TD_SERVE_PROOF_H
#define TD_SERVE_PROOF_H

#include "guard/guard.h"
#include "serve/listen.h"

enum td_proof {
    TD_PROOF_NONE, /* it proves nothing */
    TD_PROOF_YES,
    TD_PROOF_STRANGER /* it proves a name, or several, but no user's */
};

/* A certificate that our authorities vouch for means the user whose pinned key it has, else the one
 * that it names: by one "tandem:NAME" among its alternative names (URI), else by its common name; a
 * user with pinned keys comes with one of these only. A pre-shared key means the user of its
 * identity. YES: *who with a reference. */
enum td_proof td_proof_of(struct td_guard *guard, const struct td_sys_peer *peer,
                          struct td_principal **who);
/* The same of a stream, by what its listener takes: what it does not take proves nothing. */
enum td_proof td_proof_ask(const struct td_parts *parts, const struct td_listener *listener,
                           int stream, struct td_principal **who);
/* Whether the handshake proves somebody else than `who`. */
bool td_proof_contradicts(const struct td_parts *parts, const struct td_listener *listener,
                          int stream, const struct td_principal *who);

#endif
