#!/usr/bin/env python3
"""Write src/text/jinja_unicode_table.c: what Python's str says about each character.

    python3.11 tools/gen_jinja_unicode.py > src/text/jinja_unicode_table.c

The tables come from the behaviour of str itself (Unicode 14.0 with Python 3.11), so that templates
print here what they print under Jinja2.  Run it again only to move to another Unicode version.
"""
import sys
import unicodedata

LAST = 0x10FFFF
SIGMA = "\u03a3"
FINAL = "\u03c2"


def ranges(predicate):
    """Boundaries [begin, end) of the code points for which predicate holds."""
    out = []
    inside = False
    for cp in range(LAST + 2):
        now = cp <= LAST and predicate(chr(cp))
        if now != inside:
            out.append(cp)
            inside = now
    return out


def cased(c):
    return (c + SIGMA).lower()[-1] == FINAL


def ignorable(c):
    return ("A" + c + SIGMA).lower()[-1] == FINAL and not cased(c)


def deltas(convert):
    """Runs (first, last, step, delta) of one-to-one mappings, and the longer ones."""
    runs = []
    special = []
    for cp in range(LAST + 1):
        to = [ord(c) for c in convert(chr(cp))]
        if to == [cp]:
            continue
        if len(to) > 1:
            special.append((cp, to))
            continue
        delta = to[0] - cp
        if runs:
            first, last, step, d = runs[-1]
            gap = cp - last
            if d == delta and gap in (1, 2) and (step == gap or first == last):
                runs[-1] = (first, cp, gap, d)
                continue
        runs.append((cp, cp, 1, delta))
    return runs, special


def print_numbers(name, comment, numbers):
    print(f"\n/* {comment} */")
    print(f"const uint32_t jinja_unicode_{name}[] = {{")
    line = "   "
    for n in numbers:
        item = f" 0x{n:x},"
        if len(line) + len(item) > 98:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print(f"const size_t jinja_unicode_{name}_count = {len(numbers)};")


def print_case(name, convert):
    runs, special = deltas(convert)
    print()
    print(f"const struct jinja_unicode_run jinja_unicode_{name}_runs[] = {{")
    line = "   "
    for first, last, step, delta in runs:
        item = f" {{0x{first:x}, 0x{last:x}, {step}, {delta}}},"
        if len(line) + len(item) > 98:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print(f"const size_t jinja_unicode_{name}_runs_count = {len(runs)};\n")
    print(f"const struct jinja_unicode_special jinja_unicode_{name}_specials[] = {{")
    line = "   "
    for cp, to in special:
        item = f" {{0x{cp:x}, {len(to)}, {{{', '.join(hex(c) for c in to)}}}}},"
        if len(line) + len(item) > 98:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print(f"const size_t jinja_unicode_{name}_specials_count = {len(special)};")


def main():
    print("/* Made by tools/gen_jinja_unicode.py, Unicode "
          f"{unicodedata.unidata_version}; do not edit. */")
    print("/* clang-format off */")
    print('#include "text/jinja_unicode_table.h"')
    print_numbers("printable", "str.isprintable(): begin, end, begin, end ...",
                  ranges(str.isprintable))
    print_numbers("space", "str.isspace()", ranges(str.isspace))
    print_numbers("cased", "letters with case", ranges(cased))
    print_numbers("ignorable", "characters that do not end a word for the final sigma",
                  ranges(ignorable))
    print_case("lower", str.lower)
    print_case("upper", str.upper)
    print_case("title", str.title)


if __name__ == "__main__":
    sys.exit(main())
