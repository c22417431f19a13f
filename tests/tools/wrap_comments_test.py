"""tools/wrap_comments.py fills only what is too wide and keeps the author's shape."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import ROOT, expect, expect_true, main, test  # noqa: E402 - behind the path

sys.path.insert(0, str(ROOT / "tools"))
import wrap_comments  # noqa: E402

WORDS = "word " * 19  # 95 columns


def wrapped(*lines):
    return wrap_comments.wrap("\n".join(lines)).split("\n")


@test
def narrow_text_stays():
    text = ("/* a", " * b   c", " */", "int x; // " + WORDS * 2)
    expect(wrapped(*text), list(text))


@test
def one_long_line_becomes_two():
    expect(wrapped(f"/* {WORDS}in the end. */"), [f"/* {WORDS}in", " * the end. */"])


@test
def the_line_that_continues_takes_the_rest():
    expect(wrapped(f" /* {WORDS}and", "  * so on. */"),
           [f" /* {WORDS}".rstrip(), "  * and so on. */"])
    expect(wrapped("/* x", f" * {WORDS}in more", " * so on. */"),
           ["/* x", f" * {WORDS}in", " * more so on. */"])


@test
def a_sentence_that_ends_is_left_alone():
    expect(wrapped(f"/** {WORDS}and.", " * Errors: none. */"),
           [f"/** {WORDS.rstrip()}", " * and.", " * Errors: none. */"])


@test
def terms_hang():
    got = wrapped("/**", f" * term   {WORDS}and", " *        so on", " */")
    expect(got, ["/**", f" * term   {'word ' * 18}".rstrip(), " *        word and so on", " */"])


@test
def two_stars_keep_their_column():
    expect(wrapped(f"/** {WORDS}and", " *  so on. */"),
           [f"/** {WORDS.rstrip()}", " *  and so on. */"])


@test
def code_and_strings_are_not_touched():
    line = 'x = "/* ' + WORDS * 2 + ' */";'
    expect(wrapped(line), [line])


@test
def wrapping_twice_changes_nothing():
    for name in ("base/json.h", "base/status.h", "base/json.c"):
        text = (ROOT / "src" / name).read_text()
        expect_true(wrap_comments.wrap(text) == text, f"{name} is stable")


if __name__ == "__main__":
    main()
