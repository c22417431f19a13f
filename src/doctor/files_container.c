/* A container, whoever starts it: devices, libraries, shared memory, ports, paths. */
#include "base/check.h"
#include "doctor/files_internal.h"

#include <inttypes.h>
#include <string.h>

#define SHM_DEFAULT ((uint64_t)64 << 20)
#define SHM_MIN ((uint64_t)1 << 30)

uint32_t files_container_image_vendors(struct str image)
{
    if (files_has_text(image, "ascend") || files_has_text(image, "cann") ||
        files_has_text(image, "mindie") || files_has_text(image, "-npu") ||
        files_has_text(image, "910b")) {
        return VENDOR_ASCEND;
    }
    if (files_has_text(image, "musa") || files_has_text(image, "mthreads")) {
        return VENDOR_MTHREADS;
    }
    if (files_has_text(image, "cambricon") || files_has_text(image, "mlu")) {
        return VENDOR_CAMBRICON;
    }
    if (files_has_text(image, "rocm") || files_has_text(image, "-cpu") ||
        files_has_text(image, "xpu") || files_has_text(image, "vulkan")) {
        return 0;
    }
    if (files_has_text(image, "nvidia") || files_has_text(image, "cuda") ||
        files_has_text(image, "vllm/vllm-openai") || files_has_text(image, "lmsysorg/sglang")) {
        return VENDOR_NVIDIA;
    }
    return 0;
}

enum files_engine files_container_image_engine(struct str image)
{
    if (files_has_text(image, "vllm/vllm-openai") || files_has_text(image, "vllm-openai")) {
        return ENGINE_VLLM;
    }
    if (files_has_text(image, "llama.cpp:server") || files_has_text(image, "llama.cpp-server")) {
        return ENGINE_LLAMA;
    }
    return ENGINE_NONE;
}

/* The command's engine, else the image's. */
static enum files_engine engine_of(const struct files_container *k)
{
    uint32_t first = 0;
    enum files_engine e = files_command_engine(&k->command, &first);

    if (e != ENGINE_NONE) {
        return e;
    }
    return k->has_entrypoint ? ENGINE_NONE : files_container_image_engine(k->image);
}

/* The image starts the server already and the command starts it again. */
static void check_entry_twice(struct files_ctx *c, const struct files_container *k)
{
    const struct files_command *cmd = &k->command;
    struct str first = cmd->n_words > 0 ? cmd->words[0].text : STR("");
    enum files_engine image = files_container_image_engine(k->image);
    bool program = str_eq(first, STR("vllm")) || str_starts(first, STR("python")) ||
                   str_eq(first, STR("bash")) || str_eq(first, STR("sh")) ||
                   str_starts(first, STR("/bin/")) || str_ends(first, STR("llama-server"));

    if (image == ENGINE_NONE || k->has_entrypoint || !program) {
        return;
    }
    files_wrong(c, cmd->words[0].begin, "entrypoint-twice",
                STR("the image's entry point already starts the server"),
                STR("This image has an ENTRYPOINT that runs the server; the words here are "
                    "appended to it as arguments, so the command is given twice: \"unrecognized "
                    "arguments\"."),
                k->kind == FILES_MANIFEST
                    ? STR("Give only the flags in args, or set command (it replaces the entry "
                          "point) together with the whole command line.")
                    : STR("Give only the flags, or replace the entry point (entrypoint:, "
                          "--entrypoint) when a shell is wanted."));
    if (k->kind == FILES_COMPOSE && str_eq(first, STR("vllm")) && cmd->n_words > 2 &&
        str_eq(cmd->words[1].text, STR("serve")) && !cmd->has_items) {
        bool flag = str_starts(cmd->words[2].text, STR("-"));
        struct str model = cmd->is_list ? STR("\"--model\", ") : STR("--model ");

        files_replace(c, cmd->words[0].begin, cmd->words[2].begin, flag ? STR("") : model);
    }
}

