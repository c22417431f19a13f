/* script_peer.h - a server made of a raw socket and a list of steps, in a thread of its own.
 *
 * For tests of clients: it answers exactly the bytes it is told, in the pieces it is told, closes
 * where it is told.  A step that cannot be done (the client is gone) ends the script.
 */
#ifndef TESTS_SUPPORT_SCRIPT_PEER_H
#define TESTS_SUPPORT_SCRIPT_PEER_H

#include "base/buf.h"
#include "base/str.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum script_op {
    SCRIPT_END,      // of the list; closes what is open
    SCRIPT_ACCEPT,   // take a connection; the one before stays open until the end
    SCRIPT_READ,     // one request: a head and the body its content-length says
    SCRIPT_SEND,     // `text`
    SCRIPT_DRIP,     // `text`, byte by byte, each in its own packet
    SCRIPT_FLOOD,    // `n` bytes of 'x'
    SCRIPT_FINISH,   // end of output, input stays open
    SCRIPT_CLOSE,    // both
    SCRIPT_RESET,    // close with RST
    SCRIPT_GONE,     // wait until the client has closed
    SCRIPT_SLEEP_MS, // `n`
    SCRIPT_USE,      // go on with connection number `n` (0 is the first)
};

struct script_step {
    enum script_op op;
    const char *text;
    uint32_t n;
};

struct script_peer {
    int fd; // listener
    uint16_t port;
    const struct script_step *steps;
    pthread_t thread;
    int conns[16];
    uint32_t n_conns; // accepted; read it after script_peer_stop
    uint32_t at;      // step that could not be done, or the SCRIPT_END
    struct buf got;   // everything that was read
};

/** Listen on 127.0.0.1 and begin. */
void script_peer_start(struct script_peer *p, const struct script_step *steps);
/** Wait for the end of the script. */
void script_peer_stop(struct script_peer *p);
/** True when every step was done; after script_peer_stop. */
bool script_peer_complete(const struct script_peer *p);
/** A listener on 127.0.0.1, and its port. */
int script_peer_listen(uint16_t *ret_port);
/** A port of 127.0.0.1 where nobody listens. */
uint16_t script_peer_dead_port(void);

#endif
