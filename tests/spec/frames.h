/* spec: WebSocket around a line (RFC 6455), as a client makes it: one GET, then masked frames.
 * Packets are cut into frames of a few bytes, so none may count on where a frame ends. */
#ifndef SPEC_FRAMES_H
#define SPEC_FRAMES_H

#include "spec/link.h"

/* Puts the request to become a WebSocket into line->wire; names no protocol if that is empty. */
void spec_frames_begin(struct spec_line *line, td_slice protocol);
/* Moves line->out into frames in line->wire. */
void spec_frames_wrap(struct spec_line *line);
/* One frame with any first byte. */
void spec_frames_put(struct spec_line *line, uint8_t first, td_slice payload);
/* Moves what has come of line->raw to line->in. False: nothing that a server may send. */
bool spec_frames_unwrap(struct spec_line *line);

#endif
