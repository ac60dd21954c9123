/* serve/listen: a listener's life. */
#include "serve/listen.h"

#include <stdlib.h>

static const char *const kinds[] = {[TD_SERVE_MQTT] = "mqtt", [TD_SERVE_HTTP] = "http"};
static const char *const ports[] = {[TD_SERVE_MQTT] = "1883", [TD_SERVE_HTTP] = "8080"};

static enum td_err explain(const struct td_serve_listener *asked, enum td_err err,
                           struct td_buf *why)
{
    const char *kind = kinds[asked->kind];
    if (err == TD_EEXIST) {
        (void)td_buf_printf(why,
                            "%s: %s is in use by another program; stop it or give another "
                            "address with --%s ADDRESS",
                            kind, asked->address, kind);
    } else {
        (void)td_buf_printf(why,
                            "%s: cannot listen on '%s': %s; give an address of this machine and a "
                            "free port, such as 127.0.0.1:%s, [::1]:%s or unix:/path",
                            kind, asked->address, td_err_text(err), ports[asked->kind],
                            ports[asked->kind]);
    }
    return err;
}

static const char *keep(struct td_listener *l, const char *text)
{
    return (const char *)td_arena_copy(&l->texts, td_slice_of(text)).p;
}

/* What was asked for may go; the listener stays. */
static void keep_texts(struct td_listener *l, const struct td_serve_listener *asked)
{
    td_arena_init(&l->texts, 0);
    l->is = *asked;
    l->is.address = keep(l, asked->address);
    const char **at = td_arena_alloc(&l->texts, (asked->origins.count + 1) * sizeof *at);
    for (size_t i = 0; i < asked->origins.count; i++) {
        at[i] = keep(l, asked->origins.at[i]);
    }
    l->is.origins.at = at;
}

static struct td_listener *make(const struct td_listener_plan *plan,
                                const struct td_serve_listener *asked)
{
    struct td_listener *l = td_alloc(sizeof *l);
    l->owner.ready = plan->ready;
    keep_texts(l, asked);
    l->of = plan->of;
    l->stream = -1;
    l->users = 1;
    return l;
}

static enum td_err open_one(const struct td_listener_plan *plan,
                            const struct td_serve_listener *asked, struct td_listener **out,
                            struct td_buf *why)
{
    struct td_listener *l = make(plan, asked);
    struct td_sys_listen ask = {
        .address = td_slice_of(asked->address), .owner = l, .mode = asked->mode, .tls = asked->tls};
    enum td_err err = plan->sys->listen(plan->sys, &ask, &l->stream);
    if (err != TD_OK) {
        td_listener_unref(l);
        return explain(asked, err, why);
    }
    *out = l;
    return TD_OK;
}

enum td_err td_listeners_open(const struct td_listener_plan *plan,
                              const struct td_serve_listeners *asked, struct td_listener **first,
                              struct td_buf *why)
{
    struct td_listener **end = first;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    for (size_t i = 0; i < asked->count; i++) {
        if (asked->at[i].kind == plan->kind) {
            enum td_err err = open_one(plan, &asked->at[i], end, why);
            if (err != TD_OK) {
                return err;
            }
            (*end)->number = (uint32_t)i;
            end = &(*end)->next;
        }
    }
    return TD_OK;
}

void td_listeners_copy(const struct td_listener_plan *plan, const struct td_serve_listeners *asked,
                       struct td_listener **first)
{
    for (size_t i = 0; i < asked->count; i++) {
        *first = make(plan, &asked->at[i]);
        (*first)->number = (uint32_t)i;
        first = &(*first)->next;
    }
}

struct td_listener *td_listener_at(struct td_listener *first, uint32_t number)
{
    while (first->number != number) {
        first = first->next;
    }
    return first;
}

struct td_listener *td_listener_ref(struct td_listener *l)
{
    l->users++;
    return l;
}

void td_listener_unref(struct td_listener *l)
{
    if (--l->users == 0) {
        td_arena_fini(&l->texts);
        free(l);
    }
}

void td_listeners_close(struct td_sys *sys, struct td_listener **first)
{
    for (struct td_listener *l = *first; l != NULL; l = l->next) {
        if (l->stream >= 0) {
            sys->close(sys, l->stream);
            l->stream = -1;
        }
    }
    td_listeners_free(first);
}

void td_listeners_free(struct td_listener **first)
{
    while (*first != NULL) {
        struct td_listener *l = *first;
        *first = l->next;
        td_listener_unref(l);
    }
}

bool td_listeners_address(struct td_sys *sys, const struct td_listener *first, size_t i,
                          char out[64])
{
    for (; first != NULL && i > 0; i--) {
        first = first->next;
    }
    out[0] = '\0';
    if (first != NULL) {
        sys->address(sys, first->stream, false, out);
    }
    return first != NULL;
}
