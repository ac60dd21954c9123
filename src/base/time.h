/* time: UTC as people and machines write it (RFC 3339), without libc's calendar and time zones.
 *
 * Proleptic Gregorian years 1970 to 2261, which is what td_wall holds. */
#ifndef TD_BASE_TIME_H
#define TD_BASE_TIME_H

#include "base/base.h"

enum { TD_TIME_TEXT_BYTES = 24, TD_TIME_HTTP_BYTES = 29 };

/* "2026-11-24T09:00:00.123Z" into out, without a NUL; a time before 1970 is written as 1970. */
void td_time_text(td_wall at, char out[TD_TIME_TEXT_BYTES]);
/* "Tue, 24 Nov 2026 09:00:00 GMT" as HTTP wants it (RFC 9110, 5.6.7), likewise. */
void td_time_http(td_wall at, char out[TD_TIME_HTTP_BYTES]);
/* Reads what a person may give as a time: RFC 3339 ("2026-11-24T09:00:00.5+01:00", seconds may be
 * left out, no zone means UTC), a date alone, milliseconds since 1970 ("1795510800000"), a span
 * before `now` ("-90s", "-15m", "-1h", "-7d"), or "now". TD_ESYNTAX: none of these; TD_ERANGE: a
 * month, hour, ... that does not exist, or a year that does not fit. */
enum td_err td_time_parse(td_slice text, td_wall now, td_wall *out);

#endif
