#include "base/json.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json_internal.h"

#include <stdlib.h>
#include <string.h>

/* How the parser works.
 *
 * One pass of recursive descent, never deeper than depth_max.  The elements of open containers lie
 * on a `pending` stack; when a container closes, its elements are copied to the arena in one piece,
 * so arrays are contiguous although their length was not known.  Strings and numbers are read in
 * json_text.c.
 *
 * Why not count first?  A second pass over 20 MB costs more than copying the elements once. */

#define DEPTH_MAX_DEFAULT 64
#define DEPTH_MAX_CEILING 1024 // keeps the C stack below 256 KiB
#define VALUES_MAX_DEFAULT 4000000
#define PENDING_FIRST 32
#define HASH_ABOVE_MEMBERS 8

struct parser {
    struct json_text in; // text, position, arena, error
    uint32_t depth;
    uint32_t depth_max;
    uint32_t values_max;
    uint32_t n_values;
    bool allow_duplicate_keys;
    struct json_member *pending; // owned, [pending_cap]; arrays use only .value
    size_t n_pending;
    size_t pending_cap;
    uint32_t *slots; // owned, hash table of the duplicate check, member idx + 1
    size_t slots_cap;
};

static enum status parse_value(struct parser *p, struct json_value *v);

static void skip_blanks(struct parser *p)
{
    const char *ptr = p->in.text.ptr;
    size_t at = p->in.at;

    while (at < p->in.text.len &&
           (ptr[at] == ' ' || ptr[at] == '\n' || ptr[at] == '\r' || ptr[at] == '\t')) {
        at++;
    }
    p->in.at = at;
}

static bool next_is(const struct parser *p, char byte)
{
    return p->in.at < p->in.text.len && p->in.text.ptr[p->in.at] == byte;
}

static bool take(struct parser *p, char byte)
{
    if (!next_is(p, byte)) {
        return false;
    }
    p->in.at++;
    return true;
}

static enum status fail_here(struct parser *p, const char *what)
{
    return json_text_fail(&p->in, E_INVALID, p->in.at, what);
}

static enum status fail_expected(struct parser *p, const char *what)
{
    if (p->in.at == p->in.text.len) {
        return fail_here(p, "the text ends too early");
    }
    return fail_here(p, what);
}

static enum status push(struct parser *p, const struct json_member *m)
{
    if (p->n_pending == p->pending_cap) {
        size_t cap = p->pending_cap == 0 ? PENDING_FIRST : p->pending_cap * 2;
        struct json_member *grown = realloc(p->pending, cap * sizeof(*grown));

        if (grown == NULL) {
            return json_text_fail(&p->in, E_NO_MEMORY, p->in.at, "out of memory");
        }
        p->pending = grown;
        p->pending_cap = cap;
    }
    p->pending[p->n_pending++] = *m;
    return OK;
}

static enum status finish_array(struct parser *p, size_t base, struct json_value *v)
{
    size_t n = p->n_pending - base;

    v->n_items = u32_from_size(n);
    v->items = arena_alloc(p->in.arena, n * sizeof(*v->items));
    if (v->items == NULL) {
        return json_text_fail(&p->in, E_NO_MEMORY, p->in.at, JSON_OUT_OF_ARENA);
    }
    for (size_t i = 0; i < n; i++) {
        v->items[i] = p->pending[base + i].value;
    }
    p->n_pending = base;
    return OK;
}

/* Elements until ']'; p->in.at is behind '['. */
static enum status parse_array(struct parser *p, struct json_value *v)
{
    size_t base = p->n_pending;
    struct json_member m = {.key = {NULL, 0}};
    enum status rc;

    v->kind = JSON_ARRAY;
    skip_blanks(p);
    if (take(p, ']')) {
        return finish_array(p, base, v);
    }
    for (;;) {
        rc = parse_value(p, &m.value);
        if (rc != OK) {
            return rc;
        }
        rc = push(p, &m);
        if (rc != OK) {
            return rc;
        }
        skip_blanks(p);
        if (take(p, ']')) {
            return finish_array(p, base, v);
        }
        if (!take(p, ',')) {
            return fail_expected(p, "expected ',' or ']'");
        }
        skip_blanks(p);
    }
}

/* Index of an earlier member with the same key, or `idx`. */
static size_t earlier_linear(const struct json_member *members, size_t idx)
{
    for (size_t i = 0; i < idx; i++) {
        if (str_eq(members[i].key, members[idx].key)) {
            return i;
        }
    }
    return idx;
}

