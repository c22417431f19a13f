/* tls.h - TLS settings of a listener and of a client.
 *
 * TLS 1.2 and 1.3 through OpenSSL 3.  Everything loaded is immutable; a reload puts a new context
 * in the place of the old one, which lives on in the connections that use it.  Any thread.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/status.h"

#include <stdbool.h>

struct tls_server; // certificate and key of a listener
struct tls_client; // whom a client trusts, and who it is

struct tls_server_options {
    const char *certificate_file; // PEM, chain included
    const char *key_file;         // PEM; NULL: in certificate_file
    const char *client_ca_file;   // PEM: clients must show a certificate signed by one of these;
                                  // NULL: they are not asked
};

struct tls_client_options {
    const char *ca_file;          // PEM; NULL: the system's authorities
    const char *certificate_file; // PEM, of this client; NULL: none
    const char *key_file;         // NULL: in certificate_file
    const char *server_name;      // name to expect instead of the URL's host; NULL: that host
    bool insecure;                // accept any certificate; warned about at start
};

/** Errors: INVALID (unreadable, key does not match, expired: the text says which file and why),
 *  NO_MEMORY. */
MUST_USE enum status tls_server_create(const struct tls_server_options *options,
                                       struct tls_server **ret_tls, struct error *err);
/**
 * Load the files again when they changed; keeps the old ones when they cannot be used.
 * Connections that exist go on with the old ones.  One state of the files is judged once: an error
 * is returned once, then OK and not changed until the files change again.
 * Errors as tls_server_create.
 */
MUST_USE enum status tls_server_refresh(struct tls_server *tls, bool *ret_changed,
                                        struct error *err);
/** After the last connection may begin; those that exist stay. */
void tls_server_destroy(struct tls_server *tls);
/** Errors: INVALID (which file, why), NO_MEMORY. */
MUST_USE enum status tls_client_create(const struct tls_client_options *options,
                                       struct tls_client **ret_tls, struct error *err);
/** After the last origin that uses it has ended. */
void tls_client_destroy(struct tls_client *tls);

#endif
