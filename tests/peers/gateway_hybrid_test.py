"""An unmodified program with two openai clients through the gateway: the built-in model is the private side,
a mock the cloud; the private side is up, failing, hanging, slow, and down together with the cloud."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

from gateway_rig import FaultUpstream, Gateway, MODEL, plain_answer, respond, answer_well
from harness import Server, expect, expect_in, expect_true, free_port, main, test

PROGRAM = pathlib.Path(__file__).resolve().parent / "programs" / "hybrid.py"
DEAD = "http://127.0.0.1:{}/v1"


class House:
    """The gateway with a private upstream and a cloud; the cloud's own model has a name as well."""

    def __init__(self, private, cloud, **settings):
        self.cloud = cloud
        self.gateway = Gateway({"private": [private], "cloud": [cloud]}, wait="/live", **settings)
        # The cloud knows one model, under its own name; the program asks for it directly, too.
        text = self.gateway.config.read_text()
        text = text.replace('"name": "cloud-1"', f'"name": "cloud-1", "models": {{"{MODEL}": "deepseek-v3.2"}}')
        text = text.replace('models: [', 'models: [{"name": "deepseek-v3.2", "pools": ["cloud"]}, ', 1)
        self.gateway.config.write_text(text)

    def __enter__(self):
        self.gateway.__enter__()
        return self

    def __exit__(self, *why):
        self.gateway.__exit__(*why)

    def run_program(self):
        done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=120,
                              check=False, env={**os.environ, "BASE_URL": self.gateway.url + "/v1",
                                                "API_KEY": "sk-any"})
        expect(done.returncode, 0, done.stderr[-500:])
        return json.loads(done.stdout)


def cloud_answer(peer):
    expect(peer.json()["model"], "deepseek-v3.2")
    respond(peer, body=plain_answer("from the cloud", model="deepseek-v3.2"))




@test
def private_is_up():
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(Server("--served-model-name", MODEL))
        cloud = stack.enter_context(FaultUpstream(cloud_answer))
        house = stack.enter_context(House(engine.url + "/v1", cloud,
                                          upstream={"timeouts": {"connect": "1s", "first_byte": "20s"}}))
        got = house.run_program()
        expect((got["provider"], got["attempts"], got["asked"], got["errors"]),
               ("private-provider", "1", MODEL, []))
        expect_true(len(got["text"]) > 0 and got["tokens"] > 0, "an answer of the built-in model")
        expect_true(float(got["cost"].split()[0]) > 0, "a cost")
        expect(cloud.requests, [])


@test
def private_fails():
    with FaultUpstream(lambda p: respond(p, 500, {"error": {"message": "broken"}})) as private, \
            FaultUpstream(cloud_answer) as cloud, House(private, cloud) as house:
        got = house.run_program()
        expect((got["provider"], got["attempts"], got["text"], got["asked"], got["errors"]),
               ("cloud-provider", "2", "from the cloud", MODEL, []))


@test
def private_hangs():
    with FaultUpstream(lambda p: p.wait_gone(60)) as private, FaultUpstream(cloud_answer) as cloud, \
            House(private, cloud, upstream={"timeouts": {"connect": "1s", "first_byte": "5s"}}) as house:
        begun = time.monotonic()
        got = house.run_program()
        expect((got["provider"], got["asked"], got["errors"]), ("cloud-provider", MODEL, []))
        expect_true(time.monotonic() - begun < 25, "switched inside the first client's 30 s")


@test
def private_is_slower_than_the_gate():
    def slow(peer):
        time.sleep(2.6)
        answer_well(peer)
    with FaultUpstream(slow) as private, FaultUpstream(cloud_answer) as cloud, \
            House(private, cloud, upstream={"timeouts": {"connect": "1s", "first_byte": "10s"}},
                  model={"latency_gate": "2000ms", "on_slow": "warn"}) as house:
        got = house.run_program()
        expect((got["provider"], got["errors"]), ("private-provider", []))
        expect_true(float(got["latency_ms"]) > 2000, "latency in the answer")
        expect_in("slow_upstream", house.gateway.log())
        expect_true(house.gateway.metric("kontor_upstream_slow_total") >= 1, "the gate is counted")


@test
def a_slow_private_side_can_be_left():
    def slow(peer):
        peer.wait_gone(20)
    with FaultUpstream(slow) as private, FaultUpstream(cloud_answer) as cloud, \
            House(private, cloud, upstream={"timeouts": {"connect": "1s", "first_byte": "15s"}},
                  model={"latency_gate": "500ms", "on_slow": "next"}) as house:
        begun = time.monotonic()
        got = house.run_program()
        expect((got["provider"], got["errors"]), ("cloud-provider", []))
        expect_true(time.monotonic() - begun < 10, "moved on at the gate")


@test
def both_are_down():
    with House(DEAD.format(free_port()), DEAD.format(free_port())) as house:
        for _ in range(8):
            got = house.run_program()
            expect(len(got["errors"]), 2)
        expect([(e["type"], e["status"], e["code"]) for e in got["errors"]],
               [("InternalServerError", 503, "no_healthy_upstream")] * 2)


if __name__ == "__main__":
    main()