/* Are several processes on several cards going to exchange data through /dev/shm? */
static void check_shm(struct files_ctx *c, const struct files_container *k)
{
    uint64_t ranks = files_command_ranks(&k->command);
    bool many = ranks > 1;
    struct str fix = k->kind == FILES_MANIFEST
                         ? STR("Mount an emptyDir with `medium: Memory` and a sizeLimit of 2Gi or "
                               "more at /dev/shm.")
                     : k->kind == FILES_COMPOSE ? STR("Add `shm_size: \"16g\"` or `ipc: host`.")
                                                : STR("Add --shm-size=16g or --ipc=host.");

    if (k->engine == ENGINE_NONE || k->engine == ENGINE_LLAMA || k->ipc_host) {
        return;
    }
    if (k->has_shm && k->shm_bytes < (many ? SHM_MIN : SHM_DEFAULT)) {
        files_wrong(c, k->shm_at, "shm-too-small",
                    files_text(c, "%" PRIu64 " bytes of shared memory for %u ranks", k->shm_bytes,
                               (unsigned)ranks),
                    k->shm_bytes < 1024 * 1024
                        ? STR("A size without a unit is in bytes. The ranks exchange data through "
                              "/dev/shm and stop with \"no space left on device\" or a bus error.")
                        : STR("The ranks exchange data through /dev/shm; below 1 GB they stop with "
                              "\"no space left on device\" or a bus error."),
                    fix);
        if (k->kind == FILES_COMPOSE) {
            uint32_t line = files_line_of(c, k->shm_at);
            struct str s = files_line(c, line);
            size_t colon = str_find_byte(s, ':', 0);

            if (colon != SIZE_MAX) {
                size_t base = c->line_at[line - 1];

                files_replace(c, base + colon + 1, base + s.len, STR(" \"16g\""));
            }
        }
    } else if (!k->has_shm && many) {
        files_wrong(c, k->command.n_words > 0 ? k->command.words[0].begin : k->at, "shm-too-small",
                    files_text(c, "%u ranks with 64 MB of shared memory", (unsigned)ranks),
                    STR("The processes of a tensor parallel server exchange data through "
                        "/dev/shm. A container gets 64 MB there unless more is asked for; NCCL or "
                        "HCCL then stops with \"no space left on device\" or a bus error."),
                    fix);
        if (k->kind == FILES_COMPOSE && k->insert_at > 0) {
            files_replace(c, k->insert_at, k->insert_at,
                          files_text(c, "%.*sshm_size: \"16g\"\n", STR_ARG(k->indent)));
        } else if (k->kind == FILES_SCRIPT && k->image_at > 0) {
            files_replace(c, k->image_at, k->image_at, STR("--shm-size=16g "));
        }
    }
}

static bool has_node(const struct files_container *k, const char *prefix)
{
    for (uint32_t i = 0; i < k->n_nodes; i++) {
        if (str_starts(k->nodes[i], str_from_c(prefix))) {
            return true;
        }
    }
    return false;
}

static bool has_mount(const struct files_container *k, const char *prefix)
{
    for (uint32_t i = 0; i < k->n_mounts; i++) {
        if (str_starts(k->mounts[i], str_from_c(prefix)) ||
            (k->mounts[i].len > 1 && str_starts(str_from_c(prefix), k->mounts[i]))) {
            return true;
        }
    }
    return false;
}

