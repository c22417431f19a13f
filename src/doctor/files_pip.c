#include "doctor/files_pip.h"

#include "base/check.h"

#include <string.h>

/* Releases of the Ascend plug-in and what each was built against. */
static const struct files_pip_row rows[] = {
    {"0.23.0", "0.23.0", "3.10", "3.12", "9.1.0", "2.10.0", "2.10.0.post4"},
    {"0.23.0rc1", "0.23.0", "3.10", "3.12", "9.0.1", "2.10.0", "2.10.0.post2"},
    {"0.22.1rc1", "0.22.1", "3.10", "3.12", "9.0.0", "2.10.0", "2.10.0"},
    {"0.21.0rc1", "0.21.0", "3.10", "3.12", "9.0.0", "2.10.0", "2.10.0"},
    {"0.20.2rc1", "0.20.2", "3.10", "3.11", "9.0.0", "2.10.0", "2.10.0"},
    {"0.19.1rc1", "0.19.1", "3.10", "3.11", "8.5.1", "2.9.0", "2.9.0"},
    {"0.18.0", "0.18.0", "3.10", "3.11", "8.5.1", "2.9.0", "2.9.0.post1"},
    {"0.18.0rc1", "0.18.0rc1", "3.10", "3.11", "8.5.1", "2.9.0", "2.9.0"},
    {"0.17.0rc1", "0.17.0", "3.10", "3.11", "8.5.1", "2.9.0", "2.9.0"},
    {"0.16.0rc1", "0.16.0", "3.10", "3.11", "8.5.1", "2.9.0", "2.9.0"},
    {"0.15.0rc1", "0.15.0", "3.10", "3.11", "8.5.0", "2.9.0", "2.9.0"},
    {"0.14.0rc1", "0.14.1", "3.10", "3.11", "8.5.0", "2.9.0", "2.9.0"},
    {"0.13.0rc3", "0.13.0", "3.10", "3.11", "8.5.1", "2.8.0", "2.8.0.post2"},
    {"0.13.0", "0.13.0", "3.10", "3.11", "8.5.0", "2.8.0", "2.8.0.post2"},
    {"0.13.0rc2", "0.13.0", "3.10", "3.11", "8.5.0", "2.8.0", "2.8.0.post1"},
    {"0.13.0rc1", "0.13.0", "3.10", "3.11", "8.3.RC2", "2.8.0", "2.8.0"},
    {"0.12.0rc1", "0.12.0", "3.10", "3.11", "8.3.RC2", "2.8.0", "2.8.0"},
    {"0.11.0", "0.11.0", "3.9", "3.11", "8.3.RC2", "2.7.1", "2.7.1.post1"},
    {"0.11.0rc3", "0.11.0", "3.9", "3.11", "8.3.RC2", "2.7.1", "2.7.1.post1"},
    {"0.11.0rc2", "0.11.0", "3.9", "3.11", "8.3.RC2", "2.7.1", "2.7.1"},
    {"0.11.0rc1", "0.11.0", "3.9", "3.11", "8.3.RC1", "2.7.1", "2.7.1"},
    {"0.10.2rc1", "0.10.2", "3.9", "3.11", "8.2.RC1", "2.7.1", "2.7.1.dev20250724"},
    {"0.10.1rc1", "0.10.1", "3.9", "3.11", "8.2.RC1", "2.7.1", "2.7.1.dev20250724"},
    {"0.10.0rc1", "0.10.0", "3.9", "3.11", "8.2.RC1", "2.7.1", "2.7.1.dev20250724"},
    {"0.9.2rc1", "0.9.2", "3.9", "3.11", "8.1.RC1", "2.5.1", "2.5.1.post1.dev20250619"},
    {"0.9.1", "0.9.1", "3.9", "3.11", "8.2.RC1", "2.5.1", "2.5.1.post1"},
    {"0.9.1rc1", "0.9.1", "3.9", "3.11", "8.1.RC1", "2.5.1", "2.5.1.post1.dev20250528"},
    {"0.9.0rc2", "0.9.0", "3.9", "3.11", "8.1.RC1", "2.5.1", "2.5.1"},
    {"0.8.5rc1", "0.8.5", "3.9", "3.11", "8.1.RC1", "2.5.1", "2.5.1"},
    {"0.8.4rc2", "0.8.4", "3.9", "3.11", "8.0.0", "2.5.1", "2.5.1"},
    {"0.7.3", "0.7.3", "3.9", "3.11", "8.1.RC1", "2.5.1", "2.5.1"},
};

