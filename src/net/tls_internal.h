/* tls_internal.h - contexts as the TLS files see them. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "net/tls.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>

#define TLS_FILES_MAX 3

/* What a file looked like when it was read. */
struct tls_stamp {
    int64_t mtime_ns;
    int64_t bytes;
    uint64_t inode;
};

struct tls_server {
    pthread_mutex_t lock;
    SSL_CTX *context;                       // under lock; a reference
    struct tls_stamp stamps[TLS_FILES_MAX]; // under lock
    char *files[TLS_FILES_MAX];             // owned: certificate, key, client CA; NULL: none
};

struct tls_client {
    SSL_CTX *context;
    char *server_name; // owned, NULL: the URL's host
    bool insecure;
};

/** A context with the rules of this house.  NULL: no memory. */
SSL_CTX *tls_context_create(const SSL_METHOD *method);
/** Certificate chain and its key.  Errors: INVALID. */
MUST_USE enum status tls_context_identify(SSL_CTX *context, const char *certificate_file,
                                          const char *key_file, struct error *err);
/** Authorities of `file`.  Errors: INVALID. */
MUST_USE enum status tls_context_trust(SSL_CTX *context, const char *file, struct error *err);
/** The most telling of OpenSSL's queued reasons; empties the queue.  Static text. */
const char *tls_context_reason(void);
/** OpenSSL's callback: a session that the stream's owner may want to keep.  1: it was taken. */
int tls_stream_on_session(SSL *ssl, SSL_SESSION *session);
/** A reference to the server's current context. */
SSL_CTX *tls_server_context(struct tls_server *tls);

#endif
