"""Clients that go away, many clients at once, and the ways a server stops."""
import contextlib
import json
import signal
import socket
import struct
import threading
import time

from fake_server import FakeServer, read_to_end, sanitized
from harness import expect, expect_in, expect_true, main, test, wait_until

STEP_LIMIT_S = 0.5  # a step of the fake engine is 2 ms; the rest is this machine being busy


def reset(connection, response=None):
    """Close with a reset instead of an orderly end."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if response is not None:
        response.close()  # it holds the socket open as well
    connection.sock.close()


def free_within_a_step(server, n_cancels):
    begun = time.monotonic()
    wait_until(lambda: server.running() == 0, "slot is free")
    expect_true(time.monotonic() - begun < STEP_LIMIT_S, f"{time.monotonic() - begun:.3f} s")
    expect(server.cancels(), float(n_cancels))


@test
def a_stream_that_is_dropped_frees_its_slot():
    with FakeServer() as server:
        with server.open_stream("!count 100000 !delay 5") as stream:
            events = iter(stream)
            for _ in range(5):
                next(events)
            stream.abort()
        free_within_a_step(server, 1)
        wait_until(lambda: server.metric("kontor_requests_total", cause="client_gone") == 1,
                   "counted")
        expect_in("status=499 cause=client_gone", server.log())


@test
def a_reset_frees_the_slot_too():
    with FakeServer() as server:
        stream = server.open_stream("!count 100000 !delay 5")
        next(iter(stream))
        reset(stream.connection, stream.response)
        free_within_a_step(server, 1)


@test
def a_client_that_waits_for_a_whole_answer_may_leave():
    for leave in (lambda c: c.close(), reset):
        with FakeServer() as server:
            connection = server.connection()
            connection.request("POST", "/v1/chat/completions", json.dumps(server.body("!hang")),
                               {"Content-Type": "application/json"})
            wait_until(lambda: server.running() == 1, "runs")
            leave(connection)
            free_within_a_step(server, 1)


@test
def a_queued_request_may_be_left():
    with FakeServer(slots=1) as server, server.open_stream("!hang") as first:
        next(iter(first))
        connection = server.connection()
        connection.request("POST", "/v1/chat/completions", json.dumps(server.body("!mute")),
                           {"Content-Type": "application/json"})
        wait_until(lambda: server.metric("vllm:num_requests_waiting") == 1, "waits")
        connection.close()
        wait_until(lambda: server.metric("vllm:num_requests_waiting") == 0, "left the queue")
        expect(server.running(), 1.0)


@test
def leaving_with_a_pipelined_request_behind_counts_as_leaving():
    with FakeServer() as server:
        connection = server.connection()
        connection.request("POST", "/v1/chat/completions", json.dumps(server.body("!hang")),
                           {"Content-Type": "application/json"})
        connection.sock.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        wait_until(lambda: server.running() == 1, "runs")
        connection.close()
        free_within_a_step(server, 1)


@test
def a_stubborn_engine_keeps_what_it_needs():
    with FakeServer() as server:
        with server.open_stream("!stubborn !count 100000 !delay 1") as stream:
            next(iter(stream))
        wait_until(lambda: server.running() == 0, "ends after its 300 ms")
        expect(server.ask("next one").status, 200)


@test
def dropped_streams_leave_no_memory_behind():
    with FakeServer(step_us=200) as server:
        def drop(n):
            for _ in range(n):
                with server.open_stream("!count 1000") as stream:
                    next(iter(stream))
        drop(60)
        before = server.rss_bytes()
        drop(240)
        wait_until(lambda: server.running() == 0, "all slots free")
        after = server.rss_bytes()
        expect_true(sanitized() or after <= before * 1.1 + 262144, f"RSS {before} then {after}")


@test
def thirty_two_clients_are_answered_in_parallel():
    faults = []

    def client(server, n):
        try:
            for turn in range(6):
                count = 5 + (n + turn) % 20
                if turn % 2:
                    body = server.ask(f"!count {count}").json()
                    text = body["choices"][0]["message"]["content"]
                else:
                    with server.open_stream(f"!count {count}") as stream:
                        text = "".join(c["choices"][0]["delta"].get("content", "")
                                       for c in stream.events())
                expect(text, "".join(f"w{i} " for i in range(count)))
        except Exception as fault:  # noqa: BLE001 - reported below
            faults.append(fault)

    with FakeServer(slots=8) as server:
        threads = [threading.Thread(target=client, args=(server, n)) for n in range(32)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect(faults, [])
        expect(server.metric("kontor_requests_total", cause="done") >= 192, True)
        expect(server.cancels(), 0.0)


# --- stopping ---


@test
def sigterm_lets_running_streams_finish():
    with FakeServer() as server, server.open_stream("!count 40 !delay 20") as stream:
        events = iter(stream)
        next(events)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.get("/health").status == 503, "draining")
        expect(server.get("/health").json()["status"], "draining")
        reply = server.ask("hi")
        expect(reply.status, 503)
        expect(reply.json()["error"]["code"], "server_is_draining")
        expect_true("retry-after" in reply.headers, "retry-after")
        expect(reply.headers["connection"], "close")
        rest = list(events)
        expect(rest[-1], "[DONE]")
        expect(len(rest), 42)
        wait_until(lambda: not server.alive(), "it ends")
        expect(server.process.returncode, 0)


@test
def an_idle_server_stops_at_once():
    with FakeServer() as server, contextlib.closing(server.connection()) as idle:
        idle.request("GET", "/version")
        idle.getresponse().read()
        begun = time.monotonic()
        expect(server.stop(signal.SIGINT), 0)
        expect_true(time.monotonic() - begun < 2, "at once")


@test
def a_kept_connection_ends_cleanly_at_sigterm():
    with FakeServer() as server, contextlib.closing(server.connection()) as kept, \
            server.socket() as fresh, server.open_stream("!count 30 !delay 20") as stream:
        kept.request("GET", "/version")
        kept.getresponse().read()
        events = iter(stream)
        next(events)
        server.process.send_signal(signal.SIGTERM)
        kept.sock.settimeout(5)
        expect(kept.sock.recv(100), b"")  # an end, not a reset
        fresh.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
        expect_in(b"connection: close", read_to_end(fresh))
        expect(list(events)[-1], "[DONE]")


@test
def the_drain_limit_ends_what_still_runs():
    with FakeServer(drain_ms=200) as server, server.open_stream("!hang") as stream:
        events = iter(stream)
        next(events)
        server.process.send_signal(signal.SIGTERM)
        rest = list(events)
        expect(rest[-1], "[DONE]")
        expect(json.loads(rest[-2])["error"]["code"], "server_is_draining")
        wait_until(lambda: not server.alive(), "it ends")
        expect(server.process.returncode, 0)


@test
def a_second_signal_stops_at_once():
    with FakeServer(drain_ms=60000) as server, server.open_stream("!hang") as stream:
        events = iter(stream)
        next(events)
        waiting = server.connection()
        waiting.request("POST", "/v1/chat/completions", json.dumps(server.body("!hang")),
                        {"Content-Type": "application/json"})
        wait_until(lambda: server.running() == 2, "both run")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in server.log(), "draining")
        server.process.send_signal(signal.SIGTERM)
        expect(json.loads(list(events)[-2])["error"]["code"], "server_is_draining")
        expect(waiting.getresponse().status, 503)
        wait_until(lambda: not server.alive(), "it ends")
        expect(server.process.returncode, 0)


@test
def an_engine_that_does_not_let_go_is_left_behind():
    with FakeServer(drain_ms=100) as server, server.open_stream("!deaf !hang") as stream:
        next(iter(stream))
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not server.alive(), "it ends all the same", 15)
        expect_in("did not end 1 requests in time", server.log())


@test
def a_signal_while_loading_stops():
    with FakeServer(load_ms=400, wait=None) as server:
        wait_until(lambda: "listening" in server.log(), "port is open")
        expect(server.stop(), 0)


if __name__ == "__main__":
    main()
