"""A gateway between a client and upstreams that misbehave on order, for end-to-end tests.

    with FaultUpstream(script) as first, FaultUpstream(answer_well) as second, \\
            Gateway(pools={"private": [first], "cloud": [second]}) as gateway:
        gateway.ask("hello")

A script is a function that gets a Peer, one whole request read, and does to its socket what it likes.
The Gateway writes its YAML file and its books into its temporary folder; `rows()` reads the ledger as
`kontor ledger` would, `line(id)` the access log.
"""
import contextlib
import json
import socket
import sqlite3
import struct
import threading
import time

from harness import Server, expect_true, free_port, run, wait_until

MODEL = "glm-5-9b-chat"
SSE_HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")


class Peer:
    """One connection of an upstream with one request read."""

    def __init__(self, sock):
        self.sock = sock
        self.kept = b""
        self.head = b""
        self.body = b""
        self.closed = False

    def read_request(self):
        """False at the end of the connection."""
        return self.read_head() and self.read_body()

    def read_head(self):
        data = self.kept
        while b"\r\n\r\n" not in data:
            part = self.sock.recv(65536)
            if not part:
                return False
            data += part
        self.head, _, self.kept = data.partition(b"\r\n\r\n")
        return True

    def read_body(self):
        n = int(self.field("content-length") or 0)
        parts, got = [self.kept], len(self.kept)
        while got < n:
            part = self.sock.recv(65536)
            if not part:
                return False
            parts.append(part)
            got += len(part)
        data = b"".join(parts)
        self.body, self.kept = data[:n], data[n:]
        return True

    def field(self, name):
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.encode():
                return value.strip().decode()
        return None

    @property
    def path(self):
        return self.head.split(b" ")[1].decode()

    def json(self):
        return json.loads(self.body)

    def streamed(self):
        return bool(self.json().get("stream"))

    def send(self, *parts, pause_s=0.0):
        for part in parts:
            self.sock.sendall(part)
            if pause_s:
                time.sleep(pause_s)

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self):
        self.closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self):
        """End with RST instead of FIN."""
        self.closed = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_gone(self, limit_s=10):
        """Until the other side closes; the seconds that took."""
        begun = time.monotonic()
        self.sock.settimeout(limit_s)
        with contextlib.suppress(ConnectionResetError):
            while self.sock.recv(65536):
                pass
        return time.monotonic() - begun


class FaultUpstream:
    """An OpenAI server that does what `script` says.  `requests` holds the bodies it has read.

    early   the script is called once the head is read, and reads the body itself
    """

    def __init__(self, script, tls=None, early=False):
        self.script = script
        self.early = early
        self.requests = []
        self.heads = []
        self.port = free_port()
        self.tls = tls
        self.lock = threading.Lock()
        self.open = set()
        self.stopping = False
        self.listener = None
        self.errors = []

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind, *_):
        self.stopping = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in list(self.open):
            with contextlib.suppress(OSError):
                sock.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def _accept(self):
        while not self.stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.open.add(sock)
            peer = Peer(sock)
            while not peer.closed and (peer.read_head() if self.early else peer.read_request()):
                if peer.path == "/health":
                    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                with self.lock:
                    self.requests.append(peer.json() if peer.body else None)
                    self.heads.append(peer.head)
                self.script(peer)
        except (OSError, ValueError):
            pass  # the gateway closed, or the test is over
        except Exception as error:  # noqa: BLE001 - shown at the end of the test
            self.errors.append(error)
        finally:
            self.open.discard(sock)
            with contextlib.suppress(OSError):
                sock.close()


# --- what upstreams say ---

def delta(text, **fields):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1764028800,
            "model": "there", "choices": [choice], **fields}


def last_delta(**fields):
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return {**delta(""), "choices": [choice], **fields}


def usage(prompt=7, completion=3):
    return {"prompt_tokens": prompt, "completion_tokens": completion,
            "total_tokens": prompt + completion}


def usage_delta(**numbers):
    return {**delta(""), "choices": [], "usage": usage(**numbers)}


def event(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return b"data: " + text.encode() + b"\n\n"


def whole_stream(texts=("one ", "two ", "three"), usage_event=True, done=True):
    events = [event(delta(t)) for t in texts] + [event(last_delta())]
    if usage_event:
        events.append(event(usage_delta()))
    if done:
        events.append(event("[DONE]"))
    return events


def plain_answer(text="one two three", **fields):
    return {"id": "chatcmpl-up", "object": "chat.completion", "created": 1764028800,
            "model": "there", "choices": [{"index": 0, "message": {"role": "assistant",
                                                                   "content": text},
                                           "finish_reason": "stop"}], "usage": usage(), **fields}


def respond(peer, status=200, body=b"", kind="application/json", fields=()):
    body = json.dumps(body).encode() if not isinstance(body, bytes) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(body)}",
             *fields]
    peer.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def answer_well(peer):
    """A healthy upstream, streamed or not."""
    if peer.streamed():
        peer.send(SSE_HEAD)
        for e in whole_stream():
            peer.chunk(e)
        peer.send(b"0\r\n\r\n")
    else:
        respond(peer, body=plain_answer())


