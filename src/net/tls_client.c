#include "net/tls_internal.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static enum status configure(struct tls_client *tls, const struct tls_client_options *o,
                             struct error *err)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    SSL_CTX *context = tls->context;
    enum status rc = OK;

    if (SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1) != 0) {
        return error_set(err, E_NO_MEMORY, "No memory for TLS.");
    }
    // Sessions are kept by the origins, not here.
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, tls_stream_on_session);
    if (!o->insecure) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        if (o->ca_file != NULL) {
            rc = tls_context_trust(context, o->ca_file, err);
        } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
            rc = error_set(err, E_INVALID, "The system's certificate authorities are unusable: %s.",
                           tls_context_reason());
        }
    }
    if (rc == OK && o->certificate_file != NULL) {
        rc = tls_context_identify(context, o->certificate_file, o->key_file, err);
    }
    ERR_clear_error();
    return rc;
}

enum status tls_client_create(const struct tls_client_options *options, struct tls_client **ret_tls,
                              struct error *err)
{
    struct tls_client *tls = calloc(1, sizeof(*tls));
    enum status rc;

    if (tls != NULL) {
        tls->context = tls_context_create(TLS_client_method());
        tls->insecure = options->insecure;
        tls->server_name = options->server_name == NULL ? NULL : strdup(options->server_name);
    }
    if (tls == NULL || tls->context == NULL ||
        (options->server_name != NULL && tls->server_name == NULL)) {
        tls_client_destroy(tls);
        return error_set(err, E_NO_MEMORY, "No memory for TLS.");
    }
    rc = configure(tls, options, err);
    if (rc != OK) {
        tls_client_destroy(tls);
        return rc;
    }
    *ret_tls = tls;
    return OK;
}

void tls_client_destroy(struct tls_client *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_CTX_free(tls->context);
    free(tls->server_name);
    free(tls);
}
