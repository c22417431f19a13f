/* `docker run` lines of a script. */
#include "base/check.h"
#include "doctor/script.h"

#include <string.h>

#define ENV_MAX 128

/* Options of docker run without a value; all others take one. */
static bool takes_no_value(struct str w)
{
    static const char *const names[] = {"--rm",          "--privileged",
                                        "--detach",      "--init",
                                        "--interactive", "--tty",
                                        "--read-only",   "--no-healthcheck",
                                        "--publish-all", "--oom-kill-disable",
                                        "--quiet",       "--disable-content-trust",
                                        "--sig-proxy",   "--help"};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (str_eq(w, str_from_c(names[i]))) {
            return true;
        }
    }
    if (w.len >= 2 && w.ptr[0] == '-' && w.ptr[1] != '-') {
        for (size_t i = 1; i < w.len; i++) {
            if (w.ptr[i] != 'i' && w.ptr[i] != 't' && w.ptr[i] != 'd' && w.ptr[i] != 'P' &&
                w.ptr[i] != 'q') {
                return false;
            }
        }
        return true;
    }
    return false;
}

static void add_mount(struct files_container *k, struct str spec)
{
    size_t colon = str_find_byte(spec, ':', 0);
    struct str target = colon == SIZE_MAX ? spec : str_slice(spec, colon + 1, spec.len);
    size_t mode = str_find_byte(target, ':', 0);

    target = str_slice(target, 0, mode);
    k->has_mounts = true;
    if (k->n_mounts < ARRAY_COUNT(k->mounts)) {
        k->mounts[k->n_mounts++] = target;
    }
    if (str_eq(target, STR("/dev/shm"))) {
        k->has_shm = true;
        k->shm_bytes = UINT64_MAX;
    }
}

static void take_gpus(struct files_ctx *c, struct files_container *k, const struct files_word *w,
                      struct str v)
{
    uint64_t n = 0;

    k->asks_gpu = true;
    k->vendors |= VENDOR_NVIDIA;
    k->gpus_at = w->begin;
    if (str_to_u64(v, &n) == OK) {
        k->n_gpus = n;
        k->n_gpus_known = true;
    }
    if (files_has_text(v, "device=")) {
        k->n_gpus = 1;
        k->n_gpus_known = true;
        for (size_t i = 0; i < v.len; i++) {
            k->n_gpus += v.ptr[i] == ',';
        }
    }
    if (str_starts(v, STR("device=")) && str_find_byte(v, ',', 0) != SIZE_MAX) {
        files_wrong(c, w->begin, "gpus-quotes",
                    STR("--gpus device=... with a comma needs quotes inside the quotes"),
                    STR("Docker splits the value at commas: the second id becomes a field of its "
                        "own (\"cannot set both Count and DeviceIDs\" or an unknown field)."),
                    files_text(c, "Write --gpus '\"%.*s\"'.", STR_ARG(v)));
        files_replace(c, w->begin, w->end,
                      files_text(c, "%s'\"%.*s\"'",
                                 str_starts(w->text, STR("--gpus=")) ? "--gpus=" : "", STR_ARG(v)));
    }
}

