/* jinja_run.h - one rendering: its limits, its memory, its names, and the parts that evaluate.
 *
 * A run is made by chat_template_render on the stack and ends with it.  Every function that can
 * fail returns a status and has then written "template line L: ..." to the error of the run.
 * Temporary text (results of macros, of ~, of filters) is built at the end of run->text and cut off
 * again in reverse order, so that nested parts do not disturb each other.
 */
#ifndef TEXT_JINJA_RUN_H
#define TEXT_JINJA_RUN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/status.h"
#include "text/jinja_ast.h"
#include "text/jinja_value.h"

#include <stdbool.h>
#include <stdint.h>

#define JINJA_RUN_BYTES ((size_t)256 << 20) // arena of one rendering
#define JINJA_FRAMES_PER_CALL 16            // evaluation frames in all = this * depth_max
#define JINJA_VALUE_NESTING_MAX 200         // lists in lists, when printed or compared
#define JINJA_RANGE_MAX 100000              // elements of one range()
#define JINJA_STACK_VALUES 1024             // arguments of all active calls together

struct jinja_binding {
    struct jinja_binding *next;
    uint32_t id;
    struct jinja_value value;
};

/* Names of one block of the template. */
struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_binding *first;
    bool captured; // a macro was defined in here: never recycled
};

/* A variable of the request, looked up once. */
struct jinja_global {
    bool known;
    struct jinja_value value;
};

enum jinja_flow { JINJA_FLOW_ON, JINJA_FLOW_BREAK, JINJA_FLOW_CONTINUE };

struct jinja_run {
    struct arena *arena;     // owned by the caller of the run
    const struct str *names; // [n_names] of the template
    uint32_t n_names;
    uint32_t loop_id;             // of "loop", or UINT32_MAX
    struct jinja_global *globals; // [n_names]
    const struct json_value *messages;
    const struct json_value *tools;
    const struct json_value *kwargs;
    bool add_generation_prompt;

    const struct kontor_clock *clock;
    uint64_t deadline_ns;
    uint32_t time_ms_max;
    int64_t ticks; // left until the clock is asked
    uint32_t turns;
    uint32_t turns_max;
    uint32_t calls; // active macro calls
    uint32_t calls_max;
    uint32_t frames;  // active evaluations
    uint32_t nesting; // lists in lists, while printing or comparing
    uint64_t output_max;

    struct buf *out; // where text goes: the caller's buffer or `text`
    size_t out_begin;
    struct buf *final_out; // the caller's
    struct buf text;
    struct jinja_scope *scope;
    struct jinja_scope *free_scopes;
    struct jinja_binding *free_bindings;
    struct jinja_value *stack; // [JINJA_STACK_VALUES]
    uint32_t stack_used;
    char *tail; // the last string made by +, which may grow in place
    size_t tail_len;
    size_t tail_cap;

    uint32_t line; // of the node being evaluated
    enum jinja_flow flow;
    struct error *err;
};

/* Arguments of a call, positional ones first. */
struct jinja_args {
    const struct jinja_value *values; // [n]
    uint32_t n;
    uint32_t n_positional;
    const struct jinja_node *nodes; // where the keywords have their names
};

