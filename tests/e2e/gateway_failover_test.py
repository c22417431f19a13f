"""More than one upstream: who is asked, in what order, and what the client hears when it fails."""
import json
import time

from gateway_server import MODEL, Gateway
from harness import expect, expect_in, expect_true, in_parallel, main, test, wait_until
from mock_upstream import MockUpstream

QUICK = {"timeouts": {"connect": "1s", "first_byte": "400ms", "idle": "400ms", "total": "20s"}}


class Pair:
    """A private and a cloud upstream behind one gateway.  plans: of the private one, from its first request on;
    what comes behind the last one is answered well."""

    def __init__(self, private=None, model=None, more=None, plans=(), **kwargs):
        self.a = MockUpstream()
        self.b = MockUpstream()
        for plan in plans:
            self.a.plan_once(**plan)
        self.gw = Gateway({"private": {"url": self.a.url, **QUICK, **(private or {})},
                           "cloud": {"url": self.b.url, **QUICK}}, model=model, more=more, **kwargs)

    def __enter__(self):
        self.gw.__enter__()
        return self.a, self.b, self.gw

    def __exit__(self, *what):
        self.gw.__exit__(*what)
        self.a.stop()
        self.b.stop()


def counts(a, b):
    return len(a.requests), len(b.requests)


@test
def the_first_pool_is_asked_first():
    with Pair() as (a, b, gw):
        for _ in range(5):
            expect(gw.ask().headers["x-kontor-provider"], "private")
        expect(counts(a, b), (5, 0))


@test
def whatever_happens_before_the_first_byte_the_next_one_answers():
    faults = [
        {"status": 500}, {"status": 503}, {"hang": True}, {"drop": "reset"}, {"drop": "close"},
        {"raw": b"HTTP/1.1 200 OK\r\ncontent-le"}, {"raw": b"nonsense\r\n\r\n"},
        {"head_first": True, "delay_s": 5}, {"headers": {"content-encoding": "gzip"}},
        {"headers": {"content-type": "text/html"}}, {"status": 429}, {"status": 401}, {"status": 404},
        {"body": b"not json"}, {"body": {"error": {"message": "no", "code": 500}}},
        {"cut": 0, "end": "reset"}, {"cut": 10, "end": "close"}, {"cut": 10, "end": "hang"},
    ]
    more = {"failover": {"attempts": 3, "retry_budget": "100%", "breaker": {"failures": 100}}}
    with Pair(more=more) as (a, b, gw):
        for n, fault in enumerate(faults):
            for streamed in (False, True):
                a.plan_once(**fault)
                if streamed:
                    status, headers, body = gw.stream_bytes()
                    expect_in(b"[DONE]", body)
                else:
                    reply = gw.ask()
                    status, headers = reply.status, reply.headers
                expect((status, headers["x-kontor-provider"], headers["x-kontor-attempts"]),
                       (200, "cloud", "2"), f"fault {fault} streamed {streamed}")
            expect(counts(a, b), (2 * n + 2, 2 * n + 2))
        for row in gw.rows(2 * len(faults)):
            expect((row["upstream"], row["attempts"], row["cause"], row["estimated"]), ("cloud", 2, "done", 0))


@test
def an_error_event_first_is_no_answer():
    with Pair() as (a, _, gw):
        a.plan(events=[{"error": {"message": "engine died", "code": 500}}])
        _, headers, body = gw.stream_bytes()
        expect(headers["x-kontor-provider"], "cloud")
        expect_true(b"engine died" not in body, body)


@test
def what_is_wrong_with_the_request_is_not_tried_elsewhere():
    with Pair() as (a, b, gw):
        a.plan(status=422, body={"error": {"message": "bad tool", "type": "t", "param": "tools[0]", "odd": 1}})
        for streamed in (False, True):
            reply = gw.ask(stream=streamed)
            expect((reply.status, reply.json()["error"]["odd"]), (422, 1))
        expect(counts(a, b), (2, 0))
        expect([r["cause"] for r in gw.rows(2)], ["refused", "refused"])
        expect([r["cost_nano"] for r in gw.rows(2)], [0, 0])


