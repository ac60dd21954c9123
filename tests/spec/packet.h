/* spec: packets as words and back.
 *
 *     publish topic=t/a qos=1 id=7 payload=hello alias=3
 *
 * A small codec of its own: it shares no line with src/wire/mqtt, so that an error there cannot
 * excuse itself. What it sends may be as wrong as a case wants; what it receives it takes apart
 * into fields, in the order of the bytes, and says if that cannot be done. */
#ifndef SPEC_PACKET_H
#define SPEC_PACKET_H

#include "base/base.h"

enum { SPEC_FIELDS_MAX = 64, SPEC_FIELD_BYTES_MAX = 1 << 21 };

/* name=value; a word without '=' has no name. */
struct spec_field {
    td_slice name, value;
};

struct spec_fields {
    struct spec_field at[SPEC_FIELDS_MAX];
    size_t count;
    struct td_buf bytes; /* what the slices stand in */
};

void spec_fields_init(struct spec_fields *f);
void spec_fields_fini(struct spec_fields *f);
/* Splits a line at blanks. "..." keeps blanks; \xNN is a byte; a value @N is N times 'x'.
 * False: too many fields, or a quote that does not end. */
bool spec_fields_parse(struct spec_fields *f, td_slice line);
/* Values of repeated names are joined by ','. */
bool spec_fields_add(struct spec_fields *f, const char *name, td_slice value);
/* NULL: there is none. */
const struct spec_field *spec_fields_find(const struct spec_fields *f, const char *name);

/* Writes the packet that the words from index `from` on describe: its type first. False: no such
 * packet or field, said in *why. */
bool spec_packet_encode(const struct spec_fields *words, size_t from, unsigned version,
                        struct td_buf *out, const char **why);

/* Bytes of the packet at the front; 0: not whole yet. */
size_t spec_packet_whole(td_slice in);
/* Takes a whole packet of a server apart: *type is its word, fields what it carries. False: it
 * breaks the layout, said in *why. */
bool spec_packet_decode(td_slice packet, unsigned version, const char **type,
                        struct spec_fields *out, const char **why);

#endif
