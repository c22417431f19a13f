#include "net/tls_stream.h"
#include "base/check.h"
#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NAME_BYTES_MAX 256
#define WHY_BYTES 640
#define RECORD_BYTES 16384 // payload of one TLS record

struct tls_stream {
    SSL *ssl; // owned
    int fd;   // borrowed
    struct tls_session *session;
    bool drained;     // the last read of the socket took all there was
    bool eof;         // the socket has ended
    bool wants_write; // see tls_stream_wants_write
    bool bad_certificate;
    enum status rest;          // what the next read says without asking; OK: ask
    char name[NAME_BYTES_MAX]; // expected, for messages
    char why[WHY_BYTES];
};

/* --- the socket, as OpenSSL sees it --- */

static int socket_write(BIO *bio, const char *bytes, int n)
{
    const struct tls_stream *s = BIO_get_data(bio);
    ssize_t sent;

    BIO_clear_retry_flags(bio);
    do {
        sent = send(s->fd, bytes, (size_t)n, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static int socket_read(BIO *bio, char *buf, int cap)
{
    struct tls_stream *s = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (s->drained) {
        BIO_set_retry_read(bio);
        return -1;
    }
    do {
        n = recv(s->fd, buf, (size_t)cap, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        s->drained = true;
        BIO_set_retry_read(bio);
    }
    // A short read has emptied the socket; an end behind it makes an event of its own.
    s->drained |= n > 0 && n < cap;
    s->eof |= n == 0;
    return (int)n;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_stream *s = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF) {
        return s->eof;
    }
    return command == BIO_CTRL_FLUSH;
}

static int socket_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *socket_method;

__attribute__((constructor)) static void make_socket_method(void)
{
    socket_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "kontor socket");
    CHECK(socket_method != NULL);
    BIO_meth_set_write(socket_method, socket_write);
    BIO_meth_set_read(socket_method, socket_read);
    BIO_meth_set_ctrl(socket_method, socket_control);
    BIO_meth_set_create(socket_method, socket_create);
}

/* --- life --- */

static struct tls_stream *create(SSL_CTX *context, int fd)
{
    struct tls_stream *s = calloc(1, sizeof(*s));
    BIO *bio = BIO_new(socket_method);

    if (s != NULL) {
        s->ssl = SSL_new(context);
        s->fd = fd;
    }
    if (s == NULL || bio == NULL || s->ssl == NULL) {
        BIO_free(bio);
        tls_stream_destroy(s);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, s);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_app_data(s->ssl, s);
    return s;
}

void tls_stream_destroy(struct tls_stream *s)
{
    if (s == NULL) {
        return;
    }
    if (s->ssl != NULL) {
        SSL_set_quiet_shutdown(s->ssl, 1);
        SSL_shutdown(s->ssl); // else the session would count as failed and not be taken up again
        SSL_free(s->ssl);
    }
    free(s);
}

struct tls_stream *tls_stream_accept(struct tls_server *tls, int fd)
{
    SSL_CTX *context = tls_server_context(tls);
    struct tls_stream *s = create(context, fd);

    SSL_CTX_free(context);
    if (s != NULL) {
        SSL_set_accept_state(s->ssl);
    }
    return s;
}

int tls_stream_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_stream *s = SSL_get_app_data(ssl);

    if (s->session == NULL) {
        return 0;
    }
    SSL_SESSION_free(s->session->session);
    s->session->session = session;
    return 1; // the reference is ours now
}

void tls_stream_forget(struct tls_session *session)
{
    SSL_SESSION_free(session->session);
    session->session = NULL;
}

/* The first name a certificate is for. */
static void certificate_name(X509 *x, char *out, size_t cap)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS) {
            snprintf(out, cap, "%.*s", ASN1_STRING_length(name->d.dNSName),
                     (const char *)ASN1_STRING_get0_data(name->d.dNSName));
            found = true;
        }
    }
    if (!found &&
        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out, (int)cap) <= 0) {
        snprintf(out, cap, "another host");
    }
    for (char *c = out; *c != '\0'; c++) { // it came over the wire
        *c = *c > ' ' && *c < 0x7F && *c != '"' ? *c : '?';
    }
    GENERAL_NAMES_free(names);
}

static void explain(struct tls_stream *s, X509 *x, int fault)
{
    char name[NAME_BYTES_MAX];

    switch (fault) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        snprintf(s->why, sizeof(s->why),
                 "its certificate has expired; renew it on the server (or set this machine's clock "
                 "right)");
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        snprintf(s->why, sizeof(s->why),
                 "its certificate is not valid yet; look at the clocks of both machines");
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        certificate_name(x, name, sizeof(name));
        snprintf(s->why, sizeof(s->why),
                 "its certificate is for \"%.200s\", not for \"%.200s\"; use that name in the "
                 "URL or set the server name to expect",
                 name, s->name);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        snprintf(s->why, sizeof(s->why),
                 "its certificate is signed by an authority that is not trusted here; name the "
                 "authority's certificate as CA file (ca_file, --ca-file)");
        break;
    default:
        snprintf(s->why, sizeof(s->why), "its certificate is refused: %s",
                 X509_verify_cert_error_string(fault));
        break;
    }
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_stream *s = SSL_get_app_data(ssl);

    if (ok == 0 && !s->bad_certificate) {
        s->bad_certificate = true;
        explain(s, X509_STORE_CTX_get0_cert(store), X509_STORE_CTX_get_error(store));
    }
    return ok;
}

