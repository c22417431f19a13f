"""kontor doctor --log: the incident sets, every rule by its examples, encodings, bad input, output."""
import csv
import gzip
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import tempfile
import warnings

from harness import KONTOR, ROOT, TESTS, Server, expect, expect_in, expect_true, main, material, run, test

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import sre_constants
    import sre_parse

DATA = TESTS / "data"
RULE_FILES = sorted((ROOT / "share" / "doctor").glob("*.rules"))


def examine(data, *more):
    """(exit code, parsed JSON) of a log given as bytes or text on standard input."""
    if isinstance(data, str):
        data = data.encode()
    done = subprocess.run([str(KONTOR), "doctor", "--json", "--log", "-", *more], input=data,
                          capture_output=True, timeout=60, check=False)
    expect_true(done.returncode in (0, 1), done.stderr.decode(errors="replace"))
    return done.returncode, json.loads(done.stdout)


def rule_ids(answer):
    """Ids of all rules that matched: findings first, then what is related to them."""
    ids = [f["id"] for f in answer["findings"]]
    return ids + [r["rule"] for f in answer["findings"] for r in f.get("related", [])]


# ---- incidents ---------------------------------------------------------------------------------

def said(answer, log):
    """All texts of an answer without those that only repeat the log."""
    flat = re.sub(r"\s+", " ", log)
    texts = []
    for finding in answer["findings"]:
        for key in ("id", "title", "cause", "fix", "confirm", "evidence"):
            text = re.sub(r"\s+", " ", finding.get(key, "")).strip()
            if text and not (len(text) >= 8 and text in flat):
                texts.append(text)
    return "\n".join(texts)


def judge(folder):
    """Names of the cases of a folder that are not answered right."""
    missed = []
    with open(folder / "cases.tsv", encoding="utf-8") as table:
        cases = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    for case in cases:
        path = folder / case["file"]
        if path.suffix != ".log" or not path.exists():
            continue  # a script or manifest: another test's
        code, answer = examine(path.read_bytes())
        if case["key"] == "healthy":
            right = code == 0 and not answer["findings"]
        else:
            text = said(answer, path.read_text())
            right = code == 1 and re.search(case["right"], text, re.I) and (
                case["wrong"] == "-" or not re.search(case["wrong"], text, re.I))
        if not right:
            missed.append(case["file"])
    return missed


@test
def incidents_have_one_right_answer():
    for name in ("incidents", "incidents-own", "incidents-blind", "incidents-blind2", "incidents-kinds"):
        expect(judge(DATA / name), [], f"missed in {name}")


@test
def five_logs_of_circulating_instructions():
    answers = [
        (("RuntimeError: CUDA error: no kernel image is available for execution on the device\n"
          "NVIDIA driver 525.60 is not compatible with compute capability 8.6\n"
          "INFO 08-18 15:31:33 [__init__.py:235] Platform plugin ascend is activated\n"),
         "nvidia-no-kernel-image-elsewhere", "compute capability"),
        (("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 31.75 GiB total "
          "capacity; 28.50 GiB already allocated; 1.25 GiB free; 30.50 GiB reserved in total by PyTorch)\n"),
         "nvidia-oom-fragmented", "fragmentation"),
        (("requests.exceptions.ConnectTimeout: HTTPSConnectionPool(host='10.9.8.7', port=8000): Max retries exceeded "
          "with url: /v1/chat/completions (Caused by NewConnectionError: [Errno 110] Connection timed out)\n"),
         "client-tls-plain", "http://10.9.8.7:8000/health"),
        (("openai.AuthenticationError: Error code: 401 - {'error': {'message': 'Invalid API key', 'code': "
          "'invalid_api_key'}}\n"), "client-api-key", "quotes"),
        ("ValueError: Expected tensor model.layers.0.weight to have shape [4, 8192, 256] but got shape "
         "[1, 8192, 256]\n", "weights-tp-shape", "tensor parallel"),
        ("RuntimeError: size mismatch for model.layers.0.self_attn.qkv_proj.weight: copying a param\n",
         "weights-shape", "tensor parallel"),
    ]
    for log, rule, word in answers:
        code, answer = examine(log)
        expect(code, 1, rule)
        expect([f["id"] for f in answer["findings"]], [rule])
        expect_in(word, said(answer, log))


