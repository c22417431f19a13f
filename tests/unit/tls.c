/* TLS between our own server and client, and the bytes of one stream between two sockets. */
#include "net/egress.h"
#include "net/http_server.h"
#include "net/permit.h"
#include "net/tls_stream.h"
#include "net/transport.h"
#include "support/certificates.h"
#include "support/client_bench.h"
#include "support/script_peer.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct temp_folder folder;
static struct certificates certs;
static struct certificate_files good;

static void setup(void)
{
    temp_folder_open(&folder);
    certificates_init(&certs, folder.path);
    certificates_issue(&certs, "good", "DNS:localhost,IP:127.0.0.1", -1, 10, &good);
}

static void teardown(void)
{
    certificates_done(&certs);
    temp_folder_close(&folder);
}

/* --- server and client in one loop --- */

static void echo(void *user, struct http_exchange *x)
{
    (void)user;
    http_exchange_reply(x, &(struct http_reply){.status = 200}, http_exchange_body(x));
}

static void on_fault(void *user, struct http_exchange *x, const struct http_fault *fault)
{
    (void)user;
    http_exchange_reply(x, &(struct http_reply){.status = fault->http_status},
                        str_from_c(fault->text));
}

struct pair {
    struct tls_server *tls;
    struct tls_client *trust;
    struct http_server *server;
    struct client_bench b;
};

static void pair_start(struct pair *p, const struct tls_server_options *server,
                       const struct tls_client_options *client, const char *host)
{
    struct http_server_options o = {.host = "127.0.0.1",
                                    .server_name = "test",
                                    .limits = {.handshake_timeout_ms = 50},
                                    .events = {.on_request = echo, .on_fault = on_fault}};
    struct http_origin_options origin = {0};
    struct error err = {0};
    struct loop *loop = NULL;
    char url[128];

    EXPECT_OK(tls_server_create(server, &p->tls, &err));
    EXPECT_OK(tls_client_create(client, &p->trust, &err));
    EXPECT_OK(loop_create(&loop, &err));
    o.tls = p->tls;
    EXPECT_OK(http_server_create(loop, &o, &p->server, &err));
    snprintf(url, sizeof(url), "https://%s:%u", host, (unsigned)http_server_port(p->server));
    origin.url = str_from_c(url);
    origin.tls = p->trust;
    client_bench_start_in(&p->b, loop, 0, &origin);
}

static void pair_stop(struct pair *p)
{
    struct loop *loop = p->b.loop;

    client_bench_leave(&p->b);
    http_server_destroy(p->server);
    loop_destroy(loop);
    tls_client_destroy(p->trust);
    tls_server_destroy(p->tls);
}

static struct tls_server_options files_of(const struct certificate_files *f)
{
    return (struct tls_server_options){.certificate_file = f->certificate, .key_file = f->key};
}

TEST(large_bodies_both_ways_and_one_connection)
{
    enum { N = 300 };
    static struct str pieces[N];
    struct http_call_options q = client_bench_post;
    const size_t n_bytes = 3000000;
    char *bytes = malloc(n_bytes);
    struct tls_server_options so;
    struct pair p = {0};

    setup();
    for (size_t i = 0; i < n_bytes; i++) {
        bytes[i] = (char)(i * 31 % 251);
    }
    for (size_t i = 0; i < N; i++) {
        pieces[i] = (struct str){bytes + i * (n_bytes / N), n_bytes / N};
    }
    so = files_of(&good);
    pair_start(&p, &so, &(struct tls_client_options){.ca_file = certs.ca}, "localhost");
    q.pieces = pieces;
    q.n_pieces = N;
    for (int i = 0; i < 3; i++) {
        struct answer a = {.pause_every = i == 1 ? 1 : 0};

        client_bench_call(&p.b, &a, &q);
        client_bench_run(&p.b, 0);
        EXPECT_STATUS(a.rc, OK);
        EXPECT_EQ_STR(buf_str(&a.body), ((struct str){bytes, n_bytes}));
        EXPECT_EQ_U32(http_server_connection_count(p.server), 1);
        client_bench_done(&a);
    }
    pair_stop(&p);
    free(bytes);
    teardown();
}