@test
def all_down_is_a_state_of_its_own():
    with Pair() as (a, b, gw):
        a.stop()
        b.stop()
        for streamed in (False, True):
            reply = gw.ask(stream=streamed)
            expect((reply.status, reply.json()["error"]["code"]), (503, "no_healthy_upstream"))
            expect_true(int(reply.headers["retry-after"]) >= 1, "retry-after")
        row = gw.rows(2)[0]
        expect((row["cause"], row["attempts"], row["cost_nano"], row["completion_tokens"]), ("unavailable", 2, 0, 0))
        a.listen()
        b.listen()
        wait_until(lambda: gw.ask().status == 200, "back", 15)


@test
def timeouts_everywhere_are_504_and_faults_502():
    with Pair() as (a, b, gw):
        a.plan(hang=True)
        b.plan(hang=True)
        reply = gw.ask()
        expect((reply.status, reply.json()["error"]["code"]), (504, "upstream_timeout"))
        a.plan(status=500)
        b.plan(status=500)
        reply = gw.ask()
        expect((reply.status, reply.json()["error"]["code"]), (502, "upstream_failed"))
        expect([r["cause"] for r in gw.rows(2)], ["timeout", "failed"])


@test
def limits_of_all_upstreams_are_passed_on_with_the_shortest_wait():
    with Pair() as (a, b, gw):
        a.plan(status=429, headers={"retry-after": "30"})
        b.plan(status=429, headers={"retry-after-ms": "12000"})
        reply = gw.ask()
        expect((reply.status, reply.headers["retry-after"]), (429, "12"))
        expect(gw.line()["cause"], "upstream_limited")
        n = counts(a, b)
        expect(gw.ask().json()["error"]["code"], "no_healthy_upstream")
        expect(counts(a, b), n, "both rest as they asked to")


@test
def a_short_retry_after_is_waited_for_when_nobody_else_is_left():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        up.plan_once(status=429, headers={"retry-after-ms": "150"})
        begun = time.monotonic()
        reply = gw.ask()
        expect((reply.status, reply.headers["x-kontor-attempts"]), (200, "2"))
        expect_true(time.monotonic() - begun >= 0.15, "waited")


@test
def a_client_may_leave_between_attempts():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        up.plan(status=429, headers={"retry-after-ms": "1500"})
        c = gw.connection()
        c.request("POST", "/v1/chat/completions", json.dumps(gw.body("x")), {"Content-Type": "application/json"})
        wait_until(lambda: len(up.requests) == 1, "was asked")
        c.close()
        row = gw.rows(1)[0]
        expect((row["cause"], row["attempts"], row["http_status"]), ("client_gone", 1, 499))
        time.sleep(1.7)
        expect(len(up.requests), 1, "nobody asks again")


@test
def behind_the_first_byte_an_error_event_tells_what_was_used():
    faults = [{"cut": 400, "end": "reset"}, {"cut": 400, "end": "close"}, {"cut": 400, "end": "hang"},
              {"done": False, "finish": None},
              {"events": [{"choices": [{"index": 0, "delta": {"content": "hi"}}]}, "{broken"]},
              {"events": [{"choices": [{"index": 0, "delta": {"content": "hi"}}]}, '{"a":"\\ud800"}']}]
    with Pair() as (a, b, gw):
        for fault in faults:
            a.plan(**fault)
            status, _, body = gw.stream_bytes()
            expect(status, 200)
            events = [e for e in body.decode().split("\n\n") if e]
            expect(events[-1], "data: [DONE]", fault)
            error = json.loads(events[-2].removeprefix("data: "))
            expect_in(error["error"]["code"], ("upstream_broke_off", "upstream_timeout"))
            expect_true("prompt_tokens" in error["usage"], error)
        expect(len(b.requests), 0)
        for row in gw.rows(len(faults)):
            expect((row["cause"], row["attempts"], row["estimated"]), ("upstream_broke", 1, 1))
            expect_true(row["completion_tokens"] >= 1, row)


