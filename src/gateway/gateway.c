#include "gateway/gateway.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "gateway/gateway_internal.h"
#include "gateway/identity.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SCRATCH_BYTES_MAX (128U << 20) // one event or whole answer
#define KEEP_SCRATCH_BYTES 1048576     // a larger one is given back at once
#define ORDERS_MAX 16
#define NS_PER_MS UINT64_C(1000000)
#define DRAIN_TICK_MS 20 // between looks at whether everything has ended
#define GIVE_UP_MS 5000  // after cancelling, for the engine to let go

/* --- requests --- */

static void choose_route(struct call *call)
{
    const struct http_head *head = http_exchange_head(call->x);

    call->route = routes_find(head->method, http_exchange_path(call->x), call->fleet->has_remote,
                              &call->argument, &call->allowed);
}

static void on_request(void *user, struct http_exchange *x)
{
    struct gateway *gw = user;
    struct call *call = call_create(gw, x);

    if (call != NULL) {
        choose_route(call);
        pipeline_run(call);
    }
}

/* Refuse before the body is read what would be refused after it: no route, no key. */
static void on_head(void *user, struct http_exchange *x)
{
    struct gateway *gw = user;
    struct call *call = call_create(gw, x);

    if (call == NULL) {
        return;
    }
    choose_route(call);
    if (call->route->answer == stage_answer_no_route || stage_auth(call) == STAGE_STOP) {
        pipeline_run(call); // comes to the same end
        return;
    }
    call_destroy(call);
}

/* Bytes that are no request: answered like a refused call. */
static void on_fault(void *user, struct http_exchange *x, const struct http_fault *fault)
{
    struct gateway *gw = user;
    struct call *call = call_create(gw, x);

    if (call == NULL) {
        return;
    }
    if (http_exchange_head(x) != NULL) {
        choose_route(call);
    }
    (void)call_refuse(call, fault->http_status,
                      fault->http_status == 413 ? "request_too_large" : NULL, NULL, "%s",
                      fault->text);
    if (fault->http_status == 503) {
        call->retry_after_s = 1;
    }
    call->over = true;
    pipeline_run(call);
}

/* The first 12 digits are the time, so that rows of the ledger come in the order of its index: with
 * random ids every row would touch a page of its own. */
struct str gateway_new_id(struct gateway *gw, struct arena *arena)
{
    static const char hex[] = "0123456789abcdef";
    const uint64_t now_ms = (uint64_t)kontor_clock_system.unix_ms(NULL);
    uint32_t words[4];
    char *text = arena_alloc(arena, 32);

    if (text == NULL) {
        return STR("none");
    }
    rng_block(gw->id_key, 0, gw->id_count++, words);
    for (unsigned i = 0; i < 12; i++) {
        text[i] = hex[now_ms >> (44 - i * 4) & 15U];
    }
    for (unsigned i = 12; i < 32; i++) {
        text[i] = hex[words[i / 8] >> (i % 8 * 4) & 15U];
    }
    return (struct str){text, 32};
}

static void stop_now(struct gateway *gw);

/* --- states --- */

static uint32_t busy_count(const struct gateway *gw)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < gw->n_servers; i++) {
        n += http_server_busy_count(gw->servers[i]);
    }
    return n;
}

/* Looked at every DRAIN_TICK_MS while draining, and when a call ends. */
static void on_drain_tick(void *user)
{
    struct gateway *gw = user;
    const uint64_t now_ns = loop_now_ns(gw->loop);

    if (gw->n_calls == 0 && (gw->stopping || busy_count(gw) == 0)) {
        loop_stop(gw->loop);
        return;
    }
    if (gw->stopping && now_ns >= gw->give_up_ns) {
        loop_stop(gw->loop); // the engine does not let go
        return;
    }
    if (!gw->stopping && now_ns >= gw->drain_end_ns) {
        stop_now(gw);
    }
    loop_timer_set(gw->loop, &gw->drain_timer, now_ns + DRAIN_TICK_MS * NS_PER_MS);
}

void gateway_check_stop(struct gateway *gw)
{
    if (gw->state == GATEWAY_DRAINING && gw->n_calls == 0) {
        loop_timer_set(gw->loop, &gw->drain_timer, loop_now_ns(gw->loop));
    }
}

