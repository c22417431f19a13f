/* rig_client.c - clients in a closed loop, and the stopwatch of cancels. */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES_MAX 131072
#define WAIT_MS 10000

struct conn {
    int fd;
    uint64_t begun_ns;
    uint64_t first_ns;
    uint64_t n_events;
    size_t in_len;
    char in[IN_BYTES_MAX + 1]; // head, or the tail of a stream
    bool head_done;
    bool chunked;
    size_t left; // bytes of a body with a length
};

struct run {
    const struct rig_client *client;
    char *request;
    size_t request_len;
    uint64_t n_begun;
    uint64_t n_done;
    uint64_t n_errors;
    uint64_t n_events;
    uint64_t *latency_ns; // [n_requests]
    uint64_t *first_ns;   // [n_requests]
    uint64_t transit_ns;  // sum over events
};

static int dial(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int one = 1;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
        rig_die("cannot connect to the proxy");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void build_request(struct run *r)
{
    const struct rig_client *c = r->client;
    const size_t cap = c->body_bytes + 1024;
    char *body = malloc(cap);
    char *text = malloc(c->body_bytes + 1U);

    r->request = malloc(cap + 1024);
    if (body == NULL || text == NULL || r->request == NULL) {
        rig_die("no memory");
    }
    memset(text, 'a', c->body_bytes);
    text[c->body_bytes] = '\0';
    snprintf(body, cap,
             "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
             "\"max_tokens\":64%s}",
             text, c->stream ? ",\"stream\":true" : "");
    r->request_len = (size_t)
        snprintf(r->request, cap + 1024,
                 "POST %s HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n%s%s%s"
                 "content-length: %zu\r\n\r\n%s",
                 c->path, c->key != NULL ? "authorization: Bearer " : "",
                 c->key != NULL ? c->key : "", c->key != NULL ? "\r\n" : "", strlen(body), body);
    free(body);
    free(text);
}

static bool begin(struct run *r, struct conn *c)
{
    const char *bytes = r->request;
    size_t left = r->request_len;

    if (r->n_begun == r->client->n_requests) {
        return false;
    }
    r->n_begun++;
    c->begun_ns = rig_now_ns();
    c->first_ns = 0;
    c->in_len = 0;
    c->head_done = false;
    while (left > 0) {
        const ssize_t n = send(c->fd, bytes, left, MSG_NOSIGNAL);

        if (n < 0) {
            rig_die("the proxy closed a connection");
        }
        bytes += n;
        left -= (size_t)n;
    }
    return true;
}

static void finish(struct run *r, struct conn *c)
{
    const uint64_t now_ns = rig_now_ns();

    r->latency_ns[r->n_done] = now_ns - c->begun_ns;
    r->first_ns[r->n_done] = c->first_ns - c->begun_ns;
    r->n_done++;
}

/* Count events, and take the time each was under way from the number it carries. */
static void count_events(struct run *r, const char *bytes, size_t n, uint64_t now_ns)
{
    const char *end = bytes + n;
    const char *p = bytes;

    while ((p = memmem(p, (size_t)(end - p), "\"content\":\"", 11)) != NULL) {
        const uint64_t sent_ns = rig_number(p + 11);

        r->n_events++;
        r->transit_ns += now_ns > sent_ns ? now_ns - sent_ns : 0;
        p += 11;
    }
}

/* True once the answer is complete. */
static bool take_body(struct run *r, struct conn *c, const char *bytes, size_t n, uint64_t now_ns)
{
    if (c->chunked) {
        count_events(r, bytes, n, now_ns);
        return n >= 5 && memcmp(bytes + n - 5, "0\r\n\r\n", 5) == 0;
    }
    c->left -= n < c->left ? n : c->left;
    return c->left == 0;
}

static bool take(struct run *r, struct conn *c)
{
    const uint64_t now_ns = rig_now_ns();
    const char *field;
    char *end;

    c->first_ns = c->first_ns == 0 ? now_ns : c->first_ns;
    if (c->head_done) {
        const bool done = take_body(r, c, c->in, c->in_len, now_ns);

        c->in_len = 0;
        return done;
    }
    c->in[c->in_len] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (end == NULL) {
        return false;
    }
    end += 4;
    if (strncmp(c->in, "HTTP/1.1 200", 12) != 0) {
        if (r->n_errors++ == 0) {
            fprintf(stderr, "first refusal: %.*s\n", 600, c->in);
        }
    }
    c->head_done = true;
    field = strcasestr(c->in, "\r\ncontent-length:");
    c->chunked = field == NULL || field > end;
    c->left = c->chunked ? 0 : rig_number(field + 17);
    {
        const bool done = take_body(r, c, end, c->in_len - (size_t)(end - c->in), now_ns);

        c->in_len = 0;
        return done;
    }
}

/* One read per wake-up: sockets are level-triggered and blocking. */
static bool on_readable(struct run *r, struct conn *c)
{
    const ssize_t n = recv(c->fd, c->in + c->in_len, IN_BYTES_MAX - c->in_len, 0);

    if (n <= 0) {
        rig_die("the proxy closed a connection in mid-answer");
    }
    c->in_len += (size_t)n;
    if (!take(r, c)) {
        return true;
    }
    finish(r, c);
    return begin(r, c);
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double quantile_us(uint64_t *values, uint64_t n, double q)
{
    qsort(values, n, sizeof(*values), compare);
    return n == 0 ? 0 : (double)values[(uint64_t)((double)(n - 1) * q)] / 1000.0;
}

static void report(struct run *r, uint64_t ns)
{
    const double transit_us =
        r->n_events == 0 ? 0 : (double)r->transit_ns / 1000.0 / (double)r->n_events;
    const double p50 = quantile_us(r->latency_ns, r->n_done, 0.5);
    const double p99 = quantile_us(r->latency_ns, r->n_done, 0.99);

    printf("{\"requests\":%llu,\"errors\":%llu,\"events\":%llu,\"seconds\":%.4f,\"p50_us\":%.1f,"
           "\"p99_us\":%.1f,\"first_p50_us\":%.1f,\"event_transit_us\":%.1f}\n",
           (unsigned long long)r->n_done, (unsigned long long)r->n_errors,
           (unsigned long long)r->n_events, (double)ns / 1e9, p50, p99,
           quantile_us(r->first_ns, r->n_done, 0.5), transit_us);
}

void rig_client_run(const struct rig_client *client)
{
    struct run r = {.client = client};
    struct conn *conns = calloc(client->n_conns, sizeof(*conns));
    struct epoll_event ready[256];
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t begun_ns;

    r.latency_ns = calloc(client->n_requests, sizeof(uint64_t));
    r.first_ns = calloc(client->n_requests, sizeof(uint64_t));
    if (conns == NULL || r.latency_ns == NULL || r.first_ns == NULL || epoll < 0) {
        rig_die("no memory");
    }
    build_request(&r);
    begun_ns = rig_now_ns();
    for (uint32_t i = 0; i < client->n_conns; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &conns[i]};

        conns[i].fd = dial(client->port);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &ev) != 0) {
            rig_die("epoll_ctl");
        }
        (void)begin(&r, &conns[i]);
    }
    while (r.n_done < client->n_requests) {
        const int n = epoll_wait(epoll, ready, 256, WAIT_MS);

        if (n == 0) {
            rig_die("nothing came for 10 s");
        }
        for (int i = 0; i < n; i++) {
            (void)on_readable(&r, ready[i].data.ptr);
        }
    }
    report(&r, rig_now_ns() - begun_ns);
    for (uint32_t i = 0; i < client->n_conns; i++) {
        close(conns[i].fd);
    }
    close(epoll);
    free(conns);
    free(r.request);
    free(r.latency_ns);
    free(r.first_ns);
}

