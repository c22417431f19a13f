"""Keys, limits, budgets, labels and books of a running gateway."""
import json
import threading

from gateway_server import MODEL, Gateway
from harness import expect, expect_in, expect_true, in_parallel, main, run, test, wait_until
from mock_upstream import MockUpstream


def make_key(gw, *args):
    made = run("keys", "create", "--state-dir", gw.state, "--json", *args)
    expect(made.returncode, 0, made.stderr)
    return json.loads(made.stdout)


def bearer(key):
    return {"authorization": f"Bearer {key['key']}"}


KEYS = {"auth": {"keys": True}}


@test
def keys_are_asked_for_and_never_forwarded():
    with MockUpstream() as up, Gateway({"a": up.url}, more=KEYS) as gw:
        expect(gw.ask().status, 401)
        expect(gw.ask(headers={"authorization": "Bearer sk-wrong-wrong-wrong"}).json()["error"]["code"],
               "invalid_api_key")
        key = make_key(gw, "--name", "n", "--team", "risk")
        wait_until(lambda: gw.ask(headers=bearer(key)).status == 200, "the new key works")
        expect_true("authorization" not in up.requests[0].headers, "not forwarded")
        expect_true(key["key"] not in gw.log(), "not logged")
        row = gw.rows(1)[0]
        expect((row["key_id"], row["team"]), (key["id"], "risk"))
        run("keys", "revoke", "--state-dir", gw.state, "--key", key["id"])
        wait_until(lambda: gw.ask(headers=bearer(key)).status == 401, "revoked", 2)


@test
def a_key_sees_its_models_only():
    with MockUpstream() as up, Gateway({"a": up.url}, more=KEYS) as gw:
        key = make_key(gw, "--models", "another")
        wait_until(lambda: gw.get("/v1/models", bearer(key)).status == 200, "works")
        expect(gw.get("/v1/models", bearer(key)).json()["data"], [])
        reply = gw.ask(headers=bearer(key))
        expect((reply.status, reply.json()["error"]["code"]), (404, "model_not_found"))
        expect(up.requests, [])


@test
def labels_and_rules_keep_requests_in_the_house():
    more = {"policy": {"default_label": "internal", "label_header": "x-kontor-label",
                       "rules": [{"name": "burst", "when": {"label_at_most": "internal"},
                                  "allow": ["house", "cloud"]}]}}
    pools = {"house": {"members": ["a"]},
             "cloud": {"members": ["b"], "external": True, "ceiling": "internal"}}
    with MockUpstream() as a, MockUpstream() as b, \
            Gateway({"a": a.url, "b": b.url}, pools=pools, more=more) as gw:
        a.plan(status=500)
        expect(gw.ask().headers["x-kontor-provider"], "b")
        reply = gw.ask(headers={"x-kontor-label": "private"})
        expect(reply.status, 502)
        expect(gw.ask(headers={"x-kontor-label": "secret"}).status, 400)
        expect(gw.ask(headers={"x-kontor-label": "public"}).status, 200)
        expect(len(b.requests), 2)
        gw.line(4)
        lines = [line for line in gw.lines() if line["status"] in (200, 502)]
        expect([line["rule"] for line in lines], ["burst", "default: stays", "burst"])
        expect([line["label"] for line in lines], ["internal", "private", "internal"])
        expect(lines[1]["policy"]["pools"][1]["in"], False)


@test
def requests_per_minute_are_limited_with_the_fields_of_openai():
    more = {"limits": [{"subject": f"model:{MODEL}", "requests_per_minute": 3, "tokens_per_minute": 100000}]}
    with MockUpstream() as up, Gateway({"a": up.url}, more=more) as gw:
        statuses = [gw.ask().status for _ in range(5)]
        expect(statuses, [200, 200, 200, 429, 429])
        reply = gw.ask()
        expect(reply.json()["error"]["code"], "rate_limit_exceeded")
        expect(reply.headers["x-ratelimit-limit-requests"], "3")
        expect(reply.headers["x-ratelimit-remaining-requests"], "0")
        expect_true(int(reply.headers["retry-after"]) >= 1, "retry-after")
        expect(len(up.requests), 3)
        expect([r["cause"] for r in gw.rows(3)], ["done"] * 3)
        expect(gw.line(4)["cause"], "limited")
        expect(gw.metric("kontor_limited_total", kind="requests"), 3.0)


@test
def parallel_requests_are_limited_and_places_come_back():
    more = {"limits": [{"subject": f"model:{MODEL}", "parallel": 2}]}
    with MockUpstream() as up, Gateway({"a": up.url}, more=more) as gw:
        up.plan(delay_s=0.5)
        statuses = sorted(in_parallel(5, lambda _: gw.ask().status))
        expect(statuses, [200, 200, 429, 429, 429])
        up.plan()
        expect(gw.ask().status, 200)


