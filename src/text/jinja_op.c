/* Python's operators.  Integers are 64 bits: an overflow is an error, never a wrap. */
#include "text/jinja_run.h"

#include <math.h>
#include <string.h>

static const char *symbol(enum jinja_token_kind op)
{
    switch ((int)op) {
    case JINJA_TOK_ADD:
        return "+";
    case JINJA_TOK_SUB:
        return "-";
    case JINJA_TOK_MUL:
        return "*";
    case JINJA_TOK_DIV:
        return "/";
    case JINJA_TOK_FLOORDIV:
        return "//";
    case JINJA_TOK_MOD:
        return "%";
    case JINJA_TOK_LT:
        return "<";
    case JINJA_TOK_LE:
        return "<=";
    case JINJA_TOK_GT:
        return ">";
    case JINJA_TOK_GE:
        return ">=";
    default:
        return "in";
    }
}

static enum status fail_types(struct jinja_run *run, enum jinja_token_kind op,
                              const struct jinja_value *a, const struct jinja_value *b)
{
    if (a->kind == JINJA_UNDEFINED || b->kind == JINJA_UNDEFINED) {
        return jinja_run_fail(run, E_INVALID, "'%.*s' is undefined",
                              STR_ARG(a->kind == JINJA_UNDEFINED ? a->string : b->string));
    }
    return jinja_run_fail(run, E_INVALID, "'%s' %s '%s' is not possible", jinja_value_type(a),
                          symbol(op), jinja_value_type(b));
}

static enum status fail_bigint(struct jinja_run *run)
{
    return jinja_run_fail(run, E_UNSUPPORTED, "an integer does not fit 64 bits");
}

static enum status divide(struct jinja_run *run, enum jinja_token_kind op, int64_t a, int64_t b,
                          struct jinja_value *ret_v)
{
    int64_t quotient;
    int64_t rest;

    if (b == 0) {
        return jinja_run_fail(run, E_INVALID, "division by zero");
    }
    if (op == JINJA_TOK_DIV) {
        *ret_v = jinja_float((double)((long double)a / (long double)b));
        return OK;
    }
    if (b == -1) { // the one quotient that overflows is that of the smallest integer
        if (op == JINJA_TOK_MOD) {
            *ret_v = jinja_int(0);
            return OK;
        }
        if (__builtin_sub_overflow((int64_t)0, a, &quotient)) {
            return fail_bigint(run);
        }
        *ret_v = jinja_int(quotient);
        return OK;
    }
    quotient = a / b;
    rest = a % b;
    if (rest != 0 && (rest < 0) != (b < 0)) { // Python rounds down
        quotient--;
        rest += b;
    }
    *ret_v = jinja_int(op == JINJA_TOK_MOD ? rest : quotient);
    return OK;
}

static enum status arith_int(struct jinja_run *run, enum jinja_token_kind op, int64_t a, int64_t b,
                             struct jinja_value *ret_v)
{
    int64_t result = 0;
    bool overflow = false;

    switch ((int)op) {
    case JINJA_TOK_ADD:
        overflow = __builtin_add_overflow(a, b, &result);
        break;
    case JINJA_TOK_SUB:
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
    case JINJA_TOK_MUL:
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
    default:
        return divide(run, op, a, b, ret_v);
    }
    if (overflow) {
        return fail_bigint(run);
    }
    *ret_v = jinja_int(result);
    return OK;
}

/* Python's float // and %: the rest has the sign of the divisor, the quotient is whole. */
static double floor_divide(double a, double b, double *ret_rest)
{
    double rest = fmod(a, b);
    double quotient = (a - rest) / b;

    if (rest < 0 || rest > 0) {
        if ((b < 0) != (rest < 0)) {
            rest += b;
            quotient -= 1.0;
        }
    } else {
        rest = copysign(0.0, b);
    }
    *ret_rest = rest;
    if (quotient < 0 || quotient > 0) {
        double whole = floor(quotient);

        return quotient - whole > 0.5 ? whole + 1.0 : whole;
    }
    return copysign(0.0, a / b);
}

static enum status arith_float(struct jinja_run *run, enum jinja_token_kind op, double a, double b,
                               struct jinja_value *ret_v)
{
    double rest;
    double quotient;

