/* Stage "read": the body becomes a chat_request, or is refused with the field at fault. */
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

enum status stage_read_json(struct call *call, const struct json_value **ret_root)
{
    struct error err = {0};
    enum status rc;

    if (!is_json_type(http_exchange_head(call->x))) {
        (void)call_refuse(call, 400, NULL, NULL,
                          "Unsupported Media Type: Only 'application/json' is allowed. Send the "
                          "header Content-Type: application/json.");
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

bool stage_read_model_known(const struct gateway *gw, struct str name)
{
    for (uint32_t i = 0; i < gw->options.n_served_names; i++) {
        if (str_eq(name, str_from_c(gw->options.served_names[i]))) {
            return true;
        }
    }
    return name.len == 0; // no name means the model that is there
}

enum stage_verdict stage_read_refuse_model(struct call *call, struct str name)
{
    const struct gateway_options *o = &call->gw->options;
    char names[NAMES_BYTES_MAX] = "";
    size_t len = 0;

    for (uint32_t i = 0; i < o->n_served_names; i++) {
        const int n = snprintf(names + len, sizeof(names) - len, "%s`%s`", i == 0 ? "" : ", ",
                               o->served_names[i]);

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

enum stage_verdict stage_read(struct call *call)
{
    const bool completion = str_eq(str_from_c(call->route->path), STR("/v1/completions"));
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
    if (!stage_read_model_known(call->gw, call->request.chat.model)) {
        return stage_read_refuse_model(call, call->request.chat.model);
    }
    call->request.chat.id = object_id(call);
    call->frame = (struct chat_json_frame){
        .id = call->request.chat.id,
        .model = call->request.chat.model.len > 0 ? call->request.chat.model
                                                  : str_from_c(call->gw->options.served_names[0]),
        .created_s = kontor_clock_system.unix_ms(NULL) / 1000,
        .completion = completion,
    };
    return STAGE_NEXT;
}
