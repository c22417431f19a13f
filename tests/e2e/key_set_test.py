"""Key sets by URL: fetched by the side, cached, one fetch at a time; a failure keeps the last one."""
import base64
import http.server
import json
import pathlib
import subprocess
import tempfile
import threading
import time

from harness import expect, expect_in, expect_true, main, test
from identity_checker import Checker


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """An Ed25519 key of the openssl program."""

    def __init__(self, folder, name):
        self.name = name
        self._pem = pathlib.Path(folder) / f"{name}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", self._pem],
                       check=True, capture_output=True)
        der = subprocess.run(["openssl", "pkey", "-in", self._pem, "-pubout", "-outform", "DER"],
                             check=True, capture_output=True).stdout
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "kid": name, "x": encode(der[-32:])}

    def token(self):
        head = encode(json.dumps({"alg": "EdDSA", "kid": self.name}).encode())
        body = encode(json.dumps({"sub": self.name, "exp": int(time.time()) + 600}).encode())
        with tempfile.NamedTemporaryFile() as text:
            text.write(f"{head}.{body}".encode())
            text.flush()
            signature = subprocess.run(
                ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self._pem, "-in", text.name],
                check=True, capture_output=True).stdout
        return f"{head}.{body}.{encode(signature)}"


class KeyServer:
    """Serves `body` and counts; `gate` holds answers back."""

    def __enter__(self):
        outer = self
        self.body, self.status, self.count = b"", 200, 0
        self.gate = threading.Event()
        self.gate.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.count += 1
                outer.gate.wait(20)
                self.send_response(outer.status)
                self.send_header("content-length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *words):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


def until(ask, wanted, limit_s=30):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if wanted(ask()):
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s} s: the last answer was {ask()}")


def keys(*signers):
    return json.dumps({"keys": [signer.jwk for signer in signers]}).encode()


@test
def a_set_is_fetched_once_and_kept():
    with tempfile.TemporaryDirectory() as folder, KeyServer() as server:
        alice = Signer(folder, "alice")
        token = alice.token()
        server.body = keys(alice)
        server.gate.clear()
        with Checker(jwks=server.url, audience="") as checker:
            for _ in range(20):  # nothing blocks while the fetch runs, and there is one of them
                answer = checker.ask(token)
                expect(answer["status"], 503)
                expect_in("could not be fetched yet", answer["message"])
            server.gate.set()
            until(lambda: checker.ask(token), lambda answer: answer.get("key") == "jwt:alice")
            for _ in range(20):
                expect(checker.ask(token)["key"], "jwt:alice")
            expect(server.count, 1, "fetches")


@test
def a_failed_fetch_is_tried_again_later():
    with tempfile.TemporaryDirectory() as folder, KeyServer() as server:
        alice = Signer(folder, "alice")
        token = alice.token()
        server.status = 500
        with Checker(jwks=server.url) as checker:
            until(lambda: server.count, lambda count: count >= 2)
            expect(checker.ask(token)["status"], 503)
            server.status, server.body = 200, keys(alice)
            until(lambda: checker.ask(token), lambda answer: answer.get("key") == "jwt:alice")
            expect_true(server.count <= 6, f"{server.count} fetches: back-off")


@test
def a_file_is_read_again_when_it_changes():
    with tempfile.TemporaryDirectory() as folder:
        alice, bob = Signer(folder, "alice"), Signer(folder, "bob")
        path = pathlib.Path(folder) / "jwks.json"
        path.write_bytes(keys(alice))
        with Checker(jwks=path) as checker:
            expect(checker.ask(alice.token())["key"], "jwt:alice")
            expect_in("no single key", checker.ask(bob.token())["message"])
            path.write_bytes(keys(alice, bob))
            token = bob.token()
            until(lambda: checker.ask(token), lambda answer: answer.get("key") == "jwt:bob")
            path.write_bytes(b"{")
            time.sleep(0.6)
            expect(checker.ask(token)["key"], "jwt:bob", "the last good set")


if __name__ == "__main__":
    main()
