/* serve/http: who asks, and whether he may. While there are no users everybody is `local`. With
 * users a request says who it is by Basic (name and password, as browsers ask for them) or Bearer
 * (a token); without a word it is `anonymous`, if the configuration lets that in.
 *
 * What a path needs stands in a table; a path that is not in it needs the right to administer, so
 * that nothing new is open by oversight. What concerns single topics is asked where they are. */
#include "serve/http/inside.h"
#include "serve/login.h"
#include "serve/proof.h"

enum need {
    ADMIN, /* admin of # */
    NOBODY,
    ANYBODY, /* any principal: topics are asked for one by one */
    READ_ALL /* read of #: the answer cannot be told apart by topics */
};

static const struct {
    const char *path;
    enum need need;
} needs[] = {
    {"/health", NOBODY},
    {"/mqtt", NOBODY}, /* MQTT asks by itself */
    {"/api/v1/things", ANYBODY},
    {"/api/v1/series", ANYBODY},
    {"/api/v1/live", ANYBODY},
    {"/api/v1/messages", ANYBODY},
    {"/api/v1/retained", ANYBODY},
    {"/api/v1/delayed", ANYBODY},
    {"/api/v1/delayed/{id}", ANYBODY},
    {"/api/v1/query", READ_ALL},
};

static enum need need_of(const struct td_httpd_conn *c)
{
    if (c->route == NULL) {
        return ANYBODY; /* the page's files */
    }
    for (size_t i = 0; i < TD_COUNT(needs); i++) {
        if (strcmp(c->route->path, needs[i].path) == 0) {
            return needs[i].need;
        }
    }
    return ADMIN;
}

/* ---- what a principal may ---- */

bool td_httpd_may(struct td_httpd_conn *c, unsigned action, td_slice topic)
{
    static const td_slice no_id = {NULL, 0};
    struct td_httpd *d = c->d;
    if (c->who->all) {
        return true;
    }
    if (d->verdicts == NULL) {
        uint64_t seed;
        d->parts->sys->random(d->parts->sys, &seed, sizeof seed);
        d->verdicts = td_guard_cache_new(seed);
    }
    return td_guard_may_cached(d->verdicts, c->who, no_id, action, topic);
}

bool td_httpd_may_all(const struct td_httpd_conn *c, unsigned action)
{
    return td_guard_may_filter(c->who, (td_slice){NULL, 0}, action, TD_STR("#"));
}

static void unauthorized(struct td_httpd_conn *c, const char *rule)
{
    c->d->stats.logins_refused++;
    td_httpd_audit(c, TD_AUDIT_REQUEST, true, c->head.path);
    td_httpd_problem(
        c, &(struct td_httpd_problem){
               .status = 401,
               .thing = "Authorization",
               .rule = rule,
               .remedy = "send a user's name and password (Basic) or a token (Bearer); `tandem "
                         "user` makes both",
               .field = {TD_STR("WWW-Authenticate"),
                         TD_STR("Basic realm=\"tandem\", charset=\"UTF-8\"")}});
}

void td_httpd_forbidden(struct td_httpd_conn *c, const char *thing, td_slice value,
                        const char *rule)
{
    if (td_slice_eq(td_principal_name(c->who), TD_STR(TD_GUARD_ANONYMOUS))) {
        unauthorized(c, "this needs more than anonymous may");
        return;
    }
    c->d->stats.denied++;
    td_httpd_problem(c, &(struct td_httpd_problem){.status = 403,
                                                   .thing = thing,
                                                   .value = value,
                                                   .rule = rule,
                                                   .remedy = "grant it, see docs/security.md"});
}

static bool may_have_path(struct td_httpd_conn *c)
{
    enum need need = need_of(c);
    struct td_parts *parts = c->d->parts;
    if (td_guard_has_users(parts->guard) && need != NOBODY &&
        td_proof_contradicts(parts, c->listener, c->stream, c->who)) {
        unauthorized(c, "the certificate means another user");
        return false;
    }
    if (need == ADMIN && !td_httpd_may_all(c, TD_GUARD_ADMIN)) {
        td_httpd_forbidden(c, "path", c->head.path, "it needs the right to admin #");
        return false;
    }
    if (need == READ_ALL && !td_httpd_may_all(c, TD_GUARD_READ)) {
        td_httpd_forbidden(c, "path", c->head.path, "it needs the right to read #");
        return false;
    }
    return true;
}

/* ---- who asks ---- */

void td_httpd_who_drop(struct td_httpd_conn *c)
{
    if (c->login != NULL) {
        td_login_forget(c->login);
        c->login = NULL;
    }
    if (c->who != NULL) {
        td_principal_unref(c->d->parts->guard, c->who);
        c->who = NULL;
    }
}

static void login_done(void *ctx, struct td_principal *who, td_mono now)
{
    struct td_httpd_conn *c = ctx;
    c->login = NULL;
    c->who = who;
    c->phase = TD_HTTPD_BODY; /* where it would be had it not waited */
    if (who == NULL) {
        unauthorized(c, "there is no user of that name and password");
    } else if (may_have_path(c)) {
        td_httpd_dispatch(c, now);
    }
    td_httpd_conn_step(c, now);
}

