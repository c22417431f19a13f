"""`kontor serve` with the built-in model: exact answers, equal through every path, aborts, many clients,
limits of the model, stop and start."""
import contextlib
import json
import os
import signal
import socket
import threading
import time

from harness import (BUILD, TESTS, Server, expect, expect_in, expect_true, main, run, test,
                     wait_until)

CHAT = "/v1/chat/completions"
CAMPAIGN = "KONTOR_CAMPAIGN" in os.environ
LOAD_S = 60 if CAMPAIGN else 9
GREEDY = {"temperature": 0}


def fixtures(per_language):
    """The first questions of each language with their exact answers."""
    seen = {}
    for line in (TESTS / "e2e" / "builtin_answers.jsonl").read_text().splitlines():
        row = json.loads(line)
        seen.setdefault(row["lang"], []).append(row)
    expect(sorted(seen), ["de", "en", "zh"])
    return [row for rows in seen.values() for row in rows[:per_language]]


def ask(text, **fields):
    return {"messages": [{"role": "user", "content": text}], **GREEDY, **fields}


def text_of(reply):
    expect(reply.status, 200, reply.text)
    return reply.json()["choices"][0]["message"]["content"]


def streamed(server, body):
    with server.stream(CHAT, {**body, "stream": True}) as stream:
        expect(stream.status, 200)
        return "".join(c["choices"][0]["delta"].get("content", "") for c in stream.events())


def idle(server):
    return server.metric("vllm:num_requests_running") == 0 and \
        server.metric("vllm:num_requests_waiting") == 0


@test
def trained_questions_get_their_exact_answers():
    with Server() as server:
        for row in fixtures(200 if CAMPAIGN else 12):
            expect(text_of(server.post(CHAT, ask(row["question"]))), row["answer"],
                   row["question"])


@test
def plain_and_streamed_answers_are_equal():
    with Server() as server:
        for row in fixtures(3):
            expect(streamed(server, ask(row["question"])), row["answer"], row["question"])
        seeded = ask("Tell me something.", temperature=1.2, seed=7, max_tokens=24)
        first = text_of(server.post(CHAT, seeded))
        expect(text_of(server.post(CHAT, seeded)), first)
        expect(streamed(server, seeded), first)


@test
def usage_counts_the_tokens_of_the_prompt():
    with Server() as server:
        row = fixtures(1)[0]
        messages = {"messages": [{"role": "user", "content": row["question"]}]}
        n_prompt = server.post("/tokenize", messages).json()["count"]
        usage = server.post(CHAT, ask(row["question"])).json()["usage"]
        expect(usage["prompt_tokens"], n_prompt)
        body = ask(row["question"], stream=True, stream_options={"include_usage": True})
        with server.stream(CHAT, body) as stream:
            expect(list(stream.events())[-1]["usage"], usage)
        ids = server.post("/tokenize", {"prompt": "Grüße, 你好 \U0001F600!"}).json()["tokens"]
        expect(server.post("/detokenize", {"tokens": ids}).json()["prompt"],
               "Grüße, 你好 \U0001F600!")


@test
def stops_and_limits_work_on_the_text():
    with Server() as server:
        row = fixtures(1)[0]
        stop = row["answer"][10:14]  # most likely across tokens
        choice = server.post(CHAT, ask(row["question"], stop=stop)).json()["choices"][0]
        expect(choice["message"]["content"], row["answer"].partition(stop)[0])
        expect((choice["finish_reason"], choice["stop_reason"]), ("stop", stop))
        body = server.post(CHAT, ask(row["question"], max_tokens=3)).json()
        expect(body["choices"][0]["finish_reason"], "length")
        expect(body["usage"]["completion_tokens"], 3)
        expect_true(row["answer"].startswith(body["choices"][0]["message"]["content"]), "beginning")


@test
def an_overlong_prompt_is_refused_with_the_known_words():
    with Server("--max-model-len", 256) as server:
        for stream in (False, True):
            reply = server.post(CHAT, ask("word " * 3000, stream=stream))
            expect(reply.status, 400)
            error = reply.json()["error"]
            expect(error["code"], "context_length_exceeded")
            expect_in("maximum context length", error["message"])
        expect(server.post(CHAT, ask("hi", max_tokens=2)).status, 200)


