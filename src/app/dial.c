/* app: whom to call and as whom. Options, properties, and the host's addresses. */
#include "app/dial.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "linux/linux.h"

enum { RAW_MAX = 64 * 1024 };

void td_app_dial_init(struct td_app_dial *d)
{
    *d = (struct td_app_dial){
        .host = "127.0.0.1",
        .keep_alive_s = 60,
        .session_expiry_s = -1,
        .version = "5",
    };
    td_buf_init(&d->connect_raw, RAW_MAX);
    td_buf_init(&d->publish_raw, RAW_MAX);
    td_buf_init(&d->subscribe_raw, RAW_MAX);
    td_buf_init(&d->will_raw, RAW_MAX);
}

void td_app_dial_fini(struct td_app_dial *d)
{
    td_buf_fini(&d->connect_raw);
    td_buf_fini(&d->publish_raw);
    td_buf_fini(&d->subscribe_raw);
    td_buf_fini(&d->will_raw);
    td_linux_tls_context_free(d->tls);
}

size_t td_app_dial_rows(struct td_app_dial *d, struct td_cli_option rows[TD_APP_DIAL_ROWS])
{
    const struct td_cli_option all[] = {
        {"--host", 'h', TD_CLI_TEXT, &d->host, "HOST", "whom to call [127.0.0.1]", 0, 0},
        {"--port", 'p', TD_CLI_NUMBER, &d->port, "PORT", "its port [1883; with TLS 8883]", 1,
         65535},
        {"--unix", 0, TD_CLI_TEXT, &d->unix_path, "PATH", "a unix socket instead", 0, 0},
        {"--cafile", 0, TD_CLI_TEXT, &d->ca, "FILE", "TLS: who may vouch for the server, PEM", 0,
         0},
        {"--cert", 0, TD_CLI_TEXT, &d->certificate, "FILE", "TLS: our certificate, PEM", 0, 0},
        {"--key", 0, TD_CLI_TEXT, &d->key, "FILE", "TLS: its private key [in the same file]", 0, 0},
        {"--psk", 0, TD_CLI_TEXT, &d->psk, "HEX", "TLS: a key that the server has too", 0, 0},
        {"--psk-identity", 0, TD_CLI_TEXT, &d->psk_identity, "NAME", "TLS: the key's name", 0, 0},
        {"--insecure", 0, TD_CLI_FLAG, &d->any_name, NULL,
         "TLS: the server's certificate may be for another name", 0, 0},
        {"--id", 'i', TD_CLI_TEXT, &d->id, "ID", "client id [a new one each time]", 0, 0},
        {"--id-prefix", 'I', TD_CLI_TEXT, &d->id_prefix, "TEXT", "begin the new id with this", 0,
         0},
        {"--username", 'u', TD_CLI_TEXT, &d->user, "NAME", "user name", 0, 0},
        {"--pw", 'P', TD_CLI_TEXT, &d->password, "TEXT", "password", 0, 0},
        {"--keepalive", 'k', TD_CLI_NUMBER, &d->keep_alive_s, "S", "keep alive [60]", 0, 65535},
        {"--protocol-version", 'V', TD_CLI_TEXT, &d->version, "V", "5, 311 or 31 [5]", 0, 0},
        {"--disable-clean-session", 'c', TD_CLI_FLAG, &d->keep_session, NULL,
         "keep the session (needs -i)", 0, 0},
        {"--session-expiry-interval", 'x', TD_CLI_NUMBER, &d->session_expiry_s, "S",
         "how long it is kept (5 only)", 0, UINT32_MAX},
        {"--will-topic", 0, TD_CLI_TEXT, &d->will_topic, "TOPIC", "topic of the will", 0, 0},
        {"--will-payload", 0, TD_CLI_TEXT, &d->will_payload, "TEXT", "what it says", 0, 0},
        {"--will-qos", 0, TD_CLI_NUMBER, &d->will_qos, "QOS", "its QoS [0]", 0, 2},
        {"--will-retain", 0, TD_CLI_FLAG, &d->will_retain, NULL, "it is retained", 0, 0},
        {"--debug", 'd', TD_CLI_FLAG, &d->debug, NULL, "say what happens, on stderr", 0, 0},
        {"--quiet", 0, TD_CLI_FLAG, &d->quiet, NULL, "no messages about errors", 0, 0},
    };
    _Static_assert(TD_COUNT(all) <= TD_APP_DIAL_ROWS, "the caller's array has room");
    memcpy(rows, all, sizeof all);
    return TD_COUNT(all);
}

