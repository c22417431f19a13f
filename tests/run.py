#!/usr/bin/env python3
"""Run every test of a build and sum up: `N passed, N failed, N skipped`.

    tests/run.py [--build DIR] [--campaign] [PATTERN ...]

Test programs and corpus drivers are those meson knows (their meson.build lists); end-to-end tests
are tests/e2e/*_test.py, tests of the tools tests/tools/*_test.py.  All of them print TAP.  PATTERN
picks by "group/name", for example `unit/json` or `e2e`.
With CI=true a skip is a failure unless its reason starts with "no material" or "no hardware".
Standard library only.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parent
SCRIPT_LIMIT_S = 180
SANITIZER_SLOWDOWN = 10
ALLOWED_SKIPS = ("no material", "no hardware")
TAP_LINE = re.compile(r"^(ok|not ok)\b\s*(\d*)\s*-?\s*(.*)$")


class Job:
    """One program that prints TAP."""

    def __init__(self, name, command, limit_s):
        self.name = name
        self.command = command
        self.limit_s = limit_s


class Result:
    def __init__(self, job):
        self.job = job
        self.passed = 0
        self.failed = 0
        self.skips = []
        self.notes = []
        self.output = ""
        self.seconds = 0.0


def read_tap(output, result):
    """Count TAP lines; cmocka prints a skip's reason on a line of its own before it."""
    reason = ""
    for line in output.splitlines():
        if line.startswith("# skip reason: "):
            reason = line[len("# skip reason: "):]
            continue
        match = TAP_LINE.match(line)
        if not match:
            continue
        verdict, _, text = match.groups()
        skip = re.search(r"#\s*SKIP\b\s*(.*)$", text, re.IGNORECASE)
        if skip:
            result.skips.append(reason or skip.group(1) or "no reason given")
            reason = ""
        elif verdict == "ok":
            result.passed += 1
        else:
            result.failed += 1


def run(job, env):
    result = Result(job)
    begin = time.monotonic()
    try:
        done = subprocess.run(job.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=env, timeout=job.limit_s, check=False)
        result.output = done.stdout.decode("utf-8", "replace")
        code = done.returncode
    except subprocess.TimeoutExpired as late:
        result.output = (late.stdout or b"").decode("utf-8", "replace")
        result.notes.append(f"stopped after {job.limit_s} s")
        code = -1
    result.seconds = time.monotonic() - begin
    read_tap(result.output, result)
    if code != 0 and result.failed == 0:
        result.failed += 1
        result.notes.append(f"exit status {code}")
    if result.passed + result.failed + len(result.skips) == 0:
        result.failed += 1
        result.notes.append("no test ran")
    return result


def meson_jobs(build, slowdown):
    listing = build / "meson-info" / "intro-tests.json"
    if not listing.exists():
        sys.exit(f"{build} is not configured: run `make build` first")
    for test in json.loads(listing.read_text()):
        group = test["suite"][0].split(":")[-1]
        yield Job(f"{group}/{test['name']}", test["cmd"], test["timeout"] * slowdown)


def script_jobs(slowdown):
    for group in ("tools", "e2e"):
        for path in sorted((TESTS / group).glob("*_test.py")):
            yield Job(f"{group}/{path.name.removesuffix('_test.py')}", [sys.executable, str(path)],
                      SCRIPT_LIMIT_S * slowdown)


def is_sanitized(build):
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    return any(o["name"] == "b_sanitize" and o["value"] != "none" for o in options)


def report(result, ci):
    """Print one line, and the output when something failed.  Returns (passed, failed, skipped)."""
    failed = result.failed
    skipped = len(result.skips)
    for reason in result.skips:
        if ci and not reason.startswith(ALLOWED_SKIPS):
            result.notes.append(f"skipped in CI: {reason}")
            failed += 1
            skipped -= 1
    word = "FAIL" if failed else "ok"
    counts = f"{result.passed} passed"
    if failed:
        counts += f", {failed} failed"
    if skipped:
        counts += f", {skipped} skipped ({'; '.join(sorted(set(result.skips)))})"
    print(f"{word:4} {result.job.name:32} {counts}  [{result.seconds:.1f} s]", flush=True)
    if failed:
        for note in result.notes:
            print(f"     {note}")
        print("     command: " + " ".join(result.job.command))
        print("\n".join("     | " + line for line in result.output.splitlines()[-200:]), flush=True)
    return result.passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(description="Run the tests and sum up.")
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--campaign", action="store_true", help="also the long proofs")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("patterns", nargs="*")
    args = parser.parse_args()
    ci = os.environ.get("CI", "") == "true"
    slowdown = SANITIZER_SLOWDOWN if is_sanitized(args.build) else 1
    env = dict(os.environ, KONTOR_TEST_DATA=str(TESTS), KONTOR_BUILD=str(args.build.resolve()))
    if args.campaign:
        env["KONTOR_CAMPAIGN"] = "1"
        slowdown *= 20
    jobs = [j for j in [*meson_jobs(args.build, slowdown), *script_jobs(slowdown)]
            if not args.patterns or any(p in j.name for p in args.patterns)]
    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for result in pool.map(lambda job: run(job, env), jobs):
            totals = [a + b for a, b in zip(totals, report(result, ci))]
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
