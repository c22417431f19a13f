#include "base/check.h"
#include "text/jinja_filter.h"
#include "text/jinja_run.h"

enum test_id {
    TEST_BOOLEAN,
    TEST_CALLABLE,
    TEST_DEFINED,
    TEST_DIVISIBLEBY,
    TEST_EQ,
    TEST_EVEN,
    TEST_FALSE,
    TEST_FLOAT,
    TEST_GE,
    TEST_GT,
    TEST_IN,
    TEST_INTEGER,
    TEST_ITERABLE,
    TEST_LE,
    TEST_LT,
    TEST_MAPPING,
    TEST_NE,
    TEST_NONE,
    TEST_NUMBER,
    TEST_ODD,
    TEST_SEQUENCE,
    TEST_STRING,
    TEST_TRUE,
    TEST_UNDEFINED,
};

static const struct test {
    const char *name;
    enum test_id id;
    uint32_t n_args;
} tests[] = {
    {"boolean", TEST_BOOLEAN, 0},
    {"callable", TEST_CALLABLE, 0},
    {"defined", TEST_DEFINED, 0},
    {"divisibleby", TEST_DIVISIBLEBY, 1},
    {"eq", TEST_EQ, 1},
    {"equalto", TEST_EQ, 1},
    {"even", TEST_EVEN, 0},
    {"false", TEST_FALSE, 0},
    {"float", TEST_FLOAT, 0},
    {"ge", TEST_GE, 1},
    {"greaterthan", TEST_GT, 1},
    {"gt", TEST_GT, 1},
    {"in", TEST_IN, 1},
    {"integer", TEST_INTEGER, 0},
    {"iterable", TEST_ITERABLE, 0},
    {"le", TEST_LE, 1},
    {"lessthan", TEST_LT, 1},
    {"lt", TEST_LT, 1},
    {"mapping", TEST_MAPPING, 0},
    {"ne", TEST_NE, 1},
    {"none", TEST_NONE, 0},
    {"number", TEST_NUMBER, 0},
    {"odd", TEST_ODD, 0},
    {"sequence", TEST_SEQUENCE, 0},
    {"string", TEST_STRING, 0},
    {"true", TEST_TRUE, 0},
    {"undefined", TEST_UNDEFINED, 0},
};

int jinja_test_id(struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++) {
        if (str_eq(str_from_c(tests[i].name), name)) {
            return (int)i;
        }
    }
    return -1;
}

const char *jinja_test_names(void)
{
    return "boolean, callable, defined, divisibleby, eq, equalto, even, false, float, ge, "
           "greaterthan, gt, in, integer, iterable, le, lessthan, lt, mapping, ne, none, number, "
           "odd, sequence, string, true, undefined";
}

/* input % divisor == rest */
static enum status has_rest(struct jinja_run *run, const struct jinja_value *input,
                            const struct jinja_value *divisor, int64_t rest, bool *ret_b)
{
    struct jinja_value found;
    struct jinja_value wanted = jinja_int(rest);
    enum status rc = jinja_op_arith(run, JINJA_TOK_MOD, input, divisor, &found);

    return rc == OK ? jinja_op_equal(run, &found, &wanted, ret_b) : rc;
}

static bool is_iterable(const struct jinja_value *v)
{
    return v->kind == JINJA_UNDEFINED || (v->kind >= JINJA_STRING && v->kind <= JINJA_ITEMS) ||
           v->kind == JINJA_LOOP;
}

static bool is_sequence(const struct jinja_value *v)
{
    return v->kind == JINJA_UNDEFINED || (v->kind >= JINJA_STRING && v->kind <= JINJA_RANGE);
}

/* Undefined values have a method for calls that fails; the tests count it. */
static bool is_callable(const struct jinja_value *v)
{
    return v->kind == JINJA_UNDEFINED || v->kind >= JINJA_LOOP;
}

static bool is_of_kind(enum test_id id, const struct jinja_value *v)
{
    switch (id) {
    case TEST_BOOLEAN:
        return v->kind == JINJA_BOOL;
    case TEST_CALLABLE:
        return is_callable(v);
    case TEST_DEFINED:
        return v->kind != JINJA_UNDEFINED;
    case TEST_FALSE:
        return v->kind == JINJA_BOOL && !v->boolean;
    case TEST_FLOAT:
        return v->kind == JINJA_FLOAT;
    case TEST_INTEGER:
        return v->kind == JINJA_INT || v->kind == JINJA_BIGINT;
    case TEST_ITERABLE:
        return is_iterable(v);
    case TEST_MAPPING:
        return v->kind == JINJA_DICT;
    case TEST_NONE:
        return v->kind == JINJA_NONE;
    case TEST_NUMBER:
        return v->kind >= JINJA_BOOL && v->kind <= JINJA_FLOAT;
    case TEST_SEQUENCE:
        return is_sequence(v);
    case TEST_STRING:
        return v->kind == JINJA_STRING;
    case TEST_TRUE:
        return v->kind == JINJA_BOOL && v->boolean;
    case TEST_UNDEFINED:
        return v->kind == JINJA_UNDEFINED;
    case TEST_DIVISIBLEBY:
    case TEST_EQ:
    case TEST_EVEN:
    case TEST_GE:
    case TEST_GT:
    case TEST_IN:
    case TEST_LE:
    case TEST_LT:
    case TEST_NE:
    case TEST_ODD:
        break;
    }
    CHECK(false); // a test of kinds
    return false;
}

enum status jinja_test(struct jinja_run *run, uint32_t id, const struct jinja_value *input,
                       const struct jinja_args *args, bool *ret_b)
{
    const struct test *t = &tests[id];
    const struct jinja_value two = jinja_int(2);

    if (args->n != t->n_args || args->n_positional != args->n) {
        return jinja_run_fail(run, E_INVALID, "the test '%s' takes %u arguments, not %u", t->name,
                              t->n_args, args->n);
    }
    switch ((int)t->id) {
    case TEST_DIVISIBLEBY:
        return has_rest(run, input, &args->values[0], 0, ret_b);
    case TEST_EVEN:
        return has_rest(run, input, &two, 0, ret_b);
    case TEST_ODD:
        return has_rest(run, input, &two, 1, ret_b);
    case TEST_EQ:
        return jinja_op_compare(run, JINJA_TOK_EQ, input, &args->values[0], ret_b);
    case TEST_NE:
        return jinja_op_compare(run, JINJA_TOK_NE, input, &args->values[0], ret_b);
    case TEST_LT:
        return jinja_op_compare(run, JINJA_TOK_LT, input, &args->values[0], ret_b);
    case TEST_LE:
        return jinja_op_compare(run, JINJA_TOK_LE, input, &args->values[0], ret_b);
    case TEST_GT:
        return jinja_op_compare(run, JINJA_TOK_GT, input, &args->values[0], ret_b);
    case TEST_GE:
        return jinja_op_compare(run, JINJA_TOK_GE, input, &args->values[0], ret_b);
    case TEST_IN:
        return jinja_op_compare(run, JINJA_TOK_IN, input, &args->values[0], ret_b);
    default:
        *ret_b = is_of_kind(t->id, input);
        return OK;
    }
}
