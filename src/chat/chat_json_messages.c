/* Messages of a request: validation, and the plain form that templates expect. */
#include "base/check.h"
#include "chat/chat_json_internal.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES 128

/* Where we are, for the `param` of a refusal: messages[3].content[0]. */
struct place {
    struct arena *arena;
    struct chat_failure *failure;
    uint32_t message_idx;
};

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};

static enum status refuse_at(const struct place *p, const char *code, const char *field,
                             const char *what)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "messages[%u]%s%s", p->message_idx, field[0] == '[' ? "" : ".",
             field);
    return chat_json_refuse(p->failure, code, path, "%s: '%s'.", what, path);
}

static enum status refuse_type_at(const struct place *p, const char *field, const char *expected,
                                  const struct json_value *got)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "messages[%u].%s", p->message_idx, field);
    return chat_json_refuse_type(p->failure, path, expected, got);
}

static enum status check_role(const struct place *p, const struct json_value *role)
{
    char path[PATH_BYTES];

    if (role == NULL) {
        return refuse_at(p, "missing_required_parameter", "role", "Missing required parameter");
    }
    if (role->kind != JSON_STRING) {
        return refuse_type_at(p, "role", "a string", role);
    }
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (str_eq(role->string, str_from_c(roles[i]))) {
            return OK;
        }
    }
    snprintf(path, sizeof(path), "messages[%u].role", p->message_idx);
    return chat_json_refuse(p->failure, "invalid_value", path,
                            "Invalid value: '%.*s'. Supported values are: 'system', 'developer', "
                            "'user', 'assistant', and 'tool'.",
                            (int)(role->string.len < 64 ? role->string.len : 64),
                            role->string.ptr == NULL ? "" : role->string.ptr);
}

static bool is_text_part(struct str type)
{
    return str_eq(type, STR("text")) || str_eq(type, STR("input_text")) ||
           str_eq(type, STR("output_text"));
}

static enum status refuse_part(const struct place *p, uint32_t part_idx, struct str type)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "messages[%u].content[%u].type", p->message_idx, part_idx);
    return chat_json_refuse(p->failure, "unsupported_value", path,
                            "Unsupported chat content part type: '%.*s'. This model reads text "
                            "only; send parts of type 'text'.",
                            (int)(type.len < 64 ? type.len : 64), type.ptr == NULL ? "" : type.ptr);
}

/* Text of one content part: a bare string or an object with type and text. */
static enum status part_text(const struct place *p, uint32_t part_idx,
                             const struct json_value *part, struct str *ret_text)
{
    char field[PATH_BYTES / 2];
    const struct json_value *type = json_get(part, STR("type"));
    const struct json_value *text;

    if (part->kind == JSON_STRING) {
        *ret_text = part->string;
        return OK;
    }
    snprintf(field, sizeof(field), "content[%u]", part_idx);
    if (part->kind != JSON_OBJECT) {
        return refuse_type_at(p, field, "an object", part);
    }
    if (type == NULL || type->kind != JSON_STRING) {
        snprintf(field, sizeof(field), "content[%u].type", part_idx);
        return refuse_at(p, "missing_required_parameter", field, "Missing required parameter");
    }
    text = json_get(part, str_eq(type->string, STR("refusal")) ? STR("refusal") : STR("text"));
    if (!is_text_part(type->string) && !str_eq(type->string, STR("refusal"))) {
        return refuse_part(p, part_idx, type->string);
    }
    if (text == NULL || text->kind != JSON_STRING) {
        snprintf(field, sizeof(field), "content[%u].text", part_idx);
        if (text != NULL) {
            return refuse_type_at(p, field, "a string", text);
        }
        return refuse_at(p, "missing_required_parameter", field, "Missing required parameter");
    }
    *ret_text = text->string;
    return OK;
}

/* Parts become one string: without separator, as GLM's templates join them; results of tools with a
 * newline, as the clients that send them in parts expect. */
static enum status flatten(const struct place *p, const struct json_value *parts, bool newlines,
                           struct str *ret_text)
{
    struct str text = {NULL, 0};
    size_t len = 0;
    char *joined;

