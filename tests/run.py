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
import json
import os
import pathlib
import sys

import tapjobs
from tapjobs import Job

TESTS = pathlib.Path(__file__).resolve().parent
SCRIPT_LIMIT_S = 180
SANITIZER_SLOWDOWN = 10


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
    return tapjobs.run_all(jobs, env, args.jobs, ci)


if __name__ == "__main__":
    sys.exit(main())
