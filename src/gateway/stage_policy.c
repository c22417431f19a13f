/* Stage "policy": the label of the request, and which pools may see it. */
#include "gateway/gateway_internal.h"

static struct str asked_label(const struct call *call)
{
    const struct settings *s = call->fleet->settings;
    const struct str *value = s->label_header.len == 0
                                  ? NULL
                                  : http_parse_field(http_exchange_head(call->x), s->label_header);

    return value == NULL ? (struct str){NULL, 0} : *value;
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
    const struct str asked = asked_label(call);
    struct chat_failure failure;

    note_facts(call);
    if (policy_raise(call->facts.label, asked, &call->facts.label) != OK) {
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
