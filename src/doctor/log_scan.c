#include "doctor/log_scan.h"

#include "base/check.h"
#include "base/utf8.h"
#include "doctor/rules_filter.h"
#include "doctor/rules_regex.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES 4096 // of a long line, on each side of the literal
#define DEBUG_COLUMN_MAX 60
#define FACT_NAMES_MAX 128
#define ESCAPE_BYTES_MAX 16
#define GIVE_UPS_MAX 100        // lines; each costs as much time as thousands of others
#define REPEATED_TRIES_MAX 64   // patterns that were tried on a line
#define REPEATED_BYTES_MAX 1024 // longer lines are looked at each time
#define FACT_TRIES_MAX 2000     // lines; versions and models stand in the first of a log

struct pattern_state {
    struct rules_regex *regex;  // owned; compiled when first needed
    struct log_scan_hits *hits; // owned; allocated at the first hit
    uint64_t tried_line;        // line on which it was tried last, and up to which byte
    size_t tried_until;
    uint32_t fact_idx;              // + 1; 0: belongs to a rule
    uint32_t tries;                 // of a fact's pattern
    enum rules_regex_answer answer; // on tried_line
    struct log_scan_value *value;   // of the fact, when it was found there
    uint32_t n_gave_up;
    uint64_t gave_up_line; // first; 0: none
    bool keeps_on;         // its last place matters: names with '_'
    bool done;             // nothing more to learn from it, or it did not compile
};

struct log_scan {
    const struct rules *rules;    // borrowed
    struct rules_filter *filter;  // owned
    struct pattern_state *states; // owned, [n_patterns]
    struct log_scan_fact *facts;  // owned, [FACT_NAMES_MAX]
    uint32_t n_facts;
    uint64_t lines_before; // newlines in front of `counted`
    uint64_t served;       // last line of a 200 behind a line of readiness
    /* of the block that is being scanned */
    struct str block;
    size_t counted; // bytes of the block whose newlines are counted
    size_t line_begin, line_end;
    uint64_t line;                      // number of the line [line_begin, line_end); 0: none yet
    uint64_t looked_line;               // the line that was compared last
    uint32_t tried[REPEATED_TRIES_MAX]; // on it
    uint32_t n_tried;
    size_t before_len;
    char before[REPEATED_BYTES_MAX];
    uint64_t debug_line; // line for which `debug` holds
    bool debug;
    uint64_t cut_line;     // line for which line_cut holds
    size_t line_cut;       // of its bytes [line_cut, line_end) are no evidence
    bool continues_a_user; // the block begins inside such text
    char scratch[2 * WINDOW_BYTES + 64];
};

static const struct log_scan_hits no_hits;

enum status log_scan_create(const struct rules *r, struct log_scan **ret_scan, struct error *err)
{
    struct log_scan *s;

    if (!rules_regex_is_built()) {
        return error_set(err, E_UNSUPPORTED,
                         "this kontor was built without PCRE2 and cannot check logs: install "
                         "libpcre2-dev and build again");
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the rules");
    }
    s->rules = r;
    s->filter = rules_filter_create(r);
    s->states = calloc((size_t)r->n_patterns + 1, sizeof(*s->states));
    s->facts = calloc(FACT_NAMES_MAX, sizeof(*s->facts));
    if (s->filter == NULL || s->states == NULL || s->facts == NULL) {
        log_scan_destroy(s);
        return error_set(err, E_NO_MEMORY, "no memory for the rules");
    }
    for (uint32_t i = 0; i < r->n_facts; i++) {
        for (uint32_t k = 0; k < r->facts[i].n_patterns; k++) {
            s->states[r->facts[i].patterns[k]].fact_idx = i + 1;
            s->states[r->facts[i].patterns[k]].keeps_on = r->facts[i].name.ptr[0] == '_';
        }
    }
    *ret_scan = s;
    return OK;
}

void log_scan_destroy(struct log_scan *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; s->states != NULL && i < s->rules->n_patterns; i++) {
        rules_regex_destroy(s->states[i].regex);
        free(s->states[i].hits);
    }
    rules_filter_destroy(s->filter);
    free(s->states);
    free(s->facts);
    free(s);
}

/* Without colours: ESC [ ... letter. */
static struct str strip_escapes(struct log_scan *s, struct str line)
{
    size_t n = 0;
    size_t at = 0;

