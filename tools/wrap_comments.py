#!/usr/bin/env python3
"""Wrap block comments of C files that are wider than 100 columns; part of `make format`.

    tools/wrap_comments.py FILE...

clang-format leaves comments as they are (it would flow tables and formulas together).  Here a line
that is too wide is filled again together with the lines that continue it.
"""
import re
import sys
import textwrap

COLUMNS_MAX = 100
TEXT_LINE = re.compile(r"^(\s*)(/\*\*?|\*)( ?)(\s*)(\S.*?)(\s*\*/)?$")


class Line:
    """A line inside a block comment, taken apart."""

    def __init__(self, text):
        match = TEXT_LINE.match(text)
        self.is_text = match is not None and match.group(5) not in ("*", "/")
        if self.is_text:
            self.indent, self.mark, _, self.inner, self.words, self.close = match.groups()
            self.close = self.close or ""


def comment_lines(lines):
    """Indices of lines that are wholly inside a block comment that starts a line."""
    inside = False
    for i, line in enumerate(lines):
        if not inside and re.match(r"\s*/\*", line):
            inside = True
        if inside:
            yield i
        if "*/" in line:
            inside = False


def hanging_indent(first):
    """Blanks before the second line when there is none yet: "name   text" hangs."""
    term = re.match(r"(\S*[^\s.:;,!?])( {2,})", first.words)
    if first.mark != "/**" and term:
        return first.inner + " " * len(term.group())
    return first.inner


def paragraph(lines, commented, begin):
    """(end, indent): lines [begin, end) are filled together.

    The author's breaks stay: a line that ends a sentence ends the paragraph.
    """
    indent = None
    end = begin + 1
    while end in commented and not Line(lines[end - 1]).close:
        line = Line(lines[end])
        if lines[end - 1].endswith((".", ":", ";", "?")) or not line.is_text or line.mark != "*":
            break
        if indent is not None and line.inner != indent:
            break
        indent = line.inner
        end += 1
    return end, hanging_indent(Line(lines[begin])) if indent is None else indent


def fill(lines, begin, end, indent):
    first, last = Line(lines[begin]), Line(lines[end - 1])
    star_indent = first.indent if first.mark == "*" else first.indent + " "
    body = " ".join(Line(line).words for line in lines[begin:end])
    filled = textwrap.wrap(
        body + ("\x01*/" if last.close else ""), COLUMNS_MAX,
        initial_indent=f"{first.indent}{first.mark} {first.inner}",
        subsequent_indent=f"{star_indent}* {indent}",
        break_long_words=False, break_on_hyphens=False)
    return [line.replace("\x01", " ") for line in filled]


def wrap(text):
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        commented = set(comment_lines(lines))
        if len(lines[at]) > COLUMNS_MAX and at in commented and Line(lines[at]).is_text:
            end, indent = paragraph(lines, commented, at)
            filled = fill(lines, at, end, indent)
            lines[at:end] = filled
            at += len(filled)
        else:
            at += 1
    return "\n".join(lines)


def main():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            before = f.read()
        after = wrap(before)
        if after != before:
            with open(path, "w", encoding="utf-8") as f:
                f.write(after)


if __name__ == "__main__":
    main()