/* What the Ascend runtime would add must be handed in by hand without it. */
static void check_ascend(struct files_ctx *c, const struct files_container *k)
{
    bool numbered = false;
    bool by_runtime = str_eq(k->runtime, STR("ascend"));
    const struct files_env *visible = files_env_find(k->env, k->n_env, "ASCEND_VISIBLE_DEVICES");

    for (uint32_t i = 0; i < k->n_nodes; i++) {
        numbered =
            numbered || (str_starts(k->nodes[i], STR("/dev/davinci")) && k->nodes[i].len > 12 &&
                         k->nodes[i].ptr[12] >= '0' && k->nodes[i].ptr[12] <= '9');
    }
    if (numbered && !by_runtime && !k->privileged &&
        (!has_node(k, "/dev/davinci_manager") || !has_node(k, "/dev/hisi_hdc") ||
         (!has_node(k, "/dev/devmm_svm") && !files_has_text(k->image, "950")))) {
        files_wrong(c, k->at, "ascend-nodes", STR("the NPU is handed in without its manager nodes"),
                    STR("/dev/davinciN alone cannot be opened: the driver also needs "
                        "/dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc."),
                    STR("Hand these three in as well, or use `runtime: ascend` with "
                        "ASCEND_VISIBLE_DEVICES."));
    }
    if (numbered && !by_runtime && k->has_mounts &&
        !has_mount(k, "/usr/local/Ascend/driver/lib64")) {
        files_wrong(c, k->at, "ascend-driver-mount",
                    STR("the NPU is handed in without the driver's libraries"),
                    STR("libascend_hal.so and libdcmi.so belong to the host's driver and are in no "
                        "image: \"libascend_hal.so: cannot open shared object file\"."),
                    STR("Mount /usr/local/Ascend/driver/lib64, /usr/local/Ascend/driver/"
                        "version.info, /usr/local/dcmi and /usr/local/bin/npu-smi, or use "
                        "`runtime: ascend`."));
    }
    if (by_runtime && visible == NULL && !numbered && k->kind != FILES_MANIFEST) {
        files_wrong(c, k->at, "ascend-visible-none",
                    STR("runtime ascend without ASCEND_VISIBLE_DEVICES"),
                    STR("The runtime hands in only the devices that this variable names; without "
                        "it there are none."),
                    STR("Set ASCEND_VISIBLE_DEVICES=0-7 (physical ids of /dev/davinciN)."));
    }
}

/* "0,2-4": how many ids, and the largest; false for names and variables. */
static bool read_ids(const struct files_env *e, uint64_t *ret_n, uint64_t *ret_max)
{
    uint64_t n = 0;
    uint64_t max = 0;
    size_t at = 0;

    while (e->known && at < e->value.len && n < 1024) {
        struct str rest = str_slice(e->value, at, e->value.len);
        struct str item = str_slice(rest, 0, str_find_byte(rest, ',', 0));
        size_t dash = str_find_byte(item, '-', 0);
        uint64_t low = 0;
        uint64_t high = 0;

        if (str_to_u64(str_trim(str_slice(item, 0, dash)), &low) != OK ||
            (dash != SIZE_MAX &&
             str_to_u64(str_trim(str_slice(item, dash + 1, item.len)), &high) != OK)) {
            return false;
        }
        high = dash == SIZE_MAX ? low : high;
        n += high >= low && high - low < 1024 ? high - low + 1 : 1;
        max = high > max ? high : max;
        at += item.len + 1;
    }
    *ret_n = n;
    *ret_max = max;
    return n > 0;
}