@test
def names_and_keys_of_the_command_line_hold():
    with Server("--served-model-name", "glm-5-9b-chat", "glm-5-9b", "--api-key", "sk-a-long-secret",
                wait="/health") as server:
        key = {"Authorization": "Bearer sk-a-long-secret"}
        expect(server.get("/v1/models").status, 401)
        ids = [m["id"] for m in server.get("/v1/models", key).json()["data"]]
        expect(ids, ["glm-5-9b-chat", "glm-5-9b"])
        for name in ids:
            reply = server.post(CHAT, ask("hi", model=name, max_tokens=2), key)
            expect(reply.json()["model"], name)
        reply = server.post(CHAT, ask("hi", model="glm-9"), key)
        expect(reply.status, 404)
        expect_in("`glm-5-9b-chat`, `glm-5-9b`", reply.json()["error"]["message"])
        expect_true("sk-a-long-secret" not in server.log(), "keys are not logged")


@test
def a_dropped_stream_frees_slot_and_blocks_within_a_step():
    with Server() as server:
        body = ask("Tell me everything.", ignore_eos=True, max_tokens=1800, stream=True)
        for _ in range(5):
            with server.stream(CHAT, body) as stream:
                events = iter(stream)
                for _ in range(4):
                    next(events)
                expect(server.metric("vllm:num_requests_running"), 1.0)
                expect_true(server.metric("vllm:kv_cache_usage_perc") > 0, "blocks are in use")
            begun = time.monotonic()
            wait_until(lambda: idle(server), "slot is free")
            expect_true(time.monotonic() - begun < 1, "within a step")
            wait_until(lambda: server.metric("vllm:kv_cache_usage_perc") == 0, "blocks are free")
        expect(server.metric("vllm:request_success_total", finished_reason="abort"), 5.0)


@test
def thirty_two_clients_without_a_fault():
    rows = fixtures(8)
    faults = []
    counts = [0] * 32

    def client(server, n, until):
        try:
            with contextlib.closing(server.connection()) as connection:
                while time.monotonic() < until:
                    row = rows[(n + counts[n]) % len(rows)]
                    connection.request("POST", CHAT, json.dumps(ask(row["question"])),
                                       {"Content-Type": "application/json"})
                    reply = json.loads(connection.getresponse().read())
                    expect(reply["choices"][0]["message"]["content"], row["answer"])
                    counts[n] += 1
        except Exception as fault:  # noqa: BLE001 - reported below
            faults.append(fault)

    with Server() as server:
        begun = time.monotonic()
        threads = [threading.Thread(target=client, args=(server, n, begun + LOAD_S))
                   for n in range(32)]
        for t in threads:
            t.start()
        time.sleep(LOAD_S / 3)
        third = server.rss_bytes()
        for t in threads:
            t.join()
        end = server.rss_bytes()
        print(f"# {sum(counts)} answers in {time.monotonic() - begun:.1f} s, RSS {third} at a third, "
              f"{end} at the end")
        expect(faults, [])
        expect_true(min(counts) > 0, "everybody was served")
        if BUILD.name in ("asan", "tsan"):
            return  # sanitizers keep freed memory for a while
        expect_true(end <= third * 1.02, f"RSS {third} at a third, {end} at the end")
        wait_until(lambda: idle(server), "all slots free")
        expect(server.metric("vllm:kv_cache_usage_perc"), 0.0)


@test
def sigterm_lets_a_running_answer_finish():
    with Server() as server:
        body = ask("Tell me everything.", ignore_eos=True, max_tokens=400, stream=True)
        with server.stream(CHAT, body) as stream:
            events = iter(stream)
            next(events)
            server.process.send_signal(signal.SIGTERM)
            expect(list(events)[-1], "[DONE]")
        wait_until(lambda: not server.alive(), "it ends")
        expect(server.process.returncode, 0)


@test
def a_taken_port_fails_before_the_model_loads():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--host", "127.0.0.1", "--port", port)
        expect_true(done.returncode not in (0, 2), f"exit status {done.returncode}")
        expect_in(f"Port {port} is in use", done.stderr)


@test
def a_missing_model_ends_with_a_clear_line():
    done = run("serve", "/nonexistent/model", "--port", 0)
    expect_true(done.returncode != 0, "fails")
    expect_in("/nonexistent/model", done.stderr)


@test
def the_program_is_its_own_client():
    with Server() as server:
        done = run("health", server.url)
        expect(done.returncode, 0, done.stderr)
        row = fixtures(1)[0]
        done = run("chat", "--url", server.url, input_text=row["question"] + "\n")
        expect(done.returncode, 0, done.stderr)
        expect_in(row["answer"], done.stdout)
    expect(run("health", server.url).returncode, 1)


if __name__ == "__main__":
    main()
