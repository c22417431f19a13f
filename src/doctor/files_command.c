#include "base/check.h"
#include "doctor/files_flags.h"
#include "doctor/files_internal.h"
#include "doctor/shape.h"
#include "doctor/sizing.h"

#include <string.h>

#define ENGINE_VERSION_MAX 2000000 // 2.0
#define FLAG_DOUBTED_UNTIL 12000   // newer removals are a note where the version is not known

static bool is(struct str s, const char *text)
{
    return str_eq(s, str_from_c(text));
}

static struct str last_part(struct str path)
{
    for (size_t i = path.len; i > 0; i--) {
        if (path.ptr[i - 1] == '/') {
            return str_slice(path, i, path.len);
        }
    }
    return path;
}

/* Over NAME=value, exec, nohup, env, sudo, numactl ...: index of the program. */
static uint32_t program_index(const struct files_command *cmd)
{
    static const char *const wrappers[] = {"exec",   "nohup",     "env",     "sudo",   "time",
                                           "stdbuf", "nice",      "ionice",  "setsid", "numactl",
                                           "tini",   "dumb-init", "command", "-oL",    "-eL",
                                           "if",     "then",      "do",      "else",   "!"};
    struct str name;
    struct str value;
    uint32_t i = 0;

    for (; i < cmd->n_words; i++) {
        struct str w = last_part(cmd->words[i].text);
        bool wrapper = files_env_split(cmd->words[i].text, &name, &value) ||
                       (i > 0 && w.len > 0 && w.ptr[0] == '-');

        for (size_t k = 0; k < ARRAY_COUNT(wrappers) && !wrapper; k++) {
            wrapper = is(w, wrappers[k]);
        }
        if (!wrapper) {
            break;
        }
    }
    return i;
}

static enum files_engine module_engine(struct str module)
{
    if (str_starts(module, STR("vllm.entrypoints."))) {
        return ENGINE_VLLM;
    }
    if (is(module, "sglang.launch_server")) {
        return ENGINE_SGLANG;
    }
    if (str_starts(module, STR("mindie"))) {
        return ENGINE_MINDIE;
    }
    return str_starts(module, STR("lmdeploy")) ? ENGINE_LMDEPLOY : ENGINE_NONE;
}

enum files_engine files_command_engine(const struct files_command *cmd, uint32_t *ret_first)
{
    uint32_t i = program_index(cmd);
    struct str w;

    *ret_first = cmd->n_words;
    if (i >= cmd->n_words) {
        return ENGINE_NONE;
    }
    w = last_part(cmd->words[i].text);
    *ret_first = i + 1;
    if (str_starts(w, STR("python"))) {
        for (uint32_t k = i + 1; k + 1 < cmd->n_words && k < i + 5; k++) {
            if (is(cmd->words[k].text, "-m")) {
                *ret_first = k + 2;
                return module_engine(cmd->words[k + 1].text);
            }
        }
        return ENGINE_NONE;
    }
    if (is(w, "vllm") || is(w, "sglang") || is(w, "kontor") || is(w, "lmdeploy")) {
        bool serve = i + 1 < cmd->n_words && is(cmd->words[i + 1].text, "serve");

        *ret_first = i + 2;
        return !serve            ? ENGINE_NONE
               : is(w, "vllm")   ? ENGINE_VLLM
               : is(w, "sglang") ? ENGINE_SGLANG
               : is(w, "kontor") ? ENGINE_KONTOR
                                 : ENGINE_LMDEPLOY;
    }
    if (is(w, "llama-server") || is(w, "llama-box")) {
        return ENGINE_LLAMA;
    }
    return is(w, "mindieservice_daemon") || is(w, "mindie_llm_server") ? ENGINE_MINDIE
                                                                       : ENGINE_NONE;
}

static bool flag_matches(struct str word, struct str name, bool *ret_inline)
{
    size_t n = 0;

    if (word.len < name.len) {
        return false;
    }
    while (n < name.len) {
        if ((word.ptr[n] == '_' ? '-' : word.ptr[n]) != name.ptr[n]) {
            return false;
        }
        n++;
    }
    *ret_inline = word.len > n;
    return word.len == n || word.ptr[n] == '=';
}

