#include "base/check.h"
#include "options/option.h"
#include "options/serve_options.h"
#include "support/test.h"

#include <string.h>

/* One parsed command line and what was said about it. */
struct run {
    struct arena *arena;
    struct option_values *v;
    struct option_report report;
    enum status rc;
};

static struct run run_serve(const char *const *words, int n_words)
{
    struct run r = {0};
    char *argv[32];
    char first[] = "serve";

    r.arena = arena_create(1 << 20);
    argv[0] = first;
    for (int i = 0; i < n_words; i++) { // argv must live as long as the values
        const size_t size = strlen(words[i]) + 1;

        argv[i + 1] = arena_alloc(r.arena, size);
        memcpy(argv[i + 1], words[i], size);
    }
    buf_init(&r.report.problems, 65536);
    buf_init(&r.report.warnings, 65536);
    r.rc = option_parse_quiet(&serve_options, n_words + 1, argv, r.arena, &r.v, &r.report);
    return r;
}

#define SERVE(...)                                                                                 \
    run_serve((const char *const[]){__VA_ARGS__},                                                  \
              (int)ARRAY_COUNT(((const char *const[]){__VA_ARGS__})))

static void run_done(struct run *r)
{
    arena_destroy(r->arena);
    buf_done(&r->report.problems);
    buf_done(&r->report.warnings);
}

TEST(defaults_come_from_the_table)
{
    struct run r = run_serve(NULL, 0);

    EXPECT_OK(r.rc);
    EXPECT_EQ_C_STR(option_string(r.v, "host"), "127.0.0.1");
    EXPECT_EQ_U64(option_count(r.v, "port"), 8000);
    EXPECT_NEAR(option_fraction(r.v, "gpu-memory-utilization"), 0.92, 1e-12);
    EXPECT_FALSE(option_is_set(r.v, "port"));
    EXPECT_TRUE(option_positional(r.v) == NULL);
    run_done(&r);
}

TEST(spellings_of_vllm_are_understood)
{
    struct run r =
        SERVE("/models/x", "--max_model_len=32k", "--max-num-batched", "8K", "--served-model-name",
              "glm-5-9b-chat", "glm-5-9b", "--gpu-mem", "0.8", "-tp", "1");
    uint32_t n_names;
    const char *const *names;

    EXPECT_EQ_STR(buf_str(&r.report.problems), STR(""));
    EXPECT_OK(r.rc);
    EXPECT_EQ_U64(option_count(r.v, "max-model-len"), 32000);
    EXPECT_EQ_U64(option_count(r.v, "max-num-batched-tokens"), 8192);
    names = option_strings(r.v, "served-model-name", &n_names);
    EXPECT_EQ_U32(n_names, 2);
    EXPECT_EQ_C_STR(names[1], "glm-5-9b");
    EXPECT_NEAR(option_fraction(r.v, "gpu-memory-utilization"), 0.8, 1e-12);
    EXPECT_EQ_C_STR(option_positional(r.v), "/models/x");
    run_done(&r);
}

TEST(all_problems_are_reported_together)
{
    struct run r = SERVE("--max-modl-len", "4096", "--port", "99999", "--dtype", "int4",
                         "--quantization", "awq", "--tensor-parallel-size", "4");
    struct str all = buf_str(&r.report.problems);

    EXPECT_STATUS(r.rc, E_INVALID);
    EXPECT_TRUE(str_find(all, STR("did you mean --max-model-len?"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_find(all, STR("--port must be between 0 and 65535"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_find(all, STR("--dtype is one of"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_find(all, STR("--quantization is not supported"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_find(all, STR("--tensor-parallel-size: only 1 is supported"), 0) != SIZE_MAX);
    run_done(&r);
}

TEST(flags_without_effect_warn_or_stay_silent)
{
    struct run r = SERVE("--enforce-eager", "--swap-space", "4", "--no-enable-prefix-caching");

    EXPECT_OK(r.rc);
    EXPECT_TRUE(str_find(buf_str(&r.report.warnings), STR("--swap-space has no effect here"), 0) !=
                SIZE_MAX);
    EXPECT_TRUE(str_find(buf_str(&r.report.warnings), STR("enforce-eager"), 0) == SIZE_MAX);
    run_done(&r);
}

TEST(missing_values_and_ambiguous_prefixes_are_refused)
{
    struct run r = SERVE("--max-num", "4", "--port");

    EXPECT_STATUS(r.rc, E_INVALID);
    EXPECT_TRUE(str_find(buf_str(&r.report.problems), STR("could mean several"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_find(buf_str(&r.report.problems), STR("--port needs a value"), 0) != SIZE_MAX);
    run_done(&r);
}

TEST(counts_with_suffixes)
{
    static const struct {
        const char *word;
        enum status rc;
        uint64_t value;
    } cases[] = {
        {"0", OK, 0},
        {"32k", OK, 32000},
        {"32K", OK, 32768},
        {"25.6k", OK, 25600},
        {"1.5K", E_INVALID, 0},
        {"4G", OK, UINT64_C(1) << 32},
        {"-1", E_INVALID, 0},
        {"", E_INVALID, 0},
        {"k", E_INVALID, 0},
        {"12x", E_INVALID, 0},
        {"99999999999999999999", E_LIMIT, 0},
        {"99999999T", E_LIMIT, 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t v = 0;

        EXPECT_STATUS(option_read_count(str_from_c(cases[i].word), &v), cases[i].rc);
        EXPECT_EQ_U64(v, cases[i].value);
    }
}

TEST(help_names_every_honoured_option)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    option_print_help(&serve_options, &out);
    for (uint32_t i = 0; i < serve_options.n_options; i++) {
        EXPECT_TRUE(str_find(buf_str(&out), str_from_c(serve_options.options[i].name), 0) !=
                    SIZE_MAX);
    }
    buf_done(&out);
}
