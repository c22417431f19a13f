/* bpe_internal.h - what the merging (bpe_encode.c) needs from the tables (bpe.c). */
#ifndef TEXT_BPE_INTERNAL_H
#define TEXT_BPE_INTERNAL_H

#include "text/bpe.h"

/** The merge of two neighbours, or NULL. */
const struct bpe_merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right);

#endif
