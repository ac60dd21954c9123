/* wire/http, private: what head.c and body.c share. */
#ifndef TD_WIRE_HTTP_INSIDE_H
#define TD_WIRE_HTTP_INSIDE_H

#include "wire/http/http.h"

/* Sets the machine to the body that the head announces. */
void td_http_body_begin(struct td_http *h, const struct td_http_head *head);
/* The value of a hex digit, 16 if it is none. */
unsigned td_http_hex(uint8_t c);

#endif
