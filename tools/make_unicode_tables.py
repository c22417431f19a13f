#!/usr/bin/python3
"""Write src/text/unicode_tables.c: the character classes the pre-tokeniser needs.

Source of truth is libutf8proc 2.8 (Unicode 15.0; Debian package libutf8proc2).  The file is
committed: building needs neither this script nor the library.  From the repository root:

    tools/make_unicode_tables.py            # writes the file
    tools/make_unicode_tables.py --check    # says whether the committed file is what it would write
"""
import ctypes
import sys

OUT = "src/text/unicode_tables.c"
UNICODE_VERSION = "15.0.0"
CODE_POINTS = 0x110000
BLOCK = 256  # code points per second-level block

OTHER, LETTER, NUMBER, SPACE = range(4)

# utf8proc_category_t: 0 Cn, 1..5 Lu Ll Lt Lm Lo, 6..8 M*, 9..11 Nd Nl No, ... 23..25 Zs Zl Zp
LETTERS = range(1, 6)
NUMBERS = range(9, 12)
SEPARATORS = range(23, 26)

# White_Space is Z* and these control characters (PropList.txt); utf8proc lacks the property.
SPACE_CONTROLS = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85}

HEAD = '''/* unicode_tables.c - written by tools/make_unicode_tables.py; do not edit.
 *
 * Unicode {version}: {n_blocks} distinct blocks of 256 code points, 2 bits each;
 * {bytes} bytes with the index.
 */
#include "text/unicode.h"
'''


def load_library():
    lib = ctypes.CDLL("libutf8proc.so.2")
    lib.utf8proc_unicode_version.restype = ctypes.c_char_p
    lib.utf8proc_category.argtypes = [ctypes.c_int32]
    lib.utf8proc_map.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_void_p),
                                 ctypes.c_int]
    lib.utf8proc_map.restype = ctypes.c_ssize_t
    found = lib.utf8proc_unicode_version().decode()
    if found != UNICODE_VERSION:
        sys.exit(f"libutf8proc speaks Unicode {found}, this script wants {UNICODE_VERSION}")
    return lib


def class_of(lib, cp):
    category = lib.utf8proc_category(cp)
    if cp in SPACE_CONTROLS or category in SEPARATORS:
        return SPACE
    if category in LETTERS:
        return LETTER
    if category in NUMBERS:
        return NUMBER
    return OTHER


def case_fold(lib, cp):
    """Case folding of one character as a string (utf8proc_map with UTF8PROC_CASEFOLD)."""
    raw = chr(cp).encode()
    out = ctypes.c_void_p()
    length = lib.utf8proc_map(raw, len(raw), ctypes.byref(out), 1 << 10)
    if length < 0:
        sys.exit(f"utf8proc_map failed on U+{cp:04X}: {length}")
    return ctypes.string_at(out, length).decode()  # leaks a few bytes; the script ends soon


def folds_to_ascii(lib):
    """Code points from U+0080 whose folding is one ASCII letter: U+017F and U+212A."""
    found = []
    for cp in range(0x80, CODE_POINTS):
        if not 0xD800 <= cp <= 0xDFFF and lib.utf8proc_category(cp) in LETTERS:
            folded = case_fold(lib, cp)
            if len(folded) == 1 and folded.isascii():
                found.append((cp, folded))
    return found


def pack(classes):
    return bytes(sum(classes[i + k] << 2 * k for k in range(4)) for i in range(0, len(classes), 4))


def rows(values, indent, per_row):
    for i in range(0, len(values), per_row):
        yield " " * indent + " ".join(f"{v}," for v in values[i:i + per_row]).rstrip()


def render(lib):
    classes = [class_of(lib, cp) for cp in range(CODE_POINTS)]
    blocks, index = {}, []
    for begin in range(0, CODE_POINTS, BLOCK):
        packed = pack(classes[begin:begin + BLOCK])
        index.append(blocks.setdefault(packed, len(blocks)))
    if len(blocks) > 256:
        sys.exit("more than 256 distinct blocks: the index needs 16 bits")
    out = [HEAD.format(version=UNICODE_VERSION, n_blocks=len(blocks),
                       bytes=len(index) + 64 * len(blocks))]
    out.append("/* clang-format off */")
    out.append(f"const uint8_t unicode_block_of[{len(index)}] = {{")
    out.extend(rows(index, 4, 18))
    out.append("};\n")
    out.append(f"const uint8_t unicode_blocks[{len(blocks)}][64] = {{")
    for packed in blocks:
        lines = list(rows(list(packed), 5, 16))
        lines[0] = "    {" + lines[0].lstrip()
        lines[-1] = lines[-1].rstrip(",") + "},"
        out.extend(lines)
    out.append("};\n")
    folds = folds_to_ascii(lib)
    out.append("const struct unicode_fold unicode_folds[UNICODE_FOLDS] = {")
    out.extend(f"    {{0x{cp:04X}, '{letter}'}}," for cp, letter in folds)
    out.append("};")
    out.append("/* clang-format on */")
    return "\n".join(out) + "\n"


def main():
    text = render(load_library())
    if "--check" in sys.argv[1:]:
        with open(OUT, encoding="utf-8") as f:
            same = f.read() == text
        print(f"{OUT}: " + ("up to date" if same else "differs from what this script writes"))
        sys.exit(0 if same else 1)
    with open(OUT, "w", encoding="utf-8") as f:
        f.write(text)
    print(f"wrote {OUT}")


main()
