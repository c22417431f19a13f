#include "doctor/dockerfile_build.h"

#include "base/check.h"
#include "doctor/files_pip.h"

#include <string.h>

#define CONFIRM_BUILD STR("The build ends at this step.")

static bool has(struct str s, const char *needle)
{
    return str_find(s, str_from_c(needle), 0) != SIZE_MAX;
}

/* FROM line of a stage, folded. */
static struct str base_of(const struct dockerfile *f, uint32_t stage)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (str_eq_nocase(f->items[i].name, STR("FROM")) && f->items[i].stage == stage) {
            return f->items[i].plain;
        }
    }
    return STR("");
}

/* Everything of one stage that could make a later step work. */
static bool stage_has(const struct dockerfile *f, uint32_t stage, const char *needle)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->items[i].stage == stage && has(f->items[i].plain, needle)) {
            return true;
        }
    }
    return false;
}

static void check_llama_make(struct files_ctx *c, const struct dockerfile *f,
                             const struct dockerfile_instruction *r)
{
    bool cuda = has(r->plain, "GGML_CUDA=1") || has(r->plain, "LLAMA_CUDA=1") ||
                has(r->plain, "LLAMA_CUBLAS=1") || stage_has(f, r->stage, "GGML_CUDA=1") ||
                stage_has(f, r->stage, "LLAMA_CUDA=1");
    bool make = has(r->plain, "make ") || str_ends(r->plain, STR("make"));
    bool cmake = has(r->plain, "cmake");

    if (cuda && make && !cmake && !stage_has(f, r->stage, "stubs")) {
        files_wrong(c, r->at, "build-needs-libcuda",
                    STR("make runs a freshly built CUDA program while the image is built"),
                    STR("No driver is present during a build, so libcuda.so.1 is missing and the "
                        "program that the Makefile starts ends with \"cannot open shared object "
                        "file\"."),
                    STR("Link the toolkit's stub for this step (ln -s /usr/local/cuda/lib64/stubs/"
                        "libcuda.so /usr/local/cuda/lib64/stubs/libcuda.so.1 and "
                        "LD_LIBRARY_PATH=/usr/local/cuda/lib64/stubs make ...), or build with "
                        "cmake -DGGML_CUDA=ON, which runs nothing."));
        if (!has(r->plain, "&&") && !has(r->plain, "\n")) {
            files_replace(c, r->begin, r->begin,
                          STR("ln -s /usr/local/cuda/lib64/stubs/libcuda.so "
                              "/usr/local/cuda/lib64/stubs/libcuda.so.1 && "
                              "LD_LIBRARY_PATH=/usr/local/cuda/lib64/stubs "));
        }
    }
    if (cmake &&
        (has(r->plain, "-DGGML_CUDA=ON") || has(r->plain, "-DGGML_CUDA=on") ||
         has(r->plain, "-DGGML_CUDA=1") || has(r->plain, "-DLLAMA_CUDA=ON") ||
         has(r->plain, "-DLLAMA_CUDA=on") || has(r->plain, "-DLLAMA_CUBLAS=")) &&
        !stage_has(f, r->stage, "stubs") && !stage_has(f, r->stage, "allow-shlib-undefined") &&
        !has(r->plain, "BUILD_SHARED_LIBS=OFF") && !has(r->plain, "GGML_BACKEND_DL=ON")) {
        files_likely(c, r->at, "build-needs-libcuda",
                     STR("the programs are linked against libcuda.so.1, which a build has not"),
                     STR("libggml-cuda needs the driver's libcuda.so.1. No driver is present "
                         "during a build, so the linker reports undefined references to cuMem..., "
                         "unless it may leave them open or finds the toolkit's stub."),
                     STR("Add -DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined to cmake (or "
                         "put the stubs folder on LIBRARY_PATH)."),
                     CONFIRM_BUILD);
        for (size_t at = str_find(c->text, STR("-DGGML_CUDA="), r->begin);
             at != SIZE_MAX && at < r->end; at = SIZE_MAX) {
            files_replace(c, at, at, STR("-DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined "));
        }
    }
}

