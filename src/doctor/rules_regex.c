#include "doctor/rules_regex.h"

#include <stdlib.h>

#ifdef KONTOR_WITH_PCRE2

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_LIMIT 200000 // steps without JIT, and of its slow paths
#define REGEX_BYTES_MAX 8192

struct rules_regex {
    pcre2_code *code;
    pcre2_match_data *found;
    pcre2_match_context *limits;
};

bool rules_regex_is_built(void)
{
    return true;
}

static pcre2_code *compile(struct str regex, struct error *err)
{
    int number = 0;
    PCRE2_SIZE offset = 0;
    PCRE2_UCHAR text[200] = "";
    pcre2_code *code;

    if (regex.len > REGEX_BYTES_MAX) {
        error_set(err, E_INVALID, "this pattern is longer than %d bytes", REGEX_BYTES_MAX);
        return NULL;
    }
    code = pcre2_compile((PCRE2_SPTR)regex.ptr, regex.len, 0, &number, &offset, NULL);
    if (code == NULL) {
        pcre2_get_error_message(number, text, sizeof(text));
        error_set(err, E_INVALID, "%s at byte %zu of the pattern", (const char *)text, offset);
    }
    return code;
}

enum status rules_regex_check(struct str regex, uint32_t *ret_groups, struct error *err)
{
    pcre2_code *code = compile(regex, err);

    if (code == NULL) {
        return E_INVALID;
    }
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, ret_groups);
    pcre2_code_free(code);
    return OK;
}

enum status rules_regex_create(struct str regex, struct rules_regex **ret_regex, struct error *err)
{
    struct rules_regex *x = calloc(1, sizeof(*x));

    if (x == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for a pattern");
    }
    x->code = compile(regex, err);
    if (x->code == NULL) {
        rules_regex_destroy(x);
        return E_INVALID;
    }
    pcre2_jit_compile(x->code, PCRE2_JIT_COMPLETE); // without JIT it works too, only slower
    x->found = pcre2_match_data_create(RULES_REGEX_CAPTURES_MAX, NULL);
    x->limits = pcre2_match_context_create(NULL);
    if (x->found == NULL || x->limits == NULL) {
        rules_regex_destroy(x);
        return error_set(err, E_NO_MEMORY, "no memory for a pattern");
    }
    pcre2_set_match_limit(x->limits, MATCH_LIMIT);
    *ret_regex = x;
    return OK;
}

void rules_regex_destroy(struct rules_regex *x)
{
    if (x != NULL) {
        pcre2_match_context_free(x->limits);
        pcre2_match_data_free(x->found);
        pcre2_code_free(x->code);
        free(x);
    }
}

enum rules_regex_answer rules_regex_find(struct rules_regex *x, struct str line,
                                         struct str ret_groups[RULES_REGEX_CAPTURES_MAX])
{
    int n = pcre2_match(x->code, (PCRE2_SPTR)line.ptr, line.len, 0, 0, x->found, x->limits);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(x->found);

    if (n < 0) {
        return n == PCRE2_ERROR_NOMATCH ? RULES_REGEX_ABSENT : RULES_REGEX_GAVE_UP;
    }
    n = n == 0 ? RULES_REGEX_CAPTURES_MAX : n;
    for (int i = 0; i < RULES_REGEX_CAPTURES_MAX; i++) {
        bool set = i < n && at[2 * i] != PCRE2_UNSET;

        ret_groups[i] = set ? str_slice(line, at[2 * i], at[2 * i + 1]) : STR("");
    }
    return RULES_REGEX_FOUND;
}

#else

bool rules_regex_is_built(void)
{
    return false;
}

enum status rules_regex_check(struct str regex, uint32_t *ret_groups, struct error *err)
{
    (void)regex;
    (void)err;
    *ret_groups = RULES_REGEX_CAPTURES_MAX - 1;
    return OK;
}

enum status rules_regex_create(struct str regex, struct rules_regex **ret_regex, struct error *err)
{
    (void)regex;
    (void)ret_regex;
    return error_set(err, E_UNSUPPORTED, "this kontor was built without PCRE2");
}

void rules_regex_destroy(struct rules_regex *x)
{
    free(x);
}

enum rules_regex_answer rules_regex_find(struct rules_regex *x, struct str line,
                                         struct str ret_groups[RULES_REGEX_CAPTURES_MAX])
{
    (void)x;
    (void)line;
    (void)ret_groups;
    return RULES_REGEX_ABSENT;
}

#endif
