#include "app/engine_loader.h"
#include "app/command.h"
#include "base/check.h"

#include <stdio.h>
#include <unistd.h>

void engine_loader_prepare(struct engine_loader *l, struct engine_config *config)
{
    progress_init(&l->progress);
    config->on_progress = progress_show;
    config->user = &l->progress;
    l->config = config;
}

static void *load_main(void *user)
{
    struct engine_loader *l = user;
    struct error err = {0};
    enum status rc = engine_create(l->config, &l->engine, &err);

    progress_finish(&l->progress);
    if (rc == OK) {
        gateway_set_engine(l->gateway, l->engine);
    } else {
        gateway_fail(l->gateway, &err);
    }
    atomic_store(&l->finished, true);
    return NULL;
}

void engine_loader_start(struct engine_loader *l, struct gateway *gateway)
{
    int failed;

    l->gateway = gateway;
    failed = pthread_create(&l->thread, NULL, load_main, l);
    CHECK(failed == 0);
    l->runs = true;
}

void engine_loader_finish(struct engine_loader *l)
{
    if (!l->runs) {
        return;
    }
    if (!atomic_load(&l->finished)) {
        fflush(NULL);
        _exit(EXIT_CODE_OK); // stopped by a signal in mid-load
    }
    pthread_join(l->thread, NULL);
    engine_destroy(l->engine);
}