/* The process counts the devices of its container from 0. */
static void check_renumbered(struct files_ctx *c, const struct files_container *k)
{
    static const char *const pairs[][2] = {
        {"ASCEND_RT_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES"},
        {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"},
        {"MUSA_VISIBLE_DEVICES", "MTHREADS_VISIBLE_DEVICES"},
        {"MLU_VISIBLE_DEVICES", "CAMBRICON_VISIBLE_DEVICES"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        const struct files_env *process = files_env_find(k->env, k->n_env, pairs[i][0]);
        const struct files_env *runtime = files_env_find(k->env, k->n_env, pairs[i][1]);
        uint64_t given = k->n_gpus;
        uint64_t n = 0;
        uint64_t max = 0;
        uint64_t unused = 0;
        bool known = k->n_gpus_known || (runtime != NULL && read_ids(runtime, &given, &unused));

        if (process == NULL || !known || given == 0 || !read_ids(process, &n, &max) ||
            max < given) {
            continue;
        }
        files_wrong(c, process->at, "visible-devices-renumber",
                    files_text(c, "%s names device %u of %u", pairs[i][0], (unsigned)max,
                               (unsigned)given),
                    STR("Inside the container the devices that were handed in are counted from 0 "
                        "again; the host's (physical) ids are out of range there."),
                    files_text(c, "Number from 0, or leave %s out.", pairs[i][0]));
    }
}

/* A GPU image that is given no GPU. */
static void check_no_device(struct files_ctx *c, const struct files_container *k)
{
    const struct files_env *visible = files_env_find(k->env, k->n_env, "NVIDIA_VISIBLE_DEVICES");

    if (k->vendors == VENDOR_NVIDIA && k->engine != ENGINE_NONE && !k->asks_gpu && !k->privileged &&
        k->n_nodes == 0 && k->runtime.len == 0 && visible == NULL) {
        files_likely(c, k->at, "no-gpu", STR("a GPU image that is given no GPU"),
                     STR("Nothing here hands a GPU to the container: the server ends with \"Failed "
                         "to infer device type\" or \"libcuda.so.1: cannot open shared object "
                         "file\"."),
                     k->kind == FILES_MANIFEST ? STR("Add resources.limits with nvidia.com/gpu.")
                     : k->kind == FILES_COMPOSE
                         ? STR("Add deploy.resources.reservations.devices with driver nvidia, "
                               "count and capabilities [gpu].")
                         : STR("Add --gpus all."),
                     STR("Docker's default runtime on this host is not nvidia "
                         "(docker info | grep -i runtime)."));
    }
}

/* The image of another vendor's engine that is given nothing of its cards. */
static void check_no_node(struct files_ctx *c, const struct files_container *k)
{
    static const struct {
        uint32_t vendor;
        const char *title;
        const char *variable;
        const char *fix;
    } rows[] = {
        {VENDOR_ASCEND, "an Ascend image that is given no NPU", "ASCEND_VISIBLE_DEVICES",
         "Hand in /dev/davinciN, /dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc with the "
         "driver's folders, or use the ascend runtime with ASCEND_VISIBLE_DEVICES."},
        {VENDOR_CAMBRICON, "a Cambricon image that is given no MLU", "CAMBRICON_VISIBLE_DEVICES",
         "Hand in /dev/cambricon_devN and /dev/cambricon_ctl, or use the cambricon runtime with "
         "CAMBRICON_VISIBLE_DEVICES."},
        {VENDOR_MTHREADS, "a Moore Threads image that is given no GPU", "MTHREADS_VISIBLE_DEVICES",
         "Use the mthreads runtime with MTHREADS_VISIBLE_DEVICES=all."},
    };

    if ((k->kind != FILES_COMPOSE && k->kind != FILES_SCRIPT) || k->engine == ENGINE_NONE ||
        k->asks_gpu || k->privileged || k->runtime.len > 0 || k->n_nodes > 0) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (files_container_image_vendors(k->image) == rows[i].vendor &&
            files_env_find(k->env, k->n_env, rows[i].variable) == NULL) {
            files_likely(c, k->at, "no-device", str_from_c(rows[i].title),
                         STR("Neither device nodes nor the vendor's runtime are asked for here, so "
                             "the engine finds no device and stops."),
                         str_from_c(rows[i].fix),
                         STR("No option that this file takes from elsewhere hands the devices in "
                             "(docker inspect shows HostConfig.Devices and Runtime)."));
        }
    }
}

/* A variable that only a vendor's container runtime reads, without that runtime. */
static void check_no_runtime(struct files_ctx *c, const struct files_container *k)
{
    static const struct {
        const char *variable;
        const char *runtime;
        const char *also; // what hands devices in without it
        uint32_t vendor;
    } rows[] = {
        {"NVIDIA_VISIBLE_DEVICES", "nvidia", "reserve the devices (deploy.resources, --gpus)",
         VENDOR_NVIDIA},
        {"ASCEND_VISIBLE_DEVICES", "ascend",
         "hand in /dev/davinciN with its manager nodes and driver folders", VENDOR_ASCEND},
        {"MTHREADS_VISIBLE_DEVICES", "mthreads", "make mthreads Docker's default-runtime",
         VENDOR_MTHREADS},
        {"CAMBRICON_VISIBLE_DEVICES", "cambricon",
         "hand in /dev/cambricon_devN and /dev/cambricon_ctl", VENDOR_CAMBRICON},
    };

    if ((k->kind != FILES_COMPOSE && k->kind != FILES_SCRIPT) || k->asks_gpu || k->privileged ||
        k->runtime.len > 0 || k->n_nodes > 0) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct files_env *e = files_env_find(k->env, k->n_env, rows[i].variable);

        if (e == NULL || (k->vendors != 0 && k->vendors != rows[i].vendor) || e->value.len == 0 ||
            str_eq(e->value, STR("none")) || str_eq(e->value, STR("void"))) {
            continue;
        }
        files_likely(c, e->at, "no-gpu",
                     files_text(c, "%s without the %s runtime", rows[i].variable, rows[i].runtime),
                     files_text(c,
                                "Only the %s runtime reads this variable; another one ignores it "
                                "and the container sees no device.",
                                rows[i].runtime),
                     files_text(c, "Add `%s%s`, or %s.",
                                k->kind == FILES_COMPOSE ? "runtime: " : "--runtime=",
                                rows[i].runtime, rows[i].also),
                     files_text(c,
                                "Docker's default runtime on this host is not %s "
                                "(docker info | grep -i runtime).",
                                rows[i].runtime));
    }
}

