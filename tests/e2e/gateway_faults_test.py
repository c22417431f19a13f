"""The fault list: one upstream fault each; what the client reads, what the books say, what is logged.

Two pools stand behind the model: "private" has the fault, "cloud" is well.  A fault before the first
byte moves on to the cloud; one behind it ends the stream with an error event; either way there is one
row in the ledger and one line in the access log.
"""
import contextlib
import json
import pathlib
import resource
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from gateway_rig import (MODEL, SSE_HEAD, FaultUpstream, Gateway, answer_well, delta, event, last_delta,
                         plain_answer, respond, usage, usage_delta, whole_stream)
from harness import Reply, expect, expect_in, expect_true, free_port, main, read_to_end, test, wait_until


def behind(script, **settings):
    """Context: a faulty private upstream, a healthy cloud, a gateway before both."""
    return Pair(script, settings)


class Pair:
    def __init__(self, script, settings):
        self.bad = FaultUpstream(script) if callable(script) else script
        self.good = FaultUpstream(answer_well)
        self.settings = settings

    def __enter__(self):
        if isinstance(self.bad, FaultUpstream):
            self.bad.__enter__()
        self.good.__enter__()
        self.gateway = Gateway({"private": [self.bad], "cloud": [self.good]}, **self.settings)
        self.gateway.__enter__()
        return self

    def __exit__(self, *why):
        self.gateway.__exit__(*why)
        self.good.__exit__(*why)
        if isinstance(self.bad, FaultUpstream):
            self.bad.__exit__(*why)

    def one_row(self):
        """The only row of the ledger and the only line of the access log."""
        row = self.gateway.wait_rows(1)[0]
        lines = self.gateway.wait_lines(1)
        expect(len(lines), 1, "lines in the access log")
        return row, lines[0]


def text_of(stream):
    """Concatenated content of the events of a stream, and its error objects."""
    text, errors, done = "", [], False
    for block in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        if not block.startswith(b"data: "):
            continue
        if block == b"data: [DONE]":
            done = True
            continue
        value = json.loads(block[6:])
        if "error" in value:
            errors.append(value["error"])
        for choice in value.get("choices", []):
            text += choice["delta"].get("content") or ""
    return text, errors, done


def expect_moved_on(pair, streamed):
    """The cloud answered, at the second attempt."""
    g = pair.gateway
    if streamed:
        status, headers, body = g.read_stream()
        text, errors, done = text_of(body)
        expect((status, text, errors, done), (200, "one two three", [], True), "the stream")
    else:
        reply = g.ask()
        expect(reply.status, 200, "status")
        expect(reply.json()["choices"][0]["message"]["content"], "one two three")
        headers = reply.headers
    expect(headers["x-kontor-attempts"], "2", "attempts")
    expect(headers["x-kontor-provider"], "cloud-provider", "provider")
    row, line = pair.one_row()
    expect((row["provider"], row["prompt_tokens"], row["completion_tokens"], row["estimated"]),
           ("cloud-provider", 7, 3, 0), "the row")
    expect(row["attempts"], 2, "attempts in the row")
    expect((line["cause"], line["status"], line["attempts"]), ("done", 200, 2), "the line")


# --- before the first byte: the cloud answers ---

@test
def refused_connection():
    for streamed in (False, True):
        with behind(f"http://127.0.0.1:{free_port()}/v1") as pair:
            expect_moved_on(pair, streamed)


@test
def accepted_then_silence():
    for streamed in (False, True):
        with behind(lambda peer: peer.wait_gone()) as pair:
            begun = time.monotonic()
            expect_moved_on(pair, streamed)
            expect_true(time.monotonic() - begun < 10, "moved on at the first-byte deadline")


@test
def slow_headers():
    def script(peer):
        for byte in SSE_HEAD:
            peer.send(bytes([byte]))
            time.sleep(0.05)
    with behind(script) as pair:
        expect_moved_on(pair, True)


