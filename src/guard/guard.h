/* guard: who may what.
 *
 *   principal   an account: a person, a device, a service; all it owns hangs below its name
 *   user        a line of the users file: name, roles, credentials that lead to the principal
 *   grant       a line of the grants file: who, allow or deny, actions, a pattern of topics
 *
 *   pattern.c   a topic, or all topics of a filter, against a pattern
 *   grants.c    the grants file           users.c     the users file
 *   guard.c     principals, the verdict   password.c  hashes that are slow on purpose
 *   scram.c     SCRAM-SHA-256             jwt.c       tokens of an issuer
 *   delay.c     who guesses waits         cache.c     verdicts given lately
 *
 * What no grant allows is denied; a deny beats an allow; the order of lines does not matter. Files
 * are read whole or not at all: while a new one is wrong, what was read before goes on.
 *
 * It reads texts, not files, and knows no clock. One thread owns a guard; password checks may run
 * in works. */
#ifndef TD_GUARD_H
#define TD_GUARD_H

#include "base/base.h"

enum td_guard_action {
    TD_GUARD_PUBLISH = 1,   /* say something on a topic */
    TD_GUARD_SUBSCRIBE = 2, /* ask for the topics of a filter */
    TD_GUARD_READ = 4,      /* get what is said there: deliveries, retained, values, history */
    TD_GUARD_WRITE = 8,     /* change what stays there: the retained message */
    TD_GUARD_ADMIN = 16,    /* look at the hub itself: its counters, its rules */
    TD_GUARD_ALL = 31
};

enum {
    TD_GUARD_NAME_MAX = 128,     /* bytes of a principal's name */
    TD_GUARD_PASSWORD_MAX = 256, /* bytes of a password's hash as text, with its NUL */
    TD_GUARD_SALT_BYTES = 16
};

/* ---- principals ---- */

/* Those that need no users file. */
#define TD_GUARD_LOCAL "local"         /* whoever comes to a hub without users */
#define TD_GUARD_ANONYMOUS "anonymous" /* who comes without credentials to a hub with users */

/* What td_guard_password_of() gives for a user whose password another program judges. */
#define TD_GUARD_HTTP "$http$"

struct td_guard;

struct td_principal {
    const struct td_guard *guard;
    const struct td_grant **grants; /* what concerns it, denials first */
    uint32_t grant_count;
    uint32_t number;  /* never given again; 0 is nobody's: the hub itself */
    uint32_t changed; /* the generation in which its credentials became others */
    uint32_t refs;
    bool all;       /* may do everything: no grant is looked at */
    bool gone;      /* was taken from the users file: may nothing */
    bool by_client; /* a grant of its names the client id */
    uint8_t name_n;
    char name[]; /* with a NUL */
};

static inline td_slice td_principal_name(const struct td_principal *p)
{
    return (td_slice){(const uint8_t *)p->name, p->name_n};
}

/* 1..TD_GUARD_NAME_MAX bytes of UTF-8 without blanks, control characters and + # / : , and not
 * beginning with $: so a name is one level of a topic, and one word of a file. */
bool td_guard_name_valid(td_slice name);

/* Without files: everybody is `local` and may everything. Free with td_guard_free(). */
struct td_guard *td_guard_new(void);
void td_guard_free(struct td_guard *g);

/* A file, already read; name NULL: there is none. */
struct td_guard_file {
    const char *name;
    td_slice text;
};

/* Takes both files, or neither: then TD_ESYNTAX and `why` says file, line, what is wrong and what
 * to do. After a good one principals that are no longer there are gone, grants of all are new, and
 * td_guard_generation() is another. */
enum td_err td_guard_load(struct td_guard *g, const struct td_guard_file *users,
                          const struct td_guard_file *grants, struct td_buf *why);
/* Whether there is a users file: who comes has to say who it is. */
bool td_guard_has_users(const struct td_guard *g);
uint32_t td_guard_generation(const struct td_guard *g);

/* The principal of a name, with a reference for the caller; NULL: there is none. While there is no
 * users file there is one for each name. */
struct td_principal *td_guard_principal(struct td_guard *g, td_slice name);
/* The same for a name that stands in the users file. */
struct td_principal *td_guard_user_principal(struct td_guard *g, td_slice name);
void td_principal_unref(struct td_guard *g, struct td_principal *p);
/* The name that goes with a number; empty: not known any more, or the hub. */
td_slice td_guard_name(const struct td_guard *g, uint32_t number);

