/* Dockerfiles: instructions against each other, and what cannot work while an image is built. */
#include "doctor/dockerfile.h"

#include "base/check.h"
#include "doctor/dockerfile_build.h"
#include "doctor/files_kinds.h"

#include <string.h>

static bool is(const struct dockerfile_instruction *i, const char *name)
{
    return str_eq_nocase(i->name, str_from_c(name));
}

static void check_names(struct files_ctx *c, const struct dockerfile *f)
{
    static const char *const known[] = {"FROM",        "RUN",        "CMD",     "LABEL",
                                        "MAINTAINER",  "EXPOSE",     "ENV",     "ADD",
                                        "COPY",        "ENTRYPOINT", "VOLUME",  "USER",
                                        "WORKDIR",     "ARG",        "ONBUILD", "STOPSIGNAL",
                                        "HEALTHCHECK", "SHELL"};

    for (uint32_t i = 0; i < f->n; i++) {
        const char *near = NULL;
        size_t best = 4;

        for (size_t k = 0; k < ARRAY_COUNT(known) && best > 0; k++) {
            char upper[24];
            size_t n = f->items[i].name.len < sizeof(upper) ? f->items[i].name.len : 0;
            size_t d;

            for (size_t b = 0; b < n; b++) {
                char ch = f->items[i].name.ptr[b];

                upper[b] = ch >= 'a' && ch <= 'z' ? (char)(ch - 32) : ch;
            }
            d = str_distance((struct str){upper, n}, str_from_c(known[k]));
            if (d < best) {
                best = d;
                near = known[k];
            }
        }
        if (best == 0) {
            continue;
        }
        files_wrong(c, f->items[i].at, "dockerfile-instruction",
                    files_text(c, "%.*s is no instruction",
                               STR_ARG(str_slice(f->items[i].name, 0, 40))),
                    STR("The build stops with \"unknown instruction\". When the line was meant to "
                        "continue the one above, the backslash at that line's end is missing."),
                    near != NULL ? files_text(c,
                                              "Write %s, or end the line above with a "
                                              "backslash.",
                                              near)
                                 : STR("End the line above with a backslash."));
        if (near != NULL && best <= 2) {
            files_replace(c, f->items[i].at, f->items[i].at + f->items[i].name.len,
                          str_from_c(near));
        }
    }
}

static void check_from(struct files_ctx *c, const struct dockerfile *f)
{
    bool seen = false;

    for (uint32_t i = 0; i < f->n && !seen; i++) {
        seen = is(&f->items[i], "FROM");
        if (!seen && !is(&f->items[i], "ARG")) {
            files_wrong(c, f->items[i].at, "dockerfile-from",
                        STR("no FROM before the first instruction"),
                        STR("A build begins with FROM; only ARG may stand before it."),
                        STR("Put FROM IMAGE:TAG first."));
            return;
        }
    }
}

/* ARG above FROM is unknown below it unless it is named again. */
static void check_args(struct files_ctx *c, const struct dockerfile *f)
{
    for (uint32_t i = 0; i < f->n && !is(&f->items[i], "FROM"); i++) {
        struct str name = str_slice(f->items[i].plain, 0, str_find_byte(f->items[i].plain, '=', 0));
        uint32_t known_stage = 0;

        for (uint32_t k = i + 1; k < f->n && is(&f->items[i], "ARG"); k++) {
            const struct dockerfile_instruction *u = &f->items[k];

            if ((is(u, "ARG") || is(u, "ENV")) && str_starts(u->plain, name)) {
                known_stage = u->stage;
            } else if (!is(u, "FROM") && u->stage > 0 && u->stage != known_stage &&
                       (str_find(u->plain, files_text(c, "${%.*s}", STR_ARG(name)), 0) !=
                            SIZE_MAX ||
                        str_find(u->plain, files_text(c, "$%.*s ", STR_ARG(name)), 0) != SIZE_MAX ||
                        str_ends(u->plain, files_text(c, "$%.*s", STR_ARG(name))))) {
                files_wrong(c, u->at, "dockerfile-arg-scope",
                            files_text(c, "%.*s is empty here", STR_ARG(name)),
                            STR("An ARG above FROM is known to the FROM lines only."),
                            files_text(c, "Write `ARG %.*s` again behind FROM.", STR_ARG(name)));
                files_replace(c, u->at, u->at, files_text(c, "ARG %.*s\n", STR_ARG(name)));
                known_stage = u->stage;
            }
        }
    }
}

