"""Each rule of tools/tidy.py: a tree that breaks it is found, the repaired one is not."""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import ROOT, expect, main, test  # noqa: E402 - behind the path

PAGE = """# Architecture

## Include table

    src/base    -
    src/net     base
    src/engine  base
    src/gateway base net engine/engine.h

The rest: `src/base/good.c`, net/http.c.
"""
HEADER = """/* good.h - what is good.
 */
#ifndef BASE_GOOD_H
#define BASE_GOOD_H

/** How good it is. */
int good_count(void);

#endif
"""
CODE = """#include "base/good.h"

int good_count(void)
{
    return 1;
}
"""
CLEAN = {
    "ARCHITECTURE.md": PAGE,
    "src/base/good.h": HEADER,
    "src/base/good.c": CODE,
    "src/net/http.c": '#include "base/good.h"\n',
    "src/engine/engine.h": HEADER.replace("good.h", "engine.h").replace(
        "BASE_GOOD_H", "ENGINE_ENGINE_H").replace("good_count", "engine_count"),
    "src/gateway/pipeline.c": '#include "engine/engine.h"\n#include "net/http_x.h"\n',
}


def findings(**changes):
    """Rules reported for the clean tree with files replaced; keys are paths, values texts."""
    files = {**CLEAN, **changes.pop("files", {})}
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            (pathlib.Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (pathlib.Path(folder) / path).write_text(text)
        done = subprocess.run([sys.executable, str(ROOT / "tools" / "tidy.py"), "--root", folder],
                              capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.count(":") >= 3]
    expect(done.returncode, 1 if lines else 0, "exit status")
    expect(done.stderr, "", "stderr")
    return [line.split(": ")[1] for line in lines]


def expect_found(rule, path, text):
    expect(findings(files={path: text}), [rule], f"findings in {path}")


def expect_clean(path, text):
    expect(findings(files={path: text}), [], f"findings in {path}")


def function(body, head="static int x(void)"):
    return f"{head}\n{{\n{body}\n}}\n"


@test
def the_clean_tree_is_clean():
    expect(findings(), [])


@test
def includes_follow_the_table():
    expect_found("include-table", "src/base/bad.c", '#include "net/http.h"\n')
    expect_found("include-table", "src/gateway/bad.c", '#include "engine/step.h"\n')
    expect_found("include-table", "src/net/bad.c", '#include "http.h"\n')
    expect_found("include-table", "src/unknown/bad.c", '#include "base/good.h"\n')
    expect_clean("src/net/ok.c", '#include "base/good.h"\n#include <stdio.h>\n')


@test
def a_page_without_table_is_found():
    got = findings(files={"ARCHITECTURE.md": "# nothing\n"})
    expect(got[0], "include-table")


@test
def internal_headers_stay_at_home():
    expect_found("internal-header", "src/net/bad.c", '#include "base/good_internal.h"\n')
    expect_clean("src/base/ok.c", '#include "base/good_internal.h"\n')


@test
def stems_are_unique_in_src():
    expect_found("unique-name", "src/net/good.c", '#include "base/good.h"\n')
    expect_clean("tests/good.c", "static int x;\n")


@test
def long_files_are_found():
    expect_found("size", "src/base/long.c", "static int x;\n" * 1001)
    expect_clean("src/base/long.c", "static int x;\n" * 1000)
    excuse = "/* tidy-allow: size because it is a table */\n"
    expect_clean("src/base/long.c", excuse + "static int x;\n" * 1001)


@test
def an_excuse_needs_a_reason():
    expect_found("allow-reason", "src/base/ok.c", "/* tidy-allow: size */\n")


@test
def long_functions_are_found():
    body = "\n".join(["    x();"] * 98)
    expect_found("function-length", "src/base/bad.c", function(body))
    expect_clean("src/base/ok.c", function("\n".join(["    x();"] * 97)))
    expect_clean("src/base/ok.c",
                 "/* tidy-allow: function-length because of its table */\n" + function(body))


@test
def many_parameters_are_found():
    params = ", ".join(f"int p{i}" for i in range(8))
    expect_found("parameters", "src/base/bad.c", function("    x();", f"static int x({params})"))
    params = ",\n".join(f"int (*p{i})(int, int)" for i in range(7))
    expect_clean("src/base/ok.c", function("    x();", f"static int x({params})"))


@test
def deep_nesting_is_found():
    deep = "    if (a) {\n" * 5 + "    }\n" * 5
    expect_found("nesting", "src/base/bad.c", function(deep))
    values = "    struct s s = {{{{1}}}};\n    f(&(struct s){1});\n"
    flat = "    if (a) {\n" * 4 + values + "    }\n" * 4
    expect_clean("src/base/ok.c", function(flat))
    expect_clean("src/base/ok.c", function("    if (a) {\n    } else if (b) {\n    }\n" * 9))


@test
def exported_names_start_with_the_file():
    expect_found("prefix", "src/base/bad.c", function("    x();", "int other_count(void)"))
    expect_found("prefix", "src/base/bad.c", function("    x();", "int badly(void)"))
    expect_clean("src/base/good_part.c", function("    x();", "int good_more(void)"))
    expect_clean("src/base/good_avx2.c", function("    x();", "int good_avx2(void)"))
    expect_clean("src/base/main.c", function("    x();", "int main(void)"))
    expect_clean("src/base/ok.c", function("    x();", "static int other(void)"))
    expect_found("prefix", "src/base/clock.c", function("    x();", "int clock_now(void)"))
    expect_clean("src/base/ok.c", "/* tidy-allow: prefix because the table lives elsewhere */\n"
                 + function("    x();", "int other(void)"))


@test
def banned_calls_are_found_in_code_only():
    expect_found("banned-call", "src/base/bad.c", function("    sprintf(a, b);"))
    expect_found("banned-call", "tests/bad.c", function("    n = atoi (a);"))
    expect_found("banned-call", "src/base/bad.c", function("    system(a);"))
    expect_clean("src/base/ok.c", function('    /* sprintf(a) */ x("atoi(b)"); y->strtok(a);'))
    expect_clean("src/base/ok.c", function("    snprintf(a, n, b); my_strcpy(a);"))
    expect_clean("tests/ok.c", function("    system(a);"))


@test
def only_the_egress_door_reaches_out():
    expect_found("banned-call", "src/net/bad.c", function("    connect(fd, a, n);"))
    expect_found("banned-call", "src/gateway/bad.c", function("    curl_easy_perform(c);"))
    expect_clean("src/net/egress.c", function("    connect(fd, a, n);"))
    expect_clean("src/net/ok.c", function("    http_connect(a); t->connect(a);"))
    expect_clean("tests/ok.c", function("    connect(fd, a, n);"))


@test
def only_policy_and_the_operator_s_commands_make_permits():
    code = '#include "net/permit.h"\n'
    expect_found("permit", "src/gateway/stage_route.c", code)
    expect_found("permit", "src/net/http.c", code)
    expect_clean("src/gateway/policy.c", code)
    expect_clean("src/net/egress.c", code)


@test
def declarations_need_a_doc_comment():
    bare = HEADER.replace("/** How good it is. */\n", "")
    expect_found("doc-comment", "src/base/good.h", bare)
    expect_clean("src/base/good.h", bare.replace("(void);", "(void); // how good it is"))
    group = HEADER.replace("int good_count(void);", "int good_count(void);\nint good_more(int a,\n"
                           "              int b);")
    expect_clean("src/base/good.h", group)
    split = group.replace("int good_more", "\nint good_more")
    expect_found("doc-comment", "src/base/good.h", split)
    expect_clean("src/base/good.h", HEADER.replace(
        "#endif\n", "struct s {\n    int (*call)(int a);\n};\nstatic inline int good_one(void)\n"
        "{\n    return 1;\n}\n#endif\n"))


@test
def guards_and_headings():
    expect_found("guard", "src/base/good.h", HEADER.replace("BASE_GOOD_H", "GOOD_H"))
    expect_found("guard", "src/base/good.h", HEADER.replace("#define BASE_GOOD_H", "#define X"))
    expect_found("heading", "src/base/good.h", HEADER.replace("good.h - ", "great.h - "))


@test
def lines_are_narrow_and_clean():
    expect_found("columns", "src/base/bad.c", "// " + "x" * 98 + "\n")
    expect_clean("src/base/ok.c", "// " + "\u00e4" * 97 + "\n")
    expect_found("tab", "src/base/bad.c", "\tint x;\n")
    expect_found("trailing-blank", "src/base/bad.c", "static int x; \n")
    expect_found("line-end", "src/base/bad.c", "static int x;")
    expect_found("line-end", "src/base/bad.c", "static int x;\n\n")
    expect_found("columns", "tools/bad.py", "x = 1  # " + "x" * 118 + "\n")
    expect_clean("docs/ok.md", "x" * 200 + "\n")


@test
def paths_in_pages_exist():
    expect_found("path", "README.md", "See src/base/gone.c.\n")
    expect_found("path", "docs/page.md", "See `net/gone.c`.\n")
    expect_found("path", "README.md", "See [this](docs-gone.md).\n")
    expect_clean("README.md", "See src/base/good.c, tools, src/base/*.h and src/<folder>/x.c,\n"
                 "`base/good.h`, [a](ARCHITECTURE.md), [b](https://example.org/docs/x.md).\n")


if __name__ == "__main__":
    main()
