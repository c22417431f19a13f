/* Kubernetes manifests: pods and what makes pods, services. */
#include "base/check.h"
#include "doctor/compose_yaml.h"
#include "doctor/files_kinds.h"

#include <inttypes.h>
#include <string.h>

#define ENV_MAX 256

struct pod {
    const struct yaml_node *spec;
    const struct yaml_node *security; // of the pod
    const struct yaml_node *volumes;
};

static bool text_is(const struct yaml_node *n, const char *text)
{
    return n != NULL && n->kind == YAML_TEXT && str_eq(n->text, str_from_c(text));
}

static void check_texts(struct files_ctx *c, const struct yaml_node *list, const char *what)
{
    for (uint32_t i = 0; list != NULL && list->kind == YAML_LIST && i < list->n; i++) {
        const struct yaml_node *v = list->items[i];

        if (compose_yaml_is_number(v) || compose_yaml_is_bool(v)) {
            files_wrong(c, v->begin, "k8s-text",
                        files_text(c, "%s has a bare %s", what,
                                   compose_yaml_is_bool(v) ? "truth value" : "number"),
                        STR("Every word must be text; the API server refuses the object (\"cannot "
                            "unmarshal number into Go struct field of type string\")."),
                        files_text(c, "Write \"%.*s\" in quotes.", STR_ARG(v->text)));
            files_replace(c, v->begin, v->end, files_text(c, "\"%.*s\"", STR_ARG(v->text)));
        }
    }
}

static void read_env(struct files_ctx *c, const struct yaml_node *list, struct files_container *k)
{
    for (uint32_t i = 0; list != NULL && list->kind == YAML_LIST && i < list->n; i++) {
        const struct yaml_node *name = compose_yaml_get(list->items[i], "name");
        const struct yaml_node *v = compose_yaml_get(list->items[i], "value");
        struct files_env e = {0};

        if (name == NULL || name->kind != YAML_TEXT || k->n_env == ENV_MAX) {
            continue;
        }
        e.name = name->text;
        e.at = name->begin;
        if (v == NULL || v->kind != YAML_TEXT) {
            e.begin = e.end = name->end;
            k->env[k->n_env++] = e;
            continue;
        }
        e.value = v->text;
        e.begin = v->begin;
        e.end = v->end;
        e.keeps_quot = v->style != 'p';
        e.known = str_find(v->text, STR("$("), 0) == SIZE_MAX;
        if (compose_yaml_is_number(v) || compose_yaml_is_bool(v)) {
            files_wrong(c, v->begin, "k8s-text",
                        files_text(c, "the value of %.*s is no text", STR_ARG(e.name)),
                        STR("env values are strings; the API server refuses bare numbers and truth "
                            "values (\"cannot unmarshal ... into Go struct field EnvVar.value of "
                            "type string\")."),
                        files_text(c, "Write \"%.*s\" in quotes.", STR_ARG(v->text)));
            files_replace(c, v->begin, v->end, files_text(c, "\"%.*s\"", STR_ARG(v->text)));
        }
        k->env[k->n_env++] = e;
    }
}

/* Shares and sizes of the vendors' device plug-ins: what one unit is. */
static const struct {
    const char *ends; // of the resource name
    uint64_t min;     // 0 is no finding
    uint64_t max;
    const char *unit;
    const char *example;
} units[] = {
    {"mlu.smlu.vmemory", 1, 100, "percent of the card's memory", "50 for half a card"},
    {"mlu.smlu.vcore", 1, 100, "percent of the card", "50 for half a card"},
    {"nvidia.com/gpumem-percentage", 1, 100, "percent of the card's memory", "50 for half a card"},
    {"nvidia.com/gpucores", 0, 100, "percent of the card", "50 for half a card"},
    {"nvidia.com/gpumem", 256, 1000000, "MB of device memory", "8192 for 8 GB"},
    {"mthreads.com/sgpu-memory", 1, 256, "blocks of 512 MiB", "32 for 16 GiB"},
    {"mthreads.com/sgpu-core", 1, 16, "sixteenths of the card", "8 for half a card"},
    {"hygon.com/dcumem", 256, 1000000, "MB of device memory", "8192 for 8 GB"},
    {"hygon.com/dcucores", 1, 100, "percent of the card", "50 for half a card"},
    {"-memory", 256, 1000000, "MB of device memory", "8192 for 8 GB"},
};