/* A literal address is compared with the certificate's addresses, and not announced. */
static bool expect_name(struct tls_stream *s)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
    unsigned char address[16];

    if (inet_pton(AF_INET, s->name, address) == 1 || inet_pton(AF_INET6, s->name, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, s->name) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(s->ssl, s->name) == 1 && SSL_set_tlsext_host_name(s->ssl, s->name) == 1;
}

struct tls_stream *tls_stream_connect(const struct tls_client *tls, int fd, struct str host,
                                      struct tls_session *session)
{
    struct tls_stream *s = create(tls->context, fd);

    if (s == NULL) {
        return NULL;
    }
    if (tls->server_name != NULL) {
        snprintf(s->name, sizeof(s->name), "%s", tls->server_name);
    } else {
        snprintf(s->name, sizeof(s->name), "%.*s", STR_ARG(host));
    }
    if (!expect_name(s)) {
        tls_stream_destroy(s);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_verify(s->ssl, tls->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, on_verify);
    SSL_set_connect_state(s->ssl);
    s->session = session;
    if (session != NULL && session->session != NULL) {
        SSL_set_session(s->ssl, session->session);
    }
    return s;
}

/* --- handshake --- */

static enum status classify(struct tls_stream *s, int result)
{
    const int kind = SSL_get_error(s->ssl, result);

    s->wants_write = kind == SSL_ERROR_WANT_WRITE;
    switch (kind) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return E_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return E_CLOSED;
    default:
        return E_IO;
    }
}

enum status tls_stream_handshake(struct tls_stream *s)
{
    unsigned long code;
    enum status rc;
    int result;

    s->drained = false;
    ERR_clear_error();
    errno = 0;
    result = SSL_do_handshake(s->ssl);
    if (result == 1) {
        return OK;
    }
    rc = classify(s, result);
    if (rc == E_AGAIN) {
        return rc;
    }
    code = ERR_peek_error();
    if (s->bad_certificate) {
        ERR_clear_error();
        return E_DENIED;
    }
    if (ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST ||
        ERR_GET_REASON(code) == SSL_R_HTTPS_PROXY_REQUEST) {
        ERR_clear_error();
        return E_UNSUPPORTED;
    }
    if (s->eof) {
        snprintf(s->why, sizeof(s->why), "it closed the connection during the handshake");
        ERR_clear_error();
        return E_CLOSED;
    }
    if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER) {
        snprintf(s->why, sizeof(s->why), "it does not speak TLS on this port; try http://");
        ERR_clear_error();
        return E_IO;
    }
    snprintf(s->why, sizeof(s->why), "%s",
             code == 0 && errno != 0 ? strerror(errno) : tls_context_reason());
    ERR_clear_error();
    return E_IO;
}

bool tls_stream_wants_write(const struct tls_stream *s)
{
    return s->wants_write;
}

const char *tls_stream_why(const struct tls_stream *s)
{
    return s->why;
}

bool tls_stream_resumed(const struct tls_stream *s)
{
    return SSL_session_reused(s->ssl) == 1;
}

/* --- bytes --- */

enum status tls_stream_read(struct tls_stream *s, void *buf, size_t cap, size_t *ret_n,
                            bool *ret_empty)
{
    char *to = buf;
    size_t got = 0;
    enum status rc = s->rest;

    s->drained = false;
    s->rest = OK;
    while (rc == OK && got < cap) {
        size_t n = 0;
        int result;

        ERR_clear_error();
        result = SSL_read_ex(s->ssl, to + got, cap - got, &n);
        if (result == 1) {
            got += n;
        } else {
            rc = classify(s, result);
        }
    }
    ERR_clear_error();
    *ret_empty = rc == E_AGAIN;
    if (got == 0) {
        return rc;
    }
    s->rest = rc == E_AGAIN ? OK : rc; // told at the next read
    *ret_n = got;
    return OK;
}

enum status tls_stream_write(struct tls_stream *s, const void *bytes, size_t n, size_t *ret_n)
{
    const char *from = bytes;
    size_t sent = 0;
    enum status rc = OK;

    while (rc == OK && sent < n) {
        size_t now = 0;
        int result;

        ERR_clear_error();
        result = SSL_write_ex(s->ssl, from + sent, n - sent, &now);
        if (result == 1) {
            sent += now;
        } else {
            rc = classify(s, result);
        }
    }
    ERR_clear_error();
    if (sent == 0) {
        return rc == E_IO ? E_CLOSED : rc;
    }
    *ret_n = sent;
    return OK;
}

enum status tls_stream_writev(struct tls_stream *s, const struct iovec *pieces, size_t n_pieces,
                              size_t *ret_n)
{
    char record[RECORD_BYTES];
    size_t n = 0;

    if (n_pieces == 1 || pieces[0].iov_len >= sizeof(record)) {
        return tls_stream_write(s, pieces[0].iov_base, pieces[0].iov_len, ret_n);
    }
    for (size_t i = 0; i < n_pieces && n < sizeof(record); i++) {
        const size_t room = sizeof(record) - n;
        const size_t take = pieces[i].iov_len < room ? pieces[i].iov_len : room;

        memcpy(record + n, pieces[i].iov_base, take);
        n += take;
    }
    return tls_stream_write(s, record, n, ret_n);
}

void tls_stream_finish(struct tls_stream *s)
{
    ERR_clear_error();
    SSL_shutdown(s->ssl);
    ERR_clear_error();
}