    if (line.len > sizeof(s->scratch) || str_find_byte(line, '\x1b', 0) == SIZE_MAX) {
        return line;
    }
    while (at < line.len) {
        if (line.ptr[at] == '\x1b' && at + 1 < line.len && line.ptr[at + 1] == '[') {
            size_t end = at + 2;

            while (end < line.len && end - at < ESCAPE_BYTES_MAX &&
                   (unsigned char)line.ptr[end] < 0x40) {
                end++;
            }
            at = end + 1;
        } else {
            s->scratch[n++] = line.ptr[at++];
        }
    }
    return (struct str){s->scratch, n};
}

/* At most `max` bytes of `s`, no character cut. */
static struct str shorten(struct str s, size_t max)
{
    struct str cut = str_slice(s, 0, max);

    cut.len -= cut.len < s.len ? utf8_incomplete_tail(cut) : 0;
    return cut;
}

/* Of a line's beginning, where loggers write the level. */
static bool is_warning(struct str line)
{
    static const char *const words[] = {"WARNING",    "WARN ",       "WARN]",    "[W ",
                                        "level=warn", "\"warning\"", "Warning: "};
    static const char *const errors[] = {"ERROR", "FATAL", "CRITICAL", "Error: "};
    struct str head = str_slice(line, 0, DEBUG_COLUMN_MAX);
    bool found = false;

    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        found = found || str_find(head, str_from_c(words[i]), 0) != SIZE_MAX;
    }
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        found = found && str_find(head, str_from_c(errors[i]), 0) == SIZE_MAX;
    }
    return found;
}

static void keep_place(struct log_scan_place *p, uint64_t line, struct str text,
                       const struct str groups[RULES_REGEX_CAPTURES_MAX])
{
    size_t begin = 0;

    if (text.len > LOG_SCAN_EVIDENCE_MAX) {
        begin = (size_t)(groups[0].ptr - text.ptr);
        begin = begin > LOG_SCAN_EVIDENCE_MAX / 4 ? begin - LOG_SCAN_EVIDENCE_MAX / 4 : 0;
        while (begin > 0 && begin < text.len && ((unsigned char)text.ptr[begin] & 0xc0) == 0x80) {
            begin++; // not inside a character
        }
    }
    text = shorten(str_slice(text, begin, text.len), LOG_SCAN_EVIDENCE_MAX);
    p->line = line;
    p->evidence_len = u32_from_size(text.len);
    memcpy(p->evidence, text.ptr, text.len);
    for (int k = 0; k < LOG_SCAN_CAPTURES; k++) {
        struct str c = shorten(groups[k + 1], LOG_SCAN_CAPTURE_MAX);

        p->capture_len[k] = u32_from_size(c.len);
        if (c.len > 0) {
            memcpy(p->captures[k], c.ptr, c.len);
        }
    }
}

static struct log_scan_fact *fact_slot(struct log_scan *s, struct str name)
{
    for (uint32_t i = 0; i < s->n_facts; i++) {
        if (str_eq(s->facts[i].name, name)) {
            return &s->facts[i];
        }
    }
    if (s->n_facts == FACT_NAMES_MAX) {
        return NULL;
    }
    s->facts[s->n_facts].name = name;
    return &s->facts[s->n_facts++];
}

/* The value's record, NULL when it is not kept. */
static struct log_scan_value *add_value(struct log_scan *s, struct str name, struct str value,
                                        uint64_t line)
{
    struct log_scan_fact *f = fact_slot(s, name);
    struct log_scan_value *v;

    value = shorten(str_trim(value), LOG_SCAN_CAPTURE_MAX);
    if (f == NULL || value.len == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < f->n_values; i++) {
        v = &f->values[i];
        if (str_eq((struct str){v->text, v->len}, value)) {
            v->last_line = line;
            return v;
        }
    }
    if (f->n_values == LOG_SCAN_VALUES_MAX) {
        return NULL;
    }
    v = &f->values[f->n_values++];
    v->line = line;
    v->last_line = line;
    v->len = u32_from_size(value.len);
    memcpy(v->text, value.ptr, value.len);
    return v;
}

void log_scan_tell(struct log_scan *s, struct str name, struct str value)
{
    (void)add_value(s, name, value, 0);
}

static void count(struct log_scan_hits *h, uint64_t line)
{
    h->times++;
    if (h->n_first < LOG_SCAN_LINES_KEPT) {
        h->first_lines[h->n_first++] = line;
    }
    h->last_lines[h->n_last++ % LOG_SCAN_LINES_KEPT] = line;
    h->last.line = line;
}