static void wait_until_not(const _Atomic uint64_t *value, uint64_t old)
{
    const uint64_t end_ns = rig_now_ns() + WAIT_MS * UINT64_C(1000000);

    while (atomic_load(value) == old) {
        if (rig_now_ns() > end_ns) {
            rig_die("the upstream saw nothing for 10 s");
        }
        usleep(20);
    }
}

void rig_client_cancel(const struct rig_client *client, struct rig_shared *shared)
{
    struct run r = {.client = client};
    struct conn *c = calloc(1, sizeof(*c));

    r.latency_ns = calloc(client->n_requests, sizeof(uint64_t));
    if (c == NULL || r.latency_ns == NULL) {
        rig_die("no memory");
    }
    build_request(&r);
    for (uint64_t i = 0; i < client->n_requests; i++) {
        const uint64_t n_requests = atomic_load(&shared->n_requests);
        const uint64_t n_sent = atomic_load(&shared->n_sent);
        const uint64_t closed_ns = atomic_load(&shared->closed_ns);
        uint64_t left_ns;

        c->fd = dial(client->port);
        (void)begin(&r, c);
        wait_until_not(&shared->n_requests, n_requests);
        if (client->stream) {
            wait_until_not(&shared->n_sent, n_sent);
        }
        usleep(2000);
        left_ns = rig_now_ns();
        close(c->fd);
        wait_until_not(&shared->closed_ns, closed_ns);
        r.latency_ns[i] = atomic_load(&shared->closed_ns) - left_ns;
    }
    printf("{\"cancels\":%llu,\"p50_us\":%.1f,\"worst_us\":%.1f}\n",
           (unsigned long long)client->n_requests,
           quantile_us(r.latency_ns, client->n_requests, 0.5),
           quantile_us(r.latency_ns, client->n_requests, 1.0));
    free(c);
    free(r.request);
    free(r.latency_ns);
}
