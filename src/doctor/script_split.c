#include "base/check.h"
#include "doctor/script.h"

#include <string.h>

struct splitter {
    struct files_ctx *c;
    struct str text;
    size_t at;
    size_t end;
    bool docker;
    struct files_word *words; // [FILES_WORDS_MAX]
    uint32_t n_words;
    struct files_command *cmds; // [FILES_WORDS_MAX]
    uint32_t n_cmds;
    uint32_t first; // first word of the command being read
    size_t open_quote;
    bool piped;
    struct str heredoc[8];
    bool heredoc_tabs[8];
    uint32_t n_heredocs;
    struct buf word;
};

static char peek(const struct splitter *s, size_t ahead)
{
    return s->at + ahead < s->end ? s->text.ptr[s->at + ahead] : '\0';
}

static void close_command(struct splitter *s, char after)
{
    if (s->n_words > s->first && s->n_cmds < FILES_WORDS_MAX) {
        s->cmds[s->n_cmds++] = (struct files_command){.words = s->words + s->first,
                                                      .n_words = s->n_words - s->first,
                                                      .after = after,
                                                      .in_pipe = s->piped};
    }
    s->first = s->n_words;
    s->piped = after == '|';
}

/* Behind `open`: to the matching `close`, quotes inside skipped. */
static void skip_group(struct splitter *s, char open, char close)
{
    uint32_t depth = 1;
    char quote = 0;

    while (s->at < s->end && depth > 0) {
        char ch = s->text.ptr[s->at];

        if (ch == '\\' && quote != '\'') {
            buf_append_byte(&s->word, ch);
            s->at++;
            if (s->at == s->end) {
                return;
            }
            ch = s->text.ptr[s->at];
        } else if (quote != 0) {
            quote = ch == quote ? 0 : quote;
        } else if (ch == '"' || ch == '\'') {
            quote = ch;
        } else if (ch == open) {
            depth++;
        } else if (ch == close) {
            depth--;
        }
        buf_append_byte(&s->word, ch);
        s->at++;
    }
}

/* $NAME stays as it is; $( and ${ are taken whole. */
static void take_dollar(struct splitter *s)
{
    buf_append_byte(&s->word, '$');
    s->at++;
    if (peek(s, 0) == '(') {
        buf_append_byte(&s->word, '(');
        s->at++;
        skip_group(s, '(', ')');
    } else if (peek(s, 0) == '{') {
        buf_append_byte(&s->word, '{');
        s->at++;
        skip_group(s, '{', '}');
    }
}

static void take_double_quoted(struct splitter *s, bool *expands)
{
    size_t began = s->at++;

    while (s->at < s->end && s->text.ptr[s->at] != '"') {
        char ch = s->text.ptr[s->at];

        if (ch == '\\' && s->at + 1 < s->end) {
            char next = s->text.ptr[s->at + 1];

            if (next != '\n') {
                if (next != '"' && next != '\\' && next != '$' && next != '`') {
                    buf_append_byte(&s->word, '\\');
                }
                buf_append_byte(&s->word, next);
            }
            s->at += 2;
        } else if (ch == '$') {
            *expands = true;
            take_dollar(s);
        } else {
            *expands = *expands || ch == '`';
            buf_append_byte(&s->word, ch);
            s->at++;
        }
    }
    if (s->at == s->end) {
        s->open_quote = s->open_quote == SIZE_MAX ? began : s->open_quote;
    } else {
        s->at++;
    }
}

static void take_single_quoted(struct splitter *s)
{
    size_t close = str_find_byte(s->text, '\'', s->at + 1);

    if (close == SIZE_MAX || close >= s->end) {
        s->open_quote = s->open_quote == SIZE_MAX ? s->at : s->open_quote;
        close = s->end;
    }
    buf_append_str(&s->word, str_slice(s->text, s->at + 1, close));
    s->at = close < s->end ? close + 1 : s->end;
}

/* Skip "\ newline" between words; a Dockerfile allows blanks behind the backslash and comment
 * lines after it. */
