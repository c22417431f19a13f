"""A scriptable OpenAI server for tests of the gateway: delays, faults at every byte, counters.

    with MockUpstream() as up:
        up.plan(words=["a", "b"], delay_s=0.1)         # how every answer is given from now on
        up.plan_once(status=500)                       # the next one only; may be called repeatedly
        ...
        up.requests[0].json()["model"]                 # what came, in order

Keys of a plan (all optional):

    status, headers, body      an answer as it is; body: bytes, str or JSON (not streamed)
    words, finish              the text of an answer in pieces; finish reason ["stop"]
    usage                      "last" (if asked for), "first", "each", "finish", "none", "always"
    done                       [True] data: [DONE] at the end
    events                     list of whole event payloads instead of words
    raw                        bytes sent as they are instead of an HTTP answer
    delay_s                    before the head          event_delay_s  before each event
    head_first                 send the head, then wait delay_s
    cut                        after that many bytes of the body: then `end`
    end                        "close", "reset" or "hang" instead of a clean end
    piece                      send in pieces of so many bytes
    framing                    "chunked" [stream], "length" [whole], "eof"
    length                     content-length to claim
    hang                       accept the request and say nothing
    ignores                    continue_final_message, as clouds do
    drop                       "close" or "reset" right after the request came

Standard library only.  Every connection has its own thread.
"""
import contextlib
import json
import socket
import struct
import threading
import time

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
HEALTH = {"status": "healthy", "gpu_utilization": [40, 60]}


class Request:
    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.came = time.monotonic()
        self.left = None  # when the other side closed, if it did before the answer's end
        self.done = threading.Event()  # answered, or left

    def json(self):
        return json.loads(self.body)


