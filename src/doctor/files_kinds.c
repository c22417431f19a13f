#include "doctor/files_kinds.h"

#include "base/check.h"

#include <string.h>

const char *files_kind_name(enum files_kind kind)
{
    static const char *const names[] = {"unknown",      "entry script",       "Dockerfile",
                                        "Compose file", "Docker daemon.json", "Kubernetes manifest",
                                        ".env file"};

    return names[kind];
}

static struct str base_name(struct str path)
{
    for (size_t i = path.len; i > 0; i--) {
        if (path.ptr[i - 1] == '/') {
            return str_slice(path, i, path.len);
        }
    }
    return path;
}

/* A line that begins with `word` (blanks before it allowed when `indented`). */
static bool has_line(struct str text, const char *word, bool indented)
{
    struct str w = str_from_c(word);
    size_t at = 0;

    while (at < text.len) {
        size_t end = str_find_byte(text, '\n', at);
        struct str line = str_slice(text, at, end == SIZE_MAX ? text.len : end);

        if (str_starts(indented ? str_trim(line) : line, w)) {
            return true;
        }
        if (end == SIZE_MAX) {
            break;
        }
        at = end + 1;
    }
    return false;
}

static enum files_kind yaml_kind(struct str text)
{
    bool object = has_line(text, "kind:", true) || has_line(text, "\"kind\":", true);

    if (object && (has_line(text, "apiVersion:", true) || has_line(text, "\"apiVersion\":", true) ||
                   !has_line(text, "services:", false))) {
        return FILES_MANIFEST;
    }
    if (has_line(text, "services:", false) || has_line(text, "  image:", false) ||
        has_line(text, "version:", false)) {
        return FILES_COMPOSE;
    }
    if (has_line(text, "apiVersion:", true) || has_line(text, "spec:", false)) {
        return FILES_MANIFEST;
    }
    /* brackets or a tab first: what it was meant to be shows in the reading */
    return str_find(text, STR("services:"), 0) != SIZE_MAX || str_starts(text, STR("["))
               ? FILES_COMPOSE
               : FILES_UNKNOWN;
}

static bool looks_like_dotenv(struct str text)
{
    size_t at = 0;
    bool any = false;

    while (at < text.len) {
        size_t end = str_find_byte(text, '\n', at);
        struct str line = str_trim(str_slice(text, at, end == SIZE_MAX ? text.len : end));
        struct str name;
        struct str value;

        if (line.len > 0 && line.ptr[0] != '#') {
            if (!files_env_split(line, &name, &value)) {
                return false;
            }
            any = true;
        }
        if (end == SIZE_MAX) {
            break;
        }
        at = end + 1;
    }
    return any;
}

enum files_kind files_recognise(struct str name, struct str text)
{
    struct str base = base_name(name);
    struct str head = str_trim(text);

    if (str_starts(head, STR("\xef\xbb\xbf"))) {
        head = str_slice(head, 3, head.len);
    }
    if (str_starts(head, STR("#!"))) {
        return FILES_SCRIPT;
    }
    if (str_ends(base, STR(".sh")) || str_ends(base, STR(".bash"))) {
        return FILES_SCRIPT;
    }
    if (files_has_text(base, "dockerfile") || files_has_text(base, "containerfile")) {
        return FILES_DOCKERFILE;
    }
    if (str_ends(base, STR(".yml")) || str_ends(base, STR(".yaml"))) {
        return yaml_kind(text);
    }
    if (str_ends(base, STR(".json"))) {
        return str_find(text, STR("\"apiVersion\""), 0) != SIZE_MAX ? FILES_MANIFEST : FILES_DAEMON;
    }
    if (str_eq(base, STR(".env")) || str_ends(base, STR(".env")) ||
        str_starts(base, STR(".env."))) {
        return FILES_DOTENV;
    }
    if (has_line(text, "FROM ", false)) {
        return FILES_DOCKERFILE;
    }
    if (head.len > 0 && head.ptr[0] == '{') {
        return str_find(text, STR("\"apiVersion\""), 0) != SIZE_MAX ? FILES_MANIFEST : FILES_DAEMON;
    }
    if (has_line(text, "services:", false) || has_line(text, "apiVersion:", false)) {
        return yaml_kind(text);
    }
    if (looks_like_dotenv(text)) {
        return FILES_DOTENV;
    }
    if (has_line(text, "export ", true) || has_line(text, "vllm ", true) ||
        has_line(text, "docker run", true) || has_line(text, "python", true)) {
        return FILES_SCRIPT;
    }
    return FILES_UNKNOWN;
}

