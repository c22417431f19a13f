"""Requests that two parsers could read differently, and other hostile bytes: each gets its status,
the connection ends, and the server goes on serving."""
import json

from fake_server import FakeServer, status_of
from harness import expect, expect_true, main, test

HOST = b"Host: a\r\n"
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"

CASES = [
    # (name, bytes, status)
    ("cl_with_te", CHAT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("te_with_cl", CHAT + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("differing_cl", CHAT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ", 400),
    ("equal_cl_twice", CHAT + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    ("cl_list", CHAT + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    ("cl_plus", CHAT + b"Content-Length: +2\r\n\r\n{}", 400),
    ("cl_minus", CHAT + b"Content-Length: -2\r\n\r\n{}", 400),
    ("cl_hex", CHAT + b"Content-Length: 0x2\r\n\r\n{}", 400),
    ("cl_huge", CHAT + b"Content-Length: 99999999999999999999\r\n\r\n{}", 400),
    ("cl_over_limit", CHAT + b"Content-Length: 999999999999\r\n\r\n{}", 413),
    ("te_gzip", CHAT + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("te_unknown", CHAT + b"Transfer-Encoding: x\r\n\r\n", 501),
    ("te_in_http10", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("bare_lf", b"GET /health HTTP/1.1\nHost: a\n\n", 400),
    ("bare_lf_in_fields", b"GET /health HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    ("bare_cr", b"GET /health HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    ("obs_fold", b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    ("fold_first", b"GET /health HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("nul_in_value", b"GET /health HTTP/1.1\r\nHost: a\0\r\n\r\n", 400),
    ("nul_in_target", b"GET /he\0alth HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("name_not_token", b"GET /health HTTP/1.1\r\n" + HOST + b"X(y): a\r\n\r\n", 400),
    ("space_before_colon", b"GET /health HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400),
    ("no_host", b"GET /health HTTP/1.1\r\n\r\n", 400),
    ("two_hosts", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("lower_http", b"GET /health http/1.1\r\n" + HOST + b"\r\n", 400),
    ("http_2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("http_12", b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    ("two_spaces", b"GET  /health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("no_version", b"GET /health\r\n\r\n", 400),
    ("tls_hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("fragment", b"GET /health#x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("raw_utf8_target", "GET /hällo HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 400),
    ("bad_escape", b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("nul_escape", b"GET /health%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("connect", b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("long_target", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ("many_fields", b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 200 + b"\r\n", 431),
    ("large_head", b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 70000 + b"\r\n\r\n", 431),
    ("expect_other", CHAT + b"Expect: 200\r\nContent-Length: 2\r\n\r\n{}", 417),
]

CHUNKS = [
    ("bad_size", b"zz\r\n{}\r\n0\r\n\r\n", 400),
    ("size_0x", b"0x2\r\n{}\r\n0\r\n\r\n", 400),
    ("size_minus", b"-2\r\n{}\r\n0\r\n\r\n", 400),
    ("size_blank", b" 2\r\n{}\r\n0\r\n\r\n", 400),
    ("size_blank_behind", b"2 \r\n{}\r\n0\r\n\r\n", 400),
    ("size_huge", b"ffffffffffffffff1\r\n", 400),
    ("size_wraps", b"10000000000000002\r\n{}\r\n0\r\n\r\n", 400),
    ("longer_than_size", b"2\r\n{}}\r\n0\r\n\r\n", 400),
    ("lf_only", b"2\n{}\n0\n\n", 400),
    ("lf_behind_data", b"2\r\n{}\n0\r\n\r\n", 400),
    ("extension_lf", b"2;a\n\r\n{}\r\n0\r\n\r\n", 400),
    ("extension_long", b"2;" + b"a" * 5000 + b"\r\n{}\r\n0\r\n\r\n", 400),
    ("trailer_folded", b"2\r\n{}\r\n0\r\n X: a\r\n\r\n", 400),
    ("trailer_long", b"2\r\n{}\r\n0\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
]


@test
def hostile_heads_are_refused():
    with FakeServer() as server:
        for name, sent, status in CASES:
            got = server.raw(sent)
            expect(status_of(got), status, name)
            error_is_shown(got, name)
        expect_true(server.alive(), "alive")
        expect(server.get("/health").status, 200)


@test
def hostile_chunks_are_refused():
    with FakeServer() as server:
        for name, sent, status in CHUNKS:
            got = server.raw(CHAT + b"Transfer-Encoding: chunked\r\n\r\n" + sent)
            expect(status_of(got), status, name)
            error_is_shown(got, name)
        expect(server.get("/health").status, 200)


def error_is_shown(got, name):
    head, _, body = got.partition(b"\r\n\r\n")
    expect_true(b"connection: close" in head.lower(), f"{name} closes")
    expect_true(b"content-type: application/json" in head.lower(), f"{name} is JSON")
    error = json.loads(body)["error"]
    expect(set(error), {"message", "type", "param", "code"}, name)
    expect_true(error["message"], name)


@test
def nothing_behind_a_refused_request_is_answered():
    smuggled = b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n"
    with FakeServer() as server:
        for name, sent, _ in CASES[:12]:
            got = server.raw(sent + smuggled)
            expect(got.count(b"HTTP/1.1 "), 1, name)


@test
def slow_heads_and_bodies_meet_absolute_deadlines():
    with FakeServer(head_ms=300, body_ms=300, idle_ms=300) as server:
        for name, first, drip in [
            ("head", b"GET /health HT", b"T"),
            ("fields", b"GET /health HTTP/1.1\r\nHost: a\r\n", b"X"),
            ("body", CHAT + b"Content-Length: 5000\r\n\r\n", b" "),
            ("chunks", CHAT + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        ]:
            expect(status_of(drip_until_closed(server, first, drip)), 408, name)
        expect(server.raw(b""), b"", "an idle connection is closed without a word")


def drip_until_closed(server, first, drip):
    """One byte every 50 ms: progress does not extend the deadline."""
    with server.socket() as sock:
        sock.sendall(first)
        sock.settimeout(0.05)
        got = b""
        for _ in range(60):
            try:
                piece = sock.recv(4096)
                if not piece:
                    return got
                got += piece
            except TimeoutError:
                pass
            if not got:
                sock.sendall(drip)
    raise AssertionError("the connection was not closed")


if __name__ == "__main__":
    main()
