/* tls.h - TLS settings of a listener and of a client, and the bytes of one TLS connection.
 *
 * OpenSSL 3 on the descriptor itself.  Contexts are immutable after creation; a reload makes a new
 * one.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/status.h"

#include <stdbool.h>

struct tls_server; // certificate and key of a listener
struct tls_client; // whom a client trusts, and who it is

struct tls_server_options {
    const char *certificate_file; // PEM, chain included
    const char *key_file;         // PEM
};

struct tls_client_options {
    const char *ca_file;          // PEM; NULL: the system's authorities
    const char *certificate_file; // PEM, of this client; NULL: none
    const char *key_file;
    const char *server_name; // name to expect instead of the URL's host; NULL: that host
    bool insecure;           // accept any certificate; warned about at start
};

/** Errors: INVALID (unreadable, key does not match, expired: the text says which file and why). */
MUST_USE enum status tls_server_create(const struct tls_server_options *options,
                                       struct tls_server **ret_tls, struct error *err);
/** Load the files again when they changed; keeps the old ones when they cannot be read.
 *  Connections that exist go on with the old ones.  Errors as tls_server_create. */
MUST_USE enum status tls_server_refresh(struct tls_server *tls, bool *ret_changed,
                                        struct error *err);
void tls_server_destroy(struct tls_server *tls);
/** Errors: INVALID. */
MUST_USE enum status tls_client_create(const struct tls_client_options *options,
                                       struct tls_client **ret_tls, struct error *err);
void tls_client_destroy(struct tls_client *tls);

#endif