const struct files_pip_row *files_pip_at(uint32_t idx)
{
    return idx < ARRAY_COUNT(rows) ? &rows[idx] : NULL;
}

const struct files_pip_row *files_pip_find(struct str v)
{
    if (str_starts(v, STR("v"))) {
        v = str_slice(v, 1, v.len);
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (str_eq(v, str_from_c(rows[i].vllm_ascend))) {
            return &rows[i];
        }
    }
    return NULL;
}

/* What the file installs. */
struct installs {
    const struct files_word *vllm;
    const struct files_word *vllm_ascend;
    const struct files_word *torch;
    const struct files_word *torch_npu;
    const struct files_word *mindspore;
    struct str vllm_version;
    struct str ascend_version;
    struct str torch_version;
    struct str npu_version;
};

/* "torch_npu==2.5.1" -> version of the package; "" for no pin. */
static bool is_package(struct str w, const char *name, struct str *ret_version)
{
    size_t n = strlen(name);
    size_t at;

    if (w.len < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char a = w.ptr[i] == '_' ? '-' : w.ptr[i];

        if ((a >= 'A' && a <= 'Z' ? a + 32 : a) != name[i]) {
            return false;
        }
    }
    if (w.len > n && w.ptr[n] != '=' && w.ptr[n] != '[' && w.ptr[n] != '<' && w.ptr[n] != '>' &&
        w.ptr[n] != '~') {
        return false;
    }
    at = str_find(w, STR("=="), n);
    *ret_version = at == SIZE_MAX ? STR("") : str_slice(w, at + 2, w.len);
    return true;
}

/* First word behind "pip install", or 0. */
static uint32_t pip_install(const struct files_command *cmd)
{
    for (uint32_t i = 0; i + 1 < cmd->n_words && i < 8; i++) {
        struct str w = cmd->words[i].text;

        if ((str_eq(w, STR("pip")) || str_eq(w, STR("pip3")) || str_starts(w, STR("pip3."))) &&
            str_eq(cmd->words[i + 1].text, STR("install"))) {
            return i + 2;
        }
    }
    return 0;
}

static bool is_plain_pip(const struct files_command *cmd)
{
    struct str w = cmd->words[0].text;

    return str_eq(w, STR("pip")) || str_eq(w, STR("pip3"));
}

/* 26: one interpreter installed, another one's pip used. */
static void check_interpreter(struct files_ctx *c, const struct files_command *cmd,
                              struct str installed)
{
    if (installed.len == 0 || !is_plain_pip(cmd) || files_has_text(c->text, "-m venv") ||
        files_has_text(c->text, "virtualenv") || files_has_text(c->text, "update-alternatives") ||
        files_has_text(c->text, "get-pip") || files_has_text(c->text, "ln -s")) {
        return;
    }
    files_wrong(c, cmd->words[0].begin, "pip-interpreter",
                files_text(c, "%.*s is installed, but `pip` belongs to the system's Python",
                           STR_ARG(installed)),
                STR("The distribution's pip installs for the distribution's interpreter (3.10 on "
                    "Ubuntu 22.04). The other interpreter then finds no module."),
                files_text(c, "Use `%.*s -m pip install ...`, best in a venv of that interpreter.",
                           STR_ARG(installed)));
    files_replace(c, cmd->words[0].begin, cmd->words[0].end,
                  files_text(c, "%.*s -m pip", STR_ARG(installed)));
}