/* Whether the principal of that number is gone. 0 never is. */
bool td_guard_author_gone(const struct td_guard *g, uint32_t number);

/* ---- rights ---- */

bool td_guard_may_slow(const struct td_principal *p, td_slice client_id, unsigned action,
                       td_slice topic);
/* Whether p, as the client of that id, may do `action` (one) on a topic name. */
static inline bool td_guard_may(const struct td_principal *p, td_slice client_id, unsigned action,
                                td_slice topic)
{
    return p->all || td_guard_may_slow(p, client_id, action, topic);
}
/* The same for every topic that a filter (valid, without $share/) matches: it must lie inside what
 * one grant allows, and have nothing in common with what one denies. */
bool td_guard_may_filter(const struct td_principal *p, td_slice client_id, unsigned action,
                         td_slice filter);

/* Verdicts that were given lately. One for each thread that asks. */
struct td_guard_cache;
struct td_guard_cache *td_guard_cache_new(uint64_t seed);
void td_guard_cache_free(struct td_guard_cache *cache);
/* As td_guard_may(). */
bool td_guard_may_cached(struct td_guard_cache *cache, const struct td_principal *p,
                         td_slice client_id, unsigned action, td_slice topic);

/* Appends for people which grants concern that question and what follows from them. `p` may be
 * NULL: no such principal. Gives the verdict. */
bool td_guard_explain(const struct td_principal *p, td_slice client_id, unsigned action,
                      td_slice topic, struct td_buf *out);
/* "publish" and so on; 0: not an action. */
unsigned td_guard_action_of(td_slice word);

/* ---- credentials ---- */

/* One word of a users file's last field that is understood. */
bool td_guard_credential_valid(td_slice word);
/* The stored password of a user. Of one that is not there or has none: something that no password
 * is right for and that takes as long to compare. */
void td_guard_password_of(const struct td_guard *g, td_slice name, char out[TD_GUARD_PASSWORD_MAX]);
/* Whether there is a user with TD_GUARD_HTTP. */
bool td_guard_wants_judge(const struct td_guard *g);
/* Whether it is the password that was stored. Takes about 40 ms and 19 MiB, touches nothing else:
 * for a work. */
bool td_guard_password_right(const char *stored, td_slice password);
/* What to store for a password, by a random salt. As slow. TD_ENOMEM. */
enum td_err td_guard_password_hash(td_slice password, const uint8_t salt[TD_GUARD_SALT_BYTES],
                                   char out[TD_GUARD_PASSWORD_MAX]);
/* What to store for a token; a token is 256 random bits as text. */
void td_guard_token_hash(td_slice token, char out[TD_GUARD_PASSWORD_MAX]);
/* Whose token it is, with a reference; NULL: nobody's. */
struct td_principal *td_guard_token_principal(struct td_guard *g, td_slice token);
/* The user with that pinned key (SHA-256 of a certificate's SubjectPublicKeyInfo), with a
 * reference; NULL: nobody has it. */
struct td_principal *td_guard_key_principal(struct td_guard *g, const uint8_t key_sha256[32]);
/* Whether a user has pinned keys, so that others do not stand for it. */
bool td_guard_pins_keys(const struct td_guard *g, td_slice name);
/* Base64 with padding, appended to out; decode: TD_ESYNTAX for what encode would not write, then
 * nothing is appended. */
enum td_err td_guard_base64_decode(td_slice text, struct td_buf *out);
enum td_err td_guard_base64_encode(td_slice bytes, struct td_buf *out);
/* The same in the alphabet for addresses, without padding (RFC 4648, 5). */
enum td_err td_guard_base64url_decode(td_slice text, struct td_buf *out);
/* SHA-256 of a followed by b. */
void td_guard_digest(td_slice a, td_slice b, uint8_t out[32]);
/* Compares in a time that depends on n alone. */
bool td_guard_same(const uint8_t *a, const uint8_t *b, size_t n);
/* Overwrites a secret. */
void td_guard_forget(void *p, size_t n);

/* ---- SCRAM-SHA-256 (RFC 5802, 7677) ---- */

struct td_guard_scram {
    struct td_buf said;      /* what both have said, as it is signed */
    uint32_t nonce, nonce_n; /* in said */
    uint8_t binding;         /* 'n' or 'y' */
    uint8_t name_n, name[TD_GUARD_NAME_MAX];
};

