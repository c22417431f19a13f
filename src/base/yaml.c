#include "base/yaml.h"
#include "base/check.h"
#include "base/utf8.h"

#include <string.h>
#include <yaml.h>

#define SECOND_DOCUMENT "a second document begins here; one file holds one document"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* One pass over libyaml's events. */
struct yaml_reader {
    yaml_parser_t parser;
    struct arena *arena;
    uint32_t n_nodes;
    struct yaml_mark mark; // of the fault
    struct error *err;
};

#define REFUSE(reader, place, ...)                                                                 \
    ((reader)->mark = (place), error_set((reader)->err, E_INVALID, __VA_ARGS__))
#define REFUSE_LIMIT(reader, place, ...)                                                           \
    ((reader)->mark = (place), error_set((reader)->err, E_LIMIT, __VA_ARGS__))

static struct yaml_mark mark_from(yaml_mark_t m)
{
    CHECK(m.line < YAML_BYTES_MAX + 1 && m.column < YAML_BYTES_MAX + 1);
    return (struct yaml_mark){(uint32_t)m.line + 1, (uint32_t)m.column + 1};
}

/* libyaml also breaks lines at NEL, LS and PS and lets a few controls through; editors count
 * otherwise. */
static const char *refuse_character(uint32_t cp, struct str text, size_t at)
{
    if (cp == '\r') {
        return at + 1 < text.len && text.ptr[at + 1] == '\n'
                   ? NULL
                   : "a carriage return without a line feed; save the file with LF or CRLF";
    }
    if (cp == 0x85 || cp == 0x2028 || cp == 0x2029) {
        return "an exotic line break; save the file with LF or CRLF";
    }
    if ((cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0) || cp == 0xfffe ||
        cp == 0xffff) {
        return "a control character; remove it";
    }
    return cp == 0xfeff && at > 0 ? "a byte order mark in mid-file; remove it" : NULL;
}

/* Bytes that no YAML text may have, with a place that libyaml does not give for them. */
static enum status check_characters(struct yaml_reader *r, struct str text)
{
    struct yaml_mark mark = {1, 1};

    for (size_t at = 0; at < text.len;) {
        uint32_t cp;
        unsigned n = utf8_decode(text, at, &cp);
        const char *why = n == 0 ? NULL : refuse_character(cp, text, at);

        if (n == 0) {
            return REFUSE(r, mark, "byte 0x%02x is not UTF-8; save the file as UTF-8",
                          (unsigned)(unsigned char)text.ptr[at]);
        }
        if (why != NULL) {
            return REFUSE(r, mark, "%s (U+%04X)", why, (unsigned)cp);
        }
        if (cp == '\n') {
            mark.line++;
            mark.column = 1;
        } else if (cp != 0xfeff) {
            mark.column++;
        }
        at += n;
    }
    return OK;
}

/* Why libyaml's scanner or parser stopped.  A tab is the usual reason. */
static enum status refuse_syntax(struct yaml_reader *r)
{
    const yaml_parser_t *p = &r->parser;
    struct yaml_mark mark = mark_from(p->problem_mark);

    if (p->error == YAML_MEMORY_ERROR) {
        r->mark = mark;
        return error_set(r->err, E_NO_MEMORY, "no memory for reading it");
    }
    if (p->error == YAML_READER_ERROR) {
        return REFUSE(r, ((struct yaml_mark){1, 1}), "not readable as text: %s", p->problem);
    }
    if (p->problem != NULL &&
        strcmp(p->problem, "found character that cannot start any token") == 0) {
        return REFUSE(r, mark,
                      "a value cannot begin with this character; indent with spaces, not tabs, "
                      "and put quotes around text that begins with @, ` or %%");
    }
    if (p->problem != NULL && strcmp(p->problem, "did not find expected <document start>") == 0) {
        return REFUSE(r, mark, SECOND_DOCUMENT);
    }
    return REFUSE(r, mark, "not YAML: %s%s%s", p->problem != NULL ? p->problem : "syntax error",
                  p->context != NULL ? " " : "", p->context != NULL ? p->context : "");
}

static enum status next_event(struct yaml_reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? OK : refuse_syntax(r);
}

/* Anchors and tags may stand on every kind of node. */
static enum status check_extras(struct yaml_reader *r, const yaml_event_t *e, const void *anchor,
                                const void *tag)
{
    struct yaml_mark mark = mark_from(e->start_mark);

    if (anchor != NULL) {
        return REFUSE(r, mark, "anchors (&%s) are not supported; write the value out",
                      (const char *)anchor);
    }
    if (tag != NULL) {
        return REFUSE(r, mark, "tags (%s) are not supported; leave it out", (const char *)tag);
    }
    return OK;
}