/* What a pattern answered on the same line before holds for this one; only its number differs. */
static void record_again(struct pattern_state *state, uint64_t line)
{
    if (state->answer == RULES_REGEX_FOUND && state->value != NULL) {
        state->value->last_line = line;
    } else if (state->answer == RULES_REGEX_FOUND && state->hits != NULL &&
               state->hits->last.line != line && state->hits->times < LOG_SCAN_TIMES_MAX) {
        count(state->hits, line);
    }
}

static void record(struct log_scan *s, uint32_t pattern_idx, struct str text,
                   const struct str groups[RULES_REGEX_CAPTURES_MAX])
{
    struct pattern_state *state = &s->states[pattern_idx];
    struct log_scan_hits *h = state->hits;

    if (state->fact_idx > 0) {
        const struct rules_fact *f = &s->rules->facts[state->fact_idx - 1];

        state->value = add_value(s, f->name, f->value.len > 0 ? f->value : groups[1], s->line);
        if (state->value == NULL && f->value.len == 0 && log_scan_fact(s, f->name) != NULL) {
            state->done = log_scan_fact(s, f->name)->n_values == LOG_SCAN_VALUES_MAX;
            return; // no more values are kept
        }
        state->done = f->value.len > 0 && f->name.ptr[0] != '_'; // one place of it is enough
        return;
    }
    if (h == NULL) {
        h = calloc(1, sizeof(*h));
        state->hits = h;
    }
    if (h == NULL || h->last.line == s->line) {
        return; // once per line
    }
    count(h, s->line);
    keep_place(&h->last, s->line, text, groups);
    h->last.is_warning = is_warning(str_slice(s->block, s->line_begin, s->line_end));
    if (h->times == 1) {
        h->first = h->last;
    }
}

/* Rules look at the level only where loggers write it: at the beginning. */
static bool is_debug(struct str line)
{
    struct str head = str_slice(line, 0, DEBUG_COLUMN_MAX);
    size_t at = str_find(head, STR("DEBUG"), 0);

    if (str_find(head, STR("NCCL INFO "), 0) != SIZE_MAX || str_starts(head, STR("[INFO]"))) {
        return true; // NCCL lists every library it tries, plog everything
    }
    return at != SIZE_MAX && (at == 0 || head.ptr[at - 1] == ' ' || head.ptr[at - 1] == '[' ||
                              head.ptr[at - 1] == '-' || head.ptr[at - 1] == '|');
}

/* Of the line that go_to_line chose. */
static bool line_is_debug(struct log_scan *s)
{
    if (s->debug_line != s->line) {
        s->debug_line = s->line;
        s->debug = is_debug(str_slice(s->block, s->line_begin, s->line_end));
    }
    return s->debug;
}

static size_t count_newlines(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += s.ptr[i] == '\n';
    }
    return n;
}

/* Make [line_begin, line_end) the line around `at`.  Literals come almost in order, so newlines are
 * counted once; a literal that reaches a little back is counted from there. */
static void go_to_line(struct log_scan *s, size_t at)
{
    const char *newline;

    if (s->line != 0 && at >= s->line_begin && at <= s->line_end) {
        return;
    }
    newline = memrchr(s->block.ptr, '\n', at);
    s->line_begin = newline == NULL ? 0 : (size_t)(newline - s->block.ptr) + 1;
    newline = memchr(s->block.ptr + at, '\n', s->block.len - at);
    s->line_end = newline == NULL ? s->block.len : (size_t)(newline - s->block.ptr);
    if (s->line_begin > s->counted) {
        s->lines_before += count_newlines(str_slice(s->block, s->counted, s->line_begin));
        s->counted = s->line_begin;
    }
    s->line = s->lines_before + 1;
    if (s->line_begin < s->counted) {
        s->line -= count_newlines(str_slice(s->block, s->line_begin, s->counted));
    }
}

/* Where text of users begins: engines print requests and answers, and what people ask an engine
 * about is often an error.  Each is cut behind its text or, where given, behind the next `then`. */
static const struct {
    const char *text;
    const char *then;
} user_marks[] = {
    {"Received request ", ": "},
    {"Generated response ", NULL},
    {"prompt: '", NULL},
    {"prompt: \"", NULL},
    {"\"prompt\":", NULL},
    {"'prompt':", NULL},
    {"\"messages\":", NULL},
    {"'messages':", NULL},
    {"\\\"messages\\\":", NULL},
    {"\"role\":", NULL},
    {"'role':", NULL},
    {"GenerateReqInput(", NULL},
    {"messages=[", NULL},
    {"\"content\":", NULL},
    {"ChatCompletionRequest(", NULL},
    {"CompletionRequest(", NULL},
    {"\"choices\":", NULL},
};

