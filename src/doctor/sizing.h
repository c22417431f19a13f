/* sizing.h - what a model needs on N cards, and how fast it can be at best: arithmetic only.
 *
 * Slicing rules: q heads by whole heads, kv heads copied where there are fewer than ranks, dense
 * and expert widths and vocabulary by rank, latent projections, router, norms and indexer on every
 * rank.
 * Bytes unless named otherwise.  Pure; any thread.  docs/plan.md derives every formula.
 */
#ifndef DOCTOR_SIZING_H
#define DOCTOR_SIZING_H

#include "base/buf.h"
#include "base/status.h"
#include "doctor/card.h"
#include "doctor/shape.h"

#include <stdbool.h>
#include <stdint.h>

struct sizing_request {
    struct shape shape;
    const struct card *card; // borrowed: table
    uint32_t n_cards;
    uint32_t max_model_len; // 0: the model's
    uint32_t concurrency;   // sequences of that length at once
    uint32_t weight_bits;   // 16, 8 or 4 (matrices; the rest stays 16)
    double memory_fraction; // of a card's memory
    uint32_t tp;            // 0: choose
};

struct sizing {
    uint32_t tp;
    uint32_t pp;
    bool expert_parallel;        // advised: expert width per rank is no multiple of 128
    uint64_t parameters;         // whole model, draft layer left out
    uint64_t active_parameters;  // that one token meets
    uint64_t weight_bytes;       // per rank
    uint64_t kv_bytes_per_token; // per rank
    uint64_t kv_bytes_sequence;  // per rank, one sequence of max_model_len, state included
    uint64_t kv_bytes;           // per rank, all sequences
    uint64_t reserve_bytes;      // per rank: driver, runtime and activations (an estimate)
    uint64_t needed_bytes;       // per rank
    uint64_t allowed_bytes;      // per card
    uint64_t shortfall_bytes;    // per rank; 0: fits
    uint32_t fitting_len;        // with this concurrency; 0: none
    uint32_t fitting_sequences;  // with this length
    double decode_tokens_s;      // ceiling, all sequences together; 0: card's figures unknown
    double prefill_tokens_s;     // ceiling
};

/** Parameters of the whole decoder. */
uint64_t sizing_parameters(const struct shape *s);
/** Weight bytes of one of `tp` ranks, `pp` stages. */
uint64_t sizing_weight_bytes(const struct shape *s, uint32_t tp, uint32_t pp, uint32_t bits);
/** KV bytes per token and rank (16-bit cache). */
uint64_t sizing_kv_bytes_per_token(const struct shape *s, uint32_t tp, uint32_t pp);
/** Constant state per sequence and rank (KDA layers), else 0. */
uint64_t sizing_state_bytes(const struct shape *s, uint32_t tp, uint32_t pp);
/** Can `tp` ranks share this model: heads divide, kv heads divide or are copied. */
bool sizing_tp_works(const struct shape *s, uint32_t tp);

/**
 * Choose TP and PP (unless given) and compute everything.
 * Errors: INVALID (length over the model's, tp that does not divide the heads or the cards);
 * LIMIT: it does not fit; err gives the shortfall in bytes and the knobs; ret_sizing is filled too.
 */
MUST_USE enum status sizing_compute(const struct sizing_request *r, struct sizing *ret_sizing,
                                    struct error *err);

#endif
