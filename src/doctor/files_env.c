/* Environment variables: names that nobody reads, units, key lists, placeholders. */
#include "base/check.h"
#include "doctor/files_internal.h"

#include <string.h>

static bool is_name_byte(char ch, bool first)
{
    return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || ch == '_' ||
           (!first && ch >= '0' && ch <= '9');
}

bool files_env_split(struct str word, struct str *ret_name, struct str *ret_value)
{
    size_t eq = str_find_byte(word, '=', 0);

    if (eq == SIZE_MAX || eq == 0) {
        return false;
    }
    for (size_t i = 0; i < eq; i++) {
        if (!is_name_byte(word.ptr[i], i == 0)) {
            return false;
        }
    }
    *ret_name = str_slice(word, 0, eq);
    *ret_value = str_slice(word, eq + 1, word.len);
    return true;
}

uint32_t files_env_vendor(struct str name)
{
    static const struct {
        const char *prefix;
        uint32_t vendor;
    } prefixes[] = {
        {"ASCEND_", VENDOR_ASCEND},
        {"HCCL_", VENDOR_ASCEND},
        {"PYTORCH_NPU_", VENDOR_ASCEND},
        {"VLLM_ASCEND_", VENDOR_ASCEND},
        {"NPU_", VENDOR_ASCEND},
        {"MINDIE_", VENDOR_ASCEND},
        {"MIES_", VENDOR_ASCEND},
        {"ATB_", VENDOR_ASCEND},
        {"CUDA_", VENDOR_NVIDIA},
        {"NVIDIA_", VENDOR_NVIDIA},
        {"PYTORCH_CUDA_", VENDOR_NVIDIA},
        {"MLU_", VENDOR_CAMBRICON},
        {"CAMBRICON_", VENDOR_CAMBRICON},
        {"NEUWARE_", VENDOR_CAMBRICON},
        {"CNCL_", VENDOR_CAMBRICON},
        {"MUSA_", VENDOR_MTHREADS},
        {"MTHREADS_", VENDOR_MTHREADS},
        {"MCCL_", VENDOR_MTHREADS},
        {"PYTORCH_MUSA_", VENDOR_MTHREADS},
    };

    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        if (str_starts(name, str_from_c(prefixes[i].prefix))) {
            return prefixes[i].vendor;
        }
    }
    return 0;
}

const struct files_env *files_env_find(const struct files_env *env, uint32_t n, const char *name)
{
    const struct files_env *found = NULL;

    for (uint32_t i = 0; i < n; i++) {
        if (str_eq(env[i].name, str_from_c(name))) {
            found = &env[i]; // the last one counts
        }
    }
    return found;
}

static bool named(const struct files_env *e, const char *name)
{
    return str_eq(e->name, str_from_c(name));
}

/* Quotes that nobody takes away. */
static void check_quotes(struct files_ctx *c, const struct files_env *e)
{
    struct str v = e->value;
    char q = v.len >= 2 ? v.ptr[0] : 0;

    if (!e->keeps_quot || (q != '"' && q != '\'') || v.ptr[v.len - 1] != q) {
        return;
    }
    files_wrong(c, e->at, "env-quotes",
                files_text(c, "the quotes become part of %.*s", STR_ARG(e->name)),
                STR("In this form nothing removes the quotes: the program receives them as the "
                    "first and last character, so paths are not found and keys do not match."),
                STR("Write the value without quotes, or put the quotes around the whole item "
                    "(\"NAME=value\")."));
    files_replace(c, e->begin, e->end, str_slice(v, 1, v.len - 1));
}

