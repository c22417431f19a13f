/* A whole .safetensors file as bytes: what is accepted lies inside the file, covers it exactly and
 * overlaps nowhere. */
#include "base/check.h"
#include "model/safetensors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void check_tensors(const struct tensor *t, uint32_t n, uint64_t begin, uint64_t end)
{
    uint64_t at = begin;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t bits = safetensors_dtype_bits(t[i].dtype);
        char shape[40];

        CHECK(t[i].offset == at && t[i].n_bytes <= end - at);
        CHECK(t[i].name[0] != '\0' && t[i].n_dims <= SAFETENSORS_DIMS_MAX);
        for (uint32_t d = 0; d < t[i].n_dims; d++) {
            CHECK(!__builtin_mul_overflow(bits, t[i].dims[d], &bits));
        }
        CHECK(bits == t[i].n_bytes * 8);
        safetensors_shape_text(&t[i], shape, sizeof(shape));
        CHECK(strlen(shape) < sizeof(shape));
        at += t[i].n_bytes;
    }
    CHECK(at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct arena *arena = arena_create((size_t)1 << 22);
    struct tensor *tensors = NULL;
    struct faults faults;
    struct buf lines;
    uint64_t n_json = 0;
    uint32_t n = 0;
    struct error err;

    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    if (n_bytes >= SAFETENSORS_PREFIX_BYTES &&
        safetensors_header_bytes(bytes, n_bytes, &n_json, &err) == OK) {
        struct str json = {(const char *)bytes + SAFETENSORS_PREFIX_BYTES, (size_t)n_json};
        enum status rc = safetensors_parse(arena, json, n_bytes, "f", &faults, &tensors, &n);

        CHECK((rc == OK) == (faults.n_faults == 0));
        if (rc == OK) {
            check_tensors(tensors, n, SAFETENSORS_PREFIX_BYTES + n_json, n_bytes);
        }
    }
    buf_done(&lines);
    arena_destroy(arena);
    return 0;
}
