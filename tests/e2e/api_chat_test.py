"""The endpoints as a client sees them: chat, completions, models, tokenize, health, metrics."""
import json
import re

from fake_server import FakeServer, MODEL
from harness import expect, expect_in, expect_true, main, test, wait_until


@test
def a_plain_answer_has_openai_s_shape():
    with FakeServer() as server:
        reply = server.ask("Hello there you")
        expect(reply.status, 200)
        expect(reply.headers["content-type"], "application/json")
        body = reply.json()
        expect(list(body), ["id", "object", "created", "model", "choices", "usage", "service_tier",
                            "system_fingerprint"])
        expect(body["object"], "chat.completion")
        expect(body["model"], MODEL)
        expect_true(body["id"].startswith("chatcmpl-"), "id")
        choice = body["choices"][0]
        expect(choice["message"],
               {"role": "assistant", "content": "Hello there you", "refusal": None})
        expect((choice["index"], choice["finish_reason"], choice["stop_reason"],
                choice["logprobs"]), (0, "stop", None, None))
        expect(body["usage"]["total_tokens"], 10)
        expect(body["usage"]["prompt_tokens_details"], {"cached_tokens": 0})


@test
def a_stream_has_openai_s_chunks():
    with FakeServer() as server, \
            server.open_stream("a b c", stream_options={"include_usage": True}) as stream:
        expect(stream.status, 200)
        expect(stream.headers["content-type"], "text/event-stream; charset=utf-8")
        expect(stream.headers["cache-control"], "no-cache")
        events = list(stream)
        expect(events[-1], "[DONE]")
        chunks = [json.loads(e) for e in events[:-1]]
        expect({c["id"] for c in chunks}, {chunks[0]["id"]})
        expect({c["created"] for c in chunks}, {chunks[0]["created"]})
        expect({c["object"] for c in chunks}, {"chat.completion.chunk"})
        expect(chunks[0]["choices"][0]["delta"], {"role": "assistant", "content": ""})
        expect([c["choices"][0]["delta"].get("content") for c in chunks[1:-2]], ["a", " b", " c"])
        expect(chunks[-2]["choices"][0]["delta"], {})
        expect(chunks[-2]["choices"][0]["finish_reason"], "stop")
        expect(chunks[-1]["choices"], [])
        expect(chunks[-1]["usage"]["completion_tokens"], 3)
        expect_true(all("usage" not in c for c in chunks[:-1]), "usage only at the end")


@test
def usage_may_ride_on_every_chunk():
    options = {"include_usage": True, "continuous_usage_stats": True}
    with FakeServer() as server, server.open_stream("a b c", stream_options=options) as stream:
        counts = [c["usage"]["completion_tokens"] for c in stream.events()]
        expect(counts[0], 0)
        expect(counts[-1], 3)
        expect(counts, sorted(counts))


@test
def limits_and_stops_end_an_answer():
    with FakeServer() as server:
        body = server.ask("one two three four", max_tokens=2).json()
        expect(body["choices"][0]["message"]["content"], "one two")
        expect(body["choices"][0]["finish_reason"], "length")
        body = server.ask("one two three four", stop="three").json()
        expect(body["choices"][0]["message"]["content"], "one two")
        expect(body["choices"][0]["finish_reason"], "stop")
        expect(body["choices"][0]["stop_reason"], "three")
        with server.open_stream("one two three", stop=["x", "two"]) as stream:
            last = list(stream.events())[-1]
            expect(last["choices"][0]["stop_reason"], "two")
            expect(last["system_fingerprint"], "kontor-fake")


@test
def logprobs_cover_every_token_once():
    with FakeServer() as server:
        body = server.ask("a b c", logprobs=True).json()
        tokens = body["choices"][0]["logprobs"]["content"]
        expect([t["token"] for t in tokens], ["even", "odd", "even"])
        expect(tokens[0], {"token": "even", "logprob": -0.5, "bytes": list(b"even"),
                           "top_logprobs": []})
        with server.open_stream("a b c", logprobs=True) as stream:
            seen = [c["choices"][0]["logprobs"] for c in stream.events()]
            expect(sum(len(s["content"]) for s in seen if s), 3)


