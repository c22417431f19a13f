/* policy.h - where may this request go?  Labels, ceilings, regions, rules; and the only maker of
 * permits besides an operator's own commands.
 *
 * A decision is a pure function of configuration and facts about the request, so that `kontor
 * explain` can replay it from a record.  No rule matched: the request stays in pools that are not
 * external.
 * Pure; any thread.
 */
#ifndef GATEWAY_POLICY_H
#define GATEWAY_POLICY_H

#include "base/buf.h"
#include "gateway/settings.h"

struct permit;

/* All that a decision may depend on. */
struct policy_facts {
    struct str model;
    struct str key_id; // "" without keys
    struct str team;
    enum label label;   // effective: key's or default, raised by the client
    enum label ceiling; // of the key
    uint64_t body_bytes;
    const struct str *key_pools; // [n_key_pools] scope of the key; none: all
    uint32_t n_key_pools;
};

enum policy_verdict {
    POLICY_ALLOWED,
    POLICY_DENIED_RULE,    // a rule says deny
    POLICY_DENIED_LABEL,   // no pool may see this label
    POLICY_DENIED_CEILING, // label over the key's ceiling
    POLICY_DENIED_SCOPE,   // the key may not use any of the pools
    POLICY_UNKNOWN_MODEL,
};

struct policy_decision {
    enum policy_verdict verdict;
    const struct settings_model *model; // NULL: unknown
    struct str rule;                    // name, or "default: stays"
    uint32_t pools[SETTINGS_POOLS_MAX]; // candidates in order
    uint32_t n_pools;
    /* why each pool of the model is in or out, for the record: index as in model->pools */
    const char *why[SETTINGS_POOLS_MAX];
};

/** Pure; never fails: a model that is not there is a verdict. */
void policy_decide(const struct settings *settings, const struct policy_facts *facts,
                   struct policy_decision *ret_decision);
/** The permit for sending this request to an upstream of this pool.  Errors: DENIED (pool not in
 *  the decision, label over its ceiling): a second look, independent of the first. */
MUST_USE enum status policy_permit(const struct settings *settings,
                                   const struct policy_facts *facts,
                                   const struct policy_decision *decision, uint32_t pool,
                                   struct permit *ret_permit);
/** Permit for health probes and metrics of an upstream: no bytes of any request. */
void policy_permit_probe(struct permit *ret_permit);
/** Facts and decision as one JSON object; policy_read_record takes it apart again. */
void policy_write_record(struct buf *out, const struct policy_facts *facts,
                         const struct policy_decision *decision, const struct settings *settings);

#endif