/* 27: a wheel of another machine. */
static void check_wheel(struct files_ctx *c, const struct files_word *w)
{
    bool x86 = files_has_text(w->text, "x86_64") || files_has_text(w->text, "amd64");
    bool arm_file = files_has_text(c->text, "kunpeng") || files_has_text(c->text, "linux/arm64") ||
                    files_has_text(c->text, "-arm64") || files_has_text(c->text, "arm64v8") ||
                    (files_has_text(c->text, "aarch64") && !files_has_text(c->text, "uname"));

    if (!x86 || !files_has_text(w->text, ".whl") || !arm_file) {
        return;
    }
    files_wrong(c, w->begin, "wheel-machine", STR("an x86_64 wheel for an arm64 host"),
                STR("Kunpeng and other arm64 hosts need aarch64 wheels; pip answers \"is not a "
                    "supported wheel on this platform\", or the program ends with \"Exec format "
                    "error\"."),
                STR("Take the aarch64 wheel (check with `uname -m`), or choose by $(uname -m)."));
    for (size_t at = str_find(c->text, STR("x86_64"), w->begin); at != SIZE_MAX && at < w->end;
         at = str_find(c->text, STR("x86_64"), at + 6)) {
        files_replace(c, at, at + 6, STR("aarch64"));
    }
}

static void check_vllm_version(struct files_ctx *c, const struct installs *in)
{
    uint32_t v = 0;
    uint32_t a = 0;
    const struct files_pip_row *row = files_pip_find(in->ascend_version);

    if (in->vllm == NULL || !(c->vendors & VENDOR_ASCEND || in->vllm_ascend != NULL)) {
        return;
    }
    if (files_version(in->vllm_version, &v) && v < 7000) {
        files_wrong(
            c, in->vllm->begin, "vllm-before-plugins",
            files_text(c, "vLLM %.*s has no plug-in interface", STR_ARG(in->vllm_version)),
            STR("The Ascend plug-in exists since vLLM 0.7.1 (February 2025); older releases "
                "cannot load it and know none of the GLM-4.5 and later classes (0.10.0 and "
                "later, GLM-5: 0.17 and later)."),
            STR("Install one row of the compatibility table, for example vllm==0.18.0 with "
                "vllm-ascend==0.18.0, CANN 8.5.1, torch-npu 2.9.0.post1."));
        files_replace(c, in->vllm->begin, in->vllm->end,
                      files_text(c, "vllm==%s", row != NULL ? row->vllm : "0.18.0"));
        return;
    }
    if (in->vllm_ascend == NULL || !files_version(in->ascend_version, &a) || v == 0) {
        return;
    }
    if (row != NULL ? !str_starts(in->vllm_version, str_from_c(row->vllm)) : v / 1000 != a / 1000) {
        const char *want = row != NULL ? row->vllm : NULL;

        files_wrong(c, in->vllm->begin, "vllm-ascend-pair",
                    files_text(c, "vllm %.*s with vllm-ascend %.*s", STR_ARG(in->vllm_version),
                               STR_ARG(in->ascend_version)),
                    STR("A release of the plug-in fits the vLLM release of the same number; with "
                        "another one imports and call signatures fail."),
                    want != NULL ? files_text(c, "Install vllm==%s with it.", want)
                                 : STR("Install the same version of both."));
        if (want != NULL) {
            files_replace(c, in->vllm->begin, in->vllm->end, files_text(c, "vllm==%s", want));
        }
    }
}