static void check_unit(struct files_ctx *c, const struct yaml_node *key, const struct yaml_node *v)
{
    uint64_t n = 0;
    bool plain = v->kind == YAML_TEXT && str_to_u64(v->text, &n) == OK;

    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (!str_ends(key->text, str_from_c(units[i].ends)) ||
            str_find_byte(key->text, '/', 0) == SIZE_MAX) {
            continue;
        }
        if (plain && n >= units[i].min && n <= units[i].max) {
            return;
        }
        files_wrong(c, v->begin, "k8s-unit",
                    files_text(c, "%.*s: %.*s has the wrong unit", STR_ARG(key->text),
                               STR_ARG(v->text)),
                    files_text(c, "This resource counts in %s%s, as a plain whole number.",
                               units[i].unit,
                               units[i].max == 100 ? " (a percentage, not MiB)" : ""),
                    files_text(c, "Write a number in that unit, for example %s.",
                               units[i].example));
        return;
    }
}

static bool is_device_resource(struct str key)
{
    static const char *const domains[] = {"nvidia.com/gpu", "huawei.com/Ascend", "huawei.com/npu",
                                          "cambricon.com/", "mthreads.com/",     "nvidia.com/mig-",
                                          "hygon.com/",     "iluvatar.ai/",      "metax-tech.com/",
                                          "amd.com/gpu"};

    for (size_t i = 0; i < ARRAY_COUNT(domains); i++) {
        if (str_starts(key, str_from_c(domains[i]))) {
            return true;
        }
    }
    return false;
}

/* A whole device, not memory or cores of one. */
static bool counts_devices(struct str key)
{
    return is_device_resource(key) && !str_ends(key, STR("-memory")) &&
           !str_ends(key, STR("-core")) && str_find(key, STR("vmemory"), 0) == SIZE_MAX &&
           str_find(key, STR("vcore"), 0) == SIZE_MAX &&
           str_find(key, STR("gpumem"), 0) == SIZE_MAX &&
           str_find(key, STR("cores"), 0) == SIZE_MAX &&
           str_find(key, STR("smlu"), 0) == SIZE_MAX && str_find(key, STR("sgpu"), 0) == SIZE_MAX &&
           str_find(key, STR("dcumem"), 0) == SIZE_MAX;
}

static uint32_t resource_vendor(struct str key)
{
    return str_starts(key, STR("nvidia.com/"))      ? VENDOR_NVIDIA
           : str_starts(key, STR("huawei.com/"))    ? VENDOR_ASCEND
           : str_starts(key, STR("cambricon.com/")) ? VENDOR_CAMBRICON
           : str_starts(key, STR("mthreads.com/"))  ? VENDOR_MTHREADS
                                                    : 0;
}