static void stop_now(struct gateway *gw)
{
    struct call *next;

    if (gw->stopping) {
        return;
    }
    log_event(LOG_LEVEL_WARN, "stopping_now", "running=%u", gw->n_calls);
    gw->stopping = true;
    gw->give_up_ns = loop_now_ns(gw->loop) + GIVE_UP_MS * NS_PER_MS;
    for (struct call *call = gw->calls; call != NULL; call = next) {
        next = call->next;
        if (call->cause == CAUSE_DONE) {
            call->cause = CAUSE_STOPPED;
        }
        if (call->upstream != NULL) {
            call->upstream->cancel(call); // may end the call
        }
    }
}

static void drain(struct gateway *gw)
{
    const uint64_t now_ns = loop_now_ns(gw->loop);

    if (gw->state == GATEWAY_DRAINING) {
        return;
    }
    log_event(LOG_LEVEL_INFO, "draining", "running=%u limit_ms=%u", gw->n_calls,
              gw->options.drain_timeout_ms);
    gw->state = GATEWAY_DRAINING;
    gw->drain_end_ns = now_ns + gw->options.drain_timeout_ms * NS_PER_MS;
    for (uint32_t i = 0; i < gw->n_servers; i++) {
        http_server_drain(gw->servers[i]);
    }
    loop_timer_set(gw->loop, &gw->drain_timer, now_ns + DRAIN_TICK_MS * NS_PER_MS);
}

static void on_signal(void *user, unsigned what)
{
    struct gateway *gw = user;

    (void)what;
    if (gw->state == GATEWAY_DRAINING) {
        stop_now(gw);
    } else {
        drain(gw);
    }
}

/* --- orders from other threads --- */

static enum status take_settings(struct gateway *gw, struct settings *settings, struct error *err)
{
    struct fleet *before = gw->fleet;
    struct fleet *fleet;
    enum status rc;

    if (gw->state == GATEWAY_DRAINING || gw->closed) {
        return error_set(err, E_CLOSED, "The gateway is stopping.");
    }
    rc = fleet_create(gw, settings, true, before, &fleet, err);
    if (rc != OK) {
        return rc;
    }
    gw->fleet = fleet;
    fleet_retire(before);
    fleet_unref(before);
    if (gateway_limits_refresh(gw, false) != OK) {
        log_event(LOG_LEVEL_ERROR, "limits_kept", "reason=\"no memory\"");
    }
    return OK;
}

static void reload(struct gateway *gw, struct gateway_wish *wish)
{
    const enum status rc = take_settings(gw, wish->settings, wish->err);

    pthread_mutex_lock(&gw->reload_lock);
    wish->rc = rc;
    wish->done = true;
    pthread_cond_broadcast(&gw->reload_done);
    pthread_mutex_unlock(&gw->reload_lock);
}

static void on_orders(void *user, unsigned what)
{
    struct gateway *gw = user;
    struct gateway_message m;

    (void)what;
    while (mailbox_try_receive(gw->orders, &m) == OK) {
        switch (m.order) {
        case GATEWAY_ORDER_ENGINE:
            gw->engine = m.engine;
            if (gw->state == GATEWAY_LOADING) {
                gw->state = GATEWAY_READY;
            }
            break;
        case GATEWAY_ORDER_FAIL:
            gw->has_failed = true;
            drain(gw);
            break;
        case GATEWAY_ORDER_STOP:
            drain(gw);
            break;
        case GATEWAY_ORDER_STOP_NOW:
            drain(gw);
            stop_now(gw);
            break;
        case GATEWAY_ORDER_RELOAD:
            reload(gw, m.wish);
            break;
        }
    }
}

static void send_order(struct gateway *gw, enum gateway_order order, struct engine *engine)
{
    const struct gateway_message m = {order, engine, NULL};
    const enum status rc = mailbox_try_send(gw->orders, &m);

    CHECK(rc == OK || order == GATEWAY_ORDER_STOP || order == GATEWAY_ORDER_STOP_NOW);
}

void gateway_set_engine(struct gateway *gw, struct engine *engine)
{
    send_order(gw, GATEWAY_ORDER_ENGINE, engine);
}

void gateway_fail(struct gateway *gw, const struct error *why)
{
    gw->failed = *why;
    send_order(gw, GATEWAY_ORDER_FAIL, NULL);
}

enum status gateway_reload(struct gateway *gw, struct settings *settings, struct error *err)
{
    struct gateway_wish wish = {.settings = settings, .err = err};
    const struct gateway_message m = {GATEWAY_ORDER_RELOAD, NULL, &wish};

