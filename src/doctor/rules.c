#include "doctor/rules.h"

#include "base/check.h"
#include "doctor/regular.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX (32u << 20)

struct rules *rules_create(void)
{
    struct rules *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return NULL;
    }
    r->arena = arena_create(ARENA_BYTES_MAX);
    r->patterns = calloc(RULES_PATTERNS_MAX, sizeof(*r->patterns));
    r->rules = calloc(RULES_MAX, sizeof(*r->rules));
    r->facts = calloc(RULES_MAX, sizeof(*r->facts));
    if (r->arena == NULL || r->patterns == NULL || r->rules == NULL || r->facts == NULL) {
        rules_destroy(r);
        return NULL;
    }
    return r;
}

void rules_destroy(struct rules *r)
{
    if (r == NULL) {
        return;
    }
    if (r->arena != NULL) {
        arena_destroy(r->arena);
    }
    free(r->patterns);
    free(r->rules);
    free(r->facts);
    free(r);
}

const uint32_t *rules_role(const struct rules_rule *rule, enum rules_role role, uint32_t *ret_n)
{
    uint32_t begin = 0;

    for (int k = 0; k < (int)role; k++) {
        begin += rule->n_by_role[k];
    }
    *ret_n = rule->n_by_role[role];
    return &rule->patterns[begin];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number at s[*at]; SIZE_MAX-safe for long digit runs. */
static uint64_t read_number(struct str s, size_t *at)
{
    uint64_t n = 0;

    while (*at < s.len && is_digit(s.ptr[*at])) {
        if (n < 100000000) {
            n = n * 10 + (uint64_t)(s.ptr[*at] - '0');
        }
        (*at)++;
    }
    return n;
}

/* "8.3.RC1", "0.11.0rc3": a pre-release of the numbers before it. */
static bool is_pre_release(struct str s)
{
    for (size_t i = 0; i + 1 < s.len; i++) {
        if ((s.ptr[i] == 'r' || s.ptr[i] == 'R') && (s.ptr[i + 1] == 'c' || s.ptr[i + 1] == 'C')) {
            return true;
        }
        if (s.ptr[i] == '+') {
            return false;
        }
    }
    return false;
}

/* Up to four leading numbers separated by dots; stops at the first other character. */
static void read_release(struct str s, uint64_t ret_numbers[4])
{
    size_t at = s.len > 0 && (s.ptr[0] == 'v' || s.ptr[0] == 'V') ? 1 : 0;

    for (int k = 0; k < 4; k++) {
        ret_numbers[k] = 0;
    }
    for (int k = 0; k < 4 && at < s.len && is_digit(s.ptr[at]); k++) {
        ret_numbers[k] = read_number(s, &at);
        if (at >= s.len || s.ptr[at] != '.') {
            break;
        }
        at++;
    }
}

int rules_compare_versions(struct str a, struct str b)
{
    uint64_t x[4];
    uint64_t y[4];

    read_release(a, x);
    read_release(b, y);
    for (int k = 0; k < 4; k++) {
        if (x[k] != y[k]) {
            return x[k] < y[k] ? -1 : 1;
        }
    }
    return (int)is_pre_release(b) - (int)is_pre_release(a);
}

enum status rules_add_file(struct rules *r, const char *path, struct buf *faults)
{
    FILE *f = regular_open(path);
    struct buf text;
    char *room;
    size_t n;
    enum status rc;

    if (f == NULL && errno == EINVAL) {
        buf_printf(faults, "%s: is no regular file; write the rules to a file first\n", path);
        return E_INVALID;
    }
    if (f == NULL) {
        buf_printf(faults, "%s: cannot be opened: %s\n", path, strerror(errno));
        return E_NOT_FOUND;
    }
    buf_init(&text, RULES_FILE_BYTES_MAX);
    do {
        room = buf_reserve(&text, 65536);
        n = room == NULL ? 0 : fread(room, 1, 65536, f);
        if (room != NULL) {
            buf_commit(&text, n);
        }
    } while (n > 0);
    rc = buf_status(&text);
    if (rc != OK) {
        buf_printf(faults, "%s: longer than %u bytes\n", path, RULES_FILE_BYTES_MAX);
    } else if (ferror(f) != 0) {
        buf_printf(faults, "%s: cannot be read\n", path);
        rc = E_IO;
    } else {
        rc = rules_add(r, str_from_c(path), buf_str(&text), faults);
    }
    fclose(f);
    buf_done(&text);
    return rc;
}
