#!/usr/bin/env python3
"""`make check`: format, tidy, warnings of both compilers as errors, clang-tidy; sums up as tests.

    tools/check.py            all steps; `N passed, N failed, N skipped`
    tools/check.py STEP ...   some of: format tidy scripts gcc clang clang-tidy
    tools/check.py --format   rewrite C files with clang-format and wrap comments that are too wide

Standard library only; build folders are build/check-gcc and build/check-clang.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLANG_MAJOR = 14
N_JOBS = min(os.cpu_count() or 1, 8)
FORMAT_BATCH = 20


def run(command, **options):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **options)


def tool(name):
    """Path of a clang tool of the version whose output is agreed on, or None."""
    for candidate in (f"{name}-{CLANG_MAJOR}", name):
        path = shutil.which(candidate)
        if path and f"version {CLANG_MAJOR}." in run([path, "--version"]).stdout:
            return path
    return None


def tracked(*patterns):
    done = run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns])
    return [p for p in done.stdout.splitlines() if (ROOT / p).is_file()]


def c_files():
    return tracked("*.c", "*.h", "*.cu", "*.cuh")


def in_parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(N_JOBS) as pool:
        return list(pool.map(function, items))


def batches(items):
    return [items[i:i + FORMAT_BATCH] for i in range(0, len(items), FORMAT_BATCH)]


def step_format():
    """clang-format would change nothing"""
    program = tool("clang-format")
    if not program:
        return f"clang-format {CLANG_MAJOR} is missing (tools/deps.sh check)"
    done = in_parallel(lambda files: run([program, "--dry-run", "-Werror", *files]),
                       batches(c_files()))
    places = re.findall(r"^(\S+:\d+):\d+: error", "".join(d.stdout for d in done), re.MULTILINE)
    lines = sorted(set(places))
    return "\n".join([*lines, "`make format` repairs this"]) if lines else None


def step_tidy():
    """tools/tidy.py has no finding"""
    done = run([sys.executable, "tools/tidy.py"])
    return done.stdout if done.returncode else None


def step_scripts():
    """shell and python scripts parse"""
    faults = []
    for path in tracked("*.sh", ".ci/run"):
        shell = "bash" if "bash" in (ROOT / path).read_text().split("\n", 1)[0] else "sh"
        done = run([shell, "-n", path])
        if done.returncode:
            faults.append(done.stdout)
    for path in tracked("*.py"):
        try:
            compile((ROOT / path).read_text(), path, "exec")
        except SyntaxError as error:
            faults.append(f"{path}:{error.lineno}: {error.msg}\n")
    return "".join(faults) or None


def build(folder, compiler):
    path = ROOT / "build" / folder
    if not (path / "build.ninja").exists():
        done = run(["meson", "setup", str(path), "-Dwerror=true", "-Dddchecks=true"],
                   env={**os.environ, "CC": compiler})
        if done.returncode:
            shutil.rmtree(path, ignore_errors=True)
            return done.stdout
    done = run(["ninja", "-k0", f"-j{N_JOBS}", "-C", str(path)])
    lines = [line for line in done.stdout.splitlines() if not re.match(r"\[\d+/\d+\]", line)]
    return "\n".join(lines) if done.returncode else None


def step_gcc():
    """everything compiles with gcc -Werror"""
    return build("check-gcc", "gcc")


def step_clang():
    """everything compiles with clang -Werror"""
    program = tool("clang")
    return build("check-clang", program) if program else f"clang {CLANG_MAJOR} is missing"


def with_headers(path, seen):
    """Add `path` and the project headers it includes, directly or not, to `seen`."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for name in re.findall(r'^#include "([^"]+)"', path.read_text(errors="replace"), re.MULTILINE):
        for folder in (ROOT / "src", ROOT / "tests", path.parent):
            with_headers(folder / name, seen)


def fingerprint(path, command):
    """Changes with everything that a finding in this file can depend on."""
    seen = set()
    with_headers(path, seen)
    digest = hashlib.sha256(command.encode())
    for part in [ROOT / ".clang-tidy", *sorted(seen)]:
        digest.update(part.read_bytes())
    return digest.hexdigest()


def clang_tidy(program, folder, path, command):
    """Findings in one file, or "".  A clean file is remembered and not looked at again."""
    stamp = folder / "tidy-clean" / fingerprint(path, command)
    if stamp.exists():
        return ""
    # the analyzer walks every path of a function: worth its time in the program, not in its tests
    checks = [] if ROOT / "src" in path.parents else ["--checks=-clang-analyzer-*"]
    done = run([program, "--quiet", *checks, "-p", str(folder), str(path)])
    if done.returncode:
        return done.stdout
    stamp.parent.mkdir(exist_ok=True)
    stamp.touch()
    return ""


def step_clang_tidy():
    """clang-tidy has no finding"""
    program = tool("clang-tidy")
    folder = ROOT / "build" / "check-clang"
    if not program or not (folder / "compile_commands.json").exists():
        return f"clang-tidy {CLANG_MAJOR} or build/check-clang is missing"
    commands = {(pathlib.Path(e["directory"]) / e["file"]).resolve(): e["command"]
                for e in json.loads((folder / "compile_commands.json").read_text())}
    done = in_parallel(lambda item: clang_tidy(program, folder, *item), sorted(commands.items()))
    return "".join(done) or None


STEPS = {
    "format": step_format,
    "tidy": step_tidy,
    "scripts": step_scripts,
    "gcc": step_gcc,
    "clang": step_clang,
    "clang-tidy": step_clang_tidy,
}


def rewrite():
    program = tool("clang-format")
    if not program:
        sys.exit(f"clang-format {CLANG_MAJOR} is missing: tools/deps.sh check names the package")
    files = c_files()
    for batch in batches(files):
        run([sys.executable, "tools/wrap_comments.py", *batch])
    in_parallel(lambda batch: run([program, "-i", *batch]), batches(files))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--format", action="store_true")
    parser.add_argument("steps", nargs="*", choices=[[], *STEPS])
    args = parser.parse_args()
    if args.format:
        rewrite()
        return 0
    failed = 0
    names = args.steps or list(STEPS)
    for name in names:
        begin = time.monotonic()
        fault = STEPS[name]()
        seconds = time.monotonic() - begin
        word = "FAIL" if fault else "ok"
        print(f"{word:4} check/{name:26} {STEPS[name].__doc__}  [{seconds:.1f} s]", flush=True)
        if fault:
            failed += 1
            print("\n".join("     | " + line for line in fault.splitlines()[-200:]), flush=True)
    print(f"{len(names) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
