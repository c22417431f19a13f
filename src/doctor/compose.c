/* Compose files. */
#include "base/check.h"
#include "doctor/compose_yaml.h"
#include "doctor/files_kinds.h"

#include <string.h>

#define ENV_MAX 256

static bool text_is(const struct yaml_node *n, const char *text)
{
    return n != NULL && n->kind == YAML_TEXT && str_eq(n->text, str_from_c(text));
}

/* `- NAME="value"` or `NAME: value`. */
static void read_environment(struct files_ctx *c, const struct yaml_node *env,
                             struct files_container *k)
{
    if (env == NULL || env->kind == YAML_TEXT) {
        return;
    }
    for (uint32_t i = 0; i < env->n && k->n_env < ENV_MAX; i++) {
        const struct yaml_node *v = env->items[i];
        struct files_env e = {.at = v->begin, .end = v->end};

        if (v->kind != YAML_TEXT) {
            continue;
        }
        e.known = str_find_byte(v->text, '$', 0) == SIZE_MAX;
        if (env->kind == YAML_MAP) {
            e.name = env->keys[i]->text;
            e.value = v->text;
            e.at = env->keys[i]->begin;
            e.begin = v->begin;
            e.keeps_quot = v->style != 'p';
            if (compose_yaml_is_bool(v)) {
                files_wrong(c, e.at, "env-bool",
                            files_text(c, "%.*s has a YAML truth value", STR_ARG(e.name)),
                            STR("Variables are text. Compose refuses a bare true, false, yes or "
                                "no here (\"contains true, which is an invalid type\")."),
                            files_text(c, "Write \"%.*s\" in quotes.", STR_ARG(v->text)));
                files_replace(c, v->begin, v->end, files_text(c, "\"%.*s\"", STR_ARG(v->text)));
            }
            k->env[k->n_env++] = e;
            continue;
        }
        if (files_env_split(v->text, &e.name, &e.value)) {
            size_t eq = str_find_byte(c->text, '=', v->begin);

            e.begin = eq == SIZE_MAX ? v->begin : eq + 1;
            e.end = v->style == 'p' ? v->end : v->end - 1;
            e.at += v->style != 'p';
            e.keeps_quot = true;
            k->env[k->n_env++] = e;
        } else if (str_find(v->text, STR(" = "), 0) != SIZE_MAX) {
            files_wrong(c, v->begin, "assignment-blank", STR("blanks around = in a variable"),
                        STR("In the list form the text before = is the name and the text behind "
                            "it the value, blanks included."),
                        STR("Write NAME=value without blanks."));
        }
    }
}

static void read_volumes(const struct yaml_node *list, struct files_container *k)
{
    for (uint32_t i = 0; list != NULL && list->kind == YAML_LIST && i < list->n; i++) {
        const struct yaml_node *v = list->items[i];
        struct str target;

        if (v->kind == YAML_TEXT) {
            size_t colon = str_find_byte(v->text, ':', 0);

            if (str_find(v->text, STR("${"), 0) != SIZE_MAX) { // ${A:-b}:/target
                size_t brace = str_find_byte(v->text, '}', 0);

                colon = brace == SIZE_MAX ? colon : str_find_byte(v->text, ':', brace);
            }
            target = colon == SIZE_MAX ? v->text : str_slice(v->text, colon + 1, v->text.len);
            target = str_slice(target, 0, str_find_byte(target, ':', 0));
        } else {
            target = compose_yaml_text(v, "target");
        }
        k->has_mounts = true;
        if (k->n_mounts < ARRAY_COUNT(k->mounts)) {
            k->mounts[k->n_mounts++] = target;
        }
        if (str_eq(target, STR("/dev/shm"))) {
            k->has_shm = true;
            k->shm_bytes = UINT64_MAX;
        }
    }
}

