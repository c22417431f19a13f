"""TLS of `serve`, `chat` and `health`: certificates that fit and those that do not, plain HTTP on the
TLS port, reload.  Certificates are made by the openssl command, the other side is Python's ssl."""
import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from harness import Server, expect, expect_in, expect_true, main, run, test, wait_until

FOLDER = tempfile.mkdtemp(prefix="kontor-tls-")
CA = os.path.join(FOLDER, "ca.pem")


def path(name):
    return os.path.join(FOLDER, name)


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=FOLDER)


def issue(name, names="DNS:localhost,IP:127.0.0.1", days=2):
    """`name`.pem and `name`.key, signed by the authority."""
    with open(path(name + ".ext"), "w", encoding="ascii") as f:
        f.write(f"subjectAltName={names}\n")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", name + ".key", "-out", name + ".csr", "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", str(days), "-extfile", name + ".ext", "-out", name + ".pem")
    return path(name + ".pem"), path(name + ".key")


def make_authority():
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")


class TlsServer(Server):
    """`kontor serve` with a certificate; requests go through a context that trusts the authority."""

    def __init__(self, certificate, key, *args, context=None, **options):
        super().__init__("--ssl-certfile", certificate, "--ssl-keyfile", key, *args, wait=None,
                         **options)
        self.context = context or ssl.create_default_context(cafile=CA)

    def https(self, host="localhost", context=None):
        return http.client.HTTPSConnection(host, self.port, timeout=30,
                                           context=context or self.context)

    def ask(self, connection, target="/health", body=None):
        connection.request("POST" if body else "GET", target, body and json.dumps(body),
                           {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()

    def ready(self):
        def healthy():
            with contextlib.suppress(OSError), contextlib.closing(self.https()) as c:
                return self.ask(c)[0] == 200
            return False
        wait_until(healthy, "it is healthy", 30)
        return self


@test
def chat_over_tls_plain_and_streamed():
    body = {"model": "kontor-demo", "messages": [{"role": "user", "content": "Who are you?"}]}
    with TlsServer(*issue("good")) as server, contextlib.closing(server.ready().https()) as c:
        status, answer = server.ask(c, "/v1/chat/completions", body)
        expect(status, 200)
        text = json.loads(answer)["choices"][0]["message"]["content"]
        status, events = server.ask(c, "/v1/chat/completions", {**body, "stream": True})
        expect(status, 200)
        deltas = [json.loads(e[6:])["choices"] for e in events.decode().split("\n\n")
                  if e.startswith("data: {")]
        expect("".join(d[0]["delta"].get("content") or "" for d in deltas if d), text)
        expect(c.sock.version(), "TLSv1.3")
        expect_in("url=https://", server.log())
        # TLS 1.2 too, and nothing older
        context = ssl.create_default_context(cafile=CA)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with contextlib.closing(server.https(context=context)) as old:
            expect(server.ask(old)[0], 200)
            expect(old.sock.version(), "TLSv1.2")


@test
def large_bodies_pass_whole():
    with TlsServer(*issue("good")) as server, contextlib.closing(server.ready().https()) as c:
        status, answer = server.ask(c, "/tokenize", {"prompt": "ab " * 400000})
        expect(status, 200)
        expect_true(len(answer) > 400000, "every token came back")


@test
def plain_http_on_the_tls_port_gets_a_readable_400():
    with TlsServer(*issue("good")) as server:
        server.ready()
        reply = server.get("/health")
        expect(reply.status, 400)
        expect_in("Use https://", reply.json()["error"]["message"])
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            sock.sendall(b"\x00" * 100)  # neither TLS nor HTTP: ended, at most with an alert
            with contextlib.suppress(ConnectionError):
                expect_true(len(sock.recv(100)) < 10 and not sock.recv(100), "closed")
        with contextlib.closing(server.https()) as c:
            expect(server.ask(c)[0], 200)


@test
def client_certificates_are_asked_for():
    certificate, key = issue("client", "DNS:client.test")
    context = ssl.create_default_context(cafile=CA)
    context.load_cert_chain(certificate, key)
    with TlsServer(*issue("good"), "--ssl-ca-certs", CA, context=context) as server:
        server.ready()
        bare = ssl.create_default_context(cafile=CA)
        try:
            with contextlib.closing(server.https(context=bare)) as c:
                status = server.ask(c)
        except (ssl.SSLError, ConnectionError, http.client.HTTPException):
            status = None
        expect(status, None)


@test
def a_changed_certificate_is_taken_up():
    certificate, key = issue("turning", "DNS:old.test")
    with TlsServer(certificate, key) as server:
        wait_until(lambda: "listening url" in server.log(), "it listens")
        issue("turning")
        wait_until(lambda: "certificate_loaded" in server.log(), "loaded", 15)
        with contextlib.closing(server.ready().https()) as c:
            expect(server.ask(c)[0], 200)


@test
def settings_that_cannot_work_are_named_at_start():
    good, key = issue("good")
    other = issue("other")[1]
    old = issue("old", days=-1)
    for args, words in (((good, "--ssl-keyfile", other), "does not belong"),
                        (("/nonexistent.pem",), "Cannot read the certificate"),
                        ((old[0], "--ssl-keyfile", old[1]), "has expired")):
        done = run("serve", "--ssl-certfile", *args)
        expect(done.returncode, 2)
        expect_in(words, done.stderr)
    done = run("serve", "--ssl-keyfile", key)
    expect(done.returncode, 2)
    expect_in("need --ssl-certfile", done.stderr)


@test
def plain_http_for_other_machines_warns():
    server = Server()
    server.args[server.args.index("--host") + 1] = "0.0.0.0"
    with server:
        expect(server.log().count("plain_http"), 1)
        expect_in("--ssl-certfile", server.log())


class Upstream(threading.Thread):
    """Python's TLS: answers any request with 200 and `{}`."""

    def __init__(self, certificate, key):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), self.context.wrap_socket(sock, True) as tls:
                tls.recv(65536)
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(10)


@test
def the_client_judges_the_server():
    for names, days, ca, words in (("DNS:localhost", 2, CA, None),
                                   ("DNS:localhost", -1, CA, "certificate has expired"),
                                   ("DNS:other.test", 2, CA, 'for "other.test", not for "localhost"'),
                                   ("DNS:localhost", 2, None, "not trusted here")):
        upstream = Upstream(*issue("case", names, days))
        args = ["--ca-file", ca] if ca else []
        done = run("health", f"https://localhost:{upstream.port}", *args)
        upstream.stop()
        expect(done.returncode, 1 if words else 0, done.stderr)
        if words:
            expect_in(words, done.stderr)
    done = run("health", "https://localhost:1", "--ca-file", "/nonexistent.pem")
    expect(done.returncode, 1)
    expect_in("Cannot read", done.stderr)


@test
def chat_asks_over_tls():
    with TlsServer(*issue("good")) as server:
        server.ready()
        done = run("chat", "--url", f"https://localhost:{server.port}", "--ca-file", CA, "--prompt",
                   "Who are you?")
        expect(done.returncode, 0, done.stderr)
        expect_true(len(done.stdout) > 10, "an answer")


@test
def a_dropped_tls_stream_frees_the_slot():
    body = {"model": "kontor-demo", "messages": [{"role": "user", "content": "Tell me."}],
            "stream": True, "ignore_eos": True, "max_tokens": 1800}
    with TlsServer(*issue("good")) as server:
        c = server.ready().https()
        c.request("POST", "/v1/chat/completions", json.dumps(body),
                  {"Content-Type": "application/json"})
        response = c.getresponse()
        response.read(400)
        begun = time.monotonic()
        response.close()
        c.close()

        def cancelled():
            return "status=499" in server.log()
        wait_until(cancelled, "the request is cancelled")
        expect_true(time.monotonic() - begun < 5, "soon")


if __name__ == "__main__":
    try:
        make_authority()
        main()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