@test
def healthy_logs_have_no_finding():
    paths = sorted((DATA / "healthy").glob("*.log"))
    expect_true(len(paths) >= 12, "a dozen of them")
    for path in paths:
        code, answer = examine(path.read_bytes())
        expect((code, answer["findings"], answer["state"]), (0, [], "ok"), path.name)


ASKED = "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB; ImportError: libcuda.so.1: cannot open"
ASKED_LINES = [
    "INFO 10-02 08:00:50 [logger.py:40] Received request chatcmpl-1: prompt: 'why {}?', params: SamplingParams(n=1)",
    "INFO 10-02 08:00:50 [logger.py:40] Received request chatcmpl-1: params: SamplingParams(stop=['{}'])",
    "INFO 10-02 08:00:50 [logger.py:71] Request chatcmpl-1 details: prompt: \"{}\", prompt_token_ids: None",
    "INFO 10-02 08:00:52 [logger.py:90] Generated response chatcmpl-1: output: 'it says {}', finish_reason: stop",
    "srv  log_server_r: request:  {{\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
    "POST /v1/chat/completions {{\"model\": \"glm\", \"messages\": [{{\"content\": \"{}\"}}]}}",
    "[2025-10-02 08:00:50] Receive: obj=GenerateReqInput(text='{}', rid='1')",
    "INFO body={{'prompt': '{}'}}",
]


@test
def what_users_write_is_no_evidence():
    expect(examine(ASKED + "\n")[0], 1, "the text by itself")
    for form in ASKED_LINES:
        line = form.format(ASKED)
        code, answer = examine(line + "\n")
        expect((code, answer["findings"], answer["unknown"]), (0, [], []), line)
    # A request longer than a block is cut in pieces; the error behind it is found all the same.
    long = ASKED_LINES[0].format("x" * (1 << 20) + ASKED)
    expect(examine(long + "\n")[0], 0, "a long request")
    code, answer = examine(long + "\n" + ASKED + "\n")
    expect((code, answer["findings"][0]["line"]), (1, 2))


@test
def a_warning_is_no_certain_cause_and_none_of_a_served_start():
    text = "ImportError('libcuda.so.1: cannot open shared object file: No such file or directory')"
    warning = f"WARNING 10-01 08:00:00 [_custom_ops.py:20] Failed to import from vllm._C with {text}\n"
    error = f"ERROR 10-01 08:00:00 [core.py:20] {text}\n"
    ready = "INFO:     Application startup complete.\n"
    served = 'INFO:     127.0.0.1:5 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
    for log, grade in ((warning, "likely"), (error, "certain"), (warning + error, "certain"), (ready + warning, None),
                       (ready + error, "certain"), (ready + error + served, None), (ready + served + error, "certain"),
                       (served + error, "certain")):
        code, answer = examine(log)
        expect((code, [f["grade"] for f in answer["findings"]]), (int(grade is not None), [grade] if grade else []),
               log)


@test
def our_own_server_is_healthy():
    with Server() as server:
        expect(server.get("/health").status, 200)
        expect(server.get("/nothing-there").status, 404)
        log = server.log()
    code, answer = examine(log)
    expect((code, answer["findings"]), (0, []), log)


# ---- rules -------------------------------------------------------------------------------------

def read_rules():
    """All rules as dictionaries of lists, in the order of the files."""
    rules = []
    for path in RULE_FILES:
        rule = None
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, rest = line.strip().partition(" ")
            if key == "rule":
                rule = {"id": [rest.strip()]}
                rules.append(rule)
            elif key == "fact":
                rule = None
            elif rule is not None and key and not key.startswith("#"):
                rule.setdefault(key, []).append(rest if key == "example" else rest.strip())
    return rules


def facts_for(rule):
    """Options that make the conditions on facts hold."""
    options = []
    for test_line in rule.get("when", []):
        name, op, value = (test_line.split(" ", 2) + [""])[:3]
        value = {"<": "0.0.1", ">": "99.0"}.get(op, value or "yes")
        options += ["--fact", f"{name}={value}"]
    return options


