/* app, private: another program that judges passwords. */
#ifndef TD_APP_JUDGE_H
#define TD_APP_JUDGE_H

#include "base/base.h"

/* "http://ADDRESS:PORT/PATH" */
bool td_app_judge_valid(const char *url);
/* Asks the program at `url` (text with NUL). For a work: takes as long as that program, 3 s at
 * most. */
bool td_app_judge(void *url, td_slice name, td_slice password, td_slice address);

#endif