    if (op == JINJA_TOK_ADD || op == JINJA_TOK_SUB || op == JINJA_TOK_MUL) {
        *ret_v = jinja_float(op == JINJA_TOK_ADD ? a + b : op == JINJA_TOK_SUB ? a - b : a * b);
        return OK;
    }
    if (!(b < 0) && !(b > 0) && b == b) {
        return jinja_run_fail(run, E_INVALID, "division by zero");
    }
    if (op == JINJA_TOK_DIV) {
        *ret_v = jinja_float(a / b);
        return OK;
    }
    quotient = floor_divide(a, b, &rest);
    *ret_v = jinja_float(op == JINJA_TOK_MOD ? rest : quotient);
    return OK;
}

static enum status repeat_string(struct jinja_run *run, struct str s, int64_t times,
                                 struct jinja_value *ret_v)
{
    size_t begin = run->text.len;
    struct str taken;
    enum status rc = OK;

    for (int64_t i = 0; i < times && s.len > 0 && rc == OK; i++) {
        rc = jinja_run_write(run, &run->text, s);
    }
    rc = rc == OK ? jinja_run_take(run, begin, &taken) : rc;
    if (rc == OK) {
        *ret_v = jinja_string(taken);
    }
    return rc;
}

/* `times` copies of list or tuple `a` with `b` (may be NULL) behind them. */
static enum status join_lists(struct jinja_run *run, const struct jinja_value *a, int64_t times,
                              const struct jinja_value *b, struct jinja_value *ret_v)
{
    struct jinja_value *items;
    struct jinja_seq *seq;
    uint32_t n_a;
    uint32_t n_b = 0;
    size_t n;
    size_t k = 0;
    enum status rc = jinja_value_length(run, a, &n_a);

    rc = rc == OK && b != NULL ? jinja_value_length(run, b, &n_b) : rc;
    times = times < 0 ? 0 : times;
    if (rc == OK && (__builtin_mul_overflow((size_t)times, (size_t)n_a, &n) ||
                     __builtin_add_overflow(n, (size_t)n_b, &n) || n > UINT32_MAX)) {
        return jinja_run_fail(run, E_LIMIT, "a list exceeds the limit of %u elements", UINT32_MAX);
    }
    rc = rc == OK ? jinja_run_alloc(run, n, sizeof(*items), &items) : rc;
    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*seq), &seq) : rc;
    if (rc != OK) {
        return rc;
    }
    for (int64_t t = 0; t < times && n_a > 0 && rc == OK; t++) {
        for (uint32_t i = 0; i < n_a; i++) {
            items[k++] = jinja_value_at(a, i);
        }
        rc = jinja_run_tick(run, 1 + n_a);
    }
    for (uint32_t i = 0; i < n_b && b != NULL; i++) {
        items[k++] = jinja_value_at(b, i);
    }
    rc = rc == OK ? jinja_run_tick(run, 1 + n_b) : rc;
    *seq = (struct jinja_seq){.n = (uint32_t)k, .items = items};
    *ret_v = (struct jinja_value){.kind = a->kind, .seq = seq};
    return rc;
}

static bool is_list(const struct jinja_value *v)
{
    return v->kind == JINJA_LIST || v->kind == JINJA_TUPLE;
}

enum status jinja_op_arith(struct jinja_run *run, enum jinja_token_kind op,
                           const struct jinja_value *a, const struct jinja_value *b,
                           struct jinja_value *ret_v)
{
    struct str joined;
    int64_t i;
    int64_t k;
    double x;
    double y;
    enum status rc;

