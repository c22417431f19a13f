"""The openai package for node against the gateway: runs openai_node.mjs."""
import os
import pathlib
import shutil
import subprocess

from fake_server import FakeServer, MODEL
from harness import expect, expect_true, main, test, wait_until

KEY = "sk-peer-0123456789"
SCRIPT = pathlib.Path(__file__).with_name("openai_node.mjs")
CHECKS = 6


@test
def every_check_of_the_node_client_passes():
    copy = pathlib.Path(os.environ["KONTOR_NODE_FOLDER"]) / SCRIPT.name
    shutil.copy(SCRIPT, copy)  # import looks for node_modules beside the script
    with FakeServer(keys=[KEY]) as server:
        done = subprocess.run([os.environ["KONTOR_NODE"], str(copy), server.url + "/v1", KEY, MODEL],
                              capture_output=True, text=True, timeout=120, check=False)
        expect_true("not ok" not in done.stdout, done.stdout + done.stderr)
        expect(done.stdout.count("ok "), CHECKS, done.stdout + done.stderr)
        wait_until(lambda: server.running() == 0, "the dropped stream's slot is free", 1)
        expect(server.cancels(), 1.0)


if __name__ == "__main__":
    main()
