/* route.h - which member of a pool takes a request.  Pure: load, chance and time are passed in.
 *
 * A preference (session affinity, prefix) chooses by rendezvous hashing, so that a member that goes
 * away moves only its own share; it yields when the preferred member carries more than its bound.
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include "gateway/settings.h"

#include <stdbool.h>
#include <stdint.h>

#define ROUTE_MEMBERS_MAX SETTINGS_UPSTREAMS_MAX
#define ROUTE_NONE UINT32_MAX

/* One member as the choice sees it. */
struct route_member {
    uint64_t key;         // stable identity, for hashing
    uint32_t weight;      // 1..1000
    bool usable;          // up, breaker allows, not tried yet, below its parallel limit
    uint32_t outstanding; // our requests there
    bool load_known;      // fresh numbers of its own
    double waiting;       // requests in its queue
    double kv_use;        // 0..1
};

struct route_request {
    enum settings_balance balance;
    uint64_t affinity; // hash of the session; 0: none
    uint64_t prefix;   // hash of the beginning of the prompt; 0: none
    double chance[2];  // each in [0, 1)
};

/** Index of the chosen member, or ROUTE_NONE.  *ret_reason: static text for the record. */
uint32_t route_pick(const struct route_member *members, uint32_t n_members,
                    const struct route_request *request, const char **ret_reason);

#endif
