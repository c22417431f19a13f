#!/usr/bin/env python3
"""Run the benchmarks and print, for each, machine, commit and command above its rows.

    bench/run.py [NAME ...]

The rows are ratios within one run; copy them into docs/speed-log.md with the heading lines.
"""
import json
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def n_cpus():
    return len([line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("processor")])


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown commit"


def programs(names):
    """Executables of bench/meson.build, in its order."""
    targets = json.loads((BUILD / "meson-info" / "intro-targets.json").read_text())
    for target in targets:
        path = pathlib.Path(target["filename"][0])
        if target["type"] == "executable" and path.parent == BUILD / "bench":
            if not names or path.name in names:
                yield path


def main():
    subprocess.run(["ninja", "-C", str(BUILD), "bench-programs"], check=True,
                   stdout=subprocess.DEVNULL)
    failed = 0
    for program in programs(sys.argv[1:]):
        print(f"### {program.name}: {cpu_name()}, {n_cpus()} CPUs, {commit()}, "
              f"`build/bench/{program.name}`\n", flush=True)
        failed += subprocess.run([str(program)], check=False).returncode != 0
        print(flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
