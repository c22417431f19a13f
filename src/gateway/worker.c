/* worker.c - one thread for work that would hold up the loop (tokenising long texts). */
#include "base/check.h"
#include "gateway/gateway_internal.h"

#include <pthread.h>
#include <stdlib.h>

#define JOBS_MAX 256 // posted and not yet reported

struct worker {
    struct mailbox *in;  // jobs to do
    struct mailbox *out; // jobs done
    struct loop_watch watch;
    pthread_t thread;
    uint32_t n_pending; // loop: posted and not reported, so that `out` never overflows
};

static void *run(void *user)
{
    struct worker *w = user;
    struct worker_job job;

    while (mailbox_receive(w->in, UINT32_MAX, &job) == OK) {
        job.work(job.user);
        CHECK(mailbox_try_send(w->out, &job) == OK);
    }
    return NULL;
}

static void report(struct worker *w)
{
    struct worker_job job;

    while (mailbox_try_receive(w->out, &job) == OK) {
        w->n_pending--;
        job.done(job.user);
    }
}

static void on_done(void *user, unsigned what)
{
    (void)what;
    report(user);
}

enum status worker_create(struct loop *loop, struct worker **ret_worker, struct error *err)
{
    struct worker *w = calloc(1, sizeof(*w));
    enum status rc = E_NO_MEMORY;

    if (w == NULL) {
        goto out;
    }
    rc = mailbox_create(sizeof(struct worker_job), JOBS_MAX, &w->in);
    if (rc == OK) {
        rc = mailbox_create(sizeof(struct worker_job), JOBS_MAX, &w->out);
    }
    if (rc != OK) {
        goto out;
    }
    w->watch.on_ready = on_done;
    w->watch.user = w;
    rc = loop_watch_level(loop, &w->watch, mailbox_fd(w->out));
    if (rc == OK && pthread_create(&w->thread, NULL, run, w) != 0) {
        rc = E_IO;
    }
    if (rc == OK) {
        *ret_worker = w;
        return OK;
    }
    loop_watch_stop(&w->watch);
out:
    if (w != NULL) {
        mailbox_destroy(w->in);
        mailbox_destroy(w->out);
    }
    free(w);
    return error_set(err, rc, "Cannot start the worker thread.");
}

void worker_destroy(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    mailbox_close(w->in);
    pthread_join(w->thread, NULL);
    report(w);
    loop_watch_stop(&w->watch);
    mailbox_destroy(w->in);
    mailbox_destroy(w->out);
    free(w);
}

enum status worker_post(struct worker *w, const struct worker_job *job)
{
    enum status rc;

    if (w->n_pending == JOBS_MAX) {
        return E_LIMIT;
    }
    rc = mailbox_try_send(w->in, job);
    w->n_pending += rc == OK;
    return rc;
}
