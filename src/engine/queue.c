#include "engine/queue.h"
#include "base/check.h"
#include "engine/engine_internal.h"

#include <stdlib.h>

struct list {
    struct engine_ticket *first;
    struct engine_ticket *last;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t prep_wake; // PREP got a ticket, or stop_prep
    pthread_cond_t step_wake; // `woken`
    uint32_t n_max;           // immutable

    /* Under the lock. */
    struct list prep;
    struct list ready;
    uint32_t n_waiting; // PREP + IN_PREP + READY
    uint64_t n_submitted;
    bool closed;
    bool stop_prep;
    bool woken;
};

enum status queue_create(uint32_t n_max, struct queue **ret_queue)
{
    struct queue *q = calloc(1, sizeof(*q));

    if (q == NULL) {
        return E_NO_MEMORY;
    }
    CHECK(n_max >= 1);
    CHECK(pthread_mutex_init(&q->lock, NULL) == 0);
    CHECK(pthread_cond_init(&q->prep_wake, NULL) == 0);
    CHECK(pthread_cond_init(&q->step_wake, NULL) == 0);
    q->n_max = n_max;
    *ret_queue = q;
    return OK;
}

void queue_destroy(struct queue *q)
{
    if (q == NULL) {
        return;
    }
    CHECK(q->n_waiting == 0);
    pthread_cond_destroy(&q->step_wake);
    pthread_cond_destroy(&q->prep_wake);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static void list_push(struct list *l, struct engine_ticket *t)
{
    t->link.next = NULL;
    if (l->last == NULL) {
        l->first = t;
    } else {
        l->last->link.next = t;
    }
    l->last = t;
}

/* Take out `t`, whose predecessor is `before` (NULL: it is the first). */
static void list_remove(struct list *l, struct engine_ticket *before, struct engine_ticket *t)
{
    if (before == NULL) {
        l->first = t->link.next;
    } else {
        before->link.next = t->link.next;
    }
    if (l->last == t) {
        l->last = before;
    }
    t->link.next = NULL;
}

static void move_locked(struct engine_ticket *t, enum queue_state from, enum queue_state to)
{
    CHECK(t->link.state == from);
    t->link.state = to;
}

static void wake_step_locked(struct queue *q)
{
    q->woken = true;
    pthread_cond_signal(&q->step_wake);
}

static void leave_locked(struct queue *q, struct engine_ticket *t, enum queue_state from)
{
    move_locked(t, from, QUEUE_GONE);
    CHECK(q->n_waiting > 0);
    q->n_waiting--;
}

enum status queue_submit(struct queue *q, struct engine_ticket *t)
{
    enum status rc = OK;

    pthread_mutex_lock(&q->lock);
    if (q->closed) {
        rc = E_CLOSED;
    } else if (q->n_waiting >= q->n_max) {
        rc = E_LIMIT;
    } else {
        move_locked(t, QUEUE_NEW, QUEUE_PREP);
        t->number = q->n_submitted++;
        q->n_waiting++;
        list_push(&q->prep, t);
        pthread_cond_signal(&q->prep_wake);
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_mutex_unlock(&q->lock);
}

bool queue_is_closed(struct queue *q)
{
    bool closed;

    pthread_mutex_lock(&q->lock);
    closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

uint32_t queue_count(struct queue *q)
{
    uint32_t n;

    pthread_mutex_lock(&q->lock);
    n = q->n_waiting;
    pthread_mutex_unlock(&q->lock);
    return n;
}

struct engine_ticket *queue_next_prep(struct queue *q, bool wait)
{
    struct engine_ticket *t;

    pthread_mutex_lock(&q->lock);
    while (wait && q->prep.first == NULL && !q->stop_prep) {
        pthread_cond_wait(&q->prep_wake, &q->lock);
    }
    t = q->prep.first;
    if (t != NULL) {
        list_remove(&q->prep, NULL, t);
        move_locked(t, QUEUE_PREP, QUEUE_IN_PREP);
    }
    pthread_mutex_unlock(&q->lock);
    return t;
}

void queue_ready(struct queue *q, struct engine_ticket *t)
{
    pthread_mutex_lock(&q->lock);
    move_locked(t, QUEUE_IN_PREP, QUEUE_READY);
    list_push(&q->ready, t);
    wake_step_locked(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_drop(struct queue *q, struct engine_ticket *t)
{
    pthread_mutex_lock(&q->lock);
    leave_locked(q, t, QUEUE_IN_PREP);
    pthread_mutex_unlock(&q->lock);
}

void queue_stop_prep(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->stop_prep = true;
    pthread_cond_broadcast(&q->prep_wake);
    pthread_mutex_unlock(&q->lock);
}

struct engine_ticket *queue_peek(struct queue *q)
{
    struct engine_ticket *t;

    pthread_mutex_lock(&q->lock);
    t = q->ready.first;
    pthread_mutex_unlock(&q->lock);
    return t;
}

void queue_pop(struct queue *q, struct engine_ticket *t)
{
    pthread_mutex_lock(&q->lock);
    CHECK(q->ready.first == t);
    list_remove(&q->ready, NULL, t);
    leave_locked(q, t, QUEUE_READY);
    pthread_mutex_unlock(&q->lock);
}

struct engine_ticket *queue_pop_cancelled(struct queue *q, bool all)
{
    struct engine_ticket *before = NULL;
    struct engine_ticket *t;

    pthread_mutex_lock(&q->lock);
    t = q->ready.first;
    while (t != NULL && !all && !atomic_load(&t->cancelled)) {
        before = t;
        t = t->link.next;
    }
    if (t != NULL) {
        list_remove(&q->ready, before, t);
        leave_locked(q, t, QUEUE_READY);
    }
    pthread_mutex_unlock(&q->lock);
    return t;
}

void queue_wait(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (!q->woken) {
        pthread_cond_wait(&q->step_wake, &q->lock);
    }
    q->woken = false;
    pthread_mutex_unlock(&q->lock);
}

void queue_wake(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    wake_step_locked(q);
    pthread_mutex_unlock(&q->lock);
}