static void check_torch(struct files_ctx *c, const struct installs *in)
{
    uint32_t t = 0;
    uint32_t n = 0;
    const struct files_pip_row *row = files_pip_find(in->ascend_version);

    if (in->torch != NULL && in->torch_npu != NULL && files_version(in->torch_version, &t) &&
        files_version(in->npu_version, &n) && t != n) {
        files_wrong(c, in->torch_npu->begin, "torch-npu-pair",
                    files_text(c, "torch %.*s with torch-npu %.*s", STR_ARG(in->torch_version),
                               STR_ARG(in->npu_version)),
                    STR("torch-npu is compiled against the torch of the same number; others end in "
                        "undefined symbols at import."),
                    STR("Install the same version of torch and torch-npu."));
    }
    if (row != NULL && in->torch_npu != NULL && files_version(in->npu_version, &n) &&
        files_version(str_from_c(row->torch_npu), &t) && n != t) {
        files_wrong(c, in->torch_npu->begin, "vllm-ascend-torch",
                    files_text(c, "torch-npu %.*s with vllm-ascend %s", STR_ARG(in->npu_version),
                               row->vllm_ascend),
                    files_text(c, "That release was built with torch %s, torch-npu %s and CANN %s.",
                               row->torch, row->torch_npu, row->cann),
                    files_text(c, "Install torch==%s and torch-npu==%s.", row->torch,
                               row->torch_npu));
    }
}

/* Version in an image name: quay.io/ascend/cann:8.3.rc2-910b-..., "...-cann8.5.0-..." */
static struct str cann_of_image(struct str text, size_t *ret_at)
{
    size_t at = str_find(text, STR("cann:"), 0);
    size_t end;

    if (at == SIZE_MAX) {
        return STR("");
    }
    at += 5;
    end = at;
    while (end < text.len && text.ptr[end] != '-' && text.ptr[end] != '\n' &&
           text.ptr[end] != ' ' && text.ptr[end] != '"' && text.ptr[end] != '\r') {
        end++;
    }
    *ret_at = at;
    return str_slice(text, at, end);
}

static void check_cann(struct files_ctx *c, const struct installs *in)
{
    size_t at = 0;
    struct str cann = cann_of_image(c->text, &at);
    const struct files_pip_row *row = files_pip_find(in->ascend_version);
    size_t py = str_find(c->text, STR("-py3."), at);
    uint32_t have = 0;
    uint32_t want = 0;
    uint64_t minor = 0;

    if (row == NULL || !files_version(cann, &have) ||
        !files_version(str_from_c(row->cann), &want)) {
        return;
    }
    if (have / 1000 != want / 1000) { // major and minor; RC and patch levels: a newer one works
        files_wrong(c, at, "vllm-ascend-cann",
                    files_text(c, "CANN %.*s under vllm-ascend %s", STR_ARG(cann),
                               row->vllm_ascend),
                    files_text(c,
                               "That release of the plug-in was built and tested with CANN %s "
                               "(torch %s, torch-npu %s); the toolkit in this base image is %s.",
                               row->cann, row->torch, row->torch_npu,
                               have < want ? "older" : "newer"),
                    files_text(c,
                               "Use a base image with CANN %s, or the plug-in release that "
                               "belongs to CANN %.*s.",
                               row->cann, STR_ARG(cann)));
    }
    if (py != SIZE_MAX && py < at + 60 &&
        files_number(str_slice(c->text, py + 5, py + 8), &minor)) {
        uint64_t low = 0;
        uint64_t high = 0;

        (void)files_number(str_slice(str_from_c(row->python_min), 2, 9), &low);
        (void)files_number(str_slice(str_from_c(row->python_max), 2, 9), &high);
        if (minor < low || minor > high) {
            files_wrong(c, py, "vllm-ascend-python",
                        files_text(c, "Python 3.%u under vllm-ascend %s", (unsigned)minor,
                                   row->vllm_ascend),
                        files_text(c, "Its wheels exist for Python %s to %s.", row->python_min,
                                   row->python_max),
                        STR("Take a base image with such a Python."));
        }
    }
}

