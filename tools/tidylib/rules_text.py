"""Rules for every text file we wrote: width, tabs, blanks at line ends, last line feed."""
COLUMNS_MAX = 100
COLUMNS_MAX_PYTHON = 120  # scripts carry long data lines
NARROW = ("c", "h", "cu", "cuh", "py", "sh", "build")
TABS_ALLOWED = ("Makefile",)


def check(source, report):
    if "\r" in source.text:
        report(1, "line-end", "carriage return")
    if source.text and not source.text.endswith("\n"):
        report(len(source.lines), "line-end", "no line feed at the end of the file")
    if source.text.endswith("\n\n"):
        report(len(source.lines), "line-end", "blank lines at the end of the file")
    for number, line in enumerate(source.lines, 1):
        if line != line.rstrip():
            report(number, "trailing-blank", "blanks at the end of the line")
        if "\t" in line and source.name not in TABS_ALLOWED:
            report(number, "tab", "tab character")
        limit = COLUMNS_MAX_PYTHON if source.suffix == "py" else COLUMNS_MAX
        if source.suffix in NARROW and len(line) > limit:
            if not source.is_allowed("columns", number):
                report(number, "columns", f"{len(line)} columns, the limit is {limit}")
