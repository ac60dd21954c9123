/* app, private: whom to call and as whom: the options that `tandem pub` and `tandem sub` share,
 * under the names that mosquitto's tools have made common, and MQTT 5 properties by -D. */
#ifndef TD_APP_DIAL_H
#define TD_APP_DIAL_H

#include "app/cli.h"
#include "app/peer.h"

enum { TD_APP_DIAL_ROWS = 25 };

struct td_app_dial {
    const char *host, *unix_path, *id, *id_prefix, *user, *password, *version;
    const char *will_topic, *will_payload;
    const char *ca, *certificate, *key, *psk, *psk_identity;
    int64_t port, keep_alive_s, session_expiry_s, will_qos;
    bool keep_session, will_retain, debug, quiet, any_name;
    struct td_sys_tls *tls; /* made by td_app_dial_resolve(); NULL: plain */
    /* What -D gave, by packet; `raw` of each is owned by the buffer beside it. */
    struct td_mqtt_props connect_props, publish_props, subscribe_props, will_props;
    struct td_buf connect_raw, publish_raw, subscribe_raw, will_raw;
    struct td_mqtt_client_options options; /* made by td_app_dial_resolve() */
    char made_id[48];
};

void td_app_dial_init(struct td_app_dial *d);
void td_app_dial_fini(struct td_app_dial *d);
/* Fills `rows` with the shared options; gives how many. */
size_t td_app_dial_rows(struct td_app_dial *d, struct td_cli_option rows[TD_APP_DIAL_ROWS]);
/* Takes "-D PACKET PROPERTY VALUE [VALUE]" out of argv, in place. False: printed what is wrong. */
bool td_app_dial_take_props(struct td_app_dial *d, const char *command, int *argc, char **argv);
/* Checks, makes d->options, looks the host up. False: printed what is wrong, *status is set. */
bool td_app_dial_resolve(struct td_app_dial *d, const char *command, struct td_sys *sys,
                         struct td_app_peer_config *config, int *status);
/* "host:port" for messages; static. */
const char *td_app_dial_name(const struct td_app_dial *d);
/* -d: prints one line about an event, to stderr. */
void td_app_dial_debug(const struct td_app_dial *d, const struct td_mqtt_client_event *event,
                       const char *why);

#endif
