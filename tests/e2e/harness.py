"""What an end-to-end test needs: start build/kontor, talk to it, print TAP.  Standard library only.

    from harness import test, main, skip, Server, expect

    @test
    def health_is_healthy():
        with Server() as server:
            expect(server.get("/health").status, 200)

    if __name__ == "__main__":
        main()

A Server picks a free port, runs in a temporary folder, keeps the program's stderr in `log()`, and
is ended with SIGTERM.  Tests of one file run in the order they stand in; `x_test.py PATTERN` runs
those whose name contains PATTERN.
"""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

TESTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
BUILD = pathlib.Path(os.environ.get("KONTOR_BUILD", ROOT / "build")).resolve()
KONTOR = BUILD / "kontor"
READY_LIMIT_S = 60
# What a server's log must never hold: sanitizers and broken invariants.
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:",
           "internal fault")
STOP_LIMIT_S = 20

_tests = []


class Skip(Exception):
    pass


def test(function):
    """Register a test; its name is the function's."""
    _tests.append(function)
    return function


def skip(reason):
    """End the running test as skipped.  "no material" is the only reason CI accepts."""
    raise Skip(reason)


def material():
    """The folder KONTOR_MATERIAL names; skips without it."""
    folder = os.environ.get("KONTOR_MATERIAL")
    if not folder:
        skip("no material")
    return pathlib.Path(folder)


def expect(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what} is {got!r}, not {want!r}")


def expect_true(condition, what):
    if not condition:
        raise AssertionError(f"not true: {what}")


def expect_in(needle, text):
    if needle not in text:
        raise AssertionError(f"{needle!r} is not in {text!r}")


def main():
    """Run the registered tests, print TAP, end the process."""
    sys.stdout.reconfigure(line_buffering=True)
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [t for t in _tests if pattern in t.__name__]
    n_failed = 0
    print(f"1..{len(chosen)}")
    for number, function in enumerate(chosen, 1):
        try:
            function()
            print(f"ok {number} - {function.__name__}")
        except Skip as why:
            print(f"# skip reason: {why}")
            print(f"ok {number} - {function.__name__} # SKIP {why}")
        except Exception:  # noqa: BLE001 - whatever a test raises is its failure
            n_failed += 1
            print(f"not ok {number} - {function.__name__}")
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
    sys.exit(1 if n_failed else 0)


def run(*args, input_text=None, limit_s=60, env=None):
    """Run `kontor ARGS` to its end.  Returns subprocess.CompletedProcess with text output."""
    return subprocess.run([str(KONTOR), *map(str, args)], input=input_text, text=True,
                          capture_output=True, timeout=limit_s, check=False,
                          env={**os.environ, **(env or {})})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Reply:
    """A whole HTTP answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)


class Server:
    """`kontor serve [MODEL] ARGS` (or another command) until the with-block ends.

    command    words before --host/--port: ("serve",), ("serve", "/models/x"), ("gateway",)
    wait       path that answers 200 once the server is ready; None: do not wait
    """

    def __init__(self, *args, command=("serve",), wait="/health", env=None, port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kontor-e2e-"))
        self.args = [str(KONTOR), *map(str, command), "--host", "127.0.0.1", "--port",
                     str(self.port), *map(str, args)]
        self.wait = wait
        self.env = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), **(env or {})}
        self.process = None
        self.exit_status = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stop()
        log = self.log()
        if kind is not None:
            print("\n".join("# server: " + line[:400] for line in self.log().splitlines()[-40:]))
        shutil.rmtree(self.folder, ignore_errors=True)
        for report in REPORTS:
            if report in log:
                raise AssertionError(log[log.index(report):][:4000])

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.args, stdout=log, stderr=log, cwd=self.folder,
                                            stdin=subprocess.DEVNULL, env=self.env)
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            print("\n".join("# server: " + line[:400] for line in self.log().splitlines()[-40:]))
            raise

    def _wait_ready(self):
        deadline = time.monotonic() + READY_LIMIT_S
        while self.wait is not None:
            if self.process.poll() is not None:
                raise AssertionError(f"server ended with status {self.process.returncode}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get(self.wait, limit_s=5).status == 200:
                    return
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.wait} not 200 within {READY_LIMIT_S} s")
            time.sleep(0.02)

    def stop(self, sig=signal.SIGTERM):
        """Send the signal, wait, return the exit status (negative: killed by that signal)."""
        if self.process is None:
            return self.exit_status
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            self.exit_status = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.exit_status = "did not stop"
        self.process = None
        return self.exit_status

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def connection(self, limit_s=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)

    def request(self, method, path, body=None, headers=None, limit_s=60):
        """One request on its own connection.  body: bytes, str, or anything JSON can hold."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode("utf-8")
        with contextlib.closing(self.connection(limit_s)) as connection:
            connection.request(method, path, body=body, headers=headers)
            return Reply(connection.getresponse())

    def get(self, path, headers=None, limit_s=60):
        return self.request("GET", path, headers=headers, limit_s=limit_s)

    def post(self, path, body, headers=None, limit_s=60):
        return self.request("POST", path, body, headers, limit_s)

    def chat(self, text, **fields):
        """POST /v1/chat/completions with one user message to the first served model."""
        body = {"model": self.model(), "messages": [{"role": "user", "content": text}], **fields}
        return self.post("/v1/chat/completions", body)

    def model(self):
        return self.get("/v1/models").json()["data"][0]["id"]

    def stream(self, path, body, headers=None, limit_s=60):
        """A Stream; use it in a with-block, iterate over it for the `data:` payloads."""
        return Stream(self.connection(limit_s), path, body, headers)

    def raw(self, sent, limit_s=10, half_close=False):
        """Send bytes as they are, return everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=limit_s) as s:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(sent)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            return read_to_end(s)

    def metric(self, name, **labels):
        """Sum of the series of a metric whose labels include those given; None when absent."""
        total = None
        for line in self.get("/metrics").text.splitlines():
            if line.startswith("#") or not line.startswith(name):
                continue
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] != name:
                continue
            if all(f'{k}="{v}"' in series for k, v in labels.items()):
                total = (total or 0.0) + float(value)
        return total

    def rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0


class Stream:
    """An SSE answer.  Iterating yields each event's data as text, "[DONE]" included."""

    def __init__(self, connection, path, body, headers):
        self.connection = connection
        connection.request("POST", path, body=json.dumps(body),
                           headers={"Content-Type": "application/json", **(headers or {})})
        self.response = connection.getresponse()
        self.status = self.response.status
        self.headers = {k.lower(): v for k, v in self.response.getheaders()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abort()

    def __iter__(self):
        data = []
        for line in self.response:
            line = line.rstrip(b"\r\n").decode("utf-8")
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                yield "\n".join(data)
                data = []

    def events(self):
        """The JSON of each event before [DONE]."""
        for data in self:
            if data == "[DONE]":
                return
            yield json.loads(data)

    def abort(self):
        """Close the connection at once, in mid-stream or not."""
        self.response.close()
        self.connection.close()


def read_to_end(s):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while True:
            part = s.recv(65536)
            if not part:
                break
            parts.append(part)
    return b"".join(parts)


def wait_until(condition, what, limit_s=10):
    """Poll until condition() is true, fail with `what` otherwise."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.01)


def in_parallel(n, function):
    """Call function(i) in n threads; returns the results, raises the first exception."""
    results = [None] * n
    errors = []

    def work(i):
        try:
            results[i] = function(i)
        except Exception as error:  # noqa: BLE001 - handed on below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
