/* Cost of passing a request on: http_server and http_client in one process, between a load
 * generator and an upstream in processes of their own.
 *
 *   relay                    three processes; prints processor time of the middle one per request
 *   relay --requests N --connections N --events N (N > 0: answers are streams of N events)
 *   relay serve PORT         only the upstream, on a fixed port
 *   relay pass PORT URL      only the middle: for other load generators, strace, callgrind;
 *                            with --requests N it ends after so many; with --certificate FILE (its
 *                            key in it) it listens with TLS
 */
#include "base/check.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/permit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY_BYTES 1024

static const struct permit permit = {LABEL_PRIVATE, "bench"};
static char body[BODY_BYTES];
static const char answer[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"m\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Twelve words of "
    "an answer that nobody reads because this is a benchmark.\"},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":12,\"total_tokens\":32}}";
static const char event_text[] =
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
    "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},"
    "\"finish_reason\":null}]}\n\n";

static struct loop *loop;
static uint32_t n_events;

/* --- upstream --- */

struct stream {
    struct http_exchange *x;
    struct loop_timer timer;
    uint32_t left;
};

static void next_event(void *user)
{
    struct stream *s = user;

    if (s->left == 0 || http_exchange_complete(s->x)) {
        http_exchange_end(s->x);
        http_exchange_release(s->x);
        loop_timer_stop(&s->timer);
        free(s);
        return;
    }
    s->left--;
    (void)http_exchange_write(s->x, STR(event_text));
    loop_timer_set(loop, &s->timer, loop_now_ns(loop) + 200000);
}

static void on_upstream(void *user, struct http_exchange *x)
{
    struct stream *s;

    (void)user;
    if (n_events == 0) {
        http_exchange_reply(x, &(struct http_reply){.status = 200, .content_type = "text/json"},
                            STR(answer));
        return;
    }
    s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    *s = (struct stream){.x = x, .left = n_events, .timer = {.on_due = next_event, .user = s}};
    http_exchange_hold(x);
    http_exchange_begin(x,
                        &(struct http_reply){.status = 200, .content_type = "text/event-stream"});
    loop_timer_set(loop, &s->timer, loop_now_ns(loop) + 200000);
}

static void on_fault(void *user, struct http_exchange *x, const struct http_fault *fault)
{
    (void)user;
    http_exchange_reply(x, &(struct http_reply){.status = fault->http_status}, STR(""));
}

static struct tls_server *tls;

static void use_certificate(const char *file)
{
    struct error err = {0};

    if (tls_server_create(&(struct tls_server_options){.certificate_file = file}, &tls, &err) !=
        OK) {
        fprintf(stderr, "relay: %s\n", err.text);
        exit(1);
    }
}

static struct http_server *serve(uint16_t port,
                                 void (*on_request)(void *user, struct http_exchange *x))
{
    const struct http_server_options o = {
        .host = "127.0.0.1",
        .port = port,
        .tls = tls,
        .server_name = "bench",
        .events = {.on_request = on_request, .on_fault = on_fault},
    };
    struct http_server *server = NULL;
    struct error err = {0};

    if (http_server_create(loop, &o, &server, &err) != OK) {
        fprintf(stderr, "relay: %s\n", err.text);
        exit(1);
    }
    return server;
}

/* --- the middle --- */

static struct http_origin *origin;
static uint64_t n_pass_max = UINT64_MAX;
static uint64_t n_passed;

struct passage {
    struct http_exchange *x;
    struct http_call *call;
    struct str piece;
    bool stream;
};

static void head_back(void *user, const struct http_head *head)
{
    struct passage *p = user;

    p->stream = head->body == HTTP_BODY_CHUNKED;
    if (p->stream) {
        http_exchange_begin(p->x, &(struct http_reply){.status = (int)head->status,
                                                       .content_type = "text/event-stream"});
    }
}

static void body_back(void *user, struct str piece)
{
    struct passage *p = user;

    if (p->stream) {
        if (http_exchange_write(p->x, piece) == E_AGAIN) {
            http_call_pause(p->call);
        }
    } else {
        http_exchange_reply(p->x, &(struct http_reply){.status = 200, .content_type = "text/json"},
                            piece); // whole, as it is small
    }
}

static void end_back(void *user, enum status rc, enum http_call_phase phase,
                     const struct error *why)
{
    struct passage *p = user;

    (void)phase;
    if (rc != OK) {
        fprintf(stderr, "relay: %s\n", why->text);
    }
    if (p->stream) {
        http_exchange_end(p->x);
    }
    http_exchange_listen(p->x, NULL, NULL);
    http_exchange_release(p->x);
    n_passed++;
    if (n_passed == n_pass_max) {
        loop_stop(loop);
    }
}

static void room(void *user)
{
    struct passage *p = user;

    http_call_resume(p->call);
}

static void gone(void *user)
{
    struct passage *p = user;

    http_call_cancel(p->call);
    http_exchange_release(p->x);
}

static void on_pass(void *user, struct http_exchange *x)
{
    static const struct http_call_events up = {head_back, body_back, end_back};
    static const struct http_exchange_events down = {.on_gone = gone, .on_room = room};
    static const struct http_field field = {{"content-type", 12}, {"application/json", 16}};
    struct passage *p = arena_zalloc(http_exchange_arena(x), 1, sizeof(*p));
    struct http_call_options q = {.permit = &permit,
                                  .method = STR("POST"),
                                  .target = http_exchange_head(x)->target,
                                  .fields = &field,
                                  .n_fields = 1,
                                  .n_pieces = 1,
                                  .events = &up};
    struct error err = {0};

    (void)user;
    CHECK(p != NULL);
    http_exchange_hold(x);
    p->x = x;
    p->piece = http_exchange_body(x);
    q.pieces = &p->piece;
    q.user = p;
    http_exchange_listen(x, &down, p);
    CHECK(http_call_start(origin, &q, &p->call, &err) == OK);
}

static struct http_client *connect_to(const char *url)
{
    const struct http_origin_options o = {.url = str_from_c(url), .idle_max = 1024};
    struct http_client *client = NULL;
    struct error err = {0};

    if (http_client_create(loop, &client, &err) != OK ||
        http_client_origin(client, &o, &origin, &err) != OK) {
        fprintf(stderr, "relay: %s\n", err.text);
        exit(1);
    }
    return client;
}

/* --- load --- */

static uint64_t n_left;
static uint64_t n_done;
static uint64_t n_running;

static void begin_one(void);

static void load_head(void *user, const struct http_head *head)
{
    (void)user;
    CHECK(head->status == 200);
}

static void load_body(void *user, struct str piece)
{
    (void)user;
    (void)piece;
}

static void load_end(void *user, enum status rc, enum http_call_phase phase,
                     const struct error *why)
{
    (void)user;
    (void)phase;
    n_running--;
    if (rc != OK) {
        fprintf(stderr, "relay: load: %s\n", why->text);
        exit(1);
    }
    n_done++;
    begin_one();
    if (n_running == 0) {
        loop_stop(loop);
    }
}

static void begin_one(void)
{
    static const struct http_call_events events = {load_head, load_body, load_end};
    static const struct str piece = {body, BODY_BYTES};
    const struct http_call_options q = {.permit = &permit,
                                        .method = STR("POST"),
                                        .target = STR("/v1/chat/completions"),
                                        .pieces = &piece,
                                        .n_pieces = 1,
                                        .events = &events};
    struct http_call *call;
    struct error err = {0};

    if (n_left > 0) {
        n_left--;
        n_running++;
        CHECK(http_call_start(origin, &q, &call, &err) == OK);
    }
}

/* --- processes --- */

static void start_loop(void)
{
    struct error err = {0};

    CHECK(loop_create(&loop, &err) == OK);
}

/* A child that serves until it is killed; its port comes through a pipe. */
static pid_t child(void (*on_request)(void *user, struct http_exchange *x), const char *url,
                   uint16_t *ret_port)
{
    int ends[2];
    pid_t pid;

    CHECK(pipe(ends) == 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        uint16_t port;

        start_loop();
        if (url != NULL) {
            (void)connect_to(url);
        }
        port = http_server_port(serve(0, on_request));
        CHECK(write(ends[1], &port, sizeof(port)) == sizeof(port));
        loop_run(loop);
        _exit(0);
    }
    CHECK(read(ends[0], ret_port, sizeof(*ret_port)) == sizeof(*ret_port));
    return pid;
}

/* Stop a child; its processor time in microseconds. */
static double stop(pid_t pid)
{
    struct rusage usage;

    kill(pid, SIGKILL);
    CHECK(wait4(pid, NULL, 0, &usage) == pid);
    return 1e6 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void measure(uint64_t n_requests, uint32_t n_connections)
{
    uint16_t up_port;
    uint16_t port;
    char url[64];
    const pid_t upstream = child(on_upstream, NULL, &up_port);
    pid_t middle;
    struct http_client *client;
    double cpu_us;
    double up_us;

    snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)up_port);
    middle = child(on_pass, url, &port);
    start_loop();
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)port);
    client = connect_to(url);
    n_left = n_requests;
    for (uint32_t i = 0; i < n_connections; i++) {
        begin_one();
    }
    loop_run(loop);
    http_client_release_origin(origin);
    http_client_destroy(client);
    cpu_us = stop(middle);
    up_us = stop(upstream);
    printf("requests=%llu connections=%u events=%u relay_us=%.1f upstream_us=%.1f",
           (unsigned long long)n_done, n_connections, n_events, cpu_us / (double)n_done,
           up_us / (double)n_done);
    if (n_events > 0) {
        printf(" relay_us_per_event=%.2f", cpu_us / (double)n_done / n_events);
    }
    printf("\n");
}