static bool skip_continuation(struct splitter *s)
{
    size_t n = 1;

    while (s->docker && (peek(s, n) == ' ' || peek(s, n) == '\t')) {
        n++;
    }
    if (peek(s, n) == '\r') {
        n++;
    }
    if (peek(s, n) != '\n') {
        return s->docker && s->at + n >= s->end ? (s->at = s->end, true) : false;
    }
    s->at += n + 1;
    while (s->docker && s->at < s->end) {
        size_t k = s->at;

        while (k < s->end && (s->text.ptr[k] == ' ' || s->text.ptr[k] == '\t')) {
            k++;
        }
        if (k >= s->end || s->text.ptr[k] != '#') {
            break;
        }
        k = str_find_byte(s->text, '\n', k);
        s->at = k == SIZE_MAX || k >= s->end ? s->end : k + 1;
    }
    return true;
}

static bool ends_word(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r' || ch == ';' || ch == '|' ||
           ch == '&' || ch == '(' || ch == ')' || ch == '<' || ch == '>';
}

static MUST_USE enum status take_word(struct splitter *s, struct error *err)
{
    struct files_word w = {.begin = s->at};

    buf_reset(&s->word);
    while (s->at < s->end) {
        char ch = s->text.ptr[s->at];

        if (ch == '\\') {
            if (skip_continuation(s)) {
                continue;
            }
            if (s->at + 1 < s->end) {
                buf_append_byte(&s->word, s->text.ptr[s->at + 1]);
            }
            s->at += s->at + 1 < s->end ? 2 : 1;
        } else if (ch == '\'') {
            take_single_quoted(s);
        } else if (ch == '"') {
            take_double_quoted(s, &w.expands);
        } else if (ch == '$') {
            w.expands = true;
            take_dollar(s);
        } else if (ch == '`') {
            w.expands = true;
            buf_append_byte(&s->word, ch);
            s->at++;
            skip_group(s, '\x02', '`');
        } else if (ch == '=' && peek(s, 1) == '(') { // array=( ... )
            buf_append_c(&s->word, "=(");
            s->at += 2;
            w.expands = true;
            skip_group(s, '(', ')');
        } else if (ends_word(ch)) {
            break;
        } else {
            buf_append_byte(&s->word, ch);
            s->at++;
        }
    }
    w.end = s->at;
    while (w.end > w.begin && (s->text.ptr[w.end - 1] == '\n' || s->text.ptr[w.end - 1] == ' ')) {
        w.end--; // a continuation right behind the word
    }
    if (s->n_words == FILES_WORDS_MAX) {
        return error_set(err, E_LIMIT, "%.*s has more than %d words; that is no such file",
                         STR_ARG(s->c->path), FILES_WORDS_MAX);
    }
    if (arena_dup(s->c->arena, buf_str(&s->word), &w.text) != OK) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    s->words[s->n_words++] = w;
    return OK;
}

/* Behind "<<": remember the word that ends the body. */
static void take_heredoc_mark(struct splitter *s)
{
    bool tabs = peek(s, 0) == '-';
    size_t begin;

    s->at += tabs;
    while (peek(s, 0) == ' ') {
        s->at++;
    }
    begin = s->at;
    while (s->at < s->end && !ends_word(s->text.ptr[s->at])) {
        s->at++;
    }
    if (s->n_heredocs < ARRAY_COUNT(s->heredoc)) {
        struct str mark = str_slice(s->text, begin, s->at);

        if (mark.len >= 2 && (mark.ptr[0] == '\'' || mark.ptr[0] == '"')) {
            mark = str_slice(mark, 1, mark.len - 1);
        }
        s->heredoc[s->n_heredocs] = mark;
        s->heredoc_tabs[s->n_heredocs++] = tabs;
    }
}

/* At the line after the command: over the bodies. */
static void skip_heredocs(struct splitter *s)
{
    for (uint32_t i = 0; i < s->n_heredocs; i++) {
        while (s->at < s->end) {
            size_t end = str_find_byte(s->text, '\n', s->at);
            struct str line;

            end = end == SIZE_MAX || end > s->end ? s->end : end;
            line = str_slice(s->text, s->at, end);
            s->at = end < s->end ? end + 1 : s->end;
            if (str_eq(s->heredoc_tabs[i] ? str_trim(line) : line, s->heredoc[i])) {
                break;
            }
        }
    }
    s->n_heredocs = 0;
}

