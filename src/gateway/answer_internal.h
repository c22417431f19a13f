/* answer_internal.h - the functions behind routes that no upstream answers, for stage "answer".
 *
 * Each answers the call or refuses it.  Loop-owned.
 */
#ifndef GATEWAY_ANSWER_INTERNAL_H
#define GATEWAY_ANSWER_INTERNAL_H

#include "gateway/call_internal.h"

/** GET /v1/models */
enum stage_verdict answer_plain_models(struct call *call);
/** GET /v1/models/{id} */
enum stage_verdict answer_plain_model(struct call *call);
/** GET /metrics */
enum stage_verdict answer_plain_metrics(struct call *call);
/** GET /health, /ready, /ping */
enum stage_verdict answer_plain_health(struct call *call);
/** GET /live */
enum stage_verdict answer_plain_live(struct call *call);
/** GET /version */
enum stage_verdict answer_plain_version(struct call *call);
/** GET /load */
enum stage_verdict answer_plain_load(struct call *call);
/** GET / */
enum stage_verdict answer_plain_page(struct call *call);
/** GET /favicon.ico */
enum stage_verdict answer_plain_icon(struct call *call);
/** POST /tokenize */
enum stage_verdict answer_tokens_encode(struct call *call);
/** POST /detokenize */
enum stage_verdict answer_tokens_decode(struct call *call);

#endif
