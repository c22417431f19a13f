#include "engine/kv.h"
#include "base/check.h"

#include <stdlib.h>

/* `free_ids` is a stack: [0, n_free) are free.  `n_users[id]` counts the sequences that read the
 * block; today 0 or 1, sharing of equal prefixes will count higher and keep rule 4 as it is. */
struct kv_pool {
    uint32_t n_blocks;
    uint32_t n_free;
    uint32_t *free_ids; // [n_blocks] owned
    uint32_t *n_users;  // [n_blocks] owned
};

enum status kv_create(uint32_t n_blocks, struct kv_pool **ret_pool)
{
    struct kv_pool *pool = calloc(1, sizeof(*pool));

    CHECK(n_blocks >= 1);
    if (pool == NULL) {
        return E_NO_MEMORY;
    }
    pool->n_blocks = n_blocks;
    pool->n_free = n_blocks;
    pool->free_ids = calloc(n_blocks, sizeof(*pool->free_ids));
    pool->n_users = calloc(n_blocks, sizeof(*pool->n_users));
    if (pool->free_ids == NULL || pool->n_users == NULL) {
        kv_destroy(pool);
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n_blocks; i++) {
        pool->free_ids[i] = n_blocks - 1 - i; // block 0 is handed out first
    }
    *ret_pool = pool;
    return OK;
}

void kv_destroy(struct kv_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    free(pool->free_ids);
    free(pool->n_users);
    free(pool);
}

enum status kv_take(struct kv_pool *pool, uint32_t n_blocks, uint32_t *ret_ids)
{
    if (n_blocks > pool->n_free) {
        return E_LIMIT;
    }
    for (uint32_t i = 0; i < n_blocks; i++) {
        uint32_t id = pool->free_ids[--pool->n_free];

        DCHECK(pool->n_users[id] == 0);
        pool->n_users[id] = 1;
        ret_ids[i] = id;
    }
    return OK;
}

void kv_give(struct kv_pool *pool, uint32_t n_blocks, const uint32_t *ids)
{
    for (uint32_t i = n_blocks; i > 0; i--) { // last taken lies on top again
        uint32_t id = ids[i - 1];

        CHECK(id < pool->n_blocks && pool->n_users[id] > 0);
        pool->n_users[id]--;
        if (pool->n_users[id] == 0) {
            pool->free_ids[pool->n_free++] = id;
        }
    }
}

uint32_t kv_capacity(const struct kv_pool *pool)
{
    return pool->n_blocks;
}

uint32_t kv_free_count(const struct kv_pool *pool)
{
    return pool->n_free;
}

const char *kv_check(const struct kv_pool *pool)
{
    uint32_t n_unused = 0;

    if (pool->n_free > pool->n_blocks) {
        return "more free blocks than the pool has";
    }
    for (uint32_t i = 0; i < pool->n_free; i++) {
        uint32_t id = pool->free_ids[i];

        if (id >= pool->n_blocks) {
            return "a free id lies outside the pool";
        }
        if (pool->n_users[id] != 0) {
            return "a block is free and in use at once";
        }
    }
    for (uint32_t id = 0; id < pool->n_blocks; id++) {
        n_unused += pool->n_users[id] == 0 ? 1 : 0;
    }
    /* With the loop above this also finds an id that lies in the free list twice. */
    if (n_unused != pool->n_free) {
        return "free + in use is not the capacity";
    }
    return NULL;
}