/* tmpfs: /dev/shm:size=... counts as shared memory. */
static void read_tmpfs(const struct yaml_node *n, struct files_container *k)
{
    bool found = n != NULL && n->kind == YAML_TEXT && str_starts(n->text, STR("/dev/shm"));

    for (uint32_t i = 0; n != NULL && n->kind == YAML_LIST && i < n->n; i++) {
        found = found ||
                (n->items[i]->kind == YAML_TEXT && str_starts(n->items[i]->text, STR("/dev/shm")));
    }
    if (found) {
        k->has_shm = true;
        k->shm_bytes = UINT64_MAX;
    }
}

static void read_devices(const struct yaml_node *list, struct files_container *k)
{
    for (uint32_t i = 0; list != NULL && list->kind == YAML_LIST && i < list->n; i++) {
        const struct yaml_node *v = list->items[i];

        if (v->kind != YAML_TEXT) {
            continue;
        }
        if (str_find(v->text, STR("nvidia.com/gpu"), 0) != SIZE_MAX) {
            k->asks_gpu = true;
        } else if (k->n_nodes < ARRAY_COUNT(k->nodes)) {
            k->nodes[k->n_nodes++] = str_slice(v->text, 0, str_find_byte(v->text, ':', 0));
        }
    }
}

/* The whole item of a list goes: its lines, or the key above it when it is the only one. */
static void remove_lines(struct files_ctx *c, size_t begin, size_t end)
{
    uint32_t first = files_line_of(c, begin);
    uint32_t last;
    size_t stop;

    while (end > begin && (c->text.ptr[end - 1] == ' ' || c->text.ptr[end - 1] == '\n')) {
        end--; // a block ends where the next one begins
    }
    last = files_line_of(c, end > begin ? end - 1 : end);
    stop = last < c->n_lines ? c->line_at[last] : c->text.len;

    files_replace(c, c->line_at[first - 1], stop, STR(""));
}

static void check_reservation(struct files_ctx *c, const struct yaml_node *d,
                              struct files_container *k, const struct yaml_node *deploy_key)
{
    const struct yaml_node *driver = compose_yaml_get(d, "driver");
    const struct yaml_node *count = compose_yaml_get(d, "count");
    const struct yaml_node *ids = compose_yaml_get(d, "device_ids");
    const struct yaml_node *caps = compose_yaml_get(d, "capabilities");
    uint64_t n = 0;

    k->asks_gpu = true;
    if (driver != NULL && driver->kind == YAML_TEXT && !str_eq(driver->text, STR("nvidia")) &&
        !str_eq(driver->text, STR("cdi")) && !str_eq(driver->text, STR("amd"))) {
        files_wrong(
            c, driver->begin, "device-driver",
            files_text(c, "`%.*s` is no device driver of Docker", STR_ARG(driver->text)),
            STR("Reservations know the drivers nvidia and cdi. The runtime of another "
                "vendor is chosen by `runtime:`, its devices by a variable: \"could not "
                "select device driver\"."),
            str_eq(driver->text, STR("ascend"))
                ? STR("Remove the reservation; keep `runtime: ascend` and name the cards in "
                      "ASCEND_VISIBLE_DEVICES.")
                : STR("Remove the reservation and use the vendor's runtime and variable."));
        if (deploy_key != NULL) {
            remove_lines(c, deploy_key->begin, d->end);
        }
        return;
    }
    k->vendors |= VENDOR_NVIDIA;
    k->gpus_at = d->begin;
    if (caps == NULL) {
        files_wrong(c, d->begin, "device-capabilities",
                    STR("a device reservation without capabilities"),
                    STR("Compose requires the list; without gpu in it no GPU is handed in."),
                    STR("Add `capabilities: [gpu]`."));
    } else if (caps->kind == YAML_TEXT) {
        files_wrong(c, caps->begin, "device-capabilities", STR("capabilities is no list"),
                    STR("Compose expects a list here and refuses the file."),
                    STR("Write `capabilities: [gpu]`."));
        files_replace(c, caps->begin, caps->end, files_text(c, "[%.*s]", STR_ARG(caps->text)));
    }
    if (count != NULL && ids != NULL) {
        files_wrong(c, count->begin, "device-count-ids",
                    STR("count and device_ids in one reservation"),
                    STR("Docker refuses both together (\"cannot set both Count and DeviceIDs\")."),
                    STR("Keep one of the two."));
        remove_lines(c, count->begin, count->end);
    }
    if (count != NULL && count->kind == YAML_TEXT && str_to_u64(count->text, &n) == OK) {
        k->n_gpus = n;
        k->n_gpus_known = true;
    }
    if (ids != NULL && ids->kind == YAML_LIST) {
        k->n_gpus = ids->n;
        k->n_gpus_known = true;
        for (uint32_t i = 0; i < ids->n; i++) {
            if (compose_yaml_is_number(ids->items[i])) {
                files_wrong(c, ids->items[i]->begin, "device-ids-text",
                            STR("device_ids are texts, not numbers"),
                            STR("Compose expects strings and refuses bare numbers."),
                            STR("Write ['0', '1']."));
                files_replace(c, ids->items[i]->begin, ids->items[i]->end,
                              files_text(c, "'%.*s'", STR_ARG(ids->items[i]->text)));
            }
        }
    }
}

