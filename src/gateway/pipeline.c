/* pipeline.c - the order in which a request goes through the house.
 *
 * A request goes down this table; tokens come up the chain of sinks that stage "upstream" starts
 * (sink_meter -> sink_relay | sink_sse | sink_json -> connection).  A stage that ends a call early
 * (a refusal, an answer) skips what follows, but for the stages that always run: every call is
 * metered and closed exactly once, whichever way it ended.
 */
#include "base/check.h"
#include "gateway/gateway_internal.h"

static const struct stage inference_stages[] = {
    {"auth", stage_auth, false},         // who is this?                     401
    {"read", stage_read, false},         // JSON, fields, model name         400, 404, 413
    {"policy", stage_policy, false},     // label, rules: which pools        403, 404
    {"reserve", stage_reserve, false},   // limits, budgets, ledger          429, 503
    {"route", stage_route, false},       // is anybody there?                503
    {"upstream", stage_upstream, false}, // attempts; waits for the end      502, 503, 504
    {"meter", stage_meter, true},        // settles what was reserved; counters
    {"reply", stage_reply, true},        // what is left to say; access log
};

static const struct stage answer_stages[] = {
    {"auth", stage_auth, false},
    {"answer", stage_answer, false}, // the route's own function
    {"meter", stage_meter, true},
    {"reply", stage_reply, true},
};

const struct pipeline pipeline_inference = {inference_stages, ARRAY_COUNT(inference_stages)};
const struct pipeline pipeline_answer = {answer_stages, ARRAY_COUNT(answer_stages)};

void pipeline_run(struct call *call)
{
    const struct pipeline *p = call->route->pipeline;

    while (call->stage_idx < p->n_stages) {
        const struct stage *stage = &p->stages[call->stage_idx];
        const enum stage_verdict verdict =
            call->over && !stage->always ? STAGE_NEXT : stage->run(call);

        if (verdict == STAGE_WAIT) {
            return;
        }
        call->over |= verdict == STAGE_STOP;
        call->stage_idx++;
    }
    call_destroy(call);
}

void pipeline_resume(struct call *call, enum stage_verdict verdict)
{
    CHECK(verdict != STAGE_WAIT);
    call->over |= verdict == STAGE_STOP;
    call->stage_idx++;
    pipeline_run(call);
}
