/* rig.h - the two ends of a gateway benchmark in one process: an upstream and clients.
 *
 * Both run on epoll, one thread each, so that one monotonic clock times what happens between them.
 * The proxy under test is another process between the two; run.py sums its processor time.
 */
#ifndef BENCH_GATEWAY_RIG_H
#define BENCH_GATEWAY_RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RIG_READ_BYTES 65536

/* What the upstream sends. */
struct rig_answer {
    uint32_t n_events;    // of a streamed answer
    uint32_t interval_us; // between two of them; 0: as fast as the socket takes them
    uint32_t text_bytes;  // of content in one event, or in a whole answer
    bool silent;          // take requests and never answer (cancel of plain requests)
};

/* Counters that both threads see. */
struct rig_shared {
    _Atomic uint64_t n_requests; // whole requests seen by the upstream
    _Atomic uint64_t n_sent;     // events written by the upstream
    _Atomic uint64_t closed_ns;  // when an upstream connection with an open answer was last closed
    _Atomic bool stop;
};

/** CLOCK_MONOTONIC in nanoseconds. */
uint64_t rig_now_ns(void);
/** Prints the message and ends the program with 2. */
_Noreturn void rig_die(const char *what);

/** The decimal number that `text` begins with, blanks skipped; 0 without one. */
uint64_t rig_number(const char *text);

/** Listen on 127.0.0.1:port; the descriptor. */
int rig_upstream_listen(uint16_t port);
/** Serve until shared->stop. */
void rig_upstream_run(int listener, const struct rig_answer *answer, struct rig_shared *shared);

struct rig_client {
    uint16_t port;    // of the proxy
    const char *path; // "/v1/chat/completions"
    const char *key;  // bearer token, or NULL
    uint32_t n_conns;
    uint64_t n_requests; // in all
    uint32_t body_bytes; // of the user's message
    bool stream;
};

/** Closed loop: every connection sends its next request when the last one is answered.  Prints one
 *  line of JSON. */
void rig_client_run(const struct rig_client *client);
/** One request after the other, each dropped when it has arrived at the upstream (and, streamed,
 *  its first event is here); times until the upstream saw the end.  Prints one line of JSON. */
void rig_client_cancel(const struct rig_client *client, struct rig_shared *shared);

#endif
