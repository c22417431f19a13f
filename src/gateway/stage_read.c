/* Stage "read": the body is checked, and refused with the field at fault.
 *
 * For remote upstreams splice_read looks at it in one pass and nothing is built; an engine in this
 * process needs the whole chat_request.  What may go either way is read both ways.
 */
#include "base/clock.h"
#include "gateway/gateway_internal.h"

#include <stdio.h>
#include <string.h>

#define NAMES_BYTES_MAX 512 // of the list of served names in a message

static bool is_json_type(const struct http_head *head)
{
    const struct str *type = http_parse_field(head, STR("content-type"));
    size_t end;

    if (type == NULL) {
        return false;
    }
    end = str_find_byte(*type, ';', 0);
    return str_eq_nocase(str_trim(str_slice(*type, 0, end)), STR("application/json"));
}

static bool check_type(struct call *call)
{
    if (is_json_type(http_exchange_head(call->x))) {
        return true;
    }
    (void)call_refuse(call, 400, NULL, NULL,
                      "Unsupported Media Type: Only 'application/json' is allowed. Send the "
                      "header Content-Type: application/json.");
    return false;
}

enum status stage_read_json(struct call *call, const struct json_value **ret_root)
{
    struct error err = {0};
    enum status rc;

    if (!check_type(call)) {
        return E_INVALID;
    }
    rc = json_parse(call->arena, http_exchange_body(call->x), NULL, ret_root, &err);
    if (rc == E_NO_MEMORY || rc == E_LIMIT) {
        (void)call_refuse(call, 413, "request_too_large", NULL,
                          "The JSON body of your request is too large: %s", err.text);
    } else if (rc != OK) {
        (void)call_refuse(call, 400, NULL, NULL,
                          "We could not parse the JSON body of your request. (HINT: %s)", err.text);
    }
    return rc;
}

/* --- names --- */

static bool may_see(const struct call *call, struct str name)
{
    for (uint32_t i = 0; i < call->caller.n_models; i++) {
        if (str_eq(call->caller.models[i], name)) {
            return true;
        }
    }
    return call->caller.n_models == 0;
}

bool stage_read_model_known(const struct call *call, struct str name)
{
    const struct settings *s = call->fleet->settings;

    for (uint32_t i = 0; i < s->n_models; i++) {
        if (str_eq(name, s->models[i].name)) {
            return may_see(call, name);
        }
    }
    return name.len == 0 && !call->fleet->has_remote; // no name means the model that is there
}

enum stage_verdict stage_read_refuse_model(struct call *call, struct str name)
{
    const struct settings *s = call->fleet->settings;
    char names[NAMES_BYTES_MAX] = "";
    size_t len = 0;

    for (uint32_t i = 0; i < s->n_models; i++) {
        int n;

        if (!may_see(call, s->models[i].name)) {
            continue;
        }
        n = snprintf(names + len, sizeof(names) - len, "%s`%.*s`", len == 0 ? "" : ", ",
                     STR_ARG(s->models[i].name));
        if (n < 0 || (size_t)n >= sizeof(names) - len) {
            names[len] = '\0';
            break;
        }
        len += (size_t)n;
    }
    return call_refuse(call, 404, "model_not_found", "model",
                       "The model `%.*s` does not exist or you do not have access to it. Served "
                       "here: %s.",
                       (int)(name.len < 128 ? name.len : 128), name.ptr, names);
}

/* --- whole, for an engine here --- */

/* The id that the client chose (field request_id, else header x-request-id) names the object. */
static struct str object_id(struct call *call)
{
    const char *prefix = call->request.completion ? "cmpl-" : "chatcmpl-";
    const size_t prefix_len = strlen(prefix);
    char *id;

    if (call_id_is_plain(call->request.request_id)) {
        call->request_id = call->request.request_id;
    }
    id = arena_alloc(call->arena, prefix_len + call->request_id.len);
    if (id == NULL) {
        return STR("chatcmpl-0");
    }
    memcpy(id, prefix, prefix_len);
    memcpy(id + prefix_len, call->request_id.ptr, call->request_id.len);
    return (struct str){id, prefix_len + call->request_id.len};
}

static enum stage_verdict read_whole(struct call *call)
{
    const bool completion = call->route->dialect == DIALECT_COMPLETION;
    const struct json_value *root;
    struct chat_failure failure;
    enum status rc;

    if (stage_read_json(call, &root) != OK) {
        return STAGE_STOP;
    }
    rc = completion ? chat_json_read_completion(call->arena, root, &call->request, &failure)
                    : chat_json_read_chat(call->arena, root, &call->request, &failure);
    if (rc != OK) {
        return call_refuse_with(call, &failure);
    }
    call->request_read = true;
    if (!stage_read_model_known(call, call->request.chat.model)) {
        return stage_read_refuse_model(call, call->request.chat.model);
    }
    if (call->request.chat.model.len == 0) {
        call->request.chat.model = call->fleet->settings->models[0].name;
    }
    call->request.chat.id = object_id(call);
    call->frame = (struct chat_json_frame){
        .id = call->request.chat.id,
        .model = call->request.chat.model,
        .created_s = kontor_clock_system.unix_ms(NULL) / 1000,
        .completion = completion,
    };
    return STAGE_NEXT;
}

/* --- spans, for servers elsewhere --- */

static enum stage_verdict read_spans(struct call *call)
{
    struct chat_failure failure;
    struct str model;

    if (!check_type(call)) {
        return STAGE_STOP;
    }
    if (splice_read(call->arena, http_exchange_body(call->x), &call->splice, &failure) != OK) {
        return call_refuse_with(call, &failure);
    }
    if (call->splice.model.len == 0) {
        return call_refuse(call, 400, "missing_required_parameter", "model",
                           "Missing required parameter: 'model'.");
    }
    // outlives the body
    if (arena_dup(call->arena, call->splice.model, &model) != OK) {
        return call_refuse(call, 413, "request_too_large", NULL,
                           "The server has no memory for this request.");
    }
    call->splice.model = model;
    call->request.chat.model = model;
    call->request.stream = call->splice.stream;
    call->request.include_usage = call->splice.include_usage;
    return STAGE_NEXT;
}

enum stage_verdict stage_read(struct call *call)
{
    const enum dialect dialect = call->route->dialect;

    if (!call->fleet->has_remote) {
        return read_whole(call);
    }
    if (read_spans(call) == STAGE_STOP) {
        return STAGE_STOP;
    }
    if (!stage_read_model_known(call, call->request.chat.model)) {
        return stage_read_refuse_model(call, call->request.chat.model);
    }
    if ((dialect == DIALECT_CHAT || dialect == DIALECT_COMPLETION) &&
        fleet_serves_locally(call->fleet, call->request.chat.model)) {
        return read_whole(call);
    }
    return STAGE_NEXT;
}
