"""Rules for C files: includes, names, sizes, banned calls, doc comments, guards."""
import re

LINES_MAX = {"c": 1000, "cu": 800, "h": 300, "cuh": 300}
FUNCTION_LINES_MAX = 100
KERNEL_LINES_MAX = 150  # below src/compute
PARAMS_MAX = 7
NESTING_MAX = 4

VARIANT = re.compile(r"_(ref|sse2|avx2|avx512|avx512bf16|avx512vnni|amx|neon|sve|cuda|fake)$")

BANNED = {name: "it writes or reads without a bound, use base/buf or base/str" for name in (
    "strcpy", "stpcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "alloca")}
BANNED.update({name: "it hides errors, use str_to_u64, str_to_i64 or str_to_f64" for name in (
    "atoi", "atol", "atoll", "atof", "sscanf", "strtol", "strtoll", "strtoul", "strtoull", "strtod",
    "strtof")})
SHELL = {name: "commands do not go through a shell" for name in ("system", "popen")}
NETWORK = re.compile(r"(?<![\w.>])(connect|sendto|sendmsg|sendmmsg|curl_\w+)\s*\(")
EGRESS = "src/net/egress.c"
PERMIT_HEADER = "net/permit.h"  # who includes it can make a permit to send
PERMIT_MAKERS = ("src/net/egress.c", "src/gateway/policy.c", "src/gateway/policy_lend.c",
                 "src/gateway/policy_permit.c", "src/app/")
RESERVED_PREFIXES = re.compile(r"^(clock_|time_|str[a-z])")


def check(source, tree, report):
    include_table(source, tree, report)
    sizes(source, report)
    functions(source, tree, report)
    banned_calls(source, report)
    if source.suffix in ("h", "cuh"):
        guard(source, report)
        if source.path.startswith("src/"):
            heading(source, report)
            doc_comments(source, report)
    for number, _, reason in source.allows:
        if not reason:
            report(number, "allow-reason", 'write "tidy-allow: <rule> because <reason>"')


def include_table(source, tree, report):
    parts = source.path.split("/")
    in_src = parts[0] == "src" and len(parts) > 2
    if in_src and parts[1] not in tree.include_table:
        report(1, "include-table", f"src/{parts[1]} has no line in the table of ARCHITECTURE.md")
        return
    for number, header in source.includes():
        folder = header.split("/")[0]
        if in_src:
            allowed = tree.include_table[parts[1]]
            if "/" not in header:
                report(number, "include-table", f'name the folder: "{parts[1]}/{header}"')
            elif folder != parts[1] and folder not in allowed and header not in allowed:
                report(number, "include-table",
                       f'src/{parts[1]} may not include "{header}" (table in ARCHITECTURE.md)')
        if in_src and header == PERMIT_HEADER and not source.path.startswith(PERMIT_MAKERS):
            report(number, "permit", f'only {", ".join(PERMIT_MAKERS)} may include "{header}"')
        if in_src and re.search(r"_internal\.(h|cuh)$", header):
            home = "src/" + header.rpartition("/")[0]
            if source.folder != home and not source.folder.startswith(home + "/"):
                report(number, "internal-header", f'"{header}" is for its own folder')


def sizes(source, report):
    n = len(source.lines) - 1
    limit = LINES_MAX[source.suffix]
    if n > limit and not source.is_allowed("size"):
        report(n, "size", f"{n} lines, the limit for .{source.suffix} is {limit}")


def prefixes(source, tree):
    """A file exports its own name, or that of the module header it is a part of."""
    stem = source.stem
    while VARIANT.search(stem):
        stem = VARIANT.sub("", stem)
    names = [stem]
    for header in tree.header_stems(source.folder):
        owner = header.removesuffix("_internal")
        if stem == owner or stem.startswith(owner + "_"):
            names.append(owner)
    return names


def functions(source, tree, report):
    exported_prefixes = prefixes(source, tree)
    lines_max = KERNEL_LINES_MAX if source.path.startswith("src/compute/") else FUNCTION_LINES_MAX
    for f in source.functions():
        def say(rule, text, f=f):
            if not source.is_allowed(rule, f.begin, f.end):
                report(f.begin, rule, text)

        if f.n_lines > lines_max:
            say("function-length", f"{f.name} has {f.n_lines} lines, the limit is {lines_max}")
        if f.params > PARAMS_MAX:
            say("parameters", f"{f.name} has {f.params} parameters, the limit is {PARAMS_MAX}")
        if f.nesting > NESTING_MAX:
            say("nesting", f"{f.name} nests {f.nesting} deep, the limit is {NESTING_MAX}")
        if source.path.startswith("src/") and source.suffix in ("c", "cu") and not f.is_static:
            exported_name(source, f, exported_prefixes, say)


def exported_name(source, f, names, say):
    if f.name == "main" or source.is_allowed("prefix"):
        return
    if not any(f.name == name or f.name.startswith(name + "_") for name in names):
        say("prefix", f"{f.name} is exported from {source.name}: its name starts with {names[0]}_")
    if RESERVED_PREFIXES.match(f.name):
        say("prefix", f"{f.name}: the C library owns this prefix")


def banned_calls(source, report):
    banned = dict(BANNED)
    in_src = source.path.startswith("src/")
    if in_src:
        banned.update(SHELL)
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(banned) + r")\s*\(")
    for match in pattern.finditer(source.code):
        line = source.line_of(match.start())
        if not source.is_allowed("banned-call", line):
            report(line, "banned-call", f"{match.group(1)}: {banned[match.group(1)]}")
    if in_src and source.path != EGRESS:
        for match in NETWORK.finditer(source.code):
            line = source.line_of(match.start())
            if not source.is_allowed("banned-call", line):
                report(line, "banned-call", f"{match.group(1)}: only {EGRESS} may reach out")


def guard(source, report):
    match = re.search(r"^#ifndef (\w+)\n#define (\w+)$", source.text, re.MULTILINE)
    parts = [re.sub(r"\W", "_", part).upper() for part in source.path.split("/")]
    wanted = {"_".join(parts[i:]) for i in range(len(parts) - 1)}
    if not match or match.group(1) != match.group(2) or match.group(1) not in wanted:
        if not source.is_allowed("guard"):
            want = "_".join(parts[1:]) if parts[0] in ("src", "tests") else "_".join(parts)
            report(1, "guard", f"include guard {want} expected")


def heading(source, report):
    if not source.text.startswith(f"/* {source.name} - "):
        report(1, "heading", f'starts with "/* {source.name} - what it is"')


DECLARATION = re.compile(
    r"^(?!static\b|typedef\b|extern\b)[A-Za-z_][\w\s*(),]*?\b([a-z_]\w*)\s*\([^;{}]*\)[^;{}=]*;",
    re.MULTILINE)


def doc_comments(source, report):
    """A declaration has /** before it, // behind it, or stands in a block whose first has one."""
    for match in DECLARATION.finditer(source.code):
        begin = source.line_of(match.start())
        end = source.line_of(match.end() - 1)
        if is_documented(source, begin, end) or source.is_allowed("doc-comment", begin, end):
            continue
        report(begin, "doc-comment", f"{match.group(1)} has no /** comment before it")


def is_documented(source, begin, end):
    if any("//" in source.lines[n - 1] for n in range(begin, end + 1)):
        return True
    for n in range(begin - 1, 0, -1):
        line = source.lines[n - 1].strip()
        if not line:
            return False
        if line.endswith("*/"):
            return True
    return False
