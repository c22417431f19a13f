/* Statements and macros. */
#include "base/check.h"
#include "text/jinja_run.h"

static enum status exec_node(struct jinja_run *run, const struct jinja_node *node);

enum status jinja_exec(struct jinja_run *run, const struct jinja_node *body)
{
    enum status rc = jinja_run_enter(run);

    if (rc != OK) {
        return rc;
    }
    for (const struct jinja_node *node = body; node != NULL && rc == OK; node = node->next) {
        run->line = node->line;
        rc = exec_node(run, node);
        if (run->flow != JINJA_FLOW_ON) {
            break;
        }
    }
    run->frames--;
    return rc;
}

/* A SCOPE: a body with names of its own. */
static enum status exec_scoped(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_scope *outer = run->scope;
    enum status rc = jinja_run_push_scope(run, outer);

    if (rc == OK) {
        rc = jinja_run_hide(run, node);
        rc = rc == OK ? jinja_exec(run, node->b) : rc;
        jinja_run_pop_scope(run, outer);
    }
    return rc;
}

static enum status assign_one(struct jinja_run *run, const struct jinja_node *target,
                              const struct jinja_value *value)
{
    struct jinja_value space;

    if (target->op == JINJA_TARGET_NAME) {
        return jinja_run_set(run, target->id, value);
    }
    space = jinja_run_get(run, target->id);
    if (space.kind != JINJA_NAMESPACE) {
        run->line = target->line;
        return jinja_run_fail(run, E_INVALID,
                              "'%.*s' is no namespace, so it has no attribute to "
                              "assign to",
                              STR_ARG(run->names[target->id]));
    }
    return jinja_run_set_attr(run, space.space, target->text, value);
}

/* Assign to the targets of `owner`: one name takes the value, several take its elements. */
static enum status assign(struct jinja_run *run, const struct jinja_node *owner,
                          const struct jinja_value *value)
{
    const struct jinja_node *target = owner->targets;
    struct jinja_value elements[JINJA_ARGS_MAX];
    struct jinja_iter it;
    bool more = true;
    uint32_t n = 0;
    enum status rc;

    if (owner->n_kids == 0) {
        return assign_one(run, target, value);
    }
    rc = jinja_value_iterate(run, value, &it);
    while (rc == OK && more && n < owner->n_kids) {
        rc = jinja_value_next(run, &it, &more, &elements[n]);
        n += more ? 1 : 0;
    }
    if (rc == OK && n == owner->n_kids) {
        struct jinja_value extra;

        rc = jinja_value_next(run, &it, &more, &extra);
    }
    if (rc == OK && (n < owner->n_kids || more)) {
        run->line = owner->line;
        return jinja_run_fail(run, E_INVALID, "%s than %u values to unpack",
                              more ? "more" : "fewer", owner->n_kids);
    }
    for (n = 0; target != NULL && rc == OK; target = target->next) {
        rc = assign_one(run, target, &elements[n++]);
    }
    return rc;
}

/* The elements for which the condition of the loop holds, as a list. */
static enum status keep_matching(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *io_seq)
{
    struct jinja_scope *outer = run->scope;
    struct jinja_value list;
    struct jinja_value *kept = NULL;
    struct jinja_value keep;
    struct jinja_seq *seq = NULL;
    uint32_t n = 0;
    enum status rc = jinja_value_to_list(run, io_seq, &list);

    rc = rc == OK ? jinja_run_alloc(run, list.seq->n, sizeof(*kept), &kept) : rc;
    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*seq), &seq) : rc;
    rc = rc == OK ? jinja_run_push_scope(run, outer) : rc;
    if (rc != OK) {
        return rc;
    }
    for (uint32_t i = 0; i < list.seq->n && rc == OK; i++) {
        rc = assign(run, node, &list.seq->items[i]);
        rc = rc == OK ? jinja_eval(run, node->d, &keep) : rc;
        if (rc == OK && jinja_value_truth(&keep)) {
            kept[n++] = list.seq->items[i];
        }
    }
    jinja_run_pop_scope(run, outer);
    *seq = (struct jinja_seq){.n = n, .items = kept};
    *io_seq = (struct jinja_value){.kind = JINJA_LIST, .seq = seq};
    return rc;
}

static enum status count_turn(struct jinja_run *run, const struct jinja_node *node)
{
    run->line = node->line;
    run->turns++;
    if (run->turns > run->turns_max) {
        return jinja_run_fail(run, E_LIMIT, "the limit of %u loop turns is reached",
                              run->turns_max);
    }
    return OK;
}