TEST(certificates_that_are_refused_say_why)
{
    static const struct {
        const char *names;
        int from, to;
        const char *host;
        bool trusted;
        const char *why; // NULL: accepted
    } list[] = {
        {"DNS:localhost", -1, 10, "localhost", true, NULL},
        {"IP:127.0.0.1", -1, 10, "127.0.0.1", true, NULL},
        {"DNS:localhost", -1, 10, "127.0.0.1", true, "for \"localhost\", not for \"127.0.0.1\""},
        {"DNS:upstream.test", -1, 10, "localhost", true, "for \"upstream.test\""},
        {"DNS:localhost", -1, 10, "localhost", false, "not trusted here"},
        {"DNS:localhost", 1, 10, "localhost", true, "not valid yet"},
    };

    setup();
    for (size_t i = 0; i < COUNT(list); i++) {
        struct certificate_files f;
        struct tls_server_options so;
        const struct tls_client_options co = {.ca_file = list[i].trusted ? certs.ca : NULL};
        struct pair p = {0};
        struct answer a = {0};

        certificates_issue(&certs, "case", list[i].names, list[i].from, list[i].to, &f);
        so = files_of(&f);
        pair_start(&p, &so, &co, list[i].host);
        client_bench_call(&p.b, &a, &client_bench_post);
        client_bench_run(&p.b, 0);
        EXPECT_STATUS(a.rc, list[i].why == NULL ? OK : E_IO);
        if (list[i].why != NULL) {
            EXPECT_EQ_INT(a.phase, HTTP_CALL_CONNECT);
            EXPECT_CONTAINS(a.why, list[i].why);
        }
        client_bench_done(&a);
        pair_stop(&p);
    }
    teardown();
}

TEST(another_name_or_no_check_can_be_asked_for)
{
    const struct tls_client_options list[] = {
        {.ca_file = NULL, .insecure = true},
        {.ca_file = certs.ca, .server_name = "upstream.test"},
    };

    setup();
    for (size_t i = 0; i < COUNT(list); i++) {
        struct certificate_files f;
        struct tls_server_options so;
        struct pair p = {0};
        struct answer a = {0};

        certificates_issue(&certs, "case", "DNS:upstream.test", -1, 10, &f);
        so = files_of(&f);
        pair_start(&p, &so, &list[i], "127.0.0.1");
        client_bench_call(&p.b, &a, &client_bench_post);
        client_bench_run(&p.b, 0);
        EXPECT_STATUS(a.rc, OK);
        client_bench_done(&a);
        pair_stop(&p);
    }
    teardown();
}

TEST(a_client_certificate_is_asked_for)
{
    setup();
    for (int with = 0; with < 2; with++) {
        struct certificate_files f;
        struct tls_server_options so = files_of(&good);
        struct tls_client_options co = {.ca_file = certs.ca};
        struct pair p = {0};
        struct answer a = {0};

        certificates_issue(&certs, "client", "DNS:client.test", -1, 10, &f);
        so.client_ca_file = certs.ca;
        co.certificate_file = with != 0 ? f.certificate : NULL;
        co.key_file = with != 0 ? f.key : NULL;
        pair_start(&p, &so, &co, "localhost");
        client_bench_call(&p.b, &a, &client_bench_post);
        client_bench_run(&p.b, 0);
        EXPECT_TRUE((a.rc == OK) == (with != 0));
        client_bench_done(&a);
        pair_stop(&p);
    }
    teardown();
}

static void overwrite(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    EXPECT_TRUE(f != NULL);
    fputs(text, f);
    fclose(f);
}

