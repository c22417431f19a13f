/* Which names a block hides from the start.
 *
 * Jinja2 decides when compiling where a name lives.  A name that a block sets for certain, before
 * any use in that block itself, belongs to the block from its first line: loops and macros inside
 * that run earlier find it undefined, although a variable of the request has the same name.
 *
 *     {% for i in [1] %}{{ x }}{% endfor %}{% set x = 1 %}     prints nothing for x
 *     {% if a %}{% set x = 1 %}{% endif %}{{ x }}              x may come from the request
 *
 * Only names that no outer block knows can be hidden; the others are seen as they are outside.
 */
#include "base/check.h"
#include "text/jinja_ast.h"

#include <string.h>

#define BLOCKS_MAX (2 * JINJA_NESTING_MAX + 2) // a loop and its else are one level for the parser

enum seen { NOT_SEEN, VISIBLE, HIDDEN };

struct symbols {
    struct jinja_parser *p;
    uint8_t *seen[BLOCKS_MAX]; // [n_names] enum seen, per open block
    uint32_t depth;            // of the innermost block
    uint32_t loop_id;
};

static void inner_blocks(struct symbols *s, struct jinja_node *body);

static bool is_known(const struct symbols *s, uint32_t depth, uint32_t id)
{
    for (uint32_t i = 0; i <= depth; i++) {
        if (s->seen[i][id] != NOT_SEEN) {
            return true;
        }
    }
    return false;
}

static void load(struct symbols *s, uint32_t id)
{
    if (!is_known(s, s->depth, id)) {
        s->seen[s->depth][id] = VISIBLE;
    }
}

static void store(struct symbols *s, uint32_t id, bool is_certain)
{
    uint8_t *seen = &s->seen[s->depth][id];

    if (*seen == NOT_SEEN) {
        bool outside = s->depth > 0 && is_known(s, s->depth - 1, id);

        *seen = is_certain && !outside ? HIDDEN : VISIBLE;
    }
}

static void expression(struct symbols *s, const struct jinja_node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->op == JINJA_NAME) {
        load(s, node->id);
    }
    expression(s, node->a);
    expression(s, node->b);
    expression(s, node->c);
    expression(s, node->d);
    for (const struct jinja_node *kid = node->kids; kid != NULL; kid = kid->next) {
        expression(s, kid);
    }
}

static void assignment(struct symbols *s, const struct jinja_node *node, bool is_certain)
{
    for (const struct jinja_node *target = node->targets; target != NULL; target = target->next) {
        if (target->op == JINJA_TARGET_ATTR) {
            load(s, target->id);
        } else {
            store(s, target->id, is_certain);
        }
    }
}

/* Uses and assignments of the block itself, in the order of the text. */
static void block(struct symbols *s, const struct jinja_node *body, bool is_certain)
{
    for (const struct jinja_node *node = body; node != NULL; node = node->next) {
        switch ((int)node->op) {
        case JINJA_PRINT:
        case JINJA_FOR: // its sequence; the rest is an inner block
            expression(s, node->a);
            break;
        case JINJA_IF:
            for (const struct jinja_node *branch = node; branch != NULL; branch = branch->c) {
                expression(s, branch->a);
                block(s, branch->b, false);
                if (branch->id != JINJA_ELIF_FOLLOWS) {
                    block(s, branch->c, false);
                    break;
                }
            }
            break;
        case JINJA_SET:
            expression(s, node->a);
            assignment(s, node, is_certain);
            break;
        case JINJA_SET_BLOCK:
            assignment(s, node, is_certain);
            break;
        case JINJA_MACRO_DEF:
            store(s, node->id, is_certain);
            break;
        default:
            break;
        }
    }
}

/* Keep the hidden names of the innermost block with `owner`. */
static void keep_hidden(struct symbols *s, struct jinja_node *owner)
{
    const uint8_t *seen = s->seen[s->depth];
    uint32_t n = 0;
    uint32_t *ids;

    for (uint32_t id = 0; id < s->p->n_names; id++) {
        n += seen[id] == HIDDEN ? 1 : 0;
    }
    owner->n_hidden = 0;
    if (n == 0) {
        return;
    }
    ids = arena_alloc(s->p->arena, n * sizeof(*ids));
    if (ids == NULL) {
        jinja_parse_fail(s->p, E_NO_MEMORY, owner->line, "not enough memory");
        return;
    }
    for (uint32_t id = 0; id < s->p->n_names; id++) {
        if (seen[id] == HIDDEN) {
            ids[owner->n_hidden++] = id;
        }
    }
    owner->hidden = ids;
}

static bool open_block(struct symbols *s)
{
    if (s->p->status != OK) {
        return false;
    }
    s->depth++;
    CHECK(s->depth < BLOCKS_MAX);
    if (s->seen[s->depth] == NULL) {
        s->seen[s->depth] = arena_alloc(s->p->arena, s->p->n_names);
        if (s->seen[s->depth] == NULL) {
            jinja_parse_fail(s->p, E_NO_MEMORY, 1, "not enough memory to compile the template");
            s->depth--;
            return false;
        }
    }
    memset(s->seen[s->depth], NOT_SEEN, s->p->n_names);
    return true;
}

/* The block of a loop, macro and the like. */
static void owned_block(struct symbols *s, struct jinja_node *owner)
{
    bool has_params = owner->op == JINJA_FOR || owner->op == JINJA_MACRO_DEF;

    if (!open_block(s)) {
        return;
    }
    for (const struct jinja_node *t = owner->targets; t != NULL && has_params; t = t->next) {
        s->seen[s->depth][t->id] = VISIBLE;
    }
    if (owner->op == JINJA_FOR && s->loop_id != UINT32_MAX) {
        s->seen[s->depth][s->loop_id] = VISIBLE;
    }
    for (const struct jinja_node *t = owner->targets; t != NULL && has_params; t = t->next) {
        expression(s, t->a);
    }
    block(s, owner->b, true);
    keep_hidden(s, owner);
    inner_blocks(s, owner->b);
    s->depth--;
}

static void inner_blocks(struct symbols *s, struct jinja_node *body)
{
    for (struct jinja_node *node = body; node != NULL; node = node->next) {
        switch ((int)node->op) {
        case JINJA_IF:
            for (struct jinja_node *branch = node; branch != NULL; branch = branch->c) {
                inner_blocks(s, branch->b);
                if (branch->id != JINJA_ELIF_FOLLOWS) {
                    inner_blocks(s, branch->c);
                    break;
                }
            }
            break;
        case JINJA_FOR:
            owned_block(s, node);
            inner_blocks(s, node->c); // a SCOPE
            break;
        case JINJA_SET_BLOCK:
        case JINJA_MACRO_DEF:
        case JINJA_SCOPE:
            owned_block(s, node);
            break;
        default:
            break;
        }
    }
}

void jinja_symbols(struct jinja_parser *p, struct jinja_node *root)
{
    struct symbols s = {.p = p, .loop_id = UINT32_MAX};

    for (uint32_t id = 0; id < p->n_names; id++) {
        if (str_eq(p->names[id], STR("loop"))) {
            s.loop_id = id;
        }
    }
    s.seen[0] = arena_zalloc(p->arena, p->n_names, 1);
    if (s.seen[0] == NULL) {
        jinja_parse_fail(p, E_NO_MEMORY, 1, "not enough memory to compile the template");
        return;
    }
    block(&s, root->b, true);
    keep_hidden(&s, root);
    inner_blocks(&s, root->b);
}