@test
def a_budget_ends_and_the_other_provider_takes_over():
    # an answer costs 9 * 1000 + 3 * 2000 = 15000 nano-dollars; reserved are about 209000
    more = {"limits": [{"subject": "provider:a", "money": "0.000230", "period": "day"}]}
    with MockUpstream() as a, MockUpstream() as b, Gateway({"a": a.url, "b": b.url}, more=more) as gw:
        seen = [gw.ask(max_tokens=100).headers["x-kontor-provider"] for _ in range(5)]
        expect(seen[0], "a")
        expect(seen[-1], "b")
        expect(sorted(seen), seen)
        rows = gw.rows(5)
        expect(sum(r["cost_nano"] for r in rows if r["provider"] == "a"), 15000 * seen.count("a"))


@test
def a_budget_of_a_team_is_read_back_from_the_books():
    more = {**KEYS, "limits": [{"subject": "team:risk", "money": "0.000250", "period": "day"}]}
    with MockUpstream() as up, Gateway({"a": up.url}, more=more) as gw:
        key = make_key(gw, "--team", "risk")
        wait_until(lambda: gw.get("/v1/models", bearer(key)).status == 200, "works")
        n = 0
        while gw.ask(headers=bearer(key), max_tokens=90).status == 200:
            n += 1
        expect_true(1 <= n < 10, n)
        reply = gw.ask(headers=bearer(key), max_tokens=90)
        expect((reply.status, reply.json()["error"]["code"]), (429, "insufficient_quota"))
        gw.rows(n)
        gw.stop()
        gw.start()
        expect(gw.ask(headers=bearer(key), max_tokens=90).status, 429)
        expect(len(up.requests), n)


@test
def every_request_has_one_row_under_load_and_faults():
    with MockUpstream() as a, MockUpstream() as b, Gateway({"a": a.url, "b": b.url}) as gw:
        lock = threading.Lock()
        faults = [{}, {"status": 500}, {"drop": "reset"}, {"cut": 300, "end": "reset"}, {}]
        with lock:
            for i in range(100):
                a.plan_once(**faults[i % 5])

        def one(i):
            if i % 3 == 0:
                return gw.stream_bytes()[0]
            return gw.ask().status

        statuses = [s for part in range(5) for s in in_parallel(20, one)]
        expect_true(statuses.count(200) >= 90, statuses)
        rows = gw.rows(100)
        expect(len({r["request_id"] for r in rows}), 100)
        sent = {r.headers["x-request-id"] for r in a.requests + b.requests}
        expect(sent, {r["request_id"] for r in rows})
        wait_until(lambda: gw.metric("kontor_ledger_reservations") == 0, "nothing is open")


@test
def a_reload_leaves_running_streams_alone():
    with MockUpstream() as a, MockUpstream() as b, Gateway({"one": a.url}) as gw:
        a.plan(words=["w"] * 40, event_delay_s=0.05)
        with gw.open_stream() as stream:
            events = iter(stream)
            next(events)
            gw.config.write_text(gw.compose({"one": a.url, "two": b.url}, {"p": {"members": ["two"]}}, None, None))
            gw.hangup()
            wait_until(lambda: gw.ask().headers["x-kontor-provider"] == "two", "the new settings")
            n = len(a.requests)
            expect(gw.ask().headers["x-kontor-provider"], "two")
            expect(len(a.requests), n)
            gw.config.write_text("upstreams: [{name: x}]\n")
            gw.hangup()
            wait_until(lambda: gw.metric("kontor_config_last_reload_successful") == 0, "refused")
            expect(gw.ask().headers["x-kontor-provider"], "two")
            rest = list(events)
        expect(rest[-1], "[DONE]")
        expect(sum('"w"' in e for e in rest), 40)
        wait_until(lambda: any(r["completion_tokens"] == 3 and r["provider"] == "one" for r in gw.rows()),
                   "the stream is booked at the upstream it began with")
        expect({r["cause"] for r in gw.rows()}, {"done"})


@test
def anthropic_errors_have_their_shape():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        reply = gw.post("/v1/messages", {"model": "x", "max_tokens": 1, "messages": []})
        expect((reply.status, reply.json()["type"], reply.json()["error"]["type"]),
               (404, "error", "not_found_error"))
        up.stop()
        reply = gw.post("/v1/messages", {"model": MODEL, "max_tokens": 1, "messages": []})
        expect_in("overloaded_error", reply.text)


@test
def a_full_house_says_so():
    more = {"server": {"inflight": 2}}
    with MockUpstream() as up, Gateway({"a": up.url}, more=more) as gw:
        up.plan(delay_s=0.5)
        replies = in_parallel(4, lambda _: gw.ask())
        codes = sorted(r.json().get("error", {}).get("code", "") for r in replies)
        expect(codes, ["", "", "server_is_overloaded", "server_is_overloaded"])


if __name__ == "__main__":
    main()
