/* Circulating instructions, one row each: the verdict that the doctor must give, by its rule. */
#include "base/check.h"
#include "doctor/files.h"
#include "doctor/files_internal.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

struct row {
    const char *name; // of the file
    const char *text;
    const char *rule;  // expected finding, or NULL: none
    const char *fixed; // must be in the corrected text, or NULL
};

#define SH "#!/bin/bash\n"
#define NPU "    image: quay.io/ascend/vllm-ascend:v0.18.0\n"
#define SERVICE "services:\n  llm:\n"

static const struct row rows[] = {
    /* start forms and flags */
    {"a.sh", SH "python -m vllm.entrypoints.llm --model /m\n", "engine-module",
     "vllm.entrypoints.openai.api_server"},
    {"a.sh", SH "vllm serve /m --device ascend --port 1\n", "engine-flag",
     "vllm serve /m --port 1"},
    {"a.sh", SH "vllm serve /m --prefill-chunk-size 4096\n", "engine-flag",
     "--max-num-batched-tokens 4096"},
    {"a.sh", SH "vllm serve /m --num-lookahead-slots 4\n", "engine-flag", "vllm serve /m"},
    /* a flag that was right in the version that the image names */
    {"c.yml",
     SERVICE "    image: reg.example:5000/mcc/vllm-musa-qy2-py310:v0.8.4-release\n"
             "    runtime: mthreads\n    environment: {MTHREADS_VISIBLE_DEVICES: all}\n"
             "    command: [\"vllm\", \"serve\", \"/m\", \"--device\", \"musa\"]\n",
     NULL, NULL},
    {"a.sh", SH "docker run --gpus all vllm/vllm-openai:v0.8.4 --model m/m --device cuda\n", NULL,
     NULL},
    {"a.sh", SH "docker run --gpus all vllm/vllm-openai:v0.8.4 --model m/m --device npu\n",
     "engine-flag", "--model m/m"},
    {"a.sh", SH "docker run --gpus all vllm/vllm-openai:v0.11.0 --model m/m --device cuda\n",
     "engine-flag", "vllm/vllm-openai:v0.11.0 --model m/m \n"},
    {"a.sh", SH "docker run --gpus all vllm/vllm-openai:v0.10.2 --model m/m --rope-theta 5\n", NULL,
     NULL},
    /* and one of which the file says no version: likely, left as it is */
    {"a.sh", SH "vllm serve /m --device cuda\n", "engine-flag", "/m --device cuda\n"},
    {"a.sh",
     SH "docker run --gpus all nvcr.io/nvidia/vllm:25.09-py3 vllm serve m/m --device=cuda\n",
     "engine-flag", "--device=cuda\n"},
    {"a.sh", SH "vllm serve /m --use-v2-block-manager\n", "engine-flag",
     "--use-v2-block-manager\n"},
    {"a.sh", SH "vllm serve /m --tensor-paralel-size 2\n", "engine-flag-spelling",
     "--tensor-parallel-size 2"},
    {"a.sh", SH "vllm serve /m --context-length=4096\n", "engine-flag", "--max-model-len=4096"},
    {"a.sh", SH "vllm serve /m --gpu-memory-utilization 90\n", "fraction-range",
     "--gpu-memory-utilization 0.9"},
    {"a.sh", SH "vllm serve /m --reasoning-parser glm47\n", "reasoning-parser", "glm45"},
    {"a.sh", SH "vllm serve /m --enable-auto-tool-choice\n", "tool-choice-parser", NULL},
    {"a.sh", SH "vllm serve /models/glm-4-9b -tp 3\n", "tp-heads", NULL},
    {"a.sh", SH "python3 -m sglang.launch_server --model-path /m --device npu --max-model-len 9\n",
     "engine-flag", "--context-length 9"},
    {"a.sh", SH "vllm serve /m --tokenizer /m/tokenizer --port 1\n", "tokenizer-folder",
     "vllm serve /m --port 1"},
    {"a.sh", SH "vllm serve /path/to/model\n", "placeholder", NULL},
    /* variables */
    {"a.sh", SH "export PYTORCH_CUDA_ALLOC_CONF=max_segment_size:256MB\n", "alloc-conf-key",
     "expandable_segments:True"},
    {"a.sh",
     SH "export HCCL_BUFFSIZE=200\nexport PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True\n",
     "env-vendor", "PYTORCH_NPU_ALLOC_CONF="},
    {"a.sh", SH "export HCCL_BUFFSIZE=1048576\n", "env-unit", "HCCL_BUFFSIZE=200"},
    {"a.sh", SH "export HCCL_BUFFSIZE=200MB\n", "env-unit", "HCCL_BUFFSIZE=200"},
    {"a.sh", SH "export ASCEND_VISIBLE_DEVICES=0\nvllm serve /m\n", "visible-devices-layer",
     "ASCEND_RT_VISIBLE_DEVICES=0"},
    {"a.sh", SH "export HCCL_CONNECT_TIMEOUT=180 ASCEND_GLOBAL_LOG_LEVEL=3\n", NULL, NULL},
    {"a.sh", SH "MAX_BATCH_SIZE=16\nvllm serve /m\n", "env-unread", "# MAX_BATCH_SIZE"},
    {"a.sh", SH "export METHERDS_VISIBLE_DEVICES=all\n", "env-spelling",
     "MTHREADS_VISIBLE_DEVICES=all"},
    {"a.sh", SH "export HCCL_SOCKET_IFNAME=192.168.0.1\n", "ifname-address", NULL},
    {"a.sh", SH "export ASCEND_RT_VISIBLE_DEVICES=0,1\nvllm serve /m -tp 4\n",
     "visible-devices-count", NULL},
    {"a.sh", SH "export ASCEND_RT_VISIBLE_DEVICES=0-3\n", "visible-devices-range", NULL},
    {"a.sh", SH "export ASCEND_MF_STORE_URL=\"tcp://PIP:PORT\"\n", "placeholder", NULL},
    /* what the shell does */
    {"a.sh", SH "vllm serve /m \\  # note\n  --port 1\n", "continuation-comment",
     "vllm serve /m \\\n  --port 1"},
    {"a.sh", SH "vllm serve /m \\ \n  --port 1\n", "continuation-blank",
     "vllm serve /m \\\n  --port 1"},
    {"a.sh", SH "vllm serve /m \\\n  # note\n  --port 1\n", "continuation-comment",
     "/m \\\n  --port 1"},
    {"a.sh", SH "vllm serve /m\n  --port 1\n", "continuation-missing", "/m \\\n  --port 1"},
    {"a.sh", SH "vllm serve /m 2>&1 | tee /l\n", "tee-last", "vllm serve /m >>/l 2>&1"},
    {"a.sh", SH "A = b\n", "assignment-blank", "A=b"},
    {"a.sh", SH "echo \"open\nvllm serve /m\n", "quote-open", NULL},
    {"a.sh", "#!/bin/sh\nsource /x/set_env.sh\n", "sh-bashism", "#!/bin/bash"},
    {"a.sh", SH "set -eu\nsource /x/set_env.sh\n", NULL, NULL},
    {"a.sh", SH "for ((i = 0; i < 3; i++)); do\n  case $1 in\n  --help) a ;;\n  esac\ndone\n", NULL,
     NULL},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      "
     "resources: {limits: {mthreads.com/sgpu-memory: 32, metax-tech.com/vmemory: 2048Mi}}\n",
     NULL, NULL},
    {"a.sh", "#!/bin/bash\r\necho a\r\n", "crlf", "#!/bin/bash\necho a\n"},
    {"a.sh", SH "vllm serve /m \xe2\x80\x93port 1\n", "typography", "--port 1"},
    {"a.sh", SH "docker run vllm/vllm-openai:v0.11.0 --gpus all --model /m\n", "docker-option-late",
     NULL},
    {"a.sh", SH "docker run --gpus device=0,1 --ipc=host nvidia/cuda:12.4.1 x\n", "gpus-quotes",
     "'\"device=0,1\"'"},
    {"a.sh", SH "docker run --gpus all vllm/vllm-openai:v0.11.0 --model /m -tp 2\n",
     "shm-too-small", "--shm-size=16g vllm/"},
    {"a.sh", SH "docker run --gpus all --ipc=host vllm/vllm-openai:v0.11.0 bash -c x\n",
     "entrypoint-twice", NULL},
    {"a.sh",
     SH "docker run --device=/dev/davinci0 quay.io/ascend/vllm-ascend:v0.18.0 vllm serve /m\n",
     "ascend-nodes", NULL},
    {"a.sh",
     SH "docker run --gpus all --device=/dev/davinci0 --device=/dev/davinci_manager "
        "--device=/dev/devmm_svm --device=/dev/hisi_hdc a/b:1 x\n",
     "vendors-mixed", NULL},
    /* Dockerfiles */
    {"Dockerfile",
     "FROM ubuntu:22.04\nRUN apt-get update && apt-get install -y python3.11 "
     "python3-pip && pip install x\n",
     "pip-interpreter", "python3.11 -m pip install x"},
    {"Dockerfile", "FROM --platform=linux/arm64 ubuntu:22.04\nRUN pip install a-x86_64.whl\n",
     "wheel-machine", "a-aarch64.whl"},
    {"Dockerfile",
     "FROM quay.io/ascend/cann:8.5.1-910b-ubuntu22.04-py3.11\n"
     "RUN pip install vllm==0.18.0 https://x/mindspore-2.3.0.whl\n",
     "mindspore-for-vllm", "torch-npu"},
    {"Dockerfile",
     "FROM quay.io/ascend/cann:8.5.1-910b-ubuntu22.04-py3.11\nRUN pip install "
     "vllm==0.4.3\n",
     "vllm-before-plugins", "vllm==0.18.0"},
    {"Dockerfile",
     "FROM quay.io/ascend/cann:8.1.rc1-910b-ubuntu22.04-py3.10\nRUN pip install "
     "vllm==0.18.0 vllm-ascend==0.18.0\n",
     "vllm-ascend-cann", NULL},
    {"docker-compose.yml",
     "services:\n  e:\n    image: lmsysorg/sglang:v0.5.5\n    gpus: all\n    ports: "
     "[\"30000:30000\"]\n    shm_size: 16g\n    command: python3 -m sglang.launch_server "
     "--model-path /models/glm\n",
     "host-default-loopback", NULL},
    {"Dockerfile",
     "FROM registry.mthreads.com/mcconline/musa-pytorch-release-public:rc4.0.1\nRUN pip install "
     "vllm==0.8.4\n",
     "torch-replaced", NULL},
    {"Dockerfile", "FROM a/b:1\nRUN pip install torch==2.9.0 torch_npu==2.8.0\n", "torch-npu-pair",
     NULL},
    {"Dockerfile", "FROM ubuntu:22.04\nHEALTHCHECK CMD curl -f http://localhost:8000/health\n",
     "health-curl", "python3 -c"},
    {"Dockerfile", "FROM a/b:1\nCMD ['vllm', 'serve']\n", "dockerfile-json",
     "[\"vllm\", \"serve\"]"},
    {"Dockerfile", "FROM a/b:1\nCMD [\"vllm serve /m\"]\n", "list-one-word", NULL},
    {"Dockerfile", "FROM a/b:1\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]\n", "dockerfile-repeated",
     "FROM a/b:1\nENTRYPOINT [\"b\"]"},
    {"Dockerfile", "FROM a/b:1\nENTRYPOINT a\nCMD [\"b\"]\n", "dockerfile-cmd-lost", NULL},
    {"Dockerfile", "FROM a/b:1\nRUN nvidia-smi\n", "build-no-device", "# RUN nvidia-smi"},
    {"Dockerfile", "FROM a/b:1\nENV HF_TOKEN=hf_0123456789\n", "secret-in-image", "FROM a/b:1\n"},
    {"Dockerfile", "FROM a/b:1\nRUN export A=b\n", "run-state-lost", "# RUN"},
    {"Dockerfile", "FROM a/b:1\nRUN source /x && make\n", "run-source", "SHELL"},
    {"Dockerfile",
     "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN cmake -DGGML_CUDA=ON "
     "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined .\n",
     "build-no-compiler", "-devel-"},
    {"Dockerfile", "FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\nENV LD_LIBRARY_PATH=/opt/x\n",
     "env-path-lost", "/opt/x:${LD_LIBRARY_PATH}"},
    {"Dockerfile", "FROM a/b:1\nRUN apt-get update && apt-get install -y nvidia-driver-550 git\n",
     "driver-in-image", "install -y git"},
    {"Dockerfile", "ARG V=1\nFROM a/b:1\nRUN echo ${V}\n", "dockerfile-arg-scope", "ARG V\nRUN"},
    {"Dockerfile",
     "FROM quay.io/ascend/cann:8.5.1-910b-ubuntu22.04-py3.11\nRUN cmake -B b "
     "-DGGML_CANN=on\n",
     "build-soc", "-DSOC_TYPE="},
    {"Dockerfile",
     "FROM nvidia/cuda:12.2.0-devel-ubuntu22.04\nENV TORCH_CUDA_ARCH_LIST=\"9.0 12.0\"\n",
     "sdk-too-old", NULL},
    {"Dockerfile",
     "FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\nRUN cmake "
     "-DCMAKE_CUDA_ARCHITECTURES=\"86;120\" .\n",
     "sdk-too-old", NULL},
    {"Dockerfile",
     "FROM nvidia/cuda:12.8.1-devel-ubuntu22.04\nENV TORCH_CUDA_ARCH_LIST=\"9.0 12.0\"\n", NULL,
     NULL},
    /* Compose */
    {"compose.yml",
     SERVICE "    image: a/vllm-openai:v0.11.0\n    runtime: nvidia\n    command: "
             "vllm serve /m\n",
     "entrypoint-twice", "command: --model /m"},
    {"compose.yml",
     SERVICE NPU "    runtime: ascend\n    environment: "
                 "[ASCEND_VISIBLE_DEVICES=0]\n    deploy:\n      resources:\n        "
                 "reservations:\n          devices:\n            - driver: ascend\n   "
                 "           count: 1\n    shm_size: 16g\n",
     "device-driver", "[ASCEND_VISIBLE_DEVICES=0]\n    shm_size: 16g"},
    /* a vendor's image that is given no device at all */
    {"c.yml", SERVICE NPU "    command: vllm serve m/m\n", "no-device", NULL},
    {"a.sh", SH "docker run a/vllm-musa:v0.8.4 vllm serve m/m\n", "no-device", NULL},
    {"a.sh", SH "docker run a/vllm-mlu:v0.8.4 vllm serve m/m\n", "no-device", NULL},
    {"a.sh", SH "docker run --privileged a/vllm-mlu:v0.8.4 vllm serve m/m\n", NULL, NULL},
    {"a.sh", SH "docker run --device /dev/cambricon_dev0 a/vllm-mlu:v0.8.4 vllm serve m/m\n", NULL,
     NULL},
    {"a.sh", SH "docker run a/vllm-ascend:v0.18.0 npu-smi info\n", NULL, NULL},
    /* a variable of a runtime without the runtime */
    {"c.yml",
     SERVICE
     "    image: a/vllm-musa:v0.8.4\n    environment:\n      MTHREADS_VISIBLE_DEVICES: all\n",
     "no-gpu", NULL},
    {"c.yml", SERVICE "    image: own/server:1\n    environment: [CAMBRICON_VISIBLE_DEVICES=0]\n",
     "no-gpu", NULL},
    {"c.yml", SERVICE "    image: own/server:1\n    environment: [ASCEND_VISIBLE_DEVICES=0]\n",
     "no-gpu", NULL},
    {"c.yml", SERVICE "    image: own/server:1\n    environment: [NVIDIA_VISIBLE_DEVICES=0]\n",
     "no-gpu", NULL},
    {"c.yml", SERVICE "    image: own/server:1\n    environment: [NVIDIA_VISIBLE_DEVICES=void]\n",
     NULL, NULL},
    {"c.yml",
     SERVICE
     "    image: own/server:1\n    privileged: true\n    environment: [ASCEND_VISIBLE_DEVICES=0]\n",
     NULL, NULL},
    {"c.yml",
     SERVICE "    image: own/server:1\n    runtime: cambricon\n    environment: "
             "[CAMBRICON_VISIBLE_DEVICES=0]\n",
     NULL, NULL},
    {"a.sh", SH "docker run -e MTHREADS_VISIBLE_DEVICES=all own/server:1\n", "no-gpu", NULL},
    {"a.sh", SH "docker run --runtime=mthreads -e MTHREADS_VISIBLE_DEVICES=all own/server:1\n",
     NULL, NULL},
    {"compose.yml", SERVICE "    image: redis:7\n    ports: [\"6379:6379\"]\n", "redis-open",
     "127.0.0.1:6379:6379"},
    {"compose.yml",
     SERVICE "    image: kontor/kontor:1\n    healthcheck:\n      test: [\"CMD\", "
             "\"curl\", \"x\"]\n      start_period: 20m\n",
     "health-curl", "[\"CMD\", \"kontor\", \"health\"]"},
    {"compose.yml",
     SERVICE NPU "    runtime: ascend\n    environment: [ASCEND_VISIBLE_DEVICES=0]\n"
                 "    command: [vllm, serve, /models/glm-5-9b-chat]\n    volumes: "
                 "[\"/s:/models/glm-5-9b:ro\"]\n",
     "model-path", "serve, /models/glm-5-9b]"},
    {"compose.yml", SERVICE NPU "    runtime: ascend\n    command: [vllm, serve, /m]\n",
     "ascend-visible-none", NULL},
    {"compose.yml", SERVICE "    image: a/b:1\n    environment:\n      A: true\n", "env-bool",
     "A: \"true\""},
    {"compose.yml", SERVICE "    image: a/b:1\n    enviroment: [A=b]\n", "compose-key",
     "environment: [A=b]"},
    {"compose.yml", SERVICE "    image: a/b:1\n    image: c/d:1\n", "yaml-duplicate", NULL},
    {"compose.yml", "services:\n\tllm:\n", "yaml-syntax", NULL},
    {"compose.yml",
     SERVICE "    image: a/b:1\n    runtime: nvidia\n    ports: [\"80:80\"]\n    "
             "command: [vllm, serve, /m]\n",
     "port-mismatch", NULL},
    {"compose.yml",
     SERVICE "    image: a/b:1\n    ports: [\"8000:8000\"]\n    command: [vllm, serve, "
             "/m, --host, 127.0.0.1]\n",
     "host-loopback", "0.0.0.0"},
    /* daemon.json */
    {"daemon.json", "{\"runtimes\": {\"ascend\": {\"path\": \"/usr/bin/ascend-docker-runtime\"}}}",
     "runtime-path", "/usr/local/Ascend/Ascend-Docker-Runtime/ascend-docker-runtime"},
    {"daemon.json", "{\"default-runtime\": \"nvidia\"}", "default-runtime",
     "nvidia-container-runtime"},
    {"daemon.json", "{\"debug\": true,}", "json-syntax", "{\"debug\": true}"},
    {"daemon.json", "{\"default_runtime\": \"runc\"}", "daemon-key", "default-runtime"},
    {"daemon.json", "{\"log-opts\": {\"max-file\": 3}}", "daemon-type", "\"3\""},
    /* Kubernetes */
    {"p.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: vllm}\n", "service-name-vllm",
     "vllm-server"},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      args: "
     "[--port, 8000]\n",
     "k8s-text", "\"8000\""},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      "
     "resources: {requests: {nvidia.com/gpu: 1}}\n",
     "k8s-limit", NULL},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      "
     "resources: {limits: {nvidia.com/gpu: 1, nvidia.com/gpumem: 8Gi}}\n",
     "k8s-unit", NULL},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      "
     "volumeMounts: [{name: x, mountPath: /x}]\n",
     "k8s-volume", NULL},
    {"p.yaml", "apiVersion: extensions/v1beta1\nkind: Deployment\n", "k8s-api", "apps/v1"},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      command: "
     "[vllm, serve, /m]\n      livenessProbe: {httpGet: {path: /health, port: 8000}}\n",
     "probe-start", NULL},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      command: [vllm, "
     "serve, /m]\n      securityContext: {readOnlyRootFilesystem: true}\n",
     "read-only-root", NULL},
    {"p.yaml",
     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: a/b:1\n      env: [{name: "
     "CUDA_VISIBLE_DEVICES, value: \"2,3\"}]\n      resources: {limits: {nvidia.com/gpu: 2}}\n",
     "visible-devices-renumber", NULL},
    {"compose.yml",
     SERVICE NPU "    runtime: ascend\n    environment: [\"ASCEND_VISIBLE_DEVICES=4-5\", "
                 "\"ASCEND_RT_VISIBLE_DEVICES=4,5\"]\n",
     "visible-devices-renumber", NULL},
    {"a.sh",
     SH
     "python3 -m sglang.launch_server --model-path /m --disaggregation-transfer-backend ascend\n",
     "store-url-missing", NULL},
    /* .env */
    {".env", "export A=b\n", "env-export", "A=b\n"},
    {".env", "A = b\n", "assignment-blank", "A=b"},
    {".env", "HCCL_BUFFSIZE=1048576\n", "env-unit", "HCCL_BUFFSIZE=200"},
};

static uint32_t check_row(const struct row *r)
{
    struct arena *arena = arena_create((size_t)64 << 20);
    struct report *report = report_create();
    struct files_ctx *c = NULL;
    struct error err = {0};
    struct buf out;
    uint32_t faults = 0;

    EXPECT_TRUE(arena != NULL && report != NULL);
    buf_init(&out, 1 << 20);
    if (files_check(arena, str_from_c(r->name), str_from_c(r->text), report, &c, &err) != OK) {
        FAIL("%s: %s", r->text, err.text);
    }
    if (r->rule == NULL && report_count(report, FINDING_PROBLEM) != 0) {
        report_print(report, false, false, &out);
        faults++;
        printf("# finds something in\n%s\n%s", r->text, buf_c(&out));
    }
    if (r->rule != NULL && !files_has(c, r->rule)) {
        report_print(report, false, false, &out);
        faults++;
        printf("# no %s for\n%s\n%s", r->rule, r->text, buf_c(&out));
    }
    if (r->fixed != NULL) {
        uint32_t left = 0;

        buf_reset(&out);
        EXPECT_OK(files_fix(arena, str_from_c(r->name), str_from_c(r->text), &out, &left, &err));
        if (str_find(buf_str(&out), str_from_c(r->fixed), 0) == SIZE_MAX) {
            faults++;
            printf("# \"%s\" is not in the corrected\n%s\n", r->fixed, buf_c(&out));
        }
    }
    buf_done(&out);
    report_destroy(report);
    arena_destroy(arena);
    return faults;
}

TEST(every_row_has_its_verdict)
{
    uint32_t faults = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        faults += check_row(&rows[i]);
    }
    EXPECT_EQ_U32(faults, 0);
}

