/* spec: the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), for cases of enhanced
 * authentication. */
#ifndef SPEC_SCRAM_H
#define SPEC_SCRAM_H

#include "base/base.h"

/* Appends the client's last message to `final`, and to `verifier` what the server must say then.
 * `first_bare` is the client's first message without its "n,,". False: the server's is not one. */
bool spec_scram_answer(td_slice password, td_slice first_bare, td_slice server_first,
                       struct td_buf *final, struct td_buf *verifier);

#endif
