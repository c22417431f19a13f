#include "net/http_parse.h"
#include "support/guard.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#define HOST "Host: a\r\n"
#define GET(rest) "GET / HTTP/1.1\r\n" HOST rest "\r\n"

static struct http_field fields[HTTP_FIELDS_MAX];

/* Measure and parse a request, all bytes at once.  0: accepted; else the HTTP status of the
 * refusal;
 * -1: not complete. */
static int verdict(struct str bytes, struct http_head *head)
{
    struct http_fault fault = {0};
    size_t n = 0;
    enum status rc = http_parse_end(bytes, 0, 0, &n, &fault);

    head->fields = fields;
    if (rc == E_AGAIN) {
        return -1;
    }
    if (rc == OK) {
        rc = http_parse_request(str_slice(bytes, 0, n), head, &fault);
    }
    return rc == OK ? 0 : fault.http_status;
}

/* The same, one more byte at a time; every copy ends at an unreadable page. */
static int verdict_dripping(struct str bytes, struct http_head *head)
{
    int v = -1;

    for (size_t n = 0; n <= bytes.len; n++) {
        struct guard g = guard_copy(str_slice(bytes, 0, n));
        struct http_fault fault = {0};
        size_t head_bytes = 0;
        enum status rc = http_parse_end(g.text, n == 0 ? 0 : n - 1, 0, &head_bytes, &fault);

        if (rc == OK) {
            head->fields = fields;
            rc = http_parse_request(str_slice(g.text, 0, head_bytes), head, &fault);
            v = rc == OK ? 0 : fault.http_status;
        } else if (rc != E_AGAIN) {
            v = fault.http_status;
        }
        guard_done(&g);
        if (rc != E_AGAIN) {
            return v;
        }
    }
    return v;
}

struct request_case {
    const char *bytes;
    int want;
};

