/* app, private: one loop over linux/, ended by SIGTERM or SIGINT. */
#ifndef TD_APP_LOOP_H
#define TD_APP_LOOP_H

#include "linux/linux.h"

/* Makes the seam and lets SIGTERM and SIGINT end td_app_loop_wait(); SIGPIPE is ignored. One a
 * process. Prints what went wrong and gives NULL if the kernel refuses. Free with
 * td_app_loop_free(). */
struct td_linux *td_app_loop_new(void);
void td_app_loop_free(struct td_linux *l);
/* Waits as td_linux_wait(); false: a signal asked the program to end. */
bool td_app_loop_wait(struct td_linux *l, td_mono deadline);
/* From now on SIGHUP wakes the wait and asks for a reload, instead of ending the process. */
void td_app_loop_reloads(void);
/* Whether a reload was asked for since the last call. */
bool td_app_loop_reload(void);
/* Whether the end was asked for. */
bool td_app_loop_ended(void);

#endif
