"""The foreign packages are there, in the versions that requirements.txt and package.json pin."""
import importlib.metadata
import json
import os
import pathlib
import subprocess

from harness import TESTS, expect, main, test

NAMES = {"jinja2": "Jinja2"}


@test
def python_packages_have_the_pinned_versions():
    for line in (TESTS / "peers" / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            expect(importlib.metadata.version(NAMES.get(name, name)), version, name)


@test
def node_packages_have_the_pinned_versions():
    wanted = json.loads((TESTS / "peers" / "package.json").read_text())["dependencies"]
    modules = pathlib.Path(os.environ["NODE_PATH"])
    for name, version in wanted.items():
        expect(json.loads((modules / name / "package.json").read_text())["version"], version, name)


@test
def node_can_load_the_client():
    script = "const OpenAI = require('openai'); console.log(typeof OpenAI)"
    done = subprocess.run([os.environ["KONTOR_NODE"], "-e", script], capture_output=True, text=True,
                          check=False)
    expect((done.returncode, done.stdout.strip()), (0, "function"), done.stderr[-500:])


if __name__ == "__main__":
    main()