static void read_deploy(struct files_ctx *c, const struct yaml_node *service,
                        struct files_container *k)
{
    const struct yaml_node *deploy = compose_yaml_get(service, "deploy");
    const struct yaml_node *resources = compose_yaml_get(deploy, "resources");
    const struct yaml_node *reserved = compose_yaml_get(resources, "reservations");
    const struct yaml_node *devices = compose_yaml_get(reserved, "devices");
    const struct yaml_node *alone = NULL;

    for (uint32_t i = 0; deploy != NULL && i < service->n; i++) {
        bool only = deploy->n == 1 && resources != NULL && resources->n == 1 && reserved != NULL &&
                    reserved->n == 1 && devices != NULL && devices->n == 1 && !deploy->flow;

        if (service->items[i] == deploy && only) {
            alone = service->keys[i];
        }
    }
    for (uint32_t i = 0; devices != NULL && devices->kind == YAML_LIST && i < devices->n; i++) {
        if (devices->items[i]->kind == YAML_MAP) {
            check_reservation(c, devices->items[i], k, alone);
        }
    }
    if (compose_yaml_get(service, "gpus") != NULL) {
        k->asks_gpu = true;
        k->vendors |= VENDOR_NVIDIA;
    }
}

/* `command: >` or `|` with backslashes at the line ends. */
static void check_backslashes(struct files_ctx *c, const struct yaml_node *n, bool in_list)
{
    if (n == NULL || n->kind != YAML_TEXT || (n->style != '>' && (n->style != '|' || in_list))) {
        return;
    }
    if (files_has_text(n->text, "-c \"") || files_has_text(n->text, "-c '")) {
        return;
    }
    for (size_t at = n->begin; at + 1 < n->end; at++) {
        if (c->text.ptr[at] == '\\' && c->text.ptr[at + 1] == '\n') {
            files_wrong(c, at, "yaml-backslash",
                        STR("a line-continuation backslash in a YAML block"),
                        STR("No shell joins these lines: YAML already makes one text of them, and "
                            "the backslash quotes the blank or line end behind it, which becomes "
                            "part of the next flag."),
                        STR("Remove the backslashes."));
            files_replace(c, at > 0 && c->text.ptr[at - 1] == ' ' ? at - 1 : at, at + 1, STR(""));
        }
    }
}

static bool is_port_number(struct str s, uint64_t *ret_port)
{
    size_t slash = str_find_byte(s, '/', 0);

    return str_to_u64(str_slice(s, 0, slash), ret_port) == OK && *ret_port < 65536;
}

static uint64_t engine_port(const struct files_container *k)
{
    const struct files_word *w = files_command_value(&k->command, "--port");
    uint64_t port = 0;

    if (w != NULL) {
        size_t eq = str_find_byte(w->text, '=', 0);
        struct str v = eq == SIZE_MAX ? w->text : str_slice(w->text, eq + 1, w->text.len);

        return is_port_number(v, &port) ? port : 0;
    }
    switch (k->engine) {
    case ENGINE_VLLM:
    case ENGINE_KONTOR:
        return 8000;
    case ENGINE_SGLANG:
        return 30000;
    case ENGINE_LLAMA:
        return 8080;
    case ENGINE_NONE:
    case ENGINE_MINDIE:
    case ENGINE_LMDEPLOY:
        break;
    }
    return 0;
}

