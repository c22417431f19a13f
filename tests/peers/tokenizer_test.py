"""Ids and texts equal those of the `tokenizers` library, on code points assigned in Unicode 15.0.

Lines are random but the same in every run.  The library's own Unicode is newer; where it classes a
code point that was assigned later, the two may differ, so such code points are left out.
"""
import json
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import time
import unicodedata

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from harness import BUILD, TESTS, expect, main, test  # noqa: E402 - behind the settings
from tokenizers import Tokenizer  # noqa: E402

PROGRAM = BUILD / "tests" / "tokenize_lines"
REFERENCE = TESTS / "data" / "tokenizer"
N_LINES = 20000
N_LINES_LARGE = 5000
N_DECODES = 5000
PROSE_BYTES = 2000000
CHUNK_CHARS = 4000

# Assigned in 15.0 and unknown to Debian's python (14.0).
NEW_IN_15_0 = [
    (0xCF3, 0xCF3), (0xECE, 0xECE), (0x10EFD, 0x10EFF), (0x1123F, 0x11241), (0x11B00, 0x11B09),
    (0x11F00, 0x11F10), (0x11F12, 0x11F3A), (0x11F3E, 0x11F59), (0x1342F, 0x1342F),
    (0x13439, 0x13455), (0x1B132, 0x1B132), (0x1B155, 0x1B155), (0x1D2C0, 0x1D2D3),
    (0x1DF25, 0x1DF2A), (0x1E030, 0x1E06D), (0x1E08F, 0x1E08F), (0x1E4D0, 0x1E4F9),
    (0x1F6DC, 0x1F6DC), (0x1F774, 0x1F776), (0x1F77B, 0x1F77F), (0x1F7D9, 0x1F7D9),
    (0x1FA75, 0x1FA77), (0x1FA87, 0x1FA88), (0x1FAAD, 0x1FAAF), (0x1FABB, 0x1FABD),
    (0x1FABF, 0x1FABF), (0x1FACE, 0x1FACF), (0x1FADA, 0x1FADB), (0x1FAE8, 0x1FAE8),
    (0x1FAF7, 0x1FAF8), (0x2B739, 0x2B739), (0x31350, 0x323AF),
]


def assigned_in_15_0():
    known = [cp for cp in range(0x110000) if unicodedata.category(chr(cp)) not in ("Cn", "Cs")]
    if unicodedata.unidata_version == "14.0.0":
        known += [cp for first, last in NEW_IN_15_0 for cp in range(first, last + 1)]
    return known


class LineMaker:
    """Random lines in several manners: the whole of Unicode, and text that exercises the regex."""

    FRAGMENTS = ["'s", "'S", "'\u017f", "'ll", "'RE", "'ve", "'d", "'x", "n't", " ", "  ", "\n",
                 "\r\n", "\n\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "1", "12",
                 "2024", "\u0661", "\u00bd", ".", "...", "!?", "(", "_", "-", "a", "the", " the",
                 "Word", "\u00e9", "e\u0301", "\u4f60\u597d", "\u8d44\u4ea7", "\u0e01\u0e33",
                 "\u0915\u094d\u0937", "\U0001f600", "\U0001f468\u200d\U0001f469", "\u212a",
                 "\u017f", "\x00", "\x1c", "\x7f"]

    def __init__(self, seed, added):
        self.random = random.Random(seed)
        self.code_points = assigned_in_15_0()
        by_class = {}
        for cp in self.code_points:
            by_class.setdefault(unicodedata.category(chr(cp))[0], []).append(cp)
        self.classes = list(by_class.values())
        self.added = added

    def character(self):
        pick = self.random.random()
        if pick < 0.4:
            return chr(self.random.choice(self.code_points))
        if pick < 0.7:
            return chr(self.random.choice(self.random.choice(self.classes)))
        return chr(self.random.randrange(0x20, 0x7F))

    def line(self):
        manner = self.random.random()
        n = self.random.randrange(1, 60)
        if manner < 0.5:
            return "".join(self.character() for _ in range(n))
        pieces = self.FRAGMENTS + self.added if manner > 0.85 else self.FRAGMENTS
        return "".join(self.random.choice(pieces) if self.random.random() < 0.8
                       else self.character() for _ in range(n))


def run(folder, payload, *flags):
    done = subprocess.run([PROGRAM, folder, *flags], input=payload, capture_output=True,
                          check=False)
    expect(done.returncode, 0, done.stderr.decode(errors="replace"))
    return done.stdout, done.stderr.decode()