void td_guard_scram_init(struct td_guard_scram *s);
void td_guard_scram_fini(struct td_guard_scram *s);
/* The client's first message: appends the answer to out. `nonce`: fresh random text, 18 bytes as
 * base64; `key`: 32 secret bytes of this process. TD_ESYNTAX: it does not say what it should. */
enum td_err td_guard_scram_first(struct td_guard_scram *s, const struct td_guard *g, td_slice text,
                                 td_slice nonce, const uint8_t key[32], struct td_buf *out);
/* The last one. TD_OK: the client knows the password of td_guard_scram_name(), and what is appended
 * to out proves to it that we do. TD_EDENIED: it does not, or there is no such user. */
enum td_err td_guard_scram_final(struct td_guard_scram *s, const struct td_guard *g, td_slice text,
                                 const uint8_t key[32], struct td_buf *out);
/* Who it says it is, after the first message. */
static inline td_slice td_guard_scram_name(const struct td_guard_scram *s)
{
    return (td_slice){s->name, s->name_n};
}
/* What to store for a password; iterations 0: as many as we think right. Slow. */
void td_guard_scram_make(td_slice password, td_slice salt, unsigned iterations,
                         char out[TD_GUARD_PASSWORD_MAX]);
bool td_guard_scram_valid(td_slice word);

/* ---- JSON Web Tokens (RFC 7519) ---- */

enum { TD_GUARD_RS256 = 1, TD_GUARD_ES256 = 2, TD_GUARD_EDDSA = 4 };

struct td_guard_jwt_config {
    const char *audience, *issuer; /* issuer NULL: any */
    unsigned algorithms;           /* or'ed */
};

/* "RS256", "ES256", "EdDSA"; 0: not one of them. */
unsigned td_guard_algorithm_of(td_slice name);
/* Takes the public keys (PEM) that sign tokens; name NULL: no tokens are taken. TD_ESYNTAX: nothing
 * has changed, `why` says what is wrong. */
enum td_err td_guard_jwt_load(struct td_guard *g, const struct td_guard_file *keys,
                              const struct td_guard_jwt_config *config, struct td_buf *why);
bool td_guard_takes_jwt(const struct td_guard *g);
/* Whether it looks like one, rather than like a password or a token of our own. */
bool td_guard_is_jwt(td_slice token);
/* The user that a token is for, with a reference. NULL: *wrong says why not, for people. */
struct td_principal *td_guard_jwt_principal(struct td_guard *g, td_slice token, td_wall now,
                                            const char **wrong);

/* ---- who guesses waits ---- */

struct td_guard_delays;
struct td_guard_delays *td_guard_delays_new(uint64_t seed);
void td_guard_delays_free(struct td_guard_delays *d);
/* When an attempt to log in may be looked at, *at >= now. `address` without its port. TD_EFULL:
 * too many attempts of that address wait, refuse it. */
enum td_err td_guard_delay(struct td_guard_delays *d, td_slice name, td_slice address, td_mono now,
                           td_mono *at);
void td_guard_delay_failed(struct td_guard_delays *d, td_slice name, td_slice address, td_mono now);
void td_guard_delay_passed(struct td_guard_delays *d, td_slice name);

/* ---- patterns, for the grants and for tests ---- */

struct td_guard_level {
    uint8_t kind;  /* private */
    td_slice text; /* borrowed */
};

struct td_guard_pattern {
    uint8_t count;
    bool by_client; /* has a %c */
    struct td_guard_level levels[];
};

/* For whom a pattern's %u and %c stand. */
struct td_guard_who {
    td_slice principal, client_id;
    bool deny; /* the pattern says what must not be: an id that can be no level matches every one */
};

/* Reads a pattern: a topic filter whose levels may also be %u and %c. It borrows from the text.
 * NULL: *wrong says what rule it breaks. */
struct td_guard_pattern *td_guard_pattern_parse(td_slice text, struct td_arena *arena,
                                                const char **wrong);
bool td_guard_pattern_matches(const struct td_guard_pattern *p, const struct td_guard_who *who,
                              td_slice topic);
/* Every topic that the filter matches, the pattern matches. May say false though it is so where
 * only several patterns together would cover the filter. */
bool td_guard_pattern_covers(const struct td_guard_pattern *p, const struct td_guard_who *who,
                             td_slice filter);
/* There is a topic that both match. */
bool td_guard_pattern_meets(const struct td_guard_pattern *p, const struct td_guard_who *who,
                            td_slice filter);

#endif