static void check_misspelt(struct files_ctx *c, const struct yaml_node *key)
{
    static const char *const wrong[][2] = {
        {"nvidia.com/gpus", "nvidia.com/gpu"},
        {"nvidia.com/GPU", "nvidia.com/gpu"},
        {"nvidia/gpu", "nvidia.com/gpu"},
        {"gpu", "nvidia.com/gpu"},
        {"huawei.com/ascend910", "huawei.com/Ascend910"},
        {"huawei.com/ascend910b", "huawei.com/Ascend910"},
        {"huawei.com/ascend310p", "huawei.com/Ascend310P"},
        {"ascend.com/npu", "huawei.com/Ascend910"},
        {"cambricon.com/mlus", "cambricon.com/mlu"},
        {"alpha.kubernetes.io/nvidia-gpu", "nvidia.com/gpu"},
        {"moorethreads.com/gpu", "mthreads.com/gpu"},
        {"mthreads.com/gpus", "mthreads.com/gpu"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        if (str_eq(key->text, str_from_c(wrong[i][0]))) {
            files_wrong(c, key->begin, "k8s-resource-name",
                        files_text(c, "no device plug-in offers %.*s", STR_ARG(key->text)),
                        STR("Resource names are case-sensitive and fixed by the vendor's device "
                            "plug-in; a pod that asks for another name stays Pending "
                            "(\"Insufficient ...\")."),
                        files_text(c, "Write %s (kubectl describe node lists the names).",
                                   wrong[i][1]));
            files_replace(c, key->begin, key->end, str_from_c(wrong[i][1]));
        }
    }
}

static void check_memory_quantity(struct files_ctx *c, const struct yaml_node *key,
                                  const struct yaml_node *v)
{
    uint64_t n = 0;
    struct str s = v->text;

    if (!str_eq(key->text, STR("memory")) || v->kind != YAML_TEXT) {
        return;
    }
    if (str_ends(s, STR("B")) || str_ends(s, STR("b"))) {
        files_wrong(c, v->begin, "k8s-quantity",
                    files_text(c, "%.*s is no Kubernetes quantity", STR_ARG(s)),
                    STR("Suffixes are Ki, Mi, Gi, Ti (or k, M, G, T) without a B; the API server "
                        "refuses the object."),
                    STR("Write 64Gi."));
        files_replace(c, v->begin, v->end,
                      files_text(c, "%.*si", STR_ARG(str_slice(s, 0, s.len - 1))));
    } else if (str_ends(s, STR("m")) || (str_to_u64(s, &n) == OK && n < 1048576)) {
        files_wrong(c, v->begin, "k8s-quantity",
                    files_text(c, "a memory of %.*s is less than a megabyte", STR_ARG(s)),
                    STR("Without a suffix the number is in bytes, and m means thousandths of a "
                        "byte."),
                    STR("Write the unit: 64Gi."));
    }
}

static void read_resources(struct files_ctx *c, const struct yaml_node *resources,
                           struct files_container *k)
{
    const struct yaml_node *limits = compose_yaml_get(resources, "limits");
    const struct yaml_node *requests = compose_yaml_get(resources, "requests");
    const struct yaml_node *both[2] = {limits, requests};

    for (size_t b = 0; b < 2; b++) {
        for (uint32_t i = 0; both[b] != NULL && both[b]->kind == YAML_MAP && i < both[b]->n; i++) {
            const struct yaml_node *key = both[b]->keys[i];
            const struct yaml_node *v = both[b]->items[i];
            const char *name = key->text.ptr;
            uint64_t n = 0;

            check_misspelt(c, key);
            check_memory_quantity(c, key, v);
            if (!is_device_resource(key->text) || v->kind != YAML_TEXT) {
                continue;
            }
            check_unit(c, key, v);
            k->vendors |= resource_vendor(key->text);
            k->asks_gpu = true;
            if (counts_devices(key->text)) {
                if (str_to_u64(v->text, &n) != OK) {
                    files_wrong(c, v->begin, "k8s-whole-device",
                                files_text(c, "%.*s: %.*s is no whole number", STR_ARG(key->text),
                                           STR_ARG(v->text)),
                                STR("Devices are handed out whole; fractions are refused."),
                                STR("Write 1, or use the vendor's sharing resources (memory and "
                                    "cores of HAMi, MIG, gpu.shared)."));
                } else {
                    k->n_gpus = n;
                    k->n_gpus_known = true;
                    k->gpus_at = v->begin;
                }
            }
            if (b == 1 && compose_yaml_get(limits, name) == NULL) {
                files_wrong(c, key->begin, "k8s-limit",
                            files_text(c, "%.*s is requested but not limited", STR_ARG(key->text)),
                            STR("Extended resources need a limit, and request and limit must be "
                                "equal; the API server refuses the pod."),
                            STR("Put it under limits (the request then follows by itself)."));
            } else if (b == 1 && !str_eq(compose_yaml_text(limits, name), v->text)) {
                files_wrong(c, v->begin, "k8s-limit",
                            files_text(c, "request and limit of %.*s differ", STR_ARG(key->text)),
                            STR("For extended resources both must be equal; the API server "
                                "refuses the pod."),
                            STR("Write the same number in both."));
                files_replace(c, v->begin, v->end, compose_yaml_text(limits, name));
            }
        }
    }
}

static const struct yaml_node *volume_named(const struct yaml_node *volumes, struct str name)
{
    for (uint32_t i = 0; volumes != NULL && volumes->kind == YAML_LIST && i < volumes->n; i++) {
        if (str_eq(compose_yaml_text(volumes->items[i], "name"), name)) {
            return volumes->items[i];
        }
    }
    return NULL;
}

static void read_shm(struct files_ctx *c, const struct yaml_node *mount,
                     const struct yaml_node *volume, struct files_container *k)
{
    const struct yaml_node *empty = compose_yaml_get(volume, "emptyDir");
    const struct yaml_node *medium = compose_yaml_get(empty, "medium");
    const struct yaml_node *limit = compose_yaml_get(empty, "sizeLimit");

    k->has_shm = true;
    k->shm_bytes = UINT64_MAX;
    k->shm_at = mount->begin;
    if (empty == NULL) {
        return;
    }
    if (medium != NULL && !text_is(medium, "Memory")) {
        files_wrong(c, medium->begin, "shm-medium",
                    files_text(c, "the medium is called Memory, not %.*s", STR_ARG(medium->text)),
                    STR("Only `medium: Memory` (with this capital) makes a volume in memory."),
                    STR("Write medium: Memory."));
        files_replace(c, medium->begin, medium->end, STR("Memory"));
    } else if (medium == NULL) {
        files_wrong(c, volume->begin, "shm-medium", STR("/dev/shm is a folder on disk"),
                    STR("An emptyDir without `medium: Memory` lies on the node's disk: shared "
                        "memory becomes slow and wears the disk."),
                    STR("Write emptyDir: {medium: Memory, sizeLimit: 16Gi}."));
        if (empty->kind == YAML_MAP && empty->n == 0 && empty->flow) {
            files_replace(c, empty->begin, empty->end, STR("{medium: Memory, sizeLimit: 16Gi}"));
        }
    }
    if (limit != NULL && limit->kind == YAML_TEXT && files_bytes(limit->text, &k->shm_bytes)) {
        k->shm_at = limit->begin;
    }
}

static void read_mounts(struct files_ctx *c, const struct yaml_node *container, const struct pod *p,
                        struct files_container *k)
{
    const struct yaml_node *list = compose_yaml_get(container, "volumeMounts");

    for (uint32_t i = 0; list != NULL && list->kind == YAML_LIST && i < list->n; i++) {
        const struct yaml_node *m = list->items[i];
        struct str path = compose_yaml_text(m, "mountPath");
        struct str name = compose_yaml_text(m, "name");
        const struct yaml_node *volume = volume_named(p->volumes, name);

        k->has_mounts = true;
        if (k->n_mounts < ARRAY_COUNT(k->mounts)) {
            k->mounts[k->n_mounts++] = path;
        }
        if (volume == NULL && !files_has_text(c->text, "volumeClaimTemplates")) {
            files_wrong(c, m->begin, "k8s-volume",
                        files_text(c, "the volume %.*s is not defined", STR_ARG(name)),
                        STR("volumeMounts refers to a name that is not under the pod's volumes; "
                            "the API server refuses the pod."),
                        STR("Add it under volumes, or correct the name."));
        }
        if (str_eq(path, STR("/dev/shm")) && volume != NULL) {
            read_shm(c, m, volume, k);
        }
    }
}

static bool lists(const struct yaml_node *n, const char *text)
{
    for (uint32_t i = 0; n != NULL && n->kind == YAML_LIST && i < n->n; i++) {
        if (n->items[i]->kind == YAML_TEXT && str_eq_nocase(n->items[i]->text, str_from_c(text))) {
            return true;
        }
    }
    return false;
}

static void check_ascend_rights(struct files_ctx *c, const struct yaml_node *container,
                                const struct pod *p)
{
    const struct yaml_node *own = compose_yaml_get(container, "securityContext");
    const struct yaml_node *caps = compose_yaml_get(own, "capabilities");
    const struct yaml_node *drop = compose_yaml_get(caps, "drop");
    const struct yaml_node *user = compose_yaml_get(own, "runAsUser");
    const struct yaml_node *group = compose_yaml_get(own, "runAsGroup");
    const struct yaml_node *fs = compose_yaml_get(p->security, "fsGroup");
    const struct yaml_node *extra = compose_yaml_get(p->security, "supplementalGroups");
    bool in_group;

    user = user != NULL ? user : compose_yaml_get(p->security, "runAsUser");
    group = group != NULL ? group : compose_yaml_get(p->security, "runAsGroup");
    in_group = text_is(user, "1000") || text_is(group, "1000") || text_is(fs, "1000") ||
               lists(extra, "1000");
    if (text_is(compose_yaml_get(own, "privileged"), "true") || in_group) {
        return;
    }
    if (lists(drop, "ALL") && !lists(compose_yaml_get(caps, "add"), "DAC_OVERRIDE")) {
        files_wrong(c, drop->begin, "cap-drop-all",
                    STR("all capabilities are dropped on an Ascend container"),
                    STR("The device nodes belong to HwHiAiUser (uid and gid 1000, mode 660). Root "
                        "without the capability DAC_OVERRIDE is not their owner and cannot open "
                        "them: dcmi answers -8005."),
                    STR("Add DAC_OVERRIDE under capabilities.add, or run with runAsUser: 1000 and "
                        "runAsGroup: 1000."));
        files_replace(c, drop->end, drop->end,
                      drop->flow && c->text.ptr[drop->end] != '\n' ? STR(", add: [DAC_OVERRIDE]")
                                                                   : STR(""));
    } else if (user != NULL && user->kind == YAML_TEXT && !str_eq(user->text, STR("0"))) {
        files_wrong(c, user->begin, "ascend-user",
                    files_text(c, "user %.*s is not in the devices' group", STR_ARG(user->text)),
                    STR("The device nodes belong to HwHiAiUser (gid 1000, mode 660); other users "
                        "get \"permission denied\" or dcmi -8005."),
                    STR("Add supplementalGroups: [1000] to the pod's securityContext."));
    }
}

/* A user number without an entry in the image's /etc/passwd. */
static void check_unknown_user(struct files_ctx *c, const struct yaml_node *container,
                               const struct pod *p, const struct files_container *k)
{
    const struct yaml_node *own = compose_yaml_get(container, "securityContext");
    const struct yaml_node *user = compose_yaml_get(own, "runAsUser");
    uint64_t id = 0;

    user = user != NULL ? user : compose_yaml_get(p->security, "runAsUser");
    if (user == NULL || user->kind != YAML_TEXT || str_to_u64(user->text, &id) != OK || id < 1001 ||
        (k->engine != ENGINE_VLLM && k->engine != ENGINE_SGLANG) ||
        files_env_find(k->env, k->n_env, "USER") != NULL ||
        files_env_find(k->env, k->n_env, "LOGNAME") != NULL) {
        return;
    }
    files_likely(c, user->begin, "uid-no-passwd",
                 files_text(c, "uid %.*s has no entry in the image's /etc/passwd",
                            STR_ARG(user->text)),
                 STR("torch and HCCL ask for the user's name (\"getpwuid(): uid not found\", ra "
                     "init failed), and without HOME the caches have no place to be written."),
                 STR("Set USER and HOME in env (HOME on a writable volume), or use a uid that the "
                     "image knows."),
                 STR("`getent passwd` in the container prints nothing for this uid."));
}

/* A root folder that cannot be written, and no place for caches and temporary files. */
static void check_read_only(struct files_ctx *c, const struct yaml_node *container,
                            const struct files_container *k)
{
    const struct yaml_node *own = compose_yaml_get(container, "securityContext");
    const struct yaml_node *flag = compose_yaml_get(own, "readOnlyRootFilesystem");
    bool writable = false;

    for (uint32_t i = 0; i < k->n_mounts; i++) {
        writable = writable || str_starts(k->mounts[i], STR("/tmp"));
    }
    if (text_is(flag, "true") && k->engine != ENGINE_NONE && k->engine != ENGINE_LLAMA &&
        !writable) {
        files_wrong(c, flag->begin, "read-only-root", STR("the engine cannot write anywhere"),
                    STR("Engines write compiled kernels, sockets and caches to /tmp and the home "
                        "folder; with a read-only root and no volume there they stop with \"read-"
                        "only file system\"."),
                    STR("Mount an emptyDir at /tmp and at the cache folder (HOME), or drop "
                        "readOnlyRootFilesystem."));
    }
}

static uint64_t number_of(const struct yaml_node *map, const char *key, uint64_t otherwise)
{
    uint64_t v = otherwise;

    return str_to_u64(compose_yaml_text(map, key), &v) == OK ? v : otherwise;
}

static void check_probes(struct files_ctx *c, const struct yaml_node *container,
                         const struct files_container *k)
{
    const struct yaml_node *live = compose_yaml_get(container, "livenessProbe");
    const struct files_word *w = files_command_value(&k->command, "--port");
    static const char *const names[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    uint64_t port = 0;
    uint64_t grace;

    if (k->engine == ENGINE_NONE) {
        return;
    }
    grace = number_of(live, "initialDelaySeconds", 0) +
            number_of(live, "periodSeconds", 10) * number_of(live, "failureThreshold", 3);
    if (live != NULL && compose_yaml_get(container, "startupProbe") == NULL && grace < 300) {
        files_likely(c, live->begin, "probe-start",
                     files_text(c, "the liveness probe kills the server after %" PRIu64 " seconds",
                                grace),
                     STR("Loading weights takes minutes (10 to 50 for the largest models). The "
                         "kubelet restarts the container before it is ready, again and again."),
                     STR("Add a startupProbe with failureThreshold 180 and periodSeconds 10, or "
                         "raise initialDelaySeconds of the liveness probe."),
                     STR("kubectl describe pod shows \"Liveness probe failed\" during loading."));
    }
    if (w != NULL) {
        size_t eq = str_find_byte(w->text, '=', 0);

        if (str_to_u64(eq == SIZE_MAX ? w->text : str_slice(w->text, eq + 1, w->text.len), &port) !=
            OK) {
            return;
        }
    } else {
        port = k->engine == ENGINE_VLLM     ? 8000
               : k->engine == ENGINE_SGLANG ? 30000
               : k->engine == ENGINE_LLAMA  ? 8080
                                            : 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const struct yaml_node *get =
            compose_yaml_get(compose_yaml_get(container, names[i]), "httpGet");
        const struct yaml_node *at = compose_yaml_get(get, "port");
        uint64_t probed = 0;

        if (at != NULL && at->kind == YAML_TEXT && str_to_u64(at->text, &probed) == OK &&
            port != 0 && probed != port) {
            files_wrong(c, at->begin, "port-mismatch",
                        files_text(c, "%s asks port %u, the server listens on %u", names[i],
                                   (unsigned)probed, (unsigned)port),
                        STR("The probe never succeeds, so the pod is never ready or is restarted."),
                        files_text(c, "Write port: %u.", (unsigned)port));
            files_replace(c, at->begin, at->end, files_text(c, "%u", (unsigned)port));
        }
    }
}

static void join_command(struct files_ctx *c, const struct yaml_node *container,
                         struct files_container *k)
{
    const struct yaml_node *command = compose_yaml_get(container, "command");
    const struct yaml_node *args = compose_yaml_get(container, "args");
    struct files_command head;
    struct files_command tail;

    check_texts(c, command, "command");
    check_texts(c, args, "args");
    compose_yaml_command(c, command, &head);
    compose_yaml_command(c, args, &tail);
    k->has_entrypoint = command != NULL;
    k->command = command != NULL && args == NULL ? head : tail;
    if (command != NULL && args != NULL) {
        uint32_t n = head.n_words + tail.n_words;

        k->command.words = arena_zalloc(c->arena, n + 1, sizeof(*k->command.words));
        if (k->command.words == NULL) {
            c->no_memory = true;
            k->command.n_words = 0;
            return;
        }
        for (uint32_t i = 0; i < n; i++) {
            k->command.words[i] = i < head.n_words ? head.words[i] : tail.words[i - head.n_words];
        }
        k->command.n_words = n;
    }
    if (command != NULL && command->kind == YAML_TEXT) {
        files_wrong(c, command->begin, "k8s-command-list", STR("command is no list"),
                    STR("command and args are lists of words; the API server refuses a string."),
                    STR("Write command: [vllm, serve, DIR]."));
    }
}

/* Tensor parallel over shares of cards: the fast all-reduce needs whole ones. */
static void check_shared_ranks(struct files_ctx *c, const struct yaml_node *limits,
                               const struct files_container *k)
{
    bool shared = compose_yaml_get(limits, "nvidia.com/gpumem") != NULL ||
                  compose_yaml_get(limits, "nvidia.com/gpumem-percentage") != NULL;
    bool off = false;

    for (uint32_t i = 0; i < k->command.n_words; i++) {
        off = off || files_has_text(k->command.words[i].text, "disable-custom-all-reduce");
    }
    if (shared && !off && k->engine == ENGINE_VLLM && files_command_ranks(&k->command) > 1) {
        files_likely(c, limits->begin, "shared-all-reduce",
                     STR("tensor parallel over shares of GPUs with the custom all-reduce"),
                     STR("The custom all-reduce exchanges memory between processes by CUDA IPC, "
                         "which the sharing layer does not pass on: \"invalid argument\" in "
                         "custom_all_reduce while graphs are captured."),
                     STR("Add --disable-custom-all-reduce, or give whole GPUs."),
                     STR("The log names custom_all_reduce."));
    }
}

static void check_container(struct files_ctx *c, const struct yaml_node *n, const struct pod *p)
{
    struct files_container k = {.kind = FILES_MANIFEST, .at = n->begin};
    const struct yaml_node *image = compose_yaml_get(n, "image");

    k.env = arena_zalloc(c->arena, ENV_MAX, sizeof(*k.env));
    if (k.env == NULL || n->kind != YAML_MAP) {
        c->no_memory = c->no_memory || k.env == NULL;
        return;
    }
    if (image != NULL && image->kind == YAML_TEXT) {
        k.image = image->text;
        k.image_at = image->begin;
    }
    k.ipc_host = text_is(compose_yaml_get(p->spec, "hostIPC"), "true");
    k.net_host = text_is(compose_yaml_get(p->spec, "hostNetwork"), "true");
    k.privileged =
        text_is(compose_yaml_get(compose_yaml_get(n, "securityContext"), "privileged"), "true");
    k.runtime = compose_yaml_text(p->spec, "runtimeClassName");
    join_command(c, n, &k);
    read_env(c, compose_yaml_get(n, "env"), &k);
    read_mounts(c, n, p, &k);
    read_resources(c, compose_yaml_get(n, "resources"), &k);
    files_container_check(c, &k);
    if (k.vendors & VENDOR_ASCEND) {
        check_ascend_rights(c, n, p);
    }
    check_unknown_user(c, n, p, &k);
    check_read_only(c, n, &k);
    check_shared_ranks(c, compose_yaml_get(compose_yaml_get(n, "resources"), "limits"), &k);
    check_probes(c, n, &k);
}

/* The pod's spec inside whatever makes pods; limited depth. */
static void check_pods(struct files_ctx *c, const struct yaml_node *n, uint32_t depth)
{
    const struct yaml_node *containers = compose_yaml_get(n, "containers");
    const struct yaml_node *init = compose_yaml_get(n, "initContainers");
    struct pod p = {.spec = n,
                    .security = compose_yaml_get(n, "securityContext"),
                    .volumes = compose_yaml_get(n, "volumes")};

    if (n == NULL || depth > 12) {
        return;
    }
    for (uint32_t i = 0; containers != NULL && containers->kind == YAML_LIST && i < containers->n;
         i++) {
        check_container(c, containers->items[i], &p);
    }
    for (uint32_t i = 0; init != NULL && init->kind == YAML_LIST && i < init->n; i++) {
        check_container(c, init->items[i], &p);
    }
    for (uint32_t i = 0; containers == NULL && n->kind == YAML_MAP && i < n->n; i++) {
        check_pods(c, n->items[i], depth + 1);
    }
    for (uint32_t i = 0; n->kind == YAML_LIST && i < n->n && i < 1000; i++) {
        check_pods(c, n->items[i], depth + 1);
    }
}

/* Kubernetes puts <NAME>_PORT=tcp://... into every pod of the namespace. */
static void check_service_name(struct files_ctx *c, const struct yaml_node *root)
{
    const struct yaml_node *name = compose_yaml_get(compose_yaml_get(root, "metadata"), "name");

    if (!text_is(compose_yaml_get(root, "kind"), "Service") || !text_is(name, "vllm")) {
        return;
    }
    files_wrong(c, name->begin, "service-name-vllm", STR("a Service named vllm"),
                STR("Kubernetes gives every pod of the namespace the variable VLLM_PORT with "
                    "\"tcp://ADDRESS:PORT\" for it, which vLLM reads as its internal port and "
                    "stops: \"invalid literal for int()\"."),
                STR("Name the service otherwise (vllm-server), or set enableServiceLinks: false in "
                    "the pod's spec."));
    files_replace(c, name->begin, name->end, STR("vllm-server"));
}

static void check_api(struct files_ctx *c, const struct yaml_node *root)
{
    static const char *const old[][3] = {
        {"Deployment", "extensions/v1beta1", "apps/v1"},
        {"Deployment", "apps/v1beta1", "apps/v1"},
        {"Deployment", "apps/v1beta2", "apps/v1"},
        {"Deployment", "v1", "apps/v1"},
        {"StatefulSet", "v1", "apps/v1"},
        {"DaemonSet", "extensions/v1beta1", "apps/v1"},
        {"CronJob", "batch/v1beta1", "batch/v1"},
        {"Job", "v1", "batch/v1"},
        {"Pod", "apps/v1", "v1"},
        {"Service", "apps/v1", "v1"},
        {"Ingress", "extensions/v1beta1", "networking.k8s.io/v1"},
        {"Ingress", "networking.k8s.io/v1beta1", "networking.k8s.io/v1"},
    };
    const struct yaml_node *api = compose_yaml_get(root, "apiVersion");
    const struct yaml_node *kind = compose_yaml_get(root, "kind");

    for (size_t i = 0; i < ARRAY_COUNT(old); i++) {
        if (text_is(kind, old[i][0]) && text_is(api, old[i][1])) {
            files_wrong(c, api->begin, "k8s-api",
                        files_text(c, "%s is not in %s", old[i][0], old[i][1]),
                        STR("The API server answers \"no matches for kind\"."),
                        files_text(c, "Write apiVersion: %s.", old[i][2]));
            files_replace(c, api->begin, api->end, str_from_c(old[i][2]));
        }
    }
    if (api == NULL && kind != NULL) {
        files_wrong(c, kind->begin, "k8s-api", STR("an object without apiVersion"),
                    STR("Every object names its API group and version."),
                    STR("Add apiVersion (v1 for Pod and Service, apps/v1 for Deployment)."));
    }
}

MUST_USE enum status manifest_check(struct files_ctx *c, struct error *err)
{
    struct yaml_file f;
    enum status rc = compose_yaml_read(c, &f, err);

    if (rc != OK || f.n == 0) {
        return rc;
    }
    for (uint32_t d = 0; d < f.n; d++) {
        const struct yaml_node *root = f.documents[d];

        if (root == NULL || root->kind != YAML_MAP) {
            if (root != NULL && root->kind == YAML_TEXT && str_trim(root->text).len == 0) {
                continue;
            }
            return error_set(err, E_INVALID, "%.*s: document %u is no Kubernetes object",
                             STR_ARG(c->path), d + 1);
        }
        compose_yaml_duplicates(c, root);
        check_api(c, root);
        if (!files_has_text(c->text, "enableServiceLinks: false")) {
            check_service_name(c, root);
        }
        check_pods(c, root, 0);
    }
    return OK;
}
