/* Expressions. */
#include "base/check.h"
#include "text/jinja_filter.h"
#include "text/jinja_run.h"

/* Arguments of a call or elements of a literal, evaluated onto the stack of the run. */
static enum status eval_kids(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_args *ret_args)
{
    struct jinja_value *values = &run->stack[run->stack_used];
    uint32_t n = 0;
    enum status rc = OK;

    if (node->n_kids > JINJA_STACK_VALUES - run->stack_used) {
        return jinja_run_fail(run, E_LIMIT, "more than %d arguments in nested calls",
                              JINJA_STACK_VALUES);
    }
    *ret_args = (struct jinja_args){.values = values, .nodes = node->kids};
    run->stack_used += node->n_kids;
    for (const struct jinja_node *kid = node->kids; kid != NULL && rc == OK; kid = kid->next) {
        rc = jinja_eval(run, kid->op == JINJA_KEYWORD ? kid->a : kid, &values[n++]);
        ret_args->n_positional += kid->op == JINJA_KEYWORD ? 0 : 1;
    }
    ret_args->n = n;
    run->line = node->line;
    return rc;
}

static void drop_kids(struct jinja_run *run, const struct jinja_node *node)
{
    run->stack_used -= node->n_kids;
}

static enum status eval_list(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *ret_v)
{
    struct jinja_value *items = NULL;
    struct jinja_seq *seq = NULL;
    uint32_t n = 0;
    enum status rc = jinja_run_alloc(run, node->n_kids, sizeof(*items), &items);

    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*seq), &seq) : rc;
    for (const struct jinja_node *kid = node->kids; kid != NULL && rc == OK; kid = kid->next) {
        rc = jinja_eval(run, kid, &items[n++]);
    }
    if (rc == OK) {
        *seq = (struct jinja_seq){.n = n, .items = items};
        *ret_v =
            (struct jinja_value){.kind = node->op == JINJA_MAKE_LIST ? JINJA_LIST : JINJA_TUPLE,
                                 .seq = seq};
    }
    return rc;
}

/* Put a pair into arrays with room for it; an equal key gets the new value. */
static enum status put_pair(struct jinja_run *run, struct jinja_dict *dict,
                            struct jinja_value *keys, struct jinja_value *values,
                            const struct jinja_value pair[2])
{
    bool equal = false;
    enum status rc = OK;

    if (!jinja_value_is_hashable(&pair[0])) {
        return jinja_run_fail(run, E_INVALID, "a value of type '%s' cannot be a key",
                              jinja_value_type(&pair[0]));
    }
    for (uint32_t i = 0; i < dict->n && rc == OK; i++) {
        rc = jinja_op_equal(run, &keys[i], &pair[0], &equal);
        if (rc == OK && equal) {
            values[i] = pair[1];
            return OK;
        }
    }
    keys[dict->n] = pair[0];
    values[dict->n] = pair[1];
    dict->n++;
    return rc;
}

static enum status eval_dict(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *ret_v)
{
    struct jinja_value *keys = NULL;
    struct jinja_value *values = NULL;
    struct jinja_dict *dict = NULL;
    struct jinja_value pair[2];
    uint32_t n = node->n_kids / 2;
    const struct jinja_node *kid = node->kids;
    enum status rc = jinja_run_alloc(run, n, sizeof(*keys), &keys);

    rc = rc == OK ? jinja_run_alloc(run, n, sizeof(*values), &values) : rc;
    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*dict), &dict) : rc;
    if (rc != OK) {
        return rc;
    }
    *dict = (struct jinja_dict){.keys = keys, .values = values};
    for (; kid != NULL && rc == OK; kid = kid->next->next) {
        rc = jinja_eval(run, kid, &pair[0]);
        rc = rc == OK ? jinja_eval(run, kid->next, &pair[1]) : rc;
        run->line = kid->line;
        rc = rc == OK ? put_pair(run, dict, keys, values, pair) : rc;
    }
    *ret_v = (struct jinja_value){.kind = JINJA_DICT, .dict = dict};
    return rc;
}

static enum status eval_element(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_value *ret_v)
{
    struct jinja_value obj;
    struct jinja_value key;
    enum status rc = jinja_eval(run, node->a, &obj);

    rc = rc == OK ? jinja_eval(run, node->b, &key) : rc;
    run->line = node->line;
    return rc == OK ? jinja_access_element(run, &obj, &key, ret_v) : rc;
}

static enum status eval_slice(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_value *ret_v)
{
    const struct jinja_node *bound_nodes[3] = {node->b, node->c, node->d};
    struct jinja_value values[3];
    const struct jinja_value *bounds[3] = {NULL, NULL, NULL};
    struct jinja_value obj;
    enum status rc = jinja_eval(run, node->a, &obj);