def pack_texts(texts):
    raw = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(r)) + r for r in raw)


def unpack_ids(answer):
    at, found = 0, []
    while at < len(answer):
        (n,) = struct.unpack_from("<I", answer, at)
        found.append(list(struct.unpack_from(f"<{n}i", answer, at + 4)))
        at += 4 + 4 * n
    return found


def unpack_texts(answer):
    at, found = 0, []
    while at < len(answer):
        (n,) = struct.unpack_from("<I", answer, at)
        found.append(answer[at + 4:at + 4 + n].decode())
        at += 4 + n
    return found


def compare_ids(folder, library, lines, *flags):
    ours = unpack_ids(run(folder, pack_texts(lines), *flags)[0])
    expect(len(ours), len(lines), "answers")
    theirs = library.encode_batch(lines, add_special_tokens=False)
    for line, mine, other in zip(lines, ours, theirs):
        expect(mine, other.ids, f"ids of {line!r}")


def without_added_tokens(path):
    tree = json.loads(path.read_text())
    tree["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(tree))


@test
def random_lines_with_special_tokens():
    library = Tokenizer.from_file(str(REFERENCE / "tokenizer.json"))
    added = [token.content for token in library.get_added_tokens_decoder().values()]
    maker = LineMaker(1, added)
    compare_ids(REFERENCE, library, [maker.line() for _ in range(N_LINES)], "--special")


@test
def random_lines_as_plain_text():
    library = without_added_tokens(REFERENCE / "tokenizer.json")
    maker = LineMaker(2, ["<|user|>", "[gMASK]", "<sop>", "<think>", "/nothink"])
    compare_ids(REFERENCE, library, [maker.line() for _ in range(N_LINES)])


@test
def every_assigned_code_point_between_letters():
    library = Tokenizer.from_file(str(REFERENCE / "tokenizer.json"))
    points = assigned_in_15_0()
    lines = ["".join(f"a{chr(cp)}b {chr(cp)}1" for cp in points[i:i + 200])
             for i in range(0, len(points), 200)]
    compare_ids(REFERENCE, library, lines, "--special")


@test
def random_ids_decode_to_the_same_text():
    library = Tokenizer.from_file(str(REFERENCE / "tokenizer.json"))
    maker = random.Random(3)
    lists = [[maker.randrange(256 if i % 2 else 868) for _ in range(maker.randrange(40))]
             for i in range(N_DECODES)]
    payload = b"".join(struct.pack(f"<I{len(ids)}i", len(ids), *ids) for ids in lists)
    for flags, skip in ((("--decode",), False), (("--decode", "--skip-special"), True)):
        ours = unpack_texts(run(REFERENCE, payload, *flags)[0])
        for ids, text in zip(lists, ours):
            expect(text, library.decode(ids, skip_special_tokens=skip), f"text of {ids}")


@test
def a_vocabulary_of_full_size():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([PROGRAM, "--write-large", folder], check=True)
        library = Tokenizer.from_file(str(folder / "tokenizer.json"))
        maker = LineMaker(4, ["<|extra_0|>", "<|extra_22|>", "<|extra_222|>", "<|extra_2"])
        compare_ids(folder, library, [maker.line() for _ in range(N_LINES_LARGE)], "--special")
        prose = folder / "prose.txt"
        subprocess.run([PROGRAM, "--write-prose", str(PROSE_BYTES), prose], check=True)
        text = prose.read_text()
        chunks = [text[i:i + CHUNK_CHARS] for i in range(0, len(text), CHUNK_CHARS)]
        compare_ids(folder, library, chunks, "--special")
        report_speed(folder, library, chunks)


def report_speed(folder, library, chunks):
    """Printed for docs/speed-log.md; nothing depends on it."""
    n_bytes = sum(len(chunk.encode()) for chunk in chunks)
    begin = time.process_time()
    library.encode_batch_fast(chunks, add_special_tokens=False)
    theirs = time.process_time() - begin
    _, report = run(folder, pack_texts(chunks), "--special", "--repeat", "3")
    ours = float(report.split("seconds=")[1])
    print(f"# encode, CPU time of one thread: kontor {n_bytes / ours / 1e6:.1f} MB/s, "
          f"tokenizers {n_bytes / theirs / 1e6:.1f} MB/s")


if __name__ == "__main__":
    main()
