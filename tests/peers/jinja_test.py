"""Chat templates rendered here and by Jinja2, set up as the publishers of checkpoints do.

The cases of tests/unit/jinja_cases must be what Jinja2 says; random templates made of the same
grammar, and mutations of the cases, must render to the same text or fail in both.  Alone, for longer:

    build/venv/bin/python tests/peers/jinja_test.py --random 100000 --seed 7
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness import BUILD, TESTS, expect, main, test

RANDOM_TEMPLATES = 6000
MUTATED_TEMPLATES = 6000
PEER_LIMIT_S = 1.0
TOO_SLOW = "too slow"
BATCH = 500
# What Python prints for functions, methods and generators is no text of a prompt.
# Where we refuse and Jinja2 does not: subscripts of constants, which it folds in a way that hides
# their faults, and slips that it lets pass (an empty index, a comment that begins at the end of the
# text, half a surrogate pair, double underscores of undefined values).
STRICTER = re.compile(r"is printed|cannot be sliced|a slice needs integers|expected an index|"
                      r"has no '#}'|has no {% endraw|names no character|has no '__")
# What Python prints for functions, methods and generators is no text of a prompt.
ADDRESS = re.compile(r"<(function|built-in|bound|generator|class|method)|0x[0-9a-f]{6}| object at ")
TOKEN = re.compile(r"\{%[-+]?|[-+]?%\}|\{\{-?|-?\}\}|\{#|#\}|'[^']*'|\"[^\"]*\"|\w+|\s+|[^\w\s]")


class Generation(jinja2.ext.Extension):
    """{% generation %} marks what the model wrote; its text is rendered as it stands."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("write", [], lineno=line)
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def write(self, caller):
        return caller()


def environment():
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[jinja2.ext.loopcontrols, Generation])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


ENV = environment()


def unit_cases():
    for path in sorted((TESTS / "unit" / "jinja_cases").glob("*.json")):
        yield from json.loads(path.read_text())


class PeerTooSlow(BaseException):
    """Jinja2 has no limits: a mutated template may loop for ever there."""


def give_up(_number, _frame):
    raise PeerTooSlow


signal.signal(signal.SIGALRM, give_up)


def render_there(case):
    """Text, or None and the fault."""
    variables = dict(case.get("kwargs") or {})
    for name in ("messages", "tools"):
        if case.get(name) is not None:
            variables[name] = case[name]
    variables["add_generation_prompt"] = case.get("add_generation_prompt", False)
    signal.setitimer(signal.ITIMER_REAL, PEER_LIMIT_S)
    try:
        return ENV.from_string(case["template"]).render(**variables), None
    except PeerTooSlow:
        return None, TOO_SLOW
    except Exception as fault:  # pylint: disable=broad-except
        return None, f"{type(fault).__name__}: {fault}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def render_here(cases):
    program = BUILD / "tests" / "render_template"
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([str(program)], input=lines.encode(), capture_output=True, check=False)
    expect(done.returncode, 0, done.stderr.decode("utf-8", "replace")[-3000:])
    answers = [json.loads(line) for line in done.stdout.split(b"\n") if line]
    expect(len(answers), len(cases))
    return answers


