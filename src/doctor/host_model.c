/* The checkpoint against the cards: format, completeness, split, host memory. */
#include "base/check.h"
#include "base/json.h"
#include "doctor/host_internal.h"
#include "doctor/regular.h"
#include "doctor/shape.h"
#include "doctor/sizing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INDEX_BYTES_MAX (64u << 20)

static bool read_outside(struct host *h, struct str path, struct str *ret_text)
{
    FILE *f = regular_open(path.ptr);
    struct buf b;
    bool good = f != NULL;

    buf_init(&b, INDEX_BYTES_MAX);
    while (good && buf_status(&b) == OK) {
        char *room = buf_reserve(&b, 65536);
        size_t n = room != NULL ? fread(room, 1, 65536, f) : 0;

        if (n == 0) {
            break;
        }
        buf_commit(&b, n);
    }
    if (f != NULL) {
        fclose(f);
    }
    good = good && buf_status(&b) == OK && arena_dup(h->arena, buf_str(&b), ret_text) == OK;
    buf_done(&b);
    return good;
}

/* Every shard that the index names is there; returns the bytes of all. */
static void check_shards(struct host *h, const char *model, uint64_t *ret_bytes)
{
    struct str text = STR("");
    const struct json_value *root = NULL;
    const struct json_value *map;
    struct str last = STR("");
    uint32_t missing = 0;
    struct str first = STR("");
    uint64_t total = 0;

    if (!read_outside(h, host_text(h, "%s/model.safetensors.index.json", model), &text) ||
        json_parse(h->arena, text, NULL, &root, NULL) != OK) {
        return;
    }
    map = json_get(root, STR("weight_map"));
    for (uint32_t i = 0; map != NULL && map->kind == JSON_OBJECT && i < map->n_items; i++) {
        struct str name = json_string_or(&map->members[i].value, STR(""));
        struct stat st;

        if (str_eq(name, last) || str_find_byte(name, '/', 0) != SIZE_MAX) {
            continue;
        }
        last = name;
        if (stat(host_text(h, "%s/%.*s", model, STR_ARG(name)).ptr, &st) != 0) {
            first = missing == 0 ? name : first;
            missing++;
        } else if (st.st_size < 1024) {
            host_problem(h, "host-model-pointer", STR("a shard is only a pointer file"),
                         STR("The folder was cloned without git-lfs: the file holds a few lines of "
                             "text instead of weights (\"HeaderTooLarge\")."),
                         name, STR("Download the weights again (git lfs pull)."));
            return;
        }
    }
    total = (uint64_t)json_int_or(json_get(json_get(root, STR("metadata")), STR("total_size")), 0);
    *ret_bytes = total;
    if (missing > 0) {
        host_problem(h, "host-model-shards",
                     host_text(h, "%u weight files of the index are missing", missing),
                     STR("The download is not complete; loading stops at the first missing file."),
                     first, STR("Download the missing files; compare sizes and checksums."));
    } else {
        host_ok(h, "host-model-shards", STR("all weight files of the index are there"), STR(""));
    }
}

static void check_quantization(struct host *h, const struct json_value *config)
{
    struct str method =
        json_string_or(json_get(json_get(config, STR("quantization_config")), STR("quant_method")),
                       STR(""));

    if (str_eq(method, STR("fp8")) &&
        (h->vendors & (VENDOR_ASCEND | VENDOR_CAMBRICON | VENDOR_MTHREADS)) != 0 &&
        (h->vendors & VENDOR_NVIDIA) == 0) {
        host_problem(h, "host-model-fp8", STR("FP8 weights on cards without FP8"),
                     STR("These cards have no FP8 arithmetic; loading stops with an unexpected "
                         "type."),
                     STR("quantization_config of config.json"),
                     STR("Take the BF16 weights, or W8A8 weights made for this vendor."));
    }
}

static void check_split(struct host *h, const struct shape *s)
{
    uint32_t n = h->n_cards;

    if (n < 2) {
        return;
    }
    if (sizing_tp_works(s, n)) {
        host_ok(h, "host-model-tp", host_text(h, "tensor parallel %u divides the heads", n),
                STR(""));
    } else {
        uint32_t best = n;

        while (best > 1 && !sizing_tp_works(s, best)) {
            best--;
        }
        host_ok(h, "host-model-tp",
                host_text(h, "tensor parallel %u does not divide %u heads; use %u of the cards", n,
                          s->n_heads, best),
                STR(""));
    }
}

static void check_host_memory(struct host *h, uint64_t weight_bytes)
{
    uint64_t kib = 0;
    uint64_t need = weight_bytes / 10 * 13;

    if (weight_bytes == 0 ||
        !files_number(host_value(host_read(h, "/proc/meminfo"), "MemAvailable:"), &kib)) {
        return;
    }
    if (kib * 1024 < need) {
        host_problem(h, "host-model-memory", STR("the host's memory is short for loading"),
                     STR("Loaders hold the weights of a node in host memory, with a third on top; "
                         "the kernel kills the process (exit 137) or loading swaps."),
                     host_text(h, "%" PRIu64 " MiB available, %" PRIu64 " MiB advised", kib / 1024,
                               need >> 20),
                     STR("Free memory, split over more nodes, or take smaller weights."));
    } else {
        host_ok(h, "host-model-memory", STR("the host's memory is enough for loading"), STR(""));
    }
}

MUST_USE enum status host_model_check(struct host *h, struct error *err)
{
    const char *model = h->q->model;
    struct str text = STR("");
    const struct json_value *config = NULL;
    struct shape s;
    struct error why = {0};
    uint64_t bytes = 0;
    struct stat st;

    if (model == NULL) {
        return OK;
    }
    if (stat(model, &st) != 0) {
        return error_set(err, E_NOT_FOUND, "cannot read --model %s: %s", model, strerror(errno));
    }
    if (!S_ISDIR(st.st_mode)) {
        return error_set(err, E_INVALID, "--model %s is no folder", model);
    }
    if (!read_outside(h, host_text(h, "%s/config.json", model), &text)) {
        host_problem(
            h, "host-model-config", STR("the model folder has no config.json"),
            STR("Every engine reads the architecture from it; a path one level too high or "
                "too deep looks the same."),
            str_from_c(model), STR("Name the folder that holds config.json."));
        return OK;
    }
    if (json_parse(h->arena, text, NULL, &config, &why) != OK) {
        host_problem(h, "host-model-config", STR("config.json is no JSON"), str_from_c(why.text),
                     str_from_c(model), STR("Download the file again."));
        return OK;
    }
    check_quantization(h, config);
    check_shards(h, model, &bytes);
    if (shape_from_config(config, &s, &why) != OK) {
        host_unknown(h, "host-model-tp", STR("how the model splits over the cards"),
                     str_from_c(why.text));
    } else {
        check_split(h, &s);
        bytes = bytes != 0 ? bytes : sizing_parameters(&s) * 2;
    }
    check_host_memory(h, bytes);
    return OK;
}