    for (unsigned i = 0; i < 3 && rc == OK; i++) {
        if (bound_nodes[i] != NULL) {
            rc = jinja_eval(run, bound_nodes[i], &values[i]);
            bounds[i] = &values[i];
        }
    }
    run->line = node->line;
    return rc == OK ? jinja_access_slice(run, &obj, bounds, ret_v) : rc;
}

static enum status call_value(struct jinja_run *run, const struct jinja_value *callee,
                              const struct jinja_args *args, struct jinja_value *ret_v)
{
    switch ((int)callee->kind) {
    case JINJA_MACRO:
        return jinja_exec_macro(run, callee->macro, args, ret_v);
    case JINJA_FUNCTION:
        return jinja_function(run, callee->id, args, ret_v);
    case JINJA_METHOD:
        return jinja_method(run, callee->id, callee->ref, args, ret_v);
    case JINJA_UNDEFINED:
        return jinja_run_fail(run, E_INVALID, "'%.*s' is undefined, so it cannot be called",
                              STR_ARG(callee->string));
    default:
        return jinja_run_fail(run, E_INVALID, "a value of type '%s' cannot be called",
                              jinja_value_type(callee));
    }
}

/* What is called: for `obj.name(...)` where name is a method, *ret_self is obj and no value is made
 * of the method. */
static enum status eval_callee(struct jinja_run *run, const struct jinja_node *node,
                               struct jinja_value *ret_self, uint16_t *ret_method,
                               struct jinja_value *ret_callee)
{
    uint16_t id = node->op == JINJA_ATTR ? (uint16_t)node->id : 0;
    enum status rc;

    *ret_method = 0;
    if (node->op != JINJA_ATTR) {
        return jinja_eval(run, node, ret_callee);
    }
    rc = jinja_eval(run, node->a, ret_self);
    run->line = node->line;
    if (rc == OK && id != 0 && jinja_method_find(id, ret_self) == JINJA_METHOD_BOUND) {
        *ret_method = id;
        return OK;
    }
    return rc == OK ? jinja_access_attribute(run, ret_self, node->text, id, ret_callee) : rc;
}

static enum status eval_call(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *ret_v)
{
    struct jinja_value self;
    struct jinja_value callee;
    struct jinja_args args;
    uint32_t stack_used = run->stack_used;
    uint16_t method;
    enum status rc = eval_callee(run, node->a, &self, &method, &callee);

    rc = rc == OK ? eval_kids(run, node, &args) : rc;
    if (rc == OK) {
        rc = method != 0 ? jinja_method(run, method, &self, &args, ret_v)
                         : call_value(run, &callee, &args, ret_v);
    }
    run->stack_used = stack_used;
    return rc;
}

static enum status eval_filter(struct jinja_run *run, const struct jinja_node *node,
                               struct jinja_value *ret_v)
{
    struct jinja_value input;
    struct jinja_args args;
    enum status rc = jinja_eval(run, node->a, &input);

    if (rc != OK) {
        return rc;
    }
    rc = eval_kids(run, node, &args);
    if (rc == OK) {
        rc = jinja_filter(run, node->id, &input, &args, ret_v);
        drop_kids(run, node);
    }
    return rc;
}

static enum status eval_test(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *ret_v)
{
    struct jinja_value input;
    struct jinja_args args;
    bool result = false;
    enum status rc = jinja_eval(run, node->a, &input);

    if (rc != OK) {
        return rc;
    }
    rc = eval_kids(run, node, &args);
    if (rc == OK) {
        rc = jinja_test(run, node->id, &input, &args, &result);
        drop_kids(run, node);
    }
    *ret_v = jinja_bool(result);
    return rc;
}

/* `a and b` and `a or b` are one of their operands. */
static enum status eval_logic(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_value *ret_v)
{
    bool stop_at = node->op == JINJA_OR;
    enum status rc = OK;

    for (const struct jinja_node *kid = node->kids; kid != NULL; kid = kid->next) {
        rc = jinja_eval(run, kid, ret_v);
        if (rc != OK || jinja_value_truth(ret_v) == stop_at) {
            break;
        }
    }
    return rc;
}

/* a < b < c is (a < b) and (b < c). */
static enum status eval_compare(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_value *ret_v)
{
    struct jinja_value left;
    struct jinja_value right;
    bool result = true;
    enum status rc = jinja_eval(run, node->a, &left);