const struct files_word *files_command_value(const struct files_command *cmd, const char *names)
{
    struct str all = str_from_c(names);

    for (uint32_t i = 0; i < cmd->n_words; i++) {
        size_t at = 0;

        while (at < all.len) {
            size_t end = str_find_byte(all, ' ', at);
            struct str name = str_slice(all, at, end == SIZE_MAX ? all.len : end);
            bool is_inline = false;

            if (flag_matches(cmd->words[i].text, name, &is_inline)) {
                if (is_inline) {
                    return &cmd->words[i];
                }
                return i + 1 < cmd->n_words ? &cmd->words[i + 1] : NULL;
            }
            at += name.len + 1;
        }
    }
    return NULL;
}

/* The value itself, also of --flag=value. */
static struct str value_text(const struct files_word *w)
{
    size_t eq = w != NULL ? str_find_byte(w->text, '=', 0) : 0;

    if (w == NULL) {
        return STR("");
    }
    return str_starts(w->text, STR("-")) && eq != SIZE_MAX ? str_slice(w->text, eq + 1, w->text.len)
                                                           : w->text;
}

static uint64_t count_of(const struct files_command *cmd, const char *names)
{
    uint64_t v = 0;

    return files_number(value_text(files_command_value(cmd, names)), &v) && v > 0 && v < 100000 ? v
                                                                                                : 1;
}

#define TP_FLAGS "--tensor-parallel-size -tp --tp-size --tp"

uint64_t files_command_ranks(const struct files_command *cmd)
{
    uint64_t nodes = count_of(cmd, "--nnodes");
    uint64_t dp = count_of(cmd, "--data-parallel-size-local -dpl");
    uint64_t ranks;

    if (dp == 1 && files_command_value(cmd, "--data-parallel-address -dpa") == NULL &&
        files_command_value(cmd, "--enable-dp-attention") == NULL) {
        dp = files_command_value(cmd, "--dp-size --dp") != NULL
                 ? 1 // SGLang with attention DP shares the TP ranks
                 : count_of(cmd, "--data-parallel-size -dp");
    }
    ranks = count_of(cmd, TP_FLAGS) * count_of(cmd, "--pipeline-parallel-size -pp --pp-size") * dp;
    return nodes > 1 && ranks % nodes == 0 ? ranks / nodes : ranks;
}

uint32_t files_command_vendors(const struct files_command *cmd)
{
    struct str device = value_text(files_command_value(cmd, "--device"));
    struct str quant = value_text(files_command_value(cmd, "--quantization -q"));
    struct str attention = value_text(files_command_value(cmd, "--attention-backend"));
    uint32_t vendors = 0;

    if (is(device, "npu") || is(device, "ascend") || is(quant, "ascend") ||
        is(quant, "modelslim") || is(attention, "ascend")) {
        vendors |= VENDOR_ASCEND;
    }
    if (is(device, "cuda")) {
        vendors |= VENDOR_NVIDIA;
    }
    if (is(device, "musa")) {
        vendors |= VENDOR_MTHREADS;
    }
    if (is(device, "mlu") || is(device, "camb")) {
        vendors |= VENDOR_CAMBRICON;
    }
    return vendors;
}

/* A flag and its values leave the command. */
static void remove_words(struct files_ctx *c, const struct files_command *cmd, uint32_t i,
                         uint32_t n)
{
    uint32_t last = i + n - 1;
    size_t begin = cmd->words[i].begin;
    size_t end;

    if (last >= cmd->n_words) {
        last = cmd->n_words - 1;
    }
    end = cmd->words[last].end;
    if (cmd->has_items) { // YAML items: each on its own line, or between commas
        struct str before = str_slice(c->text, c->line_at[files_line_of(c, begin) - 1], begin);

        if (str_starts(str_trim(before), STR("-")) && str_trim(before).len == 1) {
            for (uint32_t k = i; k <= last; k++) {
                uint32_t line = files_line_of(c, cmd->words[k].begin);
                size_t next = line < c->n_lines ? c->line_at[line] : c->text.len;

                files_replace(c, c->line_at[line - 1], next, STR(""));
            }
            return;
        }
    }
    if (cmd->is_list) {
        if (last + 1 < cmd->n_words) {
            end = cmd->words[last + 1].begin;
        } else if (i > 0) {
            begin = cmd->words[i - 1].end;
        }
        files_replace(c, begin, end, STR(""));
        return;
    }
    if (end < c->text.len && c->text.ptr[end] == ' ') {
        end++;
    }
    files_replace(c, begin, end, STR("\x01"));
}