/* The same with open addressing; enters the member when its key is new. */
static size_t earlier_hashed(struct parser *p, const struct json_member *members, size_t idx,
                             size_t n_slots)
{
    struct str key = members[idx].key;
    size_t at = hash_bytes(key.ptr, key.len, hash_process_seed()) & (n_slots - 1);

    while (p->slots[at] != 0) {
        if (str_eq(members[p->slots[at] - 1].key, key)) {
            return p->slots[at] - 1;
        }
        at = (at + 1) & (n_slots - 1);
    }
    p->slots[at] = u32_from_size(idx + 1);
    return idx;
}

static enum status prepare_slots(struct parser *p, size_t n_slots)
{
    if (n_slots > p->slots_cap) {
        free(p->slots);
        p->slots_cap = 0;
        p->slots = malloc(n_slots * sizeof(*p->slots));
        if (p->slots == NULL) {
            return json_text_fail(&p->in, E_NO_MEMORY, p->in.at, "out of memory");
        }
        p->slots_cap = n_slots;
    }
    memset(p->slots, 0, n_slots * sizeof(*p->slots));
    return OK;
}

/* Refuse repeated keys, or fold them: the first place with the last value, as Python does. */
static enum status check_duplicates(struct parser *p, size_t base)
{
    size_t n = p->n_pending - base;
    size_t n_kept = 0;
    size_t n_slots = 16;
    size_t twin;
    struct json_member *members;
    enum status rc = OK;

    if (n < 2) {
        return OK;
    }
    members = p->pending + base;
    while (n_slots < n * 2) {
        n_slots *= 2;
    }
    if (n > HASH_ABOVE_MEMBERS) {
        rc = prepare_slots(p, n_slots);
    }
    for (size_t i = 0; i < n && rc == OK; i++) {
        members[n_kept] = members[i];
        twin = n > HASH_ABOVE_MEMBERS ? earlier_hashed(p, members, n_kept, n_slots)
                                      : earlier_linear(members, n_kept);
        if (twin == n_kept) {
            n_kept++;
        } else if (p->allow_duplicate_keys) {
            members[twin].value = members[i].value;
        } else {
            rc = json_text_fail_key(&p->in, members[i].value.source, members[i].key);
        }
    }
    p->n_pending = base + n_kept;
    return rc;
}

static enum status finish_object(struct parser *p, size_t base, struct json_value *v)
{
    enum status rc = check_duplicates(p, base);
    size_t n = p->n_pending - base;

    if (rc != OK) {
        return rc;
    }
    v->n_items = u32_from_size(n);
    v->members = arena_alloc(p->in.arena, n * sizeof(*v->members));
    if (v->members == NULL) {
        return json_text_fail(&p->in, E_NO_MEMORY, p->in.at, JSON_OUT_OF_ARENA);
    }
    if (n > 0) {
        memcpy(v->members, p->pending + base, n * sizeof(*v->members));
    }
    p->n_pending = base;
    return OK;
}

static enum status parse_member(struct parser *p)
{
    struct json_member m;
    enum status rc;

    if (!next_is(p, '"')) {
        return fail_expected(p, "expected a key in double quotes");
    }
    rc = json_text_string(&p->in, &m.key);
    if (rc != OK) {
        return rc;
    }
    skip_blanks(p);
    if (!take(p, ':')) {
        return fail_expected(p, "expected ':' behind the key");
    }
    skip_blanks(p);
    rc = parse_value(p, &m.value);
    if (rc != OK) {
        return rc;
    }
    return push(p, &m);
}

/* Members until '}'; p->in.at is behind '{'. */
static enum status parse_object(struct parser *p, struct json_value *v)
{
    size_t base = p->n_pending;
    enum status rc;

    v->kind = JSON_OBJECT;
    skip_blanks(p);
    if (take(p, '}')) {
        return finish_object(p, base, v);
    }
    for (;;) {
        rc = parse_member(p);
        if (rc != OK) {
            return rc;
        }
        skip_blanks(p);
        if (take(p, '}')) {
            return finish_object(p, base, v);
        }
        if (!take(p, ',')) {
            return fail_expected(p, "expected ',' or '}'");
        }
        skip_blanks(p);
    }
}

static enum status parse_container(struct parser *p, struct json_value *v)
{
    bool is_object = p->in.text.ptr[p->in.at] == '{';
    enum status rc;

