/* rig_upstream.c - an OpenAI server that costs next to nothing. */
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

#define TEXT_BYTES_MAX 16384
#define EVENT_BYTES_MAX (TEXT_BYTES_MAX + 512)
#define IN_BYTES_MAX (4U << 20)

struct conn {
    int fd;
    char *in; // [in_cap]
    size_t in_len;
    size_t in_cap;
    bool streaming;
    bool waiting; // a request was taken and will never be answered
    uint32_t n_sent;
    uint64_t due_ns;
    struct conn *prev; // list of streaming connections
    struct conn *next;
};

struct upstream {
    const struct rig_answer *answer;
    struct rig_shared *shared;
    int epoll;
    struct conn *streams;
    char text[TEXT_BYTES_MAX + 1];
};

static void link_stream(struct upstream *u, struct conn *c)
{
    c->streaming = true;
    c->n_sent = 0;
    c->due_ns = rig_now_ns();
    c->prev = NULL;
    c->next = u->streams;
    if (u->streams != NULL) {
        u->streams->prev = c;
    }
    u->streams = c;
}

static void unlink_stream(struct upstream *u, struct conn *c)
{
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        u->streams = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    c->streaming = false;
}

static void drop(struct upstream *u, struct conn *c)
{
    if (c->streaming || c->waiting) {
        atomic_store(&u->shared->closed_ns, rig_now_ns());
    }
    if (c->streaming) {
        unlink_stream(u, c);
    }
    close(c->fd);
    free(c->in);
    free(c);
}

/* Small answers into an empty socket buffer: a short write is a fault of the benchmark. */
static bool put(struct conn *c, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t k = send(c->fd, bytes, n, MSG_NOSIGNAL);

        if (k < 0 && errno == EAGAIN) {
            usleep(50);
            continue;
        }
        if (k <= 0) {
            return false;
        }
        bytes += k;
        n -= (size_t)k;
    }
    return true;
}

static bool answer_plain(struct upstream *u, struct conn *c)
{
    char body[EVENT_BYTES_MAX];
    char all[EVENT_BYTES_MAX + 256];
    const int n = snprintf(
        body, sizeof(body),
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1764028800,"
        "\"model\":\"m\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%.*s\"},"
        "\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":30,\"total_tokens\":50}}",
        (int)u->answer->text_bytes, u->text);
    const int m = snprintf(all, sizeof(all),
                           "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                           "content-length: %d\r\n\r\n%s",
                           n, body);

    return put(c, all, (size_t)m);
}

static bool put_event(struct conn *c, const char *data)
{
    char chunk[EVENT_BYTES_MAX + 64];
    const int n = snprintf(chunk, sizeof(chunk), "%zx\r\ndata: %s\n\n\r\n", strlen(data) + 8, data);

    return put(c, chunk, (size_t)n);
}

static bool stream_some(struct upstream *u, struct conn *c)
{
    char data[EVENT_BYTES_MAX];

    snprintf(data, sizeof(data),
             "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1764028800,"
             "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%llu %.*s\"},"
             "\"finish_reason\":null}]}",
             (unsigned long long)rig_now_ns(), (int)u->answer->text_bytes, u->text);
    if (!put_event(c, data)) {
        return false;
    }
    atomic_fetch_add(&u->shared->n_sent, 1);
    c->n_sent++;
    c->due_ns += (uint64_t)u->answer->interval_us * 1000;
    if (c->n_sent < u->answer->n_events) {
        return true;
    }
    unlink_stream(u, c);
    return put_event(c, "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\","
                        "\"created\":1764028800,\"model\":\"m\",\"choices\":[{\"index\":0,"
                        "\"delta\":{},\"finish_reason\":\"stop\"}]}") &&
           put_event(c, "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\","
                        "\"created\":1764028800,\"model\":\"m\",\"choices\":[],\"usage\":"
                        "{\"prompt_tokens\":20,\"completion_tokens\":30,\"total_tokens\":50}}") &&
           put_event(c, "[DONE]") && put(c, "0\r\n\r\n", 5);
}

