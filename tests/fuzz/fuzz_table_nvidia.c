/* The table of nvidia-smi. */
#include "fuzz/fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    return fuzz_table_run(table_nvidia, bytes, n_bytes);
}