static void check_ports(struct files_ctx *c, const struct yaml_node *ports,
                        const struct files_container *k)
{
    uint64_t wanted = engine_port(k);
    uint64_t last = 0;
    bool any = false;
    bool match = false;

    for (uint32_t i = 0; ports != NULL && ports->kind == YAML_LIST && i < ports->n; i++) {
        const struct yaml_node *p = ports->items[i];
        struct str s = p->text;
        size_t colon;
        uint64_t inner = 0;

        if (p->kind == YAML_MAP) {
            s = compose_yaml_text(p, "target");
        }
        colon = s.len;
        while (colon > 0 && s.ptr[colon - 1] != ':') {
            colon--;
        }
        if (is_port_number(str_slice(s, colon, s.len), &inner)) {
            any = true;
            last = inner;
            match = match || inner == wanted;
        } else {
            wanted = 0; // a range or a variable: cannot tell
        }
        if (p->kind == YAML_TEXT && p->style == 'p' && colon > 0 && inner < 60) {
            files_wrong(c, p->begin, "port-sexagesimal",
                        files_text(c, "%.*s without quotes", STR_ARG(s)),
                        STR("YAML 1.1 reads two small numbers with a colon as one number to base "
                            "60."),
                        STR("Put the port mapping in quotes."));
            files_replace(c, p->begin, p->end, files_text(c, "\"%.*s\"", STR_ARG(s)));
        }
        if (p->kind == YAML_TEXT && files_has_text(k->image, "redis") && inner == 6379 &&
            !str_starts(s, STR("127.")) && !str_starts(s, STR("localhost")) &&
            !files_has_text(c->text, "requirepass")) {
            files_wrong(c, p->begin, "redis-open", STR("Redis is published without a password"),
                        STR("Everybody who reaches this host can read, write and, by its "
                            "configuration commands, write files; an internal service needs no "
                            "published port."),
                        STR("Remove the port or bind it to 127.0.0.1, and set a password "
                            "(--requirepass)."));
            if (p->style == 'p' || p->style == '"') {
                files_replace(c, p->begin, p->end, files_text(c, "\"127.0.0.1:%.*s\"", STR_ARG(s)));
            }
        }
    }
    if (any && !match && wanted != 0 && !k->net_host && k->engine != ENGINE_NONE) {
        files_wrong(c, ports->items[0]->begin, "port-mismatch",
                    files_text(c, "port %u is published, the server listens on %u", (unsigned)last,
                               (unsigned)wanted),
                    STR("The number behind the colon is the port inside the container; nothing "
                        "listens there: \"connection reset\" or \"connection refused\"."),
                    files_text(c, "Write HOST:%u, or give the server --port %u.", (unsigned)wanted,
                               (unsigned)last));
    }
}

/* "1m30s" in seconds, 0 when it is none. */
static uint64_t seconds(struct str s)
{
    uint64_t total = 0;
    size_t i = 0;

    while (i < s.len) {
        uint64_t v = 0;

        if (!files_number(str_slice(s, i, s.len), &v)) {
            return 0;
        }
        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9') {
            i++;
        }
        if (i >= s.len) {
            return 0;
        }
        total += s.ptr[i] == 'h' ? v * 3600 : s.ptr[i] == 'm' ? v * 60 : v;
        i++;
    }
    return total;
}

