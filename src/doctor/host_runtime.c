/* Container runtimes and the image's name. */
#include "base/check.h"
#include "base/json.h"
#include "doctor/host_internal.h"

#include <sys/utsname.h>

static uint32_t count_ending(struct host *h, const char *folder)
{
    struct str *names;
    uint32_t n = host_names(h, folder, &names);
    uint32_t found = 0;

    for (uint32_t i = 0; i < n; i++) {
        found += str_ends(names[i], STR(".yaml")) || str_ends(names[i], STR(".json"));
    }
    return found;
}

/* The binary that daemon.json names must be there. */
static void check_binaries(struct host *h, const struct json_value *runtimes)
{
    for (uint32_t i = 0; runtimes != NULL && i < runtimes->n_items; i++) {
        struct str path =
            json_string_or(json_get(&runtimes->members[i].value, STR("path")), STR(""));

        if (str_starts(path, STR("/")) &&
            !host_exists(h, host_text(h, "%.*s", STR_ARG(path)).ptr)) {
            host_problem(h, "host-runtime-binary",
                         host_text(h, "the binary of runtime %.*s is missing",
                                   STR_ARG(runtimes->members[i].key)),
                         STR("Docker starts it for every container of this runtime."), path,
                         STR("Install the vendor's container runtime, or correct the path in "
                             "/etc/docker/daemon.json."));
        }
    }
}

static void check_docker(struct host *h)
{
    struct str text = host_read(h, "/etc/docker/daemon.json");
    const struct json_value *root = NULL;
    const struct json_value *runtimes = NULL;
    struct files_ctx *ctx = NULL;
    bool docker =
        host_exists(h, "/usr/bin/dockerd") || host_exists(h, "/usr/bin/docker") || text.len > 0;
    uint32_t cdi = count_ending(h, "/etc/cdi") + count_ending(h, "/var/run/cdi");

    if (!docker) {
        host_ok(h, "host-docker", STR("no Docker on this host"), STR(""));
        return;
    }
    if (text.len > 0 &&
        files_check(h->arena, STR("/etc/docker/daemon.json"), text, h->report, &ctx, NULL) == OK &&
        json_parse(h->arena, text, NULL, &root, NULL) == OK) {
        runtimes = json_get(root, STR("runtimes"));
        check_binaries(h, runtimes);
    }
    if ((h->vendors & VENDOR_NVIDIA) && json_get(runtimes, STR("nvidia")) == NULL && cdi == 0) {
        host_problem(h, "host-runtime", STR("Docker cannot hand NVIDIA cards to containers"),
                     STR("Neither the nvidia runtime nor a CDI specification is there: \"could "
                         "not select device driver\"."),
                     STR("/etc/docker/daemon.json, /etc/cdi"),
                     STR("Install nvidia-container-toolkit, run `nvidia-ctk runtime configure "
                         "--runtime=docker` and restart docker."));
    } else if ((h->vendors & VENDOR_ASCEND) && json_get(runtimes, STR("ascend")) == NULL) {
        host_ok(h, "host-runtime",
                STR("no runtime ascend: hand the nodes and driver folders in by --device and -v"),
                STR("/etc/docker/daemon.json"));
    } else if ((h->vendors & VENDOR_MTHREADS) && json_get(runtimes, STR("mthreads")) == NULL) {
        host_problem(h, "host-runtime", STR("Docker has no runtime mthreads"),
                     STR("Containers cannot reach the cards and the driver's libraries."),
                     STR("/etc/docker/daemon.json"),
                     STR("Install mt-container-toolkit and run (cd /usr/bin/musa && ./docker setup "
                         "$PWD)."));
    } else {
        host_ok(h, "host-runtime", STR("container runtime"),
                host_text(h, "%u CDI specifications", cdi));
    }
}

static bool has_device(const struct host *h, uint32_t device)
{
    for (uint32_t i = 0; i < h->n_cards; i++) {
        if (h->cards[i].vendor == VENDOR_ASCEND && h->cards[i].device == device) {
            return true;
        }
    }
    return false;
}

static void check_image(struct host *h)
{
    struct str image = str_from_c(h->q->image == NULL ? "" : h->q->image);
    uint32_t vendors = files_container_image_vendors(image);
    struct utsname u;
    bool arm = uname(&u) == 0 && str_eq(str_from_c(u.machine), STR("aarch64"));

    if (image.len == 0) {
        return;
    }
    if (vendors != 0 && h->n_cards > 0 && (vendors & h->vendors) == 0) {
        host_problem(h, "host-image", STR("the image is for another vendor's cards"),
                     STR("An image carries one vendor's libraries; on these cards the engine finds "
                         "no device."),
                     image, STR("Take the image of this host's vendor."));
    } else if (has_device(h, 0xd802) && files_has_text(image, "-a3")) {
        host_problem(h, "host-image", STR("an A3 image on A2 cards (910B)"),
                     STR("Operator packages are compiled for one chip: 507033 or E30006."), image,
                     STR("Take the tag without -a3."));
    } else if (has_device(h, 0xd803) && files_has_text(image, "ascend") &&
               !files_has_text(image, "a3")) {
        host_problem(h, "host-image", STR("an A2 image on A3 cards (910C)"),
                     STR("Operator packages are compiled for one chip: 507033 or E30006."), image,
                     STR("Take the tag with -a3."));
    } else if (has_device(h, 0xd500) && files_has_text(image, "ascend") &&
               !files_has_text(image, "310p")) {
        host_problem(h, "host-image", STR("an image for 910 cards on 310P cards"),
                     STR("Operator packages are compiled for one chip."), image,
                     STR("Take the tag with -310p."));
    } else if (h->root.len == 0 && ((arm && files_has_text(image, "x86")) ||
                                    (!arm && files_has_text(image, "arm64")))) {
        host_problem(h, "host-image", STR("the image is for another processor"),
                     host_text(h, "This host is %s: \"exec format error\".", u.machine), image,
                     STR("Take the tag of this machine."));
    } else {
        host_ok(h, "host-image", STR("the image fits the cards"), image);
    }
}

void host_runtime_check(struct host *h)
{
    check_docker(h);
    check_image(h);
}
