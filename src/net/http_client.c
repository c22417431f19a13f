#include "net/http_client.h"
#include "base/check.h"
#include "net/http_client_internal.h"

#include <stdlib.h>

enum status http_client_create(struct loop *loop, struct http_client **ret_client,
                               struct error *err)
{
    struct http_client *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for the HTTP client.");
    }
    c->loop = loop;
    c->lookup = http_resolve_system;
    *ret_client = c;
    return OK;
}

void http_client_set_lookup(struct http_client *c, http_resolve_fn lookup)
{
    CHECK(c->resolver == NULL);
    c->lookup = lookup;
}

void http_client_destroy(struct http_client *c)
{
    struct http_origin *o;

    if (c == NULL) {
        return;
    }
    o = c->origins;
    while (o != NULL) {
        struct http_origin *next = o->next;

        http_origin_release(o); // may free it
        o = next;
    }
    loop_settle(c->loop);
    CHECK(c->origins == NULL); // else a call has not ended
    http_resolve_destroy(c->resolver);
    http_call_free_all(c);
    tls_client_destroy(c->tls);
    free(c);
}

enum status http_client_default_tls(struct http_client *c, const struct tls_client **ret,
                                    struct error *err)
{
    const struct tls_client_options none = {0};
    enum status rc = OK;

    if (c->tls == NULL) {
        rc = tls_client_create(&none, &c->tls, err);
    }
    *ret = c->tls;
    return rc;
}

enum status http_client_origin(struct http_client *c, const struct http_origin_options *options,
                               struct http_origin **ret_origin, struct error *err)
{
    return http_origin_create(c, options, ret_origin, err);
}

void http_client_release_origin(struct http_origin *o)
{
    http_origin_release(o);
}

uint32_t http_client_idle_count(const struct http_origin *o)
{
    return o->n_idle;
}

uint32_t http_client_connection_count(const struct http_origin *o)
{
    return o->n_links;
}
