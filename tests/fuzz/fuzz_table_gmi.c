/* The table of mthreads-gmi. */
#include "fuzz/fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    return fuzz_table_run(table_gmi, bytes, n_bytes);
}
