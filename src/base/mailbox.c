#include "base/mailbox.h"
#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Shared by senders and the receiver; every field below `lock` is read and written under it.
 * The eventfd holds 1 exactly while count > 0: both change under the lock, so a level-triggered
 * loop neither misses an item nor spins. */
struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t arrived; // signalled on send and close; CLOCK_MONOTONIC
    size_t item_bytes;      // immutable
    uint32_t cap;           // immutable
    int fd;                 // immutable, owned
    bool closed;
    uint32_t count;
    uint32_t first;
    unsigned char *items; // owned, [cap] ring
};

enum status mailbox_create(size_t item_bytes, uint32_t cap, struct mailbox **ret_box)
{
    struct mailbox *box = calloc(1, sizeof(*box));
    pthread_condattr_t attr;

    CHECK(item_bytes > 0 && cap > 0);
    if (box == NULL) {
        return E_NO_MEMORY;
    }
    box->items = calloc(cap, item_bytes);
    box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->items == NULL || box->fd < 0) {
        enum status rc = box->items == NULL ? E_NO_MEMORY : E_IO;

        if (box->fd >= 0) {
            close(box->fd);
        }
        free(box->items);
        free(box);
        return rc;
    }
    box->item_bytes = item_bytes;
    box->cap = cap;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&box->arrived, &attr) == 0);
    CHECK(pthread_mutex_init(&box->lock, NULL) == 0);
    pthread_condattr_destroy(&attr);
    *ret_box = box;
    return OK;
}

void mailbox_destroy(struct mailbox *box)
{
    if (box == NULL) {
        return;
    }
    pthread_mutex_destroy(&box->lock);
    pthread_cond_destroy(&box->arrived);
    close(box->fd);
    free(box->items);
    free(box);
}

static unsigned char *slot(struct mailbox *box, uint32_t offset)
{
    uint32_t idx = (uint32_t)(((uint64_t)box->first + offset) % box->cap);

    return box->items + (size_t)idx * box->item_bytes;
}

static void set_readable(struct mailbox *box)
{
    const uint64_t one = 1;

    CHECK(write(box->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void clear_readable(struct mailbox *box)
{
    uint64_t value;

    CHECK(read(box->fd, &value, sizeof(value)) == (ssize_t)sizeof(value));
}

enum status mailbox_try_send(struct mailbox *box, const void *item)
{
    enum status rc = OK;

    pthread_mutex_lock(&box->lock);
    if (box->closed) {
        rc = E_CLOSED;
    } else if (box->count == box->cap) {
        rc = E_LIMIT;
    } else {
        memcpy(slot(box, box->count), item, box->item_bytes);
        box->count++;
        if (box->count == 1) {
            set_readable(box);
        }
        pthread_cond_signal(&box->arrived);
    }
    pthread_mutex_unlock(&box->lock);
    return rc;
}

static enum status receive_locked(struct mailbox *box, void *ret_item)
{
    if (box->count == 0) {
        return box->closed ? E_CLOSED : E_AGAIN;
    }
    memcpy(ret_item, slot(box, 0), box->item_bytes);
    box->first = (box->first + 1) % box->cap;
    box->count--;
    if (box->count == 0) {
        clear_readable(box);
    }
    return OK;
}

enum status mailbox_try_receive(struct mailbox *box, void *ret_item)
{
    enum status rc;

    pthread_mutex_lock(&box->lock);
    rc = receive_locked(box, ret_item);
    pthread_mutex_unlock(&box->lock);
    return rc;
}

static struct timespec deadline_after(uint32_t timeout_ms)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += timeout_ms / 1000;
    ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

enum status mailbox_receive(struct mailbox *box, uint32_t timeout_ms, void *ret_item)
{
    struct timespec deadline = deadline_after(timeout_ms);
    enum status rc;
    int wait_rc = 0;

    pthread_mutex_lock(&box->lock);
    rc = receive_locked(box, ret_item);
    while (rc == E_AGAIN && wait_rc != ETIMEDOUT) {
        if (timeout_ms == UINT32_MAX) {
            wait_rc = pthread_cond_wait(&box->arrived, &box->lock);
        } else {
            wait_rc = pthread_cond_timedwait(&box->arrived, &box->lock, &deadline);
        }
        rc = receive_locked(box, ret_item);
    }
    pthread_mutex_unlock(&box->lock);
    return rc == E_AGAIN ? E_TIMEOUT : rc;
}

void mailbox_close(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    pthread_cond_broadcast(&box->arrived);
    pthread_mutex_unlock(&box->lock);
}

int mailbox_fd(const struct mailbox *box)
{
    return box->fd;
}

uint32_t mailbox_count(struct mailbox *box)
{
    uint32_t count;

    pthread_mutex_lock(&box->lock);
    count = box->count;
    pthread_mutex_unlock(&box->lock);
    return count;
}