    pthread_mutex_lock(&gw->reload_lock);
    if (gw->closed || mailbox_try_send(gw->orders, &m) != OK) {
        pthread_mutex_unlock(&gw->reload_lock);
        return error_set(err, E_CLOSED, "The gateway is stopping.");
    }
    while (!wish.done) {
        pthread_cond_wait(&gw->reload_done, &gw->reload_lock);
    }
    pthread_mutex_unlock(&gw->reload_lock);
    return wish.rc;
}

/* Nobody waits for the loop any more. */
static void end_orders(struct gateway *gw)
{
    pthread_mutex_lock(&gw->reload_lock);
    gw->closed = true;
    pthread_mutex_unlock(&gw->reload_lock);
    on_orders(gw, 0);
    if (gw->options.on_ended != NULL) {
        gw->options.on_ended(gw->options.user);
    }
}

void gateway_stop(struct gateway *gw, bool now)
{
    send_order(gw, now ? GATEWAY_ORDER_STOP_NOW : GATEWAY_ORDER_STOP, NULL);
}

static void on_news(void *user, unsigned what)
{
    struct gateway *gw = user;

    (void)what;
    upstream_local_news(gw);
    if (gw->scratch.cap > KEEP_SCRATCH_BYTES) {
        buf_done(&gw->scratch);
    }
}

/* --- start and end --- */

static enum status check_options(const struct gateway_options *o, struct error *err)
{
    CHECK(o->metrics != NULL && o->version != NULL);
    if (o->settings == NULL && o->n_served_names == 0) {
        return error_set(err, E_INVALID,
                         "No served model name. Give one with --served-model-name.");
    }
    for (uint32_t i = 0; i < o->n_api_keys; i++) {
        if (o->api_keys[i][0] == '\0') {
            return error_set(err, E_INVALID,
                             "An API key is empty. Leave --api-key out to serve without keys.");
        }
    }
    return OK;
}

static void default_u32(uint32_t *value, uint32_t fallback)
{
    *value = *value == 0 ? fallback : *value;
}

static enum status create_mailboxes(struct gateway *gw)
{
    enum status rc = mailbox_create(sizeof(struct gateway_message), ORDERS_MAX, &gw->orders);

    if (rc == OK) {
        rc = mailbox_create(sizeof(void *), gw->options.inflight_max + 1, &gw->news);
    }
    if (rc == OK) {
        rc = loop_watch_level(gw->loop, &gw->orders_watch, mailbox_fd(gw->orders));
    }
    if (rc == OK) {
        rc = loop_watch_level(gw->loop, &gw->news_watch, mailbox_fd(gw->news));
    }
    return rc;
}

static void set_watches(struct gateway *gw)
{
    gw->orders_watch.on_ready = on_orders;
    gw->orders_watch.user = gw;
    gw->news_watch.on_ready = on_news;
    gw->news_watch.user = gw;
    gw->term_watch.on_ready = on_signal;
    gw->term_watch.user = gw;
    gw->int_watch.on_ready = on_signal;
    gw->int_watch.user = gw;
    gw->drain_timer.on_due = on_drain_tick;
    gw->drain_timer.user = gw;
}

static void on_certificate(void *user, const struct error *why)
{
    (void)user;
    if (why == NULL) {
        log_event(LOG_LEVEL_INFO, "certificate_loaded", "");
    } else {
        log_event(LOG_LEVEL_WARN, "certificate_kept", "reason=\"%s\"", why->text);
    }
}

static enum status start_server(struct gateway *gw, const char *host, uint16_t port,
                                struct tls_server *tls, struct error *err)
{
    const struct gateway_options *o = &gw->options;
    const struct http_server_options server = {
        .host = host,
        .port = port,
        .n_port_tries = o->n_port_tries,
        .tls = tls,
        .server_name = gw->server_name,
        .limits = o->limits,
        .events = {on_request, on_head, on_fault, on_certificate},
        .user = gw,
    };
    const enum status rc = http_server_create(gw->loop, &server, &gw->servers[gw->n_servers], err);

    gw->n_servers += rc == OK;
    return rc;
}

