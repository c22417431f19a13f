/* rig_main.c - `gateway_rig`: one run of a gateway benchmark.  Started by run.py.
 *
 *   gateway_rig MODE UPSTREAM_PORT PROXY_PORT CONNS REQUESTS [name=value ...]
 *
 * MODE  plain, stream, cancel-plain, cancel-stream
 * names key, body (bytes), text (bytes), events, interval_us, path
 * Proxy and upstream listen on 127.0.0.1; the upstream is this process.
 */
#include "rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct upstream_args {
    int listener;
    struct rig_answer answer;
    struct rig_shared *shared;
};

uint64_t rig_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

void rig_die(const char *what)
{
    fprintf(stderr, "gateway_rig: %s\n", what);
    exit(2);
}

uint64_t rig_number(const char *text)
{
    uint64_t n = 0;

    while (*text == ' ') {
        text++;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        n = n * 10 + (uint64_t)(*text - '0');
    }
    return n;
}

static void *upstream_thread(void *user)
{
    struct upstream_args *a = user;

    rig_upstream_run(a->listener, &a->answer, a->shared);
    return NULL;
}

static void set(struct rig_client *c, struct rig_answer *a, char *arg)
{
    char *value = strchr(arg, '=');

    if (value == NULL) {
        rig_die("arguments behind the fifth look like name=value");
    }
    *value++ = '\0';
    if (strcmp(arg, "key") == 0) {
        c->key = value;
    } else if (strcmp(arg, "path") == 0) {
        c->path = value;
    } else if (strcmp(arg, "body") == 0) {
        c->body_bytes = (uint32_t)rig_number(value);
    } else if (strcmp(arg, "text") == 0) {
        a->text_bytes = (uint32_t)rig_number(value);
    } else if (strcmp(arg, "events") == 0) {
        a->n_events = (uint32_t)rig_number(value);
    } else if (strcmp(arg, "interval_us") == 0) {
        a->interval_us = (uint32_t)rig_number(value);
    } else {
        rig_die("unknown name");
    }
}

int main(int argc, char **argv)
{
    static struct rig_shared shared;
    struct rig_client client = {.path = "/v1/chat/completions", .body_bytes = 600};
    struct upstream_args up = {
        .shared = &shared,
        .answer = {.n_events = 30, .interval_us = 0, .text_bytes = 40},
    };
    struct rlimit files;
    pthread_t thread;
    bool cancel;

    if (argc < 6) {
        rig_die("usage: gateway_rig MODE UPSTREAM_PORT PROXY_PORT CONNS REQUESTS [name=value ...]");
    }
    cancel = strncmp(argv[1], "cancel", 6) == 0;
    client.stream = strstr(argv[1], "stream") != NULL;
    client.port = (uint16_t)rig_number(argv[3]);
    client.n_conns = (uint32_t)rig_number(argv[4]);
    client.n_requests = rig_number(argv[5]);
    for (int i = 6; i < argc; i++) {
        set(&client, &up.answer, argv[i]);
    }
    up.answer.silent = cancel && !client.stream;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    up.listener = rig_upstream_listen((uint16_t)rig_number(argv[2]));
    if (pthread_create(&thread, NULL, upstream_thread, &up) != 0) {
        rig_die("no thread");
    }
    if (cancel) {
        rig_client_cancel(&client, &shared);
    } else {
        rig_client_run(&client);
    }
    atomic_store(&shared.stop, true);
    pthread_join(thread, NULL);
    return 0;
}
