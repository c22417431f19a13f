/* probe.h - a thread that talks to one vendor's library, and a watcher that does not wait for ever.
 *
 * The reader runs in the helper thread and writes to probe_work(); each probe_publish makes a copy
 * that the watcher may take.  When one call takes longer than its deadline the thread is abandoned:
 * it keeps its memory, frees it when the call comes back after all, and makes no further call.
 */
#ifndef DEVICES_PROBE_H
#define DEVICES_PROBE_H

#include "devices/reading.h"

#include <stddef.h>

/* Stand-ins for return codes, outside every vendor's range. */
#define PROBE_MISSING (-99998)   // the library lacks the symbol
#define PROBE_ABANDONED (-99996) // the watcher has given up; make no further call

struct probe;

typedef void (*probe_reader)(struct probe *p);

struct probe_request {
    enum devices_vendor vendor;
    probe_reader reader;
    const char *library; // explicit file, or NULL: the reader's usual places
    uint32_t call_timeout_ms;
};

/**
 * Run a reader to its end or to its first late call.
 *
 * ret      always filled: the end state, or what was published before the hang with state
 *          INIT_FAILED (nothing read yet) or FINE
 * Returns the name of the late call in ret->call and true when it hangs.  Takes at most the call
 * deadline after the last call that came back, and PROBE_CALLS_LONGEST deadlines in all.
 */
MUST_USE bool probe_run(const struct probe_request *request, struct reading *ret);

/** Vendor threads that have not come back. */
uint32_t probe_abandoned_count(enum devices_vendor vendor);

/* For readers, in the helper thread: */

struct probe_symbol {
    const char *name;
    size_t offset; // of the function pointer in the reader's table
    bool required; // without it nothing can be read
};

/** What this reader has found so far. */
struct reading *probe_work(struct probe *p);
/** Let the watcher see it. */
void probe_publish(struct probe *p);

/**
 * Load the explicit library or the first of `places` that loads, and resolve `symbols` into the
 * function pointers of `api`.  On false the work holds state and reason.
 */
MUST_USE bool probe_load(struct probe *p, const char *const *places, size_t n_places,
                         const struct probe_symbol *symbols, size_t n_symbols, void *api);
/** A call begins (the name is static); false when the watcher has given up. */
MUST_USE bool probe_enter(struct probe *p, const char *call);
/** It came back: returns `rc`, or PROBE_ABANDONED. */
int probe_leave(struct probe *p, int rc);
/** State INIT_FAILED, with the call's name and "<call>: <meaning> (<rc>)" as reason. */
void probe_failed(struct probe *p, const char *call, int rc, const char *meaning);

#define PROBE_SYMBOL(table, fn, required)                                                          \
    {                                                                                              \
#fn, offsetof(struct table, fn), required                                                  \
    }

/* rc of api->fn args, timed; args in brackets. */
#define PROBE_CALL(p, api, fn, args)                                                               \
    ((api)->fn == NULL        ? PROBE_MISSING                                                      \
     : !probe_enter((p), #fn) ? PROBE_ABANDONED                                                    \
                              : probe_leave((p), (api)->fn args))

#endif
