/* app: the listeners. What [mqtt] and [http] listen and the command line say, and the [[listener]]
 * tables, become one list; and what can be reached from a network must be wanted. */
#include "app/config.h"

static bool is_loopback(const char *address)
{
    td_slice a = td_slice_of(address);
    return td_slice_starts(a, TD_STR("127.")) || td_slice_starts(a, TD_STR("[::1]:")) ||
           td_slice_starts(a, TD_STR("localhost:")) || td_slice_starts(a, TD_STR("unix:"));
}

/* `name`: how its address is set; `section`: where the words belong. */
static enum td_err add(struct td_config *c, struct td_serve_listener *all,
                       const struct td_config_listener *l, const char *name, const char *section,
                       struct td_buf *why)
{
    bool open = c->users == NULL || c->serve.access.anonymous;
    if (!is_loopback(l->is.address) && !((l->word.insecure || !open) && l->word.plaintext)) {
        (void)td_buf_printf(
            why,
            "%s %s = \"%s\": this address can be reached from a network, and there everybody "
            "may %sread everything (no TLS); listen on 127.0.0.1, or say that you want that with "
            "%splaintext = true in section %s of the configuration file",
            section, name, l->is.address,
            open ? "come without a password (no users in [access], or anonymous) and " : "",
            open ? "insecure = true and " : "", section);
        return TD_EDENIED;
    }
    if (c->serve.listeners.count == TD_CONFIG_LISTENERS_MAX) {
        (void)td_buf_printf(why, "there may be %d listeners; leave some out",
                            TD_CONFIG_LISTENERS_MAX);
        return TD_EFULL;
    }
    all[c->serve.listeners.count++] = l->is;
    return TD_OK;
}

/* Those of the short way. */
static enum td_err add_short(struct td_config *c, struct td_serve_listener *all,
                             enum td_serve_kind kind, const char *section, struct td_buf *why)
{
    enum td_err err = TD_OK;
    for (size_t i = 0; i < c->listen[kind].count && err == TD_OK; i++) {
        struct td_config_listener l = {.is = {.address = c->listen[kind].at[i], .kind = kind},
                                       .word = c->word[kind]};
        err = add(c, all, &l, "listen", section, why);
    }
    return err;
}

enum td_err td_config_check(struct td_config *c, struct td_buf *why)
{
    struct td_serve_listener *all =
        td_arena_alloc(&c->arena, TD_CONFIG_LISTENERS_MAX * sizeof *all);
    c->serve.listeners = (struct td_serve_listeners){all, 0};
    enum td_err err = add_short(c, all, TD_SERVE_MQTT, "[mqtt]", why);
    if (err == TD_OK) {
        err = add_short(c, all, TD_SERVE_HTTP, "[http]", why);
    }
    for (size_t i = 0; i < c->listener_count && err == TD_OK; i++) {
        err = add(c, all, &c->listeners[i], "address", "[[listener]]", why);
    }
    return err;
}

void td_config_listen(struct td_config *config, enum td_serve_kind kind,
                      const struct td_serve_texts *addresses)
{
    bool off = addresses->count == 1 && td_slice_eq(td_slice_of(addresses->at[0]), TD_STR("off"));
    if (addresses->count > 0) {
        config->listen[kind] = off ? (struct td_serve_texts){NULL, 0} : *addresses;
    }
}

void td_config_listen_document(struct td_buf *out)
{
    (void)td_buf_printf(
        out,
        "\n## Listeners\n\n"
        "`listen` in `[mqtt]` and `[http]`, and `--mqtt` and `--http` of the command line (which "
        "go "
        "over it and may be\nrepeated), are the short way. A listener with more to say is a table "
        "of its own:\n\n"
        "```toml\n[[listener]]\naddress = \"unix:/run/tandem/mqtt.sock\"\nmode = \"0660\"\n```\n\n"
        "An address is an IP address and a port (0: a free one, the ready line tells which), or a "
        "unix socket's path. A unix\nsocket that a dead process left behind is replaced; any other "
        "file there is left alone, and nothing starts.\n\n"
        "## MQTT over WebSocket\n\n"
        "Browsers reach MQTT at `/mqtt` of the page's address, or on a listener of its own:\n\n"
        "```toml\n[[listener]]\naddress = \"127.0.0.1:9001\"\nwebsocket = true\n"
        "origins = [\"https://app.example\"]\n```\n\n"
        "The subprotocol is `mqtt`. A page of another site may connect only if its origin is "
        "listed; programs, which send no\norigin, always may.\n\n"
        "## Listening on a network\n\n"
        "TLS is not built yet. Until it is, a listener on an address that can be reached from a "
        "network is refused\nunless its section says `plaintext = true`; and unless there are "
        "users ([Who may do what](security.md)) and\n`anonymous` is off, `insecure = true` "
        "too:\n\n"
        "```toml\n[mqtt]\nlisten = \"192.168.1.10:1883\"\ninsecure = true\nplaintext = "
        "true\n```\n");
}
