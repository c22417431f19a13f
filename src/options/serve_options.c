/* Names, meanings and defaults follow vLLM (facts: version 0.27); where ours differ the help says
 * so. */
#include "options/serve_options.h"
#include "base/check.h"

#define HONOUR(name, type, fallback, metavar, help)                                                \
    {                                                                                              \
        name, NULL, type, OPTION_HONOUR, fallback, metavar, help, NULL, NULL, 0, 0                 \
    }
#define BOUNDED(name, type, fallback, metavar, min, max, help)                                     \
    {                                                                                              \
        name, NULL, type, OPTION_HONOUR, fallback, metavar, help, NULL, NULL, min, max             \
    }
#define CHOICE(name, fallback, metavar, choices, help)                                             \
    {                                                                                              \
        name, NULL, OPTION_CHOICE, OPTION_HONOUR, fallback, metavar, help, choices, NULL, 0, 0     \
    }
#define SILENT(name, type, metavar, help)                                                          \
    {                                                                                              \
        name, NULL, type, OPTION_SILENT, NULL, metavar, help, NULL, NULL, 0, 0                     \
    }
#define WARN(name, type, metavar, why)                                                             \
    {                                                                                              \
        name, NULL, type, OPTION_WARN, NULL, metavar, "Accepted for vLLM's sake.", NULL, why, 0, 0 \
    }
#define REFUSE(name, type, metavar, instead)                                                       \
    {                                                                                              \
        name, NULL, type, OPTION_REFUSE, NULL, metavar, "Not supported.", NULL, instead, 0, 0      \
    }
#define ONLY_ONE(name, alias, why)                                                                 \
    {                                                                                              \
        name, alias, OPTION_COUNT, OPTION_NEUTRAL, "1", "N", "Only 1 is supported.", NULL, why, 0, \
            0                                                                                      \
    }