/* < and > with what follows; the target is no word of the command. */
static MUST_USE enum status take_redirection(struct splitter *s, struct error *err)
{
    enum status rc;

    if (peek(s, 0) == '<' && peek(s, 1) == '<' && peek(s, 2) != '<') {
        s->at += 2;
        take_heredoc_mark(s);
        return OK;
    }
    while (peek(s, 0) == '<' || peek(s, 0) == '>' || peek(s, 0) == '&') {
        s->at++;
    }
    while (peek(s, 0) == ' ') {
        s->at++;
    }
    if (s->at >= s->end || ends_word(s->text.ptr[s->at])) {
        if (peek(s, 0) == '(') { // <( ... )
            s->at++;
            buf_reset(&s->word);
            skip_group(s, '(', ')');
        }
        return OK;
    }
    rc = take_word(s, err);
    if (rc == OK) {
        s->n_words--;
        if (s->n_words > s->first) { // "2" of 2>&1
            struct files_word *w = &s->words[s->n_words - 1];

            if (w->text.len == 1 && (w->text.ptr[0] == '1' || w->text.ptr[0] == '2') &&
                w->end < s->text.len && (s->text.ptr[w->end] == '>')) {
                s->n_words--;
            }
        }
    }
    return rc;
}

static MUST_USE enum status step(struct splitter *s, struct error *err)
{
    char ch = s->text.ptr[s->at];

    if (ch == ' ' || ch == '\t' || ch == '\r') {
        s->at++;
    } else if (ch == '\n') {
        close_command(s, '\n');
        s->at++;
        skip_heredocs(s);
    } else if (ch == '#') {
        size_t end = str_find_byte(s->text, '\n', s->at);

        s->at = end == SIZE_MAX || end > s->end ? s->end : end;
    } else if (ch == '\\' && skip_continuation(s)) {
        return OK;
    } else if (ch == ';' || ch == '(' || ch == ')') {
        close_command(s, ';');
        s->at++;
    } else if (ch == '&' && peek(s, 1) == '>') {
        s->at++;
        return take_redirection(s, err);
    } else if (ch == '&') {
        bool both = peek(s, 1) == '&';

        close_command(s, both ? 'a' : '&');
        s->at += both ? 2 : 1;
    } else if (ch == '|') {
        bool both = peek(s, 1) == '|';

        close_command(s, both ? 'o' : '|');
        s->at += both ? 2 : peek(s, 1) == '&' ? 2 : 1;
    } else if (ch == '<' || ch == '>') {
        return take_redirection(s, err);
    } else {
        return take_word(s, err);
    }
    return OK;
}

MUST_USE enum status script_split(struct files_ctx *c, size_t begin, size_t end, bool docker,
                                  struct script_commands *ret_commands, struct error *err)
{
    struct splitter s = {.c = c,
                         .text = str_slice(c->text, 0, end),
                         .at = begin,
                         .end = end,
                         .docker = docker,
                         .open_quote = SIZE_MAX};
    size_t room = (end - begin) / 2 + 2;
    enum status rc = OK;

    room = room > FILES_WORDS_MAX ? FILES_WORDS_MAX : room;
    s.words = arena_zalloc(c->arena, room + 1, sizeof(*s.words));
    s.cmds = arena_zalloc(c->arena, room + 1, sizeof(*s.cmds));
    if (s.words == NULL || s.cmds == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    buf_init(&s.word, FILES_BYTES_MAX);
    while (rc == OK && s.at < s.end) {
        rc = step(&s, err);
    }
    close_command(&s, 0);
    buf_done(&s.word);
    if (rc == OK) {
        *ret_commands = (struct script_commands){s.cmds, s.n_cmds, s.open_quote};
    }
    return rc;
}
