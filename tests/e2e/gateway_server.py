"""`kontor gateway` over upstreams of a test, with its access log and its books.

    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        gw.ask("hello")
        gw.lines()[-1]["cause"]

The configuration is made from a few words (see Gateway) or given as text.
"""
import json
import os
import pathlib
import signal
import sqlite3

from harness import Server, expect, wait_until

MODEL = "glm-5-9b-chat"


def flow(value):
    """A value in YAML's flow style: JSON is a part of it."""
    return json.dumps(value)


class Gateway(Server):
    """upstreams   name -> URL, or name -> {settings of the upstream}
    pools       name -> {settings}; default: each upstream in a pool of its own, not external
    model       further settings of the one model
    more        further top-level settings; text: the whole file instead
    """

    def __init__(self, upstreams=None, pools=None, model=None, more=None, text=None, wait="/live", env=None):
        super().__init__(command=("gateway",), wait=wait, env=env)
        self.config = self.folder / "kontor.yaml"
        self.state = self.folder / "state"
        self.config.write_text(text if text is not None else self.compose(upstreams, pools, model, more))
        self.args += ["--config", str(self.config), "--state-dir", str(self.state)]

    def compose(self, upstreams, pools, model, more):
        rows = []
        for name, u in upstreams.items():
            u = {"url": u} if isinstance(u, str) else u
            rows.append({"name": name, "provider": name, "region": "de",
                         "health": {"path": "none", "probe": False}, **u})
        pools = pools or {name: {"members": [name]} for name in upstreams}
        settings = {
            "listen": [{"address": f"127.0.0.1:{self.port}"}],
            "state_dir": str(self.state),
            "upstreams": rows,
            "pools": [{"name": name, "ceiling": "private", "region": "de", **p} for name, p in pools.items()],
            "models": [{"name": MODEL, "pools": list(pools), **(model or {})}],
            "prices": [{"provider": name, "model": "*", "currency": "USD", "input": "1.00", "output": "2.00",
                        "valid_from": "2026-01-01", "source": "test"} for name in upstreams],
            **(more or {}),
        }
        return "".join(f"{key}: {flow(value)}\n" for key, value in settings.items())

    def reconfigure(self, upstreams, more):
        """Write other settings and have them read; returns when they are in force."""
        before = self.log().count("config_reloaded")
        self.config.write_text(self.compose(upstreams, None, None, more))
        self.hangup()
        wait_until(lambda: self.log().count("config_reloaded") > before, "the reload")

    def hangup(self):
        os.kill(self.process.pid, signal.SIGHUP)

    def body(self, text, **fields):
        return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}

    def ask(self, text="hello", headers=None, limit_s=30, **fields):
        return self.post("/v1/chat/completions", self.body(text, **fields), headers, limit_s)

    def open_stream(self, text="hello", headers=None, limit_s=30, **fields):
        return self.stream("/v1/chat/completions", self.body(text, stream=True, **fields), headers, limit_s)

    def stream_bytes(self, text="hello", headers=None, limit_s=30, **fields):
        """Status, headers and the whole body of a streamed answer, framing removed."""
        with self.open_stream(text, headers, limit_s, **fields) as stream:
            return stream.status, stream.headers, stream.response.read()

    def lines(self, path="/v1/chat/completions"):
        """The access log's lines of one path, parsed."""
        found = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in found if line.get("path") == path]

    def line(self, n=1):
        """The n-th line of the access log, once it is there."""
        wait_until(lambda: len(self.lines()) >= n, f"access line {n}")
        return self.lines()[n - 1]

    def rows(self, n=None):
        """Rows of the ledger as dictionaries; waits until there are n."""
        database = pathlib.Path(self.state) / "ledger.db"

        def read():
            if not database.exists():
                return []
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
                db.row_factory = sqlite3.Row
                return [dict(r) for r in db.execute("select * from entries order by rowid")]

        if n is not None:
            wait_until(lambda: len(read()) >= n, f"{n} ledger rows")
            expect(len(read()), n, "ledger rows")
        return read()
