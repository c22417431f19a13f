/* engine_loader.h - create the engine on a thread of its own while the port is open already.
 *
 * So that a taken port fails before a long load, and probes get 503 `loading` meanwhile.  All
 * functions on the main thread.
 */
#ifndef APP_ENGINE_LOADER_H
#define APP_ENGINE_LOADER_H

#include "app/progress.h"
#include "engine/engine.h"
#include "gateway/gateway.h"

#include <pthread.h>
#include <stdatomic.h>

/* Zeroed before start. */
struct engine_loader {
    const struct engine_config *config; // borrowed until finish
    struct gateway *gateway;            // told of the engine, or of the failure
    struct engine *engine;              // set by the thread, read after it was joined
    struct progress progress;           // the thread's
    pthread_t thread;
    bool runs;
    atomic_bool finished; // the thread writes, main reads after the loop ended
};

/** Show progress in `config`, which is the one given to start. */
void engine_loader_prepare(struct engine_loader *l, struct engine_config *config);
/** Start the thread; gateway_set_engine or gateway_fail follows. */
void engine_loader_start(struct engine_loader *l, struct gateway *gateway);
/** After gateway_run: free the engine.  While a load is still under way the process leaves with
 *  exit code 0 at once: the kernel takes the memory back.  Nothing to do without a start. */
void engine_loader_finish(struct engine_loader *l);

#endif