def continuing(**plan_of_probe):
    """A pair whose cloud continues answers, after its proof."""
    b = MockUpstream()
    b.plan(**plan_of_probe)
    a = MockUpstream()
    gw = Gateway({"private": {"url": a.url, **QUICK}, "cloud": {"url": b.url, "continues": True, **QUICK}})
    return a, b, gw


def text_of(body):
    events = [e.removeprefix("data: ") for e in body.decode().split("\n\n") if e]
    expect(events.pop(), "[DONE]")
    events = [json.loads(e) for e in events]
    return events, "".join(c["delta"].get("content", "") for e in events for c in e.get("choices", []))


@test
def a_broken_stream_goes_on_elsewhere_without_repeating():
    a, b, gw = continuing()
    with a, b, gw:
        wait_until(lambda: "upstream_continues" in gw.log(), "proved")
        b.plan(words=[" four", " \\five"])
        for end in ("reset", "close", "hang"):
            a.plan(words=["one", " \"two\"\n", " three"], cut=640, end=end, usage="none")
            n = len(b.requests)
            status, _, body = gw.stream_bytes(stream_options={"include_usage": True})
            events, text = text_of(body)
            sent = b.requests[n].json()
            said = sent["messages"][-1]
            expect(said["role"], "assistant")
            expect((sent["continue_final_message"], sent["add_generation_prompt"]), (True, False))
            expect_true(said["content"].startswith("one"), said)
            expect(text, said["content"] + " four \\five")
            expect({(e["id"], e["created"], e["model"]) for e in events}, {("chatcmpl-mock", 1, MODEL)})
            expect(sum("role" in c["delta"] for e in events for c in e["choices"]), 1)
            expect([c["finish_reason"] for e in events for c in e["choices"] if c["finish_reason"]], ["stop"])
            usage = events[-1]["usage"]
            expect((events[-1]["choices"], usage["completion_tokens"] > 3), ([], True))
        rows = gw.rows(3)
        expect([(r["cause"], r["attempts"], r["estimated"], r["upstream"]) for r in rows],
               [("done", 2, 1, "cloud")] * 3)
        expect(rows[0]["completion_tokens"], usage["completion_tokens"])
        expect_true(rows[0]["cost_nano"] > 15000, rows[0])


@test
def what_cannot_be_continued_ends_with_an_error_event():
    a, b, gw = continuing()
    with a, b, gw:
        wait_until(lambda: "upstream_continues" in gw.log(), "proved")
        a.plan(cut=640, end="reset")
        for fields in ({"n": 2}, {"tools": [{"type": "function", "function": {"name": "f"}}]},
                       {"add_generation_prompt": True}):
            n = len(b.requests)
            _, _, body = gw.stream_bytes(**fields)
            expect_in(b"upstream_broke_off", body)
            expect(len(b.requests), n)
        a.plan(events=[{"choices": [{"index": 0, "delta": {"reasoning": "hm"}}]}], done=False, end="reset")
        _, _, body = gw.stream_bytes()
        expect_in(b"upstream_broke_off", body)
        a.plan(cut=640, end="reset")
        b.plan(status=400)
        _, _, body = gw.stream_bytes()
        expect_in(b"upstream_broke_off", body)
        b.plan(words=["x"] * 50, cut=2000, end="reset")  # breaks off as well
        _, _, body = gw.stream_bytes()
        expect_in(b"upstream_broke_off", body)
        expect([r["cause"] for r in gw.rows(6)], ["upstream_broke"] * 6)


@test
def a_server_that_ignores_the_wish_is_not_asked_to_continue():
    a, b, gw = continuing(ignores=True)
    with a, b, gw:
        wait_until(lambda: "upstream_does_not_continue" in gw.log(), "tried")
        a.plan(cut=640, end="reset")
        _, _, body = gw.stream_bytes()
        expect_in(b"upstream_broke_off", body)


@test
def an_error_event_in_mid_stream_is_passed_on():
    with Pair() as (a, b, gw):
        a.plan(events=[{"choices": [{"index": 0, "delta": {"content": "hi"}}]},
                       {"error": {"message": "out of memory", "code": 500}}], done=False)
        _, _, body = gw.stream_bytes()
        expect_in(b'data: {"error": {"message": "out of memory", "code": 500}}\n\ndata: [DONE]\n\n', body)
        expect((len(b.requests), gw.line()["cause"]), (0, "failed"))