/* ---- properties ---- */

enum kind { BOOL, U16, U32, VAR, TEXT, PAIR };

static const struct property {
    const char *name;
    enum td_mqtt_prop id;
    enum kind kind;
    size_t member; /* offset in struct td_mqtt_props */
} properties[] = {
#define ROW(name, id, kind, member)                                                                \
    {                                                                                              \
        name, TD_MQTT_PROP_##id, kind, offsetof(struct td_mqtt_props, member)                      \
    }
    ROW("payload-format-indicator", PAYLOAD_FORMAT, BOOL, payload_format),
    ROW("message-expiry-interval", MESSAGE_EXPIRY, U32, message_expiry_s),
    ROW("content-type", CONTENT_TYPE, TEXT, content_type),
    ROW("response-topic", RESPONSE_TOPIC, TEXT, response_topic),
    ROW("correlation-data", CORRELATION_DATA, TEXT, correlation_data),
    ROW("subscription-identifier", SUBSCRIPTION_ID, VAR, subscription_id),
    ROW("session-expiry-interval", SESSION_EXPIRY, U32, session_expiry_s),
    ROW("authentication-method", AUTH_METHOD, TEXT, auth_method),
    ROW("authentication-data", AUTH_DATA, TEXT, auth_data),
    ROW("request-problem-information", REQUEST_PROBLEM, BOOL, request_problem),
    ROW("will-delay-interval", WILL_DELAY, U32, will_delay_s),
    ROW("request-response-information", REQUEST_RESPONSE, BOOL, request_response),
    ROW("receive-maximum", RECEIVE_MAXIMUM, U16, receive_maximum),
    ROW("topic-alias-maximum", TOPIC_ALIAS_MAXIMUM, U16, topic_alias_maximum),
    ROW("topic-alias", TOPIC_ALIAS, U16, topic_alias),
    ROW("user-property", USER_PROPERTY, PAIR, raw),
    ROW("maximum-packet-size", MAXIMUM_PACKET_SIZE, U32, maximum_packet_size),
#undef ROW
};

struct target {
    const char *packet;
    struct td_mqtt_props *props;
    struct td_buf *raw;
};

static bool number_of(const char *text, uint64_t most, uint32_t *out)
{
    uint64_t v = 0;
    for (; *text >= '0' && *text <= '9' && v <= most; text++) {
        v = v * 10 + (uint64_t)(*text - '0');
    }
    *out = (uint32_t)v;
    return *text == '\0' && v <= most;
}