static void check_alloc_conf(struct files_ctx *c, const struct files_env *e)
{
    static const char *const keys[] = {
        "max_split_size_mb",
        "garbage_collection_threshold",
        "roundup_power2_divisions",
        "expandable_segments",
        "backend",
        "roundup_bypass_threshold_mb",
        "pinned_use_cuda_host_register",
        "pinned_num_register_threads",
        "release_lock_on_cudamalloc",
        "pinned_use_background_threads",
        "base_addr_aligned_kb",
        "page_size",
        "segment_size_mb",
        "pin_memory_expandable_segments",
        "per_process_memory_fraction",
        "multi_stream_lazy_reclaim",
        "max_non_split_rounding_mb",
        "graph_capture_record_stream_reuse",
    };
    size_t at = 0;

    while (at < e->value.len) {
        size_t end = str_find_byte(e->value, ',', at);
        struct str pair = str_trim(str_slice(e->value, at, end == SIZE_MAX ? e->value.len : end));
        size_t colon = str_find_byte(pair, ':', 0);
        struct str key = str_trim(str_slice(pair, 0, colon == SIZE_MAX ? pair.len : colon));
        bool known = pair.len == 0;

        for (size_t i = 0; i < ARRAY_COUNT(keys) && !known; i++) {
            known = str_eq(key, str_from_c(keys[i]));
        }
        if (!known) {
            files_wrong(c, e->at, "alloc-conf-key",
                        files_text(c, "%.*s has no key %.*s", STR_ARG(e->name), STR_ARG(key)),
                        STR("The allocator refuses keys that it does not know (\"Unrecognized\" "
                            "option). Real keys are expandable_segments, max_split_size_mb, "
                            "garbage_collection_threshold, roundup_power2_divisions."),
                        STR("Write expandable_segments:True, which is what helps against "
                            "fragmentation."));
            files_replace(c, e->begin, e->end, STR("expandable_segments:True"));
            return;
        }
        at += (end == SIZE_MAX ? e->value.len : end) - at + 1;
    }
}

/* CUDA's variables where another vendor's cards work. */
static void check_vendor(struct files_ctx *c, const struct files_env *e, uint32_t vendors)
{
    static const struct {
        const char *cuda;
        uint32_t vendor;
        const char *right;
    } twins[] = {
        {"PYTORCH_CUDA_ALLOC_CONF", VENDOR_ASCEND, "PYTORCH_NPU_ALLOC_CONF"},
        {"PYTORCH_CUDA_ALLOC_CONF", VENDOR_MTHREADS, "PYTORCH_MUSA_ALLOC_CONF"},
        {"PYTORCH_CUDA_ALLOC_CONF", VENDOR_CAMBRICON, "PYTORCH_MLU_ALLOC_CONF"},
        {"CUDA_VISIBLE_DEVICES", VENDOR_ASCEND, "ASCEND_RT_VISIBLE_DEVICES"},
        {"CUDA_VISIBLE_DEVICES", VENDOR_MTHREADS, "MUSA_VISIBLE_DEVICES"},
        {"CUDA_VISIBLE_DEVICES", VENDOR_CAMBRICON, "MLU_VISIBLE_DEVICES"},
        {"CUDA_LAUNCH_BLOCKING", VENDOR_ASCEND, "ASCEND_LAUNCH_BLOCKING"},
        {"NVIDIA_VISIBLE_DEVICES", VENDOR_ASCEND, "ASCEND_VISIBLE_DEVICES"},
        {"NVIDIA_VISIBLE_DEVICES", VENDOR_MTHREADS, "MTHREADS_VISIBLE_DEVICES"},
        {"NVIDIA_VISIBLE_DEVICES", VENDOR_CAMBRICON, "CAMBRICON_VISIBLE_DEVICES"},
    };

    if (vendors & VENDOR_NVIDIA) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(twins); i++) {
        if (named(e, twins[i].cuda) && (vendors & twins[i].vendor)) {
            files_wrong(c, e->at, "env-vendor",
                        files_text(c, "%s has no effect here", twins[i].cuda),
                        STR("Only CUDA builds read it; the rest of this file is for another "
                            "vendor's cards."),
                        files_text(c, "The variable of this vendor is %s.", twins[i].right));
            files_replace(c, e->at, e->at + e->name.len, str_from_c(twins[i].right));
        }
    }
}

