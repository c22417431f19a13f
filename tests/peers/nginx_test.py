"""nginx in front of the gateway, as docs/operate.md says: TLS outside and inside, streams pass at once, a client
that leaves is noticed behind both."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

from gateway_rig import SSE_HEAD, FaultUpstream, Gateway, answer_well, delta, event, whole_stream
from harness import expect, expect_true, free_port, main, test, wait_until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIG = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; client_max_body_size 64m; client_body_buffer_size 2m;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key;
        location / {{
            proxy_pass https://gateway; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_buffering off; proxy_read_timeout 600s;
            proxy_ssl_verify on; proxy_ssl_trusted_certificate {folder}/tls.pem; proxy_ssl_name localhost;
        }}
    }}
}}
"""


class Front:
    """nginx on a free port before a gateway that speaks TLS."""

    def __init__(self, script):
        if not os.access(NGINX, os.X_OK):
            raise AssertionError("nginx is not installed: tools/deps.sh --install peers")
        self.script = script

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-keyout", "tls.key", "-out", "tls.pem", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], cwd=self.folder, check=True, capture_output=True)
        self.upstream = self.stack.enter_context(FaultUpstream(self.script))
        gateway = Gateway({"private": [self.upstream]}, wait=None, upstream={"timeouts": {"idle": "20s"}})
        text = gateway.config.read_text().replace(
            f'"address": "127.0.0.1:{gateway.port}"',
            f'"address": "127.0.0.1:{gateway.port}", "certificate": "{self.folder}/tls.pem", '
            f'"key": "{self.folder}/tls.key"')
        gateway.config.write_text(text)
        # --port would replace the listener of the file, and its certificate.
        gateway.args = [a for a in gateway.args if a not in ("--host", "127.0.0.1", "--port", str(gateway.port))]
        self.gateway = self.stack.enter_context(gateway)
        wait_until(lambda: "listening" in gateway.log(), "the gateway listens")
        self.port = free_port()
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=self.folder, gateway=gateway.port, port=self.port))
        self.nginx = subprocess.Popen([NGINX, "-p", str(self.folder), "-c", str(config)], stderr=subprocess.DEVNULL)
        wait_until(self.answers, "nginx listens")
        return self

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *why):
        self.nginx.terminate()
        self.nginx.wait(10)
        self.stack.__exit__(*why)

    def connection(self):
        context = ssl.create_default_context(cafile=self.folder / "tls.pem")
        return contextlib.closing(http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context))


def post(connection, body):
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()


@test
def answers_small_and_large_pass():
    with Front(answer_well) as front, front.connection() as c:
        for n_bytes in (10, 1_000_000):
            response = post(c, front.gateway.body("x" * n_bytes))
            expect(response.status, 200)
            expect(json.loads(response.read())["choices"][0]["message"]["content"], "one two three")
        expect(len(front.upstream.requests[1]["messages"][0]["content"]), 1_000_000)


@test
def events_pass_one_by_one():
    def slowly(peer):
        peer.send(SSE_HEAD)
        for e in whole_stream():
            peer.chunk(e)
            time.sleep(0.2)
        peer.send(b"0\r\n\r\n")
    with Front(slowly) as front, front.connection() as c:
        begun = time.monotonic()
        response = post(c, front.gateway.body(stream=True))
        expect_true(b"one" in response.readline(), "the first event")
        expect_true(time.monotonic() - begun < 0.9, "the first event came before the last was sent")
        expect_true(response.read().endswith(b"data: [DONE]\n\n"), "the stream is whole")


@test
def a_client_that_leaves_is_noticed_behind_both():
    gone = []

    def hanging(peer):
        peer.send(SSE_HEAD)
        peer.chunk(event(delta("one ")))
        gone.append(peer.wait_gone(15))
    with Front(hanging) as front:
        with front.connection() as c:
            post(c, front.gateway.body(stream=True)).readline()
        wait_until(lambda: gone, "the upstream saw the client go")
        expect_true(gone[0] < 5, "soon")
        expect(front.gateway.wait_rows(1)[0]["cause"], "client_gone")


if __name__ == "__main__":
    main()
