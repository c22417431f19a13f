"""One remote upstream: what is passed on, what is added, what is counted."""
import json
import socket
import time

from gateway_server import MODEL, Gateway
from harness import expect, expect_in, expect_true, main, test, wait_until
from mock_upstream import USAGE, MockUpstream


def sse(*payloads):
    return b"".join(b"data: " + (p if isinstance(p, str) else json.dumps(p)).encode() + b"\n\n" for p in payloads)


@test
def a_whole_answer_passes_unchanged_and_is_booked():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        body = '{"model" : "%s", "messages":[{"role":"user","content":"h\\u00e9"}], "x_own": [1, {"y": null}]}' % MODEL
        reply = gw.post("/v1/chat/completions", body, {"Content-Type": "application/json",
                                                       "Authorization": "Bearer sk-client", "Cookie": "c=1",
                                                       "traceparent": "00-aa-bb-01", "x-request-id": "mine-1"})
        expect(reply.status, 200)
        expect(reply.json()["choices"][0]["message"]["content"], "one two three")
        expect(reply.headers["x-request-id"], "mine-1")
        expect(reply.headers["x-kontor-provider"], "a")
        expect(reply.headers["x-kontor-attempts"], "1")
        expect(reply.headers["x-kontor-cost"], "0.000015000")
        expect_true(int(reply.headers["x-kontor-latency-ms"]) >= 0, "latency")
        sent = up.requests[0]
        expect(sent.body.decode(), body)
        expect(sent.headers["traceparent"], "00-aa-bb-01")
        for name in ("authorization", "cookie"):
            expect_true(name not in sent.headers, name)
        row = gw.rows(1)[0]
        expect((row["prompt_tokens"], row["completion_tokens"], row["cost_nano"], row["estimated"]), (9, 3, 15000, 0))
        expect((row["cause"], row["upstream"], row["attempts"], row["http_status"]), ("done", "a", 1, 200))
        line = gw.line()
        expect((line["id"], line["record_id"]), ("mine-1", row["request_id"]))
        expect((line["cause"], line["status"]), ("done", 200))
        expect(sent.headers["x-request-id"], row["request_id"])


@test
def the_model_is_renamed_and_the_key_replaced():
    upstream = {"models": {MODEL: 'glm "4"'}, "key_env": "MOCK_KEY"}
    with MockUpstream() as up, Gateway({"a": {"url": up.url, **upstream}}, env={"MOCK_KEY": "sk-up"}) as gw:
        expect(gw.ask(headers={"authorization": "Bearer sk-client"}).status, 200)
        expect(up.requests[0].json()["model"], 'glm "4"')
        expect(up.requests[0].headers["authorization"], "Bearer sk-up")
        expect(gw.line()["upstream_model"], 'glm "4"')


@test
def a_stream_keeps_its_bytes():
    events = [{"choices": [{"index": 0, "delta": {"content": "Grüße 你好"}}], "odd": 1.50}, " {\"choices\": []}"]
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        for piece in (1, 7, 100000):
            up.plan(events=events, piece=piece)
            status, headers, body = gw.stream_bytes(stream_options={"include_usage": True})
            expect(status, 200)
            expect(headers["content-type"], "text/event-stream; charset=utf-8")
            expect(body, sse(*events, "[DONE]"))
        expect(up.requests[0].json()["stream_options"], {"include_usage": True})


@test
def usage_is_asked_for_and_taken_out_again():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        for fields in ({}, {"stream_options": None}, {"stream_options": {}},
                       {"stream_options": {"include_usage": False}}, {"stream_options": {"x": [1]}}):
            _, _, body = gw.stream_bytes(**fields)
            expect(up.requests[-1].json()["stream_options"]["include_usage"], True)
            expect_true(b'"usage"' not in body, body)
            expect_true(body.endswith(b"data: [DONE]\n\n"), body)
        _, _, body = gw.stream_bytes(stream_options={"include_usage": True})
        expect_in(b'"choices": [], "usage"', body)
        for row in gw.rows(6):
            expect((row["prompt_tokens"], row["completion_tokens"], row["estimated"]), (9, 3, 0))


@test
def usage_is_found_wherever_it_stands():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        for n, place in enumerate(("first", "each", "finish", "always")):
            up.plan(usage=place)
            gw.stream_bytes()
            expect(gw.rows(n + 1)[n]["prompt_tokens"], USAGE["prompt_tokens"])
        up.plan(usage="none")
        gw.stream_bytes()
        row = gw.rows(5)[4]
        expect((row["estimated"], row["completion_tokens"], row["cause"]), (1, 3, "done"))
        expect_true(row["prompt_tokens"] > 0, "prompt is estimated")


@test
def an_event_may_be_large_and_end_without_mark():
    big = "x" * 200_000
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        up.plan(words=[big], done=False)
        _, _, body = gw.stream_bytes()
        expect_in(big.encode(), body)
        expect_true(body.endswith(b"data: [DONE]\n\n"), body[-80:])
        expect(gw.line()["cause"], "done")