static void check_health(struct files_ctx *c, const struct yaml_node *h,
                         const struct files_container *k)
{
    const struct yaml_node *test = compose_yaml_get(h, "test");
    uint64_t start = seconds(compose_yaml_text(h, "start_period"));
    uint64_t interval = seconds(compose_yaml_text(h, "interval"));
    uint64_t retries = 3;
    bool curl = false;
    static const char *const durations[] = {"interval", "timeout", "start_period"};

    if (h == NULL || h->kind != YAML_MAP || text_is(compose_yaml_get(h, "disable"), "true")) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(durations); i++) {
        const struct yaml_node *d = compose_yaml_get(h, durations[i]);

        if (d != NULL && compose_yaml_is_number(d) && !str_eq(d->text, STR("0"))) {
            files_wrong(c, d->begin, "duration-unit",
                        files_text(c, "healthcheck %s has no unit", durations[i]),
                        STR("Compose takes durations like 30s or 5m and refuses a bare number."),
                        files_text(c, "Write %.*ss.", STR_ARG(d->text)));
            files_replace(c, d->begin, d->end, files_text(c, "%.*ss", STR_ARG(d->text)));
        }
    }
    (void)files_number(compose_yaml_text(h, "retries"), &retries);
    if (interval == 0) {
        interval = 30;
    }
    if (k->engine != ENGINE_NONE && start + interval * retries < 120) {
        files_likely(c, h->begin, "health-start",
                     files_text(c, "the health check gives the server %u seconds to start",
                                (unsigned)(start + interval * retries)),
                     STR("Loading weights takes minutes (10 to 50 for the largest models). The "
                         "container is called unhealthy before it is ready, and whatever waits for "
                         "it or restarts it acts on that."),
                     STR("Set start_period to 10m or more."),
                     STR("docker ps shows (unhealthy) while the log still loads weights."));
        if (compose_yaml_get(h, "start_period") != NULL) {
            const struct yaml_node *p = compose_yaml_get(h, "start_period");

            files_replace(c, p->begin, p->end, STR("10m"));
        } else if (!h->flow) {
            uint32_t line = files_line_of(c, h->begin);
            size_t base = c->line_at[line - 1];

            files_replace(c, base, base,
                          files_text(c, "%.*sstart_period: 10m\n", (int)(h->begin - base),
                                     c->text.ptr + base));
        }
    }
    for (uint32_t i = 0; test != NULL && test->kind == YAML_LIST && i < test->n; i++) {
        curl = curl ||
               (test->items[i]->kind == YAML_TEXT && str_starts(test->items[i]->text, STR("curl")));
    }
    curl = curl || (test != NULL && test->kind == YAML_TEXT && files_has_text(test->text, "curl"));
    if (curl && (files_has_text(k->image, "kontor") || files_has_text(k->image, "slim") ||
                 files_has_text(k->image, "alpine") || files_has_text(k->image, "distroless"))) {
        files_wrong(c, test->begin, "health-curl",
                    STR("the health check calls curl, which the image does not have"),
                    STR("The probe fails each time with \"executable file not found\", so the "
                        "container is never healthy."),
                    STR("Use a program of the image: [\"CMD\", \"kontor\", \"health\"], wget, or "
                        "python3 -c with urllib."));
        if (files_has_text(k->image, "kontor")) {
            files_replace(c, test->begin, test->end, STR("[\"CMD\", \"kontor\", \"health\"]"));
        }
    }
    if (test != NULL && test->kind == YAML_LIST && test->n > 0 &&
        test->items[0]->kind == YAML_TEXT && !text_is(test->items[0], "CMD") &&
        !text_is(test->items[0], "CMD-SHELL") && !text_is(test->items[0], "NONE")) {
        files_wrong(c, test->begin, "health-form",
                    STR("a health check list must begin with CMD or CMD-SHELL"),
                    STR("Docker refuses or misreads the first word otherwise."),
                    STR("Write [\"CMD\", ...] or a plain string."));
    }
}

/* Members of a service, as the Compose specification names them. */
static const char *const service_keys[] = {
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "post_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
    "<<",
};

static void check_keys(struct files_ctx *c, const struct yaml_node *service)
{
    for (uint32_t i = 0; i < service->n; i++) {
        struct str key = service->keys[i]->text;
        const char *near = NULL;
        size_t best = 4;
        bool found = str_starts(key, STR("x-"));

        for (size_t k = 0; k < ARRAY_COUNT(service_keys) && !found; k++) {
            size_t d = str_distance(key, str_from_c(service_keys[k]));

            found = d == 0;
            if (d < best) {
                best = d;
                near = service_keys[k];
            }
        }
        if (!found) {
            files_wrong(c, service->keys[i]->begin, "compose-key",
                        files_text(c, "a service has no key %.*s", STR_ARG(key)),
                        STR("Compose refuses the file: \"additional property is not allowed\"."),
                        near != NULL ? files_text(c, "Write %s.", near) : STR("Remove it."));
            if (near != NULL) {
                files_replace(c, service->keys[i]->begin, service->keys[i]->end, str_from_c(near));
            }
        }
    }
}

