/* serve/login: passwords on their way.
 *
 *   ask -> seen lately? -> yes
 *       \-> wait for its turn (who guesses) -> hash, on one of two lanes -> done() */
#include "serve/login.h"

#include <stdlib.h>

enum {
    LOGINS_MAX = 1024,         /* under way; then BUSY */
    PASSWORD_BYTES_MAX = 4096, /* a longer one is nobody's */
    SEEN_SLOTS = 4096,         /* passwords that were right lately, */
    SEEN_MS = 10 * 60 * 1000,  /* and for how long */
    KEY_BYTES = 32
};

struct seen {
    uint8_t digest[32]; /* of a key of this process, the stored hash, the password */
    td_mono until;
};

struct td_logins {
    struct td_sys *sys;
    struct td_guard *guard;
    struct td_guard_delays *delays;
    struct td_heap due;
    struct td_login *first; /* all */
    struct td_login_stats stats;
    uint32_t running;
    unsigned turn; /* whose lane is next */
    uint8_t key[KEY_BYTES];
    bool (*judge)(void *ctx, td_slice name, td_slice password, td_slice address);
    void *judge_ctx;
    struct seen *seen; /* SEEN_SLOTS; NULL until one was right */
};

struct td_login {
    struct td_work work; /* first */
    struct td_timer timer;
    struct td_logins *l;
    struct td_login *next, **link;
    void (*done)(void *ctx, struct td_principal *who, td_mono now);
    void *ctx;
    td_slice name, password; /* in `texts` */
    td_slice address;
    char stored[TD_GUARD_PASSWORD_MAX];
    bool running, right, forgotten;
    bool (*judge)(void *ctx, td_slice name, td_slice password, td_slice address); /* NULL: hash */
    void *judge_ctx;
    bool pause; /* nothing to hash */
    uint8_t texts[];
};

struct td_logins *td_logins_new(struct td_sys *sys, struct td_guard *guard)
{
    struct td_logins *l = td_alloc(sizeof *l);
    uint64_t seed;
    l->sys = sys;
    l->guard = guard;
    sys->random(sys, &seed, sizeof seed);
    sys->random(sys, l->key, sizeof l->key);
    l->delays = td_guard_delays_new(seed);
    td_heap_init(&l->due);
    return l;
}

static void login_free(struct td_login *login)
{
    *login->link = login->next;
    if (login->next != NULL) {
        login->next->link = login->link;
    }
    login->l->stats.waiting--;
    td_guard_forget((void *)(uintptr_t)login->password.p, login->password.n);
    free(login);
}

void td_logins_free(struct td_logins *l)
{
    while (l->first != NULL) {
        login_free(l->first);
    }
    td_heap_fini(&l->due);
    td_guard_delays_free(l->delays);
    td_guard_forget(l->key, sizeof l->key);
    free(l->seen);
    free(l);
}

void td_logins_judge_set(struct td_logins *l,
                         bool (*judge)(void *ctx, td_slice name, td_slice password,
                                       td_slice address),
                         void *ctx)
{
    l->judge = judge;
    l->judge_ctx = ctx;
}

/* ---- seen lately ---- */

static void digest_of(const struct td_logins *l, const char *stored, td_slice password,
                      uint8_t out[32])
{
    uint8_t inner[32];
    td_guard_digest((td_slice){l->key, sizeof l->key}, td_slice_of(stored), inner);
    td_guard_digest((td_slice){inner, sizeof inner}, password, out);
}

static struct seen *seen_slot(const struct td_logins *l, const uint8_t digest[32])
{
    return &l->seen[(digest[0] | (unsigned)digest[1] << 8) % SEEN_SLOTS];
}

static bool seen_find(const struct td_logins *l, const char *stored, td_slice password, td_mono now)
{
    uint8_t digest[32];
    if (l->seen == NULL) {
        return false;
    }
    digest_of(l, stored, password, digest);
    const struct seen *s = seen_slot(l, digest);
    return s->until > now && td_guard_same(s->digest, digest, sizeof digest);
}

static void seen_add(struct td_logins *l, const struct td_login *login, td_mono now)
{
    uint8_t digest[32];
    if (l->seen == NULL) {
        l->seen = td_alloc(SEEN_SLOTS * sizeof *l->seen);
    }
    digest_of(l, login->stored, login->password, digest);
    struct seen *s = seen_slot(l, digest);
    memcpy(s->digest, digest, sizeof digest);
    s->until = td_mono_after(now, SEEN_MS);
}

/* ---- on the lane ---- */

static void login_run(struct td_work *work)
{
    struct td_login *login = (struct td_login *)(void *)work; /* its first member */
    if (login->judge != NULL) {
        login->right = login->judge(login->judge_ctx, login->name, login->password, login->address);
    } else {
        login->right = td_guard_password_right(login->stored, login->password);
    }
}

/* What was stored may be another by now, and the user gone. */
static bool still_stored(const struct td_login *login)
{
    char now[TD_GUARD_PASSWORD_MAX];
    td_guard_password_of(login->l->guard, login->name, now);
    return strcmp(now, login->stored) == 0;
}

static void login_done(struct td_work *work)
{
    struct td_login *login = (struct td_login *)(void *)work;
    struct td_logins *l = login->l;
    td_mono now = l->sys->mono(l->sys);
    struct td_principal *who = NULL;
    l->running--;
    if (login->right && still_stored(login)) {
        l->stats.passed++;
        if (login->judge == NULL) { /* that one may think otherwise the next time */
            seen_add(l, login, now);
        }
        td_guard_delay_passed(l->delays, login->name);
        who = login->forgotten ? NULL : td_guard_principal(l->guard, login->name);
    } else {
        l->stats.failed++;
        td_guard_delay_failed(l->delays, login->name, login->address, now);
    }
    if (!login->forgotten) {
        login->done(login->ctx, who, now);
    }
    login_free(login);
}