/* A word in the form its surroundings need. */
static void replace_word(struct files_ctx *c, const struct files_command *cmd,
                         const struct files_word *w, struct str text)
{
    bool quote = cmd->is_list && w->begin < c->text.len && c->text.ptr[w->begin] == '"';

    files_replace(c, w->begin, w->end, quote ? files_text(c, "\"%.*s\"", STR_ARG(text)) : text);
}

static const char *engine_name(enum files_engine e)
{
    static const char *const names[] = {"",       "vLLM",   "SGLang",  "llama.cpp",
                                        "MindIE", "Kontor", "LMDeploy"};

    return names[e];
}

/* "v0.11.0" of an image of vLLM, 0 when it says none: the tag of pytorch or of a vendor's year and
 * month ("25.09") is another count. */
static uint32_t image_version(const struct files_container *k)
{
    struct str image = k != NULL ? last_part(k->image) : STR("");
    size_t colon = str_find_byte(image, ':', 0);
    uint32_t v = 0;

    if (colon == SIZE_MAX || !files_has_text(str_slice(image, 0, colon), "vllm") ||
        !files_version(str_slice(image, colon + 1, image.len), &v)) {
        return 0;
    }
    return v < ENGINE_VERSION_MAX ? v : 0;
}

/* The version from which on a flag is wrong: a value that was never right makes it wrong in all. */
static uint32_t wrong_since(const struct files_command *cmd, uint32_t i, const struct files_flag *f)
{
    struct str text = cmd->words[i].text;
    size_t eq = str_find_byte(text, '=', 0);
    struct str value = eq != SIZE_MAX         ? str_slice(text, eq + 1, text.len)
                       : i + 1 < cmd->n_words ? cmd->words[i + 1].text
                                              : STR("");

    if (f->engine == ENGINE_VLLM && strcmp(f->name, "device") == 0 &&
        (is(value, "ascend") || is(value, "npu"))) {
        return 0;
    }
    return f->since_version;
}

/* Without a version the flag may be right: nothing is corrected. */
static void doubt_table_flag(struct files_ctx *c, const struct files_word *w,
                             const struct files_flag *f)
{
    const char *engine = engine_name(f->engine);
    unsigned minor = f->since_version / 1000;

    files_likely(c, w->begin, "engine-flag",
                 files_text(c, "--%s is no flag of %s since 0.%u", f->name, engine, minor),
                 str_from_c(f->truth),
                 f->instead != NULL ? files_text(c, "Write %s instead.", f->instead)
                                    : STR("Remove it."),
                 files_text(c,
                            "The %s that runs here is 0.%u or newer (nothing in this file says; "
                            "pip show vllm does). In an older one the flag is right.",
                            engine, minor));
}

static void judge_table_flag(struct files_ctx *c, const struct files_command *cmd, uint32_t i,
                             const struct files_flag *f)
{
    const struct files_word *w = &cmd->words[i];
    size_t eq = str_find_byte(w->text, '=', 0);
    struct str given = eq == SIZE_MAX ? w->text : str_slice(w->text, 0, eq);
    bool has_value = eq == SIZE_MAX && f->n_values > 0 && i + 1 < cmd->n_words &&
                     !str_starts(cmd->words[i + 1].text, STR("--"));

    files_wrong(c, w->begin, "engine-flag",
                files_text(c, "%.*s is no flag of %s", STR_ARG(given), engine_name(f->engine)),
                str_from_c(f->truth),
                f->instead != NULL ? files_text(c, "Write %s instead.", f->instead)
                                   : STR("Remove it."));
    if (f->instead == NULL || files_command_value(cmd, f->instead) != NULL) {
        remove_words(c, cmd, i, has_value ? 2 : 1); // it has no successor, or that is there already
    } else {
        replace_word(c, cmd, w,
                     eq == SIZE_MAX ? str_from_c(f->instead)
                                    : files_text(c, "%s%.*s", f->instead,
                                                 STR_ARG(str_slice(w->text, eq, w->text.len))));
    }
}