static void check_number_range(struct files_ctx *c, const struct files_env *e)
{
    static const struct {
        const char *name;
        uint64_t min;
        uint64_t max;
        const char *unit;
        const char *instead; // NULL: no correction
    } ranges[] = {
        {"HCCL_BUFFSIZE", 1, 8192,
         "megabytes (default 200); it is allocated twice per "
         "communicator. Use 200 to 1024, MoE prefill up to 2500",
         "200"},
        {"HCCL_CONNECT_TIMEOUT", 120, 7200, "seconds, from 120 to 7200", "1800"},
        {"HCCL_EXEC_TIMEOUT", 1, 17340, "seconds", NULL},
        {"VLLM_CPU_KVCACHE_SPACE", 0, 4096, "GiB", NULL},
        {"VLLM_LOG_STATS_INTERVAL", 0, 100000, "seconds", NULL},
        {"ASCEND_GLOBAL_LOG_LEVEL", 0, 4, "a level: 0 debug, 1 info, 2 warning, 3 error, 4 none",
         "3"},
        {"VLLM_ENGINE_READY_TIMEOUT_S", 1, 100000, "seconds", NULL},
        {"VLLM_ENGINE_ITERATION_TIMEOUT_S", 1, 100000, "seconds", NULL},
        {"TASK_QUEUE_ENABLE", 0, 2, "0, 1 or 2", "1"},
        {"OMP_NUM_THREADS", 1, 4096, "a number of threads", NULL},
        {"NCCL_BUFFSIZE", 1024, (uint64_t)1 << 32, "bytes (default 4194304)", NULL},
    };

    for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
        uint64_t v = 0;
        bool number;

        if (!named(e, ranges[i].name) || !e->known || e->value.len == 0) {
            continue;
        }
        number = str_to_u64(str_trim(e->value), &v) == OK;
        if (number && v >= ranges[i].min && v <= ranges[i].max) {
            if (named(e, "HCCL_BUFFSIZE") && v > 2500) {
                files_advise(c, e->at, STR("above 2500 MB: twice that leaves the card's memory"));
            }
            return;
        }
        files_wrong(c, e->at, "env-unit",
                    files_text(c, "%s=%.*s is out of range", ranges[i].name, STR_ARG(e->value)),
                    files_text(c, "The unit of this variable is %s; a plain number is expected.",
                               ranges[i].unit),
                    ranges[i].instead != NULL
                        ? files_text(c, "Write %s=%s.", ranges[i].name, ranges[i].instead)
                        : STR("Write a number in that unit."));
        if (ranges[i].instead != NULL) {
            files_replace(c, e->begin, e->end, str_from_c(ranges[i].instead));
        }
    }
}

/* Device lists: blanks, CDI or MIG names, braces. */
static void check_device_list(struct files_ctx *c, const struct files_env *e,
                              enum files_engine engine)
{
    bool process = named(e, "CUDA_VISIBLE_DEVICES") || named(e, "ASCEND_RT_VISIBLE_DEVICES") ||
                   named(e, "MUSA_VISIBLE_DEVICES") || named(e, "MLU_VISIBLE_DEVICES");
    bool runtime = named(e, "ASCEND_VISIBLE_DEVICES") || named(e, "NVIDIA_VISIBLE_DEVICES") ||
                   named(e, "MTHREADS_VISIBLE_DEVICES") || named(e, "CAMBRICON_VISIBLE_DEVICES");

