/* The watching thread: looks at the key file and the key set's file four times a second and reads
 * what changed. */
#include "base/log.h"
#include "gateway/identity_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_INTERVAL_MS 250
#define PATHS_BYTES_MAX 65536

/* What tells one state of a file from the next; all zero: there is none. */
struct look {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec changed;  // status change time: also moves when a file of the same size and
    struct timespec modified; // time is renamed over it
};

static void look_at(const char *path, struct look *ret_look)
{
    struct stat st;

    memset(ret_look, 0, sizeof(*ret_look));
    if (stat(path, &st) == 0) {
        ret_look->device = st.st_dev;
        ret_look->inode = st.st_ino;
        ret_look->bytes = st.st_size;
        ret_look->changed = st.st_ctim;
        ret_look->modified = st.st_mtim;
    }
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_look(const struct look *a, const struct look *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           same_time(a->changed, b->changed) && same_time(a->modified, b->modified);
}

bool identity_watch_wait(struct identity_feed *feed, uint32_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&feed->lock);
    if (!atomic_load(&feed->stop)) {
        (void)pthread_cond_timedwait(&feed->wake, &feed->lock, &until); // early is no harm
    }
    pthread_mutex_unlock(&feed->lock);
    return !atomic_load(&feed->stop);
}

static void read_keys(struct identity_feed *feed)
{
    struct keys *fresh = NULL;
    struct error err = {0};

    if (keys_load(feed->keys_path.ptr, &fresh, &err) != OK) {
        log_event(LOG_LEVEL_ERROR, "keys_not_read", "why=\"%s\"", err.text);
        return;
    }
    log_event(LOG_LEVEL_INFO, "keys_read", "keys=%u", keys_count(fresh));
    keys_unref(atomic_exchange_explicit(&feed->fresh_keys, fresh, memory_order_acq_rel));
}

void identity_watch_publish(struct identity_feed *feed, struct jwks *fresh)
{
    uint32_t n = 0;

    (void)jwks_keys(fresh, &n);
    log_event(n > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "key_set_read", "usable_keys=%u", n);
    jwks_destroy(atomic_exchange_explicit(&feed->fresh_jwks, fresh, memory_order_acq_rel));
}

static void read_jwks(struct identity_feed *feed)
{
    struct jwks *fresh = NULL;
    struct error err = {0};

    if (jwks_load(feed->jwks_path.ptr, &fresh, &err) != OK) {
        log_event(LOG_LEVEL_ERROR, "key_set_not_read", "why=\"%s\"", err.text);
        return;
    }
    identity_watch_publish(feed, fresh);
}

static void read_if_changed(struct identity_feed *feed, struct str path, struct look *seen,
                            void (*read)(struct identity_feed *feed))
{
    struct look now;

    if (path.len == 0) {
        return;
    }
    look_at(path.ptr, &now);
    if (!same_look(&now, seen)) {
        *seen = now; // before reading: a change meanwhile is seen next time
        read(feed);
    }
}

static void *watch(void *user)
{
    struct identity_feed *feed = user;
    struct look keys_seen = {.bytes = -1}; // no file looks like that: the first look reads, since
    struct look jwks_seen = {.bytes = -1}; // it may have changed after identity_create read it

    do {
        read_if_changed(feed, feed->keys_path, &keys_seen, read_keys);
        read_if_changed(feed, feed->jwks_path, &jwks_seen, read_jwks);
    } while (identity_watch_wait(feed, LOOK_INTERVAL_MS));
    return NULL;
}

static enum status start_thread(struct identity_feed *feed, pthread_t *thread, bool *runs,
                                void *(*run)(void *user), struct error *err)
{
    sigset_t all;
    sigset_t old;
    int failed;

    sigfillset(&all); // signals are the loop's: none interrupts a read here
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(thread, NULL, run, feed);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed != 0) {
        return error_set(err, E_IO, "no thread for the keys: %s", strerror(failed));
    }
    *runs = true;
    return OK;
}

static void stop_threads(struct identity_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    atomic_store(&feed->stop, true);
    pthread_cond_broadcast(&feed->wake);
    pthread_mutex_unlock(&feed->lock);
    if (feed->watcher_runs) {
        pthread_join(feed->watcher, NULL);
    }
    if (feed->fetcher_runs) {
        pthread_join(feed->fetcher, NULL);
    }
}

