/* Entry scripts: what the shell does to them, then what they start. */
#include "doctor/script.h"

#include "base/check.h"
#include "doctor/files_kinds.h"
#include "doctor/files_pip.h"

#include <string.h>

#define ENV_MAX 512

static struct str line_text(const struct files_ctx *c, uint32_t line)
{
    struct str s = files_line(c, line);

    return str_ends(s, STR("\r")) ? str_slice(s, 0, s.len - 1) : s;
}

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t';
}

/* Of the backslash in "\ # text", or SIZE_MAX. */
static size_t backslash_comment(struct str s)
{
    for (size_t i = 0; i + 2 < s.len; i++) {
        size_t k = i + 1;

        while (k < s.len && is_blank(s.ptr[k])) {
            k++;
        }
        if (s.ptr[i] == '\\' && k > i + 1 && k < s.len && s.ptr[k] == '#') {
            return i;
        }
    }
    return SIZE_MAX;
}

/* "... \   " and "... \ # text": the backslash no longer joins the lines. */
static void check_broken_continuation(struct files_ctx *c, uint32_t line)
{
    struct str s = line_text(c, line);
    size_t base = c->line_at[line - 1];
    size_t end = s.len;
    size_t hash;

    if (str_starts(str_trim(s), STR("#"))) {
        return;
    }
    while (end > 0 && is_blank(s.ptr[end - 1])) {
        end--;
    }
    if (end > 0 && end < s.len && s.ptr[end - 1] == '\\') {
        files_wrong(c, base + end - 1, "continuation-blank",
                    STR("a blank behind the line-continuation backslash"),
                    STR("The backslash joins two lines only when the line ends right behind it. "
                        "Here it quotes a blank, the command ends, and the next line runs as a "
                        "command of its own (\"command not found\")."),
                    STR("Remove the blanks behind the backslash."));
        files_replace(c, base + end, base + s.len, STR(""));
        return;
    }
    hash = backslash_comment(s);
    if (hash != SIZE_MAX) {
        files_wrong(c, base + hash, "continuation-comment",
                    STR("a comment behind the line-continuation backslash"),
                    STR("The backslash must be the last character of its line. With a comment "
                        "behind it the command ends here and all flags below it are lost."),
                    STR("Put the comment on its own line above the command and end the line with "
                        "the backslash."));
        files_replace(c, base + hash + 1, base + s.len, STR(""));
    }
}

/* A comment line right behind a continued line: the shell joins them and drops the rest. */
static void check_comment_inside(struct files_ctx *c, uint32_t line, bool *continued)
{
    struct str s = str_trim(line_text(c, line));

    if (*continued && str_starts(s, STR("#"))) {
        size_t base = c->line_at[line - 1];
        size_t next = line < c->n_lines ? c->line_at[line] : c->text.len;

        files_wrong(c, base, "continuation-comment",
                    STR("a comment line inside a continued command"),
                    STR("The line above ends with a backslash, so this comment belongs to the "
                        "command and ends it; the flags below run as another command."),
                    STR("Move the comment above the whole command."));
        files_replace(c, base, next, STR(""));
        return; // the next line is still continued
    }
    *continued = s.len > 0 && s.ptr[s.len - 1] == '\\' && !str_starts(s, STR("#"));
}

static bool sources_environment(const struct files_command *cmd)
{
    return cmd->n_words >= 2 &&
           (str_eq(cmd->words[0].text, STR("source")) || str_eq(cmd->words[0].text, STR(".")));
}

/* #!/bin/sh with words that only bash knows. */
static void check_shebang(struct files_ctx *c, const struct script_commands *cmds)
{
    struct str first = line_text(c, 1);
    bool sh = str_eq(str_trim(first), STR("#!/bin/sh")) ||
              str_eq(str_trim(first), STR("#!/usr/bin/env sh")) ||
              str_starts(first, STR("#!/bin/sh "));

    if (!str_starts(first, STR("#!"))) {
        if (str_find(c->text, STR("#!/"), 0) < 200) {
            files_advise(c, 0, STR("the #! line must be the very first bytes of the file"));
        } else {
            files_advise(c, 0, STR("no #! line: begin with #!/bin/bash"));
        }
        return;
    }
    for (uint32_t i = 0; sh && i < cmds->n; i++) {
        const struct files_command *cmd = &cmds->items[i];
        struct str w = cmd->words[0].text;

        if ((sources_environment(cmd) && str_eq(w, STR("source"))) || str_eq(w, STR("[[")) ||
            str_eq(w, STR("declare")) || str_eq(w, STR("function")) ||
            str_find(w, STR("=("), 0) != SIZE_MAX) {
            files_wrong(c, cmd->words[0].begin, "sh-bashism",
                        files_text(c, "`%.*s` under #!/bin/sh", STR_ARG(str_slice(w, 0, 40))),
                        STR("On Debian and Ubuntu /bin/sh is dash, which knows neither `source` "
                            "nor [[ ]], arrays or declare: \"source: not found\". Vendor "
                            "environment files (set_env.sh) need bash as well."),
                        STR("Begin the script with #!/bin/bash."));
            files_replace(c, 0, first.len, STR("#!/bin/bash"));
            return;
        }
    }
}