static bool answer(struct upstream *u, struct conn *c, bool stream)
{
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                               "transfer-encoding: chunked\r\n\r\n";

    atomic_fetch_add(&u->shared->n_requests, 1);
    if (u->answer->silent) {
        c->waiting = true;
        return true;
    }
    if (!stream) {
        return answer_plain(u, c);
    }
    link_stream(u, c);
    return put(c, head, sizeof(head) - 1);
}

/* Take whole requests from c->in.  False: close. */
static bool take_requests(struct upstream *u, struct conn *c)
{
    for (;;) {
        char *end;
        const char *field;
        size_t head;
        size_t body = 0;
        bool stream;

        c->in[c->in_len] = '\0';
        end = strstr(c->in, "\r\n\r\n");
        if (end == NULL) {
            return true;
        }
        head = (size_t)(end - c->in) + 4;
        end[2] = '\0';
        field = strcasestr(c->in, "\r\ncontent-length:");
        if (field != NULL) {
            body = rig_number(field + 17);
        } else if (strcasestr(c->in, "\r\ntransfer-encoding:") != NULL) {
            rig_die("the proxy sends chunked requests, which this upstream does not read");
        }
        end[2] = '\r';
        if (c->in_len < head + body) {
            return true;
        }
        stream = memmem(c->in + head, body, "\"stream\":true", 13) != NULL;
        if (!answer(u, c, stream)) {
            return false;
        }
        c->in_len -= head + body;
        memmove(c->in, c->in + head + body, c->in_len);
    }
}

static bool receive(struct upstream *u, struct conn *c)
{
    for (;;) {
        ssize_t n;

        if (c->in_cap - c->in_len < RIG_READ_BYTES) {
            if (c->in_cap > IN_BYTES_MAX) {
                rig_die("a request is too large for this upstream");
            }
            c->in_cap = c->in_cap * 2 + RIG_READ_BYTES;
            c->in = realloc(c->in, c->in_cap + 1);
            if (c->in == NULL) {
                rig_die("no memory");
            }
        }
        n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
        if (n < 0 && errno == EAGAIN) {
            return true;
        }
        if (n <= 0) {
            return false;
        }
        c->in_len += (size_t)n;
        if (!take_requests(u, c)) {
            return false;
        }
    }
}

static void accept_all(struct upstream *u, int listener)
{
    const int one = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof(*c));
        struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};

        if (c == NULL) {
            rig_die("no memory");
        }
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (epoll_ctl(u->epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
            rig_die("epoll_ctl");
        }
    }
}

static void serve_due_streams(struct upstream *u)
{
    const uint64_t now_ns = rig_now_ns();
    struct conn *next;

    for (struct conn *c = u->streams; c != NULL; c = next) {
        next = c->next;
        if (c->due_ns <= now_ns && !stream_some(u, c)) {
            drop(u, c);
        }
    }
}

int rig_upstream_listen(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0 ||
        listen(fd, 4096) != 0) {
        rig_die("cannot listen for the upstream");
    }
    return fd;
}

void rig_upstream_run(int listener, const struct rig_answer *answer, struct rig_shared *shared)
{
    struct upstream u = {.answer = answer, .shared = shared, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event ready[256];

    if (answer->text_bytes > TEXT_BYTES_MAX) {
        rig_die("too much text");
    }
    memset(u.text, 'x', sizeof(u.text) - 1);
    if (u.epoll < 0 || epoll_ctl(u.epoll, EPOLL_CTL_ADD, listener, &ev) != 0) {
        rig_die("epoll");
    }
    while (!atomic_load(&shared->stop)) {
        const int n = epoll_wait(u.epoll, ready, 256, u.streams == NULL ? 20 : 1);

        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;

            if (c == NULL) {
                accept_all(&u, listener);
            } else if (!receive(&u, c)) {
                drop(&u, c);
            }
        }
        serve_due_streams(&u);
    }
    close(u.epoll);
}
