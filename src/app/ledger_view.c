#include "app/ledger_view.h"
#include "base/check.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 80
#define GROUP_MIN 12
#define COLUMNS 5
#define CURRENCIES_MAX 64

void ledger_view_money(int64_t nano, char ret_text[LEDGER_VIEW_MONEY_MAX])
{
    uint64_t amount = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano;
    int n = snprintf(ret_text, LEDGER_VIEW_MONEY_MAX, "%s%" PRIu64 ".%09" PRIu64,
                     nano < 0 ? "-" : "", amount / 1000000000u, amount % 1000000000u);

    CHECK(n > 0 && n < LEDGER_VIEW_MONEY_MAX);
    for (int zeros = 0; zeros < 7 && ret_text[n - 1] == '0'; zeros++) {
        ret_text[--n] = '\0';
    }
}

/* --- table ---------------------------------------------------------------------------------- */

struct cells {
    char text[COLUMNS][LEDGER_VIEW_MONEY_MAX + 300];
};

static const char *const headings[COLUMNS] = {"requests", "est.", "prompt", "completion", "cost"};

static void make_cells(const struct ledger_report_row *row, struct cells *c)
{
    char money[LEDGER_VIEW_MONEY_MAX];

    ledger_view_money(row->cost_nano, money);
    snprintf(c->text[0], sizeof(c->text[0]), "%" PRId64, row->n_requests);
    snprintf(c->text[1], sizeof(c->text[1]), "%" PRId64, row->n_estimated);
    snprintf(c->text[2], sizeof(c->text[2]), "%" PRId64, row->prompt_tokens);
    snprintf(c->text[3], sizeof(c->text[3]), "%" PRId64, row->completion_tokens);
    snprintf(c->text[4], sizeof(c->text[4]), "%s %.*s", money, STR_ARG(row->currency));
}

/* At most `width` characters; control bytes, which could steer a terminal, become '?'. */
static void put_name(struct buf *out, struct str name, size_t width)
{
    size_t n_chars = 0;
    size_t used = 0;
    size_t cut = 0; // bytes of the first width - 2 characters

    while (used < name.len && n_chars <= width) {
        if (n_chars == width - 2) {
            cut = used;
        }
        used++;
        while (used < name.len && ((unsigned char)name.ptr[used] & 0xC0) == 0x80) {
            used++;
        }
        n_chars++;
    }
    if (n_chars > width) {
        name.len = cut;
        n_chars = width;
    } else {
        cut = 0;
    }
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];

        buf_append_byte(out, c < 0x20 || c == 0x7F ? '?' : name.ptr[i]);
    }
    buf_append_c(out, cut > 0 ? ".." : "");
    buf_printf(out, "%*s", (int)(width - n_chars), "");
}

static void put_line(struct buf *out, struct str name, const struct cells *c,
                     const size_t widths[COLUMNS], size_t name_width)
{
    put_name(out, name, name_width);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        buf_printf(out, " %*s", (int)widths[i], c->text[i]);
    }
    buf_append_byte(out, '\n');
}

static void add(struct ledger_report_row *sum, const struct ledger_report_row *row)
{
    sum->n_requests += row->n_requests;
    sum->n_estimated += row->n_estimated;
    sum->prompt_tokens += row->prompt_tokens;
    sum->cached_tokens += row->cached_tokens;
    sum->completion_tokens += row->completion_tokens;
    sum->reasoning_tokens += row->reasoning_tokens;
    if (__builtin_add_overflow(sum->cost_nano, row->cost_nano, &sum->cost_nano)) {
        sum->cost_nano = INT64_MAX;
    }
}

/* One sum per currency, in the order in which they appear; returns how many. */
static uint32_t make_totals(const struct ledger_view *v,
                            struct ledger_report_row totals[CURRENCIES_MAX])
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < v->n_rows; i++) {
        uint32_t at = 0;

        while (at < n && !str_eq(totals[at].currency, v->rows[i].currency)) {
            at++;
        }
        if (at == CURRENCIES_MAX) {
            continue; // no list of currencies is that long
        }
        if (at == n) {
            totals[n++] =
                (struct ledger_report_row){.group = STR("total"), .currency = v->rows[i].currency};
        }
        add(&totals[at], &v->rows[i]);
    }
    return n;
}

static void widen(size_t widths[COLUMNS], const struct cells *c)
{
    for (uint32_t i = 0; i < COLUMNS; i++) {
        size_t len = strlen(c->text[i]);

        widths[i] = len > widths[i] ? len : widths[i];
    }
}

static struct str shown_group(struct str group)
{
    return group.len == 0 ? STR("-") : group;
}