/* One turn: bind loop and targets in the fresh scope, run the body. */
static enum status exec_turn(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_loop *loop, const struct jinja_value *item)
{
    struct jinja_value v = {.kind = JINJA_LOOP, .loop = loop};
    enum status rc = count_turn(run, node);

    if (rc == OK && run->loop_id != UINT32_MAX) {
        rc = jinja_run_set(run, run->loop_id, &v);
    }
    rc = rc == OK ? jinja_run_hide(run, node) : rc;
    rc = rc == OK ? assign(run, node, item) : rc;
    rc = rc == OK ? jinja_exec(run, node->b) : rc;
    return rc;
}

/* All turns; the scope of the loop is current.  *ret_ended: a turn came to the end of the body.
 * As in Jinja2, turns that were cut short do not keep the else body from running. */
static enum status exec_turns(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_loop *loop, bool *ret_ended)
{
    struct jinja_value item;
    enum jinja_flow flow = JINJA_FLOW_ON;
    enum status rc = jinja_value_next(run, &loop->rest, &loop->has_next, &loop->next);

    *ret_ended = false;
    while (rc == OK && loop->has_next && flow != JINJA_FLOW_BREAK) {
        item = loop->next;
        rc = jinja_value_next(run, &loop->rest, &loop->has_next, &loop->next);
        rc = rc == OK ? exec_turn(run, node, loop, &item) : rc;
        flow = run->flow;
        run->flow = JINJA_FLOW_ON;
        *ret_ended = *ret_ended || flow == JINJA_FLOW_ON;
        loop->index0++;
        loop->previous = item;
        loop->has_previous = true;
        rc = rc == OK ? jinja_run_clear_scope(run) : rc;
    }
    return rc;
}

static enum status exec_for(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_scope *outer = run->scope;
    struct jinja_value seq;
    struct jinja_loop *loop = NULL;
    bool ended = false;
    enum status rc = jinja_eval(run, node->a, &seq);

    run->line = node->line;
    rc = rc == OK && node->d != NULL ? keep_matching(run, node, &seq) : rc;
    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*loop), &loop) : rc;
    if (rc != OK) {
        return rc;
    }
    *loop = (struct jinja_loop){0};
    rc = jinja_value_iterate(run, &seq, &loop->rest);
    rc = rc == OK ? jinja_run_push_scope(run, outer) : rc;
    if (rc != OK) {
        return rc;
    }
    rc = exec_turns(run, node, loop, &ended);
    jinja_run_pop_scope(run, outer);
    return rc == OK && !ended && node->c != NULL ? exec_scoped(run, node->c) : rc;
}

static enum status exec_if(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value test;
    enum status rc;

    for (;;) {
        rc = jinja_eval(run, node->a, &test);
        if (rc != OK) {
            return rc;
        }
        if (jinja_value_truth(&test)) {
            return node->b != NULL ? jinja_exec(run, node->b) : OK;
        }
        if (node->c == NULL || node->id != JINJA_ELIF_FOLLOWS) {
            return node->c != NULL ? jinja_exec(run, node->c) : OK;
        }
        node = node->c;
        run->line = node->line;
    }
}

static enum status exec_set(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v;
    enum status rc = jinja_eval(run, node->a, &v);

    return rc == OK ? assign(run, node, &v) : rc;
}

/* Run `body` with its output taken as a string. */
static enum status capture(struct jinja_run *run, const struct jinja_node *body,
                           struct jinja_value *ret_v)
{
    struct buf *out = run->out;
    size_t begin = run->text.len;
    struct str text;
    enum status rc;

    run->out = &run->text;
    rc = jinja_exec(run, body);
    run->out = out;
    rc = rc == OK ? jinja_run_take(run, begin, &text) : rc;
    if (rc == OK) {
        *ret_v = jinja_string(text);
    }
    return rc;
}

static enum status exec_set_block(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_scope *outer = run->scope;
    struct jinja_value v;
    enum status rc = jinja_run_push_scope(run, outer);

    if (rc == OK) {
        rc = jinja_run_hide(run, node);
        rc = rc == OK ? capture(run, node->b, &v) : rc;
        jinja_run_pop_scope(run, outer);
    }
    return rc == OK ? assign(run, node, &v) : rc;
}

static enum status exec_macro_def(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_macro *macro;
    struct jinja_value v;
    enum status rc = jinja_run_alloc(run, 1, sizeof(*macro), &macro);

    if (rc != OK) {
        return rc;
    }
    *macro = (struct jinja_macro){.node = node, .scope = run->scope};
    for (struct jinja_scope *s = run->scope; s != NULL; s = s->parent) {
        s->captured = true;
    }
    v = (struct jinja_value){.kind = JINJA_MACRO, .macro = macro};
    return jinja_run_set(run, node->id, &v);
}