static void check_network(struct files_ctx *c, const struct yaml_node *service)
{
    const struct yaml_node *ports = compose_yaml_get(service, "ports");

    if (!text_is(compose_yaml_get(service, "network_mode"), "host") || ports == NULL) {
        return;
    }
    files_wrong(c, ports->begin, "host-ports", STR("ports together with network_mode: host"),
                STR("On the host's network every port is open as it is; Compose 1 refuses the "
                    "pair, newer ones ignore the ports."),
                STR("Remove ports (and choose the port by --port), or remove network_mode."));
    for (uint32_t i = 0; i < service->n && !ports->flow; i++) {
        if (service->items[i] == ports) {
            remove_lines(c, service->keys[i]->begin, ports->end);
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

static void check_rights(struct files_ctx *c, const struct yaml_node *service,
                         const struct files_container *k)
{
    const struct yaml_node *drop = compose_yaml_get(service, "cap_drop");
    const struct yaml_node *user = compose_yaml_get(service, "user");

    if (!(k->vendors & VENDOR_ASCEND)) {
        return;
    }
    if (lists(drop, "ALL") && !lists(compose_yaml_get(service, "cap_add"), "DAC_OVERRIDE") &&
        (user == NULL || !str_starts(user->text, STR("1000")))) {
        files_wrong(c, drop->begin, "cap-drop-all",
                    STR("all capabilities are dropped on an Ascend container"),
                    STR("The device nodes belong to HwHiAiUser (uid and gid 1000, mode 660). Root "
                        "without DAC_OVERRIDE is not their owner and cannot open them: dcmi "
                        "answers -8005."),
                    STR("Add `cap_add: [DAC_OVERRIDE]`, or run as user 1000:1000."));
    }
    if (user != NULL && user->kind == YAML_TEXT && !str_starts(user->text, STR("0")) &&
        !str_starts(user->text, STR("root")) && str_find(user->text, STR(":1000"), 0) == SIZE_MAX &&
        str_find_byte(user->text, '$', 0) == SIZE_MAX && !str_starts(user->text, STR("1000")) &&
        !lists(compose_yaml_get(service, "group_add"), "1000") &&
        !lists(compose_yaml_get(service, "group_add"), "HwHiAiUser")) {
        files_wrong(c, user->begin, "ascend-user",
                    files_text(c, "user %.*s is not in the devices' group", STR_ARG(user->text)),
                    STR("The device nodes belong to HwHiAiUser (gid 1000, mode 660); other users "
                        "get \"permission denied\" or dcmi -8005."),
                    STR("Add `group_add: [\"1000\"]` (the gid of HwHiAiUser on this host)."));
    }
}

static void check_memory_keys(struct files_ctx *c, const struct yaml_node *service)
{
    const struct yaml_node *limit = compose_yaml_get(service, "mem_limit");
    uint64_t bytes = 0;

    if (limit != NULL && limit->kind == YAML_TEXT && files_bytes(limit->text, &bytes) &&
        bytes > 0 && bytes < ((uint64_t)6 << 20)) {
        files_wrong(c, limit->begin, "memory-unit",
                    files_text(c, "a memory limit of %u bytes", (unsigned)bytes),
                    STR("A size without a unit is in bytes; docker's smallest limit is 6 MB."),
                    STR("Write the unit: 64g."));
        files_replace(c, limit->begin, limit->end, files_text(c, "%.*sg", STR_ARG(limit->text)));
    }
}

static void check_service(struct files_ctx *c, const struct yaml_node *key,
                          const struct yaml_node *s)
{
    struct files_container k = {.name = key->text, .at = key->begin, .kind = FILES_COMPOSE};
    const struct yaml_node *image = compose_yaml_get(s, "image");
    const struct yaml_node *entry = compose_yaml_get(s, "entrypoint");
    const struct yaml_node *shm = compose_yaml_get(s, "shm_size");

    if (s->kind != YAML_MAP) {
        files_wrong(c, key->begin, "compose-service",
                    files_text(c, "service %.*s has no members", STR_ARG(key->text)),
                    STR("The lines below are not indented deeper than the service's name."),
                    STR("Indent them by two blanks."));
        return;
    }
    k.env = arena_zalloc(c->arena, ENV_MAX, sizeof(*k.env));
    if (k.env == NULL) {
        c->no_memory = true;
        return;
    }
    if (image != NULL && image->kind == YAML_TEXT) {
        k.image = image->text;
        k.image_at = image->begin;
        if (str_ends(image->text, STR(":latest")) ||
            str_find_byte(image->text, ':', 0) == SIZE_MAX) {
            files_advise(c, image->begin, STR("not pinned: a later pull brings another version"));
        }
    }
    k.has_entrypoint = entry != NULL;
    compose_yaml_command(c, compose_yaml_get(s, "command"), &k.command);
    if (k.command.n_words == 0 && entry != NULL) {
        compose_yaml_command(c, entry, &k.command);
    }
    k.ipc_host = text_is(compose_yaml_get(s, "ipc"), "host");
    k.net_host = text_is(compose_yaml_get(s, "network_mode"), "host");
    k.privileged = text_is(compose_yaml_get(s, "privileged"), "true");
    k.runtime = compose_yaml_text(s, "runtime");
    if (shm != NULL && shm->kind == YAML_TEXT) {
        k.has_shm = files_bytes(shm->text, &k.shm_bytes);
        k.shm_at = shm->begin;
    }
    read_environment(c, compose_yaml_get(s, "environment"), &k);
    read_volumes(compose_yaml_get(s, "volumes"), &k);
    read_tmpfs(compose_yaml_get(s, "tmpfs"), &k);
    read_devices(compose_yaml_get(s, "devices"), &k);
    read_deploy(c, s, &k);
    if (!s->flow && s->n > 0) { // where a missing key can be put
        k.insert_at = c->line_at[files_line_of(c, s->keys[0]->begin) - 1];
        k.indent = str_slice(c->text, k.insert_at, s->keys[0]->begin);
    }
    files_container_check(c, &k);
    check_keys(c, s);
    check_backslashes(c, compose_yaml_get(s, "command"), false);
    check_ports(c, compose_yaml_get(s, "ports"), &k);
    check_health(c, compose_yaml_get(s, "healthcheck"), &k);
    check_network(c, s);
    check_rights(c, s, &k);
    check_memory_keys(c, s);
}

static void check_version(struct files_ctx *c, const struct yaml_node *root)
{
    const struct yaml_node *v = compose_yaml_get(root, "version");

    if (v != NULL && v->kind == YAML_TEXT) {
        files_advise(c, v->begin, STR("obsolete: Compose v2 ignores `version` with a warning"));
    }
}

MUST_USE enum status compose_check(struct files_ctx *c, struct error *err)
{
    struct yaml_file f;
    enum status rc = compose_yaml_read(c, &f, err);

    if (rc != OK || f.n == 0) {
        return rc;
    }
    for (uint32_t d = 0; d < f.n; d++) {
        const struct yaml_node *root = f.documents[d];
        const struct yaml_node *services = compose_yaml_get(root, "services");

        if (root == NULL || root->kind != YAML_MAP) {
            return error_set(err, E_INVALID,
                             "%.*s is no map of keys; a Compose file begins with "
                             "`services:`",
                             STR_ARG(c->path));
        }
        compose_yaml_duplicates(c, root);
        check_version(c, root);
        for (uint32_t i = 0; services != NULL && services->kind == YAML_MAP && i < services->n;
             i++) {
            check_service(c, services->keys[i], services->items[i]);
        }
    }
    return OK;
}