static void login_begin(struct td_login *login)
{
    struct td_logins *l = login->l;
    login->work = (struct td_work){login_run, login_done,
                                   l->turn++ % 2 == 0 ? TD_LANE_LOGIN : TD_LANE_LOGIN_TOO, NULL};
    login->running = true;
    l->running++;
    l->sys->work(l->sys, &login->work);
}

/* ---- asking ---- */

/* Without the port, so that all connections of one machine are one. */
static td_slice host_of(const char *address)
{
    td_slice a = td_slice_of(address);
    size_t n = a.n;
    while (n > 0 && a.p[n - 1] != ':') {
        n--;
    }
    return n > 0 && !td_slice_starts(a, TD_STR("unix")) ? td_slice_head(a, n - 1) : a;
}

static struct td_login *login_new(struct td_logins *l, const struct td_login_claim *claim)
{
    td_slice host = host_of(claim->address);
    struct td_login *login = td_alloc(sizeof *login + claim->name.n + host.n + claim->password.n);
    uint8_t *at = login->texts;
    login->l = l;
    login->done = claim->done;
    login->ctx = claim->ctx;
    login->name = (td_slice){at, claim->name.n};
    at = td_put_bytes(at, claim->name);
    login->address = (td_slice){at, host.n};
    at = td_put_bytes(at, host);
    login->password = (td_slice){at, claim->password.n};
    (void)td_put_bytes(at, claim->password);
    login->next = l->first;
    login->link = &l->first;
    if (login->next != NULL) {
        login->next->link = &login->next;
    }
    l->first = login;
    l->stats.waiting++;
    return login;
}

enum td_login_answer td_login_ask(struct td_logins *l, const struct td_login_claim *claim,
                                  td_mono now, struct td_principal **who, struct td_login **out)
{
    char stored[TD_GUARD_PASSWORD_MAX];
    td_mono at;
    if (claim->name.n > TD_GUARD_NAME_MAX || claim->password.n > PASSWORD_BYTES_MAX) {
        l->stats.failed++; /* looks for nothing, so it shows nothing */
        return TD_LOGIN_NO;
    }
    td_guard_password_of(l->guard, claim->name, stored);
    if (seen_find(l, stored, claim->password, now)) {
        *who = td_guard_principal(l->guard, claim->name);
        l->stats.passed++;
        return *who != NULL ? TD_LOGIN_YES : TD_LOGIN_NO;
    }
    if (l->stats.waiting >= LOGINS_MAX ||
        td_guard_delay(l->delays, claim->name, host_of(claim->address), now, &at) != TD_OK) {
        l->stats.busy++;
        return TD_LOGIN_BUSY;
    }
    struct td_login *login = login_new(l, claim);
    memcpy(login->stored, stored, sizeof stored);
    if (strcmp(stored, TD_GUARD_HTTP) == 0) {
        login->judge = l->judge;
        login->judge_ctx = l->judge_ctx;
    }
    if (at > now) {
        td_heap_set(&l->due, &login->timer, at);
    } else {
        login_begin(login);
    }
    *out = login;
    return TD_LOGIN_WAIT;
}

enum td_login_answer td_login_pause(struct td_logins *l, const struct td_login_claim *claim,
                                    td_mono now, struct td_login **out)
{
    td_mono at;
    if (l->stats.waiting >= LOGINS_MAX ||
        td_guard_delay(l->delays, claim->name, host_of(claim->address), now, &at) != TD_OK) {
        l->stats.busy++;
        return TD_LOGIN_BUSY;
    }
    if (at <= now) {
        return TD_LOGIN_YES;
    }
    *out = login_new(l, claim);
    (*out)->pause = true;
    td_heap_set(&l->due, &(*out)->timer, at);
    return TD_LOGIN_WAIT;
}

void td_login_ended(struct td_logins *l, td_slice name, const char *address, bool right,
                    td_mono now)
{
    if (right) {
        l->stats.passed++;
        td_guard_delay_passed(l->delays, name);
    } else {
        l->stats.failed++;
        td_guard_delay_failed(l->delays, name, host_of(address), now);
    }
}

const uint8_t *td_logins_key(const struct td_logins *l)
{
    return l->key;
}

void td_login_forget(struct td_login *login)
{
    login->forgotten = true;
    if (!login->running) {
        td_heap_set(&login->l->due, &login->timer, TD_NEVER);
        login_free(login);
    }
}

/* ---- the turn ---- */

void td_logins_turn(struct td_logins *l, td_mono now)
{
    for (struct td_timer *t; (t = td_heap_first(&l->due)) != NULL && t->at <= now;) {
        struct td_login *login = TD_CONTAINER(t, struct td_login, timer);
        td_heap_set(&l->due, t, TD_NEVER);
        if (login->pause) {
            login->done(login->ctx, NULL, now);
            login_free(login);
        } else {
            login_begin(login);
        }
    }
}

td_mono td_logins_deadline(const struct td_logins *l)
{
    const struct td_timer *t = td_heap_first(&l->due);
    return t == NULL ? TD_NEVER : t->at;
}

bool td_logins_idle(const struct td_logins *l)
{
    return l->running == 0;
}

const struct td_login_stats *td_logins_stats(const struct td_logins *l)
{
    return &l->stats;
}
