/* Stage "policy": the label of the request, and which pools may see it. */
#include "gateway/gateway_internal.h"

/* Every field of that name counts: with two of them the stricter one holds.  *ret_unknown: the word
 * of an INVALID one. */
static enum status raise_label(const struct call *call, enum label *label, struct str *ret_unknown)
{
    const struct http_head *head = http_exchange_head(call->x);
    const struct str name = call->fleet->settings->label_header;

    for (uint32_t i = 0; name.len > 0 && i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];

        if (str_eq_nocase(f->name, name) && policy_raise(*label, f->value, label) != OK) {
            *ret_unknown = f->value;
            return E_INVALID;
        }
    }
    return OK;
}

static void note_facts(struct call *call)
{
    const struct identity_caller *who = &call->caller;

    call->facts = (struct policy_facts){
        .model = call->request.chat.model,
        .key_id = who->key_id,
        .team = who->team,
        .label = who->label,
        .ceiling = who->ceiling,
        .body_bytes = http_exchange_body(call->x).len,
        .key_pools = who->pools,
        .n_key_pools = who->n_pools,
        .key_models = who->models,
        .n_key_models = who->n_models,
    };
}

enum stage_verdict stage_policy(struct call *call)
{
    struct str asked = {NULL, 0};
    struct chat_failure failure;

    note_facts(call);
    if (raise_label(call, &call->facts.label, &asked) != OK) {
        return call_refuse(call, 400, "invalid_value", NULL,
                           "The label \"%.*s\" is not known. Use public, internal, confidential or "
                           "private.",
                           (int)(asked.len < 64 ? asked.len : 64), asked.ptr);
    }
    call->decision = arena_alloc(call->arena, sizeof(*call->decision));
    if (call->decision == NULL) {
        return call_unavailable(call, "server_is_overloaded", 1,
                                "The server has no memory for this request.");
    }
    policy_decide(call->fleet->settings, &call->facts, call->decision);
    if (call->decision->verdict == POLICY_ALLOWED) {
        return STAGE_NEXT;
    }
    metrics_add(call->gw->meters.verdicts[call->decision->verdict], 1);
    policy_refuse(&call->facts, call->decision, &failure);
    if (failure.http_status == 403) {
        call->cause = CAUSE_DENIED;
    }
    return call_refuse_with(call, &failure);
}
