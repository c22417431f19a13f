#include "devices/devices_sampler.h"
#include "base/check.h"
#include "devices/devices_meters.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LABELS_BYTES_MAX 4096
#define CALL_TIMEOUT_MS 2000 // shorter than a look by hand: a shutdown waits for it

struct devices_sampler {
    struct devices_options options; // immutable
    uint32_t period_ms;             // immutable
    struct devices_report *report;  // owned; sampler thread only, after the first look
    uint32_t n_cards;               // immutable: cards of the first look
    /* [DEVICES_CARDS_MAX][DEVICES_METERS_COUNT]; immutable pointers, NULL: no such series */
    struct metric_series *series[DEVICES_CARDS_MAX][DEVICES_METERS_COUNT];
    char key[DEVICES_CARDS_MAX][DEVICES_NAME_MAX]; // immutable: UUID or bus id of the first look
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop_asked; // CLOCK_MONOTONIC
    struct {
        bool stop;
        double percent[DEVICES_CARDS_MAX];
    } shared; // under lock
};

static void card_key(const struct devices_card *c, char to[DEVICES_NAME_MAX])
{
    const char *key = c->uuid[0] != '\0' ? c->uuid : c->bus_id;
    size_t n = strnlen(key, DEVICES_NAME_MAX - 1);

    memcpy(to, key, n);
    to[n] = '\0';
}

/* The card of the first look that this one is: by UUID or bus id, else by place. */
static uint32_t find_card(const struct devices_sampler *s, uint32_t place)
{
    char key[DEVICES_NAME_MAX];

    card_key(&s->report->cards[place], key);
    for (uint32_t i = 0; i < s->n_cards; i++) {
        if (key[0] != '\0' && strcmp(key, s->key[i]) == 0) {
            return i;
        }
    }
    return key[0] == '\0' ? place : UINT32_MAX;
}

/* Cards that are gone, or whose reading is, become NAN; a card that came later is not shown. */
static void publish(struct devices_sampler *s)
{
    double values[DEVICES_CARDS_MAX][DEVICES_METERS_COUNT];
    double percent[DEVICES_CARDS_MAX];

    for (uint32_t i = 0; i < s->n_cards; i++) {
        percent[i] = (double)NAN;
        for (uint32_t k = 0; k < DEVICES_METERS_COUNT; k++) {
            values[i][k] = (double)NAN;
        }
    }
    for (uint32_t place = 0; place < s->report->n_cards; place++) {
        uint32_t i = find_card(s, place);

        for (uint32_t k = 0; i < s->n_cards && k < DEVICES_METERS_COUNT; k++) {
            values[i][k] = devices_meters_at(k)->value(&s->report->cards[place]);
            percent[i] = s->report->cards[place].utilization_percent;
        }
    }
    for (uint32_t i = 0; i < s->n_cards; i++) {
        for (uint32_t k = 0; k < DEVICES_METERS_COUNT; k++) {
            if (s->series[i][k] != NULL) {
                metrics_set(s->series[i][k], values[i][k]);
            }
        }
    }
    pthread_mutex_lock(&s->lock);
    memcpy(s->shared.percent, percent, s->n_cards * sizeof(percent[0]));
    pthread_mutex_unlock(&s->lock);
}

/* Lock held; true when it is time to end. */
static bool sleep_or_stop(struct devices_sampler *s)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += s->period_ms / 1000;
    until.tv_nsec += (long)(s->period_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!s->shared.stop) {
        if (pthread_cond_timedwait(&s->stop_asked, &s->lock, &until) != 0) {
            break;
        }
    }
    return s->shared.stop;
}

static void *sampler_main(void *user)
{
    struct devices_sampler *s = user;

    for (;;) {
        bool stop;

        pthread_mutex_lock(&s->lock);
        stop = sleep_or_stop(s);
        pthread_mutex_unlock(&s->lock);
        if (stop) {
            return NULL;
        }
        devices_scan(&s->options, s->report);
        publish(s);
    }
}

/* Only readings that the first look knew get a series: the others would be NaN for ever. */
static void declare(struct devices_sampler *s, struct metrics *metrics)
{
    struct buf labels;

    buf_init(&labels, LABELS_BYTES_MAX);
    for (uint32_t k = 0; k < DEVICES_METERS_COUNT; k++) {
        const struct devices_meter *m = devices_meters_at(k);

        for (uint32_t i = 0; i < s->n_cards; i++) {
            if (isnan(m->value(&s->report->cards[i]))) {
                continue;
            }
            buf_reset(&labels);
            devices_meters_labels(&s->report->cards[i], &labels);
            CHECK(buf_status(&labels) == OK);
            s->series[i][k] =
                metrics_series(metrics, METRIC_GAUGE, m->name, buf_c(&labels), m->help, NULL, 0);
        }
    }
    buf_done(&labels);
}

static void start_thread(struct devices_sampler *s)
{
    pthread_condattr_t attr;
    sigset_t all;
    sigset_t before;
    int failed;

    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->stop_asked, &attr);
    pthread_condattr_destroy(&attr);
    publish(s);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the loop's
    failed = pthread_create(&s->thread, NULL, sampler_main, s);
    CHECK(failed == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct devices_sampler *devices_sampler_create(const struct devices_options *options,
                                               uint32_t period_ms, struct metrics *metrics)
{
    struct devices_sampler *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->report = calloc(1, sizeof(*s->report));
    CHECK(s->report != NULL);
    s->options = *options;
    if (s->options.call_timeout_ms == 0) {
        s->options.call_timeout_ms = CALL_TIMEOUT_MS;
        s->options.tool_timeout_ms = 2 * CALL_TIMEOUT_MS;
    }
    s->period_ms = period_ms;
    devices_scan(&s->options, s->report);
    s->n_cards = s->report->n_cards;
    if (s->n_cards == 0) {
        free(s->report);
        free(s);
        return NULL;
    }
    for (uint32_t i = 0; i < s->n_cards; i++) {
        card_key(&s->report->cards[i], s->key[i]);
    }
    if (metrics != NULL) {
        declare(s, metrics);
    }
    start_thread(s);
    return s;
}

uint32_t devices_sampler_utilization(struct devices_sampler *s, double *ret_percent, uint32_t cap)
{
    uint32_t n = s->n_cards < cap ? s->n_cards : cap;

    pthread_mutex_lock(&s->lock);
    memcpy(ret_percent, s->shared.percent, n * sizeof(*ret_percent));
    pthread_mutex_unlock(&s->lock);
    return n;
}

void devices_sampler_destroy(struct devices_sampler *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->shared.stop = true;
    pthread_cond_signal(&s->stop_asked);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->stop_asked);
    pthread_mutex_destroy(&s->lock);
    free(s->report);
    free(s);
}
