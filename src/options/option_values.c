#include "options/option_values.h"
#include "base/check.h"

#include <string.h>

static const struct option_slot *slot_of(const struct option_values *v, const char *name,
                                         enum option_type type, enum option_type other)
{
    for (uint32_t i = 0; i < v->set->n_options; i++) {
        if (strcmp(v->set->options[i].name, name) == 0) {
            enum option_type t = v->set->options[i].type;

            CHECK(t == type || t == other);
            return &v->slots[i];
        }
    }
    CHECK(!"no option of that name in the table");
}

bool option_is_set(const struct option_values *v, const char *name)
{
    for (uint32_t i = 0; i < v->set->n_options; i++) {
        if (strcmp(v->set->options[i].name, name) == 0) {
            return v->slots[i].is_set;
        }
    }
    CHECK(!"no option of that name in the table");
}

bool option_flag(const struct option_values *v, const char *name)
{
    return slot_of(v, name, OPTION_FLAG, OPTION_FLAG)->flag;
}

const char *option_string(const struct option_values *v, const char *name)
{
    const struct option_slot *slot = slot_of(v, name, OPTION_STRING, OPTION_CHOICE);

    return slot->n_words > 0 ? slot->words[slot->n_words - 1] : NULL;
}

const char *const *option_strings(const struct option_values *v, const char *name, uint32_t *ret_n)
{
    const struct option_slot *slot = slot_of(v, name, OPTION_STRINGS, OPTION_STRINGS);

    *ret_n = slot->n_words;
    return slot->words;
}

uint64_t option_count(const struct option_values *v, const char *name)
{
    return slot_of(v, name, OPTION_COUNT, OPTION_COUNT)->count;
}

double option_fraction(const struct option_values *v, const char *name)
{
    return slot_of(v, name, OPTION_FRACTION, OPTION_FRACTION)->fraction;
}

const char *option_positional(const struct option_values *v)
{
    return v->positional;
}
