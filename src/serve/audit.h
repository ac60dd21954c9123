/* serve/audit: who came, who was refused, who changed what: append-only records in the store, each
 * with the SHA-256 of the one before, so that no byte of one can be changed and none taken out
 * without its being found. A chain does not help against who can write the whole anew: keep a copy
 * of its end elsewhere (`tandem audit verify` prints it).
 *
 * A record is a line of JSON. What comes in floods is folded: of one action, result and principal
 * the first is written at once, those of the next 10 s are one record with their count. */
#ifndef TD_SERVE_AUDIT_H
#define TD_SERVE_AUDIT_H

#include "serve/serve.h"
#include "store/store.h"

/* What is recorded: name in the records, and when. */
#define TD_AUDITS(A)                                                                               \
    A(START, start, "the hub has started; object: its version")                                    \
    A(STOP, stop, "the hub ends")                                                                  \
    A(LOGIN, login, "a client came; object: its client id")                                        \
    A(REQUEST, request, "a request to the API was refused for want of credentials")                \
    A(PUBLISH, publish,                                                                            \
      "a message by the API, or one that its client had no right to; object: "                     \
      "the topic")                                                                                 \
    A(SUBSCRIBE, subscribe, "a subscription that its client had no right to; object: the filter")  \
    A(CLOSE, close, "a client's connection was closed by the API; object: its client id")          \
    A(ERASE, erase, "retained messages were deleted by the API; object: the filter")               \
    A(REVOKE, revoke, "a session ended with its principal; object: its client id")

enum td_audit_action {
#define A(NAME, name, text) TD_AUDIT_##NAME,
    TD_AUDITS(A)
#undef A
        TD_AUDIT_COUNT
};

struct td_audit;

/* Goes on behind the last record of the store. Keeps `records_max`, the oldest go. `parts` is
 * borrowed for life. Call while the store is starting. */
enum td_err td_audit_new(struct td_parts *parts, uint32_t records_max, struct td_audit **out,
                         struct td_buf *why);
void td_audit_free(struct td_audit *audit);

struct td_audit_event {
    enum td_audit_action action;
    bool refused;
    td_slice principal; /* empty: nobody known */
    td_slice object;    /* cut to 256 bytes */
    int stream;         /* the connection it came by; -1: none, then from where: */
    td_slice from;
};

/* Notes it, on any loop; it is stored when loop 0's turn ends. */
void td_audit_note(struct td_parts *parts, const struct td_audit_event *event);
/* Stores what was noted, and folds that are due. */
void td_audit_turn(struct td_audit *audit, td_mono now);
td_mono td_audit_deadline(const struct td_audit *audit);
/* The last records, newest last, as lines of JSON; at most `max` of the few that are at hand. */
size_t td_audit_last(const struct td_audit *audit, td_slice *out, size_t max);

#endif