/* Puts one value into its member. NULL, or what is wrong with it. */
static const char *prop_set(const struct target *t, const struct property *property,
                            const char *value, const char *second)
{
    static const uint64_t most[] = {
        [BOOL] = 1, [U16] = UINT16_MAX, [U32] = UINT32_MAX, [VAR] = TD_MQTT_REMAINING_MAX};
    enum kind kind = property->kind;
    uint8_t *at = (uint8_t *)t->props + property->member;
    td_slice text = td_slice_of(value), more = td_slice_of(second == NULL ? "" : second);
    uint32_t number = 0;
    if (text.n > TD_MQTT_STRING_MAX || more.n > TD_MQTT_STRING_MAX) {
        return "it is longer than 65535 bytes";
    }
    if (kind <= VAR && !number_of(value, most[kind], &number)) {
        return "it is not a number in this property's range";
    }
    switch (kind) {
    case BOOL:
        *at = (uint8_t)number;
        break;
    case U16:
        memcpy(at, &(uint16_t){(uint16_t)number}, sizeof(uint16_t));
        break;
    case U32:
    case VAR:
        memcpy(at, &number, sizeof number);
        break;
    case TEXT:
        memcpy(at, &text, sizeof text);
        break;
    case PAIR:
        if (td_buf_reserve(t->raw, td_mqtt_user_size(text, more)) != TD_OK) {
            return "all user properties together are longer than 64 KB";
        }
        (void)td_mqtt_user_put(t->raw->p + t->raw->n, text, more);
        t->raw->n += td_mqtt_user_size(text, more);
        t->props->raw = td_buf_slice(t->raw);
        break;
    }
    t->props->has |= UINT64_C(1) << property->id;
    return NULL;
}

static const struct property *property_find(const char *name)
{
    for (size_t i = 0; i < TD_COUNT(properties); i++) {
        if (strcmp(properties[i].name, name) == 0) {
            return &properties[i];
        }
    }
    return NULL;
}

/* What stands behind one -D; gives the words taken, 0: printed what is wrong. */
static int prop_take(struct td_app_dial *d, const char *command, int left, char **words)
{
    const struct target targets[] = {
        {"connect", &d->connect_props, &d->connect_raw},
        {"publish", &d->publish_props, &d->publish_raw},
        {"subscribe", &d->subscribe_props, &d->subscribe_raw},
        {"will", &d->will_props, &d->will_raw},
    };
    const struct property *property = left < 3 ? NULL : property_find(words[1]);
    if (property == NULL) {
        (void)fprintf(stderr,
                      "tandem %s: -D %s is not a property; say -D PACKET PROPERTY VALUE, as in "
                      "-D publish content-type text/plain\n",
                      command, left < 2 ? "" : words[1]);
        return 0;
    }
    int taken = property->id == TD_MQTT_PROP_USER_PROPERTY ? 4 : 3;
    for (size_t i = 0; i < TD_COUNT(targets); i++) {
        if (strcmp(targets[i].packet, words[0]) == 0 && left >= taken) {
            const char *wrong =
                prop_set(&targets[i], property, words[2], taken == 4 ? words[3] : NULL);
            if (wrong == NULL) {
                return taken;
            }
            (void)fprintf(stderr, "tandem %s: -D %s %s: '%s' will not do, %s\n", command, words[0],
                          words[1], words[2], wrong);
            return 0;
        }
    }
    (void)fprintf(stderr,
                  "tandem %s: -D %s %s: the packet is connect, publish, subscribe or will, and a "
                  "user-property has a name and a value\n",
                  command, words[0], words[1]);
    return 0;
}

bool td_app_dial_take_props(struct td_app_dial *d, const char *command, int *argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "-D") != 0 && strcmp(argv[i], "--property") != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        int taken = prop_take(d, command, *argc - i - 1, argv + i + 1);
        if (taken == 0) {
            return false;
        }
        i += taken;
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

/* ---- the host's addresses ---- */

static void address_add(struct td_app_peer_config *config, const struct addrinfo *a,
                        const char *host, const char *port)
{
    char *out = config->addresses[config->address_count++];
    bool six = a->ai_family == AF_INET6;
    (void)snprintf(out, sizeof config->addresses[0], "%s%s%s:%s", six ? "[" : "", host,
                   six ? "]" : "", port);
}

