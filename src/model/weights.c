#include "model/weights.h"
#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_float_dtype(enum tensor_dtype t)
{
    return t == TENSOR_F32 || t == TENSOR_BF16 || t == TENSOR_F16;
}

enum dtype weights_dtype(const struct tensor *t)
{
    CHECK(is_float_dtype(t->dtype));
    return t->dtype == TENSOR_F32 ? DTYPE_F32 : t->dtype == TENSOR_BF16 ? DTYPE_BF16 : DTYPE_F16;
}

static void expected_text(const struct weight *w, const struct weight_part *part, char *text,
                          size_t n)
{
    if (w->kind == WEIGHT_VECTOR) {
        snprintf(text, n, "[%" PRIu32 "]", part->n_rows);
    } else {
        snprintf(text, n, "[%" PRIu32 ", %" PRIu32 "]", part->n_rows, w->n_cols);
    }
}

static bool has_shape(const struct tensor *t, const struct weight *w,
                      const struct weight_part *part)
{
    if (w->kind == WEIGHT_VECTOR) {
        return t->n_dims == 1 && t->dims[0] == part->n_rows;
    }
    return t->n_dims == 2 && t->dims[0] == part->n_rows && t->dims[1] == w->n_cols;
}

const struct tensor *weights_get(const struct checkpoint *c, const struct weight *w,
                                 const struct weight_part *part, struct faults *faults)
{
    const struct tensor *t = checkpoint_find(c, part->name);
    char expected[64];
    char found[96];

    if (t != NULL && is_float_dtype(t->dtype) && has_shape(t, w, part)) {
        return t;
    }
    if (faults == NULL) {
        return NULL;
    }
    if (t == NULL && checkpoint_absence_is_known(c, part->name)) {
        return NULL;
    }
    expected_text(w, part, expected, sizeof(expected));
    if (t == NULL) {
        faults_add(faults, E_INVALID, part->name, "is missing; expected BF16, F16 or F32 %s",
                   expected);
        return NULL;
    }
    safetensors_shape_text(t, found, sizeof(found));
    faults_add(faults, E_INVALID, part->name, "expected BF16, F16 or F32 %s, found %s %s in %s%s",
               expected, safetensors_dtype_name(t->dtype), found,
               checkpoint_file_name(c, t->file_idx),
               has_shape(t, w, part) ? " (quantised checkpoints are not built into this version)"
                                     : "");
    return NULL;
}

struct verify {
    const struct checkpoint *c;
    struct faults *faults;
    bool *used; // [tensor count]
};

static enum status verify_weight(void *user, const struct weight *w)
{
    struct verify *v = user;

    for (uint32_t i = 0; i < w->n_parts; i++) {
        const struct tensor *t = weights_get(v->c, w, &w->parts[i], v->faults);

        if (t == NULL) {
            t = checkpoint_find(v->c, w->parts[i].name); // wrong, but not unknown
        }
        if (t != NULL) {
            v->used[t - checkpoint_tensor(v->c, 0)] = true;
        }
    }
    return OK;
}

/* "model.layers.12.x" -> 12; other names: -1. */
static int64_t layer_of(const char *name)
{
    static const struct str prefix = {"model.layers.", 13};
    struct str s = str_from_c(name);
    uint64_t layer;
    size_t dot;

    if (!str_starts(s, prefix)) {
        return -1;
    }
    dot = str_find_byte(s, '.', prefix.len);
    if (dot == SIZE_MAX || str_to_u64(str_slice(s, prefix.len, dot), &layer) != OK ||
        layer > INT32_MAX) {
        return -1;
    }
    return (int64_t)layer;
}

/* A tensor the architecture did not ask for. */
static void judge_extra(const struct verify *v, const struct model_config *config,
                        const struct tensor *t)
{
    struct str name = str_from_c(t->name);
    int64_t layer = layer_of(t->name);

    if (str_ends(name, STR("rotary_emb.inv_freq"))) {
        return; // old exports carry it; it is computed here
    }
    if (layer >= (int64_t)config->n_layers) {
        faults_add(v->faults, E_INVALID, t->name,
                   "is there, but config.json says that the model has %" PRIu32 " layers",
                   config->n_layers);
    } else if (layer >= 0 && str_ends(name, STR(".bias"))) {
        faults_add(v->faults, E_INVALID, t->name,
                   "is there, but config.json describes a model without this bias");
    } else {
        faults_note(v->faults, t->name, "is not part of the model and is not read");
    }
}

void weights_verify(const struct checkpoint *c, const struct arch *arch,
                    const struct model_config *config, struct faults *faults)
{
    uint32_t n = checkpoint_tensor_count(c);
    struct verify v = {.c = c, .faults = faults, .used = calloc((size_t)n + 1, sizeof(bool))};

    if (v.used == NULL) {
        faults_add(faults, E_NO_MEMORY, "", "no memory to verify the tensors");
        return;
    }
    (void)arch->visit_weights(config, NULL, verify_weight,
                              &v); // verify_weight never stops the walk
    for (uint32_t i = 0; i < n; i++) {
        if (!v.used[i]) {
            judge_extra(&v, config, checkpoint_tensor(c, i));
        }
    }
    free(v.used);
}