@test
def five_failures_open_the_breaker_and_a_trial_closes_it():
    more = {"failover": {"attempts": 3, "retry_budget": "100%",
                         "breaker": {"failures": 5, "open": "1s", "ramp": "0s"}}}
    with Pair(more=more) as (a, b, gw):
        a.plan(status=500)
        for _ in range(8):
            expect(gw.ask().status, 200)
        expect(counts(a, b), (5, 8))
        expect(gw.metric("kontor_upstream_breaker_state", upstream="private"), 1.0)
        a.plan()
        wait_until(lambda: gw.ask().headers["x-kontor-provider"] == "private", "back", 10)
        for _ in range(3):
            expect(gw.ask().headers["x-kontor-provider"], "private")


@test
def refusals_do_not_open_the_breaker():
    with Pair() as (a, _, gw):
        for plan in ({"status": 400}, {"status": 422}):
            a.plan(**plan)
            for _ in range(6):
                gw.ask()
        a.plan()
        expect(gw.ask().headers["x-kontor-provider"], "private")


@test
def the_latency_gate_warns_hedges_or_moves_on():
    for on_slow, winner, reached in (("warn", "private", 0), ("hedge", "cloud", 1), ("next", "cloud", 1)):
        model = {"latency_gate": "100ms", "on_slow": on_slow}
        slow = {"timeouts": {"first_byte": "5s"}}
        with Pair(private=slow, model=model) as (a, b, gw):
            a.plan(delay_s=0.6)
            for streamed in (False, True):
                reply = gw.ask(stream=streamed)
                expect((reply.status, reply.headers["x-kontor-provider"]), (200, winner), on_slow)
            expect(len(b.requests), 2 * reached)
            expect_true(gw.line()["slow"], "noted")
            expect(gw.metric("kontor_upstream_slow_total", upstream="private"), 2.0)
            if on_slow != "warn":
                wait_until(lambda: all(r.done.is_set() for r in a.requests), "the loser is dropped", 2)


@test
def the_retry_budget_is_global():
    more = {"failover": {"attempts": 3, "retry_budget": "0%", "retry_floor": 1, "breaker": {"failures": 1000}}}
    with Pair(more=more) as (a, b, gw):
        a.plan(status=500)
        statuses = [gw.ask().status for _ in range(40)]
        expect_true(statuses.count(502) >= 20, statuses)
        expect_true(statuses.count(200) >= 1, statuses)
        expect_true(gw.metric("kontor_retries_refused_total") >= 20, "counted")


@test
def health_takes_an_upstream_out_and_brings_it_back():
    health = {"health": {"path": "/health", "interval": "1s", "probe": False}}
    with Pair(private=health) as (a, b, gw):
        wait_until(lambda: gw.get("/health").json()["gpu_utilization"] == [50], "utilisation")
        a.health_status = 503
        wait_until(lambda: gw.metric("kontor_upstream_healthy", upstream="private") == 0, "down")
        expect(gw.ask().headers["x-kontor-provider"], "cloud")
        expect(len(a.requests), 0)
        a.health_status = 200
        wait_until(lambda: gw.ask().headers["x-kontor-provider"] == "private", "up")


@test
def a_probe_generates_one_token_and_finds_a_hanging_engine():
    health = {"health": {"path": "none", "interval": "1s", "probe": True}}
    with Pair(private=health) as (a, b, gw):
        wait_until(lambda: len(a.requests) == 1, "probe at the start")
        expect((a.requests[0].json()["max_tokens"], a.requests[0].json()["model"]), (1, MODEL))
        expect(gw.rows(), [])


def probing(path):
    return {"health": {"path": path, "interval": "100ms", "probe": True}}


def is_healthy(gw):
    return gw.metric("kontor_upstream_healthy", upstream="private") == 1


def only_probes(up):
    return all(r.json()["max_tokens"] == 1 for r in up.requests)