/* The last ENTRYPOINT and CMD of the last stage, earlier ones reported. */
static const struct dockerfile_instruction *last_of(struct files_ctx *c, const struct dockerfile *f,
                                                    const char *name)
{
    const struct dockerfile_instruction *last = NULL;

    for (uint32_t i = 0; i < f->n; i++) {
        if (!is(&f->items[i], name)) {
            continue;
        }
        if (last != NULL && last->stage == f->items[i].stage) {
            files_wrong(c, last->at, "dockerfile-repeated",
                        files_text(c, "%s stands twice in this stage", name),
                        STR("Only the last one counts; this one never runs."),
                        files_text(c, "Remove it, or join both in one %s.", name));
            files_replace(c, last->at, last->end + (last->end < c->text.len), STR(""));
        }
        last = &f->items[i];
    }
    return last != NULL && f->n > 0 && last->stage == f->items[f->n - 1].stage ? last : NULL;
}

static void check_json_form(struct files_ctx *c, const struct dockerfile_instruction *i)
{
    struct files_command cmd;

    if (!i->json || dockerfile_json_words(c, i->begin, i->end, &cmd)) {
        return;
    }
    files_wrong(c, i->begin, "dockerfile-json",
                files_text(c, "%.*s in brackets that are no JSON", STR_ARG(i->name)),
                STR("The list form must be JSON with double quotes and no comma at the end. "
                    "Anything else is handed to /bin/sh -c as it stands, brackets included: "
                    "\"[vllm,: not found\"."),
                STR("Write [\"vllm\", \"serve\", \"/models/x\"]."));
    if (str_find_byte(i->plain, '"', 0) == SIZE_MAX) {
        for (size_t at = i->begin; at < i->end; at++) {
            if (c->text.ptr[at] == '\'') {
                files_replace(c, at, at + 1, STR("\""));
            }
        }
    }
}

static struct str base_image(const struct dockerfile *f, uint32_t stage)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (is(&f->items[i], "FROM") && f->items[i].stage == stage) {
            struct str s = f->items[i].plain;

            while (str_starts(s, STR("--"))) {
                size_t blank = str_find_byte(s, ' ', 0);

                s = blank == SIZE_MAX ? STR("") : str_trim(str_slice(s, blank, s.len));
            }
            return str_slice(s, 0, str_find_byte(s, ' ', 0));
        }
    }
    return STR("");
}

/* What the finished image runs, as a container. */
static void check_start(struct files_ctx *c, const struct dockerfile *f)
{
    const struct dockerfile_instruction *entry = last_of(c, f, "ENTRYPOINT");
    const struct dockerfile_instruction *cmd = last_of(c, f, "CMD");
    const struct dockerfile_instruction *start = entry != NULL ? entry : cmd;
    struct files_container k = {.kind = FILES_DOCKERFILE, .ipc_host = true, .asks_gpu = true};
    struct script_commands cmds;

    if (entry != NULL && cmd != NULL && !entry->json) {
        files_wrong(c, cmd->at, "dockerfile-cmd-lost",
                    STR("CMD is ignored beside an ENTRYPOINT in shell form"),
                    STR("ENTRYPOINT without brackets runs `/bin/sh -c TEXT`; words of CMD, and "
                        "those behind the image in docker run, never reach the program."),
                    STR("Write ENTRYPOINT as a JSON list."));
    }
    if (start == NULL) {
        return;
    }
    if (!start->json && start == entry && cmd == NULL) {
        files_advise(c, start->at,
                     STR("shell form: the server is not process 1 and gets no "
                         "SIGTERM; use a JSON list"));
    }
    k.at = start->at;
    k.image = base_image(f, start->stage);
    k.has_entrypoint = entry != NULL;
    if (start->json) {
        if (!dockerfile_json_words(c, start->begin, start->end, &k.command)) {
            return;
        }
        if (entry != NULL && cmd != NULL && cmd->json && k.command.n_words > 0) {
            struct files_command tail;
            struct files_command whole = k.command;

            if (dockerfile_json_words(c, cmd->begin, cmd->end, &tail)) {
                whole.words = arena_zalloc(c->arena, k.command.n_words + tail.n_words + 1,
                                           sizeof(*whole.words));
                if (whole.words == NULL) {
                    c->no_memory = true;
                    return;
                }
                for (uint32_t w = 0; w < k.command.n_words; w++) {
                    whole.words[w] = k.command.words[w];
                }
                for (uint32_t w = 0; w < tail.n_words; w++) {
                    whole.words[k.command.n_words + w] = tail.words[w];
                }
                whole.n_words = k.command.n_words + tail.n_words;
                k.command = whole;
            }
        }
        files_container_check(c, &k);
        return;
    }
    if (script_split(c, start->begin, start->end, true, &cmds, NULL) == OK && cmds.n > 0) {
        k.command = cmds.items[cmds.n - 1];
        files_container_check(c, &k);
        if (k.command.after == '&') {
            files_wrong(c, start->at, "dockerfile-background",
                        STR("the server is started in the background"),
                        STR("The shell ends at once, and the container with it."),
                        STR("Remove the & at the end."));
        }
    }
}