    if (jinja_value_integer(a, &i) && jinja_value_integer(b, &k)) {
        return arith_int(run, op, i, k, ret_v);
    }
    if (op == JINJA_TOK_ADD && a->kind == JINJA_STRING && b->kind == JINJA_STRING) {
        rc = jinja_run_join(run, a->string, b->string, &joined);
        if (rc == OK) {
            *ret_v = jinja_string(joined);
        }
        return rc;
    }
    if (op == JINJA_TOK_ADD && is_list(a) && a->kind == b->kind) {
        return join_lists(run, a, 1, b, ret_v);
    }
    if (jinja_value_number(a, &x) && jinja_value_number(b, &y)) {
        if (a->kind == JINJA_BIGINT || b->kind == JINJA_BIGINT) {
            return fail_bigint(run);
        }
        return arith_float(run, op, x, y, ret_v);
    }
    if (op == JINJA_TOK_MUL && jinja_value_integer(a, &i)) {
        const struct jinja_value *swap = a;

        a = b;
        b = swap;
    }
    if (op == JINJA_TOK_MUL && jinja_value_integer(b, &i)) {
        if (a->kind == JINJA_STRING) {
            return repeat_string(run, a->string, i, ret_v);
        }
        if (is_list(a)) {
            return join_lists(run, a, i, NULL, ret_v);
        }
    }
    if (op == JINJA_TOK_MOD && a->kind == JINJA_STRING) {
        return jinja_run_fail(run, E_UNSUPPORTED, "formatting a string with %% is not supported");
    }
    return fail_types(run, op, a, b);
}

enum status jinja_op_negate(struct jinja_run *run, const struct jinja_value *a, bool minus,
                            struct jinja_value *ret_v)
{
    int64_t i;

    if (a->kind == JINJA_FLOAT) {
        *ret_v = jinja_float(minus ? -a->number : a->number);
        return OK;
    }
    if (!jinja_value_integer(a, &i)) {
        if (a->kind == JINJA_UNDEFINED) {
            return jinja_run_fail(run, E_INVALID, "'%.*s' is undefined", STR_ARG(a->string));
        }
        return a->kind == JINJA_BIGINT
                   ? fail_bigint(run)
                   : jinja_run_fail(run, E_INVALID, "a value of type '%s' has no sign",
                                    jinja_value_type(a));
    }
    if (minus && __builtin_sub_overflow((int64_t)0, i, &i)) {
        return fail_bigint(run);
    }
    *ret_v = jinja_int(i);
    return OK;
}

static int order_bigint(struct str a, struct str b)
{
    bool minus_a = a.len > 0 && a.ptr[0] == '-';
    bool minus_b = b.len > 0 && b.ptr[0] == '-';
    int order;

    if (minus_a != minus_b) {
        return minus_a ? -1 : 1;
    }
    order = a.len != b.len ? (a.len < b.len ? -1 : 1) : str_cmp(a, b);
    return minus_a ? -order : order;
}

/* Order of two numbers: < 0, 0, > 0; *ret_ordered false for NaN and for what is no number. */
static enum status order_numbers(struct jinja_run *run, const struct jinja_value *a,
                                 const struct jinja_value *b, bool *ret_numbers, int *ret_order,
                                 bool *ret_ordered)
{
    int64_t i;
    int64_t k;
    double x;
    double y;

    *ret_ordered = true;
    *ret_numbers = true;
    if (jinja_value_integer(a, &i) && jinja_value_integer(b, &k)) {
        *ret_order = i < k ? -1 : i > k ? 1 : 0;
        return OK;
    }
    *ret_numbers = jinja_value_number(a, &x) && jinja_value_number(b, &y);
    if (!*ret_numbers) {
        return OK;
    }
    if (a->kind == JINJA_BIGINT || b->kind == JINJA_BIGINT) {
        if (a->kind == JINJA_FLOAT || b->kind == JINJA_FLOAT) {
            return fail_bigint(run);
        }
        if (a->kind != b->kind) { // an int64 lies between all bigints
            *ret_order =
                (a->kind == JINJA_BIGINT) == (a->kind == JINJA_BIGINT ? x < 0 : y < 0) ? -1 : 1;
            return OK;
        }
        *ret_order = order_bigint(a->string, b->string);
        return OK;
    }
    // the wider type holds every int64 and every double exactly
    long double p = jinja_value_integer(a, &i) ? (long double)i : (long double)x;
    long double q = jinja_value_integer(b, &k) ? (long double)k : (long double)y;

    *ret_ordered = p == p && q == q;
    *ret_order = p < q ? -1 : p > q ? 1 : 0;
    return OK;
}

