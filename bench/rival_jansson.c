#include "base/check.h"
#include "base/clock.h"
#include "rival.h"

#include <jansson.h>

double rival_jansson_ms(struct str text)
{
    uint64_t begin = kontor_clock_now_ns(&kontor_clock_system);
    json_t *root = json_loadb(text.ptr, text.len, 0, NULL);
    uint64_t end = kontor_clock_now_ns(&kontor_clock_system);

    CHECK(root != NULL);
    json_decref(root);
    return (double)(end - begin) / 1e6;
}
