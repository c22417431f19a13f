/* continuation_internal.h - a stream that broke off goes on at another server.
 *
 * Only for one plain chat answer (n = 1, no tools, no reasoning so far), at servers that declare it
 * (`continues`) and have proved it to the probe.  The next server gets the request with what was
 * said so far as the last, unfinished message; its events go to the client under the id, time and
 * model of the first.  The promise is: no repeated text.
 * Loop-owned; lives in the call's arena, but for the text.
 */
#ifndef GATEWAY_CONTINUATION_INTERNAL_H
#define GATEWAY_CONTINUATION_INTERNAL_H

#include "gateway/attempts_internal.h"

#define CONTINUATION_BYTES_MAX 262144 // of text that can be continued

struct continuation {
    struct buf said;    // as it stands between JSON quotes
    struct str id;      // of the first events, as JSON; empty: none came
    struct str created; // the same
    struct str model;
    bool possible;
};

/** The stream of this attempt may have to go on elsewhere: remember what is needed for that.  NULL:
 *  it cannot (then nothing is kept). */
struct continuation *continuation_begin(struct attempt *a);
/** An event was relayed. */
void continuation_note(struct continuation *c, struct arena *arena, const struct response_facts *f);
/** The request with what was said so far, into a->pieces.  Errors: NO_MEMORY. */
MUST_USE enum status continuation_pieces(struct attempt *a, const struct continuation *c);
/**
 * The bytes of an event of the next server as the client gets them, in `out`.
 *
 * usage  of the whole answer, for the usage event
 *
 * False: the client gets nothing of it (role chunk, usage that nobody asked for).
 */
bool continuation_rewrite(const struct continuation *c, const struct response_facts *f,
                          const struct chat_usage *usage, bool wants_usage, struct buf *out);
void continuation_end(struct continuation *c);

#endif
