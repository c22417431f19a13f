/* Python packages of the host (or of an image's root folder) against each other and the cards. */
#include "base/check.h"
#include "doctor/files_pip.h"
#include "doctor/host_internal.h"

struct packages {
    struct str torch;
    struct str torch_npu;
    struct str vllm;
    struct str vllm_ascend;
    uint32_t n_platforms; // vLLM plug-ins
    struct str place;
};

static const struct {
    uint32_t device; // PCI id
    uint32_t cc;     // ten times
    const char *name;
} cards[] = {
    {0x15f8, 60, "P100"},     {0x1b38, 61, "P40"},      {0x1db4, 70, "V100"},
    {0x1db5, 70, "V100"},     {0x1db6, 70, "V100"},     {0x1eb8, 75, "T4"},
    {0x20b0, 80, "A100"},     {0x20b2, 80, "A100"},     {0x20b5, 80, "A100"},
    {0x20f3, 80, "A800"},     {0x20f5, 80, "A800"},     {0x2236, 86, "A10"},
    {0x2204, 86, "RTX 3090"}, {0x2684, 89, "RTX 4090"}, {0x26b9, 89, "L40S"},
    {0x26ba, 89, "L20"},      {0x27b8, 89, "L4"},       {0x2330, 90, "H100"},
    {0x2331, 90, "H100"},     {0x2324, 90, "H800"},     {0x2329, 90, "H20"},
    {0x2335, 90, "H200"},     {0x2901, 100, "B200"},    {0x2b85, 120, "RTX 5090"},
};

/* "torch-2.8.0+cu128.dist-info" -> version when the name is `name`. */
static bool is_info(struct str entry, const char *name, struct str *ret_version)
{
    struct str n = str_from_c(name);
    struct str tail = STR(".dist-info");

    if (!str_starts(entry, n) || !str_ends(entry, tail) || entry.len <= n.len ||
        entry.ptr[n.len] != '-') {
        return false;
    }
    *ret_version = str_slice(entry, n.len + 1, entry.len - tail.len);
    return true;
}

static void read_folder(struct host *h, const char *folder, struct packages *p)
{
    struct str *names;
    uint32_t n = host_names(h, folder, &names);
    struct str v;

    for (uint32_t i = 0; i < n; i++) {
        bool hit = true;

        if (is_info(names[i], "torch", &v)) {
            p->torch = v;
        } else if (is_info(names[i], "torch_npu", &v)) {
            p->torch_npu = v;
        } else if (is_info(names[i], "vllm", &v)) {
            p->vllm = v;
        } else if (is_info(names[i], "vllm_ascend", &v)) {
            p->vllm_ascend = v;
            p->n_platforms++;
        } else if (is_info(names[i], "vllm_mlu", &v) || is_info(names[i], "vllm_musa", &v)) {
            p->n_platforms++;
        } else {
            hit = false;
        }
        if (hit) {
            p->place = str_from_c(folder);
        }
    }
}

static void find_packages(struct host *h, struct packages *p)
{
    static const char *const bases[] = {"/usr/local/lib", "/usr/lib", "/opt/venv/lib",
                                        "/usr/local/python3/lib"};
    static const char *const kinds[] = {"site-packages", "dist-packages"};

    for (size_t b = 0; b < ARRAY_COUNT(bases); b++) {
        struct str *names;
        uint32_t n = host_names(h, bases[b], &names);

        for (uint32_t i = 0; i < n && i < 100; i++) {
            for (size_t k = 0; str_starts(names[i], STR("python3")) && k < 2; k++) {
                read_folder(h,
                            host_text(h, "%s/%.*s/%s", bases[b], STR_ARG(names[i]), kinds[k]).ptr,
                            p);
            }
        }
    }
}