static void check_mindspore(struct files_ctx *c, const struct installs *in)
{
    const struct files_pip_row *row = files_pip_find(in->ascend_version);
    bool vllm = in->vllm != NULL || in->vllm_ascend != NULL || files_has_text(c->text, "vllm ");

    if (in->mindspore == NULL || !vllm || files_has_text(c->text, "vllm-mindspore") ||
        files_has_text(c->text, "vllm_mindspore")) {
        return;
    }
    files_wrong(c, in->mindspore->begin, "mindspore-for-vllm",
                STR("MindSpore is installed for vLLM"),
                STR("vllm-ascend is built on torch and torch-npu and never loads MindSpore. "
                    "vLLM-MindSpore is another plug-in with other versions and models; the two do "
                    "not mix."),
                STR("Remove the MindSpore package; install torch, torch-npu and vllm-ascend of one "
                    "row of the table."));
    files_replace(c, in->mindspore->begin, in->mindspore->end,
                  files_text(c, "torch-npu==%s", row != NULL ? row->torch_npu : "2.9.0.post1"));
}

/* The images of Cambricon and Moore Threads carry a torch that the vendor has built. */
static void check_vendor_torch(struct files_ctx *c, const struct installs *in)
{
    const struct files_word *w = in->torch != NULL ? in->torch : in->vllm;

    if (w == NULL || !(c->vendors & (VENDOR_CAMBRICON | VENDOR_MTHREADS))) {
        return;
    }
    files_likely(
        c, w->begin, "torch-replaced",
        files_text(c, "%.*s replaces the vendor's build of torch", STR_ARG(w->text)),
        STR("The base image brings a torch that was built for its cards (torch_mlu, "
            "torch_musa need exactly that one). pip takes the plain CUDA or CPU build from "
            "PyPI in its place, directly or because vllm asks for a version of torch."),
        STR("Leave torch out of the list (pip install --no-deps, or a constraints file "
            "with the image's torch) and install the vendor's vllm plug-in."),
        STR("pip show torch in the built image: the version should end in the vendor's "
            "mark."));
}

static void collect(const struct files_command *cmd, uint32_t first, struct installs *in)
{
    for (uint32_t i = first; i < cmd->n_words; i++) {
        const struct files_word *w = &cmd->words[i];
        struct str v;

        if (is_package(w->text, "vllm", &v)) {
            in->vllm = w;
            in->vllm_version = v;
        } else if (is_package(w->text, "vllm-ascend", &v)) {
            in->vllm_ascend = w;
            in->ascend_version = v;
        } else if (is_package(w->text, "torch", &v)) {
            in->torch = w;
            in->torch_version = v;
        } else if (is_package(w->text, "torch-npu", &v)) {
            in->torch_npu = w;
            in->npu_version = v;
        } else if (is_package(w->text, "mindspore", &v) || files_has_text(w->text, "mindspore-") ||
                   (files_has_text(w->text, "/mindspore") && files_has_text(w->text, ".whl"))) {
            in->mindspore = w;
        }
    }
}

void files_pip_check(struct files_ctx *c, const struct script_commands *cmds)
{
    struct installs in = {0};
    struct str interpreter = STR("");

    for (uint32_t i = 0; i < cmds->n; i++) {
        const struct files_command *cmd = &cmds->items[i];
        uint32_t first = pip_install(cmd);

        bool installs = false;

        for (uint32_t w = 1; w < cmd->n_words && first == 0; w++) {
            struct str word = cmd->words[w].text;

            installs = installs || str_eq(word, STR("install"));
            if (installs && str_starts(word, STR("python3.")) && word.len <= 10) {
                interpreter = word;
            }
        }
        if (first == 0) {
            continue;
        }
        check_interpreter(c, cmd, interpreter);
        collect(cmd, first, &in);
        for (uint32_t w = first; w < cmd->n_words; w++) {
            check_wheel(c, &cmd->words[w]);
        }
    }
    check_vllm_version(c, &in);
    check_torch(c, &in);
    check_cann(c, &in);
    check_mindspore(c, &in);
    check_vendor_torch(c, &in);
}