@test
def headers_then_silence():
    def script(peer):
        peer.send(SSE_HEAD)
        peer.wait_gone()
    with behind(script) as pair:
        expect_moved_on(pair, True)


@test
def reset_before_the_first_event():
    def script(peer):
        peer.send(SSE_HEAD)
        peer.reset()
    with behind(script) as pair:
        expect_moved_on(pair, True)


@test
def reset_instead_of_an_answer():
    for streamed in (False, True):
        with behind(lambda peer: peer.reset()) as pair:
            expect_moved_on(pair, streamed)


@test
def server_errors_move_on():
    for status in (500, 502, 503, 504):
        with behind(lambda peer, s=status: respond(peer, s, {"error": {"message": "no"}})) as pair:
            expect_moved_on(pair, False)


@test
def too_many_requests_moves_on():
    for fields in ((), ("Retry-After: 7",)):
        with behind(lambda peer, f=fields: respond(peer, 429, {"error": {"message": "slow"}},
                                                   fields=f)) as pair:
            expect_moved_on(pair, True)


@test
def error_object_in_a_200_before_any_text():
    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event({"error": {"message": "broken inside", "type": "server_error"}}))
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        expect_moved_on(pair, True)


@test
def garbage_instead_of_http():
    with behind(lambda peer: (peer.send(b"SSH-2.0-x\r\n\r\n"), peer.close())) as pair:
        expect_moved_on(pair, False)


@test
def two_that_only_send_comments_end_at_the_first_byte_deadline():
    """A hedge has a deadline of its own, also when comments keep its connection busy."""
    def comments(peer):
        peer.send(SSE_HEAD)
        while True:
            peer.chunk(b": still here\n\n")
            time.sleep(0.1)
    with FaultUpstream(comments) as one, FaultUpstream(comments) as two, \
            Gateway({"private": [one, two]}, model={"latency_gate": "200ms", "on_slow": "hedge"}) as g:
        begun = time.monotonic()
        status, _, _ = g.read_stream()
        expect(status, 504)
        expect_true(time.monotonic() - begun < 8, "ended at the deadlines, not at the total of 20 s")


# --- no other candidate: the client is told ---

def only(script, **settings):
    class Alone(Pair):
        def __enter__(self):
            self.bad.__enter__()
            self.gateway = Gateway({"private": [self.bad]}, **self.settings)
            self.gateway.__enter__()
            return self

        def __exit__(self, *why):
            self.gateway.__exit__(*why)
            self.bad.__exit__(*why)

    return Alone(script, settings)


@test
def too_many_requests_without_a_second_candidate():
    with only(lambda peer: respond(peer, 429, {"error": {"message": "slow down", "code": "rate"}},
                                   fields=("Retry-After: 7",))) as pair:
        reply = pair.gateway.ask()
        expect(reply.status, 429)
        expect(reply.headers["retry-after"], "7")
        row, line = pair.one_row()
        expect(row["cost_nano"], 0, "a refused request costs nothing")
        expect(line["status"], 429)


@test
def bad_request_is_passed_on_once():
    with behind(lambda peer: respond(peer, 400, {"error": {
            "message": "this model's maximum context length is 10", "type": "invalid_request_error",
            "param": "messages", "code": "context_length_exceeded"}})) as pair:
        reply = pair.gateway.ask()
        expect(reply.status, 400)
        expect(reply.json()["error"]["code"], "context_length_exceeded")
        expect(len(pair.bad.requests), 1, "requests to the first")
        expect(len(pair.good.requests), 0, "a 400 is not tried elsewhere")


@test
def refusals_that_are_no_json_keep_their_status():
    for status, body, kind in ((413, b"<html>too large</html>", "text/html"), (400, b"no", "text/plain"),
                               (422, b"", "text/plain")):
        with only(lambda peer, s=status, b=body, k=kind: respond(peer, s, b, k)) as pair:
            reply = pair.gateway.ask()
            expect((reply.status, reply.json()["error"]["code"]), (status, "upstream_refused_request"))
            row, line = pair.one_row()
            expect((row["http_status"], row["cost_nano"], line["cause"]), (status, 0, "refused"))


