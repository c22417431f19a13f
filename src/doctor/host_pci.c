/* Cards by their PCI ids: works without any driver. */
#include "base/check.h"
#include "doctor/host_internal.h"

static uint32_t hex(struct str s)
{
    uint32_t v = 0;
    size_t i = str_starts(s, STR("0x")) ? 2 : 0;

    for (; i < s.len && i < 10; i++) {
        char ch = s.ptr[i];
        uint32_t d = ch >= '0' && ch <= '9'   ? (uint32_t)(ch - '0')
                     : ch >= 'a' && ch <= 'f' ? (uint32_t)(ch - 'a') + 10
                     : ch >= 'A' && ch <= 'F' ? (uint32_t)(ch - 'A') + 10
                                              : 16;

        if (d == 16) {
            break;
        }
        v = v << 4 | d;
    }
    return v;
}

static uint32_t vendor_of(uint32_t id)
{
    return id == 0x10de   ? VENDOR_NVIDIA
           : id == 0x19e5 ? VENDOR_ASCEND
           : id == 0xcabc ? VENDOR_CAMBRICON
           : id == 0x1ed5 ? VENDOR_MTHREADS
                          : 0;
}

void host_pci_scan(struct host *h)
{
    struct str *names;
    uint32_t n = host_names(h, "/sys/bus/pci/devices", &names);

    h->pci_read = n > 0;
    for (uint32_t i = 0; i < n && h->n_cards < HOST_CARDS_MAX; i++) {
        struct str base = host_text(h, "/sys/bus/pci/devices/%.*s", STR_ARG(names[i]));
        uint32_t vendor =
            vendor_of(hex(host_read(h, host_text(h, "%.*s/vendor", STR_ARG(base)).ptr)));
        uint32_t class = hex(host_read(h, host_text(h, "%.*s/class", STR_ARG(base)).ptr)) >> 16;
        uint32_t device = hex(host_read(h, host_text(h, "%.*s/device", STR_ARG(base)).ptr));

        /* display controllers and processing accelerators; not the vendor's network or audio */
        if (vendor != 0 && (class == 0x03 || class == 0x12)) {
            h->cards[h->n_cards++] = (struct host_card){vendor, device};
            h->vendors |= vendor;
        }
    }
    if (!h->pci_read) {
        host_unknown(h, "host-cards", STR("which cards are in this host"),
                     STR("/sys/bus/pci/devices cannot be read."));
    } else if (h->n_cards == 0 && h->want != 0) {
        host_problem(h, "host-cards", STR("no card of the engine's vendor"),
                     STR("The PCI bus shows no accelerator at all."), STR("/sys/bus/pci/devices"),
                     STR("Check the card's seat and power, and in a virtual machine that the card "
                         "is passed through."));
    } else if (h->want != 0 && host_count(h, h->want) == 0) {
        host_problem(h, "host-cards", STR("the cards are of another vendor than the engine"),
                     STR("The engine's plug-in drives one vendor's cards only."),
                     STR("/sys/bus/pci/devices"),
                     STR("Use the engine for these cards (vllm for NVIDIA, vllm-ascend for "
                         "Ascend)."));
    } else {
        host_ok(h, "host-cards",
                host_text(h, "%u NVIDIA, %u Ascend, %u Cambricon, %u Moore Threads cards",
                          host_count(h, VENDOR_NVIDIA), host_count(h, VENDOR_ASCEND),
                          host_count(h, VENDOR_CAMBRICON), host_count(h, VENDOR_MTHREADS)),
                STR(""));
    }
}