static bool is_secret_name(struct str n)
{
    static const char *const ends[] = {"_TOKEN",  "_API_KEY",    "_SECRET",    "_PASSWORD",
                                       "_PASSWD", "_SECRET_KEY", "_ACCESS_KEY"};

    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        if (str_ends(n, str_from_c(ends[i]))) {
            return true;
        }
    }
    return str_eq(n, STR("HF_TOKEN")) || str_eq(n, STR("API_KEY")) || str_eq(n, STR("PASSWORD"));
}

static void check_path_variable(struct files_ctx *c, const struct files_env *e, struct str base)
{
    bool path = str_eq(e->name, STR("PATH"));
    bool libs = str_eq(e->name, STR("LD_LIBRARY_PATH"));
    bool vendor = files_container_image_vendors(base) != 0;

    if ((!path && !(libs && vendor)) || str_find_byte(e->value, '$', 0) != SIZE_MAX ||
        files_has_text(e->value, "/usr/local/nvidia/lib64") ||
        files_has_text(e->value, "/Ascend/driver/lib64") || files_has_text(e->value, "/stubs")) {
        return;
    }
    files_wrong(c, e->at, "env-path-lost",
                files_text(c, "%.*s of the base image is replaced", STR_ARG(e->name)),
                path ? STR("Programs of the base image (python3, vllm, the vendor's tools) are no "
                           "longer found.")
                     : STR("The base image and the container runtime put the driver's library "
                           "folders there; without them libcuda or libascend_hal is not found."),
                files_text(c, "Append: %.*s=NEW:${%.*s}.", STR_ARG(e->name), STR_ARG(e->name)));
    files_replace(c, e->end, e->end, files_text(c, ":${%.*s}", STR_ARG(e->name)));
}

static void check_env(struct files_ctx *c, const struct dockerfile_instruction *i, struct str base)
{
    struct script_commands cmds;

    if (script_split(c, i->begin, i->end, true, &cmds, NULL) != OK || cmds.n == 0) {
        return;
    }
    for (uint32_t w = 0; w < cmds.items[0].n_words; w++) {
        const struct files_word *word = &cmds.items[0].words[w];
        struct files_env e = {.at = word->begin, .end = word->end, .known = !word->expands};

        if (!files_env_split(word->text, &e.name, &e.value)) {
            if (w == 0 && is(i, "ENV") && cmds.items[0].n_words >= 2) { // ENV NAME value
                e.name = word->text;
                e.value = cmds.items[0].words[1].text;
                e.known = !cmds.items[0].words[1].expands;
                e.begin = cmds.items[0].words[1].begin;
                e.end = cmds.items[0].words[1].end;
                files_env_check(c, &e, c->vendors, ENGINE_NONE);
                check_path_variable(c, &e, base);
            }
            return;
        }
        e.begin = word->begin + e.name.len + 1;
        if (is(i, "ENV")) {
            files_env_check(c, &e, c->vendors, ENGINE_NONE);
            check_path_variable(c, &e, base);
        }
        if (is_secret_name(e.name) && e.value.len >= 6 && e.known && !files_placeholder(e.value)) {
            files_wrong(c, e.at, "secret-in-image",
                        files_text(c, "the secret %.*s is written into the image", STR_ARG(e.name)),
                        STR("Everybody who can pull the image reads it with docker history; "
                            "removing it in a later layer does not help."),
                        STR("Hand it in at run time (docker run --env-file, a Compose or "
                            "Kubernetes secret) or with RUN --mount=type=secret, and change the "
                            "key."));
            if (cmds.items[0].n_words == 1) {
                files_replace(c, i->at, i->end + (i->end < c->text.len), STR(""));
            } else {
                files_replace(c, e.begin, e.end, STR("\"\""));
            }
        }
    }
}

