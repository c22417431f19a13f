/* The csv of nvidia-smi: up to a NUL byte the cards, behind it their processes. */
#include "fuzz/fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str all = {(const char *)bytes, n_bytes};
    size_t cut = str_find_byte(all, '\0', 0);
    struct reading *r = calloc(1, sizeof(*r));

    CHECK(r != NULL);
    table_nvidia_csv(str_slice(all, 0, cut), r);
    if (cut != SIZE_MAX) {
        table_nvidia_apps(str_slice(all, cut + 1, all.len), r);
    }
    fuzz_table_check(r);
    free(r);
    return 0;
}
