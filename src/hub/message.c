/* hub: messages. A publish borrows its bytes from the read buffer; most messages are written to
 * their subscribers before the turn ends and are never copied. Who must hold one longer asks for
 * a reference, and the first to ask makes the one copy that all share. */
#include "hub/hub.h"

#include <stdlib.h>

static struct td_message *keep(const struct td_message *m)
{
    struct td_message *k = td_alloc(sizeof *k + m->topic.n + m->payload.n + m->props.n);
    uint8_t *at = (uint8_t *)(k + 1);
    *k = *m;
    k->topic.p = at;
    at = td_put_bytes(at, m->topic);
    k->payload.p = at;
    at = td_put_bytes(at, m->payload);
    k->props.p = at;
    (void)td_put_bytes(at, m->props);
    k->kept = true;
    k->refs = 1;
    k->copy = NULL;
    return k;
}

struct td_message *td_message_ref(struct td_message *m)
{
    if (!m->kept) {
        if (m->copy == NULL) {
            m->copy = keep(m); /* this first reference is the maker's own */
        }
        m = m->copy;
    }
    m->refs++;
    return m;
}

void td_message_unref(struct td_message *m)
{
    td_assert(m->kept && m->refs > 0);
    if (--m->refs == 0) {
        free(m);
    }
}

void td_message_done(struct td_message *m)
{
    if (m->copy != NULL) {
        td_message_unref(m->copy);
        m->copy = NULL;
    }
}

size_t td_message_bytes(const struct td_message *m)
{
    return sizeof *m + m->topic.n + m->payload.n + m->props.n;
}