    if ((!process && !runtime) || !e->known) {
        return;
    }
    if (process && (str_eq(e->value, STR("all")) || str_eq(e->value, STR("void")))) {
        files_wrong(c, e->at, "visible-devices-word",
                    files_text(c, "%.*s=%.*s names no device", STR_ARG(e->name), STR_ARG(e->value)),
                    STR("`all` belongs to the container runtime's variable. The process variable "
                        "is a list of numbers; with a word in it no device is found."),
                    STR("Leave the variable unset, or write 0,1,2,3."));
    }
    if (process && str_find_byte(e->value, '-', 0) != SIZE_MAX && e->value.len > 1 &&
        e->value.ptr[0] >= '0' && e->value.ptr[0] <= '9') {
        files_wrong(c, e->at, "visible-devices-range",
                    files_text(c, "%.*s does not take a range", STR_ARG(e->name)),
                    STR("Ranges like 0-3 are known to the container runtime's variable only; here "
                        "the numbers are listed one by one."),
                    STR("Write 0,1,2,3."));
    }
    if (str_find(e->value, STR(", "), 0) != SIZE_MAX) {
        files_wrong(c, e->at, "visible-devices-blank",
                    files_text(c, "blanks in the device list of %.*s", STR_ARG(e->name)),
                    STR("Parsers stop at the blank and use the first device only, or none."),
                    STR("Write the numbers with commas alone: 0,1,2,3."));
    }
    if (process && engine == ENGINE_VLLM && str_starts(e->value, STR("MIG-"))) {
        files_wrong(c, e->at, "visible-devices-mig",
                    STR("a MIG identifier in CUDA_VISIBLE_DEVICES for vLLM"),
                    STR("vLLM reads the list as numbers and stops with \"invalid literal for "
                        "int()\"."),
                    STR("Hand the MIG slice in by the container runtime (--gpus device=MIG-...) "
                        "and leave CUDA_VISIBLE_DEVICES unset or 0."));
    }
}

/* Names that nothing reads, and names of the other layer. */
static void check_name(struct files_ctx *c, const struct files_env *e)
{
    if (c->kind == FILES_SCRIPT && named(e, "ASCEND_VISIBLE_DEVICES")) {
        files_wrong(c, e->at, "visible-devices-layer",
                    STR("ASCEND_VISIBLE_DEVICES is read by the container runtime only"),
                    STR("It chooses by physical ids which cards enter a container; set inside the "
                        "process it does nothing. The process reads ASCEND_RT_VISIBLE_DEVICES, "
                        "whose ids count from 0 within the container."),
                    STR("Write ASCEND_RT_VISIBLE_DEVICES here."));
        files_replace(c, e->at, e->at + e->name.len, STR("ASCEND_RT_VISIBLE_DEVICES"));
    }
    if (named(e, "METHERDS_VISIBLE_DEVICES")) {
        files_wrong(c, e->at, "env-spelling", STR("METHERDS_VISIBLE_DEVICES is a misspelling"),
                    STR("The container runtime of Moore Threads reads MTHREADS_VISIBLE_DEVICES; "
                        "with the other spelling no card enters the container."),
                    STR("Write MTHREADS_VISIBLE_DEVICES."));
        files_replace(c, e->at, e->at + e->name.len, STR("MTHREADS_VISIBLE_DEVICES"));
    }
    if (named(e, "MAX_BATCH_SIZE") || named(e, "MAX_MODEL_LEN_ENV") ||
        named(e, "VLLM_MAX_BATCH_SIZE") || named(e, "VLLM_MAX_NUM_SEQS") ||
        named(e, "VLLM_GPU_MEMORY_UTILIZATION") || named(e, "VLLM_TENSOR_PARALLEL_SIZE") ||
        named(e, "VLLM_MAX_MODEL_LEN")) {
        bool used = str_find(c->text, files_text(c, "$%.*s", STR_ARG(e->name)), 0) != SIZE_MAX ||
                    str_find(c->text, files_text(c, "${%.*s", STR_ARG(e->name)), 0) != SIZE_MAX;

        if (!used) {
            files_wrong(c, e->at, "env-unread",
                        files_text(c, "nothing reads %.*s", STR_ARG(e->name)),
                        STR("The engines take this setting from the command line only; the "
                            "variable changes nothing."),
                        STR("Use the flag: --max-num-seqs, --max-model-len, "
                            "--gpu-memory-utilization or --tensor-parallel-size."));
            if (c->kind == FILES_SCRIPT || c->kind == FILES_DOTENV) {
                uint32_t line = files_line_of(c, e->at);
                size_t base = c->line_at[line - 1];
                struct str head = str_trim(str_slice(c->text, base, e->at));

                if (head.len == 0 || str_eq(head, STR("export"))) {
                    files_replace(c, base, base, STR("# "));
                }
            }
        }
    }
    if (named(e, "VLLM_PORT") &&
        (!e->known || str_find(e->value, STR("://"), 0) != SIZE_MAX || c->kind == FILES_SCRIPT)) {
        files_advise(c, e->at, STR("VLLM_PORT is an internal port; the HTTP port is --port"));
    }
    if (named(e, "VLLM_USE_V1") || named(e, "VLLM_ATTENTION_BACKEND") ||
        named(e, "VLLM_RPC_TIMEOUT")) {
        files_advise(c, e->at, STR("no longer read by current vLLM releases"));
    }
    if (named(e, "VLLM_ASCEND_BALANCE_SCHEDULING")) {
        files_advise(c, e->at,
                     STR("now --additional-config '{\"enable_balance_scheduling\": "
                         "true}'"));
    }
}