@test
def every_rule_is_found_by_its_own_example():
    rules = read_rules()
    expect_true(len(rules) > 300, "the rules are read")
    missed = []
    for rule in rules:
        _, answer = examine("\n".join(rule["example"]) + "\n", *facts_for(rule))
        if rule_ids(answer)[:1] != rule["id"]:
            missed.append((rule["id"][0], rule_ids(answer)))
    expect(missed, [])


def sample_items(items, rng):
    """A text that a parsed pattern matches; look-arounds are ignored."""
    out = []
    for op, arg in items:
        if op is sre_constants.LITERAL:
            out.append(chr(arg))
        elif op is sre_constants.NOT_LITERAL:
            out.append("x" if arg != ord("x") else "y")
        elif op is sre_constants.ANY:
            out.append("z")
        elif op is sre_constants.IN:
            out.append(sample_class(arg))
        elif op is sre_constants.BRANCH:
            out.append(sample_items(rng.choice(arg[1]), rng))
        elif op is sre_constants.SUBPATTERN:
            out.append(sample_items(arg[-1], rng))
        elif op in (sre_constants.MAX_REPEAT, sre_constants.MIN_REPEAT):
            low, high, inner = arg
            for _ in range(rng.randint(low, min(high, low + 2))):
                out.append(sample_items(inner, rng))
    return "".join(out)


def sample_class(parts):
    for candidate in "3aZ_-. /'q\\":
        accepted = False
        negated = False
        for op, arg in parts:
            if op is sre_constants.NEGATE:
                negated = True
            elif op is sre_constants.LITERAL:
                accepted |= ord(candidate) == arg
            elif op is sre_constants.RANGE:
                accepted |= arg[0] <= ord(candidate) <= arg[1]
            elif op is sre_constants.CATEGORY:
                word = {sre_constants.CATEGORY_DIGIT: r"\d", sre_constants.CATEGORY_SPACE: r"\s",
                        sre_constants.CATEGORY_WORD: r"\w", sre_constants.CATEGORY_NOT_SPACE: r"\S",
                        sre_constants.CATEGORY_NOT_DIGIT: r"\D", sre_constants.CATEGORY_NOT_WORD: r"\W"}[arg]
                accepted |= re.match(word, candidate) is not None
        if accepted != negated:
            return candidate
    op, arg = next(p for p in parts if p[0] in (sre_constants.LITERAL, sre_constants.RANGE))
    return chr(arg if op is sre_constants.LITERAL else arg[0])


def sample(pattern, rng):
    """A line for "/regex/" that Python's engine agrees to."""
    regex = pattern[1:-1]
    for _ in range(200):
        line = sample_items(sre_parse.parse(regex), rng)
        if "\n" not in line and re.search(regex, line):
            return line
    raise AssertionError(f"no sample for {pattern}")


@test
def every_rule_is_found_by_lines_made_from_its_patterns():
    rng = random.Random(20)
    missed = []
    for rule in read_rules():
        lines = [sample(rng.choice(rule["match"]), rng)]
        lines += [sample(pattern, rng) for pattern in rule.get("all", [])]
        lines += [sample(pattern, rng) for pattern in rule.get("any", [])[:1]]
        log = "\n".join(lines) + "\n"
        if any(re.search(pattern[1:-1], line) for pattern in rule.get("none", []) for line in lines):
            continue  # this sample happens to meet an exclusion
        _, answer = examine(log, *facts_for(rule))
        if rule["id"][0] not in rule_ids(answer) and len(rule_ids(answer)) < 13:
            missed.append((rule["id"][0], rule_ids(answer), log))
    expect(missed, [])


@test
def quoted_lines_of_the_material_are_explained():
    table = material() / "facts" / "accelerators" / "doctor_examples.tsv"
    if not table.exists():
        table = material() / "accelerators" / "doctor_examples.tsv"
    silent = []
    for row in table.read_text(encoding="utf-8").splitlines()[1:]:
        rule, _, line = row.partition("\t")
        code, _ = examine(line + "\n")
        if code != 1:
            silent.append((rule, line))
    expect(silent, [])