    for (uint32_t i = 0; i < parts->n_items; i++) {
        const enum status rc = part_text(p, i, &parts->items[i], &text);

        if (rc != OK) {
            return rc;
        }
        len += text.len + 1;
    }
    if (parts->n_items == 1) {
        *ret_text = text;
        return OK;
    }
    joined = arena_alloc(p->arena, len);
    if (joined == NULL) {
        return chat_json_refuse_memory(p->failure);
    }
    len = 0;
    for (uint32_t i = 0; i < parts->n_items; i++) {
        (void)part_text(p, i, &parts->items[i], &text); // cannot fail: it went well above
        if (newlines && i > 0) {
            joined[len++] = '\n';
        }
        if (text.len > 0) {
            memcpy(joined + len, text.ptr, text.len);
        }
        len += text.len;
    }
    *ret_text = (struct str){joined, len};
    return OK;
}

static enum status content_text(const struct place *p, struct str role,
                                const struct json_value *content, struct str *ret_text)
{
    const bool tool = str_eq(role, STR("tool"));
    const bool may_lack = tool || str_eq(role, STR("assistant"));

    if (content == NULL && !may_lack) {
        return refuse_at(p, "missing_required_parameter", "content", "Missing required parameter");
    }
    if (content == NULL || (content->kind == JSON_NULL && may_lack)) {
        *ret_text = (struct str){"", 0};
        return OK;
    }
    if (content->kind == JSON_STRING) {
        *ret_text = content->string;
        return OK;
    }
    if (content->kind == JSON_ARRAY) {
        return flatten(p, content, tool, ret_text);
    }
    return refuse_type_at(p, "content", "a string or an array of content parts", content);
}

/* Arguments of a call in the history: JSON text on the wire, an object for the template. */
static enum status open_arguments(const struct place *p, uint32_t call_idx,
                                  struct json_value *function)
{
    char field[PATH_BYTES / 2];
    const struct json_value *object;

    for (uint32_t i = 0; i < function->n_items; i++) {
        struct json_member *m = &function->members[i];
        struct str text = m->value.string;

        if (!str_eq(m->key, STR("arguments")) || m->value.kind != JSON_STRING) {
            continue;
        }
        text = str_trim(text).len == 0 ? STR("{}") : text;
        if (json_parse(p->arena, text, NULL, &object, NULL) != OK || object->kind != JSON_OBJECT) {
            snprintf(field, sizeof(field), "tool_calls[%u].function.arguments", call_idx);
            return refuse_at(p, "invalid_value", field, "Not the text of a JSON object");
        }
        m->value = *object;
    }
    return OK;
}

/* A shallow copy, so that the document itself stays as it was parsed. */
static enum status copy_members(const struct place *p, const struct json_value *object,
                                struct json_value *ret_copy)
{
    struct json_member *members =
        arena_zalloc(p->arena, object->n_items + 1, sizeof(struct json_member));

    if (members == NULL) {
        return chat_json_refuse_memory(p->failure);
    }
    if (object->n_items > 0) {
        memcpy(members, object->members, object->n_items * sizeof(*members));
    }
    *ret_copy = *object;
    ret_copy->members = members;
    ret_copy->source = (struct str){NULL, 0}; // the copy may come to differ from the text
    return OK;
}

static enum status copy_call(const struct place *p, uint32_t call_idx,
                             const struct json_value *call, struct json_value *ret_call)
{
    char field[PATH_BYTES / 2];
    enum status rc;

    snprintf(field, sizeof(field), "tool_calls[%u]", call_idx);
    if (call->kind != JSON_OBJECT) {
        return refuse_type_at(p, field, "an object", call);
    }
    if (!str_eq(json_string_or(json_get(call, STR("type")), STR("function")), STR("function"))) {
        return refuse_at(p, "unsupported_value", field, "Only calls of type 'function' are known");
    }
    rc = copy_members(p, call, ret_call);
    for (uint32_t i = 0; rc == OK && i < ret_call->n_items; i++) {
        struct json_member *m = &ret_call->members[i];

        if (str_eq(m->key, STR("function")) && m->value.kind == JSON_OBJECT) {
            rc = copy_members(p, &m->value, &m->value);
            if (rc == OK) {
                rc = open_arguments(p, call_idx, &m->value);
            }
        }
    }
    return rc;
}

static enum status copy_calls(const struct place *p, const struct json_value *calls,
                              struct json_value *ret_calls)
{
    struct json_value *items;

