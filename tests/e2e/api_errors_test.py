"""Every refusal a client can meet: status, type, code, param, and the words clients search for."""
import json

from fake_server import FakeServer, MODEL
from harness import expect, expect_in, expect_true, main, test, wait_until

USER = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"

# (fields beside model and messages, code, param, part of the message)
FIELD_ERRORS = [
    ({"temperature": 3}, "decimal_above_max_value", "temperature", "Expected a value <= 2"),
    ({"temperature": -1}, "decimal_below_min_value", "temperature", "Expected a value >= 0"),
    ({"top_p": 2}, "decimal_above_max_value", "top_p", "decimal above maximum value"),
    ({"max_tokens": 0}, "integer_below_min_value", "max_tokens", "integer below minimum value"),
    ({"max_tokens": 10 ** 12}, "integer_above_max_value", "max_tokens", "above maximum"),
    ({"max_tokens": "5"}, "invalid_type", "max_tokens", "got a string instead"),
    ({"messages": []}, "empty_array", "messages", "empty array"),
    ({"messages": None}, "missing_required_parameter", "messages", "Missing required parameter"),
    ({"messages": [{"role": "boss", "content": "x"}]}, "invalid_value", "messages[0].role",
     "Supported values are"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "unsupported_value",
     "messages[0].content[0].type", "Unsupported chat content part type: 'image_url'"),
    ({"stop": ["x"] * 17}, "array_above_max_length", "stop", "array too long"),
    ({"stop": "x" * 2000}, "string_above_max_length", "stop", "string too long"),
    ({"n": 2}, "unsupported_parameter", "n", "Unsupported parameter: 'n'"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "unsupported_parameter",
     "tools", "Unsupported parameter"),
    ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format",
     "Unsupported parameter"),
    ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options", "stream=True"),
]


def error_of(reply, status):
    expect(reply.status, status, reply.text)
    expect(reply.headers["content-type"], "application/json")
    body = reply.json()
    expect(list(body), ["error"])
    expect(list(body["error"]), ["message", "type", "param", "code"])
    return body["error"]


@test
def wrong_fields_are_named():
    with FakeServer() as server:
        for fields, code, param, text in FIELD_ERRORS:
            for stream in (False, True):
                body = {"model": MODEL, "messages": USER, "stream": stream, **fields}
                if stream and "stream_options" in fields:
                    continue
                error = error_of(server.post(CHAT, body), 400)
                expect((error["type"], error["code"], error["param"]),
                       ("invalid_request_error", code, param), str(fields))
                expect_in(text, error["message"])


