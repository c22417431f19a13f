/* http_resolve.h - names to addresses off the loop.
 *
 * One lookup is one short-lived thread, so that a name server that does not answer holds up nobody
 * but its own name; whoever asks sees to it that a name is asked for once at a time.  Results come
 * back through a mailbox.  Loop-owned, except the lookup function, which runs in the thread.
 */
#ifndef NET_HTTP_RESOLVE_H
#define NET_HTTP_RESOLVE_H

#include "base/status.h"
#include "base/str.h"
#include "net/loop.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define HTTP_ADDRESSES_MAX 16 // of one name; further ones are ignored
#define HTTP_HOST_BYTES_MAX 255

struct http_address {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
};

/* What a lookup came to. */
struct http_resolved {
    uint64_t id; // as given to http_resolve_start
    enum status rc;
    uint32_t n_addresses;
    struct http_address addresses[HTTP_ADDRESSES_MAX]; // [n_addresses]
    char text[128];                                    // why not
};

/**
 * Where addresses come from.  Runs in a thread of its own and may block.
 * `host` is NUL-terminated.  Sets rc, n_addresses, addresses or text.
 */
typedef void (*http_resolve_fn)(const char *host, uint16_t port, struct http_resolved *ret);

struct http_resolver;

/** `on_result` is called in the loop.  Errors: NO_MEMORY, IO. */
MUST_USE enum status http_resolve_create(struct loop *loop, http_resolve_fn lookup,
                                         void (*on_result)(void *user,
                                                           const struct http_resolved *r),
                                         void *user, struct http_resolver **ret_r);
/** Lookups under way end by themselves; their results are dropped. */
void http_resolve_destroy(struct http_resolver *r);
/** Look `host` up.  Errors: NO_MEMORY, IO (no thread), LIMIT (too many lookups, name too long). */
MUST_USE enum status http_resolve_start(struct http_resolver *r, struct str host, uint16_t port,
                                        uint64_t id);
/** getaddrinfo, TCP.  What is used when nothing else is given. */
void http_resolve_system(const char *host, uint16_t port, struct http_resolved *ret);
/** True and one address when `host` is an IPv4 or IPv6 literal.  Does not block. */
bool http_resolve_literal(struct str host, uint16_t port, struct http_address *ret_address);
/** Same host and port. */
bool http_resolve_equal(const struct http_address *a, const struct http_address *b);
/** "10.0.0.7:8000", "[::1]:80"; NUL-terminated, cut to `cap`. */
void http_resolve_format(const struct http_address *a, char *out, size_t cap);

#endif