static uint32_t number(int argc, char **argv, const char *name, uint32_t fallback)
{
    for (int i = 1; i + 1 < argc; i++) {
        uint64_t value;

        if (strcmp(argv[i], name) == 0 && str_to_u64(str_from_c(argv[i + 1]), &value) == OK) {
            return (uint32_t)value;
        }
    }
    return fallback;
}

int main(int argc, char **argv)
{
    memset(body, 'x', sizeof(body));
    n_events = number(argc, argv, "--events", 0);
    if (argc >= 3 && strcmp(argv[1], "serve") == 0) {
        start_loop();
        (void)serve((uint16_t)number(argc, argv, "serve", 0), on_upstream);
        loop_run(loop);
    } else if (argc >= 4 && strcmp(argv[1], "pass") == 0) {
        start_loop();
        n_pass_max = number(argc, argv, "--requests", UINT32_MAX);
        if (argc >= 6 && strcmp(argv[4], "--certificate") == 0) {
            use_certificate(argv[5]);
        }
        (void)connect_to(argv[3]);
        (void)serve((uint16_t)number(argc, argv, "pass", 0), on_pass);
        loop_run(loop);
    } else {
        measure(number(argc, argv, "--requests", 50000), number(argc, argv, "--connections", 16));
    }
    return 0;
}