static size_t find_user_text(struct str line)
{
    size_t first = line.len;

    for (size_t i = 0; i < ARRAY_COUNT(user_marks); i++) {
        struct str mark = str_from_c(user_marks[i].text);
        size_t at = str_find(str_slice(line, 0, first), mark, 0);

        if (at == SIZE_MAX) {
            continue;
        }
        at += mark.len;
        if (user_marks[i].then != NULL) {
            at = str_find(line, str_from_c(user_marks[i].then), at);
        }
        first = at < first ? at : first;
    }
    return first;
}

/* For the line that go_to_line chose. */
static size_t user_text_of_line(struct log_scan *s)
{
    if (s->cut_line != s->line) {
        struct str line = str_slice(s->block, s->line_begin, s->line_end);
        bool inside = s->continues_a_user && s->line_begin == 0;

        s->cut_line = s->line;
        s->line_cut = s->line_begin + (inside ? 0 : find_user_text(line));
    }
    return s->line_cut;
}

/* Whether the line that go_to_line chose is the one that was looked at before, once more. */
static bool is_repeated(struct log_scan *s)
{
    struct str line = str_slice(s->block, s->line_begin, s->line_end);
    bool repeated = s->looked_line > 0 && line.len == s->before_len && line.len > 0 &&
                    s->n_tried <= REPEATED_TRIES_MAX && memcmp(line.ptr, s->before, line.len) == 0;

    s->looked_line = s->line;
    if (!repeated) {
        s->n_tried = 0;
        s->before_len = line.len <= REPEATED_BYTES_MAX ? line.len : 0;
        memcpy(s->before, line.ptr, s->before_len);
    }
    return repeated;
}

/* The part of the line around `at` that an expression gets. */
static struct str window(const struct log_scan *s, size_t at, size_t line_end)
{
    size_t begin = at - s->line_begin > WINDOW_BYTES ? at - WINDOW_BYTES : s->line_begin;
    size_t end = line_end - at > WINDOW_BYTES ? at + WINDOW_BYTES : line_end;
    struct str line = str_slice(s->block, begin, end);

    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    return line;
}

/* Run the expression; what is found in text of users is none. */
static enum rules_regex_answer try_pattern(struct log_scan *s, struct rules_regex *regex, size_t at,
                                           struct str *ret_line,
                                           struct str groups[RULES_REGEX_CAPTURES_MAX])
{
    enum rules_regex_answer answer;
    size_t cut;

    *ret_line = strip_escapes(s, window(s, at, s->line_end));
    answer = rules_regex_find(regex, *ret_line, groups);
    cut = answer == RULES_REGEX_ABSENT ? s->line_end : user_text_of_line(s);
    if (cut == s->line_end) {
        return answer;
    }
    if (at >= cut) {
        return RULES_REGEX_ABSENT;
    }
    *ret_line = strip_escapes(s, window(s, at, cut));
    return rules_regex_find(regex, *ret_line, groups);
}

/* Logs that repeat one line a million times are common: no expression runs on it again. */
static void record_line_again(struct log_scan *s)
{
    for (uint32_t i = 0; i < s->n_tried; i++) {
        struct pattern_state *state = &s->states[s->tried[i]];

        state->tried_line = s->line;
        state->tried_until = s->line_end;
        record_again(state, s->line);
    }
}

static size_t on_literal(void *user, uint32_t pattern_idx, size_t at)
{
    struct log_scan *s = user;
    struct pattern_state *state = &s->states[pattern_idx];
    const struct rules_pattern *p = &s->rules->patterns[pattern_idx];
    struct str groups[RULES_REGEX_CAPTURES_MAX];
    struct str line;
    struct error err;

    if (state->done || (state->hits != NULL && state->hits->times >= LOG_SCAN_TIMES_MAX)) {
        return 0;
    }
    go_to_line(s, at);
    if (state->tried_line == s->line && at < state->tried_until) {
        return 0;
    }
    if (s->looked_line != s->line && is_repeated(s)) {
        record_line_again(s);
        return s->line_end;
    }
    if (s->n_tried < REPEATED_TRIES_MAX) {
        s->tried[s->n_tried] = pattern_idx;
    }
    s->n_tried += s->n_tried <= REPEATED_TRIES_MAX;
    line = window(s, at, s->line_end);
    state->tried_line = s->line;
    state->tried_until = (size_t)(line.ptr - s->block.ptr) + line.len + 1;
    state->answer = RULES_REGEX_ABSENT;
    state->done = state->fact_idx > 0 && !state->keeps_on && ++state->tries > FACT_TRIES_MAX;
    if (p->skips_debug && line_is_debug(s)) {
        return 0;
    }
    if (state->regex == NULL && rules_regex_create(p->regex, &state->regex, &err) != OK) {
        state->done = true;
        return 0;
    }
    state->answer = try_pattern(s, state->regex, at, &line, groups);
    if (state->answer == RULES_REGEX_FOUND) {
        record(s, pattern_idx, line, groups);
    } else if (state->answer == RULES_REGEX_GAVE_UP) {
        state->gave_up_line = state->n_gave_up == 0 ? s->line : state->gave_up_line;
        state->done = ++state->n_gave_up == GIVE_UPS_MAX;
    }
    return 0;
}