@test
def whole_answers_without_usage_are_estimated():
    text = "word " * 2000

    def script(peer):
        answer = plain_answer(text)
        del answer["usage"]
        respond(peer, body=answer)
    with only(script) as pair:
        expect(pair.gateway.ask().status, 200)
        row, _ = pair.one_row()
        expect(row["estimated"], 1)
        expect_true(2000 <= row["completion_tokens"] <= 4000, f"{row['completion_tokens']} tokens of 10 kB")


@test
def body_that_is_cut_off_is_estimated():
    """The provider bills it: the prompt at least."""
    def script(peer):
        body = json.dumps(plain_answer("word " * 200)).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                  + body[:-20])
        peer.close()
    with only(script) as pair:
        expect(pair.gateway.ask("x" * 3000).status, 502)
        row, _ = pair.one_row()
        expect(row["estimated"], 1)
        expect_true(row["prompt_tokens"] >= 500 and row["cost_nano"] > 0, "the prompt is booked")


@test
def all_down_is_a_state_of_its_own():
    pools = {"private": [f"http://127.0.0.1:{free_port()}/v1"]}
    with Gateway(pools, wait="/live") as g:
        for _ in range(8):
            reply = g.ask()
            expect_true(reply.status in (502, 503), f"status {reply.status}")
        reply = g.ask()
        expect(reply.status, 503)
        expect(reply.json()["error"]["code"], "no_healthy_upstream")
        expect_true(int(reply.headers["retry-after"]) >= 1, "Retry-After")


# --- behind the first byte ---

def expect_cut(pair, want_text, cause="upstream_failed"):
    status, _, body = pair.gateway.read_stream()
    text, errors, _ = text_of(body)
    expect((status, text), (200, want_text))
    expect(len(errors), 1, "error events")
    row, line = pair.one_row()
    expect(row["provider"], "private-provider")
    expect(row["estimated"], 1, "estimated")
    expect_true(0 < row["cost_nano"], "what was relayed is charged")
    expect(line["attempts"], 1)
    return row, line


@test
def reset_after_the_first_event():
    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        time.sleep(0.1)
        peer.reset()
    with behind(script) as pair:
        expect_cut(pair, "one ")
        expect(len(pair.good.requests), 0, "no second answer behind the first byte")


@test
def reset_inside_an_event():
    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        peer.chunk(event(delta("lost"))[:20])
        time.sleep(0.1)
        peer.reset()
    with behind(script) as pair:
        expect_cut(pair, "one ")


@test
def silence_in_mid_stream():
    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        peer.wait_gone()
    with behind(script) as pair:
        expect_cut(pair, "one ")


@test
def error_object_behind_text():
    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        peer.chunk(event({"error": {"message": "broken inside", "type": "server_error"}}))
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        expect_cut(pair, "one ")


@test
def missing_done_is_added():
    def script(peer):
        peer.send(SSE_HEAD)
        for e in whole_stream(done=False):
            peer.chunk(e)
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        _, _, body = pair.gateway.read_stream()
        expect(text_of(body), ("one two three", [], True))
        row, line = pair.one_row()
        expect((row["completion_tokens"], row["estimated"], line["cause"]), (3, 0, "done"))


@test
def stream_that_just_ends():
    """No finish, no [DONE], but a clean end of the transfer: the answer is not complete."""
    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        expect_cut(pair, "one ")