static void check_open_quote(struct files_ctx *c, const struct script_commands *cmds)
{
    if (cmds->open_quote != SIZE_MAX) {
        files_wrong(c, cmds->open_quote, "quote-open", STR("a quote that is never closed"),
                    STR("From here to the end of the file everything is one word; the shell stops "
                        "with \"unexpected EOF while looking for matching\" quote."),
                    STR("Close the quote on the line where its value ends."));
    }
}

/* `NAME = value` and a flag that stands alone at the start of a command. */
static bool is_docker_run(const struct files_command *cmd, uint32_t *ret_first);

/* A command whose flags people spread over lines, or a line already lost to one. */
static bool takes_flags(const struct files_command *cmd)
{
    uint32_t first = 0;

    return files_command_engine(cmd, &first) != ENGINE_NONE || is_docker_run(cmd, &first) ||
           str_starts(cmd->words[0].text, STR("--"));
}

/* for ((i = 0; ...)) */
static bool in_arithmetic(const struct files_ctx *c, size_t at)
{
    return at > 0 && c->text.ptr[at - 1] == '(';
}

static void check_odd_command(struct files_ctx *c, const struct files_command *cmd,
                              const struct files_command *before)
{
    struct str w = cmd->words[0].text;
    bool export = str_eq(w, STR("export"));
    uint32_t n = export ? 1 : 0;
    size_t end = cmd->words[0].end;
    char follow = end < c->text.len ? c->text.ptr[end] : ' ';

    if (cmd->n_words > n + 1 && str_eq(cmd->words[n + 1].text, STR("=")) && !str_eq(w, STR("[")) &&
        !str_eq(w, STR("test")) && !str_eq(w, STR("[[")) &&
        !in_arithmetic(c, cmd->words[n].begin)) {
        files_wrong(c, cmd->words[n].begin, "assignment-blank",
                    files_text(c, "blanks around = in the assignment of %.*s",
                               STR_ARG(str_slice(cmd->words[n].text, 0, 60))),
                    STR("The shell takes NAME, = and the value as separate words: it looks for a "
                        "program of that name, or exports an empty variable."),
                    STR("Write NAME=value without blanks."));
        if (cmd->n_words > n + 2) {
            files_replace(c, cmd->words[n].end, cmd->words[n + 2].begin, STR("="));
        }
    }
    if (w.len > 2 && w.ptr[0] == '-' && w.ptr[1] == '-' && before != NULL &&
        before->after == '\n' && takes_flags(before) && follow != ')' && follow != '|') {
        files_wrong(c, cmd->words[0].begin, "continuation-missing",
                    files_text(c, "%.*s runs as a command of its own",
                               STR_ARG(str_slice(w, 0, 60))),
                    STR("The line above does not end with a backslash (or something stands behind "
                        "it), so its command ends there and this flag never reaches it."),
                    STR("End the line above with a backslash as its last character."));
        if (before->n_words > 0) {
            const struct files_word *last = &before->words[before->n_words - 1];

            if (last->end < c->text.len && c->text.ptr[last->end] == '\n') {
                files_replace(c, last->end, last->end, STR(" \\"));
            }
        }
    }
}

