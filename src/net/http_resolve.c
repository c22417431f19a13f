#include "net/http_resolve.h"
#include "base/check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKUPS_MAX 64 // at the same time; each is a thread

/* What the threads share with the loop.  It outlives the resolver while a lookup hangs. */
struct shared {
    pthread_mutex_t lock;
    uint32_t n_refs;     // under lock: the resolver and each thread
    struct mailbox *box; // of struct http_resolved; any thread
};

struct http_resolver {
    struct loop *loop;     // borrowed
    struct shared *shared; // a reference
    struct loop_watch watch;
    http_resolve_fn lookup;
    uint32_t n_running;
    void (*on_result)(void *user, const struct http_resolved *r);
    void *user;
};

/* One lookup: owned by its thread. */
struct lookup {
    struct shared *shared; // a reference
    http_resolve_fn lookup;
    uint16_t port;
    char host[HTTP_HOST_BYTES_MAX + 1];
    struct http_resolved result;
};

static void unref(struct shared *s)
{
    bool last;

    pthread_mutex_lock(&s->lock);
    s->n_refs--;
    last = s->n_refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (last) {
        pthread_mutex_destroy(&s->lock);
        mailbox_destroy(s->box);
        free(s);
    }
}

static void ref(struct shared *s)
{
    pthread_mutex_lock(&s->lock);
    s->n_refs++;
    pthread_mutex_unlock(&s->lock);
}

static void on_results(void *user, unsigned what)
{
    struct http_resolver *r = user;
    struct http_resolved result;

    (void)what;
    for (int i = 0; i < LOOKUPS_MAX; i++) {
        if (mailbox_try_receive(r->shared->box, &result) != OK) {
            return;
        }
        r->n_running--;
        r->on_result(r->user, &result);
    }
}

static struct shared *create_shared(void)
{
    struct shared *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    // As many places as lookups: a send never finds it full.
    if (mailbox_create(sizeof(struct http_resolved), LOOKUPS_MAX, &s->box) != OK) {
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->n_refs = 1;
    return s;
}

enum status http_resolve_create(struct loop *loop, http_resolve_fn lookup,
                                void (*on_result)(void *user, const struct http_resolved *r),
                                void *user, struct http_resolver **ret_r)
{
    struct http_resolver *r = calloc(1, sizeof(*r));
    enum status rc;

    if (r == NULL) {
        return E_NO_MEMORY;
    }
    r->shared = create_shared();
    if (r->shared == NULL) {
        free(r);
        return E_NO_MEMORY;
    }
    r->loop = loop;
    r->lookup = lookup;
    r->on_result = on_result;
    r->user = user;
    r->watch.on_ready = on_results;
    r->watch.user = r;
    rc = loop_watch_level(loop, &r->watch, mailbox_fd(r->shared->box));
    if (rc != OK) {
        unref(r->shared);
        free(r);
        return rc;
    }
    *ret_r = r;
    return OK;
}

void http_resolve_destroy(struct http_resolver *r)
{
    if (r == NULL) {
        return;
    }
    loop_watch_stop(&r->watch);
    unref(r->shared);
    free(r);
}

static void *lookup_main(void *user)
{
    struct lookup *l = user;
    enum status rc;

    l->lookup(l->host, l->port, &l->result);
    rc = mailbox_try_send(l->shared->box, &l->result);
    DCHECK(rc == OK);
    (void)rc;
    unref(l->shared);
    free(l);
    return NULL;
}

enum status http_resolve_start(struct http_resolver *r, struct str host, uint16_t port, uint64_t id)
{
    struct lookup *l;
    pthread_attr_t attr;
    pthread_t thread;
    int fault;

    if (r->n_running == LOOKUPS_MAX || host.len > HTTP_HOST_BYTES_MAX) {
        return E_LIMIT;
    }
    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return E_NO_MEMORY;
    }
    ref(r->shared);
    l->shared = r->shared;
    l->lookup = r->lookup;
    l->port = port;
    l->result.id = id;
    memcpy(l->host, host.ptr, host.len);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    fault = pthread_create(&thread, &attr, lookup_main, l);
    pthread_attr_destroy(&attr);
    if (fault != 0) {
        unref(r->shared);
        free(l);
        return E_IO;
    }
    r->n_running++;
    return OK;
}

/* False for families other than IPv4 and IPv6. */
static bool take(const struct addrinfo *ai, struct http_address *ret)
{
    if ((ai->ai_family != AF_INET && ai->ai_family != AF_INET6) ||
        ai->ai_addrlen > sizeof(ret->to)) {
        return false;
    }
    memset(ret, 0, sizeof(*ret));
    memcpy(&ret->to, ai->ai_addr, ai->ai_addrlen);
    ret->len = ai->ai_addrlen;
    return true;
}

static int ask(const char *host, uint16_t port, int flags, struct addrinfo **ret_list)
{
    const struct addrinfo hints = {.ai_flags = flags,
                                   .ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};
    char service[8];

    snprintf(service, sizeof(service), "%u", (unsigned)port);
    return getaddrinfo(host, service, &hints, ret_list);
}

void http_resolve_system(const char *host, uint16_t port, struct http_resolved *ret)
{
    struct addrinfo *list = NULL;
    const int fault = ask(host, port, 0, &list);

    if (fault != 0) {
        ret->rc = E_IO;
        snprintf(ret->text, sizeof(ret->text), "%s", gai_strerror(fault));
        return;
    }
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        if (ret->n_addresses < HTTP_ADDRESSES_MAX && take(ai, &ret->addresses[ret->n_addresses])) {
            ret->n_addresses++;
        }
    }
    freeaddrinfo(list);
    ret->rc = ret->n_addresses > 0 ? OK : E_IO;
    if (ret->rc != OK) {
        snprintf(ret->text, sizeof(ret->text), "it has no address");
    }
}

bool http_resolve_literal(struct str host, uint16_t port, struct http_address *ret_address)
{
    struct addrinfo *list = NULL;
    char name[HTTP_HOST_BYTES_MAX + 1];
    bool found;

    snprintf(name, sizeof(name), "%.*s", STR_ARG(host));
    if (ask(name, port, AI_NUMERICHOST | AI_NUMERICSERV, &list) != 0) {
        return false;
    }
    found = take(list, ret_address);
    freeaddrinfo(list);
    return found;
}

bool http_resolve_equal(const struct http_address *a, const struct http_address *b)
{
    return a->len == b->len && memcmp(&a->to, &b->to, a->len) == 0;
}

void http_resolve_format(const struct http_address *a, char *out, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (a->to.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->to.v6.sin6_addr, host, sizeof(host));
        snprintf(out, cap, "[%s]:%u", host, (unsigned)ntohs(a->to.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->to.v4.sin_addr, host, sizeof(host));
        snprintf(out, cap, "%s:%u", host, (unsigned)ntohs(a->to.v4.sin_port));
    }
}
