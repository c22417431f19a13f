"""Programs that print TAP: run them, count, print one line each.  For tests/run.py and others."""
import concurrent.futures
import re
import subprocess
import time

ALLOWED_SKIPS = ("no material", "no hardware")  # by the beginning of the reason; others fail in CI
TAP_LINE = re.compile(r"^(ok|not ok)\b\s*(\d*)\s*-?\s*(.*)$")
SHOWN_LINES_MAX = 200


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
    except OSError as missing:
        result.notes.append(f"cannot run: {missing.strerror}")
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
        lines = result.output.splitlines()[-SHOWN_LINES_MAX:]
        print("\n".join("     | " + line for line in lines), flush=True)
    return result.passed, failed, skipped


def run_all(jobs, env, n_parallel, ci):
    """Run all, print as they end in order, print the sum.  Returns the exit status."""
    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(n_parallel) as pool:
        for result in pool.map(lambda job: run(job, env), jobs):
            totals = [a + b for a, b in zip(totals, report(result, ci))]
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not jobs else 0
