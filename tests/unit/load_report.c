#include "gateway/load_report.h"
#include "support/guard.h"
#include "support/test.h"

#include <string.h>

static const char metrics[] =
    "# HELP vllm:num_requests_running x\n# TYPE vllm:num_requests_running gauge\n"
    "vllm:num_requests_running{engine=\"0\",model_name=\"a}b\"} 3.0\n"
    "vllm:num_requests_running{engine=\"1\"} 2.0 1700000000\n"
    "vllm:num_requests_waiting 7\r\n"
    "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 99\n"
    "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.5\n"
    "vllm:num_requests_running{engine=\"2\"} NaN\nvllm:num_requests_running\n";

TEST(numbers_of_all_engines_are_put_together)
{
    const struct load_report r = load_report_metrics(str_from_c(metrics));

    EXPECT_TRUE(r.known);
    EXPECT_NEAR(r.running, 5.0, 0.0);
    EXPECT_NEAR(r.waiting, 7.0, 0.0);
    EXPECT_NEAR(r.kv_use, 0.5, 0.0);
}

TEST(the_former_name_and_nothing_at_all)
{
    EXPECT_NEAR(load_report_metrics(STR("vllm:gpu_cache_usage_perc 0.75\n")).kv_use, 0.75, 0.0);
    EXPECT_FALSE(load_report_metrics(STR("up 1\n\n\n")).known);
    EXPECT_FALSE(load_report_metrics(STR("")).known);
}

TEST(every_prefix_is_read_without_reading_on)
{
    for (size_t len = 0; len < sizeof(metrics); len++) {
        struct guard g = guard_copy((struct str){metrics, len});

        (void)load_report_metrics(g.text);
        (void)load_report_utilization(g.text);
        guard_done(&g);
    }
}

TEST(utilisation_is_a_mean)
{
    EXPECT_NEAR(load_report_utilization(
                    STR("{\"status\":\"healthy\",\"gpu_utilization\":[80,90]}")),
                85.0, 0.0);
    EXPECT_TRUE(load_report_utilization(STR("{\"gpu_utilization\":[]}")) < 0);
    EXPECT_TRUE(load_report_utilization(STR("")) < 0);
    EXPECT_TRUE(load_report_utilization(STR("{\"gpu_utilization\":3}")) < 0);
    EXPECT_TRUE(load_report_utilization(STR("[1]")) < 0);
}