/* IPv4 first: who listens on 127.0.0.1 only is not called at ::1 in vain. */
static bool look_up(const struct td_app_dial *d, struct td_app_peer_config *config)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
    (void)snprintf(port, sizeof port, "%d", (int)d->port);
    if (getaddrinfo(d->host, port, &hints, &all) != 0) {
        return false;
    }
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t f = 0; f < TD_COUNT(families); f++) {
        for (const struct addrinfo *a = all; a != NULL; a = a->ai_next) {
            char host[48];
            if (a->ai_family == families[f] && config->address_count < TD_APP_PEER_ADDRESSES &&
                getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, NULL, 0,
                            NI_NUMERICHOST) == 0) {
                address_add(config, a, host, port);
            }
        }
    }
    freeaddrinfo(all);
    return config->address_count > 0;
}

const char *td_app_dial_name(const struct td_app_dial *d)
{
    static char name[300];
    if (d->unix_path != NULL) {
        (void)snprintf(name, sizeof name, "%s", d->unix_path);
    } else {
        (void)snprintf(name, sizeof name, "%s port %d", d->host, (int)d->port);
    }
    return name;
}

/* ---- the options of the client ---- */

static uint8_t version_of(const char *text)
{
    static const struct {
        const char *text;
        uint8_t version;
    } names[] = {
        {"5", TD_MQTT_V5},          {"mqttv5", TD_MQTT_V5}, {"311", TD_MQTT_V311},
        {"mqttv311", TD_MQTT_V311}, {"31", TD_MQTT_V31},    {"mqttv31", TD_MQTT_V31},
    };
    for (size_t i = 0; i < TD_COUNT(names); i++) {
        if (strcmp(names[i].text, text) == 0) {
            return names[i].version;
        }
    }
    return 0;
}

static bool complain(const char *command, int *status, const char *what)
{
    (void)fprintf(stderr, "tandem %s: %s\n", command, what);
    *status = TD_CLI_USAGE;
    return false;
}

static void id_make(struct td_app_dial *d, struct td_sys *sys)
{
    uint64_t random;
    sys->random(sys, &random, sizeof random);
    const char *prefix = d->id_prefix == NULL ? "tandem-" : d->id_prefix;
    (void)snprintf(d->made_id, sizeof d->made_id, "%.24s%012llx", prefix,
                   (unsigned long long)(random & UINT64_C(0xFFFFFFFFFFFF)));
}

static void connect_fill(struct td_app_dial *d)
{
    struct td_mqtt_connect *k = &d->options.connect;
    *k = (struct td_mqtt_connect){
        .client_id = td_slice_of(d->id == NULL ? d->made_id : d->id),
        .keep_alive_s = (uint16_t)d->keep_alive_s,
        .clean_start = !d->keep_session,
        .has_user = d->user != NULL,
        .has_password = d->password != NULL,
        .has_will = d->will_topic != NULL,
        .will_qos = (uint8_t)d->will_qos,
        .will_retain = d->will_retain,
        .will_props = d->will_props,
    };
    k->user = td_slice_of(d->user == NULL ? "" : d->user);
    k->password = td_slice_of(d->password == NULL ? "" : d->password);
    k->will_topic = td_slice_of(d->will_topic == NULL ? "" : d->will_topic);
    k->will_payload = td_slice_of(d->will_payload == NULL ? "" : d->will_payload);
    d->options.props = d->connect_props;
    if (d->session_expiry_s >= 0) {
        d->options.props.has |= TD_MQTT_HAS(SESSION_EXPIRY);
        d->options.props.session_expiry_s = (uint32_t)d->session_expiry_s;
    } else if (d->keep_session && !td_mqtt_has(&d->connect_props, TD_MQTT_PROP_SESSION_EXPIRY)) {
        d->options.props.has |= TD_MQTT_HAS(SESSION_EXPIRY);
        d->options.props.session_expiry_s = UINT32_MAX; /* as -c means in 3.1.1: for good */
    }
}

