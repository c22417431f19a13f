#include "net/http_server.h"
#include "base/check.h"
#include "net/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1024
#define ACCEPTS_PER_BATCH 64
#define SURPLUS_MAX 64 // connections over the limit that are told so; further ones are just closed
#define PAUSE_MS 100   // no accepting after the process ran out of descriptors
#define RETIRED_PER_PAUSE 64 // idle connections ended then
#define LOOK_MS 5000         // between two looks at the certificate's files
#define NS_PER_MS UINT64_C(1000000)

static void default_u32(uint32_t *value, uint32_t fallback)
{
    *value = *value == 0 ? fallback : *value;
}

static void default_limits(struct http_server_limits *l)
{
    default_u32(&l->connections_max, 10000);
    default_u32(&l->head_bytes_max, HTTP_HEAD_BYTES_MAX);
    default_u32(&l->handshake_timeout_ms, 10000);
    default_u32(&l->head_timeout_ms, 15000);
    default_u32(&l->body_timeout_ms, 60000);
    default_u32(&l->idle_timeout_ms, 75000);
    default_u32(&l->stall_timeout_ms, 60000);
    default_u32(&l->linger_timeout_ms, 2000);
    default_u32(&l->out_high_bytes, 262144);
    default_u32(&l->out_low_bytes, 65536);
    l->body_bytes_max = l->body_bytes_max == 0 ? 33554432 : l->body_bytes_max;
    l->bodies_bytes_max = l->bodies_bytes_max == 0 ? 1073741824 : l->bodies_bytes_max;
    l->arena_bytes_max = l->arena_bytes_max == 0 ? 268435456 : l->arena_bytes_max;
}

static void format_peer(const struct sockaddr_storage *addr, char ret_peer[HTTP_PEER_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (addr->ss_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, addr, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        snprintf(ret_peer, HTTP_PEER_BYTES, "%s:%u", host, (unsigned)ntohs(v4.sin_port));
    } else if (addr->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;

        memcpy(&v6, addr, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        snprintf(ret_peer, HTTP_PEER_BYTES, "[%s]:%u", host, (unsigned)ntohs(v6.sin6_port));
    } else {
        snprintf(ret_peer, HTTP_PEER_BYTES, "unknown");
    }
}

static void take_socket(struct http_server *s, int fd, const struct sockaddr_storage *addr)
{
    const uint32_t max = s->options.limits.connections_max;
    const int one = 1;
    char peer[HTTP_PEER_BYTES];

    if (s->n_conns >= max + SURPLUS_MAX) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); // a matter of speed only
    format_peer(addr, peer);
    (void)http_conn_open(s, fd, peer, s->n_conns >= max);
}

/* Out of descriptors: connections that wait for another request make room for new ones. */
static void retire_idle(struct http_server *s)
{
    struct http_conn *c = s->conns;

    for (uint32_t n = 0; c != NULL && n < RETIRED_PER_PAUSE; c = c->next) {
        n += http_conn_retire(c) ? 1 : 0;
    }
}

static void on_acceptable(void *user, unsigned what)
{
    struct http_server *s = user;

    (void)what;
    for (int i = 0; i < ACCEPTS_PER_BATCH; i++) {
        struct sockaddr_storage addr = {0};
        socklen_t addr_len = sizeof(addr);
        const int fd =
            accept4(s->fd, (struct sockaddr *)&addr, &addr_len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            take_socket(s, fd, &addr);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            loop_watch_stop(&s->watch);
            retire_idle(s);
            loop_timer_set(s->loop, &s->pause, loop_now_ns(s->loop) + PAUSE_MS * NS_PER_MS);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return; // EAGAIN, or a fault of that one connection
        }
    }
}

static void on_pause_over(void *user)
{
    struct http_server *s = user;

    if (loop_watch_level(s->loop, &s->watch, s->fd) != OK) {
        loop_timer_set(s->loop, &s->pause, loop_now_ns(s->loop) + PAUSE_MS * NS_PER_MS);
    }
}

static void look_later(struct http_server *s)
{
    loop_timer_set(s->loop, &s->look, loop_now_ns(s->loop) + LOOK_MS * NS_PER_MS);
}

static void on_look(void *user)
{
    struct http_server *s = user;
    struct error err = {0};
    bool changed;
    const enum status rc = tls_server_refresh(s->options.tls, &changed, &err);

    look_later(s);
    if ((rc != OK || changed) && s->options.events.on_certificate != NULL) {
        s->options.events.on_certificate(s->options.user, rc == OK ? NULL : &err);
    }
}

/* --- listening --- */

/* Errors: BUSY, IO; errno is kept for the text. */
static enum status bind_one(const struct addrinfo *ai, uint16_t port, int *ret_fd)
{
    const int one = 1;
    const int zero = 0;
    struct sockaddr_storage addr = {0};
    const int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int saved;

    if (fd < 0) {
        return E_IO;
    }
    memcpy(&addr, ai->ai_addr, ai->ai_addrlen);
    if (ai->ai_family == AF_INET6) {
        ((struct sockaddr_in6 *)&addr)->sin6_port = htons(port);
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)); // "::" takes IPv4 too
    } else {
        ((struct sockaddr_in *)&addr)->sin_port = htons(port);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        *ret_fd = fd;
        return OK;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return saved == EADDRINUSE ? E_BUSY : E_IO;
}

