#include "store/prices.h"
#include "base/check.h"

#include <string.h>

static bool row_applies(const struct prices_row *row, struct str provider, struct str day)
{
    return str_eq(row->provider, provider) && str_cmp(row->valid_from, day) <= 0;
}

const struct prices_row *prices_find(const struct prices *p, struct str provider, struct str model,
                                     struct str day)
{
    const struct prices_row *exact = NULL;
    const struct prices_row *any = NULL;

    /* Of equal dates the later row counts: a file can correct what stands before it. */
    for (uint32_t i = 0; i < p->n_rows; i++) {
        const struct prices_row *row = &p->rows[i];
        const struct prices_row **best = NULL;

        if (!row_applies(row, provider, day)) {
            continue;
        }
        if (str_eq(row->model, model)) {
            best = &exact;
        } else if (str_eq(row->model, STR("*"))) {
            best = &any;
        }
        if (best != NULL && (*best == NULL || str_cmp(row->valid_from, (*best)->valid_from) >= 0)) {
            *best = row;
        }
    }
    return exact != NULL ? exact : any;
}

static int64_t times(uint32_t count, int64_t nano)
{
    int64_t product;

    return __builtin_mul_overflow((int64_t)count, nano, &product) ? INT64_MAX : product;
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int64_t prices_cost(const struct prices_row *row, const struct chat_usage *usage)
{
    /* Parts larger than the whole come from upstreams that count them beside it: they count once,
     * at the price of the part. */
    uint32_t cached = usage->cached_tokens;
    uint32_t reasoning = usage->reasoning_tokens;
    uint32_t fresh = usage->prompt_tokens > cached ? usage->prompt_tokens - cached : 0;
    uint32_t said = usage->completion_tokens > reasoning ? usage->completion_tokens - reasoning : 0;
    int64_t cost = row->request_nano;

    if (cached > usage->prompt_tokens) {
        cached = usage->prompt_tokens;
    }
    if (reasoning > usage->completion_tokens) {
        reasoning = usage->completion_tokens;
    }
    cost = plus(cost, times(fresh, row->input_nano));
    cost = plus(cost, times(cached, row->cached_nano < 0 ? row->input_nano : row->cached_nano));
    cost = plus(cost, times(said, row->output_nano));
    return plus(cost,
                times(reasoning, row->reasoning_nano < 0 ? row->output_nano : row->reasoning_nano));
}

/* FNV-1a, because the value is stored: hash.h may change between releases. */
static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++) {
        h = (h ^ p[i]) * 0x100000001B3u;
    }
    return h;
}

static uint64_t mix_str(uint64_t h, struct str s)
{
    const uint64_t len = s.len;

    return mix(mix(h, &len, sizeof(len)), s.ptr, s.len);
}

uint64_t prices_version(const struct prices_row *rows, uint32_t n_rows)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (uint32_t i = 0; i < n_rows; i++) {
        const struct prices_row *r = &rows[i];
        const int64_t amounts[] = {r->input_nano, r->cached_nano, r->output_nano, r->reasoning_nano,
                                   r->request_nano};

        h = mix_str(h, r->provider);
        h = mix_str(h, r->model);
        h = mix_str(h, r->currency);
        h = mix(h, amounts, sizeof(amounts));
        h = mix_str(h, r->valid_from);
        h = mix_str(h, r->source);
    }
    return h;
}
