#include "doctor/files_flags.h"

#include "base/check.h"
#include "doctor/files_flags_names.h"

#include <string.h>

#define GONE "It was removed; current releases stop with \"unrecognized arguments\"."
#define NEVER "No release has this flag; it stops with \"unrecognized arguments\"."
#define V0 "It belonged to the first engine generation (V0) and left with it. "

static const struct files_flag flags[] = {
    {ENGINE_VLLM, "device", FLAG_DROPPED, 1, NULL,
     "vLLM chooses the device by the installed platform plug-in; the flag was removed in 0.10 and "
     "never had the value ascend or npu (SGLang has --device npu, LMDeploy --device ascend).",
     10000},
    {ENGINE_VLLM, "prefill-chunk-size", FLAG_NEVER, 1, "--max-num-batched-tokens",
     NEVER " Prefill is cut by --enable-chunked-prefill together with --max-num-batched-tokens "
           "(SGLang: --chunked-prefill-size).",
     0},
    {ENGINE_VLLM, "num-lookahead-slots", FLAG_IDLE, 1, NULL,
     V0 "Lookahead now follows num_speculative_tokens in --speculative-config.", 11000},
    {ENGINE_VLLM, "engine-timeout", FLAG_NEVER, 1, NULL,
     NEVER " There is only the variable VLLM_ENGINE_ITERATION_TIMEOUT_S.", 0},
    {ENGINE_VLLM, "swap-space", FLAG_DROPPED, 1, NULL,
     "Unused since engine V1, which recomputes preempted requests, and removed in March 2026.",
     17000},
    {ENGINE_VLLM, "num-scheduler-steps", FLAG_DROPPED, 1, NULL,
     V0 "Scheduling is asynchronous by itself today.", 11000},
    {ENGINE_VLLM, "multi-step-stream-outputs", FLAG_DROPPED, 1, NULL, V0, 11000},
    {ENGINE_VLLM, "use-v2-block-manager", FLAG_DROPPED, 0, NULL, V0, 10000},
    {ENGINE_VLLM, "guided-decoding-backend", FLAG_RENAMED, 1, "--structured-outputs-config.backend",
     "Renamed; the old spelling was removed in 0.12.", 12000},
    {ENGINE_VLLM, "disable-log-requests", FLAG_DROPPED, 0, NULL,
     "Requests are no longer logged unless --enable-log-requests is given; the old switch was "
     "removed in March 2026.",
     17000},
    {ENGINE_VLLM, "disable-frontend-multiprocessing", FLAG_DROPPED, 0, NULL, GONE, 10000},
    {ENGINE_VLLM, "preemption-mode", FLAG_DROPPED, 1, NULL, V0, 11000},
    {ENGINE_VLLM, "scheduler-delay-factor", FLAG_DROPPED, 1, NULL, V0, 11000},
    {ENGINE_VLLM, "disable-async-output-proc", FLAG_DROPPED, 0, NULL, V0, 11000},
    {ENGINE_VLLM, "max-seq-len-to-capture", FLAG_RENAMED, 1, "--max-cudagraph-capture-size",
     "Removed in 0.11; graph sizes are counted in sequences now.", 11000},
    {ENGINE_VLLM, "max-context-len-to-capture", FLAG_RENAMED, 1, "--max-cudagraph-capture-size",
     "Removed in 2024; graph sizes are counted in sequences now.", 0},
    {ENGINE_VLLM, "cuda-graph-sizes", FLAG_RENAMED, 1, "--cudagraph-capture-sizes",
     "Renamed; the old spelling was removed in December 2025.", 13000},
    {ENGINE_VLLM, "task", FLAG_DROPPED, 1, NULL,
     "Replaced by --runner and --convert; the default serves generation.", 13000},
    {ENGINE_VLLM, "enable-reasoning", FLAG_DROPPED, 0, NULL,
     "--reasoning-parser alone is enough; the switch was removed in 0.10.", 10000},
    {ENGINE_VLLM, "worker-use-ray", FLAG_DROPPED, 0, NULL,
     "Replaced by --distributed-executor-backend ray.", 0},
    {ENGINE_VLLM, "engine-use-ray", FLAG_DROPPED, 0, NULL,
     "Replaced by --distributed-executor-backend ray.", 0},
    {ENGINE_VLLM, "rope-scaling", FLAG_DROPPED, 1, NULL,
     "Removed in 0.12; patch the configuration with --hf-overrides '{\"rope_scaling\": ...}'.",
     12000},
    {ENGINE_VLLM, "rope-theta", FLAG_DROPPED, 1, NULL,
     "Removed in 0.12; patch the configuration with --hf-overrides '{\"rope_theta\": ...}'.",
     12000},
    {ENGINE_VLLM, "calculate-kv-scales", FLAG_DROPPED, 0, NULL, GONE, 23000},
    {ENGINE_VLLM, "quantization-param-path", FLAG_DROPPED, 1, NULL, GONE, 0},
    {ENGINE_VLLM, "tokenizer-pool-size", FLAG_DROPPED, 1, NULL, GONE, 10000},
    {ENGINE_VLLM, "tokenizer-pool-type", FLAG_DROPPED, 1, NULL, GONE, 10000},
    {ENGINE_VLLM, "speculative-model", FLAG_DROPPED, 1, NULL,
     "Since 0.9 speculation is one JSON value: --speculative-config '{\"model\": ..., "
     "\"num_speculative_tokens\": N}'.",
     9000},
    {ENGINE_VLLM, "num-speculative-tokens", FLAG_RENAMED, 1,
     "--speculative-config.num_speculative_tokens", "Part of --speculative-config since 0.9.",
     9000},
    {ENGINE_VLLM, "speculative-draft-tensor-parallel-size", FLAG_DROPPED, 1, NULL,
     "Part of --speculative-config since 0.9.", 9000},
    {ENGINE_VLLM, "ngram-prompt-lookup-max", FLAG_DROPPED, 1, NULL,
     "Part of --speculative-config since 0.9.", 9000},
    {ENGINE_VLLM, "tensor-parallel", FLAG_NEVER, 1, "--tensor-parallel-size", NEVER, 0},
    {ENGINE_VLLM, "tp", FLAG_NEVER, 1, "--tensor-parallel-size",
     "The short form has one dash: -tp.", 0},
    {ENGINE_VLLM, "tp-size", FLAG_NEVER, 1, "--tensor-parallel-size", "That is SGLang's spelling.",
     0},
    {ENGINE_VLLM, "max-seq-len", FLAG_NEVER, 1, "--max-model-len", NEVER, 0},
    {ENGINE_VLLM, "max-length", FLAG_NEVER, 1, "--max-model-len", NEVER, 0},
    {ENGINE_VLLM, "context-length", FLAG_NEVER, 1, "--max-model-len", "That is SGLang's spelling.",
     0},
    {ENGINE_VLLM, "ctx-size", FLAG_NEVER, 1, "--max-model-len", "That is llama.cpp's spelling.", 0},
    {ENGINE_VLLM, "model-path", FLAG_NEVER, 1, "--model", "That is SGLang's spelling.", 0},
    {ENGINE_VLLM, "model-name", FLAG_NEVER, 1, "--served-model-name", NEVER, 0},
    {ENGINE_VLLM, "mem-fraction-static", FLAG_NEVER, 1, "--gpu-memory-utilization",
     "That is SGLang's spelling.", 0},
    {ENGINE_VLLM, "chunked-prefill-size", FLAG_NEVER, 1, "--max-num-batched-tokens",
     "That is SGLang's spelling.", 0},
    {ENGINE_VLLM, "max-running-requests", FLAG_NEVER, 1, "--max-num-seqs",
     "That is SGLang's spelling.", 0},
    {ENGINE_VLLM, "max-batch-size", FLAG_NEVER, 1, "--max-num-seqs", NEVER, 0},
    {ENGINE_VLLM, "batch-size", FLAG_NEVER, 1, "--max-num-seqs", NEVER, 0},
    {ENGINE_VLLM, "gpu-memory-fraction", FLAG_NEVER, 1, "--gpu-memory-utilization", NEVER, 0},
    {ENGINE_VLLM, "max-num-tokens", FLAG_NEVER, 1, "--max-num-batched-tokens", NEVER, 0},
    {ENGINE_VLLM, "max-tokens", FLAG_NEVER, 1, NULL,
     NEVER " max_tokens is a field of each request.", 0},
    {ENGINE_VLLM, "temperature", FLAG_NEVER, 1, NULL, NEVER " temperature is a field of requests.",
     0},
    {ENGINE_VLLM, "num-gpus", FLAG_NEVER, 1, "--tensor-parallel-size", NEVER, 0},
    {ENGINE_VLLM, "n-gpu-layers", FLAG_NEVER, 1, NULL, "That is a llama.cpp flag.", 0},
    {ENGINE_VLLM, "attention-backend-npu", FLAG_NEVER, 1, NULL, NEVER, 0},
    {ENGINE_SGLANG, "model", FLAG_NEVER, 1, "--model-path",
     "SGLang takes the folder as --model-path.", 1},
    {ENGINE_SGLANG, "gpu-memory-utilization", FLAG_NEVER, 1, "--mem-fraction-static",
     "That is vLLM's spelling.", 0},
    {ENGINE_SGLANG, "max-model-len", FLAG_NEVER, 1, "--context-length", "That is vLLM's spelling.",
     0},
    {ENGINE_SGLANG, "max-num-seqs", FLAG_NEVER, 1, "--max-running-requests",
     "That is vLLM's spelling.", 0},
    {ENGINE_SGLANG, "max-num-batched-tokens", FLAG_NEVER, 1, "--chunked-prefill-size",
     "That is vLLM's spelling.", 0},
    {ENGINE_SGLANG, "enable-auto-tool-choice", FLAG_NEVER, 0, NULL,
     "That is a vLLM flag; in SGLang --tool-call-parser alone is enough.", 0},
    {ENGINE_SGLANG, "enforce-eager", FLAG_NEVER, 0, "--disable-cuda-graph",
     "That is vLLM's spelling.", 0},
    {ENGINE_SGLANG, "enable-chunked-prefill", FLAG_NEVER, 0, NULL,
     "That is a vLLM flag; SGLang chunks by --chunked-prefill-size.", 0},
    {ENGINE_LLAMA, "max-model-len", FLAG_NEVER, 1, "--ctx-size", "That is vLLM's spelling.", 0},
    {ENGINE_LLAMA, "tensor-parallel-size", FLAG_NEVER, 1, NULL,
     "llama.cpp splits by --split-mode and --tensor-split.", 0},
    {ENGINE_LLAMA, "gpu-memory-utilization", FLAG_NEVER, 1, NULL,
     "llama.cpp has --n-gpu-layers and --ctx-size instead.", 0},
    {ENGINE_LLAMA, "served-model-name", FLAG_NEVER, 1, "--alias", "That is vLLM's spelling.", 0},
    {ENGINE_LLAMA, "num-gpu-layers", FLAG_NEVER, 1, "--n-gpu-layers", NEVER, 0},
    {ENGINE_LLAMA, "context-length", FLAG_NEVER, 1, "--ctx-size", NEVER, 0},
};

