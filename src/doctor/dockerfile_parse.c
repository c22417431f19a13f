#include "base/json.h"
#include "doctor/dockerfile.h"

#include <string.h>

static size_t line_end(struct str text, size_t at)
{
    size_t end = str_find_byte(text, '\n', at);

    return end == SIZE_MAX ? text.len : end;
}

static bool continues(struct str line)
{
    struct str s = line;

    while (s.len > 0 &&
           (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r')) {
        s.len--;
    }
    return s.len > 0 && s.ptr[s.len - 1] == '\\';
}

/* "<<EOF" in the first line of RUN or COPY: its end word, or "". */
static struct str heredoc_mark(struct str line)
{
    size_t at = str_find(line, STR("<<"), 0);
    size_t end;

    if (at == SIZE_MAX) {
        return STR("");
    }
    at += 2;
    while (at < line.len && (line.ptr[at] == '-' || line.ptr[at] == '"' || line.ptr[at] == '\'')) {
        at++;
    }
    end = at;
    while (end < line.len &&
           ((line.ptr[end] >= 'A' && line.ptr[end] <= 'Z') ||
            (line.ptr[end] >= 'a' && line.ptr[end] <= 'z') || line.ptr[end] == '_')) {
        end++;
    }
    return str_slice(line, at, end);
}

/* The end of the instruction that begins at `at`. */
static size_t instruction_end(struct str text, size_t at)
{
    size_t end = line_end(text, at);
    struct str first = str_slice(text, at, end);
    struct str mark = heredoc_mark(first);

    if (mark.len > 0) {
        size_t from = end;

        while (from < text.len) {
            size_t next = line_end(text, from + 1);
            struct str s = str_trim(str_slice(text, from + 1, next));

            from = next;
            if (str_eq(s, mark)) {
                return next;
            }
        }
        return text.len;
    }
    while (continues(str_slice(text, at, end)) && end < text.len) {
        struct str next;

        do { // comment and empty lines inside a continuation are skipped
            at = end + 1;
            end = line_end(text, at);
            next = str_trim(str_slice(text, at, end));
        } while (end < text.len && (next.len == 0 || next.ptr[0] == '#'));
    }
    return end;
}

static struct str fold(struct files_ctx *c, size_t begin, size_t end)
{
    struct str out = STR("");
    struct buf b;

    buf_init(&b, FILES_BYTES_MAX);
    for (size_t i = begin; i < end; i++) {
        char ch = c->text.ptr[i];

        if (ch == '\\' && i + 1 < end &&
            (c->text.ptr[i + 1] == '\n' || c->text.ptr[i + 1] == '\r')) {
            continue;
        }
        buf_append_byte(&b, ch == '\n' || ch == '\r' || ch == '\t' ? ' ' : ch);
    }
    if (arena_dup(c->arena, str_trim(buf_str(&b)), &out) != OK) {
        c->no_memory = true;
    }
    buf_done(&b);
    return out;
}

MUST_USE enum status dockerfile_parse(struct files_ctx *c, struct dockerfile *ret_file,
                                      struct error *err)
{
    struct dockerfile f = {0};
    size_t at = 0;
    uint32_t stage = 0;

    f.items = arena_zalloc(c->arena, DOCKERFILE_INSTRUCTIONS_MAX, sizeof(*f.items));
    if (f.items == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    while (at < c->text.len) {
        size_t end = line_end(c->text, at);
        struct str s = str_trim(str_slice(c->text, at, end));
        struct dockerfile_instruction i = {0};
        size_t word;

        if (str_starts(s, STR("\xef\xbb\xbf"))) {
            s = str_slice(s, 3, s.len);
        }
        if (s.len == 0 || s.ptr[0] == '#') {
            at = end + 1;
            continue;
        }
        if (f.n == DOCKERFILE_INSTRUCTIONS_MAX) {
            return error_set(err, E_LIMIT, "%.*s has more than %d instructions", STR_ARG(c->path),
                             DOCKERFILE_INSTRUCTIONS_MAX);
        }
        i.at = (size_t)(s.ptr - c->text.ptr);
        i.end = instruction_end(c->text, at);
        word = i.at;
        while (word < i.end && c->text.ptr[word] != ' ' && c->text.ptr[word] != '\t' &&
               c->text.ptr[word] != '\n' && c->text.ptr[word] != '\r') {
            word++;
        }
        i.name = str_slice(c->text, i.at, word);
        while (word < i.end && (c->text.ptr[word] == ' ' || c->text.ptr[word] == '\t')) {
            word++;
        }
        i.begin = word;
        stage += str_eq_nocase(i.name, STR("FROM"));
        i.stage = stage;
        i.json = word < i.end && c->text.ptr[word] == '[';
        i.plain = fold(c, i.begin, i.end);
        f.items[f.n++] = i;
        at = i.end + 1;
    }
    *ret_file = f;
    return OK;
}

bool dockerfile_json_words(struct files_ctx *c, size_t begin, size_t end,
                           struct files_command *ret_command)
{
    const struct json_value *root = NULL;
    struct str text = str_slice(c->text, begin, end);
    struct buf plain;
    struct str copied = STR("");
    bool good;

    buf_init(&plain, FILES_BYTES_MAX);
    for (size_t i = 0; i < text.len; i++) { // continuations become blanks, offsets stay
        bool joint = text.ptr[i] == '\\' && i + 1 < text.len &&
                     (text.ptr[i + 1] == '\n' || text.ptr[i + 1] == '\r');

        buf_append_byte(&plain, joint ? ' ' : text.ptr[i]);
    }
    good = arena_dup(c->arena, buf_str(&plain), &copied) == OK &&
           json_parse(c->arena, copied, NULL, &root, NULL) == OK && root->kind == JSON_ARRAY;
    buf_done(&plain);
    *ret_command = (struct files_command){.is_list = true};
    if (!good) {
        return false;
    }
    ret_command->words = arena_zalloc(c->arena, root->n_items + 1, sizeof(*ret_command->words));
    if (ret_command->words == NULL) {
        c->no_memory = true;
        return true;
    }
    for (uint32_t i = 0; i < root->n_items; i++) {
        const struct json_value *v = &root->items[i];
        size_t at = begin + (size_t)(v->source.ptr - copied.ptr);

        if (v->kind != JSON_STRING) {
            return false;
        }
        ret_command->words[ret_command->n_words++] =
            (struct files_word){.text = v->string,
                                .begin = at,
                                .end = at + v->source.len,
                                .expands = str_find_byte(v->string, '$', 0) != SIZE_MAX};
    }
    return true;
}