/* Tags of llama.cpp (-b b5500) that need a newer MUSA SDK than the base image has. */
static void check_musa(struct files_ctx *c, const struct dockerfile *f,
                       const struct dockerfile_instruction *r)
{
    static const struct {
        uint64_t tag; // from this build on
        uint32_t sdk;
        const char *name;
    } needs[] = {{5460, 4000001, "rc4.0.1"}, {5990, 4002000, "rc4.2.0"}};
    struct str base = base_of(f, r->stage);
    size_t at = str_find(base, STR("musa:"), 0);
    size_t clone = SIZE_MAX;
    uint32_t have = 0;
    uint64_t tag = 0;

    if (at == SIZE_MAX || !has(r->plain, "GGML_MUSA")) {
        return;
    }
    at += 5;
    at += str_starts(str_slice(base, at, base.len), STR("rc")) ? 2 : 0;
    if (!files_version(str_slice(base, at, base.len), &have)) {
        return;
    }
    for (uint32_t i = 0; i < f->n && clone == SIZE_MAX; i++) {
        const struct dockerfile_instruction *x = &f->items[i];
        size_t b = has(x->plain, "llama.cpp") ? str_find(x->plain, STR("-b b"), 0) : SIZE_MAX;

        b = b != SIZE_MAX                 ? b + 4
            : has(x->plain, "checkout b") ? str_find(x->plain, STR("checkout b"), 0) + 10
            : has(x->plain, "--branch b") ? str_find(x->plain, STR("--branch b"), 0) + 10
            : has(x->plain, "--branch=b") ? str_find(x->plain, STR("--branch=b"), 0) + 10
            : has(x->plain, "VERSION=b")  ? str_find(x->plain, STR("VERSION=b"), 0) + 9
                                          : SIZE_MAX;
        if (b != SIZE_MAX && files_number(str_slice(x->plain, b, x->plain.len), &tag)) {
            clone = b;
        }
    }
    for (size_t i = ARRAY_COUNT(needs); i > 0; i--) {
        bool unknown_tag = tag == 0 && have < 4000000 && i == 1;

        if (unknown_tag || (tag >= needs[i - 1].tag && have < needs[i - 1].sdk)) {
            size_t place = str_find(c->text, STR("musa:"), 0);

            files_wrong(c, place == SIZE_MAX ? r->at : place, "sdk-too-old",
                        STR("the MUSA SDK of the base image is older than these sources need"),
                        files_text(c,
                                   "llama.cpp of that date uses muDNN and compiler features "
                                   "that came with MUSA SDK %s; with the older toolkit the "
                                   "build fails.",
                                   needs[i - 1].name),
                        files_text(c,
                                   "Use a base image with MUSA SDK %s or newer (and a driver "
                                   "that fits it), or older sources.",
                                   needs[i - 1].name));
            if (place != SIZE_MAX) {
                size_t end = str_find_byte(c->text, '-', place);

                files_replace(c, place + 5, end == SIZE_MAX ? place + 5 : end,
                              str_from_c(needs[i - 1].name));
            }
            return;
        }
    }
}

static struct str up_to_blank(struct str s, size_t at)
{
    return str_slice(s, at, str_find_byte(s, ' ', at));
}

