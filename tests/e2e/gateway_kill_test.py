"""The gateway is killed in mid-work, again and again: every request that an upstream saw has exactly one row.

50 kills here, 1,000 with KONTOR_CAMPAIGN set (`make campaign`).  A request that the client saw complete is
booked to the unit; one that was in flight is marked estimated, and its amount lies between what the client
was sent and what was reserved.
"""
import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time

from gateway_rig import MODEL, SSE_HEAD, FaultUpstream, Gateway, delta, event, last_delta, respond, usage, \
    usage_delta, plain_answer
from harness import expect, expect_true, main, test, wait_until

KILLS = 1000 if os.environ.get("KONTOR_CAMPAIGN") else 50
CLIENTS = 6
TOKENS = 8
MAX_TOKENS = 20


class Book:
    """What the upstream saw and what the clients got, by request id."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = {}  # id of the record (x-request-id that the upstream got) -> name in the message
        self.whole = {}
        self.relayed = {}

    def upstream(self, peer):
        body = peer.json()
        name = body["messages"][0]["content"]
        with self.lock:
            self.seen[peer.field("x-request-id")] = name
        number = int(name.split("-")[1])
        prompt, completion = 5 + number % 7, 1 + number % TOKENS
        if not peer.streamed():
            time.sleep(0.001 * (number % 5))
            respond(peer, body=plain_answer("x", usage=usage(prompt, completion)))
            return
        peer.send(SSE_HEAD)
        for _ in range(completion):
            peer.chunk(event(delta("x ")))
            time.sleep(0.002)
        peer.chunk(event(last_delta()))
        peer.chunk(event(usage_delta(prompt=prompt, completion=completion)))
        peer.chunk(event("[DONE]"))
        peer.send(b"0\r\n\r\n")


class Client(threading.Thread):
    """Sends one request after the other until told to stop."""

    def __init__(self, book, gateway, numbers):
        super().__init__(daemon=True)
        self.book, self.gateway, self.numbers, self.stopping = book, gateway, numbers, False

    def run(self):
        while not self.stopping:
            with self.book.lock:
                number = next(self.numbers)
            name = f"r-{number}"
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self.one(name, number % 2 == 0)

    def one(self, name, stream):
        c = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=5)
        with contextlib.closing(c):
            c.request("POST", "/v1/chat/completions", json.dumps(
                {"model": MODEL, "messages": [{"role": "user", "content": name}], "stream": stream,
                 "max_tokens": MAX_TOKENS}), {"Content-Type": "application/json", "X-Request-Id": name})
            r = c.getresponse()
            if r.status != 200:
                return
            if not stream:
                self.done(name, json.loads(r.read())["usage"]["completion_tokens"])
                return
            count = 0
            for line in r:
                if line.startswith(b"data: [DONE]"):
                    self.done(name, count)
                elif b'"content": "x ' in line or b'"content":"x ' in line:
                    count += 1
                    self.book.relayed[name] = count

    def done(self, name, n_tokens):
        self.book.whole[name] = n_tokens


def numbers_from(start):
    while True:
        yield start
        start += 1


@test
def every_request_has_exactly_one_row():
    rng = random.Random(7)
    book = Book()
    numbers = numbers_from(1)
    with FaultUpstream(book.upstream) as upstream, Gateway({"private": [upstream]}) as g:
        for n in range(KILLS):
            clients = [Client(book, g, numbers) for _ in range(CLIENTS)]
            for c in clients:
                c.start()
            time.sleep(rng.uniform(0.01, 0.25))
            g.process.send_signal(signal.SIGKILL)
            g.process.wait()
            for c in clients:
                c.stopping = True
            for c in clients:
                c.join(10)
            g.start()
        expect(g.ask("r-0", headers={"X-Request-Id": "r-0"}, max_tokens=MAX_TOKENS).status, 200)
        book.whole["r-0"] = 1
        wait_until(lambda: {r["request_id"] for r in g.rows()} >= set(book.seen),
                   "every request that the upstream saw has a row", 20)
        judge(book, g.rows())
        print(f"# {KILLS} kills, {len(book.seen)} requests upstream, {len(book.whole)} whole answers")


def judge(book, rows):
    ids = [row["request_id"] for row in rows]
    expect(len(ids), len(set(ids)), "rows and their ids")
    n_estimated = 0
    for row in rows:
        name = book.seen.get(row["request_id"])
        if name is None:
            expect(row["estimated"], 1, "a request that no upstream saw can only have been reserved; estimated")
            continue
        number = int(name.split("-")[1])
        if name in book.whole:
            expect(row["estimated"], 0, f"{name} was finished; estimated")
            expect((row["prompt_tokens"], row["completion_tokens"]), (5 + number % 7, 1 + number % TOKENS), name)
        if row["estimated"]:
            n_estimated += 1
            expect_true(book.relayed.get(name, 0) <= row["completion_tokens"] <= MAX_TOKENS,
                        f"{name}: {book.relayed.get(name, 0)} relayed, {row['completion_tokens']} booked")
    print(f"# {len(rows)} rows, {n_estimated} estimated")


if __name__ == "__main__":
    main()