/* A text of the settings with the NUL that system calls want; lives in their arena. */
static enum status open_listener(struct gateway *gw, const struct settings_listener *l,
                                 struct error *err)
{
    struct tls_server **tls = &gw->server_tls[gw->n_servers];
    struct str host;
    struct str certificate;
    struct str key;
    struct str client_ca;
    enum status rc = E_NO_MEMORY;

    if (arena_dup(gw->arena, l->host, &host) == OK &&
        arena_dup(gw->arena, l->certificate_file, &certificate) == OK &&
        arena_dup(gw->arena, l->key_file, &key) == OK &&
        arena_dup(gw->arena, l->client_ca_file, &client_ca) == OK) {
        rc = OK;
    }
    if (rc == OK && certificate.len > 0) {
        const struct tls_server_options options = {.certificate_file = certificate.ptr,
                                                   .key_file = key.ptr,
                                                   .client_ca_file =
                                                       client_ca.len > 0 ? client_ca.ptr : NULL};

        rc = tls_server_create(&options, tls, err);
    }
    return rc == OK ? start_server(gw, host.ptr, l->port, *tls, err) : rc;
}

static enum status start_servers(struct gateway *gw, struct error *err)
{
    const struct gateway_options *o = &gw->options;
    const struct settings *s = o->settings;
    enum status rc = OK;

    if (s == NULL || s->n_listeners == 0) {
        return start_server(gw, o->host, o->port, o->tls, err);
    }
    for (uint32_t i = 0; rc == OK && i < s->n_listeners && i < GATEWAY_SERVERS_MAX; i++) {
        rc = open_listener(gw, &s->listeners[i], err);
    }
    return rc;
}

static enum status open_books(struct gateway *gw, const struct settings *s, struct error *err)
{
    struct ledger_options options = {
        .durability = s->power_loss ? LEDGER_POWER_LOSS : LEDGER_PROCESS,
    };
    struct str folder;

    if (s->state_dir.len == 0) {
        return OK;
    }
    if (arena_dup(gw->arena, s->state_dir, &folder) != OK) {
        return E_NO_MEMORY;
    }
    options.folder = folder.ptr;
    return ledger_open(&options, &gw->ledger, err);
}

/* Upstreams, identity, books and limits of the first settings. */
static enum status start_house(struct gateway *gw, struct error *err)
{
    const struct settings *s = gw->options.settings;
    enum status rc = OK;

    if (s == NULL) {
        rc = serve_settings_create(&gw->options, &gw->serve_settings);
        s = gw->serve_settings;
    }
    if (rc == OK) {
        rc = http_client_create(gw->loop, &gw->client, err);
    }
    if (rc == OK) {
        rc = open_books(gw, s, err);
    }
    if (rc == OK) {
        rc = limits_create(&gw->limits);
    }
    if (rc == OK) {
        rc = fleet_create(gw, s, false, NULL, &gw->fleet, err);
    }
    if (rc == OK) {
        rc = gateway_limits_refresh(gw, true);
    }
    if (rc == OK && (!gw->fleet->has_local || gw->fleet->has_remote)) {
        gw->state = GATEWAY_READY;
    }
    return rc;
}

/* Every connection is a descriptor: take as many as the system grants this process. */
static void raise_descriptor_limit(const struct gateway *gw)
{
    const uint32_t wanted = gw->options.limits.connections_max;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (wanted != 0 && limit.rlim_max < wanted) {
        log_event(LOG_LEVEL_WARN, "few_descriptors", "limit=%llu connections_max=%u",
                  (unsigned long long)limit.rlim_max, wanted);
    }
}

/* A log whose reader is gone and a file at its size limit are errors of a write, not of life. */
static void ignore_signals_of_writes(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
}

static enum status start(struct gateway *gw, struct error *err)
{
    enum status rc = loop_create(&gw->loop, err);

    raise_descriptor_limit(gw);
    ignore_signals_of_writes();
    if (rc != OK) {
        return rc;
    }
    set_watches(gw);
    rc = create_mailboxes(gw);
    if (rc == OK) {
        rc = loop_signal(gw->loop, &gw->term_watch, SIGTERM);
    }
    if (rc == OK) {
        rc = loop_signal(gw->loop, &gw->int_watch, SIGINT);
    }
    if (rc != OK) {
        return error_set(err, rc, "Cannot prepare the server: %s.", status_name(rc));
    }
    access_log_start(gw);
    snprintf(gw->server_name, sizeof(gw->server_name), "kontor/%s", gw->options.version);
    rc = worker_create(gw->loop, &gw->worker, err);
    if (rc == OK) {
        rc = start_servers(gw, err); // before anything that takes time: a taken port fails at once
    }
    return rc == OK ? start_house(gw, err) : rc;
}

