#include "compute/pool.h"

#include "base/check.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SPIN_NS 20000
#define SPINS_PER_LOOK 32 // pauses between two looks at the clock

/* A counter that one side advances and the other waits for. */
struct gate {
    _Alignas(64) atomic_uint_fast32_t value;
    atomic_uint_fast32_t n_sleeping; // changed under `lock`, read without
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

struct worker {
    struct pool *pool;
    pthread_t thread;
    uint32_t idx;
};

struct pool {
    uint32_t n_threads;
    uint64_t spin_ns;
    struct worker *workers; // [n_threads], 0 is unused
    // written by the caller before `start` advances, read by workers after
    pool_fn fn;
    void *arg;
    bool stop;
    struct gate start;  // runs started
    struct gate finish; // runs finished: advanced by the last worker
    _Alignas(64) atomic_uint_fast32_t n_running;
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); // yield is a no-op on most cores
#endif
}

static void gate_init(struct gate *g)
{
    atomic_init(&g->value, 0);
    atomic_init(&g->n_sleeping, 0);
    CHECK(pthread_mutex_init(&g->lock, NULL) == 0);
    CHECK(pthread_cond_init(&g->changed, NULL) == 0);
}

static void gate_done(struct gate *g)
{
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
}

static void gate_advance(struct gate *g)
{
    // Both sides are sequentially consistent: either the waiter sees the new value after it has
    // counted itself as sleeping, or we see it counted here.
    atomic_fetch_add(&g->value, 1);
    if (atomic_load(&g->n_sleeping) > 0) {
        pthread_mutex_lock(&g->lock);
        pthread_cond_broadcast(&g->changed);
        pthread_mutex_unlock(&g->lock);
    }
}

/* Wait until the value is another one than `seen`. */
static void gate_wait(struct gate *g, uint_fast32_t seen, uint64_t spin_ns)
{
    uint64_t begin_ns;

    if (spin_ns > 0) {
        begin_ns = kontor_clock_now_ns(&kontor_clock_system);
        do {
            for (int i = 0; i < SPINS_PER_LOOK; i++) {
                if (atomic_load_explicit(&g->value, memory_order_acquire) != seen) {
                    return;
                }
                pause_cpu();
            }
        } while (kontor_clock_now_ns(&kontor_clock_system) - begin_ns < spin_ns);
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->n_sleeping, 1);
    while (atomic_load(&g->value) == seen) {
        pthread_cond_wait(&g->changed, &g->lock);
    }
    atomic_fetch_sub(&g->n_sleeping, 1);
    pthread_mutex_unlock(&g->lock);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;

    for (uint_fast32_t seen = 0;; seen++) {
        gate_wait(&p->start, seen, p->spin_ns);
        if (p->stop) {
            return NULL;
        }
        p->fn(p->arg, w->idx);
        if (atomic_fetch_sub(&p->n_running, 1) == 1) {
            gate_advance(&p->finish);
        }
    }
}

static enum status start_workers(struct pool *p, struct error *err)
{
    sigset_t all;
    sigset_t before;
    int rc = 0;

    // signals belong to the threads that handle them: workers inherit a full mask
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 1; i < p->n_threads && rc == 0; i++) {
        p->workers[i] = (struct worker){.pool = p, .idx = i};
        rc = pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]);
        if (rc != 0) {
            error_set(err, E_NO_MEMORY,
                      "cannot start compute thread %u of %u: %s. Start with fewer threads or raise "
                      "the limit on tasks.",
                      i + 1, p->n_threads, strerror(rc));
            p->n_threads = i;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? OK : E_NO_MEMORY;
}

enum status pool_create(uint32_t n_threads, uint32_t n_cpus, struct pool **ret_pool,
                        struct error *err)
{
    struct pool *p = NULL;
    enum status rc;

    CHECK(n_threads >= 1 && n_threads <= POOL_THREADS_MAX);
    p = aligned_alloc(64, (sizeof(*p) + 63) / 64 * 64);
    if (p == NULL) {
        return error_set(err, E_NO_MEMORY, "out of memory for the pool of compute threads");
    }
    memset(p, 0, sizeof(*p));
    p->workers = calloc(n_threads, sizeof(*p->workers));
    if (p->workers == NULL) {
        free(p);
        return error_set(err, E_NO_MEMORY, "out of memory for the pool of compute threads");
    }
    p->n_threads = n_threads;
    p->spin_ns = n_threads <= n_cpus ? SPIN_NS : 0;
    gate_init(&p->start);
    gate_init(&p->finish);
    atomic_init(&p->n_running, 0);
    rc = start_workers(p, err);
    if (rc != OK) {
        pool_destroy(p);
        return rc;
    }
    *ret_pool = p;
    return OK;
}

void pool_destroy(struct pool *p)
{
    if (p == NULL) {
        return;
    }
    p->stop = true;
    gate_advance(&p->start);
    for (uint32_t i = 1; i < p->n_threads; i++) {
        pthread_join(p->workers[i].thread, NULL);
    }
    gate_done(&p->start);
    gate_done(&p->finish);
    free(p->workers);
    free(p);
}

uint32_t pool_threads(const struct pool *p)
{
    return p->n_threads;
}

void pool_run(struct pool *p, pool_fn fn, void *arg)
{
    uint_fast32_t seen;

    if (p->n_threads == 1) {
        fn(arg, 0);
        return;
    }
    CHECK(atomic_load_explicit(&p->n_running, memory_order_relaxed) == 0);
    p->fn = fn;
    p->arg = arg;
    seen = atomic_load(&p->finish.value); // nobody advances it before n_running is set
    atomic_store(&p->n_running, p->n_threads - 1);
    gate_advance(&p->start);
    fn(arg, 0);
    gate_wait(&p->finish, seen, p->spin_ns);
}

void pool_range_init(struct pool_range *r, uint64_t n_items, uint64_t grain)
{
    CHECK(grain >= 1);
    atomic_init(&r->next, 0);
    r->end = n_items;
    r->grain = grain;
}

bool pool_range_take(struct pool_range *r, uint64_t *ret_begin, uint64_t *ret_end)
{
    uint64_t begin = atomic_fetch_add_explicit(&r->next, r->grain, memory_order_relaxed);

    if (begin >= r->end) {
        return false;
    }
    *ret_begin = begin;
    *ret_end = r->end - begin < r->grain ? r->end : begin + r->grain;
    return true;
}
