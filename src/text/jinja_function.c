/* The functions every template may call. */
#include "base/check.h"
#include "text/jinja_run.h"

#include <time.h>

static const struct function {
    const char *name;
    enum jinja_function id;
} functions[] = {
    {"range", JINJA_FN_RANGE},           {"namespace", JINJA_FN_NAMESPACE},
    {"raise_exception", JINJA_FN_RAISE}, {"strftime_now", JINJA_FN_STRFTIME_NOW},
    {"dict", JINJA_FN_UNSUPPORTED},      {"lipsum", JINJA_FN_UNSUPPORTED},
    {"cycler", JINJA_FN_UNSUPPORTED},    {"joiner", JINJA_FN_UNSUPPORTED},
};

bool jinja_function_find(struct str name, struct jinja_value *ret_v)
{
    for (size_t i = 0; i < ARRAY_COUNT(functions); i++) {
        if (str_eq(str_from_c(functions[i].name), name)) {
            *ret_v = (struct jinja_value){.kind = JINJA_FUNCTION, .id = (uint16_t)functions[i].id};
            return true;
        }
    }
    return false;
}

/* Number of elements of range(start, stop, step), or UINT64_MAX for too many to count. */
static uint64_t range_count(int64_t start, int64_t stop, int64_t step)
{
    uint64_t distance;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;

    if (step > 0 ? start >= stop : start <= stop) {
        return 0;
    }
    distance = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    return (distance - 1) / stride + 1;
}

static enum status make_range(struct jinja_run *run, const struct jinja_args *args,
                              struct jinja_value *ret_v)
{
    static const char *const params[] = {"", "", ""};
    const struct jinja_value *arg[3];
    int64_t bounds[3] = {0, 0, 1};
    uint64_t n;
    struct jinja_range *range;
    enum status rc = jinja_run_bind(run, "range()", args, params, 3, arg);

    if (rc == OK && arg[0] == NULL) {
        return jinja_run_fail(run, E_INVALID, "range() lacks an argument");
    }
    for (unsigned i = 0; i < 3 && rc == OK; i++) {
        if (arg[i] != NULL && !jinja_value_integer(arg[i], &bounds[i])) {
            return jinja_run_fail(run, E_INVALID, "range() needs integers, not '%s'",
                                  jinja_value_type(arg[i]));
        }
    }
    if (rc != OK) {
        return rc;
    }
    if (arg[1] == NULL) {
        bounds[1] = bounds[0];
        bounds[0] = 0;
    }
    if (bounds[2] == 0) {
        return jinja_run_fail(run, E_INVALID, "the step of range() is zero");
    }
    n = range_count(bounds[0], bounds[1], bounds[2]);
    if (n > JINJA_RANGE_MAX) {
        return jinja_run_fail(run, E_LIMIT, "range() gives more than %d numbers", JINJA_RANGE_MAX);
    }
    rc = jinja_run_alloc(run, 1, sizeof(*range), &range);
    if (rc == OK) {
        *range = (struct jinja_range){.start = bounds[0],
                                      .stop = bounds[1],
                                      .step = bounds[2],
                                      .n = (uint32_t)n};
        *ret_v = (struct jinja_value){.kind = JINJA_RANGE, .range = range};
    }
    return rc;
}

static enum status make_namespace(struct jinja_run *run, const struct jinja_args *args,
                                  struct jinja_value *ret_v)
{
    const struct jinja_node *node = args->nodes;
    struct jinja_space *space;
    enum status rc;

    if (args->n_positional > 0) {
        return jinja_run_fail(run, E_UNSUPPORTED, "namespace() takes names only: namespace(x=1)");
    }
    rc = jinja_run_alloc(run, 1, sizeof(*space), &space);
    if (rc != OK) {
        return rc;
    }
    *space = (struct jinja_space){0};
    for (uint32_t i = 0; i < args->n && rc == OK; i++, node = node->next) {
        rc = jinja_run_set_attr(run, space, node->text, &args->values[i]);
    }
    *ret_v = (struct jinja_value){.kind = JINJA_NAMESPACE, .space = space};
    return rc;
}

static enum status raise_exception(struct jinja_run *run, const struct jinja_args *args)
{
    static const char *const params[] = {"message"};
    const struct jinja_value *arg[1];
    struct str text;
    enum status rc = jinja_run_bind(run, "raise_exception()", args, params, 1, arg);

    if (rc == OK && arg[0] == NULL) {
        return jinja_run_fail(run, E_INVALID, "raise_exception() lacks a message");
    }
    rc = rc == OK ? jinja_print_string(run, arg[0], &text) : rc;
    return rc == OK ? jinja_run_fail(run, E_INVALID, "the template refuses: %.*s", STR_ARG(text))
                    : rc;
}

static enum status strftime_now(struct jinja_run *run, const struct jinja_args *args,
                                struct jinja_value *ret_v)
{
    static const char *const params[] = {"format"};
    const struct jinja_value *arg[1];
    char format[128];
    char text[256];
    struct tm now;
    time_t seconds;
    struct str s;
    enum status rc = jinja_run_bind(run, "strftime_now()", args, params, 1, arg);

    if (rc == OK &&
        (arg[0] == NULL || arg[0]->kind != JINJA_STRING || arg[0]->string.len >= sizeof(format))) {
        return jinja_run_fail(run, E_INVALID, "strftime_now() needs a format of at most %zu bytes",
                              sizeof(format) - 1);
    }
    if (rc != OK) {
        return rc;
    }
    for (size_t i = 0; i < arg[0]->string.len; i++) {
        format[i] = arg[0]->string.ptr[i];
    }
    format[arg[0]->string.len] = '\0';
    seconds = (time_t)(run->clock->unix_ms(run->clock->user) / 1000);
    if (localtime_r(&seconds, &now) == NULL) {
        return jinja_run_fail(run, E_INVALID, "the clock is out of range");
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" // the format is the template's own
    s = (struct str){text, strftime(text, sizeof(text), format, &now)};
#pragma GCC diagnostic pop
    rc = jinja_run_write(run, &run->text, s);
    rc = rc == OK ? jinja_run_take(run, run->text.len - s.len, &s) : rc;
    if (rc == OK) {
        *ret_v = jinja_string(s);
    }
    return rc;
}

enum status jinja_function(struct jinja_run *run, uint16_t id, const struct jinja_args *args,
                           struct jinja_value *ret_v)
{
    switch ((enum jinja_function)id) {
    case JINJA_FN_RANGE:
        return make_range(run, args, ret_v);
    case JINJA_FN_NAMESPACE:
        return make_namespace(run, args, ret_v);
    case JINJA_FN_RAISE:
        return raise_exception(run, args);
    case JINJA_FN_STRFTIME_NOW:
        return strftime_now(run, args, ret_v);
    case JINJA_FN_UNSUPPORTED:
        break;
    }
    return jinja_run_fail(run, E_UNSUPPORTED,
                          "the functions dict, lipsum, cycler and joiner are not supported");
}
