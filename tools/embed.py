#!/usr/bin/env python3
"""Turn a file into a C array, so that the program needs no file beside it.

    tools/embed.py FILE NAME HEADER OUT.c

OUT.c defines `struct str NAME(void)`, which HEADER declares.  Standard library only.
"""
import pathlib
import sys

BYTES_PER_LINE = 24


def main():
    source, name, header, out = sys.argv[1:]
    content = pathlib.Path(source).read_bytes()
    lines = [f'#include "{header}"', "", "static const unsigned char content[] = {"]
    for begin in range(0, len(content), BYTES_PER_LINE):
        row = content[begin:begin + BYTES_PER_LINE]
        lines.append("    " + ",".join(str(byte) for byte in row) + ",")
    lines += ["};", "", f"struct str {name}(void)", "{",
              "    return (struct str){(const char *)content, sizeof(content)};", "}", ""]
    pathlib.Path(out).write_text("\n".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