static enum status equal_lists(struct jinja_run *run, const struct jinja_value *a,
                               const struct jinja_value *b, bool *ret_b)
{
    uint32_t n = 0;
    uint32_t m = 0;
    struct jinja_value x;
    struct jinja_value y;
    enum status rc = jinja_value_length(run, a, &n);

    rc = rc == OK ? jinja_value_length(run, b, &m) : rc;
    *ret_b = n == m;
    if (rc != OK || !*ret_b || (a->is_json == b->is_json && a->seq == b->seq)) {
        return rc;
    }
    for (uint32_t i = 0; i < n && rc == OK && *ret_b; i++) {
        x = jinja_value_at(a, i);
        y = jinja_value_at(b, i);
        rc = jinja_op_equal(run, &x, &y, ret_b);
    }
    return rc;
}

static enum status equal_dicts(struct jinja_run *run, const struct jinja_value *a,
                               const struct jinja_value *b, bool *ret_b)
{
    uint32_t n = 0;
    uint32_t m = 0;
    struct jinja_value key;
    struct jinja_value x;
    struct jinja_value y = jinja_none();
    enum status rc = jinja_value_length(run, a, &n);

    rc = rc == OK ? jinja_value_length(run, b, &m) : rc;
    *ret_b = n == m;
    if (rc != OK || !*ret_b || (a->is_json == b->is_json && a->dict == b->dict)) {
        return rc;
    }
    for (uint32_t i = 0; i < n && rc == OK && *ret_b; i++) {
        key = jinja_value_key_at(a, i);
        x = jinja_value_value_at(a, i);
        rc = jinja_value_find(run, b, &key, ret_b, &y);
        if (rc == OK && *ret_b) {
            rc = jinja_op_equal(run, &x, &y, ret_b);
        }
    }
    return rc;
}