static void check_ascend_row(struct host *h, const struct packages *p)
{
    const struct files_pip_row *row = files_pip_find(p->vllm_ascend);
    struct str cann = host_value(host_read(h, "/usr/local/Ascend/cann/share/info/runtime/"
                                              "version.info"),
                                 "Version=");
    uint32_t have = 0;
    uint32_t want = 0;

    if (cann.len == 0) {
        cann = host_value(host_read(h, "/usr/local/Ascend/ascend-toolkit/latest/runtime/"
                                       "version.info"),
                          "Version=");
    }
    if (row == NULL) {
        host_unknown(h, "host-packages", host_text(h, "vllm-ascend %.*s", STR_ARG(p->vllm_ascend)),
                     STR("This release is not in the table of known combinations."));
        return;
    }
    if (!str_starts(p->vllm, str_from_c(row->vllm))) {
        host_problem(h, "host-packages", STR("vLLM and the Ascend plug-in do not fit"),
                     STR("A plug-in release fits the vLLM release it was made for."),
                     host_text(h, "vllm %.*s, vllm-ascend %.*s", STR_ARG(p->vllm),
                               STR_ARG(p->vllm_ascend)),
                     host_text(h, "Install vllm==%s.", row->vllm));
    } else if (files_version(p->torch_npu, &have) &&
               files_version(str_from_c(row->torch_npu), &want) && have != want) {
        host_problem(h, "host-packages", STR("torch-npu does not fit the Ascend plug-in"),
                     STR("Its extension was compiled against another torch-npu."),
                     host_text(h, "torch_npu %.*s, vllm-ascend %.*s", STR_ARG(p->torch_npu),
                               STR_ARG(p->vllm_ascend)),
                     host_text(h, "Install torch==%s torch-npu==%s.", row->torch, row->torch_npu));
    } else if (files_version(cann, &have) && files_version(str_from_c(row->cann), &want) &&
               have / 1000 != want / 1000) {
        host_problem(h, "host-packages", STR("CANN does not fit the Ascend plug-in"),
                     host_text(h, "vllm-ascend %s was built with CANN %s.", row->vllm_ascend,
                               row->cann),
                     host_text(h, "CANN %.*s", STR_ARG(cann)),
                     host_text(h, "Install CANN %s, or the plug-in release for this CANN.",
                               row->cann));
    } else {
        host_ok(h, "host-packages",
                host_text(h, "vllm %.*s, vllm-ascend %.*s, torch-npu %.*s", STR_ARG(p->vllm),
                          STR_ARG(p->vllm_ascend), STR_ARG(p->torch_npu)),
                STR(""));
    }
}

/* Architectures compiled into the wheels of one CUDA version, ten times the capability. */
static void check_cuda(struct host *h, const struct packages *p)
{
    size_t plus = str_find(p->torch, STR("+cu"), 0);
    uint64_t cu = 0;
    uint64_t driver = 0;

    if (plus == SIZE_MAX || !files_number(str_slice(p->torch, plus + 3, p->torch.len), &cu)) {
        return;
    }
    if (files_number(h->nvidia_driver, &driver) && driver < (cu >= 130   ? 580u
                                                             : cu >= 120 ? 525u
                                                                         : 450u)) {
        host_problem(h, "host-cuda-driver", STR("the driver is too old for this torch"),
                     host_text(h, "CUDA %u.%u wheels need driver %u or newer.", (unsigned)cu / 10,
                               (unsigned)cu % 10,
                               cu >= 130   ? 580u
                               : cu >= 120 ? 525u
                                           : 450u),
                     host_text(h, "driver %.*s, torch %.*s", STR_ARG(h->nvidia_driver),
                               STR_ARG(p->torch)),
                     STR("Upgrade the driver, or install a torch for an older CUDA."));
    }
    for (uint32_t i = 0; i < h->n_cards; i++) {
        for (size_t k = 0; k < ARRAY_COUNT(cards); k++) {
            uint32_t low = cu >= 128 ? 75 : 50;
            uint32_t high = cu >= 128 ? 120 : 90;

            if (h->cards[i].vendor == VENDOR_NVIDIA && h->cards[i].device == cards[k].device &&
                (cards[k].cc < low || cards[k].cc > high)) {
                host_problem(h, "host-cuda-arch",
                             host_text(h, "torch has no code for the %s", cards[k].name),
                             host_text(h,
                                       "The card has compute capability %u.%u, the wheel code "
                                       "for %u.%u to %u.%u: \"no kernel image is available\".",
                                       cards[k].cc / 10, cards[k].cc % 10, low / 10, low % 10,
                                       high / 10, high % 10),
                             host_text(h, "torch %.*s", STR_ARG(p->torch)),
                             cards[k].cc > high ? STR("Install a torch for CUDA 12.8 or newer.")
                                                : STR("Install a torch for CUDA 12.6."));
                return;
            }
        }
    }
}

void host_python_check(struct host *h)
{
    struct packages p = {0};

    find_packages(h, &p);
    if (p.place.len == 0) {
        return; // nothing installed here: engines live in images
    }
    if (p.n_platforms > 1) {
        host_problem(h, "host-plugins", STR("two vLLM platform plug-ins are installed"),
                     STR("vLLM stops: only one platform plug-in may be active."), p.place,
                     STR("Uninstall one, or set VLLM_PLUGINS to the one that is meant."));
    }
    if (p.vllm_ascend.len > 0) {
        check_ascend_row(h, &p);
    }
    check_cuda(h, &p);
}
