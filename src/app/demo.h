/* app, private: the sample town of `tandem serve --demo`. Its devices are processes of their own
 * that speak MQTT to the hub; they die with it. */
#ifndef TD_APP_DEMO_H
#define TD_APP_DEMO_H

#include "base/base.h"

extern const td_slice td_app_town; /* examples/town.td */

/* Starts the devices against the hub's MQTT address. What cannot be started is said on stderr; the
 * hub runs on. */
void td_app_demo_start(const char *mqtt);
/* Says where to look and what to try. */
void td_app_demo_print(const char *mqtt, const char *http);
/* Ends the devices and waits for them. */
void td_app_demo_stop(void);

#endif
