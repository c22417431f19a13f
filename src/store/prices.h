/* prices.h - what tokens cost: a versioned table, integer money.
 *
 * Money is counted in nano-units of a currency (1e-9); 1 USD per million tokens is 1000 nano-USD
 * per token.  A row names provider, model, date and source.  Immutable after loading; any thread.
 */
#ifndef STORE_PRICES_H
#define STORE_PRICES_H

#include "base/status.h"
#include "base/str.h"
#include "chat/chat.h"

#include <stdint.h>

#define PRICES_ROWS_MAX 4096

struct prices_row {
    struct str provider;
    struct str model;       // name at the provider, or "*"
    struct str currency;    // "USD"
    int64_t input_nano;     // per prompt token
    int64_t cached_nano;    // per prompt token found in a cache; -1: as input
    int64_t output_nano;    // per completion token
    int64_t reasoning_nano; // per reasoning token (part of the completion); -1: as output
    int64_t request_nano;   // per request
    struct str valid_from;  // "2026-08-01"
    struct str source;      // where the price was read
};

struct prices {
    const struct prices_row *rows; // [n_rows]
    uint32_t n_rows;
    uint64_t version; // hash of all rows, stored with each ledger record
};

/** The newest row of that provider and model that was valid on `day` ("YYYY-MM-DD"); an exact model
 *  name beats "*".  NULL: no price is known. */
const struct prices_row *prices_find(const struct prices *p, struct str provider, struct str model,
                                     struct str day);
/** Cost in nano-units; saturates at INT64_MAX. */
int64_t prices_cost(const struct prices_row *row, const struct chat_usage *usage);
/** Hash for `version` over all fields of all rows. */
uint64_t prices_version(const struct prices_row *rows, uint32_t n_rows);
/** Rows that come with the program (facts of the day named in each row). */
const struct prices *prices_presets(void);

#endif