static void check_flag(struct files_ctx *c, const struct files_command *cmd, uint32_t i,
                       enum files_engine engine, uint32_t version)
{
    const struct files_word *w = &cmd->words[i];
    size_t eq = str_find_byte(w->text, '=', 0);
    struct str name = str_slice(w->text, 2, eq == SIZE_MAX ? w->text.len : eq);
    const struct files_flag *f = files_flags_find(engine, name);
    const char *near;

    if (w->text.len < 4 || w->expands || !str_starts(w->text, STR("--"))) {
        return;
    }
    if (f != NULL && f->since_version == 1) {
        files_advise(c, w->begin, files_text(c, "%s: %s", engine_name(engine), f->truth));
        return;
    }
    if (f != NULL && (wrong_since(cmd, i, f) == 0 || version >= f->since_version ||
                      (version == 0 && f->verdict == FLAG_IDLE))) {
        judge_table_flag(c, cmd, i, f);
        return;
    }
    if (f != NULL && version == 0 && f->since_version <= FLAG_DOUBTED_UNTIL) {
        doubt_table_flag(c, w, f);
        return;
    }
    if (f != NULL) {
        files_advise(c, w->begin, files_text(c, "going away: %s", f->truth));
        return;
    }
    if (files_flags_known(engine, name)) {
        return;
    }
    near = files_flags_nearest(engine, name);
    if (near != NULL) {
        struct str right = str_from_c(near);

        files_wrong(c, w->begin, "engine-flag-spelling",
                    files_text(c, "--%.*s is no flag of %s", STR_ARG(name), engine_name(engine)),
                    STR("The name is one or two letters away from a real one; the server stops "
                        "with \"unrecognized arguments\"."),
                    files_text(c, "Write --%.*s.", STR_ARG(right)));
        replace_word(c, cmd, w,
                     files_text(c, "--%.*s%.*s", STR_ARG(right),
                                STR_ARG(str_slice(w->text, 2 + name.len, w->text.len))));
    } else {
        files_advise(c, w->begin,
                     files_text(c, "--%.*s is not in the doctor's list of %s flags", STR_ARG(name),
                                engine_name(engine)));
    }
}

/* Values with a range or a closed set. */
static void check_fraction(struct files_ctx *c, const struct files_command *cmd)
{
    const struct files_word *w =
        files_command_value(cmd, "--gpu-memory-utilization --mem-fraction-static");
    struct str v = value_text(w);
    double d = 0;

    if (w == NULL || w->expands) {
        return;
    }
    if (str_ends(v, STR("%")) || (str_to_f64(v, &d) == OK && (d > 1 || d <= 0))) {
        files_wrong(c, w->begin, "fraction-range",
                    files_text(c, "%.*s is no share of the memory", STR_ARG(v)),
                    STR("The value is a fraction between 0 and 1 of the card's whole memory, not "
                        "a percentage and not gigabytes."),
                    STR("Write 0.9 for 90 %."));
        if (d > 1 && d < 100 && !str_starts(w->text, STR("-"))) {
            replace_word(c, cmd, w, files_text(c, "%g", d / 100));
        }
    }
}