@test
def the_page_of_the_rules_is_up_to_date():
    done = run("doctor", "--list-rules")
    expect(done.returncode, 0, done.stderr)
    page = (ROOT / "docs" / "doctor-rules.md").read_text(encoding="utf-8")
    expect_true(page == done.stdout, "docs/doctor-rules.md is what kontor doctor --list-rules prints")


@test
def own_rules_are_checked_and_used():
    with tempfile.TemporaryDirectory(prefix="kontor-doctor-") as tmp:
        good = pathlib.Path(tmp) / "good.rules"
        good.write_text("rule site-proxy\ntitle our gateway\nmatch /gateway (\\w+) said no/\n"
                        "cause The gateway {1} refuses.\nfix Ask for access.\nexample gateway north said no\n")
        code, answer = examine("gateway north said no\n", "--rules", str(good))
        expect((code, answer["findings"][0]["cause"]), (1, "The gateway north refuses."))
        bad = pathlib.Path(tmp) / "bad.rules"
        bad.write_text("match /lost/\nrule a\nmatch /(unclosed text/\nmatch /ab/\ngrade sure\ntitle x\n\n"
                       "rule engine-wrapper\ntitle t\nmatch /some text here/\ncause c\nfix f\n")
        done = run("doctor", "--log", "-", "--rules", bad, input_text="x\n")
        expect(done.returncode, 2)
        for line in ("bad.rules:1: ", "bad.rules:3: ", "bad.rules:4: ", "bad.rules:5: ", "bad.rules:2: this rule has "
                     "no cause", "bad.rules:8: there is a rule of this name", "bad.rules:8: this rule has no example"):
            expect_in(line, done.stderr)


@test
def captures_in_texts_are_checked():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "own.rules")
        text = ("rule own\ntitle {0}\nmatch /lost node (\\w+)|lost the (\\w+)|lost everything/\n"
                "cause c {{x}} {{\"a\": 1}}\nfix f\nexample lost node a1\n")
        for title in ("{3}", "{7}", "{0}", "{1|3|a node}", "{12}"):
            path.write_text(text.format(title))
            done = run("doctor", "--log", "/dev/null", "--rules", path)
            expect(done.returncode, 2, title)
            expect_in("own.rules:1: no match of this rule has a group", done.stderr)
        path.write_text(text.format("no {1|2|node} here"))
        for log, title in (("lost node a1", "no a1 here"), ("lost the b2", "no b2 here"),
                           ("lost everything", "no node here")):
            finding = examine(log + "\n", "--rules", str(path))[1]["findings"][0]
            expect((finding["title"], finding["cause"]), (title, 'c {x} {"a": 1}'))


# ---- input -------------------------------------------------------------------------------------

LOG = ("INFO 开始加载模型 /models/智谱\n错误：加载失败\n"
       "ImportError: libmccl.so.2: cannot open shared object file: No such file or directory\n")


@test
def an_expression_that_gives_up_is_no_no():
    rules = ("rule endless\ntitle t\nmatch /fatal: (a+)+$/\ncause c\nfix f\nexample fatal: aaaa\n"
             "fact word\nmatch /fatal: ((?:a+)+)$/\n")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "own.rules")
        path.write_text(rules)
        code, answer = examine("INFO fine\nfatal: " + "a" * 200 + "b\n", "--rules", str(path))
        expect((code, answer["state"]), (0, "unknown"))
        expect([(f["id"], f["line"]) for f in answer["unknown"]], [("endless", 2), ("word", 2)])
        expect_in("own.rules:1", answer["unknown"][0]["cause"])
        code, answer = examine("fatal: " + "a" * 200 + "b\nfatal: aa\n", "--rules", str(path))
        expect((code, answer["findings"][0]["id"]), (1, "endless"))
        # Many such lines cost no more than the first hundred.
        code, answer = examine(("fatal: " + "a" * 200 + "b\n") * 100000, "--rules", str(path))
        expect((code, len(answer["unknown"])), (0, 2))


