"""Random configurations, requests and faults through the real gateway: no byte of a request where it may not go.

Each request carries marks in its body, from begin to end; each upstream keeps every byte that reaches its socket,
also of requests that it cuts off, answers too early or never answers.  Judged by docs/policy.md, written a third
time here.  unit/policy_property draws far more cases for the decision alone; this one has sockets, buffers and
failovers in it.
"""
import contextlib
import json
import os
import random
import re
import signal
import socket
import threading
import time

from gateway_rig import SSE_HEAD, event, plain_answer, whole_stream
from harness import Server, expect_true, free_port, main, test, wait_until

LABELS = ("public", "internal", "confidential", "private")
MARK = re.compile(rb"<(\d+)>")
MARK_BYTES_MAX = 12
ROUNDS = 400 if os.environ.get("KONTOR_CAMPAIGN") else 25
REQUESTS = 40
SEED = int(os.environ.get("KONTOR_SEED", "9"))


class Sink:
    """Keeps all bytes that arrive, and does with each connection what chance says."""

    def __init__(self, rng):
        self.rng, self.lock, self.stopping = rng, threading.Lock(), False
        self.marks = set()

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)  # large bodies stay with their sender
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while not self.stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        tails = [b""]  # of this connection: a mark may arrive in two pieces

        def take():
            data = sock.recv(65536)
            text = tails[0] + data
            with self.lock:
                self.marks.update(int(m) for m in MARK.findall(text))
            tails[0] = text[-MARK_BYTES_MAX:]
            return data

        with sock, contextlib.suppress(OSError, ValueError):
            while self._one(sock, take):
                pass

    def taken(self):
        """Numbers of the requests whose marks have arrived since the last call."""
        with self.lock:
            marks, self.marks = self.marks, set()
        return marks

    def _one(self, sock, take):
        """One request.  False: the connection ends."""
        fault = self.rng.choice(("well", "well", "well", "500", "429", "early", "cut", "cut answer", "silent"))
        data = b""
        while b"\r\n\r\n" not in data:
            piece = take()
            if not piece:
                return False
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: *(\d+)", head, re.I)[1])
        if fault == "cut":
            return False
        if fault == "early":
            sock.sendall(SSE_HEAD + b"%x\r\n%s\r\n" % (len(event(plain_answer("x"))), event(plain_answer("x"))))
            time.sleep(0.15)
        while len(rest) < length:
            piece = take()
            if not piece:
                return False
            rest += piece
        if fault == "silent":
            time.sleep(0.3)
            return False
        return self._answer(sock, fault, b'"stream": true' in rest)

    @staticmethod
    def _answer(sock, fault, stream):
        if fault in ("500", "429"):
            sock.sendall(b"HTTP/1.1 %s No\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}" %
                         fault.encode())
            return True
        if stream or fault == "early":
            events = whole_stream()[:2 if fault == "cut answer" else None]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in events)
            sock.sendall((b"" if fault == "early" else SSE_HEAD) + chunks + (
                b"" if fault == "cut answer" else b"0\r\n\r\n"))
            return fault == "well"
        body = json.dumps(plain_answer()).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) +
                     body[:10 if fault == "cut answer" else None])
        return fault == "well"