/* Windows line ends: every kind but scripts reads past them, scripts fail on them. */
static void check_line_ends(struct files_ctx *c)
{
    size_t first = str_find(c->text, STR("\r\n"), 0);
    bool kernel_reads = c->kind == FILES_SCRIPT;

    if (first == SIZE_MAX) {
        return;
    }
    if (kernel_reads || c->kind == FILES_DOTENV) {
        files_wrong(
            c, first, "crlf", STR("Windows line ends (CR LF)"),
            kernel_reads
                ? STR("Each line ends with a carriage return. The kernel then looks for an "
                      "interpreter named \"bash\\r\", and every last word of a line gets a "
                      "\\r at its end.")
                : STR("Each value ends with a carriage return (\\r), which becomes part of "
                      "it."),
            STR("Convert the file to LF (dos2unix, or sed -i 's/\\r$//') and add `*.sh text "
                "eol=lf` to .gitattributes, so that a checkout on Windows keeps LF."));
        for (size_t at = first; at != SIZE_MAX; at = str_find(c->text, STR("\r\n"), at + 2)) {
            files_replace(c, at, at + 1, STR(""));
        }
    } else {
        files_advise(c, first, STR("Windows line ends; harmless here, but not inside a heredoc"));
    }
}

static bool beside_text(struct str text, size_t at, size_t n)
{
    return (at > 0 && ((unsigned char)text.ptr[at - 1] & 0x80) != 0) ||
           (at + n < text.len && ((unsigned char)text.ptr[at + n] & 0x80) != 0);
}

/* Characters that word processors and web pages put in place of ASCII. */
static void check_typography(struct files_ctx *c)
{
    static const struct {
        const char *utf8;
        const char *ascii;
        const char *what;
    } odd[] = {
        {"\xe2\x80\x9c", "\"", "a curly quote"},     {"\xe2\x80\x9d", "\"", "a curly quote"},
        {"\xe2\x80\x98", "'", "a curly quote"},      {"\xe2\x80\x99", "'", "a curly quote"},
        {"\xe2\x80\x93", "--", "a long dash"},       {"\xe2\x80\x94", "--", "a long dash"},
        {"\xc2\xa0", " ", "a no-break space"},       {"\xe3\x80\x80", " ", "a full-width space"},
        {"\xef\xbc\x9a", ":", "a full-width colon"}, {"\xef\xbc\x8c", ",", "a full-width comma"},
        {"\xe2\x80\x8b", "", "a zero-width space"},
    };

    for (size_t k = 0; k < ARRAY_COUNT(odd); k++) {
        struct str needle = str_from_c(odd[k].utf8);

        for (size_t at = str_find(c->text, needle, 0); at != SIZE_MAX;
             at = str_find(c->text, needle, at + needle.len)) {
            uint32_t line = files_line_of(c, at);
            size_t begin = c->line_at[line - 1];
            struct str before = str_slice(c->text, begin, at);
            bool after_hyphen = at > begin && c->text.ptr[at - 1] == '-';
            bool dash = odd[k].ascii[0] == '-';

            if (str_find_byte(before, '#', 0) != SIZE_MAX || beside_text(c->text, at, needle.len)) {
                continue; // in a comment or in prose of another script
            }
            if (dash && at > begin && c->text.ptr[at - 1] != ' ' && !after_hyphen &&
                c->text.ptr[at - 1] != '"') {
                continue; // inside prose
            }
            if (dash && at + 3 < c->text.len && c->text.ptr[at + 3] == ' ') {
                continue;
            }
            files_wrong(
                c, at, "typography", files_text(c, "%s where ASCII is meant", odd[k].what),
                STR("The text was copied from a web page or word processor that replaced "
                    "quotes, dashes or blanks. Programs do not know these characters as "
                    "quotes, option dashes or separators."),
                STR("Type the character again on the keyboard (\" ' - and a plain blank)."));
            files_replace(c, at, at + needle.len,
                          str_from_c(after_hyphen && dash ? "-" : odd[k].ascii));
        }
    }
}

MUST_USE enum status files_kinds_check(struct files_ctx *c, struct error *err)
{
    static enum status (*const checks[])(struct files_ctx *, struct error *) = {
        [FILES_SCRIPT] = script_check,     [FILES_DOCKERFILE] = dockerfile_check,
        [FILES_COMPOSE] = compose_check,   [FILES_DAEMON] = daemon_check,
        [FILES_MANIFEST] = manifest_check, [FILES_DOTENV] = dotenv_check,
    };

    check_line_ends(c);
    check_typography(c);
    return checks[c->kind](c, err);
}
