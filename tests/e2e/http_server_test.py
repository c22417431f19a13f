"""The HTTP server beneath the API: keep-alive, pipelining, dripping requests, many connections,
slow readers, limits, and what happens to a client that goes away."""
import contextlib
import json
import os
import re
import resource
import socket
import threading
import time

from fake_server import FakeServer, MODEL, read_answer, sanitized, status_of
from harness import expect, expect_in, expect_true, free_port, main, test, wait_until

GET_VERSION = b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"


def chat_bytes(text, extra=b"", **fields):
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}],
                       **fields}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
            extra + b"Content-Length: %d\r\n\r\n" % len(body) + body)


@test
def one_connection_carries_many_requests():
    with FakeServer() as server, contextlib.closing(server.connection()) as connection:
        for n in range(50):
            if n % 2:
                connection.request("GET", "/health")
            else:
                connection.request("POST", "/v1/chat/completions",
                                   json.dumps(server.body(f"!count {n + 1}")),
                                   {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = json.loads(response.read())
            expect(response.status, 200)
            if n % 2 == 0:
                expect(body["usage"]["completion_tokens"], n + 1)


@test
def pipelined_requests_are_answered_in_order():
    sent = b"".join(chat_bytes(f"word{n} !x") for n in range(8)) + GET_VERSION
    with FakeServer() as server, server.socket() as sock:
        sock.sendall(sent)
        got = b""
        while b'"version"' not in got:
            piece = sock.recv(65536)
            expect_true(piece, "the connection stays open")
            got += piece
        answers = re.findall(rb'"content":"(word\d+) !x"', got)
        expect(answers, [b"word%d" % n for n in range(8)])
        sock.sendall(GET_VERSION * 200)
        got = b""
        while got.count(b'"version"') < 200:
            got += sock.recv(65536)
        expect(got.count(b"HTTP/1.1 200 OK"), 200)


@test
def half_a_request_does_not_cost_the_answers_before_it():
    with FakeServer() as server:
        got = server.raw(GET_VERSION * 3 + b"GET /ver", half_close=True)
        expect(got.count(b"HTTP/1.1 200 OK"), 3)


@test
def requests_may_arrive_byte_by_byte():
    with FakeServer() as server, server.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for sent in (chat_bytes("hello there"),
                     b"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"pro\r\nb\r\nmpt\":\"abcd\"\r\n"
                     b"1\r\n}\r\n0\r\nX-T: 1\r\n\r\n"):
            for at in range(len(sent)):
                sock.sendall(sent[at:at + 1])
            head, body = read_answer(sock)
            expect(status_of(head), 200)
            json.loads(body)


@test
def an_empty_line_before_a_request_is_forgiven_once():
    with FakeServer() as server:
        with server.socket() as sock:
            for _ in range(2):
                sock.sendall(b"\r\n" + GET_VERSION)
                expect(status_of(read_answer(sock)[0]), 200)
        expect(status_of(server.raw(b"\r\n\r\n" + GET_VERSION)), 400)


@test
def expect_continue_is_answered_before_the_body():
    whole = chat_bytes("hi", b"Expect: 100-continue\r\n")
    head, body = whole.split(b"\r\n\r\n", 1)
    with FakeServer() as server:
        with server.socket() as sock:
            sock.sendall(head + b"\r\n\r\n")
            expect(sock.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(body)
            expect(status_of(read_answer(sock)[0]), 200)
        # no invitation where the body would be refused anyway
        got = server.raw(head.replace(b"/v1/chat", b"/v1/nothing") + b"\r\n\r\n")
        expect(status_of(got), 404)


@test
def head_requests_have_no_body():
    with FakeServer() as server:
        with server.socket() as sock:
            sock.sendall(b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n" + GET_VERSION)
            got = b""
            while b'"version"' not in got:
                got += sock.recv(4096)
        first, second = got.split(b"\r\n\r\n", 1)
        expect_true(b"content-length: 45" in first, "length of the body that GET would have")
        expect_true(second.startswith(b"HTTP/1.1 200 OK"), "no body in between")


@test
def http_1_0_clients_are_served():
    with FakeServer() as server:
        got = server.raw(b"GET /version HTTP/1.0\r\n\r\n")
        expect_true(got.startswith(b"HTTP/1.1 200 OK") and b"connection: close" in got, "closed")
        with server.socket() as sock:
            sock.sendall(b"GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, _ = read_answer(sock)
            expect_true(b"connection: keep-alive" in head, "kept")
            sock.sendall(b"GET /version HTTP/1.0\r\n\r\n")
            expect(status_of(read_answer(sock)[0]), 200)
        sent = chat_bytes("a b c", stream=True).replace(b"HTTP/1.1", b"HTTP/1.0")
        got = server.raw(sent)
        expect_true(b"chunked" not in got and got.endswith(b"data: [DONE]\n\n"), "ends by closing")


@test
def absolute_targets_and_queries_are_understood():
    with FakeServer() as server:
        for target in (b"http://a/version", b"http://a:80/version?x=1", b"/version?", b"/%76ersion"):
            got = server.raw(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            expect(status_of(got), 200, target.decode())
        expect(server.get("/v1/models/fake%2Dmodel").status, 200)
        expect(server.get("/v1/models/../../metrics").status, 404)


@test
def all_bodies_together_have_a_limit():
    """Unfinished large bodies use up the memory; further ones are told, small ones go on."""
    head = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: 3000000\r\n\r\n")
    with FakeServer(bodies_max=5_000_000) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(contextlib.closing(server.socket())) for _ in range(3)]
        answers = []
        for sock in held:
            with contextlib.suppress(OSError):
                sock.sendall(head + b"x" * 1_900_000)
                sock.settimeout(1)
                answers.append(sock.recv(65536))
        expect({status_of(a) for a in answers}, {503})
        expect_true(len(answers) < 3, "the first one may go on")
        expect(server.ask("small").status, 200)
        for sock in held:
            sock.close()
        large = {"model": "none", "messages": "y" * 1_500_000}
        wait_until(lambda: server.post("/v1/chat/completions", large).status == 400, "room again")


@test
def bodies_over_the_limit_are_413():
    with FakeServer(body_max=1000) as server:
        long = b"x" * 2000
        head = b"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        for sent in (head + b"Content-Length: 2000\r\n\r\n" + long,
                     head + b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + long + b"\r\n0\r\n\r\n"):
            got = server.raw(sent)
            expect(status_of(got), 413)
            expect(json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]["code"], "request_too_large")
        expect(server.post("/tokenize", {"prompt": "x" * 900}).status, 200)


@test
def a_thousand_connections_are_served_at_once():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with FakeServer() as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.socket()) for _ in range(1000)]
        for sock in socks:
            sock.sendall(GET_VERSION)
        for sock in socks:
            expect(status_of(read_answer(sock)[0]), 200)
        expect(server.metric("kontor_connections"), 1001.0)
        for sock in socks:
            sock.sendall(chat_bytes("!count 3", stream=True))
        for sock in socks:
            got = b""
            while not got.endswith(b"0\r\n\r\n"):
                piece = sock.recv(65536)
                expect_true(piece, "whole stream")
                got += piece
            expect(got.count(b"data: "), 6)
    expect(server.exit_status, 0)


@test
def connections_over_the_limit_are_told_so():
    with FakeServer(connections_max=3) as server, contextlib.ExitStack() as stack:
        wait_until(lambda: server.metric("kontor_connections") == 1.0, "only this one")
        time.sleep(0.05)
        socks = [stack.enter_context(server.socket()) for _ in range(3)]
        for sock in socks:
            sock.sendall(GET_VERSION)
            expect(status_of(read_answer(sock)[0]), 200)
        got = server.raw(GET_VERSION)
        expect(status_of(got), 503)
        expect_true(b"retry-after: 1" in got, "says when to come back")
        socks[0].close()
        wait_until(lambda: status_of(server.raw(GET_VERSION.replace(
            b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200, "a place is free")


@test
def without_descriptors_idle_connections_make_room():
    with FakeServer() as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.socket()) for _ in range(8)]
        for sock in socks:
            sock.sendall(GET_VERSION)
            expect(status_of(read_answer(sock)[0]), 200)
        pid = server.process.pid
        n_open = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (n_open, n_open))
        got = server.raw(GET_VERSION.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        expect(status_of(got), 200)
        expect(socks[0].recv(100), b"")


@test
def a_slow_reader_gets_everything_and_holds_up_nobody():
    with FakeServer(out_high=20000) as server, server.socket(60) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(chat_bytes("!count 3000 !bytes 300", stream=True, max_tokens=3000))
        begun = time.monotonic()
        expect(server.ask("!count 5").status, 200)
        expect_true(time.monotonic() - begun < 2, "others are served meanwhile")
        time.sleep(1)
        got = bytearray(slow.recv(8192))
        # The rest in a hurry: with the small window each packet waits for a delayed ACK.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while not got.endswith(b"0\r\n\r\n"):
            piece = slow.recv(8192)
            expect_true(piece, "the stream ends properly")
            got += piece
        text = "".join(json.loads(e)["choices"][0]["delta"].get("content", "")
                       for e in re.findall(r"data: (\{.*\})", got.decode()))
        expect(len(text), 3000 * 300)


@test
def a_client_that_reads_nothing_is_cut_off():
    with FakeServer(out_high=20000, queue_bytes=200000, stall_ms=20000) as server, \
            server.socket(60) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(chat_bytes("!count 100000 !bytes 2000", stream=True))
        wait_until(lambda: server.cancels() == 1, "cancelled by the queue's limit")
        wait_until(lambda: server.running() == 0, "slot is free")
        wait_until(lambda: server.metric("kontor_requests_total", cause="client_slow") == 1,
                   "counted")


@test
def output_that_does_not_move_ends_the_connection():
    with FakeServer(out_high=20000, queue_bytes=100000000, stall_ms=500) as server, \
            server.socket(60) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(chat_bytes("!count 100000 !bytes 2000", stream=True))
        wait_until(lambda: server.cancels() == 1, "cancelled by the stall timeout")
        wait_until(lambda: server.metric("kontor_requests_total", cause="client_gone") == 1,
                   "counted")


@test
def a_taken_port_is_named_or_dodged():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = FakeServer(wait=None)
        server.args[server.args.index("--port") + 1] = str(port)
        with server:
            wait_until(lambda: not server.alive(), "it ends")
            expect_in(f"Port {port} is in use", server.log())
        server = FakeServer(wait=None, tries=20)
        server.args[server.args.index("--port") + 1] = str(port)
        with server:
            wait_until(lambda: "listening port=" in server.log(), "it listens elsewhere")
            other = int(re.search(r"listening port=(\d+)", server.log()).group(1))
            expect_true(port < other <= port + 20, "one of the next ports")
            server.port = other
            wait_until(lambda: server.get("/health").status == 200, "healthy")


@test
def a_bad_host_is_named():
    server = FakeServer(wait=None)
    server.args[server.args.index("--host") + 1] = "203.0.113.7"
    server.port = free_port()
    with server:
        wait_until(lambda: not server.alive(), "it ends")
        expect_in("Cannot listen on 203.0.113.7", server.log())


@test
def many_requests_leave_no_memory_behind():
    with FakeServer() as server:
        def storm(n):
            with contextlib.closing(server.connection()) as connection:
                for _ in range(n):
                    connection.request("POST", "/tokenize", '{"prompt":"' + "x" * 2000 + '"}',
                                       {"Content-Type": "application/json"})
                    connection.getresponse().read()

        def storms():
            threads = [threading.Thread(target=storm, args=(150,)) for _ in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()

        storms()
        before = server.rss_bytes()
        storms()
        storms()
        after = server.rss_bytes()
        expect_true(sanitized() or after <= before * 1.1 + 262144, f"RSS {before} then {after}")


if __name__ == "__main__":
    main()