/* cc 12.0 code with a toolkit that does not know it. */
static void check_cuda_arch(struct files_ctx *c, const struct dockerfile *f,
                            const struct dockerfile_instruction *r)
{
    static const struct {
        const char *arch;
        const char *dotted;
        uint32_t cuda;
        const char *name;
    } needs[] = {{"120", "12.0", 12008000, "12.8"},
                 {"100", "10.0", 12008000, "12.8"},
                 {"90", "9.0", 11008000, "11.8"},
                 {"89", "8.9", 11008000, "11.8"}};
    struct str base = base_of(f, r->stage);
    size_t at = str_find(base, STR("cuda:"), 0);
    uint32_t have = 0;
    bool run = str_eq_nocase(r->name, STR("RUN"));
    bool compiles = has(r->plain, "nvcc ") || has(r->plain, "-DGGML_CUDA=O") ||
                    has(r->plain, "CUDA_ARCHITECTURES");

    if (at == SIZE_MAX || !files_version(str_slice(base, at + 5, base.len), &have)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(needs); i++) {
        size_t flag = str_find(r->plain, STR("CUDA_ARCHITECTURES"), 0);
        size_t list = str_find(r->plain, STR("TORCH_CUDA_ARCH_LIST"), 0);
        bool named =
            (flag != SIZE_MAX && has(up_to_blank(r->plain, flag), needs[i].arch)) ||
            (list != SIZE_MAX && has(str_slice(r->plain, list, list + 60), needs[i].dotted));

        if (named && have < needs[i].cuda) {
            files_wrong(c, r->at, "sdk-too-old",
                        files_text(c,
                                   "the CUDA toolkit of the base image does not know compute "
                                   "capability %s",
                                   needs[i].dotted),
                        files_text(c,
                                   "Code for it can be compiled from CUDA %s on; nvcc stops "
                                   "with \"Unsupported gpu architecture\".",
                                   needs[i].name),
                        files_text(c, "Use a base image with CUDA %s or newer.", needs[i].name));
        }
    }
    if (has(r->plain, "CUDA_ARCHITECTURES=native") || has(r->plain, "CUDA_DOCKER_ARCH=native")) {
        files_wrong(c, r->at, "build-arch-native",
                    STR("the CUDA build asks the machine for its card"),
                    STR("`native` needs a GPU while compiling; a build sees none (\"native, but no "
                        "GPU was detected\")."),
                    STR("Name the architectures: -DCMAKE_CUDA_ARCHITECTURES=\"80;86;89;90\"."));
    }
    if (run && compiles && (has(base, "-runtime") || has(base, "-base")) &&
        !stage_has(f, r->stage, "cuda-toolkit") && !stage_has(f, r->stage, "cuda-nvcc")) {
        size_t place = str_find(c->text, has(base, "-runtime") ? STR("-runtime") : STR("-base"), 0);

        files_wrong(c, r->at, "build-no-compiler", STR("a runtime image has no nvcc"),
                    STR("The base and runtime tags carry libraries only; compiling CUDA code needs "
                        "the devel tag (\"No CMAKE_CUDA_COMPILER could be found\")."),
                    STR("Build in a stage FROM the devel tag and copy the result."));
        if (place != SIZE_MAX) {
            files_replace(c, place, place + (has(base, "-runtime") ? 8 : 5), STR("-devel"));
        }
    }
}

static void check_no_device(struct files_ctx *c, const struct dockerfile_instruction *r)
{
    static const char *const tools[] = {"nvidia-smi",
                                        "npu-smi info",
                                        "cnmon",
                                        "mthreads-gmi",
                                        "torch.cuda.is_available()",
                                        "import torch_npu",
                                        "torch.npu.is_available()",
                                        "torch.cuda.get_device"};

    for (size_t i = 0; i < ARRAY_COUNT(tools); i++) {
        size_t at = str_find(r->plain, str_from_c(tools[i]), 0);
        bool assertion = !has(r->plain, "|| true") && !has(r->plain, "|| :") &&
                         !has(r->plain, "COPY") && !has(r->plain, "echo");

        if (at == SIZE_MAX || !assertion) {
            continue;
        }
        files_wrong(c, r->at, "build-no-device",
                    files_text(c, "`%s` while the image is built", tools[i]),
                    STR("A build sees no card, no device nodes and no driver libraries (libcuda, "
                        "libascend_hal come from the host at run time), whatever the host has."),
                    STR("Move the check to the entry script or the health check."));
        if (!has(r->plain, "&&")) {
            files_replace(c, r->at, r->at, STR("# "));
        }
        return;
    }
}