@test
def usage_so_far_counts_when_an_answer_breaks_off():
    """Whether cut or left, what was reported in mid-stream is billed, and at least what was relayed."""
    gone = []

    def script(peer):
        peer.send(SSE_HEAD)
        for n in range(5):
            peer.chunk(event({**delta("word "), "usage": usage(prompt=900, completion=10 * (n + 1))}))
        if len(pair.bad.requests) == 1:
            time.sleep(0.1)
            peer.reset()
        else:
            gone.append(peer.wait_gone())
    with behind(script) as pair:
        _, _, body = pair.gateway.read_stream()
        expect(len(text_of(body)[1]), 1, "error events")
        with pair.gateway.open_stream() as stream:
            for _, _ in zip(range(5), stream):
                pass
        wait_until(lambda: gone, "the upstream saw the client go")
        for row in pair.gateway.wait_rows(2):
            expect((row["prompt_tokens"], row["completion_tokens"], row["estimated"]), (900, 50, 1))
            expect(row["cost_nano"], 900 * 1000 + 50 * 2000, "cost")


# --- odd but whole ---

@test
def answer_that_begins_before_the_request_was_read():
    """The rest of the request is still the request, though its answer has begun."""
    text = "".join(f"{n:07d}." for n in range(750_000))
    got = []

    def early(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        time.sleep(0.5)
        peer.read_body()
        got.append(peer.json()["messages"][0]["content"] == text)
        for e in whole_stream(texts=["two"]):
            peer.chunk(e)
        peer.send(b"0\r\n\r\n")
    with FaultUpstream(early, early=True) as upstream, Gateway({"private": [upstream]}) as g:
        with g.open_stream(text) as stream:
            reader = iter(stream)
            next(reader)
            for n in range(20):  # others use the memory meanwhile
                g.post("/v1/chat/completions", {"model": "unknown", "messages": "x" * 300_000})
            expect([d for d in reader][-1], "[DONE]")
        expect(got, [True], "the upstream read what the client wrote")


@test
def event_split_at_every_byte():
    events = [event(delta("ä€😀")), event(last_delta()), event(usage_delta()), event("[DONE]")]
    whole = b"".join(events)

    def script(peer):
        cut = len(pair.bad.requests) - 1
        peer.send(SSE_HEAD)
        peer.chunk(whole[:cut + 1])
        time.sleep(0.002)
        if whole[cut + 1:]:
            peer.chunk(whole[cut + 1:])
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        for _ in range(len(whole)):
            status, _, body = pair.gateway.read_stream(stream_options={"include_usage": True})
            expect(status, 200)
            expect(body, whole, "bytes of the stream")
        rows = pair.gateway.wait_rows(len(whole))
        expect({(r["completion_tokens"], r["estimated"]) for r in rows}, {(3, 0)})


@test
def half_a_character_at_the_end_of_an_event():
    """Not UTF-8 inside an event: the upstream is at fault, the client gets no broken text."""
    bad = event(delta("one "))[:-6] + b'\xe2\x82"}}]}\n\n'

    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        peer.chunk(bad)
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        expect_cut(pair, "one ")


@test
def event_over_64_kib():
    long = "x" * 100_000

    def script(peer):
        peer.send(SSE_HEAD)
        for e in whole_stream(texts=[long]):
            peer.chunk(e)
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        _, _, body = pair.gateway.read_stream()
        expect(text_of(body), (long, [], True))


@test
def usage_in_every_place():
    first = [event({**delta("one two three"), "usage": usage()}), event(last_delta())]
    each = [event({**delta(t), "usage": usage(completion=n + 1)})
            for n, t in enumerate(("one ", "two ", "three"))] + [event(last_delta(usage=usage()))]
    last = [event(delta("one two three")), event(last_delta(usage=usage()))]
    own = whole_stream(texts=["one two three"], done=False)
    for name, events in (("first", first), ("each", each), ("last", last), ("own event", own)):
        def script(peer, events=events):
            peer.send(SSE_HEAD)
            for e in [*events, event("[DONE]")]:
                peer.chunk(e)
            peer.send(b"0\r\n\r\n")
        with behind(script) as pair:
            _, _, body = pair.gateway.read_stream()
            expect(text_of(body), ("one two three", [], True), name)
            row, _ = pair.one_row()
            expect((row["prompt_tokens"], row["completion_tokens"], row["estimated"]), (7, 3, 0),
                   f"usage in {name}")


@test
def no_usage_is_estimated():
    def script(peer):
        peer.send(SSE_HEAD)
        for e in whole_stream(usage_event=False):
            peer.chunk(e)
        peer.send(b"0\r\n\r\n")
    with behind(script) as pair:
        _, _, body = pair.gateway.read_stream()
        expect(text_of(body), ("one two three", [], True))
        row, _ = pair.one_row()
        expect(row["estimated"], 1)
        expect_true(row["completion_tokens"] >= 1, "relayed tokens are counted")


@test
def usage_is_asked_for_and_hidden():
    with behind(answer_well) as pair:
        _, _, body = pair.gateway.read_stream()
        expect_true(pair.bad.requests[0]["stream_options"]["include_usage"], "usage is asked for")
        expect_true(b'"usage"' not in body, "a client that did not ask gets no usage event")
        _, _, body = pair.gateway.read_stream(stream_options={"include_usage": True})
        expect_in(b'"usage"', body)


@test
def gzip_that_nobody_asked_for():
    import gzip
    packed = gzip.compress(json.dumps(plain_answer()).encode())
    with behind(lambda peer: respond(peer, 200, packed,
                                     fields=("Content-Encoding: gzip",))) as pair:
        expect_moved_on(pair, False)


@test
def content_length_too_long():
    def script(peer):
        body = json.dumps(plain_answer()).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                  % (len(body) + 10) + body)
        peer.close()
    with behind(script) as pair:
        expect_moved_on(pair, False)


