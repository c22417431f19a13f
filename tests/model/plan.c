/* Memory arithmetic: what is chosen, what is refused, and the numbers in the refusal. */
#include "model/plan.h"
#include "base/check.h"
#include "model/host_memory.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB ((uint64_t)1 << 30)

static struct plan_needs needs_of(uint64_t weights_gib, uint32_t kv_per_token)
{
    return (struct plan_needs){.weight_bytes = weights_gib * GIB,
                               .workspace_bytes = GIB / 2,
                               .kv_bytes_per_token = kv_per_token,
                               .max_positions = 32768};
}

static struct model_plan_options options_of(uint64_t memory_gib)
{
    return (struct model_plan_options){.math = MATH_BF16,
                                       .weight_dtype = DTYPE_BF16,
                                       .max_num_seqs = 256,
                                       .max_num_batched_tokens = 2048,
                                       .memory_bytes = memory_gib * GIB,
                                       .available_bytes = memory_gib * GIB};
}

TEST(the_default_cache_is_four_gib_at_most)
{
    struct plan_needs needs = needs_of(18, 40960);
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
    EXPECT_EQ_U32(p.block_tokens, 16);
    EXPECT_EQ_U32(p.kv_blocks, 4 * GIB / (16 * 40960));
    EXPECT_EQ_U64(p.kv_bytes, (uint64_t)p.kv_blocks * 16 * 40960);
    EXPECT_EQ_U64(p.total_bytes, p.weight_bytes + p.workspace_bytes + p.kv_bytes);
    EXPECT_TRUE(p.limit_bytes >= (uint64_t)(0.92 * 64 * (double)GIB));
}

TEST(or_half_of_what_is_left)
{
    struct plan_needs needs = needs_of(18, 40960);
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    o.available_bytes = 22 * GIB; // 3.5 GiB left
    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
    EXPECT_TRUE(p.kv_bytes <= 7 * GIB / 4 && p.kv_bytes > 7 * GIB / 4 - 16 * 40960);
}

TEST(but_never_less_than_one_sequence_if_that_fits)
{
    struct plan_needs needs = needs_of(18, 40960); // 1.25 GiB for 32768 tokens
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    o.available_bytes = 20 * GIB; // 1.5 GiB left, half of it is too little
    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
    EXPECT_EQ_U32(p.kv_blocks, 2048);
}

TEST(and_never_more_than_all_sequences_need)
{
    struct plan_needs needs = needs_of(1, 512);
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    o.max_model_len = 1000;
    o.max_num_seqs = 4;
    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
    EXPECT_EQ_U32(p.kv_blocks, 4 * 63);
}

TEST(what_does_not_fit_is_refused_with_shortfall_and_knobs)
{
    struct plan_needs needs = needs_of(61, 62464);
    struct model_plan_options o = options_of(24);
    struct model_plan p = {.total_bytes = 0};
    struct error err;
    char shortfall[64];

    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_LIMIT);
    EXPECT_TRUE(p.total_bytes > 61 * GIB); // filled in spite of the refusal
    snprintf(shortfall, sizeof(shortfall), "%" PRIu64 " bytes short",
             p.total_bytes - p.limit_bytes);
    EXPECT_CONTAINS(err.text, shortfall);
    EXPECT_CONTAINS(err.text, "--max-model-len");
    EXPECT_CONTAINS(err.text, "--kv-cache-memory-bytes");
    EXPECT_CONTAINS(err.text, "--max-num-seqs");
    EXPECT_CONTAINS(err.text, "--gpu-memory-utilization");
    EXPECT_TRUE(str_find(str_from_c(err.text), STR("--dtype"), 0) == SIZE_MAX);
    o.math = MATH_F32;
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "--dtype bfloat16");
}

TEST(a_too_long_context_is_refused_with_the_length_that_fits)
{
    struct plan_needs needs = needs_of(18, 40960);
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    o.available_bytes = 19 * GIB; // 0.5 GiB left: 13107 tokens
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "--max-model-len (13104 tokens would fit)");
    EXPECT_CONTAINS(err.text, "end other programs");
    o.max_model_len = 13104;
    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
}

TEST(explicit_sizes_are_obeyed_or_refused)
{
    struct plan_needs needs = needs_of(1, 1024);
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    o.max_model_len = 1024;
    o.kv_cache_bytes = 8 * GIB;
    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
    EXPECT_EQ_U64(p.kv_bytes, 8 * GIB);
    o.kv_cache_bytes = 512 * 1024; // 512 tokens
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "--kv-cache-memory-bytes gives a KV cache of 512 tokens");
    EXPECT_CONTAINS(err.text, "at least 1048576 bytes, or lower --max-model-len to 512");
    o.kv_blocks_override = 64;
    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
    EXPECT_EQ_U32(p.kv_blocks, 64);
    o.kv_blocks_override = 63;
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "at least 64 blocks");
}

TEST(wrong_options_are_refused)
{
    struct plan_needs needs = needs_of(1, 1024);
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    o.max_model_len = 32769;
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "at most 32768 positions");
    o.max_model_len = 0;
    o.memory_fraction = 1.5;
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_INVALID);
    o.memory_fraction = -0.5;
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_INVALID);
    o.memory_fraction = 0.0;
    o.kv_blocks_override = UINT32_MAX;
    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_INVALID);
}

TEST(hostile_sizes_do_not_wrap_around)
{
    struct plan_needs needs = {.weight_bytes = UINT64_MAX - 5,
                               .workspace_bytes = 100,
                               .kv_bytes_per_token = UINT64_MAX / 3,
                               .max_positions = 16777216};
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;

    EXPECT_STATUS(plan_compute(&needs, &o, &p, &err), E_LIMIT);
    EXPECT_EQ_U64(p.total_bytes, UINT64_MAX);
}

