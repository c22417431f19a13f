#include "devices/probe.h"
#include "base/check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROBE_CALLS_LONGEST 12 // deadlines that one vendor may use up in all
#define NS_PER_MS 1000000ull

/* Shared by watcher and helper; the last of the two to leave frees it. */
struct probe {
    struct probe_request request; // immutable; the library name is copied
    char library[512];            // immutable
    struct reading work;          // helper only
    pthread_mutex_t lock;
    pthread_cond_t changed; // CLOCK_MONOTONIC
    struct {
        struct reading reading;
        const char *call;       // static text; NULL between calls
        uint64_t call_began_ns; // also when the last call ended
        bool finished;          // the helper made its last call
        bool abandoned;         // the watcher left
    } shared;                   // under lock
};

static _Atomic uint32_t n_abandoned[DEVICES_VENDOR_COUNT];

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint32_t probe_abandoned_count(enum devices_vendor vendor)
{
    return atomic_load(&n_abandoned[vendor]);
}

static void probe_free(struct probe *p)
{
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void *helper_main(void *user)
{
    struct probe *p = user;
    bool abandoned;

    p->request.reader(p);
    pthread_mutex_lock(&p->lock);
    p->shared.reading = p->work;
    p->shared.finished = true;
    abandoned = p->shared.abandoned;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (abandoned) {
        atomic_fetch_sub(&n_abandoned[p->request.vendor], 1);
        probe_free(p);
    }
    return NULL;
}

static struct probe *probe_make(const struct probe_request *request)
{
    struct probe *p = calloc(1, sizeof(*p));
    pthread_condattr_t attr;

    CHECK(p != NULL);
    p->request = *request;
    if (request->library != NULL) {
        snprintf(p->library, sizeof(p->library), "%s", request->library);
        p->request.library = p->library;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &attr);
    pthread_condattr_destroy(&attr);
    p->shared.call_began_ns = now_ns();
    return p;
}

/* Signals belong to the program's own threads, not to a vendor's library. */
static bool start_helper(struct probe *p)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    failed = pthread_create(&thread, &attr, helper_main, p);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

/* Lock held.  True when the helper finished, false when a deadline passed. */
static bool wait_for_helper(struct probe *p)
{
    const uint64_t call_ns = p->request.call_timeout_ms * NS_PER_MS;
    const uint64_t last_ns = now_ns() + PROBE_CALLS_LONGEST * call_ns;

    while (!p->shared.finished) {
        uint64_t until_ns = p->shared.call_began_ns + call_ns;
        struct timespec until;

        if (until_ns > last_ns) {
            until_ns = last_ns;
        }
        if (now_ns() >= until_ns) {
            return false;
        }
        until.tv_sec = (time_t)(until_ns / 1000000000ull);
        until.tv_nsec = (long)(until_ns % 1000000000ull);
        pthread_cond_timedwait(&p->changed, &p->lock, &until);
    }
    return true;
}

static void report_hang(struct probe *p, struct reading *ret)
{
    const char *call = p->shared.call != NULL ? p->shared.call : "the library's start";

    *ret = p->shared.reading;
    snprintf(ret->call, sizeof(ret->call), "%s", call);
    snprintf(ret->reason, sizeof(ret->reason), "%s hangs: no answer within %u ms", call,
             p->request.call_timeout_ms);
    ret->state = ret->n_cards > 0 ? DEVICES_FINE : DEVICES_INIT_FAILED;
}

bool probe_run(const struct probe_request *request, struct reading *ret)
{
    struct probe *p = probe_make(request);
    bool finished;

    if (!start_helper(p)) {
        memset(ret, 0, sizeof(*ret));
        ret->state = DEVICES_INIT_FAILED;
        snprintf(ret->reason, sizeof(ret->reason), "no thread could be started");
        probe_free(p);
        return false;
    }
    pthread_mutex_lock(&p->lock);
    finished = wait_for_helper(p);
    if (finished) {
        *ret = p->shared.reading;
    } else {
        report_hang(p, ret);
        p->shared.abandoned = true;
        atomic_fetch_add(&n_abandoned[p->request.vendor], 1);
    }
    pthread_mutex_unlock(&p->lock);
    if (finished) {
        probe_free(p);
    }
    return !finished;
}

struct reading *probe_work(struct probe *p)
{
    return &p->work;
}

void probe_publish(struct probe *p)
{
    pthread_mutex_lock(&p->lock);
    p->shared.reading = p->work;
    pthread_mutex_unlock(&p->lock);
}

bool probe_enter(struct probe *p, const char *call)
{
    bool go_on;

    pthread_mutex_lock(&p->lock);
    go_on = !p->shared.abandoned;
    p->shared.call = call;
    p->shared.call_began_ns = now_ns();
    pthread_mutex_unlock(&p->lock);
    return go_on;
}

int probe_leave(struct probe *p, int rc)
{
    bool go_on;

    pthread_mutex_lock(&p->lock);
    go_on = !p->shared.abandoned;
    p->shared.call = NULL;
    p->shared.call_began_ns = now_ns();
    pthread_mutex_unlock(&p->lock);
    return go_on ? rc : PROBE_ABANDONED;
}

void probe_failed(struct probe *p, const char *call, int rc, const char *meaning)
{
    struct reading *w = &p->work;

    w->state = DEVICES_INIT_FAILED;
    snprintf(w->call, sizeof(w->call), "%s", call);
    snprintf(w->reason, sizeof(w->reason), "%s: %s (%d)", call, meaning, rc);
}

/* Never closed again: vendor libraries start threads and register destructors that do not survive
 * being unmapped.  A later load finds the same handle. */
static void *open_one(struct probe *p, const char *place)
{
    void *handle;

    if (!probe_enter(p, "dlopen")) {
        return NULL;
    }
    handle = dlopen(place, RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();

        snprintf(p->work.reason, sizeof(p->work.reason), "%s", why != NULL ? why : place);
    }
    return probe_leave(p, 0) == 0 ? handle : NULL;
}

static void *open_library(struct probe *p, const char *const *places, size_t n_places)
{
    char first_reason[DEVICES_TEXT_MAX] = "";

    if (p->request.library != NULL) {
        places = &p->request.library;
        n_places = 1;
    }
    for (size_t i = 0; i < n_places; i++) {
        void *handle = places[i][0] == '\0' ? NULL : open_one(p, places[i]);

        if (handle != NULL) {
            snprintf(p->work.library, sizeof(p->work.library), "%s", places[i]);
            p->work.reason[0] = '\0';
            return handle;
        }
        if (i == 0) {
            memcpy(first_reason, p->work.reason, sizeof(first_reason));
        }
    }
    memcpy(p->work.reason, first_reason, sizeof(first_reason)); // the usual name explains best
    return NULL;
}

static void note_missing(struct reading *w, const char *name)
{
    size_t n = strnlen(w->missing, sizeof(w->missing) - 1);

    if (n + strlen(name) + 2 < sizeof(w->missing)) {
        snprintf(w->missing + n, sizeof(w->missing) - n, "%s%s", n > 0 ? " " : "", name);
    }
}

bool probe_load(struct probe *p, const char *const *places, size_t n_places,
                const struct probe_symbol *symbols, size_t n_symbols, void *api)
{
    void *handle = open_library(p, places, n_places);
    const char *needed = NULL;

    if (handle == NULL) {
        p->work.state = DEVICES_NO_LIBRARY;
        return false;
    }
    for (size_t i = 0; i < n_symbols; i++) {
        void *address = dlsym(handle, symbols[i].name);

        memcpy((char *)api + symbols[i].offset, &address, sizeof(address));
        if (address == NULL) {
            note_missing(&p->work, symbols[i].name);
        }
        if (address == NULL && symbols[i].required && needed == NULL) {
            needed = symbols[i].name;
        }
    }
    if (needed != NULL) {
        p->work.state = DEVICES_INIT_FAILED;
        snprintf(p->work.call, sizeof(p->work.call), "%s", needed);
        snprintf(p->work.reason, sizeof(p->work.reason), "driver too old: %s lacks %s",
                 p->work.library, needed);
        return false;
    }
    return true;
}