static void check_driver_package(struct files_ctx *c, const struct script_commands *cmds)
{
    static const char *const packages[] = {"nvidia-driver-",     "cuda-drivers",
                                           "libnvidia-compute-", "nvidia-utils-",
                                           "nvidia-headless-",   "nvidia-dkms-",
                                           "nvidia-kernel-"};

    for (uint32_t i = 0; i < cmds->n; i++) {
        const struct files_command *cmd = &cmds->items[i];
        bool apt = cmd->n_words > 2 && (str_starts(cmd->words[0].text, STR("apt")) ||
                                        str_eq(cmd->words[0].text, STR("yum")) ||
                                        str_eq(cmd->words[0].text, STR("dnf")));

        for (uint32_t w = 2; apt && w < cmd->n_words; w++) {
            for (size_t k = 0; k < ARRAY_COUNT(packages); k++) {
                if (str_starts(cmd->words[w].text, str_from_c(packages[k]))) {
                    files_wrong(c, cmd->words[w].begin, "driver-in-image",
                                files_text(c, "the driver package %.*s in an image",
                                           STR_ARG(cmd->words[w].text)),
                                STR("The driver belongs to the host; the container runtime mounts "
                                    "its libraries. A second copy in the image hides them: "
                                    "\"Driver/library version mismatch\"."),
                                STR("Remove the package from the image."));
                    files_replace(c, cmd->words[w].begin,
                                  cmd->words[w].end + (c->text.ptr[cmd->words[w].end] == ' '),
                                  STR("\x01"));
                }
            }
        }
    }
}

/* RUN source ..., RUN export ..., RUN cd ...: gone with the layer, or no shell word. */
static void check_lost(struct files_ctx *c, const struct dockerfile *f,
                       const struct dockerfile_instruction *r, const struct script_commands *cmds)
{
    bool bash = stage_has(f, r->stage, "\"/bin/bash\"") ||
                stage_has(f, r->stage, "ln -sf /bin/bash") || has(r->plain, "bash -c") ||
                has(r->plain, "/bin/bash") || has(r->plain, "bash -lc") ||
                has(base_of(f, r->stage), "openeuler") || has(base_of(f, r->stage), "rocky") ||
                has(base_of(f, r->stage), "centos");
    bool only_state = cmds->n > 0;

    for (uint32_t i = 0; i < cmds->n; i++) {
        struct str w = cmds->items[i].words[0].text;

        only_state = only_state && (str_eq(w, STR("source")) || str_eq(w, STR("export")) ||
                                    str_eq(w, STR("cd")) || str_eq(w, STR(".")));
    }
    if (only_state && !has(r->plain, ">>")) {
        files_wrong(c, r->at, "run-state-lost",
                    files_text(c, "`RUN %.*s` has no effect", STR_ARG(str_slice(r->plain, 0, 40))),
                    STR("Each RUN is a shell of its own; variables, the working folder and sourced "
                        "environments end with it."),
                    STR("Use ENV or WORKDIR, or put it into the same RUN as what needs it, or into "
                        "the entry script."));
        files_replace(c, r->at, r->at, STR("# "));
    }
    for (uint32_t i = 0; i < cmds->n; i++) {
        struct str w = cmds->items[i].words[0].text;

        if (str_eq(w, STR("source")) && !bash && !r->json) {
            files_wrong(c, cmds->items[i].words[0].begin, "run-source", STR("`source` in RUN"),
                        STR("RUN uses /bin/sh, which is dash on Debian and Ubuntu and knows no "
                            "`source`: \"source: not found\"."),
                        STR("Write `SHELL [\"/bin/bash\", \"-c\"]` before it, or `RUN bash -c "
                            "\"source ... && ...\"`."));
            files_replace(c, r->at, r->at, STR("SHELL [\"/bin/bash\", \"-c\"]\n"));
        }
    }
}