static void check_parsers(struct files_ctx *c, const struct files_command *cmd,
                          const struct files_container *k)
{
    const struct files_word *reasoning = files_command_value(cmd, "--reasoning-parser");
    const struct files_word *tool = files_command_value(cmd, "--tool-call-parser");
    uint32_t version = image_version(k);

    if (reasoning != NULL &&
        (is(value_text(reasoning), "glm47") || is(value_text(reasoning), "glm4") ||
         is(value_text(reasoning), "glm5"))) {
        files_wrong(c, reasoning->begin, "reasoning-parser",
                    files_text(c, "no reasoning parser %.*s", STR_ARG(value_text(reasoning))),
                    STR("One reasoning parser serves GLM-4.5 to GLM-5: glm45. Only the tool "
                        "parser has a second one, glm47."),
                    STR("Write --reasoning-parser glm45."));
        if (!str_starts(reasoning->text, STR("-"))) {
            replace_word(c, cmd, reasoning, STR("glm45"));
        }
    }
    if (tool != NULL && version != 0 && version < 10000 &&
        str_starts(value_text(tool), STR("glm4"))) {
        files_wrong(c, tool->begin, "tool-parser-version",
                    files_text(c, "tool parser %.*s in an image before 0.10",
                               STR_ARG(value_text(tool))),
                    STR("The GLM-4.5 parsers came with vLLM 0.10.0; older releases stop with "
                        "\"invalid tool call parser\"."),
                    STR("Use an image of vLLM 0.10.0 or newer."));
    }
    for (uint32_t i = 0; i < cmd->n_words; i++) {
        if (is(cmd->words[i].text, "--enable-auto-tool-choice") && tool == NULL) {
            files_wrong(c, cmd->words[i].begin, "tool-choice-parser",
                        STR("--enable-auto-tool-choice without --tool-call-parser"),
                        STR("The server stops at start: automatic tool choice needs to know the "
                            "model's format."),
                        STR("Add --tool-call-parser glm45 (GLM-4.5, 4.6) or glm47 (GLM-4.7, "
                            "GLM-5)."));
        }
    }
}

static void check_dtype(struct files_ctx *c, const struct files_command *cmd,
                        const struct files_container *k)
{
    const struct files_word *dtype = files_command_value(cmd, "--dtype");
    const struct files_word *quant = files_command_value(cmd, "--quantization -q");
    uint32_t vendors = k != NULL ? k->vendors : c->vendors;
    struct str model = value_text(files_command_value(cmd, "--model --model-path"));
    bool w8a8 = files_has_text(model, "w8a8") || files_has_text(model, "w4a8");

    for (uint32_t i = 0; i < cmd->n_words && !w8a8; i++) {
        w8a8 = files_has_text(cmd->words[i].text, "w8a8");
    }
    if (dtype != NULL && k != NULL && files_has_text(k->image, "310p") &&
        is(value_text(dtype), "bfloat16")) {
        files_wrong(c, dtype->begin, "dtype-310p", STR("bfloat16 on Atlas 300I Duo (310P)"),
                    STR("The 310P has no bfloat16 arithmetic."), STR("Write --dtype float16."));
        replace_word(c, cmd, dtype, STR("float16"));
    }
    if (dtype != NULL && w8a8 && (vendors & VENDOR_ASCEND) &&
        (is(value_text(dtype), "float16") || is(value_text(dtype), "half")) &&
        !(k != NULL && files_has_text(k->image, "310p"))) {
        files_likely(c, dtype->begin, "dtype-w8a8", STR("W8A8 weights with --dtype float16"),
                     STR("The quantised kernels on A2 and A3 take bfloat16 activations and scales; "
                         "with float16 they refuse the tensors."),
                     STR("Write --dtype bfloat16, or leave the flag out."),
                     STR("The log names a dtype mismatch in a quant matmul."));
        replace_word(c, cmd, dtype, STR("bfloat16"));
    }
    if (quant != NULL && is(value_text(quant), "fp8") && (vendors & VENDOR_ASCEND)) {
        files_wrong(c, quant->begin, "fp8-ascend", STR("FP8 on Ascend A2 or A3"),
                    STR("These chips have no FP8 arithmetic; loading stops with an unexpected "
                        "type."),
                    STR("Use the BF16 or the W8A8 weights (--quantization ascend)."));
    }
    if (quant != NULL && is(value_text(quant), "ascend") && k != NULL &&
        k->vendors == VENDOR_NVIDIA) {
        files_wrong(c, quant->begin, "quantization-vendor", STR("--quantization ascend on NVIDIA"),
                    STR("That method exists only in the Ascend plug-in."),
                    STR("Remove the flag, or use the Ascend image."));
    }
}