/* `server ... 2>&1 | tee FILE` at the end. */
static void check_tee(struct files_ctx *c, const struct script_commands *cmds)
{
    const struct files_command *last = cmds->n >= 2 ? &cmds->items[cmds->n - 1] : NULL;
    const struct files_command *server = last != NULL ? &cmds->items[cmds->n - 2] : NULL;
    uint32_t first = 0;

    if (last == NULL || !last->in_pipe || !str_eq(last->words[0].text, STR("tee")) ||
        files_command_engine(server, &first) == ENGINE_NONE) {
        return;
    }
    files_likely(c, last->words[0].begin, "tee-last", STR("the server runs in front of `| tee`"),
                 STR("The exit status is tee's, so a crashed server looks like success to the "
                     "restart policy; and SIGTERM reaches the shell, not the server, which is "
                     "killed after the grace period."),
                 STR("Use `exec SERVER ... >>FILE 2>&1`, or leave standard output alone and let "
                     "the container runtime keep the log."),
                 STR("The script is a container's or unit's entry point."));
    if (last->n_words >= 2) {
        struct str file = last->words[last->n_words - 1].text;
        const struct files_word *w = &server->words[server->n_words - 1];

        files_replace(c, w->end, last->words[last->n_words - 1].end,
                      files_text(c, " >>%.*s 2>&1", STR_ARG(file)));
    }
}

/* set -u before a vendor's environment file that reads unset variables. */
static void check_nounset(struct files_ctx *c, const struct script_commands *cmds)
{
    const struct files_command *set = NULL;

    for (uint32_t i = 0; i < cmds->n; i++) {
        const struct files_command *cmd = &cmds->items[i];

        if (str_eq(cmd->words[0].text, STR("set")) && cmd->n_words >= 2) {
            struct str flags = cmd->words[1].text;
            bool u = str_find_byte(flags, 'u', 0) != SIZE_MAX && flags.len < 6;

            set = u && flags.ptr[0] == '-' ? cmd : u && flags.ptr[0] == '+' ? NULL : set;
        }
        if (set != NULL && sources_environment(cmd) &&
            files_has_text(cmd->words[1].text, "set_env.sh")) {
            files_advise(c, cmd->words[0].begin,
                         STR("set -u is on: set_env.sh of some releases reads unset variables "
                             "(\"unbound variable\"); set +u before it is safe"));
            return;
        }
    }
}

static void judge_assignments(struct files_ctx *c, const struct files_command *cmd,
                              const struct files_container *k, struct files_env *env,
                              uint32_t *n_env)
{
    struct str w = cmd->words[0].text;
    bool any = str_eq(w, STR("export")) || str_eq(w, STR("env")) || str_eq(w, STR("declare"));
    uint32_t vendors = k != NULL ? k->vendors : c->vendors;

    for (uint32_t i = any ? 1 : 0; i < cmd->n_words; i++) {
        struct files_word *word = &cmd->words[i];
        struct files_env e = {.at = word->begin, .end = word->end, .known = !word->expands};

        if (!files_env_split(word->text, &e.name, &e.value)) {
            if (str_eq(w, STR("export")) || str_starts(word->text, STR("-"))) {
                continue;
            }
            break;
        }
        e.begin = str_find_byte(c->text, '=', word->begin) + 1;
        files_env_check(c, &e, vendors, k != NULL ? k->engine : ENGINE_NONE);
        if (*n_env < ENV_MAX) {
            env[(*n_env)++] = e;
        }
    }
}

static bool is_docker_run(const struct files_command *cmd, uint32_t *ret_first)
{
    uint32_t i = 0;

    while (i < cmd->n_words && i < 3 &&
           (str_eq(cmd->words[i].text, STR("sudo")) || str_eq(cmd->words[i].text, STR("exec")))) {
        i++;
    }
    if (i + 1 >= cmd->n_words ||
        !(str_eq(cmd->words[i].text, STR("docker")) || str_eq(cmd->words[i].text, STR("podman")) ||
          str_eq(cmd->words[i].text, STR("nerdctl")))) {
        return false;
    }
    if (str_eq(cmd->words[i + 1].text, STR("container"))) {
        i++;
    }
    if (i + 1 < cmd->n_words && (str_eq(cmd->words[i + 1].text, STR("run")) ||
                                 str_eq(cmd->words[i + 1].text, STR("create")))) {
        *ret_first = i + 2;
        return true;
    }
    return false;
}

/* VISIBLE_DEVICES=0,1 with --tensor-parallel-size 4 */
static void check_visible_count(struct files_ctx *c, const struct files_command *cmd,
                                const struct files_env *env, uint32_t n_env)
{
    static const char *const names[] = {"ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES",
                                        "MLU_VISIBLE_DEVICES", "MUSA_VISIBLE_DEVICES"};
    uint64_t ranks = files_command_ranks(cmd);

    for (size_t k = 0; k < ARRAY_COUNT(names); k++) {
        const struct files_env *e = files_env_find(env, n_env, names[k]);
        uint64_t n = 1;

        if (e == NULL || !e->known || e->value.len == 0 || e->value.ptr[0] > '9' || ranks <= 1 ||
            str_find_byte(e->value, '-', 0) != SIZE_MAX) {
            continue;
        }
        for (size_t i = 0; i < e->value.len; i++) {
            n += e->value.ptr[i] == ',';
        }
        if (n < ranks) {
            files_wrong(c, e->at, "visible-devices-count",
                        files_text(c, "%s names %u devices, the server asks for %u", names[k],
                                   (unsigned)n, (unsigned)ranks),
                        STR("Tensor, pipeline and data parallel sizes multiply to the number of "
                            "devices; the process sees fewer and stops."),
                        STR("Name as many devices as ranks, or lower --tensor-parallel-size."));
        }
    }
}

