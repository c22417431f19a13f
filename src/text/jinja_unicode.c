#include "text/jinja_unicode.h"
#include "base/utf8.h"
#include "text/jinja_unicode_table.h"

/* Number of boundaries <= cp is odd inside a range. */
static bool in_ranges(const uint32_t *bounds, size_t n, uint32_t cp)
{
    size_t low = 0;
    size_t high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (bounds[mid] <= cp) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low % 2 == 1;
}

bool jinja_unicode_is_space(uint32_t cp)
{
    if (cp < 0x80) {
        return cp == ' ' || (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1f);
    }
    return in_ranges(jinja_unicode_space, jinja_unicode_space_count, cp);
}

bool jinja_unicode_is_printable(uint32_t cp)
{
    if (cp < 0x7f) {
        return cp >= ' ';
    }
    return in_ranges(jinja_unicode_printable, jinja_unicode_printable_count, cp);
}

struct case_table {
    const struct jinja_unicode_run *runs;
    size_t n_runs;
    const struct jinja_unicode_special *specials;
    size_t n_specials;
};

static struct case_table table_of(enum jinja_unicode_case to)
{
    switch (to) {
    case JINJA_UNICODE_LOWER:
        return (struct case_table){jinja_unicode_lower_runs, jinja_unicode_lower_runs_count,
                                   jinja_unicode_lower_specials,
                                   jinja_unicode_lower_specials_count};
    case JINJA_UNICODE_UPPER:
        return (struct case_table){jinja_unicode_upper_runs, jinja_unicode_upper_runs_count,
                                   jinja_unicode_upper_specials,
                                   jinja_unicode_upper_specials_count};
    case JINJA_UNICODE_TITLE:
        break;
    }
    return (struct case_table){jinja_unicode_title_runs, jinja_unicode_title_runs_count,
                               jinja_unicode_title_specials, jinja_unicode_title_specials_count};
}

static uint32_t map_one(struct case_table t, uint32_t cp)
{
    size_t low = 0;
    size_t high = t.n_runs;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (t.runs[mid].last < cp) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == t.n_runs || cp < t.runs[low].first ||
        (cp - t.runs[low].first) % t.runs[low].step != 0) {
        return cp;
    }
    return (uint32_t)((int64_t)cp + t.runs[low].delta);
}

unsigned jinja_unicode_map(enum jinja_unicode_case to, uint32_t cp,
                           uint32_t ret_cps[JINJA_UNICODE_CASE_MAX])
{
    struct case_table t;

    if (cp < 0x80) {
        bool lower = cp >= 'a' && cp <= 'z';
        bool upper = cp >= 'A' && cp <= 'Z';

        ret_cps[0] = to == JINJA_UNICODE_LOWER ? (upper ? cp + 32 : cp) : lower ? cp - 32 : cp;
        return 1;
    }
    t = table_of(to);
    for (size_t i = 0; i < t.n_specials && t.specials[i].cp <= cp; i++) {
        if (t.specials[i].cp == cp) {
            for (unsigned k = 0; k < t.specials[i].n; k++) {
                ret_cps[k] = t.specials[i].to[k];
            }
            return t.specials[i].n;
        }
    }
    ret_cps[0] = map_one(t, cp);
    return 1;
}

static bool is_ignorable(uint32_t cp)
{
    return in_ranges(jinja_unicode_ignorable, jinja_unicode_ignorable_count, cp);
}

static bool is_cased(uint32_t cp)
{
    return in_ranges(jinja_unicode_cased, jinja_unicode_cased_count, cp);
}

bool jinja_unicode_is_final_sigma(struct str s, size_t at)
{
    uint32_t cp = 0;
    size_t before = at;
    bool found = false;

    while (before > 0 && !found) {
        before = jinja_unicode_before(s, before);
        jinja_unicode_at(s, before, &cp);
        found = !is_ignorable(cp);
    }
    if (!found || !is_cased(cp)) {
        return false;
    }
    at += jinja_unicode_at(s, at, &cp);
    while (at < s.len) {
        at += jinja_unicode_at(s, at, &cp);
        if (!is_ignorable(cp)) {
            return !is_cased(cp);
        }
    }
    return true;
}

unsigned jinja_unicode_at(struct str s, size_t at, uint32_t *ret_cp)
{
    unsigned char byte = (unsigned char)s.ptr[at];
    unsigned len;

    if (byte < 0x80) {
        *ret_cp = byte;
        return 1;
    }
    len = utf8_decode(s, at, ret_cp);
    return len > 0 ? len : 1;
}

size_t jinja_unicode_before(struct str s, size_t end)
{
    size_t at = end - 1;
    uint32_t cp;

    while (at > 0 && end - at < 4 && ((unsigned char)s.ptr[at] & 0xc0) == 0x80) {
        at--;
    }
    return at + jinja_unicode_at(s, at, &cp) == end ? at : end - 1;
}

size_t jinja_unicode_count(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80 ? 1 : 0;
    }
    return n;
}

size_t jinja_unicode_offset(struct str s, size_t idx)
{
    size_t at = 0;
    uint32_t cp;

    while (idx > 0 && at < s.len) {
        at += jinja_unicode_at(s, at, &cp);
        idx--;
    }
    return at;
}

struct str jinja_unicode_strip(struct str s, bool left, bool right)
{
    size_t begin = 0;
    size_t end = s.len;
    size_t next;
    uint32_t cp;

    while (left && begin < end) {
        next = begin + jinja_unicode_at(s, begin, &cp);
        if (!jinja_unicode_is_space(cp)) {
            break;
        }
        begin = next;
    }
    while (right && end > begin) {
        next = jinja_unicode_before(s, end);
        jinja_unicode_at(s, next, &cp);
        if (!jinja_unicode_is_space(cp)) {
            break;
        }
        end = next;
    }
    return str_slice(s, begin, end);
}
