"""kontor doctor --file: incidents, healthy files, a bad set corrected, output, bad input."""
import csv
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from harness import KONTOR, TESTS, expect, expect_in, expect_true, main, skip, test

DATA = TESTS / "data"


def doctor(*args, cwd=None):
    return subprocess.run([str(KONTOR), "doctor", *map(str, args)], capture_output=True, text=True, timeout=60,
                          cwd=cwd, check=False)


def examine(path, *more):
    """(exit code, parsed JSON) of one file."""
    done = doctor("--json", "--file", path, *more)
    expect_true(done.returncode in (0, 1), done.stderr)
    return done.returncode, json.loads(done.stdout)


def said(answer, text):
    """What the findings say, without what only repeats the file."""
    flat = re.sub(r"\s+", " ", text)
    words = (re.sub(r"\s+", " ", f.get(key, "")).strip() for f in answer["findings"]
             for key in ("id", "title", "cause", "fix", "confirm"))
    return "\n".join(w for w in words if w and w not in flat)


@test
def incidents_are_explained():
    with open(DATA / "incidents" / "cases.tsv", encoding="utf-8") as f:
        cases = [r for r in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
                 if not r["file"].endswith(".log")]
    expect(len(cases), 7, "incident files")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            source = DATA / "incidents" / case["file"]
            neutral = "Dockerfile" if source.suffix == ".Dockerfile" else "case" + source.suffix
            copy = pathlib.Path(folder, neutral)
            shutil.copyfile(source, copy)
            code, answer = examine(copy)
            text = said(answer, source.read_text(encoding="utf-8"))
            expect(code, 1, case["file"])
            expect_true(re.search(case["right"], text, re.I), f"{case['file']}: {text}")
            expect_true(case["wrong"] == "-" or not re.search(case["wrong"], text, re.I), case["file"])


@test
def healthy_files_are_left_alone():
    files = sorted((DATA / "files-healthy").iterdir())
    expect_true(len(files) >= 6, "healthy files")
    for path in files:
        code, answer = examine(path)
        expect(code, 0, f"{path.name}: {answer['findings']}")
        expect(answer["findings"], [], path.name)
        expect_true(all(line["verdict"] == "kept" for line in answer["files"][0]["lines"]), path.name)


def corrected(folder, name):
    """Copy a bad file there, correct it; path of the result."""
    shutil.copyfile(DATA / "files-bad" / name, pathlib.Path(folder, name))
    done = doctor("--file", name, "--fix", cwd=folder)
    expect(done.returncode, 1, done.stderr)
    stem, _, ending = name.rpartition(".")
    result = pathlib.Path(folder, f"{stem}.fixed.{ending}" if stem else f"{name}.fixed")
    expect_true(result.exists(), f"{result.name} is written")
    again = doctor("--file", result)
    expect(again.returncode, 0, f"{name} corrected: {again.stdout}")
    return result


@test
def bad_script_becomes_a_good_one():
    with tempfile.TemporaryDirectory() as folder:
        path = corrected(folder, "start.sh")
        text = path.read_text(encoding="utf-8")
        expect(subprocess.run(["bash", "-n", str(path)], check=False).returncode, 0, "bash -n")
        for wrong in ("llm \\", "--device", "prefill-chunk-size", "lookahead", "1048576", "tee", "/tokenizer"):
            expect_true(wrong not in text, f"{wrong} in {text}")
        expect_in("--tensor-parallel-size 4", text)


@test
def bad_dockerfile_becomes_a_good_one():
    known = {"FROM", "RUN", "CMD", "ENV", "COPY", "HEALTHCHECK", "SHELL"}
    with tempfile.TemporaryDirectory() as folder:
        text = corrected(folder, "Dockerfile").read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        expect_true(lines[0].startswith("FROM "), lines[0])
        expect_true({line.split()[0] for line in lines} <= known, text)
        for line in lines:
            name, _, rest = line.partition(" ")
            if name == "CMD":
                expect(json.loads(rest)[:2], ["vllm", "serve"], "CMD is JSON")
            expect_true("apt-get install" not in line or " -y" in line, line)
        expect_true("HF_TOKEN" not in text and "mindspore" not in text, text)


