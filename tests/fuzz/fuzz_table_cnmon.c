/* The table of cnmon. */
#include "fuzz/fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    return fuzz_table_run(table_cnmon, bytes, n_bytes);
}
