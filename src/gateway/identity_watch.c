/* The watching thread: looks at the key file four times a second and reads it when it changed. */
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

/* Waits; false when it is time to stop. */
static bool wait_next(struct identity *id)
{
    struct timespec until;
    bool go_on;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_INTERVAL_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&id->lock);
    while (!id->stop && pthread_cond_timedwait(&id->wake, &id->lock, &until) != ETIMEDOUT) {
    }
    go_on = !id->stop;
    pthread_mutex_unlock(&id->lock);
    return go_on;
}

static void read_again(struct identity *id)
{
    struct keys *fresh = NULL;
    struct error err = {0};

    if (keys_load(id->keys_path.ptr, &fresh, &err) != OK) {
        log_event(LOG_LEVEL_ERROR, "keys_not_read", "why=\"%s\"", err.text);
        return;
    }
    log_event(LOG_LEVEL_INFO, "keys_read", "keys=%u", keys_count(fresh));
    keys_unref(atomic_exchange_explicit(&id->fresh, fresh, memory_order_acq_rel));
}

static void *watch(void *user)
{
    struct identity *id = user;
    struct look seen;
    struct look now;

    look_at(id->keys_path.ptr, &seen);
    read_again(id); // the file may have changed since the first reading
    while (wait_next(id)) {
        look_at(id->keys_path.ptr, &now);
        if (memcmp(&now, &seen, sizeof(now)) != 0) {
            seen = now; // before reading: a change meanwhile is seen next time
            read_again(id);
        }
    }
    return NULL;
}

enum status identity_watch_start(struct identity *id, struct error *err)
{
    int failed;
    enum status rc;

    if (!id->has_keys_file) {
        return OK;
    }
    rc = keys_load(id->keys_path.ptr, &id->keys, err);
    if (rc != OK) {
        return rc;
    }
    failed = pthread_create(&id->thread, NULL, watch, id);
    if (failed != 0) {
        return error_set(err, E_IO, "no thread for the key file: %s", strerror(failed));
    }
    id->thread_runs = true;
    return OK;
}

void identity_watch_stop(struct identity *id)
{
    if (!id->thread_runs) {
        return;
    }
    pthread_mutex_lock(&id->lock);
    id->stop = true;
    pthread_cond_signal(&id->wake);
    pthread_mutex_unlock(&id->lock);
    pthread_join(id->thread, NULL);
    id->thread_runs = false;
}