@test
def a_failed_probe_takes_an_upstream_out_and_a_good_one_brings_it_back():
    for path in ("none", "/health"):
        for fault in ({"status": 500}, {"status": 401}, {"drop": "reset"}):
            pair = Pair(private=probing(path))
            pair.a.plan(**fault)
            with pair as (a, _, gw):
                wait_until(lambda: not is_healthy(gw) and len(a.requests) >= 4, "out, and asked on", 5)
                expect(gw.ask().headers["x-kontor-provider"], "cloud", (path, fault))
                expect_true(only_probes(a), "no client found out")
                expect_in("upstream_down upstream=private by=probe", gw.log())
                a.plan()
                wait_until(lambda: is_healthy(gw), "back", 5)
                n = len(a.requests)
                time.sleep(0.5)
                expect(len(a.requests), n, "a good one is not asked again")
                expect(gw.ask().headers["x-kontor-provider"], "private")


@test
def a_health_page_does_not_clear_what_a_probe_found():
    pair = Pair(private=probing("/health"))
    pair.a.plan(status=500)
    with pair as (a, _, gw):
        wait_until(lambda: not is_healthy(gw), "out", 5)
        n = a.gets["/health"]
        while a.gets["/health"] < n + 5:
            expect_true(not is_healthy(gw), "stays out over good pages")
        gw.hangup()
        wait_until(lambda: gw.metric("kontor_config_generation") == 2.0, "reloaded")
        n = a.gets["/health"]
        while a.gets["/health"] < n + 5:
            expect_true(not is_healthy(gw), "stays out over a reload")
        expect_true(only_probes(a), "only probes came")


@test
def one_bad_probe_does_not_take_out_what_was_good_before():
    more = {"failover": {"attempts": 3, "retry_budget": "100%",
                         "breaker": {"failures": 1, "open": "60s", "ramp": "0s"}}}
    # the probe at the start, a client that opens the breaker, a probe, and the next one
    with Pair(private=probing("none"), more=more, plans=[{}, {"status": 500}, {"status": 503}]) as (a, _, gw):
        wait_until(lambda: len(a.requests) == 1, "probe at the start")
        expect(gw.ask().headers["x-kontor-provider"], "cloud")
        wait_until(lambda: gw.ask().headers["x-kontor-provider"] == "private", "the next probe closes it", 5)
        expect_true("upstream_down" not in gw.log(), "was never down")


@test
def a_probe_that_is_refused_says_nothing_against_the_server():
    plans = [{"status": 404}, {"status": 429}, {"status": 400}]
    with Pair(private=probing("none"), plans=plans) as (a, _, gw):
        wait_until(lambda: len(a.requests) == 4, "asked until good", 5)
        log = gw.log()
        expect_true("upstream_down" not in log, log)
        expect(log.count("probe_refused"), 1, log)


@test
def balance_spreads_and_affinity_keeps():
    with MockUpstream() as a, MockUpstream() as b, MockUpstream() as c:
        ups = {"a": a.url, "b": b.url, "c": c.url}
        for balance in ("weighted", "least-outstanding", "power-of-two", "prefix-hash"):
            pools = {"p": {"members": ["a", "b", "c"], "balance": balance, "affinity_header": "x-session-id"}}
            with Gateway(ups, pools=pools) as gw:
                seen = {gw.ask(f"{n} words").headers["x-kontor-provider"] for n in range(40)}
                expect(seen, {"a", "b", "c"}, balance)
                kept = {gw.ask(headers={"x-session-id": "s1"}).headers["x-kontor-provider"] for _ in range(10)}
                expect(len(kept), 1, balance)
                if balance == "prefix-hash":
                    same = {gw.ask("the same long beginning").headers["x-kontor-provider"] for _ in range(8)}
                    expect(len(same), 1)


@test
def the_least_busy_one_is_taken():
    with MockUpstream() as a, MockUpstream() as b:
        pools = {"p": {"members": ["a", "b"], "balance": "least-outstanding"}}
        with Gateway({"a": a.url, "b": b.url}, pools=pools) as gw:
            a.plan(delay_s=0.4)
            b.plan(delay_s=0.4)
            in_parallel(10, lambda _: gw.ask())
            expect(counts(a, b), (5, 5))


if __name__ == "__main__":
    main()
