/* spec: plays one case, line by line, over a link. README.md says what the lines mean. */
#ifndef SPEC_PLAY_H
#define SPEC_PLAY_H

#include "spec/link.h"

enum spec_outcome { SPEC_PASSED, SPEC_FAILED, SPEC_SKIPPED /* asks for more than the link has */ };

struct spec_step {
    unsigned line; /* in its file */
    td_slice text;
};

/* On failure `said` has the line that did not come true and what came instead. */
enum spec_outcome spec_play(const struct spec_link *link, unsigned version,
                            const struct spec_step *steps, size_t count, struct td_buf *said);

#endif
