#!/usr/bin/env python3
"""Check what a compiler does not: include table, names, sizes, banned calls, doc comments, paths.

    tools/tidy.py [--root DIR]

The include table is read from ARCHITECTURE.md.  One line per finding, `path:line: rule: text`;
exit status 1 when there is any.  In a C file a comment `tidy-allow: <rule> because <reason>`
excuses a finding on its line, in its function or up to three lines below it; for `size` and
`prefix` it may stand anywhere.  Standard library only.
"""
import argparse
import pathlib
import subprocess
import sys

from tidylib import rules_c, rules_text, rules_tree
from tidylib.source import Source

C_FOLDERS = ("src/", "tests/", "bench/", "client/", "include/")
TEXT_SUFFIXES = ("c", "h", "cu", "cuh", "py", "sh", "md", "build", "txt", "yaml", "yml")
SKIPPED = ("tests/data/", "tests/golden/", "tests/fuzz/corpus/", "share/builtin-model/", "build/")


class Tree:
    def __init__(self, root):
        self.root = root
        self.paths = list_files(root)
        page = root / "ARCHITECTURE.md"
        self.include_table = rules_tree.read_include_table(
            page.read_text(encoding="utf-8") if page.exists() else "")

    def header_stems(self, folder):
        """Stems of the headers in `folder`."""
        for path in self.paths:
            home, _, name = path.rpartition("/")
            if home == folder and name.endswith(".h"):
                yield name[:-2]


def list_files(root):
    """Tracked and new files; outside git, everything but build/."""
    done = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"],
                          capture_output=True, text=True, check=False)
    if done.returncode == 0:
        paths = [p for p in done.stdout.splitlines() if (root / p).is_file()]
    else:
        paths = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    return sorted(p for p in paths if not p.startswith("build/"))


def is_ours(path):
    name = path.rsplit("/", 1)[-1]
    suffix = name.rpartition(".")[2]
    if path.startswith(SKIPPED) and suffix not in ("c", "h", "build"):
        return False
    return suffix in TEXT_SUFFIXES or name == "Makefile"


def tidy(root):
    """All findings as (path, line, rule, text)."""
    findings = []
    tree = Tree(root)

    def report(path, line, rule, text):
        findings.append((path, line, rule, text))

    rules_tree.check_include_table(tree.include_table, report)
    rules_tree.check_unique_names(tree.paths, report)
    for path in filter(is_ours, tree.paths):
        source = Source(root, path)

        def report_here(line, rule, text, path=path):
            report(path, line, rule, text)

        rules_text.check(source, report_here)
        if source.is_c and path.startswith(C_FOLDERS):
            rules_c.check(source, tree, report_here)
        if path in ("README.md", "ARCHITECTURE.md") or path.startswith("docs/"):
            rules_tree.check_pages(source, root, tree.include_table, report)
    return findings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    findings = tidy(parser.parse_args().root.resolve())
    for path, line, rule, text in findings:
        print(f"{path}:{line}: {rule}: {text}")
    if findings:
        print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
