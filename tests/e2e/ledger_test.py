"""kontor ledger: reports in three formats and verify, beside a writer, after a kill, on bad files."""
import contextlib
import csv
import io
import json
import pathlib
import sqlite3
import subprocess
import tempfile

from harness import BUILD, expect, expect_in, expect_true, main, run, skip, test

DAY_MS = 86400000
MARCH_10 = 1773144000000  # 2026-03-10 12:00 UTC


class Books:
    """build/tests/keep_books: a process that writes the ledger in `folder`."""

    def __init__(self, folder):
        self.process = subprocess.Popen([str(BUILD / "tests" / "keep_books"), str(folder)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.process.stdout.readline().strip()
        if "without SQLite" in answer:
            skip("built without SQLite")
        expect(answer, "ok")

    def tell(self, *words):
        line = " ".join(str(w).replace(" ", "%20") or "-" for w in words)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        expect(self.process.stdout.readline().strip(), "ok", line)

    def settle(self, name, key="k_1", team="risk", model="glm", provider="own", upstream="rack-1",
               currency="USD", end_ms=MARCH_10, prompt=10, completion=20, cost=1):
        self.tell("reserve", name, cost)
        self.tell("settle", name, key, team, model, provider, upstream, currency, end_ms, prompt,
                  completion, cost)

    def close(self):
        self.process.stdin.close()
        expect(self.process.wait(30), 0, "exit status of keep_books")
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdin.close()
        self.process.stdout.close()


@contextlib.contextmanager
def sample():
    """A folder with six rows; the writer goes on."""
    with tempfile.TemporaryDirectory() as folder:
        books = Books(folder)
        books.settle("a", cost=1)
        books.settle("b", cost=999999999)
        books.settle("c", key="k_2", team="", model="glm, the \"big\" one", cost=420)
        books.settle("d", key="k_2", currency="EUR", provider="cloud", upstream="cloud-1",
                     cost=9007199254740993)  # no double holds it
        books.settle("e", end_ms=MARCH_10 - DAY_MS, cost=5)
        books.settle("f", end_ms=MARCH_10 - 40 * DAY_MS, cost=7, prompt=100, completion=200)
        books.tell("flush")
        try:
            yield pathlib.Path(folder), books
        finally:
            if books.process.returncode is None:
                books.close()


def report(folder, *more):
    done = run("ledger", "report", "--state-dir", folder, *more)
    expect(done.returncode, 0, done.stderr)
    expect(done.stderr, "")
    return done.stdout


@test
def table_of_80_columns():
    with sample() as (folder, _):
        text = report(folder)
        lines = text.splitlines()
        expect({len(line) for line in lines}, {80})
        expect([line.split()[0] for line in lines], ["key", "k_1", "k_2", "k_2", "total", "total"])
        expect(lines[1].split(), ["k_1", "4", "0", "130", "260", "1.000000012", "USD"])
        expect(lines[2].split(), ["k_2", "1", "0", "10", "20", "9007199.254740993", "EUR"])
        expect(lines[4].split(), ["total", "5", "0", "140", "280", "1.000000432", "USD"])


@test
def csv_is_read_back():
    with sample() as (folder, _):
        rows = list(csv.DictReader(io.StringIO(report(folder, "--by", "model", "--format", "csv"))))
        expect([(r["model"], r["currency"], r["requests"], r["cost"]) for r in rows],
               [("glm", "EUR", "1", "9007199.254740993"), ("glm", "USD", "4", "1.000000012"),
                ("glm, the \"big\" one", "USD", "1", "0.00000042")])


@test
def json_has_exact_money_and_totals():
    with sample() as (folder, _):
        found = json.loads(report(folder, "--by", "team", "--format", "json"))
        expect(found["by"], "team")
        expect([(r["team"], r["currency"], r["cost_nano"]) for r in found["rows"]],
               [("", "USD", 420), ("risk", "EUR", 9007199254740993), ("risk", "USD", 1000000012)])
        expect([(t["currency"], t["cost"], t["requests"]) for t in found["totals"]],
               [("USD", "1.000000432", 5), ("EUR", "9007199.254740993", 1)])


@test
def days_are_chosen_and_grouped():
    with sample() as (folder, _):
        found = json.loads(report(folder, "--by", "day", "--format", "json"))
        expect([r["day"] for r in found["rows"]],
               ["2026-01-29", "2026-03-09", "2026-03-10", "2026-03-10"])
        found = json.loads(report(folder, "--by", "day", "--from", "2026-03-09", "--to",
                                  "2026-03-09", "--format", "json"))
        expect([(r["day"], r["cost_nano"]) for r in found["rows"]], [("2026-03-09", 5)])
        expect((found["from"], found["to"]), ("2026-03-09", "2026-03-09"))
        expect(json.loads(report(folder, "--from", "2027-01-01", "--format", "json"))["rows"], [])
        for by in ("provider", "upstream"):
            expect_in("cloud", report(folder, "--by", by))


@test
def a_writer_is_seen_at_work():
    with sample() as (folder, books):
        books.settle("g", key="k_9")
        books.tell("flush")
        rows = json.loads(report(folder, "--format", "json"))["rows"]
        expect([r["requests"] for r in rows if r["key"] == "k_9"], [1])
        books.tell("reserve", "open", 5)
        done = run("ledger", "verify", "--state-dir", folder)
        expect(done.returncode, 0, done.stdout + done.stderr)
        expect_in("the books hold together", done.stdout)
        counts = {line[:32].strip(): line[32:45].strip() for line in done.stdout.splitlines()}
        expect(counts["rows"], "7")
        expect(counts["open reservations"], "1")
        expect(counts["database"], "ok")


@test
def after_a_kill_the_open_request_is_estimated():
    with sample() as (folder, books):
        books.tell("reserve", "open", 12345)
        books.kill()
        expect_in("open reservations                           1",
                  run("ledger", "verify", "--state-dir", folder).stdout)
        Books(folder).close()
        rows = json.loads(report(folder, "--format", "json"))["rows"]
        expect([(r["key"], r["estimated"], r["cost_nano"]) for r in rows if r["estimated"]],
               [("", 1, 12345)])


@test
def names_cannot_steer_the_terminal():
    with sample() as (folder, books):
        books.settle("g", model="evil\x1b[2J" + "x" * 200)
        books.settle("h", model="глм-чат" * 20)
        books.tell("flush")
        text = report(folder, "--by", "model")
        expect_true("\x1b" not in text, "no escape")
        expect_in("evil?[2Jxx", text)
        expect({len(line) for line in text.splitlines()}, {80})


@test
def missing_and_damaged_files_say_what_to_do():
    with tempfile.TemporaryDirectory() as empty:
        done = run("ledger", "report", "--state-dir", empty)
        expect((done.returncode, done.stdout), (1, ""))
        if "without SQLite" in done.stderr:
            expect_in("libsqlite3-dev", done.stderr)
            skip("built without SQLite")
        expect_in("there is no ledger in", done.stderr)
    with sample() as (folder, books):
        books.close()
        path = folder / "ledger.db"
        whole = path.read_bytes()
        path.write_bytes(b"not a database" * 100)
        done = run("ledger", "report", "--state-dir", folder)
        expect(done.returncode, 1)
        expect_in("is not an SQLite database", done.stderr)
        path.write_bytes(whole[:4096] + b"\xff" * 8192 + whole[12288:])
        done = run("ledger", "verify", "--state-dir", folder)
        expect(done.returncode, 1, done.stdout)
        expect_in("damaged", done.stderr)


@test
def a_locked_file_is_named():
    with sample() as (folder, books):
        books.close()
        with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            done = run("ledger", "report", "--state-dir", folder)
        expect(done.returncode, 1)
        expect_in("is locked by another program", done.stderr)


@test
def sums_that_somebody_changed_are_found():
    with sample() as (folder, books):
        books.close()
        with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as other:
            other.execute("UPDATE entries SET cost_nano = 0 WHERE request_id = 'b'")
            other.commit()
        done = run("ledger", "verify", "--state-dir", folder)
        expect(done.returncode, 1)
        expect_in("the books contradict each other", done.stderr)


@test
def wrong_usage_is_explained():
    for words, text in ((("report",), "--state-dir"), (("sum", "--state-dir", "x"), "report or"),
                        ((), "report or"),
                        (("report", "--state-dir", "x", "--from", "2026-02-30"), "calendar"),
                        (("report", "--state-dir", "x", "--to", "yesterday"), "calendar"),
                        (("report", "--state-dir", "x", "--by", "colour"), "--by"),
                        (("report", "--state-dir", "x", "--from", "2026-02-02", "--to",
                          "2026-02-01"), "is after")):
        done = run("ledger", *words)
        expect(done.returncode, 2, done.stderr)
        expect_in(text, done.stderr)
    expect(run("ledger", "--help").returncode, 0)
    expect_in("  sqlite        ", run("--version").stdout)


if __name__ == "__main__":
    main()
