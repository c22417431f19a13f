#include "net/loop.h"
#include "base/check.h"
#include "base/clock.h"

#include <event2/event.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)

struct loop {
    struct event_base *base;
    struct loop_deferred *first; // queued calls, in order
    struct loop_deferred *last;
    bool stopping;
};

enum status loop_create(struct loop **ret_loop, struct error *err)
{
    struct event_config *config = event_config_new();
    struct loop *loop = calloc(1, sizeof(*loop));

    if (config != NULL && loop != NULL) {
        event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        loop->base = event_base_new_with_config(config);
    }
    if (config != NULL) {
        event_config_free(config);
    }
    if (loop == NULL || loop->base == NULL) {
        free(loop);
        return error_set(err, E_IO, "Cannot create an event loop (epoll is needed).");
    }
    *ret_loop = loop;
    return OK;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    event_base_free(loop->base);
    free(loop);
}

/* Calls queued while these run belong to the next batch, which then does not wait for events. */
static void run_deferred(struct loop *loop)
{
    struct loop_deferred *d = loop->first;

    loop->first = NULL;
    loop->last = NULL;
    while (d != NULL) {
        struct loop_deferred *next = d->next;

        d->queued = false;
        d->next = NULL;
        d->run(d->user); // may free d
        d = next;
    }
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    while (!loop->stopping) {
        // With calls already queued only what is ready now is taken, so that they are not delayed.
        const int flags = loop->first != NULL ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE;

        CHECK(event_base_loop(loop->base, flags) >= 0);
        run_deferred(loop);
    }
    loop_settle(loop);
}

void loop_settle(struct loop *loop)
{
    while (loop->first != NULL) {
        run_deferred(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    event_base_loopbreak(loop->base);
}

uint64_t loop_now_ns(const struct loop *loop)
{
    (void)loop;
    return kontor_clock_now_ns(&kontor_clock_system);
}

void loop_defer(struct loop *loop, struct loop_deferred *d)
{
    if (d->queued) {
        return;
    }
    d->queued = true;
    d->next = NULL;
    if (loop->last != NULL) {
        loop->last->next = d;
    } else {
        loop->first = d;
    }
    loop->last = d;
}

static void on_watch(evutil_socket_t fd, short what, void *user)
{
    struct loop_watch *w = user;
    unsigned bits = 0;

    (void)fd;
    bits |= (what & EV_READ) != 0 ? LOOP_READ : 0U;
    bits |= (what & EV_WRITE) != 0 ? LOOP_WRITE : 0U;
    bits |= (what & EV_CLOSED) != 0 ? LOOP_CLOSED : 0U;
    w->on_ready(w->user, bits);
}

static enum status watch(struct loop *loop, struct loop_watch *w, int fd, short flags)
{
    CHECK(w->event == NULL && w->on_ready != NULL);
    w->loop = loop;
    w->event = event_new(loop->base, fd, flags, on_watch, w);
    if (w->event == NULL) {
        return E_NO_MEMORY;
    }
    if (event_add(w->event, NULL) != 0) {
        loop_watch_stop(w);
        return E_IO;
    }
    return OK;
}

enum status loop_watch_start(struct loop *loop, struct loop_watch *w, int fd)
{
    return watch(loop, w, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST);
}

enum status loop_watch_level(struct loop *loop, struct loop_watch *w, int fd)
{
    return watch(loop, w, fd, EV_READ | EV_PERSIST);
}

enum status loop_signal(struct loop *loop, struct loop_watch *w, int signal_number)
{
    return watch(loop, w, signal_number, EV_SIGNAL | EV_PERSIST);
}

void loop_watch_stop(struct loop_watch *w)
{
    if (w->event != NULL) {
        event_free(w->event);
        w->event = NULL;
    }
}

static void arm(struct loop_timer *t, uint64_t now_ns)
{
    // libevent counts in microseconds: round up, so that it never fires early
    const uint64_t wait_ns = 1000 + (t->deadline_ns > now_ns ? t->deadline_ns - now_ns : 0);
    const struct timeval tv = {
        .tv_sec = (time_t)(wait_ns / NS_PER_S),
        .tv_usec = (suseconds_t)(wait_ns % NS_PER_S / 1000),
    };

    t->armed_ns = t->deadline_ns;
    CHECK(event_add(t->event, &tv) == 0);
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
    struct loop_timer *t = user;
    const uint64_t now_ns = loop_now_ns(t->loop);

    (void)fd;
    (void)what;
    t->armed_ns = 0;
    if (t->deadline_ns == 0) {
        return;
    }
    if (t->deadline_ns > now_ns) {
        arm(t, now_ns);
        return;
    }
    t->deadline_ns = 0;
    t->on_due(t->user);
}

void loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t deadline_ns)
{
    t->deadline_ns = deadline_ns;
    if (deadline_ns == 0 || (t->armed_ns != 0 && t->armed_ns <= deadline_ns)) {
        return;
    }
    if (t->event == NULL) {
        t->loop = loop;
        t->event = event_new(loop->base, -1, 0, on_timer, t);
        CHECK(t->event != NULL);
    }
    arm(t, loop_now_ns(loop));
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t->event != NULL) {
        event_free(t->event);
        t->event = NULL;
    }
    t->deadline_ns = 0;
    t->armed_ns = 0;
}