TEST(changed_files_are_loaded_and_broken_ones_are_not)
{
    struct certificate_files f;
    struct tls_server_options so;
    struct pair p = {0};
    struct answer a[3] = {0};
    struct error err = {0};
    bool changed;

    setup();
    certificates_issue(&certs, "case", "DNS:old.test", -1, 10, &f);
    so = files_of(&f);
    pair_start(&p, &so, &(struct tls_client_options){.ca_file = certs.ca}, "localhost");
    client_bench_call(&p.b, &a[0], &client_bench_post);
    client_bench_run(&p.b, 0);
    EXPECT_CONTAINS(a[0].why, "old.test");
    EXPECT_OK(tls_server_refresh(p.tls, &changed, &err));
    EXPECT_FALSE(changed);
    certificates_issue(&certs, "case", "DNS:localhost", -1, 10, &f);
    EXPECT_OK(tls_server_refresh(p.tls, &changed, &err));
    EXPECT_TRUE(changed);
    client_bench_call(&p.b, &a[1], &client_bench_post);
    client_bench_run(&p.b, 0);
    EXPECT_STATUS(a[1].rc, OK);
    overwrite(f.certificate, "no certificate\n");
    EXPECT_STATUS(tls_server_refresh(p.tls, &changed, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, f.certificate);
    EXPECT_OK(tls_server_refresh(p.tls, &changed, &err)); // said once
    EXPECT_FALSE(changed);
    client_bench_call(&p.b, &a[2], &client_bench_post);
    client_bench_run(&p.b, 0);
    EXPECT_STATUS(a[2].rc, OK);
    for (int i = 0; i < 3; i++) {
        client_bench_done(&a[i]);
    }
    pair_stop(&p);
    teardown();
}

TEST(settings_that_cannot_work_are_named)
{
    struct certificate_files other;
    struct certificate_files old;
    struct tls_server *tls = NULL;
    struct tls_client *client = NULL;
    struct error err = {0};

    setup();
    certificates_issue(&certs, "other", "DNS:localhost", -1, 10, &other);
    certificates_issue(&certs, "old", "DNS:localhost", -10, -1, &old);
    {
        const struct {
            struct tls_server_options o;
            const char *why;
        } list[] = {
            {{.certificate_file = "/nonexistent.pem"}, "Cannot read the certificate"},
            {{.certificate_file = good.certificate, .key_file = "/nonexistent.key"},
             "Cannot read the key"},
            {{.certificate_file = good.certificate, .key_file = other.key}, "does not belong"},
            {{.certificate_file = good.key, .key_file = good.key}, "no usable certificate"},
            {{.certificate_file = good.certificate}, "no usable key"},
            {{.certificate_file = old.certificate, .key_file = old.key}, "has expired"},
        };

        for (size_t i = 0; i < COUNT(list); i++) {
            EXPECT_STATUS(tls_server_create(&list[i].o, &tls, &err), E_INVALID);
            EXPECT_CONTAINS(err.text, list[i].why);
        }
    }
    EXPECT_STATUS(tls_client_create(&(struct tls_client_options){.ca_file = good.key}, &client,
                                    &err),
                  E_INVALID);
    EXPECT_CONTAINS(err.text, "no certificate authority");
    teardown();
}

TEST(plain_http_on_a_tls_port_is_told_so)
{
    struct tls_server_options so;
    struct pair p = {0};
    struct client_bench plain;
    struct answer a = {0};

    setup();
    so = files_of(&good);
    pair_start(&p, &so, &(struct tls_client_options){.ca_file = certs.ca}, "localhost");
    client_bench_start_in(&plain, p.b.loop, http_server_port(p.server), NULL);
    client_bench_call(&plain, &a, &client_bench_get);
    client_bench_run(&plain, 0);
    EXPECT_STATUS(a.rc, OK);
    EXPECT_EQ_U32(a.status, 400);
    EXPECT_EQ_STR(buf_str(&a.body), STR("This port speaks TLS. Use https://."));
    client_bench_leave(&plain);
    client_bench_done(&a);
    pair_stop(&p);
    teardown();
}

TEST(tls_to_a_plain_port_is_told_so_and_silence_has_a_deadline)
{
    static const struct script_step plain[] = {{.op = SCRIPT_ACCEPT},
                                               {SCRIPT_SEND, "HTTP/1.1 400 Bad Request\r\n\r\n", 0},
                                               {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    static const struct script_step mute[] = {{.op = SCRIPT_ACCEPT},
                                              {.op = SCRIPT_GONE},
                                              {.op = SCRIPT_END}};
    static const struct script_step closing[] = {{.op = SCRIPT_ACCEPT},
                                                 {.op = SCRIPT_CLOSE},
                                                 {.op = SCRIPT_END}};
    const struct {
        const struct script_step *steps;
        enum status rc;
        const char *why;
    } list[] = {{plain, E_IO, "does not speak TLS"},
                {mute, E_TIMEOUT, "time"},
                {closing, E_IO, "No TLS connection"}};

    for (size_t i = 0; i < COUNT(list); i++) {
        struct http_call_options q = client_bench_get;
        struct http_origin_options o = {0};
        struct script_peer peer;
        struct client_bench b;
        struct answer a = {0};
        char url[64];

        script_peer_start(&peer, list[i].steps);
        snprintf(url, sizeof(url), "https://127.0.0.1:%u", (unsigned)peer.port);
        o.url = str_from_c(url);
        client_bench_start(&b, 0, &o);
        q.connect_timeout_ms = 100;
        client_bench_call(&b, &a, &q);
        client_bench_run(&b, 0);
        EXPECT_STATUS(a.rc, list[i].rc);
        EXPECT_EQ_INT(a.phase, HTTP_CALL_CONNECT);
        EXPECT_CONTAINS(a.why, list[i].why);
        client_bench_stop(&b);
        script_peer_stop(&peer);
        client_bench_done(&a);
        buf_done(&peer.got);
    }
}

TEST(a_client_that_never_shakes_hands_is_closed)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct tls_server_options so;
    struct pair p = {0};
    char byte;

    setup();
    so = files_of(&good);
    pair_start(&p, &so, &(struct tls_client_options){.ca_file = certs.ca}, "localhost");
    addr.sin_port = htons(http_server_port(p.server));
    EXPECT_TRUE(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    for (int i = 0; i < 100 && http_server_connection_count(p.server) == 0; i++) {
        client_bench_pass(&p.b, 1);
    }
    EXPECT_EQ_U32(http_server_connection_count(p.server), 1);
    for (int i = 0; i < 2000 && http_server_connection_count(p.server) > 0; i++) {
        client_bench_pass(&p.b, 1);
    }
    EXPECT_EQ_U32(http_server_connection_count(p.server), 0);
    EXPECT_TRUE(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    pair_stop(&p);
    teardown();
}

/* --- a server of OpenSSL's own, which may do what ours refuses to --- */

struct raw_server {
    int fd;
    uint16_t port;
    const struct certificate_files *files;
    bool announce; // the end
    pthread_t thread;
};

static void *raw_main(void *user)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\n\r\nabc";
    const struct raw_server *r = user;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    const int fd = accept(r->fd, NULL, NULL);
    char bytes[4096];
    SSL *ssl;
    sigset_t pipe_signal;

    sigemptyset(&pipe_signal); // OpenSSL's own sockets raise it
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
    SSL_CTX_use_certificate_chain_file(context, r->files->certificate);
    SSL_CTX_use_PrivateKey_file(context, r->files->key, SSL_FILETYPE_PEM);
    ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, bytes, sizeof(bytes)) > 0) {
        SSL_write(ssl, answer, sizeof(answer) - 1);
        if (r->announce) {
            SSL_shutdown(ssl);
        }
    }
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
    return NULL;
}

/* One GET to such a server. */
static void ask_raw(const struct certificate_files *files, bool announce, struct answer *ret)
{
    struct raw_server r = {.files = files, .announce = announce};
    struct http_origin_options o = {0};
    struct tls_client *trust = NULL;
    struct client_bench b;
    struct error err = {0};
    char url[64];

    r.fd = script_peer_listen(&r.port);
    EXPECT_TRUE(pthread_create(&r.thread, NULL, raw_main, &r) == 0);
    EXPECT_OK(tls_client_create(&(struct tls_client_options){.ca_file = certs.ca}, &trust, &err));
    snprintf(url, sizeof(url), "https://127.0.0.1:%u", (unsigned)r.port);
    o.url = str_from_c(url);
    o.tls = trust;
    client_bench_start(&b, 0, &o);
    client_bench_call(&b, ret, &client_bench_get);
    client_bench_run(&b, 0);
    client_bench_stop(&b);
    pthread_join(r.thread, NULL);
    close(r.fd);
    tls_client_destroy(trust);
}

TEST(an_answer_until_the_end_needs_an_announced_end)
{
    setup();
    for (int announce = 0; announce < 2; announce++) {
        struct answer a = {0};

        ask_raw(&good, announce != 0, &a);
        EXPECT_EQ_STR(buf_str(&a.body), STR("abc"));
        EXPECT_STATUS(a.rc, announce != 0 ? OK : E_IO);
        EXPECT_EQ_INT(a.phase, announce != 0 ? HTTP_CALL_END : HTTP_CALL_BODY);
        client_bench_done(&a);
    }
    teardown();
}

TEST(an_expired_certificate_is_refused)
{
    struct certificate_files old;
    struct answer a = {0};

    setup();
    certificates_issue(&certs, "old", "IP:127.0.0.1", -10, -1, &old);
    ask_raw(&old, true, &a);
    EXPECT_STATUS(a.rc, E_IO);
    EXPECT_EQ_INT(a.phase, HTTP_CALL_CONNECT);
    EXPECT_CONTAINS(a.why, "certificate has expired");
    client_bench_done(&a);
    teardown();
}

/* --- one stream between two sockets --- */

struct streams {
    int fds[2];
    struct transport server;
    struct transport client;
};

static void streams_start(struct streams *s, struct tls_server *server,
                          const struct tls_client *client, struct tls_session *session)
{
    bool done[2] = {false, false};

    EXPECT_TRUE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s->fds) == 0);
    s->server = (struct transport){.fd = s->fds[0]};
    s->client = (struct transport){.fd = s->fds[1]};
    transport_secure(&s->server, tls_stream_accept(server, s->fds[0]));
    transport_secure(&s->client, tls_stream_connect(client, s->fds[1], STR("localhost"), session));
    for (int i = 0; i < 20 && !(done[0] && done[1]); i++) {
        enum status rc = done[1] ? OK : transport_handshake(&s->client);

        EXPECT_TRUE(rc == OK || rc == E_AGAIN);
        done[1] = rc == OK;
        rc = done[0] ? OK : transport_handshake(&s->server);
        EXPECT_TRUE(rc == OK || rc == E_AGAIN);
        done[0] = rc == OK;
    }
    EXPECT_TRUE(done[0] && done[1]);
}