    for (const struct jinja_node *kid = node->kids; kid != NULL && rc == OK && result;
         kid = kid->next) {
        rc = jinja_eval(run, kid->a, &right);
        run->line = kid->line;
        rc = rc == OK ? jinja_op_compare(run, kid->id, &left, &right, &result) : rc;
        left = right;
    }
    *ret_v = jinja_bool(result);
    return rc;
}

static enum status eval_arith(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_value *ret_v)
{
    struct jinja_value left;
    struct jinja_value right;
    enum status rc = jinja_eval(run, node->a, &left);

    for (const struct jinja_node *kid = node->kids; kid != NULL && rc == OK; kid = kid->next) {
        rc = jinja_eval(run, kid->a, &right);
        run->line = kid->line;
        rc = rc == OK ? jinja_op_arith(run, kid->id, &left, &right, &left) : rc;
    }
    *ret_v = left;
    return rc;
}

static enum status eval_concat(struct jinja_run *run, const struct jinja_node *node,
                               struct jinja_value *ret_v)
{
    size_t begin = run->text.len;
    struct jinja_value v;
    struct str joined;
    enum status rc = OK;

    for (const struct jinja_node *kid = node->kids; kid != NULL && rc == OK; kid = kid->next) {
        rc = jinja_eval(run, kid, &v);
        run->line = node->line;
        rc = rc == OK ? jinja_print(run, &run->text, &v) : rc;
    }
    rc = rc == OK ? jinja_run_take(run, begin, &joined) : rc;
    if (rc == OK) {
        *ret_v = jinja_string(joined);
    }
    return rc;
}

static enum status eval_cond(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *ret_v)
{
    enum status rc = jinja_eval(run, node->a, ret_v);

    if (rc != OK) {
        return rc;
    }
    if (jinja_value_truth(ret_v)) {
        return jinja_eval(run, node->b, ret_v);
    }
    if (node->c != NULL) {
        return jinja_eval(run, node->c, ret_v);
    }
    *ret_v = jinja_undefined(STR("an 'if' without 'else'"));
    return OK;
}

static enum status eval_unary(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_value *ret_v)
{
    struct jinja_value v;
    enum status rc = jinja_eval(run, node->a, &v);

    run->line = node->line;
    if (rc == OK && node->op == JINJA_NOT) {
        *ret_v = jinja_bool(!jinja_value_truth(&v));
        return OK;
    }
    return rc == OK ? jinja_op_negate(run, &v, node->op == JINJA_NEG, ret_v) : rc;
}

static enum status eval_attr(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *ret_v)
{
    struct jinja_value obj;
    enum status rc = jinja_eval(run, node->a, &obj);

    run->line = node->line;
    return rc == OK ? jinja_access_attribute(run, &obj, node->text, (uint16_t)node->id, ret_v) : rc;
}

static enum status eval_node(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *ret_v)
{
    switch ((int)node->op) {
    case JINJA_CONST:
        *ret_v = node->value;
        return OK;
    case JINJA_NAME:
        *ret_v = jinja_run_get(run, node->id);
        return OK;
    case JINJA_MAKE_LIST:
    case JINJA_MAKE_TUPLE:
        return eval_list(run, node, ret_v);
    case JINJA_MAKE_DICT:
        return eval_dict(run, node, ret_v);
    case JINJA_ATTR:
        return eval_attr(run, node, ret_v);
    case JINJA_ELEMENT:
        return eval_element(run, node, ret_v);
    case JINJA_SLICE:
        return eval_slice(run, node, ret_v);
    case JINJA_CALL:
        return eval_call(run, node, ret_v);
    case JINJA_FILTER:
        return eval_filter(run, node, ret_v);
    case JINJA_TEST:
        return eval_test(run, node, ret_v);
    case JINJA_NEG:
    case JINJA_POS:
    case JINJA_NOT:
        return eval_unary(run, node, ret_v);
    case JINJA_AND:
    case JINJA_OR:
        return eval_logic(run, node, ret_v);
    case JINJA_COMPARE:
        return eval_compare(run, node, ret_v);
    case JINJA_ARITH:
        return eval_arith(run, node, ret_v);
    case JINJA_CONCAT:
        return eval_concat(run, node, ret_v);
    case JINJA_COND:
        return eval_cond(run, node, ret_v);
    default:
        CHECK(false); // a statement where an expression belongs
        return E_INVALID;
    }
}

enum status jinja_eval(struct jinja_run *run, const struct jinja_node *node,
                       struct jinja_value *ret_v)
{
    enum status rc;

    run->line = node->line;
    rc = jinja_run_enter(run);
    if (rc == OK) {
        rc = eval_node(run, node, ret_v);
        run->frames--;
    }
    return rc;
}
