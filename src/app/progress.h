/* progress.h - a progress bar on stderr for anything over a second; silent without a terminal. */
#ifndef APP_PROGRESS_H
#define APP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool terminal;     // stderr is one
    bool shown;        // a line is on the screen
    int last_percent;  // drawn last
    uint64_t begun_ns; // first call
};

/** Nothing drawn yet; looks whether stderr is a terminal. */
void progress_init(struct progress *p);
/** Draw `phase` at `share` (0..1); `user` is the struct progress.  One thread at a time. */
void progress_show(void *user, const char *phase, double share);
/** Wipe the line. */
void progress_finish(struct progress *p);

#endif