static void check_host_flag(struct files_ctx *c, const struct files_command *cmd,
                            const struct files_container *k, enum files_engine engine)
{
    const struct files_word *host = files_command_value(cmd, "--host");

    if (k == NULL || k->net_host) {
        return;
    }
    if (host == NULL && engine == ENGINE_SGLANG && cmd->n_words > 0) {
        files_likely(
            c, cmd->words[0].begin, "host-default-loopback",
            STR("SGLang without --host listens on 127.0.0.1 inside the container"),
            STR("Its default is the loopback address, which exists only in the container's "
                "own network: published ports, services and probes get \"connection "
                "refused\"."),
            STR("Add --host 0.0.0.0 and restrict the published port instead."),
            STR("curl inside the container answers, from outside it does not."));
    }
    if (host == NULL) {
        return;
    }
    if (is(value_text(host), "127.0.0.1") || is(value_text(host), "localhost")) {
        files_wrong(c, host->begin, "host-loopback",
                    STR("the server listens on 127.0.0.1 inside the container"),
                    STR("That address exists only in the container's own network: published ports, "
                        "services and probes get \"connection refused\"."),
                    STR("Write --host 0.0.0.0 and restrict the published port instead."));
        replace_word(c, cmd, host,
                     str_starts(host->text, STR("-")) ? STR("--host=0.0.0.0") : STR("0.0.0.0"));
    }
}