@test
def a_pipe_is_a_log_but_no_rule_file():
    with tempfile.TemporaryDirectory() as folder:
        pipe = os.path.join(folder, "pipe")
        os.mkfifo(pipe)
        for args in (["--log", "/dev/null", "--rules", pipe], ["--list-rules", "--rules", pipe],
                     ["--log", "/dev/null", "--rules", folder], ["--log", "/dev/null", "--rules", "/dev/null"],
                     ["--file", pipe]):
            done = run("doctor", *args, limit_s=10)
            expect((done.returncode, done.stdout), (2, ""), args)
            expect_in("regular file", done.stderr)
        with subprocess.Popen([str(KONTOR), "doctor", "--log", pipe], stdout=subprocess.PIPE, text=True) as child:
            with open(pipe, "w", encoding="utf-8") as f:
                f.write("ImportError: libcuda.so.1: cannot open shared object file\n")
            expect_in("libcuda", child.communicate(timeout=10)[0])
            expect(child.returncode, 1)


@test
def encodings_are_recognised():
    for name, data in (("utf-8", LOG.encode()), ("utf-8 with mark", b"\xef\xbb\xbf" + LOG.encode()),
                       ("crlf", LOG.replace("\n", "\r\n").encode()), ("gb18030", LOG.encode("gb18030")),
                       ("utf-16 with mark", LOG.encode("utf-16")),
                       ("utf-16le", ("A plain line of text\n" * 4 + LOG).encode("utf-16-le")),
                       ("utf-16be", ("A plain line of text\n" * 4 + LOG).encode("utf-16-be")),
                       ("utf-32 with mark", LOG.encode("utf-32")),
                       ("utf-32be with mark", b"\0\0\xfe\xff" + LOG.encode("utf-32-be")),
                       ("utf-32le", ("A plain line of text\n" * 4 + LOG).encode("utf-32-le")),
                       ("utf-32be", ("A plain line of text\n" * 4 + LOG).encode("utf-32-be")),
                       ("utf-32 of many blocks", ("A plain line of text\n" * 40000 + LOG).encode("utf-32"))):
        code, answer = examine(data)
        expect((code, answer["findings"][0]["id"]), (1, "musa-mccl"), name)
        expect_in("cannot open shared object", answer["findings"][0]["evidence"])


@test
def colours_in_a_log_do_not_hide_an_error():
    code, answer = examine("\x1b[1;36m(EngineCore pid=7)\x1b[0;0m RuntimeError: \x1b[31mNo CUDA GPUs "
                           "are available\x1b[0m\n")
    expect((code, answer["findings"][0]["id"]), (1, "nvidia-no-device"))


@test
def endless_lines_are_bounded():
    line = b"x" * 3_000_001 + b" CUDA out of memory. Tried to allocate 2.00 GiB " + b"y" * 3_000_000
    code, answer = examine(b"first\n" + line + b"\nlast line\n")
    expect((code, answer["findings"][0]["id"]), (1, "nvidia-oom"))
    expect(answer["findings"][0]["line"], 2)
    expect_true(len(answer["findings"][0]["evidence"]) <= 400, "evidence is cut")


@test
def line_numbers_and_counts_are_right_across_blocks():
    filler = "INFO nothing to see in this line at all\n"
    n = 60_000  # over two blocks
    log = filler * n + "OSError: [Errno 28] No space left on device\n" + filler * n
    log += "OSError: [Errno 28] No space left on device\n"
    _, answer = examine(log)
    expect((answer["findings"][0]["line"], answer["findings"][0]["times"]), (n + 1, 2))


@test
def a_repeated_line_counts_as_often_as_it_stands_there():
    full = "RuntimeError: No CUDA GPUs are available\n"
    other = "ImportError: libcuda.so.1: cannot open shared object file\n"
    ready = "INFO:     Application startup complete.\n"
    for log, line, times in ((full * 5, 1, 5), (full * 2 + "x\n" + full * 3, 1, 5), (full * 30000, 1, 10000),
                             (full * 2 + ready * 3 + full * 4, 9, 6)):
        _, answer = examine(log)
        expect((answer["findings"][0]["line"], answer["findings"][0]["times"]), (line, times), log[:200])
    expect(examine(full * 3 + ready * 2)[0], 0, "ready in the end")
    expect(examine(other * 3 + full * 3 + (ready + other) * 2 + ready * 2)[0], 0, "ready in the end, several lines")
    _, answer = examine(full * 3 + other * 3)
    expect(sorted(rule_ids(answer)), sorted(set(rule_ids(examine(full + other)[1]))), "both lines")


