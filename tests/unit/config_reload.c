/* app/config_reload: SIGHUP puts a good file in force and leaves the last good one otherwise. */
#include "app/config_reload.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS_MAX 20000

#define GOOD                                                                                       \
    "upstreams: [{name: u, url: http://127.0.0.1:1/v1}]\n"                                         \
    "pools: [{name: p, members: [u]}]\n"                                                           \
    "models: [{name: m, pools: [p]}]\n"

struct bench {
    struct temp_folder folder;
    char path[512];
    struct metrics *metrics;
    struct config_reload *reload;
    atomic_uint n_applied;
    atomic_uint last_inflight;
    atomic_bool refuse;
};

static enum status apply(void *user, struct settings *settings, struct error *err)
{
    struct bench *b = user;

    if (atomic_load(&b->refuse)) {
        return error_set(err, E_BUSY, "not now");
    }
    atomic_store(&b->last_inflight, settings->inflight_max);
    config_file_free(settings);
    atomic_fetch_add(&b->n_applied, 1);
    return OK;
}

static void start(struct bench *b)
{
    struct config_reload_options options = {.apply = apply, .user = b};

    memset(b, 0, sizeof(*b));
    temp_folder_open(&b->folder);
    temp_folder_path(&b->folder, "kontor.yaml", b->path);
    temp_folder_text(&b->folder, "kontor.yaml", GOOD);
    b->metrics = metrics_create();
    options.metrics = b->metrics;
    options.sources.file.path = b->path;
    config_reload_prepare();
    EXPECT_OK(config_reload_start(&options, &b->reload));
}

static void stop(struct bench *b)
{
    config_reload_stop(b->reload);
    metrics_destroy(b->metrics);
    temp_folder_close(&b->folder);
}

static bool shows(struct bench *b, const char *line)
{
    struct buf text;
    bool found;

    buf_init(&text, 1 << 16);
    metrics_render(b->metrics, &text);
    found = strstr(buf_c(&text), line) != NULL;
    buf_done(&text);
    return found;
}

/* Sends the signal and waits until the metrics show `line`. */
static void hang_up(struct bench *b, const char *line)
{
    const struct timespec pause = {0, 2000000};

    kill(getpid(), SIGHUP);
    for (int i = 0; i < WAIT_MS_MAX / 2 && !shows(b, line); i++) {
        nanosleep(&pause, NULL);
    }
    if (!shows(b, line)) {
        FAIL("the metrics never showed %s", line);
    }
}

TEST(a_good_file_is_put_in_force_and_a_bad_one_is_not)
{
    struct bench b;

    start(&b);
    EXPECT_TRUE(shows(&b, "kontor_config_generation 1.0\n"));
    EXPECT_TRUE(shows(&b, "kontor_config_last_reload_successful 1.0\n"));
    temp_folder_text(&b.folder, "kontor.yaml", GOOD "server: {inflight: 77}\n");
    hang_up(&b, "kontor_config_generation 2.0\n");
    EXPECT_EQ_U32(atomic_load(&b.last_inflight), 77);
    EXPECT_TRUE(shows(&b, "kontor_config_reloads_total{result=\"ok\"} 1.0\n"));

    temp_folder_text(&b.folder, "kontor.yaml", GOOD "server: {inflight: many}\nzzz: 1\n");
    hang_up(&b, "kontor_config_reloads_total{result=\"failed\"} 1.0\n");
    EXPECT_TRUE(shows(&b, "kontor_config_last_reload_successful 0.0\n"));
    EXPECT_TRUE(shows(&b, "kontor_config_generation 2.0\n"));
    EXPECT_EQ_U32(atomic_load(&b.n_applied), 1);

    temp_folder_text(&b.folder, "kontor.yaml", GOOD "server: {inflight: 78}\n");
    atomic_store(&b.refuse, true);
    hang_up(&b, "kontor_config_reloads_total{result=\"failed\"} 2.0\n");
    atomic_store(&b.refuse, false);
    hang_up(&b, "kontor_config_generation 3.0\n");
    EXPECT_EQ_U32(atomic_load(&b.last_inflight), 78);
    EXPECT_TRUE(shows(&b, "kontor_config_last_reload_successful 1.0\n"));
    stop(&b);
}

TEST(a_missing_file_keeps_the_last_good_one)
{
    struct bench b;

    start(&b);
    temp_folder_remove(&b.folder, "kontor.yaml");
    hang_up(&b, "kontor_config_reloads_total{result=\"failed\"} 1.0\n");
    EXPECT_EQ_U32(atomic_load(&b.n_applied), 0);
    stop(&b);
}

TEST(stop_without_a_signal_ends)
{
    struct bench b;

    start(&b);
    stop(&b);
    config_reload_stop(NULL);
}