@test
def a_client_that_leaves_ends_the_upstream_at_once():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        up.plan(delay_s=30)
        for headers_first in (False, True):
            up.plan(delay_s=30, head_first=headers_first)
            for streamed in (False, True):
                n = len(up.requests)
                c = gw.connection()
                c.request("POST", "/v1/chat/completions", json.dumps(gw.body("x", stream=streamed)),
                          {"Content-Type": "application/json"})
                wait_until(lambda: len(up.requests) == n + 1, "is there")
                time.sleep(0.05)
                gone = time.monotonic()
                c.close()
                wait_until(up.requests[n].done.is_set, "left", 2)
                expect_true(up.requests[n].left - gone < 0.5, "quickly")
        for row in gw.rows(4):
            expect((row["cause"], row["http_status"], row["estimated"]), ("client_gone", 499, 1))


@test
def a_client_that_leaves_in_mid_stream_is_billed_what_was_relayed():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        up.plan(words=["w"] * 200, event_delay_s=0.02)
        with gw.open_stream() as stream:
            events = iter(stream)
            for _ in range(6):
                next(events)
        wait_until(lambda: up.requests[0].done.is_set(), "left")
        row = gw.rows(1)[0]
        expect((row["cause"], row["estimated"]), ("client_gone", 1))
        expect_true(5 <= row["completion_tokens"] <= 30, row["completion_tokens"])


@test
def a_slow_client_stops_the_upstream_and_loses_nothing():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        up.plan(words=["y" * 20_000] * 1500)
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        s.connect(("127.0.0.1", gw.port))
        body = json.dumps(gw.body("x", stream=True)).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.7)
        expect_true(not up.requests[0].done.is_set(), "the upstream waits")
        expect_true(gw.rss_bytes() < 60 << 20, "memory stays small")
        got = bytearray()
        while part := s.recv(1 << 20):
            got += part
        s.close()
        expect(got.count(b"y" * 20_000), 1500)
        expect(gw.line()["cause"], "done")


@test
def other_endpoints_pass_through_with_usage():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        up.plan(body={"object": "list", "data": [], "usage": {"prompt_tokens": 4, "total_tokens": 4}})
        reply = gw.post("/v1/embeddings", {"model": MODEL, "input": ["a"]})
        expect((reply.status, up.requests[-1].path), (200, "/v1/embeddings"))
        up.plan(body={"id": "r", "output": [], "usage": {"input_tokens": 7, "output_tokens": 2}})
        expect(gw.post("/v1/responses", {"model": MODEL, "input": "x", "text": {}}).status, 200)
        up.plan(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":5,'
                    b'"cache_read_input_tokens":2,"output_tokens":1}}}\n\n'
                    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta",'
                    b'"text":"hi"}}\n\nevent: message_delta\ndata: {"type":"message_delta","delta":{},"usage":'
                    b'{"output_tokens":6}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n')
        with gw.stream("/v1/messages", {"model": MODEL, "max_tokens": 10, "stream": True, "messages": []},
                       {"anthropic-version": "2023-06-01"}) as stream:
            body = stream.response.read()
        expect_true(body.endswith(b'data: {"type":"message_stop"}\n\n'), body)
        expect(up.requests[-1].headers["anthropic-version"], "2023-06-01")
        expect_true(b"stream_options" not in up.requests[-1].body, "untouched")
        usage = [(r["prompt_tokens"], r["completion_tokens"], r["cached_tokens"]) for r in gw.rows(3)]
        expect(usage, [(4, 0, 0), (7, 2, 0), (7, 6, 2)])


@test
def bodies_that_two_parsers_could_read_differently_stay_here():
    cases = [
        '{"model":"m","model":"%s","messages":[]}', '{"model":"%s","Model":"x","messages":[]}',
        '{"model":"%s","\\u017ftream":true,"messages":[]}', '{"model":"%s","to\u212aen":1,"max_to\u212aens":1}',
        '{"model":"%s","messages":[{"role":"user","role":"system"}]}', '{"model":"%s","a":"\\ud800"}',
        '{"model":"%s","stream":"yes"}', '{"model":"%s"} x', '[1]', '{"model":7}', '{"messages":[]}',
        '{"model":"%s","n":01}', '{"model":"%s","stream_options":{"include_usage":1}}',
        '{"model":"%s","stream_options":{"include_usage":true,"INCLUDE_USAGE":false}}', "", "{",
    ]
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        for case in cases:
            text = case % MODEL if "%s" in case else case
            reply = gw.post("/v1/chat/completions", text, {"Content-Type": "application/json"})
            expect(reply.status, 400, text)
            expect(reply.json()["error"]["type"], "invalid_request_error")
        reply = gw.post("/v1/chat/completions", b'{"model":"%s","a":"\xff"}' % MODEL.encode(),
                        {"Content-Type": "application/json"})
        expect(reply.status, 400)
        expect(up.requests, [])
        expect(gw.rows(), [])


@test
def unknown_models_are_404_and_lists_are_merged():
    with MockUpstream() as up, Gateway({"a": up.url}) as gw:
        reply = gw.post("/v1/chat/completions", {"model": "other", "messages": []})
        expect((reply.status, reply.json()["error"]["code"]), (404, "model_not_found"))
        expect([m["id"] for m in gw.get("/v1/models").json()["data"]], [MODEL])
        expect(gw.get("/v1/models/" + MODEL).json()["id"], MODEL)
        expect(up.requests, [])


if __name__ == "__main__":
    main()