static void check_gpu_count(struct files_ctx *c, const struct files_container *k)
{
    uint64_t ranks = files_command_ranks(&k->command);

    if (k->n_gpus_known && k->engine != ENGINE_NONE && k->engine != ENGINE_LLAMA &&
        ranks > k->n_gpus) {
        files_wrong(c, k->gpus_at, "gpu-count",
                    files_text(c, "%u ranks on %u devices", (unsigned)ranks, (unsigned)k->n_gpus),
                    STR("Tensor, pipeline and data parallel sizes multiply to the number of "
                        "devices that one server needs; the container is given fewer."),
                    files_text(c, "Ask for %u devices, or lower --tensor-parallel-size.",
                               (unsigned)ranks));
    }
}

/* The folder that the command reads against what is mounted. */
static void check_model_path(struct files_ctx *c, const struct files_container *k)
{
    const struct files_word *w =
        files_command_value(&k->command, "--model --model-path -m --model_path");
    uint32_t first = 0;
    struct str near = STR("");

    (void)files_command_engine(&k->command, &first);
    if (w == NULL && first < k->command.n_words &&
        str_starts(k->command.words[first].text, STR("/"))) {
        w = &k->command.words[first];
    }
    if (w == NULL || w->expands || !str_starts(w->text, STR("/")) || k->n_mounts == 0 ||
        k->engine == ENGINE_NONE) {
        return;
    }
    for (uint32_t i = 0; i < k->n_mounts; i++) {
        struct str m = k->mounts[i];

        while (m.len > 1 && m.ptr[m.len - 1] == '/') {
            m.len--;
        }
        if (str_starts(w->text, m) &&
            (w->text.len == m.len || w->text.ptr[m.len] == '/' || m.len == 1)) {
            return;
        }
        if (m.len > 0 && m.ptr[0] != '/') {
            return; // a variable: cannot tell
        }
        if (str_starts(w->text, m) || str_starts(m, w->text) || str_distance(m, w->text) <= 6) {
            near = m;
        }
    }
    if (near.len > 0) {
        files_wrong(c, w->begin, "model-path",
                    files_text(c, "%.*s is read, %.*s is mounted", STR_ARG(w->text), STR_ARG(near)),
                    STR("The two paths differ, so the model is not found; the engine may then take "
                        "the path for a hub name."),
                    files_text(c, "Use one path for both, for example %.*s.", STR_ARG(near)));
        if (k->command.is_list || k->kind != FILES_SCRIPT) {
            bool quoted = c->text.ptr[w->begin] == '"';

            files_replace(c, w->begin, w->end,
                          quoted ? files_text(c, "\"%.*s\"", STR_ARG(near)) : near);
        }
    } else {
        files_likely(c, w->begin, "model-path",
                     files_text(c, "%.*s lies under no mount", STR_ARG(w->text)),
                     STR("No volume of this container covers the model's folder, so it exists only "
                         "if the image carries it."),
                     STR("Mount the folder that holds the model at that path."),
                     STR("The image does not contain the folder."));
    }
}

