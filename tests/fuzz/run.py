#!/usr/bin/env python3
"""Run every libFuzzer target of build/fuzz for a while over its stored corpus.

    tests/fuzz/run.py [--seconds N] [TARGET ...]

New inputs go to build/fuzz/new/<target>/, so that a run does not change the repository; a finding
is left there as crash-*, and belongs into tests/fuzz/corpus/<target>/ together with the repair.
"""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "fuzz"
INPUT_BYTES_MAX = 65536


def fuzz(program, seconds):
    """True when nothing was found."""
    name = program.name[len("fuzz_"):]
    new = BUILD / "new" / name
    new.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(program), f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", "-timeout=10",
         "-print_final_stats=1", f"-artifact_prefix={new}/", str(new),
         str(ROOT / "tests" / "fuzz" / "corpus" / name)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    runs = [line.split()[-1] for line in done.stdout.splitlines() if "number_of_executed" in line]
    word = "ok" if done.returncode == 0 else "FAIL"
    print(f"{word:4} fuzz/{name:24} {runs[0] if runs else 0} runs", flush=True)
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
        print("\n".join("     | " + line[:300] for line in lines[-40:]))
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("targets", nargs="*")
    args = parser.parse_args()
    programs = [p for p in sorted((BUILD / "tests").glob("fuzz_*"))
                if p.is_file() and (not args.targets or p.name[len("fuzz_"):] in args.targets)]
    verdicts = [fuzz(program, args.seconds) for program in programs]
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed, 0 skipped")
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