@test
def reasoning_has_both_names():
    with FakeServer() as server:
        message = server.ask("!reason 2 think hard say this").json()["choices"][0]["message"]
        expect(message["content"], " say this")
        expect(message["reasoning"], "think hard")
        expect(message["reasoning_content"], "think hard")
        with server.open_stream("!reason 2 think hard say this") as stream:
            deltas = [c["choices"][0]["delta"] for c in stream.events()]
            expect("".join(d.get("reasoning", "") for d in deltas), "think hard")
            expect(deltas[1]["reasoning"], deltas[1]["reasoning_content"])
            expect_true("content" not in deltas[1], "no content key beside reasoning")


@test
def content_parts_and_unicode_pass_through():
    parts = [{"type": "text", "text": "Grüße "}, {"type": "text", "text": "你好 \U0001F600"}]
    with FakeServer() as server:
        reply = server.post("/v1/chat/completions",
                            {"messages": [{"role": "developer", "content": "d"},
                                          {"role": "user", "content": parts}]})
        expect(reply.json()["choices"][0]["message"]["content"], "Grüße 你好 \U0001F600")
        expect_in("你好", reply.text)  # raw UTF-8, no escapes
        expect(reply.json()["model"], MODEL)


@test
def completions_answer_string_prompts():
    with FakeServer() as server:
        body = server.post("/v1/completions", {"prompt": "a b c", "echo": True}).json()
        expect(body["object"], "text_completion")
        expect_true(body["id"].startswith("cmpl-"), "id")
        expect(body["choices"][0]["text"], "a b ca b c")
        expect(body["usage"]["completion_tokens"], 3)
        with server.stream("/v1/completions", {"prompt": "a b", "stream": True}) as stream:
            chunks = list(stream.events())
            expect("".join(c["choices"][0]["text"] for c in chunks), "a b")
            expect(chunks[-1]["choices"][0]["finish_reason"], "stop")
        body = server.post("/v1/completions", {"prompt": "!count 50"}).json()
        expect(body["usage"]["completion_tokens"], 16)
        body = server.post("/v1/completions", {"prompt": "a b", "logprobs": 0}).json()
        expect(body["choices"][0]["logprobs"],
               {"text_offset": [0, 4], "token_logprobs": [-0.5, -0.5], "tokens": ["even", "odd"],
                "top_logprobs": None})


@test
def models_are_listed_and_found():
    with FakeServer() as server:
        body = server.get("/v1/models").json()
        expect([m["id"] for m in body["data"]], [MODEL, "other-name"])
        expect(body["data"][0]["max_model_len"], 4096)
        expect(body["data"][0]["object"], "model")
        expect(server.get("/v1/models/other-name").json()["id"], "other-name")
        reply = server.post("/v1/chat/completions", {**server.body("hi"), "model": "other-name"})
        expect(reply.json()["model"], "other-name")


@test
def tokenize_and_detokenize_understand_three_spellings():
    with FakeServer() as server:
        body = server.post("/tokenize", {"model": MODEL, "prompt": "ab"}).json()
        expect(body, {"count": 3, "max_model_len": 4096, "tokens": [999, 97, 98],
                      "token_strs": None})
        expect(server.post("/tokenize", {"content": "ab"}).json()["tokens"], [97, 98])
        body = server.post("/tokenize", {"prompt": "ab", "add_special_tokens": False,
                                         "return_token_strs": True}).json()
        expect(body["token_strs"], ["odd", "even"])
        body = server.post("/tokenize", {"messages": [{"role": "user", "content": "x"}]}).json()
        expect(bytes(body["tokens"]).decode(), "user:x\n")
        body = server.post("/detokenize", {"tokens": [104, 105]}).json()
        expect(body, {"prompt": "hi", "content": "hi", "text": "hi"})
        expect(server.post("/detokenize", {"tokens": [5000]}).json()["error"]["param"], "tokens")


