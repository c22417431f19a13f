#include "devices/table.h"
#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_BYTES_MAX 24
#define MIB_LARGEST 1e12 // beyond it a figure is garbage, and bytes would not fit

bool table_next_line(struct str text, size_t *at, struct str *ret_line)
{
    size_t end;

    if (*at >= text.len) {
        return false;
    }
    end = str_find_byte(text, '\n', *at);
    *ret_line = str_slice(text, *at, end);
    *at = end == SIZE_MAX ? text.len : end + 1;
    if (ret_line->len > 0 && ret_line->ptr[ret_line->len - 1] == '\r') {
        ret_line->len--;
    }
    return true;
}

void table_cut(struct str line, char separator, struct table_cells *ret)
{
    struct str s = str_trim(line);
    size_t at = 0;

    ret->n = 0;
    if (separator == '|' && s.len > 0 && s.ptr[0] == '|') {
        at = 1;
    }
    if (separator == '|' && s.len > at && s.ptr[s.len - 1] == '|') {
        s.len--;
    }
    while (at <= s.len && ret->n < TABLE_CELLS_MAX) {
        size_t end = str_find_byte(s, separator, at);

        ret->at[ret->n++] = str_trim(str_slice(s, at, end));
        at = end == SIZE_MAX ? s.len + 1 : end + 1;
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A slash that separates two figures: "60156/ 65536", "0 / 0", "23 W/ 150 W"; not "N/A". */
static bool is_separating_slash(struct str s, size_t at)
{
    return s.ptr[at] == '/' &&
           !(at > 0 && at + 1 < s.len && s.ptr[at - 1] == 'N' && s.ptr[at + 1] == 'A');
}

void table_split(struct str cell, struct table_words *ret)
{
    size_t at = 0;

    ret->n = 0;
    while (ret->n < TABLE_WORDS_MAX) {
        size_t begin;

        while (at < cell.len && is_blank(cell.ptr[at])) {
            at++;
        }
        if (at >= cell.len) {
            return;
        }
        begin = at;
        if (is_separating_slash(cell, at)) {
            at++;
        } else {
            while (at < cell.len && !is_blank(cell.ptr[at]) && !is_separating_slash(cell, at)) {
                at++;
            }
        }
        ret->at[ret->n++] = str_slice(cell, begin, at);
    }
}

double table_number(struct str word, const char *unit)
{
    struct str s = str_trim(word);
    double v;

    if (unit != NULL && str_ends(s, str_from_c(unit))) {
        s.len -= strlen(unit);
        s = str_trim(s);
    }
    if (s.len == 0 || s.len > NUMBER_BYTES_MAX || str_to_f64(s, &v) != OK) {
        return (double)NAN;
    }
    return v;
}

int64_t table_count(struct str word)
{
    uint64_t v;

    return str_to_u64(word, &v) == OK && v < INT32_MAX ? (int64_t)v : -1;
}

int64_t table_mib(double mib)
{
    return mib >= 0 && mib < MIB_LARGEST ? (int64_t)(mib * 1048576.0) : -1;
}

/* Words in an error text of any of the tools. */
static const char *const error_marks[] = {
    "failed",        "Failed",    "rror",           "Unable to", "couldn't communicate",
    "not supported", "not found", "is not a valid", "ret is -",  "No permission",
    "unrecognized",  "No such",
};

static bool is_complaint(struct str line)
{
    for (size_t i = 0; i < ARRAY_COUNT(error_marks); i++) {
        if (str_find(line, str_from_c(error_marks[i]), 0) != SIZE_MAX) {
            return true;
        }
    }
    return false;
}

/* The last complaint is the most specific: npu-smi prints its log trouble first. */
static void take_complaint(struct str text, struct reading *r)
{
    struct str line;
    size_t at = 0;

    for (uint32_t n = 0; n < TABLE_LINES_MAX && table_next_line(text, &at, &line); n++) {
        if (str_find_byte(line, '|', 0) == SIZE_MAX && is_complaint(line)) {
            reading_text(r->reason, sizeof(r->reason), line);
        }
    }
}

void table_conclude(struct str text, struct reading *r)
{
    if (r->n_cards > 0) {
        r->state = DEVICES_FINE;
        return;
    }
    if (str_find(text, STR("No devices were found"), 0) != SIZE_MAX) {
        r->state = DEVICES_NO_DEVICE;
        snprintf(r->reason, sizeof(r->reason), "No devices were found");
        return;
    }
    r->state = DEVICES_INIT_FAILED;
    take_complaint(text, r);
    if (r->reason[0] == '\0') {
        snprintf(r->reason, sizeof(r->reason), "no table of cards in the output");
    }
}