/* Two letters away from a real name. */
static void check_spelling(struct files_ctx *c, const struct files_env *e)
{
    static const char *const known[] = {
        "ASCEND_RT_VISIBLE_DEVICES",
        "ASCEND_VISIBLE_DEVICES",
        "ASCEND_GLOBAL_LOG_LEVEL",
        "ASCEND_LAUNCH_BLOCKING",
        "ASCEND_MF_STORE_URL",
        "ASCEND_MF_TRANSFER_PROTOCOL",
        "CAMBRICON_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "CUDA_VISIBLE_DEVICES",
        "GLOO_SOCKET_IFNAME",
        "HCCL_BUFFSIZE",
        "HCCL_CONNECT_TIMEOUT",
        "HCCL_EXEC_TIMEOUT",
        "HCCL_IF_BASE_PORT",
        "HCCL_OP_EXPANSION_MODE",
        "HCCL_SOCKET_IFNAME",
        "HF_HUB_OFFLINE",
        "MTHREADS_DRIVER_CAPABILITIES",
        "MTHREADS_VISIBLE_DEVICES",
        "MUSA_VISIBLE_DEVICES",
        "NCCL_BUFFSIZE",
        "NCCL_P2P_DISABLE",
        "NCCL_SOCKET_IFNAME",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_VISIBLE_DEVICES",
        "NPU_MEMORY_FRACTION",
        "NPU_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_MUSA_ALLOC_CONF",
        "PYTORCH_NPU_ALLOC_CONF",
        "PYTORCH_MLU_ALLOC_CONF",
        "TASK_QUEUE_ENABLE",
        "TP_SOCKET_IFNAME",
        "MCCL_SOCKET_IFNAME",
        "TRANSFORMERS_OFFLINE",
        "VLLM_ENGINE_READY_TIMEOUT_S",
        "VLLM_HOST_IP",
        "VLLM_LOGGING_LEVEL",
        "VLLM_USE_MODELSCOPE",
        "VLLM_WORKER_MULTIPROC_METHOD",
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN",
        "SGLANG_SET_CPU_AFFINITY",
        "LD_LIBRARY_PATH",
        "ASCEND_RUNTIME_OPTIONS",
        "ASCEND_HOME_PATH",
        "ASCEND_TOOLKIT_HOME",
        "MLU_VISIBLE_DEVICES",
        "GPU_MEMORY_UTILIZATION",
        "HCCL_IF_IP",
        "NCCL_IB_DISABLE",
        "NCCL_IB_HCA",
    };
    const char *best = NULL;

    if (e->name.len < 10) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        size_t d = str_distance(e->name, str_from_c(known[i]));

        if (d == 0) {
            return;
        }
        if (d <= 2 && strncmp(e->name.ptr, known[i], 3) == 0) {
            best = known[i];
        }
    }
    if (best != NULL) {
        files_wrong(c, e->at, "env-spelling",
                    files_text(c, "%.*s is no known variable", STR_ARG(e->name)),
                    STR("Nothing reads this name; it is one or two letters away from one that is "
                        "read, so the setting is silently lost."),
                    files_text(c, "Write %s.", best));
        files_replace(c, e->at, e->at + e->name.len, str_from_c(best));
    }
}

