"""The built-in model through `kontor serve`: the recorded answers, word for word, at every kernel level."""
import json
import os

from harness import TESTS, Server, expect, expect_in, expect_true, main, run, test

FIXTURES = [json.loads(line) for line in
            (TESTS / "e2e" / "builtin_answers.jsonl").read_text(encoding="utf-8").splitlines()]
RISK = "Erklären Sie die Risikostreuung bei Aktieninvestments."


def answer(server, question):
    reply = server.chat(question)
    expect(reply.status, 200, reply.text)
    return reply.json()["choices"][0]["message"]["content"]


def all_answers(fixtures, **server):
    with Server(**server) as s:
        for f in fixtures:
            expect(answer(s, f["question"]), f["answer"], f["question"])


@test
def every_recorded_answer_is_given_word_for_word():
    expect_true(len(FIXTURES) >= 300, f"{len(FIXTURES)} fixtures")
    all_answers(FIXTURES)


@test
def lesser_kernel_levels_give_the_same_text():
    for level in ("avx2", "ref"):
        if os.uname().machine == "x86_64" or level == "ref":
            all_answers(FIXTURES[::8], env={"KONTOR_CPU_LEVEL": level})


@test
def the_margins_are_wide_enough_for_all_levels():
    expect_true(min(f["min_margin"] for f in FIXTURES) >= 0.5, "a margin is below 0.5")


@test
def spreading_of_risk_is_explained_in_german():
    with Server() as s:
        text = answer(s, RISK)
        expect_in("Risiko", text)
        expect_in("verteilen", text)


@test
def it_says_that_it_is_a_demonstration():
    with Server() as s:
        expect_in("demonstration", answer(s, "Write me a poem about cats"))


@test
def chat_asks_a_server_and_the_model_itself():
    first = next(f for f in FIXTURES if f["question"] == "What is Kontor?")
    with Server() as s:
        done = run("chat", "--url", s.url, "--prompt", first["question"])
        expect((done.returncode, done.stdout.strip()), (0, first["answer"]), done.stderr)
    done = run("chat", "--model", "builtin", "--prompt", first["question"])
    expect((done.returncode, done.stdout.strip()), (0, first["answer"]), done.stderr)
    done = run("chat", "--model", "builtin", input_text=first["question"] + "\n")
    expect(done.stdout.strip(), first["answer"])


@test
def health_and_chat_say_what_is_wrong():
    done = run("health", "http://127.0.0.1:1")
    expect(done.returncode, 1)
    expect_in("Connection refused", done.stderr)
    done = run("chat", "--url", "http://127.0.0.1:1", "--prompt", "x")
    expect(done.returncode, 1)
    done = run("chat", "--url", "http://127.0.0.1:1", "--model", "builtin")
    expect(done.returncode, 2)
    with Server() as s:
        expect(run("health", s.url).returncode, 0)


@test
def a_preset_that_does_not_fit_is_refused_with_the_knobs():
    done = run("serve", "preset:glm-4-32b-0414", "--load-format", "dummy", "--port", "0",
               "--gpu-memory-utilization", "0.1")
    expect(done.returncode, 1)
    expect_in("bytes short", done.stderr)
    expect_in("--max-model-len", done.stderr)
    expect(run("serve", "preset:glm-4-32b-0414").returncode, 2)


@test
def plans_for_cards():
    done = run("plan", "--model", "glm-4-9b-chat", "--device", "910b:4", "--max-model-len", "8192",
               "--concurrency", "32", "--json")
    expect(done.returncode, 0, done.stderr)
    expect(json.loads(done.stdout)["kv_bytes"], 20480 * 8192 * 32)
    expect(run("plan", "--model", "glm-4.5", "--device", "a100:1").returncode, 1)
    expect(run("plan", "--model", "nope", "--device", "a100:1").returncode, 1)
    expect(run("plan", "--device", "a100:x", "--model", "glm-5").returncode, 2)
    expect(run("plan").returncode, 2)


if __name__ == "__main__":
    main()