@test
def bad_compose_file_becomes_a_good_one():
    with tempfile.TemporaryDirectory() as folder:
        text = corrected(folder, "docker-compose.yml").read_text(encoding="utf-8")
        expect_true("driver: ascend" not in text and '"/models' not in text and " \\" not in text, text)
        expect_in("shm_size", text)


@test
def corrected_compose_file_passes_docker_compose():
    program = shutil.which("docker-compose")
    if program is None:
        skip("no docker-compose")
    with tempfile.TemporaryDirectory() as folder:
        path = corrected(folder, "docker-compose.yml")
        done = subprocess.run([program, "-f", str(path), "config", "-q"], capture_output=True, text=True, timeout=60,
                              check=False)
        expect(done.returncode, 0, done.stderr)


@test
def bad_daemon_json_becomes_a_good_one():
    with tempfile.TemporaryDirectory() as folder:
        made = json.loads(corrected(folder, "daemon.json").read_text(encoding="utf-8"))
        expect(made["log-opts"]["max-file"], "3", "strings")
        expect_in("Ascend-Docker-Runtime", made["runtimes"]["ascend"]["path"])


@test
def corrected_file_is_never_overwritten_unasked():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, ".env")
        made = pathlib.Path(folder, ".env.fixed")
        path.write_text("HCCL_BUFFSIZE=1048576\n", encoding="utf-8")
        made.write_text("mine\n", encoding="utf-8")
        done = doctor("--file", path, "--fix")
        expect(done.returncode, 2, done.stdout)
        expect_in("--force", done.stderr)
        expect(made.read_text(encoding="utf-8"), "mine\n", "untouched")
        expect(doctor("--file", path, "--fix", "--force").returncode, 1, "with --force")
        expect(made.read_text(encoding="utf-8"), "HCCL_BUFFSIZE=200\n", "corrected")
        expect(path.read_text(encoding="utf-8"), "HCCL_BUFFSIZE=1048576\n", "the file itself")
        expect(sorted(os.listdir(folder)), [".env", ".env.fixed"], "nothing else is left")


@test
def output_fits_a_terminal_and_has_no_colour_in_a_pipe():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(DATA / "files-bad" / "start.sh", pathlib.Path(folder, "start.sh"))
        done = doctor("--file", "start.sh", cwd=folder)
        expect_true("\033" not in done.stdout, "no colour")
        for line in done.stdout.splitlines():
            expect_true(len(line) <= 80, line)
        for word in ("kept", "translated", "because:", "to:", "verdict:"):
            expect_in(word, done.stdout)
        expect_in("\033[", doctor("--file", "start.sh", "--color", "always", cwd=folder).stdout)


@test
def what_cannot_be_judged_is_refused():
    bad = {"a.sh": b"\x00\x01\x02\x7fELF" * 100, "daemon.json": b'{"runtimes": {"a"', "c.yml": b"services: {a: [b",
           "notes": b"just some words\n", "deep.yml": b"[" * 90 + b"]" * 90, "deep.json": b"[" * 5000,
           "empty.sh": b"", "big.sh": b"#" * (5 << 20), "lines.sh": b"#!/bin/sh\n" + b"\n" * 200000,
           "self.yml": b"services: &a\n  x: *a\n", "flow.yml": b"services: " + b"[" * (1 << 20),
           "pod.yml": b"apiVersion: v1\nkind: Pod\nspec: " + b"{a: " * (1 << 18)}
    with tempfile.TemporaryDirectory() as folder:
        for name, data in bad.items():
            path = pathlib.Path(folder, name)
            path.write_bytes(data)
            done = doctor("--file", path, "--fix")
            expect(done.returncode, 2, f"{name}: {done.stdout}")
            expect_true(done.stderr.count("\n") <= 3 and len(done.stderr) > 20, f"{name}: {done.stderr}")
        expect(sorted(os.listdir(folder)), sorted(bad), "nothing is written")
        expect(doctor("--file", pathlib.Path(folder, "missing.sh")).returncode, 2, "missing")
        expect(doctor("--file", folder).returncode, 2, "a folder")


if __name__ == "__main__":
    main()
