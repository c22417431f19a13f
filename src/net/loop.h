/* loop.h - one event loop: descriptors, timers, signals, mailboxes, and work put off to the end of
 * a batch.
 *
 * A thin layer over libevent's plain events.  The loop runs batch by batch: all events that are
 * ready, then all deferred calls.  Objects are freed in deferred calls only, so no callback of the
 * same batch can meet a dead object.  Loop-owned: every function is for the loop's own thread.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/mailbox.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct event; // libevent's

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_CLOSED = 4 }; // LOOP_CLOSED: the peer ended its side

/** Errors: IO (no epoll). */
MUST_USE enum status loop_create(struct loop **ret_loop, struct error *err);
/** Every watch and timer must have been stopped before. */
void loop_destroy(struct loop *loop);
/** Run until loop_stop.  Deferred calls of the last batch are still made. */
void loop_run(struct loop *loop);
/** End loop_run after the current batch. */
void loop_stop(struct loop *loop);
/** CLOCK_MONOTONIC in nanoseconds, fresh. */
uint64_t loop_now_ns(const struct loop *loop);

/* A descriptor that is watched.  Storage belongs to the caller; zero-initialise. */
struct loop_watch {
    struct event *event; // owned by the watch, NULL when stopped
    struct loop *loop;
    void (*on_ready)(void *user, unsigned what); // LOOP_* bits
    void *user;
};

/**
 * Watch `fd` edge-triggered for reading, writing and end of input: a callback comes when a state
 * begins, so the owner must read or write until EAGAIN.
 * `on_ready` and `user` must be set.  Errors: NO_MEMORY, IO.
 */
MUST_USE enum status loop_watch_start(struct loop *loop, struct loop_watch *w, int fd);
/** As loop_watch_start, level-triggered and for reading only (listeners, eventfds). */
MUST_USE enum status loop_watch_level(struct loop *loop, struct loop_watch *w, int fd);
void loop_watch_stop(struct loop_watch *w);

/* A deadline.  Moving it later costs nothing: the armed event looks again when it fires. */
struct loop_timer {
    struct event *event; // owned, NULL before the first set
    struct loop *loop;
    uint64_t deadline_ns; // 0: none
    uint64_t armed_ns;    // when the event fires; 0: not armed
    void (*on_due)(void *user);
    void *user;
};

/** Fire once at `deadline_ns` (0: never).  `on_due` and `user` must be set.  CHECKs on no
 * memory. */
void loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t deadline_ns);
void loop_timer_stop(struct loop_timer *t);

/* A call at the end of the current batch (or of the next one when no batch runs). */
struct loop_deferred {
    struct loop_deferred *next;
    bool queued;
    void (*run)(void *user);
    void *user;
};

/** Idempotent while queued.  A deferred call may defer again: that runs after the next batch. */
void loop_defer(struct loop *loop, struct loop_deferred *d);
/** Make all deferred calls now, outside loop_run: for tearing down. */
void loop_settle(struct loop *loop);

/** Call `on_signal` in the loop for each of these signals; one loop per process may do so. */
MUST_USE enum status loop_signal(struct loop *loop, struct loop_watch *w, int signal_number);

#endif
