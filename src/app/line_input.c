#include "app/line_input.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef KONTOR_WITH_LIBEDIT
#include <histedit.h>
#endif

#define PROMPT "> "
#define HISTORY_LINES 1000

struct line_input {
    bool terminal;
#ifdef KONTOR_WITH_LIBEDIT
    EditLine *edit; // owned; NULL without a terminal
    History *history;
#endif
};

#ifdef KONTOR_WITH_LIBEDIT
static const char *prompt(EditLine *edit)
{
    (void)edit;
    return PROMPT;
}

static void open_editor(struct line_input *in)
{
    HistEvent event;

    in->history = history_init();
    in->edit = el_init("kontor", stdin, stdout, stderr);
    CHECK(in->history != NULL && in->edit != NULL);
    history(in->history, &event, H_SETSIZE, HISTORY_LINES);
    el_set(in->edit, EL_PROMPT, prompt);
    el_set(in->edit, EL_EDITOR, "emacs");
    el_set(in->edit, EL_HIST, history, in->history);
    el_set(in->edit, EL_SIGNAL, 1);
}

static bool read_edited(struct line_input *in, struct buf *line)
{
    HistEvent event;
    int n = 0;
    const char *text = el_gets(in->edit, &n);

    if (text == NULL || n <= 0) {
        return false;
    }
    history(in->history, &event, H_ENTER, text);
    buf_append(line, text, (size_t)n);
    return true;
}
#endif

static bool read_plain(const struct line_input *in, struct buf *line)
{
    int c;

    if (in->terminal) {
        fputs(PROMPT, stdout);
        fflush(stdout);
    }
    while ((c = getchar()) != EOF && c != '\n') {
        buf_append_byte(line, (char)c);
    }
    return c != EOF || line->len > 0;
}

struct line_input *line_input_create(void)
{
    struct line_input *in = calloc(1, sizeof(*in));

    CHECK(in != NULL);
    in->terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
#ifdef KONTOR_WITH_LIBEDIT
    if (in->terminal) {
        open_editor(in);
    }
#endif
    return in;
}

void line_input_destroy(struct line_input *in)
{
    if (in == NULL) {
        return;
    }
#ifdef KONTOR_WITH_LIBEDIT
    if (in->edit != NULL) {
        el_end(in->edit);
        history_end(in->history);
    }
#endif
    free(in);
}

bool line_input_read(struct line_input *in, struct buf *line)
{
    bool found;

    buf_reset(line);
#ifdef KONTOR_WITH_LIBEDIT
    found = in->edit != NULL ? read_edited(in, line) : read_plain(in, line);
#else
    found = read_plain(in, line);
#endif
    while (line->len > 0 &&
           (line->ptr[line->len - 1] == '\n' || line->ptr[line->len - 1] == '\r')) {
        line->len--;
    }
    return found;
}

bool line_input_is_terminal(const struct line_input *in)
{
    return in->terminal;
}
