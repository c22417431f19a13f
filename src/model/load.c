#include "model/load.h"
#include "base/check.h"
#include "model/dummy.h"
#include "model/values.h"
#include "model/weights.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STAGING_BYTES                                                                              \
    ((size_t)8 << 20) // a piece of this size stays in the cache while it is packed
#define PACK_ROWS 64  // row ranges of matrix_pack start at multiples of this

static const char *dtype_word(enum dtype t)
{
    return t == DTYPE_F32 ? "float32" : t == DTYPE_BF16 ? "bfloat16" : "float16";
}

/* ---- sizes --------------------------------------------------------------------------------- */

struct sizer {
    const struct ops *ops;
    enum dtype dtype;
    uint64_t bytes;
    uint32_t n_weights;
};

static uint64_t weight_memory(const struct weight *w, const struct ops *ops, enum dtype dtype)
{
    switch (w->kind) {
    case WEIGHT_MATRIX:
        return ops->matrix_bytes(dtype, w->n_rows, w->n_cols);
    case WEIGHT_TABLE:
        return (uint64_t)w->n_rows * w->n_cols * dtype_bytes(dtype);
    case WEIGHT_VECTOR:
        break;
    }
    return (uint64_t)w->n_rows * sizeof(float);
}

static enum status add_size(void *user, const struct weight *w)
{
    struct sizer *s = user;

    s->bytes += slab_rounded(weight_memory(w, s->ops, s->dtype));
    s->n_weights++;
    return OK;
}

uint64_t load_weight_bytes(const struct arch *arch, const struct model_config *c,
                           const struct ops *ops, enum dtype dtype)
{
    struct sizer s = {.ops = ops, .dtype = dtype};

    (void)arch->visit_weights(c, NULL, add_size, &s); // add_size never stops the walk
    return s.bytes;
}

/* ---- one pass ------------------------------------------------------------------------------ */

/* A weight with its place in the files. */
struct item {
    struct weight w;
    uint32_t file_idx;
    uint64_t offset;
};

struct loader {
    const struct load_source *source;
    const struct model_load_options *o;
    const struct ops *ops;
    struct slab *slab;
    struct item *items; // owned
    uint32_t n_items;
    uint32_t items_cap;
    char *staging; // owned, [staging_bytes]
    size_t staging_bytes;
    char *spare; // owned, as large: one part before its conversion
    uint64_t done_rows_bytes;
    uint64_t total_bytes;
    double reported;
};

static void allocate(struct loader *l, const struct weight *w)
{
    void *at = slab_take(l->slab, weight_memory(w, l->ops, l->o->weight_dtype));

    switch (w->kind) {
    case WEIGHT_MATRIX:
        *w->matrix = (struct matrix){.n_out = w->n_rows,
                                     .n_in = w->n_cols,
                                     .dtype = l->o->weight_dtype,
                                     .packed = at};
        break;
    case WEIGHT_TABLE:
        *w->table = at;
        break;
    case WEIGHT_VECTOR:
        *w->vector = at;
        break;
    }
}

static uint64_t part_elements(const struct weight *w, const struct weight_part *part)
{
    return (uint64_t)part->n_rows * w->n_cols;
}

static enum dtype part_dtype(const struct loader *l, const struct weight *w,
                             const struct weight_part *part)
{
    const struct tensor *t;

    if (l->source->checkpoint == NULL) {
        return DTYPE_BF16;
    }
    t = weights_get(l->source->checkpoint, w, part, NULL);
    CHECK(t != NULL); // model_open() verified it
    return weights_dtype(t);
}

static enum status add_item(void *user, const struct weight *w)
{
    struct loader *l = user;
    struct item item = {.w = *w};

    CHECK(l->n_items < l->items_cap);
    allocate(l, w);
    if (l->source->checkpoint != NULL) {
        const struct tensor *t = weights_get(l->source->checkpoint, w, &w->parts[0], NULL);

        CHECK(t != NULL);
        item.file_idx = t->file_idx;
        item.offset = t->offset;
    }
    for (uint32_t i = 0; i < w->n_parts; i++) {
        l->total_bytes +=
            part_elements(w, &w->parts[i]) * dtype_bytes(part_dtype(l, w, &w->parts[i]));
    }
    l->items[l->n_items++] = item;
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;