/* A loader that is still at work when the gateway stops will call gateway_set_engine or
 * gateway_fail later: what these touch is kept, one gateway per process at most. */
static struct gateway *volatile left_for_loader; // volatile: a store that leak checkers see

static void destroy(struct gateway *gw)
{
    const bool awaited =
        gw->loop_ran && gw->engine == NULL && !gw->has_failed && gw->fleet->has_local;

    for (uint32_t i = 0; i < gw->n_servers; i++) {
        http_server_destroy(gw->servers[i]);
    }
    for (uint32_t i = 0; i < GATEWAY_SERVERS_MAX; i++) {
        tls_server_destroy(gw->server_tls[i]);
    }
    worker_destroy(gw->worker);
    fleet_unref(gw->fleet);
    http_client_destroy(gw->client);
    limits_destroy(gw->limits);
    ledger_close(gw->ledger);
    if (gw->serve_settings != NULL) {
        arena_destroy(gw->serve_settings->arena);
    }
    access_log_stop(gw);
    loop_watch_stop(&gw->orders_watch);
    loop_watch_stop(&gw->news_watch);
    loop_watch_stop(&gw->term_watch);
    loop_watch_stop(&gw->int_watch);
    loop_timer_stop(&gw->drain_timer);
    mailbox_destroy(gw->news);
    loop_destroy(gw->loop);
    buf_done(&gw->scratch);
    arena_destroy(gw->arena);
    if (awaited) {
        left_for_loader = gw;
        return;
    }
    mailbox_destroy(gw->orders);
    free(gw);
}

/* Settings of the server as a whole, where the options leave them open. */
static void apply_settings(struct gateway *gw)
{
    struct gateway_options *o = &gw->options;

    if (o->settings == NULL) {
        return;
    }
    default_u32(&o->inflight_max, o->settings->inflight_max);
    default_u32(&o->drain_timeout_ms, o->settings->drain_timeout_ms);
    if (o->limits.body_bytes_max == 0) {
        o->limits.body_bytes_max = o->settings->body_bytes_max;
    }
}

static struct gateway *create(const struct gateway_options *options)
{
    struct gateway *gw = calloc(1, sizeof(*gw));

    if (gw == NULL) {
        return NULL;
    }
    gw->options = *options;
    apply_settings(gw);
    default_u32(&gw->options.inflight_max, 4096);
    default_u32(&gw->options.stream_queue_bytes, 1048576);
    default_u32(&gw->options.drain_timeout_ms, 25000);
    gw->engine = options->engine;
    gw->state = options->engine == NULL ? GATEWAY_LOADING : GATEWAY_READY;
    gw->id_key = rng_from_system();
    gw->created_s = kontor_clock_system.unix_ms(NULL) / 1000;
    buf_init(&gw->scratch, SCRATCH_BYTES_MAX);
    gw->arena = arena_create(1U << 20);
    if (gw->arena == NULL || pthread_mutex_init(&gw->reload_lock, NULL) != 0 ||
        pthread_cond_init(&gw->reload_done, NULL) != 0) {
        arena_destroy(gw->arena);
        free(gw);
        return NULL;
    }
    return gw;
}

enum status gateway_run(const struct gateway_options *options, struct error *err)
{
    struct gateway *gw;
    enum status rc = check_options(options, err);

    if (rc != OK) {
        return rc;
    }
    gw = create(options);
    if (gw == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for the server.");
    }
    gateway_meters_create(gw);
    rc = start(gw, err);
    if (rc != OK) {
        destroy(gw);
        return rc;
    }
    if (options->on_listening != NULL) {
        options->on_listening(options->user, gw, http_server_port(gw->servers[0]));
    }
    gw->loop_ran = true;
    loop_run(gw->loop);
    end_orders(gw);
    if (gw->n_calls > 0) {
        // The engine still refers to these requests: nothing of them may be freed.
        return error_set(err, E_TIMEOUT, "The engine did not end %u requests in time.",
                         gw->n_calls);
    }
    if (gw->has_failed) {
        *err = gw->failed;
        rc = gw->failed.status;
    }
    destroy(gw);
    return rc;
}