/* llama.cpp's CPU image asked for GPU layers. */
static void check_cpu_image(struct files_ctx *c, const struct files_container *k)
{
    bool cpu = str_ends(k->image, STR("llama.cpp:server")) ||
               str_ends(k->image, STR("llama.cpp:full")) ||
               str_ends(k->image, STR("llama.cpp:light"));
    const struct files_word *w =
        files_command_value(&k->command, "-ngl --n-gpu-layers --gpu-layers");

    if (cpu && (k->asks_gpu || (w != NULL && !str_eq(w->text, STR("0"))))) {
        files_wrong(c, k->image_at, "cpu-image", STR("a CPU build of llama.cpp with GPU settings"),
                    STR("This tag is built without CUDA; GPU layers and devices are ignored and "
                        "everything runs on the processor."),
                    STR("Use the tag server-cuda (server-musa on Moore Threads)."));
    }
}

/* Nodes, runtime, image and resources of two vendors in one container. */
static void check_mixed(struct files_ctx *c, const struct files_container *k)
{
    uint32_t numbered = 0;

    if (k->kind != FILES_DOCKERFILE && (k->vendors & (k->vendors - 1)) != 0) {
        files_wrong(c, k->at, "vendors-mixed",
                    STR("one container start for cards of several vendors"),
                    STR("Image, runtime, device nodes and variables differ from vendor to vendor; "
                        "what belongs to another vendor is missing on this host and the start "
                        "fails, or the engine of the image finds no device."),
                    STR("Write one start per vendor: image, runtime and devices of the same one."));
    }
    for (uint32_t i = 0; i < k->n_nodes; i++) {
        numbered += str_starts(k->nodes[i], STR("/dev/davinci")) && k->nodes[i].len > 12 &&
                    k->nodes[i].ptr[12] >= '0' && k->nodes[i].ptr[12] <= '9';
    }
    if (numbered >= 8) {
        files_advise(c, k->at,
                     files_text(c,
                                "%u fixed davinci nodes: an A2 server has 8, an A3 16; "
                                "a missing one stops the start",
                                numbered));
    }
}

void files_container_check(struct files_ctx *c, struct files_container *k)
{
    k->vendors |= files_container_image_vendors(k->image) | files_command_vendors(&k->command);
    if (str_eq(k->runtime, STR("ascend")) || has_node(k, "/dev/davinci")) {
        k->vendors |= VENDOR_ASCEND;
    }
    if (str_eq(k->runtime, STR("mthreads"))) {
        k->vendors |= VENDOR_MTHREADS;
    }
    if (has_node(k, "/dev/cambricon")) {
        k->vendors |= VENDOR_CAMBRICON;
    }
    if (str_eq(k->runtime, STR("nvidia"))) {
        k->vendors |= VENDOR_NVIDIA;
    }
    k->engine = engine_of(k);
    for (uint32_t i = 0; i < k->n_env; i++) {
        files_env_check(c, &k->env[i], k->vendors, k->engine);
    }
    files_command_check(c, &k->command, k);
    check_mixed(c, k);
    check_entry_twice(c, k);
    check_shm(c, k);
    check_gpu_count(c, k);
    check_model_path(c, k);
    check_cpu_image(c, k);
    check_no_device(c, k);
    check_no_node(c, k);
    check_no_runtime(c, k);
    check_renumbered(c, k);
    if (k->vendors & VENDOR_ASCEND) {
        check_ascend(c, k);
    }
    if (str_eq(k->runtime, STR("mthreads")) &&
        files_env_find(k->env, k->n_env, "MTHREADS_VISIBLE_DEVICES") == NULL &&
        files_env_find(k->env, k->n_env, "METHERDS_VISIBLE_DEVICES") == NULL) {
        files_wrong(c, k->at, "mthreads-visible-none",
                    STR("runtime mthreads without MTHREADS_VISIBLE_DEVICES"),
                    STR("The runtime hands in only the cards that this variable names."),
                    STR("Set MTHREADS_VISIBLE_DEVICES=all."));
    }
}