    if (x->file_idx != y->file_idx) {
        return x->file_idx < y->file_idx ? -1 : 1;
    }
    return x->offset < y->offset ? -1 : x->offset > y->offset ? 1 : 0;
}

static void report(struct loader *l, uint64_t n_bytes)
{
    double share;

    l->done_rows_bytes += n_bytes;
    share = l->total_bytes == 0 ? 1.0 : (double)l->done_rows_bytes / (double)l->total_bytes;
    if (l->o->on_progress != NULL && (share - l->reported >= 0.005 || share >= 1.0)) {
        l->reported = share;
        l->o->on_progress(l->o->user, share);
    }
}

static enum status screen(const struct loader *l, const struct weight *w,
                          const struct weight_part *part, const void *values, enum dtype dtype,
                          size_t n, struct error *err)
{
    enum dtype to = w->kind == WEIGHT_VECTOR ? DTYPE_F32 : l->o->weight_dtype;
    struct values_screen counts = {0, 0};

    values_screen(values, dtype, to, n, &counts);
    if (counts.n_not_finite > 0) {
        return error_set(err, E_INVALID,
                         "tensor %s holds NaN or infinity (%" PRIu64
                         " values in the first piece that has any): the checkpoint is damaged",
                         part->name, counts.n_not_finite);
    }
    if (counts.n_overflow > 0) {
        return error_set(err, E_UNSUPPORTED,
                         "tensor %s holds values too large for %s (%" PRIu64
                         " in the first piece that has any): use --dtype bfloat16",
                         part->name, dtype_word(to), counts.n_overflow);
    }
    return OK;
}

/* Elements [begin, begin + n) of a part into `to`, in the part's own dtype. */
static enum status fetch(struct loader *l, const struct weight *w, const struct weight_part *part,
                         uint64_t begin, size_t n, void *to, struct error *err)
{
    enum dtype dtype = part_dtype(l, w, part);
    const struct tensor *t;
    enum status rc;

    if (l->source->checkpoint == NULL) {
        dummy_fill(l->source->dummy_seed, w, part, begin, n, to);
    } else {
        t = weights_get(l->source->checkpoint, w, part, NULL);
        CHECK(t != NULL);
        rc = checkpoint_read(l->source->checkpoint, t, begin * dtype_bytes(dtype),
                             n * dtype_bytes(dtype), to, err);
        if (rc != OK) {
            return rc;
        }
    }
    rc = screen(l, w, part, to, dtype, n, err);
    report(l, n * dtype_bytes(dtype));
    return rc;
}

/* The dtype all parts share, else float32 (wide enough for any). */
static enum dtype common_dtype(const struct loader *l, const struct weight *w)
{
    enum dtype first = part_dtype(l, w, &w->parts[0]);

    for (uint32_t i = 1; i < w->n_parts; i++) {
        if (part_dtype(l, w, &w->parts[i]) != first) {
            return DTYPE_F32;
        }
    }
    return first;
}

/* Rows [row, row + n_rows) of the weight, across its parts, into `to` as `dtype`. */
static enum status fetch_rows(struct loader *l, const struct weight *w, uint32_t row,
                              uint32_t n_rows, enum dtype dtype, void *to, struct error *err)
{
    char *at = to;
    uint32_t first = 0; // row of the weight at which the part begins

    for (uint32_t i = 0; i < w->n_parts; i++) {
        const struct weight_part *part = &w->parts[i];
        uint32_t begin = row > first ? row : first;
        uint32_t end = row + n_rows < first + part->n_rows ? row + n_rows : first + part->n_rows;
        enum dtype own = part_dtype(l, w, part);

        if (begin < end) {
            size_t n = (size_t)(end - begin) * w->n_cols;
            void *raw = own == dtype ? (void *)at : (void *)l->spare;
            enum status rc = fetch(l, w, part, (uint64_t)(begin - first) * w->n_cols, n, raw, err);

            if (rc != OK) {
                return rc;
            }
            if (own != dtype) {
                values_convert(at, dtype, raw, own, n);
            }
            at += n * dtype_bytes(dtype);
        }
        first += part->n_rows;
    }
    return OK;
}