static const struct request_case cases[] = {
    {GET(""), 0},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET http://example.com:80/x?y HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET https://[::1]:8000 HTTP/1.1\r\n" HOST "\r\n", 0},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0},
    {GET("a-b.c_d~!#$%&'*+^`|: v\r\n"), 0},
    {GET("X: \xC3\xA4\r\n"), 0},
    {GET("Empty:\r\n"), 0},
    {GET("Content-Length: 5\r\n"), 0},
    {GET("Transfer-Encoding: Chunked\r\n"), 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n", -1},
    {"", -1},
    {"G", -1},
    /* framing that two parsers could read differently */
    {GET("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
    {GET("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
    {GET("Content-Length: 5, 5\r\n"), 400},
    {GET("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
    {GET("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400},
    {GET("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
    {GET("Transfer-Encoding: gzip, chunked\r\n"), 501},
    {GET("Transfer-Encoding: chunked, identity\r\n"), 501},
    {GET("Transfer-Encoding: xchunked\r\n"), 501},
    {GET("Transfer-Encoding:\r\n"), 501},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {GET("Content-Length: +5\r\n"), 400},
    {GET("Content-Length: -1\r\n"), 400},
    {GET("Content-Length: 0x5\r\n"), 400},
    {GET("Content-Length:\r\n"), 400},
    {GET("Content-Length: 5 5\r\n"), 400},
    {GET("Content-Length: 1234567890123456789\r\n"), 400},
    {GET("Content-Length : 5\r\n"), 400},
    {GET("Transfer-Encoding : chunked\r\n"), 400},
    /* lines */
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},
    {GET("X: a\r\n b\r\n"), 400},
    {GET("X: a\r\n\tb\r\n"), 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {GET("X: a\x01z\r\n"), 400},
    {GET("X: a\x7Fz\r\n"), 400},
    {GET("X\xC3\xA4: a\r\n"), 400},
    {GET("X y: a\r\n"), 400},
    {GET(": a\r\n"), 400},
    {GET("no-colon\r\n"), 400},
    {GET("X\"y: a\r\n"), 400},
    /* request line */
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / http/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1x\r\n" HOST "\r\n", 400},
    {"GET / HTTP/01.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"GET /\r\n\r\n", 400},
    {"GET\r\n\r\n", 400},
    {"\r\n\r\n", 400},
    {"G@T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\xC3\xA4 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://a b/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"\x16\x03\x01\x02", 400}, // a TLS client on a plain port
    /* fields with rules of their own */
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {GET("Expect: 200-ok\r\n"), 417},
};

TEST(verdicts_whole_and_dripping)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_head head = {0};
        const struct str bytes = str_from_c(cases[i].bytes);
        const int whole = verdict(bytes, &head);
        const int dripping = verdict_dripping(bytes, &head);

        if (whole != cases[i].want || dripping != cases[i].want) {
            FAIL("case %zu \"%s\": whole %d, dripping %d, wanted %d", i, cases[i].bytes, whole,
                 dripping, cases[i].want);
        }
    }
}

TEST(nul_is_refused)
{
    static const char bytes[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    struct http_head head = {0};

    EXPECT_EQ_INT(verdict((struct str){bytes, sizeof(bytes) - 1}, &head), 400);
}

TEST(fields_of_a_request)
{
    static const char bytes[] = "POST /v1/chat?x=1&y HTTP/1.1\r\n"
                                "Host: [::1]:8000\r\n"
                                "content-length:  12 \t\r\n"
                                "X-Twice: one\r\n"
                                "x-twice: two\r\n"
                                "Expect: 100-Continue\r\n\r\nbody";
    struct http_head head = {0};
    const struct str *value;

    EXPECT_EQ_INT(verdict(str_from_c(bytes), &head), 0);
    EXPECT_EQ_STR(head.method, STR("POST"));
    EXPECT_EQ_STR(head.path, STR("/v1/chat"));
    EXPECT_EQ_STR(head.query, STR("x=1&y"));
    EXPECT_EQ_U32(head.n_fields, 5);
    EXPECT_EQ_U32(head.version_minor, 1);
    EXPECT_EQ_INT(head.body, HTTP_BODY_LENGTH);
    EXPECT_EQ_U64(head.content_length, 12);
    EXPECT_TRUE(head.keep_alive);
    EXPECT_TRUE(head.expect_continue);
    value = http_parse_field(&head, STR("X-TWICE"));
    EXPECT_TRUE(value != NULL);
    EXPECT_EQ_STR(*value, STR("one"));
    EXPECT_TRUE(http_parse_field(&head, STR("absent")) == NULL);
}

TEST(keep_alive_by_version_and_field)
{
    static const struct {
        const char *bytes;
        bool keep;
    } list[] = {
        {GET(""), true},
        {GET("Connection: close\r\n"), false},
        {GET("Connection: Upgrade, CLOSE\r\n"), false},
        {GET("Connection: keep-alive, close\r\n"), false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct http_head head = {0};

        EXPECT_EQ_INT(verdict(str_from_c(list[i].bytes), &head), 0);
        EXPECT_EQ_INT(head.keep_alive, list[i].keep);
    }
}

TEST(limits_have_their_statuses)
{
    static char big[HTTP_HEAD_BYTES_MAX + 64];
    struct http_fault fault = {0};
    struct http_head head = {0};
    size_t n = 0;
    size_t len;

    memset(big, 'a', sizeof(big));
    memcpy(big, "GET /", 5);
    EXPECT_STATUS(http_parse_end((struct str){big, sizeof(big)}, 0, 0, &n, &fault), E_LIMIT);
    EXPECT_EQ_INT(fault.http_status, 431);
    EXPECT_STATUS(http_parse_end((struct str){big, 100}, 0, 100, &n, &fault), E_LIMIT);
    memcpy(big + 5 + HTTP_TARGET_BYTES_MAX, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);
    len = 5 + HTTP_TARGET_BYTES_MAX + 22;
    EXPECT_EQ_INT(verdict((struct str){big, len}, &head), 414);
    len = (size_t)snprintf(big, sizeof(big), "GET / HTTP/1.1\r\n");
    for (int i = 0; i <= HTTP_FIELDS_MAX; i++) {
        len += (size_t)snprintf(big + len, sizeof(big) - len, "a: b\r\n");
    }
    len += (size_t)snprintf(big + len, sizeof(big) - len, "\r\n");
    EXPECT_EQ_INT(verdict((struct str){big, len}, &head), 431);
}

TEST(paths_are_decoded_once)
{
    static const struct {
        const char *raw;
        const char *want; // NULL: refused
    } list[] = {
        {"/v1/models/a%2Fb", "/v1/models/a/b"},
        {"/%25%32%66", "/%2f"}, // once, not twice
        {"/%C3%A4", "/\xC3\xA4"},
        {"/a+b", "/a+b"},
        {"/%", NULL},
        {"/%4", NULL},
        {"/%zz", NULL},
        {"/%00", NULL},
        {"/%0d%0aX: y", NULL},
        {"/%7f", NULL},
    };
    char out[64];

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct guard g = guard_copy(str_from_c(list[i].raw));
        struct str path = {NULL, 0};
        const enum status rc = http_parse_path(g.text, out, &path);

        if (list[i].want == NULL) {
            EXPECT_STATUS(rc, E_INVALID);
        } else {
            EXPECT_OK(rc);
            EXPECT_EQ_STR(path, str_from_c(list[i].want));
        }
        guard_done(&g);
    }
}

static enum status response(const char *bytes, bool to_head, struct http_head *head)
{
    struct http_fault fault = {0};
    size_t n = 0;
    enum status rc;

    head->fields = fields;
    EXPECT_OK(http_parse_end(str_from_c(bytes), 0, 0, &n, &fault));
    rc = http_parse_response(str_slice(str_from_c(bytes), 0, n), to_head, head, &fault);
    if (rc != OK) {
        EXPECT_EQ_INT(fault.http_status, 502);
    }
    return rc;
}

TEST(responses_know_their_body)
{
    struct http_head h;

    EXPECT_OK(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, &h));
    EXPECT_EQ_INT(h.body, HTTP_BODY_LENGTH);
    EXPECT_EQ_U32(h.status, 200);
    EXPECT_TRUE(h.keep_alive);
    EXPECT_OK(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, &h));
    EXPECT_EQ_INT(h.body, HTTP_BODY_NONE);
    EXPECT_OK(response("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false, &h));
    EXPECT_EQ_INT(h.body, HTTP_BODY_CHUNKED);
    EXPECT_OK(response("HTTP/1.1 200 OK\r\n\r\n", false, &h));
    EXPECT_EQ_INT(h.body, HTTP_BODY_UNTIL_EOF);
    EXPECT_FALSE(h.keep_alive);
    EXPECT_OK(response("HTTP/1.1 204 No Content\r\n\r\n", false, &h));
    EXPECT_EQ_INT(h.body, HTTP_BODY_NONE);
    EXPECT_TRUE(h.keep_alive);
}

TEST(bad_responses_are_502)
{
    struct http_head h;

    EXPECT_STATUS(response("HTTP/1.1 20 OK\r\n\r\n", false, &h), E_INVALID);
    EXPECT_STATUS(response("HTTP/1.1 2000 OK\r\n\r\n", false, &h), E_INVALID);
    EXPECT_STATUS(response("HTTP/1.1 999 OK\r\n\r\n", false, &h), E_INVALID);
    EXPECT_STATUS(response("ICY 200 OK\r\n\r\n", false, &h), E_INVALID);
    EXPECT_STATUS(response("HTTP/2.0 200 OK\r\n\r\n", false, &h), E_UNSUPPORTED);
    EXPECT_STATUS(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n",
                           false, &h),
                  E_INVALID);
}