/* True: plain, or d->tls is made; false: printed what is wrong. */
static bool secure(struct td_app_dial *d, const char *command, int *status)
{
    char psk[512] = "";
    struct td_buf why;
    if ((d->psk != NULL) != (d->psk_identity != NULL)) {
        return complain(command, status, "--psk and --psk-identity go together");
    }
    if (d->key != NULL && d->certificate == NULL) {
        return complain(command, status, "--key is the key of a certificate: name it with --cert");
    }
    if (d->ca == NULL && d->certificate == NULL && d->psk == NULL) {
        return true;
    }
    if (d->psk != NULL &&
        snprintf(psk, sizeof psk, "%s:%s", d->psk_identity, d->psk) >= (int)sizeof psk) {
        return complain(command, status, "--psk: a key has 16 to 64 bytes, in hex");
    }
    struct td_linux_tls_config tls = {.dials = true,
                                      .ca = d->ca,
                                      .certificate = d->certificate,
                                      .key = d->key,
                                      .psk = d->psk == NULL ? NULL : psk};
    td_buf_init(&why, 4096);
    bool fine = td_linux_tls_context_new(&tls, &d->tls, &why) == TD_OK;
    if (!fine) {
        (void)fprintf(stderr, "tandem %s: %.*s\n", command, (int)why.n, (const char *)why.p);
        *status = TD_CLI_FAILED;
    }
    td_buf_fini(&why);
    return fine;
}

bool td_app_dial_resolve(struct td_app_dial *d, const char *command, struct td_sys *sys,
                         struct td_app_peer_config *config, int *status)
{
    d->options.version = version_of(d->version);
    if (d->options.version == 0) {
        return complain(command, status, "-V: there are MQTT versions 5, 311 and 31");
    }
    if (d->keep_session && d->id == NULL) {
        return complain(command, status, "-c keeps a session by its client id: name one with -i");
    }
    if (d->will_topic != NULL && !td_mqtt_topic_valid(td_slice_of(d->will_topic))) {
        return complain(command, status, "--will-topic: a topic name has no + and no #");
    }
    if (d->password != NULL && d->user == NULL && d->options.version != TD_MQTT_V5) {
        return complain(command, status, "-P without -u needs MQTT 5 (-V 5)");
    }
    if (!secure(d, command, status)) {
        return false;
    }
    config->tls = d->tls;
    config->tls_name = d->any_name || d->psk != NULL ? NULL : d->host;
    d->port = d->port != 0 ? d->port : d->tls != NULL ? 8883 : 1883;
    id_make(d, sys);
    connect_fill(d);
    config->mqtt = &d->options;
    if (d->unix_path != NULL) {
        config->address_count = 1;
        (void)snprintf(config->addresses[0], sizeof config->addresses[0], "unix:%s", d->unix_path);
        return true;
    }
    if (!look_up(d, config)) {
        (void)fprintf(stderr, "tandem %s: there is no host '%s'; check -h\n", command, d->host);
        *status = TD_CLI_FAILED;
        return false;
    }
    return true;
}

/* ---- -d ---- */

void td_app_dial_debug(const struct td_app_dial *d, const struct td_mqtt_client_event *event,
                       const char *why)
{
    static const char *const words[] = {
        [TD_MQTT_EVENT_CONNECTED] = "connected",   [TD_MQTT_EVENT_REFUSED] = "refused",
        [TD_MQTT_EVENT_MESSAGE] = "message",       [TD_MQTT_EVENT_PUBLISHED] = "published",
        [TD_MQTT_EVENT_SUBSCRIBED] = "subscribed", [TD_MQTT_EVENT_UNSUBSCRIBED] = "unsubscribed",
        [TD_MQTT_EVENT_CLOSED] = "closed",
    };
    if (!d->debug) {
        return;
    }
    if (event == NULL) {
        (void)fprintf(stderr, "gone: %s\n", why);
    } else {
        (void)fprintf(stderr, "%s id=%u reason=0x%02x (%s)\n", words[event->what], event->id,
                      event->reason, td_mqtt_reason_text(event->reason));
    }
}