static enum status exec_node(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v;
    enum status rc;

    switch ((int)node->op) {
    case JINJA_TEXT:
        return jinja_run_write(run, run->out, node->text);
    case JINJA_PRINT:
        rc = jinja_eval(run, node->a, &v);
        run->line = node->line;
        return rc == OK ? jinja_print(run, run->out, &v) : rc;
    case JINJA_IF:
        return exec_if(run, node);
    case JINJA_FOR:
        return exec_for(run, node);
    case JINJA_SET:
        return exec_set(run, node);
    case JINJA_SET_BLOCK:
        return exec_set_block(run, node);
    case JINJA_MACRO_DEF:
        return exec_macro_def(run, node);
    case JINJA_BREAK:
        run->flow = JINJA_FLOW_BREAK;
        return OK;
    case JINJA_CONTINUE:
        run->flow = JINJA_FLOW_CONTINUE;
        return OK;
    case JINJA_SCOPE:
        return exec_scoped(run, node);
    default:
        CHECK(false); // an expression where a statement belongs
        return E_INVALID;
    }
}

/* The keyword argument of that name, marked as used; NULL when there is none. */
static const struct jinja_value *keyword(const struct jinja_args *args, struct str name)
{
    const struct jinja_node *node = args->nodes;

    for (uint32_t i = 0; i < args->n; i++, node = node->next) {
        if (i >= args->n_positional && str_eq(node->text, name)) {
            return &args->values[i];
        }
    }
    return NULL;
}

static enum status check_arguments(struct jinja_run *run, const struct jinja_node *def,
                                   const struct jinja_args *args)
{
    const struct jinja_node *node = args->nodes;
    const struct jinja_node *param;
    uint32_t k;

    if (args->n_positional > def->n_kids) {
        return jinja_run_fail(run, E_INVALID, "the macro '%.*s' takes at most %u arguments, not %u",
                              STR_ARG(def->text), def->n_kids, args->n_positional);
    }
    for (uint32_t i = 0; i < args->n; i++, node = node->next) {
        if (i < args->n_positional) {
            continue;
        }
        k = 0;
        for (param = def->targets; param != NULL && !str_eq(param->text, node->text);
             param = param->next) {
            k++;
        }
        if (param == NULL || k < args->n_positional) {
            return jinja_run_fail(run, E_INVALID,
                                  "the macro '%.*s' takes no keyword argument "
                                  "'%.*s'",
                                  STR_ARG(def->text), STR_ARG(node->text));
        }
    }
    return OK;
}

/* Give every parameter its argument or an undefined value, then those without one their default:
 * a default sees all arguments and the defaults before it. */
static enum status bind_parameters(struct jinja_run *run, const struct jinja_node *def,
                                   const struct jinja_args *args)
{
    const struct jinja_value *given[JINJA_ARGS_MAX];
    struct jinja_value v;
    uint32_t k = 0;
    enum status rc = OK;

    for (const struct jinja_node *param = def->targets; param != NULL && rc == OK;
         param = param->next, k++) {
        given[k] = k < args->n_positional ? &args->values[k] : keyword(args, param->text);
        v = jinja_undefined(param->text);
        rc = jinja_run_set(run, param->id, given[k] != NULL ? given[k] : &v);
    }
    k = 0;
    for (const struct jinja_node *param = def->targets; param != NULL && rc == OK;
         param = param->next, k++) {
        if (given[k] == NULL && param->a != NULL) {
            rc = jinja_eval(run, param->a, &v);
            rc = rc == OK ? jinja_run_set(run, param->id, &v) : rc;
        }
    }
    return rc;
}

enum status jinja_exec_macro(struct jinja_run *run, const struct jinja_macro *macro,
                             const struct jinja_args *args, struct jinja_value *ret_v)
{
    const struct jinja_node *def = macro->node;
    struct jinja_scope *caller = run->scope;
    uint32_t line = run->line;
    enum status rc = check_arguments(run, def, args);

    if (rc == OK && run->calls >= run->calls_max) {
        return jinja_run_fail(run, E_LIMIT, "the limit of %u nested macro calls is reached",
                              run->calls_max);
    }
    rc = rc == OK ? jinja_run_push_scope(run, macro->scope) : rc;
    if (rc != OK) {
        return rc;
    }
    run->calls++;
    rc = jinja_run_hide(run, def);
    rc = rc == OK ? bind_parameters(run, def, args) : rc;
    rc = rc == OK ? capture(run, def->b, ret_v) : rc;
    run->calls--;
    jinja_run_pop_scope(run, caller);
    run->line = rc == OK ? line : run->line;
    return rc;
}
