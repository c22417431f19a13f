"""Rules about the whole tree: the include table, unique file names, paths that pages mention."""
import re

TOP_FOLDERS = ("src", "tests", "tools", "docs", "bench", "share", "conf", "client", "include")
PATH_CHARS = r"[\w.\-/*+]+"


def read_include_table(text):
    """{folder: set of folders and single headers} from the lines under "Include table"."""
    table = {}
    inside = False
    for line in text.splitlines():
        if line.startswith("#"):
            inside = "include table" in line.lower()
        match = re.match(r"(?:    |\t)?src/(\w+)\s+(.*)$", line)
        if inside and match:
            words = match.group(2).split()
            table[match.group(1)] = {word.removeprefix("src/") for word in words if word != "-"}
    return table


def check_include_table(table, report):
    if not table:
        report("ARCHITECTURE.md", 1, "include-table", 'no lines "src/x  ..." under "Include table"')
    for folder, words in table.items():
        for word in words:
            if word.split("/")[0] not in table:
                report("ARCHITECTURE.md", 1, "include-table", f"src/{folder} names unknown {word}")


def check_unique_names(paths, report):
    """A stem of src/ stands in one folder; a .c and its .h share it."""
    homes = {}
    for path in paths:
        if not path.startswith("src/") or not re.search(r"\.(c|h|cu|cuh)$", path):
            continue
        folder, _, name = path.rpartition("/")
        stem = name.rpartition(".")[0]
        home = homes.setdefault(stem, folder)
        if home != folder:
            report(path, 1, "unique-name", f"{stem} also stands in {home}")


def check_pages(source, root, folders, report):
    """Paths that a page mentions exist."""
    tops = "|".join(TOP_FOLDERS)
    patterns = [
        re.compile(rf"(?<![\w/.\-])((?:{tops})/{PATH_CHARS})"),
        re.compile(rf"(?<![\w/.\-])((?:{'|'.join(folders) or 'src'})/[\w/]+\.(?:c|h|cu))\b"),
        re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)"),
    ]
    for number, line in enumerate(source.lines, 1):
        for kind, pattern in enumerate(patterns):
            for match in pattern.finditer(line):
                mentioned = match.group(1).rstrip(".,:;")
                if line[match.end():match.end() + 1] in ("<", "{"):
                    continue  # a pattern such as src/<folder>
                if not exists(root, source.folder if kind == 2 else "", mentioned, kind == 1):
                    report(source.path, number, "path", f"{mentioned} does not exist")


def exists(root, folder, mentioned, in_src):
    base = root / "src" if in_src else root / folder
    if in_src and (root / mentioned).exists():
        return True
    if "*" in mentioned:
        return any(base.glob(mentioned))
    return (base / mentioned).exists()
