#include "base/metrics.h"
#include "support/test.h"

#include <pthread.h>

static struct metric_series *counter(struct metrics *m, const char *name, const char *labels)
{
    return metrics_series(m, METRIC_COUNTER, name, labels, "Help.", NULL, 0);
}

TEST(families_render_in_order_of_declaration)
{
    static const double bounds[] = {0.1, 1.0, 10.0};
    struct metrics *m = metrics_create();
    struct metric_series *a = counter(m, "z_total", "code=\"200\"");
    struct metric_series *g =
        metrics_series(m, METRIC_GAUGE, "running", "", "Two\nlines \\ here", NULL, 0);
    struct metric_series *h =
        metrics_series(m, METRIC_HISTOGRAM, "seconds", "m=\"x\"", "Time.", bounds, 3);
    struct metric_series *b = counter(m, "z_total", "code=\"500\"");
    struct buf out;

    buf_init(&out, 10000);
    metrics_add(a, 2.0);
    metrics_add(b, 0.5);
    metrics_set(g, 7.0);
    metrics_add(g, -3.0);
    metrics_observe(h, 0.1); // a bound belongs to its bucket
    metrics_observe(h, 0.5);
    metrics_observe(h, 100.0);
    metrics_render(m, &out);
    EXPECT_EQ_STR(buf_str(&out), STR("# HELP z_total Help.\n"
                                     "# TYPE z_total counter\n"
                                     "z_total{code=\"200\"} 2.0\n"
                                     "z_total{code=\"500\"} 0.5\n"
                                     "# HELP running Two\\nlines \\\\ here\n"
                                     "# TYPE running gauge\n"
                                     "running 4.0\n"
                                     "# HELP seconds Time.\n"
                                     "# TYPE seconds histogram\n"
                                     "seconds_bucket{m=\"x\",le=\"0.1\"} 1.0\n"
                                     "seconds_bucket{m=\"x\",le=\"1.0\"} 2.0\n"
                                     "seconds_bucket{m=\"x\",le=\"10.0\"} 2.0\n"
                                     "seconds_bucket{m=\"x\",le=\"+Inf\"} 3.0\n"
                                     "seconds_sum{m=\"x\"} 100.6\n"
                                     "seconds_count{m=\"x\"} 3.0\n"));
    EXPECT_NEAR(metrics_value(h), 3.0, 0.0);
    EXPECT_NEAR(metrics_value(g), 4.0, 0.0);
    buf_done(&out);
    metrics_destroy(m);
    metrics_destroy(NULL);
}

TEST(label_values_are_escaped)
{
    struct buf out;

    buf_init(&out, 100);
    metrics_escape_label(&out, STR("a\"b\\c\nd"));
    EXPECT_EQ_STR(buf_str(&out), STR("a\\\"b\\\\c\\nd"));
    buf_done(&out);
}

#define N_THREADS 4
#define N_ADDS 50000

struct adder {
    struct metric_series *counter;
    struct metric_series *histogram;
};

static void *add_many(void *arg)
{
    struct adder *adder = arg;

    for (int i = 0; i < N_ADDS; i++) {
        metrics_add(adder->counter, 1.0);
        metrics_observe(adder->histogram, (double)(i % 4));
    }
    return NULL;
}

TEST(no_update_is_lost_between_threads)
{
    static const double bounds[] = {0.0, 1.0, 2.0};
    struct metrics *m = metrics_create();
    struct adder adder = {
        .counter = counter(m, "n", ""),
        .histogram = metrics_series(m, METRIC_HISTOGRAM, "h", "", "Help.", bounds, 3),
    };
    pthread_t threads[N_THREADS];
    struct buf out;

    buf_init(&out, 100000);
    for (int i = 0; i < N_THREADS; i++) {
        EXPECT_EQ_INT(pthread_create(&threads[i], NULL, add_many, &adder), 0);
    }
    for (int i = 0; i < 20; i++) {
        buf_reset(&out);
        metrics_render(m, &out); // while they write
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    EXPECT_OK(buf_status(&out));
    EXPECT_NEAR(metrics_value(adder.counter), (double)(N_THREADS * N_ADDS), 0.0);
    EXPECT_NEAR(metrics_value(adder.histogram), (double)(N_THREADS * N_ADDS), 0.0);
    buf_done(&out);
    metrics_destroy(m);
}
