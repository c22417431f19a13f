#include "app/keys_options.h"
#include "base/check.h"

#include <string.h>

#define NANO_DIGITS 9

enum status keys_options_duration(const char *flag, const char *word, int64_t *ret_s,
                                  struct error *err)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    const struct str s = str_from_c(word);
    uint64_t n = 0;

    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (s.len > 1 && s.ptr[s.len - 1] == units[i].unit &&
            str_to_u64(str_slice(s, 0, s.len - 1), &n) == OK &&
            n <= (uint64_t)(KEYS_OPTIONS_SECONDS_MAX / units[i].seconds)) {
            *ret_s = (int64_t)n * units[i].seconds;
            return OK;
        }
    }
    return error_set(err, E_INVALID,
                     "--%s is a number with a unit, for example 30m, 24h, 90d or 2w, not \"%s\"",
                     flag, word);
}

enum status keys_options_money(const char *word, int64_t *ret_nano, struct error *err)
{
    const struct str s = str_from_c(word);
    const size_t dot = str_find_byte(s, '.', 0);
    const struct str whole = str_slice(s, 0, dot);
    const struct str part = dot == SIZE_MAX ? STR("") : str_slice(s, dot + 1, s.len);
    uint64_t units = 0;
    uint64_t nano = 0;

    if (str_to_u64(whole, &units) != OK || units > INT64_MAX / 1000000000 - 1 ||
        (dot != SIZE_MAX &&
         (part.len == 0 || part.len > NANO_DIGITS || str_to_u64(part, &nano) != OK))) {
        return error_set(err, E_INVALID,
                         "--money is an amount with at most %d decimals, for example 12.50, not "
                         "\"%s\"",
                         NANO_DIGITS, word);
    }
    for (size_t i = part.len; i < NANO_DIGITS; i++) {
        nano *= 10;
    }
    *ret_nano = (int64_t)(units * 1000000000 + nano);
    return OK;
}

static enum status read_list(const struct option_values *v, const char *name, struct arena *arena,
                             const struct str **ret_list, uint32_t *ret_n)
{
    uint32_t n = 0;
    const char *const *words = option_strings(v, name, &n);
    struct str *list = arena_zalloc(arena, n, sizeof(*list));

    if (list == NULL) {
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        list[i] = str_from_c(words[i]);
    }
    *ret_list = list;
    *ret_n = n;
    return OK;
}

static struct str text_of(const struct option_values *v, const char *name)
{
    const char *word = option_string(v, name);

    return word == NULL ? STR("") : str_from_c(word);
}

static enum status read_labels(const struct option_values *v, struct keys_key *key,
                               struct error *err)
{
    const struct str label = text_of(v, "label");
    const struct str ceiling = text_of(v, "ceiling");

    key->ceiling = LABEL_PRIVATE;
    key->has_label = label.len > 0;
    if ((key->has_label && label_parse(label, &key->label) != OK) ||
        (ceiling.len > 0 && label_parse(ceiling, &key->ceiling) != OK)) {
        return error_set(err, E_INVALID,
                         "--label and --ceiling are public, internal, confidential or private");
    }
    if (key->ceiling != LABEL_PRIVATE && !key->has_label) {
        return error_set(err, E_INVALID,
                         "a key with --ceiling needs --label too: without one its requests have "
                         "the gateway's default label, usually private, and all would be refused");
    }
    if (key->has_label && key->label > key->ceiling) {
        return error_set(err, E_INVALID,
                         "--label %s is over --ceiling %s: all requests would be refused",
                         label_name(key->label), label_name(key->ceiling));
    }
    return OK;
}

static enum status read_limits(const struct option_values *v, struct keys_key *key,
                               struct error *err)
{
    static const char *const periods[] = {"day", "month", "total"};
    const char *money = option_string(v, "money");
    const char *period = option_string(v, "period");

    key->limits.requests_per_minute = option_count(v, "requests-per-minute");
    key->limits.tokens_per_minute = option_count(v, "tokens-per-minute");
    key->limits.parallel = (uint32_t)option_count(v, "parallel");
    for (uint32_t i = 0; i < ARRAY_COUNT(periods); i++) {
        if (strcmp(period, periods[i]) == 0) {
            key->limits.period = (enum limits_period)i;
        }
    }
    return money == NULL ? OK : keys_options_money(money, &key->limits.money_nano, err);
}

enum status keys_options_key(const struct option_values *v, int64_t now_s, struct arena *arena,
                             struct keys_key *ret_key, struct error *err)
{
    const char *expires = option_string(v, "expires");
    struct keys_key key = {.name = text_of(v, "name"), .team = text_of(v, "team")};
    int64_t life_s = 0;
    enum status rc = read_list(v, "models", arena, &key.models, &key.n_models);

    rc = rc != OK ? rc : read_list(v, "pools", arena, &key.pools, &key.n_pools);
    if (rc != OK) {
        return error_set(err, rc, "no memory for the scopes");
    }
    rc = read_labels(v, &key, err);
    rc = rc != OK ? rc : read_limits(v, &key, err);
    if (rc == OK && expires != NULL) {
        rc = keys_options_duration("expires", expires, &life_s, err);
        key.expires_s = now_s + life_s;
        if (rc == OK && life_s == 0) {
            rc = error_set(err, E_INVALID, "--expires 0 would be a key that never opens");
        }
    }
    if (rc == OK) {
        *ret_key = key;
    }
    return rc;
}
