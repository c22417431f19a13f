/* stage_reserve_internal.h - what else touches claims, books and prices of a call.
 *
 * Loop-owned.
 */
#ifndef GATEWAY_STAGE_RESERVE_INTERNAL_H
#define GATEWAY_STAGE_RESERVE_INTERNAL_H

#include "gateway/call_internal.h"

/** Cost of call->usage at the upstream that answers, into call->cost_nano and call->price. */
void stage_reserve_price(struct call *call);
/** Give back what was reserved and book what was used.  Idempotent. */
void stage_reserve_settle(struct call *call);
/** Claim on the limits of the provider to be asked; with *ret_taken stage_reserve_give_back must
 *  follow.  Errors: LIMIT (the call was refused; clear that when somebody else answers). */
MUST_USE enum status stage_reserve_provider(struct call *call, const struct fleet_upstream *u,
                                            struct limits_claim *claim, bool *ret_taken);
/** The provider did not answer this call. */
void stage_reserve_give_back(struct call *call, struct limits_claim *claim);
/** Before `n_tokens` more are relayed: promise the ledger what a crash would book at most. */
void stage_reserve_promise(struct call *call, uint32_t n_tokens);
/** A server broke off and another goes on: what was relayed so far is booked at the first one. */
void stage_reserve_note_earlier(struct call *call);
/** Usage of the whole answer, given that of the part of the last server. */
struct chat_usage stage_reserve_whole_usage(const struct call *call, const struct chat_usage *part);

#endif
