/* sample.h - from one row of logits to one token.
 *
 * Greedy, temperature, top_k, top_p, min_p; the random number is a pure function of (seed, stream,
 * position).  All sums run in a fixed order over the row alone, so the choice does not depend on
 * what else is in the batch.  Owns scratch of the vocabulary's size; engine-owned.
 */
#ifndef ENGINE_SAMPLE_H
#define ENGINE_SAMPLE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sampler;

/**
 * vocab     rows of the model's head
 * n_named   ids at or above have no token and are never chosen; <= vocab
 * Start-up only.  Errors: NO_MEMORY.
 */
MUST_USE enum status sample_create(uint32_t vocab, uint32_t n_named, struct sampler **ret_sampler);
/** NULL accepted. */
void sample_destroy(struct sampler *s);
/** Bytes sample_create() allocates. */
uint64_t sample_bytes(uint32_t vocab);

struct sample_args {
    const float *logits;   // [vocab] borrowed
    double temperature;    // below 1e-5: greedy, and the filters are ignored; below 0.01: 0.01
    double top_p;          // (0, 1]
    int32_t top_k;         // <= 0: off
    double min_p;          // 0: off
    const int32_t *banned; // [n_banned] ids in [0, vocab) that must not be chosen, in any order
    uint32_t n_banned;
    uint64_t seed;
    uint64_t stream;   // choice index
    uint64_t position; // of the new token in its sequence
    bool want_logprob;
};

struct sample_result {
    int32_t id;
    float logprob; // natural log of the probability under the untouched logits; 0 when not wanted
};

/**
 * Choose a token.  Order: bans, temperature, min_p, top_k, top_p, draw (vLLM's order).  Equal
 * logits:
 * the lowest id counts as larger.  top_p keeps the smallest set that reaches it, at least one
 * token.
 *
 * Errors: INVALID when a logit is NaN or infinite, LIMIT when every named token is banned.
 * Cost: O(vocab).  Never allocates.
 */
MUST_USE enum status sample_row(struct sampler *s, const struct sample_args *a,
                                struct sample_result *ret_result);

#endif