def cpu_seconds(log):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    examine(log)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


@test
def a_repeated_line_costs_no_expressions():
    # Against lines that all match and all differ, on each of which the expressions must run.
    text = "ImportError: libcuda.so.1: cannot open shared object file"
    spam = f"{text} 123456\n" * 500_000
    differing = "".join(f"{text} {n:06}\n" for n in range(500_000))
    expect_true(min(cpu_seconds(spam) for _ in range(2)) < 0.6 * cpu_seconds(differing), "time of one line")


@test
def names_and_rules_do_not_steer_the_terminal():
    with tempfile.TemporaryDirectory() as folder:
        name = pathlib.Path(folder, "na\x1b[2J\u202eme")
        name.with_suffix(".log").write_text("ImportError: libcuda.so.1: cannot open shared object file\n")
        name.with_suffix(".rules").write_text("rule x\x1b[2J\u202e\nbogus\x1b[2J\x9b word\n", encoding="utf-8")
        name.with_suffix(".sh").write_text("#!/bin/sh\nvllm serve /m --device ascend\n")
        for args in (["--log", f"{name}.log"], ["--log", f"{name}.gone"], ["--file", f"{name}.sh", "--fix"],
                     ["--file", f"{name}.gone"], ["--log", f"{name}.log", "--rules", f"{name}.rules"],
                     ["--list-rules", "--rules", f"{name}.gone"]):
            done = run("doctor", *args)
            said_all = done.stdout + done.stderr
            expect_true("na" in said_all and "me" in said_all, said_all)
            expect_true(not re.search("[\x1b\x80-\x9f\u202e]", said_all), ascii(said_all))