# --- the gateway ---

class Gateway(Server):
    """`kontor gateway` in front of the upstreams of `pools` (name -> list), asked in that order.

    The pool "cloud" is external.  upstream: further YAML settings of every upstream; more: lines added to
    the file, e.g. limits.
    """

    def __init__(self, pools, upstream=None, model=None, more="", wait="/ready", ledger=True,
                 args=(), env=None, rules=None, tls_ca=None):
        port = free_port()
        super().__init__(*args, command=("gateway",), wait=wait, port=port, env=env)
        self.state = self.folder / "state"
        self.config = self.folder / "kontor.yaml"
        self.tls_ca = tls_ca
        self.config.write_text(self._yaml(pools, upstream or {}, model or {}, more, ledger, rules))
        self.args[2:2] = ["--config", str(self.config)]

    def _yaml(self, pools, settings, model, more, ledger, rules):
        timeouts = {"connect": "1s", "first_byte": "1s", "idle": "1s", "total": "20s"}
        upstreams, pool_list = [], []
        for name, members in pools.items():
            names = []
            for i, member in enumerate(members):
                url = member if isinstance(member, str) else member.url
                names.append(f"{name}-{i + 1}")
                upstreams.append({"name": names[-1], "url": url, "provider": f"{name}-provider",
                                  "region": "de", "timeouts": timeouts,
                                  "health": {"path": "none", "probe": False}, **settings})
                if url.startswith("https:"):
                    upstreams[-1]["tls"] = {"ca": str(self.tls_ca)}
            cloud = name == "cloud"
            pool_list.append({"name": name, "members": names, "external": cloud, "region": "de",
                              "ceiling": "internal" if cloud else "private"})
        document = {
            "listen": [{"address": f"127.0.0.1:{self.port}"}],
            "upstreams": upstreams, "pools": pool_list,
            "models": [{"name": MODEL, "pools": list(pools), **model}],
            "policy": {"default_label": "internal",
                       "rules": rules if rules is not None else
                       [{"name": "may-burst", "when": {"label_at_most": "internal"},
                         "allow": list(pools)}]},
            "prices": [{"provider": f"{name}-provider", "model": "*", "currency": "USD",
                        "input": "1.00", "output": "2.00", "valid_from": "2026-01-01",
                        "source": "test"} for name in pools],
        }
        if ledger:
            document["state_dir"] = str(self.state)
        # JSON is YAML, and needs no library to write.
        lines = [f"{key}: {json.dumps(value)}" for key, value in document.items()]
        return "\n".join(lines) + "\n" + more

    def body(self, text="hello", **fields):
        return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}

    def ask(self, text="hello", headers=None, limit_s=30, **fields):
        return self.post("/v1/chat/completions", self.body(text, **fields), headers, limit_s)

    def open_stream(self, text="hello", headers=None, limit_s=30, **fields):
        return self.stream("/v1/chat/completions", self.body(text, stream=True, **fields), headers,
                           limit_s)

    def read_stream(self, **fields):
        """(status, headers, bytes of the body as they came)."""
        with contextlib.closing(self.connection(30)) as c:
            c.request("POST", "/v1/chat/completions",
                      json.dumps(self.body(stream=True, **fields)),
                      {"Content-Type": "application/json"})
            r = c.getresponse()
            headers = {k.lower(): v for k, v in r.getheaders()}
            parts = []
            with contextlib.suppress(Exception):
                while True:
                    part = r.read1(65536)
                    if not part:
                        break
                    parts.append(part)
            return r.status, headers, b"".join(parts)

    def report(self):
        done = run("ledger", "report", "--by", "upstream", "--format", "json", "--state-dir",
                   self.state)
        expect_true(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)

    def rows(self):
        """All rows of the ledger, oldest first, as dicts."""
        path = self.state / "ledger.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [dict(r) for r in db.execute("select * from entries order by seq")]

    def wait_rows(self, n, limit_s=10):
        wait_until(lambda: len(self.rows()) >= n, f"{n} rows in the ledger", limit_s)
        rows = self.rows()
        expect_true(len(rows) == n, f"exactly {n} rows, not {len(rows)}")
        return rows

    def lines(self):
        """The access log of /v1: every JSON object on stderr that has a cause."""
        found = []
        for line in self.log().splitlines():
            start = line.find("{")
            if start >= 0:
                with contextlib.suppress(ValueError):
                    value = json.loads(line[start:])
                    if isinstance(value, dict) and "cause" in value and value["path"].startswith("/v1/"):
                        found.append(value)
        return found

    def wait_lines(self, n):
        wait_until(lambda: len(self.lines()) >= n, f"{n} lines in the access log")
        return self.lines()
