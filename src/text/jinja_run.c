#include "text/jinja_run.h"
#include "base/check.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TICKS_PER_LOOK 1024 // at the clock
#define TAIL_MIN 256        // shorter strings are not worth room to grow

enum status jinja_run_fail(struct jinja_run *run, enum status s, const char *fmt, ...)
{
    char text[768];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return error_set(run->err, s, "template line %u: %s", run->line, text);
}

enum status jinja_run_tick(struct jinja_run *run, uint64_t n)
{
    if (n < (uint64_t)run->ticks) {
        run->ticks -= (int64_t)n;
        return OK;
    }
    run->ticks = TICKS_PER_LOOK;
    if (kontor_clock_now_ns(run->clock) > run->deadline_ns) {
        return jinja_run_fail(run, E_LIMIT, "the time limit of %u ms is reached", run->time_ms_max);
    }
    return OK;
}

enum status jinja_run_alloc(struct jinja_run *run, size_t n_items, size_t item_bytes, void *ret_ptr)
{
    size_t n_bytes;
    void *ptr = NULL;

    if (!__builtin_mul_overflow(n_items, item_bytes, &n_bytes)) {
        ptr = arena_alloc(run->arena, n_bytes);
    }
    if (ptr == NULL) {
        jinja_run_fail(run, E_LIMIT, "the memory limit of %zu bytes is reached", JINJA_RUN_BYTES);
        return E_LIMIT;
    }
    memcpy(ret_ptr, &ptr, sizeof(ptr));
    return OK;
}

enum status jinja_run_enter(struct jinja_run *run)
{
    enum status rc = jinja_run_tick(run, 1);

    if (rc == OK && run->frames >= JINJA_FRAMES_PER_CALL * run->calls_max) {
        return jinja_run_fail(run, E_LIMIT,
                              "the depth limit of %u calls (%u nested parts) is "
                              "reached",
                              run->calls_max, JINJA_FRAMES_PER_CALL * run->calls_max);
    }
    run->frames += rc == OK ? 1 : 0;
    return rc;
}

enum status jinja_run_nest(struct jinja_run *run)
{
    enum status rc = jinja_run_tick(run, 1);

    if (rc == OK && run->nesting >= JINJA_VALUE_NESTING_MAX) {
        return jinja_run_fail(run, E_LIMIT, "values are nested deeper than the limit of %d",
                              JINJA_VALUE_NESTING_MAX);
    }
    run->nesting += rc == OK ? 1 : 0;
    return rc;
}

static enum status output_limit(struct jinja_run *run)
{
    return jinja_run_fail(run, E_LIMIT, "the output limit of %llu bytes is reached",
                          (unsigned long long)run->output_max);
}

enum status jinja_run_write(struct jinja_run *run, struct buf *to, struct str s)
{
    size_t begin = to == run->final_out ? run->out_begin : 0;

    if (s.len > run->output_max - (to->len - begin)) {
        return output_limit(run);
    }
    buf_append_str(to, s);
    if (to->status == E_LIMIT) {
        return jinja_run_fail(run, E_LIMIT, "the output buffer takes no more than %zu bytes",
                              to->max);
    }
    if (to->status != OK) {
        return jinja_run_fail(run, to->status, "not enough memory for the output");
    }
    return jinja_run_tick(run, 1 + s.len / 256);
}

enum status jinja_run_write_cp(struct jinja_run *run, struct buf *to, uint32_t cp)
{
    char utf8[4];

    return jinja_run_write(run, to, (struct str){utf8, utf8_encode(cp, utf8)});
}

enum status jinja_run_take(struct jinja_run *run, size_t begin, struct str *ret_s)
{
    struct str s = str_slice(buf_str(&run->text), begin, run->text.len);
    char *copy = NULL;
    enum status rc = jinja_run_alloc(run, s.len, 1, &copy);

    if (rc != OK) {
        return rc;
    }
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    run->text.len = begin;
    *ret_s = (struct str){copy, s.len};
    return OK;
}

enum status jinja_run_join(struct jinja_run *run, struct str a, struct str b, struct str *ret_s)
{
    size_t len = a.len + b.len;
    size_t cap = len < TAIL_MIN ? len : len * 2;
    char *ptr = NULL;
    enum status rc;

    if (len > run->output_max) {
        return jinja_run_fail(run, E_LIMIT, "a string of more than %llu bytes",
                              (unsigned long long)run->output_max);
    }
    if (b.len == 0 || a.len == 0) {
        *ret_s = b.len == 0 ? a : b;
        return OK;
    }
    rc = jinja_run_tick(run, 1 + b.len / 256);
    if (rc != OK) {
        return rc;
    }
    if (a.ptr != run->tail || a.len != run->tail_len || len > run->tail_cap) {
        rc = jinja_run_alloc(run, cap, 1, &ptr);
        rc = rc == OK ? jinja_run_tick(run, a.len / 256) : rc;
        if (rc != OK) {
            return rc;
        }
        memcpy(ptr, a.ptr, a.len);
        run->tail = ptr;
        run->tail_cap = cap;
    }
    memcpy(run->tail + a.len, b.ptr, b.len);
    run->tail_len = len;
    *ret_s = (struct str){run->tail, len};
    return OK;
}

static enum status scope_create(struct jinja_run *run, struct jinja_scope *parent,
                                struct jinja_scope **ret_scope)
{
    struct jinja_scope *scope = run->free_scopes;
    enum status rc;

    if (scope != NULL) {
        run->free_scopes = scope->parent;
    } else {
        rc = jinja_run_alloc(run, 1, sizeof(*scope), &scope);
        if (rc != OK) {
            return rc;
        }
    }
    *scope = (struct jinja_scope){.parent = parent};
    *ret_scope = scope;
    return OK;
}

