/* config.json, a NUL byte, generation_config.json: what is accepted is a shape that the rest of the
 * folder can compute with (no overflow, finite frequencies, a plan or a refusal). */
#include "base/check.h"
#include "model/config.h"
#include "model/plan.h"
#include "model/registry.h"
#include "model/rope_table.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static enum status add_bytes(void *user, const struct weight *w)
{
    uint64_t *sum = user;
    uint64_t bytes = (uint64_t)w->n_rows * w->n_cols * sizeof(float);

    CHECK(w->n_rows >= 1 && w->n_cols >= 1 && w->n_parts >= 1);
    CHECK(!__builtin_add_overflow(*sum, bytes, sum));
    return OK;
}

static void check_shape(const struct model_config *c)
{
    const struct registry_entry *e =
        registry_find(str_from_c(c->architecture), str_from_c(c->model_type));
    struct plan_needs needs = {.max_positions = c->max_positions, .kv_bytes_per_token = 1};
    struct model_plan_options o = {.max_num_seqs = 1,
                                   .memory_bytes = (uint64_t)1 << 34,
                                   .available_bytes = (uint64_t)1 << 34};
    float inv_freq[CONFIG_HEAD_DIM_MAX];
    struct model_plan plan;
    struct error err;
    float scale;

    CHECK(e != NULL && e->arch != NULL);
    CHECK(c->n_kv_heads >= 1 && c->n_heads % c->n_kv_heads == 0);
    CHECK(c->rotated >= 2 && c->rotated <= c->head_dim && c->head_dim <= CONFIG_HEAD_DIM_MAX);
    rope_table_fill(c, inv_freq, &scale);
    CHECK(isfinite(scale) && scale > 0.0f);
    for (uint32_t i = 0; i < c->rotated / 2; i++) {
        CHECK(isfinite(inv_freq[i]) && inv_freq[i] >= 0.0f && inv_freq[i] <= 1.0f);
    }
    CHECK(e->arch->visit_weights(c, NULL, add_bytes, &needs.weight_bytes) == OK);
    needs.workspace_bytes = e->arch->workspace_elements(c, 65536, 4096);
    CHECK(plan_compute(&needs, &o, &plan, &err) != E_INVALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str text = {(const char *)bytes, n_bytes};
    size_t split = str_find_byte(text, '\0', 0);
    struct model_config c;
    struct faults faults;
    struct buf lines;

    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    config_parse(str_slice(text, 0, split), &faults, &c);
    if (split != SIZE_MAX) {
        config_parse_generation(str_slice(text, split + 1, n_bytes), &faults, &c);
    }
    if (faults.n_faults == 0) {
        check_shape(&c);
    }
    buf_done(&lines);
    return 0;
}