static void streams_stop(struct streams *s)
{
    transport_close(&s->server);
    transport_close(&s->client);
}

TEST(a_session_is_taken_up_again)
{
    struct tls_server_options so;
    struct tls_server *server = NULL;
    struct tls_client *client = NULL;
    struct tls_session session = {NULL};
    struct streams s;
    struct error err = {0};
    char bytes[64];
    size_t n = 0;

    setup();
    so = files_of(&good);
    EXPECT_OK(tls_server_create(&so, &server, &err));
    EXPECT_OK(tls_client_create(&(struct tls_client_options){.ca_file = certs.ca}, &client, &err));
    for (int i = 0; i < 3; i++) {
        streams_start(&s, server, client, &session);
        EXPECT_TRUE(tls_stream_resumed(s.client.tls) == (i > 0));
        EXPECT_OK(transport_write(&s.server, "hello", 5, &n));
        EXPECT_OK(transport_read(&s.client, bytes, sizeof(bytes), &n)); // and the ticket before it
        EXPECT_EQ_STR(((struct str){bytes, n}), STR("hello"));
        EXPECT_TRUE(s.client.empty);
        streams_stop(&s);
    }
    tls_stream_forget(&session);
    tls_client_destroy(client);
    tls_server_destroy(server);
    teardown();
}