class Maker:
    """Random templates.  Mostly of fitting types, so that most of them render."""

    NAMES = ["x", "y", "s", "n", "d", "l", "m", "u", "t", "ns", "k", "v"]
    WORDS = ["", "a", "b", "ab", "aba", " a ", "\\n", "x\\ny", "it's", "\\u00e9", "\u4e2d\u6587",
             "A b", "<think>", "</think>", "a,b,c", "\\t", "0", "None", "\U0001f600"]
    FIELDS = ["a", "b", "name", "items", "role", "content", "get", "type", "zz"]
    FILTERS = ["length", "capitalize", "string", "trim", "lower", "upper", "first", "last", "list",
               "tojson", "default('q')", "default('q', true)", "join", "join('-')", "items",
               "replace('a', 'bb')", "replace('b', '', 1)", "tojson(indent=2)",
               "tojson(ensure_ascii=true)", "trim('a')", "count", "d(1)",
               "tojson(indent=1, ensure_ascii=false)"]
    TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number",
             "integer", "float", "boolean", "true", "false", "eq 1", "in [1, 'a']", "ne('a')",
             "odd", "divisibleby 2", "lt 3", "callable"]

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.macros = []
        self.loops = 0

    def pick(self, *weighted):
        """One of (weight, thunk) pairs."""
        return self.r.choices([f for _, f in weighted], [w for w, _ in weighted])[0]()

    def word(self):
        quote = self.r.choice("'\"")
        return quote + self.r.choice(self.WORDS).replace(quote, "\\" + quote) + quote

    def integer(self):
        return str(self.r.choice([0, 1, 2, 3, 5, 7, 10, 100]))

    def name(self):
        return self.r.choice(self.NAMES)

    def text_of(self, depth):
        """An expression that is a string, most likely."""
        if depth <= 0:
            return self.pick((5, self.word), (2, lambda: "s"), (1, lambda: "m.content"))
        return self.pick(
            (2, self.word),
            (2, lambda: f"{self.text_of(depth - 1)} + {self.text_of(depth - 1)}"),
            (2, lambda: f"{self.any(depth - 1)} ~ {self.any(depth - 1)}"),
            (1, lambda: f"({self.text_of(depth - 1)} if {self.any(depth - 1)} else "
                        f"{self.text_of(depth - 1)})"),
            (2, lambda: f"({self.text_of(depth - 1)}).{self.text_method(depth - 1)}"),
            (2, lambda: f"({self.any(depth - 1)}) | {self.r.choice(self.FILTERS)}"),
            (1, lambda: f"({self.text_of(depth - 1)})[{self.slice(depth - 1)}]"),
            (1, lambda: f"({self.text_of(depth - 1)} * {self.r.choice([0, 1, 2, 3])})"),
            (2, lambda: self.call(depth - 1)))

    def text_method(self, depth):
        return self.pick(
            (2, lambda: f"split({self.word()})[{self.r.choice([0, -1, 1])}]"),
            (1, lambda: f"{self.r.choice(['strip', 'lstrip', 'rstrip'])}"
                        f"({self.r.choice(['', self.word()])})"),
            (1, lambda: self.r.choice(["upper()", "lower()", "capitalize()", "strip()"])),
            (1, lambda: f"replace({self.word()}, {self.text_of(depth)})"),
            (1, lambda: f"join({self.list_of(depth)})"))

    def number_of(self, depth):
        if depth <= 0:
            return self.pick((4, self.integer), (1, lambda: "n"), (1, lambda: "1.5"),
                             (1, lambda: "loop.index0" if self.loops else "n"))
        return self.pick(
            (2, self.integer),
            (3, lambda: f"{self.number_of(depth - 1)} {self.r.choice(['+', '-', '*'])} "
                        f"{self.number_of(depth - 1)}"),
            (1, lambda: f"({self.number_of(depth - 1)}) {self.r.choice(['%', '//', '/'])} "
                        f"{self.r.choice([1, 2, 3, -2, 2.5])}"),
            (2, lambda: f"({self.any(depth - 1)}) | length"),
            (1, lambda: f"-{self.number_of(depth - 1)}"),
            (1, lambda: f"({self.text_of(depth - 1)}).find({self.word()})"),
            (1, lambda: f"({self.text_of(depth - 1)}).count({self.word()})"))

    def truth_of(self, depth):
        if depth <= 0:
            return self.r.choice(["true", "false", "none", "x", "u", "s", "d", "l"])
        relation = self.r.choice(["==", "!=", "<", ">", "<=", ">="])
        return self.pick(
            (2, lambda: f"{self.number_of(depth - 1)} {relation} {self.number_of(depth - 1)}"),
            (1, lambda: f"{self.any(depth - 1)} {self.r.choice(['==', '!='])} "
                        f"{self.any(depth - 1)}"),
            (1, lambda: f"{self.text_of(depth - 1)} {relation} {self.text_of(depth - 1)}"),
            (2, lambda: f"{self.truth_of(depth - 1)} {self.r.choice(['and', 'or'])} "
                        f"{self.truth_of(depth - 1)}"),
            (1, lambda: f"not {self.truth_of(depth - 1)}"),
            (2, lambda: f"{self.any(depth - 1)} {self.r.choice(['in', 'not in'])} "
                        + self.pick((2, lambda: self.list_of(depth - 1)), (2, lambda: "d"),
                                    (1, lambda: "s"))),
            (3, lambda: f"({self.any(depth - 1)}) is {self.r.choice(['', 'not '])}"
                        f"{self.r.choice(self.TESTS)}"),
            (1, lambda: f"{self.path()} is "
                        + self.r.choice(["defined", "not defined", "string", "none"])),
            (1, lambda: f"({self.text_of(depth - 1)}).{self.r.choice(['startswith', 'endswith'])}"
                        f"({self.word()})"))

    def list_of(self, depth):
        if depth <= 0:
            return self.r.choice(["l", "[]", "[1, 2]", "['a', 'b']", "messages", "range(3)"])
        return self.pick(
            (2, lambda: "l"), (1, lambda: "messages"),
            (2, lambda: "[" + ", ".join(self.any(depth - 1)
                                        for _ in range(self.r.randint(0, 3))) + "]"),
            (1, lambda: "(" + "".join(self.any(depth - 1) + ", "
                                      for _ in range(self.r.randint(1, 2))) + ")"),
            (1, lambda: f"({self.list_of(depth - 1)})[{self.slice(depth - 1)}]"),
            (1, lambda: f"range({self.integer()})"),
            (1, lambda: f"range({self.integer()}, {self.integer()}, {self.r.choice([1, 2, -1])})"),
            (1, lambda: f"({self.text_of(depth - 1)}).split({self.word()})"),
            (1, lambda: f"({self.list_of(depth - 1)}) + ({self.list_of(depth - 1)})"),
            (1, lambda: f"d.{self.r.choice(['items', 'keys', 'values'])}() | list"))

    def dict_of(self, depth):
        if depth <= 0:
            return self.r.choice(["d", "{}", "{'a': 1}", "m"])
        return self.pick(
            (3, lambda: "d"), (1, lambda: "m"), (1, lambda: "messages[0]"),
            (2, lambda: "{" + ", ".join(f"{self.word()}: {self.any(depth - 1)}"
                                        for _ in range(self.r.randint(0, 2))) + "}"))

    def slice(self, depth):
        bounds = ["", "1", "-1", "2", "-2", "0", "n"]
        if self.r.random() < 0.5:
            return self.r.choice(["::-1", "1:", ":2", ":-1", "::2", ":", "-2:", "::-2"])
        parts = [self.r.choice(bounds) for _ in range(self.r.choice([2, 2, 3]))]
        if len(parts) == 3 and parts[2] == "0":
            parts[2] = "1"
        return ":".join(parts)

    def path(self):
        out = self.r.choice(["d", "m", "messages", "l", "x", "y", "u", "t", "ns"])
        for _ in range(self.r.randint(1, 3)):
            out += self.pick((4, lambda: "." + self.r.choice(self.FIELDS)),
                             (2, lambda: f"['{self.r.choice(self.FIELDS)}']"),
                             (2, lambda: f"[{self.r.choice([0, 1, -1])}]"), (1, lambda: ".0"))
        return out

    def call(self, depth):
        if not self.macros or self.r.random() < 0.1:
            return self.r.choice(["d.get('a')", "d.get('zz', 5)", "m.get('role')", "d.get('zz')"])
        name, count = self.r.choice(self.macros)
        return f"{name}({', '.join(self.any(depth) for _ in range(self.r.randint(0, count)))})"

    def any(self, depth):
        if self.r.random() < 0.08:
            return self.path()
        return self.pick(
            (4, lambda: self.text_of(depth)), (3, lambda: self.number_of(depth)),
            (3, lambda: self.truth_of(depth)), (2, lambda: self.list_of(depth)),
            (1, lambda: self.dict_of(depth)), (2, self.name),
            (1, lambda: self.r.choice(["loop.index", "loop.last", "loop.first", "loop.length",
                                       "loop.previtem", "loop.nextitem", "loop.revindex"])
             if self.loops else self.name()),
            (1, lambda: self.r.choice(["none", "true", "false", "1.0", "0.5", "1e20"])))

    def open(self):
        return self.r.choice(["{%", "{%", "{%-", "{%+" if self.r.random() < 0.2 else "{%-"]) + " "

    def close(self):
        return " " + self.r.choice(["%}", "%}", "-%}", "+%}" if self.r.random() < 0.2 else "-%}"])

    def tag(self, inside):
        return self.open() + inside + self.close()

    def print(self):
        minus = self.r.choice(["", "", "-"])
        end = self.r.choice(["", "", "-"]) + "}}"
        return "{{" + minus + " " + self.any(self.r.randint(0, 3)) + " " + end

    def text(self):
        return self.r.choice(["a", " b ", "\n", "\n\n", "  ", " \n ", "x\n  ", "\n\t", "{# c #}",
                              "{#- c -#}", "  {# c #}\n", "{% raw %} {{ z }} {% endraw %}",
                              "\u4e2d", "\u3000", "'", "\r\n"])

    def statement(self, depth):
        if depth <= 0:
            return self.pick((3, self.text), (4, self.print))
        return self.pick((2, self.text), (4, self.print), (2, self.set),
                         (3, lambda: self.condition(depth)), (3, lambda: self.loop(depth)),
                         (1, lambda: self.macro(depth)),
                         (1, lambda: self.tag("set x") + self.block(depth - 1)
                             + self.tag("endset")))

    def set(self):
        target = self.pick((5, self.name), (1, lambda: "ns." + self.r.choice(self.FIELDS)),
                           (1, lambda: "x, y"))
        if target == "ns":
            return self.tag(f"set ns = namespace(a={self.any(1)}, role='q')")
        if target == "x, y":
            return self.tag(f"set x, y = {self.any(1)}, {self.any(1)}")
        return self.tag(f"set {target} = {self.any(2)}")

    def condition(self, depth):
        out = self.tag(f"if {self.truth_of(2)}") + self.block(depth - 1)
        for _ in range(self.r.choice([0, 0, 0, 1, 2])):
            out += self.tag(f"elif {self.truth_of(2)}") + self.block(depth - 1)
        if self.r.random() < 0.5:
            out += self.tag("else") + self.block(depth - 1)
        return out + self.tag("endif")

    def loop(self, depth):
        head = self.pick(
            (4, lambda: f"{self.r.choice('xykv')} in {self.list_of(2)}"),
            (1, lambda: f"k, v in {self.dict_of(1)}.items()"), (1, lambda: "k, v in d.items()"),
            (1, lambda: "m in messages"), (1, lambda: "m in messages if m.role != 'user'"),
            (1, lambda: f"x in {self.list_of(1)} if {self.truth_of(1)}"),
            (1, lambda: f"k in {self.any(1)}"))
        self.loops += 1
        body = self.block(depth - 1)
        if self.r.random() < 0.2:
            word = self.r.choice(["break", "continue"])
            body += self.tag(f"if {self.truth_of(1)}") + self.tag(word) + self.tag("endif")
            body += self.block(0)
        self.loops -= 1
        out = self.tag("for " + head) + body
        if self.r.random() < 0.2:
            out += self.tag("else") + self.block(depth - 1)
        return out + self.tag("endfor")

    def macro(self, depth):
        name = f"f{len(self.macros)}"
        count = self.r.randint(0, 2)
        params = ["s", "x"][:count]
        if params and self.r.random() < 0.3:
            params[-1] += f"={self.any(1)}"
        known, self.macros = self.macros, self.macros + [(f"f{len(self.macros) + 5}", 0)]
        loops, self.loops = self.loops, 0
        if self.r.random() < 0.8:
            self.macros = known  # else it calls one that may come later, or never
        body = self.block(depth - 1)
        self.loops = loops
        self.macros = known + [(name, count)]
        return self.tag(f"macro {name}({', '.join(params)})") + body + self.tag("endmacro")

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.r.randint(0, 3)))

    def value(self, depth):
        r = self.r
        if depth <= 0:
            return r.choice([None, True, False, 0, 1, -7, 2 ** 40, 0.5, 1.0, -3.25, 1e300, "", "a",
                             "ab\n", "it's", "\u00e9\u4e2d\U0001f600", "x</think>y", "  pad ",
                             "\x7f\x00\u200b"])
        if r.random() < 0.4:
            return [self.value(depth - 1) for _ in range(r.randint(0, 3))]
        return {r.choice(self.FIELDS): self.value(depth - 1) for _ in range(r.randint(0, 3))}

    def case(self):
        r = self.r
        kwargs = {"s": r.choice(["", "abc", "a<think>b</think>c", "\u00e9\u4e2d", " x "]),
                  "n": r.choice([0, 1, 2, -1, 5]), "d": self.value(2), "l": self.value(2),
                  "x": self.value(1)}
        if not isinstance(kwargs["d"], dict) or r.random() < 0.6:
            kwargs["d"] = {"a": self.value(1), "b": self.value(0), "name": "nm"}
        if not isinstance(kwargs["l"], list) or r.random() < 0.6:
            kwargs["l"] = [self.value(0) for _ in range(r.randint(0, 4))]
        messages = [{"role": r.choice(["user", "assistant", "system", "tool"]),
                     "content": r.choice(["hi", "", "a\nb", None,
                                          [{"type": "text", "text": "p"}]])}
                    for _ in range(r.randint(1, 4))]
        template = "".join(self.statement(3) for _ in range(r.randint(1, 4)))
        return {"template": template, "messages": messages, "kwargs": kwargs,
                "add_generation_prompt": r.random() < 0.5}