static void take_option(struct files_ctx *c, struct files_container *k, struct str name,
                        const struct files_word *w, struct str v)
{
    if (str_eq(name, STR("--gpus"))) {
        take_gpus(c, k, w, v);
    } else if (str_eq(name, STR("--shm-size"))) {
        k->shm_at = w->begin;
        k->has_shm = files_bytes(v, &k->shm_bytes);
    } else if (str_eq(name, STR("--ipc"))) {
        k->ipc_host = str_eq(v, STR("host"));
    } else if (str_eq(name, STR("--network")) || str_eq(name, STR("--net"))) {
        k->net_host = str_eq(v, STR("host"));
    } else if (str_eq(name, STR("--runtime"))) {
        k->runtime = v;
    } else if (str_eq(name, STR("--device"))) {
        size_t colon = str_find_byte(v, ':', 0);

        if (str_starts(v, STR("nvidia.com/"))) {
            k->asks_gpu = true;
        } else if (k->n_nodes < ARRAY_COUNT(k->nodes)) {
            k->nodes[k->n_nodes++] = str_slice(v, 0, colon);
        }
    } else if (str_eq(name, STR("-v")) || str_eq(name, STR("--volume"))) {
        add_mount(k, v);
    } else if (str_eq(name, STR("--mount"))) {
        size_t at = str_find(v, STR("target="), 0);

        at = at == SIZE_MAX ? str_find(v, STR("dst="), 0) : at;
        if (at != SIZE_MAX) {
            size_t eq = str_find_byte(v, '=', at) + 1;

            add_mount(k, str_slice(v, eq, str_find_byte(v, ',', eq)));
        }
    } else if (str_eq(name, STR("--entrypoint"))) {
        k->has_entrypoint = true;
    } else if ((str_eq(name, STR("-e")) || str_eq(name, STR("--env"))) && k->n_env < ENV_MAX) {
        struct files_env e = {.at = w->begin, .end = w->end, .known = !w->expands};

        if (files_env_split(v, &e.name, &e.value)) {
            size_t eq = str_find_byte(c->text, '=', w->begin);

            e.begin = eq == SIZE_MAX ? w->begin : eq + 1;
            e.keeps_quot = true; // what is left after the shell took its own
            k->env[k->n_env++] = e;
        }
    }
}

/* Options of docker behind the image are arguments of the program in it. */
static void check_late_options(struct files_ctx *c, const struct files_command *args)
{
    static const char *const late[] = {"--gpus",       "--shm-size", "--ipc",
                                       "--privileged", "--restart",  "--network",
                                       "--volume",     "--name",     "-v"};

    for (uint32_t i = 0; i < args->n_words; i++) {
        struct str w = args->words[i].text;
        struct str name = str_slice(w, 0, str_find_byte(w, '=', 0));

        for (size_t k = 0; k < ARRAY_COUNT(late); k++) {
            if (str_eq(name, str_from_c(late[k])) &&
                (!str_eq(name, STR("-v")) ||
                 (i + 1 < args->n_words &&
                  str_find_byte(args->words[i + 1].text, ':', 0) != SIZE_MAX))) {
                files_wrong(c, args->words[i].begin, "docker-option-late",
                            files_text(c, "%.*s stands behind the image name", STR_ARG(name)),
                            STR("Everything behind the image is an argument of the program in it; "
                                "docker does not see this option."),
                            STR("Move it in front of the image name."));
            }
        }
    }
}

void script_docker_run(struct files_ctx *c, const struct files_command *cmd, uint32_t first)
{
    struct files_container k = {.at = cmd->words[0].begin, .kind = FILES_SCRIPT};
    uint32_t i = first;

    k.env = arena_zalloc(c->arena, ENV_MAX, sizeof(*k.env));
    if (k.env == NULL) {
        c->no_memory = true;
        return;
    }
    while (i < cmd->n_words && str_starts(cmd->words[i].text, STR("-"))) {
        const struct files_word *w = &cmd->words[i];
        size_t eq = str_find_byte(w->text, '=', 0);
        struct str name = str_slice(w->text, 0, eq);

        if (str_eq(w->text, STR("--privileged")) || str_eq(w->text, STR("--privileged=true"))) {
            k.privileged = true;
        }
        i++;
        if (takes_no_value(name)) {
            continue;
        }
        if (eq != SIZE_MAX && str_starts(w->text, STR("--"))) {
            take_option(c, &k, name, w, str_slice(w->text, eq + 1, w->text.len));
        } else if (i < cmd->n_words) {
            take_option(c, &k, name, &cmd->words[i], cmd->words[i].text);
            i++;
        }
    }
    if (i < cmd->n_words && !cmd->words[i].expands) {
        k.image = cmd->words[i].text;
        k.image_at = cmd->words[i].begin;
        k.command = *cmd;
        k.command.words = cmd->words + i + 1;
        k.command.n_words = cmd->n_words - i - 1;
        check_late_options(c, &k.command);
        files_container_check(c, &k);
    }
}