class MockUpstream:
    def __init__(self, port=0, listening=True):
        self.requests = []  # POST requests, in order
        self.gets = {}      # path -> count
        self.n_connections = 0
        self.health_status = 200
        self.metrics_text = ""
        self._plan = {}
        self._once = []
        self._lock = threading.Lock()
        self._open = set()
        self._listener = None
        self.port = port
        if listening:
            self.listen()
        elif port == 0:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def listen(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        """Refuse connections from now on and reset those that exist."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            connections = list(self._open)
        for c in connections:
            reset(c)

    def plan(self, **plan):
        self._plan = plan

    def plan_once(self, **plan):
        with self._lock:
            self._once.append(plan)

    def _take_plan(self):
        with self._lock:
            return self._once.pop(0) if self._once else self._plan

    def _accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.n_connections += 1
                self._open.add(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        with contextlib.suppress(OSError, ValueError):
            stream = c.makefile("rb")
            while self._one(c, stream):
                pass
        with self._lock:
            self._open.discard(c)
        with contextlib.suppress(OSError):
            c.close()

    def _one(self, c, stream):
        line = stream.readline().decode("latin-1").split()
        if len(line) < 3:
            return False
        headers = {}
        while (field := stream.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        if line[0] == "GET":
            return self._get(c, line[1])
        request = Request(line[0], line[1], headers, body)
        with self._lock:
            self.requests.append(request)
        try:
            return Answer(c, request, self._take_plan()).give()
        except OSError:
            request.left = time.monotonic()
            raise
        finally:
            request.done.set()

    def _get(self, c, path):
        with self._lock:
            self.gets[path] = self.gets.get(path, 0) + 1
        body, kind = json.dumps(HEALTH).encode(), "application/json"
        if path == "/metrics":
            body, kind = self.metrics_text.encode(), "text/plain"
        status = self.health_status if path == "/health" else 200
        c.sendall(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
                  .encode() + body)
        return True


def reset(c):
    with contextlib.suppress(OSError):
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        c.close()


class Answer:
    """One answer as the plan wants it."""

    def __init__(self, c, request, plan):
        self.c = c
        self.request = request
        self.plan = plan
        self.n_sent = 0
        self.cut = plan.get("cut")

    def give(self):
        """True: the connection may carry another request."""
        plan = self.plan
        if "drop" in plan:
            self.end(plan["drop"])
            return False
        if plan.get("hang"):
            self.wait(600)
            return False
        if not plan.get("head_first"):
            self.wait(plan.get("delay_s", 0))
        if "raw" in plan:
            self.c.sendall(plan["raw"])
            return False
        asked = json.loads(self.request.body or b"{}")
        streamed = bool(asked.get("stream")) and "body" not in plan and plan.get("status", 200) == 200
        parts = self.events(asked) if streamed else [self.whole(asked)]
        return self.send(parts, streamed)

    def events(self, asked):
        plan = self.plan
        if "events" in plan:
            payloads = [e if isinstance(e, str) else json.dumps(e) for e in plan["events"]]
        else:
            payloads = [json.dumps(e) for e in self.chunks(asked)]
        if plan.get("done", True):
            payloads.append("[DONE]")
        return [f"data: {p}\n\n".encode() for p in payloads]

    def chunks(self, asked):
        plan = self.plan
        usage = plan.get("usage", "last")
        wanted = (asked.get("stream_options") or {}).get("include_usage")
        frame = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}

        def chunk(delta, finish=None):
            return {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        out = [chunk({"role": "assistant", "content": ""})]
        out += [chunk({"content": w}) for w in plan.get("words", ["one", " two", " three"])]
        out.append(chunk({}, plan.get("finish", "stop")))
        if usage == "first":
            out[0]["usage"] = USAGE
        elif usage == "each":
            for event in out:
                event["usage"] = USAGE
        elif usage == "finish":
            out[-1]["usage"] = USAGE
        elif usage == "always" or (usage == "last" and wanted):
            out.append({**frame, "choices": [], "usage": USAGE})
        return out

    def whole(self, asked):
        plan = self.plan
        if "body" in plan:
            body = plan["body"]
            if isinstance(body, bytes):
                return body
            return body.encode() if isinstance(body, str) else json.dumps(body).encode()
        if plan.get("status", 200) >= 400:
            return json.dumps({"error": {"message": "mock says no", "type": "mock_error", "param": None,
                                         "code": "mock"}}).encode()
        text = "".join(plan.get("words", ["one", " two", " three"]))
        answer = {"id": "chatcmpl-mock", "object": "chat.completion", "created": 1, "model": asked.get("model"),
                  "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                               "finish_reason": plan.get("finish", "stop")}]}
        if plan.get("usage", "last") != "none":
            answer["usage"] = dict(USAGE)
            if asked.get("continue_final_message") and not plan.get("ignores"):
                answer["usage"]["prompt_tokens"] -= 4  # no end of the turn, no new one
        return json.dumps(answer).encode()

    def send(self, parts, streamed):
        plan = self.plan
        framing = plan.get("framing", "chunked" if streamed else "length")
        fields = {"content-type": "text/event-stream" if streamed else "application/json",
                  **plan.get("headers", {})}
        if framing == "chunked":
            fields["transfer-encoding"] = "chunked"
        elif framing == "length":
            fields["content-length"] = str(plan.get("length", sum(map(len, parts))))
        elif framing == "eof":
            fields["connection"] = "close"
        head = f"HTTP/1.1 {plan.get('status', 200)} Mock\r\n"
        self.c.sendall((head + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n").encode())
        if plan.get("head_first"):
            self.wait(plan.get("delay_s", 0))
        for part in parts:
            self.wait(plan.get("event_delay_s", 0))
            if not self.write(part, framing == "chunked"):
                return False
        if "end" in plan:
            self.end(plan["end"])
            return False
        if framing == "chunked":
            self.c.sendall(b"0\r\n\r\n")
        return framing != "eof" and fields.get("connection") != "close"

    def write(self, part, chunked):
        """False: the cut was reached and the connection is over."""
        size = self.plan.get("piece", len(part)) or 1
        for at in range(0, len(part), size):
            piece = part[at:at + size]
            last = self.cut is not None and self.n_sent + len(piece) > self.cut
            if last:
                piece = piece[:self.cut - self.n_sent]
            self.n_sent += len(piece)
            if piece:
                self.c.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if last:
                self.end(self.plan.get("end", "close"))
                return False
        return True

    def end(self, how):
        if how == "reset":
            reset(self.c)
        elif how == "hang":
            self.wait(600)
        else:
            with contextlib.suppress(OSError):
                self.c.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds):
        """Sleep, but notice when the other side leaves."""
        if seconds <= 0:
            return
        self.c.settimeout(seconds)
        try:
            seen = self.c.recv(1, socket.MSG_PEEK)
            if not seen:
                raise ConnectionResetError
            time.sleep(seconds)  # pipelined bytes: not ours to read
        except (TimeoutError, socket.timeout):
            pass
        finally:
            self.c.settimeout(None)