TEST(the_table_names_every_part)
{
    struct plan_needs needs = needs_of(18, 40960);
    struct model_plan_options o = options_of(64);
    struct model_plan p;
    struct error err;
    struct buf out;

    EXPECT_OK(plan_compute(&needs, &o, &p, &err));
    buf_init(&out, 4096);
    plan_print(&p, &out);
    EXPECT_CONTAINS(buf_c(&out), "weights           19327352832 bytes    18.00 GiB");
    EXPECT_CONTAINS(buf_c(&out), "KV cache");
    EXPECT_CONTAINS(buf_c(&out), "blocks of 16 tokens, 40960 bytes per token");
    buf_done(&out);
}

/* ---- the machine --------------------------------------------------------------------------- */

static void make_dirs(const struct temp_folder *f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char path[512];

        temp_folder_path(f, names[i], path);
        EXPECT_EQ_INT(mkdir(path, 0700), 0);
    }
}

/* Deepest first. */
static void remove_all(const struct temp_folder *f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        temp_folder_remove(f, names[i]);
    }
}

#define MEMINFO "MemTotal:       1048576 kB\nMemFree: 5 kB\nMemAvailable:    524288 kB\n"

TEST(the_limit_of_a_container_counts)
{
    static const char *const dirs[] = {"proc",
                                       "proc/self",
                                       "sys",
                                       "sys/fs",
                                       "sys/fs/cgroup",
                                       "sys/fs/cgroup/a",
                                       "sys/fs/cgroup/a/b"};
    static const char *const all[] = {"sys/fs/cgroup/a/b/memory.stat",
                                      "sys/fs/cgroup/a/b/memory.current",
                                      "sys/fs/cgroup/a/b/memory.max",
                                      "sys/fs/cgroup/a/memory.max",
                                      "sys/fs/cgroup/a/b",
                                      "sys/fs/cgroup/a",
                                      "sys/fs/cgroup",
                                      "sys/fs",
                                      "sys",
                                      "proc/self/cgroup",
                                      "proc/self",
                                      "proc/meminfo",
                                      "proc"};
    struct host_memory m;
    struct temp_folder f;
    struct error err;

    temp_folder_open(&f);
    make_dirs(&f, dirs, ARRAY_COUNT(dirs));
    temp_folder_text(&f, "proc/meminfo", MEMINFO);
    EXPECT_OK(host_memory_read(f.path, &m, &err)); // no cgroup file at all
    EXPECT_EQ_U64(m.total_bytes, GIB);
    EXPECT_EQ_U64(m.available_bytes, GIB / 2);
    temp_folder_text(&f, "proc/self/cgroup", "0::/a/b\n");
    temp_folder_text(&f, "sys/fs/cgroup/a/memory.max", "268435456\n"); // of the group above
    temp_folder_text(&f, "sys/fs/cgroup/a/b/memory.max", "max\n");
    temp_folder_text(&f, "sys/fs/cgroup/a/b/memory.current", "1\n");
    temp_folder_text(&f, "sys/fs/cgroup/a/b/memory.stat", "anon 5\n");
    EXPECT_OK(host_memory_read(f.path, &m, &err));
    EXPECT_EQ_U64(m.total_bytes, GIB / 4);
    EXPECT_EQ_U64(m.available_bytes, GIB / 2);
    temp_folder_text(&f, "sys/fs/cgroup/a/b/memory.max", "134217728\n");
    temp_folder_text(&f, "sys/fs/cgroup/a/b/memory.current", "67108864\n");
    temp_folder_text(&f, "sys/fs/cgroup/a/b/memory.stat",
                     "anon 5\ninactive_file 33554432\nactive_file 1048576\n");
    EXPECT_OK(host_memory_read(f.path, &m, &err));
    EXPECT_EQ_U64(m.total_bytes, 134217728);
    EXPECT_EQ_U64(m.available_bytes, 134217728 - (67108864 - 33554432 - 1048576));
    remove_all(&f, all, ARRAY_COUNT(all));
    temp_folder_close(&f);
}

TEST(version_one_controllers_count_too)
{
    static const char *const dirs[] = {"proc",   "proc/self",     "sys",
                                       "sys/fs", "sys/fs/cgroup", "sys/fs/cgroup/memory"};
    static const char *const all[] = {"sys/fs/cgroup/memory/memory.limit_in_bytes",
                                      "sys/fs/cgroup/memory",
                                      "sys/fs/cgroup",
                                      "sys/fs",
                                      "sys",
                                      "proc/self/cgroup",
                                      "proc/self",
                                      "proc/meminfo",
                                      "proc"};
    struct host_memory m;
    struct temp_folder f;
    struct error err;

    temp_folder_open(&f);
    make_dirs(&f, dirs, ARRAY_COUNT(dirs));
    temp_folder_text(&f, "proc/meminfo", MEMINFO);
    /* the group's own folder is not mounted inside the container, its root is */
    temp_folder_text(&f, "proc/self/cgroup", "12:cpu:/x\n5:memory:/docker/1234\n");
    temp_folder_text(&f, "sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
    EXPECT_OK(host_memory_read(f.path, &m, &err));
    EXPECT_EQ_U64(m.total_bytes, GIB / 2);
    remove_all(&f, all, ARRAY_COUNT(all));
    EXPECT_STATUS(host_memory_read(f.path, &m, &err), E_NOT_FOUND);
    temp_folder_close(&f);
}

TEST(this_machine_has_memory)
{
    struct host_memory m;
    struct error err;

    EXPECT_OK(host_memory_read("", &m, &err));
    EXPECT_TRUE(m.total_bytes > GIB / 8 && m.available_bytes > 0);
}
