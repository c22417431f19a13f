/* The watching thread: looks at the key file and the key set's file four times a second and reads
 * what changed. */
#include "base/log.h"
#include "gateway/identity_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_INTERVAL_MS 250

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

bool identity_watch_wait(struct identity *id, uint32_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&id->lock);
    if (!atomic_load(&id->stop)) {
        (void)pthread_cond_timedwait(&id->wake, &id->lock, &until); // early is no harm
    }
    pthread_mutex_unlock(&id->lock);
    return !atomic_load(&id->stop);
}

static void read_keys(struct identity *id)
{
    struct keys *fresh = NULL;
    struct error err = {0};

    if (keys_load(id->keys_path.ptr, &fresh, &err) != OK) {
        log_event(LOG_LEVEL_ERROR, "keys_not_read", "why=\"%s\"", err.text);
        return;
    }
    log_event(LOG_LEVEL_INFO, "keys_read", "keys=%u", keys_count(fresh));
    keys_unref(atomic_exchange_explicit(&id->fresh_keys, fresh, memory_order_acq_rel));
}

void identity_watch_publish(struct identity *id, struct jwks *fresh)
{
    uint32_t n = 0;

    (void)jwks_keys(fresh, &n);
    log_event(n > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "key_set_read", "usable_keys=%u", n);
    jwks_destroy(atomic_exchange_explicit(&id->fresh_jwks, fresh, memory_order_acq_rel));
}

static void read_jwks(struct identity *id)
{
    struct jwks *fresh = NULL;
    struct error err = {0};

    if (jwks_load(id->jwks_path.ptr, &fresh, &err) != OK) {
        log_event(LOG_LEVEL_ERROR, "key_set_not_read", "why=\"%s\"", err.text);
        return;
    }
    identity_watch_publish(id, fresh);
}

static void read_if_changed(struct identity *id, struct str path, struct look *seen,
                            void (*read)(struct identity *id))
{
    struct look now;

    if (path.len == 0) {
        return;
    }
    look_at(path.ptr, &now);
    if (!same_look(&now, seen)) {
        *seen = now; // before reading: a change meanwhile is seen next time
        read(id);
    }
}

static void *watch(void *user)
{
    struct identity *id = user;
    struct look keys_seen = {.bytes = -1}; // no file looks like that: the first look reads, since
    struct look jwks_seen = {.bytes = -1}; // it may have changed after identity_create read it

    do {
        read_if_changed(id, id->keys_path, &keys_seen, read_keys);
        read_if_changed(id, id->jwks_path, &jwks_seen, read_jwks);
    } while (identity_watch_wait(id, LOOK_INTERVAL_MS));
    return NULL;
}

static enum status start_thread(struct identity *id, pthread_t *thread, bool *runs,
                                void *(*run)(void *user), struct error *err)
{
    int failed = pthread_create(thread, NULL, run, id);

    if (failed != 0) {
        return error_set(err, E_IO, "no thread for the keys: %s", strerror(failed));
    }
    *runs = true;
    return OK;
}

enum status identity_watch_start(struct identity *id, struct error *err)
{
    enum status rc = OK;

    if (id->has_keys_file) {
        rc = keys_load(id->keys_path.ptr, &id->keys, err);
    }
    if (rc == OK && id->jwks_path.len > 0) {
        rc = jwks_load(id->jwks_path.ptr, &id->jwks, err);
    }
    if (rc == OK && (id->has_keys_file || id->jwks_path.len > 0)) {
        rc = start_thread(id, &id->watcher, &id->watcher_runs, watch, err);
    }
    if (rc == OK && id->jwks_url.len > 0) {
        rc = start_thread(id, &id->fetcher, &id->fetcher_runs, identity_fetch_run, err);
    }
    return rc;
}

void identity_watch_stop(struct identity *id)
{
    pthread_mutex_lock(&id->lock);
    atomic_store(&id->stop, true);
    pthread_cond_broadcast(&id->wake);
    pthread_mutex_unlock(&id->lock);
    if (id->watcher_runs) {
        pthread_join(id->watcher, NULL);
    }
    if (id->fetcher_runs) {
        pthread_join(id->fetcher, NULL);
    }
}