    if (p->depth == p->depth_max) {
        return json_text_fail(&p->in, E_LIMIT, p->in.at, "arrays and objects are nested too deep");
    }
    p->in.at++;
    p->depth++;
    rc = is_object ? parse_object(p, v) : parse_array(p, v);
    p->depth--;
    return rc;
}

static enum status parse_word(struct parser *p, struct json_value *v)
{
    struct str rest = str_slice(p->in.text, p->in.at, p->in.text.len);

    if (str_starts(rest, STR("true"))) {
        v->kind = JSON_BOOL;
        v->boolean = true;
        p->in.at += 4;
    } else if (str_starts(rest, STR("false"))) {
        v->kind = JSON_BOOL;
        p->in.at += 5;
    } else if (str_starts(rest, STR("null"))) {
        p->in.at += 4;
    } else {
        return fail_expected(p, "expected a value");
    }
    return OK;
}

/* The value at p->in.at, which is not a blank. */
static enum status parse_value(struct parser *p, struct json_value *v)
{
    size_t begin = p->in.at;
    char first = begin < p->in.text.len ? p->in.text.ptr[begin] : '\0';
    enum status rc;

    *v = (struct json_value){.kind = JSON_NULL};
    if (p->n_values == p->values_max) {
        return json_text_fail(&p->in, E_LIMIT, begin, "too many values");
    }
    p->n_values++;
    if (first == '"') {
        v->kind = JSON_STRING;
        rc = json_text_string(&p->in, &v->string);
    } else if (first == '{' || first == '[') {
        rc = parse_container(p, v);
    } else if (first == '-' || (first >= '0' && first <= '9')) {
        rc = json_text_number(&p->in, v);
    } else {
        rc = parse_word(p, v);
    }
    v->source = str_slice(p->in.text, begin, p->in.at);
    return rc;
}

static enum status parse_document(struct parser *p, struct json_value *root)
{
    enum status rc;

    skip_blanks(p);
    if (p->in.at == p->in.text.len) {
        return fail_here(p, "the text is empty");
    }
    rc = parse_value(p, root);
    if (rc != OK) {
        return rc;
    }
    skip_blanks(p);
    if (p->in.at != p->in.text.len) {
        return fail_here(p, "unexpected bytes behind the value");
    }
    return OK;
}

enum status json_parse(struct arena *arena, struct str text, const struct json_limits *limits,
                       const struct json_value **ret_root, struct error *err)
{
    struct json_limits l = limits == NULL ? (struct json_limits){0} : *limits;
    struct parser p = {
        .in = {.text = text, .arena = arena, .err = err},
        .depth_max = l.depth_max == 0 ? DEPTH_MAX_DEFAULT : l.depth_max,
        .values_max = l.values_max == 0 ? VALUES_MAX_DEFAULT : l.values_max,
        .allow_duplicate_keys = l.allow_duplicate_keys,
    };
    struct json_value *root = arena_alloc(arena, sizeof(*root));
    enum status rc;

    CHECK(p.depth_max <= DEPTH_MAX_CEILING);
    if (root == NULL) {
        return json_text_fail(&p.in, E_NO_MEMORY, 0, JSON_OUT_OF_ARENA);
    }
    rc = parse_document(&p, root);
    free(p.pending);
    free(p.slots);
    if (rc == OK) {
        *ret_root = root;
    }
    return rc;
}

const struct json_value *json_get(const struct json_value *object, struct str key)
{
    if (object == NULL || object->kind != JSON_OBJECT) {
        return NULL;
    }
    for (uint32_t i = 0; i < object->n_items; i++) {
        if (str_eq(object->members[i].key, key)) {
            return &object->members[i].value;
        }
    }
    return NULL;
}

struct str json_string_or(const struct json_value *v, struct str fallback)
{
    return v != NULL && v->kind == JSON_STRING ? v->string : fallback;
}

int64_t json_int_or(const struct json_value *v, int64_t fallback)
{
    return v != NULL && v->kind == JSON_INT ? v->integer : fallback;
}

double json_double_or(const struct json_value *v, double fallback)
{
    return v != NULL && (v->kind == JSON_DOUBLE || v->kind == JSON_INT) ? v->number : fallback;
}

bool json_bool_or(const struct json_value *v, bool fallback)
{
    return v != NULL && v->kind == JSON_BOOL ? v->boolean : fallback;
}

const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};

    CHECK((size_t)kind < ARRAY_COUNT(names));
    return names[kind];
}
