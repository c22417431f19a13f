"""The openai package for Python against the gateway: create, stream, usage, stop, errors, abort."""
import threading

import openai
from fake_server import FakeServer, MODEL
from harness import expect, expect_in, expect_true, main, test, wait_until
from openai import AsyncOpenAI, OpenAI

KEY = "sk-peer-0123456789"
ASK = [{"role": "user", "content": "Hello there you"}]


def client_of(server, **options):
    return OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0, timeout=30, **options)


def raises(kind, call):
    try:
        call()
    except openai.OpenAIError as error:
        expect(type(error).__name__, kind.__name__)
        return error
    raise AssertionError(f"no {kind.__name__}")


@test
def create_answers():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        done = client.chat.completions.create(model=MODEL, messages=ASK)
        expect(done.choices[0].message.content, "Hello there you")
        expect(done.choices[0].message.role, "assistant")
        expect(done.choices[0].finish_reason, "stop")
        expect(done.usage.total_tokens, 10)
        expect(done.object, "chat.completion")
        expect_true(done._request_id, "request id")
        parts = [{"type": "text", "text": "two"}, {"type": "text", "text": " parts"}]
        done = client.chat.completions.create(model=MODEL,
                                              messages=[{"role": "user", "content": parts}])
        expect(done.choices[0].message.content, "two parts")


@test
def streams_arrive_piece_by_piece():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        chunks = list(client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        expect(text, "Hello there you")
        expect(chunks[0].choices[0].delta.role, "assistant")
        expect(chunks[-1].usage.completion_tokens, 3)
        expect([c.choices[0].finish_reason for c in chunks if c.choices][-1], "stop")
        with client.chat.completions.stream(model=MODEL, messages=ASK) as stream:
            final = stream.get_final_completion()
        expect(final.choices[0].message.content, "Hello there you")


@test
def parameters_are_honoured():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        ask = [{"role": "user", "content": "one two three four"}]
        done = client.chat.completions.create(model=MODEL, messages=ask, stop=["three"])
        expect((done.choices[0].message.content, done.choices[0].finish_reason),
               ("one two", "stop"))
        done = client.chat.completions.create(model=MODEL, messages=ask, max_completion_tokens=1)
        expect((done.choices[0].message.content, done.choices[0].finish_reason), ("one", "length"))
        done = client.chat.completions.create(model=MODEL, messages=ask, logprobs=True, seed=3,
                                              temperature=0, top_p=0.9, n=1, user="me",
                                              extra_body={"top_k": 5, "min_p": 0.1})
        expect(len(done.choices[0].logprobs.content), 4)
        done = client.completions.create(model=MODEL, prompt="a b c", max_tokens=2)
        expect(done.choices[0].text, "a b")


@test
def models_are_listed():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        expect([m.id for m in client.models.list()], [MODEL, "other-name"])
        expect(client.models.retrieve("other-name").id, "other-name")
        raises(openai.NotFoundError, lambda: client.models.retrieve("org/none"))


@test
def errors_become_the_right_classes():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        def create(text="hi", **fields):
            return client.chat.completions.create(
                **{"model": MODEL, "messages": [{"role": "user", "content": text}], **fields})

        error = raises(openai.BadRequestError, lambda: create(temperature=5))
        expect((error.code, error.param), ("decimal_above_max_value", "temperature"))
        error = raises(openai.BadRequestError, lambda: create("!refuse"))
        expect(error.code, "context_length_exceeded")
        error = raises(openai.NotFoundError, lambda: create(model="gpt-9"))
        expect(error.code, "model_not_found")
        expect_in("`fake-model`", error.message)
        error = raises(openai.InternalServerError, lambda: create("!break 0 a"))
        expect(error.status_code, 500)
        error = raises(openai.InternalServerError, lambda: create("!full"))
        expect((error.status_code, error.code), (503, "server_is_overloaded"))
        error = raises(openai.APIError, lambda: list(create("!break 1 a b c", stream=True)))
        expect_in("error while processing", error.message)
        with OpenAI(base_url=server.url + "/v1", api_key="sk-wrong-0123456789",
                    max_retries=0) as wrong:
            error = raises(openai.AuthenticationError, wrong.models.list)
            expect(error.code, "invalid_api_key")
            expect_true(error.request_id, "request id")


@test
def a_dropped_stream_frees_its_slot():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        stream = client.chat.completions.create(
            model=MODEL, stream=True,
            messages=[{"role": "user", "content": "!count 100000 !delay 5"}])
        for _ in range(3):
            next(iter(stream))
        expect(server.running(), 1.0)
        stream.close()
        wait_until(lambda: server.running() == 0, "slot is free", 1)
        expect(server.cancels(), 1.0)


@test
def a_client_that_gives_up_waiting_frees_its_slot():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        raises(openai.APITimeoutError, lambda: client.with_options(timeout=0.5).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "!hang"}]))
        wait_until(lambda: server.running() == 0, "slot is free", 1)


@test
def the_async_client_works_in_parallel():
    import asyncio

    async def run(url):
        async with AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
            async def one(n):
                stream = await client.chat.completions.create(
                    model=MODEL, stream=True,
                    messages=[{"role": "user", "content": f"!count {n + 1}"}])
                return [c async for c in stream]

            return await asyncio.gather(*(one(n) for n in range(32)))

    with FakeServer(keys=[KEY]) as server:
        for n, chunks in enumerate(asyncio.run(run(server.url))):
            text = "".join(c.choices[0].delta.content or "" for c in chunks)
            expect(text, "".join(f"w{i} " for i in range(n + 1)))


@test
def one_client_may_serve_many_threads():
    with FakeServer(keys=[KEY]) as server, client_of(server) as client:
        answers = [None] * 16

        def ask(n):
            done = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": f"number {n}"}])
            answers[n] = done.choices[0].message.content

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect(answers, [f"number {n}" for n in range(16)])


if __name__ == "__main__":
    main()