def fault_of(case, answer):
    """What is wrong with our answer, or None; and the class of the outcome for the statistics."""
    text, fault = render_there(case)
    status = answer.get("status")
    if fault == TOO_SLOW:
        return None, "too slow there"
    if status in ("unsupported", "limit"):
        return None, status
    if text is not None and (ADDRESS.search(text) or STRICTER.search(answer.get("error", ""))):
        return None, "stricter"
    if text is not None and answer.get("text") != text:
        return f"Jinja2 renders {text!r}\nKontor answers {answer}", "wrong"
    if text is None and status != "invalid":
        return f"Jinja2 refuses with {fault}\nKontor answers {answer}", "wrong"
    return None, "text" if text is not None else "refused"


class Mutator:
    """Cases of the unit tests with tokens dropped, doubled, swapped and mixed in from others."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.cases = [case for case in unit_cases() if case.get("error") != "limit"]
        self.pool = sorted({t for case in self.cases for t in TOKEN.findall(case["template"])})

    def template(self, text):
        r = self.r
        tokens = TOKEN.findall(text)
        for _ in range(r.choice([1, 1, 1, 2, 3])):
            i = r.randrange(len(tokens) + 1)
            other = TOKEN.findall(r.choice(self.cases)["template"])
            k = r.randrange(len(other) + 1)
            cut, put = r.choice([(1, []), (0, [r.choice(self.pool)]), (1, [r.choice(self.pool)]),
                                 (2, tokens[i:i + 2][::-1]), (0, other[k:k + r.randint(1, 6)])])
            tokens[i:i + cut] = put
        return "".join(tokens)

    def case(self):
        case = dict(self.r.choice(self.cases))
        case["template"] = self.template(case["template"])
        return case


def compare(make_case, count, stop_at=10):
    seen = collections.Counter()
    faults = []
    for begin in range(0, count, BATCH):
        cases = [make_case(i) for i in range(begin, min(begin + BATCH, count))]
        for case, answer in zip(cases, render_here(cases)):
            fault, outcome = fault_of(case, answer)
            seen[outcome] += 1
            if fault:
                faults.append(f"{json.dumps(case)}\n{fault}\n")
        if len(faults) >= stop_at:
            break
    return seen, faults


def compare_random(count, seed):
    return compare(lambda i: Maker(seed * 1000003 + i).case(), count)


def compare_mutated(count, seed):
    mutator = Mutator(seed)
    return compare(lambda i: mutator.case(), count)


@test
def the_unit_cases_are_what_jinja2_says():
    cases = [case for case in unit_cases() if case.get("peer") is not False]
    for case in cases:
        text, fault = render_there(case)
        expect(text, case.get("text"), f"{case['name']}: {fault}")
    expect(len(cases) > 300, True, f"{len(cases)} cases")


@test
def random_templates_render_alike():
    seen, faults = compare_random(RANDOM_TEMPLATES, 1)
    print(f"# {dict(seen)}")
    expect(len(faults), 0, "\n".join(faults[:3]))
    expect(seen["text"] > RANDOM_TEMPLATES // 4, True, dict(seen))
    expect(seen["unsupported"] < RANDOM_TEMPLATES // 20, True, dict(seen))


@test
def mutated_cases_render_alike():
    seen, faults = compare_mutated(MUTATED_TEMPLATES, 1)
    print(f"# {dict(seen)}")
    expect(len(faults), 0, "\n".join(faults[:3]))
    expect(seen["text"] > MUTATED_TEMPLATES // 10, True, dict(seen))


def build_program():
    subprocess.run(["ninja", "-C", str(BUILD), "tests/render_template"], check=True,
                   stdout=subprocess.DEVNULL)


def random_only(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    failed = 0
    for run in (compare_random, compare_mutated):
        seen, faults = run(options.random, options.seed)
        print(run.__name__, dict(seen), *faults, sep="\n")
        failed += len(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    build_program()
    if "--random" in sys.argv:
        sys.exit(random_only(sys.argv[1:]))
    main()