/* Try the addresses of the host in turn; the last error stands. */
static enum status bind_any(const struct addrinfo *list, uint16_t port, int *ret_fd)
{
    enum status rc = E_IO;

    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6) {
            continue;
        }
        rc = bind_one(ai, port, ret_fd);
        if (rc == OK || rc == E_BUSY) {
            return rc; // a taken port is not dodged by going to another address
        }
    }
    return rc;
}

static enum status resolve(const char *host, struct addrinfo **ret_list, struct error *err)
{
    const struct addrinfo hints = {
        .ai_flags = AI_PASSIVE,
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    const bool any = host == NULL || host[0] == '\0';
    int rc = getaddrinfo(any ? "::" : host, "0", &hints, ret_list);

    if (rc != 0) {
        return error_set(err, E_INVALID,
                         "Cannot listen on host \"%s\": %s. Give an address of this machine, "
                         "for example --host 127.0.0.1 or --host 0.0.0.0.",
                         any ? "" : host, gai_strerror(rc));
    }
    return OK;
}

static enum status listen_somewhere(const struct http_server_options *o, int *ret_fd,
                                    struct error *err)
{
    struct addrinfo *list = NULL;
    const bool any = o->host == NULL || o->host[0] == '\0';
    enum status rc = resolve(o->host, &list, err);
    uint32_t tries = 0;

    if (rc != OK) {
        return rc;
    }
    rc = bind_any(list, o->port, ret_fd);
    if (any && rc == E_IO) { // a machine without IPv6
        freeaddrinfo(list);
        rc = resolve("0.0.0.0", &list, err);
        if (rc != OK) {
            return rc;
        }
        rc = bind_any(list, o->port, ret_fd);
    }
    while (rc == E_BUSY && tries < o->n_port_tries && o->port + tries < UINT16_MAX) {
        tries++;
        rc = bind_any(list, (uint16_t)(o->port + tries), ret_fd);
    }
    freeaddrinfo(list);
    if (rc == E_BUSY) {
        return error_set(err, rc,
                         "Port %u is in use. Stop the program that listens there or choose "
                         "another port with --port.",
                         (unsigned)o->port);
    }
    if (rc != OK) {
        return error_set(err, rc, "Cannot listen on %s port %u: %s.", any ? "any address" : o->host,
                         (unsigned)o->port, strerror(errno));
    }
    return OK;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } addr;
    socklen_t len = sizeof(addr);

    memset(&addr, 0, sizeof(addr));
    if (getsockname(fd, &addr.any, &len) != 0) {
        return 0;
    }
    return ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
}

enum status http_server_create(struct loop *loop, const struct http_server_options *options,
                               struct http_server **ret_server, struct error *err)
{
    struct http_server *s = calloc(1, sizeof(*s));
    enum status rc;

    if (s == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for the HTTP server.");
    }
    s->loop = loop;
    s->options = *options;
    s->fd = -1;
    default_limits(&s->options.limits);
    rc = listen_somewhere(options, &s->fd, err);
    if (rc != OK) {
        free(s);
        return rc;
    }
    s->port = port_of(s->fd);
    s->watch.on_ready = on_acceptable;
    s->watch.user = s;
    s->pause.on_due = on_pause_over;
    s->pause.user = s;
    s->look.on_due = on_look;
    s->look.user = s;
    rc = loop_watch_level(loop, &s->watch, s->fd);
    if (rc != OK) {
        close(s->fd);
        free(s);
        return error_set(err, rc, "Cannot watch the listening socket.");
    }
    if (options->tls != NULL) {
        look_later(s);
    }
    *ret_server = s;
    return OK;
}

void http_server_destroy(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    while (s->conns != NULL) {
        http_conn_die(s->conns);
    }
    loop_settle(s->loop);
    loop_watch_stop(&s->watch);
    loop_timer_stop(&s->pause);
    loop_timer_stop(&s->look);
    close(s->fd);
    free(s);
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    for (struct http_conn *c = s->conns; c != NULL; c = c->next) {
        (void)http_conn_retire(c);
    }
}

uint32_t http_server_connection_count(const struct http_server *s)
{
    return s->n_conns;
}

uint32_t http_server_busy_count(const struct http_server *s)
{
    uint32_t n = 0;

    for (const struct http_conn *c = s->conns; c != NULL; c = c->next) {
        n += c->state == HTTP_CONN_RUNNING || c->out.len > 0;
    }
    return n;
}

const char *http_server_date(struct http_server *s)
{
    const time_t now = time(NULL);
    struct tm tm;

    if (now != s->date_s || s->date[0] == '\0') {
        // Names in English whatever the locale: strftime is only asked for numbers.
        static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

        gmtime_r(&now, &tm);
        snprintf(s->date, sizeof(s->date), "%s, %02u %s %04u %02u:%02u:%02u GMT",
                 days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        s->date_s = now;
    }
    return s->date;
}