static bool admit_password(struct td_httpd_conn *c, td_slice pair, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    char address[64];
    size_t n = td_slice_find(pair, ':');
    parts->sys->address(parts->sys, c->stream, true, address);
    struct td_login_claim claim = {.name = td_slice_head(pair, n),
                                   .password = td_slice_skip(pair, n + 1),
                                   .address = address,
                                   .done = login_done,
                                   .ctx = c};
    switch (td_login_ask(parts->logins, &claim, now, &c->who, &c->login)) {
    case TD_LOGIN_YES:
        return true;
    case TD_LOGIN_NO:
        unauthorized(c, "there is no user of that name and password");
        return false;
    case TD_LOGIN_BUSY:
        td_httpd_problem(c, &(struct td_httpd_problem){.status = 503,
                                                       .thing = "login",
                                                       .rule = "too many are under way",
                                                       .remedy = "try again"});
        return false;
    case TD_LOGIN_WAIT:
        break;
    }
    c->phase = TD_HTTPD_WAIT;
    c->asking = true; /* not for a commit */
    return false;
}

static bool admit_basic(struct td_httpd_conn *c, td_slice text, td_mono now)
{
    struct td_buf pair;
    bool admitted = false;
    td_buf_init(&pair, TD_HTTPD_IN_BYTES);
    if (td_guard_base64_decode(text, &pair) != TD_OK) {
        unauthorized(c, "Basic is followed by NAME:PASSWORD in base64");
    } else {
        admitted = admit_password(c, td_buf_slice(&pair), now);
    }
    td_guard_forget(pair.p, pair.n);
    td_buf_fini(&pair);
    return admitted;
}

static bool admit_token(struct td_httpd_conn *c, td_slice token)
{
    struct td_parts *parts = c->d->parts;
    const char *wrong = "there is no such token";
    bool issued = td_guard_takes_jwt(parts->guard) && td_guard_is_jwt(token);
    c->who = issued ? td_guard_jwt_principal(parts->guard, token, parts->wall, &wrong)
                    : td_guard_token_principal(parts->guard, token);
    if (c->who == NULL) {
        unauthorized(c, wrong);
    }
    return c->who != NULL;
}

/* He says nothing: what does his handshake prove, and if nothing, may he ask all the same? */
static bool admit_silent(struct td_httpd_conn *c)
{
    struct td_parts *parts = c->d->parts;
    const char *name = NULL;
    switch (td_proof_ask(parts, c->listener, c->stream, &c->who)) {
    case TD_PROOF_YES:
        return true;
    case TD_PROOF_STRANGER:
        unauthorized(c, "no user has that certificate");
        return false;
    case TD_PROOF_NONE:
        break;
    }
    if (td_listener_takes(c->listener, parts, TD_WAY_LOCAL)) {
        name = TD_GUARD_LOCAL;
    } else if (td_listener_takes(c->listener, parts, TD_WAY_ANONYMOUS) || need_of(c) == NOBODY) {
        name = TD_GUARD_ANONYMOUS;
    } else {
        unauthorized(c, "this hub wants to know who asks");
        return false;
    }
    c->who = td_guard_principal(parts->guard, td_slice_of(name));
    return true;
}

static bool admit(struct td_httpd_conn *c, td_mono now)
{
    struct td_parts *parts = c->d->parts;
    td_slice said = {NULL, 0};
    size_t count = td_http_field(&c->head, TD_STR("Authorization"), &said);
    if (!td_guard_has_users(parts->guard)) {
        c->who = td_guard_principal(parts->guard, TD_STR(TD_GUARD_LOCAL));
        return true;
    }
    if (count == 0) {
        return admit_silent(c);
    }
    td_slice scheme = td_slice_head(said, td_slice_find(said, ' '));
    td_slice rest = td_slice_skip(said, scheme.n + 1);
    if (count == 1 && td_http_same(scheme, TD_STR("Basic")) &&
        td_listener_takes(c->listener, parts, TD_WAY_PASSWORD)) {
        return admit_basic(c, rest, now);
    }
    if (count == 1 && td_http_same(scheme, TD_STR("Bearer")) &&
        td_listener_takes(c->listener, parts, TD_WAY_TOKEN)) {
        return admit_token(c, rest);
    }
    unauthorized(c, "this listener does not take that");
    return false;
}

bool td_httpd_admit(struct td_httpd_conn *c, td_mono now)
{
    td_httpd_who_drop(c);
    return admit(c, now) && may_have_path(c);
}

void td_httpd_rights_changed(struct td_httpd *d)
{
    uint32_t generation = td_guard_generation(d->parts->guard);
    for (struct td_httpd_conn *c = d->first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->who != NULL && (c->who->gone || c->who->changed == generation)) {
            td_httpd_conn_close(c);
        }
    }
}
