/* app, private: how `tandem sub` prints a message: -F with the letters of mosquitto_sub. */
#ifndef TD_APP_FORMAT_H
#define TD_APP_FORMAT_H

#include "base/base.h"
#include "wire/mqtt/mqtt.h"

/* Letters, each with its meaning, for the help. */
extern const char *const td_app_format_help;

/* NULL, or what is wrong with the format. */
const char *td_app_format_check(const char *format);
/* Appends the message as the format says. TD_EFULL: it is too large. */
enum td_err td_app_format(struct td_buf *out, const char *format,
                          const struct td_mqtt_packet *message, td_wall wall);

#endif