@test
def an_answer_that_cannot_be_written_is_no_answer():
    for args in (["--log", "/dev/null"], ["--log", "/dev/null", "--json"], ["--list-rules"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([str(KONTOR), "doctor", *args], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=60, check=False)
        expect(done.returncode, 2, args)
        expect_in("cannot be written", done.stderr)


@test
def options_that_would_do_nothing_are_refused():
    for args in (["--fix"], ["--fix", "--log", "/dev/null"], ["--file", "x.sh", "--force"]):
        done = run("doctor", *args)
        expect((done.returncode, done.stdout), (2, ""), args)
        expect_in("--f", done.stderr)


@test
def unreadable_input_is_refused():
    with tempfile.TemporaryDirectory(prefix="kontor-doctor-") as tmp:
        folder = pathlib.Path(tmp)
        (folder / "packed.log.gz").write_bytes(gzip.compress(b"text\n" * 100))
        (folder / "program").write_bytes(b"\x7fELF" + bytes(range(256)) * 20)
        (folder / "noise").write_bytes(bytes((i * 7 + i // 3) % 32 for i in range(5000)))
        for name, words in (("packed.log.gz", "gunzip"), ("program", "a program"), ("noise", "is no text"),
                            ("missing.log", "No such file"), (".", "is a folder")):
            done = run("doctor", "--json", "--log", folder / name)
            expect((done.returncode, done.stdout), (2, ""), name)
            expect_in(words, done.stderr)
    empty = run("doctor", "--log", "-", input_text="")
    expect(empty.returncode, 0, empty.stderr)


@test
def random_bytes_never_crash():
    rng = random.Random(4)
    seed = (DATA / "incidents" / "15-kv-shared-card.log").read_bytes()
    for _ in range(60):
        data = bytearray(seed * 3)
        for _ in range(rng.randint(1, 40)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        done = subprocess.run([str(KONTOR), "doctor", "--json", "--log", "-"], input=bytes(data), capture_output=True,
                              timeout=60, check=False)
        expect_true(done.returncode in (0, 1, 2), f"exit {done.returncode}")
        if done.returncode != 2:
            json.loads(done.stdout)


# ---- answers -----------------------------------------------------------------------------------

@test
def a_later_good_start_takes_back_start_errors():
    bad = "OSError: [Errno 98] Address already in use\n"
    ready = "INFO:     Application startup complete.\n"
    expect(examine(bad)[0], 1)
    expect(examine(bad + ready)[0], 0)
    code, answer = examine(ready + "x\n" * 3 + bad)
    expect((code, answer["findings"][0]["line"]), (1, 5))
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB.\n"
    expect(examine(oom + ready)[0], 1, "errors while running stay")


@test
def an_unexplained_error_is_named_and_not_guessed():
    log = ('  File "/opt/v/lib/python3.11/site-packages/frobnicate/core.py", line 3, in go\n'
           "FrobnicationError: the widget is upside down\n")
    code, answer = examine(log)
    expect((code, answer["state"], answer["findings"]), (0, "unknown", []))
    expect(answer["unknown"][0]["line"], 2)
    expect_in("frobnicate", answer["unknown"][0]["cause"])


@test
def the_cause_comes_before_its_consequences():
    log = ("ERROR [core.py:845] EngineCore failed to start.\n"
           "ImportError: libhccl.so: cannot open shared object file: No such file or directory\n"
           "RuntimeError: Engine core initialization failed. See root cause above.\n")
    _, answer = examine(log)
    expect(answer["findings"][0]["id"], "ascend-toolkit-library")
    expect_in("engine-wrapper", rule_ids(answer)[1:])


@test
def facts_come_from_the_log_and_the_command_line():
    _, answer = examine("INFO vLLM API server version 0.10.0\nPython 3.11.9\n", "--engine", "vllm-ascend",
                        "--fact", "cann=8.2.RC1")
    facts = {(f["name"], f["value"]) for f in answer["facts"]}
    for fact in (("vllm", "0.10.0"), ("python", "3.11"), ("engine", "vllm-ascend"), ("cann", "8.2.RC1")):
        expect_true(fact in facts, f"{fact} in {facts}")


@test
def text_fits_a_terminal_and_has_no_colour_without_one():
    path = DATA / "incidents" / "03-device-type-a3.log"
    done = run("doctor", "--log", path)
    expect(done.returncode, 1)
    expect_true("\x1b" not in done.stdout, "no colour in a pipe")
    expect_in(f"{path}:4", done.stdout)
    for word in ("cause", "fix", "-a3", "verdict: 1 problem found."):
        expect_in(word, done.stdout)
    for line in done.stdout.splitlines():
        expect_true(len(line) <= 80 or " " not in line.strip() or str(path) in line, f"80 columns: {line}")
    expect_in("\x1b[", run("doctor", "--log", path, "--color", "always").stdout)
    hostile = run("doctor", "--log", "-",
                  input_text="\x1b]0;title\x07 \x1b[2J[Errno 28] No space left on device\n")
    expect_true("\x1b" not in hostile.stdout and "\x07" not in hostile.stdout, "control characters are not passed on")


@test
def several_logs_make_one_report():
    folder = DATA / "incidents"
    done = run("doctor", "--json", "--log", folder / "19-libcudart12.log", folder / "49-dkms-612.log",
               DATA / "healthy" / "redis.log")
    expect(done.returncode, 1)
    expect([f["id"] for f in json.loads(done.stdout)["findings"]], ["nvidia-toolkit-library", "musa-dkms"])


@test
def memory_does_not_grow_with_the_log():
    block = (b"INFO 09-02 08:00:00 [loggers.py:127] Engine 000: running: 0 reqs, waiting: 0 reqs\n" * 12_000)
    peaks = []
    for n in (4, 64):
        child = subprocess.Popen([str(KONTOR), "doctor", "--log", "-"], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL)
        for _ in range(n):
            child.stdin.write(block)
        child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        expect(child.returncode, 0)
        peaks.append(usage.ru_maxrss)
    expect_true(peaks[1] < 1.5 * peaks[0], f"peak of 4 and 64 blocks in KiB: {peaks}")


@test
def an_interrupted_pipe_is_no_crash():
    child = subprocess.Popen([str(KONTOR), "doctor", "--log", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(b"INFO line\n" * 1000)
    child.stdin.flush()
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=20)
    expect_true(child.returncode in (0, -signal.SIGTERM), f"exit {child.returncode}")


if __name__ == "__main__":
    main()