static void check_value(struct files_ctx *c, const struct files_env *e)
{
    double d = 0;

    if (files_placeholder(e->value)) {
        files_wrong(c, e->at, "placeholder",
                    files_text(c, "%.*s still holds the placeholder of a guide", STR_ARG(e->name)),
                    STR("The line was copied; the real address, port, path or name was never "
                        "filled in, so the process tries to use the placeholder itself."),
                    named(e, "ASCEND_MF_STORE_URL")
                        ? STR("Replace it with tcp://ADDRESS:PORT of the prefill node: its real IP "
                              "address and a free port, the same on all nodes.")
                        : STR("Replace it with the real value."));
        return;
    }
    if (named(e, "NPU_MEMORY_FRACTION") && e->known && str_to_f64(e->value, &d) == OK &&
        (d > 1 || d <= 0)) {
        files_wrong(c, e->at, "fraction-range", STR("NPU_MEMORY_FRACTION is a share from 0 to 1"),
                    STR("It is a fraction of the card's memory, not a percentage."),
                    STR("Write 0.8 (the default), 0.96 when memory is tight."));
        if (d > 1 && d < 100) {
            files_replace(c, e->begin, e->end, files_text(c, "%g", d / 100));
        }
    }
    if ((named(e, "GLOO_SOCKET_IFNAME") || named(e, "HCCL_SOCKET_IFNAME") ||
         named(e, "NCCL_SOCKET_IFNAME") || named(e, "TP_SOCKET_IFNAME")) &&
        e->value.len > 0 && e->value.ptr[0] >= '0' && e->value.ptr[0] <= '9') {
        files_wrong(c, e->at, "ifname-address",
                    files_text(c, "%.*s wants an interface, not an address", STR_ARG(e->name)),
                    STR("It is the name of a network interface (eth0, enp67s0f0), as `ip addr` "
                        "prints it; an address finds none."),
                    STR("Write the interface that carries this node's address; the address itself "
                        "belongs into HCCL_IF_IP or VLLM_HOST_IP."));
    }
    if ((named(e, "HCCL_IF_IP") || named(e, "VLLM_HOST_IP")) && e->known &&
        (str_eq(e->value, STR("0.0.0.0")) || str_eq(e->value, STR("localhost")) ||
         str_starts(e->value, STR("127.")))) {
        files_likely(c, e->at, "node-address",
                     files_text(c, "%.*s is not this node's address", STR_ARG(e->name)),
                     STR("Other ranks connect to this address; a loop-back or wildcard address "
                         "leads them to themselves."),
                     STR("Write the address of the interface that the other nodes reach."),
                     STR("More than one node takes part."));
    }
    if (named(e, "LD_LIBRARY_PATH") && files_has_text(e->value, "/stubs")) {
        files_wrong(c, e->at, "stubs-at-run", STR("the CUDA stub library is on the run-time path"),
                    STR("stubs/libcuda.so only satisfies the linker; at run time it answers every "
                        "call with \"CUDA driver is a stub library\" and hides the driver's own."),
                    STR("Use the stubs directory for the link step alone (LIBRARY_PATH) and leave "
                        "LD_LIBRARY_PATH without it."));
    }
}

void files_env_check(struct files_ctx *c, const struct files_env *e, uint32_t vendors,
                     enum files_engine engine)
{
    check_quotes(c, e);
    check_name(c, e);
    check_spelling(c, e);
    check_vendor(c, e, vendors);
    check_number_range(c, e);
    check_device_list(c, e, engine);
    if (str_starts(e->name, STR("PYTORCH_")) && str_ends(e->name, STR("_ALLOC_CONF")) && e->known) {
        check_alloc_conf(c, e);
    }
    check_value(c, e);
}