/** Write the error "template line L: ..." and return `s`. */
enum status jinja_run_fail(struct jinja_run *run, enum status s, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/** Account for `n` units of work (about 20 ns each).  Errors: LIMIT when the time is over. */
MUST_USE enum status jinja_run_tick(struct jinja_run *run, uint64_t n);
/** Memory of the run.  Errors: LIMIT at the ceiling. */
MUST_USE enum status jinja_run_alloc(struct jinja_run *run, size_t n_items, size_t item_bytes,
                                     void *ret_ptr);
/** Enter an evaluation or a body; pair with run->frames--.  Errors: LIMIT (depth, time). */
MUST_USE enum status jinja_run_enter(struct jinja_run *run);
/** One level deeper into a nested value; pair with run->nesting--.  Errors: LIMIT. */
MUST_USE enum status jinja_run_nest(struct jinja_run *run);
/** Append to `to` (run->out or &run->text).  Errors: LIMIT. */
MUST_USE enum status jinja_run_write(struct jinja_run *run, struct buf *to, struct str s);
MUST_USE enum status jinja_run_write_cp(struct jinja_run *run, struct buf *to, uint32_t cp);
/** Take what stands in run->text behind `begin` as a string of the run, and cut it off. */
MUST_USE enum status jinja_run_take(struct jinja_run *run, size_t begin, struct str *ret_s);
/** a + b.  Repeated appending to the same string costs O(appended). */
MUST_USE enum status jinja_run_join(struct jinja_run *run, struct str a, struct str b,
                                    struct str *ret_s);

/** Enter and leave a block with names of its own; `parent` is run->scope except for macros. */
MUST_USE enum status jinja_run_push_scope(struct jinja_run *run, struct jinja_scope *parent);
void jinja_run_pop_scope(struct jinja_run *run, struct jinja_scope *back_to);
/** Forget the names of the current scope (next turn of a loop); a captured scope is replaced. */
MUST_USE enum status jinja_run_clear_scope(struct jinja_run *run);
/** Make the names that the block of `owner` hides undefined in the current, fresh scope. */
MUST_USE enum status jinja_run_hide(struct jinja_run *run, const struct jinja_node *owner);
MUST_USE enum status jinja_run_set(struct jinja_run *run, uint32_t id,
                                   const struct jinja_value *value);
/** Value of a name: scopes from the inside out, then the request's variables, then functions;
 *  undefined when there is none. */
struct jinja_value jinja_run_get(struct jinja_run *run, uint32_t id);
MUST_USE enum status jinja_run_set_attr(struct jinja_run *run, struct jinja_space *space,
                                        struct str name, const struct jinja_value *value);

/**
 * Sort arguments into parameters as Python does.
 *
 * what       for messages: "split()", "filter 'trim'"
 * params     [n_params] names, NULL ends none: position k or keyword params[k] fills ret[k]
 * ret        [n_params] borrowed from args, NULL where not given
 * Errors: INVALID (too many, unknown or repeated).
 */
MUST_USE enum status jinja_run_bind(struct jinja_run *run, const char *what,
                                    const struct jinja_args *args, const char *const params[],
                                    uint32_t n_params, const struct jinja_value *ret[]);

/** Evaluate an expression (jinja_eval.c). */
MUST_USE enum status jinja_eval(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_value *ret_v);
/** Run a list of statements (jinja_exec.c); look at run->flow afterwards. */
MUST_USE enum status jinja_exec(struct jinja_run *run, const struct jinja_node *body);
/** Call a macro: its output is the result. */
MUST_USE enum status jinja_exec_macro(struct jinja_run *run, const struct jinja_macro *macro,
                                      const struct jinja_args *args, struct jinja_value *ret_v);

/* jinja_access.c */
/** obj.name: methods first, then keys.  method_id: jinja_method_id(name), known since compiling.
 *  Errors: INVALID when obj is undefined. */
MUST_USE enum status jinja_access_attribute(struct jinja_run *run, const struct jinja_value *obj,
                                            struct str name, uint16_t method_id,
                                            struct jinja_value *ret_v);
/** obj[key]: keys and indexes first, then attributes.  Errors: INVALID when obj is undefined. */
MUST_USE enum status jinja_access_element(struct jinja_run *run, const struct jinja_value *obj,
                                          const struct jinja_value *key, struct jinja_value *ret_v);
/** obj[start:stop:step]; NULL stands for an absent bound.  Errors: INVALID. */
MUST_USE enum status jinja_access_slice(struct jinja_run *run, const struct jinja_value *obj,
                                        const struct jinja_value *const bounds[3],
                                        struct jinja_value *ret_v);

/* jinja_op.c: Python's operators. */
/** a <op> b for + - * / // %.  Errors: INVALID (types, division by zero), LIMIT. */
MUST_USE enum status jinja_op_arith(struct jinja_run *run, enum jinja_token_kind op,
                                    const struct jinja_value *a, const struct jinja_value *b,
                                    struct jinja_value *ret_v);
/** == != < <= > >= in, not in. */
MUST_USE enum status jinja_op_compare(struct jinja_run *run, enum jinja_token_kind op,
                                      const struct jinja_value *a, const struct jinja_value *b,
                                      bool *ret_b);
MUST_USE enum status jinja_op_equal(struct jinja_run *run, const struct jinja_value *a,
                                    const struct jinja_value *b, bool *ret_b);
MUST_USE enum status jinja_op_negate(struct jinja_run *run, const struct jinja_value *a, bool minus,
                                     struct jinja_value *ret_v);

/* jinja_print.c: Python's str() and repr(). */
/** str(v), appended to `to`. */
MUST_USE enum status jinja_print(struct jinja_run *run, struct buf *to,
                                 const struct jinja_value *v);
/** str(v) as a string; no copy when it is one. */
MUST_USE enum status jinja_print_string(struct jinja_run *run, const struct jinja_value *v,
                                        struct str *ret_s);

struct jinja_json_options {
    bool ensure_ascii;
    bool indented;
    struct str indent;         // of one level
    struct str item_separator; // ", "
    struct str key_separator;  // ": "
};

/** json.dumps(v), appended to run->text.  Errors: INVALID (no JSON form), LIMIT. */
MUST_USE enum status jinja_json(struct jinja_run *run, const struct jinja_value *v,
                                const struct jinja_json_options *o);

/* jinja_filter.c, jinja_test.c: see jinja_filter.h for the ids. */
MUST_USE enum status jinja_filter(struct jinja_run *run, uint32_t id,
                                  const struct jinja_value *input, const struct jinja_args *args,
                                  struct jinja_value *ret_v);
MUST_USE enum status jinja_test(struct jinja_run *run, uint32_t id, const struct jinja_value *input,
                                const struct jinja_args *args, bool *ret_b);

/* jinja_method.c: methods of strings, mappings, lists. */
/** Call method `id` of `self`. */
MUST_USE enum status jinja_method(struct jinja_run *run, uint16_t id,
                                  const struct jinja_value *self, const struct jinja_args *args,
                                  struct jinja_value *ret_v);

enum jinja_function {
    JINJA_FN_RANGE,
    JINJA_FN_NAMESPACE,
    JINJA_FN_RAISE,
    JINJA_FN_STRFTIME_NOW,
    JINJA_FN_UNSUPPORTED, // dict(), lipsum(), cycler(), joiner()
};

/* jinja_function.c */
/** Global function of that name, or false. */
bool jinja_function_find(struct str name, struct jinja_value *ret_v);
MUST_USE enum status jinja_function(struct jinja_run *run, uint16_t id,
                                    const struct jinja_args *args, struct jinja_value *ret_v);

#endif