static void free_bindings(struct jinja_run *run, struct jinja_scope *scope)
{
    struct jinja_binding *next;

    for (struct jinja_binding *b = scope->first; b != NULL; b = next) {
        next = b->next;
        b->next = run->free_bindings;
        run->free_bindings = b;
    }
    scope->first = NULL;
}

enum status jinja_run_push_scope(struct jinja_run *run, struct jinja_scope *parent)
{
    return scope_create(run, parent, &run->scope);
}

void jinja_run_pop_scope(struct jinja_run *run, struct jinja_scope *back_to)
{
    struct jinja_scope *scope = run->scope;

    CHECK(scope != back_to);
    if (!scope->captured) {
        free_bindings(run, scope);
        scope->parent = run->free_scopes;
        run->free_scopes = scope;
    }
    run->scope = back_to;
}

enum status jinja_run_clear_scope(struct jinja_run *run)
{
    if (run->scope->captured) {
        return scope_create(run, run->scope->parent, &run->scope);
    }
    free_bindings(run, run->scope);
    return OK;
}

enum status jinja_run_set(struct jinja_run *run, uint32_t id, const struct jinja_value *value)
{
    struct jinja_binding *b = run->scope->first;
    enum status rc;

    while (b != NULL && b->id != id) {
        b = b->next;
    }
    if (b == NULL) {
        b = run->free_bindings;
        if (b != NULL) {
            run->free_bindings = b->next;
        } else {
            rc = jinja_run_alloc(run, 1, sizeof(*b), &b);
            if (rc != OK) {
                return rc;
            }
        }
        b->id = id;
        b->next = run->scope->first;
        run->scope->first = b;
    }
    b->value = *value;
    return OK;
}

static struct jinja_value global_value(const struct jinja_run *run, struct str name)
{
    struct jinja_value v = jinja_undefined(name);
    const struct json_value *j = json_get(run->kwargs, name);

    if (str_eq(name, STR("messages")) && run->messages != NULL) {
        v = jinja_value_from_json(run->messages);
    } else if (str_eq(name, STR("tools")) && run->tools != NULL) {
        v = jinja_value_from_json(run->tools);
    } else if (str_eq(name, STR("add_generation_prompt"))) {
        v = jinja_bool(run->add_generation_prompt);
    } else if (j != NULL) {
        v = jinja_value_from_json(j);
    } else {
        jinja_function_find(name, &v);
    }
    return v;
}

static const struct jinja_value *find_global(struct jinja_run *run, uint32_t id)
{
    struct jinja_global *global = &run->globals[id];

    if (!global->known) {
        global->value = global_value(run, run->names[id]);
        global->known = true;
    }
    return &global->value;
}

struct jinja_value jinja_run_get(struct jinja_run *run, uint32_t id)
{
    for (const struct jinja_scope *s = run->scope; s != NULL; s = s->parent) {
        for (const struct jinja_binding *b = s->first; b != NULL; b = b->next) {
            if (b->id == id) {
                return b->value;
            }
        }
    }
    return *find_global(run, id);
}

enum status jinja_run_hide(struct jinja_run *run, const struct jinja_node *owner)
{
    struct jinja_value v;
    enum status rc = OK;

    for (uint32_t i = 0; i < owner->n_hidden && rc == OK; i++) {
        // what is undefined anyway needs no hiding
        if (find_global(run, owner->hidden[i])->kind != JINJA_UNDEFINED) {
            v = jinja_undefined(run->names[owner->hidden[i]]);
            rc = jinja_run_set(run, owner->hidden[i], &v);
        }
    }
    return rc;
}

enum status jinja_run_set_attr(struct jinja_run *run, struct jinja_space *space, struct str name,
                               const struct jinja_value *value)
{
    struct jinja_attr *attr = space->first;
    enum status rc;

    while (attr != NULL && !str_eq(attr->name, name)) {
        attr = attr->next;
    }
    if (attr == NULL) {
        rc = jinja_run_alloc(run, 1, sizeof(*attr), &attr);
        if (rc != OK) {
            return rc;
        }
        attr->next = NULL;
        attr->name = name;
        if (space->last != NULL) {
            space->last->next = attr;
        } else {
            space->first = attr;
        }
        space->last = attr;
    }
    attr->value = *value;
    return OK;
}

enum status jinja_run_bind(struct jinja_run *run, const char *what, const struct jinja_args *args,
                           const char *const params[], uint32_t n_params,
                           const struct jinja_value *ret[])
{
    const struct jinja_node *node = args->nodes;
    uint32_t k;

    if (args->n_positional > n_params) {
        return jinja_run_fail(run, E_INVALID, "%s takes at most %u arguments, not %u", what,
                              n_params, args->n_positional);
    }
    for (k = 0; k < n_params; k++) {
        ret[k] = k < args->n_positional ? &args->values[k] : NULL;
    }
    for (uint32_t i = 0; i < args->n; i++, node = node->next) {
        if (i < args->n_positional) {
            continue;
        }
        for (k = 0; k < n_params && !str_eq(node->text, str_from_c(params[k])); k++) {
        }
        if (k == n_params) {
            return jinja_run_fail(run, E_INVALID, "%s takes no argument '%.*s'", what,
                                  STR_ARG(node->text));
        }
        if (ret[k] != NULL) {
            return jinja_run_fail(run, E_INVALID, "%s got two values for '%s'", what, params[k]);
        }
        ret[k] = &args->values[i];
    }
    return OK;
}