static void check_copy(struct files_ctx *c, const struct dockerfile_instruction *i)
{
    if (str_starts(i->plain, STR("../")) || str_find(i->plain, STR(" ../"), 0) != SIZE_MAX) {
        files_wrong(c, i->at, "copy-outside", STR("COPY from outside the build context"),
                    STR("Only files below the folder given to docker build are sent to the "
                        "builder: \"forbidden path outside the build context\"."),
                    STR("Build from the folder above (docker build -f DIR/Dockerfile ..) and write "
                        "the path from there."));
    }
}

static void check_health(struct files_ctx *c, const struct dockerfile *f,
                         const struct dockerfile_instruction *i)
{
    struct str base = base_image(f, i->stage);
    bool curl = str_find(i->plain, STR("curl"), 0) != SIZE_MAX;
    bool bare = str_starts(base, STR("ubuntu")) || str_starts(base, STR("debian")) ||
                files_has_text(base, "nvidia/cuda") || files_has_text(base, "slim") ||
                files_has_text(base, "alpine") || files_has_text(base, "ascend/cann") ||
                files_has_text(base, "mthreads/musa");
    bool installed = false;

    for (uint32_t k = 0; k < f->n; k++) {
        installed = installed || (is(&f->items[k], "RUN") &&
                                  str_find(f->items[k].plain, STR("curl"), 0) != SIZE_MAX);
    }
    if (curl && !installed && bare) {
        files_wrong(c, i->at, "health-curl",
                    STR("the health check calls curl, which the image does not have"),
                    STR("Neither the base image nor a RUN line installs curl: the probe fails each "
                        "time and the container is never healthy."),
                    STR("Install curl, or use a probe that the image has (`kontor health`, or "
                        "python3 -c with urllib)."));
        if (str_find(i->plain, STR("CMD"), 0) != SIZE_MAX) {
            size_t at = str_find(c->text, STR("CMD"), i->begin);

            files_replace(c, at, i->end,
                          STR("CMD python3 -c \"import urllib.request as u; "
                              "u.urlopen('http://127.0.0.1:8000/health', timeout=5)\""));
        }
    }
}

static void check_user(struct files_ctx *c, const struct dockerfile *f,
                       const struct dockerfile_instruction *i)
{
    bool grouped = files_has_text(c->text, "HwHiAiUser") || files_has_text(c->text, "usermod") ||
                   files_has_text(c->text, "1000");
    bool last = i->stage == f->items[f->n - 1].stage;

    if (!last || !(c->vendors & VENDOR_ASCEND) || grouped || str_starts(i->plain, STR("0")) ||
        str_starts(i->plain, STR("root")) || str_find_byte(i->plain, '$', 0) != SIZE_MAX) {
        return;
    }
    files_wrong(c, i->at, "ascend-user",
                files_text(c, "user %.*s is not in the devices' group", STR_ARG(i->plain)),
                STR("The device nodes belong to HwHiAiUser (gid 1000, mode 660); other users get "
                    "\"permission denied\" or dcmi -8005."),
                STR("Create the group with gid 1000 in the image (groupadd -g 1000 HwHiAiUser) and "
                    "add the user to it."));
}

MUST_USE enum status dockerfile_check(struct files_ctx *c, struct error *err)
{
    struct dockerfile f;
    enum status rc = dockerfile_parse(c, &f, err);

    if (rc != OK) {
        return rc;
    }
    for (uint32_t i = 0; i < f.n; i++) {
        if (is(&f.items[i], "FROM")) {
            struct str base = base_image(&f, f.items[i].stage);

            c->vendors |= files_container_image_vendors(base);
            if (str_ends(base, STR(":latest")) || (str_find_byte(base, ':', 0) == SIZE_MAX &&
                                                   str_find_byte(base, '/', 0) != SIZE_MAX)) {
                files_advise(c, f.items[i].at, STR("not pinned: a later build takes another base"));
            }
        }
    }
    check_names(c, &f);
    check_from(c, &f);
    check_args(c, &f);
    for (uint32_t i = 0; i < f.n; i++) {
        const struct dockerfile_instruction *x = &f.items[i];

        if (is(x, "CMD") || is(x, "ENTRYPOINT") || is(x, "RUN")) {
            check_json_form(c, x);
        }
        if (is(x, "ENV") || is(x, "ARG")) {
            check_env(c, x, base_image(&f, x->stage));
        } else if (is(x, "COPY") || is(x, "ADD")) {
            check_copy(c, x);
        } else if (is(x, "HEALTHCHECK")) {
            check_health(c, &f, x);
        } else if (is(x, "USER")) {
            check_user(c, &f, x);
        }
    }
    rc = dockerfile_build_check(c, &f, err);
    if (rc == OK) {
        check_start(c, &f);
    }
    return rc;
}