static void check_apt(struct files_ctx *c, const struct dockerfile *f,
                      const struct dockerfile_instruction *r, const struct script_commands *cmds)
{
    for (uint32_t i = 0; i < cmds->n; i++) {
        const struct files_command *cmd = &cmds->items[i];
        struct str w = cmd->words[0].text;
        bool yes = has(r->plain, "DEBIAN_FRONTEND") && false;
        uint32_t install = 0;

        if (!str_eq(w, STR("apt-get")) && !str_eq(w, STR("apt"))) {
            continue;
        }
        for (uint32_t k = 1; k < cmd->n_words; k++) {
            struct str t = cmd->words[k].text;

            yes = yes || str_eq(t, STR("-y")) || str_eq(t, STR("--yes")) ||
                  str_eq(t, STR("--assume-yes")) || str_starts(t, STR("-yq")) ||
                  str_starts(t, STR("-qy")) || str_eq(t, STR("-qqy")) || str_eq(t, STR("-yqq"));
            install = str_eq(t, STR("install")) ? k : install;
        }
        if (install != 0 && !yes) {
            files_wrong(c, cmd->words[install].begin, "apt-yes", STR("apt-get install without -y"),
                        STR("A build has no terminal: apt asks, gets no answer and aborts."),
                        STR("Write apt-get install -y."));
            files_replace(c, cmd->words[install].end, cmd->words[install].end, STR(" -y"));
        }
        if (install != 0 && !stage_has(f, r->stage, "apt-get update") &&
            !stage_has(f, r->stage, "apt update") && !stage_has(f, r->stage, "apt-get -y update") &&
            !stage_has(f, r->stage, "apt-get -qq update")) {
            files_wrong(c, cmd->words[0].begin, "apt-update",
                        STR("apt-get install without apt-get update"),
                        STR("Base images carry no package lists: \"Unable to locate package\"."),
                        STR("Write apt-get update && apt-get install -y ..."));
            files_replace(c, cmd->words[0].begin, cmd->words[0].begin, STR("apt-get update && "));
        }
    }
}

/* Builds that ask the card what it is. */
static void check_ascend_build(struct files_ctx *c, const struct dockerfile *f,
                               const struct dockerfile_instruction *r)
{
    bool plug_in = has(r->plain, "vllm-ascend") && has(r->plain, "pip") &&
                   (has(r->plain, "install -e") || has(r->plain, "install -v -e") ||
                    has(r->plain, "install ./") || has(r->plain, "install -v ."));

    if (has(r->plain, "-DGGML_CANN=") && !has(r->plain, "SOC_TYPE")) {
        size_t at = str_find(c->text, STR("-DGGML_CANN="), r->begin);

        files_wrong(c, r->at, "build-soc", STR("the CANN build has to guess the chip"),
                    STR("Without -DSOC_TYPE cmake asks npu-smi which chip this is; a build sees "
                        "none and stops."),
                    STR("Add -DSOC_TYPE=ascend910b3 (the chip of the hosts)."));
        files_replace(c, at, at, STR("-DSOC_TYPE=ascend910b3 "));
    }
    if (plug_in && !stage_has(f, r->stage, "SOC_VERSION")) {
        files_wrong(c, r->at, "build-soc", STR("the plug-in's build has to guess the chip"),
                    STR("vllm-ascend compiles its kernels for one chip and asks npu-smi which; a "
                        "build sees none."),
                    STR("Set ENV SOC_VERSION=ascend910b1 (A2) or ascend910_9391 (A3) before it."));
        files_replace(c, r->at, r->at, STR("ENV SOC_VERSION=ascend910b1\n"));
    }
}

MUST_USE enum status dockerfile_build_check(struct files_ctx *c, const struct dockerfile *f,
                                            struct error *err)
{
    struct script_commands all = {0};
    uint32_t room = 0;

    all.items = arena_zalloc(c->arena, FILES_WORDS_MAX, sizeof(*all.items));
    if (all.items == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    for (uint32_t i = 0; i < f->n; i++) {
        const struct dockerfile_instruction *r = &f->items[i];
        struct script_commands cmds;
        enum status rc;

        if (!str_eq_nocase(r->name, STR("RUN"))) {
            if (str_eq_nocase(r->name, STR("ENV")) || str_eq_nocase(r->name, STR("ARG"))) {
                check_cuda_arch(c, f, r);
            }
            continue;
        }
        rc = script_split(c, r->begin, r->end, true, &cmds, err);
        if (rc != OK) {
            return rc;
        }
        check_llama_make(c, f, r);
        check_musa(c, f, r);
        check_cuda_arch(c, f, r);
        check_no_device(c, r);
        check_driver_package(c, &cmds);
        check_lost(c, f, r, &cmds);
        check_apt(c, f, r, &cmds);
        check_ascend_build(c, f, r);
        for (uint32_t k = 0; k < cmds.n && room < FILES_WORDS_MAX; k++) {
            all.items[room++] = cmds.items[k];
        }
    }
    all.n = room;
    files_pip_check(c, &all);
    return OK;
}