static enum status check_event(struct yaml_reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return check_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag);
    case YAML_SEQUENCE_START_EVENT:
        return check_extras(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return check_extras(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    case YAML_ALIAS_EVENT:
        return REFUSE(r, mark_from(e->start_mark),
                      "aliases (*%s) are not supported; write the value out",
                      (const char *)e->data.alias.anchor);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        break;
    }
    return OK;
}

static enum status new_node(struct yaml_reader *r, const yaml_event_t *e,
                            struct yaml_node **ret_node)
{
    struct yaml_mark mark = mark_from(e->start_mark);
    struct yaml_node *node;

    if (++r->n_nodes > YAML_NODES_MAX) {
        return REFUSE_LIMIT(r, mark, "more than %d values in one file", YAML_NODES_MAX);
    }
    node = arena_zalloc(r->arena, 1, sizeof(*node));
    if (node == NULL) {
        r->mark = mark;
        return error_set(r->err, E_NO_MEMORY, "no memory for its values");
    }
    node->mark = mark;
    *ret_node = node;
    return OK;
}

static enum status copy_scalar(struct yaml_reader *r, const yaml_event_t *e, struct str *ret_text)
{
    struct str text = {(const char *)e->data.scalar.value, e->data.scalar.length};

    r->mark = mark_from(e->start_mark);
    if (text.len > YAML_SCALAR_BYTES_MAX) {
        return error_set(r->err, E_LIMIT, "text longer than %d bytes", YAML_SCALAR_BYTES_MAX);
    }
    // an escape in quotes can make one; no name, path or URL has it
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        return error_set(r->err, E_INVALID, "text with a NUL character; remove it");
    }
    if (arena_dup(r->arena, text, ret_text) != OK) {
        return error_set(r->err, E_NO_MEMORY, "no memory for its values");
    }
    return OK;
}

static enum status check_key(struct yaml_reader *r, const struct yaml_node *map, struct str key,
                             struct yaml_mark mark)
{
    const struct yaml_node *twin = yaml_get(map, key);

    if (twin != NULL) {
        return REFUSE(r, mark, "duplicate key \"%.*s\"; the first one is on line %u", STR_ARG(key),
                      twin->key_mark.line);
    }
    if (map->n_items >= YAML_MEMBERS_MAX) {
        return REFUSE_LIMIT(r, mark, "more than %d keys in one mapping", YAML_MEMBERS_MAX);
    }
    return OK;
}

static enum status read_node(struct yaml_reader *r, yaml_event_t *event, uint32_t depth,
                             struct yaml_node **ret_node);

/* Key and value of a mapping; `event` is the key's. */
static enum status read_member(struct yaml_reader *r, const struct yaml_node *map,
                               const yaml_event_t *event, uint32_t depth,
                               struct yaml_node **ret_value)
{
    struct yaml_mark mark = mark_from(event->start_mark);
    struct yaml_node *value = NULL;
    struct str key = {NULL, 0};
    yaml_event_t next;
    enum status rc = check_event(r, event);

    if (rc != OK) {
        return rc;
    }
    if (event->type != YAML_SCALAR_EVENT) {
        return REFUSE(r, mark, "a key must be a word, not a list or mapping");
    }
    rc = copy_scalar(r, event, &key);
    if (rc == OK) {
        rc = check_key(r, map, key, mark);
    }
    if (rc == OK) {
        rc = next_event(r, &next);
    }
    if (rc != OK) {
        return rc;
    }
    rc = read_node(r, &next, depth, &value); // deletes the event
    if (rc == OK) {
        value->key = key;
        value->key_mark = mark;
        *ret_value = value;
    }
    return rc;
}

static enum status read_items(struct yaml_reader *r, struct yaml_node *parent, uint32_t depth)
{
    yaml_event_type_t end =
        parent->kind == YAML_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    struct yaml_node **tail = &parent->first;

    if (depth > YAML_DEPTH_MAX) {
        return REFUSE_LIMIT(r, parent->mark, "nested deeper than %d levels", YAML_DEPTH_MAX);
    }
    for (;;) { // ends: every turn takes an event of a text with at most YAML_BYTES_MAX bytes
        struct yaml_node *item = NULL;
        yaml_event_t event;
        enum status rc = next_event(r, &event);

        if (rc != OK) {
            return rc;
        }
        if (event.type == end) {
            yaml_event_delete(&event);
            return OK;
        }
        if (parent->kind == YAML_MAP) {
            rc = read_member(r, parent, &event, depth, &item);
            yaml_event_delete(&event);
        } else {
            rc = read_node(r, &event, depth, &item);
        }
        if (rc != OK) {
            return rc;
        }
        *tail = item;
        tail = &item->next;
        parent->n_items++;
    }
}

