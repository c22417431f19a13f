#include "devices/vendor.h"

#define MIB_MAX (1ull << 40) // more is an error value, not memory

int64_t vendor_mib(uint64_t mib)
{
    return mib > MIB_MAX ? -1 : (int64_t)(mib << 20);
}

int64_t vendor_bytes(uint64_t bytes)
{
    return bytes > INT64_MAX ? -1 : (int64_t)bytes;
}