/* Prefill and decode apart on Ascend: both sides meet at an address that must be given. */
static void check_store_url(struct files_ctx *c, const struct files_command *cmd)
{
    const struct files_word *w = files_command_value(cmd, "--disaggregation-transfer-backend");

    if (w != NULL && str_eq(w->text, STR("ascend")) &&
        str_find(c->text, STR("ASCEND_MF_STORE_URL"), 0) == SIZE_MAX) {
        files_likely(
            c, w->begin, "store-url-missing",
            STR("the ascend transfer backend without ASCEND_MF_STORE_URL"),
            STR("Prefill and decode nodes meet at the address in this variable; without it "
                "the transfer engine does not start."),
            STR("export ASCEND_MF_STORE_URL=tcp://ADDRESS:PORT of the prefill node, the "
                "same on all nodes, before the server starts."),
            STR("The variable is not set by whoever calls this script either."));
    }
}

void script_judge(struct files_ctx *c, const struct script_commands *cmds,
                  const struct files_container *k)
{
    struct files_env *env = arena_zalloc(c->arena, ENV_MAX, sizeof(*env));
    uint32_t n_env = 0;

    if (env == NULL) {
        c->no_memory = true;
        return;
    }
    for (uint32_t i = 0; i < cmds->n; i++) {
        const struct files_command *cmd = &cmds->items[i];
        uint32_t first = 0;

        judge_assignments(c, cmd, k, env, &n_env);
        if (is_docker_run(cmd, &first)) {
            script_docker_run(c, cmd, first);
        } else {
            files_command_check(c, cmd, k);
            if (files_command_engine(cmd, &first) != ENGINE_NONE) {
                check_visible_count(c, cmd, env, n_env);
                check_store_url(c, cmd);
            }
        }
    }
    files_pip_check(c, cmds);
}

/* Vendors that the whole text speaks for, variables of CUDA aside (people copy those). */
static uint32_t script_vendors(struct files_ctx *c, const struct script_commands *cmds)
{
    uint32_t vendors = 0;

    for (uint32_t i = 0; i < cmds->n; i++) {
        const struct files_command *cmd = &cmds->items[i];

        vendors |= files_command_vendors(cmd);
        for (uint32_t w = 0; w < cmd->n_words; w++) {
            struct str name;
            struct str value;

            if (files_env_split(cmd->words[w].text, &name, &value)) {
                vendors |= files_env_vendor(name) & ~(uint32_t)VENDOR_NVIDIA;
            }
            if (sources_environment(cmd) && files_has_text(cmd->words[w].text, "/ascend")) {
                vendors |= VENDOR_ASCEND;
            }
        }
    }
    if (files_has_text(c->text, "nvidia-smi") || files_has_text(c->text, "--gpus")) {
        vendors |= VENDOR_NVIDIA;
    }
    if (files_has_text(c->text, "npu-smi") || files_has_text(c->text, "/dev/davinci")) {
        vendors |= VENDOR_ASCEND;
    }
    return vendors;
}

MUST_USE enum status script_check(struct files_ctx *c, struct error *err)
{
    struct script_commands cmds;
    bool continued = false;
    enum status rc;

    for (uint32_t i = 1; i <= c->n_lines; i++) {
        check_broken_continuation(c, i);
        check_comment_inside(c, i, &continued);
    }
    rc = script_split(c, 0, c->text.len, false, &cmds, err);
    if (rc != OK) {
        return rc;
    }
    c->vendors = script_vendors(c, &cmds);
    check_shebang(c, &cmds);
    check_open_quote(c, &cmds);
    for (uint32_t i = 0; i < cmds.n; i++) {
        check_odd_command(c, &cmds.items[i], i > 0 ? &cmds.items[i - 1] : NULL);
    }
    check_tee(c, &cmds);
    check_nounset(c, &cmds);
    script_judge(c, &cmds, NULL);
    return OK;
}
