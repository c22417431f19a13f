#include "support/script_peer.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEP_MS 20000 // no step waits longer

int script_peer_listen(uint16_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT_TRUE(bind(fd, (struct sockaddr *)&addr, len) == 0);
    EXPECT_TRUE(listen(fd, 16) == 0);
    EXPECT_TRUE(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

uint16_t script_peer_dead_port(void)
{
    uint16_t port;

    close(script_peer_listen(&port));
    return port;
}

static bool ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, STEP_MS) == 1;
}

/* One more piece of input.  False at its end. */
static bool receive(struct script_peer *p, int fd)
{
    char bytes[65536];
    const ssize_t n = ready(fd) ? recv(fd, bytes, sizeof(bytes), 0) : -1;

    if (n <= 0) {
        return false;
    }
    buf_append(&p->got, bytes, (size_t)n);
    return true;
}

static size_t body_bytes(struct str head)
{
    const struct str name = STR("content-length: ");
    const size_t at = str_find(head, name, 0);
    uint64_t n = 0;

    if (at != SIZE_MAX) {
        const size_t begin = at + name.len;

        (void)!str_to_u64(str_slice(head, begin, str_find_byte(head, '\r', begin)), &n);
    }
    return (size_t)n;
}

static bool read_request(struct script_peer *p, int fd)
{
    const size_t begin = p->got.len;
    size_t end;
    size_t whole;

    for (;;) {
        end = str_find(buf_str(&p->got), STR("\r\n\r\n"), begin);
        if (end != SIZE_MAX) {
            break;
        }
        if (!receive(p, fd)) {
            return false;
        }
    }
    whole = end + 4 + body_bytes(str_slice(buf_str(&p->got), begin, end + 2));
    while (p->got.len < whole) {
        if (!receive(p, fd)) {
            return false;
        }
    }
    return true;
}

static bool send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool drip(int fd, const char *text)
{
    for (; *text != '\0'; text++) {
        if (!send_all(fd, text, 1)) {
            return false;
        }
        usleep(300);
    }
    return true;
}

static bool flood(int fd, uint32_t n)
{
    char bytes[4096];

    memset(bytes, 'x', sizeof(bytes));
    while (n > 0) {
        const size_t now = n < sizeof(bytes) ? n : sizeof(bytes);

        if (!send_all(fd, bytes, now)) {
            return false;
        }
        n -= (uint32_t)now;
    }
    return true;
}

static bool take_connection(struct script_peer *p)
{
    const int one = 1;
    const int fd = ready(p->fd) ? accept(p->fd, NULL, NULL) : -1;

    if (fd < 0 || p->n_conns == 16) {
        return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    p->conns[p->n_conns++] = fd;
    return true;
}

static void close_one(struct script_peer *p, uint32_t idx, bool reset)
{
    const struct linger l = {.l_onoff = 1};

    if (p->conns[idx] >= 0) {
        if (reset) {
            setsockopt(p->conns[idx], SOL_SOCKET, SO_LINGER, &l, sizeof(l));
        }
        close(p->conns[idx]);
        p->conns[idx] = -1;
    }
}

static bool gone(int fd)
{
    char bytes[65536];
    ssize_t n = 1;

    while (n > 0) {
        if (!ready(fd)) {
            return false;
        }
        n = recv(fd, bytes, sizeof(bytes), 0);
    }
    return true;
}

static bool step(struct script_peer *p, const struct script_step *s, uint32_t *current)
{
    const int fd = p->n_conns > 0 ? p->conns[*current] : -1;

    switch (s->op) {
    case SCRIPT_ACCEPT:
        if (!take_connection(p)) {
            return false;
        }
        *current = p->n_conns - 1;
        return true;
    case SCRIPT_READ:
        return read_request(p, fd);
    case SCRIPT_SEND:
        return send_all(fd, s->text, strlen(s->text));
    case SCRIPT_DRIP:
        return drip(fd, s->text);
    case SCRIPT_FLOOD:
        return flood(fd, s->n);
    case SCRIPT_FINISH:
        return shutdown(fd, SHUT_WR) == 0;
    case SCRIPT_CLOSE:
    case SCRIPT_RESET:
        close_one(p, *current, s->op == SCRIPT_RESET);
        return true;
    case SCRIPT_GONE:
        return gone(fd);
    case SCRIPT_SLEEP_MS:
        usleep(s->n * 1000);
        return true;
    case SCRIPT_USE:
        *current = s->n;
        return true;
    case SCRIPT_END:
        break;
    }
    return false;
}

static void *peer_main(void *user)
{
    struct script_peer *p = user;
    uint32_t current = 0;

    while (p->steps[p->at].op != SCRIPT_END && step(p, &p->steps[p->at], &current)) {
        p->at++;
    }
    for (uint32_t i = 0; i < p->n_conns; i++) {
        close_one(p, i, false);
    }
    return NULL;
}

void script_peer_start(struct script_peer *p, const struct script_step *steps)
{
    memset(p, 0, sizeof(*p));
    buf_init(&p->got, SIZE_MAX);
    p->steps = steps;
    p->fd = script_peer_listen(&p->port);
    EXPECT_TRUE(pthread_create(&p->thread, NULL, peer_main, p) == 0);
}

void script_peer_stop(struct script_peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->fd);
}

bool script_peer_complete(const struct script_peer *p)
{
    return p->steps[p->at].op == SCRIPT_END;
}
