#include "base/label.h"
#include "base/check.h"

static const char *const names[] = {"public", "internal", "confidential", "private"};

const char *label_name(enum label l)
{
    CHECK((size_t)l < ARRAY_COUNT(names));
    return names[l];
}

enum status label_parse(struct str s, enum label *ret_label)
{
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (str_eq(s, str_from_c(names[i]))) {
            *ret_label = (enum label)i;
            return OK;
        }
    }
    return E_INVALID;
}