@test
def content_length_too_short():
    """The surplus poisons the connection, not the next request."""
    def script(peer):
        body = json.dumps(plain_answer()).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                  % len(body) + body + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
    with behind(script) as pair:
        for _ in range(5):
            reply = pair.gateway.ask()
            expect(reply.json()["choices"][0]["message"]["content"], "one two three")


@test
def keep_alive_closed_at_the_moment_of_reuse():
    def script(peer):
        answer_well(peer)
        if len(pair.bad.requests) % 2:
            peer.close()  # behind a whole answer, as a server whose idle time has passed
    with behind(script) as pair:
        for n in range(30):
            reply = pair.gateway.ask()
            expect((reply.status, reply.headers["x-kontor-attempts"]), (200, "1"), f"request {n}")
        expect(len(pair.bad.requests), 30)


@test
def name_that_does_not_resolve():
    with behind("http://no-such-host.invalid:8000/v1") as pair:
        expect_moved_on(pair, False)


# --- TLS ---

def openssl(folder, *args):
    subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)


def certificate(folder, name, dates=()):
    """Files of an authority, and of a certificate of it for `name`."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj",
            "/CN=test authority")
    openssl(folder, "req", "-new", *curve, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=own")
    folder.joinpath("own.ext").write_text(f"subjectAltName={name}\n")
    folder.joinpath("index").touch()
    folder.joinpath("serial").write_text("01\n")
    folder.joinpath("ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n"
        "policy=p\n[p]\ncommonName=supplied\n")
    openssl(folder, "ca", "-batch", "-config", "ca.cnf", "-in", "own.csr", "-cert", "ca.pem", "-keyfile", "ca.key",
            "-extfile", "own.ext", "-out", "own.pem", "-notext", *(dates or ("-days", "2")))
    return folder / "ca.pem", folder / "own.pem", folder / "own.key"


@contextlib.contextmanager
def behind_tls(name, dates=()):
    """As behind(), the private upstream well but for its certificate."""
    with tempfile.TemporaryDirectory() as folder:
        ca, own, key = certificate(pathlib.Path(folder), name, dates)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own, key)
        with FaultUpstream(answer_well, tls=context) as bad, FaultUpstream(answer_well) as good:
            pair = Pair(bad, {})
            pair.good = good
            with Gateway({"private": [bad], "cloud": [good]}, tls_ca=ca) as pair.gateway:
                yield pair


@test
def certificate_that_fits():
    with behind_tls("IP:127.0.0.1") as pair:
        reply = pair.gateway.ask()
        expect((reply.status, reply.headers["x-kontor-provider"]), (200, "private-provider"))
        _, _, body = pair.gateway.read_stream()
        expect(text_of(body), ("one two three", [], True))


@test
def certificate_for_another_name_moves_on():
    with behind_tls("DNS:elsewhere.example") as pair:
        expect_moved_on(pair, False)
        expect(pair.bad.requests, [], "requests that reached the wrong server")
        expect_in("certificate", pair.gateway.log())


@test
def expired_certificate_moves_on():
    dates = ("-startdate", "20240101000000Z", "-enddate", "20240201000000Z")
    with behind_tls("IP:127.0.0.1", dates) as pair:
        expect_moved_on(pair, True)
        expect(pair.bad.requests, [], "requests that reached a server with an expired certificate")
        expect_in("expired", pair.gateway.log())


# --- the house itself ---

@test
def full_disk_refuses_and_recovers():
    """Nothing is sent that cannot be booked; what was sent before is booked once there is room."""
    with behind(answer_well) as pair:
        g = pair.gateway
        expect(g.ask().status, 200)
        g.wait_rows(1)
        _, hard = resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE)
        # Nothing can be written to a file any more.  The journal goes on until the room it has is used up.
        resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE, (1, hard))
        n_good = 1
        with contextlib.closing(g.connection()) as c:
            while True:
                c.request("POST", "/v1/chat/completions", json.dumps(g.body()), {"Content-Type": "application/json"})
                reply = Reply(c.getresponse())
                if reply.status != 200:
                    break
                n_good += 1
                expect_true(n_good < 20000, "the journal's room has an end")
        for _ in range(3):
            expect(reply.status, 503, "status with a full disk")
            expect_in("ledger", reply.text)
            reply = g.ask()
        expect(len(pair.bad.requests) + len(pair.good.requests), n_good, "requests that left the house")
        resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait_until(lambda: g.ask().status == 200, "the gateway recovers")
        wait_until(lambda: sum(r["http_status"] == 200 for r in g.rows()) == n_good + 1, "all answers are booked", 30)


@test
def thousand_live_streams_survive_a_drain():
    n_streams = 1000
    go = threading.Event()

    def script(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        go.wait(30)
        for e in whole_stream(texts=["two"]):
            peer.chunk(e)
        peer.send(b"0\r\n\r\n")
    waits = {"timeouts": {"connect": "20s", "first_byte": "60s", "idle": "60s"}}
    with FaultUpstream(script) as upstream, Gateway({"private": [upstream]}, upstream=waits) as g:
        socks = [open_raw_stream(g) for _ in range(n_streams)]
        for sock in socks:
            while b"one " not in sock.recv(65536):
                pass
        g.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in g.log(), "the gateway drains")
        go.set()
        for sock in socks:
            with sock:
                rest = read_to_end(sock)
            expect_true(b"[DONE]" in rest and rest.endswith(b"0\r\n\r\n"), "a stream is complete")
        expect(g.process.wait(30), 0, "exit status")
        rows = g.rows()
        expect((len(rows), {r["estimated"] for r in rows}, {r["cause"] for r in rows}), (n_streams, {0}, {"done"}))


def open_raw_stream(g):
    body = json.dumps(g.body(stream=True)).encode()
    sock = socket.create_connection(("127.0.0.1", g.port), timeout=60)
    sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return sock


@test
def a_way_that_a_reload_has_closed_takes_no_running_request():
    begun = threading.Event()

    def hanging(peer):
        begun.set()
        peer.wait_gone()
    waits = {"timeouts": {"connect": "1s", "first_byte": "2s"}}
    with behind(hanging, upstream=waits) as pair:
        g, replies = pair.gateway, []
        asking = threading.Thread(target=lambda: replies.append(g.ask()))
        asking.start()
        expect_true(begun.wait(10), "the private server has the request")
        closed = g.config.read_text().replace('"allow": ["private", "cloud"]', '"allow": ["private"]')
        g.config.write_text(closed)
        g.process.send_signal(signal.SIGHUP)
        wait_until(lambda: g.metric("kontor_config_generation") == 2, "the reload is in force")
        asking.join()
        expect_true(replies[0].status in (503, 504), f"status {replies[0].status}")
        expect(pair.good.requests, [], "requests that went to the cloud")
        expect(pair.one_row()[0]["provider"], "private-provider")


# --- the engine in the same process beside servers elsewhere ---

def with_engine(text):
    """The same file, the engine here as a second pool of the model."""
    document = dict(line.split(": ", 1) for line in text.splitlines() if line)
    upstreams, pools = json.loads(document["upstreams"]), json.loads(document["pools"])
    upstreams.append({"name": "here", "kind": "local", "model": "builtin", "provider": "own", "region": "de"})
    pools.append({"name": "engine", "members": ["here"], "region": "de", "ceiling": "private"})
    models = json.loads(document["models"])
    models[0]["pools"].append("engine")
    rules = json.loads(document["policy"])
    rules["rules"][0]["allow"].append("engine")
    document.update(upstreams=json.dumps(upstreams), pools=json.dumps(pools), models=json.dumps(models),
                    policy=json.dumps(rules))
    return "\n".join(f"{k}: {v}" for k, v in document.items()) + "\n"


@test
def model_shared_with_the_engine_here():
    """Texts of the request are used to the end: while others' requests come, and after a failover."""
    def slowly(peer):
        if len(upstream.requests) > 4:
            respond(peer, 500, {"error": {"message": "no"}})
            return
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        time.sleep(0.5)
        for e in whole_stream(texts=["two"]):
            peer.chunk(e)
        peer.send(b"0\r\n\r\n")
    with FaultUpstream(slowly) as upstream:
        g = Gateway({"private": [upstream]})
        g.config.write_text(with_engine(g.config.read_text()))
        with g:
            streams = [threading.Thread(target=g.read_stream, kwargs={"request_id": f"own-{n}"}) for n in range(4)]
            for t in streams:
                t.start()
            time.sleep(0.2)
            for n in range(30):
                g.post("/v1/chat/completions", {"model": f"nope-{n}", "messages": "OTHERS " * 20 * (n + 1)})
            for t in streams:
                t.join()
            rows = g.wait_rows(4)
            expect({(r["route_model"], r["provider"]) for r in rows}, {(MODEL, "private-provider")})
            expect(sorted(line["id"] for line in g.lines() if line["status"] == 200), [f"own-{n}" for n in range(4)])
            reply = g.ask("Guten Tag!")
            expect((reply.status, reply.headers["x-kontor-provider"], reply.headers["x-kontor-attempts"]),
                   (200, "own", "2"))
            expect(g.wait_rows(5)[4]["http_status"], 200)


# --- the client goes ---

@test
def client_gone_cancels_upstream():
    seen = []

    def script(peer):
        if peer.streamed():
            peer.send(SSE_HEAD)
            peer.chunk(event(delta("one ")))
        seen.append(peer.wait_gone())
    with behind(script, upstream={"timeouts": {"connect": "1s", "first_byte": "20s", "idle": "20s",
                                               "total": "30s"}}) as pair:
        with pair.gateway.open_stream() as stream:
            next(iter(stream))
        wait_until(lambda: len(seen) == 1, "the upstream saw the streamed client go")
        with contextlib.closing(pair.gateway.connection()) as c:
            c.request("POST", "/v1/chat/completions", json.dumps(pair.gateway.body()),
                      {"Content-Type": "application/json"})
            wait_until(lambda: len(pair.bad.requests) == 2, "the plain request arrived")
        wait_until(lambda: len(seen) == 2, "the upstream saw the plain client go")
        rows = pair.gateway.wait_rows(2)
        expect({r["cause"] for r in rows}, {"client_gone"})
        expect([r["estimated"] for r in rows], [1, 1])


if __name__ == "__main__":
    main()