/* Rows per piece: what staging holds at 4 bytes per value, a multiple of 64. */
static uint32_t piece_rows(const struct loader *l, const struct weight *w)
{
    size_t rows = l->staging_bytes / ((size_t)w->n_cols * sizeof(float)) / PACK_ROWS * PACK_ROWS;

    CHECK(rows > 0);
    return rows < w->n_rows ? (uint32_t)rows : w->n_rows;
}

static enum status load_one(struct loader *l, const struct weight *w, struct error *err)
{
    enum dtype target = w->kind == WEIGHT_VECTOR ? DTYPE_F32 : l->o->weight_dtype;
    enum dtype dtype = w->kind == WEIGHT_MATRIX ? common_dtype(l, w) : target;
    uint32_t step = piece_rows(l, w);

    for (uint32_t row = 0; row < w->n_rows; row += step) {
        uint32_t n_rows = w->n_rows - row < step ? w->n_rows - row : step;
        size_t offset = (size_t)row * w->n_cols * dtype_bytes(target);
        void *to = w->kind == WEIGHT_MATRIX  ? (void *)l->staging
                   : w->kind == WEIGHT_TABLE ? (void *)((char *)*w->table + offset)
                                             : (void *)((char *)*w->vector + offset);
        enum status rc = fetch_rows(l, w, row, n_rows, dtype, to, err);

        if (rc != OK) {
            return rc;
        }
        if (w->kind == WEIGHT_MATRIX) {
            l->ops->matrix_pack(l->o->compute, w->matrix, row, n_rows, l->staging, dtype);
        }
    }
    return OK;
}

static enum status widest(void *user, const struct weight *w)
{
    size_t *bytes = user;
    size_t need = (size_t)w->n_cols * PACK_ROWS * sizeof(float);

    *bytes = need > *bytes ? need : *bytes;
    return OK;
}

static enum status prepare(struct loader *l, const struct arch *arch, const struct model_config *c,
                           struct error *err)
{
    struct sizer s = {.ops = l->ops, .dtype = l->o->weight_dtype};

    l->staging_bytes = STAGING_BYTES;
    (void)arch->visit_weights(c, NULL, add_size, &s);
    (void)arch->visit_weights(c, NULL, widest, &l->staging_bytes);
    l->items_cap = s.n_weights;
    l->items = calloc(s.n_weights, sizeof(*l->items));
    l->staging = aligned_alloc(64, l->staging_bytes);
    l->spare = aligned_alloc(64, l->staging_bytes);
    if (l->items == NULL || l->staging == NULL || l->spare == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory to read the weights");
    }
    return OK;
}

enum status load_weights(const struct arch *arch, const struct model_config *c,
                         struct arch_state *state, const struct load_source *source,
                         const struct model_load_options *o, struct slab *slab, struct error *err)
{
    struct loader l = {.source = source, .o = o, .slab = slab, .ops = compute_ops(o->compute)};
    enum status rc = prepare(&l, arch, c, err);

    if (rc != OK) {
        goto out;
    }
    (void)arch->visit_weights(c, state, add_item, &l); // add_item never stops the walk
    qsort(l.items, l.n_items, sizeof(*l.items), by_place);
    for (uint32_t i = 0; rc == OK && i < l.n_items; i++) {
        rc = load_one(&l, &l.items[i].w, err);
    }
    if (rc == OK && source->checkpoint != NULL) {
        rc = checkpoint_check_unchanged(source->checkpoint, err);
    }
out:
    free(l.items);
    free(l.staging);
    free(l.spare);
    return rc;
}