static enum status verdict(const char *name, struct str text, struct error *err)
{
    struct arena *arena = arena_create((size_t)256 << 20);
    struct report *report = report_create();
    struct files_ctx *c = NULL;
    enum status rc;

    EXPECT_TRUE(arena != NULL && report != NULL);
    rc = files_check(arena, str_from_c(name), text, report, &c, err);
    report_destroy(report);
    arena_destroy(arena);
    return rc;
}

TEST(what_is_no_such_file_is_refused)
{
    static char nested[100000];
    struct error err;

    EXPECT_STATUS(verdict("a.sh", STR("\0\1\2ELF"), &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "binary");
    EXPECT_STATUS(verdict("a.sh", STR(" \n"), &err), E_INVALID);
    EXPECT_STATUS(verdict("notes", STR("hello there\n"), &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "cannot tell");
    EXPECT_STATUS(verdict("daemon.json", STR("{\"runtimes\": {"), &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "too early");
    EXPECT_STATUS(verdict("compose.yml", STR("services: {a: [b"), &err), E_INVALID);
    memset(nested, '[', sizeof(nested));
    memset(nested + 100, ']', 100);
    EXPECT_STATUS(verdict("compose.yml", (struct str){nested, 200}, &err), E_LIMIT);
    EXPECT_TRUE(verdict("daemon.json", (struct str){nested, sizeof(nested)}, &err) != OK);
    EXPECT_TRUE(verdict("compose.yml", (struct str){nested + 200, sizeof(nested) - 200}, &err) !=
                OK);
    EXPECT_STATUS(verdict("compose.yml", STR("services: &a\n  x: *a\n"), &err), E_INVALID);
}

TEST(names_of_corrected_files)
{
    static const char *const pairs[][2] = {
        {"start.sh", "start.fixed.sh"},
        {"/a.b/Dockerfile", "/a.b/Dockerfile.fixed"},
        {".env", ".env.fixed"},
        {"d/docker-compose.yml", "d/docker-compose.fixed.yml"},
        {"daemon.json", "daemon.fixed.json"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        struct buf out;

        buf_init(&out, 4096);
        files_fixed_path(str_from_c(pairs[i][0]), &out);
        EXPECT_EQ_STR(buf_str(&out), str_from_c(pairs[i][1]));
        buf_done(&out);
    }
}