@test
def health_and_its_relatives():
    with FakeServer() as server:
        expect(server.get("/health").json(), {"status": "healthy", "gpu_utilization": [12.5]})
        for path in ("/ready", "/ping"):
            expect(server.get(path).status, 200)
        expect(server.post("/ping", {}).status, 200)
        expect(server.get("/live").json(), {"status": "live"})
        expect(server.get("/version").json(), {"version": "0.0.0-fake"})
        expect(server.get("/load").json(), {"server_load": 0})


@test
def metrics_count_every_way_to_end():
    with FakeServer() as server:
        server.ask("a b c")
        server.ask("hi", n=2)
        server.ask("!break 2 a b c d")
        server.get("/nothing")
        with server.open_stream("!hang") as stream:
            next(iter(stream))
            wait_until(lambda: server.running() == 1, "running")
        wait_until(lambda: server.metric("kontor_requests_total", cause="client_gone") == 1,
                   "abort is counted")
        reply = server.get("/metrics")
        expect(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        for cause, count in [("refused", 2.0), ("failed", 1.0), ("client_slow", 0.0),
                             ("unavailable", 0.0), ("timeout", 0.0), ("stopped", 0.0)]:
            expect(server.metric("kontor_requests_total", cause=cause), count, cause)
        chat = {"handler": "/v1/chat/completions", "method": "POST"}
        for status, count in [("2xx", 2.0), ("4xx", 1.0), ("5xx", 1.0)]:
            expect(server.metric("http_requests_total", status=status, **chat), count, status)
        expect(server.metric("http_request_duration_seconds_count", **chat), 4.0)
        expect(server.metric("http_requests_total", handler="none", status="4xx"), 1.0)
        expect(server.metric("kontor_first_text_seconds_count"), 2.0)


@test
def request_ids_are_echoed_when_harmless():
    with FakeServer() as server:
        reply = server.ask("hi", {"X-Request-Id": "team-7/run.3"})
        expect(reply.headers["x-request-id"], "team-7/run.3")
        expect(reply.json()["id"], "chatcmpl-team-7/run.3")
        for given in ("a b", 'x"y', "ü", "a" * 129):
            reply = server.ask("hi", {"X-Request-Id": given.encode("latin-1")})
            expect_true(re.fullmatch(r"[0-9a-f]{32}", reply.headers["x-request-id"]), given)
        reply = server.ask("hi", request_id="from-body")
        expect(reply.json()["id"], "chatcmpl-from-body")
        expect(server.get("/nothing").headers["server"], "kontor/0.0.0-fake")
        expect_true("x-request-id" in server.get("/nothing").headers, "on errors too")


@test
def browsers_of_any_origin_may_call():
    with FakeServer(keys=["secret-key-1"]) as server:
        reply = server.request("OPTIONS", "/v1/chat/completions", headers={
            "Origin": "http://x", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,x-stainless-os"})
        expect(reply.status, 200)
        expect(reply.headers["access-control-allow-origin"], "*")
        expect(reply.headers["access-control-allow-methods"], "POST, OPTIONS")
        expect(reply.headers["access-control-allow-headers"], "authorization,x-stainless-os")
        expect(reply.headers["access-control-max-age"], "600")
        reply = server.get("/version", {"Origin": "http://x"})
        expect(reply.headers["access-control-allow-origin"], "*")
        expect(reply.headers["access-control-expose-headers"], "x-request-id")
        expect_true("access-control-allow-origin" not in server.get("/version").headers, "asked")
        expect(server.request("OPTIONS", "/v1/models").status, 405)


@test
def the_page_is_served():
    with FakeServer(keys=["secret-key-1"]) as server:
        reply = server.get("/")
        expect(reply.status, 200)
        expect(reply.headers["content-type"], "text/html; charset=utf-8")
        expect_in("default-src 'none'", reply.headers["content-security-policy"])
        expect_true("http://" not in reply.text and "https://" not in reply.text,
                    "no outside resource")
        expect(server.get("/favicon.ico").headers["content-type"], "image/svg+xml")


if __name__ == "__main__":
    main()
