#include "app/progress.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS 40
#define SHOW_AFTER_NS UINT64_C(500000000)

void progress_init(struct progress *p)
{
    memset(p, 0, sizeof(*p));
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->last_percent = -1;
}

void progress_show(void *user, const char *phase, double share)
{
    struct progress *p = user;
    uint64_t now = kontor_clock_now_ns(&kontor_clock_system);
    int percent = (int)(share * 100);
    int cells = (int)(share * BAR_CELLS);

    if (p->begun_ns == 0) {
        p->begun_ns = now;
    }
    if (!p->terminal || percent == p->last_percent || now - p->begun_ns < SHOW_AFTER_NS) {
        return;
    }
    p->last_percent = percent;
    p->shown = true;
    fprintf(stderr, "\r%-12s [%.*s%*s] %3d %%", phase, cells,
            "########################################", BAR_CELLS - cells, "", percent);
    fflush(stderr);
}

void progress_finish(struct progress *p)
{
    if (p->shown) {
        fprintf(stderr, "\r%*s\r", BAR_CELLS + 24, "");
        p->shown = false;
    }
}
