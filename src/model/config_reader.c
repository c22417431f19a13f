#include "model/config_reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define VALUE_SHOWN_MAX 60 // bytes of a wrong value in a message

const struct json_value *config_reader_get(const struct config_reader *r, const char *key)
{
    const struct json_value *v = json_get(r->object, str_from_c(key));

    return v == NULL || v->kind == JSON_NULL ? NULL : v;
}

void config_reader_refuse(const struct config_reader *r, const char *key,
                          const struct json_value *v, enum status s, const char *must)
{
    struct str shown = str_slice(v->source, 0, VALUE_SHOWN_MAX);

    faults_add(r->faults, s, r->where, "%s%s is %.*s%s, but must be %s", r->prefix, key,
               STR_ARG(shown), shown.len < v->source.len ? "..." : "", must);
}

static uint32_t u32_in_range(const struct config_reader *r, const char *key,
                             const struct json_value *v, uint32_t min, uint32_t max)
{
    char must[80];
    double whole;

    /* 4096.0 is what some writers make of 4096 */
    if ((v->kind == JSON_INT || v->kind == JSON_DOUBLE) && v->number >= (double)min &&
        v->number <= (double)max && modf(v->number, &whole) == 0.0) {
        return (uint32_t)v->number;
    }
    snprintf(must, sizeof(must), "a whole number from %" PRIu32 " to %" PRIu32, min, max);
    config_reader_refuse(r, key, v, E_INVALID, must);
    return min;
}

uint32_t config_reader_need_u32(const struct config_reader *r, const char *key, uint32_t min,
                                uint32_t max)
{
    const struct json_value *v = config_reader_get(r, key);

    if (v == NULL) {
        faults_add(r->faults, E_INVALID, r->where, "%s%s is missing", r->prefix, key);
        return min;
    }
    return u32_in_range(r, key, v, min, max);
}

uint32_t config_reader_u32_or(const struct config_reader *r, const char *key, uint32_t min,
                              uint32_t max, uint32_t fallback)
{
    const struct json_value *v = config_reader_get(r, key);

    if (v == NULL) {
        faults_note(r->faults, r->where, "%s%s is missing, %" PRIu32 " is used", r->prefix, key,
                    fallback);
        return fallback;
    }
    return u32_in_range(r, key, v, min, max);
}

double config_reader_f64_or(const struct config_reader *r, const char *key, double min, double max,
                            double fallback, bool note)
{
    const struct json_value *v = config_reader_get(r, key);
    char must[80];

    if (v == NULL) {
        if (note) {
            faults_note(r->faults, r->where, "%s%s is missing, %.9g is used", r->prefix, key,
                        fallback);
        }
        return fallback;
    }
    if ((v->kind == JSON_INT || v->kind == JSON_DOUBLE) && v->number >= min && v->number <= max) {
        return v->number;
    }
    snprintf(must, sizeof(must), "a number from %.9g to %.9g", min, max);
    config_reader_refuse(r, key, v, E_INVALID, must);
    return fallback;
}

bool config_reader_bool_or(const struct config_reader *r, const char *key, bool fallback, bool note)
{
    const struct json_value *v = config_reader_get(r, key);

    if (v == NULL) {
        if (note) {
            faults_note(r->faults, r->where, "%s%s is missing, %s is used", r->prefix, key,
                        fallback ? "true" : "false");
        }
        return fallback;
    }
    if (v->kind != JSON_BOOL) {
        config_reader_refuse(r, key, v, E_INVALID, "true or false");
        return fallback;
    }
    return v->boolean;
}