static bool same(const char *name, struct str s)
{
    size_t n = strlen(name);

    if (n != s.len) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (name[i] != (s.ptr[i] == '_' ? '-' : s.ptr[i])) {
            return false;
        }
    }
    return true;
}

const struct files_flag *files_flags_find(enum files_engine engine, struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (flags[i].engine == engine && same(flags[i].name, name)) {
            return &flags[i];
        }
    }
    return NULL;
}

static const char *const *names_of(enum files_engine engine)
{
    switch (engine) {
    case ENGINE_VLLM:
    case ENGINE_KONTOR:
        return files_flags_names_vllm;
    case ENGINE_SGLANG:
        return files_flags_names_sglang;
    case ENGINE_LLAMA:
        return files_flags_names_llama;
    case ENGINE_NONE:
    case ENGINE_MINDIE:
    case ENGINE_LMDEPLOY:
        break;
    }
    return NULL;
}

static size_t dashed(struct str s, char out[64])
{
    size_t n = s.len < 63 ? s.len : 63;

    for (size_t i = 0; i < n; i++) {
        out[i] = s.ptr[i] == '_' ? '-' : s.ptr[i];
    }
    return n;
}

bool files_flags_known(enum files_engine engine, struct str name)
{
    const char *const *names = names_of(engine);
    char text[64];
    struct str s = {text, dashed(name, text)};
    size_t dot = str_find_byte(s, '.', 0);

    if (dot != SIZE_MAX) {
        s.len = dot;
    }
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        struct str word = str_from_c(names[i]);
        bool negated = str_starts(s, STR("no-")) && str_eq(word, str_slice(s, 3, s.len));

        if (str_starts(word, s) || negated) {
            return true;
        }
    }
    return names == NULL;
}

const char *files_flags_nearest(enum files_engine engine, struct str name)
{
    const char *const *names = names_of(engine);
    const char *best = NULL;
    char text[64];
    struct str s = {text, dashed(name, text)};
    size_t best_distance = 3;

    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        struct str word = str_from_c(names[i]);
        size_t d = str_distance(word, s);

        if (word.len >= 6 && d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}