@test
def bodies_that_are_no_json():
    deep = "[" * 100000
    with FakeServer() as server:
        for body in ("", "{", "{}x", '{"a":1,"a":2}', "nonsense", '{"a":"\\ud800"}', deep,
                     b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', '{"a":01}', '{"a":"\n"}'):
            reply = server.post(CHAT, body, {"Content-Type": "application/json"})
            expect_true(reply.status in (400, 413), f"{body[:20]!r}: {reply.status}")
            error = error_of(reply, reply.status)
            expect_in("JSON body of your request", error["message"])
        error = error_of(server.post(CHAT, "[]", {"Content-Type": "application/json"}), 400)
        expect_in("must be a JSON object", error["message"])
        expect(server.ask("still here").status, 200)


@test
def the_media_type_must_be_json():
    with FakeServer() as server:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", None):
            headers = {} if kind is None else {"Content-Type": kind}
            reply = server.post(CHAT, json.dumps(server.body("hi")), headers)
            expect_in("Only 'application/json' is allowed", error_of(reply, 400)["message"])
        for kind in ("application/json; charset=utf-8", "Application/JSON"):
            reply = server.post(CHAT, json.dumps(server.body("hi")), {"Content-Type": kind})
            expect(reply.status, 200)


@test
def an_unknown_model_is_404_and_lists_the_served_ones():
    with FakeServer() as server:
        for reply in (server.post(CHAT, {"model": "gpt-9", "messages": USER}),
                      server.post("/v1/completions", {"model": "gpt-9", "prompt": "x"}),
                      server.post("/tokenize", {"model": "gpt-9", "prompt": "x"}),
                      server.get("/v1/models/gpt-9")):
            error = error_of(reply, 404)
            expect((error["type"], error["code"], error["param"]),
                   ("invalid_request_error", "model_not_found", "model"))
            expect_in("The model `gpt-9` does not exist", error["message"])
            expect_in("`fake-model`, `other-name`", error["message"])
        expect(error_of(server.get("/v1/models/a%2Fb"), 404)["code"], "model_not_found")


@test
def unknown_urls_and_methods():
    with FakeServer() as server:
        error = error_of(server.post("/v1/x", {}), 404)
        expect((error["message"], error["code"]), ("Invalid URL (POST /v1/x)", None))
        for method, path, allow in [("GET", CHAT, "POST, OPTIONS"),
                                    ("POST", "/health", "GET, HEAD, OPTIONS"),
                                    ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
                                    ("PUT", "/ping", "GET, HEAD, POST, OPTIONS")]:
            reply = server.request(method, path)
            expect_in(f"Not allowed to {method} on {path}.", error_of(reply, 405)["message"])
            expect(reply.headers["allow"], allow)


@test
def the_engine_s_refusal_keeps_the_words_agents_look_for():
    with FakeServer() as server:
        for stream in (False, True):
            reply = server.post(CHAT, server.body("!refuse", stream=stream))
            error = error_of(reply, 400)
            expect((error["code"], error["param"]), ("context_length_exceeded", "messages"))
            expect_in("maximum context length is 4096 tokens", error["message"])


@test
def a_failing_engine_is_500_or_an_error_event():
    with FakeServer() as server:
        error = error_of(server.ask("!break 2 a b c d"), 500)
        expect((error["type"], error["code"]), ("server_error", None))
        with server.open_stream("!break 2 a b c d") as stream:
            expect(stream.status, 200)
            events = list(stream)
            expect(events[-1], "[DONE]")
            expect(json.loads(events[-2])["error"]["type"], "server_error")
        error = error_of(server.ask("!quit 1 a b c"), 500)
        expect_in("ended the answer early", error["message"])
        with server.open_stream("!quit 1 a b c") as stream:
            expect_in("ended the answer early", list(stream)[-2])


@test
def a_full_engine_is_503_with_retry_after():
    with FakeServer() as server:
        for order, code in (("!full", "server_is_overloaded"), ("!closed", "server_is_draining")):
            for stream in (False, True):
                reply = server.post(CHAT, server.body(order, stream=stream))
                error = error_of(reply, 503)
                expect((error["type"], error["code"]), ("service_unavailable_error", code))
                expect_true(int(reply.headers["retry-after"]) >= 1, "retry-after")


@test
def a_broken_engine_is_unhealthy():
    with FakeServer() as server:
        error = error_of(server.ask("!dead"), 503)
        expect(error["code"], "engine_failed")
        reply = server.get("/health")
        expect((reply.status, reply.json()["status"]), (503, "unhealthy"))
        expect(server.get("/live").status, 200)


@test
def too_many_requests_inside_are_503():
    with FakeServer(inflight_max=2) as server, server.open_stream("!hang") as one, \
            server.open_stream("!hang") as two:
        next(iter(one))
        next(iter(two))
        error = error_of(server.ask("hi"), 503)
        expect(error["code"], "server_is_overloaded")
        expect(server.get("/health").status, 200)


@test
def a_request_may_have_a_time_limit():
    with FakeServer(request_ms=300) as server:
        error = error_of(server.ask("!hang"), 504)
        expect(error["code"], "request_timeout")
        with server.open_stream("!hang") as stream:
            expect(json.loads(list(stream)[-2])["error"]["code"], "request_timeout")
        wait_until(lambda: server.running() == 0, "slots free")
        wait_until(lambda: server.metric("kontor_requests_total", cause="timeout") == 2, "counted")


@test
def keys_guard_what_costs_something():
    key = "sk-0123456789abcdef"
    with FakeServer(keys=[key, "other-key-4567"]) as server:
        guarded = [("POST", CHAT), ("POST", "/v1/completions"), ("GET", "/v1/models"),
                   ("GET", "/v1/models/fake-model"), ("POST", "/tokenize"),
                   ("POST", "/detokenize"), ("GET", "/v1/nothing")]
        for method, path in guarded:
            error = error_of(server.request(method, path), 401)
            expect((error["type"], error["param"], error["code"]),
                   ("invalid_request_error", None, None), path)
            expect_in("You didn't provide an API key.", error["message"])
        for path in ("/health", "/ready", "/live", "/ping", "/version", "/metrics", "/load", "/"):
            expect(server.get(path).status, 200, path)
        for headers in ({"Authorization": f"Bearer {key}"}, {"authorization": f"bEARER  {key}"},
                        {"X-Api-Key": key}, {"Authorization": "Bearer other-key-4567"}):
            expect(server.ask("hi", headers).status, 200, str(headers))
        expect(server.get("/v1/nothing", {"X-Api-Key": key}).status, 404)


@test
def a_wrong_key_is_masked():
    with FakeServer(keys=["sk-0123456789abcdef"]) as server:
        for given, shown in [("test-openai-key", "test-ope***-key"), ("short", "*****"),
                             ("sk-0123456789abcde", "sk-01234******bcde"),
                             ("sk-0123456789abcdeF", "sk-01234*******cdeF"),
                             ("exactly12byt", "*" * 12)]:
            reply = server.ask("hi", {"Authorization": "Bearer " + given})
            error = error_of(reply, 401)
            expect(error["code"], "invalid_api_key")
            expect(error["message"], f"Incorrect API key provided: {shown}.")
            expect(reply.headers["www-authenticate"], "Bearer")
        for scheme in ("Basic c2s=", "sk-0123456789abcdef", "Bearer"):
            error = error_of(server.ask("hi", {"Authorization": scheme}), 401)
            expect_in("You didn't provide", error["message"])
        expect_true("sk-0123456789abcdef" not in server.log(), "keys are not logged")


@test
def vllm_style_has_integer_codes():
    with FakeServer(vllm_errors=1) as server:
        for reply, status, kind in [
            (server.ask("hi", n=2), 400, "BadRequestError"),
            (server.post(CHAT, {"model": "x", "messages": USER}), 404, "NotFoundError"),
            (server.ask("!break 0 a"), 500, "InternalServerError"),
        ]:
            error = error_of(reply, status)
            expect((error["type"], error["code"]), (kind, status))


@test
def while_the_model_loads_the_port_answers_503():
    with FakeServer(load_ms=1500, wait=None) as server:
        wait_until(lambda: "listening" in server.log(), "port is open")
        reply = server.get("/health")
        expect((reply.status, reply.json()["status"]), (503, "loading"))
        expect_true("retry-after" in reply.headers, "retry-after")
        expect(server.get("/live").status, 200)
        expect(server.get("/ready").status, 503)
        reply = server.ask("hi")
        expect(error_of(reply, 503)["code"], "model_loading")
        expect_true("retry-after" in reply.headers, "retry-after")
        expect(server.get("/v1/models").json()["data"][0]["max_model_len"], None)
        wait_until(lambda: server.get("/health").status == 200, "ready")
        expect(server.ask("hi").status, 200)


@test
def a_model_that_cannot_load_ends_the_server():
    with FakeServer(load_ms=100, load_fault=1, wait=None) as server:
        wait_until(lambda: not server.alive(), "it ends")
        expect(server.process.returncode, 1)
        expect_in("the model folder is broken", server.log())


if __name__ == "__main__":
    main()
