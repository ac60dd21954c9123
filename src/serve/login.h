/* serve/login: who comes says who it is, and whoever serves it (mqtt, http) asks here whether that
 * is so. What is known at once is answered at once; a password that was not seen lately takes 40 ms
 * on a lane of its own, two at a time, and whoever guesses waits before that. */
#ifndef TD_SERVE_LOGIN_H
#define TD_SERVE_LOGIN_H

#include "guard/guard.h"
#include "sys/sys.h"

struct td_logins;
struct td_login; /* one that is under way */

enum td_login_answer {
    TD_LOGIN_YES,
    TD_LOGIN_NO,
    TD_LOGIN_WAIT, /* done() will be called */
    TD_LOGIN_BUSY  /* too many are under way: come again */
};

struct td_login_claim {
    td_slice name, password;
    const char *address; /* of the other side, as sys gives it */
    /* What is called when the answer is WAIT, from the end of a work: `who` has a reference for
     * the callee, NULL is no. */
    void (*done)(void *ctx, struct td_principal *who, td_mono now);
    void *ctx;
};

struct td_login_stats {
    uint64_t passed, failed; /* passwords that were right, wrong */
    uint64_t busy;           /* turned away unlooked at */
    uint64_t waiting;        /* under way, now */
};

/* Both outlive it. */
struct td_logins *td_logins_new(struct td_sys *sys, struct td_guard *guard);
/* Nobody is called any more. No work of its may be running. */
void td_logins_free(struct td_logins *l);

/* Who judges passwords of users with TD_GUARD_HTTP; NULL: nobody, they are wrong. */
void td_logins_judge_set(struct td_logins *l,
                         bool (*judge)(void *ctx, td_slice name, td_slice password,
                                       td_slice address),
                         void *ctx);

/* Borrows the claim's texts for the call. YES: *who with a reference. WAIT: *out stands until
 * done() is called. */
enum td_login_answer td_login_ask(struct td_logins *l, const struct td_login_claim *claim,
                                  td_mono now, struct td_principal **who, struct td_login **out);
/* For an exchange of another kind than a password: who guesses waits all the same. YES: go on.
 * WAIT: done() is called with NULL, then go on. */
enum td_login_answer td_login_pause(struct td_logins *l, const struct td_login_claim *claim,
                                    td_mono now, struct td_login **out);
/* How that exchange ended. */
void td_login_ended(struct td_logins *l, td_slice name, const char *address, bool right,
                    td_mono now);
/* 32 bytes of this process that nobody else knows. */
const uint8_t *td_logins_key(const struct td_logins *l);
/* Who asked has gone: done() is not called. */
void td_login_forget(struct td_login *login);

/* Begins what is due. */
void td_logins_turn(struct td_logins *l, td_mono now);
td_mono td_logins_deadline(const struct td_logins *l);
/* No work is running: it may be freed. */
bool td_logins_idle(const struct td_logins *l);
const struct td_login_stats *td_logins_stats(const struct td_logins *l);

#endif
