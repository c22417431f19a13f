"""Keys, tokens and policy through a running gateway, and kontor explain on what it wrote."""
import http.client
import http.server
import json
import pathlib
import tempfile
import threading
import time

from harness import Server, expect, expect_in, expect_true, main, run, test, wait_until

SECRET = "0123456789abcdef0123456789abcdef"
ANSWER = {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"},
                       "finish_reason": "stop"}],
          "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
CONFIG = """
state_dir: {folder}/state
auth: {{keys: true, jwt: {{secret_file: {folder}/jwt.secret}}}}
upstreams:
  - {{name: rack, url: "{rack}/v1", provider: own, region: de}}
  - {{name: cloud, url: "{cloud}/v1", provider: far, region: eu}}
pools:
  - {{name: house, members: [rack], ceiling: private, region: de}}
  - {{name: away, members: [cloud], ceiling: internal, external: true, region: eu}}
models:
  - {{name: glm, pools: [house, away]}}
  - {{name: far, pools: [away]}}
policy:
  default_label: private
  label_header: x-kontor-label
  rules:
    - {{name: may-burst, when: {{label_at_most: internal}}, allow: [house, away]}}
"""


class Upstream:
    """Answers every POST; keeps the bodies."""

    def __enter__(self):
        outer = self
        self.bodies = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.reply(json.dumps(ANSWER).encode())

            def do_GET(self):
                self.reply(b'{"status": "healthy"}')

            def reply(self, body):
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *words: None  # probes that the gateway drops
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()