TEST(an_announced_end_and_a_cut_off_differ)
{
    struct tls_server_options so;
    struct tls_server *server = NULL;
    struct tls_client *client = NULL;
    struct streams s;
    struct error err = {0};
    char bytes[64];
    size_t n = 0;

    setup();
    so = files_of(&good);
    EXPECT_OK(tls_server_create(&so, &server, &err));
    EXPECT_OK(tls_client_create(&(struct tls_client_options){.ca_file = certs.ca}, &client, &err));
    for (int cut = 0; cut < 2; cut++) {
        streams_start(&s, server, client, NULL);
        EXPECT_OK(transport_write(&s.server, "hello", 5, &n));
        if (cut != 0) {
            transport_close(&s.server);
        } else {
            transport_finish(&s.server);
        }
        EXPECT_OK(transport_read(&s.client, bytes, sizeof(bytes), &n));
        EXPECT_EQ_SIZE(n, 5);
        EXPECT_STATUS(transport_read(&s.client, bytes, sizeof(bytes), &n),
                      cut != 0 ? E_IO : E_CLOSED);
        if (cut == 0) { // half closed: the other way is still open
            EXPECT_OK(transport_write(&s.client, "bye", 3, &n));
            EXPECT_OK(transport_read(&s.server, bytes, sizeof(bytes), &n));
            EXPECT_EQ_SIZE(n, 3);
        }
        streams_stop(&s);
    }
    tls_client_destroy(client);
    tls_server_destroy(server);
    teardown();
}

