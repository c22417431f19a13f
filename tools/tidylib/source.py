"""A file as the rules see it: text, lines, C code without comments and strings, functions."""
import bisect
import re

ALLOW = re.compile(r"tidy-allow:\s*([\w-]+)(?:\s+because\s+(\S.*))?")
CONTROL_WORDS = ("if", "for", "while", "switch", "do", "else", "return", "sizeof")
TOKENS = re.compile(
    r'/\*.*?\*/|//(?:\\\n|[^\n])*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
BLANKED_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)


class Function:
    """A function definition: name, parameters, where it stands, how deep it nests."""

    def __init__(self, name, head, params, begin, end, nesting):
        self.name = name
        self.is_static = re.search(r"\bstatic\b", head) is not None
        self.params = params
        self.begin = begin  # first line of the head
        self.end = end  # line of the closing brace
        self.nesting = nesting

    @property
    def n_lines(self):
        return self.end - self.begin + 1


class Source:
    """One file below the root.  `path` is relative, with forward slashes."""

    def __init__(self, root, path):
        self.path = path
        raw = (root / path).read_bytes()
        self.text = raw.decode("utf-8", "replace")
        self.lines = self.text.split("\n")
        self.name = path.rsplit("/", 1)[-1]
        self.stem, _, self.suffix = self.name.rpartition(".")
        self.folder = path.rpartition("/")[0]
        self._line_starts = [0]
        for line in self.lines:
            self._line_starts.append(self._line_starts[-1] + len(line) + 1)
        self.is_c = self.suffix in ("c", "h", "cu", "cuh")
        self.code = blank(self.text) if self.is_c else ""
        self.allows = [(number, match.group(1), match.group(2))
                       for number, line in enumerate(self.lines, 1)
                       for match in ALLOW.finditer(line)] if self.is_c else []

    def line_of(self, offset):
        return bisect.bisect_right(self._line_starts, offset)

    def is_allowed(self, rule, begin=None, end=None):
        """A tidy-allow for `rule`: anywhere (no range), or in the range or three lines above it."""
        for number, allowed, reason in self.allows:
            if allowed == rule and reason:
                if begin is None or begin - 3 <= number <= (end or begin):
                    return True
        return False

    def includes(self):
        """(line, header) of every #include "..."."""
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if match:
                yield number, match.group(1)

    def functions(self):
        """Definitions in this file."""
        code = BLANKED_DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), self.code)
        depth = 0
        last_end = 0  # offset behind the last ';' or '}' at depth 0
        at = 0
        while at < len(code):
            c = code[at]
            if c == "{":
                if depth == 0:
                    head = code[last_end:at]
                    close = matching_brace(code, at)
                    function = self._function(head, last_end, at, close, code)
                    if function:
                        yield function
                    at = close
                    # `= {...};` goes on to its semicolon, a function ends here
                    last_end = close + 1
            elif c == ";":
                last_end = at + 1
            at += 1

    def _function(self, head, head_offset, brace, close, code):
        stripped = head.rstrip()
        if not stripped.endswith(")") or "=" in head:
            return None
        open_paren = matching_paren_backwards(stripped)
        match = re.search(r"([A-Za-z_]\w*)\s*$", stripped[:open_paren])
        while match and match.group(1).startswith("__attribute"):
            stripped = stripped[:match.start()].rstrip()
            if not stripped.endswith(")"):
                return None
            open_paren = matching_paren_backwards(stripped)
            match = re.search(r"([A-Za-z_]\w*)\s*$", stripped[:open_paren])
        if not match or match.group(1) in CONTROL_WORDS:
            return None
        lead = len(head) - len(head.lstrip())
        body = code[brace + 1:close]
        return Function(match.group(1), head, count_params(stripped[open_paren + 1:-1]),
                        self.line_of(head_offset + lead), self.line_of(close), nesting(body))


def blank(text):
    """Comments and literals become blanks; every line keeps its number and length."""
    def cover(match):
        token = match.group()
        if token[0] in "\"'":
            return token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[-1]
        return re.sub(r"[^\n]", " ", token)

    return TOKENS.sub(cover, text)


def matching_brace(code, at):
    depth = 0
    for i in range(at, len(code)):
        if code[i] == "{":
            depth += 1
        elif code[i] == "}":
            depth -= 1
            if depth == 0:
                return i
    return len(code) - 1


def matching_paren_backwards(text):
    depth = 0
    for i in range(len(text) - 1, -1, -1):
        if text[i] == ")":
            depth += 1
        elif text[i] == "(":
            depth -= 1
            if depth == 0:
                return i
    return 0


def count_params(params):
    if params.strip() in ("", "void"):
        return 0
    depth = 0
    n = 1
    for c in params:
        if c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == "," and depth == 0:
            n += 1
    return n


def is_control(before):
    """True when a brace behind this text opens a block and not an initialiser."""
    if re.search(r"\b(else|do)$", before):
        return True
    if not before.endswith(")"):
        return False
    head = before[:matching_paren_backwards(before)]
    return re.search(r"\b(if|for|while|switch)\s*$", head) is not None


def nesting(body):
    """Deepest level of if/for/while/switch/else blocks; initialisers do not count."""
    stack = []
    deepest = 0
    for match in re.finditer(r"[{}]", body):
        if match.group() == "{":
            before = body[:match.start()].rstrip()
            stack.append(is_control(before))
            deepest = max(deepest, sum(stack))
        elif stack:
            stack.pop()
    return deepest