class Draw:
    """One random configuration, and what it allows."""

    def __init__(self, rng, sinks, port):
        regions = ("de", "eu", "us")
        self.sinks = sinks
        self.upstreams = [{"name": f"u{i}", "url": s.url, "provider": "p", "region": rng.choice(regions),
                           "timeouts": {"connect": "500ms", "first_byte": "200ms", "idle": "200ms", "total": "2s"},
                           "health": {"path": "none"}} for i, s in enumerate(sinks)]
        kinds = [rng.random() < 0.5 for _ in sinks]  # an upstream is in pools of one kind only
        self.pools = []
        for i in range(rng.randint(2, 5)):
            external = rng.random() < 0.5 if i else kinds[0]  # one pool at least
            members = [f"u{k}" for k, kind in enumerate(kinds) if kind == external]
            if members:
                self.pools.append({"name": f"p{i}", "members": rng.sample(members, rng.randint(1, len(members))),
                                   "external": external, "ceiling": rng.choice(LABELS), "region": rng.choice(regions)})
        names = [p["name"] for p in self.pools]
        self.models = [{"name": f"m{i}", "pools": rng.sample(names, rng.randint(1, len(names))),
                        **({"latency_gate": "50ms", "on_slow": rng.choice(("warn", "hedge", "next"))}
                           if rng.random() < 0.5 else {})} for i in range(3)]
        self.rules = [self.rule(rng, f"r{i}", names, regions) for i in range(rng.randint(0, 4))]
        self.default = rng.choice(LABELS)
        self.document = {
            "listen": [{"address": f"127.0.0.1:{port}"}], "upstreams": self.upstreams, "pools": self.pools,
            "models": self.models, "policy": {"default_label": self.default, "rules": self.rules},
            "failover": {"attempts": 4, "retry_budget": "100%", "breaker": {"failures": 1000}}}

    @staticmethod
    def rule(rng, name, pools, regions):
        when = {}
        if rng.random() < 0.4:
            when["models"] = [f"m{rng.randint(0, 2)}"]
        if rng.random() < 0.5:
            when["label_at_most"] = rng.choice(LABELS)
        if rng.random() < 0.3:
            when["body_at_most"] = "2KiB"
        rule = {"name": name, "when": when}
        if rng.random() < 0.15:
            return {**rule, "deny": True}
        rule["allow"] = rng.sample(pools, rng.randint(1, len(pools)))
        return {**rule, "regions": rng.sample(regions, 2)} if rng.random() < 0.3 else rule

    def matching(self, model, label, n_bytes):
        for r in self.rules:
            w = r["when"]
            if model in w.get("models", [model]) and LABELS.index(label) <= LABELS.index(
                    w.get("label_at_most", "private")) and ("body_at_most" not in w or n_bytes <= 2048):
                return r
        return None

    def may_see(self, upstream, model, label, n_bytes):
        """Some pool of the model with this upstream is open to the request."""
        rule = self.matching(model, label, n_bytes)
        wanted = next(m for m in self.models if m["name"] == model)["pools"]
        by_name = {u["name"]: u for u in self.upstreams}
        for p in self.pools:
            if p["name"] not in wanted or upstream not in p["members"]:
                continue
            if LABELS.index(label) > LABELS.index(p["ceiling"]):
                continue
            if rule is None and not p["external"]:
                return True
            if rule is None or rule.get("deny") or p["name"] not in rule["allow"]:
                continue
            places = {p["region"], *(by_name[m]["region"] for m in p["members"])}
            if "regions" not in rule or places <= set(rule["regions"]):
                return True
        return False


class Request:
    def __init__(self, rng, number, draw):
        self.number, self.model = number, f"m{rng.randint(0, 2)}"
        asked = rng.choice((None, *LABELS))
        self.label = max((draw.default, asked or "public"), key=LABELS.index)
        mark = f"<{number}>"
        self.body = json.dumps({"model": self.model, "stream": rng.random() < 0.5, "messages": [
            {"role": "user", "content": mark * rng.choice((1, 50, 500, 5_000, 800_000))}]}).encode()
        self.headers = {"Content-Type": "application/json", **({"X-Kontor-Label": asked} if asked else {})}

    def send(self, gateway):
        with contextlib.suppress(OSError, ValueError, Exception):
            gateway.request("POST", "/v1/chat/completions", self.body, self.headers, limit_s=20)


@test
def no_byte_where_it_may_not_go():
    rng = random.Random(SEED)
    n_seen = 0
    print(f"# seed {SEED}")
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(Sink(random.Random(rng.random()))) for _ in range(4)]
        port = free_port()
        gateway = Server(command=("gateway",), wait=None, port=port)
        config = gateway.folder / "kontor.yaml"
        gateway.args[2:2] = ["--config", str(config)]
        for n in range(ROUNDS):
            draw = Draw(rng, sinks, port)
            config.write_text("\n".join(f"{k}: {json.dumps(v)}" for k, v in draw.document.items()) + "\n")
            if n == 0:
                stack.enter_context(gateway)
                wait_until(lambda: "listening" in gateway.log(), "the gateway listens")
            else:
                gateway.process.send_signal(signal.SIGHUP)
                wait_until(lambda: gateway.metric("kontor_config_generation") == n + 1, f"reload {n}")
            requests = [Request(rng, n * REQUESTS + k, draw) for k in range(REQUESTS)]
            threads = []
            for k in range(0, REQUESTS, 8):
                threads = [threading.Thread(target=r.send, args=(gateway,)) for r in requests[k:k + 8]]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
            n_seen += judge(draw, {r.number: r for r in requests}, sinks)
            expect_true(gateway.alive(), "the gateway lives")
    print(f"# {ROUNDS * REQUESTS} requests, {n_seen} times one was seen by an upstream")
    expect_true(n_seen > ROUNDS * REQUESTS / 4, "many requests do arrive somewhere")


def judge(draw, requests, sinks):
    """Every mark that arrived was allowed to.  How many (request, upstream) pairs there were."""
    n_seen = 0
    for i, sink in enumerate(sinks):
        for number in sink.taken():
            r = requests.get(number)
            if r is None:
                continue  # of the round before: its connection was still being read
            n_seen += 1
            expect_true(draw.may_see(f"u{i}", r.model, r.label, len(r.body)),
                        f"seed {SEED}: request {number} ({r.label}, {r.model}, {len(r.body)} bytes) at u{i}: "
                        f"{json.dumps(draw.document)}")
    return n_seen


if __name__ == "__main__":
    main()
