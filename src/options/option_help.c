#include "options/option.h"

#include <string.h>

#define HELP_COLUMN 34
#define HELP_WIDTH 96

/* Append `text` wrapped between HELP_COLUMN and HELP_WIDTH; the cursor stands at `column`. */
static void wrapped(struct buf *out, struct str text, size_t column)
{
    size_t begin = 0;

    if (column + 2 > HELP_COLUMN) {
        buf_append_byte(out, '\n');
        column = 0;
    }
    buf_printf(out, "%*s", (int)(HELP_COLUMN - column), "");
    column = HELP_COLUMN;
    while (begin < text.len) {
        size_t end = str_find_byte(text, ' ', begin);
        struct str word;

        end = end == SIZE_MAX ? text.len : end;
        word = str_slice(text, begin, end);
        if (column > HELP_COLUMN && column + 1 + word.len > HELP_WIDTH) {
            buf_printf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        if (column > HELP_COLUMN) {
            buf_append_byte(out, ' ');
            column++;
        }
        buf_append_str(out, word);
        column += word.len;
        begin = end + 1;
    }
    buf_append_byte(out, '\n');
}

static void print_option(struct buf *out, const struct option *o)
{
    size_t before = out->len;
    struct buf text;

    buf_printf(out, "  --%s", o->name);
    if (o->alias != NULL) {
        buf_printf(out, ", -%s", o->alias);
    }
    if (o->metavar != NULL) {
        buf_printf(out, " %s", o->metavar);
    }
    if (o->type == OPTION_STRINGS) {
        buf_printf(out, " [%s ...]", o->metavar);
    }
    buf_init(&text, 4096);
    buf_append_c(&text, o->help);
    if (o->type == OPTION_CHOICE) {
        buf_printf(&text, " One of %s.", o->choices);
    }
    if (o->fallback != NULL && o->type != OPTION_FLAG) {
        buf_printf(&text, " Default: %s.", o->fallback);
    }
    wrapped(out, buf_str(&text), out->len - before);
    buf_done(&text);
}

void option_print_help(const struct option_set *set, struct buf *out)
{
    buf_printf(out, "usage: %s\n\n%s\n\noptions:\n", set->usage, set->about);
    for (uint32_t i = 0; i < set->n_options; i++) {
        if (set->options[i].verdict == OPTION_HONOUR) {
            print_option(out, &set->options[i]);
        }
    }
    buf_append_c(out, "  --help, -h");
    wrapped(out, STR("Print this text."), strlen("  --help, -h"));
    for (uint32_t i = 0, first = 1; i < set->n_options; i++) {
        const struct option *o = &set->options[i];

        if (o->verdict == OPTION_HONOUR) {
            continue;
        }
        if (first) {
            buf_append_c(out, "\nknown from vLLM, without effect or not supported here:\n");
            first = 0;
        }
        print_option(out, o);
    }
    if (set->epilog != NULL) {
        buf_printf(out, "\n%s\n", set->epilog);
    }
}
