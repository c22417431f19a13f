#include "base/check.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum { CERTIFICATE, KEY, CLIENT_CA };

/* Of several protocols a client offers, this one is spoken here. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *user)
{
    static const char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)user;
    for (unsigned at = 0; at < offered_bytes; at += 1U + offered[at]) {
        if (offered_bytes - at >= 9 && memcmp(offered + at, ours, 9) == 0) {
            *ret = offered + at + 1;
            *ret_bytes = 8;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK; // go on without: most clients then speak HTTP/1.1
}

static void read_stamps(const struct tls_server *tls, struct tls_stamp *ret)
{
    for (int i = 0; i < TLS_FILES_MAX; i++) {
        struct stat st;

        memset(&ret[i], 0, sizeof(ret[i]));
        if (tls->files[i] != NULL && stat(tls->files[i], &st) == 0) {
            ret[i] =
                (struct tls_stamp){(int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                                   st.st_size, st.st_ino};
        }
    }
}

static enum status load(const struct tls_server *tls, SSL_CTX **ret, struct error *err)
{
    static const unsigned char id[] = "kontor";
    SSL_CTX *context = tls_context_create(TLS_server_method());
    enum status rc;

    if (context == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for TLS.");
    }
    SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    rc = tls_context_identify(context, tls->files[CERTIFICATE], tls->files[KEY], err);
    if (rc == OK && tls->files[CLIENT_CA] != NULL) {
        rc = tls_context_trust(context, tls->files[CLIENT_CA], err);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(tls->files[CLIENT_CA]));
    }
    ERR_clear_error();
    if (rc != OK) {
        SSL_CTX_free(context);
        return rc;
    }
    *ret = context;
    return OK;
}

static bool copy(char **to, const char *from)
{
    *to = from == NULL ? NULL : strdup(from);
    return from == NULL || *to != NULL;
}

enum status tls_server_create(const struct tls_server_options *options, struct tls_server **ret_tls,
                              struct error *err)
{
    struct tls_server *tls = calloc(1, sizeof(*tls));
    enum status rc;

    if (tls == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for TLS.");
    }
    pthread_mutex_init(&tls->lock, NULL);
    if (!copy(&tls->files[CERTIFICATE], options->certificate_file) ||
        !copy(&tls->files[KEY], options->key_file) ||
        !copy(&tls->files[CLIENT_CA], options->client_ca_file)) {
        tls_server_destroy(tls);
        return error_set(err, E_NO_MEMORY, "No memory for TLS.");
    }
    read_stamps(tls, tls->stamps);
    rc = load(tls, &tls->context, err);
    if (rc != OK) {
        tls_server_destroy(tls);
        return rc;
    }
    *ret_tls = tls;
    return OK;
}

enum status tls_server_refresh(struct tls_server *tls, bool *ret_changed, struct error *err)
{
    struct tls_stamp stamps[TLS_FILES_MAX];
    SSL_CTX *fresh = NULL;
    SSL_CTX *old;
    enum status rc;
    bool same;

    *ret_changed = false;
    read_stamps(tls, stamps);
    pthread_mutex_lock(&tls->lock);
    same = memcmp(stamps, tls->stamps, sizeof(stamps)) == 0;
    memcpy(tls->stamps, stamps, sizeof(stamps));
    pthread_mutex_unlock(&tls->lock);
    if (same) {
        return OK;
    }
    rc = load(tls, &fresh, err);
    if (rc != OK) {
        return rc;
    }
    pthread_mutex_lock(&tls->lock);
    old = tls->context;
    tls->context = fresh;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    *ret_changed = true;
    return OK;
}

SSL_CTX *tls_server_context(struct tls_server *tls)
{
    SSL_CTX *context;

    pthread_mutex_lock(&tls->lock);
    context = tls->context;
    SSL_CTX_up_ref(context);
    pthread_mutex_unlock(&tls->lock);
    return context;
}

void tls_server_destroy(struct tls_server *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_CTX_free(tls->context);
    for (int i = 0; i < TLS_FILES_MAX; i++) {
        free(tls->files[i]);
    }
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}