/* Takes the event. */
static enum status read_node(struct yaml_reader *r, yaml_event_t *event, uint32_t depth,
                             struct yaml_node **ret_node)
{
    struct yaml_node *node = NULL;
    enum status rc = check_event(r, event);

    if (rc == OK) {
        rc = new_node(r, event, &node);
    }
    if (rc == OK && event->type == YAML_SCALAR_EVENT) {
        node->kind = YAML_SCALAR;
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        rc = copy_scalar(r, event, &node->text);
    } else if (rc == OK) {
        node->kind = event->type == YAML_MAPPING_START_EVENT ? YAML_MAP : YAML_LIST;
        rc = read_items(r, node, depth + 1);
    }
    yaml_event_delete(event);
    if (rc == OK) {
        *ret_node = node;
    }
    return rc;
}

/* The next event must be of type `want`; takes and forgets it. */
static enum status skip_event(struct yaml_reader *r, yaml_event_type_t want, const char *otherwise)
{
    yaml_event_t event;
    enum status rc = next_event(r, &event);

    if (rc != OK) {
        return rc;
    }
    if (event.type != want) {
        rc = REFUSE(r, mark_from(event.start_mark), "%s", otherwise);
    }
    yaml_event_delete(&event);
    return rc;
}

static enum status read_document(struct yaml_reader *r, struct yaml_node **ret_root)
{
    struct yaml_node *root = NULL;
    yaml_event_t event;
    enum status rc;

    rc = skip_event(r, YAML_STREAM_START_EVENT, "not a stream");
    if (rc == OK) {
        rc = skip_event(r, YAML_DOCUMENT_START_EVENT, "the file is empty");
    }
    if (rc == OK) {
        rc = next_event(r, &event);
    }
    if (rc != OK) {
        return rc;
    }
    rc = read_node(r, &event, 0, &root);
    if (rc == OK) {
        rc = skip_event(r, YAML_DOCUMENT_END_EVENT, "not one document");
    }
    if (rc == OK) {
        rc = skip_event(r, YAML_STREAM_END_EVENT, SECOND_DOCUMENT);
    }
    if (rc == OK) {
        *ret_root = root;
    }
    return rc;
}

/* Some of libyaml's marks stand behind the last line: bring them to its end. */
static struct yaml_mark mark_inside(struct yaml_mark mark, struct str text)
{
    struct yaml_mark end = {1, 1};
    // a last line break ends the last line, it does not begin another
    if (str_ends(text, STR("\n"))) {
        text.len--;
    }
    for (size_t at = 0; at < text.len; at++) {
        if (text.ptr[at] == '\n') {
            end.line++;
            end.column = 1;
        } else if (((unsigned char)text.ptr[at] & 0xc0) != 0x80 && text.ptr[at] != '\r') {
            end.column++;
        }
    }
    return mark.line > end.line ? end : mark;
}

enum status yaml_parse(struct arena *arena, struct str text, struct yaml_node **ret_root,
                       struct yaml_mark *ret_mark, struct error *err)
{
    struct yaml_reader r = {.arena = arena, .err = err, .mark = {1, 1}};
    enum status rc;

    if (text.len > YAML_BYTES_MAX) {
        *ret_mark = r.mark;
        return error_set(err, E_LIMIT, "larger than %d bytes", YAML_BYTES_MAX);
    }
    rc = check_characters(&r, text);
    if (rc != OK) {
        *ret_mark = r.mark;
        return rc;
    }
    if (str_starts(text, STR(BYTE_ORDER_MARK))) {
        text = str_slice(text, strlen(BYTE_ORDER_MARK), text.len);
    }
    if (!yaml_parser_initialize(&r.parser)) {
        *ret_mark = r.mark;
        return error_set(err, E_NO_MEMORY, "no memory for reading it");
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.ptr ? text.ptr : ""),
                                 text.len);
    rc = read_document(&r, ret_root);
    if (rc != OK) {
        *ret_mark = mark_inside(r.mark, text);
    }
    yaml_parser_delete(&r.parser);
    return rc;
}

struct yaml_node *yaml_get(const struct yaml_node *map, struct str key)
{
    if (map == NULL || map->kind != YAML_MAP) {
        return NULL;
    }
    for (struct yaml_node *n = map->first; n != NULL; n = n->next) {
        if (str_eq(n->key, key)) {
            return n;
        }
    }
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && node->plain &&
           (node->text.len == 0 || str_eq(node->text, STR("~")) || str_eq(node->text, STR("null")));
}