static bool equal_ranges(const struct jinja_range *a, const struct jinja_range *b)
{
    return a->n == b->n &&
           (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

/* Two values of the same kind that are no numbers. */
static enum status equal_same(struct jinja_run *run, const struct jinja_value *a,
                              const struct jinja_value *b, bool *ret_b)
{
    enum status rc;

    switch ((int)a->kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        *ret_b = true;
        return OK;
    case JINJA_STRING:
        *ret_b = str_eq(a->string, b->string);
        return jinja_run_tick(run, a->string.len == b->string.len ? a->string.len / 256 : 0);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
        rc = jinja_run_nest(run);
        if (rc == OK) {
            rc = a->kind == JINJA_DICT ? equal_dicts(run, a, b, ret_b)
                                       : equal_lists(run, a, b, ret_b);
            run->nesting--;
        }
        return rc;
    case JINJA_RANGE:
        *ret_b = equal_ranges(a->range, b->range);
        return OK;
    case JINJA_NAMESPACE:
        *ret_b = a->space == b->space;
        return OK;
    case JINJA_LOOP:
        *ret_b = a->loop == b->loop;
        return OK;
    case JINJA_MACRO:
        *ret_b = a->macro == b->macro;
        return OK;
    case JINJA_FUNCTION:
        *ret_b = a->id == b->id;
        return OK;
    default:
        return jinja_run_fail(run, E_UNSUPPORTED, "comparing values of type '%s' is not supported",
                              jinja_value_type(a));
    }
}

enum status jinja_op_equal(struct jinja_run *run, const struct jinja_value *a,
                           const struct jinja_value *b, bool *ret_b)
{
    bool numbers = false;
    bool ordered = false;
    int order = 0;
    enum status rc = jinja_run_tick(run, 1);

    if (rc != OK || (a->kind == JINJA_STRING && b->kind == JINJA_STRING)) {
        return rc == OK ? equal_same(run, a, b, ret_b) : rc;
    }
    rc = order_numbers(run, a, b, &numbers, &order, &ordered);
    if (rc != OK || numbers) {
        *ret_b = rc == OK && ordered && order == 0;
        return rc;
    }
    if (a->kind != b->kind) {
        *ret_b = false;
        return OK;
    }
    return equal_same(run, a, b, ret_b);
}

static enum status order(struct jinja_run *run, enum jinja_token_kind op,
                         const struct jinja_value *a, const struct jinja_value *b, int *ret_order,
                         bool *ret_ordered);

/* The first pair of unequal elements decides, else the lengths. */
static enum status order_lists(struct jinja_run *run, enum jinja_token_kind op,
                               const struct jinja_value *a, const struct jinja_value *b,
                               int *ret_order, bool *ret_ordered)
{
    uint32_t n;
    uint32_t m;
    struct jinja_value x;
    struct jinja_value y;
    bool equal = true;
    enum status rc = jinja_value_length(run, a, &n);

    rc = rc == OK ? jinja_value_length(run, b, &m) : rc;
    if (rc != OK) {
        return rc;
    }
    for (uint32_t i = 0; i < n && i < m; i++) {
        x = jinja_value_at(a, i);
        y = jinja_value_at(b, i);
        rc = jinja_op_equal(run, &x, &y, &equal);
        if (rc != OK || !equal) {
            return rc == OK ? order(run, op, &x, &y, ret_order, ret_ordered) : rc;
        }
    }
    *ret_order = n < m ? -1 : n > m ? 1 : 0;
    return OK;
}

static enum status order(struct jinja_run *run, enum jinja_token_kind op,
                         const struct jinja_value *a, const struct jinja_value *b, int *ret_order,
                         bool *ret_ordered)
{
    bool numbers;
    enum status rc = order_numbers(run, a, b, &numbers, ret_order, ret_ordered);

    if (rc != OK || numbers) {
        return rc;
    }
    *ret_ordered = true;
    if (a->kind == JINJA_STRING && b->kind == JINJA_STRING) {
        *ret_order = str_cmp(a->string, b->string);
        return OK;
    }
    if (!is_list(a) || a->kind != b->kind) {
        return fail_types(run, op, a, b);
    }
    rc = jinja_run_nest(run);
    if (rc == OK) {
        rc = order_lists(run, op, a, b, ret_order, ret_ordered);
        run->nesting--;
    }
    return rc;
}

static enum status contains_walk(struct jinja_run *run, const struct jinja_value *item,
                                 const struct jinja_value *in, bool *ret_b)
{
    struct jinja_iter it;
    struct jinja_value v;
    bool more = true;
    enum status rc = jinja_value_iterate(run, in, &it);

    *ret_b = false;
    while (rc == OK && more && !*ret_b) {
        rc = jinja_value_next(run, &it, &more, &v);
        if (rc == OK && more) {
            rc = jinja_op_equal(run, &v, item, ret_b);
        }
    }
    return rc;
}

/* item in `in`. */
static enum status contains(struct jinja_run *run, const struct jinja_value *item,
                            const struct jinja_value *in, bool *ret_b)
{
    struct jinja_value found;

    switch ((int)in->kind) {
    case JINJA_STRING:
        if (item->kind != JINJA_STRING) {
            return fail_types(run, JINJA_TOK_IN, item, in);
        }
        *ret_b = str_find(in->string, item->string, 0) != SIZE_MAX;
        return jinja_run_tick(run, 1 + in->string.len / 64);
    case JINJA_DICT:
        return jinja_value_find(run, in, item, ret_b, &found);
    case JINJA_KEYS:
        return jinja_value_find(run, in->ref, item, ret_b, &found);
    case JINJA_UNDEFINED:
        *ret_b = false;
        return OK;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VALUES:
    case JINJA_ITEMS:
        return contains_walk(run, item, in, ret_b);
    default:
        return fail_types(run, JINJA_TOK_IN, item, in);
    }
}

enum status jinja_op_compare(struct jinja_run *run, enum jinja_token_kind op,
                             const struct jinja_value *a, const struct jinja_value *b, bool *ret_b)
{
    int ord = 0;
    bool ordered = true;
    enum status rc;

    switch ((int)op) {
    case JINJA_TOK_EQ:
        return jinja_op_equal(run, a, b, ret_b);
    case JINJA_TOK_NE:
        rc = jinja_op_equal(run, a, b, ret_b);
        *ret_b = !*ret_b;
        return rc;
    case JINJA_TOK_IN:
        return contains(run, a, b, ret_b);
    case JINJA_TOK_NOT_IN:
        rc = contains(run, a, b, ret_b);
        *ret_b = !*ret_b;
        return rc;
    default:
        break;
    }
    rc = order(run, op, a, b, &ord, &ordered);
    switch ((int)op) {
    case JINJA_TOK_LT:
        *ret_b = ordered && ord < 0;
        break;
    case JINJA_TOK_LE:
        *ret_b = ordered && ord <= 0;
        break;
    case JINJA_TOK_GT:
        *ret_b = ordered && ord > 0;
        break;
    default:
        *ret_b = ordered && ord >= 0;
        break;
    }
    return rc;
}
