/* policy.h - where may this request go?  Labels, ceilings, regions, rules; and the only maker of
 * permits besides an operator's own commands.
 *
 * A decision is a pure function of configuration and facts about the request, so that `kontor
 * explain` can replay it from a record.  No rule matched: the request stays in pools that are not
 * external.  The order of the questions is in docs/policy.md.
 * Pure; any thread.
 */
#ifndef GATEWAY_POLICY_H
#define GATEWAY_POLICY_H

#include "base/buf.h"
#include "chat/chat.h"
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
    const struct str *key_models; // [n_key_models] scope of the key; none: all
    uint32_t n_key_models;
};

enum policy_verdict {
    POLICY_ALLOWED,
    POLICY_DENIED_RULE,    // a rule says deny, or leaves none of the pools that may see the label
    POLICY_DENIED_LABEL,   // no pool may see this label
    POLICY_DENIED_CEILING, // label over the key's ceiling
    POLICY_DENIED_SCOPE,   // the key may not use the model, or any of the pools
    POLICY_UNKNOWN_MODEL,
};

#define POLICY_VERDICT_COUNT 6
#define POLICY_DEFAULT_RULE "default: stays" // name of the rule when none matched

struct policy_decision {
    enum policy_verdict verdict;
    const struct settings_model *model; // NULL: unknown
    struct str rule;                    // name, or "default: stays"
    uint32_t pools[SETTINGS_POOLS_MAX]; // candidates in order
    uint32_t n_pools;
    /* why each pool of the model is in or out, for the record: index as in model->pools */
    const char *why[SETTINGS_POOLS_MAX];
};

/**
 * The label of a request: the key's (`base`), raised by the client's field `asked` (empty: none).
 * A lower word changes nothing.  Errors: INVALID for an unknown word; *ret_label is unset then and
 * the request must be refused.
 */
MUST_USE enum status policy_raise(enum label base, struct str asked, enum label *ret_label);
/** Pure; never fails: a model that is not there is a verdict. */
void policy_decide(const struct settings *settings, const struct policy_facts *facts,
                   struct policy_decision *ret_decision);
/**
 * The permit for sending this request to an upstream of this pool: a second look, independent of
 * the first, at the settings themselves and not only at the decision.  Its ceiling is the request's
 * own label.  Ask again for each attempt, also hedged ones.
 *
 * Errors: DENIED (pool not in the decision, label over a ceiling, external without a rule, out of
 * scope or region); ret_permit is untouched then.
 */
MUST_USE enum status policy_permit(const struct settings *settings,
                                   const struct policy_facts *facts,
                                   const struct policy_decision *decision, uint32_t pool,
                                   struct permit *ret_permit);
/** Permit for health probes and metrics of an upstream: no bytes of any request. */
void policy_permit_probe(struct permit *ret_permit);
/** Permit for fetching a public key set: no bytes of any request; static. */
const struct permit *policy_permit_key_set(void);
/** As policy_permit, the permit in `arena`.  Errors also: NO_MEMORY. */
MUST_USE enum status policy_lend(const struct settings *settings, const struct policy_facts *facts,
                                 const struct policy_decision *decision, uint32_t pool,
                                 struct arena *arena, const struct permit **ret_permit);
/** Would the settings `now` send this request there as well?  Pool and upstream are known by name,
 * the upstream by its url, too.  False also without memory. */
bool policy_lend_still(const struct settings *now, const struct policy_facts *facts,
                       const struct settings_pool *pool, const struct settings_upstream *upstream,
                       struct arena *arena);
/** As policy_permit_probe, the permit in `arena`; NULL without memory. */
const struct permit *policy_lend_probe(struct arena *arena);
/** "allowed", "denied_rule" ... for records, metrics and logs. */
const char *policy_verdict_name(enum policy_verdict verdict);
/** What the client is told when the verdict is not POLICY_ALLOWED (CHECKed): 403, or 404 for a
 *  model that is not there or not in the key's scope.  Names no pool, provider or upstream. */
void policy_refuse(const struct policy_facts *facts, const struct policy_decision *decision,
                   struct chat_failure *ret_failure);

/* --- records, for the access log and `kontor explain` --- */

#define POLICY_RECORD_BYTES_MAX (1 << 20)

/* What a record says of one pool of the model. */
struct policy_record_pool {
    struct str name;
    bool in;
    struct str why; // empty: not said
};

/* A record taken apart.  Everything lives in the arena. */
struct policy_record {
    uint64_t digest; // of the settings then in force
    struct policy_facts facts;
    enum policy_verdict verdict;
    struct str rule;
    const struct policy_record_pool *pools; // [n_pools] of the model, in order
    uint32_t n_pools;
};

/** Facts and decision as one JSON object; policy_read_record takes it apart again. */
void policy_write_record(struct buf *out, const struct policy_facts *facts,
                         const struct policy_decision *decision, const struct settings *settings);
/**
 * Read what policy_write_record wrote: the object itself, or an object (a line of the access log)
 * that holds it as "policy".  Untrusted input.
 * Errors: INVALID (text says what is missing), LIMIT, NO_MEMORY.
 */
MUST_USE enum status policy_read_record(struct str text, struct arena *arena,
                                        struct policy_record *ret_record, struct error *err);

#endif