    if (calls->kind != JSON_ARRAY) {
        return refuse_type_at(p, "tool_calls", "an array", calls);
    }
    items = arena_zalloc(p->arena, calls->n_items, sizeof(*items));
    if (items == NULL) {
        return chat_json_refuse_memory(p->failure);
    }
    for (uint32_t i = 0; i < calls->n_items; i++) {
        const enum status rc = copy_call(p, i, &calls->items[i], &items[i]);

        if (rc != OK) {
            return rc;
        }
    }
    *ret_calls = *calls;
    ret_calls->items = items;
    return OK;
}

static void set_string(struct json_value *v, struct str s)
{
    *v = (struct json_value){.kind = JSON_STRING, .string = s};
}

/* Put one message into plain form: content a string, developer as system (GLM's templates know no
 * developer and would drop it), tool calls opened, an empty list of calls left out. */
static enum status plain_message(const struct place *p, const struct json_value *message,
                                 struct json_value *ret_message)
{
    struct json_value copy = {0};
    struct str role;
    struct str text = {"", 0};
    bool has_content = false;
    uint32_t n = 0;
    enum status rc;

    if (message->kind != JSON_OBJECT) {
        char path[PATH_BYTES];

        snprintf(path, sizeof(path), "messages[%u]", p->message_idx);
        return chat_json_refuse_type(p->failure, path, "an object", message);
    }
    rc = check_role(p, json_get(message, STR("role")));
    if (rc != OK) {
        return rc;
    }
    role = json_get(message, STR("role"))->string;
    rc = content_text(p, role, json_get(message, STR("content")), &text);
    if (rc == OK) {
        rc = copy_members(p, message, &copy);
        CHECK(rc != OK || copy.members != NULL);
    }
    for (uint32_t i = 0; rc == OK && i < copy.n_items; i++) {
        struct json_member m = copy.members[i];

        if (str_eq(m.key, STR("role")) && str_eq(role, STR("developer"))) {
            set_string(&m.value, STR("system"));
        } else if (str_eq(m.key, STR("content"))) {
            set_string(&m.value, text);
            has_content = true;
        } else if (str_eq(m.key, STR("tool_calls"))) {
            if (m.value.kind == JSON_NULL || (m.value.kind == JSON_ARRAY && m.value.n_items == 0)) {
                continue;
            }
            rc = copy_calls(p, &m.value, &m.value);
        }
        copy.members[n++] = m;
    }
    if (rc == OK && !has_content) {
        copy.members[n].key = STR("content");
        set_string(&copy.members[n++].value, text);
    }
    copy.n_items = n;
    *ret_message = copy;
    return rc;
}

enum status chat_json_read_messages(struct arena *arena, const struct json_value *messages,
                                    const struct json_value **ret_messages,
                                    struct chat_failure *ret_failure)
{
    struct place p = {arena, ret_failure, 0};
    struct json_value *list;

    if (messages == NULL || messages->kind == JSON_NULL) {
        return chat_json_refuse(ret_failure, "missing_required_parameter", "messages",
                                "Missing required parameter: 'messages'.");
    }
    if (messages->kind != JSON_ARRAY) {
        return chat_json_refuse_type(ret_failure, "messages", "an array of objects", messages);
    }
    if (messages->n_items == 0) {
        return chat_json_refuse(ret_failure, "empty_array", "messages",
                                "Invalid 'messages': empty array. Expected an array with minimum "
                                "length 1, but got an empty array instead.");
    }
    if (messages->n_items > CHAT_JSON_MESSAGES_MAX) {
        return chat_json_refuse(ret_failure, "array_above_max_length", "messages",
                                "Invalid 'messages': array too long. Expected an array with "
                                "maximum length %d, but got an array with length %u instead.",
                                CHAT_JSON_MESSAGES_MAX, messages->n_items);
    }
    list = arena_zalloc(arena, 1, sizeof(*list));
    if (list != NULL) {
        *list = (struct json_value){.kind = JSON_ARRAY, .n_items = messages->n_items};
        list->items = arena_zalloc(arena, messages->n_items, sizeof(*list));
    }
    if (list == NULL || list->items == NULL) {
        return chat_json_refuse_memory(ret_failure);
    }
    for (p.message_idx = 0; p.message_idx < messages->n_items; p.message_idx++) {
        const enum status rc =
            plain_message(&p, &messages->items[p.message_idx], &list->items[p.message_idx]);

        if (rc != OK) {
            return rc;
        }
    }
    *ret_messages = list;
    return OK;
}