/* The peer's bytes come one at a time: the handshake and the records do not mind. */
TEST(records_may_arrive_byte_by_byte)
{
    struct tls_server_options so;
    struct tls_server *server = NULL;
    struct tls_client *client = NULL;
    struct streams s;
    struct error err = {0};
    int between[2];
    char wire[8192];
    char bytes[64];
    ssize_t n_wire;
    size_t n = 0;
    size_t got = 0;

    setup();
    so = files_of(&good);
    EXPECT_OK(tls_server_create(&so, &server, &err));
    EXPECT_OK(tls_client_create(&(struct tls_client_options){.ca_file = certs.ca}, &client, &err));
    streams_start(&s, server, client, NULL);
    // Catch what the server wrote, then feed it slowly.
    EXPECT_OK(transport_write(&s.server, "hello", 5, &n));
    n_wire = recv(s.fds[1], wire, sizeof(wire), 0);
    EXPECT_TRUE(n_wire > 5);
    EXPECT_TRUE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, between) == 0);
    EXPECT_TRUE(dup2(between[0], s.fds[1]) == s.fds[1]);
    for (ssize_t i = 0; i < n_wire; i++) {
        enum status rc;

        EXPECT_TRUE(send(between[1], wire + i, 1, 0) == 1);
        rc = transport_read(&s.client, bytes + got, sizeof(bytes) - got, &n);
        EXPECT_TRUE(rc == OK || rc == E_AGAIN);
        got += rc == OK ? n : 0;
    }
    EXPECT_EQ_STR(((struct str){bytes, got}), STR("hello"));
    close(between[0]);
    close(between[1]);
    streams_stop(&s);
    tls_client_destroy(client);
    tls_server_destroy(server);
    teardown();
}
