/* What contexts of both sides have in common. */
#include "net/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <unistd.h>

#define READ_AHEAD_BYTES 18432 // a whole record in one read

const char *tls_context_reason(void)
{
    const unsigned long code = ERR_peek_last_error();
    const char *text = code == 0 ? NULL : ERR_reason_error_string(code);

    ERR_clear_error();
    return text == NULL ? "no reason given" : text;
}

/* Without it OpenSSL would ask on the terminal. */
static int no_password(char *buf, int cap, int writing, void *user)
{
    (void)buf;
    (void)cap;
    (void)writing;
    (void)user;
    return -1;
}

SSL_CTX *tls_context_create(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);

    if (context == NULL) {
        ERR_clear_error();
        return NULL;
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    return context;
}

static enum status check_readable(const char *file, const char *what, struct error *err)
{
    if (access(file, R_OK) != 0) {
        return error_set(err, E_INVALID, "Cannot read the %s \"%s\": %s.", what, file,
                         strerror(errno));
    }
    return OK;
}

static enum status check_time(SSL_CTX *context, const char *file, struct error *err)
{
    const X509 *own = SSL_CTX_get0_certificate(context);

    if (X509_cmp_current_time(X509_get0_notAfter(own)) < 0) {
        return error_set(err, E_INVALID,
                         "The certificate in \"%s\" has expired. Put a renewed one there.", file);
    }
    return OK;
}

enum status tls_context_identify(SSL_CTX *context, const char *certificate_file,
                                 const char *key_file, struct error *err)
{
    const char *key = key_file == NULL ? certificate_file : key_file;
    enum status rc = check_readable(certificate_file, "certificate", err);

    if (rc == OK) {
        rc = check_readable(key, "key", err);
    }
    if (rc != OK) {
        return rc;
    }
    if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1) {
        return error_set(err, E_INVALID, "\"%s\" holds no usable certificate in PEM form (%s).",
                         certificate_file, tls_context_reason());
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        const unsigned long code = ERR_peek_error();
        const bool mismatch = ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH;

        if (mismatch) {
            ERR_clear_error();
            return error_set(err, E_INVALID,
                             "The key in \"%s\" does not belong to the certificate in \"%s\".", key,
                             certificate_file);
        }
        return error_set(err, E_INVALID,
                         "\"%s\" holds no usable key in PEM form without a password (%s).", key,
                         tls_context_reason());
    }
    return check_time(context, certificate_file, err);
}

enum status tls_context_trust(SSL_CTX *context, const char *file, struct error *err)
{
    enum status rc = check_readable(file, "file of certificate authorities", err);

    if (rc != OK) {
        return rc;
    }
    if (SSL_CTX_load_verify_file(context, file) != 1) {
        return error_set(err, E_INVALID, "\"%s\" holds no certificate authority in PEM form (%s).",
                         file, tls_context_reason());
    }
    return OK;
}