void ledger_view_table(const struct ledger_view *view, struct buf *out)
{
    struct ledger_report_row totals[CURRENCIES_MAX];
    uint32_t n_totals = make_totals(view, totals);
    size_t widths[COLUMNS] = {0};
    size_t name_width = WIDTH;
    struct cells c;

    for (uint32_t i = 0; i < COLUMNS; i++) {
        snprintf(c.text[i], sizeof(c.text[i]), "%s", headings[i]);
    }
    widen(widths, &c);
    for (uint32_t i = 0; i < view->n_rows; i++) {
        make_cells(&view->rows[i], &c);
        widen(widths, &c);
    }
    for (uint32_t i = 0; i < n_totals; i++) {
        make_cells(&totals[i], &c);
        widen(widths, &c);
    }
    for (uint32_t i = 0; i < COLUMNS; i++) {
        name_width = name_width > widths[i] + 1 ? name_width - widths[i] - 1 : 0;
        snprintf(c.text[i], sizeof(c.text[i]), "%s", headings[i]);
    }
    name_width = name_width < GROUP_MIN ? GROUP_MIN : name_width;
    put_line(out, str_from_c(view->by), &c, widths, name_width);
    for (uint32_t i = 0; i < view->n_rows; i++) {
        make_cells(&view->rows[i], &c);
        put_line(out, shown_group(view->rows[i].group), &c, widths, name_width);
    }
    for (uint32_t i = 0; i < n_totals; i++) {
        make_cells(&totals[i], &c);
        put_line(out, totals[i].group, &c, widths, name_width);
    }
}

/* --- CSV and JSON --------------------------------------------------------------------------- */

static void put_csv_text(struct buf *out, struct str s)
{
    bool quote = false;

    for (size_t i = 0; i < s.len; i++) {
        quote = quote || memchr(",\"\r\n", s.ptr[i], 4) != NULL;
    }
    buf_append_c(out, quote ? "\"" : "");
    for (size_t i = 0; i < s.len; i++) {
        buf_append_c(out, s.ptr[i] == '"' ? "\"" : "");
        buf_append_byte(out, s.ptr[i]);
    }
    buf_append_c(out, quote ? "\"" : "");
}

void ledger_view_csv(const struct ledger_view *view, struct buf *out)
{
    buf_printf(out,
               "%s,currency,requests,estimated,prompt_tokens,cached_tokens,completion_tokens,"
               "reasoning_tokens,cost\n",
               view->by);
    for (uint32_t i = 0; i < view->n_rows; i++) {
        const struct ledger_report_row *r = &view->rows[i];
        char money[LEDGER_VIEW_MONEY_MAX];

        ledger_view_money(r->cost_nano, money);
        put_csv_text(out, r->group);
        buf_append_byte(out, ',');
        put_csv_text(out, r->currency);
        buf_printf(out,
                   ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%s\n",
                   r->n_requests, r->n_estimated, r->prompt_tokens, r->cached_tokens,
                   r->completion_tokens, r->reasoning_tokens, money);
    }
}

static void put_json_row(struct buf *out, const char *by, const struct ledger_report_row *r)
{
    char money[LEDGER_VIEW_MONEY_MAX];

    ledger_view_money(r->cost_nano, money);
    buf_append_byte(out, '{');
    if (by != NULL) {
        buf_printf(out, "\"%s\": ", by);
        json_write_string(out, r->group);
        buf_append_c(out, ", ");
    }
    buf_append_c(out, "\"currency\": ");
    json_write_string(out, r->currency);
    buf_printf(out,
               ", \"requests\": %" PRId64 ", \"estimated\": %" PRId64
               ", \"prompt_tokens\": %" PRId64 ", \"cached_tokens\": %" PRId64
               ", \"completion_tokens\": %" PRId64 ", \"reasoning_tokens\": %" PRId64
               ", \"cost\": \"%s\", \"cost_nano\": %" PRId64 "}",
               r->n_requests, r->n_estimated, r->prompt_tokens, r->cached_tokens,
               r->completion_tokens, r->reasoning_tokens, money, r->cost_nano);
}

static void put_json_day(struct buf *out, const char *name, struct str day)
{
    buf_printf(out, ", \"%s\": ", name);
    if (day.len == 0) {
        buf_append_c(out, "null");
    } else {
        json_write_string(out, day);
    }
}

void ledger_view_json(const struct ledger_view *view, struct buf *out)
{
    struct ledger_report_row totals[CURRENCIES_MAX];
    uint32_t n_totals = make_totals(view, totals);

    buf_printf(out, "{\"by\": \"%s\"", view->by);
    put_json_day(out, "from", view->from);
    put_json_day(out, "to", view->to);
    buf_append_c(out, ", \"rows\": [");
    for (uint32_t i = 0; i < view->n_rows; i++) {
        buf_append_c(out, i == 0 ? "\n  " : ",\n  ");
        put_json_row(out, view->by, &view->rows[i]);
    }
    buf_append_c(out, view->n_rows == 0 ? "], \"totals\": [" : "\n], \"totals\": [");
    for (uint32_t i = 0; i < n_totals; i++) {
        buf_append_c(out, i == 0 ? "\n  " : ",\n  ");
        put_json_row(out, NULL, &totals[i]);
    }
    buf_append_c(out, n_totals == 0 ? "]}\n" : "\n]}\n");
}