class House:
    """A gateway with a pool of the house and one outside."""

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._temporary.name)
        (self.folder / "state").mkdir()
        (self.folder / "jwt.secret").write_text(SECRET, encoding="utf-8")
        self.rack, self.cloud = Upstream().__enter__(), Upstream().__enter__()
        self.config = self.folder / "kontor.yaml"
        self.config.write_text(CONFIG.format(folder=self.folder, rack=self.rack.url,
                                             cloud=self.cloud.url), encoding="utf-8")
        self.server = None
        return self

    def start(self):
        self.server = Server(command=("gateway", "--config", self.config), wait="/live")
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        if self.server is not None:
            self.server.__exit__(*error)
        self.rack.__exit__()
        self.cloud.__exit__()
        self._temporary.cleanup()

    def keys(self, action, *arguments):
        done = run("keys", action, "--state-dir", str(self.folder / "state"), "--json", *arguments)
        expect(done.returncode, 0, f"kontor keys {action}: {done.stderr}")
        return json.loads(done.stdout)

    def ask(self, key, model="glm", **headers):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "secret words"}]})
        return self.server.request("POST", "/v1/chat/completions", body=body.encode(), headers={
            "content-type": "application/json", "authorization": f"Bearer {key}",
            **{name.replace("_", "-"): value for name, value in headers.items()}})

    def ask_twice(self, key, model, *labels):
        """The status of a request with several label fields."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]})
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("authorization", f"Bearer {key}")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(len(body)))
        for label in labels:
            connection.putheader("x-kontor-label", label)
        connection.endheaders(body.encode())
        status = connection.getresponse().status
        connection.close()
        return status

    def records(self):
        lines = [line for line in self.server.log().splitlines() if line.startswith('{"time_ms"')]
        return [json.loads(line) for line in lines if '"policy"' in line]


@test
def the_label_decides_where_a_request_may_go():
    with House() as house:
        private = house.keys("create")["key"]
        internal = house.keys("create", "--label", "internal", "--team", "desk")["key"]
        house.start()
        expect(house.ask(private).status, 200)
        reply = house.ask(private, "far")
        expect(reply.status, 403)
        expect(reply.json()["error"]["code"], "label_denied")
        expect(house.ask(private, "far", x_kontor_label="public").status, 403, "cannot be lowered")
        expect(len(house.cloud.bodies), 0, "requests outside")
        expect(house.ask(internal, "far").status, 200)
        expect(len(house.cloud.bodies), 1, "requests outside")
        expect(house.ask(internal, "far", x_kontor_label="confidential").status, 403, "raised")
        expect(house.ask(internal, "far", x_kontor_label="Private").status, 400, "no such word")
        expect(house.ask_twice(internal, "far", "public", "private"), 403, "the stricter one holds")
        expect(house.ask_twice(internal, "far", "private", "public"), 403, "the stricter one holds")
        expect(house.ask(internal, "none").status, 404)
        expect(len(house.cloud.bodies), 1, "requests outside")


@test
def scopes_and_ends_of_keys():
    with House() as house:
        scoped = house.keys("create", "--label", "public", "--models", "far", "--pools", "away")
        outside = house.keys("create", "--pools", "away")["key"]
        narrow = house.keys("create", "--label", "public", "--ceiling", "internal")["key"]
        house.start()
        expect(house.ask(scoped["key"], "far").status, 200)
        reply = house.ask(scoped["key"], "glm")
        expect((reply.status, reply.json()["error"]["code"]), (404, "model_not_found"))
        reply = house.ask(outside)
        expect((reply.status, reply.json()["error"]["code"]), (403, "scope_denied"))
        reply = house.ask(narrow, x_kontor_label="private")
        expect((reply.status, reply.json()["error"]["code"]), (403, "label_denied"))
        rotated = house.keys("rotate", "--key", scoped["id"], "--overlap", "1h")
        wait_until(lambda: house.ask(rotated["key"], "far").status == 200, "the new secret opens")
        expect(house.ask(scoped["key"], "far").status, 200, "the old one too")
        house.keys("revoke", "--key", scoped["id"])
        begin = time.monotonic()
        wait_until(lambda: house.ask(scoped["key"], "far").status == 401, "revoked")
        print(f"# revoked after {time.monotonic() - begin:.2f} s")
        expect_in("was revoked", house.ask(rotated["key"], "far").json()["error"]["message"])


@test
def a_token_acts_as_its_key():
    with House() as house:
        made = house.keys("create", "--label", "internal", "--team", "desk")
        token = house.keys("token", "--key", made["id"], "--ttl", "24h", "--secret-file",
                           str(house.folder / "jwt.secret"))["token"]
        house.start()
        expect(house.ask(token, "far").status, 200)
        expect(house.ask(token[:-1] + ("A" if token[-1] != "A" else "B")).status, 401)
        wait_until(lambda: len(house.records()) == 1, "the access log's line")
        [record] = house.records()
        expect((record["key"], record["team"]), (made["id"], "desk"))
        house.keys("revoke", "--key", made["id"])
        wait_until(lambda: house.ask(token, "far").status == 401, "revoked with its key")
        expect_true(made["key"] not in house.server.log() and token not in house.server.log(),
                    "no key and no token in the log")


@test
def explain_replays_what_was_decided():
    with House() as house:
        private = house.keys("create")["key"]
        internal = house.keys("create", "--label", "internal")["key"]
        house.start()
        house.ask(private, x_request_id="one")
        house.ask(internal, "far", x_request_id="two")
        house.ask(private, "far", x_request_id="three")
        wait_until(lambda: len(house.records()) == 3, "the access log's lines")
        log = house.folder / "access.log"
        log.write_text(house.server.log(), encoding="utf-8")

        def explain(*arguments, code=0):
            done = run("explain", *arguments)
            expect(done.returncode, code, f"exit code: {done.stdout} {done.stderr}")
            return done

        config = ("--config", str(house.config))
        done = explain(str(log), "--request", "one", *config)
        expect_in('yes  allowed, by the rule "default: stays"', done.stdout)
        expect_in("yes  house", done.stdout)
        expect_in("the label is over the pool's ceiling", done.stdout)
        expect_in("Decided again: as recorded.", done.stdout)
        shown = json.loads(explain(str(log), "--request", "two", "--json", *config).stdout)
        expect(shown, {"allowed": True, "verdict": "allowed", "rule": "may-burst", "pools": [
            {"name": "away", "in": True, "why": "the rule allows it"}],
            "replayed": True, "same": True, "same_settings": True})
        expect_in("no   denied_label", explain(str(log), "--request", "three", *config).stdout)
        expect_in("3 records that fit", explain(str(log), code=1).stderr)
        expect_in("no such record", explain(str(log), "--request", "four", code=1).stderr)
        record = json.dumps(house.records()[1]["policy"])
        expect_in("As recorded. --config FILE decides again.", explain(record).stdout)
        piped = run("explain", "-", input_text=record)
        expect((piped.returncode, piped.stdout), (0, explain(record).stdout), "a record from standard input")
        expect(json.loads(explain(record, "--json").stdout)["replayed"], False)
        # Another configuration: the rule is gone.
        text = house.config.read_text(encoding="utf-8")
        other = house.folder / "other.yaml"
        other.write_text(text[:text.index("  rules:")], encoding="utf-8")
        done = explain(record, "--config", str(other), code=1)
        expect_in("not as recorded", done.stdout)
        expect_in("The configuration is not the one of the record", done.stdout)
        # A record that somebody changed.
        changed = record.replace('"verdict": "allowed"', '"verdict": "denied_rule"')
        expect_in("not as recorded", explain(changed, *config, code=1).stdout)
        expect_in("\"label\" is no label", explain(record.replace("internal", "x"), code=1).stderr)
        expect_in("cannot be opened", explain("/nothing/there", code=1).stderr)
        expect(run("explain").returncode, 2)
        expect_in("--request", run("explain", "--help").stdout)


if __name__ == "__main__":
    main()