void identity_watch_close(struct identity_feed *feed)
{
    if (feed == NULL || --feed->n_refs > 0) {
        return;
    }
    stop_threads(feed);
    keys_unref(atomic_load(&feed->fresh_keys));
    keys_unref(feed->keys);
    jwks_destroy(atomic_load(&feed->fresh_jwks));
    jwks_destroy(feed->jwks);
    pthread_cond_destroy(&feed->wake);
    pthread_mutex_destroy(&feed->lock);
    arena_destroy(feed->arena);
    free(feed);
}

void identity_watch_take(struct identity_feed *feed)
{
    if (atomic_load_explicit(&feed->fresh_keys, memory_order_relaxed) != NULL) {
        keys_unref(feed->keys);
        feed->keys = atomic_exchange_explicit(&feed->fresh_keys, NULL, memory_order_acquire);
    }
    if (atomic_load_explicit(&feed->fresh_jwks, memory_order_relaxed) != NULL) {
        jwks_destroy(feed->jwks);
        feed->jwks = atomic_exchange_explicit(&feed->fresh_jwks, NULL, memory_order_acquire);
    }
}

static enum status start(struct identity_feed *feed, struct error *err)
{
    enum status rc = OK;

    if (feed->keys_path.len > 0) {
        rc = keys_load(feed->keys_path.ptr, &feed->keys, err);
    }
    if (rc == OK && feed->jwks_path.len > 0) {
        rc = jwks_load(feed->jwks_path.ptr, &feed->jwks, err);
    }
    if (rc == OK && (feed->keys_path.len > 0 || feed->jwks_path.len > 0)) {
        rc = start_thread(feed, &feed->watcher, &feed->watcher_runs, watch, err);
    }
    if (rc == OK && feed->jwks_url.len > 0) {
        rc = start_thread(feed, &feed->fetcher, &feed->fetcher_runs, identity_fetch_run, err);
    }
    return rc;
}

/* Waits end by the monotonic clock: one that is set back must not delay a revocation. */
static void init(struct identity_feed *feed)
{
    pthread_condattr_t attributes;

    feed->n_refs = 1;
    atomic_init(&feed->fresh_keys, NULL);
    atomic_init(&feed->fresh_jwks, NULL);
    atomic_init(&feed->wants_jwks, false);
    atomic_init(&feed->stop, false);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static enum status copy_paths(struct identity_feed *feed, const struct settings *s)
{
    enum status rc = feed->arena == NULL ? E_NO_MEMORY : OK;

    rc = rc != OK ? rc : arena_dup(feed->arena, s->keys_file, &feed->keys_path);
    rc = rc != OK ? rc : arena_dup(feed->arena, s->jwks_file, &feed->jwks_path);
    return rc != OK ? rc : arena_dup(feed->arena, s->jwks_url, &feed->jwks_url);
}

static bool reads_the_same(const struct identity_feed *feed, const struct settings *s)
{
    return str_eq(feed->keys_path, s->keys_file) && str_eq(feed->jwks_path, s->jwks_file) &&
           str_eq(feed->jwks_url, s->jwks_url);
}

enum status identity_watch_open(const struct settings *settings, const struct identity *before,
                                struct identity_feed **ret_feed, struct error *err)
{
    static const struct settings none = {.default_label = LABEL_PRIVATE};
    const struct settings *s = settings == NULL ? &none : settings;
    struct identity_feed *feed;
    enum status rc;

    if (before != NULL && reads_the_same(before->feed, s)) {
        before->feed->n_refs++;
        *ret_feed = before->feed;
        return OK;
    }
    feed = calloc(1, sizeof(*feed));
    if (feed == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the keys");
    }
    init(feed);
    feed->arena = arena_create(PATHS_BYTES_MAX);
    rc = copy_paths(feed, s);
    rc = rc != OK ? error_set(err, rc, "no memory for the keys") : start(feed, err);
    if (rc != OK) {
        identity_watch_close(feed);
        return rc;
    }
    *ret_feed = feed;
    return OK;
}