/* A line longer than a block comes in pieces; the next piece belongs to the same user. */
static bool ends_in_user_text(struct log_scan *s)
{
    if (s->block.len == 0 || s->block.ptr[s->block.len - 1] == '\n') {
        return false;
    }
    go_to_line(s, s->block.len - 1);
    return user_text_of_line(s) < s->line_end;
}

/* Access logs of all engines end a request as `"POST /v1/... HTTP/1.1" 200`. */
static void note_served(struct log_scan *s, uint64_t lines_before)
{
    size_t last = SIZE_MAX;
    size_t at = log_scan_fact(s, STR("_ready")) == NULL
                    ? SIZE_MAX
                    : str_find(s->block, STR("HTTP/1.1\" 200"), 0);

    while (at != SIZE_MAX) {
        last = at;
        at = str_find(s->block, STR("HTTP/1.1\" 200"), at + 1);
    }
    if (last != SIZE_MAX) {
        s->served = lines_before + count_newlines(str_slice(s->block, 0, last)) + 1;
    }
}

void log_scan_feed(struct log_scan *s, struct str block)
{
    uint64_t lines_before = s->lines_before;

    s->block = block;
    s->counted = 0;
    s->line = 0;
    s->cut_line = 0;
    s->debug_line = 0;
    s->looked_line = 0; // a piece of a line has the number of the whole
    for (uint32_t i = 0; i < s->rules->n_patterns; i++) {
        s->states[i].tried_until = 0; // offsets are the block's
    }
    rules_filter_scan(s->filter, block, on_literal, s);
    s->continues_a_user = ends_in_user_text(s);
    note_served(s, lines_before);
    s->lines_before += count_newlines(str_slice(block, s->counted, block.len));
    s->line = 0;
}

const struct log_scan_hits *log_scan_hits(const struct log_scan *s, uint32_t pattern_idx)
{
    CHECK(pattern_idx < s->rules->n_patterns);
    return s->states[pattern_idx].hits == NULL ? &no_hits : s->states[pattern_idx].hits;
}

uint64_t log_scan_gave_up(const struct log_scan *s, uint32_t pattern_idx)
{
    CHECK(pattern_idx < s->rules->n_patterns);
    return s->states[pattern_idx].gave_up_line;
}

const struct log_scan_fact *log_scan_fact(const struct log_scan *s, struct str name)
{
    for (uint32_t i = 0; i < s->n_facts; i++) {
        if (str_eq(s->facts[i].name, name)) {
            return &s->facts[i];
        }
    }
    return NULL;
}

const struct log_scan_fact *log_scan_facts(const struct log_scan *s, uint32_t *ret_n)
{
    *ret_n = s->n_facts;
    return s->facts;
}

uint64_t log_scan_served(const struct log_scan *s)
{
    return s->served;
}

uint64_t log_scan_lines(const struct log_scan *s)
{
    return s->lines_before;
}

/* A kept line number of `h`: the first ones, then the ring. */
static uint64_t kept_line(const struct log_scan_hits *h, uint32_t i)
{
    return i < h->n_first ? h->first_lines[i] : h->last_lines[i - h->n_first];
}

static uint32_t n_kept(const struct log_scan_hits *h)
{
    return h->n_first + (h->n_last < LOG_SCAN_LINES_KEPT ? h->n_last : LOG_SCAN_LINES_KEPT);
}

bool log_scan_near(const struct log_scan_hits *a, const struct log_scan_hits *b, uint32_t within)
{
    if (within == 0 || a->times == 0 || b->times == 0) {
        return a->times > 0 && b->times > 0;
    }
    for (uint32_t i = 0; i < n_kept(a); i++) {
        for (uint32_t k = 0; k < n_kept(b); k++) {
            uint64_t x = kept_line(a, i);
            uint64_t y = kept_line(b, k);

            if ((x > y ? x - y : y - x) <= within) {
                return true;
            }
        }
    }
    return false;
}
