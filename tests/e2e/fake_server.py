"""The gateway over the fake engine (tests/support/serve_fake.c) for end-to-end tests without a model.

    with FakeServer(slots=2, keys=["sk-test"]) as server:
        server.chat("!count 5")

Keyword arguments become its number options (`body_max=100` is `--body-max 100`).  What a message
can order the engine to do is listed in tests/support/fake_engine.h.
"""
import json
import socket

from harness import BUILD, Server, read_to_end

MODEL = "fake-model"


def sanitized():
    """True for a build whose memory use says nothing about the program's own."""
    options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    return any(o["name"] == "b_sanitize" and o["value"] != "none" for o in options)


class FakeServer(Server):
    def __init__(self, keys=(), wait="/health", **numbers):
        args = [word for key in keys for word in ("--api-key", key)]
        for name, value in numbers.items():
            args += ["--" + name.replace("_", "-"), str(value)]
        super().__init__(*args, wait=wait)
        self.args[0] = str(BUILD / "tests" / "serve_fake")

    def model(self):
        return MODEL

    def body(self, text, **fields):
        return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}

    def ask(self, text, headers=None, **fields):
        return self.post("/v1/chat/completions", self.body(text, **fields), headers)

    def open_stream(self, text, headers=None, **fields):
        return self.stream("/v1/chat/completions", self.body(text, stream=True, **fields), headers)

    def socket(self, limit_s=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout=limit_s)

    def cancels(self):
        return self.metric("fake_cancels")

    def running(self):
        return self.metric("vllm:num_requests_running")


def status_of(raw):
    """Status code of a raw answer; 0 when there is none."""
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else 0


def read_answer(sock):
    """One whole answer with Content-Length from a socket: (head bytes, body bytes)."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = sock.recv(65536)
        if not piece:
            return got, b""
        got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n", body


__all__ = ["FakeServer", "MODEL", "read_answer", "read_to_end", "sanitized", "status_of"]
