/* app: the listeners. What [mqtt] and [http] listen and the command line say, and the [[listener]]
 * tables, become one list; and what can be reached from a network must be wanted. */
#include "app/config.h"

static bool is_loopback(const char *address)
{
    td_slice a = td_slice_of(address);
    return td_slice_starts(a, TD_STR("127.")) || td_slice_starts(a, TD_STR("[::1]:")) ||
           td_slice_starts(a, TD_STR("localhost:")) || td_slice_starts(a, TD_STR("unix:"));
}

/* Settings of TLS that need others. NULL: fine, else what is wrong. */
static const char *tls_wrong(const struct td_config_listener *l)
{
    const struct td_linux_tls_config *t = &l->tls;
    if (t->certificate == NULL && (t->key != NULL || t->ask != TD_LINUX_TLS_ASK_NONE)) {
        return "key and client_certificate need a certificate of the hub's own";
    }
    if ((t->ask != TD_LINUX_TLS_ASK_NONE) != (t->ca != NULL)) {
        return "client_certificate (optional or required) and client_ca go together";
    }
    if (t->crl != NULL && t->ca == NULL) {
        return "client_crl needs a client_ca";
    }
    return NULL;
}

/* May somebody come who has proved nothing? */
static bool is_open(const struct td_config *c, const struct td_config_listener *l)
{
    bool by_certificate = l->tls.ask == TD_LINUX_TLS_ASK_REQUIRED;
    bool by_key = l->tls.psk != NULL && (l->tls.certificate == NULL || by_certificate);
    unsigned silent = TD_WAY_ANONYMOUS | TD_WAY_LOCAL;
    bool asks = l->is.ways != 0 ? (l->is.ways & silent) == 0 : !c->serve.access.anonymous;
    return (c->users == NULL || !asks) && !by_certificate && !by_key;
}

/* `name`: how its address is set; `section`: where the words belong. */
static enum td_err network_wanted(const struct td_config *c, const struct td_config_listener *l,
                                  const char *name, const char *section, struct td_buf *why)
{
    bool open = is_open(c, l) && !l->word.insecure;
    bool plain = !td_config_listener_secure(l) && !l->word.plaintext;
    if (is_loopback(l->is.address) || (!open && !plain)) {
        return TD_OK;
    }
    (void)td_buf_printf(
        why,
        "%s %s = \"%s\": this address can be reached from a network, and there everybody "
        "may %s%s%s; listen on 127.0.0.1, or %s, or say that you want that with "
        "%s%s%s in section %s of the configuration file",
        section, name, l->is.address,
        open ? "come without a password or certificate (no users in [access], or anonymous)" : "",
        open && plain ? " and " : "", plain ? "read everything (no TLS)" : "",
        plain ? "give a [[listener]] a certificate" : "name users in [access]",
        open ? "insecure = true" : "", open && plain ? " and " : "",
        plain ? "plaintext = true" : "", section);
    return TD_EDENIED;
}

static enum td_err add(struct td_config *c, struct td_config_listener *l, const char *name,
                       const char *section, struct td_buf *why)
{
    const char *wrong = l->is.ways != 0 && c->users == NULL
                            ? "authenticate needs to know who may come: name users in [access]"
                            : tls_wrong(l);
    if (wrong != NULL) {
        (void)td_buf_printf(why, "%s %s = \"%s\": %s", section, name, l->is.address, wrong);
        return TD_EDENIED;
    }
    enum td_err err = network_wanted(c, l, name, section, why);
    if (err != TD_OK) {
        return err;
    }
    if (c->serve.listeners.count == TD_CONFIG_LISTENERS_MAX) {
        (void)td_buf_printf(why, "there may be %d listeners; leave some out",
                            TD_CONFIG_LISTENERS_MAX);
        return TD_EFULL;
    }
    l->listed = &c->all[c->serve.listeners.count++];
    *l->listed = l->is;
    return TD_OK;
}

/* Those of the short way. */
static enum td_err add_short(struct td_config *c, enum td_serve_kind kind, const char *section,
                             struct td_buf *why)
{
    enum td_err err = TD_OK;
    for (size_t i = 0; i < c->listen[kind].count && err == TD_OK; i++) {
        struct td_config_listener l = {.is = {.address = c->listen[kind].at[i], .kind = kind},
                                       .word = c->word[kind]};
        err = add(c, &l, "listen", section, why);
    }
    return err;
}

enum td_err td_config_check(struct td_config *c, struct td_buf *why)
{
    c->all = td_arena_alloc(&c->arena, TD_CONFIG_LISTENERS_MAX * sizeof *c->all);
    c->serve.listeners = (struct td_serve_listeners){c->all, 0};
    enum td_err err = add_short(c, TD_SERVE_MQTT, "[mqtt]", why);
    if (err == TD_OK) {
        err = add_short(c, TD_SERVE_HTTP, "[http]", why);
    }
    for (size_t i = 0; i < c->listener_count && err == TD_OK; i++) {
        err = add(c, &c->listeners[i], "address", "[[listener]]", why);
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
        "## TLS\n\n"
        "A listener with a `certificate` (or a `psk` file) speaks TLS 1.3 and 1.2, with forward "
        "secrecy and authenticated\nencryption only:\n\n"
        "```toml\n[[listener]]\naddress = \"0.0.0.0:8883\"\ncertificate = "
        "\"/etc/tandem/hub.pem\"\nkey = \"/etc/tandem/hub.key\"\n"
        "client_certificate = \"required\"\nclient_ca = \"/etc/tandem/devices-ca.pem\"\n"
        "client_crl = \"/etc/tandem/devices.crl\"\n```\n\n"
        "The same settings make WebSockets secure (`websocket = true`) and the page "
        "(`kind = \"http\"`). A file that cannot be\nused keeps the hub from starting, and the "
        "message says which and why. A client that comes back within a day resumes\nits TLS "
        "session "
        "by a ticket. With `psk` clients may come with a key that both know instead of "
        "certificates; the key\nexchange is (EC)DHE all the same. A client whose handshake is not "
        "through within 10 s is closed, and more than 1024\nhandshakes are not begun at once.\n\n"
        "SIGHUP reads the certificates, keys, authorities, lists and PSK files of all listeners "
        "again, with the users and grants.\nWho is connected stays, unless its certificate is "
        "withdrawn or its rights are gone; no TLS session of before is\nresumed. If anything "
        "cannot "
        "be used, all stays as it was, and the log says why. Other addresses need a restart.\n\n"
        "## Listening on a network\n\n"
        "A listener on an address that can be reached from a network needs TLS, and users "
        "([Who may do what](security.md)),\nrequired client certificates or pre-shared keys. To do "
        "without, its section has to say `plaintext = true`, and\n`insecure = true`:\n\n"
        "```toml\n[mqtt]\nlisten = \"192.168.1.10:1883\"\ninsecure = true\nplaintext = "
        "true\n```\n");
}
