/* memory.h - large memory that is read at the speed of the machine.
 *
 * Weights, KV cache and scratch belong here: blocks of 2 MiB and more are aligned to huge pages and
 * ask for them (madvise).  With 4 KiB pages a core that streams weights waits for address
 * translation half of the time (docs/speed-log.md).  Without huge pages in the system it is
 * ordinary memory.
 *
 * Any thread.
 */
#ifndef COMPUTE_MEMORY_H
#define COMPUTE_MEMORY_H

#include <stddef.h>

/** `n_bytes` zeroed bytes, aligned to 64 at least; NULL when memory is short.  0 gives NULL.
 *  Pages are taken from the system when they are first written. */
void *memory_alloc(size_t n_bytes);
/** `n_bytes` as it was given to memory_alloc.  NULL accepted. */
void memory_free(void *ptr, size_t n_bytes);

#endif