/* The shape whose name the path ends with, as far as published models go. */
static bool shape_of(struct str path, struct shape *ret_shape)
{
    struct str base = last_part(path);
    char lower[96];
    size_t n = base.len < sizeof(lower) ? base.len : 0;
    uint32_t best = 0;

    for (size_t i = 0; i < n; i++) {
        char ch = base.ptr[i];

        lower[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
    }
    for (uint32_t i = 0; i < shape_count(); i++) {
        struct str name = str_from_c(shape_at(i)->name);

        bool longer = name.len <= n && memcmp(name.ptr, lower, name.len) == 0;
        bool shorter = n >= 8 && n < name.len && memcmp(name.ptr, lower, n) == 0;

        if (longer && name.len > best) {
            *ret_shape = *shape_at(i);
            best = (uint32_t)name.len;
        } else if (shorter && best == 0) { // glm-4-9b for glm-4-9b-chat
            *ret_shape = *shape_at(i);
            best = 1;
        }
    }
    return best > 0;
}

static void check_tp(struct files_ctx *c, const struct files_command *cmd, uint32_t first)
{
    const struct files_word *tp = files_command_value(cmd, TP_FLAGS);
    struct str model = value_text(files_command_value(cmd, "--model --model-path"));
    struct shape s;
    uint64_t n = 0;

    if (model.len == 0 && first < cmd->n_words && !str_starts(cmd->words[first].text, STR("-"))) {
        model = cmd->words[first].text;
    }
    if (tp == NULL || !files_number(value_text(tp), &n) || n < 2 || n > 4096 ||
        !shape_of(model, &s) || sizing_tp_works(&s, (uint32_t)n)) {
        return;
    }
    files_wrong(c, tp->begin, "tp-heads",
                files_text(c, "tensor parallel %u does not divide the model's %u heads",
                           (unsigned)n, s.n_heads),
                STR("Every rank takes the same number of attention heads; the start ends with "
                    "\"not divisible\"."),
                files_text(c, "Use a size that divides %u.", s.n_heads));
}

static void check_module(struct files_ctx *c, const struct files_command *cmd, uint32_t first)
{
    const struct files_word *w = first > 0 ? &cmd->words[first - 1] : NULL;

    if (w == NULL ||
        (!is(w->text, "vllm.entrypoints.llm") && !is(w->text, "vllm.entrypoints.api_server"))) {
        return;
    }
    files_wrong(c, w->begin, "engine-module",
                files_text(c, "%.*s is no server module", STR_ARG(w->text)),
                is(w->text, "vllm.entrypoints.llm")
                    ? STR("It defines the offline LLM class; run as a program it imports, prints "
                          "nothing and ends.")
                    : STR("The old demonstration server spoke its own protocol and left the "
                          "package."),
                STR("Use `vllm serve DIR`, or `python -m vllm.entrypoints.openai.api_server "
                    "--model DIR`."));
    replace_word(c, cmd, w, STR("vllm.entrypoints.openai.api_server"));
}

static void check_tokenizer(struct files_ctx *c, const struct files_command *cmd)
{
    const struct files_word *w = files_command_value(cmd, "--tokenizer --tokenizer-path");

    if (w == NULL || !str_ends(value_text(w), STR("/tokenizer")) ||
        str_starts(w->text, STR("--"))) {
        return;
    }
    files_wrong(c, w->begin, "tokenizer-folder", STR("the tokenizer is looked for in a subfolder"),
                STR("In published GLM folders tokenizer.json and its configuration lie in the "
                    "model folder itself; there is no subfolder tokenizer."),
                STR("Remove --tokenizer; the model folder is the default."));
    for (uint32_t i = 0; i < cmd->n_words; i++) {
        if (w == &cmd->words[i] && i > 0) {
            remove_words(c, cmd, i - 1, 2);
        }
    }
}

static void check_placeholders(struct files_ctx *c, const struct files_command *cmd, uint32_t first)
{
    for (uint32_t i = first; i < cmd->n_words; i++) {
        const struct files_word *w = &cmd->words[i];
        struct str v = value_text(w);

        if (str_starts(w->text, STR("-")) && str_find_byte(w->text, '=', 0) == SIZE_MAX) {
            continue;
        }
        if (files_placeholder(v)) {
            files_wrong(c, w->begin, "placeholder",
                        files_text(c, "the placeholder %.*s is still there",
                                   STR_ARG(str_slice(v, 0, 60))),
                        STR("The line was copied from a guide; the value that belongs to this site "
                            "was never filled in."),
                        STR("Replace it with the real path, address or name."));
        }
    }
}

static void check_list_command(struct files_ctx *c, const struct files_command *cmd)
{
    const struct files_word *w = cmd->n_words > 0 ? &cmd->words[0] : NULL;
    bool long_word = w != NULL && str_find_byte(w->text, ' ', 0) != SIZE_MAX &&
                     str_find_byte(w->text, '/', 0) != 0;

    if (!cmd->is_list || !long_word || cmd->n_words > 2 || w->expands) {
        return;
    }
    files_wrong(c, w->begin, "list-one-word", STR("a whole command line in one list element"),
                STR("In the list form every element is one word; no shell splits it. The system "
                    "looks for a program whose name contains the blanks: \"no such file or "
                    "directory\"."),
                STR("Make each word an element of its own, or write a string without brackets."));
}

void files_command_check(struct files_ctx *c, const struct files_command *cmd,
                         const struct files_container *k)
{
    uint32_t first = 0;
    enum files_engine engine = files_command_engine(cmd, &first);
    uint32_t version = image_version(k);

    check_list_command(c, cmd);
    if (engine == ENGINE_NONE && k != NULL && !k->has_entrypoint && k->engine != ENGINE_NONE &&
        cmd->n_words > 0 && str_starts(cmd->words[0].text, STR("-"))) {
        engine = k->engine; // arguments of the image's own entry point
        first = 0;
    }
    if (engine == ENGINE_NONE) {
        return;
    }
    check_module(c, cmd, first);
    if (!(k != NULL && k->engine == ENGINE_LLAMA && engine != ENGINE_LLAMA)) {
        for (uint32_t i = first; i < cmd->n_words; i++) {
            check_flag(c, cmd, i, engine, version);
        }
    }
    check_fraction(c, cmd);
    check_parsers(c, cmd, k);
    check_dtype(c, cmd, k);
    check_host_flag(c, cmd, k, engine);
    check_tp(c, cmd, first);
    check_tokenizer(c, cmd);
    check_placeholders(c, cmd, first);
}