static const struct option options[] = {
    HONOUR("model", OPTION_STRING, NULL, "DIR|preset:NAME",
           "Checkpoint folder, or a preset's shape with --load-format dummy. Same as the argument "
           "MODEL. Without any, the built-in demonstration model is served."),
    HONOUR("served-model-name", OPTION_STRINGS, NULL, "NAME",
           "Names that requests may use; the first one stands in answers. Default: the folder's "
           "name."),
    HONOUR("host", OPTION_STRING, "127.0.0.1", "ADDRESS",
           "Address to listen on. vLLM listens on all interfaces; here that must be asked for with "
           "0.0.0.0, and a warning reminds you to set --api-key."),
    BOUNDED("port", OPTION_COUNT, "8000", "PORT", 0, 65535,
            "Port to listen on; 0 takes a free one and prints it."),
    HONOUR("port-fallback", OPTION_FLAG, NULL, NULL,
           "If the port is taken, use the next free one and say so."),
    HONOUR("api-key", OPTION_STRINGS, NULL, "KEY",
           "Keys that clients must send as a bearer token. The variables KONTOR_API_KEY and "
           "VLLM_API_KEY work too and do not show up in the process list."),
    HONOUR("auth-config", OPTION_STRING, NULL, "FILE",
           "YAML or JSON file with keys that clients must send, and the header they come in: "
           "api_keys_file, api_keys_env, api_keys, header_name, header_prefix (docs/config.md)."),
    CHOICE("dtype", "auto", "TYPE", "auto|half|float16|bfloat16|float|float32",
           "Type of the weights. auto: bfloat16, also for float32 checkpoints. half keeps fp16 "
           "weights and computes in bfloat16 and float32, because GLM overflows fp16. float32 is "
           "for comparing logits."),
    CHOICE("load-format", "auto", "FORMAT", "auto|safetensors|dummy",
           "dummy fills the model with random weights, for performance tests."),
    HONOUR("max-model-len", OPTION_COUNT, NULL, "N",
           "Longest context (prompt and answer) in tokens. Default: what the checkpoint says."),
    BOUNDED("max-num-seqs", OPTION_COUNT, NULL, "N", 1, 4096,
            "Most requests in one step. Default: 256, fewer when memory is short."),
    BOUNDED("max-num-batched-tokens", OPTION_COUNT, NULL, "N", 1, 1048576,
            "Most tokens in one step. Default: 2048."),
    BOUNDED("block-size", OPTION_COUNT, "16", "N", 8, 256,
            "Tokens per KV block: 8, 16, 32, 64, 128 or 256."),
    HONOUR("kv-cache-memory-bytes", OPTION_COUNT, NULL, "BYTES",
           "Exact size of the KV cache. Default: half of what is free after the weights, at most "
           "4 GiB."),
    BOUNDED("gpu-memory-utilization", OPTION_FRACTION, "0.92", "SHARE", 0.01, 1,
            "Share of the device's memory (on a CPU: of the machine's memory or the container's "
            "limit) that may be used."),
    BOUNDED("num-gpu-blocks-override", OPTION_COUNT, NULL, "N", 1, 4294967295.0,
            "Fixed number of KV blocks."),
    HONOUR("chat-template", OPTION_STRING, NULL, "FILE|TEXT",
           "Jinja template that replaces the checkpoint's: a file, or the text itself."),
    HONOUR("seed", OPTION_COUNT, "0", "N", "Seed of requests that bring none."),
    BOUNDED("threads", OPTION_COUNT, NULL, "N", 1, 1024,
            "Compute threads. Default: what affinity and the container's quota allow."),
    HONOUR(
        "cpu-level", OPTION_STRING, NULL, "LEVEL",
        "Kernel level: ref, avx2, avx512, avx512bf16, neon. Default: the best this machine has."),
    HONOUR("ssl-certfile", OPTION_STRING, NULL, "FILE",
           "Serve HTTPS with this certificate (PEM, with its chain). It is loaded again when the "
           "file changes."),
    HONOUR("ssl-keyfile", OPTION_STRING, NULL, "FILE",
           "Key of --ssl-certfile (PEM, without a password). Default: it is in the same file."),
    HONOUR("ssl-ca-certs", OPTION_STRING, NULL, "FILE",
           "Clients must show a certificate signed by one of these authorities (PEM)."),
    CHOICE("ssl-cert-reqs", NULL, "N", "0|2",
           "2: clients must show a certificate, which is the default with --ssl-ca-certs here; 0: "
           "they are not asked, vLLM's default."),
    BOUNDED("shutdown-timeout", OPTION_COUNT, "30", "SECONDS", 0, 86400,
            "How long running answers may finish after SIGTERM; 0 stops them at once."),
    BOUNDED("max-body-bytes", OPTION_COUNT, "32M", "BYTES", 1024, 1099511627776.0,
            "Largest request body; a larger one is answered with 413."),
    CHOICE("error-style", "openai", "STYLE", "openai|vllm",
           "vllm writes the HTTP status as an integer into error.code."),
    SILENT("enforce-eager", OPTION_FLAG, NULL, "There is no graph capture to switch off."),
    SILENT("trust-remote-code", OPTION_FLAG, NULL, "Code in a model folder is never executed."),
    SILENT("enable-chunked-prefill", OPTION_FLAG, NULL, "Prompts are always prefilled in chunks."),
    SILENT("enable-request-id-headers", OPTION_FLAG, NULL, "x-request-id is always sent."),
    SILENT("enable-ssl-refresh", OPTION_FLAG, NULL, "Changed certificates are always loaded."),
    SILENT("async-scheduling", OPTION_FLAG, NULL, "A matter of the engine."),
    WARN("disable-custom-all-reduce", OPTION_FLAG, NULL, "there is one device"),
    WARN("swap-space", OPTION_STRING, "GIB", "KV blocks are not swapped"),
    WARN("device", OPTION_STRING, "NAME",
         "vLLM dropped this flag too; this build computes on the CPU"),
    WARN("uvicorn-log-level", OPTION_STRING, "LEVEL", "one line per request is logged"),
    WARN("disable-log-requests", OPTION_FLAG, NULL, "prompts are never logged"),
    WARN("enable-prefix-caching", OPTION_FLAG, NULL, "prefix sharing is not built yet"),
    ONLY_ONE("tensor-parallel-size", "tp", "this build computes on one device"),
    ONLY_ONE("pipeline-parallel-size", "pp", "this build computes on one device"),
    ONLY_ONE("data-parallel-size", "dp",
             "start one process per replica and put the gateway in front"),
    REFUSE("quantization", OPTION_STRING, "METHOD", "serve a bf16, fp16 or fp32 checkpoint"),
    REFUSE("kv-cache-dtype", OPTION_STRING, "TYPE", "the KV cache follows --dtype; leave it out"),
    REFUSE("tokenizer", OPTION_STRING, "DIR", "put tokenizer.json beside the checkpoint"),
    REFUSE("tool-call-parser", OPTION_STRING, "NAME", "tool calls are not built yet; leave it out"),
    REFUSE("reasoning-parser", OPTION_STRING, "NAME",
           "the reasoning split is not built yet; leave it out"),
    REFUSE("enable-auto-tool-choice", OPTION_FLAG, NULL,
           "tool calls are not built yet; leave it out"),
    REFUSE("enable-lora", OPTION_FLAG, NULL,
           "adapters are not supported; merge them into the weights"),
    REFUSE("middleware", OPTION_STRING, "PATH", "there is no Python in the server"),
};

const struct option_set serve_options = {
    .usage = "kontor serve [MODEL] [options]",
    .about = "Load a GLM checkpoint and answer the OpenAI API.",
    .positional = "MODEL",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog =
        "examples:\n"
        "  kontor serve                                  the built-in demonstration model\n"
        "  kontor serve /models/GLM-4-9B-0414 --served-model-name glm-4-9b\n"
        "  kontor serve preset:glm-4-9b-0414 --load-format dummy --max-model-len 4k\n"
        "exit codes: 0 stopped by a signal after draining, 1 could not start (the message says "
        "why), 2 wrong usage",
};
