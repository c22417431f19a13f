"""base/json against Python's json on generated and damaged documents: same verdict, same print.

Where we are stricter than Python the oracle says so: lone surrogates, NaN and Infinity, repeated
keys, numbers that round to infinity, more than 64 levels, bytes that are not UTF-8.
"""
import json
import math
import random
import struct
import subprocess

from harness import BUILD, expect, main, test

ALPHABET = ('abcXYZ019 _-/"\\\b\f\n\r\t\x01\x1f\x7f\u0080\u00e9\u00df\u07ff\u0800\u4e2d\ud7ff\ue000'
            '\uffff\U00010000\U0001f600\U0010ffff')
DEPTH_MAX = 64


class Refused(Exception):
    pass


class Printer:
    """build/tests/json_print as a coroutine."""

    def __init__(self):
        self.process = subprocess.Popen([str(BUILD / "tests" / "json_print")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        expect(self.process.wait(30), 0, "exit status of json_print")

    def ask(self, document):
        self.process.stdin.write(b"doc %d\n" % len(document) + document)
        self.process.stdin.flush()
        word, length = self.process.stdout.readline().split()
        return word == b"ok", self.process.stdout.read(int(length))


def pairs_once(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise Refused("repeated key")
    return dict(pairs)


def finite(literal):
    value = float(literal)
    if math.isinf(value):
        raise Refused("infinite")
    return value


def refuse_constant(_):
    raise Refused("constant")


def depth(value):
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


def oracle(document):
    """What the parser must print, or None when it must refuse."""
    try:
        value = json.loads(document.decode("utf-8"), object_pairs_hook=pairs_once,
                           parse_constant=refuse_constant, parse_float=finite)
        if depth(value) > DEPTH_MAX:
            return None
        return json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (Refused, ValueError, RecursionError):  # UnicodeError is a ValueError
        return None


def random_double(rng):
    while True:
        value = struct.unpack("<d", rng.randbytes(8))[0]
        if math.isfinite(value):
            return value


def random_text(rng):
    return "".join(rng.choice(ALPHABET) for _ in range(rng.choice((0, 1, 3, 15, 16, 17, 40))))


def random_value(rng, levels):
    kind = rng.randrange(10 if levels > 0 else 7)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice((0, 1, -1, 2**63 - 1, -2**63, 2**63, 10**30,
                           rng.randrange(-10**6, 10**6)))
    if kind == 2:
        return random_double(rng)
    if kind == 3:
        return rng.choice((0.0, -0.0, 1.0, 0.1, 1e16, 1e15, 123456789012345.6, 1e-4, 1e-5, 5e-324,
                           round(rng.uniform(-1000, 1000), rng.randrange(8))))
    if kind < 7:
        return random_text(rng)
    n = rng.choice((0, 1, 2, 7, 8, 9, 30))
    if kind == 7 or kind == 8:
        return [random_value(rng, levels - 1) for _ in range(n)]
    return {random_text(rng): random_value(rng, levels - 1) for _ in range(n)}


def random_document(rng):
    value = random_value(rng, rng.randrange(4))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5,
                      indent=rng.choice((None, None, 1, "\t")),
                      separators=rng.choice((None, (",", ":"), (" ,\r\n", "\t: "))))
    return text.encode("utf-8")


def damage(rng, document):
    """One small fault; often the document stays valid, which the oracle knows."""
    at = rng.randrange(len(document) + 1)
    kind = rng.randrange(5)
    if kind == 0:
        return document[:at]
    if kind == 1:
        return document[:at] + document[at + 1:]
    inserted = rng.choice((b"\\", b'"', b",", b"[", b"]", b"{", b"}", b"0", b"-", b".", b"e",
                           b"\x00", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
                           b"\\ud800",
                           b"\\u00e9", b"\xef\xbb\xbf", b"NaN", b"/*x*/", b"\x0b", b"\xc2\xa0"))
    if kind == 2:
        return document[:at] + inserted + document[at:]
    if kind == 3:
        return document[:at] + inserted + document[at + len(inserted):]
    return document[:at] + rng.randbytes(1) + document[at + 1:]


def compare(printer, document):
    want = oracle(document)
    accepted, text = printer.ask(document)
    if accepted != (want is not None) or (accepted and text != want):
        want = want or b"(refused)"
        at = next((i for i, (a, b) in enumerate(zip(text, want)) if a != b), 0)
        raise AssertionError(f"{document[:300]!r}: printed {text[at:at + 60]!r} at byte {at}, "
                             f"expected {want[at:at + 60]!r}")


@test
def generated_documents_print_as_python_prints_them():
    rng = random.Random(1)
    with Printer() as printer:
        for _ in range(3000):
            compare(printer, random_document(rng))


@test
def damaged_documents_get_the_same_verdict():
    rng = random.Random(2)
    with Printer() as printer:
        for _ in range(20000):
            compare(printer, damage(rng, random_document(rng)[:200]))


@test
def doubles_print_as_repr():
    rng = random.Random(3)
    doubles = [random_double(rng) for _ in range(20000)]
    doubles += [math.ldexp(1.0, e) for e in range(-1074, 1024)]
    doubles += [math.nextafter(math.ldexp(1.0, e), 0.0) for e in range(-1073, 1024)]
    doubles += [int(10**9 * rng.random()) / 10**rng.randrange(10) for _ in range(20000)]
    with Printer() as printer:
        for begin in range(0, len(doubles), 1000):
            compare(printer, json.dumps(doubles[begin:begin + 1000]).encode())


@test
def many_digits_round_as_python_rounds_them():
    rng = random.Random(4)
    literals = []
    for _ in range(5000):
        digits = "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 40)))
        literals.append(f"{rng.randrange(1, 10)}.{digits}e{rng.randrange(-330, 308)}")
    with Printer() as printer:
        compare(printer, ("[" + ",".join(literals) + "]").encode())


@test
def depth_is_limited():
    with Printer() as printer:
        for levels in (63, 64, 65, 66, 5000):
            compare(printer, b"[" * levels + b"]" * levels)
            compare(printer, b'{"a":' * levels + b"1" + b"}" * levels)


if __name__ == "__main__":
    main()
